//! Dates and times as a lenient `java.text.SimpleDateFormat` reads them: numbers of any length, in
//! any range, and whatever comes after the last one.

use model::value::Value;

use super::{Guess, Type};
use crate::calendar::{self, DAY_MS};

/// The pattern is chosen by the length of the text (in UTF-16 units).
pub(super) fn parse(text: &str) -> Option<Guess> {
    let text = text.replace("\\:", ":");
    let mut reader = Reader { rest: &text };
    match text.encode_utf16().count() {
        13 => {
            let ms = reader.time()?;
            Some(Guess { kind: Type::Time, value: Value::Int(ms) })
        }
        10 => {
            let day = reader.date()?;
            Some(Guess { kind: Type::Date, value: Value::Int(day) })
        }
        24 => {
            let day = reader.date()?;
            reader.literal('T')?;
            let ms = day * DAY_MS + reader.time()?;
            Some(Guess { kind: Type::Timestamp, value: Value::Int(ms) })
        }
        _ => None,
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn date(&mut self) -> Option<i64> {
        let year = self.number()?;
        self.literal('-')?;
        let month = self.number()?;
        self.literal('-')?;
        Some(calendar::day(year, month, self.number()?))
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number()?;
        self.literal(':')?;
        let minute = self.number()?;
        self.literal(':')?;
        let second = self.number()?;
        self.literal('.')?;
        let ms = self.number()?;
        self.literal('Z')?;
        Some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
    }

    fn literal(&mut self, char: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(char)?;
        Some(())
    }

    /// Java narrows it to 32 bits.
    fn number(&mut self) -> Option<i64> {
        let text = self.rest.trim_start_matches([' ', '\t']);
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = digits.split_at(len);
        // At most 24 digits.
        let value: i128 = digits.parse().ok()?;
        let value = if negative { -value } else { value };
        self.rest = rest;
        Some(match i64::try_from(value) {
            Ok(value) => i64::from(value as i32),
            Err(_) if negative => i32::MIN.into(),
            Err(_) => i32::MAX.into(),
        })
    }
}
