//! Checks of keys that only this connector has, with Debezium's reasons.

use model::config::one_of;
use relational::{checks::pairs, config as common, names::Strategy};

pub(crate) fn slot_name(given: Option<&str>) -> Vec<String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match given {
        Some(text) if text.is_empty() || text.len() > 63 || !text.chars().all(valid) => vec![
            "Valid replication slot name must contain only digits, lowercase characters and \
             underscores with length <= 63"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// The form of an entry of `replica.identity.autoset.values`.
pub(crate) const REPLICA_IDENTITY: &str = r"(?i)^\s*(?<tablepredicate>[^\s:]+):(?<replicaidentity>DEFAULT|(INDEX) (?<indexname>.\w*)|FULL|NOTHING)\s*$";

pub(crate) fn replica_identities(given: Option<&str>) -> Vec<String> {
    relational::checks::entries(given, ',', REPLICA_IDENTITY)
}

pub(crate) fn naming(given: Option<&str>) -> Vec<String> {
    let wrong = relational::checks::class(given);
    match given.map(Strategy::parse) {
        Some(Err(reason)) if wrong.is_empty() => vec![reason],
        _ => wrong,
    }
}

/// The only locks are those of the modes none and shared.
pub(crate) fn locking_mode(given: Option<&str>) -> Vec<String> {
    match given.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some("custom") => vec!["custom is not supported; use none or shared".to_owned()],
        _ => one_of(given, &["shared", "custom", "none"]),
    }
}

/// `signal.enabled.channels`
pub(crate) fn signal_channels(given: Option<&str>) -> Vec<String> {
    channels(given, &["source", "file"], |name| match name {
        "jmx" | "in-process" => "there is no JVM to signal; use source or file",
        "kafka" => "this version reads no signals from topics yet; use source or file",
        _ => "it is no channel; use source or file",
    })
}

/// `notification.enabled.channels`
pub(crate) fn notification_channels(given: Option<&str>) -> Vec<String> {
    channels(given, &["sink", "log"], |name| match name {
        "jmx" => "there is no JVM to ask; use sink or log",
        "http" => "this version sends no notifications over HTTP yet; use sink or log",
        _ => "it is no channel; use sink or log",
    })
}

fn channels(
    given: Option<&str>,
    known: &[&str],
    why: impl Fn(&str) -> &'static str,
) -> Vec<String> {
    let names = given.unwrap_or_default().split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty() && !known.contains(name))
        .map(|name| format!("channel {name} is not supported: {}", why(name)))
        .collect()
}

/// Parameters for the plug-in, `name=value`, separated by semicolons.
///
/// # Errors
///
/// The first that would change what the stream is made of: it would not be understood.
pub(crate) fn parse_stream_params(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut params = Vec::new();
    for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
        let Some((name, value)) = pair.split_once('=').filter(|(_, value)| !value.contains('='))
        else {
            return Err(format!("{pair:?} has an invalid format (expecting name=value)"));
        };
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        let off = matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0");
        let understood = match name.as_str() {
            "proto_version" => value == "1",
            "streaming" | "binary" | "two_phase" => off,
            _ => true,
        };
        if !understood {
            return Err(format!(
                "{name}={value} is not supported, as the stream is read in protocol version 1, as text and after commits only; remove it"
            ));
        }
        params.push((name, value));
    }
    Ok(params)
}

pub(crate) fn stream_params(given: Option<&str>) -> Vec<String> {
    given.and_then(|text| parse_stream_params(text).err()).into_iter().collect()
}

/// Tags become properties of a JMX name.
pub(crate) fn metric_tags(given: Option<&str>) -> Vec<String> {
    let wrong = pairs(given);
    if !wrong.is_empty() {
        return wrong;
    }
    let keys = given.unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
    keys.map(|(key, _)| key.trim())
        .filter(|key| key.is_empty() || key.contains([',', '=', ':', '*', '?', '"']))
        .map(|key| {
            format!("The custom metric tag key '{key}' is not a valid JMX ObjectName property key")
        })
        .collect()
}

pub(crate) fn snapshot_mode(given: Option<&str>) -> Vec<String> {
    match given.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some(mode @ "custom") => vec![format!(
            "{mode} is not supported; use always, initial, initial_only, no_data, when_needed or configuration_based"
        )],
        _ => one_of(given, common::SNAPSHOT_MODE.spec.recommended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_stream() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse_stream_params("origin=none; messages=false;").unwrap(),
            [pair("origin", "none"), pair("messages", "false")]
        );
        assert!(parse_stream_params("proto_version=1;streaming=off").is_ok());
        for wrong in ["streaming=on", "proto_version=2", "binary=true", "two_phase=on", "origin"] {
            assert!(parse_stream_params(wrong).is_err(), "{wrong}");
        }
    }
}
