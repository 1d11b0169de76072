//! The three topics in which a group of workers keeps what it has to remember: which connectors
//! there are (configs), how far the sources are (offsets), and how everything is doing (statuses).
//!
//! Keys and values are those of Kafka Connect, byte by byte, so that its workers and these read and
//! write the same topics, at the same time or one after the other.
//!
//! ```text
//!   KafkaLog ── every record, in order ─► ConfigState ─► snapshot, Change     ConfigStore
//!      ▲                               ├► StatusState                         StatusStore
//!      └── append, read_to_end ────────┴► Forms (the offsets by partition)    OffsetTopic
//! ```
//!
//! Each store keeps in memory what its topic says, as the records arrive; a write shows there once
//! it has come back from the topic. A record that cannot be read is skipped with a line in the log.

pub mod config_state;
pub mod config_topic;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod internal;
mod json;
pub mod log;
pub mod offsets_topic;
mod reader;
pub mod status_state;
pub mod status_topic;
#[cfg(test)]
mod tests;
mod writer;

pub use config_state::{Change, RestartRequest, SessionKey, Snapshot, Told};
pub use config_topic::ConfigStore;
pub use log::{KafkaLog, Record};
pub use offsets_topic::OffsetTopic;
pub use status_state::{Status, TopicStatus};
pub use status_topic::StatusStore;

/// More of a key than any of ours needs: what foreign records have for keys may be long.
const SHOWN_MAX: usize = 200;

/// A record's key for a line in the log: on one line, and cut off where it is long.
fn shown(key: &[u8]) -> String {
    let (head, cut) = match key.get(..SHOWN_MAX) {
        Some(head) if key.len() > SHOWN_MAX => (head, true),
        _ => (key, false),
    };
    let mut text = String::new();
    for char in String::from_utf8_lossy(head).chars() {
        match char.is_control() {
            true => text.extend(char.escape_default()),
            false => text.push(char),
        }
    }
    if cut {
        text.push_str(&format!("… ({} bytes)", key.len()));
    }
    text
}
