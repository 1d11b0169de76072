//! Which topics a sink connector reads: `topics` or `topics.regex`.

use std::collections::BTreeSet;

use fancy_regex::Regex;
use model::{
    connector::Props,
    error::{Error, Result},
    java,
};

/// What a sink connector reads.
pub(crate) enum Subscription {
    Topics(BTreeSet<String>),
    /// Topics whose whole name matches.
    Pattern(Regex),
}

impl Subscription {
    /// Reads a sink connector's configuration. The errors are Connect's, to the letter.
    pub(crate) fn new(props: &Props) -> Result<Self> {
        let get =
            |key: &str| props.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let subscription = match (get("topics"), get("topics.regex")) {
            (Some(topics), None) => Self::Topics(
                topics
                    .split(',')
                    .map(|topic| topic.trim().to_owned())
                    .filter(|topic| !topic.is_empty())
                    .collect(),
            ),
            (None, Some(pattern)) => {
                let whole = Regex::new(&format!(r"\A(?:{})\z", java::regex(pattern)));
                Self::Pattern(whole.map_err(|error| {
                    Error::fatal(format!(
                        "Invalid value {pattern} for configuration topics.regex: not a regular \
                         expression"
                    ))
                    .caused_by(error)
                })?)
            }
            (None, None) => {
                return Err(Error::fatal("Must configure one of topics or topics.regex"));
            }
            (Some(_), Some(_)) => {
                return Err(Error::fatal(
                    "topics and topics.regex are mutually exclusive options, but both are set.",
                ));
            }
        };
        let letters = get("errors.deadletterqueue.topic.name");
        if let Some(letters) = letters.filter(|letters| subscription.covers(letters)) {
            return Err(Error::fatal(match &subscription {
                Self::Topics(topics) => format!(
                    "The DLQ topic '{letters}' may not be included in the list of topics \
                     ('topics=[{}]') consumed by the connector",
                    topics.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                ),
                Self::Pattern(_) => format!(
                    "The DLQ topic '{letters}' may not be matched by the regex for the topics \
                     ('topics.regex={}') consumed by the connector",
                    get("topics.regex").unwrap_or_default()
                ),
            }));
        }
        Ok(subscription)
    }

    /// Whether a topic is read.
    pub(crate) fn covers(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.contains(topic),
            Self::Pattern(pattern) => pattern.is_match(topic).unwrap_or_else(|error| {
                tracing::warn!("topic {topic} is not read: topics.regex is too costly: {error}");
                false
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(pairs: &[(&str, &str)]) -> Result<Subscription, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Subscription::new(&pairs.iter().map(owned).collect()).map_err(|error| error.to_string())
    }

    /// A topic is read when it is listed, or when all of its name matches, as `Pattern.matches` does.
    #[test]
    fn topics_covered() {
        let listed = new(&[("topics", " a, b ,,")]).unwrap();
        let matched = new(&[("topics.regex", r"a|b\d+(?=x)x|\Qc.d\E")]).unwrap();
        for (topic, list, pattern) in [
            ("a", true, true),
            ("b", true, false),
            ("b12x", false, true),
            ("b12xy", false, false),
            ("aa", false, false),
            ("c.d", false, true),
            ("cxd", false, false),
            ("a\n", false, false),
        ] {
            assert_eq!((listed.covers(topic), matched.covers(topic)), (list, pattern), "{topic:?}");
        }
    }

    #[test]
    fn refused() {
        let letters = ("errors.deadletterqueue.topic.name", "d");
        for (pairs, answer) in [
            (&[][..], "Must configure one of topics or topics.regex"),
            (
                &[("topics", "a"), ("topics.regex", "b")][..],
                "topics and topics.regex are mutually exclusive options, but both are set.",
            ),
            (
                &[("topics.regex", "(")][..],
                "Invalid value ( for configuration topics.regex: not a regular expression",
            ),
            (
                &[("topics", "c, d"), letters][..],
                "The DLQ topic 'd' may not be included in the list of topics ('topics=[c, d]') \
                 consumed by the connector",
            ),
            (
                &[("topics.regex", "[a-d]"), letters][..],
                "The DLQ topic 'd' may not be matched by the regex for the topics \
                 ('topics.regex=[a-d]') consumed by the connector",
            ),
        ] {
            assert_eq!(new(pairs).err().unwrap_or_default(), answer, "{pairs:?}");
        }
    }
}
