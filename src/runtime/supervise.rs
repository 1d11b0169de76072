//! Starts a task's driver, watches over it, and turns what becomes of it into a status.
//!
//! # A task that is made anew
//!
//! The driver gets a target of its own, which follows the herder's. When the task is stalled
//! ([`crate::metrics::Health`]), the driver is told to stop, as if by the herder: it hands over what
//! it has and stores its offsets. When it has ended, or has not within the worker's grace, it is
//! started again with new connections, from the stored offsets. Clients see the state they saw.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use model::{
    connector::Props,
    error::{Error, Result},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::Instrument;

use super::{
    Spawn, State, StatusUpdate, Target, TaskHandle, Tasks, Topics, settings,
    threads::{Fault, panic_text},
    transport::Client,
};
use crate::metrics::{Metrics, TaskMetrics, Wait};

/// What a driver gets of its surroundings.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) target: watch::Receiver<Target>,
    pub(super) status: Reporter,
    pub(super) topics: Topics,
    pub(super) metrics: Arc<TaskMetrics>,
    /// Kept by each thread that runs connector code of the task.
    pub(super) code: watch::Receiver<()>,
}

/// Tells the herder of a task's state.
#[derive(Clone)]
pub(super) struct Reporter {
    connector: Arc<str>,
    task: usize,
    status: mpsc::UnboundedSender<StatusUpdate>,
    metrics: Arc<TaskMetrics>,
    worker: Arc<Metrics>,
    /// The start of the task has been counted.
    counted: Arc<AtomicBool>,
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
        self.send(state, trace, false);
    }

    fn fail(&self, error: &Error) {
        self.send(State::Failed, Some(error.trace()), error.passing());
    }

    fn send(&self, state: State, trace: Option<String>, passing: bool) {
        if self.muted.load(Ordering::Acquire) {
            tracing::debug!("[{}] was cancelled and is {state:?}", self.who());
            return;
        }
        self.metrics.state(state);
        match state {
            State::Running => self.count_start(true),
            State::Failed => self.count_start(false),
            _ => {}
        }
        match state {
            State::Running | State::Paused => self.metrics.health.over(Wait::Start),
            _ => self.metrics.health.clear(),
        }
        let (connector, task) = (self.connector.clone(), self.task);
        let update = StatusUpdate { connector, task, state, trace, passing };
        if self.status.send(update).is_err() {
            // The worker is ending and nobody asks any more.
            tracing::debug!("[{}|task-{}] is {state:?}", self.connector, self.task);
        }
    }

    fn count_start(&self, ok: bool) {
        if !self.counted.swap(true, Ordering::Relaxed) {
            self.worker.task_started(ok);
        }
    }
}

/// The driver runs in a tokio task of its own; a panic in it, or in connector code, ends in FAILED
/// like any other error.
pub(super) fn start<D, F>(
    tasks: &Tasks,
    spawn: Spawn,
    metrics: Arc<TaskMetrics>,
    drive: D,
) -> TaskHandle
where
    D: FnMut(Context) -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let first = if spawn.paused { Target::Paused } else { Target::Running };
    let (target, wanted) = watch::channel(first);
    let (code, held) = watch::channel(());
    let topics = Topics::default();
    let status = Reporter {
        connector: spawn.connector.clone(),
        task: spawn.task,
        status: spawn.status,
        metrics: metrics.clone(),
        worker: tasks.metrics.clone(),
        counted: Arc::default(),
        muted: Arc::default(),
    };
    let reporter = status.clone();
    // A wrong value fails the task in a moment, where all its settings are read.
    let stall = settings::stall(&spawn.props, &tasks.worker).unwrap_or_default();
    metrics.health.limit(u64::try_from(stall.as_millis()).unwrap_or(u64::MAX));
    let context = Context {
        client: Client {
            connector: spawn.connector,
            task: spawn.task,
            props: Arc::new(spawn.props),
            metrics: tasks.metrics.clone(),
        },
        target: wanted.clone(),
        status: status.clone(),
        topics: topics.clone(),
        metrics: metrics.clone(),
        code: held,
    };
    let who = context.who();
    let span = tracing::error_span!(target: "context", "task", context = %who);
    let watcher = Watcher {
        who: who.clone(),
        metrics: metrics.clone(),
        over_kafka: tasks.worker.contains_key("bootstrap.servers"),
        stalled: false,
    };
    let grace = grace(&tasks.worker);
    let driver = async move {
        let result = keep(context, drive, watcher, grace).await;
        let stopping = *wanted.borrow() == Target::Stopped;
        match result {
            Ok(()) => status.report(State::Unassigned, None),
            Err(error) if stopping => {
                tracing::error!("[{who}] failed while it was stopping: {}", error.trace());
                status.report(State::Unassigned, None);
            }
            Err(error) => {
                tracing::error!(
                    "[{who}] has failed and stays failed until it is restarted: {}",
                    error.trace()
                );
                status.fail(&error);
            }
        }
    };
    let driver = tasks.threads.drive(driver.instrument(span));
    TaskHandle { target, driver, code, topics, reporter, metrics }
}

/// As in [`settings::Settings`], which the driver reads and complains about.
fn grace(worker: &Props) -> Duration {
    let given = worker.get("task.shutdown.graceful.timeout.ms");
    let millis = given.and_then(|text| text.trim().parse().ok()).unwrap_or(5_000);
    Duration::from_millis(millis)
}

/// Runs the driver, again and again while that is what a stalled task needs.
async fn keep<D, F>(
    context: Context,
    mut drive: D,
    mut watcher: Watcher,
    grace: Duration,
) -> Result<()>
where
    D: FnMut(Context) -> F,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut wanted = context.target.clone();
    let mut tick = interval(watcher.every());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (target, own) = watch::channel(*wanted.borrow_and_update());
        watcher.begin();
        let mut driving = Box::pin(
            AssertUnwindSafe(drive(Context { target: own, ..context.clone() })).catch_unwind(),
        );
        // When a driver that is to be made anew is given up.
        let mut deadline: Option<Instant> = None;
        let ended = loop {
            tokio::select! {
                result = &mut driving => break Some(result),
                changed = wanted.changed() => match changed {
                    Ok(()) if deadline.is_none() => drop(target.send_replace(*wanted.borrow_and_update())),
                    Ok(()) => {}
                    // The handle is gone, and so will this be.
                    Err(_) => std::future::pending().await,
                },
                _ = tick.tick(), if deadline.is_none() => {
                    if watcher.rebuild() {
                        target.send_replace(Target::Stopped);
                        deadline = Some(Instant::now() + grace);
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break None,
            }
        };
        // Aborts what is left of it.
        drop(driving);
        let stopping = *wanted.borrow() == Target::Stopped;
        match ended {
            Some(Ok(Ok(()))) | None if deadline.is_some() && !stopping => {}
            Some(result) => return result.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
            None => return Ok(()),
        }
    }
}

/// Looks at a task's health from time to time.
struct Watcher {
    who: String,
    metrics: Arc<TaskMetrics>,
    /// Records go to a broker, which a new connection may reach better. Within a process they wait
    /// for a sink, and would only be sent twice.
    over_kafka: bool,
    stalled: bool,
}

impl Watcher {
    /// Often enough that a stall is noticed soon after its limit.
    fn every(&self) -> Duration {
        let limit = Duration::from_millis(self.metrics.health.limit_ms());
        if limit.is_zero() {
            // Never stalled; the timer has to be something.
            return Duration::from_secs(3_600);
        }
        (limit / 10).clamp(Duration::from_millis(10), Duration::from_secs(10))
    }

    fn begin(&mut self) {
        self.stalled = false;
        self.metrics.health.clear();
        self.metrics.gauges.clear();
        self.metrics.reset_active();
        self.metrics.health.wait(Wait::Start);
    }

    /// Says in the log when the task stalls and when it goes on. Whether it is to be made anew.
    fn rebuild(&mut self) -> bool {
        let health = &self.metrics.health;
        let Some(stall) = health.stall() else {
            if std::mem::take(&mut self.stalled) {
                tracing::info!("[{}] makes progress again", self.who);
            }
            return false;
        };
        if !std::mem::replace(&mut self.stalled, true) {
            health.count_stall();
            match stall.hopeless {
                true => tracing::warn!("[{}] makes no progress: {}", self.who, stall.reason),
                false => tracing::warn!(
                    "[{}] makes no progress: {} for {} s (task.stall.timeout.ms)",
                    self.who,
                    stall.reason,
                    stall.ms / 1_000
                ),
            }
        }
        let helps = self.over_kafka || !matches!(stall.what, Some(Wait::Ack | Wait::Send));
        let due = helps && health.rebuild_due();
        if due {
            tracing::warn!("[{}] is made anew, with new connections", self.who);
        }
        due
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic_text(panic).unwrap_or("(no message)");
    Error::fatal(format!("panic in the task: {message}"))
}

/// `what` is the side the code is of.
pub(super) fn no_answer(what: &str, fault: Fault) -> Error {
    match fault {
        Fault::Panicked(panic) => panicked(panic.as_ref()),
        Fault::Ended => Error::fatal(format!("the {what} was aborted")),
    }
}

impl Context {
    /// Waits while the task is held before it has begun. `false` when it is to stop instead.
    pub(super) async fn begin(&mut self) -> bool {
        loop {
            let target = *self.target.borrow_and_update();
            match target {
                Target::Running => {
                    self.metrics.health.hold(false);
                    self.metrics.health.wait(Wait::Start);
                    return true;
                }
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
