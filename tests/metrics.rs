//! What a running worker says of itself: its figures beside known counts, a source whose database
//! falls silent, a task that starts again by itself.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;

use crate::harness::{
    database::Database,
    link::Link,
    rest::{Rest, postgres_source},
    servers, wait_for,
    worker::{Home, free_port},
};

const WITHIN: Duration = Duration::from_secs(60);

/// The series of `GET /metrics`.
fn scrape(rest: &Rest) -> BTreeMap<String, f64> {
    let answer = rest.ask("GET", "/metrics", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    samples.map(sample).collect()
}

fn wait_until(rest: &Rest, series: &str, value: f64) {
    let mut last = None;
    let reached = wait_for_or(WITHIN, || {
        last = scrape(rest).get(series).copied();
        last == Some(value)
    });
    assert!(reached, "{series} is {last:?}, not {value}");
}

fn wait_for_or(within: Duration, mut fact: impl FnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + within;
    while std::time::Instant::now() < end {
        if fact() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn task(rest: &Rest, name: &str) -> Option<Value> {
    rest.status(name)?["tasks"].get(0).cloned()
}

#[test]
fn figures_of_a_source_are_those_of_its_database() {
    const NAME: &str = "figures_of_a_source_are_those_of_its_database";
    let (Some(postgres), Some(kafka)) = (servers::postgres(NAME), servers::kafka(NAME)) else {
        return;
    };
    let database = Database::create(&postgres, "metrics_source");
    database.sql(
        "CREATE TABLE item (id int PRIMARY KEY, name text);
         CREATE TABLE noise (id int PRIMARY KEY);
         INSERT INTO item SELECT i, 'n' || i FROM generate_series(1, 300) i;",
    );
    let home = Home::new("metrics-source", &kafka);
    let config = postgres_source(
        &database,
        "metrics_source",
        &[
            ("table.include.list", "public.item"),
            ("database.password", "sesame-never-shown"),
            ("topic.creation.default.replication.factor", "1"),
            ("topic.creation.default.partitions", "1"),
        ],
    );
    let worker = home.start(&[home.connector("items", &config)]);
    let rest = &worker.rest;
    let of_task = |name: &str| format!("kafka_connect_{name}{{connector=\"items\",task=\"0\"}}");
    let debezium = |name: &str, context: &str| {
        format!(
            "debezium_metrics_{name}{{connector=\"items\",task=\"0\",plugin=\"postgres\",\
             name=\"metrics_source\",context=\"{context}\"}}"
        )
    };
    let written = of_task("source_task_source_record_write_total");
    wait_until(rest, &written, 300.0);
    let running = "kafka_connect_worker_connector_running_task_count{connector=\"items\"}";
    wait_until(rest, running, 1.0);
    wait_until(rest, &debezium("Connected", "streaming"), 1.0);
    // Two deletes have a tombstone each, and the noise is filtered out.
    database.sql(
        "INSERT INTO item SELECT i, 'n' || i FROM generate_series(301, 305) i;
         UPDATE item SET name = 'x' WHERE id <= 3;
         DELETE FROM item WHERE id IN (10, 11);
         INSERT INTO noise SELECT generate_series(1, 4);",
    );
    wait_until(rest, &written, 312.0);
    wait_until(rest, &debezium("NumberOfEventsFiltered", "streaming"), 4.0);
    wait_until(rest, &of_task("connector_task_offset_commit_success_percentage"), 1.0);
    let series = scrape(rest);
    let value = |key: String| *series.get(&key).unwrap_or_else(|| panic!("no {key}"));
    for (name, wanted) in [
        ("source_task_source_record_poll_total", 312.0),
        ("source_task_source_record_active_count", 0.0),
        ("connector_task_batch_size_max", 300.0),
        ("task_error_total_record_errors", 0.0),
    ] {
        assert_eq!(value(of_task(name)), wanted, "{name}");
    }
    assert!(value(of_task("source_task_source_record_write_rate")) > 0.0);
    for (name, context, wanted) in [
        ("TotalNumberOfEventsSeen", "snapshot", 300.0),
        ("TotalNumberOfReadEventsSeen", "snapshot", 300.0),
        ("SnapshotCompleted", "snapshot", 1.0),
        ("RemainingTableCount", "snapshot", 0.0),
        ("TotalNumberOfEventsSeen", "streaming", 14.0),
        ("TotalNumberOfCreateEventsSeen", "streaming", 5.0),
        ("TotalNumberOfUpdateEventsSeen", "streaming", 3.0),
        ("TotalNumberOfDeleteEventsSeen", "streaming", 2.0),
    ] {
        assert_eq!(value(debezium(name, context)), wanted, "{name}");
    }
    let behind = value(debezium("MilliSecondsBehindSource", "streaming"));
    assert!((0.0..60_000.0).contains(&behind), "{behind}");
    assert_eq!(value("kafka_connect_worker_task_startup_success_total".into()), 1.0);
    assert!(value("process_resident_memory_bytes".into()) > 1e6);

    rest.call("PUT", "/connectors/items/pause", None);
    let paused = "kafka_connect_connector_status{connector=\"items\",task=\"0\",status=\"paused\"}";
    wait_until(rest, paused, 1.0);
    rest.call("DELETE", "/connectors/items", None);
    let series = scrape(rest);
    let left: Vec<&String> = series.keys().filter(|key| key.contains("items")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(rest.ask("POST", "/metrics", None).status, 405);
    let log = fs::read_to_string(home.directory.join("worker.log")).expect("the log");
    assert!(!log.contains("sesame-never-shown"), "the password is in the log");
}

/// The link to the database falls silent and stays open, as when a firewall forgets a connection.
#[test]
fn a_silent_database_is_a_stall_that_is_told_and_ended() {
    const NAME: &str = "a_silent_database_is_a_stall_that_is_told_and_ended";
    let Some(postgres) = servers::postgres(NAME) else { return };
    let database = Database::create(&postgres, "metrics_stall");
    database.sql("CREATE TABLE item (id int PRIMARY KEY);");
    let port = free_port();
    let server = format!("{}:{}", database.host, database.port);
    let link = Link::open(&format!("127.0.0.1:{port}"), &server);
    let mut config = postgres_source(
        &database,
        "metrics_stall",
        &[("status.update.interval.ms", "200"), ("task.stall.timeout.ms", "1500")],
    );
    config.insert("database.hostname".into(), "127.0.0.1".into());
    config.insert("database.port".into(), port.to_string());
    let home = Home::new("metrics-stall", "");
    let worker = home.start(&[home.connector("silent", &config)]);
    let rest = &worker.rest;
    let of_task = |name: &str| format!("{name}{{connector=\"silent\",task=\"0\"}}");
    let written = of_task("kafka_connect_source_task_source_record_write_total");
    database.sql("INSERT INTO item VALUES (1);");
    wait_until(rest, &written, 1.0);
    let healthy = task(rest, "silent").expect("a task");
    assert!(healthy.get("stalled").is_none(), "{healthy}");
    assert_eq!(scrape(rest)[&of_task("riverrun_task_stalled")], 0.0);

    link.cut();
    let stalled = wait_for("the stall in the status", WITHIN, || {
        task(rest, "silent").filter(|task| task.get("stalled").is_some())
    });
    assert_eq!(stalled["state"], "RUNNING", "{stalled}");
    assert_eq!(stalled["stalled"]["reason"], "the source's system does not answer");
    assert!(stalled["stalled"]["for_ms"].as_u64() >= Some(1_500), "{stalled}");
    wait_for("the rebuild", WITHIN, || {
        (scrape(rest)[&of_task("riverrun_task_rebuilds_total")] >= 1.0).then_some(())
    });
    link.mend();
    database.sql("INSERT INTO item VALUES (2);");
    // Counted from the new start of the source on: what came after the stored offset.
    wait_for("the change after the silence", WITHIN, || {
        let creates = of_task("debezium_metrics_TotalNumberOfCreateEventsSeen");
        let creates = creates.replace(
            "task=\"0\"}",
            "task=\"0\",plugin=\"postgres\",name=\"metrics_stall\",context=\"streaming\"}",
        );
        (scrape(rest).get(&creates).copied() >= Some(1.0)).then_some(())
    });
    wait_for("the end of the stall", WITHIN, || {
        task(rest, "silent").filter(|task| task.get("stalled").is_none())
    });
    assert!(scrape(rest)[&of_task("riverrun_task_stalls_total")] >= 1.0);
}

#[test]
fn a_failed_task_starts_again_by_itself_when_it_may() {
    const NAME: &str = "a_failed_task_starts_again_by_itself_when_it_may";
    let Some(postgres) = servers::postgres(NAME) else { return };
    let database = Database::create(&postgres, "metrics_restart");
    database.sql("CREATE TABLE item (id int PRIMARY KEY);");
    let mut config = postgres_source(
        &database,
        "metrics_restart",
        &[
            ("publication.autocreate.mode", "disabled"),
            ("errors.restart.policy", "always"),
            ("errors.restart.backoff.ms", "2000"),
            ("errors.restart.backoff.max.ms", "2000"),
            ("errors.restart.max", "-1"),
        ],
    );
    let home = Home::new("metrics-restart", "");
    let worker = home.start(&[home.connector("again", &config)]);
    let rest = &worker.rest;
    let failed = wait_for("the failure with the time of the next try", WITHIN, || {
        task(rest, "again").filter(|task| task.get("restart").is_some())
    });
    assert_eq!(failed["state"], "FAILED", "{failed}");
    assert!(failed["trace"].as_str().unwrap_or_default().contains("publication"), "{failed}");
    wait_for("another try in vain", WITHIN, || {
        let attempt = task(rest, "again")?["restart"]["attempt"].as_u64()?;
        (attempt >= 2).then_some(())
    });
    database.sql("CREATE PUBLICATION metrics_restart FOR ALL TABLES;");
    let running = wait_for("the task runs by itself", WITHIN, || {
        let task = task(rest, "again")?;
        (task["state"] == "RUNNING" && task.get("restart").is_none()).then_some(task)
    });
    assert!(running.get("trace").is_none(), "{running}");

    // The keys are checked, and shown to those who give them only.
    let class = &config["connector.class"].clone();
    let validate = |config: &crate::harness::rest::Config| {
        let body = serde_json::to_string(config).expect("a map of strings");
        let path = format!("/connector-plugins/{class}/config/validate");
        let answer = rest.call("PUT", &path, Some(&body));
        let own = |one: &&Value| {
            one["value"]["name"].as_str().is_some_and(|name| name.starts_with("errors.restart."))
        };
        answer["configs"].as_array().expect("configs").iter().filter(own).cloned().collect()
    };
    config.insert("name".into(), "again".into());
    config.insert("errors.restart.policy".into(), "perhaps".into());
    let shown: Vec<Value> = validate(&config);
    assert_eq!(shown.len(), 4, "{shown:?}");
    let wrong: Vec<&Value> =
        shown.iter().filter(|one| one["value"]["errors"] != Value::Array(vec![])).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0]["value"]["name"], "errors.restart.policy");
    config.retain(|key, _| !key.starts_with("errors.restart."));
    let shown: Vec<Value> = validate(&config);
    assert_eq!(shown, Vec::<Value>::new());
}
