//! Members of real groups: on the broker whose address `RIVERRUN_TEST_KAFKA` holds.

use std::{
    collections::BTreeMap,
    env,
    io::{Write, stderr},
    time::Duration,
};

use async_trait::async_trait;
use kafka_protocol::{
    messages::{
        GroupId, JoinGroupRequest, LeaveGroupRequest, join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity,
    },
    protocol::StrBytes,
};
use model::error::{Kind, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{connection::Connection, *};
use crate::metrics::Metrics;

mod secure;

const PATIENCE: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_millis(300);

/// The broker, or a word on standard error that `test` was skipped.
fn kafka(test: &str) -> Option<String> {
    let found = env::var("RIVERRUN_TEST_KAFKA").ok().filter(|value| !value.is_empty());
    if found.is_none() {
        writeln!(stderr(), "skipped: {test}: RIVERRUN_TEST_KAFKA is not set").unwrap();
    }
    found
}

fn settings(broker: &str, group: &str, protocol: Protocol) -> Settings {
    Settings {
        bootstrap_servers: vec![broker.to_owned()],
        security: Security::none(),
        group_id: group.to_owned(),
        client_id: "connect-test".into(),
        protocol,
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        heartbeat_interval: HEARTBEAT,
        request_timeout: Duration::from_secs(40),
        retry_backoff: Duration::from_millis(100),
        observer: Metrics::new(&model::connector::Props::new(), "test").group().clone(),
    }
}

fn group_name() -> String {
    format!("connect-group-{}", Uuid::new_v4())
}

/// A worker that does what it is told and runs nothing.
struct Worker {
    member: Member,
    assigner: Assigner,
    url: String,
    running: Option<Work>,
}

struct Assigner {
    leader: Leader,
    configured: Configured,
    began: Instant,
}

#[async_trait]
impl LeaderAssign for Assigner {
    async fn assign(&mut self, election: &Election) -> Result<BTreeMap<String, Assignment>> {
        let now = self.began.elapsed();
        Ok(self.leader.assign(election, &self.configured, now).assignments)
    }
}

impl Worker {
    fn new(broker: &str, group: &str, name: &str, protocol: Protocol) -> Self {
        let tasks = BTreeMap::from([("a".to_owned(), 4), ("b".to_owned(), 4)]);
        Self {
            member: Member::new(settings(broker, group, protocol)),
            assigner: Assigner {
                leader: Leader::new(Duration::ZERO),
                configured: Configured { offset: 7, tasks },
                began: Instant::now(),
            },
            url: format!("http://{name}:8083/"),
            running: None,
        }
    }

    async fn try_join(&mut self) -> Result<Round> {
        let joining =
            Joining { url: self.url.clone(), config_offset: 7, running: self.running.clone() };
        let joined = timeout(PATIENCE, self.member.join(&joining, &mut self.assigner)).await;
        joined.expect("a round ends in time")
    }

    /// One round, and what follows from it.
    async fn join(&mut self) -> Round {
        let round = self.try_join().await.unwrap_or_else(|error| panic!("{}", error.trace()));
        let mut running = self.running.take().unwrap_or_default();
        if round.version == Version::V0 {
            running = round.assignment.work.clone();
        } else {
            running.remove(&round.assignment.revoked);
            running.add(&round.assignment.work);
        }
        self.running = Some(running);
        round
    }

    /// Joins as often as it is called to, until there is a round of `members` in which nobody must
    /// stop anything and then no call for two heartbeats.
    async fn settle(&mut self) -> Round {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{} does not settle", self.url);
            let round = self.join().await;
            let quiet = HEARTBEAT * 5;
            if !round.assignment.revoked.is_empty() {
                continue;
            }
            match timeout(quiet, self.member.event()).await {
                Ok(event) => assert_eq!(event, Event::Rebalance),
                Err(_) => return round,
            }
        }
    }

    /// Joins when it is called to.
    async fn called(&mut self) {
        assert_eq!(timeout(PATIENCE, self.member.event()).await.unwrap(), Event::Rebalance);
        self.join().await;
    }

    fn running(&self) -> Work {
        self.running.clone().unwrap_or_default()
    }
}

#[tokio::test]
async fn one_joins_a_second_takes_half_and_leaves() {
    let Some(broker) = kafka("one_joins_a_second_takes_half_and_leaves") else { return };
    let group = group_name();
    let mut first = Worker::new(&broker, &group, "w1", Protocol::Sessioned);
    let all = first.assigner.configured.work();
    let round = first.join().await;
    assert_eq!((round.version, round.leads()), (Version::V2, true));
    assert_eq!(round.assignment.leader, round.member_id);
    assert_eq!(round.assignment.leader_url, "http://w1:8083/");
    assert_eq!(round.assignment.config_offset, 7);
    assert_eq!(first.running(), all);

    let mut second = Worker::new(&broker, &group, "w2", Protocol::Sessioned);
    let (first_round, second_round) = tokio::join!(
        async {
            let called = timeout(PATIENCE, first.member.event()).await;
            assert_eq!(called.expect("a call to join"), Event::Rebalance);
            first.settle().await
        },
        second.settle()
    );
    assert_eq!(first_round.generation, second_round.generation);
    assert_eq!((first_round.leads(), second_round.leads()), (true, false));
    assert_eq!(second_round.assignment.leader_url, "http://w1:8083/");
    let urls: Vec<_> = first_round.members.expect("those of the leader").into_values().collect();
    assert_eq!(urls.len(), 2);
    assert!(urls.contains(&second.url), "{urls:?}");
    for worker in [&first, &second] {
        let running = worker.running();
        assert_eq!((running.connectors.len(), running.tasks.len()), (1, 4), "{}", worker.url);
    }
    assert!(first.running().common(&second.running()).is_empty());

    second.member.leave("the test ends").await.unwrap();
    assert_eq!(timeout(PATIENCE, first.member.event()).await.unwrap(), Event::Rebalance);
    let round = first.settle().await;
    assert!(round.leads());
    assert_eq!(first.running(), all);

    // One that left is nobody, and may come again.
    assert!(matches!(second.member.event().await, Event::Lost(_)));
    second.running = None;
    let (_, _) = tokio::join!(first.settle(), second.settle());
    assert_eq!(second.running().tasks.len(), 4);
}

/// All that happens at once: many join, the group settles, the leader leaves.
#[tokio::test]
async fn many_join_at_once_and_the_leader_leaves() {
    let Some(broker) = kafka("many_join_at_once_and_the_leader_leaves") else { return };
    let group = group_name();
    let names = ["w1", "w2", "w3", "w4"];
    let mut joining = JoinSet::new();
    for name in names {
        let mut worker = Worker::new(&broker, &group, name, Protocol::Compatible);
        joining.spawn(async move {
            let round = worker.settle().await;
            (worker, round)
        });
    }
    let mut workers = joining.join_all().await;
    let check = |workers: &[(Worker, Round)], size: usize| {
        let mut all = Work::default();
        for (worker, round) in workers {
            assert_eq!(round.version, Version::V1);
            let running = worker.running();
            assert!(running.common(&all).is_empty(), "{} runs what others run", worker.url);
            assert!(running.tasks.len() >= 8 / size, "{}: {running:?}", worker.url);
            all.add(&running);
        }
        assert_eq!(all, workers[0].0.assigner.configured.work());
        assert_eq!(workers.iter().filter(|(_, round)| round.leads()).count(), 1);
    };
    check(&workers, 4);
    let leader = workers.iter().position(|(_, round)| round.leads()).unwrap();
    let (mut leader, _) = workers.remove(leader);
    leader.member.leave("the test wants another leader").await.unwrap();
    let mut joining = JoinSet::new();
    for (mut worker, _) in workers {
        joining.spawn(async move {
            let round = worker.settle().await;
            (worker, round)
        });
    }
    check(&joining.join_all().await, 3);
}

/// A follower that joins again with nothing new to say is alone with that, unless it calls.
#[tokio::test]
async fn a_follower_calls_for_a_round() {
    let Some(broker) = kafka("a_follower_calls_for_a_round") else { return };
    let group = group_name();
    let mut first = Worker::new(&broker, &group, "w1", Protocol::Sessioned);
    first.join().await;
    let mut second = Worker::new(&broker, &group, "w2", Protocol::Sessioned);
    let (_, settled) = tokio::join!(first.settle(), second.settle());
    assert!(!settled.leads());
    // What it was given in its last round is what it runs now, and that is news.
    tokio::join!(second.join(), first.called());
    let alone = second.join().await;
    second.member.call_all();
    let (called, ()) = tokio::join!(second.join(), first.called());
    assert!(called.generation > alone.generation, "{called:?}");
    assert!(called.assignment.work.is_empty() && called.assignment.revoked.is_empty());
}

/// A worker that is to end does not wait for members that take their time to join.
#[tokio::test]
async fn one_leaves_a_round_that_others_have_not_joined_yet() {
    let Some(broker) = kafka("one_leaves_a_round_that_others_have_not_joined_yet") else { return };
    let group = group_name();
    let mut first = Worker::new(&broker, &group, "w1", Protocol::Sessioned);
    first.join().await;
    let mut second = Worker::new(&broker, &group, "w2", Protocol::Sessioned);
    tokio::select! {
        _ = second.try_join() => panic!("a round without one of its members"),
        // Called for by the second one, whose request waits at the broker now.
        event = first.member.event() => assert_eq!(event, Event::Rebalance),
    }
    let left = timeout(Duration::from_secs(10), second.member.leave("the test wants it")).await;
    left.expect("the broker hears of it at once").unwrap();
    let round = first.join().await;
    assert_eq!(round.members.map(|members| members.len()), Some(1));
}

/// A worker that knows only the eager protocol brings the group down to it.
#[tokio::test]
async fn an_eager_worker_makes_the_group_eager() {
    let Some(broker) = kafka("an_eager_worker_makes_the_group_eager") else { return };
    let group = group_name();
    let mut first = Worker::new(&broker, &group, "w1", Protocol::Sessioned);
    assert_eq!(first.join().await.version, Version::V2);
    let mut eager = Worker::new(&broker, &group, "w2", Protocol::Eager);
    let (round, _) = tokio::join!(first.settle(), eager.settle());
    assert_eq!(round.version, Version::V0);
    let mut all = first.running();
    assert!(all.common(&eager.running()).is_empty());
    all.add(&eager.running());
    assert_eq!(all, first.assigner.configured.work());
}

#[tokio::test]
async fn a_leader_behind_tells_everybody() {
    let Some(broker) = kafka("a_leader_behind_tells_everybody") else { return };
    let mut worker = Worker::new(&broker, &group_name(), "w1", Protocol::Sessioned);
    worker.assigner.configured.offset = 6;
    let round = worker.join().await;
    assert_eq!((round.assignment.error, round.assignment.config_offset), (1, 7));
    assert!(round.assignment.work.is_empty());
    worker.assigner.configured.offset = 7;
    assert_eq!(worker.join().await.assignment.error, 0);
    assert_eq!(worker.running(), worker.assigner.configured.work());
}

/// Somebody removes the member: it hears so, and comes back as a new one.
#[tokio::test]
async fn a_member_that_was_removed_hears_of_it() {
    let Some(broker) = kafka("a_member_that_was_removed_hears_of_it") else { return };
    let group = group_name();
    let mut worker = Worker::new(&broker, &group, "w1", Protocol::Sessioned);
    let before = worker.join().await;
    // There is one broker, so it is the coordinator.
    let other = Connection::open(&broker, "test", &Security::none(), PATIENCE).await.unwrap();
    let identity =
        MemberIdentity::default().with_member_id(StrBytes::from_string(before.member_id.clone()));
    let request = LeaveGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group)))
        .with_members(vec![identity]);
    assert_eq!(other.call(&request, PATIENCE).await.unwrap().error_code, 0);
    let event = timeout(PATIENCE, worker.member.event()).await.unwrap();
    assert!(matches!(event, Event::Lost(_)), "{event:?}");
    let after = worker.join().await;
    assert_ne!(before.member_id, after.member_id);
    assert_eq!(worker.running(), worker.assigner.configured.work());
}

/// A group of consumers is left alone, and the message says what to do.
#[tokio::test]
async fn a_group_of_consumers_is_refused() {
    let Some(broker) = kafka("a_group_of_consumers_is_refused") else { return };
    let group = group_name();
    // As the first and only member, a consumer.
    let other = Connection::open(&broker, "test", &Security::none(), PATIENCE).await.unwrap();
    let range = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let mut request = JoinGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.clone())))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![range]);
    request.member_id = other.call(&request, PATIENCE).await.unwrap().member_id;
    assert_eq!(other.call(&request, PATIENCE).await.unwrap().error_code, 0);
    let mut worker = Worker::new(&broker, &group, "w1", Protocol::Sessioned);
    let error = worker.try_join().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fatal);
    assert!(error.to_string().contains("choose another group.id"), "{error}");
}
