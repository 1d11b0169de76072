//! Dates, times and intervals: parsing PostgreSQL's ISO texts, and ISO 8601 as Java prints it.

use std::fmt::Write;

use super::{BadValue, bad};

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
pub(crate) const POSTGRES_EPOCH_DAYS: i64 = 10_957;
pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The day number of a proleptic Gregorian date (Howard Hinnant's `days_from_civil`).
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse: year, month, day.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// 1582-10-15, the first day of the Gregorian calendar in Java's `GregorianCalendar`.
const GREGORIAN_FROM: i64 = -141_427;

/// The day on which the Julian calendar had the date that this day has in the Gregorian one; days of
/// the Gregorian calendar stay.
pub(crate) fn julian_days(days: i64) -> i64 {
    if days >= GREGORIAN_FROM {
        return days;
    }
    let (year, month, day) = civil_from_days(days);
    let early = i64::from(month <= 2);
    let years = year + 4_800 - early;
    let months = month + 12 * early - 3;
    // The Julian day number, less that of 1970-01-01.
    day + (153 * months + 2) / 5 + 365 * years + years.div_euclid(4) - 32_083 - 2_440_588
}

/// The day that `java.sql.Date` makes of one: it has no years before the first, and the ten days that
/// the Gregorian calendar left out come after it.
pub(crate) fn sql_days(days: i64) -> i64 {
    match civil_from_days(days) {
        (year @ ..=0, month, day) => days_from_civil(1 - year, month, day),
        _ if (GREGORIAN_FROM - 10..GREGORIAN_FROM).contains(&days) => days + 10,
        _ => days,
    }
}

/// A text cut from the left.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn number(&mut self, expected: &'static str) -> Result<i64, BadValue> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Hours of an interval have at most 10 digits; more would not fit into microseconds.
        if digits == 0 || digits > 10 {
            return bad(expected);
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        Ok(number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), BadValue> {
        if self.eat(byte) { Ok(()) } else { bad(expected) }
    }

    /// `year-month-day`, as a year that may have more than four digits; the era comes at the end.
    fn date(&mut self) -> Result<(i64, i64, i64), BadValue> {
        const EXPECTED: &str = "a date as year-month-day";
        let year = self.number(EXPECTED)?;
        self.expect(b'-', EXPECTED)?;
        let month = self.number(EXPECTED)?;
        self.expect(b'-', EXPECTED)?;
        let day = self.number(EXPECTED)?;
        // The server's last year is 5,874,897.
        if year > 9_999_999 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return bad(EXPECTED);
        }
        Ok((year, month, day))
    }

    /// `hours:minutes:seconds[.fraction]` in microseconds.
    fn time(&mut self) -> Result<i64, BadValue> {
        const EXPECTED: &str = "a time as hours:minutes:seconds";
        let hours = self.number(EXPECTED)?;
        self.expect(b':', EXPECTED)?;
        let minutes = self.number(EXPECTED)?;
        let seconds = if self.eat(b':') { self.number(EXPECTED)? } else { 0 };
        let seconds = (hours * 60 + minutes) * 60 + seconds;
        let micros = seconds.checked_mul(MICROS_PER_SECOND);
        let mut micros = micros.ok_or(BadValue { expected: EXPECTED })?;
        if self.eat(b'.') {
            let before = self.0.len();
            let fraction = self.number(EXPECTED)?;
            let digits = before - self.0.len();
            if digits > 6 {
                return bad("a time with at most 6 fraction digits");
            }
            let fraction = fraction * 10_i64.pow(6 - digits as u32);
            micros = micros.checked_add(fraction).ok_or(BadValue { expected: EXPECTED })?;
        }
        Ok(micros)
    }

    /// `+hours[:minutes[:seconds]]` in seconds.
    fn offset(&mut self) -> Result<i64, BadValue> {
        const EXPECTED: &str = "a zone offset as +hours:minutes";
        let sign = if self.eat(b'-') {
            -1
        } else {
            self.expect(b'+', EXPECTED)?;
            1
        };
        let hours = self.number(EXPECTED)?;
        let minutes = if self.eat(b':') { self.number(EXPECTED)? } else { 0 };
        let seconds = if self.eat(b':') { self.number(EXPECTED)? } else { 0 };
        let seconds = (hours * 60 + minutes) * 60 + seconds;
        // The server's zones end at 16 hours.
        if seconds < 16 * 3_600 { Ok(sign * seconds) } else { bad(EXPECTED) }
    }

    /// A time of the day; 24:00 is one.
    fn time_of_day(&mut self) -> Result<i64, BadValue> {
        let micros = self.time()?;
        if micros <= MICROS_PER_DAY { Ok(micros) } else { bad("a time of the day") }
    }

    fn end_with_era(&mut self, year: i64) -> Result<i64, BadValue> {
        match self.0 {
            b"" => Ok(year),
            b" BC" => Ok(1 - year),
            _ => bad("the end of the text or BC"),
        }
    }
}

/// A date that may lie at either end of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finite<T> {
    Value(T),
    Infinity,
    NegativeInfinity,
}

fn finite<T>(
    text: &str,
    parse: impl FnOnce(&mut Cursor<'_>) -> Result<T, BadValue>,
) -> Result<Finite<T>, BadValue> {
    match text {
        "infinity" => Ok(Finite::Infinity),
        "-infinity" => Ok(Finite::NegativeInfinity),
        text => parse(&mut Cursor(text.as_bytes())).map(Finite::Value),
    }
}

/// Days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Result<Finite<i64>, BadValue> {
    finite(text, |cursor| {
        let (year, month, day) = cursor.date()?;
        let year = cursor.end_with_era(year)?;
        Ok(days_from_civil(year, month, day))
    })
}

/// A moment: days since 1970-01-01 and microseconds of that day. The last years that the server has
/// are too far for microseconds in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) days: i64,
    pub(crate) time: i64,
}

impl Stamp {
    /// `time` may lie outside the day.
    pub(crate) fn new(days: i64, time: i64) -> Self {
        Self { days: days + time.div_euclid(MICROS_PER_DAY), time: time.rem_euclid(MICROS_PER_DAY) }
    }
}

/// With an offset the moment is that in UTC.
pub(crate) fn parse_timestamp(text: &str) -> Result<Finite<Stamp>, BadValue> {
    finite(text, |cursor| {
        let (year, month, day) = cursor.date()?;
        cursor.expect(b' ', "a blank between date and time")?;
        let time = cursor.time_of_day()?;
        let offset = match cursor.0.first() {
            Some(b'+' | b'-') => cursor.offset()?,
            _ => 0,
        };
        let year = cursor.end_with_era(year)?;
        let days = days_from_civil(year, month, day);
        Ok(Stamp::new(days, time - offset * MICROS_PER_SECOND))
    })
}

/// Microseconds of the day; 24:00 is allowed.
pub(crate) fn parse_time(text: &str) -> Result<i64, BadValue> {
    let mut cursor = Cursor(text.as_bytes());
    let micros = cursor.time_of_day()?;
    if cursor.0.is_empty() { Ok(micros) } else { bad("the end of the time") }
}

/// Microseconds of the day as written, and the offset in seconds east.
pub(crate) fn parse_zoned_time(text: &str) -> Result<(i64, i64), BadValue> {
    let mut cursor = Cursor(text.as_bytes());
    let micros = cursor.time_of_day()?;
    let offset = cursor.offset()?;
    if cursor.0.is_empty() { Ok((micros, offset)) } else { bad("the end of the time") }
}

/// An interval as the server keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i64,
    pub(crate) days: i64,
    pub(crate) micros: i64,
}

/// The text of `IntervalStyle=postgres`: `1 year 2 mons -3 days 04:05:06.7`.
pub(crate) fn parse_interval(text: &str) -> Result<Interval, BadValue> {
    const EXPECTED: &str = "an interval in the style postgres";
    let mut interval = Interval::default();
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let (sign, unsigned) = match word.as_bytes().first() {
            Some(b'-') => (-1, &word[1..]),
            Some(b'+') => (1, &word[1..]),
            _ => (1, word),
        };
        if unsigned.contains(':') {
            // As many hours as there are.
            let mut cursor = Cursor(unsigned.as_bytes());
            interval.micros = sign * cursor.time()?;
            if !cursor.0.is_empty() {
                return bad(EXPECTED);
            }
            continue;
        }
        let Ok(number) = unsigned.parse::<u32>() else { return bad(EXPECTED) };
        let number = sign * i64::from(number);
        match words.next() {
            Some("year" | "years") => interval.months += number * 12,
            Some("mon" | "mons") => interval.months += number,
            Some("day" | "days") => interval.days += number,
            _ => return bad(EXPECTED),
        }
    }
    Ok(interval)
}

impl Interval {
    /// The infinite ones of PostgreSQL 17 have no form in events; the server keeps them as the last
    /// numbers there are.
    pub(crate) fn finite(self) -> Result<Self, BadValue> {
        let Interval { months, days, micros } = self;
        let end = |last32: i32, last64: i64| {
            months == i64::from(last32) && days == i64::from(last32) && micros == last64
        };
        let infinite = end(i32::MAX, i64::MAX) || end(i32::MIN, i64::MIN);
        if infinite { bad("a finite interval") } else { Ok(self) }
    }

    /// `io.debezium.time.MicroDuration`: a month has 365.25 / 12 days, and the sum is made in double
    /// precision, as there.
    pub(crate) fn to_micro_duration(self) -> i64 {
        const DAYS_PER_MONTH: f64 = 365.25 / 12.0;
        let seconds_total = self.micros / MICROS_PER_SECOND;
        let hours = seconds_total / 3_600;
        let minutes = seconds_total / 60 % 60;
        let seconds =
            (self.micros - (hours * 3_600 + minutes * 60) * MICROS_PER_SECOND) as f64 / 1e6;
        let days = self.months as f64 * DAYS_PER_MONTH + self.days as f64;
        let total = ((days * 24.0 + hours as f64) * 60.0 + minutes as f64) * 60.0 + seconds;
        (total * 1e6) as i64
    }
}

fn write_time(out: &mut String, micros: i64, digits: usize) {
    let seconds = micros / MICROS_PER_SECOND;
    let fraction = micros % MICROS_PER_SECOND;
    push_two(out, seconds / 3_600);
    out.push(':');
    push_two(out, seconds / 60 % 60);
    out.push(':');
    push_two(out, seconds % 60);
    if digits > 0 {
        out.push('.');
        let mut text = [b'0'; 6];
        let mut rest = fraction;
        for byte in text.iter_mut().rev() {
            *byte = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.extend(text.iter().take(digits).map(|byte| char::from(*byte)));
    }
}

fn push_two(out: &mut String, number: i64) {
    out.push(char::from(b'0' + (number / 10 % 10) as u8));
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// The fewest fraction digits that show `micros` whole.
fn digits_needed(micros: i64) -> usize {
    let mut fraction = micros % MICROS_PER_SECOND;
    if fraction == 0 {
        return 0;
    }
    let mut digits = 6;
    while fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    digits
}

/// `io.debezium.time.ZonedTimestamp` in UTC; with `digits` fraction digits; 0 stands
/// for as many as needed.
pub(crate) fn write_zoned_timestamp(out: &mut String, stamp: Stamp, digits: usize) {
    let Stamp { days, time } = stamp;
    write_date(out, days);
    out.push('T');
    write_time(out, time, if digits == 0 { digits_needed(time) } else { digits });
    out.push('Z');
}

/// `year-month-day`; years beyond four digits have a sign, as Java prints them.
pub(crate) fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil_from_days(days);
    match year {
        0..=9999 => {
            push_two(out, year / 100);
            push_two(out, year % 100);
        }
        10_000.. => write!(out, "+{year}").expect("a string takes all"),
        _ => write!(out, "-{:04}", -year).expect("a string takes all"),
    }
    out.push('-');
    push_two(out, month);
    out.push('-');
    push_two(out, day);
}

/// A time of the day with as many fraction digits as needed.
pub(crate) fn write_time_as_needed(out: &mut String, micros: i64) {
    write_time(out, micros, digits_needed(micros));
}

/// Seconds with their sign and as many fraction digits as needed: `-6.000001`.
pub(crate) fn write_seconds(out: &mut String, micros: i64) {
    let (seconds, fraction) = (micros / MICROS_PER_SECOND, (micros % MICROS_PER_SECOND).abs());
    if micros < 0 {
        out.push('-');
    }
    write!(out, "{}", seconds.abs()).expect("a string takes all");
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        write!(out, ".{}", digits.trim_end_matches('0')).expect("a string takes all");
    }
}

/// `io.debezium.time.ZonedTime`: shifted to UTC, as many digits as needed.
pub(crate) fn write_zoned_time(out: &mut String, micros: i64, offset_seconds: i64) {
    // 24:00 that was written in UTC stays 24:00, as in Debezium (recorded from 3.7).
    let utc = micros - offset_seconds * MICROS_PER_SECOND;
    let end = micros == MICROS_PER_DAY && offset_seconds == 0;
    let utc = if end { utc } else { utc.rem_euclid(MICROS_PER_DAY) };
    write_time(out, utc, digits_needed(utc));
    out.push('Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_days_round_trip() {
        for days in (-1_000_000..3_000_000).step_by(379) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(days_from_civil(2000, 1, 1), POSTGRES_EPOCH_DAYS);
        assert_eq!(days_from_civil(1582, 10, 15), GREGORIAN_FROM);
        // Recorded from Debezium 3.7: dates in snapshots, timestamps in arrays.
        for (days, sql) in [(-735_160, -703_383), (-141_432, -141_422), (-2_440_550, 1_001_860)] {
            assert_eq!(sql_days(days), sql);
        }
        assert_eq!(julian_days(days_from_civil(1, 1, 1)) * 86_400, -62_135_769_600);
        assert_eq!(parse_date("0044-03-15 BC"), Ok(Finite::Value(-735_160)));
    }

    /// Values recorded from Debezium 3.7.
    #[test]
    fn intervals() {
        for (text, micros) in [
            ("1 year 2 mons 3 days 04:05:06.789", 37_091_106_789_000),
            ("-1 years -2 mons +3 days -04:05:06.000001", -36_572_706_000_001),
            ("-178000 years", -5_617_252_800_000_000_000),
            ("-1 days +00:00:00.001", -86_399_999_000),
            ("00:00:00", 0),
        ] {
            assert_eq!(parse_interval(text).unwrap().to_micro_duration(), micros, "{text}");
        }
    }

    #[test]
    fn zoned_timestamps() {
        for (text, digits, wanted) in [
            ("2024-02-29 12:34:56.789012+00", 6, "2024-02-29T12:34:56.789012Z"),
            ("2024-02-29 12:34:56+05", 0, "2024-02-29T07:34:56Z"),
            ("0044-03-15 10:00:00+00 BC", 6, "-0043-03-15T10:00:00.000000Z"),
            ("20240-03-15 10:00:00+00", 3, "+20240-03-15T10:00:00.000Z"),
        ] {
            let Ok(Finite::Value(stamp)) = parse_timestamp(text) else { panic!("{text}") };
            let mut out = String::new();
            write_zoned_timestamp(&mut out, stamp, digits);
            assert_eq!(out, wanted);
        }
    }

    /// None of them is the server's.
    #[test]
    fn times_and_zones_beyond_all_bounds() {
        for zone in ["+9999999999", "-9999999999:9999999999:9999999999", "+16", "-15:60"] {
            assert!(parse_zoned_time(&format!("00:00:00{zone}")).is_err(), "{zone}");
            assert!(parse_timestamp(&format!("2024-02-29 00:00:00{zone}")).is_err(), "{zone}");
        }
        for time in ["2562047788:00:54.775807", "24:00:00.000001"] {
            assert!(parse_time(time).is_err(), "{time}");
            assert!(parse_zoned_time(&format!("{time}-15:59:59")).is_err(), "{time}");
            assert!(parse_timestamp(&format!("2024-02-29 {time}-15:59:59")).is_err(), "{time}");
        }
        assert_eq!(parse_zoned_time("24:00:00-15:59:59"), Ok((MICROS_PER_DAY, -57_599)));
    }

    #[test]
    fn zoned_times() {
        for (text, wanted) in [
            ("12:34:56.789012+02", "10:34:56.789012Z"),
            ("23:59:59.999-11:30", "11:29:59.999Z"),
            ("24:00:00+00", "24:00:00Z"),
            ("23:00:00-01", "00:00:00Z"),
            ("01:02:03.4+05:30", "19:32:03.4Z"),
        ] {
            let (micros, offset) = parse_zoned_time(text).unwrap();
            let mut out = String::new();
            write_zoned_time(&mut out, micros, offset);
            assert_eq!(out, wanted);
        }
    }
}
