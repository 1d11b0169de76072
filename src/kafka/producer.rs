//! The producer of a source task.
//!
//! librdkafka's queue is the only buffer between the encoder and the network, bounded by
//! `buffer.memory`; when it is full, [`KafkaProducer::send`] waits. A delivery report only counts
//! down the record's ticket, so nothing is kept per record on our side.

mod reports;

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    connector::Props,
    error::{Error, Kind, Result},
};
use rdkafka::{
    config::ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
    types::RDKafkaRespErr,
};
use tokio::time::Instant;

use self::reports::{Reports, lost};
use super::{admin::Topics, config};
use crate::{
    metrics::{ClientKind, ClientMetrics, Metrics, TaskMetrics},
    runtime::transport::{Chunk, Client, EncodedHeaders, Producer, Ticket},
};

/// How long to wait when the queue is full. It holds many times what is sent in this time, so the
/// network never runs dry.
const FULL_WAIT: Duration = Duration::from_millis(2);

/// How long a topic that does not exist is waited for, unless `max.block.ms` is less. A broker
/// creates topics by itself within a second or so, or never.
const TOPIC_WAIT: Duration = Duration::from_secs(15);

type Inner = ThreadedProducer<Reports>;

/// Some threads and a connection per broker, so it is opened for the first record: many tasks are
/// idle.
pub(super) struct KafkaProducer {
    /// `None` before the first record, and once closed.
    inner: Option<Arc<Inner>>,
    client: ClientConfig,
    metrics: Arc<ClientMetrics>,
    /// Whose task learns of records that stay.
    task: Option<Arc<TaskMetrics>>,
    servers: String,
    topic_wait: Duration,
    creation: Topics,
    /// Topics that are known to exist.
    known: HashSet<Arc<str>>,
    /// By the address of the encoded headers, which the entry keeps alive.
    headers: HashMap<usize, (EncodedHeaders, OwnedHeaders)>,
    who: String,
}

/// Distinct headers kept ready. A task has one set, and one more per key change.
const HEADERS_MAX: usize = 64;

impl KafkaProducer {
    pub(super) fn new(worker: &Props, client: &Client, proven: &Proven) -> Result<Self> {
        let settings = config::producer(worker, &client.connector, client.task, &client.props)?;
        let who = format!("{}|task-{}", client.connector, client.task);
        let mut producer = Self::over(settings, who, &client.metrics, proven)?;
        producer.creation = Topics::new(worker, client)?;
        producer.task = client.metrics.find(&client.connector, client.task);
        Ok(producer)
    }

    /// A producer that creates no topics.
    pub(super) fn over(
        mut settings: config::Settings,
        who: String,
        metrics: &Metrics,
        proven: &Proven,
    ) -> Result<Self> {
        let metrics = super::measure(&mut settings.client, ClientKind::Producer, metrics);
        let mut producer = Self {
            inner: None,
            client: settings.client,
            metrics,
            task: None,
            servers: settings.servers,
            topic_wait: settings.block_max.min(TOPIC_WAIT),
            creation: Topics::none(),
            known: HashSet::new(),
            headers: HashMap::new(),
            who,
        };
        if !proven.knows(&producer.client) {
            producer.open()?;
            proven.learn(&producer.client);
        }
        Ok(producer)
    }

    /// The client, opened by now at the latest.
    fn open(&mut self) -> Result<Arc<Inner>> {
        if let Some(inner) = &self.inner {
            return Ok(inner.clone());
        }
        let reports = Reports::new(self.who.clone(), self.metrics.clone(), self.task.clone());
        let inner: Inner = self.client.create_with_context(reports).map_err(|error| {
            Error::fatal(format!("Kafka producer for {} cannot start", self.servers))
                .caused_by(error)
        })?;
        Ok(self.inner.insert(Arc::new(inner)).clone())
    }

    /// Makes sure that the topic exists, so that a record for a topic that nobody creates ends in an
    /// error and not in silence.
    async fn prepare(&self, inner: &Arc<Inner>, topic: &str) -> Result<()> {
        let mut wait = Duration::from_millis(50);
        loop {
            match self.creation.create(topic).await {
                Ok(()) => break,
                Err(error) if error.kind() == Kind::Retriable => {
                    tracing::warn!("[{}] {}; trying again", self.who, error.trace());
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
        let deadline = Instant::now() + self.topic_wait;
        let mut wait = Duration::from_millis(20);
        loop {
            match self.look_up(inner, topic).await {
                Ok(()) => return Ok(()),
                Err(Missing::Fatal(error)) => return Err(error),
                Err(Missing::Topic) if Instant::now() >= deadline => return Err(self.absent(topic)),
                Err(Missing::Topic) => {}
                Err(Missing::Kafka(error)) => tracing::warn!(
                    "[{}] Kafka at {} does not tell of topic {topic}: {error}; trying again",
                    self.who,
                    self.servers
                ),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    /// Asks for the topic by name, which also makes a broker create it that does so by itself.
    async fn look_up(&self, inner: &Arc<Inner>, topic: &str) -> Result<(), Missing> {
        let producer = inner.clone();
        let name = topic.to_owned();
        let answer = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(Some(&name), Duration::from_secs(5))?;
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            Ok(match found {
                None => Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART),
                Some(found) if found.error().is_some() => found.error(),
                Some(found) if found.partitions().is_empty() => {
                    Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
                }
                Some(_) => None,
            })
        });
        let code = match answer.await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(code))) => RDKafkaErrorCode::from(code),
            Ok(Err(KafkaError::MetadataFetch(code))) => code,
            Ok(Err(error)) => return Err(Missing::Kafka(error.to_string())),
            Err(error) => return Err(Missing::Kafka(error.to_string())),
        };
        Err(match code {
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::LeaderNotAvailable => Missing::Topic,
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic => Missing::Fatal(
                Error::fatal(format!("topic {topic} on Kafka {} cannot be used", self.servers))
                    .caused_by(code),
            ),
            code => Missing::Kafka(code.to_string()),
        })
    }

    fn absent(&self, topic: &str) -> Error {
        Error::fatal(format!(
            "topic {topic} does not exist on Kafka {}, and the broker does not create it by itself \
             (auto.create.topics.enable); create it, or let the connector do so with \
             topic.creation.default.replication.factor and topic.creation.default.partitions",
            self.servers
        ))
    }

    fn headers(&mut self, encoded: &EncodedHeaders) -> Option<OwnedHeaders> {
        if encoded.is_empty() {
            return None;
        }
        let address = Arc::as_ptr(encoded).cast::<()>() as usize;
        if let Some((_, headers)) = self.headers.get(&address) {
            return Some(headers.clone());
        }
        let empty = OwnedHeaders::new_with_capacity(encoded.len());
        let headers = encoded.iter().fold(empty, |headers, (name, value)| {
            headers.insert(Header { key: name, value: value.as_deref() })
        });
        if self.headers.len() >= HEADERS_MAX {
            self.headers.clear();
        }
        self.headers.insert(address, (encoded.clone(), headers.clone()));
        Some(headers)
    }
}

/// The settings with which a producer of this worker has started.
///
/// Some are wrong only together, or name a file that cannot be read, which librdkafka says when a
/// client starts. So the first producer of each kind is opened with its task, and fails it then.
#[derive(Default)]
pub(super) struct Proven(Mutex<HashSet<u64>>);

/// Kinds remembered; beyond them each producer is opened with its task.
const PROVEN_MAX: usize = 4_096;

impl Proven {
    fn knows(&self, client: &ClientConfig) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Self::kind(client))
    }

    fn learn(&self, client: &ClientConfig) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < PROVEN_MAX {
            known.insert(Self::kind(client));
        }
    }

    /// Whatever else it says, the id is the client's own.
    fn kind(client: &ClientConfig) -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in client.config_map().iter().filter(|(key, _)| **key != "client.id") {
            entry.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Why a topic cannot be written to just now.
enum Missing {
    Topic,
    Kafka(String),
    Fatal(Error),
}

#[async_trait]
impl Producer for KafkaProducer {
    async fn send(&mut self, chunk: Chunk, ticket: &Arc<Ticket>) -> Result<Chunk> {
        let inner = self.open()?;
        let mut last: Option<&Arc<str>> = None;
        for record in &chunk.records {
            if last.is_none_or(|last| !Arc::ptr_eq(last, &record.topic)) {
                if !self.known.contains(&record.topic) {
                    self.prepare(&inner, &record.topic).await?;
                    self.known.insert(record.topic.clone());
                }
                last = Some(&record.topic);
            }
            let headers = self.headers(&record.headers);
            let mut message = BaseRecord {
                topic: &record.topic,
                partition: record.partition,
                payload: chunk.slice(record.value.as_ref()),
                key: chunk.slice(record.key.as_ref()),
                timestamp: record.timestamp,
                headers,
                delivery_opaque: ticket.clone(),
            };
            // A message that an empty queue has no room for never fits.
            let mut empty = false;
            loop {
                match inner.send(message) {
                    Ok(()) => break,
                    Err((error, unsent)) => {
                        let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                        if !full || empty {
                            let size = [unsent.key, unsent.payload]
                                .map(|part| part.map_or(0, <[u8]>::len));
                            ticket.failed(&record.topic, lost(&record.topic, size, error));
                            break;
                        }
                        message = unsent;
                    }
                }
                tokio::time::sleep(FULL_WAIT).await;
                empty = inner.in_flight_count() == 0;
            }
        }
        Ok(chunk)
    }

    async fn close(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            // Dropping waits for the polling thread.
            let closed = tokio::task::spawn_blocking(move || drop(inner)).await;
            if let Err(error) = closed {
                tracing::warn!("[{}] closing the producer failed: {error}", self.who);
            }
        }
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // Dropping waits for the polling thread, which an async worker thread must not.
            std::thread::spawn(move || drop(inner));
        }
    }
}
