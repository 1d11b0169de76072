//! JSON to values, as leniently as Connect reads it.
//!
//! JSON of another kind than the schema's is no error by itself: text for a number is 0, a number
//! for text is null. Only where a null then sits in a required field of a struct it is refused.

use std::sync::Arc;

use bytes::Bytes;
use model::{
    schema::{Kind, Schema},
    value::{Struct, Value},
};

use super::{
    base64, number,
    parse::{Json, Object},
};
use crate::{
    decimal, java_map,
    logical::{self, Logical},
};

/// `replace.null.with.default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    Stay,
    BecomeDefault,
}

/// A value without a schema: whole numbers are 64 bits wide, others doubles, objects maps.
pub(crate) fn schemaless(json: &Json<'_>) -> Value {
    match json {
        Json::Missing | Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Integer(_) => Value::Int(number::to_i64(json)),
        Json::Decimal(_) => Value::Float64(number::to_f64(json)),
        Json::Text(text) => Value::Text(text.as_ref().into()),
        Json::Array(items) => Value::Array(items.iter().map(schemaless).collect()),
        Json::Object(object) => {
            let entries = object
                .iter()
                .map(|(name, value)| (Value::Text(name.as_ref().into()), schemaless(value)));
            Value::Map(java_map::ordered(entries.collect(), None).into())
        }
    }
}

/// `None` is a field that the struct's object lacks. An error is Connect's message.
pub(crate) fn with_schema(
    schema: &Arc<Schema>,
    json: Option<&Json<'_>>,
    nulls: Nulls,
) -> Result<Value, String> {
    let json = match json {
        Some(json) if *json != Json::Null => json,
        _ => {
            return match &schema.default {
                Some(default) if nulls == Nulls::BecomeDefault => Ok(default.clone()),
                _ if schema.optional => Ok(Value::Null),
                _ => Err(format!(
                    "Invalid null value for required {} field",
                    logical::kind_name(&schema.kind)
                )),
            };
        }
    };
    if let Some(logical) = Logical::of(schema) {
        return read_logical(logical, schema, json);
    }
    Ok(match &schema.kind {
        Kind::Boolean => Value::Bool(*json == Json::Bool(true)),
        Kind::Int8 => Value::Int((number::to_i64(json) as i8).into()),
        Kind::Int16 => Value::Int((number::to_i64(json) as i16).into()),
        Kind::Int32 => Value::Int((number::to_i64(json) as i32).into()),
        Kind::Int64 => Value::Int(number::to_i64(json)),
        Kind::Float32 => Value::Float32(number::to_f32(json)),
        Kind::Float64 => Value::Float64(number::to_f64(json)),
        Kind::String => match json {
            Json::Text(text) => Value::Text(text.as_ref().into()),
            _ => Value::Null,
        },
        Kind::Bytes => match json {
            Json::Text(text) => Value::Bytes(Bytes::from(
                base64::decode(text).ok_or_else(|| "Invalid bytes field".to_owned())?,
            )),
            _ => Value::Null,
        },
        Kind::Array(items) => match json {
            Json::Array(list) => Value::Array(
                list.iter()
                    .map(|item| with_schema(items, Some(item), nulls))
                    .collect::<Result<_, _>>()?,
            ),
            // Jackson iterates over an object's values, and over nothing in a number or a text.
            Json::Object(object) => Value::Array(
                object
                    .iter()
                    .map(|(_, item)| with_schema(items, Some(item), nulls))
                    .collect::<Result<_, _>>()?,
            ),
            _ => Value::Array(Arc::new([])),
        },
        Kind::Map(keys, values) => read_map(keys, values, json, nulls)?,
        Kind::Struct(_) => match json {
            Json::Object(object) => Value::Struct(read_struct(schema, object, nulls)?),
            other => {
                return Err(format!(
                    "Structs should be encoded as JSON objects, but found {}",
                    other.node_type()
                ));
            }
        },
    })
}

fn read_map(
    keys: &Arc<Schema>,
    values: &Arc<Schema>,
    json: &Json<'_>,
    nulls: Nulls,
) -> Result<Value, String> {
    let entries = match (&keys.kind, json) {
        (Kind::String, Json::Object(object)) => object
            .iter()
            .map(|(name, value)| {
                Ok((Value::Text(name.as_ref().into()), with_schema(values, Some(value), nulls)?))
            })
            .collect::<Result<Vec<_>, String>>()?,
        (Kind::String, other) => {
            return Err(format!(
                "Maps with string fields should be encoded as JSON objects, but found {}",
                other.node_type()
            ));
        }
        (_, Json::Array(pairs)) => pairs
            .iter()
            .map(|pair| match pair {
                Json::Array(pair) => match pair.as_slice() {
                    [key, value] => Ok((
                        with_schema(keys, Some(key), nulls)?,
                        with_schema(values, Some(value), nulls)?,
                    )),
                    other => Err(format!(
                        "Found invalid map entry, expected length 2 but found :{}",
                        other.len()
                    )),
                },
                other => Err(format!(
                    "Found invalid map entry instead of array tuple: {}",
                    other.node_type()
                )),
            })
            .collect::<Result<Vec<_>, String>>()?,
        (_, other) => {
            return Err(format!(
                "Maps with non-string fields should be encoded as JSON array of tuples, but \
                 found {}",
                other.node_type()
            ));
        }
    };
    Ok(Value::Map(java_map::ordered(entries, Some(&keys.kind)).into()))
}

fn read_struct(schema: &Arc<Schema>, object: &Object<'_>, nulls: Nulls) -> Result<Struct, String> {
    let values = schema.fields().iter().zip(0..).map(|(field, index)| {
        let json = object.get_near(&field.name, index);
        let value = with_schema(&field.schema, json, nulls)?;
        check_nulls(&field.schema, &value, &|| format!("field: \"{}\"", field.name))?;
        Ok(value)
    });
    let values = values.collect::<Result<Vec<_>, String>>()?;
    Ok(Struct::new(schema.clone(), values))
}

fn read_logical(logical: Logical, schema: &Arc<Schema>, json: &Json<'_>) -> Result<Value, String> {
    let refused = |expected: &str| {
        Err(format!(
            "Invalid type for {}, underlying representation should be {expected} but was {}",
            logical.short_name(),
            json.node_type()
        ))
    };
    // Jackson's notion of an int: a whole number that fits in 32 bits.
    let int = match json {
        Json::Integer(text) => text.parse::<i32>().ok(),
        _ => None,
    };
    match (logical, json) {
        (Logical::Decimal, Json::Integer(text) | Json::Decimal(text)) => {
            let scale = logical::scale(schema)?;
            Ok(Value::Bytes(Bytes::from(decimal::read(text, scale)?)))
        }
        (Logical::Decimal, Json::Text(text)) => match base64::decode(text) {
            Some(bytes) if !bytes.is_empty() && logical::scale(schema).is_ok() => {
                Ok(Value::Bytes(Bytes::from(bytes)))
            }
            _ => Err("Invalid bytes for Decimal field".to_owned()),
        },
        (Logical::Decimal, _) => refused("numeric or bytes"),
        (Logical::Time, _) if int.is_some_and(|ms| !(0..=86_400_000).contains(&ms)) => {
            Err("Time values must use number of milliseconds greater than 0 and less than \
                 86400000"
                .to_owned())
        }
        (Logical::Date | Logical::Time, _) => match int {
            Some(value) => Ok(Value::Int(value.into())),
            None => refused("integer"),
        },
        (Logical::Timestamp, Json::Integer(_)) => Ok(Value::Int(number::to_i64(json))),
        (Logical::Timestamp, _) => refused("integral"),
    }
}

/// What `ConnectSchema.validateValue` can still find wrong: a null that came of leniency. Structs
/// were checked when they were made.
pub(crate) fn check_nulls(
    schema: &Schema,
    value: &Value,
    location: &dyn Fn() -> String,
) -> Result<(), String> {
    match (&schema.kind, value) {
        (_, Value::Null) if schema.optional => Ok(()),
        (kind, Value::Null) => Err(format!(
            "Invalid value: null used for required {}, schema type: {}",
            location(),
            logical::kind_name(kind)
        )),
        (Kind::Array(items), Value::Array(list)) => list.iter().try_for_each(|item| {
            check_nulls(items, item, &|| format!("element of array {}", location()))
        }),
        (Kind::Map(keys, values), Value::Map(entries)) => {
            entries.iter().try_for_each(|(key, value)| {
                check_nulls(keys, key, &|| format!("key of map {}", location()))?;
                check_nulls(values, value, &|| format!("value of map {}", location()))
            })
        }
        _ => Ok(()),
    }
}
