//! Golden files: SQL in, events out, as the peer wrote them once.
//!
//! `tests/golden/postgres/*.txt` holds blocks parted by blank lines: a directive, its input, `----`,
//! the answer. `sql` runs statements before the connector exists; `snapshot TABLE` shows the records
//! the snapshot made of a table; `events TABLE` runs statements and shows the records they made.
//! A block without `----` is a comment, and so are lines that begin with `#`; `# config: key=value`
//! adds to the connector's configuration.
//!
//! In an answer `<any>` stands for anything, `<name>` for what it stood for where it was first seen,
//! and `<name+>` for a number that is never less than it was before.
//!
//! The answers come from the peer alone: `RECORD=debezium` (with the peer's address in
//! `RIVERRUN_TEST_CONNECT`) writes them anew, nothing else does.

use std::{collections::HashMap, fs, path::Path, str};

use fancy_regex::{Captures, Regex};
use serde_json::Value;

use crate::harness::{
    database::Database,
    rest::{Rest, json_converters, postgres_source},
    servers,
    side::{self, Side},
    topics::{self, Record},
    wait_for,
    worker::Home,
};

/// A table's records from the beginning, and how many have been shown.
struct Shown {
    name: String,
    count: usize,
}

struct Play {
    kafka: String,
    database: Database,
    rest: Rest,
    prefix: String,
    side: Option<Side>,
    marks: i64,
    tables: Vec<Shown>,
    config: Vec<(String, String)>,
}

impl Play {
    fn answer(&mut self, directive: &str, input: &str) -> String {
        let (verb, table) = directive.split_once(' ').unwrap_or((directive, ""));
        match verb {
            "sql" => {
                assert!(self.side.is_none(), "`sql` runs before the connector, use `events`");
                self.database.sql(input);
                "ok".into()
            }
            "snapshot" => {
                self.stream();
                self.news(table)
            }
            "events" => {
                self.stream();
                self.news(table); // What the snapshot made, where nobody asked for it.
                self.database.sql(input);
                self.marks += 1;
                side::mark(&self.database, self.marks);
                self.side.as_mut().expect("streams").wait(self.marks);
                self.news(table)
            }
            _ => panic!("unknown directive {directive:?}"),
        }
    }

    fn stream(&mut self) {
        if self.side.is_none() {
            let mut config = postgres_source(&self.database, &self.prefix, &[]);
            config.extend(json_converters(false));
            config.extend(self.config.iter().cloned());
            self.side = Some(Side::start(&self.rest, &self.kafka, &self.prefix, &config));
        }
    }

    /// The records of a table that were not shown before.
    fn news(&mut self, table: &str) -> String {
        let topic = format!("{}.public.{table}", self.prefix);
        let records = topics::read_all(&self.kafka, &topic).remove(&topic).unwrap_or_default();
        let place = self.tables.iter().position(|shown| shown.name == table);
        let place = place.unwrap_or_else(|| {
            self.tables.push(Shown { name: table.into(), count: 0 });
            self.tables.len() - 1
        });
        let seen = std::mem::replace(&mut self.tables[place].count, records.len());
        let lines: Vec<_> =
            records[seen..].iter().map(|record| show(record, &self.prefix)).collect();
        lines.join("\n")
    }
}

/// A record in lines: key, headers, then the parts of its value.
fn show(record: &Record, prefix: &str) -> String {
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        None => "null".to_owned(),
        Some(bytes) => str::from_utf8(bytes).expect("JSON").replace(prefix, "<prefix>"),
    };
    let mut lines = vec![format!("key     {}", text(&record.key))];
    for (name, value) in &record.headers {
        lines.push(format!("header  {name} {}", text(value)));
    }
    let value = text(&record.value);
    match serde_json::from_str(&value).expect("JSON") {
        Value::Object(event) => {
            for (name, part) in event {
                // Long runs of one letter are for TOAST, not for reading.
                lines.push(format!(
                    "{name:<7} {}",
                    part.to_string().replace(&"x".repeat(2500), "<2500 x>")
                ));
            }
        }
        _ => lines.push(format!("value   {value}")),
    }
    lines.join("\n")
}

/// What the peer wrote, with placeholders for what another run cannot repeat.
fn templated(answer: &str) -> String {
    let any = Regex::new(
        r#"(?m)("(?:version|ts_ms|ts_us|ts_ns|sequence)":)("(?:[^"\\]|\\.)*"|\d+)|^(ts_[mun]s +)\d+$|^(header +__debezium\.context\.runId )"[^"]*"|^(header +__debezium\.context\.runId ).*"#,
    );
    let any = any.expect("a pattern").replace_all(answer, |found: &Captures<'_>| {
        let kept = (3..=5).chain([1]).find_map(|group| found.get(group)).expect("one of them");
        format!("{}<any>", kept.as_str())
    });
    let number = Regex::new(r#""(txId|lsn)":(\d+)"#).expect("a pattern");
    let mut transactions: Vec<String> = Vec::new();
    number
        .replace_all(&any, |found: &Captures<'_>| {
            if &found[1] == "lsn" {
                return r#""lsn":<lsn+>"#.into();
            }
            let seen = transactions.iter().position(|id| *id == found[2]).unwrap_or_else(|| {
                transactions.push(found[2].to_owned());
                transactions.len() - 1
            });
            format!(r#""txId":<tx{}>"#, seen + 1)
        })
        .into_owned()
}

/// Whether `got` is what `want` says, remembering what its names stand for.
fn matches(want: &str, got: &str, names: &mut HashMap<String, String>) -> bool {
    let (mut want, mut got) = (want, got);
    let placeholder = Regex::new(r"<(any|tx\d+|lsn)(\+?)>").expect("a pattern");
    while let Some(found) = placeholder.captures(want).expect("a pattern") {
        let whole = found.get(0).expect("the match");
        let Some(rest) = got.strip_prefix(&want[..whole.start()]) else { return false };
        want = &want[whole.end()..];
        // A value goes up to the text that follows it, at most to the end of its line.
        let follows = want.find(['<', '\n']).map_or(want, |end| &want[..end]);
        let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
        let end =
            if follows.is_empty() { line.len() } else { line.find(follows).unwrap_or(usize::MAX) };
        let Some((value, rest)) = rest.split_at_checked(end) else { return false };
        got = rest;
        let (name, grows) = (&found[1], !found[2].is_empty());
        let before = (name != "any").then(|| names.insert(name.into(), value.into())).flatten();
        let holds = before.is_none_or(|before| match grows {
            true => value.parse::<u64>().is_ok_and(|now| now >= before.parse().unwrap_or(0)),
            false => value == before,
        });
        if !holds {
            return false;
        }
    }
    want == got
}

fn play(name: &str, file: &str) {
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    let recording = match std::env::var("RECORD") {
        Ok(peer) if peer == "debezium" => true,
        Ok(other) => panic!("RECORD={other}: only `debezium` may write golden files"),
        Err(_) => false,
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/postgres").join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\n# expected: debezium "),
        "{file}: its head says who wrote the answers"
    );
    let prefix = format!("golden_{}", name.replace('-', "_"));
    let worker = (!recording).then(|| Home::new(&prefix, &kafka).start(&[]));
    let rest = match &worker {
        Some(worker) => worker.rest.clone(),
        None => Rest { url: servers::connect(name).expect("the peer to record from") },
    };
    rest.forget(&prefix);
    topics::delete(&kafka, &prefix);
    let database = Database::create(&postgres, &prefix);
    side::prepare(&database);
    let (side, tables) = (None, Vec::new());
    let config = text.lines().filter_map(|line| line.strip_prefix("# config: ")).map(|pair| {
        let (key, value) = pair.split_once('=').expect("# config: key=value");
        (key.to_owned(), value.to_owned())
    });
    let config = config.collect();
    let mut play = Play { kafka, database, rest, prefix, side, marks: 0, tables, config };

    let mut names = HashMap::new();
    let mut recorded = Vec::new();
    for block in text.trim_end().split("\n\n") {
        let Some((question, answer)) = block.split_once("\n----") else {
            recorded.push(block.to_owned());
            continue;
        };
        let mut lines = question.lines().skip_while(|line| line.starts_with('#'));
        let directive = lines.next().expect("a directive");
        let got = play.answer(directive, &lines.collect::<Vec<_>>().join("\n"));
        if !recording {
            let want = answer.trim();
            let same = matches(want, got.trim(), &mut names);
            assert!(same, "{file}: {question}\nwant:\n{want}\n\ngot:\n{got}\n\n{names:?}");
        }
        recorded.push(format!("{question}\n----\n{}", got.trim_end()));
    }
    if recording {
        fs::write(&path, format!("{}\n", templated(&recorded.join("\n\n")))).unwrap();
    }
    play.rest.forget(&play.prefix);
    topics::delete(&play.kafka, &play.prefix);
    wait_for("the slot's end", std::time::Duration::from_secs(30), || {
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()";
        (play.database.value(slots) == "0").then_some(())
    });
}

macro_rules! files {
    ($($name:ident $file:literal)*) => {
        $(#[test]
        fn $name() {
            play(stringify!($name), $file);
        })*

        #[test]
        fn every_file_is_a_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/postgres");
            let files = fs::read_dir(folder).unwrap();
            let mut files: Vec<_> =
                files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            assert_eq!(files, [$($file),*]);
        }
    };
}

files! {
    insert_update_delete "insert-update-delete.txt"
    key_change "key-change.txt"
    no_key "no-key.txt"
    toast_unchanged "toast-unchanged.txt"
    transaction_order "transaction-order.txt"
}

#[test]
fn placeholders() {
    let table = [
        ("a <any> c", "a b c", true),
        ("a <any> c", "a b d", false),
        ("<tx1>,<tx2>,<tx1>", "1,2,1", true),
        ("<tx1>,<tx2>,<tx1>", "1,2,3", false),
        ("<lsn+> <lsn+> <lsn+>", "5 7 7", true),
        ("<lsn+> <lsn+>", "7 5", false),
        ("<any>", "one\ntwo", false),
        ("x", "x", true),
        ("x", "xy", false),
    ];
    for (want, got, answer) in table {
        assert_eq!(matches(want, got, &mut HashMap::new()), answer, "{want:?} against {got:?}");
    }
    assert_eq!(
        templated(r#"{"ts_ms":12,"txId":7,"lsn":9,"txId":8}"#),
        r#"{"ts_ms":<any>,"txId":<tx1>,"lsn":<lsn+>,"txId":<tx2>}"#
    );
}
