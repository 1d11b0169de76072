//! How far the stream is done, and what may be stored of it.
//!
//! Many changes can share one LSN: a COPY logs a page of rows at once. Whether more of them follow is
//! known only when the next message is there, so a batch may end among them, but its offset then is
//! the one before them ([`Progress::position`]): "done up to this LSN" is always exact.
//!
//! # When nothing is captured
//!
//! An offset is stored with a batch, and the slot moves on with what is stored. So that a database
//! where nothing happens, or nothing that is captured, holds no more of the log back than one
//! segment, a batch without records goes out once the log has moved on by as much: to the end of the
//! last transaction, or outside of transactions to where the server says that it has decoded the log
//! ([`Progress::idle`]). All that was committed before that point has been received.

use relational::transaction::{Counted, Transaction};

use crate::{
    position::{COMMIT, Position},
    wire::Lsn,
};

/// The server gives its log free in files of this size (`wal_segment_size`, unless it was changed when
/// the cluster was made), so less than that is not worth an offset of its own.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;

/// How far the stream is done. Whoever goes on from [`Progress::position`] misses nothing.
pub(crate) struct Progress {
    /// The newest position of which it is known that all its changes are here.
    whole: Position,
    /// After the last change, when there is one since; more changes of its LSN may follow.
    last: Option<Position>,
    /// Changes after `whole` were in the batch handed over last, or `whole` is worth a batch.
    ahead: bool,
    /// Where the batch handed over last makes the stream begin.
    handed_over: Lsn,
    /// How far the log has to move on before that is worth a batch without records.
    worth: u64,
    /// Up to where the server has decoded the log, outside of transactions.
    decoded: Lsn,
    /// Up to where the log was let go beyond the last commit. What is stored of transactions behind it
    /// must not begin before.
    let_go: Option<Lsn>,
    /// The numbers of the events, when transaction metadata is provided.
    pub(crate) transaction: Transaction,
}

impl Progress {
    pub(crate) fn new(position: Position, worth: u64) -> Self {
        Self {
            transaction: Transaction::resume(position.transaction.as_ref()),
            handed_over: position.start().unwrap_or(Lsn::ZERO),
            let_go: position.start().filter(|_| position.message_type == Some(COMMIT)),
            whole: position,
            last: None,
            ahead: false,
            worth,
            decoded: Lsn::ZERO,
        }
    }

    /// A change of a captured table at `lsn` was taken, which makes `position`.
    pub(crate) fn changed(&mut self, lsn: Lsn, position: Position) {
        let last = self.last.as_ref().unwrap_or(&self.whole);
        let again = last.lsn == Some(lsn) && last.events > 0;
        let events = if again { last.events + 1 } else { 1 };
        self.took(lsn, Position { events, ..position });
    }

    /// A message at `lsn` was taken, which makes `position`.
    pub(crate) fn took(&mut self, lsn: Lsn, mut position: Position) {
        position.lsn_commit = position.lsn_commit.max(self.let_go);
        if let Some(before) = self.last.replace(position)
            && lsn != Lsn::ZERO
            && before.lsn != Some(lsn)
        {
            self.whole = before;
            self.transaction.settle();
        }
    }

    /// A transaction has ended, or what belongs to none is done; `counted` is what its offset says of
    /// the transaction.
    pub(crate) fn committed(&mut self, position: Position, counted: Option<Counted>) {
        self.whole = Position { transaction: counted, ..position };
        self.last = None;
        self.ahead |= self.worth_storing();
    }

    /// Outside of a transaction the server has decoded the log up to `end` and has nothing for us.
    pub(crate) fn idle(&mut self, end: Lsn) {
        self.decoded = self.decoded.max(end);
        let begins = self.whole.start().unwrap_or(Lsn::ZERO);
        if end.0.saturating_sub(begins.0) >= self.worth {
            self.let_go(end);
            self.ahead |= self.worth_storing();
        }
    }

    /// A heartbeat goes out: what the server has decoded goes with it, however little it is.
    pub(crate) fn beat(&mut self) {
        if self.whole.start().is_some_and(|begins| begins < self.decoded) {
            self.let_go(self.decoded);
        }
    }

    fn let_go(&mut self, end: Lsn) {
        // Among the changes of a transaction the offset has to say which of them are done.
        if self.last.is_some() || self.whole.done().is_some() {
            return;
        }
        self.let_go = Some(end);
        self.whole.lsn_proc = Some(end);
        self.whole.message_type = Some(COMMIT);
    }

    /// Whether there is an offset at all.
    pub(crate) fn begun(&self) -> bool {
        self.whole.start().is_some()
    }

    fn worth_storing(&self) -> bool {
        let begins = self.whole.start().unwrap_or(Lsn::ZERO);
        begins.0.saturating_sub(self.handed_over.0) >= self.worth
    }

    /// A message at `lsn` has come: `true` when none of the changes before it is missing. Messages
    /// without a position of their own come at zero.
    pub(crate) fn passed(&mut self, lsn: Lsn) -> bool {
        let at = self.last.as_ref().unwrap_or(&self.whole).lsn;
        let passed = lsn != Lsn::ZERO && at != Some(lsn);
        if passed && let Some(last) = self.last.take() {
            self.whole = last;
            self.transaction.settle();
        }
        passed
    }

    /// What may be stored once all that is collected has arrived.
    pub(crate) fn position(&self) -> Position {
        let open = self.transaction.counted();
        Position {
            transaction: open.or_else(|| self.whole.transaction.clone()),
            ..self.whole.clone()
        }
    }

    /// All so far is in a batch: where that batch ends.
    pub(crate) fn hand_over(&mut self) -> Position {
        self.ahead = self.last.is_some();
        self.handed_over = self.whole.start().unwrap_or(Lsn::ZERO);
        self.position()
    }

    /// Whether there is a position to hand over although there are no records.
    pub(crate) fn held_back(&self) -> bool {
        self.ahead && self.last.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_info::Moment;

    fn at(lsn: u64, message_type: &'static str) -> Position {
        let moment = Moment { lsn_commit: Some(Lsn(5)), ..Moment::default() };
        let events = i64::from(message_type == "INSERT");
        Position { events, ..moment.position(Lsn(lsn), message_type) }
    }

    fn begun() -> Progress {
        Progress::new(at(5, "COMMIT"), SEGMENT_BYTES)
    }

    #[test]
    fn a_batch_that_ends_among_changes_of_one_lsn_does_not_cover_them() {
        let mut progress = begun();
        progress.changed(Lsn(10), at(10, "INSERT"));
        progress.changed(Lsn(20), at(20, "INSERT"));
        progress.changed(Lsn(20), at(20, "INSERT"));
        // A pause: whether a third change of 20 comes is unknown.
        assert_eq!(progress.hand_over(), at(10, "INSERT"));
        assert!(!progress.held_back());
        progress.changed(Lsn(20), at(20, "INSERT"));
        assert_eq!(progress.hand_over(), at(10, "INSERT"));
        progress.committed(at(30, "COMMIT"), None);
        // Without another change: the end of the transaction must be stored all the same.
        assert!(progress.held_back());
        assert_eq!(progress.hand_over(), at(30, "COMMIT"));
        assert!(!progress.held_back());
    }

    #[test]
    fn a_batch_may_end_where_another_lsn_begins() {
        let mut progress = begun();
        progress.changed(Lsn(10), at(10, "INSERT"));
        assert!(!progress.passed(Lsn(10)));
        assert!(!progress.passed(Lsn::ZERO));
        assert!(progress.passed(Lsn(11)));
        assert_eq!(progress.hand_over(), at(10, "INSERT"));
    }

    #[test]
    fn a_transaction_without_captured_changes_is_handed_over_with_the_next() {
        let mut progress = begun();
        progress.committed(at(9, "COMMIT"), None);
        assert!(!progress.held_back());
        progress.changed(Lsn(10), at(10, "INSERT"));
        assert_eq!(progress.position(), at(9, "COMMIT"));
    }

    /// Debezium 3.7 stores how many changes of the last LSN are done.
    #[test]
    fn changes_of_one_lsn_are_counted() {
        let mut progress = begun();
        for _ in 0..3 {
            progress.changed(Lsn(20), at(20, "INSERT"));
        }
        progress.passed(Lsn(21));
        assert_eq!(progress.position().events, 3);
        progress.changed(Lsn(21), at(21, "INSERT"));
        progress.passed(Lsn(22));
        assert_eq!(progress.position().events, 1);
    }

    #[test]
    fn a_log_that_moves_on_without_us_is_let_go_segment_by_segment() {
        let mut progress = begun();
        progress.idle(Lsn(5 + SEGMENT_BYTES - 1));
        assert!(!progress.held_back());
        let end = Lsn(5 + SEGMENT_BYTES);
        progress.idle(end);
        assert!(progress.held_back());
        let position = progress.hand_over();
        assert_eq!(position.start(), Some(end));
        assert_eq!(position.lsn_commit, Some(Lsn(5)), "what events show stays the last commit");
        assert!(!progress.held_back());
        // Among changes nothing is let go.
        progress.changed(Lsn(end.0 + 1), at(end.0 + 1, "INSERT"));
        progress.idle(Lsn(end.0 * 9));
        assert_eq!(progress.position().start(), Some(end));
    }

    /// The server forgets what was let go, so a stream that begins before could not be had again.
    #[test]
    fn what_is_stored_never_begins_before_what_was_let_go() {
        let mut progress = begun();
        let end = Lsn(5 + SEGMENT_BYTES);
        progress.idle(end);
        assert_eq!(progress.hand_over().start(), Some(end));
        // Of the next transaction only a part is handed over; events show the last commit seen.
        progress.changed(Lsn(end.0 + 10), at(end.0 + 10, "INSERT"));
        progress.changed(Lsn(end.0 + 20), at(end.0 + 20, "INSERT"));
        let part = progress.hand_over();
        assert_eq!((part.start(), part.lsn_proc), (Some(end), Some(Lsn(end.0 + 10))));
        // So it is behind a restart, too.
        let mut progress = Progress::new(part, SEGMENT_BYTES);
        progress.changed(
            Lsn(end.0 + 20),
            Position { lsn_commit: Some(end), ..at(end.0 + 20, "INSERT") },
        );
        progress.changed(
            Lsn(end.0 + 30),
            Position { lsn_commit: Some(end), ..at(end.0 + 30, "INSERT") },
        );
        assert_eq!(progress.hand_over().start(), Some(end));
        // And where the restart was behind the letting go itself.
        let idle = Position { lsn_proc: Some(end), ..at(5, "COMMIT") };
        let mut progress = Progress::new(idle, SEGMENT_BYTES);
        progress.changed(Lsn(end.0 + 10), at(end.0 + 10, "INSERT"));
        progress.changed(Lsn(end.0 + 20), at(end.0 + 20, "INSERT"));
        assert_eq!(progress.hand_over().start(), Some(end));
    }

    #[test]
    fn a_heartbeat_takes_what_is_decoded_along() {
        let mut progress = begun();
        progress.beat();
        assert_eq!(progress.position().start(), Some(Lsn(5)));
        progress.idle(Lsn(9));
        assert!(!progress.held_back(), "too little for a batch of its own");
        progress.beat();
        assert_eq!(progress.hand_over().start(), Some(Lsn(9)));
        // Not among changes, and never back.
        progress.changed(Lsn(20), at(20, "INSERT"));
        progress.idle(Lsn(30));
        progress.beat();
        assert_eq!(progress.position().start(), Some(Lsn(9)));
        progress.committed(Position { lsn_commit: Some(Lsn(40)), ..at(40, "COMMIT") }, None);
        progress.beat();
        assert_eq!(progress.hand_over().start(), Some(Lsn(40)));
    }

    /// A batch that is full goes out where another LSN begins; a heartbeat may be due then.
    #[test]
    fn a_heartbeat_among_changes_leaves_the_offset_as_it_is() {
        let of_seven = |position: Position| Position { tx_id: Some(7), ..position };
        let mut progress = begun();
        progress.idle(Lsn(9));
        progress.changed(Lsn(20), of_seven(at(20, "INSERT")));
        assert!(progress.passed(Lsn(21)));
        progress.beat();
        let stored = progress.hand_over();
        assert_eq!(stored, of_seven(at(20, "INSERT")));
        assert!(stored.done().is_some_and(|mut done| done.covers(Lsn(20))));
        // Behind its end the log is let go again.
        let end = Position { lsn_commit: Some(Lsn(40)), ..at(40, "COMMIT") };
        progress.committed(of_seven(end), None);
        progress.idle(Lsn(50));
        progress.beat();
        assert_eq!(progress.hand_over().start(), Some(Lsn(50)));
    }

    #[test]
    fn many_transactions_without_captured_changes_are_worth_a_batch() {
        let mut progress = begun();
        let moment = Moment { lsn_commit: Some(Lsn(5 + SEGMENT_BYTES)), ..Moment::default() };
        progress.committed(moment.position(Lsn(5 + SEGMENT_BYTES), COMMIT), None);
        assert!(progress.held_back());
    }
}
