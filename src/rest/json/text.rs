//! Characters, and the texts and names that they make.

use super::{Read, Reader};

impl Reader<'_> {
    /// One character, however many bytes it has.
    pub(super) fn utf8(&mut self) -> Read<char> {
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
    pub(super) fn text(&mut self, place: &str, cut: &str) -> Read<String> {
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

    pub(super) fn char_at(&self, at: usize) -> Read<char> {
        let mut scan = Reader { at, ..Reader::new(self.text) };
        (scan.line, scan.line_start) = (self.line, self.line_start);
        scan.utf8()
    }

    /// The byte there is not what it should be. Jackson reads a character of its own there, which
    /// may be cut.
    pub(super) fn odd<T>(&self, rest: &str, at: usize) -> Read<T> {
        let char = self.char_at(at)?;
        self.fault(format!("Unexpected character ({}){rest}", described(char)), at)
    }
}

fn described(char: char) -> String {
    match u32::from(char) {
        code @ 0..0x20 => format!("(CTRL-CHAR, code {code})"),
        code @ 0..0x100 => format!("'{char}' (code {code})"),
        code => format!("'{char}' (code {code} / 0x{code:x})"),
    }
}
