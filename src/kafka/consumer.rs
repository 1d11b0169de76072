//! The consumer of a sink task: a member of the group that all tasks of the connector form.
//!
//! # Who does what
//!
//! librdkafka fetches ahead on threads of its own, into a queue that is bounded in bytes
//! (`queued.max.messages.kbytes`), and sends heartbeats. What it finds is taken out of the queue by
//! [`KafkaConsumer::poll`] and by nothing else, in the task's own future and without blocking it:
//! librdkafka says when the queue is no longer empty. So the sink is slow at nobody's expense: while
//! it writes, nothing is polled, and when that takes longer than `max.poll.interval.ms`, librdkafka
//! leaves the group as Java's consumer does; the next poll tells that the partitions are lost.
//!
//! # Rebalances
//!
//! librdkafka tells of a change of partitions in the middle of a poll and then waits for the answer
//! as long as it takes. [`calls::Calls`] keeps the change, the poll ends with the records that came
//! before it, and the next one hands the change out. The answer is given in
//! [`KafkaConsumer::accept`] and [`KafkaConsumer::release`], when the sink has opened or committed
//! and closed. What was fetched of a partition that is let go is dropped by librdkafka.
//!
//! # Topics
//!
//! librdkafka knows regular expressions, but not Java's. So `topics.regex` is matched here against
//! the names of all topics, when the consumer begins and each `metadata.max.age.ms`, and the topics
//! that match are subscribed to.

mod calls;
mod topics;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{
    connector::{Offsets, Props, TopicPartition},
    error::{Error, Kind, Result},
    record::TimestampType,
};
use rdkafka::{
    Message, Offset, Timestamp, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};
use tokio::task::spawn_blocking;

use self::{
    calls::{Calls, Change},
    topics::Topics,
};
use super::config;
use crate::runtime::{
    subscription::Subscription,
    transport::{Chunk, Client, Consumer, Encoded, EncodedHeaders, Event, Received},
};

/// A poll ends here: large enough for bulk writes, and a bound where records are large.
const POLL_BYTES: usize = 8 << 20;

/// Without a word from librdkafka it is asked all the same, once in this time: it wants to be asked
/// at least each `max.poll.interval.ms`, and its notices are about the queue alone.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// How long one question to the brokers may take; it is asked again while the task runs.
const QUESTION: Duration = Duration::from_secs(10);

/// The pauses between such questions.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

type Inner = BaseConsumer<Calls>;

pub(super) struct KafkaConsumer {
    /// `None` once closed.
    inner: Option<Arc<Inner>>,
    topics: Topics,
    servers: String,
    group: String,
    records_max: usize,
    reset: Option<Offset>,
    /// The change that has been told of and not been answered.
    open: Option<Change>,
    /// librdkafka keeps to itself whether a partition is paused, over the end of its assignment too.
    paused: BTreeSet<TopicPartition>,
    /// An error that came after records of the same poll.
    failed: Option<Error>,
    names: HashMap<String, Arc<str>>,
    none: EncodedHeaders,
    who: String,
}

impl KafkaConsumer {
    pub(super) fn new(worker: &Props, client: &Client) -> Result<Self> {
        let settings = config::consumer(worker, &client.connector, client.task, &client.props)?;
        let subscription = Subscription::new(&client.props)?;
        let who = format!("{}|task-{}", client.connector, client.task);
        let calls = Calls::new(who.clone());
        let awake = calls.awake.clone();
        let mut inner: Inner = settings.client.create_with_context(calls).map_err(|error| {
            Error::fatal(format!("Kafka consumer for {} cannot start", settings.servers))
                .caused_by(error)
        })?;
        inner.set_nonempty_callback(move || awake.notify_one());
        Ok(Self {
            inner: Some(Arc::new(inner)),
            topics: Topics::new(subscription, settings.refresh, settings.internal_excluded),
            servers: settings.servers,
            group: settings.group,
            records_max: settings.records_max,
            reset: settings.reset,
            open: None,
            paused: BTreeSet::new(),
            failed: None,
            names: HashMap::new(),
            none: Arc::new([]),
            who,
        })
    }

    fn inner(&self) -> &Arc<Inner> {
        self.inner.as_ref().expect("closed only by close and drop, which end the consumer")
    }

    /// Takes what is in the queue, up to a change of partitions, an error, or a full poll.
    fn drain(&mut self) -> Result<Vec<Received>> {
        let inner = self.inner().clone();
        let calls = inner.context();
        let mut chunk = Chunk::default();
        let mut places = Vec::new();
        while places.len() < self.records_max && chunk.bytes.len() < POLL_BYTES {
            let seen = calls.count();
            match inner.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    chunk.records.push(self.encoded(&message, &mut chunk.bytes));
                    let timestamp_type = match message.timestamp() {
                        Timestamp::NotAvailable => TimestampType::NoTimestamp,
                        Timestamp::CreateTime(_) => TimestampType::CreateTime,
                        Timestamp::LogAppendTime(_) => TimestampType::LogAppendTime,
                    };
                    places.push((message.partition(), message.offset(), timestamp_type));
                }
                Some(Err(error)) => {
                    if let Some(fatal) = self.complaint(&error) {
                        self.failed = Some(fatal);
                        break;
                    }
                }
                // An event that was handed to `calls`; there may be more in the queue.
                None if calls.count() != seen => {}
                None => break,
            }
            if calls.waiting() {
                break;
            }
        }
        if places.is_empty() {
            return self.failed.take().map_or_else(|| Ok(Vec::new()), Err);
        }
        let chunk = Arc::new(chunk);
        let received = places.into_iter().enumerate().map(|(index, (partition, offset, kind))| {
            Received { chunk: chunk.clone(), index, partition, offset, timestamp_type: kind }
        });
        Ok(received.collect())
    }

    fn encoded(&mut self, message: &BorrowedMessage<'_>, out: &mut Vec<u8>) -> Encoded {
        let topic = match self.names.get(message.topic()) {
            Some(topic) => topic.clone(),
            None => {
                let topic: Arc<str> = message.topic().into();
                self.names.insert(topic.to_string(), topic.clone());
                topic
            }
        };
        let mut add = |part: Option<&[u8]>| {
            let start = out.len();
            part.map(|part| {
                out.extend_from_slice(part);
                start..out.len()
            })
        };
        let headers = match message.headers() {
            None => self.none.clone(),
            Some(headers) => {
                let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
                    (Arc::from(header.key), header.value.map(Bytes::copy_from_slice))
                };
                headers.iter().map(owned).collect()
            }
        };
        Encoded {
            topic,
            partition: Some(message.partition()),
            timestamp: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => Some(time),
            },
            key: add(message.key()),
            value: add(message.payload()),
            headers,
        }
    }

    /// What the client complains of: `Some` when it will not pass by itself, or when going on would
    /// pass records over.
    fn complaint(&mut self, error: &KafkaError) -> Option<Error> {
        use RDKafkaErrorCode as Code;
        let (code, fatal) = match error {
            KafkaError::MessageConsumption(code) => (*code, false),
            KafkaError::MessageConsumptionFatal(code) => (*code, true),
            _ => return None,
        };
        let hint = match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition => {
                self.topics.look_soon();
                return None;
            }
            Code::TopicAuthorizationFailed => "; let this client's user read the topics",
            Code::GroupAuthorizationFailed => "; let this client's user read the group",
            Code::AutoOffsetReset => {
                "; there is no offset to begin at, and consumer.override.auto.offset.reset is none"
            }
            Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::NotImplemented
            | Code::UnsupportedFeature
            | Code::UnsupportedCompressionType => {
                "; reading on would pass records over. Records compressed with zstd cannot be read \
                 by this version"
            }
            Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidGroupId
            | Code::InvalidSessionTimeout
            | Code::InconsistentGroupProtocol
            | Code::GroupMaxSizeReached
            | Code::Fatal => "",
            _ if fatal => "",
            // Connections come and go, coordinators move: librdkafka goes on by itself.
            _ => return None,
        };
        let reason = self.inner().context().last_error();
        let text = format!(
            "reading as a member of group {} from Kafka {} failed{hint}",
            self.group, self.servers
        );
        Some(Error::fatal(text).caused_by(reason.unwrap_or_else(|| error.to_string())))
    }

    /// Where partitions begin: at their committed offset, else where `auto.offset.reset` says. Asks
    /// until there is an answer.
    async fn positions(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let mut pause = PAUSE;
        loop {
            let inner = self.inner().clone();
            let (partitions, reset) = (partitions.to_vec(), self.reset);
            let asked = spawn_blocking(move || positions(&inner, &partitions, reset)).await;
            let error = match asked {
                Ok(Ok(offsets)) => return Ok(offsets),
                Ok(Err(error)) if error.kind() == Kind::Fatal => return Err(error),
                Ok(Err(error)) => error,
                Err(error) => Error::retriable("the question was cut short").caused_by(error),
            };
            tracing::warn!(
                "[{}] where group {} is to begin is not known yet: {}; trying again",
                self.who,
                self.group,
                error.trace()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn cooperative(&self) -> bool {
        matches!(self.inner().rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    /// Follows a look at the cluster's topics.
    fn looked(&mut self) -> Result<()> {
        let inner = self.inner().clone();
        let Some(wanted) = self.topics.subscription() else { return Ok(()) };
        if wanted.is_empty() {
            tracing::warn!("[{}] no topic matches topics.regex yet", self.who);
            inner.unsubscribe();
            return Ok(());
        }
        tracing::debug!("[{}] subscribes to {wanted:?}", self.who);
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        inner.subscribe(&names).map_err(|error| {
            Error::fatal(format!("group {} cannot subscribe to its topics", self.group))
                .caused_by(error)
        })
    }
}

/// Asks the brokers; blocks.
fn positions(
    inner: &Inner,
    partitions: &[TopicPartition],
    reset: Option<Offset>,
) -> Result<Offsets> {
    let asked = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
    let committed = inner
        .committed_offsets(asked, QUESTION)
        .map_err(|error| refused("the group's offsets were not read", &error))?;
    let mut offsets = Offsets::new();
    let mut fresh = Vec::new();
    for element in committed.elements() {
        element.error().map_err(|error| refused("the group's offsets were not read", &error))?;
        let place =
            TopicPartition { topic: element.topic().into(), partition: element.partition() };
        match element.offset() {
            Offset::Offset(offset) => {
                offsets.insert(place, offset);
            }
            _ => fresh.push(place),
        }
    }
    if fresh.is_empty() {
        return Ok(offsets);
    }
    let Some(reset) = reset else {
        let names: Vec<String> =
            fresh.iter().map(|place| format!("{}-{}", place.topic, place.partition)).collect();
        return Err(Error::fatal(format!(
            "Undefined offset with no reset policy for partitions: [{}]",
            names.join(", ")
        )));
    };
    let asked = list(fresh.iter().map(|place| (place, reset)))?;
    let bounds = inner
        .offsets_for_times(asked, QUESTION)
        .map_err(|error| refused("the bounds of partitions were not read", &error))?;
    for element in bounds.elements() {
        element
            .error()
            .map_err(|error| refused("the bounds of partitions were not read", &error))?;
        let Offset::Offset(offset) = element.offset() else {
            return Err(Error::retriable(format!(
                "the brokers did not tell the bounds of {}-{}",
                element.topic(),
                element.partition()
            )));
        };
        let place =
            TopicPartition { topic: element.topic().into(), partition: element.partition() };
        offsets.insert(place, offset);
    }
    Ok(offsets)
}

fn refused(what: &str, error: &KafkaError) -> Error {
    let fatal = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::FencedInstanceId
        )
    );
    let error = error.to_string();
    if fatal {
        Error::fatal(what).caused_by(error)
    } else {
        Error::retriable(what).caused_by(error)
    }
}

/// Partitions with offsets, as librdkafka takes them.
pub(super) fn list<'p>(
    partitions: impl Iterator<Item = (&'p TopicPartition, Offset)>,
) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in partitions {
        list.add_partition_offset(&place.topic, place.partition, offset).map_err(|error| {
            Error::fatal(format!(
                "offset {offset:?} of {}-{} is none that Kafka has",
                place.topic, place.partition
            ))
            .caused_by(error)
        })?;
    }
    Ok(list)
}

fn cannot(what: &str) -> impl FnOnce(KafkaError) -> Error {
    move |error| Error::fatal(format!("{what} failed")).caused_by(error)
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self) -> Result<Event> {
        loop {
            if let Some(change) = self.inner().context().take() {
                self.open = Some(change.clone());
                return Ok(match change {
                    Change::Assigned(partitions) => Event::Assigned(partitions),
                    Change::Revoked(partitions) => Event::Revoked(partitions),
                    Change::Lost(partitions) => Event::Lost(partitions),
                });
            }
            let received = self.drain()?;
            if !received.is_empty() {
                return Ok(Event::Records(received));
            }
            let inner = self.inner().clone();
            if inner.context().waiting() {
                continue;
            }
            tokio::select! {
                () = inner.context().awake.notified() => {}
                () = self.topics.look(&inner, &self.who) => self.looked()?,
                () = tokio::time::sleep(ASK_INTERVAL) => {}
            }
        }
    }

    async fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let offsets = self.positions(partitions).await?;
        let assignment =
            list(offsets.iter().map(|(place, offset)| (place, Offset::Offset(*offset))))?;
        let answered = match self.cooperative() {
            true => self.inner().incremental_assign(&assignment),
            false => self.inner().assign(&assignment),
        };
        answered.map_err(cannot("taking up partitions"))?;
        self.open = None;
        Ok(offsets)
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let gone = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
        // Whoever has them next, if it is this task, finds them as new ones are. What is fetched of
        // them in between is dropped.
        let paused: Vec<TopicPartition> =
            partitions.iter().filter(|place| self.paused.contains(place)).cloned().collect();
        if !paused.is_empty() {
            self.resume(&paused).await?;
        }
        let answered = match self.cooperative() {
            true => self.inner().incremental_unassign(&gone),
            false => self.inner().unassign(),
        };
        answered.map_err(cannot("letting go of partitions"))?;
        self.open = None;
        Ok(())
    }

    fn commit(&mut self, offsets: Offsets) -> BoxFuture<'static, Result<()>> {
        let inner = self.inner().clone();
        // Begun at once, so that commits arrive in the order in which they are made.
        let commit = spawn_blocking(move || {
            let wanted = offsets.iter().map(|(place, offset)| (place, Offset::Offset(*offset)));
            let committed = inner.commit(&list(wanted)?, CommitMode::Sync);
            committed.map_err(|error| refused("Kafka did not take the group's offsets", &error))
        });
        Box::pin(async move {
            commit.await.unwrap_or_else(|error| {
                Err(Error::retriable("the commit was cut short").caused_by(error))
            })
        })
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        let deadline = later(QUESTION);
        let mut wanted: Vec<(TopicPartition, i64)> =
            offsets.iter().map(|(place, offset)| (place.clone(), *offset)).collect();
        while !wanted.is_empty() {
            let asked = list(wanted.iter().map(|(place, at)| (place, Offset::Offset(*at))))?;
            let inner = self.inner().clone();
            let sought = spawn_blocking(move || inner.seek_partitions(asked, QUESTION)).await;
            let sought = sought
                .map_err(|error| Error::fatal("seeking was cut short").caused_by(error))?
                .map_err(cannot("continuing at other offsets"))?;
            let mut early = BTreeSet::new();
            for element in sought.elements() {
                match element.error() {
                    // A partition that was just taken up is not being fetched yet.
                    Err(error)
                        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State)
                            && Instant::now() < deadline =>
                    {
                        early.insert((element.topic().to_owned(), element.partition()));
                    }
                    answer => answer.map_err(cannot("continuing at another offset"))?,
                }
            }
            wanted.retain(|(place, _)| early.contains(&(place.topic.to_string(), place.partition)));
            if !wanted.is_empty() {
                tokio::time::sleep(PAUSE / 5).await;
            }
        }
        Ok(())
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let listed = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
        self.inner().pause(&listed).map_err(cannot("pausing partitions"))?;
        self.paused.extend(partitions.iter().cloned());
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let listed = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
        self.inner().resume(&listed).map_err(cannot("resuming partitions"))?;
        self.paused.retain(|place| !partitions.contains(place));
        Ok(())
    }

    async fn close(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            let open = self.open.take();
            let left = spawn_blocking(move || leave(inner, open)).await;
            if let Err(error) = left {
                tracing::warn!("[{}] leaving group {} failed: {error}", self.who, self.group);
            }
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let open = self.open.take();
            // Leaving a group blocks, which an async worker thread must not.
            std::thread::spawn(move || leave(inner, open));
        }
    }
}

/// Leaves the group and ends the client. From here on every change is answered at once: nothing is
/// read and nothing committed any more.
fn leave(inner: Arc<Inner>, open: Option<Change>) {
    let calls = inner.context().clone();
    calls.close();
    for change in open.into_iter().chain(std::iter::from_fn(|| calls.take())) {
        calls.answer(&inner, &change);
    }
    drop(inner);
}

/// When a thing is due, and the next time after it.
pub(super) fn later(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400))
}
