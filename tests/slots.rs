//! What a slot, a publication or a server may have wrong is told at start, with what to do; and a slot
//! that is fine does not hold the log back.

use std::{fs, time::Duration};

use crate::harness::{
    database::Database,
    rest::{Config, Rest, postgres_source},
    servers::{self, Script},
    wait_for,
    worker::Home,
};

const WITHIN: Duration = Duration::from_secs(60);

/// The log of a worker from its beginning.
pub(crate) fn log(home: &Home) -> String {
    fs::read_to_string(home.directory.join("worker.log")).expect("the worker's log")
}

/// Waits for a line of the log that has all of these words.
pub(crate) fn wait_logged(home: &Home, words: &[&str]) -> String {
    wait_for(&format!("a line of the log with {words:?}"), WITHIN, || {
        let log = log(home);
        let found = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        found.map(str::to_owned)
    })
}

fn holds(what: &str, text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{what}: no {word:?} in\n{text}");
    }
}

/// Puts a connector and gives back why it failed.
fn failure(rest: &Rest, name: &str, config: &Config) -> String {
    rest.put(name, config);
    rest.wait_failed(name)
}

#[test]
fn a_slot_that_can_not_be_used_is_told() {
    let test = "a_slot_that_can_not_be_used_is_told";
    let Some(postgres) = servers::postgres(test) else { return };
    let other = Database::create(&postgres, "slots_other");
    let database = Database::create(&postgres, "slots_unusable");
    database.sql("CREATE TABLE t (id int PRIMARY KEY);");
    database.sql(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
          WHERE slot_name = 'slots_physical';
         SELECT pg_create_physical_replication_slot('slots_physical');
         SELECT pg_create_logical_replication_slot('slots_plugin', 'test_decoding');
         SELECT pg_create_logical_replication_slot('slots_two_phase', 'pgoutput', false, true);",
    );
    other.sql("SELECT pg_create_logical_replication_slot('slots_elsewhere', 'pgoutput');");
    let home = Home::new(test, "");
    let worker = home.start(&[]);
    let rest = &worker.rest;
    for (slot, words) in [
        ("slots_plugin", ["test_decoding, not for pgoutput", "slot.name"]),
        ("slots_physical", ["physical slot", "slot.name"]),
        (
            "slots_elsewhere",
            ["belongs to database slots_other, not to slots_unusable", "slot.name"],
        ),
        ("slots_two_phase", ["two_phase", "drop the slot"]),
    ] {
        let config = postgres_source(&database, slot, &[]);
        holds(slot, &failure(rest, slot, &config), &words);
    }
    database.sql("SELECT pg_drop_replication_slot('slots_physical');");

    // Two readers of one slot.
    let first = postgres_source(&database, "slots_shared", &[]);
    rest.start("slots_first", &first);
    wait_for("the stream", WITHIN, || {
        let query =
            "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'slots_shared' AND active";
        (!database.query(query).is_empty()).then_some(())
    });
    let more = [("slot.name", "slots_shared"), ("slot.max.retries", "0")];
    let second = postgres_source(&database, "slots_second", &more);
    let trace = failure(rest, "slots_second", &second);
    holds("active", &trace, &["\"slots_shared\" is active", "stop the other reader"]);

    // The slot goes while the connector is away.
    rest.stop("slots_first");
    database.sql("SELECT pg_drop_replication_slot('slots_shared');");
    rest.call("PUT", "/connectors/slots_first/resume", None);
    let trace = rest.wait_failed("slots_first");
    let words = ["slots_shared does not exist any more", "are lost", "snapshot.mode=when_needed"];
    holds("gone", &trace, &words);

    // A role that may not replicate is told before the connector is made.
    database.sql(
        "DO $$ BEGIN CREATE ROLE slots_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;",
    );
    let mut config = postgres_source(&database, "slots_role", &[]);
    config.insert("database.user".into(), "slots_reader".into());
    let body = serde_json::to_string(&config).expect("a map of strings");
    let answer = rest.ask("PUT", "/connectors/slots_role/config", Some(&body));
    assert_eq!(answer.status, 400, "{}", answer.body);
    holds("role", &answer.body, &["slots_reader", "REPLICATION", "ALTER ROLE"]);
}

#[test]
fn a_publication_that_lacks_something_is_told() {
    let test = "a_publication_that_lacks_something_is_told";
    let Some(postgres) = servers::postgres(test) else { return };
    let database = Database::create(&postgres, "slots_publication");
    database.sql(
        "CREATE TABLE listed (id int PRIMARY KEY, x int, y int);
         CREATE TABLE filtered (id int PRIMARY KEY);
         CREATE TABLE absent (id int PRIMARY KEY);
         CREATE TABLE nameless (id int);
         CREATE TABLE left_alone (id int);
         CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
         CREATE PUBLICATION slots_publication
           FOR TABLE listed (id, x), filtered WHERE (id > 5), nameless, part
           WITH (publish = 'insert, delete');",
    );
    let home = Home::new(test, "");
    let worker = home.start(&[]);
    let rest = &worker.rest;
    let more =
        [("publication.autocreate.mode", "disabled"), ("table.exclude.list", "public.left_alone")];
    let config = postgres_source(&database, "slots_publication", &more);
    rest.start("publication", &config);
    let publication = "publication slots_publication";
    let line = wait_logged(&home, &[publication, "does not publish"]);
    holds("publish", &line, &["does not publish update,", "SET (publish =", "skipped.operations"]);
    let line = wait_logged(&home, &[publication, "does not have table public.absent,"]);
    holds("absent", &line, &["ALTER PUBLICATION", "ADD TABLE \"public\".\"absent\"", "filtered"]);
    let line = wait_logged(&home, &[publication, "row filter on table public.filtered, (id > 5)"]);
    holds("filter", &line, &["snapshot.select.statement.overrides"]);
    let line = wait_logged(&home, &[publication, "column list on table public.listed without y:"]);
    holds("columns", &line, &["column.exclude.list"]);
    let line = wait_logged(&home, &[publication, "no replica identity"]);
    holds("identity", &line, &["table public.nameless", "REPLICA IDENTITY FULL for"]);
    // The server does what the warning says.
    assert!(database.try_sql("DELETE FROM nameless;").is_none());
    assert!(!log(&home).contains("left_alone"), "a table that is not captured is named");

    let mut config = postgres_source(&database, "slots_missing", &more);
    let trace = failure(rest, "missing", &config);
    holds("missing", &trace, &["Publication autocreation is disabled", "CREATE PUBLICATION"]);
    // One for all tables can not be narrowed.
    database.sql("CREATE PUBLICATION slots_missing FOR ALL TABLES;");
    config.insert("publication.autocreate.mode".into(), "filtered".into());
    let trace = failure(rest, "all", &config);
    holds("all tables", &trace, &["FOR ALL TABLES", "filtered can not narrow"]);
}

#[test]
fn a_server_without_room_is_told() {
    let test = "a_server_without_room_is_told";
    if servers::postgres(test).is_none() {
        return;
    }
    let own = Script::new(
        "slots-full",
        &[
            ("PG_MAJOR", "16"),
            ("PG_FRESH", "1"),
            ("PG_PORT", "25826"),
            ("PG_OPTIONS", "-c max_replication_slots=2 -c max_wal_senders=1"),
        ],
    );
    let address = own.run("pg-start", "");
    let _stopped_at_the_end = own.at_end("pg-stop");
    let database = Database::create(&format!("postgres://postgres@{address}/postgres"), "full");
    database.sql(
        "CREATE TABLE t (id int PRIMARY KEY);
         SELECT pg_create_physical_replication_slot('forgotten');",
    );
    let home = Home::new(test, "");
    let worker = home.start(&[]);
    let rest = &worker.rest;
    rest.start("fits", &postgres_source(&database, "fits", &[]));
    wait_for("the stream", WITHIN, || {
        (database.value("SELECT count(*) FROM pg_stat_replication") == "1").then_some(())
    });
    // The only sender is taken; errors.max.retries says that one error is enough.
    let none = [("errors.max.retries", "0")];
    let trace = failure(rest, "senders", &postgres_source(&database, "senders", &none));
    holds("senders", &trace, &["maximum number of 0 retries", "max_wal_senders", "raise"]);
    rest.stop("fits");
    let trace = failure(rest, "slots", &postgres_source(&database, "slots", &[]));
    let words =
        ["all max_replication_slots", "forgotten (not read)", "fits", "pg_drop_replication_slot"];
    holds("slots", &trace, &words);
}

#[test]
fn a_slot_in_danger_is_told_and_shown() {
    let test = "a_slot_in_danger_is_told_and_shown";
    if servers::postgres(test).is_none() {
        return;
    }
    let own = Script::new(
        "slots-danger",
        &[
            ("PG_MAJOR", "17"),
            ("PG_FRESH", "1"),
            ("PG_PORT", "25827"),
            (
                "PG_OPTIONS",
                "-c max_wal_size=128MB -c max_slot_wal_keep_size=240MB -c checkpoint_timeout=1h -c checkpoint_completion_target=0",
            ),
        ],
    );
    let address = own.run("pg-start", "");
    let _stopped_at_the_end = own.at_end("pg-stop");
    let database = Database::create(&format!("postgres://postgres@{address}/postgres"), "danger");
    database.sql("CREATE TABLE t (id int PRIMARY KEY);");
    let home = Home::new(test, "");
    let worker = home.start(&[]);
    let rest = &worker.rest;
    // Nobody moves the slot on.
    let more = [
        ("lsn.flush.mode", "manual"),
        ("status.update.interval.ms", "100"),
        ("custom.metric.tags", "team=blue"),
    ];
    rest.start("danger", &postgres_source(&database, "danger", &more));
    let figure = |name: &str, more: &str| -> Option<f64> {
        let labels = format!(
            "{{connector=\"danger\",task=\"0\",plugin=\"postgres\",name=\"danger\",slot=\"danger\",team=\"blue\"{more}}} "
        );
        let key = format!("riverrun_postgres_slot_{name}{labels}");
        let body = rest.ask("GET", "/metrics", None).body;
        body.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok())
    };
    let status = |wanted: &str| {
        wait_for(&format!("status {wanted}"), WITHIN, || {
            let is = figure("wal_status", &format!(",status=\"{wanted}\""))?;
            (is == 1.0).then_some(())
        });
    };
    status("reserved");
    let write = |segments: usize| {
        for _ in 0..segments {
            database.sql("SELECT pg_logical_emit_message(true, '', ''); SELECT pg_switch_wal();");
        }
    };
    // A checkpoint by hand each time, as one that the server makes by itself, after seven segments,
    // would come at a moment of its own.
    write(6);
    database.sql("CHECKPOINT;");
    write(4);
    status("extended");
    wait_logged(&home, &["replication slot danger holds", "wal_status extended", "max_wal_size"]);
    let mib = 1_048_576.0;
    let retained = figure("retained_bytes", "").expect("a figure");
    assert!((128.0 * mib..=240.0 * mib).contains(&retained), "{retained}");
    assert!(figure("lag_bytes", "").expect("a figure") >= 128.0 * mib);
    assert!(figure("safe_bytes", "").expect("a figure") <= 112.0 * mib);
    database.sql("CHECKPOINT;");
    write(6);
    status("unreserved");
    wait_logged(&home, &["wal_status unreserved", "raise max_slot_wal_keep_size"]);
    database.sql("CHECKPOINT;");
    let trace = rest.wait_failed("danger");
    holds("lost", &trace, &["has been removed from the database write-ahead log", "wal_removed"]);
}

/// What a failover, a restored backup or somebody else's hand leaves: a log that ends before what was
/// sent, a slot that begins behind it. Neither is gone on with in silence, nor loses the offset.
#[test]
fn an_offset_that_the_server_does_not_have_is_told() {
    let test = "an_offset_that_the_server_does_not_have_is_told";
    let Some(postgres) = servers::postgres(test) else { return };
    let database = Database::create(&postgres, "slots_offset");
    database.sql("CREATE TABLE t (id int PRIMARY KEY);");
    let mut home = Home::new(test, "");
    home.properties.push_str("offset.flush.interval.ms=20\n");
    let worker = home.start(&[]);
    let (rest, name, path) = (&worker.rest, "slots_offset", "/connectors/slots_offset/offsets");
    rest.start(name, &postgres_source(&database, name, &[]));
    database.wait_streamed(name);
    database.sql("INSERT INTO t VALUES (1);");
    let offset = || rest.call("GET", path, None)["offsets"][0]["offset"].clone();
    wait_for("a stored offset", WITHIN, || offset()["lsn_commit"].is_u64().then_some(()));
    rest.stop(name);
    let stored = offset();
    let resume = || {
        rest.call("PUT", &format!("/connectors/{name}/resume"), None);
        rest.wait_failed(name)
    };
    let store = |offset: &serde_json::Value| rest.store_offset(name, offset);

    let mut ahead = stored.clone();
    for field in ["lsn", "lsn_proc", "lsn_commit"] {
        ahead[field] = (stored[field].as_u64().expect("a position") + (1 << 40)).into();
    }
    store(&ahead);
    holds("ahead", &resume(), &["log ends at", "not the server that the changes came from"]);
    rest.stop(name);
    assert_eq!(offset(), ahead);

    store(&stored);
    database.sql("SELECT pg_drop_replication_slot('slots_offset');");
    database.sql("INSERT INTO t VALUES (2);");
    database.sql("SELECT pg_create_logical_replication_slot('slots_offset', 'pgoutput');");
    let trace = resume();
    holds("behind", &trace, &["slots_offset begins at", "changes in between are lost"]);
    holds("behind", &trace, &["snapshot.mode=when_needed"]);
    rest.stop(name);
    assert_eq!(offset(), stored);

    // The advice: all that is there is read again, the lost row as well.
    rest.put(name, &postgres_source(&database, name, &[("snapshot.mode", "when_needed")]));
    rest.resume(name);
    wait_logged(&home, &["snapshot is read: 2 rows of 1 tables"]);
}

/// Two databases of one server: in one nothing happens, in the other only what is not captured. The
/// log moves on, and both slots with it, without a key for it.
#[test]
fn slots_of_quiet_connectors_let_the_log_go() {
    let test = "slots_of_quiet_connectors_let_the_log_go";
    let (Some(postgres), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else {
        return;
    };
    let busy = Database::create(&postgres, "slots_busy");
    busy.sql("CREATE TABLE noise (id int); CREATE TABLE wanted (id int PRIMARY KEY);");
    let idle = Database::create(&postgres, "slots_idle");
    idle.sql("CREATE TABLE wanted (id int PRIMARY KEY); INSERT INTO wanted VALUES (1);");
    let home = Home::new(test, &kafka);
    let worker = home.start(&[]);
    let more = [("table.include.list", "public.wanted"), ("status.update.interval.ms", "200")];
    let beating = [more[0], more[1], ("heartbeat.interval.ms", "100")];
    let slots = [
        ("slots_busy", &busy, &more[..]),
        ("slots_idle", &idle, &more[..]),
        // With a heartbeat the step is not even a segment.
        ("slots_beating", &idle, &beating[..]),
    ];
    let positions = |slot: &str| -> Option<(u64, u64)> {
        let row = idle.query(&format!(
            "SELECT restart_lsn - '0/0'::pg_lsn, confirmed_flush_lsn - '0/0'::pg_lsn
               FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
        ));
        let (restart, confirmed) = row.first()?.split_once('\t')?;
        Some((restart.parse().ok()?, confirmed.parse().ok()?))
    };
    let mut before = Vec::new();
    for (slot, database, more) in slots {
        worker.rest.start(slot, &postgres_source(database, slot, more));
        before.push(wait_for("an active slot", WITHIN, || positions(slot)));
    }
    let (_, confirmed) = before[2];
    busy.sql("INSERT INTO noise VALUES (0);");
    wait_for("the heartbeat to take the position along", WITHIN, || {
        (positions("slots_beating")?.1 > confirmed).then_some(())
    });
    // The log goes on by segments, of which no slot has anything to send. A checkpoint says which
    // transactions run, as the server does by itself every 15 s; a slot takes one such word at a time.
    for ((slot, ..), (restart, _)) in slots.iter().zip(before) {
        let mut looks = 0;
        wait_for(&format!("slot {slot} to let the log go"), WITHIN, || {
            if looks % 4 == 0 {
                let noise =
                    "INSERT INTO noise SELECT generate_series(1, 9); SELECT pg_switch_wal();";
                busy.sql(&noise.repeat(2));
                busy.sql("CHECKPOINT;");
            }
            looks += 1;
            (positions(slot)?.0 >= restart + (16 << 20)).then_some(())
        });
    }
    drop(worker);
}
