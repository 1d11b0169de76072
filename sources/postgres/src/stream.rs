//! Streaming: logical replication with pgoutput into batches.
//!
//! # Progress
//!
//! Messages are decoded as they arrive into one [`BatchBuilder`]; a batch is handed over as soon as
//! nothing more has arrived, or it is full, but not sooner than [`BATCH_GAP`] after the one before. So
//! a lone commit goes out at once and a backlog in large batches.
//!
//! Many changes can share one LSN: a COPY logs a page of rows at once. Whether more of them follow is
//! known only when the next message is there, so a batch may end among them, but its offset then is
//! the one before them ([`Progress::whole`]): "done up to this LSN" is always exact.
//!
//! # Confirmation
//!
//! The server is told to forget only what is in a stored offset ([`Position::confirmable`]), and of
//! that only whole transactions.
//!
//! # Restart
//!
//! The stream is asked for from the end of the last whole transaction; of the transaction that was
//! under way, the changes up to the stored LSN are left out. Another transaction's changes may have
//! smaller LSNs and still come later, so this goes by transaction id.

use std::{sync::Arc, time::Duration};

use model::{
    change::{BatchBuilder, Op},
    connector::Outbox,
    error::{Error, Result},
    record::Batch,
};
use relational::emitter::Rows;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    catalog,
    cells::Scratch,
    figures::Counts,
    options::Options,
    position::Position,
    session::Session,
    source_info::{Moment, Writer},
    tables::{Relations, Table},
    types::Types,
    wire::{
        Event, Lsn, Replication, Reply, StartOptions, Stream, Streaming, XLogData,
        pgoutput::{self, Message},
        quote_identifier,
    },
};

/// How often the loop looks for a newly stored offset, which moves the slot on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Batches follow one another at this distance at least. After a pause a change goes out at once; in
/// a stream of single-row transactions, which the server sends one by one, each batch takes what came
/// in 5 ms. Without it every transaction was a batch, at 13 CPU-seconds a million.
const BATCH_GAP: Duration = Duration::from_millis(5);

/// Streams until stopped or failed. `position` is where to begin, and afterwards where to go on: it
/// is that of the last batch handed over, so running again loses and repeats nothing.
///
/// # Panics
///
/// On a runtime with one thread, which it would block.
pub(crate) fn run(
    options: &Arc<Options>,
    session: &Session,
    position: &mut Position,
    out: &mut Outbox,
) -> Result<()> {
    // A runtime of its own, so that the pause between batches can be a real sleep: while this thread
    // sleeps nobody waits for the socket, and the kernel collects. On the shared runtime each packet
    // of the server woke a thread, which was half of all CPU time in a stream of small transactions.
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::retriable("start the streaming thread").caused_by(error))?;
        runtime.block_on(follow(options, session, position, out))
    })
}

async fn follow(
    options: &Arc<Options>,
    session: &Session,
    position: &mut Position,
    out: &mut Outbox,
) -> Result<()> {
    let start = position.start().unwrap_or(Lsn::ZERO);
    let stream = tokio::select! {
        () = out.stopped() => return Ok(()),
        stream = connect(options, start) => stream?,
    };
    tracing::info!(
        "streaming from {start} through slot {} and publication {}",
        options.slot,
        options.publication
    );
    let types = catalog::types(session).await?;
    let mut reader = Reader::new(options, session, types, position.clone());
    let connected = options.figures.connected();
    let result = reader.run(stream, position, out).await;
    drop(connected);
    options.figures.streamed(&mut reader.counts);
    options.progress.heard();
    if result.is_ok() && options.slot_dropped_on_stop {
        drop_slot(options).await?;
    }
    result
}

/// Opens the stream; while another process holds the slot it is tried again.
async fn connect(options: &Options, start: Lsn) -> Result<Stream> {
    let mut attempt = 0;
    loop {
        let replication = Replication::connect(&options.database("Debezium Streaming")).await?;
        let start_options = StartOptions {
            proto_version: 1,
            publications: vec![quote_identifier(&options.publication)],
            messages: false,
            binary: false,
            streaming: Streaming::Off,
            extra: Vec::new(),
        };
        match replication.start(&options.slot, start, &start_options).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.code() == Some("55006") && attempt < options.slot_retries_max => {
                attempt += 1;
                tracing::warn!(
                    "{error}; attempt {attempt} of {}, again in {:?}",
                    options.slot_retries_max,
                    options.slot_retry_delay
                );
                tokio::time::sleep(options.slot_retry_delay).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn drop_slot(options: &Options) -> Result<()> {
    let mut replication = Replication::connect(&options.database("Debezium Drop Slot")).await?;
    tracing::info!("dropping slot {}, as slot.drop.on.stop says", options.slot);
    replication.drop_slot(&options.slot, crate::wire::Wait::Yes).await?;
    Ok(())
}

/// What the messages so far add up to.
struct Reader<'a> {
    options: &'a Arc<Options>,
    session: &'a Session,
    types: Types,
    relations: Relations,
    decoder: pgoutput::Decoder,
    scratch: Scratch,
    batch: BatchBuilder,
    writer: Writer,
    moment: Moment,
    progress: Progress,
    /// Since the figures were last told.
    counts: Counts,
    /// Of this transaction the changes up to this LSN were done before the restart.
    done: Option<(i64, Lsn)>,
    received: Lsn,
    confirmed: Lsn,
    heartbeat_at: Option<Instant>,
}

impl<'a> Reader<'a> {
    fn new(
        options: &'a Arc<Options>,
        session: &'a Session,
        types: Types,
        position: Position,
    ) -> Self {
        let (batch, writer) = options.fresh_batch();
        Self {
            options,
            session,
            types,
            relations: Relations::default(),
            decoder: pgoutput::Decoder::new(),
            scratch: Scratch::default(),
            batch,
            writer,
            moment: Moment { lsn_commit: position.lsn_commit, ..Moment::default() },
            done: position.done_in_transaction(),
            received: Lsn::ZERO,
            // Nothing is confirmed before this run's outbox says so.
            confirmed: Lsn::ZERO,
            heartbeat_at: options
                .heartbeat
                .as_ref()
                .map(|(interval, _)| Instant::now() + *interval),
            progress: Progress::new(position),
            counts: Counts::default(),
        }
    }

    async fn run(
        &mut self,
        mut stream: Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        let mut status = interval(self.options.status_interval);
        let mut look = interval(LOOK_EVERY);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut handed_over = Instant::now() - BATCH_GAP;
        loop {
            tokio::select! {
                () = out.stopped() => {
                    self.look(&mut stream, out).await?;
                    return Ok(stream.finish().await?);
                }
                event = stream.next() => self.take(event?, &mut stream).await?,
                _ = status.tick() => {
                    // A server that lives answers at once, however little there is to send.
                    self.options.progress.asked();
                    self.status(&mut stream, Reply::Yes).await?;
                }
                _ = look.tick() => {
                    self.options.figures.streamed(&mut self.counts);
                    self.options.figures.queue(out.capacity());
                    self.look(&mut stream, out).await?;
                }
            }
            self.drain(&mut stream, sent, out).await?;
            if self.batch.is_empty() && !self.progress.held_back() && !self.heartbeat_due() {
                continue;
            }
            let since = handed_over.elapsed();
            if since < BATCH_GAP {
                std::thread::sleep(BATCH_GAP - since);
                self.drain(&mut stream, sent, out).await?;
            }
            self.hand_over(&mut stream, sent, out).await?;
            handed_over = Instant::now();
        }
    }

    /// Takes all that has arrived, in as many batches as it fills.
    async fn drain(
        &mut self,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        while let Some(event) = stream.try_next()? {
            if self.options.full(&self.batch)
                && let Event::Data(data) = &event
                && self.progress.passed(data.start)
            {
                self.hand_over(stream, sent, out).await?;
            }
            self.take(event, stream).await?;
        }
        Ok(())
    }

    async fn take(&mut self, event: Event, stream: &mut Stream) -> Result<()> {
        self.options.progress.heard();
        match event {
            Event::Data(data) => {
                self.received = self.received.max(data.start).max(data.end);
                self.message(&data).await
            }
            Event::Keepalive { end, reply_requested, .. } => {
                self.received = self.received.max(end);
                if reply_requested { self.status(stream, Reply::No).await } else { Ok(()) }
            }
        }
    }

    async fn status(&mut self, stream: &mut Stream, reply: Reply) -> Result<()> {
        // Invariant 1: flush and apply are what a stored offset covers, whatever was received.
        Ok(stream.status_update(self.received, self.confirmed, self.confirmed, reply).await?)
    }

    /// Tells the server at once when more is stored.
    async fn look(&mut self, stream: &mut Stream, out: &mut Outbox) -> Result<()> {
        let stored = out.acked().map(|acked| Position::read(&acked.offset));
        let confirmable = stored.and_then(|position| position.confirmable());
        match confirmable {
            Some(lsn) if lsn > self.confirmed => {
                self.confirmed = lsn;
                self.status(stream, Reply::No).await
            }
            _ => Ok(()),
        }
    }

    /// Waits for room and sends what is collected; the connection is kept alive meanwhile.
    async fn hand_over(
        &mut self,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        let (fresh, writer) = self.options.fresh_batch();
        self.writer = writer;
        let collected = std::mem::replace(&mut self.batch, fresh);
        let mut batch = collected.seal(Some(self.options.position(&self.progress.whole)));
        self.add_heartbeat(&mut batch);
        self.options.figures.streamed(&mut self.counts);
        self.options.figures.queue(out.capacity());
        // While there is no room nothing is read, so no answer is waited for.
        self.options.progress.heard();
        let mut tick = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                room = out.room() => {
                    // Stopped: the batch is dropped, and `sent` stays where it was.
                    let Some(room) = room else { return Ok(()) };
                    room.send(batch);
                    *sent = self.progress.hand_over();
                    return Ok(());
                }
                _ = tick.tick() => {}
            }
            self.look(stream, out).await?;
            self.status(stream, Reply::No).await?;
        }
    }

    fn heartbeat_due(&self) -> bool {
        self.heartbeat_at.is_some_and(|due| due <= Instant::now())
            && self.progress.whole.start().is_some()
    }

    fn add_heartbeat(&mut self, batch: &mut Batch) {
        if let Some((interval, heartbeat)) = &self.options.heartbeat
            && self.heartbeat_due()
        {
            batch.records.push(heartbeat.record(crate::now_ns() / 1_000_000));
            self.heartbeat_at = Some(Instant::now() + *interval);
        }
    }

    async fn message(&mut self, data: &XLogData) -> Result<()> {
        let lsn = data.start;
        let broken = |error: crate::wire::DecodeError| {
            Error::fatal(format!("decode a pgoutput message at {lsn}")).caused_by(error)
        };
        // The decoder borrows the bytes only, so the rest of `self` stays free.
        match self.decoder.decode(&data.data).map_err(broken)? {
            Message::Begin(begin) => {
                self.moment.ts_us = begin.commit_time_us;
                self.moment.tx_id = Some(begin.xid.into());
                self.moment.origin = None;
                // Only the first transaction can be one that was under way.
                self.done = self.done.filter(|(xid, _)| i64::from(begin.xid) == *xid);
            }
            Message::Commit(_) => {
                // pgoutput sends a commit with the position of its end.
                self.moment.lsn_commit = Some(lsn);
                self.moment.origin = None;
                self.done = None;
                self.counts.committed += 1;
                self.progress.committed(self.moment.position(lsn, "COMMIT"));
            }
            Message::Relation(relation) => {
                self.relations
                    .announce(&relation, self.session, &mut self.types, &self.options.capture)
                    .await?;
            }
            Message::Insert(insert) => {
                let Some(table) = self.captured(insert.relation, lsn)? else { return Ok(()) };
                let rows = &mut self.batch.rows;
                let after = table.push_tuple(insert.new, None, &mut self.scratch, rows)?;
                self.emit(&table, Op::Create, None, Some(after), lsn, "INSERT");
            }
            Message::Update(update) => {
                let Some(table) = self.captured(update.relation, lsn)? else { return Ok(()) };
                let rows = &mut self.batch.rows;
                let (old, full) = match update.old {
                    Some(old) => {
                        let full = old.kind == pgoutput::OldKind::Full;
                        let slot = table.push_tuple(old.tuple, None, &mut self.scratch, rows)?;
                        (Some(slot), full)
                    }
                    None => (None, false),
                };
                let source = old.filter(|_| full);
                let after = table.push_tuple(update.new, source, &mut self.scratch, rows)?;
                self.emit(&table, Op::Update, old, Some(after), lsn, "UPDATE");
            }
            Message::Delete(delete) => {
                let Some(table) = self.captured(delete.relation, lsn)? else { return Ok(()) };
                let rows = &mut self.batch.rows;
                let before = table.push_tuple(delete.old.tuple, None, &mut self.scratch, rows)?;
                self.emit(&table, Op::Delete, Some(before), None, lsn, "DELETE");
            }
            Message::Truncate(truncate) => {
                for relation in truncate.relations {
                    let Some(table) = self.captured(relation, lsn)? else { continue };
                    self.emit(&table, Op::Truncate, None, None, lsn, "TRUNCATE");
                }
            }
            Message::Origin(origin) => {
                self.moment.origin = Some((origin.name.into(), origin.commit_lsn));
            }
            // Types are looked up in the catalog; logical messages are not asked for.
            Message::Type(_) | Message::Message(_) => {}
            other => {
                return Err(Error::fatal(format!(
                    "decode a pgoutput message at {lsn}: {other:?} belongs to protocol version 2 and later, version 1 was asked for"
                )));
            }
        }
        Ok(())
    }

    /// The table of a change that is to be sent; `None` when it is filtered out or was done before.
    fn captured(&mut self, relation: u32, lsn: Lsn) -> Result<Option<Arc<Table>>> {
        let done = self.done.is_some_and(|(_, done)| lsn <= done);
        let table = self.relations.get(relation)?;
        self.counts.filtered += u64::from(table.is_none());
        Ok(table.filter(|_| !done).cloned())
    }

    fn emit(
        &mut self,
        table: &Arc<Table>,
        op: Op,
        before: Option<model::row::Slot>,
        after: Option<model::row::Slot>,
        lsn: Lsn,
        message_type: &'static str,
    ) {
        let source = self.writer.write(&mut self.batch.rows, &table.id, &self.moment, lsn, None);
        let ts_ns = crate::now_ns();
        let rows = Rows { op, before, old_key: before, after, source, ts_ns };
        self.counts.count(op);
        self.counts.behind_ms = Some(ts_ns / 1_000_000 - self.moment.ts_us / 1_000);
        self.options.emitter.emit(&mut self.batch, &table.schema, rows);
        self.progress.changed(lsn, self.moment.position(lsn, message_type));
    }
}

impl Moment {
    fn position(&self, lsn: Lsn, message_type: &'static str) -> Position {
        Position {
            ts_usec: Some(self.ts_us),
            tx_id: self.tx_id,
            lsn: Some(lsn),
            snapshot: None,
            lsn_proc: Some(lsn),
            lsn_commit: self.lsn_commit,
            message_type: Some(message_type),
        }
    }
}

/// How far the stream is done. Whoever goes on from `whole` misses nothing.
struct Progress {
    /// After the last change; more changes of its LSN may follow.
    last: Position,
    /// The newest position of which it is known that all its changes are here.
    whole: Position,
    /// Changes after `whole` were in the batch handed over last.
    ahead: bool,
}

impl Progress {
    fn new(position: Position) -> Self {
        Self { whole: position.clone(), last: position, ahead: false }
    }

    /// A change at `lsn` was taken, which makes `position`.
    fn changed(&mut self, lsn: Lsn, position: Position) {
        self.passed(lsn);
        self.last = position;
    }

    /// A transaction has ended.
    fn committed(&mut self, position: Position) {
        self.whole = position.clone();
        self.last = position;
    }

    /// A message at `lsn` has come: `true` when none of the changes before it is missing. Messages
    /// without a position of their own come at zero.
    fn passed(&mut self, lsn: Lsn) -> bool {
        let passed = lsn != Lsn::ZERO && self.last.lsn != Some(lsn);
        if passed && self.whole != self.last {
            self.whole = self.last.clone();
        }
        passed
    }

    /// All so far is in a batch: where that batch ends.
    fn hand_over(&mut self) -> Position {
        self.ahead = self.whole != self.last;
        self.whole.clone()
    }

    /// Whether changes were handed over whose position only now is known to be whole.
    fn held_back(&self) -> bool {
        self.ahead && self.whole == self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64, message_type: &'static str) -> Position {
        let moment = Moment { lsn_commit: Some(Lsn(5)), ..Moment::default() };
        moment.position(Lsn(lsn), message_type)
    }

    #[test]
    fn a_batch_that_ends_among_changes_of_one_lsn_does_not_cover_them() {
        let mut progress = Progress::new(at(5, "COMMIT"));
        progress.changed(Lsn(10), at(10, "INSERT"));
        progress.changed(Lsn(20), at(20, "INSERT"));
        progress.changed(Lsn(20), at(20, "INSERT"));
        // A pause: whether a third change of 20 comes is unknown.
        assert_eq!(progress.hand_over(), at(10, "INSERT"));
        assert!(!progress.held_back());
        progress.changed(Lsn(20), at(20, "INSERT"));
        assert_eq!(progress.hand_over(), at(10, "INSERT"));
        progress.committed(at(30, "COMMIT"));
        // Without another change: the end of the transaction must be stored all the same.
        assert!(progress.held_back());
        assert_eq!(progress.hand_over(), at(30, "COMMIT"));
        assert!(!progress.held_back());
    }

    #[test]
    fn a_batch_may_end_where_another_lsn_begins() {
        let mut progress = Progress::new(at(5, "COMMIT"));
        progress.changed(Lsn(10), at(10, "INSERT"));
        assert!(!progress.passed(Lsn(10)));
        assert!(!progress.passed(Lsn::ZERO));
        assert!(progress.passed(Lsn(11)));
        assert_eq!(progress.hand_over(), at(10, "INSERT"));
    }

    #[test]
    fn a_transaction_without_captured_changes_is_handed_over_with_the_next() {
        let mut progress = Progress::new(at(5, "COMMIT"));
        progress.committed(at(9, "COMMIT"));
        assert!(!progress.held_back());
        progress.changed(Lsn(10), at(10, "INSERT"));
        assert_eq!(progress.whole, at(9, "COMMIT"));
    }
}
