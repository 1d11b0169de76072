//! Partitions that come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{connector::TopicPartition, error::Result};

use super::{Batch, Driver};
use crate::runtime::{Target, transport::Received};

/// How partitions are left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    InOrder,
    Lost,
}

impl Driver {
    /// Takes up partitions.
    pub(super) async fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let positions = tokio::select! {
            biased;
            // Nothing has begun there, so nothing has to be brought to an end.
            _ = self.context.target.wait_for(|target| *target == Target::Stopped) => return Ok(()),
            positions = self.consumer.accept(partitions) => positions?,
        };
        if partitions.is_empty() {
            return Ok(());
        }
        tracing::debug!("[{}] takes up {positions:?}", self.who);
        // What the consumer was told of them when the task had them before holds no longer.
        self.resting.retain(|place| !positions.contains_key(place));
        self.current.extend(positions.clone());
        self.committed.extend(positions);
        self.context.metrics.partitions(self.current.len());
        self.context.metrics.calling();
        let opened = self.task.open(partitions).await;
        self.context.metrics.called();
        opened
    }

    /// Closes partitions and lets go of them.
    pub(super) async fn give_up(
        &mut self,
        partitions: &[TopicPartition],
        leave: Leave,
    ) -> Result<()> {
        let mine: Vec<TopicPartition> =
            partitions.iter().filter(|place| self.current.contains_key(*place)).cloned().collect();
        let closed = match mine.is_empty() {
            true => Ok(()),
            false => self.close(&mine, leave).await,
        };
        self.consumer.release(partitions).await?;
        closed
    }

    /// Commits, where that is still possible, and closes. The partitions are off the books
    /// afterwards, whatever the sink says.
    pub(super) async fn close(
        &mut self,
        partitions: &[TopicPartition],
        leave: Leave,
    ) -> Result<()> {
        let gone: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        let closed = match leave {
            Leave::InOrder => self.commit_and_close(&gone).await,
            Leave::Lost => {
                tracing::warn!(
                    "[{}] the group has taken partitions from the task, which joined it anew or was \
                     not heard of for too long (max.poll.interval.ms, session.timeout.ms): {gone:?}",
                    self.who
                );
                self.failures.forget(&gone);
                if let Some(committing) = &mut self.committing {
                    committing.forget(&gone);
                }
                self.task.close(partitions).await
            }
        };
        for offsets in [&mut self.current, &mut self.committed] {
            offsets.retain(|place, _| !gone.contains(place));
        }
        self.resting.retain(|place| !gone.contains(place));
        self.batch.take_if(|batch| batch.forget(&gone));
        if self.batch.is_none() {
            // What was to be put again is another task's.
            self.context.metrics.called();
        }
        self.context.metrics.partitions(self.current.len());
        self.context.metrics.active(self.uncommitted());
        closed
    }
}

impl Batch {
    /// Takes out the records of partitions that are gone. `true` when none is left.
    fn forget(&mut self, gone: &BTreeSet<TopicPartition>) -> bool {
        self.reached.retain(|place, _| !gone.contains(place));
        let mut known: BTreeMap<(Arc<str>, i32), bool> = BTreeMap::new();
        let mut stays = |one: &Received| {
            let key = (one.encoded().topic.clone(), one.partition);
            *known.entry(key).or_insert_with(|| !gone.contains(&one.place()))
        };
        let kept: Vec<bool> = self.received.iter().map(&mut stays).collect();
        let mut at = kept.iter();
        self.records.retain(|_| at.next().copied().unwrap_or(false));
        let mut at = kept.iter();
        self.received.retain(|_| at.next().copied().unwrap_or(false));
        self.reached.is_empty()
    }
}
