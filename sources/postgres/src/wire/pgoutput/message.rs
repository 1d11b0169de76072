//! The messages, as they are decoded.

use super::tuple::{Columns, Oids, Tuple};
use crate::wire::Lsn;

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

impl Message<'_> {
    /// The (sub)transaction in progress that it belongs to, where it says so: between Stream Start
    /// and Stream Stop.
    pub fn xid(&self) -> Option<u32> {
        match self {
            Message::Relation(Relation { xid, .. })
            | Message::Type(Type { xid, .. })
            | Message::Insert(Insert { xid, .. })
            | Message::Update(Update { xid, .. })
            | Message::Delete(Delete { xid, .. })
            | Message::Truncate(Truncate { xid, .. })
            | Message::Message(Logical { xid, .. }) => *xid,
            _ => None,
        }
    }
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
