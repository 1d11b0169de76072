//! `loggers get|set`.

use axum::http::Method;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Out, Result,
    http::{Worker, part},
    table::table,
};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Shows the levels that have been set, or that of one logger
    Get { logger: Option<String> },
    /// Sets the level of a logger and those below it
    Set {
        logger: String,
        level: String,
        /// On all workers of the group
        #[arg(long)]
        cluster: bool,
    },
}

pub(super) async fn run(worker: &Worker, out: Out, verb: Verb) -> Result<()> {
    match verb {
        Verb::Get { logger } => {
            let answer = match &logger {
                None => worker.get("/admin/loggers").await?,
                Some(logger) => {
                    let level = worker.get(&format!("/admin/loggers/{}", part(logger))).await?;
                    json!({ logger: level })
                }
            };
            out.show(&answer, |answer| {
                let row = |(name, level): (&String, &Value)| {
                    [name.clone(), level["level"].as_str().unwrap_or_default().to_owned()]
                };
                let rows: Vec<_> = answer.as_object().into_iter().flatten().map(row).collect();
                table(["LOGGER", "LEVEL"], &rows)
            });
        }
        Verb::Set { logger, level, cluster } => {
            let scope = if cluster { "?scope=cluster" } else { "" };
            let path = format!("/admin/loggers/{}{scope}", part(&logger));
            let answer = worker.done(Method::PUT, &path, Some(&json!({ "level": level }))).await?;
            out.show(&answer, |answer| {
                let names = answer.as_array().into_iter().flatten().filter_map(Value::as_str);
                names.map(|name| format!("{name}\n")).collect()
            });
        }
    }
    Ok(())
}
