//! Keys of the PostgreSQL source, each seen to do what it says: in the events, or in the database.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{
        database::Database,
        rest::{Config, Rest, postgres_source},
        servers,
        topics::{self, Follower},
        wait_for,
        worker::Home,
    },
    slots::{log, wait_logged},
};

mod slot;

const WITHIN: Duration = Duration::from_secs(60);

/// A database with a table `t (id, note)`, and the table's topic.
struct Scene {
    name: &'static str,
    kafka: String,
    database: Database,
    home: Home,
    topic: Follower,
}

impl Scene {
    fn new(name: &'static str) -> Option<Self> {
        let (postgres, kafka) = (servers::postgres(name)?, servers::kafka(name)?);
        topics::delete(&kafka, &format!("{name}."));
        let database = Database::create(&postgres, name);
        database.sql("CREATE TABLE t (id int PRIMARY KEY, note text);");
        let home = Home::new(name, &kafka);
        let topic = Follower::new(&kafka, &format!("{name}.public.t"));
        Some(Self { name, kafka, database, home, topic })
    }

    fn config(&self, more: &[(&str, &str)]) -> Config {
        postgres_source(&self.database, self.name, more)
    }

    /// The ids of the rows up to `last`, repeats included.
    fn ids_up_to(&mut self, rest: &Rest, last: i64) -> Vec<i64> {
        let mut ids = Vec::new();
        wait_for(&format!("row {last} of {}", self.name), WITHIN, || {
            while ids.last() != Some(&last) {
                let Some(record) = self.topic.next() else {
                    rest.wait_running(self.name); // A failed task says why, here.
                    return None;
                };
                let event: Value = serde_json::from_slice(&record.value?).expect("an event");
                ids.push(event["after"]["id"].as_i64().expect("an id"));
            }
            Some(())
        });
        ids
    }

    fn streams(&self) {
        wait_for("the stream", WITHIN, || {
            let query = format!(
                "SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
                  WHERE s.slot_name = '{}' AND r.application_name = 'Debezium Streaming'",
                self.name
            );
            (!self.database.query(&query).is_empty()).then_some(())
        });
    }

    fn confirmed(&self) -> u64 {
        let query = format!(
            "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{}'",
            self.name
        );
        self.database.value(&query).parse().expect("a position")
    }

    fn log_end(&self) -> u64 {
        let query = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn";
        self.database.value(query).parse().expect("a position")
    }

    /// The stored offset of a stopped connector.
    fn offset(&self, rest: &Rest) -> Value {
        let offsets = rest.call("GET", &format!("/connectors/{}/offsets", self.name), None);
        offsets["offsets"][0]["offset"].clone()
    }

    fn store(&self, rest: &Rest, offset: &Value) {
        rest.store_offset(self.name, offset);
    }

    fn end(self) {
        topics::delete(&self.kafka, &format!("{}.", self.name));
    }
}

/// What the sessions of a connector were told at their beginning, and what runs with heartbeats.
#[test]
fn statements_of_the_user() {
    let Some(mut scene) = Scene::new("keys_statements") else { return };
    scene.database.sql(
        "CREATE TABLE beat (at timestamptz DEFAULT clock_timestamp(), setting text, timeout text);
         CREATE TABLE session (id serial, text text);",
    );
    let worker = scene.home.start(&[]);
    let rest = &worker.rest;
    let more = [
        ("table.include.list", "public.t"),
        ("database.initial.statements", "SET riverrun.note TO 'a;;b'; SET work_mem = '7MB'"),
        ("database.query.timeout.ms", "54321"),
        ("heartbeat.interval.ms", "100"),
        (
            "heartbeat.action.query",
            "INSERT INTO beat (setting, timeout) VALUES (current_setting('riverrun.note') || ' ' || current_setting('work_mem'), current_setting('statement_timeout'))",
        ),
    ];
    rest.start(scene.name, &scene.config(&more));
    wait_for("three heartbeats", WITHIN, || {
        let count: i64 = scene.database.value("SELECT count(*) FROM beat").parse().unwrap();
        (count >= 3).then_some(())
    });
    let told = scene.database.query("SELECT DISTINCT setting, timeout FROM beat");
    assert_eq!(told, ["a;b 7MB\t54321ms"]);
    scene.database.sql("INSERT INTO t VALUES (1);");
    assert_eq!(scene.ids_up_to(rest, 1), [1]);
    let heartbeats = Follower::new(&scene.kafka, &format!("__debezium-heartbeat.{}", scene.name));
    let mut heartbeats = heartbeats;
    wait_for("a heartbeat in its topic", WITHIN, || heartbeats.next().map(|_| ()));

    // Without the table of the query the task can not do what it is told.
    scene.database.sql("DROP TABLE beat;");
    let trace = rest.wait_failed(scene.name);
    assert!(trace.contains("Could not execute heartbeat action query (Error: 42P01)"), "{trace}");
    topics::delete(&scene.kafka, &format!("__debezium-heartbeat.{}", scene.name));

    // A query that runs for too long is ended: here the first of a snapshot waits for a lock.
    rest.stop(scene.name);
    rest.call("DELETE", &format!("/connectors/{}/offsets", scene.name), None);
    let more = [
        ("table.include.list", "public.t"),
        ("snapshot.locking.mode", "shared"),
        ("snapshot.lock.timeout.ms", "300"),
        ("errors.max.retries", "0"),
        // Where the connector publishes tables itself, it would wait for who has the lock: he may write.
        ("publication.autocreate.mode", "disabled"),
    ];
    let mut locker = std::process::Command::new("psql")
        .args(["-X", "-q", "-U", "postgres", "-h", &scene.database.host])
        .args(["-p", &scene.database.port, "-d", scene.name])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("psql");
    use std::io::Write as _;
    let mut stdin = locker.stdin.take().expect("a pipe");
    stdin.write_all(b"BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;\n").expect("psql reads");
    wait_for("the lock", WITHIN, || {
        let query = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass
                      AND mode = 'AccessExclusiveLock' AND granted";
        (scene.database.value(query) == "1").then_some(())
    });
    rest.put(scene.name, &scene.config(&more));
    rest.call("PUT", &format!("/connectors/{}/resume", scene.name), None);
    let trace = rest.wait_failed(scene.name);
    for words in ["snapshot.locking.mode=shared", "lock timeout", "maximum number of 0 retries"] {
        assert!(trace.contains(words), "{trace}");
    }
    stdin.write_all(b"ROLLBACK;\n").expect("psql reads");
    drop(stdin);
    assert!(locker.wait().expect("psql").success());
    rest.call("POST", &format!("/connectors/{}/tasks/0/restart", scene.name), None);
    assert_eq!(scene.ids_up_to(rest, 1), [1], "the snapshot once the lock is gone");
    drop(worker);
    scene.end();
}

/// The order of tables in a snapshot, and their replica identities.
#[test]
fn tables_are_ordered_and_identified() {
    let Some(scene) = Scene::new("keys_tables") else { return };
    scene.database.sql(
        "DROP TABLE t;
         CREATE TABLE few (id int PRIMARY KEY); INSERT INTO few VALUES (1);
         CREATE TABLE many (id int PRIMARY KEY); INSERT INTO many SELECT generate_series(1, 3000);
         CREATE TABLE several (id int PRIMARY KEY, code int NOT NULL);
         CREATE UNIQUE INDEX several_code ON several (code);
         INSERT INTO several SELECT n, n FROM generate_series(1, 100) n;
         ANALYZE;",
    );
    let worker = scene.home.start(&[]);
    let rest = &worker.rest;
    // One partition for all tables shows the order.
    let identities = "public.few:FULL,public.many:NOTHING,public.several:INDEX several_code";
    for (order, isolation, wanted) in [
        ("ascending", "repeatable_read", ["few", "several", "many"]),
        ("descending", "read_committed", ["many", "several", "few"]),
        ("disabled", "read_uncommitted", ["few", "many", "several"]),
    ] {
        let config = scene.config(&[
            ("snapshot.tables.order.by.row.count", order),
            ("snapshot.isolation.mode", isolation),
            ("replica.identity.autoset.values", identities),
            ("snapshot.mode", "always"),
        ]);
        rest.put(scene.name, &config);
        rest.resume(scene.name);
        scene.streams();
        let firsts = wanted.map(|table| {
            let topic = format!("{}.public.{table}", scene.name);
            let mut topic = Follower::new(&scene.kafka, &topic);
            let record = wait_for("a row", WITHIN, || topic.next());
            let event: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            (event["source"]["snapshot"].clone(), event["ts_ns"].as_i64().unwrap())
        });
        assert_eq!(firsts[0].0, "first", "{order}: {firsts:?}");
        assert!(firsts[1].0 != "first" && firsts[2].0 != "first", "{order}: {firsts:?}");
        assert!(firsts[1].1 <= firsts[2].1, "{order}: {firsts:?}");
        rest.stop(scene.name);
        topics::delete(&scene.kafka, &format!("{}.", scene.name));
    }
    let query =
        "SELECT relname, relreplident FROM pg_class WHERE relname IN ('few', 'many', 'several')
                  ORDER BY 1";
    assert_eq!(scene.database.query(query), ["few\tf", "many\tn", "several\ti"]);
    // The server says no; Debezium goes on then.
    wait_logged(&scene.home, &["no replica identity", "public.many"]);
    drop(worker);
    scene.end();
}

/// `guardrail.collections.max`, `custom.retriable.exception`, `internal.log.position.check.enable` and
/// `xmin.fetch.interval.ms`.
#[test]
fn limits_and_checks() {
    let Some(mut scene) = Scene::new("keys_limits") else { return };
    scene.database.sql("CREATE TABLE u (id int PRIMARY KEY);");
    let worker = scene.home.start(&[]);
    let rest = &worker.rest;
    let text = "Guardrail limit exceeded: 2 tables/collections configured for capture, but maximum allowed is 1.";
    let mut config = scene.config(&[
        ("guardrail.collections.max", "1"),
        ("guardrail.collections.limit.action", "fail"),
        ("xmin.fetch.interval.ms", "50"),
    ]);
    rest.put(scene.name, &config);
    let trace = rest.wait_failed(scene.name);
    assert!(trace.contains(text), "{trace}");
    assert!(!log(&scene.home).lines().any(|line| line.contains("WARN") && line.contains(text)));
    config.insert("guardrail.collections.limit.action".into(), "warn".into());
    rest.start(scene.name, &config);
    wait_logged(&scene.home, &["WARN", text]);

    // What the server says of the slot is in events and in offsets.
    scene.streams();
    let xmin = || -> i64 {
        let query = "SELECT catalog_xmin FROM pg_replication_slots WHERE slot_name = 'keys_limits'";
        scene.database.value(query).parse().expect("an xmin")
    };
    let (before, id) = (xmin(), 1);
    scene.database.sql(&format!("INSERT INTO t VALUES ({id});"));
    let record = wait_for("the row", WITHIN, || scene.topic.next());
    let event: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
    let shown = event["source"]["xmin"].as_i64().unwrap_or_else(|| panic!("{event}"));
    assert!((before..=xmin()).contains(&shown), "{shown} is none of {before} to {}", xmin());
    let offset = wait_for("an offset with xmin", WITHIN, || {
        Some(scene.offset(rest)).filter(|offset| offset["messageType"] == "COMMIT")
    });
    assert!((before..=xmin()).contains(&offset["xmin"].as_i64().expect("an xmin")), "{offset}");

    // The slot is gone, and whoever says not to look goes on with a new one.
    rest.stop(scene.name);
    scene.database.sql("SELECT pg_drop_replication_slot('keys_limits'); INSERT INTO t VALUES (2);");
    config.insert("internal.log.position.check.enable".into(), "false".into());
    config.remove("xmin.fetch.interval.ms");
    rest.put(scene.name, &config);
    rest.resume(scene.name);
    wait_logged(&scene.home, &["internal.log.position.check.enable is off", "does not exist"]);
    scene.streams();
    scene.database.sql("INSERT INTO t VALUES (3);");
    let record = wait_for("the row after the gap", WITHIN, || scene.topic.next());
    let event: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
    assert_eq!((&event["after"]["id"], &event["source"]["xmin"]), (&json!(3), &Value::Null));

    // A failure that is fatal otherwise is tried again until it has passed.
    config.remove("internal.log.position.check.enable");
    config.insert("publication.autocreate.mode".into(), "disabled".into());
    config.insert("custom.retriable.exception".into(), ".*autocreation is disabled.*".into());
    config.insert("retriable.restart.connector.wait.ms".into(), "100".into());
    rest.stop(scene.name);
    scene.database.sql("DROP PUBLICATION keys_limits;");
    rest.put(scene.name, &config);
    rest.call("PUT", &format!("/connectors/{}/resume", scene.name), None);
    wait_logged(&scene.home, &["retry 3 of unlimited in 100ms", "autocreation is disabled"]);
    scene.database.sql("CREATE PUBLICATION keys_limits FOR ALL TABLES;");
    scene.streams();
    scene.database.sql("INSERT INTO t VALUES (4);");
    assert_eq!(scene.ids_up_to(rest, 4), [4]);
    drop(worker);
    scene.end();
}

/// What becomes of values that no schema takes: of a NaN in a decimal there is no form.
#[test]
fn values_that_can_not_be_converted() {
    for (mode, fails) in [("fail", true), ("warn", false), ("skip", false)] {
        let name: &'static str = match mode {
            "fail" => "keys_values_fail",
            "warn" => "keys_values_warn",
            _ => "keys_values_skip",
        };
        let Some(mut scene) = Scene::new(name) else { return };
        scene.database.sql("ALTER TABLE t ADD exact numeric(10, 2);");
        let worker = scene.home.start(&[]);
        let rest = &worker.rest;
        let more = [("event.converting.failure.handling.mode", mode)];
        let config = scene.config(&more);
        rest.start(name, &config);
        scene.streams();
        scene
            .database
            .sql("INSERT INTO t VALUES (1, 'x', 'NaN'); INSERT INTO t VALUES (2, 'y', 1);");
        if fails {
            let trace = rest.wait_failed(name);
            assert!(trace.contains("exact"), "{trace}");
            // The change as a whole can be left out instead.
            for (handling, told) in [("warn", true), ("skip", false)] {
                let mut config = config.clone();
                config.insert("event.processing.failure.handling.mode".into(), handling.into());
                rest.start(name, &config);
                let (bad, good) = if told { (3, 4) } else { (5, 6) };
                scene.database.sql(&format!(
                    "INSERT INTO t VALUES ({bad}, 'x', 'NaN'); INSERT INTO t VALUES ({good}, 'y', 1);"
                ));
                let ids = scene.ids_up_to(rest, good);
                assert!(ids.iter().all(|id| id % 2 == 0), "{handling}: {ids:?}");
                let lines = log(&scene.home).matches("left out an event").count();
                assert!(lines > 0, "{handling}");
                if !told {
                    assert!(lines <= 2, "skip does not warn: {lines}");
                }
            }
        } else {
            assert_eq!(scene.ids_up_to(rest, 2), [1, 2], "{mode}");
            let warned =
                log(&scene.home).lines().any(|l| l.contains("WARN") && l.contains("exact"));
            assert_eq!(warned, mode == "warn", "{mode}");
        }
        drop(worker);
        scene.end();
    }
}

/// Debezium's too: one record at once behind rows that were read, none where none are.
#[test]
fn a_heartbeat_follows_a_snapshot_at_once() {
    for (name, mode, beats) in
        [("keys_beat", "initial", true), ("keys_beat_none", "no_data", false)]
    {
        let Some(mut scene) = Scene::new(name) else { return };
        let heartbeats = format!("__debezium-heartbeat.{name}");
        topics::delete(&scene.kafka, &heartbeats);
        let worker = scene.home.start(&[]);
        let rest = &worker.rest;
        let more = [("snapshot.mode", mode), ("heartbeat.interval.ms", "600000")];
        rest.start(name, &scene.config(&more));
        scene.streams();
        if beats {
            let mut topic = Follower::new(&scene.kafka, &heartbeats);
            wait_for("a heartbeat", WITHIN, || topic.next().map(|_| ()));
        }
        scene.database.sql("INSERT INTO t VALUES (1);");
        scene.ids_up_to(rest, 1);
        rest.stop(name);
        let count =
            topics::read_all(&scene.kafka, &heartbeats).values().map(Vec::len).sum::<usize>();
        assert_eq!(count, usize::from(beats), "{mode}");
        drop(worker);
        topics::delete(&scene.kafka, &heartbeats);
        scene.end();
    }
}
