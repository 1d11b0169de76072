//! `/connectors` and what is under it.

use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Answer, Api, Call, Outcome, body, offsets, wrong_method};
use crate::herder::{RawConfig, Refusal, Signature, Target};

pub(super) async fn serve(api: &Api, call: &Call<'_>) -> Outcome {
    let herder = &api.herder;
    let path = call.path.get(1..).unwrap_or_default();
    let get = matches!(*call.method, Method::GET | Method::HEAD);
    match (path, call.method) {
        ([], _) if get => list(api, call).await,
        ([], &Method::POST) => create(api, call).await,
        ([], _) => Err(wrong_method(call, &["HEAD", "POST", "GET", "OPTIONS"])),

        ([name], _) if get => Ok(Answer::ok(&herder.info(name).await?)),
        ([name], &Method::DELETE) => {
            herder.delete(name).await?;
            Ok(Answer::Empty(StatusCode::NO_CONTENT))
        }
        ([_], _) => Err(wrong_method(call, &["HEAD", "DELETE", "GET", "OPTIONS"])),

        ([name, "config"], _) if get => Ok(Answer::ok(&herder.config(name).await?)),
        ([name, "config"], &Method::PUT) => put_config(api, call, name).await,
        ([name, "config"], &Method::PATCH) => {
            let patch = body::config(call)?.unwrap_or_default();
            Ok(Answer::ok(&herder.patch(name, patch).await?))
        }
        ([_, "config"], _) => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS", "PUT", "PATCH"])),

        ([name, "status"], _) if get => Ok(Answer::ok(&herder.status(name).await?)),
        ([_, "status"], _) => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"])),

        ([name, "tasks"], _) if get => Ok(Answer::ok(&herder.tasks(name).await?)),
        ([name, "tasks"], &Method::POST) => {
            herder.put_tasks(name, signature(call)).await?;
            Ok(Answer::Empty(StatusCode::NO_CONTENT))
        }
        ([_, "tasks"], _) => Err(wrong_method(call, &["HEAD", "POST", "GET", "OPTIONS"])),
        ([name, "fence"], &Method::PUT) => {
            herder.fence(name, signature(call)).await?;
            Ok(Answer::Empty(StatusCode::NO_CONTENT))
        }
        ([_, "fence"], _) => Err(wrong_method(call, &["OPTIONS", "PUT"])),

        ([name, "tasks", task, "status"], _) if get => {
            Ok(Answer::ok(&herder.task_status(name, number(task)?).await?))
        }
        ([_, "tasks", _, "status"], _) => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"])),
        ([name, "tasks", task, "restart"], &Method::POST) => {
            call.require_json()?;
            herder.restart_task(name, number(task)?).await?;
            Ok(Answer::Empty(StatusCode::NO_CONTENT))
        }
        ([_, "tasks", _, "restart"], _) => Err(wrong_method(call, &["POST", "OPTIONS"])),

        ([name, "restart"], &Method::POST) => restart(api, call, name).await,
        ([_, "restart"], _) => Err(wrong_method(call, &["POST", "OPTIONS"])),
        ([name, "pause"], &Method::PUT) => aim(api, call, name, Target::Paused).await,
        ([name, "resume"], &Method::PUT) => aim(api, call, name, Target::Running).await,
        ([name, "stop"], &Method::PUT) => {
            call.require_json()?;
            herder.stop(name).await?;
            Ok(Answer::Empty(StatusCode::NO_CONTENT))
        }
        ([_, "pause" | "resume" | "stop"], _) => Err(wrong_method(call, &["OPTIONS", "PUT"])),

        ([name, "topics"], _) if get => {
            let topics = herder.topics(name).await?;
            let topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
            let mut answer = Map::new();
            answer.insert((*name).to_owned(), serde_json::json!({ "topics": topics }));
            Ok(Answer::ok(&answer))
        }
        ([_, "topics"], _) => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"])),
        ([name, "topics", "reset"], &Method::PUT) => {
            call.require_json()?;
            herder.reset_topics(name).await?;
            Ok(Answer::Empty(StatusCode::ACCEPTED))
        }
        ([_, "topics", "reset"], _) => Err(wrong_method(call, &["OPTIONS", "PUT"])),

        ([name, "offsets"], _) => offsets::serve(api, call, name).await,
        _ => Err(Answer::Unmatched(StatusCode::NOT_FOUND)),
    }
}

/// What shows that a request is another worker's.
fn signature<'c>(call: &Call<'c>) -> Signature<'c> {
    let header = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
    Signature {
        mac: header("X-Connect-Authorization"),
        algorithm: header("X-Connect-Request-Signature-Algorithm"),
        body: call.body,
    }
}

/// The id of a task. A path without a number there does not exist.
fn number(text: &str) -> Result<usize, Answer> {
    text.parse().map_err(|_| Refusal::new(404, "HTTP 404 Not Found").into())
}

async fn list(api: &Api, call: &Call<'_>) -> Outcome {
    let names = api.herder.connectors();
    let expand: Vec<&str> = (call.query.iter())
        .filter(|(key, _)| key == "expand")
        .map(|(_, value)| value.as_str())
        .collect();
    if expand.is_empty() {
        return Ok(Answer::ok(&names));
    }
    let mut all = Map::new();
    for name in names {
        let mut one = Map::new();
        if expand.contains(&"info") {
            let Ok(info) = api.herder.info(&name).await else { continue };
            one.insert("info".to_owned(), to_value(&info)?);
        }
        if expand.contains(&"status") {
            let Ok(status) = api.herder.status(&name).await else { continue };
            one.insert("status".to_owned(), to_value(&status)?);
        }
        for other in expand.iter().filter(|other| !["info", "status"].contains(other)) {
            tracing::info!("Ignoring unknown expansion type {other}");
        }
        all.insert(name, one.into());
    }
    Ok(Answer::ok(&all))
}

fn to_value(value: &impl Serialize) -> Result<Value, Answer> {
    serde_json::to_value(value).map_err(|error| Refusal::new(500, error.to_string()).into())
}

async fn create(api: &Api, call: &Call<'_>) -> Outcome {
    let request = body::create(call)?;
    let name = request.name;
    let config = named(request.config, &name)?;
    let (_, info) = api.herder.put(&name, config, request.initial, false).await?;
    created(name, &info)
}

async fn put_config(api: &Api, call: &Call<'_>, name: &str) -> Outcome {
    let Some(config) = body::config(call)? else {
        let text = "the request has no body; send the connector's configuration as a JSON object";
        return Err(Refusal::new(500, text).into());
    };
    let config = named(config, name)?;
    let (new, info) = api.herder.put(name, config, None, true).await?;
    if new { created(name.to_owned(), &info) } else { Ok(Answer::ok(&info)) }
}

fn created(name: String, info: &impl Serialize) -> Outcome {
    match Answer::ok(info) {
        Answer::Json(_, body) => Ok(Answer::Created(name, body)),
        other => Err(other),
    }
}

/// The configuration with its name in it; another name in it is refused.
fn named(mut config: RawConfig, name: &str) -> Result<RawConfig, Answer> {
    match config.get("name") {
        Some(given) if given != name => Err(Refusal::new(
            400,
            format!(
                "Connector name configuration ({given}) doesn't match connector name in the URL \
                 ({name})"
            ),
        )
        .into()),
        Some(_) => Ok(config),
        None => {
            config.set("name", Some(name.to_owned()));
            Ok(config)
        }
    }
}

async fn restart(api: &Api, call: &Call<'_>, name: &str) -> Outcome {
    call.require_json()?;
    let include_tasks = call.flag("includeTasks", false);
    let only_failed = call.flag("onlyFailed", false);
    if !include_tasks && !only_failed {
        api.herder.restart(name).await?;
        return Ok(Answer::Empty(StatusCode::NO_CONTENT));
    }
    let plan = api.herder.restart_plan(name, include_tasks, only_failed).await?;
    Ok(Answer::json(StatusCode::ACCEPTED, &plan))
}

async fn aim(api: &Api, call: &Call<'_>, name: &str, target: Target) -> Outcome {
    call.require_json()?;
    api.herder.aim(name, target).await?;
    Ok(Answer::Empty(StatusCode::ACCEPTED))
}
