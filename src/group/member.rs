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
    messages::{GroupId, LeaveGroupRequest, leave_group_request::MemberIdentity},
    protocol::StrBytes,
};
use model::error::{Error, Result};
use tokio::time::{self, Instant};
use tracing::{debug, info};

use self::attempt::Attempt;
use super::{
    connection::Connection,
    coordinator::{Coordinator, refused},
    heartbeat::Heart,
    leader::Election,
    lease::Lease,
    security::Security,
    wire::{Assignment, Protocol, Version, Work},
};

mod attempt;
#[cfg(test)]
mod tests;

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
}
