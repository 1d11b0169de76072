//! Logical decoding messages (`pg_logical_emit_message`): records of the topic `<prefix>.message`.
//!
//! Fields and schemas are those of Debezium's `LogicalDecodingMessageMonitor`.

use std::sync::Arc;

use model::{
    change::{BatchBuilder, plain_record, transaction_block},
    row::Slot,
    schema::{Kind, Schema},
    value::{Struct, Value},
};
use relational::{filters::Filter, modes::BinaryMode, table::TableId};

use crate::{cells::encoded::encoded, wire::pgoutput::Logical};

/// What `transaction.data_collections` calls all messages. In Debezium each message is a collection of
/// its own there, under a name that says where its object was in memory.
const COLLECTION: &str = "LOGICAL_DECODING_MESSAGE";

pub(crate) struct Messages {
    topic: Arc<str>,
    /// `message.prefix.include.list`, `message.prefix.exclude.list`
    filter: Filter,
    /// `binary.handling.mode`
    binaries: BinaryMode,
    schemas: Schemas,
    /// The table that a message's source block names.
    pub(crate) no_table: TableId,
    pub(crate) collection: Arc<str>,
}

#[derive(Clone)]
struct Schemas {
    source: Arc<Schema>,
    transaction: Arc<Schema>,
    message: Arc<Schema>,
    key: Arc<Schema>,
    value: Arc<Schema>,
}

impl Messages {
    pub(crate) fn new(
        prefix: &str,
        filter: Filter,
        binaries: BinaryMode,
        source: &Arc<Schema>,
    ) -> Self {
        let content = match binaries {
            BinaryMode::Bytes => Kind::Bytes,
            BinaryMode::Base64 | BinaryMode::Base64UrlSafe | BinaryMode::Hex => Kind::String,
        };
        let optional = |kind| Arc::new(Schema::new(kind).optional());
        let key = Schema::structure([("prefix", optional(Kind::String))])
            .named("io.debezium.connector.postgresql.MessageKey", 1);
        let message =
            Schema::structure([("prefix", optional(Kind::String)), ("content", optional(content))])
                .named("io.debezium.connector.postgresql.Message", 1);
        let (message, transaction) = (Arc::new(message), Arc::new(transaction_block()));
        let value = Schema::structure([
            ("op", Arc::new(Schema::new(Kind::String))),
            ("ts_ms", optional(Kind::Int64)),
            ("source", source.clone()),
            ("transaction", transaction.clone()),
            ("message", message.clone()),
        ])
        .named("io.debezium.connector.postgresql.MessageValue", 1);
        Self {
            // Whatever topic.delimiter is.
            topic: format!("{prefix}.message").into(),
            filter,
            binaries,
            schemas: Schemas {
                source: source.clone(),
                transaction,
                message,
                key: Arc::new(key),
                value: Arc::new(value),
            },
            no_table: TableId { namespace: "".into(), name: "".into() },
            collection: COLLECTION.into(),
        }
    }

    /// Itself, when messages with this prefix are sent.
    pub(crate) fn wanted(&self, prefix: &str) -> Option<&Self> {
        self.filter.accepts(prefix).then_some(self)
    }

    /// Adds the record of a message.
    pub(crate) fn push(
        &self,
        batch: &mut BatchBuilder,
        source: Slot,
        transaction: Option<Slot>,
        message: &Logical<'_>,
    ) {
        let (topic, schemas) = (self.topic.clone(), self.schemas.clone());
        let prefix = Value::Text(message.prefix.into());
        let mut text = String::new();
        let content = encoded(self.binaries, message.content, &mut text).into_value();
        let ts_ms = Value::Int(crate::now_ns() / 1_000_000);
        let held = message.content.len().max(text.len()) + message.prefix.len();
        batch.push_made(held, move |sealed| {
            let packed = |schema, slot| Value::Struct(Struct::row(schema, sealed.row(slot)));
            let key = Struct::new(schemas.key, vec![prefix.clone()]);
            let block = Struct::new(schemas.message, vec![prefix, content]);
            let fields = vec![
                Value::Text("m".into()),
                ts_ms,
                packed(schemas.source, source),
                transaction.map_or(Value::Null, |slot| packed(schemas.transaction, slot)),
                Value::Struct(block),
            ];
            plain_record(topic, None, key, Struct::new(schemas.value, fields))
        });
    }
}
