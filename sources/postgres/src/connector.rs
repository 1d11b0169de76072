//! The connector: its configuration checked, with the database where the keys alone are right.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef, ConfigInfos},
    connector::{SourceConnector, SourceTask, Start},
    error::{Error, Result},
};
use relational::config as common;

use crate::{
    catalog, checks,
    config::{self, CONFIG},
    options::{self, Options, settings},
    retries::Retries,
    session::Session,
    signals::topic,
    source_info::VERSION,
    task::Task,
};

/// The connector, for the list of plug-ins.
pub fn connector() -> Arc<dyn SourceConnector> {
    Arc::new(Connector)
}

struct Connector;

#[async_trait]
impl SourceConnector for Connector {
    fn class(&self) -> &'static str {
        "io.debezium.connector.postgresql.PostgresConnector"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    async fn validate(&self, config: &Config, infos: &mut ConfigInfos) -> Result<()> {
        check_keys(config, infos);
        if infos.error_count > 0 {
            return Ok(());
        }
        // Debezium reports what the connection says under the host name, whatever it is.
        let tried = match refused_by_driver(config) {
            Some(text) => Err(text),
            None => try_database(config).await.map_err(|error| error.trace()),
        };
        if let Err(text) = tried {
            let text = format!("Error while validating connector config: {text}");
            infos.error(common::DATABASE_HOSTNAME.spec.name, text);
        }
        Ok(())
    }

    async fn start(&self, config: Config, start: Start) -> Result<Box<dyn SourceTask>> {
        let options = Arc::new(Options::read(&config, start.task, start.progress, start.topics)?);
        let retries = Retries::read(&config)
            .map_err(|error| Error::fatal(format!("read the configuration: {error}")))?;
        if let Some(channel) = &options.signals.topic {
            // Wrong settings are told now, and not behind the snapshot.
            options.topics.reader(&channel.topic)?;
        }
        let unknown = config.unknown(&FAMILIES);
        if !unknown.is_empty() {
            tracing::warn!(
                "These configurations '[{}]' were supplied but are not used: the connector does not know them; look for a slip of the pen",
                unknown.join(", ")
            );
        }
        options.signals.warn_of_jmx();
        if options.notifications_jmx {
            tracing::warn!(
                "notification.enabled.channels names jmx, which there is none of here: what it would tell is in the status of the connector (GET /connectors/…/status) and in /metrics; the other channels work"
            );
        }
        start.gauges.publish(options.figures.clone());
        Ok(Box::new(Task {
            options,
            offsets: start.offsets,
            position: None,
            snapshot: None,
            retries,
            reviewed: false,
        }))
    }
}

/// Values and keys that this version does not have and that no check of a single key sees.
fn check_keys(config: &Config, infos: &mut ConfigInfos) {
    if !config.get(&config::PLUGIN_NAME).eq_ignore_ascii_case("pgoutput") {
        infos.error(
            config::PLUGIN_NAME.spec.name,
            "The 'plugin.name' value is invalid: decoderbufs (which is the default) is not \
             supported; set plugin.name=pgoutput, which every server has",
        );
    }
    if let Err(reason) = options::naming(config) {
        infos.error(common::TOPIC_NAMING_STRATEGY.spec.name, reason);
    }
    if let Err(reason) = Retries::read(config) {
        infos.error(common::ERRORS_MAX_RETRIES.spec.name, reason);
    }
    let channels = config.get(&common::SIGNAL_ENABLED_CHANNELS);
    if channels.iter().any(|channel| channel.trim() == "kafka")
        && let Err(reason) = topic::Channel::read(config)
    {
        infos.error(common::SIGNAL_ENABLED_CHANNELS.spec.name, reason);
    }
    if let Err(reason) = options::mismatch_strategy(config) {
        infos.error(config::SLOT_NAME.spec.name, reason);
    }
    if let Err(reason) = options::reselect(config) {
        infos.error(common::POST_PROCESSORS.spec.name, reason);
    }
    if let Err(reason) = checks::stream_memory(config.prop(checks::STREAM_MEMORY)) {
        infos.error(config::SLOT_STREAM_PARAMS.spec.name, reason);
    }
    if let Err(reason) = options::multipliers(config) {
        infos.error(common::SNAPSHOT_MAX_THREADS_MULTIPLIER.spec.name, reason);
    }
    if let Err(reason) = options::rows_per_second(config) {
        infos.error(common::SNAPSHOT_MAX_THREADS.spec.name, reason);
    }
    if let Err(reason) = options::publication_limit(config) {
        infos.error(config::PUBLICATION_AUTOCREATE_MODE.spec.name, reason);
    }
    if let Err(reason) = options::added_tables(config) {
        infos.error(common::TABLE_INCLUDE_LIST.spec.name, reason);
    }
    for (name, value) in config.props() {
        let hidden = HIDDEN.iter().find(|hidden| hidden.name == name);
        let refused = match hidden {
            Some(hidden) if hidden.default != value.trim() => Some(hidden.reported_under),
            Some(_) => None,
            None => PATTERNS
                .iter()
                .find(|(prefix, _)| name.starts_with(prefix) && name != prefix)
                .map(|(_, key)| *key),
        };
        // A key of the definition was checked by itself.
        let defined = infos.configs.iter().any(|config| config.value.name == *name);
        if let Some(key) = refused.filter(|_| !defined) {
            infos.error(
                key,
                format!("The '{name}' value is invalid: this version does not support the key yet; remove it"),
            );
        }
    }
}

/// A key that Debezium reads without showing it in its definition.
struct Hidden {
    name: &'static str,
    default: &'static str,
    reported_under: &'static str,
}

const HIDDEN: [Hidden; 1] = {
    const fn hidden(name: &'static str, default: &'static str, under: &'static str) -> Hidden {
        Hidden { name, default, reported_under: under }
    }
    [hidden("queue.provider.type", "memory", "max.queue.size")]
};

/// Families of keys whose names the user makes; none has an effect yet.
const PATTERNS: [(&str, &str); 1] = [("driver.", "database.hostname")];

/// Keys whose names the user makes, by how they begin.
const FAMILIES: [&str; 6] = [
    "column.mask.",
    "column.truncate.to.",
    "queue.provider.type",
    "signal.consumer.",
    "snapshot.max.threads.multiplier.",
    "snapshot.select.statement.overrides.",
];

/// What pgjdbc says before it connects.
fn refused_by_driver(config: &Config) -> Option<String> {
    let port = config.get(&common::DATABASE_PORT);
    if !(1..=i32::from(u16::MAX)).contains(&port) {
        return Some(format!(
            "Unable to parse URL jdbc:postgresql://{}:{port}/{}",
            config.get(&common::DATABASE_HOSTNAME),
            config.get(&config::DATABASE_DBNAME)
        ));
    }
    let timeout = config.get(&common::DATABASE_QUERY_TIMEOUT_MS);
    (timeout < 0).then(|| "Query timeout must be a value greater than or equals to 0.".to_owned())
}

/// Logs in and checks what streaming needs.
async fn try_database(config: &Config) -> Result<()> {
    let settings = crate::wire::Settings {
        application_name: "Debezium Validate Connection".to_owned(),
        ..settings(config)
    };
    let session = Session::connect(&settings, &[]).await?;
    let server = catalog::server(&session).await?;
    if options::mode(config).is_ok_and(|mode| !mode.streams()) {
        return Ok(());
    }
    if server.wal_level != "logical" {
        return Err(Error::fatal(format!(
            "Postgres server wal_level property must be 'logical' but is: '{}'; set wal_level=logical and restart the server",
            server.wal_level
        )));
    }
    if !server.replication {
        return Err(Error::fatal(format!(
            "Postgres roles LOGIN and REPLICATION are not assigned to user: {}; run ALTER ROLE {} REPLICATION",
            settings.user,
            catalog::quote(&settings.user)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slip of the pen in any key is told, and no key that has an effect is.
    #[test]
    fn only_keys_without_effect_are_unknown() {
        let given = [
            ("name", "shop"),
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("database.hostname", "h"),
            ("database.user", "u"),
            ("database.dbname", "d"),
            ("topic.prefix", "p"),
            ("plugin.name", "pgoutput"),
            ("table.include.list", "public.a"),
            ("column.mask.with.3.chars", "public.a.b"),
            ("column.truncate.to.3.chars", "public.a.c"),
            ("datatype.propagate.source.type", "x"),
            ("snapshot.max.threads.multiplier.public.a", "2"),
            ("snapshot.max.rows.per.second", "9"),
            ("snapshot.added.tables", "false"),
            ("create.slot.command.timeout", "5"),
            ("offset.mismatch.strategy", "trust_slot"),
            ("signal.enabled.channels", "kafka"),
            ("signal.kafka.bootstrap.servers", "b:1"),
            ("signal.kafka.topic", "t"),
            ("signal.consumer.sasl.mechanism", "PLAIN"),
            ("topic.heartbeat.name", "beats"),
            ("key.converter.schemas.enable", "false"),
            ("errors.tolerance", "none"),
            // Slips of the pen.
            ("column.exclude.lst", "public.a.b"),
            ("nameofit", "x"),
            ("signal.data.colection", "public.s"),
            ("table.inclde.list", "public.a"),
        ];
        let config = CONFIG.parse(given).unwrap();
        let topics = model::topics::NoTopics::shared();
        Options::read(&config, 0, Default::default(), topics).unwrap();
        Retries::read(&config).unwrap();
        let slips =
            ["column.exclude.lst", "nameofit", "signal.data.colection", "table.inclde.list"];
        assert_eq!(config.unknown(&FAMILIES), slips);
    }
}
