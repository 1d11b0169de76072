//! A running logical stream: what the server sends, and what it is told in return.

use super::{
    Error, Fact, Lsn,
    cursor::Cursor,
    session::{Frame, Session, refused, unexpected},
    unix_us,
};
use bytes::{Buf, BufMut, Bytes};
use postgres_protocol::message::frontend;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long [`Stream::finish`] waits for the server to end its side.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// A slot being streamed. Dropping it cuts the connection; [`Stream::finish`] ends it in good
/// order, after which the slot is free.
pub struct Stream {
    session: Session,
    /// `stream from replication slot "shop"`, for error messages.
    action: String,
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Data(XLogData),
    /// A sign of life, with the position sent so far. The server cuts the connection after
    /// `wal_sender_timeout` (60 s) without an answer and asks for one in time.
    Keepalive {
        end: Lsn,
        server_time_us: i64,
        reply_requested: bool,
    },
}

/// One message of the output plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XLogData {
    /// Where the change lies in the log; zero for messages that are not from the log (Relation).
    pub start: Lsn,
    /// The end of the log as the server knew it when sending; of logical streams, `start` again.
    pub end: Lsn,
    /// The server's clock, in microseconds since 1970.
    pub server_time_us: i64,
    /// A slice of the read buffer, which lives as long as any slice of it.
    pub data: Bytes,
}

/// Whether the server is to answer a status update at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Yes,
    No,
}

impl Stream {
    pub(super) fn new(session: Session, action: String) -> Self {
        Self { session, action }
    }

    /// The next event, waiting for it. Status updates that wait to be sent go out meanwhile.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.session.frame().await.and_then(event) {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(fact) => return Err(self.error(fact)),
            }
        }
    }

    /// The next event if it has arrived already. Reads what the kernel holds, never waits: a
    /// caller that takes events until `None` has everything available.
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match self.session.try_frame() {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => match event(frame) {
                    Ok(Some(event)) => return Ok(Some(event)),
                    Ok(None) => {}
                    Err(fact) => return Err(self.error(fact)),
                },
                Err(fact) => return Err(self.error(fact)),
            }
        }
    }

    /// Tells the server how far we are. It may forget the log before `flush`, so that must be what
    /// the destination holds for certain.
    ///
    /// Cancel-safe: an update whose future was dropped is sent by the next call of any kind.
    pub async fn status_update(
        &mut self,
        write: Lsn,
        flush: Lsn,
        apply: Lsn,
        reply: Reply,
    ) -> Result<(), Error> {
        // Before 1970 and after the year 294247 the clock is wrong; the server only shows it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(unix_us(0));
        let output = self.session.output();
        output.put_u8(b'd');
        output.put_i32(4 + 34);
        output.put_u8(b'r');
        output.put_u64(write.0);
        output.put_u64(flush.0);
        output.put_u64(apply.0);
        output.put_i64(now);
        output.put_u8(u8::from(reply == Reply::Yes));
        match self.session.flush().await {
            Ok(()) => Ok(()),
            Err(fact) => Err(self.error(fact)),
        }
    }

    /// Ends the stream and the connection. Events still on their way are thrown away; the server
    /// sends them again to the next reader, as nothing beyond the last status update is confirmed.
    pub async fn finish(mut self) -> Result<(), Error> {
        frontend::copy_done(self.session.output());
        let ending = tokio::time::timeout(FINISH_LIMIT, self.drain());
        let result = match ending.await {
            Ok(result) => result,
            // The server is deep in a large transaction. It notices the cut when it sends.
            Err(_) => Err(Fact::Timeout(FINISH_LIMIT)),
        };
        match result {
            Ok(()) => {
                self.session.close().await;
                Ok(())
            }
            Err(fact) => Err(self.session.error(format!("end to {}", self.action), fact)),
        }
    }

    async fn drain(&mut self) -> Result<(), Fact> {
        self.session.flush().await?;
        loop {
            match self.session.frame().await? {
                (b'Z', _) => return Ok(()),
                (b'E', body) => return Err(refused(&body)),
                _ => {}
            }
        }
    }

    fn error(&self, fact: Fact) -> Error {
        self.session.error(self.action.clone(), fact)
    }
}

/// A message of the stream, or none if it says nothing to the reader.
#[inline]
fn event((tag, mut body): Frame) -> Result<Option<Event>, Fact> {
    if tag != b'd' {
        return other(tag, &body);
    }
    let mut cursor = Cursor::new("replication message", &body);
    match cursor.u8("a kind")? {
        b'w' => {
            let start = cursor.lsn("the start of the data")?;
            let end = cursor.lsn("the end of the log")?;
            let server_time_us = cursor.time_us("the server's time")?;
            body.advance(25);
            Ok(Some(Event::Data(XLogData { start, end, server_time_us, data: body })))
        }
        b'k' => Ok(Some(Event::Keepalive {
            end: cursor.lsn("the end of the log")?,
            server_time_us: cursor.time_us("the server's time")?,
            reply_requested: cursor.u8("a flag")? != 0,
        })),
        kind => Err(cursor.odd("w or k", kind).into()),
    }
}

#[cold]
fn other(tag: u8, body: &[u8]) -> Result<Option<Event>, Fact> {
    match tag {
        // The server shuts down: it has sent everything and ends the stream.
        b'c' | b'C' => Err(Fact::Closed),
        b'E' => Err(refused(body)),
        b'S' => Ok(None),
        tag => Err(unexpected("streaming", tag)),
    }
}
