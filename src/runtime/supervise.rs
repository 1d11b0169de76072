//! Starts a task's driver, and turns what becomes of it into a status.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt;
use model::{
    connector::Props,
    error::{Error, Result},
};
use tokio::sync::{mpsc, watch};

use super::{Spawn, State, StatusUpdate, Target, TaskHandle, Topics, transport::Client};

/// What a driver gets of its surroundings.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) target: watch::Receiver<Target>,
    pub(super) status: Reporter,
    pub(super) topics: Topics,
}

/// Tells the herder of a task's state.
#[derive(Clone)]
pub(super) struct Reporter {
    connector: Arc<str>,
    task: usize,
    status: mpsc::UnboundedSender<StatusUpdate>,
    /// The task was cancelled: another one may run in its place and speak for itself.
    muted: Arc<AtomicBool>,
}

impl Reporter {
    pub(super) fn mute(&self) {
        self.muted.store(true, Ordering::Release);
    }

    pub(super) fn who(&self) -> String {
        format!("{}|task-{}", self.connector, self.task)
    }

    /// As Connect writes a task's id.
    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.connector, self.task)
    }

    pub(super) fn report(&self, state: State, trace: Option<String>) {
        if self.muted.load(Ordering::Acquire) {
            tracing::debug!("[{}] was cancelled and is {state:?}", self.who());
            return;
        }
        let update =
            StatusUpdate { connector: self.connector.clone(), task: self.task, state, trace };
        if self.status.send(update).is_err() {
            // The worker is ending and nobody asks any more.
            tracing::debug!("[{}|task-{}] is {state:?}", self.connector, self.task);
        }
    }
}

/// The driver runs in a tokio task of its own; a panic in it, or in connector code it calls, ends
/// in FAILED like any other error.
pub(super) fn start<D, F>(spawn: Spawn, drive: D) -> TaskHandle
where
    D: FnOnce(Context) -> F,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let first = if spawn.paused { Target::Paused } else { Target::Running };
    let (target, wanted) = watch::channel(first);
    let topics = Topics::default();
    let status = Reporter {
        connector: spawn.connector.clone(),
        task: spawn.task,
        status: spawn.status,
        muted: Arc::default(),
    };
    let reporter = status.clone();
    let props: Arc<Props> = Arc::new(spawn.props);
    let context = Context {
        client: Client { connector: spawn.connector, task: spawn.task, props },
        target: wanted.clone(),
        status: status.clone(),
        topics: topics.clone(),
    };
    let driving = AssertUnwindSafe(drive(context)).catch_unwind();
    let driver = tokio::spawn(async move {
        let result = driving.await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        let stopping = *wanted.borrow() == Target::Stopped;
        let who = status.who();
        match result {
            Ok(()) => status.report(State::Unassigned, None),
            Err(error) if stopping => {
                tracing::error!("[{who}] failed while it was stopping: {}", error.trace());
                status.report(State::Unassigned, None);
            }
            Err(error) => {
                let trace = error.trace();
                tracing::error!(
                    "[{who}] has failed and stays failed until it is restarted: {trace}"
                );
                status.report(State::Failed, Some(trace));
            }
        }
    });
    TaskHandle { target, driver, topics, reporter }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    Error::fatal(format!("panic in the task: {message}"))
}

impl Context {
    /// Waits while the task is held before it has begun. `false` when it is to stop instead.
    pub(super) async fn begin(&mut self) -> bool {
        loop {
            let target = *self.target.borrow_and_update();
            match target {
                Target::Running => return true,
                Target::Stopped => return false,
                Target::Paused => self.status.report(State::Paused, None),
            }
            if self.target.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Sleeps between two tries to begin. `false` when the task is to stop.
    pub(super) async fn pause_between(&mut self, wait: std::time::Duration) -> bool {
        let stopped = self.target.wait_for(|target| *target == Target::Stopped);
        tokio::time::timeout(wait, stopped).await.is_err()
    }

    pub(super) fn who(&self) -> String {
        format!("{}|task-{}", self.client.connector, self.client.task)
    }
}
