//! The herder of a worker that is one of a group: what is configured stands in the config topic, the
//! group's leader shares it out, and each worker runs its part.
//!
//! Reading asks the copies that this worker keeps of the config and status topics, so it never waits
//! for connector code, a broker or the group. Writing is the leader's; what follows from a write is
//! done by [`driver`] on every worker, when the record comes back from the topic.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use model::{
    config::ConfigInfos,
    connector::Object,
    error::{Error, Result},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Answer, ConnectorInfo, ConnectorStatus, Herder, RawConfig, Refusal, Signature, StateInfo,
    Target, TaskId, TaskInfo, TaskStatus, distributed_config::GroupConfig, in_java_order, validate,
    worker_config::WorkerConfig,
};
use crate::{
    cli::logging::Loggers,
    group::{self, Owners},
    metrics::Metrics,
    plugins::Plugin,
    runtime::{State, Tasks, Transport},
    storage::{ConfigStore, OffsetTopic, RestartRequest, Snapshot, Status, StatusStore},
};

mod driver;
mod keys;
mod work;

/// How long a request waits for the config topic.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// A handle on the herder; clones are the same herder.
#[derive(Clone)]
pub struct Distributed {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

struct Shared {
    worker: WorkerConfig,
    group: GroupConfig,
    /// `host:port`, as it stands in statuses.
    worker_id: String,
    tasks: Tasks,
    configs: ConfigStore,
    statuses: StatusStore,
    standing: watch::Sender<Standing>,
    cluster_id: OnceLock<String>,
    loggers: Arc<Loggers>,
}

/// This worker's place in the group.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// -1 before the first round.
    generation: i32,
    leads: bool,
    leader_url: String,
    /// The group has agreed that requests between workers are signed.
    signed: bool,
    /// Known to the leader alone.
    owners: Arc<Owners>,
    /// A change of configurations waits for the next round.
    stale: bool,
}

enum Command {
    RestartConnector { name: String, reply: oneshot::Sender<Answer<()>> },
    RestartTask { name: String, task: usize, reply: oneshot::Sender<Answer<()>> },
    Shutdown { reply: oneshot::Sender<()> },
}

/// What a worker of a group is made of.
pub struct Parts {
    pub worker: WorkerConfig,
    pub group: GroupConfig,
    pub worker_id: String,
    /// Where the other workers reach this one's REST API, with a slash at its end.
    pub url: String,
    pub transport: Arc<dyn Transport>,
    pub loggers: Arc<Loggers>,
    pub metrics: Arc<Metrics>,
}

impl Distributed {
    /// Opens the three topics, and begins to take part in the group.
    pub async fn start(parts: Parts) -> Result<Self> {
        let Parts { worker, group, worker_id, url, transport, loggers, metrics } = parts;
        let (configs, changes) = ConfigStore::open(&worker.props).await?;
        let statuses = StatusStore::open(&worker.props).await?;
        let offsets = Arc::new(OffsetTopic::open(&worker.props).await?);
        let tasks = Tasks { transport, offsets, worker: Arc::new(worker.props.clone()), metrics };
        let member = group::Member::new(driver::settings(&worker, &group)?)?;
        let (standing, _) = watch::channel(Standing { generation: -1, ..Standing::default() });
        let shared = Arc::new(Shared {
            worker,
            group,
            worker_id,
            tasks,
            configs,
            statuses,
            standing,
            cluster_id: OnceLock::new(),
            loggers,
        });
        let (commands, receiver) = mpsc::channel(64);
        tokio::spawn(driver::Driver::new(shared.clone(), url, member).run(changes, receiver));
        Ok(Self { shared, commands })
    }

    /// Learns the cluster's id, for `GET /`.
    pub async fn meet_kafka(self) {
        if let Some(id) = self.shared.tasks.transport.cluster_id().await {
            self.shared.cluster_id.get_or_init(|| id);
        }
    }

    /// What this worker knows beyond the status topic is told of its own tasks.
    fn task_status_of(&self, connector: &str, id: usize, status: Status) -> TaskStatus {
        let extra = self.shared.tasks.metrics.extra(connector, id);
        TaskStatus { id, state: state_of(status), extra }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.configs.snapshot()
    }

    /// Writing is the leader's, and not while the group has yet to hear of the last write.
    fn lead(&self) -> Answer<()> {
        let standing = self.shared.standing.borrow().clone();
        if standing.generation < 0 || standing.stale {
            return Err(Refusal::new(
                409,
                "Cannot complete request momentarily due to stale configuration (typically caused \
                 by a concurrent config change)",
            ));
        }
        match standing.leads {
            true => Ok(()),
            false => Err(Refusal::elsewhere(&standing.leader_url)),
        }
    }

    fn known(&self, snapshot: &Snapshot, name: &str) -> Answer<Arc<RawConfig>> {
        snapshot.connector(name).cloned().ok_or_else(|| Refusal::not_found(name))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Answer<T> {
        let gone = || Refusal::new(500, "the worker is stopping");
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

fn failed(error: Error) -> Refusal {
    Refusal::new(500, error.trace())
}

fn kind(config: &RawConfig) -> &'static str {
    let class = config.get("connector.class").unwrap_or_default();
    validate::find_plugin(class).map_or("unknown", |plugin| plugin.kind())
}

fn info_of(snapshot: &Snapshot, name: &str, config: &RawConfig) -> ConnectorInfo {
    let id = |task| TaskId { connector: name.to_owned(), task };
    ConnectorInfo {
        name: name.to_owned(),
        config: config.clone(),
        tasks: snapshot.tasks(name).map(id).collect(),
        kind: kind(config),
    }
}

fn state_of(status: Status) -> StateInfo {
    StateInfo {
        state: status.state,
        worker_id: status.worker_id,
        version: status.version.unwrap_or_default().into(),
        trace: status.trace.filter(|trace| !trace.is_empty()),
    }
}

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
        validate::validate(&shared.worker, &*shared.tasks.transport, config).await
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
        self.lead()?;
        let exists = self.snapshot().contains(name);
        if exists && !replace {
            return Err(Refusal::new(409, format!("Connector {name} already exists")));
        }
        let initial = initial.filter(|_| !exists);
        self.shared.configs.put_connector(name, &config, initial).await.map_err(failed)?;
        Ok((!exists, info_of(&self.snapshot(), name, &config)))
    }

    async fn patch(&self, name: &str, patch: RawConfig) -> Answer<ConnectorInfo> {
        let mut config = self.config(name).await?.in_hash_order();
        config.patch(&patch);
        let (_, info) = self.put(name, config.in_hash_order(), None, true).await?;
        Ok(info)
    }

    async fn delete(&self, name: &str) -> Answer<()> {
        self.lead()?;
        self.known(&self.snapshot(), name)?;
        self.shared.configs.delete_connector(name).await.map_err(failed)
    }

    async fn info(&self, name: &str) -> Answer<ConnectorInfo> {
        let snapshot = self.snapshot();
        let config = self.known(&snapshot, name)?;
        Ok(info_of(&snapshot, name, &config))
    }

    async fn config(&self, name: &str) -> Answer<RawConfig> {
        Ok(self.known(&self.snapshot(), name)?.as_ref().clone())
    }

    async fn tasks(&self, name: &str) -> Answer<Vec<TaskInfo>> {
        let snapshot = self.snapshot();
        self.known(&snapshot, name)?;
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
        self.lead()?;
        if !self.snapshot().contains(name) {
            return Err(Refusal::new(404, format!("Unknown connector {name}")));
        }
        self.shared.configs.put_tasks(name, &[]).await.map_err(failed)?;
        self.shared.configs.put_target(name, Target::Stopped).await.map_err(failed)
    }

    async fn restart(&self, name: &str) -> Answer<()> {
        self.known(&self.snapshot(), name)?;
        let name = name.to_owned();
        self.ask(|reply| Command::RestartConnector { name, reply }).await?
    }

    async fn restart_plan(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Answer<ConnectorStatus> {
        self.lead()?;
        if !self.snapshot().contains(name) {
            return Err(Refusal::new(404, format!("Unknown connector: {name}")));
        }
        let mut plan = self.status(name).await?;
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
        let request = RestartRequest { connector: name.to_owned(), include_tasks, only_failed };
        self.shared.configs.put_restart(&request).await.map_err(failed)?;
        Ok(plan)
    }

    async fn restart_task(&self, name: &str, task: usize) -> Answer<()> {
        let snapshot = self.snapshot();
        self.known(&snapshot, name)?;
        if snapshot.task(name, task).is_none() {
            return Err(Refusal::new(404, format!("Unknown task: {name}-{task}")));
        }
        let name = name.to_owned();
        self.ask(|reply| Command::RestartTask { name, task, reply }).await?
    }

    async fn offsets(&self, name: &str) -> Answer<Vec<(Object, Object)>> {
        let config = self.known(&self.snapshot(), name)?;
        if kind(&config) == "sink" {
            return Err(super::standalone::sink_offsets(name));
        }
        self.shared.tasks.offsets.list(name).await.map_err(failed)
    }

    async fn change_offsets(
        &self,
        name: &str,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<()> {
        self.lead()?;
        self.shared.configs.refresh(READ_WITHIN).await.map_err(failed)?;
        let snapshot = self.snapshot();
        let config = self.known(&snapshot, name)?;
        if kind(&config) == "sink" {
            return Err(super::standalone::sink_offsets(name));
        }
        if snapshot.target(name) != Some(Target::Stopped) || !snapshot.tasks(name).is_empty() {
            return Err(Refusal::not_stopped(name));
        }
        let offsets = &self.shared.tasks.offsets;
        let changes = match changes {
            Some(changes) => changes,
            None => {
                let listed = offsets.list(name).await.map_err(failed)?;
                listed.into_iter().map(|(partition, _)| (partition, None)).collect()
            }
        };
        offsets.write(name, changes).await.map_err(failed)
    }

    async fn put_tasks(&self, name: &str, signature: Signature<'_>) -> Answer<()> {
        if self.shared.standing.borrow().signed {
            keys::verify(&self.shared, signature)?;
        }
        self.lead()?;
        let tasks: Vec<BTreeMap<String, Option<String>>> = serde_json::from_slice(signature.body)
            .map_err(|error| {
            Refusal::new(400, format!("task configurations are an array of objects: {error}"))
        })?;
        let snapshot = self.snapshot();
        self.known(&snapshot, name)?;
        if snapshot.target(name) == Some(Target::Stopped) && !tasks.is_empty() {
            return Err(Refusal::new(
                400,
                format!("Cannot submit non-empty set of task configs for stopped connector {name}"),
            ));
        }
        let tasks: Vec<RawConfig> = tasks
            .into_iter()
            .map(|task| task.into_iter().collect::<RawConfig>().in_hash_order())
            .collect();
        self.shared.configs.put_tasks(name, &tasks).await.map_err(failed)
    }

    async fn set_loggers(&self, namespace: &str, level: &str) -> Answer<()> {
        let level = level.to_ascii_uppercase();
        self.shared.configs.put_logger(namespace, &level).await.map_err(failed)
    }

    fn grouped(&self) -> bool {
        true
    }

    async fn shut_down(&self) {
        // An error says that the driver has ended before.
        drop(self.ask(|reply| Command::Shutdown { reply }).await);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The plugin of a stored configuration.
fn plugin_of(config: &RawConfig) -> Result<Plugin> {
    let class = config.get("connector.class").unwrap_or_default();
    validate::find_plugin(class).map_err(|refusal| Error::fatal(refusal.message))
}
