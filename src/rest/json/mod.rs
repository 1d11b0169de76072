//! Reads JSON token by token, and says what is wrong with it in the words of the parser that Kafka
//! Connect uses (Jackson 2.21), with its lines and columns: tools show these texts to people, and
//! some look for words in them.
//!
//! Columns count bytes from one, as Jackson counts them for UTF-8. What a JVM worker answers is
//! recorded in `tests/rest/bodies.txt`.

mod fault;
mod scalar;
mod text;
mod value;

pub(super) use fault::{Fault, Place};
pub(super) use value::object;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    StartObject,
    EndObject,
    StartArray,
    EndArray,
    Field(String),
    Text(String),
    /// As it is written.
    Integer(String),
    Float(String),
    True,
    False,
    Null,
}

impl Token {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Token::StartObject => "START_OBJECT",
            Token::EndObject => "END_OBJECT",
            Token::StartArray => "START_ARRAY",
            Token::EndArray => "END_ARRAY",
            Token::Field(_) => "FIELD_NAME",
            Token::Text(_) => "VALUE_STRING",
            Token::Integer(_) => "VALUE_NUMBER_INT",
            Token::Float(_) => "VALUE_NUMBER_FLOAT",
            Token::True => "VALUE_TRUE",
            Token::False => "VALUE_FALSE",
            Token::Null => "VALUE_NULL",
        }
    }
}

type Read<T> = Result<T, Fault>;

/// Jackson's limits.
const DEPTH_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 50_000;
const DIGITS_MAX: usize = 1_000;

/// As far as Jackson counts a name that is too long.
const NAME_BYTES_COUNTED: usize = 1 << 16;

enum Level {
    /// Opened there; whether a comma must come next, a name, or a value.
    Object(Place, Want),
    Array(Place, Want),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    First,
    Value,
    Comma,
}

pub(super) struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    line_start: usize,
    levels: Vec<Level>,
    /// The token before, for messages, and where it stands.
    last: &'static str,
    place: Place,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self {
            text,
            // Columns count the bytes of such a mark, too.
            at: if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 },
            line: 1,
            line_start: 0,
            levels: Vec::new(),
            last: "null",
            place: Place { line: 1, column: 1 },
        }
    }

    /// Where the last token begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Behind what has been read.
    pub(super) fn behind(&self) -> Place {
        self.place_at(self.at)
    }

    fn place_at(&self, at: usize) -> Place {
        Place { line: self.line, column: at.saturating_sub(self.line_start) + 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault<T>(&self, message: impl Into<String>, at: usize) -> Read<T> {
        Err(Fault::new(message, self.place_at(at)))
    }

    fn skip_blanks(&mut self) -> Read<()> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\n' | b'\r' => {
                    self.at += 1;
                    if byte == b'\r' && self.peek() == Some(b'\n') {
                        self.at += 1;
                    }
                    self.line += 1;
                    self.line_start = self.at;
                }
                0..0x20 => {
                    let message = format!(
                        "Illegal character ((CTRL-CHAR, code {byte})): only regular white space \
                         (\\r, \\n, \\t) is allowed between tokens"
                    );
                    return self.fault(message, self.at + 1);
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// The next token; `None` at the end of the text.
    pub(super) fn next(&mut self) -> Read<Option<Token>> {
        let token = self.step()?;
        self.last = token.as_ref().map_or(self.last, Token::name);
        Ok(token)
    }

    fn step(&mut self) -> Read<Option<Token>> {
        self.skip_blanks()?;
        let closing = self.peek().filter(|byte| matches!(byte, b'}' | b']'));
        let Some(level) = self.levels.last() else {
            return match (self.peek(), closing) {
                (None, _) => Ok(None),
                (_, Some(close)) => {
                    let kind = if close == b'}' { "Object" } else { "Array" };
                    let close = char::from(close);
                    let message =
                        format!("Unexpected close marker '{close}': no open {kind} to close");
                    self.fault(message, self.at)
                }
                _ => self.value().map(Some),
            };
        };
        let (object, start, want) = match level {
            Level::Object(start, want) => (true, *start, *want),
            Level::Array(start, want) => (false, *start, *want),
        };
        let kind = if object { "Object" } else { "Array" };
        if want == Want::Comma || want == Want::First {
            match closing {
                Some(close) if (close == b'}') == object => {
                    self.place = self.place_at(self.at);
                    self.at += 1;
                    self.levels.pop();
                    self.value_done();
                    return Ok(Some(if object { Token::EndObject } else { Token::EndArray }));
                }
                Some(close) => {
                    let expected = if object { '}' } else { ']' };
                    let message = format!(
                        "Unexpected close marker '{}': expected '{expected}' (for {kind} starting \
                         at {})",
                        char::from(close),
                        start.show()
                    );
                    return self.fault(message, self.at);
                }
                None => {}
            }
            match (want, self.peek()) {
                (_, None) => {
                    let message = format!(
                        "Unexpected end-of-input: expected close marker for {kind} (start marker \
                         at {})",
                        start.show()
                    );
                    return self.fault(message, self.at);
                }
                (Want::Comma, Some(b',')) => {
                    self.at += 1;
                    self.skip_blanks()?;
                    if self.peek().is_none() {
                        return self.cut_between();
                    }
                }
                (Want::Comma, Some(_)) => {
                    return self
                        .unexpected(&format!("was expecting comma to separate {kind} entries"));
                }
                _ => {}
            }
        }
        match (object, want) {
            (true, Want::First | Want::Comma) => self.field().map(Some),
            _ => self.value().map(Some),
        }
    }

    fn cut_between<T>(&self) -> Read<T> {
        let kind = match self.levels.last() {
            Some(Level::Array(..)) => "Array",
            _ => "Object",
        };
        self.fault(format!("Unexpected end-of-input within/between {kind} entries"), self.at)
    }

    /// A value has been read: what may follow it.
    fn value_done(&mut self) {
        if let Some(Level::Object(_, want) | Level::Array(_, want)) = self.levels.last_mut() {
            *want = Want::Comma;
        }
    }

    fn field(&mut self) -> Read<Token> {
        if self.peek() != Some(b'"') {
            return self.unexpected("was expecting double-quote to start field name");
        }
        self.place = self.place_at(self.at);
        self.at += 1;
        let name = self.text("name", "field name")?;
        if name.len() > NAME_BYTES_MAX {
            let given = name.len().min(NAME_BYTES_COUNTED);
            return Err(Fault::limit("Name length", given, NAME_BYTES_MAX, "getMaxNameLength"));
        }
        self.skip_blanks()?;
        match self.peek() {
            Some(b':') => self.at += 1,
            None => return self.cut_between(),
            Some(_) => {
                return self.unexpected("was expecting a colon to separate field name and value");
            }
        }
        if let Some(Level::Object(_, want)) = self.levels.last_mut() {
            *want = Want::Value;
        }
        Ok(Token::Field(name))
    }

    fn unexpected<T>(&self, expected: &str) -> Read<T> {
        self.odd(&format!(": {expected}"), self.at)
    }

    fn value(&mut self) -> Read<Token> {
        self.place = self.place_at(self.at);
        let token = match self.peek() {
            None => return self.cut_between(),
            Some(open @ (b'{' | b'[')) => {
                if self.levels.len() >= DEPTH_MAX {
                    let depth = self.levels.len() + 1;
                    let what = "Document nesting depth";
                    return Err(Fault::limit(what, depth, DEPTH_MAX, "getMaxNestingDepth"));
                }
                self.at += 1;
                let (level, token) = match open {
                    b'{' => (Level::Object(self.place, Want::First), Token::StartObject),
                    _ => (Level::Array(self.place, Want::First), Token::StartArray),
                };
                self.levels.push(level);
                return Ok(token);
            }
            Some(b'"') => {
                self.at += 1;
                let read = self.text("string value", "VALUE_STRING");
                Token::Text(read.map_err(Fault::in_text)?)
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'+') => {
                let rest = " in numeric value: JSON spec does not allow numbers to have plus signs: \
                            enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow";
                return self
                    .fault(format!("Unexpected character ('+' (code 43)){rest}"), self.at + 1);
            }
            Some(b'/') => {
                return self.unexpected(
                    "maybe a (non-standard) comment? (not recognized as one since Feature \
                     'ALLOW_COMMENTS' not enabled for parser)",
                );
            }
            Some(b',' | b'}' | b']') => return self.unexpected("expected a value"),
            Some(_) => self.word()?,
        };
        self.value_done();
        Ok(token)
    }

    /// Skips what belongs to a value whose first token has been read.
    pub(super) fn skip(&mut self, first: &Token) -> Read<()> {
        if !matches!(first, Token::StartObject | Token::StartArray) {
            return Ok(());
        }
        let outside = self.levels.len().saturating_sub(1);
        while self.levels.len() > outside {
            if self.next()?.is_none() {
                return self.cut_between();
            }
        }
        Ok(())
    }
}
