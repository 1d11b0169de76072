//! What is in librdkafka's queue: records, and complaints.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use model::{
    error::{Error, Result},
    record::TimestampType,
};
use rdkafka::{
    Message, Timestamp,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};

use super::KafkaConsumer;
use crate::runtime::transport::{Chunk, Encoded, Received};

/// A poll ends here: large enough for bulk writes, and a bound where records are large.
const POLL_BYTES: usize = 8 << 20;

impl KafkaConsumer {
    /// Takes what is in the queue, up to a change of partitions, an error, or a full poll.
    pub(super) fn drain(&mut self) -> Result<Vec<Received>> {
        // The library goes on behind what it could not read; nobody may read, and commit, from there.
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let inner = self.inner().clone();
        let calls = inner.context();
        let mut chunk = Chunk::default();
        let mut places = Vec::new();
        while places.len() < self.records_max && chunk.bytes.len() < POLL_BYTES {
            let seen = calls.count();
            match inner.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    chunk.records.push(self.encoded(&message, &mut chunk.bytes));
                    let timestamp_type = match message.timestamp() {
                        Timestamp::NotAvailable => TimestampType::NoTimestamp,
                        Timestamp::CreateTime(_) => TimestampType::CreateTime,
                        Timestamp::LogAppendTime(_) => TimestampType::LogAppendTime,
                    };
                    places.push((message.partition(), message.offset(), timestamp_type));
                }
                Some(Err(error)) => {
                    if let Some(fatal) = self.complaint(&error) {
                        self.failed = Some(fatal);
                        break;
                    }
                }
                // An event that was handed to `calls`; there may be more in the queue.
                None if calls.count() != seen => {}
                None => break,
            }
            if calls.waiting() {
                break;
            }
        }
        if places.is_empty() {
            return self.failed.take().map_or_else(|| Ok(Vec::new()), Err);
        }
        let chunk = Arc::new(chunk);
        let received = places.into_iter().enumerate().map(|(index, (partition, offset, kind))| {
            Received { chunk: chunk.clone(), index, partition, offset, timestamp_type: kind }
        });
        Ok(received.collect())
    }

    fn encoded(&mut self, message: &BorrowedMessage<'_>, out: &mut Vec<u8>) -> Encoded {
        let topic = match self.names.get(message.topic()) {
            Some(topic) => topic.clone(),
            None => {
                let topic: Arc<str> = message.topic().into();
                self.names.insert(topic.to_string(), topic.clone());
                topic
            }
        };
        let mut add = |part: Option<&[u8]>| {
            let start = out.len();
            part.map(|part| {
                out.extend_from_slice(part);
                start..out.len()
            })
        };
        let headers = match message.headers() {
            None => self.none.clone(),
            Some(headers) => {
                let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
                    (Arc::from(header.key), header.value.map(Bytes::copy_from_slice))
                };
                headers.iter().map(owned).collect()
            }
        };
        Encoded {
            topic,
            partition: Some(message.partition()),
            timestamp: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => Some(time),
            },
            key: add(message.key()),
            value: add(message.payload()),
            headers,
        }
    }

    /// What the client complains of: `Some` when it will not pass by itself, or when going on would
    /// pass records over.
    fn complaint(&mut self, error: &KafkaError) -> Option<Error> {
        use RDKafkaErrorCode as Code;
        let (code, fatal) = match error {
            KafkaError::MessageConsumption(code) => (*code, false),
            KafkaError::MessageConsumptionFatal(code) => (*code, true),
            _ => return None,
        };
        let hint = match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition => {
                self.topics.look_soon();
                return None;
            }
            Code::TopicAuthorizationFailed => "; let this client's user read the topics",
            Code::GroupAuthorizationFailed => "; let this client's user read the group",
            Code::AutoOffsetReset => {
                "; there is no offset to begin at, and consumer.override.auto.offset.reset is none"
            }
            Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::NotImplemented
            | Code::UnsupportedFeature
            | Code::UnsupportedCompressionType => "; reading on would pass records over",
            Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidGroupId
            | Code::InvalidSessionTimeout
            | Code::InconsistentGroupProtocol
            | Code::GroupMaxSizeReached
            | Code::Fatal => "",
            _ if fatal => "",
            // Connections come and go, coordinators move: librdkafka goes on by itself.
            _ => return None,
        };
        let reason = self.inner().context().last_error();
        let text = format!(
            "reading as a member of group {} from Kafka {} failed{hint}",
            self.group, self.servers
        );
        Some(Error::fatal(text).caused_by(reason.unwrap_or_else(|| error.to_string())))
    }
}
