//! The connectors of a worker: what is configured, what runs, what became of it.

use std::fmt;

use model::connector::Props;
use serde::{
    Serialize,
    ser::{SerializeMap, Serializer},
};

use crate::runtime::State;

mod base_keys;
mod connector;
pub mod offset_file;
pub mod providers;
pub mod standalone;
pub mod validate;
pub mod worker_config;

pub use standalone::Herder;

/// Why a request is not done, as REST answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn not_found(name: &str) -> Self {
        Self::new(404, format!("Connector {name} not found"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// A connector's configuration as the user gave it: in that order, `${…}` not resolved. A value is
/// `None` where JSON had null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawConfig(Vec<(String, Option<String>)>);

impl RawConfig {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_deref())
    }

    pub fn set(&mut self, key: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Without the nulls.
    pub fn props(&self) -> Props {
        let given = |(name, value): &(String, Option<String>)| Some((name.clone(), value.clone()?));
        self.0.iter().filter_map(given).collect()
    }

    /// In the order in which the JVM goes through a copy of it.
    pub(crate) fn in_hash_order(self) -> Self {
        let entries = self.0.into_iter().map(|(name, value)| (name, value.into()));
        let ordered = model::java::hash_map(entries);
        let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
        Self(ordered.into_iter().map(|(name, value)| (name, text(value))).collect())
    }
}

impl FromIterator<(String, Option<String>)> for RawConfig {
    fn from_iter<I: IntoIterator<Item = (String, Option<String>)>>(entries: I) -> Self {
        let mut config = Self::default();
        for (name, value) in entries {
            config.set(&name, value);
        }
        config
    }
}

/// As Java prints a map, for messages.
impl fmt::Display for RawConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = |(name, value): &(String, Option<String>)| {
            format!("{name}={}", value.as_deref().unwrap_or("null"))
        };
        write!(f, "{{{}}}", self.0.iter().map(entry).collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for RawConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What a user wants a connector to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Running,
    Paused,
    Stopped,
}

// ---- What REST shows. Field names and orders are Kafka Connect's. --------------------------------

#[derive(Clone, Debug, Serialize)]
pub struct ConnectorInfo {
    pub name: String,
    pub config: RawConfig,
    pub tasks: Vec<TaskId>,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskId {
    pub connector: String,
    pub task: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskInfo {
    pub id: TaskId,
    pub config: RawConfig,
}

#[derive(Clone, Debug, Serialize)]
pub struct ConnectorStatus {
    pub name: String,
    pub connector: StateInfo,
    pub tasks: Vec<TaskStatus>,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct StateInfo {
    #[serde(serialize_with = "state_name")]
    pub state: State,
    pub worker_id: String,
    pub version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    pub id: usize,
    #[serde(flatten)]
    pub state: StateInfo,
}

fn state_name<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match state {
        State::Unassigned => "UNASSIGNED",
        State::Running => "RUNNING",
        State::Paused => "PAUSED",
        State::Stopped => "STOPPED",
        State::Failed => "FAILED",
        State::Restarting => "RESTARTING",
    })
}
