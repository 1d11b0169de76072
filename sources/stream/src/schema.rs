//! `org.apache.kafka.connect.tools.SchemaSourceConnector`: `num.messages` records with a schema, or
//! with two schemas in turn (`multiple.schema`), for tests of converters.

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

const TASK: &str = "SchemaSourceTask";

pub(crate) struct SchemaSource;

#[async_trait]
impl SourceConnector for SchemaSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.SchemaSourceConnector"
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
        let invalid = |cause: &str| {
            Error::fatal(format!("Invalid {TASK} configuration")).caused_by(cause.to_owned())
        };
        let id: i32 = numbered::number(&config, "id", TASK)?;
        let topic = config.prop("topic").ok_or_else(|| invalid("topic is not set"))?;
        let partitions: i32 = match config.prop("partition.count") {
            None => 1,
            Some(_) => numbered::number(&config, "partition.count", TASK)?,
        };
        if partitions < 1 {
            return Err(invalid("partition.count is not positive"));
        }
        let two =
            config.prop("multiple.schema").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Ok(Box::new(Task {
            id,
            topic: topic.into(),
            messages: numbered::number(&config, "num.messages", TASK)?,
            partitions: partitions.into(),
            two,
            key: Data {
                schema: Some(Arc::new(Schema::new(Kind::String))),
                value: Value::Text("key".into()),
            },
            schemas: [false, true].map(|second| Arc::new(value_schema(second))),
            headers: no_headers(),
            pace: Pace::new(numbered::number(&config, "throughput", TASK)?),
            numbers: Numbers::resume(id, &*start.offsets).await?,
        }))
    }
}

/// The second version has a string with a default before the task's id.
fn value_schema(second: bool) -> Schema {
    let mut fields = vec![
        ("boolean", Schema::new(Kind::Boolean)),
        ("int", Schema::new(Kind::Int32)),
        ("long", Schema::new(Kind::Int64)),
        ("float", Schema::new(Kind::Float32)),
        ("double", Schema::new(Kind::Float64)),
        ("partitioning", Schema::new(Kind::Int32)),
    ];
    if second {
        fields.push(("string", Schema::new(Kind::String).default(Value::Text("abc".into()))));
    }
    fields.extend([("id", Schema::new(Kind::Int32)), ("seqno", Schema::new(Kind::Int64))]);
    let fields = fields.into_iter().map(|(name, schema)| (name, Arc::new(schema)));
    Schema::structure(fields).named("record", if second { 2 } else { 1 })
}

struct Task {
    /// Also the Kafka partition that the records go to.
    id: i32,
    topic: Arc<str>,
    /// How many records there are to be from each start on.
    messages: i64,
    partitions: i64,
    /// The schemas take turns.
    two: bool,
    key: Data,
    schemas: [Arc<Schema>; 2],
    headers: Headers,
    pace: Pace,
    numbers: Numbers,
}

#[async_trait]
impl SourceTask for Task {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        loop {
            let left =
                u64::try_from(self.messages).unwrap_or(0).saturating_sub(self.numbers.count());
            if left == 0 {
                out.stopped().await;
                return Ok(());
            }
            let Some((room, count)) = self.pace.room(out, self.numbers.count()).await else {
                return Ok(());
            };
            let mut lines = String::new();
            let records: Vec<Record> =
                (0..count.min(left)).map(|_| self.record(&mut lines)).collect();
            let bytes = records.len() * size_of::<Record>();
            crate::print(lines).await?;
            room.send(Batch {
                records: records.into(),
                position: Some(self.numbers.position()),
                bytes,
            });
        }
    }
}

impl Task {
    fn record(&mut self, lines: &mut String) -> Record {
        let second = self.two && self.numbers.count() % 2 == 1;
        let seqno = self.numbers.take();
        let mut fields = vec![
            Value::Bool(true),
            Value::Int(12),
            Value::Int(12),
            Value::Float32(12.2),
            Value::Float64(12.2),
            Value::Int(seqno % self.partitions),
        ];
        if second {
            fields.push(Value::Text("def".into()));
        }
        fields.extend([Value::Int(self.id.into()), Value::Int(seqno)]);
        let schema = self.schemas[usize::from(second)].clone();
        writeln!(lines, "{{\"task\": {}, \"seqno\": {seqno}}}", self.id)
            .expect("a string takes what is written to it");
        Record {
            topic: self.topic.clone(),
            partition: Some(self.id),
            key: self.key.clone(),
            value: Data::structure(Struct::new(schema, fields)),
            timestamp: None,
            headers: self.headers.clone(),
        }
    }
}
