//! What is written while the group is disturbed, and that all of it arrives.
//!
//! Each transaction chooses a source, gives it the next number in `log`, and with the same number
//! changes or deletes a row of `state`; now and then it writes a row of `note` of any length. Files
//! get a line with the next number, one after the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::work::{FILES, Holds, Place, TABLES, Work};
use crate::harness::{
    random::Random,
    topics::{self, Follower, Record},
};

/// The sources' files and tables, and the procedure that writes to them.
pub(super) fn prepare(place: &Place) {
    (0..FILES).for_each(|n| fs::write(place.source(n), "> 0\n").expect("a source's file"));
    let database = &place.database;
    for n in 0..TABLES {
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

/// The load, in threads of its own until it is told to end.
pub(super) struct Load {
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    place: Arc<Place>,
}

impl Load {
    pub(super) fn start(place: Place, seed: u64) -> Self {
        let (ending, place) = (Arc::new(AtomicBool::new(false)), Arc::new(place));
        let (at, end) = (place.clone(), ending.clone());
        let mut random = Random::new(seed);
        let tables = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let seed = random.between(0, 1_000_000) as f64 / 1e6;
                at.database.sql(&format!("CALL load({TABLES}, 100, {seed});"));
            }
        });
        let (at, end) = (place.clone(), ending.clone());
        let files = thread::spawn(move || {
            let open = |n| File::options().append(true).open(at.source(n)).expect("prepared");
            let mut files: Vec<File> = (0..FILES).map(open).collect();
            for number in 1.. {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                for file in &mut files {
                    file.write_all(format!("> {number}\n").as_bytes()).expect("a line is written");
                }
                thread::sleep(Duration::from_millis(20)); // The pace of the load.
            }
        });
        Self { ending, threads: vec![tables, files], place }
    }

    /// Ends it, and gives back where all has been written.
    pub(super) fn finish(mut self) -> Arc<Place> {
        self.ending.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().expect("the load went well");
        }
        self.place.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
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
pub(super) fn check(place: &Place) {
    for n in 0..TABLES {
        let last = place.database.value(&format!("SELECT max(number) FROM log{n}"));
        let last: i64 = last.parse().expect("a number");
        let mut log = Follower::new(&place.kafka, &place.table("log", n));
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "number {last} of source {n} has not arrived");
            let Some(record) = log.next() else { continue };
            let event: Value = serde_json::from_slice(&record.value.expect("no deletes")).unwrap();
            if event["after"]["number"].as_i64() == Some(last) {
                break;
            }
        }
    }
    let mut arrived: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut records = 0;
    topics::for_each(&place.kafka, &format!("{}_", place.prefix), |topic, record| {
        let Some((_, table)) = topic.split_once(".public.") else { return };
        records += 1;
        let Some(value) = record.value else { return }; // The tombstone of a deleted row.
        let event: Value = serde_json::from_slice(&value).unwrap();
        if let Some(number) = event["after"]["number"].as_i64() {
            arrived.entry(table.to_owned()).or_default().insert(number);
        }
    });
    let mut distinct = 0;
    for n in 0..TABLES {
        for (table, query) in [
            ("log", format!("SELECT number FROM log{n}")),
            ("state", format!("SELECT number FROM log{n} WHERE NOT gone")),
            ("note", format!("SELECT number FROM note{n}")),
        ] {
            let numbers = place.database.query(&query);
            let want: BTreeSet<i64> =
                numbers.iter().map(|number| number.parse().unwrap()).collect();
            let got = arrived.remove(&format!("{table}{n}")).unwrap_or_default();
            let missing: Vec<&i64> = want.difference(&got).collect();
            assert!(missing.is_empty(), "{table}{n} never arrived: {missing:?}");
            distinct += want.len();
        }
    }
    eprintln!("{}: {distinct} changes have arrived, in {records} records", place.prefix);
    check_lines(place);
}

/// That each line of the sources' files is in their topics.
fn check_lines(place: &Place) {
    let end = Instant::now() + PATIENCE;
    for n in 0..FILES {
        let file = fs::read_to_string(place.source(n)).expect("a source's file");
        loop {
            let mut missing: BTreeSet<&str> = file.lines().collect();
            let (lines, mut records) = (missing.len(), 0);
            topics::for_each(&place.kafka, &place.lines(n), |_, record| {
                records += 1;
                let line = String::from_utf8(record.value.expect("a line")).expect("text");
                missing.remove(line.as_str());
            });
            if missing.is_empty() {
                eprintln!("{}: {lines} lines have arrived, in {records} records", place.prefix);
                break;
            }
            assert!(Instant::now() < end, "lines of file {n} never arrived: {missing:?}");
        }
    }
}

/// That all that is in their topics is in the sinks' files.
pub(super) fn check_sinks(place: &Place, work: &[Work]) {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    topics::for_each(&place.kafka, &format!("{}_", place.prefix), |topic, record| {
        // The tombstone of a deleted row says nothing by which it could be found.
        let Record { value: Some(value), .. } = record else { return };
        let value = String::from_utf8(value).expect("text");
        values.entry(topic.to_owned()).or_default().push(value);
    });
    for Work { name, holds, .. } in work {
        let Holds::Group { file, topics } = holds else { continue };
        let sent = topics.iter().filter_map(|topic| values.get(topic)).flatten();
        let mut missing: HashSet<&str> = sent.map(String::as_str).collect();
        let (distinct, mut lines) = (missing.len(), 0);
        let mut written =
            Lines { file: File::open(file).expect("a sink's file"), rest: Vec::new() };
        let end = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let late = Instant::now() > end;
            written.each(|line| {
                lines += 1;
                // A kill may leave half a line, and what another task writes then stands behind it.
                let start = ["{\"before\":", "> "].iter().filter_map(|mark| line.rfind(mark)).max();
                missing.remove(line);
                missing.remove(&line[start.unwrap_or(0)..]);
            });
            assert!(
                !late || missing.is_empty(),
                "{name}: {} of {distinct} records are not in {}: {:?}",
                missing.len(),
                Path::display(file),
                missing.iter().take(5).collect::<Vec<_>>()
            );
            thread::sleep(Duration::from_millis(100)); // Between two looks.
        }
        eprintln!("{name}: {distinct} different records are written, in {lines} lines");
    }
}

/// A file that is read as it grows.
struct Lines {
    file: File,
    rest: Vec<u8>,
}

impl Lines {
    /// Calls `seen` with each line that has its end by now.
    fn each(&mut self, mut seen: impl FnMut(&str)) {
        self.file.read_to_end(&mut self.rest).expect("the file can be read");
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.rest.split_off(end);
        let lines = std::mem::replace(&mut self.rest, rest);
        String::from_utf8_lossy(&lines).lines().for_each(&mut seen);
    }
}
