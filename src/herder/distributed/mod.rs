//! The herder of a worker that is one of a group: what is configured stands in the config topic, the
//! group's leader shares it out, and each worker runs its part.
//!
//! Reading asks the copies that this worker keeps of the config and status topics, so it never waits
//! for connector code, a broker or the group. Writing is the leader's ([`writes`]); what follows from
//! a write is done by [`driver`] on every worker, when the record comes back from the topic.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use model::{
    config::ConfigInfos,
    connector::Object,
    error::{Error, Kind, Result},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, ConnectorInfo, ConnectorStatus, Herder, RawConfig, Refusal, Signature, StateInfo,
    Target, TaskId, TaskInfo, TaskStatus,
    distributed_config::{GroupConfig, Protocol},
    in_java_order,
    stage::Stages,
    validate,
    worker_config::WorkerConfig,
};
use crate::{
    cli::logging::Loggers,
    group::{self, Lease, Owners, Version},
    metrics::Metrics,
    plugins::Plugin,
    runtime::{State, Tasks, Threads, Transport},
    storage::{ConfigStore, OffsetTopic, RestartRequest, Snapshot, Status, StatusStore},
};

mod commands;
mod departure;
mod driver;
mod fencing;
mod keys;
mod leased;
mod rounds;
mod stores;
mod work;
mod writes;

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
    /// Whether this worker is still a member, by its own clock.
    lease: Arc<Lease>,
    configs: ConfigStore,
    statuses: StatusStore,
    standing: watch::Sender<Standing>,
    cluster_id: OnceLock<String>,
    loggers: Arc<Loggers>,
    /// Held by the one request of those that the leader serves whose turn it is, and by the driver as
    /// it joins.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// The worker is to end.
    stopping: CancellationToken,
    /// It has left the group.
    stopped: CancellationToken,
    /// Why it could not stay in the group, when that is for a person to mend.
    failure: OnceLock<String>,
    stages: Stages,
}

/// This worker's place in the group.
#[derive(Clone, Debug)]
struct Standing {
    /// -1 before the first round.
    generation: i32,
    /// As of the last round, also while the next one is under way.
    leads: bool,
    leader_url: String,
    /// What the group has agreed on: with the newest, requests between workers are signed.
    version: Option<Version>,
    /// Known to the leader alone.
    owners: Arc<Owners>,
    /// The offset of the configurations that the last round was about.
    config_offset: i64,
    /// A round is under way, or its work is being started.
    joining: bool,
    /// A round is due, and this worker is about to join it.
    due: bool,
}

enum Command {
    RestartConnector {
        name: String,
        reply: oneshot::Sender<Answer<()>>,
    },
    RestartTask {
        id: group::TaskId,
        reply: oneshot::Sender<Answer<()>>,
    },
    /// Asks for nothing but an answer.
    Check {
        reply: oneshot::Sender<Answer<()>>,
    },
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
    pub threads: Threads,
}

impl Distributed {
    /// Opens the three topics, and begins to take part in the group.
    pub async fn start(parts: Parts) -> Result<Self> {
        let Parts { worker, group, worker_id, url, transport, loggers, metrics, threads } = parts;
        let member =
            group::Member::new(driver::settings(&worker, &group, metrics.group().clone())?);
        // Whom the brokers do not let in is told so now, and in few words: the clients of the topics
        // would try for long. Brokers that are away may come.
        match member.meet().await {
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => tracing::warn!("{}; trying on", error.trace()),
            Ok(()) => {}
        }
        let (configs, changes) = ConfigStore::open(&worker.props).await?;
        let statuses = StatusStore::open(&worker.props).await?;
        let offsets = Arc::new(OffsetTopic::open(&worker.props).await?);
        let worker_props = Arc::new(worker.props.clone());
        let tasks = Tasks { transport, offsets, worker: worker_props, metrics, threads };
        let (standing, _) = watch::channel(Standing {
            generation: -1,
            leads: false,
            leader_url: String::new(),
            version: None,
            owners: Arc::default(),
            config_offset: -1,
            joining: true,
            due: false,
        });
        let shared = Arc::new(Shared {
            worker,
            group,
            worker_id,
            tasks,
            lease: member.lease(),
            configs,
            statuses,
            standing,
            cluster_id: OnceLock::new(),
            loggers,
            writing: Arc::default(),
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
            failure: OnceLock::new(),
            stages: Stages::default(),
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

    /// Waits until the worker has ended by itself, and says why.
    pub async fn ended(&self) -> String {
        self.shared.stopped.cancelled().await;
        let failure = self.shared.failure.get();
        failure.map_or("the herder ended", String::as_str).to_owned()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.configs.snapshot()
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

fn known(snapshot: &Snapshot, name: &str) -> Answer<Arc<RawConfig>> {
    snapshot.connector(name).cloned().ok_or_else(|| Refusal::not_found(name))
}

fn busy() -> Refusal {
    Refusal::new(
        409,
        "Cannot complete request because of a conflicting operation (e.g. worker rebalance)",
    )
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
            return super::sink_offsets::list(worker, tasks, name, &config.props()).await;
        }
        let listed = self.shared.tasks.offsets.list(name).await.map_err(failed)?;
        Ok(super::java_order::source_offsets(name, listed))
    }

    async fn change_offsets(
        &self,
        name: &str,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<bool> {
        writes::change_offsets(&self.shared, name, changes).await
    }

    async fn put_tasks(&self, name: &str, signature: Signature<'_>) -> Answer<()> {
        self.verify(signature)?;
        let tasks: Vec<BTreeMap<String, Option<String>>> = serde_json::from_slice(signature.body)
            .map_err(|error| {
            Refusal::new(400, format!("task configurations are an array of objects: {error}"))
        })?;
        let tasks: Vec<RawConfig> = tasks
            .into_iter()
            .map(|task| task.into_iter().collect::<RawConfig>().in_hash_order())
            .collect();
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

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The plugin of a stored configuration.
fn plugin_of(config: &RawConfig) -> Result<Plugin> {
    let class = config.get("connector.class").unwrap_or_default();
    validate::find_plugin(class).map_err(|refusal| Error::fatal(refusal.message))
}
