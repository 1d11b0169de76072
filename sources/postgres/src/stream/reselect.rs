//! `post.processors` with `ReselectColumnsPostProcessor`: values that an event lacks are read again.
//!
//! An update does not log large values that it leaves alone, so their columns show a placeholder. Rows
//! with such a column, or with a null, are noted while they are decoded; before their batch is handed
//! over, one query for each table reads what the columns hold now, and it takes the place of what
//! they showed. As in Debezium these are the values of now and not of the transaction, and rows that
//! are gone keep what they had.
//!
//! # When
//!
//! The server sends a transaction as soon as its commit is in the log, which is a moment before other
//! sessions see it. Read in that moment, a row would be one of before the transaction, or none; so the
//! query waits until the transactions of its rows are seen ([`visibility`]).
//!
//! # How much
//!
//! How many rows a query asks for follows from how large the rows before were, so that what it
//! brings is about as much as a batch may hold.

use std::{collections::HashMap, sync::Arc};

use bytes::{BufMut, BytesMut};
use model::{
    error::{Error, Result},
    row::Slot,
};
use relational::filters::Filter;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::Reader;
use crate::{
    catalog,
    tables::Table,
    visibility,
    wire::pgoutput::{Cell, Tuple},
};

/// What to read again.
#[derive(Debug)]
pub(crate) struct Settings {
    /// By `schema.table:column`.
    pub(crate) columns: Filter,
    /// `reselect.unavailable.values`
    pub(crate) unavailable: bool,
    /// `reselect.null.values`
    pub(crate) nulls: bool,
    /// `reselect.use.event.key`: rows are found by the event's key instead of the primary key.
    pub(crate) event_key: bool,
    /// `reselect.error.handling.mode=fail`
    pub(crate) strict: bool,
}

/// Rows of a query before the size of rows is known. 16 rows of 1 MB are bearable.
const ROWS_FIRST: usize = 16;

/// A query brings about so many bytes.
const QUERY_BYTES: usize = 1 << 20;

/// And at most so many rows.
const QUERY_ROWS_MAX: usize = 2_048;

/// What waits to be read again.
pub(super) struct Reselect {
    plans: HashMap<Arc<str>, Arc<Plan>>,
    groups: Vec<Group>,
    /// Whose rows these are.
    transactions: Vec<u32>,
    /// Rows in the groups, and how many there may be.
    rows: usize,
    rows_max: usize,
}

impl Default for Reselect {
    fn default() -> Self {
        Self {
            plans: HashMap::new(),
            groups: Vec::new(),
            transactions: Vec::new(),
            rows: 0,
            rows_max: ROWS_FIRST,
        }
    }
}

/// What is read again of a table version.
struct Plan {
    table: Arc<Table>,
    /// The columns that a row is found by.
    key: Vec<KeyPart>,
    columns: Vec<Candidate>,
}

/// A column that a row is found by.
struct KeyPart {
    /// Its place in a row of the stream.
    streamed: usize,
    name: Arc<str>,
    /// The type that the stream has its values in.
    type_oid: u32,
}

/// A column that may be read again.
struct Candidate {
    /// Its place in a row of the stream.
    streamed: usize,
    /// Its place in a packed row.
    packed: usize,
    /// Whether it shows a placeholder for a value that was not logged.
    unavailable: bool,
}

/// The rows of one table version in a batch.
struct Group {
    plan: Arc<Plan>,
    /// For each column of the key its values.
    keys: Vec<Keys>,
    rows: Vec<Wanted>,
}

/// The values of a column as the stream has them: all as text, or all in the binary form of their
/// type (`binary` in `slot.stream.params`), which the server takes back as it is.
#[derive(Clone, Debug, Default)]
struct Keys {
    binary: bool,
    values: Vec<Option<Vec<u8>>>,
}

/// A row whose columns (by their index in the plan) are to be read again.
struct Wanted {
    row: Slot,
    columns: Vec<u16>,
}

impl Plan {
    fn new(
        table: &Arc<Table>,
        settings: &Settings,
        placeholder: &crate::types::Placeholder,
    ) -> Self {
        let part = |&streamed: &usize| {
            let column = table.column(streamed)?;
            let (name, type_oid) = (column.name.clone(), column.type_oid);
            Some(KeyPart { streamed, name, type_oid })
        };
        let key = if settings.event_key { &table.event_key } else { &table.primary_key };
        let captured = table
            .columns
            .iter()
            .enumerate()
            .filter_map(|(index, column)| column.as_ref().map(|column| (index, column)));
        let candidates = captured.enumerate().filter_map(|(packed, (streamed, column))| {
            let name = format!("{}:{}", table.text, column.name);
            settings.columns.accepts(&name).then(|| Candidate {
                streamed,
                packed,
                unavailable: settings.unavailable && column.shows(placeholder),
            })
        });
        Self {
            // With a part of the key alone other rows would be found.
            key: key.iter().map(part).collect::<Option<_>>().unwrap_or_default(),
            columns: candidates.collect(),
            table: table.clone(),
        }
    }
}

impl Reader<'_> {
    /// Notes what a new row lacks. `whole` says that its untouched values were taken from the old row.
    pub(super) async fn note(
        &mut self,
        table: &Arc<Table>,
        tuple: Tuple<'_>,
        whole: bool,
        row: Slot,
    ) -> Result<()> {
        let Some(settings) = &self.options.reselect else { return Ok(()) };
        let signals = self.options.signals.table.as_ref() == Some(&table.id);
        if table.schema.key.is_none() || signals {
            return Ok(());
        }
        let known = self.reselect.plans.get(&table.text);
        let plan = match known.filter(|plan| Arc::ptr_eq(&plan.table, table)) {
            Some(plan) => plan.clone(),
            None => {
                let placeholder = &self.options.capture.types.placeholder;
                let plan = Arc::new(Plan::new(table, settings, placeholder));
                self.reselect.plans.insert(table.text.clone(), plan.clone());
                plan
            }
        };
        let (mut cells, mut next) = (tuple, 0);
        let mut columns = Vec::new();
        for (candidate, index) in plan.columns.iter().zip(0..) {
            let cell = cells.nth(candidate.streamed - next);
            next = candidate.streamed + 1;
            let unavailable = candidate.unavailable && !whole && cell == Some(Cell::Unchanged);
            if unavailable || settings.nulls && self.batch.rows.is_null(row, candidate.packed) {
                columns.push(index);
            }
        }
        if columns.is_empty() {
            return Ok(());
        }
        let group = self.reselect.groups.iter_mut().find(|group| Arc::ptr_eq(&group.plan, &plan));
        let group = match group {
            Some(group) => group,
            None => {
                let keys = vec![Keys::default(); plan.key.len()];
                self.reselect.groups.push(Group { plan, keys, rows: Vec::new() });
                self.reselect.groups.last_mut().expect("just put there")
            }
        };
        for (part, keys) in group.plan.key.iter().zip(&mut group.keys) {
            let mut tuple = tuple;
            keys.push(tuple.nth(part.streamed));
        }
        // The log has 32 bits of it.
        let xid = self.moment.tx_id.and_then(|xid| u32::try_from(xid).ok()).unwrap_or_default();
        if self.reselect.transactions.last() != Some(&xid) {
            self.reselect.transactions.push(xid);
        }
        group.rows.push(Wanted { row, columns });
        self.reselect.rows += 1;
        if self.reselect.rows >= self.reselect.rows_max { self.read_again().await } else { Ok(()) }
    }

    /// Reads what was noted and puts it into the rows.
    pub(super) async fn read_again(&mut self) -> Result<()> {
        let groups = std::mem::take(&mut self.reselect.groups);
        let rows = std::mem::take(&mut self.reselect.rows);
        if rows == 0 {
            return Ok(());
        }
        let transactions = std::mem::take(&mut self.reselect.transactions);
        visibility::wait_visible(self.session, &transactions).await?;
        let before = self.batch.rows.byte_len();
        for group in groups {
            let strict = self.options.reselect.as_ref().is_some_and(|settings| settings.strict);
            let table = group.plan.table.text.clone();
            let missing = match self.read_group(&group).await {
                Ok(0) => continue,
                Ok(missing) => Error::fatal(format!(
                    "read columns of table {table} again: Failed to find row in table {table}, {missing} of {} keys",
                    group.rows.len()
                )),
                Err(error) => error,
            };
            if strict {
                return Err(missing);
            }
            tracing::warn!("{}; the events keep what they have", missing.trace());
        }
        let size = (self.batch.rows.byte_len() - before) / rows + 1;
        self.reselect.rows_max = (QUERY_BYTES / size).clamp(1, QUERY_ROWS_MAX);
        Ok(())
    }

    /// Returns how many rows are not there any more.
    async fn read_group(&mut self, group: &Group) -> Result<usize> {
        let Group { plan, keys, rows } = group;
        let table = &plan.table;
        let action = format!("read columns of table {} again", table.text);
        if plan.key.is_empty() {
            return Err(Error::fatal(format!(
                "{action}: it has no primary key; set reselect.use.event.key=true"
            )));
        }
        // Only what some row lacks.
        let mut wanted: Vec<u16> =
            rows.iter().flat_map(|row| row.columns.iter().copied()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let query = self.query_of(group, &wanted, &action).await?;
        let params: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|keys| keys as _).collect();
        let found = self.session.query(&action, &query, &params).await?;
        let mut seen = vec![false; rows.len()];
        for answer in &found {
            let number = usize::try_from(answer.get::<_, i64>(0)).unwrap_or(0).wrapping_sub(1);
            let Some(row) = rows.get(number) else { continue };
            // Of several rows with one key the first.
            if std::mem::replace(&mut seen[number], true) {
                continue;
            }
            for column in &row.columns {
                let Ok(place) = wanted.binary_search(column) else { continue };
                let candidate = &plan.columns[usize::from(*column)];
                let Raw(value) = answer.get(place + 1);
                let (scratch, packed) = (&mut self.scratch, &mut self.batch.rows);
                let value = table.push_again(candidate.streamed, value, scratch, packed)?;
                packed.overwrite((row.row, candidate.packed), (value, 0));
            }
        }
        Ok(seen.iter().filter(|seen| !**seen).count())
    }

    async fn query_of(&self, group: &Group, wanted: &[u16], action: &str) -> Result<String> {
        let Plan { table, key, columns } = &*group.plan;
        let relation = catalog::qualified(&table.id);
        let names: Vec<&str> = key.iter().map(|part| &*part.name).collect();
        let oids: Vec<u32> = key.iter().map(|part| part.type_oid).collect();
        let types = self
            .session
            .query(
                action,
                "SELECT format_type(a.atttypid, a.atttypmod), format_type(nullif(t.typarray, 0), -1)
                   FROM unnest($2::text[], $3::oid[]) WITH ORDINALITY AS k (name, type, number)
                   LEFT JOIN pg_attribute a ON a.attrelid = $1::text::regclass AND a.attname = k.name
                        AND NOT a.attisdropped
                   LEFT JOIN pg_type t ON t.oid = k.type ORDER BY k.number",
                &[&relation, &names, &oids],
            )
            .await?;
        let (mut arrays, mut aliases, mut equal) = (Vec::new(), Vec::new(), Vec::new());
        for (((name, keys), types), number) in names.iter().zip(&group.keys).zip(&types).zip(1..) {
            let Some(now) = types.get::<_, Option<&str>>(0) else {
                return Err(Error::fatal(format!("{action}: it has no column {name} any more")));
            };
            let array = match (keys.binary, types.get::<_, Option<&str>>(1)) {
                (false, _) => "text[]",
                (true, Some(array)) => array,
                (true, None) => {
                    return Err(Error::fatal(format!(
                        "{action}: its rows are found by column {name}, of whose type there are no arrays, so its values in binary form can't be asked for; take binary out of slot.stream.params"
                    )));
                }
            };
            arrays.push(format!("${number}::{array}"));
            aliases.push(format!("k{number}"));
            equal.push(format!("{} = k.k{number}::{now}", catalog::quote(name)));
        }
        let selected: String = wanted
            .iter()
            .filter_map(|&index| {
                let place = columns.get(usize::from(index))?.streamed;
                Some(format!(", {}", table.columns.get(place)?.as_ref()?.selected()))
            })
            .collect();
        Ok(format!(
            "SELECT k.number{selected} FROM unnest({}) WITH ORDINALITY AS k ({}, number) JOIN {relation} ON {}",
            arrays.join(", "),
            aliases.join(", "),
            equal.join(" AND ")
        ))
    }
}

impl Keys {
    fn push(&mut self, cell: Option<Cell<'_>>) {
        let (binary, value) = match cell {
            Some(Cell::Text(text)) => (false, Some(text.to_vec())),
            Some(Cell::Binary(field)) => (true, Some(field.to_vec())),
            _ => (false, None),
        };
        self.binary |= binary;
        self.values.push(value);
    }
}

/// As an array (`array_recv`): number of dimensions, whether there are nulls, the elements' type, how
/// many, the lower bound, then the elements with their lengths. Text is its own binary form.
impl ToSql for Keys {
    fn to_sql(&self, array: &Type, out: &mut BytesMut) -> Answer<IsNull> {
        let Kind::Array(element) = array.kind() else {
            return Err(format!("an array is bound to a {array}").into());
        };
        out.put_i32(1);
        out.put_i32(self.values.iter().any(Option::is_none).into());
        out.put_u32(element.oid());
        out.put_i32(self.values.len().try_into()?);
        out.put_i32(1);
        for value in &self.values {
            match value {
                Some(value) => {
                    out.put_i32(value.len().try_into()?);
                    out.put_slice(value);
                }
                None => out.put_i32(-1),
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        matches!(of.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

type Answer<T> = std::result::Result<T, Box<dyn std::error::Error + Sync + Send>>;

/// A value as the server sends it, whatever its type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Answer<Self> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Answer<Self> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
