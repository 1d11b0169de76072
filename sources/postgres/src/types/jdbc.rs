//! Columns as PostgreSQL's JDBC driver reports them: name of the type, length and scale.
//!
//! Debezium hands these on (`column.propagate.source.type`), and what masks do to a column depends on
//! its length. A snapshot takes them from the driver's metadata, a stream from the type alone; the
//! numbers are those of the driver 42.7 (`TypeInfoCache.getPrecision`, `getScale`, `getDisplaySize`).

use super::{TypeKind, Types};
use crate::cells::Phase;

/// What the driver calls a length that it does not know.
const UNKNOWN: i32 = i32::MAX;

/// A column's type as Debezium sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reported {
    pub(crate) type_name: String,
    /// `None` is Debezium's -1.
    pub(crate) length: Option<i32>,
    pub(crate) scale: Option<i32>,
    /// `VARCHAR` or `CHAR`.
    pub(crate) characters: bool,
}

/// `default` is the expression of the column's default, by which serial columns are known.
pub(crate) fn reported(
    types: &Types,
    oid: u32,
    typmod: i32,
    default: Option<&str>,
    phase: Phase,
) -> Reported {
    let name = types.get(&oid).map_or("", |info| info.name.as_str());
    let serial = default.is_some_and(|expression| expression.contains("nextval("));
    let type_name = match name {
        "int4" if serial => "serial",
        "int8" if serial => "bigserial",
        "int2" if serial => "smallserial",
        name => name,
    };
    let domain = super::is_domain(types, oid);
    let base = element(types, oid);
    let declared = typmod != -1;
    let (length, scale) = if let "vector" | "halfvec" | "sparsevec" = name {
        ((typmod > 0).then_some(typmod), Some(0))
    } else if domain {
        match (phase, declared) {
            (Phase::Stream, true) => (Some(precision(base, typmod)), Some(scale(base, typmod))),
            _ => {
                let (length, scale) = of_type(types, oid);
                (Some(length), Some(scale))
            }
        }
    } else if phase == Phase::Snapshot && name == "numeric" && !declared {
        (Some(0), None)
    } else if phase == Phase::Stream && declared {
        (Some(precision(base, typmod)), Some(scale(base, typmod)))
    } else {
        (Some(size(base, typmod)), Some(scale(base, typmod)))
    };
    Reported { type_name: type_name.to_owned(), length, scale, characters: characters(types, oid) }
}

/// The name of a type that is not an array, or of an array's elements.
fn element(types: &Types, oid: u32) -> &str {
    let Some(info) = types.get(&oid) else { return "" };
    let element = info.array_of.and_then(|element| types.get(&element));
    element.map_or(info.name.as_str(), |info| info.name.as_str())
}

/// Length and scale of a type without regard to the column's own modifier.
fn of_type(types: &Types, oid: u32) -> (i32, i32) {
    match types.get(&oid).map(|info| &info.kind) {
        Some(TypeKind::Domain { base, typmod: -1 }) => of_type(types, *base),
        Some(TypeKind::Domain { base, typmod }) => {
            let name = element(types, *base);
            (size(name, *typmod), scale(name, *typmod))
        }
        _ => {
            let name = element(types, oid);
            (size(name, -1), scale(name, -1))
        }
    }
}

fn characters(types: &Types, oid: u32) -> bool {
    match types.get(&oid) {
        Some(info) => match &info.kind {
            TypeKind::Domain { base, .. } => characters(types, *base),
            TypeKind::Enum { .. } => true,
            _ => matches!(info.name.as_str(), "text" | "varchar" | "bpchar" | "char" | "name"),
        },
        None => false,
    }
}

fn size(name: &str, typmod: i32) -> i32 {
    match precision(name, typmod) {
        0 => display_size(name, typmod),
        precision => precision,
    }
}

fn precision(name: &str, typmod: i32) -> i32 {
    match (name, typmod) {
        ("int2", _) => 5,
        ("int4" | "oid", _) => 10,
        ("int8", _) => 19,
        ("float4", _) => 8,
        ("float8", _) => 17,
        ("numeric", -1) => 0,
        ("numeric", typmod) => typmod.wrapping_sub(4) >> 16,
        ("char" | "bool", _) => 1,
        ("bpchar" | "varchar", -1) => UNKNOWN,
        ("bpchar" | "varchar", typmod) => typmod.wrapping_sub(4),
        ("date" | "time" | "timetz" | "timestamp" | "timestamptz" | "interval", typmod) => {
            display_size(name, typmod)
        }
        ("varbit", -1) => UNKNOWN,
        ("bit" | "varbit", typmod) => typmod,
        _ => UNKNOWN,
    }
}

/// The scale of a type with its modifier.
pub(super) fn scale(name: &str, typmod: i32) -> i32 {
    match (name, typmod) {
        ("float4", _) => 8,
        ("float8", _) => 17,
        ("numeric", -1) => 0,
        // The driver does not know of negative scales, which are kept in 11 bits.
        ("numeric", typmod) => typmod.wrapping_sub(4) & 0xffff,
        ("time" | "timetz" | "timestamp" | "timestamptz" | "interval", -1) => 6,
        ("time" | "timetz" | "timestamp" | "timestamptz", typmod) => typmod,
        ("interval", typmod) => typmod & 0xffff,
        _ => 0,
    }
}

fn display_size(name: &str, typmod: i32) -> i32 {
    // Fraction digits with their point; of one digit the driver says that two are printed.
    let seconds = match typmod {
        -1 => 7,
        0 => 0,
        1 => 3,
        digits => digits.saturating_add(1),
    };
    match name {
        "date" => 13,
        "time" => 8 + seconds,
        "timetz" => 14 + seconds,
        "timestamp" => 22 + seconds,
        "timestamptz" => 28 + seconds,
        "interval" => 49,
        "numeric" => 131_089,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TypeInfo;

    /// Parameters `__debezium.source.column.*` recorded from Debezium 3.7, as length/scale.
    #[test]
    fn recorded() {
        let base =
            |name: &str| TypeInfo { name: name.to_owned(), kind: TypeKind::Base, array_of: None };
        let mut types = Types::new();
        let cases = [
            ("int2", -1, "5/0", "5/0"),
            ("int4", -1, "10/0", "10/0"),
            ("int8", -1, "19/0", "19/0"),
            ("oid", -1, "10/0", "10/0"),
            ("float4", -1, "8/8", "8/8"),
            ("float8", -1, "17/17", "17/17"),
            ("numeric", -1, "0/-", "131089/0"),
            ("numeric", (5 << 16) + 4, "5/0", "5/0"),
            ("numeric", ((5 << 16) | 2) + 4, "5/2", "5/2"),
            ("numeric", ((3 << 16) | (-2 & 0x7ff)) + 4, "3/2046", "3/2046"),
            ("money", -1, "2147483647/0", "2147483647/0"),
            ("bool", -1, "1/0", "1/0"),
            ("bpchar", 11, "7/0", "7/0"),
            ("char", -1, "1/0", "1/0"),
            ("varchar", 15, "11/0", "11/0"),
            ("varchar", -1, "2147483647/0", "2147483647/0"),
            ("name", -1, "2147483647/0", "2147483647/0"),
            ("date", -1, "13/0", "13/0"),
            ("time", -1, "15/6", "15/6"),
            ("time", 0, "8/0", "8/0"),
            ("time", 3, "12/3", "12/3"),
            ("timetz", -1, "21/6", "21/6"),
            ("timestamp", 0, "22/0", "22/0"),
            ("timestamp", 3, "26/3", "26/3"),
            ("timestamptz", -1, "35/6", "35/6"),
            ("interval", -1, "49/6", "49/6"),
            ("bit", 9, "9/0", "9/0"),
            ("varbit", -1, "2147483647/0", "2147483647/0"),
            ("varbit", 12, "12/0", "12/0"),
        ];
        for (oid, (name, ..)) in (1..).zip(&cases) {
            types.insert(oid, base(name));
        }
        let shown = |oid, typmod, default, phase| {
            let Reported { length, scale, .. } = reported(&types, oid, typmod, default, phase);
            let number = |number: Option<i32>| number.map_or("-".to_owned(), |n| n.to_string());
            format!("{}/{}", number(length), number(scale))
        };
        for (oid, (name, typmod, snapshot, stream)) in (1..).zip(cases) {
            assert_eq!(shown(oid, typmod, None, Phase::Snapshot), snapshot, "{name} {typmod}");
            assert_eq!(shown(oid, typmod, None, Phase::Stream), stream, "{name} {typmod}");
        }
    }

    /// The same for domains, arrays and serial columns.
    #[test]
    fn recorded_of_made_types() {
        let info = |name: &str, kind, array_of| TypeInfo { name: name.to_owned(), kind, array_of };
        let types = Types::from([
            (1, info("varchar", TypeKind::Base, None)),
            (2, info("numeric", TypeKind::Base, None)),
            (3, info("int4", TypeKind::Base, None)),
            (11, info("note", TypeKind::Domain { base: 1, typmod: 24 }, None)),
            (12, info("price", TypeKind::Domain { base: 2, typmod: ((8 << 16) | 2) + 4 }, None)),
            (13, info("shares", TypeKind::Domain { base: 2, typmod: -1 }, None)),
            (14, info("_numeric", TypeKind::Base, Some(2))),
            (15, info("_varchar", TypeKind::Base, Some(1))),
        ]);
        let serial = Some("nextval('n_ser_seq'::regclass)");
        for (oid, typmod, default, name, length, scale, characters) in [
            (11, -1, None, "note", 20, 0, true),
            (12, -1, None, "price", 8, 2, false),
            (13, -1, None, "shares", 131_089, 0, false),
            (14, -1, None, "_numeric", 131_089, 0, false),
            (14, ((5 << 16) | 2) + 4, None, "_numeric", 5, 2, false),
            (15, 10, None, "_varchar", 6, 0, false),
            (3, -1, serial, "serial", 10, 0, false),
        ] {
            for phase in [Phase::Snapshot, Phase::Stream] {
                let found = reported(&types, oid, typmod, default, phase);
                let wanted = Reported {
                    type_name: name.to_owned(),
                    length: Some(length),
                    scale: Some(scale),
                    characters,
                };
                assert_eq!(found, wanted, "{phase:?}");
            }
        }
    }
}
