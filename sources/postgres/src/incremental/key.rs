//! The values of keys: as the server prints them, as Java objects in offsets, and in statements.

use ::snapshot::{incremental::Key, java_objects::Object};
use chrono::{DateTime, Local, NaiveDate, TimeZone};
use model::error::{Error, Result};
use num_bigint::BigInt;

use crate::types::{TypeKind, Types};

/// What class of Java the JDBC driver makes of a column, recorded from Debezium 3.7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Integer,
    Long,
    Float,
    Double,
    Decimal,
    /// A decimal whose text has a currency around it.
    Money,
    Boolean,
    Uuid,
    Date,
    Bytes,
    String,
    /// A type without a class of its own.
    PgObject(String),
}

impl KeyKind {
    pub(crate) fn of(types: &Types, oid: u32) -> Self {
        let Some(info) = types.get(&oid) else { return KeyKind::String };
        match (&info.kind, info.name.as_str()) {
            (TypeKind::Domain { base, .. }, _) if *base != oid => Self::of(types, *base),
            (TypeKind::Enum { .. }, _) => KeyKind::String,
            (_, "int2" | "int4") => KeyKind::Integer,
            (_, "int8" | "oid") => KeyKind::Long,
            (_, "float4") => KeyKind::Float,
            (_, "float8") => KeyKind::Double,
            (_, "numeric") => KeyKind::Decimal,
            (_, "money") => KeyKind::Money,
            (_, "bool") => KeyKind::Boolean,
            (_, "uuid") => KeyKind::Uuid,
            (_, "date") => KeyKind::Date,
            (_, "bytea") => KeyKind::Bytes,
            // Debezium reads moments as texts.
            (
                _,
                "text" | "varchar" | "bpchar" | "name" | "bit" | "time" | "timetz" | "timestamp"
                | "timestamptz",
            ) => KeyKind::String,
            (_, other) => KeyKind::PgObject(other.to_owned()),
        }
    }

    fn object(&self, text: &str) -> Option<Object> {
        Some(match self {
            KeyKind::Integer => Object::Integer(text.parse().ok()?),
            KeyKind::Long => Object::Long(text.parse().ok()?),
            KeyKind::Float => Object::Float(text.parse().ok()?),
            KeyKind::Double => Object::Double(text.parse().ok()?),
            KeyKind::Decimal => decimal(text)?,
            KeyKind::Boolean => Object::Boolean(matches!(text, "t" | "true")),
            KeyKind::Uuid => Object::Uuid(uuid::Uuid::parse_str(text).ok()?.as_u128()),
            KeyKind::Date => date(text)?,
            KeyKind::Bytes => {
                let mut bytes = Vec::new();
                let digits = text.strip_prefix("\\x")?;
                crate::cells::text::read_hexadecimal(digits, &mut bytes).ok()?;
                Object::Bytes(bytes)
            }
            KeyKind::Money | KeyKind::String => Object::String(text.to_owned()),
            KeyKind::PgObject(name) => {
                Object::PgObject { type_name: name.clone(), value: Some(text.to_owned()) }
            }
        })
    }
}

/// A key out of the texts of its columns.
pub(super) fn read<'t>(
    kinds: &[KeyKind],
    mut texts: impl Iterator<Item = Option<&'t [u8]>>,
) -> Result<Key> {
    let value = |kind: &KeyKind| match texts.next().flatten().map(std::str::from_utf8) {
        None => Ok(Object::Null),
        Some(Ok(text)) => Ok(kind.object(text).unwrap_or_else(|| Object::String(text.to_owned()))),
        Some(Err(error)) => {
            Err(Error::fatal("read the key of a row of an incremental snapshot").caused_by(error))
        }
    };
    kinds.iter().map(value).collect()
}

fn decimal(text: &str) -> Option<Object> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let special = match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    };
    if let Some(special) = special {
        return Some(Object::Double(special));
    }
    let unscaled: BigInt = format!("{whole}{fraction}").parse().ok()?;
    Some(Object::BigDecimal { unscaled, scale: i32::try_from(fraction.len()).ok()? })
}

/// As `java.sql.Date`: midnight here. What is no date in Java stays a text.
fn date(text: &str) -> Option<Object> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let midnight = Local.from_local_datetime(&date.and_hms_opt(0, 0, 0)?).earliest()?;
    Some(Object::Date(midnight.timestamp_millis()))
}

/// The value as a literal whose type the server finds out; `None` for NULL.
pub(super) fn literal(value: &Object) -> Option<String> {
    let text = match value {
        Object::Null | Object::PgObject { value: None, .. } => return None,
        Object::Boolean(value) => value.to_string(),
        Object::Byte(value) => value.to_string(),
        Object::Short(value) => value.to_string(),
        Object::Integer(value) => value.to_string(),
        Object::Long(value) => value.to_string(),
        Object::Float(value) => float(f64::from(*value), value.to_string()),
        Object::Double(value) => float(*value, value.to_string()),
        Object::String(text) | Object::PgObject { value: Some(text), .. } => text.clone(),
        Object::Bytes(bytes) => {
            bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        }
        Object::BigInteger(value) => value.to_string(),
        Object::BigDecimal { unscaled, scale } => format!("{unscaled}e{}", -i64::from(*scale)),
        Object::Uuid(value) => uuid::Uuid::from_u128(*value).to_string(),
        Object::Date(millis) => moment(*millis).format("%Y-%m-%d").to_string(),
        Object::Timestamp { millis, nanos } => {
            format!("{}.{nanos:09}", moment(*millis).format("%Y-%m-%d %H:%M:%S"))
        }
    };
    Some(quoted(&text))
}

fn moment(millis: i64) -> DateTime<Local> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default().with_timezone(&Local)
}

fn float(value: f64, text: String) -> String {
    match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value if value.is_nan() => "NaN".to_owned(),
        _ => text,
    }
}

/// A literal, whatever `standard_conforming_strings` is.
pub(crate) fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!(" E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server prints values, and as they come back in a statement.
    #[test]
    fn values_go_there_and_back() {
        let there = |kind: KeyKind, text: &str| {
            let key = read(&[kind], [Some(text.as_bytes())].into_iter()).unwrap();
            literal(&key[0]).unwrap()
        };
        for (kind, text, wanted) in [
            (KeyKind::Integer, "-5", "'-5'"),
            (KeyKind::Long, "9223372036854775807", "'9223372036854775807'"),
            (KeyKind::Decimal, "7.50", "'750e-2'"),
            (KeyKind::Decimal, "-0.001", "'-1e-3'"),
            (KeyKind::Decimal, "NaN", "'NaN'"),
            (KeyKind::Float, "0.33333334", "'0.33333334'"),
            (KeyKind::Double, "1e+300", "'1e300'"),
            (KeyKind::Double, "-Infinity", "'-Infinity'"),
            (KeyKind::Boolean, "t", "'true'"),
            (KeyKind::Date, "2024-02-05", "'2024-02-05'"),
            (KeyKind::Date, "infinity", "'infinity'"),
            (KeyKind::Date, "0044-03-15 BC", "'0044-03-15 BC'"),
            (KeyKind::Bytes, "\\x00ff", " E'\\\\x00ff'"),
            (KeyKind::String, "k'é\\", " E'k''é\\\\'"),
            (KeyKind::Money, "$1.50", "'$1.50'"),
            (KeyKind::PgObject("inet".into()), "10.0.0.1", "'10.0.0.1'"),
            (
                KeyKind::Uuid,
                "0b9f4a52-93a5-4f7e-9d55-0c2a6d0a1b2c",
                "'0b9f4a52-93a5-4f7e-9d55-0c2a6d0a1b2c'",
            ),
        ] {
            let shown = there(kind, text);
            // Rust prints large floats in digits.
            let wanted = if wanted == "'1e300'" { &quoted(&1e300f64.to_string()) } else { wanted };
            assert_eq!(shown, wanted, "{text}");
        }
        assert_eq!(read(&[KeyKind::Integer], [None].into_iter()).unwrap(), [Object::Null]);
        assert_eq!(literal(&Object::Null), None);
    }
}
