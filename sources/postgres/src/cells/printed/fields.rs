//! The parts of a value in binary form, cut from the left.

use super::super::{BadValue, bad};

pub(in crate::cells) struct Fields<'a> {
    rest: &'a [u8],
    expected: &'static str,
}

impl<'a> Fields<'a> {
    /// `expected` is what an error says.
    pub(in crate::cells) fn new(value: &'a [u8], expected: &'static str) -> Self {
        Self { rest: value, expected }
    }

    fn bad<T>(&self) -> Result<T, BadValue> {
        bad(self.expected)
    }

    pub(in crate::cells) fn take(&mut self, count: usize) -> Result<&'a [u8], BadValue> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => self.bad(),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadValue> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => self.bad(),
        }
    }

    pub(super) fn i16(&mut self) -> Result<i16, BadValue> {
        self.array().map(i16::from_be_bytes)
    }

    pub(in crate::cells) fn i32(&mut self) -> Result<i32, BadValue> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn f32(&mut self) -> Result<f32, BadValue> {
        self.array().map(f32::from_be_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, BadValue> {
        self.array().map(f64::from_be_bytes)
    }

    /// A number of things to come, in 32 bits. Nothing is set aside for it: it may be a lie.
    pub(super) fn count(&mut self) -> Result<usize, BadValue> {
        usize::try_from(self.i32()?).or(bad(self.expected))
    }

    /// A value with its length before it, `Some(None)` for null; `None` at the end.
    pub(in crate::cells) fn next_sized(&mut self) -> Result<Option<Option<&'a [u8]>>, BadValue> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match self.i32()? {
            -1 => Ok(Some(None)),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length).map(|value| Some(Some(value))),
                Err(_) => self.bad(),
            },
        }
    }

    /// Up to the next zero, which is left out.
    pub(super) fn until_zero(&mut self) -> Result<&'a [u8], BadValue> {
        let Some(end) = self.rest.iter().position(|byte| *byte == 0) else { return self.bad() };
        let taken = self.take(end)?;
        self.take(1)?;
        Ok(taken)
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result<(), BadValue> {
        if self.rest.is_empty() { Ok(()) } else { self.bad() }
    }
}
