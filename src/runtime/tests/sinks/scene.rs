//! The consumer, the sink and the dead-letter queue of the sink driver's tests, and the journal of
//! what they were asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{
    config::{Config, ConfigDef},
    connector::{Errant, Offsets, Props, SinkConnector, SinkContext, SinkTask, TopicPartition},
    error::{Error, RecordError, Result, Stage},
    record::{SinkRecord, TimestampType},
};
use tokio::sync::Notify;

use crate::runtime::{
    Transport,
    settings::DeadLetterQueue,
    transport::{
        ChangeError, Chunk, Client, Consumer, Encoded, Event, OffsetChange, Producer, Received,
        Ticket,
    },
};

/// What transport and sink are to do, and everything that they were asked, in order.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) told: Notify,
    pub(super) journal: Mutex<Vec<String>>,
    pub(super) begin: Mutex<BTreeMap<(String, i32), i64>>,
    /// What `pre_commit` answers instead of what it is given.
    pub(super) durable: Mutex<Option<Result<Offsets>>>,
    /// What the next `put` of records answers.
    pub(super) put: Mutex<Option<Error>>,
    pub(super) report: Mutex<Option<i64>>,
    pub(super) context: Mutex<SinkContext>,
    pub(super) within: Mutex<Option<Duration>>,
    /// Commits are not answered.
    pub(super) mute: AtomicBool,
    /// Dead letters are not acknowledged.
    pub(super) hold_letters: AtomicBool,
    pub(super) letters: Mutex<Vec<(Letter, Arc<Ticket>)>>,
}

/// Key, value, names of headers.
pub(super) type Letter = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<String>);

pub(super) fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition }
}

pub(super) fn offsets(pairs: &[(i32, i64)]) -> Offsets {
    pairs.iter().map(|(partition, offset)| (place(*partition), *offset)).collect()
}

pub(super) fn show(offsets: &Offsets) -> String {
    let one = |(place, offset): (&TopicPartition, &i64)| format!("{}@{offset}", place.partition);
    offsets.iter().map(one).collect::<Vec<_>>().join(" ")
}

pub(super) fn numbers(partitions: &[TopicPartition]) -> String {
    let all: Vec<String> = partitions.iter().map(|place| place.partition.to_string()).collect();
    all.join(" ")
}

/// Records of a partition with these offsets; each has its offset as its value, and one header.
pub(super) fn records(partition: i32, range: std::ops::Range<i64>) -> Event {
    let mut chunk = Chunk::default();
    let mut places = Vec::new();
    for offset in range {
        let start = chunk.bytes.len();
        chunk.bytes.extend_from_slice(offset.to_string().as_bytes());
        chunk.records.push(Encoded {
            topic: "t".into(),
            partition: Some(partition),
            timestamp: Some(-1),
            key: None,
            value: Some(start..chunk.bytes.len()),
            headers: Arc::new([("h".into(), Some(Bytes::from_static(b"x")))]),
        });
        places.push(offset);
    }
    let chunk = Arc::new(chunk);
    let received = places.into_iter().enumerate().map(|(index, offset)| Received {
        chunk: chunk.clone(),
        index,
        partition,
        offset,
        timestamp_type: TimestampType::LogAppendTime,
    });
    Event::Records(received.collect())
}

impl Scene {
    pub(super) fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.told.notify_one();
    }

    pub(super) fn note(&self, line: String) {
        self.journal.lock().unwrap().push(line);
    }

    pub(super) fn journal(&self) -> Vec<String> {
        self.journal.lock().unwrap().clone()
    }

    /// Waits until the journal, without ticks, has these lines and no more.
    pub(super) async fn expect(&self, lines: &[&str]) {
        let without_ticks =
            || self.journal().into_iter().filter(|line| line != "tick").collect::<Vec<_>>();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while without_ticks() != lines {
            if tokio::time::Instant::now() > deadline {
                assert_eq!(without_ticks(), lines);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.journal.lock().unwrap().clear();
    }

    pub(super) fn assign(&self, pairs: &[(i32, i64)]) {
        for (partition, offset) in pairs {
            self.begin.lock().unwrap().insert(("t".to_owned(), *partition), *offset);
        }
        self.tell(Event::Assigned(pairs.iter().map(|(partition, _)| place(*partition)).collect()));
    }
}

pub(super) struct FakeTransport(pub(super) Arc<Scene>);

#[async_trait]
impl Transport for FakeTransport {
    async fn producer(&self, _client: &Client) -> Result<Box<dyn Producer>> {
        Err(Error::fatal("no sources here"))
    }

    fn claim(&self, _connector: &str, _props: &Props) -> Result<()> {
        Ok(())
    }

    async fn consumer(&self, _client: &Client) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(FakeConsumer(self.0.clone())))
    }

    fn forget(&self, _connector: &str) {}

    async fn dead_letters(
        &self,
        _client: &Client,
        _queue: &DeadLetterQueue,
    ) -> Result<Box<dyn Producer>> {
        Ok(Box::new(FakeLetters(self.0.clone())))
    }

    async fn sink_offsets(
        &self,
        _connector: &str,
        _props: &Props,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        Ok(Vec::new())
    }

    async fn change_sink_offsets(
        &self,
        _connector: &str,
        _props: &Props,
        _change: OffsetChange<'_>,
    ) -> Result<(), ChangeError> {
        Ok(())
    }

    async fn cluster_id(&self) -> Option<String> {
        None
    }

    async fn check(&self, _within: Duration) -> Result<()> {
        Ok(())
    }
}

struct FakeLetters(Arc<Scene>);

#[async_trait]
impl Producer for FakeLetters {
    async fn send(&mut self, chunk: Chunk, ticket: &Arc<Ticket>) -> Result<Chunk> {
        for record in &chunk.records {
            let own = |range| chunk.slice(range).map(<[u8]>::to_vec);
            let names = record.headers.iter().map(|(name, _)| name.to_string()).collect();
            let letter = (own(record.key.as_ref()), own(record.value.as_ref()), names);
            if !self.0.hold_letters.load(Ordering::Relaxed) {
                ticket.done(1);
            }
            self.0.letters.lock().unwrap().push((letter, ticket.clone()));
        }
        Ok(chunk)
    }

    async fn close(self: Box<Self>) {
        self.0.note("letters closed".to_owned());
    }
}

struct FakeConsumer(Arc<Scene>);

#[async_trait]
impl Consumer for FakeConsumer {
    async fn poll(&mut self) -> Result<Event> {
        loop {
            {
                let mut events = self.0.events.lock().unwrap();
                if !events.is_empty() {
                    return Ok(events.remove(0));
                }
            }
            self.0.told.notified().await;
        }
    }

    async fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let begin = self.0.begin.lock().unwrap();
        let at = |place: &TopicPartition| {
            (place.clone(), begin[&(place.topic.to_string(), place.partition)])
        };
        Ok(partitions.iter().map(at).collect())
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.note(format!("released {}", numbers(partitions)));
        Ok(())
    }

    fn commit(&mut self, offsets: Offsets) -> BoxFuture<'static, Result<()>> {
        self.0.note(format!("commit {}", show(&offsets)));
        if self.0.mute.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(Ok(())))
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        self.0.note(format!("seek {}", show(offsets)));
        Ok(())
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.note(format!("pause {}", numbers(partitions)));
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.note(format!("resume {}", numbers(partitions)));
        Ok(())
    }

    async fn close(self: Box<Self>) {
        self.0.note("left".to_owned());
    }
}

pub(super) struct FakeSink(pub(super) Arc<Scene>);

static NO_KEYS: ConfigDef = ConfigDef(&[]);

#[async_trait]
impl SinkConnector for FakeSink {
    fn class(&self) -> &'static str {
        "FakeSink"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn config(&self) -> &'static ConfigDef {
        &NO_KEYS
    }

    async fn start(&self, _config: Config) -> Result<Box<dyn SinkTask>> {
        Ok(Box::new(FakeTask(self.0.clone())))
    }
}

struct FakeTask(Arc<Scene>);

#[async_trait]
impl SinkTask for FakeTask {
    fn initialize(&mut self, context: SinkContext) {
        *self.0.context.lock().unwrap() = context;
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.note(format!("open {}", numbers(partitions)));
        Ok(())
    }

    async fn put(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()> {
        let Some(first) = records.first() else {
            self.0.note("tick".to_owned());
            return Ok(());
        };
        assert_eq!(first.record.timestamp, None, "-1 is no time");
        assert_eq!(first.timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(&*first.record.headers[0].name, "h");
        let all = records.iter().map(|it| format!("{}@{}", it.kafka_partition, it.kafka_offset));
        let all = all.collect::<Vec<_>>().join(" ");
        if let Some(error) = self.0.put.lock().unwrap().take() {
            self.0.note(format!("put fails {all}"));
            return Err(error);
        }
        self.0.note(format!("put {all}"));
        let unwanted = *self.0.report.lock().unwrap();
        for (index, record) in records.iter().enumerate() {
            if Some(record.kafka_offset) == unwanted {
                errant.report(index, RecordError::new(Stage::TaskPut, "not wanted"));
            }
        }
        Ok(())
    }

    fn put_within(&self) -> Option<Duration> {
        *self.0.within.lock().unwrap()
    }

    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets> {
        self.0.durable.lock().unwrap().take().unwrap_or(Ok(current))
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.note(format!("close {}", numbers(partitions)));
        Ok(())
    }
}
