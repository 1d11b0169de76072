//! The channel `kafka`: signals as records of a topic, whose key is `topic.prefix`.
//!
//! # Which signals are followed
//!
//! The offset of the last signal that was followed stands in the source offset, stored together with
//! what came of it. A signal is so followed once, or again when that was not stored. As in Debezium it
//! is committed for the group too; where the source offset says nothing (Debezium's does not), signals
//! begin behind the group's.

use std::{collections::BTreeMap, time::Duration};

use ::snapshot::signals::Signal;
use model::{
    config::Config,
    error::Error,
    topics::{From, Topic, TopicReader, TopicRecord},
};
use relational::config as common;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use super::Heard;

/// While the same is wrong it is said again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(300);

/// `signal.kafka.*` and `signal.consumer.*`
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) topic: Topic,
    /// `topic.prefix`: records with another key are for other connectors.
    key: String,
    /// How long a look waits for a record.
    wait: Duration,
}

const TOPIC: &str = "signal.kafka.topic";
const SERVERS: &str = "signal.kafka.bootstrap.servers";
const GROUP: &str = "signal.kafka.groupId";
const WAIT: &str = "signal.kafka.poll.timeout.ms";
const CONSUMER: &str = "signal.consumer.";

impl Channel {
    /// # Errors
    ///
    /// What is wrong with the keys, in Debezium's form.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        let text = |key: &str| config.prop(key).map(str::trim).filter(|text| !text.is_empty());
        let prefix = config.get(&common::TOPIC_PREFIX);
        let wait = text(WAIT).unwrap_or("0");
        let wait = wait
            .parse::<u32>()
            .ok()
            .filter(|wait| i32::try_from(*wait).is_ok())
            .ok_or_else(|| {
                format!("The '{WAIT}' value is invalid: {wait:?} is not a number of milliseconds")
            })?;
        let own = config.props().iter().filter_map(|(key, value)| {
            let key = key.strip_prefix(CONSUMER).filter(|key| !key.is_empty())?;
            Some((key.to_owned(), value.clone()))
        });
        let mut settings: BTreeMap<String, String> = own.collect();
        if !settings.contains_key("bootstrap.servers") {
            let servers = text(SERVERS).ok_or_else(|| {
                format!(
                    "The '{SERVERS}' value is invalid: A value is required, as signal.enabled.channels names kafka"
                )
            })?;
            settings.insert("bootstrap.servers".into(), servers.into());
        }
        let mut default = |key: &str, value: &str| {
            settings.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        };
        default("group.id", text(GROUP).unwrap_or("kafka-signal"));
        default("client.id", &uuid::Uuid::new_v4().to_string());
        default("fetch.min.bytes", "1");
        default("session.timeout.ms", "10000");
        default("auto.offset.reset", "earliest");
        let name = text(TOPIC).map_or_else(|| format!("{prefix}-signal"), str::to_owned);
        Ok(Self {
            topic: Topic { name, partition: 0, settings, prefix: CONSUMER },
            key: prefix,
            wait: Duration::from_millis(wait.into()),
        })
    }

    /// The signal in a record, if it is for this connector. The log says why it is none.
    fn signal(&self, record: &TopicRecord) -> Option<Signal> {
        let topic = &self.topic.name;
        if record.key.as_deref() != Some(self.key.as_bytes()) {
            let key = record.key.as_deref().map(String::from_utf8_lossy);
            tracing::info!(
                "Signal key '{}' doesn't match the connector's name '{}': the record at offset {} of topic {topic} is for another connector",
                key.as_deref().unwrap_or("null"),
                self.key,
                record.offset
            );
            return None;
        }
        let value = record.value.as_deref().filter(|value| !value.is_empty())?;
        let signal = std::str::from_utf8(value)
            .map_err(|error| error.to_string())
            .and_then(Signal::from_json);
        signal
            .map_err(|reason| {
                tracing::warn!(
                    "the record at offset {} of signal topic {topic} is no signal: {reason}; send {{\"type\": …, \"data\": {{…}}}} with an \"id\" of your choice",
                    record.offset
                );
            })
            .ok()
    }
}

/// Hands over what comes, until nobody takes it any more. `followed` is the offset of the last signal
/// that is done with; it is committed.
pub(crate) async fn follow(
    channel: Channel,
    mut reader: Box<dyn TopicReader>,
    from: From,
    poll: Duration,
    signals: mpsc::Sender<Heard>,
    mut followed: watch::Receiver<Option<i64>>,
) {
    let mut tick = interval(poll.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complaint = Complaint::default();
    let mut committed = None;
    tracing::info!("signals are read from topic {}, {from:?}", channel.topic.name);
    if let Err(error) = reader.begin(from).await {
        complaint.told(&channel, &error);
    }
    while !signals.is_closed() {
        tokio::select! {
            () = signals.closed() => break,
            Ok(()) = followed.changed() => {
                let offset = *followed.borrow_and_update();
                commit(&mut *reader, &channel, offset, &mut committed).await;
                continue;
            }
            _ = tick.tick() => {}
        }
        let polled = tokio::select! {
            () = signals.closed() => break,
            polled = reader.poll(channel.wait) => polled,
        };
        match polled {
            Ok(records) => {
                complaint.over(&channel);
                for record in records {
                    let heard =
                        Heard { signal: channel.signal(&record), offset: Some(record.offset) };
                    if signals.send(heard).await.is_err() {
                        break;
                    }
                }
            }
            Err(error) => complaint.told(&channel, &error),
        }
    }
    if !complaint.open() {
        let offset = *followed.borrow();
        commit(&mut *reader, &channel, offset, &mut committed).await;
    }
}

async fn commit(
    reader: &mut dyn TopicReader,
    channel: &Channel,
    followed: Option<i64>,
    committed: &mut Option<i64>,
) {
    let Some(offset) = followed.filter(|_| followed != *committed) else { return };
    match reader.commit(offset + 1).await {
        Ok(()) => *committed = followed,
        // It is in the source offset too.
        Err(error) => tracing::warn!(
            "signal topic {}: {}; only Debezium, if it takes over now, reads the same signals again",
            channel.topic.name,
            model::error::chain(&error)
        ),
    }
}

/// What is wrong with the topic, said once in a while.
#[derive(Default)]
struct Complaint(Option<(String, Instant)>);

impl Complaint {
    fn told(&mut self, channel: &Channel, error: &Error) {
        let text = model::error::chain(error);
        if self.0.as_ref().is_some_and(|(said, at)| *said == text && at.elapsed() < SAID_AGAIN) {
            return;
        }
        tracing::warn!(
            "signals of topic {} can't be read: {text}. The task goes on, and reads them once that is mended; the keys are {SERVERS} and {CONSUMER}*",
            channel.topic.name
        );
        self.0 = Some((text, Instant::now()));
    }

    fn over(&mut self, channel: &Channel) {
        if self.0.take().is_some() {
            tracing::info!("signals of topic {} are read again", channel.topic.name);
        }
    }

    fn open(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use async_trait::async_trait;
    use bytes::Bytes;
    use model::error::Result;

    use super::*;
    use crate::config::CONFIG;

    fn channel(more: &[(&str, &str)]) -> Result<Channel, String> {
        let mut all = vec![
            ("topic.prefix", "shop"),
            ("database.hostname", "h"),
            ("database.user", "u"),
            ("database.dbname", "d"),
        ];
        all.extend(more);
        Channel::read(&CONFIG.parse(all).unwrap())
    }

    const KAFKA: (&str, &str) = (SERVERS, "k:9092");

    #[test]
    fn settings_are_debeziums() {
        let read = channel(&[KAFKA, ("signal.consumer.security.protocol", "SSL")]).unwrap();
        assert_eq!((read.topic.name.as_str(), read.topic.partition), ("shop-signal", 0));
        let setting = |channel: &Channel, key: &str| channel.topic.settings[key].clone();
        for (key, value) in [
            ("bootstrap.servers", "k:9092"),
            ("group.id", "kafka-signal"),
            ("auto.offset.reset", "earliest"),
            ("security.protocol", "SSL"),
        ] {
            assert_eq!(setting(&read, key), value, "{key}");
        }
        let own = [
            (SERVERS, "k:1"),
            ("signal.consumer.bootstrap.servers", "k:2"),
            (GROUP, "g"),
            (TOPIC, "t"),
            ("signal.consumer.auto.offset.reset", "latest"),
            (WAIT, "7"),
        ];
        let read = channel(&own).unwrap();
        assert_eq!((read.topic.name.as_str(), read.wait), ("t", Duration::from_millis(7)));
        assert_eq!(setting(&read, "bootstrap.servers"), "k:2");
        assert_eq!(setting(&read, "group.id"), "g");
        assert_eq!(setting(&read, "auto.offset.reset"), "latest");
        assert!(channel(&[]).unwrap_err().contains(SERVERS));
        assert!(channel(&[KAFKA, (WAIT, "-1")]).unwrap_err().contains(WAIT));
    }

    /// A topic that answers as it is told to.
    struct Script {
        polls: VecDeque<Result<Vec<TopicRecord>>>,
        commits: Arc<Mutex<Vec<i64>>>,
    }

    #[async_trait]
    impl TopicReader for Script {
        async fn begin(&mut self, from: From) -> Result<()> {
            assert_eq!(from, From::Offset(5));
            Ok(())
        }

        async fn poll(&mut self, _within: Duration) -> Result<Vec<TopicRecord>> {
            self.polls.pop_front().unwrap_or_else(|| Ok(Vec::new()))
        }

        fn position(&self) -> Option<i64> {
            None
        }

        async fn end(&mut self, _within: Duration) -> Result<i64> {
            Ok(0)
        }

        async fn commit(&mut self, next: i64) -> Result<()> {
            self.commits.lock().unwrap().push(next);
            Ok(())
        }
    }

    #[tokio::test]
    async fn records_are_signals_where_the_key_is_ours() {
        let record = |offset, key: Option<&'static str>, value: &'static str| TopicRecord {
            offset,
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
            value: Some(Bytes::from_static(value.as_bytes())),
        };
        let pause = r#"{"type":"pause-snapshot","data":{}}"#;
        let polls = [
            Err(Error::retriable("no broker")),
            Ok(vec![
                record(5, Some("shop2"), pause),
                record(6, None, pause),
                record(7, Some("shop"), "nonsense"),
                record(8, Some("shop"), ""),
                record(9, Some("shop"), pause),
            ]),
            Ok(Vec::new()),
            Ok(vec![record(12, Some("shop"), r#"{"id":"x","type":"log","data":{"message":"m"}}"#)]),
        ];
        let commits = Arc::new(Mutex::new(Vec::new()));
        let script = Script { polls: polls.into(), commits: commits.clone() };
        let (sender, mut heard) = mpsc::channel(8);
        let (followed, receiver) = watch::channel(None);
        let following = tokio::spawn(follow(
            channel(&[KAFKA]).unwrap(),
            Box::new(script),
            From::Offset(5),
            Duration::from_millis(1),
            sender,
            receiver,
        ));
        let mut all = Vec::new();
        while all.len() < 6 {
            let Heard { signal, offset } = heard.recv().await.unwrap();
            all.push((offset.unwrap(), signal.map(|signal| (signal.id, signal.kind))));
        }
        let signal = |id: &str, kind: &str| Some((id.to_owned(), kind.to_owned()));
        let wanted = [
            (5, None),
            (6, None),
            (7, None),
            (8, None),
            (9, signal("", "pause-snapshot")),
            (12, signal("x", "log")),
        ];
        assert_eq!(all, wanted);
        followed.send(Some(9)).unwrap();
        // What was followed last is committed at the end, once.
        followed.send(Some(12)).unwrap();
        drop(heard);
        following.await.unwrap();
        assert_eq!(commits.lock().unwrap().last(), Some(&13));
    }
}
