//! The broker goes and comes back under a group of workers: in order, and as a machine does that
//! loses its power. The workers wait, and go on by themselves.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    harness::{
        random::Random,
        rest::{Config, json_converters},
        servers::{self, Script},
        topics, wait_for,
        worker::Home,
    },
    sinks::{lines, numbers},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// A file that grows by a number a line, some 500 a second.
struct Load {
    ending: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(path: &Path) -> Self {
        let mut file = File::create(path).expect("the file of the load");
        let (ending, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (end, count) = (ending.clone(), written.clone());
        let thread = thread::spawn(move || {
            let mut number = 0;
            while !end.load(Ordering::Relaxed) {
                for _ in 0..10 {
                    writeln!(file, "{number}").expect("a line");
                    number += 1;
                }
                count.store(number, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { ending, written, thread: Some(thread) }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
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

fn config(class: &str, more: &[(&str, &str)]) -> Config {
    let class = format!("org.apache.kafka.connect.file.{class}");
    let mut config = json_converters(false);
    config.insert("connector.class".into(), class);
    config.extend(more.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    config
}

#[test]
fn the_broker_comes_and_goes() {
    let name = "brokers_group";
    let Some(_) = servers::kafka(name) else { return };
    let own = Script::new("brokers", &[("KAFKA_PORT", "29596")]);
    let _stopped_at_the_end = own.at_end("kafka-stop");
    let kafka = own.run("kafka-start", "");
    topics::delete(&kafka, name);
    let homes = [0, 1].map(|number| {
        let mut home = Home::of_group(&format!("{name}_{number}"), &kafka, name);
        home.properties.push_str("session.timeout.ms=6000\nheartbeat.interval.ms=1500\n");
        home
    });
    let [first, second] = homes.each_ref().map(|home| home.start(&[]));
    let rest = &first.rest;
    let (file, written) = (homes[0].directory.join("in"), homes[0].directory.join("out"));
    let path = |path: &Path| path.to_str().expect("a path of text").to_owned();
    let load = Load::start(&file);
    let (source, sink) = (format!("{name}-source"), format!("{name}-sink"));
    let topic = format!("{name}-lines");
    rest.start(
        &source,
        &config("FileStreamSourceConnector", &[("file", &path(&file)), ("topic", &topic)]),
    );
    rest.start(
        &sink,
        &config(
            "FileStreamSinkConnector",
            &[
                ("file", &path(&written)),
                ("topics", &topic),
                ("consumer.override.session.timeout.ms", "6000"),
                ("consumer.override.heartbeat.interval.ms", "1500"),
            ],
        ),
    );

    let missing = |sent: u64| {
        // The file source's lines are texts.
        let there: BTreeSet<String> =
            lines(&written).into_iter().map(|line| line.trim_matches('"').to_owned()).collect();
        numbers(sent).difference(&there).count()
    };
    let arrives = |what: &str| {
        let sent = load.written() + 100;
        wait_for(&format!("what is written {what}"), PATIENCE, || {
            (load.written() >= sent && missing(sent) == 0).then_some(())
        });
    };
    // What is stored covers what is there now, so that no outage takes back more than the one before.
    let stored = |what: &str| {
        let (bytes, count) = (fs::metadata(&file).expect("the file").len(), load.written());
        wait_for(&format!("stored offsets {what}"), PATIENCE, || {
            let reached = |name: &str, key: &str| {
                let told = rest.ask("GET", &format!("/connectors/{name}/offsets"), None);
                let told: serde_json::Value = serde_json::from_str(&told.body).ok()?;
                told["offsets"][0]["offset"][key].as_u64()
            };
            (reached(&source, "position")? >= bytes && reached(&sink, "kafka_offset")? >= count)
                .then_some(())
        });
    };
    arrives("at first");
    stored("at first");
    let mut random = Random::new(Random::seed(name));
    for (round, mode) in ["", "kill", "", "kill"].into_iter().enumerate() {
        own.run("kafka-stop", mode);
        // The outage itself: shorter or longer than the workers' sessions.
        thread::sleep(Duration::from_millis(random.between(0, 9_000)));
        own.run("kafka-start", "");
        arrives(&format!("after stop {round} ({mode})"));
        stored(&format!("after stop {round} ({mode})"));
    }
    // The group is whole, and its answers are.
    for worker in [&first, &second] {
        for name in [&source, &sink] {
            worker.rest.wait_running(name);
        }
    }
    let paused = rest.ask("PUT", &format!("/connectors/{source}/pause"), None);
    assert_eq!(paused.status, 202, "{}", paused.body);
    wait_for("the pause", PATIENCE, || {
        let status = second.rest.status(&source)?;
        (status["tasks"][0]["state"] == "PAUSED").then_some(())
    });
    for (home, worker) in homes.iter().zip([first, second]) {
        assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    }
    // Read twice is at most what came since the last stored offset before each outage.
    let total = load.written() as usize;
    let came = fs::read_to_string(&written).expect("what was written").lines().count();
    eprintln!("{name}: {came} lines for some {total}");
    assert!(came < 2 * total, "{came} lines for {total}: all came again and again");
}
