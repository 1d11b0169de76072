//! Tables, and the schemas of their events.

use std::{fmt, sync::Arc};

use model::{
    change::{TableSchema, envelope},
    schema::Schema,
};

use crate::adjustment::Adjustment;

/// The name of a table: the schema (PostgreSQL) or database (MySQL) it is in, and its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

/// What the schemas of a table's events are made from.
#[derive(Debug)]
pub struct TableShape<'a> {
    pub topic: Arc<str>,
    /// The captured columns: name of the field and complete schema (optional, default).
    pub columns: Vec<(Arc<str>, Arc<Schema>)>,
    /// In key order; empty when there is no key.
    pub key: Vec<KeyField>,
    pub source: &'a Arc<Schema>,
    /// `schema.name.adjustment.mode`
    pub adjustment: Adjustment,
}

/// A field of the key.
#[derive(Clone, Debug)]
pub struct KeyField {
    pub name: Arc<str>,
    /// Without what a mapper adds: see [`crate::mappers`].
    pub schema: Arc<Schema>,
    /// Where the row has the value: the column, or a cell after all columns.
    pub cell: u16,
}

impl TableShape<'_> {
    /// Builds the key, row and envelope schemas (Debezium's `TableSchemaBuilder`).
    pub fn schema(self) -> TableSchema {
        let Self { topic, columns, key, source, adjustment } = self;
        let name = |suffix: &str| adjustment.schema(&format!("{topic}.{suffix}"));
        let key_schema =
            Schema::structure(key.iter().map(|field| (field.name.clone(), field.schema.clone())))
                .name_only(&name("Key"));
        let row = Schema::structure(columns).name_only(&name("Value")).optional();
        let row = Arc::new(row);
        let envelope = Arc::new(envelope(&name("Envelope"), &row, source));
        let cells = key.iter().map(|field| field.cell).collect();
        let key = (!key.is_empty()).then(|| (Arc::new(key_schema), cells));
        TableSchema { topic, key, row, envelope }
    }
}
