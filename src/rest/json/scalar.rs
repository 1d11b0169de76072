//! Numbers, and the words that stand for values.

use super::{DIGITS_MAX, Fault, Read, Reader, Token};

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Read<Token> {
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
        let mut digits = self.digits();
        if zero && digits > 1 {
            let first = start + usize::from(self.text.get(start) == Some(&b'-'));
            return self.fault("Invalid numeric value: Leading zeroes not allowed", first + 1);
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            let fraction = self.digits();
            digits += fraction;
            if fraction == 0 {
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
            let exponent = self.digits();
            digits += exponent;
            if exponent == 0 {
                if self.peek().is_none() {
                    return self.cut_in_number();
                }
                return self
                    .odd(" in numeric value: Exponent indicator not followed by a digit", self.at);
            }
        }
        if digits > DIGITS_MAX {
            let what = "Number value length";
            return Err(Fault::limit(what, digits, DIGITS_MAX, "getMaxNumberLength"));
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

    pub(super) fn word(&mut self) -> Read<Token> {
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
}
