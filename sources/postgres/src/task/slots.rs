//! The replication slot: found or made, and whether it still has what was stored.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use model::{
    connector::Outbox,
    error::{Error, Result},
};

use super::{LOOK_EVERY, delayed};
use crate::{
    catalog::{self, Server, Slot},
    options::Options,
    position::Position,
    session::Session,
    wire::{Lsn, Replication, SlotOptions, Snapshot},
};

/// The slot, if there is one, once nobody else streams from it: a snapshot taken before that would be
/// for nothing. After a crash the server itself may need a while to let go of it. The outer `None` is
/// for a task that was stopped meanwhile.
pub(super) async fn free_slot(
    options: &Options,
    session: &Session,
    out: &Outbox,
) -> Result<Option<Option<Slot>>> {
    let begun = Instant::now();
    let limit = options.slot_retry_delay.saturating_mul(options.slot_retries_max);
    let mut warned: Option<Instant> = None;
    loop {
        let Some(slot) = catalog::slot(session, &options.slot).await? else {
            return Ok(Some(None));
        };
        check_slot(options, &slot)?;
        let Some(pid) = slot.active_pid else { return Ok(Some(Some(slot))) };
        let text = format!(
            "replication slot \"{}\" is active: process {pid} of the server streams from it, for \
             another connector or an earlier run; stop the other reader or choose another slot.name",
            options.slot
        );
        if begun.elapsed() >= limit {
            return Err(Error::fatal(text));
        }
        if warned.is_none_or(|at| at.elapsed() >= options.slot_retry_delay) {
            tracing::warn!(
                "{text}; waiting for it (slot.max.retries × slot.retry.delay.ms are {limit:?})"
            );
            warned = Some(Instant::now());
        }
        if !delayed(LOOK_EVERY.min(options.slot_retry_delay), out).await {
            return Ok(None);
        }
    }
}

pub(super) fn check_slot(options: &Options, slot: &Slot) -> Result<()> {
    let name = &options.slot;
    match (&slot.plugin, &slot.database) {
        (Some(plugin), _) if plugin != "pgoutput" => Err(Error::fatal(format!(
            "use replication slot {name}: it was made for the plug-in {plugin}, not for pgoutput; choose another slot.name or drop the slot"
        ))),
        (None, _) => Err(Error::fatal(format!(
            "use replication slot {name}: it is a physical slot; choose another slot.name"
        ))),
        (_, Some(database)) if **database != *options.dbname => Err(Error::fatal(format!(
            "use replication slot {name}: it belongs to database {database}, not to {}; choose another slot.name",
            options.dbname
        ))),
        _ if slot.two_phase => Err(Error::fatal(format!(
            "use replication slot {name}: it was made with two_phase, so prepared transactions would come before they are committed; drop the slot and let the connector make it, or choose another slot.name"
        ))),
        // A failover may be under way.
        _ if slot.synced => Err(Error::retriable(format!(
            "use replication slot {name}: it is a copy that this standby keeps of the primary's slot, and can be read only after a promotion; connect to the primary, or promote the standby"
        ))),
        _ => Ok(()),
    }
}

/// Why the stored position can not be resumed.
pub(crate) fn lost(options: &Options, position: &Position, slot: Option<&Slot>) -> Option<Error> {
    let lost = missing(options, position, slot)?;
    if options.position_checked {
        return Some(lost);
    }
    tracing::warn!(
        "internal.log.position.check.enable is off, so the stream goes on: {}",
        lost.trace()
    );
    None
}

fn missing(options: &Options, position: &Position, slot: Option<&Slot>) -> Option<Error> {
    let name = &options.slot;
    let start = position.start()?;
    let advice = "to go on with a new snapshot set snapshot.mode=when_needed, or stop the connector and delete its offsets; to accept the gap reset the offsets by hand";
    let Some(slot) = slot else {
        return options.mode.streams().then(|| {
            Error::fatal(format!(
                "resume at {start}: replication slot {name} does not exist any more, so the changes since then are lost; {advice}"
            ))
        });
    };
    if slot.dead() {
        let reason = slot.invalidated.as_deref().unwrap_or("see max_slot_wal_keep_size");
        return Some(Error::fatal(format!(
            "The offset to start reading from has been removed from the database write-ahead log. (resume at {start}: slot {name} was invalidated: {reason}; {advice})"
        )));
    }
    if let Some(end) = slot.log_end
        && start > end
    {
        return Some(Error::fatal(format!(
            "resume at {start}: the server's log ends at {end} already, so this is not the server that the changes came from (it was restored from a backup, or a standby was promoted that had not received all of them), and what it has instead is unknown; {advice}"
        )));
    }
    match slot.confirmed_flush.max(slot.restart_lsn) {
        Some(confirmed) if confirmed > start => Some(Error::fatal(format!(
            "resume at {start}: replication slot {name} begins at {confirmed} (it was made anew, moved on or read by somebody else), so the changes in between are lost; {advice}, or set offset.mismatch.strategy=trust_slot if it is known that nothing is missing (a driver with lsn.flush.mode=connector_and_driver confirms more than is stored)"
        ))),
        _ => None,
    }
}

/// The slot, unless it is invalidated: such a one can never be read again. It is dropped where a
/// snapshot is about to make up for what is lost.
pub(super) async fn usable(
    options: &Options,
    session: &Session,
    slot: Option<Slot>,
    reads_data: bool,
) -> Result<Option<Slot>> {
    let Some(dead) = slot.as_ref().filter(|slot| slot.dead()) else { return Ok(slot) };
    let name = &options.slot;
    let reason = dead.invalidated.as_deref().unwrap_or("see max_slot_wal_keep_size");
    if !reads_data {
        return Err(Error::fatal(format!(
            "stream from replication slot {name}: it was invalidated ({reason}) and can never be read again; run SELECT pg_drop_replication_slot('{name}'), then the connector makes it anew and streams what changes from then on"
        )));
    }
    tracing::warn!(
        "replication slot {name} was invalidated ({reason}); it is dropped and made anew, and the snapshot reads what its log had"
    );
    let action = format!("drop the invalidated replication slot {name}");
    session.query(&action, "SELECT pg_drop_replication_slot($1)", &[name]).await?;
    Ok(None)
}

/// The slot, made when it is missing: where it begins, the exported snapshot, and the connection that
/// keeps the snapshot.
pub(super) async fn ensure_slot(
    options: &Options,
    slot: Option<Slot>,
    server: &Server,
    reads_data: bool,
) -> Result<(Lsn, Option<String>, Option<Replication>)> {
    if let Some(slot) = slot {
        let lsn = slot.confirmed_flush.or(slot.restart_lsn).unwrap_or(Lsn::ZERO);
        return Ok((lsn, None, None));
    }
    let failover = options.slot_failover && server.version >= 170_000 && !server.in_recovery;
    if options.slot_failover && !failover {
        tracing::warn!(
            "replication slot {} is made without failover, whatever slot.failover says: that takes PostgreSQL 17 and a primary server",
            options.slot
        );
    }
    let mut maker = Replication::connect(&options.database("Debezium Slot Info")).await?;
    let slot_options = SlotOptions {
        failover,
        temporary: false,
        snapshot: if reads_data { Snapshot::Export } else { Snapshot::Nothing },
    };
    let created = {
        let mut creation = pin!(maker.create_slot(&options.slot, &slot_options));
        let mut made = false;
        loop {
            tokio::select! {
                created = &mut creation => break created,
                () = tokio::time::sleep(SLOT_PATIENCE) => {
                    let made_before = std::mem::replace(&mut made, is_made(options).await);
                    if made_before && made {
                        return Err(Error::retriable(format!(
                            "create replication slot {}: it was made, and the server's answer has not come: the connection is dead",
                            options.slot
                        )));
                    }
                    if !made {
                        tell_wait(options, server).await;
                    }
                }
            }
        }
    };
    let created = match created {
        Ok(created) => created,
        Err(error) if error.code() == Some("53400") => {
            let taken = catalog::slots(&options.database("Debezium Slot Info")).await?;
            return Err(Error::fatal(format!(
                "create replication slot {}: all max_replication_slots of the server are in use ({taken}); drop one that nobody reads any more with pg_drop_replication_slot, or raise max_replication_slots and restart the server",
                options.slot
            ))
            .caused_by(error));
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!("created replication slot {} at {}", options.slot, created.consistent_point);
    Ok((created.consistent_point, created.snapshot_name, Some(maker)))
}

/// Whether the slot is there, and nobody is at it any more.
async fn is_made(options: &Options) -> bool {
    let look = async {
        let session = Session::connect(&options.database("Debezium Slot Info"), &[]).await?;
        catalog::slot(&session, &options.slot).await
    };
    match look.await {
        Ok(slot) => slot.is_some_and(|s| s.confirmed_flush.is_some() && s.active_pid.is_none()),
        Err(error) => {
            tracing::debug!("the new slot could not be looked at: {}", error.trace());
            false
        }
    }
}

/// How long the creation of a slot may take before the log says what it waits for.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);

/// A new slot begins where the server knows all running transactions. A primary waits for those that
/// run to end; a standby waits for its primary to log which run.
async fn tell_wait(options: &Options, server: &Server) {
    let slot = &options.slot;
    if server.in_recovery {
        tracing::warn!(
            "the creation of replication slot {slot} on this standby waits until the primary logs its running transactions, which an idle one does not; run SELECT pg_log_standby_snapshot() on the primary"
        );
        return;
    }
    match catalog::oldest_transactions(&options.database("Debezium Slot Info")).await {
        Ok(running) => tracing::warn!(
            "the creation of replication slot {slot} waits for all transactions that run to end: {running}"
        ),
        Err(error) => tracing::warn!(
            "the creation of replication slot {slot} waits for all transactions that run to end; which, is unknown: {}",
            error.trace()
        ),
    }
}
