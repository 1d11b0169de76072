//! `list`, `status`, `wait`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Failure, Out, Result, code, duration,
    http::{Worker, part},
    table::table,
};

#[derive(Args)]
pub(super) struct Arguments {
    /// Connectors; all of them when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// End with 4 when a connector or a task has failed or is assigned to no worker
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
pub(super) struct WaitArguments {
    /// Connectors; all of them when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value_t = State::Running)]
    state: State,
    /// For how long
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Running,
    Paused,
    Stopped,
    Deleted,
}

/// Between two looks at the worker.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn list(worker: &Worker, out: Out) -> Result<()> {
    let all = worker.get("/connectors?expand=status&expand=info").await?;
    let all = sorted(&all);
    out.show(&Value::Array(all.iter().map(|(_, one)| listed(one)).collect()), |rows| {
        let cell = |row: &Value, field: &str| match &row[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row =
            |row: &Value| ["name", "type", "state", "tasks", "class"].map(|field| cell(row, field));
        let rows: Vec<_> = rows.as_array().into_iter().flatten().map(row).collect();
        table(["NAME", "TYPE", "STATE", "TASKS", "CLASS"], &rows)
    });
    Ok(())
}

fn sorted(all: &Value) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = all.as_object().into_iter().flatten().collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

fn listed(one: &Value) -> Value {
    let (status, info) = (&one["status"], &one["info"]);
    let tasks = status["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    let running = tasks.iter().filter(|task| task["state"] == "RUNNING").count();
    let mut row = Map::new();
    row.insert("name".into(), info["name"].clone());
    row.insert("type".into(), info["type"].clone());
    row.insert("state".into(), status["connector"]["state"].clone());
    row.insert("tasks".into(), format!("{running}/{} running", tasks.len()).into());
    row.insert("class".into(), info["config"]["connector.class"].clone());
    Value::Object(row)
}

pub(super) async fn status(worker: &Worker, out: Out, arguments: &Arguments) -> Result<()> {
    let mut all = Vec::new();
    if arguments.names.is_empty() {
        let found = worker.get("/connectors?expand=status").await?;
        all.extend(sorted(&found).into_iter().map(|(_, one)| one["status"].clone()));
    }
    for name in &arguments.names {
        all.push(worker.get(&format!("/connectors/{}/status", part(name))).await?);
    }
    let bad = |part: &Value| part["state"] == "FAILED" || part["state"] == "UNASSIGNED";
    let differs = all.iter().any(|one| {
        bad(&one["connector"]) || one["tasks"].as_array().into_iter().flatten().any(bad)
    });
    out.show(&Value::Array(all), |all| {
        let rows: Vec<_> = all.as_array().into_iter().flatten().flat_map(rows).collect();
        table(["CONNECTOR", "TASK", "STATE", "WORKER", "WHY"], &rows)
    });
    match arguments.check && differs {
        true => Err(Failure { code: code::DIFFERS, message: String::new() }),
        false => Ok(()),
    }
}

/// The connector, then each of its tasks.
fn rows(status: &Value) -> Vec<[String; 5]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&status["name"]);
    let row = |task: String, part: &Value| {
        let mut state = text(&part["state"]);
        // Riverrun's own: the task makes no progress although it could.
        if !part["stalled"].is_null() && part["stalled"] != false {
            state.push_str(" (stalled)");
        }
        [name.clone(), task, state, text(&part["worker_id"]), why(part)]
    };
    let mut rows = vec![row(String::new(), &status["connector"])];
    for task in status["tasks"].as_array().into_iter().flatten() {
        rows.push(row(task["id"].to_string(), task));
    }
    rows
}

/// The first line of a trace, and its last cause where a JVM's first line says little.
fn why(part: &Value) -> String {
    let trace = part["trace"].as_str().unwrap_or_default();
    let first = trace.lines().next().unwrap_or_default().trim();
    let cause = trace.lines().rev().find_map(|line| line.trim().strip_prefix("Caused by: "));
    match cause {
        Some(cause) if !first.is_empty() => format!("{first} ← {cause}"),
        _ => first.to_owned(),
    }
}

pub(super) async fn wait(worker: &Worker, out: Out, arguments: &WaitArguments) -> Result<()> {
    let deadline = Instant::now() + arguments.timeout;
    let names = match arguments.names.is_empty() {
        false => arguments.names.clone(),
        true => {
            let all = worker.get("/connectors").await?;
            let names = all.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        }
    };
    let mut statuses = Vec::new();
    for name in names {
        loop {
            let path = format!("/connectors/{}/status", part(&name));
            let status = worker.find(&path).await?;
            if reached(arguments.state, status.as_ref()) {
                statuses.extend(status);
                break;
            }
            if arguments.state == State::Running
                && let Some(failed) = status.as_ref().and_then(failed)
            {
                return Err(Failure::refused(format!("{name} has failed: {failed}")));
            }
            if Instant::now() + LOOK > deadline {
                let now =
                    status.map_or("unknown to the worker".to_owned(), |status| shown(&status));
                let seconds = arguments.timeout.as_secs_f64();
                let message = format!("{name} is {now} after {seconds} s");
                return Err(Failure { code: code::TIMED_OUT, message });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    if out.output == super::Output::Json {
        out.show(&Value::Array(statuses), |_| String::new());
    }
    Ok(())
}

fn reached(wanted: State, status: Option<&Value>) -> bool {
    let Some(status) = status else { return wanted == State::Deleted };
    let connector = &status["connector"]["state"];
    let tasks = status["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    let all = |state: &str| *connector == state && tasks.iter().all(|task| task["state"] == state);
    match wanted {
        State::Running => all("RUNNING") && !tasks.is_empty(),
        State::Paused => all("PAUSED"),
        State::Stopped => *connector == "STOPPED" && tasks.is_empty(),
        State::Deleted => false,
    }
}

/// Why a connector or one of its tasks has failed.
fn failed(status: &Value) -> Option<String> {
    let tasks = status["tasks"].as_array().into_iter().flatten();
    let mut parts = std::iter::once(&status["connector"]).chain(tasks);
    let failed = parts.find(|part| part["state"] == "FAILED")?;
    let which = failed["id"].as_u64().map_or("the connector".to_owned(), |id| format!("task {id}"));
    Some(format!("{which}: {}", why(failed)))
}

/// The states in a few words.
fn shown(status: &Value) -> String {
    let state = |part: &Value| part["state"].as_str().unwrap_or("unknown").to_owned();
    let tasks: Vec<String> = status["tasks"].as_array().into_iter().flatten().map(state).collect();
    match tasks.is_empty() {
        true => format!("{} without tasks", state(&status["connector"])),
        false => format!("{}, its tasks {}", state(&status["connector"]), tasks.join(", ")),
    }
}
