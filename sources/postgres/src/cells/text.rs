//! Values in the server's text form.

use std::sync::Arc;

use model::{
    java,
    schema::Schema,
    value::{Struct, Value},
};

use super::{
    BadValue, Cell, Decode, Phase, Scratch, bad,
    geometric::{
        parse_box, parse_circle, parse_line, parse_lseg, parse_path, parse_point, parse_polygon,
    },
    number,
    temporal::{
        Finite, parse_date, parse_interval, parse_time, parse_timestamp, parse_zoned_time,
        write_zoned_time, write_zoned_timestamp,
    },
};

// What Debezium 3.7 makes of the ends of time; recorded from it (`infinity` in DATE, TIMESTAMP(3)).
// Its DATE goes through `java.sql.Date` in snapshots and through `LocalDate` in streams.
const DATE_INFINITY: (i64, i64) = (-622_191_234, 2_146_033_979);
const DATE_NEGATIVE_INFINITY: (i64, i64) = (-625_821_272, -2_147_472_691);
const MILLIS_INFINITY: i64 = 9_223_372_036_825_200_000;
const MILLIS_NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;

pub(crate) fn date_cell<'a>(date: Finite<i64>, phase: Phase) -> Cell<'a> {
    let pick = |(snapshot, stream): (i64, i64)| match phase {
        Phase::Snapshot => snapshot,
        Phase::Stream => stream,
    };
    Cell::Int(match date {
        Finite::Value(days) => days,
        Finite::Infinity => pick(DATE_INFINITY),
        Finite::NegativeInfinity => pick(DATE_NEGATIVE_INFINITY),
    })
}

pub(crate) fn timestamp_cell<'a>(timestamp: Finite<i64>, millis: bool) -> Cell<'a> {
    Cell::Int(match (timestamp, millis) {
        (Finite::Value(micros), true) => micros.div_euclid(1_000),
        (Finite::Value(micros), false) => micros,
        (Finite::Infinity, true) => MILLIS_INFINITY,
        (Finite::NegativeInfinity, true) => MILLIS_NEGATIVE_INFINITY,
        (Finite::Infinity, false) => i64::MAX,
        (Finite::NegativeInfinity, false) => i64::MIN,
    })
}

pub(crate) fn zoned_timestamp_cell(
    timestamp: Finite<i64>,
    digits: usize,
    scratch: &mut Scratch,
) -> Cell<'_> {
    scratch.text.clear();
    match timestamp {
        Finite::Value(micros) => write_zoned_timestamp(&mut scratch.text, micros, digits),
        Finite::Infinity => scratch.text.push_str("infinity"),
        Finite::NegativeInfinity => scratch.text.push_str("-infinity"),
    }
    Cell::Text(&scratch.text)
}

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
            Decode::Bytea => {
                scratch.bytes.clear();
                read_bytea(text, &mut scratch.bytes)?;
                Cell::Bytes(&scratch.bytes)
            }
            Decode::Decimal { scale } => {
                scratch.bytes.clear();
                number::parse(text)?.rescale(*scale).unscaled.write_bytes(&mut scratch.bytes);
                Cell::Bytes(&scratch.bytes)
            }
            Decode::VariableScaleDecimal(schema) => {
                Cell::Nested(variable_scale(schema, number::parse(text)?))
            }
            Decode::Money { scale } => {
                scratch.text.clear();
                read_money(text, &mut scratch.text);
                let decimal = number::parse(&scratch.text)?.rescale(*scale);
                scratch.bytes.clear();
                decimal.unscaled.write_bytes(&mut scratch.bytes);
                Cell::Bytes(&scratch.bytes)
            }
            Decode::Date => date_cell(parse_date(text)?, phase),
            Decode::TimeMillis => Cell::Int(parse_time(text)? / 1_000),
            Decode::TimeMicros => Cell::Int(parse_time(text)?),
            Decode::TimeMicrosCut => Cell::Int(parse_time(text)? / 1_000 * 1_000),
            Decode::ZonedTime => {
                let (micros, offset) = parse_zoned_time(text)?;
                scratch.text.clear();
                write_zoned_time(&mut scratch.text, micros, offset);
                Cell::Text(&scratch.text)
            }
            Decode::TimestampMillis => timestamp_cell(parse_timestamp(text)?, true),
            Decode::TimestampMicros => timestamp_cell(parse_timestamp(text)?, false),
            Decode::ZonedTimestamp { digits } => {
                zoned_timestamp_cell(parse_timestamp(text)?, *digits, scratch)
            }
            Decode::Interval => Cell::Int(parse_interval(text)?.to_micro_duration()),
            Decode::Hstore => {
                scratch.text.clear();
                write_hstore_json(text, &mut scratch.text)?;
                Cell::Text(&scratch.text)
            }
            Decode::BitBool => Cell::Bool(text.starts_with('1')),
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
            Decode::Array(element) => Cell::Nested(read_array(element, text, phase, scratch)?),
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

/// `\x00ff`; the session has `bytea_output=hex`.
fn read_bytea(text: &str, out: &mut Vec<u8>) -> Result<(), BadValue> {
    const EXPECTED: &str = "bytes as \\x and hexadecimal digits";
    let Some(digits) = text.strip_prefix("\\x") else { return bad(EXPECTED) };
    let nibble = |byte: u8| char::from(byte).to_digit(16);
    let mut pairs = digits.as_bytes().chunks_exact(2);
    for pair in &mut pairs {
        match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return bad(EXPECTED),
        }
    }
    if pairs.remainder().is_empty() { Ok(()) } else { bad(EXPECTED) }
}

/// `$1,234.56`, `-$0.01` or `($0.01)` without its decoration.
fn read_money(text: &str, out: &mut String) {
    if text.starts_with('(') || text.starts_with('-') {
        out.push('-');
    }
    out.extend(text.chars().filter(|c| c.is_ascii_digit() || *c == '.'));
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

/// `"key"=>"value", "key"=>NULL` as a JSON object in the order of a `java.util.HashMap`.
fn write_hstore_json(text: &str, out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "hstore pairs as \"key\"=>\"value\"";
    let mut entries = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = read_quoted(rest).ok_or(BadValue { expected: EXPECTED })?;
        let after = after.strip_prefix("=>").ok_or(BadValue { expected: EXPECTED })?;
        let after = match after.strip_prefix("NULL") {
            Some(after) => {
                entries.push((key, serde_json::Value::Null));
                after
            }
            None => {
                let (value, after) = read_quoted(after).ok_or(BadValue { expected: EXPECTED })?;
                entries.push((key, value.into()));
                after
            }
        };
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    let map = java::hash_map(entries);
    out.push_str(&serde_json::Value::Object(map).to_string());
    Ok(())
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

/// `{a,"b c",NULL}`; more than one dimension is not mapped by Debezium either.
fn read_array(
    element: &Decode,
    text: &str,
    phase: Phase,
    scratch: &mut Scratch,
) -> Result<Value, BadValue> {
    const EXPECTED: &str = "an array of one dimension";
    // Bounds other than 1 are printed as `[2:3]={…}`.
    let text = match text.starts_with('[') {
        true => text.split_once('=').map_or(text, |(_, items)| items),
        false => text,
    };
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let Some(mut rest) = inner else { return bad(EXPECTED) };
    let mut items = Vec::new();
    while !rest.is_empty() {
        let after = match rest.as_bytes().first() {
            Some(b'{') => return bad(EXPECTED),
            Some(b'"') => {
                let Some((item, after)) = read_quoted(rest) else { return bad(EXPECTED) };
                items.push(element.text(&item, phase, scratch)?.into_value());
                after
            }
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (item, after) = rest.split_at(end);
                items.push(match item {
                    "NULL" => Value::Null,
                    item => element.text(item, phase, scratch)?.into_value(),
                });
                after
            }
        };
        rest = match after.strip_prefix(',') {
            Some(rest) => rest,
            None if after.is_empty() => after,
            None => return bad(EXPECTED),
        };
    }
    Ok(Value::Array(items.into()))
}
