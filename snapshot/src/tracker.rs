//! Keeps the checkpoint of a snapshot that runs.

use std::{collections::HashMap, sync::Arc};

use crate::checkpoint::{Checkpoint, OpenPart, OpenTable, Ranges};

/// A piece of a table that is read in one go: see [`Tracker::done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub table: u64,
    pub part: u64,
    /// What it is of its part; `None` when it has no place there, as what was written since an
    /// earlier run.
    pub range: Option<(u64, u64)>,
}

/// A part of a table and how many pieces are to be read of it.
#[derive(Clone, Debug)]
pub struct Task {
    pub table: u64,
    pub part: u64,
    pub version: String,
    pub since: u64,
    /// Done in earlier runs.
    pub done: Ranges,
    pub pieces: usize,
}

/// Which pieces have been handed over, and what follows for tables.
#[derive(Debug, Default)]
pub struct Tracker {
    checkpoint: Checkpoint,
    /// By table and part.
    parts: HashMap<(u64, u64), PartLeft>,
    /// Parts that are not finished, by table.
    tables: HashMap<u64, usize>,
    text: Option<Arc<str>>,
}

#[derive(Debug)]
struct PartLeft {
    version: String,
    since: u64,
    pieces: usize,
}

impl Tracker {
    /// Goes on with `checkpoint`, of which only finished tables and finished parts of tables count:
    /// what is done of the others comes with [`Tracker::expect`].
    pub fn new(checkpoint: Checkpoint) -> Self {
        let mut checkpoint = checkpoint;
        checkpoint.open.values_mut().for_each(|table| table.parts.clear());
        checkpoint.open.retain(|_, table| !table.finished.is_empty());
        Self { checkpoint, ..Self::default() }
    }

    /// A part is to be read.
    pub fn expect(&mut self, task: Task) {
        let Task { table, part, version, since, done, pieces } = task;
        *self.tables.entry(table).or_default() += 1;
        if !done.is_empty() {
            let open = self.checkpoint.open.entry(table).or_default();
            open.parts.insert(part, OpenPart { version: version.clone(), since, done });
        }
        self.parts.insert((table, part), PartLeft { version, since, pieces });
        self.text = None;
    }

    /// All rows of a piece have been handed over.
    pub fn done(&mut self, piece: &Piece) {
        let Piece { table, part, range } = *piece;
        let Some(left) = self.parts.get_mut(&(table, part)) else { return };
        left.pieces = left.pieces.saturating_sub(1);
        self.text = None;
        if left.pieces > 0 {
            let Some((from, to)) = range else { return };
            let open: &mut OpenTable = self.checkpoint.open.entry(table).or_default();
            let entry = open.parts.entry(part).or_insert_with(|| OpenPart {
                version: left.version.clone(),
                since: left.since,
                done: Ranges::default(),
            });
            entry.done.insert(from, to);
            return;
        }
        self.parts.remove(&(table, part));
        let parts_left = self.tables.entry(table).or_insert(1);
        *parts_left -= 1;
        if *parts_left == 0 {
            self.tables.remove(&table);
            self.checkpoint.open.remove(&table);
            self.checkpoint.finished.insert(table);
            return;
        }
        let open = self.checkpoint.open.entry(table).or_default();
        open.parts.remove(&part);
        open.finished.insert(part);
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// [`Checkpoint::text`], made anew only after a change.
    pub fn text(&mut self) -> Arc<str> {
        self.text.get_or_insert_with(|| self.checkpoint.text().into()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(table: u64, part: u64, pieces: usize) -> Task {
        Task { table, part, version: "v".into(), since: 3, done: Ranges::default(), pieces }
    }

    fn piece(table: u64, part: u64, range: Option<(u64, u64)>) -> Piece {
        Piece { table, part, range }
    }

    #[test]
    fn ranges_then_parts_then_tables() {
        let mut tracker = Tracker::new(Checkpoint::default());
        tracker.expect(task(1, 1, 2));
        tracker.expect(task(2, 21, 1));
        tracker.expect(task(2, 22, 2));
        let before = tracker.text();
        assert!(Arc::ptr_eq(&before, &tracker.text()));
        tracker.done(&piece(1, 1, Some((10, 20))));
        assert!(!Arc::ptr_eq(&before, &tracker.text()));
        let open = &tracker.checkpoint().open[&1].parts[&1];
        assert_eq!((open.since, open.done.iter().collect::<Vec<_>>()), (3, vec![(10, 20)]));
        tracker.done(&piece(1, 1, Some((0, 10))));
        assert!(tracker.checkpoint().finished.contains(1));
        assert!(tracker.checkpoint().open.is_empty());
        tracker.done(&piece(2, 21, Some((0, u64::MAX))));
        assert!(tracker.checkpoint().open[&2].finished.contains(21));
        tracker.done(&piece(2, 22, Some((0, 10))));
        tracker.done(&piece(2, 22, Some((10, u64::MAX))));
        assert!(tracker.checkpoint().open.is_empty());
        assert_eq!(tracker.checkpoint().finished.len(), 2);
    }

    /// The second run of a part: what was done stays done, and is finished only when what has
    /// changed in it is read too.
    #[test]
    fn a_second_run_keeps_what_was_done() {
        let mut first = Tracker::new(Checkpoint::default());
        first.expect(task(1, 1, 3));
        first.expect(task(2, 2, 1));
        first.done(&piece(1, 1, Some((0, 10))));
        first.done(&piece(2, 2, None));
        let stored = Checkpoint::parse(&first.text()).unwrap();
        let done = stored.open[&1].parts[&1].done.clone();
        let mut second = Tracker::new(stored);
        assert!(second.checkpoint().open.is_empty() && second.checkpoint().finished.contains(2));
        second.expect(Task { done, ..task(1, 1, 2) });
        second.done(&piece(1, 1, None));
        assert_eq!(second.checkpoint().open[&1].parts[&1].done.cover()[0], (0, 10, true));
        second.done(&piece(1, 1, Some((10, u64::MAX))));
        assert!(second.checkpoint().finished.contains(1) && second.checkpoint().open.is_empty());
    }
}
