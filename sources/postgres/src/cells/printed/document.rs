//! Values that are made of texts: hstore and tsvector.

use super::{
    super::{BadValue, bad},
    fields::Fields,
    push,
};

fn utf8(bytes: &[u8]) -> Result<&str, BadValue> {
    std::str::from_utf8(bytes).or(bad("text in UTF-8"))
}

/// `hstore_send`: how many pairs, then keys and values with their lengths.
pub(super) fn hstore(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "pairs in the form of hstore_send";
    let mut fields = Fields::new(field, EXPECTED);
    let count = fields.count()?;
    for index in 0..count {
        let Some(Some(key)) = fields.next_sized()? else { return bad(EXPECTED) };
        let Some(value) = fields.next_sized()? else { return bad(EXPECTED) };
        if index > 0 {
            out.push_str(", ");
        }
        push_quoted(out, utf8(key)?);
        out.push_str("=>");
        match value {
            Some(value) => push_quoted(out, utf8(value)?),
            None => out.push_str("NULL"),
        }
    }
    fields.end()
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// `tsvectorsend`: how many lexemes; of each its text, how many positions, and those with the weight in
/// the upper two bits.
pub(super) fn lexemes(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "lexemes in the form of tsvectorsend";
    let mut fields = Fields::new(field, EXPECTED);
    let count = fields.count()?;
    for index in 0..count {
        if index > 0 {
            out.push(' ');
        }
        out.push('\'');
        for c in utf8(fields.until_zero()?)?.chars() {
            if matches!(c, '\'' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('\'');
        let positions = fields.i16()?.cast_unsigned();
        for index in 0..positions {
            let position = fields.i16()?.cast_unsigned();
            out.push(if index == 0 { ':' } else { ',' });
            push(out, position & 0x3FFF);
            out.push_str(["", "C", "B", "A"][usize::from(position >> 14)]);
        }
    }
    fields.end()
}
