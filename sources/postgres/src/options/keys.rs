//! Single options out of the keys that they come from.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::snapshot::{Flags, Mode, notifications::Channels};
use md5::{Digest, Md5};
use model::{
    change::Op,
    config::Config,
    connector::Object,
    record::{Data, Header, Headers},
    schema::{Kind, Schema},
    value::Value,
};
use relational::{
    adjustment::Adjustment,
    config as common,
    modes::{BinaryMode, DecimalMode, TemporalMode},
    names::{Naming, Strategy, routing::Routing},
};

use super::FlushMode;
use crate::{
    catalog::Autocreate,
    checks, config, mismatch,
    stream::Limits,
    types::{self, Placeholder},
    wire::{Settings, Ssl, SslMode},
};

/// How to reach the database; needs only the connection keys, so that `validate` can use it.
pub(crate) fn settings(config: &Config) -> Settings {
    // Templates leave names of files empty.
    let path = |key: &model::config::Key<String>| {
        config.find(key).filter(|path| !path.trim().is_empty()).map(Into::into)
    };
    let timeout = config.get(&common::CONNECTION_VALIDATION_TIMEOUT_MS);
    let query_timeout_ms = config.get(&common::DATABASE_QUERY_TIMEOUT_MS);
    Settings {
        host: config.get(&common::DATABASE_HOSTNAME),
        port: u16::try_from(config.get(&common::DATABASE_PORT)).unwrap_or_default(),
        user: config.get(&common::DATABASE_USER),
        password: config.find(&common::DATABASE_PASSWORD),
        dbname: config.get(&config::DATABASE_DBNAME),
        application_name: "Debezium General".to_owned(),
        ssl: Ssl {
            mode: SslMode::from_name(&config.get(&config::DATABASE_SSLMODE))
                .unwrap_or(SslMode::Prefer),
            root_cert: path(&config::DATABASE_SSLROOTCERT),
            cert: path(&config::DATABASE_SSLCERT),
            key: path(&config::DATABASE_SSLKEY),
            key_password: config.find(&config::DATABASE_SSLPASSWORD),
        },
        tcp_keepalive: config.get(&common::DATABASE_TCP_KEEP_ALIVE),
        connect_timeout: Duration::from_millis(timeout.unsigned_abs()),
        query_timeout: (u64::try_from(query_timeout_ms).ok().filter(|limit| *limit > 0))
            .map(Duration::from_millis),
    }
}

pub(super) fn props(config: &Config) -> impl Iterator<Item = (&str, &str)> + Clone {
    config.props().iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

pub(super) fn type_settings(config: &Config) -> std::result::Result<types::Settings, String> {
    let is = |key: &model::config::Key<String>, word: &str| {
        config.get(key).trim().eq_ignore_ascii_case(word)
    };
    Ok(types::Settings {
        placeholder: Placeholder::parse(&config.get(&common::UNAVAILABLE_VALUE_PLACEHOLDER))?,
        decimals: DecimalMode::parse(&config.get(&common::DECIMAL_HANDLING_MODE)),
        times: TemporalMode::parse(&config.get(&common::TIME_PRECISION_MODE)),
        binaries: BinaryMode::parse(&config.get(&common::BINARY_HANDLING_MODE)),
        hstore_as_map: is(&config::HSTORE_HANDLING_MODE, "map"),
        interval_as_text: is(&config::INTERVAL_HANDLING_MODE, "string"),
        // Debezium reads this key and lists it nowhere; what is no number counts as the default.
        money_scale: config
            .prop("money.fraction.digits")
            .and_then(|digits| digits.trim().parse::<i16>().ok())
            .unwrap_or(2)
            .into(),
        unknown: config.get(&config::INCLUDE_UNKNOWN_DATATYPES),
    })
}

/// Where transactions in progress are kept.
pub(super) fn in_progress(config: &Config) -> std::result::Result<Limits, String> {
    Ok(Limits {
        bytes_max: checks::stream_memory(config.prop(checks::STREAM_MEMORY))?,
        directory: match config.prop(checks::SPILL_DIRECTORY).map(str::trim) {
            None | Some("") => std::env::temp_dir(),
            Some(directory) => directory.into(),
        },
    })
}

/// The names of fields are adjusted without being told when a converter of the connector is one of
/// those of Avro.
pub(super) fn field_names(config: &Config) -> Adjustment {
    const AVRO: [&str; 2] = [
        "io.confluent.connect.avro.AvroConverter",
        "io.apicurio.registry.utils.converter.AvroConverter",
    ];
    let adjustment = Adjustment::parse(&config.get(&common::FIELD_NAME_ADJUSTMENT_MODE));
    let avro = ["key.converter", "value.converter"]
        .iter()
        .any(|key| config.prop(key).is_some_and(|class| AVRO.contains(&class.trim())));
    if adjustment == Adjustment::None && avro { Adjustment::Avro } else { adjustment }
}

/// The names of topics. These keys are not in the definition; Debezium's strategies read them.
pub(crate) fn naming(config: &Config) -> Result<Naming, String> {
    let text = |key: &str, default: &str| config.prop(key).unwrap_or(default).to_owned();
    let transaction = text("topic.transaction", "transaction");
    let delimiter = text("topic.delimiter", ".");
    let heartbeat_name = config.prop("topic.heartbeat.name").filter(|name| !name.is_empty());
    // Debezium does not read heartbeat.topics.prefix any more (recorded from 3.7).
    let heartbeat_prefix = text("topic.heartbeat.prefix", "__debezium-heartbeat");
    for (key, name) in [
        ("topic.transaction", transaction.as_str()),
        ("topic.delimiter", delimiter.as_str()),
        ("topic.heartbeat.prefix", heartbeat_prefix.as_str()),
        ("topic.heartbeat.name", heartbeat_name.unwrap_or_default()),
    ] {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !name.chars().all(valid) || (name.is_empty() && key != "topic.heartbeat.name") {
            return Err(format!(
                "{key}: {name:?} has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)"
            ));
        }
    }
    if let Some(size) = config.prop("topic.cache.size")
        && !size.trim().parse::<i32>().is_ok_and(|size| size > 0)
    {
        return Err(format!("topic.cache.size: {size:?} is not a positive integer"));
    }
    let strategy = Strategy::parse(&config.get(&common::TOPIC_NAMING_STRATEGY))?;
    let routing = strategy.routed().then(|| Routing::read(|key| config.prop(key))).transpose()?;
    Ok(Naming {
        strategy,
        routing,
        prefix: config.get(&common::TOPIC_PREFIX).into(),
        delimiter,
        transaction,
        heartbeat_prefix,
        heartbeat_name: heartbeat_name.map(str::to_owned),
    })
}

/// `snapshot.mode`
pub(crate) fn mode(config: &Config) -> Result<Mode, String> {
    let mode = config.get(&common::SNAPSHOT_MODE);
    if mode.trim().eq_ignore_ascii_case("configuration_based") {
        return Ok(Mode::ConfigurationBased(Flags {
            data: config.get(&common::SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_DATA),
            stream: config.get(&common::SNAPSHOT_MODE_CONFIGURATION_BASED_START_STREAM),
            on_data_error: config
                .get(&common::SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_ON_DATA_ERROR),
        }));
    }
    Mode::parse(&mode).ok_or_else(|| format!("snapshot.mode {mode} is not supported"))
}

/// `offset.mismatch.strategy`, or the older key that stands for one of its values.
pub(crate) fn mismatch_strategy(config: &Config) -> Result<mismatch::Strategy, String> {
    if let Some(text) = config.prop("offset.mismatch.strategy") {
        return mismatch::Strategy::parse(text).ok_or_else(|| {
            let names = mismatch::Strategy::NAMES.map(|(name, _)| name);
            format!("offset.mismatch.strategy {text} is none of {}", names.join(", "))
        });
    }
    let seek = config.prop("slot.seek.to.known.offset.on.start").unwrap_or_default();
    Ok(match seek.trim().eq_ignore_ascii_case("true") {
        true => mismatch::Strategy::TrustOffset,
        false => mismatch::Strategy::NoValidation,
    })
}

/// `lsn.flush.mode`, or the older `flush.lsn.source`.
pub(super) fn flush_mode(config: &Config) -> FlushMode {
    let mode = config.find(&config::LSN_FLUSH_MODE).map(|mode| mode.trim().to_ascii_lowercase());
    match mode.as_deref() {
        Some("manual") => FlushMode::Manual,
        Some("connector_and_driver") => FlushMode::ConnectorAndDriver,
        Some(_) => FlushMode::Connector,
        None if config.get(&config::FLUSH_LSN_SOURCE) => FlushMode::Connector,
        None => FlushMode::Manual,
    }
}

/// `database.query.timeout.ms`, as a statement that each SQL session begins with. The rows of a
/// snapshot are exempt: Debezium's limit too is about the beginning of an answer.
pub(super) fn query_timeout(config: &Config) -> impl Iterator<Item = String> {
    let timeout_ms = config.get(&common::DATABASE_QUERY_TIMEOUT_MS);
    (timeout_ms > 0).then(|| format!("SET statement_timeout = {timeout_ms}")).into_iter()
}

/// `create.slot.command.timeout`, in seconds; 0 is no limit. Debezium sets it for the statements about
/// publications, and does not show the key.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn publication_limit(config: &Config) -> Result<Duration, String> {
    const KEY: &str = "create.slot.command.timeout";
    let Some(text) = config.prop(KEY) else { return Ok(Duration::from_secs(90)) };
    // As milliseconds the server takes it for 32 bits.
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds <= 2_147_483);
    let wrong =
        || format!("{KEY}: {text:?} is not a number of seconds from 0 (no limit) to 2147483");
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// The statements of `snapshot.select.statement.overrides`, by table; one without a statement is left
/// out, as in Debezium.
pub(super) fn selects(config: &Config) -> HashMap<String, String> {
    const KEY: &str = "snapshot.select.statement.overrides";
    let tables = config.find(&common::SNAPSHOT_SELECT_STATEMENT_OVERRIDES).unwrap_or_default();
    let tables = tables.split(',').map(str::trim).filter(|table| !table.is_empty());
    let select = |table: &str| {
        let statement = config.prop(&format!("{KEY}.{table}"));
        if statement.is_none() {
            tracing::warn!(
                "{KEY} names {table}, but there is no {KEY}.{table}; the table is read as others"
            );
        }
        // A semicolon has no place inside of COPY.
        let statement = statement?.trim().trim_end_matches(';').trim_end().to_owned();
        Some((table.replace('"', ""), statement))
    };
    tables.filter_map(select).collect()
}

/// `snapshot.max.threads.multiplier.<schema.table>`, by table.
///
/// # Errors
///
/// The first that is no positive number.
pub(crate) fn multipliers(config: &Config) -> Result<HashMap<String, usize>, String> {
    const PREFIX: &str = "snapshot.max.threads.multiplier.";
    let of_table = |(key, value): (&str, &str)| {
        let table = key.strip_prefix(PREFIX).filter(|_| !value.trim().is_empty())?.to_owned();
        Some(match value.trim().parse::<usize>() {
            Ok(multiplier) if multiplier > 0 => Ok((table, multiplier)),
            _ => Err(format!("{key}: {value:?} is not a positive integer")),
        })
    };
    props(config).filter_map(of_table).collect()
}

/// `snapshot.max.rows.per.second`, a key of ours; 0 is no limit.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn rows_per_second(config: &Config) -> Result<u64, String> {
    const KEY: &str = "snapshot.max.rows.per.second";
    let Some(text) = config.prop(KEY) else { return Ok(0) };
    let rows = text.trim().parse::<u64>().ok().filter(|rows| *rows <= 1_000_000_000);
    rows.ok_or_else(|| {
        format!("{KEY}: {text:?} is not a number of rows from 0 (no limit) to 1000000000")
    })
}

/// `snapshot.added.tables`, a key of ours: the rows of tables that come to the filters later are read.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn added_tables(config: &Config) -> Result<bool, String> {
    const KEY: &str = "snapshot.added.tables";
    match config.prop(KEY).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(text) => Err(format!("{KEY}: {text:?} is neither true nor false")),
    }
}

/// A digest of the keys that say which tables are captured, and where they come from.
pub(super) fn filters(config: &Config) -> String {
    const KEYS: [&str; 6] = [
        "schema.include.list",
        "schema.exclude.list",
        "table.include.list",
        "table.exclude.list",
        "table.ignore.builtin",
        "publication.name",
    ];
    let mut digest = Md5::new();
    for key in KEYS {
        let value = config.prop(key).map(str::trim).filter(|value| !value.is_empty());
        digest.update(value.unwrap_or_default());
        digest.update([0]);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `legacy.snapshot.max.threads`, or its older name.
pub(super) fn legacy_threads(config: &Config) -> bool {
    let given = |key: &str| config.prop(key).map(|value| value.trim().eq_ignore_ascii_case("true"));
    given("legacy.snapshot.max.threads")
        .or_else(|| given("internal.legacy.snapshot.max.threads"))
        .unwrap_or(false)
}

/// `notification.enabled.channels`: where it is told how snapshots go on.
pub(super) fn notifications(config: &Config, prefix: &str) -> Channels {
    let channels = config.find(&common::NOTIFICATION_ENABLED_CHANNELS).unwrap_or_default();
    let enabled = |name: &str| channels.iter().any(|channel| channel.trim() == name);
    let topic = config.find(&common::NOTIFICATION_SINK_TOPIC_NAME).filter(|_| enabled("sink"));
    Channels::new(topic.as_deref(), enabled("log"), prefix)
}

/// Whether notifications are to go over JMX, which there is none of.
pub(super) fn notifications_jmx(config: &Config) -> bool {
    let channels = config.find(&common::NOTIFICATION_ENABLED_CHANNELS).unwrap_or_default();
    channels.iter().any(|channel| channel.trim() == "jmx")
}

/// The source partition, `{"server": topic.prefix}`.
pub(super) fn partition(prefix: &str) -> Object {
    std::iter::once(("server".to_owned(), serde_json::Value::from(prefix))).collect()
}

/// `__debezium.context.*`, in Debezium's order.
pub(super) fn context_headers(enabled: bool, prefix: &str, task: usize) -> Headers {
    if !enabled {
        return model::record::no_headers();
    }
    let schema = Arc::new(Schema::new(Kind::String));
    let run = uuid::Uuid::now_v7().to_string();
    [
        ("connectorLogicalName", prefix),
        ("taskId", &task.to_string()),
        ("connectorName", "postgresql"),
        ("runId", &run),
    ]
    .into_iter()
    .map(|(name, text)| Header {
        name: format!("__debezium.context.{name}").into(),
        data: Data { schema: Some(schema.clone()), value: Value::Text(text.into()) },
    })
    .collect()
}

/// Statements separated by `;`, where `;;` stands for one.
pub(super) fn statements(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default().replace(";;", "\u{0}");
    text.split(';')
        .map(|statement| statement.replace('\u{0}', ";").trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

pub(super) fn skipped(words: &[String]) -> Vec<Op> {
    words
        .iter()
        .filter_map(|word| match word.as_str() {
            "c" => Some(Op::Create),
            "u" => Some(Op::Update),
            "d" => Some(Op::Delete),
            "t" => Some(Op::Truncate),
            "r" => Some(Op::Read),
            _ => None,
        })
        .collect()
}

pub(super) fn publish(skipped: &[Op]) -> String {
    [
        (Op::Create, "insert"),
        (Op::Update, "update"),
        (Op::Delete, "delete"),
        (Op::Truncate, "truncate"),
    ]
    .into_iter()
    .filter(|(op, _)| !skipped.contains(op))
    .map(|(_, word)| word)
    .collect::<Vec<_>>()
    .join(",")
}

pub(super) fn isolation(mode: &str) -> &'static str {
    match mode.to_ascii_lowercase().as_str() {
        "repeatable_read" => "ISOLATION LEVEL REPEATABLE READ",
        "read_committed" => "ISOLATION LEVEL READ COMMITTED",
        "read_uncommitted" => "ISOLATION LEVEL READ UNCOMMITTED",
        _ => "ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    }
}

pub(super) fn autocreate(mode: &str) -> Autocreate {
    match mode.to_ascii_lowercase().as_str() {
        "disabled" => Autocreate::Disabled,
        "filtered" => Autocreate::Filtered,
        "no_tables" => Autocreate::NoTables,
        _ => Autocreate::AllTables,
    }
}
