//! Streaming: logical replication with pgoutput into batches.
//!
//! # Progress
//!
//! Messages are decoded as they arrive into one [`BatchBuilder`]; a batch is handed over as soon as
//! nothing more has arrived, or it is full, but not sooner than [`BATCH_GAP`] after the one before. So
//! a lone commit goes out at once and a backlog in large batches.
//!
//! What of it may be stored, [`Progress`] knows.
//!
//! Transactions in progress are kept aside until they have committed, where the parameters of the
//! stream ask for them (`blocks.rs`).
//!
//! # Confirmation
//!
//! The server is told to forget only what is in a stored offset ([`Position::confirmable`]), and of
//! that only whole transactions; with `lsn.flush.mode=manual` nothing at all.
//!
//! # Restart
//!
//! The stream is asked for from the end of the last whole transaction; of the transaction that was
//! under way, the changes that were done are left out ([`Done`]).

mod activity;
mod blocks;
mod decode;
mod incremental;
mod open;
mod reselect;
mod spill;

pub(crate) use activity::interval as activity_interval;
pub(crate) use blocks::Limits;
pub(crate) use reselect::Settings as Reselected;

use std::{sync::Arc, time::Duration};

use model::{
    change::BatchBuilder,
    connector::Outbox,
    error::{Error, Result},
};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    catalog,
    cells::Scratch,
    figures::Counts,
    heartbeat::Action,
    options::{FlushLate, FlushMode, Options},
    position::{Done, Position},
    progress::{Progress, SEGMENT_BYTES},
    session::Session,
    slot_watch::SlotWatch,
    source_info::{Moment, Writer},
    tables::Relations,
    task::slots,
    types::Types,
    wire::{Event, Lsn, Reply, Stream, pgoutput},
};

use blocks::Blocks;
use open::{connect, drop_slot};
use reselect::Reselect;

/// How often the loop looks for a newly stored offset, which moves the slot on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Batches follow one another at this distance at least. After a pause a change goes out at once; in
/// a stream of single-row transactions, which the server sends one by one, each batch takes what came
/// in 2 ms. Without it every transaction was a batch, at 13 CPU-seconds a million; with 5 ms a change
/// took 11.4 ms at 5,000 commits a second (p50), with 2 ms 6.3.
const BATCH_GAP: Duration = Duration::from_millis(2);

/// The same behind a batch of [`BACKLOG_RECORDS`]: whoever is that far behind gains more from larger
/// batches than from sooner ones.
const BACKLOG_GAP: Duration = Duration::from_millis(10);

/// So many records in one gap are more than 40,000 a second.
const BACKLOG_RECORDS: usize = 80;

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
    let jobs = Handle::current();
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::retriable("start the streaming thread").caused_by(error))?;
        runtime.block_on(follow(options, session, position, out, jobs))
    })
}

async fn follow(
    options: &Arc<Options>,
    session: &Session,
    position: &mut Position,
    out: &mut Outbox,
    jobs: Handle,
) -> Result<()> {
    let start = position.start().unwrap_or(Lsn::ZERO);
    let (stream, server_version) = tokio::select! {
        () = out.stopped() => return Ok(()),
        stream = connect(options, start) => stream?,
    };
    tracing::info!(
        "streaming from {start} through slot {} and publication {}",
        options.slot,
        options.publication
    );
    // Now that the slot is this connection's, nobody else moves it on any more. A retry decides what
    // becomes of what is missing.
    let slot = catalog::slot(session, &options.slot).await?;
    if let Some(lost) = slots::lost(options, position, slot.as_ref()) {
        return Err(Error::retriable("go on behind what was sent").caused_by(lost));
    }
    let types = catalog::types(session).await?;
    let watch = SlotWatch::start(options, session).await?;
    let mut reader =
        Reader::new(options, session, types, position.clone(), server_version, watch, jobs)?;
    let connected = options.figures.connected();
    let result = reader.run(stream, position, out).await;
    drop(connected);
    options.figures.streamed(&mut reader.counts);
    options.progress.heard();
    // A server that is deep in a large transaction may not have ended its side in time.
    if (result.is_ok() || out.is_stopped()) && options.slot_dropped_on_stop {
        drop_slot(options).await?;
    }
    result
}

/// What the messages so far add up to.
struct Reader<'a> {
    options: &'a Arc<Options>,
    session: &'a Session,
    types: Types,
    relations: Relations,
    decoder: pgoutput::Decoder,
    reselect: Reselect,
    /// Transactions in progress, where `slot.stream.params` asks for them.
    blocks: Blocks,
    scratch: Scratch,
    batch: BatchBuilder,
    writer: Writer,
    moment: Moment,
    progress: Progress,
    /// Since the figures were last told.
    counts: Counts,
    now_ns: i64,
    /// What was done before the restart of the transaction that was under way.
    done: Option<Done>,
    /// Between Begin and Commit.
    in_transaction: bool,
    received: Lsn,
    confirmed: Lsn,
    heartbeat_at: Option<Instant>,
    action: Option<Action>,
    watch: SlotWatch,
    incremental: incremental::Incremental,
    activity: activity::Monitor,
}

impl<'a> Reader<'a> {
    fn new(
        options: &'a Arc<Options>,
        session: &'a Session,
        types: Types,
        mut position: Position,
        server_version: u32,
        watch: SlotWatch,
        jobs: Handle,
    ) -> Result<Self> {
        let (batch, writer) = options.fresh_batch();
        let incremental = incremental::Incremental::resume(options, &mut position, jobs)?;
        Ok(Self {
            options,
            session,
            types,
            relations: Relations::default(),
            decoder: pgoutput::Decoder::new(),
            reselect: Reselect::default(),
            blocks: Blocks::new(&options.in_progress, server_version),
            scratch: Scratch::default(),
            batch,
            writer,
            moment: Moment {
                // A message outside of transactions shows the time of what came before it.
                ts_us: position.ts_usec.unwrap_or_else(|| crate::now_ns() / 1_000),
                lsn_commit: position.lsn_commit,
                xmin: watch.xmin(),
                ..Moment::default()
            },
            done: position.done(),
            in_transaction: false,
            received: Lsn::ZERO,
            // Nothing is confirmed before this run's outbox says so.
            confirmed: Lsn::ZERO,
            // As Debezium does, one at once behind a snapshot.
            heartbeat_at: options.heartbeat.as_ref().map(|(interval, _)| {
                let snapshot = position.lsn_proc.is_none() && position.ts_usec.is_some();
                if snapshot { Instant::now() } else { Instant::now() + *interval }
            }),
            action: Action::new(options),
            watch,
            progress: Progress::new(
                position,
                match options.flush_mode {
                    // As the driver would do it with each sign of life of the server.
                    FlushMode::ConnectorAndDriver => 1,
                    FlushMode::Connector | FlushMode::Manual => SEGMENT_BYTES,
                },
            ),
            counts: Counts::default(),
            now_ns: 0,
            incremental,
            activity: activity::Monitor::new(options.activity_interval),
        })
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
        let mut gap = BATCH_GAP;
        let mut handed_over = Instant::now() - gap;
        self.begin_incremental().await?;
        loop {
            tokio::select! {
                () = out.stopped() => {
                    self.look(&mut stream, out).await?;
                    self.incremental.finish().await;
                    return Ok(stream.finish().await?);
                }
                event = stream.next() => self.take(event?, &mut stream).await?,
                news = self.incremental.news() => self.heard(news)?,
                _ = status.tick() => {
                    // A server that lives answers at once, however little there is to send.
                    self.options.progress.asked();
                    self.status(&mut stream, Reply::Yes).await?;
                }
                _ = look.tick() => {
                    self.options.figures.streamed(&mut self.counts);
                    self.options.figures.queue(out.capacity());
                    self.look(&mut stream, out).await?;
                    // Without it no further definition of a table can be read. And a server that shuts
                    // down ends it first, then waits for the stream's reader, who must not stay.
                    if let Some(ended) = self.session.ended() {
                        return Err(ended);
                    }
                    self.moment.xmin = self.watch.xmin();
                    let position = self.progress.position();
                    if let Some(finding) = self.activity.look(Instant::now(), &position) {
                        tracing::warn!("{finding}");
                    }
                    if let Some(action) = &mut self.action {
                        action.check().await?;
                    }
                }
            }
            self.attend(&mut stream, sent, out).await?;
            self.drain(&mut stream, sent, out).await?;
            let idle = !self.progress.held_back() && !self.incremental.unstored();
            if self.batch.is_empty() && idle && !self.heartbeat_due() {
                continue;
            }
            let since = handed_over.elapsed();
            if since < gap {
                std::thread::sleep(gap - since);
                self.drain(&mut stream, sent, out).await?;
            }
            gap = if self.batch.len() < BACKLOG_RECORDS { BATCH_GAP } else { BACKLOG_GAP };
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
        self.replay(stream, sent, out).await?;
        let mut kept = 0;
        while let Some(event) = stream.try_next()? {
            if self.blocks.receiving()
                && let Event::Data(data) = &event
            {
                // Blocks fill no batch, so they must not keep the loop from its other business.
                kept += data.data.len();
            }
            if self.options.full(&self.batch)
                && let Event::Data(data) = &event
                && self.progress.passed(data.start)
            {
                self.hand_over(stream, sent, out).await?;
                if out.is_stopped() {
                    // However much of a backlog is left.
                    break;
                }
            }
            self.take(event, stream).await?;
            self.replay(stream, sent, out).await?;
            self.attend(stream, sent, out).await?;
            if kept > self.options.batch_bytes_max {
                break;
            }
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
                // A transaction that is to be gone on with must keep its offset.
                if !self.in_transaction && self.done.is_none() {
                    self.progress.idle(end);
                }
                if !self.in_transaction {
                    self.incremental.reached(end);
                }
                if reply_requested { self.status(stream, Reply::No).await } else { Ok(()) }
            }
        }
    }

    /// Tells the server where we are, which moves the slot on. What was not sent in time goes out while
    /// the stream is read, or with the next update.
    async fn status(&mut self, stream: &mut Stream, reply: Reply) -> Result<()> {
        // Invariant 1: flush and apply are what a stored offset covers, whatever was received.
        let lsn = self.confirmed;
        let update = stream.status_update(self.received, lsn, lsn, reply);
        if self.options.flush_mode == FlushMode::Manual {
            return Ok(update.await?);
        }
        // Whichever update it is that can't be sent: those behind it wait for it.
        let limit = self.options.flush_limit;
        let Ok(sent) = tokio::time::timeout(limit, update).await else {
            let text = format!("LSN flush operation for '{lsn}' took longer than {limit:?}");
            return match self.options.flush_late {
                FlushLate::Fail => Err(Error::fatal(format!(
                    "{text}; look at the connection to the server, or set lsn.flush.timeout.ms or lsn.flush.timeout.action"
                ))),
                FlushLate::Warn => {
                    tracing::warn!("{text}, going on");
                    Ok(())
                }
                FlushLate::Ignore => {
                    tracing::debug!("{text}, going on");
                    Ok(())
                }
            };
        };
        Ok(sent?)
    }

    /// Tells the server at once when more is stored, and does what is to be done however long there is no
    /// room.
    async fn look(&mut self, stream: &mut Stream, out: &mut Outbox) -> Result<()> {
        self.incremental.weed_shown(self.session, Instant::now()).await?;
        let acked = out.acked().filter(|acked| self.options.lineage.has(acked));
        if let Some(acked) = &acked {
            self.incremental.stored_offset(&acked.offset);
        }
        if self.options.flush_mode == FlushMode::Manual {
            return Ok(());
        }
        let stored = acked.map(|acked| Position::read(&acked.offset));
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
        self.read_again().await?;
        let (fresh, writer) = self.options.fresh_batch();
        self.writer = writer;
        let mut collected = std::mem::replace(&mut self.batch, fresh);
        if self.heartbeat_due() {
            self.progress.beat();
        }
        self.add_heartbeat(&mut collected);
        let position = self.incremental.stored(self.progress.position());
        let batch = collected.seal(Some(self.options.position(&position)));
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
                    *sent = self.incremental.stored(self.progress.hand_over());
                    self.incremental.handed_over();
                    return Ok(());
                }
                _ = tick.tick() => {}
            }
            self.look(stream, out).await?;
            self.status(stream, Reply::No).await?;
        }
    }

    fn heartbeat_due(&self) -> bool {
        self.heartbeat_at.is_some_and(|due| due <= Instant::now()) && self.progress.begun()
    }

    fn add_heartbeat(&mut self, batch: &mut BatchBuilder) {
        if let Some((interval, heartbeat)) = &self.options.heartbeat
            && self.heartbeat_due()
        {
            let record = heartbeat.record(crate::now_ns() / 1_000_000);
            batch.push_made(size_of_val(&record), |_| record);
            self.heartbeat_at = Some(Instant::now() + *interval);
            if let Some(action) = &mut self.action {
                action.start();
            }
        }
    }
}
