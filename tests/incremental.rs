//! Incremental snapshots across workers, by the offsets alone: begun by the peer and finished here, and
//! the other way round; begun here and finished here after `kill -9`.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};

use crate::harness::{
    database::Database,
    rest::{Config, Rest, json_converters, postgres_source},
    servers,
    topics::{self, Record},
    wait_for,
    worker::Home,
};

mod window;

const ROWS: usize = 60;

/// A table with a key of three types, and a table of signals.
fn database(url: &str, name: &str) -> Database {
    let database = Database::create(url, name);
    database.sql(&format!(
        "CREATE TABLE signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
         CREATE TABLE large (a int, b varchar(9), c numeric(9,2), v text, PRIMARY KEY (b, a, c));
         INSERT INTO large SELECT g % 7, 'k' || g, g / 4.0, 'row ' || g FROM generate_series(1, {ROWS}) g;"
    ));
    database
}

fn config(database: &Database, prefix: &str, more: &[(&str, &str)]) -> Config {
    let mut all = vec![
        ("snapshot.mode", "no_data"),
        ("signal.data.collection", "public.signal"),
        ("incremental.snapshot.chunk.size", "10"),
    ];
    all.extend(more);
    let mut config = postgres_source(database, prefix, &all);
    config.extend(json_converters(false));
    config
}

fn records(kafka: &str, prefix: &str) -> Vec<Record> {
    let topic = format!("{prefix}.public.large");
    topics::read_all(kafka, &topic).remove(&topic).unwrap_or_default()
}

/// Waits for so many records of the table.
fn wait(kafka: &str, prefix: &str, count: usize) {
    let topic = format!("{prefix}.public.large");
    let reader = topics::consumer(kafka);
    wait_for(&format!("{count} records in {topic}"), Duration::from_secs(60), || {
        let there = usize::try_from(topics::high_watermark(&reader, &topic)).unwrap_or(0);
        (there >= count).then_some(())
    });
}

/// The stored offset of a connector that is stopped.
fn offset(rest: &Rest, name: &str) -> Value {
    let offsets = rest.call("GET", &format!("/connectors/{name}/offsets"), None);
    offsets["offsets"][0]["offset"].clone()
}

fn distinct(records: &[Record]) -> usize {
    let keys: BTreeSet<_> = records.iter().map(|record| record.key.clone()).collect();
    keys.len()
}

/// The first side reads a chunk and pauses, the second reads the rest from the first's offset.
fn taken_over(name: &str, ours_first: bool) {
    let (Some(postgres), Some(kafka), Some(connect)) =
        (servers::postgres(name), servers::kafka(name), servers::connect(name))
    else {
        return;
    };
    let worker = Home::new(name, &kafka).start(&[]);
    let (ours, peer) = (worker.rest.clone(), Rest { url: connect });
    let (first, second) = if ours_first { (ours, peer) } else { (peer, ours) };
    first.forget(name);
    second.forget(name);
    topics::delete(&kafka, name);
    let database = database(&postgres, name);
    let config = config(&database, name, &[]);
    first.start(name, &config);
    wait_for("the slot", Duration::from_secs(30), || {
        let query = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}'");
        (database.value(&query) == "1").then_some(())
    });
    // In one transaction: the snapshot pauses when its first chunk is sent.
    database.sql(
        r#"BEGIN;
           INSERT INTO signal VALUES ('s', 'execute-snapshot', '{"data-collections": ["public.large"]}');
           INSERT INTO signal VALUES ('p', 'pause-snapshot', '{}');
           COMMIT;"#,
    );
    wait(&kafka, name, 10);
    first.stop(name);
    let begun = offset(&first, name);
    assert!(begun["incremental_snapshot_primary_key"].is_string(), "{begun}");
    assert_eq!(distinct(&records(&kafka, name)), 10);

    second.put(name, &config);
    second.stop(name);
    second.store_offset(name, &begun);
    second.resume(name);
    wait(&kafka, name, ROWS);
    second.stop(name);
    let all = records(&kafka, name);
    assert_eq!((all.len(), distinct(&all)), (ROWS, ROWS), "repeats, or rows that are missing");
    first.forget(name);
    second.forget(name);
    topics::delete(&kafka, name);
}

#[test]
fn begun_by_the_peer_and_finished_here() {
    taken_over("incremental_from_peer", false);
}

#[test]
fn begun_here_and_finished_by_the_peer() {
    taken_over("incremental_to_peer", true);
}

/// The key of a row that lacks columns of its key is the one that the peer's stream makes. (Of rows of
/// a snapshot the peer itself makes keys of the wrong values.)
fn keys_that_rows_lack(name: &str, more: &[(&str, &str)]) {
    let (Some(postgres), Some(kafka), Some(connect)) =
        (servers::postgres(name), servers::kafka(name), servers::connect(name))
    else {
        return;
    };
    let worker = Home::new(name, &kafka).start(&[]);
    let peer = Rest { url: connect };
    let (ours_name, peer_name) = (format!("{name}_ours"), format!("{name}_peer"));
    let sides = [(&worker.rest, &ours_name), (&peer, &peer_name)];
    for (rest, name) in sides {
        rest.forget(name);
        topics::delete(&kafka, name);
    }
    let database = database(&postgres, name);
    // Among the numbers are such that their bytes are a text, and such that they are none.
    database.sql(
        "CREATE TABLE one (id int PRIMARY KEY, v text NOT NULL, w int NOT NULL);
         CREATE TABLE word (id text PRIMARY KEY, v int NOT NULL, w text);
         CREATE TABLE two (a int, b text, v text, w int NOT NULL, PRIMARY KEY (b, a));",
    );
    for (rest, name) in sides {
        let mut all = vec![("incremental.snapshot.chunk.size", "2")];
        all.extend(more);
        rest.start(name, &config(&database, name, &all));
        database.wait_streamed(name);
    }
    database.sql(
        "INSERT INTO one SELECT 126 + g, 'v' || g, g / 4 FROM generate_series(1, 5) g;
         INSERT INTO word SELECT 'k' || g, 126 + g, 'w' || g FROM generate_series(1, 5) g;
         INSERT INTO two SELECT g, 'b' || g % 2, 'v' || g, g FROM generate_series(1, 5) g;",
    );
    // What a row shows, and its key.
    let keys = |name: &str, table: &str, op: &str| -> Vec<(String, String)> {
        let topic = format!("{name}.public.{table}");
        let records = topics::read_all(&kafka, &topic).remove(&topic).unwrap_or_default();
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("bytes")).unwrap();
        let pairs = records.into_iter().filter_map(|record| {
            let value: Value = serde_json::from_str(&text(record.value)).unwrap();
            (value["op"] == op).then(|| (value["after"].to_string(), text(record.key)))
        });
        pairs.collect()
    };
    let asked = [("one", ""), ("word", ""), ("two", ""), ("one", r#", "surrogate-key": "w""#)];
    for (table, surrogate) in asked {
        let before = keys(&ours_name, table, "r").len();
        database.sql(&format!(
            r#"INSERT INTO signal VALUES (gen_random_uuid(), 'execute-snapshot',
                   '{{"data-collections": ["public.{table}"]{surrogate}}}')"#
        ));
        let read = wait_for(&format!("the rows of {table}"), Duration::from_secs(60), || {
            let read = keys(&ours_name, table, "r");
            (read.len() >= before + 5).then(|| read[before..].to_vec())
        });
        let theirs = wait_for(&format!("{table} at the peer"), Duration::from_secs(60), || {
            let streamed = keys(&peer_name, table, "c");
            (streamed.len() >= 5).then_some(streamed)
        });
        let sorted = |mut pairs: Vec<(String, String)>| {
            pairs.sort();
            pairs
        };
        assert_eq!(sorted(read), sorted(theirs), "{table}{surrogate}");
    }
    for (rest, name) in sides {
        rest.wait_running(name);
        rest.forget(name);
        topics::delete(&kafka, name);
    }
}

#[test]
fn the_key_is_left_out_of_its_rows() {
    let excluded = "public.one.id,public.word.id,public.two.b";
    keys_that_rows_lack("incremental_excluded", &[("column.exclude.list", excluded)]);
}

#[test]
fn columns_of_message_key_columns_are_left_out_of_their_rows() {
    let more = [
        ("column.exclude.list", "public.one.v,public.word.v,public.two.v,public.two.a"),
        ("message.key.columns", "public.one:v;public.word:v;public.two:v,w,a"),
    ];
    keys_that_rows_lack("incremental_chosen", &more);
}

/// With `read.only=true`, by a file, and killed in the middle: what was sent last is not lost, and the
/// stream's changes of the same rows are the newer ones.
#[test]
fn killed_in_the_middle() {
    let name = "incremental_killed";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = database(&postgres, name);
    let home = Home::new(name, &kafka);
    let file = std::env::temp_dir().join(format!("{name}.{}", std::process::id()));
    let more = [
        ("read.only", "true"),
        ("signal.enabled.channels", "source,file"),
        ("signal.file", file.to_str().expect("a path in UTF-8")),
        ("signal.poll.interval.ms", "50"),
    ];
    let config = config(&database, name, &more);
    let worker = home.start(&[]);
    worker.rest.start(name, &config);
    wait_for("the slot", Duration::from_secs(30), || {
        let query = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}'");
        (database.value(&query) == "1").then_some(())
    });
    let signal = |id: &str, kind: &str| json!({"id": id, "type": kind, "data": {"data-collections": ["public.large"]}});
    let draft = file.with_extension("draft");
    let lines = format!("{}\n{}\n", signal("s", "execute-snapshot"), signal("p", "pause-snapshot"));
    fs::write(&draft, lines).unwrap();
    fs::rename(&draft, &file).unwrap();
    wait(&kafka, name, 10);
    database.sql("UPDATE large SET v = 'changed'");
    wait(&kafka, name, 10 + ROWS);
    wait_for("a stored offset", Duration::from_secs(30), || {
        let offset = offset(&worker.rest, name);
        offset["incremental_snapshot_primary_key"].is_string().then_some(())
    });
    worker.kill();
    let worker = home.start(&[]);
    worker.rest.start(name, &config);
    let read = |record: &&Record| {
        let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        value["op"] == "r"
    };
    // The stream's changes may come again, so their number says nothing.
    let all = wait_for("the rest of the rows", Duration::from_secs(60), || {
        let all = records(&kafka, name);
        let rows: Vec<Record> = all.iter().filter(read).cloned().collect();
        (distinct(&rows) == ROWS).then_some(all)
    });
    let read: Vec<Record> = all.iter().filter(read).cloned().collect();
    assert!(read.len() < ROWS + 20, "{} rows were read: not resumed, but restarted", read.len());
    let mut last = std::collections::BTreeMap::new();
    for record in &all {
        let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        last.insert(record.key.clone(), value["after"]["v"].clone());
    }
    assert!(last.values().all(|v| v == "changed") && last.len() == ROWS);
    worker.rest.forget(name);
    topics::delete(&kafka, name);
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
    fs::remove_file(file).unwrap();
}
