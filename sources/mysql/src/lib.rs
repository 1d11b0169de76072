//! `io.debezium.connector.mysql.MySqlConnector` and
//! `io.debezium.connector.mariadb.MariaDbConnector`: their keys, and what is wrong with a
//! configuration. This version does not run them.

mod checks;
pub mod config;
mod connector;
mod keys;

pub use connector::connectors;
