//! The worker: everything that talks to Kafka or to people.

pub mod runtime;
