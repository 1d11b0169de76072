//! The offsets topic: how far every source is.
//!
//! A key is `["CONNECTOR",{partition}]`. The JVM finds a partition by the key's bytes, in the order
//! of the connector's map. Here it is found by what it means, whatever the order of its fields, and
//! what is written has the bytes that are there already: with others, compaction would keep two
//! entries, and the JVM would find one of them. Where there are two all the same, the later one
//! counts, and both are written.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    connector::{Object, Props},
    error::{Error, Result},
};
use serde_json::Value;

use super::{
    json,
    log::{Entry, KafkaLog, Record, Which},
    shown,
};
use crate::runtime::OffsetStore;

/// The offsets topic.
pub struct OffsetTopic {
    log: KafkaLog,
    offsets: Arc<Mutex<Offsets>>,
}

/// How long reading the topic to its end, or a write, may take. A source's own writes are waited for
/// no longer than `offset.flush.timeout.ms`.
const WITHIN: Duration = Duration::from_secs(30);

impl OffsetTopic {
    /// Creates or checks the topic and reads it to its end.
    pub async fn open(worker: &Props) -> Result<Self> {
        let offsets = Arc::new(Mutex::new(Offsets::default()));
        let each = {
            let offsets = offsets.clone();
            move |record: Record<'_>| lock(&offsets).apply(record)
        };
        let log = KafkaLog::open(worker, Which::Offsets, each).await?;
        Ok(Self { log, offsets })
    }

    /// Stops following the topic.
    pub async fn close(&self, within: Duration) {
        self.log.close(within).await;
    }

    fn offset(&self, connector: &str, partition: &Object, bytes: &[u8]) -> Result<Option<Object>> {
        let why = match json::read(bytes) {
            Ok(Value::Object(offset)) => return Ok(Some(offset)),
            Ok(Value::Null) => return Ok(None),
            Ok(other) => format!("it should be an object but is {}", json::kind(Some(&other))),
            Err(why) => why,
        };
        let partition = Value::Object(partition.clone());
        Err(Error::fatal(format!(
            "failed to read the offset of connector {connector} for partition {partition} in topic \
             {}; set or reset it over the REST API",
            self.log.topic()
        ))
        .caused_by(why))
    }
}

#[async_trait]
impl OffsetStore for OffsetTopic {
    async fn read(&self, connector: &str, partition: &Object) -> Result<Option<Object>> {
        self.log.read_to_end(WITHIN).await?;
        let found = lock(&self.offsets).find(connector, partition).and_then(Known::value);
        match found {
            Some(bytes) => self.offset(connector, partition, &bytes),
            None => Ok(None),
        }
    }

    async fn write(&self, connector: &str, changes: Vec<(Object, Option<Object>)>) -> Result<()> {
        let mut entries: Vec<Entry> = Vec::with_capacity(changes.len());
        {
            let mut offsets = lock(&self.offsets);
            for (partition, offset) in changes {
                let value = offset.map(|offset| json::write(&offset));
                for key in offsets.keys(connector, &partition) {
                    entries.push((key, value.clone()));
                }
            }
        }
        self.log.append_all(entries, WITHIN).await
    }

    async fn list(&self, connector: &str) -> Result<Vec<(Object, Object)>> {
        self.log.read_to_end(WITHIN).await?;
        let found = lock(&self.offsets).list(connector);
        let mut offsets = Vec::with_capacity(found.len());
        for (partition, bytes) in found {
            if let Some(offset) = self.offset(connector, &partition, &bytes)? {
                offsets.push((partition, offset));
            }
        }
        Ok(offsets)
    }
}

/// What the topic says: by connector, then by the partition in one form for all orders of its fields.
#[derive(Default)]
pub(super) struct Offsets(BTreeMap<String, BTreeMap<String, Known>>);

/// A source partition. A key that was reset stays: what is written next uses it again.
struct Known {
    partition: Object,
    /// In the order in which they were last written.
    forms: Vec<Form>,
}

/// The bytes of a key, and the value it has.
struct Form {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    written_ms: i64,
}

impl Offsets {
    pub(super) fn apply(&mut self, record: Record<'_>) {
        let key = record.key.unwrap_or_default();
        let Some((connector, partition)) = parse(key) else {
            tracing::warn!(
                "skipping record {} at offset {} of partition {} of the offsets topic: its key is \
                 not of the form [\"connector\",{{partition}}]",
                shown(key),
                record.offset,
                record.partition
            );
            return;
        };
        let known = self.known(connector, partition);
        known.forms.retain(|form| form.key != key);
        known.forms.push(Form {
            key: key.to_vec(),
            value: record.value.map(<[u8]>::to_vec),
            written_ms: record.timestamp_ms,
        });
    }

    fn known(&mut self, connector: String, partition: Object) -> &mut Known {
        let partitions = self.0.entry(connector).or_default();
        let known = partitions.entry(canonical(&partition));
        known.or_insert_with(|| Known { partition, forms: Vec::new() })
    }

    fn find(&self, connector: &str, partition: &Object) -> Option<&Known> {
        self.0.get(connector)?.get(&canonical(partition))
    }

    /// The keys under which a partition's offset is to be written: those in use, else the one last
    /// used, else a new one in the connector's own order of fields.
    fn keys(&mut self, connector: &str, partition: &Object) -> Vec<Vec<u8>> {
        let known = self.known(connector.to_owned(), partition.clone());
        if known.forms.is_empty() {
            let key = json::write(&(connector, partition));
            known.forms.push(Form { key, value: None, written_ms: i64::MIN });
        }
        let newest = known.newest().map(|form| form.key.clone());
        let used = known.forms.iter().filter(|form| form.value.is_some());
        let mut keys: Vec<Vec<u8>> = used.map(|form| form.key.clone()).collect();
        keys.extend(newest.filter(|newest| !keys.contains(newest)));
        keys
    }

    fn list(&self, connector: &str) -> Vec<(Object, Vec<u8>)> {
        let known = self.0.get(connector).into_iter().flat_map(BTreeMap::values);
        known.filter_map(|known| Some((known.partition.clone(), known.value()?))).collect()
    }
}

impl Known {
    /// Two forms may lie in two partitions of the topic, which have no common order but time.
    fn newest(&self) -> Option<&Form> {
        self.forms.iter().max_by_key(|form| form.written_ms)
    }

    fn value(&self) -> Option<Vec<u8>> {
        self.newest()?.value.clone()
    }
}

fn parse(key: &[u8]) -> Option<(String, Object)> {
    let Value::Array(parts) = json::read(key).ok()? else { return None };
    match <[Value; 2]>::try_from(parts).ok()? {
        [Value::String(connector), Value::Object(partition)] => Some((connector, partition)),
        _ => None,
    }
}

/// The same text for the same fields in any order.
fn canonical(partition: &Object) -> String {
    let sorted: BTreeMap<&String, &Value> = partition.iter().collect();
    String::from_utf8_lossy(&json::write(&sorted)).into_owned()
}

fn lock(offsets: &Mutex<Offsets>) -> MutexGuard<'_, Offsets> {
    offsets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    struct Topic(Offsets, i64);

    impl Topic {
        fn record(&mut self, key: &str, value: Option<&str>) {
            self.1 += 1;
            self.0.apply(Record {
                partition: 0,
                offset: self.1,
                timestamp_ms: self.1,
                key: Some(key.as_bytes()),
                value: value.map(str::as_bytes),
            });
        }

        fn keys(&mut self, partition: &str) -> Vec<String> {
            let keys = self.0.keys("c", &object(partition));
            keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect()
        }

        fn read(&self, partition: &str) -> Option<String> {
            let known = self.0.find("c", &object(partition))?;
            known.value().map(|value| String::from_utf8(value).unwrap())
        }
    }

    const AB: &str = r#"{"a":1,"b":"ü😀"}"#;
    const BA: &str = r#"{"b":"ü\ud83d\ude00","a":1}"#;

    #[test]
    fn a_key_keeps_its_bytes() {
        let mut topic = Topic(Offsets::default(), 0);
        assert_eq!(
            topic.keys(BA),
            [r#"["c",{"b":"ü\uD83D\uDE00","a":1}]"#],
            "the connector's order"
        );
        let mut topic = Topic(Offsets::default(), 0);
        let stored = format!(r#"["c",{AB}]"#);
        topic.record(&stored, Some("1"));
        for partition in [AB, BA] {
            assert_eq!(topic.read(partition).as_deref(), Some("1"));
            assert_eq!(topic.keys(partition).join(" "), stored);
        }
        topic.record(&stored, None);
        assert_eq!(topic.read(BA), None);
        assert_eq!(topic.keys(BA), [stored], "also after a reset");
        assert_eq!(topic.keys(r#"{"a":2}"#), [r#"["c",{"a":2}]"#], "another partition");
        assert!(topic.0.list("c").is_empty());
    }

    #[test]
    fn of_two_forms_the_later_counts_and_both_are_written() {
        let mut topic = Topic(Offsets::default(), 0);
        let (ab, ba) = (format!(r#"["c",{AB}]"#), format!(r#"["c",{BA}]"#));
        topic.record(&ab, Some("1"));
        topic.record(&ba, Some("2"));
        assert_eq!(topic.read(AB).as_deref(), Some("2"));
        assert_eq!(topic.keys(AB), [ab.clone(), ba.clone()]);
        topic.record(&ab, Some("3"));
        assert_eq!(topic.read(BA).as_deref(), Some("3"));
        assert_eq!(topic.0.list("c"), [(object(AB), b"3".to_vec())]);
        topic.record(&ba, None);
        assert_eq!(topic.read(AB), None, "reset last");
        assert_eq!(topic.keys(AB), [ab, ba], "the one in use, and the one last written");
    }

    #[test]
    fn other_keys_are_skipped() {
        let mut topic = Topic(Offsets::default(), 0);
        for key in ["", "c", "[]", r#"["c"]"#, r#"["c",1]"#, r#"[1,{}]"#, r#"["c",{},1]"#, "\"c\""]
        {
            topic.record(key, Some("1"));
        }
        let none = Record { partition: 0, offset: 0, timestamp_ms: 0, key: None, value: None };
        topic.0.apply(none);
        assert!(topic.0.0.is_empty());
        topic.record(r#"["c",{}]"#, Some("1"));
        assert_eq!(topic.read("{}").as_deref(), Some("1"));
    }
}
