//! The initial snapshot: every captured table read by COPY in one consistent view.
//!
//! # Consistency
//!
//! A new slot exports the snapshot of its consistent point; every reader imports it, so the rows are
//! those at that LSN and the stream goes on right behind. When the slot is older (a snapshot that
//! was cut off is taken again, `snapshot.mode=always`), the rows are those of now and the stream
//! begins at the position the slot has confirmed, which is *before* them: changes in between come
//! again, and the last event of each key is the right one. Starting at the rows' own moment, as
//! Debezium does, would lose a delete of a row that an earlier, cut-off snapshot had sent.
//!
//! # Order and markers
//!
//! One reader (`snapshot.max.threads=1`) takes table after table, each in the order COPY has it, so
//! the events come in Debezium's order with its markers. A row's marker depends on whether another
//! follows, so each reader holds one row back. With several readers each table is cut into ranges of
//! pages (`ctid`), which are read side by side from one queue; only the last record of all is marked
//! then.
//!
//! # Restart
//!
//! Nothing is confirmed to the slot before the snapshot's last record is stored, so a crash begins
//! the snapshot anew and loses nothing.

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use ::snapshot::Place;
use futures_util::StreamExt;
use model::{
    change::BatchBuilder,
    connector::Outbox,
    error::{Error, Result},
    record::Batch,
    row::Slot,
};
use relational::{emitter::Rows, table::TableId};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::{
    catalog,
    cells::Scratch,
    notify,
    options::Options,
    position::Position,
    session::Session,
    source_info::{Moment, Writer},
    tables::Table,
    wire::{Lsn, copy},
};

/// What is to be read, and as of when.
pub(crate) struct Plan {
    pub(crate) tables: Vec<TableId>,
    /// What notifications call the tables.
    pub(crate) names: Arc<[String]>,
    /// The exported snapshot to import, when the slot is new.
    pub(crate) exported: Option<String>,
    /// The LSN that the rows carry and the stream begins at.
    pub(crate) lsn: Lsn,
    /// Tables may be read in ranges of pages. Before PostgreSQL 14 each range reads the whole table.
    pub(crate) ranges: bool,
    /// Present when a signal asked for the snapshot in the middle of the stream.
    pub(crate) blocking: Option<Blocking>,
}

/// Where the stream stands still meanwhile.
pub(crate) struct Blocking {
    pub(crate) position: Position,
    pub(crate) tx_id: Option<i64>,
    pub(crate) lsn_commit: Option<Lsn>,
    /// The statements that are read instead of tables.
    pub(crate) selects: HashMap<String, String>,
}

/// A part of a table for one reader.
struct Chunk {
    table: Arc<Table>,
    /// Only rows of the first table can be the first: when it is empty, no row is (recorded from
    /// Debezium 3.7).
    first_table: bool,
    part: Part,
}

enum Part {
    Whole,
    /// Pages from, to (exclusive; open at the end of the table).
    Pages(u64, Option<u64>),
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

/// Reads everything and hands it to the worker. Returns the position the stream begins at, or `None`
/// when the task was stopped.
pub(crate) async fn run(
    options: &Arc<Options>,
    plan: Plan,
    out: &mut Outbox,
) -> Result<Option<Position>> {
    let first = begin(options, &plan).await?;
    let row = first
        .query_one(
            "read the time and transaction of the snapshot",
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
                    CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_xact_id()::text::int8 END",
            &[],
        )
        .await;
    // A read-only transaction has no id; a snapshot without one is as good.
    let (ts_us, tx_id) = match row {
        Ok(row) => (row.get(0), row.get(1)),
        Err(error) => return Err(error),
    };
    let moment = Arc::new(match &plan.blocking {
        None => Moment { ts_us, tx_id: Some(tx_id), lsn_commit: None, origin: None },
        Some(Blocking { tx_id, lsn_commit, .. }) => {
            Moment { ts_us, tx_id: *tx_id, lsn_commit: *lsn_commit, origin: None }
        }
    });
    let chunks = chunks(options, &plan, &first).await?;
    options.figures.begin(chunks.iter().map(|chunk| &chunk.table.id));
    let tables = chunks.len();
    let threads = options.snapshot_threads.min(tables.max(1));
    let (position, name) = match &plan.blocking {
        None => {
            let (ts_usec, tx_id) = (Some(ts_us), Some(tx_id));
            (Position { ts_usec, tx_id, lsn: Some(plan.lsn), ..Position::default() }, "INITIAL")
        }
        Some(blocking) => (blocking.position.clone(), "BLOCKING"),
    };
    let unfinished = Position { snapshot: Some(name.to_owned()), ..position.clone() };

    let mut sessions = vec![first];
    while sessions.len() < threads {
        sessions.push(begin(options, &plan).await?);
    }
    tracing::info!(
        "snapshot of {} tables at {} begins with {threads} readers",
        plan.tables.len(),
        plan.lsn
    );
    let queue = Arc::new(Mutex::new(chunks.into_iter().collect::<VecDeque<_>>()));
    // One batch waits while the next is decoded.
    let (sender, mut batches) = mpsc::channel::<Batch>(1);
    let mut readers = JoinSet::new();
    let alone = threads == 1;
    for session in sessions {
        let reader = Reader::new(options, moment.clone(), plan.lsn, unfinished.clone(), alone);
        let reader = Reader { names: plan.names.clone(), ..reader };
        readers.spawn(reader.run(session, queue.clone(), sender.clone()));
    }
    drop(sender);

    let mut rows: u64 = 0;
    let mut reported = std::time::Instant::now();
    // Dropping the readers ends their connections, so a stop in the middle leaves nothing behind.
    while let Some(batch) = batches.recv().await {
        rows += batch.records.len() as u64;
        if reported.elapsed().as_secs() >= 10 {
            tracing::info!("snapshot goes on: {rows} rows so far");
            reported = std::time::Instant::now();
        }
        options.figures.queue(out.capacity());
        let Some(room) = out.room().await else { return Ok(None) };
        room.send(batch);
    }
    let mut held = Vec::new();
    while let Some(joined) = readers.join_next().await {
        let reader =
            joined.map_err(|error| Error::retriable("read the snapshot").caused_by(error))??;
        held.push(reader);
    }
    // The rows held back: the last of all carries the marker and the finished position.
    let mut last: Vec<Reader> = held.into_iter().filter(|reader| reader.held.is_some()).collect();
    let count = last.len();
    for (reader, index) in last.drain(..).zip(1..) {
        let batch = reader.finish(index == count, position.clone());
        rows += batch.records.len() as u64;
        let Some(room) = out.room().await else { return Ok(None) };
        room.send(batch);
    }
    if count == 0 {
        // Nothing to read: the position alone says that the snapshot is done.
        let batch =
            Batch { records: Vec::new(), position: Some(options.position(&position)), bytes: 0 };
        let Some(room) = out.room().await else { return Ok(None) };
        room.send(batch);
    }
    tracing::info!("snapshot is read: {rows} rows of {} tables", plan.tables.len());
    Ok(Some(position))
}

/// A session in the snapshot's transaction.
async fn begin(options: &Arc<Options>, plan: &Plan) -> Result<Session> {
    let session =
        Session::connect(&options.database("Debezium General"), &options.initial_statements)
            .await?;
    let text = match &plan.exported {
        Some(name) => format!(
            "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'",
            name.replace('\'', "''")
        ),
        None => format!("BEGIN; SET TRANSACTION {}", options.isolation),
    };
    // A table takes as long as it takes, whatever database.query.timeout.ms says.
    let text = format!("{text}; SET LOCAL statement_timeout = 0");
    session.execute("begin the transaction of the snapshot", &text).await?;
    if let Some(limit) = options.locks {
        lock(&session, plan, limit).await?;
    }
    Ok(session)
}

/// `snapshot.locking.mode=shared`: until the snapshot ends nobody changes a table's definition.
async fn lock(session: &Session, plan: &Plan, limit: Duration) -> Result<()> {
    if plan.tables.is_empty() {
        return Ok(());
    }
    let locks: String = plan
        .tables
        .iter()
        .map(|table| format!("LOCK TABLE {} IN ACCESS SHARE MODE;", catalog::qualified(table)))
        .collect();
    let text = format!("SET LOCAL lock_timeout = {};{locks}", limit.as_millis());
    session.execute("lock the captured tables (snapshot.locking.mode=shared)", &text).await
}

async fn chunks(options: &Arc<Options>, plan: &Plan, session: &Session) -> Result<Vec<Chunk>> {
    let types = catalog::types(session).await?;
    let mut chunks = Vec::new();
    for (id, index) in plan.tables.iter().zip(0..) {
        let first_table = index == 0;
        let Some(found) = catalog::table(session, id).await? else { continue };
        let table = Arc::new(Table::of_catalog(id, &found, &types, &options.capture)?);
        if table.columns.iter().flatten().next().is_none() {
            tracing::warn!("table {id} has no column that can be captured; its rows are left out");
            continue;
        }
        let selects = plan.blocking.as_ref().map_or(&options.selects, |blocking| &blocking.selects);
        if let Some(statement) = selects.get(&*table.text) {
            let list = select_from(session, &table, statement).await?;
            let part = Part::Select { list, statement: statement.clone() };
            chunks.push(Chunk { table, first_table, part });
            continue;
        }
        if options.snapshot_threads == 1 || !plan.ranges {
            chunks.push(Chunk { table, first_table, part: Part::Whole });
            continue;
        }
        let row = session
            .query_one(
                &format!("read the size of table {id}"),
                "SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::int8",
                &[&catalog::qualified(id)],
            )
            .await?;
        let pages = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
        let mut from = 0;
        loop {
            let to = from + PAGES_PER_CHUNK;
            // The last range is open, so that no row is missed whatever the size was.
            let end = (to < pages).then_some(to);
            chunks.push(Chunk { table: table.clone(), first_table, part: Part::Pages(from, end) });
            match end {
                Some(end) => from = end,
                None => break,
            }
        }
    }
    Ok(chunks)
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
    fn query(&self) -> String {
        let select = |range: &str| {
            let table = catalog::qualified(&self.table.id);
            format!("SELECT {} FROM {table}{range}", self.table.select_list(|_| true))
        };
        let select = match &self.part {
            Part::Whole => select(""),
            Part::Pages(from, None) => select(&format!(" WHERE ctid >= '({from},0)'::tid")),
            Part::Pages(from, Some(to)) => {
                select(&format!(" WHERE ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid"))
            }
            // The statement may end in a comment.
            Part::Select { list, statement } => {
                format!("SELECT {list} FROM ({statement}\n) AS overridden")
            }
        };
        format!("COPY ({select}) TO STDOUT (FORMAT binary)")
    }
}

/// Reads chunks into batches, one row behind.
struct Reader {
    options: Arc<Options>,
    moment: Arc<Moment>,
    lsn: Lsn,
    /// Stored with each batch but the last.
    unfinished: model::record::Position,
    /// Whether this reader sees all rows in order and so knows all markers.
    alone: bool,
    batch: BatchBuilder,
    writer: Writer,
    scratch: Scratch,
    /// The source block of rows in the middle, which is the same for all of a batch.
    middle: Option<(Arc<Table>, Slot)>,
    held: Option<Held>,
    now_ns: i64,
    /// The tables of the snapshot.
    names: Arc<[String]>,
}

struct Held {
    table: Arc<Table>,
    row: Slot,
    first_in_table: bool,
    first_table: bool,
}

impl Reader {
    fn new(
        options: &Arc<Options>,
        moment: Arc<Moment>,
        lsn: Lsn,
        unfinished: Position,
        alone: bool,
    ) -> Self {
        let (batch, writer) = options.fresh_batch();
        Self {
            moment,
            lsn,
            unfinished: options.position(&unfinished),
            options: options.clone(),
            alone,
            batch,
            writer,
            scratch: Scratch::default(),
            middle: None,
            held: None,
            now_ns: crate::now_ns(),
            names: Arc::new([]),
        }
    }

    async fn run(
        mut self,
        session: Session,
        queue: Arc<Mutex<VecDeque<Chunk>>>,
        batches: mpsc::Sender<Batch>,
    ) -> Result<Self> {
        loop {
            let Some(chunk) = queue.lock().await.pop_front() else { return Ok(self) };
            if !self.read(&session, &chunk, &batches).await? {
                return Ok(self);
            }
        }
    }

    /// False when nobody wants the batches any more.
    async fn read(
        &mut self,
        session: &Session,
        chunk: &Chunk,
        batches: &mpsc::Sender<Batch>,
    ) -> Result<bool> {
        let table = &chunk.table;
        let action = format!("copy table {}", table.id);
        let failed = |error| session.failed(&action, error);
        let broken =
            |error: crate::wire::DecodeError| Error::fatal(action.clone()).caused_by(error);
        if self.alone {
            notify::table_begun(&self.options, &mut self.batch, &table.id, &self.names);
        }
        let mut all: u64 = 0;
        let stream = session.client().copy_out(&chunk.query()).await.map_err(failed)?;
        let mut stream = pin!(stream);
        let mut decoder = copy::Decoder::new();
        let mut first_in_table = true;
        // Read and not told of yet.
        let mut rows = 0;
        while let Some(bytes) = stream.next().await {
            decoder.push(bytes.map_err(failed)?);
            loop {
                let Some(row) = decoder.next_row().map_err(broken)? else { break };
                // The row before has a follower now, so its marker is known.
                if let Some(held) = self.held.take() {
                    let last_in_table = !Arc::ptr_eq(&held.table, table);
                    self.emit(&held, last_in_table, false);
                }
                if self.options.full(&self.batch) {
                    let batch = self.seal();
                    self.options.figures.scanned(&table.id, std::mem::take(&mut rows), false);
                    if batches.send(batch).await.is_err() {
                        return Ok(false);
                    }
                }
                let rows_to = &mut self.batch.rows;
                let row = match table.push_copied(row.fields(), &mut self.scratch, rows_to) {
                    Ok(row) => row,
                    Err(error) => {
                        self.options.failed_event(error)?;
                        continue;
                    }
                };
                let first_table = chunk.first_table;
                self.held = Some(Held { table: table.clone(), row, first_in_table, first_table });
                first_in_table = false;
                rows += 1;
                all += 1;
            }
        }
        decoder.finish().map_err(broken)?;
        self.options.figures.scanned(&table.id, rows, true);
        if self.alone {
            notify::table_read(&self.options, &mut self.batch, &table.id, all, &self.names);
        }
        Ok(true)
    }

    fn emit(&mut self, held: &Held, last_in_table: bool, last: bool) {
        let place = Place {
            first: self.alone && held.first_table && held.first_in_table,
            first_in_table: self.alone && held.first_in_table,
            last_in_table: self.alone && last_in_table,
            last,
        };
        let marker = place.marker();
        let source = match &self.middle {
            Some((table, source)) if marker == "true" && Arc::ptr_eq(table, &held.table) => *source,
            _ => {
                let source = self.writer.write(
                    &mut self.batch.rows,
                    &held.table.id,
                    &self.moment,
                    self.lsn,
                    Some(marker),
                );
                if marker == "true" {
                    self.middle = Some((held.table.clone(), source));
                }
                source
            }
        };
        let rows = Rows {
            op: model::change::Op::Read,
            before: None,
            old_key: None,
            after: Some(held.row),
            source,
            ts_ns: self.now_ns(),
        };
        // Rows of a snapshot belong to no transaction.
        self.options.emitter.emit(&mut self.batch, &held.table.schema, rows, &mut |_| None);
    }

    /// The time, read once for a handful of rows: they are decoded within microseconds.
    fn now_ns(&mut self) -> i64 {
        if self.batch.len().is_multiple_of(16) {
            self.now_ns = crate::now_ns();
        }
        self.now_ns
    }

    /// Takes what is collected; called between two rows only, while none is held.
    fn seal(&mut self) -> Batch {
        let (fresh, writer) = self.options.fresh_batch();
        self.writer = writer;
        self.middle = None;
        std::mem::replace(&mut self.batch, fresh).seal(Some(self.unfinished.clone()))
    }

    /// The batch with the row that was held back to the end.
    fn finish(mut self, last: bool, position: Position) -> Batch {
        if let Some(held) = self.held.take() {
            self.emit(&held, true, last);
        }
        let position =
            if last { self.options.position(&position) } else { self.unfinished.clone() };
        self.batch.seal(Some(position))
    }
}
