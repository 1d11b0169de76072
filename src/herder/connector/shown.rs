//! What REST shows of a connector.

use std::sync::Arc;

use super::{Connector, Task};
use crate::{
    herder::{ConnectorInfo, ConnectorStatus, RawConfig, StateInfo, TaskId, TaskInfo, TaskStatus},
    metrics::TaskExtra,
    plugins::Plugin,
    runtime::{State, TaskHandle},
};

impl Connector {
    pub(in crate::herder) fn is_sink(&self) -> bool {
        matches!(self.plugin, Plugin::Sink(_))
    }

    fn task_id(&self, task: usize) -> TaskId {
        TaskId { connector: self.name.to_string(), task }
    }

    pub(in crate::herder) fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            name: self.name.to_string(),
            config: self.config.clone(),
            tasks: self.tasks.keys().map(|task| self.task_id(*task)).collect(),
            kind: self.plugin.kind(),
        }
    }

    pub(in crate::herder) fn task_infos(&self) -> Vec<TaskInfo> {
        let info = |(id, task): (&usize, &Task)| {
            // The user's order first: keys that share a bucket of Java's map keep it.
            let users = self.config.iter().filter_map(|(key, _)| task.config.get_key_value(key));
            let given = users.chain(&task.config);
            let mut config: RawConfig =
                given.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
            config.set("task.class", Some(self.plugin.task_class()));
            TaskInfo { id: self.task_id(*id), config: config.in_hash_order() }
        };
        self.tasks.iter().map(info).collect()
    }

    pub(in crate::herder) fn status(&self) -> ConnectorStatus {
        let info = |state: State, trace: &Option<String>| StateInfo {
            state,
            worker_id: self.shared.worker_id.clone(),
            version: self.plugin.version().into(),
            trace: trace.clone().filter(|trace| !trace.is_empty()),
        };
        ConnectorStatus {
            name: self.name.to_string(),
            connector: info(self.state, &self.trace),
            tasks: (self.tasks.iter())
                .map(|(id, task)| TaskStatus {
                    id: *id,
                    state: info(task.state, &task.trace),
                    extra: self.extra(*id, task),
                })
                .collect(),
            kind: self.plugin.kind(),
        }
    }

    fn extra(&self, id: usize, task: &Task) -> TaskExtra {
        let own = task.handle.as_ref().map(|handle| handle.metrics().extra());
        TaskExtra { restart: self.restarts.shown(&id), ..own.unwrap_or_default() }
    }

    pub(in crate::herder) fn topics(&self) -> Vec<Arc<str>> {
        let running = self.tasks.values().filter_map(|task| task.handle.as_ref());
        let mut topics = self.topics.clone();
        topics.extend(running.flat_map(TaskHandle::topics));
        topics.into_iter().collect()
    }

    pub(in crate::herder) fn forget_topics(&mut self) {
        self.topics.clear();
        for handle in self.tasks.values().filter_map(|task| task.handle.as_ref()) {
            handle.forget_topics();
        }
    }
}
