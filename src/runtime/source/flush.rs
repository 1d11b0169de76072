//! Stores positions, one attempt at a time.

use std::{error::Error as _, future::Future, pin::Pin, sync::Arc, time::Duration};

use model::{
    error::{Error, Result},
    record::Position,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    metrics::TaskMetrics,
    runtime::{OffsetStore, Withheld, ledger::Ledger},
};

/// Stores positions, one attempt at a time.
pub(super) struct Flush {
    pub(super) offsets: Arc<dyn OffsetStore>,
    pub(super) connector: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) acked: watch::Sender<Option<Position>>,
    pub(super) storing: Option<Pin<Box<dyn Future<Output = Stored> + Send>>>,
    pub(super) metrics: Arc<TaskMetrics>,
}

pub(super) struct Stored {
    took: Duration,
    positions: Vec<Position>,
    result: Result<()>,
}

impl Flush {
    /// Begins to store what may be stored, unless an attempt is under way.
    pub(super) fn begin(&mut self, ledger: &mut Ledger) {
        if self.storing.is_some() {
            return;
        }
        ledger.advance();
        let positions = ledger.take();
        if positions.is_empty() {
            return;
        }
        let (offsets, connector, limit) =
            (self.offsets.clone(), self.connector.clone(), self.timeout);
        let begun = Instant::now();
        self.storing = Some(Box::pin(async move {
            let entries = positions
                .iter()
                .map(|position| {
                    (position.partition.as_ref().clone(), Some(position.offset.clone()))
                })
                .collect();
            let result = match timeout(limit, offsets.write(&connector, entries)).await {
                Ok(result) => result,
                Err(_) => Err(Error::retriable(format!(
                    "the offset store did not answer within {} ms (offset.flush.timeout.ms)",
                    limit.as_millis()
                ))),
            };
            Stored { took: begun.elapsed(), positions, result }
        }));
    }

    /// Begins to look whether what was stored last is still what is stored, when nothing else is to
    /// be done.
    pub(super) fn keep(&mut self) {
        if self.storing.is_some() {
            return;
        }
        let (offsets, connector, limit) =
            (self.offsets.clone(), self.connector.clone(), self.timeout);
        self.storing = Some(Box::pin(async move {
            let begun = Instant::now();
            if let Ok(Err(error)) = timeout(limit, offsets.keep(&connector)).await {
                tracing::debug!("the stored offsets could not be looked at: {}", error.trace());
            }
            Stored { took: begun.elapsed(), positions: Vec::new(), result: Ok(()) }
        }));
    }

    pub(super) fn end(&mut self, stored: Stored, ledger: &mut Ledger, who: &str) {
        self.storing = None;
        if stored.positions.is_empty() {
            return;
        }
        self.metrics.committed(stored.result.is_ok(), stored.took);
        match stored.result {
            // Invariant 1: only now may the source confirm this position.
            Ok(()) => {
                if let Some(newest) = stored.positions.last() {
                    self.acked.send_replace(Some(newest.clone()));
                }
            }
            Err(error) => {
                let why = error.trace();
                let what = "source offsets were not stored and will be tried again";
                // The JVM's levels: a flush that fails or is late is an error, one that is cancelled
                // a warning.
                match error.source().is_some_and(|cause| cause.is::<Withheld>()) {
                    true => tracing::warn!("[{who}] {what}: {why}"),
                    false => tracing::error!("[{who}] {what}: {why}"),
                }
                ledger.restore(stored.positions);
            }
        }
    }
}

pub(super) async fn finished(
    storing: &mut Option<Pin<Box<dyn Future<Output = Stored> + Send>>>,
) -> Stored {
    match storing {
        Some(storing) => storing.await,
        None => std::future::pending().await,
    }
}
