//! What is wrong with keys that every connector has, beyond what one key shows: nulls, topics, groups.

use model::{
    config::{ConfigInfo, ConfigInfos, ValueInfo},
    connector::Props,
};

use super::entry;
use crate::herder::{RawConfig, base_keys, worker_config::WorkerConfig};

/// JSON null is no value. A connector's own keys are its own affair, as in Connect.
pub(super) fn add_null_errors(raw: &RawConfig, infos: &mut ConfigInfos) {
    for name in raw.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
        let error = "Null value can not be supplied as the configuration value.".to_owned();
        match entry(infos, name) {
            Some(config) => {
                config.value.value = None;
                config.value.errors.retain(|error| !error.starts_with("Missing required"));
                let wrong = match name {
                    "tasks.max" => Some("Value must be non-null"),
                    "transforms" | "predicates" => Some("entry must be non null"),
                    _ => None,
                };
                config.value.errors.extend(
                    wrong.map(|wrong| {
                        format!("Invalid value null for configuration {name}: {wrong}")
                    }),
                );
                config.value.errors.push(error);
                if name.ends_with("converter")
                    && let Some(version) = entry(infos, &format!("{name}.plugin.version"))
                {
                    version.value.visible = false;
                }
            }
            None => infos.configs.push(ConfigInfo {
                definition: None,
                value: ValueInfo {
                    name: name.to_owned(),
                    value: None,
                    recommended_values: Vec::new(),
                    errors: vec![error],
                    visible: true,
                },
            }),
        }
    }
}

pub(super) fn check_topics(props: &Props, infos: &mut ConfigInfos) {
    let given = |key: &str| props.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
    if let Some(dlq) = given(base_keys::DLQ_TOPIC_NAME.spec.name) {
        check_dlq(dlq, given("topics"), given("topics.regex"), infos);
    }
    let wrong = match (given("topics"), given("topics.regex")) {
        (None, None) => "Must configure one of topics or topics.regex",
        (Some(_), Some(_)) => {
            "topics and topics.regex are mutually exclusive options, but both are set."
        }
        _ => return,
    };
    for key in [base_keys::TOPICS.spec.name, base_keys::TOPICS_REGEX.spec.name] {
        if let Some(config) = entry(infos, key) {
            config.value.errors.push(wrong.to_owned());
        }
    }
}

/// A sink that reads what it could not write would go round in circles.
fn check_dlq(dlq: &str, topics: Option<&str>, regex: Option<&str>, infos: &mut ConfigInfos) {
    let topics: Vec<&str> = topics.unwrap_or_default().split(',').map(str::trim).collect();
    if topics.contains(&dlq)
        && let Some(config) = entry(infos, base_keys::TOPICS.spec.name)
    {
        config.value.errors.push(format!(
            "The DLQ topic '{dlq}' may not be included in the list of topics ('topics=[{}]') \
             consumed by the connector",
            topics.join(", ")
        ));
    }
    let matches = |pattern: &&str| {
        let whole = fancy_regex::Regex::new(&format!("^(?:{})$", model::java::regex(pattern)));
        whole.is_ok_and(|whole| whole.is_match(dlq).unwrap_or(false))
    };
    if let Some(pattern) = regex.filter(matches)
        && let Some(config) = entry(infos, base_keys::TOPICS_REGEX.spec.name)
    {
        config.value.errors.push(format!(
            "The DLQ topic '{dlq}' may not be matched by the regex for the topics \
             ('topics.regex={pattern}') consumed by the connector"
        ));
    }
}

/// The group of a sink's consumers may not be that of the workers.
pub(super) fn check_group(worker: &WorkerConfig, props: &Props, infos: &mut ConfigInfos) {
    const OVERRIDE: &str = "consumer.override.group.id";
    let (Some(group), Some(name)) = (worker.props.get("group.id"), props.get("name")) else {
        return;
    };
    match props.get(OVERRIDE) {
        // An entry of its own, without a definition, beside the one for the setting.
        Some(given) if given == group => infos.configs.push(ConfigInfo {
            definition: None,
            value: ValueInfo {
                name: OVERRIDE.to_owned(),
                value: Some(given.clone()),
                recommended_values: Vec::new(),
                errors: vec![format!(
                    "Consumer group {given} conflicts with Connect worker group {group}"
                )],
                visible: true,
            },
        }),
        None if format!("connect-{name}") == *group => {
            if let Some(config) = entry(infos, "name") {
                config.value.errors.push(format!(
                    "Consumer group for sink connector named {name} conflicts with Connect worker \
                     group {group}"
                ));
            }
        }
        _ => {}
    }
}

pub(super) fn refuse_exactly_once(props: &Props, infos: &mut ConfigInfos) {
    let key = base_keys::EXACTLY_ONCE_SUPPORT.spec.name;
    if props.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("required"))
        && let Some(config) = entry(infos, key)
    {
        let wrong = "This worker does not have exactly-once source support enabled.";
        config.value.errors.push(wrong.to_owned());
    }
}
