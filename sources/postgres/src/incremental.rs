//! Chunks of incremental snapshots: read by SQL on a connection of its own, beside the stream.
//!
//! A chunk is kept in the form in which COPY has it, with the key's columns as text behind the others,
//! and decoded when it is sent. So it takes no more memory than its rows do in the log.

pub(crate) mod key;
mod query;

use std::sync::Arc;

use ::snapshot::{
    incremental::{
        Collection, Key,
        query::{Dialect, KeyColumn},
    },
    notifications::Status,
};
use bytes::Bytes;
use model::error::{Error, Result};

use crate::{
    catalog::{self, CatalogTable},
    known,
    options::Options,
    session::Session,
    signals,
    tables::Table,
    types::Types,
    visibility,
    wire::{Lsn, copy},
};

use key::KeyKind;
use query::{Columns, Plan};

const POSTGRES: Dialect = Dialect { row_values: true, nulls_last: true };

/// A chunk ends with the row that brings it to this size, however many rows it should have: rows of a
/// megabyte would otherwise fill the memory.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// So much a chunk may have whose end lies behind rows of one key: they are not parted.
const EQUAL_BYTES_MAX: usize = 8 * CHUNK_BYTES_MAX;

/// What to read next.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) collection: Collection,
    pub(crate) after: Option<Key>,
    /// Up to which key, when that is not the largest.
    pub(crate) end: Option<Key>,
    pub(crate) maximum: Option<Key>,
    pub(crate) total_rows: Option<i64>,
    /// Written before the chunk is read.
    pub(crate) mark: Option<Mark>,
    /// Without marks it is of interest where the log was.
    pub(crate) unmarked: bool,
    /// And what the stream has shown of late, which the chunk must not be older than: transactions.
    pub(crate) shown: Vec<u32>,
}

/// What is to be seen to before a table is read without marks.
#[derive(Clone, Debug)]
pub(crate) struct Settle {
    pub(crate) table: String,
    /// Whether those are waited for who write to it now.
    pub(crate) writers: bool,
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
    /// Where the log was behind the reading, if that was asked for.
    pub(crate) upto: Lsn,
    pub(crate) shape: Shape,
}

/// What a row of a chunk consists of: the columns of the [select list](Table::select_list), the key that
/// chunks follow as text, and where rows may share that key, a number that those have which do.
#[derive(Debug)]
pub(crate) struct Shape {
    selected: usize,
    kinds: Vec<KeyKind>,
    unique: bool,
}

impl Shape {
    fn key_fields<'r>(&self, row: copy::Row<'r>) -> impl Iterator<Item = Option<&'r [u8]>> {
        row.fields().skip(self.selected).take(self.kinds.len())
    }

    /// The key that chunks follow, of a row.
    pub(crate) fn key_of(&self, row: copy::Row<'_>) -> Result<Key> {
        key::read(&self.kinds, self.key_fields(row))
    }

    /// What rows have in common whose keys are equal; `None` when no two are.
    pub(crate) fn group<'r>(&self, row: copy::Row<'r>) -> Option<&'r [u8]> {
        match self.unique {
            true => None,
            false => row.fields().nth(self.selected + self.kinds.len()).flatten(),
        }
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

    /// Waits until a table may be read without marks, and says where the log is then.
    ///
    /// # Errors
    ///
    /// When the database is not there.
    pub(crate) async fn settle(&mut self, settle: &Settle) -> Result<Lsn> {
        let session = self.session().await?;
        let table = signals::named(&settle.table).filter(|_| settle.writers);
        if let Some(table) = table {
            const OID: &str = "SELECT c.oid FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
            let action = format!("look up table {table}");
            let names: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&&*table.namespace, &&*table.name];
            let row = session.query_opt(&action, OID, &names).await?;
            // The reading says that it is gone.
            if let Some(row) = row {
                known::settle(session, &[row.get(0)]).await?;
            }
        }
        catalog::log_position(session).await
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
        if request.unmarked {
            visibility::until_visible(session, &request.shown, &request.collection.id).await?;
        }
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
        let Some(mut chunk) = chunk else { return Ok(Found::Finished) };
        if request.unmarked {
            chunk.upto = catalog::log_position(session).await?;
        }
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
            && found.key_unique
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
        // A unique index lets any number of rows have NULL.
        columns.unique &= !columns.key.iter().any(|column| column.nullable);
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
