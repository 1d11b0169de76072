//! Bytes into the records that a sink is given.

use model::{
    convert::Decoded,
    error::{Error, Kind, RecordError, Result, Stage},
    record::{Data, Header, Record, SinkRecord, no_headers},
};
use tokio::time::Instant;

use super::super::{
    Target, convert::Converters, errors::spread, settings::Retry, supervise::Context,
    transport::Received,
};

/// Decodes the records of one task.
pub(super) struct Decoder {
    converters: Converters,
    retry: Retry,
    who: String,
}

/// Why there is no record.
pub(super) enum Bad {
    /// `errors.tolerance` decides.
    Record(RecordError),
    Task(Error),
    /// The task was told to stop while a schema was waited for.
    Stopped,
}

impl Decoder {
    pub(super) fn new(converters: Converters, retry: Retry, who: String) -> Self {
        Self { converters, retry, who }
    }

    /// The converter that works in this stage.
    pub(super) fn class(&self, stage: Stage) -> &str {
        match stage {
            Stage::KeyConverter => &self.converters.key_class,
            Stage::HeaderConverter => &self.converters.header_class,
            _ => &self.converters.value_class,
        }
    }

    /// Key, value, headers, in Connect's order: the first error is the one reported.
    pub(super) async fn decode(
        &mut self,
        received: &Received,
        context: &mut Context,
    ) -> Result<SinkRecord, Bad> {
        let encoded = received.encoded();
        let key = self.side(Stage::KeyConverter, received, context).await?;
        let value = self.side(Stage::ValueConverter, received, context).await?;
        let headers = match encoded.headers.is_empty() {
            true => no_headers(),
            false => self.headers(received).map_err(Bad::Record)?,
        };
        let timestamp = encoded.timestamp.filter(|timestamp| *timestamp != -1);
        if let Some(wrong) = timestamp.filter(|timestamp| *timestamp < 0) {
            // No stage of Connect's, so that no tolerance covers it.
            return Err(Bad::Task(Error::fatal(format!(
                "Invalid record timestamp {wrong} (topic {}, partition {}, offset {})",
                encoded.topic, received.partition, received.offset
            ))));
        }
        Ok(SinkRecord {
            record: Record {
                topic: encoded.topic.clone(),
                partition: Some(received.partition),
                key,
                value,
                timestamp,
                headers,
            },
            kafka_partition: received.partition,
            kafka_offset: received.offset,
            timestamp_type: received.timestamp_type,
        })
    }

    /// The key or the value. A schema that cannot be fetched now is tried for as long as
    /// `errors.retry.timeout` says.
    async fn side(
        &mut self,
        stage: Stage,
        received: &Received,
        context: &mut Context,
    ) -> Result<Data, Bad> {
        let encoded = received.encoded();
        let (converter, range) = match stage {
            Stage::KeyConverter => (&mut self.converters.key, encoded.key.as_ref()),
            _ => (&mut self.converters.value, encoded.value.as_ref()),
        };
        let bytes = received.chunk.slice(range);
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            let decoded = converter.decode(&encoded.topic, bytes);
            let decoded = decoded.map_err(|error| Bad::Record(RecordError { stage, ..error }))?;
            let id = match decoded {
                Decoded::Data(data) => return Ok(data),
                Decoded::NeedsSchema(id) => id,
            };
            let Err(error) = converter.fetch(id).await else { continue };
            tries += 1;
            let pause = match error.kind() {
                Kind::Fatal => None,
                Kind::Retriable => self.retry.pause(tries, begun.elapsed(), spread()),
            };
            let Some(pause) = pause else {
                return Err(Bad::Record(RecordError::new(stage, error.trace())));
            };
            tracing::warn!(
                "[{}] {}; trying again in {} ms",
                self.who,
                error.trace(),
                pause.as_millis()
            );
            let stopped = context.target.wait_for(|target| *target == Target::Stopped);
            if tokio::time::timeout(pause, stopped).await.is_ok() {
                return Err(Bad::Stopped);
            }
        }
    }

    fn headers(&mut self, received: &Received) -> Result<std::sync::Arc<[Header]>, RecordError> {
        let encoded = received.encoded();
        let converter = &mut self.converters.header;
        let decode = |(name, bytes): &(std::sync::Arc<str>, Option<bytes::Bytes>)| {
            let data = converter.decode(&encoded.topic, name, bytes.as_deref());
            let data =
                data.map_err(|error| RecordError { stage: Stage::HeaderConverter, ..error })?;
            Ok(Header { name: name.clone(), data })
        };
        encoded.headers.iter().map(decode).collect()
    }
}
