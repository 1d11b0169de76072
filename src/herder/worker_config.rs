//! The worker's own configuration: every key of Kafka Connect's workers; those that only distributed
//! workers have are in [`distributed_config`].
//!
//! Keys that are unknown here are kept: they are settings of the Kafka clients. A key that is known
//! and has no effect in this version is refused by name when it is set to anything but its default,
//! so that no setting is ignored in silence. Two exceptions are only warned of, because they say
//! where Java classes lie and every file written for the JVM has them: see [`IGNORED`].

use std::{sync::Arc, time::Duration};

use model::{
    config::{
        Check, Config, ConfigDef, Group,
        Importance::{High, Low, Medium},
        Key, Parsed,
    },
    connector::Props,
};

use super::{
    distributed_config::{self, GroupConfig},
    providers::Providers,
    restart_policy,
};
use crate::{
    kafka,
    rest::{self, config::RestConfig},
    runtime::settings,
};

/// A worker's configuration, checked.
pub struct WorkerConfig {
    /// As given, `${…}` resolved.
    pub props: Props,
    pub providers: Providers,
    pub rest: Arc<RestConfig>,
    /// Of a standalone worker.
    pub offset_file: String,
    pub stop_grace: Duration,
    pub topic_tracking: bool,
    pub topic_reset: bool,
    pub override_policy: Policy,
    /// Remarks for the log, once it is open.
    pub warnings: Vec<String>,
}

/// `connector.client.config.override.policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    All,
    None,
    Principal,
    Allowlist(Vec<String>),
}

const COMMON: Group = Group {
    name: "",
    keys: &[
        &BOOTSTRAP_SERVERS.spec,
        &KEY_CONVERTER.spec,
        &VALUE_CONVERTER.spec,
        &HEADER_CONVERTER.spec,
        &KEY_CONVERTER_VERSION.spec,
        &VALUE_CONVERTER_VERSION.spec,
        &HEADER_CONVERTER_VERSION.spec,
        &STOP_GRACE.spec,
        &FLUSH_INTERVAL.spec,
        &FLUSH_TIMEOUT.spec,
        &CONFIG_PROVIDERS.spec,
        &OVERRIDE_POLICY.spec,
        &OVERRIDE_ALLOWLIST.spec,
        &TOPIC_CREATION.spec,
        &TOPIC_TRACKING.spec,
        &TOPIC_TRACKING_RESET.spec,
        &METRICS_WINDOW.spec,
        &METRICS_SAMPLES.spec,
        &METRICS_LEVEL.spec,
        &METRIC_REPORTERS.spec,
        &EXACTLY_ONCE.spec,
    ],
};

static STANDALONE: ConfigDef =
    ConfigDef(&[COMMON, rest::config::KEYS, Group { name: "", keys: &[&OFFSET_FILE.spec] }]);
static DISTRIBUTED: ConfigDef = ConfigDef(&[COMMON, rest::config::KEYS, distributed_config::KEYS]);

/// Where the JVM looks for connectors. Here they are built in.
const IGNORED: &[&str] = &["plugin.path", "plugin.discovery"];

static BOOTSTRAP_SERVERS: Key<Vec<String>> = Key::list("bootstrap.servers")
    .default_null()
    .importance(High)
    .doc("Kafka's addresses. Without them records stay in this process.")
    .check(Check::With(servers));
static KEY_CONVERTER: Key<String> = Key::class("key.converter").importance(High);
static VALUE_CONVERTER: Key<String> = Key::class("value.converter").importance(High);
static HEADER_CONVERTER: Key<String> = Key::class("header.converter")
    .default("org.apache.kafka.connect.storage.SimpleHeaderConverter")
    .importance(Low);
static KEY_CONVERTER_VERSION: Key<String> =
    Key::string("key.converter.plugin.version").default_null().unsupported();
static VALUE_CONVERTER_VERSION: Key<String> =
    Key::string("value.converter.plugin.version").default_null().unsupported();
static HEADER_CONVERTER_VERSION: Key<String> =
    Key::string("header.converter.plugin.version").default_null().unsupported();
static STOP_GRACE: Key<i64> = Key::long("task.shutdown.graceful.timeout.ms").default("5000");
static FLUSH_INTERVAL: Key<i64> = Key::long("offset.flush.interval.ms").default("60000");
static FLUSH_TIMEOUT: Key<i64> = Key::long("offset.flush.timeout.ms").default("5000");
static CONFIG_PROVIDERS: Key<Vec<String>> = Key::list("config.providers").default("");
static OVERRIDE_POLICY: Key<String> =
    Key::string("connector.client.config.override.policy").default("All");
static OVERRIDE_ALLOWLIST: Key<Vec<String>> =
    Key::list("connector.client.config.override.allowlist").default("");
static TOPIC_CREATION: Key<bool> = Key::boolean("topic.creation.enable").default("true");
static TOPIC_TRACKING: Key<bool> = Key::boolean("topic.tracking.enable").default("true");
static TOPIC_TRACKING_RESET: Key<bool> = Key::boolean("topic.tracking.allow.reset").default("true");
static METRICS_WINDOW: Key<i64> = Key::long("metrics.sample.window.ms")
    .default("30000")
    .check(Check::Range { min: Some(1), max: None });
static METRICS_SAMPLES: Key<i32> = Key::int("metrics.num.samples")
    .default("2")
    .check(Check::Range { min: Some(1), max: Some(1_000) });
static METRICS_LEVEL: Key<String> =
    Key::string("metrics.recording.level").default("INFO").unsupported();
static METRIC_REPORTERS: Key<Vec<String>> = Key::list("metric.reporters")
    .default("org.apache.kafka.common.metrics.JmxReporter")
    .unsupported();
static OFFSET_FILE: Key<String> = Key::string("offset.storage.file.filename")
    .importance(Medium)
    .doc("File that keeps the offsets of sources.");
static EXACTLY_ONCE: Key<String> =
    Key::string("exactly.once.source.support").default("disabled").unsupported();

fn servers(value: &Parsed) -> Result<(), String> {
    match value {
        Parsed::List(servers) if servers.is_empty() => {
            Err("the list names no server; remove the key to keep records in this process".into())
        }
        _ => Ok(()),
    }
}

impl WorkerConfig {
    /// Checks the properties of a standalone worker. The error has all that is wrong, a line each.
    pub fn standalone(given: Props) -> Result<Self, String> {
        let (config, props, providers, mut errors) = parse(&given, &STANDALONE)?;
        let clients = kafka::refused_worker_settings(&props);
        let worker = Self::read(&config, props, providers, &mut errors);
        errors.extend(clients);
        match worker {
            Some(mut worker) if errors.is_empty() => {
                worker.offset_file = config.get(&OFFSET_FILE);
                Ok(worker)
            }
            _ => Err(errors.join("\n")),
        }
    }

    /// The same of a worker that is one of a group.
    pub fn distributed(given: Props) -> Result<(Self, GroupConfig), String> {
        let (config, props, providers, mut errors) = parse(&given, &DISTRIBUTED)?;
        if !given.contains_key(BOOTSTRAP_SERVERS.spec.name) {
            errors.push(
                "Missing required configuration \"bootstrap.servers\" which has no default value."
                    .to_owned(),
            );
        }
        let clients = kafka::refused_group_settings(&props);
        let worker = Self::read(&config, props, providers, &mut errors);
        let group = GroupConfig::read(&config, &mut errors);
        errors.extend(clients);
        match (worker, group) {
            (Some(worker), Some(group)) if errors.is_empty() => Ok((worker, group)),
            _ => Err(errors.join("\n")),
        }
    }

    /// Puts what is wrong among the errors.
    fn read(
        config: &Config,
        props: Props,
        providers: Providers,
        errors: &mut Vec<String>,
    ) -> Option<Self> {
        for (kind, key) in [
            ("converter", &KEY_CONVERTER),
            ("converter", &VALUE_CONVERTER),
            ("header_converter", &HEADER_CONVERTER),
        ] {
            let Some(class) = config.find(key) else { continue };
            if crate::plugins::converter(kind, &class).is_none() {
                errors.push(format!(
                    "Invalid value {class} for configuration {}: Class {class} could not be found.",
                    key.spec.name
                ));
            }
        }
        let rest =
            RestConfig::read(config, &props).map(Arc::new).map_err(|wrong| errors.extend(wrong));
        let policy = policy(config).unwrap_or_else(|wrong| {
            errors.push(wrong);
            Policy::All
        });
        let millis = |key: &Key<i64>, errors: &mut Vec<String>| {
            let value = config.get(key);
            u64::try_from(value).map(Duration::from_millis).unwrap_or_else(|_| {
                errors.push(format!(
                    "Invalid value {value} for configuration {}: Value must be at least 0",
                    key.spec.name
                ));
                Duration::ZERO
            })
        };
        let stop_grace = millis(&STOP_GRACE, errors);
        millis(&FLUSH_INTERVAL, errors);
        millis(&FLUSH_TIMEOUT, errors);
        // Defaults for connectors; see [`restart_policy`].
        let own = Props::new();
        let wrong = restart_policy::Policy::read(&own, &props).err().unwrap_or_default();
        errors.extend(wrong.into_iter().map(|(_, text)| text));
        errors.extend(settings::stall(&own, &props).err().map(|error| error.to_string()));
        let warnings = IGNORED
            .iter()
            .filter(|key| props.contains_key(**key))
            .map(|key| format!("{key} has no effect: connectors and converters are built in"))
            .collect();
        Some(Self {
            rest: rest.ok()?,
            offset_file: String::new(),
            stop_grace,
            topic_tracking: config.get(&TOPIC_TRACKING),
            topic_reset: config.get(&TOPIC_TRACKING_RESET),
            override_policy: policy,
            warnings,
            props,
            providers,
        })
    }
}

/// The keys, with `${…}` resolved, and what is wrong with them. Values that cannot be looked up are an
/// error of their own: what else is wrong shows when they are known.
fn parse(
    given: &Props,
    def: &'static ConfigDef,
) -> Result<(Config, Props, Providers, Vec<String>), String> {
    let providers = Providers::new(given)?;
    let props = providers.resolve(given)?;
    let texts = props.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let (config, errors) = def.parse_all(texts);
    Ok((config, props, providers, errors))
}

fn policy(config: &Config) -> Result<Policy, String> {
    let name = config.get(&OVERRIDE_POLICY);
    let simple = name.rsplit('.').next().unwrap_or(&name);
    match simple.strip_suffix("ConnectorClientConfigOverridePolicy").unwrap_or(simple) {
        "All" => Ok(Policy::All),
        "None" => Ok(Policy::None),
        "Principal" => Ok(Policy::Principal),
        "Allowlist" => Ok(Policy::Allowlist(config.get(&OVERRIDE_ALLOWLIST))),
        _ => Err(format!(
            "Invalid value {name} for configuration {}: this version has the policies All, None, \
             Principal and Allowlist",
            OVERRIDE_POLICY.spec.name
        )),
    }
}

impl Policy {
    /// Why a client setting of a connector is not allowed.
    pub(super) fn refuses(&self, key: &str) -> Option<String> {
        let (name, allowed) = match self {
            Policy::All => return None,
            Policy::None => ("None", false),
            Policy::Principal => (
                "Principal",
                ["sasl.jaas.config", "sasl.mechanism", "security.protocol"].contains(&key),
            ),
            Policy::Allowlist(keys) => ("Allowlist", keys.iter().any(|allowed| allowed == key)),
        };
        (!allowed).then(|| {
            format!(
                "The '{name}' policy does not allow '{key}' to be overridden in the connector \
                 configuration."
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(lines: &[(&str, &str)]) -> String {
        let mut props: Props = [
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter", "JsonConverter"),
            ("header.converter", "JsonConverter"),
            ("offset.storage.file.filename", "/tmp/x"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        props.extend(lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        WorkerConfig::standalone(props).err().unwrap_or_default()
    }

    /// All at once, under the names that stand in the file.
    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let props: Props = [
            ("bootstrap.servers", "127.0.0.1:1"),
            ("key.converter", "Nope"),
            ("offset.flush.interval.ms", "soon"),
            ("heartbeat.interval.ms", "20000"),
            ("listeners", "ftp://:1"),
            ("config.storage.replication.factor", "0"),
            ("connector.client.config.override.policy", "Some"),
            ("admin.interceptor.classes", "x.Y"),
            ("admin.retry.backoff.ms", "often"),
            ("reconnect.backoff.ms", "never"),
            ("compression.type", "lzma"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let told = WorkerConfig::distributed(props).err().unwrap_or_default();
        let lines: Vec<&str> = told.lines().collect();
        for wanted in [
            "Missing required configuration \"value.converter\" which",
            "Missing required configuration \"group.id\" which",
            "Missing required configuration \"config.storage.topic\" which",
            "Invalid value soon for configuration offset.flush.interval.ms: Not a number",
            "Invalid value Nope for configuration key.converter: Class Nope",
            "Invalid value 20000 for configuration heartbeat.interval.ms: it must be lower",
            "Invalid value ftp://:1 for configuration listeners: ",
            "Invalid value 0 for configuration config.storage.replication.factor: ",
            "Invalid value Some for configuration connector.client.config.override.policy: ",
            "client property admin.interceptor.classes is refused: ",
            "client property admin.retry.backoff.ms is \"often\": ",
            "client property reconnect.backoff.ms is \"never\": ",
            "client property compression.type is \"lzma\": ",
        ] {
            let count = lines.iter().filter(|line| line.starts_with(wanted)).count();
            assert_eq!(count, 1, "{wanted}\n{told}");
        }
    }

    /// A known key without effect is refused by its name; its default and unknown keys are not.
    #[test]
    fn keys_without_effect_are_refused() {
        for (key, value, wanted) in [
            ("rest.extension.classes", "x.Y", "rest.extension.classes"),
            ("exactly.once.source.support", "enabled", "exactly.once.source.support"),
            ("listeners", "https://:8443", "an https listener has no certificate"),
            ("listeners", "http:8443", "right format"),
            ("ssl.client.auth", "required", ""),
            ("response.http.headers.config", "put x:1", "Invalid header config action: 'put'"),
            ("access.control.allow.origin", "(", "access.control.allow.origin"),
            ("rest.advertised.listener", "ftp", "rest.advertised.listener"),
            ("rest.advertised.port", "0", "rest.advertised.port"),
            ("listeners", "http://:8083,http://[::1]:0", ""),
            ("metrics.num.samples", "0", "metrics.num.samples"),
            ("metrics.num.samples", "3", ""),
            ("metrics.recording.level", "DEBUG", "metrics.recording.level"),
            ("errors.restart.policy", "sometimes", "errors.restart.policy"),
            ("errors.restart.policy", "always", ""),
            ("task.stall.timeout.ms", "-5", "task.stall.timeout.ms"),
            ("admin.listeners", "", ""),
            ("admin.listeners", "http://:1", ""),
            ("admin.listeners", "http:1", "admin.listeners"),
            ("plugin.path", "/x", ""),
            ("security.protocol", "SSL", ""),
            ("offset.flush.interval.ms", "soon", "Not a number of type LONG"),
            ("offset.flush.interval.ms", "-1", "at least 0"),
            ("bootstrap.servers", " ", "names no server"),
            ("value.converter", "Nope", "Class Nope could not be found."),
            ("config.providers", "vault", "config.providers.vault.class"),
            ("connector.client.config.override.policy", "Principal", ""),
        ] {
            let found = errors(&[(key, value)]);
            assert_eq!(found.is_empty(), wanted.is_empty(), "{key}={value}: {found}");
            assert!(found.contains(wanted), "{key}={value}: {found}");
        }
    }
}
