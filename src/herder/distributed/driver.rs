//! The part of the herder that acts: it takes part in the group's rounds, runs what they assign to
//! this worker, and follows the config topic.
//!
//! It is one loop, which never waits for connector code longer than `task.shutdown.graceful.timeout.ms`
//! and for nothing else but the group. Before it joins a round, tasks that are not configured any more
//! end, and it goes on with all else ([`super::departure`]). While it joins, everything goes on running
//! and is heard; what has changed meanwhile is done after the round. Connector code and the writing
//! of configurations run in tasks of their own.

use std::{sync::Arc, time::Duration};

use model::error::{Kind, Result};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Command, Shared,
    commands::Waiting,
    departure::{self, Departure},
    keys, now_ms,
    rounds::{RETRIES, Taken},
    stores::Stores,
    work::{Named, Resolved, Running, Stopped},
};
use crate::{
    group::{self, Event, Leader, Member, Owners, TaskId, Version, Work},
    herder::{
        distributed_config::{GroupConfig, Protocol},
        restarts,
        worker_config::WorkerConfig,
    },
    runtime::{State, StatusUpdate},
    storage::{Change, RestartRequest, Told},
};

/// How often the topics of tasks are looked at.
const TOPICS_EVERY: Duration = Duration::from_secs(1);

/// How long a worker waits that could not join, or a leader that could not write a key.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How long statuses may take to their topic before a round goes on without them.
pub(super) const FLUSH_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) url: String,
    pub(super) member: Member,
    pub(super) leader: Leader,
    /// Of the last round that this worker was the leader of.
    pub(super) owners: Arc<Owners>,
    pub(super) running: Running,
    pub(super) stores: Stores,
    /// What the group has assigned to this worker, started or not yet: the leader would take work
    /// that is missing here for lost. `None` before anything was assigned, and after all had to be
    /// stopped.
    pub(super) allocation: Option<Work>,
    pub(super) version: Version,
    /// Whether the config topic could be read to its end when that was last tried. A worker that
    /// can't is no use to the group.
    pub(super) readable: bool,
    /// How often the config topic may still fail to be read before the work is given up.
    pub(super) retries: u32,
    pub(super) named: mpsc::UnboundedReceiver<Named>,
    pub(super) updates: mpsc::UnboundedReceiver<StatusUpdate>,
    pub(super) stopped: mpsc::UnboundedReceiver<Stopped>,
    pub(super) resolved: mpsc::UnboundedReceiver<Resolved>,
    pub(super) waiting: Vec<Waiting>,
    key_written: mpsc::UnboundedReceiver<Result<()>>,
    key_writer: mpsc::UnboundedSender<Result<()>>,
    /// A session key is being written.
    key_writing: bool,
    /// When the next attempt at a session key may be made.
    key_from: Instant,
    pub(super) began: Instant,
}

/// Membership as the worker's properties have it.
pub(super) fn settings(
    worker: &WorkerConfig,
    config: &GroupConfig,
    observer: Arc<dyn group::Observer>,
) -> Result<group::Settings> {
    let text = |key: &str, default: &str| {
        worker.props.get(key).map_or(default, |value| value.trim()).to_owned()
    };
    let servers = text("bootstrap.servers", "");
    let client_id = match config.client_id.as_str() {
        "" => format!("connect-{}", config.group_id),
        given => given.to_owned(),
    };
    Ok(group::Settings {
        bootstrap_servers: servers.split(',').map(|server| server.trim().to_owned()).collect(),
        security: group::Security::read(&worker.props)?,
        group_id: config.group_id.clone(),
        client_id,
        protocol: match config.protocol {
            Protocol::Eager => group::Protocol::Eager,
            Protocol::Compatible => group::Protocol::Compatible,
            Protocol::Sessioned => group::Protocol::Sessioned,
        },
        session_timeout: config.session_timeout,
        rebalance_timeout: config.rebalance_timeout,
        heartbeat_interval: config.heartbeat_interval,
        request_timeout: config.request_timeout,
        retry_backoff: config.retry_backoff,
        observer,
    })
}

/// A task has stopped. What it said last comes before what is said of the next one.
pub(super) fn note_end(
    running: &mut Running,
    updates: &mut mpsc::UnboundedReceiver<StatusUpdate>,
    stopped: &Stopped,
) {
    while let Ok(update) = updates.try_recv() {
        running.note(update);
    }
    running.stopped(stopped);
}

/// Why the loop goes round.
enum Next {
    Join,
    End,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, url: String, member: Member) -> Self {
        let (named_sender, named) = mpsc::unbounded_channel();
        let (updates_sender, updates) = mpsc::unbounded_channel();
        let (stopped_sender, stopped) = mpsc::unbounded_channel();
        let (resolved_sender, resolved) = mpsc::unbounded_channel();
        let (key_writer, key_written) = mpsc::unbounded_channel();
        Self {
            leader: Leader::new(shared.group.rebalance_delay),
            owners: Arc::default(),
            running: Running::new(
                shared.clone(),
                named_sender,
                updates_sender,
                stopped_sender,
                resolved_sender,
            ),
            stores: Stores::new(shared.clone()),
            shared,
            url,
            member,
            allocation: None,
            version: Version::V0,
            readable: true,
            retries: RETRIES,
            named,
            updates,
            stopped,
            resolved,
            waiting: Vec::new(),
            key_written,
            key_writer,
            key_writing: false,
            key_from: Instant::now(),
            began: Instant::now(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Told>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        // Also told when this ends by a panic.
        let _stopped = self.shared.stopped.clone().drop_guard();
        let stopping = self.shared.stopping.clone();
        while !stopping.is_cancelled() {
            if !self.readable {
                self.shared.stages.begin("reading to the end of the config topic");
                self.readable = self.catch_up().await;
                self.shared.stages.end();
                continue;
            }
            self.shared.stages.begin("ensuring membership in the cluster");
            let joined = self.join(None).await;
            self.shared.stages.end();
            let Some(joined) = joined else { break };
            let round = match joined {
                Ok(round) => {
                    self.shared.statuses.cut_off(false);
                    round
                }
                Err(error) if error.kind() == Kind::Fatal => {
                    // As the JVM's worker: others would wait in vain for this one to be right.
                    self.shared.failure.get_or_init(|| error.trace());
                    self.give_up().await;
                    break;
                }
                Err(error) => {
                    tracing::error!("not in the group: {}; trying again", error.trace());
                    self.shared.statuses.cut_off(true);
                    self.give_up().await;
                    self.idle(PAUSE).await;
                    continue;
                }
            };
            let Taken::Settled(until) = self.take(&round).await else { continue };
            match self.work(until, &mut changes, &mut commands).await {
                Next::Join => {}
                Next::End => break,
            }
        }
        self.end().await;
    }

    /// Hands the work over and leaves.
    async fn end(&mut self) {
        self.announce().await;
        let all = self.running.work();
        self.running.stop(&all).await;
        self.shared.statuses.flush(FLUSH_WITHIN).await;
        let within = self.shared.worker.stop_grace;
        match tokio::time::timeout(within, self.member.leave("the worker stops")).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("the group was not told that the worker stops: {}", error.trace());
            }
            Err(_) => tracing::warn!("the group was not told in time that the worker stops"),
        }
        self.shared.statuses.close(within).await;
        self.shared.configs.close(within).await;
    }

    /// Until it is time to join the next round.
    async fn work(
        &mut self,
        until: Option<Instant>,
        changes: &mut mpsc::UnboundedReceiver<Told>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Next {
        let mut look = interval(TOPICS_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopping = self.shared.stopping.clone();
        let grace = self.shared.worker.stop_grace;
        let mut departure: Option<Departure> = None;
        let mut called = false;
        self.restart_waiting();
        loop {
            let key_due = self.key_due();
            let restart = self.running.next_restart();
            let ending = self.running.ending();
            let due_now = departure.is_some();
            self.shared.standing.send_if_modified(|standing| {
                std::mem::replace(&mut standing.due, due_now) != due_now
            });
            tokio::select! {
                () = stopping.cancelled() => return Next::End,
                event = self.member.event(), if !called => {
                    called = true;
                    let unreachable = matches!(event, Event::Unreachable(_));
                    self.called(event).await;
                    if unreachable {
                        return Next::Join;
                    }
                    departure.get_or_insert_with(|| Departure::new(grace));
                }
                () = due(until), if departure.is_none() => {
                    departure = Some(Departure::new(grace));
                }
                told = changes.recv() => {
                    let Some(told) = told else { return Next::End };
                    let mut join = self.follow(told);
                    while let Ok(told) = changes.try_recv() {
                        join |= self.follow(told);
                    }
                    if join {
                        self.running.end_the_gone();
                        departure.get_or_insert_with(|| Departure::new(grace));
                    }
                }
                turn = departure::ready(&mut departure, ending, &self.shared.writing) => {
                    // What was written last is known before anybody else has a turn.
                    while let Ok(told) = changes.try_recv() {
                        self.follow(told);
                    }
                    self.running.end_the_gone();
                    if self.running.ending()
                        && let Some(departure) = departure.as_mut().filter(|it| it.waits())
                    {
                        // It has tasks to end, which everything else goes on beside.
                        drop(turn);
                        departure.wait_again();
                        continue;
                    }
                    self.shared.standing.send_modify(|standing| standing.joining = true);
                    return Next::Join;
                }
                Some(named) = self.named.recv() => self.named(named),
                Some(update) = self.updates.recv() => self.running.note(update),
                Some(stopped) = self.stopped.recv() => self.ended(&stopped),
                Some(resolved) = self.resolved.recv() => self.running.resolved(resolved),
                () = due(key_due) => self.write_key(),
                id = restarts::due(restart) => self.running.restart_failed(&id),
                Some(written) = self.key_written.recv() => {
                    self.key_writing = false;
                    if let Err(error) = written {
                        tracing::error!("{}; trying again", error.trace());
                        self.key_from = Instant::now() + PAUSE;
                    }
                }
                _ = look.tick() => {
                    self.restart_waiting();
                    if self.shared.lease.lasts() {
                        self.running.correct();
                    }
                    if self.shared.worker.topic_tracking {
                        self.running.note_topics();
                    }
                }
                command = commands.recv() => match command {
                    None => return Next::End,
                    Some(command) => self.obey(command),
                },
            }
        }
    }

    /// Waits, and hears what tasks and connectors say meanwhile. The end of the worker ends it too.
    pub(super) async fn idle(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        let stopping = self.shared.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep_until(until) => return,
                Some(update) = self.updates.recv() => self.running.note(update),
                Some(named) = self.named.recv() => self.named(named),
                Some(stopped) = self.stopped.recv() => self.ended(&stopped),
                Some(resolved) = self.resolved.recv() => self.running.resolved(resolved),
            }
        }
    }

    fn ended(&mut self, stopped: &Stopped) {
        note_end(&mut self.running, &mut self.updates, stopped);
    }

    fn named(&mut self, named: Named) {
        if let Some((name, tasks)) = self.running.named(named) {
            self.stores.want(&name, tasks);
        }
    }

    async fn called(&mut self, event: Event) {
        match event {
            Event::Rebalance => {}
            Event::Lost(why) => {
                tracing::warn!("the membership is lost: {why}");
                self.shared.standing.send_modify(|standing| standing.leads = false);
            }
            Event::Unreachable(why) => {
                tracing::error!("the group's coordinator is gone, all work stops: {why}");
                self.shared.statuses.cut_off(true);
                self.give_up().await;
            }
        }
    }

    /// Does what a change of the configurations asks of this worker; `true` when a round must follow.
    fn follow(&mut self, told: Told) -> bool {
        let Told { offset, change } = told;
        let round = change.asks_for_a_round()
            // The last round may have been about it.
            && offset > self.shared.standing.borrow().config_offset;
        match change {
            Change::ConnectorAdded(name) => {
                // Removed and made anew before a round took it away.
                if self.running.has_connector(&name) {
                    self.start_connector(&name);
                }
            }
            Change::ConnectorRemoved(name) => self.stores.forget(&name),
            Change::ConnectorUpdated(name) => {
                if self.running.has_connector(&name) {
                    self.start_connector(&name);
                }
            }
            // Tasks with configurations of before stop before the round.
            Change::TasksCommitted { .. } => {}
            Change::TargetState(name) => {
                let target = self.shared.configs.snapshot().target(&name);
                if target != Some(crate::herder::Target::Running) {
                    self.stores.cancel(&name);
                }
                self.running.aim(&name);
            }
            Change::Restart(request) => self.restart(&request),
            // The snapshot has it for whoever signs or verifies.
            Change::SessionKey(_) => {}
            Change::Logger { namespace, level } => {
                if self.shared.loggers.set(&namespace, &level).is_none() {
                    tracing::warn!(
                        "the level {level:?} that all workers were told to give logger {namespace} is none"
                    );
                }
            }
        }
        round
    }

    fn start_connector(&mut self, name: &str) {
        // What it has named before is not what it would name now.
        self.stores.cancel(name);
        self.running.start_connector(name);
    }

    /// This worker's part of a restart, by what it knows of its own: what it has told the group of
    /// that may not have come back from the status topic yet.
    fn restart(&mut self, request: &RestartRequest) {
        let planned = |state: State| !request.only_failed || state == State::Failed;
        let name = &request.connector;
        let tasks: Vec<TaskId> = match request.include_tasks {
            true => self.running.tasks_of(name, planned),
            false => Vec::new(),
        };
        if self.running.connector_state(name).is_some_and(planned) {
            self.stores.cancel(name);
            self.running.restart_planned(name);
        }
        for id in tasks {
            self.running.restart_task(&id, true, None);
        }
    }

    /// When this worker has to write a session key, if it leads.
    fn key_due(&self) -> Option<Instant> {
        let standing = self.shared.standing.borrow();
        if self.key_writing || !standing.leads || standing.version != Some(Version::V2) {
            return None;
        }
        let snapshot = self.shared.configs.snapshot();
        let GroupConfig { signing, key_ttl, .. } = &self.shared.group;
        let left = keys::due(snapshot.session_key(), signing, *key_ttl, now_ms())?;
        Some((Instant::now() + left).max(self.key_from))
    }

    fn write_key(&mut self) {
        self.key_writing = true;
        let (shared, writer) = (self.shared.clone(), self.key_writer.clone());
        tokio::spawn(async move {
            // The driver is gone only when the worker ends.
            drop(writer.send(keys::rotate(&shared).await));
        });
    }
}

pub(super) async fn due(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
