//! The keys that only connectors on a binlog have.
//!
//! Names, defaults, importances and widths are those of Debezium 3.6.

use model::config::{
    Check::{Field, Fields},
    Importance::{High, Low, Medium},
    Key, Secret,
    Width::{Long, Medium as Mid, Short},
};
use relational::checks::*;

use crate::checks::gtid_excludes;

const FAILURE_MODES: &[&str] = &["warn", "fail", "ignore", "skip"];

pub(crate) static DATABASE_SERVER_ID: Key<i64> = Key::long("database.server.id")
    .default_null()
    .importance(High)
    .width(Long)
    .display("Cluster ID")
    .doc("Id under which the connector joins the server's replicas; no other replica may have it.")
    .check(Field(required_positive_long));
pub(crate) static DATABASE_SERVER_ID_OFFSET: Key<i64> = Key::long("database.server.id.offset")
    .default("10000")
    .importance(High)
    .width(Long)
    .display("Cluster ID offset")
    .doc("What is added to database.server.id for each further connection to the binlog.")
    .check(Field(long));
pub(crate) static DATABASE_SSL_KEYSTORE: Key<String> = Key::string("database.ssl.keystore")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("SSL Keystore")
    .doc("Key store with the client's certificate.");
pub(crate) static DATABASE_SSL_KEYSTORE_PASSWORD: Key<Secret> =
    Key::password("database.ssl.keystore.password")
        .default_null()
        .importance(Medium)
        .width(Mid)
        .display("SSL Keystore Password")
        .doc("Password of the key store.");
pub(crate) static DATABASE_SSL_TRUSTSTORE: Key<String> = Key::string("database.ssl.truststore")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("SSL Truststore")
    .doc("Trust store with the certificates that may sign the server's.");
pub(crate) static DATABASE_SSL_TRUSTSTORE_PASSWORD: Key<Secret> =
    Key::password("database.ssl.truststore.password")
        .default_null()
        .importance(Medium)
        .width(Mid)
        .display("SSL Truststore Password")
        .doc("Password of the trust store.");
pub(crate) static DATABASE_JDBC_DRIVER: Key<String> = Key::class("database.jdbc.driver")
    .default("com.mysql.cj.jdbc.Driver")
    .importance(Low)
    .width(Mid)
    .display("JDBC Driver Class Name")
    .doc("Java class of the JDBC driver.")
    .check(Field(class_twice));
pub(crate) static DATABASE_PROTOCOL: Key<String> = Key::string("database.protocol")
    .default("jdbc:mysql")
    .importance(Low)
    .width(Mid)
    .display("JDBC Protocol")
    .doc("First part of the JDBC address.");
/// Each of the two has values and a default of its own.
pub(crate) static DATABASE_SSL_MODE: Key<String> =
    Key::string("database.ssl.mode").importance(Medium).width(Mid).display("SSL mode").doc(
        "Whether the connection is encrypted, and how far the server's certificate is checked.",
    );
pub(crate) static CONNECT_TIMEOUT_MS: Key<i32> = Key::int("connect.timeout.ms")
    .default("30000")
    .importance(Medium)
    .width(Short)
    .display("Connection Timeout (ms)")
    .doc("Time limit of making a connection.")
    .check(Field(positive));
pub(crate) static CONNECT_KEEP_ALIVE: Key<bool> = Key::boolean("connect.keep.alive")
    .default("true")
    .importance(Low)
    .width(Short)
    .display("Keep connection alive (true/false)")
    .doc("Watch the binlog connection and make it anew when nothing comes.")
    .check(Field(boolean_twice));
pub(crate) static CONNECT_KEEP_ALIVE_INTERVAL_MS: Key<i64> =
    Key::long("connect.keep.alive.interval.ms")
        .default("60000")
        .importance(Low)
        .width(Short)
        .display("Keep alive interval (ms)")
        .doc("How often the binlog connection is looked at.")
        .check(Field(positive_small_long));
pub(crate) static USE_NONGRACEFUL_DISCONNECT: Key<bool> =
    Key::boolean("use.nongraceful.disconnect")
        .default("false")
        .importance(Medium)
        .width(Short)
        .display("Use Non-graceful Disconnect")
        .doc("Drop a dead binlog connection without saying so to the server.")
        .check(Field(boolean));
pub(crate) static BINLOG_NET_WRITE_TIMEOUT: Key<i64> = Key::long("binlog.net.write.timeout")
    .default("0")
    .importance(Medium)
    .width(Short)
    .display("Binlog Net Write Timeout")
    .doc("The server's net_write_timeout on the binlog connection, in seconds; 0 leaves it alone.")
    .check(Field(non_negative_long));
pub(crate) static BINLOG_NET_READ_TIMEOUT: Key<i64> = Key::long("binlog.net.read.timeout")
    .default("0")
    .importance(Medium)
    .width(Short)
    .display("Binlog Net Read Timeout")
    .doc("The server's net_read_timeout on the binlog connection, in seconds; 0 leaves it alone.")
    .check(Field(non_negative_long));
pub(crate) static BIGINT_UNSIGNED_HANDLING_MODE: Key<String> =
    Key::string("bigint.unsigned.handling.mode")
        .default("long")
        .importance(Medium)
        .width(Short)
        .display("The mode for handling bigint-unsigned values")
        .doc("Form of BIGINT UNSIGNED columns: long, which large values do not fit, or precise.")
        .one_of(&["precise", "long"]);
pub(crate) static ENABLE_TIME_ADJUSTER: Key<bool> = Key::boolean("enable.time.adjuster")
    .default("true")
    .importance(Low)
    .width(Short)
    .display("Enable Time Adjuster")
    .doc("Take years of two digits as those from 1970 to 2069.")
    .check(Field(boolean));
pub(crate) static MIN_ROW_COUNT_TO_STREAM_RESULTS: Key<i32> =
    Key::int("min.row.count.to.stream.results")
        .default("1000")
        .importance(Low)
        .width(Mid)
        .display("Stream result set of size")
        .doc("Rows from which on a table of a snapshot is not read into memory at once.")
        .check(Field(non_negative_wide));
pub(crate) static DDL_PARSER_TYPE: Key<String> = Key::string("ddl.parser.type")
    .default("default")
    .importance(Low)
    .width(Short)
    .display("DDL Parser Type")
    .doc("Which of Debezium's grammars reads statements that change tables.")
    .one_of(&["default", "legacy"]);
pub(crate) static SCHEMA_HISTORY_INTERNAL: Key<String> = Key::class("schema.history.internal")
    .default("io.debezium.storage.kafka.history.KafkaSchemaHistory")
    .importance(Low)
    .width(Long)
    .display("Database schema history class")
    .doc("Class that keeps the history of the tables' definitions.")
    .invisible()
    .check(Field(class));
pub(crate) static SCHEMA_HISTORY_SKIP_UNPARSEABLE_DDL: Key<bool> =
    Key::boolean("schema.history.internal.skip.unparseable.ddl")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Skip DDL statements that cannot be parsed")
        .doc("Go on after a statement that is not understood, instead of stopping.")
        .check(Field(boolean));
pub(crate) static SCHEMA_HISTORY_STORE_ONLY_CAPTURED_TABLES_DDL: Key<bool> =
    Key::boolean("schema.history.internal.store.only.captured.tables.ddl")
        .default("false")
        .importance(Low)
        .width(Short)
        .display(
            "Store only DDL that modifies tables that are captured based on include/exclude lists",
        )
        .doc("Keep the history of captured tables only.")
        .check(Field(boolean));
pub(crate) static SCHEMA_HISTORY_STORE_ONLY_CAPTURED_DATABASES_DDL: Key<bool> =
    Key::boolean("schema.history.internal.store.only.captured.databases.ddl")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Store only DDL that modifies tables of databases that are captured based on include/exclude lists")
        .doc("Keep the history of tables in captured databases only.")
        .check(Field(boolean));
pub(crate) static INCLUDE_SCHEMA_CHANGES: Key<bool> = Key::boolean("include.schema.changes")
    .default("true")
    .importance(Medium)
    .width(Short)
    .display("Include database schema changes")
    .doc("Send changes of tables' definitions to the topic named like topic.prefix.")
    .check(Field(boolean));
pub(crate) static INCLUDE_QUERY: Key<bool> = Key::boolean("include.query")
    .default("false")
    .importance(Medium)
    .width(Short)
    .display("Include original SQL query with in change events")
    .doc("Put the statement that made a change into its event, when the server logs it.")
    .check(Field(boolean));
pub(crate) static BINLOG_BUFFER_SIZE: Key<i32> = Key::int("binlog.buffer.size")
    .default("0")
    .importance(Medium)
    .width(Mid)
    .display("Binlog reader buffer size")
    .doc("Events of a transaction that wait for its end, so that one rolled back is not sent.")
    .check(Field(non_negative));
pub(crate) static EVENT_DESERIALIZATION_FAILURE_HANDLING_MODE: Key<String> =
    Key::string("event.deserialization.failure.handling.mode")
        .default("fail")
        .importance(Medium)
        .width(Short)
        .display("Event deserialization failure handling")
        .doc("The older name of event.processing.failure.handling.mode.")
        .one_of(FAILURE_MODES);
pub(crate) static INCONSISTENT_SCHEMA_HANDLING_MODE: Key<String> =
    Key::string("inconsistent.schema.handling.mode")
        .default("fail")
        .importance(Medium)
        .width(Short)
        .display("Inconsistent schema failure handling")
        .doc("What happens at an event of a table whose definition is not known.")
        .one_of(FAILURE_MODES);
pub(crate) static GTID_SOURCE_FILTER_DML_EVENTS: Key<bool> =
    Key::boolean("gtid.source.filter.dml.events")
        .default("true")
        .importance(Medium)
        .width(Short)
        .display("Filter DML events")
        .doc("Leave out changes that come from servers not in gtid.source.includes.")
        .check(Field(boolean));
pub(crate) static GTID_IGNORE_ON_RECOVERY: Key<bool> = Key::boolean("gtid.ignore.on.recovery")
    .default("false")
    .importance(Low)
    .width(Short)
    .display("Ignore GTID on recovery")
    .doc("Go on by file and position after a restart, although there are GTIDs.")
    .check(Field(boolean));
pub(crate) static GTID_SOURCE_INCLUDES: Key<Vec<String>> = Key::list("gtid.source.includes")
    .default_null()
    .importance(High)
    .width(Long)
    .display("Include GTID sources")
    .dependents(&["table.include.list"])
    .doc("Servers (in MariaDB domains) whose GTIDs count when the position is looked for.");
pub(crate) static GTID_SOURCE_EXCLUDES: Key<String> = Key::string("gtid.source.excludes")
    .default_null()
    .importance(Medium)
    .width(Long)
    .display("Exclude GTID sources")
    .doc("Servers (in MariaDB domains) whose GTIDs do not count.")
    .invisible()
    .check(Fields(gtid_excludes));
