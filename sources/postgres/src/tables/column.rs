//! A column of a captured table: its field in events, and how its values get there.

use std::sync::Arc;

use model::{
    error::{Error, Result},
    row::{RowsBuilder, Slot},
    schema::Schema,
    value::Value,
};
use relational::{
    mappers::{Change, SourceColumn, truncated},
    table::TableId,
};

use super::{BadValues, Capture, Table};
use crate::{
    catalog::{self, CatalogColumn},
    cells::{BadValue, Cell, Decode, Phase, Scratch, bind_value, push_value, sent::Sent},
    defaults::default_value,
    types::{self, Placeholder, Types, jdbc},
    wire::pgoutput,
};

/// A column as the wire or the catalog names it.
pub(super) struct Described<'a> {
    pub(super) name: &'a str,
    pub(super) type_oid: u32,
    pub(super) typmod: i32,
}

/// A column of a captured table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    /// Its name in events.
    pub(super) field: Arc<str>,
    pub(super) schema: Arc<Schema>,
    pub(crate) type_oid: u32,
    pub(crate) decode: Decode,
    pub(crate) cast: &'static str,
    /// How the stream has its values in binary form.
    pub(super) sent: Sent,
    /// What a mapper does to the values.
    change: Option<Change>,
    /// Pushed for null when the column is NOT NULL.
    missing: Value,
    /// Pushed for a large value that an update did not touch.
    unchanged: Value,
}

impl Column {
    /// The column in rows, and in keys where that is something else; `None` when its type is not
    /// mapped.
    pub(super) fn build(
        id: &TableId,
        described: &Described<'_>,
        found: Option<&CatalogColumn>,
        types: &Types,
        capture: &Capture,
        phase: Phase,
    ) -> Option<(Self, Option<Self>)> {
        let Described { name, type_oid, typmod } = *described;
        let Some(mapped) = types::map(types, type_oid, typmod, &capture.types) else {
            let type_name = types.get(&type_oid).map_or("?", |info| &info.name);
            tracing::warn!(
                "table {id}: column {name} of type {type_name} has no mapping and is left out of events, as in Debezium; include.unknown.datatypes=true sends it as bytes"
            );
            return None;
        };
        let not_null = found.is_some_and(|column| column.not_null);
        let expression = found.and_then(|column| column.default.as_deref());
        let default = expression.and_then(|expression| {
            let type_name = types.get(&type_oid).map_or("", |info| &info.name);
            // Debezium reads no defaults of domains.
            let domain = types::is_domain(types, type_oid);
            if domain { None } else { default_value(expression, type_name, &mapped.decode) }
        });
        let missing = match (not_null, &default) {
            (false, _) => Value::Null,
            (true, Some(default)) => default.clone(),
            (true, None) => mapped.fallback,
        };
        let unchanged = match mapped.unchanged {
            Value::Null => missing.clone(),
            unchanged => unchanged,
        };
        let plain = Self {
            name: name.into(),
            field: capture.field_names.field(name).into(),
            schema: Arc::new(mapped.schema),
            type_oid,
            sent: Sent::of(types, type_oid, &mapped.decode),
            decode: mapped.decode,
            cast: mapped.cast,
            change: None,
            missing,
            unchanged,
        };
        let finish = |column: Self, schema: Schema| {
            let optional = !not_null || mapped.always_optional;
            column.bound_to(Schema { optional, default: default.clone(), ..schema })
        };
        let reported = jdbc::reported(types, type_oid, typmod, expression, phase);
        let Some(mapper) = capture.mappers.of(id, name, &reported.type_name) else {
            let schema = (*plain.schema).clone();
            return Some((finish(plain, schema), None));
        };
        let source = SourceColumn {
            name,
            type_name: &reported.type_name,
            length: reported.length,
            scale: reported.scale,
            // Debezium's PostgreSQL connector reads no comments.
            comment: None,
            characters: reported.characters,
        };
        let change = mapper.change(&source);
        let changed = |value: &Value| match &change {
            Some(change) => changed_value(change, value, &plain.decode),
            None => value.clone(),
        };
        let (missing, unchanged) = (changed(&plain.missing), changed(&plain.unchanged));
        let schema = mapper.alter((*plain.schema).clone(), &source);
        let mut column = plain.clone();
        column.missing = missing;
        column.unchanged = unchanged;
        column.change = change;
        let plain_schema = (*plain.schema).clone();
        Some((finish(column, schema), Some(finish(plain, plain_schema))))
    }

    /// With `schema` in the structs that it makes.
    fn bound_to(self, schema: Schema) -> Self {
        let schema = Arc::new(schema);
        Self {
            decode: self.decode.bound_to(&schema),
            missing: bind_value(self.missing, &schema),
            unchanged: bind_value(self.unchanged, &schema),
            schema,
            ..self
        }
    }

    /// Whether the rows' cells of `self` and `other` are interchangeable.
    pub(super) fn same_values(&self, other: &Self) -> bool {
        let plain = |column: &Self| column.change.is_none();
        plain(self) && plain(other) && self.decode == other.decode
    }

    /// How a query asks for it: cast where it is not read in its own form.
    pub(crate) fn selected(&self) -> String {
        let name = catalog::quote(&self.name);
        match self.cast {
            "" => name,
            types::INET => format!("textin(inet_out({name}))"),
            types::XML => format!("textin(xml_out({name}))"),
            cast => format!("{name}::{cast}"),
        }
    }

    /// Whether Debezium's `ReselectColumnsPostProcessor` finds its placeholder in what stands for a
    /// value that was not logged.
    pub(crate) fn shows(&self, placeholder: &Placeholder) -> bool {
        let plain = |value: &Value| match value {
            Value::Text(text) => *text == placeholder.text,
            Value::Bytes(bytes) => *bytes == placeholder.bytes,
            _ => false,
        };
        match &self.unchanged {
            Value::Text(text) if self.schema.name.as_deref() == Some("io.debezium.data.Json") => {
                let plain = &placeholder.text;
                *text == *plain || **text == *format!("{{\"{plain}\":\"{plain}\"}}")
            }
            // Arrays of numbers have its bytes.
            Value::Array(values) => {
                values.iter().any(|value| plain(value) || matches!(value, Value::Int(_)))
            }
            Value::Map(_) => true,
            value => plain(value),
        }
    }

    pub(super) fn push_missing(&self, rows: &mut RowsBuilder) {
        push_value(&self.missing, rows);
    }

    pub(super) fn push_decoded(
        &self,
        decoded: std::result::Result<Cell<'_>, BadValue>,
        table: &Table,
        rows: &mut RowsBuilder,
    ) -> Result<()> {
        match decoded {
            Ok(Cell::Null) => self.push_missing(rows),
            Ok(cell) => match &self.change {
                None => cell.push(rows),
                Some(change) => push_changed(change, cell, &self.decode, rows),
            },
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

    /// Pushes a value of the stream. `old` is the row to take an untouched large value from.
    pub(super) fn push_streamed(
        &self,
        cell: Option<pgoutput::Cell<'_>>,
        old: Option<(Slot, usize)>,
        table: &Table,
        scratch: &mut Scratch,
        rows: &mut RowsBuilder,
    ) -> Result<()> {
        match cell {
            None | Some(pgoutput::Cell::Null) => self.push_missing(rows),
            Some(pgoutput::Cell::Unchanged) => match old {
                Some((old, index)) => rows.copy(old, index),
                None => push_value(&self.unchanged, rows),
            },
            Some(pgoutput::Cell::Text(text)) => {
                let decoded = match std::str::from_utf8(text) {
                    Ok(text) => self.decode.text(text, Phase::Stream, scratch),
                    Err(_) => Err(BadValue { expected: "text in UTF-8" }),
                };
                return self.push_decoded(decoded, table, rows);
            }
            Some(pgoutput::Cell::Binary(field)) => {
                let mut printed = std::mem::take(&mut scratch.printed);
                let decoded =
                    self.sent.decode(&self.decode, field, Phase::Stream, &mut printed, scratch);
                let pushed = self.push_decoded(decoded, table, rows);
                scratch.printed = printed;
                return pushed;
            }
        }
        Ok(())
    }
}

/// Pushes a decoded value as a mapper changes it.
fn push_changed(change: &Change, cell: Cell<'_>, decode: &Decode, rows: &mut RowsBuilder) {
    match (change, cell) {
        (Change::Constant(text), _) => rows.text(text),
        (Change::Truncate(units), Cell::Text(text)) => rows.text(truncated(text, *units)),
        // Only what Java keeps in a buffer is cut: not numbers, not bits.
        (Change::Truncate(length), Cell::Bytes(bytes))
            if matches!(decode, Decode::Bytea(_) | Decode::Unknown(_)) =>
        {
            rows.bytes(bytes.get(..*length).unwrap_or(bytes));
        }
        (Change::Hash(hasher, length), Cell::Text(text)) => {
            let mut hash = String::new();
            hasher.write(text, &mut hash);
            rows.text(length.map_or(hash.as_str(), |length| truncated(&hash, length)));
        }
        (_, cell) => cell.push(rows),
    }
}

/// The same for a value that stands for one that is missing.
fn changed_value(change: &Change, value: &Value, decode: &Decode) -> Value {
    match (change, value) {
        (Change::Constant(text), _) => Value::Text(text.clone()),
        (Change::Truncate(units), Value::Text(text)) => Value::Text(truncated(text, *units).into()),
        (Change::Truncate(length), Value::Bytes(bytes))
            if matches!(decode, Decode::Bytea(_) | Decode::Unknown(_)) =>
        {
            Value::Bytes(bytes.slice(..bytes.len().min(*length)))
        }
        (Change::Hash(hasher, length), Value::Text(text)) => {
            let mut hash = String::new();
            hasher.write(text, &mut hash);
            Value::Text(length.map_or(hash.as_str(), |length| truncated(&hash, length)).into())
        }
        (_, value) => value.clone(),
    }
}
