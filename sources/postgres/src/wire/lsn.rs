//! Positions in the write-ahead log, and the epoch its times count from.

use std::{fmt, str::FromStr};

/// A byte position in the write-ahead log, written `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No position: as the start of a stream it means "where the slot was confirmed".
    pub const ZERO: Lsn = Lsn(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 as u32)
    }
}

/// A text that is no position.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no log position; one is written like 16/B374D848")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` takes a sign, which PostgreSQL does not write.
        let half = |digits: &str| {
            let digits = Some(digits).filter(|digits| !digits.starts_with('+'))?;
            u32::from_str_radix(digits, 16).map(u64::from).ok()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn((half(high)? << 32) | half(low)?)))
            .ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

/// 2000-01-01T00:00:00Z, where PostgreSQL's times begin, in microseconds since 1970.
pub const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A time of the wire (microseconds since 2000) as microseconds since 1970.
pub fn unix_us(postgres_us: i64) -> i64 {
    postgres_us.saturating_add(POSTGRES_EPOCH_US)
}
