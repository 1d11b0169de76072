//! When failed tasks start again by themselves. Kafka Connect leaves them failed until somebody
//! restarts them, and so does this worker unless a configuration says otherwise.
//!
//! The keys may stand in a connector's configuration, or in the worker's for all its connectors:
//!
//! | key | default | |
//! |---|---|---|
//! | `errors.restart.policy` | `never` | `retriable`: when the cause may pass by itself; `always`: after any failure |
//! | `errors.restart.backoff.ms` | 1000 | before the first restart; it doubles with each |
//! | `errors.restart.backoff.max.ms` | 300000 | the longest wait, and how long a task must run to count as sound again |
//! | `errors.restart.max` | 10 | restarts in a row; -1 has no limit |
//!
//! Between a failure and the restart the task is FAILED, as clients know it.

use std::time::Duration;

use model::connector::Props;

/// What a configuration says of restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub when: When,
    pub backoff: Duration,
    pub backoff_max: Duration,
    /// `None` has no limit.
    pub max: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Never,
    /// When what lies behind the failure may pass by itself.
    Retriable,
    Always,
}

/// Of one key: its name and what is wrong with its value.
pub type Wrong = (&'static str, String);

pub const POLICY: &str = "errors.restart.policy";
pub const BACKOFF: &str = "errors.restart.backoff.ms";
pub const BACKOFF_MAX: &str = "errors.restart.backoff.max.ms";
pub const MAX: &str = "errors.restart.max";

impl Policy {
    /// Failed tasks stay failed.
    pub const NEVER: Self = Self {
        when: When::Never,
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(300),
        max: None,
    };

    /// Reads the keys, the connector's before the worker's.
    pub fn read(connector: &Props, worker: &Props) -> Result<Self, Vec<Wrong>> {
        let given = |key: &str| connector.get(key).or_else(|| worker.get(key)).map(|it| it.trim());
        let mut wrong = Vec::new();
        let when = match given(POLICY).unwrap_or("never") {
            text if text.eq_ignore_ascii_case("never") => When::Never,
            text if text.eq_ignore_ascii_case("retriable") => When::Retriable,
            text if text.eq_ignore_ascii_case("always") => When::Always,
            text => {
                wrong.push(invalid(POLICY, text, "must be one of: never, retriable, always"));
                When::Never
            }
        };
        let mut number = |key: &'static str, default: i64, least: i64| {
            let text = given(key);
            let value = text.map_or(Ok(default), str::parse::<i64>);
            match value {
                Ok(value) if value >= least => value,
                Ok(_) => {
                    let why = format!("Value must be at least {least}");
                    wrong.push(invalid(key, text.unwrap_or_default(), &why));
                    default
                }
                Err(_) => {
                    let text = text.unwrap_or_default();
                    wrong.push(invalid(key, text, "Not a number of type LONG"));
                    default
                }
            }
        };
        let millis = |value: i64| Duration::from_millis(u64::try_from(value).unwrap_or_default());
        let backoff = millis(number(BACKOFF, 1_000, 1));
        let backoff_max = millis(number(BACKOFF_MAX, 300_000, 1)).max(backoff);
        let max = u32::try_from(number(MAX, 10, -1)).ok();
        if wrong.is_empty() { Ok(Self { when, backoff, backoff_max, max }) } else { Err(wrong) }
    }
}

fn invalid(key: &'static str, value: &str, why: &str) -> Wrong {
    (key, format!("Invalid value {value} for configuration {key}: {why}"))
}

/// The restarts of one task. Times are of any clock that does not go back.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: Policy,
    /// Restarts since the task was last sound.
    attempts: u32,
    /// Since when it runs.
    running: Option<Duration>,
    due: Option<Duration>,
}

/// What becomes of a task that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It starts again at `at`, for the `attempt`th time in a row.
    Restart { at: Duration, attempt: u32 },
    /// The policy does not restart it.
    Stay,
    /// So many restarts were in vain.
    GiveUp(u32),
}

impl Restarts {
    pub fn new(policy: Policy) -> Self {
        Self { policy, attempts: 0, running: None, due: None }
    }

    /// The task has come to run.
    pub fn running(&mut self, now: Duration) {
        self.due = None;
        self.running.get_or_insert(now);
    }

    /// The task has failed; `passing` is whether its cause may pass by itself.
    pub fn failed(&mut self, now: Duration, passing: bool) -> Verdict {
        let ran = self.running.take().map(|since| now.saturating_sub(since));
        if ran.is_some_and(|ran| ran >= self.policy.backoff_max) {
            self.attempts = 0;
        }
        self.due = None;
        match self.policy.when {
            When::Never => return Verdict::Stay,
            When::Retriable if !passing => return Verdict::Stay,
            When::Retriable | When::Always => {}
        }
        if self.policy.max.is_some_and(|max| self.attempts >= max) {
            return Verdict::GiveUp(self.attempts);
        }
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let wait = self.policy.backoff.saturating_mul(factor).min(self.policy.backoff_max);
        self.attempts = self.attempts.saturating_add(1);
        let at = now + wait;
        self.due = Some(at);
        Verdict::Restart { at, attempt: self.attempts }
    }

    /// When the task is to be started; `None` when it is not.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// It is being started: by itself, or by somebody, who thereby begins the count anew.
    pub fn started(&mut self, by_itself: bool) {
        self.due = None;
        self.running = None;
        if !by_itself {
            self.attempts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pairs: &[(&str, &str)]) -> Result<Policy, Vec<Wrong>> {
        let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Policy::read(&props.collect(), &Props::new())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn reads_its_keys_the_connectors_first() {
        let usual = policy(&[]).unwrap();
        assert_eq!((usual.when, usual.max), (When::Never, Some(10)));
        let worker = Props::from([(POLICY.to_owned(), "always".to_owned())]);
        let own = Props::from([(POLICY.to_owned(), " Retriable ".to_owned())]);
        assert_eq!(Policy::read(&Props::new(), &worker).unwrap().when, When::Always);
        assert_eq!(Policy::read(&own, &worker).unwrap().when, When::Retriable);
        assert_eq!(policy(&[(MAX, "-1")]).unwrap().max, None);
        let wrong = policy(&[(POLICY, "often"), (BACKOFF, "0"), (MAX, "x")]).unwrap_err();
        assert_eq!(wrong.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [POLICY, BACKOFF, MAX]);
        assert_eq!(
            wrong[1].1,
            "Invalid value 0 for configuration errors.restart.backoff.ms: Value must be at least 1"
        );
    }

    #[test]
    fn stays_unless_the_policy_restarts() {
        for (when, passing, stays) in [
            ("never", true, true),
            ("retriable", false, true),
            ("retriable", true, false),
            ("always", false, false),
        ] {
            let mut restarts = Restarts::new(policy(&[(POLICY, when)]).unwrap());
            let verdict = restarts.failed(at(0), passing);
            assert_eq!(verdict == Verdict::Stay, stays, "{when} {passing}");
            assert_eq!(restarts.due().is_none(), stays);
        }
    }

    /// Fails at once each time: the waits double up to the longest, and end with the limit.
    #[test]
    fn waits_double_up_to_a_limit() {
        let keys = [(POLICY, "always"), (BACKOFF_MAX, "5000"), (MAX, "5")];
        let mut restarts = Restarts::new(policy(&keys).unwrap());
        let mut now = at(0);
        let mut waits = Vec::new();
        while let Verdict::Restart { at, attempt } = restarts.failed(now, false) {
            waits.push((at - now).as_secs());
            assert_eq!(usize::try_from(attempt).unwrap(), waits.len());
            assert_eq!(restarts.due(), Some(at));
            now = at;
            restarts.started(true);
            restarts.running(now);
        }
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(restarts.failed(now, false), Verdict::GiveUp(5));
        // Somebody restarts it: all tries are there again.
        restarts.started(false);
        assert_eq!(restarts.failed(now, false), Verdict::Restart { at: now + at(1), attempt: 1 });
    }

    #[test]
    fn a_task_that_ran_long_is_sound() {
        let keys = [(POLICY, "always"), (BACKOFF_MAX, "60000")];
        let mut restarts = Restarts::new(policy(&keys).unwrap());
        for _ in 0..3 {
            restarts.failed(at(0), false);
            restarts.started(true);
        }
        restarts.running(at(10));
        // Said again, as after a pause: it has run since the first time.
        restarts.running(at(50));
        assert_eq!(restarts.failed(at(69), false), Verdict::Restart { at: at(77), attempt: 4 });
        restarts.started(true);
        restarts.running(at(100));
        assert_eq!(restarts.failed(at(160), false), Verdict::Restart { at: at(161), attempt: 1 });
    }
}
