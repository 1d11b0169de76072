//! What a worker measures, and `GET /metrics`.
//!
//! # Names
//!
//! Kafka Connect shows MBeans; people scrape them through Prometheus' JMX exporter with the rules
//! that come with it, or with Strimzi's, and have dashboards for the names these make. Those names
//! are given here. Where the rules leave out an attribute, it has the name that they would make;
//! where two attributes collide in them (`…-active-count-max`), each has its own. Task status is shown
//! as the first rules name it (`kafka_connect_connector_status` with a `task`) and as Strimzi's do
//! (`kafka_connect_connector_task_status`; `kafka_connect_connector_status` without a `task` is the
//! connector's own). Figures of Debezium's connectors have the names of Debezium's own example of
//! such rules. Names that begin with `riverrun_` are of this worker alone.
//!
//! # Cost
//!
//! Tasks count per batch, with atomics ([`TaskMetrics`]); averages and maxima are over the last
//! samples ([`window`]). Whoever scrapes puts the text together. Series are as many as tasks, and
//! partitions of the Kafka clients up to a limit ([`client`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use model::{connector::Props, figures::clock_ms};
use serde::Serialize;

pub mod client;
mod health;
mod process;
mod task;
mod task_text;
#[cfg(test)]
mod tests;
pub mod text;
pub mod window;
mod worker;

pub use client::{ClientKind, ClientMetrics};
pub use health::{Health, Stall, Wait};
pub use task::{ErrorMetrics, NextRestart, Role, TaskMetrics};
pub use worker::GroupMetrics;

use self::{text::Text, window::Frame, worker::Starts};
use crate::runtime::State;

/// All that a worker measures.
pub struct Metrics {
    frame: Frame,
    /// As `clientId` in the worker's own figures.
    client_id: String,
    started_ms: u64,
    connectors: Mutex<BTreeMap<String, Connector>>,
    /// The tasks on this worker, gone when their handles are.
    tasks: Mutex<Vec<Weak<TaskMetrics>>>,
    clients: Mutex<Vec<Weak<ClientMetrics>>>,
    connector_starts: Starts,
    task_starts: Starts,
    group: OnceLock<Arc<GroupMetrics>>,
}

struct Connector {
    class: &'static str,
    version: &'static str,
    kind: &'static str,
    state: State,
}

/// What a task's status says beyond Connect's; nothing where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskExtra {
    /// The task makes no progress although it has work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<Stall>,
    /// The failed task starts again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<NextRestart>,
    /// The snapshot that the task takes now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<model::figures::Snapshot>,
}

impl Metrics {
    /// Of a worker with these properties. `client_id` is its `client.id`, or `connect-host:port`.
    pub fn new(worker: &Props, client_id: &str) -> Arc<Self> {
        let number = |key: &str| worker.get(key).and_then(|text| text.trim().parse().ok());
        let usual = Frame::default();
        let frame = Frame {
            sample_ms: number("metrics.sample.window.ms").unwrap_or(usual.sample_ms),
            samples: number("metrics.num.samples").unwrap_or(usual.samples),
        };
        // The clock begins here at the latest.
        clock_ms();
        Arc::new(Self {
            frame,
            client_id: client_id.to_owned(),
            started_ms: task::now_ms(),
            connectors: Mutex::default(),
            tasks: Mutex::default(),
            clients: Mutex::default(),
            connector_starts: Starts::new(frame),
            task_starts: Starts::new(frame),
            group: OnceLock::new(),
        })
    }

    // ---- Connectors ------------------------------------------------------------------------------

    /// A connector is on this worker, in this state. `kind` is `source` or `sink`.
    pub fn connector(
        &self,
        name: &str,
        kind: &'static str,
        (class, version): (&'static str, &'static str),
        state: State,
    ) {
        let connector = Connector { class, version, kind, state };
        lock(&self.connectors).insert(name.to_owned(), connector);
    }

    /// A connector is on this worker no more.
    pub fn connector_gone(&self, name: &str) {
        lock(&self.connectors).remove(name);
    }

    /// A connector came to run after its start, or failed before.
    pub fn connector_started(&self, ok: bool) {
        self.connector_starts.count(ok);
    }

    // ---- Tasks -----------------------------------------------------------------------------------

    /// A task is on this worker, for as long as the answer is kept. `plugin` are the connector's
    /// class and version, `props` the task's configuration.
    pub fn task(
        &self,
        connector: &Arc<str>,
        task: usize,
        role: Role,
        plugin: (&'static str, &'static str),
        (props, worker): (&Props, &Props),
    ) -> Arc<TaskMetrics> {
        let classes = task::classes(props, worker, plugin, role);
        let metrics =
            Arc::new(TaskMetrics::new(self.frame, connector.clone(), task, role, classes));
        let mut tasks = lock(&self.tasks);
        tasks.retain(|other| {
            let other = other.upgrade();
            // Of two with one name the older is ending.
            other.is_some_and(|other| other.connector != *connector || other.task != task)
        });
        tasks.push(Arc::downgrade(&metrics));
        metrics
    }

    /// A task came to run after its start, or failed before.
    pub fn task_started(&self, ok: bool) {
        self.task_starts.count(ok);
    }

    /// Sorted by connector and number.
    fn tasks(&self) -> Vec<Arc<TaskMetrics>> {
        let mut tasks: Vec<_> = lock(&self.tasks).iter().filter_map(Weak::upgrade).collect();
        tasks.sort_by(|a, b| (&a.connector, a.task).cmp(&(&b.connector, b.task)));
        tasks
    }

    pub fn find(&self, connector: &str, task: usize) -> Option<Arc<TaskMetrics>> {
        let tasks = lock(&self.tasks);
        let mut tasks = tasks.iter().filter_map(Weak::upgrade);
        tasks.find(|one| *one.connector == *connector && one.task == task)
    }

    /// What a task's status says beyond Connect's, if the task is on this worker.
    pub fn extra(&self, connector: &str, task: usize) -> TaskExtra {
        self.find(connector, task).map(|task| task.extra()).unwrap_or_default()
    }

    // ---- Group and clients -----------------------------------------------------------------------

    /// The worker's part in its group; shown once it was asked for.
    pub fn group(&self) -> &Arc<GroupMetrics> {
        let new = || Arc::new(GroupMetrics::new(self.frame, self.client_id.clone()));
        self.group.get_or_init(new)
    }

    /// A Kafka client of this worker, for as long as the answer is kept.
    pub fn client(&self, kind: ClientKind, client_id: &str) -> Arc<ClientMetrics> {
        let client = Arc::new(ClientMetrics::new(kind, client_id));
        let mut clients = lock(&self.clients);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        client
    }

    // ---- The text --------------------------------------------------------------------------------

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = Text::default();
        let tasks = self.tasks();
        self.write_worker(&tasks, &mut text);
        self.write_connectors(&tasks, &mut text);
        task_text::write(&tasks, &mut text);
        if let Some(group) = self.group.get() {
            group.write(&mut text);
        }
        let clients: Vec<_> = lock(&self.clients).iter().filter_map(Weak::upgrade).collect();
        clients.iter().for_each(|client| client.write(&mut text));
        process::write(&mut text);
        text.finish()
    }

    fn write_worker(&self, tasks: &[Arc<TaskMetrics>], text: &mut Text) {
        let version = env!("CARGO_PKG_VERSION");
        let commit = option_env!("RIVERRUN_COMMIT").unwrap_or("unknown");
        let build = [("version", version), ("commit", commit)];
        text.gauge("riverrun_build_info", "Version of the program.", &build, 1.0);
        let client = ("clientId", self.client_id.as_str());
        text.gauge(
            "kafka_connect_version_info",
            "The version of Kafka Connect whose behaviour this is.",
            &[client, ("version", crate::rest::KAFKA_VERSION)],
            1.0,
        );
        let help = "The commit the program was built from.";
        text.gauge("kafka_connect_commit_id_info", help, &[client, ("commit_id", commit)], 1.0);
        text.gauge(
            "kafka_connect_start_time_seconds",
            "When the worker started, in seconds since 1970.",
            &[client],
            self.started_ms as f64 / 1_000.0,
        );
        let connectors = lock(&self.connectors).len();
        let help = "Connectors on this worker.";
        text.gauge("kafka_connect_worker_connector_count", help, &[], connectors as f64);
        let help = "Tasks on this worker.";
        text.gauge("kafka_connect_worker_task_count", help, &[], tasks.len() as f64);
        self.connector_starts.write("connector", text);
        self.task_starts.write("task", text);
    }

    fn write_connectors(&self, tasks: &[Arc<TaskMetrics>], text: &mut Text) {
        let connectors = lock(&self.connectors);
        for (name, connector) in &*connectors {
            let about = [
                ("status", "Status of the connector.", status(connector.state)),
                ("connector_class", "Class of the connector.", connector.class),
                ("connector_type", "Whether it is a source or a sink.", connector.kind),
                ("connector_version", "Version of the connector.", connector.version),
            ];
            for (attribute, help, value) in about {
                // The first of these is a name that tasks share.
                let help = if attribute == "status" { STATUS_HELP } else { help };
                let labels = [("connector", name.as_str()), (attribute, value)];
                text.gauge(&format!("kafka_connect_connector_{attribute}"), help, &labels, 1.0);
            }
        }
        for name in connectors.keys() {
            let mut counts = [0_u32; 6];
            let states = [
                State::Running,
                State::Paused,
                State::Failed,
                State::Unassigned,
                State::Restarting,
            ];
            let own = tasks.iter().filter(|task| *task.connector == **name);
            for task in own {
                let state = task.current_state();
                if let Some(place) = states.iter().position(|other| *other == state) {
                    counts[place] += 1;
                }
                counts[5] += 1;
            }
            let names = ["running", "paused", "failed", "unassigned", "restarting", "total"];
            for (what, count) in names.iter().zip(counts) {
                let full = format!("kafka_connect_worker_connector_{what}_task_count");
                let help = format!("Tasks of the connector on this worker: {what}.");
                text.gauge(&full, &help, &[("connector", name)], f64::from(count));
            }
            // No state of ours: a task of a deleted connector is gone at once.
            let full = "kafka_connect_worker_connector_destroyed_task_count";
            let help = "Tasks of the connector on this worker: destroyed.";
            text.gauge(full, help, &[("connector", name)], 0.0);
        }
    }
}

const STATUS_HELP: &str = "Status of a task, or without a task of a connector.";

/// As Connect's metrics name a state.
fn status(state: State) -> &'static str {
    match state {
        State::Unassigned => "unassigned",
        State::Running => "running",
        State::Paused => "paused",
        State::Stopped => "stopped",
        State::Failed => "failed",
        State::Restarting => "restarting",
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
