//! Signals, and the incremental snapshot that they have asked for: how far it is. Debezium shows of it
//! only texts, over JMX.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ::snapshot::incremental::Context;
use model::figures::{Figure, Snapshot, clock_ms};

/// The rate is that of the last so many seconds, as with other snapshots.
const WINDOW_MS: u64 = 30_000;

/// Types of signals, each with a count. One that can't be followed is counted apart.
const KINDS: [&str; 5] =
    ["execute-snapshot", "stop-snapshot", "pause-snapshot", "resume-snapshot", "log"];

#[derive(Default)]
pub(crate) struct SignalFigures {
    followed: [AtomicU64; KINDS.len()],
    refused: AtomicU64,
    /// When the last signal came; 0 before it.
    last_ms: AtomicU64,
    state: Mutex<State>,
}

/// Of the incremental snapshot that runs, or ran last.
#[derive(Debug, Default)]
struct State {
    running: bool,
    paused: bool,
    table: String,
    tables_done: u64,
    tables_left: u64,
    chunks: u64,
    rows: u64,
    /// Of the table that is read: rows in this run, and all, as far as it is known.
    table_rows: u64,
    table_rows_estimated: Option<u64>,
    /// When, and how many rows then; the oldest first.
    samples: VecDeque<(u64, u64)>,
}

impl SignalFigures {
    pub(crate) fn followed(&self, kind: &str) {
        if let Some(index) = KINDS.iter().position(|known| *known == kind) {
            self.followed[index].fetch_add(1, Relaxed);
        }
        self.last_ms.store(clock_ms(), Relaxed);
    }

    /// What was no signal, or could not be followed; the log says why.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
        self.last_ms.store(clock_ms(), Relaxed);
    }

    /// A chunk with so many rows was sent.
    pub(crate) fn sent(&self, rows: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.chunks += 1;
        state.rows += rows as u64;
        let now = (clock_ms(), state.rows);
        state.samples.push_back(now);
        // One sample stays that is older, so that the window is never shorter; and no more than is
        // enough for a rate, however quick chunks are.
        while state.samples.get(1).is_some_and(|(at, _)| now.0.saturating_sub(*at) >= WINDOW_MS)
            || state.samples.len() > 600
        {
            state.samples.pop_front();
        }
    }

    /// Where the snapshot is now.
    pub(crate) fn show(&self, context: &Context) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.running && context.running() {
            *state = State::default();
            state.samples.push_back((clock_ms(), 0));
        }
        let left = context.names().len() as u64;
        // Those that a signal adds meanwhile are not done.
        state.tables_done += state.tables_left.saturating_sub(left);
        state.tables_left = left;
        (state.running, state.paused) = (context.running(), context.paused);
        if let Some(current) = context.current() {
            state.table.clone_from(&current.id);
            state.table_rows = context.rows_scanned.unsigned_abs();
            state.table_rows_estimated = context.total_rows().map(i64::unsigned_abs);
        }
    }

    /// How far the snapshot is; `None` when none runs.
    pub(super) fn now(&self) -> Option<Snapshot> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.then(|| state.at(clock_ms()))
    }

    pub(super) fn read(
        &self,
        prefix: &str,
        tags: &[(String, String)],
        out: &mut dyn FnMut(Figure<'_>),
    ) {
        let own = [("plugin", "postgres"), ("name", prefix)];
        let tags = tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<_> = own.into_iter().chain(tags).collect();
        let mut give = |name: &str, help: &str, more: &[(&str, &str)], value: f64| {
            let labels = [labels.as_slice(), more].concat();
            let counter = name.ends_with("_total");
            out(Figure { name, help, counter, labels: &labels, value });
        };
        for (kind, count) in KINDS.iter().zip(&self.followed) {
            let help = "Signals that were followed, by type.";
            let count = count.load(Relaxed) as f64;
            give("riverrun_signals_total", help, &[("type", kind)], count);
        }
        let help = "Signals that could not be followed; the log says why.";
        give("riverrun_signals_refused_total", help, &[], self.refused.load(Relaxed) as f64);
        let since = match self.last_ms.load(Relaxed) {
            0 => -1.0,
            last => clock_ms().saturating_sub(last) as f64,
        };
        let help = "Milliseconds since the last signal; -1 before the first.";
        give("riverrun_signal_milliseconds_since_last", help, &[], since);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let flag = |set: bool| f64::from(u8::from(set));
        let help = "Whether an incremental snapshot is under way.";
        give("riverrun_incremental_snapshot_running", help, &[], flag(state.running));
        if !state.running {
            return;
        }
        let now = state.at(clock_ms());
        let table = [("table", state.table.as_str())];
        let help = "Whether the incremental snapshot is paused by a signal.";
        give("riverrun_incremental_snapshot_paused", help, &[], flag(state.paused));
        let help = "Tables of the incremental snapshot that are not read to their end.";
        give("riverrun_incremental_snapshot_tables_left", help, &[], state.tables_left as f64);
        let help = "Chunks that the incremental snapshot has sent.";
        give("riverrun_incremental_snapshot_chunks", help, &[], state.chunks as f64);
        let help = "Rows that the incremental snapshot has read.";
        give("riverrun_incremental_snapshot_rows", help, &[], state.rows as f64);
        let help = "Rows a second that the incremental snapshot has read in the last half minute.";
        let rate = now.rows_per_second as f64;
        give("riverrun_incremental_snapshot_rows_per_second", help, &[], rate);
        let help = "Rows of the table at hand that the incremental snapshot has read in this run.";
        give("riverrun_incremental_snapshot_table_rows", help, &table, state.table_rows as f64);
        if let Some(rows) = state.table_rows_estimated {
            let help = "Rows of the table at hand when it was begun, about.";
            give("riverrun_incremental_snapshot_table_rows_estimated", help, &table, rows as f64);
        }
    }
}

impl State {
    /// Rows that are to come are known of the table at hand only.
    fn at(&self, now_ms: u64) -> Snapshot {
        let left = self.table_rows_estimated.unwrap_or(0).saturating_sub(self.table_rows);
        let (since, then) = self.samples.front().copied().unwrap_or((now_ms, self.rows));
        let rate = match now_ms.saturating_sub(since) {
            0 => 0,
            ms => (self.rows - then).saturating_mul(1_000) / ms,
        };
        Snapshot {
            tables: self.tables_done + self.tables_left,
            tables_left: self.tables_left,
            rows: self.rows,
            rows_estimated: self.rows + left,
            rows_per_second: rate,
            seconds_left: (self.tables_left == 1 && rate > 0).then(|| left.div_ceil(rate)),
            incremental: Some(Box::new(model::figures::Incremental {
                table: self.table.clone(),
                chunks: self.chunks,
                paused: self.paused,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::snapshot::{
        java_objects::Object,
        signals::{Action, Signal},
    };

    use super::*;

    #[test]
    fn an_incremental_snapshot_is_shown() {
        let figures = SignalFigures::default();
        assert_eq!(figures.now(), None);
        let signal = Signal {
            id: "1".into(),
            kind: "execute-snapshot".into(),
            data: r#"{"data-collections": ["s.a"]}"#.into(),
        };
        let Ok(Action::Execute(execute)) = signal.parse() else { panic!("no snapshot") };
        let mut context = Context::default();
        context.add("1", &execute, vec!["s.a".into(), "s.b".into()]);
        figures.followed("execute-snapshot");
        figures.refused();
        figures.show(&context);
        context.begun(vec![Object::Long(9)], Some(5));
        context.read(3, vec![Object::Long(4)]);
        figures.sent(3);
        context.paused = true;
        figures.show(&context);
        let now = figures.now().unwrap();
        assert_eq!((now.tables, now.tables_left, now.rows, now.rows_estimated), (2, 2, 3, 5));
        let incremental = now.incremental.unwrap();
        assert_eq!((incremental.table.as_str(), incremental.chunks), ("s.a", 1));
        assert!(incremental.paused);
        let mut shown = Vec::new();
        figures.read("p", &[], &mut |figure| shown.push((figure.name.to_owned(), figure.value)));
        let value = |name: &str| shown.iter().find(|(known, _)| known == name).unwrap().1;
        assert_eq!(value("riverrun_signals_total"), 1.0);
        assert_eq!(value("riverrun_signals_refused_total"), 1.0);
        assert_eq!(value("riverrun_incremental_snapshot_table_rows_estimated"), 5.0);
        context.next();
        figures.show(&context);
        let now = figures.now().unwrap();
        assert_eq!((now.tables, now.tables_left), (2, 1));
        context.next();
        figures.show(&context);
        assert_eq!(figures.now(), None);
    }
}
