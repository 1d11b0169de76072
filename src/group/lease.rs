//! Whether a worker may still count on its membership, by its own clock.
//!
//! A worker that hangs, or that nothing reaches, hears too late that the group has gone on without
//! it. Until it hears, its tasks think that they are in charge, and what they store then would stand
//! over what their successors have stored. The lease ends by the clock alone: when no answer of the
//! coordinator's is younger than the session, and when the process itself has stood still for so
//! long. What is ended does not come back: the next membership is another one, with another number.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// One worker's lease, shared by all who ask for it.
#[derive(Debug)]
pub struct Lease(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `session.timeout.ms`.
    session: Duration,
    /// Odd while there is a membership.
    number: u64,
    /// When it ends unless it is renewed; `None` while the coordinator waits for others to join,
    /// and does not count.
    until: Option<Instant>,
    /// When somebody last looked at the clock.
    seen: Instant,
}

impl Lease {
    pub(super) fn new(session: Duration) -> Self {
        Self(Mutex::new(State { session, number: 0, until: None, seen: Instant::now() }))
    }

    /// The number of the membership there is now, or of the time without one.
    pub fn number(&self) -> u64 {
        let mut state = self.lock();
        state.look(Instant::now());
        state.number
    }

    /// Whether membership `number` lasts.
    pub fn holds(&self, number: u64) -> bool {
        self.lock().holds(number, Instant::now())
    }

    /// Whether there is a membership.
    pub fn lasts(&self) -> bool {
        let mut state = self.lock();
        state.look(Instant::now());
        state.lasts()
    }

    /// Looks at the clock: a standstill of the process shows as a time without a look.
    pub(super) fn look(&self) {
        self.lock().look(Instant::now());
    }

    /// How often that must be.
    pub(super) fn look_every(&self) -> Duration {
        (self.lock().session / 4).max(Duration::from_millis(1))
    }

    /// The coordinator has answered what was sent at that time.
    pub(crate) fn renew(&self, sent: Instant) {
        self.lock().renew(sent, Instant::now());
    }

    /// The coordinator has answered a join, which may have waited for long.
    pub(super) fn joined(&self) {
        self.lock().joined(Instant::now());
    }

    /// A join is on its way: the coordinator takes nobody for gone who waits for others.
    pub(super) fn joins(&self) {
        self.lock().joins(Instant::now());
    }

    /// The coordinator knows this member no more.
    pub(crate) fn lose(&self) {
        self.lock().lose();
    }

    /// One that has just been answered.
    #[cfg(test)]
    pub(crate) fn fresh(session: Duration) -> Self {
        let lease = Self::new(session);
        lease.renew(Instant::now());
        lease
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lasts(&self) -> bool {
        self.number % 2 == 1
    }

    fn look(&mut self, now: Instant) {
        let stood_still = now.duration_since(self.seen) > self.session;
        self.seen = now;
        if stood_still || self.until.is_some_and(|until| until < now) {
            self.lose();
        }
    }

    fn holds(&mut self, number: u64, now: Instant) -> bool {
        self.look(now);
        self.number == number && self.lasts()
    }

    fn renew(&mut self, sent: Instant, now: Instant) {
        self.look(now);
        if !self.lasts() {
            self.number += 1;
            self.until = None;
        }
        let until = sent + self.session;
        self.until = Some(self.until.map_or(until, |known| known.max(until)));
    }

    fn joined(&mut self, now: Instant) {
        // At the last look this process was up, and the answer had not come.
        self.renew(self.seen, now);
    }

    fn joins(&mut self, now: Instant) {
        self.look(now);
        if self.lasts() {
            self.until = None;
        }
    }

    fn lose(&mut self) {
        if self.lasts() {
            self.number += 1;
            self.until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state with a session of 10 s, and its clock.
    struct Clock(State, Instant);

    impl Clock {
        fn new() -> Self {
            let now = Instant::now();
            let session = Duration::from_secs(10);
            Self(State { session, number: 0, until: None, seen: now }, now)
        }

        fn pass(&mut self, seconds: u64) {
            self.1 += Duration::from_secs(seconds);
        }

        fn renew(&mut self, ago: u64) -> u64 {
            self.0.renew(self.1 - Duration::from_secs(ago), self.1);
            self.0.number
        }

        fn holds(&mut self, number: u64) -> bool {
            self.0.holds(number, self.1)
        }
    }

    #[test]
    fn it_lasts_for_a_session_after_the_last_answer() {
        let mut clock = Clock::new();
        assert!(!clock.holds(0), "nobody has answered");
        let first = clock.renew(0);
        for _ in 0..5 {
            clock.pass(4);
            assert!(clock.holds(first));
            clock.renew(1);
        }
        clock.pass(8);
        assert!(clock.holds(first));
        clock.pass(2);
        assert!(!clock.holds(first), "an answer counts from its question on");
        let second = clock.renew(0);
        assert!(!clock.holds(first), "what is over stays over");
        assert!(clock.holds(second));
    }

    #[test]
    fn a_join_may_take_its_time_but_not_a_process_that_stood_still() {
        let mut clock = Clock::new();
        let first = clock.renew(0);
        clock.0.joins(clock.1);
        for _ in 0..10 {
            clock.pass(3);
            assert!(clock.holds(first));
        }
        clock.0.joined(clock.1);
        assert!(clock.holds(first));
        clock.0.joins(clock.1);
        clock.pass(11);
        clock.0.joined(clock.1);
        assert!(!clock.holds(first));
        let number = clock.0.number;
        clock.pass(1);
        assert!(!clock.holds(number), "the answer may be as old as the standstill");
        let second = clock.renew(0);
        assert!(clock.holds(second));
        clock.0.lose();
        let between = clock.0.number;
        assert!(!clock.holds(second) && !clock.holds(between));
        clock.0.joins(clock.1);
        assert!(!clock.holds(between), "a join that has begun is no membership");
        clock.renew(0);
        assert!(!clock.holds(between), "what began without one is not covered by the next");
    }
}
