//! The offsets that a sink connector has committed: its consumer group's.
//!
//! Read and set through a consumer of the group that joins nothing, deleted with the group through
//! an admin client. librdkafka cannot forget single partitions; that request is made here, to the
//! group's coordinator.

use std::{sync::Arc, time::Duration};

use kafka_protocol::{
    ResponseError,
    messages::{
        GroupId, OffsetDeleteRequest, TopicName,
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    },
    protocol::StrBytes,
};
use model::{
    connector::{Props, TopicPartition},
    error::{Error, Result},
    java,
};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::spawn_blocking;

use super::{Context, config};
use crate::{
    group::{Security, connection::Connection, coordinator_of},
    runtime::transport::{ChangeError, OffsetChange},
};

/// How long the brokers may take for an answer. A request to the REST API has 90 s in all.
const QUESTION: Duration = Duration::from_secs(20);

/// The consumer group of one sink connector.
pub(super) struct Group {
    connector: String,
    name: String,
    servers: String,
    /// A member of nothing: it asks for offsets and commits as one who does without the group.
    client: Arc<BaseConsumer<Context>>,
    worker: Arc<Props>,
    props: Props,
}

impl Group {
    pub(super) fn new(worker: &Arc<Props>, connector: &str, props: &Props) -> Result<Self> {
        let settings = config::consumer(worker, connector, 0, props)?;
        let mut client = settings.client;
        client.set("client.id", admin_name(connector));
        let client = client.create_with_context(Context::new(format!("{connector}|worker")));
        let client = client.map_err(|error| {
            Error::fatal(format!("Kafka client for {} cannot start", settings.servers))
                .caused_by(error)
        })?;
        Ok(Self {
            connector: connector.to_owned(),
            name: settings.group,
            servers: settings.servers,
            client: Arc::new(client),
            worker: worker.clone(),
            props: props.clone(),
        })
    }

    /// What is committed. There is no request for all offsets in librdkafka, so it is asked for
    /// those of all partitions there are; a broker forgets the offsets of a topic with the topic.
    pub(super) async fn list(&self) -> Result<Vec<(TopicPartition, i64)>> {
        let asked = self.ask(|client| {
            let mut asked = TopicPartitionList::new();
            for topic in client.fetch_metadata(None, QUESTION)?.topics() {
                for partition in topic.partitions() {
                    asked.add_partition(topic.name(), partition.id());
                }
            }
            if asked.count() == 0 {
                return Ok(Vec::new());
            }
            let committed = client.committed_offsets(asked, QUESTION)?;
            let mut found = Vec::new();
            for element in committed.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    let topic = element.topic().into();
                    found.push((TopicPartition { topic, partition: element.partition() }, offset));
                }
            }
            Ok(found)
        });
        let listed = asked.await.map_err(|error| {
            Error::retriable(format!(
                "Failed to retrieve consumer group offsets for sink connector {}",
                self.connector
            ))
            .caused_by(error)
        })?;
        Ok(in_java_order(listed))
    }

    pub(super) async fn change(&self, change: OffsetChange<'_>) -> Result<(), ChangeError> {
        let OffsetChange::Alter(offsets) = change else { return self.reset().await };
        let place = |place: &TopicPartition| place.clone();
        let set: Vec<(TopicPartition, i64)> =
            offsets.iter().filter_map(|(key, offset)| Some((place(key), (*offset)?))).collect();
        let forget: Vec<TopicPartition> = offsets
            .iter()
            .filter(|(_, offset)| offset.is_none())
            .map(|(key, _)| place(key))
            .collect();
        if !set.is_empty() {
            self.set(set).await?;
        }
        if !forget.is_empty() {
            self.forget(forget).await?;
        }
        Ok(())
    }

    async fn set(&self, offsets: Vec<(TopicPartition, i64)>) -> Result<(), ChangeError> {
        let committed = self.ask(move |client| {
            let mut list = TopicPartitionList::new();
            for (place, offset) in &offsets {
                let offset = Offset::Offset(*offset);
                list.add_partition_offset(&place.topic, place.partition, offset)?;
            }
            client.commit(&list, CommitMode::Sync)
        });
        committed.await.map_err(|error| {
            // What a group with members says to one who is none.
            let in_use = matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::UnknownMemberId
                        | RDKafkaErrorCode::IllegalGeneration
                        | RDKafkaErrorCode::RebalanceInProgress
                )
            );
            self.failed("alter", in_use, error.to_string())
        })
    }

    async fn forget(&self, partitions: Vec<TopicPartition>) -> Result<(), ChangeError> {
        let failed = |error: Error| ChangeError::Failed(self.told("alter").caused_by(error));
        let codes = self.delete_offsets(&partitions).await.map_err(failed)?;
        for code in codes {
            match ResponseError::try_from_code(code) {
                None if code == 0 => {}
                // A group or a topic that is not there is an error too, as on the JVM.
                Some(error) => {
                    let in_use = error == ResponseError::GroupSubscribedToTopic;
                    return Err(self.failed("alter", in_use, error.to_string()));
                }
                None => return Err(self.failed("alter", false, format!("error {code}"))),
            }
        }
        Ok(())
    }

    /// The error codes of the answer.
    async fn delete_offsets(&self, partitions: &[TopicPartition]) -> Result<Vec<i16>> {
        let coordinator = self.coordinator().await?;
        let mut topics: Vec<OffsetDeleteRequestTopic> = Vec::new();
        for place in partitions {
            let name = TopicName(StrBytes::from_string(place.topic.to_string()));
            let partition =
                OffsetDeleteRequestPartition::default().with_partition_index(place.partition);
            match topics.iter_mut().find(|topic| topic.name == name) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(
                    OffsetDeleteRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![partition]),
                ),
            }
        }
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(self.name.clone())))
            .with_topics(topics);
        let answer = coordinator.call(&request, QUESTION).await?;
        let of_partitions = answer
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| partition.error_code));
        Ok([answer.error_code].into_iter().chain(of_partitions).collect())
    }

    /// A connection to the group's coordinator, by the first broker that answers.
    async fn coordinator(&self) -> Result<Connection> {
        let client_id = admin_name(&self.connector);
        let security = Security::read(&config::connector_admin_keys(&self.worker, &self.props))?;
        let mut failure = None;
        for address in self.servers.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match self.coordinator_by(address, &client_id, &security).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::fatal("bootstrap.servers names no broker")))
    }

    async fn coordinator_by(
        &self,
        address: &str,
        client_id: &str,
        security: &Security,
    ) -> Result<Connection> {
        let found = coordinator_of(&self.name, address, client_id, security, QUESTION).await?;
        Connection::open(&found, client_id, security, QUESTION).await
    }

    /// Deletes the group, and with it all its offsets.
    async fn reset(&self) -> Result<(), ChangeError> {
        let failed = |error: Error| ChangeError::Failed(self.told("reset").caused_by(error));
        let settings =
            config::connector_admin(&self.worker, admin_name(&self.connector), &self.props)
                .map_err(failed)?;
        let context = Context::new(format!("{}|worker", self.connector));
        let admin: AdminClient<Context> = settings
            .client
            .create_with_context(context)
            .map_err(|error| failed(Error::fatal("the client cannot start").caused_by(error)))?;
        let options =
            AdminOptions::new().request_timeout(Some(QUESTION)).operation_timeout(Some(QUESTION));
        let answer = admin.delete_groups(&[&self.name], &options).await;
        let results = answer.map_err(|error| self.failed("reset", false, error.to_string()))?;
        for result in results {
            match result {
                // A group that is not there has no offsets.
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((_, code)) => {
                    let in_use = code == RDKafkaErrorCode::NonEmptyGroup;
                    return Err(self.failed("reset", in_use, code.to_string()));
                }
            }
        }
        Ok(())
    }

    fn failed(&self, verb: &str, in_use: bool, fact: String) -> ChangeError {
        if !in_use {
            return ChangeError::Failed(self.told(verb).caused_by(fact));
        }
        ChangeError::InUse(
            Error::retriable(format!(
                "Failed to {verb} consumer group offsets for connector {} either because its tasks \
                 haven't stopped completely yet or the connector was resumed before the request to \
                 {verb} its offsets could be successfully completed. If the connector is in a \
                 stopped state, this operation can be safely retried. If it doesn't eventually \
                 succeed, the Connect cluster may need to be restarted to get rid of the zombie \
                 sink tasks.",
                self.connector
            ))
            .caused_by(fact),
        )
    }

    fn told(&self, verb: &str) -> Error {
        let connector = &self.connector;
        let kind = if verb == "reset" { "sink connector" } else { "connector" };
        Error::retriable(format!("Failed to {verb} consumer group offsets for {kind} {connector}"))
    }

    /// Asks the brokers, which blocks.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&BaseConsumer<Context>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let client = self.client.clone();
        let asked = spawn_blocking(move || ask(&client)).await;
        asked.unwrap_or_else(|error| Err(KafkaError::ClientCreation(error.to_string())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let client = self.client.clone();
        // Ending a consumer blocks. It has joined nothing, so that nothing depends on when.
        std::thread::spawn(move || drop(client));
    }
}

fn admin_name(connector: &str) -> String {
    format!("connector-worker-adminclient-{connector}")
}

/// The order in which a `java.util.HashMap` with these partitions as keys is iterated.
fn in_java_order(offsets: Vec<(TopicPartition, i64)>) -> Vec<(TopicPartition, i64)> {
    let buckets = java::buckets(offsets.len());
    java::in_hash_order(offsets, buckets, |(place, _)| {
        let partition = 31i32.wrapping_add(place.partition);
        partition.wrapping_mul(31).wrapping_add(java::string_hash(&place.topic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `new HashMap` with these `TopicPartition`s prints them on a JVM.
    #[test]
    fn the_order_of_a_hash_map() {
        for (topic, answer) in [("t", [5, 4, 3, 2, 1, 0]), ("orders", [0, 1, 2, 3, 4, 5])] {
            let place = |partition| TopicPartition { topic: topic.into(), partition };
            let listed = (0..6).map(|partition| (place(partition), 0)).collect();
            let order: Vec<i32> =
                in_java_order(listed).into_iter().map(|(place, _)| place.partition).collect();
            assert_eq!(order, answer, "{topic}");
        }
    }
}
