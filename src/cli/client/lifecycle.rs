//! `pause`, `resume`, `stop`, `restart`, `delete`.

use axum::http::Method;
use clap::Args;
use serde_json::Value;

use super::{
    Out, Output, Result, each,
    http::{Worker, part},
};

#[derive(Args)]
pub(super) struct RestartArguments {
    /// Connectors
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Only what has failed
    #[arg(long)]
    only_failed: bool,
    /// The connector itself, not its tasks
    #[arg(long, conflicts_with_all = ["only_failed", "task"])]
    connector_only: bool,
    /// One task
    #[arg(long, value_name = "NUMBER", conflicts_with = "only_failed")]
    task: Option<u32>,
}

/// `verb` is the last part of the path.
pub(super) async fn aim(worker: &Worker, names: &[String], verb: &str) -> Result<()> {
    each(names, async |name| {
        worker.done(Method::PUT, &format!("/connectors/{}/{verb}", part(name)), None).await?;
        Ok(())
    })
    .await
}

pub(super) async fn delete(worker: &Worker, names: &[String]) -> Result<()> {
    each(names, async |name| {
        worker.done(Method::DELETE, &format!("/connectors/{}", part(name)), None).await?;
        Ok(())
    })
    .await
}

pub(super) async fn restart(worker: &Worker, out: Out, arguments: &RestartArguments) -> Result<()> {
    let mut plans = Vec::new();
    let done = each(&arguments.names, async |name| {
        let connector = format!("/connectors/{}", part(name));
        let path = match (arguments.task, arguments.connector_only) {
            (Some(task), _) => format!("{connector}/tasks/{task}/restart"),
            (None, true) => format!("{connector}/restart"),
            (None, false) => {
                let only_failed = arguments.only_failed;
                format!("{connector}/restart?includeTasks=true&onlyFailed={only_failed}")
            }
        };
        plans.push(worker.done(Method::POST, &path, None).await?);
        Ok(())
    })
    .await;
    plans.retain(|plan| !plan.is_null());
    if out.output == Output::Json && !plans.is_empty() {
        out.show(&Value::Array(plans), |_| String::new());
    }
    done
}
