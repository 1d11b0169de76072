//! The consumer of a sink task: a member of the group that all tasks of the connector form.
//!
//! # Who does what
//!
//! librdkafka fetches ahead on threads of its own, into a queue that is bounded in bytes
//! (`queued.max.messages.kbytes`), and sends heartbeats. What it finds is taken out of the queue by
//! [`KafkaConsumer::poll`] and by nothing else, in the task's own future and without blocking it:
//! librdkafka says when the queue is no longer empty. So the sink is slow at nobody's expense: while
//! it writes, nothing is polled, and when that takes longer than `max.poll.interval.ms`, librdkafka
//! leaves the group as Java's consumer does; the next poll tells that the partitions are lost.
//!
//! # Rebalances
//!
//! librdkafka tells of a change of partitions in the middle of a poll and then waits for the answer
//! as long as it takes. [`calls::Calls`] keeps the change, the poll ends with the records that came
//! before it, and the next one hands the change out. The answer is given in
//! [`KafkaConsumer::accept`] and [`KafkaConsumer::release`], when the sink has opened or committed
//! and closed. What was fetched of a partition that is let go is dropped by librdkafka.
//!
//! An eager consumer is told of the end of an assignment before it is given another; except that
//! librdkafka joins the group anew at once, and tells of nothing, when a topic that it knows changes
//! while it waits for an answer. The next assignment then comes on top of the last one, whose
//! partitions may be another member's already: they are lost.
//!
//! # Topics
//!
//! librdkafka knows regular expressions, but not Java's. So `topics.regex` is matched here against
//! the names of all topics, when the consumer begins and each `metadata.max.age.ms`, and the topics
//! that match are subscribed to. Of a list the topics that exist are, see [`topics::Topics`].

mod calls;
mod ends;
mod positions;
mod read;
#[cfg(test)]
mod tests;
mod topics;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use model::{
    connector::{Offsets, Props, TopicPartition},
    error::{Error, Result},
};
use rdkafka::{
    Offset,
    consumer::{BaseConsumer, CommitMode, Consumer as _, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::spawn_blocking;

use self::{
    calls::{Calls, Change},
    ends::Ends,
    positions::{list, refused},
    topics::Topics,
};
use super::{config, silence::TASK_LOOK};
use crate::metrics::ClientKind;
use crate::runtime::{
    subscription::Subscription,
    transport::{Client, Consumer, EncodedHeaders, Event},
};

/// Without a word from librdkafka it is asked all the same, once in this time: it wants to be asked
/// at least each `max.poll.interval.ms`, and its notices are about the queue alone.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// How long one question to the brokers may take; it is asked again while the task runs.
const QUESTION: Duration = Duration::from_secs(10);

/// The pauses between such questions.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a consumer that closes waits for questions that are being asked.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

type Inner = BaseConsumer<Calls>;

pub(super) struct KafkaConsumer {
    /// `None` once closed.
    inner: Option<Arc<Inner>>,
    topics: Topics,
    servers: String,
    group: String,
    records_max: usize,
    reset: Option<Offset>,
    /// The change that has been told of and not been answered.
    open: Option<Change>,
    /// A change that is told of when the loss of what it takes the place of has been.
    after_loss: Option<Change>,
    /// What an eager consumer has.
    taken: BTreeSet<TopicPartition>,
    /// The partitions that are read, and the offset from which.
    began: Offsets,
    ends: Ends,
    /// librdkafka keeps to itself whether a partition is paused, over the end of its assignment too.
    paused: BTreeSet<TopicPartition>,
    /// An error that came after records of the same poll.
    failed: Option<Error>,
    names: HashMap<String, Arc<str>>,
    none: EncodedHeaders,
    who: String,
}

impl KafkaConsumer {
    pub(super) fn new(worker: &Props, client: &Client) -> Result<Self> {
        let mut settings = config::consumer(worker, &client.connector, client.task, &client.props)?;
        let subscription = Subscription::new(&client.props)?;
        let who = format!("{}|task-{}", client.connector, client.task);
        let metrics = super::measure(&mut settings.client, ClientKind::Consumer, &client.metrics);
        let task = client.metrics.find(&client.connector, client.task);
        let calls = Calls::new(who.clone(), metrics, task);
        let awake = calls.awake.clone();
        let mut inner: Inner = settings.client.create_with_context(calls).map_err(|error| {
            Error::fatal(format!("Kafka consumer for {} cannot start", settings.servers))
                .caused_by(error)
        })?;
        inner.set_nonempty_callback(move || awake.notify_one());
        Ok(Self {
            inner: Some(Arc::new(inner)),
            topics: Topics::new(subscription, settings.refresh, settings.internal_excluded),
            servers: settings.servers,
            group: settings.group,
            records_max: settings.records_max,
            reset: settings.reset,
            open: None,
            after_loss: None,
            taken: BTreeSet::new(),
            began: Offsets::new(),
            ends: Ends::new(TASK_LOOK),
            paused: BTreeSet::new(),
            failed: None,
            names: HashMap::new(),
            none: Arc::new([]),
            who,
        })
    }

    fn inner(&self) -> &Arc<Inner> {
        self.inner.as_ref().expect("closed only by close and drop, which end the consumer")
    }

    fn cooperative(&self) -> bool {
        matches!(self.inner().rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    /// Follows a look at the cluster's topics.
    fn looked(&mut self) -> Result<()> {
        let inner = self.inner().clone();
        let Some(wanted) = self.topics.subscription() else { return Ok(()) };
        if let Some(waits) = self.topics.waits_for() {
            tracing::warn!("[{}] {waits}", self.who);
        }
        if wanted.is_empty() {
            inner.unsubscribe();
            return Ok(());
        }
        tracing::debug!("[{}] subscribes to {wanted:?}", self.who);
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        inner.subscribe(&names).map_err(|error| {
            Error::fatal(format!("group {} cannot subscribe to its topics", self.group))
                .caused_by(error)
        })
    }
}

fn cannot(what: &str) -> impl FnOnce(KafkaError) -> Error {
    move |error| Error::fatal(format!("{what} failed")).caused_by(error)
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self) -> Result<Event> {
        loop {
            let change = self.after_loss.take().or_else(|| self.inner().context().take());
            if let Some(change) = change {
                if matches!(change, Change::Assigned(_)) && !self.taken.is_empty() {
                    self.after_loss = Some(change);
                    return Ok(Event::Lost(self.taken.iter().cloned().collect()));
                }
                self.open = Some(change.clone());
                return Ok(match change {
                    Change::Assigned(partitions) => Event::Assigned(partitions),
                    Change::Revoked(partitions) => Event::Revoked(partitions),
                    Change::Lost(partitions) => Event::Lost(partitions),
                });
            }
            let received = self.drain()?;
            if !received.is_empty() {
                self.inner().context().silent(false);
                return Ok(Event::Records(received));
            }
            let inner = self.inner().clone();
            if inner.context().waiting() {
                continue;
            }
            tokio::select! {
                () = inner.context().awake.notified() => {}
                () = self.topics.look(&inner, &self.who) => self.looked()?,
                ends = self.ends.look(&inner, &self.began) => self.looked_at_ends(&ends),
                () = tokio::time::sleep(ASK_INTERVAL) => {}
            }
        }
    }

    async fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let offsets = self.positions(partitions).await?;
        let assignment =
            list(offsets.iter().map(|(place, offset)| (place, Offset::Offset(*offset))))?;
        let answered = match self.cooperative() {
            true => self.inner().incremental_assign(&assignment),
            false => {
                self.taken = partitions.iter().cloned().collect();
                self.inner().assign(&assignment)
            }
        };
        answered.map_err(cannot("taking up partitions"))?;
        self.open = None;
        self.began.extend(offsets.clone());
        self.ends.forget();
        Ok(offsets)
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let gone = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
        // Whoever has them next, if it is this task, finds them as new ones are. What is fetched of
        // them in between is dropped.
        let paused: Vec<TopicPartition> =
            partitions.iter().filter(|place| self.paused.contains(place)).cloned().collect();
        if !paused.is_empty() {
            self.resume(&paused).await?;
        }
        self.taken.clear();
        self.began.retain(|place, _| !partitions.contains(place));
        self.ends.forget();
        if self.after_loss.is_some() {
            // librdkafka waits for the answer to the assignment, and for no other.
            return Ok(());
        }
        let answered = match self.cooperative() {
            true => self.inner().incremental_unassign(&gone),
            false => self.inner().unassign(),
        };
        answered.map_err(cannot("letting go of partitions"))?;
        self.open = None;
        Ok(())
    }

    fn commit(&mut self, offsets: Offsets) -> BoxFuture<'static, Result<()>> {
        let inner = self.inner().clone();
        // Begun at once, so that commits arrive in the order in which they are made.
        let commit = spawn_blocking(move || {
            let wanted = offsets.iter().map(|(place, offset)| (place, Offset::Offset(*offset)));
            let committed = inner.commit(&list(wanted)?, CommitMode::Sync);
            committed.map_err(|error| refused("Kafka did not take the group's offsets", &error))
        });
        Box::pin(async move {
            commit.await.unwrap_or_else(|error| {
                Err(Error::retriable("the commit was cut short").caused_by(error))
            })
        })
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        for (place, offset) in offsets {
            if let Some(began) = self.began.get_mut(place) {
                *began = *offset;
            }
        }
        let deadline = later(QUESTION);
        let mut wanted: Vec<(TopicPartition, i64)> =
            offsets.iter().map(|(place, offset)| (place.clone(), *offset)).collect();
        while !wanted.is_empty() {
            let asked = list(wanted.iter().map(|(place, at)| (place, Offset::Offset(*at))))?;
            let inner = self.inner().clone();
            let sought = spawn_blocking(move || inner.seek_partitions(asked, QUESTION)).await;
            let sought = sought
                .map_err(|error| Error::fatal("seeking was cut short").caused_by(error))?
                .map_err(cannot("continuing at other offsets"))?;
            let mut early = BTreeSet::new();
            for element in sought.elements() {
                match element.error() {
                    // A partition that was just taken up is not being fetched yet.
                    Err(error)
                        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State)
                            && Instant::now() < deadline =>
                    {
                        early.insert((element.topic().to_owned(), element.partition()));
                    }
                    answer => answer.map_err(cannot("continuing at another offset"))?,
                }
            }
            wanted.retain(|(place, _)| early.contains(&(place.topic.to_string(), place.partition)));
            if !wanted.is_empty() {
                tokio::time::sleep(PAUSE / 5).await;
            }
        }
        Ok(())
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let listed = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
        self.inner().pause(&listed).map_err(cannot("pausing partitions"))?;
        self.paused.extend(partitions.iter().cloned());
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let listed = list(partitions.iter().map(|place| (place, Offset::Invalid)))?;
        self.inner().resume(&listed).map_err(cannot("resuming partitions"))?;
        self.paused.retain(|place| !partitions.contains(place));
        Ok(())
    }

    async fn close(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            let open = self.open.take().or(self.after_loss.take());
            // The group is left when the last user of the client is gone.
            let questions = async {
                if let Some(asking) = self.ends.question() {
                    drop(asking.await);
                }
                self.topics.answered().await;
            };
            let _late = tokio::time::timeout(ANSWER_WAIT, questions).await;
            let left = spawn_blocking(move || leave(inner, open)).await;
            if let Err(error) = left {
                tracing::warn!("[{}] leaving group {} failed: {error}", self.who, self.group);
            }
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let open = self.open.take().or(self.after_loss.take());
            // Leaving a group blocks, which an async worker thread must not.
            std::thread::spawn(move || leave(inner, open));
        }
    }
}

/// Leaves the group and ends the client. From here on every change is answered at once: nothing is
/// read and nothing committed any more.
fn leave(inner: Arc<Inner>, open: Option<Change>) {
    let calls = inner.context().clone();
    calls.close();
    for change in open.into_iter().chain(std::iter::from_fn(|| calls.take())) {
        calls.answer(&inner, &change);
    }
    drop(inner);
}

/// When a thing is due, and the next time after it.
pub(super) fn later(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400))
}
