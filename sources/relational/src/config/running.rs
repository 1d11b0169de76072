//! How a connector runs: queues, errors, heartbeats, signals, notifications, figures.

use model::config::{
    Check::{Field, Fields},
    Importance::{High, Low, Medium},
    Key,
    Width::{Long, Medium as Mid, Short},
};

use crate::checks::*;

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
