//! Looks for records that are there and do not come, see [`crate::kafka::silence`].

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use model::connector::{Offsets, TopicPartition};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Inner, KafkaConsumer, QUESTION, later, positions::list};
use crate::kafka::silence::{Place, Silence};

/// Where partitions begin and end.
type Extents = BTreeMap<TopicPartition, Range<i64>>;

/// The looks at the ends of a member's partitions.
pub(super) struct Ends {
    every: Duration,
    due: Instant,
    asking: Option<JoinHandle<Extents>>,
    silence: Silence<TopicPartition>,
}

impl Ends {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, due: later(every), asking: None, silence: Silence::default() }
    }

    /// The partitions have changed.
    pub(super) fn forget(&mut self) {
        self.silence.forget();
        self.asking = None;
    }

    /// Waits until the extents of these partitions have been looked up. Cancel-safe.
    pub(super) async fn look(&mut self, inner: &Arc<Inner>, began: &Offsets) -> Extents {
        if self.asking.is_none() {
            tokio::time::sleep_until(self.due.into()).await;
            self.due = later(self.every);
            if began.is_empty() {
                return Extents::new();
            }
            let (inner, partitions) = (inner.clone(), began.clone());
            // librdkafka blocks its caller.
            self.asking = Some(spawn_blocking(move || extents(&inner, &partitions)));
        }
        let asked = match &mut self.asking {
            Some(asking) => asking.await,
            None => return Extents::new(),
        };
        self.asking = None;
        self.due = later(self.every);
        asked.unwrap_or_default()
    }

    /// The question that is being asked, which keeps the client open.
    pub(super) fn question(&mut self) -> Option<JoinHandle<Extents>> {
        self.asking.take()
    }
}

/// Asks the brokers once; blocks. Partitions of which nobody tells are left out.
fn extents(inner: &Inner, partitions: &Offsets) -> Extents {
    let ask = |bound: Offset| -> Option<Offsets> {
        let asked = list(partitions.keys().map(|place| (place, bound))).ok()?;
        let answer = inner.offsets_for_times(asked, QUESTION).ok()?;
        let mut told = Offsets::new();
        for element in answer.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                let (topic, partition) = (element.topic().into(), element.partition());
                told.insert(TopicPartition { topic, partition }, offset);
            }
        }
        Some(told)
    };
    let (Some(starts), Some(mut ends)) = (ask(Offset::Beginning), ask(Offset::End)) else {
        return Extents::new();
    };
    let extent = |(place, start)| ends.remove(&place).map(|end| (place, start..end));
    starts.into_iter().filter_map(extent).collect()
}

/// Where the partitions stand that are read now: behind the last record handed out, else where the
/// task began, else at the first record that was not deleted.
fn places(
    began: &Offsets,
    paused: &BTreeSet<TopicPartition>,
    reached: &TopicPartitionList,
    extents: &Extents,
) -> Vec<(TopicPartition, Place)> {
    let mut places = Vec::with_capacity(began.len());
    for (place, began) in began.iter().filter(|(place, _)| !paused.contains(*place)) {
        let Some(extent) = extents.get(place) else { continue };
        let reached = reached.find_partition(&place.topic, place.partition);
        let at = match reached.map(|element| element.offset()) {
            Some(Offset::Offset(at)) => at,
            _ => *began,
        };
        places.push((place.clone(), Place { at: at.max(extent.start), end: extent.end }));
    }
    places
}

impl KafkaConsumer {
    /// Follows a look at the ends: a task that something is silent for is to be made anew.
    pub(super) fn looked_at_ends(&mut self, extents: &Extents) {
        let Ok(reached) = self.inner().position() else { return };
        let found = places(&self.began, &self.paused, &reached, extents);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_partitions_stand() {
        let place = |partition| TopicPartition { topic: "t".into(), partition };
        let began: Offsets = (0..5).map(|partition| (place(partition), 5)).collect();
        let mut reached = TopicPartitionList::new();
        reached.add_partition_offset("t", 0, Offset::Offset(7)).unwrap();
        reached.add_partition_offset("t", 1, Offset::Invalid).unwrap();
        reached.add_partition_offset("t", 2, Offset::Invalid).unwrap();
        reached.add_partition_offset("t", 3, Offset::Offset(6)).unwrap();
        let extents = Extents::from([
            (place(0), 0..9),
            (place(1), 0..9),
            // All of it was deleted: the client has gone to the end by itself.
            (place(2), 9..9),
            (place(3), 0..9),
        ]);
        let found = places(&began, &BTreeSet::from([place(3)]), &reached, &extents);
        let wanted = [(0, 7, 9), (1, 5, 9), (2, 9, 9)];
        assert_eq!(found, wanted.map(|(at, from, end)| (place(at), Place { at: from, end })));
    }
}
