//! Binary values in the forms of `binary.handling.mode`.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use relational::modes::BinaryMode;

use super::{Cell, Scratch};

/// Bytes that are in `scratch.bytes`.
pub(crate) fn scratched(mode: BinaryMode, scratch: &mut Scratch) -> Cell<'_> {
    let Scratch { text, bytes, .. } = scratch;
    encoded(mode, bytes, text)
}

/// `bytes` as they are, or as text that is written into `text`.
pub(crate) fn encoded<'a>(mode: BinaryMode, bytes: &'a [u8], text: &'a mut String) -> Cell<'a> {
    text.clear();
    match mode {
        BinaryMode::Bytes => return Cell::Bytes(bytes),
        BinaryMode::Base64 => STANDARD.encode_string(bytes, text),
        BinaryMode::Base64UrlSafe => URL_SAFE.encode_string(bytes, text),
        BinaryMode::Hex => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            for byte in bytes {
                text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                text.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    Cell::Text(text)
}
