//! PostgreSQL types: what schema a column has, how its values are decoded, and what stands for
//! values that are missing.
//!
//! The mapping is that of Debezium's default modes, recorded from 3.7; TYPES.md lists it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use model::{
    schema::{Kind, Schema},
    value::{Struct, Value},
};
use relational::semantic;

use crate::cells::{Decode, geometric};

/// A row of `pg_type`, with the labels of an enum.
#[derive(Clone, Debug)]
pub(crate) struct TypeInfo {
    pub(crate) name: String,
    pub(crate) kind: TypeKind,
    /// `A` for arrays, as `pg_type.typcategory` says.
    pub(crate) array_of: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TypeKind {
    Base,
    Domain { base: u32, typmod: i32 },
    Enum { labels: Vec<String> },
    Other,
}

/// All types of a database, by oid.
pub(crate) type Types = HashMap<u32, TypeInfo>;

/// What a column's type means for its events.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    /// Required; the column makes it optional and adds the default.
    pub(crate) schema: Schema,
    pub(crate) decode: Decode,
    /// Stands for null in a NOT NULL column: the parts of an old row that the log does not have.
    pub(crate) fallback: Value,
    /// Stands for a large value that an update did not touch; null where Debezium has nothing.
    pub(crate) unchanged: Value,
    /// Text that PostgreSQL must cast the column to in a COPY, where it is not read as it is.
    pub(crate) cast: &'static str,
    /// Debezium makes geometries optional whatever the column says.
    pub(crate) always_optional: bool,
}

/// The settings that the mapping depends on.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `unavailable.value.placeholder`
    pub(crate) placeholder: Arc<str>,
}

/// Maps a type with its modifier. `None` is a type without a mapping: its columns are left out.
pub(crate) fn map(types: &Types, oid: u32, typmod: i32, settings: &Settings) -> Option<Mapped> {
    let info = types.get(&oid)?;
    match (&info.kind, info.array_of) {
        (TypeKind::Domain { base, typmod: own }, _) => {
            let typmod = if *own >= 0 { *own } else { typmod };
            map(types, *base, typmod, settings)
        }
        (TypeKind::Enum { labels }, _) => {
            Some(text_like(semantic::enumeration(labels), settings, ""))
        }
        (_, Some(element)) => map_array(types, element, typmod, settings),
        (TypeKind::Base, None) => map_base(&info.name, typmod, settings),
        (TypeKind::Other, None) => map_range(&info.name, settings),
    }
}

/// In place of a cast: casting an address to text adds the mask that its own output leaves out.
pub(crate) const INET: &str = "textin(inet_out)";

fn map_base(name: &str, typmod: i32, settings: &Settings) -> Option<Mapped> {
    let string = || Schema::new(Kind::String);
    let simple = |schema: Schema, decode, fallback| Mapped {
        schema,
        decode,
        fallback,
        unchanged: Value::Null,
        cast: "",
        always_optional: false,
    };
    let int = |kind| simple(Schema::new(kind), Decode::Int, Value::Int(0));
    let empty_text = || Value::Text("".into());
    let zero_bytes = || Value::Bytes(Bytes::from_static(&[0]));
    Some(match name {
        "bool" => simple(Schema::new(Kind::Boolean), Decode::Bool, Value::Bool(false)),
        "int2" => int(Kind::Int16),
        "int4" => int(Kind::Int32),
        "int8" => int(Kind::Int64),
        // An oid has no sign.
        "oid" => Mapped { cast: "int8", ..int(Kind::Int64) },
        "float4" => simple(Schema::new(Kind::Float32), Decode::Float32, Value::Float32(0.0)),
        "float8" => simple(Schema::new(Kind::Float64), Decode::Float64, Value::Float64(0.0)),
        "numeric" => match numeric_typmod(typmod) {
            Some((precision, scale)) => simple(
                semantic::decimal(scale, Some(precision)),
                Decode::Decimal { scale },
                zero_bytes(),
            ),
            None => {
                let schema = Arc::new(semantic::variable_scale_decimal());
                let zero = Struct::new(schema.clone(), vec![Value::Int(0), zero_bytes()]);
                let decode = Decode::VariableScaleDecimal(schema.clone());
                simple((*schema).clone(), decode, Value::Struct(zero))
            }
        },
        // The default of money.fraction.digits.
        "money" => Mapped {
            cast: "text",
            ..simple(semantic::decimal(2, None), Decode::Money { scale: 2 }, zero_bytes())
        },
        "bpchar" | "varchar" | "text" | "char" => text_like(string(), settings, ""),
        "citext" | "cidr" | "macaddr" | "macaddr8" | "isbn" => {
            text_like(string(), settings, "text")
        }
        "inet" => text_like(string(), settings, INET),
        "name" => Mapped { decode: Decode::Name, ..text_like(string(), settings, "text") },
        "json" => text_like(semantic::json(), settings, ""),
        "jsonb" => text_like(semantic::json(), settings, "text"),
        "xml" => text_like(semantic::xml(), settings, "text"),
        "ltree" => text_like(semantic::ltree(), settings, "text"),
        "tsvector" => text_like(semantic::tsvector(), settings, "text"),
        "uuid" => simple(semantic::uuid(), Decode::Uuid, empty_text()),
        "hstore" => {
            let quoted = serde_json::Value::from(&*settings.placeholder).to_string();
            Mapped {
                cast: "text",
                unchanged: Value::Text(format!("{{{quoted}:{quoted}}}").into()),
                ..simple(semantic::json(), Decode::Hstore, Value::Text("{}".into()))
            }
        }
        "bytea" => Mapped {
            unchanged: Value::Bytes(placeholder_bytes(settings)),
            ..simple(Schema::new(Kind::Bytes), Decode::Bytea, Value::Bytes(Bytes::new()))
        },
        "date" => simple(semantic::date(), Decode::Date, Value::Int(0)),
        "time" => match fraction_digits(typmod) {
            0..=3 => simple(semantic::time(), Decode::TimeMillis, Value::Int(0)),
            _ => simple(semantic::micro_time(), Decode::TimeMicros, Value::Int(0)),
        },
        "timetz" => Mapped {
            cast: "text",
            ..simple(semantic::zoned_time(), Decode::ZonedTime, Value::Text("00:00:00Z".into()))
        },
        "timestamp" => match fraction_digits(typmod) {
            0..=3 => simple(semantic::timestamp(), Decode::TimestampMillis, Value::Int(0)),
            _ => simple(semantic::micro_timestamp(), Decode::TimestampMicros, Value::Int(0)),
        },
        "timestamptz" => simple(
            semantic::zoned_timestamp(),
            Decode::ZonedTimestamp { digits: fraction_digits(typmod) },
            Value::Text("1970-01-01T00:00:00Z".into()),
        ),
        "interval" => simple(semantic::micro_duration(), Decode::Interval, Value::Int(0)),
        "bit" | "varbit" => match (name, typmod) {
            (_, 1) => Mapped {
                cast: "text",
                ..simple(Schema::new(Kind::Boolean), Decode::BitBool, Value::Bool(false))
            },
            (_, length) => Mapped {
                cast: "text",
                ..simple(
                    semantic::bits(if length > 0 { length } else { i32::MAX }),
                    Decode::Bits,
                    Value::Bytes(Bytes::new()),
                )
            },
        },
        "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange" | "daterange" => {
            return map_range(name, settings);
        }
        geometric => return map_geometric(geometric),
    })
}

/// The ranges that Debezium maps are text.
fn map_range(name: &str, settings: &Settings) -> Option<Mapped> {
    const RANGES: [&str; 6] =
        ["int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"];
    RANGES.contains(&name).then(|| text_like(Schema::new(Kind::String), settings, "text"))
}

fn map_geometric(name: &str) -> Option<Mapped> {
    let geometry = || Arc::new(geometric::geometry().optional());
    let point = Arc::new(semantic::point());
    let of = |schema: &Arc<Schema>, decode, fallback: Option<Value>| Mapped {
        schema: Schema { optional: false, ..(**schema).clone() },
        decode,
        fallback: fallback.unwrap_or(Value::Null),
        unchanged: Value::Null,
        cast: "text",
        always_optional: schema.optional,
    };
    Some(match name {
        "point" => {
            let zero = geometric::point_value(&point, (0.0, 0.0));
            of(&point, Decode::Point(point.clone()), Some(zero))
        }
        "box" => {
            let schema = geometry();
            of(
                &schema,
                Decode::Box(schema.clone()),
                geometric::parse_box(&schema, "(0,0),(1,1)").ok(),
            )
        }
        "lseg" => {
            let schema = geometry();
            of(
                &schema,
                Decode::Lseg(schema.clone()),
                geometric::parse_lseg(&schema, "[(0,0),(0,0)]").ok(),
            )
        }
        "path" => {
            let schema = geometry();
            of(
                &schema,
                Decode::Path(schema.clone()),
                geometric::parse_path(&schema, "((0,0))").ok(),
            )
        }
        "polygon" => {
            let schema = geometry();
            of(
                &schema,
                Decode::Polygon(schema.clone()),
                geometric::parse_polygon(&schema, "((0,0))").ok(),
            )
        }
        "line" => {
            let schema = Arc::new(geometric::line().optional());
            let fallback = geometric::line_value(&schema, [0.0, 1.0, 0.0]);
            of(&schema, Decode::Line(schema.clone()), Some(fallback))
        }
        "circle" => {
            let schema = Arc::new(geometric::circle(&point).optional());
            let fallback = geometric::circle_value(&schema, &point, (0.0, 0.0), 0.0);
            let decode = Decode::Circle { circle: schema.clone(), point };
            of(&schema, decode, Some(fallback))
        }
        _ => return None,
    })
}

fn text_like(schema: Schema, settings: &Settings, cast: &'static str) -> Mapped {
    Mapped {
        schema,
        decode: Decode::Text,
        fallback: Value::Text("".into()),
        unchanged: Value::Text(settings.placeholder.clone()),
        cast,
        always_optional: false,
    }
}

fn placeholder_bytes(settings: &Settings) -> Bytes {
    Bytes::copy_from_slice(settings.placeholder.as_bytes())
}

/// Arrays have optional elements of the element's mapping, except for enums and `tsvector`.
fn map_array(types: &Types, element: u32, typmod: i32, settings: &Settings) -> Option<Mapped> {
    let info = types.get(&element)?;
    let mapped = map(types, element, typmod, settings)?;
    // A bit[] gets the schema of a bit, and no value.
    if matches!(mapped.decode, Decode::BitBool | Decode::Bits) {
        let array = Mapped { decode: Decode::AlwaysNull, ..mapped };
        return (info.name == "bit").then_some(array);
    }
    let unsupported = matches!(
        info.name.as_str(),
        "money"
            | "name"
            | "interval"
            | "xml"
            | "point"
            | "char"
            | "line"
            | "lseg"
            | "path"
            | "polygon"
    );
    if unsupported || info.array_of.is_some() {
        return None;
    }
    let required = matches!(info.kind, TypeKind::Enum { .. }) || info.name == "tsvector";
    let element_schema = Arc::new(Schema { optional: !required, ..mapped.schema });
    let one = |value: Value| Value::Array(Arc::new([value]));
    let as_integers = || {
        let bytes = settings.placeholder.bytes();
        Value::Array(bytes.map(|byte| Value::Int(byte.into())).collect())
    };
    let unchanged = match info.name.as_str() {
        "text" | "varchar" | "bpchar" | "json" | "jsonb" | "bytea" => one(mapped.unchanged),
        "int4" | "int8" | "date" => as_integers(),
        "uuid" => one(Value::Text(name_uuid(&settings.placeholder).into())),
        _ => Value::Null,
    };
    let decode = match mapped.decode {
        // Boxes and circles in arrays are null in Debezium 3.7.
        Decode::Box(_) | Decode::Circle { .. } => Decode::AlwaysNull,
        // In arrays they go through `java.sql.Time`, which ends at milliseconds.
        Decode::TimeMicros => Decode::Array(Box::new(Decode::TimeMicrosCut)),
        element => Decode::Array(Box::new(element.bound_to(&element_schema))),
    };
    Some(Mapped {
        schema: Schema::new(Kind::Array(element_schema)),
        decode,
        fallback: Value::Array(Arc::new([])),
        unchanged,
        cast: "text",
        always_optional: false,
    })
}

/// `java.util.UUID.nameUUIDFromBytes`: version 3 of the plain bytes, without a name space.
fn name_uuid(name: &str) -> String {
    uuid::Builder::from_md5_bytes(md5(name.as_bytes())).into_uuid().to_string()
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::{Digest, Md5};
    Md5::digest(bytes).into()
}

/// Precision and scale of NUMERIC(p,s); `None` without them.
fn numeric_typmod(typmod: i32) -> Option<(i32, i32)> {
    // numeric_typmod_in: ((precision << 16) | (scale & 0x7ff)) + 4; the scale has 11 bits and a sign.
    let packed = typmod.checked_sub(4).filter(|packed| *packed >= 0)?;
    Some((packed >> 16 & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024))
}

/// Fraction digits of a temporal type; 6 when undeclared.
fn fraction_digits(typmod: i32) -> usize {
    usize::try_from(typmod).unwrap_or(6).min(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typmods() {
        assert_eq!(numeric_typmod(-1), None);
        assert_eq!(numeric_typmod(((5 << 16) | 2) + 4), Some((5, 2)));
        assert_eq!(numeric_typmod(((3 << 16) | (-2 & 0x7ff)) + 4), Some((3, -2)));
        assert_eq!((fraction_digits(-1), fraction_digits(0), fraction_digits(3)), (6, 0, 3));
    }

    /// Recorded from Debezium 3.7.
    #[test]
    fn placeholder_uuid() {
        assert_eq!(
            name_uuid("__debezium_unavailable_value"),
            "b68a35a7-17ad-35b3-af2a-ae46edb4545a"
        );
    }
}
