//! Every type with values of chance, in text and in binary form, against what the server itself
//! computes from them.
//!
//! The server makes the values, prints them as the stream would have them, sends them as COPY does,
//! and says by arithmetic of its own what the cell must be. Needs `RIVERRUN_TEST_POSTGRES`.

use std::{fmt::Write, pin::pin};

use futures_util::StreamExt;
use model::value::Value;
use relational::modes::{BinaryMode, DecimalMode, TemporalMode};

use cases::{CASES, Case, UNREAD};

use crate::{
    catalog,
    cells::{BadValue, Cell, Phase, Scratch, sent::Sent},
    session::Session,
    types::{self, Placeholder, Settings, TypeKind},
    wire::{copy, tests::live},
};

mod cases;

const ROWS: usize = 120;

/// A cell as the server's side says it: integers and floats as numbers, text as a JSON string, bytes
/// in hexadecimal after `b`, the fields of structs in braces, elements in brackets. `expected` says
/// by its first letter whether bytes are a number: `x` the two's complement of a decimal, `l` a
/// little-endian number of bits.
fn shown(value: &Value, expected: &str) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float32(value) => f64::from(*value).to_string(),
        Value::Float64(value) => value.to_string(),
        Value::Text(text) => serde_json::Value::from(&**text).to_string(),
        Value::Bytes(bytes) if expected.starts_with('x') => {
            let sign = if bytes.first().is_some_and(|first| *first > 127) { -1 } else { 0 };
            let number = bytes.iter().fold(i128::from(sign), |n, byte| n << 8 | i128::from(*byte));
            format!("x{number}")
        }
        Value::Bytes(bytes) if expected.starts_with('l') => {
            let number = bytes.iter().rev().fold(0u128, |n, byte| n << 8 | u128::from(*byte));
            format!("l{number}")
        }
        Value::Bytes(bytes) => bytes.iter().fold("b".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        }),
        Value::Array(values) => format!("[{}]", parts(values, expected)),
        Value::Struct(value) => {
            let mut value = value.clone();
            format!("{{{}}}", parts(value.fields_mut(), expected))
        }
        Value::Map(_) => unreachable!("hstore is JSON here"),
    }
}

fn parts(values: &[Value], expected: &str) -> String {
    let inner = expected.get(1..expected.len().saturating_sub(1)).unwrap_or_default();
    let mut wanted = inner.split('|');
    let shown = values.iter().map(|value| shown(value, wanted.next().unwrap_or_default()));
    shown.collect::<Vec<_>>().join("|")
}

/// Whether two say the same; numbers may be printed in two ways.
fn same(ours: &str, expected: &str) -> bool {
    let split = |text: &str| -> Vec<String> {
        text.split(['[', ']', '{', '}', '|']).map(str::to_owned).collect()
    };
    let equal = |(a, b): (&String, &String)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        _ => a == b,
    };
    let (a, b) = (split(ours), split(expected));
    ours == expected || (a.len() == b.len() && a.iter().zip(&b).all(equal))
}

fn owned(cell: Result<Cell<'_>, BadValue>) -> Result<Value, BadValue> {
    cell.map(Cell::into_value)
}

fn settings(number: usize) -> Settings {
    let pick = |count: usize| number % count;
    Settings {
        placeholder: Placeholder::parse("__debezium_unavailable_value").unwrap(),
        decimals: [DecimalMode::Precise, DecimalMode::Double, DecimalMode::String][pick(3)],
        times: TemporalMode::parse(
            ["adaptive", "microseconds", "nanoseconds", "connect", "isostring", "structured"]
                [pick(6)],
        ),
        binaries: [BinaryMode::Bytes, BinaryMode::Base64, BinaryMode::Hex][pick(3)],
        hstore_as_map: number == 4,
        interval_as_text: pick(2) == 1,
        money_scale: 2,
        unknown: true,
    }
}

/// Whether two forms say the same. Each has words of its own for what can't be converted.
fn alike(a: &Result<Value, BadValue>, b: &Result<Value, BadValue>) -> bool {
    match (a, b) {
        // Printed, because NaN is not equal to itself.
        (Ok(a), Ok(b)) => a == b || format!("{a:?}") == format!("{b:?}"),
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// What a COPY sends.
async fn copied(session: &Session, copy: &str) -> copy::Decoder {
    let mut stream = pin!(session.client().copy_out(copy).await.unwrap());
    let mut decoder = copy::Decoder::new();
    while let Some(bytes) = stream.next().await {
        decoder.push(bytes.unwrap());
    }
    decoder
}

/// Makes the values of each case, decodes both forms under the default modes and under others, and
/// compares.
#[tokio::test]
async fn every_type_in_both_forms() {
    let Some((server, client, handle)) = live::database("every_type").await else { return };
    let session = Session::connect(&server, &[]).await.unwrap();
    let seed = std::process::id() % 1000;
    session
        .execute(
            "prepare",
            &format!(
                "CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION postgis;
                 CREATE TYPE oracle_size AS ENUM ('small', 'two words', 'XL');
                 CREATE DOMAIN oracle_share AS numeric(5,4);
                 CREATE DOMAIN oracle_ratio AS float8; CREATE DOMAIN oracle_ratio4 AS float4;
                 CREATE DOMAIN oracle_flag AS bool; CREATE DOMAIN oracle_list AS int4[];
                 CREATE TYPE oracle_pair AS (a int, b int);
                 CREATE TYPE oracle_floats AS RANGE (subtype = float8);
                 CREATE FUNCTION pg_temp.oracle_reverse(b bytea) RETURNS bytea LANGUAGE sql AS
                   $$ SELECT string_agg(substr(b, i, 1), '' ORDER BY i DESC) FROM generate_series(1, length(b)) i $$;
                 CREATE FUNCTION pg_temp.oracle_double(d float8) RETURNS bytea LANGUAGE sql AS
                   $$ SELECT pg_temp.oracle_reverse(float8send(d)) $$;
                 SELECT setseed({seed} / 1000.0)"
            ),
        )
        .await
        .unwrap();
    let known = catalog::types(&session).await.unwrap();
    let (mut scratch, mut other) = (Scratch::default(), Scratch::default());
    let mut printed = String::new();
    let mut compared = 0;
    for (Case { of, value, cell }, number) in CASES.iter().zip(0..) {
        let cell = cell.replace("oracle_double", "pg_temp.oracle_double");
        session
            .execute(
                of,
                &format!(
                    "CREATE TEMP TABLE made_{number} AS
                     SELECT n, (({value})::text)::{of} AS v FROM generate_series(1, {ROWS}) n"
                ),
            )
            .await
            .unwrap_or_else(|error| panic!("{of}: {}", error.trace()));
        let query = format!(
            "SELECT a.atttypid, a.atttypmod FROM pg_attribute a
              WHERE a.attrelid = 'made_{number}'::regclass AND a.attname = 'v'"
        );
        let row = session.query_one(of, &query, &[]).await.unwrap();
        let (oid, typmod): (u32, i32) = (row.get(0), row.get(1));
        let query = format!("SELECT format('%s', v), ({cell})::text FROM made_{number} ORDER BY n");
        let rows = session.query(of, &query, &[]).await.unwrap();
        for modes in 0..6 {
            let settings = settings(modes);
            let mapped = types::map(&known, oid, typmod, &settings).expect(of);
            let column = match mapped.cast {
                "" => "v".to_owned(),
                types::INET => "textin(inet_out(v))".to_owned(),
                types::XML => "textin(xml_out(v))".to_owned(),
                cast => format!("v::{cast}"),
            };
            let copy = format!(
                "COPY (SELECT {column} FROM made_{number} ORDER BY n) TO STDOUT (FORMAT binary)"
            );
            let mut decoder = copied(&session, &copy).await;
            // A stream with binary=true has what such a COPY has of a column without a cast.
            let plain =
                format!("COPY (SELECT v FROM made_{number} ORDER BY n) TO STDOUT (FORMAT binary)");
            let mut streamed = copied(&session, &plain).await;
            let sent = Sent::of(&known, oid, &mapped.decode);
            for row in &rows {
                let (text, expected): (&str, Option<&str>) = (row.get(0), row.get(1));
                let copied = decoder.next_row().unwrap().expect("as many rows");
                let field = copied.fields().next().unwrap().expect("no null");
                let mapped = &mapped.decode;
                let from_text = owned(mapped.text(text, Phase::Snapshot, &mut scratch));
                let from_copy = owned(mapped.copied(field, Phase::Snapshot, &mut other));
                assert!(
                    alike(&from_text, &from_copy),
                    "{of} {text:?} in text {from_text:?} and in binary form {from_copy:?}, modes {modes}, seed {seed}"
                );
                let row = streamed.next_row().unwrap().expect("as many rows");
                let field = row.fields().next().unwrap().expect("no null");
                for phase in [Phase::Snapshot, Phase::Stream] {
                    let from_text = owned(mapped.text(text, phase, &mut scratch));
                    let from_binary =
                        owned(sent.decode(mapped, field, phase, &mut printed, &mut other));
                    assert!(
                        alike(&from_text, &from_binary),
                        "{of} {text:?} in text {from_text:?} and as a stream sends it {from_binary:?}, {phase:?}, {sent:?}, modes {modes}, seed {seed}"
                    );
                }
                compared += 1;
                // In a snapshot some values go through classes of Java's that bend them.
                if let (0, Some(expected)) = (modes, expected) {
                    let streamed = owned(mapped.text(text, Phase::Stream, &mut scratch));
                    let ours = shown(&streamed.expect(text), expected);
                    let equal = same(&ours, expected);
                    assert!(
                        equal,
                        "{of} {text:?}: {ours}, the server says {expected}; seed {seed}"
                    );
                }
            }
            assert!(decoder.next_row().unwrap().is_none(), "{of}: more rows than were made");
        }
    }
    assert_eq!(compared, CASES.len() * ROWS * 6);
    // Each base type that has a schema by default has a case; but `name`, which the stream leaves null.
    let tried = |name: &str| {
        let of = |case: &Case| case.of.split('(').next().unwrap_or_default().trim_matches('"');
        CASES.iter().any(|case| of(case) == name)
    };
    let plain = Settings { unknown: false, ..settings(0) };
    for (oid, info) in known.iter().filter(|(_, info)| info.array_of.is_none()) {
        let base = matches!(info.kind, TypeKind::Base | TypeKind::Money { .. });
        let mapped = base && types::map(&known, *oid, -1, &plain).is_some();
        let name = if info.name == "bpchar" { "char" } else { &info.name };
        assert!(!mapped || tried(name) || name == "name", "no case for type {name}");
    }
    for name in UNREAD {
        let (oid, _) = known.iter().find(|(_, info)| info.name == name).unwrap();
        let mapped = types::map(&known, *oid, -1, &settings(0)).expect(name);
        assert_eq!(Sent::of(&known, *oid, &mapped.decode), Sent::Unread, "{name}");
    }
    drop(session);
    live::drop_database(server, client, handle).await;
}
