//! SQL connections: `tokio_postgres` over the same sockets, TLS and session values as replication.

use super::{
    Error, Fact, ServerError, Settings,
    session::{SESSION, quote_literal},
    socket::{Attempt, Ready, Socket, telling},
};
use model::error::chain;
use std::{error::Error as _, io};
use tokio::task::AbortHandle;
use tokio_postgres::{
    Client, Connection,
    config::{Config, SslMode, SslNegotiation},
};

/// Holds an SQL connection open; dropping it cuts the connection.
#[derive(Debug)]
pub struct Handle {
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects, logs in, and sets what every session of ours sets. Must be called within a runtime,
/// which then drives the connection.
pub async fn connect(settings: &Settings) -> Result<(Client, Handle), Error> {
    let mode = settings.ssl.mode;
    let mut attempt = Attempt::first(mode);
    let mut earlier = None;
    loop {
        let connecting = Box::pin(connect_once(settings, attempt));
        let fact = match tokio::time::timeout(settings.connect_timeout, connecting).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(fact)) => fact,
            Err(_) => Fact::Timeout(settings.connect_timeout),
        };
        match attempt.after(mode, &fact) {
            Some(next) => attempt = next,
            None => return Err(Error::new("connect", settings, telling(earlier, fact))),
        }
        earlier = Some(fact);
    }
}

async fn connect_once(settings: &Settings, attempt: Attempt) -> Result<(Client, Handle), Fact> {
    let socket = Socket::dial(settings, attempt).await?;
    let mut config = Config::new();
    config
        .user(&settings.user)
        .dbname(&settings.dbname)
        .application_name(&settings.application_name)
        // The socket is as encrypted as it is to be; this way it is taken as it is.
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    if let Some(password) = &settings.password {
        config.password(password.expose());
    }
    let (client, connection) = config.connect_raw(socket, Ready).await.map_err(login_fact)?;
    let version = connection.parameter("server_version").and_then(|text| text.split('.').next());
    let major =
        version.and_then(|text| text.trim_end_matches(char::is_alphabetic).parse::<u32>().ok());
    // Aborted with the future if the timeout strikes before the session is set up.
    let handle = drive(settings, connection);
    // A connection that waits for the next definition of a table is idle for as long as it takes.
    let idle = ("idle_session_timeout", "0");
    let set: String = SESSION
        .iter()
        .chain(major.filter(|&major| major >= 14).map(|_| &idle))
        .map(|(name, value)| format!("SET {name} = {};", quote_literal(value)))
        .collect();
    client.batch_execute(&set).await.map_err(fact)?;
    Ok((client, handle))
}

fn drive(settings: &Settings, connection: Connection<Socket, Socket>) -> Handle {
    let place = settings.to_string();
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!("the SQL connection to {place} ended: {}", fact(error));
        }
    });
    Handle { task: task.abort_handle() }
}

/// An error of `tokio_postgres` as one of ours, with what was tried as an infinitive.
pub fn error(
    action: impl Into<String>,
    settings: &Settings,
    error: tokio_postgres::Error,
) -> Error {
    Error::new(action, settings, fact(error))
}

/// Of a running connection: what the server did not say itself may pass.
fn fact(error: tokio_postgres::Error) -> Fact {
    if let Some(error) = error.as_db_error() {
        return Fact::Server(Box::new(ServerError {
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
        }));
    }
    if error.is_closed() {
        return Fact::Closed;
    }
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(source) => Fact::from(io::Error::new(source.kind(), source.to_string())),
        None => Fact::Protocol(chain(&error)),
    }
}

/// Of a login: what is neither the server's word nor the network's is the settings' fault.
fn login_fact(error: tokio_postgres::Error) -> Fact {
    match fact(error) {
        Fact::Protocol(text) => Fact::Login(text),
        // A proof that does not verify comes as an I/O error of these kinds.
        Fact::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Other) =>
        {
            Fact::Login(error.to_string())
        }
        fact => fact,
    }
}
