//! The messages of PostgreSQL's output plugin pgoutput, protocol versions 1 to 4.
//!
//! A [`Message`] borrows from the bytes it was decoded from. A row stays as it came: a [`Tuple`] is
//! a slice that has been walked once, so iterating it cannot fail and allocates nothing.
//!
//! The layout is that of the manual's page "Logical Replication Message Formats". From version 2
//! on, transactions in progress may come in pieces between Stream Start and Stream Stop; there,
//! and only there, changes begin with the number of their (sub)transaction.

use super::cursor::Cursor;
use tuple::{column, tuple};

pub use super::DecodeError;
pub use message::*;
pub use tuple::{Cell, Columns, Oids, Tuple};

mod message;
mod tuple;

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
