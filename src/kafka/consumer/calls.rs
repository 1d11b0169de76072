//! What librdkafka tells of in the middle of a poll.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use model::connector::TopicPartition;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;

use super::super::{Context, log};
use crate::metrics::{ClientMetrics, TaskMetrics, Wait};

/// A change of the partitions that a member has. librdkafka waits until it is answered.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
}

/// Keeps the changes for the task, which answers them in its own time.
pub(super) struct Calls {
    who: String,
    context: Context,
    changes: Mutex<VecDeque<Change>>,
    /// How many events librdkafka has handed over beside records and errors.
    count: AtomicU64,
    /// There are records that do not come, whatever the statistics say.
    silent: AtomicBool,
    /// Nobody is there any more to answer.
    closed: AtomicBool,
    /// Told when there is something to poll.
    pub(super) awake: Arc<Notify>,
    metrics: Arc<ClientMetrics>,
    /// Whose task learns of records that wait for it.
    task: Option<Arc<TaskMetrics>>,
}

impl Calls {
    pub(super) fn new(
        who: String,
        metrics: Arc<ClientMetrics>,
        task: Option<Arc<TaskMetrics>>,
    ) -> Self {
        Self {
            context: Context::new(who.clone()),
            who,
            changes: Mutex::default(),
            count: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            awake: Arc::default(),
            metrics,
            task,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Records that are there do not come, or do again.
    pub(super) fn silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
        if let Some(task) = self.task.as_ref().filter(|_| silent) {
            task.health.hopeless(Wait::Poll);
        }
    }

    #[cfg(test)]
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Whether a change waits to be taken.
    pub(super) fn waiting(&self) -> bool {
        !self.changes().is_empty()
    }

    pub(super) fn take(&self) -> Option<Change> {
        self.changes().pop_front()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.context.last_error()
    }

    /// From now on changes are answered at once.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets go of what a change is about, on the way out.
    pub(super) fn answer(&self, consumer: &BaseConsumer<Self>, change: &Change) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let listed = |partitions: &[TopicPartition]| {
            let mut list = TopicPartitionList::new();
            for place in partitions {
                list.add_partition(&place.topic, place.partition);
            }
            list
        };
        let answered = match (change, cooperative) {
            // Not one record of them is taken; nothing begins there.
            (Change::Assigned(partitions), true) => {
                consumer.incremental_assign(&listed(partitions))
            }
            (Change::Revoked(partitions) | Change::Lost(partitions), true) => {
                consumer.incremental_unassign(&listed(partitions))
            }
            (_, false) => consumer.unassign(),
        };
        if let Err(error) = answered {
            tracing::debug!("[{}] while it left the group: {error}", self.who);
        }
    }

    fn changes(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Calls {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        log(&self.who, level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.count.fetch_add(1, Ordering::Relaxed);
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.metrics.update(statistics),
            Err(error) => {
                tracing::debug!("[{}] statistics that cannot be read: {error}", self.who);
            }
        }
        if let (Some(task), Some(lag)) = (&self.task, self.metrics.lag()) {
            // The end of a partition that nothing comes of is not known to them.
            if !self.silent.load(Ordering::Relaxed) {
                task.lag(lag);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A topic that is not there yet is looked for, see `topics`.
        self.context.error(error, reason);
    }
}

impl ConsumerContext for Calls {
    /// Runs within a poll. Without an answer here librdkafka waits for one: an assignment, or the
    /// end of one.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let place =
            |(topic, partition): (&str, i32)| TopicPartition { topic: topic.into(), partition };
        let partitions: Vec<TopicPartition> = (list.elements().iter())
            .map(|element| place((element.topic(), element.partition())))
            .collect();
        let change = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if consumer.assignment_lost() => {
                Change::Lost(partitions)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => Change::Revoked(partitions),
            code => {
                let code = RDKafkaErrorCode::from(code);
                tracing::warn!("[{}] the group's change of partitions failed: {code}", self.who);
                Change::Lost(partitions)
            }
        };
        if self.closed.load(Ordering::SeqCst) {
            self.answer(consumer, &change);
        } else {
            self.changes().push_back(change);
        }
    }

    fn commit_callback(&self, _result: Result<(), KafkaError>, _offsets: &TopicPartitionList) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}
