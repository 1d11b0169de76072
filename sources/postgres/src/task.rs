//! The task: snapshot when the mode says so, then the stream.

use std::{sync::Arc, time::Duration};

use ::snapshot::{Stored, checkpoint::Checkpoint};
use async_trait::async_trait;
use model::{
    connector::{OffsetReader, Outbox, SourceTask},
    error::{Error, Result},
};
use relational::table::TableId;

use crate::{
    catalog::{self, Server, Slot},
    figures::Phase,
    known, mismatch, notify,
    options::{Options, TableOrder},
    position::Position,
    readiness,
    retries::Retries,
    session::Session,
    snapshot::{self, Plan},
    stream,
};

/// How often a slot in use is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What offsets call the snapshot at the beginning.
const INITIAL: &str = "INITIAL";

pub(crate) struct Task {
    pub(crate) options: Arc<Options>,
    pub(crate) offsets: Arc<dyn OffsetReader>,
    /// Where this run has got to; `None` before the first snapshot or stream. What was handed over
    /// stays handed over, so a retry goes on from here and not from the store.
    pub(crate) position: Option<Position>,
    /// Where the snapshot of this run has got to, when it did not end.
    pub(crate) snapshot: Option<Position>,
    /// What becomes of errors.
    pub(crate) retries: Retries,
    /// Publication and tables were looked at.
    pub(crate) reviewed: bool,
}

mod added;
pub(crate) mod slots;
#[cfg(test)]
mod tests;

use added::Captured;
use slots::{check_slot, ensure_slot, free_slot, lost, usable};

#[async_trait]
impl SourceTask for Task {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        loop {
            let Err(error) = self.attempt(out).await else { return Ok(()) };
            self.options.progress.heard();
            let wait = self.retries.judge(error, self.options.figures.seen())?;
            if !delayed(wait, out).await {
                return Ok(());
            }
        }
    }
}

impl Task {
    async fn attempt(&mut self, out: &mut Outbox) -> Result<()> {
        let options = self.options.clone();
        let session =
            Session::connect(&options.database("Debezium General"), &options.initial_statements)
                .await?;
        let server = catalog::server(&session).await?;
        check(&options, &server)?;
        self.check_resume(&session).await?;
        if self.position.is_none() {
            options.lineage.renew();
            let mut snapshot = self.snapshot.take();
            let begun = self.begin(&session, &server, &mut snapshot, out).await;
            self.snapshot = snapshot;
            let Some(position) = begun? else { return Ok(()) };
            (self.position, self.snapshot) = (Some(position), None);
        }
        if !options.mode.streams() {
            tracing::info!(
                "snapshot.mode says not to stream: nothing more to do until the task is stopped"
            );
            out.stopped().await;
            return Ok(());
        }
        if !delayed(options.streaming_delay, out).await {
            return Ok(());
        }
        if !self.reviewed {
            let tables = captured_tables(&options, &session).await?;
            readiness::review(&options, &session, &server, &tables).await?;
            self.reviewed = true;
        }
        let position = self.position.get_or_insert_default();
        stream::run(&options, &session, position, out)
    }
}

/// False when the task was stopped meanwhile.
async fn delayed(delay: Duration, out: &Outbox) -> bool {
    if delay.is_zero() {
        return true;
    }
    tokio::select! {
        () = out.stopped() => false,
        () = tokio::time::sleep(delay) => true,
    }
}

/// What makes streaming impossible, said before anything is created.
fn check(options: &Options, server: &Server) -> Result<()> {
    if !options.mode.streams() {
        return Ok(());
    }
    if server.wal_level != "logical" {
        return Err(Error::fatal(format!(
            "Postgres server wal_level property must be 'logical' but is: '{}'; set wal_level=logical and restart the server",
            server.wal_level
        )));
    }
    if !server.replication {
        return Err(Error::fatal(
            "stream changes: the role of database.user has no replication right; run ALTER ROLE … REPLICATION (on managed servers grant the provider's replication role)",
        ));
    }
    if server.in_recovery && server.version < 160_000 {
        return Err(Error::fatal(
            "stream changes: the server is a standby, and logical decoding on a standby needs PostgreSQL 16; connect to the primary",
        ));
    }
    Ok(())
}

impl Task {
    /// Before a retry goes on where this run was: the slot may have been dropped, made anew or
    /// invalidated meanwhile, and the server says nothing of the gap that leaves.
    async fn check_resume(&mut self, session: &Session) -> Result<()> {
        let options = &self.options;
        let Some(position) = self.position.as_ref().filter(|_| options.mode.streams()) else {
            return Ok(());
        };
        let slot = catalog::slot(session, &options.slot).await?;
        if let Some(slot) = &slot {
            check_slot(options, slot)?;
        }
        // Invariant 1: the slot is not moved on to what was handed over, which may not be stored.
        let position = &mismatch::at_slot(options, position, slot.as_ref());
        match lost(options, position, slot.as_ref()) {
            None => {
                self.position = Some(position.clone());
                Ok(())
            }
            Some(error) => {
                // While this run hung, another worker may have had the task and gone on from what is
                // stored.
                let stored = self.offsets.offset(options.partition()).await?;
                let stored = stored.map(|offset| Position::read(&offset));
                if stored.is_some_and(|stored| {
                    stored.snapshot.is_none() && lost(options, &stored, slot.as_ref()).is_none()
                }) {
                    // As at a start: tables may be new there, or not read whole.
                    tracing::info!("somebody else has gone on from here");
                    self.position = None;
                    return Ok(());
                }
                if !options.mode.reads_after_loss() {
                    return Err(error);
                }
                tracing::warn!("{}; snapshot.mode says to read the tables again", error.trace());
                self.position = None;
                Ok(())
            }
        }
    }

    /// Finds out where to stream from, taking a snapshot when the mode says so. `None` when the task
    /// was stopped meanwhile.
    async fn begin(
        &self,
        session: &Session,
        server: &Server,
        snapshot: &mut Option<Position>,
        out: &mut Outbox,
    ) -> Result<Option<Position>> {
        let options = &self.options;
        let offset = self.offsets.offset(options.partition()).await?;
        if offset.as_ref().and_then(|offset| offset.get("snapshot")).and_then(|s| s.as_str())
            == Some("BLOCKING")
            && offset.as_ref().is_some_and(|offset| Position::read(offset).checkpoint.is_none())
        {
            tracing::warn!(
                "a blocking snapshot was cut off; if its signal does not come again by itself, which it does from the signal table, send it again"
            );
        }
        let stored = offset.map(|offset| Position::read(&offset));
        let stored = match stored {
            // What this run handed over is more than what was stored of it.
            Some(Position { snapshot: Some(_), .. }) | None => snapshot.take().or(stored),
            stored => stored,
        };
        // Without a stream the slot is somebody else's business.
        let slot = match options.mode.streams() {
            true => match free_slot(options, session, out).await? {
                Some(slot) => slot,
                None => return Ok(None),
            },
            false => None,
        };
        let stored = match stored {
            Some(position) if position.snapshot.is_none() && options.mode.streams() => {
                Some(mismatch::reconcile(options, session, &position, slot.as_ref()).await?)
            }
            stored => stored,
        };
        let state = match &stored {
            None => Stored::Nothing,
            Some(position) if position.snapshot.is_some() => Stored::Unfinished,
            Some(position) => match lost(options, position, slot.as_ref()) {
                Some(_) if options.mode.reads_after_loss() => Stored::Lost,
                Some(error) => return Err(error),
                None => Stored::Finished,
            },
        };
        let reads_data = options.mode.reads_data(state);
        let resumed = match &stored {
            Some(position) if reads_data && options.mode.streams() => {
                resumable(position, slot.as_ref())
            }
            _ => None,
        };
        let sent_whole =
            stored.as_ref().filter(|_| state == Stored::Finished).and_then(Position::start);
        match stored {
            Some(position) if !reads_data && state == Stored::Finished => {
                tracing::info!(
                    "resuming at the stored offset: {}",
                    serde_json::Value::Object(position.write())
                );
                // The publication may be gone, or lack a table, while the slot is there.
                let tables = captured_tables(options, session).await?;
                let captured = Captured::look(options, session, &tables).await?;
                catalog::ensure_publication(session, &options.publication(&tables)).await?;
                options.replica_identities.apply(session, &tables).await;
                if slot.is_none() {
                    // Only where the log's position is not to be checked.
                    ensure_slot(options, None, server, false).await?;
                }
                options.figures.captured(tables.len());
                options.figures.enter(Phase::Skipped);
                if !notify::send(options, out, "SKIPPED", Vec::new()).await {
                    return Ok(None);
                }
                return added::admit(options, session, server, captured, position, out).await;
            }
            _ => {}
        }
        if reads_data && !delayed(options.snapshot_delay, out).await {
            return Ok(None);
        }
        let tables = captured_tables(options, session).await?;
        options.figures.captured(tables.len());
        if tables.is_empty() {
            tracing::warn!(
                "no table of database {} matches the filters, so there is nothing to capture yet; check schema.include.list and table.include.list, whose names are schema.table",
                options.dbname
            );
        }
        let captured = Captured::look(options, session, &tables).await?;
        let known = captured.as_ref().map(Captured::known);
        // The connection that made the slot must live until the snapshot is imported.
        let (lsn, published, exported, _maker) = if options.mode.streams() {
            let publication = options.publication(&tables);
            let published = catalog::ensure_publication(session, &publication).await?;
            options.replica_identities.apply(session, &tables).await;
            let slot = usable(options, session, slot, reads_data).await?;
            let (lsn, exported, maker) = ensure_slot(options, slot, server, reads_data).await?;
            (lsn, published, exported, maker)
        } else {
            (catalog::log_position(session).await?, false, None, None)
        };
        if !reads_data {
            options.figures.enter(Phase::Skipped);
            let told = notify::send(options, out, "SKIPPED", Vec::new()).await;
            return Ok(told.then(|| Position {
                lsn: Some(lsn),
                tables: known,
                ..Position::default()
            }));
        }
        // A start before this one may have published them, and not have come so far as to store anything.
        let unsettled = published || (state == Stored::Nothing && options.publishes());
        if let Some(captured) = captured.filter(|_| unsettled && exported.is_none()) {
            // The slot was there before some of the tables were published.
            let oids = captured.oids();
            tokio::select! {
                settled = known::settle(session, &oids) => settled?,
                () = out.stopped() => return Ok(None),
            }
        }
        // Not before what was sent whole, and not behind it either (invariant 4): what was deleted since
        // then is in the stream alone.
        let lsn = sent_whole.filter(|_| options.mode.streams()).map_or(lsn, |sent| lsn.max(sent));
        let mut tables: Vec<TableId> =
            tables.into_iter().filter(|table| options.snapshots(table)).collect();
        let names: Arc<[String]> = tables.iter().map(ToString::to_string).collect();
        // As in Debezium: signals of the past are not read.
        tables.retain(|table| options.signals.table.as_ref() != Some(table));
        let tables = ordered(options, session, tables).await?;
        let mut sorted = names.to_vec();
        sorted.sort();
        let resolved = vec![("data_collections", sorted.join(","))];
        if !notify::send(options, out, "STARTED", Vec::new()).await
            || !notify::send(options, out, "DATA_COLLECTIONS_RESOLVED", resolved).await
        {
            return Ok(None);
        }
        let plan = Plan {
            // Ranges are of use where their rows can be told apart and all readers see the same.
            ranges: server.version >= 140_000 && (exported.is_some() || options.one_view()),
            tables,
            names,
            exported,
            lsn,
            kind: INITIAL,
            resumed: resumed.unwrap_or_default(),
            standby: server.in_recovery,
            known,
            blocking: None,
        };
        let taken = snapshot::run(options, plan, snapshot, out).await;
        let complete = matches!(taken, Ok(Some(_)));
        options.figures.enter(if complete { Phase::Completed } else { Phase::Aborted });
        let kind = if complete { "COMPLETED" } else { "ABORTED" };
        // A task that was stopped meanwhile is told so by the stream.
        let _told = notify::send(options, out, kind, Vec::new()).await;
        taken
    }
}

/// How far the snapshot got that `position` is of, if it can be gone on with: the stream has to begin
/// where it would have begun then, or before.
fn resumable(position: &Position, slot: Option<&Slot>) -> Option<Checkpoint> {
    let text =
        position.checkpoint.as_deref().filter(|_| position.snapshot.as_deref() == Some(INITIAL))?;
    let Some(checkpoint) = Checkpoint::parse(text) else {
        tracing::warn!(
            "what is stored of the snapshot that was cut off can't be read; all is read anew: {text}"
        );
        return None;
    };
    let begins = slot.and_then(|slot| slot.confirmed_flush.or(slot.restart_lsn));
    let lost = slot.is_none_or(Slot::dead);
    if lost || begins > position.lsn {
        tracing::warn!(
            "the snapshot that was cut off is taken anew from its beginning, because the replication slot does not have all changes since then any more"
        );
        return None;
    }
    Some(checkpoint)
}

async fn captured_tables(options: &Options, session: &Session) -> Result<Vec<TableId>> {
    let tables = catalog::tables(session, options.capture.builtin_ignored).await?;
    let captured = tables.into_iter().filter(|table| options.capture.accepts(table));
    // A table of signals that the filters leave out comes last.
    let (mut listed, signals): (Vec<_>, Vec<_>) =
        captured.partition(|table| options.capture.lists(table));
    options.guardrail.check(listed.len())?;
    // In the order of table.include.list, and by name where its expressions match several.
    listed.sort_by_cached_key(|table| options.capture.tables.rank(&table.to_string()));
    listed.extend(signals);
    Ok(listed)
}

/// The tables in the order in which they are read: by `snapshot.tables.order.by.row.count`, otherwise
/// as they come, which is the order of `table.include.list` ([`captured_tables`]).
async fn ordered(
    options: &Options,
    session: &Session,
    tables: Vec<TableId>,
) -> Result<Vec<TableId>> {
    let Some(order) = options.table_order else { return Ok(tables) };
    let mut sized = Vec::with_capacity(tables.len());
    for table in tables {
        sized.push((catalog::row_estimate(session, &table).await?, table));
    }
    sized.sort_by_key(|(rows, _)| match order {
        TableOrder::Ascending => *rows,
        TableOrder::Descending => -*rows,
    });
    Ok(sized.into_iter().map(|(_, table)| table).collect())
}
