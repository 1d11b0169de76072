//! `kill -9` at named points, each reached by what the database has let pass of the worker's words:
//! while publication and slot are made, between the snapshot and the stream, before an offset is
//! stored, after it is stored and before the slot hears of it, among the blocks of a transaction in
//! progress, and while a chunk of an incremental snapshot is on its way to Kafka. Each says how much
//! comes twice, and has a bound for it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::harness::{
    database::Database,
    gate::Gate,
    rest::postgres_source,
    servers,
    topics::{self, Follower},
    wait_for,
    worker::{Home, Worker},
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    name: String,
    kafka: String,
    database: Database,
    gate: Gate,
    home: Home,
    topic: Follower,
    /// What has come, in its order: operation and id.
    events: Vec<(String, i64)>,
}

impl Scene {
    /// A table `t` with the ids from 1 to `rows`.
    fn new(test: &str, rows: u64) -> Option<Self> {
        let (Some(postgres), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else {
            return None;
        };
        let name = format!("point_{test}");
        topics::delete(&kafka, &format!("{name}."));
        let database = Database::create(&postgres, &name);
        database.sql(&format!(
            "CREATE TABLE t (id int PRIMARY KEY);
             INSERT INTO t SELECT generate_series(1, {rows});"
        ));
        let gate = Gate::open(format!("{}:{}", database.host, database.port));
        let home = Home::new(&name, &kafka);
        let topic = Follower::new(&kafka, &format!("{name}.public.t"));
        Some(Self { name, kafka, database, gate, home, topic, events: Vec::new() })
    }

    fn start(&self, flush_ms: u64, more: &[(&str, &str)]) -> Worker {
        let all = [&[("database.port", &*self.gate.port)][..], more].concat();
        let config = postgres_source(&self.database, &self.name, &all);
        let file = self.home.connector(&self.name, &config);
        self.home.start_with(&format!("offset.flush.interval.ms={flush_ms}\n"), &[file])
    }

    fn held(&self) {
        wait_for("something to be held back", PATIENCE, || (self.gate.waiting() > 0).then_some(()));
    }

    /// Reads on until this id has come by this operation.
    fn read_to(&mut self, op: &str, id: i64) {
        let Self { topic, events, .. } = self;
        wait_for(&format!("{op} {id}"), PATIENCE, || {
            loop {
                let event: Value = serde_json::from_slice(&topic.next()?.value?).unwrap();
                let came = (event["op"].as_str()?.to_owned(), event["after"]["id"].as_i64()?);
                events.push(came.clone());
                if came == (op.to_owned(), id) {
                    return Some(());
                }
            }
        });
    }

    /// How often each row has come by `op`.
    fn counts(&self, op: &str) -> BTreeMap<i64, usize> {
        let mut counts = BTreeMap::new();
        for (_, id) in self.events.iter().filter(|(of, _)| of == op) {
            *counts.entry(*id).or_default() += 1;
        }
        counts
    }

    /// How many have come more than once by `op`. All of `ids` must have come.
    fn twice(&self, op: &str, ids: std::ops::RangeInclusive<i64>) -> usize {
        let counts = self.counts(op);
        let missing: Vec<i64> = ids.filter(|id| !counts.contains_key(id)).collect();
        assert!(missing.is_empty(), "{op} never came: {missing:?}");
        let twice = counts.values().filter(|count| **count > 1).count();
        eprintln!("{}: {} rows by {op}, {twice} of them twice", self.name, counts.len());
        twice
    }

    /// The stored offset, if there is one.
    fn offset(&self, worker: &Worker) -> Option<Value> {
        let path = format!("/connectors/{}/offsets", self.name);
        // The connector may not be there yet.
        let answer = worker.rest.ask("GET", &path, None);
        let offsets: Value = serde_json::from_str(&answer.body).expect("JSON");
        Some(offsets["offsets"][0]["offset"].clone()).filter(Value::is_object)
    }

    /// Where the slot is: what the server was told that is done.
    fn confirmed(&self) -> u64 {
        let query = format!(
            "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{}'",
            self.name
        );
        self.database.value(&query).parse().expect("a position")
    }

    fn end(self, worker: Worker) {
        assert!(worker.terminate().success(), "the worker's end\n{}", self.home.log());
        topics::delete(&self.kafka, &format!("{}.", self.name));
    }
}

#[test]
fn killed_while_publication_and_slot_are_made() {
    let Some(mut scene) = Scene::new("made", 100) else { return };
    let there = |scene: &Scene, table: &str| -> bool {
        let column = if table == "pg_publication" { "pubname" } else { "slot_name" };
        let query = format!("SELECT count(*) FROM {table} WHERE {column} = '{}'", scene.name);
        scene.database.value(&query) == "1"
    };
    // Before and after each of the two.
    for (words, heard, publication, slot) in [
        ("CREATE PUBLICATION", false, false, false),
        ("CREATE PUBLICATION", true, true, false),
        ("CREATE_REPLICATION_SLOT", false, true, false),
        ("CREATE_REPLICATION_SLOT", true, true, true),
    ] {
        match heard {
            true => scene.gate.shut_answers(words, 0),
            false => scene.gate.shut_questions(words),
        }
        let worker = scene.start(20, &[]);
        scene.held();
        worker.kill();
        let found = (there(&scene, "pg_publication"), there(&scene, "pg_replication_slots"));
        assert_eq!(found, (publication, slot), "{words} heard: {heard}");
        scene.gate.release();
    }
    // Behind the slot and before the snapshot: it comes by both.
    scene.database.sql("INSERT INTO t SELECT generate_series(101, 110);");
    let worker = scene.start(20, &[]);
    scene.read_to("c", 110);
    scene.database.sql("INSERT INTO t VALUES (111);");
    scene.read_to("c", 111);
    assert_eq!(scene.twice("r", 1..=110), 0);
    assert_eq!(scene.twice("c", 101..=111), 0);
    scene.end(worker);
}

/// The snapshot is over and the stream has not begun. Its last offset is stored, or is not.
#[test]
fn killed_between_the_snapshot_and_the_stream() {
    for (test, flush_ms) in [("between_stored", 20), ("between_unstored", 600_000)] {
        let Some(mut scene) = Scene::new(test, 1_000) else { return };
        scene.gate.shut_answers("START_REPLICATION", 0);
        let worker = scene.start(flush_ms, &[]);
        scene.read_to("r", 1_000);
        scene.held();
        if flush_ms == 20 {
            wait_for("the offset of the snapshot's end", PATIENCE, || {
                scene.offset(&worker)?.get("snapshot").is_none().then_some(())
            });
        } else {
            assert_eq!(scene.offset(&worker), None);
        }
        scene.database.sql("INSERT INTO t VALUES (1001); DELETE FROM t WHERE id = 7;");
        worker.kill();
        scene.gate.release();
        let worker = scene.start(20, &[]);
        scene.read_to("c", 1_001);
        scene.database.sql("INSERT INTO t VALUES (1002);");
        scene.read_to("c", 1_002);
        let twice = scene.twice("r", 1..=1_000);
        // Without an offset all is read anew, but for the row that is gone.
        let want = if flush_ms == 20 { 0 } else { 999 };
        assert_eq!(twice, want, "{test}: rows read twice");
        assert_eq!(scene.twice("c", 1_001..=1_002), 0);
        let deleted = topics::read_all(&scene.kafka, &format!("{}.", scene.name));
        let deleted = deleted.values().flatten().filter_map(|record| record.value.as_ref());
        let deleted = deleted.filter(|value| {
            let event: Value = serde_json::from_slice(value).unwrap();
            event["op"] == "d" && event["before"]["id"] == 7
        });
        assert_eq!(deleted.count(), 1, "the delete of a row that was read");
        scene.end(worker);
    }
}

/// What has arrived and is not stored comes again, all of it and nothing else; the slot was not told
/// of it.
#[test]
fn killed_before_an_offset_is_stored() {
    let Some(mut scene) = Scene::new("unstored", 1) else { return };
    let worker = scene.start(20, &[]);
    scene.read_to("r", 1);
    scene.database.sql("INSERT INTO t VALUES (2);");
    scene.read_to("c", 2);
    assert!(worker.terminate().success());
    let worker = scene.start(600_000, &[("status.update.interval.ms", "50")]);
    scene.database.wait_streamed(&scene.name);
    let stored = scene.offset(&worker).expect("an offset");
    let before = scene.confirmed();
    for id in 3..=102 {
        scene.database.sql(&format!("INSERT INTO t VALUES ({id});"));
    }
    scene.read_to("c", 102);
    // The server has heard from the worker since all of it was sent.
    let heard = "SELECT reply_time > clock_timestamp() FROM pg_stat_replication WHERE pid =
        (SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{slot}')"
        .replace("{slot}", &scene.name)
        .replace("clock_timestamp()", &format!("'{}'", scene.database.value("SELECT now()")));
    wait_for("a status update", PATIENCE, || (scene.database.value(&heard) == "t").then_some(()));
    assert_eq!(scene.confirmed(), before, "the slot moved past what is stored");
    assert_eq!(scene.offset(&worker), Some(stored));
    worker.kill();
    let worker = scene.start(20, &[]);
    scene.database.sql("INSERT INTO t VALUES (103);");
    scene.read_to("c", 103);
    assert_eq!(scene.twice("c", 2..=103), 100, "those of the killed run");
    assert_eq!(scene.twice("r", 1..=1), 0);
    let order: Vec<i64> = scene.events.iter().map(|(_, id)| *id).collect();
    let want: Vec<i64> = (1..=102).chain(3..=103).collect();
    assert_eq!(order, want, "in their order, from behind the stored offset on");
    scene.end(worker);
}

/// What is stored does not come again, although the slot never heard of it.
#[test]
fn killed_before_the_slot_hears_of_what_is_stored() {
    let Some(mut scene) = Scene::new("unheard", 1) else { return };
    let worker = scene.start(20, &[]);
    scene.read_to("r", 1);
    scene.database.wait_streamed(&scene.name);
    scene.gate.shut_questions("START_REPLICATION");
    let before = scene.confirmed();
    scene.database.sql("INSERT INTO t SELECT generate_series(2, 101);");
    scene.read_to("c", 101);
    wait_for("the offset to be stored", PATIENCE, || {
        (scene.offset(&worker)?["messageType"] == "COMMIT").then_some(())
    });
    scene.held();
    assert_eq!(scene.confirmed(), before, "the slot has heard of it");
    worker.kill();
    scene.gate.release();
    let worker = scene.start(20, &[]);
    scene.database.sql("INSERT INTO t VALUES (102);");
    scene.read_to("c", 102);
    assert_eq!((scene.twice("c", 2..=102), scene.twice("r", 1..=1)), (0, 0));
    wait_for("the slot to move on", PATIENCE, || (scene.confirmed() > before).then_some(()));
    scene.end(worker);
}

/// In the middle of a transaction, behind one that began later and was committed before it: that one is
/// done, although it lies behind the stored position in the log.
#[test]
fn killed_in_a_transaction_that_another_lies_in() {
    let Some(mut scene) = Scene::new("inside", 1) else { return };
    let worker = scene.start(20, &[]);
    scene.read_to("r", 1);
    scene.database.wait_streamed(&scene.name);
    scene.gate.shut_answers("START_REPLICATION", 200_000);
    scene.database.sql(
        "CREATE EXTENSION dblink;
         SELECT dblink_connect('other', format('host=%s port=%s user=postgres dbname=%s',
           host(inet_server_addr()), inet_server_port(), current_database()));
         BEGIN;
         INSERT INTO t SELECT generate_series(2, 10001);
         SELECT dblink_exec('other', 'INSERT INTO t VALUES (20000)');
         COMMIT;",
    );
    scene.held();
    wait_for("an offset in front of a transaction that is done", PATIENCE, || {
        let stored = scene.offset(&worker)?;
        let inside = stored["lsn_proc"].as_u64()? < stored["lsn_commit"].as_u64()?;
        (stored["messageType"] == "INSERT" && inside).then_some(())
    });
    worker.kill();
    scene.gate.release();
    let worker = scene.start(20, &[]);
    scene.read_to("c", 10_001);
    let twice = scene.twice("c", 2..=10_001);
    assert!(twice < 5_000, "{twice} of some 4,000 rows that had come are repeated");
    assert_eq!(scene.counts("c")[&20_000], 1, "a transaction that is done came again");
    assert_eq!(scene.twice("r", 1..=1), 0);
    scene.end(worker);
}

/// Blocks of a transaction in progress are in memory and in files, and none of them is an event yet.
#[test]
fn killed_among_the_blocks_of_a_transaction_in_progress() {
    let Some(mut scene) = Scene::new("blocks", 1) else { return };
    let work_mem = format!("ALTER DATABASE {} SET logical_decoding_work_mem = '64kB';", scene.name);
    scene.database.sql(&work_mem);
    let streaming = [
        ("slot.stream.params", "proto_version=2;streaming=on"),
        ("slot.stream.memory.max.bytes", "262144"),
    ];
    let worker = scene.start(20, &streaming);
    scene.read_to("r", 1);
    scene.database.wait_streamed(&scene.name);
    scene.gate.shut_answers("START_REPLICATION", 600_000);
    scene.database.sql(
        "BEGIN; INSERT INTO t SELECT generate_series(2, 10001);
         SAVEPOINT s; INSERT INTO t SELECT generate_series(20001, 25000); ROLLBACK TO s;
         INSERT INTO t SELECT generate_series(10002, 12001); COMMIT;",
    );
    scene.held();
    wait_for("blocks in a file", PATIENCE, || {
        let files = crate::harness::sockets::files(worker.child.id());
        files.iter().any(|file| file.to_string_lossy().ends_with("(deleted)")).then_some(())
    });
    let offset = scene.offset(&worker).expect("an offset");
    assert!(offset.get("lsn_proc").is_none(), "nothing of it is an event: {offset}");
    worker.kill();
    scene.gate.release();
    let worker = scene.start(20, &streaming);
    scene.read_to("c", 12_001);
    assert_eq!(scene.twice("c", 2..=12_001), 0);
    assert_eq!(scene.counts("c").len(), 12_000, "rows that were rolled back");
    assert_eq!(scene.twice("r", 1..=1), 0);
    let streamed = format!(
        "SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = '{}'",
        scene.name
    );
    assert_eq!(scene.database.value(&streamed), "t", "the server sent it while in progress");
    scene.end(worker);
}

/// The rows of a chunk of an incremental snapshot are handed over, and none of them is with Kafka: what
/// is stored says nothing of them, also where the connector has stored all it may.
#[test]
fn killed_before_a_chunk_is_with_kafka() {
    let Some(mut scene) = Scene::new("chunk", 2_000) else { return };
    let Some(listeners) = servers::listeners("point_chunk") else { return };
    scene.database.sql(
        "CREATE TABLE signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
         ALTER TABLE t ADD note text;
         UPDATE t SET note = 'a chunk begins' WHERE id = 1;",
    );
    let at = |name: &str| listeners.get(name).unwrap_or_else(|| panic!("no listener {name}"));
    let way = Gate::open_at(at("link3_outside"), at("link3").clone());
    way.shut_questions("a chunk begins");
    scene.home.properties.push_str(&format!("bootstrap.servers={}\n", at("link3_outside")));
    let incremental = [
        ("snapshot.mode", "no_data"),
        ("signal.data.collection", "public.signal"),
        ("table.include.list", "public.t"),
        // One batch, which takes a while: what was handed over before it is stored for itself.
        ("incremental.snapshot.chunk.size", "2000"),
    ];
    scene.home.properties.push_str("offset.flush.timeout.ms=200\n");
    let worker = scene.start(20, &incremental);
    scene.database.wait_streamed(&scene.name);
    scene.database.sql(
        r#"INSERT INTO signal VALUES ('s', 'execute-snapshot', '{"data-collections": ["public.t"]}');"#,
    );
    wait_for("the chunk to be held back", PATIENCE, || (way.waiting() > 0).then_some(()));
    // Whoever stops stores what is done.
    worker.rest.stop(&scene.name);
    worker.kill();
    // Nothing of what is held back passes later: the other worker has a way of its own.
    scene.home.properties.push_str(&format!("bootstrap.servers={}\n", scene.kafka));
    let worker = scene.start(20, &incremental);
    scene.read_to("r", 2_000);
    scene.database.sql("INSERT INTO t VALUES (2001);");
    scene.read_to("c", 2_001);
    assert_eq!(scene.twice("r", 1..=2_000), 0);
    scene.end(worker);
}
