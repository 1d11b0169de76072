//! The records that one sink has still to make durable.
//!
//! ```text
//!   front │ done, read, done, read │ unread, unread, … │ back
//!         └── until committed ─────┘ └── until polled ─┘
//! ```

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use model::connector::{Offsets, TopicPartition};

use crate::runtime::transport::{Chunk, Received, Ticket};

#[derive(Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// How many of the items the sink has been given.
    read: usize,
    /// Of all items that are not done.
    bytes: usize,
}

struct Item {
    /// `None` when done: the sink has made it durable.
    held: Option<Held>,
    offset: i64,
    bytes: usize,
}

struct Held {
    chunk: Arc<Chunk>,
    index: usize,
    pending: Arc<Pending>,
}

/// Acknowledges the records of a chunk when the last sink is done with the last of them.
pub(super) struct Pending {
    left: AtomicUsize,
    records: usize,
    ticket: Arc<Ticket>,
}

impl Pending {
    /// For a chunk of `records` that are `sent` times in queues in all.
    pub(super) fn new(ticket: &Arc<Ticket>, sent: usize, records: usize) -> Arc<Self> {
        if sent == 0 {
            ticket.done(records);
        }
        Arc::new(Self { left: AtomicUsize::new(sent), records, ticket: ticket.clone() })
    }

    fn done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ticket.done(self.records);
        }
    }
}

impl Queue {
    pub(super) fn push(
        &mut self,
        chunk: &Arc<Chunk>,
        index: usize,
        offset: i64,
        pending: &Arc<Pending>,
    ) {
        let record = &chunk.records[index];
        let length = |range: &Option<std::ops::Range<usize>>| {
            range.as_ref().map_or(0, ExactSizeIterator::len)
        };
        let bytes = length(&record.key) + length(&record.value) + size_of::<Item>();
        self.bytes += bytes;
        let held = Held { chunk: chunk.clone(), index, pending: pending.clone() };
        self.items.push_back(Item { held: Some(held), offset, bytes });
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a source has to wait. A sink that has been given everything gets more even so: it may
    /// need more records before it can make any durable.
    pub(super) fn full(&self, limit: usize) -> bool {
        self.bytes >= limit && self.read < self.items.len()
    }

    pub(super) fn read(&mut self, records_max: usize) -> Vec<Received> {
        let mut received = Vec::new();
        while received.len() < records_max
            && let Some(item) = self.items.get(self.read)
        {
            self.read += 1;
            if let Some(held) = &item.held {
                received.push(Received {
                    chunk: held.chunk.clone(),
                    index: held.index,
                    partition: 0,
                    offset: item.offset,
                });
            }
        }
        received
    }

    /// The sink begins anew: what is not done is given to it again.
    pub(super) fn rewind(&mut self) {
        self.read = 0;
    }

    pub(super) fn commit(&mut self, offsets: &Offsets) {
        let mut known: Option<(Arc<str>, i64)> = None;
        for item in self.items.iter_mut().take(self.read) {
            let Some(held) = &item.held else { continue };
            let topic = &held.chunk.records[held.index].topic;
            let committed = match &known {
                Some((last, committed)) if Arc::ptr_eq(last, topic) => *committed,
                _ => {
                    let partition = TopicPartition { topic: topic.clone(), partition: 0 };
                    let committed = offsets.get(&partition).copied().unwrap_or(0);
                    known = Some((topic.clone(), committed));
                    committed
                }
            };
            if item.offset < committed {
                self.bytes -= item.bytes;
                held.pending.done();
                item.held = None;
            }
        }
        while self.read > 0 && self.items.front().is_some_and(|item| item.held.is_none()) {
            self.items.pop_front();
            self.read -= 1;
        }
    }

    /// Nobody wants these records any more.
    pub(super) fn release(&mut self) {
        for item in self.items.drain(..) {
            if let Some(held) = item.held {
                held.pending.done();
            }
        }
        self.read = 0;
        self.bytes = 0;
    }
}
