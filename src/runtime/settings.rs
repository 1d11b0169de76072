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
    /// `None` without one. Sinks only.
    pub dead_letters: Option<DeadLetterQueue>,
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

impl Retry {
    /// Connect's first pause.
    const FIRST_MS: u64 = 300;

    /// How long to wait after the failed try number `tries` (from 1) of an operation that began
    /// `since` ago; `None` when the time for retries is over. Pauses double; past
    /// `errors.retry.delay.max.ms` they are any time up to it, `spread` (0 to 1) of it.
    pub fn pause(&self, tries: u32, since: Duration, spread: f64) -> Option<Duration> {
        let left = match self.timeout {
            None => Duration::MAX,
            Some(timeout) => timeout.saturating_sub(since),
        };
        if left.is_zero() {
            return None;
        }
        let factor = 1u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
        let doubled = Duration::from_millis(Self::FIRST_MS.saturating_mul(factor));
        let pause = match doubled > self.delay_max {
            true => self.delay_max.mul_f64(spread.clamp(0.0, 1.0)),
            false => doubled,
        };
        Some(pause.min(left))
    }
}

/// Where a sink's bad records go: `errors.deadletterqueue.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueue {
    pub topic: String,
    /// Of the topic, where it has to be created; -1 is the broker's default.
    pub replication: i32,
    /// Whether headers tell what went wrong.
    pub headers: bool,
}

impl Settings {
    pub fn new(task: &Props, worker: &Props) -> Result<Self> {
        refuse_transforms(task)?;
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
            dead_letters: dead_letters(task)?,
            flush_interval: millis(worker, "offset.flush.interval.ms", 60_000)?,
            flush_timeout: millis(worker, "offset.flush.timeout.ms", 5_000)?,
            stop_grace: millis(worker, "task.shutdown.graceful.timeout.ms", 5_000)?,
            stall: stall(task, worker)?,
        })
    }
}

/// REST refuses connectors with transforms, and another worker of the group may have created one: its
/// records would go out as they are.
pub fn refuse_transforms(connector: &Props) -> Result<()> {
    let given = connector.get("transforms").map_or("", |aliases| aliases.trim());
    if given.is_empty() {
        return Ok(());
    }
    Err(Error::fatal(format!(
        "transforms={given} names single message transforms, which this version does not run; remove \
         the key to have records as they are"
    )))
}

/// A task's limit, of its connector or else of its worker.
pub fn stall(task: &Props, worker: &Props) -> Result<Duration> {
    const KEY: &str = "task.stall.timeout.ms";
    let given = if task.contains_key(KEY) { task } else { worker };
    // Longer than brokers and databases need to fail over, and than a large COPY or commit waits.
    millis(given, KEY, 300_000)
}

fn dead_letters(task: &Props) -> Result<Option<DeadLetterQueue>> {
    let topic = task.get("errors.deadletterqueue.topic.name").map(|text| text.trim());
    let Some(topic) = topic.filter(|topic| !topic.is_empty()) else { return Ok(None) };
    let key = "errors.deadletterqueue.topic.replication.factor";
    let replication = number(task, key, 3)?;
    let replication = i16::try_from(replication).map_err(|_| {
        Error::fatal(format!(
            "Invalid value {replication} for configuration {key}: Not a number of type SHORT"
        ))
    })?;
    Ok(Some(DeadLetterQueue {
        topic: topic.to_owned(),
        replication: replication.into(),
        headers: flag(task, "errors.deadletterqueue.context.headers.enable"),
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_with_transforms_do_not_start() {
        let settings = |given: &str| {
            let task = [("transforms".to_owned(), given.to_owned())].into();
            Settings::new(&task, &Props::new()).map(|_| ()).map_err(|error| error.to_string())
        };
        let refused = settings("route, mask").unwrap_err();
        assert!(refused.starts_with("transforms=route, mask names single message"), "{refused}");
        assert_eq!(settings(" "), Ok(()));
    }

    /// Try, milliseconds since the first, and the pause in milliseconds.
    #[test]
    fn pauses_between_retries() {
        let ms = Duration::from_millis;
        let pauses = |timeout: Option<u64>, delay_max: u64, cases: &[(u32, u64, Option<u64>)]| {
            let retry = Retry { timeout: timeout.map(ms), delay_max: ms(delay_max) };
            for (tries, since, pause) in cases {
                assert_eq!(retry.pause(*tries, ms(*since), 0.5), pause.map(ms), "{tries} {since}");
            }
        };
        pauses(Some(0), 60_000, &[(1, 0, None)]);
        pauses(Some(1_000), 60_000, &[(1, 0, Some(300)), (2, 310, Some(600)), (3, 950, Some(50))]);
        pauses(Some(1_000), 60_000, &[(4, 1_000, None)]);
        pauses(None, 1_000, &[(1, 0, Some(300)), (3, 0, Some(500)), (200, u64::MAX, Some(500))]);
    }

    #[test]
    fn dead_letter_queues() {
        let read = |pairs: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| {
                (format!("errors.deadletterqueue.{key}"), (*value).to_owned())
            };
            dead_letters(&pairs.iter().map(owned).collect()).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[("topic.name", " ")]), Ok(None));
        let queue = |replication, headers| {
            Ok(Some(DeadLetterQueue { topic: "d".to_owned(), replication, headers }))
        };
        assert_eq!(read(&[("topic.name", "d")]), queue(3, false));
        let given = [
            ("topic.name", "d"),
            ("topic.replication.factor", "-1"),
            ("context.headers.enable", "TRUE"),
        ];
        assert_eq!(read(&given), queue(-1, true));
        let wrong = read(&[("topic.name", "d"), ("topic.replication.factor", "70000")]);
        assert!(wrong.unwrap_err().contains("Not a number of type SHORT"));
    }
}
