//! What the readers of one table tell each other, so that its markers are right with several of them.
//!
//! Debezium 3.7 has one row at the beginning of each table marked, one at its end, one at the
//! beginning of all and one at their end, with several threads too: the other rows wait for the first,
//! and the last waits for the others. Chunks are given out in their order, and whoever waits, waits
//! for earlier ones only, so nobody waits for ever.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// A table in a snapshot that is read.
#[derive(Debug)]
pub(super) struct Place {
    /// Only rows of the first table can be the first: when it is empty, no row is (recorded from
    /// Debezium 3.7).
    pub(super) first_table: bool,
    /// No table with rows comes after it.
    pub(super) tail: bool,
    /// Part of it was handed over by an earlier run, its first row too.
    pub(super) resumed: bool,
    pub(super) chunks: usize,
    state: watch::Sender<State>,
    told: Mutex<Told>,
}

/// What notifications say of the table.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    begun: bool,
    chunks_read: usize,
    /// Of the chunks that are read.
    rows: u64,
}

#[derive(Clone, Copy, Debug)]
struct State {
    begun: bool,
    /// Chunks but the last that have been handed over.
    handed_over: usize,
}

impl Place {
    pub(super) fn new(first_table: bool, tail: bool, resumed: bool, chunks: usize) -> Self {
        let (state, _) = watch::channel(State { begun: resumed, handed_over: 0 });
        Self { first_table, tail, resumed, chunks, state, told: Mutex::default() }
    }

    /// A chunk is about to be read. Whether it is the first of all to be, and how many rows the chunks
    /// that are read had.
    pub(super) fn reads(&self) -> (bool, u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (!std::mem::replace(&mut told.begun, true), told.rows)
    }

    /// A chunk with so many rows was read. All rows of the table, if no chunk is left.
    pub(super) fn was_read(&self, rows: u64) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.chunks_read += 1;
        told.rows += rows;
        (told.chunks_read == self.chunks).then_some(told.rows)
    }

    /// More than one reader may read it.
    pub(super) fn shared(&self) -> bool {
        self.chunks > 1
    }

    /// Its first row was handed over, or there is none.
    pub(super) fn begin(&self) {
        self.state.send_if_modified(|state| !std::mem::replace(&mut state.begun, true));
    }

    pub(super) async fn begun(&self) {
        let mut seen = self.state.subscribe();
        // The sender lives as long as `self`.
        let _open = seen.wait_for(|state| state.begun).await;
    }

    /// A chunk other than the last was handed over.
    pub(super) fn hand_over(&self) {
        self.state.send_modify(|state| state.handed_over += 1);
    }

    /// All chunks but the last were.
    pub(super) async fn others_handed_over(&self) {
        let mut seen = self.state.subscribe();
        let others = self.chunks - 1;
        let _open = seen.wait_for(|state| state.handed_over >= others).await;
    }
}
