//! From the server's form of a value to a cell.
//!
//! Values come as text (pgoutput, and COPY of types that are cast) or in the server's binary form
//! (COPY, and pgoutput where it is asked for). Both end in a [`Cell`], which borrows where it can, so that a row is decoded without an
//! allocation per field. What the cells hold was recorded from Debezium 3.7; where its snapshot and
//! its stream differ, [`Phase`] tells them apart.

pub(crate) mod binary;
pub(crate) mod encoded;
pub(crate) mod geometric;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
pub(crate) mod moment;
pub(crate) mod number;
mod printed;
pub(crate) mod sent;
pub(crate) mod spatial;
pub(crate) mod temporal;
pub(crate) mod text;

use std::sync::Arc;

use model::{
    row::RowsBuilder,
    schema::Schema,
    value::{Struct, Value},
};
use moment::{DateForm, IntervalForm, TimeForm, TimestampForm, ZonedForm, ZonedTimeForm};
use relational::modes::BinaryMode;

/// A decoded value on its way into a row.
#[derive(Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Arrays and structs.
    Nested(Value),
}

impl Cell<'_> {
    pub(crate) fn push(self, rows: &mut RowsBuilder) {
        match self {
            Cell::Null => rows.null(),
            Cell::Bool(value) => rows.bool(value),
            Cell::Int(value) => rows.int(value),
            Cell::Float32(value) => rows.float32(value),
            Cell::Float64(value) => rows.float64(value),
            Cell::Text(value) => rows.text(value),
            Cell::Bytes(value) => rows.bytes(value),
            Cell::Nested(value) => rows.nested(value),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Bool(value) => Value::Bool(value),
            Cell::Int(value) => Value::Int(value),
            Cell::Float32(value) => Value::Float32(value),
            Cell::Float64(value) => Value::Float64(value),
            Cell::Text(value) => Value::Text(value.into()),
            Cell::Bytes(value) => Value::Bytes(bytes::Bytes::copy_from_slice(value)),
            Cell::Nested(value) => value,
        }
    }
}

/// Pushes an owned value, such as a fallback, into a row.
pub(crate) fn push_value(value: &Value, rows: &mut RowsBuilder) {
    match value {
        Value::Null => rows.null(),
        Value::Bool(value) => rows.bool(*value),
        Value::Int(value) => rows.int(*value),
        Value::Float32(value) => rows.float32(*value),
        Value::Float64(value) => rows.float64(*value),
        Value::Text(value) => rows.text(value),
        Value::Bytes(value) => rows.bytes(value),
        nested => rows.nested(nested.clone()),
    }
}

/// Buffers that values are formatted in, reused from value to value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    /// Text of the server's made of a binary value, see [`sent::Sent`].
    pub(crate) printed: String,
}

/// Debezium maps a few values differently in snapshots and in streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Snapshot,
    Stream,
}

/// How the values of a column are decoded. Chosen once per column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decode {
    Bool,
    Int,
    Float32,
    Float64,
    Text,
    /// The type `name`: Debezium's stream leaves it null (test case `pg_types_default`).
    Name,
    Bytea(BinaryMode),
    /// The text of a type without a mapping, in the form of binary values.
    Unknown(BinaryMode),
    Uuid,
    /// NUMERIC(p,s): the unscaled number.
    Decimal {
        scale: i32,
    },
    VariableScaleDecimal(Arc<Schema>),
    /// Without a scale when the type has none.
    DecimalText {
        scale: Option<i32>,
        special: bool,
    },
    /// `special`: NaN and the infinities are values too, which they are not in arrays.
    DecimalDouble {
        special: bool,
    },
    /// `digits` are those of the fraction in what the server prints.
    Money {
        scale: i32,
        digits: u8,
    },
    MoneyText {
        digits: u8,
    },
    MoneyDouble {
        digits: u8,
    },
    Date(DateForm),
    Time(TimeForm),
    ZonedTime(ZonedTimeForm),
    Timestamp(TimestampForm),
    ZonedTimestamp(ZonedForm),
    Interval(IntervalForm),
    /// As a JSON object.
    Hstore,
    /// As a map.
    HstoreMap,
    /// A `time` in an array: in steps of milliseconds (test case `pg_arrays`).
    TimeCut(TimeForm),
    /// The first bit of a `bit(1)`.
    BitBool,
    Bits,
    Point(Arc<Schema>),
    Box(Arc<Schema>),
    Lseg(Arc<Schema>),
    Path(Arc<Schema>),
    Polygon(Arc<Schema>),
    Line(Arc<Schema>),
    Circle {
        circle: Arc<Schema>,
        point: Arc<Schema>,
    },
    /// A PostGIS geometry or geography.
    Ewkb(Arc<Schema>),
    Vector {
        single: bool,
    },
    SparseVector(Arc<Schema>),
    Array(Box<Decode>),
    /// An array whose schema requires its elements: one with a null is null itself.
    ArrayOfRequired(Box<Decode>),
    /// A `timestamp` in an array, which goes through `java.sql.Timestamp`.
    JulianTimestamp(TimestampForm),
    /// A `timestamptz` in an array.
    SqlZonedTimestamp(ZonedForm),
    /// An element that makes its array null, as Debezium can not convert it.
    Never,
    /// A type whose schema Debezium has and whose values it leaves null (`bit[]`).
    AlwaysNull,
}

impl Decode {
    /// With `schema` in the structs it makes: the very one of the field they go into, optional or
    /// not, with its default, because a struct must have the schema of its field.
    pub(crate) fn bound_to(self, schema: &Arc<Schema>) -> Self {
        let schema = schema.clone();
        match self {
            Decode::VariableScaleDecimal(_) => Decode::VariableScaleDecimal(schema),
            Decode::Point(_) => Decode::Point(schema),
            Decode::Box(_) => Decode::Box(schema),
            Decode::Lseg(_) => Decode::Lseg(schema),
            Decode::Path(_) => Decode::Path(schema),
            Decode::Polygon(_) => Decode::Polygon(schema),
            Decode::Line(_) => Decode::Line(schema),
            Decode::Circle { point, .. } => Decode::Circle { circle: schema, point },
            Decode::Ewkb(_) => Decode::Ewkb(schema),
            Decode::SparseVector(_) => Decode::SparseVector(schema),
            Decode::Date(DateForm::Structured(_)) => Decode::Date(DateForm::Structured(schema)),
            Decode::Time(TimeForm::Structured(_, precision)) => {
                Decode::Time(TimeForm::Structured(schema, precision))
            }
            Decode::TimeCut(TimeForm::Structured(_, precision)) => {
                Decode::TimeCut(TimeForm::Structured(schema, precision))
            }
            Decode::ZonedTime(ZonedTimeForm::Structured(_, precision)) => {
                Decode::ZonedTime(ZonedTimeForm::Structured(schema, precision))
            }
            Decode::Timestamp(TimestampForm::Structured(_, precision)) => {
                Decode::Timestamp(TimestampForm::Structured(schema, precision))
            }
            Decode::JulianTimestamp(TimestampForm::Structured(_, precision)) => {
                Decode::JulianTimestamp(TimestampForm::Structured(schema, precision))
            }
            Decode::SqlZonedTimestamp(ZonedForm::Structured(_, precision)) => {
                Decode::SqlZonedTimestamp(ZonedForm::Structured(schema, precision))
            }
            Decode::ZonedTimestamp(ZonedForm::Structured(_, precision)) => {
                Decode::ZonedTimestamp(ZonedForm::Structured(schema, precision))
            }
            Decode::Interval(IntervalForm::Structured(_, precision)) => {
                Decode::Interval(IntervalForm::Structured(schema, precision))
            }
            decode => decode,
        }
    }
}

/// A value bound to the schema of its field, as [`Decode::bound_to`].
pub(crate) fn bind_value(value: Value, schema: &Arc<Schema>) -> Value {
    match value {
        Value::Struct(mut value) => {
            let fields = std::mem::take(value.fields_mut());
            Value::Struct(Struct::new(schema.clone(), fields))
        }
        value => value,
    }
}

/// Why a value could not be decoded. The row value itself is never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub(crate) struct BadValue {
    pub(crate) expected: &'static str,
}

pub(crate) fn bad<T>(expected: &'static str) -> Result<T, BadValue> {
    Err(BadValue { expected })
}
