//! A topic as a log that all workers read whole and follow.
//!
//! # Reading
//!
//! One task reads all partitions from their beginning, without a group, and calls back with every
//! record in order. Only after a record has been handled is its partition's position moved behind
//! it; whoever waits in [`KafkaLog::read_to_end`] asks the brokers for the ends of the partitions
//! and waits for the positions to pass them, and so sees what every record before that has changed.
//!
//! Now and then it looks for records that are there and do not come, see [`crate::kafka::silence`].
//!
//! The last thing in a partition may be the mark of a transaction's end, which is no record. The
//! client tells when it has reached a partition's end, and its own position has passed the mark then.
//!
//! # Writing
//!
//! Records are acknowledged by all replicas and keep their order: one request in flight, no
//! idempotence, as in Kafka Connect. When a write is not acknowledged in time the caller is told, but
//! the record may still arrive later; so it may when its client was replaced.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{
    Offset,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::internal::Which;
use super::{
    follower::{Following, follow},
    internal::Internal,
    reader::Reader,
    writer::{Delivery, Writer},
};
use crate::kafka::{Context, own_topic, silence};

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

/// How long a status may wait for a broker. Another worker has spoken of the same thing after a
/// session's end at the earliest, `session.timeout.ms`.
const STATUS_WITHIN_MS: &str = "5000";

/// How long a full queue is given to drain.
const PAUSE: Duration = Duration::from_millis(20);

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
            // A status that did not arrive is tried again by the store, unless it is outdated then;
            // what waits here would arrive late, after a successor's word.
            clients.producer.set("retries", "0").set("delivery.timeout.ms", STATUS_WITHIN_MS);
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

        let config = clients.consumer.clone();
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
        let following = Following {
            reader: reader.clone(),
            writer: writer.clone(),
            config,
            who,
            look: silence::LOOK,
        };
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
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => return Err(self.unwritten(error)),
                Ok(Err(_)) if self.stop.is_cancelled() => return Err(self.stopped()),
                Ok(Err(_)) => return Err(self.unwritten(KafkaError::Canceled)),
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
    ) -> std::result::Result<Delivery, KafkaError> {
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

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaLog({} on {})", self.reader.topic, self.reader.servers)
    }
}
