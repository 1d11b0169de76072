//! The herder of a worker that is one of a group: what is configured stands in the config topic, the
//! group's leader shares it out, and each worker runs its part.
//!
//! Reading asks the copies that this worker keeps of the config and status topics, so it never waits
//! for connector code, a broker or the group. Writing is the leader's ([`writes`]); what follows from
//! a write is done by [`driver`] on every worker, when the record comes back from the topic.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use model::error::{Error, Kind, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, ConnectorInfo, RawConfig, Refusal, StateInfo, TaskId, distributed_config::GroupConfig,
    stage::Stages, validate, worker_config::WorkerConfig,
};
use crate::{
    cli::logging::Loggers,
    group::{self, Lease, Owners, Version},
    metrics::Metrics,
    plugins::Plugin,
    runtime::{Tasks, Threads, Transport},
    storage::{ConfigStore, OffsetTopic, Snapshot, Status, StatusStore},
};

mod commands;
mod departure;
mod driver;
mod fencing;
mod keys;
mod leased;
mod requests;
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

    /// Waits until the worker has ended by itself, and says why.
    pub async fn ended(&self) -> String {
        self.shared.stopped.cancelled().await;
        let failure = self.shared.failure.get();
        failure.map_or("the herder ended", String::as_str).to_owned()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.configs.snapshot()
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

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The plugin of a stored configuration.
fn plugin_of(config: &RawConfig) -> Result<Plugin> {
    let class = config.get("connector.class").unwrap_or_default();
    validate::find_plugin(class).map_err(|refusal| Error::fatal(refusal.message))
}
