//! Sinks over a real Kafka: what is in the topics comes to be in the file, through rebalances,
//! pauses, resets and the death of workers.
//!
//! Records are running numbers, as JSON, spread over the partitions by key. FileStreamSink writes one
//! a line, so that a file tells what arrived, how often, and, by partition, in what order.

mod group;
mod letters;
mod offsets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use serde_json::{Value, json};

use crate::harness::{
    random::Random,
    rest::{Config, Rest},
    servers, topics, wait_for,
    worker::{Home, Worker},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// One test's topic, sink and worker, all named after it.
pub(crate) struct Scene {
    pub(crate) kafka: String,
    pub(crate) name: &'static str,
    pub(crate) home: Home,
}

impl Scene {
    /// Nothing is left of an earlier run. The topic `NAME-t` has four partitions.
    pub(crate) fn new(name: &'static str) -> Option<Self> {
        let kafka = servers::kafka(name)?;
        topics::delete(&kafka, &format!("{name}-"));
        topics::create(&kafka, &format!("{name}-t"), 4, &[]);
        let home = Home::new(name, &kafka);
        Some(Self { kafka, name, home })
    }

    pub(crate) fn topic(&self) -> String {
        format!("{}-t", self.name)
    }

    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.home.directory.join(format!("sink{suffix}.txt"))
    }

    /// A file sink on the topic. Members that are gone are noticed soon.
    pub(crate) fn config(&self, more: &[(&str, &str)]) -> Config {
        let (topic, file) = (self.topic(), self.file(""));
        let fixed = [
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", topic.as_str()),
            ("file", file.to_str().expect("a path of text")),
            ("tasks.max", "2"),
            ("consumer.override.session.timeout.ms", "6000"),
            ("consumer.override.heartbeat.interval.ms", "500"),
            // A topic that is deleted at the end stays deleted.
            ("consumer.override.allow.auto.create.topics", "false"),
        ];
        fixed.iter().chain(more).map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    pub(crate) fn produce(&self, numbers: std::ops::Range<u64>) {
        let producer = producer(&self.kafka);
        numbers.for_each(|number| send(&producer, &self.topic(), number));
        producer.flush(PATIENCE).expect("the records are stored");
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.file(""))
    }

    /// Waits until so many lines are there, of which none comes twice.
    pub(crate) fn wait_lines(&self, count: usize) -> Vec<String> {
        let lines = wait_for(&format!("{count} lines"), PATIENCE, || {
            let lines = self.lines();
            (lines.len() >= count).then_some(lines)
        });
        assert_eq!(lines.len(), count, "{}", self.home.log());
        lines
    }

    pub(crate) fn end(self, worker: Worker) {
        worker.rest.call("DELETE", &format!("/connectors/{}", self.name), None);
        assert!(worker.terminate().success(), "the worker's end\n{}", self.home.log());
        topics::delete(&self.kafka, &format!("{}-", self.name));
    }
}

pub(crate) fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // A line that is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

pub(crate) fn producer(kafka: &str) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", kafka).create().expect("a producer")
}

fn send(producer: &BaseProducer, topic: &str, number: u64) {
    let (key, value) = (format!("\"{number}\""), number.to_string());
    let mut record = BaseRecord::to(topic).key(&key).payload(&value);
    while let Err((error, unsent)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
        record = unsent;
        producer.poll(Duration::from_millis(5));
    }
    producer.poll(Duration::ZERO);
}

/// The numbers from 0 to `count`, as the file sink writes them.
pub(crate) fn numbers(count: u64) -> BTreeSet<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Records all the time, until it is told to end.
struct Load {
    ending: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(scene: &Scene) -> Self {
        let (ending, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (end, count) = (ending.clone(), sent.clone());
        let (producer, topic) = (producer(&scene.kafka), scene.topic());
        let thread = thread::spawn(move || {
            let mut number = 0;
            while !end.load(Ordering::Relaxed) {
                // Some 5,000 a second, so that a commit is always behind what is written.
                for _ in 0..50 {
                    send(&producer, &topic, number);
                    number += 1;
                }
                producer.flush(PATIENCE).expect("the records are stored");
                count.store(number, Ordering::Relaxed);
                producer.poll(Duration::from_millis(10));
            }
        });
        Self { ending, sent, thread: Some(thread) }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many more are sent.
    fn run(&self, more: u64) {
        let until = self.sent() + more;
        wait_for("the load", PATIENCE, || (self.sent() >= until).then_some(()));
    }

    /// How many there were in all.
    fn finish(mut self) -> u64 {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.take().expect("runs").join().expect("the load went well");
        self.sent()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn wait_state(rest: &Rest, name: &str, state: &str, tasks: usize) {
    wait_for(&format!("{name} {state} with {tasks} tasks"), PATIENCE, || {
        let status = rest.status(name)?;
        let all = status["tasks"].as_array()?;
        (all.len() == tasks && all.iter().all(|task| task["state"] == state)).then_some(())
    });
}

/// Two tasks share four partitions, more tasks join under load, all are held and go on: each record
/// once, and in the order of its partition.
#[test]
fn a_sink_through_an_orderly_life() {
    let Some(scene) = Scene::new("sinks_life") else { return };
    let worker = scene.home.start(&[]);
    let (rest, name) = (&worker.rest, scene.name);
    scene.produce(0..1_000);
    rest.start(name, &scene.config(&[]));
    scene.wait_lines(1_000);

    let load = Load::start(&scene);
    load.run(5_000);
    rest.put(name, &scene.config(&[("tasks.max", "4")]));
    wait_state(rest, name, "RUNNING", 4);
    load.run(5_000);
    rest.call("PUT", &format!("/connectors/{name}/pause"), None);
    wait_state(rest, name, "PAUSED", 4);
    load.run(5_000);
    // What was read when the tasks were told to pause is written; nothing after that.
    let held = wait_for("the file to rest", PATIENCE, || {
        let before = scene.lines().len();
        load.run(1_000);
        (scene.lines().len() == before).then_some(before)
    });
    load.run(2_000);
    assert_eq!(scene.lines().len(), held, "a paused sink wrote");
    rest.resume(name);
    load.run(3_000);
    rest.put(name, &scene.config(&[("tasks.max", "1")]));
    wait_state(rest, name, "RUNNING", 1);
    load.run(3_000);
    let sent = load.finish();

    // The load counted from 0 anew.
    let all = scene.wait_lines(1_000 + usize::try_from(sent).unwrap());
    let loaded: Vec<u64> = all[1_000..].iter().map(|line| line.parse().unwrap()).collect();
    let distinct: BTreeSet<u64> = loaded.iter().copied().collect();
    assert_eq!(distinct.len(), loaded.len(), "records came twice");
    assert_eq!(distinct, (0..sent).collect());
    in_order(&scene, &loaded);
    let used = rest.call("GET", &format!("/connectors/{name}/topics"), None);
    assert_eq!(used[name]["topics"], json!([scene.topic()]));
    scene.end(worker);
}

/// Each partition's numbers are in the order in which they were sent.
fn in_order(scene: &Scene, seen: &[u64]) {
    let mut partition_of: BTreeMap<u64, i32> = BTreeMap::new();
    topics::for_each(&scene.kafka, &scene.topic(), |_, record| {
        let value = record.value.as_deref().map(String::from_utf8_lossy);
        partition_of.insert(value.expect("a number").parse().unwrap(), record.partition);
    });
    let mut last: BTreeMap<i32, u64> = BTreeMap::new();
    for number in seen {
        let partition = partition_of[number];
        if let Some(before) = last.insert(partition, *number) {
            assert!(before < *number, "{number} after {before} in partition {partition}");
        }
    }
}

/// The worker is killed at random moments under load. Repeats are allowed, gaps are not.
#[test]
fn a_killed_worker_loses_nothing() {
    let Some(scene) = Scene::new("sinks_killed") else { return };
    let mut random = Random::new(Random::seed(scene.name));
    let file = scene.home.connector(scene.name, &scene.config(&[]));
    let load = Load::start(&scene);
    let mut worker = scene.home.start(std::slice::from_ref(&file));
    let mut written = 0;
    for _ in 0..4 {
        // The group waits for the dead members' session to end before it goes on.
        wait_for("new lines", PATIENCE, || (scene.lines().len() > written).then_some(()));
        load.run(random.between(500, 8_000));
        worker.kill();
        written = scene.lines().len();
        // A line that was cut off stays so: the record comes again, behind it.
        let mut text = fs::read(scene.file("")).expect("the file");
        if text.last().is_some_and(|last| *last != b'\n') {
            text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
            fs::write(scene.file(""), text).expect("the file");
        }
        worker = scene.home.start(std::slice::from_ref(&file));
    }
    let sent = load.finish();
    let wanted = numbers(sent);
    let missing = || {
        let there: BTreeSet<String> = scene.lines().into_iter().collect();
        wanted.difference(&there).count()
    };
    wait_for("all records", PATIENCE, || (missing() == 0).then_some(()));
    let lines = scene.lines();
    eprintln!("{}: {} lines for {sent} records", scene.name, lines.len());
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), wanted, "something nobody sent");
    scene.end(worker);
}

/// A pattern means all of a topic's name, in Java's syntax, and finds topics that come later.
#[test]
fn a_pattern_finds_topics_that_come_later() {
    let Some(scene) = Scene::new("sinks_pattern") else { return };
    let worker = scene.home.start(&[]);
    let mut config = scene.config(&[
        // librdkafka's own expressions know neither groups without capture nor look-ahead.
        ("topics.regex", "sinks_pattern-(?:t|later\\d)(?!x)"),
        ("consumer.override.metadata.max.age.ms", "500"),
    ]);
    config.remove("topics");
    scene.produce(0..10);
    worker.rest.start(scene.name, &config);
    scene.wait_lines(10);
    let producer = producer(&scene.kafka);
    for (topic, number) in [("later1", 10), ("later1x", 11), ("xlater2", 12), ("later3", 13)] {
        topics::create(&scene.kafka, &format!("sinks_pattern-{topic}"), 1, &[]);
        send(&producer, &format!("sinks_pattern-{topic}"), number);
    }
    producer.flush(PATIENCE).expect("the records are stored");
    let seen: BTreeSet<String> = scene.wait_lines(12).into_iter().collect();
    let mut wanted = numbers(11);
    wanted.insert("13".to_owned());
    assert_eq!(seen, wanted);
    scene.end(worker);
}

/// A list may name a topic that is not there: it is read as soon as it is.
#[test]
fn a_listed_topic_may_come_later() {
    let Some(scene) = Scene::new("sinks_missing") else { return };
    let worker = scene.home.start(&[]);
    let listed = ("topics", "sinks_missing-t,sinks_missing-later");
    scene.produce(0..10);
    worker.rest.start(scene.name, &scene.config(&[listed]));
    scene.wait_lines(10);
    topics::create(&scene.kafka, "sinks_missing-later", 1, &[]);
    let producer = producer(&scene.kafka);
    send(&producer, "sinks_missing-later", 10);
    producer.flush(PATIENCE).expect("the record is stored");
    assert_eq!(scene.wait_lines(11)[10], "10");
    scene.end(worker);
}

/// Topics of the list come into being one after another under load, and at each of them the tasks
/// share the partitions out anew, when each of them sees it: still each record once.
#[test]
fn listed_topics_come_one_after_another() {
    const LATER: u64 = 4;
    let Some(scene) = Scene::new("sinks_coming") else { return };
    let worker = scene.home.start(&[]);
    let later = |number: u64| format!("sinks_coming-later{number}");
    let listed: Vec<String> = std::iter::once(scene.topic()).chain((0..LATER).map(later)).collect();
    let config = scene.config(&[("topics", &listed.join(",")), ("tasks.max", "3")]);
    worker.rest.start(scene.name, &config);
    let load = Load::start(&scene);
    let producer = producer(&scene.kafka);
    for number in 0..LATER {
        load.run(3_000);
        topics::create(&scene.kafka, &later(number), 2, &[]);
        // Numbers that the load does not come to.
        send(&producer, &later(number), 1_000_000_000 + number);
        producer.flush(PATIENCE).expect("the record is stored");
        wait_for(&format!("the record of {}", later(number)), PATIENCE, || {
            let line = (1_000_000_000 + number).to_string();
            scene.lines().contains(&line).then_some(())
        });
    }
    let sent = load.finish();
    let lines = scene.wait_lines(usize::try_from(sent + LATER).unwrap());
    let distinct: BTreeSet<String> = lines.into_iter().collect();
    assert_eq!(distinct.len() as u64, sent + LATER, "records came twice");
    scene.end(worker);
}

/// Settings of the consumer that cannot be kept are told before the connector is made.
#[test]
fn consumer_settings_that_cannot_be_kept() {
    let Some(scene) = Scene::new("sinks_refused") else { return };
    let worker = scene.home.start(&[]);
    for (key, value, told) in [
        ("enable.auto.commit", "true", "it would commit records that the sink has not written"),
        ("partition.assignment.strategy", "x.StickyAssignor", "names x.StickyAssignor"),
        ("max.poll.records", "many", "which is no whole number"),
    ] {
        let config = scene.config(&[(&format!("consumer.override.{key}"), value)]);
        let body = serde_json::to_string(&config).unwrap();
        let path = format!("/connectors/{}/config", scene.name);
        let answer = worker.rest.ask("PUT", &path, Some(&body));
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    assert_eq!(worker.rest.call("GET", "/connectors", None), Value::Array(Vec::new()));
    assert!(worker.terminate().success());
    topics::delete(&scene.kafka, "sinks_refused-");
}
