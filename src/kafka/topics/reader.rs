//! Reads one partition, from an offset on.
//!
//! The client is opened with the first question. librdkafka tries again by itself for ever and says
//! little of it; so after a complaint of its the broker is asked for the partition's end, which tells
//! whether it is there. Now and then that is asked all the same, because the client can lose hold of a
//! partition, see [`crate::kafka::silence`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use model::{
    error::{Error, Result},
    topics::{From, Topic, TopicReader, TopicRecord},
};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::KafkaError,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::cannot_start;
use crate::kafka::{
    Context,
    config::{self, ConsumerSettings},
    silence::{Place, Silence, TASK_LOOK},
};

/// How long the broker may take to tell the partition's end.
const QUESTION: Duration = Duration::from_secs(2);

/// How long a commit is waited for.
const COMMIT: Duration = Duration::from_secs(5);

/// A poll ends here, so that it has a bound where records are large.
const POLL_BYTES: usize = 1 << 20;

type Client = Arc<StreamConsumer<Context>>;

pub(super) struct Reader {
    topic: String,
    partition: i32,
    settings: ConsumerSettings,
    who: String,
    /// Opened by the first question.
    client: Option<Client>,
    from: From,
    position: Option<i64>,
    /// What the client complained of since something came.
    complaint: Option<String>,
    silence: Silence<()>,
    look_at: Instant,
}

impl Reader {
    pub(super) fn new(topic: &Topic, who: String) -> Result<Self> {
        Ok(Self {
            topic: topic.name.clone(),
            partition: topic.partition,
            settings: config::topic_consumer(topic)?,
            who,
            client: None,
            from: From::Committed,
            position: None,
            complaint: None,
            silence: Silence::default(),
            look_at: Instant::now() + TASK_LOOK,
        })
    }

    fn place(&self, offset: Offset) -> Result<TopicPartitionList> {
        let mut place = TopicPartitionList::with_capacity(1);
        place
            .add_partition_offset(&self.topic, self.partition, offset)
            .map_err(|error| Error::fatal(format!("read topic {}", self.topic)).caused_by(error))?;
        Ok(place)
    }

    fn client(&mut self) -> Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let offset = match (self.position, self.from) {
            (Some(position), _) => Offset::Offset(position),
            (None, From::Beginning) => Offset::Beginning,
            (None, From::Committed) => Offset::Stored,
            (None, From::Offset(offset)) => Offset::Offset(offset),
        };
        let place = self.place(offset)?;
        let client: StreamConsumer<Context> = self
            .settings
            .client
            .create_with_context(Context::new(self.who.clone()))
            .map_err(|error| cannot_start(&self.settings.servers, error))?;
        client.assign(&place).map_err(|error| cannot_start(&self.settings.servers, error))?;
        let client = Arc::new(client);
        self.client = Some(client.clone());
        Ok(client)
    }

    fn close(&mut self) {
        if let Some(client) = self.client.take() {
            // Letting a client go takes a round trip.
            std::thread::spawn(move || drop(client));
        }
    }

    fn unreachable(&self) -> Error {
        let (topic, servers) = (&self.topic, &self.settings.servers);
        let hint = self.client.as_ref().and_then(|client| client.context().refused());
        let hint = hint.unwrap_or(
            "check the addresses, the network, security.protocol, and that the topic exists",
        );
        let error = Error::retriable(format!("read topic {topic} on Kafka {servers}: {hint}"));
        match &self.complaint {
            Some(complaint) => error.caused_by(complaint.as_str()),
            None => error,
        }
    }

    /// Nothing came: finds out whether that is because nothing is there.
    async fn look(&mut self) -> Result<()> {
        if self.complaint.is_none() && Instant::now() < self.look_at {
            return Ok(());
        }
        self.look_at = Instant::now() + TASK_LOOK;
        let end = match self.end(QUESTION).await {
            Ok(end) => end,
            Err(error) => {
                self.complaint.get_or_insert_with(|| error.trace());
                return Err(self.unreachable());
            }
        };
        self.complaint = None;
        let Some(at) = self.position else { return Ok(()) };
        if !self.silence.look([((), Place { at, end })]).is_empty() {
            tracing::warn!(
                "[{}] topic {}: nothing comes, and it is read up to offset {at} of {end}; a new Kafka client is opened",
                self.who,
                self.topic
            );
            self.close();
        }
        Ok(())
    }
}

#[async_trait]
impl TopicReader for Reader {
    async fn begin(&mut self, from: From) -> Result<()> {
        self.close();
        (self.from, self.position, self.complaint) = (from, None, None);
        self.silence.forget();
        self.client().map(drop)
    }

    async fn poll(&mut self, within: Duration) -> Result<Vec<TopicRecord>> {
        let client = self.client()?;
        let deadline = Instant::now() + within;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < self.settings.records_max && bytes < POLL_BYTES {
            // Only the first is waited for.
            let until = if records.is_empty() { deadline } else { Instant::now() };
            let Ok(received) = timeout_at(until, client.recv()).await else { break };
            match received {
                Ok(message) => {
                    let copy = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
                    let record = TopicRecord {
                        offset: message.offset(),
                        key: copy(message.key()),
                        value: copy(message.payload()),
                    };
                    bytes += message.key_len() + message.payload_len();
                    self.position = Some(record.offset + 1);
                    records.push(record);
                }
                Err(KafkaError::PartitionEOF(_)) => {
                    let at = client.position().ok();
                    let at =
                        at.as_ref().and_then(|at| at.find_partition(&self.topic, self.partition));
                    if let Some(Offset::Offset(at)) = at.map(|at| at.offset()) {
                        self.position = self.position.max(Some(at));
                    } else if self.position.is_none()
                        && let Ok(end) = self.end(QUESTION).await
                    {
                        // Nothing was read yet, so the client has no position to tell.
                        self.position = Some(end);
                    }
                    self.complaint = None;
                }
                Err(error) => {
                    let code = error.rdkafka_error_code();
                    // That no broker is there says less than why one is not.
                    let last = client
                        .context()
                        .last_error()
                        .filter(|_| code == Some(rdkafka::error::RDKafkaErrorCode::AllBrokersDown));
                    self.complaint = Some(last.unwrap_or_else(|| error.to_string()));
                }
            }
        }
        if records.is_empty() {
            self.look().await?;
        } else {
            self.complaint = None;
            self.look_at = Instant::now() + TASK_LOOK;
            self.silence.forget();
        }
        Ok(records)
    }

    fn position(&self) -> Option<i64> {
        self.position
    }

    async fn end(&mut self, within: Duration) -> Result<i64> {
        let client = self.client()?;
        let (topic, partition) = (self.topic.clone(), self.partition);
        // librdkafka blocks its caller.
        let asked =
            spawn_blocking(move || client.fetch_watermarks(&topic, partition, within)).await;
        let what = || {
            let servers = &self.settings.servers;
            Error::retriable(format!("ask for the end of topic {} on Kafka {servers}", self.topic))
        };
        match asked {
            Ok(Ok((_, end))) => Ok(end),
            Ok(Err(error)) => Err(what().caused_by(error)),
            Err(error) => Err(what().caused_by(error)),
        }
    }

    async fn commit(&mut self, next: i64) -> Result<()> {
        let client = self.client()?;
        let place = self.place(Offset::Offset(next))?;
        let commit = spawn_blocking(move || client.commit(&place, CommitMode::Sync));
        let (topic, settings) = (&self.topic, &self.settings);
        let what = || {
            Error::retriable(format!(
                "commit offset {next} of topic {topic} for group {} on Kafka {}",
                settings.group, settings.servers
            ))
        };
        match tokio::time::timeout(COMMIT, commit).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(what().caused_by(error)),
            Ok(Err(error)) => Err(what().caused_by(error)),
            Err(_) => Err(what().caused_by(format!("no answer within {COMMIT:?}"))),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}
