use super::recorded;
use crate::{
    runtime::State,
    storage::{
        Status, TopicStatus,
        status_state::{StatusState, Subject},
    },
};

fn apply(state: &mut StatusState, key: &str, value: Option<&str>) {
    state.apply(Some(key.as_bytes()), value.map(str::as_bytes));
}

fn task(state: &StatusState) -> String {
    let status = state.status(&Subject::Task("c".to_owned(), 0));
    status.map_or("none".to_owned(), |status| {
        format!("{:?} {} {}", status.state, status.worker_id, status.generation)
    })
}

fn value(state: &str, worker: &str, generation: &str) -> String {
    format!(
        r#"{{"state":"{state}","trace":null,"worker_id":"{worker}","generation":{generation},"version":"1"}}"#
    )
}

/// Read and written again, the bytes are the same.
#[test]
fn what_the_jvm_wrote() {
    let mut state = StatusState::default();
    let mut read = 0;
    for record in recorded(include_str!("../testdata/statuses.jsonl")) {
        apply(&mut state, &record.key, record.value.as_deref());
        let Some(written) = record.value else { continue };
        read += 1;
        let mut alone = StatusState::default();
        apply(&mut alone, &record.key, Some(&written));
        let name = if record.key.contains("maria") { "maria" } else { "pg" };
        let subjects = [Subject::Connector(name.to_owned()), Subject::Task(name.to_owned(), 0)];
        let mut bytes: Vec<(String, Vec<u8>)> = subjects
            .iter()
            .filter_map(|subject| Some((subject.key(), alone.status(subject)?.bytes())))
            .collect();
        bytes.extend(alone.topics(name).iter().map(|topic| {
            let subject =
                Subject::Topic { connector: topic.connector.clone(), topic: topic.topic.clone() };
            (subject.key(), topic.bytes())
        }));
        assert_eq!(bytes, [(record.key, written.into_bytes())]);
    }
    assert_eq!(read, 7);
    assert_eq!(state.connectors(), ["maria"]);
    let maria = state.status(&Subject::Connector("maria".to_owned())).unwrap();
    assert_eq!((maria.state, maria.generation), (State::Stopped, 11));
    assert_eq!(maria.version.as_deref(), Some("3.5.0.Final"));
    assert_eq!(state.tasks("maria")[&0].state, State::Unassigned, "of a later generation");
    let topics: Vec<String> = state.topics("pg").into_iter().map(|topic| topic.topic).collect();
    assert_eq!(topics, ["pgdemo.public.types"]);
}

#[test]
fn the_last_word_of_an_earlier_owner() {
    let cases = [
        // What is known, what comes, what is known then.
        (("RUNNING", "5"), ("UNASSIGNED", "5"), "Running a 5"),
        (("RUNNING", "5"), ("UNASSIGNED", "4"), "Running a 5"),
        (("RUNNING", "5"), ("UNASSIGNED", "6"), "Unassigned b 6"),
        (("RUNNING", "5"), ("FAILED", "4"), "Failed b 4"),
        (("PAUSED", "5"), ("UNASSIGNED", "4"), "Unassigned b 4"),
    ];
    for (known, coming, answer) in cases {
        let mut state = StatusState::default();
        for (kind, subject) in [
            ("connector-c", Subject::Connector("c".into())),
            ("task-c-0", Subject::Task("c".into(), 0)),
        ] {
            let key = format!("status-{kind}");
            apply(&mut state, &key, Some(&value(known.0, "a", known.1)));
            apply(&mut state, &key, Some(&value(coming.0, "b", coming.1)));
            if let Subject::Connector(_) = subject {
                let status = state.status(&subject).unwrap();
                assert_eq!(status.worker_id, "b", "a connector's status has no such guard");
            }
        }
        assert_eq!(task(&state), answer, "{known:?} {coming:?}");
    }
}

#[test]
fn who_may_speak() {
    let status = |worker: &str, generation| Status {
        state: State::Failed,
        trace: None,
        worker_id: worker.to_owned(),
        generation,
        version: None,
    };
    let subject = Subject::Task("c".to_owned(), 0);
    let mut state = StatusState::default();
    assert!(state.safe(&subject, &status("b", 0)), "nothing is known");
    apply(&mut state, "status-task-c-0", Some(&value("RUNNING", "a", "5")));
    for (worker, generation, safe) in
        [("a", 1, true), ("b", 4, false), ("b", 5, true), ("b", 6, true)]
    {
        assert_eq!(
            state.safe(&subject, &status(worker, generation)),
            safe,
            "{worker} {generation}"
        );
    }
}

#[test]
fn records_that_cannot_be_read() {
    let mut state = StatusState::default();
    apply(&mut state, "status-task-c-0", Some(&value("RUNNING", "a", "5")));
    let wrong = [
        value("ASLEEP", "a", "6"),
        value("RUNNING", "b", "6.5"),
        value("RUNNING", "b", "\"6\""),
        value("RUNNING", "b", "5000000000"),
        value("RUNNING", "b", "null"),
        r#"{"state":null,"worker_id":"b","generation":6}"#.to_owned(),
        r#"{"state":"RUNNING","trace":1,"worker_id":"b","generation":6}"#.to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        String::new(),
    ];
    for wrong in &wrong {
        apply(&mut state, "status-task-c-0", Some(wrong));
        assert_eq!(task(&state), "Running a 5", "{wrong}");
    }
    for key in [
        "",
        "x",
        "status-connector-",
        "status-task-",
        "status-task-c",
        "status-task-c-x",
        "status-task--0",
        "status-topic-",
        "status-topic-t",
        "status-topic-:connector-c",
        "status-topic-t:connector-",
        "status-topic-t:connected-c",
    ] {
        apply(&mut state, key, Some(&value("RUNNING", "a", "5")));
    }
    state.apply(None, Some(b"{}"));
    assert_eq!(state.connectors(), ["c"]);
    assert!(state.topics("c").is_empty());
    // Fields of later versions, and none of earlier ones.
    let old = r#"{"state":"PAUSED","trace":null,"worker_id":"b","generation":6,"later":[]}"#;
    apply(&mut state, "status-task-c-0", Some(old));
    assert_eq!(task(&state), "Paused b 6");
}

#[test]
fn what_is_gone() {
    let mut state = StatusState::default();
    let topic =
        TopicStatus { topic: "t.x".into(), connector: "a:b".into(), task: 0, discovered_ms: 1 };
    let subject = Subject::Topic { connector: "a:b".into(), topic: "t.x".into() };
    assert_eq!(subject.key(), "status-topic-t.x:connector-a:b");
    state.apply(Some(subject.key().as_bytes()), Some(&topic.bytes()));
    assert_eq!(state.topics("a:b"), [topic]);
    apply(&mut state, &subject.key(), None);
    assert!(state.topics("a:b").is_empty());

    for key in ["status-connector-c", "status-task-c-0", "status-task-c-1"] {
        apply(&mut state, key, Some(&value("RUNNING", "a", "5")));
    }
    apply(&mut state, "status-task-c-1", None);
    assert_eq!(state.tasks("c").len(), 1);
    apply(&mut state, "status-connector-c", None);
    assert!(state.connectors().is_empty() && state.tasks("c").is_empty(), "its tasks with it");
}
