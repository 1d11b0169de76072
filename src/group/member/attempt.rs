//! One attempt to join: a request to join and one for the assignment, and what the broker's errors
//! mean for the next attempt.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kafka_protocol::{
    error::ResponseError,
    messages::{
        JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol,
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};
use model::error::{Error, Kind, Result};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    super::{
        connection::Connection,
        coordinator::refused,
        heartbeat::Heart,
        leader::Election,
        wire::{Assignment, Metadata, Version, Work},
    },
    Joining, LeaderAssign, Member, NO_MEMBER_ID, Round,
};

/// The protocol type of a Connect group.
const CONNECT: &str = "connect";

/// The broker answers a join when the rebalance timeout is over; this is for the way.
const JOIN_GRACE: Duration = Duration::from_secs(5);

/// What comes of one attempt to join.
pub(super) enum Attempt {
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
    pub(super) async fn attempt(
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
            _ => after(error, refusal),
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
            _ => after(error, refusal),
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

/// What an error means that is about the coordinator, or about nothing that is known here.
fn after(error: ResponseError, refusal: Error) -> Result<Attempt> {
    use ResponseError as E;
    match error {
        E::NotCoordinator | E::CoordinatorNotAvailable => Ok(Attempt::Elsewhere(refusal)),
        E::CoordinatorLoadInProgress => Ok(Attempt::Loading(refusal)),
        _ if refusal.kind() == Kind::Fatal => Err(refusal),
        _ => Ok(Attempt::Later(refusal)),
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
