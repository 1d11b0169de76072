//! `riverrun connect-distributed`: one worker of a group; ends on SIGINT or SIGTERM.

use std::{path::Path, process::ExitCode, sync::Arc};

use super::{
    BAD_CONFIG, NOT_STARTED,
    logging::{Loggers, Wanted},
    worker::{self, Failure, Rest, Signals},
};
use crate::{
    herder::{
        Distributed, Herder as _, distributed::Parts, providers::read_properties,
        worker_config::WorkerConfig,
    },
    rest::server,
    runtime::{Threads, transport},
};

/// Of the process when the worker can't stay in its group, as the JVM's.
const HERDER_ENDED: u8 = 1;

pub(super) fn run(log: Wanted<'_>, worker: &str) -> ExitCode {
    worker::run(log, |loggers, threads| work(loggers, threads, worker))
}

async fn work(loggers: Arc<Loggers>, threads: Threads, worker_file: &str) -> Result<(), Failure> {
    let bad = |wrong: String| {
        Failure(BAD_CONFIG, format!("bad worker configuration in {worker_file}:\n{wrong}"))
    };
    let not_started = |wrong: String| Failure(NOT_STARTED, wrong);
    let mut signals = Signals::listen()?;

    let props = read_properties(Path::new(worker_file))
        .map_err(|error| bad(format!("the file could not be read: {error}")))?;
    let (config, group) = WorkerConfig::distributed(props).map_err(bad)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let bound = server::bind(&config.rest).await.map_err(not_started)?;
    let transport =
        transport::open(&config.props).map_err(|error| Failure(BAD_CONFIG, error.trace()))?;
    let servers = config.props.get("bootstrap.servers").cloned().unwrap_or_default();
    tracing::info!("joining group {} of Kafka at {servers}", group.group_id);
    let metrics = worker::metrics(&config, &bound.worker_id);
    let worker_id = bound.worker_id.clone();
    let url = bound.url.clone();
    let rest = Rest::serve(bound, &config, loggers.clone(), metrics.clone());
    let parts =
        Parts { worker: config, group, worker_id, url, transport, loggers, metrics, threads };
    // A signal ends a start that waits for Kafka, too.
    let herder = tokio::select! {
        started = Distributed::start(parts) => {
            started.map_err(|error| not_started(error.trace()))?
        }
        () = signals.next() => return Ok(()),
    };

    rest.started(herder.clone());
    tokio::spawn(herder.clone().meet_kafka());

    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        why = herder.ended() => Err(Failure(HERDER_ENDED, why)),
    };
    tracing::info!("stopping");
    signals.or_at_once(herder.shut_down()).await?;
    rest.stop().await;
    tracing::info!("stopped");
    ended
}
