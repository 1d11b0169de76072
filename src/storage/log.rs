//! A topic as a log that all workers read whole and follow.
//!
//! # Reading
//!
//! One task reads all partitions from their beginning, without a group, and calls back with every
//! record in order. Only after a record has been handled is its partition's position moved behind
//! it; whoever waits in [`KafkaLog::read_to_end`] asks the brokers for the ends of the partitions
//! and waits for the positions to pass them, and so sees what every record before that has changed.
//!
//! Now and then it looks for records that are there and do not come, see [`silence`].
//!
//! The last thing in a partition may be the mark of a transaction's end, which is no record. The
//! client tells when it has reached a partition's end, and its own position has passed the mark then.
//!
//! # Writing
//!
//! Records are acknowledged by all replicas and keep their order: one request in flight, no
//! idempotence, as in Kafka Connect. When a write is not acknowledged in time the caller is told, but
//! the record may still arrive later.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::BorrowedMessage,
    producer::future_producer::DeliveryFuture,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::internal::Which;
use super::{internal::Internal, reader::Reader, writer::Writer};
use crate::kafka::{
    Context, own_topic,
    silence::{self, Place, Silence},
};

/// A topic that is read whole and then followed.
pub struct KafkaLog {
    reader: Reader,
    writer: Arc<Writer>,
    /// The next offset of each partition, once the record before it has been handled.
    positions: watch::Receiver<Vec<i64>>,
    follower: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
    _stop_at_end: DropGuard,
}

/// A record as it is handed to the owner of a log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// A key with its value; no value is a tombstone.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// How long a worker that starts tries to learn how far the topic reaches, and how long the reading
/// may then stand still: as long as the JVM's worker tries.
const START_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long reading stands still before the log says so.
const STALL: Duration = Duration::from_secs(30);

/// How long a full queue is given to drain.
const PAUSE: Duration = Duration::from_millis(20);

/// After so many records the follower lets others run: reading a long topic would keep one of the
/// runtime's threads to itself.
const TURN: usize = 256;

impl KafkaLog {
    /// Creates the topic or checks it, reads it to its end, and goes on following it. `each` is
    /// called with every record, in the order of its partition, on the runtime: it may not block.
    pub async fn open(
        worker: &Props,
        which: Which,
        each: impl FnMut(Record<'_>) + Send + 'static,
    ) -> Result<Self> {
        let internal = Internal::new(worker, which)?;
        let mut clients = own_topic(worker, which.suffix())?;
        let servers = clients.servers;
        if which == Which::Statuses {
            // A status that did not arrive is tried again by the store, unless it is outdated then.
            clients.producer.set("retries", "0").set("delivery.timeout.ms", "120000");
        }
        let who = || Context::new(format!("worker|{}", which.suffix()));
        let refused = |error: KafkaError| {
            Error::fatal(format!(
                "Kafka client for topic {} on {servers} cannot start",
                internal.name
            ))
            .caused_by(error)
        };
        let admin: rdkafka::admin::AdminClient<Context> =
            clients.admin.create_with_context(who()).map_err(refused)?;
        internal.ensure(&admin, &servers).await?;
        // It has a thread of its own, which is not needed any more.
        drop(admin);

        let by = clients.consumer.clone();
        let asker: StreamConsumer<Context> =
            clients.consumer.remove("group.id").create_with_context(who()).map_err(refused)?;
        let who = format!("worker|{}", which.suffix());
        let writer = Writer::new(&internal.name, who.clone(), clients.producer).map_err(refused)?;
        let writer = Arc::new(writer);
        let reader = Reader {
            topic: internal.name.clone(),
            servers: servers.clone(),
            asker: Arc::new(asker),
        };
        let count = reader.partitions().await?;
        internal.check_partitions(count)?;

        let deadline = Instant::now() + START_WAIT;
        let starts = reader.bounds(count, Offset::Beginning, deadline).await?;
        let ends = reader.bounds(count, Offset::End, deadline).await?;
        let following = Following { reader: reader.clone(), writer: writer.clone(), by, who };
        let consumer = following.open(&starts).map_err(refused)?;

        let (moved, positions) = watch::channel(starts);
        let stop = CancellationToken::new();
        let follower = tokio::spawn(follow(following, consumer, each, moved, stop.clone()));
        let log = Self {
            reader,
            writer,
            positions,
            follower: Mutex::new(Some(follower)),
            _stop_at_end: stop.clone().drop_guard(),
            stop,
        };
        log.catch_up(&ends).await?;
        tracing::debug!("read topic {} to its end", log.reader.topic);
        Ok(log)
    }

    pub fn topic(&self) -> &str {
        &self.reader.topic
    }

    /// How many partitions the topic had when it was opened.
    pub fn partitions(&self) -> usize {
        self.positions.borrow().len()
    }

    /// The next offset of each partition: one more than that of the last record handled.
    pub fn positions(&self) -> Vec<i64> {
        self.positions.borrow().clone()
    }

    /// Returns when every record has been handled that was in the topic when this was called.
    /// Questions to the brokers that fail are asked again until the time is up.
    pub async fn read_to_end(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let ends = self.reader.bounds(self.partitions(), Offset::End, deadline).await?;
        let mut positions = self.positions.clone();
        let reached = timeout_at(deadline, positions.wait_for(|at| behind(at, &ends).is_none()));
        match reached.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.stopped()),
            Err(_) => Err(self.unread(&ends, within)),
        }
    }

    /// Writes a record. Returns when all replicas have it.
    pub async fn append(
        &self,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        within: Duration,
    ) -> Result<()> {
        self.append_all(vec![(key, value)], within).await
    }

    /// Writes records in their order. Returns when all replicas have all of them.
    pub async fn append_all(&self, entries: Vec<Entry>, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut deliveries = Vec::with_capacity(entries.len());
        for (key, value) in &entries {
            let delivery = loop {
                match self.enqueue(key, value.as_deref()) {
                    Ok(delivery) => break delivery,
                    Err(error) if error.rdkafka_error_code() == Some(Code::QueueFull) => {
                        if Instant::now() >= deadline {
                            return Err(self.unwritten(error));
                        }
                        sleep(PAUSE).await;
                    }
                    Err(error) => return Err(self.unwritten(error)),
                }
            };
            deliveries.push(delivery);
        }
        for delivery in deliveries {
            match timeout_at(deadline, delivery).await {
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err((error, _)))) => return Err(self.unwritten(error)),
                Ok(Err(_)) => return Err(self.stopped()),
                Err(_) => {
                    let error = Error::retriable(format!(
                        "Kafka {} did not acknowledge a record for topic {} within {} ms",
                        self.reader.servers,
                        self.reader.topic,
                        within.as_millis()
                    ));
                    return Err(match self.reader.asker.client().context().last_error() {
                        Some(last) => error.caused_by(last),
                        None => error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Hands a record to the client, which sends it after all that were handed over before.
    pub(super) fn enqueue(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> std::result::Result<DeliveryFuture, KafkaError> {
        self.writer.enqueue(key, value)
    }

    /// Waits until what has been handed to the client is sent, at most for the time given.
    pub async fn flush(&self, within: Duration) {
        if !self.writer.flush(within).await {
            tracing::warn!(
                "not all records for topic {} were sent within {} ms",
                self.reader.topic,
                within.as_millis()
            );
        }
    }

    /// Waits until what has been handed to the client is sent, stops following, and lets the clients
    /// go. What has not been sent within the time is dropped.
    pub async fn close(&self, within: Duration) {
        self.flush(within).await;
        self.stop.cancel();
        let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = match follower {
            Some(follower) => Some(follower.await),
            None => None,
        } {
            tracing::error!("reading topic {} ended: {error}", self.reader.topic);
        }
    }

    /// Waits for the positions to reach `ends`, as long as they move.
    async fn catch_up(&self, ends: &[i64]) -> Result<()> {
        let mut positions = self.positions.clone();
        let mut last = (self.positions(), Instant::now());
        loop {
            let deadline = Instant::now() + STALL;
            let reached =
                timeout_at(deadline, positions.wait_for(|at| behind(at, ends).is_none())).await;
            match reached {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) => return Err(self.stopped()),
                Err(_) => {}
            }
            let now = self.positions();
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > START_WAIT {
                return Err(self.unread(ends, START_WAIT));
            } else {
                tracing::warn!("{}; going on", self.unread(ends, STALL).trace());
            }
        }
    }

    fn unread(&self, ends: &[i64], within: Duration) -> Error {
        let place =
            behind(&self.positions(), ends).map_or_else(String::new, |(partition, at, end)| {
                format!(": partition {partition} is read up to offset {at} of {end}")
            });
        let error = Error::retriable(format!(
            "topic {} on Kafka {} was not read to its end within {} ms{place}",
            self.reader.topic,
            self.reader.servers,
            within.as_millis()
        ));
        match self.reader.asker.client().context().last_error() {
            Some(last) => error.caused_by(last),
            None => error,
        }
    }

    fn unwritten(&self, error: KafkaError) -> Error {
        let what = format!(
            "failed to write to topic {} on Kafka {}",
            self.reader.topic, self.reader.servers
        );
        let lasting = error.rdkafka_error_code().is_some_and(lasts);
        (if lasting { Error::fatal(what) } else { Error::retriable(what) }).caused_by(error)
    }

    fn stopped(&self) -> Error {
        Error::retriable(format!(
            "topic {} is not followed any more: the worker stops",
            self.reader.topic
        ))
    }
}

/// Whether an error of a write does not pass by itself.
pub(super) fn lasts(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidRequiredAcks
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat
            | Code::Fatal
    )
}

/// The first partition whose position has not reached its end, with both.
fn behind(positions: &[i64], ends: &[i64]) -> Option<(usize, i64, i64)> {
    let pairs = positions.iter().zip(ends).enumerate();
    pairs.map(|(partition, (at, end))| (partition, *at, *end)).find(|(_, at, end)| at < end)
}

/// What following a topic takes.
struct Following {
    reader: Reader,
    writer: Arc<Writer>,
    by: ClientConfig,
    who: String,
}

impl Following {
    /// A client that reads all partitions from these offsets on.
    fn open(&self, from: &[i64]) -> std::result::Result<Arc<StreamConsumer<Context>>, KafkaError> {
        let mut assignment = TopicPartitionList::with_capacity(from.len());
        for (partition, from) in (0..).zip(from) {
            assignment.add_partition_offset(
                &self.reader.topic,
                partition,
                Offset::Offset(*from),
            )?;
        }
        let consumer: StreamConsumer<Context> =
            self.by.create_with_context(Context::new(self.who.clone()))?;
        consumer.assign(&assignment)?;
        Ok(Arc::new(consumer))
    }

    /// After a while, the ends of the partitions, if the brokers tell them.
    fn look(&self, count: usize) -> BoxFuture<'static, Option<Vec<i64>>> {
        let reader = self.reader.clone();
        Box::pin(async move {
            sleep(silence::LOOK).await;
            reader.ends(count).await
        })
    }

    /// The client has lost hold of a partition: another one, if it has.
    fn anew(
        &self,
        positions: &[i64],
        ends: &[i64],
        silence: &mut Silence<usize>,
    ) -> Option<Arc<StreamConsumer<Context>>> {
        let places = positions.iter().zip(ends).map(|(at, end)| Place { at: *at, end: *end });
        let silent = silence.look(places.enumerate());
        let (partition, Place { at, end }) = silent.first()?;
        tracing::warn!(
            "topic {}: nothing comes of partition {partition}, which is read up to offset {at} of \
             {end}; a new Kafka client is opened",
            self.reader.topic
        );
        silence.forget();
        let opened = self.open(positions);
        if let Err(error) = &opened {
            tracing::error!("topic {}: the client cannot be opened: {error}", self.reader.topic);
        }
        opened.ok()
    }
}

/// Hands every record to `each` until it is stopped.
async fn follow(
    following: Following,
    mut consumer: Arc<StreamConsumer<Context>>,
    mut each: impl FnMut(Record<'_>) + Send,
    moved: watch::Sender<Vec<i64>>,
    stop: CancellationToken,
) {
    let reader = &following.reader;
    let count = moved.borrow().len();
    let mut turn = 0;
    let mut silence = Silence::default();
    let mut look = following.look(count);
    loop {
        let current = consumer.clone();
        let received = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            ends = &mut look => {
                look = following.look(count);
                let Some(ends) = ends else {
                    silence.forget();
                    following.writer.forget();
                    continue;
                };
                following.writer.look();
                let positions = moved.borrow().clone();
                if let Some(next) = following.anew(&positions, &ends, &mut silence) {
                    let old = std::mem::replace(&mut consumer, next);
                    drop(spawn_blocking(move || drop((old, current))));
                }
                continue;
            }
            received = current.recv() => received,
            // Errors, which its context has logged.
            _ = reader.asker.recv() => continue,
        };
        match received {
            Ok(message) => {
                each(record(&message));
                advance(&moved, message.partition(), message.offset() + 1);
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                if let Some(at) = reached(&current, &reader.topic, partition) {
                    advance(&moved, partition, at);
                }
            }
            // The client reports lost connections by itself and goes on after any error.
            Err(error) => tracing::debug!("reading topic {}: {error}", reader.topic),
        }
        turn = (turn + 1) % TURN;
        if turn == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Letting the consumer go takes a round trip; the runtime does not wait for it.
    drop(spawn_blocking(move || drop(consumer)));
}

fn record<'m>(message: &'m BorrowedMessage<'_>) -> Record<'m> {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        value: message.payload(),
    }
}

/// The client's own position in a partition, which counts what is no record too.
fn reached(consumer: &StreamConsumer<Context>, topic: &str, partition: i32) -> Option<i64> {
    match consumer.position().ok()?.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn advance(moved: &watch::Sender<Vec<i64>>, partition: i32, to: i64) {
    moved.send_if_modified(|positions| {
        let place = usize::try_from(partition).ok().and_then(|place| positions.get_mut(place));
        match place {
            Some(at) if *at != to => {
                *at = to;
                true
            }
            _ => false,
        }
    });
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaLog({} on {})", self.reader.topic, self.reader.servers)
    }
}
