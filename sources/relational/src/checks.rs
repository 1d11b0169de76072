//! Checks of single keys, with Debezium's reasons.

use crate::{filters::Patterns, keys::KeyColumns};

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

pub fn integer(given: Option<&str>) -> Reasons {
    match given.map(|text| text.trim().parse::<i64>()) {
        None | Some(Ok(_)) => Reasons::new(),
        Some(Err(_)) => reason("An integer is expected"),
    }
}

fn at_least(given: Option<&str>, least: i64, wanted: &str) -> Reasons {
    match given.map(|text| text.trim().parse::<i64>()) {
        None => Reasons::new(),
        Some(Ok(value)) if value >= least => Reasons::new(),
        Some(Ok(_)) => reason(wanted),
        Some(Err(_)) => vec!["An integer is expected".to_owned(), wanted.to_owned()],
    }
}

pub fn positive(given: Option<&str>) -> Reasons {
    at_least(given, 1, "A positive, non-zero integer value is expected")
}

pub fn positive_or_null(given: Option<&str>) -> Reasons {
    positive(given)
}

pub fn non_negative(given: Option<&str>) -> Reasons {
    at_least(given, 0, "An non-negative integer is expected")
}

pub fn port(given: Option<&str>) -> Reasons {
    integer(given)
}

pub fn one_of(given: Option<&str>, allowed: &[&str]) -> Reasons {
    match given.map(str::trim) {
        None => Reasons::new(),
        Some(text) if allowed.iter().any(|value| value.eq_ignore_ascii_case(text)) => {
            Reasons::new()
        }
        Some(_) => reason(format!("Value must be one of {}", allowed.join(", "))),
    }
}

fn word_like(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

const WORD: &str =
    "has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)";

pub fn hostname(given: Option<&str>) -> Reasons {
    match given {
        Some(text) if !text.is_empty() && !word_like(text) => reason(format!("{text} {WORD}")),
        _ => required(given),
    }
}

pub fn topic_prefix(given: Option<&str>) -> Reasons {
    hostname(given)
}

pub fn regexes(given: Option<&str>) -> Reasons {
    match given.map(Patterns::parse) {
        None | Some(Ok(_)) => Reasons::new(),
        Some(Err(error)) => reason(format!(
            "A comma-separated list of valid regular expressions is expected, but {error}"
        )),
    }
}

pub fn key_columns(given: Option<&str>) -> Reasons {
    match given.map(KeyColumns::parse) {
        None | Some(Ok(_)) => Reasons::new(),
        Some(Err(error)) => reason(error),
    }
}

pub fn operations(given: Option<&str>) -> Reasons {
    let Some(text) = given else { return Reasons::new() };
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = |word: &&str| matches!(*word, "c" | "u" | "d" | "t" | "r" | "none");
    if !words.iter().all(known) {
        return reason("Invalid operation");
    }
    if words.len() > 1 && words.contains(&"none") {
        return reason("'none' cannot be specified with other skipped operation types");
    }
    Reasons::new()
}

pub fn slot_name(given: Option<&str>) -> Reasons {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match given {
        Some(text) if text.is_empty() || text.len() > 63 || !text.chars().all(valid) => reason(
            "Valid replication slot name must contain only digits, lowercase characters and underscores with length <= 63",
        ),
        _ => Reasons::new(),
    }
}

pub fn plugin_name(given: Option<&str>) -> Reasons {
    match given.map(str::trim) {
        Some("pgoutput") => Reasons::new(),
        Some("decoderbufs") => reason(
            "decoderbufs (which is the default) is not supported; set plugin.name=pgoutput, which every server has",
        ),
        given => one_of(given, &["decoderbufs", "pgoutput"]),
    }
}

pub fn snapshot_mode(given: Option<&str>) -> Reasons {
    const MODES: [&str; 7] = [
        "always",
        "initial_only",
        "configuration_based",
        "when_needed",
        "initial",
        "custom",
        "no_data",
    ];
    let reasons = one_of(given, &MODES);
    match given.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some(mode @ ("configuration_based" | "custom")) => reason(format!(
            "{mode} is not supported; use always, initial, initial_only, no_data or when_needed"
        )),
        _ => reasons,
    }
}
