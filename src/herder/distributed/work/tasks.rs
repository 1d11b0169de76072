//! The tasks this worker runs: starting them, starting them again, and what they say of themselves.

use std::{sync::Arc, time::Duration};

use model::{
    connector::Props,
    error::{Error, Result},
};

use super::{Phase, Reply, Resolved, Running, Stopped, Task, Then, is_gone, version};
use crate::{
    group::TaskId,
    herder::{
        Refusal, Target,
        distributed::{leased::Leased, now_ms, plugin_of},
        restart_policy::Policy,
        restarts::Failed,
        task_configs::check_count,
    },
    plugins::Plugin,
    runtime::{Spawn, State, StatusUpdate, TaskHandle, Tasks, settings::refuse_transforms},
    storage::{Snapshot, TopicStatus},
};

impl Running {
    /// Starts a task, or has its configuration resolved first where that may take a while. When it
    /// could not be started its status says why; `replies` are told either way.
    pub(in crate::herder::distributed) fn start_task(&mut self, id: &TaskId, replies: Vec<Reply>) {
        let snapshot = self.shared.configs.snapshot();
        let generation = snapshot.generation(&id.connector);
        let given = snapshot.task(&id.connector, id.task as usize);
        let given = given.map(|config| config.props()).unwrap_or_default();
        let providers = self.shared.worker.providers.clone();
        if !providers.reads_files(&given) {
            let props = providers.resolve(&given).map_err(Error::fatal);
            return self.launch(id, generation, props, replies);
        }
        self.starts += 1;
        let start = self.starts;
        let (threads, resolved) = (self.shared.tasks.threads.clone(), self.resolved.clone());
        let key = id.clone();
        // Nothing it does is of use when the task is not wanted any more, and it ends by itself.
        tokio::spawn(async move {
            let props = providers.resolve_aside(&threads, &given).await.map_err(Error::fatal);
            // The driver is gone only when the worker ends.
            drop(resolved.send(Resolved { id: key, start, props }));
        });
        let task = Task {
            who: id.connector.as_str().into(),
            generation,
            membership: None,
            state: State::Unassigned,
            phase: Phase::Resolving { start, replies },
        };
        self.tasks.insert(id.clone(), task);
    }

    /// Starts a task whose configuration is resolved now, unless it is not wanted any more.
    pub(in crate::herder::distributed) fn resolved(&mut self, resolved: Resolved) {
        let Resolved { id, start, props } = resolved;
        let this = |task: &Task| matches!(&task.phase, Phase::Resolving { start: this, .. } if *this == start);
        if !self.tasks.get(&id).is_some_and(this) {
            return;
        }
        let Some(Task { generation, phase: Phase::Resolving { replies, .. }, .. }) =
            self.tasks.remove(&id)
        else {
            return;
        };
        if !is_gone(&self.shared.configs.snapshot(), &id) {
            self.launch(&id, generation, props, replies);
        }
    }

    fn launch(
        &mut self,
        id: &TaskId,
        generation: Option<u64>,
        props: Result<Props>,
        replies: Vec<Reply>,
    ) {
        let snapshot = self.shared.configs.snapshot();
        let who: Arc<str> = id.connector.as_str().into();
        let mut membership = None;
        let (state, phase) = match self.spawn(&snapshot, id, props, who.clone(), &mut membership) {
            Ok(handle) => (State::Unassigned, Phase::Runs(handle)),
            Err(error) => {
                tracing::error!(
                    "[{}|task-{}] not started: {}",
                    id.connector,
                    id.task,
                    error.trace()
                );
                let status = self.status(State::Failed, Some(error.trace()), None);
                self.shared.statuses.put_task_safe(&id.connector, id.task as usize, status);
                (State::Failed, Phase::Failed)
            }
        };
        let started = matches!(phase, Phase::Runs(_));
        self.tasks.insert(id.clone(), Task { who, generation, membership, state, phase });
        if !started {
            self.shared.tasks.metrics.task_started(false);
            self.schedule(id, false);
        }
        let outcome = match started {
            true => Ok(()),
            false => Err(Refusal::new(500, format!("Failed to start task: {id}"))),
        };
        for reply in replies {
            // Whoever asked may be gone.
            reply.send(outcome.clone()).unwrap_or_default();
        }
    }

    fn spawn(
        &self,
        snapshot: &Snapshot,
        id: &TaskId,
        props: Result<Props>,
        who: Arc<str>,
        membership: &mut Option<u64>,
    ) -> Result<TaskHandle> {
        let missing = |what: &str| {
            Error::fatal(format!(
                "start task {id}: the config topic has no configuration of {what}"
            ))
        };
        let connector =
            snapshot.connector(&id.connector).ok_or_else(|| missing("its connector"))?;
        let plugin = plugin_of(connector)?;
        let task = id.task as usize;
        snapshot.task(&id.connector, task).ok_or_else(|| missing("it"))?;
        if snapshot.target(&id.connector) == Some(Target::Stopped) {
            return Err(Error::fatal(format!(
                "start task {id}: its connector is stopped; resume it first"
            )));
        }
        let mut props = props?;
        props.remove("task.class");
        check_count(&id.connector, snapshot.tasks(&id.connector).len(), &connector.props())?;
        // A JVM worker reads them of the connector, whatever its tasks were given.
        refuse_transforms(&connector.props())?;
        let spawn = Spawn {
            connector: who,
            task,
            props,
            paused: snapshot.target(&id.connector) == Some(Target::Paused),
            status: self.updates.clone(),
        };
        Ok(match plugin {
            Plugin::Source(source) => {
                let tasks = &self.shared.tasks;
                let offsets = Leased::new(tasks.offsets.clone(), self.shared.lease.clone());
                *membership = Some(offsets.number());
                Tasks { offsets: Arc::new(offsets), ..tasks.clone() }.start_source(source, spawn)
            }
            Plugin::Sink(sink) => self.shared.tasks.start_sink(sink, spawn),
        })
    }

    pub(super) fn tell_task(&self, id: &TaskId, state: State) {
        let status = self.status(state, None, None);
        let task = id.task as usize;
        match state {
            State::Unassigned => self.shared.statuses.put_task_safe(&id.connector, task, status),
            _ => self.shared.statuses.put_task(&id.connector, task, status),
        }
    }

    /// The task that starts again by itself, and when. What a pause or a stop holds waits for its end.
    pub(in crate::herder::distributed) fn next_restart(&self) -> Option<(Duration, TaskId)> {
        let snapshot = self.shared.configs.snapshot();
        self.restarts.next(|id| {
            let held = snapshot.target(&id.connector).is_some_and(|it| it != Target::Running);
            let task = self.tasks.get(id);
            !held && task.is_some_and(|task| !matches!(task.phase, Phase::Stopping { .. }))
        })
    }

    pub(in crate::herder::distributed) fn restart_failed(&mut self, id: &TaskId) {
        let (connector, task) = (&id.connector, id.task);
        tracing::info!("[{connector}|task-{task}] starts again (errors.restart.policy)");
        self.restarts.started(id);
        self.begin_restart(id, false, None);
    }

    /// A task has failed, or could not even be started.
    fn schedule(&mut self, id: &TaskId, passing: bool) {
        let snapshot = self.shared.configs.snapshot();
        let (Some(config), Some(task)) = (snapshot.connector(&id.connector), self.tasks.get(id))
        else {
            return;
        };
        // What is wrong with these keys was said when the configuration was taken.
        let policy = Policy::read(&config.props(), &self.shared.worker.props);
        let who = format!("{}|task-{}", id.connector, id.task);
        let metrics = match &task.phase {
            Phase::Runs(handle) => Some(&**handle.metrics()),
            _ => None,
        };
        let failed = Failed { who: &who, passing, metrics };
        self.restarts.failed(id, policy.unwrap_or(Policy::NEVER), &failed);
    }

    /// Begins to stop a task that somebody wants started again. Nothing waits for its code but
    /// `reply`.
    /// `restarting`: its status says so in between, as a restart by plan wants it.
    pub(in crate::herder::distributed) fn restart_task(
        &mut self,
        id: &TaskId,
        restarting: bool,
        reply: Option<Reply>,
    ) {
        self.restarts.forget(id);
        self.begin_restart(id, restarting, reply);
    }

    fn begin_restart(&mut self, id: &TaskId, restarting: bool, reply: Option<Reply>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        match &mut task.phase {
            Phase::Stopping { replies, then: Then::Again { restarting: told }, .. } => {
                replies.extend(reply);
                *told |= restarting;
                return;
            }
            // One that does not start again is none that anybody can wait for.
            Phase::Stopping { then: Then::Nothing { .. }, .. } => return,
            Phase::Resolving { replies, .. } => {
                replies.extend(reply);
                if restarting {
                    self.tell_task(id, State::Restarting);
                }
                return;
            }
            Phase::Runs(_) | Phase::Failed => {}
        }
        let replies = reply.into_iter().collect();
        self.begin_stop(id, Then::Again { restarting }, replies);
    }

    /// Stops a task, within the worker's grace, while all else goes on.
    fn begin_stop(&mut self, id: &TaskId, then: Then, replies: Vec<Reply>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        self.starts += 1;
        let stop = self.starts;
        let grace = self.shared.worker.stop_grace;
        let before = std::mem::replace(&mut task.phase, Phase::Failed);
        let (stopped, id) = (self.stopped.clone(), id.clone());
        let stopping = tokio::spawn(async move {
            let graceful = match before {
                Phase::Runs(handle) => handle.stop(grace).await,
                _ => true,
            };
            // The driver is gone only when the worker ends.
            drop(stopped.send(Stopped { id, stop }));
            graceful
        });
        task.phase = Phase::Stopping { stop, then, stopping, replies };
    }

    /// Begins to stop the tasks that are not configured any more. The next round takes them away.
    pub(in crate::herder::distributed) fn end_the_gone(&mut self) {
        let snapshot = self.shared.configs.snapshot();
        let gone: Vec<TaskId> =
            self.tasks.keys().filter(|id| is_gone(&snapshot, id)).cloned().collect();
        for id in gone {
            self.restarts.forget(&id);
            match self.tasks.get_mut(&id).map(|task| &mut task.phase) {
                Some(Phase::Runs(_)) => {
                    self.begin_stop(&id, Then::Nothing { over: false }, Vec::new());
                }
                Some(Phase::Stopping { then: then @ Then::Again { .. }, replies, .. }) => {
                    *then = Then::Nothing { over: false };
                    // Whoever asked for a restart is told that it was overtaken.
                    replies.clear();
                }
                _ => {}
            }
        }
    }

    /// Whether tasks that are not configured any more have yet to stop.
    pub(in crate::herder::distributed) fn ending(&self) -> bool {
        let ends = |task: &Task| {
            matches!(task.phase, Phase::Stopping { then: Then::Nothing { over: false }, .. })
        };
        self.tasks.values().any(ends)
    }

    /// Starts a task again that has stopped for it, unless it was taken away meanwhile.
    pub(in crate::herder::distributed) fn stopped(&mut self, stopped: &Stopped) {
        let Stopped { id, stop } = stopped;
        let restarting = match self.tasks.get_mut(id).map(|task| &mut task.phase) {
            Some(Phase::Stopping { stop: this, then, .. }) if this == stop => match then {
                Then::Again { restarting } => *restarting,
                Then::Nothing { over } => return *over = true,
            },
            _ => return,
        };
        let Some(Phase::Stopping { replies, .. }) = self.tasks.remove(id).map(|task| task.phase)
        else {
            return;
        };
        if restarting {
            self.tell_task(id, State::Restarting);
        }
        self.start_task(id, replies);
    }

    /// Passes a task's state on to the status topic.
    pub(in crate::herder::distributed) fn note(&mut self, update: StatusUpdate) {
        let StatusUpdate { connector, task, state, trace, passing } = update;
        let id = TaskId {
            connector: connector.to_string(),
            task: u32::try_from(task).unwrap_or(u32::MAX),
        };
        // The last words of a task that was stopped would hide that it was, and those of the one
        // before would hide how this one is.
        let own = |task: &&mut Task| Arc::ptr_eq(&task.who, &connector);
        let Some(known) = self.tasks.get_mut(&id).filter(own) else { return };
        known.state = state;
        tracing::info!("[{connector}|task-{task}] {state:?}");
        let config = self.shared.configs.snapshot().connector(&connector).cloned();
        let config = config.filter(|_| state != State::Unassigned);
        let status = self.status(state, trace, config.as_deref().and_then(version));
        match state {
            State::Failed | State::Unassigned => {
                self.shared.statuses.put_task_safe(&connector, task, status);
            }
            _ => self.shared.statuses.put_task(&connector, task, status),
        }
        match state {
            State::Running => self.restarts.running(&id),
            State::Failed => self.schedule(&id, passing),
            _ => {}
        }
    }

    /// Tells of topics that tasks have come to use, or use again after somebody had them forgotten.
    pub(in crate::herder::distributed) fn note_topics(&self) {
        for (id, task) in &self.tasks {
            let Phase::Runs(handle) = &task.phase else { continue };
            for topic in handle.take_topics() {
                if self.shared.statuses.topic(&id.connector, &topic).is_some() {
                    continue;
                }
                self.shared.statuses.put_topic(&TopicStatus {
                    topic: topic.to_string(),
                    connector: id.connector.clone(),
                    task: i32::try_from(id.task).unwrap_or(i32::MAX),
                    discovered_ms: now_ms(),
                });
            }
        }
    }
}
