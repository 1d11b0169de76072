//! The bytes that members of a Connect group exchange through the broker.
//!
//! All numbers are big-endian; a string has a length of 16 bits before it, bytes and arrays one of
//! 32, and −1 stands for null. Every message begins with a version:
//!
//! ```text
//! metadata    0    version · url · config offset
//!             1, 2 the same · allocation: null, or an assignment with its version
//! assignment  0    version · error · leader · leader url · config offset · work
//!             1, 2 the same · revoked work · delay
//! work             per connector: name · numbers of tasks; −1 is the connector itself
//! ```
//!
//! A version above 2 is read as 2, and trailing fields that are absent have their defaults, so that
//! workers of later versions can be in the group.

use std::{fmt, str::FromStr};

use bytes::{BufMut, Bytes, BytesMut};
use indexmap::{IndexMap, IndexSet};
use thiserror::Error;

/// `connect.protocol`: how far the worker goes along with newer ways of rebalancing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Eager,
    Compatible,
    Sessioned,
}

impl Protocol {
    /// What the worker offers when it joins, the one it likes most first. The broker picks one that
    /// all members offer.
    pub fn offers(self) -> &'static [Version] {
        match self {
            Protocol::Eager => &[Version::V0],
            Protocol::Compatible => &[Version::V1, Version::V0],
            Protocol::Sessioned => &[Version::V2, Version::V1, Version::V0],
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "eager" => Ok(Protocol::Eager),
            "compatible" => Ok(Protocol::Compatible),
            "sessioned" => Ok(Protocol::Sessioned),
            _ => Err(format!("{text:?} is none of eager, compatible, sessioned")),
        }
    }
}

/// What the group has agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Every round stops all work and assigns it anew.
    V0,
    /// Work stays where it is unless it is revoked.
    V1,
    /// As [`Version::V1`], and requests between workers are signed.
    V2,
}

impl Version {
    /// The name in the broker's list of protocols.
    pub fn name(self) -> &'static str {
        match self {
            Version::V0 => "default",
            Version::V1 => "compatible",
            Version::V2 => "sessioned",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Version::V0, Version::V1, Version::V2].into_iter().find(|known| known.name() == name)
    }

    fn number(self) -> i16 {
        match self {
            Version::V0 => 0,
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub connector: String,
    pub task: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// Connectors and tasks, each once, in the order they came in: the leader takes work away from the
/// front. Two are equal when they hold the same, in whatever order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub connectors: IndexSet<String>,
    pub tasks: IndexSet<TaskId>,
}

impl Work {
    pub fn is_empty(&self) -> bool {
        self.connectors.is_empty() && self.tasks.is_empty()
    }

    pub fn add(&mut self, other: &Work) {
        self.connectors.extend(other.connectors.iter().cloned());
        self.tasks.extend(other.tasks.iter().cloned());
    }

    pub fn remove(&mut self, other: &Work) {
        if !other.connectors.is_empty() {
            self.connectors.retain(|connector| !other.connectors.contains(connector));
        }
        if !other.tasks.is_empty() {
            self.tasks.retain(|task| !other.tasks.contains(task));
        }
    }

    /// What is in this and not in `other`.
    pub fn without(&self, other: &Work) -> Work {
        Work {
            connectors: self.connectors.difference(&other.connectors).cloned().collect(),
            tasks: self.tasks.difference(&other.tasks).cloned().collect(),
        }
    }

    /// What is in both.
    pub fn common(&self, other: &Work) -> Work {
        Work {
            connectors: self.connectors.intersection(&other.connectors).cloned().collect(),
            tasks: self.tasks.intersection(&other.tasks).cloned().collect(),
        }
    }

    /// By name and number.
    pub fn sorted(mut self) -> Work {
        self.connectors.sort_unstable();
        self.tasks.sort_unstable();
        self
    }
}

/// What a member tells the leader when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where the worker's REST API is.
    pub url: String,
    /// The offset after the last record of the config topic that the worker has read.
    pub config_offset: i64,
    /// What the worker runs; none if nothing was ever assigned, and always in version 0.
    pub allocation: Option<Assignment>,
}

/// [`Assignment::error`]: the leader's own configuration is older than some member's.
pub const CONFIG_MISMATCH: i16 = 1;

/// What the leader tells a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// 0, or [`CONFIG_MISMATCH`].
    pub error: i16,
    /// The leader's member id.
    pub leader: String,
    pub leader_url: String,
    /// The offset of the configuration that this is made for.
    pub config_offset: i64,
    /// In version 0 all the member's work; above, what comes on top of what it runs.
    pub work: Work,
    /// What the member must stop; it then joins again at once. It may hold what the member never
    /// started, and is as good a reason to join then.
    pub revoked: Work,
    /// If not 0, every member joins again after so many milliseconds.
    pub delay_ms: i32,
}

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("the message ends within {0}")]
    Short(&'static str),
    #[error("{0} is not UTF-8")]
    Text(&'static str),
    #[error("{what} has the length {length}")]
    Length { what: &'static str, length: i64 },
    #[error("the version is {0}")]
    Version(i16),
    #[error("connector {connector:?} has a task with the number {task}")]
    Task { connector: String, task: i64 },
    #[error("{what} has {length} bytes, more than the message can hold")]
    Long { what: &'static str, length: usize },
    #[error("{0} names its connectors in more than {NAME_BYTES_MAX} bytes, task by task")]
    Much(&'static str),
}

impl Metadata {
    pub fn encode(&self, version: Version) -> Result<Bytes, Malformed> {
        let mut out = BytesMut::new();
        out.put_i16(version.number());
        put_string(&mut out, "the url", &self.url)?;
        out.put_i64(self.config_offset);
        if version > Version::V0 {
            match &self.allocation {
                Some(allocation) => {
                    let bytes = allocation.encode(version)?;
                    put_count(&mut out, "the allocation", bytes.len())?;
                    out.put_slice(&bytes);
                }
                None => out.put_i32(-1),
            }
        }
        Ok(out.freeze())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        let version = input.version()?;
        let url = input.string("the url")?;
        let config_offset = input.i64("the config offset")?;
        let allocation = match version {
            0 => None,
            _ => match input.nullable_bytes("the allocation")? {
                None | Some([]) => None,
                Some(bytes) => Some(Assignment::decode(bytes)?),
            },
        };
        Ok(Self { url, config_offset, allocation })
    }

    /// What the member says it runs.
    pub fn running(&self) -> Work {
        self.allocation.as_ref().map(|allocation| allocation.work.clone()).unwrap_or_default()
    }
}

impl Assignment {
    pub fn encode(&self, version: Version) -> Result<Bytes, Malformed> {
        let mut out = BytesMut::new();
        out.put_i16(version.number());
        out.put_i16(self.error);
        put_string(&mut out, "the leader's id", &self.leader)?;
        put_string(&mut out, "the leader's url", &self.leader_url)?;
        out.put_i64(self.config_offset);
        put_work(&mut out, &self.work)?;
        if version > Version::V0 {
            put_work(&mut out, &self.revoked)?;
            out.put_i32(self.delay_ms);
        }
        Ok(out.freeze())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        let version = input.version()?;
        let mut assignment = Self {
            error: input.i16("the error")?,
            leader: input.string("the leader's id")?,
            leader_url: input.string("the leader's url")?,
            config_offset: input.i64("the config offset")?,
            work: input.work("the work")?,
            ..Self::default()
        };
        if version > 0 {
            assignment.revoked = input.work("the revoked work")?;
            if !input.0.is_empty() {
                assignment.delay_ms = input.i32("the delay")?;
            }
        }
        Ok(assignment)
    }
}

fn put_string(out: &mut BytesMut, what: &'static str, text: &str) -> Result<(), Malformed> {
    let length =
        i16::try_from(text.len()).map_err(|_| Malformed::Long { what, length: text.len() })?;
    out.put_i16(length);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn put_count(out: &mut BytesMut, what: &'static str, count: usize) -> Result<(), Malformed> {
    out.put_i32(i32::try_from(count).map_err(|_| Malformed::Long { what, length: count })?);
    Ok(())
}

/// The number that stands for the connector itself among its tasks.
const CONNECTOR: i32 = -1;

/// One element a connector, the connector itself before its tasks.
fn put_work(out: &mut BytesMut, work: &Work) -> Result<(), Malformed> {
    let mut numbers: IndexMap<&str, Vec<i32>> =
        work.connectors.iter().map(|connector| (connector.as_str(), vec![CONNECTOR])).collect();
    for TaskId { connector, task } in &work.tasks {
        let number = i32::try_from(*task).map_err(|_| Malformed::Task {
            connector: connector.clone(),
            task: i64::from(*task),
        })?;
        numbers.entry(connector).or_default().push(number);
    }
    put_count(out, "the work", numbers.len())?;
    for (connector, numbers) in numbers {
        put_string(out, "a connector's name", connector)?;
        put_count(out, "a connector's tasks", numbers.len())?;
        for number in numbers {
            out.put_i32(number);
        }
    }
    Ok(())
}

/// A name stands once before the numbers of its tasks, and each task here has its own: a message of
/// one MiB could ask for gigabytes. This is room for a million tasks with names of 64 characters.
const NAME_BYTES_MAX: usize = 64 << 20;

/// What is still to be read.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn take(&mut self, what: &'static str, count: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Short(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Short(what))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn i16(&mut self, what: &'static str) -> Result<i16, Malformed> {
        self.array(what).map(i16::from_be_bytes)
    }

    fn i32(&mut self, what: &'static str) -> Result<i32, Malformed> {
        self.array(what).map(i32::from_be_bytes)
    }

    fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.array(what).map(i64::from_be_bytes)
    }

    fn version(&mut self) -> Result<i16, Malformed> {
        let version = self.i16("the version")?;
        if version < 0 { Err(Malformed::Version(version)) } else { Ok(version) }
    }

    fn string(&mut self, what: &'static str) -> Result<String, Malformed> {
        let length = self.i16(what)?;
        let length = usize::try_from(length)
            .map_err(|_| Malformed::Length { what, length: length.into() })?;
        let text = std::str::from_utf8(self.take(what, length)?);
        text.map(str::to_owned).map_err(|_| Malformed::Text(what))
    }

    /// A length or a count; −1 and an absent one are none.
    fn count(&mut self, what: &'static str) -> Result<Option<usize>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        match self.i32(what)? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Malformed::Length { what, length: length.into() }),
        }
    }

    fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<&'b [u8]>, Malformed> {
        match self.count(what)? {
            Some(length) => self.take(what, length).map(Some),
            None => Ok(None),
        }
    }

    /// Nothing is set aside for a count before its elements have been seen.
    fn work(&mut self, what: &'static str) -> Result<Work, Malformed> {
        let mut work = Work::default();
        let mut room = NAME_BYTES_MAX;
        for _ in 0..self.count(what)?.unwrap_or(0) {
            let connector = self.string("a connector's name")?;
            if self.0.is_empty() {
                return Err(Malformed::Short("a connector's tasks"));
            }
            for _ in 0..self.count("a connector's tasks")?.unwrap_or(0) {
                room = room.checked_sub(connector.len()).ok_or(Malformed::Much(what))?;
                match self.i32("a task's number")? {
                    CONNECTOR => {
                        work.connectors.insert(connector.clone());
                    }
                    number => {
                        let task = u32::try_from(number).map_err(|_| Malformed::Task {
                            connector: connector.clone(),
                            task: number.into(),
                        })?;
                        work.tasks.insert(TaskId { connector: connector.clone(), task });
                    }
                }
            }
        }
        Ok(work)
    }
}

#[cfg(test)]
mod tests;
