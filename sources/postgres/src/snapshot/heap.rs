//! The files that the rows of captured tables lie in.

use model::error::Result;
use relational::table::TableId;

use crate::{catalog, session::Session};

/// One relation with rows of a captured table: the table itself, or a partition of it.
#[derive(Clone, Debug)]
pub(super) struct Heap {
    /// The captured table.
    pub(super) table: u32,
    pub(super) relation: u32,
    /// `"schema"."name"` of what is read, with ONLY for a partition.
    pub(super) from: String,
    /// Changes when all rows move: by VACUUM FULL, CLUSTER, TRUNCATE, an ALTER TABLE that rewrites.
    pub(super) filenode: u32,
    pub(super) pages: u64,
    /// What the planner knows, or as many as fit into its pages when it was never analysed.
    pub(super) rows: u64,
    /// Its rows have places of their own: it is no foreign table, and no parent of others, whose rows
    /// would be among its own.
    pub(super) paged: bool,
}

/// The heaps of these tables, as many as each has, in the order of the tables; none of one that is
/// gone.
pub(super) async fn heaps(session: &Session, tables: &[TableId]) -> Result<Vec<Vec<Heap>>> {
    // The default partition is the last that a scan comes to; the others follow one another by their
    // bounds, which is mostly how they were made. A row of 80 bytes is as good a guess as any. The file
    // is that of the session's view, where it has one: a table that was rewritten since then has another
    // by now.
    const QUERY: &str = "
        SELECT w.place, c.oid, l.oid, ln.nspname, l.relname,
               l.relfilenode,
               coalesce(pg_relation_size(l.oid), 0) / current_setting('block_size')::int8,
               CASE WHEN l.reltuples >= 0 AND (l.reltuples > 0 OR l.relpages > 0)
                    THEN l.reltuples::int8 ELSE coalesce(pg_relation_size(l.oid), 0) / 80 END,
               l.relkind = 'r' AND NOT l.relhassubclass
          FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(namespace, name, place)
          JOIN pg_namespace n ON n.nspname = w.namespace
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
          LEFT JOIN LATERAL (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf) p
                 ON c.relkind = 'p'
          JOIN pg_class l ON l.oid = coalesce(p.relid, c.oid)
          JOIN pg_namespace ln ON ln.oid = l.relnamespace
         ORDER BY w.place, coalesce(pg_get_expr(l.relpartbound, l.oid), '') = 'DEFAULT', l.oid";
    let namespaces: Vec<&str> = tables.iter().map(|table| &*table.namespace).collect();
    let names: Vec<&str> = tables.iter().map(|table| &*table.name).collect();
    let action = "read the sizes of the captured tables";
    let rows = session.query(action, QUERY, &[&namespaces, &names]).await?;
    let mut heaps = vec![Vec::new(); tables.len()];
    for row in rows {
        let place = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        let Some(of_table) = place.checked_sub(1).and_then(|place| heaps.get_mut(place)) else {
            continue;
        };
        let (table, relation): (u32, u32) = (row.get(1), row.get(2));
        let id =
            TableId { namespace: row.get::<_, &str>(3).into(), name: row.get::<_, &str>(4).into() };
        let only = if table == relation { "" } else { "ONLY " };
        of_table.push(Heap {
            table,
            relation,
            from: format!("{only}{}", catalog::qualified(&id)),
            filenode: row.get(5),
            pages: u64::try_from(row.get::<_, i64>(6)).unwrap_or_default(),
            rows: u64::try_from(row.get::<_, i64>(7)).unwrap_or_default(),
            paged: row.get(8),
        });
    }
    Ok(heaps)
}

/// Whether the rows of a relation still lie where they lay. Asked after a COPY, which keeps them there
/// until the transaction ends.
pub(super) async fn moved(session: &Session, relation: u32, filenode: u32) -> Result<bool> {
    const QUERY: &str = "SELECT coalesce(pg_relation_filenode($1::oid), 0)::oid";
    let action = format!("look for the file of relation {relation}");
    let row = session.query_one(&action, QUERY, &[&relation]).await?;
    Ok(row.get::<_, u32>(0) != filenode)
}
