//! Dates, times and intervals in the forms of `time.precision.mode` and `interval.handling.mode`.
//!
//! What stands for the ends of time was recorded from Debezium 3.7.

use std::{fmt::Write, sync::Arc};

use model::{
    schema::{Kind, Schema},
    value::{Struct, Value},
};
use relational::semantic;

use super::{
    BadValue, Cell, Phase, Scratch, bad,
    temporal::{
        Finite, Interval, MICROS_PER_DAY, Stamp, civil_from_days, sql_days, write_date,
        write_seconds, write_time_as_needed, write_zoned_time, write_zoned_timestamp,
    },
};

/// `date`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DateForm {
    Days,
    Iso,
    Structured(Arc<Schema>),
}

/// `time`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TimeForm {
    Millis,
    Micros,
    Nanos,
    /// Milliseconds.
    Connect,
    Iso,
    Structured(Arc<Schema>, i64),
}

/// `timestamp`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TimestampForm {
    Millis,
    Micros,
    Nanos,
    Connect,
    Iso,
    Structured(Arc<Schema>, i64),
}

/// `timestamptz`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ZonedForm {
    /// With this many fraction digits; 0 stands for as many as needed.
    Iso(usize),
    Structured(Arc<Schema>, i64),
}

/// `timetz`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ZonedTimeForm {
    Iso,
    Structured(Arc<Schema>, i64),
}

/// `interval`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum IntervalForm {
    /// Microseconds.
    Numeric,
    Iso,
    Structured(Arc<Schema>, i64),
}

// Debezium's DATE goes through `java.sql.Date` in snapshots and through `LocalDate` in streams.
const DATE_INFINITY: (i64, i64) = (-622_191_234, 2_146_033_979);
const DATE_NEGATIVE_INFINITY: (i64, i64) = (-625_821_272, -2_147_472_691);
const MILLIS_INFINITY: i64 = 9_223_372_036_825_200_000;
const MILLIS_NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;

const MILLIS_PER_DAY: i64 = 86_400_000;
const POSITIVE_INFINITY: &str = "POSITIVE_INFINITY";
const NEGATIVE_INFINITY: &str = "NEGATIVE_INFINITY";

pub(crate) fn structured_date() -> Schema {
    semantic::structured(
        "StructuredDate",
        &[
            ("year", Kind::Int32),
            ("month", Kind::Int8),
            ("day", Kind::Int8),
            ("specialValue", Kind::String),
        ],
    )
}

const CLOCK: [(&str, Kind); 4] =
    [("hour", Kind::Int8), ("minute", Kind::Int8), ("second", Kind::Int8), ("nanos", Kind::Int32)];

pub(crate) fn structured_time() -> Schema {
    let [hour, minute, second, nanos] = CLOCK;
    let precision = ("precision", Kind::Int32);
    semantic::structured("StructuredTime", &[hour, minute, second, nanos, precision])
}

pub(crate) fn structured_zoned_time() -> Schema {
    let [hour, minute, second, nanos] = CLOCK;
    let offset = ("offsetSeconds", Kind::Int32);
    let precision = ("precision", Kind::Int32);
    semantic::structured("StructuredZonedTime", &[hour, minute, second, nanos, offset, precision])
}

pub(crate) fn structured_timestamp() -> Schema {
    let [hour, minute, second, nanos] = CLOCK;
    semantic::structured(
        "StructuredTimestamp",
        &[
            ("year", Kind::Int32),
            ("month", Kind::Int8),
            ("day", Kind::Int8),
            hour,
            minute,
            second,
            nanos,
            ("specialValue", Kind::String),
            ("precision", Kind::Int32),
        ],
    )
}

pub(crate) fn structured_zoned_timestamp() -> Schema {
    let [hour, minute, second, nanos] = CLOCK;
    semantic::structured(
        "StructuredZonedTimestamp",
        &[
            ("year", Kind::Int32),
            ("month", Kind::Int8),
            ("day", Kind::Int8),
            hour,
            minute,
            second,
            nanos,
            ("offsetSeconds", Kind::Int32),
            ("zoneId", Kind::String),
            ("specialValue", Kind::String),
            ("precision", Kind::Int32),
        ],
    )
}

pub(crate) fn structured_duration() -> Schema {
    semantic::structured(
        "StructuredDuration",
        &[
            ("years", Kind::Int32),
            ("months", Kind::Int32),
            ("days", Kind::Int32),
            ("hours", Kind::Int32),
            ("minutes", Kind::Int32),
            ("seconds", Kind::Int64),
            ("nanos", Kind::Int32),
            ("precision", Kind::Int32),
        ],
    )
}

fn nested<'a>(schema: &Arc<Schema>, fields: Vec<Value>) -> Cell<'a> {
    Cell::Nested(Value::Struct(Struct::new(schema.clone(), fields)))
}

fn ints(numbers: impl IntoIterator<Item = i64>) -> impl Iterator<Item = Value> {
    numbers.into_iter().map(Value::Int)
}

/// Hour, minute, second and nanoseconds of microseconds of the day.
fn clock(micros: i64) -> [i64; 4] {
    let seconds = micros / 1_000_000;
    [seconds / 3_600, seconds / 60 % 60, seconds % 60, micros % 1_000_000 * 1_000]
}

/// The first `count` fields null, then the word, then the precision if there is one.
fn special<'a>(schema: &Arc<Schema>, count: usize, word: &str, precision: Option<i64>) -> Cell<'a> {
    let mut fields = vec![Value::Null; count];
    fields.push(Value::Text(word.into()));
    fields.extend(precision.map(Value::Int));
    nested(schema, fields)
}

impl DateForm {
    /// `date` in days since 1970-01-01.
    pub(crate) fn cell<'a>(
        &self,
        date: Finite<i64>,
        phase: Phase,
        scratch: &'a mut Scratch,
    ) -> Cell<'a> {
        let date = match (date, phase) {
            (Finite::Value(days), Phase::Snapshot) => Finite::Value(sql_days(days)),
            (date, _) => date,
        };
        let pick = |(snapshot, stream): (i64, i64)| match phase {
            Phase::Snapshot => snapshot,
            Phase::Stream => stream,
        };
        if let DateForm::Structured(schema) = self {
            return match date {
                Finite::Infinity => special(schema, 3, POSITIVE_INFINITY, None),
                Finite::NegativeInfinity => special(schema, 3, NEGATIVE_INFINITY, None),
                Finite::Value(days) => {
                    let (year, month, day) = civil_from_days(days);
                    nested(schema, ints([year, month, day]).chain([Value::Null]).collect())
                }
            };
        }
        // As text a snapshot shows the ends of what `java.sql.Date` has, whose years have no sign.
        let end = match (self, phase, date) {
            (DateForm::Iso, Phase::Snapshot, Finite::Infinity) => Some("+292278994-08-16Z"),
            (DateForm::Iso, Phase::Snapshot, Finite::NegativeInfinity) => Some("+292269055-12-02Z"),
            _ => None,
        };
        if let Some(end) = end {
            return Cell::Text(end);
        }
        let days = match date {
            Finite::Value(days) => days,
            Finite::Infinity => pick(DATE_INFINITY),
            Finite::NegativeInfinity => pick(DATE_NEGATIVE_INFINITY),
        };
        if *self == DateForm::Days {
            return Cell::Int(days);
        }
        scratch.text.clear();
        write_date(&mut scratch.text, days);
        scratch.text.push('Z');
        Cell::Text(&scratch.text)
    }
}

impl TimeForm {
    /// `micros` of the day; 24:00 is one of them.
    pub(crate) fn cell<'a>(
        &self,
        micros: i64,
        scratch: &'a mut Scratch,
    ) -> Result<Cell<'a>, BadValue> {
        Ok(match self {
            TimeForm::Millis | TimeForm::Connect => Cell::Int(micros / 1_000),
            TimeForm::Micros => Cell::Int(micros),
            TimeForm::Nanos => Cell::Int(micros * 1_000),
            TimeForm::Iso => {
                scratch.text.clear();
                write_time_as_needed(&mut scratch.text, micros % MICROS_PER_DAY);
                scratch.text.push('Z');
                Cell::Text(&scratch.text)
            }
            TimeForm::Structured(_, _) if micros >= MICROS_PER_DAY => {
                return bad("a time before 24:00");
            }
            TimeForm::Structured(schema, precision) => {
                nested(schema, ints(clock(micros)).chain(ints([*precision])).collect())
            }
        })
    }
}

impl TimestampForm {
    /// # Errors
    ///
    /// When the form has no room for the moment.
    pub(crate) fn cell<'a>(
        &self,
        timestamp: Finite<Stamp>,
        scratch: &'a mut Scratch,
    ) -> Result<Cell<'a>, BadValue> {
        let ends = |infinity: i64, negative_infinity: i64| match timestamp {
            Finite::Value(stamp) => Ok(stamp),
            Finite::Infinity => Err(Cell::Int(infinity)),
            Finite::NegativeInfinity => Err(Cell::Int(negative_infinity)),
        };
        Ok(match self {
            TimestampForm::Millis | TimestampForm::Connect => {
                match ends(MILLIS_INFINITY, MILLIS_NEGATIVE_INFINITY) {
                    Ok(Stamp { days, time }) => Cell::Int(days * MILLIS_PER_DAY + time / 1_000),
                    Err(end) => end,
                }
            }
            TimestampForm::Micros => match ends(i64::MAX, i64::MIN) {
                Ok(stamp) => Cell::Int(micros(stamp)),
                Err(end) => end,
            },
            TimestampForm::Nanos => match ends(i64::MAX, i64::MIN) {
                Ok(stamp) => Cell::Int(nanos(stamp)?),
                Err(end) => end,
            },
            TimestampForm::Iso => {
                let stamp = match timestamp {
                    Finite::Value(stamp) => stamp,
                    Finite::Infinity => of_millis(MILLIS_INFINITY),
                    Finite::NegativeInfinity => of_millis(MILLIS_NEGATIVE_INFINITY),
                };
                scratch.text.clear();
                write_zoned_timestamp(&mut scratch.text, stamp, 0);
                Cell::Text(&scratch.text)
            }
            TimestampForm::Structured(schema, precision) => match timestamp {
                Finite::Infinity => special(schema, 7, POSITIVE_INFINITY, Some(*precision)),
                Finite::NegativeInfinity => special(schema, 7, NEGATIVE_INFINITY, Some(*precision)),
                Finite::Value(stamp) => {
                    let rest = [Value::Null, Value::Int(*precision)];
                    nested(schema, date_and_time(stamp).chain(rest).collect())
                }
            },
        })
    }
}

/// Year, month, day, hour, minute, second, nanoseconds.
fn date_and_time(stamp: Stamp) -> impl Iterator<Item = Value> {
    let (year, month, day) = civil_from_days(stamp.days);
    ints([year, month, day]).chain(ints(clock(stamp.time)))
}

fn of_millis(millis: i64) -> Stamp {
    Stamp {
        days: millis.div_euclid(MILLIS_PER_DAY),
        time: millis.rem_euclid(MILLIS_PER_DAY) * 1_000,
    }
}

/// Microseconds since the epoch. The server's last years are beyond 64 bits: Java stops at the last
/// second and goes on over the edge with its fraction.
fn micros(stamp: Stamp) -> i64 {
    let seconds = stamp.days * 86_400 + stamp.time / 1_000_000;
    seconds.saturating_mul(1_000_000).wrapping_add(stamp.time % 1_000_000)
}

/// Nanoseconds since the epoch. Java takes the day first, which makes the earliest day that fits
/// partly one that does not.
fn nanos(stamp: Stamp) -> Result<i64, BadValue> {
    let day = stamp.days.checked_mul(MICROS_PER_DAY * 1_000);
    day.and_then(|day| day.checked_add(stamp.time * 1_000))
        .ok_or(BadValue { expected: "a timestamp between the years 1677 and 2262" })
}

impl ZonedForm {
    pub(crate) fn cell<'a>(&self, timestamp: Finite<Stamp>, scratch: &'a mut Scratch) -> Cell<'a> {
        match (self, timestamp) {
            (ZonedForm::Iso(digits), timestamp) => {
                scratch.text.clear();
                match timestamp {
                    Finite::Value(stamp) => {
                        write_zoned_timestamp(&mut scratch.text, stamp, *digits);
                    }
                    Finite::Infinity => scratch.text.push_str("infinity"),
                    Finite::NegativeInfinity => scratch.text.push_str("-infinity"),
                }
                Cell::Text(&scratch.text)
            }
            (ZonedForm::Structured(schema, precision), Finite::Infinity) => {
                special(schema, 9, POSITIVE_INFINITY, Some(*precision))
            }
            (ZonedForm::Structured(schema, precision), Finite::NegativeInfinity) => {
                special(schema, 9, NEGATIVE_INFINITY, Some(*precision))
            }
            (ZonedForm::Structured(schema, precision), Finite::Value(stamp)) => {
                let zone = [Value::Int(0), Value::Text("Z".into()), Value::Null];
                let fields = date_and_time(stamp).chain(zone).chain(ints([*precision]));
                nested(schema, fields.collect())
            }
        }
    }
}

impl ZonedTimeForm {
    /// `micros` of the day as written, and the offset in seconds east.
    pub(crate) fn cell<'a>(
        &self,
        (micros, offset): (i64, i64),
        scratch: &'a mut Scratch,
    ) -> Cell<'a> {
        match self {
            ZonedTimeForm::Iso => {
                scratch.text.clear();
                write_zoned_time(&mut scratch.text, micros, offset);
                Cell::Text(&scratch.text)
            }
            ZonedTimeForm::Structured(schema, precision) => {
                let fields = ints(clock(micros)).chain(ints([offset, *precision]));
                nested(schema, fields.collect())
            }
        }
    }
}

impl IntervalForm {
    pub(crate) fn cell<'a>(&self, interval: Interval, scratch: &'a mut Scratch) -> Cell<'a> {
        let Interval { months, days, micros } = interval;
        let seconds = micros / 1_000_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        match self {
            IntervalForm::Numeric => Cell::Int(interval.to_micro_duration()),
            IntervalForm::Iso => {
                let out = &mut scratch.text;
                out.clear();
                let (years, months) = (months / 12, months % 12);
                write!(out, "P{years}Y{months}M{days}DT{hours}H{minutes}M")
                    .expect("a string takes all");
                write_seconds(out, micros % 60_000_000);
                out.push('S');
                Cell::Text(out)
            }
            IntervalForm::Structured(schema, precision) => {
                let numbers = [
                    months / 12,
                    months % 12,
                    days,
                    hours,
                    minutes,
                    seconds % 60,
                    micros % 1_000_000 * 1_000,
                    *precision,
                ];
                nested(schema, ints(numbers).collect())
            }
        }
    }
}
