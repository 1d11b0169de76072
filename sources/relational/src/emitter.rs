//! Which records a change becomes (Debezium's `RelationalChangeRecordEmitter`).

use std::sync::Arc;

use model::{
    change::{BatchBuilder, Event, Op, TableSchema},
    row::{RowsBuilder, Slot},
};

/// The settings that decide it.
#[derive(Clone, Debug)]
pub struct Emitter {
    /// `tombstones.on.delete`
    pub tombstones: bool,
    /// `skipped.operations`, as letters.
    pub skipped: Vec<Op>,
    /// `skip.messages.without.change`
    pub skip_unchanged: bool,
}

/// A change as it comes from the log: rows are in the batch's builder already.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub op: Op,
    /// What `before` shows; absent when the log has no old row.
    pub before: Option<Slot>,
    /// The row whose key columns are those of the old key, when the log tells the old key.
    pub old_key: Option<Slot>,
    pub after: Option<Slot>,
    pub source: Slot,
    pub ts_ns: i64,
}

/// Numbers an event that is about to be sent and pushes the fields of its `transaction`; `None` when
/// transaction metadata is not provided. Tombstones are no events.
pub type Number<'n> = &'n mut dyn FnMut(&mut RowsBuilder) -> Option<Slot>;

impl Emitter {
    pub fn emit(
        &self,
        batch: &mut BatchBuilder,
        table: &Arc<TableSchema>,
        rows: Rows,
        number: Number<'_>,
    ) {
        let Rows { op, before, old_key, after, source, ts_ns } = rows;
        let event = Event { op, before, after, source, transaction: None, ts_ns, key_header: None };
        match (op, old_key, after) {
            // The two halves are skipped by their own operations, whatever is said of updates.
            (Op::Update, Some(old), Some(new)) if key_changed(batch, table, old, new) => {
                self.emit_key_change(batch, table, event, old, new, number);
            }
            _ if self.skipped.contains(&op) => {}
            (Op::Update, _, Some(after)) => {
                if let (true, Some(before)) = (self.skip_unchanged, before) {
                    let same =
                        |column| batch.rows.get(before, column).same(batch.rows.get(after, column));
                    if (0..table.row.fields().len()).all(same) {
                        return;
                    }
                }
                push(batch, table, event, number);
            }
            (Op::Delete, ..) => {
                push(batch, table, event, number);
                if let (true, Some(before)) = (self.tombstones, before) {
                    batch.push_tombstone(table, before, None);
                }
            }
            _ => push(batch, table, event, number),
        }
    }

    /// A new key is a delete, a tombstone and a create, tied by headers.
    fn emit_key_change(
        &self,
        batch: &mut BatchBuilder,
        table: &Arc<TableSchema>,
        event: Event,
        old: Slot,
        new: Slot,
        number: Number<'_>,
    ) {
        if !self.skipped.contains(&Op::Delete) {
            let before = event.before.or(Some(old));
            let to_new = Some(("__debezium.newkey", new));
            let delete = Event { op: Op::Delete, before, after: None, key_header: to_new, ..event };
            push(batch, table, delete, number);
            if self.tombstones {
                batch.push_tombstone(table, old, to_new);
            }
        }
        if !self.skipped.contains(&Op::Create) {
            let to_old = Some(("__debezium.oldkey", old));
            let create = Event { op: Op::Create, before: None, key_header: to_old, ..event };
            push(batch, table, create, number);
        }
    }
}

fn push(batch: &mut BatchBuilder, table: &Arc<TableSchema>, event: Event, number: Number<'_>) {
    let transaction = number(&mut batch.rows);
    batch.push(table, Event { transaction, ..event });
}

fn key_changed(batch: &BatchBuilder, table: &TableSchema, old: Slot, new: Slot) -> bool {
    table.key.as_ref().is_some_and(|(_, columns)| !batch.rows.equal_in(old, new, columns))
}
