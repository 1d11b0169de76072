//! What a connector implements.
//!
//! The names are Kafka Connect's where it has a name. Two things differ on purpose:
//!
//! * A source **runs** and pushes batches; it is not polled. Snapshot-then-stream is straight-line
//!   code, and its future is never dropped half way: to stop it, the worker cancels the token that
//!   [`Outbox`] carries and waits. No connector has to be cancel-safe.
//! * Offsets move by whole batches ([`Batch::position`]).
//!
//! These traits are `dyn` and their calls are per batch, so one boxed future serves thousands of
//! records. Per record there are only plain functions.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, ConfigDef, ConfigInfos},
    error::{Error, RecordError, Result},
    figures::{Gauges, Progress},
    record::{Batch, Position, SinkRecord},
    topics::Topics,
};

pub use crate::sink_context::{SinkContext, SinkRequests};

/// A connector's configuration as the user wrote it. Sorted by key.
pub type Props = std::collections::BTreeMap<String, String>;

/// A connector's watch over itself; it ends with why the connector has failed.
pub type Watch<'w> = Pin<Box<dyn Future<Output = Error> + Send + 'w>>;

/// A kind of source: stateless, listed once in `src/plugins.rs`.
#[async_trait]
pub trait SourceConnector: Send + Sync + 'static {
    /// The Java class name users write in `connector.class`.
    fn class(&self) -> &'static str;

    /// What REST shows as the plugin's version.
    fn version(&self) -> &'static str;

    fn config(&self) -> &'static ConfigDef;

    /// Why this version knows the connector's keys and does not run it; `None` when it does. Its
    /// configurations can be validated then, and none can be created.
    fn not_run(&self) -> Option<&'static str> {
        None
    }

    /// What one key's check cannot see: keys that exclude each other, a database that refuses the
    /// login. Called when every key by itself is right. Adds errors to `infos`; an `Err` means the
    /// check itself could not run.
    async fn validate(&self, _config: &Config, _infos: &mut ConfigInfos) -> Result<()> {
        Ok(())
    }

    /// The configurations of the tasks. CDC sources have one task.
    async fn task_configs(&self, props: &Props, _tasks_max: usize) -> Result<Vec<Props>> {
        Ok(vec![props.clone()])
    }

    /// Watches over the connector while it runs, beside its tasks. Returns why the connector has
    /// failed (Connect's `ConnectorContext.raiseError`): it is shown FAILED then, and its tasks go
    /// on. Dropped when the connector is paused, stopped or restarted. `None` when there is nothing to
    /// watch over: a watch has a thread of its own.
    fn watch<'w>(&'w self, _props: &'w Props) -> Option<Watch<'w>> {
        None
    }

    /// Connect's `alterOffsets`: looks at offsets before they are stored (`None` forgets a
    /// partition), and sees to those that the connector keeps elsewhere. `true` says that with
    /// storing them all is done, `false` that the user has to see to what lies elsewhere; an error
    /// refuses the change.
    async fn alter_offsets(
        &self,
        _props: &Props,
        _offsets: &[(Object, Option<Object>)],
    ) -> Result<bool> {
        Ok(false)
    }

    async fn start(&self, config: Config, start: Start) -> Result<Box<dyn SourceTask>>;
}

pub struct Start {
    pub connector: Arc<str>,
    pub task: usize,
    pub offsets: Arc<dyn OffsetReader>,
    /// Where the task may publish figures of its own.
    pub gauges: Gauges,
    /// Where the task may say that it waits for its system.
    pub progress: Progress,
    /// Topics that the task reads or writes by itself, beside what it hands over.
    pub topics: Arc<dyn Topics>,
}

/// A source partition or a source offset, as stored: field order is kept.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// Connect's `OffsetStorageReader`, for the connector at hand.
#[async_trait]
pub trait OffsetReader: Send + Sync {
    /// The last stored offset of a source partition; `None` when there is none.
    async fn offset(&self, partition: &Object) -> Result<Option<Object>>;
}

#[async_trait]
pub trait SourceTask: Send {
    /// Reads until [`Outbox::stopped`] or a failure. Returns `Ok` only when stopped.
    ///
    /// After a retriable error the worker backs off and calls `run` again on the same task, so what
    /// `self` holds must stay true across an error.
    async fn run(&mut self, out: &mut Outbox) -> Result<()>;
}

/// Where a source puts batches, and where it learns that they arrived.
pub struct Outbox {
    batches: mpsc::Sender<Batch>,
    acked: watch::Receiver<Option<Position>>,
    delivered: watch::Receiver<u64>,
    stop: CancellationToken,
}

/// The worker's end of an [`Outbox`].
pub struct Inbox {
    pub batches: mpsc::Receiver<Batch>,
    pub acked: watch::Sender<Option<Position>>,
    /// See [`Outbox::delivered`].
    pub delivered: watch::Sender<u64>,
    pub stop: CancellationToken,
}

pub fn outbox(batches_in_flight: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(batches_in_flight);
    let (acked_sender, acked) = watch::channel(None);
    let (delivered_sender, delivered) = watch::channel(0);
    let stop = CancellationToken::new();
    let inbox = Inbox {
        batches: receiver,
        acked: acked_sender,
        delivered: delivered_sender,
        stop: stop.clone(),
    };
    (Outbox { batches: sender, acked, delivered, stop }, inbox)
}

impl Outbox {
    /// Waits for room, which is where backpressure and pausing happen.
    ///
    /// Cancel-safe, so a source can keep its replication connection alive while it waits:
    /// `select! { permit = out.room() => …, _ = keepalive.tick() => … }`.
    pub async fn room(&mut self) -> Option<mpsc::Permit<'_, Batch>> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            permit = self.batches.reserve() => permit.ok(),
        }
    }

    /// The newest position that Kafka holds and the offsets topic knows. A Postgres source confirms
    /// this LSN to its slot; confirming anything newer loses data.
    pub fn acked(&mut self) -> Option<Position> {
        self.acked.borrow_and_update().clone()
    }

    /// How many batches it would take now without waiting, and at most.
    pub fn capacity(&self) -> (usize, usize) {
        (self.batches.capacity(), self.batches.max_capacity())
    }

    /// Cancel-safe.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether [`Outbox::stopped`] would return at once.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells what has arrived before its position is stored: Connect's `commitRecord`.
    pub fn delivered(&self) -> Delivered {
        Delivered { count: self.delivered.clone(), batches: self.batches.clone() }
    }
}

/// How many records have arrived. Held no longer than the [`Outbox`] it is of.
pub struct Delivered {
    count: watch::Receiver<u64>,
    batches: mpsc::Sender<Batch>,
}

impl Delivered {
    /// Waits until more than `known` of the records handed over have arrived, counted in their order
    /// over all runs of the task; records left out under `errors.tolerance` count too. `None` when
    /// no more will. Cancel-safe.
    pub async fn beyond(&mut self, known: u64) -> Option<u64> {
        tokio::select! {
            biased;
            count = self.count.wait_for(|count| *count > known) => count.ok().map(|count| *count),
            () = self.batches.closed() => None,
        }
    }
}

#[async_trait]
pub trait SinkConnector: Send + Sync + 'static {
    fn class(&self) -> &'static str;

    fn version(&self) -> &'static str;

    fn config(&self) -> &'static ConfigDef;

    async fn validate(&self, _config: &Config, _infos: &mut ConfigInfos) -> Result<()> {
        Ok(())
    }

    /// The configurations of the tasks: the same for each, as nearly all sinks do.
    async fn task_configs(&self, props: &Props, tasks_max: usize) -> Result<Vec<Props>> {
        Ok(vec![props.clone(); tasks_max])
    }

    /// See [`SourceConnector::watch`].
    fn watch<'w>(&'w self, _props: &'w Props) -> Option<Watch<'w>> {
        None
    }

    /// Connect's `alterOffsets`: looks at offsets before the consumer group's are changed (`None`
    /// forgets a partition's), and sees to those that the connector keeps elsewhere. `true` says
    /// that with the group's all is done, `false` that the user has to see to what lies elsewhere;
    /// an error refuses the change.
    async fn alter_offsets(
        &self,
        _props: &Props,
        _offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<bool> {
        Ok(false)
    }

    async fn start(&self, config: Config) -> Result<Box<dyn SinkTask>>;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// Per partition the offset of the *next* record: one more than the last one that is done.
pub type Offsets = std::collections::BTreeMap<TopicPartition, i64>;

/// The worker never calls two methods at once and never drops a call half way.
#[async_trait]
pub trait SinkTask: Send {
    /// Called once, before anything else, with what the task may ask of the worker.
    fn initialize(&mut self, _context: SinkContext) {}

    /// The partitions are this task's from now on.
    async fn open(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    /// Writes or buffers. After a retriable error the same records come again, so a sink is
    /// idempotent or undoes its half-done work. Called with no records too, once a flush interval,
    /// so that a sink can do what is due by time.
    async fn put(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()>;

    /// Connect's `SinkTaskContext.timeout`: without a record for this long, `put` is called with
    /// none. Asked before each wait.
    fn put_within(&self) -> Option<Duration> {
        None
    }

    /// Makes durable what it can and says up to where it is: the worker commits just that. A sink
    /// that writes through in `put` returns `current`; no offsets at all say that nothing is to be
    /// committed now. After a retriable error the records since the last commit come again.
    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets>;

    /// The partitions go to another worker; what is buffered for them is dropped or finished.
    async fn close(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }
}

/// Collects the records a sink cannot write. The worker applies `errors.tolerance` to them.
#[derive(Default)]
pub struct Errant {
    pub records: Vec<(usize, RecordError)>,
}

impl Errant {
    pub fn report(&mut self, index: usize, error: RecordError) {
        self.records.push((index, error));
    }
}
