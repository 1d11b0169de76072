//! Temporal types in the forms of `time.precision.mode` and `interval.handling.mode`.

use std::sync::Arc;

use model::{
    schema::Schema,
    value::{Struct, Value},
};
use relational::{modes::TemporalMode, semantic};

use super::{Mapped, Settings};
use crate::cells::{
    Decode,
    moment::{self, DateForm, IntervalForm, TimeForm, TimestampForm, ZonedForm, ZonedTimeForm},
};

/// `digits` is the number of fraction digits that the type was declared with, or 6.
pub(super) fn map(name: &str, digits: usize, settings: &Settings) -> Option<Mapped> {
    let mode = settings.times;
    let precision = digits as i64;
    Some(match (name, mode) {
        ("date", TemporalMode::Connect) => {
            simple(semantic::connect_date(), Decode::Date(DateForm::Days), Value::Int(0))
        }
        ("date", TemporalMode::IsoString) => {
            text(semantic::iso_date(), Decode::Date(DateForm::Iso), "1970-01-01Z")
        }
        ("date", TemporalMode::Structured) => structured(
            moment::structured_date(),
            |schema| Decode::Date(DateForm::Structured(schema)),
            &[1970, 1, 1],
            vec![Value::Null],
        ),
        ("date", _) => simple(semantic::date(), Decode::Date(DateForm::Days), Value::Int(0)),

        ("time", TemporalMode::Connect) => {
            simple(semantic::connect_time(), Decode::Time(TimeForm::Connect), Value::Int(0))
        }
        ("time", TemporalMode::IsoString) => {
            text(semantic::iso_time(), Decode::Time(TimeForm::Iso), "00:00:00Z")
        }
        ("time", TemporalMode::Structured) => structured(
            moment::structured_time(),
            |schema| Decode::Time(TimeForm::Structured(schema, precision)),
            &[0, 0, 0, 0, precision],
            Vec::new(),
        ),
        ("time", TemporalMode::Nanoseconds) => {
            simple(semantic::nano_time(), Decode::Time(TimeForm::Nanos), Value::Int(0))
        }
        ("time", TemporalMode::Adaptive) if digits <= 3 => {
            simple(semantic::time(), Decode::Time(TimeForm::Millis), Value::Int(0))
        }
        ("time", _) => {
            simple(semantic::micro_time(), Decode::Time(TimeForm::Micros), Value::Int(0))
        }

        ("timestamp", TemporalMode::Connect) => simple(
            semantic::connect_timestamp(),
            Decode::Timestamp(TimestampForm::Connect),
            Value::Int(0),
        ),
        ("timestamp", TemporalMode::IsoString) => text(
            semantic::iso_timestamp(),
            Decode::Timestamp(TimestampForm::Iso),
            "1970-01-01T00:00:00Z",
        ),
        ("timestamp", TemporalMode::Structured) => structured(
            moment::structured_timestamp(),
            |schema| Decode::Timestamp(TimestampForm::Structured(schema, precision)),
            &[1970, 1, 1, 0, 0, 0, 0],
            vec![Value::Null, Value::Int(precision)],
        ),
        ("timestamp", TemporalMode::Nanoseconds) => simple(
            semantic::nano_timestamp(),
            Decode::Timestamp(TimestampForm::Nanos),
            Value::Int(0),
        ),
        ("timestamp", TemporalMode::Adaptive | TemporalMode::AdaptiveTimeMicroseconds)
            if digits <= 3 =>
        {
            simple(semantic::timestamp(), Decode::Timestamp(TimestampForm::Millis), Value::Int(0))
        }
        ("timestamp", _) => simple(
            semantic::micro_timestamp(),
            Decode::Timestamp(TimestampForm::Micros),
            Value::Int(0),
        ),

        ("timestamptz", TemporalMode::Structured) => structured(
            moment::structured_zoned_timestamp(),
            |schema| Decode::ZonedTimestamp(ZonedForm::Structured(schema, precision)),
            &[1970, 1, 1, 0, 0, 0, 0, 0],
            vec![Value::Null, Value::Null, Value::Int(precision)],
        ),
        ("timestamptz", _) => text(
            semantic::zoned_timestamp(),
            Decode::ZonedTimestamp(ZonedForm::Iso(digits)),
            "1970-01-01T00:00:00Z",
        ),

        ("timetz", TemporalMode::Structured) => Mapped {
            cast: "text",
            ..structured(
                moment::structured_zoned_time(),
                |schema| Decode::ZonedTime(ZonedTimeForm::Structured(schema, precision)),
                &[0, 0, 0, 0, 0, precision],
                Vec::new(),
            )
        },
        ("timetz", _) => Mapped {
            cast: "text",
            ..text(semantic::zoned_time(), Decode::ZonedTime(ZonedTimeForm::Iso), "00:00:00Z")
        },

        ("interval", TemporalMode::Structured) => structured(
            moment::structured_duration(),
            |schema| Decode::Interval(IntervalForm::Structured(schema, precision)),
            &[0, 0, 0, 0, 0, 0, 0, precision],
            Vec::new(),
        ),
        ("interval", _) if settings.interval_as_text => {
            text(semantic::interval(), Decode::Interval(IntervalForm::Iso), "P0Y0M0DT0H0M0S")
        }
        ("interval", _) => simple(
            semantic::micro_duration(),
            Decode::Interval(IntervalForm::Numeric),
            Value::Int(0),
        ),
        _ => return None,
    })
}

fn simple(schema: Schema, decode: Decode, fallback: Value) -> Mapped {
    Mapped { schema, decode, fallback, unchanged: Value::Null, cast: "", always_optional: false }
}

fn text(schema: Schema, decode: Decode, fallback: &str) -> Mapped {
    simple(schema, decode, Value::Text(fallback.into()))
}

fn structured(
    schema: Schema,
    decode: impl FnOnce(Arc<Schema>) -> Decode,
    numbers: &[i64],
    rest: Vec<Value>,
) -> Mapped {
    let schema = Arc::new(schema);
    let fields = numbers.iter().map(|number| Value::Int(*number)).chain(rest).collect();
    let fallback = Value::Struct(Struct::new(schema.clone(), fields));
    simple((*schema).clone(), decode(schema), fallback)
}
