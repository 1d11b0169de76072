//! Reads chunks into batches, one row behind.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use ::snapshot::{Place as Marks, tracker::Piece};
use futures_util::StreamExt;
use model::{
    change::{BatchBuilder, Op},
    error::{Error, Result},
    record::Batch,
    row::Slot,
};
use relational::emitter::Rows;
use tokio::sync::{Mutex, mpsc};

use super::{chunk::Chunk, heap::moved, place::Place};
use crate::{
    cells::Scratch,
    notify,
    options::Options,
    session::Session,
    source_info::{Moment, Writer},
    tables::Table,
    wire::{DecodeError, Lsn, copy},
};

/// What all readers of a snapshot have.
pub(super) struct Shared {
    pub(super) options: Arc<Options>,
    pub(super) moment: Arc<Moment>,
    pub(super) lsn: Lsn,
    /// One reader sees all rows in order, so it knows all markers by itself.
    pub(super) alone: bool,
    /// The first row of all is marked.
    pub(super) first_marked: bool,
    /// The table whose first row all others wait for.
    pub(super) begins_with: Option<Arc<Place>>,
    pub(super) queue: Mutex<VecDeque<Chunk>>,
    /// What notifications call the tables of the snapshot.
    pub(super) names: Arc<[String]>,
}

/// A batch without its position, and the pieces whose last row is in it or came before.
pub(super) struct Handed {
    pub(super) batch: Batch,
    pub(super) done: Vec<Piece>,
}

pub(super) struct Reader {
    shared: Arc<Shared>,
    options: Arc<Options>,
    batch: BatchBuilder,
    writer: Writer,
    scratch: Scratch,
    /// The source block of rows in the middle, which is the same for all of a batch.
    middle: Option<(Arc<Table>, Slot)>,
    held: Option<Held>,
    /// The piece that the row held back ends.
    held_ends: Option<Piece>,
    /// Pieces that are done with what is collected.
    done: Vec<Piece>,
    /// Tables whose first row is collected.
    begins: Vec<Arc<Place>>,
    /// Tables with collected rows that must come after a first row of somebody else.
    follows: Vec<Arc<Place>>,
    /// The table of the last row that was read.
    reading: Option<Arc<Table>>,
    /// Rows that may be read before the next look at the throttle.
    allowance: u64,
    now_ns: i64,
}

struct Held {
    chunk: Arc<Chunk>,
    row: Slot,
    first_in_table: bool,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let options = shared.options.clone();
        let (batch, writer) = options.fresh_batch();
        Self {
            allowance: if options.throttle.is_some() { 0 } else { u64::MAX },
            shared,
            options,
            batch,
            writer,
            scratch: Scratch::default(),
            middle: None,
            held: None,
            held_ends: None,
            done: Vec::new(),
            begins: Vec::new(),
            follows: Vec::new(),
            reading: None,
            now_ns: crate::now_ns(),
        }
    }

    /// Until nothing is left, or nobody wants the batches any more.
    pub(super) async fn run(
        mut self,
        session: Session,
        batches: mpsc::Sender<Handed>,
    ) -> Result<Self> {
        loop {
            let Some(chunk) = self.shared.queue.lock().await.pop_front() else { return Ok(self) };
            let chunk = Arc::new(chunk);
            if !self.read(&session, &chunk, &batches).await? {
                return Ok(self);
            }
        }
    }

    /// Of readers that hold a row back at the end, the greatest has the last row of all.
    pub(super) fn end_order(&self) -> Option<(bool, bool)> {
        self.held.as_ref().map(|held| (held.chunk.place.tail, held.chunk.last))
    }

    /// False when nobody wants the batches any more.
    async fn read(
        &mut self,
        session: &Session,
        chunk: &Arc<Chunk>,
        batches: &mpsc::Sender<Handed>,
    ) -> Result<bool> {
        let table = &chunk.table;
        let action = format!("copy table {}", chunk.id());
        let failed = |error| session.failed(&action, error);
        let broken = |error: DecodeError| Error::fatal(action.clone()).caused_by(error);
        self.tell_begun(chunk);
        let stream = session.client().copy_out(&chunk.query()).await.map_err(failed)?;
        let mut stream = pin!(stream);
        let mut decoder = copy::Decoder::new();
        // Of this chunk a row is held back.
        let mut holds = false;
        // Read and not told of yet.
        let mut rows = 0;
        let mut read: u64 = 0;
        while let Some(bytes) = stream.next().await {
            decoder.push(bytes.map_err(failed)?);
            loop {
                let Some(row) = decoder.next_row().map_err(broken)? else { break };
                // The row before has a follower now, so its marker is known.
                if let Some(held) = self.held.take() {
                    let last_in_table = !Arc::ptr_eq(&held.chunk.table, table);
                    self.emit(&held, last_in_table, false);
                }
                if self.allowance == 0 || self.options.full(&self.batch) {
                    let told = std::mem::take(&mut rows);
                    self.options.figures.scanned(&table.text, told, false);
                    if !self.pause(batches).await {
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
                let first_in_table = !holds && self.begins_table(chunk);
                self.held = Some(Held { chunk: chunk.clone(), row, first_in_table });
                holds = true;
                rows += 1;
                read += 1;
                self.allowance -= 1;
            }
        }
        decoder.finish().map_err(broken)?;
        // A whole relation that was rewritten since the snapshot's view was taken is empty to that view,
        // and what the stream has is the changes only.
        if let Some(filenode) = chunk.filenode
            && (!chunk.together || read == 0)
            && moved(session, chunk.relation(), filenode).await?
        {
            return Err(Error::retriable(format!(
                "{action}: its rows were moved to another file while it was read (VACUUM FULL, CLUSTER, TRUNCATE or ALTER TABLE); it is read anew"
            )));
        }
        self.options.figures.scanned(&table.text, rows, true);
        self.tell_read(chunk, read);
        match holds && self.held.is_some() {
            true => self.held_ends = Some(chunk.piece),
            false => self.done.push(chunk.piece),
        }
        if self.shared.alone { Ok(true) } else { self.end(chunk, holds, batches).await }
    }

    /// Notifies that a table is begun, and that a chunk of it is.
    fn tell_begun(&mut self, chunk: &Chunk) {
        let (options, place) = (&self.options, &chunk.place);
        let (first, rows) = place.reads();
        if first {
            notify::table_begun(options, &mut self.batch, chunk.id(), &self.shared.names);
        }
        if options.chunked() {
            let numbers = (chunk.index, place.chunks);
            notify::chunk_begun(options, &mut self.batch, chunk.id(), numbers, rows);
        }
    }

    /// Notifies that a chunk was read, and the table with its last one.
    fn tell_read(&mut self, chunk: &Chunk, read: u64) {
        let (options, names) = (&self.options, &self.shared.names);
        if options.chunked() {
            let numbers = (chunk.index, chunk.place.chunks);
            notify::chunk_read(options, &mut self.batch, chunk.id(), numbers, names);
        }
        if let Some(rows) = chunk.place.was_read(read) {
            notify::table_read(options, &mut self.batch, chunk.id(), rows, names);
        }
    }

    /// Whether the first row of a chunk is the first of its table.
    fn begins_table(&mut self, chunk: &Chunk) -> bool {
        let going_on = (self.reading.as_ref()).is_some_and(|at| Arc::ptr_eq(at, &chunk.table));
        if !going_on {
            self.reading = Some(chunk.table.clone());
        }
        if self.shared.alone {
            // The first chunks may have had no rows.
            return !going_on && !chunk.place.resumed;
        }
        if !chunk.first {
            self.follows.push(chunk.place.clone());
        }
        chunk.first
    }

    /// The end of a chunk, with other readers beside this one: see [`super::place`].
    async fn end(
        &mut self,
        chunk: &Chunk,
        holds: bool,
        batches: &mpsc::Sender<Handed>,
    ) -> Result<bool> {
        let place = &chunk.place;
        if place.shared() && chunk.last && !place.tail {
            // The row held back is the last of the table once the others have come.
            place.others_handed_over().await;
        }
        let others_follow = place.shared() && !chunk.last;
        let held_first = (self.held.as_ref()).is_some_and(|held| holds && held.first_in_table);
        // The first row of the table is here and was not handed over.
        let awaited = held_first || self.begins.iter().any(|begun| Arc::ptr_eq(begun, place));
        // The tail keeps its rows where it can: one of them is the last of all.
        let now = match place.tail {
            true => others_follow && awaited,
            false => others_follow || (self.all_wait_for(place) && awaited),
        };
        if now {
            if let Some(held) = self.held.take() {
                self.emit(&held, chunk.last, false);
            }
            if !self.batch.is_empty() && !self.hand_over(batches).await {
                return Ok(false);
            }
        }
        if chunk.first {
            // Without a row that is first there is nothing to wait for.
            place.begin();
        }
        if others_follow {
            place.hand_over();
        }
        Ok(true)
    }

    fn all_wait_for(&self, place: &Arc<Place>) -> bool {
        self.shared.begins_with.as_ref().is_some_and(|first| Arc::ptr_eq(first, place))
    }

    /// Hands over what is collected, and waits until the throttle lets rows pass.
    async fn pause(&mut self, batches: &mpsc::Sender<Handed>) -> bool {
        if !self.batch.is_empty() && !self.hand_over(batches).await {
            return false;
        }
        if self.allowance == 0
            && let Some(throttle) = &self.options.throttle
        {
            let (rows, from) = throttle.take();
            tokio::time::sleep_until(from.into()).await;
            self.allowance = rows;
        }
        true
    }

    fn emit(&mut self, held: &Held, last_in_table: bool, last: bool) {
        if let Some(piece) = self.held_ends.take() {
            self.done.push(piece);
        }
        let Chunk { table, place, .. } = &*held.chunk;
        if held.first_in_table && !self.shared.alone {
            self.begins.push(place.clone());
        }
        let marks = Marks {
            first: self.shared.first_marked && place.first_table && held.first_in_table,
            first_in_table: held.first_in_table,
            last_in_table,
            last,
        };
        let marker = marks.marker();
        let source = match &self.middle {
            Some((of, source)) if marker == "true" && Arc::ptr_eq(of, table) => *source,
            _ => {
                let source = self.writer.write(
                    &mut self.batch.rows,
                    &table.id,
                    &self.shared.moment,
                    self.shared.lsn,
                    Some(marker),
                );
                if marker == "true" {
                    self.middle = Some((table.clone(), source));
                }
                source
            }
        };
        let rows = Rows {
            op: Op::Read,
            before: None,
            old_key: None,
            after: Some(held.row),
            source,
            ts_ns: self.now_ns(),
        };
        // Rows of a snapshot belong to no transaction.
        self.options.emitter.emit(&mut self.batch, &table.schema, rows, &mut |_| None);
    }

    /// The time, read once for a handful of rows: they are decoded within microseconds.
    fn now_ns(&mut self) -> i64 {
        if self.batch.len().is_multiple_of(16) {
            self.now_ns = crate::now_ns();
        }
        self.now_ns
    }

    /// Sends what is collected; called between two rows only, while none is held in the batch. False
    /// when nobody wants it any more.
    async fn hand_over(&mut self, batches: &mpsc::Sender<Handed>) -> bool {
        if !self.shared.alone {
            // Earlier chunks only: see `place`.
            for place in std::mem::take(&mut self.follows) {
                place.begun().await;
            }
            if let Some(first) = &self.shared.begins_with
                && !self.begins.iter().any(|begun| Arc::ptr_eq(begun, first))
            {
                first.begun().await;
            }
        }
        let handed = self.seal();
        if batches.send(handed).await.is_err() {
            return false;
        }
        self.begins.drain(..).for_each(|place| place.begin());
        true
    }

    fn seal(&mut self) -> Handed {
        let (fresh, writer) = self.options.fresh_batch();
        self.writer = writer;
        self.middle = None;
        let batch = std::mem::replace(&mut self.batch, fresh).seal(None);
        Handed { batch, done: std::mem::take(&mut self.done) }
    }

    /// What is left at the end, with the row that was held back.
    pub(super) fn finish(mut self, last: bool) -> Handed {
        if let Some(held) = self.held.take() {
            let last_in_table = self.shared.alone || held.chunk.last;
            self.emit(&held, last_in_table, last);
        }
        self.seal()
    }
}

#[cfg(test)]
mod tests;
