//! The captured tables as they are now: how to decode their rows, and the schemas of their events.

use std::sync::Arc;

use model::{
    change::TableSchema,
    error::{Error, Result},
    row::{RowsBuilder, Slot},
    schema::{Kind, Schema},
};
use relational::{
    adjustment::Adjustment,
    filters::Filter,
    keys::KeyColumns,
    mappers::ColumnMappers,
    names::Naming,
    table::{KeyField, TableId, TableShape},
};

use crate::{
    catalog::{self, CatalogTable},
    cells::{Phase, Scratch},
    types::{self, Types},
    wire::pgoutput,
};

mod column;
mod relations;

use column::{Column, Described};
use relations::Enums;
pub(crate) use relations::Relations;

/// What does not change while a task runs.
pub(crate) struct Capture {
    pub(crate) naming: Naming,
    pub(crate) schemas: Filter,
    pub(crate) tables: Filter,
    pub(crate) columns: Filter,
    pub(crate) builtin_ignored: bool,
    /// `signal.data.collection`, which is captured whatever the filters say.
    pub(crate) signals: Option<TableId>,
    pub(crate) keys: KeyColumns,
    pub(crate) mappers: ColumnMappers,
    /// `schema.name.adjustment.mode`
    pub(crate) schema_names: Adjustment,
    /// `field.name.adjustment.mode`
    pub(crate) field_names: Adjustment,
    pub(crate) types: types::Settings,
    pub(crate) bad_values: BadValues,
    /// `binary` in `slot.stream.params`: values of the stream come in binary form.
    pub(crate) binary: bool,
    pub(crate) source: Arc<Schema>,
}

impl Capture {
    pub(crate) fn accepts(&self, table: &TableId) -> bool {
        self.signals.as_ref() == Some(table) || self.lists(table)
    }

    /// Whether the filters let the table through.
    pub(crate) fn lists(&self, table: &TableId) -> bool {
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

/// A table version: decoding plan and schemas.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    /// The id as text, by which events are counted.
    pub(crate) text: Arc<str>,
    /// In the order of the row as it comes; `None` for columns that are left out.
    pub(crate) columns: Vec<Option<Column>>,
    /// Parts of the key that the row does not show as they are: their values follow those of the
    /// columns in each row.
    keys: Vec<KeyCell>,
    bad_values: BadValues,
    /// The columns of the primary key (or of the first unique index) as the catalog has it, and those
    /// of the events' key, by their index among `columns`.
    pub(crate) primary_key: Vec<usize>,
    pub(crate) event_key: Vec<usize>,
    /// Of a relation with columns of enums.
    enums: Option<Box<Enums>>,
    pub(crate) schema: Arc<TableSchema>,
}

/// A value of the key that is none of the row's.
#[derive(Debug)]
enum KeyCell {
    /// Of a column that is masked in the row, or left out of it. `index` is that among all columns,
    /// `selected` that in the select list.
    Column { index: usize, selected: usize, column: Box<Column> },
    /// What `topic.naming.strategy` adds.
    Constant(Arc<str>),
}

impl Table {
    /// For a snapshot: columns as the catalog has them.
    pub(crate) fn of_catalog(
        id: &TableId,
        found: &CatalogTable,
        types: &Types,
        capture: &Capture,
    ) -> Result<Self> {
        let described = found.columns.iter().map(|column| Described {
            name: &column.name,
            type_oid: column.type_oid,
            typmod: column.typmod,
        });
        Self::build(id, described.collect(), Some(found), types, capture, Phase::Snapshot)
    }

    fn build(
        id: &TableId,
        described: Vec<Described<'_>>,
        found: Option<&CatalogTable>,
        types: &Types,
        capture: &Capture,
        phase: Phase,
    ) -> Result<Self> {
        let key_names = key_names(id, &described, found, capture);
        let mut columns = Vec::with_capacity(described.len());
        // What the columns are in the key, where that differs from the row.
        let mut plain = Vec::with_capacity(described.len());
        for column in &described {
            let listed = capture.columns.accepts(&format!("{id}.{}", column.name));
            // Of a column that the filters leave out Debezium knows the type alone.
            let found = found
                .filter(|_| listed)
                .and_then(|table| table.columns.iter().find(|found| &*found.name == column.name));
            let in_key = key_names.iter().any(|name| name == column.name);
            let built = match listed || in_key {
                true => Column::build(id, column, found, types, capture, phase),
                false => None,
            };
            let (column, in_key) = match built {
                Some((column, in_key)) if listed => (Some(column), in_key),
                Some((column, in_key)) => (None, Some(in_key.unwrap_or(column))),
                None => (None, None),
            };
            columns.push(column);
            plain.push(in_key);
        }
        let captured: Vec<&Column> = columns.iter().flatten().collect();
        if let Some(name) = repeated(&captured) {
            return Err(Error::fatal(format!(
                "make the schema of table {id}: field.name.adjustment.mode gives two columns the \
                 name {name}; leave one out with column.exclude.list"
            )));
        }
        let place = |name: &String| described.iter().position(|column| column.name == name);
        let primary_key = found.map(|table| table.key.as_slice()).unwrap_or_default();
        let primary_key = primary_key.iter().filter_map(place).collect();
        let event_key: Vec<usize> = key_names.iter().filter_map(place).collect();
        let mut keys = Vec::new();
        let mut fields = Vec::new();
        let mut hidden = 0;
        let of_cell = |cell: usize| {
            u16::try_from(cell).map_err(|_| {
                Error::fatal(format!("make the schema of table {id}: it has too many columns"))
            })
        };
        for &index in &event_key {
            let before = columns.iter().take(index).flatten().count();
            let (column, cell) = match (columns[index].as_ref(), plain[index].take()) {
                (None, None) => continue,
                (Some(column), None) => (column.clone(), before),
                (Some(column), Some(key)) if key.same_values(column) => (key, before),
                (shown, Some(key)) => {
                    let selected = if shown.is_some() { before } else { captured.len() + hidden };
                    hidden += usize::from(shown.is_none());
                    keys.push(KeyCell::Column { index, selected, column: Box::new(key.clone()) });
                    (key, captured.len() + keys.len() - 1)
                }
            };
            let Column { field: name, schema, .. } = column;
            fields.push(KeyField { name, schema, cell: of_cell(cell)? });
        }
        if let Some((name, value)) = capture.naming.key_field(id) {
            let schema = Arc::new(Schema::new(Kind::String));
            fields.push(KeyField { name, schema, cell: of_cell(captured.len() + keys.len())? });
            keys.push(KeyCell::Constant(value));
        }
        let schema = Arc::new(table_schema(id, &captured, fields, capture));
        Ok(Self {
            id: id.clone(),
            text: id.to_string().into(),
            columns,
            keys,
            bad_values: capture.bad_values,
            primary_key,
            event_key,
            enums: None,
            schema,
        })
    }
}

/// The name of a field that two columns would have.
fn repeated<'c>(columns: &[&'c Column]) -> Option<&'c str> {
    let mut seen = std::collections::HashSet::new();
    columns.iter().find(|column| !seen.insert(&*column.field)).map(|column| &*column.field)
}

/// The names of the key's columns.
fn key_names(
    id: &TableId,
    columns: &[Described<'_>],
    found: Option<&CatalogTable>,
    capture: &Capture,
) -> Vec<String> {
    match capture.keys.columns_of(id, columns.iter().map(|column| column.name)) {
        Some(indexes) => {
            let at = |index: u16| columns.get(usize::from(index));
            indexes.into_iter().filter_map(at).map(|column| column.name.to_owned()).collect()
        }
        None => found.map(|table| table.key.clone()).unwrap_or_default(),
    }
}

fn table_schema(
    id: &TableId,
    columns: &[&Column],
    key: Vec<KeyField>,
    capture: &Capture,
) -> TableSchema {
    TableShape {
        topic: capture.naming.data(id).into(),
        columns: columns
            .iter()
            .map(|column| (column.field.clone(), column.schema.clone()))
            .collect(),
        key,
        source: &capture.source,
        adjustment: capture.schema_names,
    }
    .schema()
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
            let old = old.map(|old| (old, captured));
            column.push_streamed(cell, old, self, scratch, rows)?;
            captured += 1;
        }
        for (key, place) in self.keys.iter().zip(captured..) {
            match key {
                KeyCell::Column { index, column, .. } => {
                    let mut cells = tuple;
                    let old = old.map(|old| (old, place));
                    column.push_streamed(cells.nth(*index), old, self, scratch, rows)?;
                }
                KeyCell::Constant(text) => rows.text(text),
            }
        }
        Ok(rows.end())
    }

    /// Pushes a row of a COPY, which begins with the columns of the [select list](Self::select_list).
    pub(crate) fn push_copied<'a>(
        &self,
        fields: impl Iterator<Item = Option<&'a [u8]>> + Clone,
        scratch: &mut Scratch,
        rows: &mut RowsBuilder,
    ) -> Result<Slot> {
        let mut push = |column: &Column, field: Option<&[u8]>| match field {
            None => {
                column.push_missing(rows);
                Ok(())
            }
            Some(field) => column.push_decoded(
                column.decode.copied(field, Phase::Snapshot, scratch),
                self,
                rows,
            ),
        };
        let mut columns = fields.clone();
        for column in self.columns.iter().flatten() {
            push(column, columns.next().flatten())?;
        }
        for key in &self.keys {
            if let KeyCell::Column { selected, column, .. } = key {
                push(column, fields.clone().nth(*selected).flatten())?;
            }
        }
        if let Some(KeyCell::Constant(text)) = self.keys.last() {
            rows.text(text);
        }
        Ok(rows.end())
    }

    /// Pushes a value that was read again, as a row of its own. `index` is that of its column.
    pub(crate) fn push_again(
        &self,
        index: usize,
        field: Option<&[u8]>,
        scratch: &mut Scratch,
        rows: &mut RowsBuilder,
    ) -> Result<Slot> {
        match (self.columns.get(index).and_then(Option::as_ref), field) {
            (Some(column), Some(field)) => {
                column.push_decoded(
                    column.decode.copied(field, Phase::Snapshot, scratch),
                    self,
                    rows,
                )?;
            }
            (Some(column), None) => column.push_missing(rows),
            (None, _) => rows.null(),
        }
        Ok(rows.end())
    }

    /// A column of the row or of its key, by its index among all columns.
    pub(crate) fn column(&self, index: usize) -> Option<&Column> {
        let of_key = |key| match key {
            &KeyCell::Column { index: at, ref column, .. } if at == index => Some(&**column),
            _ => None,
        };
        let column = self.columns.get(index)?.as_ref();
        column.or_else(|| self.keys.iter().find_map(of_key))
    }

    /// The select list of a COPY: captured columns and those of the key that are left out of the row,
    /// cast where they are not read in their own form. A column that the source of the rows does not
    /// have is null.
    pub(crate) fn select_list(&self, has: impl Fn(&str) -> bool) -> String {
        let columns = self.selected().map(|column| {
            if !has(&column.name) {
                return "NULL".to_owned();
            }
            column.selected()
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The number of columns in the [select list](Self::select_list).
    pub(crate) fn selected_len(&self) -> usize {
        self.selected().count()
    }

    fn selected(&self) -> impl Iterator<Item = &Column> {
        let hidden = self.keys.iter().filter_map(|key| match key {
            KeyCell::Column { index, column, .. } if self.columns[*index].is_none() => {
                Some(&**column)
            }
            _ => None,
        });
        self.columns.iter().flatten().chain(hidden)
    }
}
