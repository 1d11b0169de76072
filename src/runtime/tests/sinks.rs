//! The sink driver over a consumer that does as the test says.

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

use super::fakes::{Worker, eventually, worker_with};
use crate::runtime::{
    State, TaskHandle, Transport,
    settings::DeadLetterQueue,
    transport::{
        ChangeError, Chunk, Client, Consumer, Encoded, Event, OffsetChange, Producer, Received,
        Ticket,
    },
};

/// What transport and sink are to do, and everything that they were asked, in order.
#[derive(Default)]
struct Scene {
    events: Mutex<Vec<Event>>,
    told: Notify,
    journal: Mutex<Vec<String>>,
    begin: Mutex<BTreeMap<(String, i32), i64>>,
    /// What `pre_commit` answers instead of what it is given.
    durable: Mutex<Option<Result<Offsets>>>,
    /// What the next `put` of records answers.
    put: Mutex<Option<Error>>,
    report: Mutex<Option<i64>>,
    context: Mutex<SinkContext>,
    within: Mutex<Option<Duration>>,
    /// Commits are not answered.
    mute: AtomicBool,
    /// Dead letters are not acknowledged.
    hold_letters: AtomicBool,
    letters: Mutex<Vec<(Letter, Arc<Ticket>)>>,
}

/// Key, value, names of headers.
type Letter = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<String>);

fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition }
}

fn offsets(pairs: &[(i32, i64)]) -> Offsets {
    pairs.iter().map(|(partition, offset)| (place(*partition), *offset)).collect()
}

fn show(offsets: &Offsets) -> String {
    let one = |(place, offset): (&TopicPartition, &i64)| format!("{}@{offset}", place.partition);
    offsets.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn numbers(partitions: &[TopicPartition]) -> String {
    let all: Vec<String> = partitions.iter().map(|place| place.partition.to_string()).collect();
    all.join(" ")
}

/// Records of a partition with these offsets; each has its offset as its value, and one header.
fn records(partition: i32, range: std::ops::Range<i64>) -> Event {
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
    fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.told.notify_one();
    }

    fn note(&self, line: String) {
        self.journal.lock().unwrap().push(line);
    }

    fn journal(&self) -> Vec<String> {
        self.journal.lock().unwrap().clone()
    }

    /// Waits until the journal, without ticks, has these lines and no more.
    async fn expect(&self, lines: &[&str]) {
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

    fn assign(&self, pairs: &[(i32, i64)]) {
        for (partition, offset) in pairs {
            self.begin.lock().unwrap().insert(("t".to_owned(), *partition), *offset);
        }
        self.tell(Event::Assigned(pairs.iter().map(|(partition, _)| place(*partition)).collect()));
    }
}

struct FakeTransport(Arc<Scene>);

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

struct FakeSink(Arc<Scene>);

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

/// A running task that commits only when it is asked to.
fn start(
    worker_props: &[(&str, &str)],
    props: &[(&str, &str)],
) -> (Arc<Scene>, Worker, TaskHandle) {
    let stage = Arc::new(Scene::default());
    let worker = worker_with(Arc::new(FakeTransport(stage.clone())), worker_props);
    let connector = Box::leak(Box::new(FakeSink(stage.clone())));
    let handle = worker.start_sink(connector, "sink", props);
    (stage, worker, handle)
}

fn commit(stage: &Scene) {
    stage.context.lock().unwrap().request_commit();
}

async fn stop(handle: TaskHandle) {
    handle.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn partitions_are_committed_and_closed_before_they_are_released() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 10), (1, 20)]);
    stage.tell(records(0, 10..12));
    stage.expect(&["open 0 1", "put 0@10 0@11"]).await;
    stage.tell(Event::Revoked(vec![place(0)]));
    // The JVM's order: asked what is durable, closed, committed, let go.
    stage.expect(&["close 0", "commit 0@12", "released 0"]).await;
    // What comes of it all the same is nobody's here, and its offset is off the books.
    stage.tell(records(0, 12..14));
    stage.tell(records(1, 20..21));
    stage.expect(&["put 1@20"]).await;
    stop(handle).await;
    stage.expect(&["close 1", "commit 1@21", "left"]).await;
}

#[tokio::test]
async fn of_lost_partitions_nothing_is_committed() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 0), (1, 0)]);
    stage.tell(records(0, 0..3));
    stage.tell(Event::Lost(vec![place(0), place(1)]));
    stage.expect(&["open 0 1", "put 0@0 0@1 0@2", "close 0 1", "released 0 1"]).await;
    // They come back, from where somebody else has got.
    stage.assign(&[(0, 2)]);
    stage.tell(records(0, 2..3));
    stage.expect(&["open 0", "put 0@2"]).await;
    stop(handle).await;
    stage.expect(&["close 0", "commit 0@3", "left"]).await;
}

#[tokio::test]
async fn a_batch_that_waits_loses_the_records_of_partitions_that_go() {
    let (stage, _worker, handle) = start(&[], &[]);
    *stage.put.lock().unwrap() = Some(Error::retriable("busy"));
    *stage.within.lock().unwrap() = Some(Duration::from_millis(300));
    stage.assign(&[(0, 0), (1, 0)]);
    let (Event::Records(mut both), Event::Records(more)) = (records(0, 0..2), records(1, 0..1))
    else {
        panic!("records")
    };
    both.extend(more);
    stage.tell(Event::Records(both));
    stage.expect(&["open 0 1", "put fails 0@0 0@1 1@0", "pause 0 1"]).await;
    stage.tell(Event::Revoked(vec![place(0)]));
    // Nothing of partition 0 was taken, so nothing is committed.
    stage.expect(&["close 0", "released 0", "put 1@0", "resume 1"]).await;
    stop(handle).await;
    stage.expect(&["close 1", "commit 1@1", "left"]).await;
}

#[tokio::test]
async fn only_what_is_new_and_known_is_committed() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 5), (1, 7)]);
    stage.tell(records(0, 5..9));
    stage.expect(&["open 0 1", "put 0@5 0@6 0@7 0@8"]).await;
    // Beyond what was given, of a partition the task lacks, and one that counts.
    *stage.durable.lock().unwrap() = Some(Ok(offsets(&[(0, 8), (1, 8), (2, 1)])));
    commit(&stage);
    stage.expect(&["commit 0@8 1@7"]).await;
    // No offsets say that nothing is to be committed; the same ones are no news.
    *stage.durable.lock().unwrap() = Some(Ok(Offsets::new()));
    commit(&stage);
    *stage.within.lock().unwrap() = Some(Duration::from_millis(1));
    eventually("a tick", || stage.journal().contains(&"tick".to_owned())).await;
    *stage.durable.lock().unwrap() = Some(Ok(offsets(&[(0, 8)])));
    commit(&stage);
    eventually("it was asked", || stage.durable.lock().unwrap().is_none()).await;
    stage.expect(&[]).await;
    commit(&stage);
    stage.expect(&["commit 0@9 1@7"]).await;
    stop(handle).await;
    stage.expect(&["close 0 1", "left"]).await;
}

#[tokio::test]
async fn a_sink_that_cannot_say_what_is_durable_gets_the_records_again() {
    let (stage, mut worker, handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 5)]);
    stage.tell(records(0, 5..7));
    stage.expect(&["open 0", "put 0@5 0@6"]).await;
    *stage.durable.lock().unwrap() = Some(Err(Error::retriable("disk busy")));
    commit(&stage);
    stage.expect(&["seek 0@5"]).await;
    // What was put before does not count any more.
    stop(handle).await;
    stage.expect(&["close 0", "left"]).await;
    worker.expect(State::Unassigned).await;

    let (stage, mut worker, _handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 5)]);
    stage.tell(records(0, 5..7));
    stage.expect(&["open 0", "put 0@5 0@6"]).await;
    *stage.durable.lock().unwrap() = Some(Err(Error::fatal("disk gone")));
    commit(&stage);
    assert_eq!(worker.expect(State::Failed).await.unwrap(), "disk gone");
}

#[tokio::test]
async fn a_failed_task_commits_what_it_has_done() {
    let (stage, mut worker, _handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..2));
    stage.expect(&["open 0", "put 0@0 0@1"]).await;
    *stage.put.lock().unwrap() = Some(Error::fatal("no such table"));
    stage.tell(records(0, 2..3));
    let trace = worker.expect(State::Failed).await.unwrap();
    assert_eq!(
        trace,
        "Exiting WorkerSinkTask due to unrecoverable exception.\nCaused by: no such table"
    );
    stage.expect(&["put fails 0@2", "close 0", "commit 0@2", "left"]).await;
}

#[tokio::test]
async fn a_commit_without_an_answer_is_given_up_and_made_again() {
    let (stage, _worker, handle) = start(&[("offset.flush.timeout.ms", "30")], &[]);
    stage.mute.store(true, Ordering::Relaxed);
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..1));
    stage.expect(&["open 0", "put 0@0"]).await;
    commit(&stage);
    stage.expect(&["commit 0@1"]).await;
    // Records go on meanwhile.
    stage.tell(records(0, 1..2));
    stage.expect(&["put 0@1"]).await;
    commit(&stage);
    stage.expect(&["commit 0@2"]).await;
    stage.mute.store(false, Ordering::Relaxed);
    stop(handle).await;
    stage.expect(&["close 0", "commit 0@2", "left"]).await;
}

#[tokio::test]
async fn a_paused_task_reads_nothing_and_stays() {
    let (stage, mut worker, handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..1));
    stage.expect(&["open 0", "put 0@0"]).await;
    handle.pause();
    worker.expect(State::Paused).await;
    stage.expect(&["commit 0@1", "pause 0"]).await;
    // A partition that comes while it is paused is paused too.
    stage.assign(&[(1, 0)]);
    stage.expect(&["open 1", "pause 1"]).await;
    handle.resume();
    worker.expect(State::Running).await;
    stage.expect(&["resume 0 1"]).await;
    stop(handle).await;
    stage.expect(&["close 0 1", "left"]).await;
}

#[tokio::test]
async fn a_sink_pauses_partitions_and_goes_back() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 5), (1, 5)]);
    stage.expect(&["open 0 1"]).await;
    let context = stage.context.lock().unwrap().clone();
    context.pause([place(1), place(9)]);
    stage.expect(&["pause 1"]).await;
    context.resume(&[place(1)]);
    stage.expect(&["resume 1"]).await;
    context.rewind([(place(0), 2), (place(9), 1)]);
    stage.expect(&["seek 0@2"]).await;
    stage.tell(records(0, 2..3));
    stage.expect(&["put 0@2"]).await;
    commit(&stage);
    stage.expect(&["commit 0@3 1@5"]).await;
    stop(handle).await;
    stage.expect(&["close 0 1", "left"]).await;
}

#[tokio::test]
async fn a_sink_is_called_without_records_too() {
    let (stage, _worker, handle) = start(&[("offset.flush.interval.ms", "20")], &[]);
    eventually("a tick at the flush interval", || stage.journal().len() > 1).await;
    assert_eq!(stage.journal()[0], "tick");
    stop(handle).await;
}

#[tokio::test]
async fn offsets_wait_for_dead_letters() {
    let queue = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "d"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let (stage, _worker, handle) = start(&[("offset.flush.timeout.ms", "30")], &queue);
    stage.hold_letters.store(true, Ordering::Relaxed);
    *stage.report.lock().unwrap() = Some(1);
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..3));
    stage.expect(&["open 0", "put 0@0 0@1 0@2"]).await;
    eventually("a letter", || !stage.letters.lock().unwrap().is_empty()).await;
    commit(&stage);
    *stage.within.lock().unwrap() = Some(Duration::from_millis(1));
    eventually("the commit was passed over", || stage.journal().len() > 3).await;
    stage.expect(&[]).await;
    *stage.within.lock().unwrap() = None;
    let ((_, value, names), ticket) = stage.letters.lock().unwrap().remove(0);
    assert_eq!(value.as_deref(), Some(&b"1"[..]));
    assert_eq!(names[0], "h");
    assert_eq!(names.len(), 11);
    ticket.done(1);
    commit(&stage);
    stage.expect(&["commit 0@3"]).await;
    stop(handle).await;
    stage.expect(&["close 0", "left", "letters closed"]).await;
}
