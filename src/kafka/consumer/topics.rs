//! Which topics there are for a consumer, looked up as long as it runs.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{consumer::Consumer as _, error::KafkaError};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Inner, PAUSE_MAX, QUESTION, later};
use crate::runtime::subscription::Subscription;

/// Topics of Kafka's own, which a pattern matches only when it is told to.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// How soon a topic that is subscribed to and not there is looked for again, at first.
const MISSING_PAUSE: Duration = Duration::from_millis(500);

/// Follows the names of the cluster's topics.
pub(super) struct Topics {
    subscription: Subscription,
    refresh: Duration,
    internal_excluded: bool,
    /// When to look next; `None` is not before something is missing.
    due: Option<Instant>,
    looking: Option<JoinHandle<Result<BTreeSet<String>, KafkaError>>>,
    /// The pause after the next look for a missing topic.
    pause: Duration,
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
            found: None,
            subscribed: None,
        }
    }

    /// A topic is missing. librdkafka itself would look for it only after `metadata.max.age.ms`; a
    /// look at all topics tells it.
    pub(super) fn look_soon(&mut self) {
        if matches!(self.subscription, Subscription::Topics(_)) && self.due.is_none() {
            self.due = Some(later(self.pause));
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    /// Waits until the topics have been looked up anew. Cancel-safe.
    pub(super) async fn look(&mut self, inner: &Arc<Inner>, who: &str) {
        if self.looking.is_none() {
            match self.due {
                None => std::future::pending().await,
                Some(due) => tokio::time::sleep_until(due.into()).await,
            }
            // A list needs no look to be subscribed to.
            if self.subscribed.is_none() && matches!(self.subscription, Subscription::Topics(_)) {
                self.due = None;
                return;
            }
            let inner = inner.clone();
            // librdkafka blocks its caller.
            self.looking = Some(spawn_blocking(move || {
                let metadata = inner.fetch_metadata(None, QUESTION)?;
                Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
            }));
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
                self.due = Some(later(self.pause));
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
            Err(error) => {
                tracing::warn!("[{who}] the look at the cluster's topics was cut short: {error}");
                self.due = Some(later(self.pause));
            }
        }
    }

    /// When to look again.
    fn next(&mut self, names: &BTreeSet<String>) -> Option<Instant> {
        match &self.subscription {
            Subscription::Pattern(_) => {
                self.pause = MISSING_PAUSE;
                Some(later(self.refresh))
            }
            Subscription::Topics(topics) if topics.is_subset(names) => {
                self.pause = MISSING_PAUSE;
                None
            }
            Subscription::Topics(_) => {
                let due = later(self.pause);
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                Some(due)
            }
        }
    }

    /// What is to be subscribed to, when that has changed.
    pub(super) fn subscription(&mut self) -> Option<BTreeSet<String>> {
        let wanted: BTreeSet<String> = match &self.subscription {
            Subscription::Topics(topics) => topics.clone(),
            Subscription::Pattern(_) => {
                let internal = |name: &str| self.internal_excluded && INTERNAL.contains(&name);
                let names = self.found.take()?.into_iter();
                names.filter(|name| !internal(name) && self.subscription.covers(name)).collect()
            }
        };
        if self.subscribed.as_ref() == Some(&wanted) {
            return None;
        }
        self.subscribed = Some(wanted.clone());
        Some(wanted)
    }
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

    /// A list is subscribed to at once, and looked for as long as some of it is missing.
    #[test]
    fn a_list_is_looked_for_while_it_is_incomplete() {
        let mut topics = topics("topics", "a,b", true);
        assert_eq!(topics.subscription(), Some(names(&["a", "b"])));
        assert_eq!(topics.subscription(), None);
        topics.due = None;
        topics.look_soon();
        assert!(topics.due.is_some());
        assert!(topics.next(&names(&["a", "c"])).is_some());
        assert!(topics.next(&names(&["a", "b", "c"])).is_none());
    }
}
