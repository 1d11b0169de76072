//! Checks of keys that only these connectors have, with Debezium's reasons.

use model::config::{Given, one_of};

use crate::keys::GTID_SOURCE_INCLUDES;

pub(crate) const TIME_PRECISIONS: &[&str] = &[
    "adaptive",
    "adaptive_time_microseconds",
    "isostring",
    "microseconds",
    "nanoseconds",
    "connect",
];
pub(crate) const MYSQL_LOCKS: &[&str] =
    &["minimal", "minimal_percona", "custom", "none", "minimal_percona_no_table_locks", "extended"];
pub(crate) const MARIADB_LOCKS: &[&str] = &["minimal", "custom", "none", "extended"];

pub(crate) fn gtid_excludes(given: Option<&str>, all: &Given<'_>) -> Vec<String> {
    match given {
        Some(_) if all.contains_key(GTID_SOURCE_INCLUDES.spec.name) => {
            vec!["Cannot specify GTID excludes when includes are provided.".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Looked at twice, and `adaptive` is a value that a later check refuses.
pub(crate) fn time_precision(given: Option<&str>) -> Vec<String> {
    let wrong = one_of(given, TIME_PRECISIONS);
    if given.is_some_and(|mode| mode.trim().eq_ignore_ascii_case("adaptive")) {
        return vec!["The 'adaptive' time.precision.mode is no longer supported".to_owned()];
    }
    [wrong.clone(), wrong].concat()
}

pub(crate) fn mysql_locks(given: Option<&str>) -> Vec<String> {
    locks(given, MYSQL_LOCKS)
}

pub(crate) fn mariadb_locks(given: Option<&str>) -> Vec<String> {
    locks(given, MARIADB_LOCKS)
}

fn locks(given: Option<&str>, allowed: &[&str]) -> Vec<String> {
    let mut wrong = one_of(given, allowed);
    if !wrong.is_empty() {
        wrong.insert(0, "Must be a valid snapshot.locking.mode value".to_owned());
    }
    wrong
}
