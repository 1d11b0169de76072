//! Questions about a topic to its brokers: how many partitions it has, and from where to where they
//! reach. Each is asked again until there is an answer or the time is up.

use std::{ops::Range, sync::Arc, time::Duration};

use model::error::{Error, Result};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};

use crate::kafka::Context;

/// How long the partitions of a topic that has just been created are waited for.
const PARTITIONS_WAIT: Duration = Duration::from_secs(30);

/// How long one question to the brokers may take; asked again until the caller's time is up.
const QUESTION: Duration = Duration::from_secs(5);

/// The pauses between the questions.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What the brokers tell of a partition, or why they do not.
type Told = std::result::Result<i64, String>;

/// Asks the brokers about the topic.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) topic: String,
    pub(super) servers: String,
    /// Reads nothing. A broker answers the requests of one connection one after the other, and a
    /// request for records that are not there yet is held back for half a second.
    pub(super) asker: Arc<StreamConsumer<Context>>,
}

impl Reader {
    /// How many partitions the topic has, once it has any.
    pub(super) async fn partitions(&self) -> Result<usize> {
        let deadline = Instant::now() + PARTITIONS_WAIT;
        let ask = |reader: Self, within| {
            let metadata = reader.asker.fetch_metadata(Some(&reader.topic), within);
            let metadata = metadata.map_err(|error| error.to_string())?;
            let found = metadata.topics().iter().find(|topic| topic.name() == reader.topic);
            let found = found.ok_or("the brokers do not know it")?;
            match found.error() {
                Some(code) => Err(KafkaError::MetadataFetch(code.into()).to_string()),
                None if found.partitions().is_empty() => Err("it has no partitions".to_owned()),
                None => Ok(found.partitions().len()),
            }
        };
        let what = format!(
            "failed to look up the partitions of topic {} on Kafka {} within {} ms",
            self.topic,
            self.servers,
            PARTITIONS_WAIT.as_millis()
        );
        self.ask(deadline, &what, ask).await
    }

    /// The first offsets of the partitions, or those after their last records.
    pub(super) async fn bounds(
        &self,
        count: usize,
        bound: Offset,
        deadline: Instant,
    ) -> Result<Vec<i64>> {
        let ask = move |reader: Self, within| reader.bounds_now(count, bound, within);
        let what =
            format!("failed to list the offsets of topic {} on Kafka {}", self.topic, self.servers);
        self.ask(deadline, &what, ask).await
    }

    /// Where the partitions begin and end, asked for once. `None` is a partition of which nobody
    /// tells.
    pub(super) async fn extents(&self, count: usize) -> Vec<Option<Range<i64>>> {
        let reader = self.clone();
        // librdkafka blocks its caller.
        let asked = spawn_blocking(move || {
            let starts = reader.each(count, Offset::Beginning, QUESTION)?;
            Ok::<_, String>((starts, reader.each(count, Offset::End, QUESTION)?))
        });
        let Ok(Ok((starts, ends))) = asked.await else { return vec![None; count] };
        let extent = |(start, end): (Told, Told)| Some(start.ok()?..end.ok()?);
        starts.into_iter().zip(ends).map(extent).collect()
    }

    /// Blocks.
    fn bounds_now(
        &self,
        count: usize,
        bound: Offset,
        within: Duration,
    ) -> std::result::Result<Vec<i64>, String> {
        self.each(count, bound, within)?.into_iter().collect()
    }

    /// What the brokers tell of each partition; blocks.
    fn each(
        &self,
        count: usize,
        bound: Offset,
        within: Duration,
    ) -> std::result::Result<Vec<Told>, String> {
        let mut asked = TopicPartitionList::with_capacity(count);
        for partition in (0..).take(count) {
            asked
                .add_partition_offset(&self.topic, partition, bound)
                .map_err(|error| error.to_string())?;
        }
        let answer = self.asker.offsets_for_times(asked, within);
        let answer = answer.map_err(|error| error.to_string())?;
        let mut offsets = vec![Err("the brokers told of some partitions only".to_owned()); count];
        for element in answer.elements_for_topic(&self.topic) {
            let place = usize::try_from(element.partition()).ok();
            let Some(place) = place.and_then(|place| offsets.get_mut(place)) else { continue };
            match (element.error(), element.offset()) {
                (Err(error), _) => *place = Err(error.to_string()),
                (Ok(()), Offset::Offset(offset)) => *place = Ok(offset),
                (Ok(()), _) => {}
            }
        }
        Ok(offsets)
    }

    /// Asks until there is an answer or the time is up.
    async fn ask<T: Send + 'static>(
        &self,
        deadline: Instant,
        what: &str,
        ask: impl Fn(Self, Duration) -> std::result::Result<T, String> + Clone + Send + 'static,
    ) -> Result<T> {
        let mut pause = PAUSE;
        let mut told = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let within = left.clamp(Duration::from_millis(1), QUESTION);
            let (ask, reader) = (ask.clone(), self.clone());
            // librdkafka blocks its caller.
            let answer = timeout_at(deadline, spawn_blocking(move || ask(reader, within))).await;
            let why = match answer {
                Ok(Ok(Ok(answer))) => return Ok(answer),
                Ok(Ok(Err(why))) => why,
                Ok(Err(ended)) => ended.to_string(),
                Err(_) => "the brokers did not answer in time".to_owned(),
            };
            if Instant::now() + pause >= deadline {
                let last = self.asker.client().context().last_error();
                let error = Error::retriable(what);
                return Err(match last {
                    Some(last) => error.caused_by(Error::retriable(why).caused_by(last)),
                    None => error.caused_by(why),
                });
            }
            if !told {
                tracing::info!("{what}: {why}; trying again");
                told = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX).min(left / 4).max(PAUSE);
        }
    }
}
