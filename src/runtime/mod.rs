//! Tasks: how a source's batches reach a transport, and a transport's records a sink.
//!
//! The herder owns connectors and decides what runs; this module runs it. One [`TaskHandle`] is one
//! running task; what becomes of it is told through [`Spawn::status`], so that nobody waits for
//! connector code.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    connector::{Object, Props},
    error::Result,
};
use tokio::sync::mpsc;

/// Where source offsets are kept. Standalone: a file; distributed: the offsets topic.
#[async_trait]
pub trait OffsetStore: Send + Sync {
    async fn read(&self, connector: &str, partition: &Object) -> Result<Option<Object>>;

    /// Returns when the entries are durable. `None` forgets a partition.
    async fn write(&self, connector: &str, entries: Vec<(Object, Option<Object>)>) -> Result<()>;

    /// Every partition of a connector with its offset, for REST.
    async fn list(&self, connector: &str) -> Result<Vec<(Object, Object)>>;
}

/// The state of a connector or a task, as REST and the status topic name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unassigned,
    Running,
    Paused,
    Stopped,
    Failed,
    Restarting,
}

/// What a task says of itself.
#[derive(Clone, Debug)]
pub struct StatusUpdate {
    pub connector: Arc<str>,
    pub task: usize,
    pub state: State,
    /// The error chain, when `state` is [`State::Failed`].
    pub trace: Option<String>,
}

/// What a task is made of.
pub struct Spawn {
    pub connector: Arc<str>,
    pub task: usize,
    /// The task's configuration, `${…}` resolved.
    pub props: Props,
    /// Begin paused: the connector's code is not called before [`TaskHandle::resume`].
    pub paused: bool,
    pub status: mpsc::UnboundedSender<StatusUpdate>,
}

/// A running task. Dropping it aborts the task.
pub struct TaskHandle {}

impl TaskHandle {
    /// Holds the task: a source's outbox gets no room, a sink gets no records. Its connections stay.
    pub fn pause(&self) {}

    pub fn resume(&self) {}

    /// Asks the task to stop, waits at most `grace` (`task.shutdown.graceful.timeout.ms`) for it to
    /// hand over what it has and to store its offsets, then aborts it.
    pub async fn stop(self, _grace: Duration) {}
}
