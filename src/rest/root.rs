//! `GET /` and `GET /health`.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;

use super::{Answer, Outcome, Server};

/// The version of Kafka Connect whose API this is; clients look at it.
pub(crate) const KAFKA_VERSION: &str = "4.3.1";

#[derive(Serialize)]
struct ServerInfo {
    version: &'static str,
    commit: String,
    kafka_cluster_id: Option<String>,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    message: String,
}

/// How long the check may take.
pub(super) const CHECK_MAX: Duration = Duration::from_secs(10);

/// Our own version: the package's and the commit it was built from.
pub(crate) fn build_version() -> String {
    let commit = option_env!("RIVERRUN_COMMIT").unwrap_or("unknown");
    format!("riverrun-{}-{commit}", env!("CARGO_PKG_VERSION"))
}

pub(super) fn info(server: &Server) -> Answer {
    Answer::ok(&ServerInfo {
        version: KAFKA_VERSION,
        commit: build_version(),
        kafka_cluster_id: server.herder.borrow().as_ref().and_then(|herder| herder.cluster_id()),
    })
}

/// Healthy is a worker whose herder answers; the JVM waits as long for one that starts.
pub(super) async fn health(server: &Server, within: Duration) -> Outcome {
    let answer = |status: StatusCode, name: &'static str, message: String| {
        Ok(Answer::json(status, &Health { status: name, message }))
    };
    let check = async {
        let api = server.api().await?;
        api.herder.check().await.map_err(Answer::from)
    };
    match tokio::time::timeout(within, check).await {
        Ok(Ok(())) => answer(
            StatusCode::OK,
            "healthy",
            "Worker has completed startup and is ready to handle requests.".to_owned(),
        ),
        _ if server.herder.borrow().is_none() => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            format!("Worker is still starting up. {}", server.stage()),
        ),
        _ => {
            let stage = server.herder.borrow().as_ref().and_then(|herder| herder.stage());
            let stage = stage.map_or_else(String::new, |stage| format!(" {stage}"));
            let message = format!(
                "Worker was unable to handle this request and may be unable to handle other \
                 requests.{stage}"
            );
            answer(StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", message)
        }
    }
}
