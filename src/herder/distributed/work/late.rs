//! What the status topic says of this worker's work although it is not so: the words of a worker that
//! hung or was cut off, and had the work before or meanwhile, may come after those of this one.

use std::collections::BTreeSet;

use super::{Phase, Running, version};
use crate::{group::TaskId, runtime::State, storage::Status};

/// A connector itself, or a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Connector(String),
    Task(TaskId),
}

impl Running {
    /// Tells once more of what runs on here and another worker spoke of last: it had the work while
    /// this one was taken for gone.
    pub(in crate::herder::distributed) fn tell_of_kept(&mut self) {
        let own = self.shared.worker_id.clone();
        for part in self.misrepresented(|said, _| said.worker_id != own) {
            self.tell_again(&part);
        }
    }

    /// The same for what has been said of the work since, at two calls in a row: the last words of a
    /// worker that was cut off may come late, and a worker's own words take some time to come back.
    pub(in crate::herder::distributed) fn correct(&mut self) {
        let own = self.shared.worker_id.clone();
        let wrong = self.misrepresented(|said, state| said.worker_id != own || said.state != state);
        let before = std::mem::take(&mut self.doubtful);
        for part in wrong.intersection(&before) {
            tracing::info!("somebody's late words hide how {part:?} is; telling it again");
            self.tell_again(part);
        }
        self.doubtful = wrong;
    }

    /// What runs here, or is held, and of which the status topic says what is `wrong`, while nothing
    /// better is on its way.
    fn misrepresented(&self, wrong: impl Fn(&Status, State) -> bool) -> BTreeSet<Part> {
        let runs = |state: State| matches!(state, State::Running | State::Paused | State::Stopped);
        let statuses = &self.shared.statuses;
        let is_wrong = |said: Option<Status>, state: State| {
            runs(state) && said.is_some_and(|said| wrong(&said, state))
        };
        let connectors = self
            .connectors
            .iter()
            .filter(|(name, known)| is_wrong(statuses.connector(name), known.state))
            .filter(|(name, _)| !statuses.tells_of(name))
            .map(|(name, _)| Part::Connector(name.clone()));
        let tasks = self
            .tasks
            .iter()
            .filter(|(id, known)| {
                matches!(known.phase, Phase::Runs(_))
                    && is_wrong(statuses.task(&id.connector, id.task as usize), known.state)
                    && !statuses.tells_of_task(&id.connector, id.task as usize)
            })
            .map(|(id, _)| Part::Task(id.clone()));
        connectors.chain(tasks).collect()
    }

    fn tell_again(&mut self, part: &Part) {
        match part {
            Part::Connector(name) => {
                if let Some(state) = self.connector_state(name) {
                    self.tell(name, state, None);
                }
            }
            Part::Task(id) => {
                if let Some(state) = self.tasks.get(id).map(|task| task.state) {
                    tracing::info!("[{}|task-{}] {state:?}", id.connector, id.task);
                    let snapshot = self.shared.configs.snapshot();
                    let version = snapshot.connector(&id.connector).and_then(|c| version(c));
                    let status = self.status(state, None, version);
                    self.shared.statuses.put_task(&id.connector, id.task as usize, status);
                }
            }
        }
    }
}
