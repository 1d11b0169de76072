//! One connector: an actor that owns its configuration, its tasks and what became of them.
//!
//! It takes commands one after the other. While a command waits for connector code, or for a task to
//! stop, the actor goes on answering queries and taking in statuses ([`Connector::attend`]), so a
//! connector that hangs can be looked at, and holds up its own commands only.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use model::{
    connector::{Object, Props},
    error::{Error, Result},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{
    ConnectorStatus, RawConfig, Refusal, Target,
    restarts::{Schedule, due},
    sink_offsets,
    standalone::Shared,
    task_configs::{alter_offsets, task_configs, watch},
};
use crate::{
    plugins::Plugin,
    runtime::{State, StatusUpdate, TaskHandle},
};

mod shown;
mod tasks;

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
}
