//! Follows a topic: hands on every record, in order, and tells how far it has come.

use std::{ops::Range, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{log::Record, reader::Reader, writer::Writer};
use crate::kafka::{
    Context,
    silence::{Place, Silence},
};

/// After so many records the follower lets others run: reading a long topic would keep one of the
/// runtime's threads to itself.
const TURN: usize = 256;

type Consumer = Arc<StreamConsumer<Context>>;

/// What following a topic takes.
#[derive(Clone)]
pub(super) struct Following {
    pub(super) reader: Reader,
    pub(super) writer: Arc<Writer>,
    /// How a client is opened.
    pub(super) config: ClientConfig,
    pub(super) who: String,
    /// How often the client is compared with the brokers, see [`crate::kafka::silence`].
    pub(super) look: Duration,
}

impl Following {
    /// A client that reads all partitions from these offsets on. May wait for files that its
    /// settings name.
    pub(super) fn open(&self, from: &[i64]) -> Result<Consumer, KafkaError> {
        let mut assignment = TopicPartitionList::with_capacity(from.len());
        for (partition, from) in (0..).zip(from) {
            assignment.add_partition_offset(
                &self.reader.topic,
                partition,
                Offset::Offset(*from),
            )?;
        }
        let consumer: StreamConsumer<Context> =
            self.config.create_with_context(Context::new(self.who.clone()))?;
        consumer.assign(&assignment)?;
        Ok(Arc::new(consumer))
    }

    /// After a while, where the partitions begin and end, as far as the brokers tell.
    fn look(&self, count: usize) -> BoxFuture<'static, Vec<Option<Range<i64>>>> {
        let (reader, look) = (self.reader.clone(), self.look);
        Box::pin(async move {
            sleep(look).await;
            reader.extents(count).await
        })
    }
}

/// Hands every record to `each` until it is stopped.
pub(super) async fn follow(
    following: Following,
    mut consumer: Consumer,
    mut each: impl FnMut(Record<'_>) + Send,
    moved: watch::Sender<Vec<i64>>,
    stop: CancellationToken,
) {
    let reader = &following.reader;
    let count = moved.borrow().len();
    let mut turn = 0;
    let mut silence = Silence::default();
    let mut look = following.look(count);
    let mut opening: Option<JoinHandle<Result<Consumer, KafkaError>>> = None;
    loop {
        let current = consumer.clone();
        let received = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            extents = &mut look => {
                look = following.look(count);
                if extents.iter().all(Option::is_some) {
                    drop(following.writer.look());
                }
                let silent = silence.look(places(&moved, &extents));
                if let (None, Some((partition, Place { at, end }))) = (&opening, silent.first()) {
                    tracing::warn!(
                        "topic {}: nothing comes of partition {partition}, which is read up to \
                         offset {at} of {end}; a new Kafka client is opened",
                        reader.topic
                    );
                    silence.forget();
                    let (following, from) = (following.clone(), moved.borrow().clone());
                    opening = Some(spawn_blocking(move || following.open(&from)));
                }
                continue;
            }
            opened = opened(&mut opening) => {
                match opened {
                    // It begins where this one was then; what has come since comes again.
                    Ok(next) => {
                        let old = std::mem::replace(&mut consumer, next);
                        drop(spawn_blocking(move || drop((old, current))));
                    }
                    Err(error) => {
                        tracing::error!("topic {}: no client is opened: {error}", reader.topic);
                    }
                }
                continue;
            }
            received = current.recv() => received,
            // Errors, which its context has logged.
            _ = reader.asker.recv() => continue,
        };
        match received {
            Ok(message) => {
                // What is read twice has been handled.
                if message.offset() >= at(&moved, message.partition()) {
                    each(record(&message));
                    advance(&moved, message.partition(), message.offset() + 1);
                }
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                if let Some(at) = reached(&current, &reader.topic, partition) {
                    advance(&moved, partition, at);
                }
            }
            // The client reports lost connections by itself and goes on after any error.
            Err(error) => tracing::debug!("reading topic {}: {error}", reader.topic),
        }
        turn = (turn + 1) % TURN;
        if turn == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Letting the consumer go takes a round trip; the runtime does not wait for it.
    drop(spawn_blocking(move || drop(consumer)));
}

/// Waits for the client that is being opened; for ever when none is. Cancel-safe.
async fn opened(
    opening: &mut Option<JoinHandle<Result<Consumer, KafkaError>>>,
) -> Result<Consumer, String> {
    let Some(handle) = opening else { return std::future::pending().await };
    let opened = handle.await;
    *opening = None;
    opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Where the partitions stand of which the brokers told. Records that were deleted count as read.
fn places(moved: &watch::Sender<Vec<i64>>, extents: &[Option<Range<i64>>]) -> Vec<(usize, Place)> {
    let positions = moved.borrow().clone();
    let mut places = Vec::with_capacity(extents.len());
    for (partition, (at, extent)) in positions.into_iter().zip(extents).enumerate() {
        let Some(extent) = extent else { continue };
        if extent.start > at
            && let Ok(partition) = i32::try_from(partition)
        {
            advance(moved, partition, extent.start);
        }
        places.push((partition, Place { at: at.max(extent.start), end: extent.end }));
    }
    places
}

fn record<'m>(message: &'m BorrowedMessage<'_>) -> Record<'m> {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        value: message.payload(),
    }
}

/// The client's own position in a partition, which counts what is no record too.
fn reached(consumer: &Consumer, topic: &str, partition: i32) -> Option<i64> {
    match consumer.position().ok()?.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn at(moved: &watch::Sender<Vec<i64>>, partition: i32) -> i64 {
    let place = usize::try_from(partition).ok();
    place.and_then(|place| moved.borrow().get(place).copied()).unwrap_or(0)
}

/// Positions only grow.
fn advance(moved: &watch::Sender<Vec<i64>>, partition: i32, to: i64) {
    moved.send_if_modified(|positions| {
        let place = usize::try_from(partition).ok().and_then(|place| positions.get_mut(place));
        match place {
            Some(at) if *at < to => {
                *at = to;
                true
            }
            _ => false,
        }
    });
}

#[cfg(test)]
mod tests {
    use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn deleted_records_count_as_read() {
        let (moved, positions) = watch::channel(vec![5, 5, 5]);
        let found = places(&moved, &[Some(0..9), None, Some(7..7)]);
        assert_eq!(found, [(0, Place { at: 5, end: 9 }), (2, Place { at: 7, end: 7 })]);
        assert_eq!(*positions.borrow(), [5, 5, 7]);
    }

    /// A client that hands out nothing any more is replaced, and each record is handled once.
    #[tokio::test]
    async fn a_client_that_has_lost_hold_is_replaced() {
        let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false");
        let asker = config.create_with_context(Context::new("asker".into())).unwrap();
        config.set("group.id", "g");
        let mut producer = config.clone();
        producer.remove("enable.partition.eof").remove("enable.auto.commit").remove("group.id");
        let following = Following {
            reader: Reader {
                topic: "t".into(),
                servers: cluster.bootstrap_servers(),
                asker: Arc::new(asker),
            },
            writer: Arc::new(Writer::new("t", "w".into(), producer).unwrap()),
            config,
            who: "w".into(),
            look: Duration::from_millis(300),
        };
        let consumer = following.open(&[0, 0]).unwrap();
        let (seen, mut records) = mpsc::unbounded_channel();
        let each = move |record: Record<'_>| {
            let key = record.key.unwrap_or_default().to_vec();
            seen.send(key).unwrap();
        };
        let (moved, mut positions) = watch::channel(vec![0, 0]);
        let stop = CancellationToken::new();
        let first = consumer.clone();
        let task = tokio::spawn(follow(following.clone(), consumer, each, moved, stop.clone()));
        for key in 0..20_u8 {
            following.writer.enqueue(&[key], Some(b"v")).unwrap().await.unwrap().unwrap();
        }
        let all = |at: &Vec<i64>, count: i64| at.iter().sum::<i64>() == count;
        timeout(PATIENCE, positions.wait_for(|at| all(at, 20))).await.unwrap().unwrap();
        // As by librdkafka's own fault: nothing comes, and nobody is told.
        first.pause(&first.assignment().unwrap()).unwrap();
        drop(first);
        for key in 20..40_u8 {
            following.writer.enqueue(&[key], Some(b"v")).unwrap().await.unwrap().unwrap();
        }
        timeout(PATIENCE, positions.wait_for(|at| all(at, 40))).await.unwrap().unwrap();
        stop.cancel();
        timeout(PATIENCE, task).await.unwrap().unwrap();
        let mut keys = Vec::new();
        while let Some(key) = records.recv().await {
            keys.extend(key);
        }
        keys.sort_unstable();
        assert_eq!(keys, (0..40).collect::<Vec<u8>>(), "each record once");
    }
}
