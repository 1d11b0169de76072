//! What the worker does that the group elected its leader: it decides who runs what.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    cooperative::{Cooperative, Round},
    eager,
    wire::{Assignment, CONFIG_MISMATCH, Metadata, TaskId, Version, Work},
};

/// The connectors that should run, and how many tasks each has.
///
/// A connector whose task configurations are incomplete has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// The offset after the last record of the config topic that this is made from.
    pub offset: i64,
    pub tasks: BTreeMap<String, u32>,
}

impl Configured {
    /// All of it.
    pub fn work(&self) -> Work {
        let tasks = self.tasks.iter().flat_map(|(connector, tasks)| {
            (0..*tasks).map(|task| TaskId { connector: connector.clone(), task })
        });
        Work { connectors: self.tasks.keys().cloned().collect(), tasks: tasks.collect() }
    }
}

/// What the broker tells the worker that it elected.
#[derive(Clone, Debug)]
pub struct Election {
    /// What the group has agreed on.
    pub version: Version,
    /// The generation whose assignment is asked for.
    pub generation: i32,
    /// The last generation whose assignment this worker received; −1 for none.
    pub completed: i32,
    /// This worker's member id.
    pub leader: String,
    /// All members by id, this worker among them.
    pub members: BTreeMap<String, Metadata>,
}

impl Election {
    /// The newest configuration that any member has seen. A leader whose own is older reads on
    /// before it assigns.
    pub fn config_offset_max(&self) -> i64 {
        self.members.values().map(|member| member.config_offset).max().unwrap_or(-1)
    }
}

/// What the leader tells the members, and what it keeps for itself.
#[derive(Debug)]
pub struct Outcome {
    /// By member id.
    pub assignments: BTreeMap<String, Assignment>,
    pub owners: Owners,
}

/// The REST addresses of the workers that run something. Only the leader knows them, from its last
/// round.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    connectors: HashMap<String, String>,
    tasks: HashMap<TaskId, String>,
}

impl Owners {
    pub fn connector(&self, connector: &str) -> Option<&str> {
        self.connectors.get(connector).map(String::as_str)
    }

    pub fn task(&self, task: &TaskId) -> Option<&str> {
        self.tasks.get(task).map(String::as_str)
    }

    fn new(election: &Election, result: &BTreeMap<String, Work>) -> Self {
        let mut owners = Self::default();
        for (member, work) in result {
            let Some(Metadata { url, .. }) = election.members.get(member) else { continue };
            owners
                .connectors
                .extend(work.connectors.iter().map(|name| (name.clone(), url.clone())));
            owners.tasks.extend(work.tasks.iter().map(|task| (task.clone(), url.clone())));
        }
        owners
    }
}

/// What a worker remembers from round to round for the times when it leads.
#[derive(Debug)]
pub struct Leader {
    cooperative: Cooperative,
}

impl Leader {
    /// `delay_max`: `scheduled.rebalance.max.delay.ms`.
    pub fn new(delay_max: Duration) -> Self {
        Self { cooperative: Cooperative::new(delay_max) }
    }

    /// Assigns `configured` to the members of the `election`. `now` is the time since any moment
    /// that stays the same.
    ///
    /// When `configured` is older than what a member has seen, the members are told so and nothing
    /// is assigned; the leader then reads to the end and all join again.
    pub fn assign(
        &mut self,
        election: &Election,
        configured: &Configured,
        now: Duration,
    ) -> Outcome {
        let offset_max = election.config_offset_max();
        let leader_url =
            election.members.get(&election.leader).map_or("", |leader| leader.url.as_str());
        let common = Assignment {
            leader: election.leader.clone(),
            leader_url: leader_url.to_owned(),
            config_offset: configured.offset.max(offset_max),
            ..Assignment::default()
        };
        if configured.offset < offset_max {
            let refusal = Assignment { error: CONFIG_MISMATCH, ..common };
            let members = election.members.keys();
            return Outcome {
                assignments: members.map(|member| (member.clone(), refusal.clone())).collect(),
                owners: Owners::default(),
            };
        }
        let members = election.members.keys().map(String::as_str);
        if election.version == Version::V0 {
            let result = eager::assign(members, configured);
            let owners = Owners::new(election, &result);
            let assignments = result
                .into_iter()
                .map(|(member, work)| (member, Assignment { work, ..common.clone() }));
            return Outcome { assignments: assignments.collect(), owners };
        }
        let running = election
            .members
            .iter()
            .map(|(member, metadata)| (member.clone(), metadata.running()))
            .collect();
        let mut plan = self.cooperative.assign(&Round {
            generation: election.generation,
            completed: election.completed,
            running: &running,
            configured,
            now,
        });
        // 300 s by default, and at most what 32 bits hold: the setting has no more.
        let delay_ms = i32::try_from(plan.delay.as_millis()).unwrap_or(i32::MAX);
        let assignments = members.map(|member| {
            let assignment = Assignment {
                work: plan.assigned.remove(member).unwrap_or_default(),
                revoked: plan.revoked.remove(member).unwrap_or_default(),
                delay_ms,
                ..common.clone()
            };
            (member.to_owned(), assignment)
        });
        Outcome { assignments: assignments.collect(), owners: Owners::new(election, &plan.result) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn election(version: Version, offsets: &[(&str, i64)]) -> Election {
        let member = |(id, config_offset): &(&str, i64)| {
            let url = format!("http://{id}/");
            ((*id).to_owned(), Metadata { url, config_offset: *config_offset, allocation: None })
        };
        Election {
            version,
            generation: 3,
            completed: 2,
            leader: "a".into(),
            members: offsets.iter().map(member).collect(),
        }
    }

    fn configured(offset: i64) -> Configured {
        Configured { offset, tasks: BTreeMap::from([("c".to_owned(), 1)]) }
    }

    /// An older leader tells all members the newest offset and hands out nothing; what it knew of
    /// earlier rounds is of no use afterwards.
    #[test]
    fn a_leader_behind_assigns_nothing() {
        let mut leader = Leader::new(Duration::from_secs(300));
        for version in [Version::V0, Version::V1, Version::V2] {
            let election = election(version, &[("a", 5), ("b", 9)]);
            let outcome = leader.assign(&election, &configured(8), Duration::ZERO);
            let expected = Assignment {
                error: CONFIG_MISMATCH,
                leader: "a".into(),
                leader_url: "http://a/".into(),
                config_offset: 9,
                ..Assignment::default()
            };
            let members = ["a", "b"].map(|id| (id.to_owned(), expected.clone()));
            assert_eq!(outcome.assignments, BTreeMap::from(members));
            assert_eq!(outcome.owners.connector("c"), None);
        }
    }

    #[test]
    fn work_is_assigned_and_its_owners_are_known() {
        for version in [Version::V0, Version::V1, Version::V2] {
            for (own, told) in [(9, 9), (12, 12)] {
                let mut leader = Leader::new(Duration::from_secs(300));
                let election = election(version, &[("a", 5), ("b", 9)]);
                let outcome = leader.assign(&election, &configured(own), Duration::ZERO);
                let mut all = Work::default();
                for (member, assignment) in &outcome.assignments {
                    assert_eq!((assignment.error, assignment.config_offset), (0, told));
                    assert_eq!(assignment.leader_url, "http://a/");
                    let url = format!("http://{member}/");
                    for connector in &assignment.work.connectors {
                        assert_eq!(outcome.owners.connector(connector), Some(url.as_str()));
                    }
                    for task in &assignment.work.tasks {
                        assert_eq!(outcome.owners.task(task), Some(url.as_str()));
                    }
                    all.add(&assignment.work);
                }
                assert_eq!(all, configured(own).work());
            }
        }
    }
}
