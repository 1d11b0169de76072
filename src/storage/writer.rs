//! Writes records to a topic, through a client that is replaced when it has lost hold of a partition,
//! see [`crate::kafka::silence`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::{ClientConfig, RDKafkaLogLevel},
    error::KafkaError,
    producer::{
        BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
    },
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use crate::kafka::{Context, silence::LOOK};

/// What Java's `request.timeout.ms` is by default, and librdkafka's: so long a leader may wait for
/// its followers.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Tells that a record was stored, or why it was not. Its end without a word is the client's.
pub(super) type Delivery = oneshot::Receiver<Result<(), KafkaError>>;

type Client = ThreadedProducer<Reports>;

/// The way into a topic.
pub(super) struct Writer {
    topic: String,
    who: String,
    config: ClientConfig,
    /// How old a record may become while the brokers answer.
    age_max: Duration,
    current: Mutex<Arc<Client>>,
    replacing: AtomicBool,
}

impl Writer {
    pub(super) fn new(topic: &str, who: String, config: ClientConfig) -> Result<Self, KafkaError> {
        let request = config.get("request.timeout.ms").and_then(|text| text.parse().ok());
        let request = request.map_or(REQUEST_MAX, Duration::from_millis).max(REQUEST_MAX);
        let current = Mutex::new(Arc::new(open(&config, &who)?));
        Ok(Self {
            topic: topic.to_owned(),
            who,
            config,
            age_max: request + LOOK,
            current,
            replacing: AtomicBool::new(false),
        })
    }

    /// Hands a record to the client, which sends it after all that were handed over before.
    pub(super) fn enqueue(&self, key: &[u8], value: Option<&[u8]>) -> Result<Delivery, KafkaError> {
        let (answer, delivery) = oneshot::channel();
        // Under the lock, so that records are numbered in their order, and none comes to a client
        // that has been given up.
        let current = self.current();
        let number = current.context().begin();
        let opaque = Box::new(Opaque { number, answer });
        let mut record =
            BaseRecord::<'_, [u8], [u8], Box<Opaque>>::with_opaque_to(&self.topic, opaque).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        current.send(record).map_err(|(error, _)| {
            current.context().end(number);
            error
        })?;
        Ok(delivery)
    }

    /// Waits until what has been handed over is sent. `false` when the time is up before, or when it
    /// was given up.
    pub(super) async fn flush(&self, within: Duration) -> bool {
        let client = self.current().clone();
        let flushing = client.clone();
        // librdkafka blocks its caller.
        let flushed = spawn_blocking(move || flushing.flush(within)).await;
        matches!(flushed, Ok(Ok(()))) && Arc::ptr_eq(&client, &self.current())
    }

    /// Called from time to time while the brokers answer for every partition. A client whose oldest
    /// record is too old is replaced; the writers of its records learn that they may not have
    /// arrived.
    pub(super) fn look(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        let client = self.current().clone();
        let age = client.context().oldest()?.elapsed();
        if age < self.age_max || self.replacing.swap(true, Ordering::SeqCst) {
            return None;
        }
        tracing::warn!(
            "topic {}: a record has not been stored for {} s although the brokers answer; all that \
             wait are given up, and a new Kafka client is opened",
            self.topic,
            age.as_secs()
        );
        let writer = self.clone();
        // Opening one reads files, letting one go waits for its thread.
        Some(spawn_blocking(move || writer.replace(client)))
    }

    fn replace(&self, old: Arc<Client>) {
        match open(&self.config, &self.who) {
            Ok(next) => {
                *self.current() = Arc::new(next);
                old.purge(PurgeConfig::default().queue().inflight());
            }
            Err(error) => {
                tracing::error!("topic {}: the client cannot be opened: {error}", self.topic);
            }
        }
        self.replacing.store(false, Ordering::SeqCst);
        drop(old);
    }

    fn current(&self) -> MutexGuard<'_, Arc<Client>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(config: &ClientConfig, who: &str) -> Result<Client, KafkaError> {
    config.create_with_context(Reports {
        context: Context::new(who.to_owned()),
        waiting: Mutex::default(),
    })
}

/// Hears what becomes of the records.
struct Reports {
    context: Context,
    waiting: Mutex<Waiting>,
}

/// The records that a client has, by number, and since when.
#[derive(Default)]
struct Waiting {
    last: u64,
    since: BTreeMap<u64, Instant>,
}

struct Opaque {
    number: u64,
    answer: oneshot::Sender<Result<(), KafkaError>>,
}

impl Reports {
    fn begin(&self) -> u64 {
        let mut waiting = self.waiting();
        waiting.last += 1;
        let number = waiting.last;
        waiting.since.insert(number, Instant::now());
        number
    }

    fn end(&self, number: u64) {
        self.waiting().since.remove(&number);
    }

    fn oldest(&self) -> Option<Instant> {
        self.waiting().since.first_key_value().map(|(_, since)| *since)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Opaque>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Box<Opaque>) {
        let Opaque { number, answer } = *opaque;
        self.end(number);
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits any more, if it is not taken.
        let _taken = answer.send(result);
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    fn writer(servers: &str, age_max: Duration) -> Arc<Writer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers);
        let writer = Writer::new("t", "w".into(), config).expect("a client");
        Arc::new(Writer { age_max, ..writer })
    }

    /// Whoever waits for a record that is given up is told so, and the next one finds a client.
    #[tokio::test]
    async fn a_client_that_keeps_its_records_is_replaced() {
        let writer = writer("127.0.0.1:1", Duration::from_millis(50));
        assert!(writer.look().is_none(), "nothing waits");
        let first = writer.current().clone();
        let kept = writer.enqueue(b"k", None).expect("room");
        assert!(writer.look().is_none(), "it is new");
        tokio::time::sleep(Duration::from_millis(60)).await;
        writer.look().expect("it is too old").await.expect("a new client");
        let error = kept.await.expect("an answer").expect_err("nobody is there to take it");
        assert!(error.to_string().contains("Purge"), "{error}");
        assert!(!Arc::ptr_eq(&first, &writer.current()));
        writer.enqueue(b"k", None).expect("room in the new one");
        assert!(writer.look().is_none(), "its records are new");
    }

    /// Records that are stored leave no trace, in whatever number; `flush` waits for them.
    #[tokio::test]
    async fn records_that_are_stored() {
        let cluster = MockCluster::new(1).expect("brokers");
        cluster.create_topic("t", 3, 1).expect("a topic");
        let writer = writer(&cluster.bootstrap_servers(), Duration::ZERO);
        let deliveries: Vec<Delivery> =
            (0..30_u8).map(|number| writer.enqueue(&[number], Some(b"v")).expect("room")).collect();
        assert!(writer.flush(Duration::from_secs(20)).await);
        for delivery in deliveries {
            delivery.await.expect("an answer").expect("it is stored");
        }
        assert!(writer.look().is_none(), "nothing waits");
    }
}
