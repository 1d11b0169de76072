//! The initial snapshot: every captured table read by COPY in one consistent view.
//!
//! # Consistency
//!
//! A new slot exports the snapshot of its consistent point; every reader imports it, so the rows are
//! those at that LSN and the stream goes on right behind. When the slot is older (a snapshot that
//! was cut off is gone on with, `snapshot.mode=always`), the rows are those of now and the stream
//! begins *before* them, at the position the slot has confirmed, or where the run before ended when
//! all up to there is stored (`always`): changes in between come again, and the last event of each key
//! is the right one. Starting at the rows' own moment, as Debezium does, would lose a delete of a row
//! that an earlier snapshot or stream had sent. Several readers share one view then too: the first
//! exports it.
//!
//! # Order and markers
//!
//! Tables are cut into ranges of pages (`ctid`). One reader (`snapshot.max.threads=1`) takes them in
//! their order, so the events come in Debezium's order with its markers. Several readers take them
//! from one queue and read side by side; what is marked then, and who waits for whom, is in
//! [`place`]. A row's marker depends on whether another follows, so each reader holds one row back.
//!
//! # Restart
//!
//! Nothing is confirmed to the slot before the snapshot's last record is stored, so a crash loses
//! nothing. Each batch carries in its offset which tables and which ranges of pages have been handed
//! over ([`::snapshot::checkpoint`]); those are not read again. Between the two runs rows may have
//! moved: an UPDATE writes the row's new version into another page, maybe of a range that is done,
//! and the stream does not have the large values that the UPDATE left alone. So
//!
//! * of ranges that are done, the rows that were written by a transaction which the first run's view
//!   did not see are read again: every other row of a page was there when the page was read;
//! * a table whose rows have all moved (another file: VACUUM FULL, CLUSTER, TRUNCATE, some ALTER
//!   TABLE), or whose definition is another, is read anew;
//! * a finished table is finished: all its rows were sent, and the stream has what happened since.
//!
//! A table without pages of its own is finished whole or not at all: a foreign table, a parent of
//! inherited ones, one with a statement in `snapshot.select.statement.overrides`, and every table
//! before PostgreSQL 14 or when each statement sees another moment (`snapshot.isolation.mode`). A
//! partitioned table is read partition by partition.

mod chunk;
mod heap;
mod place;
mod reader;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use ::snapshot::checkpoint::Checkpoint;
use model::{
    connector::Outbox,
    error::{Error, Result},
    record::Batch,
};
use relational::table::TableId;
use tokio::{
    sync::{Mutex, mpsc},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at},
};

use self::{
    chunk::{Horizon, Work, cut},
    reader::{Handed, Reader, Shared},
};
use crate::{
    catalog,
    known::Known,
    options::{Options, Ranging},
    position::Position,
    session::Session,
    source_info::Moment,
    wire::Lsn,
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
    /// What the offset calls the snapshot: `INITIAL`.
    pub(crate) kind: &'static str,
    /// How far an earlier run got: [`Position::checkpoint`]. Empty when there was none.
    pub(crate) resumed: Checkpoint,
    /// The server is a standby.
    pub(crate) standby: bool,
    /// The tables that are known when it has ended.
    pub(crate) known: Option<Arc<Known>>,
    /// Present when the snapshot is taken in the middle of the stream.
    pub(crate) blocking: Option<Blocking>,
}

/// Where the stream stands still meanwhile.
pub(crate) struct Blocking {
    pub(crate) position: Position,
    pub(crate) tx_id: Option<i64>,
    pub(crate) lsn_commit: Option<Lsn>,
    /// The statements that are read instead of tables.
    pub(crate) selects: HashMap<String, String>,
    /// Whether it goes on where it was cut off. One that a signal asked for comes again with it.
    pub(crate) goes_on: bool,
}

impl Plan {
    /// Whether offsets say how far it is.
    fn goes_on(&self) -> bool {
        self.blocking.as_ref().is_none_or(|blocking| blocking.goes_on)
    }
}

/// How often the log says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Reads everything and hands it to the worker. Returns the position the stream begins at, or `None`
/// when the task was stopped. `handed_over` is set to the position of each batch, so that a run after
/// an error goes on there.
pub(crate) async fn run(
    options: &Arc<Options>,
    plan: Plan,
    handed_over: &mut Option<Position>,
    out: &mut Outbox,
) -> Result<Option<Position>> {
    let first = begin(options, &plan, plan.exported.as_deref()).await?;
    // A read-only transaction has no id; a snapshot without one is as good.
    let row = first
        .query_one(
            "read the time and transaction of the snapshot",
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
                    CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_xact_id()::text::int8 END,
                    pg_snapshot_xmin(pg_current_snapshot())::text::int8,
                    pg_snapshot_xmax(pg_current_snapshot())::text::int8",
            &[],
        )
        .await?;
    let (ts_us, tx_id): (i64, i64) = (row.get(0), row.get(1));
    let transaction = |column| row.get::<_, i64>(column).cast_unsigned();
    let horizon = Horizon { xmin: transaction(2), xmax: transaction(3) };
    let moment = Arc::new(match &plan.blocking {
        None => Moment { ts_us, tx_id: Some(tx_id), ..Moment::default() },
        Some(Blocking { tx_id, lsn_commit, .. }) => {
            Moment { ts_us, tx_id: *tx_id, lsn_commit: *lsn_commit, ..Moment::default() }
        }
    });
    let work = cut(options, &plan, &first, horizon).await?;
    let Work { chunks, mut tracker, tables, finished_before } = work;
    if finished_before > 0 || !plan.resumed.is_empty() {
        tracing::info!(
            "the snapshot goes on where it was cut off: {finished_before} tables are finished, {} were under way",
            plan.resumed.open.len()
        );
    }
    options.figures.begin(tables, finished_before);
    let threads = options.snapshot_threads.min(chunks.len()).max(1);
    // In Debezium's older way with several threads no row is the first of all.
    let first_marked = threads == 1 || options.ranging == Ranging::Pages;
    let begins_with = chunks.first().filter(|chunk| first_marked && chunk.begins_snapshot());
    let position = match &plan.blocking {
        None => Position {
            ts_usec: Some(ts_us),
            tx_id: Some(tx_id),
            lsn: Some(plan.lsn),
            tables: plan.known.clone(),
            ..Position::default()
        },
        Some(blocking) => blocking.position.clone(),
    };
    let unfinished = Position { snapshot: Some(plan.kind.to_owned()), ..position.clone() };

    let sessions = sessions(options, &plan, first, threads).await?;
    tracing::info!(
        "snapshot of {} tables at {} begins with {threads} readers",
        plan.tables.len(),
        plan.lsn
    );
    let shared = Arc::new(Shared {
        options: options.clone(),
        moment,
        lsn: plan.lsn,
        alone: threads == 1,
        first_marked,
        begins_with: begins_with.map(|chunk| chunk.place.clone()),
        queue: Mutex::new(chunks.into_iter().collect::<VecDeque<_>>()),
        names: plan.names.clone(),
    });
    // One batch waits while the next is decoded.
    let (sender, mut batches) = mpsc::channel::<Handed>(1);
    let mut readers = JoinSet::new();
    for session in sessions {
        readers.spawn(Reader::new(shared.clone()).run(session, sender.clone()));
    }
    drop(sender);

    let mut report = interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held = Vec::new();
    // Dropping the readers ends their connections, so a stop in the middle leaves nothing behind.
    loop {
        let Handed { batch, done } = tokio::select! {
            biased;
            () = out.stopped() => return Ok(None),
            Some(joined) = readers.join_next() => {
                // The others may wait for one that has failed.
                held.push(ended(joined)?);
                continue;
            }
            handed = batches.recv() => match handed {
                Some(handed) => handed,
                None => break,
            },
            _ = report.tick() => {
                tell(options);
                continue;
            }
        };
        options.figures.queue(out.capacity());
        done.iter().for_each(|piece| tracker.done(piece));
        let checkpoint = plan.goes_on().then(|| tracker.text());
        let position = Position { checkpoint, ..unfinished.clone() };
        let Some(room) = out.room().await else { return Ok(None) };
        room.send(Batch { position: Some(options.position(&position)), ..batch });
        *handed_over = Some(position);
    }
    while let Some(joined) = readers.join_next().await {
        held.push(ended(joined)?);
    }
    // The rows held back: the last of all carries the marker and the finished position.
    held.retain(|reader| reader.end_order().is_some());
    held.sort_by_key(Reader::end_order);
    let count = held.len();
    for (reader, index) in held.into_iter().zip(1..) {
        let position = if index == count { &position } else { &unfinished };
        let Handed { batch, done } = reader.finish(index == count);
        done.iter().for_each(|piece| tracker.done(piece));
        let goes_on = position.snapshot.is_some() && plan.goes_on();
        let checkpoint = goes_on.then(|| tracker.text());
        let position = Position { checkpoint, ..position.clone() };
        let Some(room) = out.room().await else { return Ok(None) };
        room.send(Batch { position: Some(options.position(&position)), ..batch });
    }
    if count == 0 {
        // Nothing to read: the position alone says that the snapshot is done.
        let batch = Batch {
            records: Vec::new().into(),
            position: Some(options.position(&position)),
            bytes: 0,
        };
        let Some(room) = out.room().await else { return Ok(None) };
        room.send(batch);
    }
    let rows = options.figures.snapshot_now().map_or(0, |now| now.rows);
    tracing::info!("snapshot is read: {rows} rows of {} tables", plan.tables.len());
    Ok(Some(position))
}

fn ended(joined: Result<Result<Reader>, JoinError>) -> Result<Reader> {
    joined.map_err(|error| Error::retriable("read the snapshot").caused_by(error))?
}

/// How far the snapshot is, for the log.
fn tell(options: &Options) {
    let Some(now) = options.figures.snapshot_now() else { return };
    let left = match now.seconds_left {
        Some(seconds) => format!("{} left", clock(seconds)),
        None => "time left unknown".to_owned(),
    };
    tracing::info!(
        "snapshot goes on: {} of about {} rows, {} rows/s, {left}; {} of {} tables to go",
        now.rows,
        now.rows_estimated,
        now.rows_per_second,
        now.tables_left,
        now.tables
    );
}

/// `1:02:03`
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hours}:{minutes:02}:{seconds:02}")
}

/// As many sessions as there are readers, all with one view where that can be.
async fn sessions(
    options: &Arc<Options>,
    plan: &Plan,
    first: Session,
    threads: usize,
) -> Result<Vec<Session>> {
    let mut sessions = vec![first];
    if threads == 1 {
        return Ok(sessions);
    }
    let exported = match &plan.exported {
        Some(name) => Some(name.clone()),
        None if options.one_view() => {
            let action = "share the snapshot among its readers";
            let row = sessions[0].query_one(action, "SELECT pg_export_snapshot()", &[]).await?;
            Some(row.get(0))
        }
        None => None,
    };
    while sessions.len() < threads {
        sessions.push(begin(options, plan, exported.as_deref()).await?);
    }
    Ok(sessions)
}

/// A session in the snapshot's transaction, with the view `exported` or one of its own.
async fn begin(options: &Arc<Options>, plan: &Plan, exported: Option<&str>) -> Result<Session> {
    let session =
        Session::connect(&options.database("Debezium General"), &options.initial_statements)
            .await?;
    const NEWER: &str = "SELECT current_setting('server_version_num')::int4 >= 170000";
    let newer: bool = session.query_one("ask for the server's version", NEWER, &[]).await?.get(0);
    let text = match exported {
        Some(name) => format!(
            "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'",
            name.replace('\'', "''")
        ),
        // A standby has no serializable transactions.
        None if plan.standby && options.isolation.contains("SERIALIZABLE") => {
            "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY".to_owned()
        }
        None => format!("BEGIN; SET TRANSACTION {}", options.isolation),
    };
    // A table takes as long as it takes, whatever database.query.timeout.ms says.
    // Nor is a session idle that waits for the others or for the throttle. No query may come before
    // the locks: it would fix the view.
    let mut text = format!(
        "{text}; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
    );
    if newer {
        text.push_str("; SET LOCAL transaction_timeout = 0");
    }
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

#[cfg(test)]
mod tests {
    #[test]
    fn time_left() {
        assert_eq!(super::clock(59), "0:00:59");
        assert_eq!(super::clock(3_600 * 30 + 61), "30:01:01");
    }
}
