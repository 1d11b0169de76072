//! How far a snapshot is: rows read, rows estimated, the rate, and the time left.
//!
//! Readers add once per batch; whoever shows it asks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use model::figures::Snapshot;

/// The rate is that of the last so many seconds: long enough to be steady, short enough to show what
/// is now.
const WINDOW_MS: u64 = 30_000;

/// Samples are kept at this distance.
const SAMPLE_MS: u64 = 1_000;

/// A table of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRows {
    /// Read in this run.
    pub rows: u64,
    /// To be read in this run, about.
    pub estimated: u64,
    /// Pieces that are not read yet.
    pub left: u64,
}

/// The progress of one snapshot after the other.
#[derive(Debug, Default)]
pub struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<String, TableRows>,
    /// Tables that were done before this run, which goes on with an earlier one.
    tables_before: u64,
    rows: u64,
    /// When, and how many rows then; the oldest first.
    samples: VecDeque<(u64, u64)>,
    running: bool,
}

impl Progress {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot of these tables begins; `tables_before` are finished since an earlier run.
    pub fn begin(
        &self,
        now_ms: u64,
        tables: impl IntoIterator<Item = (String, TableRows)>,
        tables_before: u64,
    ) {
        *self.state() = State {
            tables: tables.into_iter().collect(),
            tables_before,
            rows: 0,
            samples: VecDeque::from([(now_ms, 0)]),
            running: true,
        };
    }

    /// It is over, or was cut off.
    pub fn end(&self) {
        self.state().running = false;
    }

    /// Rows of a table were read; with `done` also a piece of it to its end.
    pub fn add(&self, now_ms: u64, table: &str, rows: u64, done: bool) {
        let mut state = self.state();
        state.rows += rows;
        if let Some(table) = state.tables.get_mut(table) {
            table.rows += rows;
            table.left = table.left.saturating_sub(u64::from(done));
        }
        let total = state.rows;
        if state.samples.back().is_none_or(|(at, _)| now_ms.saturating_sub(*at) >= SAMPLE_MS) {
            state.samples.push_back((now_ms, total));
        }
        // One sample stays that is older, so that the window is never shorter.
        while state.samples.get(1).is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= WINDOW_MS) {
            state.samples.pop_front();
        }
    }

    /// Where it is; `None` when no snapshot runs.
    pub fn now(&self, now_ms: u64) -> Option<Snapshot> {
        let state = self.state();
        state.running.then(|| state.at(now_ms))
    }

    /// Each table with its rows, sorted by name.
    pub fn tables(&self, mut each: impl FnMut(&str, &TableRows)) {
        self.state().tables.iter().for_each(|(name, table)| each(name, table));
    }

    /// Tables of the last snapshot, and those of them that are not read to their end.
    pub fn table_counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.tables.len() as u64 + state.tables_before, state.left())
    }
}

impl State {
    fn left(&self) -> u64 {
        self.tables.values().filter(|table| table.left > 0).count() as u64
    }

    fn at(&self, now_ms: u64) -> Snapshot {
        // What is read is known; an estimate that was too low is at least what was read.
        let estimated = self.tables.values().map(|table| match table.left {
            0 => table.rows,
            _ => table.estimated.max(table.rows),
        });
        let rows_estimated: u64 = estimated.sum();
        let (since, rows_then) = self.samples.front().copied().unwrap_or((now_ms, self.rows));
        let rows_per_second = match now_ms.saturating_sub(since) {
            0 => 0,
            ms => (self.rows - rows_then).saturating_mul(1_000) / ms,
        };
        let rows_left = rows_estimated.saturating_sub(self.rows);
        let seconds_left = match (rows_left, rows_per_second) {
            (0, _) => Some(0),
            (_, 0) => None,
            (left, rate) => Some(left.div_ceil(rate)),
        };
        Snapshot {
            tables: self.tables.len() as u64 + self.tables_before,
            tables_left: self.left(),
            rows: self.rows,
            rows_estimated,
            rows_per_second,
            seconds_left,
            incremental: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_rate_and_time_left() {
        let progress = Progress::default();
        assert_eq!(progress.now(5), None);
        let table = |estimated, left| TableRows { rows: 0, estimated, left };
        progress.begin(1_000, [("a".into(), table(1_000, 1)), ("b".into(), table(9_000, 3))], 2);
        let begun = progress.now(1_000).unwrap();
        assert_eq!((begun.tables, begun.tables_left, begun.rows_estimated), (4, 2, 10_000));
        assert_eq!((begun.rows_per_second, begun.seconds_left), (0, None));
        progress.add(2_000, "a", 500, true);
        progress.add(3_000, "b", 1_500, false);
        let now = progress.now(3_000).unwrap();
        // The table that is done has as many rows as it had.
        assert_eq!((now.rows, now.rows_estimated, now.tables_left), (2_000, 9_500, 1));
        assert_eq!((now.rows_per_second, now.seconds_left), (1_000, Some(8)));
        // More rows than were estimated.
        progress.add(4_000, "b", 9_000, false);
        let now = progress.now(4_000).unwrap();
        assert_eq!((now.rows, now.rows_estimated, now.seconds_left), (11_000, 11_000, Some(0)));
        progress.end();
        assert_eq!(progress.now(4_000), None);
        assert_eq!(progress.table_counts(), (4, 1));
    }

    /// What was slow a minute ago does not count.
    #[test]
    fn the_rate_is_that_of_the_last_half_minute() {
        let progress = Progress::default();
        progress.begin(0, [("a".into(), TableRows { rows: 0, estimated: 1 << 40, left: 1 })], 0);
        for second in 1..=300 {
            let rows = if second <= 200 { 1 } else { 100 };
            progress.add(second * 1_000, "a", rows, false);
        }
        let now = progress.now(300_000).unwrap();
        assert_eq!(now.rows_per_second, 100);
        // Nothing comes any more.
        assert_eq!(progress.now(360_000).unwrap().rows_per_second, 100 * 30 / 90);
    }
}
