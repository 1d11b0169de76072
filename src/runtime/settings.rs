//! What the runtime itself reads of a worker's and a connector's properties.

use std::time::Duration;

use model::{
    connector::Props,
    error::{Error, Result},
};

/// The runtime's view of one task's configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub tolerance: Tolerance,
    pub retry: Retry,
    pub flush_interval: Duration,
    pub flush_timeout: Duration,
    /// How long a stop may take in all; the task keeps a part of it for storing offsets.
    pub stop_grace: Duration,
    /// `task.stall.timeout.ms`: see [`crate::metrics::Health`]. Zero never calls a task stalled.
    pub stall: Duration,
}

/// What becomes of a record that cannot be converted or stored: `errors.*`.
#[derive(Clone, Debug)]
pub struct Tolerance {
    /// `errors.tolerance=all`: such records are skipped.
    pub all: bool,
    /// `errors.log.enable`.
    pub log: bool,
    /// `errors.log.include.messages`.
    pub messages: bool,
}

/// How often a retriable conversion is tried again: `errors.retry.*`.
#[derive(Clone, Debug)]
pub struct Retry {
    /// `None` is for ever.
    pub timeout: Option<Duration>,
    pub delay_max: Duration,
}

impl Settings {
    pub fn new(task: &Props, worker: &Props) -> Result<Self> {
        let tolerance = match task.get("errors.tolerance").map_or("none", |text| text.trim()) {
            "none" => false,
            "all" => true,
            other => {
                return Err(Error::fatal(format!(
                    "Invalid value {other} for configuration errors.tolerance: String must be one \
                     of: none, all"
                )));
            }
        };
        let timeout = number(task, "errors.retry.timeout", 0)?;
        Ok(Self {
            tolerance: Tolerance {
                all: tolerance,
                log: flag(task, "errors.log.enable"),
                messages: flag(task, "errors.log.include.messages"),
            },
            retry: Retry {
                timeout: u64::try_from(timeout).ok().map(Duration::from_millis),
                delay_max: millis(task, "errors.retry.delay.max.ms", 60_000)?,
            },
            flush_interval: millis(worker, "offset.flush.interval.ms", 60_000)?,
            flush_timeout: millis(worker, "offset.flush.timeout.ms", 5_000)?,
            stop_grace: millis(worker, "task.shutdown.graceful.timeout.ms", 5_000)?,
            stall: stall(task, worker)?,
        })
    }
}

/// A task's limit, of its connector or else of its worker.
pub fn stall(task: &Props, worker: &Props) -> Result<Duration> {
    const KEY: &str = "task.stall.timeout.ms";
    let given = if task.contains_key(KEY) { task } else { worker };
    // Longer than brokers and databases need to fail over, and than a large COPY or commit waits.
    millis(given, KEY, 300_000)
}

fn flag(props: &Props, key: &str) -> bool {
    props.get(key).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

fn number(props: &Props, key: &str, default: i64) -> Result<i64> {
    let Some(text) = props.get(key) else { return Ok(default) };
    text.trim().parse().map_err(|_| {
        Error::fatal(format!(
            "Invalid value {text} for configuration {key}: Not a number of type LONG"
        ))
    })
}

fn millis(props: &Props, key: &str, default: u64) -> Result<Duration> {
    let number = number(props, key, default as i64)?;
    let millis = u64::try_from(number).map_err(|_| {
        Error::fatal(format!(
            "Invalid value {number} for configuration {key}: Value must be at least 0"
        ))
    })?;
    Ok(Duration::from_millis(millis))
}

/// Waiting times that double: for tasks that failed in a way that may pass.
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// As Connect's first retry.
    const FIRST: Duration = Duration::from_millis(300);
    /// Longer, and a database that is back would be noticed too late.
    const LONGEST: Duration = Duration::from_secs(10);

    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    pub fn pause(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        wait
    }

    /// There was progress: the next failure is a new one.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}
