//! `plugins` and `validate`.

use axum::http::{Method, StatusCode};
use clap::Args;
use serde_json::Value;

use super::{
    Failure, Out, Result, each,
    files::{self, Wanted},
    http::{Worker, part},
    secrets::Secrets,
    table::table,
};

#[derive(Args)]
pub(super) struct Arguments {
    /// Converters, transforms and predicates too
    #[arg(long)]
    all: bool,
    /// The plugin whose keys to show, by class or alias
    class: Option<String>,
}

pub(super) async fn show(worker: &Worker, out: Out, arguments: &Arguments) -> Result<()> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if let Some(class) = &arguments.class {
        let keys = worker.get(&format!("/connector-plugins/{}/config", part(class))).await?;
        out.show(&keys, |keys| {
            let row = |key: &Value| {
                let default = match key["required"] == true {
                    true => "(required)".to_owned(),
                    false => text(&key["default_value"]),
                };
                let doc = text(&key["documentation"]);
                let first = doc.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
                [text(&key["name"]), text(&key["type"]).to_lowercase(), default, first]
            };
            let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
            table(["KEY", "TYPE", "DEFAULT", "WHAT IT DOES"], &rows)
        });
        return Ok(());
    }
    let path = format!("/connector-plugins?connectorsOnly={}", !arguments.all);
    let plugins = worker.get(&path).await?;
    out.show(&plugins, |plugins| {
        let row = |plugin: &Value| ["type", "class", "version"].map(|field| text(&plugin[field]));
        let rows: Vec<_> = plugins.as_array().into_iter().flatten().map(row).collect();
        table(["TYPE", "CLASS", "VERSION"], &rows)
    });
    Ok(())
}

/// What the worker knows of a plugin's keys; nothing of a class it does not have.
pub(super) async fn keys(worker: &Worker, class: &str) -> Result<Option<Value>> {
    if class.is_empty() {
        return Ok(None);
    }
    worker.find(&format!("/connector-plugins/{}/config", part(class))).await
}

pub(super) async fn validate(worker: &Worker, out: Out, paths: &[String]) -> Result<()> {
    let wanted = files::read(paths)?;
    let names: Vec<String> = wanted.iter().map(|one| one.name.clone()).collect();
    let mut answers = Vec::new();
    let done = each(&names, async |name| {
        let Some(one) = wanted.iter().find(|one| one.name == name) else { return Ok(()) };
        let infos = ask(worker, one).await?;
        let keys = keys(worker, one.class()).await?;
        let secrets = Secrets::new(keys.as_ref(), out.show_secrets);
        let refused = refusal(one, &infos, &secrets);
        let errors: Vec<Value> = problems(one, &infos, &secrets)
            .map(|(key, error)| serde_json::json!({ "key": key, "error": error }))
            .collect();
        answers.push(serde_json::json!({ "name": name, "file": one.file, "errors": errors }));
        match refused {
            Some(refused) => Err(refused),
            None => {
                if out.output == super::Output::Table {
                    crate::cli::print(&format!("{name}: valid\n"));
                }
                Ok(())
            }
        }
    })
    .await;
    if out.output == super::Output::Json {
        out.show(&Value::Array(answers), |_| String::new());
    }
    done
}

/// Has the worker look at a configuration; an error of a key is a refusal.
pub(super) async fn check(worker: &Worker, wanted: &Wanted, secrets: &Secrets) -> Result<()> {
    let infos = ask(worker, wanted).await?;
    refusal(wanted, &infos, secrets).map_or(Ok(()), Err)
}

async fn ask(worker: &Worker, wanted: &Wanted) -> Result<Value> {
    let class = wanted.class();
    if class.is_empty() {
        return Err(Failure::refused(format!("{}: connector.class is not set", wanted.name)));
    }
    let path = format!("/connector-plugins/{}/config/validate", part(class));
    let answer = worker.ask(Method::PUT, &path, Some(&wanted.config())).await?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        _ => Err(Failure::refused(format!("{}: {}", wanted.name, answer.message()))),
    }
}

/// Each key with one of its errors, which may quote the value.
fn problems<'i>(
    wanted: &'i Wanted,
    infos: &'i Value,
    secrets: &'i Secrets,
) -> impl Iterator<Item = (&'i str, String)> {
    let configs = infos["configs"].as_array().into_iter().flatten();
    configs.flat_map(move |config| {
        let key = config["value"]["name"].as_str().unwrap_or_default();
        let given = wanted.config.get(key).and_then(Value::as_str).unwrap_or_default();
        let shown = secrets.mask(key, given);
        let errors = config["value"]["errors"].as_array().into_iter().flatten();
        errors.filter_map(move |error| {
            let error = error.as_str()?;
            let told = if shown == given { error.to_owned() } else { error.replace(given, &shown) };
            Some((key, told))
        })
    })
}

fn refusal(wanted: &Wanted, infos: &Value, secrets: &Secrets) -> Option<Failure> {
    let lines: Vec<String> = problems(wanted, infos, secrets)
        .map(|(key, error)| format!("\n  {key}: {error}"))
        .collect();
    if lines.is_empty() && infos["error_count"].as_u64().unwrap_or(0) == 0 {
        return None;
    }
    let Wanted { name, file, .. } = wanted;
    Some(Failure::refused(format!("{name} ({file}) is not valid:{}", lines.concat())))
}
