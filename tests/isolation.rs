//! Connectors that hang hold nobody: not REST, not the group, not other connectors.

use std::{
    fs::{self, File},
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{rest::Config, servers, topics, wait_for, worker::Home};

/// Far more than a worker has threads for what is its own.
const STUCK: usize = 16;

/// For the ends of any number of tasks: three times the worker's grace. One after the other they take
/// sixteen times as long.
const ENDS_MAX: Duration = Duration::from_secs(15);

/// For one request, with a margin for a busy machine; the worker's grace is 5 s.
const ANSWER_MAX: Duration = Duration::from_secs(2);

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// File sources whose file is a FIFO that nobody writes to, so that opening it takes for ever, and
/// sinks whose file is one that nobody reads.
#[test]
fn connectors_that_hang_hold_nobody() {
    let name = "isolation";
    let Some(kafka) = servers::kafka(name) else { return };
    topics::delete(&kafka, "isolation-");
    let home = Home::of_group(name, &kafka, name);
    let worker = home.start(&[]);
    let rest = &worker.rest;
    let path = |file: &str| home.directory.join(file).display().to_string();

    let input = path("input");
    fs::write(&input, "0\n").expect("the source's file");
    let output = path("output");
    let source = [
        ("connector.class", "FileStreamSource"),
        ("tasks.max", "1"),
        ("topic", "isolation-lines"),
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
    ];
    let sink = [
        ("connector.class", "FileStreamSink"),
        ("tasks.max", "1"),
        ("topics", "isolation-lines"),
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
    ];
    let with = |of: &[(&str, &str)], file: &str| {
        let mut config = config(of);
        config.insert("file".to_owned(), file.to_owned());
        config
    };
    rest.start("isolation-source", &with(&source, &input));
    rest.start("isolation-sink", &with(&sink, &output));
    let arrives = |lines: usize| {
        wait_for(&format!("{lines} lines\n{}", home.log()), Duration::from_secs(30), || {
            let text = fs::read_to_string(&output).unwrap_or_default();
            (text.lines().count() >= lines).then_some(())
        });
    };
    arrives(1);

    let stuck: Vec<String> = (0..STUCK).map(|number| format!("stuck-{number}")).collect();
    for (number, name) in stuck.iter().enumerate() {
        let fifo = path(name);
        let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
        assert!(made.success(), "{made}");
        rest.put(name, &with(if number % 2 == 0 { &source } else { &sink }, &fifo));
    }
    // A task has a status only when its start is over, which is never.
    wait_for("the tasks of all", Duration::from_secs(60), || {
        let named = |name: &&String| {
            let tasks = rest.call("GET", &format!("/connectors/{name}/tasks"), None);
            tasks.as_array().is_some_and(|tasks| tasks.len() == 1)
        };
        (stuck.iter().filter(named).count() == STUCK).then_some(())
    });

    let quick = |what: &str, ask: &dyn Fn()| {
        let began = Instant::now();
        ask();
        assert!(began.elapsed() < ANSWER_MAX, "{what} took {:?}\n{}", began.elapsed(), home.log());
    };
    let mut file = File::options().append(true).open(&input).expect("the source's file");
    for line in 1..=20 {
        writeln!(file, "{line}").expect("a line");
        for name in &stuck {
            quick("a status", &|| drop(rest.status(name)));
        }
        let healthy = rest.ask("GET", "/health", None);
        assert_eq!(healthy.status, 200, "{}", healthy.body);
    }
    arrives(21);

    for name in &stuck {
        quick("a pause", &|| {
            rest.call("PUT", &format!("/connectors/{name}/pause"), None);
        });
        quick("a resume", &|| {
            rest.call("PUT", &format!("/connectors/{name}/resume"), None);
        });
    }
    // All at once, as each may take the grace.
    let restarts = |name: &str| {
        let answer = rest.ask("POST", &format!("/connectors/{name}/tasks/0/restart"), None);
        assert_eq!(answer.status, 204, "{}", answer.body);
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        stuck.iter().for_each(|name| drop(scope.spawn(|| restarts(name))));
    });
    assert!(began.elapsed() < Duration::from_secs(15), "restarts took {:?}", began.elapsed());

    writeln!(file, "21").expect("a line");
    arrives(22);

    // One after the other, half of them: nobody waits for an end of those before, and the group is
    // told of all ends within one grace.
    let began = Instant::now();
    let (some, others) = stuck.split_at(STUCK / 2);
    for name in some {
        quick("a removal", &|| drop(rest.call("DELETE", &format!("/connectors/{name}"), None)));
    }
    writeln!(file, "22").expect("a line");
    arrives(23);
    let mut noted = source.to_vec();
    noted.push(("note", "changed while others end"));
    quick("a change of another connector", &|| {
        rest.put("isolation-source", &with(&noted, &input));
    });
    quick("the worker's health", &|| {
        let healthy = rest.ask("GET", "/health", None);
        assert_eq!(healthy.status, 200, "{}", healthy.body);
    });
    // No status is left of a connector when the round is over that took its tasks away.
    let ended = |names: &[String]| {
        wait_for("the ends of those that hang", Duration::from_secs(60), || {
            names.iter().all(|name| rest.status(name).is_none()).then_some(())
        });
    };
    ended(some);
    assert!(began.elapsed() < ENDS_MAX, "{} ends took {:?}", some.len(), began.elapsed());
    // All at once, the others.
    let began = Instant::now();
    std::thread::scope(|scope| {
        for name in others {
            scope.spawn(move || rest.call("DELETE", &format!("/connectors/{name}"), None));
        }
    });
    ended(others);
    assert!(began.elapsed() < ENDS_MAX, "{} ends took {:?}", others.len(), began.elapsed());

    writeln!(file, "23").expect("a line");
    arrives(24);
    wait_for("the changed source", Duration::from_secs(30), || {
        let tasks = rest.call("GET", "/connectors/isolation-source/tasks", None);
        (tasks[0]["config"]["note"] == "changed while others end").then_some(())
    });
    rest.wait_running("isolation-source");
    let status = rest.status("isolation-source").expect("a status");
    assert_eq!(status["tasks"][0]["state"], json!("RUNNING"), "{status}");
    // Those who wait in a system call are not waited for.
    let began = Instant::now();
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    assert!(began.elapsed() < Duration::from_secs(15), "the end took {:?}", began.elapsed());
    topics::delete(&kafka, "isolation-");
}
