//! The worker seen from outside: one binary, so that it links once.
//!
//! Tests that need a server run when its address is in the environment, as `./test` sets it, and
//! say on standard error that they were skipped when it is not.

mod brokers;
mod chaos;
mod client;
mod crash;
mod differential;
mod distributed;
mod errors;
mod golden;
mod group_requests;
mod harness;
mod huge;
mod incremental;
mod isolation;
mod keys;
mod metrics;
mod quickstart;
mod reselect;
mod rest;
mod resume;
mod security;
mod signals;
mod silence;
mod sinks;
mod slots;
mod snapshots;
mod standby;
mod stream;
mod tables;
mod takeover;
mod tidy;
mod versions;
