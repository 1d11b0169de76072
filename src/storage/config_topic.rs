//! The config topic: which connectors there are, what they should be, and how their tasks are
//! configured. Written by the group's leader, except for target states and logger levels, which any
//! worker writes; read by all.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{
    connector::Props,
    error::{Error, Kind, Result},
};
use serde::Serialize;
use tokio::{sync::mpsc, time::Instant};

use super::{
    config_state::{
        COMMIT, CONNECTOR, ConfigState, FENCING, LOGGER, RESTART, RestartRequest, SESSION_KEY,
        SessionKey, Snapshot, TARGET_STATE, TASK, Told,
    },
    json,
    log::{Entry, KafkaLog, Record, Which},
};
use crate::herder::{RawConfig, Target};

/// How long a write and reading it back may take together.
const WITHIN: Duration = Duration::from_secs(30);

/// The config topic.
pub struct ConfigStore {
    log: KafkaLog,
    state: Arc<Mutex<ConfigState>>,
    /// Held through a sequence of writes, so that two sequences of this worker don't mingle.
    writing: tokio::sync::Mutex<()>,
}

impl ConfigStore {
    /// Creates or checks the topic and reads it to its end. What it says then is in
    /// [`ConfigStore::snapshot`]; what changes afterwards comes out of the receiver, in order. It has
    /// no limit, because whoever takes the changes may be waiting for a write to be read back; users
    /// change configurations far more slowly than a worker takes note of it.
    pub async fn open(worker: &Props) -> Result<(Self, mpsc::UnboundedReceiver<Told>)> {
        let state = Arc::new(Mutex::new(ConfigState::new()));
        // Restarts and logger levels of before are over, and all else is in the snapshot.
        let live = Arc::new(AtomicBool::new(false));
        let (changes, receiver) = mpsc::unbounded_channel();
        let each = {
            let (state, live) = (state.clone(), live.clone());
            move |record: Record<'_>| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let change = state.apply(record.offset, record.key, record.value);
                // Told under the lock: a snapshot never lacks what was told before it was taken.
                if let Some(change) = change.filter(|_| live.load(Ordering::Acquire)) {
                    // Nobody listens any more when the worker stops.
                    let told = Told { offset: record.offset + 1, change };
                    changes.send(told).unwrap_or_default();
                }
            }
        };
        let log = KafkaLog::open(worker, Which::Configs, each).await?;
        live.store(true, Ordering::Release);
        Ok((Self { log, state, writing: tokio::sync::Mutex::default() }, receiver))
    }

    /// What the topic says, as far as it has been read.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).snapshot()
    }

    /// Reads the topic to its end.
    pub async fn refresh(&self, within: Duration) -> Result<()> {
        let read = self.log.read_to_end(within).await;
        read.map_err(|error| wrapped("Error trying to read to end of config log", error))
    }

    /// Stores a connector's configuration, with what it should be at first.
    pub async fn put_connector(
        &self,
        name: &str,
        config: &RawConfig,
        target: Option<Target>,
    ) -> Result<()> {
        let mut entries = Vec::with_capacity(2);
        if let Some(target) = target {
            entries.push(target_state(name, target));
        }
        let value = json::write(&Properties { properties: config });
        entries.push((format!("{CONNECTOR}{name}").into_bytes(), Some(value)));
        self.write(entries, "Error writing connector configuration to Kafka").await
    }

    /// Removes a connector. Its task configurations stay in the topic and mean nothing there.
    pub async fn delete_connector(&self, name: &str) -> Result<()> {
        let entries =
            [CONNECTOR, TARGET_STATE].map(|key| (format!("{key}{name}").into_bytes(), None));
        self.write(entries.into(), "Error removing connector configuration from Kafka").await
    }

    /// Stores the configurations of a connector's tasks, all of them, and then commits them.
    pub async fn put_tasks(&self, connector: &str, configs: &[RawConfig]) -> Result<()> {
        const ROOT: &str = "Error writing root configuration to Kafka";
        let deadline = Instant::now() + WITHIN;
        let _writing = self.claim(deadline, ROOT).await?;
        let refresh = async || {
            let read = self.log.read_to_end(left(deadline)).await;
            read.map_err(|error| wrapped(ROOT, error))
        };
        // Whatever another leader wrote before counts before this.
        refresh().await?;
        let task = |(task, config)| {
            let value = json::write(&Properties { properties: config });
            (format!("{TASK}{connector}-{task}").into_bytes(), Some(value))
        };
        let entries: Vec<Entry> = configs.iter().enumerate().map(task).collect();
        if !entries.is_empty() {
            let written = self.log.append_all(entries, left(deadline)).await;
            written
                .map_err(|error| wrapped("Error writing task configurations to Kafka", error))?;
            refresh().await?;
        }
        let value = json::write(&Commit { tasks: configs.len() });
        let key = format!("{COMMIT}{connector}").into_bytes();
        let written = self.log.append(key, Some(value), left(deadline)).await;
        written.map_err(|error| wrapped(ROOT, error))?;
        refresh().await
    }

    /// Stores what a connector should be. Returns when it is acknowledged; it shows in the snapshot
    /// when it is read back.
    pub async fn put_target(&self, connector: &str, target: Target) -> Result<()> {
        let (key, value) = target_state(connector, target);
        let written = self.log.append(key, value, WITHIN).await;
        written.map_err(|error| wrapped("Error writing target state to Kafka", error))
    }

    /// Notes that tasks of before have been fenced off.
    pub async fn put_fencing(&self, connector: &str, task_count: usize) -> Result<()> {
        let value = json::write(&Fencing { task_count });
        let entry = (format!("{FENCING}{connector}").into_bytes(), Some(value));
        self.write(vec![entry], "Error writing task count record to Kafka").await
    }

    pub async fn put_session_key(&self, key: &SessionKey) -> Result<()> {
        let value = json::write(&Key {
            key: STANDARD.encode(&key.key),
            algorithm: &key.algorithm,
            created_ms: key.created_ms,
        });
        let entry = (SESSION_KEY.as_bytes().to_vec(), Some(value));
        self.write(vec![entry], "Error writing session key to Kafka").await
    }

    /// Asks all workers for their part of a restart.
    pub async fn put_restart(&self, request: &RestartRequest) -> Result<()> {
        let RestartRequest { connector, include_tasks, only_failed } = request;
        let value =
            json::write(&Restart { include_tasks: *include_tasks, only_failed: *only_failed });
        let entry = (format!("{RESTART}{connector}").into_bytes(), Some(value));
        let what = format!(
            "Error writing restart request {{connectorName='{connector}', \
             onlyFailed={only_failed}, includeTasks={include_tasks}}} to Kafka"
        );
        self.write(vec![entry], &what).await
    }

    /// Asks all workers to set a logger's level.
    pub async fn put_logger(&self, namespace: &str, level: &str) -> Result<()> {
        let key = format!("{LOGGER}{namespace}").into_bytes();
        let written = self.log.append(key, Some(json::write(&Logger { level })), WITHIN).await;
        written.map_err(|error| wrapped("Error writing logger level to Kafka", error))
    }

    /// Stops following the topic.
    pub async fn close(&self, within: Duration) {
        self.log.close(within).await;
    }

    /// Writes, and reads to the end, so that the snapshot has it.
    async fn write(&self, entries: Vec<Entry>, what: &str) -> Result<()> {
        let deadline = Instant::now() + WITHIN;
        let _writing = self.claim(deadline, what).await?;
        let written = self.log.append_all(entries, left(deadline)).await;
        written.map_err(|error| wrapped(what, error))?;
        self.log.read_to_end(left(deadline)).await.map_err(|error| wrapped(what, error))
    }

    async fn claim(
        &self,
        deadline: Instant,
        what: &str,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>> {
        let claimed = tokio::time::timeout_at(deadline, self.writing.lock()).await;
        claimed.map_err(|_| {
            Error::retriable(what).caused_by("an earlier write to the topic has not ended yet")
        })
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn wrapped(what: &str, error: Error) -> Error {
    match error.kind() {
        Kind::Retriable => Error::retriable(what),
        Kind::Fatal => Error::fatal(what),
    }
    .caused_by(error)
}

fn target_state(connector: &str, target: Target) -> Entry {
    // Workers before Kafka 3.5 know no STOPPED; they read `state` and pause.
    let (state, state_v2) = match target {
        Target::Running => ("STARTED", "STARTED"),
        Target::Paused => ("PAUSED", "PAUSED"),
        Target::Stopped => ("PAUSED", "STOPPED"),
    };
    let value = json::write(&TargetState { state, state_v2 });
    (format!("{TARGET_STATE}{connector}").into_bytes(), Some(value))
}

// ---- Values, with their fields in the JVM's order. -----------------------------------------------

#[derive(Serialize)]
struct Properties<'a> {
    properties: &'a RawConfig,
}

#[derive(Serialize)]
struct TargetState {
    state: &'static str,
    #[serde(rename = "state.v2")]
    state_v2: &'static str,
}

#[derive(Serialize)]
struct Commit {
    tasks: usize,
}

#[derive(Serialize)]
struct Fencing {
    #[serde(rename = "task-count")]
    task_count: usize,
}

#[derive(Serialize)]
struct Key<'a> {
    key: String,
    algorithm: &'a str,
    #[serde(rename = "creation-timestamp")]
    created_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Restart {
    include_tasks: bool,
    only_failed: bool,
}

#[derive(Serialize)]
struct Logger<'a> {
    level: &'a str,
}
