//! The servers a test may use: those whose addresses are in the environment.
//!
//! | variable | what | example |
//! |---|---|---|
//! | `RIVERRUN_TEST_POSTGRES` | PostgreSQL, a superuser | `postgres://postgres@127.0.0.1:25432/postgres` |
//! | `RIVERRUN_TEST_KAFKA` | a broker | `127.0.0.1:29092` |
//! | `RIVERRUN_TEST_CONNECT` | the JVM peer's REST API, on the same broker | `http://127.0.0.1:28083` |
//!
//! `tests/harness/start` starts them all.

use std::{
    env,
    io::{Write, stderr},
    path::Path,
    process::Command,
};

/// The server's address, or a word on standard error that `test` was skipped.
///
/// Written past the test runner's capture, so that `./test` can count it.
fn address(test: &str, variable: &str) -> Option<String> {
    let found = env::var(variable).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        writeln!(stderr(), "skipped: {test}: {variable} is not set").expect("standard error");
    }
    found
}

pub(crate) fn postgres(test: &str) -> Option<String> {
    address(test, "RIVERRUN_TEST_POSTGRES")
}

pub(crate) fn kafka(test: &str) -> Option<String> {
    address(test, "RIVERRUN_TEST_KAFKA")
}

pub(crate) fn connect(test: &str) -> Option<String> {
    address(test, "RIVERRUN_TEST_CONNECT")
}

/// A PostgreSQL and a Kafka of a test's own, that it may restart. Stopped when dropped.
pub(crate) struct Own {
    instance: &'static str,
    ports: [(&'static str, &'static str); 2],
    pub(crate) postgres: String,
    pub(crate) kafka: String,
}

impl Own {
    /// Ports are searched from the given ones on.
    pub(crate) fn start(
        instance: &'static str,
        pg: &'static str,
        kafka: &'static str,
    ) -> Self {
        let ports = [("PG_PORT", pg), ("KAFKA_PORT", kafka)];
        let mut own = Self { instance, ports, postgres: String::new(), kafka: String::new() };
        own.postgres = format!("postgres://postgres@{}/postgres", own.script("pg-start", ""));
        own.kafka = own.script("kafka-start", "");
        own
    }

    /// `mode` is `fast`, as an administrator does it, or `immediate`, as a crash does.
    pub(crate) fn restart_postgres(&self, mode: &str) {
        self.script("pg-stop", mode);
        self.script("pg-start", "");
    }

    /// `mode` is `kill` for a crash, else empty.
    pub(crate) fn restart_kafka(&self, mode: &str) {
        self.script("kafka-stop", mode);
        self.script("kafka-start", "");
    }

    fn script(&self, name: &str, argument: &str) -> String {
        script(name, self.instance, &self.ports, argument)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.script("kafka-stop", "");
        self.script("pg-stop", "");
    }
}

/// Runs a script of the harness for a set of servers of its own, and gives the address it printed.
fn script(name: &str, instance: &str, variables: &[(&str, &str)], argument: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness").join(name);
    let mut command = Command::new(&path);
    command.env("INSTANCE", instance).envs(variables.iter().copied());
    if !argument.is_empty() {
        command.arg(argument);
    }
    // To a file: a server started by the script would hold a pipe open for good.
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{instance}-{name}.log"));
    let file = std::fs::File::create(&log).expect("the log of a script");
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let said = std::fs::read_to_string(&log).expect("the log of a script");
    assert!(status.success(), "{name} {argument} of instance {instance}: {status}\n{said}");
    let ready = said.lines().rev().find_map(|line| line.strip_prefix("ready: "));
    ready.and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned()
}
