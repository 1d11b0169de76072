//! Arrays, which have optional elements of their element's mapping.

use std::sync::Arc;

use model::{
    schema::{Kind, Schema},
    value::Value,
};
use relational::{
    modes::{BinaryMode, TemporalMode},
    semantic,
};

use super::{Mapped, Settings, TypeKind, Types, map, text_like, unknown};
use crate::cells::Decode;

/// Arrays have optional elements of the element's mapping, except for enums and `tsvector`.
pub(super) fn map_array(
    types: &Types,
    element: u32,
    typmod: i32,
    settings: &Settings,
) -> Option<Mapped> {
    let info = types.get(&element)?;
    const UNSUPPORTED: [&str; 6] = ["money", "name", "interval", "xml", "point", "refcursor"];
    if UNSUPPORTED.contains(&info.name.as_str()) || info.array_of.is_some() {
        return None;
    }
    // Debezium does not look below a domain in an array, but sees that it is one of an enum.
    let domain_of_enum = matches!(info.kind, TypeKind::Domain { .. }) && of_enum(types, element);
    let mapped = match info.kind {
        TypeKind::Domain { .. } if domain_of_enum => {
            text_like(semantic::enumeration(&[]), settings, "")
        }
        TypeKind::Domain { .. } => unknown(settings)?,
        _ => map(types, element, typmod, settings)?,
    };
    // A bit[] gets the schema of a bit, and no value.
    if matches!(mapped.decode, Decode::BitBool | Decode::Bits) {
        let array = Mapped { decode: Decode::AlwaysNull, ..mapped };
        return (info.name == "bit").then_some(array);
    }
    let required = matches!(info.kind, TypeKind::Enum { .. })
        || domain_of_enum
        || matches!(info.name.as_str(), "tsvector" | "isbn" | "vector" | "halfvec" | "sparsevec")
        || matches!(mapped.decode, Decode::Unknown(_));
    let element_schema = Arc::new(Schema { optional: !required, ..mapped.schema });
    let one = |value: Value| Value::Array(Arc::new([value]));
    let as_integers = || {
        // Bytes have a sign in Java.
        let bytes = settings.placeholder.bytes.iter();
        Value::Array(bytes.map(|byte| Value::Int(byte.cast_signed().into())).collect())
    };
    let unchanged = match info.name.as_str() {
        "text" | "varchar" | "bpchar" | "json" | "jsonb" => one(mapped.unchanged),
        "bytea" if settings.binaries == BinaryMode::Bytes => one(mapped.unchanged),
        "date" if element_schema.kind != Kind::Int32 || settings.times == TemporalMode::Connect => {
            Value::Null
        }
        "int4" | "int8" | "date" => as_integers(),
        "uuid" => one(Value::Text(name_uuid(&settings.placeholder.bytes).into())),
        _ => Value::Null,
    };
    let decode = match mapped.decode {
        // Arrays of these are null in Debezium 3.7, unless they are empty.
        Decode::Box(_)
        | Decode::Circle { .. }
        | Decode::Line(_)
        | Decode::Lseg(_)
        | Decode::Path(_)
        | Decode::Polygon(_)
        | Decode::SparseVector(_) => Decode::Array(Box::new(Decode::Never)),
        Decode::Timestamp(form) => {
            Decode::Array(Box::new(Decode::JulianTimestamp(form).bound_to(&element_schema)))
        }
        Decode::ZonedTimestamp(form) => {
            Decode::Array(Box::new(Decode::SqlZonedTimestamp(form).bound_to(&element_schema)))
        }
        // In arrays they go through `java.sql.Time`, which ends at milliseconds.
        Decode::Time(form) => {
            Decode::Array(Box::new(Decode::TimeCut(form).bound_to(&element_schema)))
        }
        Decode::DecimalText { scale, .. } => {
            Decode::Array(Box::new(Decode::DecimalText { scale, special: false }))
        }
        Decode::DecimalDouble { .. } => {
            Decode::Array(Box::new(Decode::DecimalDouble { special: false }))
        }
        element => Decode::Array(Box::new(element.bound_to(&element_schema))),
    };
    // Debezium drops an ltree[] with a null as well.
    let decode = match decode {
        Decode::Array(element) if required || info.name == "ltree" => {
            Decode::ArrayOfRequired(element)
        }
        decode => decode,
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

/// Whether a type is an enum, or a domain over one.
fn of_enum(types: &Types, oid: u32) -> bool {
    match types.get(&oid).map(|info| &info.kind) {
        Some(TypeKind::Domain { base, .. }) => of_enum(types, *base),
        Some(TypeKind::Enum { .. }) => true,
        _ => false,
    }
}

/// `java.util.UUID.nameUUIDFromBytes`: version 3 of the plain bytes, without a name space.
fn name_uuid(name: &[u8]) -> String {
    uuid::Builder::from_md5_bytes(md5(name)).into_uuid().to_string()
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::{Digest, Md5};
    Md5::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from Debezium 3.7.
    #[test]
    fn placeholder_uuid() {
        assert_eq!(
            name_uuid(b"__debezium_unavailable_value"),
            "b68a35a7-17ad-35b3-af2a-ae46edb4545a"
        );
    }
}
