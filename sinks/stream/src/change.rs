//! Reads a Debezium event out of a record, whatever converter it came through.

use model::value::{StructRef, Value, ValueRef};

/// Named fields of a struct, or entries of a schemaless map.
#[derive(Clone, Copy)]
pub(crate) enum Fields<'a> {
    Struct(StructRef<'a>),
    Map(&'a [(Value, Value)]),
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Struct(value) => Some(Fields::Struct(value)),
            ValueRef::Map(entries) => Some(Fields::Map(entries)),
            _ => None,
        }
    }

    pub(crate) fn get(self, name: &str) -> Option<ValueRef<'a>> {
        match self {
            Fields::Struct(value) => value.get(name),
            Fields::Map(entries) => entries
                .iter()
                .find(|(key, _)| matches!(key, Value::Text(text) if **text == *name))
                .map(|(_, value)| value.as_ref()),
        }
    }

    /// In order; keys that are no text have no name and are left out.
    pub(crate) fn list(self) -> Vec<(&'a str, ValueRef<'a>)> {
        match self {
            Fields::Struct(value) => value
                .schema
                .fields()
                .iter()
                .enumerate()
                .map(|(index, field)| (&*field.name, value.at(index)))
                .collect(),
            Fields::Map(entries) => entries
                .iter()
                .filter_map(|(key, value)| match key {
                    Value::Text(name) => Some((&**name, value.as_ref())),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// The parts of an envelope that people look at.
pub(crate) struct Event<'a> {
    pub(crate) op: &'a str,
    pub(crate) before: Option<Fields<'a>>,
    pub(crate) after: Option<Fields<'a>>,
    /// `schema.table`, `db.table`, or what there is of it.
    pub(crate) table: Option<String>,
    pub(crate) ts_ms: Option<i64>,
}

impl<'a> Event<'a> {
    /// `None` when the value is no envelope. A value with schemas may still be wrapped in
    /// `{"schema": …, "payload": …}`, when it was read without.
    pub(crate) fn of(value: ValueRef<'a>) -> Option<Self> {
        let fields = Fields::of(value)?;
        let fields = match fields.get("payload") {
            Some(payload) if fields.get("schema").is_some() => Fields::of(payload)?,
            _ => fields,
        };
        let Some(ValueRef::Text(op)) = fields.get("op") else { return None };
        let part = |name: &str| fields.get(name).and_then(Fields::of);
        let source = part("source")?;
        let text = |name: &str| match source.get(name) {
            Some(ValueRef::Text(text)) => Some(text),
            _ => None,
        };
        let table = text("table").or(text("collection"));
        let table = table.map(|table| match text("schema").or(text("db")) {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        });
        let ts_ms = match (source.get("ts_ms"), fields.get("ts_ms")) {
            (Some(ValueRef::Int(ms)), _) | (_, Some(ValueRef::Int(ms))) => Some(ms),
            _ => None,
        };
        Some(Self { op, before: part("before"), after: part("after"), table, ts_ms })
    }
}
