//! Values of all types, ordinary ones and those at the edges, as SQL.

use crate::harness::random::Random;

/// How a value of a column is made up.
#[derive(Clone, Copy)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) value: fn(&mut Random) -> String,
}

pub(super) const TYPES: &[Type] = &[
    Type { name: "smallint", value: |r| pick(r, &["0", "-32768", "32767", "7"]) },
    Type {
        name: "int",
        value: |r| one_of(r, &["-2147483648", "2147483647"], |r| r.between(0, 9999).to_string()),
    },
    Type {
        name: "bigint",
        value: |r| {
            one_of(r, &["-9223372036854775808", "9223372036854775807"], |r| {
                r.next().wrapping_shr(1).to_string()
            })
        },
    },
    Type { name: "oid", value: |r| pick(r, &["0", "1", "4294967295"]) },
    Type {
        name: "real",
        value: |r| {
            one_of(r, &["'NaN'", "'Infinity'", "'-0'", "1e-38"], |r| {
                format!("{} / 7.0", r.between(0, 1_000_000))
            })
        },
    },
    Type {
        name: "double precision",
        value: |r| {
            one_of(r, &["'NaN'", "'-Infinity'", "1e308", "0.30000000000000004"], |r| {
                format!("{} / 7.0", r.between(0, 1_000_000))
            })
        },
    },
    Type {
        name: "numeric",
        value: |r| {
            one_of(r, &["0", "100", "1e25", "-1e-20", "12345678901234567890.50"], |r| decimal(r, 9))
        },
    },
    Type {
        name: "numeric(12,4)",
        value: |r| one_of(r, &["0", "-99999999.9999", "0.0001"], |r| decimal(r, 4)),
    },
    Type {
        name: "numeric(30)",
        value: |r| {
            one_of(r, &["0", "-123456789012345678901234567890"], |r| {
                r.between(0, 99_999).to_string()
            })
        },
    },
    Type {
        name: "money",
        value: |r| {
            one_of(r, &["'0'", "'-0.05'", "'92233720368547758.07'"], |r| {
                format!("'{}.{:02}'", r.between(0, 99_999), r.between(0, 99))
            })
        },
    },
    Type { name: "boolean", value: |r| pick(r, &["true", "false"]) },
    Type { name: "share", value: |r| pick(r, &["0", "1", "0.5", "0.1234"]) },
    Type { name: "size", value: |r| pick(r, &["'small'", "'quite large'", "'XL'"]) },
    Type { name: "char(5)", value: |r| pick(r, &["''", "'ab'", "'größe'", "'€'"]) },
    Type { name: "varchar(60)", value: |r| text(r, 12) },
    Type { name: "text", value: |r| if r.chance(8) { long_text(r) } else { text(r, 40) } },
    Type { name: "citext", value: |r| text(r, 8) },
    Type { name: "name", value: |r| pick(r, &["'a name'", "'n'", "''"]) },
    Type {
        name: "bytea",
        value: |r| {
            one_of(r, &["''"], |r| {
                format!("decode('{:016x}{:04x}', 'hex')", r.next(), r.between(0, 65535))
            })
        },
    },
    Type { name: "xml", value: |r| pick(r, &["'<a b=\"1\">c</a>'", "'<e/>'"]) },
    Type { name: "json", value: |r| json(r) },
    Type { name: "jsonb", value: |r| json(r) },
    Type {
        name: "uuid",
        value: |r| {
            format!(
                "'{:08x}-{:04x}-4000-8000-{:012x}'",
                r.next() as u32,
                r.next() as u16,
                r.next() >> 16
            )
        },
    },
    Type {
        name: "hstore",
        value: |r| pick(r, &["''", "'a=>1, b=>NULL'", "'k=>\"v w\", é=>\"\"'"]),
    },
    Type { name: "ltree", value: |r| pick(r, &["''", "'Top.Mid.Leaf'", "'A.b_C'"]) },
    Type { name: "tsvector", value: |r| pick(r, &["''", "'quick:2 fox:3'"]) },
    Type {
        name: "date",
        value: |r| {
            one_of(
                r,
                &["'0001-01-01'", "'9999-12-31'", "'1582-10-14'", "'infinity'", "'-infinity'"],
                |r| format!("date '1900-01-01' + {}", r.between(0, 60_000)),
            )
        },
    },
    Type {
        name: "time",
        value: |r| {
            one_of(r, &["'00:00'", "'23:59:59.999999'", "'24:00'"], |r| {
                format!(
                    "time '00:00' + {} * interval '1 microsecond'",
                    r.between(0, 86_399_999_999)
                )
            })
        },
    },
    Type { name: "time(2)", value: |r| pick(r, &["'00:00'", "'13:14:15.16'", "'23:59:59.99'"]) },
    Type {
        name: "timetz",
        value: |r| pick(r, &["'00:00Z'", "'13:14:15.1617+02'", "'23:59:59.9-12'"]),
    },
    Type {
        name: "timestamp",
        value: |r| {
            one_of(
                r,
                &["'1970-01-01'", "'9999-12-31 23:59:59.999999'", "'infinity'", "'-infinity'"],
                |r| {
                    format!(
                        "timestamp '1950-01-01' + {} * interval '1 microsecond'",
                        r.between(0, 4_000_000_000_000_000)
                    )
                },
            )
        },
    },
    Type {
        name: "timestamp(3)",
        value: |r| {
            pick(r, &["'1970-01-01'", "'1969-07-20 20:17:40.123'", "'2024-02-29 13:14:15.161'"])
        },
    },
    Type {
        name: "timestamptz",
        value: |r| {
            one_of(r, &["'1970-01-01Z'", "'infinity'", "'2024-02-29 13:14:15+14'"], |r| {
                format!(
                    "timestamptz '1950-01-01Z' + {} * interval '1 microsecond'",
                    r.between(0, 4_000_000_000_000_000)
                )
            })
        },
    },
    Type {
        name: "timestamptz(3)",
        value: |r| pick(r, &["'1970-01-01Z'", "'1969-07-20 20:17:40.001Z'"]),
    },
    Type {
        name: "interval",
        value: |r| {
            one_of(r, &["'0'", "'-2 years'", "'1 year 2 mons 3 days 04:05:06.78'"], |r| {
                format!("{} * interval '1 second'", r.between(0, 10_000_000))
            })
        },
    },
    Type { name: "inet", value: |r| pick(r, &["'192.168.7.9/16'", "'fe80::1'", "'10.1.2.3'"]) },
    Type { name: "cidr", value: |r| pick(r, &["'192.168.0.0/16'", "'10.0.0.0/8'"]) },
    Type { name: "macaddr", value: |r| pick(r, &["'02:00:5e:10:00:01'", "'00:00:00:00:00:00'"]) },
    Type { name: "macaddr8", value: |r| pick(r, &["'02:00:5e:ff:fe:10:00:01'"]) },
    Type { name: "int4range", value: |r| pick(r, &["'[2,9)'", "'empty'", "'(,)'"]) },
    Type { name: "numrange", value: |r| pick(r, &["'[0.5,1.5)'", "'(,)'"]) },
    Type { name: "daterange", value: |r| pick(r, &["'[2022-01-01,2022-12-31]'", "'(,)'"]) },
    Type {
        name: "tstzrange",
        value: |r| pick(r, &["'[2022-01-01 00:00+00,2022-01-02 00:00+00)'", "'(,)'"]),
    },
    Type { name: "bit", value: |r| pick(r, &["B'0'", "B'1'"]) },
    Type { name: "bit(11)", value: |r| pick(r, &["B'00000000000'", "B'10100110001'"]) },
    Type { name: "varbit(20)", value: |r| pick(r, &["B''", "B'110'", "B'11111111111111111111'"]) },
    Type { name: "point", value: |r| pick(r, &["'(2.5,-1)'", "'(0,0)'"]) },
    Type { name: "int[]", value: |r| pick(r, &["'{}'", "'{1,NULL,-7}'"]) },
    Type {
        name: "text[]",
        value: |r| {
            pick(r, &["'{}'", "'{a,\"b c\",NULL,\"\"}'", "'{\"quo\\\"te\",\"back\\\\slash\"}'"])
        },
    },
    Type { name: "numeric(9,2)[]", value: |r| pick(r, &["'{}'", "'{1.5,NULL}'"]) },
    Type { name: "timestamptz[]", value: |r| pick(r, &["'{}'", "'{2022-02-02 02:02:02Z,NULL}'"]) },
    Type {
        name: "uuid[]",
        value: |r| pick(r, &["'{}'", "'{0b9f4a52-93a5-4f7e-9d55-0c2a6d0a1b2c}'"]),
    },
    Type { name: "size[]", value: |r| pick(r, &["'{}'", "'{XL,small}'"]) },
];

pub(super) fn pick(random: &mut Random, values: &[&str]) -> String {
    (*random.pick(values)).to_owned()
}

/// One of the odd values in a quarter of all cases.
fn one_of(random: &mut Random, odd: &[&str], other: fn(&mut Random) -> String) -> String {
    if random.chance(25) { pick(random, odd) } else { other(random) }
}

fn decimal(random: &mut Random, digits: usize) -> String {
    let whole = random.between(0, 9_999_999);
    let fraction = random.between(0, 9_999);
    let digits = digits.min(4);
    let fraction = &format!("{fraction:04}")[..digits];
    format!("{}{whole}.{fraction}", random.pick(&["", "-"]))
}

fn text(random: &mut Random, length_max: u64) -> String {
    const PARTS: [&str; 8] =
        ["plain", "Größe", "日本", "\"q\"", "", "tab\tline\n", "it''s", "\\ 🚀"];
    let mut text = String::from("'");
    for _ in 0..random.between(0, length_max / 8 + 1) {
        text.push_str(random.pick::<&str>(&PARTS));
    }
    text.push('\'');
    text
}

/// Too large for its row, and not to be compressed: an update that leaves it alone does not log it.
fn long_text(random: &mut Random) -> String {
    let (from, parts) = (random.between(0, 1_000_000), random.between(90, 120));
    format!(
        "(SELECT string_agg(md5(n::text), '') FROM generate_series({from}, {}) n)",
        from + parts
    )
}

fn json(random: &mut Random) -> String {
    let n = random.between(0, 1_000_000);
    match random.between(0, 3) {
        0 => format!("'{{\"n\" : {n}, \"t\": [null, \"ä\", 1.50]}}'"),
        1 => format!("'{n}'"),
        2 => "'[]'".into(),
        _ => format!("'{{\"b\": {n}, \"a\": {{\"c\": {n}.0e2}}}}'"),
    }
}
