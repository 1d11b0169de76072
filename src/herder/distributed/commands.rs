//! What requests ask of the driver: restarts of what this worker runs.
//!
//! A restart of a task that nobody has is refused, as by the JVM's worker. But the tasks of a connector
//! that was just resumed are only about to come: the connector is being asked for them, or they are
//! being written. The JVM's one thread gets to the request when all that is done, so here it waits
//! for the round in which somebody gets the task.

use std::time::Duration;

use tokio::time::Instant;

use super::{Command, driver::Driver, work::Reply};
use crate::{group::TaskId, herder::Target, runtime::State};

/// How long a restart waits for a task that is about to come.
const COMING_WITHIN: Duration = Duration::from_secs(10);

/// A restart of a task that is about to come.
pub(super) struct Waiting {
    until: Instant,
    id: TaskId,
    reply: Reply,
}

impl Driver {
    /// Whoever asked may be gone, here as below.
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Check { reply } => reply.send(Ok(())).unwrap_or_default(),
            Command::RestartConnector { name, reply } => {
                if self.running.has_connector(&name) {
                    self.stores.cancel(&name);
                    self.running.restart_connector(&name, reply);
                } else {
                    let refusal = self.shared.elsewhere(|owners| owners.connector(&name));
                    reply.send(Err(refusal)).unwrap_or_default();
                }
            }
            Command::RestartTask { id, reply } => {
                let until = Instant::now() + COMING_WITHIN;
                self.restart_or_wait(Waiting { until, id, reply });
            }
        }
    }

    /// Looks again at the restarts that wait: after a round, and from time to time.
    pub(super) fn restart_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.restart_or_wait(waiting);
        }
    }

    fn restart_or_wait(&mut self, waiting: Waiting) {
        if self.running.has_task(&waiting.id) {
            return self.running.restart_task(&waiting.id, false, Some(waiting.reply));
        }
        if self.is_coming(&waiting.id) && Instant::now() < waiting.until {
            return self.waiting.push(waiting);
        }
        let refusal = self.shared.elsewhere(|owners| owners.task(&waiting.id));
        waiting.reply.send(Err(refusal)).unwrap_or_default();
    }

    /// Whether the task's connector runs here, without any tasks yet.
    fn is_coming(&self, id: &TaskId) -> bool {
        let snapshot = self.shared.configs.snapshot();
        let name = &id.connector;
        let state = self.running.connector_state(name);
        snapshot.target(name) == Some(Target::Running)
            && snapshot.task_count(name) == 0
            && state.is_some_and(|state| state != State::Failed)
    }
}
