//! `riverrun connect-distributed` on a real Kafka: what it is told stands in topics, and outlives it.

use std::{
    io::{Write as _, stderr},
    time::Duration,
};

use rdkafka::producer::Producer as _;
use serde_json::{Value, json};

use crate::harness::{
    database::Database,
    rest::{Rest, json_converters, postgres_source},
    servers,
    topics::{self, Follower},
    wait_for,
    worker::{Home, Worker},
};
use crate::sinks;

struct Scene {
    home: Home,
    database: Database,
    topic: Follower,
    kafka: String,
    name: &'static str,
}

impl Scene {
    /// A table with one row, and the group's first worker.
    fn new(name: &'static str) -> Option<(Self, Worker)> {
        let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
            return None;
        };
        for prefix in [format!("{name}."), format!("{name}-")] {
            topics::delete(&kafka, &prefix);
        }
        let database = Database::create(&postgres, name);
        database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0);");
        let home = Home::of_group(name, &kafka, name);
        let worker = home.start(&[]);
        let topic = Follower::new(&kafka, &format!("{name}.public.t"));
        Some((Self { home, database, topic, kafka, name }, worker))
    }

    fn create(&self, worker: &Worker) {
        let config = postgres_source(&self.database, self.name, &[]);
        worker.rest.start(self.name, &config);
    }

    /// The operations and ids that arrive until `id` has.
    fn until(&mut self, id: u64) -> Vec<(String, u64)> {
        until(&mut self.topic, id)
    }

    fn end(self) {
        for prefix in [format!("{}.", self.name), format!("{}-", self.name)] {
            topics::delete(&self.kafka, &prefix);
        }
    }
}

fn op(op: &str, id: u64) -> (String, u64) {
    (op.to_owned(), id)
}

#[test]
fn a_worker_finds_its_connectors_and_offsets_again() {
    let Some((mut scene, worker)) = Scene::new("distributed_again") else { return };
    scene.create(&worker);
    assert_eq!(scene.until(0), [op("r", 0)]);
    scene.database.sql("INSERT INTO t VALUES (1);");
    assert_eq!(scene.until(1), [op("c", 1)]);
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());

    scene.database.sql("INSERT INTO t VALUES (2);");
    let worker = scene.home.start(&[]);
    worker.rest.wait_running(scene.name);
    // Neither a second snapshot nor a repeat.
    assert_eq!(scene.until(2), [op("c", 2)]);
    worker.kill();

    scene.database.sql("INSERT INTO t VALUES (3);");
    let worker = scene.home.start(&[]);
    let seen = scene.until(3);
    assert!(seen.iter().all(|(op, _)| op == "c"), "a snapshot ran again: {seen:?}");
    assert_eq!(seen.last(), Some(&op("c", 3)));
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());
    scene.end();
}

#[test]
fn a_connectors_life() {
    let Some((mut scene, worker)) = Scene::new("distributed_life") else { return };
    let rest = &worker.rest;
    scene.create(&worker);
    scene.until(0);
    let path = format!("/connectors/{}", scene.name);
    assert_eq!(rest.call("GET", "/connectors", None), json!([scene.name]));
    let info = rest.call("GET", &path, None);
    assert_eq!(info["tasks"], json!([{ "connector": scene.name, "task": 0 }]), "{info}");
    wait_for("the topic in use", Duration::from_secs(20), || {
        let topics = rest.call("GET", &format!("{path}/topics"), None);
        let used = topics[scene.name]["topics"].as_array().expect("topics");
        (used == &[json!(format!("{}.public.t", scene.name))]).then_some(())
    });

    rest.call("PUT", &format!("{path}/pause"), None);
    wait_for("the pause", Duration::from_secs(20), || {
        let status = rest.status(scene.name)?;
        let paused =
            status["connector"]["state"] == "PAUSED" && status["tasks"][0]["state"] == "PAUSED";
        paused.then_some(())
    });
    scene.database.sql("INSERT INTO t VALUES (1);");
    rest.resume(scene.name);
    assert_eq!(scene.until(1), [op("c", 1)]);

    let refused = rest.ask("DELETE", &format!("{path}/offsets"), None);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.contains("STOPPED"), "{}", refused.body);
    rest.stop(scene.name);
    let stored = rest.call("GET", &format!("{path}/offsets"), None);
    assert_eq!(stored["offsets"].as_array().map(Vec::len), Some(1), "{stored}");
    rest.call("DELETE", &format!("{path}/offsets"), None);
    let stored = rest.call("GET", &format!("{path}/offsets"), None);
    assert_eq!(stored, json!({ "offsets": [] }));
    // Without an offset the table is read again.
    rest.resume(scene.name);
    assert_eq!(scene.until(1), [op("r", 0), op("r", 1)]);

    rest.call("DELETE", &path, None);
    wait_for("the end of its statuses", Duration::from_secs(20), || {
        rest.status(scene.name).is_none().then_some(())
    });
    assert_eq!(rest.call("GET", "/connectors", None), json!([]));
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());
    scene.end();
}

/// A worker that hung speaks after the one that has its work: an old offset over a newer one, and the
/// end of a connector that runs. (Of tasks such an end is not believed in the first place.)
#[test]
fn what_a_late_worker_says_is_put_right() {
    let Some((mut scene, worker)) = Scene::new("distributed_late") else { return };
    scene.create(&worker);
    scene.until(0);
    let (kafka, topic) = (scene.kafka.clone(), format!("{}-offsets", scene.name));
    let stored = |more_than: usize| {
        wait_for("an offset", Duration::from_secs(30), || {
            let all = topics::read_all(&kafka, &topic).remove(&topic)?;
            (all.len() > more_than).then_some(all)
        })
    };
    let lsn = |record: &topics::Record| {
        let value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        value["lsn"].as_u64().expect("a position")
    };
    let old = stored(0).pop().expect("a record");
    scene.database.sql("INSERT INTO t VALUES (1);");
    scene.until(1);
    let newest = wait_for("a newer offset", Duration::from_secs(30), || {
        stored(1).pop().filter(|record| lsn(record) > lsn(&old))
    });
    let producer = sinks::producer(&kafka);
    // As if the same worker had sent it: to the partition of the record it comes after.
    let send_after = |topic: &str, before: &topics::Record, value: &[u8]| {
        let key = before.key.as_ref().expect("a key");
        let record = rdkafka::producer::BaseRecord::to(topic).key(key).payload(value);
        let sent = producer.send(record.partition(before.partition));
        sent.map_err(|(error, _)| error).expect("room for a record");
        producer.flush(Duration::from_secs(20)).expect("the record is stored");
    };
    send_after(&topic, &newest, old.value.as_ref().unwrap());
    wait_for("the newer offset over the old one", Duration::from_secs(30), || {
        let all = stored(2);
        let late = all.iter().rposition(|record| record.value == old.value)?;
        all[late..].iter().any(|record| lsn(record) >= lsn(&newest)).then_some(())
    });
    let gone = br#"{"state":"UNASSIGNED","trace":null,"worker_id":"10.0.0.1:8083","generation":1}"#;
    let topic = format!("{}-status", scene.name);
    let key = format!("status-connector-{}", scene.name);
    let told = || {
        let mut all = topics::read_all(&kafka, &topic).remove(&topic).expect("the topic");
        all.retain(|record| record.key.as_deref() == Some(key.as_bytes()));
        all
    };
    send_after(&topic, told().last().expect("its status"), gone);
    wait_for("the connector's status as it is", Duration::from_secs(30), || {
        let value = told().pop()?.value?;
        String::from_utf8_lossy(&value).contains("\"RUNNING\"").then_some(())
    });
    worker.rest.wait_running(scene.name);
    assert!(worker.terminate().success(), "the worker's end\n{}", scene.home.log());
    scene.end();
}

#[test]
fn topics_that_cannot_be_used_are_told() {
    let test = "topics_that_cannot_be_used_are_told";
    let Some(kafka) = servers::kafka(test) else { return };
    let mut home = Home::of_group(test, &kafka, "distributed-refused");
    home.properties.push_str("config.storage.topic=distributed-refused-two\n");
    topics::delete(&kafka, "distributed-refused");
    topics::create(&kafka, "distributed-refused-two", 2, &[("cleanup.policy", "compact")]);
    let mut worker = home.spawn(&[]);
    let status = wait_for("the worker's end", Duration::from_secs(60), || {
        worker.child.try_wait().expect("the child")
    });
    let log = home.log();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.contains("is required to have a single partition"), "{log}");
    topics::delete(&kafka, "distributed-refused");
}

/// The operations and ids of a topic until `id` has come.
pub(crate) fn until(topic: &mut Follower, id: u64) -> Vec<(String, u64)> {
    let mut seen = Vec::new();
    wait_for(&format!("row {id}"), Duration::from_secs(90), || {
        while let Some(record) = topic.next() {
            let event: Value = serde_json::from_slice(&record.value?).unwrap();
            let got = event["after"]["id"].as_u64()?;
            seen.push((event["op"].as_str().unwrap_or_default().to_owned(), got));
            if got == id {
                return Some(());
            }
        }
        None
    });
    seen
}

/// Tables `t0`, `t1`, … with a row each, and a connector for each of them.
pub(crate) fn connectors(database: &Database, count: usize, worker: &Worker) -> Vec<String> {
    let name = |n: usize| format!("{}_{n}", database.name);
    for n in 0..count {
        database
            .sql(&format!("CREATE TABLE t{n} (id int PRIMARY KEY); INSERT INTO t{n} VALUES (0);"));
        let table = format!("public.t{n}");
        let more = [
            ("table.include.list", table.as_str()),
            ("publication.autocreate.mode", "filtered"),
            ("key.converter.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ];
        worker.rest.put(&name(n), &postgres_source(database, &name(n), &more));
    }
    (0..count).map(name).collect()
}

/// Waits until all connectors and their tasks run, `want` of them on each of `workers`.
fn settled(rest: &Rest, names: &[String], workers: &[u16], want: &[usize]) {
    let ids: Vec<String> = workers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    wait_for(&format!("{want:?} parts of {names:?} on {ids:?}"), Duration::from_secs(90), || {
        let mut counts = vec![0; ids.len()];
        for name in names {
            let status = rest.status(name)?;
            let tasks = status["tasks"].as_array().filter(|tasks| tasks.len() == 1)?;
            for part in [&status["connector"], &tasks[0]] {
                let worker = ids.iter().position(|id| part["worker_id"] == id.as_str())?;
                if part["state"] != "RUNNING" {
                    return None;
                }
                counts[worker] += 1;
            }
        }
        (counts == want).then_some(())
    });
}

#[test]
fn three_workers_share_the_work_and_take_over() {
    let name = "distributed_group";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = Database::create(&postgres, name);
    let homes: Vec<Home> =
        (0..3).map(|n| Home::of_group(&format!("{name}_{n}"), &kafka, name)).collect();
    let ports: Vec<u16> = homes.iter().map(|home| home.port).collect();
    let mut workers: Vec<Worker> = homes.iter().map(|home| home.start(&[])).collect();
    // By any worker: two of three pass it on to the leader.
    let names = connectors(&database, 6, &workers[2]);
    settled(&workers[0].rest, &names, &ports, &[4, 4, 4]);
    let mut topics: Vec<Follower> =
        (0..6).map(|n| Follower::new(&kafka, &format!("{}.public.t{n}", names[n]))).collect();
    for topic in &mut topics {
        assert_eq!(until(topic, 0), [op("r", 0)]);
    }
    let level = r#"{"level":"DEBUG"}"#;
    workers[1].rest.call("PUT", "/admin/loggers/riverrun::group?scope=cluster", Some(level));
    for worker in &workers {
        wait_for("the level on each worker", Duration::from_secs(20), || {
            let logger = worker.rest.ask("GET", "/admin/loggers/riverrun::group", None);
            logger.body.contains("DEBUG").then_some(())
        });
    }
    // A kill before the end of a snapshot is stored would bring another.
    for name in &names {
        wait_for(&format!("the offset of {name}"), Duration::from_secs(20), || {
            let path = format!("/connectors/{name}/offsets");
            let stored = workers[0].rest.call("GET", &path, None);
            let offset = stored["offsets"].get(0)?.get("offset")?;
            offset.get("snapshot").is_none().then_some(())
        });
    }

    workers.remove(0).kill();
    settled(&workers[0].rest, &names, &ports[1..], &[6, 6]);
    assert!(workers.remove(0).terminate().success(), "{}", homes[1].log());
    settled(&workers[0].rest, &names, &ports[2..], &[12]);
    for (n, topic) in topics.iter_mut().enumerate() {
        database.sql(&format!("INSERT INTO t{n} VALUES (1);"));
        let seen = until(topic, 1);
        assert!(seen.iter().all(|(op, _)| op == "c"), "t{n} was read again: {seen:?}");
    }
    let back = homes[0].start(&[]);
    settled(&back.rest, &names, &[ports[0], ports[2]], &[6, 6]);
    for worker in [back, workers.remove(0)] {
        assert!(worker.terminate().success(), "a worker's end\n{}", homes[2].log());
    }
    topics::delete(&kafka, name);
}

/// A row into each of the tables `t0` … every 50 ms, until there is a table `enough`.
fn load(database: &Database, count: usize) -> String {
    let inserts: String =
        (0..count).map(|n| format!("INSERT INTO t{n} VALUES (row_number);")).collect();
    database.sql(&format!(
        "CREATE PROCEDURE load() LANGUAGE plpgsql AS $$ DECLARE row_number int := 1; BEGIN \
         WHILE to_regclass('public.enough') IS NULL LOOP {inserts} COMMIT; \
         row_number := row_number + 1; PERFORM pg_sleep(0.05); END LOOP; END $$;"
    ));
    "CALL load();".to_owned()
}

/// Three workers are ended by SIGTERM and started again, one after the other, while rows come in.
/// What shows a task's absence are the times at which it saw the rows.
#[test]
fn a_rolling_restart_interrupts_no_task_for_two_seconds() {
    const TABLES: usize = 6;
    let name = "distributed_rolling";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = Database::create(&postgres, name);
    let homes: Vec<Home> =
        (0..3).map(|n| Home::of_group(&format!("{name}_{n}"), &kafka, name)).collect();
    let ports: Vec<u16> = homes.iter().map(|home| home.port).collect();
    let mut workers: Vec<Worker> = homes.iter().map(|home| home.start(&[])).collect();
    let names = connectors(&database, TABLES, &workers[0]);
    settled(&workers[0].rest, &names, &ports, &[4, 4, 4]);
    let call = load(&database, TABLES);
    let last = std::thread::scope(|scope| {
        let loading = scope.spawn(|| database.sql(&call));
        for home in &homes {
            // The heartbeats that come quickly after a round are over, as in a slow rolling restart.
            let rows = || database.value("SELECT max(id) FROM t0;").parse::<u64>().expect("an id");
            let calm = rows() + 200;
            wait_for("ten quiet seconds", Duration::from_secs(60), || {
                (rows() >= calm).then_some(())
            });
            let worker = workers.remove(0);
            assert!(worker.terminate().success(), "a worker's end\n{}", home.log());
            workers.push(home.start(&[]));
            settled(&workers[0].rest, &names, &ports, &[4, 4, 4]);
        }
        database.sql("CREATE TABLE enough ();");
        loading.join().expect("the load");
        database.value("SELECT max(id) FROM t0;").parse::<u64>().expect("an id")
    });
    let mut gaps = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let mut topic = Follower::new(&kafka, &format!("{name}.public.t{n}"));
        let mut seen: Vec<(u64, i64)> = Vec::new();
        wait_for(&format!("row {last} of {name}"), Duration::from_secs(60), || {
            while let Some(record) = topic.next() {
                let event: Value = serde_json::from_slice(&record.value?).unwrap();
                let id = event["after"]["id"].as_u64()?;
                seen.push((id, event["ts_ms"].as_i64()?));
                if id == last {
                    return Some(());
                }
            }
            None
        });
        let ids: std::collections::BTreeSet<u64> = seen.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len() as u64, last + 1, "rows of {name} are missing");
        // The snapshot's row is older than the load.
        let times = seen.iter().skip(1).map(|(_, time)| *time);
        let gap = times.clone().zip(times.skip(1)).map(|(one, next)| next - one).max();
        gaps.push((gap.unwrap_or(i64::MAX), name));
    }
    // Past the test runner's capture: the figures are what the test is for.
    writeln!(stderr(), "the longest times without a row, in ms: {gaps:?}, of {last} rows").unwrap();
    assert!(gaps.iter().all(|(gap, _)| *gap < 2000), "a task was down for long: {gaps:?}");
    for worker in workers {
        assert!(worker.terminate().success(), "a worker's end");
    }
    topics::delete(&kafka, name);
}

#[test]
fn a_jvm_cluster_is_taken_over_and_given_back() {
    let name = "distributed_takeover";
    let (Some(postgres), Some(_), Some(_)) =
        (servers::postgres(name), servers::kafka(name), servers::connect(name))
    else {
        return;
    };
    let own = servers::Script::new(
        "takeover",
        &[
            ("KAFKA_PORT", "29320"),
            ("CONNECT_PORT", "28110"),
            ("EXTRA", "scheduled.rebalance.max.delay.ms=0"),
        ],
    );
    let _stopped_at_the_end = [own.at_end("kafka-stop"), own.at_end("connect-stop")];
    let kafka = own.run("kafka-start", "");
    topics::delete(&kafka, name);
    let jvm = Rest { url: own.run("connect-start", "") };
    jvm.forget(&format!("{name}_0"));
    let database = Database::create(&postgres, name);
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0);");
    let connector = format!("{name}_0");
    let mut config = postgres_source(&database, &connector, &[]);
    config.extend(json_converters(false));
    jvm.start(&connector, &config);
    let mut topic = Follower::new(&kafka, &format!("{connector}.public.t"));
    assert_eq!(until(&mut topic, 0), [op("r", 0)]);
    database.sql("INSERT INTO t VALUES (1);");
    assert_eq!(until(&mut topic, 1), [op("c", 1)]);
    let before = jvm.call("GET", &format!("/connectors/{connector}"), None);

    // Beside the JVM's worker, in its group, then instead of it.
    let home = Home::of_group(name, &kafka, "peer");
    let worker = home.start(&[]);
    database.sql("INSERT INTO t VALUES (2);");
    let seen = until(&mut topic, 2);
    assert!(seen.iter().all(|(op, _)| op == "c"), "the table was read again: {seen:?}");
    own.run("connect-stop", "");
    database.sql("INSERT INTO t VALUES (3);");
    settled(&worker.rest, std::slice::from_ref(&connector), &[home.port], &[2]);
    let seen = until(&mut topic, 3);
    assert!(seen.iter().all(|(op, _)| op == "c"), "the table was read again: {seen:?}");
    assert_eq!(worker.rest.call("GET", &format!("/connectors/{connector}"), None), before);

    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    database.sql("INSERT INTO t VALUES (4);");
    let jvm = Rest { url: own.run("connect-start", "") };
    jvm.wait_running(&connector);
    let seen = until(&mut topic, 4);
    assert!(seen.iter().all(|(op, _)| op == "c"), "the table was read again: {seen:?}");
    assert_eq!(jvm.call("GET", &format!("/connectors/{connector}"), None), before);
    jvm.forget(&connector);
    topics::delete(&kafka, name);
}
