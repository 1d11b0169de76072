//! Compares every converter with the answers that the JVM's gave, case by case.

mod cases;
mod notation;
mod properties;
mod table;

use std::{collections::BTreeMap, sync::Arc};

use model::{
    convert::{Decoded, Encoded},
    record::Data,
    schema::Schema,
    value::Value,
};
use riverrun_codec::{self as codec, Role};

use crate::cases::Case;

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("these converters do not wait"),
    }
}

pub(crate) fn encode(
    class: &str,
    options: &BTreeMap<String, String>,
    data: &Data,
) -> Result<Option<Vec<u8>>, String> {
    let mut out = b"before".to_vec();
    let encoded = if class == "Simple" {
        let mut converter = codec::header_converter(class, options).map_err(problems)?;
        converter.encode("topic", "name", data, &mut out)
    } else {
        let mut converter = codec::converter(class, options, Role::Value).map_err(problems)?;
        let mut encoder = now(converter.encoder("topic", data.schema.as_ref())).unwrap();
        encoder.encode(data.value.as_ref(), &mut out)
    };
    match encoded.map_err(|error| error.message)? {
        Encoded::Null => {
            assert_eq!(out, b"before");
            Ok(None)
        }
        Encoded::Bytes => Ok(Some(out.strip_prefix(b"before").unwrap().to_vec())),
    }
}

pub(crate) fn decode(
    class: &str,
    options: &BTreeMap<String, String>,
    bytes: Option<&[u8]>,
) -> Result<Data, String> {
    if class == "Simple" {
        let mut converter = codec::header_converter(class, options).map_err(problems)?;
        return converter.decode("topic", "name", bytes).map_err(|error| error.message);
    }
    let mut converter = codec::converter(class, options, Role::Value).map_err(problems)?;
    // Twice, because the second time schemas come out of the cache.
    let mut read = || match converter.decode("topic", bytes) {
        Ok(Decoded::Data(data)) => Ok(data),
        Ok(Decoded::NeedsSchema(id)) => panic!("asked for schema {id}"),
        Err(error) => Err(error.message),
    };
    let first = read();
    let second = read();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    second
}

fn problems(problems: Vec<codec::Problem>) -> String {
    problems.into_iter().map(|(_, message)| message).collect::<Vec<_>>().join("; ")
}

/// Reads a schema as the element of an array, which takes any.
fn schema(text: &str) -> Result<Arc<Schema>, String> {
    let envelope = format!(r#"{{"schema":{{"type":"array","items":{text}}},"payload":[]}}"#);
    let data = decode("Json", &BTreeMap::new(), Some(envelope.as_bytes()))?;
    match &data.schema.unwrap().kind {
        model::schema::Kind::Array(items) => Ok(items.clone()),
        other => panic!("{other:?}"),
    }
}

fn answer(case: &Case<'_>) -> String {
    let mut words = case.directive.split(' ');
    let class = match words.next().unwrap() {
        "json" => "Json",
        "string" => "String",
        "bytes" => "ByteArray",
        "header" => "Simple",
        "boolean" => "Boolean",
        "short" => "Short",
        "integer" => "Integer",
        "long" => "Long",
        "float" => "Float",
        "double" => "Double",
        other => panic!("no converter {other}"),
    };
    let direction = words.next().unwrap();
    let mut options: BTreeMap<String, String> = words
        .map(|option| option.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let input = |name: &str| {
        case.input
            .lines()
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
            .find_map(|(key, value)| (key == name).then_some(value))
    };
    if let Some(content) = input("content") {
        options.insert("schema.content".to_owned(), content.to_owned());
    }
    let result = match direction {
        "encode" => build(input).and_then(|data| {
            encode(class, &options, &data).map(|bytes| notation::show_bytes(bytes.as_deref()))
        }),
        "decode" => {
            let bytes = match (input("bytes"), input("hex")) {
                (Some(text), _) => Some(text.as_bytes().to_vec()),
                (_, Some(digits)) => Some(notation::unhex(digits)),
                _ => None,
            };
            decode(class, &options, bytes.as_deref()).map(|data| {
                let schema = data.schema.as_ref().map_or("none".to_owned(), schema_text);
                format!("schema {schema}\nvalue {}", notation::show(data.value.as_ref()))
            })
        }
        other => panic!("no direction {other}"),
    };
    result.unwrap_or_else(|message| format!("error {message}").trim_end().to_owned())
}

/// The input of a case of encoding.
fn build<'a>(input: impl Fn(&str) -> Option<&'a str>) -> Result<Data, String> {
    let schema_of = |name| match input(name) {
        Some("none") | None => Ok(None),
        Some(text) => schema(text).map(Some),
    };
    let own = schema_of("schema")?;
    let built_as = if input("as").is_some() { schema_of("as")? } else { own.clone() };
    let value = serde_json::from_str(input("value").unwrap()).unwrap();
    Ok(Data { schema: own, value: notation::build(built_as.as_ref(), &value) })
}

/// The schema as it stands in an envelope.
fn schema_text(schema: &Arc<Schema>) -> String {
    let array = Arc::new(Schema::new(model::schema::Kind::Array(schema.clone())));
    let data = Data { schema: Some(array), value: Value::Array(Arc::new([])) };
    let bytes = encode("Json", &BTreeMap::new(), &data).unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let text = text.strip_prefix(r#"{"schema":{"type":"array","items":"#).unwrap();
    text.strip_suffix(r#","optional":false},"payload":[]}"#).unwrap().to_owned()
}

#[test]
fn json_encode() {
    cases::run("json-encode.txt", answer);
}

#[test]
fn json_decode() {
    cases::run("json-decode.txt", answer);
}

#[test]
fn string_and_bytes() {
    cases::run("string-bytes.txt", answer);
}

#[test]
fn booleans_and_numbers() {
    cases::run("primitives.txt", answer);
}

#[test]
fn header() {
    cases::run("header.txt", answer);
}

#[test]
fn floats_as_the_jvm_writes_them() {
    let text = include_str!("../testdata/floats.txt");
    let mut rows = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [kind, bits, expected] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let got = match kind {
            "double" => {
                let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
                model::java::double_to_string(value)
            }
            _ => {
                let value = f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
                model::java::float_to_string(value)
            }
        };
        assert_eq!(got.as_str(), expected, "{line}");
        rows += 1;
    }
    assert!(rows > 1500, "{rows} rows");
}
