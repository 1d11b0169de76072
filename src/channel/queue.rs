//! The records that one sink has still to make durable.
//!
//! ```text
//!   front │ done, given, done, given │ new, given, new │ new, new, … │ back
//!                                    next              end
//!         └──── until committed ─────┘ └─ of paused topics ┘ └─ until polled ─┘
//! ```

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use model::{
    connector::{Offsets, TopicPartition},
    record::TimestampType,
};

use crate::runtime::transport::{Chunk, Received, Ticket};

#[derive(Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// All items before this one have been given to the sink.
    next: usize,
    /// No item from this one on has been given to the sink.
    end: usize,
    /// Of all items that are not done.
    bytes: usize,
}

struct Item {
    /// `None` when done: the sink has made it durable.
    held: Option<Held>,
    offset: i64,
    bytes: usize,
    /// The sink has it, and has not made it durable.
    given: bool,
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
        self.items.push_back(Item { held: Some(held), offset, bytes, given: false });
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a source has to wait. A sink that has been given everything gets more even so: it may
    /// need more records before it can make any durable.
    pub(super) fn full(&self, limit: usize) -> bool {
        self.bytes >= limit && self.next < self.items.len()
    }

    /// The next records, but none of the topics in `paused`.
    pub(super) fn read(
        &mut self,
        records_max: usize,
        paused: &BTreeSet<TopicPartition>,
    ) -> Vec<Received> {
        let mut received = Vec::new();
        let mut at = self.next;
        while received.len() < records_max
            && let Some(item) = self.items.get_mut(at)
        {
            let Item { held, offset, given, .. } = item;
            if let Some(Held { chunk, index, .. }) = held
                && !*given
            {
                let topic = &chunk.records[*index].topic;
                if paused.iter().any(|paused| paused.topic == *topic) {
                    at += 1;
                    continue;
                }
                *given = true;
                received.push(Received {
                    chunk: chunk.clone(),
                    index: *index,
                    partition: 0,
                    offset: *offset,
                    timestamp_type: TimestampType::CreateTime,
                });
            }
            at += 1;
            self.end = self.end.max(at);
        }
        self.advance();
        received
    }

    fn advance(&mut self) {
        let passed = |item: &Item| item.given || item.held.is_none();
        while self.next < self.end && self.items.get(self.next).is_some_and(passed) {
            self.next += 1;
        }
    }

    /// The sink begins anew: what is not done is given to it again.
    pub(super) fn rewind(&mut self) {
        self.items.iter_mut().for_each(|item| item.given = false);
        self.next = 0;
        self.end = 0;
    }

    /// The sink continues at these offsets: what is before them counts as given.
    pub(super) fn seek(&mut self, offsets: &Offsets) {
        for (at, item) in self.items.iter_mut().enumerate() {
            let Some(held) = &item.held else { continue };
            let topic = held.chunk.records[held.index].topic.clone();
            let Some(target) = offsets.get(&TopicPartition { topic, partition: 0 }) else {
                continue;
            };
            item.given = item.offset < *target;
            if item.given {
                self.end = self.end.max(at + 1);
            }
        }
        self.next = 0;
        self.advance();
    }

    /// The offset of the first record of a topic that is not done.
    pub(super) fn first(&self, topic: &str) -> Option<i64> {
        let of_topic = |item: &&Item| {
            item.held.as_ref().is_some_and(|held| *held.chunk.records[held.index].topic == *topic)
        };
        self.items.iter().find(of_topic).map(|item| item.offset)
    }

    pub(super) fn commit(&mut self, offsets: &Offsets) {
        let mut known: Option<(Arc<str>, i64)> = None;
        for item in self.items.iter_mut().take(self.end).filter(|item| item.given) {
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
        while self.next > 0 && self.items.front().is_some_and(|item| item.held.is_none()) {
            self.items.pop_front();
            self.next -= 1;
            self.end -= 1;
        }
    }

    /// Nobody wants these records any more.
    pub(super) fn release(&mut self) {
        for item in self.items.drain(..) {
            if let Some(held) = item.held {
                held.pending.done();
            }
        }
        self.next = 0;
        self.end = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::transport::{Chunk, Deliveries, Encoded};

    /// A queue with records of these topics, whose offsets count from 0 in each topic.
    fn queue(topics: &[&str]) -> Queue {
        let ticket = Ticket::new(&Deliveries::new("c-0".to_owned(), false, false));
        let pending = Pending::new(&ticket, topics.len(), topics.len());
        let encoded = |topic: &&str| Encoded {
            topic: (*topic).into(),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Arc::new([]),
        };
        let records: Vec<Encoded> = topics.iter().map(encoded).collect();
        let chunk = Arc::new(Chunk { bytes: Vec::new(), records });
        let mut queue = Queue::default();
        for (index, topic) in topics.iter().enumerate() {
            let offset = topics[..index].iter().filter(|before| *before == topic).count();
            queue.push(&chunk, index, offset as i64, &pending);
        }
        queue
    }

    fn place(topic: &str) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition: 0 }
    }

    fn read(queue: &mut Queue, paused: &[&str]) -> String {
        let paused = paused.iter().map(|topic| place(topic)).collect();
        let read = queue.read(10, &paused);
        read.iter().map(|one| format!("{}{} ", one.encoded().topic, one.offset)).collect()
    }

    #[test]
    fn a_paused_topic_is_passed_over_and_comes_later() {
        let mut queue = queue(&["a", "b", "a", "b"]);
        assert_eq!(read(&mut queue, &["a"]), "b0 b1 ");
        assert_eq!(read(&mut queue, &["a"]), "");
        // What is given is committed although older records are not.
        queue.commit(&Offsets::from([(place("b"), 1)]));
        assert_eq!((queue.first("a"), queue.first("b")), (Some(0), Some(1)));
        assert_eq!(read(&mut queue, &[]), "a0 a1 ");
        queue.commit(&Offsets::from([(place("a"), 2), (place("b"), 2)]));
        assert_eq!(queue.items.len(), 0);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_sink_continues_where_it_says() {
        let mut queue = queue(&["a", "b", "a", "b"]);
        assert_eq!(read(&mut queue, &[]), "a0 b0 a1 b1 ");
        queue.seek(&Offsets::from([(place("a"), 1)]));
        assert_eq!(read(&mut queue, &[]), "a1 ");
        queue.rewind();
        queue.seek(&Offsets::from([(place("a"), 2)]));
        assert_eq!(read(&mut queue, &[]), "b0 b1 ");
        queue.commit(&Offsets::from([(place("a"), 2), (place("b"), 2)]));
        assert_eq!(queue.items.len(), 0);
    }
}
