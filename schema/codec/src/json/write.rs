//! Tokens as Jackson's `UTF8JsonGenerator` writes them.

use base64::{Engine, engine::general_purpose::STANDARD};

/// What to do with a byte of UTF-8 text inside quotes.
const PLAIN: u8 = 0;
const UNICODE: u8 = 1;
/// The lead byte of a character outside the basic plane, which Jackson writes as two escapes.
const ASTRAL: u8 = 2;

/// Any other entry is the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = UNICODE;
        byte += 1;
    }
    let mut lead = 0xF0;
    while lead < 0x100 {
        table[lead] = ASTRAL;
        lead += 1;
    }
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0C] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Bytes of a plan, written again and again: most are a name with its comma and colon.
///
/// A copy of a fixed length is a few instructions, where one of any length is a call; for some thirty
/// names a record that was a tenth of the encoder's time.
pub(crate) enum Piece {
    /// So many of them count.
    Short([u8; Self::SHORT], usize),
    Long(Box<[u8]>),
}

impl Piece {
    const SHORT: usize = 32;

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut short = [0; Self::SHORT];
        match short.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Self::Short(short, bytes.len())
            }
            None => Self::Long(bytes.into()),
        }
    }

    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Short(bytes, count) => {
                let end = out.len() + count;
                out.extend_from_slice(bytes);
                out.truncate(end);
            }
            Self::Long(bytes) => out.extend_from_slice(bytes),
        }
    }
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = special.chars();
        let Some(char) = chars.next() else { break };
        escape(out, char);
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

fn first_special(bytes: &[u8]) -> Option<usize> {
    // Long text goes sixteen bytes at a time, which the compiler turns into vector comparisons.
    // Short text, which most columns hold, is quicker byte by byte.
    let (blocks, _) = if bytes.len() < 64 { (&[][..], bytes) } else { bytes.as_chunks::<16>() };
    let plain = |block: &&[u8; 16]| {
        let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0xF0;
        !block.iter().fold(false, |found, &byte| found | special(byte))
    };
    let start = blocks.iter().take_while(plain).count() * 16;
    let rest = bytes[start..].iter().position(|&byte| ESCAPES[usize::from(byte)] != PLAIN)?;
    Some(start + rest)
}

#[cold]
fn escape(out: &mut Vec<u8>, char: char) {
    let mut units = [0; 2];
    match ESCAPES.get(char as usize) {
        Some(&letter) if letter > ASTRAL && char.is_ascii() => {
            out.extend_from_slice(&[b'\\', letter])
        }
        _ => {
            for unit in char.encode_utf16(&mut units) {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |shift: u16| HEX[usize::from(*unit >> shift & 0xF)];
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
        }
    }
}

pub(crate) fn int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

pub(crate) fn float32(out: &mut Vec<u8>, value: f32) {
    float(out, value.is_finite(), model::java::float_to_string(value).as_bytes());
}

pub(crate) fn float64(out: &mut Vec<u8>, value: f64) {
    float(out, value.is_finite(), model::java::double_to_string(value).as_bytes());
}

/// What is not a number in JSON is quoted.
fn float(out: &mut Vec<u8>, finite: bool, text: &[u8]) {
    if finite {
        out.extend_from_slice(text);
    } else {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    }
}

pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written =
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("the buffer has the encoded length");
    out.truncate(start + written);
    out.push(b'"');
}

/// Writes items with commas between them.
pub(crate) fn list<T, E>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> Result<(), E>,
) -> Result<(), E> {
    for (item, index) in items.into_iter().zip(0..) {
        if index > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    Ok(())
}
