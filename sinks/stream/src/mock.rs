//! `org.apache.kafka.connect.tools.MockSinkConnector`: drops its records, and fails when it is told
//! to, for tests of how failures are shown.
//!
//! `mock_mode=connector-failure` fails the connector, `mock_mode=task-failure` its task, `delay_ms`
//! after the start.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef},
    connector::{Errant, Offsets, Props, SinkConnector, SinkTask, Watch},
    error::{Error, Result},
    record::SinkRecord,
};
use tokio::time::Instant;

/// Kafka declares no keys.
static CONFIG: ConfigDef = ConfigDef(&[]);

/// The longest time between two looks at the clock.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) struct MockSink;

#[async_trait]
impl SinkConnector for MockSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.MockSinkConnector"
    }

    fn version(&self) -> &'static str {
        crate::KAFKA_VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    /// One task. A delay that is no number fails the connector's start.
    async fn task_configs(&self, props: &Props, _tasks_max: usize) -> Result<Vec<Props>> {
        delay(props, "connector-failure")?;
        Ok(vec![props.clone()])
    }

    fn watch<'w>(&'w self, props: &'w Props) -> Option<Watch<'w>> {
        let delay = delay(props, "connector-failure").transpose()?;
        Some(Box::pin(async move {
            match delay {
                Ok(delay) => {
                    tokio::time::sleep(delay).await;
                    on_request(delay, "connector-failure")
                }
                Err(error) => error,
            }
        }))
    }

    async fn start(&self, config: Config) -> Result<Box<dyn SinkTask>> {
        let fails =
            delay(config.props(), "task-failure")?.map(|delay| (Instant::now() + delay, delay));
        Ok(Box::new(Task { fails }))
    }
}

/// How long until the failure, when `mode` is what is asked for.
fn delay(props: &Props, mode: &str) -> Result<Option<Duration>> {
    if props.get("mock_mode").is_none_or(|asked| asked != mode) {
        return Ok(None);
    }
    let Some(text) = props.get("delay_ms") else { return Ok(Some(Duration::from_secs(15))) };
    let delay: i64 = text.parse().map_err(|error: std::num::ParseIntError| {
        Error::fatal(format!("delay_ms is not a number of milliseconds: {text:?}")).caused_by(error)
    })?;
    Ok(Some(Duration::from_millis(u64::try_from(delay).unwrap_or(0))))
}

fn on_request(delay: Duration, mode: &str) -> Error {
    Error::fatal(format!(
        "failed as the configuration asks: mock_mode is {mode}, and {} ms have passed since the \
         start",
        delay.as_millis()
    ))
}

struct Task {
    /// When, and how long after the start.
    fails: Option<(Instant, Duration)>,
}

#[async_trait]
impl SinkTask for Task {
    async fn put(&mut self, _records: &[SinkRecord], _errant: &mut Errant) -> Result<()> {
        match self.fails {
            Some((at, delay)) if Instant::now() >= at => Err(on_request(delay, "task-failure")),
            _ => Ok(()),
        }
    }

    fn put_within(&self) -> Option<Duration> {
        let (at, _) = self.fails?;
        Some(at.saturating_duration_since(Instant::now()).min(LOOK))
    }

    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets> {
        Ok(current)
    }
}
