//! What a task counts: Connect's groups `connector-task-metrics`, `source-task-metrics`,
//! `sink-task-metrics` and `task-error-metrics`, and our own `riverrun_task_*`.
//!
//! The driver of the task calls these methods once per batch. None of them locks or allocates, but
//! for changes of state.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use model::{
    connector::Props,
    figures::{Gauges, clock_ms},
};

use super::{
    health::Health,
    window::{Frame, Window},
};
use crate::runtime::State;

/// Which half of the metrics a task has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Sink,
}

/// The counters of one task, from its start to its stop.
pub struct TaskMetrics {
    pub connector: Arc<str>,
    pub task: usize,
    pub role: Role,
    /// `task-class`, `key-converter-class` and the like, as labels of one sample.
    pub(super) classes: Vec<(&'static str, String)>,
    pub health: Health,
    pub errors: ErrorMetrics,
    /// What the connector itself publishes.
    pub gauges: Gauges,
    life: Mutex<Life>,
    pub(super) commit_ok: Window,
    pub(super) commit_failed: Window,
    pub(super) batch: Window,
    pub(super) taken: Counter,
    pub(super) passed: Counter,
    pub(super) active: Active,
    pub(super) call: Window,
    pub(super) sink: SinkCounters,
    next_restart: Mutex<Option<NextRestart>>,
}

/// What only a sink counts.
pub(super) struct SinkCounters {
    pub(super) partitions: AtomicU64,
    pub(super) commit_seq: AtomicU64,
    pub(super) completed: Counter,
    pub(super) skipped: Counter,
}

/// A total and its rate.
pub(super) struct Counter {
    pub(super) total: AtomicU64,
    pub(super) window: Window,
}

/// Records under way.
pub(super) struct Active {
    pub(super) now: AtomicU64,
    pub(super) window: Window,
}

/// When a failed task starts again by itself, as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NextRestart {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Counted from 1, since the task last ran for good.
    pub attempt: u32,
}

/// How long a task has been in which state.
struct Life {
    state: State,
    since: u64,
    begun: u64,
    running: u64,
    paused: u64,
}

/// `task-error-metrics`.
#[derive(Default)]
pub struct ErrorMetrics {
    pub(super) failures: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) logged: AtomicU64,
    pub(super) dlq_requests: AtomicU64,
    pub(super) dlq_failures: AtomicU64,
    pub(super) last: AtomicU64,
}

impl ErrorMetrics {
    /// An attempt failed, whether it is tried again or not.
    pub fn failed(&self, records: u64) {
        self.failures.fetch_add(records, Relaxed);
        self.last.store(now_ms(), Relaxed);
    }

    /// Records ended in an error: the last attempt of each failed.
    pub fn error(&self, records: u64) {
        self.errors.fetch_add(records, Relaxed);
    }

    /// Of those, `errors.tolerance=all` let go of so many.
    pub fn skipped(&self, records: u64) {
        self.skipped.fetch_add(records, Relaxed);
    }

    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub fn logged(&self, records: u64) {
        self.logged.fetch_add(records, Relaxed);
    }

    /// A record is sent to the dead-letter queue.
    pub fn dead_letter(&self) {
        self.dlq_requests.fetch_add(1, Relaxed);
    }

    /// … and was not stored there.
    pub fn dead_letter_failed(&self) {
        self.dlq_failures.fetch_add(1, Relaxed);
    }
}

impl Counter {
    fn new(frame: Frame) -> Self {
        Self { total: AtomicU64::new(0), window: Window::new(frame) }
    }

    fn add(&self, count: u64) {
        self.total.fetch_add(count, Relaxed);
        self.window.record(clock_ms(), count);
    }
}

impl Active {
    fn set(&self, count: u64) {
        self.now.store(count, Relaxed);
        self.window.record(clock_ms(), count);
    }

    fn add(&self, count: u64) {
        let before = self.now.fetch_add(count, Relaxed);
        self.window.record(clock_ms(), before + count);
    }

    fn sub(&self, count: u64) {
        // The worker never gives back more than it took.
        let before = self.now.fetch_sub(count, Relaxed);
        self.window.record(clock_ms(), before.saturating_sub(count));
    }
}

impl TaskMetrics {
    /// Of a task that is shown once it is registered ([`super::Metrics::task`]).
    pub(super) fn new(
        frame: Frame,
        connector: Arc<str>,
        task: usize,
        role: Role,
        classes: Vec<(&'static str, String)>,
    ) -> Self {
        let now = clock_ms();
        Self {
            connector,
            task,
            role,
            classes,
            health: Health::default(),
            errors: ErrorMetrics::default(),
            gauges: Gauges::default(),
            life: Mutex::new(Life {
                state: State::Unassigned,
                since: now,
                begun: now,
                running: 0,
                paused: 0,
            }),
            commit_ok: Window::new(frame),
            commit_failed: Window::new(frame),
            batch: Window::new(frame),
            taken: Counter::new(frame),
            passed: Counter::new(frame),
            active: Active { now: AtomicU64::new(0), window: Window::new(frame) },
            call: Window::new(frame),
            sink: SinkCounters {
                partitions: AtomicU64::new(0),
                commit_seq: AtomicU64::new(0),
                completed: Counter::new(frame),
                skipped: Counter::new(frame),
            },
            next_restart: Mutex::default(),
        }
    }

    /// Counters nobody sees, for tests and for tasks outside a worker.
    pub fn unseen() -> Arc<Self> {
        let frame = Frame::default();
        Arc::new(Self::new(frame, "".into(), 0, Role::Source, Vec::new()))
    }

    // ---- Every task ------------------------------------------------------------------------------

    /// The task's state has changed.
    pub fn state(&self, state: State) {
        let now = clock_ms();
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = now.saturating_sub(life.since);
        match life.state {
            State::Running => life.running += spent,
            State::Paused => life.paused += spent,
            _ => {}
        }
        life.state = state;
        life.since = now;
        drop(life);
        self.health.hold(state == State::Paused);
    }

    pub fn current_state(&self) -> State {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).state
    }

    /// The shares of its life that the task was running, and paused.
    pub(super) fn ratios(&self) -> (f64, f64) {
        let now = clock_ms();
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = now.saturating_sub(life.since);
        let (mut running, mut paused) = (life.running, life.paused);
        match life.state {
            State::Running => running += spent,
            State::Paused => paused += spent,
            _ => {}
        }
        let whole = now.saturating_sub(life.begun).max(1) as f64;
        (running as f64 / whole, paused as f64 / whole)
    }

    /// Offsets were committed, or not. Of a sink this also moves `offset-commit-seq-no`.
    pub fn committed(&self, ok: bool, took: Duration) {
        let window = if ok { &self.commit_ok } else { &self.commit_failed };
        window.record(clock_ms(), millis(took));
        if self.role == Role::Sink && ok {
            self.sink.completed.add(1);
        }
    }

    /// The task is to start again by itself, or not any more.
    pub fn restart_at(&self, next: Option<NextRestart>) {
        *self.next_restart.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    pub fn next_restart(&self) -> Option<NextRestart> {
        self.next_restart.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // ---- A source --------------------------------------------------------------------------------

    /// The source handed over a batch, for which the worker had waited so long.
    pub fn polled(&self, records: usize, waited: Duration) {
        let records = records as u64;
        let now = clock_ms();
        self.batch.record(now, records);
        self.call.record(now, millis(waited));
        self.taken.add(records);
        self.active.add(records);
    }

    /// Records are done with: so many were polled, and so many of them stored by the transport.
    pub fn written(&self, polled: usize, stored: usize) {
        self.passed.add(stored as u64);
        self.active.sub(polled as u64);
        self.health.progressed();
    }

    /// The source begins anew: what was under way is read again.
    pub fn reset_active(&self) {
        self.active.set(0);
    }

    // ---- A sink ----------------------------------------------------------------------------------

    /// Records came from the consumer, before transforms.
    pub fn read(&self, records: usize) {
        self.taken.add(records as u64);
    }

    /// The sink took records.
    pub fn put(&self, records: usize, took: Duration) {
        let now = clock_ms();
        self.batch.record(now, records as u64);
        self.call.record(now, millis(took));
        self.passed.add(records as u64);
        self.health.progressed();
    }

    /// Over all partitions, the records consumed and not committed yet.
    pub fn active(&self, records: u64) {
        self.active.set(records);
    }

    /// How many partitions the task has.
    pub fn partitions(&self, count: usize) {
        self.sink.partitions.store(count as u64, Relaxed);
    }

    /// A commit begins: its number.
    pub fn commit_seq(&self, number: u64) {
        self.sink.commit_seq.store(number, Relaxed);
    }

    /// The answer to a commit came after that to a newer one.
    pub fn commit_skipped(&self) {
        self.sink.skipped.add(1);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The classes a task is made of, for its labels.
pub(super) fn classes(
    props: &Props,
    worker: &Props,
    plugin: (&'static str, &'static str),
    role: Role,
) -> Vec<(&'static str, String)> {
    let class = |key: &str| {
        let given = props.get(key).or_else(|| worker.get(key));
        let default = (key == "header.converter")
            .then_some("org.apache.kafka.connect.storage.SimpleHeaderConverter");
        given.map(String::as_str).or(default).unwrap_or_default().to_owned()
    };
    let kind = if role == Role::Source { "source" } else { "sink" };
    vec![
        ("connector_class", plugin.0.to_owned()),
        ("connector_version", plugin.1.to_owned()),
        ("connector_type", kind.to_owned()),
        ("key_converter_class", class("key.converter")),
        ("value_converter_class", class("value.converter")),
        ("header_converter_class", class("header.converter")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_counts_what_it_polled_and_what_was_stored() {
        let task = TaskMetrics::unseen();
        task.polled(10, Duration::from_millis(4));
        task.polled(20, Duration::from_millis(8));
        task.written(10, 9);
        assert_eq!(task.taken.total.load(Relaxed), 30);
        assert_eq!(task.passed.total.load(Relaxed), 9);
        assert_eq!(task.active.now.load(Relaxed), 20);
        let seen = task.active.window.seen(clock_ms());
        assert_eq!((seen.max, seen.count), (30.0, 3));
        assert_eq!(task.call.seen(clock_ms()).average(), 6.0);
    }

    #[test]
    fn a_paused_task_is_held() {
        let task = TaskMetrics::unseen();
        task.state(State::Running);
        assert_eq!(task.current_state(), State::Running);
        task.health.limit(1);
        task.health.wait_since(crate::metrics::Wait::Ack, 1);
        let end = clock_ms() + 5;
        while clock_ms() < end {
            std::hint::spin_loop();
        }
        assert!(task.health.stall().is_some());
        task.state(State::Paused);
        assert!(task.health.stall().is_none());
        let (running, paused) = task.ratios();
        assert!(running > 0.0 && running <= 1.0 && paused < 1.0, "{running} {paused}");
    }
}
