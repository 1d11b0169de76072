//! Connector code that keeps its thread for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef},
    connector::{Errant, Offsets, SinkConnector, SinkTask, TopicPartition},
    error::Result,
    record::SinkRecord,
};

use super::fakes::{Script, Step, eventually, offsets_of, recording_sink, worker_with};
use crate::{
    channel::Channels,
    runtime::{State, Transport as _},
};

/// Far more than the two threads these tests run on.
const BLOCKED: usize = 16;

const GRACE: Duration = Duration::from_millis(100);

/// A sink that never comes back from `put`, until the test ends.
struct Stuck(Arc<Script>, Arc<AtomicUsize>);

#[async_trait]
impl SinkConnector for Stuck {
    fn class(&self) -> &'static str {
        "Stuck"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn config(&self) -> &'static ConfigDef {
        static NO_KEYS: ConfigDef = ConfigDef(&[]);
        &NO_KEYS
    }

    async fn start(&self, _config: Config) -> Result<Box<dyn SinkTask>> {
        Ok(Box::new(Stuck(self.0.clone(), self.1.clone())))
    }
}

#[async_trait]
impl SinkTask for Stuck {
    async fn put(&mut self, records: &[SinkRecord], _errant: &mut Errant) -> Result<()> {
        if !records.is_empty() {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.block();
        }
        Ok(())
    }

    async fn pre_commit(&mut self, _current: Offsets) -> Result<Offsets> {
        Ok(Offsets::new())
    }

    async fn close(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }
}

/// Sources and sinks are blocked for ever, many times as many as there are threads: a source beside
/// them streams into its sink, and the blocked ones are paused, stopped and replaced in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_block_hold_nobody() {
    let channels = Arc::new(Channels::new());
    let mut worker = worker_with(channels.clone(), &[("offset.flush.interval.ms", "5")]);
    let ends: Vec<_> = (0..BLOCKED).map(|_| Script::new([Step::Block])).collect();
    let mut blocked: Vec<_> = ends.iter().map(|script| worker.source(script)).collect();
    eventually("all sources block", || ends.iter().all(|script| script.at() == 1)).await;
    let (end, stuck) = (Script::new([]), Arc::new(AtomicUsize::new(0)));
    for number in 0..BLOCKED {
        let sink = Box::leak(Box::new(Stuck(end.clone(), stuck.clone())));
        blocked.push(worker.start_sink(sink, &format!("stuck-{number}"), &[("topics", "t")]));
    }
    for _ in 0..2 * BLOCKED {
        worker.expect(State::Running).await;
    }

    // The channel holds what the stuck sinks do not take, and this much fits.
    let recording = recording_sink();
    let sink = worker.sink(&recording, "sink", &[("topics", "t")]);
    worker.expect(State::Running).await;
    let script = Script::new([Step::Send { records: 100, position: Some(1) }, Step::Stay]);
    let source = worker.source(&script);
    worker.expect(State::Running).await;
    eventually("the records have come through", || offsets_of(&recording).len() == 100).await;
    eventually("all sinks block", || stuck.load(Ordering::Relaxed) == BLOCKED).await;

    // Held, and let go: a source's state is its driver's to tell, whatever its code does.
    for task in &blocked[..BLOCKED] {
        task.pause();
        worker.expect(State::Paused).await;
        task.resume();
        worker.expect(State::Running).await;
    }

    let began = Instant::now();
    let stops = blocked.into_iter().map(|task| tokio::spawn(task.stop(GRACE)));
    for stop in stops.collect::<Vec<_>>() {
        assert!(!stop.await.unwrap(), "it did not end by itself");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // Nobody waits for them any more.
    (0..BLOCKED).for_each(|number| channels.forget(&format!("stuck-{number}")));
    let scripts: Vec<_> = (0..BLOCKED)
        .map(|_| Script::new([Step::Send { records: 1, position: Some(2) }, Step::Stay]))
        .collect();
    let again: Vec<_> = scripts.iter().map(|script| worker.source(script)).collect();
    for _ in 0..BLOCKED {
        worker.expect(State::Running).await;
    }
    let all = 100 + BLOCKED;
    eventually("their records come through", || offsets_of(&recording).len() == all).await;
    for task in again.into_iter().chain([source]) {
        assert!(task.stop(Duration::from_secs(5)).await);
    }
    drop(sink);
    ends.iter().for_each(|script| script.release());
    end.release();
    eventually("the threads are free", || ends.iter().all(|it| Arc::strong_count(it) <= 2)).await;
}
