//! Standbys: one is read like a primary, and one that is promoted takes a failover slot over.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::{
    harness::{
        database::Database,
        rest::{Rest, postgres_source},
        servers::{self, Script},
        topics::{self, Follower},
        wait_for,
        worker::{Home, signal},
    },
    slots::wait_logged,
};

const WITHIN: Duration = Duration::from_secs(60);

/// The ids of a topic's rows, as they come.
struct Rows {
    topic: Follower,
    ids: BTreeSet<i64>,
}

impl Rows {
    fn new(kafka: &str, topic: &str) -> Self {
        Self { topic: Follower::new(kafka, topic), ids: BTreeSet::new() }
    }

    fn wait(
        &mut self,
        what: &str,
        rest: &Rest,
        name: &str,
        enough: impl Fn(&BTreeSet<i64>) -> bool,
    ) {
        wait_for(what, WITHIN, || {
            while !enough(&self.ids) {
                let Some(record) = self.topic.next() else {
                    rest.wait_running(name); // A failed task says why, here.
                    return None;
                };
                let event: Value = serde_json::from_slice(&record.value?).expect("an event");
                self.ids.insert(event["after"]["id"].as_i64().expect("an id"));
            }
            Some(())
        });
    }
}

#[test]
fn a_standby_is_read() {
    let test = "a_standby_is_read";
    let Some(kafka) = servers::kafka(test) else { return };
    let primary =
        Script::new("standby-16", &[("PG_MAJOR", "16"), ("PG_FRESH", "1"), ("PG_PORT", "25836")]);
    let standby = Script::new(
        "standby-16-copy",
        &[
            ("PG_MAJOR", "16"),
            ("PG_FRESH", "1"),
            ("PG_PORT", "25846"),
            ("PG_STANDBY_OF", "standby-16"),
        ],
    );
    topics::delete(&kafka, "standby.");
    let address = primary.run("pg-start", "");
    let _primary_stopped_at_the_end = primary.at_end("pg-stop");
    let database = Database::create(&format!("postgres://postgres@{address}/postgres"), "standby");
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);");
    let address = standby.run("pg-start", "");
    let _standby_stopped_at_the_end = standby.at_end("pg-stop");
    let (host, port) = address.split_once(':').expect("an address");
    let copy = std::mem::ManuallyDrop::new(Database {
        host: host.into(),
        port: port.into(),
        name: "standby".into(),
    });
    let home = Home::new(test, &kafka);
    let worker = home.start(&[]);
    let rest = &worker.rest;
    let config = postgres_source(
        &copy,
        "standby",
        &[("heartbeat.interval.ms", "100"), ("status.update.interval.ms", "200")],
    );
    // What needs a write is not tried in vain.
    rest.put("standby", &config);
    let trace = rest.wait_failed("standby");
    for words in [
        "run CREATE PUBLICATION \"standby\" FOR ALL TABLES",
        "is a standby, so run the statement on the primary",
    ] {
        assert!(trace.contains(words), "{trace}");
    }
    database.sql("CREATE PUBLICATION standby FOR ALL TABLES;");
    wait_for("the publication on the standby", WITHIN, || {
        (copy.value("SELECT count(*) FROM pg_publication") == "1").then_some(())
    });
    // An idle primary does not log which transactions run, so the slot is waited for.
    let writer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'";
    let writer = database.value(writer).parse().expect("a pid");
    signal("-STOP", writer);
    rest.call("POST", "/connectors/standby/tasks/0/restart", None);
    wait_logged(&home, &["slot standby on this standby waits", "SELECT pg_log_standby_snapshot()"]);
    signal("-CONT", writer);
    database.sql("SELECT pg_log_standby_snapshot();");
    let mut rows = Rows::new(&kafka, "standby.public.t");
    rows.wait("the snapshot", rest, "standby", |ids| ids.contains(&1) && ids.contains(&2));
    wait_for("the stream from the standby", WITHIN, || {
        let query = "SELECT count(*) FROM pg_replication_slots WHERE active";
        (copy.value(query) == "1").then_some(())
    });
    database.sql("INSERT INTO t SELECT generate_series(3, 100);");
    rows.wait("the stream", rest, "standby", |ids| ids.len() == 100);
    // The standby's slot moves on, and the primary has none of ours.
    let position = "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots";
    let end = database.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn");
    wait_for("the standby's slot to move on", WITHIN, || {
        let position: u64 = copy.value(position).parse().ok()?;
        (position >= end.parse().ok()?).then_some(())
    });
    let logical = "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'";
    assert_eq!(database.value(logical), "0");
    // With a slot that is there, a snapshot is taken too.
    rest.stop("standby");
    rest.call("DELETE", "/connectors/standby/offsets", None);
    topics::delete(&kafka, "standby.");
    rest.resume("standby");
    let mut rows = Rows::new(&kafka, "standby.public.t");
    rows.wait("the second snapshot", rest, "standby", |ids| ids.len() == 100);
    rest.stop("standby");
    drop(worker);
    copy.sql("SELECT pg_drop_replication_slot('standby');");
    topics::delete(&kafka, "standby.");
}

#[test]
fn a_promoted_standby_goes_on() {
    let test = "a_promoted_standby_goes_on";
    let Some(kafka) = servers::kafka(test) else { return };
    let primary =
        Script::new("failover", &[("PG_MAJOR", "17"), ("PG_FRESH", "1"), ("PG_PORT", "25837")]);
    let standby = Script::new(
        "failover-copy",
        &[
            ("PG_MAJOR", "17"),
            ("PG_FRESH", "1"),
            ("PG_PORT", "25847"),
            ("PG_STANDBY_OF", "failover"),
            ("PG_OPTIONS", "-c sync_replication_slots=on"),
        ],
    );
    topics::delete(&kafka, "failover.");
    let first = primary.run("pg-start", "");
    let first_stopped = primary.at_end("pg-stop");
    let url = format!("postgres://postgres@{first}/postgres");
    let database = std::mem::ManuallyDrop::new(Database::create(&url, "failover"));
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0);");
    let second = standby.run("pg-start", "");
    let _second_stopped_at_the_end = standby.at_end("pg-stop");
    let (host, port) = second.split_once(':').expect("an address");
    let copy = std::mem::ManuallyDrop::new(Database {
        host: host.into(),
        port: port.into(),
        name: "failover".into(),
    });
    let home = Home::new(test, &kafka);
    let worker = home.start(&[]);
    let rest = &worker.rest;
    let more = [("slot.failover", "true"), ("status.update.interval.ms", "200")];
    rest.start("failover", &postgres_source(&database, "failover", &more));
    let line = wait_logged(&home, &["synchronized_standby_slots", "physical slot"]);
    assert!(line.contains("slot.failover is set"), "{line}");
    // From here on nothing is sent that the standby does not have.
    database.sql("ALTER SYSTEM SET synchronized_standby_slots = 'failover_copy';");
    database.sql("SELECT pg_reload_conf();");
    let mut rows = Rows::new(&kafka, "failover.public.t");
    database.sql("INSERT INTO t SELECT generate_series(1, 50);");
    rows.wait("the first rows", rest, "failover", |ids| ids.len() == 51);
    wait_for("the slot on the standby", WITHIN, || {
        // What the standby is to keep must not lie behind what the primary has let go.
        database.sql("SELECT pg_log_standby_snapshot();");
        let query = "SELECT count(*) FROM pg_replication_slots
                      WHERE slot_name = 'failover' AND synced AND NOT temporary";
        (copy.value(query) == "1").then_some(())
    });
    // Rows until the very end of the primary; how many of them the standby has is chance.
    let load = std::thread::spawn({
        let database = Database {
            host: database.host.clone(),
            port: database.port.clone(),
            name: database.name.clone(),
        };
        move || {
            let database = std::mem::ManuallyDrop::new(database);
            let mut id = 100;
            while database.try_sql(&format!("INSERT INTO t VALUES ({id});")).is_some() {
                id += 1;
            }
            id
        }
    });
    rows.wait("rows of the load", rest, "failover", |ids| ids.len() > 60);
    primary.run("pg-stop", "immediate");
    let tried = load.join().expect("the load");
    drop(first_stopped);
    // Before the promotion the slot can not be read yet, which is no reason to give up.
    rest.put("failover", &postgres_source(&copy, "failover", &more));
    wait_logged(&home, &["use replication slot failover", "only after a promotion"]);
    copy.sql("SELECT pg_promote();");
    copy.sql("INSERT INTO t SELECT generate_series(1000000, 1000020);");
    let there: BTreeSet<i64> =
        copy.query("SELECT id FROM t").iter().map(|id| id.parse().expect("an id")).collect();
    assert!(there.len() > 60, "the standby has {} rows, {tried} were tried", there.len());
    rows.wait("all rows of the new primary", rest, "failover", |ids| ids.is_superset(&there));
    assert_eq!(rows.ids.difference(&there).count(), 0, "rows that the new primary never had");
    rest.stop("failover");
    drop(worker);
    topics::delete(&kafka, "failover.");
}
