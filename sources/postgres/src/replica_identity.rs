//! `replica.identity.autoset.values`: what updates and deletes are to say of old rows, set by the
//! connector at its start.
//!
//! As in Debezium nothing of this stops the connector: a table whose identity can't be set (the role
//! does not own it, two entries match it) is logged and left as it is.

use fancy_regex::Regex;
use model::error::{Error, Result};
use relational::{filters::Patterns, table::TableId};

use crate::{catalog, checks::REPLICA_IDENTITY, session::Session};

/// `ALTER TABLE … REPLICA IDENTITY …`
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    Default,
    Full,
    Nothing,
    Index(String),
}

impl Identity {
    fn sql(&self) -> String {
        match self {
            Self::Default => "DEFAULT".to_owned(),
            Self::Full => "FULL".to_owned(),
            Self::Nothing => "NOTHING".to_owned(),
            Self::Index(name) => format!("USING INDEX {}", catalog::quote(name)),
        }
    }
}

/// Entries `schema.table:DEFAULT|FULL|NOTHING|INDEX name`, whose tables are regular expressions.
#[derive(Debug, Default)]
pub(crate) struct ReplicaIdentities(Vec<(Patterns, Identity)>);

impl ReplicaIdentities {
    /// # Errors
    ///
    /// What is wrong with the first entry that is not right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let form = Regex::new(REPLICA_IDENTITY).map_err(|error| error.to_string())?;
        let entry = |entry: &str| {
            let invalid = || format!("{entry} has an invalid format");
            let found = form.captures(entry).ok().flatten().ok_or_else(invalid)?;
            let group = |name: &str| found.name(name).map(|part| part.as_str());
            let identity = match group("replicaidentity").map(str::to_ascii_uppercase).as_deref() {
                Some("DEFAULT") => Identity::Default,
                Some("FULL") => Identity::Full,
                Some("NOTHING") => Identity::Nothing,
                _ => Identity::Index(group("indexname").ok_or_else(invalid)?.to_owned()),
            };
            let tables = Patterns::parse(group("tablepredicate").ok_or_else(invalid)?)?;
            Ok((tables, identity))
        };
        let entries = text.split(',').filter(|entry| !entry.trim().is_empty());
        entries.map(entry).collect::<Result<_, String>>().map(Self)
    }

    fn of(&self, table: &TableId) -> Result<Option<&Identity>> {
        let id = table.to_string();
        let mut found = self.0.iter().filter(|(tables, _)| tables.matches(&id));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Error::fatal(format!(
                "More than one Regular expressions matched table {id}; make the entries of replica.identity.autoset.values exclude each other"
            ))),
            (first, None) => Ok(first.map(|(_, identity)| identity)),
        }
    }

    /// Sets what differs from what the entries say.
    pub(crate) async fn apply(&self, session: &Session, tables: &[TableId]) {
        if self.0.is_empty() {
            return;
        }
        for table in tables {
            let result = match self.of(table) {
                Ok(Some(identity)) => set(session, table, identity).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::error!(
                    "the replica identity of table {table} stays as it is: {}",
                    error.trace()
                );
            }
        }
    }
}

async fn set(session: &Session, table: &TableId, identity: &Identity) -> Result<()> {
    const NOW: &str = "
        SELECT c.relreplident::text,
               (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                 WHERE i.indrelid = c.oid AND i.indisreplident)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2";
    let action = format!("read the replica identity of table {table}");
    let row = session.query_opt(&action, NOW, &[&&*table.namespace, &&*table.name]).await?;
    let Some(row) = row else { return Ok(()) };
    let now = match row.get::<_, &str>(0) {
        "f" => Identity::Full,
        "n" => Identity::Nothing,
        "i" => Identity::Index(row.get::<_, Option<String>>(1).unwrap_or_default()),
        _ => Identity::Default,
    };
    if now == *identity {
        tracing::info!("the replica identity of table {table} is {} already", now.sql());
        return Ok(());
    }
    let statement =
        format!("ALTER TABLE {} REPLICA IDENTITY {}", catalog::qualified(table), identity.sql());
    tracing::info!("{statement}");
    session.execute(&format!("run {statement:?}"), &statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let parsed = ReplicaIdentities::parse(
            r"public\.a:FULL,Public.b:index b_key, inv.c:nothing,.*\.d:DEFAULT",
        )
        .unwrap();
        let of = |namespace: &str, name: &str| {
            let table = TableId { namespace: namespace.into(), name: name.into() };
            parsed.of(&table).unwrap().map(Identity::sql)
        };
        assert_eq!(of("public", "a").as_deref(), Some("FULL"));
        assert_eq!(of("public", "b").as_deref(), Some("USING INDEX \"b_key\""));
        assert_eq!(of("inv", "c").as_deref(), Some("NOTHING"));
        assert_eq!(of("x", "d").as_deref(), Some("DEFAULT"));
        assert_eq!(of("x", "e"), None);
        assert!(ReplicaIdentities::parse("public.a:SOME").is_err());
        let twice = ReplicaIdentities::parse("public.a:FULL,public..:NOTHING").unwrap();
        assert!(twice.of(&TableId { namespace: "public".into(), name: "a".into() }).is_err());
    }
}
