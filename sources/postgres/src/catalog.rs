//! What the catalog says of types, tables, keys, publications and slots.

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::error::{Error, Result};
use relational::table::TableId;

use crate::{
    session::Session,
    types::{TypeInfo, TypeKind, Types},
    wire::{Lsn, Settings},
};

/// A column as the catalog has it.
#[derive(Clone, Debug)]
pub(crate) struct CatalogColumn {
    pub(crate) name: Arc<str>,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
    pub(crate) not_null: bool,
    /// `pg_get_expr` of the default; `None` for generated columns, whose expression is none.
    pub(crate) default: Option<String>,
}

/// A table as the catalog has it.
#[derive(Clone, Debug)]
pub(crate) struct CatalogTable {
    pub(crate) columns: Vec<CatalogColumn>,
    /// Names of the primary key's columns, or of the first unique index's, in key order.
    pub(crate) key: Vec<String>,
    /// No two rows have the same key, unless it is null: it is not that of a partial index.
    pub(crate) key_unique: bool,
}

/// All types of the database.
pub(crate) async fn types(session: &Session) -> Result<Types> {
    read_types(session, "SELECT oid FROM pg_type", &[]).await
}

/// These types, and those that they are made of.
pub(crate) async fn types_of(session: &Session, oids: &[u32]) -> Result<Types> {
    const WANTED: &str = "
        WITH RECURSIVE wanted(oid) AS (
            SELECT unnest($1::oid[])
            UNION
            SELECT p.oid FROM wanted w JOIN pg_type t USING (oid)
             CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) p(oid) WHERE p.oid <> 0)
        SELECT oid FROM wanted";
    read_types(session, WANTED, &[&oids]).await
}

/// `which` is a query of OIDs.
async fn read_types(
    session: &Session,
    which: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Types> {
    let query = format!(
        "SELECT t.oid, t.typname, t.typtype::text, t.typbasetype, t.typtypmod,
                CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END,
                (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
                   FROM pg_enum e WHERE e.enumtypid = t.oid),
                CASE WHEN t.oid = 'money'::regtype THEN scale(0::money::numeric) END
           FROM pg_type t WHERE t.oid IN ({which})"
    );
    let rows = session.query("read types", &query, params).await?;
    let mut types = HashMap::with_capacity(rows.len());
    for row in rows {
        let kind: String = row.get(2);
        let element: u32 = row.get(5);
        // As `lc_monetary` has them, at most 10.
        let digits: Option<i32> = row.get(7);
        let kind = match kind.as_str() {
            "b" => match digits.map(u8::try_from) {
                Some(digits) => TypeKind::Money { digits: digits.unwrap_or(2) },
                None => TypeKind::Base,
            },
            "d" => TypeKind::Domain { base: row.get(3), typmod: row.get(4) },
            "e" => TypeKind::Enum { labels: row.get::<_, Option<_>>(6).unwrap_or_default() },
            _ => TypeKind::Other,
        };
        let info =
            TypeInfo { name: row.get(1), kind, array_of: Some(element).filter(|&oid| oid != 0) };
        types.insert(row.get(0), info);
    }
    Ok(types)
}

/// Every ordinary or partitioned table but the system's, sorted, as Debezium snapshots them.
pub(crate) async fn tables(session: &Session, builtin_ignored: bool) -> Result<Vec<TableId>> {
    const QUERY: &str = "
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'";
    let rows = session.query("list tables", QUERY, &[]).await?;
    let mut tables: Vec<TableId> = rows
        .iter()
        .map(|row| TableId {
            namespace: row.get::<_, &str>(0).into(),
            name: row.get::<_, &str>(1).into(),
        })
        .filter(|table| !(builtin_ignored && builtin(table)))
        .collect();
    // By the text of the id, as Java's TableId compares.
    tables.sort_by_cached_key(ToString::to_string);
    Ok(tables)
}

/// The tables that are never captured unless `table.ignore.builtin` is off.
pub(crate) fn builtin(table: &TableId) -> bool {
    matches!(&*table.namespace, "pg_catalog" | "information_schema" | "pg_toast")
        || table.namespace.starts_with("pg_temp")
        || &*table.name == "spatial_ref_sys"
}

/// Columns and key of a table; `None` when it is gone.
pub(crate) async fn table(session: &Session, table: &TableId) -> Result<Option<CatalogTable>> {
    const OID: &str = "
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2";
    let action = format!("look up table {table}");
    let row = session.query_opt(&action, OID, &[&&*table.namespace, &&*table.name]).await?;
    match row {
        Some(row) => table_of(session, row.get(0), table).await,
        None => Ok(None),
    }
}

/// The same of the table with this OID, whatever its name is now.
pub(crate) async fn table_of(
    session: &Session,
    oid: u32,
    table: &TableId,
) -> Result<Option<CatalogTable>> {
    // What a domain forbids is forbidden in a column of it. A domain over it is another one.
    const COLUMNS: &str = "
        SELECT a.attname, a.atttypid, a.atttypmod,
               a.attnotnull OR (t.typtype = 'd' AND t.typnotnull),
               CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attnum";
    // The primary key, else the unique index that comes first (the one that the table is clustered
    // by, then by name), a partial one too and with the columns that it merely includes; not one of
    // expressions. That is Debezium's choice.
    const KEY: &str = "
        SELECT a.attname, k.whole FROM (
            SELECT i.indrelid, i.indkey, i.indpred IS NULL AS whole,
                   CASE WHEN i.indisprimary THEN i.indnkeyatts ELSE i.indnatts END AS width
              FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
             WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indexprs IS NULL
             ORDER BY i.indisprimary DESC, i.indisclustered DESC, x.relname LIMIT 1) k
          CROSS JOIN LATERAL unnest(k.indkey::int2[]) WITH ORDINALITY AS u(attnum, position)
          JOIN pg_attribute a ON a.attrelid = k.indrelid AND a.attnum = u.attnum
         WHERE u.position <= k.width ORDER BY u.position";
    let action = format!("read the definition of table {table}");
    let rows = session.query(&action, COLUMNS, &[&oid]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let columns = rows
        .iter()
        .map(|row| CatalogColumn {
            name: row.get::<_, &str>(0).into(),
            type_oid: row.get(1),
            typmod: row.get(2),
            not_null: row.get(3),
            default: row.get(4),
        })
        .collect();
    let rows = session.query(&action, KEY, &[&oid]).await?;
    let key = rows.iter().map(|row| row.get(0)).collect();
    let key_unique = rows.first().is_some_and(|row| row.get(1));
    Ok(Some(CatalogTable { columns, key, key_unique }))
}

/// About how many rows a table has: what the planner knows, or as many as fit into its pages when it
/// was never analysed.
pub(crate) async fn row_estimate(session: &Session, table: &TableId) -> Result<i64> {
    // A row of 80 bytes, as good a guess as any: only the order of tables depends on it.
    const QUERY: &str = "
        SELECT CASE WHEN c.reltuples >= 0 AND (c.reltuples > 0 OR c.relpages > 0)
                    THEN c.reltuples::int8 ELSE pg_relation_size(c.oid) / 80 END
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2";
    let action = format!("estimate the rows of table {table}");
    let row = session.query_opt(&action, QUERY, &[&&*table.namespace, &&*table.name]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// A replication slot as `pg_replication_slots` shows it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) restart_lsn: Option<Lsn>,
    pub(crate) confirmed_flush: Option<Lsn>,
    /// The process of the server that streams from it now.
    pub(crate) active_pid: Option<i32>,
    /// `reserved`, `extended`, `unreserved`, `lost`; `None` when nothing is reserved.
    pub(crate) wal_status: Option<String>,
    /// Why it was invalidated, as far as the server says (`rows_removed`, `wal_removed`, …).
    pub(crate) invalidated: Option<String>,
    /// Made with TWO_PHASE.
    pub(crate) two_phase: bool,
    /// A copy of a slot of the primary, which can be read only after a promotion.
    pub(crate) synced: bool,
    /// Where the server's log ends; `None` on a standby, which may have to catch up.
    pub(crate) log_end: Option<Lsn>,
}

impl Slot {
    /// Invalidated: it can never be read again.
    pub(crate) fn dead(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
    }
}

pub(crate) async fn slot(session: &Session, name: &str) -> Result<Option<Slot>> {
    // Columns that newer servers have are asked for by name, and are null where there are none.
    const QUERY: &str = "
        SELECT plugin::text, database::text, restart_lsn::text, confirmed_flush_lsn::text,
               wal_status, active_pid,
               coalesce(to_jsonb(s)->>'invalidation_reason',
                        CASE to_jsonb(s)->>'conflicting' WHEN 'true' THEN 'conflict with recovery' END),
               coalesce((to_jsonb(s)->>'two_phase')::bool, false),
               coalesce((to_jsonb(s)->>'synced')::bool, false) AND pg_is_in_recovery(),
               CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn()::text END
          FROM pg_replication_slots s WHERE slot_name = $1";
    let action = format!("look up replication slot {name}");
    let row = session.query_opt(&action, QUERY, &[&name]).await?;
    let Some(row) = row else { return Ok(None) };
    let lsn = |index| row.get::<_, Option<&str>>(index).and_then(|text| text.parse().ok());
    Ok(Some(Slot {
        plugin: row.get(0),
        database: row.get(1),
        restart_lsn: lsn(2),
        confirmed_flush: lsn(3),
        wal_status: row.get(4),
        active_pid: row.get(5),
        invalidated: row.get(6),
        two_phase: row.get(7),
        synced: row.get(8),
        log_end: lsn(9),
    }))
}

/// Up to where the log is written, which all that others see is; on a standby, up to where it
/// was received.
pub(crate) async fn log_position(session: &Session) -> Result<Lsn> {
    const QUERY: &str = "SELECT (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                                      ELSE pg_current_wal_lsn() END)::text";
    let row = session.query_one("read the server's log position", QUERY, &[]).await?;
    let text: &str = row.get(0);
    text.parse()
        .map_err(|error| Error::retriable("read the server's log position").caused_by(error))
}

/// All slots of the server, as text.
pub(crate) async fn slots(settings: &Settings) -> Result<String> {
    const QUERY: &str = "
        SELECT string_agg(slot_name || CASE WHEN active THEN '' ELSE ' (not read)' END, ', '
                          ORDER BY active, slot_name) FROM pg_replication_slots";
    let session = Session::connect(settings, &[]).await?;
    let row = session.query_one("list replication slots", QUERY, &[]).await?;
    Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
}

/// The oldest transactions that run and write, as text.
pub(crate) async fn oldest_transactions(settings: &Settings) -> Result<String> {
    const QUERY: &str = "
        SELECT string_agg(format('process %s of %s since %s', pid, coalesce(usename, 'nobody'),
                                 coalesce(xact_start::text, 'unknown')), ', ')
          FROM (SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL
                 ORDER BY xact_start LIMIT 5) oldest";
    let session = Session::connect(settings, &[]).await?;
    let row = session.query_one("list running transactions", QUERY, &[]).await?;
    let prepared = "prepared ones, see pg_prepared_xacts".to_owned();
    Ok(row.get::<_, Option<String>>(0).unwrap_or(prepared))
}

/// What must be known of the server and of this role before anything is created.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) version: i32,
    pub(crate) wal_level: String,
    /// The role may open a replication connection.
    pub(crate) replication: bool,
    pub(crate) in_recovery: bool,
}

/// `server_version_num` of the oldest server that Debezium 3.7 is tested with.
const OLDEST_SERVER: i32 = 130_000;

pub(crate) async fn server(session: &Session) -> Result<Server> {
    const QUERY: &str = "
        SELECT current_setting('server_version_num')::int, current_setting('wal_level'),
               pg_is_in_recovery(),
               EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = current_user
                          AND (r.rolreplication OR r.rolsuper))
               OR EXISTS (SELECT 1 FROM pg_roles g WHERE g.rolname IN
                          ('rds_superuser', 'rdsadmin', 'rdsrepladmin', 'rds_replication', 'azure_pg_admin')
                          AND pg_has_role(current_user, g.oid, 'MEMBER'))";
    let row = session.query_one("read the server's settings", QUERY, &[]).await?;
    let version: i32 = row.get(0);
    if version < OLDEST_SERVER {
        return Err(Error::fatal(format!(
            "use the server: it is PostgreSQL {}, and this connector needs PostgreSQL {} or newer",
            version / 10_000,
            OLDEST_SERVER / 10_000
        )));
    }
    Ok(Server { version, wal_level: row.get(1), in_recovery: row.get(2), replication: row.get(3) })
}

/// `publication.autocreate.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Autocreate {
    Disabled,
    AllTables,
    Filtered,
    NoTables,
}

/// What a publication is made with.
#[derive(Clone, Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) name: &'a str,
    pub(crate) autocreate: Autocreate,
    /// The captured tables, for the mode filtered.
    pub(crate) tables: &'a [TableId],
    pub(crate) via_root: bool,
    /// The `publish` list, when `skipped.operations` was set.
    pub(crate) publish: Option<String>,
    /// How long a statement may take, waits for locks included.
    pub(crate) limit: Duration,
}

/// Creates or adjusts the publication, as the mode says. Whether that changed it.
pub(crate) async fn ensure_publication(
    session: &Session,
    publication: &Publication<'_>,
) -> Result<bool> {
    let Publication { name, autocreate, tables, .. } = publication;
    let quoted = quote(name);
    const ALL: &str = "SELECT puballtables FROM pg_publication WHERE pubname = $1";
    let found = session.query_opt(&format!("look up publication {name}"), ALL, &[name]).await?;
    let execute = async |statement: String| {
        tracing::info!("{statement}");
        let limit = publication.limit.as_millis();
        // Statements that are sent together are one transaction.
        let limited = format!("SET LOCAL statement_timeout = {limit}; {statement}");
        let Err(error) = session.client().batch_execute(&limited).await else { return Ok(true) };
        let advice = match error.code().map(|code| code.code()) {
            Some("57014") => {
                "it took longer than create.slot.command.timeout; look for who holds a lock on one of the tables"
            }
            Some("25006") => "the server is a standby, so run the statement on the primary",
            Some("42501") => {
                "run the statement as a role that may, and set publication.autocreate.mode=disabled"
            }
            _ => "",
        };
        let late = error.code().is_some_and(|code| code.code() == "57014");
        let action = format!("run {statement} (publication.autocreate.mode)");
        let failed = session.failed(&action, error);
        match advice {
            "" => Err(failed),
            advice if late => {
                Err(Error::retriable(format!("{action}: {advice}")).caused_by(failed))
            }
            advice => Err(Error::fatal(format!("{action}: {advice}")).caused_by(failed)),
        }
    };
    let no_tables = || {
        Error::fatal(format!(
            "no table matches the filters, so publication {name} would publish nothing; check table.include.list and schema.include.list"
        ))
    };
    match (found.map(|row| row.get::<_, bool>(0)), autocreate) {
        (None, Autocreate::Disabled) => Err(Error::fatal(format!(
            "Publication autocreation is disabled, please create one and restart the connector. (publication {name}: CREATE PUBLICATION {quoted} FOR ALL TABLES, or for the captured tables)"
        ))),
        (None, Autocreate::AllTables) => {
            execute(format!("CREATE PUBLICATION {quoted} FOR ALL TABLES{}", publication.with()))
                .await
        }
        (None, Autocreate::NoTables) => {
            execute(format!("CREATE PUBLICATION {quoted}{}", publication.with())).await
        }
        (None, Autocreate::Filtered) => {
            if tables.is_empty() {
                return Err(no_tables());
            }
            let list = list(tables);
            execute(format!("CREATE PUBLICATION {quoted} FOR TABLE {list}{}", publication.with()))
                .await
        }
        (Some(true), Autocreate::Filtered) => Err(Error::fatal(format!(
            "publication {name} is FOR ALL TABLES, which publication.autocreate.mode=filtered can not narrow; drop it, or use all_tables"
        ))),
        (Some(false), Autocreate::Filtered) => {
            if tables.is_empty() {
                return Err(no_tables());
            }
            const TABLES: &str =
                "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1";
            let action = format!("list the tables of publication {name}");
            let rows = session.query(&action, TABLES, &[name]).await?;
            let mut published: Vec<TableId> = rows
                .iter()
                .map(|row| TableId {
                    namespace: row.get::<_, &str>(0).into(),
                    name: row.get::<_, &str>(1).into(),
                })
                .collect();
            let mut wanted = tables.to_vec();
            published.sort();
            wanted.sort();
            if published == wanted {
                return Ok(false);
            }
            execute(format!("ALTER PUBLICATION {quoted} SET TABLE {}", list(tables))).await
        }
        (Some(_), _) => Ok(false),
    }
}

impl Publication<'_> {
    fn with(&self) -> String {
        let root = self.via_root.then(|| "publish_via_partition_root = true".to_owned());
        let publish = self.publish.as_ref().map(|list| format!("publish = '{list}'"));
        let options: Vec<String> = root.into_iter().chain(publish).collect();
        if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) }
    }
}

fn list(tables: &[TableId]) -> String {
    tables.iter().map(qualified).collect::<Vec<_>>().join(", ")
}

/// `"schema"."table"`
pub(crate) fn qualified(table: &TableId) -> String {
    format!("{}.{}", quote(&table.namespace), quote(&table.name))
}

/// An identifier in double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
