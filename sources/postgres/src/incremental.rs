//! Chunks of incremental snapshots: read by SQL on a connection of its own, beside the stream.
//!
//! A chunk is kept in the form in which COPY has it, with the key's columns as text behind the others,
//! and decoded when it is sent. So it takes no more memory than its rows do in the log.

pub(crate) mod key;

use std::{pin::pin, sync::Arc};

use ::snapshot::{
    incremental::{
        Collection, Key,
        query::{Dialect, KeyColumn, Values},
    },
    notifications::Status,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use model::error::{Error, Result};

use crate::{
    catalog::{self, CatalogTable},
    options::Options,
    session::Session,
    signals,
    tables::Table,
    types::Types,
    wire::copy,
};

use key::KeyKind;

const POSTGRES: Dialect = Dialect { row_values: true, nulls_last: true };

/// A chunk ends with the row that brings it to this size, however many rows it should have: rows of a
/// megabyte would otherwise fill the memory.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// What to read next.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) collection: Collection,
    pub(crate) after: Option<Key>,
    pub(crate) maximum: Option<Key>,
    pub(crate) total_rows: Option<i64>,
    /// Written before the chunk is read.
    pub(crate) mark: Option<Mark>,
}

/// A statement that is to be seen in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) statement: String,
    /// What it is for.
    pub(crate) action: String,
}

/// What reading has led to.
#[derive(Debug)]
pub(crate) enum Found {
    Rows(Chunk),
    /// The table, or what the condition leaves of it, has no rows.
    Empty,
    /// There are no more rows.
    Finished,
    /// The table can't be read, for this reason.
    Skipped(Status, String),
}

#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) table: Arc<Table>,
    /// A whole binary COPY.
    pub(crate) copied: Bytes,
    pub(crate) rows: usize,
    /// The largest key of the table and its number of rows, as they were when it was begun.
    pub(crate) maximum: Key,
    pub(crate) total_rows: Option<i64>,
    /// The key of the last row.
    pub(crate) end: Key,
    kinds: Vec<KeyKind>,
}

impl Chunk {
    /// The key that chunks follow, of a row of this chunk.
    pub(crate) fn key_of<'r>(&self, fields: impl Iterator<Item = Option<&'r [u8]>>) -> Result<Key> {
        let captured = self.table.columns.iter().flatten().count();
        key::read(&self.kinds, fields.skip(captured))
    }
}

pub(crate) struct ChunkReader {
    options: Arc<Options>,
    session: Option<Session>,
    types: Types,
    /// The table that is being read, with its definition.
    table: Option<(CatalogTable, Arc<Table>)>,
    /// How many rows fit into a chunk, once rows have turned out to be large.
    rows_max: usize,
}

/// Why something was not read: the table is skipped, or the task begins again.
enum Failure {
    Skip(Status, String),
    Task(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Task(error)
    }
}

impl ChunkReader {
    pub(crate) fn new(options: &Arc<Options>) -> Self {
        Self {
            options: options.clone(),
            session: None,
            types: Types::default(),
            table: None,
            rows_max: usize::MAX,
        }
    }

    /// Whether the connection has ended.
    pub(crate) fn disconnected(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.client().is_closed())
    }

    async fn session(&mut self) -> Result<&Session> {
        let session = match self.session.take() {
            Some(session) if !session.client().is_closed() => session,
            _ => {
                let settings = self.options.database("Debezium General");
                Session::connect(&settings, &self.options.initial_statements).await?
            }
        };
        Ok(self.session.insert(session))
    }

    /// Writes a mark, as often as `signal.emit.failure.max.retries` says.
    ///
    /// # Errors
    ///
    /// When it is not written.
    pub(crate) async fn mark(&mut self, mark: &Mark) -> Result<()> {
        let mut attempt = 0;
        loop {
            let done = match self.session().await {
                Ok(session) => session.execute(&mark.action, &mark.statement).await,
                Err(error) => Err(error),
            };
            let (max, backoff) =
                (self.options.signals.mark_retries_max, self.options.signals.mark_backoff);
            match done {
                Err(error) if attempt < max => {
                    attempt += 1;
                    tracing::warn!(
                        "{}; attempt {attempt} of {max} (signal.emit.failure.max.retries), again in {backoff:?}",
                        model::error::chain(&error)
                    );
                    self.session = None;
                    tokio::time::sleep(backoff).await;
                }
                done => return done,
            }
        }
    }

    /// # Errors
    ///
    /// When the database is not there. What is wrong with the table is [`Found::Skipped`].
    pub(crate) async fn read(&mut self, request: &Request) -> Result<Found> {
        match self.try_read(request).await {
            Ok(found) => Ok(found),
            Err(Failure::Skip(status, reason)) => Ok(Found::Skipped(status, reason)),
            Err(Failure::Task(error)) => Err(error),
        }
    }

    async fn try_read(&mut self, request: &Request) -> Result<Found, Failure> {
        if let Some(mark) = &request.mark {
            self.session().await?;
            if let Err(error) = self.mark(mark).await {
                return Err(Failure::Skip(
                    Status::SqlException,
                    format!(
                        "{}; give the role INSERT on the signal table, or set read.only=true",
                        model::error::chain(&error)
                    ),
                ));
            }
        }
        let (table, found) = self.table(&request.collection).await?;
        let columns = self.key_columns(&request.collection, &table, &found)?;
        let options = self.options.clone();
        let rows_max = options.signals.chunk_rows.min(self.rows_max);
        let session = self.session().await?;
        let plan = Plan { request, table: &table, columns, session };
        let (maximum, total_rows) = match &request.maximum {
            Some(maximum) => (maximum.clone(), request.total_rows),
            None => match plan.maximum().await? {
                Some(maximum) => {
                    let total = plan.total_rows(&maximum).await?;
                    (maximum, total)
                }
                None => return Ok(Found::Empty),
            },
        };
        let chunk = plan.chunk(&maximum, total_rows, rows_max).await?;
        let Some(chunk) = chunk else { return Ok(Found::Finished) };
        if chunk.copied.len() >= CHUNK_BYTES_MAX {
            self.rows_max = (chunk.rows / 2).max(1);
            tracing::info!(
                "rows of table {} are large: chunks of the incremental snapshot have {} rows from here on instead of incremental.snapshot.chunk.size",
                table.id,
                self.rows_max
            );
        }
        Ok(Found::Rows(chunk))
    }

    /// The table as it is now.
    async fn table(
        &mut self,
        collection: &Collection,
    ) -> Result<(Arc<Table>, CatalogTable), Failure> {
        let unknown = |reason: String| Failure::Skip(Status::UnknownSchema, reason);
        let Some(id) = signals::named(&collection.id) else {
            return Err(unknown("its name is not of the form schema.table".to_owned()));
        };
        let options = self.options.clone();
        if !options.capture.accepts(&id) {
            return Err(unknown(
                "it is not captured; add it to table.include.list (or take it off an exclude list), and send the signal again".to_owned(),
            ));
        }
        let found = catalog::table(self.session().await?, &id).await?;
        let Some(found) = found else {
            return Err(unknown(
                "it does not exist; check the name in the signal, and that its schema is written with it".to_owned(),
            ));
        };
        match &self.table {
            Some((known, table)) if table.id == id && same(known, &found) => {
                return Ok((table.clone(), found));
            }
            _ => {}
        }
        self.types = catalog::types(self.session().await?).await?;
        let table = Arc::new(Table::of_catalog(&id, &found, &self.types, &options.capture)?);
        if table.columns.iter().flatten().next().is_none() {
            return Err(unknown("it has no column that can be captured".to_owned()));
        }
        self.table = Some((found.clone(), table.clone()));
        self.rows_max = usize::MAX;
        Ok((table, found))
    }

    /// The columns that chunks follow.
    fn key_columns(
        &self,
        collection: &Collection,
        table: &Table,
        found: &CatalogTable,
    ) -> Result<Columns, Failure> {
        let names: Vec<&str> = match &collection.surrogate_key {
            Some(name) => vec![name.as_str()],
            None => {
                let all = found.columns.iter().map(|column| &*column.name);
                match self.options.capture.keys.columns_of(&table.id, all.clone()) {
                    Some(indexes) => {
                        let at = |index: u16| all.clone().nth(usize::from(index));
                        indexes.into_iter().filter_map(at).collect()
                    }
                    None => found.key.iter().map(String::as_str).collect(),
                }
            }
        };
        if names.is_empty() {
            return Err(Failure::Skip(
                Status::NoPrimaryKey,
                "it has no primary key; send the signal with a surrogate-key (a column to order by), or set message.key.columns".to_owned(),
            ));
        }
        let unique = collection.surrogate_key.is_none()
            && names.iter().copied().eq(found.key.iter().map(String::as_str));
        let mut columns = Columns { key: Vec::new(), kinds: Vec::new(), unique };
        for name in names {
            let column = found.columns.iter().find(|column| &*column.name == name);
            let Some(column) = column else {
                return Err(Failure::Skip(
                    Status::SqlException,
                    format!("it has no column {name}, which the signal names as surrogate-key"),
                ));
            };
            let name = catalog::quote(name);
            columns.key.push(KeyColumn { name, nullable: !column.not_null });
            columns.kinds.push(KeyKind::of(&self.types, column.type_oid));
        }
        Ok(columns)
    }
}

/// Whether two readings of the catalog say the same.
fn same(a: &CatalogTable, b: &CatalogTable) -> bool {
    let column = |table: &CatalogTable| -> Vec<_> {
        let of = |c: &catalog::CatalogColumn| {
            (c.name.clone(), c.type_oid, c.typmod, c.not_null, c.default.clone())
        };
        table.columns.iter().map(of).collect()
    };
    a.key == b.key && column(a) == column(b)
}

struct Columns {
    key: Vec<KeyColumn>,
    kinds: Vec<KeyKind>,
    /// No two rows have the same key.
    unique: bool,
}

/// The statements about one table.
struct Plan<'a> {
    request: &'a Request,
    table: &'a Arc<Table>,
    columns: Columns,
    session: &'a Session,
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

    fn failed(&self, action: &str, error: tokio_postgres::Error) -> Failure {
        let state = error.code().map(|code| code.code().to_owned());
        let failed = self.session.failed(action, error);
        // The server goes or is short of something; a deadlock: none of it is about the table.
        let passing = ["08", "40", "53", "57", "58"];
        match state {
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

    async fn maximum(&self) -> Result<Option<Key>, Failure> {
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
    async fn total_rows(&self, maximum: &Key) -> Result<Option<i64>, Failure> {
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

    async fn chunk(
        self,
        maximum: &Key,
        total_rows: Option<i64>,
        rows_max: usize,
    ) -> Result<Option<Chunk>, Failure> {
        let bounds = match &self.request.after {
            None => Vec::new(),
            Some(after) => vec![
                POSTGRES.above(&self.columns.key, &literals(after)),
                POSTGRES.up_to(&self.columns.key, &literals(maximum)),
            ],
        };
        // Where rows may share a key, a chunk must not end among them: the next would begin behind.
        let limit = match self.columns.unique {
            true => format!("LIMIT {rows_max}"),
            false => format!("FETCH FIRST {rows_max} ROWS WITH TIES"),
        };
        let statement = format!(
            "COPY (SELECT {}, {} {}{} ORDER BY {} {limit}) TO STDOUT (FORMAT binary)",
            self.table.select_list(|_| true),
            self.texts(),
            self.from(),
            self.filtered(bounds),
            self.names(""),
        );
        let action = format!("read a chunk of table {}", self.table.id);
        let stream = self.session.client().copy_out(&statement).await;
        let mut stream = pin!(stream.map_err(|error| self.failed(&action, error))?);
        let mut collected = Collected::default();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| self.failed(&action, error))?;
            if !collected.take(bytes, self.columns.unique, self.columns.kinds.len(), &action)? {
                break;
            }
        }
        let Some(last) = collected.last else { return Ok(None) };
        let end = key::read(&self.columns.kinds, last.iter().map(Option::as_deref))?;
        // The trailer, which a chunk that was cut lacks.
        collected.copied.extend_from_slice(&(-1i16).to_be_bytes());
        Ok(Some(Chunk {
            table: self.table.clone(),
            copied: collected.copied.freeze(),
            rows: collected.rows,
            maximum: maximum.clone(),
            total_rows,
            end,
            kinds: self.columns.kinds,
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
    last: Option<Vec<Option<Vec<u8>>>>,
}

impl Collected {
    /// False when that was enough.
    fn take(&mut self, bytes: Bytes, unique: bool, keys: usize, action: &str) -> Result<bool> {
        let broken =
            |error: crate::wire::DecodeError| Error::fatal(action.to_owned()).caused_by(error);
        self.decoder.push(bytes);
        while let Some(row) = self.decoder.next_row().map_err(broken)? {
            let count = row.fields().count();
            let own = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
            let key: Vec<_> = row.fields().skip(count.saturating_sub(keys)).map(own).collect();
            let full = self.copied.len() >= CHUNK_BYTES_MAX;
            if full && (unique || self.last.as_ref() != Some(&key)) {
                return Ok(false);
            }
            if self.copied.is_empty() {
                self.copied.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
            }
            write_row(row, &mut self.copied);
            self.rows += 1;
            self.last = Some(key);
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
