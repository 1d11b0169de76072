//! One chunk after the other: read, waited for, sent.

use std::{pin::pin, time::Duration};

use chrono::{SecondsFormat, Utc};
use model::{
    change::Op,
    connector::Outbox,
    error::{Error, Result},
};
use relational::emitter::Rows;
use tokio::time::{Instant, interval, sleep};

use super::{ALIVE_EVERY, Answer, Seen};
use crate::{
    catalog,
    incremental::{Chunk, ChunkReader, Found, Mark, Request, Shape, key::quoted},
    position::Position,
    source_info::{INCREMENTAL, Moment},
    stream::Reader,
    wire::{Reply, Stream, copy},
};

use ::snapshot::{incremental::Key, notifications::Status};

/// How long a signal waits for the chunk that is being read, most of which take milliseconds.
const CHUNK_PATIENCE: Duration = Duration::from_secs(1);

impl Reader<'_> {
    /// Begins to read the next chunk, if there is one. While one is under way its own end does that,
    /// and while a job is, the job's: the second mark may have come in the stream before its writer
    /// heard that it is written.
    pub(super) fn begin_chunk(&mut self) {
        self.incremental.wanted = false;
        if self.incremental.busy() {
            return;
        }
        if self.incremental.job.is_some() {
            self.incremental.wanted = true;
            return;
        }
        self.process_stops();
        let context = &mut self.incremental.context;
        if !context.running() || context.paused {
            return;
        }
        context.begin_chunk(uuid::Uuid::new_v4().to_string());
        self.incremental.open = false;
        self.incremental.marked_at = None;
        self.read_chunk(true);
    }

    /// Begins a chunk after one that is not to be sent. Its first mark has no second then.
    fn begin_again(&mut self) {
        self.incremental.stale = self.incremental.context.chunk().map(str::to_owned);
        self.begin_chunk();
    }

    /// Waits for the chunk that is being read: Debezium, which reads chunks in its stream, follows
    /// signals between two of them, and what it tells is in that order. But not for long, as the stream
    /// stands still meanwhile, and once only for each: who locks the table, or has written to one that is
    /// new and does not commit, may take for ever, and no change of any table would come. Before a table
    /// is begun nothing is told of it that could be out of order. False when the task is stopped
    /// meanwhile.
    pub(super) async fn chunk_is_read(
        &mut self,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<bool> {
        let mut alive = interval(ALIVE_EVERY);
        let mut late = pin!(sleep(CHUNK_PATIENCE));
        while !self.incremental.marking
            && !self.incremental.settling
            && !self.incremental.outwaited
            && let Some(mut job) = self.incremental.job.take()
        {
            let ended = tokio::select! {
                ended = &mut job => ended,
                () = out.stopped() => {
                    self.incremental.job = Some(job);
                    return Ok(false);
                }
                () = &mut late => {
                    self.incremental.job = Some(job);
                    self.incremental.outwaited = true;
                    break;
                }
                _ = alive.tick() => {
                    self.incremental.job = Some(job);
                    self.status(stream, Reply::No).await?;
                    self.options.progress.heard();
                    continue;
                }
            };
            let ended = ended.map_err(|error| {
                Error::retriable("read a chunk of an incremental snapshot").caused_by(error)
            })?;
            self.answered(ended)?;
            // Many tables without rows have many notifications. The signal at hand is not covered: what
            // follows its row has not come yet.
            if self.options.full(&self.batch) {
                self.hand_over(stream, sent, out).await?;
            }
        }
        Ok(true)
    }

    /// `marked` when a mark is to be written before.
    pub(super) fn read_chunk(&mut self, marked: bool) {
        let read_only = self.options.signals.read_only;
        let Some(current) = self.incremental.context.current() else { return };
        self.incremental.unmarked = self.incremental.goes_unmarked(read_only, current);
        if self.incremental.unmarked && self.settle() {
            return;
        }
        let mark = if marked { self.opening_mark() } else { None };
        let incremental = &mut self.incremental;
        let Some(collection) = incremental.context.current().cloned() else { return };
        let Some(mut reader) = incremental.reader.take() else { return };
        let end = incremental.begin_seen();
        incremental.truncated = false;
        incremental.watched = Some(collection.id.as_str().into());
        let request = Request {
            collection,
            after: incremental.context.after().cloned(),
            end,
            maximum: incremental.context.maximum().cloned(),
            total_rows: incremental.context.total_rows(),
            unmarked: incremental.unmarked,
            shown: if incremental.unmarked {
                incremental.shown.iter().copied().collect()
            } else {
                Vec::new()
            },
            mark,
        };
        incremental.job = Some(incremental.runtime.spawn(async move {
            let found = reader.read(&request).await;
            (reader, Answer::Read(found))
        }));
    }

    /// A job has ended.
    pub(super) fn answered(&mut self, answer: (ChunkReader, Answer)) -> Result<()> {
        let taken = self.take_answer(answer);
        self.options.figures.signals.show(&self.incremental.context);
        taken
    }

    fn take_answer(&mut self, (reader, answer): (ChunkReader, Answer)) -> Result<()> {
        self.incremental.reader = Some(reader);
        self.incremental.marking = false;
        self.incremental.outwaited = false;
        let found = match answer {
            Answer::Marked(Ok(())) => {
                self.incremental.marked_at = Some(Instant::now());
                return Ok(());
            }
            Answer::Marked(Err(error)) => return self.unmarked(&error),
            Answer::Settled(lsn) => {
                self.incremental.is_settled(lsn?);
                return Ok(());
            }
            Answer::Read(found) => found?,
        };
        match found {
            Found::Rows(chunk) => {
                let context = &mut self.incremental.context;
                if context.maximum().is_none() {
                    tracing::info!(
                        "incremental snapshot of table {} begins: {} rows",
                        chunk.table.id,
                        chunk.total_rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string())
                    );
                    context.begun(chunk.maximum.clone(), chunk.total_rows);
                }
                if self.incremental.overrun(&chunk) {
                    self.begin_again();
                    return Ok(());
                }
                self.incremental.context.read(chunk.rows, chunk.end.clone());
                self.notify_progress();
                if self.incremental.unmarked {
                    self.incremental.await_chunk(chunk);
                    return Ok(());
                }
                self.incremental.window = Some(chunk);
                self.close_window();
                return Ok(());
            }
            Found::Empty => {
                if let Some(current) = self.incremental.context.current() {
                    tracing::info!(
                        "incremental snapshot of table {}: there are no rows to read",
                        current.id
                    );
                }
                self.scanned(Status::Empty);
            }
            Found::Finished => {
                // Only of what was read a second time: all its rows are gone.
                if let Some(range) = self.incremental.range.take() {
                    self.incremental.context.read(0, range.end);
                    self.begin_again();
                    return Ok(());
                }
                if let Some(current) = self.incremental.context.current() {
                    tracing::info!(
                        "incremental snapshot of table {} is finished: {} rows in this run",
                        current.id,
                        self.incremental.context.rows_scanned
                    );
                }
                self.scanned(Status::Succeeded);
            }
            Found::Skipped(status, reason) => {
                if let Some(current) = self.incremental.context.current() {
                    tracing::warn!(
                        "incremental snapshot skips table {} ({}): {reason}",
                        current.id,
                        status.name()
                    );
                }
                self.scanned(status);
                // What failed may have taken long.
                self.process_stops();
            }
        }
        self.incremental.watched = None;
        if self.incremental.context.running() {
            // The mark before the chunk stands, if there is one.
            self.read_chunk(self.incremental.unmarked);
            return Ok(());
        }
        self.close_window();
        Ok(())
    }

    fn opening_mark(&mut self) -> Option<Mark> {
        let signals = &self.options.signals;
        let table = signals.table.as_ref().filter(|_| !self.incremental.unmarked)?;
        self.incremental.opened_at = now();
        let chunk = self.incremental.context.chunk()?;
        let name = catalog::qualified(table);
        let mut statement = format!(
            "INSERT INTO {name} VALUES ({}, 'snapshot-window-open', {})",
            quoted(&format!("{chunk}-open")),
            quoted(&self.metadata(None)),
        );
        if let Some(stale) = self.incremental.stale.take().filter(|_| signals.closed_by_delete) {
            let stale = quoted(&format!("{stale}-open"));
            statement = format!("DELETE FROM {name} WHERE id = {stale}; {statement}");
        }
        let action = format!("write the mark of a chunk into the signal table {table}");
        Some(Mark { statement, action })
    }

    /// Writes the second mark.
    fn close_window(&mut self) {
        let signals = &self.options.signals;
        let Some(table) = signals.table.as_ref().filter(|_| !self.incremental.unmarked) else {
            return;
        };
        let Some(chunk) = self.incremental.context.chunk() else { return };
        let name = catalog::qualified(table);
        let statement = match signals.closed_by_delete {
            true => format!("DELETE FROM {name} WHERE id = {}", quoted(&format!("{chunk}-open"))),
            false => format!(
                "INSERT INTO {name} VALUES ({}, 'snapshot-window-close', {})",
                quoted(&format!("{chunk}-close")),
                quoted(&self.metadata(Some(&now()))),
            ),
        };
        let action = format!("write the mark of a chunk into the signal table {table}");
        let mark = Mark { statement, action };
        let Some(mut reader) = self.incremental.reader.take() else { return };
        self.incremental.marking = true;
        self.incremental.job = Some(self.incremental.runtime.spawn(async move {
            let marked = reader.mark(&mark).await;
            (reader, Answer::Marked(marked))
        }));
    }

    /// What a mark has as data, in Debezium's spacing.
    fn metadata(&self, closed_at: Option<&str>) -> String {
        let current = self.incremental.context.current();
        let fields = [
            ("openWindowTimestamp", Some(self.incremental.opened_at.as_str())),
            ("closeWindowTimestamp", closed_at),
            ("correlationId", current.and_then(|current| current.correlation_id.as_deref())),
            ("dataCollectionId", current.map(|current| current.id.as_str())),
        ];
        let field = |(name, text): (&str, Option<&str>)| {
            Some(format!("\"{name}\": {}", serde_json::Value::from(text?)))
        };
        format!("{{{}}}", fields.into_iter().filter_map(field).collect::<Vec<_>>().join(", "))
    }

    /// The second mark could not be written: without it the chunk would wait for ever, so the table is
    /// given up, and the next is tried.
    fn unmarked(&mut self, error: &Error) -> Result<()> {
        let gone = self.incremental.reader.as_ref().is_none_or(ChunkReader::disconnected);
        if gone {
            return Err(Error::retriable("write the mark of a chunk").caused_by(error.trace()));
        }
        // Without a window there is nothing that waits for it, or it has come.
        if self.incremental.window.take().is_none() {
            return Ok(());
        }
        if let Some(current) = self.incremental.context.current() {
            tracing::warn!(
                "incremental snapshot gives up table {}: {}; give the role INSERT (or DELETE, with watermarking strategy INSERT_DELETE) on the signal table, and send the signal again",
                current.id,
                model::error::chain(error)
            );
            self.scanned(Status::SqlException);
        }
        // The next table fails in the same way when the reason is still there.
        self.incremental.wanted = self.incremental.context.running();
        Ok(())
    }

    /// Sends the rows of a chunk that the stream has not shown meanwhile.
    pub(super) async fn send_chunk(
        &mut self,
        chunk: Chunk,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        let table = chunk.table.clone();
        let broken = |error: crate::wire::DecodeError| {
            Error::fatal(format!("decode a chunk of table {}", chunk.table.id)).caused_by(error)
        };
        let mut decoder = copy::Decoder::new();
        decoder.push(chunk.copied.clone());
        let mut left_out = 0u64;
        let mut groups = Groups::default();
        while !self.incremental.truncated
            && let Some(row) = decoder.next_row().map_err(broken)?
        {
            groups.take(&chunk.shape, row)?;
            let rows = &mut self.batch.rows;
            let slot = match table.push_copied(row.fields(), &mut self.scratch, rows) {
                Ok(slot) => slot,
                Err(error) => {
                    self.options.failed_event(error)?;
                    continue;
                }
            };
            if self.incremental.outdates(&self.batch.rows, &table, slot) {
                left_out += 1;
                continue;
            }
            let ts_ns = crate::now_ns();
            let moment = Moment {
                ts_us: ts_ns / 1_000,
                tx_id: None,
                lsn_commit: self.moment.lsn_commit,
                origin: None,
                xmin: None,
            };
            let lsn = self.incremental.lsn;
            let source =
                self.writer.write(&mut self.batch.rows, &table.id, &moment, lsn, Some(INCREMENTAL));
            let read = Rows {
                op: Op::Read,
                before: None,
                old_key: None,
                after: Some(slot),
                source,
                ts_ns,
            };
            // These rows belong to no transaction.
            self.options.emitter.emit(&mut self.batch, &table.schema, read, &mut |_| None);
            if self.options.full(&self.batch) {
                if let Some(key) = groups.complete(&chunk.shape, row)? {
                    self.incremental.context.sent(key);
                }
                self.hand_over(stream, sent, out).await?;
            }
        }
        self.incremental.context.sent(chunk.end.clone());
        self.options.figures.signals.sent(chunk.rows);
        self.options.figures.signals.show(&self.incremental.context);
        self.incremental.seen = Seen::default();
        self.incremental.watched = None;
        tracing::debug!(
            "a chunk of table {} is sent: {} rows, {left_out} left out, as the stream had them",
            table.id,
            chunk.rows
        );
        Ok(())
    }
}

/// Up to which key the rows of a chunk are all sent. A restart reads on behind that key, so a row says
/// nothing while others with its key may follow.
#[derive(Default)]
struct Groups {
    /// What the rows at hand have in common, and their key.
    group: Vec<u8>,
    key: Option<Key>,
    /// The key before.
    complete: Option<Key>,
}

impl Groups {
    fn take(&mut self, shape: &Shape, row: copy::Row<'_>) -> Result<()> {
        let Some(group) = shape.group(row) else { return Ok(()) };
        if self.key.is_none() || group != self.group {
            self.group.clear();
            self.group.extend_from_slice(group);
            self.complete = self.key.replace(shape.key_of(row)?);
        }
        Ok(())
    }

    /// The key up to which all is sent with this row; `None` when that is no more than at the beginning
    /// of the chunk.
    fn complete(&self, shape: &Shape, row: copy::Row<'_>) -> Result<Option<Key>> {
        match shape.group(row) {
            Some(_) => Ok(self.complete.clone()),
            None => shape.key_of(row).map(Some),
        }
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
