//! The Kafka transport, over librdkafka.

mod admin;
mod config;
mod producer;
mod security;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext},
};

use crate::runtime::transport::{Client, Consumer, Producer, Transport};

/// A Kafka cluster, as the worker's properties name it.
pub struct Kafka {
    worker: Arc<Props>,
    servers: String,
    /// Connects when it is first asked something, and again when the connection is lost.
    client: Arc<BaseProducer<Context>>,
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
        })
    }
}

#[async_trait]
impl Transport for Kafka {
    async fn producer(&self, client: &Client) -> Result<Box<dyn Producer>> {
        Ok(Box::new(producer::KafkaProducer::new(&self.worker, client)?))
    }

    fn claim(&self, _connector: &str, _props: &Props) -> Result<()> {
        Ok(())
    }

    async fn consumer(&self, client: &Client) -> Result<Box<dyn Consumer>> {
        let reason = self.refuses_sinks().unwrap_or_default();
        Err(Error::fatal(format!("sink connector {} cannot run: {reason}", client.connector)))
    }

    fn forget(&self, _connector: &str) {}

    fn refuses_sinks(&self) -> Option<String> {
        Some(
            "sink connectors need the in-process transport in this version; use a standalone \
             worker whose properties do not set bootstrap.servers"
                .to_owned(),
        )
    }

    async fn cluster_id(&self) -> Option<String> {
        self.ask(Duration::from_secs(1)).await
    }

    async fn check(&self, within: Duration) -> Result<()> {
        // The id comes with the first answer of any broker, whatever the user may see of topics.
        if self.ask(within).await.is_some() {
            return Ok(());
        }
        let error = Error::retriable(format!(
            "Kafka at {} did not answer within {} s; check bootstrap.servers, the network and \
             security.protocol",
            self.servers,
            within.as_secs()
        ));
        Err(match self.client.context().last_error() {
            Some(last) => error.caused_by(last),
            None => error,
        })
    }
}

impl Kafka {
    /// The cluster's id.
    async fn ask(&self, within: Duration) -> Option<String> {
        let client = self.client.clone();
        // librdkafka blocks its caller.
        let answer = tokio::task::spawn_blocking(move || {
            let id = client.client().fetch_cluster_id(within);
            // Hands the errors that have come up to the context.
            client.poll(Duration::ZERO);
            id
        });
        answer.await.ok().flatten()
    }
}

/// Sends what librdkafka says to the log, under the name of the task it works for.
pub(crate) struct Context {
    who: String,
    last_error: Mutex<Option<String>>,
}

impl Context {
    fn new(who: String) -> Self {
        Self { who, last_error: Mutex::new(None) }
    }

    /// What the client complained of last.
    fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.who, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("[{}] Kafka client: {error}: {reason}", self.who);
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why one of them is.
        if last.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

fn log(who: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
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
