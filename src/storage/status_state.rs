//! What the status topic says, record by record.
//!
//! | key | value |
//! |---|---|
//! | `status-connector-NAME` | `{"state":…,"trace":…,"worker_id":…,"generation":…,"version":…}` |
//! | `status-task-NAME-N` | the same |
//! | `status-topic-TOPIC:connector-NAME` | `{"topic":{"name":…,"connector":…,"task":…,"discoverTimestamp":…}}` |
//!
//! No value: what it was about is gone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{json, shown};
use crate::runtime::State;

/// The state of a connector or a task, and whose word it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// The error chain of a failure.
    pub trace: Option<String>,
    /// `host:port` of the worker's REST API.
    pub worker_id: String,
    /// The group's generation in which the worker says so.
    pub generation: i32,
    /// The connector's or the task's version. Workers before Kafka 4.1 don't tell it.
    pub version: Option<String>,
}

/// That a connector has written to or read from a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicStatus {
    #[serde(rename = "name")]
    pub topic: String,
    pub connector: String,
    pub task: i32,
    #[serde(rename = "discoverTimestamp")]
    pub discovered_ms: i64,
}

impl Status {
    pub(super) fn bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Written<'a> {
            state: &'static str,
            trace: Option<&'a str>,
            worker_id: &'a str,
            generation: i32,
            version: Option<&'a str>,
        }
        json::write(&Written {
            state: self.state.name(),
            trace: self.trace.as_deref(),
            worker_id: &self.worker_id,
            generation: self.generation,
            version: self.version.as_deref(),
        })
    }

    fn read(bytes: &[u8]) -> Result<Option<Self>, String> {
        let Value::Object(value) = json::read(bytes)? else {
            return Err("its value is no object".to_owned());
        };
        let state = match optional(&value, "state")?.as_deref() {
            Some("UNASSIGNED") => State::Unassigned,
            Some("RUNNING") => State::Running,
            Some("PAUSED") => State::Paused,
            Some("FAILED") => State::Failed,
            Some("RESTARTING") => State::Restarting,
            Some("STOPPED") => State::Stopped,
            Some("DESTROYED") => return Ok(None),
            Some(state) => return Err(format!("there is no state {state}")),
            None => return Err("it has no state".to_owned()),
        };
        Ok(Some(Self {
            state,
            trace: optional(&value, "trace")?,
            worker_id: optional(&value, "worker_id")?.unwrap_or_default(),
            generation: int(&value, "generation")?,
            version: optional(&value, "version")?,
        }))
    }
}

impl TopicStatus {
    pub(super) fn bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Written<'a> {
            topic: &'a TopicStatus,
        }
        json::write(&Written { topic: self })
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut value = match json::read(bytes)? {
            Value::Object(value) => value,
            _ => return Err("its value is no object".to_owned()),
        };
        let Some(Value::Object(value)) = value.remove("topic") else {
            return Err("its 'topic' is no object".to_owned());
        };
        Ok(Self {
            topic: optional(&value, "name")?.ok_or("it has no topic name")?,
            connector: optional(&value, "connector")?.ok_or("it has no connector")?,
            task: int(&value, "task")?,
            discovered_ms: long(&value, "discoverTimestamp")?,
        })
    }
}

/// What a record of the status topic is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Connector(String),
    Task(String, usize),
    Topic { connector: String, topic: String },
}

const CONNECTOR: &str = "status-connector-";
const TASK: &str = "status-task-";
const TOPIC: &str = "status-topic-";
const SEPARATOR: &str = ":connector-";

impl Subject {
    pub(super) fn key(&self) -> String {
        match self {
            Subject::Connector(name) => format!("{CONNECTOR}{name}"),
            Subject::Task(name, task) => format!("{TASK}{name}-{task}"),
            Subject::Topic { connector, topic } => format!("{TOPIC}{topic}{SEPARATOR}{connector}"),
        }
    }

    fn read(key: &str) -> Option<Self> {
        if let Some(name) = key.strip_prefix(CONNECTOR) {
            return (!name.is_empty()).then(|| Subject::Connector(name.to_owned()));
        }
        if let Some(rest) = key.strip_prefix(TASK) {
            // Java's `split` drops empty pieces at the end.
            let (name, task) = rest.trim_end_matches('-').rsplit_once('-')?;
            let task = usize::try_from(task.parse::<i32>().ok()?).ok()?;
            return (!name.is_empty()).then(|| Subject::Task(name.to_owned(), task));
        }
        // A topic's name has no colon.
        let (topic, rest) = key.strip_prefix(TOPIC)?.split_once(':')?;
        let connector = rest.strip_prefix(&SEPARATOR[1..])?;
        let (topic, connector) = (topic.to_owned(), connector.to_owned());
        (!topic.is_empty() && !connector.is_empty()).then_some(Subject::Topic { connector, topic })
    }
}

/// All that is known of a connector.
#[derive(Default)]
struct Known {
    status: Option<Status>,
    tasks: BTreeMap<usize, Status>,
    topics: BTreeMap<String, TopicStatus>,
}

/// Reads the status topic's records one after the other.
#[derive(Default)]
pub struct StatusState {
    connectors: BTreeMap<String, Known>,
}

impl StatusState {
    /// Takes in a record. One that cannot be read is skipped with a line in the log. Gives back what
    /// the record says is gone.
    pub(super) fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Subject> {
        let key = key.unwrap_or_default();
        let Some(subject) = Subject::read(&String::from_utf8_lossy(key)) else {
            let key = shown(key);
            tracing::warn!("skipping record {key} of the status topic: it is no status's key");
            return None;
        };
        match self.read(&subject, value) {
            Ok(true) => None,
            Ok(false) => Some(subject),
            Err(why) => {
                tracing::warn!("skipping record {} of the status topic: {why}", shown(key));
                None
            }
        }
    }

    /// Whether there is something afterwards.
    fn read(&mut self, subject: &Subject, value: Option<&[u8]>) -> Result<bool, String> {
        match subject {
            Subject::Connector(name) => match value.map(Status::read).transpose()?.flatten() {
                Some(status) => {
                    self.known(name).status = Some(status);
                    Ok(true)
                }
                None => {
                    self.forget(name, |known| {
                        known.status = None;
                        known.tasks.clear();
                    });
                    Ok(false)
                }
            },
            Subject::Task(name, task) => match value.map(Status::read).transpose()?.flatten() {
                Some(status) => {
                    let tasks = &mut self.known(name).tasks;
                    // The last word of a worker that has lost the task may come after the first
                    // word of the one that has it now.
                    let late = tasks.get(task).is_some_and(|current| {
                        status.state == State::Unassigned
                            && current.state == State::Running
                            && current.generation >= status.generation
                    });
                    if !late {
                        tasks.insert(*task, status);
                    }
                    Ok(true)
                }
                None => {
                    self.forget(name, |known| drop(known.tasks.remove(task)));
                    Ok(false)
                }
            },
            Subject::Topic { connector, topic } => {
                match value.map(TopicStatus::read).transpose()? {
                    Some(status) => {
                        self.known(connector).topics.insert(topic.clone(), status);
                        Ok(true)
                    }
                    None => {
                        self.forget(connector, |known| drop(known.topics.remove(topic)));
                        Ok(false)
                    }
                }
            }
        }
    }

    fn known(&mut self, connector: &str) -> &mut Known {
        self.connectors.entry(connector.to_owned()).or_default()
    }

    fn forget(&mut self, connector: &str, forget: impl FnOnce(&mut Known)) {
        if let Some(known) = self.connectors.get_mut(connector) {
            forget(known);
            if known.status.is_none() && known.tasks.is_empty() && known.topics.is_empty() {
                self.connectors.remove(connector);
            }
        }
    }

    pub(super) fn status(&self, subject: &Subject) -> Option<&Status> {
        match subject {
            Subject::Connector(name) => self.connectors.get(name)?.status.as_ref(),
            Subject::Task(name, task) => self.connectors.get(name)?.tasks.get(task),
            Subject::Topic { .. } => None,
        }
    }

    pub(super) fn tasks(&self, connector: &str) -> BTreeMap<usize, Status> {
        self.connectors.get(connector).map(|known| known.tasks.clone()).unwrap_or_default()
    }

    pub(super) fn topics(&self, connector: &str) -> Vec<TopicStatus> {
        let known = self.connectors.get(connector);
        known.map(|known| known.topics.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn topic(&self, connector: &str, topic: &str) -> Option<&TopicStatus> {
        self.connectors.get(connector)?.topics.get(topic)
    }

    /// The connectors that have a status, or whose tasks have one.
    pub(super) fn connectors(&self) -> Vec<String> {
        let known = self.connectors.iter();
        let known = known.filter(|(_, known)| known.status.is_some() || !known.tasks.is_empty());
        known.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a worker may say `status` without overwriting what a later one has said.
    pub(super) fn safe(&self, subject: &Subject, status: &Status) -> bool {
        self.status(subject).is_none_or(|current| {
            current.worker_id == status.worker_id || current.generation <= status.generation
        })
    }
}

fn optional(value: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        other => Err(format!("its '{field}' should be text but is {}", json::kind(other))),
    }
}

fn long(value: &Map<String, Value>, field: &str) -> Result<i64, String> {
    value.get(field).and_then(Value::as_i64).ok_or_else(|| {
        format!("its '{field}' should be a whole number but is {}", json::kind(value.get(field)))
    })
}

fn int(value: &Map<String, Value>, field: &str) -> Result<i32, String> {
    let number = long(value, field)?;
    i32::try_from(number).map_err(|_| format!("its '{field}' is {number}"))
}
