//! From the moment that a round is known to be due to the one in which this worker joins it.
//!
//! First the tasks end that are not configured any more, which may take them their whole grace. The
//! worker goes on with everything else meanwhile. What changes in that time is about the same round,
//! so connectors that are removed one after the other stop side by side, each within its own grace.
//!
//! Then come the requests whose turn to write was before this: they are part of the round, too. One
//! round for many writes is what the JVM's worker makes of them, whose one thread does all requests
//! that wait before it joins.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep_until, timeout_at},
};

/// How long requests are let go first. Those that are late are part of the round after.
const TURNS_WITHIN: Duration = Duration::from_secs(2);

/// How long an end may take beyond the grace.
const ENDS_LATE: Duration = Duration::from_millis(500);

type Turn = Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>;

/// A worker that is about to join a round.
pub(super) struct Departure {
    /// Tasks that have not ended by then are waited for when it joins.
    ends_until: Instant,
    turns_within: Duration,
    /// Its own place among those who want to write, and how long it keeps to it.
    turn: Option<(Turn, Instant)>,
}

impl Departure {
    /// `grace`: how long tasks may take to end.
    pub(super) fn new(grace: Duration) -> Self {
        let ends_until = Instant::now() + grace + ENDS_LATE;
        Self { ends_until, turns_within: TURNS_WITHIN, turn: None }
    }

    /// Whether there is time for tasks to end.
    pub(super) fn waits(&self) -> bool {
        Instant::now() < self.ends_until
    }

    /// There are tasks to end after all: they do first, and then comes another turn.
    pub(super) fn wait_again(&mut self) {
        self.turn = None;
    }

    async fn ready(
        &mut self,
        ending: bool,
        writing: &Arc<Mutex<()>>,
    ) -> Option<OwnedMutexGuard<()>> {
        if self.turn.is_none() && ending {
            sleep_until(self.ends_until).await;
        }
        let (turn, until) = self.turn.get_or_insert_with(|| {
            (Box::pin(writing.clone().lock_owned()), Instant::now() + self.turns_within)
        });
        timeout_at(*until, turn).await.ok()
    }
}

/// Returns when it is time to join; never, while no round is due. Nobody else writes as long as what
/// is returned is kept, except for one who has been writing for very long. Cancel-safe; to be asked
/// anew when `ending`, whether tasks are ending, has changed. Tasks that begin to end when a turn is
/// waited for already are not waited for here: see [`Departure::wait_again`].
pub(super) async fn ready(
    departure: &mut Option<Departure>,
    ending: bool,
    writing: &Arc<Mutex<()>>,
) -> Option<OwnedMutexGuard<()>> {
    match departure {
        Some(departure) => departure.ready(ending, writing).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn departure(ends_within: Duration, turns_within: Duration) -> Departure {
        Departure { ends_until: Instant::now() + ends_within, turns_within, turn: None }
    }

    #[tokio::test]
    async fn tasks_are_waited_for_but_not_for_ever() {
        let writing = Arc::default();
        let long = Duration::from_secs(600);
        let mut patient = departure(long, long);
        assert!(patient.ready(true, &writing).now_or_never().is_none());
        assert!(patient.ready(false, &writing).await.is_some(), "all have ended");

        let began = Instant::now();
        assert!(departure(SHORT, long).ready(true, &writing).await.is_some());
        assert!(began.elapsed() >= SHORT);
        let left = Departure::new(long).ends_until - Instant::now();
        assert!(left > long, "each task has its whole grace");
    }

    #[tokio::test]
    async fn those_who_wait_already_write_first() {
        let writing = Arc::new(Mutex::new(()));
        let mut departure = Departure::new(Duration::from_secs(600));
        let first = writing.clone().lock_owned().await;
        let mut second = Box::pin(writing.clone().lock_owned());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(departure.ready(false, &writing).now_or_never().is_none());
        // Its place is kept, whatever happens to tasks meanwhile.
        let mut third = Box::pin(writing.clone().lock_owned());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(departure.ready(true, &writing).now_or_never().is_none());
        drop(second.await);
        let turn = departure.ready(true, &writing).await;
        assert!(turn.is_some() && third.as_mut().now_or_never().is_none());
        drop(turn);
        third.await;
    }

    #[tokio::test]
    async fn tasks_that_a_write_ends_are_waited_for_too() {
        let writing = Arc::default();
        let mut patient = departure(Duration::from_secs(600), SHORT);
        drop(patient.ready(false, &writing).await.expect("a turn"));
        assert!(patient.waits());
        patient.wait_again();
        assert!(patient.ready(true, &writing).now_or_never().is_none(), "they are ending");
        assert!(patient.ready(false, &writing).await.is_some());
        assert!(!departure(Duration::ZERO, SHORT).waits());
    }

    #[tokio::test]
    async fn a_write_that_takes_very_long_is_not_waited_for() {
        let writing = Arc::new(Mutex::new(()));
        let _hangs = writing.clone().lock_owned().await;
        let mut departure = departure(Duration::ZERO, SHORT);
        assert!(departure.ready(false, &writing).await.is_none());
    }
}
