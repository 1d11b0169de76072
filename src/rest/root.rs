//! `GET /` and `GET /health`.

use axum::http::{Method, StatusCode};
use serde::Serialize;

use super::{Answer, Api, Call, Outcome, wrong_method};

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
    message: &'static str,
}

/// Our own version: the package's and the commit it was built from.
pub(crate) fn build_version() -> String {
    let commit = option_env!("RIVERRUN_COMMIT").unwrap_or("unknown");
    format!("riverrun-{}-{commit}", env!("CARGO_PKG_VERSION"))
}

pub(super) fn serve(api: &Api, call: &Call<'_>) -> Outcome {
    if !matches!(*call.method, Method::GET | Method::HEAD) {
        return Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"]));
    }
    Ok(match call.path {
        ["health"] => Answer::json(
            StatusCode::OK,
            &Health {
                status: "healthy",
                message: "Worker has completed startup and is ready to handle requests.",
            },
        ),
        _ => Answer::ok(&ServerInfo {
            version: KAFKA_VERSION,
            commit: build_version(),
            kafka_cluster_id: api.herder.cluster_id(),
        }),
    })
}
