//! A worker of the JVM as a process: one of a group of any name, beside the peer that all tests share.

use std::{path::Path, process::Command};

use super::worker::signal;

/// A JVM worker's place: its directory in the lab, and its port, are those of its name.
pub(crate) struct Jvm {
    /// The harness's INSTANCE.
    name: String,
    /// Where the search for a free port begins.
    port: u16,
    kafka: String,
    group: String,
    /// `key=value` pairs for the worker's properties, parted by `;`.
    properties: String,
}

/// A running one.
pub(crate) struct Process {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

impl Jvm {
    pub(crate) fn new(name: &str, port: u16, kafka: &str, group: &str, properties: &str) -> Self {
        Self {
            name: name.into(),
            port,
            kafka: kafka.into(),
            group: group.into(),
            properties: properties.into(),
        }
    }

    /// Starts it and waits for its REST API.
    pub(crate) fn start(&self) -> Process {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/connect-start");
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.log", self.name));
        // To a file: the server started by the script would hold a pipe open for good.
        let file = std::fs::File::create(&log).expect("the log of a script");
        let status = Command::new(&path)
            .env("INSTANCE", &self.name)
            .env("KAFKA", &self.kafka)
            .env("GROUP", &self.group)
            .env("CONNECT_PORT", self.port.to_string())
            .env("CONNECT_HEAP", "-Xms64m -Xmx512m")
            .env("EXTRA", &self.properties)
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .status()
            .expect("connect-start");
        let said = std::fs::read_to_string(&log).expect("the log of a script");
        assert!(status.success(), "{}: {status}\n{said}", self.name);
        let ready = said.lines().find_map(|line| line.strip_prefix("ready: connect "));
        let (url, pid) = ready.and_then(|line| line.split_once(" pid ")).expect("address and pid");
        Process { url: url.into(), pid: pid.trim().parse().expect("a pid") }
    }
}

impl Process {
    /// Whether it runs: it is no child of this process.
    pub(crate) fn lives(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The state follows the name, which stands in parentheses. A zombie has ended, but until its
        // last thread has ended too it holds its ports.
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.pid)).map_or(0, Iterator::count);
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') || threads > 1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lives() {
            signal("-KILL", self.pid);
        }
    }
}
