//! `org.apache.kafka.connect.file.FileStreamSourceConnector`: each line of a file is a record.
//!
//! The file is opened once and read as it grows; a file that is not there is waited for. At its end
//! the task looks again every second. A stored position says how many characters of the file are
//! done ([`crate::lines`]).
//!
//! In one thing this differs from Kafka's task: when `batch.size` cuts a poll short, Kafka's holds
//! back the lines it has already read until the file grows; here they come at once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    config::{Check, Config, ConfigDef, Group, Importance, Key},
    connector::{Object, OffsetReader, Outbox, Props, SourceConnector, SourceTask, Start},
    error::{Error, Result},
    record::{Batch, Data, Headers, Position, Record, no_headers},
    schema::{Kind, Schema},
    value::Value,
};
use serde_json::Value as Json;

use crate::{input::Input, lines::Lines};

static FILE: Key<String> = Key::string("file")
    .default_null()
    .importance(Importance::High)
    .doc("The file to read. When it is not set, lines come from standard input.");

static TOPIC: Key<String> = Key::string("topic")
    .importance(Importance::High)
    .check(Check::NonEmpty)
    .doc("Where the lines go.");

static BATCH_SIZE: Key<i32> = Key::int("batch.size")
    .default("2000")
    .importance(Importance::Low)
    .doc("How many lines make a batch at most.");

static CONFIG: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&FILE.spec, &TOPIC.spec, &BATCH_SIZE.spec] }]);

/// Between two looks at a file that is missing or read to its end.
const IDLE: Duration = Duration::from_secs(1);

/// A batch ends here, however few lines it has.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// In the source partition and in the source offset.
const FILENAME: &str = "filename";
const POSITION: &str = "position";

pub(crate) struct FileStreamSource;

#[async_trait]
impl SourceConnector for FileStreamSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSourceConnector"
    }

    fn version(&self) -> &'static str {
        crate::KAFKA_VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    async fn alter_offsets(
        &self,
        props: &Props,
        offsets: &[(Object, Option<Object>)],
    ) -> Result<bool> {
        if props.get(FILE.spec.name).is_none_or(String::is_empty) {
            return Err(Error::fatal(
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is \
                 because stdin is used for input and offsets are not tracked.",
            ));
        }
        for (partition, offset) in offsets {
            // Anything may be forgotten, so that users can clean up.
            let Some(offset) = offset else { continue };
            let wrong = match offset.get(POSITION) {
                None => Some("Offset objects should either be null or contain the key 'position'"),
                Some(position) => match position.as_i64() {
                    None => Some(
                        "The value for the 'position' key in the offset is expected to be a Long \
                         value",
                    ),
                    Some(..0) => Some(
                        "The value for the 'position' key in the offset should be a non-negative \
                         value",
                    ),
                    Some(_) if !partition.contains_key(FILENAME) => {
                        Some("Partition objects should contain the key 'filename'")
                    }
                    Some(_) => None,
                },
            };
            if let Some(wrong) = wrong {
                return Err(Error::fatal(wrong));
            }
        }
        Ok(true)
    }

    async fn start(&self, config: Config, start: Start) -> Result<Box<dyn SourceTask>> {
        let file = config.find(&FILE);
        let named = file.clone().map_or(Json::Null, Json::from);
        Ok(Box::new(Task {
            path: file.filter(|path| !path.is_empty()),
            topic: config.get(&TOPIC).into(),
            lines_max: usize::try_from(config.get(&BATCH_SIZE)).unwrap_or(0).max(1),
            schema: Arc::new(Schema::new(Kind::String)),
            headers: no_headers(),
            partition: Arc::new(Object::from_iter([(FILENAME.to_owned(), named)])),
            offsets: start.offsets,
            open: None,
            missed: false,
        }))
    }
}

struct Task {
    /// `None` is standard input.
    path: Option<String>,
    topic: Arc<str>,
    lines_max: usize,
    schema: Arc<Schema>,
    headers: Headers,
    partition: Arc<Object>,
    offsets: Arc<dyn OffsetReader>,
    open: Option<(Input, Lines)>,
    /// The file was not there at the last look.
    missed: bool,
}

#[async_trait]
impl SourceTask for Task {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        loop {
            if self.open.is_none() {
                self.open = match &self.path {
                    Some(path) => tokio::select! {
                        found = self.find(path) => found?,
                        () = out.stopped() => return Ok(()),
                    },
                    None => tokio::select! {
                        () = out.stopped() => return Ok(()),
                        input = Input::console() => Some((input, Lines::default())),
                    },
                };
                self.missing(self.open.is_none());
            }
            let idle = match &mut self.open {
                None => true,
                Some((input, lines)) => {
                    let bytes = tokio::select! {
                        bytes = input.read() => bytes?,
                        () = out.stopped() => return Ok(()),
                    };
                    lines.push(&bytes).map_err(|_| {
                        let path = self.path.as_deref().unwrap_or("standard input");
                        Error::fatal(format!(
                            "a line of {path} is longer than 1 GiB; is it a text file?"
                        ))
                    })?;
                    bytes.is_empty()
                }
            };
            while let Some(batch) = self.batch() {
                match out.room().await {
                    Some(room) => room.send(batch),
                    None => return Ok(()),
                }
            }
            if idle {
                tokio::select! {
                    () = out.stopped() => return Ok(()),
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
        }
    }
}

impl Task {
    /// Opens the file, to be read from the stored position on.
    async fn find(&self, path: &str) -> Result<Option<(Input, Lines)>> {
        let Some(input) = Input::open(path).await? else { return Ok(None) };
        let stored = self.offsets.offset(&self.partition).await?;
        let position = match stored.as_ref().and_then(|offset| offset.get(POSITION)) {
            None | Some(Json::Null) => 0,
            Some(position) => position.as_i64().ok_or_else(|| {
                Error::fatal("Offset position is the incorrect type").caused_by(format!(
                    "the stored offset of {path} has the position {position}; set it with PATCH \
                     /connectors/{{name}}/offsets"
                ))
            })?,
        };
        Ok(Some((input, Lines::from(u64::try_from(position).unwrap_or(0)))))
    }

    /// Says that the file is missing, once until it is there.
    fn missing(&mut self, missing: bool) {
        if missing && !self.missed {
            let path = self.path.as_deref().unwrap_or_default();
            tracing::warn!("there is no file {path}; FileStreamSource waits for it");
        }
        self.missed = missing;
    }

    /// The next lines, if there are any.
    fn batch(&mut self) -> Option<Batch> {
        let (_, lines) = self.open.as_mut()?;
        let timestamp = crate::now_ms();
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < self.lines_max && bytes < BATCH_BYTES_MAX {
            let Some(line) = lines.next::<Arc<str>>() else { break };
            bytes += line.len() + size_of::<Record>();
            records.push(Record {
                topic: self.topic.clone(),
                partition: None,
                key: Data::NULL,
                value: Data { schema: Some(self.schema.clone()), value: Value::Text(line) },
                timestamp: Some(timestamp),
                headers: self.headers.clone(),
            });
        }
        let position = self.path.as_ref().map_or(Json::Null, |_| lines.position().into());
        let offset = Object::from_iter([(POSITION.to_owned(), position)]);
        let position = Position { partition: self.partition.clone(), offset };
        (!records.is_empty()).then_some(Batch {
            records: records.into(),
            position: Some(position),
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use model::connector::{Inbox, outbox};

    use super::*;

    struct Stored(Option<Object>);

    #[async_trait]
    impl OffsetReader for Stored {
        async fn offset(&self, partition: &Object) -> Result<Option<Object>> {
            assert_eq!(partition.keys().collect::<Vec<_>>(), [FILENAME]);
            Ok(self.0.clone())
        }
    }

    fn object(json: &str) -> Object {
        serde_json::from_str(json).unwrap()
    }

    async fn start(path: &str, batch_size: &str, stored: Option<&str>) -> (Running, Inbox) {
        let config = [("file", path), ("topic", "t"), ("batch.size", batch_size)];
        let offsets = Arc::new(Stored(stored.map(object)));
        let start = Start {
            connector: "c".into(),
            task: 0,
            offsets,
            gauges: Default::default(),
            progress: Default::default(),
            topics: model::topics::NoTopics::shared(),
        };
        let mut task = FileStreamSource.start(CONFIG.parse(config).unwrap(), start).await.unwrap();
        let (mut out, inbox) = outbox(2);
        (tokio::spawn(async move { task.run(&mut out).await }), inbox)
    }

    type Running = tokio::task::JoinHandle<Result<()>>;

    async fn next(inbox: &mut Inbox) -> (Vec<String>, String) {
        let batch = inbox.batches.recv().await.unwrap();
        let lines = batch.records.map(|record| match &record.value.value {
            Value::Text(line) => line.to_string(),
            other => panic!("{other:?}"),
        });
        (lines.collect(), Json::from(batch.position.unwrap().offset).to_string())
    }

    fn temporary(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("riverrun-{name}-{}", std::process::id()))
    }

    /// The file comes late, grows, and is read on from where it was.
    #[tokio::test(start_paused = true)]
    async fn follows_a_file() {
        let path = temporary("file-source");
        let name = path.to_str().unwrap();
        let (task, mut inbox) = start(name, "2", None).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        std::fs::write(&path, "a\nb\nc\nhalf").unwrap();
        assert_eq!(
            next(&mut inbox).await,
            (vec!["a".into(), "b".into()], r#"{"position":4}"#.into())
        );
        assert_eq!(next(&mut inbox).await, (vec!["c".into()], r#"{"position":6}"#.into()));
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(b" a line\n").unwrap();
        assert_eq!(
            next(&mut inbox).await,
            (vec!["half a line".into()], r#"{"position":18}"#.into())
        );
        // A stop does not wait for the second between two looks.
        let asked = tokio::time::Instant::now();
        inbox.stop.cancel();
        task.await.unwrap().unwrap();
        assert!(asked.elapsed() < IDLE);

        let (task, mut inbox) = start(name, "2000", Some(r#"{"position":4}"#)).await;
        assert_eq!(next(&mut inbox).await.0, ["c", "half a line"]);
        inbox.stop.cancel();
        task.await.unwrap().unwrap();
        let (task, _inbox) = start(name, "2000", Some(r#"{"position":"4"}"#)).await;
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "Offset position is the incorrect type");
        std::fs::remove_file(path).unwrap();
    }

    /// The texts are Kafka's: `PATCH /connectors/{name}/offsets` of a JVM worker.
    #[tokio::test]
    async fn checks_offsets() {
        let ask = async |file: &str, partition: &str, offset: Option<&str>| {
            let props = Props::from([("file".to_owned(), file.to_owned())]);
            let offsets = [(object(partition), offset.map(object))];
            FileStreamSource
                .alter_offsets(&props, &offsets)
                .await
                .map_err(|error| error.to_string())
        };
        let partition = r#"{"filename":"f"}"#;
        assert_eq!(ask("f", partition, Some(r#"{"position":0}"#)).await, Ok(true));
        assert_eq!(ask("f", r#"{"rubbish":1}"#, None).await, Ok(true));
        let refused = [
            (
                "",
                partition,
                None,
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is because stdin is used for input and offsets are not tracked.",
            ),
            (
                "f",
                partition,
                Some("{}"),
                "Offset objects should either be null or contain the key 'position'",
            ),
            (
                "f",
                partition,
                Some(r#"{"position":1.5}"#),
                "The value for the 'position' key in the offset is expected to be a Long value",
            ),
            (
                "f",
                partition,
                Some(r#"{"position":null}"#),
                "The value for the 'position' key in the offset is expected to be a Long value",
            ),
            (
                "f",
                partition,
                Some(r#"{"position":-1}"#),
                "The value for the 'position' key in the offset should be a non-negative value",
            ),
            (
                "f",
                r#"{"name":"f"}"#,
                Some(r#"{"position":1}"#),
                "Partition objects should contain the key 'filename'",
            ),
        ];
        for (file, partition, offset, text) in refused {
            assert_eq!(ask(file, partition, offset).await, Err(text.to_owned()));
        }
    }
}
