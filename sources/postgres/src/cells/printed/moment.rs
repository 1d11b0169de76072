//! Dates and times in the ISO style, in UTC.

use std::fmt::Write;

use super::super::{
    BadValue, bad,
    binary::{self, fixed},
    temporal::{Finite, civil_from_days, write_time_as_needed},
};

const TAKEN: &str = "a string takes all";

/// `date_send`: days since 2000.
pub(super) fn date(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    match binary::date(field)? {
        Finite::Value(days) => {
            let era = push_day(out, days);
            out.push_str(era);
        }
        Finite::Infinity => out.push_str("infinity"),
        Finite::NegativeInfinity => out.push_str("-infinity"),
    }
    Ok(())
}

/// Microseconds since 2000; `zone` stands before the era.
pub(super) fn timestamp(field: &[u8], zone: &str, out: &mut String) -> Result<(), BadValue> {
    match binary::timestamp(field)? {
        Finite::Value(stamp) => {
            let era = push_day(out, stamp.days);
            out.push(' ');
            write_time_as_needed(out, stamp.time);
            out.push_str(zone);
            out.push_str(era);
        }
        Finite::Infinity => out.push_str("infinity"),
        Finite::NegativeInfinity => out.push_str("-infinity"),
    }
    Ok(())
}

/// A day without its era, which comes at the end.
fn push_day(out: &mut String, days: i64) -> &'static str {
    let (year, month, day) = civil_from_days(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    write!(out, "{year:04}-{month:02}-{day:02}").expect(TAKEN);
    era
}

/// `time_send`: microseconds of the day.
pub(super) fn time(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    write_time_as_needed(out, binary::time(field)?);
    Ok(())
}

/// `timetz_send`: microseconds of the day, then the zone in seconds to the west.
pub(super) fn zoned_time(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "12 bytes of a time with its zone";
    let (micros, zone) = field.split_at_checked(8).ok_or(BadValue { expected: EXPECTED })?;
    time(micros, out)?;
    let west = i32::from_be_bytes(fixed(zone, EXPECTED)?);
    let seconds = west.unsigned_abs();
    // The server's zones end at 16 hours.
    if seconds >= 16 * 3_600 {
        return bad("a zone less than 16 hours away");
    }
    let sign = if west > 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    write!(out, "{sign}{hours:02}").expect(TAKEN);
    if minutes > 0 || seconds > 0 {
        write!(out, ":{minutes:02}").expect(TAKEN);
    }
    if seconds > 0 {
        write!(out, ":{seconds:02}").expect(TAKEN);
    }
    Ok(())
}
