//! Chunks that no marks in the log surround: those of tables that are new in the filters, and all with
//! `read.only=true`.
//!
//! Where the log was when a chunk had been read stands in for the mark behind it: all that the chunk
//! shows was committed before. So the chunk waits until the stream has come there, and rows whose keys
//! came meanwhile are left out. Then no older change of a row comes behind it, and no newer one before.
//!
//! What the stream has shown before the chunk is read, the chunk must show too; so it is not read before
//! other sessions see those transactions.
//!
//! Before the first chunk of a table the stream has to come to the end of the log, so that what comes
//! while a chunk waits is little. A table that was published only now is not read before those have
//! ended who wrote to it until then.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ::snapshot::{
    incremental::{Collection, Context},
    notifications::Status,
    signals::{Execute, Kind},
};
use model::error::Result;
use tokio::time::Instant;

use super::{Answer, Incremental};
use crate::{
    incremental::{Chunk, Settle},
    known::{Known, Pending},
    progress::SEGMENT_BYTES,
    session::Session,
    stream::Reader,
    visibility,
    wire::{Lsn, Reply, Stream},
};

/// In place of a signal's id, what tables that are new in the filters are read for.
const ADDED: &str = "riverrun-added-tables";

/// So many of the new tables stand in the offset at once, beside what signals ask for.
const QUEUED_MAX: usize = 100;

/// How often the server is asked where it is, while a chunk waits for that.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The same while the stream is more than [`SEGMENT_BYTES`] behind: no answer helps before it has read
/// that, which may take hours.
const ASK_SELDOM: Duration = Duration::from_secs(1);

/// How long that may take until it is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many of the last transactions may not be seen by other sessions yet although the stream has shown
/// them. As each has a connection that waits for its commit, this is more than there are.
const SHOWN_MAX: usize = 4096;

/// How often those are forgotten that other sessions see. The log has 32 bits of a transaction's number,
/// so it could be taken for one that is yet to come when 2^31 others have followed; there are no half a
/// million a second.
const WEED_EVERY: Duration = Duration::from_hours(1);

/// Something waits until the stream has come to a position.
pub(super) struct Awaited {
    lsn: Lsn,
    /// What was read; otherwise a table is to be begun.
    pub(super) chunk: Option<Chunk>,
    asked: Option<Instant>,
    /// When this began, or it was last said that it takes long.
    since: Instant,
}

impl Awaited {
    fn new(lsn: Lsn, chunk: Option<Chunk>) -> Self {
        Self { lsn, chunk, asked: None, since: Instant::now() }
    }

    /// Whether the server is to be asked where it is, when the stream has come to `reached`.
    fn asks(&self, reached: Lsn, now: Instant) -> bool {
        let behind = self.lsn.0.saturating_sub(reached.0);
        let every = if behind > SEGMENT_BYTES { ASK_SELDOM } else { ASK_EVERY };
        self.asked.is_none_or(|at| now.saturating_duration_since(at) >= every)
    }
}

/// Whether a table is read because it is new in the filters.
pub(super) fn added(collection: &Collection) -> bool {
    collection.correlation_id.as_deref() == Some(ADDED)
}

/// The new tables that are queued.
fn queued(context: &Context) -> impl Iterator<Item = &str> {
    context.collections().filter(|collection| added(collection)).map(|added| added.id.as_str())
}

/// Makes new tables that have left the queue known, and queues further ones. Whether any became known.
fn queue(known: &mut Known, context: &mut Context) -> bool {
    // What a signal asks for of a table need not be all of it.
    let in_queue: HashSet<&str> = queued(context).collect();
    known.pending.iter_mut().for_each(|table| table.queued |= in_queue.contains(&*table.name));
    let learnt = known.learn(|table| !table.queued || in_queue.contains(&*table.name));
    let room = QUEUED_MAX.saturating_sub(in_queue.len());
    let next = known.pending.iter_mut().filter(|table| !table.queued).take(room);
    let names: Vec<String> = next
        .map(|table| {
            table.queued = true;
            table.name.clone()
        })
        .collect();
    if !names.is_empty() {
        let execute = Execute {
            kind: Kind::Incremental,
            collections: names.clone(),
            conditions: Vec::new(),
            surrogate_key: None,
        };
        context.add(ADDED, &execute, names);
    }
    learnt
}

impl Incremental {
    /// The stream has sent all that was committed up to here.
    pub(in crate::stream) fn reached(&mut self, lsn: Lsn) {
        self.reached = self.reached.max(lsn);
    }

    /// The stream has shown a transaction.
    pub(in crate::stream) fn shown(&mut self, transaction: u32) {
        if self.shown.len() == SHOWN_MAX {
            self.shown.pop_front();
        }
        self.shown.push_back(transaction);
    }

    /// Forgets now and then which transactions the stream has shown, where other sessions see them.
    pub(in crate::stream) async fn weed_shown(
        &mut self,
        session: &Session,
        now: Instant,
    ) -> Result<()> {
        if now.saturating_duration_since(self.weeded) >= WEED_EVERY {
            self.weeded = now;
            self.shown = visibility::unseen(session, self.shown.make_contiguous()).await?.into();
        }
        Ok(())
    }

    /// Whether chunks of the table are read without marks.
    pub(super) fn goes_unmarked(&self, read_only: bool, collection: &Collection) -> bool {
        read_only || added(collection)
    }

    /// Makes tables that are not queued any more known, and queues further ones.
    pub(super) fn queue_added(&mut self) {
        let Some(known) = self.known.as_mut().filter(|known| !known.pending.is_empty()) else {
            return;
        };
        self.learnt |= queue(Arc::make_mut(known), &mut self.context);
    }

    /// The current table is not read: it is not known, so the next start tries it again.
    pub(super) fn give_up_added(&mut self, status: Status) {
        let Some(current) = self.context.current().filter(|current| added(current)) else { return };
        if matches!(status, Status::Succeeded | Status::Empty) {
            return;
        }
        tracing::error!(
            "the rows of table {}, which is new in the filters, are not read, as told above; its changes are sent. Mend it and restart the connector: then they are read",
            current.id
        );
        if let Some(known) = &mut self.known {
            let name = current.id.clone();
            Arc::make_mut(known).pending.retain(|table| table.name != name);
        }
    }

    /// The names of new tables that are to be queued yet.
    pub(super) fn unqueued(&self) -> impl Iterator<Item = &str> {
        let pending = self.known.iter().flat_map(|known| &known.pending);
        pending.filter(|table| !table.queued).map(|table| table.name.as_str())
    }

    /// New tables whose reading was stopped are not known, so the next start tries them again: those that
    /// were taken out of the queue, and `named` ones that are to be queued yet. Returns their names.
    pub(super) fn stop_added(&mut self, named: &[String]) -> Vec<String> {
        let Some(known) = self.known.as_mut().filter(|known| !known.pending.is_empty()) else {
            return Vec::new();
        };
        let queued: HashSet<&str> = queued(&self.context).collect();
        let stopped = |table: &Pending| match table.queued {
            true => !queued.contains(&*table.name),
            false => named.contains(&table.name),
        };
        let names: Vec<String> =
            known.pending.iter().filter(|t| stopped(t)).map(|table| table.name.clone()).collect();
        if !names.is_empty() {
            tracing::warn!(
                "the rows of tables that are new in the filters are not read, as a signal stopped that: {}; their changes are sent, and the next start of the connector reads them, unless snapshot.added.tables=false",
                names.join(", ")
            );
            Arc::make_mut(known).pending.retain(|table| !stopped(table));
        }
        names
    }

    /// Whether something is on its way that a new chunk must not overtake.
    pub(super) fn busy(&self) -> bool {
        self.settling || self.awaited.is_some() || self.window.is_some() || self.due.is_some()
    }

    /// The chunk waits until the stream has come to where it was read.
    pub(super) fn await_chunk(&mut self, chunk: Chunk) {
        self.awaited = Some(Awaited::new(chunk.upto, Some(chunk)));
    }

    /// Nobody writes unseen to the table at hand any more; the log ended at `lsn` then.
    pub(super) fn is_settled(&mut self, lsn: Lsn) {
        self.settling = false;
        self.settled = self.context.current().map(|current| current.id.clone());
        self.awaited = Some(Awaited::new(lsn, None));
    }

    fn arrived(&mut self) -> Option<Awaited> {
        let reached = self.reached;
        self.awaited.take_if(|awaited| awaited.lsn <= reached)
    }
}

impl Reader<'_> {
    /// Begins to read the tables that are new in the filters.
    pub(super) fn begin_added(&mut self) {
        let idle = !self.incremental.context.running();
        self.incremental.queue_added();
        if idle && self.incremental.context.running() {
            let names = self.incremental.context.names().join(",");
            self.notify_incremental("STARTED", vec![("data_collections", names.clone())]);
            self.notify_incremental("DATA_COLLECTIONS_RESOLVED", vec![("data_collections", names)]);
        }
    }

    /// Before the first chunk of a table that is read without marks; false when that is done.
    pub(super) fn settle(&mut self) -> bool {
        let incremental = &mut self.incremental;
        let Some(current) = incremental.context.current() else { return false };
        if incremental.settled.as_ref() == Some(&current.id) {
            return false;
        }
        let settle = Settle { table: current.id.clone(), writers: added(current) };
        let Some(mut reader) = incremental.reader.take() else { return true };
        incremental.settling = true;
        incremental.job = Some(incremental.runtime.spawn(async move {
            let settled = reader.settle(&settle).await;
            (reader, Answer::Settled(settled))
        }));
        true
    }

    /// Goes on once the stream has come to where something waits for it. False when nothing does, or
    /// it has not.
    pub(super) fn go_on_unmarked(&mut self) -> bool {
        let Some(awaited) = self.incremental.arrived() else { return false };
        match awaited.chunk {
            Some(chunk) => self.incremental.due = Some(chunk),
            // It was begun before a pause, so it is finished.
            None => self.read_chunk(false),
        }
        true
    }

    /// Asks the server where it is, when something waits for that: an idle one says it now and then
    /// only.
    pub(super) async fn ask_position(&mut self, stream: &mut Stream) -> Result<()> {
        let reached = self.incremental.reached;
        let Some(awaited) = &mut self.incremental.awaited else { return Ok(()) };
        if awaited.since.elapsed() >= PATIENCE {
            awaited.since = Instant::now();
            tracing::info!(
                "an incremental snapshot waits until the stream, which has come to {reached}, comes to {}",
                awaited.lsn
            );
        }
        let now = Instant::now();
        // Among the changes of a transaction no answer counts, only its commit.
        if self.in_transaction || !awaited.asks(reached, now) {
            return Ok(());
        }
        awaited.asked = Some(now);
        self.status(stream, Reply::Yes).await
    }
}

#[cfg(test)]
mod tests {
    use ::snapshot::checkpoint::Ids;

    use super::*;
    use crate::known::Of;

    /// Of more new tables than are queued at once, one that a signal reads a part of is still to be read.
    #[test]
    fn what_a_signal_reads_makes_no_table_known() {
        let of = Of { database: "7/5".into(), horizon: 1, filters: String::new() };
        let mut known = Known::new(of, Ids::default());
        let pending = |oid: u64| Pending { name: format!("s.t{oid}"), oid, queued: false };
        let last = QUEUED_MAX as u64;
        known.pending = (0..=last).map(pending).collect();
        let mut context = Context::default();
        assert!(!queue(&mut known, &mut context));
        assert_eq!(context.names().len(), QUEUED_MAX);
        let execute = Execute {
            kind: Kind::Incremental,
            collections: Vec::new(),
            conditions: Vec::new(),
            surrogate_key: None,
        };
        let asked = format!("s.t{last}");
        context.add("1", &execute, vec![asked.clone()]);
        context.next();
        assert!(queue(&mut known, &mut context));
        assert!(known.contains(0) && !known.contains(last));
        let of_last = context.collections().filter(|left| left.id == asked);
        assert_eq!(of_last.map(added).collect::<Vec<_>>(), [false, true]);
        while context.current().is_some_and(|current| current.id != asked) {
            context.next();
        }
        // That of the signal is done.
        context.next();
        queue(&mut known, &mut context);
        assert!(known.contains(1) && !known.contains(last));
        context.next();
        queue(&mut known, &mut context);
        assert!(known.contains(last) && known.pending.is_empty());
    }

    #[test]
    fn a_server_that_is_far_behind_is_asked_seldom() {
        let awaited_at = Lsn(10 * SEGMENT_BYTES);
        let mut awaited = Awaited::new(awaited_at, None);
        let (near, far) = (Lsn(9 * SEGMENT_BYTES), Lsn(SEGMENT_BYTES));
        let begun = Instant::now();
        // An idle server may be there already and not have said so.
        assert!(awaited.asks(near, begun) && awaited.asks(far, begun));
        awaited.asked = Some(begun);
        let asks = |reached: Lsn, ms: u64| awaited.asks(reached, begun + Duration::from_millis(ms));
        assert!(!asks(near, 49) && asks(near, 50));
        assert!(!asks(far, 999) && asks(far, 1_000));
    }
}
