//! `riverrun connect-standalone`: REST first, then connectors; ends on SIGINT or SIGTERM.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    BAD_CONFIG, NOT_STARTED, WRONG_USAGE, connector_file,
    logging::{self, Loggers},
};
use crate::{
    herder::{
        Herder, offset_file::OffsetFile, providers::read_properties, worker_config::WorkerConfig,
    },
    rest::{self, Api, Stop, server},
    runtime::{Tasks, transport},
};

/// Of the process when a second signal ends it at once, as shells count it.
const INTERRUPTED: u8 = 130;

/// Why the worker ended, and with which exit code.
struct Failure(u8, String);

pub(super) fn run(levels: Option<&str>, worker: &str, connectors: &[&str]) -> ExitCode {
    let loggers = match logging::open(levels) {
        Ok(loggers) => loggers,
        Err(wrong) => {
            eprintln!("riverrun: {wrong}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("riverrun: failed to start threads: {error}");
            return ExitCode::from(NOT_STARTED);
        }
    };
    let ended = runtime.block_on(work(loggers, worker, connectors));
    // Threads that still wait for a network are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
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

async fn work(loggers: Arc<Loggers>, worker: &str, connectors: &[&str]) -> Result<(), Failure> {
    let bad = |wrong: String| {
        Failure(BAD_CONFIG, format!("bad worker configuration in {worker}:\n{wrong}"))
    };
    let not_started = |wrong: String| Failure(NOT_STARTED, wrong);
    let failed_signals =
        |error: std::io::Error| not_started(format!("failed to listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed_signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed_signals)?;

    let props = read_properties(Path::new(worker))
        .map_err(|error| bad(format!("the file could not be read: {error}")))?;
    let config = WorkerConfig::standalone(props).map_err(bad)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let bound = server::bind(&config).await.map_err(not_started)?;
    let offsets = OffsetFile::open(&config.offset_file).map_err(not_started)?;
    let transport =
        transport::open(&config.props).map_err(|error| Failure(BAD_CONFIG, error.trace()))?;
    let kafka = config.props.get("bootstrap.servers").cloned();
    let tasks =
        Tasks { transport, offsets: Arc::new(offsets), worker: Arc::new(config.props.clone()) };
    let herder = Herder::new(config, bound.worker_id.clone(), tasks);

    let urls = bound.urls().join(" and ");
    let stop = Stop::new();
    let router = rest::router(Api { herder: herder.clone(), loggers });
    let serving = tokio::spawn(bound.serve(router, stop.clone()));
    tracing::info!("{} listens on {urls}", rest::build_version());
    match &kafka {
        Some(servers) => {
            tracing::info!("records go through Kafka at {servers}");
            tokio::spawn(herder.clone().meet_kafka());
        }
        None => tracing::info!(
            "no bootstrap.servers: records stay in this process, from sources to sinks"
        ),
    }

    // A signal ends a start that hangs, too.
    let starting = start_all(&herder, connectors);
    let (started, signalled) = tokio::select! {
        started = starting => (started, false),
        _ = interrupt.recv() => (Ok(()), true),
        _ = terminate.recv() => (Ok(()), true),
    };
    if started.is_ok() && !signalled {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    tracing::info!("stopping");
    let interrupted =
        || Failure(INTERRUPTED, "a second signal: ended without waiting for tasks".to_owned());
    tokio::select! {
        () = herder.shut_down() => {}
        _ = interrupt.recv() => return Err(interrupted()),
        _ = terminate.recv() => return Err(interrupted()),
    }
    stop.cancel();
    // Keep-alive connections would hold the server open; what matters has been answered.
    drop(tokio::time::timeout(Duration::from_millis(500), serving).await);
    tracing::info!("stopped");
    started
}

/// Starts the connectors in the order given, as Connect does; the first that fails ends the worker.
async fn start_all(herder: &Herder, connectors: &[&str]) -> Result<(), Failure> {
    for path in connectors {
        let told = |wrong: String| {
            Failure(NOT_STARTED, format!("Failed to create connector for {path}:\n{wrong}"))
        };
        let file = connector_file::read(path).map_err(told)?;
        let created = herder.put(&file.name, file.config, file.initial, true).await;
        created.map_err(|refusal| told(refusal.message))?;
        tracing::info!("[{}|worker] connector is created from {path}", file.name);
    }
    Ok(())
}
