//! `org.apache.kafka.connect.file.FileStreamSinkConnector`: each value's `toString()` on a line.
//!
//! A record counts as done when its line is on disk: `pre_commit` writes the buffer out and has the
//! system sync the file. On standard output it is done when it is written.

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef, Group, Importance, Key},
    connector::{Errant, Offsets, Props, SinkConnector, SinkTask, TopicPartition},
    error::{Error, Result},
    record::SinkRecord,
};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncWriteExt, BufWriter},
};

use crate::text::Text;

static FILE: Key<String> = Key::string("file")
    .default_null()
    .importance(Importance::High)
    .doc("The file to append to. When it is not set, lines go to standard output.");

static CONFIG: ConfigDef = ConfigDef(&[Group { name: "", keys: &[&FILE.spec] }]);

pub(crate) struct FileStreamSink;

#[async_trait]
impl SinkConnector for FileStreamSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSinkConnector"
    }

    fn version(&self) -> &'static str {
        crate::KAFKA_VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    /// Kafka's own group is all there is: lines stay in the file.
    async fn alter_offsets(
        &self,
        _props: &Props,
        _offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<bool> {
        Ok(true)
    }

    async fn start(&self, config: Config) -> Result<Box<dyn SinkTask>> {
        let out = match config.find(&FILE).filter(|path| !path.is_empty()) {
            None => Out::Console,
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(&path).await;
                let file = file.map_err(|error| {
                    Error::fatal(format!(
                        "Couldn't find or create file '{path}' for FileStreamSinkTask"
                    ))
                    .caused_by(error)
                })?;
                Out::File { file: BufWriter::new(file), path }
            }
        };
        Ok(Box::new(Task { out, text: Text::java()? }))
    }
}

enum Out {
    Console,
    File { file: BufWriter<File>, path: String },
}

struct Task {
    out: Out,
    text: Text,
}

#[async_trait]
impl SinkTask for Task {
    async fn put(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()> {
        let mut lines = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let before = lines.len();
            match self.text.write(&record.record.topic, &record.record.value, &mut lines).await {
                Ok(()) => lines.push(b'\n'),
                Err(error) => {
                    lines.truncate(before);
                    errant.report(index, error);
                }
            }
        }
        let written = match &mut self.out {
            Out::Console => crate::print(lines).await,
            // Whoever follows the file sees lines as soon as a JVM worker would show them.
            Out::File { file, .. } => match file.write_all(&lines).await {
                Ok(()) => file.flush().await,
                Err(error) => Err(error),
            },
        };
        written.map_err(|error| self.out.failed(error))
    }

    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets> {
        let written = match &mut self.out {
            Out::Console => Ok(()),
            Out::File { file, .. } => match file.flush().await {
                Ok(()) => file.get_ref().sync_data().await,
                Err(error) => Err(error),
            },
        };
        written.map_err(|error| self.out.failed(error))?;
        Ok(current)
    }

    async fn close(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        let flushed = match &mut self.out {
            Out::Console => Ok(()),
            Out::File { file, .. } => file.flush().await,
        };
        flushed.map_err(|error| self.out.failed(error))
    }
}

impl Out {
    /// Fatal: part of the lines may be in the file, so they must not be written once more without a
    /// person knowing.
    fn failed(&self, error: std::io::Error) -> Error {
        let path = match self {
            Out::Console => "standard output",
            Out::File { path, .. } => path,
        };
        Error::fatal(format!("writing to {path} failed")).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        record::{Data, Record, TimestampType, no_headers},
        schema::{Kind, Schema},
        value::{Struct, Value},
    };

    use super::*;

    fn record(value: Data) -> SinkRecord {
        let record = Record {
            topic: "t".into(),
            partition: None,
            key: Data::NULL,
            value,
            timestamp: None,
            headers: no_headers(),
        };
        SinkRecord {
            record,
            kafka_partition: 0,
            kafka_offset: 0,
            timestamp_type: TimestampType::CreateTime,
        }
    }

    async fn task(path: &str) -> Result<Box<dyn SinkTask>> {
        FileStreamSink.start(CONFIG.parse([("file", path)]).unwrap()).await
    }

    /// Lines are appended over restarts, and are in the file after `pre_commit`.
    #[tokio::test]
    async fn appends() {
        let path = std::env::temp_dir().join(format!("riverrun-file-sink-{}", std::process::id()));
        let path = path.to_str().unwrap();
        let number = Arc::new(Schema::new(Kind::Float64));
        let pair = Arc::new(Schema::structure([("a", number.clone()), ("b", number)]));
        let pair = Struct::new(pair, vec![Value::Float64(1e10), Value::Float64(2.0)]);
        let values = [
            Data { schema: None, value: Value::Text("text".into()) },
            Data::NULL,
            Data::structure(pair),
        ];
        for value in values {
            let mut task = task(path).await.unwrap();
            let mut errant = Errant::default();
            task.put(&[record(value)], &mut errant).await.unwrap();
            task.pre_commit(Offsets::new()).await.unwrap();
            assert!(errant.records.is_empty());
        }
        let lines = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(lines, "text\nnull\nStruct{a=1.0E10,b=2.0}\n");
    }

    #[tokio::test]
    async fn no_such_directory() {
        let error = task("/nonexistent/file").await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "Couldn't find or create file '/nonexistent/file' for FileStreamSinkTask"
        );
    }
}
