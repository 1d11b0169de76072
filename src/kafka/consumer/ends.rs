//! Looks for records that are there and do not come, see [`crate::kafka::silence`].

use std::{sync::Arc, time::Instant};

use model::connector::{Offsets, TopicPartition};
use rdkafka::{Offset, consumer::Consumer as _};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Inner, KafkaConsumer, QUESTION, later, positions::list};
use crate::kafka::silence::{Place, Silence, TASK_LOOK};

/// The looks at the ends of a member's partitions.
pub(super) struct Ends {
    due: Instant,
    asking: Option<JoinHandle<Option<Offsets>>>,
    silence: Silence<TopicPartition>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { due: later(TASK_LOOK), asking: None, silence: Silence::default() }
    }

    /// The partitions have changed.
    pub(super) fn forget(&mut self) {
        self.silence.forget();
        self.asking = None;
    }

    /// Waits until the ends of these partitions have been looked up. Cancel-safe.
    pub(super) async fn look(&mut self, inner: &Arc<Inner>, began: &Offsets) -> Option<Offsets> {
        if self.asking.is_none() {
            tokio::time::sleep_until(self.due.into()).await;
            self.due = later(TASK_LOOK);
            if began.is_empty() {
                return None;
            }
            let (inner, partitions) = (inner.clone(), began.clone());
            // librdkafka blocks its caller.
            self.asking = Some(spawn_blocking(move || ends(&inner, &partitions)));
        }
        let asked = match &mut self.asking {
            Some(asking) => asking.await,
            None => return None,
        };
        self.asking = None;
        self.due = later(TASK_LOOK);
        asked.ok().flatten()
    }
}

/// Asks the brokers once; blocks. `None` where they do not answer for all.
fn ends(inner: &Inner, partitions: &Offsets) -> Option<Offsets> {
    let asked = list(partitions.keys().map(|place| (place, Offset::End))).ok()?;
    let answer = inner.offsets_for_times(asked, QUESTION).ok()?;
    let mut ends = Offsets::new();
    for element in answer.elements() {
        let (Ok(()), Offset::Offset(end)) = (element.error(), element.offset()) else {
            return None;
        };
        let place =
            TopicPartition { topic: element.topic().into(), partition: element.partition() };
        ends.insert(place, end);
    }
    Some(ends)
}

impl KafkaConsumer {
    /// Follows a look at the ends: a task that something is silent for is to be made anew.
    pub(super) fn looked_at_ends(&mut self, ends: Option<Offsets>) {
        let Some(ends) = ends else {
            self.ends.forget();
            return;
        };
        let reached = self.inner().position();
        let at = |place: &TopicPartition, began: i64| {
            let reached = reached.as_ref().ok()?;
            Some(match reached.find_partition(&place.topic, place.partition)?.offset() {
                Offset::Offset(at) => at,
                // No record of it has come.
                _ => began,
            })
        };
        let wanted = self.began.iter().filter(|(place, _)| !self.paused.contains(*place));
        let found: Vec<(TopicPartition, Place)> = wanted
            .filter_map(|(place, began)| {
                let (at, end) = (at(place, *began)?, *ends.get(place)?);
                Some((place.clone(), Place { at, end }))
            })
            .collect();
        let silent = self.ends.silence.look(found);
        if silent.is_empty() {
            return;
        }
        for (TopicPartition { topic, partition }, Place { at, end }) in &silent {
            tracing::warn!(
                "[{}] nothing comes of {topic}-{partition}, which is read up to offset {at} of \
                 {end}: the Kafka client has lost hold of it",
                self.who
            );
        }
        self.inner().context().silent(true);
    }
}
