//! Writes records to a topic, through a client that is replaced when it has lost hold of a partition,
//! see [`crate::kafka::silence`].

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rdkafka::{
    config::ClientConfig,
    error::KafkaError,
    producer::{
        FutureProducer, FutureRecord, Producer as _, PurgeConfig, future_producer::DeliveryFuture,
    },
};
use tokio::task::spawn_blocking;

use crate::kafka::Context;

/// The way into a topic.
pub(super) struct Writer {
    topic: String,
    who: String,
    config: ClientConfig,
    current: Mutex<Current>,
}

struct Current {
    producer: FutureProducer<Context>,
    /// Records handed to this client.
    taken: u64,
    /// What the last look has found.
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Records that the client is done with.
    done: u64,
    /// Records that it has still.
    held: u64,
}

impl Seen {
    /// Whether nothing has come of records that were there at the look before already.
    fn stays(self, before: Option<Self>) -> bool {
        self.held > 0 && before.is_some_and(|before| before.held > 0 && before.done == self.done)
    }
}

impl Writer {
    pub(super) fn new(topic: &str, who: String, config: ClientConfig) -> Result<Self, KafkaError> {
        let producer = open(&config, &who)?;
        let current = Mutex::new(Current { producer, taken: 0, seen: None });
        Ok(Self { topic: topic.to_owned(), who, config, current })
    }

    /// Hands a record to the client, which sends it after all that were handed over before.
    pub(super) fn enqueue(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<DeliveryFuture, KafkaError> {
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        let mut current = self.current();
        let delivery = current.producer.send_result(record).map_err(|(error, _)| error)?;
        current.taken += 1;
        Ok(delivery)
    }

    /// Waits until what has been handed over is sent. `false` when the time is up before.
    pub(super) async fn flush(&self, within: Duration) -> bool {
        let producer = self.current().producer.clone();
        // librdkafka blocks its caller.
        let flushed = spawn_blocking(move || producer.flush(within)).await;
        matches!(flushed, Ok(Ok(())))
    }

    /// Called from time to time while the brokers answer. A client that keeps its records from one
    /// look to the next is replaced; the records' writers learn that they did not arrive.
    pub(super) fn look(&self) {
        let mut current = self.current();
        let held = u64::try_from(current.producer.in_flight_count()).unwrap_or(0);
        let seen = Seen { done: current.taken.saturating_sub(held), held };
        let before = current.seen.replace(seen);
        if !seen.stays(before) {
            return;
        }
        tracing::warn!(
            "topic {}: {held} records stay although the brokers answer; they are given up, and a \
             new Kafka client is opened",
            self.topic
        );
        match open(&self.config, &self.who) {
            Ok(producer) => {
                let next = Current { producer, taken: 0, seen: None };
                let Current { producer: old, .. } = std::mem::replace(&mut *current, next);
                old.purge(PurgeConfig::default().queue().inflight());
                // Letting it go waits for its thread.
                drop(spawn_blocking(move || drop(old)));
            }
            Err(error) => {
                tracing::error!("topic {}: the client cannot be opened: {error}", self.topic);
            }
        }
    }

    /// Time has passed of which nothing is known.
    pub(super) fn forget(&self) {
        self.current().seen = None;
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(config: &ClientConfig, who: &str) -> Result<FutureProducer<Context>, KafkaError> {
    config.create_with_context(Context::new(who.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_stay() {
        let seen = |done, held| Seen { done, held };
        assert!(!seen(0, 3).stays(None), "they may be new");
        assert!(seen(5, 3).stays(Some(seen(5, 1))));
        assert!(!seen(6, 3).stays(Some(seen(5, 1))), "some have been sent");
        assert!(!seen(5, 3).stays(Some(seen(5, 0))), "they are new");
        assert!(!seen(5, 0).stays(Some(seen(5, 0))));
    }

    /// Whoever waits for a record that is given up is told so, and the next one finds a client.
    #[tokio::test]
    async fn a_client_that_keeps_its_records_is_replaced() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        let writer = Writer::new("t", "w".into(), config).expect("a client");
        let kept = writer.enqueue(b"k", None).expect("room");
        writer.look();
        writer.forget();
        writer.look();
        assert_eq!(writer.current().taken, 1, "one look says nothing");
        writer.look();
        let (error, _) = kept.await.expect("an answer").expect_err("nobody is there to take it");
        assert!(error.to_string().contains("Purge"), "{error}");
        assert_eq!(writer.current().taken, 0);
        writer.enqueue(b"k", None).expect("room in the new one");
    }
}
