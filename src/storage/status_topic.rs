//! The status topic: how connectors and tasks are doing, and which topics they use. Every worker
//! writes what it runs; every worker reads all.
//!
//! # Writing
//!
//! A status is handed to the client and its writer goes on. When it does not arrive, it is tried
//! again, unless it is outdated by then: the same thing has got a newer status, it is gone, the group
//! has moved on to another generation, or another worker has spoken since. A worker that comes back
//! after an hour without Kafka so does not say what was true an hour ago. The last words of one that is
//! cut off are sent only after the topic has been read, see [`StatusStore::cut_off`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use model::{connector::Props, error::Result};
use rdkafka::error::KafkaError;
use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    log::{KafkaLog, Record, Which, lasts},
    status_state::{Status, StatusState, Subject, TopicStatus},
    writer::Delivery,
};

/// The status topic.
pub struct StatusStore {
    inner: Arc<Inner>,
}

struct Inner {
    log: KafkaLog,
    shared: Arc<Mutex<Shared>>,
    /// The group is out of reach, and others may have the work.
    cut_off: AtomicBool,
    /// The numbers of the writes that have been handed to the client and not come back from it.
    on_way: watch::Sender<BTreeSet<u64>>,
    runtime: Handle,
    stop: CancellationToken,
}

struct Shared {
    state: StatusState,
    /// Of the last status written here.
    generation: i32,
    /// The number of the newest write of each thing that has not arrived yet.
    writes: BTreeMap<Subject, u64>,
    last_write: u64,
}

impl Shared {
    fn new() -> Self {
        Self {
            state: StatusState::default(),
            generation: 0,
            writes: BTreeMap::new(),
            last_write: 0,
        }
    }

    fn apply(&mut self, record: Record<'_>) {
        let Some(gone) = self.state.apply(record.key, record.value) else { return };
        if let Subject::Connector(name) = &gone {
            self.writes.retain(|subject, _| !matches!(subject, Subject::Task(of, _) if of == name));
        }
        self.writes.remove(&gone);
    }

    fn claim(&mut self, subject: &Subject) -> u64 {
        self.last_write += 1;
        self.writes.insert(subject.clone(), self.last_write);
        self.last_write
    }

    /// Whether a write that has failed is still to be made.
    fn wanted(&self, write: &Write) -> bool {
        let newest = self.writes.get(&write.subject) == Some(&write.number);
        newest
            && write.generation.is_none_or(|generation| generation == self.generation)
            && write.safe.as_ref().is_none_or(|status| self.state.safe(&write.subject, status))
    }

    /// Whether to make the write again; if not, nothing of it is on its way any more.
    fn again(&mut self, write: &Write) -> bool {
        let wanted = self.wanted(write);
        if !wanted {
            self.done(write);
        }
        wanted
    }

    fn done(&mut self, write: &Write) {
        if self.writes.get(&write.subject) == Some(&write.number) {
            self.writes.remove(&write.subject);
        }
    }
}

/// A status on its way to the topic.
struct Write {
    subject: Subject,
    value: Option<Vec<u8>>,
    number: u64,
    generation: Option<i32>,
    /// Written only while this overwrites no later worker's word.
    safe: Option<Status>,
}

/// The pauses between the attempts at a write.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long the topic may take to be read before a last word is tried again.
const READ_WITHIN: Duration = Duration::from_secs(10);

impl StatusStore {
    /// Creates or checks the topic and reads it to its end.
    pub async fn open(worker: &Props) -> Result<Self> {
        let shared = Arc::new(Mutex::new(Shared::new()));
        let each = {
            let shared = shared.clone();
            move |record: Record<'_>| lock(&shared).apply(record)
        };
        let log = KafkaLog::open(worker, Which::Statuses, each).await?;
        let (runtime, stop) = (Handle::current(), CancellationToken::new());
        let (on_way, _) = watch::channel(BTreeSet::new());
        Ok(Self {
            inner: Arc::new(Inner {
                log,
                shared,
                cut_off: AtomicBool::new(false),
                on_way,
                runtime,
                stop,
            }),
        })
    }

    pub fn put_connector(&self, name: &str, status: Status) {
        self.put(Subject::Connector(name.to_owned()), status);
    }

    /// Like [`StatusStore::put_connector`], unless a later worker has spoken of the connector. For a
    /// worker's last word: that it has failed, or stopped.
    pub fn put_connector_safe(&self, name: &str, status: Status) {
        self.put_safe(Subject::Connector(name.to_owned()), status);
    }

    pub fn put_task(&self, connector: &str, task: usize, status: Status) {
        self.put(Subject::Task(connector.to_owned(), task), status);
    }

    /// Like [`StatusStore::put_connector_safe`], for a task.
    pub fn put_task_safe(&self, connector: &str, task: usize, status: Status) {
        self.put_safe(Subject::Task(connector.to_owned(), task), status);
    }

    /// The connector is destroyed: its status, and with it those of its tasks, are forgotten.
    pub fn remove_connector(&self, name: &str, generation: i32) {
        self.write(Subject::Connector(name.to_owned()), None, Some(generation), None);
    }

    /// The task is destroyed.
    pub fn remove_task(&self, connector: &str, task: usize, generation: i32) {
        self.write(Subject::Task(connector.to_owned(), task), None, Some(generation), None);
    }

    /// Notes that a connector uses a topic.
    pub fn put_topic(&self, status: &TopicStatus) {
        let subject =
            Subject::Topic { connector: status.connector.clone(), topic: status.topic.clone() };
        self.write(subject, Some(status.bytes()), None, None);
    }

    /// Forgets that a connector uses a topic.
    pub fn remove_topic(&self, connector: &str, topic: &str) {
        let subject = Subject::Topic { connector: connector.to_owned(), topic: topic.to_owned() };
        self.write(subject, None, None, None);
    }

    /// The connector's status, as far as the topic has been read.
    pub fn connector(&self, name: &str) -> Option<Status> {
        self.shared().state.status(&Subject::Connector(name.to_owned())).cloned()
    }

    pub fn task(&self, connector: &str, task: usize) -> Option<Status> {
        self.shared().state.status(&Subject::Task(connector.to_owned(), task)).cloned()
    }

    /// The statuses of a connector's tasks, by number.
    pub fn tasks(&self, connector: &str) -> BTreeMap<usize, Status> {
        self.shared().state.tasks(connector)
    }

    /// Whether something is being told of a connector here that has not arrived yet.
    pub fn tells_of(&self, name: &str) -> bool {
        self.shared().writes.contains_key(&Subject::Connector(name.to_owned()))
    }

    /// The same of a task.
    pub fn tells_of_task(&self, connector: &str, task: usize) -> bool {
        self.shared().writes.contains_key(&Subject::Task(connector.to_owned(), task))
    }

    /// The topics a connector uses, sorted.
    pub fn topics(&self, connector: &str) -> Vec<TopicStatus> {
        self.shared().state.topics(connector)
    }

    pub fn topic(&self, connector: &str, topic: &str) -> Option<TopicStatus> {
        self.shared().state.topic(connector, topic).cloned()
    }

    /// The connectors of which a status is kept, sorted; also those that are not configured any more.
    pub fn connectors(&self) -> Vec<String> {
        self.shared().state.connectors()
    }

    /// Whether the group is out of reach. A last word is then not sent before the topic has been read:
    /// on its way through a broken network it could arrive after a successor's word, even if this
    /// worker is no more.
    pub fn cut_off(&self, cut_off: bool) {
        self.inner.cut_off.store(cut_off, Ordering::SeqCst);
    }

    /// Reads the topic to its end.
    pub async fn refresh(&self, within: Duration) -> Result<()> {
        self.inner.log.read_to_end(within).await
    }

    /// Waits for what is on its way: before another worker may speak of the same things. The client's
    /// own way to wait would look only ten times a second whether all has arrived.
    pub async fn flush(&self, within: Duration) {
        let last = self.shared().last_write;
        let mut on_way = self.inner.on_way.subscribe();
        let sent = on_way.wait_for(|on_way| on_way.first().is_none_or(|first| *first > last));
        if tokio::time::timeout(within, sent).await.is_err() {
            tracing::warn!(
                "not all statuses were sent to topic {} within {} ms",
                self.inner.log.topic(),
                within.as_millis()
            );
        }
    }

    /// Sends what is on its way, then stops following the topic.
    pub async fn close(&self, within: Duration) {
        self.inner.log.close(within).await;
        self.inner.stop.cancel();
    }

    fn put(&self, subject: Subject, status: Status) {
        self.write(subject, Some(status.bytes()), Some(status.generation), None);
    }

    fn put_safe(&self, subject: Subject, status: Status) {
        self.write(subject, Some(status.bytes()), Some(status.generation), Some(status));
    }

    fn write(
        &self,
        subject: Subject,
        value: Option<Vec<u8>>,
        generation: Option<i32>,
        safe: Option<Status>,
    ) {
        let mut shared = self.shared();
        if let Some(generation) = generation {
            shared.generation = generation;
        }
        if safe.as_ref().is_some_and(|status| !shared.state.safe(&subject, status)) {
            return;
        }
        let number = shared.claim(&subject);
        let write = Write { subject, value, number, generation, safe };
        self.inner.on_way.send_if_modified(|on_way| on_way.insert(number));
        // Handed over under the lock, so that the newest write is the last in the queue.
        let attempt = match write.safe {
            Some(_) if self.inner.cut_off.load(Ordering::SeqCst) => Err(KafkaError::Canceled),
            _ => self.inner.attempt(&write),
        };
        drop(shared);
        // Ends with the write, with the store, or when the write is outdated.
        drop(self.inner.runtime.spawn(deliver(self.inner.clone(), write, attempt)));
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.inner.shared)
    }
}

type Attempt = std::result::Result<Delivery, KafkaError>;

impl Inner {
    /// The client is done with the first attempt at a write.
    fn back(&self, write: &Write) {
        self.on_way.send_if_modified(|on_way| on_way.remove(&write.number));
    }

    fn attempt(&self, write: &Write) -> Attempt {
        self.log.enqueue(write.subject.key().as_bytes(), write.value.as_deref())
    }
}

async fn deliver(inner: Arc<Inner>, write: Write, mut attempt: Attempt) {
    let mut pause = PAUSE;
    loop {
        let error = match attempt {
            Err(error) => error,
            Ok(delivery) => match delivery.await {
                Ok(Err(error)) => error,
                // Arrived, or the client is gone.
                Ok(Ok(())) | Err(_) => {
                    inner.back(&write);
                    return lock(&inner.shared).done(&write);
                }
            },
        };
        inner.back(&write);
        let key = write.subject.key();
        if error.rdkafka_error_code().is_some_and(lasts) {
            let topic = inner.log.topic();
            tracing::error!("failed to write status {key} to topic {topic}: {error}");
            return lock(&inner.shared).done(&write);
        }
        let ready = async {
            tokio::time::sleep(pause).await;
            // A last word is said only if nobody has spoken meanwhile, so it is read first what was.
            write.safe.is_none() || inner.log.read_to_end(READ_WITHIN).await.is_ok()
        };
        let ready = tokio::select! {
            () = inner.stop.cancelled() => return,
            ready = ready => ready,
        };
        pause = (pause * 2).min(PAUSE_MAX);
        if !ready {
            attempt = Err(error);
            continue;
        }
        let mut shared = lock(&inner.shared);
        if !shared.again(&write) {
            tracing::debug!("status {key} was not written ({error}) and is outdated now");
            return;
        }
        attempt = inner.attempt(&write);
        drop(shared);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::State;

    fn status(worker: &str, generation: i32) -> Status {
        let worker_id = worker.to_owned();
        Status { state: State::Running, trace: None, worker_id, generation, version: None }
    }

    fn write(shared: &mut Shared, subject: &Subject, status: &Status, safe: bool) -> Write {
        shared.generation = status.generation;
        Write {
            subject: subject.clone(),
            value: Some(status.bytes()),
            number: shared.claim(subject),
            generation: Some(status.generation),
            safe: safe.then(|| status.clone()),
        }
    }

    fn arrive(shared: &mut Shared, subject: &Subject, status: Option<&Status>) {
        let (key, value) = (subject.key(), status.map(Status::bytes));
        let (key, value) = (Some(key.as_bytes()), value.as_deref());
        shared.apply(Record { partition: 0, offset: 0, timestamp_ms: 0, key, value });
    }

    /// When a write that has failed is not tried again.
    #[test]
    fn outdated_writes() {
        let subject = Subject::Task("c".to_owned(), 0);
        let mine = status("a:1", 2);
        for safe in [false, true] {
            let mut shared = Shared::new();
            let first = write(&mut shared, &subject, &mine, safe);
            assert!(shared.wanted(&first));

            let second = write(&mut shared, &subject, &mine, safe);
            assert!(!shared.wanted(&first), "a newer status is on its way");
            assert!(shared.wanted(&second));

            write(&mut shared, &Subject::Connector("d".to_owned()), &status("a:1", 3), safe);
            assert!(!shared.wanted(&second), "the group has a new generation");
            shared.generation = 2;
            assert!(shared.wanted(&second));

            arrive(&mut shared, &subject, Some(&status("b:1", 3)));
            assert_eq!(shared.wanted(&second), !safe, "another worker has spoken since");

            arrive(&mut shared, &Subject::Connector("c".to_owned()), None);
            assert!(!shared.wanted(&second), "the connector is gone");
        }
        let mut shared = Shared::new();
        let only = write(&mut shared, &subject, &mine, false);
        shared.done(&only);
        assert!(shared.writes.is_empty());
        // What is outdated is not taken for something on its way.
        let outdated = write(&mut shared, &subject, &mine, false);
        assert!(shared.again(&outdated) && !shared.writes.is_empty());
        shared.generation = 3;
        assert!(!shared.again(&outdated) && shared.writes.is_empty());
    }
}
