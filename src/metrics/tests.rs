//! The whole text, read by a strict parser of the format.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::figures::{Figure, Figures};

use super::*;
use crate::group::Observer as _;

/// Reads the text format as its description has it, and refuses everything else: a family's HELP
/// and TYPE come once and before its samples, which stand together; no series comes twice.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut current: Option<(String, bool)> = None;
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(is_name(name, true), "{line}");
            assert!(!help.trim().is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            let kind = lines.next().expect("a type follows");
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).expect("the same name");
            assert!(["counter", "gauge"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            current = Some((name.to_owned(), kind == "counter"));
            continue;
        }
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        let (family, counter) = current.as_ref().expect("a family");
        assert_eq!(name, family, "{line}");
        let value = labels(rest).strip_prefix(' ').expect("one space").to_owned();
        let number: f64 = match value.as_str() {
            "NaN" => f64::NAN,
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            digits => digits.parse().unwrap_or_else(|_| panic!("{line}")),
        };
        assert!(!counter || number >= 0.0, "{line}");
        let key = line[..line.len() - value.len() - 1].to_owned();
        assert!(series.insert(key, number).is_none(), "{line} comes twice");
    }
    series
}

/// Checks `{a="…",b="…"}` at the start, and answers what follows it.
fn labels(mut rest: &str) -> &str {
    let Some(inner) = rest.strip_prefix('{') else { return rest };
    rest = inner;
    let mut seen = BTreeSet::new();
    loop {
        let (name, quoted) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name, false) && seen.insert(name), "{name} in {rest}");
        let mut escaped = false;
        let end = quoted.char_indices().find(|(_, character)| {
            let was = escaped;
            escaped = !was && *character == '\\';
            assert!(!was || ['\\', '"', 'n'].contains(character), "{quoted}");
            !was && *character == '"'
        });
        let end = end.expect("a closing quote").0;
        match quoted[end + 1..].split_at_checked(1).expect("more") {
            (",", more) => rest = more,
            ("}", more) => return more,
            _ => panic!("{quoted}"),
        }
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let first = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
    let part = |one: char| one.is_ascii_alphanumeric() || one == '_' || colons && one == ':';
    first && name.chars().all(part)
}

struct Own;

impl Figures for Own {
    fn read(&self, out: &mut dyn FnMut(Figure<'_>)) {
        let labels = [("context", "streaming")];
        for (name, counter, value) in [("own_total", true, 7.0), ("own", false, -1.0)] {
            out(Figure { name, help: "Own.", counter, labels: &labels, value });
        }
    }
}

const PLUGIN: (&str, &str) = ("org.example.Source", "1.0");

fn start(metrics: &Metrics, name: &str, role: Role) -> Arc<TaskMetrics> {
    metrics.task(&name.into(), 0, role, PLUGIN, (&Props::new(), &Props::new()))
}

#[test]
fn everything_is_well_formed_whatever_the_names() {
    let metrics = Metrics::new(&Props::new(), "connect-host:8083");
    let odd = "a \"b\"\\\nü{}=,";
    metrics.connector(odd, "source", PLUGIN, State::Running);
    metrics.connector("s", "sink", PLUGIN, State::Paused);
    metrics.connector_started(true);
    metrics.connector_started(false);
    let source = start(&metrics, odd, Role::Source);
    source.gauges.publish(Arc::new(Own));
    let sink = start(&metrics, "s", Role::Sink);
    sink.state(State::Failed);
    sink.restart_at(Some(NextRestart { at_ms: 5_000, attempt: 1 }));
    metrics.task_started(true);
    metrics.group().rebalancing();
    metrics.group().rebalanced(4, "SESSIONED", "http://h:8083/");
    metrics.group().heartbeat(Duration::from_millis(3));
    let _kept = metrics.client(ClientKind::Consumer, "connector-consumer-s-0");
    let series = parse(&metrics.text());
    let value =
        |key: &str| *series.get(key).unwrap_or_else(|| panic!("no {key} in {:#?}", series.keys()));
    assert_eq!(value("kafka_connect_worker_connector_count"), 2.0);
    assert_eq!(value("kafka_connect_worker_task_count"), 2.0);
    assert_eq!(value("kafka_connect_worker_connector_startup_attempts_total"), 2.0);
    assert_eq!(value("kafka_connect_worker_connector_startup_success_percentage"), 0.5);
    assert_eq!(value("kafka_connect_worker_connector_failed_task_count{connector=\"s\"}"), 1.0);
    assert_eq!(value("kafka_connect_worker_connector_total_task_count{connector=\"s\"}"), 1.0);
    let failed = "kafka_connect_connector_status{connector=\"s\",task=\"0\",status=\"failed\"}";
    assert_eq!(value(failed), 1.0);
    assert_eq!(value("kafka_connect_connector_status{connector=\"s\",status=\"paused\"}"), 1.0);
    assert_eq!(value("riverrun_task_restart_time_seconds{connector=\"s\",task=\"0\"}"), 5.0);
    assert_eq!(value("kafka_connect_worker_rebalance_epoch"), 4.0);
    assert_eq!(
        value("kafka_connect_coordinator_heartbeat_total{clientId=\"connect-host:8083\"}"),
        1.0
    );
    let odd = "own_total{connector=\"a \\\"b\\\"\\\\\\nü{}=,\",task=\"0\",context=\"streaming\"}";
    assert_eq!(value(odd), 7.0);
    assert!(
        value("kafka_connect_sink_task_put_batch_avg_time_ms{connector=\"s\",task=\"0\"}").is_nan()
    );
    assert!(value("process_resident_memory_bytes") > 1e6);
}

/// The names that Kafka's attributes have after the exporter's rules.
#[test]
fn every_attribute_of_connect_has_its_name() {
    let metrics = Metrics::new(&Props::new(), "w");
    metrics.connector("c", "source", PLUGIN, State::Running);
    let _source = start(&metrics, "c", Role::Source);
    let _sink = start(&metrics, "s", Role::Sink);
    let group = metrics.group();
    group.heartbeat(Duration::ZERO);
    group.joined(Duration::ZERO);
    group.synced(Duration::ZERO);
    let text = metrics.text();
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let groups = [
        ("connector", "status connector-type connector-class connector-version"),
        (
            "connector_task",
            "status running-ratio pause-ratio offset-commit-max-time-ms offset-commit-avg-time-ms \
             offset-commit-failure-percentage offset-commit-success-percentage batch-size-max \
             batch-size-avg",
        ),
        (
            "source_task",
            "source-record-poll-rate source-record-poll-total source-record-write-rate \
             source-record-write-total poll-batch-max-time-ms poll-batch-avg-time-ms \
             source-record-active-count source-record-active-count-max \
             source-record-active-count-avg",
        ),
        (
            "sink_task",
            "sink-record-read-rate sink-record-read-total sink-record-send-rate \
             sink-record-send-total sink-record-active-count sink-record-active-count-max \
             sink-record-active-count-avg partition-count offset-commit-seq-no \
             offset-commit-completion-rate offset-commit-completion-total offset-commit-skip-rate \
             offset-commit-skip-total put-batch-max-time-ms put-batch-avg-time-ms",
        ),
        (
            "task_error",
            "total-record-failures total-record-errors total-records-skipped total-retries \
             total-errors-logged deadletterqueue-produce-requests deadletterqueue-produce-failures \
             last-error-timestamp",
        ),
        (
            "worker",
            "connector-count task-count connector-startup-attempts-total \
             connector-startup-success-total connector-startup-success-percentage \
             connector-startup-failure-total connector-startup-failure-percentage \
             task-startup-attempts-total task-startup-success-total \
             task-startup-success-percentage task-startup-failure-total \
             task-startup-failure-percentage connector-total-task-count \
             connector-running-task-count connector-paused-task-count connector-failed-task-count \
             connector-unassigned-task-count connector-destroyed-task-count \
             connector-restarting-task-count",
        ),
        (
            "worker_rebalance",
            "connect-protocol leader-name epoch completed-rebalances-total rebalancing \
             rebalance-max-time-ms rebalance-avg-time-ms time-since-last-rebalance-ms",
        ),
        (
            "coordinator",
            "assigned-connectors assigned-tasks heartbeat-rate heartbeat-total \
             heartbeat-response-time-max last-heartbeat-seconds-ago join-rate join-total \
             join-time-avg join-time-max sync-rate sync-total sync-time-avg sync-time-max \
             rebalance-rate-per-hour rebalance-total rebalance-latency-avg rebalance-latency-max \
             rebalance-latency-total failed-rebalance-rate-per-hour failed-rebalance-total \
             last-rebalance-seconds-ago",
        ),
    ];
    for (group, attributes) in groups {
        for attribute in attributes.split_whitespace() {
            let name = format!("kafka_connect_{group}_{}", attribute.replace('-', "_"));
            assert!(families.contains(name.as_str()), "{name} is missing");
        }
    }
}

#[test]
fn a_task_is_shown_for_as_long_as_it_is_kept() {
    let metrics = Metrics::new(&Props::new(), "w");
    let first = start(&metrics, "c", Role::Source);
    assert_eq!(metrics.tasks().len(), 1);
    let second = start(&metrics, "c", Role::Source);
    assert_eq!(metrics.tasks().len(), 1);
    drop(first);
    assert!(metrics.find("c", 0).is_some());
    drop(second);
    assert!(metrics.find("c", 0).is_none());
    assert_eq!(metrics.extra("c", 0), TaskExtra::default());
}
