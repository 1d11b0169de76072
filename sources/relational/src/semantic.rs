//! Debezium's semantic types: schema names over Connect's physical types.
//!
//! Names, versions and parameters: Debezium 3.6, packages `io.debezium.time` and `io.debezium.data`.

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
    let field = |kind| std::sync::Arc::new(Schema::new(kind));
    Schema::structure([("scale", field(Kind::Int32)), ("value", field(Kind::Bytes))])
        .named("io.debezium.data.VariableScaleDecimal", 1)
        .doc("Variable scaled decimal")
}

/// Fields: x, y, wkb, srid.
pub fn point() -> Schema {
    let field = |kind| std::sync::Arc::new(Schema::new(kind));
    let optional = |kind| std::sync::Arc::new(Schema::new(kind).optional());
    Schema::structure([
        ("x", field(Kind::Float64)),
        ("y", field(Kind::Float64)),
        ("wkb", optional(Kind::Bytes)),
        ("srid", optional(Kind::Int32)),
    ])
    .named("io.debezium.data.geometry.Point", 1)
    .doc("Geometry (POINT)")
}
