//! `/connectors/{name}/offsets`.

use model::connector::Object;
use serde::Serialize;
use serde_json::Value;

use super::{Answer, Api, Call, Outcome, body};
use crate::herder::Refusal;

#[derive(Serialize)]
struct Stored<'a> {
    partition: &'a Object,
    offset: &'a Object,
}

/// Below what can be read back from where offsets are stored.
const DEPTH_MAX: usize = 100;

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
        if deep(&partition, DEPTH_MAX) || offset.as_ref().is_some_and(|it| deep(it, DEPTH_MAX)) {
            api.herder.info(name).await?;
            let text = format!(
                "alter the offsets of connector {name}: one is nested deeper than {DEPTH_MAX} \
                 levels, and could not be read again"
            );
            return Err(Refusal::new(400, text).into());
        }
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

/// Whether more than `most` arrays and objects stand within one another.
fn deep(object: &Object, most: usize) -> bool {
    fn within(value: &Value, most: usize) -> bool {
        match value {
            Value::Object(object) => deep(object, most),
            Value::Array(items) => most == 0 || items.iter().any(|item| within(item, most - 1)),
            _ => false,
        }
    }
    most == 0 || object.values().any(|value| within(value, most - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth() {
        let nested = |depth: usize| {
            let value = (1..depth).fold(Value::Null, |inner, _| serde_json::json!([inner]));
            Object::from_iter([("a".to_owned(), value)])
        };
        for (depth, refused) in [(1, false), (DEPTH_MAX, false), (DEPTH_MAX + 1, true), (900, true)]
        {
            assert_eq!(deep(&nested(depth), DEPTH_MAX), refused, "{depth}");
        }
    }
}
