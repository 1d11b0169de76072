//! Records that cannot be read: the task's failure, or the dead-letter queue, as on the JVM.

use std::time::Duration;

use rdkafka::{
    Message,
    consumer::Consumer as _,
    message::{Header, Headers as _, OwnedHeaders},
    producer::{BaseRecord, Producer as _},
};

use super::{PATIENCE, Scene, producer};
use crate::harness::{
    rest::{Config, Rest, json_converters},
    servers, topics, wait_for,
};

/// When the records were made, in milliseconds.
const TIME: i64 = 1_700_000_000_123;

/// Three good records and three that are bad in one way each, all in partition 2.
fn produce(scene: &Scene) {
    let producer = producer(&scene.kafka);
    for (key, value) in [
        (Some("\"a\""), Some("1")),
        (Some("\"a\""), Some("{not json")),
        (Some("[,]"), Some("2")),
        (None, Some("3")),
        (Some("\"a\""), Some("\u{0}\u{1}")),
        (Some("\"a\""), None),
    ] {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "origin", value: Some("somewhere") })
            .insert(Header { key: "empty", value: None::<&str> });
        let topic = scene.topic();
        let mut record: BaseRecord<'_, str, str> =
            BaseRecord::to(&topic).partition(2).timestamp(TIME).headers(headers);
        record.key = key;
        record.payload = value;
        producer.send(record).map_err(|(error, _)| error).expect("room for a record");
    }
    producer.flush(PATIENCE).expect("the records are stored");
}

/// A dead letter, by what is to be the same wherever it was written.
#[derive(Debug, PartialEq)]
struct Letter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<String>)>,
}

/// Waits for so many letters.
fn letters(scene: &Scene, topic: &str, count: usize) -> Vec<Letter> {
    let consumer = topics::consumer(&scene.kafka);
    wait_for(&format!("topic {topic}"), PATIENCE, || {
        topics::names(&consumer, topic).first().map(drop)
    });
    let mut assignment = rdkafka::TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut letters = Vec::new();
    wait_for(&format!("{count} letters in {topic}"), PATIENCE, || {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.expect("a record");
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            letters.push(Letter {
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                timestamp: message.timestamp().to_millis(),
                headers: headers.map(|it| (it.key.to_owned(), it.value.map(text))).collect(),
            });
        }
        (letters.len() >= count).then_some(())
    });
    letters
}

fn config(scene: &Scene, side: &str, more: &[(&str, &str)]) -> Config {
    let file = scene.file(side);
    let group = format!("connect-{}{side}", scene.name);
    let own = [
        ("file", file.to_str().expect("a path of text")),
        ("consumer.override.group.id", group.as_str()),
        ("tasks.max", "1"),
    ];
    let all: Vec<(&str, &str)> = own.iter().chain(more).copied().collect();
    let mut config = scene.config(&all);
    config.extend(json_converters(false));
    config
}

#[test]
fn a_bad_record_fails_the_task() {
    let Some(scene) = Scene::new("sinks_intolerant") else { return };
    let worker = scene.home.start(&[]);
    produce(&scene);
    let queue = [
        ("errors.deadletterqueue.topic.name", "sinks_intolerant-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
    ];
    worker.rest.put(scene.name, &config(&scene, "", &queue));
    let trace = worker.rest.wait_failed(scene.name);
    assert!(trace.starts_with("Tolerance exceeded in error handler\nCaused by: "), "{trace}");
    let cause = "Converting byte[] to Kafka Connect data failed due to serialization error: ";
    assert!(trace.contains(cause), "{trace}");
    // The letter is written before the task fails; without headers of its own, as was asked.
    let letters = letters(&scene, "sinks_intolerant-letters", 1);
    assert_eq!(letters[0].value.as_deref(), Some(&b"{not json"[..]));
    assert_eq!(letters[0].headers.len(), 2);
    // What came before the bad record was not committed: none of its poll was put.
    scene.end(worker);
}

/// The same records, read by both: the same letters, but for the text of the stack.
#[test]
fn dead_letters_are_the_jvms() {
    let name = "sinks_letters";
    let Some(peer) = servers::connect(name) else { return };
    let Some(scene) = Scene::new(name) else { return };
    let peer = Rest { url: peer };
    peer.forget(name);
    let worker = scene.home.start(&[]);
    produce(&scene);
    let mut both = Vec::new();
    for (rest, side) in [(&worker.rest, "-ours"), (&peer, "-jvm")] {
        let topic = format!("{name}-letters{side}");
        let queue = [
            ("errors.tolerance", "all"),
            ("errors.log.enable", "true"),
            ("errors.log.include.messages", "true"),
            ("errors.deadletterqueue.topic.name", topic.as_str()),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
            ("errors.deadletterqueue.context.headers.enable", "true"),
        ];
        rest.start(name, &config(&scene, side, &queue));
        let mut letters = letters(&scene, &topic, 3);
        for letter in &mut letters {
            let (key, stack) = letter.headers.pop().expect("the stack");
            assert_eq!(key, "__connect.errors.exception.stacktrace");
            let stack = stack.expect("a stack");
            let first = stack.lines().next().expect("a line").to_owned();
            letter.headers.push((key, Some(first)));
        }
        let lines = wait_for("the good records", PATIENCE, || {
            let lines = super::lines(&scene.file(side));
            (lines.len() >= 3).then_some(lines)
        });
        both.push((letters, lines));
    }
    let (ours, jvms) = (&both[0], &both[1]);
    assert_eq!(ours.1, jvms.1);
    assert_eq!(ours.1, ["1", "3", "null"]);
    assert_eq!(ours.0, jvms.0);
    assert_eq!(ours.0[0].timestamp, Some(TIME));
    assert_eq!(ours.0[0].headers.len(), 12);
    let log = std::fs::read_to_string(scene.home.directory.join("worker.log")).unwrap();
    let line = "Error encountered in task sinks_letters-0. Executing stage 'VALUE_CONVERTER' with \
                class 'org.apache.kafka.connect.json.JsonConverter', where consumed record is \
                {topic='sinks_letters-t', partition=2, offset=1, timestamp=1700000000123, \
                timestampType=CreateTime}.";
    assert!(log.contains(line), "{log}");
    peer.forget(name);
    // Both committed past the bad ones.
    worker.rest.stop(name);
    let offsets = worker.rest.call("GET", &format!("/connectors/{name}/offsets"), None);
    let of_two = offsets["offsets"].as_array().unwrap().iter();
    let mut of_two = of_two.filter(|entry| entry["partition"]["kafka_partition"] == 2);
    assert_eq!(of_two.next().unwrap()["offset"]["kafka_offset"], 6, "{offsets}");
    scene.end(worker);
}
