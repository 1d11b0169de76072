//! `/connectors/{name}/offsets`.

use serde::Serialize;

use super::{Answer, Api, Call, Outcome, body};
use crate::herder::Refusal;

#[derive(Serialize)]
struct Stored<'a> {
    partition: &'a model::connector::Object,
    offset: &'a model::connector::Object,
}

pub(super) async fn show(api: &Api, name: &str) -> Outcome {
    let offsets = api.herder.offsets(name).await?;
    let stored: Vec<Stored<'_>> =
        offsets.iter().map(|(partition, offset)| Stored { partition, offset }).collect();
    Ok(Answer::ok(&serde_json::json!({ "offsets": stored })))
}

pub(super) async fn alter(api: &Api, call: &Call<'_>, name: &str) -> Outcome {
    let given = body::offsets(call)?;
    let mut changes = Vec::with_capacity(given.len());
    for (partition, offset) in given {
        let Some(partition) = partition else {
            // Of a connector that isn't there nothing else is said.
            if api.herder.info(name).await?.kind == "sink" {
                let text = "The partition for a sink connector offset cannot be null or missing";
                return Err(Refusal::new(400, text).into());
            }
            if offset.is_none() {
                // Nothing is stored under no partition, so nothing is to be forgotten.
                continue;
            }
            return Err(Refusal::new(500, "Partition objects cannot be null").into());
        };
        changes.push((partition, offset));
    }
    Ok(changed("altered", api.herder.change_offsets(name, Some(changes)).await?))
}

pub(super) async fn reset(api: &Api, name: &str) -> Outcome {
    Ok(changed("reset", api.herder.change_offsets(name, None).await?))
}

/// `done`: whether the connector's own hook has said that this is all there is to do; Debezium's
/// connectors have none.
fn changed(verb: &str, done: bool) -> Answer {
    let message = match done {
        true => format!("The offsets for this connector have been {verb} successfully"),
        false => format!(
            "The Connect framework-managed offsets for this connector have been {verb} \
             successfully. However, if this connector manages offsets externally, they will need \
             to be manually {verb} in the system that the connector uses."
        ),
    };
    Answer::ok(&serde_json::json!({ "message": message }))
}
