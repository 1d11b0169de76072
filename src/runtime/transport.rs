//! What carries records from sources to sinks: Kafka, or channels inside this process.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{
    connector::{Offsets, Props, TopicPartition},
    error::{Error, Result},
    record::TimestampType,
};
use tokio::sync::Notify;

use super::settings::DeadLetterQueue;

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

    /// Opens a sink task's way to its dead-letter queue, whose topic is created where it is missing.
    async fn dead_letters(
        &self,
        client: &Client,
        queue: &DeadLetterQueue,
    ) -> Result<Box<dyn Producer>>;

    /// What a sink connector has committed, in the order in which Connect lists it.
    async fn sink_offsets(
        &self,
        connector: &str,
        props: &Props,
    ) -> Result<Vec<(TopicPartition, i64)>>;

    /// Changes what a sink connector has committed; its tasks must not run.
    async fn change_sink_offsets(
        &self,
        connector: &str,
        props: &Props,
        change: OffsetChange<'_>,
    ) -> Result<(), ChangeError>;

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

/// A change of what a sink connector has committed.
#[derive(Clone, Copy, Debug)]
pub enum OffsetChange<'c> {
    /// Sets these partitions' offsets, or forgets them.
    Alter(&'c BTreeMap<TopicPartition, Option<i64>>),
    /// Forgets all.
    Reset,
}

/// Why committed offsets were not changed.
#[derive(Debug)]
pub enum ChangeError {
    /// A member is in the consumer group.
    InUse(Error),
    Failed(Error),
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
    /// The source's records of this entry, those left out among them.
    records: AtomicUsize,
    deliveries: Arc<Deliveries>,
}

/// What the transport told of a task's records.
pub struct Deliveries {
    /// Told when an entry is complete or a record has failed.
    pub changed: Notify,
    tolerant: bool,
    log: bool,
    task: String,
    /// These are dead letters: what becomes of them fails nobody.
    letters: bool,
    failure: Mutex<Option<Error>>,
    skipped: AtomicU64,
}

impl Ticket {
    pub fn new(deliveries: &Arc<Deliveries>) -> Arc<Self> {
        Arc::new(Self {
            outstanding: AtomicUsize::new(1),
            lost: AtomicBool::new(false),
            records: AtomicUsize::new(0),
            deliveries: deliveries.clone(),
        })
    }

    /// A batch of so many records has joined the entry.
    pub fn carry(&self, records: usize) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
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
            self.deliveries.skip(topic, &cause);
            self.done(1);
        } else {
            self.lost.store(true, Ordering::Release);
            self.deliveries.fail(cause);
        }
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
            letters: false,
            failure: Mutex::new(None),
            skipped: AtomicU64::new(0),
        })
    }

    /// For dead letters, which are logged and given up when they cannot be stored.
    pub fn of_letters(task: String) -> Arc<Self> {
        Arc::new(Self {
            changed: Notify::new(),
            tolerant: true,
            log: true,
            task,
            letters: true,
            failure: Mutex::new(None),
            skipped: AtomicU64::new(0),
        })
    }

    fn skip(&self, topic: &str, cause: &Error) {
        if self.letters {
            tracing::error!(
                "[{}] Could not produce message to dead letter queue. topic={topic}: {}",
                self.task,
                cause.trace()
            );
        } else if self.log {
            tracing::error!(
                "Error encountered in task {}. Executing stage 'KAFKA_PRODUCE' with class \
                 'org.apache.kafka.connect.runtime.WorkerSourceTask', where the topic is {topic}. \
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
///
/// Partitions come and go while a task runs, as a group shares them out. The consumer tells of it
/// in [`Consumer::poll`] and then waits: nothing more is handed out before the task has answered
/// with [`Consumer::accept`] or [`Consumer::release`], so that a task commits what it has done
/// before another one begins there.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for records or for a change of partitions. Cancel-safe: records are taken only when
    /// this returns. A group takes the partitions from a task that does not come back within
    /// `max.poll.interval.ms`.
    async fn poll(&mut self) -> Result<Event>;

    /// Takes up partitions that [`Event::Assigned`] has told of; answers where each begins.
    async fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Offsets>;

    /// Lets go of partitions that [`Event::Revoked`] or [`Event::Lost`] has told of. Returns when
    /// another task may have them.
    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Begins to commit, and answers when that is done. The future may be dropped; the commit then
    /// goes on unheeded.
    fn commit(&mut self, offsets: Offsets) -> BoxFuture<'static, Result<()>>;

    /// Continues at these offsets, of partitions that the task has.
    async fn seek(&mut self, offsets: &Offsets) -> Result<()>;

    /// Hands out nothing of these partitions until they are resumed. Changes of partitions are
    /// told all the same.
    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Whether the sender waits for this consumer to commit.
    fn pressed(&self) -> bool {
        false
    }

    /// Commit after this long without a record and not only at the flush interval, where others
    /// wait for commits.
    fn commit_idle(&self) -> Option<Duration> {
        None
    }

    /// Leaves the group. Partitions that are still held are let go without a commit.
    async fn close(self: Box<Self>);
}

/// What a consumer has to say.
#[derive(Debug)]
pub enum Event {
    /// At least one, in the order of each partition.
    Records(Vec<Received>),
    /// These come in addition. May be none, and wants an answer even so.
    Assigned(Vec<TopicPartition>),
    /// These are to be given up, in order: what is done may be committed.
    Revoked(Vec<TopicPartition>),
    /// These may be another task's already: nothing can be committed.
    Lost(Vec<TopicPartition>),
}

/// A record as it came from the transport.
#[derive(Clone, Debug)]
pub struct Received {
    pub chunk: Arc<Chunk>,
    pub index: usize,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_type: TimestampType,
}

impl Received {
    pub fn encoded(&self) -> &Encoded {
        &self.chunk.records[self.index]
    }

    /// Where it was read.
    pub fn place(&self) -> TopicPartition {
        TopicPartition { topic: self.encoded().topic.clone(), partition: self.partition }
    }
}
