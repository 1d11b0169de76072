//! Rows of a chunk that are changed while it is on its way: the stream's events of them are the newer
//! ones, so the chunk's own are left out, whichever way the time of the chunk is told by.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    database::Database,
    gate::Gate,
    rest::postgres_source,
    servers,
    topics::{self, Follower, Record},
    wait_for,
    worker::Home,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Operation, id and note of an event; a tombstone has no operation.
fn event(record: &Record) -> (String, i64, String) {
    let json = |bytes: &Option<Vec<u8>>| -> Value {
        bytes.as_ref().map_or(Value::Null, |bytes| serde_json::from_slice(bytes).expect("JSON"))
    };
    let (key, value) = (json(&record.key), json(&record.value));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let note = text(&value["after"]["note"]);
    (text(&value["op"]), key["id"].as_i64().expect("an id"), note)
}

/// With these keys, `shut` holds the chunk back once its rows are read and before its time is told.
fn changed_meanwhile(name: &str, more: &[(&str, &str)], shut: impl Fn(&Gate)) {
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, &format!("{name}."));
    let database = Database::create(&postgres, name);
    database.sql(
        "CREATE TABLE signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
         CREATE TABLE t (id int PRIMARY KEY, note text, filler text);
         INSERT INTO t SELECT n, 'first', repeat('x', 1000) FROM generate_series(1, 10) n;",
    );
    let gate = Gate::open(format!("{}:{}", database.host, database.port));
    let fixed = [
        ("database.port", &*gate.port),
        ("snapshot.mode", "no_data"),
        ("signal.data.collection", "public.signal"),
        ("table.include.list", "public.t"),
    ];
    let config = postgres_source(&database, name, &[&fixed[..], more].concat());
    let home = Home::new(name, &kafka);
    let worker = home.start(&[home.connector(name, &config)]);
    database.wait_streamed(name);
    shut(&gate);
    // What was changed before the chunk is no reason to leave its row out.
    database.sql(
        r#"UPDATE t SET note = 'before' WHERE id = 5;
           INSERT INTO signal VALUES ('s', 'execute-snapshot', '{"data-collections": ["public.t"]}');"#,
    );
    wait_for("something to be held back", PATIENCE, || {
        if let Some(status) = worker.rest.status(name) {
            assert_ne!(status["tasks"][0]["state"], "FAILED", "{status}");
        }
        (gate.waiting() > 0).then_some(())
    });
    database.sql(
        "UPDATE t SET note = 'newer' WHERE id = 2;
         DELETE FROM t WHERE id = 3;
         UPDATE t SET id = 40, note = 'moved' WHERE id = 4;",
    );
    let mut topic = Follower::new(&kafka, &format!("{name}.public.t"));
    let mut events = Vec::new();
    let mut read_to = |op: &str, id: i64| {
        wait_for(&format!("{op} {id}, after {events:?}"), PATIENCE, || {
            loop {
                let event = event(&topic.next()?);
                events.push(event.clone());
                if (&*event.0, event.1) == (op, id) {
                    return Some(());
                }
            }
        });
        events.clone()
    };
    read_to("c", 40);
    gate.release();
    let events = read_to("r", 10);
    let mut wanted = vec![
        ("u", 5, "before"),
        ("u", 2, "newer"),
        ("d", 3, ""),
        ("", 3, ""),
        ("d", 4, ""),
        ("", 4, ""),
        ("c", 40, "moved"),
        ("r", 1, "first"),
        ("r", 5, "before"),
    ];
    wanted.extend((6..=10).map(|id| ("r", id, "first")));
    let events: Vec<_> = events.iter().map(|(op, id, note)| (&**op, *id, &**note)).collect();
    assert_eq!(events, wanted);
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, &format!("{name}."));
}

#[test]
fn changed_before_the_second_mark() {
    changed_meanwhile("window_marked", &[], |gate| {
        gate.shut_questions("snapshot-window-close");
    });
}

#[test]
fn changed_before_the_first_mark_is_deleted() {
    let strategy = [("incremental.snapshot.watermarking.strategy", "insert_delete")];
    changed_meanwhile("window_deleted", &strategy, |gate| gate.shut_questions("DELETE FROM"));
}

/// Without marks, the time comes when the stream is where the log was behind the reading. The reading is
/// in the middle of the chunk here, which is of the time at which it began.
#[test]
fn changed_before_a_chunk_without_marks_is_read() {
    changed_meanwhile("window_unmarked", &[("read.only", "true")], |gate| {
        gate.shut_answers("COPY (", 5_000);
    });
}
