//! A connector's tasks: starting and stopping them, restarts, and what they say of themselves.

use std::time::Duration;

use futures_util::future::join_all;
use model::{connector::Props, error::Error};

use super::{Connector, Task};
use crate::{
    herder::{
        ConnectorStatus, Refusal, StateInfo, Target, restart_policy::Policy, restarts::Failed,
    },
    plugins::Plugin,
    runtime::{Spawn, State, StatusUpdate},
};

impl Connector {
    pub(super) fn note(&mut self, update: StatusUpdate) {
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
    pub(super) fn next_restart(&self) -> Option<(Duration, usize)> {
        self.restarts.next(|_| self.target == Target::Running)
    }

    pub(super) async fn restart_failed(&mut self, id: usize) {
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

    pub(super) async fn start_task(&mut self, task: usize, config: Props) {
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
    pub(super) async fn stop_tasks(&mut self) {
        let all: Vec<usize> = self.tasks.keys().copied().collect();
        self.halt(&all).await;
        self.tasks.clear();
        self.restarts.clear();
    }

    /// Stops some tasks; their statuses stay.
    pub(super) async fn halt(&mut self, tasks: &[usize]) {
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

    pub(super) async fn restart_plan(
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

    pub(super) async fn restart_task(&mut self, id: usize) -> std::result::Result<(), Refusal> {
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
}
