//! Snapshots.

use model::config::{
    Check::{Field, Fields},
    Importance::{Low, Medium},
    Key,
    Width::{Long, Medium as Mid, Short},
};

use crate::checks::*;

pub static INCREMENTAL_SNAPSHOT_ALLOW_SCHEMA_CHANGES: Key<bool> =
    Key::boolean("incremental.snapshot.allow.schema.changes")
        .default("false")
        .importance(Low)
        .width(Short)
        .display("Allow schema changes during incremental snapshot if supported.")
        .doc("Allow schema changes while an incremental snapshot runs.")
        .check(Field(boolean));
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
