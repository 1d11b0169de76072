//! The clients of topics that a connector itself reads and writes, from Java's settings under a prefix
//! of the connector's.

use std::collections::BTreeMap;

use model::{connector::Props, error::Result, topics::Topic};

use super::{ConsumerSettings, Kind, Origin, Settings, build, consumer::translate};

/// Connect's worker has no part in these: the defaults are Java's.
const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("auto.offset.reset", "latest"),
    ("isolation.level", "read_uncommitted"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "true"),
    // Such topics are small: a KiB a second would be much.
    ("queued.max.messages.kbytes", "1024"),
    ("queued.min.messages", "1000"),
    // A topic that is made later is seen soon.
    ("metadata.max.age.ms", "10000"),
    ("reconnect.backoff.max.ms", "1000"),
];

pub(in crate::kafka) fn topic_consumer(topic: &Topic) -> Result<ConsumerSettings> {
    let mut layers: BTreeMap<String, String> = BTreeMap::new();
    layers.extend(CONSUMER_DEFAULTS.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    layers.extend(given(topic));
    // What is read is committed by whoever read it, once it is done.
    layers.remove("enable.auto.commit");
    with_origin(topic, |origin| {
        let mut settings = translate(layers, origin)?;
        // Tells when the end is reached where the last thing in the log is no record.
        settings.client.set("enable.partition.eof", "true");
        Ok(settings)
    })
}

pub(in crate::kafka) fn topic_producer(topic: &Topic) -> Result<Settings> {
    with_origin(topic, |origin| build(Kind::Producer, given(topic), origin))
}

pub(in crate::kafka) fn topic_admin(topic: &Topic) -> Result<Settings> {
    with_origin(topic, |origin| build(Kind::Admin, given(topic), origin))
}

fn given(topic: &Topic) -> BTreeMap<String, String> {
    let trimmed = |(key, value): (&String, &String)| (key.clone(), value.trim().to_owned());
    topic.settings.iter().map(trimmed).collect()
}

/// So that what is said of a key is said under the name that it has in the configuration.
fn with_origin<T>(topic: &Topic, build: impl FnOnce(&Origin<'_>) -> Result<T>) -> Result<T> {
    let named =
        |(key, value): (&String, &String)| (format!("{}{key}", topic.prefix), value.clone());
    let named: Props = topic.settings.iter().map(named).collect();
    build(&Origin { worker: &named, prefix: topic.prefix, connector: None })
}
