//! The server, the topics, and what of the database is captured.

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
pub static DATABASE_TCP_KEEP_ALIVE: Key<bool> = Key::boolean("database.tcpKeepAlive")
    .default("true")
    .importance(Medium)
    .width(Short)
    .display("TCP keep-alive probe")
    .doc("Probe idle connections, so that firewalls do not drop them.")
    .check(Field(boolean_twice));
pub static TOPIC_PREFIX: Key<String> = Key::string("topic.prefix").default_null().importance(High).width(Mid).display("Topic prefix").doc("First part of all topic names, and the name of this source in events. Unique in a Kafka cluster; changing it starts anew.")
    .check(Field(topic_prefix));
pub static CONNECTION_VALIDATION_TIMEOUT_MS: Key<i64> =
    Key::long("connection.validation.timeout.ms")
        .default("60000")
        .importance(Low)
        .width(Short)
        .display("Connection validation timeout (ms)")
        .doc("Time limit of the connection check in validation.")
        .check(Field(positive_long));
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
