//! Numbers of any length, read as Java's `Number` narrows them.

use super::parse::Json;
use crate::decimal::Written;

/// `longValue()`: the low 64 bits of the whole part; 0 for what is no number.
pub(crate) fn to_i64(json: &Json<'_>) -> i64 {
    match json {
        Json::Integer(text) => text.parse().unwrap_or_else(|_| low_bits(text)),
        Json::Decimal(text) => low_bits(text),
        _ => 0,
    }
}

/// `doubleValue()`: the nearest double; 0 for what is no number.
pub(crate) fn to_f64(json: &Json<'_>) -> f64 {
    match json {
        Json::Integer(text) | Json::Decimal(text) => match text.parse() {
            // A BigDecimal has no negative zero, but it may be too small for a double.
            Ok(0.0) if is_zero(text) => 0.0,
            Ok(value) => value,
            Err(_) => 0.0,
        },
        _ => 0.0,
    }
}

/// `floatValue()`: see [`to_f64`].
pub(crate) fn to_f32(json: &Json<'_>) -> f32 {
    match json {
        Json::Integer(text) | Json::Decimal(text) => match text.parse() {
            Ok(0.0) if is_zero(text) => 0.0,
            Ok(value) => value,
            Err(_) => 0.0,
        },
        _ => 0.0,
    }
}

fn is_zero(text: &str) -> bool {
    Written::parse(text).is_some_and(|number| number.is_zero())
}

/// The whole part, modulo 2^64.
fn low_bits(text: &str) -> i64 {
    let Some(number) = Written::parse(text) else { return 0 };
    let kept = (number.digits.len() as i64).saturating_sub(number.scale);
    let kept = usize::try_from(kept).unwrap_or(0);
    let zeros = kept.saturating_sub(number.digits.len()).min(64); // 10^64 is a multiple of 2^64.
    let value = number
        .digits
        .iter()
        .copied()
        .take(kept)
        .chain(std::iter::repeat_n(0, zeros))
        .fold(0i64, |value, digit| value.wrapping_mul(10).wrapping_add(digit.into()));
    if number.negative { value.wrapping_neg() } else { value }
}
