//! One worker's membership: joining, staying and leaving.
//!
//! # A round
//!
//! [`Member::join`] finds the coordinator, joins, and waits until all other members have joined too
//! or the rebalance timeout is over. The broker names one of them the leader; it gets everybody's
//! metadata and hands in everybody's assignment, and each member receives its own. What stands in
//! the way without being a person's business (a coordinator that moved, an id that is no longer
//! known, another round that began) is dealt with here, and the join goes on.
//!
//! # Staying
//!
//! From then on a task sends heartbeats. [`Member::event`] tells when the worker must join again:
//! because the broker calls for it, because the membership is lost, or because the coordinator can't
//! be found. Heartbeats go on after the first of these, so that a worker may take its time (up to
//! the rebalance timeout, which the broker keeps) to stop what it must stop before it joins.
//!
//! # Leaving
//!
//! [`Member::leave`] tells the broker, so that the others need not wait for the session to run out.
//! Dropping a member does not.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use kafka_protocol::{
    error::ResponseError,
    messages::{
        GroupId, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};
use model::error::{Error, Kind, Result};
use tokio::time::{self, Instant};
use tracing::{debug, info, warn};

use super::{
    connection::Connection,
    coordinator::{Coordinator, refused},
    heartbeat::Heart,
    leader::Election,
    lease::Lease,
    security::Security,
    wire::{Assignment, Metadata, Protocol, Version, Work},
};

/// The protocol type of a Connect group.
const CONNECT: &str = "connect";

/// The broker answers a join when the rebalance timeout is over; this is for the way.
const JOIN_GRACE: Duration = Duration::from_secs(5);

/// What the broker is told when there is no id or generation yet.
const NO_MEMBER_ID: &str = "";
const NO_GENERATION: i32 = -1;

/// Told of the broker's answers, and how long each took.
pub trait Observer: Send + Sync {
    fn heartbeat(&self, took: Duration);

    /// The group took the member.
    fn joined(&self, took: Duration);

    /// The member has its assignment.
    fn synced(&self, took: Duration);
}

/// A worker's settings that concern its membership.
#[derive(Clone)]
pub struct Settings {
    /// `bootstrap.servers`, each `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// `security.protocol`, with what belongs to it.
    pub security: Security,
    /// `group.id`.
    pub group_id: String,
    /// `client.id`.
    pub client_id: String,
    /// `connect.protocol`.
    pub protocol: Protocol,
    /// `session.timeout.ms`: the broker takes a member for dead that was silent for so long.
    pub session_timeout: Duration,
    /// `rebalance.timeout.ms`: how long the broker waits for the members to join.
    pub rebalance_timeout: Duration,
    /// `heartbeat.interval.ms`; also how long the coordinator is looked for before the worker must
    /// stop its work.
    pub heartbeat_interval: Duration,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    pub observer: Arc<dyn Observer>,
}

impl Settings {
    /// As long as a JVM worker looks for its coordinator before it stops its work.
    pub(super) fn discovery_timeout(&self) -> Duration {
        self.heartbeat_interval
    }
}

/// What a worker joins with.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Where the worker's REST API is.
    pub url: String,
    /// The offset after the last record of the config topic that it has read.
    pub config_offset: i64,
    /// What it runs; none before its first round, and after it had to stop everything.
    pub running: Option<Work>,
}

/// What the elected worker does.
#[async_trait]
pub trait LeaderAssign: Send {
    /// Gives every member of the election its assignment. It may take some time, less than the
    /// rebalance timeout: the others wait.
    async fn assign(&mut self, election: &Election) -> Result<BTreeMap<String, Assignment>>;
}

/// A round that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub generation: i32,
    pub member_id: String,
    pub version: Version,
    pub assignment: Assignment,
    /// On the leader the REST addresses of all members, by id; on others nothing.
    pub members: Option<BTreeMap<String, String>>,
}

impl Round {
    /// Whether this worker is the leader.
    pub fn leads(&self) -> bool {
        self.members.is_some()
    }
}

/// Why a worker must join again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody came, left, or has news. The worker stops what the agreed version asks it to stop
    /// and joins.
    Rebalance,
    /// The broker no longer knows this member, or never did. Another may have been given its work
    /// already; the worker tells what it runs when it joins, and the leader sorts that out.
    Lost(String),
    /// The coordinator can't be found. The session runs out and the work goes to others, so the
    /// worker stops all of it; then it joins, which looks on.
    Unreachable(String),
}

/// A worker in its group.
pub struct Member {
    settings: Arc<Settings>,
    coordinator: Coordinator,
    /// What the broker calls this member.
    id: String,
    /// The last generation whose assignment was received.
    completed: i32,
    /// What the last round said of the leader, for the next metadata.
    last: Option<Assignment>,
    /// Beats from a join to the next.
    heart: Option<Heart>,
    lease: Arc<Lease>,
    /// Where a round is waited for. A broker takes no other request from a connection meanwhile.
    waiting: Option<Connection>,
    /// The next join is to be a round for all.
    calling: bool,
}

/// What comes of one attempt to join.
enum Attempt {
    Done(Box<Round>),
    /// The broker has told what was missing.
    Again,
    /// Something must pass first.
    Later(Error),
    /// The coordinator has yet to read about its groups, which also holds for everybody else.
    Loading(Error),
    /// Another broker may be the coordinator now.
    Elsewhere(Error),
}

impl Member {
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let lease = Arc::new(Lease::new(settings.session_timeout));
        Self {
            coordinator: Coordinator::new(Arc::clone(&settings)),
            settings,
            id: NO_MEMBER_ID.to_owned(),
            completed: NO_GENERATION,
            last: None,
            heart: None,
            lease,
            waiting: None,
            calling: false,
        }
    }

    /// Whether this is a member still, by the worker's own clock.
    pub fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease)
    }

    /// Looks for the group's coordinator and logs in there, as the first join would. Fatal is what a
    /// person must mend.
    pub async fn meet(&self) -> Result<()> {
        self.coordinator.reach().await.map(drop)
    }

    /// Takes part in the next round and waits for its end.
    ///
    /// A retriable error says that the coordinator could not be found or kept failing: the worker
    /// stops all it runs and joins again with no allocation. A fatal one is a person's business. An
    /// error of `assign` is passed on as it is.
    ///
    /// The future may be dropped; the next join starts anew under the same member id.
    pub async fn join(
        &mut self,
        joining: &Joining,
        assign: &mut dyn LeaderAssign,
    ) -> Result<Round> {
        self.heart = None;
        self.stop_waiting();
        self.lease.joins();
        let lease = Arc::clone(&self.lease);
        let joined = {
            let mut joined = std::pin::pin!(self.join_until_settled(joining, assign));
            loop {
                tokio::select! {
                    joined = &mut joined => break joined,
                    () = time::sleep(lease.look_every()) => lease.look(),
                }
            }
        };
        if joined.is_err() {
            self.heart = None;
        }
        joined
    }

    async fn join_until_settled(
        &mut self,
        joining: &Joining,
        assign: &mut dyn LeaderAssign,
    ) -> Result<Round> {
        // When the attempts began to fail with nothing but failures since.
        let mut failing: Option<Instant> = None;
        loop {
            let connection = self.coordinator.reach().await?;
            let error = match self.attempt(&connection, joining, assign).await? {
                Attempt::Done(round) => return Ok(*round),
                Attempt::Again => {
                    failing = None;
                    continue;
                }
                Attempt::Loading(error) => {
                    failing = None;
                    debug!("waiting: {}", error.trace());
                    time::sleep(self.settings.retry_backoff).await;
                    continue;
                }
                Attempt::Later(error) => error,
                Attempt::Elsewhere(error) => {
                    self.coordinator.forget(&connection);
                    error
                }
            };
            let since = failing.get_or_insert_with(Instant::now).elapsed();
            if since > self.settings.session_timeout {
                let group = &self.settings.group_id;
                return Err(Error::retriable(format!(
                    "joining group {group} kept failing for {} ms",
                    since.as_millis()
                ))
                .caused_by(error));
            }
            debug!("joining once more: {}", error.trace());
            time::sleep(self.settings.retry_backoff).await;
        }
    }

    /// Waits until the worker must join again. It tells the same until then, and may be dropped.
    pub async fn event(&mut self) -> Event {
        match &mut self.heart {
            Some(heart) => heart.event().await,
            None => Event::Lost("the worker is not a member".to_owned()),
        }
    }

    /// Leaves the group. The member may join again, as a new one.
    pub async fn leave(&mut self, reason: &str) -> Result<()> {
        self.heart = None;
        self.stop_waiting();
        let id = std::mem::take(&mut self.id);
        if id == NO_MEMBER_ID {
            return Ok(());
        }
        let group = &self.settings.group_id;
        info!("member {id} leaves group {group}: {reason}");
        self.lease.lose();
        let connection = self.coordinator.reach().await?;
        let id = StrBytes::from_string(id);
        let request = LeaveGroupRequest::default().with_group_id(self.group());
        let request = if connection.version::<LeaveGroupRequest>()? >= 3 {
            let identity = MemberIdentity::default()
                .with_member_id(id)
                .with_reason(Some(StrBytes::from_string(reason.to_owned())));
            request.with_members(vec![identity])
        } else {
            request.with_member_id(id)
        };
        let answer = connection.call(&request, self.settings.request_timeout).await?;
        let member_error = answer.members.first().map_or(0, |member| member.error_code);
        match ResponseError::try_from_code(answer.error_code)
            .or_else(|| ResponseError::try_from_code(member_error))
        {
            // The broker has removed it before.
            None | Some(ResponseError::UnknownMemberId) => Ok(()),
            Some(error) => Err(refused(error.code(), &format!("leaving group {group}"))),
        }
    }

    /// Has the next join call all members to a round. A broker does so by itself only when it is the
    /// leader who joins again, or somebody who has something else to say than last time; others get
    /// last time's assignment.
    pub fn call_all(&mut self) {
        self.calling = true;
    }

    /// After a join that was dropped.
    fn stop_waiting(&mut self) {
        if let Some(connection) = self.waiting.take() {
            self.coordinator.forget(&connection);
        }
    }

    fn group(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.settings.group_id.clone()))
    }

    async fn attempt(
        &mut self,
        connection: &Connection,
        joining: &Joining,
        assign: &mut dyn LeaderAssign,
    ) -> Result<Attempt> {
        let request = self.join_request(joining)?;
        let limit = self.settings.request_timeout.max(self.settings.rebalance_timeout + JOIN_GRACE);
        self.waiting = Some(connection.clone());
        let asked = Instant::now();
        let joined = connection.call(&request, limit).await;
        self.waiting = None;
        let joined = match joined {
            Ok(joined) => joined,
            Err(error) => return failed(error),
        };
        if let Some(error) = ResponseError::try_from_code(joined.error_code) {
            return self.join_refused(error, &joined);
        }
        self.settings.observer.joined(asked.elapsed());
        self.id = joined.member_id.to_string();
        let generation = joined.generation_id;
        // The session runs from here on, also while the leader assigns.
        self.lease.joined();
        self.heart = Some(Heart::start(
            Arc::clone(&self.settings),
            Arc::clone(&self.lease),
            self.coordinator.clone(),
            connection.clone(),
            generation,
            self.id.clone(),
        ));
        let name = joined.protocol_name.as_deref().unwrap_or_default();
        let Some(version) = Version::from_name(name) else {
            return Err(Error::fatal(format!(
                "group {} has agreed on the protocol {name:?}, which is none of a Connect \
                 group; choose another group.id",
                self.settings.group_id
            )));
        };
        let mut members = None;
        let mut assignments = BTreeMap::new();
        if joined.leader == joined.member_id {
            let (election, unreadable) = self.election(version, &joined);
            assignments = assign.assign(&election).await?;
            let offset = election.config_offset_max();
            for member in unreadable {
                let assignment = Assignment {
                    leader: self.id.clone(),
                    leader_url: joining.url.clone(),
                    config_offset: offset,
                    ..Assignment::default()
                };
                assignments.insert(member, assignment);
            }
            let urls = election.members.into_iter().map(|(id, metadata)| (id, metadata.url));
            members = Some(urls.collect());
        }
        let request = self.sync_request(generation, version, &assignments)?;
        self.waiting = Some(connection.clone());
        let sent = Instant::now();
        let synced = connection.call(&request, limit).await;
        self.waiting = None;
        let synced = match synced {
            Ok(synced) => synced,
            Err(error) => return failed(error),
        };
        if let Some(error) = ResponseError::try_from_code(synced.error_code) {
            return self.sync_refused(error);
        }
        self.settings.observer.synced(sent.elapsed());
        self.lease.renew(sent);
        let assignment = match Assignment::decode(&synced.assignment) {
            Ok(assignment) => assignment,
            Err(malformed) => {
                let error = Error::retriable(format!(
                    "the leader of group {} sent an assignment that cannot be read",
                    self.settings.group_id
                ));
                return Ok(Attempt::Later(error.caused_by(malformed)));
            }
        };
        info!(
            "joined group {} as {} in generation {generation} by protocol {}{}",
            self.settings.group_id,
            self.id,
            version.name(),
            if members.is_some() { ", as its leader" } else { "" }
        );
        self.calling = false;
        self.completed = generation;
        self.last = Some(assignment.clone());
        let member_id = self.id.clone();
        let round = Round { generation, member_id, version, assignment, members };
        Ok(Attempt::Done(Box::new(round)))
    }

    fn join_request(&self, joining: &Joining) -> Result<JoinGroupRequest> {
        let allocation = joining.running.clone().map(|work| {
            let last = self.last.clone().unwrap_or_default();
            // Of what a member runs the leader looks at the work alone, so that this is a way to
            // say something else without meaning anything by it.
            let delay_ms = i32::from(self.calling);
            Assignment { work, revoked: Work::default(), delay_ms, error: 0, ..last }
        });
        let metadata =
            Metadata { url: joining.url.clone(), config_offset: joining.config_offset, allocation };
        let mut protocols = Vec::new();
        for version in self.settings.protocol.offers() {
            let bytes = metadata.encode(*version).map_err(|malformed| {
                Error::fatal("this worker's metadata cannot be sent").caused_by(malformed)
            })?;
            protocols.push(
                JoinGroupRequestProtocol::default()
                    .with_name(StrBytes::from_static_str(version.name()))
                    .with_metadata(bytes),
            );
        }
        Ok(JoinGroupRequest::default()
            .with_group_id(self.group())
            .with_session_timeout_ms(millis(self.settings.session_timeout))
            .with_rebalance_timeout_ms(millis(self.settings.rebalance_timeout))
            .with_member_id(StrBytes::from_string(self.id.clone()))
            .with_protocol_type(StrBytes::from_static_str(CONNECT))
            .with_protocols(protocols))
    }

    /// What the broker says when the group did not take this member.
    fn join_refused(
        &mut self,
        error: ResponseError,
        joined: &JoinGroupResponse,
    ) -> Result<Attempt> {
        use ResponseError as E;
        let refusal = refused(error.code(), &format!("joining group {}", self.settings.group_id));
        match error {
            E::MemberIdRequired => {
                self.id = joined.member_id.to_string();
                Ok(Attempt::Again)
            }
            E::UnknownMemberId if self.id != NO_MEMBER_ID => {
                self.lease.lose();
                self.id = NO_MEMBER_ID.to_owned();
                Ok(Attempt::Again)
            }
            E::NotCoordinator | E::CoordinatorNotAvailable => Ok(Attempt::Elsewhere(refusal)),
            E::CoordinatorLoadInProgress => Ok(Attempt::Loading(refusal)),
            _ if refusal.kind() == Kind::Fatal => Err(refusal),
            _ => Ok(Attempt::Later(refusal)),
        }
    }

    fn sync_refused(&mut self, error: ResponseError) -> Result<Attempt> {
        use ResponseError as E;
        self.heart = None;
        let tried = format!("waiting for the assignment in group {}", self.settings.group_id);
        let refusal = refused(error.code(), &tried);
        match error {
            // Another round has begun.
            E::RebalanceInProgress | E::IllegalGeneration => Ok(Attempt::Again),
            E::UnknownMemberId => {
                self.lease.lose();
                self.id = NO_MEMBER_ID.to_owned();
                Ok(Attempt::Again)
            }
            E::NotCoordinator | E::CoordinatorNotAvailable => Ok(Attempt::Elsewhere(refusal)),
            E::CoordinatorLoadInProgress => Ok(Attempt::Loading(refusal)),
            _ if refusal.kind() == Kind::Fatal => Err(refusal),
            _ => Ok(Attempt::Later(refusal)),
        }
    }

    /// What the leader decides on, and the members whose metadata can't be read: they get no work.
    fn election(&self, version: Version, joined: &JoinGroupResponse) -> (Election, Vec<String>) {
        let mut members = BTreeMap::new();
        let mut unreadable = Vec::new();
        for member in &joined.members {
            let id = member.member_id.to_string();
            match Metadata::decode(&member.metadata) {
                Ok(metadata) => {
                    members.insert(id, metadata);
                }
                Err(malformed) => {
                    warn!(
                        "member {id} of group {} gets no work, because what it says of itself \
                         cannot be read: {malformed}",
                        self.settings.group_id
                    );
                    unreadable.push(id);
                }
            }
        }
        let election = Election {
            version,
            generation: joined.generation_id,
            completed: self.completed,
            leader: self.id.clone(),
            members,
        };
        (election, unreadable)
    }

    fn sync_request(
        &self,
        generation: i32,
        version: Version,
        assignments: &BTreeMap<String, Assignment>,
    ) -> Result<SyncGroupRequest> {
        let mut encoded = Vec::with_capacity(assignments.len());
        for (member, assignment) in assignments {
            let bytes = assignment.encode(version).map_err(|malformed| {
                Error::fatal(format!("the assignment of member {member} cannot be sent"))
                    .caused_by(malformed)
            })?;
            encoded.push(
                SyncGroupRequestAssignment::default()
                    .with_member_id(StrBytes::from_string(member.clone()))
                    .with_assignment(bytes),
            );
        }
        Ok(SyncGroupRequest::default()
            .with_group_id(self.group())
            .with_generation_id(generation)
            .with_member_id(StrBytes::from_string(self.id.clone()))
            .with_protocol_type(Some(StrBytes::from_static_str(CONNECT)))
            .with_protocol_name(Some(StrBytes::from_static_str(version.name())))
            .with_assignments(encoded))
    }
}

/// A request that got no answer.
fn failed(error: Error) -> Result<Attempt> {
    match error.kind() {
        Kind::Fatal => Err(error),
        Kind::Retriable => Ok(Attempt::Elsewhere(error)),
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
