//! Drives a sink task.
//!
//! One loop: poll, decode, `put`, and from time to time `pre_commit`, whose answer is committed to
//! the transport. Calls into the sink run to their end and one at a time; only waiting is cut short.
//!
//! # What happens on …
//!
//! * a retriable error of `put`: the same records again, after a back-off; nothing new is polled;
//! * a record that cannot be decoded or that the sink reports: `errors.tolerance`;
//! * a retriable error of `pre_commit`: what is not committed comes again;
//! * pause: nothing is polled; what is done is committed;
//! * stop: commit, then close.

use std::{collections::BTreeSet, time::Duration};

use model::{
    connector::{Errant, Offsets, SinkConnector, SinkTask, TopicPartition},
    convert::Decoded,
    error::{Error, Kind, RecordError, Result, Stage},
    record::{Data, Header, Record, SinkRecord},
};
use tokio::time::{Instant, timeout_at};

use super::{
    State, Target, Tasks,
    convert::Converters,
    settings::{Backoff, Settings},
    supervise::Context,
    transport::{Consumer, Received},
};

/// Records a call of `put` gets at most: Connect's `max.poll.records` is 500; a larger slice costs
/// nothing and saves round trips of sinks that write in bulk.
const POLL_RECORDS: usize = 2_000;

/// In process a commit is cheap, and sources wait for it to move their offsets.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Without a record for this long, what there is may as well be made durable.
const IDLE: Duration = Duration::from_millis(50);

pub(super) async fn drive(
    tasks: Tasks,
    connector: &'static dyn SinkConnector,
    claim: Result<()>,
    mut context: Context,
) -> Result<()> {
    claim?;
    if !context.begin().await {
        return Ok(());
    }
    let who = context.who();
    let props = context.client.props.clone();
    let settings = Settings::new(&props, &tasks.worker)?;
    let converters = Converters::new(&props, &tasks.worker)?;
    let mut backoff = Backoff::new();
    let task = loop {
        let pairs = props.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let config = connector.config().parse(pairs).map_err(|errors| {
            Error::fatal(format!("the configuration is invalid: {}", errors.join("; ")))
        })?;
        match connector.start(config).await {
            Ok(task) => break task,
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => {
                tracing::warn!("[{who}] could not start: {}; trying again", error.trace());
            }
        }
        if !context.pause_between(backoff.pause()).await {
            return Ok(());
        }
    };
    let mut consumer = tasks.transport.consumer(&context.client).await?;
    let partitions = consumer.partitions();
    let mut driver = Driver {
        who,
        context,
        settings,
        converters,
        task,
        consumer,
        open: BTreeSet::new(),
        current: Offsets::new(),
        committed: Offsets::new(),
        next_commit: Instant::now() + COMMIT_INTERVAL,
    };
    driver.open(partitions).await?;
    driver.context.status.report(State::Running, None);
    let result = driver.work().await;
    driver.close(result.is_ok()).await;
    result
}

struct Driver {
    who: String,
    context: Context,
    settings: Settings,
    converters: Converters,
    task: Box<dyn SinkTask>,
    consumer: Box<dyn Consumer>,
    open: BTreeSet<TopicPartition>,
    /// After the last record of each partition that `put` has taken.
    current: Offsets,
    committed: Offsets,
    next_commit: Instant,
}

impl Driver {
    /// Until the task is to stop (`Ok`) or has failed.
    async fn work(&mut self) -> Result<()> {
        loop {
            let target = *self.context.target.borrow_and_update();
            match target {
                Target::Stopped => return Ok(()),
                Target::Paused => {
                    if !self.hold().await? {
                        return Ok(());
                    }
                    continue;
                }
                Target::Running => {}
            }
            let dirty = self.current != self.committed;
            if dirty && (Instant::now() >= self.next_commit || self.consumer.pressed()) {
                self.commit().await?;
            }
            let idle = (Instant::now() + IDLE).min(self.next_commit.max(Instant::now()));
            let unasked = self.task.put_within().map(|wait| Instant::now() + wait);
            let received = tokio::select! {
                biased;
                changed = self.context.target.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                received = self.consumer.poll(POLL_RECORDS) => received,
                () = tokio::time::sleep_until(idle), if dirty => {
                    self.commit().await?;
                    continue;
                }
                () = tokio::time::sleep_until(unasked.unwrap_or(idle)), if unasked.is_some() => {
                    Vec::new()
                }
            };
            if !self.deliver(&received).await? {
                return Ok(());
            }
        }
    }

    /// Commits, and waits until the task is wanted again. `false` is to stop.
    async fn hold(&mut self) -> Result<bool> {
        self.commit().await?;
        self.context.status.report(State::Paused, None);
        let wanted = self.context.target.wait_for(|target| *target != Target::Paused).await;
        let running = wanted.is_ok_and(|target| *target == Target::Running);
        if running {
            self.context.status.report(State::Running, None);
        }
        Ok(running)
    }

    /// Decodes and puts, again and again while the sink's error may pass. `false` is to stop.
    async fn deliver(&mut self, received: &[Received]) -> Result<bool> {
        let mut records = Vec::with_capacity(received.len());
        let mut reached = Offsets::new();
        for one in received {
            let topic = &one.encoded().topic;
            let partition = TopicPartition { topic: topic.clone(), partition: one.partition };
            reached.insert(partition, one.offset + 1);
            match self.decode(one).await {
                Ok(record) => records.push(record),
                Err(Bad::Record(error)) => self.bad(topic, one.partition, one.offset, &error)?,
                Err(Bad::Task(error)) => return Err(error),
            }
        }
        self.open(reached.keys().cloned().collect()).await?;
        let mut backoff = Backoff::new();
        loop {
            let mut errant = Errant::default();
            match self.task.put(&records, &mut errant).await {
                Ok(()) => {
                    for (index, error) in errant.records {
                        if let Some(record) = records.get(index) {
                            let topic = record.record.topic.clone();
                            self.bad(&topic, record.kafka_partition, record.kafka_offset, &error)?;
                        }
                    }
                    self.current.append(&mut reached);
                    return Ok(true);
                }
                Err(error) if error.kind() == Kind::Fatal => {
                    let message = "Exiting WorkerSinkTask due to unrecoverable exception.";
                    return Err(Error::fatal(message).caused_by(error));
                }
                Err(error) => {
                    let wait = backoff.pause();
                    tracing::warn!(
                        "[{}] {}; the same {} records again in {} ms",
                        self.who,
                        error.trace(),
                        records.len(),
                        wait.as_millis()
                    );
                    let again = Instant::now() + wait;
                    let stop = self.context.target.wait_for(|target| *target == Target::Stopped);
                    if timeout_at(again, stop).await.is_ok() {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Key, value, headers, in Connect's order: the first error is the one reported.
    async fn decode(&mut self, received: &Received) -> Result<SinkRecord, Bad> {
        let (chunk, encoded) = (&received.chunk, received.encoded());
        let topic = &encoded.topic;
        let mut sides = [Data::NULL, Data::NULL];
        let ranges = [encoded.key.as_ref(), encoded.value.as_ref()];
        for (index, (side, range)) in sides.iter_mut().zip(ranges).enumerate() {
            let converter =
                if index == 0 { &mut self.converters.key } else { &mut self.converters.value };
            let mut backoff = Backoff::new();
            *side = loop {
                let bytes = chunk.slice(range);
                match converter.decode(topic, bytes).map_err(Bad::Record)? {
                    Decoded::Data(data) => break data,
                    Decoded::NeedsSchema(id) => match converter.fetch(id).await {
                        Ok(()) => {}
                        Err(error) if error.kind() == Kind::Fatal => return Err(Bad::Task(error)),
                        Err(error) => {
                            tracing::warn!("[{}] {}; trying again", self.who, error.trace());
                            tokio::time::sleep(backoff.pause()).await;
                        }
                    },
                }
            };
        }
        let mut headers = Vec::with_capacity(encoded.headers.len());
        for (name, bytes) in encoded.headers.iter() {
            let data = self
                .converters
                .header
                .decode(topic, name, bytes.as_deref())
                .map_err(Bad::Record)?;
            headers.push(Header { name: name.clone(), data });
        }
        let [key, value] = sides;
        self.context.topics.add(topic);
        Ok(SinkRecord {
            record: Record {
                topic: topic.clone(),
                partition: Some(received.partition),
                key,
                value,
                timestamp: encoded.timestamp,
                headers: headers.into(),
            },
            kafka_partition: received.partition,
            kafka_offset: received.offset,
        })
    }

    /// Applies `errors.tolerance` to a record that cannot be decoded or written.
    fn bad(&self, topic: &str, partition: i32, offset: i64, error: &RecordError) -> Result<()> {
        let tolerance = &self.settings.tolerance;
        let class = match error.stage {
            Stage::KeyConverter => &self.converters.key_class,
            Stage::HeaderConverter => &self.converters.header_class,
            Stage::ValueConverter => &self.converters.value_class,
            _ => "the sink",
        };
        if tolerance.log {
            let which = if tolerance.messages {
                format!(
                    ", where consumed record is {{topic='{topic}', partition={partition}, \
                     offset={offset}}}"
                )
            } else {
                String::new()
            };
            tracing::error!(
                "Error encountered in task {}. Executing stage '{}' with class '{class}'{which}. {}",
                self.who.replace("|task", ""),
                error.stage.name(),
                error.message
            );
        }
        if tolerance.all {
            return Ok(());
        }
        let cause = Error::fatal(format!(
            "the record at offset {offset} of topic {topic} failed in stage {} with {class}",
            error.stage.name()
        ))
        .caused_by(Error::fatal(error.message.clone()));
        Err(Error::fatal("Tolerance exceeded in error handler").caused_by(cause))
    }

    /// Opens those partitions that are not open yet.
    async fn open(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        let new: Vec<TopicPartition> =
            partitions.into_iter().filter(|partition| !self.open.contains(partition)).collect();
        if !new.is_empty() {
            self.task.open(&new).await?;
            self.open.extend(new);
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.next_commit = Instant::now() + COMMIT_INTERVAL;
        if self.current == self.committed {
            return Ok(());
        }
        let durable = match self.task.pre_commit(self.current.clone()).await {
            Ok(durable) => durable,
            Err(error) if error.kind() == Kind::Fatal => return Err(error),
            Err(error) => {
                tracing::error!(
                    "[{}] offsets are not committed, the records since come again: {}",
                    self.who,
                    error.trace()
                );
                self.current = self.committed.clone();
                self.consumer.rewind();
                return Ok(());
            }
        };
        for (partition, offset) in durable {
            match self.current.get(&partition) {
                Some(current) if offset <= *current => {
                    self.committed.insert(partition, offset);
                }
                _ => tracing::warn!(
                    "[{}] the sink says that {} up to offset {offset} is durable, which it was \
                     never given; ignored",
                    self.who,
                    partition.topic
                ),
            }
        }
        self.consumer.commit(&self.committed);
        Ok(())
    }

    async fn close(&mut self, sound: bool) {
        if sound && let Err(error) = self.commit().await {
            tracing::error!("[{}] last commit failed: {}", self.who, error.trace());
        }
        let partitions: Vec<TopicPartition> = self.open.iter().cloned().collect();
        if let Err(error) = self.task.close(&partitions).await {
            tracing::error!("[{}] closing failed: {}", self.who, error.trace());
        }
    }
}

enum Bad {
    Record(RecordError),
    Task(Error),
}
