//! Values that an update does not log, read again by ReselectColumnsPostProcessor, where the peer is
//! no measure: Debezium has no values in binary form.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    harness::{
        database::Database, rest::postgres_source, servers, side, topics, topics::Follower,
        wait_for, worker::Home,
    },
    slots::wait_logged,
};

/// Types of a key, each with a value.
const KEYS: &[(&str, &str)] = &[
    ("smallint", "-1"),
    ("bigint", "9223372036854775807"),
    ("oid", "4294967295"),
    ("double precision", "0.1"),
    ("numeric", "12.300"),
    ("numeric(6,2)", "1.5"),
    ("boolean", "true"),
    ("text", "ä€😀"),
    ("char(5)", "c"),
    ("\"char\"", "q"),
    ("varchar(9)", "v"),
    ("bytea", "\\x00ff"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("date", "0044-03-15 BC"),
    ("timestamp(3)", "infinity"),
    ("timestamptz", "2024-02-29 12:34:56.789012+05"),
    ("timetz", "12:34:56+02"),
    ("interval", "1 year 2 days 03:00"),
    ("inet", "10.0.0.1/24"),
    ("bit(11)", "00000000101"),
    ("jsonb", "{\"a\": [1]}"),
    ("int4range", "[1,10)"),
    ("\"a schema\".\"Mood\"", "it's ok"),
    ("posint", "7"),
];

/// Rows are found by keys of all types, in the form that the stream has them in.
#[test]
fn by_keys_in_binary_form() {
    let name = "reselect_binary";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, &format!("{name}."));
    let database = Database::create(&postgres, name);
    side::prepare(&database);
    let mut tables = String::from(
        "CREATE SCHEMA \"a schema\";
         CREATE TYPE \"a schema\".\"Mood\" AS ENUM ('it''s ok', 'sad');
         CREATE DOMAIN posint AS int CHECK (VALUE > 0);
         CREATE TABLE two (a bigint, note text, big text, b varchar(9), PRIMARY KEY (b, a));
         INSERT INTO two VALUES (1, 'n', repeat('2', 4000), 'b');
         CREATE TABLE list (id int[] PRIMARY KEY, note text, big text);
         INSERT INTO list VALUES ('{1}', 'n', repeat('l', 4000));",
    );
    for (number, (kind, value)) in KEYS.iter().enumerate() {
        tables += &format!(
            "CREATE TABLE t{number} (id {kind} PRIMARY KEY, note text, big text);
             INSERT INTO t{number} VALUES ('{}', 'n', repeat('{number}', 4000));",
            value.replace('\'', "''")
        );
    }
    // Out of line, so that an update of the note does not log it.
    tables += "DO $$ DECLARE t text; BEGIN
        FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND relkind = 'r' AND relname <> 'zz_marker'
        LOOP EXECUTE format('ALTER TABLE %I ALTER big SET STORAGE EXTERNAL', t); END LOOP;
      END $$; UPDATE two SET big = big || ''; UPDATE list SET big = big || '';";
    for number in 0..KEYS.len() {
        tables += &format!("UPDATE t{number} SET big = big || '';");
    }
    database.sql(&tables);
    let home = Home::new(name, &kafka);
    let worker = home.start(&[]);
    let config = [
        ("slot.stream.params", "binary=true"),
        ("snapshot.mode", "no_data"),
        ("post.processors", "again"),
        ("again.type", "io.debezium.processors.reselect.ReselectColumnsPostProcessor"),
        ("again.reselect.null.values", "false"),
    ];
    worker.rest.start(name, &postgres_source(&database, name, &config));
    database.wait_streamed(name);
    let mut updates = String::from("UPDATE two SET note = 'x'; UPDATE list SET note = 'x';");
    for number in 0..KEYS.len() {
        updates += &format!("UPDATE t{number} SET note = 'x';");
    }
    database.sql(&updates);
    side::mark(&database, 1);
    let mut marker = Follower::new(&kafka, &format!("{name}.public.{}", side::MARKER));
    wait_for("the marker", Duration::from_secs(60), || marker.next());
    let mut shown = BTreeMap::new();
    wait_for("an event of each table", Duration::from_secs(30), || {
        for (topic, records) in topics::read_all(&kafka, &format!("{name}.public.")) {
            let value = records.first().and_then(|record| record.value.as_deref())?;
            let event: Value = serde_json::from_slice(value).expect("an event");
            let event = event.get("payload").unwrap_or(&event);
            let table = topic.rsplit('.').next().expect("a table").to_owned();
            shown.insert(table, event["after"]["big"].as_str().unwrap_or("none").to_owned());
        }
        (shown.len() == KEYS.len() + 3).then_some(())
    });
    for (number, (kind, _)) in KEYS.iter().enumerate() {
        let big = &shown[&format!("t{number}")];
        assert!(*big == number.to_string().repeat(4000), "key of {kind}: {big:.30}…");
    }
    assert!(shown["two"] == "2".repeat(4000), "{:.30}…", shown["two"]);
    // There is no array of arrays to ask with.
    assert_eq!(shown["list"], "__debezium_unavailable_value");
    wait_logged(&home, &["columns of table public.list", "column id", "take binary out"]);
    drop(worker);
    topics::delete(&kafka, &format!("{name}."));
}
