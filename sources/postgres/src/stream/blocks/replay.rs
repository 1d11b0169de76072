//! A transaction that was kept becomes events, once it has committed.
//!
//! What is left in its log is in the order of the server's log, as protocol 1 sends it, so it is given
//! to the same decoder between a Begin and a Commit that say what protocol 1's would. Batches are
//! handed over on the way. Offsets in the middle are those of any transaction that is under way
//! ([`Done`](crate::position::Done)): they count from the end of the transaction before.

use std::{io, path::Path};

use futures_util::FutureExt;
use model::{
    connector::Outbox,
    error::{Error, Result},
};
use tokio::time::Instant;

use super::{Blocks, HEADER_BYTES, Transaction, failed};
use crate::{
    position::Position,
    stream::{LOOK_EVERY, Reader},
    wire::{
        Lsn, Reply, Stream,
        pgoutput::{self, Begin, Commit, Message, StreamCommit},
    },
};

/// So much is read at once.
const READ_BYTES: usize = 64 * 1024;

impl Reader<'_> {
    /// Makes events of a transaction that was kept and has committed, if there is one.
    pub(in crate::stream) async fn replay(
        &mut self,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        let Some((commit, end, transaction)) = self.blocks.committed.take() else {
            return Ok(());
        };
        let newer = self.blocks.newer(&transaction);
        let newer = self.relations.versions(&newer);
        let directory = self.blocks.limits.directory.clone();
        let mut messages = Messages::new(transaction, commit.xid, &directory);
        let begin = messages.first(&self.blocks)?;
        if let Some(begin) = begin {
            self.apply(Message::Begin(begin_of(&commit)), begin).await?;
        }
        let mut looked = Instant::now();
        while let Some((lsn, bytes)) = messages.next()? {
            if self.options.full(&self.batch) && self.progress.passed(lsn) {
                self.hand_over(stream, sent, out).await?;
                if out.stopped().now_or_never().is_some() {
                    // What is left comes again after the next start.
                    return Ok(());
                }
            }
            if looked.elapsed() >= LOOK_EVERY {
                self.look(stream, out).await?;
                self.status(stream, Reply::No).await?;
                looked = Instant::now();
            }
            let message = pgoutput::decode(bytes, true).map_err(|error| {
                Error::fatal(format!(
                    "decode a pgoutput message at {lsn} of transaction {}",
                    commit.xid
                ))
                .caused_by(error)
            })?;
            self.apply(message, lsn).await?;
            // A signal is followed before an offset is behind it.
            self.attend(stream, sent, out).await?;
        }
        self.relations.put_back(newer);
        if begin.is_some() {
            let StreamCommit { commit_lsn, end_lsn, commit_time_us, .. } = commit;
            let commit = Commit { commit_lsn, end_lsn, commit_time_us };
            self.apply(Message::Commit(commit), end).await?;
        } else if self.done.is_none() {
            self.progress.idle(end);
        }
        Ok(())
    }
}

fn begin_of(commit: &StreamCommit) -> Begin {
    Begin { final_lsn: commit.commit_lsn, commit_time_us: commit.commit_time_us, xid: commit.xid }
}

/// The messages of a transaction, from the first on.
pub(super) struct Messages<'d> {
    transaction: Transaction,
    xid: u32,
    directory: &'d Path,
    /// What was read and not taken yet, up to `at`.
    buffer: Vec<u8>,
    from: usize,
    at: u64,
}

impl<'d> Messages<'d> {
    pub(super) fn new(transaction: Transaction, xid: u32, directory: &'d Path) -> Self {
        Self { transaction, xid, directory, buffer: Vec::new(), from: 0, at: 0 }
    }

    /// Where protocol 1 has the transaction begin; `None` when it does not have it at all.
    fn first(&mut self, blocks: &Blocks) -> Result<Option<Lsn>> {
        if !blocks.skips_empty {
            return Ok(Some(self.transaction.first));
        }
        // Announcements come without a position.
        let mut first = None;
        while let Some((lsn, _)) = self.next()? {
            if lsn != Lsn::ZERO {
                first = Some(lsn);
                break;
            }
        }
        self.buffer.clear();
        (self.from, self.at) = (0, 0);
        Ok(first)
    }

    /// The next message with its position, until the end.
    pub(super) fn next(&mut self) -> Result<Option<(Lsn, &[u8])>> {
        self.read().map_err(|error| failed(self.xid, "read", self.directory, error))?;
        let Some((header, rest)) =
            self.buffer.get(self.from..).and_then(<[u8]>::split_first_chunk::<HEADER_BYTES>)
        else {
            return Ok(None);
        };
        let (lsn, length) = header_of(header);
        self.from += HEADER_BYTES + length;
        Ok(Some((lsn, &rest[..length])))
    }

    /// Reads on, so that the next message is in the buffer as a whole.
    fn read(&mut self) -> io::Result<()> {
        self.have(HEADER_BYTES)?;
        let rest = self.buffer.get(self.from..).unwrap_or_default();
        match rest.split_first_chunk::<HEADER_BYTES>() {
            Some((header, _)) => {
                let wanted = HEADER_BYTES + header_of(header).1;
                self.have(wanted)?;
                match self.buffer.len() - self.from < wanted {
                    true => Err(io::ErrorKind::UnexpectedEof.into()),
                    false => Ok(()),
                }
            }
            None if rest.is_empty() => Ok(()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads on until `wanted` bytes are there, or the end.
    fn have(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len() - self.from >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.from);
        self.from = 0;
        if self.buffer.capacity() > 4 * READ_BYTES.max(wanted) {
            self.buffer.shrink_to(READ_BYTES.max(wanted));
        }
        while self.buffer.len() < wanted {
            let start = self.buffer.len();
            let more = READ_BYTES.max(wanted) - start;
            self.buffer.reserve_exact(more);
            self.buffer.resize(start + more, 0);
            let read = self.transaction.messages.read(self.at, &mut self.buffer[start..]);
            self.buffer.truncate(start + *read.as_ref().unwrap_or(&0));
            match read? {
                0 => break,
                read => self.at += read as u64,
            }
        }
        Ok(())
    }
}

fn header_of(header: &[u8; HEADER_BYTES]) -> (Lsn, usize) {
    let [lsn @ .., a, b, c, d] = *header;
    (Lsn(u64::from_le_bytes(lsn)), u32::from_le_bytes([a, b, c, d]) as usize)
}
