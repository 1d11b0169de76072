//! Which records a change becomes (Debezium's `RelationalChangeRecordEmitter`).

use std::sync::Arc;

use model::{
    change::{BatchBuilder, Event, Op, TableSchema},
    row::Slot,
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

impl Emitter {
    pub fn emit(&self, batch: &mut BatchBuilder, table: &Arc<TableSchema>, rows: Rows) {
        let Rows { op, before, old_key, after, source, ts_ns } = rows;
        if self.skipped.contains(&op) {
            return;
        }
        let event = Event { op, before, after, source, ts_ns, key_header: None };
        match (op, old_key, after) {
            (Op::Update, Some(old), Some(new)) if key_changed(batch, table, old, new) => {
                self.emit_key_change(batch, table, event, old, new);
            }
            (Op::Update, _, Some(after)) => {
                if let (true, Some(before)) = (self.skip_unchanged, before) {
                    let columns: Vec<u16> = (0..).take(table.row.fields().len()).collect();
                    if batch.rows.equal_in(before, after, &columns) {
                        return;
                    }
                }
                batch.push(table, event);
            }
            (Op::Delete, ..) => {
                batch.push(table, event);
                if let (true, Some(before)) = (self.tombstones, before) {
                    batch.push_tombstone(table, before, None);
                }
            }
            _ => batch.push(table, event),
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
    ) {
        let before = event.before.or(Some(old));
        let to_new = Some(("__debezium.newkey", new));
        batch.push(
            table,
            Event { op: Op::Delete, before, after: None, key_header: to_new, ..event },
        );
        if self.tombstones {
            batch.push_tombstone(table, old, to_new);
        }
        let to_old = Some(("__debezium.oldkey", old));
        batch.push(table, Event { op: Op::Create, before: None, key_header: to_old, ..event });
    }
}

fn key_changed(batch: &BatchBuilder, table: &TableSchema, old: Slot, new: Slot) -> bool {
    table.key.as_ref().is_some_and(|(_, columns)| !batch.rows.equal_in(old, new, columns))
}
