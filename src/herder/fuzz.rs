//! The offset file, see [`crate::fuzz`].

use super::offset_file::{decode, encode};

/// What is read from a file is written to one that says the same, and that is no longer.
pub fn offset_file(input: &[u8]) {
    let Ok(entries) = decode(input) else { return };
    let written = encode(&entries);
    assert!(written.len() <= input.len().max(encode(&[]).len()));
    assert_eq!(decode(&written), Ok(entries));
}
