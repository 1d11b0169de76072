//! Request bodies. What does not parse is answered with 500, as Connect does.

use model::connector::Object;
use serde_json::Value;

use super::{Answer, Call};
use crate::herder::{RawConfig, Refusal, Target};

fn wrong(message: impl Into<String>) -> Answer {
    Refusal::new(500, message).into()
}

/// The name Java has for what a value is, as it stands in parse errors.
fn mismatch(wanted: &str, value: &Value, at: &str) -> Answer {
    let (kind, token) = match value {
        Value::Array(_) => ("Array value", "START_ARRAY"),
        Value::Object(_) => ("Object value", "START_OBJECT"),
        Value::String(_) => ("String value", "VALUE_STRING"),
        Value::Number(_) => ("Integer value", "VALUE_NUMBER_INT"),
        Value::Bool(true) => ("Boolean value", "VALUE_TRUE"),
        Value::Bool(false) => ("Boolean value", "VALUE_FALSE"),
        Value::Null => ("Null value", "VALUE_NULL"),
    };
    wrong(format!(
        "Cannot deserialize value of type `{wanted}` from {kind} (token `JsonToken.{token}`) in \
         {at}"
    ))
}

const MAP: &str = "java.util.LinkedHashMap<java.lang.String,java.lang.String>";
const CREATE: &str = "org.apache.kafka.connect.runtime.rest.entities.CreateConnectorRequest";

/// The body as JSON; `None` when there is none, or null.
fn json(call: &Call<'_>) -> Result<Option<Value>, Answer> {
    call.require_json()?;
    if call.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(call.body) {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(wrong(format!("malformed JSON in the request's body: {error}"))),
    }
}

/// A flat map of texts. Numbers and booleans are taken as they are written.
pub(super) fn config(call: &Call<'_>) -> Result<Option<RawConfig>, Answer> {
    json(call)?.map(|value| flat("the request's body", &value)).transpose()
}

fn flat(at: &str, value: &Value) -> Result<RawConfig, Answer> {
    let Value::Object(fields) = value else { return Err(mismatch(MAP, value, at)) };
    let text = |(key, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Null => None,
            other => return Err(mismatch("java.lang.String", other, &format!("{at}[\"{key}\"]"))),
        };
        Ok((key.clone(), text))
    };
    fields.iter().map(text).collect()
}

/// The body of `POST /connectors`.
pub(super) struct Create {
    pub(super) name: String,
    pub(super) config: RawConfig,
    pub(super) initial: Option<Target>,
}

pub(super) fn create(call: &Call<'_>) -> Result<Create, Answer> {
    let Some(value) = json(call)? else {
        return Err(wrong(
            "the request has no body; send {\"name\": …, \"config\": {…}} as application/json",
        ));
    };
    let Value::Object(fields) = &value else {
        return Err(mismatch(CREATE, &value, "the request's body"));
    };
    let (mut name, mut config, mut initial) = (String::new(), None, None);
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("name" | "config" | "initial_state", Value::Null) => {}
            ("name", Value::String(text)) => name = text.trim().to_owned(),
            ("name", Value::Number(number)) => name = number.to_string(),
            ("name", Value::Bool(bool)) => name = bool.to_string(),
            ("name", other) => return Err(mismatch("java.lang.String", other, "\"name\"")),
            ("config", value) => config = Some(flat("\"config\"", value)?),
            ("initial_state", value) => initial = Some(initial_state(value)?),
            _ => {
                return Err(wrong(format!(
                    "Unrecognized field \"{key}\" (class {CREATE}), not marked as ignorable (3 \
                     known properties: \"config\", \"name\", \"initial_state\")"
                )));
            }
        }
    }
    let Some(config) = config else {
        return Err(wrong("the request has no \"config\": send the connector's configuration"));
    };
    Ok(Create { name, config, initial })
}

fn initial_state(value: &Value) -> Result<Target, Answer> {
    let text = value.as_str().unwrap_or_default().to_ascii_uppercase();
    match text.as_str() {
        "RUNNING" => Ok(Target::Running),
        "PAUSED" => Ok(Target::Paused),
        "STOPPED" => Ok(Target::Stopped),
        _ => Err(wrong(format!(
            "Cannot construct instance of `{CREATE}$InitialState`, problem: No enum constant \
             {}.InitialState.{text}",
            CREATE
        ))),
    }
}

/// The level in the body of `PUT /admin/loggers/{name}`.
pub(super) fn level(call: &Call<'_>) -> Result<String, Answer> {
    let Some(map) = config(call)? else {
        return Err(wrong("the request has no body; send {\"level\": \"DEBUG\"}"));
    };
    match map.get("level") {
        Some(level) => Ok(level.to_owned()),
        None => {
            let text = "Desired 'level' parameter was not specified in request.";
            Err(Refusal::new(400, text).into())
        }
    }
}

/// A partition with its offset, either of which may be null.
pub(super) type OffsetChange = (Option<Object>, Option<Object>);

/// The body of `PATCH /connectors/{name}/offsets`.
pub(super) fn offsets(call: &Call<'_>) -> Result<Vec<OffsetChange>, Answer> {
    let body = json(call)?;
    let items = match body.as_ref().and_then(|body| body.get("offsets")) {
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(other) if !other.is_array() && !other.is_null() => {
            return Err(mismatch("java.util.ArrayList", other, "\"offsets\""));
        }
        _ => {
            let text = "Partitions / offsets need to be provided for an alter offsets request";
            return Err(Refusal::new(400, text).into());
        }
    };
    let object = |item: &Value, field: &str| match item.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object.clone())),
        Some(other) => Err(mismatch("java.util.LinkedHashMap", other, &format!("\"{field}\""))),
    };
    items.iter().map(|item| Ok((object(item, "partition")?, object(item, "offset")?))).collect()
}
