//! The restarts that are due among a worker's tasks: what [`super::restart_policy`] decides, with the
//! clock, the log and the figures it is shown in. Both herders keep one.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use model::figures::clock_ms;

use super::restart_policy::{Policy, Restarts, Verdict};
use crate::metrics::{NextRestart, TaskMetrics};

/// By task, however the herder names it. A task that never failed is not in it.
pub(super) struct Schedule<K> {
    tasks: BTreeMap<K, Entry>,
}

struct Entry {
    restarts: Restarts,
    shown: Option<NextRestart>,
}

/// A task that has failed.
pub(super) struct Failed<'a> {
    /// As in the log: `orders|task-0`.
    pub(super) who: &'a str,
    /// Whether what lies behind it may pass by itself.
    pub(super) passing: bool,
    /// Where the time of the next try is shown, unless the task never came to be.
    pub(super) metrics: Option<&'a TaskMetrics>,
}

impl<K: Ord + Clone> Schedule<K> {
    pub(super) fn new() -> Self {
        Self { tasks: BTreeMap::new() }
    }

    /// The task has come to run.
    pub(super) fn running(&mut self, task: &K) {
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.restarts.running(clock());
            entry.shown = None;
        }
    }

    /// The task has failed: decides whether it starts again by itself, and says so.
    pub(super) fn failed(&mut self, task: &K, policy: Policy, failed: &Failed<'_>) {
        let now = clock();
        let fresh = || Entry { restarts: Restarts::new(policy), shown: None };
        let entry = self.tasks.entry(task.clone()).or_insert_with(fresh);
        let who = failed.who;
        entry.shown = match entry.restarts.failed(now, failed.passing) {
            Verdict::Restart { at, attempt } => {
                let wait = at.saturating_sub(now);
                tracing::info!(
                    "[{who}] starts again in {} ms, attempt {attempt} (errors.restart.policy)",
                    wait.as_millis()
                );
                let since = (SystemTime::now() + wait).duration_since(UNIX_EPOCH);
                let millis = since.unwrap_or_default().as_millis();
                Some(NextRestart { at_ms: u64::try_from(millis).unwrap_or(u64::MAX), attempt })
            }
            Verdict::GiveUp(attempts) => {
                tracing::error!(
                    "[{who}] stays failed: {attempts} restarts in a row were in vain \
                     (errors.restart.max)"
                );
                None
            }
            Verdict::Stay => None,
        };
        if let Some(metrics) = failed.metrics {
            metrics.restart_at(entry.shown.clone());
        }
    }

    /// The task that starts before all others of those that may, and when.
    pub(super) fn next(&self, may: impl Fn(&K) -> bool) -> Option<(Duration, K)> {
        let due = self.tasks.iter().filter(|(task, _)| may(task));
        due.filter_map(|(task, entry)| Some((entry.restarts.due()?, task.clone()))).min()
    }

    /// When the task starts again by itself, for its status.
    pub(super) fn shown(&self, task: &K) -> Option<NextRestart> {
        self.tasks.get(task)?.shown.clone()
    }

    /// The task is being started by itself.
    pub(super) fn started(&mut self, task: &K) {
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.restarts.started();
            entry.shown = None;
        }
    }

    /// The task is gone, or was started by somebody: its next failure is the first.
    pub(super) fn forget(&mut self, task: &K) {
        self.tasks.remove(task);
    }

    pub(super) fn clear(&mut self) {
        self.tasks.clear();
    }
}

/// The clock that restarts go by.
fn clock() -> Duration {
    Duration::from_millis(clock_ms())
}

/// Waits for the time of a restart; for ever when none is due. Cancel-safe.
pub(super) async fn due<K>(next: Option<(Duration, K)>) -> K {
    match next {
        Some((at, task)) => {
            tokio::time::sleep(at.saturating_sub(clock())).await;
            task
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::herder::restart_policy::When;

    const POLICY: Policy = Policy {
        when: When::Always,
        backoff: Duration::from_millis(1),
        backoff_max: Duration::from_secs(60),
        max: Some(2),
    };

    #[tokio::test]
    async fn a_task_is_due_until_it_gives_up_or_is_forgotten() {
        let mut schedule = Schedule::new();
        let metrics = TaskMetrics::unseen();
        let failed = Failed { who: "c|task-7", passing: false, metrics: Some(&*metrics) };
        assert!(schedule.next(|_| true).is_none());
        for attempt in 1..=2 {
            schedule.failed(&7, POLICY, &failed);
            assert_eq!(schedule.shown(&7).unwrap().attempt, attempt);
            assert_eq!(metrics.next_restart(), schedule.shown(&7));
            assert!(schedule.next(|task| *task != 7).is_none());
            assert_eq!(due(schedule.next(|_| true)).await, 7);
            schedule.started(&7);
            assert!(schedule.next(|_| true).is_none() && schedule.shown(&7).is_none());
            schedule.running(&7);
        }
        schedule.failed(&7, POLICY, &failed);
        assert!(schedule.next(|_| true).is_none() && metrics.next_restart().is_none());
        schedule.forget(&7);
        schedule.failed(&7, POLICY, &failed);
        assert_eq!(schedule.shown(&7).unwrap().attempt, 1);
    }
}
