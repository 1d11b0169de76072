//! Any bytes in place of a value, in binary form or as text: a cell or an error, never a panic,
//! whatever the type and the modes. For the fuzz target `value` and for a test.

use std::sync::LazyLock;

use relational::modes::{BinaryMode, DecimalMode, TemporalMode};

use super::{Decode, Phase, Scratch, sent::Sent};
use crate::types::{self, Placeholder, Settings, TypeInfo, TypeKind, Types};

const NAMES: &str = "bool int2 int4 int8 oid xid xid8 float4 float8 numeric money bpchar varchar text \
    citext xml json jsonb jsonpath name char bytea uuid date time timetz timestamp timestamptz interval \
    inet cidr macaddr macaddr8 bit varbit point box lseg path polygon line circle hstore ltree tsvector \
    int4range int8range numrange daterange tsrange tstzrange int4multirange nummultirange \
    datemultirange tsmultirange tstzmultirange pg_lsn tid pg_snapshot geometry geography vector halfvec \
    sparsevec";

/// How each type and its array are sent, in each of some modes.
static ALL: LazyLock<Vec<(Sent, Decode)>> = LazyLock::new(|| {
    let mut types = Types::new();
    for (name, oid) in NAMES.split_whitespace().zip(1..) {
        let kind = match name {
            "money" => TypeKind::Money { digits: 2 },
            name if name.ends_with("range") => TypeKind::Other,
            _ => TypeKind::Base,
        };
        types.insert(oid, TypeInfo { name: name.into(), kind, array_of: None });
        let array =
            TypeInfo { name: format!("_{name}"), kind: TypeKind::Base, array_of: Some(oid) };
        types.insert(1_000 + oid, array);
    }
    let modes = [
        (DecimalMode::Precise, "adaptive", BinaryMode::Bytes),
        (DecimalMode::Double, "nanoseconds", BinaryMode::Hex),
        (DecimalMode::String, "isostring", BinaryMode::Base64),
        (DecimalMode::String, "connect", BinaryMode::Base64),
        (DecimalMode::String, "structured", BinaryMode::Base64),
    ];
    let mut all = Vec::new();
    for (number, (decimals, times, binaries)) in (0..).zip(modes) {
        let settings = Settings {
            placeholder: Placeholder { text: "".into(), bytes: Default::default() },
            decimals,
            times: TemporalMode::parse(times),
            binaries,
            hstore_as_map: number % 2 == 1,
            interval_as_text: number == 2,
            money_scale: number,
            unknown: true,
        };
        let mut oids: Vec<u32> = types.keys().copied().collect();
        oids.sort_unstable();
        for oid in oids {
            // Those with a modifier have a scale or a length.
            for typmod in [-1, (5 << 16 | 2) + 4, 3] {
                if let Some(mapped) = types::map(&types, oid, typmod, &settings) {
                    let sent = Sent::of(&types, oid, &mapped.decode);
                    all.push((sent, mapped.decode));
                }
            }
        }
    }
    all
});

/// How many ways there are to read a field.
pub(crate) fn ways() -> usize {
    ALL.len()
}

/// Reads a field in one of the ways, in both phases, in binary form and, where it can be one, as text.
/// Says whether it was a value.
pub(crate) fn read(way: usize, field: &[u8]) -> bool {
    let (sent, decode) = &ALL[way % ALL.len()];
    let (mut printed, mut scratch) = (String::new(), Scratch::default());
    let text = std::str::from_utf8(field).ok();
    let mut value = false;
    for phase in [Phase::Snapshot, Phase::Stream] {
        let cell = sent.decode(decode, field, phase, &mut printed, &mut scratch);
        value |= cell.map(super::Cell::into_value).is_ok();
        if let Some(text) = text {
            let cell = decode.text(text, phase, &mut scratch);
            value |= cell.map(super::Cell::into_value).is_ok();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of chance by xorshift; the seed is that of the test's process.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: usize) -> usize {
            usize::try_from(self.next() % end as u64).unwrap()
        }

        /// Bytes that look like counts, lengths and flags more often than chance would have it.
        fn field(&mut self) -> Vec<u8> {
            let length = self.below(40);
            let mut field = Vec::new();
            while field.len() < length {
                match self.below(8) {
                    0 => field.extend(i32::MAX.to_be_bytes()),
                    1 => field.extend((-1i32).to_be_bytes()),
                    2 => field.extend(i64::MIN.to_be_bytes()),
                    3 => field.push(self.next() as u8),
                    4 => field.extend(self.next().to_be_bytes()),
                    5 => field.extend([0, 0, 0, 0]),
                    number => {
                        let small = i32::try_from(self.below(number * 3)).unwrap();
                        field.extend(small.to_be_bytes());
                    }
                }
            }
            field
        }

        /// Pieces of what the server prints, the largest of their kind among them.
        fn text(&mut self) -> Vec<u8> {
            const PIECES: &[&str] = &[
                "0",
                "1",
                "-",
                "+",
                ":",
                ".",
                ",",
                " ",
                "/",
                "e",
                "E",
                "{",
                "}",
                "(",
                ")",
                "[",
                "]",
                "<",
                ">",
                "\"",
                "\\",
                "=>",
                "NULL",
                "NaN",
                "infinity",
                "-infinity",
                " BC",
                "12:34:56.789012",
                "2024-02-29",
                "24:00:00",
                "5874897-12-31",
                "9999999999",
                "99999999999999999999",
                "2562047788:00:54.775807",
                "178000000 years",
                "-2147483648 mons",
                "4294967295 days",
                "1e308",
                "2147483648",
                "9223372036854775808",
                "t",
                "\\x",
                "ff",
                "ä",
                "10.0.0.1",
                "$",
                "0001-01-01",
            ];
            let count = self.below(6) + 1;
            let pieces = (0..count).map(|_| PIECES[self.below(PIECES.len())]);
            pieces.collect::<String>().into_bytes()
        }
    }

    #[test]
    fn never_panics() {
        let seed = u64::from(std::process::id()) + 1;
        let mut chance = Chance(seed);
        // Types and their arrays, in five modes.
        assert!(ways() > NAMES.split_whitespace().count() * 5 * 2, "{} ways", ways());
        let mut values = 0;
        for way in 0..ways() {
            for number in 0..80 {
                let field = if number % 2 == 0 { chance.field() } else { chance.text() };
                // A panic shows the field by its seed.
                let read = std::panic::catch_unwind(|| read(way, &field));
                values += usize::from(
                    read.unwrap_or_else(|_| panic!("{:?} of {field:x?}, seed {seed}", ALL[way])),
                );
            }
        }
        assert!(values > 0, "no field is a value");
    }
}
