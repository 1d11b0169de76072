//! JSON in the bytes that Kafka Connect's converter writes, and as leniently read.

use std::io;

use model::java;
use serde::Serialize;
use serde_json::{
    Value,
    ser::{CharEscape, Formatter, Serializer},
};

/// The bytes of `value`, without blanks.
pub(super) fn write(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, Java))
        .expect("a Vec takes all bytes, and the values written here have text for keys");
    bytes
}

/// The first value in `bytes`; what follows it is left unread, as the JVM's reader does.
pub(super) fn read(bytes: &[u8]) -> Result<Value, String> {
    match serde_json::Deserializer::from_slice(bytes).into_iter().next() {
        Some(value) => value.map_err(|error| format!("not JSON: {error}")),
        None => Err("empty".to_owned()),
    }
}

/// What a value is, for messages that must not show it.
pub(super) fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "text",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    }
}

/// Control characters in capital digits, characters outside the basic plane as two escapes, floating
/// point numbers as `Double.toString` has them.
struct Java;

impl Formatter for Java {
    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let letter = match escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => b'b',
            CharEscape::FormFeed => b'f',
            CharEscape::LineFeed => b'n',
            CharEscape::CarriageReturn => b'r',
            CharEscape::Tab => b't',
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04X}"),
        };
        writer.write_all(&[b'\\', letter])
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| char.len_utf8() == 4) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04X}")?;
            }
            rest = &rest[at + 4..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_number_str<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        value: &str,
    ) -> io::Result<()> {
        let float = value.contains(['.', 'e', 'E']).then(|| value.parse::<f64>().ok()).flatten();
        match float.filter(|float| float.is_finite()) {
            Some(float) => writer.write_all(java::double_to_string(float).as_bytes()),
            None => writer.write_all(value.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_jvm_writes_it() {
        for (text, answer) in [
            (r#"{"b":1, "a":[true,null]}"#, r#"{"b":1,"a":[true,null]}"#),
            (r#""a\/b\u001f\u0000\t\n\u007f""#, "\"a/b\\u001F\\u0000\\t\\n\u{7f}\""),
            (r#""ü\u20ac😀 x""#, "\"ü€\\uD83D\\uDE00 x\""),
            ("[1e10,0.0001,100.0,1.10,-0.0]", "[1.0E10,1.0E-4,100.0,1.1,-0.0]"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            (r#"{"tasks":1} and more"#, r#"{"tasks":1}"#),
        ] {
            let written = write(&read(text.as_bytes()).unwrap());
            assert_eq!(String::from_utf8(written).unwrap(), answer, "{text}");
        }
        for wrong in ["", " ", "{", "x", "{\"a\":}"] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
