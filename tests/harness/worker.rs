//! Riverrun as a process: a standalone worker with a directory, a port and a log of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use super::{http, rest::Rest, wait_for};

/// A worker's properties and what it keeps between starts.
pub(crate) struct Home {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    /// Lines added to the worker's properties; later lines win.
    pub(crate) properties: String,
    /// `connect-standalone` or `connect-distributed`.
    verb: &'static str,
}

impl Home {
    /// An empty one. Records go to `kafka`, or stay in the process where it is empty.
    pub(crate) fn new(name: &str, kafka: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _absent = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory for the worker");
        let port = free_port();
        let transport = match kafka {
            "" => String::new(),
            kafka => format!("bootstrap.servers={kafka}\n"),
        };
        let properties = format!(
            "{transport}listeners=http://127.0.0.1:{port}\n\
             offset.storage.file.filename={}\n\
             offset.flush.interval.ms=1000\n\
             key.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\n\
             key.converter.schemas.enable=false\n\
             value.converter.schemas.enable=false\n",
            directory.join("offsets").display()
        );
        Self { directory, port, properties, verb: "connect-standalone" }
    }

    /// One worker of the group `group`, whose topics begin with its name.
    pub(crate) fn of_group(name: &str, kafka: &str, group: &str) -> Self {
        let mut home = Self::new(name, kafka);
        home.verb = "connect-distributed";
        home.properties = home.properties.replace("offset.storage.file.filename", "#");
        home.properties.push_str(&format!(
            "group.id={group}\n\
             config.storage.topic={group}-configs\n\
             config.storage.replication.factor=1\n\
             offset.storage.topic={group}-offsets\n\
             offset.storage.replication.factor=1\n\
             offset.storage.partitions=5\n\
             status.storage.topic={group}-status\n\
             status.storage.replication.factor=1\n\
             rest.advertised.host.name=127.0.0.1\n\
             scheduled.rebalance.max.delay.ms=0\n"
        ));
        home
    }

    /// Starts the worker with these connector files, and waits for its REST API.
    pub(crate) fn start(&self, connectors: &[PathBuf]) -> Worker {
        self.start_with("", connectors)
    }

    /// With `more` lines in the worker's properties, this time.
    pub(crate) fn start_with(&self, more: &str, connectors: &[PathBuf]) -> Worker {
        let mut worker = self.spawn_with(more, connectors);
        wait_for("the worker's REST API", Duration::from_secs(30), || {
            if let Some(status) = worker.child.try_wait().expect("the child") {
                panic!("the worker ended: {status}\n{}", self.log());
            }
            let answer = http::request("GET", &format!("http://127.0.0.1:{}/", self.port), None);
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
        worker
    }

    /// Starts the worker and waits for nothing.
    pub(crate) fn spawn(&self, connectors: &[PathBuf]) -> Worker {
        self.spawn_with("", connectors)
    }

    fn spawn_with(&self, more: &str, connectors: &[PathBuf]) -> Worker {
        let file = self.directory.join("worker.properties");
        fs::write(&file, self.properties.clone() + more).expect("the worker's properties");
        let log = File::options().create(true).append(true).open(self.directory.join("worker.log"));
        let log = log.expect("the worker's log");
        // Another build than the tests' own, if one is named.
        let built = env!("CARGO_BIN_EXE_riverrun").to_owned();
        let child = Command::new(std::env::var("RIVERRUN_TEST_BINARY").unwrap_or(built))
            .arg(self.verb)
            .arg(&file)
            .args(connectors)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("riverrun starts");
        Worker { child, rest: Rest { url: format!("http://127.0.0.1:{}", self.port) } }
    }

    /// A connector file in the home: `name` with `config`.
    pub(crate) fn connector(&self, name: &str, config: &super::rest::Config) -> PathBuf {
        let file = self.directory.join(format!("{name}.json"));
        let text = serde_json::json!({ "name": name, "config": config }).to_string();
        fs::write(&file, text).expect("a connector file");
        file
    }

    /// The end of the worker's log, for messages.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.directory.join("worker.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// A running worker, ended when dropped.
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) rest: Rest,
}

impl Worker {
    /// `kill -9`: nothing of the worker runs after it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the worker runs");
        self.child.wait().expect("the worker ends");
    }

    /// Asks the worker to end, as a terminal or a service manager does, and waits for it.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        signal("-TERM", self.child.id());
        wait_for("the worker's end", Duration::from_secs(30), || {
            self.child.try_wait().expect("the child")
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
    }
}

pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill");
    assert!(status.success(), "kill {name} {pid}: {status}");
}

/// A port nobody listens on, below those the system gives to outgoing connections, so that it stays
/// free while a worker that had it starts again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 21_000 + (std::process::id() % 500) as u16 * 8;
    wait_for("a free port", Duration::from_secs(5), || {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        std::net::TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}
