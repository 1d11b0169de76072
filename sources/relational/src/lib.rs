//! What all relational sources share.
//!
//! A source knows its database's columns and decodes its log; this crate knows what Debezium makes
//! of them: which tables and columns are captured ([`filters`]), how topics and schemas are named
//! ([`names`]), what the schemas of key, row and envelope look like ([`table`]), and which records
//! one change becomes ([`emitter`]).

pub mod adjustment;
pub mod checks;
pub mod config;
pub mod emitter;
pub mod filters;
pub mod hash;
pub mod heartbeat;
mod java;
pub mod keys;
pub mod mappers;
pub mod modes;
pub mod names;
pub mod semantic;
pub mod table;
pub mod transaction;
