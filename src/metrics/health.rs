//! Whether a task gets anywhere although it has work.
//!
//! A task waits for many things, and most waits are right: a quiet database, a topic without
//! records, a pause. What is looked at here are waits that end by themselves while the other side
//! lives: an answer that was asked for, records that are to be acknowledged, a call into a sink. One
//! that lasts longer than `task.stall.timeout.ms` makes the task **stalled**. Its `state` stays as
//! it is; REST shows `stalled` beside it and `/metrics` counts it. A stalled task is made anew, with
//! new connections; each time without success it is left alone for twice as long, up to
//! [`REBUILD_FACTOR_MAX`] times the limit.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use model::figures::{Progress, clock_ms};
use serde::Serialize;

/// An hour, with the default limit of five minutes.
const REBUILD_FACTOR_MAX: u64 = 12;

/// What a task may be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The task to begin: its connector's `start`, and the transport's first answer.
    Start,
    /// The transport to take records.
    Send,
    /// The oldest records sent to be acknowledged.
    Ack,
    /// A sink's `open`, `put` or `pre_commit` to succeed.
    Sink,
    /// Records that are known to be in the sink's topics.
    Poll,
}

impl Wait {
    const ALL: [Wait; 5] = [Wait::Start, Wait::Send, Wait::Ack, Wait::Sink, Wait::Poll];

    fn bit(self) -> u32 {
        1 << self as u32
    }

    fn text(self) -> &'static str {
        match self {
            Wait::Start => "the task has not come to run",
            Wait::Send => "the transport takes no records",
            Wait::Ack => "records that were sent are not acknowledged",
            Wait::Sink => "the sink has not taken the records it was given",
            Wait::Poll => "there are records in the sink's topics, and none has come",
        }
    }
}

/// The waits of one task. Times are those of [`clock_ms`]; 0 is no wait.
#[derive(Default)]
pub struct Health {
    limit_ms: AtomicU64,
    waits: [AtomicU64; 5],
    /// One bit for each wait that is known not to end by itself.
    hopeless: AtomicU32,
    /// The source's own.
    pub progress: Progress,
    /// Held by its user, so nothing is expected of it.
    held: AtomicBool,
    stalls: AtomicU64,
    rebuilds: AtomicU64,
    /// Rebuilds since there was progress.
    in_vain: AtomicU32,
    rebuilt_at: AtomicU64,
}

/// How a stalled task is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// `None` is an answer of the source's system.
    #[serde(skip)]
    pub what: Option<Wait>,
    /// It will not end by itself, however long the limit.
    #[serde(skip)]
    pub hopeless: bool,
    /// For how long it has waited.
    #[serde(rename = "for_ms")]
    pub ms: u64,
    pub reason: &'static str,
}

impl Health {
    /// `task.stall.timeout.ms`; 0 never calls a task stalled.
    pub fn limit(&self, ms: u64) {
        self.limit_ms.store(ms, Relaxed);
    }

    pub fn limit_ms(&self) -> u64 {
        self.limit_ms.load(Relaxed)
    }

    /// The wait begins now, unless it is under way.
    pub fn wait(&self, what: Wait) {
        self.wait_since(what, clock_ms());
    }

    pub fn wait_since(&self, what: Wait, since: u64) {
        // Whoever is first is right.
        let _earlier = self.waits[what as usize].compare_exchange(0, since, Relaxed, Relaxed);
    }

    /// The wait will not end by itself: the task is stalled before its limit. Without a limit it is
    /// not.
    pub fn hopeless(&self, what: Wait) {
        self.wait(what);
        self.hopeless.fetch_or(what.bit(), Relaxed);
    }

    /// How long the wait has lasted by now, in milliseconds.
    pub fn waited_ms(&self, what: Wait) -> u64 {
        match self.waits[what as usize].load(Relaxed) {
            0 => 0,
            since => clock_ms().saturating_sub(since),
        }
    }

    /// The wait has ended; that is progress.
    pub fn over(&self, what: Wait) {
        self.hopeless.fetch_and(!what.bit(), Relaxed);
        let wait = &self.waits[what as usize];
        if wait.load(Relaxed) != 0 {
            wait.store(0, Relaxed);
        }
    }

    /// The wait goes on for something newer: since `since`, or for nothing any more.
    pub fn renew(&self, what: Wait, since: Option<u64>) {
        let since = since.unwrap_or(0);
        if self.waits[what as usize].swap(since, Relaxed) != since {
            self.hopeless.fetch_and(!what.bit(), Relaxed);
        }
    }

    /// Something has arrived where it was to go, so the next rebuild is the first again.
    pub fn progressed(&self) {
        if self.in_vain.load(Relaxed) != 0 {
            self.in_vain.store(0, Relaxed);
        }
    }

    /// The user holds the task, or lets go of it; waits then begin anew.
    pub fn hold(&self, held: bool) {
        if self.held.swap(held, Relaxed) && !held {
            let now = clock_ms();
            for wait in self.waits.iter().filter(|wait| wait.load(Relaxed) != 0) {
                wait.store(now, Relaxed);
            }
            self.progress.heard();
        }
    }

    /// All waits end: the task is made anew, or is no more.
    pub fn clear(&self) {
        Wait::ALL.iter().for_each(|what| self.over(*what));
        self.progress.heard();
    }

    pub fn stall(&self) -> Option<Stall> {
        self.stall_at(clock_ms())
    }

    fn stall_at(&self, now: u64) -> Option<Stall> {
        let limit = self.limit_ms();
        if limit == 0 || self.held.load(Relaxed) {
            return None;
        }
        let waits = Wait::ALL.map(|what| (self.waits[what as usize].load(Relaxed), Some(what)));
        let own = (self.progress.waiting_since().unwrap_or(0), None);
        let all = waits.into_iter().chain([own]);
        let hopeless = self.hopeless.load(Relaxed);
        let lost = |what: Option<Wait>| what.is_some_and(|what| hopeless & what.bit() != 0);
        let oldest = |wait: &(u64, Option<Wait>)| (!lost(wait.1), wait.0);
        let (since, what) = all.filter(|(since, _)| *since != 0).min_by_key(oldest)?;
        let ms = now.saturating_sub(since);
        let reason = what.map_or("the source's system does not answer", Wait::text);
        let hopeless = lost(what);
        (ms >= limit || hopeless).then_some(Stall { what, hopeless, ms, reason })
    }

    /// Whether a task that is stalled is to be made anew now; it counts as done.
    pub fn rebuild_due(&self) -> bool {
        self.rebuild_due_at(clock_ms())
    }

    fn rebuild_due_at(&self, now: u64) -> bool {
        let in_vain = self.in_vain.load(Relaxed);
        let factor = 1_u64.checked_shl(in_vain).unwrap_or(u64::MAX).min(REBUILD_FACTOR_MAX);
        let wait = self.limit_ms().saturating_mul(factor);
        if in_vain > 0 && now.saturating_sub(self.rebuilt_at.load(Relaxed)) < wait {
            return false;
        }
        self.in_vain.store(in_vain.saturating_add(1), Relaxed);
        self.rebuilt_at.store(now, Relaxed);
        self.rebuilds.fetch_add(1, Relaxed);
        true
    }

    pub fn count_stall(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    pub fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    pub fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let health = Health::default();
        health.limit(1_000);
        health
    }

    #[test]
    fn the_oldest_wait_past_the_limit_is_the_reason() {
        let health = health();
        assert_eq!(health.stall_at(50_000), None);
        health.wait_since(Wait::Ack, 10_000);
        health.wait_since(Wait::Ack, 10_900);
        health.wait_since(Wait::Send, 10_500);
        assert_eq!(health.stall_at(10_999), None);
        let stall = health.stall_at(11_600).unwrap();
        assert_eq!((stall.ms, stall.reason), (1_600, Wait::Ack.text()));
        health.renew(Wait::Ack, Some(11_500));
        assert_eq!(health.stall_at(11_600).unwrap().reason, Wait::Send.text());
        health.over(Wait::Send);
        assert_eq!(health.stall_at(11_600), None);
        health.renew(Wait::Ack, None);
        assert_eq!(health.stall_at(90_000), None);
    }

    /// What is known not to end is a stall at once, until it ends or is about something newer.
    #[test]
    fn a_hopeless_wait_has_no_limit() {
        let health = health();
        health.wait_since(Wait::Sink, 10_000);
        health.wait_since(Wait::Ack, 10_200);
        health.hopeless(Wait::Ack);
        let stall = health.stall_at(10_300).unwrap();
        assert_eq!((stall.ms, stall.reason), (100, Wait::Ack.text()));
        health.renew(Wait::Ack, Some(10_200));
        assert!(health.stall_at(10_300).is_some(), "the same records");
        health.renew(Wait::Ack, Some(10_250));
        assert_eq!(health.stall_at(10_300), None);
        health.hopeless(Wait::Ack);
        health.over(Wait::Ack);
        health.wait_since(Wait::Ack, 10_300);
        assert_eq!(health.stall_at(10_400), None);
    }

    #[test]
    fn nothing_is_expected_of_a_held_task_or_without_a_limit() {
        let health = health();
        health.wait_since(Wait::Sink, 1);
        health.hold(true);
        assert_eq!(health.stall_at(5_000), None);
        health.hold(false);
        // The wait begins anew when the task is let go.
        assert_eq!(health.stall_at(clock_ms() + 500), None);
        assert!(health.stall_at(clock_ms() + 2_000).is_some());
        health.limit(0);
        assert_eq!(health.stall_at(clock_ms() + 2_000), None);
    }

    #[test]
    fn the_source_says_itself_that_nobody_answers() {
        let health = health();
        health.progress.asked();
        let stall = health.stall_at(clock_ms() + 1_000).unwrap();
        assert_eq!(stall.reason, "the source's system does not answer");
        health.clear();
        assert_eq!(health.stall_at(clock_ms() + 9_000), None);
    }

    /// Made anew at once, then after 2, 4, 8 and always 12 times the limit; anew at once after
    /// progress.
    #[test]
    fn rebuilds_in_vain_come_ever_later() {
        let health = health();
        let mut at = Vec::new();
        for now in (5_000..60_000).step_by(500) {
            if health.rebuild_due_at(now) {
                at.push(now / 1_000);
            }
        }
        assert_eq!(at, [5, 7, 11, 19, 31, 43, 55]);
        assert_eq!(health.rebuilds(), 7);
        health.progressed();
        assert!(health.rebuild_due_at(60_000));
    }
}
