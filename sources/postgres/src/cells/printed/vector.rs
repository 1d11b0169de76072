//! pgvector's types.

use super::{
    super::{BadValue, bad},
    fields::Fields,
    float::push_float32,
    push,
};

/// `vector_send`: how many numbers, two bytes that are not used, the numbers.
pub(super) fn dense(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    numbers(field, |fields| fields.f32(), out)
}

/// `halfvec_send`: the same with numbers of two bytes.
pub(super) fn half(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    numbers(field, |fields| fields.i16().map(|bits| single(bits.cast_unsigned())), out)
}

fn numbers(
    field: &[u8],
    mut next: impl FnMut(&mut Fields<'_>) -> Result<f32, BadValue>,
    out: &mut String,
) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "a vector in the form of vector_send");
    let (count, _unused) = (fields.i16()?, fields.i16()?);
    out.push('[');
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        push_float32(out, next(&mut fields)?);
    }
    out.push(']');
    fields.end()
}

/// A number of IEEE 754's binary16.
fn single(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1F if fraction == 0.0 => f32::INFINITY,
        0x1F => f32::NAN,
        exponent => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// `sparsevec_send`: how many dimensions, how many numbers, four bytes that are not used, the indexes
/// from 0 on, the numbers.
pub(super) fn sparse(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "a sparse vector in the form of sparsevec_send";
    let mut fields = Fields::new(field, EXPECTED);
    let (dimensions, count, _unused) = (fields.i32()?, fields.count()?, fields.i32()?);
    let length = count.checked_mul(4).ok_or(BadValue { expected: EXPECTED })?;
    let mut indexes = Fields::new(fields.take(length)?, EXPECTED);
    out.push('{');
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        let Some(place) = indexes.i32()?.checked_add(1) else { return bad(EXPECTED) };
        push(out, place);
        out.push(':');
        push_float32(out, fields.f32()?);
    }
    out.push_str("}/");
    push(out, dimensions);
    fields.end()
}

#[cfg(test)]
mod tests {
    use super::single;

    /// Numbers of IEEE 754-2019, table 3.5, and of the standard's ends.
    #[test]
    fn halves() {
        for (bits, wanted) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65_504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
            (0x7C00, f32::INFINITY),
            (0xFC00, f32::NEG_INFINITY),
        ] {
            assert_eq!(single(bits), wanted, "{bits:x}");
        }
        assert_eq!(single(0x8000).to_bits(), (-0f32).to_bits());
        assert!(single(0x7E00).is_nan());
    }
}
