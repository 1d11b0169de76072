//! Where a server is and how to log in to it.

use model::config::Secret;
use std::{fmt, path::PathBuf, time::Duration};

/// Everything a connection needs to know. Every connection of a connector is made from the same
/// settings, with its own `application_name`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A name or an address; IPv6 with or without brackets.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    pub dbname: String,
    /// How the session shows in `pg_stat_activity`.
    pub application_name: String,
    pub ssl: Ssl,
    /// Ask the kernel to notice a peer that is gone.
    pub tcp_keepalive: bool,
    /// From the first packet to the end of the login, for each attempt.
    pub connect_timeout: Duration,
    /// What statements have for their answers; `None` without limit. The server ends those that take
    /// longer, so this is about a server that can't be reached any more.
    pub query_timeout: Option<Duration>,
}

/// How a connection is encrypted, and with which certificates.
#[derive(Clone, Debug)]
pub struct Ssl {
    pub mode: SslMode,
    /// PEM file of the authorities to trust. Without it: `~/.postgresql/root.crt`, else those the
    /// system trusts.
    pub root_cert: Option<PathBuf>,
    /// PEM file of the client's certificate chain. Without it: `~/.postgresql/postgresql.crt`, if
    /// there.
    pub cert: Option<PathBuf>,
    /// The client's key, PEM or PKCS#8 DER. Without it: `~/.postgresql/postgresql.pk8` or `.key`.
    pub key: Option<PathBuf>,
    /// The key's password. Encrypted keys are refused, with or without it.
    pub key_password: Option<Secret>,
}

/// The modes of `sslmode`, as libpq and pgjdbc know them.
///
/// | mode | encrypted | certificate |
/// |---|---|---|
/// | disable | never | |
/// | allow | only when the server refuses the login in plain text | not checked |
/// | prefer | when the server offers it; in plain text when the handshake fails or the server refuses the encrypted login | not checked |
/// | require | always | not checked, unless a root certificate is given: then as verify-ca (libpq does so, pgjdbc does not) |
/// | verify-ca | always | signed by a trusted authority |
/// | verify-full | always | and made out to the host |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    /// The mode of that name, as the configuration spells it.
    pub fn from_name(name: &str) -> Option<SslMode> {
        Some(match name.to_ascii_lowercase().as_str() {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }
}

/// The server, the database and the user, as error messages name them.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.contains(':') && !self.host.starts_with('[');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        write!(
            f,
            "{open}{}{close}:{}/{} as user \"{}\"",
            self.host, self.port, self.dbname, self.user
        )
    }
}
