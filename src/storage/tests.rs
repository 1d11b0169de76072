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

/// Lines of the log are lines, and not as long as somebody's key.
#[test]
fn keys_in_the_log() {
    for (key, answer) in [
        ("connector-ä", "connector-ä"),
        ("[\"c\",{\"a\":1}]", "[\"c\",{\"a\":1}]"),
        ("a\nERROR b\u{1b}[2J", "a\\nERROR b\\u{1b}[2J"),
    ] {
        assert_eq!(super::shown(key.as_bytes()), answer);
    }
    assert_eq!(super::shown(b"\xffx"), "\u{fffd}x");
    let long = vec![b'x'; 1 << 20];
    assert_eq!(super::shown(&long[..200]), "x".repeat(200));
    assert_eq!(super::shown(&long), "x".repeat(200) + "… (1048576 bytes)");
}
