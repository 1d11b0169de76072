//! What the leader writes.
//!
//! A request looks at what is configured, decides, and writes; were two of them to do so at the same
//! time, each would decide on what the other is about to change. So they do it one after the other,
//! as in the JVM's worker, and between the rounds of the group: a request that comes in one waits
//! for its end. Those whose turn comes before the leader joins the next round are all part of that
//! one round ([`super::departure`]).
//!
//! That a round is over, and that it was about the newest configurations, also says that every
//! worker has stopped the tasks that are not configured any more, which is why offsets are changed
//! only then.

use std::{sync::Arc, time::Duration};

use model::connector::Object;
use tokio::{
    sync::MutexGuard,
    time::{Instant, timeout_at},
};

use super::{Shared, failed, info_of, kind, known, plugin_of, stores};
use crate::{
    group::Owners,
    herder::{
        Answer, ConnectorInfo, RawConfig, Refusal, Target, sink_offsets,
        task_configs::alter_offsets, validate,
    },
    plugins::Plugin,
};

/// How long a request waits for its turn: less than REST gives it, so that nothing is written after
/// the client has been told that time is up.
const TURN_WITHIN: Duration = Duration::from_secs(60);

impl Shared {
    /// Whether no round is under way: what is written now is part of the next one.
    fn open(&self) -> bool {
        !self.standing.borrow().joining
    }

    /// Whether the last round is over and was about the newest configurations.
    fn settled(&self) -> bool {
        let standing = self.standing.borrow();
        !standing.joining && self.configs.snapshot().round() <= standing.config_offset
    }

    /// A change of configurations that the group has yet to hear of, while it does not join yet.
    pub(super) fn stale(&self) -> bool {
        let standing = self.standing.borrow();
        let between = !standing.joining && !standing.due;
        between && self.configs.snapshot().round() > standing.config_offset
    }

    /// Waits for the end of a round that is under way or due.
    pub(super) async fn between_rounds(&self) -> Answer<()> {
        self.reach(Self::settled, Instant::now() + TURN_WITHIN).await
    }

    async fn reach(&self, at: impl Fn(&Self) -> bool, deadline: Instant) -> Answer<()> {
        let mut standing = self.standing.subscribe();
        loop {
            if at(self) {
                return Ok(());
            }
            match timeout_at(deadline, standing.changed()).await {
                Ok(Ok(())) => {}
                // As REST says it of a worker that takes longer still.
                _ => return Err(self.timed_out()),
            }
        }
    }

    /// The turn of a request that is the leader's to serve.
    pub(super) async fn lead(&self) -> Answer<MutexGuard<'_, ()>> {
        self.turn(Self::open).await
    }

    /// The same for one that wants the group to have heard of all that was written before.
    pub(super) async fn lead_settled(&self) -> Answer<MutexGuard<'_, ()>> {
        self.turn(Self::settled).await
    }

    async fn turn(&self, at: impl Fn(&Self) -> bool) -> Answer<MutexGuard<'_, ()>> {
        let deadline = Instant::now() + TURN_WITHIN;
        loop {
            self.reach(&at, deadline).await?;
            self.leader()?;
            let Ok(turn) = timeout_at(deadline, self.writing.lock()).await else {
                return Err(super::busy());
            };
            if at(self) {
                self.leader()?;
                return Ok(turn);
            }
        }
    }

    fn timed_out(&self) -> Refusal {
        let stage = self.stages.told().map_or_else(String::new, |stage| format!(". {stage}"));
        Refusal::new(500, format!("Request timed out{stage}"))
    }

    fn leader(&self) -> Answer<()> {
        let standing = self.standing.borrow();
        match standing.leads {
            true => Ok(()),
            false => Err(Refusal::elsewhere(&standing.leader_url)),
        }
    }

    /// Who has to restart what this worker does not run: the leader knows its owner.
    pub(super) fn elsewhere(&self, owner: impl FnOnce(&Owners) -> Option<&str>) -> Refusal {
        let standing = self.standing.borrow();
        match standing.leads {
            // Of what nobody has yet REST says that a round is under way.
            true => Refusal::elsewhere(owner(&standing.owners).unwrap_or_default()),
            false => Refusal::elsewhere(&standing.leader_url),
        }
    }
}

pub(super) async fn put(
    shared: &Shared,
    name: &str,
    config: RawConfig,
    initial: Option<Target>,
    replace: bool,
) -> Answer<(bool, ConnectorInfo)> {
    validated(shared, &config).await?;
    let _turn = shared.lead().await?;
    write(shared, name, config, initial, replace).await
}

async fn validated(shared: &Shared, config: &RawConfig) -> Answer<()> {
    let infos = validate::validate(&shared.worker, &shared.tasks, config).await?;
    validate::refusal(&infos).map_or(Ok(()), Err)
}

async fn write(
    shared: &Shared,
    name: &str,
    config: RawConfig,
    initial: Option<Target>,
    replace: bool,
) -> Answer<(bool, ConnectorInfo)> {
    let exists = shared.configs.snapshot().contains(name);
    if exists && !replace {
        return Err(Refusal::new(409, format!("Connector {name} already exists")));
    }
    let initial = initial.filter(|_| !exists);
    shared.configs.put_connector(name, &config, initial).await.map_err(failed)?;
    Ok((!exists, info_of(&shared.configs.snapshot(), name, &config)))
}

/// Validation runs connector code, so nobody else's turn waits for it; what it was about must then
/// still be so.
pub(super) async fn patch(shared: &Shared, name: &str, patch: RawConfig) -> Answer<ConnectorInfo> {
    loop {
        drop(shared.lead().await?);
        let before = known(&shared.configs.snapshot(), name)?;
        let mut config = before.as_ref().clone().in_hash_order();
        config.patch(&patch);
        let config = config.in_hash_order();
        validated(shared, &config).await?;
        let _turn = shared.lead().await?;
        if known(&shared.configs.snapshot(), name)? == before {
            return Ok(write(shared, name, config, None, true).await?.1);
        }
    }
}

pub(super) async fn delete(shared: &Shared, name: &str) -> Answer<()> {
    let _turn = shared.lead().await?;
    known(&shared.configs.snapshot(), name)?;
    shared.configs.delete_connector(name).await.map_err(failed)
}

/// First no tasks, then STOPPED: cut off between the two, the connector still is what it can be.
pub(super) async fn stop(shared: &Shared, name: &str) -> Answer<()> {
    shared.reach(Shared::open, Instant::now() + TURN_WITHIN).await?;
    let unknown = || Refusal::new(404, format!("Unknown connector {name}"));
    if !shared.configs.snapshot().contains(name) {
        return Err(unknown());
    }
    let _turn = shared.lead().await?;
    if !shared.configs.snapshot().contains(name) {
        return Err(unknown());
    }
    shared.configs.put_tasks(name, &[]).await.map_err(failed)?;
    shared.configs.put_target(name, Target::Stopped).await.map_err(failed)?;
    // Whoever's turn is next must see it.
    if let Err(error) = shared.configs.refresh(shared.group.sync_timeout).await {
        tracing::warn!("connector {name} was stopped: {}", error.trace());
    }
    Ok(())
}

/// Stores the tasks of a connector, for this worker or another one that runs it.
pub(super) async fn put_tasks(shared: &Shared, name: &str, tasks: &[RawConfig]) -> Answer<()> {
    let _turn = shared.lead().await?;
    let snapshot = shared.configs.snapshot();
    known(&snapshot, name)?;
    stores::check(&snapshot, name, tasks).map_err(|why| Refusal::new(400, why))?;
    shared.configs.put_tasks(name, tasks).await.map_err(failed)
}

pub(super) async fn change_offsets(
    shared: &Shared,
    name: &str,
    changes: Option<Vec<(Object, Option<Object>)>>,
) -> Answer<bool> {
    let _turn = loop {
        let turn = shared.lead_settled().await?;
        shared.configs.refresh(shared.group.sync_timeout).await.map_err(|error| {
            tracing::error!("{}", error.trace());
            Refusal::new(
                500,
                "Failed to read to end of config topic before modifying connector offsets",
            )
        })?;
        if shared.settled() {
            break turn;
        }
    };
    let snapshot = shared.configs.snapshot();
    let config = known(&snapshot, name)?;
    if snapshot.target(name) != Some(Target::Stopped) || snapshot.task_count(name) != 0 {
        return Err(Refusal::not_stopped(name));
    }
    let source = match plugin_of(&config).map_err(failed)? {
        Plugin::Source(source) => source,
        Plugin::Sink(sink) => {
            let raw = config.props();
            return sink_offsets::change(&shared.worker, &shared.tasks, sink, name, &raw, changes)
                .await;
        }
    };
    let offsets = &shared.tasks.offsets;
    let changes = match changes {
        Some(changes) => changes,
        None => {
            let listed = offsets.list(name).await.map_err(failed)?;
            listed.into_iter().map(|(partition, _)| (partition, None)).collect()
        }
    };
    let raw = config.props();
    let done = alter_offsets(&shared.worker, &shared.tasks.threads, source, &raw, &changes)
        .await
        .map_err(failed)?;
    offsets.write(name, changes).await.map_err(failed)?;
    Ok(done)
}

/// The leader's part of starting tasks with exactly-once support elsewhere: what producers of the
/// tasks before may still do is put to an end, and that is noted.
pub(super) async fn fence(shared: &Arc<Shared>, name: &str) -> Answer<()> {
    let _turn = shared.lead_settled().await?;
    let config = known(&shared.configs.snapshot(), name)?;
    if kind(&config) != "source" {
        return Err(Refusal::new(400, format!("Connector {name} is not a source connector")));
    }
    shared.configs.refresh(shared.group.sync_timeout).await.map_err(|error| {
        tracing::error!("{}", error.trace());
        Refusal::new(500, "Failed to read to end of config topic before performing zombie fencing")
    })?;
    let snapshot = shared.configs.snapshot();
    if !snapshot.pending_fencing(name) {
        return Ok(());
    }
    let tasks = snapshot.task_count(name);
    if let Some(before) = snapshot.fenced_tasks(name).filter(|before| (*before, tasks) != (1, 1)) {
        let ids = (0..before).map(|task| format!("{}-{name}-{task}", shared.group.group_id));
        super::fencing::fence(&shared.worker.props, name, ids.collect()).await.map_err(
            |error| {
                tracing::error!("{}", error.trace());
                Refusal::new(500, "Failed to perform zombie fencing")
            },
        )?;
        if shared.configs.snapshot().generation(name) != snapshot.generation(name) {
            return Err(Refusal::new(
                409,
                "Failed to complete zombie fencing because a new set of task configs was generated",
            ));
        }
    }
    shared.configs.put_fencing(name, tasks).await.map_err(failed)
}
