//! Any value of any schema reads back as it was written.

use std::{collections::BTreeMap, sync::Arc};

use model::{
    record::Data,
    schema::{Field, Kind, Schema},
    value::{Struct, Value},
};
use proptest::prelude::*;

use crate::{decode, encode, notation};

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A schema without default, and a value of it.
fn data() -> impl Strategy<Value = (Arc<Schema>, Value)> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|value| (Kind::Boolean, Value::Bool(value))),
        any::<i8>().prop_map(|value| (Kind::Int8, Value::Int(value.into()))),
        any::<i16>().prop_map(|value| (Kind::Int16, Value::Int(value.into()))),
        any::<i32>().prop_map(|value| (Kind::Int32, Value::Int(value.into()))),
        any::<i64>().prop_map(|value| (Kind::Int64, Value::Int(value))),
        // JSON has no negative zero and no infinities.
        any::<f32>()
            .prop_filter("finite", |value| value.is_finite() && *value != 0.0)
            .prop_map(|value| (Kind::Float32, Value::Float32(value))),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite() && *value != 0.0)
            .prop_map(|value| (Kind::Float64, Value::Float64(value))),
        any::<String>().prop_map(|value| (Kind::String, Value::Text(value.into()))),
        any::<Vec<u8>>().prop_map(|value| (Kind::Bytes, Value::Bytes(value.into()))),
    ]
    .prop_map(|(kind, value)| (Arc::new(Schema::new(kind)), value));
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            // Elements of one schema: the same value several times.
            (inner.clone(), 0..4usize).prop_map(|((schema, value), len)| {
                let items = vec![value; len];
                (Arc::new(Schema::new(Kind::Array(schema))), Value::Array(items.into()))
            }),
            (inner.clone(), any::<String>()).prop_map(|((schema, value), key)| {
                let keys = Arc::new(Schema::new(Kind::String));
                let entry = (Value::Text(key.into()), value);
                (Arc::new(Schema::new(Kind::Map(keys, schema))), Value::Map([entry].into()))
            }),
            (inner.clone(), any::<i32>()).prop_map(|((schema, value), key)| {
                let keys = Arc::new(Schema::new(Kind::Int32));
                let entry = (Value::Int(key.into()), value);
                (Arc::new(Schema::new(Kind::Map(keys, schema))), Value::Map([entry].into()))
            }),
            prop::collection::btree_map("\\PC{1,8}", (inner, any::<bool>(), any::<bool>()), 0..5)
                .prop_map(|fields| {
                    let mut values = Vec::new();
                    let mut list = Vec::new();
                    for (name, ((schema, value), optional, null)) in fields {
                        let mut schema = Schema::clone(&schema);
                        // A struct or an array of structs keeps its schema's address.
                        let optional = optional && !matches!(schema.kind, Kind::Struct(_));
                        schema.optional = optional;
                        values.push(if optional && null { Value::Null } else { value });
                        list.push(Field { name: name.into(), schema: Arc::new(schema) });
                    }
                    let fields = list.into_iter().collect();
                    let schema = Arc::new(Schema::new(Kind::Struct(fields)).name_only("s"));
                    let value = Struct::new(schema.clone(), values);
                    (schema, Value::Struct(value))
                }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_with_its_schema((schema, value) in data()) {
        let data = Data { schema: Some(schema), value };
        let bytes = encode("Json", &options(&[]), &data).unwrap().unwrap();
        let read = decode("Json", &options(&[]), Some(&bytes)).unwrap();
        prop_assert_eq!(read, data);
    }

    #[test]
    fn json_without_schema_is_what_serde_reads((schema, value) in data()) {
        let data = Data { schema: Some(schema), value };
        let options = options(&[("schemas.enable", "false")]);
        let bytes = encode("Json", &options, &data).unwrap().unwrap();
        let ours = decode("Json", &options, Some(&bytes)).unwrap();
        let theirs: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(sorted(&ours.value), sorted(&from_serde(&theirs)));
    }

    #[test]
    fn decimals_as_numbers(bytes in prop::collection::vec(any::<u8>(), 1..40), scale in -50..50i32) {
        let decimal = Schema::new(Kind::Bytes)
            .named("org.apache.kafka.connect.data.Decimal", 1)
            .parameter("scale", &scale.to_string());
        let data = Data { schema: Some(Arc::new(decimal)), value: Value::Bytes(bytes.clone().into()) };
        let numeric = options(&[("decimal.format", "NUMERIC")]);
        let written = encode("Json", &numeric, &data).unwrap().unwrap();
        let read = decode("Json", &options(&[]), Some(&written)).unwrap();
        // The shortest form of the same integer.
        let negative = bytes[0] >= 0x80;
        let spare = bytes.windows(2).take_while(|pair| match pair[0] {
            0 => pair[1] < 0x80,
            0xFF => pair[1] >= 0x80 && negative,
            _ => false,
        }).count();
        prop_assert_eq!(read.value, Value::Bytes(bytes[spare..].to_vec().into()));
    }

    #[test]
    fn text_in_any_charset(text in any::<String>()) {
        for charset in ["UTF-8", "UTF-16", "UTF-16BE", "UTF-16LE"] {
            let options = options(&[("converter.encoding", charset)]);
            let data = Data {
                schema: Some(Arc::new(Schema::new(Kind::String).optional())),
                value: Value::Text(text.as_str().into()),
            };
            let bytes = encode("String", &options, &data).unwrap().unwrap();
            prop_assert_eq!(decode("String", &options, Some(&bytes)).unwrap(), data);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\",:0-9a-z\\\\ .+-]{0,40}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            // Whether it can be read does not matter here.
            drop(decode("Json", &options(&[]), Some(bytes)));
            drop(decode("Json", &options(&[("schemas.enable", "false")]), Some(bytes)));
            drop(decode("Simple", &options(&[]), Some(bytes)));
        }
    }
}

/// Nesting costs stack; its limit has to come before the stack's end.
#[test]
fn deep_nesting_is_read_or_refused() {
    let schemaless = options(&[("schemas.enable", "false")]);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (depth, accepted) in [(999, true), (1000, true), (1001, false), (100_000, false)] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let read = decode("Json", &schemaless, Some(text.as_bytes()));
            assert_eq!(read.is_ok(), accepted, "{open} {depth}");
            if let Ok(data) = read {
                let bytes = encode("Json", &schemaless, &data).unwrap().unwrap();
                assert_eq!(String::from_utf8(bytes).unwrap(), text);
            }
            assert!(decode("Simple", &options(&[]), Some(text.as_bytes())).is_ok());
        }
    }
    for depth in [200, 201, 990, 1100] {
        let schema = format!(
            "{}{{\"type\":\"int8\"}}{}",
            "{\"type\":\"array\",\"items\":".repeat(depth),
            "}".repeat(depth)
        );
        let text = format!("{{\"schema\":{schema},\"payload\":[]}}");
        let read = decode("Json", &options(&[]), Some(text.as_bytes()));
        assert_eq!(read.is_ok(), depth <= 200);
        if let Ok(data) = read {
            assert!(encode("Json", &options(&[]), &data).is_ok());
        }
    }
}

fn from_serde(json: &serde_json::Value) -> Value {
    notation::build(None, json)
}

/// Text that does not depend on the order of maps, nor on how wide a number is.
fn sorted(value: &Value) -> String {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", sorted(key), sorted(value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(", "))
        }
        other => notation::show(other.as_ref()),
    }
}
