//! Connect's names: of types in JSON and in messages, of logical types, of the Java classes that
//! hold values.

use model::{
    schema::{Kind, Schema},
    value::ValueRef,
};

/// Connect's own logical types. (Debezium's are plain numbers to a converter.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal,
    Date,
    Time,
    Timestamp,
}

impl Logical {
    pub(crate) fn of(schema: &Schema) -> Option<Self> {
        match schema.name.as_deref()?.strip_prefix("org.apache.kafka.connect.data.")? {
            "Decimal" => Some(Logical::Decimal),
            "Date" => Some(Logical::Date),
            "Time" => Some(Logical::Time),
            "Timestamp" => Some(Logical::Timestamp),
            _ => None,
        }
    }

    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Logical::Decimal => "Decimal",
            Logical::Date => "Date",
            Logical::Time => "Time",
            Logical::Timestamp => "Timestamp",
        }
    }

    /// The Java class that holds the value, as messages name it.
    pub(crate) fn java_type(self) -> &'static str {
        match self {
            Logical::Decimal => "BigDecimal",
            Logical::Date | Logical::Time | Logical::Timestamp => "Date",
        }
    }
}

/// The parameter `scale` of a Decimal's schema.
pub(crate) fn scale(schema: &Schema) -> Result<i32, String> {
    let (_, scale) = schema
        .parameters
        .iter()
        .find(|(key, _)| &**key == "scale")
        .ok_or("Invalid Decimal schema: scale parameter not found.")?;
    scale.parse().map_err(|_| "Invalid scale parameter found in Decimal schema: ".to_owned())
}

/// `Schema.Type`'s constant.
pub(crate) fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Int8 => "INT8",
        Kind::Int16 => "INT16",
        Kind::Int32 => "INT32",
        Kind::Int64 => "INT64",
        Kind::Float32 => "FLOAT32",
        Kind::Float64 => "FLOAT64",
        Kind::Boolean => "BOOLEAN",
        Kind::String => "STRING",
        Kind::Bytes => "BYTES",
        Kind::Array(_) => "ARRAY",
        Kind::Map(..) => "MAP",
        Kind::Struct(_) => "STRUCT",
    }
}

/// What `value.getClass().getName()` is most likely to be. (An integer's width is its schema's
/// business here, so every integer is a `Long`.)
pub(crate) fn java_class(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Bool(_) => "java.lang.Boolean",
        ValueRef::Int(_) => "java.lang.Long",
        ValueRef::Float32(_) => "java.lang.Float",
        ValueRef::Float64(_) => "java.lang.Double",
        ValueRef::Text(_) => "java.lang.String",
        ValueRef::Bytes(_) => "[B",
        ValueRef::Array(_) => "java.util.ArrayList",
        ValueRef::Map(_) => "java.util.HashMap",
        ValueRef::Struct(_) => "org.apache.kafka.connect.data.Struct",
    }
}
