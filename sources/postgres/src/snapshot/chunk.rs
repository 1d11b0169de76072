//! What is to be read, cut into chunks.

use std::sync::Arc;

use ::snapshot::{
    checkpoint::{Checkpoint, OpenPart, Ranges},
    progress::TableRows,
    tracker::{Piece, Task, Tracker},
};
use model::error::Result;
use relational::table::TableId;

use super::{
    Plan,
    heap::{Heap, heaps},
    place::Place,
};
use crate::{
    catalog::{self, CatalogTable},
    options::{Options, Ranging},
    session::Session,
    tables::Table,
};

/// A part of a table for one reader.
pub(super) struct Chunk {
    pub(super) table: Arc<Table>,
    pub(super) place: Arc<Place>,
    pub(super) part: Part,
    pub(super) piece: Piece,
    /// The table begins with it, in this run.
    pub(super) first: bool,
    /// The table ends with it.
    pub(super) last: bool,
    /// Its number among those of the table, from 0.
    pub(super) index: usize,
    relation: u32,
    /// `"schema"."table"`
    from: String,
    /// The file the rows lay in when the table was cut, where it matters that they still do.
    pub(super) filenode: Option<u32>,
    /// One COPY reads the whole relation.
    pub(super) together: bool,
}

pub(super) enum Part {
    Whole,
    /// Pages from, to (exclusive; `u64::MAX` is the end of the table, wherever it is by now).
    Pages(u64, u64),
    /// Of these pages the rows that were written by this transaction or later ones.
    Changed(u64, u64, u64),
    /// What a statement of `snapshot.select.statement.overrides` finds, with the select list that picks
    /// the captured columns from it.
    Select {
        list: String,
        statement: String,
    },
}

/// Pages in a range: 4,096 of 8 KiB are 32 MiB, enough to make a query's start negligible and small
/// enough to keep all readers busy to the end.
const PAGES_PER_CHUNK: u64 = 4_096;

/// With several readers a table is cut smaller so that all have a part of it, but not smaller than
/// this: 2 MiB take some milliseconds.
const PAGES_PER_CHUNK_MIN: u64 = 256;

/// Of pages that are read once more for what changed in them, a chunk has so many: nearly nothing
/// comes of them.
const PAGES_PER_LOOK: u64 = 16 * PAGES_PER_CHUNK;

/// A transaction this much older than now can not be told from a younger one by the 32 bits that a
/// row has of it. Half of them count; some are left for the transactions until the table is read.
const AGE_MAX: u64 = (1 << 31) - (1 << 28);

/// All that is to be read, in order.
pub(super) struct Work {
    pub(super) chunks: Vec<Chunk>,
    pub(super) tracker: Tracker,
    /// The tables and what is estimated of them, for the figures.
    pub(super) tables: Vec<(String, TableRows)>,
    pub(super) finished_before: u64,
}

/// The snapshot that the session is in, by its oldest and its next transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    pub(super) xmin: u64,
    pub(super) xmax: u64,
}

/// A table that is to be read.
struct Wanted {
    table: Arc<Table>,
    first_table: bool,
    version: String,
    heaps: Vec<Heap>,
    select: Option<Part>,
}

pub(super) async fn cut(
    options: &Arc<Options>,
    plan: &Plan,
    session: &Session,
    horizon: Horizon,
) -> Result<Work> {
    let resumed = &plan.resumed;
    let types = catalog::types(session).await?;
    let mut wanted = Vec::new();
    let mut finished_before = 0;
    let all = heaps(session, &plan.tables).await?;
    for ((id, heaps), index) in plan.tables.iter().zip(all).zip(0..) {
        let Some(oid) = heaps.first().map(|heap| heap.table) else { continue };
        if resumed.finished.contains(oid.into()) {
            finished_before += 1;
            continue;
        }
        let Some(found) = catalog::table(session, id).await? else { continue };
        let table = Arc::new(Table::of_catalog(id, &found, &types, &options.capture)?);
        if table.columns.iter().flatten().next().is_none() {
            tracing::warn!("table {id} has no column that can be captured; its rows are left out");
            continue;
        }
        let selects = plan.blocking.as_ref().map_or(&options.selects, |blocking| &blocking.selects);
        let select = match selects.get(&*table.text) {
            Some(statement) => {
                let list = select_from(session, &table, statement).await?;
                Some(Part::Select { list, statement: statement.clone() })
            }
            None => None,
        };
        let version = version(&table, &found);
        wanted.push(Wanted { table, first_table: index == 0, version, heaps, select });
    }
    // A table of no pages has no rows; an empty partitioned one neither.
    let has_rows = |table: &Wanted| {
        table.select.is_some() || table.heaps.iter().any(|heap| heap.pages > 0 || !heap.paged)
    };
    let tail = wanted.iter().rposition(has_rows).unwrap_or(wanted.len());
    let mut work = Work {
        chunks: Vec::new(),
        tracker: Tracker::new(resumed.clone()),
        tables: Vec::with_capacity(wanted.len()),
        finished_before,
    };
    let cutter = Cutter { options, ranges: plan.ranges, horizon, resumed };
    for (table, index) in wanted.into_iter().zip(0..) {
        cutter.cut(table, index >= tail, &mut work);
    }
    Ok(work)
}

struct Cutter<'a> {
    options: &'a Options,
    ranges: bool,
    horizon: Horizon,
    resumed: &'a Checkpoint,
}

impl Cutter<'_> {
    fn cut(&self, wanted: Wanted, tail: bool, work: &mut Work) {
        let Wanted { table, first_table, version, heaps, select } = wanted;
        // What becomes of each heap, before anything is known of the whole.
        let mut parts: Vec<(Heap, Part)> = Vec::new();
        let mut estimated = 0;
        let oid: u64 = heaps.first().map_or(0, |heap| heap.table.into());
        let open = self.resumed.open.get(&oid);
        let mut resumed = open.is_some_and(|open| !open.finished.is_empty());
        match select {
            Some(select) => {
                estimated += heaps.iter().map(|heap| heap.rows).sum::<u64>();
                // The statement reads all heaps, so it stands for the first.
                if let Some(heap) = heaps.into_iter().next() {
                    let relation = heap.table;
                    work.tracker.expect(self.task(&heap, String::new(), None, 1));
                    parts.push((Heap { relation, ..heap }, select));
                }
            }
            None => {
                for heap in heaps {
                    let part: u64 = heap.relation.into();
                    if open.is_some_and(|open| open.finished.contains(part)) {
                        continue;
                    }
                    let version = format!("{}.{version}", heap.filenode);
                    let earlier = open.and_then(|open| open.parts.get(&part));
                    let earlier = earlier
                        .filter(|earlier| self.paged(&heap) && self.still_right(earlier, &version));
                    resumed |= earlier.is_some();
                    let cut = self.cut_heap(&heap, earlier, &table.text);
                    estimated += estimate(&heap, &cut);
                    work.tracker.expect(self.task(&heap, version, earlier, cut.len()));
                    parts.extend(cut.into_iter().map(|part| (heap.clone(), part)));
                }
            }
        }
        if let Some(open) = open.filter(|open| !resumed && !open.parts.is_empty()) {
            tracing::info!(
                "table {} was rewritten or altered since {} of its parts were read; it is read anew",
                table.text,
                open.parts.len()
            );
        }
        let rows = TableRows { rows: 0, estimated, left: parts.len() as u64 };
        work.tables.push((table.text.to_string(), rows));
        let place = Arc::new(Place::new(first_table, tail, resumed, parts.len()));
        let last = parts.len().saturating_sub(1);
        let alone = last == 0 && !resumed;
        for ((heap, part), index) in parts.into_iter().zip(0..) {
            let (range, counted) = match part {
                Part::Pages(from, to) => (Some((from, to)), true),
                Part::Changed(..) => (None, true),
                Part::Whole | Part::Select { .. } => (None, false),
            };
            // What is read by one COPY is of one moment, wherever it lies.
            let together = alone || matches!(part, Part::Whole);
            work.chunks.push(Chunk {
                table: table.clone(),
                place: place.clone(),
                part,
                piece: Piece { table: oid, part: heap.relation.into(), range },
                first: index == 0 && !resumed,
                last: index == last,
                index,
                relation: heap.relation,
                from: heap.from,
                filenode: (counted || (together && heap.pages > 0)).then_some(heap.filenode),
                together,
            });
        }
    }

    fn task(
        &self,
        heap: &Heap,
        version: String,
        earlier: Option<&OpenPart>,
        pieces: usize,
    ) -> Task {
        Task {
            table: heap.table.into(),
            part: heap.relation.into(),
            version,
            since: earlier.map_or(self.horizon.xmin, |earlier| earlier.since),
            done: earlier.map_or_else(Ranges::default, |earlier| earlier.done.clone()),
            pieces,
        }
    }

    /// Whether the pages that were read in an earlier run still have the rows they had, but for those
    /// whose transaction tells it.
    fn still_right(&self, earlier: &OpenPart, version: &str) -> bool {
        let age = self.horizon.xmax.checked_sub(earlier.since);
        earlier.version == version && age.is_some_and(|age| age < AGE_MAX)
    }

    /// Whether a heap is read in ranges of its pages.
    fn paged(&self, heap: &Heap) -> bool {
        self.ranges && heap.paged && self.options.ranging == Ranging::Pages
    }

    fn cut_heap(&self, heap: &Heap, earlier: Option<&OpenPart>, table: &str) -> Vec<Part> {
        if !self.paged(heap) {
            return vec![Part::Whole];
        }
        let nothing = Ranges::default();
        let done = earlier.map_or(&nothing, |earlier| &earlier.done);
        let since = earlier.map_or(0, |earlier| earlier.since);
        let per_chunk = pages_per_chunk(heap.pages, self.options.snapshot_chunks(table));
        let mut parts = Vec::new();
        for (from, to, done) in done.cover() {
            let step = if done { PAGES_PER_LOOK } else { per_chunk };
            let mut at = from;
            loop {
                // The last range is open, so that no row is missed whatever the size was.
                let next = match at.saturating_add(step) {
                    next if next >= heap.pages || next >= to => to,
                    next => next,
                };
                parts.push(match done {
                    true => Part::Changed(at, next, since),
                    false => Part::Pages(at, next),
                });
                at = next;
                if at >= to {
                    break;
                }
            }
        }
        parts
    }
}

/// `snapshot.max.threads` × `snapshot.max.threads.multiplier` chunks a table, as Debezium makes them,
/// within what is sensible for pages.
fn pages_per_chunk(pages: u64, chunks: usize) -> u64 {
    match chunks {
        0 | 1 => PAGES_PER_CHUNK,
        chunks => pages.div_ceil(chunks as u64).clamp(PAGES_PER_CHUNK_MIN, PAGES_PER_CHUNK),
    }
}

/// Rows of the chunks of a heap, by their share of its pages.
fn estimate(heap: &Heap, parts: &[Part]) -> u64 {
    let pages: u64 = parts
        .iter()
        .map(|part| match part {
            Part::Pages(from, to) => (*to).min(heap.pages).saturating_sub(*from),
            Part::Changed(..) => 0,
            Part::Whole | Part::Select { .. } => heap.pages,
        })
        .sum();
    match heap.pages {
        0 => 0,
        all => u64::try_from(u128::from(heap.rows) * u128::from(pages) / u128::from(all))
            .unwrap_or(heap.rows),
    }
}

/// What rows of a table are made from: when it changes, those that were read do not match the others.
fn version(table: &Table, found: &CatalogTable) -> String {
    let mut text = table.select_list(|_| true);
    for column in &found.columns {
        text.push_str(&format!(",{}:{}:{}", column.name, column.type_oid, column.typmod));
    }
    text.push_str(&found.key.join(","));
    // FNV-1a: the same in every version and on every machine.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:x}")
}

/// The captured columns of a table as the columns of a statement: those that it does not have are
/// null.
async fn select_from(session: &Session, table: &Table, statement: &str) -> Result<String> {
    let action =
        format!("prepare snapshot.select.statement.overrides.{} ({statement})", table.text);
    let prepared = session.client().prepare(statement).await;
    let prepared = prepared.map_err(|error| session.failed(&action, error))?;
    let has = |name: &str| prepared.columns().iter().any(|column| column.name() == name);
    Ok(table.select_list(has))
}

impl Chunk {
    pub(super) fn id(&self) -> &TableId {
        &self.table.id
    }

    /// The first row of all, if it has rows.
    pub(super) fn begins_snapshot(&self) -> bool {
        self.first && self.place.first_table
    }

    pub(super) fn relation(&self) -> u32 {
        self.relation
    }

    pub(super) fn query(&self) -> String {
        let select = |condition: &str| {
            format!("SELECT {} FROM {}{condition}", self.table.select_list(|_| true), self.from)
        };
        let pages = |from: u64, to: u64| match (from, to) {
            (0, u64::MAX) => String::new(),
            (from, u64::MAX) => format!(" WHERE ctid >= '({from},0)'::tid"),
            (from, to) => {
                format!(" WHERE ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid")
            }
        };
        let select = match &self.part {
            Part::Whole => select(""),
            Part::Pages(from, to) => select(&pages(*from, *to)),
            Part::Changed(from, to, since) => {
                let pages = pages(*from, *to);
                let and = if pages.is_empty() { " WHERE" } else { " AND" };
                // A row has 32 bits of its transaction; how old they are is told by the age, which is
                // about the same moment on both sides. Frozen ones keep their bits, so at worst one too
                // many is read.
                let since = since % (1 << 32);
                select(&format!("{pages}{and} age(xmin) <= (SELECT age('{since}'::xid))"))
            }
            // The statement may end in a comment.
            Part::Select { list, statement } => {
                format!("SELECT {list} FROM ({statement}\n) AS overridden")
            }
        };
        format!("COPY ({select}) TO STDOUT (FORMAT binary)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_cut_for_their_readers() {
        for (pages, chunks, want) in [
            (1_000_000, 1, 4_096),
            (100, 1, 4_096),
            (8_192, 4, 2_048),
            (1_000_000, 4, 4_096),
            (400, 4, 256),
            (0, 4, 256),
        ] {
            assert_eq!(pages_per_chunk(pages, chunks), want, "{pages} pages for {chunks}");
        }
    }

    #[test]
    fn estimates_are_shares() {
        let heap = Heap {
            table: 1,
            relation: 1,
            from: String::new(),
            filenode: 1,
            pages: 100,
            rows: 1_000,
            paged: true,
        };
        for (parts, want) in [
            (vec![Part::Pages(0, u64::MAX)], 1_000),
            (vec![Part::Changed(0, 40, 7), Part::Pages(40, u64::MAX)], 600),
            (vec![Part::Changed(0, u64::MAX, 7)], 0),
            (vec![Part::Whole], 1_000),
        ] {
            assert_eq!(estimate(&heap, &parts), want);
        }
    }
}
