//! The offsets of sink connectors, as REST reads and changes them: their consumer groups'.

use std::collections::BTreeMap;

use model::{
    connector::{Object, Props, SinkConnector, TopicPartition},
    error::{Error, Result},
};
use serde_json::Value;

use super::{Answer, Refusal, isolated, worker_config::WorkerConfig};
use crate::runtime::{
    Tasks, Threads,
    transport::{ChangeError, OffsetChange},
};

/// How long a Kafka client may take, with the reading of the files that its settings name.
const CLIENT_MAX: std::time::Duration = std::time::Duration::from_secs(90);

/// What is committed for a connector with this configuration, `${…}` not resolved.
pub(super) async fn list(
    worker: &WorkerConfig,
    tasks: &Tasks,
    name: &str,
    raw: &Props,
) -> Answer<Vec<(Object, Object)>> {
    let props = resolved(worker, tasks, raw).await?;
    let listed = committed(tasks, name, &props).await.map_err(|error| {
        tracing::error!("[{name}|worker] {}", error.trace());
        Refusal::new(500, error.to_string())
    })?;
    Ok(listed.into_iter().map(|(place, offset)| shown(&place, offset)).collect())
}

async fn resolved(worker: &WorkerConfig, tasks: &Tasks, raw: &Props) -> Answer<Props> {
    let resolved = worker.providers.resolve_aside(&tasks.threads, raw).await;
    resolved.map_err(|wrong| Refusal::new(500, wrong))
}

/// The client may have to read key stores, which may lie where nobody answers.
async fn committed(tasks: &Tasks, name: &str, props: &Props) -> Result<Vec<(TopicPartition, i64)>> {
    let (transport, connector, props) = (tasks.transport.clone(), name.to_owned(), props.clone());
    let code = async move { transport.sink_offsets(&connector, &props).await };
    isolated::run(&tasks.threads, CLIENT_MAX, code).await.map_err(|fault| {
        Error::retriable(format!("looking up the offsets of sink connector {name} {fault}"))
    })?
}

fn shown(place: &TopicPartition, offset: i64) -> (Object, Object) {
    let partition = [
        ("kafka_topic".to_owned(), Value::from(&*place.topic)),
        ("kafka_partition".to_owned(), Value::from(place.partition)),
    ];
    (
        model::java::hash_map(partition),
        [("kafka_offset".to_owned(), Value::from(offset))].into_iter().collect(),
    )
}

/// Changes what is committed; `None` forgets all. Answers whether that is all there is to do: see
/// [`SinkConnector::alter_offsets`]. The connector must be stopped, which the caller has seen to.
pub(super) async fn change(
    worker: &WorkerConfig,
    tasks: &Tasks,
    sink: &'static dyn SinkConnector,
    name: &str,
    raw: &Props,
    changes: Option<Vec<(Object, Option<Object>)>>,
) -> Answer<bool> {
    let props = resolved(worker, tasks, raw).await?;
    let failed = |error: Error| {
        tracing::error!("[{name}|worker] {}", error.trace());
        Refusal::new(500, error.to_string())
    };
    let reset = changes.is_none();
    let offsets = match changes {
        Some(changes) => parse(&changes).map_err(|wrong| Refusal::new(400, wrong))?,
        None => {
            let listed = committed(tasks, name, &props).await.map_err(|error| {
                let text = format!(
                    "Failed to list offsets prior to resetting offsets for sink connector {name}"
                );
                failed(Error::retriable(text).caused_by(error))
            })?;
            listed.into_iter().map(|(place, _)| (place, None)).collect()
        }
    };
    let done = ask(&tasks.threads, sink, props.clone(), offsets.clone()).await.map_err(failed)?;
    if offsets.values().flatten().any(|offset| *offset < 0) {
        // The JVM finds it at this point too.
        let text = format!("Failed to modify offsets for sink connector {name}");
        return Err(failed(Error::fatal(text).caused_by("Invalid negative offset")));
    }
    let (transport, connector) = (tasks.transport.clone(), name.to_owned());
    let code = async move {
        let change = if reset { OffsetChange::Reset } else { OffsetChange::Alter(&offsets) };
        transport.change_sink_offsets(&connector, &props, change).await
    };
    match isolated::run(&tasks.threads, CLIENT_MAX, code).await {
        Ok(Ok(())) => Ok(done),
        Ok(Err(ChangeError::InUse(error) | ChangeError::Failed(error))) => Err(failed(error)),
        Err(fault) => {
            let text = format!("changing the offsets of sink connector {name} {fault}");
            Err(failed(Error::retriable(text)))
        }
    }
}

/// Asks the connector: its code may hang or panic.
async fn ask(
    threads: &Threads,
    sink: &'static dyn SinkConnector,
    props: Props,
    offsets: BTreeMap<TopicPartition, Option<i64>>,
) -> Result<bool> {
    let code = async move { sink.alter_offsets(&props, &offsets).await };
    isolated::run(threads, isolated::CONNECTOR_CODE_MAX, code).await.map_err(|fault| {
        Error::fatal(format!("the connector was asked about the new offsets and {fault}"))
    })?
}

/// Reads what a user has given. The errors are Connect's, to the letter.
fn parse(
    changes: &[(Object, Option<Object>)],
) -> Result<BTreeMap<TopicPartition, Option<i64>>, String> {
    let mut offsets = BTreeMap::new();
    for (partition, offset) in changes {
        let (Some(topic), Some(number)) =
            (partition.get("kafka_topic"), partition.get("kafka_partition"))
        else {
            return Err("The partition for a sink connector offset must contain the keys \
                        'kafka_topic' and 'kafka_partition'"
                .to_owned());
        };
        if topic.is_null() {
            return Err("Kafka topic names must be valid strings and may not be null".to_owned());
        }
        if number.is_null() {
            return Err("Kafka partitions must be valid numbers and may not be null".to_owned());
        }
        let number = text(number);
        let partition = number.parse().map_err(|_| {
            format!(
                "Failed to parse the following Kafka partition value in the provided offsets: \
                 '{number}'. Partition values for sink connectors need to be integers."
            )
        })?;
        let place = TopicPartition { topic: text(topic).into(), partition };
        let Some(offset) = offset else {
            offsets.insert(place, None);
            continue;
        };
        let Some(offset) = offset.get("kafka_offset") else {
            return Err(
                "The offset for a sink connector should either be null or contain the key \
                        'kafka_offset'"
                    .to_owned(),
            );
        };
        let offset = text(offset);
        let parsed: i64 = offset.parse().map_err(|_| {
            format!(
                "Failed to parse the following Kafka offset value in the provided offsets: \
                 '{offset}'. Offset values for sink connectors need to be integers."
            )
        })?;
        offsets.insert(place, Some(parsed));
    }
    Ok(offsets)
}

/// As Java's `String.valueOf` writes a value that was read from JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(changes: Value) -> Result<Vec<(String, i32, Option<i64>)>, String> {
        let pair =
            |pair: &Value| (pair[0].as_object().unwrap().clone(), pair[1].as_object().cloned());
        let changes: Vec<_> = changes.as_array().unwrap().iter().map(pair).collect();
        let flat = |(place, offset): (TopicPartition, Option<i64>)| {
            (place.topic.to_string(), place.partition, offset)
        };
        Ok(parse(&changes)?.into_iter().map(flat).collect())
    }

    #[test]
    fn offsets_as_users_write_them() {
        let place = |number: Value| json!({ "kafka_topic": "t", "kafka_partition": number });
        let given = json!([
            [place(json!(0)), { "kafka_offset": 10 }],
            [place(json!("1")), { "kafka_offset": "20", "more": 1 }],
            [place(json!(2)), null],
        ]);
        let t = || "t".to_owned();
        assert_eq!(read(given).unwrap(), [(t(), 0, Some(10)), (t(), 1, Some(20)), (t(), 2, None)]);
        for (partition, offset, answer) in [
            (
                json!({ "kafka_topic": "t" }),
                json!(null),
                "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'",
            ),
            (
                json!({ "kafka_topic": null, "kafka_partition": 0 }),
                json!(null),
                "Kafka topic names must be valid strings and may not be null",
            ),
            (
                place(json!(null)),
                json!(null),
                "Kafka partitions must be valid numbers and may not be null",
            ),
            (
                place(json!("x")),
                json!(null),
                "Failed to parse the following Kafka partition value in the provided offsets: 'x'. Partition values for sink connectors need to be integers.",
            ),
            (
                place(json!(0)),
                json!({ "offset": 1 }),
                "The offset for a sink connector should either be null or contain the key 'kafka_offset'",
            ),
            (
                place(json!(0)),
                json!({ "kafka_offset": 1.5 }),
                "Failed to parse the following Kafka offset value in the provided offsets: '1.5'. Offset values for sink connectors need to be integers.",
            ),
        ] {
            assert_eq!(read(json!([[partition, offset]])).unwrap_err(), answer);
        }
    }
}
