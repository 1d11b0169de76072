//! A snapshot by several readers that is killed again and again while the tables are written to: rows
//! change and move between pages, come, go and get other keys. Afterwards the last event of each key
//! makes the tables, and no row that lay still in a range that was done was read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Event, PATIENCE, Scene, TABLES, covered};
use crate::harness::{random::Random, wait_for};

/// Rows whose number ends in 1 stay as they are. Only rows without a large value get another key: an
/// event of a new key has no large values that the UPDATE left alone.
const LOAD: &str = "
CREATE PROCEDURE load(rounds int, seed float8) LANGUAGE plpgsql AS $$
DECLARE
  n int;
BEGIN
  PERFORM setseed(seed);
  FOR i IN 1..rounds LOOP
    n := 2000 + floor(random() * 18000);
    UPDATE big SET title = 'moved ' || i, filler = repeat('g', 600) WHERE id BETWEEN n AND n + 3 AND id % 10 <> 1;
    DELETE FROM big WHERE id = n + 5 AND id % 10 <> 1;
    UPDATE big SET id = 100000 + id WHERE id = n + 7 AND id % 10 <> 1 AND body IS NULL;
    INSERT INTO big VALUES (n + 5, 'again', 'n', repeat(md5(n::text), 100)) ON CONFLICT DO NOTHING;
    UPDATE parted SET id = (id + 400) % 800 + 1000 * (id / 1000)
     WHERE id = n % 400 AND NOT EXISTS (SELECT FROM parted WHERE id = n % 400 + 400);
    UPDATE a_small SET title = 'changed ' || i WHERE id = n % 500;
    COMMIT;
    PERFORM pg_sleep(0.002);
  END LOOP;
END $$;";

#[test]
fn several_readers_are_killed_under_load() {
    // Some 2,900 pages, so that each run finishes ranges and leaves some.
    let tables = format!(
        "{TABLES} INSERT INTO big SELECT n, 'title ' || n, repeat('f', 600)
           FROM generate_series(12001, 20000) n; ANALYZE;"
    );
    let Some(scene) = Scene::new("under_load", &tables) else { return };
    let seed = Random::seed("several_readers_are_killed_under_load");
    let random = &mut Random::new(seed);
    scene.database.sql(LOAD);
    let more = [
        ("snapshot.max.threads", "3"),
        ("snapshot.max.threads.multiplier", "16"),
        ("max.batch.size", "200"),
    ];
    let slow = [&more[..], &[("snapshot.max.rows.per.second", "6000")]].concat();
    let still: BTreeMap<i64, u64> =
        scene.pages().into_iter().filter(|(id, _)| id % 10 == 1).collect();
    let ending = AtomicBool::new(false);
    let scene = Arc::new(scene);
    // How much of each topic there was at each kill, and what was known to be done.
    let mut kills: Vec<(usize, String)> = Vec::new();
    let worker = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut random = Random::new(seed);
            while !ending.load(Ordering::Relaxed) {
                let seed = random.between(0, 1_000_000) as f64 / 1e6;
                scene.database.sql(&format!("CALL load(20, {seed});"));
            }
        });
        // However this ends, the load does too.
        let end = End(&ending);
        let big = scene.oid("big");
        let mut done_pages = 0;
        for _ in 0..2 {
            let worker = scene.start(&slow);
            let goal = done_pages + random.between(1, 300);
            let done = wait_for("ranges of big that are done", PATIENCE, || {
                let checkpoint = scene.checkpoint(&worker.rest)?;
                let open = checkpoint["open"].as_array()?;
                let open = open.iter().find(|open| open["table"] == big)?;
                let done = open["parts"][0]["done"].as_str()?.to_owned();
                (pages_in(&done) >= goal).then_some(done)
            });
            worker.kill();
            done_pages = pages_in(&done);
            let reads = reads(&scene.events()).len();
            kills.push((reads, done));
        }
        let worker = scene.start(&more);
        scene.wait_streaming(&worker, 1_000);
        drop(end);
        load.join().expect("the load went well");
        worker
    });
    scene.wait_streaming(&worker, 1_001);
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());
    let events = scene.events();
    scene.check(&events);

    let all = reads(&events);
    let mut twice = 0;
    let mut seen = BTreeSet::new();
    for (place, id) in all.iter().enumerate() {
        twice += usize::from(!seen.insert(*id));
        let Some(page) = still.get(id) else { continue };
        for (before, done) in kills.iter().filter(|(before, _)| place >= *before) {
            assert!(
                !covered(done, *page),
                "row {id} of page {page} is read after {before} others, and {done} was done"
            );
        }
    }
    let last = kills.last().map_or("", |(_, done)| done);
    eprintln!(
        "under load: killed twice, {last} of big done then; {} reads of {} rows, {twice} of them again",
        all.len(),
        seen.len()
    );
    // Three readers are within a range each, of 256 pages with 8 rows at most, when they are killed.
    let changed: usize = scene
        .database
        .value("SELECT count(*) FROM big WHERE title LIKE 'moved%' OR title = 'again'")
        .parse()
        .unwrap();
    let bound = kills.len() * (3 * 256 * 8 + changed);
    assert!(twice <= bound, "{twice} rows were read again, more than {bound}");
    crate::harness::topics::delete(&scene.kafka, &format!("{}.", scene.name));
}

/// Sets the flag when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The rows of `big` that were read, in the order of its topic.
fn reads(events: &[Event]) -> Vec<i64> {
    let reads = events.iter().filter(|event| event.table == "big" && event.op == "r");
    reads.map(|event| event.key).collect()
}

/// How many pages a checkpoint's text has, but for an open end.
fn pages_in(done: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().ok();
    let ranges = done.split(',').filter_map(|range| range.split_once('-'));
    ranges.filter_map(|(from, to)| Some(number(to)? - number(from)?)).sum()
}
