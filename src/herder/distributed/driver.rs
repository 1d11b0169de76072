//! The part of the herder that acts: it takes part in the group's rounds, runs what they assign to
//! this worker, and follows the config topic.
//!
//! It is one loop. While it joins, everything goes on running; what has changed meanwhile is done
//! after the round. Connector code and the writing of configurations run in tasks of their own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use model::error::{Error, Result};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Command, READ_WITHIN, Shared, Standing, keys,
    work::{Named, Running},
};
use crate::{
    group::{
        self, Configured, Election, Event, Joining, Leader, LeaderAssign, Member, Owners, Round,
        TaskId, Version, Work, wire::Assignment,
    },
    herder::{
        Refusal,
        distributed_config::{GroupConfig, Protocol},
        worker_config::WorkerConfig,
    },
    runtime::StatusUpdate,
    storage::{Change, RestartRequest, Snapshot},
};

/// How often the topics of tasks are looked at.
const TOPICS_EVERY: Duration = Duration::from_secs(1);

/// How long a worker waits that could not join.
const JOIN_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    shared: Arc<Shared>,
    url: String,
    member: Member,
    leader: Leader,
    /// Of the last round that this worker was the leader of.
    owners: Arc<Owners>,
    running: Running,
    /// What the group has assigned to this worker, started or not yet: the leader would take work
    /// that is missing here for lost. `None` before anything was assigned, and after all had to be
    /// stopped.
    allocation: Option<Work>,
    version: Version,
    /// Tasks with new configurations: they start again after the round.
    outdated: BTreeSet<TaskId>,
    named: mpsc::UnboundedReceiver<Named>,
    updates: mpsc::UnboundedReceiver<StatusUpdate>,
    /// The end of a write of task configurations: why it failed, and what for.
    written: mpsc::UnboundedReceiver<(String, Option<Error>)>,
    writer: mpsc::UnboundedSender<(String, Option<Error>)>,
    topics: HashMap<String, Vec<Arc<str>>>,
    began: Instant,
}

/// Membership as the worker's properties have it.
pub(super) fn settings(worker: &WorkerConfig, config: &GroupConfig) -> Result<group::Settings> {
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
        security_protocol: text("security.protocol", "PLAINTEXT"),
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
    })
}

/// Why the loop goes round.
enum Next {
    Join,
    End(tokio::sync::oneshot::Sender<()>),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, url: String, member: Member) -> Self {
        let (named_sender, named) = mpsc::unbounded_channel();
        let (updates_sender, updates) = mpsc::unbounded_channel();
        let (writer, written) = mpsc::unbounded_channel();
        Self {
            leader: Leader::new(shared.group.rebalance_delay),
            owners: Arc::default(),
            running: Running::new(shared.clone(), named_sender, updates_sender),
            shared,
            url,
            member,
            allocation: None,
            version: Version::V0,
            outdated: BTreeSet::new(),
            named,
            updates,
            written,
            writer,
            topics: HashMap::new(),
            began: Instant::now(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let reply = loop {
            let joined = tokio::select! {
                joined = self.join() => joined,
                reply = shutdown(&mut commands) => break reply,
            };
            let again = match joined {
                Ok(round) => match self.take(&round).await {
                    Ok(again) => again,
                    Err(error) => {
                        tracing::error!("what the group assigned cannot be run: {}", error.trace());
                        self.give_up().await;
                        tokio::time::sleep(self.shared.group.sync_timeout).await;
                        None
                    }
                },
                Err(error) => {
                    tracing::error!("not in the group: {}; trying again", error.trace());
                    self.give_up().await;
                    tokio::time::sleep(JOIN_PAUSE).await;
                    None
                }
            };
            if let Some(until) = again {
                match self.work(until, &mut changes, &mut commands).await {
                    Next::Join => {}
                    Next::End(reply) => break Some(reply),
                }
            }
        };
        let all = self.running.work();
        self.running.stop(&all).await;
        while let Ok(update) = self.updates.try_recv() {
            tracing::debug!("[{}|task-{}] {:?}", update.connector, update.task, update.state);
        }
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
        if let Some(reply) = reply {
            // Whoever asked may be gone.
            reply.send(()).unwrap_or_default();
        }
    }

    async fn join(&mut self) -> Result<Round> {
        if self.version == Version::V0 && self.allocation.is_some() {
            // Agreed by the eager protocol: nobody runs anything while the work is shared out.
            self.give_up().await;
        }
        let snapshot = self.shared.configs.snapshot();
        let joining = Joining {
            url: self.url.clone(),
            config_offset: snapshot.offset(),
            running: self.allocation.clone(),
        };
        let mut assigning = Assigning {
            shared: &self.shared,
            leader: &mut self.leader,
            began: self.began,
            owners: Arc::default(),
        };
        let joined = self.member.join(&joining, &mut assigning).await;
        self.owners = assigning.owners;
        joined
    }

    /// The membership is lost: others may be given the work.
    async fn give_up(&mut self) {
        let all = self.running.work();
        self.running.stop(&all).await;
        self.allocation = None;
        self.shared.standing.send_modify(|standing| {
            standing.leads = false;
            standing.leader_url.clear();
            standing.stale = true;
        });
        self.outdated.clear();
    }

    /// Does what a round says. `None` is to join again at once; else until when nothing is planned.
    async fn take(&mut self, round: &Round) -> Result<Option<Option<Instant>>> {
        let assignment = &round.assignment;
        self.version = round.version;
        self.shared.standing.send_replace(Standing {
            generation: round.generation,
            leads: round.leads(),
            leader_url: assignment.leader_url.clone(),
            signed: round.version == Version::V2,
            owners: std::mem::take(&mut self.owners),
            stale: false,
        });
        tracing::info!(
            "generation {} of group {}: {} connectors and {} tasks more, {} and {} fewer, leader {}",
            round.generation,
            self.shared.group.group_id,
            assignment.work.connectors.len(),
            assignment.work.tasks.len(),
            assignment.revoked.connectors.len(),
            assignment.revoked.tasks.len(),
            assignment.leader_url
        );
        self.running.stop(&assignment.revoked).await;
        let mut allocation = self.allocation.take().unwrap_or_default();
        if round.version == Version::V0 {
            // The assignment is all there is, not what comes on top.
            allocation = Work::default();
        }
        allocation.remove(&assignment.revoked);
        allocation.add(&assignment.work);
        self.allocation = Some(allocation.clone());
        let behind = self.shared.configs.snapshot().offset() < assignment.config_offset;
        if assignment.error != 0 || behind {
            self.shared.configs.refresh(self.shared.group.sync_timeout).await?;
        }
        if assignment.error != 0
            || self.shared.configs.snapshot().offset() != assignment.config_offset
        {
            return Ok(None);
        }
        // A new leader does not know what it should revoke: what is not configured any more, and, in
        // an eager group, what went to others.
        let configured = configured(&self.shared.configs.snapshot()).work();
        let allocation = allocation.common(&configured);
        self.running.stop(&self.running.work().without(&allocation)).await;
        let tasks = std::mem::take(&mut self.outdated).into_iter().collect();
        let outdated = Work { tasks, ..Work::default() };
        self.running.stop(&outdated).await;
        for name in &allocation.connectors {
            if !self.running.has_connector(name) {
                self.running.start_connector(name);
            }
        }
        for id in &allocation.tasks {
            if !self.running.has_task(id) {
                self.running.start_task(id);
            }
        }
        if round.leads() {
            self.forget_the_gone();
            if round.version == Version::V2
                && let Err(error) = keys::rotate(&self.shared).await
            {
                tracing::error!("{}", error.trace());
            }
        }
        if !assignment.revoked.is_empty() {
            return Ok(None);
        }
        let delay = u64::try_from(assignment.delay_ms).unwrap_or(0);
        let until = (delay > 0).then(|| Instant::now() + Duration::from_millis(delay));
        Ok(Some(until))
    }

    /// The leader's duty: statuses of what is not configured any more are removed.
    fn forget_the_gone(&self) {
        let snapshot = self.shared.configs.snapshot();
        let statuses = &self.shared.statuses;
        let generation = self.shared.standing.borrow().generation;
        for name in statuses.connectors() {
            let tasks = snapshot.tasks(&name);
            for task in statuses.tasks(&name).into_keys().filter(|task| !tasks.contains(task)) {
                statuses.remove_task(&name, task, generation);
            }
            if !snapshot.contains(&name) {
                statuses.remove_connector(&name, generation);
            }
        }
    }

    /// Until the next round is due.
    async fn work(
        &mut self,
        until: Option<Instant>,
        changes: &mut mpsc::UnboundedReceiver<Change>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Next {
        let mut look = interval(TOPICS_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.member.event() => return self.called(event).await,
                () = due(until) => return Next::Join,
                change = changes.recv() => {
                    let Some(change) = change else { return Next::Join };
                    let mut join = self.follow(change).await;
                    while let Ok(change) = changes.try_recv() {
                        join |= self.follow(change).await;
                    }
                    if join {
                        self.shared.standing.send_modify(|standing| standing.stale = true);
                        return Next::Join;
                    }
                }
                Some(named) = self.named.recv() => {
                    if let Some((name, tasks)) = self.running.named(named) {
                        self.store(name, tasks);
                    }
                }
                Some((name, failed)) = self.written.recv() => {
                    if let Some(error) = failed {
                        tracing::error!("[{name}|worker] its tasks were not stored: {}; trying again", error.trace());
                        // It may have gone to another worker meanwhile.
                        if self.running.has_connector(&name) {
                            self.running.start_connector(&name);
                        }
                    }
                }
                Some(update) = self.updates.recv() => self.running.note(update),
                _ = look.tick() => {
                    if self.shared.worker.topic_tracking {
                        self.running.note_topics(&mut self.topics);
                    }
                }
                command = commands.recv() => match command {
                    None => return Next::Join,
                    Some(Command::Shutdown { reply }) => return Next::End(reply),
                    Some(Command::RestartConnector { name, reply }) => {
                        drop(reply.send(self.restart_connector(&name)));
                    }
                    Some(Command::RestartTask { name, task, reply }) => {
                        drop(reply.send(self.restart_task(&name, task).await));
                    }
                },
            }
        }
    }

    async fn called(&mut self, event: Event) -> Next {
        match event {
            Event::Rebalance if self.version == Version::V0 => self.give_up().await,
            Event::Rebalance => {}
            Event::Lost(why) => tracing::warn!("the membership is lost: {why}"),
            Event::Unreachable(why) => {
                tracing::error!("the group's coordinator is gone, all work stops: {why}");
                self.give_up().await;
            }
        }
        Next::Join
    }

    /// Does what a change of the configurations asks of this worker; `true` when a round must follow.
    async fn follow(&mut self, change: Change) -> bool {
        match change {
            Change::ConnectorAdded(name) => {
                // Removed and made anew before a round took it away.
                if self.running.has_connector(&name) {
                    self.running.start_connector(&name);
                }
                true
            }
            Change::ConnectorRemoved(name) => {
                self.topics.remove(&name);
                true
            }
            Change::ConnectorUpdated(name) => {
                if self.running.has_connector(&name) {
                    self.running.start_connector(&name);
                }
                false
            }
            Change::TasksCommitted { connector, .. } => {
                // A round may have started them with the new configurations already.
                self.outdated.extend(self.running.outdated(&connector));
                true
            }
            Change::TargetState(name) => {
                self.running.aim(&name);
                false
            }
            Change::Restart(request) => {
                self.restart(&request).await;
                false
            }
            // The snapshot has it for whoever signs or verifies.
            Change::SessionKey(_) => false,
            Change::Logger { namespace, level } => {
                if self.shared.loggers.set(&namespace, &level).is_none() {
                    tracing::warn!(
                        "the level {level:?} that all workers were told to give logger {namespace} is none"
                    );
                }
                false
            }
        }
    }

    /// Writes the tasks of a connector that this worker runs, beside the loop: the records come back
    /// through it.
    fn store(&self, name: String, tasks: Vec<crate::herder::RawConfig>) {
        let (shared, writer) = (self.shared.clone(), self.writer.clone());
        tokio::spawn(async move {
            let standing = shared.standing.borrow().clone();
            let result = match standing.leads {
                true => shared.configs.put_tasks(&name, &tasks).await,
                false => post(&shared, &standing, &name, &tasks).await,
            };
            if result.is_err() {
                tokio::time::sleep(JOIN_PAUSE).await;
            }
            // The driver is gone only when the worker ends.
            drop(writer.send((name, result.err())));
        });
    }

    fn restart_connector(&mut self, name: &str) -> Result<(), Refusal> {
        if !self.running.has_connector(name) {
            return Err(elsewhere(&self.shared, |owners| owners.connector(name)));
        }
        self.running.start_connector(name);
        Ok(())
    }

    async fn restart_task(&mut self, name: &str, task: usize) -> Result<(), Refusal> {
        let id =
            TaskId { connector: name.to_owned(), task: u32::try_from(task).unwrap_or(u32::MAX) };
        if !self.running.has_task(&id) {
            return Err(elsewhere(&self.shared, |owners| owners.task(&id)));
        }
        self.again(&[id]).await;
        Ok(())
    }

    async fn again(&mut self, ids: &[TaskId]) {
        let work = Work { tasks: ids.iter().cloned().collect(), ..Work::default() };
        self.running.stop(&work).await;
        ids.iter().for_each(|id| self.running.start_task(id));
    }

    /// This worker's part of a restart.
    async fn restart(&mut self, request: &RestartRequest) {
        let statuses = &self.shared.statuses;
        let failed = |state: Option<crate::runtime::State>| {
            !request.only_failed || state == Some(crate::runtime::State::Failed)
        };
        let name = &request.connector;
        let connector = self.running.has_connector(name)
            && failed(statuses.connector(name).map(|status| status.state));
        let mut tasks = Vec::new();
        if request.include_tasks {
            tasks = self.running.tasks_of(name);
            tasks.retain(|id| {
                failed(statuses.task(name, id.task as usize).map(|status| status.state))
            });
        }
        if connector {
            self.running.start_connector(name);
        }
        self.again(&tasks).await;
    }
}

/// Hands a connector's tasks to the leader, who writes them.
async fn post(
    shared: &Shared,
    standing: &Standing,
    name: &str,
    tasks: &[crate::herder::RawConfig],
) -> Result<()> {
    let failed = |why: String| {
        Error::retriable(format!("hand the tasks of connector {name} to the leader")).caused_by(why)
    };
    let body = serde_json::to_vec(tasks).map_err(|error| failed(error.to_string()))?;
    let path = crate::rest::percent_encode(name);
    let url = format!("{}/connectors/{path}/tasks", standing.leader_url.trim_end_matches('/'));
    let snapshot = shared.configs.snapshot();
    let signature = match (standing.signed, snapshot.session_key()) {
        (true, Some(key)) => Some(keys::sign(key, &body)),
        (true, None) => return Err(failed("no session key has been read yet".to_owned())),
        (false, _) => None,
    };
    let mut headers = Vec::new();
    if let Some(signature) = &signature {
        headers.push(("X-Connect-Authorization", signature.as_str()));
        headers.push(("X-Connect-Request-Signature-Algorithm", keys::ALGORITHM));
    }
    let reply = shared
        .worker
        .rest
        .client
        .send(&axum::http::Method::POST, &url, &headers, body)
        .await
        .map_err(failed)?;
    match reply.status.is_success() {
        true => Ok(()),
        false => Err(failed(format!("{}: {}", reply.status, String::from_utf8_lossy(&reply.body)))),
    }
}

/// Who has to restart what this worker does not run: the leader knows its owner.
fn elsewhere(shared: &Shared, owner: impl FnOnce(&Owners) -> Option<&str>) -> Refusal {
    let standing = shared.standing.borrow();
    match owner(&standing.owners) {
        Some(owner) => Refusal::elsewhere(owner),
        // Nobody has it yet: a round is under way.
        None if standing.leads => busy(),
        None => Refusal::elsewhere(&standing.leader_url),
    }
}

fn busy() -> Refusal {
    Refusal::new(
        409,
        "Cannot complete request because of a conflicting operation (e.g. worker rebalance)",
    )
}

/// Waits for the end of the worker; other commands are told to come again.
async fn shutdown(
    commands: &mut mpsc::Receiver<Command>,
) -> Option<tokio::sync::oneshot::Sender<()>> {
    loop {
        match commands.recv().await {
            None => return None,
            Some(Command::Shutdown { reply }) => return Some(reply),
            Some(Command::RestartConnector { reply, .. } | Command::RestartTask { reply, .. }) => {
                drop(reply.send(Err(busy())));
            }
        }
    }
}

async fn due(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// The leader's part of a round.
struct Assigning<'d> {
    shared: &'d Shared,
    leader: &'d mut Leader,
    began: Instant,
    owners: Arc<Owners>,
}

#[async_trait]
impl LeaderAssign for Assigning<'_> {
    async fn assign(&mut self, election: &Election) -> Result<BTreeMap<String, Assignment>> {
        let configs = &self.shared.configs;
        if configs.snapshot().offset() < election.config_offset_max() {
            // What cannot be read now is told to the members by the offset that is reached.
            if let Err(error) =
                configs.refresh(READ_WITHIN.min(self.shared.group.sync_timeout)).await
            {
                tracing::warn!("{}", error.trace());
            }
        }
        let configured = configured(&configs.snapshot());
        let outcome = self.leader.assign(election, &configured, self.began.elapsed());
        self.owners = Arc::new(outcome.owners);
        Ok(outcome.assignments)
    }
}

fn configured(snapshot: &Snapshot) -> Configured {
    let tasks = |name: &str| u32::try_from(snapshot.tasks(name).len()).unwrap_or(u32::MAX);
    Configured {
        offset: snapshot.offset(),
        tasks: snapshot.connectors().map(|name| (name.to_owned(), tasks(name))).collect(),
    }
}
