//! `heartbeat.action.query`: SQL that is run with each heartbeat, on a connection of its own.
//!
//! It runs beside the stream, so that a statement that waits for a lock holds no change up; a
//! heartbeat that falls due while one still runs does not run it a second time.

use model::error::{Error, Result};
use tokio::task::JoinHandle;

use crate::{
    options::Options,
    session::Session,
    wire::{Settings, sql},
};

pub(crate) struct Action {
    query: String,
    settings: Settings,
    initial: Vec<String>,
    session: Option<Session>,
    running: Option<JoinHandle<Ran>>,
}

/// The session, when it can be used again, and what went wrong.
type Ran = (Option<Session>, Result<()>);

impl Action {
    /// `None` when there is no query.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        Some(Self {
            query: options.heartbeat_query.clone()?,
            settings: options.database("Debezium Heartbeat"),
            initial: options.initial_statements.clone(),
            session: None,
            running: None,
        })
    }

    /// Must be called within a runtime, which then runs the query.
    pub(crate) fn start(&mut self) {
        if self.running.is_some() {
            tracing::warn!(
                "heartbeat.action.query of an earlier heartbeat still runs and is not run again"
            );
            return;
        }
        let (query, settings, initial) =
            (self.query.clone(), self.settings.clone(), self.initial.clone());
        let session = self.session.take();
        self.running = Some(tokio::spawn(async move {
            let session = match session {
                Some(session) => session,
                None => match Session::connect(&settings, &initial).await {
                    Ok(session) => session,
                    Err(error) => {
                        tracing::error!("heartbeat.action.query did not run: {}", error.trace());
                        return (None, Ok(()));
                    }
                },
            };
            match session.client().batch_execute(&query).await {
                Ok(()) => (Some(session), Ok(())),
                Err(error) => {
                    let usable = error.as_db_error().is_some().then_some(session);
                    (usable, failed(&settings, error))
                }
            }
        }));
    }

    /// Takes the result of a query that has ended.
    ///
    /// # Errors
    ///
    /// When the query can not succeed as things are. Otherwise a failure is logged, as in Debezium.
    pub(crate) async fn check(&mut self) -> Result<()> {
        let Some(running) = self.running.take_if(|running| running.is_finished()) else {
            return Ok(());
        };
        let (session, result) = running
            .await
            .map_err(|error| Error::retriable("run heartbeat.action.query").caused_by(error))?;
        self.session = session;
        result
    }
}

/// What becomes of a failed query goes by its SQLSTATE, as in Debezium.
fn failed(settings: &Settings, error: tokio_postgres::Error) -> Result<()> {
    let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
    let text = format!("Could not execute heartbeat action query (Error: {code})");
    match code.as_str() {
        // A table that does not exist.
        "42P01" => Err(Error::fatal(format!(
            "{text}; create the table that heartbeat.action.query names, or change the query"
        ))
        .caused_by(sql::error("run heartbeat.action.query", settings, error))),
        // The server shuts down, or starts.
        "57P01" | "57P03" => Err(Error::retriable(text).caused_by(sql::error(
            "run heartbeat.action.query",
            settings,
            error,
        ))),
        _ => {
            let error = sql::error("run heartbeat.action.query", settings, error);
            tracing::error!("{text}: {}", model::error::chain(&error));
            Ok(())
        }
    }
}
