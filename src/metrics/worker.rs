//! What a worker counts: `connect-worker-metrics`, `connect-worker-rebalance-metrics` and
//! `connect-coordinator-metrics`.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use model::figures::clock_ms;

use crate::group::Observer;

use super::{
    text::{Labels, Text},
    window::{Frame, Window},
};

/// Starts of connectors, or of tasks.
pub(super) struct Starts {
    ok: AtomicU64,
    failed: AtomicU64,
    ok_lately: Window,
    failed_lately: Window,
}

impl Starts {
    pub(super) fn new(frame: Frame) -> Self {
        Self {
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ok_lately: Window::new(frame),
            failed_lately: Window::new(frame),
        }
    }

    pub(super) fn count(&self, ok: bool) {
        let (total, lately) = match ok {
            true => (&self.ok, &self.ok_lately),
            false => (&self.failed, &self.failed_lately),
        };
        total.fetch_add(1, Relaxed);
        lately.record(clock_ms(), 1);
    }

    /// `what` is `connector` or `task`.
    pub(super) fn write(&self, what: &str, text: &mut Text) {
        let (ok, failed) = (self.ok.load(Relaxed), self.failed.load(Relaxed));
        let name = |part: &str| format!("kafka_connect_worker_{what}_startup_{part}");
        text.counter(
            &name("attempts_total"),
            &format!("Times a {what} was started on this worker."),
            &[],
            ok + failed,
        );
        let help = format!("Times a {what} came to run after its start.");
        text.counter(&name("success_total"), &help, &[], ok);
        let help = format!("Times a {what} failed before it came to run.");
        text.counter(&name("failure_total"), &help, &[], failed);
        let now = clock_ms();
        let (succeeded, failed) = share(&self.ok_lately, &self.failed_lately, now);
        let help = format!("Share of the last {what} starts that succeeded, 0 to 1.");
        text.gauge(&name("success_percentage"), &help, &[], succeeded);
        let help = format!("Share of the last {what} starts that failed, 0 to 1.");
        text.gauge(&name("failure_percentage"), &help, &[], failed);
    }
}

/// The shares of two outcomes; 0 without any, as Kafka's `Frequencies` has it.
pub(super) fn share(ok: &Window, failed: &Window, now: u64) -> (f64, f64) {
    let (ok, failed) = (ok.seen(now).count as f64, failed.seen(now).count as f64);
    let all = ok + failed;
    if all == 0.0 { (0.0, 0.0) } else { (ok / all, failed / all) }
}

/// A request of the group's protocol: how often, and how long it took.
struct Requests {
    total: AtomicU64,
    took: Window,
}

impl Requests {
    fn new(frame: Frame) -> Self {
        Self { total: AtomicU64::new(0), took: Window::new(frame) }
    }

    fn count(&self, took: Duration) {
        self.total.fetch_add(1, Relaxed);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.took.record(clock_ms(), ms);
    }

    /// How many a second.
    fn rate(&self, now: u64) -> f64 {
        let seen = self.took.seen(now);
        seen.count as f64 / seen.seconds
    }
}

/// A worker's part in its group. A standalone worker has none.
pub struct GroupMetrics {
    client_id: String,
    about: Mutex<About>,
    epoch: AtomicI64,
    /// When the rebalance under way began; 0 without one.
    rebalancing: AtomicU64,
    rebalances: Requests,
    rebalance_ms: AtomicU64,
    last_rebalance: AtomicU64,
    failed: Requests,
    heartbeats: Requests,
    last_heartbeat: AtomicU64,
    joins: Requests,
    syncs: Requests,
    connectors: AtomicU64,
    tasks: AtomicU64,
}

#[derive(Default)]
struct About {
    protocol: String,
    leader: String,
}

impl Observer for GroupMetrics {
    fn heartbeat(&self, took: Duration) {
        self.heartbeats.count(took);
        self.last_heartbeat.store(clock_ms(), Relaxed);
    }

    fn joined(&self, took: Duration) {
        self.joins.count(took);
    }

    fn synced(&self, took: Duration) {
        self.syncs.count(took);
    }
}

impl GroupMetrics {
    /// `client_id` is the worker's: `client.id`, or `connect-host:port`.
    pub(super) fn new(frame: Frame, client_id: String) -> Self {
        Self {
            client_id,
            about: Mutex::default(),
            epoch: AtomicI64::new(-1),
            rebalancing: AtomicU64::new(0),
            rebalances: Requests::new(frame),
            rebalance_ms: AtomicU64::new(0),
            last_rebalance: AtomicU64::new(0),
            failed: Requests::new(frame),
            heartbeats: Requests::new(frame),
            last_heartbeat: AtomicU64::new(0),
            joins: Requests::new(frame),
            syncs: Requests::new(frame),
            connectors: AtomicU64::new(0),
            tasks: AtomicU64::new(0),
        }
    }

    /// A rebalance begins: the worker is to join again. Counts once until [`Self::rebalanced`].
    pub fn rebalancing(&self) {
        // Asking to join again while joining is the same rebalance.
        let _same = self.rebalancing.compare_exchange(0, clock_ms(), Relaxed, Relaxed);
    }

    /// The worker has its assignment. `protocol` is EAGER, COMPATIBLE or SESSIONED, `leader_url` the
    /// leader's REST address.
    pub fn rebalanced(&self, generation: i32, protocol: &str, leader_url: &str) {
        let now = clock_ms();
        let begun = match self.rebalancing.swap(0, Relaxed) {
            0 => now,
            begun => begun,
        };
        let took = now.saturating_sub(begun);
        self.rebalances.count(Duration::from_millis(took));
        self.rebalance_ms.fetch_add(took, Relaxed);
        self.last_rebalance.store(now, Relaxed);
        self.epoch.store(i64::from(generation), Relaxed);
        let mut about = self.about.lock().unwrap_or_else(PoisonError::into_inner);
        protocol.clone_into(&mut about.protocol);
        leader_url.clone_into(&mut about.leader);
    }

    /// A try to join or to sync failed.
    pub fn rebalance_failed(&self) {
        self.failed.count(Duration::ZERO);
    }

    /// What this worker has now.
    pub fn assigned(&self, connectors: usize, tasks: usize) {
        self.connectors.store(connectors as u64, Relaxed);
        self.tasks.store(tasks as u64, Relaxed);
    }

    pub(super) fn write(&self, text: &mut Text) {
        let now = clock_ms();
        self.write_rebalances(now, text);
        self.write_coordinator(now, &[("clientId", &self.client_id)], text);
    }

    fn write_rebalances(&self, now: u64, text: &mut Text) {
        let name = |part: &str| format!("kafka_connect_worker_rebalance_{part}");
        let (protocol, leader) = {
            let about = self.about.lock().unwrap_or_else(PoisonError::into_inner);
            (about.protocol.clone(), about.leader.clone())
        };
        let rebalances = self.rebalances.took.seen(now);
        let last = self.last_rebalance.load(Relaxed);
        let since = if last == 0 { f64::INFINITY } else { now.saturating_sub(last) as f64 };
        let rebalancing = self.rebalancing.load(Relaxed) != 0;
        text.gauge(
            &name("connect_protocol"),
            "The protocol of the group.",
            &[("connect_protocol", &protocol)],
            1.0,
        );
        text.gauge(&name("leader_name"), "The leader's URL.", &[("leader_name", &leader)], 1.0);
        text.gauge(&name("epoch"), "The group's generation.", &[], self.epoch.load(Relaxed) as f64);
        text.counter(
            &name("completed_rebalances_total"),
            "Rebalances this worker has been through.",
            &[],
            self.rebalances.total.load(Relaxed),
        );
        let help = "1 while the worker is in a rebalance.";
        text.gauge(&name("rebalancing"), help, &[], f64::from(u8::from(rebalancing)));
        let help = "The longest rebalance of the window, in milliseconds.";
        text.gauge(&name("rebalance_max_time_ms"), help, &[], rebalances.max);
        let help = "How long a rebalance of the window took on average, in milliseconds.";
        text.gauge(&name("rebalance_avg_time_ms"), help, &[], rebalances.average());
        let help = "Milliseconds since the last rebalance; infinite before the first.";
        text.gauge(&name("time_since_last_rebalance_ms"), help, &[], since);
    }

    fn write_coordinator(&self, now: u64, client: Labels<'_>, text: &mut Text) {
        let name = |part: &str| format!("kafka_connect_coordinator_{part}");
        let assigned = [("assigned_connectors", &self.connectors), ("assigned_tasks", &self.tasks)];
        for (part, value) in assigned {
            let help = "What the group gave this worker.";
            text.gauge(&name(part), help, client, value.load(Relaxed) as f64);
        }
        for (what, requests) in
            [("heartbeat", &self.heartbeats), ("join", &self.joins), ("sync", &self.syncs)]
        {
            if requests.total.load(Relaxed) == 0 {
                // None has been measured.
                continue;
            }
            let (total, rate) = (format!("{what}_total"), format!("{what}_rate"));
            let help = format!("Answers to {what} requests of the group's protocol.");
            text.counter(&name(&total), &help, client, requests.total.load(Relaxed));
            let help = format!("Answers to {what} requests a second.");
            text.gauge(&name(&rate), &help, client, requests.rate(now));
            let took = requests.took.seen(now);
            if what == "heartbeat" {
                let help = "The longest time a heartbeat took, in milliseconds.";
                text.gauge(&name("heartbeat_response_time_max"), help, client, took.max);
                continue;
            }
            let help = format!("How long a {what} took on average, in milliseconds.");
            text.gauge(&name(&format!("{what}_time_avg")), &help, client, took.average());
            let help = format!("How long a {what} took at most, in milliseconds.");
            text.gauge(&name(&format!("{what}_time_max")), &help, client, took.max);
        }
        for (what, requests) in
            [("rebalance", &self.rebalances), ("failed_rebalance", &self.failed)]
        {
            let help = "Rebalances of the group.";
            let total = requests.total.load(Relaxed);
            text.counter(&name(&format!("{what}_total")), help, client, total);
            let help = "Rebalances of the group, an hour.";
            let hourly = requests.rate(now) * 3_600.0;
            text.gauge(&name(&format!("{what}_rate_per_hour")), help, client, hourly);
        }
        let took = self.rebalances.took.seen(now);
        let help = "How long rebalances took, in milliseconds.";
        text.gauge(&name("rebalance_latency_avg"), help, client, took.average());
        text.gauge(&name("rebalance_latency_max"), help, client, took.max);
        let total = self.rebalance_ms.load(Relaxed);
        text.counter(&name("rebalance_latency_total"), help, client, total);
        // As Kafka's clients: -1 before the first.
        let ago = |last: &AtomicU64| match last.load(Relaxed) {
            0 => -1.0,
            last => (now.saturating_sub(last) / 1_000) as f64,
        };
        if self.last_heartbeat.load(Relaxed) != 0 {
            let help = "Seconds since the last heartbeat was answered.";
            let heartbeat = ago(&self.last_heartbeat);
            text.gauge(&name("last_heartbeat_seconds_ago"), help, client, heartbeat);
        }
        let help = "Seconds since the last rebalance; -1 before the first.";
        let rebalance = ago(&self.last_rebalance);
        text.gauge(&name("last_rebalance_seconds_ago"), help, client, rebalance);
    }
}
