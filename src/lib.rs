//! The worker: everything that talks to Kafka or to people.

pub mod channel;
pub mod cli;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod group;
pub mod herder;
pub mod kafka;
pub mod metrics;
pub mod plugins;
pub mod rest;
pub mod runtime;
pub mod storage;
pub mod tls;
