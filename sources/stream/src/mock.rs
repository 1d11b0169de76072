//! `org.apache.kafka.connect.tools.MockSourceConnector`: makes no records, and fails when it is told
//! to, for tests of how failures are shown.
//!
//! `mock_mode=connector-failure` fails the connector, `mock_mode=task-failure` its task, `delay_ms`
//! after the start.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef},
    connector::{Outbox, Props, SourceConnector, SourceTask, Start, Watch},
    error::{Error, Result},
};
use tokio::time::Instant;

/// Kafka declares no keys.
static CONFIG: ConfigDef = ConfigDef(&[]);

pub(crate) struct MockSource;

#[async_trait]
impl SourceConnector for MockSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.MockSourceConnector"
    }

    fn version(&self) -> &'static str {
        crate::KAFKA_VERSION
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    /// A delay that is no number fails the connector's start.
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

    async fn start(&self, config: Config, _start: Start) -> Result<Box<dyn SourceTask>> {
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
impl SourceTask for Task {
    async fn run(&mut self, out: &mut Outbox) -> Result<()> {
        let Some((at, delay)) = self.fails else {
            out.stopped().await;
            return Ok(());
        };
        tokio::select! {
            () = out.stopped() => Ok(()),
            () = tokio::time::sleep_until(at) => Err(on_request(delay, "task-failure")),
        }
    }
}
