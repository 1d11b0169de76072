//! Topics that a connector itself reads and writes: signals, the history of a database's schemas.
//!
//! Connectors know no Kafka client. They name a topic with Java's settings of a client, as the
//! connector's configuration has them, and the worker does the rest.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, Result};

/// One partition of a topic, and how to come to it.
#[derive(Clone)]
pub struct Topic {
    pub name: String,
    pub partition: i32,
    /// Settings of a Kafka client under Java's names. `bootstrap.servers` is needed, and by a reader
    /// `group.id`.
    pub settings: BTreeMap<String, String>,
    /// What stands before these names in the connector's configuration, for messages:
    /// `signal.consumer.`
    pub prefix: &'static str,
}

/// Without the settings, as passwords are among them.
impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, partition, .. } = self;
        f.debug_struct("Topic")
            .field("name", name)
            .field("partition", partition)
            .finish_non_exhaustive()
    }
}

/// Opens topics. A wrong setting is a fatal error, said before anything is opened; whether a broker
/// is there is found out later, when something is asked of it.
#[async_trait]
pub trait Topics: Send + Sync {
    fn reader(&self, topic: &Topic) -> Result<Box<dyn TopicReader>>;

    fn writer(&self, topic: &Topic) -> Result<Box<dyn TopicWriter>>;

    /// Creates the topic. False when it is there already, however it was made.
    async fn create(&self, topic: &Topic, wanted: &NewTopic, within: Duration) -> Result<bool>;
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Beginning,
    /// Where the group left off, and where `auto.offset.reset` says if it has never been here.
    Committed,
    /// An offset that is gone by now is as none: `auto.offset.reset`.
    Offset(i64),
}

/// Reads one partition.
#[async_trait]
pub trait TopicReader: Send {
    /// Begins to read; what was read before does not count any more.
    async fn begin(&mut self, from: From) -> Result<()>;

    /// The next records; none when nothing came within that time. With no time at all, what has
    /// arrived. A retriable error says that Kafka can't be reached or has no such topic: what can be
    /// read is read by a later call.
    async fn poll(&mut self, within: Duration) -> Result<Vec<TopicRecord>>;

    /// The offset behind the last record that was handed out; `None` before the first. Also moves
    /// over what is no record, such as the end of a transaction, once the end of the partition is
    /// reached.
    fn position(&self) -> Option<i64>;

    /// The offset behind the last record that is in the partition now.
    async fn end(&mut self, within: Duration) -> Result<i64>;

    /// Notes for the group that everything before `next` is done.
    async fn commit(&mut self, next: i64) -> Result<()>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    pub offset: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// Writes to one partition, in order.
#[async_trait]
pub trait TopicWriter: Send + Sync {
    /// Writes a record; its offset, once it is written as `acks` asks. After an error it may be
    /// written all the same.
    async fn append(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        within: Duration,
    ) -> Result<i64>;
}

/// What a topic is to be like.
#[derive(Clone, Debug)]
pub struct NewTopic {
    pub partitions: i32,
    /// `None` leaves it to the broker.
    pub replication: Option<i32>,
    /// `cleanup.policy` and the like.
    pub configs: BTreeMap<String, String>,
}

/// Where there is no Kafka client: programs that are no worker.
pub struct NoTopics;

impl NoTopics {
    pub fn shared() -> Arc<dyn Topics> {
        Arc::new(Self)
    }

    fn refuse<T>(topic: &Topic) -> Result<T> {
        Err(Error::fatal(format!("open topic {}: this program has no Kafka client", topic.name)))
    }
}

#[async_trait]
impl Topics for NoTopics {
    fn reader(&self, topic: &Topic) -> Result<Box<dyn TopicReader>> {
        Self::refuse(topic)
    }

    fn writer(&self, topic: &Topic) -> Result<Box<dyn TopicWriter>> {
        Self::refuse(topic)
    }

    async fn create(&self, topic: &Topic, _wanted: &NewTopic, _within: Duration) -> Result<bool> {
        Self::refuse(topic)
    }
}
