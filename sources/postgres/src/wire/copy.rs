//! `COPY … TO STDOUT (FORMAT binary)`, decoded as it arrives.
//!
//! ```text
//! header   PGCOPY\n\377\r\n\0, flags i32, length i32 of an extension, the extension
//! row      number of values i16, then for each its length i32 (-1 is NULL) and its bytes
//! trailer  -1 i16
//! ```
//!
//! Chunks may be cut anywhere. A row that lies in one chunk is read in place; one that does not is
//! put together in a buffer of the decoder's own.

use super::{DecodeError, cursor::Cursor};
use bytes::{Buf, Bytes, BytesMut};
use std::iter::FusedIterator;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Takes the bytes of one COPY, gives its rows.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// The last chunk; what is left of it has not been read.
    chunk: Bytes,
    /// In place of `chunk`: the rest of earlier chunks, and those that came after.
    carry: BytesMut,
    /// How many bytes of `carry` or `chunk` the last row took: it is borrowed until the next call.
    taken: usize,
    /// Where in the COPY the unread bytes begin.
    position: u64,
    /// An attempt with fewer unread bytes than this is known to fail.
    needed: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    Rows,
    Ended,
}

/// A row: its values in order, none for NULL.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    count: u16,
    rest: &'a [u8],
}

/// What the unread bytes begin with.
enum Found {
    /// So many bytes of header.
    Header(usize),
    /// A row of so many values in so many bytes, these two bytes of count included.
    Row(u16, usize),
    Trailer,
    /// Not all there yet: at least so many bytes are needed.
    Part(usize),
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. Those of before should have been read with [`Decoder::next_row`] until
    /// it gave none, or they are copied.
    pub fn push(&mut self, bytes: Bytes) {
        self.release();
        if self.unread().is_empty() {
            self.carry.clear();
            self.chunk = bytes;
            return;
        }
        if self.carry.is_empty() {
            self.carry.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
        }
        self.carry.extend_from_slice(&bytes);
    }

    /// The next row, or none until more bytes are pushed.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, DecodeError> {
        self.release();
        loop {
            if self.unread().len() < self.needed {
                return Ok(None);
            }
            let found = match find(self.state, self.unread()) {
                Ok(found) => found,
                Err(mut error) => {
                    let before = usize::try_from(self.position).unwrap_or(usize::MAX);
                    error.offset = error.offset.saturating_add(before);
                    return Err(error);
                }
            };
            match found {
                Found::Header(length) => {
                    self.state = State::Rows;
                    self.taken = length;
                    self.release();
                }
                Found::Trailer => {
                    self.state = State::Ended;
                    self.taken = 2;
                    self.release();
                }
                Found::Part(needed) => {
                    self.needed = needed;
                    return Ok(None);
                }
                Found::Row(count, length) => {
                    self.taken = length;
                    let rest = self.unread().get(2..length).unwrap_or_default();
                    return Ok(Some(Row { count, rest }));
                }
            }
        }
    }

    /// Call at the end of the COPY: its trailer must have been seen.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        self.release();
        if self.state == State::Ended && self.unread().is_empty() {
            return Ok(());
        }
        Err(DecodeError {
            what: "binary COPY",
            offset: usize::try_from(self.position).unwrap_or(usize::MAX),
            expected: "the rest of the data and its trailer",
            found: format!("the end after {} bytes more", self.unread().len()),
        })
    }

    #[inline]
    fn unread(&self) -> &[u8] {
        if self.carry.is_empty() { &self.chunk } else { &self.carry }
    }

    /// Lets go of the bytes of the last row.
    #[inline]
    fn release(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken == 0 {
            return;
        }
        if self.carry.is_empty() {
            self.chunk.advance(taken);
        } else {
            self.carry.advance(taken);
            if self.carry.is_empty() {
                // What is left of an exhausted buffer would otherwise never be used again.
                self.carry.clear();
            }
        }
        self.position += taken as u64;
        self.needed = 0;
    }
}

#[inline]
fn find(state: State, bytes: &[u8]) -> Result<Found, DecodeError> {
    match state {
        State::Rows => find_row(bytes),
        State::Header => find_header(bytes),
        State::Ended if bytes.is_empty() => Ok(Found::Part(1)),
        State::Ended => Err(Cursor::new("binary COPY", bytes)
            .error("nothing after the trailer", format!("{} bytes", bytes.len()))),
    }
}

#[inline]
fn find_row(bytes: &[u8]) -> Result<Found, DecodeError> {
    let Some((count, mut rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(Found::Part(2));
    };
    let count = i16::from_be_bytes(*count);
    let Ok(count) = u16::try_from(count) else {
        return match count {
            -1 => Ok(Found::Trailer),
            _ => {
                Err(Cursor::new("binary COPY", bytes)
                    .error("a number of values", format!("{count}")))
            }
        };
    };
    for _ in 0..count {
        let at = bytes.len() - rest.len();
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Ok(Found::Part(at + 4));
        };
        let length = match i32::from_be_bytes(*length) {
            -1 => 0,
            length => match usize::try_from(length) {
                Ok(length) => length,
                Err(_) => {
                    let mut cursor = Cursor::new("binary COPY", bytes);
                    cursor.bytes(at, "a row")?;
                    return Err(cursor.error("a length or -1", format!("{length}")));
                }
            },
        };
        let Some((_, after)) = after.split_at_checked(length) else {
            return Ok(Found::Part((at + 4).saturating_add(length)));
        };
        rest = after;
    }
    Ok(Found::Row(count, bytes.len() - rest.len()))
}

fn find_header(bytes: &[u8]) -> Result<Found, DecodeError> {
    let mut cursor = Cursor::new("binary COPY", bytes);
    let Ok(signature) = cursor.bytes(SIGNATURE.len(), "") else {
        return Ok(Found::Part(SIGNATURE.len()));
    };
    if signature != SIGNATURE {
        return Err(Cursor::new("binary COPY", bytes)
            .error("the signature PGCOPY", format!("'{}'", signature.escape_ascii())));
    }
    let before = cursor;
    let (Ok(flags), Ok(extension)) = (cursor.u32(""), cursor.i32("")) else {
        return Ok(Found::Part(SIGNATURE.len() + 8));
    };
    // The upper half says that the format is another one; bit 16 that rows have an OID in front.
    if flags >> 16 != 0 {
        return Err(before.error("no critical flags", format!("{flags:#x}")));
    }
    let extension = usize::try_from(extension)
        .map_err(|_| before.error("the length of an extension", format!("{extension}")))?;
    match cursor.bytes(extension, "") {
        Ok(_) => Ok(Found::Header(cursor.offset())),
        Err(_) => Ok(Found::Part(cursor.offset().saturating_add(extension))),
    }
}

impl<'a> Row<'a> {
    /// The values from the first on.
    pub fn fields(&self) -> Row<'a> {
        *self
    }
}

impl<'a> Iterator for Row<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        self.count = self.count.checked_sub(1)?;
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Row<'_> {}
impl FusedIterator for Row<'_> {}
