//! `/admin/loggers`: the worker's log levels, changed while it runs.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Call, Outcome, Server, body};
use crate::{
    cli::logging::{Logger, Loggers},
    herder::Refusal,
};

pub(super) fn list(loggers: &Loggers) -> Answer {
    let all = loggers.list().into_iter();
    let all: Map<String, Value> = all.map(|logger| (logger.name.clone(), level(&logger))).collect();
    Answer::ok(&all)
}

pub(super) fn show(loggers: &Loggers, name: &str) -> Outcome {
    match loggers.get(name) {
        Some(logger) => Ok(Answer::ok(&level(&logger))),
        None => Err(Refusal::new(404, format!("Logger {name} not found.")).into()),
    }
}

pub(super) async fn set(server: &Server, call: &Call<'_>) -> Outcome {
    let (loggers, name) = (&server.loggers, &call.route.name);
    let level = body::level(call)?;
    let unknown = || Answer::from(Refusal::new(404, format!("invalid log level '{level}'.")));
    let scope = call.query.iter().find(|(key, _)| key == "scope").map(|(_, value)| value);
    match scope.map(|scope| scope.to_ascii_lowercase()).as_deref() {
        Some("cluster") => {
            if !Loggers::is_level(&level) {
                return Err(unknown());
            }
            let herder = server.api().await?.herder;
            herder.set_loggers(name, &level).await?;
            // A worker of a group hears of it as all others do.
            if !herder.grouped() {
                loggers.set(name, &level);
            }
            return Ok(Answer::Empty(StatusCode::NO_CONTENT));
        }
        None | Some("worker") => {}
        Some(other) => tracing::warn!(
            "unknown scope {other} of a change of levels: it is made on this worker alone"
        ),
    }
    loggers.set(name, &level).map(|changed| Answer::ok(&changed)).ok_or_else(unknown)
}

fn level(logger: &Logger) -> Value {
    json!({ "level": logger.level.name(), "last_modified": logger.last_modified })
}
