//! Records, and the batches they travel in.

use std::{sync::Arc, vec};

use crate::{
    change::Packed,
    schema::Schema,
    value::{Struct, Value},
};

/// A value with its schema; schemaless when the schema is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    pub schema: Option<Arc<Schema>>,
    pub value: Value,
}

impl Data {
    pub const NULL: Data = Data { schema: None, value: Value::Null };

    pub fn structure(value: Struct) -> Self {
        Self { schema: Some(value.schema().clone()), value: Value::Struct(value) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub topic: Arc<str>,
    pub partition: Option<i32>,
    pub key: Data,
    pub value: Data,
    pub timestamp: Option<i64>,
    pub headers: Headers,
}

/// Shared by the records of a task that have the same headers, so that they are converted once.
pub type Headers = Arc<[Header]>;

#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub name: Arc<str>,
    pub data: Data,
}

/// No headers.
pub fn no_headers() -> Headers {
    Arc::new([])
}

/// Where a source resumes: Connect's source partition and source offset, as they are stored in the
/// offsets topic. `Map` keeps field order, so the stored bytes equal the JVM's.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    pub partition: Arc<serde_json::Map<String, serde_json::Value>>,
    pub offset: serde_json::Map<String, serde_json::Value>,
}

/// The records of a batch, to be taken in their order.
///
/// Changes of tables stay packed until they are taken: each record is then made, encoded and dropped
/// by one thread, which has it in its cache, and none of them waits in memory.
#[derive(Debug)]
pub struct Records(Kept);

#[derive(Debug)]
enum Kept {
    Made(vec::IntoIter<Record>),
    Packed(Packed),
}

impl Records {
    pub(crate) fn packed(packed: Packed) -> Self {
        Self(Kept::Packed(packed))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<Record>> for Records {
    fn from(records: Vec<Record>) -> Self {
        Self(Kept::Made(records.into_iter()))
    }
}

impl Iterator for Records {
    type Item = Record;

    #[inline]
    fn next(&mut self) -> Option<Record> {
        match &mut self.0 {
            Kept::Made(records) => records.next(),
            Kept::Packed(records) => records.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Kept::Made(records) => records.size_hint(),
            Kept::Packed(records) => records.size_hint(),
        }
    }
}

impl ExactSizeIterator for Records {}

/// What a source sends. The position is where to resume once these records are stored: offsets move
/// by whole batches, so the worker's ledger has one entry per batch, not one per record.
#[derive(Debug)]
pub struct Batch {
    pub records: Records,
    /// `None` when resuming needs no newer position than the batch before gave.
    pub position: Option<Position>,
    /// Bytes held by the records, for limits and metrics. An estimate.
    pub bytes: usize,
}

/// What a sink receives.
#[derive(Clone, Debug)]
pub struct SinkRecord {
    pub record: Record,
    pub kafka_partition: i32,
    pub kafka_offset: i64,
    /// What [`Record::timestamp`] is the time of.
    pub timestamp_type: TimestampType,
}

/// Whose clock a record's timestamp was read from: Kafka's `TimestampType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// There is no timestamp: the record is as old as Kafka 0.9.
    NoTimestamp,
    /// The producer's, or the time that it gave the record.
    #[default]
    CreateTime,
    /// The broker's, when the record came in.
    LogAppendTime,
}

impl TimestampType {
    /// As Kafka's `toString()` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoTimestamp => "NoTimestampType",
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}
