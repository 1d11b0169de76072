//! One connector on one worker, watched: it streams a database, and a marker tells how far it is.
//!
//! Every database gets a table `zz_marker`, last in the order of names. A row written to it after
//! some statements arrives after their records, so that a reader who has seen the row knows that all
//! records of its topics are there, without waiting for time to pass.

use std::time::Duration;

use serde_json::Value;

use super::{
    database::Database,
    rest::{Config, Rest},
    topics::Follower,
    wait_for,
};

pub(crate) const MARKER: &str = "zz_marker";

/// Creates the marker's table. Its one row makes the last record of a snapshot the marker's, at
/// every reader, whenever it starts.
pub(crate) fn prepare(database: &Database) {
    database.sql(&format!(
        "CREATE TABLE {MARKER} (id bigint PRIMARY KEY, note text);
         INSERT INTO {MARKER} VALUES (0, 'snapshot');"
    ));
}

/// Writes marker `id`.
pub(crate) fn mark(database: &Database, id: i64) {
    database.sql(&format!("INSERT INTO {MARKER} VALUES ({id}, 'mark');"));
}

pub(crate) struct Side {
    pub(crate) rest: Rest,
    pub(crate) prefix: String,
    markers: Follower,
    last: i64,
}

impl Side {
    /// Starts the connector and waits until its snapshot is in the topics, the marker's row last.
    pub(crate) fn start(rest: &Rest, kafka: &str, prefix: &str, config: &Config) -> Self {
        rest.start(prefix, config);
        let markers = Follower::new(kafka, &format!("{prefix}.public.{MARKER}"));
        let mut side = Self { rest: rest.clone(), prefix: prefix.into(), markers, last: -1 };
        side.wait(0);
        side
    }

    /// Waits until the marker `id` has arrived.
    pub(crate) fn wait(&mut self, id: i64) {
        let what = format!("marker {id} of {} at {}", self.prefix, self.rest.url);
        wait_for(&what, Duration::from_secs(90), || {
            while self.last < id {
                let Some(record) = self.markers.next() else {
                    self.rest.wait_running(&self.prefix); // A failed task says why, here.
                    return None;
                };
                let value: Value = serde_json::from_slice(&record.value?).expect("a JSON event");
                let event = value.get("payload").unwrap_or(&value);
                self.last = event["after"]["id"].as_i64().expect("the marker's number");
            }
            Some(())
        });
    }
}
