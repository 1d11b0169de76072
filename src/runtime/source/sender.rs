//! Takes batches out of a source's outbox, encodes them, hands them to the transport.

use std::sync::Arc;

use model::{
    error::Result,
    record::{Batch, Position},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    metrics::{TaskMetrics, Wait},
    runtime::{
        encode::Encoder,
        ledger::Count,
        transport::{Chunk, Deliveries, Producer, Ticket},
    },
};

/// Batches that come one after another share a ledger entry up to this many records, so that a
/// backlog of small transactions does not keep a position for each.
const ENTRY_RECORDS: usize = 1_024;

/// One entry for the ledger.
pub(super) struct Entry {
    pub(super) ticket: Arc<Ticket>,
    pub(super) position: Option<Position>,
    pub(super) count: Count,
}

/// Takes batches, encodes them, hands them to the transport.
pub(super) struct Sender {
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) gate: watch::Receiver<bool>,
    pub(super) entries: mpsc::UnboundedSender<Entry>,
    pub(super) encoder: Encoder,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) metrics: Arc<TaskMetrics>,
}

impl Sender {
    /// Returns when the source has let go of its outbox and all of it is handed over.
    pub(super) async fn send(mut self, producer: &mut dyn Producer) -> Result<()> {
        let mut chunk = Chunk::default();
        let mut open: Option<Entry> = None;
        while let Some(batch) = self.next(&mut open).await {
            if let Some(full) = open.take_if(|open| !open.takes(&batch)) {
                self.close(full);
            }
            let open = open.get_or_insert_with(|| Entry {
                ticket: Ticket::new(&self.deliveries),
                position: None,
                count: Count::default(),
            });
            open.count.polled += batch.records.len();
            open.ticket.carry(batch.records.len());
            let mut records = batch.records;
            while !records.is_empty() {
                self.encoder.fill(&mut records, &mut chunk).await?;
                if !chunk.records.is_empty() {
                    let count = chunk.records.len();
                    open.ticket.expect(count);
                    open.count.sent += count;
                    self.metrics.health.wait(Wait::Send);
                    chunk = producer.send(chunk, &open.ticket).await?;
                    self.metrics.health.over(Wait::Send);
                }
                // The chunk was work without an await; others want the thread too.
                tokio::task::yield_now().await;
            }
            if batch.position.is_some() {
                open.position = batch.position;
            }
        }
        Ok(())
    }

    /// The next batch. Closes the open entry before it waits for one.
    async fn next(&mut self, open: &mut Option<Entry>) -> Option<Batch> {
        let mut asked = Instant::now();
        loop {
            if *self.gate.borrow_and_update() {
                match self.batches.try_recv() {
                    Ok(batch) => return Some(self.polled(batch, asked)),
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        open.take().into_iter().for_each(|open| self.close(open));
                        return None;
                    }
                    Err(mpsc::error::TryRecvError::Empty) => {}
                }
            }
            open.take().into_iter().for_each(|open| self.close(open));
            let held = !*self.gate.borrow();
            tokio::select! {
                changed = self.gate.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                    // A pause is no wait for the source.
                    asked = Instant::now();
                }
                batch = self.batches.recv(), if !held => {
                    return batch.map(|batch| self.polled(batch, asked));
                }
            }
        }
    }

    fn polled(&self, batch: Batch, asked: Instant) -> Batch {
        // Without records it is a position alone, which Connect's sources do not have.
        if !batch.records.is_empty() {
            self.metrics.polled(batch.records.len(), asked.elapsed());
        }
        batch
    }

    fn close(&self, open: Entry) {
        let ticket = open.ticket.clone();
        // The driver reads entries when it hears of an acknowledgement, so it must find this one.
        if self.entries.send(open).is_ok() {
            ticket.done(1);
        }
    }
}

impl Entry {
    /// Whether a batch may join this entry.
    fn takes(&self, batch: &Batch) -> bool {
        let same = match (&self.position, &batch.position) {
            (Some(a), Some(b)) => {
                Arc::ptr_eq(&a.partition, &b.partition) || a.partition == b.partition
            }
            _ => true,
        };
        same && self.count.polled < ENTRY_RECORDS
    }
}
