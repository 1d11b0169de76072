//! Source and sink drivers over a transport and a source that do as the test says.

mod fakes;
mod health;
mod sinks;
mod threads;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use model::error::Stage;

use self::fakes::{
    FakeTransport, Script, Step, Worker, eventually, offsets_of, recording_sink, worker_with,
};
use super::*;
use crate::channel::Channels;

/// A worker whose transport holds acknowledgements back until told.
fn fake_worker(pairs: &[(&str, &str)]) -> (Worker, Arc<FakeTransport>) {
    let transport = Arc::new(FakeTransport::default());
    (worker_with(transport.clone(), pairs), transport)
}

const QUICK: &[(&str, &str)] = &[("offset.flush.interval.ms", "5")];

#[tokio::test]
async fn a_position_is_stored_and_confirmed_only_when_acknowledged() {
    let (mut worker, transport) = fake_worker(QUICK);
    transport.hold(true);
    let script = Script::new([Step::Send { records: 3, position: Some(1) }, Step::Stay]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("three records are sent", || transport.sent() == 3).await;
    // Flushes come by, and find nothing they may store.
    assert_eq!(worker.store.writes().await, 0);
    assert_eq!(script.confirmed(), None);
    transport.hold(false);
    eventually("the position is stored", || worker.store.get() == Some(1)).await;
    eventually("the position is confirmed", || script.confirmed() == Some(1)).await;
    task.stop(Duration::from_secs(5)).await;
    worker.expect(State::Unassigned).await;
}

#[tokio::test]
async fn a_position_that_is_not_stored_is_not_confirmed() {
    let (mut worker, _transport) = fake_worker(QUICK);
    worker.store.fail(true);
    let script = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("storing is tried again", || worker.store.failures.load(Ordering::Relaxed) > 2)
        .await;
    assert_eq!(script.confirmed(), None);
    worker.store.fail(false);
    eventually("the position is confirmed", || script.confirmed() == Some(1)).await;
    assert_eq!(worker.store.get(), Some(1));
    drop(task);
}

#[tokio::test]
async fn a_batch_without_position_holds_back_later_ones() {
    let (mut worker, transport) = fake_worker(QUICK);
    transport.hold(true);
    let script = Script::new([
        Step::Send { records: 2_000, position: None },
        Step::Send { records: 2_000, position: Some(7) },
        Step::Stay,
    ]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("all is sent", || transport.sent() == 4_000).await;
    transport.acknowledge_last(2_000);
    assert_eq!(worker.store.writes().await, 0);
    transport.hold(false);
    eventually("the position is stored", || worker.store.get() == Some(7)).await;
    drop(task);
}

#[tokio::test]
async fn a_retriable_error_runs_the_same_task_again() {
    let (mut worker, transport) = fake_worker(QUICK);
    let script = Script::new([
        Step::Send { records: 1, position: Some(1) },
        Step::Retriable,
        Step::Send { records: 1, position: Some(2) },
        Step::Stay,
    ]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the second batch is stored", || worker.store.get() == Some(2)).await;
    assert_eq!(script.runs(), 2);
    assert_eq!(script.starts(), 1);
    assert_eq!(transport.sent(), 2);
    task.stop(Duration::from_secs(5)).await;
    // Nothing was said of the error: RUNNING throughout.
    worker.expect(State::Unassigned).await;
}

#[tokio::test]
async fn a_fatal_error_stores_what_arrived_and_fails() {
    let (mut worker, _transport) = fake_worker(&[]);
    let script = Script::new([Step::Send { records: 5, position: Some(5) }, Step::Fatal]);
    let _task = worker.source(&script);
    worker.expect(State::Running).await;
    let trace = worker.expect(State::Failed).await.unwrap();
    assert_eq!(trace, "slot gone\nCaused by: somebody dropped it");
    assert_eq!(worker.store.get(), Some(5));
}

#[tokio::test]
async fn a_panic_fails_the_task_alone() {
    let (mut worker, _transport) = fake_worker(&[]);
    let script = Script::new([Step::Panic]);
    let _task = worker.source(&script);
    worker.expect(State::Running).await;
    let trace = worker.expect(State::Failed).await.unwrap();
    assert_eq!(trace, "panic in the task: index out of nowhere");
}

#[tokio::test]
async fn a_delivery_failure_fails_the_task_unless_tolerated() {
    let (mut worker, transport) = fake_worker(&[]);
    transport.refuse(true);
    let script = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    let _task = worker.source(&script);
    worker.expect(State::Running).await;
    let trace = worker.expect(State::Failed).await.unwrap();
    assert_eq!(trace, "Unrecoverable exception from producer send callback\nCaused by: too large");
    assert_eq!(worker.store.get(), None);

    let (mut worker, transport) = fake_worker(QUICK);
    transport.refuse(true);
    worker.props.insert("errors.tolerance".into(), "all".into());
    let script = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    let _task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the position passes the record", || worker.store.get() == Some(1)).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_encoded() {
    let (mut worker, _transport) = fake_worker(&[]);
    let script = Script::new([Step::Broken, Step::Stay]);
    let _task = worker.source(&script);
    worker.expect(State::Running).await;
    let trace = worker.expect(State::Failed).await.unwrap();
    let start = "Tolerance exceeded in error handler\nCaused by: a record for topic t failed in \
                 stage VALUE_CONVERTER with org.apache.kafka.connect.json.JsonConverter\n\
                 Caused by: ";
    assert!(trace.starts_with(start), "{trace}");

    let (mut worker, transport) = fake_worker(QUICK);
    worker.props.insert("errors.tolerance".into(), "all".into());
    let script =
        Script::new([Step::Broken, Step::Send { records: 1, position: Some(9) }, Step::Stay]);
    let _task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the good record's position is stored", || worker.store.get() == Some(9)).await;
    assert_eq!(transport.sent(), 1);
}

#[tokio::test]
async fn a_held_task_sends_nothing_and_stops_at_once() {
    let (mut worker, transport) = fake_worker(&[]);
    let script = Script::new([
        Step::Send { records: 1, position: Some(1) },
        Step::Signal,
        Step::Send { records: 1, position: Some(2) },
        Step::Stay,
    ]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the first is sent", || transport.sent() == 1).await;
    task.pause();
    worker.expect(State::Paused).await;
    // The flush interval is a minute: it is the hold that stores.
    eventually("the position is stored", || worker.store.get() == Some(1)).await;
    script.signal();
    eventually("the second waits in the outbox", || script.at() == 3).await;
    assert_eq!(transport.sent(), 1);
    task.stop(Duration::from_secs(5)).await;
    worker.expect(State::Unassigned).await;
    assert_eq!(transport.sent(), 1);
    assert_eq!(worker.store.get(), Some(1));
}

#[tokio::test]
async fn a_task_that_begins_held_starts_with_resume() {
    let (mut worker, transport) = fake_worker(QUICK);
    let script = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    worker.paused = true;
    let task = worker.source(&script);
    worker.expect(State::Paused).await;
    assert_eq!(script.starts(), 0);
    task.resume();
    worker.expect(State::Running).await;
    eventually("the record is sent", || transport.sent() == 1).await;
    assert_eq!(task.topics(), [Arc::from("t")]);
}

#[tokio::test]
async fn stop_sends_what_was_handed_over_and_stores_it() {
    let (mut worker, transport) = fake_worker(&[]);
    let script = Script::new([
        Step::Send { records: 10, position: Some(10) },
        Step::Send { records: 10, position: Some(20) },
        Step::Stay,
    ]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the source has handed over", || script.at() == 2).await;
    task.stop(Duration::from_secs(5)).await;
    worker.expect(State::Unassigned).await;
    assert_eq!(transport.sent(), 20);
    assert_eq!(worker.store.get(), Some(20));
}

/// Code that never waits can't be aborted. It is left to itself after the grace, and what it says
/// later does not count: another task may run in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_blocks_its_thread_holds_nobody() {
    let (mut worker, _transport) = fake_worker(&[]);
    let script = Script::new([Step::Block]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the thread is blocked", || script.at() == 1).await;
    let began = std::time::Instant::now();
    assert!(!task.stop(Duration::from_millis(50)).await, "it did not end by itself");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let other = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    let next = worker.source(&other);
    worker.expect(State::Running).await;
    script.release();
    eventually("the blocked one has gone", || Arc::strong_count(&script) <= 2).await;
    assert!(worker.silent(), "it said something after its cancellation");
    assert!(next.stop(Duration::from_secs(5)).await);
    worker.expect(State::Unassigned).await;
}

#[tokio::test]
async fn a_full_transport_holds_the_source_back() {
    let (mut worker, transport) = fake_worker(&[]);
    transport.block(true);
    let steps = (1..=20).map(|position| Step::Send { records: 1, position: Some(position) });
    let script = Script::new(steps.chain([Step::Stay]));
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the transport is asked", || transport.blocked()).await;
    // One batch with the sender, two in the outbox; the next waits for room.
    eventually("the outbox is full", || script.at() == 3).await;
    // Time enough for many more, were there room.
    worker.store.writes().await;
    assert_eq!((script.at(), transport.sent()), (3, 0));
    transport.block(false);
    eventually("all is sent", || transport.sent() == 20).await;
    task.stop(Duration::from_secs(5)).await;
    assert_eq!(worker.store.get(), Some(20));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_dead_transport_for_ever() {
    let (mut worker, transport) = fake_worker(&[("offset.flush.timeout.ms", "20")]);
    let script = Script::new([
        Step::Send { records: 1, position: Some(1) },
        Step::Signal,
        Step::Send { records: 1, position: Some(2) },
        Step::Stay,
    ]);
    let task = worker.source(&script);
    worker.expect(State::Running).await;
    // A second record that came before that would be one entry with the first.
    let written = "kafka_connect_source_task_source_record_write_total";
    eventually("the first is acknowledged", || worker.figure(written, "source") == 1.0).await;
    transport.hold(true);
    script.signal();
    eventually("the second is sent", || transport.sent() == 2).await;
    task.stop(Duration::from_secs(5)).await;
    worker.expect(State::Unassigned).await;
    // What was acknowledged before is stored all the same.
    assert_eq!(worker.store.get(), Some(1));
}

#[tokio::test]
async fn in_process_a_position_waits_for_every_sink() {
    let worker = worker_with(Arc::new(Channels::new()), QUICK);
    let (quick, slow) = (recording_sink(), recording_sink());
    slow.hold_commits(true);
    let _quick = worker.sink(&quick, "quick", &[("topics", "other, t")]);
    let _slow = worker.sink(&slow, "slow", &[("topics.regex", "t.*")]);
    let script = Script::new([Step::Send { records: 3, position: Some(3) }, Step::Stay]);
    let _source = worker.source(&script);
    eventually("both sinks have the records", || quick.count() == 3 && slow.count() == 3).await;
    assert_eq!(offsets_of(&quick), [0, 1, 2]);
    assert_eq!(quick.values(), ["0", "1", "2"]);
    eventually("the slow sink is asked", || slow.asked() > 0).await;
    assert_eq!(worker.store.get(), None);
    slow.hold_commits(false);
    eventually("the position is stored", || worker.store.get() == Some(3)).await;
}

#[tokio::test]
async fn a_sink_gets_the_same_records_again_after_a_retriable_error() {
    let worker = worker_with(Arc::new(Channels::new()), QUICK);
    let sink = recording_sink();
    sink.fail_puts(2);
    let _sink = worker.sink(&sink, "sink", &[("topics", "t")]);
    let script = Script::new([Step::Send { records: 2, position: Some(2) }, Step::Stay]);
    let _source = worker.source(&script);
    eventually("the position is stored", || worker.store.get() == Some(2)).await;
    assert_eq!(offsets_of(&sink), [0, 1]);
    assert_eq!(sink.puts(), 3);
}

#[tokio::test]
async fn a_restarted_sink_gets_what_it_has_not_committed() {
    let worker = worker_with(Arc::new(Channels::new()), QUICK);
    let sink = recording_sink();
    sink.hold_commits(true);
    let first = worker.sink(&sink, "sink", &[("topics", "t")]);
    let script = Script::new([Step::Send { records: 2, position: Some(2) }, Step::Stay]);
    let _source = worker.source(&script);
    eventually("the sink has the records", || sink.count() == 2).await;
    first.stop(Duration::from_secs(5)).await;
    assert_eq!(worker.store.get(), None);
    let _second = worker.sink(&sink, "sink", &[("topics", "t")]);
    eventually("they came again", || sink.count() == 4).await;
    assert_eq!(offsets_of(&sink), [0, 1, 0, 1]);
    sink.hold_commits(false);
    eventually("the position is stored", || worker.store.get() == Some(2)).await;
}

#[tokio::test]
async fn a_deleted_sink_holds_nothing_back() {
    let transport = Arc::new(Channels::new());
    let worker = worker_with(transport.clone(), QUICK);
    let sink = recording_sink();
    sink.hold_commits(true);
    let handle = worker.sink(&sink, "sink", &[("topics", "t")]);
    let script = Script::new([Step::Send { records: 1, position: Some(1) }, Step::Stay]);
    let _source = worker.source(&script);
    eventually("the sink has the record", || sink.count() == 1).await;
    handle.stop(Duration::from_secs(5)).await;
    assert_eq!(worker.store.get(), None);
    transport.forget("sink");
    eventually("the position is stored", || worker.store.get() == Some(1)).await;
}

#[tokio::test]
async fn a_record_the_sink_reports_fails_it_unless_tolerated() {
    let mut worker = worker_with(Arc::new(Channels::new()), QUICK);
    let sink = recording_sink();
    sink.report(Some(1));
    let _sink = worker.sink(&sink, "sink", &[("topics", "t")]);
    worker.expect(State::Running).await;
    let script = Script::new([Step::Send { records: 3, position: Some(3) }, Step::Stay]);
    let _source = worker.source(&script);
    worker.expect(State::Running).await;
    let trace = worker.expect(State::Failed).await.unwrap();
    let stage = Stage::TaskPut.name();
    assert_eq!(
        trace,
        format!(
            "Tolerance exceeded in error handler\nCaused by: the record at offset 1 of topic t \
             failed in stage {stage} with org.apache.kafka.connect.sink.SinkTask\nCaused by: not \
             wanted"
        )
    );
    assert_eq!(worker.store.get(), None);
}

#[tokio::test]
async fn sinks_need_topics() {
    for (pairs, answer) in [
        (&[][..], "Must configure one of topics or topics.regex"),
        (
            &[("topics", "a"), ("topics.regex", "b")][..],
            "topics and topics.regex are mutually exclusive options, but both are set.",
        ),
    ] {
        let mut worker = worker_with(Arc::new(Channels::new()), &[]);
        let _sink = worker.sink(&recording_sink(), "sink", pairs);
        assert_eq!(worker.expect(State::Failed).await.unwrap(), answer);
    }
}

/// Two sinks that never commit: each queue takes what it may hold, then the source waits.
#[tokio::test]
async fn in_process_memory_is_bounded() {
    let transport = Arc::new(Channels::with_limits(1_000));
    let mut worker = worker_with(transport, QUICK);
    let sink = recording_sink();
    let held = worker.sink(&sink, "sink", &[("topics", "t")]);
    worker.expect(State::Running).await;
    held.pause();
    worker.expect(State::Paused).await;
    let steps = (1..=200).map(|position| Step::Send { records: 5, position: Some(position) });
    let script = Script::new(steps.chain([Step::Stay]));
    let _source = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the source has begun", || script.at() > 3).await;
    // An item is some 60 bytes, so a thousand bytes hold a few batches of five, and the outbox and
    // the sender three more.
    worker.store.writes().await;
    let reached = script.at();
    assert!(reached < 12, "{reached} batches taken by a queue of 1,000 bytes");
    held.resume();
    eventually("all of it is durable", || worker.store.get() == Some(200)).await;
    assert_eq!(sink.count(), 1_000);
    assert_eq!(offsets_of(&sink), (0..1_000).collect::<Vec<i64>>());
}
