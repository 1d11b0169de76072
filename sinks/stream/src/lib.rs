//! Sinks that write to a stream: Kafka's FileStreamSink, the console, and the sinks that Kafka's own
//! tests of Connect use.

mod change;
mod console;
mod file;
mod mock;
mod verifiable;

use std::{io::Write, sync::Arc};

use model::connector::SinkConnector;

/// The sinks of this crate.
pub fn connectors() -> Vec<Arc<dyn SinkConnector>> {
    vec![
        Arc::new(console::ConsoleSink),
        Arc::new(file::FileStreamSink),
        Arc::new(mock::MockSink),
        Arc::new(verifiable::VerifiableSink),
    ]
}

/// The Kafka release whose connectors these behave like.
const KAFKA_VERSION: &str = "4.3.1";

/// Writes to standard output, which may be a slow terminal or a full pipe, off the async threads.
async fn print(bytes: Vec<u8>) -> std::io::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    });
    written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
