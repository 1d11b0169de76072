//! The messages of PostgreSQL's output plugin pgoutput, protocol versions 1 to 4.
//!
//! A [`Message`] borrows from the bytes it was decoded from. A row stays as it came: a [`Tuple`] is
//! a slice that has been walked once, so iterating it cannot fail and allocates nothing.
//!
//! The layout is that of the manual's page "Logical Replication Message Formats". From version 2
//! on, transactions in progress may come in pieces between Stream Start and Stream Stop; there,
//! and only there, changes begin with the number of their (sub)transaction.

use super::{Lsn, cursor::Cursor};
use std::iter::FusedIterator;

pub use super::DecodeError;

/// A message of the plugin. Times are in microseconds since 1970.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    Begin(Begin),
    Commit(Commit),
    Origin(Origin<'a>),
    Relation(Relation<'a>),
    Type(Type<'a>),
    Insert(Insert<'a>),
    Update(Update<'a>),
    Delete(Delete<'a>),
    Truncate(Truncate<'a>),
    Message(Logical<'a>),
    StreamStart(StreamStart),
    StreamStop,
    StreamCommit(StreamCommit),
    StreamAbort(StreamAbort),
    BeginPrepare(Prepared<'a>),
    Prepare(Prepared<'a>),
    CommitPrepared(Prepared<'a>),
    RollbackPrepared(RolledBack<'a>),
    StreamPrepare(Prepared<'a>),
}

/// The beginning of a transaction, which is sent only once it has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where the commit lies.
    pub final_lsn: Lsn,
    pub commit_time_us: i64,
    pub xid: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
    pub commit_time_us: i64,
}

/// The transaction was replicated into this server from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Where its commit lies on the server it came from.
    pub commit_lsn: Lsn,
    pub name: &'a str,
}

/// A type that is not built in. Comes before the first relation with a column of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type<'a> {
    /// Of the transaction in progress it is streamed with.
    pub xid: Option<u32>,
    pub oid: u32,
    pub namespace: &'a str,
    pub name: &'a str,
}

#[derive(Clone, Copy, Debug)]
pub struct Insert<'a> {
    pub xid: Option<u32>,
    pub relation: u32,
    pub new: Tuple<'a>,
}

#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    pub xid: Option<u32>,
    pub relation: u32,
    /// Sent when the replica identity has changed, or is FULL.
    pub old: Option<Old<'a>>,
    pub new: Tuple<'a>,
}

#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    pub xid: Option<u32>,
    pub relation: u32,
    pub old: Old<'a>,
}

#[derive(Clone, Copy, Debug)]
pub struct Truncate<'a> {
    pub xid: Option<u32>,
    pub cascade: bool,
    pub restart_identity: bool,
    pub relations: Oids<'a>,
}

/// From `pg_logical_emit_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logical<'a> {
    pub xid: Option<u32>,
    pub transactional: bool,
    pub lsn: Lsn,
    pub prefix: &'a str,
    pub content: &'a [u8],
}

/// A piece of a transaction in progress begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    pub xid: u32,
    pub first_segment: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCommit {
    pub xid: u32,
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
    pub commit_time_us: i64,
}

/// A transaction, or a subtransaction of one, was rolled back after parts of it were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAbort {
    pub xid: u32,
    pub subxid: u32,
    /// Where the abort lies and when it was; sent only if streaming is parallel.
    pub position: Option<(Lsn, i64)>,
}

/// A prepared transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledBack<'a> {
    pub prepare_end_lsn: Lsn,
    pub end_lsn: Lsn,
    pub prepare_time_us: i64,
    pub time_us: i64,
    pub xid: u32,
    pub gid: &'a str,
}

/// Of a two-phase transaction: where and when it was prepared (or committed, in
/// [`Message::CommitPrepared`]), and its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared<'a> {
    pub lsn: Lsn,
    pub end_lsn: Lsn,
    pub time_us: i64,
    pub xid: u32,
    pub gid: &'a str,
}

/// A table as the changes after it mean it. Comes before the first change of the table in the
/// session, and again when the table has changed.
#[derive(Clone, Debug)]
pub struct Relation<'a> {
    pub xid: Option<u32>,
    /// Its oid.
    pub id: u32,
    /// `pg_catalog` is sent as an empty name; it is put in here.
    pub namespace: &'a str,
    pub name: &'a str,
    pub identity: Identity,
    pub columns: Columns<'a>,
}

/// What updates and deletes say of the old row: `pg_class.relreplident`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The primary key, if there is one.
    Default,
    Nothing,
    Full,
    /// The columns of an index.
    Index,
}

/// The old row of an update or a delete.
#[derive(Clone, Copy, Debug)]
pub struct Old<'a> {
    pub kind: OldKind,
    pub tuple: Tuple<'a>,
}

/// How much of an old row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKind {
    /// The columns of the replica identity; the others are null.
    Key,
    /// The whole row, under REPLICA IDENTITY FULL.
    Full,
}

/// A column of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Part of the replica identity.
    pub key: bool,
    pub name: &'a str,
    pub type_oid: u32,
    /// `atttypmod`; -1 for none.
    pub type_modifier: i32,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    /// Stored out of line and not touched by the update, hence not sent.
    Unchanged,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

/// The values of a row, in the order of the relation's columns.
#[derive(Clone, Copy, Debug)]
pub struct Tuple<'a> {
    count: u16,
    rest: &'a [u8],
}

/// The columns of a relation.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    count: u16,
    rest: &'a [u8],
}

/// The tables of a truncate.
#[derive(Clone, Copy, Debug)]
pub struct Oids<'a> {
    chunks: &'a [[u8; 4]],
}

/// Decodes the messages of one stream, in order.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// Between Stream Start and Stream Stop.
    in_stream: bool,
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the next message of the stream.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let message = decode(bytes, self.in_stream)?;
        match message {
            Message::StreamStart(_) => self.in_stream = true,
            Message::StreamStop => self.in_stream = false,
            _ => {}
        }
        Ok(message)
    }
}

/// Decodes one message that is or is not between Stream Start and Stream Stop.
pub fn decode(bytes: &[u8], in_stream: bool) -> Result<Message<'_>, DecodeError> {
    let mut cursor = Cursor::new("pgoutput message", bytes);
    let c = &mut cursor;
    let kind = c.u8("a message")?;
    let message = match kind {
        b'I' => Message::Insert(Insert {
            xid: stream_xid(c, in_stream)?,
            relation: c.u32("a relation")?,
            new: {
                marker(c, b'N', "the marker N of a new row")?;
                tuple(c)?
            },
        }),
        b'U' => {
            let xid = stream_xid(c, in_stream)?;
            let relation = c.u32("a relation")?;
            const MARKERS: &str = "the marker K, O or N of a row";
            let old = match c.u8(MARKERS)? {
                b'K' => Some(Old { kind: OldKind::Key, tuple: tuple(c)? }),
                b'O' => Some(Old { kind: OldKind::Full, tuple: tuple(c)? }),
                b'N' => None,
                byte => return Err(c.odd(MARKERS, byte)),
            };
            if old.is_some() {
                marker(c, b'N', "the marker N of a new row")?;
            }
            Message::Update(Update { xid, relation, old, new: tuple(c)? })
        }
        b'D' => {
            let xid = stream_xid(c, in_stream)?;
            let relation = c.u32("a relation")?;
            const MARKERS: &str = "the marker K or O of an old row";
            let old = match c.u8(MARKERS)? {
                b'K' => Old { kind: OldKind::Key, tuple: tuple(c)? },
                b'O' => Old { kind: OldKind::Full, tuple: tuple(c)? },
                byte => return Err(c.odd(MARKERS, byte)),
            };
            Message::Delete(Delete { xid, relation, old })
        }
        b'B' => Message::Begin(Begin {
            final_lsn: c.lsn("the final position")?,
            commit_time_us: c.time_us("the commit time")?,
            xid: c.u32("a transaction")?,
        }),
        b'C' => {
            c.u8("flags")?;
            Message::Commit(Commit {
                commit_lsn: c.lsn("the commit position")?,
                end_lsn: c.lsn("the end position")?,
                commit_time_us: c.time_us("the commit time")?,
            })
        }
        b'R' => relation(c, in_stream)?,
        b'Y' => Message::Type(Type {
            xid: stream_xid(c, in_stream)?,
            oid: c.u32("a type")?,
            namespace: namespace(c)?,
            name: c.text("a type's name")?,
        }),
        b'O' => Message::Origin(Origin {
            commit_lsn: c.lsn("the commit position")?,
            name: c.text("an origin's name")?,
        }),
        b'T' => truncate(c, in_stream)?,
        b'M' => {
            let xid = stream_xid(c, in_stream)?;
            let flags = c.u8("flags")?;
            Message::Message(Logical {
                xid,
                transactional: flags & 1 != 0,
                lsn: c.lsn("the message's position")?,
                prefix: c.text("a prefix")?,
                content: c.sized("the content")?,
            })
        }
        b'S' => Message::StreamStart(StreamStart {
            xid: c.u32("a transaction")?,
            first_segment: c.u8("a flag")? == 1,
        }),
        b'E' => Message::StreamStop,
        b'c' => {
            let xid = c.u32("a transaction")?;
            c.u8("flags")?;
            Message::StreamCommit(StreamCommit {
                xid,
                commit_lsn: c.lsn("the commit position")?,
                end_lsn: c.lsn("the end position")?,
                commit_time_us: c.time_us("the commit time")?,
            })
        }
        b'A' => Message::StreamAbort(StreamAbort {
            xid: c.u32("a transaction")?,
            subxid: c.u32("a subtransaction")?,
            position: if c.rest().is_empty() {
                None
            } else {
                Some((c.lsn("the abort position")?, c.time_us("the abort time")?))
            },
        }),
        b'b' => Message::BeginPrepare(prepared(c)?),
        b'P' => Message::Prepare(flagged_prepared(c)?),
        b'K' => Message::CommitPrepared(flagged_prepared(c)?),
        b'r' => {
            c.u8("flags")?;
            Message::RollbackPrepared(RolledBack {
                prepare_end_lsn: c.lsn("the end of the prepared transaction")?,
                end_lsn: c.lsn("the end of the rollback")?,
                prepare_time_us: c.time_us("the prepare time")?,
                time_us: c.time_us("the rollback time")?,
                xid: c.u32("a transaction")?,
                gid: c.text("a transaction's name")?,
            })
        }
        b'p' => Message::StreamPrepare(flagged_prepared(c)?),
        byte => return Err(c.odd("a known message", byte)),
    };
    cursor.end()?;
    Ok(message)
}

#[inline]
fn stream_xid(cursor: &mut Cursor<'_>, in_stream: bool) -> Result<Option<u32>, DecodeError> {
    if in_stream { cursor.u32("a streamed transaction").map(Some) } else { Ok(None) }
}

#[inline]
fn marker(cursor: &mut Cursor<'_>, marker: u8, expected: &'static str) -> Result<(), DecodeError> {
    match cursor.u8(expected)? {
        byte if byte == marker => Ok(()),
        byte => Err(cursor.odd(expected, byte)),
    }
}

fn namespace<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, DecodeError> {
    Ok(match cursor.text("a schema's name")? {
        "" => "pg_catalog",
        name => name,
    })
}

fn relation<'a>(cursor: &mut Cursor<'a>, in_stream: bool) -> Result<Message<'a>, DecodeError> {
    const IDENTITIES: &str = "the replica identity d, n, f or i";
    let xid = stream_xid(cursor, in_stream)?;
    let id = cursor.u32("a relation")?;
    let namespace = namespace(cursor)?;
    let name = cursor.text("a relation's name")?;
    let identity = match cursor.u8(IDENTITIES)? {
        b'd' => Identity::Default,
        b'n' => Identity::Nothing,
        b'f' => Identity::Full,
        b'i' => Identity::Index,
        byte => return Err(cursor.odd(IDENTITIES, byte)),
    };
    let count = cursor.u16("a number of columns")?;
    let rest = cursor.rest();
    for _ in 0..count {
        column(cursor)?;
    }
    let columns = Columns { count, rest };
    Ok(Message::Relation(Relation { xid, id, namespace, name, identity, columns }))
}

fn column<'a>(cursor: &mut Cursor<'a>) -> Result<Column<'a>, DecodeError> {
    Ok(Column {
        key: cursor.u8("a column's flags")? & 1 != 0,
        name: cursor.text("a column's name")?,
        type_oid: cursor.u32("a column's type")?,
        type_modifier: cursor.i32("a column's type modifier")?,
    })
}

fn truncate<'a>(cursor: &mut Cursor<'a>, in_stream: bool) -> Result<Message<'a>, DecodeError> {
    let xid = stream_xid(cursor, in_stream)?;
    let count = cursor.u32("a number of relations")?;
    let flags = cursor.u8("flags")?;
    // A count that overflows is larger than any message.
    let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(4));
    let (chunks, _) = cursor.bytes(bytes.unwrap_or(usize::MAX), "the relations")?.as_chunks::<4>();
    Ok(Message::Truncate(Truncate {
        xid,
        cascade: flags & 1 != 0,
        restart_identity: flags & 2 != 0,
        relations: Oids { chunks },
    }))
}

fn prepared<'a>(cursor: &mut Cursor<'a>) -> Result<Prepared<'a>, DecodeError> {
    Ok(Prepared {
        lsn: cursor.lsn("the position")?,
        end_lsn: cursor.lsn("the end position")?,
        time_us: cursor.time_us("the time")?,
        xid: cursor.u32("a transaction")?,
        gid: cursor.text("a transaction's name")?,
    })
}

fn flagged_prepared<'a>(cursor: &mut Cursor<'a>) -> Result<Prepared<'a>, DecodeError> {
    cursor.u8("flags")?;
    prepared(cursor)
}

/// Walks a row, so that iterating it later cannot fail.
#[inline]
fn tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, DecodeError> {
    let count = cursor.u16("a number of values")?;
    let rest = cursor.rest();
    let mut after = rest;
    for _ in 0..count {
        match split_cell(after) {
            Some((_, rest)) => after = rest,
            None => return Err(bad_cell(cursor, count)),
        }
    }
    cursor.bytes(rest.len() - after.len(), "a row")?;
    Ok(Tuple { count, rest })
}

/// The first value and what follows it. Every value of every row passes here twice, so this makes
/// no error: [`bad_cell`] finds out what is wrong.
#[inline(always)]
fn split_cell(bytes: &[u8]) -> Option<(Cell<'_>, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    if kind == b't' || kind == b'b' {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        return Some((if kind == b't' { Cell::Text(value) } else { Cell::Binary(value) }, rest));
    }
    match kind {
        b'n' => Some((Cell::Null, rest)),
        b'u' => Some((Cell::Unchanged, rest)),
        _ => None,
    }
}

/// What is wrong with the first value that cannot be split off.
#[cold]
fn bad_cell(cursor: &mut Cursor<'_>, count: u16) -> DecodeError {
    const KINDS: &str = "a value's kind n, u, t or b";
    for _ in 0..count {
        let read = match cursor.u8(KINDS) {
            Ok(b't' | b'b') => cursor.sized("a value").map(|_| ()),
            Ok(b'n' | b'u') => Ok(()),
            Ok(byte) => Err(cursor.odd(KINDS, byte)),
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            return error;
        }
    }
    cursor.error("a row", "one that cannot be split")
}

impl<'a> Iterator for Tuple<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        self.count = self.count.checked_sub(1)?;
        let (cell, rest) = split_cell(self.rest)?;
        self.rest = rest;
        Some(cell)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Tuple<'_> {}
impl FusedIterator for Tuple<'_> {}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    fn next(&mut self) -> Option<Column<'a>> {
        self.count = self.count.checked_sub(1)?;
        let mut cursor = Cursor::new("pgoutput message", self.rest);
        let column = column(&mut cursor).ok()?;
        self.rest = cursor.rest();
        Some(column)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Columns<'_> {}
impl FusedIterator for Columns<'_> {}

impl<'a> Columns<'a> {
    /// The columns from the first on.
    pub fn iter(&self) -> Columns<'a> {
        *self
    }
}

impl Iterator for Oids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, rest) = self.chunks.split_first()?;
        self.chunks = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.chunks.len(), Some(self.chunks.len()))
    }
}

impl ExactSizeIterator for Oids<'_> {}
impl FusedIterator for Oids<'_> {}
