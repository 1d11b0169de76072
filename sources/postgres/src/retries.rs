//! How often and when a task begins anew after an error: `errors.max.retries`,
//! `retriable.restart.connector.wait.ms` and `custom.retriable.exception`.
//!
//! Without any of them the worker decides, with waits that grow. With them the task does it as
//! Debezium does: errors in a row are counted, and events in between begin the count anew.

use std::time::Duration;

use fancy_regex::Regex;
use model::{
    config::Config,
    error::{Error, Kind, Result},
};
use relational::config as common;

#[derive(Debug)]
pub(crate) struct Retries {
    /// `None` without limit.
    max: Option<u32>,
    /// `None` where the worker waits.
    wait: Option<Duration>,
    /// Errors whose text this is are retriable, whatever they are.
    custom: Option<Regex>,
    tried: u32,
    /// How many events had been seen at the last error.
    seen: u64,
}

/// The key is not in Debezium's definition.
pub(crate) const CUSTOM: &str = "custom.retriable.exception";

impl Retries {
    /// # Errors
    ///
    /// What is wrong with `custom.retriable.exception`.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        let custom = config.prop(CUSTOM).filter(|text| !text.is_empty());
        let whole = |text: &str| {
            Regex::new(&format!("(?s)^(?:{text})$"))
                .map_err(|error| format!("{CUSTOM} is no regular expression: {error}"))
        };
        let wait_ms = config.get(&common::RETRIABLE_RESTART_CONNECTOR_WAIT_MS);
        let given = config.prop(common::RETRIABLE_RESTART_CONNECTOR_WAIT_MS.spec.name).is_some();
        Ok(Self {
            max: u32::try_from(config.get(&common::ERRORS_MAX_RETRIES)).ok(),
            wait: given.then(|| Duration::from_millis(wait_ms.unsigned_abs())),
            custom: custom.map(whole).transpose()?,
            tried: 0,
            seen: 0,
        })
    }

    /// How long to wait until the task begins anew; `seen` is how many events it has seen so far.
    ///
    /// # Errors
    ///
    /// The same error where the worker is to decide, or one that says that it was the last.
    pub(crate) fn judge(&mut self, error: Error, seen: u64) -> Result<Duration> {
        if seen != self.seen {
            self.seen = seen;
            self.tried = 0;
        }
        let custom = error.kind() == Kind::Fatal && self.is_custom(&error);
        if error.kind() == Kind::Fatal && !custom {
            return Err(error);
        }
        if let Some(max) = self.max
            && self.tried >= max
        {
            return Err(Error::fatal(format!(
                "The maximum number of {max} retries has been attempted (errors.max.retries); restart the task once the cause is gone"
            ))
            .caused_by(error));
        }
        self.tried += 1;
        let wait = match (self.wait, custom) {
            (Some(wait), _) => wait,
            (None, false) => return Err(error),
            (None, true) => DEFAULT_WAIT,
        };
        let max = self.max.map_or("unlimited".to_owned(), |max| max.to_string());
        tracing::warn!("retry {} of {max} in {wait:?}, after: {}", self.tried, error.trace());
        Ok(wait)
    }

    fn is_custom(&self, error: &Error) -> bool {
        let Some(custom) = &self.custom else { return false };
        let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = at {
            // An expression that takes too long matches nothing.
            if custom.is_match(&error.to_string()).unwrap_or(false) {
                return true;
            }
            at = error.source();
        }
        false
    }
}

/// The default of `retriable.restart.connector.wait.ms`, where the worker does not wait itself.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CONFIG;

    fn retries(pairs: &[(&str, &str)]) -> Retries {
        let fixed = [
            ("database.hostname", "h"),
            ("database.user", "u"),
            ("database.dbname", "d"),
            ("topic.prefix", "p"),
        ];
        let config = CONFIG.parse(fixed.iter().chain(pairs).copied()).unwrap();
        Retries::read(&config).unwrap()
    }

    #[test]
    fn the_worker_decides_when_nothing_is_said() {
        let mut retries = retries(&[]);
        for _ in 0..3 {
            let error = retries.judge(Error::retriable("gone"), 0).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Retriable, "gone"));
        }
    }

    #[test]
    fn errors_in_a_row_are_counted_and_events_begin_anew() {
        let mut retries =
            retries(&[("errors.max.retries", "2"), ("retriable.restart.connector.wait.ms", "30")]);
        let mut judge = |seen| retries.judge(Error::retriable("gone"), seen);
        assert_eq!(judge(0).unwrap(), Duration::from_millis(30));
        assert!(judge(0).is_ok());
        assert!(judge(5).is_ok(), "events came");
        assert!(judge(5).is_ok());
        let error = judge(5).unwrap_err();
        assert_eq!(error.kind(), Kind::Fatal);
        assert!(error.trace().contains("maximum number of 2 retries"), "{}", error.trace());
        assert!(error.trace().contains("gone"));
    }

    #[test]
    fn none_at_all() {
        let mut retries = retries(&[("errors.max.retries", "0")]);
        assert_eq!(retries.judge(Error::retriable("gone"), 0).unwrap_err().kind(), Kind::Fatal);
    }

    #[test]
    fn a_fatal_error_can_be_made_retriable_by_its_text() {
        let mut retries = retries(&[(CUSTOM, ".*publication .* does not exist.*")]);
        let inner = Error::fatal("publication p does not exist\nreally");
        let error = Error::fatal("stream").caused_by(inner);
        assert_eq!(retries.judge(error, 0).unwrap(), DEFAULT_WAIT);
        let other = retries.judge(Error::fatal("no publication at all"), 0).unwrap_err();
        assert_eq!(other.kind(), Kind::Fatal);
    }
}
