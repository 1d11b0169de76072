//! Debezium's semantic types: schema names over Connect's physical types.
//!
//! Names, versions and parameters: Debezium 3.6, packages `io.debezium.time` and `io.debezium.data`.

use std::sync::Arc;

use model::schema::{Kind, Schema};

pub fn date() -> Schema {
    Schema::new(Kind::Int32).named("io.debezium.time.Date", 1)
}

/// Milliseconds of the day.
pub fn time() -> Schema {
    Schema::new(Kind::Int32).named("io.debezium.time.Time", 1)
}

pub fn micro_time() -> Schema {
    Schema::new(Kind::Int64).named("io.debezium.time.MicroTime", 1)
}

/// Milliseconds since the epoch.
pub fn timestamp() -> Schema {
    Schema::new(Kind::Int64).named("io.debezium.time.Timestamp", 1)
}

pub fn nano_time() -> Schema {
    Schema::new(Kind::Int64).named("io.debezium.time.NanoTime", 1)
}

pub fn nano_timestamp() -> Schema {
    Schema::new(Kind::Int64).named("io.debezium.time.NanoTimestamp", 1)
}

/// Connect's own date: days.
pub fn connect_date() -> Schema {
    Schema::new(Kind::Int32).named("org.apache.kafka.connect.data.Date", 1)
}

/// Connect's own time: milliseconds of the day.
pub fn connect_time() -> Schema {
    Schema::new(Kind::Int32).named("org.apache.kafka.connect.data.Time", 1)
}

/// Connect's own timestamp: milliseconds since the epoch.
pub fn connect_timestamp() -> Schema {
    Schema::new(Kind::Int64).named("org.apache.kafka.connect.data.Timestamp", 1)
}

pub fn iso_date() -> Schema {
    Schema::new(Kind::String).named("io.debezium.time.IsoDate", 1)
}

pub fn iso_time() -> Schema {
    Schema::new(Kind::String).named("io.debezium.time.IsoTime", 1)
}

pub fn iso_timestamp() -> Schema {
    Schema::new(Kind::String).named("io.debezium.time.IsoTimestamp", 1)
}

/// A struct of `time.precision.mode=structured`; all its fields are optional.
pub fn structured(name: &str, fields: &[(&'static str, Kind)]) -> Schema {
    let optional = |kind: &Kind| Arc::new(Schema::new(kind.clone()).optional());
    Schema::structure(fields.iter().map(|(name, kind)| (*name, optional(kind))))
        .named(&format!("io.debezium.time.{name}"), 1)
}

pub fn micro_timestamp() -> Schema {
    Schema::new(Kind::Int64).named("io.debezium.time.MicroTimestamp", 1)
}

pub fn zoned_time() -> Schema {
    Schema::new(Kind::String).named("io.debezium.time.ZonedTime", 1)
}

pub fn zoned_timestamp() -> Schema {
    Schema::new(Kind::String).named("io.debezium.time.ZonedTimestamp", 1)
}

pub fn micro_duration() -> Schema {
    Schema::new(Kind::Int64).named("io.debezium.time.MicroDuration", 1)
}

/// ISO 8601 with all its parts.
pub fn interval() -> Schema {
    Schema::new(Kind::String).named("io.debezium.time.Interval", 1)
}

pub fn json() -> Schema {
    Schema::new(Kind::String).named("io.debezium.data.Json", 1)
}

pub fn xml() -> Schema {
    Schema::new(Kind::String).named("io.debezium.data.Xml", 1)
}

pub fn uuid() -> Schema {
    Schema::new(Kind::String).named("io.debezium.data.Uuid", 1)
}

pub fn ltree() -> Schema {
    Schema::new(Kind::String).named("io.debezium.data.Ltree", 1)
}

pub fn tsvector() -> Schema {
    Schema::new(Kind::String).named("io.debezium.data.Tsvector", 1)
}

pub fn bits(length: i32) -> Schema {
    Schema::new(Kind::Bytes)
        .named("io.debezium.data.Bits", 1)
        .parameter("length", &length.to_string())
}

pub fn enumeration(allowed: &[String]) -> Schema {
    Schema::new(Kind::String)
        .named("io.debezium.data.Enum", 1)
        .parameter("allowed", &allowed.join(","))
}

/// Connect's Decimal; `precision` is the parameter that Debezium adds.
pub fn decimal(scale: i32, precision: Option<i32>) -> Schema {
    let schema = Schema::new(Kind::Bytes)
        .named("org.apache.kafka.connect.data.Decimal", 1)
        .parameter("scale", &scale.to_string());
    match precision {
        Some(precision) => schema.parameter("connect.decimal.precision", &precision.to_string()),
        None => schema,
    }
}

/// Fields: scale, value (big-endian two's complement of the unscaled number).
pub fn variable_scale_decimal() -> Schema {
    let field = |kind| Arc::new(Schema::new(kind));
    Schema::structure([("scale", field(Kind::Int32)), ("value", field(Kind::Bytes))])
        .named("io.debezium.data.VariableScaleDecimal", 1)
        .doc("Variable scaled decimal")
}

/// Fields: x, y, wkb, srid.
pub fn point() -> Schema {
    let field = |kind| Arc::new(Schema::new(kind));
    let optional = |kind| Arc::new(Schema::new(kind).optional());
    Schema::structure([
        ("x", field(Kind::Float64)),
        ("y", field(Kind::Float64)),
        ("wkb", optional(Kind::Bytes)),
        ("srid", optional(Kind::Int32)),
    ])
    .named("io.debezium.data.geometry.Point", 1)
    .doc("Geometry (POINT)")
}

/// A dense vector; `kind` is that of its elements.
pub fn vector(name: &str, kind: Kind) -> Schema {
    Schema::new(Kind::Array(Arc::new(Schema::new(kind))))
        .named(&format!("io.debezium.data.{name}"), 1)
}

/// Fields: dimensions, vector (values by their index).
pub fn sparse_double_vector() -> Schema {
    let field = |kind| Arc::new(Schema::new(kind));
    let vector = Kind::Map(field(Kind::Int16), field(Kind::Float64));
    Schema::structure([("dimensions", field(Kind::Int16)), ("vector", field(vector))])
        .named("io.debezium.data.SparseDoubleVector", 1)
        .doc("Sparse double vector")
}
