//! `create` and `apply`: connectors as their files say.

use std::collections::BTreeSet;

use axum::http::Method;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    Failure, Out, Output, Result, code, each,
    files::{self, Wanted},
    http::{Worker, part},
    plugins,
    secrets::Secrets,
};
use crate::herder::Target;

#[derive(Args)]
pub(super) struct Arguments {
    /// Properties or JSON, or directories of them
    #[arg(required = true, value_name = "FILE|DIRECTORY")]
    paths: Vec<String>,
    /// Change nothing: show what would change, and have the worker check it
    #[arg(long)]
    dry_run: bool,
    /// As --dry-run, and end with 4 when something would change
    #[arg(long)]
    check: bool,
}

/// What is done about a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Change,
    Nothing,
}

impl Step {
    fn name(self, dry: bool) -> &'static str {
        match (self, dry) {
            (Step::Create, false) => "created",
            (Step::Create, true) => "would be created",
            (Step::Change, false) => "changed",
            (Step::Change, true) => "would be changed",
            (Step::Nothing, _) => "unchanged",
        }
    }
}

pub(super) async fn create(worker: &Worker, out: Out, paths: &[String]) -> Result<()> {
    let wanted = files::read(paths)?;
    let names: Vec<String> = wanted.iter().map(|one| one.name.clone()).collect();
    let mut created = Vec::new();
    let done = each(&names, async |name| {
        let Some(one) = wanted.iter().find(|one| one.name == name) else { return Ok(()) };
        let mut info = post(worker, one).await?;
        if out.output == Output::Table {
            crate::cli::print(&format!("{name}: created\n"));
        } else {
            let keys = plugins::keys(worker, one.class()).await?;
            let secrets = Secrets::new(keys.as_ref(), out.show_secrets);
            info["config"] = secrets.masked(&info["config"]);
            created.push(info);
        }
        Ok(())
    })
    .await;
    if out.output == Output::Json {
        out.show(&Value::Array(created), |_| String::new());
    }
    done
}

async fn post(worker: &Worker, wanted: &Wanted) -> Result<Value> {
    let mut body = json!({ "name": wanted.name, "config": wanted.config() });
    match wanted.initial {
        // Workers before Kafka 3.7 do not know the field.
        Target::Running => {}
        Target::Paused => body["initial_state"] = "PAUSED".into(),
        Target::Stopped => body["initial_state"] = "STOPPED".into(),
    }
    worker.create(&wanted.name, &body).await
}

pub(super) async fn apply(worker: &Worker, out: Out, arguments: &Arguments) -> Result<()> {
    let wanted = files::read(&arguments.paths)?;
    let dry = arguments.dry_run || arguments.check;
    let names: Vec<String> = wanted.iter().map(|one| one.name.clone()).collect();
    let mut report = Vec::new();
    let mut differs = false;
    let done = each(&names, async |name| {
        let Some(one) = wanted.iter().find(|one| one.name == name) else { return Ok(()) };
        let path = format!("/connectors/{}/config", part(name));
        let current = worker.find(&path).await?;
        let old = current.as_ref().and_then(Value::as_object);
        let step = match old {
            None => Step::Create,
            Some(old) if *old == one.config => Step::Nothing,
            Some(_) => Step::Change,
        };
        let secrets =
            Secrets::new(plugins::keys(worker, one.class()).await?.as_ref(), out.show_secrets);
        let changes = changes(old, &one.config, &secrets);
        differs |= step != Step::Nothing;
        match step {
            Step::Nothing => {}
            _ if dry => plugins::check(worker, one, &secrets).await?,
            Step::Create => drop(post(worker, one).await?),
            Step::Change => {
                worker.done(Method::PUT, &path, Some(&one.config())).await?;
            }
        }
        if out.output == Output::Table {
            crate::cli::print(&format!("{name}: {}\n{}", step.name(dry), lines(&changes)));
        }
        report.push(
            json!({ "name": name, "file": one.file, "result": step.name(dry), "changes": changes }),
        );
        Ok(())
    })
    .await;
    if out.output == Output::Json {
        out.show(&Value::Array(report), |_| String::new());
    }
    done?;
    match arguments.check && differs {
        true => Err(Failure { code: code::DIFFERS, message: String::new() }),
        false => Ok(()),
    }
}

/// The keys that differ, with the values as they may be shown; null where there is none.
fn changes(old: Option<&Map<String, Value>>, new: &Map<String, Value>, secrets: &Secrets) -> Value {
    let empty = Map::new();
    let old = old.unwrap_or(&empty);
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let shown = |key: &str, value: Option<&Value>| match value {
        Some(Value::String(text)) => Value::from(secrets.mask(key, text)),
        other => other.cloned().unwrap_or(Value::Null),
    };
    let change = |key: &String| json!({ "key": key, "old": shown(key, old.get(key)), "new": shown(key, new.get(key)) });
    differing.map(change).collect()
}

/// As people know it from `diff`.
fn lines(changes: &Value) -> String {
    let mut out = String::new();
    for change in changes.as_array().into_iter().flatten() {
        let key = change["key"].as_str().unwrap_or_default();
        for (sign, side) in [('-', "old"), ('+', "new")] {
            let value = match &change[side] {
                Value::Null => continue,
                Value::String(text) => text.escape_debug().to_string(),
                other => other.to_string(),
            };
            out.push_str(&format!("  {sign} {key}={value}\n"));
        }
    }
    out
}
