//! `internal.offset.activity.monitor.interval.ms`: says when the offset stands still.

use std::time::Duration;

use model::config::Config;
use relational::config as common;
use tokio::time::Instant;

use crate::{position::Position, wire::Lsn};

/// What the offset was at the last look.
pub(super) struct Monitor {
    interval: Option<Duration>,
    due: Instant,
    before: (Option<Lsn>, Option<Lsn>),
}

/// How often it is looked at; `None` for never.
pub(crate) fn interval(config: &Config) -> Option<Duration> {
    let interval = config.get(&common::INTERNAL_OFFSET_ACTIVITY_MONITOR_INTERVAL_MS);
    u64::try_from(interval).ok().filter(|interval| *interval > 0).map(Duration::from_millis)
}

impl Monitor {
    /// The first look is at once, as in Debezium.
    pub(super) fn new(interval: Option<Duration>) -> Self {
        if interval.is_none() {
            tracing::info!(
                "nobody says when the offset stands still, as internal.offset.activity.monitor.interval.ms is 0"
            );
        }
        Self { interval, due: Instant::now(), before: (None, None) }
    }

    /// Looks when it is time to. What is wrong, if the offset is the one of the last look.
    pub(super) fn look(&mut self, now: Instant, position: &Position) -> Option<String> {
        let interval = self.interval.filter(|_| now >= self.due)?;
        // In step with the clock, however late this is.
        while self.due <= now {
            self.due += interval;
        }
        let at = (position.lsn_commit, position.lsn_proc);
        let before = std::mem::replace(&mut self.before, at);
        let shown =
            |lsn: Option<Lsn>| lsn.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string());
        (at == before && at != (None, None)).then(|| {
            format!(
                "the offset has stood at commit {} and position {} for {} ms: the database is idle, what changes is not captured, or a transaction that is not over yet holds back what came after it, and with it the slot; look at pg_stat_activity for the oldest xact_start",
                shown(at.0),
                shown(at.1),
                interval.as_millis()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When Debezium 3.7 warns: at a look that finds both positions as the one before did.
    #[test]
    fn an_offset_that_stands_still_is_told_at_each_look() {
        let mut monitor = Monitor::new(Some(Duration::from_secs(10)));
        let begun = monitor.due;
        let at = |commit, proc| Position {
            lsn_commit: Some(Lsn(commit)),
            lsn_proc: Some(Lsn(proc)),
            ..Position::default()
        };
        let mut look = |second, position: &Position| {
            monitor.look(begun + Duration::from_secs(second), position).is_some()
        };
        assert!(!look(0, &at(1, 1)), "the first look has nothing to compare with");
        assert!(!look(9, &at(1, 1)), "it is not time");
        assert!(look(10, &at(1, 1)));
        assert!(look(35, &at(1, 1)));
        assert!(!look(36, &at(1, 1)), "a look that was late is not made up for");
        assert!(!look(40, &at(1, 2)), "within a transaction");
        assert!(!look(50, &at(3, 3)));
        assert!(look(60, &at(3, 3)));
        assert!(!look(70, &Position::default()), "there is no offset");
        assert!(!look(80, &Position::default()));
        assert!(Monitor::new(None).look(begun, &at(1, 1)).is_none());
    }
}
