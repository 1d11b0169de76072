//! `/connectors/{name}/offsets`.

use axum::http::Method;
use serde::Serialize;

use super::{Answer, Api, Call, Outcome, body, wrong_method};
use crate::herder::Refusal;

#[derive(Serialize)]
struct Stored<'a> {
    partition: &'a model::connector::Object,
    offset: &'a model::connector::Object,
}

pub(super) async fn serve(api: &Api, call: &Call<'_>, name: &str) -> Outcome {
    let (verb, done) = match *call.method {
        Method::GET | Method::HEAD => {
            let offsets = api.herder.offsets(name).await?;
            let stored: Vec<Stored<'_>> =
                (offsets.iter()).map(|(partition, offset)| Stored { partition, offset }).collect();
            return Ok(Answer::ok(&serde_json::json!({ "offsets": stored })));
        }
        Method::PATCH => {
            let given = body::offsets(call)?;
            let mut changes = Vec::with_capacity(given.len());
            for (partition, offset) in given {
                let Some(partition) = partition else {
                    // Of a connector that isn't there nothing else is said.
                    if api.herder.info(name).await?.kind == "sink" {
                        let text =
                            "The partition for a sink connector offset cannot be null or missing";
                        return Err(Refusal::new(400, text).into());
                    }
                    if offset.is_none() {
                        // Nothing is stored under no partition, so nothing is to be forgotten.
                        continue;
                    }
                    let text = "Partition objects cannot be null";
                    return Err(Refusal::new(500, text).into());
                };
                changes.push((partition, offset));
            }
            ("altered", api.herder.change_offsets(name, Some(changes)).await?)
        }
        Method::DELETE => ("reset", api.herder.change_offsets(name, None).await?),
        _ => return Err(wrong_method(call, &["HEAD", "DELETE", "GET", "OPTIONS", "PATCH"])),
    };
    // Whether the connector's own hook has said that all is done; Debezium's connectors have none.
    let message = match done {
        true => format!("The offsets for this connector have been {verb} successfully"),
        false => format!(
            "The Connect framework-managed offsets for this connector have been {verb} \
             successfully. However, if this connector manages offsets externally, they will need \
             to be manually {verb} in the system that the connector uses."
        ),
    };
    Ok(Answer::ok(&serde_json::json!({ "message": message })))
}
