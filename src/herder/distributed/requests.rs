//! What REST asks of a worker that is one of a group, and what it is told.

use std::sync::Arc;

use async_trait::async_trait;
use model::{config::ConfigInfos, connector::Object};
use tokio::sync::oneshot;

use super::{Command, Distributed, busy, failed, info_of, keys, kind, known, state_of, writes};
use crate::{
    group::{self, Version},
    herder::{
        Answer, ConnectorInfo, ConnectorStatus, Herder, RawConfig, Refusal, Signature, StateInfo,
        Target, TaskId, TaskInfo, TaskStatus, distributed_config::Protocol, in_java_order,
        java_order, sink_offsets, validate, worker_config::WorkerConfig,
    },
    runtime::State,
    storage::{RestartRequest, Snapshot, Status},
};

#[async_trait]
impl Herder for Distributed {
    fn worker(&self) -> &WorkerConfig {
        &self.shared.worker
    }

    fn cluster_id(&self) -> Option<String> {
        self.shared.cluster_id.get().cloned()
    }

    fn connectors(&self) -> Vec<String> {
        in_java_order(self.snapshot().connectors())
    }

    async fn validate(&self, config: &RawConfig) -> Answer<ConfigInfos> {
        let shared = &self.shared;
        validate::validate(&shared.worker, &shared.tasks, config).await
    }

    async fn put(
        &self,
        name: &str,
        config: RawConfig,
        initial: Option<Target>,
        replace: bool,
    ) -> Answer<(bool, ConnectorInfo)> {
        writes::put(&self.shared, name, config, initial, replace).await
    }

    async fn patch(&self, name: &str, patch: RawConfig) -> Answer<ConnectorInfo> {
        writes::patch(&self.shared, name, patch).await
    }

    async fn delete(&self, name: &str) -> Answer<()> {
        writes::delete(&self.shared, name).await
    }

    async fn info(&self, name: &str) -> Answer<ConnectorInfo> {
        let snapshot = self.fresh()?;
        let config = known(&snapshot, name)?;
        Ok(info_of(&snapshot, name, &config))
    }

    async fn listed(&self, name: &str) -> Answer<ConnectorInfo> {
        let snapshot = self.snapshot();
        let config = known(&snapshot, name)?;
        Ok(info_of(&snapshot, name, &config))
    }

    async fn config(&self, name: &str) -> Answer<RawConfig> {
        Ok(known(&*self.fresh()?, name)?.as_ref().clone())
    }

    async fn tasks(&self, name: &str) -> Answer<Vec<TaskInfo>> {
        let snapshot = self.fresh()?;
        known(&snapshot, name)?;
        let info = |task: usize| {
            let id = TaskId { connector: name.to_owned(), task };
            snapshot.task(name, task).map(|config| TaskInfo { id, config: config.as_ref().clone() })
        };
        Ok(snapshot.tasks(name).filter_map(info).collect())
    }

    async fn status(&self, name: &str) -> Answer<ConnectorStatus> {
        let missing = || Refusal::new(404, format!("No status found for connector {name}"));
        let status = self.shared.statuses.connector(name).ok_or_else(missing)?;
        let tasks = self.shared.statuses.tasks(name).into_iter();
        let config = self.snapshot().connector(name).cloned();
        Ok(ConnectorStatus {
            name: name.to_owned(),
            connector: state_of(status),
            tasks: tasks.map(|(id, status)| self.task_status_of(name, id, status)).collect(),
            kind: config.map_or("unknown", |config| kind(&config)),
        })
    }

    async fn task_status(&self, name: &str, task: usize) -> Answer<TaskStatus> {
        let missing = || Refusal::new(404, format!("No status found for task {name}-{task}"));
        let status = self.shared.statuses.task(name, task).ok_or_else(missing)?;
        Ok(self.task_status_of(name, task, status))
    }

    async fn topics(&self, name: &str) -> Answer<Vec<Arc<str>>> {
        if !self.shared.worker.topic_tracking {
            return Err(Refusal::new(403, "Topic tracking is disabled."));
        }
        let topics = self.shared.statuses.topics(name).into_iter();
        Ok(topics.map(|status| status.topic.into()).collect())
    }

    async fn reset_topics(&self, name: &str) -> Answer<()> {
        if !self.shared.worker.topic_tracking {
            return Err(Refusal::new(403, "Topic tracking is disabled."));
        }
        if !self.shared.worker.topic_reset {
            return Err(Refusal::new(403, "Topic tracking reset is disabled."));
        }
        for status in self.shared.statuses.topics(name) {
            self.shared.statuses.remove_topic(name, &status.topic);
        }
        Ok(())
    }

    async fn aim(&self, name: &str, target: Target) -> Answer<()> {
        if !self.snapshot().contains(name) {
            return Err(Refusal::new(404, format!("Unknown connector {name}")));
        }
        self.shared.configs.put_target(name, target).await.map_err(failed)
    }

    async fn stop(&self, name: &str) -> Answer<()> {
        writes::stop(&self.shared, name).await
    }

    async fn restart(&self, name: &str) -> Answer<()> {
        self.restartable(name).await?;
        let name = name.to_owned();
        self.ask(|reply| Command::RestartConnector { name, reply }).await
    }

    async fn restart_plan(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Answer<ConnectorStatus> {
        self.restartable(name).await?;
        let _turn = self.shared.lead_settled().await?;
        let request = RestartRequest { connector: name.to_owned(), include_tasks, only_failed };
        self.shared.configs.put_restart(&request).await.map_err(failed)?;
        let missing = |_| Refusal::new(404, format!("Status for connector {name} not found"));
        let mut plan = self.status(name).await.map_err(missing)?;
        let mark = |info: &mut StateInfo| {
            if !only_failed || info.state == State::Failed {
                info.state = State::Restarting;
                info.trace = None;
            }
        };
        mark(&mut plan.connector);
        if include_tasks {
            plan.tasks.iter_mut().for_each(|task| mark(&mut task.state));
        }
        Ok(plan)
    }

    async fn restart_task(&self, name: &str, task: usize) -> Answer<()> {
        let snapshot = self.restartable(name).await?;
        let id = u32::try_from(task).ok().filter(|_| snapshot.task(name, task).is_some());
        let Some(id) = id else {
            return Err(Refusal::new(404, format!("Unknown task: {name}-{task}")));
        };
        let id = group::TaskId { connector: name.to_owned(), task: id };
        self.ask(|reply| Command::RestartTask { id, reply }).await
    }

    async fn offsets(&self, name: &str) -> Answer<Vec<(Object, Object)>> {
        let config = known(&self.snapshot(), name)?;
        if kind(&config) == "sink" {
            let (worker, tasks) = (&self.shared.worker, &self.shared.tasks);
            return sink_offsets::list(worker, tasks, name, &config.props()).await;
        }
        let listed = self.shared.tasks.offsets.list(name).await.map_err(failed)?;
        Ok(java_order::source_offsets(name, listed))
    }

    async fn change_offsets(
        &self,
        name: &str,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<bool> {
        writes::change_offsets(&self.shared, name, changes).await
    }

    async fn put_tasks(
        &self,
        name: &str,
        tasks: Option<Vec<RawConfig>>,
        signature: Signature<'_>,
    ) -> Answer<()> {
        self.verify(signature)?;
        let tasks = tasks.ok_or_else(|| {
            Refusal::new(400, format!("store the tasks of connector {name}: one of them is null"))
        })?;
        let tasks: Vec<RawConfig> = tasks.into_iter().map(RawConfig::in_hash_order).collect();
        writes::put_tasks(&self.shared, name, &tasks).await
    }

    async fn fence(&self, name: &str, signature: Signature<'_>) -> Answer<()> {
        self.verify(signature)?;
        writes::fence(&self.shared, name).await
    }

    async fn set_loggers(&self, namespace: &str, level: &str) -> Answer<()> {
        let level = level.to_ascii_uppercase();
        self.shared.configs.put_logger(namespace, &level).await.map_err(failed)
    }

    fn grouped(&self) -> bool {
        true
    }

    /// Goes through the loop that all changes go through: one that hangs, or that has not come
    /// back into the group, does not answer.
    async fn check(&self) -> Answer<()> {
        self.ask(|reply| Command::Check { reply }).await
    }

    fn stage(&self) -> Option<String> {
        self.shared.stages.told()
    }

    async fn shut_down(&self) {
        self.shared.stopping.cancel();
        self.shared.stopped.cancelled().await;
    }
}

impl Distributed {
    /// What this worker knows beyond the status topic is told of its own tasks.
    fn task_status_of(&self, connector: &str, id: usize, status: Status) -> TaskStatus {
        let extra = self.shared.tasks.metrics.extra(connector, id);
        TaskStatus { id, state: state_of(status), extra }
    }

    /// For requests that the JVM's worker serves between two rounds: not while the group has yet to
    /// hear of a change.
    fn fresh(&self) -> Answer<Arc<Snapshot>> {
        match self.shared.stale() {
            false => Ok(self.snapshot()),
            true => Err(Refusal::new(
                409,
                "Cannot complete request momentarily due to stale configuration (typically caused \
                 by a concurrent config change)",
            )),
        }
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Answer<()>>) -> Command,
    ) -> Answer<()> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| Refusal::new(500, "the worker is stopping"))?;
        // Nobody answers when the work was taken away meanwhile.
        answer.await.unwrap_or_else(|_| Err(busy()))
    }

    /// Requests of other workers are signed when the group has agreed on it; until this worker has
    /// heard what the group has agreed on, when its own `connect.protocol` says so.
    fn verify(&self, signature: Signature<'_>) -> Answer<()> {
        let agreed = self.shared.standing.borrow().version;
        let signed = match agreed {
            Some(version) => version == Version::V2,
            None => self.shared.group.protocol == Protocol::Sessioned,
        };
        if signed { keys::verify(&self.shared, signature) } else { Ok(()) }
    }

    /// A restart by somebody's own hand, of a connector that must be there.
    async fn restartable(&self, name: &str) -> Answer<Arc<Snapshot>> {
        self.shared.between_rounds().await?;
        let snapshot = self.snapshot();
        match snapshot.contains(name) {
            true => Ok(snapshot),
            false => Err(Refusal::new(404, format!("Unknown connector: {name}"))),
        }
    }
}
