//! Converters: records to bytes and back, byte for byte as Kafka Connect's own.
//!
//! ```text
//!  schema ──plan, once──► encoder
//!  value ───────────────► encoder ──► bytes          bytes ──► decode ──► schema and value
//! ```
//!
//! What the encoders are compared with are the classes of Kafka 4.3.1, through the text files in
//! `testdata`, which a JVM has recorded.

mod byte_array;
mod calendar;
mod decimal;
mod inference;
mod java_map;
mod java_text;
mod json;
mod logical;
mod lru;
mod number;
mod simple_header;
mod string;

use std::{collections::BTreeMap, sync::LazyLock};

use model::{
    config::{Check, Config, ConfigDef, Importance, Key},
    convert::{Converter, HeaderConverter},
    error::Stage,
};

use crate::number::{Primitive, PrimitiveConverter};

/// What a converter is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Key,
    Value,
}

/// What is wrong with a key of a configuration: the key (without prefix) and the message.
pub type Problem = (String, String);

/// A row of `GET /connector-plugins`.
pub struct Plugin {
    pub class: &'static str,
    /// `converter` or `header_converter`.
    pub kind: &'static str,
    /// Kafka's version whose class this is equal to.
    pub version: &'static str,
    pub config: &'static ConfigDef,
}

/// Injected by the worker; users do not set it.
pub(crate) static TYPE: Key<String> = Key::string("converter.type")
    .importance(Importance::Low)
    .doc("How this converter will be used.")
    .check(Check::OneOf(&["key", "value", "header"]));

const VERSION: &str = "4.3.1";

type Build<T> = fn(&Config, Stage) -> Result<Box<T>, Vec<Problem>>;

struct Entry {
    class: &'static str,
    config: &'static ConfigDef,
    converter: Option<Build<dyn Converter>>,
    header: Option<Build<dyn HeaderConverter>>,
}

/// Every converter there is. A new one is a module and an entry here.
static ENTRIES: &[Entry] = &[
    Entry {
        class: "org.apache.kafka.connect.converters.BooleanConverter",
        config: &number::CONFIG,
        converter: Some(|_, stage| {
            Ok(Box::new(PrimitiveConverter::new(Primitive::Boolean, stage)))
        }),
        header: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Boolean, stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.converters.ByteArrayConverter",
        config: &byte_array::CONFIG,
        converter: Some(|_, stage| Ok(Box::new(byte_array::ByteArrayConverter::new(stage)))),
        header: Some(|_, stage| Ok(Box::new(byte_array::ByteArrayConverter::new(stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.converters.DoubleConverter",
        config: &number::CONFIG,
        converter: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Double, stage)))),
        header: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Double, stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.converters.FloatConverter",
        config: &number::CONFIG,
        converter: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Float, stage)))),
        header: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Float, stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.converters.IntegerConverter",
        config: &number::CONFIG,
        converter: Some(|_, stage| {
            Ok(Box::new(PrimitiveConverter::new(Primitive::Integer, stage)))
        }),
        header: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Integer, stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.converters.LongConverter",
        config: &number::CONFIG,
        converter: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Long, stage)))),
        header: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Long, stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.converters.ShortConverter",
        config: &number::CONFIG,
        converter: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Short, stage)))),
        header: Some(|_, stage| Ok(Box::new(PrimitiveConverter::new(Primitive::Short, stage)))),
    },
    Entry {
        class: "org.apache.kafka.connect.json.JsonConverter",
        config: &json::CONFIG,
        converter: Some(|config, stage| Ok(Box::new(json::JsonConverter::new(config, stage)?))),
        header: Some(|config, stage| Ok(Box::new(json::JsonConverter::new(config, stage)?))),
    },
    Entry {
        class: "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        config: &simple_header::CONFIG,
        converter: None,
        header: Some(|_, _| Ok(Box::new(simple_header::SimpleHeaderConverter))),
    },
    Entry {
        class: "org.apache.kafka.connect.storage.StringConverter",
        config: &string::CONFIG,
        converter: Some(|config, _| Ok(Box::new(string::StringConverter::new(config)))),
        header: Some(|config, _| Ok(Box::new(string::StringConverter::new(config)))),
    },
];

/// A configured converter for keys or values. `options` are the properties after the prefix
/// (`key.converter.`).
///
/// The problem of an unknown class has the empty key: the caller knows what the user called it.
pub fn converter(
    class_or_alias: &str,
    options: &BTreeMap<String, String>,
    role: Role,
) -> Result<Box<dyn Converter>, Vec<Problem>> {
    let (kind, stage) = match role {
        Role::Key => ("key", Stage::KeyConverter),
        Role::Value => ("value", Stage::ValueConverter),
    };
    let found = find(class_or_alias, |entry| entry.converter);
    build(class_or_alias, found, options, kind, stage)
}

/// A configured converter for headers: see [`converter`].
pub fn header_converter(
    class_or_alias: &str,
    options: &BTreeMap<String, String>,
) -> Result<Box<dyn HeaderConverter>, Vec<Problem>> {
    let found = find(class_or_alias, |entry| entry.header);
    build(class_or_alias, found, options, "header", Stage::HeaderConverter)
}

/// Every converter and header converter, sorted by class within each kind.
pub fn converters() -> &'static [Plugin] {
    static PLUGINS: LazyLock<Vec<Plugin>> = LazyLock::new(|| {
        let plugin = |entry: &Entry, kind| Plugin {
            class: entry.class,
            kind,
            version: VERSION,
            config: entry.config,
        };
        let data = ENTRIES.iter().filter(|entry| entry.converter.is_some());
        let headers = ENTRIES.iter().filter(|entry| entry.header.is_some());
        data.map(|entry| plugin(entry, "converter"))
            .chain(headers.map(|entry| plugin(entry, "header_converter")))
            .collect()
    });
    &PLUGINS
}

type Found<T> = Option<(&'static Entry, Build<T>)>;

/// By full name, simple name, or simple name without its ending, as Connect's plugin aliases are.
fn find<T: ?Sized>(name: &str, build: impl Fn(&Entry) -> Option<Build<T>>) -> Found<T> {
    let named = |entry: &Entry| {
        let simple = entry.class.rsplit('.').next().unwrap_or(entry.class);
        let pruned = simple.strip_suffix("HeaderConverter").or(simple.strip_suffix("Converter"));
        name == entry.class || name == simple || pruned == Some(name)
    };
    ENTRIES.iter().filter(|entry| named(entry)).find_map(|entry| Some((entry, build(entry)?)))
}

fn build<T: ?Sized>(
    name: &str,
    found: Found<T>,
    options: &BTreeMap<String, String>,
    kind: &str,
    stage: Stage,
) -> Result<Box<T>, Vec<Problem>> {
    let Some((entry, build)) = found else {
        return Err(vec![(String::new(), format!("Class {name} could not be found."))]);
    };
    let given = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let props =
        || given.clone().filter(|(key, _)| *key != TYPE.spec.name).chain([(TYPE.spec.name, kind)]);
    let infos = entry.config.validate(entry.class, props());
    let problems: Vec<Problem> = infos
        .configs
        .into_iter()
        .flat_map(|config| {
            config.value.errors.into_iter().map(move |error| (config.value.name.to_owned(), error))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let config = entry.config.parse(props()).map_err(|errors| {
        errors.into_iter().map(|error| (String::new(), error)).collect::<Vec<_>>()
    })?;
    build(&config, stage)
}
