//! `sasl.jaas.config`: one entry of a JAAS file, `Module flag key="value" …;`.
//!
//! Kafka cuts it up with `java.io.StreamTokenizer`, whose rules are these, as Kafka 4.3's
//! `JaasContext` showed when it was asked: a word begins with a letter, `_`, `$` or what is not
//! ASCII and goes on with digits, `-` and `.` too; text in `"` or `'` ends at its quote or with the
//! line and knows the escapes of C; `/` begins a comment. What looks like a number is no word, which
//! is why a password that begins with a digit has to be quoted.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

use model::config::Secret;

/// The module and its options, of which one is the password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) module: String,
    pub(super) options: BTreeMap<String, Secret>,
}

/// Reads the one entry of `text`; the error goes on from the property's name.
pub(super) fn entry(text: &str) -> Result<Entry, String> {
    let mut tokens = Tokens { chars: text.chars().peekable() };
    let Some(first) = tokens.next() else { return Err("is empty".to_owned()) };
    let Token::Word(module) = first else {
        return Err("does not begin with a login module".to_owned());
    };
    match tokens.next() {
        Some(Token::Word(flag)) if is_flag(&flag) => {}
        _ => return Err("has no control flag after the login module".to_owned()),
    }
    let mut options = BTreeMap::new();
    loop {
        let key = match tokens.next() {
            None => return Err("does not end with `;`".to_owned()),
            Some(Token::Sign(';')) => break,
            Some(Token::Sign(sign)) => {
                return Err(format!("has {sign:?} where an option should begin"));
            }
            Some(Token::Word(key)) => key,
        };
        match (tokens.next(), tokens.next()) {
            (Some(Token::Sign('=')), Some(Token::Word(value))) => {
                options.insert(key, Secret::new(value))
            }
            // What stands there may be the password.
            _ => return Err(format!("has no value for {key}; write {key}=\"…\" with its quotes")),
        };
    }
    if tokens.next().is_some() {
        return Err("has more than one login module".to_owned());
    }
    Ok(Entry { module, options })
}

fn is_flag(word: &str) -> bool {
    ["required", "requisite", "sufficient", "optional"]
        .iter()
        .any(|flag| word.eq_ignore_ascii_case(flag))
}

enum Token {
    Word(String),
    /// Any other character, or `0` for a number.
    Sign(char),
}

struct Tokens<'t> {
    chars: Peekable<Chars<'t>>,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let char = self.chars.next()?;
            return Some(match char {
                '\0'..=' ' => continue,
                '/' => {
                    self.comment();
                    continue;
                }
                '"' | '\'' => Token::Word(self.quoted(char)),
                '0'..='9' | '.' => self.number(),
                '-' if matches!(self.chars.peek(), Some('0'..='9' | '.')) => self.number(),
                _ if begins_word(char) => {
                    let mut word = String::from(char);
                    while let Some(char) = self.chars.next_if(|char| in_word(*char)) {
                        word.push(char);
                    }
                    Token::Word(word)
                }
                _ => Token::Sign(char),
            });
        }
    }
}

fn begins_word(char: char) -> bool {
    char.is_ascii_alphabetic() || matches!(char, '_' | '$') || char >= '\u{a0}'
}

fn in_word(char: char) -> bool {
    begins_word(char) || char.is_ascii_digit() || matches!(char, '-' | '.')
}

impl Tokens<'_> {
    /// Up to the end of the line, or to `*/` after `/*`.
    fn comment(&mut self) {
        if self.chars.next_if_eq(&'*').is_some() {
            let mut star = false;
            for char in self.chars.by_ref() {
                if star && char == '/' {
                    return;
                }
                star = char == '*';
            }
        } else {
            while self.chars.next_if(|char| !matches!(char, '\n' | '\r')).is_some() {}
        }
    }

    fn number(&mut self) -> Token {
        while self.chars.next_if(|char| char.is_ascii_digit() || *char == '.').is_some() {}
        Token::Sign('0')
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(char) = self.chars.next_if(|char| !matches!(char, '\n' | '\r')) {
            match char {
                _ if char == quote => break,
                '\\' => text.extend(self.escaped()),
                _ => text.push(char),
            }
        }
        text
    }

    fn escaped(&mut self) -> Option<char> {
        let char = self.chars.next()?;
        Some(match char {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            // Up to three octal digits, up to 377.
            '0'..='7' => {
                let more = if char <= '3' { 2 } else { 1 };
                let mut code = char.to_digit(8)?;
                for _ in 0..more {
                    let Some(digit) = self.chars.next_if(|char| char.is_digit(8)) else { break };
                    code = code * 8 + digit.to_digit(8)?;
                }
                char::from_u32(code)?
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Kafka 4.3's `JaasContext.loadClientContext` says to each.
    #[test]
    fn entries_as_kafka_reads_them() {
        let check = |text: &str| match entry(&text.replace('M', "p.PlainLoginModule")) {
            Ok(entry) => {
                assert_eq!(entry.module, "p.PlainLoginModule");
                let shown = format!("{entry:?}");
                assert_eq!(shown.matches("[hidden]").count(), entry.options.len(), "{shown}");
                let options = entry.options.iter();
                let options = options.map(|(key, value)| format!("{key}={}", value.expose()));
                options.collect::<Vec<_>>().join("|")
            }
            Err(wrong) => format!("! {wrong}"),
        };
        let cases = [
            (r#"M required u="ann" p="p w;'\"x";"#, "p=p w;'\"x|u=ann"),
            ("M required\n  u='ann'\n p='x' ;", "p=x|u=ann"),
            ("M required u=ann p=a1-2.b;", "p=a1-2.b|u=ann"),
            (r#"M REQUIRED u="a\tb\101\x" p="\0\377\400\8";"#, "p=\0ÿ\u{20}08|u=a\tbAx"),
            ("M required u = \"a\" p= \"x\" ; // foo", "p=x|u=a"),
            ("M required /* c */ u=\"a\" // u\n p=\"x\";", "p=x|u=a"),
            ("M required u=a/b\n p=\"x\";", "p=x|u=a"),
            ("M required u=\"ü€\" p=ü€;", "p=ü€|u=ü€"),
            ("M required u=\"\" p=\"\";", "p=|u="),
            ("\"M\" required u=\"q\";", "u=q"),
            ("M required;", ""),
            ("M required u=ann p=123;", "! has no value for p; write p=\"…\" with its quotes"),
            ("M required u=ann p=1a;", "! has no value for p; write p=\"…\" with its quotes"),
            ("M required u=ann p=-;", "! has no value for p; write p=\"…\" with its quotes"),
            (
                "M required u=\"a\nb\" p=\"x\";",
                "! has no value for b; write b=\"…\" with its quotes",
            ),
            ("M required u=\"ann\" p=\"x\"", "! does not end with `;`"),
            ("M required u=\"ann;", "! does not end with `;`"),
            ("M u=\"ann\" p=\"x\";", "! has no control flag after the login module"),
            ("M required u=a,p=b;", "! has ',' where an option should begin"),
            ("M required u=\"a\"; M required u=\"b\";", "! has more than one login module"),
            ("M required u=\"a\";;", "! has more than one login module"),
            ("", "! is empty"),
            (";", "! does not begin with a login module"),
            ("M", "! has no control flag after the login module"),
        ];
        for (text, answer) in cases {
            assert_eq!(check(text), answer, "{text}");
        }
    }
}
