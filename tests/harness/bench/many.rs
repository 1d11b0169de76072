//! One worker with many idle connectors: how long they take to start, what they hold, and how fast
//! REST answers.
//!
//! The connectors are file sources whose file has one line. Each worker is the only one of its group.
//! It is told of the connectors, ended by SIGTERM, and started again: timed is from the start of the
//! process until every connector and task is RUNNING, and from SIGTERM to the process's end.

use std::{
    cell::RefCell,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    PATIENCE,
    harness::{rest::Rest, topics, wait_for, worker::Home},
    process::Process,
    script,
    table::Table,
};

const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Figures {
    create: f64,
    start: f64,
    rss: f64,
    cpu: f64,
    middle: f64,
    high: f64,
    stop: f64,
}

/// A worker that can be started, ended, and started again.
struct Subject<'a> {
    start: &'a dyn Fn() -> (Rest, Process),
    /// SIGTERM, and the process's end.
    end: &'a dyn Fn(),
}

/// Leaves the connectors in the peer's topics, so it is the last of all measurements.
pub(crate) fn run(kafka: &str, peer: &Rest, peer_process: &dyn Fn() -> Process, table: &mut Table) {
    let count = crate::number("CONNECTORS", 500) as usize;
    let home = Home::of_group("bench-many", kafka, "bench-many");
    topics::delete(kafka, "bench-many");
    let file = home.directory.join("input.txt");
    fs::write(&file, "a line\n").expect("the sources' file");
    script("connect-stop");
    let jvm = Subject {
        start: &|| {
            script("connect-start");
            (peer.clone(), peer_process())
        },
        end: &|| script("connect-stop"),
    };
    let running = RefCell::new(None);
    let ours = Subject {
        start: &|| {
            let worker = home.start(&[]);
            let (rest, process) = (worker.rest.clone(), Process(worker.child.id()));
            *running.borrow_mut() = Some(worker);
            (rest, process)
        },
        end: &|| {
            let worker = running.borrow_mut().take().expect("a worker that was started");
            assert!(worker.terminate().success(), "{}", home.log());
        },
    };
    let figures = [&jvm, &ours].map(|subject| {
        let figures = subject.measure(count, &file);
        eprintln!("{count} connectors: {figures:.1?}");
        figures
    });
    let mut row = |what: &str, part: fn(&Figures) -> f64| {
        let what = format!("{count} idle connectors: {what}");
        table.row(&what, part(&figures[0]), part(&figures[1]), None);
    };
    row("created, s", |f| f.create);
    row("start to all RUNNING, s", |f| f.start);
    row("RSS, MiB", |f| f.rss);
    row("CPU-s of 30 idle seconds", |f| f.cpu);
    row("GET status p50, ms", |f| f.middle);
    row("GET status p99, ms", |f| f.high);
    row("SIGTERM to the end, s", |f| f.stop);
    topics::delete(kafka, "bench-many");
}

impl Subject<'_> {
    fn measure(&self, count: usize, file: &Path) -> Figures {
        let names: Vec<String> = (0..count).map(|n| format!("bench-many-{n}")).collect();
        let (rest, _) = (self.start)();
        let began = Instant::now();
        create(&rest, &names, file);
        all_running(&rest, count);
        let create = began.elapsed().as_secs_f64();
        (self.end)();

        let began = Instant::now();
        let (rest, process) = (self.start)();
        all_running(&rest, count);
        let start = began.elapsed().as_secs_f64();
        let before = process.cpu();
        thread::sleep(IDLE); // The measurement's own length.
        let cpu = process.cpu() - before;
        let mut delays: Vec<f64> = (0..2_000)
            .map(|n| {
                let path = format!("/connectors/{}/status", names[n % count]);
                let began = Instant::now();
                rest.call("GET", &path, None);
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        delays.sort_by(f64::total_cmp);
        let rss = process.rss_mib();
        let began = Instant::now();
        (self.end)();
        let stop = began.elapsed().as_secs_f64();
        let (middle, high) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
        Figures { create, start, rss, cpu, middle, high, stop }
    }
}

/// Creates the connectors, eight requests at a time. A worker that is in a round says 409.
fn create(rest: &Rest, names: &[String], file: &Path) {
    let next = AtomicUsize::new(0);
    let create = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let config = json!({ "name": name, "config": {
                "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
                "tasks.max": "1",
                "file": file,
                "topic": "bench-many-lines",
            }});
            wait_for(&format!("the creation of {name}"), PATIENCE, || {
                let answer = rest.ask("POST", "/connectors", Some(&config.to_string()));
                assert!([201, 409, 500].contains(&answer.status), "{}", answer.body);
                (answer.status == 201 || answer.body.contains("already exists")).then_some(())
            });
        }
    };
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(create))));
}

fn all_running(rest: &Rest, count: usize) {
    wait_for(&format!("{count} running connectors"), PATIENCE, || {
        let all = rest.ask("GET", "/connectors?expand=status", None);
        let all: Value = serde_json::from_str(&all.body).ok()?;
        let running = |connector: &&Value| {
            let status = &connector["status"];
            let task = status["tasks"].get(0).is_some_and(|task| task["state"] == "RUNNING");
            status["connector"]["state"] == "RUNNING" && task
        };
        let all = all.as_object()?;
        (all.values().filter(running).count() == count).then_some(())
    });
}
