//! Transactions in progress, kept until they end (`slot.stream.params` with `streaming`).
//!
//! From protocol version 2 on the server sends a large transaction before it has ended: in blocks
//! between Stream Start and Stream Stop, those of several transactions by turns. What is in them
//! is kept as it came, per transaction, and becomes events at Stream Commit, by which time it is what
//! protocol 1 would send: see [`replay`].
//!
//! # Subtransactions
//!
//! A rollback to a savepoint takes back all that was done since. The subtransactions of one
//! transaction are stacked, so what it takes back lies behind the first change of the subtransaction,
//! and the log is cut there. PostgreSQL's own subscriptions do the same. To find the place, the log
//! of [`Subtransactions`] has the number and the place of each, in ascending order of both. A
//! subtransaction whose number is below the last one there is the parent of that one, which wrote
//! before its parent did; when the parent is rolled back, the server names the child too, and its
//! place is the one to cut at.
//!
//! # Relations
//!
//! The server announces a table anew in each transaction that it streams, and again after a rollback
//! to a savepoint. These announcements hold within the transaction; once it has committed, the
//! server takes the newest of all that it has sent as known ([`Blocks::newer`]).
//!
//! # Memory
//!
//! All logs together hold [`Limits::bytes_max`]; above it the largest moves to a file.
//!
//! # Restart
//!
//! Nothing of a transaction in progress is in an offset. After a restart the server streams it again
//! from its beginning, or sends it whole if it has ended meanwhile; both have the same order.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use model::error::{Error, Result};

use super::spill::Log;
use crate::wire::{
    Lsn,
    pgoutput::{Message, StreamAbort, StreamCommit, StreamStart},
};

mod replay;

/// Where transactions in progress are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of memory for all of them together.
    pub(crate) bytes_max: usize,
    /// Where the rest lies.
    pub(crate) directory: PathBuf,
}

/// Before each message in the log: where it lies in the server's log (8 bytes), and its length (4).
const HEADER_BYTES: usize = 12;

/// The transactions in progress of one stream.
pub(super) struct Blocks {
    limits: Limits,
    /// From PostgreSQL 15 on a transaction without changes is not sent, and one begins where its
    /// first change lies.
    skips_empty: bool,
    open: HashMap<u32, Transaction>,
    /// The transaction whose block this is, between Stream Start and Stream Stop.
    current: Option<u32>,
    /// Bytes of memory that all hold.
    held: usize,
    /// How many relations were announced, inside and outside of blocks.
    announced: u64,
    /// When each relation was announced last outside of blocks or by a transaction that committed.
    known: HashMap<u32, u64>,
    /// A transaction that has ended and is to be replayed.
    committed: Option<(StreamCommit, Lsn, Transaction)>,
}

/// A transaction in progress.
#[derive(Default)]
struct Transaction {
    /// Where its first block begins.
    first: Lsn,
    messages: Log,
    subtransactions: Subtransactions,
    /// When each relation was announced last in its blocks.
    announced: HashMap<u32, u64>,
}

impl Blocks {
    pub(super) fn new(limits: &Limits, server_version: u32) -> Self {
        Self {
            limits: limits.clone(),
            skips_empty: server_version >= 150_000,
            open: HashMap::new(),
            current: None,
            held: 0,
            announced: 0,
            known: HashMap::new(),
            committed: None,
        }
    }

    /// Whether a block is being received.
    pub(super) fn receiving(&self) -> bool {
        self.current.is_some()
    }

    /// Takes a message that is about a transaction in progress; `false` for one that is not.
    ///
    /// # Errors
    ///
    /// When the transaction was never begun, which the protocol rules out, and when what is to be
    /// kept can't be written to a file.
    pub(super) fn take(&mut self, message: &Message<'_>, lsn: Lsn, bytes: &[u8]) -> Result<bool> {
        match message {
            Message::StreamStart(start) => self.start(*start, lsn),
            Message::StreamStop => self.current = None,
            Message::StreamCommit(commit) => {
                let transaction = self.close(commit.xid, "the commit", lsn)?;
                self.committed = Some((*commit, lsn, transaction));
            }
            Message::StreamAbort(abort) => self.abort(*abort, lsn)?,
            message => {
                if let Message::Relation(relation) = message {
                    self.announced += 1;
                    let at = match self.current.and_then(|xid| self.open.get_mut(&xid)) {
                        Some(transaction) => &mut transaction.announced,
                        None => &mut self.known,
                    };
                    at.insert(relation.id, self.announced);
                }
                return match self.current {
                    Some(xid) => self.keep(xid, message, lsn, bytes).map(|()| true),
                    None => Ok(false),
                };
            }
        }
        Ok(true)
    }

    fn start(&mut self, start: StreamStart, lsn: Lsn) {
        self.current = Some(start.xid);
        let fresh = || Transaction { first: lsn, ..Transaction::default() };
        self.open.entry(start.xid).or_insert_with(fresh);
    }

    /// A transaction is over.
    fn close(&mut self, xid: u32, what: &str, lsn: Lsn) -> Result<Transaction> {
        let transaction = self.open.remove(&xid).ok_or_else(|| unknown(xid, what, lsn))?;
        self.held -= transaction.held();
        Ok(transaction)
    }

    fn abort(&mut self, abort: StreamAbort, lsn: Lsn) -> Result<()> {
        if abort.xid == abort.subxid {
            self.close(abort.xid, "the rollback", lsn)?;
            return Ok(());
        }
        let transaction = self
            .open
            .get_mut(&abort.xid)
            .ok_or_else(|| unknown(abort.xid, "a rollback to a savepoint", lsn))?;
        let before = transaction.held();
        let cut = transaction.roll_back(abort.subxid);
        self.held = self.held - before + transaction.held();
        cut.map_err(|error| failed(abort.xid, "take back a part of", &self.limits.directory, error))
    }

    fn keep(&mut self, xid: u32, message: &Message<'_>, lsn: Lsn, bytes: &[u8]) -> Result<()> {
        let transaction = self.open.get_mut(&xid).ok_or_else(|| unknown(xid, "a change", lsn))?;
        let before = transaction.held();
        let kept = transaction.keep(xid, message.xid(), lsn, bytes);
        self.held = self.held - before + transaction.held();
        kept.map_err(|error| failed(xid, "keep", &self.limits.directory, error))?;
        if self.held > self.limits.bytes_max { self.spill_largest() } else { Ok(()) }
    }

    fn spill_largest(&mut self) -> Result<()> {
        let Limits { bytes_max, directory } = &self.limits;
        let largest = self.open.iter_mut().max_by_key(|(_, transaction)| transaction.held());
        let Some((&xid, transaction)) = largest else { return Ok(()) };
        let before = transaction.held();
        let spilled = transaction.spill(directory);
        self.held = self.held - before + transaction.held();
        tracing::debug!(
            "transaction {xid} in progress has {} bytes; {before} of them moved to a file in {}, as {bytes_max} are kept in memory",
            transaction.messages.len(),
            directory.display(),
        );
        spilled.map_err(|error| failed(xid, "keep", directory, error))
    }

    /// The relations that were announced to nobody but this transaction, and later by others: once it
    /// has committed those later announcements hold again. The other ones of the transaction hold on.
    fn newer(&mut self, transaction: &Transaction) -> Vec<u32> {
        let mut newer = Vec::new();
        for (&relation, &announced) in &transaction.announced {
            let known = self.known.entry(relation).or_default();
            if *known > announced {
                newer.push(relation);
            } else {
                *known = announced;
            }
        }
        newer
    }
}

impl Transaction {
    fn held(&self) -> usize {
        self.messages.held() + self.subtransactions.log.held()
    }

    fn spill(&mut self, directory: &Path) -> io::Result<()> {
        self.messages.spill(directory)?;
        self.subtransactions.log.spill(directory)
    }

    fn keep(&mut self, xid: u32, of: Option<u32>, lsn: Lsn, bytes: &[u8]) -> io::Result<()> {
        if let Some(subxid) = of.filter(|&of| of != xid) {
            self.subtransactions.note(subxid, self.messages.len());
        }
        // The server sends no message of 4 GiB.
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.messages.push(&lsn.0.to_le_bytes());
        self.messages.push(&length.to_le_bytes());
        self.messages.push(bytes);
        Ok(())
    }

    fn roll_back(&mut self, subxid: u32) -> io::Result<()> {
        match self.subtransactions.cut(subxid)? {
            Some(place) => self.messages.truncate(place),
            // It changed nothing, or went with what was taken back before.
            None => Ok(()),
        }
    }
}

/// Where the first change of each subtransaction lies in the log of its transaction.
#[derive(Default)]
struct Subtransactions {
    /// Entries of [`ENTRY_BYTES`]: number, place.
    log: Log,
    /// The number of the last entry.
    last: Option<u32>,
}

const ENTRY_BYTES: usize = 12;

impl Subtransactions {
    fn note(&mut self, subxid: u32, place: u64) {
        if self.last.is_none_or(|last| after(subxid, last)) {
            self.log.push(&subxid.to_le_bytes());
            self.log.push(&place.to_le_bytes());
            self.last = Some(subxid);
        }
    }

    /// Forgets a subtransaction and all after it. Returns its place.
    fn cut(&mut self, subxid: u32) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (0, self.log.len() / ENTRY_BYTES as u64);
        while low < high {
            let middle = low.midpoint(high);
            let (found, place) = self.entry(middle)?;
            if found == subxid {
                self.log.truncate(middle * ENTRY_BYTES as u64)?;
                self.last = match middle.checked_sub(1) {
                    Some(before) => Some(self.entry(before)?.0),
                    None => None,
                };
                return Ok(Some(place));
            }
            if after(subxid, found) { low = middle + 1 } else { high = middle }
        }
        Ok(None)
    }

    fn entry(&self, index: u64) -> io::Result<(u32, u64)> {
        let mut entry = [0; ENTRY_BYTES];
        self.log.read_exact(index * ENTRY_BYTES as u64, &mut entry)?;
        let [a, b, c, d, place @ ..] = entry;
        Ok((u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(place)))
    }
}

/// Whether `a` was given out after `b`: transaction numbers begin again after 2³².
fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

fn unknown(xid: u32, what: &str, lsn: Lsn) -> Error {
    Error::retriable(format!(
        "take {what} of transaction {xid} in progress at {lsn}: the server never began to stream it"
    ))
}

fn failed(xid: u32, what: &str, directory: &Path, error: io::Error) -> Error {
    Error::fatal(format!(
        "{what} transaction {xid} in progress in {}: make room there, name another directory by \
         slot.stream.spill.directory, allow more memory by slot.stream.memory.max.bytes, or leave \
         streaming out of slot.stream.params",
        directory.display()
    ))
    .caused_by(error)
}

#[cfg(test)]
mod tests;
