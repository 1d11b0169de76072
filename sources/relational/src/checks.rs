//! Checks of keys, with Debezium's reasons.

use std::{collections::BTreeSet, str::FromStr};

use model::config::{Default, Given, KeySpec};

pub use model::config::one_of;

use crate::{filters, java, keys::KeyColumns};

type Reasons = Vec<String>;

fn reason(text: impl Into<String>) -> Reasons {
    vec![text.into()]
}

pub fn required(given: Option<&str>) -> Reasons {
    match given {
        Some(text) if !text.trim().is_empty() => Reasons::new(),
        _ => reason("A value is required"),
    }
}

pub fn boolean(given: Option<&str>) -> Reasons {
    match given.map(str::trim) {
        None => Reasons::new(),
        Some(text) if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => {
            Reasons::new()
        }
        Some(_) => reason("Either 'true' or 'false' is expected"),
    }
}

/// Debezium gives some keys the check of their type a second time, and says the reason twice then.
pub fn boolean_twice(given: Option<&str>) -> Reasons {
    all(given, &[boolean, boolean])
}

/// The reasons of several checks, one after the other.
fn all(given: Option<&str>, checks: &[fn(Option<&str>) -> Reasons]) -> Reasons {
    checks.iter().flat_map(|check| check(given)).collect()
}

/// What a number has to be; no number is none of it. Unlike Kafka's own, these don't trim.
fn number<T: FromStr + Copy>(
    given: Option<&str>,
    right: impl Fn(T) -> bool,
    wanted: &str,
) -> Reasons {
    match given.map(str::parse) {
        None => Reasons::new(),
        Some(Ok(value)) if right(value) => Reasons::new(),
        Some(_) => reason(wanted),
    }
}

pub fn integer(given: Option<&str>) -> Reasons {
    number(given, |_: i32| true, "An integer is expected")
}

/// See [`boolean_twice`].
pub fn integer_twice(given: Option<&str>) -> Reasons {
    all(given, &[integer, integer])
}

pub fn long(given: Option<&str>) -> Reasons {
    number(given, |_: i64| true, "A long value is expected")
}

fn above_zero(given: Option<&str>) -> Reasons {
    number(given, |value: i32| value > 0, "A positive, non-zero integer value is expected")
}

fn long_above_zero(given: Option<&str>) -> Reasons {
    number(given, |value: i64| value > 0, "A positive, non-zero long value is expected")
}

fn long_from_zero(given: Option<&str>) -> Reasons {
    number(given, |value: i64| value >= 0, "A non-negative long value is expected")
}

pub fn positive(given: Option<&str>) -> Reasons {
    all(given, &[integer, above_zero])
}

pub fn non_negative(given: Option<&str>) -> Reasons {
    let wanted = "An non-negative integer is expected";
    [integer(given), number(given, |value: i32| value >= 0, wanted)].concat()
}

pub fn positive_long(given: Option<&str>) -> Reasons {
    all(given, &[long, long_above_zero])
}

pub fn non_negative_long(given: Option<&str>) -> Reasons {
    all(given, &[long, long_from_zero])
}

/// A long of which only what fits into an integer is accepted.
pub fn positive_small_long(given: Option<&str>) -> Reasons {
    all(given, &[long, above_zero])
}

/// See [`positive_small_long`].
pub fn small_long(given: Option<&str>) -> Reasons {
    all(given, &[long, integer])
}

/// An integer that is checked as a long too.
pub fn non_negative_wide(given: Option<&str>) -> Reasons {
    all(given, &[integer, long_from_zero])
}

/// A key that a connector can't do without.
pub fn required_positive_long(given: Option<&str>) -> Reasons {
    match given {
        None => required(None),
        Some(_) => all(given, &[long, long_above_zero, required]),
    }
}

fn word_like(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

const WORD: &str =
    "has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)";

pub fn hostname(given: Option<&str>) -> Reasons {
    match given {
        Some(text) if !text.trim().is_empty() && !word_like(text) => {
            reason(format!("{text} {WORD}"))
        }
        _ => required(given),
    }
}

pub fn topic_prefix(given: Option<&str>) -> Reasons {
    let mut reasons = required(given);
    if let Some(text) = given.filter(|text| text.is_empty() || !word_like(text)) {
        reasons.push(format!("{text} {WORD}"));
    }
    reasons
}

pub fn regexes(given: Option<&str>) -> Reasons {
    match given.map(filters::check) {
        None | Some(Ok(())) => Reasons::new(),
        Some(Err(error)) => reason(format!(
            "A comma-separated list of valid regular expressions is expected, but {error}"
        )),
    }
}

/// See [`boolean_twice`].
pub fn regexes_twice(given: Option<&str>) -> Reasons {
    all(given, &[regexes, regexes])
}

pub fn key_columns(given: Option<&str>) -> Reasons {
    const ENTRY: &str = r"^\s*([^:]+):([^:,]+(,[^:,]+)*)\s*$";
    let mut reasons = entries(given, ';', ENTRY);
    if let (true, Some(Err(error))) = (reasons.is_empty(), given.map(KeyColumns::parse)) {
        // Debezium notices only when the connector runs.
        reasons.push(error);
    }
    reasons
}

/// Each entry of a list has to have a form. Empty entries at the end don't count.
pub fn entries(given: Option<&str>, separator: char, form: &str) -> Reasons {
    let Some(text) = given else { return Reasons::new() };
    let matches = fancy_regex::Regex::new(form)
        .map(|form| move |entry: &str| form.is_match(entry).unwrap_or(false));
    let mut reasons = Reasons::new();
    if text.is_empty() {
        reasons.push("Must not be empty".to_owned());
    }
    for entry in java_split(text, separator) {
        if !matches.as_ref().is_ok_and(|matches| matches(entry)) {
            reasons.push(format!("{entry} has an invalid format (expecting '{form}')"));
        }
    }
    reasons
}

pub fn class(given: Option<&str>) -> Reasons {
    match given {
        Some(text) if !java::is_class_name(text) => reason("A Java class name is expected"),
        _ => Reasons::new(),
    }
}

/// See [`boolean_twice`].
pub fn class_twice(given: Option<&str>) -> Reasons {
    all(given, &[class, class])
}

/// `key=value` pairs, separated by commas.
pub fn pairs(given: Option<&str>) -> Reasons {
    let pair = |entry: &str| java_split(entry, '=').len() == 2;
    match given.map(str::trim) {
        Some(text) if !text.chars().all(|char| char == ',') && !text.split(',').all(pair) => {
            reason(
                "A equivalent-separated map of valid key/value pairs is expected, for example: \
             k1=v1,k2=v2",
            )
        }
        _ => Reasons::new(),
    }
}

/// What a key has, or has by default.
fn effective<'g>(given: &Given<'g>, key: &KeySpec) -> Option<&'g str> {
    given.get(key.name).copied().or(match key.default {
        Default::Text(text) => Some(text),
        Default::Required | Default::Null => None,
    })
}

/// An exclude list, of which there may be none beside an include list.
pub fn exclude_list(given: Option<&str>, all: &Given<'_>, include: &str) -> Reasons {
    let mut reasons = Reasons::new();
    if given.is_some() && all.contains_key(include) {
        reasons.push(format!("\"{include}\" is already specified"));
    }
    reasons.extend(regexes(given));
    reasons
}

/// A queue has to hold more than a batch. A size that is no number is its default.
pub fn queue_size(given: Option<&str>, all: &Given<'_>, batch: &KeySpec) -> Reasons {
    let not_a_number = integer(given);
    if !not_a_number.is_empty() {
        return not_a_number;
    }
    let default = || effective(&Given::new(), batch).and_then(|text| text.parse().ok());
    let batch = effective(all, batch).and_then(|text| text.parse::<i32>().ok()).or_else(default);
    let size = given.and_then(|text| text.parse::<i32>().ok());
    let mut reasons = Reasons::new();
    if size.is_some_and(|size| size <= 0) {
        reasons.push("A positive queue size is required".to_owned());
    }
    if size <= batch {
        reasons.push("Must be larger than the maximum batch size".to_owned());
    }
    reasons
}

/// The name that goes with the value `custom` of another key.
pub fn custom_name(name: &str, given: Option<&str>, all: &Given<'_>, mode: &str) -> Reasons {
    let custom = all.get(mode).is_some_and(|mode| mode.eq_ignore_ascii_case("custom"));
    match given {
        None | Some("") if custom => {
            reason(format!("{name} cannot be empty when {mode} 'custom' is defined"))
        }
        _ => Reasons::new(),
    }
}

/// Whether a list of channels has one.
fn has_channel(all: &Given<'_>, channel: &str) -> bool {
    let channels = all.get("notification.enabled.channels").copied().unwrap_or_default();
    channels.split(',').any(|one| one.trim() == channel)
}

pub fn notification_topic(given: Option<&str>, all: &Given<'_>) -> Reasons {
    match given {
        None if has_channel(all, "sink") => reason(
            "Notification topic name must be provided when kafka notification channel is enabled",
        ),
        _ => Reasons::new(),
    }
}

pub fn notification_url(given: Option<&str>, all: &Given<'_>) -> Reasons {
    match given {
        None if has_channel(all, "http") => reason(
            "HTTP notification URL must be provided when the 'http' notification channel is enabled",
        ),
        _ => Reasons::new(),
    }
}

/// One table at most.
pub fn one_table(given: Option<&str>) -> Reasons {
    let tables = given.unwrap_or_default().split(',').filter(|table| !table.trim().is_empty());
    match tables.count() {
        0 | 1 => Reasons::new(),
        _ => reason("For single task connector only one signal data collection is permitted."),
    }
}

pub fn operations(given: Option<&str>) -> Reasons {
    let Some(text) = given else { return Reasons::new() };
    let words = java_split(text, ',').into_iter().map(str::trim);
    let words: BTreeSet<&str> = words.collect();
    let known = |word: &&str| matches!(*word, "c" | "u" | "d" | "t" | "r" | "none");
    if !words.iter().all(known) {
        return reason("Invalid operation");
    }
    if words.len() > 1 && words.contains("none") {
        return reason("'none' cannot be specified with other skipped operation types");
    }
    Reasons::new()
}

/// `String.split`, which forgets empty parts at the end.
fn java_split(text: &str, separator: char) -> Vec<&str> {
    match text.trim_end_matches(separator) {
        "" if !text.is_empty() => Vec::new(),
        text => text.split(separator).collect(),
    }
}
