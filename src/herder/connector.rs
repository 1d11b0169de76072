//! One connector: an actor that owns its configuration, its tasks and what became of them.
//!
//! It takes commands one after the other. While a command waits for connector code, or for a task to
//! stop, the actor goes on answering queries and taking in statuses ([`Connector::attend`]), so a
//! connector that hangs can be looked at, and holds up its own commands only.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use model::{
    connector::{Object, Props},
    error::{Error, Result},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{
    ConnectorInfo, ConnectorStatus, RawConfig, Refusal, StateInfo, Target, TaskId, TaskInfo,
    TaskStatus,
    restart_policy::Policy,
    restarts::{Failed, Schedule, due},
    sink_offsets,
    standalone::Shared,
    task_configs::{alter_offsets, task_configs, watch},
};
use crate::{
    metrics::TaskExtra,
    plugins::Plugin,
    runtime::{Spawn, State, StatusUpdate, TaskHandle},
};

type Reply<T> = oneshot::Sender<std::result::Result<T, Refusal>>;

pub(super) enum Command {
    /// Takes over a configuration and starts with it.
    Configure {
        config: RawConfig,
        plugin: Plugin,
        reply: Reply<()>,
    },
    Aim {
        target: Target,
    },
    Stop {
        reply: Reply<()>,
    },
    Restart {
        reply: Reply<()>,
    },
    RestartPlan {
        include_tasks: bool,
        only_failed: bool,
        reply: Reply<ConnectorStatus>,
    },
    RestartTask {
        task: usize,
        reply: Reply<()>,
    },
    ChangeOffsets {
        changes: Option<Vec<(Object, Option<Object>)>>,
        reply: Reply<bool>,
    },
    /// Stops the tasks and ends the actor.
    Delete {
        reply: Reply<()>,
    },
    /// The same, when the worker ends.
    Shutdown {
        reply: Reply<()>,
    },
}

type Query = Box<dyn FnOnce(&mut Connector) + Send>;

/// Where to reach a connector.
#[derive(Clone)]
pub(super) struct Handle {
    commands: mpsc::Sender<Command>,
    queries: mpsc::Sender<Query>,
}

impl Handle {
    /// Looks at the connector; never waits for connector code.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        name: &str,
        look: impl FnOnce(&mut Connector) -> T + Send + 'static,
    ) -> std::result::Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |connector| send(reply, look(connector)));
        self.queries.send(query).await.map_err(|_| Refusal::not_found(name))?;
        answer.await.map_err(|_| Refusal::not_found(name))
    }

    pub(super) async fn tell(
        &self,
        name: &str,
        command: Command,
    ) -> std::result::Result<(), Refusal> {
        self.commands.send(command).await.map_err(|_| Refusal::not_found(name))
    }

    pub(super) async fn ask<T>(
        &self,
        name: &str,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> std::result::Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.tell(name, command(reply)).await?;
        answer.await.map_err(|_| Refusal::not_found(name))?
    }
}

/// The requester may have gone away; what was asked for is done all the same.
fn send<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

pub(super) struct Connector {
    shared: Arc<Shared>,
    name: Arc<str>,
    pub(super) config: RawConfig,
    plugin: Plugin,
    target: Target,
    state: State,
    trace: Option<String>,
    tasks: BTreeMap<usize, Task>,
    /// Of failed tasks.
    restarts: Schedule<usize>,
    /// Used by tasks that are gone.
    topics: BTreeSet<Arc<str>>,
    statuses: mpsc::UnboundedReceiver<StatusUpdate>,
    status_sender: mpsc::UnboundedSender<StatusUpdate>,
    queries: mpsc::Receiver<Query>,
    query_sender: mpsc::Sender<Query>,
    /// Connector code that runs beside the tasks: see `SourceConnector::watch`.
    watching: Option<AbortHandle>,
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.watching.take().inspect(AbortHandle::abort);
    }
}

struct Task {
    /// With `${…}` as written.
    config: Props,
    state: State,
    trace: Option<String>,
    /// `None` when it could not be started.
    handle: Option<TaskHandle>,
}

impl Connector {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: &str,
        config: RawConfig,
        plugin: Plugin,
        target: Target,
    ) -> Self {
        let (status_sender, statuses) = mpsc::unbounded_channel();
        let (query_sender, queries) = mpsc::channel(64);
        Self {
            shared,
            name: name.into(),
            config,
            plugin,
            target,
            state: State::Unassigned,
            trace: None,
            tasks: BTreeMap::new(),
            restarts: Schedule::new(),
            topics: BTreeSet::new(),
            statuses,
            status_sender,
            queries,
            query_sender,
            watching: None,
        }
    }

    /// Starts the actor; the connector itself starts with [`Command::Configure`].
    pub(super) fn spawn(self) -> Handle {
        let (commands, receiver) = mpsc::channel(64);
        let handle = Handle { commands, queries: self.query_sender.clone() };
        tokio::spawn(self.run(receiver));
        handle
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let next = self.next_restart();
            let command = tokio::select! {
                command = commands.recv() => command,
                Some(update) = self.statuses.recv() => {
                    self.note(update);
                    continue;
                }
                Some(query) = self.queries.recv() => {
                    query(&mut self);
                    continue;
                }
                task = due(next) => {
                    Box::pin(self.restart_failed(task)).await;
                    continue;
                }
            };
            let Some(command) = command else { return };
            let last = matches!(command, Command::Delete { .. } | Command::Shutdown { .. });
            Box::pin(self.obey(command)).await;
            if last {
                return;
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Configure { config, plugin, reply } => {
                self.config = config;
                self.plugin = plugin;
                let started = self.start().await;
                send(reply, started);
            }
            Command::Aim { target } => self.aim(target).await,
            Command::Stop { reply } => {
                self.target = Target::Stopped;
                self.stop_tasks().await;
                self.enter(State::Stopped);
                send(reply, Ok(()));
            }
            Command::Restart { reply } => {
                let started = self.start().await;
                send(reply, started);
            }
            Command::RestartPlan { include_tasks, only_failed, reply } => {
                let planned = self.restart_plan(include_tasks, only_failed).await;
                send(reply, planned);
            }
            Command::RestartTask { task, reply } => {
                let done = self.restart_task(task).await;
                send(reply, done);
            }
            Command::ChangeOffsets { changes, reply } => {
                let done = self.change_offsets(changes).await;
                send(reply, done);
            }
            Command::Delete { reply } | Command::Shutdown { reply } => {
                self.stop_tasks().await;
                self.enter(State::Unassigned);
                self.shared.tasks.metrics.connector_gone(&self.name);
                send(reply, Ok(()));
            }
        }
    }

    /// Waits for `work` and goes on being the actor.
    async fn attend<T>(&mut self, work: impl Future<Output = T> + Send) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(update) = self.statuses.recv() => self.note(update),
                Some(query) = self.queries.recv() => query(self),
            }
        }
    }

    fn note(&mut self, update: StatusUpdate) {
        tracing::info!("[{}|task-{}] {:?}", self.name, update.task, update.state);
        if let Some(task) = self.tasks.get_mut(&update.task) {
            task.state = update.state;
            task.trace = update.trace;
            match update.state {
                State::Running => self.restarts.running(&update.task),
                State::Failed => self.schedule(update.task, update.passing),
                _ => {}
            }
        }
    }

    /// The task that starts again by itself, and when. What a pause or a stop holds waits for its end.
    fn next_restart(&self) -> Option<(Duration, usize)> {
        self.restarts.next(|_| self.target == Target::Running)
    }

    async fn restart_failed(&mut self, id: usize) {
        tracing::info!("[{}|task-{id}] starts again (errors.restart.policy)", self.name);
        self.halt(&[id]).await;
        self.restarts.started(&id);
        if let Some(config) = self.tasks.get(&id).map(|task| task.config.clone()) {
            self.start_task(id, config).await;
        }
    }

    /// A task has failed, or could not even be started.
    fn schedule(&mut self, id: usize, passing: bool) {
        let Some(task) = self.tasks.get(&id) else { return };
        // What is wrong with these keys was said when the configuration was taken.
        let policy = Policy::read(&self.config.props(), &self.shared.worker.props);
        let who = format!("{}|task-{id}", self.name);
        let metrics = task.handle.as_ref().map(|handle| &**handle.metrics());
        let failed = Failed { who: &who, passing, metrics };
        self.restarts.failed(&id, policy.unwrap_or(Policy::NEVER), &failed);
    }

    fn enter(&mut self, state: State) {
        tracing::info!("[{}|worker] connector is {state:?}", self.name);
        self.watching.take().inspect(AbortHandle::abort);
        if state == State::Running {
            self.watch();
        }
        self.state = state;
        self.trace = None;
        self.measure();
    }

    fn measure(&self) {
        let plugin = (self.plugin.class(), self.plugin.version());
        self.shared.tasks.metrics.connector(&self.name, self.plugin.kind(), plugin, self.state);
    }

    /// Lets the connector watch over itself until it enters another state.
    fn watch(&mut self) {
        let (shared, raw) = (self.shared.clone(), self.config.props());
        let (plugin, queries) = (self.plugin, self.query_sender.clone());
        let watching = tokio::spawn(async move {
            let error = watch(&shared.worker, &shared.tasks.threads, plugin, &raw).await;
            let fail: Query = Box::new(move |connector| drop(connector.fail(&error)));
            // An actor that is gone has nothing to fail.
            drop(queries.send(fail).await);
        });
        self.watching = Some(watching.abort_handle());
    }

    fn fail(&mut self, error: &Error) -> Refusal {
        let trace = error.trace();
        tracing::error!("[{}|worker] connector has failed: {trace}", self.name);
        self.state = State::Failed;
        self.trace = Some(trace);
        self.measure();
        Refusal::new(500, error.to_string())
    }

    /// Starts the connector as its target says, and its tasks if it makes other ones than before.
    async fn start(&mut self) -> std::result::Result<(), Refusal> {
        match self.target {
            Target::Stopped => self.enter(State::Stopped),
            Target::Paused => self.enter(State::Paused),
            Target::Running => match self.make_task_configs().await {
                Ok(configs) => {
                    self.shared.tasks.metrics.connector_started(true);
                    self.enter(State::Running);
                    if !self.tasks.values().map(|task| &task.config).eq(&configs) {
                        self.stop_tasks().await;
                        self.tasks.clear();
                        for (task, config) in configs.into_iter().enumerate() {
                            self.start_task(task, config).await;
                        }
                    }
                }
                Err(error) => {
                    self.shared.tasks.metrics.connector_started(false);
                    return Err(self.fail(&error));
                }
            },
        }
        Ok(())
    }

    async fn aim(&mut self, target: Target) {
        self.target = target;
        match target {
            Target::Stopped => {
                self.stop_tasks().await;
                self.enter(State::Stopped);
            }
            // A failed connector stays failed until it is restarted.
            _ if self.state == State::Failed => {}
            Target::Paused => {
                for handle in self.tasks.values().filter_map(|task| task.handle.as_ref()) {
                    handle.pause();
                }
                self.enter(State::Paused);
            }
            Target::Running => {
                for handle in self.tasks.values().filter_map(|task| task.handle.as_ref()) {
                    handle.resume();
                }
                // Its configuration may have been changed meanwhile, or its tasks been taken away.
                if let Err(refusal) = self.start().await {
                    tracing::debug!("[{}|worker] not resumed: {refusal}", self.name);
                }
            }
        }
    }

    async fn make_task_configs(&mut self) -> Result<Vec<Props>> {
        let shared = self.shared.clone();
        let (name, plugin, raw) = (self.name.clone(), self.plugin, self.config.props());
        self.attend(async move {
            task_configs(&shared.worker, &shared.tasks.threads, &name, plugin, &raw).await
        })
        .await
    }

    async fn start_task(&mut self, task: usize, config: Props) {
        let (shared, raw) = (self.shared.clone(), config.clone());
        let resolve =
            async move { shared.worker.providers.resolve_aside(&shared.tasks.threads, &raw).await };
        let started = self.attend(resolve).await.map_err(Error::fatal).map(|props| {
            let spawn = Spawn {
                connector: self.name.clone(),
                task,
                props,
                paused: self.target == Target::Paused,
                status: self.status_sender.clone(),
            };
            match self.plugin {
                Plugin::Source(source) => self.shared.tasks.start_source(source, spawn),
                Plugin::Sink(sink) => self.shared.tasks.start_sink(sink, spawn),
            }
        });
        let mut failed = None;
        let task_state = match started {
            Ok(handle) => {
                Task { config, state: State::Unassigned, trace: None, handle: Some(handle) }
            }
            Err(error) => {
                tracing::error!("[{}|task-{task}] not started: {}", self.name, error.trace());
                self.shared.tasks.metrics.task_started(false);
                failed = Some(error.passing());
                Task { config, state: State::Failed, trace: Some(error.trace()), handle: None }
            }
        };
        self.tasks.insert(task, task_state);
        if let Some(passing) = failed {
            self.schedule(task, passing);
        }
    }

    /// Stops all tasks together, within the worker's grace, and forgets them.
    async fn stop_tasks(&mut self) {
        let all: Vec<usize> = self.tasks.keys().copied().collect();
        self.halt(&all).await;
        self.tasks.clear();
        self.restarts.clear();
    }

    /// Stops some tasks; their statuses stay.
    async fn halt(&mut self, tasks: &[usize]) {
        let grace = self.shared.worker.stop_grace;
        let mut stops = Vec::new();
        for id in tasks {
            if let Some(handle) = self.tasks.get_mut(id).and_then(|task| task.handle.take()) {
                self.topics.extend(handle.topics());
                stops.push(handle.stop(grace));
            }
        }
        self.attend(join_all(stops)).await;
        // What these tasks have said is taken in now, so that it is not said of their successors.
        while let Ok(update) = self.statuses.try_recv() {
            self.note(update);
        }
    }

    async fn restart_plan(
        &mut self,
        include_tasks: bool,
        only_failed: bool,
    ) -> std::result::Result<ConnectorStatus, Refusal> {
        let planned = |state: State| !only_failed || state == State::Failed;
        let connector = planned(self.state);
        let tasks: Vec<usize> = (self.tasks.iter())
            .filter(|(_, task)| include_tasks && planned(task.state))
            .map(|(id, _)| *id)
            .collect();
        let mut plan = self.status();
        let mark = |state: &mut StateInfo| {
            state.state = State::Restarting;
            state.trace = None;
        };
        if connector {
            mark(&mut plan.connector);
        }
        plan.tasks.iter_mut().filter(|task| tasks.contains(&task.id)).for_each(|task| {
            mark(&mut task.state);
        });
        self.halt(&tasks).await;
        if connector {
            self.start().await?;
        }
        for id in tasks {
            // The connector may have made other tasks; those run already.
            let stopped = self.tasks.get(&id).filter(|task| task.handle.is_none());
            if let Some(config) = stopped.map(|task| task.config.clone()) {
                self.restarts.forget(&id);
                self.start_task(id, config).await;
            }
        }
        Ok(plan)
    }

    async fn restart_task(&mut self, id: usize) -> std::result::Result<(), Refusal> {
        if !self.tasks.contains_key(&id) {
            return Err(Refusal::new(404, format!("Task {}-{id} not found", self.name)));
        }
        self.halt(&[id]).await;
        let Some(config) = self.tasks.get(&id).map(|task| task.config.clone()) else {
            return Ok(());
        };
        self.restarts.forget(&id);
        self.start_task(id, config).await;
        let failed = self.tasks.get(&id).is_some_and(|task| task.handle.is_none());
        match failed {
            true => Err(Refusal::new(500, format!("Failed to start task: {}-{id}", self.name))),
            false => Ok(()),
        }
    }

    async fn change_offsets(
        &mut self,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> std::result::Result<bool, Refusal> {
        if self.target != Target::Stopped || !self.tasks.is_empty() {
            return Err(Refusal::not_stopped(&self.name));
        }
        let (shared, name, raw) = (self.shared.clone(), self.name.clone(), self.config.props());
        let source = match self.plugin {
            Plugin::Source(source) => source,
            Plugin::Sink(sink) => {
                let work = async move {
                    let (worker, tasks) = (&shared.worker, &shared.tasks);
                    sink_offsets::change(worker, tasks, sink, &name, &raw, changes).await
                };
                return self.attend(work).await;
            }
        };
        let store = self.shared.tasks.offsets.clone();
        let work = async move {
            let changes = match changes {
                Some(changes) => changes,
                None => {
                    let listed = store.list(&name).await?;
                    listed.into_iter().map(|(partition, _)| (partition, None)).collect()
                }
            };
            let done = alter_offsets(&shared.worker, &shared.tasks.threads, source, &raw, &changes)
                .await?;
            store.write(&name, changes).await?;
            Ok(done)
        };
        let done: Result<bool> = self.attend(work).await;
        done.map_err(|error| Refusal::new(500, error.trace()))
    }

    // ---- What REST shows ------------------------------------------------------------------------

    pub(super) fn is_sink(&self) -> bool {
        matches!(self.plugin, Plugin::Sink(_))
    }

    fn task_id(&self, task: usize) -> TaskId {
        TaskId { connector: self.name.to_string(), task }
    }

    pub(super) fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            name: self.name.to_string(),
            config: self.config.clone(),
            tasks: self.tasks.keys().map(|task| self.task_id(*task)).collect(),
            kind: self.plugin.kind(),
        }
    }

    pub(super) fn task_infos(&self) -> Vec<TaskInfo> {
        let info = |(id, task): (&usize, &Task)| {
            // The user's order first: keys that share a bucket of Java's map keep it.
            let users = self.config.iter().filter_map(|(key, _)| task.config.get_key_value(key));
            let given = users.chain(&task.config);
            let mut config: RawConfig =
                given.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
            config.set("task.class", Some(self.plugin.task_class()));
            TaskInfo { id: self.task_id(*id), config: config.in_hash_order() }
        };
        self.tasks.iter().map(info).collect()
    }

    pub(super) fn status(&self) -> ConnectorStatus {
        let info = |state: State, trace: &Option<String>| StateInfo {
            state,
            worker_id: self.shared.worker_id.clone(),
            version: self.plugin.version().into(),
            trace: trace.clone().filter(|trace| !trace.is_empty()),
        };
        ConnectorStatus {
            name: self.name.to_string(),
            connector: info(self.state, &self.trace),
            tasks: (self.tasks.iter())
                .map(|(id, task)| TaskStatus {
                    id: *id,
                    state: info(task.state, &task.trace),
                    extra: self.extra(*id, task),
                })
                .collect(),
            kind: self.plugin.kind(),
        }
    }

    fn extra(&self, id: usize, task: &Task) -> TaskExtra {
        let own = task.handle.as_ref().map(|handle| handle.metrics().extra());
        TaskExtra { restart: self.restarts.shown(&id), ..own.unwrap_or_default() }
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let running = self.tasks.values().filter_map(|task| task.handle.as_ref());
        let mut topics = self.topics.clone();
        topics.extend(running.flat_map(TaskHandle::topics));
        topics.into_iter().collect()
    }

    pub(super) fn forget_topics(&mut self) {
        self.topics.clear();
        for handle in self.tasks.values().filter_map(|task| task.handle.as_ref()) {
            handle.forget_topics();
        }
    }
}
