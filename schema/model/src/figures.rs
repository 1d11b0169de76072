//! What a task tells of itself while it runs: figures for `/metrics`, and whether it waits.
//!
//! A connector keeps its figures in atomics of its own, writes them once per batch, and is read when
//! somebody scrapes. Nothing here takes a lock while records flow.

use std::{
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Milliseconds of a clock that never goes back, since a moment shortly before the process's first
/// question. Never 0, so that 0 can stand for "never".
pub fn clock_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// One figure, as Prometheus has it.
#[derive(Clone, Copy, Debug)]
pub struct Figure<'a> {
    /// The whole name: `debezium_metrics_TotalNumberOfEventsSeen`.
    pub name: &'a str,
    pub help: &'a str,
    /// Only ever grows while the task lives.
    pub counter: bool,
    /// Beside the labels `connector` and `task`, which the worker adds.
    pub labels: &'a [(&'a str, &'a str)],
    pub value: f64,
}

/// Figures that can be read at any time, from any thread.
pub trait Figures: Send + Sync {
    /// Gives each figure once. The number of label values must have a limit.
    fn read(&self, out: &mut dyn FnMut(Figure<'_>));

    /// The snapshot that the task takes now, for its status.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }
}

/// How far the snapshot of a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    pub tables: u64,
    /// Of those, not read to their end.
    pub tables_left: u64,
    /// Read since the task began or was begun again.
    pub rows: u64,
    /// How many those will be, about.
    pub rows_estimated: u64,
    pub rows_per_second: u64,
    /// `None` as long as nothing comes.
    pub seconds_left: Option<u64>,
    /// Present when the snapshot is read beside the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Box<Incremental>>,
}

/// What an incremental snapshot is at.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Incremental {
    pub table: String,
    /// Sent since it began.
    pub chunks: u64,
    pub paused: bool,
}

/// Where a task publishes its figures. Clones publish to the same place.
#[derive(Clone, Default)]
pub struct Gauges(Arc<Mutex<Vec<Arc<dyn Figures>>>>);

impl Gauges {
    /// Shows these figures for as long as the task lives.
    pub fn publish(&self, figures: Arc<dyn Figures>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(figures);
    }

    /// Forgets what was published: the task is made anew.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// See [`Figures::snapshot`].
    pub fn snapshot(&self) -> Option<Snapshot> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().find_map(|figures| figures.snapshot())
    }

    pub fn read(&self, out: &mut dyn FnMut(Figure<'_>)) {
        // Cloned, so that connector code never runs under the lock.
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().for_each(|figures| figures.read(out));
    }
}

/// Whether a source waits for an answer of its system.
///
/// A source that says when it asks and when it hears lets the worker tell an idle source, whose
/// system has nothing to say, from one whose system has gone silent: after
/// `task.stall.timeout.ms` without an answer the task is stalled, and made anew.
#[derive(Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Something was asked that the other side answers at once while it lives. Asking again before
    /// it has answered does not put the clock back.
    pub fn asked(&self) {
        // Two threads that ask at once both mean now, so whichever is first is right.
        let _earlier = self.0.compare_exchange(0, clock_ms(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Anything at all came from the other side, or nothing is waited for any more.
    pub fn heard(&self) {
        // Read first: a load is cheaper than a store where nothing was asked.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Since when an answer is due, by [`clock_ms`].
    pub fn waiting_since(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_again_keeps_the_first_question() {
        let progress = Progress::default();
        assert_eq!(progress.waiting_since(), None);
        progress.asked();
        let first = progress.waiting_since().unwrap();
        while clock_ms() == first {
            std::hint::spin_loop();
        }
        progress.asked();
        assert_eq!(progress.waiting_since(), Some(first));
        progress.heard();
        assert_eq!(progress.waiting_since(), None);
    }
}
