//! What is asked of a connector itself: what tasks it makes of its configuration, whether it has
//! failed, and what it says to new offsets.

use model::{
    connector::{Object, Props, SourceConnector},
    error::{Error, Result},
};

use super::{isolated, validate, worker_config::WorkerConfig};
use crate::{
    plugins::Plugin,
    runtime::threads::{self, Threads},
};

/// Asks the connector for its tasks: it may hang or panic. `raw` has `${…}` as
/// written, and so has the answer.
pub(super) async fn task_configs(
    worker: &WorkerConfig,
    threads: &Threads,
    name: &str,
    plugin: Plugin,
    raw: &Props,
) -> Result<Vec<Props>> {
    let props = worker.providers.resolve_aside(threads, raw).await.map_err(Error::fatal)?;
    let tasks_max = validate::tasks_max(&props);
    let asked = props.clone();
    let code = async move {
        match plugin {
            Plugin::Source(source) => source.task_configs(&asked, tasks_max).await,
            Plugin::Sink(sink) => sink.task_configs(&asked, tasks_max).await,
        }
    };
    let mut configs =
        isolated::run(threads, isolated::CONNECTOR_CODE_MAX, code).await.map_err(|fault| {
            Error::fatal(format!("the connector was asked for its tasks and {fault}"))
        })??;
    check_count(name, configs.len(), &props)?;
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

/// Lets a connector that runs watch over itself. Returns why it has failed; never, when it does not.
/// Its code has a thread of its own, if it watches at all.
pub(super) async fn watch(
    worker: &WorkerConfig,
    threads: &Threads,
    plugin: Plugin,
    raw: &Props,
) -> Error {
    let props = match worker.providers.resolve_aside(threads, raw).await {
        Ok(props) => props,
        // It runs all the same, by what was resolved as it started.
        Err(wrong) => {
            tracing::warn!("the connector cannot watch over itself: {wrong}");
            return std::future::pending().await;
        }
    };
    let code = async move {
        match plugin.watch(&props) {
            Some(watch) => Some(watch.await),
            None => None,
        }
    };
    match threads.run(code).await {
        Ok(Some(error)) => error,
        Err(threads::Fault::Panicked(panic)) => {
            let how = threads::panic_text(panic.as_ref()).unwrap_or_default();
            Error::fatal(format!("the connector watched over itself and panicked: {how}"))
        }
        Ok(None) | Err(threads::Fault::Ended) => std::future::pending().await,
    }
}

/// Refuses more tasks than `tasks.max`, or warns of them where `tasks.max.enforce` is off. Asked when
/// the connector names its tasks and when one of them starts. The text is that of Connect's
/// `TooManyTasksException`.
pub(super) fn check_count(name: &str, tasks: usize, props: &Props) -> Result<()> {
    let tasks_max = validate::tasks_max(props);
    if tasks <= tasks_max {
        return Ok(());
    }
    let told = format!(
        "The connector {name} has generated {tasks} tasks, which is greater than {tasks_max}, the \
         maximum number of tasks it is configured to create."
    );
    if validate::tasks_max_enforced(props) {
        return Err(Error::fatal(format!(
            "{told} This behaviour should be considered a bug and is disallowed. If necessary, it \
             can be permitted by reconfiguring the connector with 'tasks.max.enforce' set to \
             false; however, this option will be removed in a future release of Kafka Connect."
        )));
    }
    tracing::warn!("[{name}|worker] {told}");
    Ok(())
}

/// Asks a source what it says to new offsets: its code may hang or panic.
pub(super) async fn alter_offsets(
    worker: &WorkerConfig,
    threads: &Threads,
    source: &'static dyn SourceConnector,
    raw: &Props,
    changes: &[(Object, Option<Object>)],
) -> Result<bool> {
    let props = worker.providers.resolve_aside(threads, raw).await.map_err(Error::fatal)?;
    let changes = changes.to_vec();
    let code = async move { source.alter_offsets(&props, &changes).await };
    isolated::run(threads, isolated::CONNECTOR_CODE_MAX, code).await.map_err(|fault| {
        Error::fatal(format!("the connector was asked about the new offsets and {fault}"))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_tasks() {
        let check = |tasks: usize, props: &[(&str, &str)]| {
            let props = props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            check_count("c", tasks, &props.collect()).map_err(|error| error.to_string())
        };
        assert_eq!(check(1, &[]), Ok(()));
        assert_eq!(check(3, &[("tasks.max", "3")]), Ok(()));
        assert_eq!(check(2, &[("tasks.max.enforce", "false")]), Ok(()));
        let told = check(4, &[("tasks.max", "3")]).unwrap_err();
        let text = "The connector c has generated 4 tasks, which is greater than 3, the maximum number of tasks it is configured to create. This behaviour should be considered a bug and is disallowed. If necessary, it can be permitted by reconfiguring the connector with 'tasks.max.enforce' set to false; however, this option will be removed in a future release of Kafka Connect.";
        assert_eq!(told, text);
    }
}
