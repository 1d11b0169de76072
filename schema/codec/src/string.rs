//! `org.apache.kafka.connect.storage.StringConverter`: whatever `toString()` says.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    config::{Check, Config, ConfigDef, Group, Importance, Key, Parsed, Width},
    convert::{Converter, Decoded, Encode, Encoded, HeaderConverter},
    error::{Error, RecordError, Result},
    record::Data,
    schema::{Kind, Schema},
    value::{Value, ValueRef},
};

use crate::{TYPE, java_text};

static ENCODING: Key<String> = Key::string("converter.encoding")
    .default("UTF-8")
    .importance(Importance::High)
    .width(Width::Medium)
    .display("Encoding")
    .doc("The name of the Java character set to use for encoding strings as byte arrays.")
    .check(Check::With(|value| match value {
        Parsed::String(name) if Charset::named(name).is_none() => Err(format!(
            "Riverrun does not have this character set; it has {}",
            Charset::ALL.map(|(names, _)| names[0]).join(", ")
        )),
        _ => Ok(()),
    }));

pub(crate) static CONFIG: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&TYPE.spec, &ENCODING.spec] }]);

pub(crate) struct StringConverter {
    charset: Charset,
    /// The schema of everything that is read.
    optional_string: Arc<Schema>,
}

struct StringEncoder {
    charset: Charset,
    schema: Option<Arc<Schema>>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Utf8,
    Latin1,
    Ascii,
    /// Big-endian with a byte-order mark; reads either order.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    /// Java's name first, then the aliases people write.
    const ALL: [(&[&str], Charset); 6] = [
        (&["UTF-8", "UTF8", "unicode-1-1-utf-8"], Charset::Utf8),
        (
            &["ISO-8859-1", "ISO8859_1", "ISO8859-1", "ISO_8859-1", "8859_1", "latin1", "l1"],
            Charset::Latin1,
        ),
        (&["US-ASCII", "ASCII", "ISO646-US", "646", "us"], Charset::Ascii),
        (&["UTF-16", "UTF16", "UTF_16", "unicode"], Charset::Utf16),
        (&["UTF-16BE", "UTF_16BE", "UnicodeBigUnmarked"], Charset::Utf16Be),
        (&["UTF-16LE", "UTF_16LE", "UnicodeLittleUnmarked"], Charset::Utf16Le),
    ];

    fn named(name: &str) -> Option<Self> {
        let is = |alias: &&str| alias.eq_ignore_ascii_case(name);
        Self::ALL.iter().find(|(names, _)| names.iter().any(is)).map(|(_, charset)| *charset)
    }

    /// `String.getBytes`: what the set lacks becomes a question mark.
    fn write(self, out: &mut Vec<u8>, text: &str) {
        let limit = match self {
            Charset::Utf8 => return out.extend_from_slice(text.as_bytes()),
            Charset::Latin1 => 0x100,
            Charset::Ascii => 0x80,
            Charset::Utf16 | Charset::Utf16Be => {
                if self == Charset::Utf16 && !text.is_empty() {
                    out.extend_from_slice(&[0xFE, 0xFF]);
                }
                return out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Charset::Utf16Le => return out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        };
        out.extend(text.chars().map(|char| match u8::try_from(u32::from(char)) {
            Ok(byte) if u32::from(byte) < limit => byte,
            _ => b'?',
        }));
    }

    /// `new String(bytes, charset)`: what is malformed becomes U+FFFD.
    fn read(self, bytes: &[u8]) -> String {
        let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
            let mut text: String =
                char::decode_utf16(bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])))
                    .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect();
            if bytes.len() % 2 == 1 {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            text
        };
        match self {
            Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Charset::Latin1 => bytes.iter().copied().map(char::from).collect(),
            Charset::Ascii => {
                bytes
                    .iter()
                    .map(|&byte| {
                        if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
                    })
                    .collect()
            }
            Charset::Utf16 => match bytes {
                [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
                [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
                _ => utf16(bytes, u16::from_be_bytes),
            },
            Charset::Utf16Be => utf16(bytes, u16::from_be_bytes),
            Charset::Utf16Le => utf16(bytes, u16::from_le_bytes),
        }
    }
}

impl StringConverter {
    pub(crate) fn new(config: &Config) -> Self {
        let charset = Charset::named(&config.get(&ENCODING)).expect("the key's check knows it");
        let optional_string = Arc::new(Schema::new(Kind::String).optional());
        Self { charset, optional_string }
    }

    fn encoder(&self, schema: Option<&Arc<Schema>>) -> StringEncoder {
        StringEncoder { charset: self.charset, schema: schema.cloned(), text: String::new() }
    }

    fn read(&self, bytes: Option<&[u8]>) -> Data {
        let value = bytes.map_or(Value::Null, |bytes| Value::Text(self.charset.read(bytes).into()));
        Data { schema: Some(self.optional_string.clone()), value }
    }
}

impl Encode for StringEncoder {
    fn encode(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<Encoded, RecordError> {
        match value {
            ValueRef::Null => return Ok(Encoded::Null),
            ValueRef::Text(text) => self.charset.write(out, text),
            value => {
                self.text.clear();
                java_text::write(&mut self.text, self.schema.as_deref(), value);
                self.charset.write(out, &self.text);
            }
        }
        Ok(Encoded::Bytes)
    }
}

#[async_trait]
impl Converter for StringConverter {
    async fn encoder(
        &mut self,
        _topic: &str,
        schema: Option<&Arc<Schema>>,
    ) -> Result<Box<dyn Encode>> {
        Ok(Box::new(StringConverter::encoder(self, schema)))
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Decoded, RecordError> {
        Ok(Decoded::Data(self.read(bytes)))
    }

    async fn fetch(&mut self, id: u32) -> Result<()> {
        Err(Error::fatal(format!("asked the StringConverter for schema {id}: it has no registry")))
    }
}

impl HeaderConverter for StringConverter {
    fn encode(
        &mut self,
        _topic: &str,
        _name: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, RecordError> {
        StringConverter::encoder(self, data.schema.as_ref()).encode(data.value.as_ref(), out)
    }

    fn decode(
        &mut self,
        _topic: &str,
        _name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Data, RecordError> {
        Ok(self.read(bytes))
    }
}
