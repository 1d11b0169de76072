//! A connection of ours: framing in both directions, start-up, login, simple queries.
//!
//! Reading. Messages are `tag, length, body`. They are cut out of one growing buffer; a body is a
//! reference-counted slice of it, so nothing is copied. When all slices are gone the buffer is used
//! again, and after a large message it is given back.
//!
//! Writing. Bytes wait in a buffer of their own and leave it as the socket takes them, so that
//! dropping a future in the middle loses nothing.

use super::{
    Error, Fact, ServerError, Settings,
    cursor::Cursor,
    socket::{Attempt, Socket, telling},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::task::noop_waker_ref;
use postgres_protocol::{authentication, authentication::sasl, message::frontend};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// One read asks for so much. On loopback 64 KiB and 256 KiB drain a stream equally fast; less
/// costs system calls.
const READ_BYTES: usize = 64 * 1024;

/// A buffer that a message made larger than this is given back.
const KEEP_BYTES: usize = 1024 * 1024;

/// The server's own limit of a message is 1 GiB; the rest is for headers.
const MESSAGE_BYTES_MAX: usize = (1 << 30) + 1024;

/// What every session of ours sets, so that values look the same whatever the server, the database
/// or the role prescribe.
pub(crate) const SESSION: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];

/// A message: its tag and its body.
pub(crate) type Frame = (u8, Bytes);

/// A logged-in connection.
pub(crate) struct Session {
    socket: Socket,
    input: BytesMut,
    output: BytesMut,
    /// Written bytes may still lie in the TLS layer.
    unflushed: bool,
    settings: Settings,
    /// As the server reported it: `15.4 (Debian …)`.
    server_version: String,
}

impl Session {
    /// Connects and logs in as a replication connection of one database.
    pub(crate) async fn connect(settings: &Settings) -> Result<Session, Error> {
        let fail = |fact| Error::new("connect for replication", settings, fact);
        let mode = settings.ssl.mode;
        let mut attempt = Attempt::first(mode);
        let mut earlier = None;
        loop {
            let connecting = Box::pin(Session::attempt(settings, attempt));
            let fact = match tokio::time::timeout(settings.connect_timeout, connecting).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(fact)) => fact,
                Err(_) => Fact::Timeout(settings.connect_timeout),
            };
            match attempt.after(mode, &fact) {
                Some(next) => attempt = next,
                None => return Err(fail(telling(earlier, fact))),
            }
            earlier = Some(fact);
        }
    }

    async fn attempt(settings: &Settings, attempt: Attempt) -> Result<Session, Fact> {
        let mut session = Session {
            socket: Socket::dial(settings, attempt).await?,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            settings: settings.clone(),
            server_version: String::new(),
        };
        session.start_up().await?;
        session.log_in().await?;
        session.until_ready().await?;
        Ok(session)
    }

    async fn start_up(&mut self) -> Result<(), Fact> {
        let own = [
            ("user", self.settings.user.as_str()),
            ("database", self.settings.dbname.as_str()),
            ("replication", "database"),
            ("application_name", self.settings.application_name.as_str()),
        ];
        let parameters = own.into_iter().chain(SESSION.iter().copied());
        frontend::startup_message(parameters, &mut self.output).map_err(unsendable)?;
        self.flush().await
    }

    async fn log_in(&mut self) -> Result<(), Fact> {
        loop {
            let body = match self.frame().await? {
                (b'R', body) => body,
                (b'E', body) => return Err(refused(&body)),
                (tag, _) => return Err(unexpected("the login", tag)),
            };
            let mut cursor = Cursor::new("authentication request", &body);
            match cursor.u32("a method")? {
                0 => return Ok(()),
                3 => {
                    let password = self.password()?.to_owned();
                    frontend::password_message(password.as_bytes(), &mut self.output)
                        .map_err(unsendable)?;
                    self.flush().await?;
                }
                5 => {
                    let salt = cursor.u32("a salt")?.to_be_bytes();
                    let user = self.settings.user.as_bytes();
                    let hash = authentication::md5_hash(user, self.password()?.as_bytes(), salt);
                    frontend::password_message(hash.as_bytes(), &mut self.output)
                        .map_err(unsendable)?;
                    self.flush().await?;
                }
                10 => self.scram(cursor).await?,
                method => {
                    let name = match method {
                        2 => "Kerberos V5",
                        6 => "SCM credentials",
                        7 | 8 => "GSSAPI",
                        9 => "SSPI",
                        _ => "unknown",
                    };
                    return Err(Fact::Login(format!(
                        "the server asks for authentication method {method} ({name}), which is \
                         not supported; use scram-sha-256, md5, password, cert or trust in \
                         pg_hba.conf"
                    )));
                }
            }
        }
    }

    fn password(&self) -> Result<&str, Fact> {
        match &self.settings.password {
            Some(password) => Ok(password.expose()),
            None => Err(Fact::Login("the server asks for a password and none is set".into())),
        }
    }

    /// SCRAM-SHA-256, bound to the server's certificate where both sides can.
    async fn scram(&mut self, mut offered: Cursor<'_>) -> Result<(), Fact> {
        let (mut plain, mut plus) = (false, false);
        let mut names = Vec::new();
        loop {
            match offered.text("a SASL mechanism")? {
                "" => break,
                sasl::SCRAM_SHA_256 => plain = true,
                sasl::SCRAM_SHA_256_PLUS => plus = true,
                name => names.push(name.to_owned()),
            }
        }
        let (mechanism, binding) = match self.socket.end_point() {
            Some(hash) if plus => {
                (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash))
            }
            // "We could, the server did not offer": it refuses if someone took its offer away.
            Some(_) if plain => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None if plain => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
            _ => {
                return Err(Fact::Login(format!(
                    "the server offers the SASL mechanisms {names:?}, of which none is supported; \
                     use scram-sha-256 in pg_hba.conf"
                )));
            }
        };
        let mut scram = sasl::ScramSha256::new(self.password()?.as_bytes(), binding);
        frontend::sasl_initial_response(mechanism, scram.message(), &mut self.output)
            .map_err(unsendable)?;
        self.flush().await?;
        let proof = self.sasl_answer(11).await?;
        scram.update(&proof).map_err(unproven)?;
        frontend::sasl_response(scram.message(), &mut self.output).map_err(unsendable)?;
        self.flush().await?;
        let proof = self.sasl_answer(12).await?;
        scram.finish(&proof).map_err(unproven)
    }

    async fn sasl_answer(&mut self, step: u32) -> Result<Bytes, Fact> {
        match self.frame().await? {
            (b'R', mut body) => {
                let found = Cursor::new("SASL answer", &body).u32("a step")?;
                if found != step {
                    return Err(Fact::Protocol(format!(
                        "the server answered SASL with step {found} instead of {step}"
                    )));
                }
                body.advance(4);
                Ok(body)
            }
            (b'E', body) => Err(refused(&body)),
            (tag, _) => Err(unexpected("SASL", tag)),
        }
    }

    async fn until_ready(&mut self) -> Result<(), Fact> {
        loop {
            match self.frame().await? {
                (b'Z', _) => return Ok(()),
                (b'S', body) => {
                    let mut cursor = Cursor::new("ParameterStatus", &body);
                    let name = cursor.text("a name")?;
                    if name == "server_version" {
                        self.server_version = cursor.text("a value")?.to_owned();
                    }
                }
                (b'K', _) => {}
                (b'E', body) => return Err(refused(&body)),
                (tag, _) => return Err(unexpected("the start of the session", tag)),
            }
        }
    }

    pub(crate) fn server_version(&self) -> &str {
        &self.server_version
    }

    /// Sends a simple query. The answer is read with [`Session::frame`].
    pub(crate) async fn query(&mut self, sql: &str) -> Result<(), Fact> {
        frontend::query(sql, &mut self.output).map_err(unsendable)?;
        self.flush().await
    }

    /// Bytes to send with the next flush, or while reading.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// The next message, notices aside. Cancel-safe.
    pub(crate) async fn frame(&mut self) -> Result<Frame, Fact> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            poll_fn(|context| {
                // What waits to be sent may be what the other side waits for.
                if let Poll::Ready(Err(error)) = self.poll_flush(context) {
                    return Poll::Ready(Err(error));
                }
                self.poll_fill(context)
            })
            .await?;
        }
    }

    /// The next message if the server has sent it already, without waiting.
    pub(crate) fn try_frame(&mut self) -> Result<Option<Frame>, Fact> {
        if let Some(frame) = self.buffered()? {
            return Ok(Some(frame));
        }
        // The waker that this replaces belongs to nobody: the caller holds `self` alone.
        match self.poll_fill(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(filled) => filled?,
            Poll::Pending => return Ok(None),
        }
        self.buffered()
    }

    /// The next message in the buffer.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, Fact> {
        loop {
            let Some((&[tag, a, b, c, d], rest)) = self.input.split_first_chunk::<5>() else {
                return Ok(None);
            };
            let body = body_length([a, b, c, d])?;
            if rest.len() < body {
                self.reserve(body - rest.len());
                return Ok(None);
            }
            self.input.advance(5);
            let body = self.input.split_to(body).freeze();
            if body.len() > KEEP_BYTES {
                self.input = BytesMut::from(&self.input[..]);
            }
            match tag {
                b'N' => notice(&body),
                _ => return Ok(Some((tag, body))),
            }
        }
    }

    fn reserve(&mut self, missing: usize) {
        if self.input.capacity() - self.input.len() < missing {
            self.input.reserve(missing.max(READ_BYTES));
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fact>> {
        // A little room left is not worth a system call of its own.
        if self.input.capacity() - self.input.len() < READ_BYTES / 8 {
            self.input.reserve(READ_BYTES);
        }
        let reading = self.socket.read_buf(&mut self.input);
        match std::task::ready!(pin!(reading).poll(context))? {
            0 => Poll::Ready(Err(Fact::Closed)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Sends everything that waits. Cancel-safe: what was not sent still waits.
    pub(crate) async fn flush(&mut self) -> Result<(), Fact> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fact>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(Fact::Closed));
            }
            self.output.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// How long an answer may take that the server gives at once.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// Says good-bye. That the server may be gone already is no failure any more.
    pub(crate) async fn close(mut self) {
        frontend::terminate(&mut self.output);
        if self.flush().await.is_ok()
            && let Err(error) = self.socket.shutdown().await
        {
            tracing::debug!(%error, "the connection was gone before it was closed");
        }
    }

    /// An error of something tried on this connection.
    pub(crate) fn error(&self, action: impl Into<String>, fact: impl Into<Fact>) -> Error {
        Error::new(action, &self.settings, fact.into())
    }
}

fn body_length(bytes: [u8; 4]) -> Result<usize, Fact> {
    let length = i32::from_be_bytes(bytes);
    // The length counts itself.
    match usize::try_from(length).ok().and_then(|length| length.checked_sub(4)) {
        Some(body) if body <= MESSAGE_BYTES_MAX => Ok(body),
        _ => Err(Fact::Protocol(format!(
            "a message claims a length of {length} bytes; is this a PostgreSQL server?"
        ))),
    }
}

/// The fact an `ErrorResponse` states.
pub(crate) fn refused(body: &[u8]) -> Fact {
    match ServerError::parse(body) {
        Ok(error) => Fact::Server(Box::new(error)),
        Err(error) => Fact::Malformed(error),
    }
}

pub(crate) fn unexpected(during: &str, tag: u8) -> Fact {
    Fact::Protocol(format!("the server sent message '{}' during {during}", tag.escape_ascii()))
}

fn unsendable(error: io::Error) -> Fact {
    Fact::Settings(error.to_string())
}

fn unproven(error: io::Error) -> Fact {
    Fact::Login(format!("the server does not prove that it knows the password: {error}"))
}

fn notice(body: &[u8]) {
    match ServerError::parse(body) {
        Ok(notice) => tracing::info!("the server says: {notice}"),
        Err(error) => tracing::warn!(%error, "a notice of the server cannot be read"),
    }
}

/// A name as SQL and the replication commands take it, whatever is in it.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as the replication commands take it, and SQL with `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
