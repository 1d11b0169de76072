//! A database of a test's own, spoken to through `psql`, which splits scripts as people write them.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    time::Duration,
};

use super::wait_for;

pub(crate) struct Database {
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) name: String,
}

impl Database {
    /// A new, empty database on the server at `url` (`postgres://postgres@host:port/…`).
    pub(crate) fn create(url: &str, name: &str) -> Self {
        let authority = url.split("//").last().and_then(|rest| rest.split('/').next());
        let server = authority.and_then(|rest| rest.split('@').next_back()).unwrap_or(url);
        let (host, port) = server.split_once(':').expect("an address with a port");
        let database = Self { host: host.into(), port: port.into(), name: name.into() };
        database.drop_now();
        database.run("postgres", &format!("CREATE DATABASE \"{name}\";"));
        database
    }

    /// Runs a script; panics with what the server said when a statement fails.
    pub(crate) fn sql(&self, script: &str) {
        self.run(&self.name, script);
    }

    /// The rows of a query, their columns parted by tabs.
    pub(crate) fn query(&self, query: &str) -> Vec<String> {
        self.run(&self.name, query).lines().map(str::to_owned).collect()
    }

    /// One value of a query with one row.
    pub(crate) fn value(&self, query: &str) -> String {
        self.query(query).pop().unwrap_or_else(|| panic!("no row: {query}"))
    }

    /// Waits until somebody streams from a slot. While it is being made a slot is active too, so its
    /// position must be there as well.
    pub(crate) fn wait_streamed(&self, slot: &str) {
        let query = format!(
            "SELECT count(*) FROM pg_replication_slots
              WHERE slot_name = '{slot}' AND active AND confirmed_flush_lsn IS NOT NULL"
        );
        wait_for(&format!("a stream from slot {slot}"), Duration::from_secs(60), || {
            (self.value(&query) == "1").then_some(())
        });
    }

    /// What a script prints, or nothing where it fails because the server is on its way down or up.
    pub(crate) fn try_sql(&self, script: &str) -> Option<String> {
        let output = self.attempt(&self.name, script).expect("psql");
        let text = String::from_utf8(output.stdout).expect("psql prints UTF-8");
        output.status.success().then_some(text)
    }

    /// Runs a query whose answer is read from the server and thrown away.
    pub(crate) fn stream_away(&self, query: &str) {
        let status = self
            .psql(&self.name)
            .args(["-c", query])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("psql");
        assert!(status.success(), "{query}: {status}");
    }

    fn run(&self, database: &str, script: &str) -> String {
        let output = self.attempt(database, script).expect("psql");
        assert!(
            output.status.success(),
            "SQL in {database}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            script.chars().take(2000).collect::<String>()
        );
        String::from_utf8(output.stdout).expect("psql prints UTF-8")
    }

    fn attempt(&self, database: &str, script: &str) -> std::io::Result<Output> {
        let mut child = self.psql(database).spawn()?;
        let mut stdin = child.stdin.take().expect("a pipe");
        let script = script.to_owned();
        // From a thread: a script longer than a pipe meets a psql that waits to be read.
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let output = child.wait_with_output()?;
        match writer.join().expect("the writer") {
            // psql ends at the first error and leaves the rest unread; its status tells.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(output),
        }
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"])
            .args(["-h", &self.host, "-p", &self.port, "-d", database])
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The database with its slots; a connection of a worker just stopped may last a moment longer.
    fn drop_now(&self) {
        let name = &self.name;
        wait_for(&format!("dropping database {name}"), Duration::from_secs(30), || {
            let script = format!(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                   WHERE database = '{name}' AND active;
                 SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                   WHERE database = '{name}' AND NOT active;
                 DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE);"
            );
            let output = self.attempt("postgres", &script).expect("psql");
            output.status.success().then_some(())
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // After a failed test the database stays, to be looked at; its next run begins by dropping it.
        if !std::thread::panicking() {
            self.drop_now();
        }
    }
}
