//! `riverrun connect-distributed`: one worker of a group; ends on SIGINT or SIGTERM.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use super::{
    BAD_CONFIG, NOT_STARTED,
    logging::Loggers,
    worker::{self, Failure, Signals},
};
use crate::{
    herder::{
        Distributed, Herder as _, distributed::Parts, providers::read_properties,
        worker_config::WorkerConfig,
    },
    rest::{self, Api, Stop, server},
    runtime::transport,
};

/// Of the process when the worker can't stay in its group, as the JVM's.
const HERDER_ENDED: u8 = 1;

pub(super) fn run(levels: Option<&str>, worker: &str) -> ExitCode {
    worker::run(levels, |loggers| work(loggers, worker))
}

async fn work(loggers: Arc<Loggers>, worker: &str) -> Result<(), Failure> {
    let bad = |wrong: String| {
        Failure(BAD_CONFIG, format!("bad worker configuration in {worker}:\n{wrong}"))
    };
    let not_started = |wrong: String| Failure(NOT_STARTED, wrong);
    let mut signals = Signals::listen()?;

    let props = read_properties(Path::new(worker))
        .map_err(|error| bad(format!("the file could not be read: {error}")))?;
    let (config, group) = WorkerConfig::distributed(props).map_err(bad)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let bound = server::bind(&config).await.map_err(not_started)?;
    let transport =
        transport::open(&config.props).map_err(|error| Failure(BAD_CONFIG, error.trace()))?;
    let servers = config.props.get("bootstrap.servers").cloned().unwrap_or_default();
    tracing::info!("joining group {} of Kafka at {servers}", group.group_id);
    let parts = Parts {
        worker: config,
        group,
        worker_id: bound.worker_id.clone(),
        url: format!("http://{}/", bound.worker_id),
        transport,
        loggers: loggers.clone(),
    };
    // A signal ends a start that waits for Kafka, too.
    let herder = tokio::select! {
        started = Distributed::start(parts) => {
            started.map_err(|error| not_started(error.trace()))?
        }
        () = signals.next() => return Ok(()),
    };

    let urls = bound.urls().join(" and ");
    let stop = Stop::new();
    let router = rest::router(Api { herder: Arc::new(herder.clone()), loggers });
    let serving = tokio::spawn(bound.serve(router, stop.clone()));
    tracing::info!("{} listens on {urls}", rest::build_version());
    tokio::spawn(herder.clone().meet_kafka());

    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        why = herder.ended() => Err(Failure(HERDER_ENDED, why)),
    };
    tracing::info!("stopping");
    signals.or_at_once(herder.shut_down()).await?;
    stop.cancel();
    // Keep-alive connections would hold the server open; what matters has been answered.
    drop(tokio::time::timeout(Duration::from_millis(500), serving).await);
    tracing::info!("stopped");
    ended
}
