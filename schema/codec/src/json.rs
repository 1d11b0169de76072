//! `org.apache.kafka.connect.json.JsonConverter`.

mod base64;
mod decode;
mod encode;
mod number;
mod parse;
mod schema;
mod schema_text;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    config::{Check, Config, ConfigDef, Group, Importance, Key, Parsed, Width},
    convert::{Converter, Decoded, Encode, Encoded, HeaderConverter},
    error::{Error, RecordError, Result, Stage},
    record::Data,
    schema::Schema,
    value::Value,
};

use self::{
    decode::Nulls,
    encode::{JsonEncoder, Planned, Style},
    parse::Envelope,
};
use crate::{Problem, TYPE, lru::Lru};

static SCHEMAS_ENABLE: Key<bool> = Key::boolean("schemas.enable")
    .order(0)
    .default("true")
    .importance(Importance::High)
    .width(Width::Medium)
    .display("Enable Schemas")
    .doc("Include schemas within each of the serialized values and keys.");

static SCHEMAS_CACHE_SIZE: Key<i32> = Key::int("schemas.cache.size")
    .order(1)
    .default("1000")
    .importance(Importance::High)
    .width(Width::Medium)
    .display("Schema Cache Size")
    .doc("The maximum number of schemas that can be cached in this converter instance.");

static SCHEMA_CONTENT: Key<String> = Key::string("schema.content")
    .order(2)
    .default_null()
    .importance(Importance::High)
    .width(Width::Medium)
    .display("Schema Content")
    .doc(
        "When set, this is used as the schema for all messages, and the schemas within each of the \
         message will be ignored.Otherwise, the schema will be included in the content of each \
         message. This configuration applies only 'schemas.enable' is true, and it exclusively \
         affects the sink connector.",
    );

static DECIMAL_FORMAT: Key<String> = Key::string("decimal.format")
    .order(0)
    .default("BASE64")
    .importance(Importance::Low)
    .width(Width::Medium)
    .display("Decimal Format")
    .doc(
        "Controls which format this converter will serialize decimals in. This value is case \
         insensitive and can be either 'BASE64' (default) or 'NUMERIC'",
    )
    .check(Check::With(|value| match value {
        Parsed::String(text)
            if text.eq_ignore_ascii_case("BASE64") || text.eq_ignore_ascii_case("NUMERIC") =>
        {
            Ok(())
        }
        _ => Err("String must be one of (case insensitive): NUMERIC, BASE64".to_owned()),
    }));

static REPLACE_NULL_WITH_DEFAULT: Key<bool> = Key::boolean("replace.null.with.default")
    .order(1)
    .default("true")
    .importance(Importance::Low)
    .width(Width::Medium)
    .display("Replace null with default")
    .doc(
        "Whether to replace fields that have a default value and that are null to the default \
         value. When set to true, the default value is used, otherwise null is used.",
    );

pub(crate) static CONFIG: ConfigDef = ConfigDef(&[
    Group { name: "", keys: &[&TYPE.spec] },
    Group {
        name: "Schemas",
        keys: &[&SCHEMAS_ENABLE.spec, &SCHEMAS_CACHE_SIZE.spec, &SCHEMA_CONTENT.spec],
    },
    Group { name: "Serialization", keys: &[&DECIMAL_FORMAT.spec, &REPLACE_NULL_WITH_DEFAULT.spec] },
]);

pub(crate) struct JsonConverter {
    style: Style,
    stage: Stage,
    /// The schema of everything that is read: `schema.content`.
    fixed: Option<Arc<Schema>>,
    /// Plans by the address of their schema, which the entry keeps alive.
    plans: Lru<usize, (Arc<Schema>, Arc<Planned>)>,
    schemaless: Arc<Planned>,
    /// Schemas by their JSON text.
    schemas: Lru<Arc<str>, Option<Arc<Schema>>>,
}

impl JsonConverter {
    pub(crate) fn new(config: &Config, stage: Stage) -> Result<Self, Vec<Problem>> {
        let style = Style {
            schemas_enable: config.get(&SCHEMAS_ENABLE),
            numeric_decimals: config.get(&DECIMAL_FORMAT).eq_ignore_ascii_case("NUMERIC"),
            replace_null_with_default: config.get(&REPLACE_NULL_WITH_DEFAULT),
        };
        let cache_size = usize::try_from(config.get(&SCHEMAS_CACHE_SIZE)).unwrap_or(0);
        let fixed = match config.find(&SCHEMA_CONTENT).filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => fixed_schema(&text, nulls(style))
                .map_err(|message| vec![(SCHEMA_CONTENT.spec.name.to_owned(), message)])?,
        };
        Ok(Self {
            style,
            stage,
            fixed,
            plans: Lru::new(cache_size),
            schemaless: Arc::new(Planned::new(None, style)),
            schemas: Lru::new(cache_size),
        })
    }

    fn plan(&mut self, schema: Option<&Arc<Schema>>) -> Arc<Planned> {
        let Some(schema) = schema else { return self.schemaless.clone() };
        let address = Arc::as_ptr(schema) as usize;
        if let Some((_, planned)) = self.plans.get(&address) {
            return planned;
        }
        let planned = Arc::new(Planned::new(Some(schema), self.style));
        self.plans.insert(address, (schema.clone(), planned.clone()));
        planned
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Data, String> {
        let nulls = nulls(self.style);
        let broken = |_| {
            "Converting byte[] to Kafka Connect data failed due to serialization error: ".to_owned()
        };
        if !self.style.schemas_enable {
            let json = parse::parse(bytes).map_err(broken)?;
            return Ok(Data { schema: None, value: decode::schemaless(&json) });
        }
        if let Some(schema) = &self.fixed {
            let json = parse::parse(bytes).map_err(broken)?;
            let value = decode::with_schema(schema, Some(&json), nulls)?;
            return Ok(Data { schema: Some(schema.clone()), value });
        }
        let (schema, payload) = match parse::parse_envelope(bytes).map_err(broken)? {
            Envelope::No => {
                return Err(
                    "JsonConverter with schemas.enable requires \"schema\" and \"payload\" \
                            fields and may not contain additional fields. If you are trying to \
                            deserialize plain JSON data, set schemas.enable=false in your \
                            converter configuration."
                        .to_owned(),
                );
            }
            Envelope::Parsed { schema, payload } => (schema::read(&schema, nulls)?, payload),
            Envelope::Raw { schema: text, payload } => match self.schemas.get(text) {
                Some(schema) => (schema, payload),
                None => {
                    let json = parse::parse(text.as_bytes()).map_err(broken)?;
                    let schema = schema::read(&json, nulls)?;
                    self.schemas.insert(text.into(), schema.clone());
                    (schema, payload)
                }
            },
        };
        match schema {
            None => Ok(Data { schema: None, value: decode::schemaless(&payload) }),
            Some(schema) => {
                let value = decode::with_schema(&schema, Some(&payload), nulls)?;
                Ok(Data { schema: Some(schema), value })
            }
        }
    }
}

fn nulls(style: Style) -> Nulls {
    if style.replace_null_with_default { Nulls::BecomeDefault } else { Nulls::Stay }
}

fn fixed_schema(text: &str, nulls: Nulls) -> Result<Option<Arc<Schema>>, String> {
    let json = parse::parse(text.as_bytes()).map_err(|_| {
        "Failed to parse schema in converter config due to serialization error: ".to_owned()
    })?;
    schema::read(&json, nulls)
}

#[async_trait]
impl Converter for JsonConverter {
    async fn encoder(
        &mut self,
        _topic: &str,
        schema: Option<&Arc<Schema>>,
    ) -> Result<Box<dyn Encode>> {
        Ok(Box::new(JsonEncoder { planned: self.plan(schema), stage: self.stage }))
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Decoded, RecordError> {
        let Some(bytes) = bytes else { return Ok(Decoded::Data(Data::NULL)) };
        let data = self.read(bytes).map_err(|message| RecordError::new(self.stage, message))?;
        Ok(Decoded::Data(data))
    }

    async fn fetch(&mut self, id: u32) -> Result<()> {
        Err(Error::fatal(format!("asked the JsonConverter for schema {id}: it has no registry")))
    }
}

impl HeaderConverter for JsonConverter {
    fn encode(
        &mut self,
        _topic: &str,
        _name: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, RecordError> {
        self.plan(data.schema.as_ref())
            .encode(data.value.as_ref(), out)
            .map_err(|message| RecordError::new(self.stage, message))
    }

    fn decode(
        &mut self,
        _topic: &str,
        _name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Data, RecordError> {
        match bytes {
            None => Ok(Data { schema: None, value: Value::Null }),
            Some(bytes) => {
                self.read(bytes).map_err(|message| RecordError::new(self.stage, message))
            }
        }
    }
}
