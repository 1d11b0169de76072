//! The captured tables as they are now: how to decode their rows, and the schemas of their events.

use std::{collections::HashMap, sync::Arc};

use model::{
    change::TableSchema,
    error::{Error, Result},
    row::{RowsBuilder, Slot},
    schema::Schema,
    value::Value,
};
use relational::{
    filters::Filter,
    keys::KeyColumns,
    names::Naming,
    table::{TableId, TableShape},
};

use crate::{
    catalog::{self, CatalogTable},
    cells::{BadValue, Cell, Decode, Phase, Scratch, bind_value, push_value},
    defaults::default_value,
    session::Session,
    types::{self, Types},
    wire::pgoutput,
};

/// What does not change while a task runs.
pub(crate) struct Capture {
    pub(crate) naming: Naming,
    pub(crate) schemas: Filter,
    pub(crate) tables: Filter,
    pub(crate) columns: Filter,
    pub(crate) builtin_ignored: bool,
    pub(crate) keys: KeyColumns,
    pub(crate) types: types::Settings,
    pub(crate) bad_values: BadValues,
    pub(crate) source: Arc<Schema>,
}

impl Capture {
    pub(crate) fn accepts(&self, table: &TableId) -> bool {
        !(self.builtin_ignored && catalog::builtin(table))
            && self.schemas.accepts(&table.namespace)
            && self.tables.accepts(&table.to_string())
    }
}

/// `event.converting.failure.handling.mode`: what becomes of a value that can't be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadValues {
    /// It is left null, and the log says so.
    Warn,
    /// It is left null.
    Skip,
    Fail,
}

/// A column of a captured table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    schema: Arc<Schema>,
    pub(crate) decode: Decode,
    pub(crate) cast: &'static str,
    /// Pushed for null when the column is NOT NULL.
    missing: Value,
    /// Pushed for a large value that an update did not touch.
    unchanged: Value,
}

/// A table version: decoding plan and schemas.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    /// The id as text, by which events are counted.
    pub(crate) text: Arc<str>,
    /// In the order of the row as it comes; `None` for columns that are left out.
    pub(crate) columns: Vec<Option<Column>>,
    bad_values: BadValues,
    pub(crate) schema: Arc<TableSchema>,
}

/// A column as the wire or the catalog names it.
struct Described<'a> {
    name: &'a str,
    type_oid: u32,
    typmod: i32,
}

impl Table {
    /// For a snapshot: columns as the catalog has them.
    pub(crate) fn of_catalog(
        id: &TableId,
        found: &CatalogTable,
        types: &Types,
        capture: &Capture,
    ) -> Self {
        let described = found.columns.iter().map(|column| Described {
            name: &column.name,
            type_oid: column.type_oid,
            typmod: column.typmod,
        });
        Self::build(id, described.collect(), Some(found), types, capture)
    }

    /// For the stream: columns as the relation message has them; nullability, defaults and key as
    /// the catalog has them now, by name, because the message lacks them.
    pub(crate) fn of_relation(
        relation: &pgoutput::Relation<'_>,
        found: Option<&CatalogTable>,
        types: &Types,
        capture: &Capture,
    ) -> Self {
        let id = TableId { namespace: relation.namespace.into(), name: relation.name.into() };
        let described = relation.columns.iter().map(|column| Described {
            name: column.name,
            type_oid: column.type_oid,
            typmod: column.type_modifier,
        });
        Self::build(&id, described.collect(), found, types, capture)
    }

    fn build(
        id: &TableId,
        described: Vec<Described<'_>>,
        found: Option<&CatalogTable>,
        types: &Types,
        capture: &Capture,
    ) -> Self {
        let mut columns = Vec::with_capacity(described.len());
        for Described { name, type_oid, typmod } in described {
            if !capture.columns.accepts(&format!("{id}.{name}")) {
                columns.push(None);
                continue;
            }
            let Some(mapped) = types::map(types, type_oid, typmod, &capture.types) else {
                let type_name = types.get(&type_oid).map_or("?", |info| &info.name);
                tracing::warn!(
                    "table {id}: column {name} of type {type_name} has no mapping and is left out of events, as in Debezium"
                );
                columns.push(None);
                continue;
            };
            let column =
                found.and_then(|table| table.columns.iter().find(|column| &*column.name == name));
            let not_null = column.is_some_and(|column| column.not_null);
            let default =
                column.and_then(|column| column.default.as_deref()).and_then(|expression| {
                    default_value(expression, type_name(types, type_oid), &mapped.decode)
                });
            let missing = match (not_null || mapped.always_optional, &default) {
                (false, _) => Value::Null,
                (true, _) if !not_null => Value::Null,
                (true, Some(default)) => default.clone(),
                (true, None) => mapped.fallback,
            };
            let unchanged = match mapped.unchanged {
                Value::Null => missing.clone(),
                unchanged => unchanged,
            };
            let schema = Arc::new(Schema {
                optional: !not_null || mapped.always_optional,
                default,
                ..mapped.schema
            });
            columns.push(Some(Column {
                name: name.into(),
                decode: mapped.decode.bound_to(&schema),
                cast: mapped.cast,
                missing: bind_value(missing, &schema),
                unchanged: bind_value(unchanged, &schema),
                schema,
            }));
        }
        let schema = Arc::new(table_schema(id, &columns, found, capture));
        Self {
            id: id.clone(),
            text: id.to_string().into(),
            columns,
            bad_values: capture.bad_values,
            schema,
        }
    }
}

/// The name that defaults are read by: a domain counts as its base type.
fn type_name(types: &Types, oid: u32) -> &str {
    match types.get(&oid) {
        Some(types::TypeInfo { kind: types::TypeKind::Domain { base, .. }, .. }) => {
            type_name(types, *base)
        }
        Some(info) => &info.name,
        None => "",
    }
}

fn table_schema(
    id: &TableId,
    columns: &[Option<Column>],
    found: Option<&CatalogTable>,
    capture: &Capture,
) -> TableSchema {
    let captured: Vec<&Column> = columns.iter().flatten().collect();
    let names = captured.iter().map(|column| &*column.name);
    let key = capture.keys.columns_of(id, names.clone()).unwrap_or_else(|| {
        let key = found.map(|table| table.key.as_slice()).unwrap_or_default();
        let position = |name: &String| names.clone().position(|column| column == name);
        key.iter().filter_map(position).filter_map(|index| u16::try_from(index).ok()).collect()
    });
    TableShape {
        topic: capture.naming.data(id).into(),
        columns: captured
            .iter()
            .map(|column| (column.name.clone(), column.schema.clone()))
            .collect(),
        key,
        source: &capture.source,
    }
    .schema()
}

impl Column {
    fn push_missing(&self, rows: &mut RowsBuilder) {
        push_value(&self.missing, rows);
    }

    fn push_decoded(
        &self,
        decoded: Result<Cell<'_>, BadValue>,
        table: &Table,
        rows: &mut RowsBuilder,
    ) -> Result<()> {
        match decoded {
            Ok(Cell::Null) => self.push_missing(rows),
            Ok(cell) => cell.push(rows),
            Err(error) => {
                let (id, name) = (&table.id, &self.name);
                let text = format!("table {id}: value of column {name} could not be converted");
                match table.bad_values {
                    BadValues::Warn => tracing::warn!("{text}, left null: {error}"),
                    BadValues::Skip => tracing::debug!("{text}, left null: {error}"),
                    BadValues::Fail => {
                        rows.abandon();
                        return Err(Error::fatal(format!(
                            "{text}: {error}; event.converting.failure.handling.mode=warn leaves such values null"
                        )));
                    }
                }
                self.push_missing(rows);
            }
        }
        Ok(())
    }
}

impl Table {
    /// Pushes a row of the stream. `old` is the row to take untouched large values from.
    ///
    /// # Errors
    ///
    /// When the row has another number of columns than its relation, which the protocol rules out, and
    /// when a value can't be converted and that is to fail.
    pub(crate) fn push_tuple(
        &self,
        tuple: pgoutput::Tuple<'_>,
        old: Option<Slot>,
        scratch: &mut Scratch,
        rows: &mut RowsBuilder,
    ) -> Result<Slot> {
        if tuple.len() != self.columns.len() {
            return Err(Error::fatal(format!(
                "decode a row of table {}: it has {} columns, its relation message had {}",
                self.id,
                tuple.len(),
                self.columns.len()
            )));
        }
        let mut captured = 0;
        let mut cells = tuple;
        for column in &self.columns {
            let cell = cells.next();
            let Some(column) = column else { continue };
            match cell {
                None | Some(pgoutput::Cell::Null) => column.push_missing(rows),
                Some(pgoutput::Cell::Unchanged) => match old {
                    Some(old) => rows.copy(old, captured),
                    None => push_value(&column.unchanged, rows),
                },
                Some(pgoutput::Cell::Text(text)) => {
                    let decoded = match std::str::from_utf8(text) {
                        Ok(text) => column.decode.text(text, Phase::Stream, scratch),
                        Err(_) => Err(BadValue { expected: "text in UTF-8" }),
                    };
                    column.push_decoded(decoded, self, rows)?;
                }
                Some(pgoutput::Cell::Binary(_)) => {
                    // Never asked for: START_REPLICATION leaves `binary` off.
                    let decoded = Err(BadValue { expected: "a value in text form" });
                    column.push_decoded(decoded, self, rows)?;
                }
            }
            captured += 1;
        }
        Ok(rows.end())
    }

    /// Pushes a row of a COPY, which has the captured columns only.
    pub(crate) fn push_copied<'a>(
        &self,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
        scratch: &mut Scratch,
        rows: &mut RowsBuilder,
    ) -> Result<Slot> {
        let mut fields = fields;
        for column in self.columns.iter().flatten() {
            match fields.next().flatten() {
                None => column.push_missing(rows),
                Some(field) => {
                    column.push_decoded(column.decode.copied(field, scratch), self, rows)?;
                }
            }
        }
        Ok(rows.end())
    }

    /// The select list of a COPY: captured columns, cast where they are not read in their own form.
    /// A column that the source of the rows does not have is null.
    pub(crate) fn select_list(&self, has: impl Fn(&str) -> bool) -> String {
        let columns = self.columns.iter().flatten().map(|column| {
            if !has(&column.name) {
                return "NULL".to_owned();
            }
            let name = catalog::quote(&column.name);
            match column.cast {
                "" => name,
                types::INET => format!("textin(inet_out({name}))"),
                cast => format!("{name}::{cast}"),
            }
        });
        columns.collect::<Vec<_>>().join(", ")
    }
}

/// The relations that the stream has announced.
#[derive(Default)]
pub(crate) struct Relations(HashMap<u32, Option<Arc<Table>>>);

impl Relations {
    /// `None` for a relation that is not captured.
    ///
    /// # Errors
    ///
    /// When the relation was never announced, which the protocol rules out.
    pub(crate) fn get(&self, id: u32) -> Result<Option<&Arc<Table>>> {
        match self.0.get(&id) {
            Some(table) => Ok(table.as_ref()),
            None => Err(Error::retriable(format!(
                "decode a change of relation {id}: the server has not announced the relation"
            ))),
        }
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
            self.0.insert(relation.id, None);
            return Ok(());
        }
        // A type that came up after the start, or an enum that grew.
        let stale =
            |oid: &u32| !matches!(types.get(oid), Some(info) if info.kind == types::TypeKind::Base);
        if relation.columns.iter().any(|column| stale(&column.type_oid)) {
            *types = catalog::types(session).await?;
        }
        let found = catalog::table(session, &id).await?;
        let table = Table::of_relation(relation, found.as_ref(), types, capture);
        self.0.insert(relation.id, Some(Arc::new(table)));
        Ok(())
    }
}
