//! Records into bytes, a chunk at a time.
//!
//! Encoders are planned once per topic and schema and found again by address; headers are encoded
//! once per distinct set. A chunk's keys and values lie in one buffer that is used again, so a
//! record costs no allocation here.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use model::{
    convert::{Converter, Encode, Encoded as Written, HeaderConverter},
    error::{Error, Kind, RecordError, Result, Stage},
    record::{Data, Headers, Record, Records},
    schema::Schema,
};
use tokio::time::Instant;

use super::{
    Topics,
    convert::Converters,
    errors::spread,
    settings::{Retry, Tolerance},
    transport::{Chunk, Encoded, EncodedHeaders},
};
use crate::metrics::TaskMetrics;

/// A chunk ends here: large enough that handing it over costs nothing, small enough that memory and
/// the time between two awaits (some 3 ms) stay small.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_RECORDS: usize = 4_096;

/// Plans and headers kept ready. A task has as many as tables and their versions; past the limit all
/// are planned anew.
const CACHE_MAX: usize = 1_024;

/// The buffer of a chunk is given back when one large record has blown it up.
const KEEP_BYTES: usize = 4 << 20;

/// Encodes the records of one task.
pub struct Encoder {
    header: Box<dyn HeaderConverter>,
    header_class: String,
    key: Side,
    value: Side,
    /// By the addresses of topic and headers, which the entry keeps alive.
    headers: HashMap<(usize, usize), (Arc<str>, Headers, EncodedHeaders)>,
    tolerance: Tolerance,
    retry: Retry,
    who: String,
    topics: Topics,
    metrics: Arc<TaskMetrics>,
    skipped: u64,
}

/// The key's half of the work, or the value's.
struct Side {
    stage: Stage,
    class: String,
    converter: Box<dyn Converter>,
    plans: Vec<Plan>,
    /// By the addresses of topic and schema, which the plan keeps alive.
    by_address: HashMap<(usize, usize), usize>,
    last: usize,
}

struct Plan {
    topic: Arc<str>,
    schema: Option<Arc<Schema>>,
    /// The error of planning stands for every record of this schema, unless it may pass.
    encode: Result<Box<dyn Encode>, String>,
    passing: bool,
}

impl Encoder {
    pub(super) fn new(
        converters: Converters,
        tolerance: Tolerance,
        retry: Retry,
        who: String,
        topics: Topics,
        metrics: Arc<TaskMetrics>,
    ) -> Self {
        Self {
            header: converters.header,
            header_class: converters.header_class,
            key: Side::new(Stage::KeyConverter, converters.key, converters.key_class),
            value: Side::new(Stage::ValueConverter, converters.value, converters.value_class),
            headers: HashMap::new(),
            tolerance,
            retry,
            who,
            topics,
            metrics,
            skipped: 0,
        }
    }

    /// Empties `chunk` and fills it from `records` until one of them is exhausted. Records that
    /// cannot be encoded are left out when that is tolerated; otherwise the first one is the error.
    pub async fn fill(&mut self, records: &mut Records, chunk: &mut Chunk) -> Result<()> {
        chunk.clear();
        if chunk.bytes.capacity() > KEEP_BYTES {
            chunk.bytes.shrink_to(CHUNK_BYTES);
        }
        while chunk.bytes.len() < CHUNK_BYTES && chunk.records.len() < CHUNK_RECORDS {
            let Some(record) = records.next() else { break };
            let start = chunk.bytes.len();
            match self.encode(&record, &mut chunk.bytes).await {
                Ok(encoded) => chunk.records.push(encoded),
                Err(error) => {
                    chunk.bytes.truncate(start);
                    self.bad(&record, error)?;
                }
            }
        }
        Ok(())
    }

    /// Headers first, then key, then value, as Connect does: the first error is the one reported.
    async fn encode(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<Encoded, RecordError> {
        if record.timestamp.is_some_and(|timestamp| timestamp < -1) {
            return Err(RecordError::new(
                Stage::KafkaProduce,
                format!("Invalid record timestamp {}", record.timestamp.unwrap_or_default()),
            ));
        }
        let headers = self.encode_headers(record)?;
        if !self.key.planned(&record.topic, record.key.schema.as_ref()) {
            let (key, data) = (&mut self.key, &record.key);
            key.plan(&record.topic, data, &self.retry, &self.who, &self.metrics).await;
        }
        if !self.value.planned(&record.topic, record.value.schema.as_ref()) {
            let (value, data) = (&mut self.value, &record.value);
            value.plan(&record.topic, data, &self.retry, &self.who, &self.metrics).await;
            self.topics.add(&record.topic);
        }
        let start = out.len();
        let key = self.key.encode(&record.key, out)?.then_some(start..out.len());
        let start = out.len();
        let value = self.value.encode(&record.value, out)?.then_some(start..out.len());
        Ok(Encoded {
            topic: record.topic.clone(),
            partition: record.partition,
            timestamp: record.timestamp.filter(|&timestamp| timestamp >= 0),
            key,
            value,
            headers,
        })
    }

    fn encode_headers(&mut self, record: &Record) -> Result<EncodedHeaders, RecordError> {
        let address = (address(&record.topic), address(&record.headers));
        if let Some((_, _, encoded)) = self.headers.get(&address) {
            return Ok(encoded.clone());
        }
        let mut encoded = Vec::with_capacity(record.headers.len());
        for header in record.headers.iter() {
            let mut out = Vec::new();
            let bytes =
                match self.header.encode(&record.topic, &header.name, &header.data, &mut out)? {
                    Written::Null => None,
                    Written::Bytes => Some(Bytes::from(out)),
                };
            encoded.push((header.name.clone(), bytes));
        }
        let encoded: EncodedHeaders = encoded.into();
        if self.headers.len() >= CACHE_MAX {
            self.headers.clear();
        }
        let entry = (record.topic.clone(), record.headers.clone(), encoded.clone());
        self.headers.insert(address, entry);
        Ok(encoded)
    }

    /// Applies `errors.tolerance` to a record that cannot be encoded.
    fn bad(&mut self, record: &Record, error: RecordError) -> Result<()> {
        let class = match error.stage {
            Stage::KeyConverter => &self.key.class,
            Stage::ValueConverter => &self.value.class,
            _ => &self.header_class,
        };
        self.metrics.errors.failed(1);
        self.metrics.errors.error(1);
        if self.tolerance.log {
            self.metrics.errors.logged(1);
            // Keys and values stay out of the log: they are people's data.
            let which = if self.tolerance.messages {
                format!(
                    ", where source record is = SourceRecord{{topic='{}', kafkaPartition={}, \
                     timestamp={}}}",
                    record.topic,
                    record.partition.map_or("null".to_owned(), |number| number.to_string()),
                    record.timestamp.map_or("null".to_owned(), |number| number.to_string()),
                )
            } else {
                String::new()
            };
            tracing::error!(
                "Error encountered in task {}. Executing stage '{}' with class '{class}'{which}. {}",
                self.who.replace("|task", ""),
                error.stage.name(),
                error.message
            );
        }
        if self.tolerance.all {
            self.skipped += 1;
            self.metrics.errors.skipped(1);
            return Ok(());
        }
        let cause = Error::fatal(format!(
            "a record for topic {} failed in stage {} with {class}",
            record.topic,
            error.stage.name()
        ))
        .caused_by(Error::fatal(error.message));
        Err(Error::fatal("Tolerance exceeded in error handler").caused_by(cause))
    }

    /// Records left out so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Side {
    fn new(stage: Stage, converter: Box<dyn Converter>, class: String) -> Self {
        let (plans, by_address) = (Vec::new(), HashMap::new());
        Self { stage, class, converter, plans, by_address, last: 0 }
    }

    /// Whether the plan for this topic and schema is there; it becomes the one that is used.
    fn planned(&mut self, topic: &Arc<str>, schema: Option<&Arc<Schema>>) -> bool {
        let same = |plan: &Plan| {
            !plan.passing
                && Arc::ptr_eq(&plan.topic, topic)
                && match (&plan.schema, schema) {
                    (None, None) => true,
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    _ => false,
                }
        };
        // Records of one table come in runs.
        if self.plans.get(self.last).is_some_and(same) {
            return true;
        }
        let key = (address(topic), schema.map_or(0, address));
        let Some(&index) = self.by_address.get(&key) else { return false };
        self.last = index;
        true
    }

    async fn plan(
        &mut self,
        topic: &Arc<str>,
        data: &Data,
        retry: &Retry,
        who: &str,
        metrics: &TaskMetrics,
    ) {
        let schema = data.schema.as_ref();
        let begun = Instant::now();
        let mut tries = 0;
        let mut passing = false;
        let encode = loop {
            match self.converter.encoder(topic, schema).await {
                Ok(encode) => break Ok(encode),
                Err(error) => {
                    tries += 1;
                    passing = error.kind() == Kind::Retriable;
                    let pause = retry.pause(tries, begun.elapsed(), spread());
                    let Some(pause) = pause.filter(|_| passing) else { break Err(error.trace()) };
                    passing = false;
                    metrics.errors.failed(1);
                    metrics.errors.retried();
                    tracing::warn!("[{who}] {}; trying again", error.trace());
                    tokio::time::sleep(pause).await;
                }
            }
        };
        if self.plans.len() >= CACHE_MAX {
            self.plans.clear();
            self.by_address.clear();
        }
        self.last = self.plans.len();
        if !passing {
            self.by_address.insert((address(topic), schema.map_or(0, address)), self.last);
        }
        self.plans.push(Plan { topic: topic.clone(), schema: schema.cloned(), encode, passing });
    }

    /// Encodes by the plan that [`Side::planned`] has found. `false` is null.
    fn encode(&mut self, data: &Data, out: &mut Vec<u8>) -> Result<bool, RecordError> {
        match &mut self.plans[self.last].encode {
            Ok(encode) => encode
                .encode(data.value.as_ref(), out)
                .map(|written| written == Written::Bytes)
                .map_err(|error| RecordError { stage: self.stage, ..error }),
            Err(message) => Err(RecordError::new(self.stage, message.clone())),
        }
    }
}

fn address<T: ?Sized>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).cast::<()>() as usize
}
