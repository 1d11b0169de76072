//! SQL connections: `tokio_postgres` over the same sockets, TLS and session values as replication.

use super::{
    Error, Fact, ServerError, Settings,
    session::{SESSION, quote_literal},
    silence::{self, BACKEND, Backend, Silence, Watched},
    socket::{Attempt, Ready, Socket, telling},
};
use model::error::chain;
use std::{error::Error as _, io, sync::Arc};
use tokio::{sync::oneshot, task::AbortHandle};
use tokio_postgres::{
    Client, Connection, SimpleQueryMessage,
    config::{Config, SslMode, SslNegotiation},
};

/// Holds an SQL connection open; dropping it cuts the connection.
#[derive(Debug)]
pub struct Handle {
    task: AbortHandle,
    silence: Arc<Silence>,
}

impl Handle {
    /// An error of a statement on this connection, with what was tried as an infinitive.
    pub(crate) fn error(
        &self,
        action: impl Into<String>,
        settings: &Settings,
        error: tokio_postgres::Error,
    ) -> Error {
        let lost = self.silence.lost().filter(|_| error.is_closed());
        Error::new(action, settings, lost.unwrap_or_else(|| fact(error)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects, logs in, and sets what every session of ours sets. Must be called within a runtime,
/// which then drives the connection.
pub async fn connect(settings: &Settings) -> Result<(Client, Handle), Error> {
    open(settings, true).await
}

/// `watched` for a connection that is given up when it is found dead.
async fn open(settings: &Settings, watched: bool) -> Result<(Client, Handle), Error> {
    let mode = settings.ssl.mode;
    let mut attempt = Attempt::first(mode);
    let mut earlier = None;
    loop {
        let connecting = Box::pin(connect_once(settings, attempt, watched));
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

async fn connect_once(
    settings: &Settings,
    attempt: Attempt,
    watched: bool,
) -> Result<(Client, Handle), Fact> {
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
    let socket = Watched::new(socket);
    let silence = socket.silence();
    let (client, connection) = config.connect_raw(socket, Ready).await.map_err(login_fact)?;
    let version = connection.parameter("server_version").and_then(|text| text.split('.').next());
    let major =
        version.and_then(|text| text.trim_end_matches(char::is_alphabetic).parse::<u32>().ok());
    // Aborted with the future if the timeout strikes before the session is set up.
    let (backend, known) = oneshot::channel();
    let handle = drive(settings, connection, silence, known);
    // A connection that waits for the next definition of a table is idle for as long as it takes.
    let idle = ("idle_session_timeout", "0");
    let set: String = SESSION
        .iter()
        .chain(major.filter(|&major| major >= 14).map(|_| &idle))
        .map(|(name, value)| format!("SET {name} = {};", quote_literal(value)))
        .collect();
    let answer = client.simple_query(&format!("{set}{BACKEND}")).await.map_err(fact)?;
    if watched && let Some([Some(pid), Some(server)]) = first_row(&answer).as_deref() {
        // Whoever would receive it has ended with the connection.
        let _ended = backend.send(Backend { pid: pid.clone(), server: server.clone() });
    }
    Ok((client, handle))
}

/// The answer's first row, as texts.
fn first_row(answer: &[SimpleQueryMessage]) -> Option<Vec<Option<String>>> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
        }
        _ => None,
    })
}

/// The first row of a question's answer, over a connection made for it.
pub(super) async fn ask(
    settings: &Settings,
    question: &str,
) -> Result<Option<Vec<Option<String>>>, Error> {
    // Its asker has a limit for it, so it needs no watch.
    let (client, handle) = open(settings, false).await?;
    let answer = client.simple_query(question).await;
    let answer = answer.map_err(|error| handle.error("ask", settings, error))?;
    Ok(first_row(&answer))
}

/// Until the connection ends, or is found dead.
fn drive(
    settings: &Settings,
    connection: Connection<Watched, Watched>,
    silence: Arc<Silence>,
    backend: oneshot::Receiver<Backend>,
) -> Handle {
    let (settings, noted) = (settings.clone(), silence.clone());
    let task = tokio::spawn(async move {
        let place = settings.to_string();
        let watch = async {
            match backend.await {
                Ok(backend) => silence::watch(settings, noted, backend).await,
                // The login, and a connection that is not watched, have a time limit of their own.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = connection => {
                if let Err(error) = ended {
                    tracing::warn!("the SQL connection to {place} ended: {}", fact(error));
                }
            }
            lost = watch => tracing::warn!("the SQL connection to {place} is given up: {lost}"),
        }
    });
    Handle { task: task.abort_handle(), silence }
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
