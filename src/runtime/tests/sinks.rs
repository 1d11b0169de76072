//! The sink driver over a consumer that does as the test says.

mod scene;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use model::{connector::Offsets, error::Error};

use self::scene::{FakeSink, FakeTransport, Scene, offsets, place, records};
use super::fakes::{Worker, eventually, worker_with};
use crate::runtime::{State, TaskHandle, transport::Event};

/// A running task that commits only when it is asked to.
fn start(
    worker_props: &[(&str, &str)],
    props: &[(&str, &str)],
) -> (Arc<Scene>, Worker, TaskHandle) {
    let stage = Arc::new(Scene::default());
    let worker = worker_with(Arc::new(FakeTransport(stage.clone())), worker_props);
    let connector = Box::leak(Box::new(FakeSink(stage.clone())));
    let handle = worker.start_sink(connector, "sink", props);
    (stage, worker, handle)
}

fn commit(stage: &Scene) {
    stage.context.lock().unwrap().request_commit();
}

async fn stop(handle: TaskHandle) {
    handle.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn partitions_are_committed_and_closed_before_they_are_released() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 10), (1, 20)]);
    stage.tell(records(0, 10..12));
    stage.expect(&["open 0 1", "put 0@10 0@11"]).await;
    stage.tell(Event::Revoked(vec![place(0)]));
    // The JVM's order: asked what is durable, closed, committed, let go.
    stage.expect(&["close 0", "commit 0@12", "released 0"]).await;
    // What comes of it all the same is nobody's here, and its offset is off the books.
    stage.tell(records(0, 12..14));
    stage.tell(records(1, 20..21));
    stage.expect(&["put 1@20"]).await;
    stop(handle).await;
    stage.expect(&["close 1", "commit 1@21", "left"]).await;
}

#[tokio::test]
async fn of_lost_partitions_nothing_is_committed() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 0), (1, 0)]);
    stage.tell(records(0, 0..3));
    stage.tell(Event::Lost(vec![place(0), place(1)]));
    stage.expect(&["open 0 1", "put 0@0 0@1 0@2", "close 0 1", "released 0 1"]).await;
    // They come back, from where somebody else has got.
    stage.assign(&[(0, 2)]);
    stage.tell(records(0, 2..3));
    stage.expect(&["open 0", "put 0@2"]).await;
    stop(handle).await;
    stage.expect(&["close 0", "commit 0@3", "left"]).await;
}

#[tokio::test]
async fn a_batch_that_waits_loses_the_records_of_partitions_that_go() {
    let (stage, _worker, handle) = start(&[], &[]);
    *stage.put.lock().unwrap() = Some(Error::retriable("busy"));
    *stage.within.lock().unwrap() = Some(Duration::from_millis(300));
    stage.assign(&[(0, 0), (1, 0)]);
    let (Event::Records(mut both), Event::Records(more)) = (records(0, 0..2), records(1, 0..1))
    else {
        panic!("records")
    };
    both.extend(more);
    stage.tell(Event::Records(both));
    stage.expect(&["open 0 1", "put fails 0@0 0@1 1@0", "pause 0 1"]).await;
    stage.tell(Event::Revoked(vec![place(0)]));
    // Nothing of partition 0 was taken, so nothing is committed.
    stage.expect(&["close 0", "released 0", "put 1@0", "resume 1"]).await;
    stop(handle).await;
    stage.expect(&["close 1", "commit 1@1", "left"]).await;
}

#[tokio::test]
async fn only_what_is_new_and_known_is_committed() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 5), (1, 7)]);
    stage.tell(records(0, 5..9));
    stage.expect(&["open 0 1", "put 0@5 0@6 0@7 0@8"]).await;
    // Beyond what was given, of a partition the task lacks, and one that counts.
    *stage.durable.lock().unwrap() = Some(Ok(offsets(&[(0, 8), (1, 8), (2, 1)])));
    commit(&stage);
    stage.expect(&["commit 0@8 1@7"]).await;
    // No offsets say that nothing is to be committed; the same ones are no news.
    *stage.durable.lock().unwrap() = Some(Ok(Offsets::new()));
    *stage.within.lock().unwrap() = Some(Duration::from_millis(1));
    commit(&stage);
    eventually("it was asked", || stage.durable.lock().unwrap().is_none()).await;
    eventually("a tick", || stage.journal().contains(&"tick".to_owned())).await;
    *stage.durable.lock().unwrap() = Some(Ok(offsets(&[(0, 8)])));
    commit(&stage);
    eventually("it was asked", || stage.durable.lock().unwrap().is_none()).await;
    stage.expect(&[]).await;
    commit(&stage);
    stage.expect(&["commit 0@9 1@7"]).await;
    stop(handle).await;
    stage.expect(&["close 0 1", "left"]).await;
}

#[tokio::test]
async fn a_sink_that_cannot_say_what_is_durable_gets_the_records_again() {
    let (stage, mut worker, handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 5)]);
    stage.tell(records(0, 5..7));
    stage.expect(&["open 0", "put 0@5 0@6"]).await;
    *stage.durable.lock().unwrap() = Some(Err(Error::retriable("disk busy")));
    commit(&stage);
    stage.expect(&["seek 0@5"]).await;
    // What was put before does not count any more.
    stop(handle).await;
    stage.expect(&["close 0", "left"]).await;
    worker.expect(State::Unassigned).await;

    let (stage, mut worker, _handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 5)]);
    stage.tell(records(0, 5..7));
    stage.expect(&["open 0", "put 0@5 0@6"]).await;
    *stage.durable.lock().unwrap() = Some(Err(Error::fatal("disk gone")));
    commit(&stage);
    assert_eq!(worker.expect(State::Failed).await.unwrap(), "disk gone");
}

#[tokio::test]
async fn a_failed_task_commits_what_it_has_done() {
    let (stage, mut worker, _handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..2));
    stage.expect(&["open 0", "put 0@0 0@1"]).await;
    *stage.put.lock().unwrap() = Some(Error::fatal("no such table"));
    stage.tell(records(0, 2..3));
    let trace = worker.expect(State::Failed).await.unwrap();
    assert_eq!(
        trace,
        "Exiting WorkerSinkTask due to unrecoverable exception.\nCaused by: no such table"
    );
    stage.expect(&["put fails 0@2", "close 0", "commit 0@2", "left"]).await;
}

#[tokio::test]
async fn a_commit_without_an_answer_is_given_up_and_made_again() {
    let (stage, _worker, handle) = start(&[("offset.flush.timeout.ms", "30")], &[]);
    stage.mute.store(true, Ordering::Relaxed);
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..1));
    stage.expect(&["open 0", "put 0@0"]).await;
    commit(&stage);
    stage.expect(&["commit 0@1"]).await;
    // Records go on meanwhile.
    stage.tell(records(0, 1..2));
    stage.expect(&["put 0@1"]).await;
    commit(&stage);
    stage.expect(&["commit 0@2"]).await;
    stage.mute.store(false, Ordering::Relaxed);
    stop(handle).await;
    stage.expect(&["close 0", "commit 0@2", "left"]).await;
}

#[tokio::test]
async fn a_paused_task_reads_nothing_and_stays() {
    let (stage, mut worker, handle) = start(&[], &[]);
    worker.expect(State::Running).await;
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..1));
    stage.expect(&["open 0", "put 0@0"]).await;
    handle.pause();
    worker.expect(State::Paused).await;
    stage.expect(&["commit 0@1", "pause 0"]).await;
    // A partition that comes while it is paused is paused too.
    stage.assign(&[(1, 0)]);
    stage.expect(&["open 1", "pause 1"]).await;
    handle.resume();
    worker.expect(State::Running).await;
    stage.expect(&["resume 0 1"]).await;
    stop(handle).await;
    stage.expect(&["close 0 1", "left"]).await;
}

#[tokio::test]
async fn a_sink_pauses_partitions_and_goes_back() {
    let (stage, _worker, handle) = start(&[], &[]);
    stage.assign(&[(0, 5), (1, 5)]);
    stage.expect(&["open 0 1"]).await;
    let context = stage.context.lock().unwrap().clone();
    context.pause([place(1), place(9)]);
    stage.expect(&["pause 1"]).await;
    context.resume(&[place(1)]);
    stage.expect(&["resume 1"]).await;
    context.rewind([(place(0), 2), (place(9), 1)]);
    stage.expect(&["seek 0@2"]).await;
    stage.tell(records(0, 2..3));
    stage.expect(&["put 0@2"]).await;
    commit(&stage);
    stage.expect(&["commit 0@3 1@5"]).await;
    stop(handle).await;
    stage.expect(&["close 0 1", "left"]).await;
}

#[tokio::test]
async fn a_sink_is_called_without_records_too() {
    let (stage, _worker, handle) = start(&[("offset.flush.interval.ms", "20")], &[]);
    eventually("a tick at the flush interval", || stage.journal().len() > 1).await;
    assert_eq!(stage.journal()[0], "tick");
    stop(handle).await;
}

#[tokio::test]
async fn offsets_wait_for_dead_letters() {
    let queue = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "d"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let (stage, _worker, handle) = start(&[("offset.flush.timeout.ms", "30")], &queue);
    stage.hold_letters.store(true, Ordering::Relaxed);
    *stage.report.lock().unwrap() = Some(1);
    stage.assign(&[(0, 0)]);
    stage.tell(records(0, 0..3));
    stage.expect(&["open 0", "put 0@0 0@1 0@2"]).await;
    eventually("a letter", || !stage.letters.lock().unwrap().is_empty()).await;
    commit(&stage);
    *stage.within.lock().unwrap() = Some(Duration::from_millis(1));
    eventually("the commit was passed over", || stage.journal().len() > 3).await;
    stage.expect(&[]).await;
    *stage.within.lock().unwrap() = None;
    let ((_, value, names), ticket) = stage.letters.lock().unwrap().remove(0);
    assert_eq!(value.as_deref(), Some(&b"1"[..]));
    assert_eq!(names[0], "h");
    assert_eq!(names.len(), 11);
    ticket.done(1);
    commit(&stage);
    stage.expect(&["commit 0@3"]).await;
    stop(handle).await;
    stage.expect(&["close 0", "left", "letters closed"]).await;
}
