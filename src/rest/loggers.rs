//! `/admin/loggers`: the worker's log levels, changed while it runs.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{Answer, Call, Outcome, Server, body, wrong_method};
use crate::{
    cli::logging::{Logger, Loggers},
    herder::Refusal,
};

pub(super) async fn serve(server: &Server, call: &Call<'_>) -> Outcome {
    let loggers = &server.loggers;
    let get = matches!(*call.method, Method::GET | Method::HEAD);
    match call.path.get(2..).unwrap_or_default() {
        [] if get => {
            let all = loggers.list().into_iter();
            let all: Map<String, Value> =
                all.map(|logger| (logger.name.clone(), show(&logger))).collect();
            Ok(Answer::ok(&all))
        }
        [] => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"])),
        [name] if get => match loggers.get(name) {
            Some(logger) => Ok(Answer::ok(&show(&logger))),
            None => Err(Refusal::new(404, format!("Logger {name} not found.")).into()),
        },
        [name] if *call.method == Method::PUT => {
            let level = body::level(call)?;
            let unknown =
                || Answer::from(Refusal::new(404, format!("invalid log level '{level}'.")));
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
        [_] => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS", "PUT"])),
        _ => Err(Answer::Unmatched(StatusCode::NOT_FOUND)),
    }
}

fn show(logger: &Logger) -> Value {
    json!({ "level": logger.level.name(), "last_modified": logger.last_modified })
}
