//! The three topics: their records as the JVM wrote them, the rules of reading, and a real broker.

use serde_json::Value;

mod broker;
mod configs;
mod statuses;

/// A record that a JVM's worker has written.
struct Recorded {
    offset: i64,
    key: String,
    value: Option<String>,
}

fn recorded(lines: &str) -> Vec<Recorded> {
    let record = |line| {
        let record: Value = serde_json::from_str(line).unwrap();
        Recorded {
            offset: record["offset"].as_i64().unwrap(),
            key: record["key"].as_str().unwrap().to_owned(),
            value: record["value"].as_str().map(str::to_owned),
        }
    };
    lines.lines().map(record).collect()
}
