//! The figures of tasks, as text.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use model::figures::clock_ms;

use super::{
    STATUS_HELP, TaskExtra, status,
    task::{Role, TaskMetrics},
    text::{Labels, Text},
    window::Window,
    worker::share,
};
use crate::runtime::State;

/// The label values of one task, and where its samples go.
struct Out<'a> {
    text: &'a mut Text,
    labels: Labels<'a>,
    now: u64,
}

impl Out<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.text.gauge(name, help, self.labels, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.text.counter(name, help, self.labels, value);
    }

    fn time(&mut self, prefix: &str, what: &str, window: &Window) {
        let seen = window.seen(self.now);
        let help = format!("The longest {what} of the window, in milliseconds.");
        self.gauge(&format!("{prefix}_max_time_ms"), &help, seen.max);
        let help = format!("How long a {what} of the window took on average, in milliseconds.");
        self.gauge(&format!("{prefix}_avg_time_ms"), &help, seen.average());
    }

    fn total_and_rate(&mut self, prefix: &str, what: &str, total: u64, window: &Window) {
        self.counter(&format!("{prefix}_total"), &format!("{what}."), total);
        let help = format!("{what}, a second.");
        self.gauge(&format!("{prefix}_rate"), &help, window.seen(self.now).rate());
    }
}

pub(super) fn write(tasks: &[Arc<TaskMetrics>], text: &mut Text) {
    for task in tasks {
        let number = task.task.to_string();
        let labels = [("connector", &*task.connector), ("task", number.as_str())];
        let mut out = Out { text, labels: &labels, now: clock_ms() };
        common(task, &mut out);
        match task.role {
            Role::Source => source(task, &mut out),
            Role::Sink => sink(task, &mut out),
        }
        errors(task, &mut out);
        own(task, &mut out);
        task.gauges.read(&mut |figure| {
            let text = &mut *out.text;
            text.sample(
                figure.name,
                figure.help,
                figure.counter,
                &labels,
                figure.labels,
                figure.value,
            );
        });
    }
}

fn common(task: &TaskMetrics, out: &mut Out<'_>) {
    let labels = [out.labels, &[("status", status(task.current_state()))]].concat();
    out.text.gauge("kafka_connect_connector_status", STATUS_HELP, &labels, 1.0);
    out.text.gauge("kafka_connect_connector_task_status", "Status of a task.", &labels, 1.0);
    let classes: Vec<_> = task.classes.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let labels = [out.labels, &classes].concat();
    let help = "What a task is made of.";
    out.text.gauge("kafka_connect_connector_task_info", help, &labels, 1.0);

    let name = |part: &str| format!("kafka_connect_connector_task_{part}");
    let (running, paused) = task.ratios();
    out.gauge(&name("running_ratio"), "Share of its life that the task was running.", running);
    out.gauge(&name("pause_ratio"), "Share of its life that the task was paused.", paused);
    out.time(&name("offset_commit"), "offset commit", &task.commit_ok);
    let (ok, failed) = share(&task.commit_ok, &task.commit_failed, out.now);
    let help = "Share of the window's offset commits that succeeded, 0 to 1.";
    out.gauge(&name("offset_commit_success_percentage"), help, ok);
    let help = "Share of the window's offset commits that failed, 0 to 1.";
    out.gauge(&name("offset_commit_failure_percentage"), help, failed);
    let batches = task.batch.seen(out.now);
    out.gauge(&name("batch_size_max"), "Records of the window's largest batch.", batches.max);
    let help = "Records of a batch of the window, on average.";
    out.gauge(&name("batch_size_avg"), help, batches.average());
}

fn source(task: &TaskMetrics, out: &mut Out<'_>) {
    let name = |part: &str| format!("kafka_connect_source_task_{part}");
    out.total_and_rate(
        &name("source_record_poll"),
        "Records the source gave, before transforms",
        task.taken.total.load(Relaxed),
        &task.taken.window,
    );
    out.total_and_rate(
        &name("source_record_write"),
        "Records stored in topics, after transforms",
        task.passed.total.load(Relaxed),
        &task.passed.window,
    );
    out.time(&name("poll_batch"), "wait for a batch of the source", &task.call);
    let help = "Records the source gave that are not stored yet.";
    active(task, &name("source_record_active_count"), help, out);
}

fn sink(task: &TaskMetrics, out: &mut Out<'_>) {
    let name = |part: &str| format!("kafka_connect_sink_task_{part}");
    out.total_and_rate(
        &name("sink_record_read"),
        "Records read from topics, before transforms",
        task.taken.total.load(Relaxed),
        &task.taken.window,
    );
    out.total_and_rate(
        &name("sink_record_send"),
        "Records the sink has taken",
        task.passed.total.load(Relaxed),
        &task.passed.window,
    );
    out.time(&name("put_batch"), "put", &task.call);
    let help = "Records read from topics whose offsets are not committed yet.";
    active(task, &name("sink_record_active_count"), help, out);
    let sink = &task.sink;
    let partitions = sink.partitions.load(Relaxed) as f64;
    out.gauge(&name("partition_count"), "Partitions the task has.", partitions);
    let number = sink.commit_seq.load(Relaxed) as f64;
    out.gauge(&name("offset_commit_seq_no"), "Number of the last offset commit.", number);
    out.total_and_rate(
        &name("offset_commit_completion"),
        "Offset commits that succeeded",
        sink.completed.total.load(Relaxed),
        &sink.completed.window,
    );
    out.total_and_rate(
        &name("offset_commit_skip"),
        "Offset commits whose answer came after a newer one's",
        sink.skipped.total.load(Relaxed),
        &sink.skipped.window,
    );
}

fn active(task: &TaskMetrics, name: &str, help: &str, out: &mut Out<'_>) {
    let seen = task.active.window.seen(out.now);
    out.gauge(name, help, task.active.now.load(Relaxed) as f64);
    out.gauge(&format!("{name}_max"), &format!("{help} The window's most."), seen.max);
    out.gauge(&format!("{name}_avg"), &format!("{help} The window's average."), seen.average());
}

fn errors(task: &TaskMetrics, out: &mut Out<'_>) {
    let errors = &task.errors;
    let figures = [
        (
            "total_record_failures",
            "Failed attempts on records, retried ones too.",
            &errors.failures,
        ),
        ("total_record_errors", "Records that ended in an error.", &errors.errors),
        ("total_records_skipped", "Records left out by errors.tolerance.", &errors.skipped),
        ("total_retries", "Operations that were tried again.", &errors.retries),
        ("total_errors_logged", "Errors written to the log.", &errors.logged),
        (
            "deadletterqueue_produce_requests",
            "Records sent to the dead-letter queue.",
            &errors.dlq_requests,
        ),
        (
            "deadletterqueue_produce_failures",
            "Records that could not be stored in the dead-letter queue.",
            &errors.dlq_failures,
        ),
        (
            "last_error_timestamp",
            "When the last error happened, in milliseconds since 1970; 0 without one.",
            &errors.last,
        ),
    ];
    for (part, help, value) in figures {
        out.gauge(&format!("kafka_connect_task_error_{part}"), help, value.load(Relaxed) as f64);
    }
}

fn own(task: &TaskMetrics, out: &mut Out<'_>) {
    let extra = task.extra();
    let help = "1 while the task makes no progress although it has work.";
    let stalled = extra.stalled.is_some();
    out.gauge("riverrun_task_stalled", help, f64::from(u8::from(stalled)));
    let help = "Times the task was found stalled.";
    out.counter("riverrun_task_stalls_total", help, task.health.stalls());
    let help = "Times the task was made anew because it was stalled.";
    out.counter("riverrun_task_rebuilds_total", help, task.health.rebuilds());
    if let Some(next) = extra.restart {
        let help = "When the failed task starts again by itself, in seconds since 1970.";
        out.gauge("riverrun_task_restart_time_seconds", help, next.at_ms as f64 / 1_000.0);
    }
}

impl TaskMetrics {
    /// What the task's status says beyond Connect's.
    pub fn extra(&self) -> TaskExtra {
        match self.current_state() {
            State::Failed => TaskExtra { restart: self.next_restart(), ..TaskExtra::default() },
            _ => TaskExtra {
                stalled: self.health.stall(),
                restart: None,
                snapshot: self.gauges.snapshot(),
            },
        }
    }
}
