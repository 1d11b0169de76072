//! The topic of a sink's dead letters, and the way there.

use std::time::Duration;

use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
};

use super::{
    Context, config,
    producer::{KafkaProducer, Proven},
};
use crate::runtime::{settings::DeadLetterQueue, transport::Client};

/// How long the brokers may take for an answer.
const QUESTION: Duration = Duration::from_secs(30);

/// Opens the producer, and creates the topic where it is missing: with one partition and no
/// settings of its own, as Connect does.
pub(super) async fn open(
    worker: &Props,
    client: &Client,
    queue: &DeadLetterQueue,
    proven: &Proven,
) -> Result<KafkaProducer> {
    let Client { connector, task, props, metrics } = client;
    let settings = config::letters_producer(worker, connector, *task, props)?;
    let who = format!("{connector}|task-{task}");
    let producer = KafkaProducer::over(settings, who.clone(), metrics, proven)?;
    let name = format!("connector-dlq-adminclient-{connector}-{task}");
    let mut settings = config::connector_admin(worker, name, props)?;
    let context = Context::measured(who, &mut settings.client, metrics);
    let admin: AdminClient<Context> =
        settings.client.create_with_context(context).map_err(|error| {
            Error::fatal(format!("Kafka client for {} cannot start", settings.servers))
                .caused_by(error)
        })?;
    create(admin, queue, &settings.servers).await?;
    Ok(producer)
}

async fn create(admin: AdminClient<Context>, queue: &DeadLetterQueue, servers: &str) -> Result<()> {
    let topic = &queue.topic;
    let what = || format!("Could not initialize dead letter queue with topic={topic}");
    // librdkafka blocks its caller.
    let listed = tokio::task::spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(None, QUESTION);
        let names = metadata.map(|metadata| {
            metadata.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>()
        });
        (admin, names)
    });
    let (admin, names) = listed.await.map_err(|error| Error::retriable(what()).caused_by(error))?;
    let names = names.map_err(|error| {
        let cause = Error::retriable(format!("the topics of Kafka {servers} were not listed"))
            .caused_by(error);
        Error::retriable(what()).caused_by(cause)
    })?;
    if names.contains(topic) {
        return Ok(());
    }
    tracing::error!("Topic {topic} doesn't exist. Will attempt to create topic.");
    let wanted = NewTopic::new(topic, 1, TopicReplication::Fixed(queue.replication));
    let options =
        AdminOptions::new().request_timeout(Some(QUESTION)).operation_timeout(Some(QUESTION));
    let answer = admin.create_topics([&wanted], &options).await;
    let results = answer.map_err(|error| Error::retriable(what()).caused_by(error))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                let hint = match code {
                    RDKafkaErrorCode::InvalidReplicationFactor => {
                        "; set errors.deadletterqueue.topic.replication.factor to no more than the \
                         number of brokers"
                    }
                    _ => "",
                };
                return Err(Error::fatal(what()).caused_by(format!("{code}{hint}")));
            }
        }
    }
    Ok(())
}
