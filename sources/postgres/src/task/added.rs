//! Tables that the filters hold now and did not hold before: their rows are read, as a first snapshot
//! would have done it.
//!
//! * A table with a key is read in chunks beside the stream, which goes on meanwhile
//!   ([`crate::stream`]). It needs no signal table: chunks are put into their place in the stream by
//!   positions of the log.
//! * A table without one has nothing that chunks could follow, and one with a statement in
//!   `snapshot.select.statement.overrides` is no table to cut. They are read whole, before the stream
//!   goes on, and are begun where they were cut off.
//!
//! A table counts as known once its rows are stored, so whatever happens before that is made up for at
//! the next start.

use std::{collections::HashMap, sync::Arc};

use ::snapshot::{Stored, checkpoint::Checkpoint, checkpoint::Ids};
use model::{
    connector::Outbox,
    error::{Kind, Result},
    record::Batch,
};
use relational::table::TableId;

use crate::{
    catalog::{self, Server},
    figures::Phase,
    known::{self, Facts, Known, Of, Pending},
    notify,
    options::Options,
    position::Position,
    readiness,
    session::Session,
    snapshot::{self, Blocking, Plan},
};

/// What is captured, looked at before the publication is changed.
pub(super) struct Captured {
    of: Of,
    /// In the order in which they are listed.
    tables: Vec<(TableId, Facts)>,
}

/// A table that is new, and how its rows are read.
struct Added {
    id: TableId,
    oid: u64,
    /// In chunks.
    keyed: bool,
}

impl Captured {
    pub(super) async fn look(
        options: &Options,
        session: &Session,
        tables: &[TableId],
    ) -> Result<Option<Self>> {
        if !options.added_tables || !options.mode.streams() {
            return Ok(None);
        }
        let (of, mut facts): (_, HashMap<_, _>) =
            known::look(session, &options.publication, &options.filters).await?;
        let of_table = |id: &TableId| Some((id.clone(), facts.remove(id)?));
        Ok(Some(Self { of, tables: tables.iter().filter_map(of_table).collect() }))
    }

    /// All of them are known: the snapshot reads them, or nothing is known of before.
    pub(super) fn known(&self) -> Arc<Known> {
        let oids = self.tables.iter().map(|(_, facts)| facts.oid);
        Arc::new(Known::new(self.of.clone(), oids.collect()))
    }

    /// The numbers of all.
    pub(super) fn oids(&self) -> Vec<u32> {
        self.tables.iter().filter_map(|(_, facts)| facts.oid.try_into().ok()).collect()
    }
}

/// Goes on from a stored position: `None` when the task was stopped meanwhile. What is to be read
/// beside the stream is [`Known::pending`] afterwards.
pub(super) async fn admit(
    options: &Arc<Options>,
    session: &Session,
    server: &Server,
    captured: Option<Captured>,
    mut position: Position,
    out: &mut Outbox,
) -> Result<Option<Position>> {
    let checkpoint = position.checkpoint.take();
    let stored = position.tables.take();
    let Some(captured) = captured else { return Ok(Some(position)) };
    let Some(stored) = stored.filter(|stored| stored.is_about(&captured.of)) else {
        // As after Debezium: what it streamed before is known.
        position.tables = Some(captured.known());
        return store(options, position, out).await;
    };
    let before = stored.text().map(str::to_owned);
    let (known, new): (Vec<_>, Vec<_>) = captured.tables.iter().partition(|(_, facts)| {
        stored.contains(facts.oid) || stored.streamed_whole(&captured.of, facts)
    });
    let mut tables: Ids = known.iter().map(|(_, facts)| facts.oid).collect();
    let wanted = options.mode.reads_data(Stored::Nothing);
    let (new, unread): (Vec<_>, Vec<_>) = new.into_iter().partition(|(id, _)| {
        wanted && options.snapshots(id) && options.signals.table.as_ref() != Some(id)
    });
    if let [(first, _), ..] = unread.as_slice() {
        tracing::info!(
            "{} tables are new in the filters and streamed from now on, {first} first; their rows are not read, as snapshot.mode or snapshot.include.collection.list says",
            unread.len()
        );
    }
    unread.iter().for_each(|(_, facts)| tables.insert(facts.oid));
    let added = sorted(options, session, &new).await?;
    let (chunked, whole): (Vec<_>, Vec<_>) = added.into_iter().partition(|table| table.keyed);
    let stored = Arc::unwrap_or_clone(stored);
    position.tables = Some(Arc::new(stored.with(captured.of, tables)));
    if !whole.is_empty() {
        let resumed = checkpoint.as_deref().and_then(Checkpoint::parse).unwrap_or_default();
        let read = read_whole(options, session, server, whole, resumed, position, out).await?;
        let Some(read) = read else { return Ok(None) };
        position = read;
    }
    let text = position.tables.as_deref().and_then(Known::text);
    let same = text == before.as_deref();
    if let Some(known) = &mut position.tables {
        let pending =
            |table: Added| Pending { name: table.id.to_string(), oid: table.oid, queued: false };
        Arc::make_mut(known).pending = chunked.into_iter().map(pending).collect();
    }
    if same { Ok(Some(position)) } else { store(options, position, out).await }
}

/// Stores a position at once. Otherwise the list would wait for a change, and a table that is added
/// before the next one would count as known.
async fn store(
    options: &Options,
    position: Position,
    out: &mut Outbox,
) -> Result<Option<Position>> {
    let Some(room) = out.room().await else { return Ok(None) };
    let stored = Some(options.position(&position));
    room.send(Batch { records: Vec::new().into(), position: stored, bytes: 0 });
    Ok(Some(position))
}

/// Those of the new tables whose changes come, with how they are to be read. Of the others the log says
/// what to do; they stay new.
async fn sorted(
    options: &Options,
    session: &Session,
    new: &[&(TableId, Facts)],
) -> Result<Vec<Added>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let publication = &options.publication;
    let ids: Vec<TableId> = new.iter().map(|(id, _)| id.clone()).collect();
    let published = readiness::published(session, publication, &ids).await?;
    let covered: HashMap<&TableId, bool> =
        published.iter().map(|found| (&found.table, found.covered)).collect();
    let mut added = Vec::with_capacity(new.len());
    for (id, facts) in new {
        if covered.get(id) != Some(&true) {
            tracing::warn!(
                "table {id} is new in the filters, and publication {publication} does not have it, so nothing of it is sent; run ALTER PUBLICATION {} ADD TABLE {} and restart the connector: then its rows are read and its changes come",
                catalog::quote(publication),
                catalog::qualified(id)
            );
            continue;
        }
        let Some(found) = catalog::table(session, id).await? else { continue };
        let columns = found.columns.iter().map(|column| &*column.name);
        let keyed = match options.capture.keys.columns_of(id, columns) {
            Some(key) => !key.is_empty(),
            None => !found.key.is_empty(),
        };
        let keyed = keyed && !options.selects.contains_key(&id.to_string());
        added.push(Added { id: id.clone(), oid: facts.oid, keyed });
    }
    let names: Vec<String> = added.iter().take(10).map(|table| table.id.to_string()).collect();
    if !names.is_empty() {
        tracing::info!(
            "{} tables are new in the filters, and their rows are read: {}{}",
            added.len(),
            names.join(", "),
            if added.len() > names.len() { ", …" } else { "" }
        );
    }
    Ok(added)
}

/// Reads tables whole. `None` when the task was stopped meanwhile.
async fn read_whole(
    options: &Arc<Options>,
    session: &Session,
    server: &Server,
    tables: Vec<Added>,
    resumed: Checkpoint,
    mut position: Position,
    out: &mut Outbox,
) -> Result<Option<Position>> {
    let oids: Vec<u32> = tables.iter().filter_map(|table| table.oid.try_into().ok()).collect();
    tokio::select! {
        settled = known::settle(session, &oids) => settled?,
        () = out.stopped() => return Ok(None),
    }
    let names: Vec<String> = tables.iter().map(|table| table.id.to_string()).collect();
    let resolved = vec![("data_collections", names.join(","))];
    if !notify::send(options, out, "STARTED", Vec::new()).await
        || !notify::send(options, out, "DATA_COLLECTIONS_RESOLVED", resolved).await
    {
        return Ok(None);
    }
    tracing::info!(
        "the stream goes on once the rows are read of tables that are new and have no key (or a statement of their own): {}",
        names.join(", ")
    );
    let plan = Plan {
        tables: tables.iter().map(|table| table.id.clone()).collect(),
        names: names.into(),
        exported: None,
        lsn: position.start().unwrap_or_default(),
        ranges: server.version >= 140_000 && options.one_view(),
        kind: "BLOCKING",
        resumed,
        standby: server.in_recovery,
        known: None,
        blocking: Some(Blocking {
            position: position.clone(),
            tx_id: position.tx_id,
            lsn_commit: position.lsn_commit,
            selects: options.selects.clone(),
            goes_on: true,
        }),
    };
    let taken = snapshot::run(options, plan, &mut None, out).await;
    let complete = matches!(taken, Ok(Some(_)));
    options.figures.enter(if complete { Phase::Completed } else { Phase::Aborted });
    let kind = if complete { "COMPLETED" } else { "ABORTED" };
    let _told = notify::send(options, out, kind, Vec::new()).await;
    match taken {
        Ok(None) => Ok(None),
        Ok(Some(_)) => {
            if let Some(known) = &mut position.tables {
                let known = Arc::make_mut(known);
                let pending = |table: &Added| Pending {
                    name: table.id.to_string(),
                    oid: table.oid,
                    queued: true,
                };
                known.pending = tables.iter().map(pending).collect();
                known.learn(|_| false);
            }
            Ok(Some(position))
        }
        // The other tables must not suffer for it; these stay new.
        Err(error) if error.kind() == Kind::Fatal => {
            tracing::error!(
                "the rows of tables that are new in the filters are not read: {}; mend it and restart the connector, which reads them then",
                error.trace()
            );
            Ok(Some(position))
        }
        Err(error) => Err(error),
    }
}
