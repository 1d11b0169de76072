//! The servers a test may use: those whose addresses are in the environment.
//!
//! | variable | what | example |
//! |---|---|---|
//! | `RIVERRUN_TEST_POSTGRES` | PostgreSQL, a superuser | `postgres://postgres@127.0.0.1:25432/postgres` |
//! | `RIVERRUN_TEST_KAFKA` | a broker | `127.0.0.1:29092` |
//! | `RIVERRUN_TEST_KAFKA_LISTENERS` | its listeners with TLS and SASL, and a directory of certificates | `ssl=localhost:29192,…,certificates=…` |
//! | `RIVERRUN_TEST_CONNECT` | the JVM peer's REST API, on the same broker | `http://127.0.0.1:28083` |
//!
//! `tests/harness/start` starts them all.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{Write, stderr},
    path::Path,
    process::{Command, Stdio},
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

/// Listeners by name, and under `certificates` the directory, see `tests/harness/certificates`.
pub(crate) fn listeners(test: &str) -> Option<BTreeMap<String, String>> {
    let text = address(test, "RIVERRUN_TEST_KAFKA_LISTENERS")?;
    let pair = |part: &str| part.split_once('=').map(|(name, at)| (name.to_owned(), at.to_owned()));
    Some(text.split(',').filter_map(pair).collect())
}

pub(crate) fn connect(test: &str) -> Option<String> {
    address(test, "RIVERRUN_TEST_CONNECT")
}

/// The harness's scripts, for a set of servers of a test's own.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    instance: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

impl Script {
    /// Ports are searched from those in `variables` on.
    pub(crate) const fn new(
        instance: &'static str,
        variables: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { instance, variables }
    }

    /// Runs a script and gives the address it printed, if it did.
    pub(crate) fn run(&self, name: &str, argument: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness").join(name);
        let mut command = Command::new(&path);
        command.env("INSTANCE", self.instance).envs(self.variables.iter().copied());
        if !argument.is_empty() {
            command.arg(argument);
        }
        // To a file: a server started by the script would hold a pipe open for good.
        let log = format!("{}-{name}.log", self.instance);
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(log);
        let file = File::create(&log).expect("the log of a script");
        let status = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .status()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let said = fs::read_to_string(&log).expect("the log of a script");
        assert!(status.success(), "{name} {argument} of {}: {status}\n{said}", self.instance);
        let ready = said.lines().rev().find_map(|line| line.strip_prefix("ready: "));
        ready.and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned()
    }

    /// Runs a script when the guard is dropped, after a failure too.
    pub(crate) fn at_end(self, name: &'static str) -> AtEnd {
        AtEnd(self, name)
    }
}

pub(crate) struct AtEnd(Script, &'static str);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.run(self.1, "");
    }
}
