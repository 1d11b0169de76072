//! What a header's text was, guessed as Connect's `Values.parseString` does.
//!
//! The text is cut at `: , { } [ ] "` unless a backslash stands before them; the tokens are read
//! by recursive descent. The grammar is forgiving in odd ways which other programs may rely on:
//! what follows a complete array, map, number or time is dropped, blank tokens vanish, and a
//! collection that breaks off half way is taken for a plain string.
//!
//! Two things differ from the JVM's. A collection whose elements have no type in common has a
//! schema with a hole there; here it has no schema at all. And where a collection mixes dates or
//! decimals with other numbers, the JVM converts between them; here they have no type in common.

mod temporal;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use bytes::Bytes;
use model::{
    record::Data,
    schema::{Kind, Schema},
    value::Value,
};

use crate::decimal::Written;

/// Each level of nesting is a level of recursion. A collection nested deeper stays text.
const MAX_DEPTH: usize = 100;

/// `None` when the text has to be left as bytes.
pub(crate) fn infer(text: &str) -> Option<Data> {
    if text.is_empty() {
        return Some(Guess::string(text).data());
    }
    match Parser::new(text).parse(Place::Top, 0) {
        Ok(Some(guess)) => Some(guess.data()),
        Ok(None) => Some(Data::NULL),
        Err(Failed) => None,
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Type {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Decimal(i32),
    Date,
    Time,
    Timestamp,
    /// `None` where elements have no type in common, or there are none.
    Array(Option<Box<Type>>),
    Map(Option<Box<Type>>, Option<Box<Type>>),
}

#[derive(Clone, Debug)]
struct Guess {
    kind: Type,
    value: Value,
}

/// The text is not what was expected at this place.
#[derive(Debug)]
struct Failed;

/// `None` is the word `null`.
type Parsed = Result<Option<Guess>, Failed>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Embedded,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// A token that was looked at and not taken.
    peeked: Option<&'a str>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, peeked: None }
    }

    fn parse(&mut self, place: Place, depth: usize) -> Parsed {
        if !self.has_next() {
            return Ok(None);
        }
        if place == Place::Embedded && self.take("\"") {
            return Ok(Some(self.quoted()));
        }
        if self.take_word("null", place) {
            return Ok(None);
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.take_word(word, place) {
                return Ok(Some(Guess { kind: Type::Boolean, value: Value::Bool(value) }));
            }
        }
        let start = self.mark();
        if depth < MAX_DEPTH {
            let collection = if self.take("[") {
                Some(self.array(depth + 1))
            } else if self.take("{") {
                Some(self.map(depth + 1))
            } else {
                None
            };
            match collection {
                Some(Ok(guess)) => return Ok(Some(guess)),
                Some(Err(Failed)) => self.rewind(start),
                None => {}
            }
        }
        let token = self.next();
        if is_blank(token) {
            return Ok(Some(Guess::string(token)));
        }
        let token = trim(token);
        let digit = token.starts_with(|char: char| char.is_ascii_digit());
        if digit && let Some(guess) = self.temporal(token) {
            return Ok(Some(guess));
        }
        if (digit || token.starts_with(['+', '-']))
            && let Some(guess) = number(token)
        {
            return Ok(Some(guess));
        }
        match place {
            Place::Embedded => Err(Failed),
            Place::Top => Ok(Some(Guess::string(self.text))),
        }
    }

    /// A word by itself; at the top it has to be the whole text.
    fn take_word(&mut self, word: &str, place: Place) -> bool {
        let start = self.mark();
        if self.take(word) && (place == Place::Embedded || !self.has_next()) {
            return true;
        }
        self.rewind(start);
        false
    }

    fn quoted(&mut self) -> Guess {
        let mut content = String::new();
        while self.has_next() && !self.take("\"") {
            content.push_str(self.next());
        }
        temporal::parse(&content).unwrap_or_else(|| Guess::string(&content))
    }

    /// An unescaped colon cuts a time into five tokens.
    fn temporal(&mut self, token: &str) -> Option<Guess> {
        let position = self.mark();
        if let Some(rest) = self.next_four()
            && let Some(guess) = temporal::parse(&format!("{token}{rest}"))
        {
            return Some(guess);
        }
        self.rewind(position);
        temporal::parse(token)
    }

    fn array(&mut self, depth: usize) -> Result<Guess, Failed> {
        let mut items = Vec::new();
        let mut common = Common::Any;
        while self.has_next() {
            if self.take("]") {
                let kind = common.kind();
                let items = align(items, kind.as_ref())?;
                return Ok(Guess {
                    kind: Type::Array(kind.map(Box::new)),
                    value: Value::Array(items.into()),
                });
            }
            if self.take(",") {
                return Err(Failed);
            }
            let item = self.parse(Place::Embedded, depth)?;
            common.merge(item.as_ref());
            items.push(item.map_or(Value::Null, |guess| guess.value));
            let after = self.mark();
            if self.take("]") {
                self.rewind(after);
            } else if !self.take(",") {
                return Err(Failed);
            }
        }
        Err(Failed)
    }

    fn map(&mut self, depth: usize) -> Result<Guess, Failed> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        // Of equal keys the last value counts. Values have no hash of their own; their text has.
        let mut places: HashMap<String, usize> = HashMap::new();
        let (mut keys, mut values) = (Common::Any, Common::Any);
        while self.has_next() {
            if self.take("}") {
                // Values have a type only where the keys have one.
                let key = keys.kind();
                let value = key.as_ref().and_then(|_| values.kind());
                let (names, contents): (Vec<Value>, Vec<Value>) = entries.into_iter().unzip();
                let names = align(names, key.as_ref())?;
                let contents = align(contents, value.as_ref())?;
                return Ok(Guess {
                    kind: Type::Map(key.map(Box::new), value.map(Box::new)),
                    value: Value::Map(names.into_iter().zip(contents).collect()),
                });
            }
            if self.take(",") {
                return Err(Failed);
            }
            let key = self.parse(Place::Embedded, depth)?.ok_or(Failed)?;
            if !self.take(":") {
                return Err(Failed);
            }
            let value = self.parse(Place::Embedded, depth)?;
            keys.merge(Some(&key));
            values.merge(value.as_ref());
            let value = value.map_or(Value::Null, |guess| guess.value);
            match places.entry(format!("{:?}", key.value)) {
                Entry::Occupied(place) => entries[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push((key.value, value));
                }
            }
            self.take(",");
        }
        Err(Failed)
    }

    // ---- Tokens ----

    fn mark(&self) -> usize {
        self.at - self.peeked.map_or(0, str::len)
    }

    fn rewind(&mut self, position: usize) {
        self.at = position;
        self.peeked = None;
    }

    fn has_next(&self) -> bool {
        self.peeked.is_some() || self.at < self.text.len()
    }

    fn next(&mut self) -> &'a str {
        self.peeked.take().unwrap_or_else(|| self.read_token())
    }

    /// The text of the next four tokens, or nothing at all.
    fn next_four(&mut self) -> Option<&'a str> {
        let start = self.mark();
        for _ in 0..4 {
            if !self.has_next() {
                self.rewind(start);
                return None;
            }
            self.next();
        }
        Some(&self.text[start..self.at])
    }

    /// Takes the next token that is not blank, if it is `expected` between blanks. If it is not,
    /// the blank tokens before it are gone all the same, as the JVM has it.
    fn take(&mut self, expected: &str) -> bool {
        if !self.has_next() {
            return false;
        }
        let mut token = self.next();
        while is_blank(token) && self.at < self.text.len() {
            token = self.read_token();
        }
        let found = trim(token) == expected;
        self.peeked = (!found).then_some(token);
        found
    }

    fn read_token(&mut self) -> &'a str {
        let start = self.at;
        let mut escaped = false;
        for (index, byte) in self.text.bytes().enumerate().skip(start) {
            match byte {
                b'\\' => escaped = !escaped,
                b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"' if !escaped => {
                    self.at = if index > start { index } else { index + 1 };
                    return &self.text[start..self.at];
                }
                _ => escaped = false,
            }
        }
        self.at = self.text.len();
        &self.text[start..]
    }
}

/// `String.trim()`.
fn trim(text: &str) -> &str {
    text.trim_matches(|char| char <= ' ')
}

fn is_blank(text: &str) -> bool {
    trim(text).is_empty()
}

/// Whole numbers get the narrowest type, others a float if only it is finite.
fn number(token: &str) -> Option<Guess> {
    let written = Written::parse(token)?;
    let scale = i32::try_from(written.scale).ok()?;
    if let Some(value) = written.whole() {
        let kind = match value {
            -0x80..0x80 => Type::Int8,
            -0x8000..0x8000 => Type::Int16,
            -0x8000_0000..0x8000_0000 => Type::Int32,
            _ => Type::Int64,
        };
        return Some(Guess { kind, value: Value::Int(value) });
    }
    let (single, double) = (token.parse::<f32>().ok()?, token.parse::<f64>().ok()?);
    Some(if single.is_finite() && scale != 0 {
        Guess { kind: Type::Float32, value: Value::Float32(single) }
    } else if double.is_finite() && scale != 0 {
        Guess { kind: Type::Float64, value: Value::Float64(double) }
    } else {
        Guess { kind: Type::Decimal(scale), value: Value::Bytes(Bytes::from(written.unscaled())) }
    })
}

/// The type that the elements so far have in common.
enum Common {
    /// Nothing but nulls yet.
    Any,
    Type(Type),
    None,
}

impl Common {
    fn merge(&mut self, latest: Option<&Guess>) {
        let Some(latest) = latest else { return };
        *self = match self {
            Common::Any => Common::Type(latest.kind.clone()),
            Common::Type(known) => match merged(known, &latest.kind) {
                Some(kind) => Common::Type(kind),
                None => Common::None,
            },
            Common::None => Common::None,
        };
    }

    fn kind(self) -> Option<Type> {
        match self {
            Common::Type(kind) => Some(kind),
            Common::Any | Common::None => None,
        }
    }
}

fn merged(known: &Type, latest: &Type) -> Option<Type> {
    let rank = |kind: &Type| match kind {
        Type::Int8 => Some(0),
        Type::Int16 => Some(1),
        Type::Int32 => Some(2),
        Type::Int64 => Some(3),
        Type::Float32 => Some(4),
        Type::Float64 => Some(5),
        _ => None,
    };
    match (known, latest) {
        // The last one's schema counts, whatever the elements of the others are.
        (Type::Array(_), Type::Array(_)) | (Type::Map(..), Type::Map(..)) => Some(latest.clone()),
        _ if known == latest => Some(latest.clone()),
        _ => {
            let wider = if rank(known)? > rank(latest)? { known } else { latest };
            Some(wider.clone())
        }
    }
}

/// Gives every value the common type. A null has none.
fn align(values: Vec<Value>, kind: Option<&Type>) -> Result<Vec<Value>, Failed> {
    let Some(kind) = kind else { return Ok(values) };
    let align = |value| match (kind, value) {
        (_, Value::Null) => Err(Failed),
        // Connect converts through a double, whatever the width.
        (Type::Float32, Value::Int(value)) => Ok(Value::Float32(value as f64 as f32)),
        (Type::Float64, Value::Int(value)) => Ok(Value::Float64(value as f64)),
        (Type::Float64, Value::Float32(value)) => Ok(Value::Float64(value.into())),
        (_, value) => Ok(value),
    };
    values.into_iter().map(align).collect()
}

impl Guess {
    fn string(text: &str) -> Self {
        Self { kind: Type::String, value: Value::Text(text.into()) }
    }

    fn data(self) -> Data {
        Data { schema: self.kind.schema(), value: self.value }
    }
}

impl Type {
    fn schema(&self) -> Option<Arc<Schema>> {
        let logical = |kind, name: &str| {
            Schema::new(kind).named(&format!("org.apache.kafka.connect.data.{name}"), 1)
        };
        Some(Arc::new(match self {
            Type::Int8 => Schema::new(Kind::Int8),
            Type::Int16 => Schema::new(Kind::Int16),
            Type::Int32 => Schema::new(Kind::Int32),
            Type::Int64 => Schema::new(Kind::Int64),
            Type::Float32 => Schema::new(Kind::Float32),
            Type::Float64 => Schema::new(Kind::Float64),
            Type::Boolean => Schema::new(Kind::Boolean),
            Type::String => Schema::new(Kind::String),
            Type::Decimal(scale) => {
                logical(Kind::Bytes, "Decimal").parameter("scale", &scale.to_string())
            }
            Type::Date => logical(Kind::Int32, "Date"),
            Type::Time => logical(Kind::Int32, "Time"),
            Type::Timestamp => logical(Kind::Int64, "Timestamp"),
            Type::Array(items) => Schema::new(Kind::Array(items.as_ref()?.schema()?)),
            Type::Map(keys, values) => {
                Schema::new(Kind::Map(keys.as_ref()?.schema()?, values.as_ref()?.schema()?))
            }
        }))
    }
}
