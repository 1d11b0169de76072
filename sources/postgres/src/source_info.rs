//! The `source` block of events.

use std::sync::Arc;

use model::{
    row::{RowsBuilder, Shared, Slot},
    schema::{Kind, Schema},
    value::Value,
};
use relational::table::TableId;

use crate::wire::Lsn;

/// The version of Debezium's connector that events are compared with, byte for byte.
pub(crate) const VERSION: &str = "3.7.0.Final";

/// What `source.snapshot` says of rows of incremental snapshots.
pub(crate) const INCREMENTAL: &str = "incremental";

/// `io.debezium.connector.postgresql.Source`.
pub(crate) fn schema() -> Schema {
    let string = || Arc::new(Schema::new(Kind::String));
    let optional = |kind| Arc::new(Schema::new(kind).optional());
    let int = || Arc::new(Schema::new(Kind::Int64));
    let snapshot = Schema::new(Kind::String)
        .named("io.debezium.data.Enum", 1)
        .parameter(
            "allowed",
            "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental",
        )
        .default(Value::Text("false".into()))
        .optional();
    Schema::structure([
        ("version", string()),
        ("connector", string()),
        ("name", string()),
        ("ts_ms", int()),
        ("snapshot", Arc::new(snapshot)),
        ("db", string()),
        ("sequence", optional(Kind::String)),
        ("ts_us", optional(Kind::Int64)),
        ("ts_ns", optional(Kind::Int64)),
        ("schema", string()),
        ("table", string()),
        ("txId", optional(Kind::Int64)),
        ("lsn", optional(Kind::Int64)),
        ("xmin", optional(Kind::Int64)),
        ("origin", optional(Kind::String)),
        ("origin_lsn", optional(Kind::Int64)),
    ])
    .named("io.debezium.connector.postgresql.Source", 1)
}

/// What the events of one transaction, or of a snapshot, have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) ts_us: i64,
    pub(crate) tx_id: Option<i64>,
    /// The end of the last transaction that was seen whole.
    pub(crate) lsn_commit: Option<Lsn>,
    /// The slot's, with `xmin.fetch.interval.ms`.
    pub(crate) xmin: Option<i64>,
    pub(crate) origin: Option<(Arc<str>, Lsn)>,
}

/// Writes source rows into one batch; texts that repeat are held once.
pub(crate) struct Writer {
    version: Shared,
    connector: Shared,
    name: Shared,
    db: Shared,
    table: Option<(TableId, Shared, Shared)>,
    marker: Option<(&'static str, Shared)>,
}

impl Writer {
    pub(crate) fn new(rows: &mut RowsBuilder, prefix: &Arc<str>, db: &Arc<str>) -> Self {
        Self {
            version: rows.share(VERSION.into()),
            connector: rows.share("postgresql".into()),
            name: rows.share(prefix.clone()),
            db: rows.share(db.clone()),
            table: None,
            marker: None,
        }
    }

    /// `marker` is the snapshot's; a streamed row has none. A row of an incremental snapshot is of no
    /// transaction and at no position.
    pub(crate) fn write(
        &mut self,
        rows: &mut RowsBuilder,
        table: &TableId,
        moment: &Moment,
        lsn: Lsn,
        marker: Option<&'static str>,
    ) -> Slot {
        let (schema, name) = self.table(rows, table);
        let incremental = marker == Some(INCREMENTAL);
        let marker = marker.map(|marker| self.marker(rows, marker));
        rows.shared(self.version);
        rows.shared(self.connector);
        rows.shared(self.name);
        rows.int(moment.ts_us.div_euclid(1_000));
        match marker {
            Some(marker) => rows.shared(marker),
            None => rows.null(),
        }
        rows.shared(self.db);
        rows.text_with(|out| write_sequence(out, moment.lsn_commit, lsn));
        rows.int(moment.ts_us);
        rows.int(moment.ts_us.wrapping_mul(1_000));
        rows.shared(schema);
        rows.shared(name);
        match moment.tx_id.filter(|_| !incremental) {
            Some(tx_id) => rows.int(tx_id),
            None => rows.null(),
        }
        match incremental {
            true => rows.null(),
            false => rows.int(lsn.0.cast_signed()),
        }
        match moment.xmin.filter(|_| !incremental) {
            Some(xmin) => rows.int(xmin),
            None => rows.null(),
        }
        match &moment.origin {
            Some((origin, lsn)) => {
                rows.text(origin);
                rows.int(lsn.0.cast_signed());
            }
            None => {
                rows.null();
                rows.null();
            }
        }
        rows.end()
    }

    fn table(&mut self, rows: &mut RowsBuilder, table: &TableId) -> (Shared, Shared) {
        match &self.table {
            Some((id, schema, name))
                if Arc::ptr_eq(&id.name, &table.name)
                    && Arc::ptr_eq(&id.namespace, &table.namespace) =>
            {
                (*schema, *name)
            }
            _ => {
                let schema = rows.share(table.namespace.clone());
                let name = rows.share(table.name.clone());
                self.table = Some((table.clone(), schema, name));
                (schema, name)
            }
        }
    }

    fn marker(&mut self, rows: &mut RowsBuilder, marker: &'static str) -> Shared {
        match self.marker {
            Some((text, shared)) if text == marker => shared,
            _ => {
                let shared = rows.share(marker.into());
                self.marker = Some((marker, shared));
                shared
            }
        }
    }
}

/// `["<last commit>","<this>"]`
fn write_sequence(out: &mut String, commit: Option<Lsn>, lsn: Lsn) {
    let mut digits = itoa::Buffer::new();
    match commit {
        Some(commit) => {
            out.push_str("[\"");
            out.push_str(digits.format(commit.0));
            out.push_str("\",\"");
        }
        None => out.push_str("[null,\""),
    }
    out.push_str(digits.format(lsn.0));
    out.push_str("\"]");
}
