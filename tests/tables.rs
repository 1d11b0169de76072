//! Tables that come to a connector after its start: by a longer include list, made while it runs or
//! does not, renamed into the filters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use crate::harness::{
    database::Database,
    random::Random,
    rest::{Config, Rest, json_converters, postgres_source},
    servers, topics, wait_for,
    worker::{Home, Worker},
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Event {
    table: String,
    op: String,
    key: Value,
    after: Value,
}

struct Scene {
    name: String,
    kafka: String,
    database: Arc<Database>,
    home: Home,
    user: &'static str,
}

impl Scene {
    fn new(test: &str, tables: &str) -> Option<Self> {
        let (Some(postgres), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else {
            return None;
        };
        let name = format!("tables_{test}");
        topics::delete(&kafka, &format!("{name}."));
        let database = Arc::new(Database::create(&postgres, &name));
        database.sql(tables);
        database.sql("CREATE TABLE a (id int PRIMARY KEY, v bigint); INSERT INTO a VALUES (0, 0);");
        let mut home = Home::new(&name, &kafka);
        home.properties.push_str("offset.flush.interval.ms=20\n");
        Some(Self { name, kafka, database, home, user: "postgres" })
    }

    /// A connector of these tables of the schema public.
    fn config(&self, tables: &str, more: &[(&str, &str)]) -> Config {
        let list: Vec<String> =
            tables.split(' ').map(|table| format!("public\\.{table}")).collect();
        let list = list.join(",");
        let mut all = vec![
            ("table.include.list", list.as_str()),
            ("publication.autocreate.mode", "filtered"),
            ("database.user", self.user),
        ];
        all.extend(more);
        let mut config = postgres_source(&self.database, &self.name, &all);
        config.extend(json_converters(false));
        config
    }

    fn start(&self, tables: &str, more: &[(&str, &str)]) -> Worker {
        let worker = self.home.start(&[]);
        worker.rest.start(&self.name, &self.config(tables, more));
        self.database.wait_streamed(&self.name);
        worker
    }

    fn events(&self) -> Vec<Event> {
        let prefix = format!("{}.public.", self.name);
        let mut events = Vec::new();
        topics::for_each(&self.kafka, &prefix, |topic, record| {
            let Some(value) = record.value else { return };
            let event: Value = serde_json::from_slice(&value).unwrap();
            let key = record.key.map_or(Value::Null, |key| serde_json::from_slice(&key).unwrap());
            events.push(Event {
                table: topic.strip_prefix(&prefix).unwrap().to_owned(),
                op: event["op"].as_str().unwrap().to_owned(),
                key,
                after: event["after"].clone(),
            });
        });
        events
    }

    /// Waits for a row that is written to `a` now: what was committed before it is in the topics.
    fn drained(&self) {
        let id = self.database.value("INSERT INTO a SELECT max(id) + 1, -1 FROM a RETURNING id");
        let id: i64 = id.parse().expect("the new row's number");
        wait_for("the newest row of a", PATIENCE, || {
            let events = self.events();
            let mut of_a = events.iter().filter(|event| event.table == "a");
            of_a.any(|event| event.key["id"] == id).then_some(())
        });
    }

    /// Waits until a table counts as known in the stored offset.
    fn wait_known(&self, rest: &Rest, table: &str) {
        let oid = self.oid(table);
        wait_for(&format!("{table} to be known"), PATIENCE, || {
            known(&self.offset(rest)).contains(&oid).then_some(())
        });
    }

    fn oid(&self, table: &str) -> u64 {
        self.database.value(&format!("SELECT '{table}'::regclass::oid::int8")).parse().unwrap()
    }

    fn offset(&self, rest: &Rest) -> Value {
        let answer = rest.call("GET", &format!("/connectors/{}/offsets", self.name), None);
        answer["offsets"][0]["offset"].clone()
    }

    fn published(&self) -> Vec<String> {
        let name = &self.name;
        self.database.query(&format!(
            "SELECT tablename FROM pg_publication_tables WHERE pubname = '{name}' ORDER BY 1"
        ))
    }

    /// Asserts that the last event of each key of a table leaves just what the table holds.
    fn assert_rebuilt(&self, table: &str) {
        let mut rebuilt = BTreeMap::new();
        for event in self.events().iter().filter(|event| event.table == table) {
            match event.op.as_str() {
                "d" => rebuilt.remove(&event.key.to_string()),
                _ => rebuilt.insert(event.key.to_string(), event.after.clone()),
            };
        }
        let mut rows: Vec<String> = rebuilt.into_values().map(|row| row.to_string()).collect();
        rows.sort();
        let there = self.database.query(&format!("SELECT to_json(t) FROM {table} t"));
        let mut there: Vec<String> = there
            .iter()
            .map(|row| serde_json::from_str::<Value>(row).unwrap().to_string())
            .collect();
        there.sort();
        assert_eq!(rows, there, "table {table}\n{}", self.home.log());
    }

    fn count(&self, table: &str, op: &str) -> usize {
        self.events().iter().filter(|event| event.table == table && event.op == op).count()
    }
}

/// The tables that an offset's list has.
fn known(offset: &Value) -> BTreeSet<u64> {
    let Some(text) = offset["riverrun_tables"].as_str() else { return BTreeSet::new() };
    let list: Value = serde_json::from_str(text).unwrap();
    let bytes = base64(list["tables"].as_str().unwrap());
    let (mut ids, mut id, mut difference, mut shift) = (BTreeSet::new(), 0, 0, 0);
    for byte in bytes {
        difference |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            id += difference;
            ids.insert(id);
            (difference, shift) = (0, 0);
        }
    }
    ids
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in text.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit).expect("a digit");
        bits = (bits << 6 | u32::try_from(value).unwrap()) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}

/// A transaction that is open for as long as the test wants.
struct Open(Child);

impl Open {
    fn begin(database: &Database, statement: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-U", "postgres", "-h", &database.host, "-p", &database.port])
            .args(["-d", &database.name])
            .stdin(Stdio::piped())
            .spawn()
            .expect("psql");
        let stdin = child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "BEGIN; {statement};").unwrap();
        stdin.flush().unwrap();
        let open = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND state = 'idle in transaction'
                       AND backend_xid IS NOT NULL";
        wait_for("an open transaction", PATIENCE, || (database.value(open) == "1").then_some(()));
        Self(child)
    }

    fn commit(mut self) {
        let mut stdin = self.0.stdin.take().expect("a pipe");
        writeln!(stdin, "COMMIT;").unwrap();
        drop(stdin);
        assert!(self.0.wait().expect("psql").success());
    }
}

/// Changes to all tables, until it is told to end.
fn load(database: Arc<Database>, seed: u64) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let end = Arc::new(AtomicBool::new(false));
    let ended = end.clone();
    let handle = thread::spawn(move || {
        let random = &mut Random::new(seed);
        while !ended.load(Ordering::Relaxed) {
            let mut script = String::new();
            for _ in 0..20 {
                let id = random.between(1, 600);
                let statement = match random.between(0, 9) {
                    0..=3 => format!("UPDATE b SET v = nextval('s') WHERE id = {id}"),
                    4 => format!("DELETE FROM b WHERE id = {id}"),
                    5..=6 => format!(
                        "INSERT INTO b VALUES ({id}, 'k' || {id}, nextval('s')) ON CONFLICT DO NOTHING"
                    ),
                    7 => "INSERT INTO c VALUES (nextval('s'))".to_owned(),
                    _ => format!(
                        "INSERT INTO a VALUES ({}, nextval('s')) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
                        random.between(1, 50)
                    ),
                };
                script.push_str(&statement);
                script.push_str(";\n");
            }
            let random_block = random.chance(50);
            database.sql(&if random_block { format!("BEGIN; {script} COMMIT;") } else { script });
        }
    });
    (end, handle)
}

/// One table with a key of two columns and one without any come to the list while all are written to.
/// What is rebuilt from the topics is what is in the database, and no row goes back to an older state.
#[test]
fn the_include_list_is_changed_under_load() {
    let Some(scene) = Scene::new(
        "changed",
        "CREATE SEQUENCE s;
         CREATE TABLE b (id int, k text, v bigint, PRIMARY KEY (k, id));
         INSERT INTO b SELECT g, 'k' || g, nextval('s') FROM generate_series(1, 500) g;
         CREATE TABLE c (n bigint);
         INSERT INTO c SELECT nextval('s') FROM generate_series(1, 300);",
    ) else {
        return;
    };
    let signals = scene.home.directory.join("signals");
    let more = [
        ("incremental.snapshot.chunk.size", "20"),
        ("signal.enabled.channels", "file"),
        ("signal.file", signals.to_str().expect("a path in UTF-8")),
        ("signal.poll.interval.ms", "20"),
    ];
    let worker = scene.start("a", &more);
    let (end, writer) = load(scene.database.clone(), Random::seed("changed"));
    scene.drained();
    assert_eq!(scene.count("b", "r") + scene.count("b", "u"), 0);
    // Neither what it has written nor its commit is in what is published.
    let open = Open::begin(&scene.database, "INSERT INTO b VALUES (-1, 'open', 0)");
    worker.rest.put(&scene.name, &scene.config("a b c", &more));
    wait_for("all tables in the publication", PATIENCE, || {
        (scene.published() == ["a", "b", "c"]).then_some(())
    });
    scene.database.wait_streamed(&scene.name);
    // The other tables go on meanwhile, whatever signals come.
    let log = r#"{"id": "l", "type": "log", "data": {"message": "a signal has come"}}"#;
    // A file that is there is whole.
    let draft = signals.with_extension("draft");
    fs::write(&draft, log).unwrap();
    fs::rename(&draft, &signals).unwrap();
    wait_for("the signal", PATIENCE, || {
        scene.home.log().contains("a signal has come").then_some(())
    });
    scene.drained();
    open.commit();
    scene.wait_known(&worker.rest, "b");
    scene.wait_known(&worker.rest, "c");
    scene.drained();
    end.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    scene.drained();

    scene.assert_rebuilt("a");
    scene.assert_rebuilt("b");
    let events = scene.events();
    let mut newest = BTreeMap::new();
    for event in events.iter().filter(|event| event.table == "b" && event.op != "d") {
        let version = event.after["v"].as_i64().unwrap();
        let before = newest.insert(event.key.to_string(), version).unwrap_or(-1);
        assert!(before <= version, "{} goes from {before} back to {version}", event.key);
    }
    let sent: BTreeSet<String> = events
        .iter()
        .filter(|event| event.table == "c")
        .map(|event| event.after["n"].to_string())
        .collect();
    let there: BTreeSet<String> = scene.database.query("SELECT n FROM c").into_iter().collect();
    assert_eq!(sent, there);
    assert!(scene.count("b", "r") >= 300 && scene.count("c", "r") >= 300);
    // Once is enough.
    let read = scene.count("b", "r") + scene.count("c", "r");
    worker.rest.stop(&scene.name);
    worker.rest.resume(&scene.name);
    scene.database.wait_streamed(&scene.name);
    scene.drained();
    assert_eq!(scene.count("b", "r") + scene.count("c", "r"), read);
}

/// The rows of a new table that lack their key have the keys that the stream makes.
#[test]
fn a_new_table_whose_rows_lack_their_key() {
    let Some(scene) = Scene::new(
        "lacking",
        "CREATE TABLE b (id int PRIMARY KEY, v text);
         INSERT INTO b SELECT 126 + g, 'v' || g FROM generate_series(1, 5) g;",
    ) else {
        return;
    };
    let more = [("incremental.snapshot.chunk.size", "2"), ("column.exclude.list", "public.b.id")];
    let worker = scene.start("a", &more);
    scene.drained();
    worker.rest.put(&scene.name, &scene.config("a b", &more));
    scene.wait_known(&worker.rest, "b");
    scene.database.sql("UPDATE b SET v = v");
    scene.drained();
    let rows = |op: &str| -> Vec<(String, String)> {
        let events = scene.events();
        let of_b = events.iter().filter(|event| event.table == "b" && event.op == op);
        of_b.map(|event| (event.key.to_string(), event.after.to_string())).collect()
    };
    assert_eq!(rows("r").len(), 5, "{}", scene.home.log());
    assert_eq!(rows("r"), rows("u"));
}

/// A stop-snapshot that names no table is about what signals asked for: new tables are read all the
/// same. One that is named is not, until the next start.
#[test]
fn a_snapshot_is_stopped_while_new_tables_are_read() {
    let Some(scene) = Scene::new(
        "stopped",
        "CREATE TABLE signal (id varchar(64) PRIMARY KEY, type varchar(32), data text);
         CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT g FROM generate_series(1, 5) g;
         CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c SELECT g FROM generate_series(1, 5) g;",
    ) else {
        return;
    };
    let more =
        [("incremental.snapshot.chunk.size", "2"), ("signal.data.collection", "public.signal")];
    let worker = scene.start("a", &more);
    scene.drained();
    let stop = |tables: &str, table: &str, data: &str| {
        // It is not read before this ends.
        let open = Open::begin(&scene.database, &format!("INSERT INTO {table} VALUES (0)"));
        worker.rest.put(&scene.name, &scene.config(tables, &more));
        wait_for("the table in the publication", PATIENCE, || {
            scene.published().contains(&table.to_owned()).then_some(())
        });
        scene.database.wait_streamed(&scene.name);
        scene.database.sql(&format!(
            "INSERT INTO signal VALUES (gen_random_uuid(), 'stop-snapshot', '{data}')"
        ));
        scene.drained();
        open.commit();
    };
    stop("a b", "b", "{}");
    scene.wait_known(&worker.rest, "b");
    scene.drained();
    scene.assert_rebuilt("b");
    stop("a b c", "c", r#"{"data-collections": ["public.c"]}"#);
    wait_for("the end of the reading", PATIENCE, || {
        scene.home.log().contains("as a signal stopped that: public.c").then_some(())
    });
    scene.drained();
    assert!(!known(&scene.offset(&worker.rest)).contains(&scene.oid("c")));
    worker.rest.stop(&scene.name);
    worker.rest.resume(&scene.name);
    scene.wait_known(&worker.rest, "c");
    scene.drained();
    scene.assert_rebuilt("c");
}

/// A stop does not wait for the transactions that a reading waits for: neither that of a table without
/// a key, nor that at the beginning where the slot was there before the tables were published.
#[test]
fn stopped_while_transactions_are_waited_for() {
    let Some(scene) = Scene::new("waiting", "CREATE TABLE c (n bigint);") else { return };
    let name = &scene.name;
    scene.database.sql(&format!(
        "CREATE PUBLICATION {name} FOR TABLE c;
         SELECT pg_create_logical_replication_slot('{name}', 'pgoutput');"
    ));
    let open =
        |table: &str| Open::begin(&scene.database, &format!("INSERT INTO {table} VALUES (-1)"));
    let published = |tables: &[&str]| {
        wait_for("the publication", PATIENCE, || (scene.published() == tables).then_some(()));
    };
    let unstopped = || scene.home.log().contains("is stopped although");
    let writer = open("a");
    let worker = scene.home.start(&[]);
    worker.rest.start(name, &scene.config("a", &[]));
    published(&["a"]);
    worker.rest.stop(name);
    assert!(!unstopped(), "{}", scene.home.log());
    // What it writes is not in the stream, although the publication is as it should be now.
    worker.rest.resume(name);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND query LIKE '%l.virtualtransaction%'";
    wait_for("the task to wait, or to read", PATIENCE, || {
        let read = scene.home.log().contains("snapshot is read");
        (read || scene.database.value(waiting) != "0").then_some(())
    });
    writer.commit();
    scene.database.wait_streamed(name);
    scene.drained();
    scene.assert_rebuilt("a");

    let writer = open("c");
    worker.rest.put(name, &scene.config("a c", &[]));
    published(&["a", "c"]);
    worker.rest.stop(name);
    assert!(!unstopped(), "{}", scene.home.log());
    writer.commit();
    worker.rest.resume(name);
    scene.wait_known(&worker.rest, "c");
    scene.drained();
    assert_eq!((scene.count("c", "r"), scene.count("c", "c")), (1, 0));
}

/// Killed while a table with a key is read in chunks, and one without is read whole: both go on.
#[test]
fn killed_while_new_tables_are_read() {
    let Some(scene) = Scene::new(
        "killed",
        "CREATE TABLE b (id int PRIMARY KEY, v bigint);
         INSERT INTO b SELECT g, 0 FROM generate_series(1, 3000) g;
         CREATE TABLE c (n bigint, filler text);
         INSERT INTO c SELECT g, repeat('x', 1000) FROM generate_series(1, 6000) g;",
    ) else {
        return;
    };
    let more = [
        ("incremental.snapshot.chunk.size", "10"),
        ("snapshot.max.rows.per.second", "4000"),
        ("snapshot.max.threads.multiplier", "8"),
    ];
    let worker = scene.start("a", &more);
    scene.drained();
    scene.database.sql("INSERT INTO a VALUES (1000, 1)");
    worker.rest.put(&scene.name, &scene.config("a b c", &more));
    wait_for("a range of c that is done", PATIENCE, || {
        let offset = scene.offset(&worker.rest);
        let checkpoint: Value = serde_json::from_str(offset["riverrun_snapshot"].as_str()?).ok()?;
        let done = checkpoint["open"][0]["parts"][0]["done"].as_str()?;
        (done.len() > 1).then_some(())
    });
    worker.kill();
    let first = scene.count("c", "r");
    assert!(first < 6_000, "all rows of c were read before the worker was killed");

    let connector = scene.home.connector(&scene.name, &scene.config("a b c", &more));
    let worker = scene.home.start(std::slice::from_ref(&connector));
    worker.rest.wait_running(&scene.name);
    wait_for("a chunk of b", PATIENCE, || {
        scene.offset(&worker.rest)["incremental_snapshot_primary_key"].is_string().then_some(())
    });
    scene.database.sql("UPDATE b SET v = 1 WHERE id IN (2, 2999); DELETE FROM b WHERE id = 3;");
    worker.kill();
    let of_c = scene.count("c", "r");
    assert!(of_c < 6_000 + 5_000, "{of_c} rows of c were read: restarted, not resumed");
    let of_b = scene.count("b", "r");
    assert!(of_b < 3_000, "all rows of b were read before the worker was killed");

    let worker = scene.home.start(&[connector]);
    scene.database.wait_streamed(&scene.name);
    scene.wait_known(&worker.rest, "b");
    scene.drained();
    scene.assert_rebuilt("a");
    scene.assert_rebuilt("b");
    let again = scene.count("b", "r");
    assert!(again < 3_000 + 1_000, "{again} rows of b were read: restarted, not resumed");
    assert_eq!(scene.count("c", "r"), of_c, "c was read a third time");
    let sent = scene.events();
    let sent: BTreeSet<i64> =
        sent.iter().filter(|e| e.table == "c").map(|e| e.after["n"].as_i64().unwrap()).collect();
    assert_eq!(sent, (1..=6_000).collect());
}

/// Of tables that were made later or come by another way just those are read whose first changes have
/// not come.
#[test]
fn tables_made_later_are_read_when_something_of_them_is_missing() {
    let Some(scene) = Scene::new(
        "later",
        "CREATE TABLE unlisted (id int PRIMARY KEY); INSERT INTO unlisted VALUES (1);
         CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old VALUES (1);
         CREATE TABLE l_parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE l_parts_1 PARTITION OF l_parts FOR VALUES FROM (0) TO (10);",
    ) else {
        return;
    };
    let more = [("publication.autocreate.mode", "all_tables")];
    let list = "a l_.*";
    let worker = scene.start(list, &more);
    scene.drained();
    // While it runs, and while it does not.
    scene
        .database
        .sql("CREATE TABLE l_running (id int PRIMARY KEY); INSERT INTO l_running VALUES (1);");
    scene
        .database
        .sql("CREATE TABLE m_early (id int PRIMARY KEY); INSERT INTO m_early VALUES (1);");
    scene.drained();
    worker.rest.stop(&scene.name);
    scene.database.sql(
        "CREATE TABLE l_down (id int PRIMARY KEY); INSERT INTO l_down VALUES (1);
         CREATE TABLE l_parts_2 PARTITION OF l_parts FOR VALUES FROM (10) TO (20);
         INSERT INTO l_parts VALUES (11);
         ALTER TABLE old RENAME TO l_old;
         CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1);
         ALTER TABLE fresh RENAME TO l_fresh;",
    );
    let ops = |table: &str| -> Vec<String> {
        let events = scene.events();
        events.iter().filter(|event| event.table == table).map(|event| event.op.clone()).collect()
    };
    worker.rest.resume(&scene.name);
    scene.database.wait_streamed(&scene.name);
    for table in ["l_running", "l_down", "l_parts_2", "l_old", "l_fresh"] {
        scene.wait_known(&worker.rest, table);
    }
    scene.drained();
    for streamed in ["l_running", "l_down", "l_parts_2"] {
        assert_eq!(ops(streamed), ["c"], "{streamed}: all of it came in the stream");
    }
    for renamed in ["l_old", "l_fresh"] {
        assert_eq!(ops(renamed), ["r"], "{renamed}: its rows came under another name");
    }
    // Made after the list was, and not in the filters then.
    worker.rest.put(&scene.name, &scene.config("a l_.* m_.*", &more));
    scene.wait_known(&worker.rest, "m_early");
    assert_eq!(ops("m_early"), ["r"]);
    // Left out, changed, and in the list again.
    worker.rest.put(&scene.name, &scene.config(list, &more));
    let oid = scene.oid("m_early");
    wait_for("m_early to be forgotten", PATIENCE, || {
        (!known(&scene.offset(&worker.rest)).contains(&oid)).then_some(())
    });
    scene.database.sql("INSERT INTO m_early VALUES (2)");
    scene.drained();
    worker.rest.put(&scene.name, &scene.config("a l_.* m_.*", &more));
    scene.wait_known(&worker.rest, "m_early");
    scene.drained();
    scene.assert_rebuilt("m_early");
    // Where no data is wanted, or this is not, a new table is streamed only.
    for (key, value) in [("snapshot.mode", "no_data"), ("snapshot.added.tables", "false")] {
        let table = format!("n_{}", key.len());
        scene.database.sql(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1);"
        ));
        worker.rest.stop(&scene.name);
        let lists = format!("a l_.* m_.* {table}");
        worker.rest.put(&scene.name, &scene.config(&lists, &[more[0], (key, value)]));
        worker.rest.resume(&scene.name);
        scene.database.wait_streamed(&scene.name);
        scene.database.sql(&format!("INSERT INTO {table} VALUES (2)"));
        scene.drained();
        assert!(!ops(&table).contains(&"r".to_owned()), "{key}={value}: {:?}", ops(&table));
    }
    assert_eq!(scene.offset(&worker.rest)["riverrun_tables"], Value::Null);
}

/// Who may not publish a table is told how, and nothing else is harmed by it.
#[test]
fn a_new_table_that_may_not_be_published() {
    let Some(mut scene) =
        Scene::new("rights", "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1), (2);")
    else {
        return;
    };
    scene.user = "tables_limited";
    scene.database.sql(
        "DO $$ BEGIN
           CREATE ROLE tables_limited LOGIN REPLICATION;
         EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         ALTER TABLE a OWNER TO tables_limited;
         GRANT CREATE ON DATABASE tables_rights TO tables_limited;
         GRANT SELECT ON b TO tables_limited;",
    );
    let worker = scene.start("a", &[]);
    scene.drained();
    let before = scene.offset(&worker.rest);
    worker.rest.put(&scene.name, &scene.config("a b", &[]));
    let trace = worker.rest.wait_failed(&scene.name);
    let statement =
        "ALTER PUBLICATION \"tables_rights\" SET TABLE \"public\".\"a\", \"public\".\"b\"";
    assert!(trace.contains(statement) && trace.contains("must be owner of table b"), "{trace}");
    assert_eq!(scene.published(), ["a"]);
    assert_eq!(known(&scene.offset(&worker.rest)), known(&before));

    // Where the publication is left to others, the rest goes on and the log says what to do.
    let disabled = [("publication.autocreate.mode", "disabled")];
    scene.database.sql("INSERT INTO a VALUES (500, 5)");
    worker.rest.put(&scene.name, &scene.config("a b", &disabled));
    scene.database.wait_streamed(&scene.name);
    scene.drained();
    scene.assert_rebuilt("a");
    let advice = "ALTER PUBLICATION \"tables_rights\" ADD TABLE \"public\".\"b\"";
    assert!(scene.home.log().contains(advice), "{}", scene.home.log());
    assert_eq!(scene.count("b", "r"), 0);
    scene.database.sql(advice);
    worker.rest.stop(&scene.name);
    worker.rest.resume(&scene.name);
    scene.wait_known(&worker.rest, "b");
    scene.database.sql("INSERT INTO b VALUES (3)");
    scene.drained();
    scene.assert_rebuilt("b");
    assert_eq!(scene.count("b", "r"), 2);
    drop(worker);
    scene.database.sql("DROP OWNED BY tables_limited CASCADE; DROP ROLE tables_limited;");
}

/// Taken over from Debezium with a longer list, no table counts as new; what comes to the list then
/// does. Debezium goes on from the offset, and what it has had does not count as new afterwards.
#[test]
fn over_from_the_peer_and_back() {
    let Some(connect) = servers::connect("over_from_the_peer_and_back") else { return };
    let Some(scene) = Scene::new(
        "peer",
        "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1);
         CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c SELECT g FROM generate_series(1, 500) g;
         CREATE TABLE d (id int PRIMARY KEY); INSERT INTO d VALUES (1);",
    ) else {
        return;
    };
    let name = scene.name.as_str();
    let peer = Rest { url: connect };
    let worker = scene.home.start(&[]);
    peer.forget(name);
    let chunk = [("incremental.snapshot.chunk.size", "10")];
    let hand_over = |from: &Rest, to: &Rest, tables: &str| {
        from.stop(name);
        let stored = scene.offset(from);
        to.put(name, &scene.config(tables, &chunk));
        to.stop(name);
        to.store_offset(name, &stored);
        to.resume(name);
        scene.database.wait_streamed(name);
    };
    peer.start(name, &scene.config("a", &chunk));
    scene.database.wait_streamed(name);
    scene.drained();
    hand_over(&peer, &worker.rest, "a b");
    scene.wait_known(&worker.rest, "b");
    scene.database.sql("INSERT INTO b VALUES (2)");
    scene.drained();
    assert_eq!((scene.count("b", "r"), scene.count("b", "c")), (0, 1));

    // Back, in the middle of the reading of a new table.
    worker.rest.put(name, &scene.config("a b c", &chunk));
    wait_for("a chunk of c", PATIENCE, || {
        scene.offset(&worker.rest)["incremental_snapshot_primary_key"].is_string().then_some(())
    });
    worker.rest.stop(name);
    let middle = scene.offset(&worker.rest);
    assert!(middle["incremental_snapshot_primary_key"].is_string(), "all was read: {middle}");
    hand_over(&worker.rest, &peer, "a b c");
    scene.database.sql("INSERT INTO b VALUES (3); INSERT INTO c VALUES (501);");
    scene.drained();
    peer.stop(name);
    assert_eq!(scene.offset(&peer)["riverrun_tables"], Value::Null);
    assert_eq!((scene.count("b", "c"), scene.count("c", "c")), (2, 1));
    let before = scene.count("c", "r");
    assert!(before < 500);

    // Debezium has kept what was left to read, as it keeps what it can't read itself.
    hand_over(&peer, &worker.rest, "a b c d");
    scene.wait_known(&worker.rest, "c");
    scene.database.sql("INSERT INTO d VALUES (2)");
    scene.drained();
    wait_for("the rest of c", PATIENCE, || {
        let events = scene.events();
        let keys: BTreeSet<String> = events
            .iter()
            .filter(|event| event.table == "c")
            .map(|event| event.key.to_string())
            .collect();
        (keys.len() == 501).then_some(())
    });
    assert_eq!((scene.count("d", "r"), scene.count("d", "c")), (0, 1));
    // Debezium without a signal table forgets how far c was read, so it is read once more.
    let all = scene.count("c", "r");
    assert!(all <= before + 500, "c was read twice again: {before} rows before, {all} in all");
    scene.assert_rebuilt("c");
    worker.rest.forget(name);
    peer.forget(name);
}
