//! Rows packed into one buffer per batch.
//!
//! A decoded row is a run of 16-byte [`Cell`]s. Text and bytes lie in two arenas beside them, so a
//! batch of 2,000 rows of 20 columns costs three growing vectors, not 40,000 allocations. Text sits
//! in a `String`, so UTF-8 is checked once when pushed and never again, without `unsafe`.
//!
//! The price: one record that lives on (in a dead-letter queue, say) keeps its whole batch alive.
//! Batches are bounded by bytes, so that price is bounded too.

use std::sync::{Arc, Weak};

use crate::value::{Value, ValueRef};

#[derive(Clone, Copy, Debug)]
enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text {
        start: u32,
        len: u32,
    },
    Bytes {
        start: u32,
        len: u32,
    },
    /// Text that repeats from row to row (a table's name), held once for the batch.
    Shared(u32),
    /// Arrays and maps, rare enough to be trees.
    Nested(u32),
}

const _: () = assert!(size_of::<Cell>() == 16);

#[derive(Debug, Default)]
pub struct Rows {
    cells: Vec<Cell>,
    text: String,
    bytes: Vec<u8>,
    shared: Vec<Arc<str>>,
    nested: Vec<Value>,
}

/// One row of a sealed batch. Cloning bumps one reference count.
#[derive(Clone, Debug)]
pub struct Row {
    rows: Arc<Rows>,
    start: u32,
    width: u16,
}

impl Row {
    pub fn width(&self) -> usize {
        usize::from(self.width)
    }

    /// What to know this very row by later, without keeping its batch alive.
    pub fn mark(&self) -> Mark {
        Mark { rows: Arc::downgrade(&self.rows), start: self.start }
    }

    pub fn get(&self, column: usize) -> ValueRef<'_> {
        assert!(column < self.width(), "column {column} of a row of {}", self.width);
        self.rows.read(self.rows.cells[self.start as usize + column])
    }
}

impl Rows {
    fn read(&self, cell: Cell) -> ValueRef<'_> {
        match cell {
            Cell::Null => ValueRef::Null,
            Cell::Bool(value) => ValueRef::Bool(value),
            Cell::Int(value) => ValueRef::Int(value),
            Cell::Float32(value) => ValueRef::Float32(value),
            Cell::Float64(value) => ValueRef::Float64(value),
            Cell::Text { start, len } => ValueRef::Text(&self.text[span(start, len)]),
            Cell::Bytes { start, len } => ValueRef::Bytes(&self.bytes[span(start, len)]),
            Cell::Shared(index) => ValueRef::Text(&self.shared[index as usize]),
            Cell::Nested(index) => self.nested[index as usize].as_ref(),
        }
    }
}

/// Names one row of one batch: see [`Row::mark`].
#[derive(Clone, Debug, Default)]
pub struct Mark {
    /// Keeps the address from being given to another batch, not the rows.
    rows: Weak<Rows>,
    start: u32,
}

impl Mark {
    pub fn is(&self, row: &Row) -> bool {
        self.start == row.start && std::ptr::eq(self.rows.as_ptr(), Arc::as_ptr(&row.rows))
    }
}

fn span(start: u32, len: u32) -> std::ops::Range<usize> {
    start as usize..start as usize + len as usize
}

/// A row under construction or done, known by where it starts. It becomes a [`Row`] when the batch
/// is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    start: u32,
    width: u16,
}

/// Text kept once for a batch: see [`RowsBuilder::share`].
#[derive(Clone, Copy, Debug)]
pub struct Shared(u32);

/// Decoders push cells here, left to right, row after row.
#[derive(Debug, Default)]
pub struct RowsBuilder {
    rows: Rows,
    open: usize,
}

impl RowsBuilder {
    /// The bytes held, for the batch-size limit.
    pub fn byte_len(&self) -> usize {
        self.rows.cells.len() * size_of::<Cell>() + self.rows.text.len() + self.rows.bytes.len()
    }

    pub fn null(&mut self) {
        self.rows.cells.push(Cell::Null);
    }

    pub fn bool(&mut self, value: bool) {
        self.rows.cells.push(Cell::Bool(value));
    }

    pub fn int(&mut self, value: i64) {
        self.rows.cells.push(Cell::Int(value));
    }

    pub fn float32(&mut self, value: f32) {
        self.rows.cells.push(Cell::Float32(value));
    }

    pub fn float64(&mut self, value: f64) {
        self.rows.cells.push(Cell::Float64(value));
    }

    pub fn text(&mut self, value: &str) {
        self.text_with(|out| out.push_str(value));
    }

    /// Formats straight into the arena, for values whose text form is computed (an ISO timestamp).
    pub fn text_with(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.rows.text.len();
        write(&mut self.rows.text);
        let len = offset(self.rows.text.len() - start);
        self.rows.cells.push(Cell::Text { start: offset(start), len });
    }

    pub fn bytes(&mut self, value: &[u8]) {
        let start = offset(self.rows.bytes.len());
        self.rows.bytes.extend_from_slice(value);
        self.rows.cells.push(Cell::Bytes { start, len: offset(value.len()) });
    }

    /// Keeps `text` once; each [`RowsBuilder::shared`] of it costs one cell.
    pub fn share(&mut self, text: Arc<str>) -> Shared {
        let index = offset(self.rows.shared.len());
        self.rows.shared.push(text);
        Shared(index)
    }

    pub fn shared(&mut self, shared: Shared) {
        self.rows.cells.push(Cell::Shared(shared.0));
    }

    /// Pushes the same value as `column` of an earlier row of this batch has; the text is not
    /// copied.
    ///
    /// # Panics
    ///
    /// When the row has no such column.
    pub fn copy(&mut self, slot: Slot, column: usize) {
        assert!(column < usize::from(slot.width), "column {column} of a row of {}", slot.width);
        let cell = self.rows.cells[slot.start as usize + column];
        self.rows.cells.push(cell);
    }

    /// Whether a finished row has null in `column`.
    pub fn is_null(&self, slot: Slot, column: usize) -> bool {
        matches!(self.rows.cells.get(slot.start as usize + column), Some(Cell::Null))
    }

    /// Gives a column of a finished row the value that a column of another has: row and column each.
    ///
    /// # Panics
    ///
    /// When one of the rows has no such column.
    pub fn overwrite(&mut self, target: (Slot, usize), value: (Slot, usize)) {
        for (slot, column) in [target, value] {
            assert!(column < usize::from(slot.width), "column {column} of a row of {}", slot.width);
        }
        let cell = self.rows.cells[value.0.start as usize + value.1];
        self.rows.cells[target.0.start as usize + target.1] = cell;
    }

    /// Whether two finished rows read equal in these columns.
    pub fn equal_in(&self, a: Slot, b: Slot, columns: &[u16]) -> bool {
        columns.iter().all(|&column| {
            let at = |slot: Slot| {
                self.rows.read(self.rows.cells[slot.start as usize + usize::from(column)])
            };
            at(a).same(at(b))
        })
    }

    /// A value of a finished row.
    ///
    /// # Panics
    ///
    /// When the row has no such column.
    pub fn get(&self, slot: Slot, column: usize) -> ValueRef<'_> {
        assert!(column < usize::from(slot.width), "column {column} of a row of {}", slot.width);
        self.rows.read(self.rows.cells[slot.start as usize + column])
    }

    /// Drops the cells pushed since the last [`RowsBuilder::end`].
    pub fn abandon(&mut self) {
        self.rows.cells.truncate(self.open);
    }

    pub fn nested(&mut self, value: Value) {
        let index = offset(self.rows.nested.len());
        self.rows.nested.push(value);
        self.rows.cells.push(Cell::Nested(index));
    }

    /// Ends the row begun after the last `end`.
    pub fn end(&mut self) -> Slot {
        let start = std::mem::replace(&mut self.open, self.rows.cells.len());
        let width = u16::try_from(self.rows.cells.len() - start)
            .expect("a table has at most 1,664 columns");
        Slot { start: offset(start), width }
    }

    pub fn seal(self) -> Sealed {
        assert!(self.open == self.rows.cells.len(), "sealed in the middle of a row");
        Sealed(Arc::new(self.rows))
    }
}

pub struct Sealed(Arc<Rows>);

impl Sealed {
    pub fn row(&self, slot: Slot) -> Row {
        Row { rows: self.0.clone(), start: slot.start, width: slot.width }
    }
}

/// Batches are cut long before 4 GiB (`max.batch.size`), so an offset always fits.
fn offset(value: usize) -> u32 {
    u32::try_from(value).expect("a batch stays under 4 GiB")
}
