//! Incremental cooperative assignment, protocol versions 1 and 2.
//!
//! Members keep running while they join, and tell what they run. The leader compares that with what
//! is configured and with what it handed out in the round before, and answers each member with what
//! to start and what to stop. A member that had to stop something joins again at once, and in that
//! round the freed work is handed out.
//!
//! # Work that is gone
//!
//! Work that was handed out and that nobody runs belonged to a worker that left. It is held back for
//! `scheduled.rebalance.max.delay.ms`, in case the worker is only restarting; workers that run
//! nothing meanwhile are remembered, and get it when the time is over. Whoever joins earlier only
//! hears how long it still lasts.
//!
//! # Balance
//!
//! While nothing is held back, members with more than their share give the surplus up. A group that
//! revokes in every round, because members come and go, slows down by a back-off.
//!
//! # What is forgotten
//!
//! All this is known to one leader only. A new leader takes work that nobody runs for new, and hands
//! it out at once. The same happens when the leader itself missed a round.
//!
//! The rules are those of Kafka's `IncrementalCooperativeAssignor`, so that it makes no difference
//! to a mixed group who leads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    time::Duration,
};

use indexmap::IndexSet;
use tracing::debug;

use super::{leader::Configured, wire::Work};

/// What the leader remembers between rounds.
#[derive(Debug)]
pub struct Cooperative {
    /// `scheduled.rebalance.max.delay.ms`.
    delay_max: Duration,
    /// What was handed out in the last round, with what was held back.
    assigned: Work,
    revoked: Work,
    /// The round that [`Self::assigned`] is of.
    generation: Option<i32>,
    members: BTreeSet<String>,
    /// The last round took work away to balance the load.
    revoked_for_balance: bool,
    /// How many rounds in a row wanted to take work away after one that did.
    successive: u32,
    /// Workers that were without work while some was held back.
    candidates: IndexSet<String>,
    /// When work that is held back is handed out, as `now` of [`Self::assign`] counts.
    scheduled: Option<Duration>,
    delay: Duration,
}

/// One round, as a member of it sees it.
#[derive(Debug)]
pub struct Round<'r> {
    /// The generation that this round has.
    pub generation: i32,
    /// The last generation whose assignment the leader itself received.
    pub completed: i32,
    /// What each member says it runs.
    pub running: &'r BTreeMap<String, Work>,
    pub configured: &'r Configured,
    /// Time since any fixed moment.
    pub now: Duration,
}

/// What the members are told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What each member starts.
    pub assigned: BTreeMap<String, Work>,
    /// What each member stops; members without are absent.
    pub revoked: BTreeMap<String, Work>,
    /// When all members join again; zero for never.
    pub delay: Duration,
    /// What each member runs when all have done so.
    pub result: BTreeMap<String, Work>,
}

/// What a member will run.
struct Load {
    worker: String,
    work: Work,
}

impl Cooperative {
    pub fn new(delay_max: Duration) -> Self {
        Self {
            delay_max,
            assigned: Work::default(),
            revoked: Work::default(),
            generation: None,
            members: BTreeSet::new(),
            revoked_for_balance: false,
            successive: 0,
            candidates: IndexSet::new(),
            scheduled: None,
            delay: Duration::ZERO,
        }
    }

    pub fn assign(&mut self, round: &Round<'_>) -> Plan {
        if self.generation != Some(round.completed) {
            debug!(
                "what was handed out in generation {:?} is forgotten: {} was the last that \
                 completed here",
                self.generation, round.completed
            );
            self.assigned = Work::default();
        }
        let configured = round.configured.work();
        let mut active = Work::default();
        for running in round.running.values() {
            active.add(running);
        }
        let revoked = std::mem::take(&mut self.revoked);
        if !revoked.common(&active).is_empty() {
            // Somebody did not stop what it should have.
            self.assigned = active.clone();
        }
        let deleted = self.assigned.without(&configured);
        let duplicated = duplicated(round.running);
        let lost = self.assigned.without(&active).without(&deleted).sorted();
        let mut created = configured.without(&self.assigned).without(&active);

        let mut stopped = deleted;
        stopped.add(&duplicated);
        let mut revocations: BTreeMap<String, Work> = BTreeMap::new();
        let mut loads = Vec::with_capacity(round.running.len());
        for (worker, running) in round.running {
            revoke(&mut revocations, worker, running.common(&stopped));
            loads.push(Load { worker: worker.clone(), work: running.without(&stopped) });
        }

        let reassigned = self.handle_lost(&lost, &mut loads, round.now);
        self.balance(&configured, &mut loads, &mut revocations, round.now);

        created.add(&reassigned);
        let created = created.sorted();
        fill(&mut loads, created.connectors, |work| &mut work.connectors);
        fill(&mut loads, created.tasks, |work| &mut work.tasks);

        let mut plan = Plan { delay: self.delay, ..Plan::default() };
        self.assigned = Work::default();
        for Load { worker, work } in loads {
            let started = match round.running.get(&worker) {
                Some(running) => work.without(running),
                None => work.clone(),
            };
            self.assigned.add(&work);
            plan.assigned.insert(worker.clone(), started);
            plan.result.insert(worker, work);
        }
        for work in revocations.values() {
            self.assigned.remove(work);
            self.revoked.add(work);
        }
        self.assigned.add(&lost);
        self.generation = Some(round.generation);
        self.members = round.running.keys().cloned().collect();
        plan.revoked = revocations;
        plan
    }

    /// What of the lost work is handed out as if it were new.
    fn handle_lost(&mut self, lost: &Work, loads: &mut [Load], now: Duration) -> Work {
        if lost.is_empty() && !self.revoked_for_balance {
            self.end_delay();
            return Work::default();
        }
        let all_stayed =
            self.members.iter().all(|member| loads.iter().any(|load| load.worker == *member));
        // When nobody left, some member did not get its part of the last round.
        if (self.scheduled.is_none() && all_stayed) || self.delay_max.is_zero() {
            return lost.clone();
        }
        match self.scheduled {
            Some(scheduled) if now >= scheduled => {
                let candidates: Vec<usize> = self
                    .candidates
                    .iter()
                    .filter_map(|worker| loads.iter().position(|load| load.worker == *worker))
                    .collect();
                let mut reassigned = Work::default();
                if candidates.is_empty() {
                    reassigned.add(lost);
                } else {
                    let turns = || candidates.iter().copied().cycle();
                    for (connector, at) in lost.connectors.iter().zip(turns()) {
                        loads[at].work.connectors.insert(connector.clone());
                    }
                    for (task, at) in lost.tasks.iter().zip(turns()) {
                        loads[at].work.tasks.insert(task.clone());
                    }
                }
                self.end_delay();
                self.revoked_for_balance = false;
                reassigned
            }
            scheduled => {
                let idle = loads.iter().filter(|load| load.work.is_empty());
                self.candidates.extend(idle.map(|load| load.worker.clone()));
                self.delay = match scheduled {
                    Some(scheduled) => scheduled.saturating_sub(now).min(self.delay_max),
                    None => self.delay_max,
                };
                self.scheduled = Some(now + self.delay);
                Work::default()
            }
        }
    }

    fn end_delay(&mut self) {
        self.candidates.clear();
        self.scheduled = None;
        self.delay = Duration::ZERO;
    }

    /// Takes surplus away from those who have more than their share.
    fn balance(
        &mut self,
        configured: &Work,
        loads: &mut [Load],
        revocations: &mut BTreeMap<String, Work>,
        now: Duration,
    ) {
        if !self.delay.is_zero() {
            self.revoked_for_balance = false;
            return;
        }
        let surplus = surpluses(configured, loads);
        if surplus.iter().all(Work::is_empty) {
            if self.revoked_for_balance {
                self.revoked_for_balance = false;
                self.successive = 0;
            }
            return;
        }
        if self.revoked_for_balance {
            self.successive = self.successive.saturating_add(1);
            self.delay = self.back_off();
            if !self.delay.is_zero() {
                self.scheduled = Some(now + self.delay);
                return;
            }
        } else {
            self.revoked_for_balance = true;
        }
        for (load, surplus) in loads.iter_mut().zip(surplus) {
            load.work.remove(&surplus);
            revoke(revocations, &load.worker, surplus);
        }
    }

    /// 40 ms, 1.6 s, 64 s, and so on up to the longest delay.
    fn back_off(&self) -> Duration {
        let millis = 40_u64.saturating_pow(self.successive);
        Duration::from_millis(millis).min(self.delay_max)
    }
}

fn revoke(revocations: &mut BTreeMap<String, Work>, worker: &str, work: Work) {
    if !work.is_empty() {
        revocations.entry(worker.to_owned()).or_default().add(&work);
    }
}

/// What more than one worker runs.
fn duplicated(running: &BTreeMap<String, Work>) -> Work {
    let mut seen = Work::default();
    let mut twice = Work::default();
    for work in running.values() {
        twice.add(&work.common(&seen));
        seen.add(work);
    }
    twice
}

/// What each worker has beyond its share, connectors and tasks counted apart.
fn surpluses(configured: &Work, loads: &[Load]) -> Vec<Work> {
    if configured.is_empty() || loads.iter().all(|load| load.work.is_empty()) {
        return Vec::new();
    }
    let connectors = surplus(configured.connectors.len(), loads, |work| &work.connectors);
    let tasks = surplus(configured.tasks.len(), loads, |work| &work.tasks);
    let pairs = connectors.into_iter().zip(tasks);
    pairs.map(|(connectors, tasks)| Work { connectors, tasks }).collect()
}

fn surplus<T: Clone + Eq + Hash>(
    total: usize,
    loads: &[Load],
    of: impl Fn(&Work) -> &IndexSet<T>,
) -> Vec<IndexSet<T>> {
    let least = total / loads.len();
    let mut extras = total % loads.len();
    let with = |count| loads.iter().filter(|load| of(&load.work).len() == count).count();
    if with(least + 1) == extras && with(least) == loads.len() - extras {
        return vec![IndexSet::new(); loads.len()];
    }
    let mut surplus = Vec::with_capacity(loads.len());
    for load in loads {
        let held = of(&load.work);
        let kept = if held.len() > least && extras > 0 {
            extras -= 1;
            least + 1
        } else {
            least
        };
        let over = held.len().saturating_sub(kept);
        surplus.push(held.iter().take(over).cloned().collect());
    }
    surplus
}

/// Hands out `items`, always to one of those who have the least: those who had the least before come
/// first, then by id.
fn fill<T: Eq + Hash>(
    loads: &mut [Load],
    items: IndexSet<T>,
    of: impl Fn(&mut Work) -> &mut IndexSet<T>,
) {
    loads.sort_by(|one, other| one.worker.cmp(&other.worker));
    let mut slots: Vec<&mut IndexSet<T>> =
        loads.iter_mut().map(|load| of(&mut load.work)).collect();
    slots.sort_by_key(|held| held.len());
    for item in items {
        // The first of them.
        let Some(least) = slots.iter_mut().min_by_key(|held| held.len()) else { return };
        least.insert(item);
    }
}

#[cfg(test)]
mod tests;
