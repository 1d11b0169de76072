//! The configuration as the task uses it.

use std::{sync::Arc, time::Duration};

use ::snapshot::Mode;
use model::{
    change::{BatchBuilder, Op},
    config::Config,
    connector::Object,
    error::{Error, Result},
    figures::Progress,
    record::{Data, Header, Headers, Position as StoredPosition},
    schema::{Kind, Schema},
    value::Value,
};
use relational::{
    adjustment::Adjustment,
    config as common,
    emitter::Emitter,
    filters::{Filter, Patterns},
    heartbeat::Heartbeat,
    keys::KeyColumns,
    mappers::ColumnMappers,
    modes::{BinaryMode, DecimalMode, TemporalMode},
    table::TableId,
};

use crate::{
    catalog::{Autocreate, Publication},
    config,
    figures::Figures,
    position::Position,
    source_info::{self, Writer},
    tables::Capture,
    types::{self, Placeholder},
    wire::{Settings, Ssl, SslMode},
};

pub(crate) struct Options {
    database: Settings,
    pub(crate) dbname: Arc<str>,
    pub(crate) initial_statements: Vec<String>,
    pub(crate) capture: Capture,
    pub(crate) emitter: Emitter,
    pub(crate) headers: Headers,
    partition: Arc<Object>,
    pub(crate) mode: Mode,
    pub(crate) snapshot_threads: usize,
    pub(crate) snapshot_delay: Duration,
    pub(crate) streaming_delay: Duration,
    snapshot_tables: Option<Patterns>,
    /// As it stands after SET TRANSACTION.
    pub(crate) isolation: &'static str,
    pub(crate) batch_rows_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) slot: String,
    pub(crate) slot_failover: bool,
    pub(crate) slot_dropped_on_stop: bool,
    pub(crate) slot_retries_max: u32,
    pub(crate) slot_retry_delay: Duration,
    pub(crate) publication: String,
    autocreate: Autocreate,
    via_root: bool,
    publish: Option<String>,
    pub(crate) status_interval: Duration,
    pub(crate) heartbeat: Option<(Duration, Heartbeat)>,
    pub(crate) figures: Arc<Figures>,
    /// Told when the server is asked for a sign of life, and when it gives one.
    pub(crate) progress: Progress,
}

/// A batch is handed over at this size: above it latency and memory grow, below it the fixed cost of
/// a batch shows. Rows are never cut, so a batch can be as large as its last row.
const BATCH_BYTES_MAX: usize = 1 << 20;

impl Options {
    pub(crate) fn read(config: &Config, task: usize, progress: Progress) -> Result<Self> {
        let invalid = |error: String| Error::fatal(format!("read the configuration: {error}"));
        let list = |key: &model::config::Key<Vec<String>>| config.prop(key.spec.name);
        let filter = |include, exclude| Filter::new(list(include), list(exclude)).map_err(invalid);
        let plugin = config.get(&config::PLUGIN_NAME);
        if !plugin.eq_ignore_ascii_case("pgoutput") {
            return Err(invalid(format!(
                "plugin.name {plugin} is not supported; set plugin.name=pgoutput, which every \
                 server has"
            )));
        }
        let prefix: Arc<str> = config.get(&common::TOPIC_PREFIX).into();
        let delimiter = config.prop("topic.delimiter").unwrap_or(".").to_owned();
        let capture = Capture {
            prefix: prefix.clone(),
            delimiter: delimiter.clone(),
            schemas: filter(&config::SCHEMA_INCLUDE_LIST, &config::SCHEMA_EXCLUDE_LIST)?,
            tables: filter(&common::TABLE_INCLUDE_LIST, &common::TABLE_EXCLUDE_LIST)?,
            columns: filter(&common::COLUMN_INCLUDE_LIST, &common::COLUMN_EXCLUDE_LIST)?,
            builtin_ignored: config.get(&common::TABLE_IGNORE_BUILTIN),
            keys: match config.find(&common::MESSAGE_KEY_COLUMNS) {
                Some(text) => KeyColumns::parse(&text).map_err(invalid)?,
                None => KeyColumns::default(),
            },
            mappers: ColumnMappers::read(props(config)).map_err(invalid)?,
            schema_names: Adjustment::parse(&config.get(&common::SCHEMA_NAME_ADJUSTMENT_MODE)),
            field_names: field_names(config),
            types: type_settings(config).map_err(invalid)?,
            source: Arc::new(source_info::schema()),
        };
        let skipped = skipped(&config.get(&common::SKIPPED_OPERATIONS));
        let dbname = config.get(&config::DATABASE_DBNAME);
        let heartbeat_ms = config.get(&common::HEARTBEAT_INTERVAL_MS);
        let heartbeat_prefix = config
            .prop("topic.heartbeat.prefix")
            .map_or_else(|| config.get(&common::HEARTBEAT_TOPICS_PREFIX), str::to_owned);
        let mode = config.get(&common::SNAPSHOT_MODE);
        let millis = |value: i64| Duration::from_millis(value.unsigned_abs());
        let queue_bytes = config.get(&common::MAX_QUEUE_SIZE_IN_BYTES);
        Ok(Self {
            database: settings(config),
            dbname: dbname.into(),
            initial_statements: statements(config.find(&common::DATABASE_INITIAL_STATEMENTS)),
            capture,
            emitter: Emitter {
                tombstones: config.get(&common::TOMBSTONES_ON_DELETE),
                skipped: skipped.clone(),
                skip_unchanged: config.get(&common::SKIP_MESSAGES_WITHOUT_CHANGE),
            },
            headers: context_headers(config.get(&common::EXTENDED_HEADERS_ENABLED), &prefix, task),
            partition: Arc::new(partition(&prefix)),
            mode: Mode::parse(&mode)
                .ok_or_else(|| invalid(format!("snapshot.mode {mode} is not supported")))?,
            snapshot_threads: usize::try_from(config.get(&common::SNAPSHOT_MAX_THREADS))
                .unwrap_or(1)
                .max(1),
            snapshot_delay: millis(config.get(&common::SNAPSHOT_DELAY_MS)),
            streaming_delay: millis(config.get(&common::STREAMING_DELAY_MS)),
            snapshot_tables: list(&common::SNAPSHOT_INCLUDE_COLLECTION_LIST)
                .map(Patterns::parse)
                .transpose()
                .map_err(invalid)?,
            isolation: isolation(&config.get(&config::SNAPSHOT_ISOLATION_MODE)),
            batch_rows_max: usize::try_from(config.get(&common::MAX_BATCH_SIZE))
                .unwrap_or(1)
                .max(1),
            batch_bytes_max: match usize::try_from(queue_bytes) {
                Ok(bytes) if bytes > 0 => bytes.min(BATCH_BYTES_MAX),
                _ => BATCH_BYTES_MAX,
            },
            slot: config.get(&config::SLOT_NAME),
            slot_failover: config.get(&config::SLOT_FAILOVER),
            slot_dropped_on_stop: config.get(&config::SLOT_DROP_ON_STOP),
            slot_retries_max: config.get(&config::SLOT_MAX_RETRIES).unsigned_abs(),
            slot_retry_delay: millis(config.get(&config::SLOT_RETRY_DELAY_MS)),
            publication: config.get(&config::PUBLICATION_NAME),
            autocreate: autocreate(&config.get(&config::PUBLICATION_AUTOCREATE_MODE)),
            via_root: config.get(&config::PUBLISH_VIA_PARTITION_ROOT),
            publish: config.prop("skipped.operations").map(|_| publish(&skipped)),
            status_interval: Duration::from_millis(
                config.get(&config::STATUS_UPDATE_INTERVAL_MS).unsigned_abs().into(),
            ),
            heartbeat: (heartbeat_ms > 0).then(|| {
                let interval = Duration::from_millis(heartbeat_ms.unsigned_abs().into());
                (interval, Heartbeat::new(&heartbeat_prefix, &delimiter, &prefix))
            }),
            figures: Arc::new(Figures::new(prefix, u64::try_from(queue_bytes).unwrap_or(0))),
            progress,
        })
    }

    /// The connection settings; the name shows in `pg_stat_activity`.
    pub(crate) fn database(&self, application_name: &str) -> Settings {
        Settings { application_name: application_name.to_owned(), ..self.database.clone() }
    }

    pub(crate) fn partition(&self) -> &Object {
        &self.partition
    }

    pub(crate) fn position(&self, position: &Position) -> StoredPosition {
        StoredPosition { partition: self.partition.clone(), offset: position.write() }
    }

    pub(crate) fn publication<'a>(&'a self, tables: &'a [TableId]) -> Publication<'a> {
        Publication {
            name: &self.publication,
            autocreate: self.autocreate,
            tables,
            via_root: self.via_root,
            publish: self.publish.clone(),
        }
    }

    pub(crate) fn snapshots(&self, table: &TableId) -> bool {
        self.snapshot_tables.as_ref().is_none_or(|tables| tables.matches(&table.to_string()))
    }

    pub(crate) fn fresh_batch(&self) -> (BatchBuilder, Writer) {
        let mut batch = BatchBuilder::new(self.headers.clone());
        let writer = Writer::new(&mut batch.rows, &self.capture.prefix, &self.dbname);
        (batch, writer)
    }

    pub(crate) fn full(&self, batch: &BatchBuilder) -> bool {
        batch.len() >= self.batch_rows_max || batch.byte_len() >= self.batch_bytes_max
    }
}

/// How to reach the database; needs only the connection keys, so that `validate` can use it.
pub(crate) fn settings(config: &Config) -> Settings {
    let path = |key: &model::config::Key<String>| config.find(key).map(Into::into);
    let timeout = config.get(&common::CONNECTION_VALIDATION_TIMEOUT_MS);
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
    }
}

fn props(config: &Config) -> impl Iterator<Item = (&str, &str)> + Clone {
    config.props().iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

fn type_settings(config: &Config) -> std::result::Result<types::Settings, String> {
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

/// The names of fields are adjusted without being told when a converter of the connector is one of
/// those of Avro.
fn field_names(config: &Config) -> Adjustment {
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

/// The source partition, `{"server": topic.prefix}`.
fn partition(prefix: &str) -> Object {
    std::iter::once(("server".to_owned(), serde_json::Value::from(prefix))).collect()
}

/// `__debezium.context.*`, in Debezium's order.
fn context_headers(enabled: bool, prefix: &str, task: usize) -> Headers {
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
fn statements(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default().replace(";;", "\u{0}");
    text.split(';')
        .map(|statement| statement.replace('\u{0}', ";").trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

fn skipped(words: &[String]) -> Vec<Op> {
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

fn publish(skipped: &[Op]) -> String {
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

fn isolation(mode: &str) -> &'static str {
    match mode.to_ascii_lowercase().as_str() {
        "repeatable_read" => "ISOLATION LEVEL REPEATABLE READ",
        "read_committed" => "ISOLATION LEVEL READ COMMITTED",
        "read_uncommitted" => "ISOLATION LEVEL READ UNCOMMITTED",
        _ => "ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    }
}

fn autocreate(mode: &str) -> Autocreate {
    match mode.to_ascii_lowercase().as_str() {
        "disabled" => Autocreate::Disabled,
        "filtered" => Autocreate::Filtered,
        "no_tables" => Autocreate::NoTables,
        _ => Autocreate::AllTables,
    }
}
