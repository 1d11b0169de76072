//! The driver's part in the group's rounds: joining them, and doing what they say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::error::Result;
use tokio::time::Instant;

use super::{
    READ_WITHIN, Shared,
    driver::{Driver, FLUSH_WITHIN, due, note_end},
};
use crate::{
    group::{
        Configured, Election, Joining, Leader, LeaderAssign, Owners, Round, Version, Work,
        wire::Assignment,
    },
    storage::Snapshot,
};

/// How often a worker that can't read the config topic in time keeps its work all the same, and
/// comes back to the group with it.
pub(super) const RETRIES: u32 = 5;

/// What came of a round.
pub(super) enum Taken {
    /// The work runs. The next round is due then, if one is planned.
    Settled(Option<Instant>),
    /// There must be another round at once.
    Again,
}

impl Driver {
    /// Takes part in the next round. `None` when the time is up, or, without a time, when the worker
    /// is to end.
    pub(super) async fn join(&mut self, until: Option<Instant>) -> Option<Result<Round>> {
        self.shared.tasks.metrics.group().rebalancing();
        self.shared.standing.send_if_modified(|standing| {
            standing.due = false;
            !std::mem::replace(&mut standing.joining, true)
        });
        if self.version == Version::V0 && self.allocation.is_some() {
            // Agreed by the eager protocol: nobody runs anything while the work is shared out.
            self.give_up().await;
        }
        let snapshot = self.shared.configs.snapshot();
        // What is not to run any more, or not as it does, ends before the round: when the round is
        // over everybody may count on that. It stays this worker's.
        let outdated = self.running.outdated(&snapshot);
        if !outdated.is_empty() {
            tracing::info!(
                "stopping {} connectors and {} tasks that are not to run any more, or not as they do",
                outdated.connectors.len(),
                outdated.tasks.len()
            );
            self.running.stop(&outdated).await;
            self.shared.statuses.flush(FLUSH_WITHIN).await;
        }
        let joining = Joining {
            url: self.url.clone(),
            config_offset: snapshot.offset(),
            running: self.allocation.clone(),
        };
        let mut assigning = Assigning {
            shared: &self.shared,
            leader: &mut self.leader,
            began: self.began,
            owners: Arc::default(),
        };
        let stopping = self.shared.stopping.clone();
        let joined = {
            let mut joined = std::pin::pin!(self.member.join(&joining, &mut assigning));
            loop {
                tokio::select! {
                    joined = &mut joined => break Some(joined),
                    () = due(until), if until.is_some() => break None,
                    () = stopping.cancelled(), if until.is_none() => break None,
                    Some(update) = self.updates.recv() => self.running.note(update),
                    // Tasks that are to run again, or for the first time, do not wait for the others.
                    Some(stopped) = self.stopped.recv() => {
                        note_end(&mut self.running, &mut self.updates, &stopped);
                    }
                    Some(resolved) = self.resolved.recv() => self.running.resolved(resolved),
                    Some(named) = self.named.recv() => {
                        if let Some((name, tasks)) = self.running.named(named) {
                            self.stores.want(&name, tasks);
                        }
                    }
                }
            }
        };
        self.owners = assigning.owners;
        if matches!(joined, Some(Err(_))) {
            self.shared.tasks.metrics.group().rebalance_failed();
        }
        joined
    }

    /// The work can't stay here: others may be given it.
    pub(super) async fn give_up(&mut self) {
        self.shared.standing.send_modify(|standing| {
            standing.joining = true;
            standing.leads = false;
            standing.leader_url.clear();
        });
        let all = self.running.work();
        self.stop(&all).await;
        self.allocation = None;
    }

    async fn stop(&mut self, work: &Work) {
        if work.is_empty() {
            return;
        }
        for name in &work.connectors {
            self.stores.cancel(name);
        }
        self.running.stop(work).await;
        // What they use is forgotten with the connectors, after the tasks' last words of it.
        let snapshot = self.shared.configs.snapshot();
        let of_tasks = work.tasks.iter().map(|id| &id.connector);
        for name in work.connectors.iter().chain(of_tasks).filter(|name| !snapshot.contains(name)) {
            for status in self.shared.statuses.topics(name) {
                self.shared.statuses.remove_topic(name, &status.topic);
            }
        }
        // Whoever runs it next must have the last word.
        self.shared.statuses.flush(FLUSH_WITHIN).await;
    }

    /// Does what a round says.
    pub(super) async fn take(&mut self, round: &Round) -> Taken {
        let assignment = &round.assignment;
        self.version = round.version;
        self.shared.standing.send_modify(|standing| {
            standing.generation = round.generation;
            standing.leads = round.leads();
            standing.leader_url.clone_from(&assignment.leader_url);
            standing.version = Some(round.version);
            standing.owners = std::mem::take(&mut self.owners);
        });
        tracing::info!(
            "generation {} of group {}: {} connectors and {} tasks more, {} and {} fewer, leader {}",
            round.generation,
            self.shared.group.group_id,
            assignment.work.connectors.len(),
            assignment.work.tasks.len(),
            assignment.revoked.connectors.len(),
            assignment.revoked.tasks.len(),
            assignment.leader_url
        );
        self.stop(&assignment.revoked).await;
        self.allocation = Some(allocation(self.allocation.take(), round));

        let configs = &self.shared.configs;
        let behind = configs.snapshot().offset() < assignment.config_offset;
        if behind || (assignment.error != 0 && round.leads()) {
            self.readable = self.catch_up().await;
            if !self.readable {
                return Taken::Again;
            }
        }
        if assignment.error != 0 {
            tracing::warn!("the leader could not share the work out; joining again");
            self.idle(self.shared.group.retry_backoff).await;
            return Taken::Again;
        }
        let snapshot = self.shared.configs.snapshot();
        if snapshot.offset() < assignment.config_offset {
            tracing::error!(
                "the leader ({}) has shared the work out by offset {} of its config topic, and this \
                 worker's ends at {}; check that config.storage.topic and bootstrap.servers are the \
                 same for all workers of group {}",
                assignment.leader_url,
                assignment.config_offset,
                snapshot.offset(),
                self.shared.group.group_id
            );
            self.idle(self.shared.group.sync_timeout).await;
            return Taken::Again;
        }
        if snapshot.offset() != assignment.config_offset {
            tracing::info!(
                "the configurations have gone on to offset {} since the work was shared out by \
                 offset {}; joining again",
                snapshot.offset(),
                assignment.config_offset
            );
            return Taken::Again;
        }
        self.start(&snapshot).await;
        if round.leads() {
            self.forget_the_gone(&snapshot);
        }
        if !assignment.revoked.is_empty() {
            return Taken::Again;
        }
        self.shared.standing.send_modify(|standing| {
            standing.config_offset = assignment.config_offset;
            standing.joining = false;
        });
        let metrics = self.shared.tasks.metrics.group();
        let protocol = match round.version {
            Version::V0 => "EAGER",
            Version::V1 => "COMPATIBLE",
            Version::V2 => "SESSIONED",
        };
        metrics.rebalanced(round.generation, protocol, &assignment.leader_url);
        let work = self.running.work();
        metrics.assigned(work.connectors.len(), work.tasks.len());
        let delay = u64::try_from(assignment.delay_ms).unwrap_or(0);
        Taken::Settled((delay > 0).then(|| Instant::now() + Duration::from_millis(delay)))
    }

    /// Runs what is assigned and configured, and nothing else.
    async fn start(&mut self, snapshot: &Snapshot) {
        // A new leader does not know what it should revoke: what is not configured any more, and, in
        // an eager group, what went to others.
        let mut allocation = self.allocation.take().unwrap_or_default();
        allocation = allocation.common(&configured(snapshot).work());
        let mut over = self.running.work().without(&allocation);
        // Configured anew since this worker joined.
        over.add(&self.running.outdated(snapshot));
        let outlasting = self.running.outlasting();
        if !outlasting.is_empty() {
            tracing::info!(
                "starting tasks again from the stored offsets, because the membership they ran \
                 under is over: {outlasting:?}"
            );
            over.add(&outlasting);
        }
        self.stop(&over).await;
        for name in &allocation.connectors {
            if !self.running.has_connector(name) {
                self.running.start_connector(name);
            }
        }
        for id in &allocation.tasks {
            if !self.running.has_task(id) {
                self.running.start_task(id, Vec::new());
            }
        }
        self.running.tell_of_kept();
        self.allocation = Some(allocation);
    }

    /// Reads the config topic to its end. A worker that can't in time leaves the group, which need
    /// not wait for it then, keeps its work for some tries, and waits before the next one. `false`
    /// when the topic has not been read.
    pub(super) async fn catch_up(&mut self) -> bool {
        let Err(error) = self.shared.configs.refresh(self.shared.group.sync_timeout).await else {
            self.retries = RETRIES;
            return true;
        };
        tracing::warn!("the config topic was not read quickly enough: {}", error.trace());
        self.shared.standing.send_modify(|standing| {
            standing.joining = true;
            standing.leads = false;
        });
        let within = self.shared.group.sync_timeout.max(self.shared.group.retry_backoff);
        let leaving = self.member.leave("taking too long to read the log");
        if !matches!(tokio::time::timeout(within, leaving).await, Ok(Ok(()))) {
            tracing::warn!("the group was not told that this worker falls behind");
        }
        let group = &self.shared.group;
        match back_off(self.version, self.retries, group.rebalance_delay, group.unsync_backoff) {
            Some(wait) => {
                self.retries = self.retries.saturating_sub(1);
                // Not one try after the other, whatever the settings.
                self.idle(wait.max(self.shared.group.retry_backoff)).await;
            }
            None => {
                tracing::warn!(
                    "giving up all work, because this worker has not caught up with the \
                     configurations after {RETRIES} tries"
                );
                self.give_up().await;
                self.retries = RETRIES;
            }
        }
        false
    }

    /// Calls for a round before the worker ends, where what it runs is to go to others at once: they
    /// then listen closely (see the module on heartbeats), and hear of its leaving as soon as it has
    /// stopped its tasks, instead of up to a heartbeat's interval later.
    pub(super) async fn announce(&mut self) {
        let settled = !self.shared.standing.borrow().joining;
        let group = &self.shared.group;
        if !settled
            || !group.rebalance_delay.is_zero()
            || self.version == Version::V0
            || self.running.work().is_empty()
        {
            return;
        }
        // Members that are slow to answer are not waited for.
        let within = group.heartbeat_interval + Duration::from_secs(1);
        self.member.call_all();
        match self.join(Some(Instant::now() + within)).await {
            Some(Ok(round)) => {
                tracing::debug!("generation {} is told of the end", round.generation)
            }
            Some(Err(error)) => tracing::debug!("the end is not announced: {}", error.trace()),
            None => tracing::debug!("not all members have heard of the end in time"),
        }
    }

    /// The leader's duty: statuses of what is not configured any more are removed.
    fn forget_the_gone(&self, snapshot: &Snapshot) {
        let statuses = &self.shared.statuses;
        let generation = self.shared.standing.borrow().generation;
        for name in statuses.connectors() {
            let tasks = snapshot.tasks(&name);
            for task in statuses.tasks(&name).into_keys().filter(|task| !tasks.contains(task)) {
                statuses.remove_task(&name, task, generation);
            }
            if !snapshot.contains(&name) {
                statuses.remove_connector(&name, generation);
            }
        }
    }
}

/// What is this worker's after a round.
fn allocation(before: Option<Work>, round: &Round) -> Work {
    let mut allocation = match round.version {
        // The assignment is all there is, not what comes on top.
        Version::V0 => Work::default(),
        _ => before.unwrap_or_default(),
    };
    allocation.remove(&round.assignment.revoked);
    allocation.add(&round.assignment.work);
    allocation
}

/// How long a worker waits that could not read the config topic, with so many tries left; `None`
/// when it has to give its work up.
fn back_off(
    version: Version,
    retries: u32,
    rebalance_delay: Duration,
    unsync_backoff: Duration,
) -> Option<Duration> {
    match version {
        Version::V0 => Some(unsync_backoff),
        // In all about a fourth of the time for which the leader keeps the work for it.
        _ => (rebalance_delay / 10).checked_div(retries),
    }
}

/// The leader's part of a round.
struct Assigning<'d> {
    shared: &'d Shared,
    leader: &'d mut Leader,
    began: Instant,
    owners: Arc<Owners>,
}

#[async_trait]
impl LeaderAssign for Assigning<'_> {
    async fn assign(&mut self, election: &Election) -> Result<BTreeMap<String, Assignment>> {
        let configs = &self.shared.configs;
        if configs.snapshot().offset() < election.config_offset_max() {
            // What cannot be read now is told to the members by the offset that is reached.
            if let Err(error) =
                configs.refresh(READ_WITHIN.min(self.shared.group.sync_timeout)).await
            {
                tracing::warn!("{}", error.trace());
            }
        }
        let configured = configured(&configs.snapshot());
        let outcome = self.leader.assign(election, &configured, self.began.elapsed());
        self.owners = Arc::new(outcome.owners);
        Ok(outcome.assignments)
    }
}

fn configured(snapshot: &Snapshot) -> Configured {
    let tasks = |name: &str| u32::try_from(snapshot.tasks(name).len()).unwrap_or(u32::MAX);
    Configured {
        offset: snapshot.offset(),
        tasks: snapshot.connectors().map(|name| (name.to_owned(), tasks(name))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::TaskId;

    fn work(tasks: &[u32]) -> Work {
        let id = |task: &u32| TaskId { connector: "c".into(), task: *task };
        Work { tasks: tasks.iter().map(id).collect(), ..Work::default() }
    }

    #[test]
    fn what_is_assigned_comes_on_top_except_in_an_eager_group() {
        for (version, after) in
            [(Version::V0, [2].as_slice()), (Version::V1, &[1, 2]), (Version::V2, &[1, 2])]
        {
            let round = Round {
                generation: 1,
                member_id: "m".into(),
                version,
                assignment: Assignment {
                    work: work(&[2]),
                    revoked: work(&[0]),
                    ..Assignment::default()
                },
                members: None,
            };
            assert_eq!(allocation(Some(work(&[0, 1])), &round), work(after), "{version:?}");
            assert_eq!(allocation(None, &round), work(&[2]));
        }
    }

    #[test]
    fn the_pauses_of_a_worker_that_cannot_read() {
        let (delay, unsync) = (Duration::from_secs(300), Duration::from_secs(7));
        let waits =
            |version| (0..=RETRIES).rev().map(move |left| back_off(version, left, delay, unsync));
        let seconds = [6.0, 7.5, 10.0, 15.0, 30.0].map(|wait| Some(Duration::from_secs_f64(wait)));
        assert_eq!(waits(Version::V2).collect::<Vec<_>>(), [&seconds[..], &[None]].concat());
        assert!(waits(Version::V0).all(|wait| wait == Some(unsync)));
        assert_eq!(back_off(Version::V1, 5, Duration::ZERO, unsync), Some(Duration::ZERO));
    }
}
