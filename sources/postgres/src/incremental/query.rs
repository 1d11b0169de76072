//! The statements about one table, and what they bring.

use std::{pin::pin, sync::Arc};

use ::snapshot::{
    incremental::{
        Key,
        query::{KeyColumn, Values},
    },
    notifications::Status,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use model::error::{Error, Result};

use super::{
    CHUNK_BYTES_MAX, Chunk, EQUAL_BYTES_MAX, Failure, POSTGRES, Request, Shape,
    key::{self, KeyKind},
};
use crate::{
    catalog,
    session::Session,
    tables::Table,
    wire::{Lsn, copy},
};

/// The state of a statement that took too long, or that somebody canceled.
const QUERY_CANCELED: &str = "57014";

pub(super) struct Columns {
    pub(super) key: Vec<KeyColumn>,
    pub(super) kinds: Vec<KeyKind>,
    /// No two rows have the same key.
    pub(super) unique: bool,
}

/// The statements about one table.
pub(super) struct Plan<'a> {
    pub(super) request: &'a Request,
    pub(super) table: &'a Arc<Table>,
    pub(super) columns: Columns,
    pub(super) session: &'a Session,
}

impl Plan<'_> {
    fn names(&self, suffix: &str) -> String {
        let name = |column: &KeyColumn| format!("{}{suffix}", column.name);
        self.columns.key.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// The key's columns in the form that their types' output functions give.
    fn texts(&self) -> String {
        let text = |column: &KeyColumn| match (&column.name, column.nullable) {
            (name, false) => format!("format('%s', {name})"),
            (name, true) => format!("CASE WHEN {name} IS NOT NULL THEN format('%s', {name}) END"),
        };
        self.columns.key.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    fn filtered(&self, bounds: Vec<String>) -> String {
        let conditions: Vec<String> =
            bounds.into_iter().chain(self.request.collection.condition.clone()).collect();
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }

    fn from(&self) -> String {
        format!("FROM {}", catalog::qualified(&self.table.id))
    }

    pub(super) fn failed(&self, action: &str, error: tokio_postgres::Error) -> Failure {
        let state = error.code().map(|code| code.code().to_owned());
        let failed = self.session.failed(action, error);
        // The server goes or is short of something; a deadlock: none of it is about the table.
        let passing = ["08", "40", "53", "57", "58"];
        match state {
            // It would take as long again, and all else waits behind it.
            Some(state) if state == QUERY_CANCELED => Failure::Skip(
                Status::SqlException,
                format!(
                    "{}; raise database.query.timeout.ms, or give the columns that chunks follow (and the condition) an index, and send the signal again",
                    model::error::chain(&failed)
                ),
            ),
            Some(state) if !passing.iter().any(|class| state.starts_with(class)) => Failure::Skip(
                Status::SqlException,
                format!(
                    "{}; mend it (rights of the role, the condition or the key of the signal) and send the signal again",
                    model::error::chain(&failed)
                ),
            ),
            _ => Failure::Task(failed),
        }
    }

    pub(super) async fn maximum(&self) -> Result<Option<Key>, Failure> {
        let (texts, from, filter) = (self.texts(), self.from(), self.filtered(Vec::new()));
        let text =
            format!("SELECT {texts} {from}{filter} ORDER BY {} LIMIT 1", self.names(" DESC"));
        let action = format!("read the largest key of table {}", self.table.id);
        let row = self.session.client().query_opt(&text, &[]).await;
        let Some(row) = row.map_err(|error| self.failed(&action, error))? else { return Ok(None) };
        let fields = (0..row.len()).map(|index| row.get::<_, Option<&str>>(index));
        Ok(Some(key::read(&self.columns.kinds, fields.map(|field| field.map(str::as_bytes)))?))
    }

    /// What the planner knows, else counted, as Debezium has it; `None` when it can't be counted.
    pub(super) async fn total_rows(&self, maximum: &Key) -> Result<Option<i64>, Failure> {
        const ESTIMATE: &str = "SELECT c.reltuples::int8 FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
        let id = &self.table.id;
        let action = format!("count the rows of table {id}");
        if self.request.collection.condition.is_none() {
            let row =
                self.session.query_opt(&action, ESTIMATE, &[&&*id.namespace, &&*id.name]).await?;
            let estimate: i64 = row.map_or(0, |row| row.get(0));
            if estimate > 0 {
                return Ok(Some(estimate));
            }
        }
        let bound = POSTGRES.up_to(&self.columns.key, &literals(maximum));
        let text = format!("SELECT count(1) {}{}", self.from(), self.filtered(vec![bound]));
        match self.session.client().query_one(&text, &[]).await {
            Ok(row) => Ok(Some(row.get(0))),
            Err(error) => match self.failed(&action, error) {
                Failure::Skip(_, reason) => {
                    tracing::warn!("notifications go without the number of rows: {reason}");
                    Ok(None)
                }
                failure => Err(failure),
            },
        }
    }

    pub(super) async fn chunk(
        self,
        maximum: &Key,
        total_rows: Option<i64>,
        rows_max: usize,
    ) -> Result<Option<Chunk>, Failure> {
        let after = self.request.after.as_ref();
        let end = self.request.end.as_ref().or(after.map(|_| maximum));
        let above = after.map(|after| POSTGRES.above(&self.columns.key, &literals(after)));
        let up_to = end.map(|end| POSTGRES.up_to(&self.columns.key, &literals(end)));
        let bounds = above.into_iter().chain(up_to).collect();
        // Where rows may share a key, a chunk must not end among them: the next would begin behind.
        // Which rows do, the server knows: equal numbers can have different texts.
        let names = self.names("");
        let (group, limit) = match self.columns.unique {
            true => (String::new(), format!("LIMIT {rows_max}")),
            false => (
                format!(", rank() OVER (ORDER BY {names})"),
                format!("FETCH FIRST {rows_max} ROWS WITH TIES"),
            ),
        };
        let statement = format!(
            "COPY (SELECT {}, {}{group} {}{} ORDER BY {names} {limit}) TO STDOUT (FORMAT binary)",
            self.table.select_list(|_| true),
            self.texts(),
            self.from(),
            self.filtered(bounds),
        );
        let action = format!("read a chunk of table {}", self.table.id);
        let stream = self.session.client().copy_out(&statement).await;
        let mut stream = pin!(stream.map_err(|error| self.failed(&action, error))?);
        let shape = Shape {
            selected: self.table.selected_len(),
            kinds: self.columns.kinds.clone(),
            unique: self.columns.unique,
        };
        let mut collected = Collected::default();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| self.failed(&action, error))?;
            if !collected.take(bytes, &shape, &action)? {
                break;
            }
            if collected.copied.len() >= EQUAL_BYTES_MAX {
                return Err(Failure::Skip(
                    Status::SqlException,
                    format!(
                        "more than {} MiB of its rows have the same key ({names}), and they can't be read in parts; send the signal with a surrogate-key of more values, or set message.key.columns",
                        EQUAL_BYTES_MAX >> 20
                    ),
                ));
            }
        }
        let Some(last) = collected.last else { return Ok(None) };
        let end = key::read(&shape.kinds, last.iter().map(Option::as_deref))?;
        // The trailer, which a chunk that was cut lacks.
        collected.copied.extend_from_slice(&(-1i16).to_be_bytes());
        Ok(Some(Chunk {
            table: self.table.clone(),
            copied: collected.copied.freeze(),
            rows: collected.rows,
            maximum: maximum.clone(),
            total_rows,
            end,
            upto: Lsn::ZERO,
            shape,
        }))
    }
}

/// The rows of a COPY as they come in.
#[derive(Default)]
struct Collected {
    decoder: copy::Decoder,
    /// The rows, in the form of a COPY without its trailer.
    copied: BytesMut,
    rows: usize,
    /// The key's columns of the last row.
    last: Option<Vec<Option<Vec<u8>>>>,
    group: Vec<u8>,
}

impl Collected {
    /// False when that was enough.
    fn take(&mut self, bytes: Bytes, shape: &Shape, action: &str) -> Result<bool> {
        let broken =
            |error: crate::wire::DecodeError| Error::fatal(action.to_owned()).caused_by(error);
        self.decoder.push(bytes);
        while let Some(row) = self.decoder.next_row().map_err(broken)? {
            let group = shape.group(row);
            if self.copied.len() >= CHUNK_BYTES_MAX && group.is_none_or(|group| group != self.group)
            {
                return Ok(false);
            }
            self.group.clear();
            self.group.extend_from_slice(group.unwrap_or_default());
            if self.copied.is_empty() {
                self.copied.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
            }
            write_row(row, &mut self.copied);
            self.rows += 1;
            let own = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
            self.last = Some(shape.key_fields(row).map(own).collect());
        }
        Ok(true)
    }
}

/// A row as COPY has it.
fn write_row(row: copy::Row<'_>, out: &mut BytesMut) {
    let fields = row.fields();
    out.extend_from_slice(&u16::try_from(fields.len()).unwrap_or_default().to_be_bytes());
    for field in fields {
        match field {
            Some(value) => {
                out.extend_from_slice(
                    &u32::try_from(value.len()).unwrap_or_default().to_be_bytes(),
                );
                out.extend_from_slice(value);
            }
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }
}

/// A key's values as they stand in a statement. The server gives them the types of their columns.
fn literals(key: &Key) -> Values {
    key.iter().map(key::literal).collect()
}
