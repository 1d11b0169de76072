//! What carries records from sources to sinks: Kafka, or channels inside this process.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use model::{
    connector::{Offsets, Props, TopicPartition},
    error::{Error, Result},
};
use tokio::sync::Notify;

/// The task on whose behalf a transport is opened.
#[derive(Clone)]
pub struct Client {
    pub connector: Arc<str>,
    pub task: usize,
    /// The task's configuration, for `producer.override.*` and `topic.creation.*`.
    pub props: Arc<Props>,
}

#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Opens a source task's way out. A retriable error means that it may work later.
    async fn producer(&self, client: &Client) -> Result<Box<dyn Producer>>;

    /// Claims the topics of a sink connector, so that nothing sent to them from now on is missed.
    fn claim(&self, connector: &str, props: &Props) -> Result<()>;

    /// Opens a sink task's way in.
    async fn consumer(&self, client: &Client) -> Result<Box<dyn Consumer>>;

    /// A sink connector was deleted: what it has not taken is nobody's any more.
    fn forget(&self, connector: &str);

    /// Why sink connectors cannot run on this transport; `None` when they can.
    fn refuses_sinks(&self) -> Option<String> {
        None
    }

    /// The settings of clients in a connector's configuration that no client could start with: the
    /// key as it stands there, and why.
    fn refused_settings(&self, _props: &Props) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The id of the Kafka cluster, for `GET /`; `None` without one or while it is unreachable.
    async fn cluster_id(&self) -> Option<String>;

    /// Whether the transport answers, within a deadline. The error names the address tried.
    async fn check(&self, within: Duration) -> Result<()>;
}

/// Chooses the transport by the worker's properties: in-process when they name no Kafka.
pub fn open(worker: &Props) -> Result<Arc<dyn Transport>> {
    match worker.get("bootstrap.servers") {
        None => Ok(Arc::new(crate::channel::Channels::new())),
        Some(_) => Ok(Arc::new(crate::kafka::Kafka::new(worker)?)),
    }
}

/// Sends encoded records. One per source task.
#[async_trait]
pub trait Producer: Send {
    /// Takes the records over; waits while the transport is full. Each record ends in `ticket`:
    /// done or failed, now or later. An `Err` means that the task cannot go on.
    async fn send(&mut self, chunk: Chunk, ticket: &Arc<Ticket>) -> Result<Chunk>;

    /// Closes the connection. Records that are not acknowledged yet are given up.
    async fn close(self: Box<Self>);
}

/// Some records, encoded into one buffer.
#[derive(Debug, Default)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    pub records: Vec<Encoded>,
}

/// One record: where in [`Chunk::bytes`] its key and value lie. `None` is null.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub topic: Arc<str>,
    pub partition: Option<i32>,
    pub timestamp: Option<i64>,
    pub key: Option<Range<usize>>,
    pub value: Option<Range<usize>>,
    pub headers: EncodedHeaders,
}

/// Shared by all records of a task that have the same headers.
pub type EncodedHeaders = Arc<[(Arc<str>, Option<Bytes>)]>;

impl Chunk {
    /// Empties the chunk and keeps its buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    pub fn slice(&self, range: Option<&Range<usize>>) -> Option<&[u8]> {
        range.map(|range| &self.bytes[range.clone()])
    }
}

/// Counts the records of one ledger entry that the transport still owes an answer for.
///
/// It starts with one more, held by the sender until all records of the entry are handed over, so
/// that an entry cannot be complete before it is whole.
pub struct Ticket {
    outstanding: AtomicUsize,
    /// A record has failed for good, so this entry never completes.
    lost: AtomicBool,
    /// Records given up under `errors.tolerance=all`.
    skipped: AtomicUsize,
    deliveries: Arc<Deliveries>,
}

/// What the transport told of a task's records.
pub struct Deliveries {
    /// Told when an entry is complete or a record has failed.
    pub changed: Notify,
    tolerant: bool,
    log: bool,
    task: String,
    failure: Mutex<Option<Error>>,
    skipped: AtomicU64,
}

impl Ticket {
    pub fn new(deliveries: &Arc<Deliveries>) -> Arc<Self> {
        Arc::new(Self {
            outstanding: AtomicUsize::new(1),
            lost: AtomicBool::new(false),
            skipped: AtomicUsize::new(0),
            deliveries: deliveries.clone(),
        })
    }

    pub fn expect(&self, records: usize) {
        self.outstanding.fetch_add(records, Ordering::Relaxed);
    }

    pub fn done(&self, records: usize) {
        // Release and acquire: whoever sees zero also sees all that was stored before.
        if records > 0 && self.outstanding.fetch_sub(records, Ordering::AcqRel) == records {
            self.deliveries.changed.notify_one();
        }
    }

    /// One record was not stored. With `errors.tolerance=all` it is counted and let go; otherwise it
    /// never becomes done, so no offset passes it.
    pub fn failed(&self, topic: &str, cause: Error) {
        if self.deliveries.tolerant {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            self.deliveries.skip(topic, &cause);
            self.done(1);
        } else {
            self.lost.store(true, Ordering::Release);
            self.deliveries.fail(cause);
        }
    }

    /// Records of this entry given up under `errors.tolerance=all`.
    pub fn skipped(&self) -> usize {
        self.skipped.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub fn complete(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }
}

impl Deliveries {
    pub fn new(task: String, tolerant: bool, log: bool) -> Arc<Self> {
        Arc::new(Self {
            changed: Notify::new(),
            tolerant,
            log,
            task,
            failure: Mutex::new(None),
            skipped: AtomicU64::new(0),
        })
    }

    fn skip(&self, topic: &str, cause: &Error) {
        if self.log {
            tracing::error!(
                "Error encountered in task {}. Executing stage 'KAFKA_PRODUCE' for topic {topic}: \
                 {}",
                self.task,
                cause.trace()
            );
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&self, cause: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(
                Error::fatal("Unrecoverable exception from producer send callback")
                    .caused_by(cause),
            );
            self.changed.notify_one();
        }
    }

    /// The first failure that is not tolerated, once.
    pub fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Records given up under `errors.tolerance=all`.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

/// Hands records to a sink task. One per task.
#[async_trait]
pub trait Consumer: Send {
    /// The partitions this task has, to be opened before the first record.
    fn partitions(&mut self) -> Vec<TopicPartition>;

    /// Waits for records. Cancel-safe: records are taken only when this returns.
    async fn poll(&mut self, records_max: usize) -> Vec<Received>;

    /// Whether the sender waits for this consumer to commit.
    fn pressed(&self) -> bool;

    /// Everything before these offsets is durable in the sink.
    fn commit(&mut self, offsets: &Offsets);

    /// What is not committed comes again.
    fn rewind(&mut self);
}

/// A record as it came from the transport.
#[derive(Clone)]
pub struct Received {
    pub chunk: Arc<Chunk>,
    pub index: usize,
    pub partition: i32,
    pub offset: i64,
}

impl Received {
    pub fn encoded(&self) -> &Encoded {
        &self.chunk.records[self.index]
    }
}
