//! What turns records into bytes and back. The implementations are the crate `codec`'s.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    error::{RecordError, Result},
    record::Data,
    schema::Schema,
    value::ValueRef,
};

/// Asynchronous per schema (it may ask a registry), synchronous per record. The worker calls
/// [`Converter::encoder`] only when topic or schema differ from the last record's, by pointer.
#[async_trait]
pub trait Converter: Send {
    /// What writes values of `schema` to `topic`, planned once.
    async fn encoder(
        &mut self,
        topic: &str,
        schema: Option<&Arc<Schema>>,
    ) -> Result<Box<dyn Encode>>;

    /// `None` is a null record key or value (a tombstone).
    fn decode(&mut self, topic: &str, bytes: Option<&[u8]>) -> Result<Decoded, RecordError>;

    /// Fetches the schema that [`Converter::decode`] lacked.
    async fn fetch(&mut self, id: u32) -> Result<()>;
}

/// What [`Converter::decode`] answers.
#[derive(Debug)]
pub enum Decoded {
    Data(Data),
    /// The registry must be asked first: [`Converter::fetch`], then decode again.
    NeedsSchema(u32),
}

/// Whether an encoder wrote bytes or says that the record's key or value is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded {
    Null,
    Bytes,
}

/// Writes values of one schema.
pub trait Encode: Send {
    /// Appends one value. On an error `out` holds rubbish after its former length; the caller
    /// truncates it. On [`Encoded::Null`] nothing was appended.
    fn encode(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<Encoded, RecordError>;
}

/// Converts record headers. Called once per distinct header of a batch, not planned.
pub trait HeaderConverter: Send {
    /// Appends the header's bytes to `out`, or says that they are null.
    fn encode(
        &mut self,
        topic: &str,
        name: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, RecordError>;

    fn decode(
        &mut self,
        topic: &str,
        name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Data, RecordError>;
}
