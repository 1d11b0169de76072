//! What this worker runs of the group's connectors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use model::{
    connector::Props,
    error::{Error, Result},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
};

use super::{Shared, plugin_of};
use crate::{
    group::{TaskId, Work},
    herder::{
        Answer, RawConfig, Refusal, Target,
        restarts::Schedule,
        task_configs::{task_configs, watch},
    },
    plugins::Plugin,
    runtime::{State, StatusUpdate, TaskHandle},
    storage::{Snapshot, Status},
};

mod late;
mod tasks;

use late::Part;

/// A connector has named its tasks, or failed, then or later.
pub(super) struct Named {
    pub(super) connector: String,
    /// Which start of it that was.
    pub(super) start: u64,
    pub(super) tasks: Result<Vec<RawConfig>>,
}

/// The providers have answered what the configuration of a task refers to, or have not.
pub(super) struct Resolved {
    id: TaskId,
    /// Which start of it that was.
    start: u64,
    props: Result<Props>,
}

/// A task that was to stop, while all else goes on, has stopped.
pub(super) struct Stopped {
    pub(super) id: TaskId,
    /// Which of its stops that was.
    pub(super) stop: u64,
}

pub(super) type Reply = oneshot::Sender<Answer<()>>;

pub(super) struct Running {
    shared: Arc<Shared>,
    connectors: BTreeMap<String, Connector>,
    tasks: BTreeMap<TaskId, Task>,
    /// Of failed tasks.
    restarts: Schedule<TaskId>,
    starts: u64,
    named: mpsc::UnboundedSender<Named>,
    updates: mpsc::UnboundedSender<StatusUpdate>,
    stopped: mpsc::UnboundedSender<Stopped>,
    resolved: mpsc::UnboundedSender<Resolved>,
    /// What the status topic had wrong at the last look.
    doubtful: BTreeSet<Part>,
}

struct Connector {
    start: u64,
    state: State,
    /// Connector code under way.
    naming: Option<AbortHandle>,
    /// Who asked for a restart and waits for its outcome.
    replies: Vec<Reply>,
}

struct Task {
    /// The name this instance was started with: what it says of itself has the same pointer, and
    /// not what an instance before it may still say.
    who: Arc<str>,
    /// Of the configurations it was started with.
    generation: Option<u64>,
    /// The membership under which it may store offsets; none for a sink, whose consumer group knows
    /// who is late.
    membership: Option<u64>,
    state: State,
    phase: Phase,
}

enum Phase {
    /// It starts when the providers have answered what its configuration refers to.
    Resolving {
        start: u64,
        replies: Vec<Reply>,
    },
    Runs(TaskHandle),
    /// It could not be started.
    Failed,
    /// It stops while all else goes on.
    Stopping {
        stop: u64,
        then: Then,
        stopping: JoinHandle<bool>,
        replies: Vec<Reply>,
    },
}

/// What follows when a task has stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It starts again; `restarting`: its status says so in between.
    Again { restarting: bool },
    /// Nothing, as it is not configured any more: it is taken away when the round begins that comes
    /// of that. `over`: it has stopped.
    Nothing { over: bool },
}

impl Drop for Connector {
    fn drop(&mut self) {
        if let Some(naming) = self.naming.take() {
            naming.abort();
        }
    }
}

impl Running {
    pub(super) fn new(
        shared: Arc<Shared>,
        named: mpsc::UnboundedSender<Named>,
        updates: mpsc::UnboundedSender<StatusUpdate>,
        stopped: mpsc::UnboundedSender<Stopped>,
        resolved: mpsc::UnboundedSender<Resolved>,
    ) -> Self {
        Self {
            shared,
            connectors: BTreeMap::new(),
            tasks: BTreeMap::new(),
            restarts: Schedule::new(),
            starts: 0,
            named,
            updates,
            stopped,
            resolved,
            doubtful: BTreeSet::new(),
        }
    }

    /// What the other workers are told that this one runs; what could not be started is part of it.
    pub(super) fn work(&self) -> Work {
        Work {
            connectors: self.connectors.keys().cloned().collect(),
            tasks: self.tasks.keys().cloned().collect(),
        }
    }

    pub(super) fn has_connector(&self, name: &str) -> bool {
        self.connectors.contains_key(name)
    }

    pub(super) fn has_task(&self, id: &TaskId) -> bool {
        self.tasks.contains_key(id)
    }

    /// What this worker has last told of a connector that it runs.
    pub(super) fn connector_state(&self, name: &str) -> Option<State> {
        self.connectors.get(name).map(|connector| connector.state)
    }

    /// A connector's tasks that this worker runs and whose state is wanted.
    pub(super) fn tasks_of(&self, connector: &str, wanted: impl Fn(State) -> bool) -> Vec<TaskId> {
        let of = |(id, task): &(&TaskId, &Task)| id.connector == connector && wanted(task.state);
        self.tasks.iter().filter(of).map(|(id, _)| id.clone()).collect()
    }

    /// The tasks that run with configurations of before, or are not configured any more.
    pub(super) fn outdated(&self, snapshot: &Snapshot) -> Work {
        let old = |(id, task): &(&TaskId, &Task)| {
            task.generation != snapshot.generation(&id.connector)
                || is_gone(snapshot, id)
                // It was not configured for a moment.
                || matches!(task.phase, Phase::Stopping { then: Then::Nothing { .. }, .. })
        };
        let tasks = self.tasks.iter().filter(old).map(|(id, _)| id.clone()).collect();
        Work { tasks, ..Work::default() }
    }

    /// The tasks that were started under a membership before this one: others may have had them since.
    pub(super) fn outlasting(&self) -> Work {
        let now = self.shared.lease.number();
        let old = |task: &Task| task.membership.is_some_and(|membership| membership != now);
        let tasks = self.tasks.iter().filter(|(_, task)| old(task)).map(|(id, _)| id.clone());
        Work { tasks: tasks.collect(), ..Work::default() }
    }

    fn status(&self, state: State, trace: Option<String>, version: Option<&str>) -> Status {
        Status {
            state,
            trace,
            worker_id: self.shared.worker_id.clone(),
            generation: self.shared.standing.borrow().generation,
            version: version.map(str::to_owned),
        }
    }

    fn tell(&mut self, name: &str, state: State, trace: Option<String>) {
        tracing::info!("[{name}|worker] connector is {state:?}");
        let version = match state {
            State::Restarting => None,
            _ => self.shared.configs.snapshot().connector(name).and_then(|c| version(c)),
        };
        let status = self.status(state, trace, version);
        match state {
            State::Failed | State::Unassigned => {
                self.shared.statuses.put_connector_safe(name, status);
            }
            _ => self.shared.statuses.put_connector(name, status),
        }
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.state = state;
            let config = self.shared.configs.snapshot().connector(name).cloned();
            if let Some(plugin) = config.and_then(|config| plugin_of(&config).ok()) {
                let about = (plugin.class(), plugin.version());
                self.shared.tasks.metrics.connector(name, plugin.kind(), about, state);
            }
        }
    }

    /// Tells those who asked for a restart of the connector.
    fn answer(&mut self, name: &str, outcome: &Answer<()>) {
        let replies = self.connectors.get_mut(name).map(|one| std::mem::take(&mut one.replies));
        for reply in replies.unwrap_or_default() {
            // Whoever asked may be gone.
            reply.send(outcome.clone()).unwrap_or_default();
        }
    }

    fn fail(&mut self, name: &str, error: &Error) {
        tracing::error!("[{name}|worker] connector has failed: {}", error.trace());
        self.tell(name, State::Failed, Some(error.trace()));
        let refusal = Refusal::new(500, format!("Failed to start connector: {name}"));
        self.answer(name, &Err(refusal));
    }

    /// Whoever asked waits until the connector has started again, or has failed to.
    pub(super) fn restart_connector(&mut self, name: &str, reply: Reply) {
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.replies.push(reply);
        }
        self.start_connector(name);
    }

    /// Starts the connector itself, as its target state says.
    pub(super) fn start_connector(&mut self, name: &str) {
        let snapshot = self.shared.configs.snapshot();
        if self
            .connectors
            .get(name)
            .is_some_and(|one| !matches!(one.state, State::Unassigned | State::Restarting))
        {
            self.tell(name, State::Unassigned, None);
        }
        self.starts += 1;
        let start = self.starts;
        let before = self.connectors.remove(name);
        let replies = before.map_or_else(Vec::new, |mut one| std::mem::take(&mut one.replies));
        let connector = Connector { start, state: State::Unassigned, naming: None, replies };
        self.connectors.insert(name.to_owned(), connector);
        let Some(config) = snapshot.connector(name).cloned() else {
            // Removed meanwhile: the next round takes it away.
            return;
        };
        let plugin = match plugin_of(&config) {
            Ok(plugin) => plugin,
            Err(error) => return self.fail(name, &error),
        };
        match snapshot.target(name).unwrap_or(Target::Running) {
            Target::Running => {}
            target => {
                let state = if target == Target::Paused { State::Paused } else { State::Stopped };
                self.tell(name, state, None);
                return self.answer(name, &Ok(()));
            }
        }
        let (shared, named, name) = (self.shared.clone(), self.named.clone(), name.to_owned());
        let key = name.clone();
        let naming = tokio::spawn(async move {
            let raw = config.props();
            let (worker, threads) = (&shared.worker, &shared.tasks.threads);
            let asked = task_configs(worker, threads, &name, plugin, &raw).await;
            let sound = asked.is_ok();
            let tasks = asked.map(|tasks| stored(plugin, &raw, tasks));
            // The driver is gone only when the worker ends.
            drop(named.send(Named { connector: name.clone(), start, tasks }));
            if sound {
                let error = watch(worker, threads, plugin, &raw).await;
                drop(named.send(Named { connector: name, start, tasks: Err(error) }));
            }
        });
        if let Some(connector) = self.connectors.get_mut(&key) {
            connector.naming = Some(naming.abort_handle());
        }
    }

    /// Takes note of what a connector has answered; gives its tasks when they are to be stored.
    pub(super) fn named(&mut self, named: Named) -> Option<(String, Vec<RawConfig>)> {
        let Named { connector: name, start, tasks } = named;
        self.connectors.get(&name).filter(|connector| connector.start == start)?;
        // A connector that fails later has started all the same.
        if self.connectors.get(&name).is_some_and(|one| one.state != State::Running) {
            self.shared.tasks.metrics.connector_started(tasks.is_ok());
        }
        match tasks {
            Err(error) => {
                self.fail(&name, &error);
                None
            }
            Ok(tasks) => {
                self.tell(&name, State::Running, None);
                self.answer(&name, &Ok(()));
                Some((name, tasks))
            }
        }
    }

    /// Stops tasks together, within the worker's grace, and says so. The status of one that had
    /// failed or that had to be cancelled stays as it is.
    pub(super) async fn stop(&mut self, work: &Work) {
        for name in &work.connectors {
            if self.connectors.contains_key(name) {
                self.tell(name, State::Unassigned, None);
                self.connectors.remove(name);
                self.shared.tasks.metrics.connector_gone(name);
            }
        }
        let grace = self.shared.worker.stop_grace;
        let mut stops = Vec::new();
        for id in &work.tasks {
            let Some(task) = self.tasks.remove(id) else { continue };
            self.restarts.forget(id);
            stops.push(async move {
                let graceful = match task.phase {
                    Phase::Runs(handle) => handle.stop(grace).await,
                    Phase::Stopping { stopping, .. } => stopping.await.unwrap_or(false),
                    Phase::Resolving { .. } => true,
                    Phase::Failed => false,
                };
                (id, graceful && task.state != State::Failed)
            });
        }
        for (id, graceful) in join_all(stops).await {
            if graceful {
                self.tell_task(id, State::Unassigned);
            }
        }
    }

    /// Starts a connector again as a plan wants it.
    pub(super) fn restart_planned(&mut self, name: &str) {
        self.tell(name, State::Unassigned, None);
        self.tell(name, State::Restarting, None);
        self.start_connector(name);
    }

    /// Follows a connector's target state.
    pub(super) fn aim(&mut self, name: &str) {
        let target = self.shared.configs.snapshot().target(name).unwrap_or(Target::Running);
        let tasks = self.tasks.iter().filter(|(id, _)| id.connector == name);
        for (_, task) in tasks {
            let Phase::Runs(handle) = &task.phase else { continue };
            match target {
                Target::Running => handle.resume(),
                // Tasks of a stopped connector are taken away by the round that follows.
                Target::Paused | Target::Stopped => handle.pause(),
            }
        }
        let Some(state) = self.connectors.get(name).map(|connector| connector.state) else {
            return;
        };
        match (target, state) {
            (Target::Stopped, _) => self.hold(name, State::Stopped),
            // A failed connector stays failed until it is restarted or stopped.
            (_, State::Failed) => {}
            // Of a stop and a resume that are heard of at the same time only the second is seen here,
            // and the first has taken the tasks away.
            (Target::Running, State::Running)
                if self.shared.configs.snapshot().task_count(name) != 0 => {}
            (Target::Running, _) => self.start_connector(name),
            (Target::Paused, _) => self.hold(name, State::Paused),
        }
    }

    /// Pauses or stops the connector itself: what it may be naming is not asked for any more.
    fn hold(&mut self, name: &str, state: State) {
        self.starts += 1;
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.start = self.starts;
            if let Some(naming) = connector.naming.take() {
                naming.abort();
            }
        }
        self.tell(name, state, None);
        self.answer(name, &Ok(()));
    }
}

fn is_gone(snapshot: &Snapshot, id: &TaskId) -> bool {
    !snapshot.tasks(&id.connector).contains(&(id.task as usize))
}

fn version(config: &RawConfig) -> Option<&'static str> {
    plugin_of(config).ok().map(|plugin| plugin.version())
}

/// Task configurations as they stand in the config topic.
fn stored(plugin: Plugin, connector: &Props, tasks: Vec<Props>) -> Vec<RawConfig> {
    let with_class = |mut task: Props| {
        task.insert("task.class".to_owned(), plugin.task_class());
        if matches!(plugin, Plugin::Sink(_)) {
            for key in ["topics", "topics.regex"] {
                if let Some(value) = connector.get(key) {
                    task.insert(key.to_owned(), value.clone());
                }
            }
        }
        let entries = task.into_iter().map(|(key, value)| (key, Some(value)));
        entries.collect::<RawConfig>().in_hash_order()
    };
    tasks.into_iter().map(with_class).collect()
}
