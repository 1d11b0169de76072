//! `riverrun connect-standalone`: REST first, then connectors; ends on SIGINT or SIGTERM.

use std::{path::Path, process::ExitCode, sync::Arc};

use super::{
    BAD_CONFIG, NOT_STARTED, connector_file,
    logging::{Loggers, Wanted},
    worker::{self, Failure, Rest, Signals},
};
use crate::{
    herder::{
        Herder as _, Standalone, offset_file::OffsetFile, providers::read_properties,
        worker_config::WorkerConfig,
    },
    rest::server,
    runtime::{Tasks, Threads, transport},
};

pub(super) fn run(log: Wanted<'_>, worker: &str, connectors: &[&str]) -> ExitCode {
    worker::run(log, |loggers, threads| work(loggers, threads, worker, connectors))
}

async fn work(
    loggers: Arc<Loggers>,
    threads: Threads,
    worker_file: &str,
    connectors: &[&str],
) -> Result<(), Failure> {
    let bad = |wrong: String| {
        Failure(BAD_CONFIG, format!("bad worker configuration in {worker_file}:\n{wrong}"))
    };
    let not_started = |wrong: String| Failure(NOT_STARTED, wrong);
    let mut signals = Signals::listen()?;

    let props = read_properties(Path::new(worker_file))
        .map_err(|error| bad(format!("the file could not be read: {error}")))?;
    let config = WorkerConfig::standalone(props).map_err(bad)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let bound = server::bind(&config.rest).await.map_err(not_started)?;
    let offsets = OffsetFile::open(&config.offset_file).map_err(not_started)?;
    let transport =
        transport::open(&config.props).map_err(|error| Failure(BAD_CONFIG, error.trace()))?;
    let kafka = config.props.get("bootstrap.servers").cloned();
    let metrics = worker::metrics(&config, &bound.worker_id);
    let tasks = Tasks {
        transport,
        offsets: Arc::new(offsets),
        worker: Arc::new(config.props.clone()),
        metrics: metrics.clone(),
        threads,
    };
    let worker_id = bound.worker_id.clone();
    let rest = Rest::serve(bound, &config, loggers, metrics);
    let herder = Standalone::new(config, worker_id, tasks);
    rest.started(herder.clone());
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
        () = signals.next() => (Ok(()), true),
    };
    if started.is_ok() && !signalled {
        signals.next().await;
    }
    tracing::info!("stopping");
    signals.or_at_once(herder.shut_down()).await?;
    rest.stop().await;
    tracing::info!("stopped");
    started
}

/// Starts the connectors in the order given, as Connect does; the first that fails ends the worker.
async fn start_all(herder: &Standalone, connectors: &[&str]) -> Result<(), Failure> {
    for path in connectors {
        let told = |wrong: String| {
            Failure(NOT_STARTED, format!("Failed to create connector for {path}:\n{wrong}"))
        };
        let file = connector_file::read(path).map_err(told)?;
        let created = herder.put(&file.name, file.config, Some(file.initial), false).await;
        created.map_err(|refusal| told(refusal.message))?;
        tracing::info!("[{}|worker] connector is created from {path}", file.name);
    }
    Ok(())
}
