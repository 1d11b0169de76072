//! What is found at start about publication and tables that would go wrong later, in silence or in the
//! application. Nothing of it stops the connector, as in Debezium: each finding is a warning with advice.

use model::{change::Op, error::Result};
use relational::table::TableId;

use crate::{
    catalog::{self, Server},
    options::Options,
    session::Session,
};

/// Tables that a warning names. How many more there are, it says.
const NAMED_MAX: usize = 10;

/// Looks at the publication and at the tables that are to be captured from it.
pub(crate) async fn review(
    options: &Options,
    session: &Session,
    server: &Server,
    tables: &[TableId],
) -> Result<()> {
    for finding in findings(options, session, tables).await? {
        tracing::warn!("{finding}");
    }
    if options.slot_failover && server.version >= 170_000 && !server.in_recovery {
        const QUERY: &str = "SELECT current_setting('synchronized_standby_slots', true)";
        let row = session.query_one("read synchronized_standby_slots", QUERY, &[]).await?;
        if row.get::<_, Option<&str>>(0).is_none_or(str::is_empty) {
            tracing::warn!(
                "slot.failover is set, and synchronized_standby_slots names no slot of a standby: \
                 changes can be sent before the standby has them, and after its promotion nobody \
                 has them; name the standby's physical slot there"
            );
        }
    }
    Ok(())
}

/// What the publication says of one table.
pub(crate) struct Published {
    pub(crate) table: TableId,
    pub(crate) covered: bool,
    filter: Option<String>,
    /// Columns that its column list leaves out.
    left_out: Vec<String>,
    /// Updates and deletes can say which row they are about.
    identified: bool,
}

async fn findings(options: &Options, session: &Session, tables: &[TableId]) -> Result<Vec<String>> {
    const WHAT: &str = "
        SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = $1";
    let name = &options.publication;
    let action = format!("look up publication {name}");
    let Some(row) = session.query_opt(&action, WHAT, &[name]).await? else {
        // The start of the stream says that it is missing.
        return Ok(Vec::new());
    };
    let quoted = catalog::quote(name);
    let mut findings = Vec::new();
    let operations = [
        (Op::Create, "insert"),
        (Op::Update, "update"),
        (Op::Delete, "delete"),
        (Op::Truncate, "truncate"),
    ];
    let silent: Vec<&str> = operations
        .into_iter()
        .zip(0..)
        .filter(|((op, _), column)| {
            !row.get::<_, bool>(column) && !options.emitter.skipped.contains(op)
        })
        .map(|((_, word), _)| word)
        .collect();
    if !silent.is_empty() {
        findings.push(format!(
            "publication {name} does not publish {}, so such changes never come; run ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate'), or name them in skipped.operations",
            silent.join(", ")
        ));
    }
    let changes_rows = row.get::<_, bool>(1) || row.get::<_, bool>(2);
    let published = published(session, name, tables).await?;
    let named = |wanted: &dyn Fn(&Published) -> bool| {
        names(published.iter().filter(|published| wanted(published)).map(|found| &found.table))
    };
    if let Some((tables, list)) = named(&|table| !table.covered) {
        findings.push(format!(
            "publication {name} does not have {tables}, so no change of them ever comes; run ALTER PUBLICATION {quoted} ADD TABLE {list}, or set publication.autocreate.mode=filtered"
        ));
    }
    let restricted =
        published.iter().filter(|found| found.filter.is_some() || !found.left_out.is_empty());
    let others = restricted.clone().count().saturating_sub(NAMED_MAX);
    for found in restricted.take(NAMED_MAX) {
        if let Some(filter) = &found.filter {
            findings.push(format!(
                "publication {name} has a row filter on table {}, {filter}: changes of other rows never come, while snapshots read them; run ALTER PUBLICATION {quoted} SET TABLE without it, or give the same condition to snapshot.select.statement.overrides",
                found.table
            ));
        }
        if !found.left_out.is_empty() {
            findings.push(format!(
                "publication {name} has a column list on table {} without {}: the stream lacks these columns, while snapshots have them; run ALTER PUBLICATION {quoted} SET TABLE without it, or name them in column.exclude.list",
                found.table,
                found.left_out.join(", ")
            ));
        }
    }
    if others > 0 {
        findings.push(format!(
            "publication {name} has row filters or column lists on {others} further captured tables; look at pg_publication_tables"
        ));
    }
    if let Some((tables, list)) = named(&|table| changes_rows && table.covered && !table.identified)
    {
        findings.push(format!(
            "the server refuses to update and to delete rows of {tables}, which publication {name} has: no replica identity (no primary key, or REPLICA IDENTITY NOTHING); add primary keys, or run ALTER TABLE … REPLICA IDENTITY FULL for {list}"
        ));
    }
    Ok(findings)
}

/// The first tables as prose and as SQL; `None` when there are none.
fn names<'t>(tables: impl Iterator<Item = &'t TableId>) -> Option<(String, String)> {
    let tables: Vec<&TableId> = tables.collect();
    let first = tables.first()?;
    let shown = &tables[..tables.len().min(NAMED_MAX)];
    let join = |text: &dyn Fn(&TableId) -> String| {
        shown.iter().map(|table| text(table)).collect::<Vec<_>>().join(", ")
    };
    let mut prose = match tables.len() {
        1 => format!("table {first}"),
        count => format!("{count} of the captured tables, {}", join(&ToString::to_string)),
    };
    if tables.len() > shown.len() {
        prose.push_str(", …");
    }
    Some((prose, join(&catalog::qualified)))
}

/// What the publication says of those of the tables that there are.
pub(crate) async fn published(
    session: &Session,
    publication: &str,
    tables: &[TableId],
) -> Result<Vec<Published>> {
    // A partition is covered by its root in the publication, and a root by its partitions. Column lists
    // and row filters are of PostgreSQL 15; before, the view has no such columns.
    const QUERY: &str = "
        WITH listed AS MATERIALIZED (
          SELECT c.oid AS relid, to_jsonb(t)->>'rowfilter' AS rowfilter,
                 nullif(to_jsonb(t)->'attnames', 'null') AS attnames
            FROM pg_publication_tables t
            JOIN pg_namespace n ON n.nspname = t.schemaname
            JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
           WHERE t.pubname = $1),
        covered AS MATERIALIZED (
          SELECT relid FROM listed
          UNION SELECT a.relid::oid FROM listed l
                  JOIN pg_class c ON c.oid = l.relid AND c.relispartition
                 CROSS JOIN LATERAL pg_partition_ancestors(l.relid) a
          UNION SELECT p.relid::oid FROM listed l
                  JOIN pg_class c ON c.oid = l.relid AND c.relkind = 'p'
                 CROSS JOIN LATERAL pg_partition_tree(l.relid) p)
        SELECT n.nspname, c.relname, c.oid IN (SELECT relid FROM covered), l.rowfilter,
               ARRAY(SELECT a.attname::text FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                        AND a.attgenerated = '' AND jsonb_typeof(l.attnames) = 'array'
                        AND NOT l.attnames ? a.attname::text ORDER BY a.attnum),
               c.relkind = 'p' OR CASE c.relreplident
                 WHEN 'f' THEN true
                 WHEN 'd' THEN EXISTS (SELECT FROM pg_index i
                                        WHERE i.indrelid = c.oid AND i.indisprimary)
                 WHEN 'i' THEN EXISTS (SELECT FROM pg_index i
                                        WHERE i.indrelid = c.oid AND i.indisreplident)
                 ELSE false END
          FROM unnest($2::text[], $3::text[]) AS wanted(namespace, name)
          JOIN pg_namespace n ON n.nspname = wanted.namespace
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
          LEFT JOIN listed l ON l.relid = c.oid
         ORDER BY 1, 2";
    let namespaces: Vec<&str> = tables.iter().map(|table| &*table.namespace).collect();
    let names: Vec<&str> = tables.iter().map(|table| &*table.name).collect();
    let action = format!("list what publication {publication} says of the captured tables");
    let rows = session.query(&action, QUERY, &[&publication, &namespaces, &names]).await?;
    let published = rows.iter().map(|row| Published {
        table: TableId {
            namespace: row.get::<_, &str>(0).into(),
            name: row.get::<_, &str>(1).into(),
        },
        covered: row.get(2),
        filter: row.get(3),
        left_out: row.get(4),
        identified: row.get(5),
    });
    Ok(published.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_a_few_tables_and_counts_all() {
        let table = |n: usize| TableId { namespace: "s".into(), name: format!("t{n}").into() };
        let tables: Vec<TableId> = (0..12).map(table).collect();
        assert_eq!(names([].into_iter()), None);
        let (prose, list) = names(tables[..1].iter()).unwrap();
        assert_eq!((prose.as_str(), list.as_str()), ("table s.t0", "\"s\".\"t0\""));
        let (prose, list) = names(tables.iter()).unwrap();
        assert!(
            prose.starts_with("12 of the captured tables, s.t0, ") && prose.ends_with("s.t9, …")
        );
        assert!(list.ends_with("\"s\".\"t9\""));
    }
}
