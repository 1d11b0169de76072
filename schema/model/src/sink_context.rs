//! What a sink task may ask of the worker: Connect's `SinkTaskContext`.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::connector::{Offsets, TopicPartition};

/// A task's line to the worker; clones are the same line.
///
/// A request is acted upon between two calls of the task, never within one.
#[derive(Clone, Default)]
pub struct SinkContext(Arc<Shared>);

#[derive(Default)]
struct Shared {
    requests: Mutex<SinkRequests>,
    made: Notify,
}

/// What has been asked for since the worker looked last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SinkRequests {
    /// Commit now and not only when the flush interval is over.
    pub commit: bool,
    /// Continue at these offsets.
    pub rewind: Offsets,
    /// The partitions that the task wants no records of. It stays as it is until it is changed.
    pub paused: BTreeSet<TopicPartition>,
}

impl SinkContext {
    /// Has [`crate::connector::SinkTask::pre_commit`] called soon: Connect's `requestCommit`.
    pub fn request_commit(&self) {
        self.requests().commit = true;
        self.0.made.notify_one();
    }

    /// Continues at these offsets instead of after the last record: Connect's `offset`. A sink that
    /// keeps its offsets itself says in `open` where it is. Partitions that the task does not have
    /// are passed over.
    pub fn rewind(&self, offsets: impl IntoIterator<Item = (TopicPartition, i64)>) {
        self.requests().rewind.extend(offsets);
        self.0.made.notify_one();
    }

    /// Gives no records of these partitions until they are resumed.
    pub fn pause(&self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.requests().paused.extend(partitions);
        self.0.made.notify_one();
    }

    /// Takes back [`SinkContext::pause`].
    pub fn resume<'p>(&self, partitions: impl IntoIterator<Item = &'p TopicPartition>) {
        let mut requests = self.requests();
        for partition in partitions {
            requests.paused.remove(partition);
        }
        drop(requests);
        self.0.made.notify_one();
    }

    /// For the worker: what is asked for. Commit and rewind are given out once.
    pub fn take(&self) -> SinkRequests {
        let mut requests = self.requests();
        SinkRequests {
            commit: mem::take(&mut requests.commit),
            rewind: mem::take(&mut requests.rewind),
            paused: requests.paused.clone(),
        }
    }

    /// For the worker: waits until something is asked for. Cancel-safe.
    pub async fn asked(&self) {
        self.0.made.notified().await;
    }

    fn requests(&self) -> MutexGuard<'_, SinkRequests> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_given_out_once_and_pauses_stay() {
        let partition = |partition| TopicPartition { topic: "t".into(), partition };
        let context = SinkContext::default();
        let same = context.clone();
        same.request_commit();
        same.rewind([(partition(0), 7)]);
        same.pause([partition(0), partition(1)]);
        same.resume([&partition(1)]);
        let paused = BTreeSet::from([partition(0)]);
        let rewind = Offsets::from([(partition(0), 7)]);
        let asked = SinkRequests { commit: true, rewind, paused: paused.clone() };
        assert_eq!(context.take(), asked);
        assert_eq!(context.take(), SinkRequests { paused, ..SinkRequests::default() });
    }
}
