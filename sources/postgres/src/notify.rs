//! Notifications of snapshots that read whole tables: the initial one, and those that block the stream.

use ::snapshot::notifications::{INITIAL, Notification, Status};
use model::{
    change::BatchBuilder,
    connector::Outbox,
    java,
    record::{Batch, Record},
    value::{Value, ValueRef},
};
use relational::table::TableId;

use crate::options::Options;

type Data = Vec<(&'static str, String)>;

fn record(options: &Options, kind: &'static str, data: Data) -> Option<Record> {
    if !options.notifications.open() {
        return None;
    }
    options.notifications.notify(Notification {
        id: uuid::Uuid::new_v4().to_string(),
        aggregate: INITIAL,
        kind,
        data,
        timestamp_ms: crate::now_ns() / 1_000_000,
    })
}

fn push(options: &Options, batch: &mut BatchBuilder, kind: &'static str, data: Data) {
    if let Some(record) = record(options, kind, data) {
        batch.push_made(byte_len(&record), |_| record);
    }
}

/// A table is about to be read; `names` are all tables of the snapshot, that of signals among them,
/// although no row of it is read.
pub(crate) fn table_begun(
    options: &Options,
    batch: &mut BatchBuilder,
    table: &TableId,
    names: &[String],
) {
    if !options.notifications.open() {
        return;
    }
    // A HashSet there, of the tables whose rows are read.
    let signals = options.signals.table.as_ref().map(ToString::to_string);
    let read: Vec<&String> = names.iter().filter(|name| Some(*name) != signals.as_ref()).collect();
    let buckets = java::buckets_of_copy(read.len()).max(16);
    let read = java::in_hash_order(read, buckets, |name| java::string_hash(name));
    let read: Vec<&str> = read.into_iter().map(String::as_str).collect();
    let data = vec![
        ("current_collection_in_progress", table.to_string()),
        ("data_collections", read.join(",")),
    ];
    push(options, batch, "IN_PROGRESS", data);
}

/// A chunk of a table is about to be read: its number from 0 and how many there are; `rows` were read
/// in the chunks before.
pub(crate) fn chunk_begun(
    options: &Options,
    batch: &mut BatchBuilder,
    table: &TableId,
    (index, total): (usize, usize),
    rows: u64,
) {
    if !options.notifications.open() {
        return;
    }
    let data = vec![
        ("current_collection_in_progress", table.to_string()),
        ("chunk_index", index.to_string()),
        ("total_chunks", total.to_string()),
        ("total_rows_scanned", rows.to_string()),
    ];
    push(options, batch, "TABLE_CHUNK_IN_PROGRESS", data);
}

/// A chunk of a table was read.
pub(crate) fn chunk_read(
    options: &Options,
    batch: &mut BatchBuilder,
    table: &TableId,
    (index, total): (usize, usize),
    names: &[String],
) {
    if !options.notifications.open() {
        return;
    }
    let data = vec![
        ("scanned_collection", table.to_string()),
        ("data_collections", names.join(",")),
        ("chunk_index", index.to_string()),
        ("total_chunks", total.to_string()),
        ("status", Status::Succeeded.name().to_owned()),
    ];
    push(options, batch, "TABLE_CHUNK_COMPLETED", data);
}

/// All rows of a table are read.
pub(crate) fn table_read(
    options: &Options,
    batch: &mut BatchBuilder,
    table: &TableId,
    rows: u64,
    names: &[String],
) {
    if !options.notifications.open() {
        return;
    }
    let data = vec![
        ("scanned_collection", table.to_string()),
        ("data_collections", names.join(",")),
        ("total_rows_scanned", rows.to_string()),
        ("status", Status::Succeeded.name().to_owned()),
    ];
    push(options, batch, "TABLE_SCAN_COMPLETED", data);
}

/// What a record holds by itself, its texts included: the names of all tables can be in it.
pub(crate) fn byte_len(record: &Record) -> usize {
    fn texts(value: ValueRef<'_>) -> usize {
        match value {
            ValueRef::Text(text) => text.len(),
            ValueRef::Bytes(bytes) => bytes.len(),
            ValueRef::Array(items) => items.iter().map(held).sum(),
            ValueRef::Map(entries) => {
                entries.iter().map(|(key, value)| held(key) + held(value)).sum()
            }
            ValueRef::Struct(value) => {
                let fields = 0..value.schema.fields().len();
                fields.map(|at| size_of::<Value>() + texts(value.at(at))).sum()
            }
            _ => 0,
        }
    }
    fn held(value: &Value) -> usize {
        size_of::<Value>() + texts(value.as_ref())
    }
    size_of_val(record) + texts(record.key.value.as_ref()) + texts(record.value.value.as_ref())
}

/// Sends a notification by itself. False when the task was stopped meanwhile.
pub(crate) async fn send(
    options: &Options,
    out: &mut Outbox,
    kind: &'static str,
    data: Data,
) -> bool {
    let Some(record) = record(options, kind, data) else { return true };
    let bytes = byte_len(&record);
    let Some(room) = out.room().await else { return false };
    room.send(Batch { records: vec![record].into(), position: None, bytes });
    true
}

#[cfg(test)]
mod tests {
    use ::snapshot::notifications::Channels;

    use super::*;

    #[test]
    fn the_names_of_tables_count() {
        let bytes = |names: &str| {
            let data = vec![("data_collections", names.to_owned())];
            let (id, aggregate, kind) = (String::new(), INITIAL, "STARTED");
            let notification = Notification { id, aggregate, kind, data, timestamp_ms: 0 };
            let channels = Channels::new(Some("t"), false, "p");
            byte_len(&channels.notify(notification).expect("a record"))
        };
        assert_eq!(bytes(&"s.t,".repeat(1_000)), bytes("") + 4_000);
    }
}
