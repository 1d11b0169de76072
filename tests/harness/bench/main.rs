//! Riverrun beside Debezium on the JVM, and both beside what bounds them.
//!
//! Both workers stay up for the whole run and are driven by REST alone; they take turns on the same
//! data, each with its own slot and topics. Work is done when the high watermark of the destination
//! topic says so: nothing is believed that has not arrived. CPU is the worker process's own, from
//! `/proc`; peak memory likewise, reset before each measurement. Of several rounds the median counts, so that
//! the JVM is measured warm.
//!
//! * **snapshot**: one table, two threads; from the connector's creation to the last row in the topic.
//! * **backlog**: changes are committed while the connectors are stopped; timed is from resume to
//!   the last one in the topic; once more with `schemas.enable=true`. `pg_recvlogical` drains the same log to nowhere: the server's limit.
//! * **latency**: from the commit (the time PostgreSQL wrote into the log, which both put into
//!   `source.ts_us`) to a consumer, at 100 and at 5,000 commits a second, default settings.
//! * **start**: from the process's start to an answer of the REST API.
//! * **connectors**: one worker with 500 idle connectors, in `many`.
//!
//! Arguments choose among them: `data` is all but the last; `start`, `producer`, `snapshot`, `single`,
//! `hundred`, `schemas`, `latency` are its parts.

#[path = "../mod.rs"]
mod harness;
mod many;
mod process;
mod table;

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;

use harness::{
    database::Database,
    rest::{Rest, json_converters, postgres_source},
    topics::{self, Follower},
    wait_for,
    worker::Home,
};
use process::Process;
use table::{Cost, Table, median};

const PATIENCE: Duration = Duration::from_secs(900);

/// Tables and load. Rows of about 95 bytes, as pgbench has them.
const SQL: &str = "
CREATE TABLE event (
  id bigserial PRIMARY KEY, k int NOT NULL, amount numeric(12,2), note varchar(200), at timestamptz DEFAULT now());
CREATE PROCEDURE produce(changes int, rows_each int) LANGUAGE plpgsql AS $$
BEGIN
  SET synchronous_commit = off;
  FOR i IN 1..changes / 2 LOOP
    INSERT INTO event (k, amount, note)
      VALUES (i, i / 100.0, 'change number ' || i || ' with as much text beside it as an order usually has');
    IF i % rows_each = 0 THEN COMMIT; END IF;
  END LOOP;
  COMMIT;
  FOR i IN 1..changes / 2 LOOP
    UPDATE event SET amount = amount + 1 WHERE id = i;
    IF i % rows_each = 0 THEN COMMIT; END IF;
  END LOOP;
  COMMIT;
END $$;
CREATE PROCEDURE tick(commits int, per_second int) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
BEGIN
  FOR i IN 1..commits LOOP
    INSERT INTO event (k, note) VALUES (i, 'tick');
    COMMIT;
    PERFORM pg_sleep(extract(epoch FROM began + i * interval '1 second' / per_second - clock_timestamp()));
  END LOOP;
END $$;
";

/// One of the two workers.
struct Contender {
    name: &'static str,
    rest: Rest,
    process: Process,
}

struct Bench {
    postgres: String,
    kafka: String,
    rows: i64,
    rounds: usize,
    contenders: [Contender; 2],
    watch: rdkafka::consumer::BaseConsumer,
    table: Table,
}

fn number(variable: &str, default: i64) -> i64 {
    env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn main() {
    let setting = |name: &str| {
        env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/harness/bench/run"))
    };
    let (postgres, kafka) = (setting("RIVERRUN_TEST_POSTGRES"), setting("RIVERRUN_TEST_KAFKA"));
    let peer = Rest { url: setting("RIVERRUN_TEST_CONNECT") };
    let chosen: Vec<String> = env::args().skip(1).filter(|name| name != "--bench").collect();
    let wanted = |name: &str| {
        let named = |name: &str| chosen.iter().any(|one| one == name);
        chosen.is_empty() || named(name) || (name != "connectors" && named("data"))
    };
    let (rows, rounds) = (number("ROWS", 1_000_000), number("ROUNDS", 3) as usize);
    let mut table = Table::default();
    let pid_file = setting("BENCH_PEER_PIDFILE");
    let peer_process = || {
        let pid = std::fs::read_to_string(&pid_file).expect("the peer's process id");
        Process(pid.trim().parse().expect("a process id"))
    };
    if wanted("start") {
        start_times(&kafka, &mut table);
    }
    let parts: Vec<Part> = PARTS.iter().filter(|part| wanted(part.0)).map(|part| part.1).collect();
    if !parts.is_empty() {
        let peer = (peer.clone(), peer_process());
        table = data(postgres, &kafka, peer, (rows, rounds), table, &parts);
    }
    if wanted("connectors") {
        many::run(&kafka, &peer, &peer_process, &mut table);
    }
    table.print(rows, rounds);
}

type Part = fn(&mut Bench);

/// What one connector does, by name.
const PARTS: &[(&str, Part)] = &[
    ("producer", |bench| {
        bench.producer("480 bytes", 480);
        bench.producer("4.6 kB", 4_600);
    }),
    ("snapshot", Bench::snapshot),
    ("single", |bench| bench.backlog(1, false)),
    ("hundred", |bench| bench.backlog(100, false)),
    ("schemas", |bench| bench.backlog(100, true)),
    ("latency", |bench| {
        bench.latency(100, 1_000);
        bench.latency(5_000, 50_000);
    }),
];

/// Records through one connector: how many, how dear, how late.
fn data(
    postgres: String,
    kafka: &str,
    (peer, peer_process): (Rest, Process),
    (rows, rounds): (i64, usize),
    table: Table,
    parts: &[Part],
) -> Table {
    let worker = Home::new("bench", kafka).start(&[]);
    let contenders = [
        Contender { name: "debezium", rest: peer, process: peer_process },
        Contender {
            name: "riverrun",
            rest: worker.rest.clone(),
            process: Process(worker.child.id()),
        },
    ];
    let mut bench = Bench {
        watch: topics::consumer(kafka),
        rows,
        rounds,
        postgres,
        kafka: kafka.to_owned(),
        contenders,
        table,
    };
    for part in parts {
        part(&mut bench);
    }
    bench.table
}

/// Runs a script of the harness.
fn script(name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness").join(name);
    let status = Command::new(path).stdout(Stdio::null()).status().expect("a script");
    assert!(status.success(), "{name}: {status}");
}

/// The JVM's start needs a group and topics of its own, so it is timed by its script, in another instance.
fn start_times(kafka: &str, table: &mut Table) {
    let ours: Vec<f64> = (0..5)
        .map(|_| {
            let home = Home::new("bench-start", kafka);
            let began = Instant::now();
            let worker = home.spawn(&[]);
            loop {
                let answer = worker.rest.try_ask("GET", "/");
                if answer.is_ok_and(|answer| answer.status == 200) {
                    return began.elapsed().as_secs_f64();
                }
                assert!(began.elapsed() < Duration::from_secs(30), "no REST: {}", home.log());
                std::thread::yield_now();
            }
        })
        .collect();
    script("connect-stop");
    let began = Instant::now();
    script("connect-start");
    table.row("start to REST, s", began.elapsed().as_secs_f64(), median(ours), None);
}

impl Bench {
    fn database(&self, name: &str) -> Database {
        let database = Database::create(&self.postgres, name);
        database.sql(SQL);
        database
    }

    fn config(
        &self,
        database: &Database,
        prefix: &str,
        more: &[(&str, &str)],
        schemas: bool,
    ) -> harness::rest::Config {
        let mut config = postgres_source(database, prefix, more);
        config.extend(json_converters(schemas));
        config
    }

    /// Waits until a topic holds `count` records, looking after the connector now and then.
    fn arrive(&self, contender: &Contender, prefix: &str, topic: &str, count: i64) {
        let mut looked = Instant::now();
        let what = format!("{count} records in {topic}");
        wait_for(&what, PATIENCE, || {
            if looked.elapsed() > Duration::from_secs(5) {
                looked = Instant::now();
                contender.rest.wait_running(prefix);
            }
            (topics::high_watermark(&self.watch, topic) >= count).then_some(())
        });
    }

    /// Runs `work` until the topic holds `until` records, `rows` of them new.
    fn measure(
        &self,
        who: usize,
        prefix: &str,
        topic: &str,
        until: i64,
        work: impl FnOnce(&Rest),
    ) -> Cost {
        let contender = &self.contenders[who];
        touch_memory();
        contender.process.reset_peak();
        let (cpu, began) = (contender.process.cpu(), Instant::now());
        work(&contender.rest);
        self.arrive(contender, prefix, topic, until);
        let seconds = began.elapsed().as_secs_f64();
        let cost = Cost {
            rate: self.rows as f64 / seconds,
            cpu: (contender.process.cpu() - cpu) * 1e6 / self.rows as f64,
            peak: contender.process.peak_mib(),
        };
        eprintln!("{:<10} {topic}: {cost:.1?}", contender.name);
        cost
    }

    fn end(&self, who: usize, prefix: &str) {
        self.contenders[who].rest.forget(prefix);
        topics::delete(&self.kafka, &format!("{prefix}."));
    }

    fn snapshot(&mut self) {
        let database = Database::create(&self.postgres, "bench_snapshot");
        database.sql(&format!(
            "CREATE TABLE account (id int PRIMARY KEY, branch int, balance int, filler char(84));
             INSERT INTO account SELECT n, n / 100000, 0, '' FROM generate_series(1, {}) n;
             VACUUM FREEZE ANALYZE account;",
            self.rows
        ));
        let mut costs = [Vec::new(), Vec::new()];
        let mut copies = Vec::new();
        for round in 0..self.rounds {
            for who in self.turns(round) {
                let prefix = format!("bs_{}_{round}", self.contenders[who].name);
                let topic = format!("{prefix}.public.account");
                let threads = [("snapshot.max.threads", "2")];
                let config = self.config(&database, &prefix, &threads, false);
                costs[who].push(
                    self.measure(who, &prefix, &topic, self.rows, |rest| {
                        rest.put(&prefix, &config)
                    }),
                );
                self.end(who, &prefix);
                database.sql(&format!(
                    "SELECT pg_drop_replication_slot('{prefix}'); DROP PUBLICATION {prefix};"
                ));
            }
            let began = Instant::now();
            database.sql("COPY account TO '/dev/null' (FORMAT binary);");
            let server = began.elapsed();
            let began = Instant::now();
            database.stream_away("COPY account TO STDOUT (FORMAT binary)");
            let client = began.elapsed();
            eprintln!("COPY to the server's /dev/null {server:.2?}, to a client {client:.2?}");
            copies.push(self.rows as f64 / client.as_secs_f64());
        }
        self.table.costs("snapshot, 2 threads", costs, Some(("COPY TO STDOUT", median(copies))));
    }

    /// Who goes first changes by the round.
    fn turns(&self, round: usize) -> [usize; 2] {
        if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
    }

    fn backlog(&mut self, rows_each: i64, schemas: bool) {
        let kind = format!("{rows_each}{}", if schemas { "s" } else { "" });
        let name = format!("bench_backlog_{kind}");
        let database = self.database(&name);
        let label =
            |who: usize, round: usize| format!("bb{kind}_{}_{round}", self.contenders[who].name);
        let topic = |prefix: &str| format!("{prefix}.public.event");
        database.sql(
            "CREATE PUBLICATION bb_raw FOR ALL TABLES; -- Older than the changes it is asked for.
             INSERT INTO event (k, note) VALUES (0, 'found by the snapshot');",
        );
        // Each connector of each round reads its snapshot of one row, shows by a marker that it streams, and stops.
        for round in 0..self.rounds {
            for who in 0..2 {
                let (prefix, rest) = (label(who, round), &self.contenders[who].rest);
                rest.start(&prefix, &self.config(&database, &prefix, &[], schemas));
                self.arrive(&self.contenders[who], &prefix, &topic(&prefix), 1);
                let before = topics::high_watermark(&self.watch, &topic(&prefix));
                database.sql("INSERT INTO event (k, note) VALUES (0, 'marker');");
                self.arrive(&self.contenders[who], &prefix, &topic(&prefix), before + 1);
                rest.stop(&prefix);
            }
            database.sql(&format!(
                "SELECT pg_create_logical_replication_slot('bb_raw_{round}', 'pgoutput');"
            ));
        }
        database.sql("TRUNCATE event RESTART IDENTITY;");
        let began = Instant::now();
        database.sql(&format!("CALL produce({}, {rows_each});", self.rows));
        let end = database.value("SELECT pg_current_wal_lsn()");
        eprintln!(
            "{} changes, {rows_each} a transaction, committed in {:.1?}",
            self.rows,
            began.elapsed()
        );

        let mut costs = [Vec::new(), Vec::new()];
        let mut drains = Vec::new();
        for round in 0..self.rounds {
            drains.push(
                self.rows as f64 / drain(&database, &format!("bb_raw_{round}"), &end).as_secs_f64(),
            );
            eprintln!("pg_recvlogical {:.0}/s", drains[round]);
            for who in self.turns(round) {
                let prefix = label(who, round);
                // Markers of connectors set up later are part of the backlog; they are a few among a million.
                let before = topics::high_watermark(&self.watch, &topic(&prefix));
                let later = (self.rounds * 2 - round * 2 - who - 1) as i64;
                let until = before + later + self.rows;
                costs[who].push(self.measure(who, &prefix, &topic(&prefix), until, |rest| {
                    rest.call("PUT", &format!("/connectors/{prefix}/resume"), None);
                }));
                self.end(who, &prefix);
            }
        }
        let what = match rows_each {
            1 => "backlog, one row a transaction".to_owned(),
            rows if schemas => format!("backlog, {rows} rows a transaction, schemas.enable=true"),
            rows => format!("backlog, {rows} rows a transaction"),
        };
        self.table.costs(&what, costs, Some(("pg_recvlogical", median(drains))));
    }

    fn latency(&mut self, per_second: usize, commits: usize) {
        let database = self.database(&format!("bench_latency_{per_second}"));
        let (mut middle, mut high) = ([0.0; 2], [0.0; 2]);
        for who in 0..2 {
            let prefix = format!("bl{per_second}_{}", self.contenders[who].name);
            database.sql(
                "TRUNCATE event; INSERT INTO event (k, note) VALUES (0, 'found by the snapshot');",
            );
            let config = self.config(&database, &prefix, &[], false);
            self.contenders[who].rest.start(&prefix, &config);
            let topic = format!("{prefix}.public.event");
            let mut follower = Follower::new(&self.kafka, &topic);
            self.arrive(&self.contenders[who], &prefix, &topic, 1);
            // Once this has come, the stream has begun and the reader is at its end.
            database.sql("INSERT INTO event (k, note) VALUES (0, 'marker');");
            wait_for("the marker", PATIENCE, || {
                (follower.event()?["after"]["note"] == "marker").then_some(())
            });
            let mut delays = std::thread::scope(|scope| {
                let load =
                    scope.spawn(|| database.sql(&format!("CALL tick({commits}, {per_second});")));
                let mut delays = Vec::new();
                let mut last = Instant::now();
                while delays.len() < commits {
                    let Some(event) = follower.event() else {
                        let count = delays.len();
                        assert!(last.elapsed() < Duration::from_secs(60), "{count} ticks came");
                        continue;
                    };
                    last = Instant::now();
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
                    let at = |time: &Value| time.as_f64().expect("microseconds") / 1e3;
                    let commit = at(&event["source"]["ts_us"]);
                    delays.push(Delay {
                        made: at(&event["ts_us"]) - commit,
                        came: now.as_micros() as f64 / 1e3 - commit,
                    });
                }
                load.join().expect("the load");
                delays
            });
            for (second, part) in delays.chunks_mut(per_second).enumerate() {
                eprintln!("second {second}: {}", Delay::summary(part));
            }
            eprintln!("{}: {}", self.contenders[who].name, Delay::summary(&mut delays));
            (middle[who], high[who]) = (delays[commits / 2].came, delays[commits * 99 / 100].came);
            self.end(who, &prefix);
        }
        let row = |at: &str| format!("latency {at} at {per_second} commits/s, ms");
        self.table.row(&row("p50"), middle[0], middle[1], None);
        self.table.row(&row("p99"), high[0], high[1], None);
    }

    /// What librdkafka alone sends, of records as long as the snapshot's and as those with schemas. It
    /// comes first, so that both workers find a broker whose code is compiled.
    fn producer(&mut self, size: &str, bytes: usize) {
        let (mut rates, mut cpus) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let (rate, cpu) = self.produce(bytes);
            eprintln!("bare producer, {size}: {rate:.0}/s, {cpu:.2} CPU-s");
            rates.push(rate);
            cpus.push(cpu);
        }
        self.table.note(format!(
            "A bare producer (librdkafka, acks=all, {size}): {:.0} records/s, {:.2} CPU-s a million.",
            median(rates),
            median(cpus)
        ));
    }

    /// Records a second, and CPU-seconds a million.
    fn produce(&self, bytes: usize) -> (f64, f64) {
        touch_memory();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.kafka)
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "500000")
            .create()
            .expect("a producer");
        let payload = vec![b'x'; bytes];
        let own = Process(std::process::id());
        let (cpu, began) = (own.cpu(), Instant::now());
        for key in 0..self.rows {
            let key = key.to_string();
            let mut record = BaseRecord::to("bench-producer").key(&key).payload(&payload);
            while let Err((_, back)) = producer.send(record) {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE).expect("all delivered");
        let rate = self.rows as f64 / began.elapsed().as_secs_f64();
        let cpu = (own.cpu() - cpu) * 1e6 / self.rows as f64;
        let got = topics::high_watermark(&self.watch, "bench-producer");
        assert_eq!(got, self.rows, "records in the topic");
        topics::delete(&self.kafka, "bench-producer");
        (rate, cpu)
    }
}

/// How long after its commit a row was made an event, and when a consumer had it; milliseconds.
struct Delay {
    made: f64,
    came: f64,
}

impl Delay {
    /// Sorts by when they came.
    fn summary(delays: &mut [Self]) -> String {
        let (half, most) = (delays.len() / 2, delays.len() * 99 / 100);
        delays.sort_by(|a, b| a.made.total_cmp(&b.made));
        let (made, late) = (delays[half].made, delays[most].made);
        delays.sort_by(|a, b| a.came.total_cmp(&b.came));
        let (middle, high) = (delays[half].came, delays[most].came);
        format!(
            "p50 {middle:.1} ms, p99 {high:.1} ms; event made p50 {made:.1} ms, p99 {late:.1} ms"
        )
    }
}

/// Uses and gives back 2 GiB. A virtual machine gets each page from its host at the first touch, which
/// costs the broker as much CPU again as writing a log that fast; so both contenders find memory that
/// the machine already has, as on a machine that has run for a while.
fn touch_memory() {
    let mut memory = vec![0_u8; 2 << 30];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}

/// How long the server takes to hand out everything up to `end`, to a client that throws it away.
fn drain(database: &Database, slot: &str, end: &str) -> Duration {
    let began = Instant::now();
    let status = Command::new("pg_recvlogical")
        .args(["-h", &database.host, "-p", &database.port, "-U", "postgres", "-d", &database.name])
        .args(["-S", slot, "--start", "-f", "/dev/null", "--no-loop", "--endpos", end])
        .args(["-o", "proto_version=1", "-o", "publication_names=bb_raw"])
        .status()
        .expect("pg_recvlogical");
    assert!(status.success(), "pg_recvlogical: {status}");
    let took = began.elapsed();
    database.sql(&format!("SELECT pg_drop_replication_slot('{slot}');"));
    took
}
