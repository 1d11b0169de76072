//! The figures of Debezium's own MBeans (`debezium.postgres:type=connector-metrics`), under the names
//! that Debezium's example of exporter rules gives them: `debezium_metrics_<attribute>` with the
//! labels `plugin`, `name` (the topic prefix) and `context` (`snapshot` or `streaming`).
//!
//! The stream counts in plain numbers and adds them up here once per batch ([`Counts`]). Text and map
//! attributes have no place in Prometheus, except `RowsScanned`, which has a label `table`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

use ::snapshot::progress::{Progress, TableRows};
use model::{
    change::Op,
    figures::{self, Figure, Snapshot, clock_ms},
};

mod signalled;
mod slot;

pub(crate) use signalled::SignalFigures;
pub(crate) use slot::{SlotFigures, SlotState};

/// Tables shown with a row count of their own. More would cost whoever scrapes more than they tell.
const TABLES_MAX: usize = 500;

/// Events since they were last added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) read: u64,
    pub(crate) truncated: u64,
    /// Of tables that the filters leave out.
    pub(crate) filtered: u64,
    pub(crate) committed: u64,
    /// How much later than its commit the last event was read, in milliseconds.
    pub(crate) behind_ms: Option<i64>,
}

impl Counts {
    pub(crate) fn count(&mut self, op: Op) {
        match op {
            Op::Create => self.created += 1,
            Op::Update => self.updated += 1,
            Op::Delete => self.deleted += 1,
            Op::Read => self.read += 1,
            Op::Truncate => self.truncated += 1,
        }
    }

    fn events(&self) -> u64 {
        let named = self.created + self.updated + self.deleted + self.read;
        named + self.truncated + self.filtered
    }
}

/// What a task shows; shared with whoever scrapes.
pub(crate) struct Figures {
    /// `topic.prefix`.
    name: Arc<str>,
    tables: AtomicU64,
    queue_total: AtomicU64,
    queue_left: AtomicU64,
    erroneous: AtomicU64,
    queue_bytes: u64,
    streaming: Events,
    snapshot: Events,
    connected: AtomicBool,
    committed: AtomicU64,
    /// -1 before the first event, as Debezium has it.
    behind_ms: AtomicI64,
    phase: AtomicU64,
    began_ms: AtomicU64,
    ended_ms: AtomicU64,
    progress: Progress,
    /// `custom.metric.tags`, with names that Prometheus takes.
    tags: Vec<(String, String)>,
    pub(crate) slot: SlotFigures,
    pub(crate) signals: SignalFigures,
}

#[derive(Default)]
struct Events {
    all: AtomicU64,
    created: AtomicU64,
    updated: AtomicU64,
    deleted: AtomicU64,
    read: AtomicU64,
    filtered: AtomicU64,
    /// When the last one came; 0 before it.
    last_ms: AtomicU64,
}

/// Where the snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not begun.
    None,
    Running,
    Completed,
    Aborted,
    Skipped,
}

impl Events {
    fn add(&self, counts: Counts) {
        let events = counts.events();
        if events == 0 {
            return;
        }
        let figures = [
            (&self.all, events),
            (&self.created, counts.created),
            (&self.updated, counts.updated),
            (&self.deleted, counts.deleted),
            (&self.read, counts.read),
            (&self.filtered, counts.filtered),
        ];
        for (figure, count) in figures.into_iter().filter(|(_, count)| *count > 0) {
            figure.fetch_add(count, Relaxed);
        }
        self.last_ms.store(clock_ms(), Relaxed);
    }
}

impl Figures {
    /// `queue_bytes` is `max.queue.size.in.bytes`.
    pub(crate) fn new(name: Arc<str>, queue_bytes: u64) -> Self {
        Self {
            name,
            tables: AtomicU64::new(0),
            queue_total: AtomicU64::new(0),
            queue_left: AtomicU64::new(0),
            erroneous: AtomicU64::new(0),
            queue_bytes,
            streaming: Events::default(),
            snapshot: Events::default(),
            connected: AtomicBool::new(false),
            committed: AtomicU64::new(0),
            behind_ms: AtomicI64::new(-1),
            phase: AtomicU64::new(Phase::None as u64),
            began_ms: AtomicU64::new(0),
            ended_ms: AtomicU64::new(0),
            progress: Progress::default(),
            tags: Vec::new(),
            slot: SlotFigures::default(),
            signals: SignalFigures::default(),
        }
    }

    /// Puts the pairs of `custom.metric.tags` on all figures.
    pub(crate) fn tagged(self, pairs: &str) -> Self {
        let pairs = pairs.split(',').filter_map(|pair| pair.split_once('='));
        let tags = pairs.map(|(name, value)| (tag_name(name.trim()), value.trim().to_owned()));
        Self { tags: tags.collect(), ..self }
    }

    /// Names the slot whose figures are shown.
    pub(crate) fn of_slot(self, slot: &str) -> Self {
        Self { slot: SlotFigures::new(slot), ..self }
    }

    /// How many events there were so far.
    pub(crate) fn seen(&self) -> u64 {
        self.streaming.all.load(Relaxed) + self.snapshot.all.load(Relaxed)
    }

    /// How many batches the worker takes without waiting, and at most.
    /// An event was left out.
    pub(crate) fn left_out(&self) {
        self.erroneous.fetch_add(1, Relaxed);
    }

    pub(crate) fn queue(&self, (left, total): (usize, usize)) {
        self.queue_left.store(left as u64, Relaxed);
        self.queue_total.store(total as u64, Relaxed);
    }

    pub(crate) fn captured(&self, tables: usize) {
        self.tables.store(tables as u64, Relaxed);
    }

    /// Adds up what the stream has counted, which begins anew.
    pub(crate) fn streamed(&self, counts: &mut Counts) {
        let counts = std::mem::take(counts);
        self.streaming.add(counts);
        if counts.committed > 0 {
            self.committed.fetch_add(counts.committed, Relaxed);
        }
        if let Some(behind) = counts.behind_ms {
            self.behind_ms.store(behind, Relaxed);
        }
    }

    /// The stream is open, for as long as the answer is kept.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connected.store(true, Relaxed);
        Connected(self.clone())
    }

    /// The snapshot begins with these tables; `before` are finished since an earlier run.
    pub(crate) fn begin(&self, tables: Vec<(String, TableRows)>, before: u64) {
        self.progress.begin(clock_ms(), tables, before);
        self.began_ms.store(clock_ms(), Relaxed);
        self.ended_ms.store(0, Relaxed);
        self.enter(Phase::Running);
    }

    /// How far the snapshot is; `None` when none runs.
    pub(crate) fn snapshot_now(&self) -> Option<Snapshot> {
        self.progress.now(clock_ms())
    }

    pub(crate) fn enter(&self, phase: Phase) {
        if matches!(phase, Phase::Completed | Phase::Aborted) {
            self.ended_ms.store(clock_ms(), Relaxed);
            self.progress.end();
        }
        self.phase.store(phase as u64, Relaxed);
    }

    /// Rows of a table were read; `done` is a part of it.
    pub(crate) fn scanned(&self, table: &str, rows: u64, done: bool) {
        self.snapshot.add(Counts { read: rows, ..Counts::default() });
        self.progress.add(clock_ms(), table, rows, done);
    }
}

/// The stream is open; when it is dropped it is not.
pub(crate) struct Connected(Arc<Figures>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connected.store(false, Relaxed);
    }
}

/// A tag as the name of a label: what may not stand in one is an underscore, and a name that we give
/// ourselves stays ours.
fn tag_name(tag: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name: String = tag.chars().map(|c| if valid(c) { c } else { '_' }).collect();
    const OURS: [&str; 8] =
        ["plugin", "name", "context", "table", "connector", "task", "slot", "status"];
    if OURS.contains(&name.as_str()) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("tag_{name}");
    }
    name
}

/// Gives the figures of one context.
struct Out<'a> {
    out: &'a mut dyn FnMut(Figure<'_>),
    name: &'a str,
    tags: &'a [(String, String)],
    context: &'static str,
}

impl Out<'_> {
    fn give(&mut self, attribute: &str, help: &str, value: f64) {
        self.labelled(attribute, help, value, &[]);
    }

    fn labelled(&mut self, attribute: &str, help: &str, value: f64, more: &[(&str, &str)]) {
        let own = [("plugin", "postgres"), ("name", self.name), ("context", self.context)];
        let tags = self.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<_> = own.into_iter().chain(tags).chain(more.iter().copied()).collect();
        let name = format!("debezium_metrics_{attribute}");
        (self.out)(Figure { name: &name, help, counter: false, labels: &labels, value });
    }

    fn flag(&mut self, attribute: &str, help: &str, set: bool) {
        self.give(attribute, help, f64::from(u8::from(set)));
    }
}

impl figures::Figures for Figures {
    fn read(&self, out: &mut dyn FnMut(Figure<'_>)) {
        let number = |figure: &AtomicU64| figure.load(Relaxed) as f64;
        for (context, events) in [("snapshot", &self.snapshot), ("streaming", &self.streaming)] {
            let mut out = Out { out, name: &self.name, tags: &self.tags, context };
            let figures = [
                ("TotalNumberOfEventsSeen", "Events seen since the task started.", &events.all),
                ("TotalNumberOfCreateEventsSeen", "Inserts seen.", &events.created),
                ("TotalNumberOfUpdateEventsSeen", "Updates seen.", &events.updated),
                ("TotalNumberOfDeleteEventsSeen", "Deletes seen.", &events.deleted),
                ("TotalNumberOfReadEventsSeen", "Rows read by the snapshot.", &events.read),
                ("NumberOfEventsFiltered", "Events that the filters left out.", &events.filtered),
                (
                    "QueueTotalCapacity",
                    "Batches that may wait between the source and the worker.",
                    &self.queue_total,
                ),
                (
                    "QueueRemainingCapacity",
                    "Batches that the worker takes without a wait.",
                    &self.queue_left,
                ),
            ];
            for (attribute, help, figure) in figures {
                out.give(attribute, help, number(figure));
            }
            let help = "Events left out, as event.processing.failure.handling.mode says.";
            out.give("NumberOfErroneousEvents", help, number(&self.erroneous));
            let help = "Limit of what waits, in bytes (max.queue.size.in.bytes); 0 without one.";
            out.give("MaxQueueSizeInBytes", help, self.queue_bytes as f64);
            let since = match events.last_ms.load(Relaxed) {
                0 => -1.0,
                last => clock_ms().saturating_sub(last) as f64,
            };
            let help = "Milliseconds since the last event; -1 before the first.";
            out.give("MilliSecondsSinceLastEvent", help, since);
        }
        let tags = &self.tags;
        self.read_streaming(&mut Out { out, name: &self.name, tags, context: "streaming" });
        self.read_snapshot(&mut Out { out, name: &self.name, tags, context: "snapshot" });
        self.read_progress(out);
        self.slot.read(&self.name, tags, out);
        self.signals.read(&self.name, tags, out);
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.snapshot_now().or_else(|| self.signals.now())
    }
}

impl Figures {
    fn read_streaming(&self, out: &mut Out<'_>) {
        let help = "Whether the connector is connected to the database.";
        out.flag("Connected", help, self.connected.load(Relaxed));
        let help = "How much later than its commit the last event was read, in milliseconds; -1 before the first.";
        out.give("MilliSecondsBehindSource", help, self.behind_ms.load(Relaxed) as f64);
        let committed = self.committed.load(Relaxed) as f64;
        out.give("NumberOfCommittedTransactions", "Transactions seen.", committed);
    }

    fn read_snapshot(&self, out: &mut Out<'_>) {
        let phase = self.phase.load(Relaxed);
        let flags = [
            ("SnapshotRunning", "Whether the snapshot is being taken.", Phase::Running),
            ("SnapshotCompleted", "Whether the snapshot is complete.", Phase::Completed),
            ("SnapshotAborted", "Whether the snapshot was cut off.", Phase::Aborted),
            ("SnapshotSkipped", "Whether no snapshot was needed.", Phase::Skipped),
        ];
        for (attribute, help, is) in flags {
            out.flag(attribute, help, phase == is as u64);
        }
        out.flag("SnapshotPaused", "Whether the snapshot is paused.", false);
        let began = self.began_ms.load(Relaxed);
        let ended = match self.ended_ms.load(Relaxed) {
            0 => clock_ms(),
            ended => ended,
        };
        let seconds = if began == 0 { 0 } else { ended.saturating_sub(began) / 1_000 };
        out.give("SnapshotDurationInSeconds", "How long the snapshot took so far.", seconds as f64);
        let (tables, left) = self.progress.table_counts();
        out.give("TotalTableCount", "Tables of the snapshot.", tables as f64);
        out.give("RemainingTableCount", "Tables not read to their end.", left as f64);
        let mut shown = 0;
        self.progress.tables(|table, rows| {
            shown += 1;
            if shown <= TABLES_MAX {
                let labels = [("table", table)];
                let help = "Rows of a table that the snapshot has read.";
                out.labelled("RowsScanned", help, rows.rows as f64, &labels);
            }
        });
    }

    /// What Debezium does not tell: how much is to come.
    fn read_progress(&self, out: &mut dyn FnMut(Figure<'_>)) {
        let Some(now) = self.snapshot_now() else { return };
        let mut give = |name: &str, help: &str, labels: &[(&str, &str)], value: f64| {
            out(Figure { name, help, counter: false, labels, value });
        };
        let help = "Rows that the snapshot that runs has read.";
        give("riverrun_snapshot_rows", help, &[], now.rows as f64);
        let help = "Rows that the snapshot that runs will have read at its end, about.";
        give("riverrun_snapshot_rows_estimated", help, &[], now.rows_estimated as f64);
        let help = "Rows a second that the snapshot has read in the last half minute.";
        give("riverrun_snapshot_rows_per_second", help, &[], now.rows_per_second as f64);
        if let Some(left) = now.seconds_left {
            let help = "Seconds until the end of the snapshot, at its present rate.";
            give("riverrun_snapshot_seconds_left", help, &[], left as f64);
        }
        let mut shown = 0;
        self.progress.tables(|table, rows| {
            shown += 1;
            if shown <= TABLES_MAX {
                let help = "Rows of a table that the snapshot will have read, about.";
                let labels = [("table", table)];
                give(
                    "riverrun_snapshot_table_rows_estimated",
                    help,
                    &labels,
                    rows.estimated as f64,
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::figures::Figures as _;

    use super::*;

    fn shown(figures: &Figures) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        figures.read(&mut |figure| {
            let label = |name: &str| {
                figure.labels.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
            };
            let key = match figure.name.strip_prefix("debezium_metrics_") {
                Some(attribute) => {
                    assert_eq!((label("plugin"), label("name")), ("postgres", "shop"));
                    format!("{} {attribute}{}", label("context"), label("table"))
                }
                None => format!("{}{}{}", figure.name, label("table"), label("type")),
            };
            assert!(all.insert(key, figure.value).is_none(), "{figure:?} comes twice");
        });
        all
    }

    #[test]
    fn the_stream_adds_up_and_begins_anew() {
        let figures = Arc::new(Figures::new("shop".into(), 0));
        let value = |key: &str| shown(&figures)[key];
        assert_eq!(value("streaming MilliSecondsSinceLastEvent"), -1.0);
        assert_eq!(value("streaming MilliSecondsBehindSource"), -1.0);
        let mut counts = Counts { filtered: 2, committed: 1, ..Counts::default() };
        counts.count(Op::Create);
        counts.count(Op::Update);
        counts.behind_ms = Some(7);
        figures.streamed(&mut counts);
        assert_eq!(counts, Counts::default());
        figures.streamed(&mut counts);
        assert_eq!(value("streaming TotalNumberOfEventsSeen"), 4.0);
        assert_eq!(value("streaming NumberOfEventsFiltered"), 2.0);
        assert_eq!(value("streaming TotalNumberOfCreateEventsSeen"), 1.0);
        assert_eq!(value("streaming MilliSecondsBehindSource"), 7.0);
        assert_eq!(value("streaming NumberOfCommittedTransactions"), 1.0);
        assert_eq!(value("snapshot TotalNumberOfEventsSeen"), 0.0);
        let connected = figures.connected();
        assert_eq!(value("streaming Connected"), 1.0);
        drop(connected);
        assert_eq!(value("streaming Connected"), 0.0);
    }

    #[test]
    fn tags_are_labels() {
        let figures = Figures::new("shop".into(), 0).tagged("region=eu, my-team=a b,table=x,2nd=y");
        figures.read(&mut |figure| {
            for tag in [("region", "eu"), ("my_team", "a b"), ("tag_table", "x"), ("tag_2nd", "y")]
            {
                assert!(figure.labels.contains(&tag), "{figure:?}");
            }
        });
    }

    #[test]
    fn a_table_is_done_with_its_last_part() {
        let figures = Figures::new("shop".into(), 0);
        let (a, b) = ("public.a", "public.b");
        let table =
            |name: &str, estimated, left| (name.to_owned(), TableRows { rows: 0, estimated, left });
        figures.begin(vec![table(a, 5, 1), table(b, 10, 2)], 0);
        figures.scanned(a, 3, true);
        figures.scanned(b, 4, true);
        let all = shown(&figures);
        assert_eq!(all["riverrun_snapshot_rows"], 7.0);
        assert_eq!(all["riverrun_snapshot_rows_estimated"], 13.0);
        assert_eq!(all["riverrun_snapshot_table_rows_estimatedpublic.b"], 10.0);
        assert_eq!(figures.snapshot_now().unwrap().tables_left, 1);
        assert_eq!(all["snapshot TotalTableCount"], 2.0);
        assert_eq!(all["snapshot RemainingTableCount"], 1.0);
        assert_eq!(all["snapshot RowsScannedpublic.b"], 4.0);
        assert_eq!(all["snapshot TotalNumberOfReadEventsSeen"], 7.0);
        assert_eq!(all["snapshot SnapshotRunning"], 1.0);
        figures.scanned(b, 1, true);
        figures.enter(Phase::Completed);
        assert_eq!(figures.snapshot_now(), None);
        let all = shown(&figures);
        assert_eq!(all["snapshot RemainingTableCount"], 0.0);
        assert_eq!(
            (all["snapshot SnapshotRunning"], all["snapshot SnapshotCompleted"]),
            (0.0, 1.0)
        );
    }
}
