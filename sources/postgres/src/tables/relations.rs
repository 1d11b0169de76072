//! The relations that the stream has announced, as the tables that they are.
//!
//! Nothing in the stream says that an enum has got a value, or that one has another name now. So a
//! value that is none of the enum's is the sign of it, as in Debezium: the type is read again, and the
//! events from this one on have its new list.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use model::error::{Error, Result};
use relational::table::TableId;

use super::{Capture, Table, column::Described};
use crate::{
    catalog::{self, CatalogTable},
    cells::{Phase, sent::Sent},
    session::Session,
    types::{TypeKind, Types},
    wire::pgoutput::{self, Cell, Tuple},
};

/// What of a relation message is kept to make its table anew.
#[derive(Debug)]
struct Announced {
    relation: u32,
    /// Name, type and modifier.
    columns: Vec<(Box<str>, u32, i32)>,
}

/// The enums of a table.
#[derive(Debug)]
pub(super) struct Enums {
    announced: Announced,
    columns: Vec<EnumColumn>,
}

/// A captured column of an enum.
#[derive(Debug)]
struct EnumColumn {
    index: usize,
    oid: u32,
    /// Sorted.
    labels: Vec<Box<[u8]>>,
}

impl Enums {
    /// `None` when there is none among the columns.
    fn of(table: &Table, announced: Announced, types: &Types) -> Option<Box<Self>> {
        let columns = announced.columns.iter().zip(&table.columns).enumerate();
        let enums = columns.filter_map(|(index, ((_, oid, _), column))| {
            column.as_ref()?;
            let TypeKind::Enum { labels } = &types.get(oid)?.kind else { return None };
            let mut labels: Vec<Box<[u8]>> =
                labels.iter().map(|label| label.as_bytes().into()).collect();
            labels.sort();
            Some(EnumColumn { index, oid: *oid, labels })
        });
        let columns: Vec<EnumColumn> = enums.collect();
        (!columns.is_empty()).then(|| Box::new(Self { announced, columns }))
    }
}

impl Table {
    /// For the stream: columns as the relation message has them; nullability, defaults and key as
    /// the catalog has them now, by name, because the message lacks them.
    fn of_relation(
        id: &TableId,
        announced: Announced,
        found: Option<&CatalogTable>,
        types: &Types,
        capture: &Capture,
    ) -> Result<Self> {
        let described = announced.columns.iter().map(|(name, type_oid, typmod)| Described {
            name,
            type_oid: *type_oid,
            typmod: *typmod,
        });
        let mut table = Self::build(id, described.collect(), found, types, capture, Phase::Stream)?;
        let unread = table.columns.iter().flatten().find(|column| column.sent == Sent::Unread);
        if let Some(column) = unread.filter(|_| capture.binary) {
            return Err(Error::fatal(format!(
                "make the schema of table {id}: column {} has a type whose binary form is not read; \
                 leave binary out of slot.stream.params, or the column out with column.exclude.list",
                column.name
            )));
        }
        table.enums = Enums::of(&table, announced, types);
        Ok(table)
    }
}

/// The relations that the stream has announced.
#[derive(Default)]
pub(crate) struct Relations {
    by_id: HashMap<u32, Option<Arc<Table>>>,
    /// The one asked for last: changes of a table come in runs.
    last: Option<(u32, Option<Arc<Table>>)>,
    /// Labels that their enums have no more, by the type: looked for once.
    gone: HashSet<(u32, Box<[u8]>)>,
}

impl Relations {
    /// `None` for a relation that is not captured.
    ///
    /// # Errors
    ///
    /// When the relation was never announced, which the protocol rules out.
    pub(crate) fn get(&mut self, id: u32) -> Result<Option<&Arc<Table>>> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            let Some(table) = self.by_id.get(&id) else {
                return Err(Error::retriable(format!(
                    "decode a change of relation {id}: the server has not announced the relation"
                )));
            };
            self.last = Some((id, table.clone()));
        }
        Ok(self.last.as_ref().and_then(|(_, table)| table.as_ref()))
    }

    fn insert(&mut self, id: u32, table: Option<Arc<Table>>) {
        self.by_id.insert(id, table);
        self.last = None;
    }

    /// What the relations of these ids are now, for [`Relations::put_back`].
    pub(crate) fn versions(&self, ids: &[u32]) -> Vec<(u32, Option<Arc<Table>>)> {
        let version = |id: &u32| Some((*id, self.by_id.get(id)?.clone()));
        ids.iter().filter_map(version).collect()
    }

    /// Makes relations what they were.
    pub(crate) fn put_back(&mut self, versions: Vec<(u32, Option<Arc<Table>>)>) {
        self.by_id.extend(versions);
        self.last = None;
    }

    /// Takes up a relation message.
    pub(crate) async fn announce(
        &mut self,
        relation: &pgoutput::Relation<'_>,
        session: &Session,
        types: &mut Types,
        capture: &Capture,
    ) -> Result<()> {
        let id = TableId { namespace: relation.namespace.into(), name: relation.name.into() };
        if !capture.accepts(&id) {
            self.insert(relation.id, None);
            return Ok(());
        }
        // A type that came up after the start, or an enum that grew.
        let stale = |oid: &u32| {
            let kind = types.get(oid).map(|info| &info.kind);
            !matches!(kind, Some(TypeKind::Base | TypeKind::Money { .. }))
        };
        let oids = relation.columns.iter().map(|column| column.type_oid);
        let oids: Vec<u32> = oids.filter(stale).collect();
        if !oids.is_empty() {
            types.extend(catalog::types_of(session, &oids).await?);
        }
        let columns = relation.columns.iter();
        let columns =
            columns.map(|column| (column.name.into(), column.type_oid, column.type_modifier));
        let announced = Announced { relation: relation.id, columns: columns.collect() };
        self.make(&id, announced, session, types, capture).await?;
        Ok(())
    }

    async fn make(
        &mut self,
        id: &TableId,
        announced: Announced,
        session: &Session,
        types: &Types,
        capture: &Capture,
    ) -> Result<Arc<Table>> {
        let relation = announced.relation;
        let found = definition(session, relation, id).await?;
        let table = Arc::new(Table::of_relation(id, announced, found.as_ref(), types, capture)?);
        self.insert(relation, Some(table.clone()));
        Ok(table)
    }

    /// Whether a new row has a value that its enum did not have when the table was made.
    pub(crate) fn outgrown(&self, table: &Table, row: Tuple<'_>) -> bool {
        table.enums.as_ref().is_some_and(|enums| self.new_label(enums, row).is_some())
    }

    /// The first such value, with its type.
    fn new_label<'r>(&self, enums: &Enums, row: Tuple<'r>) -> Option<(u32, &'r [u8])> {
        let mut cells = row;
        let mut next = 0;
        enums.columns.iter().find_map(|column| {
            let cell = cells.nth(column.index - next)?;
            next = column.index + 1;
            let (Cell::Text(label) | Cell::Binary(label)) = cell else { return None };
            let known = column.labels.binary_search_by(|known| (**known).cmp(label)).is_ok();
            let new = !known && !self.gone.contains(&(column.oid, label.into()));
            new.then_some((column.oid, label))
        })
    }

    /// The table with its enums as they are now, for a row that has [outgrown](Self::outgrown) it.
    pub(crate) async fn grown(
        &mut self,
        mut table: Arc<Table>,
        row: Tuple<'_>,
        session: &Session,
        types: &mut Types,
        capture: &Capture,
    ) -> Result<Arc<Table>> {
        while let Some(enums) = &table.enums
            && let Some((oid, label)) = self.new_label(enums, row)
        {
            types.extend(catalog::types_of(session, &[oid]).await?);
            let Announced { relation, columns } = &enums.announced;
            let announced = Announced { relation: *relation, columns: columns.clone() };
            let grown = self.make(&table.id, announced, session, types, capture).await?;
            let now = grown.enums.as_deref();
            if now.is_some_and(|enums| self.new_label(enums, row) == Some((oid, label))) {
                self.gone.insert((oid, label.into()));
            }
            tracing::info!(
                "table {}: enum {} has other values than before",
                table.id,
                types.get(&oid).map_or("", |info| &info.name)
            );
            table = grown;
        }
        Ok(table)
    }
}

/// What the catalog says of a relation. Names move on while changes wait in the log, and the message
/// has the name of then; a table that is made anew, however, goes on under its name.
async fn definition(
    session: &Session,
    relation: u32,
    id: &TableId,
) -> Result<Option<CatalogTable>> {
    match catalog::table_of(session, relation, id).await? {
        None => catalog::table(session, id).await,
        found => Ok(found),
    }
}
