//! What drivers count, and tasks that get nowhere.

use std::{sync::Arc, time::Duration};

use super::{
    QUICK, State, fake_worker,
    fakes::{Script, Step, eventually},
};

const STORED: &str = "kafka_connect_source_task_source_record_write_total";
const ACTIVE: &str = "kafka_connect_source_task_source_record_active_count";
const STALLED: &str = "riverrun_task_stalled";
const REBUILDS: &str = "riverrun_task_rebuilds_total";

#[tokio::test]
async fn records_count_when_they_are_stored() {
    let (mut worker, transport) = fake_worker(QUICK);
    transport.hold(true);
    let steps = [Step::Send { records: 3, position: Some(1) }, Step::Stay];
    let task = worker.source(&Script::new(steps));
    worker.expect(State::Running).await;
    eventually("three are under way", || worker.figure(ACTIVE, "source") == 3.0).await;
    assert_eq!(worker.figure(STORED, "source"), 0.0);
    transport.hold(false);
    eventually("three are stored", || worker.figure(STORED, "source") == 3.0).await;
    assert_eq!(worker.figure(ACTIVE, "source"), 0.0);
    let commits = "kafka_connect_connector_task_offset_commit_success_percentage";
    eventually("a commit", || worker.figure(commits, "source") == 1.0).await;
    drop(task);
}

#[tokio::test]
async fn a_record_that_is_left_out_is_an_error_and_not_stored() {
    let (mut worker, _transport) = fake_worker(QUICK);
    worker.props.insert("errors.tolerance".to_owned(), "all".to_owned());
    let steps = [Step::Broken, Step::Send { records: 2, position: Some(1) }, Step::Stay];
    let task = worker.source(&Script::new(steps));
    worker.expect(State::Running).await;
    eventually("two are stored", || worker.figure(STORED, "source") == 2.0).await;
    for (name, wanted) in [
        ("kafka_connect_source_task_source_record_poll_total", 3.0),
        ("kafka_connect_task_error_total_record_failures", 1.0),
        ("kafka_connect_task_error_total_record_errors", 1.0),
        ("kafka_connect_task_error_total_records_skipped", 1.0),
        ("kafka_connect_task_error_total_errors_logged", 0.0),
    ] {
        assert_eq!(worker.figure(name, "source"), wanted, "{name}");
    }
    drop(task);
}

/// A source over a broker that does not acknowledge: it begins again with what follows its stored
/// offset.
#[tokio::test]
async fn a_stalled_source_over_kafka_is_made_anew() {
    let (mut worker, transport) = fake_worker(&[
        ("offset.flush.interval.ms", "5"),
        ("bootstrap.servers", "nowhere:1"),
        ("task.shutdown.graceful.timeout.ms", "50"),
        ("task.stall.timeout.ms", "100"),
    ]);
    transport.hold(true);
    let script = Script::new([
        Step::Send { records: 3, position: Some(1) },
        Step::Stay,
        Step::Send { records: 2, position: Some(2) },
    ]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the second start", || script.starts() == 2).await;
    worker.expect(State::Running).await;
    transport.hold(false);
    eventually("what the second start sent is stored", || worker.store.get() == Some(2)).await;
    assert!(worker.figure(REBUILDS, "source") >= 1.0);
    eventually("it is well again", || worker.figure(STALLED, "source") == 0.0).await;
    assert!(task.metrics().extra().stalled.is_none());
    task.stop(Duration::from_secs(5)).await;
}

/// Within a process records wait for a sink, perhaps one that is paused: that is told, and sending
/// them once more would not help.
#[tokio::test]
async fn a_source_that_waits_for_a_sink_is_stalled_and_left_alone() {
    // Long enough for a start on a busy machine.
    let (mut worker, transport) =
        fake_worker(&[("offset.flush.interval.ms", "5"), ("task.stall.timeout.ms", "1000")]);
    transport.hold(true);
    let script = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the stall", || worker.figure(STALLED, "source") == 1.0).await;
    eventually("it is counted", || worker.figure("riverrun_task_stalls_total", "source") == 1.0)
        .await;
    // Paused, nothing is expected of it.
    task.pause();
    worker.expect(State::Paused).await;
    assert_eq!(worker.figure(STALLED, "source"), 0.0);
    task.resume();
    worker.expect(State::Running).await;
    transport.hold(false);
    eventually("it goes on", || worker.store.get() == Some(1)).await;
    assert_eq!((worker.figure(REBUILDS, "source"), script.starts()), (0.0, 1));
    assert_eq!(worker.figure(STALLED, "source"), 0.0);
    drop(task);
}

#[tokio::test]
async fn starts_are_counted_once_whatever_they_end_in() {
    let (mut worker, _transport) = fake_worker(QUICK);
    let failing = worker.source(&Script::new([Step::Fatal]));
    worker.expect(State::Running).await;
    worker.expect(State::Failed).await;
    let status = "kafka_connect_connector_status{connector=\"source\",task=\"0\",status=";
    assert!(worker.text().contains(&format!("{status}\"failed\"}} 1")));
    // It ran before it failed.
    assert!(worker.text().contains("kafka_connect_worker_task_startup_success_total 1\n"));
    assert!(worker.text().contains("kafka_connect_worker_task_startup_failure_total 0\n"));
    worker.props.insert("errors.tolerance".to_owned(), "some".to_owned());
    drop(failing);
    let wrong: Arc<Script> = Script::new([]);
    let task = worker.source(&wrong);
    worker.expect(State::Failed).await;
    assert!(worker.text().contains("kafka_connect_worker_task_startup_failure_total 1\n"));
    drop(task);
    assert!(!worker.text().contains("connector=\"source\""));
}
