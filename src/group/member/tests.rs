//! Against a coordinator that answers what the test wants, in the oldest version of each request.

use std::{
    collections::VecDeque,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::error::Kind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use super::*;
use crate::group::leader::{Configured, Leader};

const PATIENCE: Duration = Duration::from_secs(30);

const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const LEAVE_GROUP: i16 = 13;
const SYNC_GROUP: i16 = 14;
const API_VERSIONS: i16 = 18;

const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_SESSION_TIMEOUT: i16 = 26;
const REBALANCE_IN_PROGRESS: i16 = 27;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
const NOT_COORDINATOR: i16 = 16;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const MEMBER_ID_REQUIRED: i16 = 79;

#[derive(Default)]
struct Script {
    /// Errors to answer before things go well.
    errors: Mutex<Vec<(i16, VecDeque<i16>)>>,
    /// The keys and member ids of the requests so far.
    seen: Mutex<Vec<(i16, String)>>,
    generations: AtomicUsize,
    /// Metadata of another member that is always there.
    other: Option<Bytes>,
    /// What sync answers instead of what the leader sent.
    assignment: Option<Bytes>,
}

impl Script {
    fn fail(&self, key: i16, errors: &[i16]) {
        self.errors.lock().unwrap().push((key, errors.iter().copied().collect()));
    }

    fn error(&self, key: i16) -> i16 {
        let mut errors = self.errors.lock().unwrap();
        let mut left = errors.iter_mut().filter(|(failing, _)| *failing == key);
        left.find_map(|(_, errors)| errors.pop_front()).unwrap_or(0)
    }

    /// What was asked, in short, without the heartbeats.
    fn seen(&self) -> String {
        let seen = self.seen.lock().unwrap();
        let words = seen.iter().filter_map(|(key, member)| match *key {
            FIND_COORDINATOR => Some("find".to_owned()),
            JOIN_GROUP => Some(format!("join({member})")),
            SYNC_GROUP => Some(format!("sync({member})")),
            LEAVE_GROUP => Some(format!("leave({member})")),
            _ => None,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn text(body: &mut Bytes) -> String {
    let length = body.get_i16();
    let text = body.split_to(usize::try_from(length).unwrap());
    String::from_utf8(text.to_vec()).unwrap()
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap());
    out.put_slice(text.as_bytes());
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap());
    out.put_slice(bytes);
}

/// The body of the answer to one request.
fn answer(script: &Script, port: u16, key: i16, mut body: Bytes) -> BytesMut {
    let mut out = BytesMut::new();
    let error = script.error(key);
    out.put_i16(error);
    let mut member = String::new();
    match key {
        API_VERSIONS => {
            out.put_i32(5);
            for key in FIND_COORDINATOR..=SYNC_GROUP {
                out.put_i16(key);
                out.put_i32(0);
            }
        }
        FIND_COORDINATOR => {
            out.put_i32(1);
            put_text(&mut out, "127.0.0.1");
            out.put_i32(port.into());
        }
        JOIN_GROUP => {
            let _group = text(&mut body);
            let _session = body.get_i32();
            member = text(&mut body);
            assert_eq!(text(&mut body), "connect");
            let offers = body.get_i32();
            let (first, metadata) = (text(&mut body), {
                let length = usize::try_from(body.get_i32()).unwrap();
                body.split_to(length)
            });
            assert_eq!((offers, first.as_str()), (3, "sessioned"));
            let given = match (error, member.as_str()) {
                (MEMBER_ID_REQUIRED, _) => "given",
                (0, "") => "fresh",
                (_, member) => member,
            };
            let generation = script.generations.fetch_add(1, Ordering::SeqCst);
            out.put_i32(i32::try_from(generation).unwrap());
            for name in [&first, given, given] {
                put_text(&mut out, name);
            }
            out.put_i32(1 + i32::from(script.other.is_some()));
            put_text(&mut out, given);
            put_bytes(&mut out, &metadata);
            if let Some(other) = &script.other {
                put_text(&mut out, "other");
                put_bytes(&mut out, other);
            }
        }
        SYNC_GROUP => {
            let _group = text(&mut body);
            let _generation = body.get_i32();
            member = text(&mut body);
            let mut mine = Bytes::new();
            for _ in 0..body.get_i32() {
                let id = text(&mut body);
                let length = usize::try_from(body.get_i32()).unwrap();
                let assignment = body.split_to(length);
                if id == member {
                    mine = assignment;
                }
            }
            put_bytes(&mut out, script.assignment.as_ref().unwrap_or(&mine));
        }
        LEAVE_GROUP => {
            let _group = text(&mut body);
            member = text(&mut body);
        }
        _ => {}
    }
    script.seen.lock().unwrap().push((key, member));
    out
}

async fn serve(script: Arc<Script>, port: u16, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let length = stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut frame).await?;
        let mut body = Bytes::from(frame);
        let (key, _version, correlation) = (body.get_i16(), body.get_i16(), body.get_i32());
        let _client = text(&mut body);
        let answer = answer(&script, port, key, body);
        stream.write_i32(i32::try_from(answer.len() + 4).unwrap()).await?;
        stream.write_i32(correlation).await?;
        stream.write_all(&answer).await?;
    }
}

/// Counts what a member is told.
#[derive(Default)]
struct Answers([AtomicUsize; 3]);

impl Answers {
    /// Joins, syncs, heartbeats.
    fn seen(&self) -> [usize; 3] {
        self.0.each_ref().map(|count| count.load(Ordering::SeqCst))
    }
}

impl Observer for Answers {
    fn joined(&self, _took: Duration) {
        self.0[0].fetch_add(1, Ordering::SeqCst);
    }

    fn synced(&self, _took: Duration) {
        self.0[1].fetch_add(1, Ordering::SeqCst);
    }

    fn heartbeat(&self, _took: Duration) {
        self.0[2].fetch_add(1, Ordering::SeqCst);
    }
}

/// A broker that lasts as long as this does.
struct Broker {
    script: Arc<Script>,
    answers: Arc<Answers>,
    address: String,
    _tasks: JoinSet<()>,
}

impl Broker {
    async fn start(script: Script, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        let shared = Arc::clone(&script);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&shared);
                streams.spawn(async move { drop(serve(script, address.port(), stream).await) });
            }
        });
        Self { script, answers: Arc::default(), address: address.to_string(), _tasks: tasks }
    }

    fn member(&self) -> Member {
        Member::new(Settings {
            bootstrap_servers: vec![self.address.clone()],
            security: Security::none(),
            group_id: "g".into(),
            client_id: "test".into(),
            protocol: Protocol::Sessioned,
            session_timeout: Duration::from_millis(600),
            rebalance_timeout: Duration::from_secs(20),
            heartbeat_interval: Duration::from_millis(200),
            request_timeout: Duration::from_secs(20),
            retry_backoff: Duration::from_millis(10),
            observer: self.answers.clone(),
        })
    }
}

struct Assigner(Leader, Vec<Election>);

#[async_trait]
impl LeaderAssign for Assigner {
    async fn assign(&mut self, election: &Election) -> Result<BTreeMap<String, Assignment>> {
        self.1.push(election.clone());
        let tasks = BTreeMap::from([("c".to_owned(), 1)]);
        let configured = Configured { offset: 9, tasks };
        Ok(self.0.assign(election, &configured, Duration::ZERO).assignments)
    }
}

fn assigner() -> Assigner {
    Assigner(Leader::new(Duration::ZERO), Vec::new())
}

async fn join(member: &mut Member) -> Result<Round> {
    let joining = Joining { url: "http://w/".into(), config_offset: 9, running: None };
    timeout(PATIENCE, member.join(&joining, &mut assigner())).await.expect("in time")
}

#[tokio::test]
async fn a_member_gets_past_what_a_coordinator_says() {
    let broker = Broker::start(Script::default(), "127.0.0.1:0").await;
    let script = &broker.script;
    let load = COORDINATOR_LOAD_IN_PROGRESS;
    script.fail(JOIN_GROUP, &[MEMBER_ID_REQUIRED, NOT_COORDINATOR, load, UNKNOWN_MEMBER_ID]);
    script.fail(SYNC_GROUP, &[REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID]);
    let mut member = broker.member();
    let round = join(&mut member).await.unwrap();
    assert_eq!((round.leads(), round.member_id.as_str()), (true, "fresh"));
    assert_eq!(round.assignment.work.tasks.len(), 1);
    assert_eq!(
        script.seen(),
        "find join() join(given) find join(given) join(given) join() sync(fresh) join(fresh) \
         sync(fresh) join() sync(fresh)"
    );
    member.leave("the test ends").await.unwrap();
    assert!(script.seen().ends_with("leave(fresh)"), "{}", script.seen());
    // There is nothing to leave any more.
    member.leave("once more").await.unwrap();
    assert!(script.seen().ends_with("sync(fresh) leave(fresh)"), "{}", script.seen());
}

#[tokio::test]
async fn what_a_person_must_mend_ends_the_join() {
    for (key, error, hint) in [
        (FIND_COORDINATOR, GROUP_AUTHORIZATION_FAILED, "an ACL"),
        (JOIN_GROUP, INVALID_SESSION_TIMEOUT, "group.min.session.timeout.ms"),
        (SYNC_GROUP, GROUP_AUTHORIZATION_FAILED, "an ACL"),
    ] {
        let broker = Broker::start(Script::default(), "127.0.0.1:0").await;
        broker.script.fail(key, &[error]);
        let mut member = broker.member();
        let error = join(&mut member).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Fatal);
        assert!(error.to_string().contains(hint), "{error}");
        assert!(matches!(member.event().await, Event::Lost(_)), "nobody keeps the session alive");
    }
}

#[tokio::test]
async fn what_never_passes_is_told_in_the_end() {
    let script = Script { assignment: Some(Bytes::from_static(b"?")), ..Script::default() };
    let broker = Broker::start(script, "127.0.0.1:0").await;
    let error = join(&mut broker.member()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Retriable);
    assert!(error.trace().contains("an assignment that cannot be read"), "{}", error.trace());
}

#[tokio::test]
async fn events_of_the_heartbeat() {
    let broker = Broker::start(Script::default(), "127.0.0.1:0").await;
    let mut member = broker.member();
    assert!(matches!(member.event().await, Event::Lost(_)), "it has not joined");
    join(&mut member).await.unwrap();
    broker.script.fail(HEARTBEAT, &[0, REBALANCE_IN_PROGRESS]);
    let event = timeout(PATIENCE, member.event()).await.unwrap();
    assert_eq!(event, Event::Rebalance);
    assert_eq!(timeout(PATIENCE, member.event()).await.unwrap(), Event::Rebalance);
    join(&mut member).await.unwrap();
    broker.script.fail(HEARTBEAT, &[NOT_COORDINATOR, 0, UNKNOWN_MEMBER_ID]);
    let event = timeout(PATIENCE, member.event()).await.unwrap();
    assert!(matches!(event, Event::Lost(_)), "{event:?}");
    assert!(broker.script.seen().ends_with("sync(fresh) find"), "{}", broker.script.seen());
}

/// A broker that dies is looked for; when it comes back in time nothing happens, and when it does
/// not the worker is told to stop.
#[tokio::test]
async fn a_coordinator_that_dies() {
    let broker = Broker::start(Script::default(), "127.0.0.1:0").await;
    let mut member = broker.member();
    join(&mut member).await.unwrap();
    let address = broker.address.clone();
    drop(broker);
    let event = timeout(PATIENCE, member.event()).await.unwrap();
    let Event::Unreachable(why) = event else { panic!("{event:?}") };
    assert!(why.contains("the coordinator of group g was not found within 200 ms"), "{why}");
    assert!(why.contains(&format!("connecting to Kafka at {address} failed")), "{why}");
    let error = join(&mut member).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Retriable);

    let broker = Broker::start(Script::default(), &address).await;
    let round = join(&mut member).await.unwrap();
    assert_eq!(round.member_id, "fresh", "it asks under the id it had");
    assert!(broker.script.seen().starts_with("find join(fresh)"), "{}", broker.script.seen());
}

/// It is left without work, and the others work.
#[tokio::test]
async fn a_member_with_unreadable_metadata() {
    let script = Script { other: Some(Bytes::from_static(&[0, 2, 9])), ..Script::default() };
    let broker = Broker::start(script, "127.0.0.1:0").await;
    let round = join(&mut broker.member()).await.unwrap();
    assert_eq!(round.members.unwrap().into_keys().collect::<Vec<_>>(), ["fresh"]);
    assert_eq!(round.assignment.work.tasks.len(), 1);
}

/// The leader hears what the members run, and which round it completed.
#[tokio::test]
async fn the_allocation_is_told() {
    let broker = Broker::start(Script::default(), "127.0.0.1:0").await;
    let mut member = broker.member();
    let mut assigner = assigner();
    let mut running = None;
    for _ in 0..3 {
        let joining = Joining { url: "http://w/".into(), config_offset: 9, running };
        let round = timeout(PATIENCE, member.join(&joining, &mut assigner)).await.unwrap().unwrap();
        let mut work = joining.running.unwrap_or_default();
        work.add(&round.assignment.work);
        running = Some(work);
    }
    let told = |election: &Election| election.members["fresh"].running();
    let completed: Vec<_> = assigner.1.iter().map(|election| election.completed).collect();
    assert_eq!(completed, [-1, 0, 1]);
    assert!(assigner.1[0].members["fresh"].allocation.is_none());
    assert_eq!(Some(told(&assigner.1[1])), running);
    assert_eq!(Some(told(&assigner.1[2])), running);
    let allocation = assigner.1[2].members["fresh"].allocation.clone().unwrap();
    assert_eq!((allocation.leader.as_str(), allocation.config_offset), ("fresh", 9));
}

/// What the broker refuses is no join and no sync; a heartbeat is one whatever the answer.
#[tokio::test]
async fn answers_are_told() {
    let script = Script::default();
    script.fail(JOIN_GROUP, &[MEMBER_ID_REQUIRED]);
    script.fail(SYNC_GROUP, &[REBALANCE_IN_PROGRESS]);
    script.fail(HEARTBEAT, &[0, REBALANCE_IN_PROGRESS]);
    let broker = Broker::start(script, "127.0.0.1:0").await;
    let mut member = broker.member();
    join(&mut member).await.unwrap();
    assert_eq!(broker.answers.seen()[..2], [2, 1]);
    timeout(PATIENCE, member.event()).await.unwrap();
    assert!(broker.answers.seen()[2] >= 2, "{:?}", broker.answers.seen());
}
