//! An SQL session whose errors say what was tried.

use model::error::{Error, Result};
use tokio_postgres::{Client, Row, types::ToSql};

use crate::wire::{Settings, sql};

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One connection for SQL. Dropping it closes the connection.
pub(crate) struct Session {
    client: Client,
    settings: Settings,
    handle: sql::Handle,
}

impl Session {
    pub(crate) async fn connect(settings: &Settings, initial: &[String]) -> Result<Self> {
        let (client, handle) = sql::connect(settings).await.map_err(Error::from)?;
        let session = Self { client, settings: settings.clone(), handle };
        for statement in initial {
            session.execute("run a statement of database.initial.statements", statement).await?;
        }
        Ok(session)
    }

    /// Why nothing can be asked any more: the connection has ended.
    pub(crate) fn ended(&self) -> Option<Error> {
        self.client.is_closed().then(|| {
            Error::retriable(format!(
                "the SQL connection to {} has ended; the server's log says why",
                self.settings
            ))
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn failed(&self, action: &str, error: tokio_postgres::Error) -> Error {
        self.handle.error(action, &self.settings, error).into()
    }

    pub(crate) async fn query(
        &self,
        action: &str,
        text: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        self.client.query(text, params).await.map_err(|error| self.failed(action, error))
    }

    pub(crate) async fn query_opt(
        &self,
        action: &str,
        text: &str,
        params: Params<'_>,
    ) -> Result<Option<Row>> {
        self.client.query_opt(text, params).await.map_err(|error| self.failed(action, error))
    }

    pub(crate) async fn query_one(
        &self,
        action: &str,
        text: &str,
        params: Params<'_>,
    ) -> Result<Row> {
        self.client.query_one(text, params).await.map_err(|error| self.failed(action, error))
    }

    /// Runs statements without results.
    pub(crate) async fn execute(&self, action: &str, text: &str) -> Result<()> {
        self.client.batch_execute(text).await.map_err(|error| self.failed(action, error))
    }
}
