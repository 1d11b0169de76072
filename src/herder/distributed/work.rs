//! What this worker runs of the group's connectors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::future::join_all;
use model::{
    connector::Props,
    error::{Error, Result},
};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{Shared, now_ms, plugin_of};
use crate::{
    group::{TaskId, Work},
    herder::{RawConfig, Target, task_configs::task_configs},
    plugins::Plugin,
    runtime::{Spawn, State, StatusUpdate, TaskHandle},
    storage::{Snapshot, Status, TopicStatus},
};

/// A connector has named its tasks, or failed to.
pub(super) struct Named {
    pub(super) connector: String,
    /// Which start of it that was.
    pub(super) start: u64,
    pub(super) tasks: Result<Vec<RawConfig>>,
}

pub(super) struct Running {
    shared: Arc<Shared>,
    connectors: BTreeMap<String, Connector>,
    tasks: BTreeMap<TaskId, Task>,
    starts: u64,
    named: mpsc::UnboundedSender<Named>,
    updates: mpsc::UnboundedSender<StatusUpdate>,
}

struct Connector {
    start: u64,
    state: State,
    /// Connector code under way.
    naming: Option<AbortHandle>,
}

struct Task {
    /// Of the configurations it was started with.
    generation: Option<u64>,
    /// `None` when it could not be started.
    handle: Option<TaskHandle>,
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
    ) -> Self {
        Self {
            shared,
            connectors: BTreeMap::new(),
            tasks: BTreeMap::new(),
            starts: 0,
            named,
            updates,
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

    pub(super) fn tasks_of(&self, connector: &str) -> Vec<TaskId> {
        self.tasks.keys().filter(|id| id.connector == connector).cloned().collect()
    }

    /// The tasks of a connector that run with configurations of before.
    pub(super) fn outdated(&self, connector: &str) -> Vec<TaskId> {
        let generation = self.shared.configs.snapshot().generation(connector);
        let old = |(id, task): &(&TaskId, &Task)| {
            id.connector == connector && task.generation != generation
        };
        self.tasks.iter().filter(old).map(|(id, _)| id.clone()).collect()
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
        let version = self.shared.configs.snapshot().connector(name).and_then(|c| version(c));
        let status = self.status(state, trace, version);
        match state {
            State::Failed | State::Unassigned => {
                self.shared.statuses.put_connector_safe(name, status);
            }
            _ => self.shared.statuses.put_connector(name, status),
        }
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.state = state;
        }
    }

    fn fail(&mut self, name: &str, error: &Error) {
        tracing::error!("[{name}|worker] connector has failed: {}", error.trace());
        self.tell(name, State::Failed, Some(error.trace()));
    }

    /// Starts the connector itself, as its target state says.
    pub(super) fn start_connector(&mut self, name: &str) {
        let snapshot = self.shared.configs.snapshot();
        self.starts += 1;
        let start = self.starts;
        let connector = Connector { start, state: State::Unassigned, naming: None };
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
            Target::Paused => return self.tell(name, State::Paused, None),
            Target::Stopped => return self.tell(name, State::Stopped, None),
            Target::Running => {}
        }
        let (shared, named, name) = (self.shared.clone(), self.named.clone(), name.to_owned());
        let key = name.clone();
        let naming = tokio::spawn(async move {
            let raw = config.props();
            let asked = task_configs(&shared.worker, &name, plugin, &raw).await;
            let tasks = asked.map(|tasks| stored(plugin, &raw, tasks));
            // The driver is gone only when the worker ends.
            drop(named.send(Named { connector: name, start, tasks }));
        });
        if let Some(connector) = self.connectors.get_mut(&key) {
            connector.naming = Some(naming.abort_handle());
        }
    }

    /// Takes note of what a connector has answered; gives its tasks when they are to be stored.
    pub(super) fn named(&mut self, named: Named) -> Option<(String, Vec<RawConfig>)> {
        let Named { connector: name, start, tasks } = named;
        self.connectors.get(&name).filter(|connector| connector.start == start)?;
        match tasks {
            Err(error) => {
                self.fail(&name, &error);
                None
            }
            Ok(tasks) => {
                self.tell(&name, State::Running, None);
                let snapshot = self.shared.configs.snapshot();
                let now = snapshot.task_configs(&name);
                let same = now.len() == tasks.len()
                    && now.iter().zip(&tasks).all(|(now, task)| now.props() == task.props());
                (!same).then_some((name, tasks))
            }
        }
    }

    pub(super) fn start_task(&mut self, id: &TaskId) {
        let snapshot = self.shared.configs.snapshot();
        let handle = match self.spawn(&snapshot, id) {
            Ok(handle) => Some(handle),
            Err(error) => {
                tracing::error!(
                    "[{}|task-{}] not started: {}",
                    id.connector,
                    id.task,
                    error.trace()
                );
                let status = self.status(State::Failed, Some(error.trace()), None);
                self.shared.statuses.put_task_safe(&id.connector, id.task as usize, status);
                None
            }
        };
        let generation = snapshot.generation(&id.connector);
        self.tasks.insert(id.clone(), Task { generation, handle });
    }

    fn spawn(&self, snapshot: &Snapshot, id: &TaskId) -> Result<TaskHandle> {
        let missing = |what: &str| {
            Error::fatal(format!(
                "start task {id}: the config topic has no configuration of {what}"
            ))
        };
        let connector =
            snapshot.connector(&id.connector).ok_or_else(|| missing("its connector"))?;
        let plugin = plugin_of(connector)?;
        let task = id.task as usize;
        let config = snapshot.task(&id.connector, task).ok_or_else(|| missing("it"))?;
        if snapshot.target(&id.connector) == Some(Target::Stopped) {
            return Err(Error::fatal(format!(
                "start task {id}: its connector is stopped; resume it first"
            )));
        }
        let mut props =
            self.shared.worker.providers.resolve(&config.props()).map_err(Error::fatal)?;
        props.remove("task.class");
        let spawn = Spawn {
            connector: id.connector.as_str().into(),
            task,
            props,
            paused: snapshot.target(&id.connector) == Some(Target::Paused),
            status: self.updates.clone(),
        };
        Ok(match plugin {
            Plugin::Source(source) => self.shared.tasks.start_source(source, spawn),
            Plugin::Sink(sink) => self.shared.tasks.start_sink(sink, spawn),
        })
    }

    /// Stops tasks together, within the worker's grace, and says so.
    pub(super) async fn stop(&mut self, work: &Work) {
        for name in &work.connectors {
            if self.connectors.remove(name).is_some() {
                self.tell(name, State::Unassigned, None);
            }
        }
        let grace = self.shared.worker.stop_grace;
        let mut stops = Vec::new();
        let mut stopped = Vec::new();
        for id in &work.tasks {
            let Some(task) = self.tasks.remove(id) else { continue };
            stopped.push(id);
            stops.extend(task.handle.map(|handle| handle.stop(grace)));
        }
        join_all(stops).await;
        for id in stopped {
            let status = self.status(State::Unassigned, None, None);
            self.shared.statuses.put_task_safe(&id.connector, id.task as usize, status);
        }
    }

    /// Follows a connector's target state.
    pub(super) fn aim(&mut self, name: &str) {
        let target = self.shared.configs.snapshot().target(name).unwrap_or(Target::Running);
        let handles = self.tasks.iter().filter(|(id, _)| id.connector == name);
        for handle in handles.filter_map(|(_, task)| task.handle.as_ref()) {
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
            (_, State::Failed) | (Target::Running, State::Running) => {}
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
    }

    /// Passes a task's state on to the status topic.
    pub(super) fn note(&self, update: StatusUpdate) {
        let StatusUpdate { connector, task, state, trace, .. } = update;
        let id = TaskId {
            connector: connector.to_string(),
            task: u32::try_from(task).unwrap_or(u32::MAX),
        };
        // The last words of a task that was stopped would hide that it was.
        if !self.tasks.contains_key(&id) {
            return;
        }
        tracing::info!("[{connector}|task-{task}] {state:?}");
        let config = self.shared.configs.snapshot().connector(&connector).cloned();
        let status = self.status(state, trace, config.as_deref().and_then(version));
        match state {
            State::Failed => self.shared.statuses.put_task_safe(&connector, task, status),
            _ => self.shared.statuses.put_task(&connector, task, status),
        }
    }

    /// Tells of topics that tasks have come to use.
    pub(super) fn note_topics(&self, known: &mut HashMap<String, Vec<Arc<str>>>) {
        for (id, task) in &self.tasks {
            let Some(handle) = &task.handle else { continue };
            let told = known.entry(id.connector.clone()).or_default();
            for topic in handle.topics() {
                if told.contains(&topic) {
                    continue;
                }
                if self.shared.statuses.topic(&id.connector, &topic).is_none() {
                    self.shared.statuses.put_topic(&TopicStatus {
                        topic: topic.to_string(),
                        connector: id.connector.clone(),
                        task: i32::try_from(id.task).unwrap_or(i32::MAX),
                        discovered_ms: now_ms(),
                    });
                }
                told.push(topic);
            }
        }
    }
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
