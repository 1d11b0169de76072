//! The Debezium change event, and how a source builds a batch of them.
//!
//! Fields and their order are those of Debezium 3.6's `Envelope` and `SchemaFactory`.

use std::{fmt, sync::Arc, vec};

use crate::{
    record::{Batch, Data, Header, Headers, Position, Record, Records},
    row::{Row, RowsBuilder, Sealed, Slot},
    schema::Schema,
    value::{BodyRef, Struct, StructRef, Value, ValueRef},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Create,
    Read,
    Update,
    Delete,
    Truncate,
}

impl Op {
    /// The letter in the field `op`.
    pub fn code(self) -> &'static str {
        match self {
            Op::Create => "c",
            Op::Read => "r",
            Op::Update => "u",
            Op::Delete => "d",
            Op::Truncate => "t",
        }
    }
}

/// The envelope, packed. Field order is the envelope schema's:
/// before, after, source, transaction, op, `ts_ms`, `ts_us`, `ts_ns`.
#[derive(Clone, Debug)]
pub struct Change {
    pub before: Option<Row>,
    pub after: Option<Row>,
    pub source: Row,
    /// The fields of `event.block`, when transaction metadata is provided.
    pub transaction: Option<Row>,
    pub op: Op,
    /// When the event was made, in nanoseconds since the epoch.
    pub ts_ns: i64,
}

impl Change {
    pub(crate) fn at<'a>(&'a self, envelope: &'a Arc<Schema>, index: usize) -> ValueRef<'a> {
        let packed = |row: &'a Row| {
            ValueRef::Struct(StructRef::new(&envelope.fields().at(index).schema, BodyRef::Row(row)))
        };
        match index {
            0 => self.before.as_ref().map_or(ValueRef::Null, packed),
            1 => self.after.as_ref().map_or(ValueRef::Null, packed),
            2 => packed(&self.source),
            3 => self.transaction.as_ref().map_or(ValueRef::Null, packed),
            4 => ValueRef::Text(self.op.code()),
            5 => ValueRef::Int(self.ts_ns.div_euclid(1_000_000)),
            6 => ValueRef::Int(self.ts_ns.div_euclid(1_000)),
            7 => ValueRef::Int(self.ts_ns),
            _ => unreachable!("an envelope has 8 fields"),
        }
    }
}

/// All that is known of one table version. Rebuilt when the table changes, shared by its records.
#[derive(Debug)]
pub struct TableSchema {
    pub topic: Arc<str>,
    /// The key's schema and the columns of the row that make it, in key order.
    pub key: Option<(Arc<Schema>, Arc<[u16]>)>,
    /// The row's schema, optional, as `before` and `after` have it.
    pub row: Arc<Schema>,
    pub envelope: Arc<Schema>,
}

/// Collects the changes of one batch while the wire is being decoded.
///
/// Rows go into one shared builder. [`BatchBuilder::seal`] makes a batch of them, whose slots become
/// records one by one as they are taken. Until then nothing is allocated per change but this struct's
/// own vector entry.
pub struct BatchBuilder {
    pub rows: RowsBuilder,
    pending: Vec<Pending>,
    /// The headers that every record of a table has.
    headers: Headers,
    /// Bytes that the records of [`BatchBuilder::push_made`] hold beside the rows.
    made_bytes: usize,
}

/// Makes a record once the rows it refers to are sealed.
type Make = Box<dyn FnOnce(&Sealed) -> Record + Send + Sync>;

enum Pending {
    Row(PendingRow),
    Made(Make),
}

struct PendingRow {
    table: Arc<TableSchema>,
    key: Option<Slot>,
    value: Option<PendingChange>,
    /// A header that holds the key of another row: `__debezium.newkey`, `__debezium.oldkey`.
    key_header: Option<(&'static str, Slot)>,
}

struct PendingChange {
    before: Option<Slot>,
    after: Option<Slot>,
    source: Slot,
    transaction: Option<Slot>,
    op: Op,
    ts_ns: i64,
}

/// One event to be: see [`BatchBuilder::push`].
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub op: Op,
    pub before: Option<Slot>,
    pub after: Option<Slot>,
    pub source: Slot,
    /// A row of the fields of `event.block`.
    pub transaction: Option<Slot>,
    pub ts_ns: i64,
    /// The header that ties the two halves of a key change: its name, and the row with that key.
    pub key_header: Option<(&'static str, Slot)>,
}

impl BatchBuilder {
    pub fn new(headers: Headers) -> Self {
        Self { rows: RowsBuilder::default(), pending: Vec::new(), headers, made_bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Bytes held so far, for the batch-size limit.
    pub fn byte_len(&self) -> usize {
        self.rows.byte_len() + self.pending.len() * size_of::<Pending>() + self.made_bytes
    }

    /// Adds a change; its key is taken from `after`, or from `before` where there is no `after`.
    pub fn push(&mut self, table: &Arc<TableSchema>, event: Event) {
        let Event { op, before, after, source, transaction, ts_ns, key_header } = event;
        let key = if op == Op::Truncate { None } else { after.or(before) };
        let value = Some(PendingChange { before, after, source, transaction, op, ts_ns });
        let row = PendingRow { table: table.clone(), key, value, key_header };
        self.pending.push(Pending::Row(row));
    }

    /// Adds a record that is about no row of a table, in its place among the changes: the boundary of
    /// a transaction, a message. `bytes` is what it holds beside the rows that `make` refers to; it
    /// gets none of the headers that the changes have.
    pub fn push_made(
        &mut self,
        bytes: usize,
        make: impl FnOnce(&Sealed) -> Record + Send + Sync + 'static,
    ) {
        self.made_bytes += bytes;
        self.pending.push(Pending::Made(Box::new(make)));
    }

    /// Adds a tombstone for the key of `row`.
    pub fn push_tombstone(
        &mut self,
        table: &Arc<TableSchema>,
        row: Slot,
        key_header: Option<(&'static str, Slot)>,
    ) {
        self.pending.push(Pending::Row(PendingRow {
            table: table.clone(),
            key: Some(row),
            value: None,
            key_header,
        }));
    }

    pub fn seal(self, position: Option<Position>) -> Batch {
        let bytes = self.byte_len();
        let pending = self.pending.into_iter();
        let packed = Packed { pending, rows: self.rows.seal(), headers: self.headers };
        Batch { records: Records::packed(packed), position, bytes }
    }
}

/// The changes of a sealed batch that were not taken yet.
pub(crate) struct Packed {
    pending: vec::IntoIter<Pending>,
    rows: Sealed,
    headers: Headers,
}

impl Iterator for Packed {
    type Item = Record;

    #[inline]
    fn next(&mut self) -> Option<Record> {
        Some(match self.pending.next()? {
            Pending::Row(row) => row.record(&self.rows, &self.headers),
            Pending::Made(make) => make(&self.rows),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pending.size_hint()
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changes", self.pending.len())
    }
}

impl PendingRow {
    fn record(self, sealed: &Sealed, headers: &Headers) -> Record {
        let table = &self.table;
        let key_of = |slot: Slot| match &table.key {
            Some((schema, columns)) => {
                Data::structure(Struct::columns(schema.clone(), sealed.row(slot), columns.clone()))
            }
            None => Data::NULL,
        };
        let row = |slot: Option<Slot>| slot.map(|slot| sealed.row(slot));
        let value = match self.value {
            None => Data::NULL,
            Some(PendingChange { before, after, source, transaction, op, ts_ns }) => {
                let change = Change {
                    before: row(before),
                    after: row(after),
                    source: sealed.row(source),
                    transaction: row(transaction),
                    op,
                    ts_ns,
                };
                Data::structure(Struct::change(table.envelope.clone(), change))
            }
        };
        let headers = match self.key_header {
            None => headers.clone(),
            Some((name, slot)) => {
                let tie = Header { name: name.into(), data: key_of(slot) };
                std::iter::once(tie).chain(headers.iter().cloned()).collect()
            }
        };
        Record {
            topic: table.topic.clone(),
            partition: None,
            key: self.key.map_or(Data::NULL, key_of),
            value,
            timestamp: None,
            headers,
        }
    }
}

/// `event.block`, the field `transaction` of an event: the place of an event in its transaction.
pub fn transaction_block() -> Schema {
    use crate::schema::Kind::{Int64, String};
    let scalar = |kind| Arc::new(Schema::new(kind));
    Schema::structure([
        ("id", scalar(String)),
        ("total_order", scalar(Int64)),
        ("data_collection_order", scalar(Int64)),
    ])
    .named("event.block", 1)
    .optional()
}

/// The envelope schema around a row schema (`row` is the optional one).
pub fn envelope(name: &str, row: &Arc<Schema>, source: &Arc<Schema>) -> Schema {
    let scalar = |kind| Arc::new(Schema::new(kind));
    let optional = |kind| Arc::new(Schema::new(kind).optional());
    use crate::schema::Kind::{Int64, String};
    Schema::structure([
        ("before", row.clone()),
        ("after", row.clone()),
        ("source", source.clone()),
        ("transaction", Arc::new(transaction_block())),
        ("op", scalar(String)),
        ("ts_ms", optional(Int64)),
        ("ts_us", optional(Int64)),
        ("ts_ns", optional(Int64)),
    ])
    .named(name, 2)
}

/// A record that is not about a row of a table: a heartbeat, a notification.
pub fn plain_record(topic: Arc<str>, partition: Option<i32>, key: Struct, value: Struct) -> Record {
    Record {
        topic,
        partition,
        key: Data::structure(key),
        value: Data { schema: Some(value.schema().clone()), value: Value::Struct(value) },
        timestamp: None,
        headers: crate::record::no_headers(),
    }
}
