//! What is written while the group is disturbed, and that all of it arrives.
//!
//! Each transaction chooses a source, gives it the next number in `log`, and with the same number
//! changes or deletes a row of `state`; now and then it writes a row of `note` of any length.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    database::Database,
    random::Random,
    topics::{self, Follower, Record},
};

/// The sources' tables, and the procedure that writes to them.
pub(super) fn prepare(database: &Database, sources: usize) {
    for n in 0..sources {
        database.sql(&format!(
            "CREATE TABLE log{n} (number bigint PRIMARY KEY, key int, gone bool NOT NULL);
             CREATE TABLE state{n} (key int PRIMARY KEY, number bigint NOT NULL);
             CREATE TABLE note{n} (number bigint PRIMARY KEY, text text);
             INSERT INTO log{n} VALUES (0, NULL, true);
             INSERT INTO state{n} SELECT key, 0 FROM generate_series(1, 20) key;"
        ));
    }
    // A worker that hangs is given up soon.
    database.sql(&format!("ALTER DATABASE \"{}\" SET wal_sender_timeout = '10s';", database.name));
    database.sql(
        "CREATE PROCEDURE load(sources int, transactions int, seed float8) LANGUAGE plpgsql AS $$
         DECLARE
           n int;
           last bigint;
           chosen int;
           gone bool;
         BEGIN
           PERFORM setseed(seed);
           FOR i IN 1..transactions LOOP
             n := floor(random() * sources);
             chosen := 1 + floor(random() * 40);
             gone := random() < 0.2;
             EXECUTE format('SELECT max(number) + 1 FROM log%s', n) INTO last;
             EXECUTE format('INSERT INTO log%s VALUES ($1, $2, $3)', n) USING last, chosen, gone;
             IF gone THEN
               EXECUTE format('DELETE FROM state%s WHERE key = $1', n) USING chosen;
             ELSE
               EXECUTE format('INSERT INTO state%s VALUES ($1, $2)
                               ON CONFLICT (key) DO UPDATE SET number = $2', n) USING chosen, last;
             END IF;
             IF random() < 0.1 THEN
               EXECUTE format('INSERT INTO note%s VALUES ($1, repeat(''note '', $2))', n)
                 USING last, floor(random() * 2000)::int;
             END IF;
             COMMIT;
             PERFORM pg_sleep(0.004);
           END LOOP;
         END $$;",
    );
}

/// The load, in a thread of its own until it is told to end.
pub(super) struct Load {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    database: Arc<Database>,
    sources: usize,
}

/// The last number of each source.
pub(super) type Written = Vec<i64>;

impl Load {
    pub(super) fn start(database: &Arc<Database>, seed: u64, sources: usize) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let (db, end) = (database.clone(), ending.clone());
        let mut random = Random::new(seed);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let seed = random.between(0, 1_000_000) as f64 / 1e6;
                db.sql(&format!("CALL load({sources}, 100, {seed});"));
            }
        });
        Self { ending, thread: Some(thread), database: database.clone(), sources }
    }

    pub(super) fn finish(mut self) -> Written {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.take().expect("runs").join().expect("the load went well");
        let last = |n| self.database.value(&format!("SELECT max(number) FROM log{n}"));
        (0..self.sources).map(|n| last(n).parse().expect("a number")).collect()
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

const PATIENCE: Duration = Duration::from_secs(120);

/// That all that was written has arrived: each number in the topic of `log`, and with it the change
/// of `state` and the row of `note` that belong to it.
///
/// The topics cannot be replayed to the tables here: a worker that was frozen may send what it held
/// after its successor has sent what is newer, on the JVM too.
pub(super) fn check(kafka: &str, prefix: &str, database: &Database, written: &Written) {
    for (n, last) in written.iter().enumerate() {
        let mut log = Follower::new(kafka, &format!("{prefix}_{n}.public.log{n}"));
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "number {last} of source {n} has not arrived");
            let Some(record) = log.next() else { continue };
            let event: Value = serde_json::from_slice(&record.value.expect("no deletes")).unwrap();
            if event["after"]["number"].as_i64() == Some(*last) {
                break;
            }
        }
    }
    let mut arrived: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut records = 0;
    topics::for_each(kafka, &format!("{prefix}_"), |topic, Record { value, .. }| {
        let Some((_, table)) = topic.split_once(".public.") else { return };
        records += 1;
        let Some(value) = value else { return }; // The tombstone of a deleted row.
        let event: Value = serde_json::from_slice(&value).unwrap();
        if let Some(number) = event["after"]["number"].as_i64() {
            arrived.entry(table.to_owned()).or_default().insert(number);
        }
    });
    let mut distinct = 0;
    for (n, last) in written.iter().enumerate() {
        for (table, query) in [
            ("log", format!("SELECT number FROM log{n}")),
            ("state", format!("SELECT number FROM log{n} WHERE NOT gone")),
            ("note", format!("SELECT number FROM note{n}")),
        ] {
            let want: BTreeSet<i64> =
                database.query(&query).iter().map(|number| number.parse().unwrap()).collect();
            let got = arrived.remove(&format!("{table}{n}")).unwrap_or_default();
            let missing: Vec<&i64> = want.difference(&got).collect();
            assert!(missing.is_empty(), "{table}{n} up to {last} never arrived: {missing:?}");
            distinct += want.len();
        }
    }
    eprintln!("{prefix}: {distinct} changes have arrived, in {records} records");
}
