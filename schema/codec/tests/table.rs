//! The table of converters, and their configuration.

use std::collections::BTreeMap;

use model::{error::Stage, record::Data, schema::Kind, value::Value};
use riverrun_codec::{self as codec, Role, converter, converters, header_converter};

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn problems(class: &str, pairs: &[(&str, &str)]) -> Vec<codec::Problem> {
    match converter(class, &options(pairs), Role::Key) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

#[test]
fn a_class_has_a_full_name_a_simple_name_and_a_short_one() {
    for name in [
        "org.apache.kafka.connect.json.JsonConverter",
        "JsonConverter",
        "Json",
        "org.apache.kafka.connect.storage.StringConverter",
        "StringConverter",
        "String",
        "org.apache.kafka.connect.converters.ByteArrayConverter",
        "ByteArrayConverter",
        "ByteArray",
        "org.apache.kafka.connect.converters.BooleanConverter",
        "ShortConverter",
        "Integer",
        "Long",
        "Float",
        "DoubleConverter",
    ] {
        assert_eq!(problems(name, &[]), [], "{name}");
        assert!(header_converter(name, &options(&[])).is_ok(), "{name}");
    }
    for name in [
        "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        "SimpleHeaderConverter",
        "Simple",
    ] {
        assert!(header_converter(name, &options(&[])).is_ok(), "{name}");
        assert_eq!(
            problems(name, &[]),
            [(String::new(), format!("Class {name} could not be found."))]
        );
    }
    for name in ["json", "", "Converter", "io.example.JsonConverter"] {
        assert_eq!(problems(name, &[]).len(), 1, "{name}");
    }
}

#[test]
fn wrong_options_are_named() {
    let text = |pairs| {
        problems("Json", pairs)
            .into_iter()
            .map(|(key, text)| format!("{key}: {text}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        text(&[("schemas.enable", "yes"), ("schemas.cache.size", "many")]),
        [
            "schemas.enable: Invalid value yes for configuration schemas.enable: Expected value to \
             be either true or false",
            "schemas.cache.size: Invalid value many for configuration schemas.cache.size: Not a \
             number of type INT",
        ]
    );
    assert_eq!(
        text(&[("decimal.format", "TEXT")]),
        [
            "decimal.format: Invalid value TEXT for configuration decimal.format: String must be one \
          of (case insensitive): NUMERIC, BASE64"
        ]
    );
    assert_eq!(text(&[("decimal.format", "numeric"), ("unknown", "x")]), [""; 0]);
    assert_eq!(
        text(&[("schema.content", "{}")]),
        ["schema.content: Schema must contain 'type' field"]
    );
    assert_eq!(
        problems("String", &[("converter.encoding", "EBCDIC")]),
        [(
            "converter.encoding".to_owned(),
            "Invalid value EBCDIC for configuration converter.encoding: Riverrun does not have \
             this character set; it has UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE, UTF-16LE"
                .to_owned()
        )]
    );
}

#[test]
fn plugins_are_those_that_can_be_built() {
    let list: Vec<String> =
        converters().iter().map(|plugin| format!("{} {}", plugin.kind, plugin.class)).collect();
    assert_eq!(
        list,
        [
            "converter org.apache.kafka.connect.converters.BooleanConverter",
            "converter org.apache.kafka.connect.converters.ByteArrayConverter",
            "converter org.apache.kafka.connect.converters.DoubleConverter",
            "converter org.apache.kafka.connect.converters.FloatConverter",
            "converter org.apache.kafka.connect.converters.IntegerConverter",
            "converter org.apache.kafka.connect.converters.LongConverter",
            "converter org.apache.kafka.connect.converters.ShortConverter",
            "converter org.apache.kafka.connect.json.JsonConverter",
            "converter org.apache.kafka.connect.storage.StringConverter",
            "header_converter org.apache.kafka.connect.converters.BooleanConverter",
            "header_converter org.apache.kafka.connect.converters.ByteArrayConverter",
            "header_converter org.apache.kafka.connect.converters.DoubleConverter",
            "header_converter org.apache.kafka.connect.converters.FloatConverter",
            "header_converter org.apache.kafka.connect.converters.IntegerConverter",
            "header_converter org.apache.kafka.connect.converters.LongConverter",
            "header_converter org.apache.kafka.connect.converters.ShortConverter",
            "header_converter org.apache.kafka.connect.json.JsonConverter",
            "header_converter org.apache.kafka.connect.storage.SimpleHeaderConverter",
            "header_converter org.apache.kafka.connect.storage.StringConverter",
        ]
    );
    for plugin in converters() {
        let built = match plugin.kind {
            "converter" => converter(plugin.class, &options(&[]), Role::Value).is_ok(),
            _ => header_converter(plugin.class, &options(&[])).is_ok(),
        };
        assert!(built, "{} {}", plugin.kind, plugin.class);
        assert_eq!(plugin.version, "4.3.1");
    }
}

#[test]
fn errors_name_their_stage() {
    for (role, stage) in [(Role::Key, Stage::KeyConverter), (Role::Value, Stage::ValueConverter)] {
        let mut json = converter("Json", &options(&[]), role).unwrap();
        assert_eq!(json.decode("topic", Some(b"{")).unwrap_err().stage, stage);
        assert!(crate::now(json.fetch(1)).is_err());
    }
    let mut bytes = header_converter("ByteArray", &options(&[])).unwrap();
    let data = Data {
        schema: Some(std::sync::Arc::new(model::schema::Schema::new(Kind::String))),
        value: Value::Text("x".into()),
    };
    let error = bytes.encode("topic", "name", &data, &mut Vec::new()).unwrap_err();
    assert_eq!(error.stage, Stage::HeaderConverter);
}

/// Alternating schemas, more of them than the cache holds.
#[test]
fn plans_and_schemas_survive_a_small_cache() {
    for size in ["0", "1", "2", "1000"] {
        let mut json =
            converter("Json", &options(&[("schemas.cache.size", size)]), Role::Value).unwrap();
        for round in 0..3 {
            for name in ["a", "b", "c"] {
                let text = format!(
                    r#"{{"schema":{{"type":"struct","fields":[{{"type":"int32","optional":false,"field":"{name}"}}],"optional":false}},"payload":{{"{name}":{round}}}}}"#
                );
                let model::convert::Decoded::Data(data) =
                    json.decode("topic", Some(text.as_bytes())).unwrap()
                else {
                    panic!("{text}");
                };
                let mut encoder = crate::now(json.encoder("topic", data.schema.as_ref())).unwrap();
                let mut out = Vec::new();
                encoder.encode(data.value.as_ref(), &mut out).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), text);
            }
        }
    }
}
