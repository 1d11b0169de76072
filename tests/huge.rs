//! Transactions and rows larger than memory should have to hold, and what `slot.stream.params` asks
//! for.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::Value;

use crate::harness::{
    database::Database,
    rest::postgres_source,
    servers,
    topics::{self, Follower},
    wait_for,
    worker::{Home, Worker},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// What makes the stream take transactions in progress, which the server then sends early.
const STREAMING: (&str, &str) = ("slot.stream.params", "proto_version=2;streaming=on");

fn database(postgres: &str, name: &str) -> Database {
    let database = Database::create(postgres, name);
    database.sql(&format!(
        "ALTER DATABASE {name} SET logical_decoding_work_mem = '64kB';
         CREATE TABLE t (id int PRIMARY KEY, note text);"
    ));
    database
}

fn wait_streaming(database: &Database, worker: &Worker, name: &str) {
    worker.rest.wait_running(name);
    database.wait_streamed(name);
}

/// How many MiB of memory a worker had at most.
fn peak_mib(worker: &Worker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Files that a worker has open and that have no name any more.
fn nameless_files(worker: &Worker) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", worker.child.id())).unwrap();
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().ends_with("(deleted)")).count()
}

/// Killed among the events of a transaction that was taken while in progress: the server streams it
/// again from its beginning, and the events go on where the stored offset says.
#[test]
fn killed_in_the_middle_of_a_replay() {
    let name = "killed_in_the_middle_of_a_replay";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, "replayed.");
    let database = database(&postgres, "replayed");
    let mut home = Home::new(name, &kafka);
    home.properties.push_str("offset.flush.interval.ms=20\n");
    let memory = ("slot.stream.memory.max.bytes", "262144");
    let config = postgres_source(&database, "replayed", &[STREAMING, memory]);
    let connector = home.connector("replayed", &config);
    let mut worker = home.start(std::slice::from_ref(&connector));
    wait_streaming(&database, &worker, "replayed");
    let rows = 40_000;
    database.sql(&format!(
        "BEGIN;
         INSERT INTO t SELECT n, 'note ' || n FROM generate_series(1, {half}) n;
         SAVEPOINT s;
         INSERT INTO t SELECT -n, 'never' FROM generate_series(1, 5000) n;
         ROLLBACK TO s;
         INSERT INTO t SELECT n, 'note ' || n FROM generate_series({half} + 1, {rows}) n;
         COMMIT;",
        half = rows / 2
    ));
    let mut topic = Follower::new(&kafka, "replayed.public.t");
    let (mut last, mut went_back) = (0, Vec::new());
    let mut read_to = |goal: u64| {
        wait_for(&format!("row {goal}"), PATIENCE, || {
            while last < goal {
                let value = topic.next()?.value.expect("no deletes");
                let event: Value = serde_json::from_slice(&value).unwrap();
                let id = event["after"]["id"].as_u64().expect("no row that was rolled back");
                assert!(id <= last + 1, "{id} after {last}");
                if id <= last {
                    went_back.push(id);
                }
                last = id;
            }
            Some(())
        });
    };
    // Paused among the rows, so that an offset of one of them is stored before the first kill.
    read_to(1);
    worker.rest.call("PUT", "/connectors/replayed/pause", None);
    wait_for("an offset within the transaction", PATIENCE, || {
        let offsets = worker.rest.call("GET", "/connectors/replayed/offsets", None);
        format!("{offsets:?}").contains("INSERT").then_some(())
    });
    worker.kill();
    worker = home.start(std::slice::from_ref(&connector));
    let kills = [rows / 2, rows * 2 / 3];
    for goal in kills {
        read_to(goal);
        worker.kill();
        worker = home.start(std::slice::from_ref(&connector));
    }
    read_to(rows);
    assert!(went_back.len() <= kills.len() + 1, "repeated without a restart: {went_back:?}");
    assert!(went_back.iter().all(|&id| id > 1), "from the beginning: {went_back:?}");
    let streamed = "SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = 'replayed'";
    assert_ne!(database.value(streamed), "0", "the server sent it while in progress");
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, "replayed.");
}

/// 110 MB in one transaction, of which 4 MiB may be in memory.
#[test]
fn memory_of_a_huge_transaction() {
    let name = "memory_of_a_huge_transaction";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, "hugetx.");
    let database = database(&postgres, "hugetx");
    let home = Home::new(name, &kafka);
    let memory = ("slot.stream.memory.max.bytes", "4194304");
    let config = postgres_source(&database, "hugetx", &[STREAMING, memory]);
    let worker = home.start(&[home.connector("hugetx", &config)]);
    wait_streaming(&database, &worker, "hugetx");
    let rows = 60_000;
    database.sql(&format!(
        "INSERT INTO t SELECT n, repeat('x', 1900) FROM generate_series(1, {rows}) n;"
    ));
    let consumer = topics::consumer(&kafka);
    wait_for("all rows", PATIENCE, || {
        (topics::high_watermark(&consumer, "hugetx.public.t") >= rows).then_some(())
    });
    let peak = peak_mib(&worker);
    assert!(peak < 110, "{peak} MiB");
    let streamed =
        "SELECT stream_bytes > 100000000 FROM pg_stat_replication_slots WHERE slot_name = 'hugetx'";
    assert_eq!(database.value(streamed), "t", "the server sent it while in progress");
    wait_for("the end of the files", PATIENCE, || (nameless_files(&worker) == 0).then_some(()));
    let ids: BTreeSet<u64> = topics::read_all(&kafka, "hugetx.")["hugetx.public.t"]
        .iter()
        .map(|record| {
            let key: Value = serde_json::from_slice(record.key.as_ref().expect("a key")).unwrap();
            key["id"].as_u64().expect("an id")
        })
        .collect();
    assert_eq!(ids.len(), rows as usize);
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, "hugetx.");
}

/// Where a transaction can't be kept the task fails and says so, and nothing of it is lost.
#[test]
fn no_room_for_a_transaction_in_progress() {
    let name = "no_room_for_a_transaction_in_progress";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, "noroom.");
    let database = database(&postgres, "noroom");
    let home = Home::new(name, &kafka);
    let directory = home.directory.join("spilled");
    let directory = directory.to_str().expect("a path");
    let room = [
        STREAMING,
        ("slot.stream.memory.max.bytes", "262144"),
        ("slot.stream.spill.directory", directory),
    ];
    let config = postgres_source(&database, "noroom", &room);
    let worker = home.start(&[home.connector("noroom", &config)]);
    wait_streaming(&database, &worker, "noroom");
    let rows = 3_000;
    database.sql(&format!(
        "INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, {rows}) n;"
    ));
    let trace = worker.rest.wait_failed("noroom");
    assert!(trace.contains(directory), "{trace}");
    assert!(trace.contains("make room there"), "{trace}");
    fs::create_dir(directory).unwrap();
    worker.rest.call("POST", "/connectors/noroom/tasks/0/restart", None);
    let consumer = topics::consumer(&kafka);
    wait_for("all rows", PATIENCE, || {
        (topics::high_watermark(&consumer, "noroom.public.t") == rows).then_some(())
    });
    assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "files have no names");
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, "noroom.");
}

/// Rows of 1 MB, 100 in the snapshot and 100 in the stream, with default settings.
#[test]
fn memory_of_wide_rows() {
    let name = "memory_of_wide_rows";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, "wide.");
    let database = database(&postgres, "wide");
    topics::create(&kafka, "wide.public.t", 1, &[("max.message.bytes", "4000000")]);
    let fill = |from: u32| {
        database.sql(&format!(
            "ALTER TABLE t ALTER note SET STORAGE EXTERNAL;
             INSERT INTO t SELECT n, repeat('x', 1000000) FROM generate_series({from}, {from} + 99) n;"
        ));
    };
    fill(1);
    let home = Home::new(name, &kafka);
    let config =
        postgres_source(&database, "wide", &[("producer.override.max.request.size", "4000000")]);
    let worker = home.start(&[home.connector("wide", &config)]);
    let consumer = topics::consumer(&kafka);
    for rows in [100, 200] {
        wait_for(&format!("{rows} rows"), PATIENCE, || {
            (topics::high_watermark(&consumer, "wide.public.t") >= rows).then_some(())
        });
        let peak = peak_mib(&worker);
        assert!(peak < 120, "{peak} MiB after {rows} rows");
        if rows == 100 {
            wait_streaming(&database, &worker, "wide");
            fill(101);
        }
    }
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, "wide.");
}

/// A table with a type whose binary form has no reader is named, before any event of it.
#[test]
fn a_binary_form_that_is_not_read() {
    let name = "a_binary_form_that_is_not_read";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, "unread.");
    let database = database(&postgres, "unread");
    database.sql("CREATE TABLE of_queries (id int PRIMARY KEY, query tsquery);");
    let home = Home::new(name, &kafka);
    let more = [("slot.stream.params", "binary=true"), ("include.unknown.datatypes", "true")];
    let config = postgres_source(&database, "unread", &more);
    let worker = home.start(&[home.connector("unread", &config)]);
    wait_streaming(&database, &worker, "unread");
    database.sql(
        "INSERT INTO t VALUES (1, 'is read');
         INSERT INTO of_queries VALUES (1, 'cat & dog');",
    );
    let trace = worker.rest.wait_failed("unread");
    assert!(trace.contains("table public.of_queries: column query"), "{trace}");
    assert!(trace.contains("leave binary out of slot.stream.params"), "{trace}");
    assert!(!topics::read_all(&kafka, "unread.").contains_key("unread.public.of_queries"));
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, "unread.");
}
