//! `toString()` of the Java objects that Connect would hold for our values.

use model::{
    java::{double_to_string, float_to_string},
    schema::{Kind, Schema},
    value::{Value, ValueRef},
};

use crate::{
    calendar::{self, DAY_MS},
    decimal,
    logical::{self, Logical},
};

/// Appends the text. Bytes are shown as the `ByteBuffer` that Debezium makes of them; the text of
/// a Java byte array is an address, which no one can rely on.
pub(crate) fn write(out: &mut String, schema: Option<&Schema>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.push_str("null"),
        ValueRef::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        ValueRef::Int(value) => match schema.and_then(Logical::of) {
            Some(Logical::Date) => write_date(out, value.saturating_mul(DAY_MS)),
            Some(Logical::Time | Logical::Timestamp) => write_date(out, value),
            _ => out.push_str(itoa::Buffer::new().format(value)),
        },
        ValueRef::Float32(value) => out.push_str(float_to_string(value).as_str()),
        ValueRef::Float64(value) => out.push_str(double_to_string(value).as_str()),
        ValueRef::Text(value) => out.push_str(value),
        ValueRef::Bytes(value) => match decimal_scale(schema) {
            Some(scale) => write_decimal(out, value, scale),
            None => {
                let len = value.len();
                out.push_str(&format!("java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]"));
            }
        },
        ValueRef::Array(items) => {
            out.push('[');
            for (item, index) in items.iter().zip(0..) {
                if index > 0 {
                    out.push_str(", ");
                }
                write(out, element(schema), item.as_ref());
            }
            out.push(']');
        }
        ValueRef::Map(entries) => write_map(out, schema, entries),
        ValueRef::Struct(value) => {
            out.push_str("Struct{");
            let mut first = true;
            for (field, index) in value.schema.fields().iter().zip(0..) {
                let value = value.at(index);
                if value.is_null() {
                    continue;
                }
                if !first {
                    out.push(',');
                }
                first = false;
                out.push_str(&field.name);
                out.push('=');
                write(out, Some(&field.schema), value);
            }
            out.push('}');
        }
    }
}

fn write_map(out: &mut String, schema: Option<&Schema>, entries: &[(Value, Value)]) {
    let (keys, values) = entry(schema);
    out.push('{');
    for ((key, value), index) in entries.iter().zip(0..) {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, keys, key.as_ref());
        out.push('=');
        write(out, values, value.as_ref());
    }
    out.push('}');
}

pub(crate) fn decimal_scale(schema: Option<&Schema>) -> Option<i32> {
    let schema = schema.filter(|schema| Logical::of(schema) == Some(Logical::Decimal))?;
    logical::scale(schema).ok()
}

pub(crate) fn write_decimal(out: &mut String, unscaled: &[u8], scale: i32) {
    let mut text = Vec::new();
    decimal::write(&mut text, unscaled, scale);
    out.push_str(&String::from_utf8_lossy(&text));
}

/// The schema of an array's elements.
pub(crate) fn element(schema: Option<&Schema>) -> Option<&Schema> {
    match &schema?.kind {
        Kind::Array(items) => Some(items),
        _ => None,
    }
}

/// The schemas of a map's keys and values.
pub(crate) fn entry(schema: Option<&Schema>) -> (Option<&Schema>, Option<&Schema>) {
    match schema.map(|schema| &schema.kind) {
        Some(Kind::Map(keys, values)) => (Some(keys), Some(values)),
        _ => (None, None),
    }
}

/// `java.util.Date.toString()` in UTC: `Thu Jan 01 00:00:00 UTC 1970`.
fn write_date(out: &mut String, ms: i64) {
    const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = ms.div_euclid(DAY_MS);
    let second = ms.rem_euclid(DAY_MS) / 1000;
    let (year, month, of_month) = calendar::date(day);
    let year = if year > 0 { year } else { 1 - year };
    out.push_str(&format!(
        "{} {} {of_month:02} {:02}:{:02}:{:02} UTC {year}",
        WEEKDAYS[calendar::weekday(day)],
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60,
    ));
}
