//! Values in the server's binary form, as `COPY … (FORMAT binary)` sends them, and the stream with
//! `binary=true` in `slot.stream.params`.
//!
//! Only the types that pay for it are read this way ([`Decode::comes_binary`]); others are cast to
//! text in the query of a COPY, and of the stream [`super::sent::Sent`] says how they are read.
//! Layouts: the `*_send` functions of the server, `src/backend/utils/adt`.

use super::{
    BadValue, Cell, Decode, Phase, Scratch, bad,
    encoded::encoded,
    number::{Decimal, Unscaled},
    temporal::{Finite, Interval, MICROS_PER_DAY, POSTGRES_EPOCH_DAYS, Stamp},
    text::variable_scale,
};

impl Decode {
    /// Whether this type is asked for in binary form; the others come as text.
    pub(crate) fn comes_binary(&self) -> bool {
        matches!(
            self,
            Decode::Bool
                | Decode::Int
                | Decode::Float32
                | Decode::Float64
                | Decode::Bytea(_)
                | Decode::Uuid
                | Decode::Decimal { .. }
                | Decode::VariableScaleDecimal(_)
                | Decode::Date(_)
                | Decode::Time(_)
                | Decode::Timestamp(_)
                | Decode::ZonedTimestamp(_)
                | Decode::Interval(_)
        )
    }

    /// Decodes a field in binary form; what does not come binary is text.
    pub(crate) fn copied<'a>(
        &self,
        field: &'a [u8],
        phase: Phase,
        scratch: &'a mut Scratch,
    ) -> Result<Cell<'a>, BadValue> {
        if !self.comes_binary() {
            let Ok(text) = std::str::from_utf8(field) else { return bad("text in UTF-8") };
            return self.text(text, phase, scratch);
        }
        Ok(match self {
            Decode::Bool => Cell::Bool(field == [1]),
            Decode::Int => Cell::Int(integer(field)?),
            Decode::Float32 => Cell::Float32(f32::from_be_bytes(fixed(field, "4 bytes")?)),
            Decode::Float64 => Cell::Float64(f64::from_be_bytes(fixed(field, "8 bytes")?)),
            Decode::Bytea(mode) => encoded(*mode, field, &mut scratch.text),
            Decode::Uuid => {
                let uuid = uuid::Uuid::from_bytes(fixed(field, "16 bytes")?);
                scratch.text.clear();
                scratch.text.push_str(uuid.hyphenated().encode_lower(&mut [0; 36]));
                Cell::Text(&scratch.text)
            }
            Decode::Decimal { scale } => {
                let decimal = numeric(field)?.rescale(*scale);
                scratch.bytes.clear();
                decimal.unscaled.write_bytes(&mut scratch.bytes);
                Cell::Bytes(&scratch.bytes)
            }
            Decode::VariableScaleDecimal(schema) => {
                Cell::Nested(variable_scale(schema, numeric(field)?))
            }
            Decode::Date(form) => form.cell(date(field)?, phase, scratch),
            Decode::Time(form) => form.cell(time(field)?, scratch)?,
            Decode::Timestamp(form) => form.cell(timestamp(field)?, scratch)?,
            Decode::ZonedTimestamp(form) => form.cell(timestamp(field)?, scratch),
            Decode::Interval(form) => {
                const EXPECTED: &str = "16 bytes of an interval";
                let (micros, rest) =
                    field.split_at_checked(8).ok_or(BadValue { expected: EXPECTED })?;
                let (days, months) =
                    rest.split_at_checked(4).ok_or(BadValue { expected: EXPECTED })?;
                let interval = Interval {
                    months: integer(months)?,
                    days: integer(days)?,
                    micros: integer(micros)?,
                };
                form.cell(interval.finite()?, scratch)
            }
            _ => return bad("a type that is read in binary form"),
        })
    }
}

pub(super) fn fixed<const N: usize>(
    field: &[u8],
    expected: &'static str,
) -> Result<[u8; N], BadValue> {
    field.try_into().or(bad(expected))
}

/// Integers of any width. `oid` has 4 bytes too but no sign; its column says so by [`Decode::Int`]
/// being asked for as `int8` in the query.
pub(super) fn integer(field: &[u8]) -> Result<i64, BadValue> {
    match field.len() {
        2 => Ok(i16::from_be_bytes(fixed(field, "2 bytes")?).into()),
        4 => Ok(i32::from_be_bytes(fixed(field, "4 bytes")?).into()),
        8 => Ok(i64::from_be_bytes(fixed(field, "8 bytes")?)),
        _ => bad("an integer of 2, 4 or 8 bytes"),
    }
}

pub(super) fn date(field: &[u8]) -> Result<Finite<i64>, BadValue> {
    Ok(match i32::from_be_bytes(fixed(field, "4 bytes")?) {
        i32::MAX => Finite::Infinity,
        i32::MIN => Finite::NegativeInfinity,
        days => Finite::Value(i64::from(days) + POSTGRES_EPOCH_DAYS),
    })
}

/// Microseconds of the day; 24:00 is one of them.
pub(super) fn time(field: &[u8]) -> Result<i64, BadValue> {
    let micros = i64::from_be_bytes(fixed(field, "8 bytes")?);
    if (0..=MICROS_PER_DAY).contains(&micros) { Ok(micros) } else { bad("a time of the day") }
}

pub(super) fn timestamp(field: &[u8]) -> Result<Finite<Stamp>, BadValue> {
    Ok(match i64::from_be_bytes(fixed(field, "8 bytes")?) {
        i64::MAX => Finite::Infinity,
        i64::MIN => Finite::NegativeInfinity,
        micros => Finite::Value(Stamp::new(POSTGRES_EPOCH_DAYS, micros)),
    })
}

/// `numeric_send`: number of digits, weight, sign, display scale, then digits to base 10,000.
pub(super) fn numeric(field: &[u8]) -> Result<Decimal, BadValue> {
    const EXPECTED: &str = "a finite number in the form of numeric_send";
    let mut shorts = field.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut next = || shorts.next().ok_or(BadValue { expected: EXPECTED });
    let count = usize::from(next()?);
    let weight = i32::from(next()? as i16);
    let sign = next()?;
    let display_scale = i32::from(next()?);
    if !matches!(sign, 0 | 0x4000) || field.len() != 8 + count * 2 {
        return bad(EXPECTED);
    }
    // The digits read as one integer have this scale; it is a multiple of 4.
    let scale = (count as i32 - weight - 1) * 4;
    let unscaled = if count <= 9 {
        // 9 digits of base 10,000 are 36 decimal ones.
        let number = shorts.fold(0i128, |sum, digit| sum * 10_000 + i128::from(digit));
        Unscaled::Small(if sign == 0 { number } else { -number })
    } else {
        let mut number = num_bigint::BigInt::ZERO;
        for digit in shorts {
            number = number * 10_000u32 + digit;
        }
        Unscaled::Large(if sign == 0 { number } else { -number })
    };
    Ok(Decimal { unscaled, scale }.rescale(display_scale))
}
