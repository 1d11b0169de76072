//! Nothing is lost when a process ends where it stands: Riverrun's, PostgreSQL's or Kafka's.
//!
//! Load runs all the time: transactions over three tables with inserts, updates, deletes, changes of
//! keys and rolled back parts. Each writes its running number into `ledger`, with the number of rows
//! it puts into `movement`. At the end
//!
//! 1. the topics, replayed by key, are the tables, row for row;
//! 2. every number is in the topic of `ledger`, and each with all its rows of `movement`, as creates
//!    (up to the end of the snapshot also as rows the snapshot read): no gap by any transaction.
//!
//! Chance is repeatable, see [`Random::seed`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    database::Database,
    random::Random,
    rest::postgres_source,
    servers::{self, Script},
    topics::{self, Follower, Record},
    wait_for,
    worker::{Home, Worker},
};

mod points;

const TABLES: &str = "
CREATE TABLE ledger (number bigint PRIMARY KEY, lines int NOT NULL);
CREATE TABLE movement (
  transaction bigint, line int, account int NOT NULL, amount int NOT NULL, PRIMARY KEY (transaction, line));
CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL, note text);

-- Numbers go on where the last commit left them, so that a crash of the server leaves no hole.
CREATE PROCEDURE load(transactions int, seed float8) LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
  lines int;
  chosen int;
BEGIN
  PERFORM setseed(seed);
  FOR i IN 1..transactions LOOP
    chosen := 1 + floor(random() * 2000);
    SELECT coalesce(max(number), 0) + 1 INTO n FROM ledger;
    lines := 1 + floor(random() * 12);
    INSERT INTO ledger VALUES (n, lines);
    INSERT INTO movement SELECT n, line, 1 + floor(random() * 2000), floor(random() * 1000)
      FROM generate_series(1, lines) line;
    UPDATE account SET balance = balance + m.amount
      FROM movement m WHERE m.transaction = n AND m.account = account.id;
    IF random() < 0.3 THEN
      DELETE FROM movement WHERE transaction = n - 1 - chosen % 40 AND line <= 3;
    END IF;
    IF random() < 0.2 THEN
      UPDATE account SET id = 10000000 + n WHERE id = chosen;
    END IF;
    IF random() < 0.1 THEN
      DELETE FROM account WHERE id = chosen;
    END IF;
    IF random() < 0.3 THEN
      INSERT INTO account VALUES (2001 - chosen, 'owner again', 0, NULL) ON CONFLICT DO NOTHING;
    END IF;
    IF random() < 0.2 THEN
      BEGIN
        UPDATE account SET note = 'never' WHERE id < 50;
        RAISE EXCEPTION 'undone';
      EXCEPTION WHEN raise_exception THEN
        NULL;
      END;
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.001);
  END LOOP;
END $$;
";

/// The load, in a thread of its own until it is told to end.
struct Load {
    database: Arc<Database>,
    ending: Arc<AtomicBool>,
    /// The highest number known to be committed.
    reached: Arc<AtomicI64>,
    /// Calls that did not end well.
    broken: Arc<AtomicI64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(database: &Arc<Database>, seed: u64) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let reached = Arc::new(AtomicI64::new(0));
        let broken = Arc::new(AtomicI64::new(0));
        let mut random = Random::new(seed);
        let (db, end, high) = (database.clone(), ending.clone(), reached.clone());
        let failures = broken.clone();
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let seed = random.between(0, 1_000_000) as f64 / 1e6;
                // The next call goes on after the last commit.
                let script = format!("CALL load(100, {seed}); SELECT max(number) FROM ledger;");
                if let Some(number) = db.try_sql(&script) {
                    high.store(number.trim().parse().unwrap(), Ordering::Relaxed);
                } else {
                    failures.fetch_add(1, Ordering::Relaxed);
                    wait_for("PostgreSQL to be back", Duration::from_secs(60), || {
                        db.try_sql("SELECT 1;")
                    });
                }
            }
        });
        Self { database: database.clone(), ending, reached, broken, thread: Some(thread) }
    }

    fn reached(&self) -> i64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// Ends the load and gives the last number. Only restarts of the server may have broken it.
    fn finish(mut self, restarts: i64) -> i64 {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.take().expect("runs").join().expect("the load went well");
        let broken = self.broken.load(Ordering::Relaxed);
        assert!(broken <= restarts, "the load broke {broken} times in {restarts} restarts");
        self.database.value("SELECT max(number) FROM ledger").parse().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The numbers of `ledger` that have arrived, read from its topic as it grows.
struct Arrived {
    topic: Follower,
    created: BTreeSet<i64>,
    read: BTreeSet<i64>,
}

impl Arrived {
    fn new(kafka: &str) -> Self {
        let topic = Follower::new(kafka, "crash.public.ledger");
        Self { topic, created: BTreeSet::new(), read: BTreeSet::new() }
    }

    fn high(&self) -> i64 {
        self.created.last().max(self.read.last()).copied().unwrap_or(0)
    }

    /// Waits until a number not below `number` has streamed, while `home`'s worker lives.
    fn wait_created(&mut self, number: i64, worker: &mut Worker, home: &Home) {
        let end = Instant::now() + Duration::from_secs(120);
        while self.created.last().is_none_or(|last| *last < number) {
            if let Some(record) = self.topic.next() {
                let event: Value =
                    serde_json::from_slice(&record.value.expect("no deletes here")).unwrap();
                let arrived = event["after"]["number"].as_i64().expect("a number");
                if event["op"] == "r" { &mut self.read } else { &mut self.created }.insert(arrived);
            }
            if let Some(status) = worker.child.try_wait().unwrap() {
                panic!("the worker ended by itself: {status}\n{}", home.log());
            }
            assert!(
                Instant::now() < end,
                "number {number} has not arrived, {} has; status {:?}\n{}",
                self.high(),
                worker.rest.status("crash"),
                home.log()
            );
        }
    }
}

struct Scene {
    kafka: String,
    database: Arc<Database>,
    home: Home,
    connector: std::path::PathBuf,
}

impl Scene {
    fn new(name: &str, postgres: &str, kafka: &str, accounts: u64) -> Self {
        topics::delete(kafka, "crash.");
        let database = Arc::new(Database::create(postgres, name));
        database.sql(TABLES);
        database.sql(&format!(
            "INSERT INTO account SELECT n, 'owner ' || n, 0, repeat('note ', n % 20)
               FROM generate_series(1, {accounts}) n;"
        ));
        let home = Home::new(name, kafka);
        let mut config = postgres_source(&database, "crash", &[]);
        config.insert("slot.name".into(), name.into());
        config.insert("publication.name".into(), name.into());
        let connector = home.connector("crash", &config);
        Self { kafka: kafka.into(), database, home, connector }
    }

    fn start(&self) -> Worker {
        self.home.start(std::slice::from_ref(&self.connector))
    }

    /// The two promises. `streamed_from` is a number after which all came by the stream.
    fn check(&self, streamed_from: i64, last: i64) {
        let mut tables: HashMap<String, BTreeMap<String, Value>> = HashMap::new();
        let mut numbers: BTreeMap<i64, i64> = BTreeMap::new();
        let mut movements: BTreeSet<(i64, i64)> = BTreeSet::new();
        let mut records = 0;
        topics::for_each(&self.kafka, "crash.public.", |topic, Record { key, value, .. }| {
            records += 1;
            let table = topic.rsplit('.').next().expect("a table");
            let key: Value = serde_json::from_slice(&key.expect("all tables have keys")).unwrap();
            let event: Value = value.map_or(Value::Null, |v| serde_json::from_slice(&v).unwrap());
            let after = &event["after"];
            if matches!(event["op"].as_str(), Some("c" | "r")) {
                let number = |field: &str| after[field].as_i64().unwrap();
                match table {
                    "ledger" => drop(numbers.insert(number("number"), number("lines"))),
                    "movement" => drop(movements.insert((number("transaction"), number("line")))),
                    _ => {}
                }
            }
            let rows = tables.entry(table.to_owned()).or_default();
            match after {
                Value::Null => rows.remove(&key.to_string()),
                row => rows.insert(key.to_string(), row.clone()),
            };
        });

        let missing: Vec<i64> = (1..=last).filter(|number| !numbers.contains_key(number)).collect();
        assert!(missing.is_empty(), "transactions that never arrived: {missing:?}");
        for (number, lines) in numbers.range(streamed_from..) {
            for line in 1..=*lines {
                assert!(
                    movements.contains(&(*number, line)),
                    "transaction {number} arrived without row {line} of {lines} of movement"
                );
            }
        }
        for (table, key) in [
            ("ledger", "'number', number"),
            ("movement", "'transaction', transaction, 'line', line"),
            ("account", "'id', id"),
        ] {
            let query = format!("SELECT jsonb_build_object({key}), row_to_json(t) FROM {table} t");
            let want: BTreeMap<String, Value> = self
                .database
                .query(&query)
                .iter()
                .map(|row| {
                    let (key, row) = row.split_once('\t').expect("two columns");
                    (canonical(key), serde_json::from_str(row).unwrap())
                })
                .collect();
            let got = tables.remove(table).unwrap_or_default();
            let got: BTreeMap<String, Value> =
                got.into_iter().map(|(key, row)| (canonical(&key), row)).collect();
            let wrong = want.keys().chain(got.keys()).find(|key| want.get(*key) != got.get(*key));
            if let Some(key) = wrong {
                panic!(
                    "{table} {key}: the table has {:?}, the replayed topic {:?} ({} and {} rows)",
                    want.get(key),
                    got.get(key),
                    want.len(),
                    got.len()
                );
            }
        }
        eprintln!("{last} transactions, {records} records, tables and topics equal");
    }
}

/// A key's JSON with its fields in one order.
fn canonical(key: &str) -> String {
    let fields: BTreeMap<String, Value> = serde_json::from_str(key).expect("a key");
    serde_json::to_string(&fields).expect("a map")
}

#[test]
fn killed_twenty_times() {
    let test = "killed_twenty_times";
    let (Some(postgres), Some(kafka)) = (servers::postgres(test), servers::kafka(test)) else {
        return;
    };
    let seed = Random::seed(test);
    let random = &mut Random::new(seed);
    let accounts = 100_000;
    let scene = Scene::new("crash_killed", &postgres, &kafka, accounts);
    let load = Load::start(&scene.database, seed);
    let mut arrived = Arrived::new(&kafka);
    let watch = topics::consumer(&kafka);
    let account_records = || topics::high_watermark(&watch, "crash.public.account");

    for round in 0..10 {
        let before = account_records();
        let worker = scene.start();
        // Anywhere in the snapshot; twice before its first row.
        let part = if round % 5 == 0 { 0 } else { random.between(1, 70) };
        wait_for("rows of the snapshot", Duration::from_secs(120), || {
            (account_records() >= before + (accounts * part / 100) as i64).then_some(())
        });
        thread::sleep(Duration::from_millis(random.between(0, 50))); // The random moment itself.
        worker.kill();
        let got = account_records() - before;
        assert!(got < accounts as i64, "round {round}: the snapshot was over before the kill");
    }

    let mut worker = scene.start();
    arrived.wait_created(0, &mut worker, &scene.home);
    let streamed_from = load.reached() + 101; // A call of `load` beyond what is known is under way.
    for _ in 0..10 {
        let goal = arrived.high().max(load.reached()) + random.between(1, 150) as i64;
        arrived.wait_created(goal, &mut worker, &scene.home);
        thread::sleep(Duration::from_millis(random.between(0, 400)));
        worker.kill();
        worker = scene.start();
    }
    arrived.wait_created(streamed_from, &mut worker, &scene.home);
    let last = load.finish(0);
    arrived.wait_created(last, &mut worker, &scene.home);
    let status = worker.terminate();
    assert!(status.success(), "asked to end, the worker ended with {status}\n{}", scene.home.log());
    scene.check(streamed_from, last);
    topics::delete(&kafka, "crash.");
}

#[test]
fn servers_restarted() {
    let test = "servers_restarted";
    let (Some(_), Some(_)) = (servers::postgres(test), servers::kafka(test)) else { return };
    let seed = Random::seed(test);
    let random = &mut Random::new(seed);
    let own = Script::new("crash", &[("PG_PORT", "25434"), ("KAFKA_PORT", "29096")]);
    let _stopped_at_the_end = [own.at_end("kafka-stop"), own.at_end("pg-stop")];
    let postgres = format!("postgres://postgres@{}/postgres", own.run("pg-start", ""));
    let kafka = own.run("kafka-start", "");
    let scene = Scene::new("crash_servers", &postgres, &kafka, 2_000);
    let load = Load::start(&scene.database, seed);
    let mut arrived = Arrived::new(&kafka);
    let mut worker = scene.start();
    arrived.wait_created(0, &mut worker, &scene.home);
    let streamed_from = load.reached() + 101;

    // As an administrator does it, and as a crash does.
    let rounds = [
        ("pg", ["immediate", "fast", "immediate", "fast", "immediate"]),
        ("kafka", ["", "kill", "", "kill", ""]),
    ];
    for (server, modes) in rounds {
        for mode in modes {
            let goal = arrived.high().max(load.reached()) + random.between(1, 100) as i64;
            arrived.wait_created(goal, &mut worker, &scene.home);
            thread::sleep(Duration::from_millis(random.between(0, 400)));
            own.run(&format!("{server}-stop"), mode);
            own.run(&format!("{server}-start"), "");
        }
    }
    arrived.wait_created(load.reached() + 101, &mut worker, &scene.home);
    let last = load.finish(5);
    arrived.wait_created(last, &mut worker, &scene.home);
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());
    scene.check(streamed_from, last);
}
