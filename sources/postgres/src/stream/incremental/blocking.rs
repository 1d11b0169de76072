//! A blocking snapshot: the stream stands still while tables are read whole.
//!
//! Its batches are stored with a position before the signal, so that a snapshot that is cut off is
//! begun again when the signal comes again in the stream.

use std::collections::HashMap;

use ::snapshot::{
    checkpoint::Checkpoint,
    signals::{Execute, expand},
};
use model::{connector::Outbox, error::Result};
use relational::table::TableId;
use tokio::time::interval;

use super::ALIVE_EVERY;
use crate::{
    catalog, notify,
    position::Position,
    signals,
    snapshot::{self, Blocking, Plan},
    stream::Reader,
    wire::{Reply, Stream},
};

impl Reader<'_> {
    pub(super) async fn block(
        &mut self,
        execute: &Execute,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        let options = self.options;
        let known = self.captured_names().await?;
        let named = match expand(&execute.collections, &known, true) {
            Ok(named) => named,
            Err(reason) => {
                tracing::warn!("the blocking snapshot is not taken: {reason}");
                return Ok(());
            }
        };
        let (mut names, unknown): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|name| known.contains(name));
        for name in unknown {
            tracing::warn!(
                "the blocking snapshot leaves out {name}: no captured table has this name; check the name in the signal and table.include.list"
            );
        }
        names.sort();
        if !self.batch.is_empty() {
            self.hand_over(stream, sent, out).await?;
        }
        let tables: Vec<TableId> = names.iter().filter_map(|name| signals::named(name)).collect();
        let selects: HashMap<String, String> = execute
            .conditions
            .iter()
            .map(|condition| {
                let statement = condition.filter.trim().trim_end_matches(';').to_owned();
                (condition.collection.replace(['"', '\\'], ""), statement)
            })
            .collect();
        let resolved = vec![("data_collections", names.join(","))];
        let server = catalog::server(self.session).await?;
        let plan = Plan {
            tables,
            names: names.into(),
            exported: None,
            lsn: self.incremental.lsn,
            ranges: server.version >= 140_000 && options.one_view(),
            kind: "BLOCKING",
            resumed: Checkpoint::default(),
            standby: server.in_recovery,
            known: None,
            blocking: Some(Blocking {
                position: self.incremental.stored(self.progress.position()),
                tx_id: self.moment.tx_id,
                lsn_commit: self.moment.lsn_commit,
                selects,
                goes_on: false,
            }),
        };
        if !notify::send(options, out, "STARTED", Vec::new()).await
            || !notify::send(options, out, "DATA_COLLECTIONS_RESOLVED", resolved).await
        {
            return Ok(());
        }
        tracing::info!("the stream pauses at {} for a blocking snapshot", self.incremental.lsn);
        let taken = {
            let mut handed_over = None;
            let mut taking = std::pin::pin!(snapshot::run(options, plan, &mut handed_over, out));
            let mut alive = interval(ALIVE_EVERY);
            loop {
                tokio::select! {
                    taken = &mut taking => break taken,
                    _ = alive.tick() => {
                        self.status(stream, Reply::No).await?;
                        options.progress.heard();
                    }
                }
            }
        };
        let kind = match taken {
            Ok(Some(_)) => "COMPLETED",
            // Stopped: the signal comes again.
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(
                    "the blocking snapshot is given up: {}; mend it and send the signal again. The stream goes on",
                    error.trace()
                );
                "ABORTED"
            }
        };
        let _told = notify::send(options, out, kind, Vec::new()).await;
        tracing::info!("the stream goes on after the blocking snapshot");
        Ok(())
    }
}
