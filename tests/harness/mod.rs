//! What the tests and the benchmark share: the servers, a worker as a process, and what is between.

// The tests and the benchmark each use their part of it.
#![allow(dead_code)]

pub(crate) mod database;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod jvm;
pub(crate) mod link;
pub(crate) mod random;
pub(crate) mod rest;
pub(crate) mod servers;
pub(crate) mod side;
pub(crate) mod sockets;
pub(crate) mod topics;
pub(crate) mod worker;

use std::time::{Duration, Instant};

/// Asks until there is an answer, and panics with what was waited for when the time is over.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20)); // Between two looks, not in place of one.
    }
}
