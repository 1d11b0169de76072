//! Drives a source task.
//!
//! # Two futures and a ledger
//!
//! The connector's `run` has a thread of its own ([`super::threads`]), so that batch N+1 is decoded
//! while batch N is encoded, and so that it holds nobody when it blocks. The **sender** takes batches out of the outbox, encodes them and hands them to the
//! transport; where the transport is full it waits, the outbox fills, and the source waits for room.
//! The **driver** owns all state: it polls the sender beside acknowledgements, the flush timer and
//! what the herder wants, so none of these waits for another.
//!
//! # Progress
//!
//! The sender opens a [`Ticket`] per ledger entry. When an entry and all before it are acknowledged,
//! its position may be stored; the flush stores the newest and only then shows it to the source
//! (Invariant 1: a source confirms to its database only what the transport holds and the offset
//! store knows). A position is stored at the flush interval, while the task is held, when it stops
//! and when it has failed.
//!
//! # What happens on …
//!
//! * a retriable error: the same task runs again after a back-off; its state stays RUNNING;
//! * a fatal error or a panic: acknowledged positions are stored, then FAILED;
//! * pause: the sender takes nothing more, the source's outbox fills; its connection stays;
//! * stop: the source's token is cancelled, what it has handed over is sent and acknowledged, its
//!   position stored. If that takes too long, the rest is read again after the next start.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    connector::{Inbox, Object, OffsetReader, Outbox, SourceConnector, SourceTask, Start, outbox},
    error::{Error, Kind, Result},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, Sleep, interval_at, sleep},
};
use tracing::Instrument;

mod flush;
mod sender;

use self::{
    flush::{Flush, finished},
    sender::{Entry, Sender},
};
use super::{
    OffsetStore, State, Target, Tasks,
    convert::Converters,
    encode::Encoder,
    ledger::Ledger,
    settings::{Backoff, Settings},
    supervise::{Context, no_answer},
    threads::{Code, Fault, Threads},
    transport::{Client, Deliveries, Producer},
};
use crate::metrics::{TaskMetrics, Wait};

/// Batches between source and sender: one being taken, one ready. More only costs memory.
const OUTBOX_BATCHES: usize = 2;

pub(super) async fn drive(
    tasks: Tasks,
    connector: &'static dyn SourceConnector,
    mut context: Context,
) -> Result<()> {
    if !context.begin().await {
        return Ok(());
    }
    let who = context.who();
    let settings = Settings::new(&context.client.props, &tasks.worker)?;
    let deliveries =
        Deliveries::new(who.replace("|task", ""), settings.tolerance.all, settings.tolerance.log);
    let encoder = Encoder::new(
        Converters::new(&context.client.props, &tasks.worker)?,
        settings.tolerance.clone(),
        settings.retry.clone(),
        who.clone(),
        context.topics.clone(),
        context.metrics.clone(),
    );
    let mut backoff = Backoff::new();
    let mut producer = loop {
        match tasks.transport.producer(&context.client).await {
            Ok(producer) => break producer,
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => tracing::warn!("[{who}] {}; trying again", error.trace()),
        }
        if !context.pause_between(backoff.pause()).await {
            return Ok(());
        }
    };
    backoff.reset();
    let task = loop {
        // The connector may block in it.
        let starting = start(&tasks, connector, &context).in_current_span();
        let started = tasks.threads.run(starting).await;
        match started.unwrap_or_else(|fault| Err(no_answer("source", fault))) {
            Ok(task) => break task,
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => {
                tracing::warn!("[{who}] could not start: {}; trying again", error.trace());
            }
        }
        if !context.pause_between(backoff.pause()).await {
            producer.close().await;
            return Ok(());
        }
    };
    let (out, inbox) = outbox(OUTBOX_BATCHES);
    let (gate, gate_seen) = watch::channel(true);
    let (entries, entries_seen) = mpsc::unbounded_channel();
    let Inbox { batches, acked, delivered, stop } = inbox;
    let sender = Sender {
        batches,
        gate: gate_seen,
        entries,
        encoder,
        deliveries: deliveries.clone(),
        metrics: context.metrics.clone(),
    };
    let driver = Driver {
        who,
        run: None,
        threads: tasks.threads.clone(),
        waiting: None,
        backoff: Backoff::new(),
        gate,
        stop,
        entries: entries_seen,
        deliveries,
        ledger: Ledger::default(),
        skipped: 0,
        delivered,
        flush: Flush {
            offsets: tasks.offsets.clone(),
            connector: context.client.connector.clone(),
            timeout: settings.flush_timeout,
            acked,
            storing: None,
            metrics: context.metrics.clone(),
        },
        settings,
        context,
    };
    let result = driver.drive(task, out, sender, producer.as_mut()).await;
    producer.close().await;
    result
}

/// Makes the connector's task.
fn start(
    tasks: &Tasks,
    connector: &'static dyn SourceConnector,
    context: &Context,
) -> impl Future<Output = Result<Box<dyn SourceTask>>> + Send + 'static {
    let (held, offsets) = (context.code.clone(), tasks.offsets.clone());
    let (client, metrics) = (context.client.clone(), context.metrics.clone());
    async move {
        let _held = held;
        begin(connector, &client, offsets, &metrics).await
    }
}

async fn begin(
    connector: &'static dyn SourceConnector,
    client: &Client,
    offsets: Arc<dyn OffsetStore>,
    metrics: &TaskMetrics,
) -> Result<Box<dyn SourceTask>> {
    let props = client.props.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let config = connector.config().parse(props).map_err(|errors| {
        Error::fatal(format!("the configuration is invalid: {}", errors.join("; ")))
    })?;
    let offsets = Arc::new(Offsets { store: offsets, connector: client.connector.clone() });
    let start = Start {
        connector: client.connector.clone(),
        task: client.task,
        offsets,
        gauges: metrics.gauges.clone(),
        progress: metrics.health.progress.clone(),
        topics: Arc::new(crate::kafka::ConnectorTopics::new(&client.connector, client.task)),
    };
    connector.start(config, start).await
}

/// The offset store, for one connector.
struct Offsets {
    store: Arc<dyn OffsetStore>,
    connector: Arc<str>,
}

#[async_trait]
impl OffsetReader for Offsets {
    async fn offset(&self, partition: &Object) -> Result<Option<Object>> {
        self.store.read(&self.connector, partition).await
    }
}

type Waiting = (Pin<Box<Sleep>>, Box<dyn SourceTask>, Outbox);
type Ran = (Box<dyn SourceTask>, Outbox, Result<()>);

struct Driver {
    who: String,
    context: Context,
    settings: Settings,
    /// The connector's `run`; none while `waiting`.
    run: Option<Code<Ran>>,
    threads: Threads,
    /// The task between a retriable error and its next run.
    waiting: Option<Waiting>,
    backoff: Backoff,
    /// Closed while the task is held.
    gate: watch::Sender<bool>,
    stop: tokio_util::sync::CancellationToken,
    entries: mpsc::UnboundedReceiver<Entry>,
    deliveries: Arc<Deliveries>,
    ledger: Ledger,
    /// Records given up so far, as `deliveries` counted them when it was last asked.
    skipped: u64,
    delivered: watch::Sender<u64>,
    flush: Flush,
}

impl Driver {
    async fn drive(
        mut self,
        task: Box<dyn SourceTask>,
        out: Outbox,
        sender: Sender,
        producer: &mut dyn Producer,
    ) -> Result<()> {
        self.run(task, out);
        self.context.status.report(State::Running, None);
        let mut sending: Sending<'_> = Some(Box::pin(sender.send(producer)));
        let result = self.work(&mut sending).await;
        self.finish(&mut sending).await;
        result
    }

    fn run(&mut self, mut task: Box<dyn SourceTask>, mut out: Outbox) {
        let held = self.context.code.clone();
        let run = async move {
            let _held = held;
            let result = task.run(&mut out).await;
            (task, out, result)
        };
        self.run = Some(self.threads.run(run.in_current_span()));
    }

    /// Until the task is to stop (`Ok`) or has failed.
    async fn work(&mut self, sending: &mut Sending<'_>) -> Result<()> {
        let interval = self.settings.flush_interval.max(Duration::from_millis(1));
        let mut tick = interval_at(Instant::now() + interval, interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.context.target.changed() => {
                    if changed.is_err() || self.aim() {
                        return Ok(());
                    }
                }
                ended = ran(&mut self.run) => self.ended(ended)?,
                () = wait(&mut self.waiting) => {
                    if let Some((_, task, out)) = self.waiting.take() {
                        self.run(task, out);
                    }
                }
                result = drain(sending) => {
                    *sending = None;
                    result?;
                }
                Some(entry) = self.entries.recv() => {
                    self.backoff.reset();
                    self.enter(entry);
                }
                () = self.deliveries.changed.notified() => {
                    if let Err(error) = self.acknowledged() {
                        // Nothing that is sent now could count.
                        *sending = None;
                        return Err(error);
                    }
                }
                _ = tick.tick() => {
                    self.flush.begin(&mut self.ledger);
                    self.flush.keep();
                }
                stored = finished(&mut self.flush.storing) => self.flush.end(stored, &mut self.ledger, &self.who),
            }
        }
    }

    /// Follows the herder's wish. `true` is to stop.
    fn aim(&mut self) -> bool {
        let target = *self.context.target.borrow_and_update();
        match target {
            Target::Stopped => return true,
            Target::Paused => {
                self.gate.send_replace(false);
                self.flush.begin(&mut self.ledger);
                self.context.status.report(State::Paused, None);
            }
            Target::Running => {
                self.gate.send_replace(true);
                self.context.status.report(State::Running, None);
            }
        }
        false
    }

    fn enter(&mut self, entry: Entry) {
        self.ledger.push(entry.ticket, entry.position, entry.count);
        self.advance();
    }

    fn advance(&mut self) {
        self.ledger.advance();
        self.account();
        let delivered = self.ledger.delivered();
        self.delivered.send_if_modified(|told| std::mem::replace(told, delivered) != delivered);
        // Held, little else will come: store a position as soon as it may be.
        if !*self.gate.borrow() {
            self.flush.begin(&mut self.ledger);
        }
    }

    /// Counts what has left the ledger, and what waits in it.
    fn account(&mut self) {
        let metrics = &self.context.metrics;
        let done = self.ledger.take_done();
        if done.polled > 0 {
            metrics.written(done.polled, done.sent);
        }
        metrics.health.renew(Wait::Ack, self.ledger.oldest());
        let skipped = self.deliveries.skipped();
        let new = skipped - self.skipped;
        if new > 0 {
            self.skipped = skipped;
            metrics.errors.failed(new);
            metrics.errors.error(new);
            metrics.errors.skipped(new);
            if self.settings.tolerance.log {
                metrics.errors.logged(new);
            }
        }
    }

    fn acknowledged(&mut self) -> Result<()> {
        while let Ok(entry) = self.entries.try_recv() {
            self.backoff.reset();
            self.ledger.push(entry.ticket, entry.position, entry.count);
        }
        self.advance();
        let Some(failure) = self.deliveries.take_failure() else { return Ok(()) };
        self.context.metrics.errors.failed(1);
        self.context.metrics.errors.error(1);
        Err(failure)
    }

    /// The connector's `run` has returned without being asked to.
    fn ended(&mut self, ended: Result<Ran, Fault>) -> Result<()> {
        let (task, out, result) = ended.map_err(|fault| no_answer("source", fault))?;
        match result {
            Ok(()) => Err(Error::fatal("the source ended although it was not asked to stop")),
            Err(error) if error.kind() == Kind::Fatal => Err(error),
            Err(error) => {
                let pause = self.backoff.pause();
                tracing::warn!(
                    "[{}] {}; trying again in {} ms",
                    self.who,
                    error.trace(),
                    pause.as_millis()
                );
                self.waiting = Some((Box::pin(sleep(pause)), task, out));
                Ok(())
            }
        }
    }

    /// Stops the source, sends what it has handed over unless sending has failed or the task is held,
    /// waits for acknowledgements, stores the position. Bounded in time; what is left over is read
    /// again.
    async fn finish(&mut self, sending: &mut Sending<'_>) {
        self.stop.cancel();
        self.waiting = None;
        if !*self.gate.borrow() {
            *sending = None;
        }
        // A part of the grace, because storing the offsets comes after.
        let limit = self.settings.flush_timeout.min(self.settings.stop_grace.mul_f32(0.6));
        let deadline = Instant::now() + limit;
        let settled = tokio::time::timeout_at(deadline, self.settle(sending)).await;
        if settled.is_err() {
            tracing::warn!(
                "[{}] is stopped although records are not acknowledged after {} ms; they will be \
                 read again",
                self.who,
                limit.as_millis()
            );
        }
        self.run = None;
        *sending = None;
        while let Ok(entry) = self.entries.try_recv() {
            self.ledger.push(entry.ticket, entry.position, entry.count);
        }
        self.ledger.advance();
        self.account();
        if let Some(storing) = self.flush.storing.take() {
            let stored = storing.await;
            self.flush.end(stored, &mut self.ledger, &self.who);
        }
        self.flush.begin(&mut self.ledger);
        if let Some(storing) = self.flush.storing.take() {
            let stored = storing.await;
            self.flush.end(stored, &mut self.ledger, &self.who);
        }
    }

    /// Until source and sender have ended and all is acknowledged.
    async fn settle(&mut self, sending: &mut Sending<'_>) {
        while self.run.is_some() || sending.is_some() || !self.ledger.settled() {
            tokio::select! {
                ended = ran(&mut self.run) => match ended {
                    Ok((_, _, Ok(()))) => {}
                    Ok((_, _, Err(error))) => self.late(&error),
                    Err(fault) => self.late(&no_answer("source", fault)),
                },
                result = drain(sending) => {
                    *sending = None;
                    if let Err(error) = result {
                        self.late(&error);
                        return;
                    }
                    if let Err(error) = self.acknowledged() {
                        self.late(&error);
                        return;
                    }
                }
                Some(entry) = self.entries.recv() => self.enter(entry),
                () = self.deliveries.changed.notified() => {
                    if let Err(error) = self.acknowledged() {
                        // That record never arrives, so there is nothing to wait for.
                        self.late(&error);
                        return;
                    }
                }
                stored = finished(&mut self.flush.storing) => self.flush.end(stored, &mut self.ledger, &self.who),
            }
        }
    }

    fn late(&self, error: &Error) {
        tracing::warn!("[{}] while it was stopping: {}", self.who, error.trace());
    }
}

/// Waits for the connector's `run` to return; for ever when it does not run.
async fn ran(run: &mut Option<Code<Ran>>) -> Result<Ran, Fault> {
    let Some(running) = run else { return std::future::pending().await };
    let ended = running.await;
    *run = None;
    ended
}

/// Waits for the time of the next run; for ever when none is due.
async fn wait(waiting: &mut Option<Waiting>) {
    match waiting {
        Some((sleep, ..)) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The sender at work; `None` when it has ended.
type Sending<'p> = Option<Pin<Box<dyn Future<Output = Result<()>> + Send + 'p>>>;

async fn drain(sending: &mut Sending<'_>) -> Result<()> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}
