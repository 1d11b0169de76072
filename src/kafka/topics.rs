//! Topics that connectors read and write themselves, with settings of their own: see
//! [`model::topics`]. The worker's Kafka need not be theirs, and the worker need not have one.

mod reader;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use model::{
    error::{Error, Result},
    topics::{NewTopic, Topic, TopicReader, TopicWriter, Topics},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic as Wanted, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

use super::{Context, config};

/// For one task.
pub(crate) struct ConnectorTopics {
    who: String,
}

impl ConnectorTopics {
    pub(crate) fn new(connector: &str, task: usize) -> Self {
        Self { who: format!("{connector}|task-{task}") }
    }
}

#[async_trait]
impl Topics for ConnectorTopics {
    fn reader(&self, topic: &Topic) -> Result<Box<dyn TopicReader>> {
        Ok(Box::new(reader::Reader::new(topic, self.who.clone())?))
    }

    fn writer(&self, topic: &Topic) -> Result<Box<dyn TopicWriter>> {
        let settings = config::topic_producer(topic)?;
        let client: FutureProducer<Context> = settings
            .client
            .create_with_context(Context::new(self.who.clone()))
            .map_err(|error| cannot_start(&settings.servers, error))?;
        Ok(Box::new(Writer {
            topic: topic.name.clone(),
            partition: topic.partition,
            servers: settings.servers,
            client,
        }))
    }

    async fn create(&self, topic: &Topic, wanted: &NewTopic, within: Duration) -> Result<bool> {
        let settings = config::topic_admin(topic)?;
        let admin: AdminClient<Context> = settings
            .client
            .create_with_context(Context::new(self.who.clone()))
            .map_err(|error| cannot_start(&settings.servers, error))?;
        let replication = TopicReplication::Fixed(wanted.replication.unwrap_or(-1));
        let mut asked = Wanted::new(&topic.name, wanted.partitions, replication);
        for (key, value) in &wanted.configs {
            asked = asked.set(key, value);
        }
        let options =
            AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let what = format!("create topic {} on Kafka {}", topic.name, settings.servers);
        let answer = admin.create_topics([&asked], &options).await.map_err(|error| {
            let hint = admin.inner().context().refused().unwrap_or("check the addresses");
            Error::retriable(format!("{what}: {hint}")).caused_by(error)
        })?;
        match answer.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((
                _,
                code @ (Code::RequestTimedOut
                | Code::NotController
                | Code::OperationTimedOut
                | Code::ThrottlingQuotaExceeded),
            ))) => Err(Error::retriable(what).caused_by(code)),
            Some(Err((_, code))) => Err(Error::fatal(format!(
                "{what}; create it by hand with {} partitions and {:?}, or give the user the right to",
                wanted.partitions, wanted.configs
            ))
            .caused_by(code)),
            None => Err(Error::retriable(format!("{what}: the broker did not say"))),
        }
    }
}

pub(super) fn cannot_start(servers: &str, error: KafkaError) -> Error {
    Error::fatal(format!("Kafka client for {servers} cannot start")).caused_by(error)
}

struct Writer {
    topic: String,
    partition: i32,
    servers: String,
    client: FutureProducer<Context>,
}

#[async_trait]
impl TopicWriter for Writer {
    async fn append(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        within: Duration,
    ) -> Result<i64> {
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&self.topic).partition(self.partition);
        (record.key, record.payload) = (key, value);
        let what = || format!("write to topic {} on Kafka {}", self.topic, self.servers);
        let sent = tokio::time::timeout(within, self.client.send(record, Timeout::After(within)));
        match sent.await {
            Ok(Ok(delivery)) => Ok(delivery.offset),
            Ok(Err((error, _))) => Err(Error::retriable(what()).caused_by(error)),
            // What the client complains of is in the log.
            Err(_) => Err(Error::retriable(format!(
                "{} within {within:?}: check the addresses, the network and security.protocol",
                what()
            ))),
        }
    }
}
