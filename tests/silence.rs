//! A connection to the database that is dead without a word: between the two sides packets are
//! swallowed, and neither hears of it. A task that waits for an answer on one says so and fails, or
//! begins anew; afterwards nothing is missing.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    harness::{
        database::Database,
        gate::Gate,
        rest::postgres_source,
        servers, topics, wait_for,
        worker::{Home, Worker},
    },
    slots::wait_logged,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the tests set as limit of a statement.
const LIMIT_MS: &str = "1000";

/// And of a connection's start, which also a busy server answers within.
const START_MS: &str = "5000";

struct Scene {
    name: String,
    kafka: String,
    database: Database,
    gate: Gate,
    home: Home,
}

impl Scene {
    fn new(name: &str) -> Option<Self> {
        let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
            return None;
        };
        let prefix = format!("silence_{name}");
        topics::delete(&kafka, &format!("{prefix}."));
        let database = Database::create(&postgres, &prefix);
        database.sql(
            "CREATE TABLE t (id int PRIMARY KEY, filler text);
             INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 3000) n;
             CREATE TABLE beats (at timestamptz);
             CREATE TABLE signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);",
        );
        let gate = Gate::open(format!("{}:{}", database.host, database.port));
        let home = Home::new(&prefix, &kafka);
        Some(Self { name: prefix, kafka, database, gate, home })
    }

    fn start(&self, more: &[(&str, &str)]) -> Worker {
        let fixed = [
            ("database.port", &*self.gate.port),
            ("database.query.timeout.ms", LIMIT_MS),
            ("connection.validation.timeout.ms", START_MS),
            ("table.include.list", "public.t"),
            ("signal.data.collection", "public.signal"),
            ("errors.max.retries", "0"),
        ];
        let config = postgres_source(&self.database, &self.name, &[&fixed[..], more].concat());
        self.home.start(&[self.home.connector(&self.name, &config)])
    }

    /// What the task fails with, and that it does so soon after an answer was held back.
    fn failure(&self, worker: &Worker) -> String {
        wait_for("something to be held back", PATIENCE, || (self.gate.waiting() > 0).then_some(()));
        let held = Instant::now();
        let trace = worker.rest.wait_failed(&self.name);
        assert!(held.elapsed() < Duration::from_secs(30), "noticed after {:?}", held.elapsed());
        trace
    }

    /// Restarted over a way that is whole, all rows come.
    fn mended(&self, worker: &Worker) {
        self.gate.release();
        let path = format!("/connectors/{}/tasks/0/restart", self.name);
        worker.rest.call("POST", &path, None);
        worker.rest.wait_running(&self.name);
        self.wait_rows(3_000);
    }

    fn wait_rows(&self, count: usize) {
        let topic = format!("{}.public.t", self.name);
        let mut topic = topics::Follower::new(&self.kafka, &topic);
        let mut ids = std::collections::BTreeSet::new();
        wait_for(&format!("{count} rows"), PATIENCE, || {
            while ids.len() < count {
                let event: Value = serde_json::from_slice(&topic.next()?.value?).unwrap();
                ids.insert(event["after"]["id"].as_i64().expect("an id"));
            }
            Some(())
        });
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.gate.release();
        if !std::thread::panicking() {
            topics::delete(&self.kafka, &format!("{}.", self.name));
        }
    }
}

fn dead(trace: &str, action: &str, why: &str) {
    for words in [action, why, "the connection is dead"] {
        assert!(trace.contains(words), "no {words:?} in\n{trace}");
    }
}

/// A read of the catalog at the start, and the rows of a snapshot, of which some have come.
#[test]
fn a_statement_whose_answer_is_lost() {
    let cases = [
        ("pg_publication", 0, "look which tables are new", "waits for the next statement"),
        ("COPY (SELECT", 100_000, "copy table public.t", "the server's process"),
    ];
    for (words, bytes, action, why) in cases {
        let Some(scene) = Scene::new(&format!("lost_{bytes}")) else { return };
        scene.gate.shut_answers(words, bytes);
        let worker = scene.start(&[]);
        let trace = scene.failure(&worker);
        dead(&trace, action, why);
        scene.mended(&worker);
    }
}

/// Nobody answers at all, also who is asked about it.
#[test]
fn a_server_that_can_not_be_reached() {
    let Some(scene) = Scene::new("unreached") else { return };
    let worker = scene.start(&[("snapshot.max.rows.per.second", "1000")]);
    scene.wait_rows(100);
    // All sessions say it.
    scene.gate.shut_answers("DateStyle", 0);
    let trace = scene.failure(&worker);
    // Whichever statement was the first that nobody answered.
    dead(&trace, "could not", "database.query.timeout.ms is over");
    scene.mended(&worker);
}

/// A slot that was made, and a stream that was begun, without a word of it.
#[test]
fn a_command_whose_answer_is_lost() {
    let cases = [
        ("CREATE_REPLICATION_SLOT", "it was made, and the server's answer has not come"),
        ("START_REPLICATION", "no answer within 5000 ms"),
    ];
    for (words, why) in cases {
        let Some(scene) = Scene::new(&words[..5].to_lowercase()) else { return };
        scene.gate.shut_answers(words, 0);
        let worker = scene.start(&[]);
        let trace = scene.failure(&worker);
        assert!(trace.contains(why), "{trace}");
        scene.mended(&worker);
    }
}

/// Beside the stream: a chunk of an incremental snapshot, and the query of heartbeats, which begins
/// anew without the task.
#[test]
fn a_connection_beside_the_stream() {
    let Some(scene) = Scene::new("beside") else { return };
    let worker = scene.start(&[
        ("snapshot.mode", "no_data"),
        ("incremental.snapshot.chunk.size", "100"),
        ("heartbeat.interval.ms", "100"),
        ("heartbeat.action.query", "INSERT INTO beats VALUES (now())"),
    ]);
    let beats = || -> u64 { scene.database.value("SELECT count(*) FROM beats").parse().unwrap() };
    let beaten = |more: u64| {
        let goal = beats() + more;
        wait_for("heartbeats", PATIENCE, || (beats() >= goal).then_some(()));
    };
    scene.database.wait_streamed(&scene.name);
    scene.database.sql("UPDATE t SET filler = 'x' WHERE id = 1;");
    beaten(2);
    scene.gate.shut_answers("INSERT INTO beats", 0);
    let line = wait_logged(&scene.home, &["heartbeat action query"]);
    assert!(line.contains("closed"), "{line}");
    scene.gate.release();
    beaten(3);
    worker.rest.wait_running(&scene.name);

    scene.gate.shut_answers("LIMIT 100)", 0);
    scene.database.sql(
        r#"INSERT INTO signal VALUES ('s', 'execute-snapshot', '{"data-collections": ["public.t"]}');"#,
    );
    let trace = scene.failure(&worker);
    dead(&trace, "read a chunk of table public.t", "waits for the next statement");
    scene.mended(&worker);
}

/// A statement that takes long is no dead connection: the server ends it when its time is over, and
/// the rows of a snapshot have as long as they take.
#[test]
fn a_statement_that_takes_long() {
    let Some(scene) = Scene::new("long") else { return };
    let worker = scene.start(&[("database.initial.statements", "SELECT pg_sleep(30)")]);
    let trace = worker.rest.wait_failed(&scene.name);
    assert!(trace.contains("57014") || trace.contains("statement timeout"), "{trace}");
    assert!(trace.contains("database.initial.statements"), "{trace}");
    drop(worker);
    // The server works on it all the time, and is asked each second.
    let select = "SELECT t.* FROM t, (SELECT pg_sleep(4)) AS slept";
    let begun = Instant::now();
    let worker = scene.start(&[
        ("snapshot.select.statement.overrides", "public.t"),
        ("snapshot.select.statement.overrides.public.t", select),
    ]);
    scene.wait_rows(3_000);
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    worker.rest.wait_running(&scene.name);
}

/// The session for the catalog is ended, as a server does it first that shuts down; the stream's is not.
#[test]
fn a_session_that_is_ended_beside_the_stream() {
    let Some(scene) = Scene::new("ended") else { return };
    let worker = scene.start(&[("errors.max.retries", "-1")]);
    scene.wait_rows(3_000);
    scene.database.wait_streamed(&scene.name);
    scene.database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'Debezium General'",
    );
    // Nothing changes meanwhile that would make the stream use it.
    wait_logged(&scene.home, &["the SQL connection to", "has ended", "trying again"]);
    scene.database.sql("INSERT INTO t VALUES (3001, 'after')");
    scene.wait_rows(3_001);
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());
}
