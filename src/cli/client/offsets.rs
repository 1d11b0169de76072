//! `offsets get|set|reset`.

use std::io::Read;

use axum::http::Method;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Failure, Out, Result,
    http::{Worker, part},
    table::table,
};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Shows where a connector goes on
    Get { name: String },
    /// Changes where a stopped connector goes on
    Set {
        name: String,
        /// JSON as `offsets get -o json` prints it; - is standard input
        #[arg(conflicts_with_all = ["partition", "offset"], required_unless_present = "partition")]
        file: Option<String>,
        /// One partition, as JSON
        #[arg(long, value_name = "JSON", requires = "offset")]
        partition: Option<String>,
        /// Its offset, as JSON; null forgets it
        #[arg(long, value_name = "JSON", requires = "partition")]
        offset: Option<String>,
    },
    /// Forgets all offsets of a stopped connector
    Reset { name: String },
}

pub(super) async fn run(worker: &Worker, out: Out, verb: Verb) -> Result<()> {
    let path = |name: &str| format!("/connectors/{}/offsets", part(name));
    let answer = match verb {
        Verb::Get { name } => {
            let offsets = worker.get(&path(&name)).await?;
            out.show(&offsets, |offsets| {
                let row = |one: &Value| [one["partition"].to_string(), one["offset"].to_string()];
                let rows: Vec<_> =
                    offsets["offsets"].as_array().into_iter().flatten().map(row).collect();
                table(["PARTITION", "OFFSET"], &rows)
            });
            return Ok(());
        }
        Verb::Set { name, file, partition, offset } => {
            let body = match (file, partition, offset) {
                (Some(file), ..) => json("the offsets", &read(&file)?)?,
                (None, Some(partition), Some(offset)) => {
                    let partition = json("--partition", &partition)?;
                    let offset = json("--offset", &offset)?;
                    json!({ "offsets": [{ "partition": partition, "offset": offset }] })
                }
                _ => {
                    return Err(Failure::usage(
                        "offsets set needs a file, or --partition and --offset",
                    ));
                }
            };
            worker.done(Method::PATCH, &path(&name), Some(&body)).await?
        }
        Verb::Reset { name } => worker.done(Method::DELETE, &path(&name), None).await?,
    };
    out.show(&answer, |answer| format!("{}\n", answer["message"].as_str().unwrap_or("done")));
    Ok(())
}

fn json(what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Failure::usage(format!("{what}: not JSON: {error}")))
}

fn read(file: &str) -> Result<String> {
    let read = match file {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        file => std::fs::read_to_string(file),
    };
    read.map_err(|error| Failure::usage(format!("read {file}: {error}")))
}
