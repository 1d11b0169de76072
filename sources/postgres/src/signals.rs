//! Signals and incremental snapshots as the configuration has them, and the signals that come as rows
//! of a table.

pub(crate) mod file;
pub(crate) mod topic;

use std::{path::PathBuf, time::Duration};

use ::snapshot::signals::Signal;
use model::{
    change::Op,
    config::Config,
    row::{RowsBuilder, Slot},
    value::ValueRef,
};
use relational::{config as common, table::TableId};

use crate::tables::Table;

/// What came by a channel of its own.
#[derive(Debug)]
pub(crate) struct Heard {
    /// `None` for what is no signal for us.
    pub(crate) signal: Option<Signal>,
    /// Its place in the topic of signals.
    pub(crate) offset: Option<i64>,
}

/// The keys `signal.*`, `incremental.snapshot.*` and `read.only`.
#[derive(Debug)]
pub(crate) struct Signals {
    /// `signal.data.collection`: it is captured whatever the filters say.
    pub(crate) table: Option<TableId>,
    /// The channel `source`: rows of the table are followed. Marks of chunks always are.
    pub(crate) from_table: bool,
    /// The channel `file`.
    pub(crate) file: Option<PathBuf>,
    /// The channel `kafka`. A wrong key of its was refused before.
    pub(crate) topic: Option<topic::Channel>,
    pub(crate) poll: Duration,
    pub(crate) chunk_rows: usize,
    /// `incremental.snapshot.watermarking.strategy=INSERT_DELETE`
    pub(crate) closed_by_delete: bool,
    pub(crate) read_only: bool,
    pub(crate) mark_retries_max: u32,
    pub(crate) mark_backoff: Duration,
    /// Channels that only a JVM has.
    without_jvm: Vec<&'static str>,
}

impl Signals {
    pub(crate) fn read(config: &Config) -> Self {
        let channels = config.get(&common::SIGNAL_ENABLED_CHANNELS);
        let enabled = |name: &str| channels.iter().any(|channel| channel.trim() == name);
        let text = |key: &str| config.prop(key).map(str::trim).filter(|text| !text.is_empty());
        let millis = |value: i64| Duration::from_millis(value.unsigned_abs());
        let strategy = config.get(&common::INCREMENTAL_SNAPSHOT_WATERMARKING_STRATEGY);
        Self {
            table: text("signal.data.collection").and_then(table_id),
            from_table: enabled("source"),
            file: enabled("file").then(|| text("signal.file").unwrap_or("file-signals.txt").into()),
            topic: enabled("kafka").then(|| topic::Channel::read(config).ok()).flatten(),
            poll: millis(config.get(&common::SIGNAL_POLL_INTERVAL_MS)),
            chunk_rows: usize::try_from(config.get(&common::INCREMENTAL_SNAPSHOT_CHUNK_SIZE))
                .unwrap_or(1)
                .max(1),
            closed_by_delete: strategy.trim().eq_ignore_ascii_case("insert_delete"),
            read_only: text("read.only").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            mark_retries_max: config.get(&common::SIGNAL_EMIT_FAILURE_MAX_RETRIES).unsigned_abs(),
            without_jvm: ["jmx", "in-process"].into_iter().filter(|name| enabled(name)).collect(),
            mark_backoff: millis(config.get(&common::SIGNAL_EMIT_FAILURE_BACKOFF_MS)),
        }
    }

    /// Says which channels nobody can send a signal by.
    pub(crate) fn warn_of_jmx(&self) {
        for channel in &self.without_jvm {
            tracing::warn!(
                "signal.enabled.channels names {channel}, by which no signal can come, as there is no JVM; send signals as rows of signal.data.collection (source), as records (kafka) or as lines (file)"
            );
        }
    }

    /// The signal that a change of a table is, if the table is that of signals. The log says why a
    /// change of it is none.
    pub(crate) fn of_change(
        &self,
        rows: &RowsBuilder,
        table: &Table,
        op: Op,
        before: Option<Slot>,
        after: Option<Slot>,
    ) -> Option<Signal> {
        if self.table.as_ref() != Some(&table.id) {
            return None;
        }
        let row = match op {
            Op::Create => after?,
            // Only chunks are closed so.
            Op::Delete if self.closed_by_delete => before?,
            _ => return None,
        };
        let columns = table.schema.row.fields().len();
        if columns != 3 {
            tracing::warn!(
                "a row of the signal table {} is not followed: the table has {columns} captured columns and needs just three, for id, type and data",
                table.id
            );
            return None;
        }
        let text = |column| match rows.get(row, column) {
            ValueRef::Text(text) => text.to_owned(),
            _ => String::new(),
        };
        if op == Op::Delete {
            // The first is that of the suffix, as ids of chunks are hexadecimal.
            let id = text(0).replace("open", "close");
            return Some(Signal { id, kind: "snapshot-window-close".into(), data: String::new() });
        }
        Some(Signal { id: text(0), kind: text(1), data: text(2) })
    }
}

/// `schema.table`, or `database.schema.table`.
fn table_id(text: &str) -> Option<TableId> {
    let mut parts = text.rsplit('.').map(|part| part.trim().trim_matches('"'));
    let name = parts.next().filter(|name| !name.is_empty())?;
    let namespace = parts.next().unwrap_or("public");
    Some(TableId { namespace: namespace.into(), name: name.into() })
}

/// A table by its name as signals and offsets have it.
pub(crate) fn named(text: &str) -> Option<TableId> {
    let text = text.replace('"', "");
    let (namespace, name) = text.split_once('.')?;
    (!namespace.is_empty() && !name.is_empty())
        .then(|| TableId { namespace: namespace.into(), name: name.into() })
}
