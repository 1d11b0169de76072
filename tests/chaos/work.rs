//! What a group runs: the one table of its connectors, and where what they read and write is.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::harness::{
    database::Database,
    rest::{Config, json_converters, postgres_source},
    topics,
};

/// Sources that read a database, each its own tables.
pub(super) const TABLES: usize = 5;

/// Sources that read a file.
pub(super) const FILES: usize = 3;

/// Partitions of topics that several tasks of a sink share.
const PARTITIONS: i32 = 4;

/// A connector.
pub(super) struct Work {
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) tasks: usize,
    pub(super) holds: Holds,
}

/// What a connector's tasks hold while they run, and nobody else does.
#[derive(PartialEq, Eq)]
pub(super) enum Holds {
    /// The replication slot of its name.
    Slot,
    /// The file that it reads, open.
    File(PathBuf),
    /// The file that it writes, open once for each task, and a place for each task in the consumer
    /// group. What it writes is what is in the topics.
    Group { file: PathBuf, topics: Vec<String> },
}

/// Where it all is.
pub(super) struct Place {
    pub(super) prefix: &'static str,
    pub(super) kafka: String,
    pub(super) database: Arc<Database>,
    directory: PathBuf,
}

impl Place {
    /// Nothing of an earlier run is left. All topics that records go to are there.
    pub(super) fn new(prefix: &'static str, kafka: &str, database: Arc<Database>) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{prefix}-files"));
        let _absent = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory for the files");
        let place = Self { prefix, kafka: kafka.to_owned(), database, directory };
        for n in 0..TABLES {
            topics::create(kafka, &place.table("log", n), 1, &[]);
            topics::create(kafka, &place.table("state", n), PARTITIONS, &[]);
        }
        for n in 0..FILES {
            topics::create(kafka, &place.lines(n), PARTITIONS, &[]);
        }
        place
    }

    /// The topic of a table.
    pub(super) fn table(&self, table: &str, n: usize) -> String {
        format!("{}_{n}.public.{table}{n}", self.prefix)
    }

    /// The topic of a file's lines.
    pub(super) fn lines(&self, n: usize) -> String {
        format!("{}_lines{n}", self.prefix)
    }

    /// A file that grows.
    pub(super) fn source(&self, n: usize) -> PathBuf {
        self.directory.join(format!("source{n}.txt"))
    }

    pub(super) fn forget(&self) {
        fs::remove_dir_all(&self.directory).expect("the files are this test's own");
    }
}

/// The connectors of a group. All of them are known to workers of both kinds.
pub(super) fn all(place: &Place) -> Vec<Work> {
    let lines = |range: std::ops::Range<usize>| range.map(|n| place.lines(n)).collect();
    let tables = |table| (0..TABLES).map(|n| place.table(table, n)).collect::<Vec<_>>();
    let regex = format!("{}_[0-9]+\\.public\\.state[0-9]+", place.prefix);
    let mut work: Vec<Work> = (0..TABLES).map(|n| reads_tables(place, n)).collect();
    work.extend((0..FILES).map(|n| reads_file(place, n)));
    work.extend([
        writes(place, "one", 2, lines(0..1), None),
        writes(place, "some", 3, lines(1..FILES), None),
        writes(place, "states", 2, tables("state"), Some(&regex)),
        writes(place, "logs", 2, tables("log"), None),
    ]);
    work
}

fn reads_tables(place: &Place, n: usize) -> Work {
    let name = format!("{}_{n}", place.prefix);
    let tables = format!("public.log{n},public.state{n},public.note{n}");
    let more = [
        ("table.include.list", tables.as_str()),
        ("publication.autocreate.mode", "filtered"),
        // A worker that hangs keeps its slot until the server gives it up.
        ("slot.max.retries", "120"),
        ("slot.retry.delay.ms", "500"),
    ];
    let mut config = postgres_source(&place.database, &name, &more);
    config.extend(json_converters(false));
    Work { config, tasks: 1, holds: Holds::Slot, name }
}

fn reads_file(place: &Place, n: usize) -> Work {
    let file = place.source(n);
    let more = [
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector"),
        ("tasks.max", "1"),
        ("file", text(&file)),
        ("topic", &place.lines(n)),
    ];
    let config = as_text(&more);
    Work { name: format!("{}_file{n}", place.prefix), config, tasks: 1, holds: Holds::File(file) }
}

fn writes(
    place: &Place,
    name: &str,
    tasks: usize,
    topics: Vec<String>,
    regex: Option<&str>,
) -> Work {
    let file = place.directory.join(format!("sink-{name}.txt"));
    let subscribed = topics.join(",");
    let more = [
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
        ("tasks.max", &tasks.to_string()),
        ("file", text(&file)),
        match regex {
            Some(regex) => ("topics.regex", regex),
            None => ("topics", &subscribed),
        },
        // Members that are gone are noticed soon.
        ("consumer.override.session.timeout.ms", "6000"),
        ("consumer.override.heartbeat.interval.ms", "1500"),
        // A topic that is deleted at the end stays deleted.
        ("consumer.override.allow.auto.create.topics", "false"),
    ];
    let config = as_text(&more);
    let name = format!("{}_sink_{name}", place.prefix);
    Work { name, config, tasks, holds: Holds::Group { file, topics } }
}

/// A configuration under which values are written and read as they are.
fn as_text(more: &[(&str, &str)]) -> Config {
    const CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";
    let converters = [("key.converter", CONVERTER), ("value.converter", CONVERTER)];
    converters.iter().chain(more).map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
