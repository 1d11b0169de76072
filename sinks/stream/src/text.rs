//! Values as a converter of Kafka's writes them.

use std::sync::Arc;

use codec::Role;
use model::{
    connector::Props,
    convert::{Converter, Encode, Encoded},
    error::{Error, RecordError, Result, Stage},
    record::Data,
    schema::Schema,
};

pub(crate) struct Text {
    converter: Box<dyn Converter>,
    /// For the schema of the last value; records of one topic come in runs.
    planned: Option<Planned>,
}

type Planned = (Option<Arc<Schema>>, Box<dyn Encode>);

impl Text {
    /// As Java's `toString()` has it, which is what the StringConverter writes.
    pub(crate) fn java() -> Result<Self> {
        Self::new("org.apache.kafka.connect.storage.StringConverter", &Props::new())
    }

    /// As JSON, without schemas.
    pub(crate) fn json() -> Result<Self> {
        let options = Props::from([("schemas.enable".to_owned(), "false".to_owned())]);
        Self::new("org.apache.kafka.connect.json.JsonConverter", &options)
    }

    fn new(class: &str, options: &Props) -> Result<Self> {
        let converter = codec::converter(class, options, Role::Value)
            .map_err(|problems| Error::fatal(format!("{class} is not usable: {problems:?}")))?;
        Ok(Self { converter, planned: None })
    }

    /// Appends a value, `null` where there is none. On an error `out` holds rubbish after its former
    /// length.
    pub(crate) async fn write(
        &mut self,
        topic: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let same = |planned: &Option<Arc<Schema>>| match (planned, &data.schema) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        if !self.planned.as_ref().is_some_and(|(schema, _)| same(schema)) {
            let encode = self.converter.encoder(topic, data.schema.as_ref()).await;
            let encode = encode.map_err(|error| RecordError::new(Stage::TaskPut, error.trace()))?;
            self.planned = Some((data.schema.clone(), encode));
        }
        if let Some((_, encode)) = &mut self.planned
            && encode.encode(data.value.as_ref(), out)? == Encoded::Null
        {
            out.extend_from_slice(b"null");
        }
        Ok(())
    }
}
