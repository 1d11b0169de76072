//! Which topics there are for a consumer, looked up as long as it runs.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{consumer::Consumer as _, error::KafkaError, types::RDKafkaRespErr};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Inner, QUESTION, later};
use crate::runtime::subscription::Subscription;

/// Topics of Kafka's own, which a pattern matches only when it is told to.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// How soon a topic that is listed and not there is looked for again, at first.
const MISSING_PAUSE: Duration = Duration::from_millis(100);

/// And how soon in the end: as often as Java's consumer asks (`retry.backoff.max.ms`).
const MISSING_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Follows the names of the cluster's topics.
///
/// A list is subscribed to as far as its topics exist. librdkafka would take a topic that is not
/// there too; but when it then finds it, an eager consumer joins its group anew even while the task
/// still commits what it has to give up, and that commit comes a generation late. A subscription
/// waits until such a change is over.
pub(super) struct Topics {
    subscription: Subscription,
    refresh: Duration,
    internal_excluded: bool,
    /// When to look next; `None` is not before something is missing.
    due: Option<Instant>,
    looking: Option<JoinHandle<Result<BTreeSet<String>, KafkaError>>>,
    /// The pause after the next look for a missing topic.
    pause: Duration,
    /// A topic that was there before is missed by librdkafka.
    missed: bool,
    found: Option<BTreeSet<String>>,
    subscribed: Option<BTreeSet<String>>,
}

impl Topics {
    pub(super) fn new(
        subscription: Subscription,
        refresh: Duration,
        internal_excluded: bool,
    ) -> Self {
        Self {
            subscription,
            refresh,
            internal_excluded,
            due: Some(Instant::now()),
            looking: None,
            pause: MISSING_PAUSE,
            missed: false,
            found: None,
            subscribed: None,
        }
    }

    /// A topic that was there is missing. librdkafka itself would look for it only after
    /// `metadata.max.age.ms`; a look at all topics tells it.
    pub(super) fn look_soon(&mut self) {
        if matches!(self.subscription, Subscription::Topics(_)) {
            self.missed = true;
            if self.due.is_none() {
                self.due = Some(self.again());
            }
        }
    }

    /// Waits for the answer to a question that is being asked, which keeps the client open.
    pub(super) async fn answered(&mut self) {
        if let Some(looking) = self.looking.take() {
            drop(looking.await);
        }
    }

    /// When to look again for what is missing: ever more rarely.
    fn again(&mut self) -> Instant {
        let due = later(self.pause);
        // All topics are looked at for one that was deleted, which may be for good.
        let max = if self.missed { self.refresh } else { MISSING_PAUSE_MAX };
        self.pause = (self.pause * 2).min(max.max(MISSING_PAUSE));
        due
    }

    /// The listed topics that no look has found yet.
    fn unseen(&self) -> Vec<String> {
        match &self.subscription {
            Subscription::Pattern(_) => Vec::new(),
            Subscription::Topics(topics) => {
                let seen = |topic: &&String| {
                    self.subscribed.as_ref().is_some_and(|seen| seen.contains(*topic))
                };
                topics.iter().filter(|topic| !seen(topic)).cloned().collect()
            }
        }
    }

    /// Waits until the topics have been looked up anew. Cancel-safe.
    pub(super) async fn look(&mut self, inner: &Arc<Inner>, who: &str) {
        if self.looking.is_none() {
            match self.due {
                None => std::future::pending().await,
                Some(due) => tokio::time::sleep_until(due.into()).await,
            }
            let inner = inner.clone();
            let all = self.missed || matches!(self.subscription, Subscription::Pattern(_));
            let unseen = self.unseen();
            // librdkafka blocks its caller.
            self.looking = Some(spawn_blocking(move || topics(&inner, all, &unseen)));
        }
        let Some(looking) = &mut self.looking else { return };
        let looked = looking.await;
        self.looking = None;
        match looked {
            Ok(Ok(names)) => {
                self.due = self.next(&names);
                self.found = Some(names);
            }
            Ok(Err(error)) => {
                tracing::warn!("[{who}] the cluster's topics were not listed: {error}");
                self.due = Some(self.again());
            }
            Err(error) => {
                tracing::warn!("[{who}] the look at the cluster's topics was cut short: {error}");
                self.due = Some(self.again());
            }
        }
    }

    /// When to look again.
    fn next(&mut self, names: &BTreeSet<String>) -> Option<Instant> {
        let complete = match &self.subscription {
            Subscription::Pattern(_) => {
                self.pause = MISSING_PAUSE;
                return Some(later(self.refresh));
            }
            Subscription::Topics(topics) if self.missed => topics.is_subset(names),
            Subscription::Topics(_) => self.unseen().iter().all(|topic| names.contains(topic)),
        };
        if complete {
            self.pause = MISSING_PAUSE;
            self.missed = false;
            return None;
        }
        Some(self.again())
    }

    /// What is to be subscribed to, when that has changed.
    pub(super) fn subscription(&mut self) -> Option<BTreeSet<String>> {
        let found = self.found.take()?.into_iter();
        let wanted: BTreeSet<String> = match &self.subscription {
            // A topic that is deleted may come back; librdkafka follows both.
            Subscription::Topics(topics) => {
                let new = found.filter(|name| topics.contains(name));
                new.chain(self.subscribed.iter().flatten().cloned()).collect()
            }
            Subscription::Pattern(_) => {
                let internal = |name: &str| self.internal_excluded && INTERNAL.contains(&name);
                found.filter(|name| !internal(name) && self.subscription.covers(name)).collect()
            }
        };
        if self.subscribed.as_ref() == Some(&wanted) {
            return None;
        }
        self.subscribed = Some(wanted.clone());
        Some(wanted)
    }

    /// What is still waited for, in words.
    pub(super) fn waits_for(&self) -> Option<String> {
        match &self.subscription {
            Subscription::Pattern(_) => {
                let none = self.subscribed.as_ref().is_some_and(BTreeSet::is_empty);
                none.then(|| "no topic matches topics.regex yet".into())
            }
            Subscription::Topics(_) => {
                let unseen = self.unseen();
                (!unseen.is_empty()).then(|| format!("not there yet: topics {}", unseen.join(", ")))
            }
        }
    }
}

/// Names of topics that exist: of all of them when `all` is wanted, and those of `asked`. To ask
/// for a topic by its name is to have it created, where client and brokers allow that. Blocks.
fn topics(inner: &Inner, all: bool, asked: &[String]) -> Result<BTreeSet<String>, KafkaError> {
    let mut names = BTreeSet::new();
    if all {
        let metadata = inner.fetch_metadata(None, QUESTION)?;
        names.extend(metadata.topics().iter().map(|topic| topic.name().to_owned()));
    }
    for topic in asked {
        if names.contains(topic) {
            continue;
        }
        let metadata = inner.fetch_metadata(Some(topic), QUESTION)?;
        // Whatever else is wrong with a topic, its subscription tells.
        let there = |error: Option<RDKafkaRespErr>| {
            !matches!(
                error,
                Some(
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                        | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                        | RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
                )
            )
        };
        if metadata.topics().iter().any(|found| there(found.error())) {
            names.insert(topic.clone());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use model::connector::Props;

    use super::*;

    fn topics(key: &str, value: &str, internal_excluded: bool) -> Topics {
        let props = Props::from([(key.to_owned(), value.to_owned())]);
        let subscription = Subscription::new(&props).unwrap();
        Topics::new(subscription, Duration::from_secs(7), internal_excluded)
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_pattern_follows_the_topics() {
        let mut topics = topics("topics.regex", "(a|__).*", true);
        assert_eq!(topics.subscription(), None, "nothing was looked up");
        for (found, wanted) in [
            (&["b"][..], Some(&[][..])),
            (&["b", "a1", "__consumer_offsets"][..], Some(&["a1"][..])),
            (&["a1", "c"][..], None),
            (&["a1", "a2", "__mine"][..], Some(&["__mine", "a1", "a2"][..])),
        ] {
            topics.found = Some(names(found));
            assert_eq!(topics.subscription(), wanted.map(names), "{found:?}");
            assert!(topics.next(&names(found)).is_some(), "it looks again");
        }
        let mut all = super::tests::topics("topics.regex", "__.*", false);
        all.found = Some(names(&["__consumer_offsets"]));
        assert_eq!(all.subscription(), Some(names(&["__consumer_offsets"])));
    }

    /// Of a list what is there is subscribed to, and the rest is looked for.
    #[test]
    fn a_list_is_looked_for_while_it_is_incomplete() {
        let mut topics = topics("topics", "a,b", true);
        assert_eq!(topics.subscription(), None, "nothing was looked up");
        for (found, wanted, complete, waits) in [
            (&[][..], Some(&[][..]), false, Some("not there yet: topics a, b")),
            (&["a"][..], Some(&["a"][..]), false, Some("not there yet: topics b")),
            (&[][..], None, false, Some("not there yet: topics b")),
            (&["b"][..], Some(&["a", "b"][..]), true, None),
        ] {
            let next = topics.next(&names(found));
            assert_eq!(next.is_none(), complete, "{found:?}");
            topics.found = Some(names(found));
            assert_eq!(topics.subscription(), wanted.map(names), "{found:?}");
            assert_eq!(topics.waits_for().as_deref(), waits, "{found:?}");
        }
        // A topic that goes is looked for among all; its subscription stays.
        topics.due = None;
        topics.look_soon();
        assert!(topics.due.is_some() && topics.missed);
        assert!(topics.next(&names(&["b", "c"])).is_some());
        topics.found = Some(names(&["b", "c"]));
        assert_eq!(topics.subscription(), None);
        assert!(topics.next(&names(&["a", "b", "c"])).is_none());
        assert!(!topics.missed);
    }
}
