//! A worker ends in the middle of one large transaction, ordered or by `kill -9`, and the next one goes
//! on in the middle of it: ours after the JVM's, the JVM's after ours, each twice.
//!
//! The database's answers stop after so many bytes of the stream, so what a worker has had when it ends
//! is part of the transaction whatever the machine's pace. Rows come one to a log position, and by COPY
//! many to one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{PATIENCE, Process, SETTINGS};
use crate::harness::{
    database::Database,
    gate::Gate,
    jvm::Jvm,
    rest::{Rest, json_converters, postgres_source},
    servers, topics, wait_for,
    worker::Home,
};

const NAME: &str = "takeover_transaction";

/// Rows of the transaction: two thirds of them by COPY, into two tables by turns.
const ROWS: u64 = 24_000;

/// A row takes at least so many bytes of the stream.
const ROW_BYTES: u64 = 40;

/// An event of the transaction.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    table: String,
    id: u64,
    lsn: u64,
    /// Its place in the transaction, and among the events of its table.
    order: (u64, u64),
}

/// What is in the topics, and the offset stored last.
#[derive(Default)]
struct Found {
    /// By table, as they came.
    events: BTreeMap<String, Vec<Event>>,
    snapshot: usize,
    ends: Vec<Value>,
    offset: Value,
}

fn look(kafka: &str) -> Found {
    let mut found = Found::default();
    for (topic, records) in topics::read_all(kafka, NAME) {
        for record in records {
            let value: Value = serde_json::from_slice(&record.value.expect("a value")).unwrap();
            if topic == format!("{NAME}-offsets") {
                found.offset = value;
            } else if topic == format!("{NAME}_source.transaction") {
                found.ends.extend(Some(value).filter(|value| value["status"] == "END"));
            } else if let Some(table) = topic.strip_prefix(&format!("{NAME}_source.public.")) {
                if value["op"] == "r" {
                    found.snapshot += 1;
                    continue;
                }
                assert_eq!(value["op"], "c", "{value}");
                let number = |value: &Value| value.as_u64().expect("a number");
                let transaction = &value["transaction"];
                let order = ["total_order", "data_collection_order"];
                let [total, of_table] = order.map(|field| number(&transaction[field]));
                found.events.entry(table.to_owned()).or_default().push(Event {
                    table: table.to_owned(),
                    id: number(&value["after"]["id"]),
                    lsn: number(&value["source"]["lsn"]),
                    order: (total, of_table),
                });
            }
        }
    }
    found
}

impl Found {
    fn count(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }

    fn distinct(&self) -> BTreeSet<u64> {
        self.events.values().flatten().map(|event| event.id).collect()
    }

    /// How many events of the transaction the stored offset says are done; `None` outside of it.
    fn done(&self) -> Option<u64> {
        let offset = &self.offset;
        let counts = offset.as_object()?.iter();
        let counts =
            counts.filter(|(field, _)| field.starts_with("transaction_data_collection_order_"));
        let done: u64 = counts.filter_map(|(_, count)| count.as_u64()).sum();
        (offset["messageType"] == "INSERT" && done > 0).then_some(done)
    }
}

/// That what came after `before` goes on behind its stored offset. How many events came again.
fn repeats(before: &Found, after: &Found) -> usize {
    let done = before.done().expect("an offset in the middle of the transaction");
    let known = before.distinct();
    let mut again = 0;
    let mut first = u64::MAX;
    for (table, events) in &after.events {
        let had = before.events.get(table).map_or(0, Vec::len);
        for event in &events[had..] {
            assert!(event.order.0 > done, "{event:?} came again, {done} were stored as done");
            first = first.min(event.order.0);
            again += usize::from(known.contains(&event.id));
        }
    }
    assert_eq!(first, done + 1, "it goes on right behind what is stored");
    again
}

#[test]
fn a_transaction_changes_hands_in_the_middle() {
    let (Some(postgres), Some(kafka), Some(_)) =
        (servers::postgres(NAME), servers::kafka(NAME), servers::connect(NAME))
    else {
        return;
    };
    topics::delete(&kafka, NAME);
    let database = Database::create(&postgres, NAME);
    database.sql(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
         INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);",
    );
    let gate = Gate::open(format!("{}:{}", database.host, database.port));
    let source = format!("{NAME}_source");
    let more = [
        ("database.port", &*gate.port),
        ("provide.transaction.metadata", "true"),
        ("max.batch.size", "256"),
        ("max.queue.size", "512"),
        ("slot.max.retries", "60"),
        ("slot.retry.delay.ms", "500"),
    ];
    let mut config = postgres_source(&database, &source, &more);
    config.extend(json_converters(false));
    let settings = SETTINGS.replace("flush.interval.ms=1000", "flush.interval.ms=100");
    let jvm = Jvm::new("takeover-transaction-jvm", 28_140, &kafka, NAME, &settings);
    let mut home = Home::of_group(NAME, &kafka, NAME);
    home.properties.push_str(&settings.replace(';', "\n"));
    let begin = |jvms: bool| match jvms {
        true => Process::Jvm(jvm.start()),
        false => Process::Own(home.start(&[])),
    };

    let mut jvms = true;
    let mut process = begin(jvms);
    process.rest().start(&source, &config);
    database.wait_streamed(&source);
    gate.shut_answers("START_REPLICATION", ROWS / 6 * ROW_BYTES);
    let part = ROWS / 12;
    let mut sql = String::from("BEGIN;\n");
    // Parts of the transaction: rows one by one, and by COPY.
    for from in (0..ROWS).step_by(part as usize) {
        let (first, last) = (from + 1, from + part);
        sql.push_str(&match from / part % 3 {
            0 => format!("INSERT INTO a SELECT generate_series({first}, {last});\n"),
            1 => format!("COPY b FROM PROGRAM 'seq {first} {last}';\n"),
            _ => format!("COPY a FROM PROGRAM 'seq {first} {last}';\n"),
        });
    }
    sql.push_str("COMMIT;");
    database.sql(&sql);

    let mut before: Option<Found> = None;
    for (how, share) in [("-TERM", 2), ("-TERM", 3), ("-KILL", 4), ("-KILL", 5)] {
        let known = before.as_ref().and_then(Found::done).unwrap_or(0);
        let found = wait_for("an offset in the middle of the transaction", PATIENCE, || {
            running(&process.rest(), &source);
            let found = look(&kafka);
            (found.done().is_some_and(|done| done > known)).then_some(found)
        });
        // More of it, of which a killed worker stores what it has come to.
        gate.shut_answers("START_REPLICATION", ROWS * share / 6 * ROW_BYTES);
        let more = found.count() + part as usize / 2;
        wait_for("more events", PATIENCE, || (look(&kafka).count() >= more).then_some(()));
        process.end(how);
        let found = settled(&kafka);
        assert!(found.ends.is_empty(), "the transaction has come whole: {:?}", found.ends);
        if let Some(before) = &before {
            let again = repeats(before, &found);
            eprintln!("{NAME}: {again} of {} events again", found.count());
        }
        let next = if jvms { "ours" } else { "the JVM" };
        eprintln!(
            "{NAME}: ended by {how} with {} events there and {} stored; {next} goes on",
            found.distinct().len(),
            found.done().expect("an offset in the middle of the transaction")
        );
        before = Some(found);
        jvms = !jvms;
        process = begin(jvms);
    }
    gate.release();
    wait_for("the end of the transaction", PATIENCE, || {
        running(&process.rest(), &source);
        (!look(&kafka).ends.is_empty()).then_some(())
    });
    let found = settled(&kafka);
    let again = repeats(before.as_ref().expect("the last round"), &found);
    eprintln!("{NAME}: {again} of {} events again", found.count());

    assert_eq!(found.snapshot, 2, "rows are read once");
    assert_eq!(found.distinct(), (1..=ROWS).collect());
    // Whoever sends an event numbers it alike.
    let mut numbered: BTreeMap<u64, &Event> = BTreeMap::new();
    for event in found.events.values().flatten() {
        let first = *numbered.entry(event.order.0).or_insert(event);
        assert_eq!(first, event, "the same place of the transaction");
        assert_eq!(event.order.0, event.id, "in the order of the transaction");
    }
    assert_eq!(found.ends.len(), 1, "{:?}", found.ends);
    assert_eq!(found.ends[0]["event_count"], ROWS, "{}", found.ends[0]);
    let rest = process.rest();
    rest.call("DELETE", &format!("/connectors/{source}"), None);
    process.end("-TERM");
    topics::delete(&kafka, NAME);
}

/// A task that has failed says why.
fn running(rest: &Rest, name: &str) {
    let Some(status) = rest.status(name) else { return };
    for task in status["tasks"].as_array().into_iter().flatten() {
        assert_ne!(task["state"], "FAILED", "{}", task["trace"].as_str().unwrap_or("?"));
    }
}

/// What there is once nothing is on its way any more.
fn settled(kafka: &str) -> Found {
    let mut before = usize::MAX;
    wait_for("the last records of a worker that has ended", PATIENCE, || {
        let found = look(kafka);
        (std::mem::replace(&mut before, found.count()) == found.count()).then_some(found)
    })
}
