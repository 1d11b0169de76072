//! Reading files whose paths come from configurations.

use std::{fs::File, io::Read, path::Path};

/// The bytes of a regular file of at most `max` bytes. A device or a pipe has no end, and whoever
/// reads it may wait for ever.
pub(crate) fn read(path: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| error.to_string();
    let about = std::fs::metadata(&path).map_err(told)?;
    if !about.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    // It may grow between the two looks.
    File::open(&path).map_err(told)?.take(max + 1).read_to_end(&mut bytes).map_err(told)?;
    match bytes.len() as u64 > max {
        true => Err(format!("it has more than {max} bytes")),
        false => Ok(bytes),
    }
}

/// The same as text in UTF-8.
pub(crate) fn text(path: impl AsRef<Path>, max: u64) -> Result<String, String> {
    String::from_utf8(read(path, max)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read() {
        assert_eq!(read("/dev/zero", 10), Err("it is no regular file".to_owned()));
        assert_eq!(read("/", 10), Err("it is no regular file".to_owned()));
    }

    #[test]
    fn a_limit_holds() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(read(manifest, 10), Err("it has more than 10 bytes".to_owned()));
        assert!(text(manifest, 1 << 20).unwrap().contains("[package]"));
    }
}
