//! `riverrun` as a client, each command against a running worker.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    wait_for,
    worker::{Home, Worker, free_port},
};

const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;
const DIFFERS: i32 = 4;
const TIMED_OUT: i32 = 5;

struct Scene {
    home: Home,
    worker: Worker,
}

/// What a command has said, and how it ended.
struct Said {
    code: i32,
    out: String,
    error: String,
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit code");
    Said { code, out: text(output.stdout), error: text(output.stderr) }
}

fn run(url: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riverrun"));
    said(command.args(arguments).env("RIVERRUN_URL", url).output().expect("riverrun runs"))
}

impl Scene {
    /// A worker without Kafka.
    fn new(name: &str) -> Self {
        let home = Home::new(&format!("client_{name}"), "");
        let worker = home.start(&[]);
        Self { home, worker }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        run(&self.worker.rest.url, arguments)
    }

    /// A command that must succeed: what it prints.
    fn ok(&self, arguments: &[&str]) -> String {
        let Said { code, out, error } = self.run(arguments);
        assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}: {out}\n{}", self.home.log());
        out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {out}"))
    }

    /// A command that must end with this code and say this.
    fn fails(&self, arguments: &[&str], code: i32, text: &str) {
        let said = self.run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}{}", said.out, said.error);
        assert!(said.error.contains(text), "{arguments:?}: {}", said.error);
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A file source's file of configuration, and the lines it reads.
    fn source(&self, name: &str) -> String {
        let lines = self.file(&format!("{name}.txt"), "one\ntwo\n");
        let config = format!(
            "name={name}\nconnector.class=FileStreamSource\nfile={lines}\ntopic={name}\n\
             producer.override.sasl.jaas.config=top secret\n"
        );
        self.file(&format!("{name}.properties"), &config)
    }
}

#[test]
fn a_connectors_life() {
    let scene = Scene::new("life");
    assert_eq!(scene.ok(&["list"]), "NAME  TYPE  STATE  TASKS  CLASS\n");
    let file = scene.source("lines");
    assert_eq!(scene.ok(&["validate", &file]), "lines: valid\n");
    assert_eq!(scene.ok(&["create", &file]), "lines: created\n");
    scene.fails(&["create", &file], REFUSED, "Connector lines already exists");
    scene.ok(&["wait", "lines"]);
    assert_eq!(
        scene.json(&["list"]),
        json!([{ "name": "lines", "type": "source", "state": "RUNNING", "tasks": "1/1 running", "class": "FileStreamSource" }])
    );
    let table = scene.ok(&["list"]);
    assert!(
        table.lines().nth(1).is_some_and(|line| line.starts_with("lines  source  RUNNING")),
        "{table}"
    );

    scene.ok(&["pause", "lines"]);
    scene.ok(&["wait", "lines", "--for", "paused"]);
    scene.fails(
        &["wait", "lines", "--timeout", "300ms"],
        TIMED_OUT,
        "lines is PAUSED, its tasks PAUSED",
    );
    scene.ok(&["resume", "lines"]);
    scene.ok(&["wait"]);
    scene.ok(&["restart", "lines"]);
    scene.ok(&["restart", "lines", "--only-failed"]);
    scene.ok(&["restart", "lines", "--task", "0"]);
    scene.ok(&["restart", "lines", "--connector-only"]);
    scene.fails(&["restart", "lines", "--task", "7"], REFUSED, "(404)");
    scene.ok(&["wait", "lines"]);

    scene.fails(&["offsets", "reset", "lines"], REFUSED, "must be in the STOPPED state");
    scene.ok(&["stop", "lines"]);
    scene.ok(&["wait", "lines", "--for", "stopped"]);
    let offsets = scene.json(&["offsets", "get", "lines"]);
    assert_eq!(offsets["offsets"][0]["offset"], json!({ "position": 8 }), "{offsets}");
    let partition = offsets["offsets"][0]["partition"].to_string();
    let set =
        ["offsets", "set", "lines", "--partition", &partition, "--offset", r#"{"position":4}"#];
    assert_eq!(scene.ok(&set), "The offsets for this connector have been altered successfully\n");
    assert!(scene.ok(&["offsets", "get", "lines"]).contains(r#"{"position":4}"#));
    let saved = scene.file("offsets.json", &offsets.to_string());
    scene.ok(&["offsets", "set", "lines", &saved]);
    assert_eq!(scene.json(&["offsets", "get", "lines"]), offsets);
    scene.fails(&["offsets", "set", "lines"], USAGE, "required");
    scene.fails(&["offsets", "set", "lines", &file], USAGE, "not JSON");
    let wrong =
        ["offsets", "set", "lines", "--partition", &partition, "--offset", r#"{"position":-4}"#];
    scene.fails(&wrong, REFUSED, "non-negative");
    assert_eq!(
        scene.ok(&["offsets", "reset", "lines"]),
        "The offsets for this connector have been reset successfully\n"
    );

    scene.ok(&["delete", "lines"]);
    scene.ok(&["wait", "lines", "--for", "deleted"]);
    // What went wrong with one does not keep the others from being done.
    scene.ok(&["create", &file]);
    let said = scene.run(&["delete", "absent", "lines"]);
    assert_eq!(
        (said.code, said.error.as_str()),
        (REFUSED, "riverrun: Connector absent not found (404)\n")
    );
    scene.ok(&["wait", "lines", "--for", "deleted"]);
}

#[test]
fn failures_and_their_reasons() {
    let scene = Scene::new("failures");
    let mock = |name: &str, mode: &str| {
        let config = json!({ "connector.class": "MockSource", "mock_mode": mode, "delay_ms": "1" });
        scene.file(&format!("{name}.json"), &json!({ "name": name, "config": config }).to_string())
    };
    scene.ok(&[
        "create",
        &mock("one", "task-failure"),
        &mock("two", "connector-failure"),
        &mock("three", "none"),
    ]);
    scene.fails(
        &["wait", "one"],
        REFUSED,
        "one has failed: task 0: failed as the configuration asks",
    );
    scene.fails(&["wait", "two"], REFUSED, "two has failed: the connector: failed as");
    scene.ok(&["wait", "three"]);
    scene.ok(&["status", "--check", "three"]);
    let said = scene.run(&["status", "--check"]);
    assert_eq!(said.code, DIFFERS, "{}", said.out);
    let lines: Vec<Vec<&str>> =
        said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["CONNECTOR", "TASK", "STATE", "WORKER", "WHY"]);
    assert_eq!(lines[1][..2], ["one", "RUNNING"]);
    assert_eq!(lines[2][..3], ["one", "0", "FAILED"]);
    assert!(
        said.out.lines().nth(2).is_some_and(|line| line.contains("mock_mode is task-failure")),
        "{}",
        said.out
    );
    assert_eq!(scene.json(&["status", "three"])[0]["tasks"][0]["state"], "RUNNING");
    scene.fails(&["status", "four"], REFUSED, "No status found for connector four");
    scene.fails(&["wait", "four", "--timeout", "0s"], TIMED_OUT, "four is unknown to the worker");
}

#[test]
fn files_are_applied() {
    let scene = Scene::new("apply");
    let first = scene.source("first");
    let second = json!({ "name": "second", "config": { "connector.class": "FileStreamSource", "file": "absent", "topic": "t" }, "initial_state": "STOPPED" });
    scene.file("all/second.json", &second.to_string());
    let all = scene.home.directory.join("all").to_str().unwrap().to_owned();
    let apply = ["apply", &first, &all];

    let dry = scene.ok(&[&apply[..], &["--dry-run"]].concat());
    assert!(
        dry.starts_with("first: would be created\n  + connector.class=FileStreamSource\n"),
        "{dry}"
    );
    assert!(dry.contains("\n  + producer.override.sasl.jaas.config=[hidden]\n"), "{dry}");
    assert_eq!(scene.json(&["list"]), json!([]), "a dry run changes nothing");
    scene.fails(&[&apply[..], &["--check"]].concat(), DIFFERS, "");
    let done = scene.ok(&apply);
    assert!(done.contains("first: created\n") && done.contains("second: created\n"), "{done}");
    scene.ok(&["wait", "second", "--for", "stopped"]);
    assert_eq!(scene.ok(&apply), "first: unchanged\nsecond: unchanged\n");
    scene.ok(&[&apply[..], &["--check"]].concat());

    let mut changed = second.clone();
    changed["config"]["topic"] = "other".into();
    changed["config"]["batch.size"] = 7.into();
    scene.file("all/second.json", &changed.to_string());
    let report = scene.json(&["apply", &all, "--dry-run"]);
    assert_eq!(
        report[0]["changes"],
        json!([
            { "key": "batch.size", "old": null, "new": "7" },
            { "key": "topic", "old": "t", "new": "other" },
        ])
    );
    assert_eq!(report[0]["result"], "would be changed");
    assert_eq!(
        scene.ok(&["apply", &all]),
        "second: changed\n  + batch.size=7\n  - topic=t\n  + topic=other\n"
    );
    assert_eq!(scene.json(&["config", "get", "second"])["topic"], "other");

    // What the worker does not accept is said, in a dry run too, and nothing is changed.
    changed["config"]["batch.size"] = "many".into();
    scene.file("all/second.json", &changed.to_string());
    for more in [&["--dry-run"][..], &[]] {
        let arguments = [&["apply", all.as_str()], more].concat();
        scene.fails(&arguments, REFUSED, "Not a number of type INT");
    }
    scene.fails(&["validate", &all], REFUSED, "batch.size: Invalid value many");
    assert_eq!(scene.json(&["config", "get", "second"])["batch.size"], "7");
    scene.fails(&["apply", "/nonexistent"], USAGE, "/nonexistent");
    scene.file("all/third.properties", "name=second\nconnector.class=FileStreamSource\n");
    scene.fails(&["apply", &all], USAGE, "connector second is in two files");
}

#[test]
fn configurations_plugins_and_loggers() {
    let scene = Scene::new("config");
    scene.ok(&["create", &scene.source("lines")]);
    let shown = scene.ok(&["config", "get", "lines"]);
    assert!(shown.contains("producer.override.sasl.jaas.config=[hidden]\n"), "{shown}");
    let shown = scene.ok(&["config", "get", "lines", "--show-secrets"]);
    assert!(shown.contains("producer.override.sasl.jaas.config=top secret\n"), "{shown}");
    let shown = scene.ok(&["config", "set", "lines", "batch.size=5", "topic=a=b"]);
    assert!(shown.contains("batch.size=5\n") && shown.contains("topic=a=b\n"), "{shown}");
    let shown = scene.ok(&["config", "unset", "lines", "batch.size"]);
    assert!(!shown.contains("batch.size"), "{shown}");
    scene.fails(&["config", "unset", "lines", "topic"], REFUSED, "Missing required configuration");
    scene.fails(&["config", "set", "lines", "topic"], USAGE, "KEY=VALUE");
    scene.fails(&["config", "get", "absent"], REFUSED, "Connector absent not found");

    let plugins = scene.ok(&["plugins"]);
    assert!(
        plugins.contains("source  org.apache.kafka.connect.file.FileStreamSourceConnector  4."),
        "{plugins}"
    );
    assert!(!plugins.contains("JsonConverter"), "{plugins}");
    assert!(scene.ok(&["plugins", "--all"]).contains("JsonConverter"));
    let keys = scene.ok(&["plugins", "FileStreamSource"]);
    assert!(
        keys.lines().any(|line| line.split_whitespace().take(3).eq(["batch.size", "int", "2000"])),
        "{keys}"
    );
    scene.fails(&["plugins", "NoSuch"], REFUSED, "Unknown plugin NoSuch.");

    let set = scene.ok(&["loggers", "set", "riverrun::rest", "DEBUG"]);
    assert_eq!(set, "riverrun.rest\n");
    assert!(scene.ok(&["loggers", "get", "riverrun::rest"]).contains("DEBUG"));
    assert_eq!(scene.json(&["loggers", "get"])["riverrun.rest"]["level"], "DEBUG");
    scene.fails(&["loggers", "set", "root", "LOUD"], REFUSED, "invalid log level");
}

#[test]
fn wrong_usage_and_no_worker() {
    let port = free_port();
    let nobody = format!("http://127.0.0.1:{port}");
    let cases: [(&str, &[&str], i32, &str); 11] = [
        (&nobody, &["frob"], USAGE, "unknown command frob; there are connect-standalone, "),
        (&nobody, &["frob", "--url", "x"], USAGE, ", apply, status, "),
        (&nobody, &[], USAGE, "no command; there are "),
        (&nobody, &["list"], UNREACHABLE, "GET http://127.0.0.1"),
        (&nobody, &["delete", "a", "b"], UNREACHABLE, "DELETE http://127.0.0.1"),
        ("localhost:8083", &["list"], USAGE, "is not the address of a worker"),
        (&nobody, &["list", "--ca", "/nonexistent.pem"], USAGE, "/nonexistent.pem"),
        (&nobody, &["status", "--loud"], USAGE, "--loud"),
        (&nobody, &["pause"], USAGE, "<NAME>"),
        (&nobody, &["wait", "--timeout", "soon"], USAGE, "a time is a number with a unit"),
        (&nobody, &["offsets"], USAGE, "Usage: riverrun offsets"),
    ];
    for (url, arguments, code, text) in cases {
        let said = run(url, arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.error);
        assert!(said.error.contains(text), "{arguments:?}: {}", said.error);
    }
    assert!(run("", &["completion", "bash"]).out.contains("connect-distributed"));
    assert!(run("", &["apply", "--help"]).out.contains("--dry-run"));
}

/// The examples of docs/client.md, in their order, by a shell.
#[test]
fn the_examples_work() {
    let scene = Scene::new("examples");
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/client.md")).expect("docs/client.md");
    // The worker is at home elsewhere than the shell.
    let lines = scene.file("shop.txt", "a\nb\n");
    let properties = text.split("```properties\n").nth(1).and_then(|rest| rest.split("```").next());
    let properties = properties.expect("an example of a connector").replace("shop.txt", &lines);
    scene.file("connectors/lines.properties", &properties);
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_riverrun"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut count = 0;
    for block in text.split("```sh\n").skip(1) {
        let script = block.split("```").next().unwrap_or_default();
        let output = Command::new("sh")
            .args(["-e", "-c", script])
            .current_dir(&scene.home.directory)
            .env("PATH", &path)
            .env("RIVERRUN_URL", &scene.worker.rest.url)
            .output()
            .expect("sh");
        let said = said(output);
        assert_eq!(said.code, 0, "{script}\n{}{}", said.out, said.error);
        if count == 0 {
            wait_for("the first stored offset", Duration::from_secs(30), || {
                let path = "/connectors/lines/offsets";
                let stored = scene.worker.rest.call("GET", path, None);
                stored["offsets"].get(0).map(drop)
            });
        }
        count += 1;
    }
    assert!(count >= 5, "{count} examples");
}
