//! Where a stream goes on: in the middle of what has one log position, and at a slot that is not what
//! it was.

use std::{collections::BTreeSet, thread, time::Duration};

use serde_json::Value;

use crate::harness::{
    database::Database,
    link,
    random::Random,
    rest::postgres_source,
    servers,
    topics::{self, Follower},
    wait_for,
    worker::Home,
};

/// The rows that have arrived.
struct Copied {
    topic: Follower,
    ids: BTreeSet<u64>,
}

impl Copied {
    /// Reads on until `enough`.
    fn wait(&mut self, enough: impl Fn(&BTreeSet<u64>) -> bool) {
        wait_for("rows", Duration::from_secs(120), || {
            while !enough(&self.ids) {
                let value = self.topic.next()?.value.expect("no deletes");
                let event: Value = serde_json::from_slice(&value).unwrap();
                assert_eq!(event["op"], "c", "{event}");
                self.ids.insert(event["after"]["id"].as_u64().expect("an id"));
            }
            Some(())
        });
    }
}

/// A COPY logs a page of rows at one log position. The connection is slow, so batches end among such
/// rows; the worker is killed again and again, and asked to end once. Not a row may be missing.
#[test]
fn killed_within_a_copy() {
    let test = "killed_within_a_copy";
    let (Some(postgres), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else {
        return;
    };
    let random = &mut Random::new(Random::seed(test));
    topics::delete(&kafka, "copied.");
    let database = Database::create(&postgres, "copied");
    database.sql("CREATE TABLE t (id int PRIMARY KEY, note text);");
    let mut home = Home::new(test, &kafka);
    home.properties.push_str("offset.flush.interval.ms=20\n");
    let port = link::slow(format!("{}:{}", database.host, database.port)).to_string();
    let config = postgres_source(&database, "copied", &[("database.port", &port)]);
    let connector = home.connector("copied", &config);

    let mut worker = home.start(std::slice::from_ref(&connector));
    worker.rest.wait_running("copied");
    database.wait_streamed("copied");
    // In one transaction, and in many.
    let rows = 30_000;
    database.sql(&format!("COPY t FROM PROGRAM 'seq -f %.0f,note 1 {}' (FORMAT csv);", rows / 2));
    for part in 5..10 {
        let (from, to) = (rows * part / 10 + 1, rows * (part + 1) / 10);
        database.sql(&format!("COPY t FROM PROGRAM 'seq -f %.0f,note {from} {to}' (FORMAT csv);"));
    }
    let mut copied =
        Copied { topic: Follower::new(&kafka, "copied.public.t"), ids: BTreeSet::new() };
    for round in 0..12 {
        let goal = copied.ids.len() as u64 + random.between(300, 2_000);
        copied.wait(|ids| ids.len() as u64 >= goal.min(rows));
        thread::sleep(Duration::from_millis(random.between(0, 60)));
        if round == 5 {
            assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
        } else {
            worker.kill();
        }
        worker = home.start(std::slice::from_ref(&connector));
    }
    database.sql("INSERT INTO t VALUES (0, 'the last');");
    copied.wait(|ids| ids.contains(&0));
    let ids = copied.ids;
    let missing: Vec<u64> = (0..=rows).filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "{} rows never arrived: {missing:?}", missing.len());
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, "copied.");
}

/// Drops the slot although the worker reads it, and makes it anew after changes that it so misses.
fn replace_slot(database: &Database, slot: &str) {
    wait_for("the slot to be free", Duration::from_secs(30), || {
        database.try_sql(&format!(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
              WHERE slot_name = '{slot}' AND active;
             SELECT pg_drop_replication_slot('{slot}');
             INSERT INTO t VALUES (2);
             SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');"
        ))
    });
}

#[test]
fn a_slot_made_anew_under_the_stream_is_a_gap() {
    let test = "a_slot_made_anew_under_the_stream_is_a_gap";
    let (Some(postgres), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else {
        return;
    };
    for mode in ["initial", "when_needed"] {
        let name = format!("replaced_{mode}");
        topics::delete(&kafka, &format!("{name}."));
        let database = Database::create(&postgres, &name);
        database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0);");
        let home = Home::new(&name, &kafka);
        let config = postgres_source(&database, &name, &[("snapshot.mode", mode)]);
        let worker = home.start(&[home.connector(&name, &config)]);
        let mut topic = Follower::new(&kafka, &format!("{name}.public.t"));
        let mut wait = |op: &str, id: u64| {
            wait_for(&format!("{op} {id} of {name}"), Duration::from_secs(60), || {
                while let Some(record) = topic.next() {
                    let event: Value = serde_json::from_slice(&record.value?).unwrap();
                    if event["op"] == op && event["after"]["id"] == id {
                        return Some(());
                    }
                }
                None
            });
        };
        wait("r", 0);
        database.sql("INSERT INTO t VALUES (1);");
        wait("c", 1);
        replace_slot(&database, &name);
        if mode == "initial" {
            let trace = worker.rest.wait_failed(&name);
            assert!(trace.contains("made anew"), "{trace}");
            assert!(trace.contains("snapshot.mode=when_needed"), "{trace}");
        } else {
            // The row that the slot does not have is read with the others.
            wait("r", 2);
            database.sql("INSERT INTO t VALUES (3);");
            wait("c", 3);
        }
        assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
        topics::delete(&kafka, &format!("{name}."));
    }
}

/// With a snapshot at each start, what was sent before does not come again, as it would be older than what
/// the snapshot shows; what was deleted meanwhile comes, as only the stream tells of it.
#[test]
fn a_snapshot_at_each_start_is_no_gap() {
    let name = "snapshot_each_start";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, &format!("{name}."));
    let database = Database::create(&postgres, name);
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0), (1);");
    let home = Home::new(name, &kafka);
    let config = postgres_source(&database, name, &[("snapshot.mode", "always")]);
    let worker = home.start(&[home.connector(name, &config)]);
    let mut topic = Follower::new(&kafka, &format!("{name}.public.t"));
    let mut seen = Vec::new();
    let mut wait = |last: &str| {
        wait_for(last, Duration::from_secs(60), || {
            while let Some(record) = topic.next() {
                let Some(value) = record.value else { continue };
                let event: Value = serde_json::from_slice(&value).unwrap();
                let row = if event["op"] == "d" { &event["before"] } else { &event["after"] };
                seen.push(format!("{} {}", event["op"].as_str().unwrap(), row["id"]));
                if seen.last().is_some_and(|seen| seen == last) {
                    return Some(());
                }
            }
            None
        });
    };
    wait("r 1");
    database.wait_streamed(name);
    database.sql("INSERT INTO t VALUES (2);");
    wait("c 2");
    worker.rest.stop(name);
    database.sql("INSERT INTO t VALUES (3); DELETE FROM t WHERE id = 0;");
    worker.rest.resume(name);
    wait("d 0");
    assert_eq!(seen[3..], ["r 1", "r 2", "r 3", "c 3", "d 0"], "{seen:?}");
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, &format!("{name}."));
}
