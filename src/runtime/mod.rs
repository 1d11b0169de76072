//! Tasks: how a source's batches reach a transport, and a transport's records a sink.
//!
//! The herder owns connectors and decides what runs; this module runs it. One [`TaskHandle`] is one
//! running task; what becomes of it is told through [`Spawn::status`], so that nobody waits for
//! connector code.
//!
//! ```text
//!   SourceTask::run ─► Outbox ─► sender (encode, send) ─► Transport ─► Consumer ─► SinkTask::put
//!                                  │                         │
//!                                ledger ◄── tickets, acked ──┘
//!                                  │
//!                              OffsetStore, then Outbox::acked
//! ```

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    connector::{Object, Props, SinkConnector, SourceConnector},
    error::Result,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tracing::Instrument;

pub mod convert;
pub mod encode;
mod errors;
pub mod ledger;
pub mod settings;
mod sink;
mod source;
pub(crate) mod subscription;
mod supervise;
#[cfg(test)]
mod tests;
pub mod threads;
pub mod transport;

pub use threads::Threads;
pub use transport::Transport;

use crate::metrics::{Metrics, Role, TaskMetrics};

/// Why a store did not even try: the cause of its error then. Another may be told the same next
/// time, and nothing is wrong with the store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Withheld(pub &'static str);

/// Where source offsets are kept. Standalone: a file; distributed: the offsets topic.
#[async_trait]
pub trait OffsetStore: Send + Sync {
    async fn read(&self, connector: &str, partition: &Object) -> Result<Option<Object>>;

    /// Returns when the entries are durable. `None` forgets a partition. An error that is caused by
    /// [`Withheld`] is told as a warning, as the JVM tells a flush that it cancels.
    async fn write(&self, connector: &str, entries: Vec<(Object, Option<Object>)>) -> Result<()>;

    /// Called from time to time for a task that has nothing new to store: where somebody else may
    /// write, what the task stored last is to stand there still.
    async fn keep(&self, _connector: &str) -> Result<()> {
        Ok(())
    }

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

impl State {
    /// As REST and the status topic write it.
    pub fn name(self) -> &'static str {
        match self {
            State::Unassigned => "UNASSIGNED",
            State::Running => "RUNNING",
            State::Paused => "PAUSED",
            State::Stopped => "STOPPED",
            State::Failed => "FAILED",
            State::Restarting => "RESTARTING",
        }
    }
}

/// What a task says of itself.
#[derive(Clone, Debug)]
pub struct StatusUpdate {
    pub connector: Arc<str>,
    pub task: usize,
    pub state: State,
    /// The error chain, when `state` is [`State::Failed`].
    pub trace: Option<String>,
    /// Of a failure: whether what lies behind it may pass by itself.
    pub passing: bool,
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

/// What all tasks of a worker share.
#[derive(Clone)]
pub struct Tasks {
    pub transport: Arc<dyn Transport>,
    pub offsets: Arc<dyn OffsetStore>,
    /// The worker's own properties: converters, flush interval, `producer.*`.
    pub worker: Arc<Props>,
    pub metrics: Arc<Metrics>,
    pub threads: Threads,
}

impl Tasks {
    /// Starts a source task. Returns at once; what becomes of it is told through `spawn.status`.
    pub fn start_source(
        &self,
        connector: &'static dyn SourceConnector,
        spawn: Spawn,
    ) -> TaskHandle {
        let plugin = (connector.class(), connector.version());
        let metrics = self.measure(&spawn, Role::Source, plugin);
        let tasks = self.clone();
        supervise::start(self, spawn, metrics, move |context| {
            source::drive(tasks.clone(), connector, context)
        })
    }

    /// Starts a sink task. Its topics are claimed before this returns, so records of sources that
    /// are started later reach it.
    pub fn start_sink(&self, connector: &'static dyn SinkConnector, spawn: Spawn) -> TaskHandle {
        let claim = self.transport.claim(&spawn.connector, &spawn.props);
        let plugin = (connector.class(), connector.version());
        let metrics = self.measure(&spawn, Role::Sink, plugin);
        let tasks = self.clone();
        // Claimed once: a task that is made anew has its topics still.
        let mut claim = Some(claim);
        supervise::start(self, spawn, metrics, move |context| {
            let claim = claim.take().unwrap_or(Ok(()));
            // A sink's driver is a loop of calls into it, so all of it has the sink's thread.
            let held = context.code.clone();
            let driver = sink::drive(tasks.clone(), connector, claim, context).in_current_span();
            let driving = tasks.threads.run(async move {
                let _held = held;
                driver.await
            });
            async move { driving.await.unwrap_or_else(|fault| Err(supervise::no_answer("sink", fault))) }
        })
    }

    fn measure(
        &self,
        spawn: &Spawn,
        role: Role,
        plugin: (&'static str, &'static str),
    ) -> Arc<TaskMetrics> {
        let props = (&spawn.props, &*self.worker);
        self.metrics.task(&spawn.connector, spawn.task, role, plugin, props)
    }
}

/// What a task was last asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Running,
    Paused,
    Stopped,
}

/// A running task. Dropping it aborts the task.
pub struct TaskHandle {
    target: watch::Sender<Target>,
    driver: JoinHandle<()>,
    /// Closed when no thread runs connector code of this task any more.
    code: watch::Sender<()>,
    topics: Topics,
    reporter: supervise::Reporter,
    metrics: Arc<TaskMetrics>,
}

/// How long a task that was aborted is waited for: long enough for its connections to close, if its
/// code comes by an await at all.
const ABORT_MAX: Duration = Duration::from_millis(250);

impl TaskHandle {
    /// Holds the task: a source's outbox gets no room, a sink gets no records. Its connections stay.
    pub fn pause(&self) {
        self.aim(Target::Paused);
    }

    pub fn resume(&self) {
        self.aim(Target::Running);
    }

    /// Asks the task to stop, waits at most `grace` (`task.shutdown.graceful.timeout.ms`) for it to
    /// hand over what it has and to store its offsets, then cancels it. `false` when it was
    /// cancelled.
    ///
    /// The abort takes effect when the task's code next waits for something. Code that blocks its
    /// thread may go on for ever: it is left to itself, and what it says from now on is not told.
    pub async fn stop(mut self, grace: Duration) -> bool {
        self.aim(Target::Stopped);
        let graceful = tokio::time::timeout(grace, &mut self.driver).await.is_ok();
        if !graceful {
            self.reporter.mute();
            self.driver.abort();
            tracing::error!("[{}] Graceful stop of task {} failed", self.reporter.who(), self.id());
        }
        if tokio::time::timeout(ABORT_MAX, self.code.closed()).await.is_err() {
            tracing::error!(
                "[{}] its code does not let go of its thread and is left to itself; restart the \
                 worker to be rid of it",
                self.reporter.who()
            );
        }
        graceful
    }

    fn id(&self) -> String {
        self.reporter.id()
    }

    /// What the task counts.
    pub fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }

    /// The topics this task has written to or read from since it started, sorted.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.topics.list()
    }

    /// The topics it has touched since this was last asked.
    pub fn take_topics(&self) -> Vec<Arc<str>> {
        let mut topics = self.topics.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *topics).into_iter().collect()
    }

    /// Forgets them; those used again are listed again.
    pub fn forget_topics(&self) {
        self.topics.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A stopped task stays stopped.
    fn aim(&self, target: Target) {
        self.target.send_if_modified(|current| {
            let changed = *current != target && *current != Target::Stopped;
            if changed {
                *current = target;
            }
            changed
        });
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The topics a task has touched, for `GET /connectors/{name}/topics`.
#[derive(Clone, Default)]
struct Topics(Arc<Mutex<std::collections::BTreeSet<Arc<str>>>>);

impl Topics {
    fn add(&self, topic: &Arc<str>) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.clone());
    }

    fn list(&self) -> Vec<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
