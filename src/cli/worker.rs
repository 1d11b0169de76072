//! What both kinds of worker do: threads, log, signals, exit codes.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use super::{
    NOT_STARTED, WRONG_USAGE,
    logging::{self, Loggers, Wanted},
};
use crate::{
    herder::{Herder, worker_config::WorkerConfig},
    metrics::Metrics,
    rest::{self, Stop, server::Bound},
    runtime::Threads,
};

/// Of the process when a second signal ends it at once, as shells count it.
const INTERRUPTED: u8 = 130;

/// Why the worker ended, and with which exit code.
pub(super) struct Failure(pub(super) u8, pub(super) String);

/// Opens the log, runs a worker on threads of its own, and says why it ended.
pub(super) fn run<F, W>(log: Wanted<'_>, work: W) -> ExitCode
where
    W: FnOnce(Arc<Loggers>, Threads) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let loggers = match logging::open(log) {
        Ok(loggers) => loggers,
        Err(wrong) => {
            eprintln!("riverrun: {wrong}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    // Whatever tasks do with their threads, the worker has its own.
    let worker = Builder::new_multi_thread().thread_name("worker").enable_all().build();
    let ((worker, tasks), threads) = match worker.and_then(|it| Ok((it, Threads::open()?))) {
        Ok((worker, (tasks, threads))) => ((worker, tasks), threads),
        Err(error) => {
            eprintln!("riverrun: failed to start threads: {error}");
            return ExitCode::from(NOT_STARTED);
        }
    };
    let ended = worker.block_on(work(loggers, threads));
    // Threads that still wait for a network, or that connector code keeps, are not waited for.
    tasks.shutdown_timeout(Duration::from_millis(100));
    worker.shutdown_timeout(Duration::from_millis(100));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, message)) => {
            for line in message.lines() {
                tracing::error!("{line}");
            }
            ExitCode::from(code)
        }
    }
}

/// The worker's figures, under the id its Kafka clients have.
pub(super) fn metrics(config: &WorkerConfig, worker_id: &str) -> Arc<Metrics> {
    let given = config.props.get("client.id").map(|id| id.trim()).filter(|id| !id.is_empty());
    let client_id = given.map_or_else(|| format!("connect-{worker_id}"), str::to_owned);
    Metrics::new(&config.props, &client_id)
}

/// The REST API while the worker runs.
pub(super) struct Rest {
    herder: watch::Sender<Option<Arc<dyn Herder>>>,
    stop: Stop,
    serving: JoinHandle<()>,
}

impl Rest {
    /// Serves from now on, though the herder is yet to start: what needs it waits.
    pub(super) fn serve(
        bound: Bound,
        config: &WorkerConfig,
        loggers: Arc<Loggers>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (herder, started) = watch::channel(None);
        let stop = Stop::new();
        tracing::info!("{} listens on {}", rest::build_version(), bound.urls().join(" and "));
        let server = rest::Server {
            rest: config.rest.clone(),
            herder: started,
            loggers,
            metrics,
            since: chrono::Utc::now(),
        };
        let serving = tokio::spawn(bound.serve(server, stop.clone()));
        Self { herder, stop, serving }
    }

    pub(super) fn started(&self, herder: impl Herder + 'static) {
        self.herder.send_replace(Some(Arc::new(herder)));
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        // Keep-alive connections would hold the server open; what matters has been answered.
        drop(tokio::time::timeout(Duration::from_millis(500), self.serving).await);
    }
}

/// SIGINT and SIGTERM.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let open = |kind| {
            signal(kind).map_err(|error| {
                Failure(NOT_STARTED, format!("failed to listen for signals: {error}"))
            })
        };
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for `stopping`, unless a second signal says not to.
    pub(super) async fn or_at_once(
        &mut self,
        stopping: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        tokio::select! {
            () = stopping => Ok(()),
            () = self.next() => Err(Failure(
                INTERRUPTED,
                "a second signal: ended without waiting for tasks".to_owned(),
            )),
        }
    }
}
