//! Tables, and the schemas of their events.

use std::{fmt, sync::Arc};

use model::{
    change::{TableSchema, envelope},
    schema::Schema,
};

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
    /// The captured columns: name and complete schema (optional, default).
    pub columns: Vec<(Arc<str>, Arc<Schema>)>,
    /// Indexes into `columns`, in key order; empty when there is no key.
    pub key: Vec<u16>,
    pub source: &'a Arc<Schema>,
}

impl TableShape<'_> {
    /// Builds the key, row and envelope schemas (Debezium's `TableSchemaBuilder`).
    pub fn schema(self) -> TableSchema {
        let Self { topic, columns, key, source } = self;
        let key_schema =
            Schema::structure(key.iter().map(|&index| columns[usize::from(index)].clone()))
                .name_only(&format!("{topic}.Key"));
        let row = Schema::structure(columns).name_only(&format!("{topic}.Value")).optional();
        let row = Arc::new(row);
        let envelope = Arc::new(envelope(&format!("{topic}.Envelope"), &row, source));
        let key = (!key.is_empty()).then(|| (Arc::new(key_schema), key.into()));
        TableSchema { topic, key, row, envelope }
    }
}
