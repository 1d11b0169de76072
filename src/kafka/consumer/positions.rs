//! Where a task begins in its partitions.

use model::{
    connector::{Offsets, TopicPartition},
    error::{Error, Kind, Result},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::spawn_blocking;

use super::{Inner, KafkaConsumer, PAUSE, PAUSE_MAX, QUESTION};

impl KafkaConsumer {
    /// Where partitions begin: at their committed offset, else where `auto.offset.reset` says. Asks
    /// until there is an answer.
    pub(super) async fn positions(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let mut pause = PAUSE;
        loop {
            let inner = self.inner().clone();
            let (partitions, reset) = (partitions.to_vec(), self.reset);
            let asked = spawn_blocking(move || positions(&inner, &partitions, reset)).await;
            let error = match asked {
                Ok(Ok(offsets)) => return Ok(offsets),
                Ok(Err(error)) if error.kind() == Kind::Fatal => return Err(error),
                Ok(Err(error)) => error,
                Err(error) => Error::retriable("the question was cut short").caused_by(error),
            };
            tracing::warn!(
                "[{}] where group {} is to begin is not known yet: {}; trying again",
                self.who,
                self.group,
                error.trace()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Asks the brokers; blocks.
fn positions(
    inner: &Inner,
    partitions: &[TopicPartition],
    reset: Option<Offset>,
) -> Result<Offsets> {
    let asked = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
    let committed = inner
        .committed_offsets(asked, QUESTION)
        .map_err(|error| refused("the group's offsets were not read", &error))?;
    let mut offsets = Offsets::new();
    let mut fresh = Vec::new();
    for element in committed.elements() {
        element.error().map_err(|error| refused("the group's offsets were not read", &error))?;
        let place =
            TopicPartition { topic: element.topic().into(), partition: element.partition() };
        match element.offset() {
            Offset::Offset(offset) => {
                offsets.insert(place, offset);
            }
            _ => fresh.push(place),
        }
    }
    if fresh.is_empty() {
        return Ok(offsets);
    }
    let Some(reset) = reset else {
        let names: Vec<String> =
            fresh.iter().map(|place| format!("{}-{}", place.topic, place.partition)).collect();
        return Err(Error::fatal(format!(
            "Undefined offset with no reset policy for partitions: [{}]",
            names.join(", ")
        )));
    };
    let asked = list(fresh.iter().map(|place| (place, reset)))?;
    let bounds = inner
        .offsets_for_times(asked, QUESTION)
        .map_err(|error| refused("the bounds of partitions were not read", &error))?;
    for element in bounds.elements() {
        element
            .error()
            .map_err(|error| refused("the bounds of partitions were not read", &error))?;
        let Offset::Offset(offset) = element.offset() else {
            return Err(Error::retriable(format!(
                "the brokers did not tell the bounds of {}-{}",
                element.topic(),
                element.partition()
            )));
        };
        let place =
            TopicPartition { topic: element.topic().into(), partition: element.partition() };
        offsets.insert(place, offset);
    }
    Ok(offsets)
}

pub(super) fn refused(what: &str, error: &KafkaError) -> Error {
    let fatal = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::FencedInstanceId
        )
    );
    let error = error.to_string();
    if fatal {
        Error::fatal(what).caused_by(error)
    } else {
        Error::retriable(what).caused_by(error)
    }
}

/// Partitions with offsets, as librdkafka takes them.
pub(in crate::kafka) fn list<'p>(
    partitions: impl Iterator<Item = (&'p TopicPartition, Offset)>,
) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in partitions {
        list.add_partition_offset(&place.topic, place.partition, offset).map_err(|error| {
            Error::fatal(format!(
                "offset {offset:?} of {}-{} is none that Kafka has",
                place.topic, place.partition
            ))
            .caused_by(error)
        })?;
    }
    Ok(list)
}
