//! Which captured tables are known: their rows were read, or every change of them came in the stream.
//!
//! The list stands in the source offset, in a field of ours that Debezium passes over (`riverrun_tables`),
//! and not in a source partition of its own: so it is stored with the position it is true of, is kept
//! and reset with it over REST, and is gone once Debezium has had the connector. Without a list no table
//! counts as new, and the next start writes one.
//!
//! # What is new
//!
//! Tables go by OID: one that was renamed is the same, one that was dropped and made again is not. Of
//! the captured tables that the list lacks, those are known all the same that were made after the list
//! was and whose every change was published and captured since: the filters are those of then, the
//! table has had no other name, and the publication has it because it has all tables, or because it was
//! made as a partition of one that is published. When in doubt a table is new, which costs a repeat.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::snapshot::checkpoint::Ids;
use model::error::Result;
use relational::table::TableId;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::session::Session;

/// The tables that are known, and those that are on the way there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    of: Of,
    tables: Ids,
    /// What is stored; `None` when there are too many tables.
    text: Option<Arc<str>>,
    /// Tables whose rows are being read beside the stream. They are stored once that is done.
    pub(crate) pending: Vec<Pending>,
}

/// What a list is true of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Of {
    /// The server and the database, so that OIDs of another are not taken for these.
    pub(crate) database: String,
    /// A table made by a transaction from here on is younger than the list.
    pub(crate) horizon: u64,
    /// A digest of the filters.
    pub(crate) filters: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// As offsets and notifications have it.
    pub(crate) name: String,
    pub(crate) oid: u64,
    /// It was handed to the incremental snapshot.
    pub(crate) queued: bool,
}

impl Known {
    pub(crate) fn new(of: Of, tables: Ids) -> Self {
        let text = text(&of, &tables);
        if text.is_none() {
            tracing::warn!(
                "{} tables are captured, which are too many to be listed in the offset: a table that comes to the filters later is streamed, and its rows are not read",
                tables.len()
            );
        }
        Self { of, tables, text, pending: Vec::new() }
    }

    /// Reads what was stored; `None` when it is of another version, or was damaged.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let string = |field: &str| value.get(field).and_then(Value::as_str);
        if value.get("v")?.as_u64()? != 1 {
            return None;
        }
        let of = Of {
            database: string("database")?.to_owned(),
            horizon: value.get("horizon")?.as_u64()?,
            filters: string("filters")?.to_owned(),
        };
        let tables = Ids::parse(string("tables")?)?;
        Some(Self { of, tables, text: Some(text.into()), pending: Vec::new() })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(crate) fn contains(&self, oid: u64) -> bool {
        self.tables.contains(oid)
    }

    /// Whether the list is about the database at hand.
    pub(crate) fn is_about(&self, now: &Of) -> bool {
        self.of.database == now.database
    }

    /// Whether a table that the list lacks can have missed nothing.
    pub(crate) fn streamed_whole(&self, now: &Of, facts: &Facts) -> bool {
        let younger = facts.made.is_some_and(|made| made >= self.of.horizon);
        self.of.filters == now.filters && younger && facts.published && !facts.renamed
    }

    /// The same with these tables, where that makes a difference: the older moment is as true.
    pub(crate) fn with(self, now: Of, tables: Ids) -> Self {
        match self.tables == tables && self.of.filters == now.filters {
            true => self,
            false => Self::new(now, tables),
        }
    }

    /// The rows of those that are pending no more were read. Whether there are any.
    pub(crate) fn learn(&mut self, still: impl Fn(&Pending) -> bool) -> bool {
        let (pending, done): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(still);
        self.pending = pending;
        if !done.is_empty() {
            done.iter().for_each(|table| self.tables.insert(table.oid));
            self.text = text(&self.of, &self.tables);
        }
        !done.is_empty()
    }
}

fn text(of: &Of, tables: &Ids) -> Option<Arc<str>> {
    let list = tables.text();
    // A text that would be too long is cut.
    let whole = Ids::parse(&list).is_some_and(|read| read.len() == tables.len());
    let Of { database, horizon, filters } = of;
    whole.then(|| {
        json!({ "v": 1, "database": database, "horizon": horizon, "filters": filters, "tables": list })
            .to_string()
            .into()
    })
}

/// What the catalog says of a table.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) oid: u64,
    /// The transaction that made it; `None` when that is too long ago to be told.
    pub(crate) made: Option<u64>,
    /// It had another name, another schema or another owner once.
    pub(crate) renamed: bool,
    /// It was published from its beginning.
    pub(crate) published: bool,
}

/// The moment, the database, and what the catalog says of all its tables. Looked up before the
/// publication is changed.
pub(crate) async fn look(
    session: &Session,
    publication: &str,
    filters: &str,
) -> Result<(Of, HashMap<TableId, Facts>)> {
    const NOW: &str = "
        SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8,
               (SELECT oid::text FROM pg_database WHERE datname = current_database())";
    const SYSTEM: &str = "SELECT system_identifier::text FROM pg_control_system()";
    // System columns are written with their table and never again. A new name, schema or owner writes
    // the table's row type anew.
    const TABLES: &str = "
        SELECT n.nspname, c.relname, c.oid, age(a.xmin), coalesce(t.xmin <> a.xmin, true),
               coalesce(p.puballtables, false) OR c.relispartition
                 AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.xmin = a.xmin)
                 AND EXISTS (SELECT FROM pg_partition_ancestors(c.oid) x
                               JOIN pg_publication_rel r ON r.prrelid = x.relid AND r.prpubid = p.oid
                              WHERE x.relid <> c.oid)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = -1
          LEFT JOIN pg_type t ON t.oid = c.reltype
          LEFT JOIN pg_publication p ON p.pubname = $1
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'";
    let action = "look which tables are new";
    let row = session.query_one(action, NOW, &[]).await?;
    let horizon = row.get::<_, i64>(0).cast_unsigned();
    // Where the role may not ask, the database's number has to do.
    let system = match session.client().query_one(SYSTEM, &[]).await {
        Ok(row) => row.get(0),
        Err(error) => {
            tracing::debug!("{}", session.failed("read the system's identifier", error));
            String::new()
        }
    };
    let database = format!("{system}/{}", row.get::<_, &str>(1));
    let rows = session.query(action, TABLES, &[&publication]).await?;
    let facts = rows.iter().map(|row| {
        let id =
            TableId { namespace: row.get::<_, &str>(0).into(), name: row.get::<_, &str>(1).into() };
        let age = u64::try_from(row.get::<_, i32>(3)).ok().filter(|age| *age < FROZEN_AGE);
        let facts = Facts {
            oid: row.get::<_, u32>(2).into(),
            made: age.and_then(|age| horizon.checked_sub(age)),
            renamed: row.get(4),
            published: row.get(5),
        };
        (id, facts)
    });
    let facts = facts.collect();
    Ok((Of { database, horizon, filters: filters.to_owned() }, facts))
}

/// The age of what is older than all.
const FROZEN_AGE: u64 = i32::MAX as u64;

/// Between two looks at who writes.
const WRITERS_AGAIN: Duration = Duration::from_millis(100);

/// How long that may take before the log says whom it waits for, and after how long it says so again.
const WRITERS_PATIENCE: Duration = Duration::from_secs(5);
const WRITERS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Waits until the transactions have ended that write to these tables now. What they wrote before a
/// table was published is in no stream, so it has to be seen by what reads the table.
pub(crate) async fn settle(session: &Session, tables: &[u32]) -> Result<()> {
    const WRITERS: &str = "
        SELECT DISTINCT l.virtualtransaction, coalesce(l.pid, 0) FROM pg_locks l
         WHERE l.locktype = 'relation' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                          'AccessExclusiveLock')
           AND l.relation IN (SELECT unnest($1::oid[]) UNION
                              SELECT p.relid::oid FROM unnest($1::oid[]) o(oid)
                               CROSS JOIN LATERAL pg_partition_tree(o.oid) p)";
    // A standby does not know the locks of its primary's transactions.
    const RUNNING: &str = "
        SELECT pg_is_in_recovery(), pg_snapshot_xmin(s)::text::int8, pg_snapshot_xmax(s)::text::int8
          FROM pg_current_snapshot() AS s";
    let action = "look who writes to the tables that are new";
    let mut tell = Instant::now() + WRITERS_PATIENCE;
    let row = session.query_one(action, RUNNING, &[]).await?;
    let (standby, end): (bool, i64) = (row.get(0), row.get(2));
    let mut first: Option<Vec<String>> = None;
    loop {
        let who = match standby {
            true => {
                let row = session.query_one(action, RUNNING, &[]).await?;
                let xmin = row.get::<_, i64>(1);
                (xmin < end).then(|| format!("transaction {xmin} of the primary"))
            }
            false => {
                let rows = session.query(action, WRITERS, &[&tables]).await?;
                let now: Vec<(String, i32)> =
                    rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                let first = first
                    .get_or_insert_with(|| now.iter().map(|(writer, _)| writer.clone()).collect());
                let left = now.iter().filter(|(writer, _)| first.contains(writer));
                let left: Vec<String> = left.map(|(_, pid)| format!("process {pid}")).collect();
                (!left.is_empty()).then(|| left.join(", "))
            }
        };
        let Some(who) = who else { return Ok(()) };
        if Instant::now() >= tell {
            tell = Instant::now() + WRITERS_TOLD_EVERY;
            tracing::warn!(
                "tables that may be new in the publication are read once the transactions have ended that wrote to them before: {who}"
            );
        }
        tokio::time::sleep(WRITERS_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(horizon: u64, filters: &str) -> Of {
        Of { database: "7/5".into(), horizon, filters: filters.into() }
    }

    fn facts(made: Option<u64>) -> Facts {
        Facts { oid: 9, made, renamed: false, published: true }
    }

    #[test]
    fn what_is_stored_is_read() {
        let known = Known::new(of(753, "ab"), [16384, 16390, 70_000].into_iter().collect());
        let text = known.text().unwrap();
        assert_eq!(Known::parse(text).as_ref(), Some(&known));
        assert!(known.contains(16390) && !known.contains(16391));
        for broken in ["", "{}", r#"{"v":2,"database":"","horizon":1,"filters":"","tables":""}"#] {
            assert_eq!(Known::parse(broken), None);
        }
    }

    #[test]
    fn too_many_tables_are_not_listed_in_part() {
        // Far apart, so that each takes four bytes.
        let known = Known::new(of(1, ""), (1..100_000).map(|n| n << 22).collect());
        assert_eq!(known.text(), None);
    }

    #[test]
    fn in_doubt_a_table_is_new() {
        let known = Known::new(of(100, "a"), Ids::default());
        let whole = |now: &str, facts: Facts| known.streamed_whole(&of(200, now), &facts);
        assert!(whole("a", facts(Some(100))));
        assert!(!whole("b", facts(Some(100))), "other filters may have left out its first rows");
        assert!(!whole("a", facts(Some(99))), "it was there and not in the filters");
        assert!(!whole("a", facts(None)));
        assert!(!whole("a", Facts { renamed: true, ..facts(Some(100)) }));
        assert!(!whole("a", Facts { published: false, ..facts(Some(100)) }));
    }

    #[test]
    fn a_table_is_known_once_its_rows_are_read() {
        let mut known = Known::new(of(1, "a"), [3].into_iter().collect());
        let pending = |name: &str, oid| Pending { name: name.into(), oid, queued: true };
        known.pending = vec![pending("s.a", 4), pending("s.b", 5)];
        known.learn(|_| true);
        assert_eq!(known.pending.len(), 2);
        known.learn(|table| table.name == "s.b");
        assert!(known.contains(4) && !known.contains(5));
        let stored = Known::parse(known.text().unwrap()).unwrap();
        assert!(stored.contains(3) && stored.contains(4) && !stored.contains(5));
        // The same tables under the same filters: nothing is written anew.
        let same = stored.clone().with(of(900, "a"), [3, 4].into_iter().collect());
        assert_eq!(same.text(), stored.text());
        let other = stored.clone().with(of(900, "b"), [3, 4].into_iter().collect());
        assert_ne!(other.text(), stored.text());
    }
}
