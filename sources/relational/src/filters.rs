//! Which tables and columns are captured.
//!
//! Lists are comma-separated Java regular expressions, matched whole and without regard to case; a
//! comma inside of one is written `\,` (Debezium's `Predicates` and `Strings.RegExSplitter`).

use fancy_regex::Regex;

use crate::java;

/// A parsed list of regular expressions.
#[derive(Debug)]
pub struct Patterns(Vec<Regex>);

impl Patterns {
    /// # Errors
    ///
    /// What is wrong with the first expression that does not compile.
    pub fn parse(list: &str) -> Result<Self, String> {
        split(list).map(|pattern| compile(&pattern)).collect::<Result<_, _>>().map(Self)
    }

    pub fn matches(&self, text: &str) -> bool {
        self.first_match(text).is_some()
    }

    /// The index of the first expression that matches.
    fn first_match(&self, text: &str) -> Option<usize> {
        // An expression that gives up (too much backtracking) does not match.
        self.0.iter().position(|regex| regex.is_match(text).unwrap_or(false))
    }
}

/// Looks at a list of expressions as Debezium does before it uses them.
///
/// # Errors
///
/// What is wrong with the first that is not right, in Java's words where it would say it too.
pub(crate) fn check(list: &str) -> Result<(), String> {
    split(list).try_for_each(|pattern| match java::regex_error(&pattern) {
        Some(error) => Err(error),
        None => compile(&pattern).map(|_| ()),
    })
}

/// One expression that matches whole texts without regard to case.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("(?i)^(?:{})$", model::java::regex(pattern)))
        .map_err(|error| format!("{pattern}: {error}"))
}

fn split(list: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut().expect("there is always one part");
        match c {
            '\\' if chars.peek() == Some(&',') => part.extend(chars.next()),
            '\\' => {
                part.push('\\');
                part.extend(chars.next());
            }
            ',' => parts.push(String::new()),
            c => part.push(c),
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty())
}

/// An include list, an exclude list, or neither.
#[derive(Debug, Default)]
pub struct Filter {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

impl Filter {
    /// # Errors
    ///
    /// See [`Patterns::parse`].
    pub fn new(include: Option<&str>, exclude: Option<&str>) -> Result<Self, String> {
        let parse = |list: Option<&str>| {
            list.filter(|list| !list.trim().is_empty()).map(Patterns::parse).transpose()
        };
        Ok(Self { include: parse(include)?, exclude: parse(exclude)? })
    }

    /// The place of a text in the include list, by which snapshots order tables: that of the first
    /// expression that matches. The same for all where there is no list.
    pub fn rank(&self, text: &str) -> usize {
        let include = self.include.as_ref();
        include.map_or(0, |include| include.first_match(text).unwrap_or(include.0.len()))
    }

    /// The include list wins when there is one.
    pub fn accepts(&self, text: &str) -> bool {
        match (&self.include, &self.exclude) {
            (Some(include), _) => include.matches(text),
            (None, Some(exclude)) => !exclude.matches(text),
            (None, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let filter = Filter::new(Some(r"public\.t, (.*)\.log{1\,2}"), None).unwrap();
        assert!(filter.accepts("PUBLIC.T"));
        assert!(filter.accepts("x.logg"));
        assert!(!filter.accepts("public.t2"));
        assert!(!filter.accepts("publicxt"));
        assert_eq!(["x.log", "public.t", "z"].map(|text| filter.rank(text)), [1, 0, 2]);
        let filter = Filter::new(None, Some(r"audit\..*")).unwrap();
        assert!(!filter.accepts("audit.t") && filter.accepts("public.t"));
        assert!(Patterns::parse("a,[").is_err());
    }
}
