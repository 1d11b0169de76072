//! What `java.util.regex.Pattern` says of patterns that are none: users read these texts in the
//! answers of REST.

/// The message of the `PatternSyntaxException`, for the mistakes that people make: groups, classes
/// and repetitions that do not end or have nothing to repeat, escapes that do not exist. `None` when
/// there is none of these.
pub fn syntax_error(pattern: &str) -> Option<String> {
    let chars: Vec<char> = pattern.chars().collect();
    let (wrong, index) = Scanner { chars: &chars, at: 0 }.scan().err()?;
    // An index before the pattern is not told.
    let Some(index) = index else { return Some(format!("{wrong}\n{pattern}")) };
    let caret = match index < chars.len() {
        true => format!("\n{}^", " ".repeat(index)),
        false => String::new(),
    };
    Some(format!("{wrong} near index {index}\n{pattern}{caret}"))
}

/// What is wrong and near which character.
type Wrong = (String, Option<usize>);

struct Scanner<'p> {
    chars: &'p [char],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn scan(mut self) -> Result<(), Wrong> {
        let mut open = 0;
        // Whether the last thing read can be repeated.
        let mut atom = false;
        while let Some(char) = self.peek(0) {
            let start = self.at;
            self.at += 1;
            match char {
                '(' => {
                    open += 1;
                    atom = false;
                    self.group_kind()?;
                }
                ')' if open == 0 => {
                    return Err(("Unmatched closing ')'".to_owned(), start.checked_sub(1)));
                }
                ')' => {
                    open -= 1;
                    atom = true;
                }
                '|' => atom = false,
                '[' => {
                    self.class()?;
                    atom = true;
                }
                '\\' => {
                    self.escape()?;
                    atom = true;
                }
                '*' | '+' | '?' if !atom => {
                    return Err((format!("Dangling meta character '{char}'"), Some(start)));
                }
                '*' | '+' | '?' => {
                    self.reluctant_or_possessive();
                    atom = false;
                }
                '{' => {
                    self.counted(start)?;
                    self.reluctant_or_possessive();
                    atom = false;
                }
                _ => atom = true,
            }
        }
        match open {
            0 => Ok(()),
            _ => Err(("Unclosed group".to_owned(), Some(self.chars.len()))),
        }
    }

    /// `?:`, `?=`, `?!`, `?>`, `?<=`, `?<!`, `?<name>` and flags after an opening parenthesis.
    fn group_kind(&mut self) -> Result<(), Wrong> {
        if self.peek(0) != Some('?') {
            return Ok(());
        }
        self.at += 1;
        while let Some(char) = self.peek(0) {
            if char == ')' {
                return Ok(());
            }
            self.at += 1;
            let name = char == '<' && !matches!(self.peek(0), Some('=' | '!'));
            if !(name || char.is_ascii_alphanumeric() || char == '-') {
                if matches!(char, '<') {
                    self.at += 1;
                }
                return Ok(());
            }
        }
        Err(("Unknown inline modifier".to_owned(), Some(self.chars.len())))
    }

    fn reluctant_or_possessive(&mut self) {
        if matches!(self.peek(0), Some('?' | '+')) {
            self.at += 1;
        }
    }

    /// After an opening brace at `start`.
    fn counted(&mut self, start: usize) -> Result<(), Wrong> {
        if !self.peek(0).is_some_and(|char| char.is_ascii_digit()) {
            return Err(("Illegal repetition".to_owned(), Some(start + 1)));
        }
        let least = self.number();
        let mut most = None;
        if self.peek(0) == Some(',') {
            self.at += 1;
            if self.peek(0) != Some('}') {
                most = Some(self.number());
            }
        }
        let end = self.at;
        if self.peek(0) != Some('}') {
            return Err(("Unclosed counted closure".to_owned(), Some(end)));
        }
        self.at += 1;
        match most {
            Some(most) if most < least => Err(("Illegal repetition range".to_owned(), Some(end))),
            _ => Ok(()),
        }
    }

    fn number(&mut self) -> u64 {
        let mut number = 0u64;
        while let Some(digit) = self.peek(0).and_then(|char| char.to_digit(10)) {
            number = number.saturating_mul(10).saturating_add(u64::from(digit));
            self.at += 1;
        }
        number
    }

    /// After an opening bracket, up to the one that closes it.
    fn class(&mut self) -> Result<(), Wrong> {
        let mut depth = 1;
        let mut empty = true;
        if self.peek(0) == Some('^') {
            self.at += 1;
        }
        while let Some(char) = self.peek(0) {
            self.at += 1;
            match char {
                '[' => {
                    depth += 1;
                    empty = true;
                    if self.peek(0) == Some('^') {
                        self.at += 1;
                    }
                    continue;
                }
                ']' if !empty => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                '\\' => self.escape()?,
                _ if self.peek(0) == Some('-')
                    && self.peek(1) == Some('\\')
                    && self.peek(2).is_some_and(|class| "dDsSwWhHvVpP".contains(class)) =>
                {
                    return Err(("Illegal character range".to_owned(), Some(self.at + 2)));
                }
                first => {
                    let last = self.peek(1).filter(|last| !matches!(last, ']' | '[' | '\\'));
                    if let (Some('-'), Some(last)) = (self.peek(0), last) {
                        self.at += 2;
                        if last < first {
                            let wrong = "Illegal character range".to_owned();
                            return Err((wrong, Some(self.at - 1)));
                        }
                    }
                }
            }
            empty = false;
        }
        Err(("Unclosed character class".to_owned(), Some(self.chars.len() - 1)))
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        let Some(char) = self.peek(0) else {
            return Err(("Unexpected internal error".to_owned(), Some(self.chars.len())));
        };
        self.at += 1;
        match char {
            'Q' => {
                while self.at < self.chars.len() {
                    if self.peek(0) == Some('\\') && self.peek(1) == Some('E') {
                        self.at += 2;
                        break;
                    }
                    self.at += 1;
                }
            }
            'p' | 'P' if self.peek(0) == Some('{') => {
                self.skip_past('}', "Unclosed character family")?;
            }
            'x' if self.peek(0) == Some('{') => {
                self.skip_past('}', "Unclosed hexadecimal escape sequence")?;
            }
            'k' if self.peek(0) == Some('<') => {
                self.skip_past('>', "named capturing group is missing trailing '>'")?;
            }
            'C' | 'E' | 'F' | 'I' | 'J' | 'L' | 'M' | 'O' | 'T' | 'U' | 'Y' | 'g' | 'i' | 'j'
            | 'l' | 'm' | 'o' | 'q' | 'y' => {
                return Err(("Illegal/unsupported escape sequence".to_owned(), Some(start)));
            }
            _ => {}
        }
        Ok(())
    }

    fn skip_past(&mut self, end: char, unclosed: &str) -> Result<(), Wrong> {
        while let Some(char) = self.peek(0) {
            self.at += 1;
            if char == end {
                return Ok(());
            }
        }
        Err((unclosed.to_owned(), Some(self.chars.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a JVM worker says it, of a predicate's pattern.
    #[test]
    fn what_java_says() {
        for (pattern, wanted) in [
            ("a(?:b|[^]c])*+d{2,3}?", None),
            (r"(?<name>x)\k<name>\p{L}\Q(\E", None),
            ("(", Some("Unclosed group near index 1\n(")),
            ("a)", Some("Unmatched closing ')' near index 0\na)\n^")),
            (")", Some("Unmatched closing ')'\n)")),
            ("[a", Some("Unclosed character class near index 1\n[a\n ^")),
            ("x[]", Some("Unclosed character class near index 2\nx[]\n  ^")),
            ("[z-a]", Some("Illegal character range near index 3\n[z-a]\n   ^")),
            ("*a", Some("Dangling meta character '*' near index 0\n*a\n^")),
            ("a|+", Some("Dangling meta character '+' near index 2\na|+\n  ^")),
            ("a***", Some("Dangling meta character '*' near index 2\na***\n  ^")),
            ("a{2,1}", Some("Illegal repetition range near index 5\na{2,1}\n     ^")),
            ("{x}", Some("Illegal repetition near index 1\n{x}\n ^")),
            ("a{x}", Some("Illegal repetition near index 2\na{x}\n  ^")),
            ("a{2", Some("Unclosed counted closure near index 3\na{2")),
            (r"a\", Some("Unexpected internal error near index 2\na\\")),
            ("a(?", Some("Unknown inline modifier near index 3\na(?")),
            ("(?<=a)(?<!b)(?i)c", None),
            (r"[a-\d]", Some("Illegal character range near index 4\n[a-\\d]\n    ^")),
            (r"\p{L", Some("Unclosed character family near index 4\n\\p{L")),
            (r"a\yb", Some("Illegal/unsupported escape sequence near index 2\na\\yb\n  ^")),
        ] {
            assert_eq!(syntax_error(pattern).as_deref(), wanted, "{pattern}");
        }
    }
}
