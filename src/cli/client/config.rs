//! `config get|set|unset`.

use axum::http::Method;
use clap::Subcommand;
use serde_json::{Map, Value};

use super::{
    Failure, Out, Result,
    http::{Worker, part},
    plugins,
    secrets::Secrets,
};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Shows the configuration of a connector
    Get { name: String },
    /// Changes some keys of a connector
    Set {
        name: String,
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
    },
    /// Removes some keys of a connector
    Unset {
        name: String,
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

pub(super) async fn run(worker: &Worker, out: Out, verb: Verb) -> Result<()> {
    let path = |name: &str| format!("/connectors/{}/config", part(name));
    let config = match verb {
        Verb::Get { name } => worker.get(&path(&name)).await?,
        Verb::Set { name, pairs } => {
            let pair = |pair: &String| match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Value::from(value))),
                _ => Err(Failure::usage(format!("{pair} is not of the form KEY=VALUE"))),
            };
            let patch = pairs.iter().map(pair).collect::<Result<Map<_, _>>>()?;
            patched(worker, &path(&name), patch).await?
        }
        Verb::Unset { name, keys } => {
            let patch = keys.into_iter().map(|key| (key, Value::Null)).collect();
            patched(worker, &path(&name), patch).await?
        }
    };
    let class = config["connector.class"].as_str().unwrap_or_default();
    let secrets = Secrets::new(plugins::keys(worker, class).await?.as_ref(), out.show_secrets);
    out.show(&secrets.masked(&config), |config| {
        let line = |(key, value): (&String, &Value)| {
            format!("{key}={}\n", value.as_str().unwrap_or("null").escape_debug())
        };
        let mut lines: Vec<String> = config.as_object().into_iter().flatten().map(line).collect();
        lines.sort();
        lines.concat()
    });
    Ok(())
}

async fn patched(worker: &Worker, path: &str, patch: Map<String, Value>) -> Result<Value> {
    let mut info = worker.done(Method::PATCH, path, Some(&Value::Object(patch))).await?;
    Ok(info["config"].take())
}
