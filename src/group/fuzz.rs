//! The group's protocol, see [`crate::fuzz`].

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
        LeaveGroupRequest, OffsetDeleteRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
        SyncGroupRequest,
    },
    protocol::Request,
};
use model::config::Secret;

use super::{
    connection, frames,
    leader::{Configured, Election, Leader},
    scram::{Hash, Scram},
    wire::{Assignment, Metadata, Version, Work},
};
use crate::fuzz::choice;

/// A broker's answer to any of the requests, the frame that it comes in, or its side of a login.
pub fn frames(input: &[u8]) {
    let Some((what, bytes)) = choice(input) else { return };
    let Some((version, bytes)) = choice(bytes) else { return };
    match what % 11 {
        // It is asked in version 0 alone. Later ones have arrays in their tagged fields, whose lengths
        // the decoder believes.
        0 => answer::<ApiVersionsRequest>(0, bytes),
        1 => answer::<FindCoordinatorRequest>(version, bytes),
        2 => answer::<JoinGroupRequest>(version, bytes),
        3 => answer::<SyncGroupRequest>(version, bytes),
        4 => answer::<HeartbeatRequest>(version, bytes),
        5 => answer::<LeaveGroupRequest>(version, bytes),
        6 => answer::<OffsetDeleteRequest>(version, bytes),
        7 => answer::<SaslHandshakeRequest>(version, bytes),
        8 => answer::<SaslAuthenticateRequest>(version, bytes),
        9 => {
            let mut rest = bytes;
            if let Some(Ok(frame)) = now(frames::read_frame(&mut rest)) {
                assert_eq!(frame.len() + 4 + rest.len(), bytes.len());
            }
        }
        _ => {
            let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let (first, last) = bytes.split_at(cut);
            // The number of rounds is checked; running thousands of them finds nothing more.
            let scram =
                Scram::with_nonce(Hash::Sha256, "user", &Secret::new("pencil"), "x".to_owned());
            if let Ok(challenged) = scram.answer(first) {
                // Nobody guesses a signature.
                assert!(challenged.verify(last.get(1..).unwrap_or_default()).is_err());
            }
        }
    }
}

fn answer<R: Request>(version: u8, bytes: &[u8]) {
    let versions = R::VERSIONS;
    let version = versions.min + i16::from(version) % (versions.max - versions.min + 1);
    drop(connection::decode::<R>(Bytes::copy_from_slice(bytes), version));
}

/// The value of a future that has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// What members tell the leader and the leader answers: what was read is written in the same words,
/// and a leader gives its members work whatever they say.
pub fn connect(input: &[u8]) {
    let Some((what, bytes)) = choice(input) else { return };
    match what % 3 {
        0 => {
            let Ok(metadata) = Metadata::decode(bytes) else { return };
            let written = metadata.encode(Version::V2).expect("what came can be sent");
            assert_eq!(Metadata::decode(&written), Ok(metadata));
        }
        1 => {
            let Ok(assignment) = Assignment::decode(bytes) else { return };
            let written = assignment.encode(Version::V2).expect("what came can be sent");
            assert_eq!(Assignment::decode(&written), Ok(assignment));
        }
        _ => lead(bytes),
    }
}

/// Two rounds with members that say what is in `bytes`, each behind its length, after this one.
fn lead(mut bytes: &[u8]) {
    let metadata = Metadata { url: "http://a/".to_owned(), config_offset: 1, allocation: None };
    let mut members = BTreeMap::from([("a".to_owned(), metadata)]);
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((said, rest)) = rest.split_at_checked(length) else { break };
        bytes = rest;
        if let Ok(metadata) = Metadata::decode(said) {
            members.insert(format!("m{}", members.len()), metadata);
        }
    }
    let tasks = BTreeMap::from([("c".to_owned(), 3), ("d".to_owned(), 0)]);
    for version in [Version::V0, Version::V2] {
        let mut leader = Leader::new(Duration::from_secs(300));
        let mut members = members.clone();
        for generation in 1..=2 {
            let election = Election {
                version,
                generation,
                completed: generation - 1,
                leader: "a".to_owned(),
                members: members.clone(),
            };
            let configured =
                Configured { offset: election.config_offset_max(), tasks: tasks.clone() };
            let now = Duration::from_secs(u64::from(generation.unsigned_abs()));
            let outcome = leader.assign(&election, &configured, now);
            let mut given = Work::default();
            for (member, assignment) in &outcome.assignments {
                assert!(assignment.work.common(&given).is_empty(), "given to two");
                given.add(&assignment.work);
                assignment.encode(version).expect("what was decided can be sent");
                let metadata = members.get_mut(member).expect("only members are told");
                let mut running = metadata.running();
                running.remove(&assignment.revoked);
                running.add(&assignment.work);
                metadata.allocation = Some(Assignment { work: running, ..assignment.clone() });
            }
            assert!(given.without(&configured.work()).is_empty(), "given what is not there");
        }
    }
}
