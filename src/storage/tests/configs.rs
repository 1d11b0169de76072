use std::sync::Arc;

use super::recorded;
use crate::{
    herder::{RawConfig, Target},
    storage::{Change, RestartRequest, Snapshot, config_state::ConfigState},
};

const RECORDED: &str = include_str!("../testdata/configs.jsonl");

/// A topic that is read as it grows. `None` is a tombstone.
struct Topic(ConfigState, i64);

impl Topic {
    fn new() -> Self {
        Self(ConfigState::new(), 0)
    }

    fn record(&mut self, key: &str, value: Option<&str>) -> Option<Change> {
        let change = self.0.apply(self.1, Some(key.as_bytes()), value.map(str::as_bytes));
        self.1 += 1;
        change
    }

    fn with(records: &[(&str, &str)]) -> Self {
        let mut topic = Self::new();
        for (key, value) in records {
            topic.record(key, (!value.is_empty()).then_some(value));
        }
        topic
    }

    /// Takes a record that changes nothing.
    fn skips(&mut self, key: &str, value: Option<&str>) {
        let mut before = self.now();
        assert_eq!(self.record(key, value), None, "{key} {value:?}");
        Arc::make_mut(&mut before).set_offset(self.now().offset());
        assert!(self.now() == before, "{key} {value:?}");
    }

    fn now(&self) -> Arc<Snapshot> {
        self.0.snapshot()
    }
}

const CONNECTOR: &str = r#"{"properties":{"name":"c"}}"#;
const TASK: &str = r#"{"properties":{"task.class":"T"}}"#;

#[test]
fn what_the_jvm_wrote() {
    let mut state = ConfigState::new();
    let mut told = Vec::new();
    for record in recorded(RECORDED) {
        let value = record.value.as_deref().map(str::as_bytes);
        told.extend(state.apply(record.offset, Some(record.key.as_bytes()), value));
    }
    let snapshot = state.snapshot();
    assert_eq!(snapshot.offset(), 30);
    let key = snapshot.session_key().unwrap();
    assert_eq!((key.key.len(), key.algorithm.as_str()), (32, "HmacSHA256"));
    assert_eq!(key.created_ms, 1_795_245_638_884);
    assert!(!format!("{key:?}").contains("137"), "a key is not printed: {key:?}");
    assert_eq!(snapshot.connectors().collect::<Vec<_>>(), ["maria", "pg"]);
    for name in ["maria", "pg"] {
        assert_eq!(snapshot.target(name), Some(Target::Running));
        assert_eq!(snapshot.tasks(name), 0..1);
        let connector = snapshot.connector(name).unwrap();
        assert_eq!(snapshot.applied(name), Some(connector));
        let task = snapshot.task(name, 0).unwrap();
        // The JVM made the task's configuration from the connector's, and wrote it in the order of
        // its map.
        let written = recorded(RECORDED).into_iter().rfind(|r| r.key == format!("task-{name}-0"));
        let order: Vec<&str> = task.iter().map(|(key, _)| key).collect();
        let written: serde_json::Value =
            serde_json::from_str(&written.unwrap().value.unwrap()).unwrap();
        let written = written["properties"].as_object().unwrap();
        assert_eq!(order, written.keys().collect::<Vec<_>>());
        let mut expected = (**connector).clone();
        expected.set("task.class", task.get("task.class").map(str::to_owned));
        assert_eq!(expected.props(), task.props());
    }
    // Stopped twice, deleted, made anew.
    let pg = |change: &&Change| {
        !matches!(change, Change::SessionKey(_)) && format!("{change:?}").contains("\"pg\"")
    };
    let told: Vec<String> = told.iter().filter(pg).map(|change| format!("{change:?}")).collect();
    assert_eq!(
        told,
        [
            r#"ConnectorAdded("pg")"#,
            r#"TasksCommitted { connector: "pg", tasks: [0] }"#,
            r#"ConnectorRemoved("pg")"#,
            r#"ConnectorAdded("pg")"#,
            r#"TasksCommitted { connector: "pg", tasks: [0] }"#,
            r#"TasksCommitted { connector: "pg", tasks: [] }"#,
            r#"TargetState("pg")"#,
            r#"TasksCommitted { connector: "pg", tasks: [] }"#,
            r#"ConnectorRemoved("pg")"#,
            r#"ConnectorAdded("pg")"#,
            r#"TasksCommitted { connector: "pg", tasks: [0] }"#,
        ]
    );
}

#[test]
fn keys_are_told_apart_by_their_beginnings() {
    let mut topic = Topic::new();
    topic.record("connector-c", Some(CONNECTOR));
    // Neither a task nor a connector of some such name.
    topic.record("tasks-fencing-c", Some(r#"{"task-count":2}"#));
    assert_eq!(topic.now().fenced_tasks("c"), Some(2));
    let restart =
        topic.record("restart-connector-c", Some(r#"{"include-tasks":true,"only-failed":false}"#));
    let request =
        RestartRequest { connector: "c".to_owned(), include_tasks: true, only_failed: false };
    assert_eq!(restart, Some(Change::Restart(request)));
    let level = topic.record("logger-cluster-org.x", Some(r#"{"level":"DEBUG","more":1}"#));
    assert_eq!(level, Some(Change::Logger { namespace: "org.x".into(), level: "DEBUG".into() }));
    topic.record("task-a-b--0", Some(TASK));
    topic.record("connector-a-b-", Some(CONNECTOR));
    topic.record("commit-a-b-", Some(r#"{"tasks":1}"#));
    assert_eq!(topic.now().tasks("a-b-"), 0..1);
    for key in ["", "x", "session-key-2", "task-count-c", "task-0", "task-c-x", "task-c--1-"] {
        topic.skips(key, Some(TASK));
    }
    assert_eq!(topic.0.apply(99, None, Some(b"{}")), None);
    assert_eq!(topic.now().offset(), 100);
}

#[test]
fn the_offset_counts_what_the_jvm_counts() {
    let mut topic = Topic::new();
    assert_eq!(topic.now().offset(), -1);
    topic.record("connector-c", Some(CONNECTOR));
    topic.record("of nothing", Some("1"));
    assert_eq!(topic.now().offset(), 2);
    for broken in ["", "{", "not JSON"] {
        topic.skips("connector-c", Some(broken));
    }
    assert_eq!(topic.now().offset(), 2);
    topic.record("connector-c", None);
    assert_eq!(topic.now().offset(), 6);
}

#[test]
fn target_states() {
    let cases = [
        (r#"{"state":"PAUSED","state.v2":"STOPPED"}"#, Some(Target::Stopped)),
        (r#"{"state":"STARTED","state.v2":"STARTED"}"#, Some(Target::Running)),
        (r#"{"state":"PAUSED"}"#, Some(Target::Paused)),
        (r#"{"state":"PAUSED","state.v2":null}"#, Some(Target::Paused)),
        (r#"{"state":"PAUSED","state.v2":7}"#, Some(Target::Paused)),
        (r#"{"state":"PAUSED","state.v2":"ASLEEP"}"#, None),
        (r#"{"state":1}"#, None),
        ("{}", None),
        ("[]", None),
    ];
    for (value, target) in cases {
        // Before its connector, in silence.
        let mut topic = Topic::new();
        assert_eq!(topic.record("target-state-c", Some(value)), None);
        assert_eq!(topic.now().target("c"), target, "{value}");
        assert_eq!(
            topic.record("connector-c", Some(CONNECTOR)),
            Some(Change::ConnectorAdded("c".to_owned()))
        );
        assert_eq!(topic.now().target("c"), target.or(Some(Target::Running)), "{value}");
        // After it, told when it is another one.
        let mut topic = Topic::with(&[("connector-c", CONNECTOR)]);
        let change = topic.record("target-state-c", Some(value));
        let news = target.filter(|target| *target != Target::Running);
        assert_eq!(change, news.map(|_| Change::TargetState("c".to_owned())), "{value}");
        assert_eq!(topic.record("target-state-c", Some(value)), None, "{value} again");
    }
    let mut topic =
        Topic::with(&[("connector-c", CONNECTOR), ("target-state-c", r#"{"state":"PAUSED"}"#)]);
    assert_eq!(topic.record("target-state-c", None), None);
    assert_eq!(topic.now().target("c"), Some(Target::Running), "the default");
    topic.record("connector-c", None);
    topic.record("target-state-c", None);
    assert_eq!(topic.now().target("c"), None);
}

#[test]
fn connectors() {
    let mut topic = Topic::new();
    let name = || "c".to_owned();
    assert_eq!(topic.record("connector-c", Some(CONNECTOR)), Some(Change::ConnectorAdded(name())));
    let wider = r#"{"properties":{"name":"c","b":null},"more":[1]}"#;
    assert_eq!(topic.record("connector-c", Some(wider)), Some(Change::ConnectorUpdated(name())));
    let entries = [("name", Some("c")), ("b", None)];
    let config: RawConfig = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
        .collect();
    assert_eq!(topic.now().connector("c").unwrap().props(), config.props());
    for wrong in [
        "1",
        "{}",
        r#"{"properties":null}"#,
        r#"{"properties":[]}"#,
        r#"{"properties":{"a":1}}"#,
        r#"{"properties":{"a":{"b":"c"}}}"#,
    ] {
        topic.skips("connector-c", Some(wrong));
        topic.skips("task-c-0", Some(wrong));
    }
    assert_eq!(topic.record("connector-c", None), Some(Change::ConnectorRemoved(name())));
    assert!(!topic.now().contains("c"));
}

/// The records, and then: tasks, whether inconsistent, generation, whether fencing is pending.
#[test]
fn task_configurations_wait_for_their_commit() {
    let c = ("connector-c", CONNECTOR);
    let (t0, t1) = (("task-c-0", TASK), ("task-c-1", TASK));
    let (commit0, commit1, commit2) = (
        ("commit-c", r#"{"tasks":0}"#),
        ("commit-c", r#"{"tasks":1}"#),
        ("commit-c", r#"{"tasks":2}"#),
    );
    let fenced = ("tasks-fencing-c", r#"{"task-count":1}"#);
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (&[c], "0..0 false None false"),
        (&[c, t0], "0..0 false None false"),
        (&[c, t0, commit1], "0..1 false Some(0) true"),
        (&[c, t0, commit1, fenced], "0..1 false Some(0) false"),
        (&[c, t0, commit1, fenced, t0, commit1], "0..1 false Some(1) true"),
        (&[c, t0, t1, commit2, t0, commit1], "0..1 false Some(1) true"),
        // Task 0 was compacted away.
        (&[c, t1, commit2], "0..0 true None true"),
        (&[c, t1, commit2, t0], "0..0 true None true"),
        // What came before the bad commit does not count for the next one.
        (&[c, t1, commit2, t0, commit2], "0..0 true None true"),
        (&[c, t1, commit2, t0, t1, commit2], "0..2 false Some(0) true"),
        // Of a larger set that was compacted, a task is left over.
        (&[c, t1, t0, commit1], "0..1 false Some(0) true"),
        (&[c, t1, commit1], "0..0 true None true"),
        // Stopped: no tasks is a whole set.
        (&[c, commit0], "0..0 false None true"),
        (&[c, t0, commit1, commit0], "0..0 false Some(1) true"),
        (&[c, t1, commit2, commit0], "0..0 false Some(0) true"),
        // Not a number of tasks.
        (&[c, t0, ("commit-c", r#"{"tasks":"1"}"#), commit1], "0..1 false Some(0) true"),
        (&[c, t0, ("commit-c", r#"{"tasks":1.0}"#), commit1], "0..1 false Some(0) true"),
        (&[c, t0, ("commit-c", r#"{"tasks":-1}"#), commit1], "0..1 false Some(0) true"),
        (&[c, t0, ("commit-c", r#"{}"#), commit1], "0..1 false Some(0) true"),
        (&[c, t0, ("commit-c", ""), commit1], "0..1 false Some(0) true"),
        (&[c, ("commit-c", r#"{"tasks":2147483647}"#)], "0..0 true None true"),
        (&[c, t0, ("task-c-0", ""), commit1], "0..1 false Some(0) true"),
        // A connector that is not there; its tasks are forgotten.
        (&[t0, commit1], "0..0 false None false"),
        (&[t0, commit1, c, commit1], "0..0 true None true"),
        (&[c, t0, ("connector-c", ""), c, commit1], "0..0 true None true"),
        // Removed and made again: the counters go on, as they do in the JVM.
        (&[c, t0, commit1, ("connector-c", ""), c], "0..0 false Some(0) true"),
        (&[c, t0, commit1, ("connector-c", ""), c, t0, commit1], "0..1 false Some(1) true"),
    ];
    for (records, answer) in cases {
        let now = Topic::with(records).now();
        let shown = format!(
            "{:?} {} {:?} {}",
            now.tasks("c"),
            now.inconsistent().any(|name| name == "c"),
            now.generation("c"),
            now.pending_fencing("c")
        );
        assert_eq!(shown, *answer, "{records:?}");
        assert_eq!(now.task_configs("c").len(), now.tasks("c").len(), "{records:?}");
    }
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut topic = Topic::with(&[("connector-c", CONNECTOR)]);
    let before = topic.now();
    topic.record("connector-c", None);
    assert!(before.contains("c") && !topic.now().contains("c"));
    assert_eq!((before.offset(), topic.now().offset()), (1, 2));
}

#[test]
fn session_keys() {
    let mut topic = Topic::new();
    for wrong in [
        None,
        Some("[]"),
        Some("{}"),
        Some(r#"{"key":"!","algorithm":"HmacSHA256","creation-timestamp":1}"#),
        Some(r#"{"key":"","algorithm":"HmacSHA256","creation-timestamp":1}"#),
        Some(r#"{"key":"AAEC","algorithm":null,"creation-timestamp":1}"#),
        Some(r#"{"key":"AAEC","algorithm":"HmacSHA256","creation-timestamp":1.5}"#),
    ] {
        topic.skips("session-key", wrong);
    }
    let right = r#"{"key":"AAEC","algorithm":"HmacSHA256","creation-timestamp":1}"#;
    let Some(Change::SessionKey(key)) = topic.record("session-key", Some(right)) else {
        panic!("a session key")
    };
    assert_eq!((key.key.as_slice(), key.created_ms), (&[0, 1, 2][..], 1));
    assert_eq!(topic.now().session_key(), Some(&key));
}

#[test]
fn restarts_and_levels_of_the_wrong_form() {
    let mut topic = Topic::new();
    for (key, value) in [
        ("restart-connector-c", None),
        ("restart-connector-c", Some("1")),
        ("logger-cluster-x", None),
        ("logger-cluster-x", Some(r#"{"level":1}"#)),
        ("tasks-fencing-x", Some(r#"{"task-count":"1"}"#)),
        ("tasks-fencing-x", None),
    ] {
        topic.skips(key, value);
    }
    let change = topic.record("restart-connector-c", Some(r#"{"only-failed":"yes"}"#));
    let request =
        RestartRequest { connector: "c".to_owned(), include_tasks: false, only_failed: false };
    assert_eq!(change, Some(Change::Restart(request)));
}
