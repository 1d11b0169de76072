//! `org.apache.kafka.connect.converters.ByteArrayConverter`: bytes as they are.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
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

pub(crate) struct ByteArrayConverter {
    stage: Stage,
    /// The schema of everything that is read.
    optional_bytes: Arc<Schema>,
}

struct BytesEncoder {
    schema: Option<Arc<Schema>>,
    stage: Stage,
}

impl ByteArrayConverter {
    pub(crate) fn new(stage: Stage) -> Self {
        Self { stage, optional_bytes: Arc::new(Schema::new(Kind::Bytes).optional()) }
    }

    fn read(&self, bytes: Option<&[u8]>) -> Data {
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(Bytes::copy_from_slice(bytes)));
        Data { schema: Some(self.optional_bytes.clone()), value }
    }
}

fn write(
    schema: Option<&Arc<Schema>>,
    value: ValueRef<'_>,
    out: &mut Vec<u8>,
) -> Result<Encoded, String> {
    let logical = match schema {
        Some(schema) if schema.kind != Kind::Bytes => {
            let kind = kind_name(&schema.kind);
            return Err(format!("Invalid schema type for ByteArrayConverter: {kind}"));
        }
        Some(schema) => Logical::of(schema),
        None => None,
    };
    let class = match (value, logical) {
        (ValueRef::Null, _) => return Ok(Encoded::Null),
        (ValueRef::Bytes(_), Some(Logical::Decimal)) => "java.math.BigDecimal",
        (ValueRef::Bytes(bytes), _) => {
            out.extend_from_slice(bytes);
            return Ok(Encoded::Bytes);
        }
        (other, _) => java_class(other),
    };
    Err(format!("ByteArrayConverter is not compatible with objects of type class {class}"))
}

impl Encode for BytesEncoder {
    fn encode(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<Encoded, RecordError> {
        write(self.schema.as_ref(), value, out)
            .map_err(|message| RecordError::new(self.stage, message))
    }
}

#[async_trait]
impl Converter for ByteArrayConverter {
    async fn encoder(
        &mut self,
        _topic: &str,
        schema: Option<&Arc<Schema>>,
    ) -> Result<Box<dyn Encode>> {
        Ok(Box::new(BytesEncoder { schema: schema.cloned(), stage: self.stage }))
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Decoded, RecordError> {
        Ok(Decoded::Data(self.read(bytes)))
    }

    async fn fetch(&mut self, id: u32) -> Result<()> {
        Err(Error::fatal(format!(
            "asked the ByteArrayConverter for schema {id}: it has no registry"
        )))
    }
}

impl HeaderConverter for ByteArrayConverter {
    fn encode(
        &mut self,
        _topic: &str,
        _name: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, RecordError> {
        write(data.schema.as_ref(), data.value.as_ref(), out)
            .map_err(|message| RecordError::new(self.stage, message))
    }

    fn decode(
        &mut self,
        _topic: &str,
        _name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Data, RecordError> {
        Ok(self.read(bytes))
    }
}
