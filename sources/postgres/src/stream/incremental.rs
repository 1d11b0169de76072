//! Incremental snapshots beside the stream, as the stream sees them.
//!
//! A chunk is read by a job on its own connection, while the stream goes on. Its rows wait until the
//! stream comes to the mark that was written behind the chunk; rows whose keys came in the stream since
//! the mark before it are left out then.
//!
//! With `read.only=true`, and for tables that are new in the filters, there are no marks, and need be
//! none ([`unmarked`]).
//!
//! # Restart
//!
//! Each batch's offset says which row was sent last, so a chunk that was cut off is read again from
//! there. A mark of an earlier run names another chunk and is passed over.

mod blocking;
mod chunks;
mod commands;
mod seen;
mod unmarked;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ::snapshot::incremental::Context;
use model::{
    change::Op,
    connector::{Object, Outbox},
    error::{Error, Result},
    row::RowsBuilder,
    topics::From,
};
use relational::emitter::Rows;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::Reader;
use seen::{Again, Fingerprints, Range, Seen};
use unmarked::Awaited;

use crate::{
    catalog,
    incremental::{Chunk, ChunkReader, Found},
    known::Known,
    options::Options,
    position::Position,
    signals::{Heard, Signals, file, topic},
    tables::Table,
    wire::{Lsn, Stream},
};

#[cfg(test)]
mod tests;

/// How long the mark behind a chunk may take before that is said.
const MARK_PATIENCE: Duration = Duration::from_secs(60);

/// How often the server hears from us meanwhile. It gives up after `wal_sender_timeout`, a minute
/// unless it is set.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// How long a task that stops waits for the last commit of signals.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);

/// What a job answers.
pub(super) enum Answer {
    Read(Result<Found>),
    Marked(Result<()>),
    /// Where the log ended.
    Settled(Result<Lsn>),
}

type Job = JoinHandle<(ChunkReader, Answer)>;

/// What came up beside the stream.
pub(super) enum News {
    /// By a channel of its own.
    Signal(Heard),
    Answer(Box<(ChunkReader, Answer)>),
    Lost(tokio::task::JoinError),
}

pub(super) struct Incremental {
    context: Context,
    /// Reads and writes on its connection, unless a job does.
    reader: Option<ChunkReader>,
    job: Option<Job>,
    /// The job writes the second mark.
    marking: bool,
    /// A signal has waited for the job in vain.
    outwaited: bool,
    /// Where jobs run: the stream's own thread sleeps between batches.
    runtime: Handle,
    /// The chunk that was read and waits for its mark.
    window: Option<Chunk>,
    /// The chunk whose time has come.
    due: Option<Chunk>,
    /// The stream is between the marks of the chunk at hand.
    open: bool,
    /// The table whose changes are noted, as text.
    watched: Option<Arc<str>>,
    /// Which rows of the chunk give way to what came in the stream since the first mark.
    seen: Seen,
    fingerprints: Fingerprints,
    /// The chunk that was not sent and whose first mark is to go, where marks are deleted.
    stale: Option<String>,
    /// The chunk that is to be read a second time.
    again: Option<Again>,
    /// The chunk at hand is read the second time.
    range: Option<Range>,
    /// A TRUNCATE came since, so no row of the chunk is left: those that were written behind it have
    /// come too.
    truncated: bool,
    /// Signals that are to be followed.
    signals: VecDeque<Heard>,
    /// What comes by the channels `file` and `kafka`; their readers end when this is dropped.
    channel: mpsc::Receiver<Heard>,
    /// Reads the topic of signals, and the offset of the signal that it may commit.
    topic: Option<(JoinHandle<()>, watch::Sender<Option<i64>>)>,
    /// The offset of the last signal of the topic that was followed. It is stored once all is done
    /// that the signal asked for at once.
    followed: Option<i64>,
    /// That offset is in no batch yet.
    unstored: bool,
    /// The offset of the last signal that is in a batch.
    handed_over: Option<i64>,
    /// Tables that stop signals named, until the chunk at hand is done.
    stops: Vec<String>,
    /// The next chunk is to be begun once the job that is under way has ended.
    wanted: bool,
    /// When the second mark of the chunk was written, or it was last said that it does not come.
    marked_at: Option<Instant>,
    /// When the first mark of the chunk was written.
    opened_at: String,
    /// Where the stream is.
    lsn: Lsn,
    /// The tables that are known, as they are stored.
    known: Option<Arc<Known>>,
    /// There are more of them than were stored.
    pub(super) learnt: bool,
    /// The chunk at hand is read without marks.
    unmarked: bool,
    /// The table whose chunks may be read without marks.
    settled: Option<String>,
    /// That is being seen to.
    settling: bool,
    /// The stream has sent all that was committed up to here.
    reached: Lsn,
    /// The transactions that it has shown last.
    shown: VecDeque<u32>,
    /// When it was last looked which of them other sessions see.
    weeded: Instant,
    /// What waits until it has come further.
    awaited: Option<Awaited>,
}

impl Incremental {
    /// Goes on where `position` says, and takes that out of it.
    ///
    /// # Errors
    ///
    /// When the settings of a channel are wrong.
    pub(super) fn resume(
        options: &Arc<Options>,
        position: &mut Position,
        runtime: Handle,
    ) -> Result<Self> {
        let stored = std::mem::take(&mut position.incremental);
        let context = Context::load(&stored.into_iter().collect());
        // Read when there is room, so no more are waiting than a few.
        let (sender, channel) = mpsc::channel(8);
        let signals = &options.signals;
        if let Some(path) = &signals.file {
            runtime.spawn(file::follow(path.clone(), signals.poll, sender.clone()));
        }
        let mut topic = None;
        if let Some(channel) = &signals.topic {
            let from = context.signal_offset.map_or(From::Committed, |at| From::Offset(at + 1));
            let reader = options.topics.reader(&channel.topic)?;
            let (followed, receiver) = watch::channel(None);
            let following =
                topic::follow(channel.clone(), reader, from, signals.poll, sender, receiver);
            topic = Some((runtime.spawn(following), followed));
        }
        Ok(Self {
            followed: context.signal_offset,
            unstored: false,
            handed_over: context.signal_offset,
            context,
            reader: Some(ChunkReader::new(options)),
            job: None,
            marking: false,
            outwaited: false,
            channel,
            topic,
            runtime,
            window: None,
            due: None,
            open: false,
            watched: None,
            seen: Seen::default(),
            fingerprints: Fingerprints::default(),
            stale: None,
            again: None,
            range: None,
            truncated: false,
            signals: VecDeque::new(),
            stops: Vec::new(),
            wanted: false,
            marked_at: None,
            opened_at: String::new(),
            lsn: position.lsn.unwrap_or(Lsn::ZERO),
            known: position.tables.take(),
            learnt: false,
            unmarked: false,
            settled: None,
            settling: false,
            reached: Lsn::ZERO,
            shown: VecDeque::new(),
            weeded: Instant::now(),
            awaited: None,
        })
    }

    /// Whether a position is to be handed over although there may be no records: a signal has been
    /// followed.
    pub(super) fn unstored(&self) -> bool {
        self.unstored || self.learnt
    }

    /// A batch with the present state is handed over.
    pub(super) fn handed_over(&mut self) {
        (self.unstored, self.learnt) = (false, false);
        self.handed_over = self.context.signal_offset;
    }

    /// An offset is stored: what it says of signals may be committed.
    pub(super) fn stored_offset(&self, offset: &Object) {
        if let Some((_, followed)) = &self.topic {
            let at = Context::signal_offset_of(offset);
            followed.send_if_modified(|known| {
                let newer = at > *known;
                *known = at.max(*known);
                newer
            });
        }
    }

    /// The task stops: as Debezium does it, what was followed is committed, if it was handed over.
    pub(super) async fn finish(&mut self) {
        let Some((following, followed)) = self.topic.take() else { return };
        if let Some(at) = self.handed_over {
            followed.send_replace(Some(at));
        }
        self.channel.close();
        if tokio::time::timeout(COMMIT_PATIENCE, following).await.is_err() {
            tracing::warn!(
                "the offset of the last signal was not committed in time; it is in the source offset"
            );
        }
    }

    /// With what is to be stored beside the stream's own position.
    pub(super) fn stored(&self, position: Position) -> Position {
        Position { incremental: self.context.store(), tables: self.known.clone(), ..position }
    }

    /// A change that is in the batch: it may be a signal, and rows of the chunk give way to it.
    pub(super) fn observe(
        &mut self,
        signals: &Signals,
        rows: &RowsBuilder,
        table: &Table,
        change: &Rows,
        lsn: Lsn,
    ) {
        self.lsn = lsn;
        if signals.table.is_some()
            && let Some(signal) =
                signals.of_change(rows, table, change.op, change.before, change.after)
        {
            // Marks are no signals of a user, so they count whatever channels are enabled.
            if signals.from_table || signal.is_mark() {
                self.signals.push_back(Heard { signal: Some(signal), offset: None });
            }
        }
        if !self.watches(table) {
            return;
        }
        let slots = match change.op {
            // A changed key is a delete and a create.
            Op::Create | Op::Update => [change.after, change.old_key],
            Op::Delete => [change.before, None],
            Op::Read | Op::Truncate => [None, None],
        };
        for slot in slots.into_iter().flatten() {
            self.note(rows, table, slot);
        }
    }

    /// The table is truncated, whether there is an event of that or not. Debezium goes on with the
    /// chunk, whose rows then stay where they are sent to.
    pub(super) fn observe_truncate(&mut self, table: &Table) {
        self.truncated |= self.watches(table);
    }

    /// Whether rows of the chunk at hand give way to changes of the table.
    fn watches(&self, table: &Table) -> bool {
        self.watched.as_deref() == Some(&*table.text) && (self.open || self.unmarked)
    }

    /// What comes up next beside the stream. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        let job = async {
            match &mut self.job {
                Some(job) => job.await,
                None => std::future::pending().await,
            }
        };
        let news = tokio::select! {
            ended = job => match ended {
                Ok(answer) => News::Answer(Box::new(answer)),
                Err(error) => News::Lost(error),
            },
            Some(heard) = self.channel.recv() => return News::Signal(heard),
        };
        self.job = None;
        news
    }
}

impl Incremental {
    /// What a stop signal asked for is done with the end of its chunk, and is not stored before.
    fn settle(&mut self) {
        if self.stops.is_empty() && self.followed != self.context.signal_offset {
            self.context.signal_offset = self.followed;
            self.unstored = true;
        }
    }
}

impl Drop for Incremental {
    fn drop(&mut self) {
        // Its connection ends with it.
        if let Some(job) = &self.job {
            job.abort();
        }
    }
}

impl Reader<'_> {
    /// Goes on with what the stored offset says was under way.
    pub(super) async fn begin_incremental(&mut self) -> Result<()> {
        self.check_signals().await?;
        let resumed = self.incremental.context.running();
        self.begin_added();
        if self.incremental.context.running() {
            tracing::info!(
                "an incremental snapshot {}: {} left",
                if resumed { "goes on where it was" } else { "begins" },
                self.incremental.context.names().join(", ")
            );
            self.options.figures.signals.show(&self.incremental.context);
            self.begin_chunk();
        }
        Ok(())
    }

    /// Takes what came up beside the stream.
    pub(super) fn heard(&mut self, news: News) -> Result<()> {
        match news {
            News::Signal(heard) => {
                self.incremental.signals.push_back(heard);
                Ok(())
            }
            News::Answer(answer) => self.answered(*answer),
            News::Lost(error) => {
                Err(Error::retriable("read a chunk of an incremental snapshot").caused_by(error))
            }
        }
    }

    /// Follows signals, and sends the chunk whose time has come.
    pub(super) async fn attend(
        &mut self,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        loop {
            if let Some(chunk) = self.incremental.due.take() {
                // The signals that are left came behind its mark.
                self.send_chunk(chunk, stream, sent, out).await?;
                self.begin_chunk();
            } else if let Some(heard) = self.incremental.signals.pop_front() {
                let between = heard
                    .signal
                    .as_ref()
                    .is_some_and(|signal| !signal.is_mark() && !signal.is_stop());
                if between && !self.chunk_is_read(stream, sent, out).await? {
                    self.incremental.signals.push_front(heard);
                    return Ok(());
                }
                if let Some(signal) = heard.signal {
                    self.follow(signal, stream, sent, out).await?;
                }
                self.incremental.followed = heard.offset.or(self.incremental.followed);
            } else if self.incremental.wanted && self.incremental.job.is_none() {
                self.begin_chunk();
            } else if !self.go_on_unmarked() {
                self.incremental.settle();
                self.ask_position(stream).await?;
                self.complain_of_waiting();
                return Ok(());
            }
        }
    }

    /// Says when the mark behind a chunk does not come: nothing else would. Whoever stops the snapshot
    /// then does not wait for it.
    fn complain_of_waiting(&mut self) {
        let incremental = &mut self.incremental;
        let (Some(chunk), Some(at)) = (&incremental.window, incremental.marked_at) else { return };
        if at.elapsed() < MARK_PATIENCE {
            return;
        }
        incremental.marked_at = Some(Instant::now());
        if incremental.context.is_stopping(&chunk.table.id.to_string()) {
            tracing::warn!(
                "the incremental snapshot of table {} is stopped without the mark behind its chunk, which has not come in the stream",
                chunk.table.id
            );
            incremental.window = None;
            self.begin_chunk();
            return;
        }
        let signals = self.options.signals.table.as_ref().map(ToString::to_string);
        tracing::warn!(
            "the incremental snapshot of table {} waits for the mark behind its chunk, which was written into {} and has not come in the stream: either the stream is far behind, or publication {} lacks that table; look at pg_publication_tables",
            chunk.table.id,
            signals.unwrap_or_default(),
            self.options.publication
        );
    }

    /// Says at the start what would keep signals from coming.
    async fn check_signals(&self) -> Result<()> {
        const PUBLISHED: &str = "SELECT count(*) FROM pg_publication_tables
            WHERE pubname = $1 AND schemaname = $2 AND tablename = $3";
        let Some(table) = &self.options.signals.table else { return Ok(()) };
        let columns = catalog::table(self.session, table).await?.map(|found| found.columns.len());
        if columns != Some(3) {
            let fact = match columns {
                None => "does not exist".to_owned(),
                Some(columns) => format!("has {columns} columns and needs just three"),
            };
            tracing::warn!(
                "signal.data.collection {table} {fact}, so no signal is followed; CREATE TABLE {} (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text)",
                catalog::qualified(table)
            );
            return Ok(());
        }
        let publication: &str = &self.options.publication;
        let action = format!("look for table {table} in publication {publication}");
        let row = self
            .session
            .query_one(&action, PUBLISHED, &[&publication, &&*table.namespace, &&*table.name])
            .await?;
        if row.get::<_, i64>(0) == 0 {
            tracing::warn!(
                "signal.data.collection {table} is not in publication {publication}, so no signal comes in the stream; ALTER PUBLICATION {} ADD TABLE {}",
                catalog::quote(publication),
                catalog::qualified(table)
            );
        }
        Ok(())
    }
}
