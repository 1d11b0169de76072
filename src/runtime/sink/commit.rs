//! Committing what a sink says is durable.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::BoxFuture;
use model::{
    connector::{Offsets, TopicPartition},
    error::{Error, Kind, Result},
};
use tokio::time::{Instant, timeout};

use super::Driver;

/// How long the commit of partitions that are given up may take: the default of Java's
/// `default.api.timeout.ms`, which bounds it there.
const LAST_COMMIT_MAX: Duration = Duration::from_secs(60);

/// A commit under way.
pub(super) struct Committing {
    pub(super) begun: Instant,
    offsets: Offsets,
    answer: BoxFuture<'static, Result<()>>,
}

impl Committing {
    /// The answer says nothing of partitions that are gone, even if they come back.
    pub(super) fn forget(&mut self, gone: &BTreeSet<TopicPartition>) {
        self.offsets.retain(|place, _| !gone.contains(place));
    }
}

/// Waits for the commit under way; for ever when there is none.
pub(super) async fn finished(committing: &mut Option<Committing>) -> Result<()> {
    match committing {
        Some(committing) => committing.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    /// Begins a commit at the flush interval, when it is asked for, and where somebody waits for it.
    pub(super) async fn commit_what_is_due(&mut self) -> Result<()> {
        let limit = self.settings.flush_timeout;
        let late = |committing: &mut Committing| committing.begun.elapsed() >= limit;
        if self.committing.take_if(late).is_some() {
            tracing::warn!(
                "[{}] Commit of offsets timed out: no answer within {} ms \
                 (offset.flush.timeout.ms)",
                self.who,
                limit.as_millis()
            );
        }
        if self.committing.is_some() {
            return Ok(());
        }
        let pressed = self.consumer.pressed() && self.current != self.committed;
        if !self.commit_asked && !pressed && Instant::now() < self.next_commit {
            return Ok(());
        }
        self.commit_asked = false;
        self.next_commit = Instant::now() + self.interval;
        let all: BTreeSet<TopicPartition> = self.current.keys().cloned().collect();
        if all.is_empty() {
            return Ok(());
        }
        match self.durable(&all).await {
            Ok(Some(offsets)) => {
                let answer = self.consumer.commit(offsets.clone());
                self.committing = Some(Committing { begun: Instant::now(), offsets, answer });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) if error.kind() == Kind::Fatal => Err(error),
            Err(error) => {
                tracing::error!(
                    "[{}] Offset commit failed, rewinding to last committed offsets: {}",
                    self.who,
                    error.trace()
                );
                self.consumer.seek(&self.committed).await?;
                self.current = self.committed.clone();
                // These records are read again too.
                self.batch = None;
                Ok(())
            }
        }
    }

    pub(super) fn commit_ended(&mut self, result: Result<()>) {
        let Some(Committing { offsets, begun, .. }) = self.committing.take() else { return };
        self.note_commit(result, offsets, begun);
    }

    fn note_commit(&mut self, result: Result<()>, offsets: Offsets, begun: Instant) {
        match result {
            Ok(()) => {
                tracing::debug!(
                    "[{}] committed in {} ms: {offsets:?}",
                    self.who,
                    begun.elapsed().as_millis()
                );
                for (place, offset) in offsets {
                    // Only what the task still has: others commit for the rest.
                    if let Some(committed) = self.committed.get_mut(&place) {
                        *committed = offset;
                    }
                }
            }
            Err(error) => tracing::error!(
                "[{}] offsets were not committed and will be tried again: {}",
                self.who,
                error.trace()
            ),
        }
    }

    /// Asks the sink what is durable, closes these partitions, and commits: in this order, as the
    /// JVM does it. An error is that of closing.
    pub(super) async fn commit_and_close(&mut self, gone: &BTreeSet<TopicPartition>) -> Result<()> {
        // Commits arrive in the order in which they were begun, and this one is to be the last.
        if self.committing.is_some() {
            let ended = timeout(self.settings.flush_timeout, finished(&mut self.committing)).await;
            let lost = |_| Err(Error::retriable("the commit before this one was not answered"));
            self.commit_ended(ended.unwrap_or_else(lost));
        }
        let durable = self.durable(gone).await.unwrap_or_else(|error| {
            tracing::warn!("[{}] Offset commit failed during close: {}", self.who, error.trace());
            None
        });
        let partitions: Vec<TopicPartition> = gone.iter().cloned().collect();
        self.task.close(&partitions).await?;
        if let Some(offsets) = durable {
            let begun = Instant::now();
            let answer = timeout(LAST_COMMIT_MAX, self.consumer.commit(offsets.clone())).await;
            let result = answer.unwrap_or_else(|_| {
                Err(Error::retriable(format!("no answer within {} s", LAST_COMMIT_MAX.as_secs())))
            });
            self.note_commit(result, offsets, begun);
        }
        Ok(())
    }

    /// What is to be committed of these partitions; `None` when there is nothing new.
    async fn durable(&mut self, partitions: &BTreeSet<TopicPartition>) -> Result<Option<Offsets>> {
        if !self.failures.settled(partitions, self.settings.flush_timeout).await {
            tracing::warn!(
                "[{}] nothing is committed now: dead letters were not stored within {} ms",
                self.who,
                self.settings.flush_timeout.as_millis()
            );
            return Ok(None);
        }
        let of = |offsets: &Offsets| -> Offsets {
            let asked = offsets.iter().filter(|(place, _)| partitions.contains(*place));
            asked.map(|(place, offset)| (place.clone(), *offset)).collect()
        };
        let answer = self.task.pre_commit(of(&self.current)).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let before = of(&self.committed);
        let mut wanted = before.clone();
        for (place, offset) in answer {
            let TopicPartition { topic, partition } = &place;
            match self.current.get(&place) {
                None => tracing::warn!(
                    "[{}] Ignoring invalid task provided offset {topic}-{partition}/{offset} -- \
                     partition not assigned",
                    self.who
                ),
                Some(_) if !partitions.contains(&place) => tracing::debug!(
                    "[{}] Ignoring task provided offset {topic}-{partition}/{offset} -- partition \
                     not requested",
                    self.who
                ),
                Some(current) if offset > *current => tracing::warn!(
                    "[{}] Ignoring invalid task provided offset {topic}-{partition}/{offset} -- \
                     not yet consumed, currentOffset={current}",
                    self.who
                ),
                Some(_) => {
                    wanted.insert(place, offset);
                }
            }
        }
        Ok((wanted != before).then_some(wanted))
    }
}
