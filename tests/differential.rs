//! The peer and we side by side: one database, two readers with slots and prefixes of their own.
//!
//! A case is a file of SQL, `tests/differential/*.sql`, whose comment lines divide it:
//!
//! | line | the SQL after it runs |
//! |---|---|
//! | `-- snapshot` | before the connectors exist |
//! | `-- stream` | while both stream |
//! | `-- away` | while both are stopped; they resume after it |
//!
//! `-- config: key=value` adds to both configurations; `-- under: name key=value; key=value` plays the
//! whole case with these too, once for each such line; in both `${side}` is `peer` or `ours` and
//! `${prefix}` the side's. `-- ours: key=value` adds to our configuration alone, what the peer does not
//! know and what must change no record. `-- server: 16` plays it on a server of that version, which has
//! pgvector, instead of the main one. `-- expect: N records` is how many records there must be, so
//! that a case cannot pass by producing nothing; `-- ignore: REGEX` leaves topics out, such as those of
//! tables that the sides write to themselves; `-- wait: TOPIC N` is about the step it stands in: it ends
//! when both sides have N records in `<prefix>.TOPIC`; `-- signal: JSON` is written to `<prefix>-signal`
//! behind the step's marker, under the key `<prefix>`; `${kafka}` in a configuration is the broker. After each step a marker row is
//! written, and both sides are read up to it. Then every record must be the same **as bytes**: its
//! partition, key, value and headers, less the two prefixes and what
//! `tests/differential/allowed.txt` allows, which is the whole of what may differ.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    str, thread,
    time::{Duration, Instant},
};

use fancy_regex::Regex;

use crate::harness::{
    database::Database,
    random::Random,
    rest::{Rest, json_converters, postgres_source},
    servers::{self, Script},
    side::{self, MARKER, Side},
    topics::{self, Record},
    wait_for,
    worker::Home,
};

mod workload;

use workload::Shape;
/// A server of another version, with extensions that the main one lacks.
const OTHER: Script = Script::new("differential-16", &[("PG_MAJOR", "16"), ("PG_PORT", "25916")]);

#[derive(PartialEq, Eq)]
enum Step {
    Snapshot,
    Stream,
    Away,
}

/// Keys of a configuration with their values.
type Pairs = Vec<(String, String)>;

struct Case {
    config: Pairs,
    /// For our side alone.
    ours: Pairs,
    /// Whether it is played on the other server.
    elsewhere: bool,
    /// Further configurations that the case is played with, by name.
    under: Vec<(String, Pairs)>,
    records: Option<usize>,
    ignored: Vec<Regex>,
    steps: Vec<(Step, String)>,
    /// By the index of the step.
    waits: Vec<(usize, String, i64)>,
    /// Likewise.
    signals: Vec<(usize, String)>,
}

fn parse(text: &str) -> Case {
    let mut case = Case {
        config: Vec::new(),
        ours: Vec::new(),
        elsewhere: false,
        under: Vec::new(),
        records: None,
        ignored: Vec::new(),
        steps: Vec::new(),
        waits: Vec::new(),
        signals: Vec::new(),
    };
    let pair = |text: &str| -> (String, String) {
        let (key, value) = text.split_once('=').expect("key=value");
        (key.into(), value.into())
    };
    for line in text.lines() {
        let step = match line.trim_end() {
            "-- snapshot" => Step::Snapshot,
            "-- stream" => Step::Stream,
            "-- away" => Step::Away,
            line => {
                if let Some(text) = line.strip_prefix("-- config: ") {
                    case.config.push(pair(text));
                } else if let Some(text) = line.strip_prefix("-- ours: ") {
                    case.ours.push(pair(text));
                } else if line == "-- server: 16" {
                    case.elsewhere = true;
                } else if let Some(text) = line.strip_prefix("-- under: ") {
                    let (name, pairs) = text.split_once(' ').unwrap_or((text, ""));
                    let pairs = pairs.split("; ").filter(|text| !text.is_empty()).map(pair);
                    case.under.push((name.into(), pairs.collect()));
                } else if let Some(count) = line.strip_prefix("-- expect: ") {
                    let count = count.strip_suffix(" records").expect("-- expect: N records");
                    case.records = Some(count.parse().expect("a number of records"));
                } else if let Some(pattern) = line.strip_prefix("-- ignore: ") {
                    case.ignored.push(Regex::new(pattern).expect("a pattern of topics"));
                } else if let Some(wait) = line.strip_prefix("-- wait: ") {
                    let (topic, count) = wait.split_once(' ').expect("-- wait: TOPIC N");
                    let count = count.parse().expect("a number of records");
                    case.waits.push((case.steps.len(), topic.to_owned(), count));
                } else if let Some(signal) = line.strip_prefix("-- signal: ") {
                    case.signals.push((case.steps.len(), signal.to_owned()));
                } else if let Some((_, sql)) = case.steps.last_mut() {
                    sql.push_str(line);
                    sql.push('\n');
                }
                continue;
            }
        };
        case.steps.push((step, String::new()));
    }
    case
}

/// What may differ: where, and what stands for it in both.
struct Allowed {
    /// The header it is about; otherwise keys and values.
    header: Option<String>,
    within: Option<Regex>,
    mask: Regex,
    shown: String,
}

fn allowed() -> Vec<Allowed> {
    let text = include_str!("differential/allowed.txt");
    let blocks = text.split("\n\n").filter(|block| block.lines().any(|l| l.starts_with("mask")));
    let parse = |block: &str| {
        let field = |name: &str| {
            let line = block.lines().find(|line| line.split_whitespace().next() == Some(name));
            line.map(|line| line[name.len()..].trim().to_owned())
        };
        assert!(field("because").is_some(), "allowed.txt: no reason in\n{block}");
        Allowed {
            header: field("header"),
            within: field("within").map(|text| Regex::new(&text).expect("a pattern")),
            mask: Regex::new(&field("mask").expect("a mask")).expect("a pattern"),
            shown: field("as").expect("what stands for it"),
        }
    };
    blocks.map(parse).collect()
}

impl Allowed {
    fn apply(&self, text: &str) -> String {
        match &self.within {
            None => self.mask.replace_all(text, &*self.shown).into_owned(),
            Some(within) => within
                .replace_all(text, |part: &fancy_regex::Captures<'_>| {
                    self.mask.replace_all(&part[0], &*self.shown).into_owned()
                })
                .into_owned(),
        }
    }
}

/// The bytes as text without prefix and allowed differences. Bytes that are no text stay as they are.
fn masked(
    bytes: &Option<Vec<u8>>,
    prefix: &str,
    allowed: &[Allowed],
    header: Option<&str>,
) -> String {
    let Some(bytes) = bytes else { return "null".into() };
    let Ok(text) = str::from_utf8(bytes) else { return format!("bytes {bytes:x?}") };
    // Nothing is allowed to differ in a schema, which is most of a record.
    let payload = text.find(r#"},"payload":"#).filter(|_| text.starts_with(r#"{"schema":"#));
    let (schema, rest) = text.split_at(payload.unwrap_or(0));
    let named = |text: &str| {
        let mut text = text.replace(prefix, "<prefix>");
        for side in ["peer", "ours"] {
            // The tables of `signal.data.collection`, one for each side.
            text = text.replace(&format!("signal_{side}"), "signal_<side>");
        }
        text
    };
    let mut text = named(rest);
    for rule in allowed.iter().filter(|rule| rule.header.as_deref() == header) {
        text = rule.apply(&text);
    }
    named(schema) + &text
}

/// A record in lines: partition, key, value, headers.
fn shown(record: &Record, prefix: &str, allowed: &[Allowed]) -> Vec<String> {
    let mut lines = vec![
        format!("partition {}", record.partition),
        format!("key {}", masked(&record.key, prefix, allowed, None)),
        format!("value {}", masked(&record.value, prefix, allowed, None)),
    ];
    for (name, value) in &record.headers {
        let rules = allowed.iter().any(|rule| rule.header.as_deref() == Some(name.as_str()));
        let header = rules.then_some(name.as_str());
        lines.push(format!("header {name} {}", masked(value, prefix, allowed, header)));
    }
    lines
}

/// Where two lines part, with what stands around it.
fn around(peer: &str, ours: &str) -> String {
    let same = peer.bytes().zip(ours.bytes()).take_while(|(a, b)| a == b).count();
    let cut = |text: &str| {
        let bytes = text.as_bytes();
        let part = &bytes[same.saturating_sub(120)..bytes.len().min(same + 120)];
        String::from_utf8_lossy(part).into_owned()
    };
    format!("  at byte {same}\n  peer …{}…\n  ours …{}…", cut(peer), cut(ours))
}

/// Plays a case, and says how many records each side made. `None` when there are no servers.
fn compare(name: &str, text: &str) -> Option<usize> {
    let mut case = parse(text);
    if case.under.is_empty() {
        return play(name, &case);
    }
    let shared = case.config.clone();
    let mut count = 0;
    for (under, pairs) in std::mem::take(&mut case.under) {
        case.config = shared.iter().chain(&pairs).cloned().collect();
        count += play(&format!("{name}_{under}"), &case)?;
    }
    Some(count)
}

fn play(name: &str, case: &Case) -> Option<usize> {
    let other = case.elsewhere.then(|| (OTHER.run("pg-start", ""), OTHER.at_end("pg-stop")));
    match &other {
        Some((address, _stopped)) => {
            play_on(&format!("postgres://postgres@{address}/postgres"), name, case)
        }
        None => play_on(&servers::postgres(name)?, name, case),
    }
}

fn play_on(postgres: &str, name: &str, case: &Case) -> Option<usize> {
    let (Some(kafka), Some(connect)) = (servers::kafka(name), servers::connect(name)) else {
        return None;
    };
    let peer = Rest { url: connect };
    // To try the method and the masks, the peer can be compared with itself.
    let itself = std::env::var_os("RIVERRUN_TEST_PEER_TWICE").is_some();
    let worker = (!itself).then(|| Home::new(&format!("differential-{name}"), &kafka).start(&[]));
    let ours = worker.as_ref().map_or_else(|| peer.clone(), |worker| worker.rest.clone());
    // With the length no prefix is the beginning of another one, whose topics would count as its own.
    let [peer_prefix, our_prefix] =
        ["dpeer", "dours"].map(|side| format!("{side}{}_{name}", name.len()));
    let sides = [(&peer, &peer_prefix), (&ours, &our_prefix)];
    for (rest, prefix) in sides {
        rest.forget(prefix);
        topics::delete(&kafka, prefix);
    }
    let database = Database::create(postgres, &format!("differential_{name}"));
    side::prepare(&database);
    for (_, sql) in case.steps.iter().filter(|(step, _)| *step == Step::Snapshot) {
        database.sql(sql);
    }
    let mut watched: Vec<Side> = sides
        .iter()
        .map(|(rest, prefix)| {
            let side = if *prefix == &peer_prefix { "peer" } else { "ours" };
            let value = |value: &str| {
                let value = value.replace("${side}", side).replace("${prefix}", prefix);
                value.replace("${kafka}", &kafka)
            };
            let own = if side == "ours" && !itself { case.ours.as_slice() } else { &[] };
            let more = case.config.iter().chain(own);
            let more: Vec<_> = more.map(|(k, v)| (k.clone(), value(v))).collect();
            let more: Vec<_> = more.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let mut config = postgres_source(&database, prefix, &more);
            config.extend(json_converters(true));
            Side::start(rest, &kafka, prefix, &config)
        })
        .collect();
    let snapshots = case.steps.iter().filter(|(step, _)| *step == Step::Snapshot).count();
    let live = case.steps.iter().filter(|(step, _)| *step != Step::Snapshot);
    for ((step, sql), id) in live.zip(1..) {
        if *step == Step::Away {
            watched.iter().for_each(|side| side.rest.stop(&side.prefix));
        }
        database.sql(sql);
        if *step == Step::Away {
            watched.iter().for_each(|side| side.rest.resume(&side.prefix));
        }
        side::mark(&database, id);
        watched.iter_mut().for_each(|side| side.wait(id));
        let index = usize::try_from(id).expect("a step") + snapshots;
        for (_, signal) in case.signals.iter().filter(|(step, _)| *step == index) {
            for prefix in [&peer_prefix, &our_prefix] {
                topics::write(&kafka, &format!("{prefix}-signal"), prefix, signal);
            }
        }
        for (_, topic, count) in case.waits.iter().filter(|(step, ..)| *step == index) {
            for prefix in [&peer_prefix, &our_prefix] {
                let (topic, reader) = (format!("{prefix}.{topic}"), topics::consumer(&kafka));
                wait_for(&format!("{count} records in {topic}"), Duration::from_secs(60), || {
                    let there = topics::high_watermark(&reader, &topic);
                    (there >= *count).then_some(())
                });
            }
        }
    }

    let records = |prefix: &str| -> BTreeMap<String, Vec<Record>> {
        let all = topics::read_all(&kafka, &format!("{prefix}.")).into_iter();
        let ignored = |topic: &str| case.ignored.iter().any(|p| p.is_match(topic).unwrap_or(false));
        all.filter(|(topic, _)| !topic.ends_with(MARKER) && !ignored(topic))
            .map(|(topic, records)| (topic.replace(prefix, "<prefix>"), records))
            .collect()
    };
    // The marker's topic can be ahead of a table whose records fill several batches: a producer sends
    // one batch of each partition in a request. So a side that is behind gets time to come up.
    let settled = Instant::now() + Duration::from_secs(30);
    let (theirs, mine) = loop {
        let both = (records(&peer_prefix), records(&our_prefix));
        let counts = |side: &BTreeMap<String, Vec<Record>>| -> BTreeMap<String, usize> {
            side.iter().map(|(topic, records)| (topic.clone(), records.len())).collect()
        };
        if counts(&both.0) == counts(&both.1) || Instant::now() > settled {
            break both;
        }
        thread::sleep(Duration::from_millis(200));
    };
    let allowed = allowed();
    let mut differences = Vec::new();
    let none = Vec::new();
    let mut count = 0;
    let all: std::collections::BTreeSet<_> = theirs.keys().chain(mine.keys()).collect();
    for topic in all {
        let (a, b) = (theirs.get(topic).unwrap_or(&none), mine.get(topic).unwrap_or(&none));
        count += a.len();
        if a.len() != b.len() {
            differences.push(format!("{topic}: {} records at the peer, {} here", a.len(), b.len()));
        }
        for (index, (a, b)) in a.iter().zip(b).enumerate() {
            let (a, b) = (shown(a, &peer_prefix, &allowed), shown(b, &our_prefix, &allowed));
            if a.len() != b.len() {
                differences.push(format!("{topic} #{index}: headers\n  peer {a:?}\n  ours {b:?}"));
            }
            for (peer, ours) in a.iter().zip(&b).filter(|(peer, ours)| peer != ours) {
                differences.push(format!("{topic} #{index}\n{}", around(peer, ours)));
            }
        }
    }
    let shown = differences.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    let total = differences.len();
    assert!(differences.is_empty(), "{name}: {total} differences in {count} records\n{shown}");
    if let Some(expected) = case.records {
        assert_eq!(count, expected, "{name}: the number of records compared");
    }
    eprintln!("{name}: {count} records equal");
    for (rest, prefix) in sides {
        rest.forget(prefix);
        topics::delete(&kafka, prefix);
    }
    Some(count)
}

/// One test for each file.
macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let text = include_str!(concat!("differential/", stringify!($name), ".sql"));
            assert!(text.contains("\n-- expect: "), "a case says how many records it makes");
            compare(stringify!($name), text);
        })*

        #[test]
        fn every_file_is_a_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
            let mut files: Vec<_> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|file| file.strip_suffix(".sql").map(str::to_owned))
                .collect();
            files.sort();
            let mut known = vec![$(stringify!($name)),*];
            known.sort_unstable();
            assert_eq!(files, known);
        }
    };
}

cases! { blocking ddl dml enums identity incremental incremental_commands incremental_ddl incremental_kafka incremental_keys keys keys_excluded keys_found messages names names_adjusted reselect resume savepoints snapshot_chunks snapshot_order snapshot_readers streamed streamed_binary times_edges topics_routed transactions types types_postgis types_vector }

/// How many changes chance makes.
const CHANGES: usize = 20_000;

#[test]
fn random_workload() {
    let shape = Shape { changes: CHANGES, rounds: 16, longest: 40, savepoints: 10 };
    let text = by_chance("random_workload", &shape, "");
    if let Some(count) = compare("random", &text) {
        assert!(count >= CHANGES, "{count} records are not {CHANGES}");
    }
}

/// The text of a case of chance, which begins with `header`.
fn by_chance(test: &str, shape: &Shape, header: &str) -> String {
    let random = &mut Random::new(Random::seed(test));
    let text = header.to_owned() + &workload::case(random, shape);
    // Whoever looks for the cause of a difference wants to read it.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.sql"));
    fs::write(file, &text).expect("the case is written");
    text
}

/// Large transactions, which are taken while they are in progress here and once they have committed at
/// the peer. Many roll a part of themselves back, some all.
fn random_streamed(test: &str, server: &str, params: &str) {
    let shape = Shape { changes: CHANGES / 4, rounds: 4, longest: 800, savepoints: 50 };
    // What the server had streamed goes when a slot is dropped, so the case asks at its end.
    let header = format!(
        "-- config: provide.transaction.metadata=true
-- ours: slot.stream.memory.max.bytes=262144
-- ours: slot.stream.params={params}
-- snapshot
SELECT format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()) \\gexec
"
    );
    let asked = format!(
        "-- stream
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_stat_replication_slots
                  WHERE slot_name = 'dours{}_{test}' AND stream_txns > 3) THEN
    RAISE 'no transaction was streamed while in progress: %',
      (SELECT array_agg(s) FROM pg_stat_replication_slots s WHERE slot_name LIKE '%{test}');
  END IF;
END $$;
",
        test.len()
    );
    let text = by_chance(test, &shape, &header) + &asked;
    let Some(count) = play_on(server, test, &parse(&text)) else { return };
    // A large one that is rolled back as a whole is missing.
    assert!(count >= shape.changes / 2, "{count} records of {} changes", shape.changes);
}

#[test]
fn random_workload_streamed() {
    let test = "random_streamed";
    let Some(postgres) = servers::postgres(test) else { return };
    random_streamed(test, &postgres, "proto_version=2;streaming=on");
}

/// With protocol 4 the server says where each rollback lies.
#[test]
fn random_workload_streamed_parallel() {
    let test = "random_parallel";
    if servers::postgres(test).is_none() {
        return;
    }
    let own = Script::new(
        "differential-17",
        &[("PG_MAJOR", "17"), ("PG_FRESH", "1"), ("PG_PORT", "25837")],
    );
    let address = own.run("pg-start", "");
    let _stopped_at_the_end = own.at_end("pg-stop");
    let server = format!("postgres://postgres@{address}/postgres");
    random_streamed(test, &server, "proto_version=4;streaming=parallel");
}
