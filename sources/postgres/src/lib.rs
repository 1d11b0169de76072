//! `io.debezium.connector.postgresql.PostgresConnector`: snapshot by COPY, then logical replication
//! with pgoutput.

mod catalog;
mod cells;
mod checks;
pub mod config;
mod connector;
mod defaults;
mod figures;
mod guardrail;
mod heartbeat;
mod incremental;
mod known;
mod lineage;
mod messages;
mod mismatch;
mod notify;
mod options;
#[cfg(test)]
mod oracle;
mod position;
mod progress;
mod readiness;
mod replica_identity;
mod retries;
mod session;
mod signals;
mod slot_watch;
mod snapshot;
mod source_info;
mod stream;
mod tables;
mod task;
mod types;
mod visibility;
pub mod wire;

pub use connector::connector;

/// What fuzz targets reach of the crate's inside.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Reads a value, in binary form and as text, as one of the types, in some modes.
    pub fn value(way: usize, field: &[u8]) {
        crate::cells::hostile::read(way, field);
    }
}

/// Nanoseconds since the epoch.
fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}
