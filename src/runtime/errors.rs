//! What becomes of a sink's bad records: `errors.*`.
//!
//! A record that cannot be converted, or that the sink reports, is logged and sent to the
//! dead-letter queue where that is configured, and then left out or, with `errors.tolerance=none`,
//! the reason for which the task fails. In this order, so that a dead letter is written in either
//! case.
//!
//! A dead letter has the bytes of the record as they were read. It counts as done when the queue's
//! topic holds it, or when it has been given up, which is logged; until then no offset after the
//! record is committed.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use model::{
    connector::TopicPartition,
    error::{Error, RecordError, Result, Stage},
    record::TimestampType,
};
use tokio::time::{Instant, timeout_at};

use super::{
    Tasks,
    settings::{DeadLetterQueue, Settings, Tolerance},
    transport::{Chunk, Client, Deliveries, Encoded, EncodedHeaders, Producer, Received, Ticket},
};
use crate::metrics::TaskMetrics;

/// Between 0 and 1, to spread retries of many tasks: no secret hangs on it, so the clock will do.
pub(super) fn spread() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    f64::from(since.subsec_nanos() % 1_000_000) / 1_000_000.0
}

/// Applies `errors.*` for one sink task.
pub(super) struct Failures {
    /// `connector-task`, as Connect names it in these messages.
    task: String,
    tolerance: Tolerance,
    letters: Option<Letters>,
    metrics: Arc<TaskMetrics>,
}

impl Failures {
    /// Sees to it that the dead-letter queue's topic is there.
    pub(super) async fn open(
        tasks: &Tasks,
        client: &Client,
        settings: &Settings,
        metrics: Arc<TaskMetrics>,
    ) -> Result<Self> {
        let letters = match &settings.dead_letters {
            None => None,
            Some(queue) => Some(Letters {
                producer: tasks.transport.dead_letters(client, queue).await?,
                queue: queue.clone(),
                topic: queue.topic.as_str().into(),
                connector: client.connector.clone(),
                task: client.task,
                deliveries: Deliveries::of_letters(format!(
                    "{}|task-{}",
                    client.connector, client.task
                )),
                open: VecDeque::new(),
            }),
        };
        let task = format!("{}-{}", client.connector, client.task);
        Ok(Self { task, tolerance: settings.tolerance.clone(), letters, metrics })
    }

    /// Handles one bad record, at which `class` failed. An error says that it is not tolerated.
    pub(super) async fn report(
        &mut self,
        received: &Received,
        class: &str,
        error: &RecordError,
    ) -> Result<()> {
        let errors = &self.metrics.errors;
        errors.failed(1);
        errors.error(1);
        if self.tolerance.log {
            errors.logged(1);
            tracing::error!("{}", self.text(received, class, error));
        }
        if let Some(letters) = &mut self.letters {
            errors.dead_letter();
            letters.send(received, class, error).await;
        }
        if self.tolerance.all {
            errors.skipped(1);
            return Ok(());
        }
        let cause = Error::fatal(format!(
            "the record at offset {} of topic {} failed in stage {} with {class}",
            received.offset,
            received.encoded().topic,
            error.stage.name()
        ))
        .caused_by(Error::fatal(error.message.clone()));
        Err(Error::fatal("Tolerance exceeded in error handler").caused_by(cause))
    }

    /// Connect's line. Keys and values are never in it: they are people's data.
    fn text(&self, received: &Received, class: &str, error: &RecordError) -> String {
        let record = received.encoded();
        let which = if self.tolerance.messages {
            let time = match (received.timestamp_type, record.timestamp) {
                (TimestampType::NoTimestamp, _) | (_, None) => String::new(),
                (kind, Some(time)) => {
                    format!(", timestamp={time}, timestampType={}", kind.name())
                }
            };
            format!(
                ", where consumed record is {{topic='{}', partition={}, offset={}{time}}}",
                record.topic, received.partition, received.offset
            )
        } else {
            String::new()
        };
        format!(
            "Error encountered in task {}. Executing stage '{}' with class '{class}'{which}. {}",
            self.task,
            error.stage.name(),
            error.message
        )
    }

    /// Waits until the dead letters of these partitions are stored or given up. `false` when they
    /// are not within `limit`.
    pub(super) async fn settled(
        &mut self,
        partitions: &BTreeSet<TopicPartition>,
        limit: Duration,
    ) -> bool {
        let Some(letters) = &mut self.letters else { return true };
        let settled = letters.settled(|of| partitions.contains(of), limit).await;
        self.metrics.errors.dead_letters_failed(letters.deliveries.skipped());
        settled
    }

    /// Another task has these partitions: nobody waits for their dead letters here.
    pub(super) fn forget(&mut self, partitions: &BTreeSet<TopicPartition>) {
        if let Some(letters) = &mut self.letters {
            letters.open.retain(|(of, _)| !partitions.contains(of));
        }
    }

    /// Ends the dead-letter queue's producer; what is under way is waited for as long as `limit`.
    pub(super) async fn close(self, limit: Duration) {
        if let Some(mut letters) = self.letters {
            if !letters.settled(|_| true, limit).await {
                tracing::error!(
                    "[{}] {} dead letters were not stored in topic {} within {} ms",
                    self.task,
                    letters.open.len(),
                    letters.topic,
                    limit.as_millis()
                );
            }
            letters.producer.close().await;
        }
    }
}

/// The way to the dead-letter queue.
struct Letters {
    producer: Box<dyn Producer>,
    queue: DeadLetterQueue,
    topic: Arc<str>,
    connector: Arc<str>,
    task: usize,
    deliveries: Arc<Deliveries>,
    /// Letters that are not done, and the partitions of their records.
    open: VecDeque<(TopicPartition, Arc<Ticket>)>,
}

impl Letters {
    async fn send(&mut self, received: &Received, class: &str, error: &RecordError) {
        let record = received.encoded();
        let key = received.chunk.slice(record.key.as_ref());
        let value = received.chunk.slice(record.value.as_ref());
        let mut bytes =
            Vec::with_capacity(key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
        let mut add = |part: Option<&[u8]>| {
            let start = bytes.len();
            part.map(|part| {
                bytes.extend_from_slice(part);
                start..bytes.len()
            })
        };
        let (key, value) = (add(key), add(value));
        let headers = match self.queue.headers {
            true => self.headers(received, class, error),
            false => record.headers.clone(),
        };
        let letter = Encoded {
            topic: self.topic.clone(),
            partition: None,
            timestamp: record.timestamp,
            key,
            value,
            headers,
        };
        let ticket = Ticket::new(&self.deliveries);
        ticket.expect(1);
        let chunk = Chunk { bytes, records: vec![letter] };
        if let Err(error) = self.producer.send(chunk, &ticket).await {
            ticket.failed(&self.topic, error);
        }
        // The one that `Ticket::new` began with.
        ticket.done(1);
        // They are answered nearly in the order in which they were sent.
        while self.open.front().is_some_and(|(_, ticket)| ticket.complete()) {
            self.open.pop_front();
        }
        self.open.push_back((received.place(), ticket));
    }

    /// The record's own headers, then what went wrong, in Connect's order.
    fn headers(&self, received: &Received, class: &str, error: &RecordError) -> EncodedHeaders {
        let record = received.encoded();
        let exception = exception(error.stage);
        let context = [
            ("topic", record.topic.to_string()),
            ("partition", received.partition.to_string()),
            ("offset", received.offset.to_string()),
            ("connector.name", self.connector.to_string()),
            ("task.id", self.task.to_string()),
            ("stage", error.stage.name().to_owned()),
            ("class.name", class.to_owned()),
            ("exception.class.name", exception.to_owned()),
            ("exception.message", error.message.clone()),
            ("exception.stacktrace", format!("{exception}: {}\n", error.message)),
        ];
        let context = context.into_iter().map(|(name, text)| {
            (Arc::from(format!("__connect.errors.{name}")), Some(Bytes::from(text)))
        });
        record.headers.iter().cloned().chain(context).collect()
    }

    async fn settled(&mut self, of: impl Fn(&TopicPartition) -> bool, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            self.open.retain(|(_, ticket)| !ticket.complete());
            if !self.open.iter().any(|(place, _)| of(place)) {
                return true;
            }
            // A notice between the look and the wait is kept for the wait.
            if timeout_at(deadline, self.deliveries.changed.notified()).await.is_err() {
                return false;
            }
        }
    }
}

/// The exception that the JVM has in a stage when a record is bad: converters and transforms throw
/// Connect's DataException.
fn exception(stage: Stage) -> &'static str {
    match stage {
        Stage::KeyConverter
        | Stage::ValueConverter
        | Stage::HeaderConverter
        | Stage::Transformation => "org.apache.kafka.connect.errors.DataException",
        _ => "org.apache.kafka.connect.errors.ConnectException",
    }
}
