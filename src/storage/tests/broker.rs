//! Against the broker that `RIVERRUN_TEST_KAFKA` names.

use std::{
    env,
    io::{Write as _, stderr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use model::connector::{Object, Props};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{
    herder::{RawConfig, Target},
    runtime::{OffsetStore as _, State},
    storage::{
        Change, ConfigStore, KafkaLog, OffsetTopic, RestartRequest, SessionKey, Status,
        StatusStore, TopicStatus, log::Which,
    },
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A worker with topics of its own on the broker, or a word that the test was skipped.
struct Worker(Props);

impl Worker {
    fn new(test: &str) -> Option<Self> {
        let servers = env::var("RIVERRUN_TEST_KAFKA").ok().filter(|servers| !servers.is_empty());
        let Some(servers) = servers else {
            // Past the test runner's capture, so that it can be counted.
            writeln!(stderr(), "skipped: storage::{test}: RIVERRUN_TEST_KAFKA is not set").unwrap();
            return None;
        };
        Some(Self::at(&servers))
    }

    fn at(servers: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let topic =
            |of: &str| format!("storage-test-{started}-{}-{number}-{of}", std::process::id());
        let props = [
            ("bootstrap.servers", servers.to_owned()),
            ("group.id", "storage-test".to_owned()),
            ("config.storage.topic", topic("configs")),
            ("config.storage.replication.factor", "1".to_owned()),
            ("offset.storage.topic", topic("offsets")),
            ("offset.storage.replication.factor", "1".to_owned()),
            ("offset.storage.segment.bytes", "1048576".to_owned()),
            ("status.storage.topic", topic("statuses")),
            ("status.storage.replication.factor", "-1".to_owned()),
            ("status.storage.partitions", "3".to_owned()),
        ];
        Self(props.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    fn topic(&self, prefix: &str) -> &str {
        &self.0[&format!("{prefix}.storage.topic")]
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.0["bootstrap.servers"]);
        client
    }

    /// Creates a topic as somebody else might.
    async fn create(&self, topic: &str, partitions: i32, policy: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let wanted = wanted.set("cleanup.policy", policy);
        let created = admin.create_topics([&wanted], &AdminOptions::new()).await.unwrap();
        assert_eq!(created, [Ok(topic.to_owned())]);
    }

    /// All records of a topic as they are, in the order of their partitions.
    async fn records(&self, which: Which) -> Vec<(i32, String, Option<String>)> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let writing = seen.clone();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let log = KafkaLog::open(&self.0, which, move |record| {
            let (key, value) = (record.key.map(text), record.value.map(text));
            writing.lock().unwrap().push((record.partition, key.unwrap(), value));
        });
        let log = log.await.unwrap();
        log.close(PATIENCE).await;
        let mut records = seen.lock().unwrap().clone();
        records.sort_by_key(|(partition, ..)| *partition);
        records
    }
}

fn config(entries: &[(&str, Option<&str>)]) -> RawConfig {
    let own = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
    entries.iter().map(own).collect()
}

fn object(text: &str) -> Object {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_written_and_read_back() {
    let Some(worker) = Worker::new("configs_are_written_and_read_back") else { return };
    let (store, mut changes) = ConfigStore::open(&worker.0).await.unwrap();
    assert_eq!(store.snapshot().offset(), -1);
    let given = config(&[("tasks.max", Some("2")), ("b", None), ("name", Some("c\u{1f}ü"))]);
    store.put_connector("c", &given, Some(Target::Stopped)).await.unwrap();
    let snapshot = store.snapshot();
    assert_eq!((snapshot.offset(), snapshot.target("c")), (2, Some(Target::Stopped)));
    assert_eq!(snapshot.connector("c").unwrap().props(), given.props());
    store.put_target("c", Target::Running).await.unwrap();
    let tasks =
        [config(&[("task.class", Some("T")), ("n", Some("0"))]), config(&[("n", Some("1"))])];
    store.put_tasks("c", &tasks).await.unwrap();
    assert_eq!(store.snapshot().task_configs("c").len(), 2);
    store.put_fencing("c", 2).await.unwrap();
    let key = SessionKey { key: vec![0, 1, 2], algorithm: "HmacSHA256".into(), created_ms: 7 };
    store.put_session_key(&key).await.unwrap();
    let request = RestartRequest { connector: "c".into(), include_tasks: true, only_failed: false };
    store.put_restart(&request).await.unwrap();
    store.put_logger("org.x", "DEBUG").await.unwrap();
    store.put_tasks("c", &[]).await.unwrap();
    store.put_connector("d", &config(&[]), None).await.unwrap();
    store.delete_connector("d").await.unwrap();
    store.refresh(PATIENCE).await.unwrap();
    let c = || "c".to_owned();
    for change in [
        Change::ConnectorAdded(c()),
        Change::TargetState(c()),
        Change::TasksCommitted { connector: c(), tasks: vec![0, 1] },
        Change::SessionKey(key.clone()),
        Change::Restart(request),
        Change::Logger { namespace: "org.x".into(), level: "DEBUG".into() },
        Change::TasksCommitted { connector: c(), tasks: vec![] },
        Change::ConnectorAdded("d".into()),
        Change::ConnectorRemoved("d".into()),
    ] {
        assert_eq!(changes.try_recv().unwrap().change, change);
    }
    let before = store.snapshot();
    store.close(PATIENCE).await;

    let expected = [
        ("target-state-c", Some(r#"{"state":"PAUSED","state.v2":"STOPPED"}"#)),
        ("connector-c", Some(r#"{"properties":{"tasks.max":"2","b":null,"name":"c\u001Fü"}}"#)),
        ("target-state-c", Some(r#"{"state":"STARTED","state.v2":"STARTED"}"#)),
        ("task-c-0", Some(r#"{"properties":{"task.class":"T","n":"0"}}"#)),
        ("task-c-1", Some(r#"{"properties":{"n":"1"}}"#)),
        ("commit-c", Some(r#"{"tasks":2}"#)),
        ("tasks-fencing-c", Some(r#"{"task-count":2}"#)),
        ("session-key", Some(r#"{"key":"AAEC","algorithm":"HmacSHA256","creation-timestamp":7}"#)),
        ("restart-connector-c", Some(r#"{"include-tasks":true,"only-failed":false}"#)),
        ("logger-cluster-org.x", Some(r#"{"level":"DEBUG"}"#)),
        ("commit-c", Some(r#"{"tasks":0}"#)),
        ("connector-d", Some(r#"{"properties":{}}"#)),
        ("connector-d", None),
        ("target-state-d", None),
    ];
    let expected = expected.map(|(key, value)| (0, key.to_owned(), value.map(str::to_owned)));
    assert_eq!(worker.records(Which::Configs).await, expected);

    // A worker that starts: all is in the snapshot, and nothing old is told again.
    let (store, mut changes) = ConfigStore::open(&worker.0).await.unwrap();
    assert!(store.snapshot() == before, "a restart changes nothing");
    // Another worker of the group.
    let (other, _others) = ConfigStore::open(&worker.0).await.unwrap();
    other.put_target("c", Target::Paused).await.unwrap();
    let change = tokio::time::timeout(PATIENCE, changes.recv()).await.unwrap();
    let change = change.unwrap();
    assert_eq!(
        (change.offset, change.change),
        (store.snapshot().offset(), Change::TargetState(c()))
    );
    assert_eq!(store.snapshot().target("c"), Some(Target::Paused));
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_written_and_read_back() {
    let Some(worker) = Worker::new("offsets_are_written_and_read_back") else { return };
    // Where the JVM's producer puts these keys among 25 partitions.
    let recorded = [
        (17, r#"["maria",{"server":"mariademo"}]"#, r#"{"pos":1}"#),
        (19, r#"["pg",{"server":"pgdemo"}]"#, r#"{"lsn":27078112,"f":1.0E10}"#),
    ];
    let store = OffsetTopic::open(&worker.0).await.unwrap();
    assert_eq!(store.read("pg", &object(r#"{"server":"pgdemo"}"#)).await.unwrap(), None);
    store
        .write(
            "pg",
            vec![(object(r#"{"server":"pgdemo"}"#), Some(object(r#"{"lsn":27078112,"f":1e10}"#)))],
        )
        .await
        .unwrap();
    store
        .write("maria", vec![(object(r#"{"server":"mariademo"}"#), Some(object(recorded[0].2)))])
        .await
        .unwrap();
    let expected = recorded.map(|(p, key, value)| (p, key.to_owned(), Some(value.to_owned())));
    assert_eq!(worker.records(Which::Offsets).await, expected);

    let (ab, ba) = (object(r#"{"a":"1","b":2}"#), object(r#"{"b":2,"a":"1"}"#));
    let offset = |n: i64| object(&format!(r#"{{"n":{n}}}"#));
    let others = object(r#"{"a":"2"}"#);
    let entries = vec![(ab.clone(), Some(offset(1))), (others.clone(), Some(offset(5)))];
    store.write("c", entries).await.unwrap();
    store.close(PATIENCE).await;

    let store = OffsetTopic::open(&worker.0).await.unwrap();
    assert_eq!(store.read("c", &ba).await.unwrap(), Some(offset(1)));
    store.write("c", vec![(ba.clone(), Some(offset(2))), (others, None)]).await.unwrap();
    // Another worker reads what this one has just written.
    let other = OffsetTopic::open(&worker.0).await.unwrap();
    assert_eq!(other.list("c").await.unwrap(), [(ab.clone(), offset(2))]);
    other.write("c", vec![(ba, Some(offset(3)))]).await.unwrap();
    assert_eq!(store.read("c", &ab).await.unwrap(), Some(offset(3)));
    let mut keys: Vec<String> =
        worker.records(Which::Offsets).await.into_iter().map(|(_, key, _)| key).collect();
    keys.retain(|key| key.starts_with(r#"["c""#));
    keys.dedup();
    keys.sort();
    assert_eq!(keys, [r#"["c",{"a":"1","b":2}]"#, r#"["c",{"a":"2"}]"#], "one form of each key");

    let producer: BaseProducer = worker.client().create().unwrap();
    let topic = worker.topic("offset");
    producer.send(BaseRecord::to(topic).key(r#"["c",{"a":"1","b":2}]"#).payload("[")).unwrap();
    producer.flush(PATIENCE).unwrap();
    let error = store.read("c", &ab).await.unwrap_err().trace();
    assert!(error.contains(r#"connector c for partition {"a":"1","b":2}"#), "{error}");
    store.write("c", vec![(ab.clone(), None)]).await.unwrap();
    assert_eq!(store.read("c", &ab).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_written_and_read_back() {
    let Some(worker) = Worker::new("statuses_are_written_and_read_back") else { return };
    let status = |state, worker: &str, generation| Status {
        state,
        trace: (state == State::Failed).then(|| "it broke\n\tat home".to_owned()),
        worker_id: worker.to_owned(),
        generation,
        version: Some("1".to_owned()),
    };
    let (a, b) =
        (StatusStore::open(&worker.0).await.unwrap(), StatusStore::open(&worker.0).await.unwrap());
    a.put_connector("c", status(State::Running, "a:1", 1));
    for task in 0..3 {
        a.put_task("c", task, status(State::Running, "a:1", 1));
    }
    let topic = TopicStatus {
        topic: "t".into(),
        connector: "c".into(),
        task: 2,
        discovered_ms: 1_700_000_000_000,
    };
    a.put_topic(&topic);
    // Each store reads what the other has written, once that is sent.
    let seen = async |store: &StatusStore, what: &str, seen: &dyn Fn(&StatusStore) -> bool| {
        let reading = async {
            while !seen(store) {
                store.refresh(PATIENCE).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{what}"));
    };
    seen(&b, "all of a's", &|b| b.connector("c").is_some() && b.tasks("c").len() == 3).await;
    seen(&b, "the topic", &|b| b.topic("c", "t") == Some(topic.clone())).await;
    b.put_task("c", 0, status(State::Running, "b:1", 2));
    b.put_task_safe("c", 1, status(State::Failed, "b:1", 1));
    seen(&a, "b's", &|a| {
        a.task("c", 0).is_some_and(|status| status.generation == 2)
            && a.task("c", 1).is_some_and(|status| status.state == State::Failed)
    })
    .await;
    // Task 0 is b's now: a's last word comes too late, unless it is not asked to be careful.
    a.put_task_safe("c", 0, status(State::Unassigned, "a:1", 1));
    a.put_task_safe("c", 2, status(State::Paused, "a:1", 1));
    seen(&b, "a's last", &|b| b.task("c", 2).unwrap().state == State::Paused).await;
    assert_eq!(b.task("c", 0), Some(status(State::Running, "b:1", 2)));
    b.remove_task("c", 2, 2);
    b.remove_topic("c", "t");
    seen(&a, "a removal", &|a| a.tasks("c").len() == 2 && a.topics("c").is_empty()).await;
    a.close(PATIENCE).await;
    b.close(PATIENCE).await;

    let a = StatusStore::open(&worker.0).await.unwrap();
    assert_eq!(a.connectors(), ["c"]);
    assert_eq!(a.task("c", 1).unwrap().trace.as_deref(), Some("it broke\n\tat home"));
    a.remove_connector("c", 3);
    seen(&a, "the end", &|a| a.connectors().is_empty()).await;
    let records = worker.records(Which::Statuses).await;
    assert!(records.iter().any(|(partition, ..)| *partition > 0), "3 partitions");
    let task = |key: &str| {
        let of = records.iter().filter(|(_, found, _)| found == key);
        of.map(|(_, _, value)| value.clone().unwrap_or_else(|| "null".into())).collect::<Vec<_>>()
    };
    assert_eq!(
        task("status-task-c-0"),
        [
            r#"{"state":"RUNNING","trace":null,"worker_id":"a:1","generation":1,"version":"1"}"#,
            r#"{"state":"RUNNING","trace":null,"worker_id":"b:1","generation":2,"version":"1"}"#,
        ]
    );
    assert_eq!(
        task("status-topic-t:connector-c"),
        [
            r#"{"topic":{"name":"t","connector":"c","task":2,"discoverTimestamp":1700000000000}}"#,
            "null",
        ]
    );
}

/// The last word of a worker that is cut off is not on its way while others speak: through a broken
/// network it could arrive after theirs.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_of_a_worker_that_is_cut_off() {
    let Some(worker) = Worker::new("the_last_word_of_a_worker_that_is_cut_off") else { return };
    let status = |state, worker: &str, generation| Status {
        state,
        trace: None,
        worker_id: worker.to_owned(),
        generation,
        version: None,
    };
    let (a, b) =
        (StatusStore::open(&worker.0).await.unwrap(), StatusStore::open(&worker.0).await.unwrap());
    a.cut_off(true);
    let said = async |task: usize| {
        let told = async {
            while a.tells_of_task("c", task) {
                a.refresh(PATIENCE).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("a's word is sent or outdated");
    };
    // The first pause before a's word is 100 ms; where b needed longer, nothing is said by it.
    let mut decided = 0;
    for task in 0..8 {
        a.put_task_safe("c", task, status(State::Unassigned, "a:1", 1));
        let begun = std::time::Instant::now();
        b.put_task("c", task, status(State::Running, "b:1", 2));
        b.flush(PATIENCE).await;
        let quick = begun.elapsed() < Duration::from_millis(80);
        said(task).await;
        if quick {
            decided += 1;
            let key = format!("status-task-c-{task}");
            let records = worker.records(Which::Statuses).await;
            let words: Vec<_> = records.iter().filter(|(_, found, _)| *found == key).collect();
            assert_eq!(words.len(), 1, "only b's: {words:?}");
        }
    }
    assert!(decided > 0, "b never spoke within 80 ms");
    // Where nobody else has spoken, it is said all the same.
    a.put_task_safe("c", 100, status(State::Unassigned, "a:1", 1));
    said(100).await;
    let records = worker.records(Which::Statuses).await;
    assert!(records.iter().any(|(_, key, _)| key == "status-task-c-100"), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfit_topics_are_refused() {
    let Some(worker) = Worker::new("unfit_topics_are_refused") else { return };
    let statuses = worker.topic("status");
    worker.create(statuses, 1, "compact,delete").await;
    let error = StatusStore::open(&worker.0).await.err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "Topic '{statuses}' supplied via the 'status.storage.topic' property is required to \
             have 'cleanup.policy=compact' to guarantee consistency and durability of connector \
             and task statuses, but found the topic currently has \
             'cleanup.policy=compact,delete'. Continuing would likely result in eventually losing \
             connector and task statuses and problems restarting this Connect cluster in the \
             future. Change the 'status.storage.topic' property in the Connect worker \
             configurations to use a topic with 'cleanup.policy=compact'."
        )
    );
    let configs = worker.topic("config");
    worker.create(configs, 2, "compact").await;
    let error = ConfigStore::open(&worker.0).await.err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "Topic '{configs}' supplied via the 'config.storage.topic' property is required to \
             have a single partition in order to guarantee consistency of connector \
             configurations, but found 2 partitions."
        )
    );
    let mut few = worker.0.clone();
    few.insert("offset.storage.replication.factor".into(), "7".into());
    few.insert("default.api.timeout.ms".into(), "500".into());
    let error = OffsetTopic::open(&few).await.err().unwrap().to_string();
    assert!(error.contains("with 25 partitions, 7 replicas and cleanup.policy=compact"), "{error}");
    assert!(error.contains("set offset.storage.replication.factor"), "{error}");
    let mut wrong = worker.0.clone();
    wrong.insert("offset.storage.no.such.key".into(), "1".into());
    let error = OffsetTopic::open(&wrong).await.err().unwrap().to_string();
    assert!(error.starts_with("failed to create topic"), "{error}");
}

/// The mark of a transaction's end is the last thing in the log, and no record.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_with_a_transaction() {
    let Some(worker) = Worker::new("a_log_that_ends_with_a_transaction") else { return };
    let topic = worker.topic("config").to_owned();
    worker.create(&topic, 1, "compact").await;
    let mut client = worker.client();
    client.set("transactional.id", &topic);
    let producer: BaseProducer = client.create().unwrap();
    let producer = tokio::task::spawn_blocking(move || {
        producer.init_transactions(PATIENCE).unwrap();
        producer
    });
    let producer = Arc::new(producer.await.unwrap());
    let send = move |key: &'static str| {
        let (producer, topic) = (producer.clone(), topic.clone());
        async move {
            let sent = tokio::task::spawn_blocking(move || {
                producer.begin_transaction().unwrap();
                let value = r#"{"properties":{}}"#;
                producer.send(BaseRecord::to(&topic).key(key).payload(value)).unwrap();
                producer.commit_transaction(PATIENCE).unwrap();
                // The mark is written after the answer.
                let high = || {
                    let client = producer.client();
                    client.fetch_watermarks(&topic, 0, PATIENCE).map_or(1, |(_, high)| high)
                };
                while high() % 2 == 1 {}
            });
            sent.await.unwrap();
        }
    };
    send("connector-a").await;
    let (store, _changes) = ConfigStore::open(&worker.0).await.unwrap();
    assert!(store.snapshot().contains("a"));
    send("connector-b").await;
    store.refresh(PATIENCE).await.unwrap();
    assert!(store.snapshot().contains("b"));
    assert_eq!(store.snapshot().offset(), 3, "the JVM does not count the marks either");
    store.refresh(PATIENCE).await.unwrap();
}

/// Nothing listens on port 1.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_kafka_is_named() {
    let mut worker = Worker::at("127.0.0.1:1");
    worker.0.insert("default.api.timeout.ms".into(), "500".into());
    let error = ConfigStore::open(&worker.0).await.err().unwrap().trace();
    let topic = worker.topic("config");
    assert!(
        error.starts_with(&format!("failed to create topic {topic} with 1 partitions")),
        "{error}"
    );
    assert!(error.contains("on Kafka 127.0.0.1:1 within 500 ms"), "{error}");
}
