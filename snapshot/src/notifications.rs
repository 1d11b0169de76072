//! Notifications: what a connector tells of its snapshots, in a topic and in the log.
//!
//! Schemas, types and additional data are those of Debezium 3.7 (`io.debezium.pipeline.notification`).
//! The names of schemas are never adjusted.

use std::sync::Arc;

use model::{
    change::plain_record,
    java,
    record::Record,
    schema::{Kind, Schema},
    value::{Struct, Value},
};

/// What a notification is about.
pub const INITIAL: &str = "Initial Snapshot";
/// What a notification is about.
pub const INCREMENTAL: &str = "Incremental Snapshot";

/// What became of a table in a snapshot: `additional_data.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Empty,
    NoPrimaryKey,
    Skipped,
    SqlException,
    Succeeded,
    UnknownSchema,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Empty => "EMPTY",
            Status::NoPrimaryKey => "NO_PRIMARY_KEY",
            Status::Skipped => "SKIPPED",
            Status::SqlException => "SQL_EXCEPTION",
            Status::Succeeded => "SUCCEEDED",
            Status::UnknownSchema => "UNKNOWN_SCHEMA",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub id: String,
    /// [`INITIAL`] or [`INCREMENTAL`].
    pub aggregate: &'static str,
    /// `STARTED`, `COMPLETED`, …
    pub kind: &'static str,
    /// Without `connector_name`, which all have.
    pub data: Vec<(&'static str, String)>,
    pub timestamp_ms: i64,
}

/// Where a connector's notifications go.
pub struct Channels {
    topic: Option<Topic>,
    log: bool,
    connector: String,
}

struct Topic {
    name: Arc<str>,
    key: Arc<Schema>,
    value: Arc<Schema>,
}

impl Channels {
    /// `topic` is that of the channel `sink`, `connector` the connector's `topic.prefix`.
    pub fn new(topic: Option<&str>, log: bool, connector: &str) -> Self {
        let text = || Arc::new(Schema::new(Kind::String));
        let make = |name: &str| Topic {
            name: name.into(),
            key: Arc::new(
                Schema::structure([("id", text())])
                    .named("io.debezium.connector.common.NotificationKey", 1),
            ),
            value: Arc::new(
                Schema::structure([
                    ("id", text()),
                    ("type", text()),
                    ("aggregate_type", text()),
                    (
                        "additional_data",
                        Arc::new(Schema::new(Kind::Map(text(), text())).optional()),
                    ),
                    ("timestamp", Arc::new(Schema::new(Kind::Int64))),
                ])
                .named("io.debezium.connector.common.Notification", 1),
            ),
        };
        Self { topic: topic.map(make), log, connector: connector.to_owned() }
    }

    /// Whether anybody is told.
    pub fn open(&self) -> bool {
        self.log || self.topic.is_some()
    }

    /// Writes the notification to the log if it goes there; the record if it goes to a topic.
    pub fn notify(&self, notification: Notification) -> Option<Record> {
        let Notification { id, aggregate, kind, data, timestamp_ms } = notification;
        let data = in_java_order(data, ("connector_name", self.connector.clone()));
        let entries = data.iter().map(|(key, text)| (*key, text.as_str()));
        if self.log {
            let shown: Vec<String> =
                entries.clone().map(|(key, text)| format!("{key}={text}")).collect();
            tracing::info!(
                "[Notification Service]  {{id='{id}', aggregateType='{aggregate}', type='{kind}', additionalData={{{}}}, timestamp={timestamp_ms}}}",
                shown.join(", ")
            );
        }
        let topic = self.topic.as_ref()?;
        let text = |text: &str| Value::Text(text.into());
        let additional: Vec<(Value, Value)> =
            entries.map(|(key, value)| (text(key), text(value))).collect();
        let key = Struct::new(topic.key.clone(), vec![text(&id)]);
        let value = Struct::new(
            topic.value.clone(),
            vec![
                text(&id),
                text(kind),
                text(aggregate),
                Value::Map(additional.into()),
                Value::Int(timestamp_ms),
            ],
        );
        Some(plain_record(topic.name.clone(), None, key, value))
    }
}

/// The order that entries have in Debezium: those of a `HashMap` are copied into another one, to which
/// the last is added.
fn in_java_order(
    data: Vec<(&'static str, String)>,
    last: (&'static str, String),
) -> Vec<(&'static str, String)> {
    let hash = |entry: &(&str, String)| java::string_hash(entry.0);
    let count = data.len();
    let mut data = java::in_hash_order(data, java::buckets(count), hash);
    data.push(last);
    let mut buckets = if count == 0 { java::buckets(1) } else { java::buckets_of_copy(count) };
    if data.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    java::in_hash_order(data, buckets, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of the additional data is that of a recording of Debezium 3.7.
    #[test]
    fn additional_data_is_in_the_order_of_a_hash_map() {
        let channels = Channels::new(Some("t"), true, "c");
        let data = [
            "data_collections",
            "current_collection_in_progress",
            "maximum_key",
            "last_processed_key",
            "total_rows",
            "total_chunks",
            "chunk_index",
        ];
        let record = channels.notify(Notification {
            id: "7".into(),
            aggregate: INCREMENTAL,
            kind: "IN_PROGRESS",
            data: data.map(|key| (key, key.to_owned())).into(),
            timestamp_ms: 5,
        });
        let record = record.unwrap();
        assert_eq!((&*record.topic, record.partition), ("t", None));
        let Value::Struct(value) = &record.value.value else { panic!("no struct") };
        let Value::Map(entries) = value.as_ref().at(3).to_owned() else { panic!("no map") };
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
        let wanted = [
            "chunk_index",
            "last_processed_key",
            "total_rows",
            "current_collection_in_progress",
            "connector_name",
            "total_chunks",
            "maximum_key",
            "data_collections",
        ];
        assert_eq!(keys, wanted.map(|key| Value::Text(key.into())));
    }

    /// Likewise, where the copy has fewer buckets.
    #[test]
    fn a_copy_has_just_enough_buckets() {
        let data = [
            "data_collections",
            "scanned_collection",
            "total_rows_scanned",
            "status",
            "total_rows",
        ];
        let data = in_java_order(
            data.map(|key| (key, String::new())).into(),
            ("connector_name", String::new()),
        );
        let keys: Vec<&str> = data.into_iter().map(|(key, _)| key).collect();
        let wanted = [
            "scanned_collection",
            "connector_name",
            "total_rows_scanned",
            "total_rows",
            "data_collections",
            "status",
        ];
        assert_eq!(keys, wanted);
    }

    #[test]
    fn without_a_topic_there_is_no_record() {
        let channels = Channels::new(None, false, "c");
        assert!(!channels.open());
        let started = Notification {
            id: "1".into(),
            aggregate: INITIAL,
            kind: "STARTED",
            data: Vec::new(),
            timestamp_ms: 0,
        };
        assert_eq!(channels.notify(started), None);
    }
}
