//! `org.apache.kafka.connect.converters.BooleanConverter` and the five for numbers: one primitive,
//! big-endian, as Kafka's serializers write it.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    config::{ConfigDef, Group},
    convert::{Converter, Decoded, Encode, Encoded, HeaderConverter},
    error::{Error, RecordError, Result, Stage},
    record::Data,
    schema::{Kind, Schema},
    value::{Value, ValueRef},
};

use crate::{
    TYPE,
    logical::{Logical, java_class, kind_name},
};

pub(crate) static CONFIG: ConfigDef = ConfigDef(&[Group { name: "", keys: &[&TYPE.spec] }]);

/// What such a converter writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Boolean,
    Short,
    Integer,
    Long,
    Float,
    Double,
}

impl Primitive {
    /// As messages name it.
    fn name(self) -> &'static str {
        match self {
            Primitive::Boolean => "boolean",
            Primitive::Short => "short",
            Primitive::Integer => "integer",
            Primitive::Long => "long",
            Primitive::Float => "float",
            Primitive::Double => "double",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Primitive::Boolean => Kind::Boolean,
            Primitive::Short => Kind::Int16,
            Primitive::Integer => Kind::Int32,
            Primitive::Long => Kind::Int64,
            Primitive::Float => Kind::Float32,
            Primitive::Double => Kind::Float64,
        }
    }

    /// `None` for bytes that Kafka's deserializer does not take.
    fn read(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Primitive::Boolean => match bytes {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            Primitive::Short => Value::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
            Primitive::Integer => Value::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            Primitive::Long => Value::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
            Primitive::Float => Value::Float32(f32::from_be_bytes(bytes.try_into().ok()?)),
            Primitive::Double => Value::Float64(f64::from_be_bytes(bytes.try_into().ok()?)),
        })
    }

    /// Appends a value whose Java class is the one of this primitive. Numbers of other classes are
    /// not converted, and the schema counts for nothing but the class; `BooleanConverter` looks at
    /// the schema first.
    fn write(
        self,
        schema: Option<&Schema>,
        value: ValueRef<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, String> {
        if let (Primitive::Boolean, Some(schema)) = (self, schema)
            && schema.kind != Kind::Boolean
        {
            let kind = kind_name(&schema.kind);
            return Err(format!("Invalid schema type for BooleanConverter: {kind}"));
        }
        if let ValueRef::Null = value {
            return Ok(Encoded::Null);
        }
        let class = class_of(schema, value);
        let wrong = || match self {
            Primitive::Boolean => {
                format!("BooleanConverter is not compatible with objects of type class {class}")
            }
            _ => format!("Failed to serialize to {} (was class {class}): ", self.name()),
        };
        match (self, value, class) {
            (Primitive::Boolean, ValueRef::Bool(value), _) => out.push(value.into()),
            (Primitive::Short, ValueRef::Int(value), "java.lang.Short") => {
                let value = i16::try_from(value).map_err(|_| wrong())?;
                out.extend_from_slice(&value.to_be_bytes());
            }
            (Primitive::Integer, ValueRef::Int(value), "java.lang.Integer") => {
                let value = i32::try_from(value).map_err(|_| wrong())?;
                out.extend_from_slice(&value.to_be_bytes());
            }
            (Primitive::Long, ValueRef::Int(value), "java.lang.Long") => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            (Primitive::Float, ValueRef::Float32(value), _) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            (Primitive::Double, ValueRef::Float64(value), _) => {
                // `Double.doubleToLongBits` writes every NaN the same; floats go as they are.
                let value = if value.is_nan() { f64::NAN } else { value };
                out.extend_from_slice(&value.to_be_bytes());
            }
            _ => return Err(wrong()),
        }
        Ok(Encoded::Bytes)
    }
}

/// The class that holds the value in the JVM.
fn class_of(schema: Option<&Schema>, value: ValueRef<'_>) -> &'static str {
    let logical = schema.and_then(Logical::of);
    match (value, logical, schema.map(|schema| &schema.kind)) {
        (ValueRef::Int(_), Some(Logical::Date | Logical::Time | Logical::Timestamp), _) => {
            "java.util.Date"
        }
        (ValueRef::Bytes(_), Some(Logical::Decimal), _) => "java.math.BigDecimal",
        (ValueRef::Int(_), _, Some(Kind::Int8)) => "java.lang.Byte",
        (ValueRef::Int(_), _, Some(Kind::Int16)) => "java.lang.Short",
        (ValueRef::Int(_), _, Some(Kind::Int32)) => "java.lang.Integer",
        (value, ..) => java_class(value),
    }
}

pub(crate) struct PrimitiveConverter {
    primitive: Primitive,
    stage: Stage,
    /// The schema of everything that is read.
    schema: Arc<Schema>,
}

struct PrimitiveEncoder {
    primitive: Primitive,
    stage: Stage,
    schema: Option<Arc<Schema>>,
}

impl PrimitiveConverter {
    pub(crate) fn new(primitive: Primitive, stage: Stage) -> Self {
        let schema = Arc::new(Schema::new(primitive.kind()).optional());
        Self { primitive, stage, schema }
    }

    fn read(&self, bytes: Option<&[u8]>) -> Result<Data, RecordError> {
        let value = match bytes {
            None => Value::Null,
            Some(bytes) => self.primitive.read(bytes).ok_or_else(|| {
                let name = self.primitive.name();
                RecordError::new(self.stage, format!("Failed to deserialize {name}: "))
            })?,
        };
        Ok(Data { schema: Some(self.schema.clone()), value })
    }
}

impl Encode for PrimitiveEncoder {
    fn encode(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<Encoded, RecordError> {
        let written = self.primitive.write(self.schema.as_deref(), value, out);
        written.map_err(|message| RecordError::new(self.stage, message))
    }
}

#[async_trait]
impl Converter for PrimitiveConverter {
    async fn encoder(
        &mut self,
        _topic: &str,
        schema: Option<&Arc<Schema>>,
    ) -> Result<Box<dyn Encode>> {
        let (primitive, stage) = (self.primitive, self.stage);
        Ok(Box::new(PrimitiveEncoder { primitive, stage, schema: schema.cloned() }))
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Decoded, RecordError> {
        self.read(bytes).map(Decoded::Data)
    }

    async fn fetch(&mut self, id: u32) -> Result<()> {
        let name = self.primitive.name();
        Err(Error::fatal(format!(
            "asked the converter of the type {name} for schema {id}: it has no registry"
        )))
    }
}

impl HeaderConverter for PrimitiveConverter {
    fn encode(
        &mut self,
        _topic: &str,
        _name: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, RecordError> {
        let written = self.primitive.write(data.schema.as_deref(), data.value.as_ref(), out);
        written.map_err(|message| RecordError::new(self.stage, message))
    }

    fn decode(
        &mut self,
        _topic: &str,
        _name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Data, RecordError> {
        self.read(bytes)
    }
}
