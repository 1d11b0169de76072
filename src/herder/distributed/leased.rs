//! The offset store as a task of a group sees it.
//!
//! A task writes offsets as long as the membership lasts under which it was started. After that
//! another worker may have its work and be further, and an older offset over a newer one would make
//! a database that was told of the newer one give up what lies between. A task that stays with the
//! worker through the loss of a membership is started again, from what is stored then.
//!
//! What was on its way when the membership ended can't be taken back, and a JVM worker does not hold
//! back what it has. So a task that has nothing new to store looks whether what it stored last still
//! stands there, and puts it right.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use model::{
    connector::Object,
    error::{Error, Result},
};

use crate::{
    group::Lease,
    runtime::{OffsetStore, Withheld},
};

pub(super) struct Leased {
    store: Arc<dyn OffsetStore>,
    lease: Arc<Lease>,
    /// The membership that the task was started under.
    number: u64,
    /// What the task has stored last, by the text of the partition.
    stored: Mutex<BTreeMap<String, (Object, Object)>>,
}

impl Leased {
    pub(super) fn new(store: Arc<dyn OffsetStore>, lease: Arc<Lease>) -> Self {
        let number = lease.number();
        Self { store, lease, number, stored: Mutex::default() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn stored(&self) -> MutexGuard<'_, BTreeMap<String, (Object, Object)>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OffsetStore for Leased {
    async fn read(&self, connector: &str, partition: &Object) -> Result<Option<Object>> {
        self.store.read(connector, partition).await
    }

    async fn write(&self, connector: &str, entries: Vec<(Object, Option<Object>)>) -> Result<()> {
        if !self.lease.holds(self.number) {
            return Err(Error::retriable(format!("store source offsets of connector {connector}"))
                .caused_by(Withheld(
                    "this worker has lost its place in the group since the task was started, and \
                     another may have gone on from there; the task is started again if the work \
                     is still this worker's",
                )));
        }
        self.store.write(connector, entries.clone()).await?;
        let mut stored = self.stored();
        for (partition, offset) in entries {
            let text = serde_json::to_string(&partition).unwrap_or_default();
            match offset {
                Some(offset) => drop(stored.insert(text, (partition, offset))),
                None => drop(stored.remove(&text)),
            }
        }
        Ok(())
    }

    async fn list(&self, connector: &str) -> Result<Vec<(Object, Object)>> {
        self.store.list(connector).await
    }

    async fn keep(&self, connector: &str) -> Result<()> {
        let own: Vec<(Object, Object)> = self.stored().values().cloned().collect();
        if own.is_empty() || !self.lease.holds(self.number) {
            return Ok(());
        }
        let there = self.store.list(connector).await?;
        let stands = |own: &(Object, Object)| there.contains(own);
        let changed: Vec<_> = own.into_iter().filter(|own| !stands(own)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let partitions: Vec<String> = changed
            .iter()
            .map(|(partition, _)| serde_json::to_string(partition).unwrap_or_default())
            .collect();
        tracing::warn!(
            "the offsets of connector {connector} for {} were written by somebody else while its \
             task runs here, perhaps by a worker that hung; storing the task's own again",
            partitions.join(", ")
        );
        let entries = changed.into_iter().map(|(partition, offset)| (partition, Some(offset)));
        self.write(connector, entries.collect()).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[derive(Default)]
    struct Topic(Mutex<Vec<(Object, Object)>>);

    #[async_trait]
    impl OffsetStore for Topic {
        async fn read(&self, _: &str, _: &Object) -> Result<Option<Object>> {
            Ok(None)
        }

        async fn write(&self, _: &str, entries: Vec<(Object, Option<Object>)>) -> Result<()> {
            let mut all = self.0.lock().unwrap();
            for (partition, offset) in entries {
                all.retain(|(known, _)| *known != partition);
                all.extend(offset.map(|offset| (partition, offset)));
            }
            Ok(())
        }

        async fn list(&self, _: &str) -> Result<Vec<(Object, Object)>> {
            Ok(self.0.lock().unwrap().clone())
        }
    }

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    /// One partition at an offset.
    fn at(number: u64) -> Vec<(Object, Option<Object>)> {
        vec![(object(r#"{"a":1}"#), Some(object(&format!(r#"{{"n":{number}}}"#))))]
    }

    async fn stands(topic: &Topic) -> u64 {
        topic.list("c").await.unwrap()[0].1["n"].as_u64().unwrap()
    }

    #[tokio::test]
    async fn a_task_stores_while_the_membership_lasts() {
        let topic = Arc::new(Topic::default());
        let lease = Arc::new(Lease::fresh(Duration::from_secs(60)));
        let task = Leased::new(topic.clone(), lease.clone());
        task.write("c", at(1)).await.unwrap();
        lease.lose();
        // It hung; the next one has gone on meanwhile.
        topic.write("c", at(5)).await.unwrap();
        let refused = task.write("c", at(2)).await.unwrap_err();
        assert!(std::error::Error::source(&refused).unwrap().is::<Withheld>(), "{refused}");
        task.keep("c").await.unwrap();
        assert_eq!(stands(&topic).await, 5);
        lease.renew(Instant::now());
        task.write("c", at(2)).await.unwrap_err();
        task.keep("c").await.unwrap();
        assert_eq!(stands(&topic).await, 5, "another membership is no excuse");
        let again = Leased::new(topic.clone(), lease);
        again.write("c", at(6)).await.unwrap();
        assert_eq!(stands(&topic).await, 6);
    }

    #[tokio::test]
    async fn what_a_late_worker_writes_is_put_right() {
        let topic = Arc::new(Topic::default());
        let lease = Arc::new(Lease::fresh(Duration::from_secs(60)));
        let task = Leased::new(topic.clone(), lease);
        task.keep("c").await.unwrap();
        task.write("c", at(5)).await.unwrap();
        topic.write("c", at(2)).await.unwrap();
        let other = (object(r#"{"a":2}"#), Some(object(r#"{"n":9}"#)));
        topic.write("c", vec![other]).await.unwrap();
        task.keep("c").await.unwrap();
        let there = topic.list("c").await.unwrap();
        assert!(there.contains(&(object(r#"{"a":1}"#), object(r#"{"n":5}"#))), "{there:?}");
        assert!(there.contains(&(object(r#"{"a":2}"#), object(r#"{"n":9}"#))), "not its own");
    }
}
