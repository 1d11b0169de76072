//! `/connectors` and what is under it.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Answer, Api, Call, Outcome, body, offsets, routes::OnConnectors};
use crate::herder::{RawConfig, Refusal, Signature, Target};

pub(super) async fn serve(api: &Api, call: &Call<'_>, asked: OnConnectors) -> Outcome {
    let herder = &api.herder;
    let name = call.route.name.as_str();
    let done = |()| Answer::Empty(StatusCode::NO_CONTENT);
    let begun = |()| Answer::Empty(StatusCode::ACCEPTED);
    let outcome = match asked {
        OnConnectors::List => return list(api, call).await,
        OnConnectors::Create => return create(api, call).await,
        OnConnectors::PutConfig => return put_config(api, call, name).await,
        OnConnectors::TaskStatus => return task_status(api, call, name).await,
        OnConnectors::Restart => return restart(api, call, name).await,
        OnConnectors::Topics => return topics(api, name).await,
        OnConnectors::Offsets => return offsets::show(api, name).await,
        OnConnectors::AlterOffsets => return offsets::alter(api, call, name).await,
        OnConnectors::ResetOffsets => return offsets::reset(api, name).await,

        OnConnectors::Info => herder.info(name).await.map(|info| Answer::ok(&info)),
        OnConnectors::Config => herder.config(name).await.map(|config| Answer::ok(&config)),
        OnConnectors::PatchConfig => {
            let patch = body::config(call)?.unwrap_or_default();
            herder.patch(name, patch).await.map(|info| Answer::ok(&info))
        }
        OnConnectors::Status => herder.status(name).await.map(|status| Answer::ok(&status)),
        OnConnectors::Tasks => herder.tasks(name).await.map(|tasks| Answer::ok(&tasks)),
        OnConnectors::PutTasks => {
            let tasks = body::tasks(call)?;
            herder.put_tasks(name, tasks, signature(call)).await.map(done)
        }
        OnConnectors::Fence => herder.fence(name, signature(call)).await.map(done),
        OnConnectors::RestartTask => {
            let task = number(&call.route.task)?;
            // A task below none is one that no connector has.
            herder.restart_task(name, usize::try_from(task).unwrap_or(usize::MAX)).await.map(done)
        }
        OnConnectors::Delete => herder.delete(name).await.map(done),
        OnConnectors::Stop => herder.stop(name).await.map(done),
        OnConnectors::Pause => herder.aim(name, Target::Paused).await.map(begun),
        OnConnectors::Resume => herder.aim(name, Target::Running).await.map(begun),
        OnConnectors::ResetTopics => herder.reset_topics(name).await.map(begun),
    };
    Ok(outcome?)
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
fn number(text: &str) -> Result<i32, Answer> {
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
            let Some(info) = there(api.herder.listed(&name).await)? else { continue };
            one.insert("info".to_owned(), to_value(&info)?);
        }
        if expand.contains(&"status") {
            let Some(status) = there(api.herder.status(&name).await)? else { continue };
            one.insert("status".to_owned(), to_value(&status)?);
        }
        for other in expand.iter().filter(|other| !["info", "status"].contains(other)) {
            tracing::info!("Ignoring unknown expansion type {other}");
        }
        all.insert(name, one.into());
    }
    Ok(Answer::ok(&all))
}

/// A connector that has gone meanwhile is left out of a list.
fn there<T>(answer: crate::herder::Answer<T>) -> Result<Option<T>, Answer> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(refusal) if refusal.status == 404 => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
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
    let config = body::some_config(call)?;
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
    let include_tasks = call.flag("includeTasks", false);
    let only_failed = call.flag("onlyFailed", false);
    if !include_tasks && !only_failed {
        api.herder.restart(name).await?;
        return Ok(Answer::Empty(StatusCode::NO_CONTENT));
    }
    let plan = api.herder.restart_plan(name, include_tasks, only_failed).await?;
    Ok(Answer::json(StatusCode::ACCEPTED, &plan))
}

async fn task_status(api: &Api, call: &Call<'_>, name: &str) -> Outcome {
    let task = number(&call.route.task)?;
    match usize::try_from(task) {
        Ok(id) => Ok(Answer::ok(&api.herder.task_status(name, id).await?)),
        Err(_) => Err(Refusal::new(404, format!("No status found for task {name}-{task}")).into()),
    }
}

async fn topics(api: &Api, name: &str) -> Outcome {
    let topics = api.herder.topics(name).await?;
    let topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
    let mut answer = Map::new();
    answer.insert(name.to_owned(), serde_json::json!({ "topics": topics }));
    Ok(Answer::ok(&answer))
}
