//! Every key of the connector, as data.
//!
//! Names, defaults, importances, widths and orders are those of Debezium 3.7's connector; a key that
//! has no effect here yet is marked `unsupported`, so that setting it is refused by name.

use model::config::{
    Alias,
    Check::{Field, Fields},
    ConfigDef, Group,
    Importance::{High, Low, Medium},
    Key, Secret,
    Width::{Long, Medium as Mid, Short},
};
use relational::{checks::*, config as common};

use crate::checks::{
    converters, databases, locking_mode, metric_tags, naming, no_class, no_lineage,
    notification_channels, only_class, query_mode, replica_identities, signal_channels, slot_name,
    snapshot_mode, stream_params,
};

pub static CONFIG: ConfigDef = ConfigDef(&[
    Group {
        name: "CONNECTION",
        keys: &[
            &common::DATABASE_HOSTNAME.spec.with_doc("Host name or address of the PostgreSQL server."),
            &common::DATABASE_PORT.spec.with_doc("Port of the PostgreSQL server.").with_default("5432"),
            &common::DATABASE_USER.spec.with_doc("Role to connect as. It needs REPLICATION and SELECT on the captured tables."),
            &common::DATABASE_PASSWORD.spec.with_doc("Password of the role."),
            &DATABASE_DBNAME.spec,
            &common::DATABASE_QUERY_TIMEOUT_MS.spec,
        ],
    },
    Group {
        name: "CONNECTION_ADVANCED",
        keys: &[
            &common::SKIP_MESSAGES_WITHOUT_CHANGE.spec.with_doc("Leave out updates in which no captured column changed. Needs REPLICA IDENTITY FULL."),
            &common::DATABASE_INITIAL_STATEMENTS.spec,
            &common::DATABASE_TCP_KEEP_ALIVE.spec,
        ],
    },
    Group {
        name: "CONNECTOR",
        keys: &[
            &common::TOPIC_PREFIX.spec,
            &common::TOPIC_NAMING_STRATEGY.spec.with_check(Field(naming)).with_doc("Class that names the topics: SchemaTopicNamingStrategy, DefaultTopicNamingStrategy, SchemaUnicodeTopicNamingStrategy, DefaultUnicodeTopicNamingStrategy, SchemaRegexTopicNamingStrategy or DefaultRegexTopicNamingStrategy of io.debezium.schema. They read topic.delimiter, topic.transaction, topic.heartbeat.prefix and topic.heartbeat.name; the last two also topic.regex and topic.replacement (which make the topic that several tables share), topic.key.enforce.uniqueness (default true: keys get a field that tells the tables apart), topic.key.field.name, topic.key.field.regex and topic.key.field.replacement (what stands in it)."),
            &common::TOMBSTONES_ON_DELETE.spec,
            &common::BINARY_HANDLING_MODE.spec,
            &common::SCHEMA_NAME_ADJUSTMENT_MODE.spec,
            &common::FIELD_NAME_ADJUSTMENT_MODE.spec,
            &common::EVENT_CONVERTING_FAILURE_HANDLING_MODE.spec,
            &common::DECIMAL_HANDLING_MODE.spec,
            &common::TIME_PRECISION_MODE.spec,
            &common::INCLUDE_SCHEMA_COMMENTS.spec.with_doc(
                "Put comments into schemas. As Debezium's connector for PostgreSQL reads no comments, it has no effect.",
            ),
            &HSTORE_HANDLING_MODE.spec,
            &INTERVAL_HANDLING_MODE.spec,
            &MESSAGE_PREFIX_INCLUDE_LIST.spec,
            &MESSAGE_PREFIX_EXCLUDE_LIST.spec,
            &PUBLISH_VIA_PARTITION_ROOT.spec,
            &LSN_FLUSH_MODE.spec,
            &FLUSH_LSN_SOURCE.spec,
            &common::UNAVAILABLE_VALUE_PLACEHOLDER.spec,
            &common::SKIPPED_OPERATIONS.spec,
        ],
    },
    Group {
        name: "CONNECTOR_ADVANCED",
        keys: &[
            &common::PROVIDE_TRANSACTION_METADATA.spec,
            &common::CONVERTERS.spec.with_check(Field(converters)).with_doc("Names of custom value converters. They are Java classes, which can't be loaded here, so only none is accepted."),
            &common::POST_PROCESSORS.spec.with_doc("Name of a post processor of events: NAME.type=io.debezium.processors.reselect.ReselectColumnsPostProcessor reads values that the log does not have from the table; NAME.reselect.columns.include.list and exclude.list, reselect.unavailable.values, reselect.null.values, reselect.use.event.key, reselect.error.handling.mode."),
            &common::INCREMENTAL_SNAPSHOT_ALLOW_SCHEMA_CHANGES.spec.with_doc("Changes of a table's schema during an incremental snapshot are followed in either case."),
            &common::SIGNAL_DATA_COLLECTION.spec,
            &common::SIGNAL_ENABLED_CHANNELS.spec.with_check(Field(signal_channels)).with_doc("Channels through which signals come: source (rows of signal.data.collection), kafka (records of signal.kafka.topic), file (lines of signal.file, file-signals.txt unless set); jmx and in-process are passed over."),
            &common::NOTIFICATION_ENABLED_CHANNELS.spec.with_check(Field(notification_channels)).with_doc("Channels to which notifications go: sink (the topic notification.sink.topic.name), log; jmx is passed over."),
            &common::NOTIFICATION_SINK_TOPIC_NAME.spec,
            &common::NOTIFICATION_HTTP_URL.spec.unsupported(),
            &common::NOTIFICATION_HTTP_TIMEOUT_MS.spec.unsupported(),
            &common::NOTIFICATION_HTTP_RETRIES.spec.unsupported(),
            &common::NOTIFICATION_HTTP_ALLOW_PRIVATE_NETWORKS.spec.unsupported(),
            &common::TRANSACTION_METADATA_FACTORY.spec.with_check(Field(|given| only_class(given, "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory"))).with_doc("Class that makes transaction metadata. Java classes can't be loaded here, so only the default is accepted."),
            &common::MESSAGE_KEY_COLUMNS.spec,
            &common::COLUMN_MASK_HASH_WITH_SALT.spec,
            &common::COLUMN_MASK_WITH_D_CHARS.spec,
            &common::COLUMN_TRUNCATE_TO_D_CHARS.spec,
            &common::COLUMN_PROPAGATE_SOURCE_TYPE.spec,
            &common::DATATYPE_PROPAGATE_SOURCE_TYPE.spec,
            &common::MEMORY_MANAGEMENT_SCHEMAS_CLASS.spec.with_doc("Class that holds schemas in memory. Schemas are held here in another way, so it has no effect."),
            &common::MEMORY_MANAGEMENT_TABLES_CLASS.spec.with_doc("Class that holds table definitions in memory. They are held here in another way, so it has no effect."),
            &SCHEMA_REFRESH_MODE.spec,
            &INCLUDE_UNKNOWN_DATATYPES.spec,
            &common::SOURCEINFO_STRUCT_MAKER.spec.with_default("io.debezium.connector.postgresql.PostgresSourceInfoStructMaker").with_check(Field(|given| only_class(given, "io.debezium.connector.postgresql.PostgresSourceInfoStructMaker"))).with_doc("Class that makes the source block. Java classes can't be loaded here, so only the default is accepted."),
        ],
    },
    Group {
        name: "CONNECTOR_SNAPSHOT",
        keys: &[
            &common::SNAPSHOT_DELAY_MS.spec,
            &common::SNAPSHOT_FETCH_SIZE.spec.with_doc(
                "Rows per fetch of a snapshot. Snapshots stream by COPY, so it has no effect here.",
            ),
            &common::SNAPSHOT_INCLUDE_COLLECTION_LIST.spec,
            &common::SNAPSHOT_MODE_CUSTOM_NAME.spec.unsupported(),
            &common::SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_DATA.spec,
            &common::SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_SCHEMA.spec.with_doc("For snapshot.mode=configuration_based. There is no schema history in PostgreSQL, so it says nothing."),
            &common::SNAPSHOT_MODE_CONFIGURATION_BASED_START_STREAM.spec,
            &common::SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_ON_SCHEMA_ERROR.spec.with_doc("For snapshot.mode=configuration_based. There is no schema history in PostgreSQL, so it says nothing."),
            &common::SNAPSHOT_MODE_CONFIGURATION_BASED_SNAPSHOT_ON_DATA_ERROR.spec,
            &common::SNAPSHOT_MAX_THREADS.spec.with_doc("Connections that read the snapshot side by side, within a table too."),
            &common::SNAPSHOT_MAX_THREADS_MULTIPLIER.spec.with_doc("Chunks of a table for each thread of a snapshot; snapshot.max.threads.multiplier.<schema.table> for one table. Chunks are ranges of pages, of 2 to 32 MiB."),
            &common::LEGACY_SNAPSHOT_MAX_THREADS.spec.with_doc("With several threads one thread reads a table from its beginning to its end."),
            &common::INTERNAL_LEGACY_SNAPSHOT_MAX_THREADS.spec.alias(Alias::Yes).with_check(Field(|_| Vec::new())),
            &common::STREAMING_DELAY_MS.spec,
            &common::QUERY_FETCH_SIZE.spec.with_doc("Rows per fetch of queries. Answers are read as they come, so it has no effect here."),
            &common::INCREMENTAL_SNAPSHOT_WATERMARKING_STRATEGY.spec,
            &common::SNAPSHOT_LOCK_TIMEOUT_MS.spec,
            &common::SNAPSHOT_SELECT_STATEMENT_OVERRIDES.spec,
            &common::INTERNAL_SNAPSHOT_SCAN_ALL_COLUMNS_FORCE.spec.with_doc("Read the columns of all tables at once. The definitions of the captured tables are read one by one here, so it has no effect."),
            &common::SNAPSHOT_TABLES_ORDER_BY_ROW_COUNT.spec,
            &common::SNAPSHOT_MODE.spec.with_check(Field(snapshot_mode)).with_doc(
                "When a snapshot is taken: always, initial, initial_only, no_data, when_needed or configuration_based.",
            ),
            &SNAPSHOT_ISOLATION_MODE.spec,
            &common::SNAPSHOT_QUERY_MODE.spec.with_check(Field(query_mode)).with_doc("How snapshot queries are made: select_all. The mode custom names a Java class."),
            &common::SNAPSHOT_QUERY_MODE_CUSTOM_NAME.spec.unsupported(),
            &common::SNAPSHOT_LOCKING_MODE.spec.with_default("none").with_one_of(&["shared", "custom", "none"]).with_doc("Locks that a snapshot takes: none or shared.").with_check(Field(locking_mode)),
            &SNAPSHOT_LOCKING_MODE_CUSTOM_NAME.spec,
            &common::INCREMENTAL_SNAPSHOT_CHUNK_SIZE.spec,
        ],
    },
    Group {
        name: "ADVANCED",
        keys: &[
            &common::RETRIABLE_RESTART_CONNECTOR_WAIT_MS.spec.with_doc("Wait before the task begins anew after a retriable error. When it is not given, the worker waits, from little to more."),
            &common::MAX_QUEUE_SIZE.spec,
            &common::MAX_BATCH_SIZE.spec,
            &common::POLL_INTERVAL_MS.spec,
            &common::MAX_QUEUE_SIZE_IN_BYTES.spec,
            &common::EVENT_PROCESSING_FAILURE_HANDLING_MODE.spec,
            &common::ERRORS_MAX_RETRIES.spec.with_doc("Retries after retriable errors in a row, without an event in between; -1 without limit. custom.retriable.exception, a regular expression of error texts, makes other errors retriable."),
            &common::INTERNAL_LOG_POSITION_CHECK_ENABLE.spec.with_doc("Check at start that the log still has the stored position. Without it the stream goes on whatever was lost, with a warning."),
            &common::INTERNAL_ADVANCED_METRICS_ENABLE.spec.unsupported(),
            &common::CONNECTION_VALIDATION_TIMEOUT_MS.spec,
            &common::EXECUTOR_SHUTDOWN_TIMEOUT_MS.spec.with_doc("Time limit of stopping Java's threads. There are none; the worker's task.shutdown.graceful.timeout.ms is the limit here."),
            &common::OPENLINEAGE_INTEGRATION_ENABLED.spec.with_check(Field(no_lineage)).with_doc("Send lineage events. Only false is supported."),
            &common::OPENLINEAGE_INTEGRATION_CONFIG_FILE_PATH.spec.with_doc("OpenLineage configuration file. Without effect while openlineage.integration.enabled is false."),
            &common::OPENLINEAGE_INTEGRATION_JOB_NAMESPACE.spec.with_doc("OpenLineage namespace. Without effect while openlineage.integration.enabled is false."),
            &common::OPENLINEAGE_INTEGRATION_JOB_DESCRIPTION.spec.with_doc("OpenLineage description. Without effect while openlineage.integration.enabled is false."),
            &common::OPENLINEAGE_INTEGRATION_JOB_TAGS.spec.with_doc("OpenLineage tags. Without effect while openlineage.integration.enabled is false."),
            &common::OPENLINEAGE_INTEGRATION_JOB_OWNERS.spec.with_doc("OpenLineage owners. Without effect while openlineage.integration.enabled is false."),
            &common::OPENLINEAGE_INTEGRATION_DATASET_KAFKA_BOOTSTRAP_SERVERS.spec.with_doc("OpenLineage data set servers. Without effect while openlineage.integration.enabled is false."),
            &common::EXTENDED_HEADERS_ENABLED.spec,
            &common::GUARDRAIL_COLLECTIONS_MAX.spec,
            &common::GUARDRAIL_COLLECTIONS_LIMIT_ACTION.spec,
            &common::CUSTOM_SANITIZE_PATTERN.spec.with_doc("Keys whose values are not logged. Configurations are not logged here, so it has no effect."),
            &common::SIGNAL_EMIT_FAILURE_MAX_RETRIES.spec,
            &common::SIGNAL_EMIT_FAILURE_BACKOFF_MS.spec,
            &common::STATISTICS_METRICS_ENABLED.spec.with_doc("Collect percentiles of latencies for JMX. There is no JMX here, so it has no effect."),
            &common::INTERNAL_OFFSET_ACTIVITY_MONITOR_INTERVAL_MS.spec.with_doc("How often it is looked whether the offset has stood still since the last look, which the log then says; 0 turns it off."),
            &common::CUSTOM_METRIC_TAGS.spec.with_check(Field(metric_tags)).with_doc("Labels added to the connector's figures in /metrics: name=value, separated by commas."),
            &common::INTERNAL_SIGNAL_SYNCHRONOUS_BATCH_SIZE.spec.with_doc("Signals handled at once that have to wait for the stream; PostgreSQL has none, in Debezium neither."),
            &common::INTERNAL_SIGNAL_PROCESSOR_SEMAPHORE_WAIT_MS.spec.with_doc("Wait for the signal processor, which is the stream itself here, so nobody waits."),
        ],
    },
    Group {
        name: "ADVANCED_HEARTBEAT",
        keys: &[
            &common::HEARTBEAT_INTERVAL_MS.spec,
            &common::HEARTBEAT_TOPICS_PREFIX.spec.with_doc("Without effect, as in Debezium, whose heartbeat topics are named by topic.heartbeat.prefix."),
            &common::SIGNAL_POLL_INTERVAL_MS.spec,
            &common::HEARTBEAT_ACTION_QUERY.spec,
        ],
    },
    Group {
        name: "FILTERS",
        keys: &[
            &common::TABLE_INCLUDE_LIST.spec.with_doc("Regular expressions of the tables to capture, as schema.table."),
            &common::TABLE_EXCLUDE_LIST.spec,
            &common::TABLE_IGNORE_BUILTIN.spec,
            &common::COLUMN_EXCLUDE_LIST.spec.with_doc("Regular expressions of the columns to leave out, as schema.table.column."),
            &common::COLUMN_INCLUDE_LIST.spec,
            &SCHEMA_INCLUDE_LIST.spec,
            &SCHEMA_EXCLUDE_LIST.spec,
            &common::DATABASE_INCLUDE_LIST.spec.with_check(Fields(|given, all| databases(given, all, "INCLUDE"))).with_doc("Databases to capture. A connector reads database.dbname only, so a list is refused."),
            &common::DATABASE_EXCLUDE_LIST.spec.with_check(Fields(|given, all| databases(given, all, "EXCLUDE"))).with_doc("Databases not to capture. A connector reads database.dbname only, so a list is refused."),
        ],
    },
    Group {
        name: "CONNECTION_ADVANCED_SSL",
        keys: &[
            &DATABASE_SSLMODE.spec,
            &DATABASE_SSLCERT.spec,
            &DATABASE_SSLKEY.spec,
            &DATABASE_SSLPASSWORD.spec,
            &DATABASE_SSLROOTCERT.spec,
            &DATABASE_SSLFACTORY.spec,
        ],
    },
    Group {
        name: "CONNECTION_ADVANCED_REPLICATION",
        keys: &[
            &PLUGIN_NAME.spec,
            &SLOT_NAME.spec,
            &PUBLICATION_NAME.spec,
            &PUBLICATION_AUTOCREATE_MODE.spec,
            &REPLICA_IDENTITY_AUTOSET_VALUES.spec,
            &SLOT_DROP_ON_STOP.spec,
            &SLOT_FAILOVER.spec,
            &SLOT_STREAM_PARAMS.spec,
            &SLOT_MAX_RETRIES.spec,
            &SLOT_RETRY_DELAY_MS.spec,
            &STATUS_UPDATE_INTERVAL_MS.spec,
            &LSN_FLUSH_TIMEOUT_MS.spec,
            &LSN_FLUSH_TIMEOUT_ACTION.spec,
            &XMIN_FETCH_INTERVAL_MS.spec,
        ],
    },
]);

pub static DATABASE_DBNAME: Key<String> = Key::string("database.dbname")
    .default_null()
    .importance(High)
    .width(Mid)
    .display("Database")
    .doc("Database to capture from; a connector reads one database.")
    .check(Field(required));
pub static HSTORE_HANDLING_MODE: Key<String> = Key::string("hstore.handling.mode")
    .default("json")
    .importance(Low)
    .width(Mid)
    .display("HStore Handling")
    .doc("Form of hstore columns: json or map.")
    .one_of(&["json", "map"]);
pub static INTERVAL_HANDLING_MODE: Key<String> = Key::string("interval.handling.mode")
    .default("numeric")
    .importance(Low)
    .width(Mid)
    .display("Interval Handling")
    .doc("Form of interval columns: numeric (microseconds) or string (ISO 8601).")
    .one_of(&["string", "numeric"]);
pub static MESSAGE_PREFIX_INCLUDE_LIST: Key<Vec<String>> = Key::list("message.prefix.include.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Include Logical Decoding Message Prefixes")
    .doc("Regular expressions of the prefixes of logical messages to send.")
    .check(Field(regexes));
pub static MESSAGE_PREFIX_EXCLUDE_LIST: Key<Vec<String>> = Key::list("message.prefix.exclude.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Exclude Logical Decoding Message Prefixes")
    .doc("Regular expressions of the prefixes of logical messages to leave out.")
    .check(Fields(|given, all| exclude_list(given, all, "message.prefix.include.list")));
pub static PUBLISH_VIA_PARTITION_ROOT: Key<bool> = Key::boolean("publish.via.partition.root").default("false").importance(Medium).width(Short).display("Publish via partition root").doc("Create the publication so that changes of partitions come under the name of the root table.")
    .check(Field(boolean_twice));
pub static LSN_FLUSH_MODE: Key<String> = Key::string("lsn.flush.mode")
    .default_null()
    .importance(Low)
    .width(Short)
    .display("LSN flush mode")
    .doc("Who moves the slot on: connector, manual or connector_and_driver.")
    .one_of(&["connector_and_driver", "connector", "manual"]);
pub static FLUSH_LSN_SOURCE: Key<bool> = Key::boolean("flush.lsn.source")
    .default("true")
    .importance(Low)
    .width(Short)
    .display("Boolean to determine if Debezium should flush LSN in the source database")
    .doc("Whether the connector moves the slot on. Deprecated: see lsn.flush.mode.")
    .check(Field(boolean_twice));
pub static SCHEMA_REFRESH_MODE: Key<String> = Key::string("schema.refresh.mode")
    .default("columns_diff")
    .importance(Medium)
    .width(Short)
    .display("Schema refresh mode")
    .doc("When the definition of a table is read again. pgoutput says when a definition has changed, so it has no effect.")
    .one_of(&["columns_diff", "columns_diff_exclude_unchanged_toast"]);
pub static INCLUDE_UNKNOWN_DATATYPES: Key<bool> = Key::boolean("include.unknown.datatypes")
    .default("false")
    .importance(Medium)
    .width(Short)
    .display("Include unknown datatypes")
    .doc("Send columns of types without a mapping as bytes instead of leaving them out.")
    .check(Field(boolean));
pub static SNAPSHOT_ISOLATION_MODE: Key<String> = Key::string("snapshot.isolation.mode")
    .default("serializable")
    .importance(Low)
    .width(Short)
    .display("Snapshot isolation mode")
    .doc("Isolation of the snapshot transaction when the slot already exists.")
    .one_of(&["read_uncommitted", "repeatable_read", "read_committed", "serializable"]);
pub static SNAPSHOT_LOCKING_MODE_CUSTOM_NAME: Key<String> =
    Key::string("snapshot.locking.mode.custom.name")
        .default_null()
        .importance(Medium)
        .width(Mid)
        .display("Snapshot Locking Mode Custom Name")
        .doc("Name of a custom snapshot lock.")
        .unsupported()
        .check(Fields(|given, all| {
            custom_name("snapshot.locking.mode.custom.name", given, all, "snapshot.locking.mode")
        }));
pub static SCHEMA_INCLUDE_LIST: Key<Vec<String>> = Key::list("schema.include.list")
    .default_null()
    .importance(High)
    .width(Long)
    .display("Include Schemas")
    .dependents(&["table.include.list"])
    .doc("Regular expressions of the schemas to capture.")
    .check(Field(regexes));
pub static SCHEMA_EXCLUDE_LIST: Key<Vec<String>> = Key::list("schema.exclude.list")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Exclude Schemas")
    .doc("Regular expressions of the schemas not to capture.")
    .invisible()
    .check(Fields(|given, all| exclude_list(given, all, "schema.include.list")));
pub static DATABASE_SSLMODE: Key<String> = Key::string("database.sslmode")
    .default("prefer")
    .importance(Medium)
    .width(Mid)
    .display("SSL mode")
    .doc("TLS: disable, allow, prefer, require, verify-ca or verify-full.")
    .one_of(&["allow", "prefer", "disable", "verify-ca", "require", "verify-full"]);
pub static DATABASE_SSLCERT: Key<String> = Key::string("database.sslcert")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("SSL Client Certificate")
    .doc("File with the client certificate, PEM.");
pub static DATABASE_SSLKEY: Key<String> = Key::string("database.sslkey")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("SSL Client Key")
    .doc("File with the key of the client certificate, PEM or PKCS#8 DER.");
pub static DATABASE_SSLPASSWORD: Key<Secret> = Key::password("database.sslpassword")
    .default_null()
    .importance(Medium)
    .width(Mid)
    .display("SSL Client Key Password")
    .doc("Password of the key file.");
pub static DATABASE_SSLROOTCERT: Key<String> = Key::string("database.sslrootcert")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("SSL Root Certificate")
    .doc("File with the certificates that may sign the server's, PEM.");
pub static DATABASE_SSLFACTORY: Key<String> = Key::string("database.sslfactory")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("SSL Root Certificate")
    .doc("Class that makes TLS sockets. Java classes can't be loaded here, so only none is accepted; database.sslmode and database.sslrootcert say how to encrypt and whom to trust.")
    .check(Field(no_class));
pub static PLUGIN_NAME: Key<String> = Key::string("plugin.name")
    .default("decoderbufs")
    .importance(Medium)
    .width(Mid)
    .display("Plugin")
    .doc("Logical decoding plug-in; only pgoutput, which every server has, is supported.")
    .one_of(&["decoderbufs", "pgoutput"]);
pub static SLOT_NAME: Key<String> = Key::string("slot.name")
    .default("debezium")
    .importance(Medium)
    .width(Mid)
    .display("Slot")
    .doc("Logical replication slot; created when it does not exist.")
    .check(Field(slot_name));
pub static PUBLICATION_NAME: Key<String> = Key::string("publication.name")
    .default("dbz_publication")
    .importance(Medium)
    .width(Mid)
    .display("Publication")
    .doc("Publication to read from.");
pub static PUBLICATION_AUTOCREATE_MODE: Key<String> = Key::string("publication.autocreate.mode")
    .default("all_tables")
    .importance(Medium)
    .width(Mid)
    .display("Publication Auto Create Mode")
    .doc("Whether the publication is created: disabled, all_tables, filtered or no_tables.")
    .one_of(&["no_tables", "filtered", "disabled", "all_tables"]);
pub static REPLICA_IDENTITY_AUTOSET_VALUES: Key<String> =
    Key::string("replica.identity.autoset.values")
        .default_null()
        .importance(Medium)
        .width(Long)
        .display("Replica Identity Auto Set Values")
        .doc("Replica identities to set at start.")
        .check(Field(replica_identities));
pub static SLOT_DROP_ON_STOP: Key<bool> = Key::boolean("slot.drop.on.stop")
    .default("false")
    .importance(Medium)
    .display("Drop slot on stop")
    .doc("Drop the slot when the task stops. Only for tests: what happens meanwhile is lost.")
    .check(Field(boolean));
pub static SLOT_FAILOVER: Key<bool> = Key::boolean("slot.failover")
    .default("false")
    .importance(Medium)
    .display("Create failover slot")
    .doc("Create the slot as a failover slot (PostgreSQL 17 and later).")
    .check(Field(boolean));
pub static SLOT_STREAM_PARAMS: Key<String> = Key::string("slot.stream.params")
    .default_null()
    .importance(Low)
    .width(Long)
    .display("Optional parameters to pass to the logical decoder when the stream is started.")
    .doc("Options of the plug-in for START_REPLICATION: name=value, separated by semicolons. proto_version=2;streaming=on takes large transactions while they are in progress, binary=true takes values in binary form.")
    .check(Field(stream_params));
pub static SLOT_MAX_RETRIES: Key<i32> = Key::int("slot.max.retries")
    .default("6")
    .importance(Low)
    .display("Retry count")
    .doc("Retries when the slot is in use.")
    .check(Field(integer_twice));
pub static SLOT_RETRY_DELAY_MS: Key<i64> = Key::long("slot.retry.delay.ms")
    .default("10000")
    .importance(Low)
    .display("Retry delay")
    .doc("Wait between retries when the slot is in use.")
    .check(Field(small_long));
pub static STATUS_UPDATE_INTERVAL_MS: Key<i32> = Key::int("status.update.interval.ms")
    .default("10000")
    .importance(Medium)
    .width(Short)
    .display("Status update interval (ms)")
    .doc("How often the server is told the position.")
    .check(Field(positive));
pub static LSN_FLUSH_TIMEOUT_MS: Key<i64> = Key::long("lsn.flush.timeout.ms")
    .default("30000")
    .importance(Medium)
    .width(Short)
    .display("LSN flush timeout (ms)")
    .doc("Time limit of moving the slot on.")
    .check(Field(positive_small_long));
pub static LSN_FLUSH_TIMEOUT_ACTION: Key<String> = Key::string("lsn.flush.timeout.action")
    .default("fail")
    .importance(Medium)
    .width(Mid)
    .display("LSN flush timeout action")
    .doc("What happens when moving the slot on takes too long.")
    .one_of(&["fail", "warn", "ignore"]);
pub static XMIN_FETCH_INTERVAL_MS: Key<i64> = Key::long("xmin.fetch.interval.ms")
    .default("0")
    .importance(Medium)
    .width(Short)
    .display("Xmin fetch interval (ms)")
    .doc("How often the catalog_xmin of the slot is read, which events show as xmin; 0 turns it off.")
    .check(Field(non_negative_long));
