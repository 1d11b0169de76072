//! The source, sink, transport and offset store of the drivers' tests.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef},
    connector::{
        Errant, Object, Offsets, Outbox, Props, SinkConnector, SinkTask, SourceConnector,
        SourceTask, Start, TopicPartition,
    },
    error::{Error, RecordError, Result, Stage},
    record::{Batch, Data, Position, Record, SinkRecord, no_headers},
    schema::{Kind, Schema},
    value::Value,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use crate::metrics::Metrics;
use crate::runtime::{
    OffsetStore, Spawn, State, StatusUpdate, TaskHandle, Tasks, Threads, Transport,
    settings::DeadLetterQueue,
    transport::{ChangeError, Chunk, Client, Consumer, OffsetChange, Producer, Ticket},
};

static NO_KEYS: ConfigDef = ConfigDef(&[]);

/// Waits for a fact, at most 10 s.
pub(super) async fn eventually(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !fact() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(super) struct Worker {
    tasks: Tasks,
    pub(super) store: Arc<Store>,
    status: mpsc::UnboundedSender<StatusUpdate>,
    updates: mpsc::UnboundedReceiver<StatusUpdate>,
    pub(super) props: Props,
    pub(super) paused: bool,
}

pub(super) fn worker_with(transport: Arc<dyn Transport>, pairs: &[(&str, &str)]) -> Worker {
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let mut worker = own(pairs);
    for side in ["key", "value"] {
        worker.insert(format!("{side}.converter"), json.to_owned());
        worker.insert(format!("{side}.converter.schemas.enable"), "false".to_owned());
    }
    let store = Arc::new(Store::default());
    let (status, updates) = mpsc::unbounded_channel();
    Worker {
        tasks: Tasks {
            transport,
            offsets: store.clone(),
            worker: Arc::new(worker),
            metrics: Metrics::new(&Props::new(), "w"),
            threads: Threads::here(),
        },
        store,
        status,
        updates,
        props: Props::new(),
        paused: false,
    }
}

fn own(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Worker {
    fn spawn(&self, connector: &str, props: Props) -> Spawn {
        Spawn {
            connector: connector.into(),
            task: 0,
            props,
            paused: self.paused,
            status: self.status.clone(),
        }
    }

    pub(super) fn text(&self) -> String {
        self.tasks.metrics.text()
    }

    /// A figure of the task `source-0` or `NAME-0`, as `/metrics` shows it.
    pub(super) fn figure(&self, name: &str, connector: &str) -> f64 {
        let series = format!("{name}{{connector=\"{connector}\",task=\"0\"}} ");
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("no {series}in {text}")).parse().unwrap()
    }

    pub(super) fn source(&self, script: &Arc<Script>) -> TaskHandle {
        let connector = Box::leak(Box::new(FakeSource(script.clone())));
        self.tasks.start_source(connector, self.spawn("source", self.props.clone()))
    }

    pub(super) fn sink(
        &self,
        sink: &Arc<Recording>,
        name: &str,
        pairs: &[(&str, &str)],
    ) -> TaskHandle {
        let connector = Box::leak(Box::new(FakeSink(sink.clone())));
        self.start_sink(connector, name, pairs)
    }

    pub(super) fn start_sink(
        &self,
        connector: &'static dyn SinkConnector,
        name: &str,
        pairs: &[(&str, &str)],
    ) -> TaskHandle {
        self.tasks.start_sink(connector, self.spawn(name, own(pairs)))
    }

    /// Nothing has been said that [`Worker::expect`] has not taken.
    pub(super) fn silent(&mut self) -> bool {
        self.updates.is_empty()
    }

    /// The next status must be this one.
    pub(super) async fn expect(&mut self, state: State) -> Option<String> {
        let update = tokio::time::timeout(Duration::from_secs(10), self.updates.recv());
        let update = update.await.expect("no status within 10 s").expect("a sender is kept");
        assert_eq!(update.state, state, "{update:?}");
        update.trace
    }
}

// ---- The offset store --------------------------------------------------------------------------

#[derive(Default)]
pub(super) struct Store {
    stored: Mutex<Option<i64>>,
    written: AtomicUsize,
    broken: AtomicBool,
    pub(super) failures: AtomicUsize,
}

impl Store {
    pub(super) fn get(&self) -> Option<i64> {
        *self.stored.lock().unwrap()
    }

    pub(super) fn fail(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// How many writes there were, after several flush intervals of 5 ms.
    pub(super) async fn writes(&self) -> usize {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..4 {
            tick.tick().await;
        }
        self.written.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl OffsetStore for Store {
    async fn read(&self, _connector: &str, _partition: &Object) -> Result<Option<Object>> {
        Ok(None)
    }

    async fn write(&self, _: &str, entries: Vec<(Object, Option<Object>)>) -> Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err(Error::retriable("disk full"));
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        let newest = entries.last().and_then(|(_, offset)| offset.as_ref()?.get("at")?.as_i64());
        *self.stored.lock().unwrap() = newest;
        Ok(())
    }

    async fn list(&self, _connector: &str) -> Result<Vec<(Object, Object)>> {
        Ok(Vec::new())
    }
}

// ---- The source --------------------------------------------------------------------------------

#[derive(Clone, Copy)]
pub(super) enum Step {
    Send {
        records: usize,
        position: Option<i64>,
    },
    /// A record whose value is not of its schema.
    Broken,
    Retriable,
    Fatal,
    Panic,
    /// Waits for [`Script::signal`].
    Signal,
    /// Keeps its thread until [`Script::release`].
    Block,
    /// Looks at what is confirmed until it is stopped.
    Stay,
}

/// What a source does, and what it has seen.
pub(super) struct Script {
    steps: Mutex<VecDeque<Step>>,
    at: AtomicUsize,
    runs: AtomicUsize,
    starts: AtomicUsize,
    confirmed: Mutex<Option<i64>>,
    signal: Notify,
    released: (Mutex<bool>, Condvar),
}

impl Script {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Self {
            steps: Mutex::new(steps.into_iter().collect()),
            at: AtomicUsize::new(0),
            runs: AtomicUsize::new(0),
            starts: AtomicUsize::new(0),
            confirmed: Mutex::new(None),
            signal: Notify::new(),
            released: Default::default(),
        })
    }

    /// Steps done.
    pub(super) fn at(&self) -> usize {
        self.at.load(Ordering::Relaxed)
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    pub(super) fn starts(&self) -> usize {
        self.starts.load(Ordering::Relaxed)
    }

    pub(super) fn confirmed(&self) -> Option<i64> {
        *self.confirmed.lock().unwrap()
    }

    pub(super) fn signal(&self) {
        self.signal.notify_one();
    }

    /// Lets threads go that [`Step::Block`] keeps.
    pub(super) fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }

    /// Keeps the thread until [`Script::release`].
    pub(super) fn block(&self) {
        let held = self.released.0.lock().unwrap();
        drop(self.released.1.wait_while(held, |released| !*released).unwrap());
    }
}

struct FakeSource(Arc<Script>);

#[async_trait]
impl SourceConnector for FakeSource {
    fn class(&self) -> &'static str {
        "Fake"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn config(&self) -> &'static ConfigDef {
        &NO_KEYS
    }

    async fn start(&self, _config: Config, _start: Start) -> Result<Box<dyn SourceTask>> {
        self.0.starts.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(FakeTask(self.0.clone())))
    }
}

struct FakeTask(Arc<Script>);

#[async_trait]
impl SourceTask for FakeTask {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        let script = &self.0;
        script.runs.fetch_add(1, Ordering::Relaxed);
        loop {
            let step = script.steps.lock().unwrap().pop_front().unwrap_or(Step::Stay);
            match step {
                Step::Send { records, position } => {
                    let records = (0..records).map(|number| record(number as i64, Kind::Int64));
                    let batch = batch(records.collect(), position);
                    let Some(room) = out.room().await else { return Ok(()) };
                    room.send(batch);
                }
                Step::Broken => {
                    let Some(room) = out.room().await else { return Ok(()) };
                    room.send(batch(vec![record(1, Kind::String)], None));
                }
                Step::Retriable => {
                    script.at.fetch_add(1, Ordering::Relaxed);
                    return Err(Error::retriable("connection lost"));
                }
                Step::Fatal => {
                    return Err(
                        Error::fatal("slot gone").caused_by(Error::fatal("somebody dropped it"))
                    );
                }
                Step::Panic => panic!("index out of nowhere"),
                Step::Signal => script.signal.notified().await,
                Step::Block => {
                    script.at.fetch_add(1, Ordering::Relaxed);
                    script.block();
                    // Its end is not what was asked for.
                    return Err(Error::fatal("interrupted"));
                }
                Step::Stay => loop {
                    let confirmed = out.acked();
                    if let Some(position) = confirmed {
                        *script.confirmed.lock().unwrap() = position.offset["at"].as_i64();
                    }
                    tokio::select! {
                        () = out.stopped() => return Ok(()),
                        () = tokio::time::sleep(Duration::from_millis(1)) => {}
                    }
                },
            }
            script.at.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn record(number: i64, kind: Kind) -> Record {
    Record {
        topic: "t".into(),
        partition: None,
        key: Data::NULL,
        value: Data { schema: Some(Arc::new(Schema::new(kind))), value: Value::Int(number) },
        timestamp: None,
        headers: no_headers(),
    }
}

fn batch(records: Vec<Record>, position: Option<i64>) -> Batch {
    let map = |value: serde_json::Value| Object::from_iter([("at".to_owned(), value)]);
    let position = position
        .map(|at| Position { partition: Arc::new(map("here".into())), offset: map(at.into()) });
    Batch { records: records.into(), position, bytes: 0 }
}

// ---- The transport -----------------------------------------------------------------------------

#[derive(Default)]
pub(super) struct FakeTransport(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sent: AtomicUsize,
    hold: AtomicBool,
    refuse: AtomicBool,
    asked: AtomicBool,
    block: watch::Sender<bool>,
    /// Records not acknowledged yet, in order.
    unacknowledged: Mutex<Vec<Arc<Ticket>>>,
}

impl FakeTransport {
    pub(super) fn sent(&self) -> usize {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Keeps acknowledgements back, or gives them all.
    pub(super) fn hold(&self, hold: bool) {
        self.0.hold.store(hold, Ordering::Relaxed);
        if !hold {
            self.0.unacknowledged.lock().unwrap().drain(..).for_each(|ticket| ticket.done(1));
        }
    }

    pub(super) fn acknowledge_last(&self, count: usize) {
        let mut tickets = self.0.unacknowledged.lock().unwrap();
        let first = tickets.len() - count;
        tickets.drain(first..).for_each(|ticket| ticket.done(1));
    }

    /// Fails every record.
    pub(super) fn refuse(&self, refuse: bool) {
        self.0.refuse.store(refuse, Ordering::Relaxed);
    }

    /// Lets `send` wait.
    pub(super) fn block(&self, block: bool) {
        self.0.block.send_replace(block);
    }

    pub(super) fn blocked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Transport for FakeTransport {
    async fn producer(&self, _client: &Client) -> Result<Box<dyn Producer>> {
        Ok(Box::new(FakeProducer(self.0.clone())))
    }

    fn claim(&self, _connector: &str, _props: &Props) -> Result<()> {
        Ok(())
    }

    async fn consumer(&self, _client: &Client) -> Result<Box<dyn Consumer>> {
        Err(Error::fatal("no sinks here"))
    }

    fn forget(&self, _connector: &str) {}

    async fn dead_letters(
        &self,
        _client: &Client,
        _queue: &DeadLetterQueue,
    ) -> Result<Box<dyn Producer>> {
        Err(Error::fatal("no dead letters here"))
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

struct FakeProducer(Arc<Inner>);

#[async_trait]
impl Producer for FakeProducer {
    async fn send(&mut self, chunk: Chunk, ticket: &Arc<Ticket>) -> Result<Chunk> {
        self.0.asked.store(true, Ordering::Relaxed);
        let mut block = self.0.block.subscribe();
        block.wait_for(|block| !block).await.expect("the sender is kept");
        for record in &chunk.records {
            if self.0.refuse.load(Ordering::Relaxed) {
                ticket.failed(&record.topic, Error::fatal("too large"));
            } else if self.0.hold.load(Ordering::Relaxed) {
                self.0.unacknowledged.lock().unwrap().push(ticket.clone());
            } else {
                ticket.done(1);
            }
            self.0.sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(chunk)
    }

    async fn close(self: Box<Self>) {}
}

// ---- The sink ----------------------------------------------------------------------------------

/// What a sink does, and what it was given.
#[derive(Default)]
pub(super) struct Recording {
    given: Mutex<Vec<(i64, String)>>,
    puts: AtomicUsize,
    asked: AtomicUsize,
    failing: AtomicUsize,
    hold: AtomicBool,
    report: Mutex<Option<i64>>,
}

pub(super) fn recording_sink() -> Arc<Recording> {
    Arc::default()
}

pub(super) fn offsets_of(sink: &Recording) -> Vec<i64> {
    sink.given.lock().unwrap().iter().map(|(offset, _)| *offset).collect()
}

impl Recording {
    pub(super) fn count(&self) -> usize {
        self.given.lock().unwrap().len()
    }

    pub(super) fn values(&self) -> Vec<String> {
        self.given.lock().unwrap().iter().map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn puts(&self) -> usize {
        self.puts.load(Ordering::Relaxed)
    }

    /// How often it was asked what is durable.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Fails this many calls of `put`.
    pub(super) fn fail_puts(&self, count: usize) {
        self.failing.store(count, Ordering::Relaxed);
    }

    /// Says that nothing is durable.
    pub(super) fn hold_commits(&self, hold: bool) {
        self.hold.store(hold, Ordering::Relaxed);
    }

    /// Reports the record with this offset.
    pub(super) fn report(&self, offset: Option<i64>) {
        *self.report.lock().unwrap() = offset;
    }
}

struct FakeSink(Arc<Recording>);

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
        Ok(Box::new(FakeSinkTask(self.0.clone())))
    }
}

struct FakeSinkTask(Arc<Recording>);

#[async_trait]
impl SinkTask for FakeSinkTask {
    async fn put(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()> {
        let sink = &self.0;
        if records.is_empty() {
            return Ok(()); // A tick.
        }
        sink.puts.fetch_add(1, Ordering::Relaxed);
        let failing = sink.failing.load(Ordering::Relaxed);
        if failing > 0 {
            sink.failing.store(failing - 1, Ordering::Relaxed);
            return Err(Error::retriable("busy"));
        }
        let unwanted = *sink.report.lock().unwrap();
        for (index, record) in records.iter().enumerate() {
            if Some(record.kafka_offset) == unwanted {
                errant.report(index, RecordError::new(Stage::TaskPut, "not wanted"));
            } else {
                let value = match &record.record.value.value {
                    Value::Int(number) => number.to_string(),
                    other => format!("{other:?}"),
                };
                sink.given.lock().unwrap().push((record.kafka_offset, value));
            }
        }
        Ok(())
    }

    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let held = self.0.hold.load(Ordering::Relaxed);
        Ok(if held { Offsets::new() } else { current })
    }
}
