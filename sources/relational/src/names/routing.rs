//! Topics of several tables: what `io.debezium.schema.DefaultRegexTopicNamingStrategy` and its sibling
//! do with a table's topic, and the field that tells the tables' keys apart.

use std::sync::Arc;

use fancy_regex::{Captures, Regex};

use crate::java;

/// A regular expression that is matched whole, and what takes the place of what it finds.
#[derive(Clone, Debug)]
pub struct Rewrite {
    whole: Regex,
    found: Regex,
    replacement: Vec<Part>,
}

/// A piece of a replacement in Java's form.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

/// `topic.regex` with its companions.
#[derive(Clone, Debug)]
pub struct Routing {
    /// `topic.regex`, `topic.replacement`
    topic: Rewrite,
    /// `topic.key.field.name`, when keys get the field.
    key_field: Option<Arc<str>>,
    /// `topic.key.field.regex`, `topic.key.field.replacement`
    key: Option<Rewrite>,
}

impl Rewrite {
    /// # Errors
    ///
    /// What is wrong with the expression or the replacement.
    fn parse(pattern: &str, replacement: &str) -> Result<Self, String> {
        if let Some(error) = java::regex_error(pattern) {
            return Err(error);
        }
        let translated = model::java::regex(pattern);
        let compile =
            |pattern: &str| Regex::new(pattern).map_err(|error| format!("{pattern}: {error}"));
        let found = compile(&translated)?;
        let replacement = parts(replacement, &found)?;
        Ok(Self { whole: compile(&format!(r"\A(?:{translated})\z"))?, found, replacement })
    }

    /// `None` when the expression does not match the whole text. What is replaced then is, as in Java,
    /// what is found first, which may be less.
    fn apply(&self, text: &str) -> Option<String> {
        if !self.whole.is_match(text).unwrap_or(false) {
            return None;
        }
        let found = self.found.captures(text).ok().flatten()?;
        let all = found.get(0)?;
        let mut out = text.get(..all.start())?.to_owned();
        self.expand(&found, &mut out);
        out.push_str(text.get(all.end()..)?);
        Some(out)
    }

    fn expand(&self, found: &Captures<'_>, out: &mut String) {
        for part in &self.replacement {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => {
                    out.push_str(found.get(*group).map_or("", |group| group.as_str()));
                }
            }
        }
    }
}

/// The pieces of a replacement: `$1` and `${name}` are groups, a backslash takes what follows as it
/// is. Of `$12` the 2 belongs to the group only when there are twelve.
fn parts(replacement: &str, regex: &Regex) -> Result<Vec<Part>, String> {
    let wrong = |reason: String| Err(format!("{replacement}: {reason}"));
    let groups = regex.captures_len();
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) => text.push(c),
                None => return wrong("character to be escaped is missing".to_owned()),
            },
            '$' => {
                let group = if chars.next_if_eq(&'{').is_some() {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) if c.is_ascii_alphanumeric() => name.push(c),
                            _ => {
                                return wrong(
                                    "named capturing group is missing trailing '}'".to_owned(),
                                );
                            }
                        }
                    }
                    let named = regex.capture_names().position(|known| known == Some(&*name));
                    match named {
                        Some(group) => group,
                        None => return wrong(format!("No group with name {{{name}}}")),
                    }
                } else {
                    let digit = |c: char| c.to_digit(10).map(|digit| digit as usize);
                    let Some(mut group) = chars.next().and_then(digit) else {
                        return wrong("Illegal group reference".to_owned());
                    };
                    if group >= groups {
                        return wrong(format!("No group {group}"));
                    }
                    while let Some(next) = chars.peek().copied().and_then(digit)
                        && group * 10 + next < groups
                    {
                        group = group * 10 + next;
                        chars.next();
                    }
                    group
                };
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(group));
            }
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// The keys of [`Routing`], which is read with them.
pub const KEYS: [&str; 6] = [
    "topic.regex",
    "topic.replacement",
    "topic.key.enforce.uniqueness",
    "topic.key.field.name",
    "topic.key.field.regex",
    "topic.key.field.replacement",
];

impl Routing {
    /// Reads the keys by name.
    ///
    /// # Errors
    ///
    /// The first that is wrong, in Debezium's words where it has some.
    pub fn read<'p>(prop: impl Fn(&str) -> Option<&'p str>) -> Result<Self, String> {
        let [regex, replacement, unique, field, key_regex, key_replacement] = KEYS;
        let given = |key: &str| prop(key).filter(|text| !text.trim().is_empty());
        let pair = |regex: &str, replacement: &str| {
            let Some(pattern) = given(regex) else { return Ok(None) };
            let Some(by) = given(replacement) else {
                return Err(format!("{replacement} must be non-empty if {regex} is set."));
            };
            Rewrite::parse(pattern, by).map(Some).map_err(|error| format!("{regex}: {error}"))
        };
        let topic = pair(regex, replacement)?.ok_or(format!("{regex}: A value is required"))?;
        // What is neither word counts as the default.
        let unique = !prop(unique).is_some_and(|text| text.trim().eq_ignore_ascii_case("false"));
        let name = prop(field).unwrap_or("__dbz__physicalTableIdentifier");
        Ok(Self {
            topic,
            key_field: unique.then(|| name.into()),
            key: pair(key_regex, key_replacement)?,
        })
    }

    /// The topic instead of the one that the table would have.
    pub(super) fn topic(&self, topic: String) -> String {
        match self.topic.apply(&topic) {
            Some(routed) if !routed.is_empty() => routed,
            _ => topic,
        }
    }

    /// The field of the key and its value for a table, whose topic would be `topic`.
    pub(super) fn key_field(&self, topic: String) -> Option<(Arc<str>, Arc<str>)> {
        let name = self.key_field.clone()?;
        let value = self.key.as_ref().and_then(|key| key.apply(&topic)).unwrap_or(topic);
        Some((name, value.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `Matcher.matches` followed by `Matcher.replaceFirst` answers in Java 21.
    #[test]
    fn replacements() {
        for (regex, replacement, text, wanted) in [
            (r"(.*)shard_(\d+)", "$1all", "p.s.shard_12", Some("p.s.all")),
            (r"(.*)shard_(\d+)", "$2", "p.s.shard_12x", None),
            (r"(?<where>[^.]+)\.(.*)", "${where}_$2", "p.s.t", Some("p_s.t")),
            // Found is the first alternative, though the second one matches the whole.
            ("a|ab", "x", "ab", Some("xb")),
            (r"(a)(b)?(.*)", "$2$1$10", "ac", Some("aa0")),
            (r"(.*)", r"\$1\\$1", "t", Some(r"$1\t")),
        ] {
            let rewrite = Rewrite::parse(regex, replacement).unwrap();
            assert_eq!(rewrite.apply(text).as_deref(), wanted, "{regex} {replacement}");
        }
        for (regex, replacement) in
            [("(", "x"), ("(a)", "$2"), ("a", "${b}"), ("a", "$x"), ("a", r"\"), ("a", "$")]
        {
            assert!(Rewrite::parse(regex, replacement).is_err(), "{regex} {replacement}");
        }
    }

    #[test]
    fn what_is_required() {
        let read = |props: &'static [(&str, &str)]| {
            Routing::read(|key| {
                props.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
            })
        };
        assert_eq!(read(&[]).unwrap_err(), "topic.regex: A value is required");
        assert_eq!(
            read(&[("topic.regex", "a"), ("topic.replacement", " ")]).unwrap_err(),
            "topic.replacement must be non-empty if topic.regex is set."
        );
        let routing = read(&[("topic.regex", "(a)b"), ("topic.replacement", "$1")]).unwrap();
        assert_eq!(routing.topic("ab".into()), "a");
        assert_eq!(
            routing.key_field("ab".into()),
            Some(("__dbz__physicalTableIdentifier".into(), "ab".into()))
        );
        let routing = read(&[
            ("topic.regex", "(a)b"),
            ("topic.replacement", "$1"),
            ("topic.key.enforce.uniqueness", "False"),
        ]);
        assert_eq!(routing.unwrap().key_field("ab".into()), None);
    }
}
