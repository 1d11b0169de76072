//! The Kafka transport, over librdkafka.

mod admin;
mod config;
mod consumer;
mod dead_letters;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod group_offsets;
mod jaas;
mod login;
mod producer;
mod security;
pub(crate) mod silence;
mod topics;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use model::{
    connector::{Props, TopicPartition},
    error::{Error, Result},
};
use rdkafka::{
    ClientContext,
    config::{ClientConfig, RDKafkaLogLevel},
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext},
    statistics::Statistics,
};

use crate::metrics::{ClientKind, ClientMetrics, Metrics, client::INTERVAL_MS};
use crate::runtime::{
    settings::DeadLetterQueue,
    subscription::Subscription,
    transport::{ChangeError, Client, Consumer, OffsetChange, Producer, Transport},
};

pub(crate) use config::{own_topic, refused_group_settings, refused_worker_settings};
pub(crate) use login::{Login, Mechanism};
pub(crate) use security::Protocol;
pub(crate) use topics::ConnectorTopics;

/// A Kafka cluster, as the worker's properties name it.
pub struct Kafka {
    worker: Arc<Props>,
    servers: String,
    /// Connects when it is first asked something, and again when the connection is lost.
    client: Arc<BaseProducer<Context>>,
    proven: producer::Proven,
}

impl Kafka {
    /// Checks the properties; connects later.
    pub fn new(worker: &Props) -> Result<Self> {
        let settings = config::worker(worker)?;
        let context = Context::new("worker".to_owned());
        let client: BaseProducer<Context> =
            settings.client.create_with_context(context).map_err(|error| {
                Error::fatal(format!("Kafka client for {} cannot start", settings.servers))
                    .caused_by(error)
            })?;
        Ok(Self {
            worker: Arc::new(worker.clone()),
            servers: settings.servers,
            client: Arc::new(client),
            proven: producer::Proven::default(),
        })
    }
}

#[async_trait]
impl Transport for Kafka {
    async fn producer(&self, client: &Client) -> Result<Box<dyn Producer>> {
        Ok(Box::new(producer::KafkaProducer::new(&self.worker, client, &self.proven)?))
    }

    fn claim(&self, _connector: &str, props: &Props) -> Result<()> {
        // Nothing is missed here: topics keep their records.
        Subscription::new(props).map(drop)
    }

    async fn consumer(&self, client: &Client) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(consumer::KafkaConsumer::new(&self.worker, client)?))
    }

    /// As in the JVM: the group stays, with its offsets, and a connector of the same name goes on
    /// there.
    fn forget(&self, _connector: &str) {}

    async fn dead_letters(
        &self,
        client: &Client,
        queue: &DeadLetterQueue,
    ) -> Result<Box<dyn Producer>> {
        Ok(Box::new(dead_letters::open(&self.worker, client, queue, &self.proven).await?))
    }

    async fn sink_offsets(
        &self,
        connector: &str,
        props: &Props,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        group_offsets::Group::new(&self.worker, connector, props)?.list().await
    }

    async fn change_sink_offsets(
        &self,
        connector: &str,
        props: &Props,
        change: OffsetChange<'_>,
    ) -> Result<(), ChangeError> {
        let group = group_offsets::Group::new(&self.worker, connector, props);
        group.map_err(ChangeError::Failed)?.change(change).await
    }

    fn refused_settings(&self, props: &Props) -> Vec<(String, String)> {
        config::refused_overrides(&self.worker, props)
    }

    async fn cluster_id(&self) -> Option<String> {
        self.ask(Duration::from_secs(1)).await
    }

    async fn check(&self, within: Duration) -> Result<()> {
        // The id comes with the first answer of any broker, whatever the user may see of topics.
        if self.ask(within).await.is_some() {
            return Ok(());
        }
        let context = self.client.context();
        let error = match context.refused() {
            Some(hint) => {
                Error::fatal(format!("Kafka at {} refused a client: {hint}", self.servers))
            }
            None => Error::retriable(format!(
                "Kafka at {} did not answer within {} s; check bootstrap.servers, the network and \
                 security.protocol",
                self.servers,
                within.as_secs()
            )),
        };
        Err(match context.last_error() {
            Some(last) => error.caused_by(last),
            None => error,
        })
    }
}

/// More events than come up between two questions do not matter: the newest errors repeat.
const EVENTS_MAX: usize = 16;

impl Kafka {
    /// The cluster's id.
    async fn ask(&self, within: Duration) -> Option<String> {
        let client = self.client.clone();
        // librdkafka blocks its caller.
        let answer = tokio::task::spawn_blocking(move || {
            // Any question makes the client connect; only one for a topic by name is cheap on a
            // large cluster, and this client creates no topics (`config::worker`).
            let begun = std::time::Instant::now();
            let asked = client.client().fetch_metadata(Some("__consumer_offsets"), within);
            let id = asked.ok().and_then(|_| {
                client.client().fetch_cluster_id(within.saturating_sub(begun.elapsed()))
            });
            // Hands the errors that have come up to the context, one a call.
            (0..EVENTS_MAX).for_each(|_| client.poll(Duration::ZERO));
            id
        });
        answer.await.ok().flatten()
    }
}

/// Sends what librdkafka says to the log, under the name of the task it works for.
pub(crate) struct Context {
    who: String,
    last_error: Mutex<Option<(Option<RDKafkaErrorCode>, String)>>,
    complaints: Complaints,
    /// Where its statistics go, if it is one of those that a worker shows.
    metrics: Option<Arc<ClientMetrics>>,
}

impl Context {
    pub(crate) fn new(who: String) -> Self {
        let (last_error, complaints) = (Mutex::new(None), Complaints::default());
        Self { who, last_error, complaints, metrics: None }
    }

    /// Of an admin client of a task, whose figures are shown while it is open.
    fn measured(who: String, config: &mut ClientConfig, metrics: &Metrics) -> Self {
        let metrics = Some(measure(config, ClientKind::Admin, metrics));
        Self { metrics, ..Self::new(who) }
    }

    /// What the client complained of last.
    pub(crate) fn last_error(&self) -> Option<String> {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(_, reason)| reason.clone())
    }

    /// What a person has to mend, where the last complaint was about TLS or the login.
    fn refused(&self) -> Option<&'static str> {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref()?.0? {
            RDKafkaErrorCode::Authentication => Some(
                "check the user and password in sasl.jaas.config, and sasl.mechanism; \
                 security.protocol has to be of the listener's type",
            ),
            RDKafkaErrorCode::SSL => Some(
                "check ssl.truststore.location (the authority that signed the broker's \
                 certificate), bootstrap.servers (a name that is in it), ssl.keystore.location \
                 (where brokers ask for a client's certificate), and that security.protocol is of \
                 the listener's type",
            ),
            _ => None,
        }
    }
}

/// Has a client tell its statistics, at an interval of its configuration's or ours, and says where.
fn measure(config: &mut ClientConfig, kind: ClientKind, metrics: &Metrics) -> Arc<ClientMetrics> {
    if config.get("statistics.interval.ms").is_none() {
        config.set("statistics.interval.ms", INTERVAL_MS);
    }
    metrics.client(kind, config.get("client.id").unwrap_or_default())
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        if let Some(metrics) = &self.metrics {
            metrics.update(statistics);
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.who, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // An end is no error: readers of whole topics ask to be told of it.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.complaints.log(&self.who, &error, reason);
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why one of them is.
        if last.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some((error.rdkafka_error_code(), reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// Logs a client's errors. While Kafka is away they repeat with each reconnect, several a second, so
/// each kind is logged at most every [`QUIET`].
#[derive(Default)]
struct Complaints(Mutex<BTreeMap<String, Instant>>);

const QUIET: Duration = Duration::from_secs(30);

impl Complaints {
    fn log(&self, who: &str, error: &KafkaError, reason: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| at.elapsed() < QUIET);
        if let Entry::Vacant(entry) = last.entry(error.to_string()) {
            entry.insert(Instant::now());
            tracing::warn!("[{who}] Kafka client: {error}: {reason}");
        }
    }
}

fn log(who: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // Failed connections come as errors too, see `Complaints`.
        _ if matches!(facility, "FAIL" | "ERROR") => {
            tracing::debug!("[{who}] Kafka client: {facility}: {message}");
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!("[{who}] Kafka client: {facility}: {message}"),
        RDKafkaLogLevel::Warning => tracing::warn!("[{who}] Kafka client: {facility}: {message}"),
        // Connection chatter; `error` and `warning` carry what needs a person.
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!("[{who}] Kafka client: {facility}: {message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(servers: &str) -> Kafka {
        Kafka::new(&Props::from([("bootstrap.servers".to_owned(), servers.to_owned())])).unwrap()
    }

    /// Nothing listens on port 1.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_unreachable_kafka_is_named() {
        let kafka = kafka("127.0.0.1:1");
        let error = kafka.check(Duration::from_secs(1)).await.unwrap_err();
        let trace = error.trace();
        assert!(
            trace.starts_with("Kafka at 127.0.0.1:1 did not answer within 1 s; check"),
            "{trace}"
        );
        assert!(trace.contains("Connection refused"), "{trace}");
        assert_eq!(kafka.cluster_id().await, None);
    }
}
