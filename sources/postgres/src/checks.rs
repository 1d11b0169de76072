//! Checks of keys that only this connector has, with Debezium's reasons.

use model::config::one_of;
use relational::{checks::pairs, config as common};

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

pub(crate) fn replica_identities(given: Option<&str>) -> Vec<String> {
    const ENTRY: &str = r"(?i)^\s*(?<tablepredicate>[^\s:]+):(?<replicaidentity>DEFAULT|(INDEX) (?<indexname>.\w*)|FULL|NOTHING)\s*$";
    relational::checks::entries(given, ',', ENTRY)
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
        Some(mode @ ("configuration_based" | "custom")) => vec![format!(
            "{mode} is not supported; use always, initial, initial_only, no_data or when_needed"
        )],
        _ => one_of(given, common::SNAPSHOT_MODE.spec.recommended),
    }
}
