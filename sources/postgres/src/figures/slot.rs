//! What a replication slot holds back, for `/metrics`. Debezium has no such figures.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use model::figures::Figure;

/// What the server says of the slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SlotState {
    /// `reserved`, `extended`, `unreserved` or `lost`; `None` when nothing is reserved.
    pub(crate) wal_status: Option<String>,
    /// Bytes of the log from the oldest that the slot needs to the newest.
    pub(crate) retained: Option<i64>,
    /// Bytes of the log from the confirmed position to the newest.
    pub(crate) lag: Option<i64>,
    /// Bytes that may still be written before the slot is in danger; `None` without
    /// `max_slot_wal_keep_size`.
    pub(crate) safe: Option<i64>,
    /// The oldest transaction whose catalog rows the slot keeps.
    pub(crate) catalog_xmin: Option<i64>,
}

/// The newest state; shown once there is one.
#[derive(Default)]
pub(crate) struct SlotFigures {
    name: String,
    known: AtomicBool,
    state: Mutex<SlotState>,
}

const STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

impl SlotFigures {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn set(&self, state: SlotState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.known.store(true, Relaxed);
    }

    pub(super) fn read(
        &self,
        prefix: &str,
        tags: &[(String, String)],
        out: &mut dyn FnMut(Figure<'_>),
    ) {
        if !self.known.load(Relaxed) {
            return;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = [("plugin", "postgres"), ("name", prefix), ("slot", self.name.as_str())];
        let tags = tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<_> = own.into_iter().chain(tags).collect();
        let mut give = |name: &str, help: &str, value: f64, more: &[(&str, &str)]| {
            let labels = [labels.as_slice(), more].concat();
            out(Figure { name, help, counter: false, labels: &labels, value });
        };
        let sizes = [
            (
                "riverrun_postgres_slot_retained_bytes",
                "Bytes of the log that the server keeps for the slot.",
                state.retained,
            ),
            (
                "riverrun_postgres_slot_lag_bytes",
                "Bytes of the log behind the position that was confirmed to the slot.",
                state.lag,
            ),
            (
                "riverrun_postgres_slot_safe_bytes",
                "Bytes that may be written before the slot may be invalidated (max_slot_wal_keep_size).",
                state.safe,
            ),
        ];
        for (name, help, size) in sizes {
            if let Some(size) = size {
                give(name, help, size as f64, &[]);
            }
        }
        let help = "What the server says of the log that the slot needs: 1 for the status it has.";
        for status in STATUSES {
            let is = state.wal_status.as_deref() == Some(status);
            let name = "riverrun_postgres_slot_wal_status";
            give(name, help, f64::from(u8::from(is)), &[("status", status)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_before_the_server_was_asked() {
        let figures = SlotFigures::new("s");
        figures.read("shop", &[], &mut |figure| panic!("{figure:?}"));
        figures.set(SlotState {
            wal_status: Some("extended".into()),
            retained: Some(300),
            lag: Some(200),
            ..SlotState::default()
        });
        let mut shown = Vec::new();
        figures.read("shop", &[], &mut |figure| {
            let status = figure.labels.iter().find(|(name, _)| *name == "status");
            assert!(figure.labels.contains(&("slot", "s")));
            let name = figure.name.strip_prefix("riverrun_postgres_slot_").unwrap();
            shown.push((name.to_owned(), status.map_or("", |(_, s)| s).to_owned(), figure.value));
        });
        let line = |name: &str, status: &str, value| (name.to_owned(), status.to_owned(), value);
        assert_eq!(
            shown,
            [
                line("retained_bytes", "", 300.0),
                line("lag_bytes", "", 200.0),
                line("wal_status", "reserved", 0.0),
                line("wal_status", "extended", 1.0),
                line("wal_status", "unreserved", 0.0),
                line("wal_status", "lost", 0.0),
            ]
        );
    }
}
