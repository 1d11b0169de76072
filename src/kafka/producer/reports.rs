//! What a producer hears of its records and of its brokers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::error::Error;
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
    statistics::Statistics,
};
use tokio::time::Instant;

use crate::{
    kafka::{Complaints, log, silence::TASK_LOOK},
    metrics::{ClientMetrics, TaskMetrics, Wait},
    runtime::transport::Ticket,
};

/// For how long after a connection broke records that stay are taken for its consequence.
const AFTERMATH: Duration = Duration::from_secs(600);

/// Receives the delivery reports, on the producer's polling thread.
pub(super) struct Reports {
    who: String,
    complaints: Complaints,
    metrics: Arc<ClientMetrics>,
    /// Whose task learns of records that stay.
    task: Option<Arc<TaskMetrics>>,
    stay: Mutex<Stay>,
}

/// Whether the client has lost hold of a partition, see [`crate::kafka::silence`].
#[derive(Default)]
struct Stay {
    /// When a connection broke last.
    broken: Option<Instant>,
    /// Since when a broker is there.
    up: Option<Instant>,
}

impl Stay {
    /// Takes what statistics tell: whether a broker is there, and for how long the oldest record has
    /// waited to be stored. `true` when it will not be; said once for each break.
    fn look(&mut self, up: bool, waited: Duration, now: Instant) -> bool {
        if !up {
            self.up = None;
            return false;
        }
        let up = *self.up.get_or_insert(now);
        let recent = self.broken.is_some_and(|broken| now.duration_since(broken) < AFTERMATH);
        let lost = recent && now.duration_since(up) >= TASK_LOOK && waited >= TASK_LOOK;
        if lost {
            self.broken = None;
        }
        lost
    }
}

impl Reports {
    pub(super) fn new(
        who: String,
        metrics: Arc<ClientMetrics>,
        task: Option<Arc<TaskMetrics>>,
    ) -> Self {
        let (complaints, stay) = (Complaints::default(), Mutex::default());
        Self { who, complaints, metrics, task, stay }
    }

    fn stay(&self) -> MutexGuard<'_, Stay> {
        self.stay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.who, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.stay().broken = Some(Instant::now());
        self.complaints.log(&self.who, &error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().any(|broker| broker.state == "UP");
        if let Some(task) = &self.task {
            let waited = Duration::from_millis(task.health.waited_ms(Wait::Ack));
            if self.stay().look(up, waited, Instant::now()) {
                tracing::warn!(
                    "[{}] records have not been stored for {} s although brokers are there again: \
                     the Kafka client has lost hold of a partition",
                    self.who,
                    waited.as_secs()
                );
                task.health.hopeless(Wait::Ack);
            }
        }
        self.metrics.update(statistics);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        match result {
            Ok(_) => ticket.done(1),
            Err((error, message)) => match error.rdkafka_error_code() {
                // Given up because the task closes: not stored, and nobody's fault.
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {}
                _ => {
                    let topic = message.topic();
                    let size =
                        [message.key(), message.payload()].map(|part| part.map_or(0, <[u8]>::len));
                    ticket.failed(topic, lost(topic, size, error.clone()));
                }
            },
        }
    }
}

/// Why a record was not stored, with the sizes of its key and value in bytes.
pub(super) fn lost(topic: &str, [key, value]: [usize; 2], error: KafkaError) -> Error {
    let too_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
    let advice = match too_large {
        true => {
            "; raise the connector's producer.override.max.request.size, and the topic's \
             max.message.bytes where the broker refuses it"
        }
        false => "",
    };
    Error::fatal(format!(
        "store a record in topic {topic} (key {key} bytes, value {value} bytes){advice}"
    ))
    // As text: the error's own cause says the same once more.
    .caused_by(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_stay_after_the_brokers_are_back() {
        const LONG: Duration = Duration::from_secs(40);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stay = Stay::default();
        // However long it takes: no connection was lost.
        assert!(!stay.look(true, LONG, at(0)) && !stay.look(true, LONG, at(100)));
        stay.broken = Some(at(100));
        assert!(!stay.look(false, LONG, at(100)));
        assert!(!stay.look(true, LONG, at(110)) && !stay.look(true, LONG, at(139)));
        // Another broker stays away, and is complained of.
        stay.broken = Some(at(139));
        assert!(!stay.look(true, Duration::from_secs(5), at(140)), "records are stored");
        assert!(stay.look(true, LONG, at(150)), "half a minute after a broker was back");
        assert!(!stay.look(true, LONG, at(200)), "told once");
        stay.broken = Some(at(300));
        assert!(!stay.look(true, LONG, at(1_000)), "long ago");
    }
}
