//! Values in the server's text form.

use std::sync::Arc;

use model::{
    java,
    schema::Schema,
    value::{Struct, Value},
};

use super::{
    BadValue, Cell, Decode, Phase, Scratch, bad,
    encoded::{encoded, scratched},
    geometric::{
        parse_box, parse_circle, parse_line, parse_lseg, parse_path, parse_point, parse_polygon,
    },
    moment::ZonedForm,
    number,
    spatial::{parse_ewkb, parse_sparse_vector, parse_vector},
    temporal::{
        Finite, Stamp, julian_days, parse_date, parse_interval, parse_time, parse_timestamp,
        parse_zoned_time,
    },
};

impl Decode {
    /// Decodes what the server printed.
    pub(crate) fn text<'a>(
        &self,
        text: &'a str,
        phase: Phase,
        scratch: &'a mut Scratch,
    ) -> Result<Cell<'a>, BadValue> {
        Ok(match self {
            Decode::Bool => match text {
                "t" | "true" => Cell::Bool(true),
                "f" | "false" => Cell::Bool(false),
                _ => return bad("t or f"),
            },
            Decode::Int => Cell::Int(text.parse().or(bad("an integer"))?),
            Decode::Float32 => Cell::Float32(text.parse().or(bad("a number"))?),
            Decode::Float64 => Cell::Float64(text.parse().or(bad("a number"))?),
            Decode::Text => Cell::Text(text),
            Decode::Name if phase == Phase::Stream => Cell::Null,
            Decode::Name => Cell::Text(text),
            Decode::Uuid => {
                // The server prints lower case already.
                Cell::Text(text)
            }
            Decode::Bytea(mode) => {
                scratch.bytes.clear();
                let Some(digits) = text.strip_prefix("\\x") else {
                    return bad("bytes as \\x and hexadecimal digits");
                };
                read_hexadecimal(digits, &mut scratch.bytes)?;
                scratched(*mode, scratch)
            }
            Decode::Unknown(mode) => encoded(*mode, text.as_bytes(), &mut scratch.text),
            Decode::Decimal { scale } => {
                scratch.bytes.clear();
                number::parse(text)?.rescale(*scale).unscaled.write_bytes(&mut scratch.bytes);
                Cell::Bytes(&scratch.bytes)
            }
            Decode::VariableScaleDecimal(schema) => {
                Cell::Nested(variable_scale(schema, number::parse(text)?))
            }
            Decode::Money { scale, digits } => {
                scratch.text.clear();
                read_money(text, *digits, &mut scratch.text)?;
                let decimal = number::parse(&scratch.text)?.rescale(*scale);
                scratch.bytes.clear();
                decimal.unscaled.write_bytes(&mut scratch.bytes);
                Cell::Bytes(&scratch.bytes)
            }
            Decode::MoneyText { digits } => {
                scratch.text.clear();
                read_money(text, *digits, &mut scratch.text)?;
                Cell::Text(&scratch.text)
            }
            Decode::MoneyDouble { digits } => {
                scratch.text.clear();
                read_money(text, *digits, &mut scratch.text)?;
                Cell::Float64(scratch.text.parse().or(bad("an amount of money"))?)
            }
            Decode::DecimalText { special: false, .. }
            | Decode::DecimalDouble { special: false }
                if matches!(text, "NaN" | "Infinity" | "-Infinity") =>
            {
                return bad("a finite number");
            }
            Decode::DecimalText { .. } => Cell::Text(match text {
                "NaN" => "NAN",
                "Infinity" => "POSITIVE_INFINITY",
                "-Infinity" => "NEGATIVE_INFINITY",
                text => text,
            }),
            Decode::DecimalDouble { .. } => Cell::Float64(text.parse().or(bad("a number"))?),
            Decode::Date(form) => form.cell(parse_date(text)?, phase, scratch),
            Decode::Time(form) => form.cell(parse_time(text)?, scratch)?,
            Decode::TimeCut(form) => {
                let millis = parse_time(text)? / 1_000 % 86_400_000;
                form.cell(millis * 1_000, scratch)?
            }
            Decode::ZonedTime(form) => form.cell(parse_zoned_time(text)?, scratch),
            Decode::Timestamp(form) => form.cell(parse_timestamp(text)?, scratch)?,
            Decode::ZonedTimestamp(form) => form.cell(parse_timestamp(text)?, scratch),
            Decode::Interval(form) => form.cell(parse_interval(text)?, scratch),
            Decode::HstoreMap => Cell::Nested(hstore_map(text)?),
            Decode::Ewkb(schema) => Cell::Nested(parse_ewkb(schema, text)?),
            Decode::Vector { single } => Cell::Nested(parse_vector(text, *single)?),
            Decode::SparseVector(schema) => Cell::Nested(parse_sparse_vector(schema, text)?),
            Decode::Hstore => {
                scratch.text.clear();
                write_hstore_json(text, &mut scratch.text)?;
                Cell::Text(&scratch.text)
            }
            Decode::BitBool if text.is_empty() => return bad("a bit"),
            Decode::BitBool => Cell::Bool(text.starts_with('1')),
            Decode::Never => return bad("a type that Debezium converts in arrays"),
            Decode::Bits => {
                scratch.bytes.clear();
                read_bits(text, &mut scratch.bytes)?;
                Cell::Bytes(&scratch.bytes)
            }
            Decode::Point(schema) => Cell::Nested(parse_point(schema, text)?),
            Decode::Box(schema) => Cell::Nested(parse_box(schema, text)?),
            Decode::Lseg(schema) => Cell::Nested(parse_lseg(schema, text)?),
            Decode::Path(schema) => Cell::Nested(parse_path(schema, text)?),
            Decode::Polygon(schema) => Cell::Nested(parse_polygon(schema, text)?),
            Decode::Line(schema) => Cell::Nested(parse_line(schema, text)?),
            Decode::Circle { circle, point } => Cell::Nested(parse_circle(circle, point, text)?),
            Decode::Array(element) => Cell::Nested(read_array(element, text, scratch)?),
            Decode::ArrayOfRequired(element) => {
                Cell::Nested(whole(read_array(element, text, scratch)?)?)
            }
            Decode::JulianTimestamp(form) => form.cell(julian(parse_timestamp(text)?), scratch)?,
            Decode::SqlZonedTimestamp(form) => match (form, parse_timestamp(text)?) {
                (ZonedForm::Iso(digits), Finite::NegativeInfinity) => {
                    scratch.text.clear();
                    scratch.text.push_str(SQL_NEGATIVE_INFINITY);
                    if *digits > 0 {
                        scratch.text.push('.');
                        scratch.text.extend(std::iter::repeat_n('0', *digits));
                    }
                    scratch.text.push('Z');
                    Cell::Text(&scratch.text)
                }
                (form, timestamp) => form.cell(timestamp, scratch),
            },
            Decode::AlwaysNull => Cell::Null,
        })
    }
}

pub(crate) fn variable_scale(schema: &Arc<Schema>, decimal: number::Decimal) -> Value {
    let decimal = decimal.stripped();
    let mut bytes = Vec::new();
    decimal.unscaled.write_bytes(&mut bytes);
    let fields = vec![Value::Int(decimal.scale.into()), Value::Bytes(bytes.into())];
    Value::Struct(Struct::new(schema.clone(), fields))
}

/// Pairs of hexadecimal digits.
pub(crate) fn read_hexadecimal(digits: &str, out: &mut Vec<u8>) -> Result<(), BadValue> {
    let nibble = |byte: u8| char::from(byte).to_digit(16);
    let mut pairs = digits.as_bytes().chunks_exact(2);
    for pair in &mut pairs {
        match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return bad("pairs of hexadecimal digits"),
        }
    }
    if pairs.remainder().is_empty() { Ok(()) } else { bad("pairs of hexadecimal digits") }
}

/// `$1,234.56`, `-$0.01` or `($0.01)` without its decoration. What stands between the digits is the
/// locale's: a point can be one of thousands. The last `digits` are the fraction's.
fn read_money(text: &str, digits: u8, out: &mut String) -> Result<(), BadValue> {
    out.extend(text.chars().filter(char::is_ascii_digit));
    let digits = usize::from(digits);
    if out.is_empty() {
        return bad("an amount of money");
    }
    while out.len() <= digits {
        out.insert(0, '0');
    }
    if digits > 0 {
        out.insert(out.len() - digits, '.');
    }
    if text.contains(['-', '(', '\u{2212}']) {
        out.insert(0, '-');
    }
    Ok(())
}

/// The last bit is the lowest of the first byte; bytes above the highest set bit are left out.
fn read_bits(text: &str, out: &mut Vec<u8>) -> Result<(), BadValue> {
    for (bit, index) in text.bytes().rev().zip(0usize..) {
        match bit {
            b'1' => {
                out.resize(index / 8 + 1, 0);
                out[index / 8] |= 1 << (index % 8);
            }
            b'0' => {}
            _ => return bad("bits as 0 and 1"),
        }
    }
    Ok(())
}

/// The pairs of an hstore as a JSON object in the order of a `java.util.HashMap`.
fn write_hstore_json(text: &str, out: &mut String) -> Result<(), BadValue> {
    let pairs = read_hstore(text)?;
    let values = pairs.into_iter().map(|(key, value)| (key, value.into()));
    out.push_str(&serde_json::Value::Object(java::hash_map(values)).to_string());
    Ok(())
}

/// The pairs of an hstore as a map in the same order.
fn hstore_map(text: &str) -> Result<Value, BadValue> {
    let pairs = read_hstore(text)?;
    let buckets = java::buckets(pairs.len());
    let pairs = java::in_hash_order(pairs, buckets, |(key, _)| java::string_hash(key));
    let entries = pairs.into_iter().map(|(key, value)| {
        let value = value.map_or(Value::Null, |value| Value::Text(value.into()));
        (Value::Text(key.into()), value)
    });
    Ok(Value::Map(entries.collect()))
}

/// `"key"=>"value", "key"=>NULL`
fn read_hstore(text: &str) -> Result<Vec<(String, Option<String>)>, BadValue> {
    const EXPECTED: &str = "hstore pairs as \"key\"=>\"value\"";
    let mut entries = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = read_quoted(rest).ok_or(BadValue { expected: EXPECTED })?;
        let after = after.strip_prefix("=>").ok_or(BadValue { expected: EXPECTED })?;
        let after = match after.strip_prefix("NULL") {
            Some(after) => {
                entries.push((key, None));
                after
            }
            None => {
                let (value, after) = read_quoted(after).ok_or(BadValue { expected: EXPECTED })?;
                entries.push((key, Some(value)));
                after
            }
        };
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Ok(entries)
}

/// A text in double quotes with backslash escapes, and what follows it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[index + 2..])),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

/// What Debezium makes of the end of time that went through `java.sql.Timestamp`, whose early years
/// have no sign. With the digits that the type was declared with.
const SQL_NEGATIVE_INFINITY: &str = "+292269055-12-02T23:00:00";

/// Days before 1582-10-15 are taken for days of the Julian calendar, as `java.sql.Timestamp` does.
fn julian(timestamp: Finite<Stamp>) -> Finite<Stamp> {
    match timestamp {
        Finite::Value(stamp) => Finite::Value(Stamp { days: julian_days(stamp.days), ..stamp }),
        end => end,
    }
}

/// An array whose elements are required.
pub(crate) fn whole(array: Value) -> Result<Value, BadValue> {
    match &array {
        Value::Array(items) if items.contains(&Value::Null) => {
            bad("an array without null, as its elements are required")
        }
        _ => Ok(array),
    }
}

/// `{a,"b c",NULL}`
fn read_array(element: &Decode, text: &str, scratch: &mut Scratch) -> Result<Value, BadValue> {
    const EXPECTED: &str = "an array of one dimension";
    // The JDBC driver reads arrays, in streams too.
    let phase = Phase::Snapshot;
    // Bounds other than 1 are printed as `[2:3]={…}`.
    let text = match text.starts_with('[') {
        true => text.split_once('=').map_or(text, |(_, items)| items),
        false => text,
    };
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let Some(mut rest) = inner else { return bad(EXPECTED) };
    // PostGIS types have a delimiter of their own (`pg_type.typdelim`).
    let delimiter = if matches!(element, Decode::Ewkb(_)) { ':' } else { ',' };
    let mut items = Vec::new();
    while !rest.is_empty() {
        let after = match rest.as_bytes().first() {
            // Of a second dimension Debezium makes one null for each row.
            Some(b'{') if matches!(element, Decode::Int) => {
                let mut depth = 0usize;
                let end = rest.bytes().position(|byte| {
                    depth = match byte {
                        b'{' => depth + 1,
                        b'}' => depth - 1,
                        _ => depth,
                    };
                    depth == 0
                });
                let Some(end) = end else { return bad(EXPECTED) };
                items.push(Value::Null);
                &rest[end + 1..]
            }
            Some(b'{') => return bad(EXPECTED),
            Some(b'"') => {
                let Some((item, after)) = read_quoted(rest) else { return bad(EXPECTED) };
                items.push(element.text(&item, phase, scratch)?.into_value());
                after
            }
            _ => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                let (item, after) = rest.split_at(end);
                items.push(match item {
                    "NULL" => Value::Null,
                    item => element.text(item, phase, scratch)?.into_value(),
                });
                after
            }
        };
        rest = match after.strip_prefix(delimiter) {
            Some(rest) => rest,
            None if after.is_empty() => after,
            None => return bad(EXPECTED),
        };
    }
    Ok(Value::Array(items.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What servers print with `lc_monetary` C, `de_DE`, `fr_FR`, `ja_JP` (no fraction) and `ar_KW` (three
    /// digits).
    #[test]
    fn money() {
        for (text, digits, wanted) in [
            ("$1,234.56", 2, "1234.56"),
            ("-$0.01", 2, "-0.01"),
            ("($0.01)", 2, "-0.01"),
            ("1.234,56 €", 2, "1234.56"),
            ("-1.234,56 €", 2, "-1234.56"),
            ("1\u{202f}234,56 €", 2, "1234.56"),
            ("￥1,234", 0, "1234"),
            ("د.ك. 1,234.567", 3, "1234.567"),
        ] {
            let mut out = String::new();
            read_money(text, digits, &mut out).unwrap();
            assert_eq!(out, wanted, "{text}");
        }
        assert!(read_money("€", 2, &mut String::new()).is_err());
    }
}
