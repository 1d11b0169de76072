//! What Java says of texts that Debezium checks with it: names of classes, regular expressions.

/// Words that can't be names in Java 21.
const RESERVED: [&str; 54] = [
    "_",
    "abstract",
    "assert",
    "boolean",
    "break",
    "byte",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extends",
    "false",
    "final",
    "finally",
    "float",
    "for",
    "goto",
    "if",
    "implements",
    "import",
    "instanceof",
    "int",
    "interface",
    "long",
    "native",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "short",
    "static",
    "strictfp",
    "super",
    "switch",
    "synchronized",
    "this",
    "throw",
    "throws",
    "transient",
    "true",
    "try",
    "void",
    "volatile",
    "while",
];

/// `javax.lang.model.SourceVersion.isName`: identifiers joined by dots.
pub(crate) fn is_class_name(text: &str) -> bool {
    let start = |char: char| char.is_alphabetic() || matches!(char, '_' | '$');
    text.split('.').all(|part| {
        part.starts_with(start)
            && part.chars().all(|char| start(char) || char.is_numeric())
            && !RESERVED.contains(&part)
    })
}

/// Why `java.util.regex.Pattern` does not take an expression, in its words; `None` when it does, or
/// for one of its rarer reasons.
pub(crate) fn regex_error(pattern: &str) -> Option<String> {
    let mut scan = Scan { chars: pattern.chars().collect(), at: 0 };
    let (what, index) = scan.problem()?;
    let mut text = what;
    if let Some(index) = index {
        text.push_str(&format!(" near index {index}"));
    }
    text.push_str(&format!("\n{pattern}"));
    if let Some(index) = index.filter(|index| *index < scan.chars.len()) {
        text.push_str(&format!("\n{}^", " ".repeat(index)));
    }
    Some(text)
}

type Problem = (String, Option<usize>);

struct Scan {
    chars: Vec<char>,
    at: usize,
}

impl Scan {
    fn next(&mut self) -> Option<char> {
        let char = self.chars.get(self.at).copied()?;
        self.at += 1;
        Some(char)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn problem(&mut self) -> Option<Problem> {
        let mut open = 0usize;
        // Whether there is something that a quantifier can be about.
        let mut atom = false;
        while let Some(char) = self.next() {
            let here = self.at - 1;
            match char {
                '\\' => {
                    if let Some(problem) = self.escape() {
                        return Some(problem);
                    }
                    atom = true;
                }
                '[' => {
                    if let Some(problem) = self.class() {
                        return Some(problem);
                    }
                    atom = true;
                }
                '(' => {
                    open += 1;
                    atom = false;
                    if let Some(problem) = self.group() {
                        return Some(problem);
                    }
                }
                ')' if open == 0 => {
                    return Some(("Unmatched closing ')'".to_owned(), here.checked_sub(1)));
                }
                ')' => {
                    open -= 1;
                    atom = true;
                }
                '|' => atom = false,
                '*' | '+' | '?' | '{' if atom => {
                    if let Some(problem) = self.quantifier(char) {
                        return Some(problem);
                    }
                    atom = false;
                }
                '*' | '+' | '?' => {
                    return Some((format!("Dangling meta character '{char}'"), Some(here)));
                }
                _ => atom = true,
            }
        }
        (open > 0).then(|| ("Unclosed group".to_owned(), Some(self.chars.len())))
    }

    /// What makes a group special.
    fn group(&mut self) -> Option<Problem> {
        if self.peek() != Some('?') {
            return None;
        }
        self.at += 1;
        match self.peek()? {
            ':' | '=' | '!' | '>' => {}
            '<' if matches!(self.chars.get(self.at + 1), Some('=' | '!')) => self.at += 1,
            '<' => {
                self.at += 1;
                while self.peek().is_some_and(|char| char.is_ascii_alphanumeric()) {
                    self.at += 1;
                }
                if self.peek() != Some('>') {
                    let wrong = "named capturing group is missing trailing '>'";
                    return Some((wrong.to_owned(), Some(self.at)));
                }
            }
            _ => {
                while self.peek().is_some_and(|char| "idmsuxU-".contains(char)) {
                    self.at += 1;
                }
                if !matches!(self.peek(), Some(':' | ')')) {
                    return Some(("Unknown inline modifier".to_owned(), Some(self.at)));
                }
            }
        }
        // What a quantifier behind it would be about is left to the rest.
        if self.peek() != Some(')') {
            self.at += 1;
        }
        None
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<Problem> {
        const KNOWN: &str = "tnrfaecxudDsSwWhHvVRbBAGZzEkpPNX";
        let char = self.next()?;
        if char == 'Q' {
            while let Some(char) = self.next() {
                if char == '\\' && self.peek() == Some('E') {
                    self.at += 1;
                    break;
                }
            }
        } else if char.is_ascii_alphabetic() && !KNOWN.contains(char) {
            return Some(("Illegal/unsupported escape sequence".to_owned(), Some(self.at - 1)));
        } else if matches!(char, 'p' | 'P' | 'x' | 'N') && self.peek() == Some('{') {
            while self.next().is_some_and(|char| char != '}') {}
        }
        None
    }

    /// What follows a bracket, with classes in it.
    fn class(&mut self) -> Option<Problem> {
        let mut depth = 1usize;
        let mut first = true;
        let mut before: Option<char> = None;
        if self.peek() == Some('^') {
            self.at += 1;
        }
        while let Some(char) = self.next() {
            match char {
                '\\' => {
                    if let Some(problem) = self.escape() {
                        return Some(problem);
                    }
                    before = None;
                }
                '[' => {
                    depth += 1;
                    before = None;
                }
                ']' if !first => {
                    depth -= 1;
                    before = None;
                    if depth == 0 {
                        return None;
                    }
                }
                '-' if let (Some(low), Some(high)) = (before, self.peek())
                    && !matches!(high, ']' | '[' | '\\') =>
                {
                    if low > high {
                        return Some(("Illegal character range".to_owned(), Some(self.at)));
                    }
                    self.at += 1;
                    before = None;
                }
                char => before = Some(char),
            }
            first = false;
        }
        Some(("Unclosed character class".to_owned(), self.chars.len().checked_sub(1)))
    }

    /// What follows the first character of a quantifier, and what makes it lazy or possessive.
    fn quantifier(&mut self, char: char) -> Option<Problem> {
        if char == '{' {
            while self.peek().is_some_and(|char| char.is_ascii_digit()) {
                self.at += 1;
            }
            if self.peek() == Some(',') {
                self.at += 1;
                while self.peek().is_some_and(|char| char.is_ascii_digit()) {
                    self.at += 1;
                }
            }
            if self.next() != Some('}') {
                return Some(("Unclosed counted closure".to_owned(), Some(self.at)));
            }
        }
        if matches!(self.peek(), Some('?' | '+')) {
            self.at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names() {
        for name in ["a.b$C", "é.B", "var", "record", "io.debezium.X_1"] {
            assert!(is_class_name(name), "{name}");
        }
        for name in ["", "a..b", "a.", "a.class", "1a", "_", " a.B", "true", "x y"] {
            assert!(!is_class_name(name), "{name}");
        }
    }

    /// What Debezium's connectors answered on Java 21.
    #[test]
    fn regular_expressions() {
        for (pattern, said) in [
            ("(", "Unclosed group near index 1\n("),
            ("bad(", "Unclosed group near index 4\nbad("),
            ("a)", "Unmatched closing ')' near index 0\na)\n^"),
            (")", "Unmatched closing ')'\n)"),
            ("[a", "Unclosed character class near index 1\n[a\n ^"),
            ("a[", "Unclosed character class near index 1\na[\n ^"),
            ("*", "Dangling meta character '*' near index 0\n*\n^"),
            ("a**", "Dangling meta character '*' near index 2\na**\n  ^"),
            ("a|*", "Dangling meta character '*' near index 2\na|*\n  ^"),
            ("a{2", "Unclosed counted closure near index 3\na{2"),
            ("[z-a]", "Illegal character range near index 3\n[z-a]\n   ^"),
            ("(?z)", "Unknown inline modifier near index 2\n(?z)\n  ^"),
            ("(?<x", "named capturing group is missing trailing '>' near index 4\n(?<x"),
            (r"\q", "Illegal/unsupported escape sequence near index 1\n\\q\n ^"),
        ] {
            assert_eq!(regex_error(pattern).as_deref(), Some(said), "{pattern}");
        }
        for pattern in [
            r"public\.t",
            "a.*?",
            "a++",
            "(?i)x",
            "(?:a)+",
            "(?<n>a)(?<=b)",
            "(?s-i:a)",
            "[]a]",
            "[a-z&&[^b]]",
            r"\Q(\E",
            "a{1,2}",
        ] {
            assert_eq!(regex_error(pattern), None, "{pattern}");
        }
    }
}
