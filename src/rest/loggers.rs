//! `/admin/loggers`: the worker's log levels, changed while it runs.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{Answer, Api, Call, Outcome, body, wrong_method};
use crate::{cli::logging::Logger, herder::Refusal};

pub(super) async fn serve(api: &Api, call: &Call<'_>) -> Outcome {
    let get = matches!(*call.method, Method::GET | Method::HEAD);
    match call.path.get(2..).unwrap_or_default() {
        [] if get => {
            let all = api.loggers.list().into_iter();
            let all: Map<String, Value> =
                all.map(|logger| (logger.name.clone(), show(&logger))).collect();
            Ok(Answer::ok(&all))
        }
        [] => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"])),
        [name] if get => match api.loggers.get(name) {
            Some(logger) => Ok(Answer::ok(&show(&logger))),
            None => Err(Refusal::new(404, format!("Logger {name} not found.")).into()),
        },
        [name] if *call.method == Method::PUT => {
            let level = body::level(call)?;
            let Some(changed) = api.loggers.set(name, &level) else {
                return Err(Refusal::new(404, format!("invalid log level '{level}'.")).into());
            };
            let cluster = call
                .query
                .iter()
                .any(|(key, value)| key == "scope" && value.eq_ignore_ascii_case("cluster"));
            if cluster {
                api.herder.set_loggers(name, &level).await?;
                return Ok(Answer::Empty(StatusCode::NO_CONTENT));
            }
            Ok(Answer::ok(&changed))
        }
        [_] => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS", "PUT"])),
        _ => Err(Answer::Unmatched(StatusCode::NOT_FOUND)),
    }
}

fn show(logger: &Logger) -> Value {
    json!({ "level": logger.level.name(), "last_modified": logger.last_modified })
}
