//! The keys that all relational connectors share.
//!
//! Names, defaults, importances and widths are those of Debezium 3.7. A connector lists those it has,
//! with what is different with it; a key without effect it marks `unsupported`, so that setting it is
//! refused by name.

use model::config::{
    Check::{Field, Fields},
    Importance::{High, Low, Medium},
    Key, Secret,
    Width::{Long, Medium as Mid, Short},
};

use crate::checks::*;

pub static DATABASE_HOSTNAME: Key<String> = Key::string("database.hostname")
    .default_null()
    .importance(High)
    .width(Mid)
    .display("Hostname")
    .doc("Host name or address of the database server.")
    .check(Field(hostname));
pub static DATABASE_USER: Key<String> = Key::string("database.user")
    .default_null()
    .importance(High)
    .width(Short)
    .display("User")
    .doc("User to connect as.")
    .check(Field(required));
pub static DATABASE_PASSWORD: Key<Secret> = Key::password("database.password")
    .default_null()
    .importance(High)
    .width(Short)
    .display("Password")
    .doc("Password of the user.");
pub static DATABASE_QUERY_TIMEOUT_MS: Key<i32> = Key::int("database.query.timeout.ms")
    .default("600000")
    .importance(Low)
    .display("Query timeout")
    .doc("How long a query may run.")
    .check(Field(integer));
pub static SKIP_MESSAGES_WITHOUT_CHANGE: Key<bool> = Key::boolean("skip.messages.without.change")
    .default("false")
    .importance(Medium)
    .width(Short)
    .display("Enable skipping messages without change")
    .doc("Leave out updates in which no captured column changed.")
    .check(Field(boolean_twice));
pub static DATABASE_TCP_KEEP_ALIVE: Key<bool> = Key::boolean("database.tcpKeepAlive")
    .default("true")
    .importance(Medium)
    .width(Short)
    .display("TCP keep-alive probe")
    .doc("Probe idle connections, so that firewalls do not drop them.")
    .check(Field(boolean_twice));
pub static TOPIC_PREFIX: Key<String> = Key::string("topic.prefix").default_null().importance(High).width(Mid).display("Topic prefix").doc("First part of all topic names, and the name of this source in events. Unique in a Kafka cluster; changing it starts anew.")
    .check(Field(topic_prefix));
pub static TOMBSTONES_ON_DELETE: Key<bool> = Key::boolean("tombstones.on.delete").default("true").importance(Medium).width(Short).display("Change the behaviour of Debezium with regards to delete operations").doc("Send a record with a null value after each delete, so that a compacted topic forgets the key.")
    .check(Field(boolean_twice));
pub static BINARY_HANDLING_MODE: Key<String> = Key::string("binary.handling.mode")
    .default("bytes")
    .importance(Low)
    .width(Mid)
    .display("Binary Handling")
    .doc("Form of binary columns: bytes, base64, base64-url-safe or hex.")
    .one_of(&["bytes", "base64", "hex", "base64-url-safe"]);
pub static SCHEMA_NAME_ADJUSTMENT_MODE: Key<String> = Key::string("schema.name.adjustment.mode")
    .default("none")
    .importance(Low)
    .width(Mid)
    .display("Schema Name Adjustment")
    .doc("How schema names are made acceptable to the converter: none, avro or avro_unicode.")
    .one_of(&["none", "avro_unicode", "avro"]);
pub static FIELD_NAME_ADJUSTMENT_MODE: Key<String> = Key::string("field.name.adjustment.mode")
    .default("none")
    .importance(Low)
    .width(Mid)
    .display("Field Name Adjustment")
    .doc("How field names are made acceptable to the converter: none, avro or avro_unicode.")
    .one_of(&["none", "avro_unicode", "avro"]);
pub static EVENT_CONVERTING_FAILURE_HANDLING_MODE: Key<String> =
    Key::string("event.converting.failure.handling.mode")
        .default("warn")
        .importance(Medium)
        .width(Mid)
        .display("Event converting failure handling mode")
        .doc("What happens when a value can not be converted: fail, warn or skip.")
        .one_of(&["warn", "fail", "skip"]);
pub static DECIMAL_HANDLING_MODE: Key<String> = Key::string("decimal.handling.mode")
    .default("precise")
    .importance(Medium)
    .width(Short)
    .display("Decimal Handling")
    .doc("Form of NUMERIC columns: precise, double or string.")
    .one_of(&["string", "double", "precise"]);
pub static TIME_PRECISION_MODE: Key<String> = Key::string("time.precision.mode")
    .default("adaptive")
    .importance(Medium)
    .width(Short)
    .display("Time Precision")
    .doc("Form of temporal columns.")
    .one_of(&[
        "adaptive",
        "adaptive_time_microseconds",
        "isostring",
        "structured",
        "microseconds",
        "nanoseconds",
        "connect",
    ]);
pub static INCLUDE_SCHEMA_COMMENTS: Key<bool> = Key::boolean("include.schema.comments")
    .default("false")
    .importance(Medium)
    .width(Short)
    .display("Include Table and Column Comments")
    .doc("Put comments of tables and columns into schemas.")
    .check(Field(boolean_twice));
pub static UNAVAILABLE_VALUE_PLACEHOLDER: Key<String> = Key::string(
    "unavailable.value.placeholder",
)
.default("__debezium_unavailable_value")
.importance(Medium)
.width(Mid)
.display("Unavailable value placeholder")
.doc("What stands for a large value that an update did not touch and the server did not send.");
pub static SKIPPED_OPERATIONS: Key<Vec<String>> = Key::list("skipped.operations")
    .default("t")
    .importance(Low)
    .width(Short)
    .display("Skipped Operations")
    .doc("Operations to leave out: c, u, d, t, or none.")
    .check(Field(operations));
pub static PROVIDE_TRANSACTION_METADATA: Key<bool> = Key::boolean("provide.transaction.metadata")
    .default("false")
    .importance(Low)
    .width(Short)
    .display("Store transaction metadata information in a dedicated topic.")
    .doc("Send transaction boundaries to a topic and mark events with their transaction.")
    .check(Field(boolean));
pub static CONVERTERS: Key<String> = Key::string("converters")
    .default_null()
    .importance(Low)
    .width(Mid)
    .display("List of prefixes defining custom values converters.")
    .doc("Names of custom value converters.");
pub static POST_PROCESSORS: Key<String> = Key::string("post.processors")
    .default_null()
    .importance(Low)
    .width(Mid)
    .display("List of change event post processors.")
    .doc("Names of post processors of events.");
pub static INCREMENTAL_SNAPSHOT_ALLOW_SCHEMA_CHANGES: Key<bool> =
    Key::boolean("incremental.snapshot.allow.schema.changes")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Allow schema changes during incremental snapshot if supported.")
        .doc("Allow schema changes while an incremental snapshot runs.")
        .check(Field(boolean));
pub static SIGNAL_DATA_COLLECTION: Key<Vec<String>> = Key::list("signal.data.collection")
    .default_null()
    .importance(Medium)
    .width(Mid)
    .display("Signaling data collection")
    .doc("Table through which signals come.")
    .check(Field(one_table));
pub static SIGNAL_ENABLED_CHANNELS: Key<Vec<String>> = Key::list("signal.enabled.channels")
    .default("source")
    .importance(Medium)
    .width(Long)
    .display("Enabled channels names")
    .doc("Channels through which signals come.");
pub static NOTIFICATION_ENABLED_CHANNELS: Key<Vec<String>> =
    Key::list("notification.enabled.channels")
        .default_null()
        .importance(Medium)
        .width(Long)
        .display("Enabled notification channels names")
        .doc("Channels to which notifications go.");
pub static NOTIFICATION_SINK_TOPIC_NAME: Key<String> = Key::string("notification.sink.topic.name")
    .default_null()
    .importance(High)
    .width(Long)
    .display("Notification topic name")
    .doc("Topic of the notification channel sink.")
    .check(Fields(notification_topic));
pub static NOTIFICATION_HTTP_URL: Key<String> = Key::string("notification.http.url")
    .default_null()
    .importance(High)
    .width(Long)
    .display("HTTP notification endpoint URL")
    .doc("Endpoint of the notification channel http.")
    .check(Fields(notification_url));
pub static NOTIFICATION_HTTP_TIMEOUT_MS: Key<i32> = Key::int("notification.http.timeout.ms")
    .default("5000")
    .importance(Low)
    .width(Short)
    .display("HTTP notification timeout (ms)")
    .doc("Time limit of a notification over HTTP.")
    .check(Field(positive));
pub static NOTIFICATION_HTTP_RETRIES: Key<i32> = Key::int("notification.http.retries")
    .default("2")
    .importance(Low)
    .width(Short)
    .display("HTTP notification retries")
    .doc("Retries of a notification over HTTP.")
    .check(Field(non_negative));
pub static NOTIFICATION_HTTP_ALLOW_PRIVATE_NETWORKS: Key<bool> =
    Key::boolean("notification.http.allow.private.networks")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Allow private network notification targets")
        .doc("Allow notifications to addresses in private networks.")
        .check(Field(boolean));
pub static TRANSACTION_METADATA_FACTORY: Key<String> = Key::class("transaction.metadata.factory")
    .default("io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory")
    .importance(Low)
    .width(Mid)
    .display("Factory class to create transaction context & transaction struct maker classes")
    .doc("Class that makes transaction metadata.")
    .check(Field(class));
pub static MESSAGE_KEY_COLUMNS: Key<String> = Key::string("message.key.columns").default_null().importance(Medium).width(Long).display("Columns PK mapping").doc("Key columns of tables: table-regex:column,column;… Tables without an entry use their primary key.")
    .check(Field(key_columns));
pub static COLUMN_MASK_HASH_WITH_SALT: Key<String> =
    Key::string("column.mask.hash.([^.]+).with.salt.(.+)")
        .default_null()
        .importance(Medium)
        .width(Long)
        .display("Mask Columns Using Hash and Salt")
        .doc("Columns whose values are replaced by a salted hash.");
pub static COLUMN_MASK_WITH_D_CHARS: Key<String> = Key::string("column.mask.with.(d+).chars")
    .default_null()
    .importance(Medium)
    .display("Mask Columns With n Asterisks")
    .doc("Columns whose values are replaced by asterisks.")
    .check(Field(integer));
pub static COLUMN_TRUNCATE_TO_D_CHARS: Key<i32> = Key::int("column.truncate.to.(d+).chars")
    .default_null()
    .importance(Medium)
    .display("Truncate Columns To n Characters")
    .doc("Columns whose values are cut.")
    .check(Field(integer_twice));
pub static COLUMN_PROPAGATE_SOURCE_TYPE: Key<Vec<String>> =
    Key::list("column.propagate.source.type")
        .default_null()
        .importance(Medium)
        .display("Propagate Source Types by Columns")
        .doc("Columns whose source type is put into schema parameters.")
        .check(Field(regexes));
pub static DATATYPE_PROPAGATE_SOURCE_TYPE: Key<Vec<String>> =
    Key::list("datatype.propagate.source.type")
        .default_null()
        .importance(Medium)
        .display("Propagate Source Types by Data Type")
        .doc("Types for whose columns the source type is put into schema parameters.")
        .check(Field(regexes));
pub static MEMORY_MANAGEMENT_SCHEMAS_CLASS: Key<String> =
    Key::class("memory.management.schemas.class")
        .default("io.debezium.relational.ConcurrentMapTableMappingStorage")
        .importance(Low)
        .width(Long)
        .display("Schema storage class")
        .doc("Class that holds schemas in memory.")
        .check(Field(class));
pub static MEMORY_MANAGEMENT_TABLES_CLASS: Key<String> =
    Key::class("memory.management.tables.class")
        .default("io.debezium.relational.ConcurrentMapTableMappingStorage")
        .importance(Low)
        .width(Long)
        .display("Table storage class")
        .doc("Class that holds table definitions in memory.")
        .check(Field(class));
pub static SNAPSHOT_DELAY_MS: Key<i64> = Key::long("snapshot.delay.ms")
    .default("0")
    .importance(Low)
    .width(Mid)
    .display("Snapshot Delay (milliseconds)")
    .doc("Wait before the snapshot.")
    .check(Field(non_negative_long));
pub static SNAPSHOT_INCLUDE_COLLECTION_LIST: Key<Vec<String>> =
    Key::list("snapshot.include.collection.list")
        .default_null()
        .importance(Medium)
        .width(Long)
        .display("Snapshot mode include data collection")
        .doc("Regular expressions of the tables to snapshot; all captured tables when unset.")
        .check(Field(regexes));
pub static SNAPSHOT_MODE_CUSTOM_NAME: Key<String> = Key::string("snapshot.mode.custom.name")
    .default_null()
    .importance(Medium)
    .width(Mid)
    .display("Snapshot Mode Custom Name")
    .doc("Name of a custom snapshot mode.")
    .check(Fields(|given, all| {
        custom_name("snapshot.mode.custom.name", given, all, "snapshot.mode")
    }));
pub static SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_DATA: Key<bool> =
    Key::boolean("snapshot.mode.configuration.based.snapshot.data")
        .default("false")
        .importance(Medium)
        .width(Mid)
        .display("Snapshot mode property based snapshot data")
        .doc("For snapshot.mode=configuration_based: read the data.")
        .check(Field(boolean));
pub static SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_SCHEMA: Key<bool> =
    Key::boolean("snapshot.mode.configuration.based.snapshot.schema")
        .default("false")
        .importance(Medium)
        .width(Mid)
        .display("Snapshot mode property based snapshot schema")
        .doc("For snapshot.mode=configuration_based: read the schema.")
        .check(Field(boolean));
pub static SNAPSHOT_MODE_CONFIGURATION_BASED_START_STREAM: Key<bool> =
    Key::boolean("snapshot.mode.configuration.based.start.stream")
        .default("false")
        .importance(Medium)
        .width(Mid)
        .display("Snapshot mode property based start stream")
        .doc("For snapshot.mode=configuration_based: stream afterwards.")
        .check(Field(boolean));
pub static SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_ON_SCHEMA_ERROR: Key<bool> =
    Key::boolean("snapshot.mode.configuration.based.snapshot.on.schema.error")
        .default("false")
        .importance(Medium)
        .width(Mid)
        .display("Snapshot mode property based snapshot on schema error")
        .doc("For snapshot.mode=configuration_based: snapshot when the schema history is missing.")
        .check(Field(boolean));
pub static SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_ON_DATA_ERROR: Key<bool> = Key::boolean(
    "snapshot.mode.configuration.based.snapshot.on.data.error",
)
.default("false")
.importance(Medium)
.width(Mid)
.display("Snapshot mode property based snapshot on data error")
.doc("For snapshot.mode=configuration_based: snapshot when the position is gone from the log.")
.check(Field(boolean));
pub static SNAPSHOT_MAX_THREADS: Key<i32> = Key::int("snapshot.max.threads")
    .default("1")
    .importance(Medium)
    .width(Short)
    .display("Snapshot maximum threads")
    .doc("Connections that read the snapshot side by side.")
    .check(Field(positive));
pub static SNAPSHOT_MAX_THREADS_MULTIPLIER: Key<i32> = Key::int("snapshot.max.threads.multiplier")
    .default("1")
    .importance(Medium)
    .width(Short)
    .display("Snapshot maximum thread multiplier")
    .doc("Chunks per thread of a snapshot.")
    .check(Field(positive));
pub static LEGACY_SNAPSHOT_MAX_THREADS: Key<bool> = Key::boolean("legacy.snapshot.max.threads")
    .default("false")
    .importance(Low)
    .width(Short)
    .display("Enforces using a single thread per table regardless of table size")
    .doc("One thread a table in snapshots.")
    .check(Fields(|given, all| {
        boolean(match all.contains_key("legacy.snapshot.max.threads") {
            true => given,
            false => all.get("internal.legacy.snapshot.max.threads").copied().or(given),
        })
    }));
pub static INTERNAL_LEGACY_SNAPSHOT_MAX_THREADS: Key<bool> =
    Key::boolean("internal.legacy.snapshot.max.threads")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Enforces using a single thread per table regardless of table size")
        .doc("One thread a table in snapshots.")
        .check(Field(boolean));
pub static STREAMING_DELAY_MS: Key<i64> = Key::long("streaming.delay.ms")
    .default("0")
    .importance(Low)
    .width(Mid)
    .display("Streaming Delay (milliseconds)")
    .doc("Wait between snapshot and streaming.")
    .check(Field(non_negative_long));
pub static QUERY_FETCH_SIZE: Key<i32> = Key::int("query.fetch.size")
    .default("0")
    .importance(Medium)
    .width(Mid)
    .display("Query fetch size")
    .doc("Rows per fetch of queries.")
    .check(Field(non_negative));
pub static INCREMENTAL_SNAPSHOT_WATERMARKING_STRATEGY: Key<String> =
    Key::string("incremental.snapshot.watermarking.strategy")
        .default("INSERT_INSERT")
        .importance(Low)
        .width(Mid)
        .display("Incremental snapshot watermarking strategy")
        .doc("How incremental snapshots mark their windows.")
        .one_of(&["insert_delete", "insert_insert"]);
pub static SNAPSHOT_LOCK_TIMEOUT_MS: Key<i64> = Key::long("snapshot.lock.timeout.ms")
    .default("10000")
    .importance(Medium)
    .width(Long)
    .display("Snapshot lock timeout (ms)")
    .doc("How long to wait for table locks in a snapshot.")
    .check(Field(long));
pub static SNAPSHOT_SELECT_STATEMENT_OVERRIDES: Key<String> = Key::string("snapshot.select.statement.overrides").default_null().importance(Medium).width(Long).display("List of tables where the default select statement used during snapshotting should be overridden.").doc("Tables with a SELECT of their own in the snapshot.");
pub static INTERNAL_SNAPSHOT_SCAN_ALL_COLUMNS_FORCE: Key<bool> =
    Key::boolean("internal.snapshot.scan.all.columns.force")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Snapshot force scan all columns of all tables")
        .doc("Scan all columns of all tables.")
        .check(Field(boolean));
pub static SNAPSHOT_TABLES_ORDER_BY_ROW_COUNT: Key<String> =
    Key::string("snapshot.tables.order.by.row.count")
        .default("disabled")
        .importance(Medium)
        .display("Initial snapshot tables order by row count")
        .doc("Order of the tables in a snapshot.")
        .one_of(&["disabled", "ascending", "descending"]);
pub static INCREMENTAL_SNAPSHOT_CHUNK_SIZE: Key<i32> = Key::int("incremental.snapshot.chunk.size")
    .default("1024")
    .importance(Medium)
    .width(Mid)
    .display("Incremental snapshot chunk size")
    .doc("Rows per chunk of an incremental snapshot.")
    .check(Field(non_negative));
pub static RETRIABLE_RESTART_CONNECTOR_WAIT_MS: Key<i64> =
    Key::long("retriable.restart.connector.wait.ms")
        .default("10000")
        .importance(Low)
        .width(Mid)
        .display("Retriable restart wait (ms)")
        .doc("Wait before a restart after a retriable error.")
        .check(Field(positive_long));
pub static MAX_QUEUE_SIZE: Key<i32> = Key::int("max.queue.size").default("8192").importance(Medium).width(Short).display("Change event buffer size").doc("Events that may wait between reader and writer. Here the queue is bounded in bytes; the key is checked only.")
    .check(Fields(|given, all| queue_size(given, all, &MAX_BATCH_SIZE.spec)));
pub static MAX_BATCH_SIZE: Key<i32> = Key::int("max.batch.size")
    .default("2048")
    .importance(Medium)
    .width(Short)
    .display("Change event batch size")
    .doc("Most events in a batch.")
    .check(Field(positive));
pub static POLL_INTERVAL_MS: Key<i64> = Key::long("poll.interval.ms")
    .default("500")
    .importance(Medium)
    .width(Short)
    .display("Poll interval (ms)")
    .doc("Wait between polls. Changes are pushed here, so it has no effect.")
    .check(Field(positive_small_long));
pub static MAX_QUEUE_SIZE_IN_BYTES: Key<i64> = Key::long("max.queue.size.in.bytes")
    .default("0")
    .importance(Medium)
    .width(Long)
    .display("Change event buffer size in bytes")
    .doc("Bytes that may wait between reader and writer.")
    .check(Field(non_negative_long));
pub static EVENT_PROCESSING_FAILURE_HANDLING_MODE: Key<String> =
    Key::string("event.processing.failure.handling.mode")
        .default("fail")
        .importance(Medium)
        .width(Short)
        .display("Event deserialization failure handling")
        .doc("What happens when an event can not be processed.")
        .one_of(&["warn", "fail", "ignore", "skip"]);
pub static ERRORS_MAX_RETRIES: Key<i32> = Key::int("errors.max.retries")
    .default("-1")
    .importance(Low)
    .width(Mid)
    .display("The maximum number of retries")
    .doc("Retries after retriable errors; -1 without limit.")
    .check(Field(integer_twice));
pub static INTERNAL_LOG_POSITION_CHECK_ENABLE: Key<bool> =
    Key::boolean("internal.log.position.check.enable")
        .default("true")
        .importance(Medium)
        .width(Mid)
        .display("Enable/Disable log position check")
        .doc("Check at start that the log still has the stored position.")
        .check(Field(boolean));
pub static INTERNAL_ADVANCED_METRICS_ENABLE: Key<bool> =
    Key::boolean("internal.advanced.metrics.enable")
        .default("false")
        .importance(Medium)
        .width(Mid)
        .display("Enable/Disable advance metrics")
        .doc("Collect more metrics.")
        .check(Field(boolean));
pub static CONNECTION_VALIDATION_TIMEOUT_MS: Key<i64> =
    Key::long("connection.validation.timeout.ms")
        .default("60000")
        .importance(Low)
        .width(Short)
        .display("Connection validation timeout (ms)")
        .doc("Time limit of the connection check in validation.")
        .check(Field(positive_long));
pub static EXECUTOR_SHUTDOWN_TIMEOUT_MS: Key<i64> = Key::long("executor.shutdown.timeout.ms")
    .default("4000")
    .importance(Medium)
    .width(Mid)
    .display("Executor shutdown timeout (ms)")
    .doc("Time limit of stopping.")
    .check(Field(positive_long));
pub static OPENLINEAGE_INTEGRATION_ENABLED: Key<bool> =
    Key::boolean("openlineage.integration.enabled")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Enables OpenLineage integration")
        .doc("Send lineage events.")
        .check(Field(boolean));
pub static OPENLINEAGE_INTEGRATION_CONFIG_FILE_PATH: Key<String> =
    Key::string("openlineage.integration.config.file.path")
        .default("./openlineage.yml")
        .importance(Low)
        .width(Long)
        .display("Path to OpenLineage file configuration")
        .doc("OpenLineage configuration file.");
pub static OPENLINEAGE_INTEGRATION_JOB_NAMESPACE: Key<String> =
    Key::string("openlineage.integration.job.namespace")
        .default_null()
        .importance(Low)
        .width(Long)
        .display("Namespace used for Debezium job")
        .doc("OpenLineage namespace.");
pub static OPENLINEAGE_INTEGRATION_JOB_DESCRIPTION: Key<String> =
    Key::string("openlineage.integration.job.description")
        .default("Debezium change data capture job")
        .importance(Low)
        .width(Long)
        .display("Description used for Debezium job")
        .doc("OpenLineage description.");
pub static OPENLINEAGE_INTEGRATION_JOB_TAGS: Key<Vec<String>> =
    Key::list("openlineage.integration.job.tags")
        .default_null()
        .importance(Low)
        .width(Long)
        .display("Debezium job tags")
        .doc("OpenLineage tags.")
        .check(Field(pairs));
pub static OPENLINEAGE_INTEGRATION_JOB_OWNERS: Key<Vec<String>> =
    Key::list("openlineage.integration.job.owners")
        .default_null()
        .importance(Low)
        .width(Long)
        .display("Debezium job owners")
        .doc("OpenLineage owners.")
        .check(Field(pairs));
pub static OPENLINEAGE_INTEGRATION_DATASET_KAFKA_BOOTSTRAP_SERVERS: Key<String> =
    Key::string("openlineage.integration.dataset.kafka.bootstrap.servers")
        .default_null()
        .importance(Low)
        .width(Long)
        .display("Kafka bootstrap server used in Kafka Connect deployment")
        .doc("OpenLineage data set servers.");
pub static EXTENDED_HEADERS_ENABLED: Key<bool> = Key::boolean("extended.headers.enabled")
    .default("true")
    .importance(Low)
    .width(Short)
    .display("Enable/Disable extended headers")
    .doc("Add the __debezium.context headers to events.")
    .check(Field(boolean_twice));
pub static GUARDRAIL_COLLECTIONS_MAX: Key<i32> = Key::int("guardrail.collections.max")
    .default("0")
    .importance(Medium)
    .width(Short)
    .display("Maximum number of collections or tables")
    .doc("Most tables to capture; 0 without limit.")
    .check(Field(non_negative));
pub static GUARDRAIL_COLLECTIONS_LIMIT_ACTION: Key<String> =
    Key::string("guardrail.collections.limit.action")
        .default("warn")
        .importance(Medium)
        .width(Short)
        .display("Guardrail collections limit action")
        .doc("What happens above guardrail.collections.max: warn or fail.")
        .one_of(&["warn", "fail"]);
pub static CUSTOM_SANITIZE_PATTERN: Key<String> = Key::string("custom.sanitize.pattern").default(".*secret$|.*password$|.*sasl\\.jaas\\.config$|.*basic\\.auth\\.user\\.info|.*registry\\.auth\\.client-secret|.*credentials\\.json$|.*connectionstring$|.*connection\\.string$").importance(Low).width(Long).display("Custom pattern for masking sensitive configuration").doc("Keys whose values are not logged.");
pub static SIGNAL_EMIT_FAILURE_MAX_RETRIES: Key<i32> = Key::int("signal.emit.failure.max.retries")
    .default("0")
    .importance(Medium)
    .width(Short)
    .display("Signal emit window event failure maximum retries")
    .doc("Retries of a signal window event.")
    .check(Field(non_negative));
pub static SIGNAL_EMIT_FAILURE_BACKOFF_MS: Key<i64> = Key::long("signal.emit.failure.backoff.ms")
    .default("10000")
    .importance(Medium)
    .width(Short)
    .display("Signal emit window event failure backoff time in ms")
    .doc("Wait between retries of a signal window event.")
    .check(Field(positive_small_long));
pub static STATISTICS_METRICS_ENABLED: Key<bool> = Key::boolean("statistics.metrics.enabled")
    .default("true")
    .importance(Medium)
    .width(Short)
    .display("Enable collecting statistics metrics like latencies")
    .doc("Collect statistics of latencies.")
    .check(Field(boolean));
pub static INTERNAL_OFFSET_ACTIVITY_MONITOR_INTERVAL_MS: Key<i64> =
    Key::long("internal.offset.activity.monitor.interval.ms")
        .default("600000")
        .importance(Low)
        .width(Mid)
        .display("Offset activity monitor interval (ms)")
        .doc("Interval of the offset activity monitor.")
        .check(Field(non_negative_long));
pub static CUSTOM_METRIC_TAGS: Key<Vec<String>> = Key::list("custom.metric.tags")
    .default_null()
    .importance(Low)
    .width(Mid)
    .display("Customize metric tags")
    .doc("Tags added to metrics.")
    .check(Field(pairs));
pub static INTERNAL_SIGNAL_SYNCHRONOUS_BATCH_SIZE: Key<i32> =
    Key::int("internal.signal.synchronous.batch.size")
        .default("10")
        .importance(Low)
        .width(Short)
        .display("Synchronous signal batch size")
        .doc("Signals handled at once.")
        .check(Field(positive));
pub static INTERNAL_SIGNAL_PROCESSOR_SEMAPHORE_WAIT_MS: Key<i64> =
    Key::long("internal.signal.processor.semaphore.wait.ms")
        .default("10000")
        .importance(Low)
        .width(Short)
        .display("Signal processor semaphore wait time (ms)")
        .doc("Wait for the signal processor.")
        .check(Field(positive_small_long));
pub static HEARTBEAT_INTERVAL_MS: Key<i32> = Key::int("heartbeat.interval.ms")
    .default("0")
    .importance(Medium)
    .width(Mid)
    .display("Connector heartbeat interval (milli-seconds)")
    .doc("Interval of heartbeat records; 0 turns them off.")
    .check(Field(non_negative));
pub static HEARTBEAT_TOPICS_PREFIX: Key<String> = Key::string("heartbeat.topics.prefix")
    .default("__debezium-heartbeat")
    .importance(Low)
    .width(Mid)
    .display("A prefix used for naming of heartbeat topics")
    .doc("First part of the name of the heartbeat topic.");
pub static SIGNAL_POLL_INTERVAL_MS: Key<i64> = Key::long("signal.poll.interval.ms")
    .default("5000")
    .importance(Medium)
    .width(Short)
    .display("Signal processor poll interval")
    .doc("Interval between looks for signals.")
    .check(Field(positive_small_long));
pub static HEARTBEAT_ACTION_QUERY: Key<String> = Key::string("heartbeat.action.query")
    .default_null()
    .importance(Low)
    .width(Mid)
    .display("An optional query to execute with every heartbeat")
    .doc("SQL to run with each heartbeat.");
pub static TABLE_INCLUDE_LIST: Key<Vec<String>> = Key::list("table.include.list")
    .default_null()
    .importance(High)
    .width(Long)
    .display("Include Tables")
    .doc("Regular expressions of the tables to capture, with the schema or database and a dot before them.")
    .check(Field(regexes_twice));
pub static TABLE_EXCLUDE_LIST: Key<Vec<String>> = Key::list("table.exclude.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Exclude Tables")
    .doc("Regular expressions of the tables not to capture.")
    .check(Fields(|given, all| exclude_list(given, all, "table.include.list")));
pub static TABLE_IGNORE_BUILTIN: Key<bool> = Key::boolean("table.ignore.builtin")
    .default("true")
    .importance(Low)
    .width(Short)
    .display("Ignore system databases")
    .doc("Leave out system tables.")
    .check(Field(boolean_twice));
pub static COLUMN_EXCLUDE_LIST: Key<Vec<String>> = Key::list("column.exclude.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Exclude Columns")
    .doc("Regular expressions of the columns to leave out, as table.include.list with a dot and the column.")
    .check(Fields(|given, all| exclude_list(given, all, "column.include.list")));
pub static COLUMN_INCLUDE_LIST: Key<Vec<String>> = Key::list("column.include.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Include Columns")
    .doc("Regular expressions of the columns to send.")
    .check(Field(regexes));
pub static DATABASE_INCLUDE_LIST: Key<Vec<String>> = Key::list("database.include.list")
    .default_null()
    .importance(High)
    .width(Long)
    .display("Include Databases")
    .dependents(&["table.include.list"])
    .doc("Regular expressions of the databases to capture.")
    .check(Field(regexes));
pub static DATABASE_EXCLUDE_LIST: Key<Vec<String>> = Key::list("database.exclude.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Exclude Databases")
    .doc("Regular expressions of the databases not to capture.")
    .check(Fields(|given, all| exclude_list(given, all, "database.include.list")));
pub static DATABASE_PORT: Key<i32> = Key::int("database.port")
    .importance(High)
    .width(Short)
    .display("Port")
    .doc("Port of the database server.")
    .check(Field(integer_twice));
pub static DATABASE_INITIAL_STATEMENTS: Key<String> = Key::string("database.initial.statements").default_null().importance(Low).width(Long).display("Initial statements").doc("SQL to run on each new SQL connection, separated by semicolons; two semicolons stand for one.");
pub static TOPIC_NAMING_STRATEGY: Key<String> = Key::class("topic.naming.strategy")
    .default("io.debezium.schema.SchemaTopicNamingStrategy")
    .importance(Medium)
    .width(Mid)
    .display("Topic naming strategy class")
    .doc("Class that names the topics.")
    .check(Field(class));
pub static SNAPSHOT_FETCH_SIZE: Key<i32> = Key::int("snapshot.fetch.size")
    .default_null()
    .importance(Medium)
    .width(Mid)
    .display("Snapshot fetch size")
    .doc("Rows per fetch of a snapshot.")
    .check(Field(non_negative));
pub static SNAPSHOT_QUERY_MODE: Key<String> = Key::string("snapshot.query.mode")
    .default("select_all")
    .importance(Low)
    .width(Short)
    .display("Snapshot query mode")
    .doc("How snapshot queries are made.")
    .one_of(&["custom", "select_all"]);
pub static SNAPSHOT_QUERY_MODE_CUSTOM_NAME: Key<String> =
    Key::string("snapshot.query.mode.custom.name")
        .default_null()
        .importance(Medium)
        .width(Mid)
        .display("Snapshot Query Mode Custom Name")
        .doc("Name of a custom snapshot query.")
        .check(Fields(|given, all| {
            custom_name("snapshot.query.mode.custom.name", given, all, "snapshot.query.mode")
        }));
pub static SNAPSHOT_MODE: Key<String> = Key::string("snapshot.mode")
    .default("initial")
    .importance(Medium)
    .width(Short)
    .display("Snapshot mode")
    .doc("When a snapshot is taken.")
    .recommended(&[
        "always",
        "initial_only",
        "configuration_based",
        "when_needed",
        "initial",
        "custom",
        "no_data",
    ]);
pub static SNAPSHOT_LOCKING_MODE: Key<String> = Key::string("snapshot.locking.mode")
    .importance(Low)
    .width(Short)
    .display("Snapshot locking mode")
    .doc("Locks that a snapshot takes.");
pub static SOURCEINFO_STRUCT_MAKER: Key<String> = Key::class("sourceinfo.struct.maker")
    .importance(Low)
    .width(Mid)
    .display("Source info struct maker class")
    .doc("Class that makes the source block.")
    .check(Field(class));
