//! Drives a sink task.
//!
//! One loop: poll, decode, `put`, and from time to time `pre_commit`, whose answer is committed to
//! the transport. Calls into the sink run to their end and one at a time; only waiting is cut short.
//!
//! # Partitions come and go
//!
//! The consumer tells of a change and then hands out nothing until it is answered. Partitions that
//! are revoked are committed up to what the sink says is durable, closed, and only then let go, so
//! that whoever has them next begins there. Partitions that are lost are closed without a commit:
//! they may be another task's already. Of a partition that is gone nothing is put or committed: its
//! records leave the batch that waits for another try, its offsets leave the books.
//!
//! # What happens on …
//!
//! * a retriable error of `put`: nothing is read, and the same records again after a back-off, or
//!   after [`SinkTask::put_within`]; partitions may come and go meanwhile;
//! * a record that cannot be decoded or that the sink reports: [`super::errors`];
//! * a retriable error of `pre_commit`: what is not committed comes again. A fatal one fails the
//!   task. (The JVM rewinds at every error, and so reads the same records for ever.)
//! * pause: nothing is read; what is done is committed; the task stays in its group;
//! * stop, or a failure: commit what is done, close, leave the group.
//!
//! [`SinkTask::put_within`]: model::connector::SinkTask::put_within

mod commit;
mod decode;
mod partitions;

use std::{collections::BTreeSet, time::Duration};

use model::{
    connector::{Errant, Offsets, SinkConnector, SinkContext, SinkTask, TopicPartition},
    error::{Error, Kind, Result},
    record::SinkRecord,
};
use tokio::time::Instant;

use self::{
    commit::{Committing, finished},
    decode::{Bad, Decoder},
    partitions::Leave,
};
use super::{
    State, Target, Tasks,
    convert::Converters,
    errors::Failures,
    settings::{Backoff, Settings},
    supervise::Context,
    transport::{Consumer, Event, Received},
};

/// In process a commit is cheap, and sources wait for it to move their offsets.
const IDLE_COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What a sink that reports a record is to Connect.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

pub(super) async fn drive(
    tasks: Tasks,
    connector: &'static dyn SinkConnector,
    claim: Result<()>,
    mut context: Context,
) -> Result<()> {
    claim?;
    if !context.begin().await {
        return Ok(());
    }
    let who = context.who();
    let settings = Settings::new(&context.client.props, &tasks.worker)?;
    let converters = Converters::new(&context.client.props, &tasks.worker)?;
    let mut backoff = Backoff::new();
    let failures = loop {
        let metrics = context.metrics.clone();
        match Failures::open(&tasks, &context.client, &settings, metrics).await {
            Ok(failures) => break failures,
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => tracing::warn!("[{who}] {}; trying again", error.trace()),
        }
        if !context.pause_between(backoff.pause()).await {
            return Ok(());
        }
    };
    let consumer = tasks.transport.consumer(&context.client).await?;
    backoff.reset();
    let mut task = loop {
        match start(connector, &context).await {
            Ok(task) => break task,
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => {
                tracing::warn!("[{who}] could not start: {}; trying again", error.trace());
            }
        }
        if !context.pause_between(backoff.pause()).await {
            return Ok(());
        }
    };
    let asks = SinkContext::default();
    task.initialize(asks.clone());
    let interval = match consumer.commit_idle() {
        Some(_) => settings.flush_interval.min(IDLE_COMMIT_INTERVAL),
        None => settings.flush_interval,
    };
    let mut driver = Driver {
        decoder: Decoder::new(converters, settings.retry.clone(), who.clone()),
        who,
        context,
        settings,
        failures,
        task,
        asks,
        consumer,
        current: Offsets::new(),
        committed: Offsets::new(),
        batch: None,
        backoff: Backoff::new(),
        held: false,
        unwanted: BTreeSet::new(),
        resting: BTreeSet::new(),
        interval,
        next_commit: Instant::now() + interval,
        commit_asked: false,
        heard: Instant::now(),
        committing: None,
        commits: 0,
    };
    driver.context.status.report(State::Running, None);
    let result = driver.work().await;
    driver.end().await;
    result
}

async fn start(connector: &dyn SinkConnector, context: &Context) -> Result<Box<dyn SinkTask>> {
    let props = context.client.props.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let config = connector.config().parse(props).map_err(|errors| {
        Error::fatal(format!("the configuration is invalid: {}", errors.join("; ")))
    })?;
    connector.start(config).await
}

struct Driver {
    who: String,
    context: Context,
    settings: Settings,
    decoder: Decoder,
    failures: Failures,
    task: Box<dyn SinkTask>,
    /// What the task asks for.
    asks: SinkContext,
    consumer: Box<dyn Consumer>,
    /// The partitions that the task has, and after which record of each `put` has come.
    current: Offsets,
    /// The same partitions, and what is committed: where the task began, to begin with.
    committed: Offsets,
    /// Records that `put` is to be given once more.
    batch: Option<Batch>,
    backoff: Backoff,
    /// The task is paused from outside.
    held: bool,
    /// The partitions that the task wants no records of.
    unwanted: BTreeSet<TopicPartition>,
    /// The partitions that the consumer hands out nothing of.
    resting: BTreeSet<TopicPartition>,
    interval: Duration,
    next_commit: Instant,
    commit_asked: bool,
    /// When `put` was called last.
    heard: Instant,
    committing: Option<Committing>,
    /// Commits begun.
    commits: u64,
}

/// Records on their way into `put`.
struct Batch {
    records: Vec<SinkRecord>,
    /// The records as they were read, in the same order.
    received: Vec<Received>,
    /// Where the partitions are once `put` has taken them.
    reached: Offsets,
    /// When they are to be put again.
    due: Instant,
}

impl Driver {
    /// Until the task is to stop (`Ok`) or has failed.
    async fn work(&mut self) -> Result<()> {
        loop {
            let target = *self.context.target.borrow_and_update();
            match target {
                Target::Stopped => return Ok(()),
                Target::Paused => self.hold(true),
                Target::Running => self.hold(false),
            }
            self.heed().await?;
            self.commit_what_is_due().await?;
            if self.batch.as_ref().is_some_and(|batch| Instant::now() >= batch.due) {
                self.put().await?;
                continue;
            }
            self.rest().await?;
            let wake = self.wake();
            let event = tokio::select! {
                biased;
                changed = self.context.target.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                result = finished(&mut self.committing) => {
                    self.commit_ended(result);
                    continue;
                }
                () = self.asks.asked() => continue,
                event = self.consumer.poll() => event?,
                () = tokio::time::sleep_until(wake) => {
                    self.tick().await?;
                    continue;
                }
            };
            match event {
                Event::Records(received) => self.deliver(received).await?,
                Event::Assigned(partitions) => self.assigned(&partitions).await?,
                Event::Revoked(partitions) => self.give_up(&partitions, Leave::InOrder).await?,
                Event::Lost(partitions) => self.give_up(&partitions, Leave::Lost).await?,
            }
        }
    }

    /// Follows the herder's wish to pause or to go on.
    fn hold(&mut self, held: bool) {
        if self.held == held {
            return;
        }
        self.held = held;
        // As the JVM does: what is done is committed soon after a pause.
        self.commit_asked |= held;
        self.context.status.report(if held { State::Paused } else { State::Running }, None);
    }

    /// Does what the task has asked for.
    async fn heed(&mut self) -> Result<()> {
        let asked = self.asks.take();
        self.commit_asked |= asked.commit;
        self.unwanted = asked.paused;
        let (rewind, foreign): (Offsets, Offsets) =
            asked.rewind.into_iter().partition(|(place, _)| self.current.contains_key(place));
        for TopicPartition { topic, partition } in foreign.keys() {
            tracing::warn!(
                "[{}] the sink wants to continue at another offset of {topic}-{partition}, which \
                 the task does not have; ignored",
                self.who
            );
        }
        if rewind.is_empty() {
            return Ok(());
        }
        tracing::debug!("[{}] continues at {rewind:?}, as the sink asks", self.who);
        self.consumer.seek(&rewind).await?;
        self.current.extend(rewind.clone());
        self.committed.extend(rewind);
        Ok(())
    }

    /// Has the consumer hand out nothing of partitions that are not wanted now.
    async fn rest(&mut self) -> Result<()> {
        let all = self.held || self.batch.is_some();
        let wanted = |place: &&TopicPartition| all || self.unwanted.contains(*place);
        let resting: BTreeSet<TopicPartition> =
            self.current.keys().filter(wanted).cloned().collect();
        if resting == self.resting {
            return Ok(());
        }
        let list = |of: &BTreeSet<TopicPartition>, but: &BTreeSet<TopicPartition>| {
            let chosen = of.difference(but).filter(|place| self.current.contains_key(*place));
            chosen.cloned().collect::<Vec<_>>()
        };
        let (pause, resume) = (list(&resting, &self.resting), list(&self.resting, &resting));
        if !pause.is_empty() {
            self.consumer.pause(&pause).await?;
        }
        if !resume.is_empty() {
            self.consumer.resume(&resume).await?;
        }
        self.resting = resting;
        self.context.metrics.resting(!self.resting.is_empty());
        Ok(())
    }

    /// Until when to wait for records.
    fn wake(&self) -> Instant {
        let mut wake = match &self.committing {
            // The next commit waits for this one.
            Some(committing) => committing.begun + self.settings.flush_timeout,
            None => self.next_commit,
        };
        if let Some(batch) = &self.batch {
            return wake.min(batch.due);
        }
        if let Some(within) = self.task.put_within() {
            wake = wake.min(self.heard + within);
        }
        match self.consumer.commit_idle() {
            Some(idle) if self.current != self.committed => wake.min(Instant::now() + idle),
            _ => wake,
        }
    }

    /// The wait for records is over without any.
    async fn tick(&mut self) -> Result<()> {
        // Where others wait for commits, a pause in the records is a good time for one.
        self.commit_asked |=
            self.consumer.commit_idle().is_some() && self.current != self.committed;
        let now = Instant::now();
        let due = self.task.put_within().is_some_and(|within| now >= self.heard + within);
        if self.batch.is_none() && (due || now >= self.next_commit) {
            return self.put_records(&[], &mut Errant::default()).await.or_else(
                |error| match error.kind() {
                    Kind::Fatal => Err(error),
                    Kind::Retriable => {
                        tracing::warn!("[{}] {}", self.who, error.trace());
                        Ok(())
                    }
                },
            );
        }
        Ok(())
    }

    /// Decodes and puts.
    async fn deliver(&mut self, received: Vec<Received>) -> Result<()> {
        self.context.metrics.read(received.len());
        let mut batch = Batch {
            records: Vec::with_capacity(received.len()),
            received: Vec::with_capacity(received.len()),
            reached: Offsets::new(),
            due: Instant::now(),
        };
        let mut last: Option<TopicPartition> = None;
        for one in received {
            // Records come in runs of one partition.
            let topic = &one.encoded().topic;
            let same =
                |place: &TopicPartition| place.partition == one.partition && place.topic == *topic;
            if !last.as_ref().is_some_and(same) {
                let place = one.place();
                // Whatever the consumer does: records of others are not for this sink.
                if !self.current.contains_key(&place) {
                    continue;
                }
                self.context.topics.add(topic);
                batch.reached.insert(place.clone(), one.offset + 1);
                last = Some(place);
            } else if let Some(reached) = last.as_ref().and_then(|l| batch.reached.get_mut(l)) {
                *reached = one.offset + 1;
            }
            match self.decoder.decode(&one, &mut self.context).await {
                Ok(record) => {
                    batch.records.push(record);
                    batch.received.push(one);
                }
                Err(Bad::Record(error)) => {
                    let class = self.decoder.class(error.stage).to_owned();
                    self.failures.report(&one, &class, &error).await?;
                }
                Err(Bad::Task(error)) => return Err(error),
                // What was decoded is not put either: it comes again.
                Err(Bad::Stopped) => return Ok(()),
            }
        }
        if batch.reached.is_empty() {
            return Ok(());
        }
        self.batch = Some(batch);
        self.put().await
    }

    /// Records that were put and whose offsets are not committed.
    fn uncommitted(&self) -> u64 {
        let behind = self.current.iter().map(|(place, offset)| {
            let committed = self.committed.get(place).copied().unwrap_or(*offset);
            u64::try_from(offset - committed).unwrap_or(0)
        });
        behind.sum()
    }

    /// Puts the batch. After an error that may pass it stays, for another try.
    async fn put(&mut self) -> Result<()> {
        let Some(mut batch) = self.batch.take() else { return Ok(()) };
        let mut errant = Errant::default();
        match self.put_records(&batch.records, &mut errant).await {
            Ok(()) => {
                for (index, error) in errant.records {
                    if let Some(received) = batch.received.get(index) {
                        self.failures.report(received, SINK_TASK, &error).await?;
                    }
                }
                self.backoff.reset();
                self.current.append(&mut batch.reached);
                self.context.metrics.active(self.uncommitted());
                Ok(())
            }
            Err(error) if error.kind() == Kind::Fatal => Err(error),
            Err(error) => {
                let errors = &self.context.metrics.errors;
                errors.failed(batch.records.len() as u64);
                errors.retried();
                let backoff = self.backoff.pause();
                let wait = self.task.put_within().unwrap_or(backoff);
                tracing::warn!(
                    "[{}] {}; the same {} records again in {} ms",
                    self.who,
                    error.trace(),
                    batch.records.len(),
                    wait.as_millis()
                );
                batch.due = Instant::now() + wait;
                self.batch = Some(batch);
                Ok(())
            }
        }
    }

    async fn put_records(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()> {
        // A call without records is for sinks that look after themselves.
        let metrics = self.context.metrics.clone();
        let begun = Instant::now();
        metrics.calling();
        let result = self.task.put(records, errant).await;
        self.heard = Instant::now();
        match &result {
            Ok(()) if records.is_empty() => metrics.called(),
            Ok(()) => metrics.put(records.len(), begun.elapsed()),
            // The same records again, in a while: the wait goes on.
            Err(error) if error.kind() == Kind::Retriable && !records.is_empty() => {}
            Err(_) => metrics.called(),
        }
        result.map_err(|error| match error.kind() {
            Kind::Fatal => Error::fatal("Exiting WorkerSinkTask due to unrecoverable exception.")
                .caused_by(error),
            Kind::Retriable => error,
        })
    }

    /// Ends the work: commits and closes what there is, whatever has happened.
    async fn end(mut self) {
        let partitions: Vec<TopicPartition> = self.current.keys().cloned().collect();
        if !partitions.is_empty()
            && let Err(error) = self.close(&partitions, Leave::InOrder).await
        {
            tracing::error!("[{}] closing failed: {}", self.who, error.trace());
        }
        self.consumer.close().await;
        self.failures.close(self.settings.flush_timeout).await;
    }
}
