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
    incremental::Collection,
    notifications::Status,
    signals::{Execute, Kind},
};
use model::error::Result;
use tokio::time::Instant;

use super::{Answer, Incremental};
use crate::{
    incremental::{Chunk, Settle},
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

fn added(collection: &Collection) -> bool {
    collection.correlation_id.as_deref() == Some(ADDED)
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
        let known = Arc::make_mut(known);
        let queued: HashSet<&str> = self.context.names().into_iter().collect();
        known.pending.iter_mut().for_each(|table| table.queued |= queued.contains(&*table.name));
        self.learnt |= known.learn(|table| !table.queued || queued.contains(&*table.name));
        let room = QUEUED_MAX.saturating_sub(queued.len());
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
            self.context.add(ADDED, &execute, names);
        }
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
    use super::*;

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
