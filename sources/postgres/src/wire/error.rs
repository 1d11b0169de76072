//! What went wrong on a connection, on which server, and whether it may pass by itself.

use super::{DecodeError, Settings, cursor::Cursor};
use model::error::Kind;
use std::{fmt, io, time::Duration};

/// A failed operation on a server.
#[derive(Debug)]
pub struct Error {
    /// What was tried, as an infinitive: `start replication from slot "shop"`.
    action: String,
    /// Server, database and user.
    place: String,
    fact: Fact,
}

/// Why it failed.
#[derive(Debug)]
pub enum Fact {
    /// The server said no.
    Server(Box<ServerError>),
    /// The network failed.
    Io(io::Error),
    /// The server ended the connection or the stream without a word.
    Closed,
    /// Not ready in the time given.
    Timeout(Duration),
    /// An answer was due and nothing came, and `why` the connection is dead.
    Silent { silent: Duration, why: &'static str },
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The settings or the files they name cannot be used.
    Settings(String),
    /// The login cannot go on: a method or a proof that is not acceptable.
    Login(String),
    /// The server sent what the protocol does not foresee here.
    Protocol(String),
    /// The server sent a malformed message.
    Malformed(DecodeError),
}

/// What an `ErrorResponse` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, not translated.
    pub severity: String,
    /// SQLSTATE, five characters.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Error {
    pub(crate) fn new(action: impl Into<String>, settings: &Settings, fact: Fact) -> Self {
        Self { action: action.into(), place: settings.to_string(), fact }
    }

    /// Why it failed.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// What the server said, if it was the server.
    pub fn server(&self) -> Option<&ServerError> {
        match &self.fact {
            Fact::Server(error) => Some(error),
            _ => None,
        }
    }

    /// The server's SQLSTATE.
    pub fn code(&self) -> Option<&str> {
        self.server().map(|error| error.code.as_str())
    }

    /// Whether trying again may help. What nobody has listed may.
    pub fn classify(&self) -> Kind {
        match &self.fact {
            Fact::Server(error) => error.classify(),
            Fact::Io(_) | Fact::Closed | Fact::Timeout(_) | Fact::Silent { .. } => Kind::Retriable,
            // A handshake cut off by the network may pass; a bad certificate does not.
            Fact::Tls(error) if error.kind() != io::ErrorKind::InvalidData => Kind::Retriable,
            Fact::Tls(_) | Fact::Settings(_) | Fact::Login(_) => Kind::Fatal,
            // The next connection starts from clean buffers and perhaps meets another server.
            Fact::Protocol(_) | Fact::Malformed(_) => Kind::Retriable,
        }
    }

    fn advice(&self) -> Option<&str> {
        match &self.fact {
            Fact::Server(error) => error.hint.as_deref().or_else(|| advice(&error.code)),
            Fact::Io(_) => Some("check that the server runs and accepts TCP connections there"),
            Fact::Closed => Some("the server's log says why"),
            Fact::Silent { .. } => Some(
                "look at what lies between: a firewall, a proxy or an address translation that forgets connections",
            ),
            Fact::Timeout(_) => Some("check the address and the firewalls on the way"),
            Fact::Tls(_) => Some("check sslmode, sslrootcert and the server's certificate"),
            Fact::Settings(_) | Fact::Login(_) | Fact::Protocol(_) | Fact::Malformed(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may = if self.classify() == Kind::Retriable { "could not" } else { "cannot" };
        write!(f, "{may} {} at {}: {}", self.action, self.place, self.fact)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fact {
            Fact::Io(error) | Fact::Tls(error) => Some(error),
            Fact::Malformed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for model::error::Error {
    fn from(error: Error) -> Self {
        match error.classify() {
            Kind::Retriable => Self::retriable(error.to_string()),
            Kind::Fatal => Self::fatal(error.to_string()),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Server(error) => error.fmt(f),
            Fact::Io(error) => error.fmt(f),
            Fact::Closed => f.write_str("the server closed the connection"),
            Fact::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Fact::Silent { silent, why } => {
                write!(
                    f,
                    "nothing came for {} ms and {why}: the connection is dead",
                    silent.as_millis()
                )
            }
            Fact::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            Fact::Settings(text) | Fact::Login(text) | Fact::Protocol(text) => f.write_str(text),
            Fact::Malformed(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Fact {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Fact::Closed,
            _ => Fact::Io(error),
        }
    }
}

impl From<DecodeError> for Fact {
    fn from(error: DecodeError) -> Self {
        Fact::Malformed(error)
    }
}

impl ServerError {
    /// The body of an `ErrorResponse` or `NoticeResponse`. Fields nobody needs are skipped.
    pub(crate) fn parse(body: &[u8]) -> Result<ServerError, DecodeError> {
        let mut error = ServerError::default();
        let mut severity = None;
        let mut cursor = Cursor::new("ErrorResponse", body);
        loop {
            let kind = cursor.u8("a field's kind")?;
            if kind == 0 {
                break;
            }
            // Before the login is through, the text may be in any encoding.
            let rest = cursor.rest();
            let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
            let text = String::from_utf8_lossy(cursor.bytes(end, "a field's text")?).into_owned();
            cursor.u8("the end of a field's text")?;
            match kind {
                // `S` is translated, `V` is not but newer than 9.5.
                b'S' => error.severity = text,
                b'V' => severity = Some(text),
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
        if let Some(severity) = severity {
            error.severity = severity;
        }
        Ok(error)
    }

    /// Whether trying again may help. What nobody has listed may.
    pub fn classify(&self) -> Kind {
        match self.code.as_str() {
            // Unknown database, insufficient privilege, undefined object (slot, publication),
            // invalid name, syntax the server does not know, not supported, not in the state
            // needed (wal_level, slot invalidated), log segment removed.
            "3D000" | "42501" | "42704" | "42602" | "42601" | "0A000" | "55000" | "58P01" => {
                Kind::Fatal
            }
            // The login was refused.
            code if code.starts_with("28") => Kind::Fatal,
            _ => Kind::Retriable,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// What to do about a server's error that brings no hint of its own.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "check the user and the password",
        code if code.starts_with("28") => {
            "check the user, the password, sslmode, and the server's pg_hba.conf, which needs a \
             line for the database and, before PostgreSQL 10, one for replication"
        }
        "3D000" => "check the name of the database",
        "42501" => {
            "replication needs the attribute REPLICATION (alter role … replication), a table \
             needs SELECT"
        }
        "42704" => "check the names of the slot and of the publication",
        "53300" => "raise max_connections or max_wal_senders, or close other sessions",
        "53400" => "raise max_replication_slots, or drop a slot that nobody reads",
        "55000" => "check that wal_level is logical and that the slot has not been invalidated",
        "55006" => "stop the other reader, or use a slot of another name",
        "58P01" => {
            "the log the slot points to has been removed: drop the slot and take a new snapshot"
        }
        _ => return None,
    })
}
