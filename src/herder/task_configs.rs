//! What is asked of a connector itself: what tasks it makes of its configuration, and what it says
//! to new offsets.

use std::time::Duration;

use model::{
    connector::{Object, Props, SourceConnector},
    error::{Error, Result},
};

use super::{isolated, validate, worker_config::WorkerConfig};
use crate::plugins::Plugin;

/// How long connector code may take to name its tasks. As long as a REST request may take.
const CONNECTOR_CODE_MAX: Duration = Duration::from_secs(90);

/// Asks the connector for its tasks: it may hang or panic. `raw` has `${…}` as
/// written, and so has the answer.
pub(super) async fn task_configs(
    worker: &WorkerConfig,
    name: &str,
    plugin: Plugin,
    raw: &Props,
) -> Result<Vec<Props>> {
    let props = worker.providers.resolve(raw).map_err(Error::fatal)?;
    let tasks_max = validate::tasks_max(&props);
    let asked = props.clone();
    let code = async move {
        match plugin {
            Plugin::Source(source) => source.task_configs(&asked, tasks_max).await,
            Plugin::Sink(sink) => sink.task_configs(&asked, tasks_max).await,
        }
    };
    let mut configs = isolated::run(CONNECTOR_CODE_MAX, code).await.map_err(|fault| {
        Error::fatal(format!("the connector was asked for its tasks and {fault}"))
    })??;
    if configs.len() > tasks_max {
        let told = format!(
            "The connector {name} has generated {} tasks, which is greater than {tasks_max}, the \
             maximum number of tasks it is configured to create. ",
            configs.len()
        );
        if validate::tasks_max_enforced(&props) {
            return Err(Error::fatal(told));
        }
        tracing::warn!("[{name}|worker] {told}");
    }
    // What a provider gave is not kept: the reference is, as it is written.
    for (key, value) in configs.iter_mut().flatten() {
        if let (Some(written), Some(resolved)) = (raw.get(key), props.get(key))
            && resolved == value
        {
            value.clone_from(written);
        }
    }
    Ok(configs)
}

/// Asks a source what it says to new offsets: its code may hang or panic.
pub(super) async fn alter_offsets(
    worker: &WorkerConfig,
    source: &'static dyn SourceConnector,
    raw: &Props,
    changes: &[(Object, Option<Object>)],
) -> Result<bool> {
    let props = worker.providers.resolve(raw).map_err(Error::fatal)?;
    let changes = changes.to_vec();
    let code = async move { source.alter_offsets(&props, &changes).await };
    isolated::run(CONNECTOR_CODE_MAX, code).await.map_err(|fault| {
        Error::fatal(format!("the connector was asked about the new offsets and {fault}"))
    })?
}
