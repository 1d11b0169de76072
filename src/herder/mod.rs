//! The connectors of a worker: what is configured, what runs, what became of it.

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;
use indexmap::IndexMap;
use model::{
    config::ConfigInfos,
    connector::{Object, Props},
};
use serde::{
    Serialize,
    ser::{SerializeMap, Serializer},
};

use self::worker_config::WorkerConfig;
use crate::{metrics::TaskExtra, runtime::State};

mod aliases;
mod base_keys;
mod client_keys;
mod connector;
pub mod distributed;
pub mod distributed_config;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod isolated;
mod java_order;
pub mod offset_file;
pub mod providers;
pub mod restart_policy;
mod restarts;
pub mod signing;
mod sink_offsets;
mod stage;
pub mod standalone;
mod task_configs;
pub mod validate;
pub(crate) mod versions;
pub mod worker_config;

pub use distributed::Distributed;
pub use standalone::Standalone;

/// What a worker answers.
pub type Answer<T> = Result<T, Refusal>;

/// What REST and the command line ask of a worker, alone or one of a group.
#[async_trait]
pub trait Herder: Send + Sync {
    fn worker(&self) -> &WorkerConfig;

    /// The id of the Kafka cluster, once it is known.
    fn cluster_id(&self) -> Option<String>;

    /// In the order in which the JVM lists them.
    fn connectors(&self) -> Vec<String>;

    async fn validate(&self, config: &RawConfig) -> Answer<ConfigInfos>;

    /// Creates a connector, or changes its configuration when `replace` says so. Answers whether it
    /// was created.
    async fn put(
        &self,
        name: &str,
        config: RawConfig,
        initial: Option<Target>,
        replace: bool,
    ) -> Answer<(bool, ConnectorInfo)>;

    /// Merges into the configuration; a null removes its key.
    async fn patch(&self, name: &str, patch: RawConfig) -> Answer<ConnectorInfo>;

    async fn delete(&self, name: &str) -> Answer<()>;

    async fn info(&self, name: &str) -> Answer<ConnectorInfo>;

    /// The same for a list of all, which is given at any time.
    async fn listed(&self, name: &str) -> Answer<ConnectorInfo> {
        self.info(name).await
    }

    async fn config(&self, name: &str) -> Answer<RawConfig>;

    async fn tasks(&self, name: &str) -> Answer<Vec<TaskInfo>>;

    async fn status(&self, name: &str) -> Answer<ConnectorStatus>;

    async fn task_status(&self, name: &str, task: usize) -> Answer<TaskStatus>;

    /// The topics a connector has used. None when there is no such connector, as Connect answers.
    async fn topics(&self, name: &str) -> Answer<Vec<Arc<str>>>;

    async fn reset_topics(&self, name: &str) -> Answer<()>;

    /// Pauses or resumes. Answers before it is done, as Connect does.
    async fn aim(&self, name: &str, target: Target) -> Answer<()>;

    /// Answers when all tasks are gone.
    async fn stop(&self, name: &str) -> Answer<()>;

    /// Restarts the connector itself, and its tasks if it makes other ones now.
    async fn restart(&self, name: &str) -> Answer<()>;

    /// Restarts by plan. Answers with the statuses as the plan has them.
    async fn restart_plan(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Answer<ConnectorStatus>;

    async fn restart_task(&self, name: &str, task: usize) -> Answer<()>;

    /// Partition and offset of each stored offset.
    async fn offsets(&self, name: &str) -> Answer<Vec<(Object, Object)>>;

    /// Changes stored offsets; `None` forgets all of them. Answers whether that is all there is to
    /// do: see `SourceConnector::alter_offsets`.
    async fn change_offsets(
        &self,
        name: &str,
        changes: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<bool>;

    /// Takes the tasks of a connector that another worker runs; `None` when what it has sent has a
    /// null for one of them.
    async fn put_tasks(
        &self,
        name: &str,
        tasks: Option<Vec<RawConfig>>,
        signature: Signature<'_>,
    ) -> Answer<()>;

    /// Fences off the producers that tasks of before may still have, for another worker that is about
    /// to start tasks with exactly-once support.
    async fn fence(&self, _name: &str, _signature: Signature<'_>) -> Answer<()> {
        Err(Refusal::new(
            500,
            "Kafka Connect in standalone mode does not support exactly-once source connectors.",
        ))
    }

    /// Tells all workers of the group what level a logger is to have; this one has it already.
    async fn set_loggers(&self, _namespace: &str, _level: &str) -> Answer<()> {
        Ok(())
    }

    /// Whether this worker is one of a group, and hears of changes through the group's topics.
    fn grouped(&self) -> bool {
        false
    }

    /// Answers when the herder does its work, for `GET /health`.
    async fn check(&self) -> Answer<()> {
        Ok(())
    }

    /// What the herder does or has done last, as Connect tells it where a request was not answered in
    /// time.
    fn stage(&self) -> Option<String> {
        None
    }

    /// Stops everything, all connectors at once, within the worker's grace.
    async fn shut_down(&self);
}

/// A request of another worker, with what shows that it is one.
#[derive(Clone, Copy)]
pub struct Signature<'a> {
    /// Of the body, in base64.
    pub mac: Option<&'a str>,
    pub algorithm: Option<&'a str>,
    pub body: &'a [u8],
}

/// Names of connectors in the order in which the JVM lists them.
fn in_java_order<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let names: Vec<_> = names.map(|name| (name.to_owned(), ().into())).collect();
    model::java::hash_map(names).into_iter().map(|(name, _)| name).collect()
}

/// Why a request is not done, as REST answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub message: String,
    /// The worker that would do it.
    pub elsewhere: Option<String>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), elsewhere: None }
    }

    /// Another worker has to do it: the address of its REST API.
    pub(crate) fn elsewhere(url: &str) -> Self {
        let message = format!("the group's leader has to do this; send the request to {url}");
        Self { elsewhere: Some(url.to_owned()), ..Self::new(503, message) }
    }

    pub(crate) fn not_stopped(name: &str) -> Self {
        Self::new(
            400,
            format!(
                "Connectors must be in the STOPPED state before their offsets can be modified. \
                 This can be done for the specified connector by issuing a 'PUT' request to the \
                 '/connectors/{name}/stop' endpoint"
            ),
        )
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
#[derive(Clone, Default, PartialEq, Eq)]
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

    /// Merges into it; a null removes its key.
    pub(crate) fn patch(&mut self, patch: &Self) {
        let mut entries: IndexMap<_, _> = std::mem::take(&mut self.0).into_iter().collect();
        entries.extend(patch.0.iter().cloned());
        let removed: HashSet<&str> =
            patch.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key).collect();
        entries.retain(|key, _| !removed.contains(key.as_str()));
        self.0 = entries.into_iter().collect();
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
        // A request may have a hundred thousand keys, and looking through them for each is too slow.
        Self(entries.into_iter().collect::<IndexMap<_, _>>().into_iter().collect())
    }
}

/// The keys alone: among the values are passwords.
impl fmt::Debug for RawConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// As Java prints a map, for answers that the JVM gives in these words.
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
    /// Empty when it isn't known, which is shown as null.
    #[serde(serialize_with = "version", skip_serializing_if = "undefined")]
    pub version: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    pub id: usize,
    #[serde(flatten)]
    pub state: StateInfo,
    /// Ours, and only where there is something to say.
    #[serde(flatten)]
    pub extra: TaskExtra,
}

fn version<S: Serializer>(version: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match version {
        "" => serializer.serialize_none(),
        version => serializer.serialize_str(version),
    }
}

/// What plugins without a version are said to have.
fn undefined(version: &str) -> bool {
    version == "undefined"
}

fn state_name<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, Option<&str>)]) -> RawConfig {
        let own =
            |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
        entries.iter().map(own).collect()
    }

    #[test]
    fn a_key_keeps_its_place_and_its_last_value_counts() {
        let given = config(&[("b", Some("1")), ("a", None), ("b", Some("2")), ("c", Some("3"))]);
        assert_eq!(given.to_string(), "{b=2, a=null, c=3}");
        let mut patched = given.clone();
        patched.patch(&config(&[("d", Some("4")), ("b", None), ("c", Some("5")), ("e", None)]));
        assert_eq!(patched.to_string(), "{a=null, c=5, d=4}");
    }

    /// As many keys as fit into a request. Looking through them for each took minutes.
    #[test]
    fn many_keys_take_no_time() {
        let keys = || (0..500_000).map(|number| (number.to_string(), Some(String::new())));
        let begun = std::time::Instant::now();
        let mut config: RawConfig = keys().collect();
        config.patch(&keys().collect());
        assert_eq!(config.iter().count(), 500_000);
        let took = begun.elapsed();
        assert!(took < std::time::Duration::from_secs(60), "{took:?}");
    }
    #[test]
    fn passwords_are_not_printed() {
        let config = config(&[("name", Some("c")), ("database.password", Some("s3cret"))]);
        let info = ConnectorInfo { name: "c".into(), config, tasks: Vec::new(), kind: "source" };
        let shown = format!("{info:?} {info:#?}");
        assert!(shown.contains("database.password") && !shown.contains("s3cret"), "{shown}");
    }
}
