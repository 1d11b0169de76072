//! Versions of plugins, and the ranges of them that `*.plugin.version` names, as Maven has them.

use std::{cmp::Ordering, fmt};

/// A set of versions; one that is named alone means just that one.
#[derive(Debug)]
pub(crate) struct Range(Vec<Span>);

#[derive(Debug)]
struct Span {
    lower: Option<String>,
    lower_included: bool,
    upper: Option<String>,
    upper_included: bool,
}

impl Range {
    /// `None` for any version. The error is Maven's.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        if text == "latest" {
            return Ok(None);
        }
        let text = text.trim();
        let spec = match text.starts_with(['[', '(']) {
            true => text.to_owned(),
            false => format!("[{text}]"),
        };
        let mut spans: Vec<Span> = Vec::new();
        let mut rest = spec.as_str();
        while rest.starts_with(['[', '(']) {
            let end = rest.find([')', ']']).ok_or_else(|| format!("Unbounded range: {spec}"))?;
            let (span, after) = rest.split_at(end + 1);
            let span = Span::parse(span)?;
            if let Some(before) = spans.last() {
                let apart = match (&before.upper, &span.lower) {
                    (Some(upper), Some(lower)) => compare(lower, upper) != Ordering::Less,
                    _ => false,
                };
                if !apart {
                    return Err(format!("Ranges overlap: {spec}"));
                }
            }
            spans.push(span);
            rest = after.trim();
            rest = rest.strip_prefix(',').map_or(rest, str::trim);
        }
        match rest.is_empty() {
            true => Ok(Some(Self(spans))),
            false => {
                Err(format!("Only fully-qualified sets allowed in multiple set scenario: {spec}"))
            }
        }
    }

    pub(crate) fn has(&self, version: &str) -> bool {
        self.0.iter().any(|span| span.has(version))
    }
}

impl Span {
    fn parse(text: &str) -> Result<Self, String> {
        let lower_included = text.starts_with('[');
        let upper_included = text.ends_with(']');
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default().trim();
        let Some((lower, upper)) = inner.split_once(',') else {
            if !lower_included || !upper_included {
                return Err(format!("Single version must be surrounded by []: {text}"));
            }
            let version = Some(inner.to_owned());
            return Ok(Self {
                lower: version.clone(),
                lower_included,
                upper: version,
                upper_included,
            });
        };
        let bound = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let (lower, upper) = (bound(lower), bound(upper));
        if let (Some(lower), Some(upper)) = (&lower, &upper) {
            let order = compare(upper, lower);
            if order == Ordering::Less
                || (order == Ordering::Equal && !(lower_included && upper_included))
            {
                return Err(format!("Range defies version ordering: {text}"));
            }
        }
        Ok(Self { lower, lower_included, upper, upper_included })
    }

    fn has(&self, version: &str) -> bool {
        let above = self.lower.as_ref().is_none_or(|lower| match compare(version, lower) {
            Ordering::Less => false,
            Ordering::Equal => self.lower_included,
            Ordering::Greater => true,
        });
        let below = self.upper.as_ref().is_none_or(|upper| match compare(version, upper) {
            Ordering::Less => true,
            Ordering::Equal => self.upper_included,
            Ordering::Greater => false,
        });
        above && below
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            write!(
                f,
                "{}{}{},{}{}",
                if at > 0 { "," } else { "" },
                if span.lower_included { '[' } else { '(' },
                span.lower.as_deref().unwrap_or_default(),
                span.upper.as_deref().unwrap_or_default(),
                if span.upper_included { ']' } else { ')' },
            )?;
        }
        Ok(())
    }
}

/// One part of a version. Their order is that of the variants: a word like `beta` comes before
/// nothing at all, other words after it, and numbers after those.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// alpha, beta, milestone, rc and snapshot, in this order.
    Before(usize),
    Release,
    /// A service pack, and words that nobody knows.
    After(String),
    Number(u64),
}

impl Part {
    /// What a missing part counts as beside this one.
    fn nothing(&self) -> Self {
        match self {
            Part::Number(_) => Part::Number(0),
            _ => Part::Release,
        }
    }
}

fn parts(version: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let same = |char: char| char.is_ascii_digit() == digits && !".-_".contains(char);
        let end = rest.find(|char| !same(char)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if !part.is_empty() {
            parts.push(match digits {
                true => Part::Number(part.parse().unwrap_or(u64::MAX)),
                false => word(&part.to_ascii_lowercase()),
            });
        }
        rest = after.strip_prefix(['.', '-', '_']).unwrap_or(after);
    }
    // 1.0 is 1, and 1.Final is 1.
    while matches!(parts.last(), Some(Part::Number(0) | Part::Release)) {
        parts.pop();
    }
    parts
}

fn word(word: &str) -> Part {
    let before = ["alpha", "beta", "milestone", "rc", "snapshot"];
    match word {
        "" | "final" | "ga" | "release" => Part::Release,
        "cr" => Part::Before(3),
        _ => match before.iter().position(|known| *known == word) {
            Some(place) => Part::Before(place),
            None => Part::After(word.to_owned()),
        },
    }
}

fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    for at in 0..a.len().max(b.len()) {
        let order = match (a.get(at), b.get(at)) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(a), None) => a.cmp(&a.nothing()),
            (None, Some(b)) => b.nothing().cmp(b),
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (spec, version, wanted) in [
            ("latest", "4.3.1", "any"),
            ("4.3.1", "4.3.1", "[4.3.1,4.3.1] true"),
            ("9", "4.3.1", "[9,9] false"),
            ("", "4.3.1", "[,] false"),
            ("[4,5)", "4.3.1", "[4,5) true"),
            ("[4.3.1]", "4.3.1", "[4.3.1,4.3.1] true"),
            ("(4.3.1,)", "4.3.1", "(4.3.1,) false"),
            ("(,4],[4.3,)", "4.3.1", "(,4],[4.3,) true"),
            ("3.7", "3.7.0.Final", "[3.7,3.7] true"),
            ("[3.7.0.CR1,3.7.0)", "3.7.0.Beta2", "[3.7.0.CR1,3.7.0) false"),
            ("[3.7.0.Alpha1,3.7.0)", "3.7.0.Beta2", "[3.7.0.Alpha1,3.7.0) true"),
            ("[4.9,4.10]", "4.9.2", "[4.9,4.10] true"),
            ("[", "1", "Unbounded range: ["),
            ("[5,4]", "1", "Range defies version ordering: [5,4]"),
            ("(4)", "1", "Single version must be surrounded by []: (4)"),
            ("[1,3],[2,4]", "1", "Ranges overlap: [1,3],[2,4]"),
            ("[1,2] x", "1", "Only fully-qualified sets allowed in multiple set scenario: [1,2] x"),
        ] {
            let found = match Range::parse(spec) {
                Ok(None) => "any".to_owned(),
                Ok(Some(range)) => format!("{range} {}", range.has(version)),
                Err(wrong) => wrong,
            };
            assert_eq!(found, wanted, "{spec}");
        }
    }
}
