//! The configuration as the task uses it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::snapshot::{Mode, notifications::Channels as Notifications, throttle::Throttle};
use model::{
    change::BatchBuilder,
    config::Config,
    connector::Object,
    error::{Error, Result},
    figures::Progress,
    record::{Headers, Position as StoredPosition},
    topics::Topics,
};
use relational::{
    adjustment::Adjustment,
    config as common,
    emitter::Emitter,
    filters::{Filter, Patterns},
    heartbeat::Heartbeat,
    keys::KeyColumns,
    mappers::ColumnMappers,
    modes::BinaryMode,
    table::TableId,
    transaction::Boundaries,
};

use crate::{
    catalog::{Autocreate, Publication},
    checks, config,
    figures::Figures,
    guardrail::Guardrail,
    lineage::Lineage,
    messages::Messages,
    mismatch,
    position::Position,
    replica_identity::ReplicaIdentities,
    signals::Signals,
    source_info::{self, Writer},
    stream::{Limits, Reselected, activity_interval},
    tables::{BadValues, Capture},
    wire::Settings,
};

mod keys;
mod processors;

pub(crate) use keys::{
    added_tables, mismatch_strategy, mode, multipliers, naming, publication_limit, rows_per_second,
    settings,
};
use keys::{
    autocreate, context_headers, field_names, filters, flush_mode, in_progress, isolation,
    legacy_threads, notifications, notifications_jmx, partition, props, publish, query_timeout,
    selects, skipped, statements, type_settings,
};
pub(crate) use processors::reselect;

pub(crate) struct Options {
    database: Settings,
    pub(crate) dbname: Arc<str>,
    pub(crate) initial_statements: Vec<String>,
    pub(crate) capture: Capture,
    pub(crate) emitter: Emitter,
    pub(crate) headers: Headers,
    partition: Object,
    pub(crate) lineage: Lineage,
    pub(crate) mode: Mode,
    pub(crate) snapshot_threads: usize,
    /// What one reader takes at a time.
    pub(crate) ranging: Ranging,
    multipliers: Multipliers,
    /// `snapshot.added.tables`
    pub(crate) added_tables: bool,
    /// A digest of the filters of tables.
    pub(crate) filters: String,
    /// `snapshot.max.rows.per.second`
    pub(crate) throttle: Option<Throttle>,
    pub(crate) snapshot_delay: Duration,
    pub(crate) streaming_delay: Duration,
    snapshot_tables: Option<Patterns>,
    /// `snapshot.tables.order.by.row.count`; `None` when it is disabled.
    pub(crate) table_order: Option<TableOrder>,
    /// `snapshot.select.statement.overrides`: the statement that is read instead of a table.
    pub(crate) selects: HashMap<String, String>,
    /// How long to wait for the locks of `snapshot.locking.mode=shared`; `None` when there are none.
    pub(crate) locks: Option<Duration>,
    /// As it stands after SET TRANSACTION.
    pub(crate) isolation: &'static str,
    pub(crate) batch_rows_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) slot: String,
    pub(crate) slot_failover: bool,
    pub(crate) slot_dropped_on_stop: bool,
    pub(crate) slot_retries_max: u32,
    pub(crate) slot_retry_delay: Duration,
    pub(crate) stream_params: Vec<(String, String)>,
    /// Where transactions in progress are kept.
    pub(crate) in_progress: Limits,
    /// What events show although the log does not have it.
    pub(crate) reselect: Option<Reselected>,
    pub(crate) flush_mode: FlushMode,
    /// `lsn.flush.timeout.ms` and what happens then.
    pub(crate) flush_limit: Duration,
    pub(crate) flush_late: FlushLate,
    pub(crate) mismatch: mismatch::Strategy,
    pub(crate) bad_events: BadEvents,
    pub(crate) guardrail: Guardrail,
    /// `internal.log.position.check.enable`
    pub(crate) position_checked: bool,
    /// `xmin.fetch.interval.ms`; `None` when it is off.
    pub(crate) xmin_interval: Option<Duration>,
    /// `internal.offset.activity.monitor.interval.ms`; `None` when it is off.
    pub(crate) activity_interval: Option<Duration>,
    pub(crate) replica_identities: ReplicaIdentities,
    pub(crate) publication: String,
    autocreate: Autocreate,
    publication_limit: Duration,
    via_root: bool,
    publish: Option<String>,
    pub(crate) status_interval: Duration,
    pub(crate) heartbeat: Option<(Duration, Heartbeat)>,
    /// `heartbeat.action.query`
    pub(crate) heartbeat_query: Option<String>,
    /// Present with `provide.transaction.metadata`.
    pub(crate) boundaries: Option<Boundaries>,
    pub(crate) messages: Messages,
    prefix: Arc<str>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) signals: Signals,
    /// The channel `jmx` is among those of notifications.
    pub(crate) notifications_jmx: bool,
    /// Opens the topic of signals.
    pub(crate) topics: Arc<dyn Topics>,
    /// `notification.*`
    pub(crate) notifications: Notifications,
    /// Told when the server is asked for a sign of life, and when it gives one.
    pub(crate) progress: Progress,
}

/// `lsn.flush.mode`: who moves the slot on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushMode {
    Connector,
    /// Nobody here.
    Manual,
    /// With what is stored, and with each sign of life of the server.
    ConnectorAndDriver,
}

/// `lsn.flush.timeout.action`: what happens when the slot can't be moved on in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushLate {
    Fail,
    Warn,
    Ignore,
}

/// `event.processing.failure.handling.mode`: what becomes of a change that can't be made an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadEvents {
    Fail,
    Warn,
    Skip,
}

/// What one reader of a snapshot takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranging {
    /// A range of a table's pages.
    Pages,
    /// A table: `legacy.snapshot.max.threads`, with several threads.
    Tables,
}

/// `snapshot.max.threads.multiplier`, and of single tables.
struct Multipliers {
    all: usize,
    tables: HashMap<String, usize>,
}

/// `snapshot.tables.order.by.row.count`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableOrder {
    Ascending,
    Descending,
}

/// A batch is handed over at this size: above it latency and memory grow, below it the fixed cost of
/// a batch shows. Rows are never cut, so a batch can be as large as its last row.
const BATCH_BYTES_MAX: usize = 1 << 20;

impl Options {
    pub(crate) fn read(
        config: &Config,
        task: usize,
        progress: Progress,
        topics: Arc<dyn Topics>,
    ) -> Result<Self> {
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
        let naming = naming(config).map_err(invalid)?;
        let prefix = naming.prefix.clone();
        let source = Arc::new(source_info::schema());
        let stream_params = match config.find(&config::SLOT_STREAM_PARAMS) {
            Some(text) => checks::parse_stream_params(&text).map_err(invalid)?,
            None => Vec::new(),
        };
        let capture = Capture {
            naming: naming.clone(),
            schemas: filter(&config::SCHEMA_INCLUDE_LIST, &config::SCHEMA_EXCLUDE_LIST)?,
            tables: filter(&common::TABLE_INCLUDE_LIST, &common::TABLE_EXCLUDE_LIST)?,
            columns: filter(&common::COLUMN_INCLUDE_LIST, &common::COLUMN_EXCLUDE_LIST)?,
            builtin_ignored: config.get(&common::TABLE_IGNORE_BUILTIN),
            signals: Signals::read(config).table,
            keys: match config.find(&common::MESSAGE_KEY_COLUMNS) {
                Some(text) => KeyColumns::parse(&text).map_err(invalid)?,
                None => KeyColumns::default(),
            },
            mappers: ColumnMappers::read(props(config)).map_err(invalid)?,
            schema_names: Adjustment::parse(&config.get(&common::SCHEMA_NAME_ADJUSTMENT_MODE)),
            field_names: field_names(config),
            types: type_settings(config).map_err(invalid)?,
            binary: checks::binary(&stream_params),
            bad_values: match &*config
                .get(&common::EVENT_CONVERTING_FAILURE_HANDLING_MODE)
                .trim()
                .to_ascii_lowercase()
            {
                "fail" => BadValues::Fail,
                "skip" => BadValues::Skip,
                _ => BadValues::Warn,
            },
            source: source.clone(),
        };
        let skipped = skipped(&config.get(&common::SKIPPED_OPERATIONS));
        let dbname = config.get(&config::DATABASE_DBNAME);
        let provided = config.get(&common::PROVIDE_TRANSACTION_METADATA);
        let flush_mode = flush_mode(config);
        let heartbeat_ms = match config.get(&common::HEARTBEAT_INTERVAL_MS) {
            // Otherwise what the server says of its log would reach no stored offset.
            0 if flush_mode == FlushMode::ConnectorAndDriver && !provided => {
                tracing::info!(
                    "heartbeat.interval.ms is taken as 600000, because lsn.flush.mode is connector_and_driver"
                );
                600_000
            }
            given => given,
        };
        let positive =
            |key: &model::config::Key<i32>| usize::try_from(config.get(key)).unwrap_or(1).max(1);
        let threads = positive(&common::SNAPSHOT_MAX_THREADS);
        let millis = |value: i64| Duration::from_millis(value.unsigned_abs());
        let queue_bytes = config.get(&common::MAX_QUEUE_SIZE_IN_BYTES);
        Ok(Self {
            database: settings(config),
            dbname: dbname.into(),
            initial_statements: query_timeout(config)
                .chain(statements(config.find(&common::DATABASE_INITIAL_STATEMENTS)))
                .collect(),
            capture,
            emitter: Emitter {
                tombstones: config.get(&common::TOMBSTONES_ON_DELETE),
                skipped: skipped.clone(),
                skip_unchanged: config.get(&common::SKIP_MESSAGES_WITHOUT_CHANGE),
            },
            headers: context_headers(config.get(&common::EXTENDED_HEADERS_ENABLED), &prefix, task),
            lineage: Lineage::new(partition(&prefix)),
            partition: partition(&prefix),
            mode: mode(config).map_err(invalid)?,
            snapshot_threads: threads,
            ranging: match legacy_threads(config) && threads > 1 {
                true => Ranging::Tables,
                false => Ranging::Pages,
            },
            multipliers: Multipliers {
                all: positive(&common::SNAPSHOT_MAX_THREADS_MULTIPLIER),
                tables: multipliers(config).map_err(invalid)?,
            },
            added_tables: added_tables(config).map_err(invalid)?,
            filters: filters(config),
            throttle: Throttle::new(rows_per_second(config).map_err(invalid)?),
            snapshot_delay: millis(config.get(&common::SNAPSHOT_DELAY_MS)),
            streaming_delay: millis(config.get(&common::STREAMING_DELAY_MS)),
            snapshot_tables: list(&common::SNAPSHOT_INCLUDE_COLLECTION_LIST)
                .filter(|list| !list.trim().is_empty())
                .map(Patterns::parse)
                .transpose()
                .map_err(invalid)?,
            table_order: match &*config
                .get(&common::SNAPSHOT_TABLES_ORDER_BY_ROW_COUNT)
                .to_ascii_lowercase()
            {
                "ascending" => Some(TableOrder::Ascending),
                "descending" => Some(TableOrder::Descending),
                _ => None,
            },
            selects: selects(config),
            locks: config
                .find(&common::SNAPSHOT_LOCKING_MODE)
                .filter(|mode| mode.trim().eq_ignore_ascii_case("shared"))
                .map(|_| millis(config.get(&common::SNAPSHOT_LOCK_TIMEOUT_MS))),
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
            stream_params,
            in_progress: in_progress(config).map_err(invalid)?,
            reselect: reselect(config).map_err(invalid)?,
            flush_mode,
            flush_limit: millis(config.get(&config::LSN_FLUSH_TIMEOUT_MS)),
            flush_late: match &*config
                .get(&config::LSN_FLUSH_TIMEOUT_ACTION)
                .trim()
                .to_ascii_lowercase()
            {
                "warn" => FlushLate::Warn,
                "ignore" => FlushLate::Ignore,
                _ => FlushLate::Fail,
            },
            mismatch: mismatch_strategy(config).map_err(invalid)?,
            bad_events: match &*config
                .get(&common::EVENT_PROCESSING_FAILURE_HANDLING_MODE)
                .trim()
                .to_ascii_lowercase()
            {
                "warn" => BadEvents::Warn,
                "skip" | "ignore" => BadEvents::Skip,
                _ => BadEvents::Fail,
            },
            guardrail: Guardrail::read(config),
            position_checked: config.get(&common::INTERNAL_LOG_POSITION_CHECK_ENABLE),
            xmin_interval: Some(millis(config.get(&config::XMIN_FETCH_INTERVAL_MS)))
                .filter(|interval| !interval.is_zero()),
            activity_interval: activity_interval(config),
            replica_identities: match config.find(&config::REPLICA_IDENTITY_AUTOSET_VALUES) {
                Some(text) => ReplicaIdentities::parse(&text).map_err(invalid)?,
                None => ReplicaIdentities::default(),
            },
            publication: config.get(&config::PUBLICATION_NAME),
            publication_limit: publication_limit(config).map_err(invalid)?,
            autocreate: autocreate(&config.get(&config::PUBLICATION_AUTOCREATE_MODE)),
            via_root: config.get(&config::PUBLISH_VIA_PARTITION_ROOT),
            publish: config.prop("skipped.operations").map(|_| publish(&skipped)),
            status_interval: Duration::from_millis(
                config.get(&config::STATUS_UPDATE_INTERVAL_MS).unsigned_abs().into(),
            ),
            heartbeat: (heartbeat_ms > 0).then(|| {
                let interval = Duration::from_millis(heartbeat_ms.unsigned_abs().into());
                (interval, Heartbeat::new(&naming.heartbeats(), &prefix))
            }),
            heartbeat_query: config
                .find(&common::HEARTBEAT_ACTION_QUERY)
                .filter(|query| !query.trim().is_empty()),
            boundaries: provided.then(|| Boundaries::new(&naming.transactions())),
            messages: Messages::new(
                &prefix,
                filter(&config::MESSAGE_PREFIX_INCLUDE_LIST, &config::MESSAGE_PREFIX_EXCLUDE_LIST)?,
                BinaryMode::parse(&config.get(&common::BINARY_HANDLING_MODE)),
                &source,
            ),
            signals: Signals::read(config),
            notifications_jmx: notifications_jmx(config),
            topics,
            notifications: notifications(config, &prefix),
            prefix: prefix.clone(),
            figures: Arc::new(
                Figures::new(prefix, u64::try_from(queue_bytes).unwrap_or(0))
                    .tagged(config.prop(common::CUSTOM_METRIC_TAGS.spec.name).unwrap_or_default())
                    .of_slot(&config.get(&config::SLOT_NAME)),
            ),
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
        self.lineage.position(position.write())
    }

    /// Whether the publication has tables because the connector put them there.
    pub(crate) fn publishes(&self) -> bool {
        matches!(self.autocreate, Autocreate::AllTables | Autocreate::Filtered)
    }

    pub(crate) fn publication<'a>(&'a self, tables: &'a [TableId]) -> Publication<'a> {
        Publication {
            name: &self.publication,
            autocreate: self.autocreate,
            tables,
            via_root: self.via_root,
            publish: self.publish.clone(),
            limit: self.publication_limit,
        }
    }

    pub(crate) fn snapshots(&self, table: &TableId) -> bool {
        self.snapshot_tables.as_ref().is_none_or(|tables| tables.matches(&table.to_string()))
    }

    /// Whether all statements of a transaction of the snapshot see the same.
    pub(crate) fn one_view(&self) -> bool {
        !self.isolation.contains("COMMITTED")
    }

    /// Into how many chunks a table is to be cut for the readers of a snapshot.
    pub(crate) fn snapshot_chunks(&self, table: &str) -> usize {
        let multiplier = self.multipliers.tables.get(table).unwrap_or(&self.multipliers.all);
        self.snapshot_threads.saturating_mul(*multiplier)
    }

    /// Whether a snapshot tells of the chunks of its tables: with several readers, or several chunks
    /// for one, unless tables are what readers take.
    pub(crate) fn chunked(&self) -> bool {
        let several = self.multipliers.all > 1 || self.multipliers.tables.values().any(|n| *n > 1);
        self.ranging == Ranging::Pages && (self.snapshot_threads > 1 || several)
    }

    /// A change could not be made an event.
    ///
    /// # Errors
    ///
    /// The same, unless the change is to be left out.
    pub(crate) fn failed_event(&self, error: Error) -> Result<()> {
        match self.bad_events {
            BadEvents::Fail => return Err(error),
            BadEvents::Warn => tracing::warn!("left out an event: {}", error.trace()),
            BadEvents::Skip => tracing::debug!("left out an event: {}", error.trace()),
        }
        self.figures.left_out();
        Ok(())
    }

    pub(crate) fn fresh_batch(&self) -> (BatchBuilder, Writer) {
        let mut batch = BatchBuilder::new(self.headers.clone());
        let writer = Writer::new(&mut batch.rows, &self.prefix, &self.dbname);
        (batch, writer)
    }

    pub(crate) fn full(&self, batch: &BatchBuilder) -> bool {
        batch.len() >= self.batch_rows_max || batch.byte_len() >= self.batch_bytes_max
    }
}
