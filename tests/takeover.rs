//! A cluster's worker ends in the middle of a load, ordered or by `kill -9`, and the next one begins
//! on its topics: ours after the JVM's, the JVM's after ours.
//!
//! A source reads a table, another one a file that grows, and a sink writes what both have sent to a
//! file. After each change of hands nothing is read or written a second time that lies before the
//! offset stored last, and no snapshot runs again; at the end nothing is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    database::Database,
    jvm::{self, Jvm},
    rest::{Config, Rest, json_converters, postgres_source},
    servers, topics, wait_for,
    worker::{Home, Worker, signal},
};

mod transaction;

const NAME: &str = "takeover_cluster";

const PATIENCE: Duration = Duration::from_secs(60);

/// Members that were killed are given up as soon as the broker allows it.
const SETTINGS: &str = "session.timeout.ms=6000;heartbeat.interval.ms=1500;\
                        scheduled.rebalance.max.delay.ms=0;offset.flush.interval.ms=1000";

struct Scene {
    kafka: String,
    database: Arc<Database>,
    directory: PathBuf,
}

enum Process {
    Own(Worker),
    Jvm(jvm::Process),
}

impl Process {
    fn rest(&self) -> Rest {
        match self {
            Process::Own(worker) => worker.rest.clone(),
            Process::Jvm(process) => Rest { url: process.url.clone() },
        }
    }

    /// By `-TERM` or `-KILL`.
    fn end(self, how: &str) {
        match self {
            Process::Own(worker) if how == "-KILL" => worker.kill(),
            Process::Own(worker) => assert!(worker.terminate().success(), "the worker's end"),
            Process::Jvm(process) => {
                signal(how, process.pid);
                wait_for("the JVM's end", PATIENCE, || (!process.lives()).then_some(()));
            }
        }
    }
}

/// Records and lines as they are after a worker's end.
#[derive(Default)]
struct Found {
    /// Of the table's topic: operation, id and position in the log.
    rows: Vec<(String, u64, u64)>,
    /// Of the file's topic.
    lines: Vec<String>,
    /// What the sink has written.
    written: Vec<String>,
    /// Values of the sink's topics by topic and partition.
    sent: BTreeMap<(String, i32), Vec<String>>,
    /// Where the sink's consumer group is in them.
    committed: BTreeMap<(String, i32), usize>,
    /// What is stored for the sources: the last position in the log that is done, and a number of
    /// characters.
    lsn: u64,
    position: u64,
}

impl Scene {
    fn table(&self) -> String {
        format!("{NAME}_table.public.t")
    }

    fn lines(&self) -> String {
        format!("{NAME}_lines")
    }

    fn source(&self) -> PathBuf {
        self.directory.join("source.txt")
    }

    fn written(&self) -> PathBuf {
        self.directory.join("sink.txt")
    }

    fn connectors(&self) -> [(String, Config); 3] {
        const TEXT: &str = "org.apache.kafka.connect.storage.StringConverter";
        let as_text = |more: &[(&str, &str)]| -> Config {
            let converters = [("key.converter", TEXT), ("value.converter", TEXT)];
            let all = converters.iter().chain(more);
            all.map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let table = format!("{NAME}_table");
        let mut rows = postgres_source(&self.database, &table, &[("slot.max.retries", "60")]);
        rows.extend(json_converters(false));
        let (file, sink) = (self.source(), self.written());
        let path = |path: &Path| path.to_str().expect("a path of text").to_owned();
        let lines = as_text(&[
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector"),
            ("tasks.max", "1"),
            ("file", &path(&file)),
            ("topic", &self.lines()),
        ]);
        let writes = as_text(&[
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("tasks.max", "2"),
            ("file", &path(&sink)),
            ("topics", &format!("{},{}", self.lines(), self.table())),
            ("consumer.override.session.timeout.ms", "6000"),
            ("consumer.override.heartbeat.interval.ms", "1500"),
            ("consumer.override.allow.auto.create.topics", "false"),
        ]);
        [(table, rows), (format!("{NAME}_file"), lines), (format!("{NAME}_sink"), writes)]
    }

    /// What there is, once nothing of the worker that ended is on its way any more.
    fn look(&self) -> Found {
        let mut before = 0;
        wait_for("the last records of a worker that has ended", PATIENCE, || {
            let all = topics::read_all(&self.kafka, NAME);
            let count = all.values().map(Vec::len).sum();
            if std::mem::replace(&mut before, count) != count {
                return None;
            }
            Some(self.found(all))
        })
    }

    fn found(&self, all: BTreeMap<String, Vec<topics::Record>>) -> Found {
        let mut found = Found::default();
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("a value")).unwrap();
        for (topic, records) in all {
            if topic == format!("{NAME}-offsets") {
                for topics::Record { key, value, .. } in records {
                    let key: Value = serde_json::from_slice(&key.expect("a key")).unwrap();
                    let value: Value = serde_json::from_slice(&value.expect("no reset")).unwrap();
                    if key[0] == format!("{NAME}_table") {
                        // A commit's position is where the next change may begin.
                        let open = u64::from(value["messageType"] == "COMMIT");
                        found.lsn = value["lsn"].as_u64().expect("a position") - open;
                    } else {
                        found.position = value["position"].as_u64().expect("a position");
                    }
                }
                continue;
            }
            if topic != self.lines() && topic != self.table() {
                continue;
            }
            for record in records {
                let (at, value) = ((topic.clone(), record.partition), text(record.value));
                if topic == self.lines() {
                    found.lines.push(value.clone());
                } else {
                    let event: Value = serde_json::from_str(&value).expect("an event");
                    let operation = event["op"].as_str().expect("an operation").to_owned();
                    let id = event["after"]["id"].as_u64().expect("an id");
                    found.rows.push((operation, id, event["source"]["lsn"].as_u64().expect("lsn")));
                }
                found.sent.entry(at).or_default().push(value);
            }
        }
        let places = found.sent.keys().map(|(topic, partition)| (topic.as_str(), *partition));
        let group = format!("connect-{NAME}_sink");
        found.committed = topics::committed(&self.kafka, &group, places);
        let written = fs::read_to_string(self.written()).unwrap_or_default();
        // Half a line is what a kill has left; the whole of it follows.
        found.written = written.lines().map(str::to_owned).collect();
        found
    }

    /// What REST shows, but for who runs it.
    fn shown(&self, rest: &Rest) -> Value {
        let mut all = rest.call("GET", "/connectors?expand=info&expand=status", None);
        for (name, _) in self.connectors() {
            let status = &mut all[&name]["status"];
            status["connector"].as_object_mut().expect("a status").remove("worker_id");
            for task in status["tasks"].as_array_mut().expect("tasks") {
                task.as_object_mut().expect("a task's status").remove("worker_id");
            }
            all[&name]["tasks"] = rest.call("GET", &format!("/connectors/{name}/tasks"), None);
            let mut used = rest.call("GET", &format!("/connectors/{name}/topics"), None);
            let topics = used[&name]["topics"].as_array_mut().expect("topics");
            topics.sort_by_key(Value::to_string);
            all[&name]["topics"] = used;
        }
        all
    }

    fn offsets(&self, rest: &Rest) -> Value {
        let of = |(name, _): (String, Config)| {
            let mut stored = rest.call("GET", &format!("/connectors/{name}/offsets"), None);
            let offsets = stored["offsets"].as_array_mut().expect("offsets");
            offsets.sort_by_key(Value::to_string);
            (name, stored)
        };
        Value::Object(self.connectors().map(of).into_iter().collect())
    }

    /// Waits until this worker runs everything, and until more has gone all the way: to topics that
    /// hold more than before, and to the sink.
    fn wait_progress(&self, rest: &Rest) {
        for (name, _) in self.connectors() {
            wait_for(&format!("{name} on {}", rest.url), PATIENCE, || {
                let status = rest.status(&name)?;
                let id = rest.url.trim_start_matches("http://");
                let tasks = status["tasks"].as_array()?;
                let runs = |part: &Value| part["state"] == "RUNNING" && part["worker_id"] == id;
                (!tasks.is_empty() && tasks.iter().all(runs) && runs(&status["connector"]))
                    .then_some(())
            });
        }
        let row = self.database.value("SELECT max(id) + 20 FROM t");
        let line = fs::read_to_string(self.source()).expect("the source").lines().count() + 20;
        let (row, line) = (format!("\"after\":{{\"id\":{row}}}"), format!("> {line}\n"));
        wait_for("new rows and lines at the sink", PATIENCE, || {
            let written = fs::read_to_string(self.written()).unwrap_or_default();
            (written.contains(&row) && written.contains(&line)).then_some(())
        });
    }
}

/// A row and a line every few milliseconds until it is dropped.
struct Load {
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(scene: &Scene) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let (end, database) = (ending.clone(), scene.database.clone());
        let rows = thread::spawn(move || {
            database.sql(
                "CREATE PROCEDURE load(count int) LANGUAGE plpgsql AS $$ BEGIN
                   FOR i IN 1..count LOOP
                     INSERT INTO t SELECT max(id) + 1 FROM t; COMMIT; PERFORM pg_sleep(0.01);
                   END LOOP; END $$;",
            );
            while !end.load(Ordering::Relaxed) {
                database.sql("CALL load(100);");
            }
        });
        let (end, source) = (ending.clone(), scene.source());
        let lines = thread::spawn(move || {
            let mut file = File::options().append(true).open(source).expect("it is there");
            for number in 1.. {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                file.write_all(format!("> {number}\n").as_bytes()).expect("a line is written");
                thread::sleep(Duration::from_millis(10)); // The pace of the load.
            }
        });
        Self { ending, threads: vec![rows, lines] }
    }

    fn finish(mut self) {
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the load went well");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

fn counts<'a>(values: impl IntoIterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    values.into_iter().for_each(|value| *counts.entry(value.as_str()).or_default() += 1);
    counts
}

/// What `after` has more often than `before`, and how often more.
fn more<'a>(before: &'a [String], after: &'a [String]) -> BTreeMap<&'a str, usize> {
    let known = counts(before);
    let new = counts(after)
        .into_iter()
        .map(|(value, count)| (value, count - known.get(value).copied().unwrap_or(0)));
    new.filter(|(_, count)| *count > 0).collect()
}

/// That what a worker has added repeats nothing from before the offsets it began with. How many rows,
/// lines and written lines were repeated.
fn repeats(before: &Found, after: &Found) -> [usize; 3] {
    let known: BTreeSet<u64> = before.rows.iter().map(|(_, id, _)| *id).collect();
    let (mut rows, mut lines, mut written) = (0, 0, 0);
    for (operation, id, lsn) in &after.rows[before.rows.len()..] {
        assert_eq!(operation, "c", "row {id} was read by a snapshot");
        if known.contains(id) {
            assert!(*lsn > before.lsn, "row {id} at {lsn} again, {} was stored", before.lsn);
            rows += 1;
        }
    }
    let seen = counts(&before.lines);
    for (line, count) in more(&before.lines, &after.lines) {
        let repeated = count - usize::from(!seen.contains_key(line));
        lines += repeated;
        if repeated > 0 {
            // Where it ends in the file, in which each line is its number.
            let number: u64 = line.trim_start_matches("> ").parse().expect("a number");
            let end: u64 = (0..=number).map(|number| format!("> {number}\n").len() as u64).sum();
            let stored = before.position;
            assert!(end > stored, "{line:?} again, {stored} characters were stored");
        }
    }
    let mut due: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, values) in &after.sent {
        let from = before.committed.get(at).copied().unwrap_or(0);
        values[from..].iter().for_each(|value| *due.entry(value).or_default() += 1);
    }
    let new = more(&before.written, &after.written);
    for (value, count) in &new {
        let due = due.get(value).copied().unwrap_or(0);
        assert!(*count <= due, "{value} was written {count} times more, {due} were to come");
    }
    let seen = counts(&before.written);
    let sent = counts(after.sent.values().flatten());
    for (value, count) in &new {
        let sent = sent[value];
        let had = seen.get(value).copied().unwrap_or(0);
        written += (had + count).saturating_sub(sent.max(had)).min(*count);
    }
    [rows, lines, written]
}

#[test]
fn a_cluster_changes_hands_under_load() {
    let (Some(postgres), Some(kafka), Some(_)) =
        (servers::postgres(NAME), servers::kafka(NAME), servers::connect(NAME))
    else {
        return;
    };
    topics::delete(&kafka, NAME);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{NAME}-files"));
    let _absent = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory for the files");
    let database = Arc::new(Database::create(&postgres, NAME));
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0);");
    let scene = Scene { kafka: kafka.clone(), database, directory };
    fs::write(scene.source(), "> 0\n").expect("the source's file");
    topics::create(&kafka, &scene.lines(), 4, &[]);
    topics::create(&kafka, &scene.table(), 1, &[]);

    let jvm = Jvm::new("takeover-jvm", 28_130, &kafka, NAME, SETTINGS);
    let mut home = Home::of_group(NAME, &kafka, NAME);
    home.properties.push_str(&SETTINGS.replace(';', "\n"));
    let begin = |jvms: bool| match jvms {
        true => Process::Jvm(jvm.start()),
        false => Process::Own(home.start(&[])),
    };
    let mut process = begin(true);
    let rest = process.rest();
    for (name, config) in scene.connectors() {
        rest.start(&name, &config);
    }
    let load = Load::start(&scene);
    scene.wait_progress(&rest);
    let first = scene.shown(&rest);
    let mut before = Found::default();
    let mut jvms = true;
    for how in ["-TERM", "-TERM", "-KILL", "-KILL"] {
        process.end(how);
        let found = scene.look();
        if !before.rows.is_empty() {
            let repeated = repeats(&before, &found);
            eprintln!("{NAME}: of rows, lines and written lines came again: {repeated:?}");
        }
        before = found;
        jvms = !jvms;
        eprintln!("{NAME}: after {how} goes on with {}", if jvms { "the JVM" } else { "ours" });
        process = begin(jvms);
        scene.wait_progress(&process.rest());
        assert_eq!(scene.shown(&process.rest()), first);
    }

    // The JVM's, stopped in order: where the sources and the sink are is the same to the next one.
    let rest = process.rest();
    load.finish();
    wait_for("all of the load", PATIENCE, || {
        let found = scene.found(topics::read_all(&kafka, NAME));
        let last = scene.database.value("SELECT max(id) FROM t").parse().expect("a number");
        let lines = fs::read_to_string(scene.source()).expect("the source");
        let ids: BTreeSet<u64> = found.rows.iter().map(|(_, id, _)| *id).collect();
        let sources = ids == (0..=last).collect()
            && lines.lines().collect::<BTreeSet<_>>()
                == found.lines.iter().map(String::as_str).collect();
        let written = counts(&found.written);
        let sinks = found.sent.values().flatten().all(|sent| written.contains_key(sent.as_str()));
        (sources && sinks).then_some(())
    });
    let repeated = repeats(&before, &scene.look());
    eprintln!("{NAME}: of rows, lines and written lines came again: {repeated:?}");
    for (name, _) in scene.connectors() {
        rest.stop(&name);
    }
    let (shown, offsets) = (scene.shown(&rest), scene.offsets(&rest));
    process.end("-TERM");
    let process = begin(false);
    let rest = process.rest();
    for (name, _) in scene.connectors() {
        wait_for(&format!("{name} stopped still"), PATIENCE, || {
            (rest.status(&name)?["connector"]["state"] == "STOPPED").then_some(())
        });
    }
    assert_eq!(scene.shown(&rest), shown);
    assert_eq!(scene.offsets(&rest), offsets);
    for (name, _) in scene.connectors() {
        rest.call("DELETE", &format!("/connectors/{name}"), None);
    }
    assert_eq!(rest.call("GET", "/connectors", None), json!([]));
    process.end("-TERM");
    topics::delete(&kafka, NAME);
    fs::remove_dir_all(&scene.directory).expect("the files are this test's own");
}
