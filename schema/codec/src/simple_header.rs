//! `org.apache.kafka.connect.storage.SimpleHeaderConverter`: values as text, and a guess at what a
//! text was.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use model::{
    config::ConfigDef,
    convert::{Encoded, HeaderConverter},
    error::RecordError,
    java::{double_to_string, float_to_string},
    record::Data,
    schema::{Kind, Schema},
    value::{Value, ValueRef},
};

use crate::{
    calendar::{self, DAY_MS},
    inference,
    java_text::{decimal_scale, element, entry, write_decimal},
    logical::Logical,
};

pub(crate) static CONFIG: ConfigDef = ConfigDef(&[]);

pub(crate) struct SimpleHeaderConverter;

impl HeaderConverter for SimpleHeaderConverter {
    fn encode(
        &mut self,
        _topic: &str,
        _name: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, RecordError> {
        let value = data.value.as_ref();
        if value.is_null() {
            return Ok(Encoded::Null);
        }
        let mut text = String::new();
        append(&mut text, data.schema.as_deref(), value, Place::Top);
        out.extend_from_slice(text.as_bytes());
        Ok(Encoded::Bytes)
    }

    fn decode(
        &mut self,
        _topic: &str,
        _name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Data, RecordError> {
        let Some(bytes) = bytes else { return Ok(Data::NULL) };
        let text = String::from_utf8_lossy(bytes);
        Ok(inference::infer(&text).unwrap_or_else(|| Data {
            schema: Some(Arc::new(Schema::new(Kind::Bytes))),
            value: Value::Bytes(Bytes::copy_from_slice(bytes)),
        }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// Inside a collection, where text is quoted.
    Embedded,
}

fn append(out: &mut String, schema: Option<&Schema>, value: ValueRef<'_>, place: Place) {
    match value {
        ValueRef::Null => out.push_str("null"),
        ValueRef::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        ValueRef::Int(value) => match schema.and_then(Logical::of) {
            Some(Logical::Date) => append_date(out, value.saturating_mul(DAY_MS)),
            Some(Logical::Time | Logical::Timestamp) => append_date(out, value),
            _ => out.push_str(itoa::Buffer::new().format(value)),
        },
        ValueRef::Float32(value) => out.push_str(float_to_string(value).as_str()),
        ValueRef::Float64(value) => out.push_str(double_to_string(value).as_str()),
        ValueRef::Text(value) if place == Place::Top => out.push_str(value),
        ValueRef::Text(value) => append_quoted(out, value),
        ValueRef::Bytes(value) => match decimal_scale(schema) {
            Some(scale) => write_decimal(out, value, scale),
            None => {
                let quote = if place == Place::Top { "" } else { "\"" };
                out.push_str(quote);
                STANDARD.encode_string(value, out);
                out.push_str(quote);
            }
        },
        ValueRef::Array(items) => {
            out.push('[');
            for (item, index) in items.iter().zip(0..) {
                if index > 0 {
                    out.push(',');
                }
                append(out, element(schema), item.as_ref(), Place::Embedded);
            }
            out.push(']');
        }
        ValueRef::Map(entries) => {
            let (keys, values) = entry(schema);
            out.push('{');
            for ((key, value), index) in entries.iter().zip(0..) {
                if index > 0 {
                    out.push(',');
                }
                append(out, keys, key.as_ref(), Place::Embedded);
                out.push(':');
                append(out, values, value.as_ref(), Place::Embedded);
            }
            out.push('}');
        }
        ValueRef::Struct(value) => {
            out.push('{');
            for (field, index) in value.schema.fields().iter().zip(0..) {
                if index > 0 {
                    out.push(',');
                }
                append_quoted(out, &field.name);
                out.push(':');
                let value = match (value.at(index), &field.schema.default) {
                    (ValueRef::Null, Some(default)) => default.as_ref(),
                    (value, _) => value,
                };
                append(out, Some(&field.schema), value, Place::Embedded);
            }
            out.push('}');
        }
    }
}

fn append_quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        if let '\\' | '"' = char {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

/// A time when it lies before 2 January 1970, a date when it is midnight, else both.
fn append_date(out: &mut String, ms: i64) {
    let (day, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, of_month) = calendar::date(day);
    let date = format!("{year:04}-{month:02}-{of_month:02}");
    let second = of_day / 1000;
    let time = format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        of_day % 1000
    );
    if ms < DAY_MS {
        out.push_str(&time);
    } else if of_day == 0 {
        out.push_str(&date);
    } else {
        out.push_str(&format!("{date}T{time}"));
    }
}
