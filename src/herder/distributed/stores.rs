//! Writing the task configurations that this worker's connectors have named.
//!
//! Each connector has a task of its own that writes, so that its writes never overtake one another.
//! It knows only the newest set that is wanted: a set that came while another was being written
//! replaces whatever waits. What fails is tried again for as long as the set is wanted; the connector
//! is not asked again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::error::{Error, Result};
use tokio::{sync::watch, time::Instant};

use super::{Shared, keys, writes};
use crate::{group::Version, herder::RawConfig, storage::Snapshot};

/// The pauses between the attempts, those of the JVM's worker.
fn pauses() -> impl Iterator<Item = Duration> {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(60);
    std::iter::successors(Some(FIRST), |pause| Some((*pause * 2).min(LONGEST)))
}

/// A signature may be refused for so long because the key is being replaced.
const ROTATION: Duration = Duration::from_secs(60);

type Set = Arc<Vec<RawConfig>>;

/// What is wanted of each connector; `None` when it is not here (any more), or does not run.
pub(super) struct Stores {
    shared: Arc<Shared>,
    wanted: HashMap<String, watch::Sender<Option<Set>>>,
}

impl Stores {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, wanted: HashMap::new() }
    }

    /// These are the tasks of the connector, whatever was wanted before.
    pub(super) fn want(&mut self, name: &str, tasks: Vec<RawConfig>) {
        let set = Some(Arc::new(tasks));
        if let Some(wanted) = self.wanted.get(name) {
            wanted.send_replace(set);
            return;
        }
        let (sender, wanted) = watch::channel(set);
        self.wanted.insert(name.to_owned(), sender);
        let store = Store { shared: self.shared.clone(), name: name.to_owned() };
        let attempt = async move |set: &Set, again| store.attempt(set, again).await;
        tokio::spawn(keep(wanted, pauses, attempt));
    }

    /// The connector is not here any more, or does not run: nothing is written for it, except for
    /// what is on its way.
    pub(super) fn cancel(&self, name: &str) {
        if let Some(wanted) = self.wanted.get(name) {
            wanted.send_replace(None);
        }
    }

    /// The connector is not configured any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.wanted.remove(name);
    }
}

/// What came of an attempt that failed.
#[derive(Debug)]
enum Failed {
    /// May pass.
    Now { error: Error, forbidden: bool },
    /// As long as this set is wanted.
    For(Error),
}

/// Writes what is wanted until nobody can want anything any more.
async fn keep<P: Iterator<Item = Duration>>(
    mut wanted: watch::Receiver<Option<Set>>,
    pauses: impl Fn() -> P,
    attempt: impl AsyncFn(&Set, bool) -> std::result::Result<(), Failed>,
) {
    let mut again = false;
    loop {
        let set = wanted.borrow_and_update().clone();
        if let Some(set) = set {
            write(&mut wanted, &set, &mut again, pauses(), &attempt).await;
        }
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Tries until the set is written, or is not the newest any more.
async fn write(
    wanted: &mut watch::Receiver<Option<Set>>,
    set: &Set,
    again: &mut bool,
    pauses: impl Iterator<Item = Duration>,
    attempt: &impl AsyncFn(&Set, bool) -> std::result::Result<(), Failed>,
) {
    let first = Instant::now();
    for pause in pauses {
        let written = attempt(set, *again).await;
        *again = true;
        match written {
            Ok(()) => return,
            Err(Failed::For(error)) => {
                return tracing::error!("{}; it is not tried again", error.trace());
            }
            Err(Failed::Now { error, forbidden }) if forbidden && first.elapsed() < ROTATION => {
                tracing::debug!("{}, possibly because the session key is new", error.trace());
            }
            Err(Failed::Now { error, .. }) => {
                tracing::error!("{}; trying again in {} ms", error.trace(), pause.as_millis());
            }
        }
        let other = |now: &Option<Set>| !now.as_ref().is_some_and(|now| Arc::ptr_eq(now, set));
        if tokio::time::timeout(pause, wanted.wait_for(other)).await.is_ok() {
            // The caller sees what is wanted now, and that nobody is there to want anything.
            return wanted.mark_changed();
        }
    }
}

struct Store {
    shared: Arc<Shared>,
    name: String,
}

impl Store {
    /// One attempt: by this worker when it leads, else by the one that does. `again` when there was
    /// an attempt before, whose outcome this worker may not have read yet.
    async fn attempt(&self, set: &Set, again: bool) -> std::result::Result<(), Failed> {
        let now = |error| Failed::Now { error, forbidden: false };
        if again {
            self.shared.configs.refresh(self.shared.group.sync_timeout).await.map_err(now)?;
        }
        if !changed(&self.shared.configs.snapshot(), &self.name, set) {
            return Ok(());
        }
        let failed = |why: &str| {
            Error::retriable(format!("store the tasks of connector {}", self.name)).caused_by(why)
        };
        match writes::put_tasks(&self.shared, &self.name, set).await {
            Ok(()) => Ok(()),
            Err(refusal) => match refusal.elsewhere {
                Some(url) => self.post(&url, set).await,
                None if (400..500).contains(&refusal.status) && refusal.status != 409 => {
                    Err(Failed::For(failed(&refusal.message)))
                }
                None => Err(now(failed(&refusal.message))),
            },
        }
    }

    /// Hands the tasks to the leader, who writes them.
    async fn post(&self, leader: &str, set: &Set) -> std::result::Result<(), Failed> {
        let (shared, name) = (&self.shared, &self.name);
        let failed = |why: String| {
            Error::retriable(format!("hand the tasks of connector {name} to the leader"))
                .caused_by(why)
        };
        let now = |why: String| Failed::Now { error: failed(why), forbidden: false };
        if leader.is_empty() {
            return Err(now("the group has no leader yet".to_owned()));
        }
        let body = serde_json::to_vec(&**set).map_err(|error| now(error.to_string()))?;
        let path = crate::rest::path_part(name);
        let url = format!("{}/connectors/{path}/tasks", leader.trim_end_matches('/'));
        let snapshot = shared.configs.snapshot();
        let signed = shared.standing.borrow().version == Some(Version::V2);
        let mac = shared.group.signing.signature;
        let signature = match (signed, snapshot.session_key()) {
            (true, Some(key)) => Some(keys::sign(mac, key, &body)),
            (true, None) => return Err(now("no session key has been read yet".to_owned())),
            (false, _) => None,
        };
        let mut headers = Vec::new();
        if let Some(signature) = &signature {
            headers.push(("X-Connect-Authorization", signature.as_str()));
            headers.push(("X-Connect-Request-Signature-Algorithm", mac.name()));
        }
        let client = &shared.worker.rest.client;
        let sent = client.send(&axum::http::Method::POST, &url, &headers, body).await;
        let reply = sent.map_err(|why| now(why.to_string()))?;
        match reply.status.is_success() {
            true => Ok(()),
            false => Err(Failed::Now {
                error: failed(format!(
                    "{}: {}",
                    reply.status,
                    String::from_utf8_lossy(&reply.body)
                )),
                forbidden: reply.status == axum::http::StatusCode::FORBIDDEN,
            }),
        }
    }
}

/// Whether the config topic must be told: of other tasks, or of tasks that the worker has to
/// configure anew (converters, overrides) although the connector names them as before.
pub(super) fn changed(snapshot: &Snapshot, name: &str, tasks: &[RawConfig]) -> bool {
    let now = snapshot.task_configs(name);
    let same = now.len() == tasks.len()
        && now.iter().zip(tasks).all(|(now, task)| now.props() == task.props());
    let props = |config: Option<&Arc<RawConfig>>| config.map(|config| config.props());
    !same || props(snapshot.applied(name)) != props(snapshot.connector(name))
}

/// The leader's part: whether it may store these tasks now. Asked under the lock that its writes
/// hold, so that a connector that has been stopped stays without tasks.
pub(super) fn check(snapshot: &Snapshot, name: &str, tasks: &[RawConfig]) -> Result<(), String> {
    match snapshot.target(name) {
        Some(crate::herder::Target::Stopped) if !tasks.is_empty() => {
            Err(format!("Cannot submit non-empty set of task configs for stopped connector {name}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::{Notify, mpsc};

    use super::*;

    fn set(text: &str) -> Set {
        Arc::new(vec![RawConfig::from_iter([("n".to_owned(), Some(text.to_owned()))])])
    }

    type Outcome = std::result::Result<(), Failed>;

    fn retriable() -> Outcome {
        Err(Failed::Now { error: Error::retriable("no leader"), forbidden: false })
    }

    /// A leader that tells of each attempt, and waits before it answers until it is let go.
    struct Leader {
        wanted: watch::Sender<Option<Set>>,
        attempts: mpsc::UnboundedReceiver<String>,
        go: Arc<Notify>,
    }

    impl Leader {
        /// `answers` are given from the end; then all goes well.
        fn new(first: &str, answers: Vec<Outcome>, pause: Duration) -> Self {
            let (wanted, receiver) = watch::channel(Some(set(first)));
            let (begun, attempts) = mpsc::unbounded_channel();
            let go = Arc::new(Notify::new());
            let (waits, answers) = (go.clone(), Mutex::new(answers));
            let attempt = async move |set: &Set, _again| {
                begun.send(set[0].get("n").unwrap_or_default().to_owned()).unwrap();
                waits.notified().await;
                answers.lock().unwrap().pop().unwrap_or(Ok(()))
            };
            tokio::spawn(keep(receiver, move || std::iter::repeat(pause), attempt));
            Self { wanted, attempts, go }
        }

        async fn attempt(&mut self) -> Option<String> {
            let next = tokio::time::timeout(Duration::from_secs(10), self.attempts.recv());
            next.await.expect("no attempt within 10 s")
        }

        /// Nothing is tried, however often others get their turn.
        async fn rests(&self) {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(self.attempts.is_empty());
        }
    }

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let millis: Vec<u128> = pauses().take(11).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
    }

    #[tokio::test]
    async fn one_is_in_flight_and_then_the_newest() {
        let mut leader = Leader::new("a", Vec::new(), NONE);
        assert_eq!(leader.attempt().await.unwrap(), "a");
        leader.wanted.send_replace(Some(set("b")));
        leader.wanted.send_replace(Some(set("c")));
        leader.rests().await;
        leader.go.notify_one();
        assert_eq!(leader.attempt().await.unwrap(), "c", "what was replaced is not written");
        leader.go.notify_one();
        leader.rests().await;
        let Leader { wanted, mut attempts, .. } = leader;
        drop(wanted);
        assert_eq!(attempts.recv().await, None, "it ends with the connector");
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_until_it_is_not_wanted() {
        let answers = (0..20).map(|_| retriable()).collect();
        let mut leader = Leader::new("a", answers, NONE);
        for _ in 0..12 {
            assert_eq!(leader.attempt().await.unwrap(), "a");
            leader.go.notify_one();
        }
        assert_eq!(leader.attempt().await.unwrap(), "a");
        leader.wanted.send_replace(None);
        leader.go.notify_one();
        leader.rests().await;
    }

    #[tokio::test]
    async fn a_newer_set_does_not_wait_for_the_end_of_a_pause() {
        let mut leader = Leader::new("a", vec![Ok(()), retriable()], Duration::from_secs(3600));
        assert_eq!(leader.attempt().await.unwrap(), "a");
        leader.go.notify_one();
        leader.rests().await;
        leader.wanted.send_replace(Some(set("b")));
        assert_eq!(leader.attempt().await.unwrap(), "b");
    }

    #[tokio::test]
    async fn what_cannot_pass_is_not_tried_again() {
        let answers = vec![Ok(()), Err(Failed::For(Error::fatal("stopped")))];
        let mut leader = Leader::new("a", answers, NONE);
        assert_eq!(leader.attempt().await.unwrap(), "a");
        leader.go.notify_one();
        leader.rests().await;
        leader.wanted.send_replace(Some(set("b")));
        assert_eq!(leader.attempt().await.unwrap(), "b");
    }

    /// What the config topic says, as far as stores look at it.
    fn snapshot(records: &[(&str, &str)]) -> Arc<Snapshot> {
        let mut state = crate::storage::config_state::ConfigState::new();
        for (offset, (key, value)) in records.iter().enumerate() {
            state.apply(offset as i64, Some(key.as_bytes()), Some(value.as_bytes()));
        }
        state.snapshot()
    }

    #[test]
    fn what_is_stored_already() {
        let mut records = vec![
            ("connector-c", r#"{"properties":{"n":"1"}}"#),
            ("task-c-0", r#"{"properties":{"n":"a"}}"#),
            ("commit-c", r#"{"tasks":1}"#),
        ];
        let is = |records: &[(&str, &str)], tasks: &[&str]| {
            let tasks: Vec<_> = tasks.iter().map(|n| set(n)[0].clone()).collect();
            changed(&snapshot(records), "c", &tasks)
        };
        assert!(!is(&records, &["a"]));
        assert!(is(&records, &["b"]), "another configuration");
        assert!(is(&records, &["a", "a"]), "one more");
        assert!(is(&records, &[]), "one fewer");
        records.push(("connector-c", r#"{"properties":{"n":"1","value.converter":"X"}}"#));
        assert!(is(&records, &["a"]), "the worker makes another task of the same configuration");
        records.push(("commit-c", r#"{"tasks":1}"#));
        assert!(is(&records, &["a"]), "the set is not complete");
    }

    #[test]
    fn a_stopped_connector_gets_no_tasks() {
        let stopped = snapshot(&[
            ("connector-c", r#"{"properties":{}}"#),
            ("target-state-c", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
        ]);
        let refused = check(&stopped, "c", &set("a")).unwrap_err();
        assert_eq!(refused, "Cannot submit non-empty set of task configs for stopped connector c");
        check(&stopped, "c", &[]).unwrap();
        check(&snapshot(&[("connector-c", r#"{"properties":{}}"#)]), "c", &set("a")).unwrap();
    }
}
