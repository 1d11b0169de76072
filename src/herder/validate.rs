//! What is wrong with a connector's configuration: `PUT /connector-plugins/{plugin}/config/validate`,
//! and the same before a connector is created or changed.
//!
//! The answer is put together of four parts, in Connect's order: properties without a definition, the
//! keys every connector has, the connector's own keys, settings of Kafka clients, keys of converters.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{
    config::{Config, ConfigDef, ConfigInfo, ConfigInfos, KeyInfo, ValueInfo},
    connector::Props,
};

use super::{
    RawConfig, Refusal, aliases, base_keys, client_keys, isolated, versions::Range,
    worker_config::WorkerConfig,
};
use crate::{
    plugins::{self, Plugin},
    runtime::{Tasks, Threads, transport::Transport},
};

/// How long a connector may look at its database. As long as a REST request may take.
const CONNECTOR_CODE_MAX: Duration = Duration::from_secs(90);

/// How long reading key stores may take.
const FILES_MAX: Duration = Duration::from_secs(30);

/// Checks a configuration. A refusal is for what cannot be checked at all: no class, or an unknown
/// one.
pub async fn validate(
    worker: &WorkerConfig,
    tasks: &Tasks,
    raw: &RawConfig,
) -> Result<ConfigInfos, Refusal> {
    let given = raw.props();
    let props = resolved(worker, &tasks.threads, &given).await?;
    let Some(class) = props.get("connector.class") else {
        let text =
            format!("Connector config {} contains no connector type", in_order_of_a_copy(raw));
        return Err(Refusal::new(400, text));
    };
    let plugin = find_plugin(class)?;
    let wanted = props.get("connector.plugin.version").map(String::as_str);
    if let Some(wrong) = missing_version(plugin.class(), wanted, &[plugin.version()])
        .map_err(|wrong| Refusal::new(400, wrong))?
    {
        return Ok(without_plugin(class, plugin, &props, &wrong));
    }

    let mut base = base_infos(worker, plugin, &props);
    for kind in [&aliases::TRANSFORMS, &aliases::PREDICATES] {
        let infos = aliases::infos(kind, &props, raw);
        add_groups(&mut base.groups, groups_of(&infos));
        base.configs.extend(infos);
    }
    add_null_errors(raw, &mut base);
    if matches!(plugin, Plugin::Sink(_)) {
        check_topics(&props, &mut base);
        check_group(worker, &props, &mut base);
    }
    refuse_exactly_once(&props, &mut base);
    add_own_keys(&props, &mut base);
    let mut own = own_infos(&tasks.threads, plugin, props.clone()).await?;
    if plugin.class().starts_with("io.debezium.") {
        // Debezium shows what is wrong with its keys, and never their values.
        own.configs.iter_mut().for_each(|config| config.value.value = None);
    }

    let mut groups = base.groups;
    let mut configs = base.configs;
    // Keys the connector defines itself are shown as it defines them.
    configs.retain(|config| !own.configs.iter().any(|mine| mine.value.name == config.value.name));
    let (undefined, mut configs): (Vec<_>, Vec<_>) =
        configs.into_iter().partition(|config| config.definition.is_none());
    configs.extend(own.configs);
    configs.splice(0..0, undefined);
    add_groups(&mut groups, own.groups);

    configs.extend(client_overrides(worker, tasks, plugin, &props).await?);
    for prefix in ["header.converter", "key.converter", "value.converter"] {
        let converter = converter_infos(prefix, &props);
        add_groups(&mut groups, groups_of(&converter));
        configs.extend(converter);
    }
    let error_count = configs.iter().map(|config| config.value.errors.len()).sum();
    Ok(ConfigInfos { name: class.clone(), error_count, groups, configs })
}

/// The keys of this worker alone, of those that are given.
fn add_own_keys(props: &Props, base: &mut ConfigInfos) {
    let mut infos = validate_def(&base_keys::OWN, props);
    infos.configs.retain(|config| props.contains_key(&config.value.name));
    if !infos.configs.is_empty() {
        base.configs.extend(infos.configs);
        add_groups(&mut base.groups, infos.groups);
    }
}

/// What is said when there is no such version of the connector: its own keys are not known then.
fn without_plugin(class: &str, plugin: Plugin, props: &Props, wrong: &str) -> ConfigInfos {
    let mut infos = common_infos(plugin, props);
    for config in &mut infos.configs {
        if config.value.name.ends_with("converter.plugin.version") {
            config.value.visible = false;
        }
    }
    for key in ["connector.class", "connector.plugin.version"] {
        if let Some(config) = entry(&mut infos, key) {
            config.value.errors.push(wrong.to_owned());
        }
    }
    set_version(&mut infos, "connector.plugin.version", Some(plugin.version()));
    let error_count = infos.configs.iter().map(|config| config.value.errors.len()).sum();
    ConfigInfos { name: class.to_owned(), error_count, ..infos }
}

/// Why no version of a class is one of those wanted. The error is about the range itself.
pub(super) fn missing_version(
    class: &str,
    wanted: Option<&str>,
    versions: &[&str],
) -> Result<Option<String>, String> {
    let Some(range) = wanted.map(Range::parse).transpose()?.flatten() else { return Ok(None) };
    Ok((!versions.iter().any(|version| range.has(version))).then(|| {
        format!(
            "Plugin {class} not found that matches the version range {range}, available versions: \
             [{}]",
            versions.join(", ")
        )
    }))
}

/// As the JVM prints the copy it makes of a configuration: a hash table just large enough.
fn in_order_of_a_copy(raw: &RawConfig) -> RawConfig {
    let entries: Vec<_> = raw.iter().collect();
    let capacity = (entries.len() * 4 / 3 + 1).next_power_of_two();
    let bucket = |name: &str| {
        let hash = model::java::string_hash(name).cast_unsigned();
        (hash ^ hash >> 16) as usize & (capacity - 1)
    };
    let mut ordered: Vec<_> = entries.into_iter().map(|entry| (bucket(entry.0), entry)).collect();
    ordered.sort_by_key(|(bucket, _)| *bucket);
    let owned = |(_, (name, value)): (usize, (&str, Option<&str>))| {
        (name.to_owned(), value.map(str::to_owned))
    };
    ordered.into_iter().map(owned).collect()
}

fn add_groups(groups: &mut Vec<String>, more: Vec<String>) {
    for group in more {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
}

/// Why a configuration with these findings is not accepted, in Connect's words. One without any is
/// not accepted either when it asks for what this version cannot do.
pub fn refusal(infos: &ConfigInfos) -> Option<Refusal> {
    invalid(infos).or_else(|| aliases::refusal(infos)).or_else(|| not_run(&infos.name))
}

/// A connector that this version validates only.
fn not_run(class: &str) -> Option<Refusal> {
    let why = plugins::connector(class)?.not_run()?;
    Some(Refusal::new(400, format!("create a connector of class {class}: {why}")))
}

fn invalid(infos: &ConfigInfos) -> Option<Refusal> {
    let errors: Vec<&str> = (infos.configs.iter())
        .flat_map(|config| config.value.errors.iter().map(String::as_str))
        .collect();
    (!errors.is_empty()).then(|| {
        Refusal::new(
            400,
            format!(
                "Connector configuration is invalid and contains the following {} error(s):\n{}\n\
                 You can also find the above list of errors at the endpoint \
                 `/connector-plugins/{{connectorType}}/config/validate`",
                errors.len(),
                errors.join("\n")
            ),
        )
    })
}

/// `${…}` resolved.
async fn resolved(worker: &WorkerConfig, threads: &Threads, raw: &Props) -> Result<Props, Refusal> {
    let resolved = worker.providers.resolve_aside(threads, raw).await;
    resolved.map_err(|wrong| Refusal::new(500, wrong))
}

/// The plugin a configuration names.
pub(super) async fn plugin(
    worker: &WorkerConfig,
    threads: &Threads,
    raw: &RawConfig,
) -> Result<Plugin, Refusal> {
    let props = resolved(worker, threads, &raw.props()).await?;
    find_plugin(props.get("connector.class").map_or("", String::as_str))
}

pub(super) fn find_plugin(class: &str) -> Result<Plugin, Refusal> {
    plugins::connector(class).ok_or_else(|| {
        let mut known = plugins::connectors();
        known.sort_by_key(Plugin::class);
        let known: Vec<String> = known.iter().map(Plugin::describe).collect();
        Refusal::new(
            400,
            format!(
                "Failed to find any class that implements Connector and which name matches {class}, \
                 available connectors are: {}",
                known.join(", ")
            ),
        )
    })
}

pub(super) fn tasks_max(props: &Props) -> usize {
    let parsed = props.get("tasks.max").and_then(|text| text.trim().parse().ok());
    parsed.unwrap_or(1)
}

pub(super) fn tasks_max_enforced(props: &Props) -> bool {
    let given = props.get("tasks.max.enforce").map(|text| text.trim());
    !given.is_some_and(|text| text.eq_ignore_ascii_case("false"))
}

fn validate_def(def: &ConfigDef, props: &Props) -> ConfigInfos {
    def.validate("", props.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

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

fn common_infos(plugin: Plugin, props: &Props) -> ConfigInfos {
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

fn base_infos(worker: &WorkerConfig, plugin: Plugin, props: &Props) -> ConfigInfos {
    let mut infos = common_infos(plugin, props);
    enrich(worker, plugin, props, &mut infos);
    infos
}

fn entry<'a>(infos: &'a mut ConfigInfos, name: &str) -> Option<&'a mut ConfigInfo> {
    infos.configs.iter_mut().find(|config| config.value.name == name)
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

fn set_version(infos: &mut ConfigInfos, key: &str, version: Option<&str>) {
    if let Some(ConfigInfo { definition, value }) = entry(infos, key) {
        value.visible = version.is_some();
        value.recommended_values = version.map(str::to_owned).into_iter().collect();
        value.value = value.value.take().or(version.map(str::to_owned));
        if let Some(definition) = definition {
            definition.default_value = version.map(str::to_owned);
        }
    }
}

/// JSON null is no value. A connector's own keys are its own affair, as in Connect.
fn add_null_errors(raw: &RawConfig, infos: &mut ConfigInfos) {
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

fn check_topics(props: &Props, infos: &mut ConfigInfos) {
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
fn check_group(worker: &WorkerConfig, props: &Props, infos: &mut ConfigInfos) {
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

fn refuse_exactly_once(props: &Props, infos: &mut ConfigInfos) {
    let key = base_keys::EXACTLY_ONCE_SUPPORT.spec.name;
    if props.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("required"))
        && let Some(config) = entry(infos, key)
    {
        let wrong = "This worker does not have exactly-once source support enabled.";
        config.value.errors.push(wrong.to_owned());
    }
}

/// The connector's own keys; when each by itself is right, the connector is asked too.
async fn own_infos(
    threads: &Threads,
    plugin: Plugin,
    props: Props,
) -> Result<ConfigInfos, Refusal> {
    let def = plugin.config();
    let infos = validate_def(def, &props);
    if infos.error_count > 0 {
        return Ok(infos);
    }
    let pairs = props.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let config: Config = match def.parse(pairs) {
        Ok(config) => config,
        Err(errors) => return Err(Refusal::new(500, errors.join("\n"))),
    };
    let class = plugin.class();
    let code = async move {
        let mut infos = infos;
        let asked = match plugin {
            Plugin::Source(source) => source.validate(&config, &mut infos).await,
            Plugin::Sink(sink) => sink.validate(&config, &mut infos).await,
        };
        asked.map(|()| infos)
    };
    match isolated::run(threads, CONNECTOR_CODE_MAX, code).await {
        Ok(Ok(infos)) => Ok(infos),
        Ok(Err(error)) => Err(Refusal::new(500, error.trace())),
        Err(fault) => Err(Refusal::new(500, format!("{class} was to validate and {fault}"))),
    }
}

/// The settings of Kafka clients that the connector will use.
async fn client_overrides(
    worker: &WorkerConfig,
    tasks: &Tasks,
    plugin: Plugin,
    props: &Props,
) -> Result<Vec<ConfigInfo>, Refusal> {
    let refused = refused_settings(&tasks.threads, tasks.transport.clone(), props).await?;
    let creates = props.keys().any(|key| key.starts_with("topic.creation."));
    let given = |key: &str| props.get(key).is_some_and(|value| !value.trim().is_empty());
    let dlq = given(base_keys::DLQ_TOPIC_NAME.spec.name);
    // A source with an offsets topic of its own reads and makes it, where there is a group.
    let offsets = given("offsets.storage.topic") && worker.props.contains_key("group.id");
    let (producer, consumer, admin) =
        ("producer.override.", "consumer.override.", "admin.override.");
    let prefixes: &[&str] = match plugin {
        Plugin::Source(_) if offsets => &[producer, consumer, admin],
        Plugin::Source(_) if creates => &[producer, admin],
        Plugin::Source(_) => &[producer],
        Plugin::Sink(_) if dlq => &[producer, consumer, admin],
        Plugin::Sink(_) => &[consumer],
    };
    let mut configs = Vec::new();
    for prefix in prefixes {
        let client = prefix.chars().next().unwrap_or_default();
        for (name, value) in props {
            let Some(key) = name.strip_prefix(prefix) else { continue };
            configs.push(ConfigInfo {
                definition: client_keys::definition(client, key, name),
                value: ValueInfo {
                    name: name.clone(),
                    value: Some(if secret(key) { "[hidden]".to_owned() } else { value.clone() }),
                    recommended_values: Vec::new(),
                    errors: (worker.override_policy.refuses(key).into_iter())
                        .chain(refused.get(name).cloned())
                        .collect(),
                    visible: true,
                },
            });
        }
    }
    Ok(configs)
}

/// What is wrong with the settings of Kafka clients. Some of them name files, such as key stores,
/// which may lie where nobody answers.
async fn refused_settings(
    threads: &Threads,
    transport: Arc<dyn Transport>,
    props: &Props,
) -> Result<BTreeMap<String, String>, Refusal> {
    let files: Vec<&str> = (props.keys().map(String::as_str))
        .filter(|key| key.contains(".override.") && key.ends_with(".location"))
        .collect();
    if files.is_empty() {
        return Ok(transport.refused_settings(props).into_iter().collect());
    }
    let given = props.clone();
    let code = async move { transport.refused_settings(&given).into_iter().collect() };
    isolated::run(threads, FILES_MAX, code).await.map_err(|fault| {
        let text = format!(
            "reading the files that {} name was to show whether a Kafka client can start with them \
             and {fault}; check that the files can be reached",
            files.join(", ")
        );
        Refusal::new(500, text)
    })
}

/// Whether a setting of a Kafka client is a password, by its name.
fn secret(key: &str) -> bool {
    key.contains("password") || key == "sasl.jaas.config" || key == "ssl.keystore.key"
}

/// The keys of a converter that the connector names itself.
fn converter_infos(prefix: &str, props: &Props) -> Vec<ConfigInfo> {
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

fn groups_of(configs: &[ConfigInfo]) -> Vec<String> {
    configs.iter().filter_map(|config| config.definition.as_ref()?.group.clone()).collect()
}
