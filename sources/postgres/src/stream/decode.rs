//! What each message of the plug-in becomes.

use std::sync::Arc;

use model::{
    change::Op,
    error::{Error, Result},
    row::{RowsBuilder, Slot},
};
use relational::{emitter::Rows, transaction};

use super::Reader;
use crate::{
    cells::Scratch,
    notify,
    position::{COMMIT, Position},
    source_info::Moment,
    tables::Table,
    visibility,
    wire::{
        Lsn, XLogData,
        pgoutput::{self, Message},
    },
};

impl Reader<'_> {
    pub(super) async fn message(&mut self, data: &XLogData) -> Result<()> {
        let lsn = data.start;
        let broken = |error: crate::wire::DecodeError| {
            Error::fatal(format!("decode a pgoutput message at {lsn}")).caused_by(error)
        };
        // The decoder borrows the bytes only, so the rest of `self` stays free.
        let message = self.decoder.decode(&data.data).map_err(broken)?;
        if self.blocks.take(&message, lsn, &data.data)? {
            return Ok(());
        }
        self.apply(message, lsn).await
    }

    /// Takes a message of a transaction that has committed, or of none.
    pub(super) async fn apply(&mut self, message: Message<'_>, lsn: Lsn) -> Result<()> {
        match message {
            Message::Begin(begin) => {
                self.moment.ts_us = begin.commit_time_us;
                self.moment.tx_id = Some(begin.xid.into());
                self.moment.origin = None;
                // Only the first transaction can be one that was under way.
                self.done = self.done.filter(|done| i64::from(begin.xid) == done.tx_id);
                self.in_transaction = true;
                // What is begun among its changes must not be older than those that came.
                self.incremental.shown(begin.xid);
                self.begin_transaction(begin.xid, lsn);
            }
            Message::Commit(_) => {
                // pgoutput sends a commit with the position of its end.
                self.moment.lsn_commit = Some(lsn);
                self.done = None;
                self.in_transaction = false;
                self.counts.committed += 1;
                self.end_transaction(lsn);
                self.incremental.reached(lsn);
            }
            Message::Relation(relation) => {
                self.catalog_seen().await?;
                self.relations
                    .announce(&relation, self.session, &mut self.types, &self.options.capture)
                    .await?;
                self.options.progress.heard();
            }
            Message::Insert(insert) => {
                let Some(mut table) = self.captured(insert.relation, lsn)? else { return Ok(()) };
                if self.relations.outgrown(&table, insert.new) {
                    table = self.grown(table, insert.new).await?;
                }
                let rows = &mut self.batch.rows;
                match table.push_tuple(insert.new, None, &mut self.scratch, rows) {
                    Ok(after) => {
                        self.emit(&table, Op::Create, None, Some(after), lsn, "INSERT");
                        self.note(&table, insert.new, false, after).await?;
                    }
                    Err(error) => self.options.failed_event(error)?,
                }
            }
            Message::Update(update) => {
                let Some(mut table) = self.captured(update.relation, lsn)? else { return Ok(()) };
                if self.relations.outgrown(&table, update.new) {
                    table = self.grown(table, update.new).await?;
                }
                match push_update(&table, &update, &mut self.scratch, &mut self.batch.rows) {
                    Ok((old, new)) => {
                        self.emit(&table, Op::Update, old, Some(new), lsn, "UPDATE");
                        let kind = update.old.map(|old| old.kind);
                        let whole = kind == Some(pgoutput::OldKind::Full);
                        self.note(&table, update.new, whole, new).await?;
                    }
                    Err(error) => self.options.failed_event(error)?,
                }
            }
            Message::Delete(delete) => {
                let Some(table) = self.captured(delete.relation, lsn)? else { return Ok(()) };
                let rows = &mut self.batch.rows;
                match table.push_tuple(delete.old.tuple, None, &mut self.scratch, rows) {
                    Ok(old) => self.emit(&table, Op::Delete, Some(old), None, lsn, "DELETE"),
                    Err(error) => self.options.failed_event(error)?,
                }
            }
            Message::Truncate(truncate) => {
                for relation in truncate.relations {
                    if let Some(table) = self.relations.get(relation)? {
                        self.incremental.observe_truncate(table);
                    }
                    // Debezium does not even look at these then, so they have no part in what is
                    // counted.
                    if self.options.emitter.skipped.contains(&Op::Truncate) {
                        continue;
                    }
                    let Some(table) = self.captured(relation, lsn)? else { continue };
                    self.emit(&table, Op::Truncate, None, None, lsn, "TRUNCATE");
                }
            }
            Message::Origin(origin) => {
                self.moment.origin = Some((origin.name.into(), origin.commit_lsn));
            }
            Message::Message(message) => self.logical(&message, lsn),
            // Types are looked up in the catalog.
            Message::Type(_) => {}
            other => {
                return Err(Error::fatal(format!(
                    "decode a pgoutput message at {lsn}: {other:?} is of a transaction prepared for a commit in two phases, as slot {} was created for them; create the slot without two_phase, then such a transaction comes with its COMMIT PREPARED",
                    self.options.slot
                )));
            }
        }
        Ok(())
    }

    /// Before the catalog is read for what this transaction has changed there.
    async fn catalog_seen(&self) -> Result<()> {
        // The session may have been cut in silence while the stream was not.
        self.options.progress.asked();
        // What the catalog lacks of this transaction would be missing from events for long.
        if let Some(Ok(xid)) = self.moment.tx_id.map(u32::try_from) {
            visibility::wait_visible(self.session, &[xid]).await?;
        }
        Ok(())
    }

    /// The table with its enums as they are now.
    async fn grown(&mut self, table: Arc<Table>, row: pgoutput::Tuple<'_>) -> Result<Arc<Table>> {
        self.catalog_seen().await?;
        let (session, capture) = (self.session, &self.options.capture);
        let grown = self.relations.grown(table, row, session, &mut self.types, capture).await?;
        self.options.progress.heard();
        Ok(grown)
    }

    fn begin_transaction(&mut self, xid: u32, lsn: Lsn) {
        let Some(boundaries) = &self.options.boundaries else { return };
        let (shown, ts_ms) = (format!("{xid}:{}", lsn.0), self.moment.ts_us.div_euclid(1_000));
        let transaction = &mut self.progress.transaction;
        if let Some(record) = transaction.begin(boundaries, xid.to_string(), &shown, ts_ms) {
            self.batch.push_made(notify::byte_len(&record), |_| record);
        }
    }

    fn end_transaction(&mut self, lsn: Lsn) {
        let position = self.moment.position(lsn, COMMIT);
        let ended = self.options.boundaries.as_ref().and_then(|boundaries| {
            let shown = format!("{}:{}", self.moment.tx_id.unwrap_or_default(), lsn.0);
            let ts_ms = self.moment.ts_us.div_euclid(1_000);
            self.progress.transaction.end(boundaries, &shown, ts_ms)
        });
        let counted = ended.map(|(record, counted)| {
            self.batch.push_made(notify::byte_len(&record), |_| record);
            counted
        });
        self.progress.committed(position, counted);
    }

    /// The table of a change that is to be sent; `None` when it is filtered out or was done before.
    fn captured(&mut self, relation: u32, lsn: Lsn) -> Result<Option<Arc<Table>>> {
        let table = self.relations.get(relation)?;
        self.counts.filtered += u64::from(table.is_none());
        let Some(table) = table else { return Ok(None) };
        let done = self.done.as_mut().is_some_and(|done| done.covers(lsn));
        Ok((!done).then(|| table.clone()))
    }

    /// The time, read once for a handful of events: they are decoded within microseconds.
    fn now_ns(&mut self) -> i64 {
        if self.batch.len().is_multiple_of(16) {
            self.now_ns = crate::now_ns();
        }
        self.now_ns
    }

    fn emit(
        &mut self,
        table: &Arc<Table>,
        op: Op,
        before: Option<Slot>,
        after: Option<Slot>,
        lsn: Lsn,
        message_type: &'static str,
    ) {
        let source = self.writer.write(&mut self.batch.rows, &table.id, &self.moment, lsn, None);
        let ts_ns = self.now_ns();
        let rows = Rows { op, before, old_key: before, after, source, ts_ns };
        self.counts.count(op);
        self.counts.behind_ms = Some(ts_ns / 1_000_000 - self.moment.ts_us / 1_000);
        self.incremental.observe(&self.options.signals, &self.batch.rows, table, &rows, lsn);
        // The position before this change is settled before the change is counted.
        self.progress.changed(lsn, self.moment.position(lsn, message_type));
        let (transaction, tx_id) = (&mut self.progress.transaction, self.moment.tx_id);
        let provided = self.options.boundaries.is_some();
        self.options.emitter.emit(&mut self.batch, &table.schema, rows, &mut |rows| {
            let place = provided.then(|| transaction.count(&table.text))?;
            Some(transaction::push_block(rows, write_id(tx_id, lsn), place))
        });
    }

    /// A logical decoding message. One that belongs to no transaction comes between transactions, at
    /// once, and is done for itself.
    fn logical(&mut self, message: &pgoutput::Logical<'_>, lsn: Lsn) {
        if message.transactional && self.done.is_some_and(|done| done.covers_all(lsn)) {
            return;
        }
        if !message.transactional {
            self.moment.tx_id = None;
            self.moment.lsn_commit = Some(lsn);
        }
        let position = self.moment.position(lsn, "MESSAGE");
        if message.transactional {
            self.progress.took(lsn, position);
        } else {
            self.progress.transaction.forget();
            self.progress.committed(position, None);
        }
        let Some(messages) = self.options.messages.wanted(message.prefix) else {
            self.counts.filtered += 1;
            return;
        };
        let rows = &mut self.batch.rows;
        let source = self.writer.write(rows, &messages.no_table, &self.moment, lsn, None);
        let provided = self.options.boundaries.is_some() && message.transactional;
        let transaction = provided.then(|| {
            let (total, _) = self.progress.transaction.count(&messages.collection);
            // Debezium counts each message as a collection of its own.
            transaction::push_block(rows, write_id(self.moment.tx_id, lsn), (total, 1))
        });
        messages.push(&mut self.batch, source, transaction, message);
    }
}

/// The old row, where the log has one, and the new one. Large values that the update did not touch are
/// taken from a whole old row.
fn push_update(
    table: &Table,
    update: &pgoutput::Update<'_>,
    scratch: &mut Scratch,
    rows: &mut RowsBuilder,
) -> Result<(Option<Slot>, Slot)> {
    let old = match update.old {
        Some(old) => Some((old.kind, table.push_tuple(old.tuple, None, scratch, rows)?)),
        None => None,
    };
    let whole = old.filter(|(kind, _)| *kind == pgoutput::OldKind::Full).map(|(_, slot)| slot);
    let new = table.push_tuple(update.new, whole, scratch, rows)?;
    Ok((old.map(|(_, slot)| slot), new))
}

/// `<transaction>:<position of this very event>`
fn write_id(tx_id: Option<i64>, lsn: Lsn) -> impl FnOnce(&mut String) {
    use std::fmt::Write;
    move |out| {
        write!(out, "{}:{}", tx_id.unwrap_or_default(), lsn.0).expect("a string takes all");
    }
}

impl Moment {
    pub(crate) fn position(&self, lsn: Lsn, message_type: &'static str) -> Position {
        Position {
            ts_usec: Some(self.ts_us),
            tx_id: self.tx_id,
            xmin: self.xmin,
            lsn: Some(lsn),
            lsn_proc: Some(lsn),
            lsn_commit: self.lsn_commit,
            message_type: Some(message_type),
            ..Position::default()
        }
    }
}
