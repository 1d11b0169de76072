//! What is wrong with a connector's configuration: `PUT /connector-plugins/{plugin}/config/validate`,
//! and the same before a connector is created or changed.
//!
//! The answer is put together of four parts, in Connect's order: properties without a definition, the
//! keys every connector has, the connector's own keys, settings of Kafka clients, keys of converters.

use model::{
    config::{Config, ConfigDef, ConfigInfo, ConfigInfos},
    connector::Props,
    java,
};

use super::{
    RawConfig, Refusal, aliases, base_keys, isolated, versions::Range, worker_config::WorkerConfig,
};
use crate::{
    plugins::{self, Plugin},
    runtime::{Tasks, Threads},
};

mod base;
mod clients;
mod findings;

pub use base::base_keys_of;
use base::{base_infos, common_infos, converter_infos, set_version};
use clients::client_overrides;
use findings::{add_null_errors, check_group, check_topics, refuse_exactly_once};

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
    let buckets = java::buckets_of_copy(entries.len());
    let ordered = java::in_hash_order(entries, buckets, |(name, _)| java::string_hash(name));
    let owned = |(name, value): (&str, Option<&str>)| (name.to_owned(), value.map(str::to_owned));
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

fn entry<'a>(infos: &'a mut ConfigInfos, name: &str) -> Option<&'a mut ConfigInfo> {
    infos.configs.iter_mut().find(|config| config.value.name == name)
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
    match isolated::run(threads, isolated::CONNECTOR_CODE_MAX, code).await {
        Ok(Ok(infos)) => Ok(infos),
        Ok(Err(error)) => Err(Refusal::new(500, error.trace())),
        Err(fault) => Err(Refusal::new(500, format!("{class} was to validate and {fault}"))),
    }
}

fn groups_of(configs: &[ConfigInfo]) -> Vec<String> {
    configs.iter().filter_map(|config| config.definition.as_ref()?.group.clone()).collect()
}
