//! Reading big-endian fields off a byte slice, with errors that say where and what.

use super::Lsn;

/// Bytes that are not what the protocol prescribes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what} at byte {offset}: expected {expected}, found {found}")]
pub struct DecodeError {
    /// What was being decoded.
    pub what: &'static str,
    /// Where in it, counted from its first byte.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
    /// What was there.
    pub found: String,
}

/// A place in a slice. Every read either advances or answers an error; none panics.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    what: &'static str,
    rest: &'a [u8],
    length: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes, length: bytes.len() }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    #[cold]
    pub(crate) fn error(&self, expected: &'static str, found: impl Into<String>) -> DecodeError {
        DecodeError { what: self.what, offset: self.offset(), expected, found: found.into() }
    }

    #[cold]
    fn short(&self, expected: &'static str) -> DecodeError {
        self.error(expected, format!("{} bytes to the end", self.rest.len()))
    }

    /// A byte that should have been something else; `offset` is then just behind it.
    #[cold]
    pub(crate) fn odd(&self, expected: &'static str, byte: u8) -> DecodeError {
        let mut error = self.error(expected, format!("'{}'", byte.escape_ascii()));
        error.offset = error.offset.saturating_sub(1);
        error
    }

    #[inline]
    pub(crate) fn bytes(
        &mut self,
        count: usize,
        expected: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.short(expected));
        };
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.short(expected));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(expected).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, expected: &'static str) -> Result<u16, DecodeError> {
        self.array(expected).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, expected: &'static str) -> Result<u32, DecodeError> {
        self.array(expected).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, expected: &'static str) -> Result<i32, DecodeError> {
        self.array(expected).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self, expected: &'static str) -> Result<i64, DecodeError> {
        self.array(expected).map(i64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn lsn(&mut self, expected: &'static str) -> Result<Lsn, DecodeError> {
        self.array(expected).map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    /// A time of the wire, as microseconds since 1970.
    #[inline]
    pub(crate) fn time_us(&mut self, expected: &'static str) -> Result<i64, DecodeError> {
        self.i64(expected).map(super::unix_us)
    }

    /// A length that may not be negative, then so many bytes.
    #[inline]
    pub(crate) fn sized(&mut self, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let before = *self;
        let count = self.i32(expected)?;
        let count = usize::try_from(count)
            .map_err(|_| before.error(expected, format!("the length {count}")))?;
        self.bytes(count, expected)
    }

    /// Text up to a zero byte, which is consumed too.
    pub(crate) fn text(&mut self, expected: &'static str) -> Result<&'a str, DecodeError> {
        let end =
            self.rest.iter().position(|&byte| byte == 0).ok_or_else(|| self.short(expected))?;
        let before = *self;
        let bytes = self.bytes(end, expected)?;
        self.bytes(1, expected)?;
        std::str::from_utf8(bytes)
            .map_err(|_| before.error(expected, format!("'{}', no UTF-8", bytes.escape_ascii())))
    }

    /// Nothing may follow.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error("the end", format!("{} more bytes", self.rest.len())))
    }
}
