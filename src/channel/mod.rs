//! The in-process transport: sources and sinks of one worker, and no Kafka.
//!
//! Every sink connector claims topics when it is started, and has one queue for all of them. A
//! record goes to the queue of each sink that claims its topic; it is acknowledged to its source
//! when the last of these sinks has made it durable, so the source's stored offset stands for what
//! all sinks hold. Queues live in memory only: after a restart of the worker the source reads again
//! from its stored offset, and nothing is missing.
//!
//! * **Bounded.** A queue holds about [`QUEUE_BYTES`]; while it is full, sources wait. A sink that is
//!   paused, failed or stopped keeps its claim, so it holds its sources back instead of losing
//!   records; deleting the sink lets go of them.
//! * **Redelivery.** Records stay in the queue until the sink has committed them; a sink that is
//!   started again gets them again.
//! * **Topics without a sink.** A source that is quicker than the worker's start waits up to
//!   [`CLAIM_WAIT`] after it for a sink to claim the topic. After that, records of a topic that no
//!   sink claims are acknowledged at once, with one warning per topic.
//! * **Offsets.** A topic has one partition. Its offsets count from 0 from the worker's start on.

mod queue;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use model::{
    connector::{Offsets, Props, TopicPartition},
    error::{Error, Result},
};
use tokio::{sync::Notify, time::Instant};

use self::queue::{Pending, Queue};
use crate::runtime::{
    settings::DeadLetterQueue,
    subscription::Subscription,
    transport::{
        ChangeError, Chunk, Client, Consumer, Event, OffsetChange, Producer, Ticket, Transport,
    },
};

/// What a queue holds before sources wait: many chunks, so that both sides stay busy, and little
/// beside what a worker needs anyway.
const QUEUE_BYTES: usize = 16 << 20;

/// Records a call of `put` gets at most: Connect's `max.poll.records` is 500; a larger slice costs
/// nothing and saves round trips of sinks that write in bulk.
const POLL_RECORDS: usize = 2_000;

/// Without a record for this long, what there is may as well be made durable.
const IDLE: Duration = Duration::from_millis(50);

/// How long after the worker's start a topic may lack a sink.
const CLAIM_WAIT: Duration = Duration::from_secs(5);

/// The topics of this process.
pub struct Channels {
    hub: Arc<Hub>,
}

struct Hub {
    started: Instant,
    queue_bytes: usize,
    state: Mutex<State>,
    /// Told when a queue has room, a sink has claimed topics, or one is gone.
    changed: Notify,
}

#[derive(Default)]
struct State {
    sinks: Vec<Sink>,
    /// The next offset of each topic.
    offsets: HashMap<Arc<str>, i64>,
    warned: BTreeSet<Arc<str>>,
    /// Counts changes of who claims what.
    version: u64,
    next_sink: u64,
}

struct Sink {
    id: u64,
    connector: String,
    claim: Subscription,
    queue: Queue,
    /// Told when the queue has records.
    filled: Arc<Notify>,
}

impl Channels {
    pub fn new() -> Self {
        Self::with_limits(QUEUE_BYTES)
    }

    pub(crate) fn with_limits(queue_bytes: usize) -> Self {
        Self {
            hub: Arc::new(Hub {
                started: Instant::now(),
                queue_bytes,
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for Channels {
    async fn producer(&self, _client: &Client) -> Result<Box<dyn Producer>> {
        Ok(Box::new(ChannelProducer { hub: self.hub.clone(), routes: HashMap::new(), version: 0 }))
    }

    fn claim(&self, connector: &str, props: &Props) -> Result<()> {
        let claim = Subscription::new(props)?;
        let mut state = self.hub.state();
        state.version += 1;
        state.next_sink += 1;
        let id = state.next_sink;
        match state.sinks.iter_mut().find(|sink| sink.connector == connector) {
            Some(sink) => sink.claim = claim,
            None => state.sinks.push(Sink {
                id,
                connector: connector.to_owned(),
                claim,
                queue: Queue::default(),
                filled: Arc::default(),
            }),
        }
        drop(state);
        self.hub.changed.notify_waiters();
        Ok(())
    }

    async fn consumer(&self, client: &Client) -> Result<Box<dyn Consumer>> {
        let mut state = self.hub.state();
        let sink = state.sinks.iter_mut().find(|sink| *sink.connector == *client.connector);
        let sink = sink.ok_or_else(|| {
            Error::fatal(format!("sink connector {} has not claimed its topics", client.connector))
        })?;
        // A topic has one partition here, so one task has them all, as in a consumer group.
        let active = client.task == 0;
        if active {
            sink.queue.rewind();
        }
        Ok(Box::new(ChannelConsumer {
            hub: self.hub.clone(),
            sink: sink.id,
            filled: sink.filled.clone(),
            active,
            known: BTreeSet::new(),
            topics: usize::MAX,
            paused: BTreeSet::new(),
        }))
    }

    /// A topic like any other: another sink may read it.
    async fn dead_letters(
        &self,
        client: &Client,
        _queue: &DeadLetterQueue,
    ) -> Result<Box<dyn Producer>> {
        self.producer(client).await
    }

    async fn sink_offsets(
        &self,
        connector: &str,
        _props: &Props,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let state = self.hub.state();
        let sink = state.sinks.iter().find(|sink| sink.connector == connector);
        Ok(sink.map_or_else(Vec::new, |sink| {
            let partitions = state.partitions(sink).into_iter();
            partitions.map(|place| (place.clone(), state.position(sink, &place))).collect()
        }))
    }

    async fn change_sink_offsets(
        &self,
        connector: &str,
        _props: &Props,
        _change: OffsetChange<'_>,
    ) -> Result<(), ChangeError> {
        Err(ChangeError::Failed(Error::fatal(format!(
            "the offsets of sink connector {connector} cannot be changed: without Kafka (no \
             bootstrap.servers) records are kept in memory until the sink has them, and no longer"
        ))))
    }

    fn forget(&self, connector: &str) {
        let mut state = self.hub.state();
        state.version += 1;
        state.sinks.retain_mut(|sink| {
            let gone = sink.connector == connector;
            if gone {
                sink.queue.release();
            }
            !gone
        });
        drop(state);
        self.hub.changed.notify_waiters();
    }

    async fn cluster_id(&self) -> Option<String> {
        None
    }

    async fn check(&self, _within: Duration) -> Result<()> {
        Ok(())
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sink(&mut self, id: u64) -> Option<&mut Sink> {
        self.sinks.iter_mut().find(|sink| sink.id == id)
    }

    /// What a sink reads, as far as it is there.
    fn partitions(&self, sink: &Sink) -> BTreeSet<TopicPartition> {
        let mut topics: BTreeSet<Arc<str>> =
            self.offsets.keys().filter(|topic| sink.claim.covers(topic)).cloned().collect();
        if let Subscription::Topics(claimed) = &sink.claim {
            topics.extend(claimed.iter().map(|topic| Arc::from(topic.as_str())));
        }
        topics.into_iter().map(|topic| TopicPartition { topic, partition: 0 }).collect()
    }

    /// The first offset that a sink has not made durable.
    fn position(&self, sink: &Sink, place: &TopicPartition) -> i64 {
        let next = || self.offsets.get(&place.topic).copied().unwrap_or(0);
        sink.queue.first(&place.topic).unwrap_or_else(next)
    }
}

struct ChannelProducer {
    hub: Arc<Hub>,
    /// Per topic the ids of the sinks that claim it, as of `version`.
    routes: HashMap<Arc<str>, Arc<[u64]>>,
    version: u64,
}

impl ChannelProducer {
    /// One try to hand a chunk over. `Err` gives it back when it has to wait.
    fn try_send(&mut self, chunk: Chunk, ticket: &Arc<Ticket>) -> Result<(), Chunk> {
        let early = self.hub.started.elapsed() < CLAIM_WAIT;
        let mut state = self.hub.state();
        if self.version != state.version {
            self.version = state.version;
            self.routes.clear();
        }
        let mut last: Option<&Arc<str>> = None;
        for record in &chunk.records {
            if last.is_some_and(|last| Arc::ptr_eq(last, &record.topic)) {
                continue;
            }
            last = Some(&record.topic);
            if !self.routes.contains_key(&record.topic) {
                let claimed = state.sinks.iter().filter(|sink| sink.claim.covers(&record.topic));
                let route: Arc<[u64]> = claimed.map(|sink| sink.id).collect();
                if route.is_empty() && early {
                    return Err(chunk);
                }
                if route.is_empty() && state.warned.insert(record.topic.clone()) {
                    tracing::warn!(
                        "no sink connector takes topic {}; its records are dropped",
                        record.topic
                    );
                }
                self.routes.insert(record.topic.clone(), route);
            }
            let limit = self.hub.queue_bytes;
            let full =
                |id: &u64| state.sinks.iter().any(|sink| sink.id == *id && sink.queue.full(limit));
            if self.routes[&record.topic].iter().any(full) {
                return Err(chunk);
            }
        }
        let routes: Vec<Arc<[u64]>> =
            chunk.records.iter().map(|record| self.routes[&record.topic].clone()).collect();
        let chunk = Arc::new(chunk);
        let pending =
            Pending::new(ticket, routes.iter().map(|route| route.len()).sum(), routes.len());
        for (index, (record, route)) in chunk.records.iter().zip(&routes).enumerate() {
            let next = state.offsets.entry(record.topic.clone()).or_insert(0);
            let offset = *next;
            *next += 1;
            for &id in route.iter() {
                if let Some(sink) = state.sink(id) {
                    sink.queue.push(&chunk, index, offset, &pending);
                }
            }
        }
        let filled: BTreeSet<u64> = routes.iter().flat_map(|route| route.iter().copied()).collect();
        for id in filled {
            if let Some(sink) = state.sink(id) {
                sink.filled.notify_one();
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Producer for ChannelProducer {
    async fn send(&mut self, mut chunk: Chunk, ticket: &Arc<Ticket>) -> Result<Chunk> {
        // As Kafka's producer stamps records without a time of their own.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        for record in &mut chunk.records {
            record.timestamp.get_or_insert(now);
        }
        let hub = self.hub.clone();
        loop {
            // Enabled before the try, so that no change between try and wait is missed.
            let mut changed = std::pin::pin!(hub.changed.notified());
            changed.as_mut().enable();
            match self.try_send(chunk, ticket) {
                Ok(()) => return Ok(Chunk::default()),
                Err(unsent) => chunk = unsent,
            }
            let early = CLAIM_WAIT.saturating_sub(hub.started.elapsed());
            if early.is_zero() {
                changed.await;
            } else {
                // The end of the wait for sinks is no change that anyone tells of, so an elapsed
                // timeout is as good as a notice.
                drop(tokio::time::timeout(early, changed).await);
            }
        }
    }

    async fn close(self: Box<Self>) {}
}

struct ChannelConsumer {
    hub: Arc<Hub>,
    sink: u64,
    filled: Arc<Notify>,
    active: bool,
    /// The partitions that the task has been told of.
    known: BTreeSet<TopicPartition>,
    /// How many topics there were when it was told.
    topics: usize,
    paused: BTreeSet<TopicPartition>,
}

impl ChannelConsumer {
    /// What there is now.
    fn look(&mut self) -> Option<Event> {
        let mut state = self.hub.state();
        if state.offsets.len() != self.topics {
            let sink = state.sinks.iter().find(|sink| sink.id == self.sink)?;
            let new: Vec<TopicPartition> =
                state.partitions(sink).difference(&self.known).cloned().collect();
            self.topics = state.offsets.len();
            if !new.is_empty() {
                return Some(Event::Assigned(new));
            }
        }
        // Gone means deleted: the task is about to be stopped.
        let received = state.sink(self.sink)?.queue.read(POLL_RECORDS, &self.paused);
        drop(state);
        if received.is_empty() {
            return None;
        }
        // All being read, a full queue takes one more chunk.
        self.hub.changed.notify_waiters();
        Some(Event::Records(received))
    }
}

#[async_trait]
impl Consumer for ChannelConsumer {
    async fn poll(&mut self) -> Result<Event> {
        loop {
            if self.active
                && let Some(event) = self.look()
            {
                return Ok(event);
            }
            self.filled.notified().await;
        }
    }

    async fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Offsets> {
        self.known.extend(partitions.iter().cloned());
        let state = self.hub.state();
        let sink = state.sinks.iter().find(|sink| sink.id == self.sink);
        let position = |place: &TopicPartition| {
            (place.clone(), sink.map_or(0, |sink| state.position(sink, place)))
        };
        Ok(partitions.iter().map(position).collect())
    }

    async fn release(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self, offsets: Offsets) -> BoxFuture<'static, Result<()>> {
        let mut state = self.hub.state();
        if let Some(sink) = state.sink(self.sink) {
            sink.queue.commit(&offsets);
        }
        drop(state);
        self.hub.changed.notify_waiters();
        Box::pin(std::future::ready(Ok(())))
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        let mut state = self.hub.state();
        if let Some(sink) = state.sink(self.sink) {
            sink.queue.seek(offsets);
        }
        Ok(())
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.paused.extend(partitions.iter().cloned());
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.paused.retain(|paused| !partitions.contains(paused));
        Ok(())
    }

    fn pressed(&self) -> bool {
        let mut state = self.hub.state();
        let limit = self.hub.queue_bytes / 2;
        state.sink(self.sink).is_some_and(|sink| sink.queue.bytes() > limit)
    }

    fn commit_idle(&self) -> Option<Duration> {
        Some(IDLE)
    }

    async fn close(self: Box<Self>) {}
}
