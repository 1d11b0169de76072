//! What the source driver costs: pushes synthetic change events through it and prints records per
//! second, CPU-seconds per million and peak memory.
//!
//! ```text
//! cargo run --release --example produce -- [records] [bootstrap.servers] [property=value …]
//! ```
//!
//! Properties go to the connector, such as `producer.override.linger.ms=5`; `value.pad=N` lengthens
//! each row by N bytes; `rate=N` sends N records a second, one a batch.
//! The events are made while it runs; a second pass makes them without sending, and its CPU time is
//! printed beside, because it is no part of the driver.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use model::{
    change::{BatchBuilder, Event, Op, TableSchema, envelope},
    config::{Config, ConfigDef},
    connector::{Object, Outbox, Props, SourceConnector, SourceTask, Start},
    error::Result,
    record::{Batch, Data, Header, Headers, Position},
    schema::{Kind, Schema},
    value::Value,
};
use riverrun::{
    metrics::Metrics,
    runtime::{OffsetStore, Spawn, Tasks, Threads, transport},
};
use tokio::sync::mpsc;

static CONFIG: ConfigDef = ConfigDef(&[]);

struct Synthetic;

#[async_trait]
impl SourceConnector for Synthetic {
    fn class(&self) -> &'static str {
        "Synthetic"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    async fn start(&self, config: Config, _start: Start) -> Result<Box<dyn SourceTask>> {
        let number = |key: &str| config.prop(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Box::new(Generator {
            left: number("records"),
            rate: number("rate"),
            maker: Maker::new(config.prop("topic").unwrap_or("produce"), number("value.pad")),
        }))
    }
}

struct Generator {
    left: usize,
    rate: usize,
    maker: Maker,
}

#[async_trait]
impl SourceTask for Generator {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        let each = if self.rate == 0 { 2_000 } else { 1 };
        let mut pace = (self.rate > 0)
            .then(|| tokio::time::interval(Duration::from_secs(1) / self.rate as u32));
        while self.left > 0 {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let batch = self.maker.batch(self.left.min(each));
            let count = batch.records.len();
            let Some(room) = out.room().await else { return Ok(()) };
            room.send(batch);
            self.left -= count;
        }
        out.stopped().await;
        Ok(())
    }
}

/// Makes events like those of a table with six columns.
struct Maker {
    table: Arc<TableSchema>,
    headers: Headers,
    partition: Arc<Object>,
    next: i64,
    pad: String,
}

impl Maker {
    fn new(topic: &str, pad: usize) -> Self {
        let scalar = |kind| Arc::new(Schema::new(kind));
        let key = Arc::new(Schema::structure([("id", scalar(Kind::Int64))]));
        let columns = [
            ("id", Kind::Int64),
            ("name", Kind::String),
            ("city", Kind::String),
            ("amount", Kind::Float64),
            ("note", Kind::String),
            ("seen", Kind::Int64),
        ];
        let row = Schema::structure(columns.map(|(name, kind)| (name, scalar(kind)))).optional();
        let row = Arc::new(row.name_only("produce.Value"));
        let names = [
            "version",
            "connector",
            "name",
            "snapshot",
            "db",
            "sequence",
            "schema",
            "table",
            "lsn",
        ];
        let block = Schema::structure(names.map(|name| (name, scalar(Kind::String))));
        let block = Arc::new(block.name_only("produce.Source"));
        let header = |name: &str, value: &str| Header {
            name: name.into(),
            data: Data { schema: Some(scalar(Kind::String)), value: Value::Text(value.into()) },
        };
        Self {
            table: Arc::new(TableSchema {
                topic: topic.into(),
                key: Some((key, Arc::new([0]))),
                envelope: Arc::new(envelope("produce.Envelope", &row, &block)),
                row,
            }),
            headers: Arc::new([
                header("__debezium.context.connectorLogicalName", "produce"),
                header("__debezium.context.taskId", "0"),
                header("__debezium.context.connectorName", "postgresql"),
                header("__debezium.context.runId", "019aa5e2-1111-7222-8333-444455556666"),
            ]),
            partition: Arc::new(Object::from_iter([("server".into(), "produce".into())])),
            next: 0,
            pad: "x".repeat(pad),
        }
    }

    fn batch(&mut self, records: usize) -> Batch {
        let mut builder = BatchBuilder::new(self.headers.clone());
        let rows = &mut builder.rows;
        let texts = [
            "3.7.0.Final",
            "postgresql",
            "produce",
            "false",
            "shop",
            "[\"1\",\"2\"]",
            "public",
            "customers",
            "123456789",
        ];
        let shared = texts.map(|text| rows.share(text.into()));
        shared.iter().for_each(|&text| rows.shared(text));
        let source = rows.end();
        // Whole batches of large rows stay at a size that a source would hand over.
        let records = records.min(1 + (4 << 20) / (self.pad.len() + 100));
        for _ in 0..records {
            let rows = &mut builder.rows;
            self.next += 1;
            rows.int(self.next);
            rows.text("Wilhelmina Vandersloot-Baumgartner");
            rows.text("Saint-Remy-en-Bouzemont");
            rows.float64(12.5 + self.next as f64);
            rows.text_with(|out| {
                out.push_str("a note that is as long as notes are");
                out.push_str(&self.pad);
            });
            rows.int(1_790_000_000_000_000 + self.next);
            let after = Some(rows.end());
            let ts_ns = now().as_nanos() as i64;
            let event = Event {
                op: Op::Create,
                before: None,
                after,
                source,
                transaction: None,
                ts_ns,
                key_header: None,
            };
            builder.push(&self.table, event);
        }
        let offset = Object::from_iter([("next".into(), self.next.into())]);
        builder.seal(Some(Position { partition: self.partition.clone(), offset }))
    }
}

fn now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is past 1970")
}

#[derive(Default)]
struct Memory(Mutex<HashMap<String, Object>>);

#[async_trait]
impl OffsetStore for Memory {
    async fn read(&self, _connector: &str, _partition: &Object) -> Result<Option<Object>> {
        Ok(None)
    }

    async fn write(&self, _: &str, entries: Vec<(Object, Option<Object>)>) -> Result<()> {
        let mut stored = self.0.lock().unwrap();
        for (partition, offset) in entries {
            stored.insert(serde_json::to_string(&partition).unwrap(), offset.unwrap_or_default());
        }
        Ok(())
    }

    async fn list(&self, _connector: &str) -> Result<Vec<(Object, Object)>> {
        Ok(Vec::new())
    }
}

impl Memory {
    fn next(&self) -> u64 {
        let stored = self.0.lock().unwrap();
        stored.values().next().and_then(|offset| offset["next"].as_u64()).unwrap_or(0)
    }
}

/// User and system time of this process, in seconds.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // A clock tick is 10 ms on Linux.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn main() {
    let (runtime, threads) = Threads::open().expect("threads");
    runtime.block_on(produce(threads));
}

#[allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
async fn produce(threads: Threads) {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let records: u64 = args.next().map_or(1_000_000, |text| text.parse().expect("records"));
    let servers = args.next().unwrap_or_else(|| "127.0.0.1:19092".to_owned());
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let own = |pairs: &[(&str, &str)]| -> Props {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    let worker = own(&[
        ("bootstrap.servers", &servers),
        ("key.converter", json),
        ("key.converter.schemas.enable", "false"),
        ("value.converter", json),
        ("value.converter.schemas.enable", "false"),
        ("header.converter", "org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        ("offset.flush.interval.ms", "100"),
    ]);
    let mut props = own(&[("records", &records.to_string()), ("topic", "riverrun-produce")]);
    props.extend(args.map(|arg| {
        let (key, value) = arg.split_once('=').expect("property=value");
        (key.to_owned(), value.to_owned())
    }));
    let offsets = Arc::new(Memory::default());
    let tasks = Tasks {
        threads,
        transport: transport::open(&worker).expect("a transport"),
        offsets: offsets.clone(),
        metrics: Metrics::new(&worker, "produce"),
        worker: Arc::new(worker),
    };
    if let Err(error) = tasks.transport.check(Duration::from_secs(5)).await {
        println!("failed: {}", error.trace());
        return;
    }
    println!("into Kafka cluster {}", tasks.transport.cluster_id().await.unwrap_or_default());
    let (status, mut updates) = mpsc::unbounded_channel();
    let (cpu_before, begun) = (cpu(), Instant::now());
    let pad = props.get("value.pad").and_then(|text| text.parse().ok()).unwrap_or(0);
    let handle = tasks.start_source(
        &Synthetic,
        Spawn { connector: "produce".into(), task: 0, props, paused: false, status },
    );
    while offsets.next() < records {
        tokio::time::sleep(Duration::from_millis(10)).await;
        while let Ok(update) = updates.try_recv() {
            if let Some(trace) = update.trace {
                println!("failed: {trace}");
                return;
            }
        }
    }
    let (seconds, spent) = (begun.elapsed().as_secs_f64(), cpu() - cpu_before);
    handle.stop(Duration::from_secs(5)).await;
    let peak = peak_mb();
    let before = cpu();
    let mut maker = Maker::new("none", pad);
    while maker.next < records as i64 {
        drop(maker.batch(2_000));
    }
    let making = cpu() - before;
    let million = records as f64 / 1e6;
    println!(
        "{records} records in {seconds:.2} s: {:.0} records/s, {:.2} CPU-s a million ({:.2} without \
         making the events), peak memory {peak} MB",
        records as f64 / seconds,
        spent / million,
        (spent - making) / million,
    );
}
