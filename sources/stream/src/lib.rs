//! Sources without a database: Kafka's FileStreamSource, and the sources that Kafka's own tests of
//! Connect use.

mod file;
mod input;
mod lines;
mod mock;
mod numbered;
mod pace;
mod schema;
mod verifiable;

use std::{
    io::Write,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use model::{
    connector::SourceConnector,
    error::{Error, Result},
};

/// The sources of this crate.
pub fn connectors() -> Vec<Arc<dyn SourceConnector>> {
    vec![
        Arc::new(file::FileStreamSource),
        Arc::new(mock::MockSource),
        Arc::new(schema::SchemaSource),
        Arc::new(verifiable::VerifiableSource),
    ]
}

/// The Kafka release whose connectors these behave like.
const KAFKA_VERSION: &str = "4.3.1";

/// Writes to standard output, which may be a slow terminal or a full pipe, off the async threads.
async fn print(text: String) -> Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    });
    let written = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|error| Error::fatal("printing to standard output failed").caused_by(error))
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
