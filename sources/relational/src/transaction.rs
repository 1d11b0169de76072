//! `provide.transaction.metadata`: which transaction an event belongs to, and where it stands in it
//! (Debezium's `TransactionMonitor` and `TransactionContext`).
//!
//! # Resumption
//!
//! The counts of a transaction that is under way are part of the source offset, so that whoever goes
//! on in its middle, Debezium too, goes on counting and tells of no second beginning. An offset may
//! lie before the newest events (they wait for others of their log position), so there are two
//! counts of everything: up to the newest event, and up to the newest position that may be stored.

use std::sync::Arc;

use model::{
    change::plain_record,
    connector::Object,
    java,
    record::Record,
    row::{RowsBuilder, Slot},
    schema::{Kind, Schema},
    value::{Struct, Value},
};

const ID: &str = "transaction_id";
const ORDER: &str = "transaction_data_collection_order_";

/// A transaction that is under way, as the source offset has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    pub id: String,
    /// Events by the name of their table, in the order in which the tables came up.
    pub collections: Vec<(Arc<str>, i64)>,
}

impl Counted {
    /// What an offset says; `None` outside of transactions.
    pub fn read(offset: &Object) -> Option<Self> {
        let id = offset.get(ID)?.as_str()?.to_owned();
        let count = |(key, count): (&String, &serde_json::Value)| {
            Some((key.strip_prefix(ORDER)?.into(), count.as_i64()?))
        };
        Some(Self { id, collections: offset.iter().filter_map(count).collect() })
    }

    /// The entries of the offset, in the order in which Debezium puts them in.
    pub fn entries(&self) -> impl Iterator<Item = (String, serde_json::Value)> {
        let buckets = java::buckets(self.collections.len());
        let ordered = java::in_hash_order(self.collections.clone(), buckets, name_hash);
        let counts = ordered
            .into_iter()
            .map(|(name, count)| (format!("{ORDER}{name}"), serde_json::Value::from(count)));
        std::iter::once((ID.to_owned(), self.id.as_str().into())).chain(counts)
    }
}

fn name_hash((name, _): &(Arc<str>, i64)) -> i32 {
    java::string_hash(name)
}

/// The topic `<prefix>.transaction` and the schemas of its records.
#[derive(Debug)]
pub struct Boundaries {
    topic: Arc<str>,
    key: Arc<Schema>,
    value: Arc<Schema>,
    collection: Arc<Schema>,
}

impl Boundaries {
    pub fn new(topic: &str) -> Self {
        let field = |kind| Arc::new(Schema::new(kind));
        let key = Schema::structure([("id", field(Kind::String))])
            .named("io.debezium.connector.common.TransactionMetadataKey", 1);
        let collection = Schema::structure([
            ("data_collection", field(Kind::String)),
            ("event_count", field(Kind::Int64)),
        ])
        .named("event.collection", 1)
        .optional();
        let collection = Arc::new(collection);
        let value = Schema::structure([
            ("status", field(Kind::String)),
            ("id", field(Kind::String)),
            ("event_count", Arc::new(Schema::new(Kind::Int64).optional())),
            ("data_collections", Arc::new(Schema::new(Kind::Array(collection.clone())).optional())),
            ("ts_ms", field(Kind::Int64)),
        ])
        .named("io.debezium.connector.common.TransactionMetadataValue", 1);
        Self { topic: topic.into(), key: Arc::new(key), value: Arc::new(value), collection }
    }

    fn record(&self, status: &str, id: &str, count: Value, tables: Value, ts_ms: i64) -> Record {
        let id = Value::Text(id.into());
        let key = Struct::new(self.key.clone(), vec![id.clone()]);
        let values = vec![Value::Text(status.into()), id, count, tables, Value::Int(ts_ms)];
        plain_record(self.topic.clone(), None, key, Struct::new(self.value.clone(), values))
    }
}

/// Numbers the events of the transaction that is under way.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Absent outside of transactions.
    id: Option<String>,
    total: i64,
    collections: Vec<Collection>,
    /// Which collections have events that [`Transaction::settle`] has not seen.
    unsettled: Vec<usize>,
    /// As many tables as one transaction had at most: Debezium's map never shrinks, and its size
    /// decides the order of the tables.
    largest: usize,
}

#[derive(Debug)]
struct Collection {
    name: Arc<str>,
    count: i64,
    settled: i64,
}

impl Transaction {
    /// Goes on where an offset left off.
    pub fn resume(counted: Option<&Counted>) -> Self {
        let Some(Counted { id, collections }) = counted else { return Self::default() };
        let collections: Vec<Collection> = collections
            .iter()
            .map(|(name, count)| Collection { name: name.clone(), count: *count, settled: *count })
            .collect();
        Self {
            id: Some(id.clone()),
            total: collections.iter().map(|collection| collection.count).sum(),
            largest: collections.len(),
            collections,
            unsettled: Vec::new(),
        }
    }

    /// The transaction `id` begins. `shown` is what its boundaries call it. `None` when it had begun
    /// before a restart: then it is counted on, and its beginning was told of.
    pub fn begin(
        &mut self,
        boundaries: &Boundaries,
        id: String,
        shown: &str,
        ts_ms: i64,
    ) -> Option<Record> {
        if self.id.as_ref() == Some(&id) {
            return None;
        }
        self.forget();
        self.id = Some(id);
        Some(boundaries.record("BEGIN", shown, Value::Null, Value::Null, ts_ms))
    }

    /// The transaction has ended, if one was under way: its record, and what the record's offset says
    /// of it. Nothing is under way afterwards.
    pub fn end(
        &mut self,
        boundaries: &Boundaries,
        shown: &str,
        ts_ms: i64,
    ) -> Option<(Record, Counted)> {
        self.settle();
        let counted = self.counted()?;
        let ordered = java::in_hash_order(
            counted.collections.clone(),
            java::buckets(self.largest),
            name_hash,
        );
        let tables: Vec<Value> = ordered
            .into_iter()
            .map(|(name, count)| {
                let values = vec![Value::Text(name), Value::Int(count)];
                Value::Struct(Struct::new(boundaries.collection.clone(), values))
            })
            .collect();
        let total = Value::Int(self.total);
        let record = boundaries.record("END", shown, total, Value::Array(tables.into()), ts_ms);
        self.forget();
        Some((record, counted))
    }

    /// Nothing is under way any more; no end is told of.
    pub fn forget(&mut self) {
        self.id = None;
        self.total = 0;
        self.collections.clear();
        self.unsettled.clear();
    }

    /// Counts an event of a table: its place among all events and among those of the table, from 1.
    pub fn count(&mut self, table: &Arc<str>) -> (i64, i64) {
        self.total += 1;
        // A transaction has few tables, and its next event is mostly of the same one.
        let same = |collection: &Collection| {
            Arc::ptr_eq(&collection.name, table) || collection.name == *table
        };
        let index = self.collections.iter().rposition(same).unwrap_or_else(|| {
            self.collections.push(Collection { name: table.clone(), count: 0, settled: 0 });
            self.largest = self.largest.max(self.collections.len());
            self.collections.len() - 1
        });
        let collection = &mut self.collections[index];
        if collection.count == collection.settled {
            self.unsettled.push(index);
        }
        collection.count += 1;
        (self.total, collection.count)
    }

    /// All events so far are covered by a position that may be stored.
    pub fn settle(&mut self) {
        for index in self.unsettled.drain(..) {
            let collection = &mut self.collections[index];
            collection.settled = collection.count;
        }
    }

    /// What the offset says of the transaction: the events that [`Transaction::settle`] has seen.
    pub fn counted(&self) -> Option<Counted> {
        let id = self.id.clone()?;
        let seen = self.collections.iter().filter(|collection| collection.settled > 0);
        let collections = seen.map(|collection| (collection.name.clone(), collection.settled));
        Some(Counted { id, collections: collections.collect() })
    }
}

/// Pushes the fields of `event.block`; `id` writes what the event calls its transaction.
pub fn push_block(
    rows: &mut RowsBuilder,
    id: impl FnOnce(&mut String),
    (total, in_collection): (i64, i64),
) -> Slot {
    rows.text_with(id);
    rows.int(total);
    rows.int(in_collection);
    rows.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(record: &Record) -> Vec<(String, i64)> {
        let Value::Struct(value) = &record.value.value else { panic!("a struct") };
        let Some(model::value::ValueRef::Array(items)) = value.as_ref().get("data_collections")
        else {
            panic!("an array")
        };
        let pair = |item: &Value| {
            let Value::Struct(item) = item else { panic!("a struct") };
            match (item.as_ref().at(0), item.as_ref().at(1)) {
                (model::value::ValueRef::Text(name), model::value::ValueRef::Int(count)) => {
                    (name.to_owned(), count)
                }
                other => panic!("{other:?}"),
            }
        };
        items.iter().map(pair).collect()
    }

    #[test]
    fn counts_go_on_after_a_restart_and_no_second_beginning_is_told_of() {
        let boundaries = Boundaries::new("p.transaction");
        let (a, b): (Arc<str>, Arc<str>) = ("public.a".into(), "inv.b".into());
        let mut before = Transaction::default();
        assert!(before.begin(&boundaries, "7".into(), "7:100", 1).is_some());
        assert_eq!(before.count(&a), (1, 1));
        before.settle();
        assert_eq!(before.count(&b), (2, 1));
        assert_eq!(before.count(&a), (3, 2));
        // The newest two events are not covered by a position yet.
        let counted = before.counted().unwrap();
        assert_eq!(counted.collections, [(a.clone(), 1)]);
        let offset: Object = counted.entries().collect();
        assert_eq!(
            serde_json::to_string(&offset).unwrap(),
            r#"{"transaction_id":"7","transaction_data_collection_order_public.a":1}"#
        );

        let mut after = Transaction::resume(Counted::read(&offset).as_ref());
        assert!(after.begin(&boundaries, "7".into(), "7:100", 1).is_none());
        assert_eq!(after.count(&b), (2, 1));
        assert_eq!(after.count(&a), (3, 2));
        let (record, counted) = after.end(&boundaries, "7:200", 1).unwrap();
        assert_eq!(names(&record).iter().map(|(_, count)| count).sum::<i64>(), 3);
        assert_eq!(counted.collections.len(), 2);
        assert_eq!(after.counted(), None);
        assert!(after.end(&boundaries, "7:200", 1).is_none());
    }

    #[test]
    fn another_transaction_begins_from_one() {
        let boundaries = Boundaries::new("p.transaction");
        let table: Arc<str> = "public.a".into();
        let counted = Counted { id: "7".into(), collections: vec![(table.clone(), 5)] };
        let mut transaction = Transaction::resume(Some(&counted));
        assert!(transaction.begin(&boundaries, "8".into(), "8:1", 1).is_some());
        assert_eq!(transaction.count(&table), (1, 1));
    }
}
