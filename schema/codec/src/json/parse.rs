//! A JSON reader that accepts what Kafka's `JsonDeserializer` accepts: numbers may begin with
//! zeros and keep all their digits, of a field that occurs twice the last one counts, and whatever
//! follows the first value is left unread.

use std::{borrow::Cow, collections::HashMap};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    /// The input was empty.
    Missing,
    Null,
    Bool(bool),
    /// Digits, perhaps a minus.
    Integer(&'a str),
    /// A number with a fraction or an exponent.
    Decimal(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// Fields in the order of their first occurrence, no name twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

#[derive(Debug, PartialEq)]
pub(crate) enum Broken {
    Utf8,
    End,
    Byte(u8, usize),
    TooDeep,
    LongNumber,
}

/// Jackson's `StreamReadConstraints`.
const MAX_DEPTH: usize = 1000;
const MAX_NUMBER: usize = 1000;

pub(crate) fn parse(bytes: &[u8]) -> Result<Json<'_>, Broken> {
    let mut reader = Reader::new(bytes)?;
    reader.skip_space();
    if reader.at == reader.text.len() {
        return Ok(Json::Missing);
    }
    reader.root()
}

/// An object with exactly the fields `schema` and `payload`. The schema is returned unread if it is
/// an object, so that a known one costs nothing but finding its end.
pub(crate) enum Envelope<'a> {
    Raw { schema: &'a str, payload: Json<'a> },
    Parsed { schema: Json<'a>, payload: Json<'a> },
    No,
}

pub(crate) fn parse_envelope(bytes: &[u8]) -> Result<Envelope<'_>, Broken> {
    let mut reader = Reader::new(bytes)?;
    if let Some((schema, payload)) = reader.quick_envelope() {
        return Ok(Envelope::Raw { schema, payload });
    }
    // Anything unusual: fields in another order, a schema that is null, broken text.
    let Json::Object(Object(mut fields)) = parse(bytes)? else { return Ok(Envelope::No) };
    if fields.len() != 2 {
        return Ok(Envelope::No);
    }
    if fields[0].0 == "payload" {
        fields.swap(0, 1);
    }
    match <[_; 2]>::try_from(fields) {
        Ok([(first, schema), (second, payload)]) if first == "schema" && second == "payload" => {
            Ok(Envelope::Parsed { schema, payload })
        }
        _ => Ok(Envelope::No),
    }
}

impl<'a> Object<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The field `name`, which is expected at `index`.
    pub(crate) fn get_near(&self, name: &str, index: usize) -> Option<&Json<'a>> {
        match self.0.get(index) {
            Some((field, value)) if field == name => Some(value),
            _ => self.get(name),
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &(Cow<'a, str>, Json<'a>)> {
        self.0.iter()
    }

    fn new(fields: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        let mut last = HashMap::with_capacity(fields.len());
        let repeated = fields.len() > 1
            && fields.iter().fold(false, |repeated, (name, _)| {
                last.insert(name.as_ref(), ()).is_some() | repeated
            });
        if !repeated {
            return Object(fields);
        }
        let mut unique: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for (name, value) in fields {
            match places.get(&name) {
                Some(&place) => unique[place].1 = value,
                None => {
                    places.insert(name.clone(), unique.len());
                    unique.push((name, value));
                }
            }
        }
        Object(unique)
    }
}

impl Json<'_> {
    /// Jackson's `JsonNodeType`.
    pub(crate) fn node_type(&self) -> &'static str {
        match self {
            Json::Missing => "MISSING",
            Json::Null => "NULL",
            Json::Bool(_) => "BOOLEAN",
            Json::Integer(_) | Json::Decimal(_) => "NUMBER",
            Json::Text(_) => "STRING",
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "OBJECT",
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Broken> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        Ok(Self { text: std::str::from_utf8(bytes).map_err(|_| Broken::Utf8)?, at: 0 })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Broken> {
        let byte = self.peek().ok_or(Broken::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn unexpected(&self) -> Broken {
        self.peek().map_or(Broken::End, |byte| Broken::Byte(byte, self.at))
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A number or a word at the top has to be followed by a blank or by the end.
    fn root(&mut self) -> Result<Json<'a>, Broken> {
        let value = self.value(0)?;
        match (&value, self.peek()) {
            (_, None | Some(b' ' | b'\t' | b'\n' | b'\r')) => Ok(value),
            (Json::Integer(_) | Json::Decimal(_), Some(_)) => Err(self.unexpected()),
            _ => Ok(value),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Broken> {
        self.skip_space();
        match self.peek().ok_or(Broken::End)? {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Json::Text),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, Broken> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        match self.peek() {
            Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' => {
                Err(self.unexpected())
            }
            _ => Ok(value),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Broken> {
        if depth > MAX_DEPTH {
            return Err(Broken::TooDeep);
        }
        self.at += 1;
        let mut fields = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Object(fields)));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected());
            }
            let name = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected());
            }
            self.at += 1;
            fields.push((name, self.value(depth)?));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(Object::new(fields)));
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Broken> {
        if depth > MAX_DEPTH {
            return Err(Broken::TooDeep);
        }
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn number(&mut self) -> Result<Json<'a>, Broken> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        let mut integer = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            integer = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
            integer = false;
        }
        let text = &self.text[start..self.at];
        if text.len() > MAX_NUMBER {
            return Err(Broken::LongNumber);
        }
        Ok(if integer { Json::Integer(text) } else { Json::Decimal(text) })
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Broken> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return Ok(Cow::Borrowed(&self.text[start..self.at - 1])),
                b'\\' => break,
                byte @ 0..0x20 => return Err(Broken::Byte(byte, self.at - 1)),
                _ => {}
            }
        }
        self.at -= 1;
        let mut out = String::from(&self.text[start..self.at]);
        loop {
            let plain = self.at;
            let byte = loop {
                match self.next()? {
                    byte @ (b'"' | b'\\') => break byte,
                    byte @ 0..0x20 => return Err(Broken::Byte(byte, self.at - 1)),
                    _ => {}
                }
            };
            out.push_str(&self.text[plain..self.at - 1]);
            if byte == b'"' {
                return Ok(Cow::Owned(out));
            }
            self.escape(&mut out)?;
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Broken> {
        out.push(match self.next()? {
            b'b' => '\u{8}',
            b't' => '\t',
            b'n' => '\n',
            b'f' => '\u{C}',
            b'r' => '\r',
            byte @ (b'"' | b'/' | b'\\') => char::from(byte),
            b'u' => {
                let high = self.hex()?;
                let pair = (0xD800..0xDC00).contains(&high)
                    && self.text.as_bytes()[self.at..].starts_with(b"\\u");
                if pair {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xDC00..0xE000).contains(&low) {
                        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        return Ok(());
                    }
                    self.at = before;
                }
                // Half a surrogate pair, which a Java string can hold, is no character.
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            byte => return Err(Broken::Byte(byte, self.at - 1)),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, Broken> {
        (0..4).try_fold(0, |code, _| {
            let byte = self.next()?;
            let digit = char::from(byte).to_digit(16).ok_or(Broken::Byte(byte, self.at - 1))?;
            Ok(code << 4 | digit)
        })
    }

    /// `{"schema":{…},"payload":…}` as converters write it.
    fn quick_envelope(&mut self) -> Option<(&'a str, Json<'a>)> {
        let rest = self.text.strip_prefix(r#"{"schema":"#)?;
        let schema = &rest[..balanced(rest)?];
        let payload = rest[schema.len()..].strip_prefix(r#","payload":"#)?;
        let mut reader = Reader { text: payload, at: 0 };
        let value = reader.value(1).ok()?;
        reader.skip_space();
        (reader.peek() == Some(b'}')).then_some((schema, value))
    }
}

/// The length of the object at the start of `text`. Only brackets and strings are looked at.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => loop {
                match bytes.next()?.1 {
                    b'"' => break,
                    b'\\' => drop(bytes.next()?),
                    _ => {}
                }
            },
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}
