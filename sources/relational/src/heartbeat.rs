//! Heartbeat records: they move offsets on while the captured tables are idle.

use std::sync::Arc;

use model::{
    change::plain_record,
    record::Record,
    schema::{Kind, Schema},
    value::{Struct, Value},
};

/// Makes the heartbeat records of one connector.
pub struct Heartbeat {
    topic: Arc<str>,
    server: Arc<str>,
    key: Arc<Schema>,
    value: Arc<Schema>,
}

impl Heartbeat {
    /// `topic_prefix` is the connector's `topic.prefix`.
    pub fn new(topic: &str, topic_prefix: &str) -> Self {
        let field = |kind| Arc::new(Schema::new(kind));
        let key = Schema::structure([("serverName", field(Kind::String))])
            .named("io.debezium.connector.common.ServerNameKey", 1);
        let value = Schema::structure([("ts_ms", field(Kind::Int64))])
            .named("io.debezium.connector.common.Heartbeat", 1);
        Self {
            topic: topic.into(),
            server: topic_prefix.into(),
            key: Arc::new(key),
            value: Arc::new(value),
        }
    }

    /// A heartbeat of this moment; Debezium forces partition 0.
    pub fn record(&self, now_ms: i64) -> Record {
        let key = Struct::new(self.key.clone(), vec![Value::Text(self.server.clone())]);
        let value = Struct::new(self.value.clone(), vec![Value::Int(now_ms)]);
        plain_record(self.topic.clone(), Some(0), key, value)
    }
}
