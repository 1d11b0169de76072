//! Records of the worker's topics, see [`crate::fuzz`].

use super::{
    config_state::ConfigState, log::Record, offsets_topic::Offsets, status_state::StatusState,
};
use crate::fuzz::choice;

/// Records of one of the topics, one after the other: a line is a key, a tab and a value; without a
/// tab it is a key without a value.
pub fn topics(input: &[u8]) {
    let Some((choice, bytes)) = choice(input) else { return };
    let records = bytes.split(|byte| *byte == b'\n').map(|line| {
        let mut parts = line.splitn(2, |byte| *byte == b'\t');
        (parts.next(), parts.next())
    });
    match choice % 3 {
        0 => {
            let mut state = ConfigState::new();
            for (offset, (key, value)) in (0..).zip(records) {
                state.apply(offset, key, value);
                let now = state.snapshot();
                assert!(now.offset() <= offset + 1 && now.round() <= now.offset());
                // Whoever is told of a task finds its configuration.
                for connector in now.connectors() {
                    let tasks = now.tasks(connector);
                    assert!(tasks.clone().all(|task| now.task(connector, task).is_some()));
                    assert_eq!(now.task_configs(connector).len(), tasks.len());
                }
            }
        }
        1 => {
            let mut state = StatusState::default();
            for (key, value) in records {
                state.apply(key, value);
            }
        }
        _ => {
            let mut offsets = Offsets::default();
            for (offset, (key, value)) in (0..).zip(records) {
                let record = Record { partition: 0, offset, timestamp_ms: offset, key, value };
                offsets.apply(record);
            }
        }
    }
}
