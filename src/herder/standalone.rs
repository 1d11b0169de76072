//! The herder of a standalone worker: connectors in memory, no group.
//!
//! Each connector is an actor with its own state ([`super::connector`]), so a connector that hangs
//! holds up nobody else, and reading never waits for connector code. What is here is the list of
//! them, and what has to be done before or between them: validation, names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use model::{config::ConfigInfos, connector::Object};

use super::{
    Answer, ConnectorInfo, ConnectorStatus, Herder, RawConfig, Refusal, Signature, Target,
    TaskInfo, TaskStatus,
    connector::{Command, Connector, Handle},
    in_java_order, java_order, sink_offsets, validate,
    worker_config::WorkerConfig,
};
use crate::runtime::Tasks;

/// A handle on the herder; clones are the same herder.
#[derive(Clone)]
pub struct Standalone {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) worker: WorkerConfig,
    /// `host:port`, as it stands in statuses.
    pub(super) worker_id: String,
    pub(super) tasks: Tasks,
    connectors: Mutex<BTreeMap<String, Handle>>,
    cluster_id: OnceLock<String>,
}

impl Standalone {
    pub fn new(worker: WorkerConfig, worker_id: String, tasks: Tasks) -> Self {
        let connectors = Mutex::default();
        let cluster_id = OnceLock::new();
        Self { shared: Arc::new(Shared { worker, worker_id, tasks, connectors, cluster_id }) }
    }

    /// Asks Kafka who it is until it answers, and says in the log when it does not.
    pub async fn meet_kafka(self) {
        let transport = &self.shared.tasks.transport;
        let mut wait = Duration::from_secs(1);
        loop {
            match transport.check(Duration::from_secs(10)).await {
                Ok(()) => break,
                Err(error) => tracing::error!(
                    "{}; trying again in {} s",
                    error.trace().replace('\n', " "),
                    wait.as_secs()
                ),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(60));
        }
        if let Some(id) = transport.cluster_id().await {
            // Only this task sets it.
            self.shared.cluster_id.get_or_init(|| id);
        }
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.shared.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Answer<Handle> {
        self.list().get(name).cloned().ok_or_else(|| Refusal::not_found(name))
    }
}

#[async_trait]
impl Herder for Standalone {
    fn worker(&self) -> &WorkerConfig {
        &self.shared.worker
    }

    fn cluster_id(&self) -> Option<String> {
        self.shared.cluster_id.get().cloned()
    }

    fn connectors(&self) -> Vec<String> {
        in_java_order(self.list().keys().map(String::as_str))
    }

    async fn validate(&self, config: &RawConfig) -> Answer<ConfigInfos> {
        validate::validate(&self.shared.worker, &self.shared.tasks, config).await
    }

    async fn put(
        &self,
        name: &str,
        config: RawConfig,
        initial: Option<Target>,
        replace: bool,
    ) -> Answer<(bool, ConnectorInfo)> {
        let infos = self.validate(&config).await?;
        if let Some(refusal) = validate::refusal(&infos) {
            return Err(refusal);
        }
        let plugin =
            validate::plugin(&self.shared.worker, &self.shared.tasks.threads, &config).await?;
        let existing = {
            let mut list = self.list();
            match list.get(name) {
                Some(_) if !replace => {
                    return Err(Refusal::new(409, format!("Connector {name} already exists")));
                }
                Some(handle) => Some(handle.clone()),
                None => {
                    let connector = Connector::new(
                        self.shared.clone(),
                        name,
                        config.clone(),
                        plugin,
                        initial.unwrap_or(Target::Running),
                    );
                    list.insert(name.to_owned(), connector.spawn());
                    None
                }
            }
        };
        let created = existing.is_none();
        let handle = existing.map_or_else(|| self.find(name), Ok)?;
        let command = |reply| Command::Configure { config, plugin, reply };
        handle.ask(name, command).await?;
        Ok((created, self.info(name).await?))
    }

    async fn patch(&self, name: &str, patch: RawConfig) -> Answer<ConnectorInfo> {
        let mut config = self.config(name).await?.in_hash_order();
        config.patch(&patch);
        let (_, info) = self.put(name, config.in_hash_order(), None, true).await?;
        Ok(info)
    }

    async fn delete(&self, name: &str) -> Answer<()> {
        let handle = self.find(name)?;
        handle.ask(name, |reply| Command::Delete { reply }).await?;
        self.list().remove(name);
        self.shared.tasks.transport.forget(name);
        Ok(())
    }

    async fn info(&self, name: &str) -> Answer<ConnectorInfo> {
        self.find(name)?.read(name, |connector| connector.info()).await
    }

    async fn config(&self, name: &str) -> Answer<RawConfig> {
        self.find(name)?.read(name, |connector| connector.config.clone()).await
    }

    async fn tasks(&self, name: &str) -> Answer<Vec<TaskInfo>> {
        self.find(name)?.read(name, |connector| connector.task_infos()).await
    }

    async fn status(&self, name: &str) -> Answer<ConnectorStatus> {
        let missing = |_| Refusal::new(404, format!("No status found for connector {name}"));
        let handle = self.find(name).map_err(missing)?;
        handle.read(name, |connector| connector.status()).await.map_err(missing)
    }

    async fn task_status(&self, name: &str, task: usize) -> Answer<TaskStatus> {
        let missing = || Refusal::new(404, format!("No status found for task {name}-{task}"));
        let status = self.status(name).await.map_err(|_| missing())?;
        status.tasks.into_iter().find(|status| status.id == task).ok_or_else(missing)
    }

    async fn topics(&self, name: &str) -> Answer<Vec<Arc<str>>> {
        if !self.shared.worker.topic_tracking {
            return Err(Refusal::new(403, "Topic tracking is disabled."));
        }
        match self.find(name) {
            Ok(handle) => handle.read(name, |connector| connector.topics()).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn reset_topics(&self, name: &str) -> Answer<()> {
        if !self.shared.worker.topic_tracking {
            return Err(Refusal::new(403, "Topic tracking is disabled."));
        }
        if !self.shared.worker.topic_reset {
            return Err(Refusal::new(403, "Topic tracking reset is disabled."));
        }
        match self.find(name) {
            Ok(handle) => handle.read(name, |connector| connector.forget_topics()).await,
            Err(_) => Ok(()),
        }
    }

    async fn aim(&self, name: &str, target: Target) -> Answer<()> {
        let missing = |_| Refusal::new(404, format!("Unknown connector {name}"));
        let handle = self.find(name).map_err(missing)?;
        handle.tell(name, Command::Aim { target }).await
    }

    async fn stop(&self, name: &str) -> Answer<()> {
        let missing = |_| Refusal::new(500, format!("No connector `{name}` configured"));
        let handle = self.find(name).map_err(missing)?;
        handle.ask(name, |reply| Command::Stop { reply }).await
    }

    async fn restart(&self, name: &str) -> Answer<()> {
        self.find(name)?.ask(name, |reply| Command::Restart { reply }).await
    }

    async fn restart_plan(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Answer<ConnectorStatus> {
        let missing = |_| Refusal::new(404, format!("Unknown connector: {name}"));
        let handle = self.find(name).map_err(missing)?;
        handle.ask(name, |reply| Command::RestartPlan { include_tasks, only_failed, reply }).await
    }

    async fn restart_task(&self, name: &str, task: usize) -> Answer<()> {
        self.find(name)?.ask(name, |reply| Command::RestartTask { task, reply }).await
    }

    async fn offsets(&self, name: &str) -> Answer<Vec<(Object, Object)>> {
        let handle = self.find(name)?;
        let raw =
            handle.read(name, |connector| connector.is_sink().then(|| connector.config.props()));
        if let Some(raw) = raw.await? {
            return sink_offsets::list(&self.shared.worker, &self.shared.tasks, name, &raw).await;
        }
        let listed = self.shared.tasks.offsets.list(name).await;
        let listed = listed.map_err(|error| Refusal::new(500, error.trace()))?;
        Ok(java_order::source_offsets(name, listed))
    }

    async fn change_offsets(
        &self,
        name: &str,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<bool> {
        let handle = self.find(name)?;
        handle.ask(name, |reply| Command::ChangeOffsets { changes, reply }).await
    }

    async fn put_tasks(
        &self,
        _name: &str,
        _tasks: Option<Vec<RawConfig>>,
        _signature: Signature<'_>,
    ) -> Answer<()> {
        let text = "Kafka Connect in standalone mode does not support externally setting task configurations.";
        Err(Refusal::new(500, text))
    }

    async fn shut_down(&self) {
        let handles: Vec<_> =
            self.list().iter().map(|(name, handle)| (name.clone(), handle.clone())).collect();
        let stops = handles.iter().map(|(name, handle)| async move {
            if let Err(refusal) = handle.ask(name, |reply| Command::Shutdown { reply }).await {
                tracing::error!("[{name}|worker] {refusal}");
            }
        });
        futures_util::future::join_all(stops).await;
    }
}
