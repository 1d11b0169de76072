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

use model::{config::ConfigInfos, connector::Object};

use super::{
    ConnectorInfo, ConnectorStatus, RawConfig, Refusal, Target, TaskInfo, TaskStatus,
    connector::{Command, Connector, Handle},
    validate,
    worker_config::WorkerConfig,
};
use crate::{plugins, runtime::Tasks};

/// A handle on the herder; clones are the same herder.
#[derive(Clone)]
pub struct Herder {
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

type Answer<T> = Result<T, Refusal>;

impl Herder {
    pub fn new(worker: WorkerConfig, worker_id: String, tasks: Tasks) -> Self {
        let connectors = Mutex::default();
        let cluster_id = OnceLock::new();
        Self { shared: Arc::new(Shared { worker, worker_id, tasks, connectors, cluster_id }) }
    }

    pub fn worker(&self) -> &WorkerConfig {
        &self.shared.worker
    }

    /// The id of the Kafka cluster, once it is known.
    pub fn cluster_id(&self) -> Option<String> {
        self.shared.cluster_id.get().cloned()
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

    /// In the order in which the JVM lists them.
    pub fn connectors(&self) -> Vec<String> {
        let names: Vec<_> = self.list().keys().map(|name| (name.clone(), ().into())).collect();
        model::java::hash_map(names).into_iter().map(|(name, _)| name).collect()
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.shared.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Answer<Handle> {
        self.list().get(name).cloned().ok_or_else(|| Refusal::not_found(name))
    }

    pub async fn validate(&self, config: &RawConfig) -> Answer<ConfigInfos> {
        validate::validate(&self.shared.worker, &*self.shared.tasks.transport, config).await
    }

    /// Creates a connector, or changes its configuration when `replace` says so. Answers whether it
    /// was created.
    pub async fn put(
        &self,
        name: &str,
        config: RawConfig,
        initial: Target,
        replace: bool,
    ) -> Answer<(bool, ConnectorInfo)> {
        let infos = self.validate(&config).await?;
        if let Some(refusal) = validate::refusal(&infos) {
            return Err(refusal);
        }
        let plugin = validate::plugin(&self.shared.worker, &config)?;
        let existing = {
            let mut list = self.list();
            match list.get(name) {
                Some(_) if !replace => {
                    return Err(Refusal::new(409, format!("Connector {name} already exists")));
                }
                Some(handle) => Some(handle.clone()),
                None => {
                    let connector =
                        Connector::new(self.shared.clone(), name, config.clone(), plugin, initial);
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

    /// Merges into the configuration; a null removes its key.
    pub async fn patch(&self, name: &str, patch: RawConfig) -> Answer<ConnectorInfo> {
        let mut config = self.config(name).await?.in_hash_order();
        for (key, value) in patch.iter() {
            match value {
                Some(value) => config.set(key, Some(value.to_owned())),
                None => config.remove(key),
            }
        }
        let (_, info) = self.put(name, config.in_hash_order(), Target::Running, true).await?;
        Ok(info)
    }

    pub async fn delete(&self, name: &str) -> Answer<()> {
        let handle = self.find(name)?;
        handle.ask(name, |reply| Command::Delete { reply }).await?;
        self.list().remove(name);
        self.shared.tasks.transport.forget(name);
        Ok(())
    }

    pub async fn info(&self, name: &str) -> Answer<ConnectorInfo> {
        self.find(name)?.read(name, |connector| connector.info()).await
    }

    pub async fn config(&self, name: &str) -> Answer<RawConfig> {
        self.find(name)?.read(name, |connector| connector.config.clone()).await
    }

    pub async fn tasks(&self, name: &str) -> Answer<Vec<TaskInfo>> {
        self.find(name)?.read(name, |connector| connector.task_infos()).await
    }

    pub async fn status(&self, name: &str) -> Answer<ConnectorStatus> {
        let missing = |_| Refusal::new(404, format!("No status found for connector {name}"));
        let handle = self.find(name).map_err(missing)?;
        handle.read(name, |connector| connector.status()).await.map_err(missing)
    }

    pub async fn task_status(&self, name: &str, task: usize) -> Answer<TaskStatus> {
        let missing = || Refusal::new(404, format!("No status found for task {name}-{task}"));
        let status = self.status(name).await.map_err(|_| missing())?;
        status.tasks.into_iter().find(|status| status.id == task).ok_or_else(missing)
    }

    /// The topics a connector has used. None when there is no such connector, as Connect answers.
    pub async fn topics(&self, name: &str) -> Answer<Vec<Arc<str>>> {
        if !self.shared.worker.topic_tracking {
            return Err(Refusal::new(403, "Topic tracking is disabled."));
        }
        match self.find(name) {
            Ok(handle) => handle.read(name, |connector| connector.topics()).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    pub async fn reset_topics(&self, name: &str) -> Answer<()> {
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

    /// Pauses or resumes. Answers before it is done, as Connect does.
    pub async fn aim(&self, name: &str, target: Target) -> Answer<()> {
        let missing = |_| Refusal::new(404, format!("Unknown connector {name}"));
        let handle = self.find(name).map_err(missing)?;
        handle.tell(name, Command::Aim { target }).await
    }

    /// Answers when all tasks are gone.
    pub async fn stop(&self, name: &str) -> Answer<()> {
        let missing = |_| Refusal::new(500, format!("No connector `{name}` configured"));
        let handle = self.find(name).map_err(missing)?;
        handle.ask(name, |reply| Command::Stop { reply }).await
    }

    /// Restarts the connector itself, and its tasks if it makes other ones now.
    pub async fn restart(&self, name: &str) -> Answer<()> {
        self.find(name)?.ask(name, |reply| Command::Restart { reply }).await
    }

    /// Restarts by plan. Answers with the statuses as the plan has them.
    pub async fn restart_plan(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Answer<ConnectorStatus> {
        let missing = |_| Refusal::new(404, format!("Unknown connector: {name}"));
        let handle = self.find(name).map_err(missing)?;
        handle.ask(name, |reply| Command::RestartPlan { include_tasks, only_failed, reply }).await
    }

    pub async fn restart_task(&self, name: &str, task: usize) -> Answer<()> {
        self.find(name)?.ask(name, |reply| Command::RestartTask { task, reply }).await
    }

    /// Partition and offset of each stored offset.
    pub async fn offsets(&self, name: &str) -> Answer<Vec<(Object, Object)>> {
        let handle = self.find(name)?;
        if handle.read(name, |connector| connector.is_sink()).await? {
            return Err(sink_offsets(name));
        }
        let listed = self.shared.tasks.offsets.list(name).await;
        listed.map_err(|error| Refusal::new(500, error.trace()))
    }

    /// Changes stored offsets; `None` forgets all of them.
    pub async fn change_offsets(
        &self,
        name: &str,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<()> {
        let handle = self.find(name)?;
        if handle.read(name, |connector| connector.is_sink()).await? {
            return Err(sink_offsets(name));
        }
        handle.ask(name, |reply| Command::ChangeOffsets { changes, reply }).await
    }

    /// Stops everything, all connectors at once, within the worker's grace.
    pub async fn shut_down(&self) {
        let handles: Vec<_> =
            self.list().iter().map(|(name, handle)| (name.clone(), handle.clone())).collect();
        let stops = handles.iter().map(|(name, handle)| async move {
            if let Err(refusal) = handle.ask(name, |reply| Command::Shutdown { reply }).await {
                tracing::error!("[{name}|worker] {refusal}");
            }
        });
        futures_util::future::join_all(stops).await;
    }

    /// The plugin of a class or alias, with Connect's words when there is none.
    pub fn plugin(&self, class: &str) -> Answer<plugins::Plugin> {
        validate::find_plugin(class)
    }
}

fn sink_offsets(name: &str) -> Refusal {
    Refusal::new(
        501,
        format!(
            "the offsets of sink connector {name} are those of its consumer group; this version \
             does not read or change them: use kafka-consumer-groups --group connect-{name}"
        ),
    )
}
