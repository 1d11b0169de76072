//! The keys every connector has, with what the worker and its plugins add to them, and the keys of the
//! converters that a connector names itself.

use std::collections::BTreeMap;

use model::{
    config::{ConfigInfo, ConfigInfos, KeyInfo},
    connector::Props,
};

use super::{add_groups, entry, missing_version, validate_def};
use crate::{
    herder::{base_keys, versions::Range, worker_config::WorkerConfig},
    plugins::{self, Plugin},
};

/// The keys every connector of this kind has, for the list of a plugin's keys.
pub fn base_keys_of(plugin: Plugin) -> Vec<KeyInfo> {
    let mut keys = base_keys::COMMON.keys();
    keys.extend(match plugin {
        Plugin::Source(_) => base_keys::SOURCE.keys(),
        Plugin::Sink(_) => base_keys::SINK.keys(),
    });
    for key in keys.iter_mut().filter(|key| key.name == "connector.plugin.version") {
        key.default_value = Some(plugin.version().to_owned());
    }
    keys
}

pub(super) fn common_infos(plugin: Plugin, props: &Props) -> ConfigInfos {
    let mut infos = validate_def(&base_keys::COMMON, props);
    let more = match plugin {
        Plugin::Source(_) => &base_keys::SOURCE,
        Plugin::Sink(_) => &base_keys::SINK,
    };
    let more = validate_def(more, props);
    infos.configs.extend(more.configs);
    add_groups(&mut infos.groups, more.groups);
    infos
}

pub(super) fn base_infos(worker: &WorkerConfig, plugin: Plugin, props: &Props) -> ConfigInfos {
    let mut infos = common_infos(plugin, props);
    enrich(worker, plugin, props, &mut infos);
    infos
}

/// Defaults, versions and recommendations that come from the worker and its plugins.
fn enrich(worker: &WorkerConfig, plugin: Plugin, props: &Props, infos: &mut ConfigInfos) {
    set_version(infos, "connector.plugin.version", Some(plugin.version()));
    for (key, kind) in [
        ("key.converter", "converter"),
        ("value.converter", "converter"),
        ("header.converter", "header_converter"),
    ] {
        let default = worker
            .props
            .get(key)
            .map_or("org.apache.kafka.connect.storage.SimpleHeaderConverter", String::as_str);
        let default = plugins::converter(kind, default).map(|plugin| plugin.class);
        let given = props.get(key).map(|text| text.trim());
        let found = given.map(|given| plugins::converter(kind, given));
        let classes = plugins::converters().iter().filter(|plugin| plugin.kind == kind);
        if let Some(ConfigInfo { definition, value }) = entry(infos, key) {
            value.recommended_values = classes.map(|plugin| plugin.class.to_owned()).collect();
            if let Some(definition) = definition {
                definition.default_value = default.map(str::to_owned);
            }
            // A class of another kind is shown all the same.
            let other = given.filter(|_| matches!(found, Some(None))).and_then(plugins::any_class);
            value.value = match &found {
                Some(found) => found.map(|plugin| plugin.class).or(other),
                None => default,
            }
            .map(str::to_owned);
            match (given, &found, other) {
                (Some(_), Some(None), Some(class)) => {
                    let interface = match kind {
                        "converter" => "Converter",
                        _ => "HeaderConverter",
                    };
                    value.errors.push(format!(
                        "Class class {class} does not implement the {interface} interface"
                    ));
                }
                (Some(given), Some(None), None) => value.errors.push(format!(
                    "Invalid value {given} for configuration {key}: Class {given} could not be \
                     found."
                )),
                _ => {}
            }
        }
        check_converter_version(key, props, &found, default, kind, infos);
    }
}

/// The version of a converter, and what is wrong with the one that is asked for.
fn check_converter_version(
    key: &str,
    props: &Props,
    found: &Option<Option<&'static codec::Plugin>>,
    default: Option<&'static str>,
    kind: &str,
    infos: &mut ConfigInfos,
) {
    let version_key = format!("{key}.plugin.version");
    let wanted = props.get(&version_key).map(String::as_str);
    let class = match found {
        Some(found) => *found,
        None => default.and_then(|default| plugins::converter(kind, default)),
    };
    let mut errors = Vec::new();
    // The worker's own converter is taken as it is.
    let class_and_version =
        found.as_ref().and_then(|found| Some((found.as_ref()?.class, found.as_ref()?.version)));
    let checked = match class_and_version {
        // A class that is a converter and a header converter has its version twice.
        Some((class, _)) => missing_version(class, wanted, &plugins::converter_versions(class)),
        None => wanted.map_or(Ok(None), |wanted| Range::parse(wanted).map(|_| None)),
    };
    match checked {
        Ok(None) => {}
        Ok(Some(wrong)) => {
            if let Some(config) = entry(infos, key) {
                config.value.errors.push(wrong.clone());
            }
            errors.push(wrong);
        }
        Err(wrong) => errors.push(wrong),
    }
    set_version(infos, &version_key, class.map(|plugin| plugin.version));
    let other = || props.get(key).is_some_and(|name| plugins::any_class(name.trim()).is_some());
    if let Some(config) = entry(infos, &version_key) {
        config.value.visible |= other();
        config.value.errors.extend(errors);
    }
}

pub(super) fn set_version(infos: &mut ConfigInfos, key: &str, version: Option<&str>) {
    if let Some(ConfigInfo { definition, value }) = entry(infos, key) {
        value.visible = version.is_some();
        value.recommended_values = version.map(str::to_owned).into_iter().collect();
        value.value = value.value.take().or(version.map(str::to_owned));
        if let Some(definition) = definition {
            definition.default_value = version.map(str::to_owned);
        }
    }
}

/// The keys of a converter that the connector names itself.
pub(super) fn converter_infos(prefix: &str, props: &Props) -> Vec<ConfigInfo> {
    let kind = if prefix == "header.converter" { "header_converter" } else { "converter" };
    let class = props.get(prefix).map_or("", |class| class.trim());
    let Some(plugin) = plugins::converter(kind, class) else { return Vec::new() };
    let wanted = props.get(&format!("{prefix}.plugin.version")).map(String::as_str);
    if !matches!(
        missing_version(plugin.class, wanted, &plugins::converter_versions(plugin.class)),
        Ok(None)
    ) {
        return Vec::new();
    }
    let under = format!("{prefix}.");
    let mut options: Props = (props.iter())
        .filter_map(|(key, value)| Some((key.strip_prefix(&under)?.to_owned(), value.clone())))
        .collect();
    let role = prefix.trim_end_matches(".converter");
    options.entry("converter.type".to_owned()).or_insert_with(|| role.to_owned());
    let infos = validate_def(plugin.config, &options);
    let names = infos.configs.iter().map(|config| (config.value.name.clone(), ().into()));
    let order: Vec<String> =
        model::java::hash_map(names).into_iter().map(|(name, _)| name).collect();
    let mut by_name: BTreeMap<String, ConfigInfo> =
        infos.configs.into_iter().map(|config| (config.value.name.clone(), config)).collect();
    let prefixed = |name: String| {
        let mut config = by_name.remove(&name)?;
        config.value.name = format!("{under}{name}");
        if let Some(definition) = &mut config.definition {
            definition.name.clone_from(&config.value.name);
        }
        Some(config)
    };
    order.into_iter().filter_map(prefixed).collect()
}
