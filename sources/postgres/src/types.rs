//! PostgreSQL types: what schema a column has, how its values are decoded, and what stands for
//! values that are missing.
//!
//! The mapping is Debezium's, recorded from 3.7; TYPES.md lists it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use model::{
    schema::{Kind, Schema},
    value::{Struct, Value},
};
use relational::{
    modes::{BinaryMode, DecimalMode, TemporalMode},
    semantic,
};

use crate::cells::{Decode, geometric, spatial};

mod arrays;
pub(crate) mod jdbc;
mod moments;
mod money;
#[cfg(test)]
mod page;

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
    Domain {
        base: u32,
        typmod: i32,
    },
    Enum {
        labels: Vec<String>,
    },
    /// `money`, with so many digits after the point, which its binary form does not have.
    Money {
        digits: u8,
    },
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
    pub(crate) placeholder: Placeholder,
    /// `decimal.handling.mode`
    pub(crate) decimals: DecimalMode,
    /// `time.precision.mode`
    pub(crate) times: TemporalMode,
    /// `binary.handling.mode`
    pub(crate) binaries: BinaryMode,
    /// `hstore.handling.mode=map`
    pub(crate) hstore_as_map: bool,
    /// `interval.handling.mode=string`
    pub(crate) interval_as_text: bool,
    /// `money.fraction.digits`
    pub(crate) money_scale: i32,
    /// `include.unknown.datatypes`
    pub(crate) unknown: bool,
}

/// `unavailable.value.placeholder`
#[derive(Clone, Debug)]
pub(crate) struct Placeholder {
    pub(crate) text: Arc<str>,
    pub(crate) bytes: Bytes,
}

impl Placeholder {
    /// # Errors
    ///
    /// When the octets after `hex:` are none.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        let bytes = match value.strip_prefix("hex:") {
            None => value.as_bytes().to_vec(),
            Some(digits) => {
                let mut bytes = Vec::new();
                crate::cells::text::read_hexadecimal(digits, &mut bytes).map_err(|error| {
                    format!("unavailable.value.placeholder {value}: {error} after hex:")
                })?;
                bytes
            }
        };
        let text = String::from_utf8_lossy(&bytes).into();
        Ok(Self { text, bytes: bytes.into() })
    }
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
        (_, Some(element)) => arrays::map_array(types, element, typmod, settings),
        (TypeKind::Money { digits }, None) => Some(money::map(*digits, settings)),
        (TypeKind::Base, None) => {
            map_base(&info.name, typmod, settings).or_else(|| unknown(settings))
        }
        (TypeKind::Other, None) => map_range(&info.name, settings).or_else(|| unknown(settings)),
    }
}

pub(crate) fn is_domain(types: &Types, oid: u32) -> bool {
    matches!(types.get(&oid), Some(TypeInfo { kind: TypeKind::Domain { .. }, .. }))
}

/// A type without a mapping, when such types are sent as what the server prints for them.
fn unknown(settings: &Settings) -> Option<Mapped> {
    let decode = Decode::Unknown(settings.binaries);
    settings.unknown.then(|| Mapped { cast: "text", ..binary(decode, settings) })
}

/// A binary value in its mode.
fn binary(decode: Decode, settings: &Settings) -> Mapped {
    let (kind, fallback, unchanged) = match settings.binaries {
        BinaryMode::Bytes => (
            Kind::Bytes,
            Value::Bytes(Bytes::new()),
            Value::Bytes(settings.placeholder.bytes.clone()),
        ),
        // Debezium's conversion of the placeholder fails there (test case `reselect`).
        BinaryMode::Base64 | BinaryMode::Base64UrlSafe => {
            (Kind::String, Value::Text("".into()), Value::Null)
        }
        BinaryMode::Hex => {
            (Kind::String, Value::Text("".into()), Value::Text(settings.placeholder.text.clone()))
        }
    };
    Mapped {
        schema: Schema::new(kind),
        decode,
        fallback,
        unchanged,
        cast: "",
        always_optional: false,
    }
}

/// What a text column has for a value that an update did not touch.
fn placeholder_text(settings: &Settings) -> Value {
    Value::Text(settings.placeholder.text.clone())
}

/// In place of a cast: casting an address to text adds the mask that its own output leaves out.
pub(crate) const INET: &str = "textin(inet_out)";

/// The same: a cast to text keeps the declaration that the output leaves out.
pub(crate) const XML: &str = "textin(xml_out)";

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
    let double = |decode| simple(Schema::new(Kind::Float64), decode, Value::Float64(0.0));
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
        "numeric" => match (settings.decimals, numeric_typmod(typmod)) {
            (DecimalMode::Precise, Some((precision, scale))) => simple(
                semantic::decimal(scale, Some(precision)),
                Decode::Decimal { scale },
                zero_bytes(),
            ),
            (DecimalMode::Precise, None) => {
                let schema = Arc::new(semantic::variable_scale_decimal());
                let zero = Struct::new(schema.clone(), vec![Value::Int(0), zero_bytes()]);
                let decode = Decode::VariableScaleDecimal(schema.clone());
                simple((*schema).clone(), decode, Value::Struct(zero))
            }
            (DecimalMode::Double, _) => {
                Mapped { cast: "text", ..double(Decode::DecimalDouble { special: true }) }
            }
            (DecimalMode::String, declared) => {
                let scale = declared.map(|(_, scale)| scale);
                Mapped {
                    cast: "text",
                    unchanged: placeholder_text(settings),
                    ..simple(
                        string(),
                        Decode::DecimalText { scale, special: true },
                        Value::Text(zero_text(scale.unwrap_or(0))),
                    )
                }
            }
        },
        "bpchar" | "varchar" | "text" => text_like(string(), settings, ""),
        // In binary form its empty value is a zero.
        "char" | "citext" | "cidr" | "macaddr" | "macaddr8" | "isbn" => {
            text_like(string(), settings, "text")
        }
        "inet" => text_like(string(), settings, INET),
        // Debezium's stream takes it for a type without a mapping.
        "name" => {
            let decode = if settings.unknown { Decode::Text } else { Decode::Name };
            Mapped { decode, ..text_like(string(), settings, "text") }
        }
        "json" => text_like(semantic::json(), settings, ""),
        "jsonb" => text_like(semantic::json(), settings, "text"),
        "xml" => text_like(semantic::xml(), settings, XML),
        "ltree" => text_like(semantic::ltree(), settings, "text"),
        "tsvector" => text_like(semantic::tsvector(), settings, "text"),
        "uuid" => simple(semantic::uuid(), Decode::Uuid, empty_text()),
        "hstore" if settings.hstore_as_map => {
            let text = placeholder_text(settings);
            let value = Arc::new(Schema::new(Kind::String).optional());
            let schema = Schema::new(Kind::Map(Arc::new(string()), value));
            Mapped {
                cast: "text",
                unchanged: Value::Map(Arc::new([(text.clone(), text)])),
                ..simple(schema, Decode::HstoreMap, Value::Map(Arc::new([])))
            }
        }
        "hstore" => {
            let quoted = serde_json::Value::from(&*settings.placeholder.text).to_string();
            Mapped {
                cast: "text",
                unchanged: Value::Text(format!("{{{quoted}:{quoted}}}").into()),
                ..simple(semantic::json(), Decode::Hstore, Value::Text("{}".into()))
            }
        }
        "bytea" => binary(Decode::Bytea(settings.binaries), settings),
        "date" | "time" | "timetz" | "timestamp" | "timestamptz" | "interval" => {
            return moments::map(name, fraction_digits(typmod), settings);
        }
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
        "geometry" | "geography" => {
            let schema = Arc::new(match name {
                "geometry" => geometric::geometry().optional(),
                _ => spatial::geography(),
            });
            Mapped {
                cast: "text",
                always_optional: schema.optional,
                ..simple(
                    Schema { optional: false, ..(*schema).clone() },
                    Decode::Ewkb(schema.clone()),
                    spatial::empty_collection(&schema),
                )
            }
        }
        "vector" => Mapped {
            cast: "text",
            ..simple(
                semantic::vector("DoubleVector", Kind::Float64),
                Decode::Vector { single: false },
                Value::Array(Arc::new([])),
            )
        },
        "halfvec" => Mapped {
            cast: "text",
            ..simple(
                semantic::vector("FloatVector", Kind::Float32),
                Decode::Vector { single: true },
                Value::Array(Arc::new([])),
            )
        },
        "sparsevec" => {
            let schema = Arc::new(semantic::sparse_double_vector());
            let decode = Decode::SparseVector(schema.clone());
            Mapped { cast: "text", ..simple((*schema).clone(), decode, Value::Null) }
        }
        geometric => return map_geometric(geometric),
    })
}

/// Zero with so many digits after the point.
fn zero_text(scale: i32) -> Arc<str> {
    match usize::try_from(scale) {
        Ok(digits @ 1..) => format!("0.{}", "0".repeat(digits)).into(),
        _ => "0".into(),
    }
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
                geometric::parse_lseg(&schema, "[(0,0),(1,0)]").ok(),
            )
        }
        "path" => {
            let schema = geometry();
            of(&schema, Decode::Path(schema.clone()), Some(geometric::path_fallback(&schema)))
        }
        "polygon" => {
            let schema = geometry();
            of(
                &schema,
                Decode::Polygon(schema.clone()),
                geometric::parse_polygon(&schema, "((0,0),(1,0),(0,1))").ok(),
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
        unchanged: placeholder_text(settings),
        cast,
        always_optional: false,
    }
}

/// Precision and scale of NUMERIC(p,s); `None` without them.
fn numeric_typmod(typmod: i32) -> Option<(i32, i32)> {
    // numeric_typmod_in: ((precision << 16) | (scale & 0x7ff)) + 4; the scale has 11 bits and a sign,
    // of which Debezium's driver does not know: it takes a scale of -2 for 2046.
    let packed = typmod.checked_sub(4).filter(|packed| *packed >= 0)?;
    Some((packed >> 16 & 0xffff, packed & 0xffff))
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
        assert_eq!(numeric_typmod(((3 << 16) | (-2 & 0x7ff)) + 4), Some((3, 2046)));
        assert_eq!((fraction_digits(-1), fraction_digits(0), fraction_digits(3)), (6, 0, 3));
    }
}
