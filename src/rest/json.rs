//! Reads JSON token by token, and says what is wrong with it in the words of the parser that Kafka
//! Connect uses (Jackson 2.21), with its lines and columns: tools show these texts to people, and
//! some look for words in them.
//!
//! Columns count bytes from one, as Jackson counts them for UTF-8. Recorded answers of a JVM worker
//! are in `testdata/jackson.txt`.

/// Where the bytes come from, as Jackson names it since it hides them.
const SOURCE: &str =
    "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: ";

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    fn show(self) -> String {
        format!("{SOURCE}{}, column: {}]", self.line, self.column)
    }
}

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

/// What is wrong, where, and what leads there.
#[derive(Debug)]
pub(super) struct Fault {
    message: String,
    place: Place,
    /// Of the form `Class["field"]->…`, outermost first.
    path: Vec<String>,
    /// Texts are read when they are asked for, so a fault in one belongs to its field.
    pub(super) within_text: bool,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, place: Place) -> Self {
        Self { message: message.into(), place, path: Vec::new(), within_text: false }
    }

    /// With one more step that leads to it.
    pub(super) fn under(mut self, step: String) -> Self {
        self.path.insert(0, step);
        self
    }

    pub(super) fn show(&self) -> String {
        let place = self.place.show();
        let chain = match self.path.is_empty() {
            true => String::new(),
            false => format!(" (through reference chain: {})", self.path.join("->")),
        };
        format!("{}\n at {place}{chain}", self.message)
    }
}

type Read<T> = Result<T, Fault>;

/// Deeper than any request. Jackson's own limit is 1,000, which readers that call themselves for what
/// is inside would need much stack for.
const DEPTH_MAX: usize = 250;

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
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self {
            text,
            at: 0,
            line: 1,
            line_start: 0,
            levels: Vec::new(),
            last: "NOT_AVAILABLE",
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

    /// The byte there is not what it should be. Jackson reads a character of its own there, which
    /// may be cut.
    fn odd<T>(&self, rest: &str, at: usize) -> Read<T> {
        let char = self.char_at(at)?;
        self.fault(format!("Unexpected character ({}){rest}", described(char)), at)
    }

    fn char_at(&self, at: usize) -> Read<char> {
        let mut scan = Reader { at, ..Reader::new(self.text) };
        scan.text = self.text;
        (scan.line, scan.line_start) = (self.line, self.line_start);
        scan.utf8()
    }

    /// One character, however many bytes it has.
    fn utf8(&mut self) -> Read<char> {
        let Some(first) = self.peek() else {
            return self.fault("Unexpected end-of-input", self.at);
        };
        self.at += 1;
        let (more, mut code) = match first {
            0..0x80 => return Ok(char::from(first)),
            0xc0..0xe0 => (1, u32::from(first & 0x1f)),
            0xe0..0xf0 => (2, u32::from(first & 0x0f)),
            0xf0..0xf8 => (3, u32::from(first & 0x07)),
            _ => return self.fault(format!("Invalid UTF-8 start byte 0x{first:x}"), self.at),
        };
        for _ in 0..more {
            match self.peek() {
                Some(byte) if byte & 0xc0 == 0x80 => {
                    self.at += 1;
                    code = code << 6 | u32::from(byte & 0x3f);
                }
                Some(byte) => {
                    let message = format!("Invalid UTF-8 middle byte 0x{byte:x}");
                    return self.fault(message, self.at + 1);
                }
                None => return self.fault("Unexpected end-of-input in VALUE_STRING", self.at),
            }
        }
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => {
                let message = format!("Invalid UTF-8: Illegal surrogate character 0x{code:x}");
                self.fault(message, self.at)
            }
        }
    }

    /// The rest of a text behind its quote.
    fn text(&mut self, place: &str, cut: &str) -> Read<String> {
        let mut units: Vec<u16> = Vec::new();
        loop {
            match self.peek() {
                None => return self.fault(format!("Unexpected end-of-input in {cut}"), self.at),
                Some(b'"') => {
                    self.at += 1;
                    // Halves of characters that stand alone have no text of their own here.
                    return Ok(String::from_utf16_lossy(&units));
                }
                Some(b'\\') => {
                    self.at += 1;
                    units.push(self.escape()?);
                }
                Some(byte @ 0..0x20) => {
                    let message = format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {byte})): has to be escaped \
                         using backslash to be included in {place}"
                    );
                    return self.fault(message, self.at);
                }
                Some(_) => units.extend(self.utf8()?.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Read<u16> {
        let cut = "Unexpected end-of-input in character escape sequence";
        let Some(byte) = self.peek() else { return self.fault(cut, self.at) };
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let mut unit = 0;
                for _ in 0..4 {
                    let Some(byte) = self.peek() else { return self.fault(cut, self.at) };
                    let Some(digit) = char::from(byte).to_digit(16) else {
                        return self
                            .unexpected("expected a hex-digit for character escape sequence");
                    };
                    self.at += 1;
                    unit = unit << 4 | u16::try_from(digit).unwrap_or_default();
                }
                return Ok(unit);
            }
            _ => {
                let char = self.char_at(self.at)?;
                let message = format!("Unrecognized character escape {}", described(char));
                return self.fault(message, self.at);
            }
        };
        self.at += 1;
        Ok(u16::from(plain))
    }

    fn value(&mut self) -> Read<Token> {
        self.place = self.place_at(self.at);
        let token = match self.peek() {
            None => return self.cut_between(),
            Some(open @ (b'{' | b'[')) => {
                if self.levels.len() >= DEPTH_MAX {
                    let message = format!(
                        "Document nesting depth ({}) exceeds the maximum allowed ({DEPTH_MAX}, \
                         from `StreamReadConstraints.getMaxNestingDepth()`)",
                        DEPTH_MAX + 1
                    );
                    return self.fault(message, self.at + 1);
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
                Token::Text(read.map_err(|fault| Fault { within_text: true, ..fault })?)
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

    fn number(&mut self) -> Read<Token> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            match self.peek() {
                None => return self.cut_in_number(),
                Some(b'0'..=b'9') => {}
                Some(b'I') => {
                    let word = self.letters();
                    if ["Infinity", "INF"].contains(&word.as_str()) {
                        return self.non_standard(&format!("-{word}"));
                    }
                    self.at = start + 1;
                    return self.no_digit();
                }
                Some(_) => return self.no_digit(),
            }
        }
        let zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if zero && digits > 1 {
            let first = start + usize::from(self.text.get(start) == Some(&b'-'));
            return self.fault("Invalid numeric value: Leading zeroes not allowed", first + 1);
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            if self.digits() == 0 {
                let at = if self.peek().is_none() { self.at - 1 } else { self.at };
                return self.odd(" in numeric value: Decimal point not followed by a digit", at);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                if self.peek().is_none() {
                    return self.cut_in_number();
                }
                return self
                    .odd(" in numeric value: Exponent indicator not followed by a digit", self.at);
            }
        }
        if self.levels.is_empty() && self.peek().is_some_and(|byte| byte > b' ') {
            return self.unexpected("Expected space separating root-level values");
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        Ok(if float { Token::Float(text) } else { Token::Integer(text) })
    }

    fn no_digit<T>(&self) -> Read<T> {
        self.odd(
            " in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value",
            self.at,
        )
    }

    fn cut_in_number<T>(&self) -> Read<T> {
        self.fault(format!("Unexpected end-of-input in {}", self.last), self.at)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    /// What could be a name in Java, from here.
    fn letters(&mut self) -> String {
        let mut word = String::new();
        while let Some(byte) = self.peek() {
            let plain = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
            if byte < 0x80 && !plain {
                break;
            }
            match self.utf8() {
                Ok(char) if char.is_alphanumeric() || plain => word.push(char),
                _ => break,
            }
        }
        word
    }

    fn non_standard<T>(&self, word: &str) -> Read<T> {
        let message = format!(
            "Non-standard token '{word}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to \
             allow"
        );
        self.fault(message, self.at)
    }

    fn word(&mut self) -> Read<Token> {
        let start = self.at;
        let first = self.char_at(start)?;
        if !(first.is_alphabetic() || first == '_' || first == '$') {
            return self.unexpected(
                "expected a valid value (JSON String, Number, Array, Object or token 'null', \
                 'true' or 'false')",
            );
        }
        let word = self.letters();
        match word.as_str() {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            "NaN" | "Infinity" | "INF" => self.non_standard(&word),
            _ => {
                // Jackson's limit for what it shows.
                let shown: String = word.chars().take(256).collect();
                let more = if shown.len() < word.len() { "..." } else { "" };
                let message = format!(
                    "Unrecognized token '{shown}{more}': was expecting (JSON String, Number, \
                     Array, Object or token 'null', 'true' or 'false')"
                );
                self.fault(message, start)
            }
        }
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

fn described(char: char) -> String {
    match u32::from(char) {
        code @ 0..0x20 => format!("(CTRL-CHAR, code {code})"),
        code @ 0..0x100 => format!("'{char}' (code {code})"),
        code => format!("'{char}' (code {code} / 0x{code:x})"),
    }
}
