//! `org.apache.kafka.connect.tools.VerifiableSinkConnector`: prints what it got, so that a test can
//! tell what was lost or came twice.
//!
//! Every task prints a line of JSON for each record it gets, and another one when the record's offset
//! is about to be committed. Keys and values are printed as the JSON converter writes them without
//! schemas, structs too, for which Kafka's task prints an error.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use codec::Role;
use model::{
    config::{Config, ConfigDef},
    connector::{Errant, Offsets, Props, SinkConnector, SinkTask, TopicPartition},
    convert::{Converter, Encode, Encoded},
    error::{Error, RecordError, Result, Stage},
    record::{Data, SinkRecord},
    schema::Schema,
};

/// Kafka declares no keys: the tasks read them unchecked.
static CONFIG: ConfigDef = ConfigDef(&[]);

pub(crate) struct VerifiableSink;

#[async_trait]
impl SinkConnector for VerifiableSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.VerifiableSinkConnector"
    }

    fn version(&self) -> &'static str {
        crate::KAFKA_VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    async fn task_configs(&self, props: &Props, tasks_max: usize) -> Result<Vec<Props>> {
        let task = |id: usize| {
            let mut props = props.clone();
            props.insert("id".to_owned(), id.to_string());
            props
        };
        Ok((0..tasks_max).map(task).collect())
    }

    async fn start(&self, config: Config) -> Result<Box<dyn SinkTask>> {
        // The text is that of Kafka, which names the source's task here.
        let invalid = || Error::fatal("Invalid VerifiableSourceTask configuration");
        let id = config.prop("id").ok_or_else(|| invalid().caused_by("id is not set"))?;
        let id: i32 = id.parse().map_err(|error: std::num::ParseIntError| {
            invalid().caused_by(Error::fatal(format!("id is not a number: {id}")).caused_by(error))
        })?;
        let name = serde_json::Value::from(config.prop("name").unwrap_or_default()).to_string();
        let side = || -> Result<Side> { Ok(Side { converter: json()?, planned: None }) };
        Ok(Box::new(Task { id, name, key: side()?, value: side()?, open: BTreeMap::new() }))
    }
}

fn json() -> Result<Box<dyn Converter>> {
    let class = "org.apache.kafka.connect.json.JsonConverter";
    let options = Props::from([("schemas.enable".to_owned(), "false".to_owned())]);
    codec::converter(class, &options, Role::Value)
        .map_err(|problems| Error::fatal(format!("{class} is not usable: {problems:?}")))
}

struct Task {
    id: i32,
    /// As JSON.
    name: String,
    key: Side,
    value: Side,
    /// What has been printed and not committed.
    open: BTreeMap<TopicPartition, Vec<Seen>>,
}

struct Side {
    converter: Box<dyn Converter>,
    /// For the schema of the last record; records of one topic come in runs.
    planned: Option<(Option<Arc<Schema>>, Box<dyn Encode>)>,
}

/// One record; key and value as JSON.
struct Seen {
    key: Box<[u8]>,
    value: Box<[u8]>,
    offset: i64,
}

#[async_trait]
impl SinkTask for Task {
    async fn put(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()> {
        let time_ms = now_ms();
        let mut lines = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let topic = &record.record.topic;
            let seen = match self.see(record).await {
                Ok(seen) => seen,
                Err(error) => {
                    errant.report(index, error);
                    continue;
                }
            };
            self.print(&mut lines, time_ms, topic, &seen, false);
            let partition =
                TopicPartition { topic: topic.clone(), partition: record.kafka_partition };
            self.open.entry(partition).or_default().push(seen);
        }
        print(lines).await
    }

    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets> {
        let time_ms = now_ms();
        let mut lines = Vec::new();
        for partition in current.keys() {
            for seen in self.open.remove(partition).into_iter().flatten() {
                self.print(&mut lines, time_ms, &partition.topic, &seen, true);
            }
        }
        print(lines).await?;
        Ok(current)
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.open.retain(|partition, _| !partitions.contains(partition));
        Ok(())
    }
}

impl Task {
    async fn see(&mut self, record: &SinkRecord) -> Result<Seen, RecordError> {
        let topic = &record.record.topic;
        Ok(Seen {
            key: self.key.json(topic, &record.record.key).await?,
            value: self.value.json(topic, &record.record.value).await?,
            offset: record.kafka_offset,
        })
    }

    /// A JSON object with its fields in the order of a `java.util.HashMap`.
    fn print(&self, out: &mut Vec<u8>, time_ms: i64, topic: &str, seen: &Seen, flushed: bool) {
        let (name, id, offset) = (&self.name, self.id, seen.offset);
        let topic = serde_json::Value::from(topic);
        let flushed = if flushed { ",\"flushed\":true" } else { "" };
        out.extend_from_slice(b"{\"task\":");
        out.extend_from_slice(&seen.key);
        out.extend_from_slice(b",\"seqno\":");
        out.extend_from_slice(&seen.value);
        let rest = format!(
            ",\"offset\":{offset},\"time_ms\":{time_ms},\"name\":{name},\"topic\":{topic},\
             \"sinkTask\":{id}{flushed}}}\n"
        );
        out.extend_from_slice(rest.as_bytes());
    }
}

impl Side {
    async fn json(&mut self, topic: &str, data: &Data) -> Result<Box<[u8]>, RecordError> {
        let same = |planned: &Option<Arc<Schema>>| match (planned, &data.schema) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let mut out = Vec::new();
        if !self.planned.as_ref().is_some_and(|(schema, _)| same(schema)) {
            let encode = self.converter.encoder(topic, data.schema.as_ref()).await;
            let encode = encode.map_err(|error| RecordError::new(Stage::TaskPut, error.trace()))?;
            self.planned = Some((data.schema.clone(), encode));
        }
        if let Some((_, encode)) = &mut self.planned
            && encode.encode(data.value.as_ref(), &mut out)? == Encoded::Null
        {
            out.extend_from_slice(b"null");
        }
        Ok(out.into())
    }
}

async fn print(lines: Vec<u8>) -> Result<()> {
    let printed = crate::print(lines).await;
    printed.map_err(|error| Error::fatal("printing to standard output failed").caused_by(error))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use model::{
        record::{Record, no_headers},
        value::Value,
    };

    use super::*;

    /// The order of the fields is that of Java's map.
    #[tokio::test]
    async fn lines() {
        let config = CONFIG.parse([("name", "v"), ("id", "2")]).unwrap();
        assert!(VerifiableSink.start(config).await.is_ok());
        let side = || Side { converter: json().unwrap(), planned: None };
        let name = r#""v""#.to_owned();
        let mut task = Task { id: 2, name, key: side(), value: side(), open: BTreeMap::new() };
        let record = Record {
            topic: "t".into(),
            partition: Some(0),
            key: Data::NULL,
            value: Data { schema: None, value: Value::Int(7) },
            timestamp: None,
            headers: no_headers(),
        };
        let record = SinkRecord { record, kafka_partition: 0, kafka_offset: 9 };
        let seen = task.see(&record).await.unwrap();
        for flushed in [false, true] {
            let mut out = Vec::new();
            task.print(&mut out, 1_700, "t", &seen, flushed);
            let fields = [
                ("name", "v".into()),
                ("task", serde_json::Value::Null),
                ("sinkTask", 2.into()),
                ("topic", "t".into()),
                ("time_ms", 1_700.into()),
                ("seqno", 7.into()),
                ("offset", 9.into()),
                ("flushed", true.into()),
            ];
            let fields = fields.into_iter().take(if flushed { 8 } else { 7 });
            let map = model::java::hash_map(fields.map(|(key, value)| (key.to_owned(), value)));
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("{}\n", serde_json::Value::from(map))
            );
        }
    }

    /// What is committed is forgotten, and so is what goes to another worker.
    #[tokio::test]
    async fn forgets() {
        let side = || Side { converter: json().unwrap(), planned: None };
        let at = |partition| TopicPartition { topic: "t".into(), partition };
        let seen =
            || vec![Seen { key: b"1".as_slice().into(), value: b"2".as_slice().into(), offset: 3 }];
        let open = BTreeMap::from([0, 1, 2].map(|partition| (at(partition), seen())));
        let mut task = Task { id: 0, name: "null".into(), key: side(), value: side(), open };
        task.pre_commit(Offsets::from([(at(0), 4)])).await.unwrap();
        assert_eq!(task.open.keys().cloned().collect::<Vec<_>>(), [at(1), at(2)]);
        task.close(&[at(2)]).await.unwrap();
        assert_eq!(task.open.keys().cloned().collect::<Vec<_>>(), [at(1)]);
    }
}
