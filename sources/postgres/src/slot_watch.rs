//! An eye on the slot while it is streamed from: its figures, a warning before the server lets go of
//! the log that it needs, and `xmin.fetch.interval.ms`.
//!
//! It looks over a connection of its own, once every `status.update.interval.ms`, beside the stream,
//! which never waits for it. What can't be read is shown as it was, and asked for again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use model::error::Result;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{figures::SlotState, options::Options, session::Session};

/// Ends when it is dropped.
pub(crate) struct SlotWatch {
    task: AbortHandle,
    /// The slot's `catalog_xmin`; [`NONE`] when it is not asked for or there is none.
    xmin: Arc<AtomicI64>,
}

const NONE: i64 = -1;

impl SlotWatch {
    /// Looks for the first time, over `session`, and goes on by itself. Must be called within a
    /// runtime.
    pub(crate) async fn start(options: &Arc<Options>, session: &Session) -> Result<Self> {
        let xmin = Arc::new(AtomicI64::new(NONE));
        if options.xmin_interval.is_some() {
            let state = look(options, session).await?;
            xmin.store(state.catalog_xmin.unwrap_or(NONE), Relaxed);
        }
        let watch = watch(options.clone(), xmin.clone());
        Ok(Self { task: tokio::spawn(watch).abort_handle(), xmin })
    }

    /// What events show as `xmin`.
    pub(crate) fn xmin(&self) -> Option<i64> {
        Some(self.xmin.load(Relaxed)).filter(|xmin| *xmin != NONE)
    }
}

impl Drop for SlotWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(options: Arc<Options>, xmin: Arc<AtomicI64>) {
    let every = options.xmin_interval.map_or(options.status_interval, |interval| {
        interval.min(options.status_interval).max(Duration::from_millis(10))
    });
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session = None;
    let mut told = None;
    loop {
        tick.tick().await;
        match look_over(&options, &mut session).await {
            Ok(state) => {
                if told != state.wal_status {
                    tell(&options.slot, &state);
                    told.clone_from(&state.wal_status);
                }
                if options.xmin_interval.is_some() {
                    xmin.store(state.catalog_xmin.unwrap_or(NONE), Relaxed);
                }
                options.figures.slot.set(state);
            }
            Err(error) => {
                session = None;
                tracing::debug!("the slot could not be looked at: {}", error.trace());
            }
        }
    }
}

async fn look_over(options: &Options, session: &mut Option<Session>) -> Result<SlotState> {
    let session = match session {
        Some(session) => session,
        None => {
            let settings = options.database("Debezium Slot Info");
            session.insert(Session::connect(&settings, &options.initial_statements).await?)
        }
    };
    look(options, session).await
}

async fn look(options: &Options, session: &Session) -> Result<SlotState> {
    const QUERY: &str = "
        SELECT wal_status, pg_wal_lsn_diff(log.\"end\", restart_lsn)::int8,
               pg_wal_lsn_diff(log.\"end\", confirmed_flush_lsn)::int8, safe_wal_size,
               catalog_xmin::text::int8
          FROM pg_replication_slots,
               (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                            ELSE pg_current_wal_lsn() END AS \"end\") log
         WHERE slot_name = $1";
    let slot = &options.slot;
    let action = format!("look at replication slot {slot}");
    let Some(row) = session.query_opt(&action, QUERY, &[slot]).await? else {
        return Ok(SlotState::default());
    };
    Ok(SlotState {
        wal_status: row.get(0),
        retained: row.get(1),
        lag: row.get(2),
        safe: row.get(3),
        catalog_xmin: row.get(4),
    })
}

fn tell(slot: &str, state: &SlotState) {
    if let Some(warning) = warning(slot, state) {
        tracing::warn!("{warning}");
    }
}

/// What is wrong and what to do, for a status in which something is.
fn warning(slot: &str, state: &SlotState) -> Option<String> {
    let mib = |bytes: Option<i64>| bytes.unwrap_or_default() / (1 << 20);
    let retained = mib(state.retained);
    Some(match state.wal_status.as_deref()? {
        "extended" => format!(
            "replication slot {slot} holds {retained} MiB of the log back, more than max_wal_size (wal_status extended): the stream is behind, or what it reads is not stored; see whether the connector is paused or Kafka slow, and how much room the server's disk has"
        ),
        "unreserved" => format!(
            "replication slot {slot} holds {retained} MiB of the log back, more than max_slot_wal_keep_size (wal_status unreserved): the next checkpoint may remove what it needs, and changes would be lost; raise max_slot_wal_keep_size now (SELECT pg_reload_conf() makes it known), and see why the stream is behind"
        ),
        "lost" => format!(
            "replication slot {slot} has lost the log that it needs (wal_status lost): it can't be streamed from again; see max_slot_wal_keep_size"
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_with_a_danger_is_told() {
        let state = |status: &str| SlotState {
            wal_status: Some(status.into()),
            retained: Some(300 << 20),
            ..SlotState::default()
        };
        assert_eq!(warning("s", &state("reserved")), None);
        assert_eq!(warning("s", &SlotState::default()), None);
        let text = warning("s", &state("extended")).unwrap();
        assert!(text.contains("slot s holds 300 MiB") && text.contains("max_wal_size"), "{text}");
        let text = warning("s", &state("unreserved")).unwrap();
        assert!(text.contains("max_slot_wal_keep_size"), "{text}");
        assert!(warning("s", &state("lost")).is_some());
    }
}
