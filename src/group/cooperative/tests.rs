//! A group without a network: members that do what they are told, or do not hear it.

use proptest::prelude::*;

use super::*;
use crate::group::wire::TaskId;

const DELAY: Duration = Duration::from_secs(300);

struct Group {
    leader: Cooperative,
    configured: Configured,
    running: BTreeMap<String, Work>,
    generation: i32,
    completed: i32,
    now: Duration,
    /// How often work that ran was stopped to run elsewhere.
    moved: usize,
}

impl Group {
    fn new(delay_max: Duration, connectors: &[(&str, u32)], workers: &[&str]) -> Self {
        let mut group = Self {
            leader: Cooperative::new(delay_max),
            configured: Configured::default(),
            running: BTreeMap::new(),
            generation: 0,
            completed: -1,
            now: Duration::from_secs(1_000_000),
            moved: 0,
        };
        for (connector, tasks) in connectors {
            group.configured.tasks.insert((*connector).to_owned(), *tasks);
        }
        for worker in workers {
            group.join(worker);
        }
        group
    }

    fn join(&mut self, worker: &str) {
        self.running.insert(worker.to_owned(), Work::default());
    }

    /// Gives what the worker ran.
    fn leave(&mut self, worker: &str) -> Work {
        self.running.remove(worker).expect("a member")
    }

    fn plan(&mut self) -> Plan {
        self.generation += 1;
        self.leader.assign(&Round {
            generation: self.generation,
            completed: self.completed,
            running: &self.running,
            configured: &self.configured,
            now: self.now,
        })
    }

    /// One round that all members hear of.
    fn round(&mut self) -> Plan {
        let plan = self.plan();
        self.completed = self.generation;
        for (worker, running) in &mut self.running {
            if let Some(revoked) = plan.revoked.get(worker) {
                // What a candidate was to get may be taken from it in the same round.
                let stopped = revoked.common(running);
                self.moved += stopped.connectors.len() + stopped.tasks.len();
                running.remove(revoked);
            }
            let assigned = &plan.assigned[worker];
            assert!(assigned.common(running).is_empty(), "{worker} runs that already");
            running.add(assigned);
        }
        plan
    }

    /// Rounds until nobody is told to stop anything; gives the delay that is left.
    fn settle(&mut self) -> Duration {
        for _ in 0..20 {
            let plan = self.round();
            if plan.revoked.is_empty() {
                return plan.delay;
            }
        }
        panic!("no end of revocations: {self}");
    }

    /// What every worker runs, and the delay after the last round.
    #[track_caller]
    fn check(&mut self, expected: &str) {
        let expected: Vec<_> = expected.lines().map(str::trim).collect();
        assert_eq!(self.to_string(), expected.join("\n"));
    }

    fn sizes(&self) -> Vec<(usize, usize)> {
        self.running.values().map(|work| (work.connectors.len(), work.tasks.len())).collect()
    }

    /// Everything configured runs once, and nothing else.
    fn complete(&self) -> bool {
        let count: usize =
            self.running.values().map(|work| work.connectors.len() + work.tasks.len()).sum();
        let mut all = Work::default();
        for work in self.running.values() {
            all.add(work);
        }
        let configured = self.configured.work();
        all == configured && count == configured.connectors.len() + configured.tasks.len()
    }

    fn balanced(&self) -> bool {
        let even = |counts: Vec<usize>| {
            counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0) <= 1
        };
        let (connectors, tasks) = self.sizes().into_iter().unzip();
        even(connectors) && even(tasks)
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.running.iter().map(|(worker, work)| {
            let work = work.clone().sorted();
            let tasks = work.tasks.iter().map(TaskId::to_string);
            let items: Vec<_> = work.connectors.iter().cloned().chain(tasks).collect();
            format!("{worker}: {}", items.join(" ")).trim_end().to_owned()
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

#[test]
fn the_first_worker_gets_everything_and_a_second_one_half() {
    let mut group = Group::new(DELAY, &[("a", 4), ("b", 4)], &["w1"]);
    assert_eq!(group.settle(), Duration::ZERO);
    group.check("w1: a b a-0 a-1 a-2 a-3 b-0 b-1 b-2 b-3");
    group.join("w2");
    let plan = group.round();
    // The surplus is taken from the front, and handed out in the round after.
    assert_eq!(plan.assigned.values().filter(|work| !work.is_empty()).count(), 0);
    group.check("w1: b b-0 b-1 b-2 b-3\nw2:");
    assert_eq!(group.settle(), Duration::ZERO);
    group.check("w1: b b-0 b-1 b-2 b-3\nw2: a a-0 a-1 a-2 a-3");
    assert_eq!(group.moved, 5);
    // Nothing changes, and nothing moves.
    group.settle();
    assert_eq!(group.moved, 5);
}

#[test]
fn three_workers_at_once_share_evenly() {
    let mut group = Group::new(DELAY, &[("a", 4), ("b", 4)], &["w1", "w2", "w3"]);
    assert_eq!(group.settle(), Duration::ZERO);
    group.check("w1: a a-0 a-3 b-2\nw2: b a-1 b-0 b-3\nw3: a-2 b-1");
    assert_eq!(group.moved, 0);
}

#[test]
fn the_work_of_one_who_left_waits_for_the_delay() {
    let mut group = Group::new(DELAY, &[("a", 4), ("b", 4)], &["w1", "w2"]);
    group.settle();
    group.check("w1: a a-0 a-2 b-0 b-2\nw2: b a-1 a-3 b-1 b-3");
    group.leave("w2");
    assert_eq!(group.round().delay, DELAY);
    group.check("w1: a a-0 a-2 b-0 b-2");
    // Whoever asks in between hears what is left.
    group.now += Duration::from_secs(100);
    assert_eq!(group.round().delay, Duration::from_secs(200));
    group.now += Duration::from_secs(200);
    assert_eq!(group.settle(), Duration::ZERO);
    group.check("w1: a b a-0 a-1 a-2 a-3 b-0 b-1 b-2 b-3");
    assert_eq!(group.moved, 0);
}

#[test]
fn one_who_comes_back_in_time_gets_what_it_had() {
    let mut group = Group::new(DELAY, &[("a", 4), ("b", 4)], &["w1", "w2", "w3"]);
    group.settle();
    let before = group.running["w3"].clone();
    group.leave("w3");
    assert_eq!(group.settle(), DELAY);
    group.now += Duration::from_secs(100);
    group.join("w4");
    assert_eq!(group.settle(), Duration::from_secs(200));
    assert!(group.running["w4"].is_empty());
    group.now += Duration::from_secs(200);
    assert_eq!(group.settle(), Duration::ZERO);
    assert_eq!(group.running["w4"], before);
    assert_eq!(group.moved, 0);
}

/// The newcomer is the candidate; the others keep theirs although there is a new connector.
#[test]
fn created_work_is_assigned_during_the_delay() {
    let mut group = Group::new(DELAY, &[("a", 2)], &["w1", "w2"]);
    group.settle();
    group.check("w1: a a-0\nw2: a-1");
    group.leave("w2");
    group.configured.tasks.insert("b".into(), 1);
    assert_eq!(group.round().delay, DELAY);
    group.check("w1: a b a-0 b-0");
    group.join("w3");
    group.now += Duration::from_secs(1);
    group.settle();
    group.now += DELAY;
    group.settle();
    assert!(group.complete() && group.balanced(), "{group}");
    assert!(group.running["w3"].tasks.iter().any(|task| task.to_string() == "a-1"), "{group}");
}

#[test]
fn without_a_delay_lost_work_is_assigned_at_once() {
    let mut group = Group::new(Duration::ZERO, &[("a", 4), ("b", 4)], &["w1", "w2", "w3"]);
    group.settle();
    group.leave("w3");
    let plan = group.round();
    assert_eq!((plan.delay, plan.revoked.len()), (Duration::ZERO, 0));
    assert!(group.complete() && group.balanced(), "{group}");
}

/// Without a delay there is no back-off either.
#[test]
fn without_a_delay_every_round_may_revoke() {
    let mut group = Group::new(Duration::ZERO, &[("a", 12)], &["w1"]);
    group.settle();
    group.join("w2");
    assert_eq!(group.round().revoked["w1"].tasks.len(), 6);
    group.join("w3");
    let plan = group.round();
    assert_eq!((plan.delay, plan.revoked.is_empty()), (Duration::ZERO, false), "{group}");
    group.settle();
    assert!(group.complete() && group.balanced(), "{group}");
}

/// A second revocation in a row waits 40 ms, the next 1.6 s, 64 s, and then the longest delay.
#[test]
fn revocations_in_a_row_back_off() {
    let mut group = Group::new(DELAY, &[("a", 120)], &["w1"]);
    group.settle();
    group.join("w2");
    assert!(!group.round().revoked.is_empty());
    group.join("w3");
    let plan = group.round();
    assert_eq!((plan.delay, plan.revoked.is_empty()), (Duration::from_millis(40), true));
    // The freed tasks were assigned nevertheless.
    assert!(group.complete(), "{group}");
    for (worker, expected) in [("w4", 1_600), ("w5", 64_000), ("w6", 300_000)] {
        group.now += group.leader.delay;
        let plan = group.round();
        assert_eq!((plan.delay, plan.revoked.is_empty()), (Duration::ZERO, false), "{worker}");
        group.join(worker);
        let plan = group.round();
        assert_eq!(plan.delay, Duration::from_millis(expected), "{worker}");
        assert!(plan.revoked.is_empty(), "{worker}");
    }
    group.now += DELAY;
    assert_eq!(group.settle(), Duration::ZERO);
    assert!(group.complete() && group.balanced(), "{group}");
    // A quiet round ends the series.
    group.settle();
    group.join("w7");
    assert!(!group.round().revoked.is_empty());
    group.join("w8");
    assert_eq!(group.round().delay, Duration::from_millis(40));
}

/// Both lose it, and one of them gets it back.
#[test]
fn what_runs_twice_is_taken_from_both() {
    let mut group = Group::new(DELAY, &[("a", 2), ("b", 2)], &["w1", "w2"]);
    group.settle();
    group.check("w1: a a-0 b-0\nw2: b a-1 b-1");
    let double = group.running["w1"].clone();
    group.running.get_mut("w2").unwrap().add(&double);
    let plan = group.round();
    assert_eq!(plan.revoked["w1"], double);
    assert_eq!(plan.revoked["w2"], double);
    assert_eq!(group.settle(), Duration::ZERO);
    group.check("w1: a a-0 b-0\nw2: b a-1 b-1");
}

#[test]
fn deleted_and_shrunk_connectors_stop() {
    let mut group = Group::new(DELAY, &[("a", 2), ("b", 3)], &["w1", "w2"]);
    group.settle();
    group.configured.tasks.remove("a");
    group.configured.tasks.insert("b".into(), 2);
    let plan = group.round();
    let stopped: Vec<_> = plan.revoked.values().map(|work| work.tasks.len()).collect();
    assert_eq!(stopped.iter().sum::<usize>(), 3, "a-0, a-1 and b-2");
    assert_eq!(group.settle(), Duration::ZERO);
    assert!(group.complete() && group.balanced(), "{group}");
}

/// The leader itself did not hear its last assignment, so it forgets it: what nobody runs is new,
/// and nothing is held back.
#[test]
fn a_round_the_leader_missed_is_forgotten() {
    let mut group = Group::new(DELAY, &[("a", 2)], &["w1", "w2"]);
    group.settle();
    group.leave("w2");
    group.plan();
    let plan = group.round();
    assert_eq!(plan.delay, Duration::ZERO);
    assert!(group.complete(), "{group}");
}

/// A new leader knows nothing of the delay.
#[test]
fn a_new_leader_assigns_lost_work_at_once() {
    let mut group = Group::new(DELAY, &[("a", 2)], &["w1", "w2"]);
    group.settle();
    group.leave("w1");
    group.leader = Cooperative::new(DELAY);
    assert_eq!(group.round().delay, Duration::ZERO);
    assert!(group.complete(), "{group}");
}

/// A member did not hear what to start. Nobody left, so it is assigned again without a delay.
#[test]
fn an_assignment_that_was_not_heard_is_repeated() {
    let mut group = Group::new(DELAY, &[("a", 4)], &["w1", "w2"]);
    group.settle();
    *group.running.get_mut("w2").unwrap() = Work::default();
    assert_eq!(group.settle(), Duration::ZERO);
    assert!(group.complete() && group.balanced(), "{group}");
}

/// A member did not hear what to stop. It is told again, and nothing runs twice meanwhile.
#[test]
fn a_revocation_that_was_not_heard_is_repeated() {
    let mut group = Group::new(DELAY, &[("a", 4)], &["w1"]);
    group.settle();
    group.join("w2");
    let plan = group.plan();
    group.completed = group.generation;
    assert_eq!(plan.revoked["w1"].tasks.len(), 2);
    let plan = group.round();
    assert!(plan.assigned.values().all(Work::is_empty), "{plan:?}");
    group.now += plan.delay;
    group.settle();
    group.now += group.leader.delay;
    group.settle();
    assert!(group.complete() && group.balanced(), "{group}");
}

/// Lost work goes to the one candidate, which then has more than its share: what it was to get is
/// taken away again before it started. It must join again all the same, for that to be handed out.
#[test]
fn work_is_revoked_that_was_never_started() {
    let mut group = Group::new(DELAY, &[("c0", 3), ("c1", 4)], &["w0"]);
    group.settle();
    group.join("w1");
    group.join("w2");
    group.leave("w0");
    assert_eq!(group.round().delay, DELAY);
    group.leave("w2");
    group.now += DELAY;
    group.join("w3");
    group.join("w4");
    let plan = group.round();
    assert!(!plan.revoked["w1"].is_empty(), "{plan:?}");
    assert_eq!(group.moved, 0);
    group.settle();
    assert!(group.complete() && group.balanced(), "{group}");
    assert_eq!(group.moved, 0);
}

#[test]
fn an_empty_configuration_gives_no_work() {
    let mut group = Group::new(DELAY, &[], &["w1", "w2"]);
    assert_eq!(group.settle(), Duration::ZERO);
    group.check("w1:\nw2:");
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Leave(u8),
    Configure(u8, u32),
    Delete(u8),
    Wait(u16),
    /// The leader is another worker now.
    Elect,
    /// A round that nobody heard the answer of.
    Unheard,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6_u8).prop_map(Step::Join),
        (0..6_u8).prop_map(Step::Leave),
        (0..5_u8, 0..7_u32).prop_map(|(connector, tasks)| Step::Configure(connector, tasks)),
        (0..5_u8).prop_map(Step::Delete),
        (0..400_u16).prop_map(Step::Wait),
        Just(Step::Elect),
        Just(Step::Unheard),
    ]
}

proptest! {
    // A failing case that is worth keeping becomes a test of its own.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, nothing runs twice on the way, and when things are quiet and the delays are
    /// over, everything runs once and evenly.
    #[test]
    fn a_group_always_settles(steps in prop::collection::vec(step(), 1..40), hasty: bool) {
        let delay_max = if hasty { Duration::ZERO } else { DELAY };
        let mut group = Group::new(delay_max, &[("c0", 3)], &["w0"]);
        for step in steps {
            match step {
                Step::Join(worker) if !group.running.contains_key(&format!("w{worker}")) => {
                    group.join(&format!("w{worker}"));
                }
                Step::Leave(worker) if group.running.len() > 1 => {
                    group.running.remove(&format!("w{worker}"));
                }
                Step::Configure(connector, tasks) => {
                    group.configured.tasks.insert(format!("c{connector}"), tasks);
                }
                Step::Delete(connector) => {
                    group.configured.tasks.remove(&format!("c{connector}"));
                }
                Step::Wait(seconds) => group.now += Duration::from_secs(seconds.into()),
                Step::Elect => group.leader = Cooperative::new(delay_max),
                Step::Unheard => { group.plan(); }
                Step::Join(_) | Step::Leave(_) => {}
            }
            group.round();
            prop_assert!(duplicated(&group.running).is_empty(), "{group}");
        }
        for _ in 0..12 {
            group.now += group.leader.delay.max(Duration::from_millis(1));
            group.settle();
        }
        prop_assert!(group.complete() && group.balanced(), "{group}");
    }
}
