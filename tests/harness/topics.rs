//! Topics from the outside: what is in them, how far they reach, and their end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
    producer::{BaseProducer, BaseRecord, Producer},
};

/// One record, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn consumer(kafka: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "riverrun-tests") // Asked for by the library; no group is joined.
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "20")
        .set("reconnect.backoff.max.ms", "500") // Brokers are restarted under it.
        .create()
        .expect("a consumer")
}

/// A member of the consumer group `group`, once it is one.
pub(crate) fn member(kafka: &str, group: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    super::wait_for("the consumer's part of the topic", PATIENCE, || {
        drop(consumer.poll(Duration::from_millis(100)));
        (consumer.assignment().expect("an assignment").count() > 0).then_some(())
    });
    consumer
}

/// The client ids of a consumer group's members, sorted; why not, while it is between two rounds or
/// nobody answers for it.
pub(crate) fn members(consumer: &BaseConsumer, group: &str) -> Result<Vec<String>, String> {
    let groups = consumer.fetch_group_list(Some(group), Duration::from_secs(5));
    let groups = groups.map_err(|error| format!("group {group}: {error}"))?;
    let Some(found) = groups.groups().first().filter(|found| found.state() == "Stable") else {
        return Err(format!("group {group} is not stable"));
    };
    let mut ids: Vec<String> =
        found.members().iter().map(|member| member.client_id().to_owned()).collect();
    ids.sort();
    Ok(ids)
}

/// Where a consumer group is in these topics' partitions, as far as it has committed anything.
pub(crate) fn committed<'a>(
    kafka: &str,
    group: &str,
    places: impl Iterator<Item = (&'a str, i32)>,
) -> BTreeMap<(String, i32), usize> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .create()
        .expect("a consumer");
    let mut wanted = TopicPartitionList::new();
    for (topic, partition) in places {
        wanted.add_partition(topic, partition);
    }
    let found = consumer.committed_offsets(wanted, PATIENCE).expect("the group's offsets");
    let offset = |place: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let Offset::Offset(offset) = place.offset() else { return None };
        let offset = usize::try_from(offset).ok()?;
        Some(((place.topic().to_owned(), place.partition()), offset))
    };
    found.elements().iter().filter_map(offset).collect()
}

/// The names of all topics that begin with `prefix`.
pub(crate) fn names(consumer: &BaseConsumer, prefix: &str) -> Vec<String> {
    // No answer is no topic: the broker may be on its way up.
    let Ok(metadata) = consumer.fetch_metadata(None, PATIENCE) else { return Vec::new() };
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// How many records partition 0 of a topic has had; none where there is no topic or no broker now.
pub(crate) fn high_watermark(consumer: &BaseConsumer, topic: &str) -> i64 {
    match consumer.fetch_watermarks(topic, 0, Duration::from_secs(5)) {
        Ok((_, high)) => high,
        Err(_) => {
            // The library remembers for long that a topic was not there; asking for all corrects it.
            names(consumer, topic);
            0
        }
    }
}

/// Every record of every topic that begins with `prefix`, as they are now.
pub(crate) fn read_all(kafka: &str, prefix: &str) -> BTreeMap<String, Vec<Record>> {
    let mut topics: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for_each(kafka, prefix, |topic, record| {
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), Vec::new());
        }
        topics.get_mut(topic).expect("just put there").push(record);
    });
    topics
}

/// Calls `seen` with every record of every topic that begins with `prefix`, as they are now.
pub(crate) fn for_each(kafka: &str, prefix: &str, mut seen: impl FnMut(&str, Record)) {
    let consumer = consumer(kafka);
    let mut assignment = TopicPartitionList::new();
    let mut open = BTreeMap::new();
    let metadata = consumer.fetch_metadata(None, PATIENCE).expect("the broker's topics");
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
        for partition in topic.partitions() {
            let watermarks = consumer.fetch_watermarks(topic.name(), partition.id(), PATIENCE);
            let (low, high) = watermarks.expect("the ends of a topic");
            if high > low {
                let offset = Offset::Offset(low);
                assignment.add_partition_offset(topic.name(), partition.id(), offset).unwrap();
                open.insert((topic.name().to_owned(), partition.id()), high);
            }
        }
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut last = Instant::now();
    while !open.is_empty() {
        let Some(message) = consumer.poll(Duration::from_millis(200)) else {
            assert!(last.elapsed() < PATIENCE, "no record from {open:?} for {PATIENCE:?}");
            continue;
        };
        let message = message.expect("a record");
        last = Instant::now();
        seen(message.topic(), record(&message));
        let at = (message.topic().to_owned(), message.partition());
        if open.get(&at).is_some_and(|high| message.offset() + 1 >= *high) {
            open.remove(&at);
        }
    }
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Record {
        partition: message.partition(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
    }
}

/// Reads one topic from its beginning as it grows.
pub(crate) struct Follower {
    kafka: String,
    topic: String,
    /// None until the topic is there.
    consumer: Option<BaseConsumer>,
    /// The offset after the last record.
    next: i64,
    heard: Instant,
}

/// After a broker's restart the library may wait for ever for a partition's leader; a new consumer
/// finds it.
const SILENCE: Duration = Duration::from_secs(10);

impl Follower {
    pub(crate) fn new(kafka: &str, topic: &str) -> Self {
        let (kafka, topic) = (kafka.into(), topic.into());
        Self { kafka, topic, consumer: None, next: 0, heard: Instant::now() }
    }

    /// The next record, once there is one.
    pub(crate) fn next(&mut self) -> Option<Record> {
        if self.heard.elapsed() > SILENCE {
            self.consumer = None;
        }
        if self.consumer.is_none() {
            self.heard = Instant::now();
            let consumer = consumer(&self.kafka);
            if !names(&consumer, &self.topic).contains(&self.topic) {
                return None;
            }
            let mut assignment = TopicPartitionList::new();
            let offset = Offset::Offset(self.next);
            assignment.add_partition_offset(&self.topic, 0, offset).unwrap();
            consumer.assign(&assignment).expect("an assignment");
            self.consumer = Some(consumer);
        }
        let consumer = self.consumer.as_ref().expect("just made");
        // An error here passes: the broker is being restarted, or the topic is not everywhere yet.
        let message = consumer.poll(Duration::from_millis(50))?.ok()?;
        self.heard = Instant::now();
        self.next = message.offset() + 1;
        Some(record(&message))
    }

    /// The value of the next record as JSON.
    pub(crate) fn event(&mut self) -> Option<serde_json::Value> {
        let value = self.next()?.value.expect("a value");
        Some(serde_json::from_slice(&value).expect("JSON"))
    }
}

/// Creates a topic.
pub(crate) fn create(kafka: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let created = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()));
    created.expect("the admin's answer").pop().expect("one answer").expect("a topic");
}

/// Writes a record to partition 0 of a topic.
pub(crate) fn write(kafka: &str, topic: &str, key: &str, value: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("a producer");
    let record = BaseRecord::to(topic).partition(0).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("room for a record");
    producer.flush(PATIENCE).expect("the record is written");
}

/// Deletes all topics that begin with `prefix`, and waits until they are gone.
pub(crate) fn delete(kafka: &str, prefix: &str) {
    let consumer = consumer(kafka);
    let old = names(&consumer, prefix);
    if old.is_empty() {
        return;
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names_of_old: Vec<&str> = old.iter().map(String::as_str).collect();
    runtime
        .block_on(admin.delete_topics(&names_of_old, &AdminOptions::new()))
        .expect("topics deleted");
    super::wait_for("the deletion of topics", PATIENCE, || {
        names(&consumer, prefix).is_empty().then_some(())
    });
}
