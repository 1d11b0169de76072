//! The stream opened, and its slot dropped where that is asked for.

use model::error::{Error, Result};

use crate::{
    options::Options,
    wire::{Lsn, Replication, StartOptions, Stream, quote_identifier},
};

/// The first server whose pgoutput passes logical decoding messages on.
const MESSAGES_SINCE: u32 = 140_000;

/// Opens the stream; while another process holds the slot it is tried again.
pub(super) async fn connect(options: &Options, start: Lsn) -> Result<(Stream, u32)> {
    let mut attempt = 0;
    loop {
        let replication = Replication::connect(&options.database("Debezium Streaming")).await?;
        let version = replication.server_version();
        let start_options = StartOptions {
            proto_version: 1,
            publications: vec![quote_identifier(&options.publication)],
            messages: version >= MESSAGES_SINCE,
            extra: options.stream_params.clone(),
        };
        match replication.start(&options.slot, start, &start_options).await {
            Ok(stream) => return Ok((stream, version)),
            Err(error) if error.code() == Some("55006") && attempt < options.slot_retries_max => {
                attempt += 1;
                tracing::warn!(
                    "{error}; attempt {attempt} of {}, again in {:?}",
                    options.slot_retries_max,
                    options.slot_retry_delay
                );
                tokio::time::sleep(options.slot_retry_delay).await;
            }
            Err(error) if error.server().is_some_and(|said| said.message.contains(UNKNOWN)) => {
                return Err(Error::fatal(format!(
                    "{error}; this version of PostgreSQL does not have it: correct slot.stream.params"
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a server says, without a code of its own, of an option that only newer ones have.
const UNKNOWN: &str = "unrecognized pgoutput option";

pub(super) async fn drop_slot(options: &Options) -> Result<()> {
    let mut replication = Replication::connect(&options.database("Debezium Drop Slot")).await?;
    tracing::info!("dropping slot {}, as slot.drop.on.stop says", options.slot);
    replication.drop_slot(&options.slot, crate::wire::Wait::Yes).await?;
    Ok(())
}
