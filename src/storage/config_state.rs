//! What the config topic says, record by record.
//!
//! | key | value | meaning |
//! |---|---|---|
//! | `connector-NAME` | `{"properties":{…}}` | the connector's configuration; null removes it |
//! | `target-state-NAME` | `{"state":…,"state.v2":…}` | what the user wants it to be; null: running |
//! | `task-NAME-N` | `{"properties":{…}}` | a task's configuration, kept aside until the commit |
//! | `commit-NAME` | `{"tasks":N}` | the tasks kept aside are the connector's, if all are there |
//! | `tasks-fencing-NAME` | `{"task-count":N}` | tasks of before were fenced off |
//! | `session-key` | `{"key":…,"algorithm":…,"creation-timestamp":…}` | signs requests among workers |
//! | `restart-connector-NAME` | `{"include-tasks":…,"only-failed":…}` | somebody asked for a restart |
//! | `logger-cluster-NAME` | `{"level":…}` | somebody set a logger's level everywhere |
//!
//! Compaction may have removed some of the task configurations that a commit is about. The connector
//! is then *inconsistent* and has no tasks until it is given new ones.
//!
//! Workers of both kinds read one topic and must draw the same conclusions from it, so this does what
//! Kafka Connect 4.3 does, down to what a connector's removal leaves behind: its target state, which
//! has a tombstone of its own, and the counters of generations and fencing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{json, shown};
use crate::herder::{RawConfig, Target};

/// What the config topic says up to an offset. It holds passwords, so it is not printed.
#[derive(Clone, PartialEq)]
pub struct Snapshot {
    offset: i64,
    round: i64,
    session_key: Option<SessionKey>,
    connectors: BTreeMap<String, Arc<RawConfig>>,
    targets: BTreeMap<String, Target>,
    task_counts: BTreeMap<String, usize>,
    tasks: BTreeMap<String, BTreeMap<usize, Arc<RawConfig>>>,
    fencings: BTreeMap<String, usize>,
    generations: BTreeMap<String, u64>,
    applied: BTreeMap<String, Arc<RawConfig>>,
    pending_fencing: BTreeSet<String>,
    inconsistent: BTreeSet<String>,
}

impl Snapshot {
    /// One more than the offset of the last record read; -1 when there was none. Workers compare it
    /// to agree on what to run.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The offset that a round of the group must be about, at least: of the last record that changes
    /// what is to be shared out. -1 when there was none.
    pub fn round(&self) -> i64 {
        self.round
    }

    pub fn session_key(&self) -> Option<&SessionKey> {
        self.session_key.as_ref()
    }

    /// The names, sorted.
    pub fn connectors(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }

    pub fn contains(&self, connector: &str) -> bool {
        self.connectors.contains_key(connector)
    }

    /// A connector's configuration, `${…}` not resolved, in the order in which the JVM shows it.
    pub fn connector(&self, name: &str) -> Option<&Arc<RawConfig>> {
        self.connectors.get(name)
    }

    /// The configuration that the connector's tasks were made from.
    pub fn applied(&self, connector: &str) -> Option<&Arc<RawConfig>> {
        self.applied.get(connector)
    }

    pub fn target(&self, connector: &str) -> Option<Target> {
        self.targets.get(connector).copied()
    }

    /// How many tasks the last commit spoke of, complete or not.
    pub fn task_count(&self, connector: &str) -> usize {
        self.task_counts.get(connector).copied().unwrap_or(0)
    }

    /// The numbers of a connector's tasks: none while it is inconsistent.
    pub fn tasks(&self, connector: &str) -> std::ops::Range<usize> {
        if self.inconsistent.contains(connector) { 0..0 } else { 0..self.task_count(connector) }
    }

    pub fn task(&self, connector: &str, task: usize) -> Option<&Arc<RawConfig>> {
        self.tasks.get(connector)?.get(&task)
    }

    /// The configurations of all tasks of a connector, in order.
    pub fn task_configs(&self, connector: &str) -> Vec<Arc<RawConfig>> {
        self.tasks(connector).filter_map(|task| self.task(connector, task).cloned()).collect()
    }

    /// Changes with every new set of task configurations; counted in this process.
    pub fn generation(&self, connector: &str) -> Option<u64> {
        self.generations.get(connector).copied()
    }

    /// The number of tasks that the last round of fencing was for.
    pub fn fenced_tasks(&self, connector: &str) -> Option<usize> {
        self.fencings.get(connector).copied()
    }

    /// Whether task configurations came after the last round of fencing.
    pub fn pending_fencing(&self, connector: &str) -> bool {
        self.pending_fencing.contains(connector)
    }

    /// Connectors whose task configurations are not all there.
    pub fn inconsistent(&self) -> impl Iterator<Item = &str> {
        self.inconsistent.iter().map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn set_offset(&mut self, offset: i64) {
        self.offset = offset;
    }
}

/// Signs requests from worker to worker.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    pub key: Vec<u8>,
    /// Java's name of the algorithm, such as `HmacSHA256`.
    pub algorithm: String,
    pub created_ms: i64,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey([hidden], {}, {})", self.algorithm, self.created_ms)
    }
}

/// A restart of a connector, and of its tasks, that every worker does its part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartRequest {
    pub connector: String,
    pub include_tasks: bool,
    pub only_failed: bool,
}

/// What a record has changed, for the worker to act upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The group rebalances.
    ConnectorAdded(String),
    /// The connector's owner restarts it.
    ConnectorUpdated(String),
    /// The group rebalances.
    ConnectorRemoved(String),
    /// The group rebalances. `tasks` is empty when the set was incomplete, or when it is empty.
    TasksCommitted {
        connector: String,
        tasks: Vec<usize>,
    },
    /// The owners pause, resume or stop.
    TargetState(String),
    SessionKey(SessionKey),
    Restart(RestartRequest),
    Logger {
        namespace: String,
        level: String,
    },
}

impl Change {
    /// Whether the group has to share its work out anew.
    pub fn asks_for_a_round(&self) -> bool {
        matches!(
            self,
            Change::ConnectorAdded(_) | Change::ConnectorRemoved(_) | Change::TasksCommitted { .. }
        )
    }
}

/// A change, and how far the topic has been read with it: one more than the record's offset, as
/// [`Snapshot::offset`] counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub offset: i64,
    pub change: Change,
}

/// Reads the config topic's records one after the other.
pub struct ConfigState {
    now: Arc<Snapshot>,
    /// Task configurations that no commit has spoken of yet.
    deferred: BTreeMap<String, BTreeMap<usize, Arc<RawConfig>>>,
}

impl Default for ConfigState {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfigState {
    pub fn new() -> Self {
        let now = Snapshot {
            offset: -1,
            round: -1,
            session_key: None,
            connectors: BTreeMap::new(),
            targets: BTreeMap::new(),
            task_counts: BTreeMap::new(),
            tasks: BTreeMap::new(),
            fencings: BTreeMap::new(),
            generations: BTreeMap::new(),
            applied: BTreeMap::new(),
            pending_fencing: BTreeSet::new(),
            inconsistent: BTreeSet::new(),
        };
        Self { now: Arc::new(now), deferred: BTreeMap::new() }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.now.clone()
    }

    /// Takes in a record. One that cannot be read is skipped with a line in the log.
    pub fn apply(
        &mut self,
        offset: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Option<Change> {
        let text = key.map(String::from_utf8_lossy);
        let applied = self.read(offset, text.as_deref(), value);
        let change = applied.unwrap_or_else(|why| {
            let key = key.map_or_else(|| "null".to_owned(), shown);
            tracing::error!("skipping record {key} at offset {offset} of the config topic: {why}");
            None
        });
        if change.as_ref().is_some_and(Change::asks_for_a_round) {
            Arc::make_mut(&mut self.now).round = offset + 1;
        }
        change
    }

    fn read(&mut self, offset: i64, key: Option<&str>, value: Option<&[u8]>) -> Applied {
        // The JVM's worker does not count a record whose value is no JSON. The group compares
        // offsets, so none of its members may count it.
        let value = value.map(json::read).transpose()?;
        let now = Arc::make_mut(&mut self.now);
        now.offset = offset + 1;
        let key = key.ok_or("it has no key")?;
        // In the JSON that the JVM writes, null and no value are one.
        let value = value.filter(|value| !value.is_null());
        if let Some(name) = key.strip_prefix(TARGET_STATE) {
            target_state(now, name, value)
        } else if let Some(name) = key.strip_prefix(CONNECTOR) {
            self.connector(name, value)
        } else if let Some(rest) = key.strip_prefix(TASK) {
            self.task(rest, value)
        } else if let Some(name) = key.strip_prefix(COMMIT) {
            self.commit(name, value)
        } else if let Some(name) = key.strip_prefix(RESTART) {
            restart(name, value)
        } else if let Some(name) = key.strip_prefix(FENCING) {
            let count = count(&object(value)?, "task-count")?;
            now.fencings.insert(name.to_owned(), count);
            now.pending_fencing.remove(name);
            Ok(None)
        } else if key == SESSION_KEY {
            let key = session_key(&object(value)?)?;
            now.session_key = Some(key.clone());
            Ok(Some(Change::SessionKey(key)))
        } else if let Some(namespace) = key.strip_prefix(LOGGER) {
            let level = text(&object(value)?, "level")?;
            Ok(Some(Change::Logger { namespace: namespace.to_owned(), level }))
        } else {
            Err("no record of a Connect worker has such a key".to_owned())
        }
    }

    fn connector(&mut self, name: &str, value: Option<Value>) -> Applied {
        let Some(value) = value else {
            self.forget(name);
            return Ok(Some(Change::ConnectorRemoved(name.to_owned())));
        };
        let config = properties(value)?;
        let now = Arc::make_mut(&mut self.now);
        now.targets.entry(name.to_owned()).or_insert(Target::Running);
        Ok(Some(match now.connectors.insert(name.to_owned(), config) {
            None => Change::ConnectorAdded(name.to_owned()),
            Some(_) => Change::ConnectorUpdated(name.to_owned()),
        }))
    }

    fn forget(&mut self, connector: &str) {
        let now = Arc::make_mut(&mut self.now);
        now.connectors.remove(connector);
        now.task_counts.remove(connector);
        now.tasks.remove(connector);
        now.applied.remove(connector);
        self.deferred.remove(connector);
    }

    fn task(&mut self, rest: &str, value: Option<Value>) -> Applied {
        // Java's `split` drops empty pieces at the end.
        let id = rest.trim_end_matches('-').rsplit_once('-');
        let id = id.and_then(|(name, task)| {
            Some((name, usize::try_from(task.parse::<i32>().ok()?).ok()?))
        });
        let (name, task) = id.ok_or("its key does not end with a task's number")?;
        let config = properties(value.ok_or("its value is null")?)?;
        self.deferred.entry(name.to_owned()).or_default().insert(task, config);
        Ok(None)
    }

    fn commit(&mut self, name: &str, value: Option<Value>) -> Applied {
        if !self.now.connectors.contains_key(name) {
            // The connector was removed, and compaction has removed its tombstone.
            self.forget(name);
            tracing::debug!("ignoring task configurations of connector {name}, which is not there");
            return Ok(None);
        }
        let count = count(&object(value)?, "tasks")?;
        let now = Arc::make_mut(&mut self.now);
        let mut deferred = self.deferred.get_mut(name);
        // Compaction may also have left tasks of a larger set of before.
        let complete = (0..count)
            .all(|task| deferred.as_ref().is_some_and(|deferred| deferred.contains_key(&task)));
        let mut tasks = Vec::new();
        if !complete {
            tracing::warn!(
                "connector {name} has no complete set of {count} task configurations; it gets no \
                 tasks until it is configured again"
            );
            now.inconsistent.insert(name.to_owned());
        } else {
            if let Some(deferred) = &deferred {
                tasks.extend(deferred.keys());
                let live = now.tasks.entry(name.to_owned()).or_default();
                live.extend(deferred.iter().map(|(task, config)| (*task, config.clone())));
                let generation = now.generations.get(name).map_or(0, |generation| generation + 1);
                now.generations.insert(name.to_owned(), generation);
            }
            now.inconsistent.remove(name);
            if let Some(config) = now.connectors.get(name) {
                now.applied.insert(name.to_owned(), config.clone());
            }
        }
        // The next set has to be whole by itself.
        if let Some(deferred) = &mut deferred {
            deferred.clear();
        }
        now.task_counts.insert(name.to_owned(), count);
        now.pending_fencing.insert(name.to_owned());
        Ok(Some(Change::TasksCommitted { connector: name.to_owned(), tasks }))
    }
}

pub(super) const TARGET_STATE: &str = "target-state-";
pub(super) const CONNECTOR: &str = "connector-";
pub(super) const TASK: &str = "task-";
pub(super) const COMMIT: &str = "commit-";
pub(super) const RESTART: &str = "restart-connector-";
pub(super) const FENCING: &str = "tasks-fencing-";
pub(super) const SESSION_KEY: &str = "session-key";
pub(super) const LOGGER: &str = "logger-cluster-";

/// What a record has changed, or why it is skipped.
type Applied = Result<Option<Change>, String>;

fn target_state(now: &mut Snapshot, name: &str, value: Option<Value>) -> Applied {
    let known = now.connectors.contains_key(name);
    let Some(value) = value else {
        now.targets.remove(name);
        if known {
            now.targets.insert(name.to_owned(), Target::Running);
        }
        // That the connector is gone is told by a record of its own.
        return Ok(None);
    };
    let value = object(Some(value))?;
    let state = match value.get("state.v2") {
        Some(Value::String(state)) => state.clone(),
        // Written by an old worker.
        _ => text(&value, "state")?,
    };
    let target = match state.as_str() {
        "STARTED" => Target::Running,
        "PAUSED" => Target::Paused,
        "STOPPED" => Target::Stopped,
        _ => return Err(format!("there is no target state {state}")),
    };
    let before = now.targets.insert(name.to_owned(), target);
    // A state that comes before its connector is the one that the connector begins with.
    Ok((known && before != Some(target)).then(|| Change::TargetState(name.to_owned())))
}

fn restart(name: &str, value: Option<Value>) -> Applied {
    let value = object(value)?;
    let flag = |field: &str| match value.get(field) {
        Some(Value::Bool(flag)) => *flag,
        other => {
            let kind = json::kind(other);
            tracing::warn!(
                "restart request of connector {name}: {field} is {kind}, taken as false"
            );
            false
        }
    };
    Ok(Some(Change::Restart(RestartRequest {
        connector: name.to_owned(),
        only_failed: flag("only-failed"),
        include_tasks: flag("include-tasks"),
    })))
}

fn session_key(value: &Map<String, Value>) -> Result<SessionKey, String> {
    let key = STANDARD.decode(text(value, "key")?).map_err(|error| format!("its key: {error}"))?;
    if key.is_empty() {
        return Err("its key is empty".to_owned());
    }
    let algorithm = text(value, "algorithm")?;
    let created_ms = integer(value, "creation-timestamp")?;
    Ok(SessionKey { key, algorithm, created_ms })
}

/// The field `properties`. In the JVM it becomes a `HashMap`, and that is the order it is shown in.
fn properties(value: Value) -> Result<Arc<RawConfig>, String> {
    let mut value = object(Some(value))?;
    let properties = match value.remove("properties") {
        Some(Value::Object(properties)) => properties,
        other => {
            let kind = json::kind(other.as_ref());
            return Err(format!(
                "invalid data for config: 'properties' should be an object but is {kind}"
            ));
        }
    };
    let mut entries = Vec::with_capacity(properties.len());
    for (key, value) in properties {
        let value = match value {
            Value::String(text) => Some(text),
            Value::Null => None,
            other => {
                let kind = json::kind(Some(&other));
                return Err(format!("invalid data for config: {key} should be text but is {kind}"));
            }
        };
        entries.push((key, value));
    }
    Ok(Arc::new(entries.into_iter().collect::<RawConfig>().in_hash_order()))
}

fn object(value: Option<Value>) -> Result<Map<String, Value>, String> {
    match value {
        Some(Value::Object(fields)) => Ok(fields),
        other => Err(format!(
            "its value should be an object but is {}",
            match other {
                None => "null",
                other @ Some(_) => json::kind(other.as_ref()),
            }
        )),
    }
}

fn text(value: &Map<String, Value>, field: &str) -> Result<String, String> {
    match value.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(format!("its '{field}' should be text but is {}", json::kind(other))),
    }
}

fn integer(value: &Map<String, Value>, field: &str) -> Result<i64, String> {
    let number = value.get(field).and_then(Value::as_i64);
    number.ok_or_else(|| {
        format!("its '{field}' should be a whole number but is {}", json::kind(value.get(field)))
    })
}

/// A number of tasks, an `int` in the JVM.
fn count(value: &Map<String, Value>, field: &str) -> Result<usize, String> {
    let number = integer(value, field)?;
    let count = i32::try_from(number).ok().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| format!("its '{field}' is {number}"))
}
