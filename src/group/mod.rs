//! Membership of a worker in its Connect cluster: Kafka's classic group protocol with the protocol
//! type `connect`, so that workers of the JVM and of this binary form one group, either as leader.
//!
//! * [`wire`]: what members tell the leader and the leader answers, in bytes.
//! * [`eager`], [`cooperative`]: who gets which work; state machines without a clock or a network.
//! * [`leader`]: what the elected worker does with them.
//! * [`connection`]: requests to one broker; `frames`: the bytes of its socket.
//! * [`security`]: TLS on a connection; `sasl`: the login, `scram`: the words of one.
//! * `coordinator`: the broker that keeps the group.
//! * [`member`]: joining and leaving; `heartbeat`: staying; [`lease`]: whether it still is one.

pub mod connection;
pub mod cooperative;
mod coordinator;
pub mod eager;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod heartbeat;
pub mod leader;
pub mod lease;
pub mod member;
mod sasl;
mod scram;
pub mod security;
#[cfg(test)]
mod tests;
pub mod wire;

pub(crate) use coordinator::coordinator_of;
pub use leader::{Configured, Election, Leader, Outcome, Owners};
pub use lease::Lease;
pub use member::{Event, Joining, LeaderAssign, Member, Observer, Round, Settings};
pub use security::Security;
pub use wire::{Assignment, Metadata, Protocol, TaskId, Version, Work};
