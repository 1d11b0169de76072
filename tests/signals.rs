//! Signals that come by a Kafka topic: followed once over restarts, by us and the peer in turn, and
//! what becomes of the task when their broker is not there.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    database::Database,
    rest::{Config, Rest, json_converters, postgres_source},
    servers, topics, wait_for,
    worker::Home,
};

const ROWS: i64 = 25;

fn database(url: &str, name: &str) -> Database {
    let database = Database::create(url, name);
    database.sql(&format!(
        "CREATE TABLE first (id int PRIMARY KEY, v text);
         CREATE TABLE second (id int PRIMARY KEY, v text);
         INSERT INTO first SELECT g, 'first ' || g FROM generate_series(1, {ROWS}) g;
         INSERT INTO second SELECT g, 'second ' || g FROM generate_series(1, {ROWS}) g;"
    ));
    database
}

fn config(database: &Database, prefix: &str, servers: &str, more: &[(&str, &str)]) -> Config {
    let mut all = vec![
        ("snapshot.mode", "no_data"),
        ("read.only", "true"),
        ("signal.enabled.channels", "kafka"),
        ("signal.kafka.bootstrap.servers", servers),
        ("signal.kafka.groupId", prefix),
        ("signal.kafka.poll.timeout.ms", "20"),
        ("signal.poll.interval.ms", "100"),
        ("signal.consumer.fetch.max.wait.ms", "20"),
        // The peer needs something to happen to go on with a chunk.
        ("heartbeat.interval.ms", "100"),
        ("incremental.snapshot.chunk.size", "10"),
    ];
    all.extend(more);
    let mut config = postgres_source(database, prefix, &all);
    config.extend(json_converters(false));
    config
}

/// Asks for an incremental snapshot of a table, by record `number` of the topic.
fn ask(kafka: &str, prefix: &str, table: &str) {
    let data = json!({"data-collections": [format!("public.{table}")], "type": "incremental"});
    let signal = json!({"id": table, "type": "execute-snapshot", "data": data});
    topics::write(kafka, &format!("{prefix}-signal"), prefix, &signal.to_string());
}

/// Waits for so many records of a table. Meanwhile another one changes, which the peer needs.
fn wait(kafka: &str, database: &Database, prefix: &str, table: &str, count: i64) {
    let topic = format!("{prefix}.public.{table}");
    let reader = topics::consumer(kafka);
    database.sql("CREATE TABLE IF NOT EXISTS other (at timestamptz)");
    wait_for(&format!("{count} records in {topic}"), Duration::from_secs(60), || {
        database.sql("INSERT INTO other VALUES (now())");
        (topics::high_watermark(&reader, &topic) >= count).then_some(())
    });
}

fn wait_slot(database: &Database, name: &str) {
    wait_for("the slot", Duration::from_secs(30), || {
        let query = format!(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}' AND active"
        );
        (database.value(&query) == "1").then_some(())
    });
}

/// How many signals of the topic are done for the group.
fn committed(kafka: &str, prefix: &str) -> usize {
    let topic = format!("{prefix}-signal");
    let committed = topics::committed(kafka, prefix, [(topic.as_str(), 0)].into_iter());
    committed.values().copied().next().unwrap_or_default()
}

fn count(kafka: &str, prefix: &str, table: &str) -> i64 {
    topics::high_watermark(&topics::consumer(kafka), &format!("{prefix}.public.{table}"))
}

/// After `kill -9`, when nothing was committed by a stop, too.
#[test]
fn a_signal_is_followed_once() {
    let name = "signals_once";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = database(&postgres, name);
    let config = config(&database, name, &kafka, &[]);
    let home = Home::new(name, &kafka);
    let worker = home.start(&[]);
    worker.rest.start(name, &config);
    wait_slot(&database, name);
    topics::write(&kafka, &format!("{name}-signal"), "another", r#"{"type":"pause-snapshot"}"#);
    topics::write(&kafka, &format!("{name}-signal"), name, "nonsense");
    ask(&kafka, name, "first");
    wait(&kafka, &database, name, "first", ROWS);
    // It is committed once what came of it is stored.
    wait_for("the commit of the signal", Duration::from_secs(30), || {
        (committed(&kafka, name) == 3).then_some(())
    });
    // Rows whose offset is not stored may come again after a kill.
    wait_for("the offset behind the snapshot's rows", Duration::from_secs(30), || {
        let offsets = worker.rest.call("GET", &format!("/connectors/{name}/offsets"), None);
        let offset = offsets["offsets"][0]["offset"].as_object()?;
        (!offset.contains_key("incremental_snapshot_collections")).then_some(())
    });
    let metrics = worker.rest.ask("GET", "/metrics", None).body;
    let signals = metrics.lines().find(|line| {
        line.starts_with("riverrun_signals_total{") && line.contains("type=\"execute-snapshot\"")
    });
    assert!(signals.is_some_and(|line| line.ends_with("} 1")), "{signals:?}");
    worker.kill();
    let worker = home.start(&[]);
    worker.rest.start(name, &config);
    ask(&kafka, name, "second");
    wait(&kafka, &database, name, "second", ROWS);
    assert_eq!(count(&kafka, name, "first"), ROWS, "the first signal was followed again");
    // A paused snapshot is seen from outside.
    for kind in ["pause-snapshot", "resume-snapshot"] {
        let signal = json!({"type": kind}).to_string();
        if kind == "pause-snapshot" {
            database.sql("INSERT INTO first SELECT g, 'more' FROM generate_series(100, 5000) g");
            wait(&kafka, &database, name, "first", ROWS + 4901);
            ask(&kafka, name, "first");
        }
        topics::write(&kafka, &format!("{name}-signal"), name, &signal);
        if kind == "pause-snapshot" {
            wait_for("the pause in the status", Duration::from_secs(30), || {
                let status = worker.rest.status(name)?;
                let snapshot = &status["tasks"][0]["snapshot"];
                let incremental = &snapshot["incremental"];
                (incremental["paused"] == true && incremental["table"] == "public.first")
                    .then_some(())
            });
        }
    }
    wait(&kafka, &database, name, "first", ROWS + 2 * 4901 + ROWS);
    worker.rest.stop(name);
    assert_eq!(committed(&kafka, name), 7);
    worker.rest.forget(name);
    topics::delete(&kafka, name);
}

/// One side follows the first signal and stops; the other goes on with its offset, and follows the
/// second only.
fn taken_over(name: &str, ours_first: bool) {
    let (Some(postgres), Some(kafka), Some(connect)) =
        (servers::postgres(name), servers::kafka(name), servers::connect(name))
    else {
        return;
    };
    let worker = Home::new(name, &kafka).start(&[]);
    let (ours, peer) = (worker.rest.clone(), Rest { url: connect });
    let (before, after) = if ours_first { (ours, peer) } else { (peer, ours) };
    before.forget(name);
    after.forget(name);
    topics::delete(&kafka, name);
    let database = database(&postgres, name);
    let config = config(&database, name, &kafka, &[]);
    before.start(name, &config);
    wait_slot(&database, name);
    ask(&kafka, name, "first");
    wait(&kafka, &database, name, "first", ROWS);
    before.stop(name);
    assert_eq!(committed(&kafka, name), 1);
    let offsets = before.call("GET", &format!("/connectors/{name}/offsets"), None);
    let offset: &Value = &offsets["offsets"][0]["offset"];
    // Behind the group's offset there is nothing to follow.
    after.start(name, &config);
    after.stop(name);
    after.store_offset(name, offset);
    after.resume(name);
    ask(&kafka, name, "second");
    wait(&kafka, &database, name, "second", ROWS);
    after.stop(name);
    assert_eq!(count(&kafka, name, "first"), ROWS, "the first signal was followed again");
    assert_eq!(committed(&kafka, name), 2);
    before.forget(name);
    after.forget(name);
    topics::delete(&kafka, name);
}

#[test]
fn the_peer_goes_on_behind_our_signals() {
    taken_over("signals_to_peer", true);
}

#[test]
fn we_go_on_behind_the_peers_signals() {
    taken_over("signals_from_peer", false);
}

/// Nothing listens on port 1: the task streams all the same, and the log says what is wrong.
#[test]
fn an_unreachable_broker_of_signals_is_said_and_stops_nothing() {
    let name = "signals_unreachable";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = database(&postgres, name);
    let config = config(&database, name, "127.0.0.1:1", &[]);
    let home = Home::new(name, &kafka);
    let worker = home.start(&[]);
    worker.rest.start(name, &config);
    wait_slot(&database, name);
    database.sql("INSERT INTO first VALUES (1000, 'streamed')");
    wait(&kafka, &database, name, "first", 1);
    let said = wait_for("a word in the log", Duration::from_secs(60), || {
        database.sql("INSERT INTO first SELECT max(id) + 1, 'streamed' FROM first");
        let log = std::fs::read_to_string(home.directory.join("worker.log")).ok()?;
        log.lines().find(|line| line.contains("signals of topic")).map(str::to_owned)
    });
    assert!(said.contains("127.0.0.1:1") && said.contains("signals_unreachable-signal"), "{said}");
    assert!(said.contains("signal.kafka.bootstrap.servers"), "{said}");
    let status = worker.rest.status(name).expect("a status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING");
    worker.rest.stop(name);
    worker.rest.forget(name);
    // A setting that no client has is told when the task starts, before any snapshot.
    let mut wrong = config.clone();
    wrong.insert("signal.consumer.fetch.min.bytes".into(), "many".into());
    worker.rest.put(name, &wrong);
    let trace = worker.rest.wait_failed(name);
    assert!(trace.contains("signal.consumer.fetch.min.bytes"), "{trace}");
    worker.rest.forget(name);
    topics::delete(&kafka, name);
}

/// By a column that is no key, and by keys that JDBC can't compare: Debezium loses rows of the one and
/// gives up the other.
#[test]
fn tables_that_debezium_does_not_read_whole() {
    let name = "signals_whole";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = Database::create(&postgres, name);
    database.sql(
        "CREATE TABLE keyless (id int, v text);
         INSERT INTO keyless SELECT g / 3, 'row ' || g FROM generate_series(1, 25) g;
         CREATE TABLE moment (at timestamptz, place inet, v int, PRIMARY KEY (at, place));
         INSERT INTO moment SELECT timestamptz '2024-01-01' + g % 5 * interval '1 us', ('10.0.0.' || g)::inet, g
             FROM generate_series(1, 25) g;",
    );
    // What came before the first snapshot is followed behind it; and with Debezium's own times.
    let mut config = config(&database, name, &kafka, &[("snapshot.mode", "initial")]);
    config.remove("signal.kafka.poll.timeout.ms");
    let worker = Home::new(name, &kafka).start(&[]);
    let data = json!({"data-collections": ["public.keyless"], "surrogate-key": "id"});
    let signal = json!({"id": "k", "type": "execute-snapshot", "data": data}).to_string();
    topics::write(&kafka, &format!("{name}-signal"), name, &signal);
    worker.rest.start(name, &config);
    wait(&kafka, &database, name, "keyless", 50);
    ask(&kafka, name, "moment");
    wait(&kafka, &database, name, "moment", 50);
    worker.rest.stop(name);
    for table in ["keyless", "moment"] {
        let topic = format!("{name}.public.{table}");
        let records = topics::read_all(&kafka, &topic).remove(&topic).expect("records");
        let rows: std::collections::BTreeSet<String> = records
            .iter()
            .map(|record| {
                let value = record.value.as_deref().expect("a value");
                let event: Value = serde_json::from_slice(value).expect("JSON");
                event["after"]["v"].to_string()
            })
            .collect();
        assert_eq!((records.len(), rows.len()), (50, 25), "{table}");
    }
    worker.rest.forget(name);
    topics::delete(&kafka, name);
}

/// With a login of the connector's own; and with a wrong one, which stops nothing either.
#[test]
fn signals_take_the_secured_way() {
    let name = "signals_secured";
    let (Some(postgres), Some(kafka), Some(at)) =
        (servers::postgres(name), servers::kafka(name), servers::listeners(name))
    else {
        return;
    };
    topics::delete(&kafka, name);
    let database = database(&postgres, name);
    let login = |password: &str| {
        format!(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"ann\" \
             password=\"{password}\";"
        )
    };
    let (right, wrong) = (login("scram-secret"), login("wrong"));
    let access = |login| {
        [
            ("signal.consumer.security.protocol", "SASL_PLAINTEXT"),
            ("signal.consumer.sasl.mechanism", "SCRAM-SHA-512"),
            ("signal.consumer.sasl.jaas.config", login),
        ]
    };
    let home = Home::new(name, &kafka);
    let worker = home.start(&[]);
    let config = |login| config(&database, name, &at["sasl_plaintext"], &access(login));
    worker.rest.start(name, &config(&wrong));
    wait_slot(&database, name);
    ask(&kafka, name, "first");
    let said = wait_for("a word in the log", Duration::from_secs(60), || {
        database.sql("INSERT INTO second SELECT max(id) + 1, 'streamed' FROM second");
        let log = std::fs::read_to_string(home.directory.join("worker.log")).ok()?;
        log.lines().find(|line| line.contains("signals of topic")).map(str::to_owned)
    });
    assert!(said.contains("sasl.jaas.config") && !said.contains("\"wrong\""), "{said}");
    assert_eq!(worker.rest.status(name).expect("a status")["tasks"][0]["state"], "RUNNING");
    assert!(count(&kafka, name, "first") == 0 && count(&kafka, name, "second") > 0);
    worker.rest.put(name, &config(&right));
    wait(&kafka, &database, name, "first", ROWS);
    worker.rest.forget(name);
    topics::delete(&kafka, name);
}
