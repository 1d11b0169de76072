//! The PostgreSQL wire: connections, the replication protocol, pgoutput and binary COPY.
//!
//! Knows nothing of connectors. What the rest of the crate calls:
//!
//! ```text
//! Settings { host, port, user, password, dbname, application_name, ssl, tcp_keepalive, connect_timeout }
//! sql::connect(&Settings) -> Result<(tokio_postgres::Client, sql::Handle), Error>
//! sql::error("read the catalog", &Settings, tokio_postgres::Error) -> Error
//!
//! Replication::connect(&Settings) -> Result<Replication, Error>
//!   .server_version() -> u32                       15.4 is 150004
//!   .identify_system() -> Result<System, Error>
//!   .simple_query(&str) -> Result<Rows, Error>     rows as text
//!   .create_slot(name, &SlotOptions { .. }) -> Result<CreatedSlot, Error>
//!   .drop_slot(name, Wait) -> Result<(), Error>
//!   .start(slot, Lsn, &StartOptions { .. }) -> Result<Stream, Error>      consumes the connection
//!   .close()
//! Stream
//!   .next().await -> Result<Event, Error>          cancel-safe
//!   .try_next() -> Result<Option<Event>, Error>    what has arrived already, never waits
//!   .status_update(write, flush, apply, Reply) -> Result<(), Error>       cancel-safe
//!   .finish().await -> Result<(), Error>
//! Event::{Data(XLogData { start, end, server_time_us, data: Bytes }), Keepalive { end, server_time_us, reply_requested }}
//!
//! pgoutput::Decoder::new() .decode(&[u8]) -> Result<pgoutput::Message<'_>, DecodeError>
//! copy::Decoder::new() .push(Bytes) .next_row() -> Result<Option<copy::Row<'_>>, DecodeError> .finish()
//! Error: .classify() -> model::error::Kind, .code() -> Option<&str>, .server() -> Option<&ServerError>,
//!        From<Error> for model::error::Error
//! ```
//!
//! The decoders are sans-I/O: bytes in, borrowed values out. They never panic, whatever they read.

pub mod copy;
mod cursor;
mod error;
mod lsn;
pub mod pgoutput;
mod replication;
mod session;
mod settings;
mod silence;
mod socket;
pub mod sql;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

pub use cursor::DecodeError;
pub use error::{Error, Fact, ServerError};
pub use lsn::{Lsn, POSTGRES_EPOCH_US, unix_us};
pub use replication::{
    CreatedSlot, Replication, Rows, SlotOptions, Snapshot, StartOptions, System, Wait,
};
pub use session::{quote_identifier, quote_literal};
pub use settings::{Settings, Ssl, SslMode};
pub use stream::{Event, Reply, Stream, XLogData};
