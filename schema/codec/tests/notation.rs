//! Values as the text cases write them: see `tests/harness/java/RecordJsonConverter.java`.

use std::sync::Arc;

use model::{
    java::{double_to_string, float_to_string},
    schema::{Kind, Schema},
    value::{Struct, Value, ValueRef},
};
use serde_json::Value as Json;

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn build(schema: Option<&Arc<Schema>>, json: &Json) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    let Some(schema) = schema else {
        return match json {
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Value::Float64(number.as_f64().unwrap()), Value::Int)
            }
            Json::String(text) => Value::Text(text.as_str().into()),
            Json::Array(items) => {
                Value::Array(items.iter().map(|item| build(None, item)).collect())
            }
            Json::Object(fields) => Value::Map(
                fields
                    .iter()
                    .map(|(key, value)| (Value::Text(key.as_str().into()), build(None, value)))
                    .collect(),
            ),
            Json::Null => unreachable!("answered above"),
        };
    };
    let bytes = || unhex(json.as_str().unwrap().strip_prefix("0x").unwrap()).into();
    let double = || match json {
        Json::String(text) => text.parse::<f64>().unwrap(),
        number => number.to_string().parse().unwrap(),
    };
    match &schema.kind {
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => Value::Int(json.as_i64().unwrap()),
        Kind::Float32 => Value::Float32(match json {
            Json::String(text) => text.parse().unwrap(),
            number => number.to_string().parse().unwrap(),
        }),
        Kind::Float64 => Value::Float64(double()),
        Kind::Boolean => Value::Bool(json.as_bool().unwrap()),
        Kind::String => Value::Text(json.as_str().unwrap().into()),
        Kind::Bytes => Value::Bytes(bytes()),
        Kind::Array(items) => Value::Array(
            json.as_array().unwrap().iter().map(|item| build(Some(items), item)).collect(),
        ),
        Kind::Map(keys, values) => Value::Map(
            json.as_array()
                .unwrap()
                .iter()
                .map(|pair| (build(Some(keys), &pair[0]), build(Some(values), &pair[1])))
                .collect(),
        ),
        Kind::Struct(fields) => {
            let values = fields
                .iter()
                .map(|field| match json.get(&*field.name) {
                    Some(value) => build(Some(&field.schema), value),
                    None => Value::Null,
                })
                .collect();
            Value::Struct(Struct::new(schema.clone(), values))
        }
    }
}

pub(crate) fn show_bytes(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(|char| char >= ' ') => {
                format!("bytes {text}")
            }
            _ => format!("hex {}", hex(bytes)),
        },
    }
}

pub(crate) fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Bool(value) => value.to_string(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Float32(value) => format!("{}f", float_to_string(value)),
        ValueRef::Float64(value) => format!("{}d", double_to_string(value)),
        ValueRef::Text(text) => {
            let mut out = String::from("\"");
            for char in text.chars() {
                match char {
                    '"' | '\\' => out.extend(['\\', char]),
                    '\0'..' ' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
                    char => out.push(char),
                }
            }
            out.push('"');
            out
        }
        ValueRef::Bytes(bytes) => format!("0x{}", hex(bytes)),
        ValueRef::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| show(item.as_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        ValueRef::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", show(key.as_ref()), show(value.as_ref())))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        ValueRef::Struct(value) => {
            let fields: Vec<String> = value
                .schema
                .fields()
                .iter()
                .zip(0..)
                .map(|(field, index)| format!("{}={}", field.name, show(value.at(index))))
                .collect();
            format!("Struct{{{}}}", fields.join(", "))
        }
    }
}
