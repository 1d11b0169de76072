//! Rows and lists, walked once when their message is decoded, so that iterating them cannot fail.

use std::iter::FusedIterator;

use super::message::Column;
use crate::wire::cursor::{Cursor, DecodeError};

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    /// Stored out of line and not touched by the update, hence not sent.
    Unchanged,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

/// The values of a row, in the order of the relation's columns.
#[derive(Clone, Copy, Debug)]
pub struct Tuple<'a> {
    pub(super) count: u16,
    pub(super) rest: &'a [u8],
}

/// The columns of a relation.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub(super) count: u16,
    pub(super) rest: &'a [u8],
}

/// The tables of a truncate.
#[derive(Clone, Copy, Debug)]
pub struct Oids<'a> {
    pub(super) chunks: &'a [[u8; 4]],
}

pub(super) fn column<'a>(cursor: &mut Cursor<'a>) -> Result<Column<'a>, DecodeError> {
    Ok(Column {
        key: cursor.u8("a column's flags")? & 1 != 0,
        name: cursor.text("a column's name")?,
        type_oid: cursor.u32("a column's type")?,
        type_modifier: cursor.i32("a column's type modifier")?,
    })
}

/// Walks a row, so that iterating it later cannot fail.
#[inline]
pub(super) fn tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, DecodeError> {
    let count = cursor.u16("a number of values")?;
    let rest = cursor.rest();
    let mut after = rest;
    for _ in 0..count {
        match split_cell(after) {
            Some((_, rest)) => after = rest,
            None => return Err(bad_cell(cursor, count)),
        }
    }
    cursor.bytes(rest.len() - after.len(), "a row")?;
    Ok(Tuple { count, rest })
}

/// The first value and what follows it. Every value of every row passes here twice, so this makes
/// no error: [`bad_cell`] finds out what is wrong.
#[inline(always)]
fn split_cell(bytes: &[u8]) -> Option<(Cell<'_>, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    if kind == b't' || kind == b'b' {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        return Some((if kind == b't' { Cell::Text(value) } else { Cell::Binary(value) }, rest));
    }
    match kind {
        b'n' => Some((Cell::Null, rest)),
        b'u' => Some((Cell::Unchanged, rest)),
        _ => None,
    }
}

/// What is wrong with the first value that cannot be split off.
#[cold]
fn bad_cell(cursor: &mut Cursor<'_>, count: u16) -> DecodeError {
    const KINDS: &str = "a value's kind n, u, t or b";
    for _ in 0..count {
        let read = match cursor.u8(KINDS) {
            Ok(b't' | b'b') => cursor.sized("a value").map(|_| ()),
            Ok(b'n' | b'u') => Ok(()),
            Ok(byte) => Err(cursor.odd(KINDS, byte)),
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            return error;
        }
    }
    cursor.error("a row", "one that cannot be split")
}

impl<'a> Iterator for Tuple<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        self.count = self.count.checked_sub(1)?;
        let (cell, rest) = split_cell(self.rest)?;
        self.rest = rest;
        Some(cell)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Tuple<'_> {}
impl FusedIterator for Tuple<'_> {}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    fn next(&mut self) -> Option<Column<'a>> {
        self.count = self.count.checked_sub(1)?;
        let mut cursor = Cursor::new("pgoutput message", self.rest);
        let column = column(&mut cursor).ok()?;
        self.rest = cursor.rest();
        Some(column)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Columns<'_> {}
impl FusedIterator for Columns<'_> {}

impl<'a> Columns<'a> {
    /// The columns from the first on.
    pub fn iter(&self) -> Columns<'a> {
        *self
    }
}

impl Iterator for Oids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, rest) = self.chunks.split_first()?;
        self.chunks = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.chunks.len(), Some(self.chunks.len()))
    }
}

impl ExactSizeIterator for Oids<'_> {}
impl FusedIterator for Oids<'_> {}
