//! Kafka's own small connectors: the same records as the JVM's, byte for byte, and offsets that
//! either worker goes on from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fancy_regex::Regex;
use serde_json::{Value, json};

use crate::harness::{
    rest::{Config, Rest, json_converters},
    servers,
    topics::{self, Record},
    wait_for,
    worker::{Home, Worker},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn file_source(file: &Path, topic: &str) -> Config {
    let file = file.to_str().expect("a path");
    config(&[("connector.class", "FileStreamSource"), ("file", file), ("topic", topic)])
}

/// The records of a topic once there are `count`.
fn records(kafka: &str, topic: &str, count: usize) -> Vec<Record> {
    wait_for(&format!("{count} records in {topic}"), PATIENCE, || {
        let all = topics::read_all(kafka, topic).remove(topic)?;
        (all.len() >= count).then_some(all)
    })
}

fn text(bytes: &Option<Vec<u8>>) -> String {
    bytes
        .as_ref()
        .map_or("null".to_owned(), |bytes| String::from_utf8(bytes.clone()).expect("text"))
}

/// What a reader of lines gets wrong: ends of lines in pieces, lines longer than a buffer, text that
/// is no ASCII or no UTF-8, and a last line without an end.
fn hard_text() -> Vec<u8> {
    let mut text = b"plain\n\r\n\rmac\rdos\r\n".to_vec();
    text.extend("Größe 日本 𝄞\n".as_bytes());
    for length in [1023, 1024, 1025, 4000] {
        text.extend("x".repeat(length).bytes());
        text.push(b'\n');
    }
    for wrong in [
        b"\xE4".as_slice(),
        b"\xE4\xB8",
        b"\xC0\x80",
        b"\xED\xA0\x80!",
        b"\xF0\x90\x80",
        b"\xFF\xFE",
    ] {
        text.extend(wrong);
        text.push(b'\n');
    }
    text.extend(b"{\"json\": \"as \\\"text\\\"\"}\n\tlast\nwithout an end");
    text
}

#[test]
fn lines_are_those_of_the_peer() {
    let name = "stream_lines";
    let (Some(kafka), Some(connect)) = (servers::kafka(name), servers::connect(name)) else {
        return;
    };
    let peer = Rest { url: connect };
    let home = Home::new(name, &kafka);
    let worker = home.start(&[]);
    let file = home.directory.join("lines.txt");
    fs::write(&file, hard_text()).unwrap();
    let strings = ["key.converter", "value.converter"]
        .map(|key| (key.to_owned(), "org.apache.kafka.connect.storage.StringConverter".to_owned()));
    let forms = [
        ("schemas", json_converters(true)),
        ("plain", json_converters(false)),
        ("string", strings.into()),
    ];
    for (form, converters) in forms {
        let sides =
            [(&peer, format!("{name}_{form}_peer")), (&worker.rest, format!("{name}_{form}_ours"))];
        let mut all = Vec::new();
        for (rest, topic) in &sides {
            rest.forget(topic);
            topics::delete(&kafka, topic);
            let mut config = file_source(&file, topic);
            config.extend(converters.clone());
            rest.start(topic, &config);
            let records = records(&kafka, topic, 18);
            rest.stop(topic);
            let offsets = rest.call("GET", &format!("/connectors/{topic}/offsets"), None);
            all.push((records, offsets));
            rest.forget(topic);
            topics::delete(&kafka, topic);
        }
        assert_eq!(all[0].0.len(), 18, "{form}");
        for (index, (peer, ours)) in all[0].0.iter().zip(&all[1].0).enumerate() {
            assert_eq!(text(&peer.value), text(&ours.value), "{form}: line {index}");
            assert_eq!(peer, ours, "{form}: line {index}");
        }
        assert_eq!(all[0], all[1], "{form}");
    }
}

/// A directory, a Kafka and a JVM worker that has Kafka's connectors for tests.
struct Scene {
    own: servers::Script,
    kafka: String,
    file: PathBuf,
    lines: usize,
    _stopped_at_the_end: [servers::AtEnd; 2],
}

impl Scene {
    fn start(name: &str) -> (Self, Rest) {
        let own = servers::Script::new(
            "stream",
            &[
                ("KAFKA_PORT", "29340"),
                ("CONNECT_PORT", "28130"),
                ("TOOLS", "1"),
                ("EXTRA", "scheduled.rebalance.max.delay.ms=0;offset.flush.interval.ms=500"),
            ],
        );
        let stopped = [own.at_end("kafka-stop"), own.at_end("connect-stop")];
        own.run("install", "java");
        let kafka = own.run("kafka-start", "");
        topics::delete(&kafka, name);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
        fs::write(&file, "").unwrap();
        let jvm = Rest { url: own.run("connect-start", "") };
        (Self { own, kafka, file, lines: 0, _stopped_at_the_end: stopped }, jvm)
    }

    /// Adds lines to the file, and waits until they are in the topic: each once, in order.
    fn write(&mut self, topic: &str) {
        let mut file = File::options().append(true).open(&self.file).unwrap();
        for _ in 0..3 {
            writeln!(file, "line {}", self.lines).unwrap();
            self.lines += 1;
        }
        let all = records(&self.kafka, topic, self.lines);
        let lines: Vec<String> = all.iter().map(|record| text(&record.value)).collect();
        let form = |n: usize| {
            format!(r#"{{"schema":{{"type":"string","optional":false}},"payload":"line {n}"}}"#)
        };
        assert_eq!(lines, (0..self.lines).map(form).collect::<Vec<_>>());
    }

    /// Waits until each task has made 20 more numbers. None may be missing or come twice.
    fn count(&self, topic: &str) {
        let before = numbers(&self.kafka, topic);
        wait_for("more numbers", PATIENCE, || {
            let now = numbers(&self.kafka, topic);
            for (task, numbers) in &now {
                assert!(numbers.iter().copied().eq(0..numbers.len() as i64), "{task}: {numbers:?}");
            }
            let more = |task: &str| {
                let old = before.get(task).map_or(0, Vec::len);
                now.get(task).is_some_and(|numbers| numbers.len() >= old + 20)
            };
            (more(&key(0)) && more(&key(1))).then_some(())
        });
    }
}

fn key(task: usize) -> String {
    format!(r#"{{"schema":{{"type":"int32","optional":false}},"payload":{task}}}"#)
}

/// What each task of a VerifiableSource has made, by the keys of its records.
fn numbers(kafka: &str, topic: &str) -> BTreeMap<String, Vec<i64>> {
    let mut numbers: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    topics::for_each(kafka, topic, |_, record| {
        let value = text(&record.value);
        let number = value
            .strip_prefix(r#"{"schema":{"type":"int64","optional":false},"payload":"#)
            .and_then(|rest| rest.strip_suffix('}'));
        let number = number.and_then(|number| number.parse().ok());
        numbers
            .entry(text(&record.key))
            .or_default()
            .push(number.unwrap_or_else(|| panic!("{value}")));
    });
    numbers
}

/// Offsets that both workers read and write; the connectors run by turns on each.
#[test]
fn sources_are_taken_over_and_given_back() {
    let name = "stream_takeover";
    if servers::kafka(name).is_none() || servers::connect(name).is_none() {
        return;
    }
    let (mut scene, jvm) = Scene::start(name);
    let [lines, counted, shaped] =
        ["lines", "counted", "shaped"].map(|part| format!("{name}_{part}"));
    for connector in [&lines, &counted, &shaped] {
        jvm.forget(connector);
    }
    topics::create(&scene.kafka, &counted, 1, &[]);
    topics::create(&scene.kafka, &shaped, 2, &[]);
    let mut file = file_source(&scene.file, &lines);
    file.extend(json_converters(true));
    jvm.start(&lines, &file);
    let numbered = |class: &str, topic: &str, more: &[(&str, &str)]| {
        let fixed = [
            ("connector.class", class),
            ("topic", topic),
            ("tasks.max", "2"),
            ("throughput", "50"),
        ];
        let mut config = config(&[&fixed[..], more].concat());
        config.extend(json_converters(true));
        config
    };
    jvm.start(&counted, &numbered("VerifiableSource", &counted, &[]));
    let more = [("num.messages", "6"), ("multiple.schema", "true"), ("partition.count", "4")];
    jvm.start(&shaped, &numbered("SchemaSource", &shaped, &more));
    let kafka = scene.kafka.clone();
    // Six from each task, after each start.
    let shapes = |starts: usize| -> BTreeSet<String> {
        let all = records(&kafka, &shaped, starts * 12);
        let mut seen = BTreeMap::<i32, Vec<String>>::new();
        for record in &all {
            assert_eq!(
                text(&record.key),
                r#"{"schema":{"type":"string","optional":false},"payload":"key"}"#
            );
            seen.entry(record.partition).or_default().push(text(&record.value));
        }
        let mut shapes = BTreeSet::new();
        for (partition, values) in seen {
            for (n, value) in values.into_iter().enumerate() {
                let event: Value = serde_json::from_str(&value).unwrap();
                assert_eq!(event["payload"]["seqno"], n, "of task {partition}");
                assert_eq!(event["payload"]["partitioning"], n % 4);
                let fields = format!(r#""partitioning":{},"#, n % 4);
                let masked = value.replace(&fields, "").replace(&format!(r#""seqno":{n}"#), "");
                shapes.insert(masked.replace(&format!(r#""id":{partition},"#), ""));
            }
        }
        shapes
    };
    scene.write(&lines);
    scene.count(&counted);
    assert_eq!(shapes(1).len(), 2, "the two schemas of the peer");

    scene.own.run("connect-stop", "");
    let home = Home::of_group(name, &scene.kafka, "peer");
    let worker = home.start(&[]);
    for connector in [&lines, &counted, &shaped] {
        worker.rest.wait_running(connector);
    }
    scene.write(&lines);
    scene.count(&counted);
    assert_eq!(shapes(2).len(), 2, "both make the same bytes");
    let file_bytes = fs::metadata(&scene.file).unwrap().len();
    let offsets = |rest: &Rest| rest.call("GET", &format!("/connectors/{lines}/offsets"), None);
    let ours = wait_for("the offset", PATIENCE, || {
        let offsets = offsets(&worker.rest);
        (offsets["offsets"][0]["offset"]["position"] == file_bytes).then_some(offsets)
    });
    failures_are_shown(&worker.rest, &format!("{name}_mock"));
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());

    let jvm = Rest { url: scene.own.run("connect-start", "") };
    for connector in [&lines, &counted, &shaped] {
        jvm.wait_running(connector);
    }
    assert_eq!(offsets(&jvm), ours);
    scene.write(&lines);
    scene.count(&counted);
    assert_eq!(shapes(3).len(), 2, "both make the same bytes");
    for connector in [&lines, &counted, &shaped] {
        jvm.forget(connector);
    }
}

/// As a JVM worker shows them: a connector that fails leaves its task running, and a task that fails
/// its connector.
fn failures_are_shown(rest: &Rest, name: &str) {
    let state = |part: &Value| part["state"].as_str().unwrap_or_default().to_owned();
    let shown = |name: &str, want: [&str; 2]| {
        let mut last = Value::Null;
        let begun = Instant::now();
        loop {
            if let Some(status) = rest.status(name) {
                if [state(&status["connector"]), state(&status["tasks"][0])] == want {
                    return status;
                }
                last = status;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} is not {want:?} but {last}");
        }
    };
    let mock = |mode: &str| {
        config(&[("connector.class", "MockSource"), ("mock_mode", mode), ("delay_ms", "300")])
    };
    rest.put(name, &mock("connector-failure"));
    let status = shown(name, ["FAILED", "RUNNING"]);
    let trace = status["connector"]["trace"].as_str().unwrap_or_default();
    assert!(trace.contains("connector-failure"), "{status}");
    // It is started again, and fails again after its delay.
    rest.call("POST", &format!("/connectors/{name}/restart"), None);
    shown(name, ["RUNNING", "RUNNING"]);
    shown(name, ["FAILED", "RUNNING"]);
    rest.stop(name);
    rest.put(name, &mock("task-failure"));
    rest.call("PUT", &format!("/connectors/{name}/resume"), None);
    let status = shown(name, ["RUNNING", "FAILED"]);
    let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
    assert!(trace.contains("task-failure"), "{status}");
    // So does a sink, without a record.
    let mut sink = mock("task-failure");
    sink.insert("connector.class".into(), "MockSink".into());
    sink.insert("topics".into(), format!("{name}_nothing"));
    let sink_name = format!("{name}_sink");
    rest.put(&sink_name, &sink);
    let status = shown(&sink_name, ["RUNNING", "FAILED"]);
    let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
    assert!(trace.contains("WorkerSinkTask") && trace.contains("task-failure"), "{status}");
    // A start that fails makes no tasks.
    let mut wrong = mock("connector-failure");
    wrong.insert("delay_ms".into(), "soon".into());
    let other = format!("{name}_start");
    let body = serde_json::to_string(&wrong).unwrap();
    rest.ask("PUT", &format!("/connectors/{other}/config"), Some(&body));
    let status = shown(&other, ["FAILED", ""]);
    assert_eq!(status["tasks"], json!([]), "{status}");
    for name in [name, &sink_name, &other] {
        rest.call("DELETE", &format!("/connectors/{name}"), None);
    }
}

fn alone(name: &str) -> (Home, Worker) {
    let home = Home::new(name, "");
    let worker = home.start(&[]);
    (home, worker)
}

#[test]
fn failures_are_shown_by_a_worker_alone() {
    let (_home, worker) = alone("stream_failures");
    failures_are_shown(&worker.rest, "mock");
}

/// Source and sink print what a JVM's print, field for field, each number once and in order.
#[test]
fn numbers_are_printed_on_their_way() {
    let (home, worker) = alone("stream_numbers");
    let rest = &worker.rest;
    let sink = [("connector.class", "VerifiableSink"), ("topics", "t"), ("tasks.max", "1")];
    rest.start("sink", &config(&sink));
    let source = [("connector.class", "VerifiableSource"), ("topic", "t"), ("throughput", "200")];
    rest.start("source", &config(&source));
    let printed = || fs::read_to_string(home.directory.join("worker.log")).expect("the log");
    let all_of = |log: &str, form: &str| -> Vec<u64> {
        let form = Regex::new(&format!("(?m)^{form}$")).expect("a pattern");
        let numbers = form.captures_iter(log).map(|found| found.expect("a match")[1].parse());
        numbers.collect::<Result<_, _>>().expect("numbers")
    };
    let sent = r#"\{"task":0,"seqno":(\d+),"time_ms":\d{13},"name":"source","topic":"t"\}"#;
    let committed = r#"\{"committed":true,"task":0,"seqno":(\d+),"time_ms":\d{13},"name":"source","topic":"t"\}"#;
    let seen = r#"\{"task":0,"seqno":(\d+),"offset":\d+,"time_ms":\d{13},"name":"sink","topic":"t","sinkTask":0\}"#;
    let flushed = r#"\{"task":0,"seqno":(\d+),"offset":\d+,"time_ms":\d{13},"name":"sink","topic":"t","sinkTask":0,"flushed":true\}"#;
    wait_for("100 numbers that have arrived", PATIENCE, || {
        let log = printed();
        let all = [sent, committed, seen, flushed].map(|form| all_of(&log, form));
        all.iter().all(|numbers| numbers.len() >= 100).then_some(())
    });
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    let log = printed();
    let [sent, committed, seen, flushed] =
        [sent, committed, seen, flushed].map(|form| all_of(&log, form));
    for (what, numbers) in [("sent", &sent), ("committed", &committed), ("seen", &seen)] {
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{what}: {numbers:?}");
    }
    assert!(flushed.iter().copied().eq(0..flushed.len() as u64), "flushed: {flushed:?}");
    assert!(sent.len() >= committed.len() && seen.len() >= flushed.len(), "{}", home.log());
}

/// Texts and codes are those of a JVM worker.
#[test]
fn offsets_are_changed_as_the_connector_says() {
    let (home, worker) = alone("stream_offsets");
    let rest = &worker.rest;
    let file = home.directory.join("lines");
    fs::write(&file, "a\nb\nc\n").unwrap();
    rest.start("lines", &file_source(&file, "t"));
    rest.stop("lines");
    let ask = |method: &str, offset: &str| {
        let body = format!(
            r#"{{"offsets":[{{"partition":{{"filename":"{}"}},"offset":{offset}}}]}}"#,
            file.display()
        );
        let body = (method == "PATCH").then_some(body.as_str());
        let answer = rest.ask(method, "/connectors/lines/offsets", body);
        (answer.status, answer.body)
    };
    let done = |verb: &str| {
        let message = format!("The offsets for this connector have been {verb} successfully");
        (200, json!({ "message": message }).to_string())
    };
    assert_eq!(ask("PATCH", r#"{"position":2}"#), done("altered"));
    let stored = rest.call("GET", "/connectors/lines/offsets", None);
    assert_eq!(stored["offsets"][0]["offset"], json!({ "position": 2 }));
    let wrong = "The value for the 'position' key in the offset should be a non-negative value";
    let refused = (500, json!({ "error_code": 500, "message": wrong }).to_string());
    assert_eq!(ask("PATCH", r#"{"position":-2}"#), refused);
    assert_eq!(rest.call("GET", "/connectors/lines/offsets", None), stored);
    assert_eq!(ask("DELETE", ""), done("reset"));
    assert_eq!(rest.call("GET", "/connectors/lines/offsets", None), json!({ "offsets": [] }));
}
