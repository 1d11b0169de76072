//! The PostgreSQL versions 14 to 18 say the same: one script on a server of each, and their events
//! compared with those of the main server, which other tests compare with the peer's.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::harness::{
    database::Database,
    rest::{json_converters, postgres_source},
    servers::{self, AtEnd, Script},
    side::{self, MARKER, Side},
    topics::{self, Record},
    worker::Home,
};

/// Versions beside the main server's, with their instance of the harness.
const OTHERS: [(&str, Script); 4] = [
    ("14", Script::new("versions-14", &[("PG_MAJOR", "14"), ("PG_PORT", "25814")])),
    ("16", Script::new("versions-16", &[("PG_MAJOR", "16"), ("PG_PORT", "25816")])),
    ("17", Script::new("versions-17", &[("PG_MAJOR", "17"), ("PG_PORT", "25817")])),
    ("18", Script::new("versions-18", &[("PG_MAJOR", "18"), ("PG_PORT", "25818")])),
];

/// What is there before the connectors are.
const BEFORE: &str = include_str!("versions/before.sql");
/// What happens while they stream.
const MEANWHILE: &str = include_str!("versions/meanwhile.sql");
/// How many records each server has of both, beside the marker's.
const RECORDS: usize = 38;

#[test]
fn all_versions_say_the_same() {
    let test = "all_versions_say_the_same";
    let (Some(main), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else { return };
    topics::delete(&kafka, "versions_");
    let mut places: Vec<(&str, String, Option<AtEnd>)> = vec![("main", main, None)];
    // The first start of each makes a cluster, which takes a second or two: side by side.
    let starts = OTHERS
        .map(|(version, own)| (version, own, std::thread::spawn(move || own.run("pg-start", ""))));
    for (version, own, starting) in starts {
        let address = starting.join().expect("a server");
        let url = format!("postgres://postgres@{address}/postgres");
        places.push((version, url, Some(own.at_end("pg-stop"))));
    }
    let home = Home::new(test, &kafka);
    let worker = home.start(&[]);
    let mut sides = Vec::new();
    for (version, url, _stopped) in &places {
        let database = Database::create(url, "versions");
        let number = database.value("SHOW server_version_num");
        assert!(*version == "main" || number.starts_with(version), "{version} is {number}");
        side::prepare(&database);
        database.sql(BEFORE);
        let prefix = format!("versions_{version}");
        let mut config = postgres_source(
            &database,
            &prefix,
            &[
                ("slot.name", "versions"),
                ("publication.name", "versions"),
                ("skipped.operations", "none"),
                ("include.unknown.datatypes", "true"),
            ],
        );
        config.extend(json_converters(true));
        let side = Side::start(&worker.rest, &kafka, &prefix, &config);
        sides.push((*version, database, side, config));
    }
    for (_, database, ..) in &sides {
        database.sql(MEANWHILE);
        side::mark(database, 1);
    }
    sides.iter_mut().for_each(|(.., side, _)| side.wait(1));

    let told = |prefix: &str| -> BTreeMap<String, Vec<Value>> {
        let all = topics::read_all(&kafka, &format!("{prefix}.")).into_iter();
        all.filter(|(topic, _)| !topic.ends_with(MARKER))
            .map(|(topic, records)| {
                let records = records.iter().map(|record| comparable(record, prefix)).collect();
                (topic.replace(prefix, "<prefix>"), records)
            })
            .collect()
    };
    let of_main = told("versions_main");
    let count: usize = of_main.values().map(Vec::len).sum();
    assert_eq!(count, RECORDS, "records of the main server: {:?}", of_main.keys());
    for (version, ..) in &sides[1..] {
        let here = told(&format!("versions_{version}"));
        assert_eq!(
            here.keys().collect::<Vec<_>>(),
            of_main.keys().collect::<Vec<_>>(),
            "topics of {version}"
        );
        for (topic, records) in &here {
            let main = &of_main[topic];
            assert_eq!(records.len(), main.len(), "{version}: records of {topic}");
            for (index, (here, main)) in records.iter().zip(main).enumerate() {
                assert_eq!(here, main, "{version}: {topic} #{index}");
            }
        }
    }
    origins(&kafka, &worker.rest, &mut sides);
    drop(worker);
    topics::delete(&kafka, "versions_");
}

/// `origin=none` leaves out what was written under a replication origin. It is an option of PostgreSQL
/// 16: an older server refuses it, and the task says so.
fn origins(
    kafka: &str,
    rest: &crate::harness::rest::Rest,
    sides: &mut [(&str, Database, Side, crate::harness::rest::Config)],
) {
    for (version, database, side, config) in sides {
        config.insert("slot.stream.params".into(), "origin=none".into());
        rest.put(&side.prefix, config);
        if matches!(*version, "main" | "14") {
            let trace = rest.wait_failed(&side.prefix);
            assert!(trace.contains("origin"), "{version}: {trace}");
            continue;
        }
        database.sql(
            "SELECT pg_replication_origin_create('elsewhere')
              WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = 'elsewhere');
             SELECT pg_replication_origin_session_setup('elsewhere');
             INSERT INTO plain VALUES (900, 'from elsewhere');
             SELECT pg_replication_origin_session_reset();
             INSERT INTO plain VALUES (901, 'from here');",
        );
        side::mark(database, 2);
        side.wait(2);
        let topic = format!("{}.public.plain", side.prefix);
        let ids: Vec<i64> = topics::read_all(kafka, &topic)[&topic]
            .iter()
            .filter_map(|record| payload(&record.value)?["after"]["id"].as_i64())
            .filter(|id| *id >= 900)
            .collect();
        assert_eq!(ids, [901], "{version}");
    }
}

fn payload(bytes: &Option<Vec<u8>>) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(bytes.as_ref()?).expect("JSON");
    Some(value["payload"].take())
}

/// A record without what two servers may differ in: positions, transactions and times.
fn comparable(record: &Record, prefix: &str) -> Value {
    let part = |bytes: &Option<Vec<u8>>| -> Value {
        let Some(bytes) = bytes else { return Value::Null };
        let text = String::from_utf8(bytes.clone()).expect("UTF-8").replace(prefix, "<prefix>");
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        let event = &mut value["payload"];
        without(event.as_object_mut(), &["ts_ms", "ts_us", "ts_ns"]);
        if let Some(source) = event.get_mut("source") {
            let own = ["ts_ms", "ts_us", "ts_ns", "lsn", "txId", "sequence"];
            without(source.as_object_mut(), &own);
        }
        value
    };
    let headers: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    serde_json::json!([part(&record.key), part(&record.value), headers])
}

fn without(object: Option<&mut Map<String, Value>>, names: &[&str]) {
    if let Some(object) = object {
        object.retain(|name, _| !names.contains(&name.as_str()));
    }
}
