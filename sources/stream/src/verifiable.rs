//! `org.apache.kafka.connect.tools.VerifiableSourceConnector`: numbers, so that a test can tell what
//! was lost or came twice.
//!
//! Every task prints a line of JSON for each record it makes, and another one when the record has
//! arrived. Kafka's task prints no JSON for the second where `complete.record.data` is on; here that
//! line has the record's number too.

use std::{fmt::Write, sync::Arc};

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef},
    connector::{Outbox, Props, SourceConnector, SourceTask, Start},
    error::{Error, Result},
    record::{Batch, Data, Headers, Record, no_headers},
    schema::{Kind, Schema},
    value::{Struct, Value},
};

use crate::{
    numbered::{self, Numbers},
    pace::Pace,
};

/// Kafka declares no keys: the tasks read them unchecked.
static CONFIG: ConfigDef = ConfigDef(&[]);

const TASK: &str = "VerifiableSourceTask";

pub(crate) struct VerifiableSource;

#[async_trait]
impl SourceConnector for VerifiableSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.VerifiableSourceConnector"
    }

    fn version(&self) -> &'static str {
        crate::KAFKA_VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    async fn task_configs(&self, props: &Props, tasks_max: usize) -> Result<Vec<Props>> {
        Ok(numbered::task_configs(props, tasks_max))
    }

    async fn start(&self, config: Config, start: Start) -> Result<Box<dyn SourceTask>> {
        let id: i32 = numbered::number(&config, "id", TASK)?;
        let throughput: i64 = numbered::number(&config, "throughput", TASK)?;
        let topic = config.prop("topic").ok_or_else(|| {
            Error::fatal(format!("Invalid {TASK} configuration")).caused_by("topic is not set")
        })?;
        let name = config.prop("name").unwrap_or(&start.connector);
        let complete = config
            .prop("complete.record.data")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let numbers = Numbers::resume(id, &*start.offsets).await?;
        tracing::info!("[{name}|task-{id}] numbers go to topic {topic}, from {} on", numbers.next);
        Ok(Box::new(Task {
            name: name.into(),
            id,
            topic: topic.into(),
            key: Data {
                schema: Some(Arc::new(Schema::new(Kind::Int32))),
                value: Value::Int(id.into()),
            },
            schema: Arc::new(if complete { complete_schema() } else { Schema::new(Kind::Int64) }),
            complete,
            headers: no_headers(),
            line: Line::new(name, id, topic),
            pace: Pace::new(throughput),
            numbers,
            told: 0,
        }))
    }
}

/// Of a value that tells all that is printed.
fn complete_schema() -> Schema {
    let plain = |kind| Arc::new(Schema::new(kind));
    Schema::structure([
        ("name", plain(Kind::String)),
        ("task", plain(Kind::Int32)),
        ("topic", plain(Kind::String)),
        ("time_ms", plain(Kind::Int64)),
        ("seqno", plain(Kind::Int64)),
    ])
}

struct Task {
    name: Arc<str>,
    id: i32,
    topic: Arc<str>,
    key: Data,
    schema: Arc<Schema>,
    complete: bool,
    headers: Headers,
    line: Line,
    pace: Pace,
    numbers: Numbers,
    /// Records whose arrival has been printed.
    told: u64,
}

#[async_trait]
impl SourceTask for Task {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        let mut delivered = out.delivered();
        loop {
            tokio::select! {
                biased;
                Some(count) = delivered.beyond(self.told) => self.tell(count).await?,
                room = self.pace.room(out, self.numbers.count()) => {
                    let Some((room, count)) = room else { break };
                    let (batch, lines) = self.make(count);
                    crate::print(lines).await?;
                    room.send(batch);
                }
            }
        }
        // What was handed over before the stop is still on its way.
        while self.told < self.numbers.count() {
            let Some(count) = delivered.beyond(self.told).await else { break };
            self.tell(count).await?;
        }
        Ok(())
    }
}

impl Task {
    /// The next `count` records, and what is printed of them.
    fn make(&mut self, count: u64) -> (Batch, String) {
        let time_ms = crate::now_ms();
        let mut lines = String::new();
        let mut records = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        for _ in 0..count {
            let seqno = self.numbers.take();
            self.line.write(&mut lines, time_ms, seqno, false);
            records.push(Record {
                topic: self.topic.clone(),
                partition: None,
                key: self.key.clone(),
                value: Data {
                    schema: Some(self.schema.clone()),
                    value: if self.complete {
                        self.complete(time_ms, seqno)
                    } else {
                        Value::Int(seqno)
                    },
                },
                timestamp: None,
                headers: self.headers.clone(),
            });
        }
        let bytes = records.len() * size_of::<Record>();
        (Batch { records: records.into(), position: Some(self.numbers.position()), bytes }, lines)
    }

    fn complete(&self, time_ms: i64, seqno: i64) -> Value {
        let fields = vec![
            Value::Text(self.name.clone()),
            Value::Int(self.id.into()),
            Value::Text(self.topic.clone()),
            Value::Int(time_ms),
            Value::Int(seqno),
        ];
        Value::Struct(Struct::new(self.schema.clone(), fields))
    }

    /// Prints the arrival of records up to number `count` since the start.
    async fn tell(&mut self, count: u64) -> Result<()> {
        let time_ms = crate::now_ms();
        let mut lines = String::new();
        for index in self.told..count {
            let seqno = self.numbers.at(index);
            self.line.write(&mut lines, time_ms, seqno, true);
        }
        self.told = count;
        crate::print(lines).await
    }
}

/// What is printed: a JSON object with its fields in the order of a `java.util.HashMap`.
struct Line {
    id: i32,
    /// As JSON.
    name: String,
    topic: String,
}

impl Line {
    fn new(name: &str, id: i32, topic: &str) -> Self {
        let json = |text: &str| serde_json::Value::from(text).to_string();
        Self { id, name: json(name), topic: json(topic) }
    }

    fn write(&self, out: &mut String, time_ms: i64, seqno: i64, committed: bool) {
        let Self { id, name, topic } = self;
        let committed = if committed { "\"committed\":true," } else { "" };
        writeln!(
            out,
            "{{{committed}\"task\":{id},\"seqno\":{seqno},\"time_ms\":{time_ms},\
             \"name\":{name},\"topic\":{topic}}}"
        )
        .expect("a string takes what is written to it");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::connector::{Inbox, Object, OffsetReader, outbox};

    use super::*;

    struct Stored(Option<Object>);

    #[async_trait]
    impl OffsetReader for Stored {
        async fn offset(&self, partition: &Object) -> Result<Option<Object>> {
            assert_eq!(serde_json::Value::from(partition.clone()).to_string(), r#"{"id":1}"#);
            Ok(self.0.clone())
        }
    }

    async fn start(config: &[(&str, &str)], stored: Option<&str>) -> Result<Box<dyn SourceTask>> {
        let stored = stored.map(|json| serde_json::from_str(json).unwrap());
        let start = Start {
            connector: "c".into(),
            task: 1,
            offsets: Arc::new(Stored(stored)),
            gauges: Default::default(),
            progress: Default::default(),
            topics: model::topics::NoTopics::shared(),
        };
        let config = CONFIG.parse(config.iter().copied()).unwrap();
        VerifiableSource.start(config, start).await
    }

    async fn numbers(inbox: &mut Inbox, until: i64) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&until) {
            let batch = inbox.batches.recv().await.unwrap();
            numbers.extend(batch.records.map(|record| match &record.value.value {
                Value::Int(number) => *number,
                other => panic!("{other:?}"),
            }));
            assert_eq!(batch.position.unwrap().offset["seqno"], *numbers.last().unwrap());
        }
        numbers
    }

    #[tokio::test(start_paused = true)]
    async fn resumes_and_keeps_its_pace() {
        let config = [("name", "c"), ("id", "1"), ("topic", "t"), ("throughput", "4")];
        let mut task = start(&config, Some(r#"{"seqno":6}"#)).await.unwrap();
        let (mut out, mut inbox) = outbox(2);
        let begun = tokio::time::Instant::now();
        let running = tokio::spawn(async move { task.run(&mut out).await });
        assert_eq!(numbers(&mut inbox, 11).await, [7, 8, 9, 10, 11]);
        assert_eq!(begun.elapsed().as_secs(), 1);
        // It ends when all that it has handed over has arrived, or can't any more.
        inbox.stop.cancel();
        inbox.delivered.send(3).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!running.is_finished());
        drop(inbox.batches);
        running.await.unwrap().unwrap();
    }

    /// As `seqno++` does in Java.
    #[tokio::test]
    async fn after_the_last_number_comes_the_least() {
        let stored = format!(r#"{{"seqno":{}}}"#, i64::MAX - 2);
        let config = [("id", "1"), ("topic", "t"), ("throughput", "-1")];
        let mut task = start(&config, Some(&stored)).await.unwrap();
        let (mut out, mut inbox) = outbox(2);
        let running = tokio::spawn(async move { task.run(&mut out).await });
        let mut found = Vec::new();
        while found.len() < 4 {
            let batch = inbox.batches.recv().await.unwrap();
            found.extend(batch.records.map(|record| match &record.value.value {
                Value::Int(number) => *number,
                other => panic!("{other:?}"),
            }));
            let last = found.last().copied().unwrap();
            assert_eq!(batch.position.unwrap().offset["seqno"], last);
        }
        assert_eq!(found[..4], [i64::MAX - 1, i64::MAX, i64::MIN, i64::MIN + 1]);
        inbox.delivered.send(4).unwrap();
        inbox.stop.cancel();
        drop(inbox.batches);
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn refuses_what_is_no_number() {
        let config = [("id", "1"), ("topic", "t"), ("throughput", "fast")];
        let error = start(&config, None).await.err().unwrap();
        assert_eq!(error.to_string(), "Invalid VerifiableSourceTask configuration");
        assert!(error.trace().contains("throughput is not a number: fast"), "{}", error.trace());
        let error = start(&config[..2], None).await.err().unwrap();
        assert!(error.trace().contains("throughput is not set"), "{}", error.trace());
        let config = [("id", "1"), ("topic", "t"), ("throughput", "1")];
        let error = start(&config, Some(r#"{"seqno":"x"}"#)).await.err().unwrap();
        assert!(error.to_string().contains("seqno"), "{error}");
    }

    /// The order of the fields is that of Java's map.
    #[test]
    fn lines() {
        let mut out = String::new();
        let line = Line::new("a \"name\"", 3, "t");
        line.write(&mut out, 1_700, 42, false);
        line.write(&mut out, 1_800, 42, true);
        for (line, (time_ms, committed)) in out.lines().zip([(1_700, false), (1_800, true)]) {
            let fields = [
                ("name", "a \"name\"".into()),
                ("task", 3.into()),
                ("topic", "t".into()),
                ("time_ms", time_ms.into()),
                ("seqno", 42.into()),
                ("committed", true.into()),
            ];
            let count = if committed { 6 } else { 5 };
            let fields = fields.into_iter().take(count);
            let map = model::java::hash_map(fields.map(|(key, value)| (key.to_owned(), value)));
            assert_eq!(line, serde_json::Value::from(map).to_string());
        }
    }
}
