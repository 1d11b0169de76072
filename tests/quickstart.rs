//! `./quickstart` as a person runs it: the first events appear, REST answers, Ctrl-C ends all of it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{http, servers, wait_for, worker};

/// The script, killed with all it started should the test fail.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            worker::signal("-TERM", self.0.id());
            for _ in 0..300 {
                if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
            worker::signal("-KILL", self.0.id());
            let _status = self.0.wait();
        }
    }
}

/// Runs `./quickstart` with `arguments` until a line that holds `event`, then interrupts it.
fn until(instance: &str, arguments: &[&str], pg_port: &str, kafka_port: &str, event: &str) {
    let rest_port = worker::free_port().to_string();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new(root.join("quickstart"));
    script
        .args(arguments)
        .env("RIVERRUN_BIN", env!("CARGO_BIN_EXE_riverrun"))
        .env("INSTANCE", instance)
        .env("REST_PORT", &rest_port)
        .env("PG_PORT", pg_port)
        .env("KAFKA_PORT", kafka_port)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut script = Script(script.spawn().expect("bash"));
    let output = BufReader::new(script.0.stdout.take().expect("a pipe"));
    let (lines, seen) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let mut said = Vec::new();
    let next = |said: &mut Vec<String>| {
        let line = seen.recv_timeout(Duration::from_secs(120));
        let line = line.unwrap_or_else(|_| panic!("nothing more after\n{}", said.join("\n")));
        said.push(line.clone());
        line
    };
    let end = Instant::now() + Duration::from_secs(180);
    while !next(&mut said).contains(event) {
        assert!(Instant::now() < end, "no {event} in\n{}", said.join("\n"));
    }
    let status = format!("http://127.0.0.1:{rest_port}/connectors/shop/status");
    let status = http::request("GET", &status, None).expect("the REST API");
    assert!(status.body.contains("RUNNING"), "{}", status.body);

    worker::signal("-INT", script.0.id());
    let status =
        wait_for("the script's end", Duration::from_secs(60), || script.0.try_wait().unwrap());
    assert!(status.success(), "{status}\n{}", said.join("\n"));
    loop {
        match seen.recv_timeout(Duration::from_secs(20)) {
            Ok(line) => said.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("what the script started still runs\n{}", said.join("\n"))
            }
        }
    }
    reader.join().expect("the reader");
    let said = said.join("\n");
    assert!(said.contains("postgres: stopped"), "PostgreSQL was left running\n{said}");
    let answer = http::request("GET", &format!("http://127.0.0.1:{rest_port}/"), None);
    assert!(answer.is_err(), "the worker was left running\n{said}");
}

#[test]
fn prints_changes_in_process() {
    if servers::postgres("quickstart::prints_changes_in_process").is_some() {
        until("quickstart-test", &["--clean"], "25435", "29098", "shop.public.orders");
    }
}

#[test]
fn prints_changes_from_kafka() {
    if servers::kafka("quickstart::prints_changes_from_kafka").is_some() {
        let event = "shop.public.orders {\"id\":";
        until("quickstart-kafka-test", &["--kafka", "--clean"], "25436", "29100", event);
    }
}
