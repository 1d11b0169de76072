//! Floating-point numbers as `float4out` and `float8out` print them: in the fewest digits that are the
//! number, and without an exponent where it is small.

use std::fmt::Write;

const TAKEN: &str = "a string takes all";

pub(super) fn push_float32(out: &mut String, number: f32) {
    let size = number.abs();
    let around = [size.next_down().into(), size.into(), size.next_up().into()];
    let digits = |out: &mut String, precision| match precision {
        None => write!(out, "{number:e}").expect(TAKEN),
        Some(precision) => write!(out, "{number:.precision$e}").expect(TAKEN),
    };
    push_number(out, number.into(), around, 6, digits, |text| text.parse() == Ok(number));
}

pub(super) fn push_float64(out: &mut String, number: f64) {
    let size = number.abs();
    let around = [size.next_down(), size, size.next_up()];
    let digits = |out: &mut String, precision| match precision {
        None => write!(out, "{number:e}").expect(TAKEN),
        Some(precision) => write!(out, "{number:.precision$e}").expect(TAKEN),
    };
    push_number(out, number, around, 15, digits, |text| text.parse() == Ok(number));
}

/// `around` is the number without its sign between its neighbours. From an exponent of `limit` on, and
/// below -4, the server prints one. `digits` writes the number with an exponent, in the fewest digits
/// or in one and so many more; `is_number` says whether a text is still the number.
fn push_number(
    out: &mut String,
    number: f64,
    around: [f64; 3],
    limit: i32,
    digits: impl Fn(&mut String, Option<usize>),
    is_number: impl Fn(&str) -> bool,
) {
    match number {
        f64::INFINITY => return out.push_str("Infinity"),
        f64::NEG_INFINITY => return out.push_str("-Infinity"),
        number if number.is_nan() => return out.push_str("NaN"),
        _ => {}
    }
    let start = out.len();
    digits(out, None);
    // Where the digits end, and the exponent.
    let cut = |text: &str| -> (usize, i32) {
        let end = text.find('e').unwrap_or(text.len());
        (end, text.get(end + 1..).and_then(|exponent| exponent.parse().ok()).unwrap_or(0))
    };
    let (end, _) = cut(&out[start..]);
    let mut precision = out[start..start + end].split_once('.').map_or(0, |(_, rest)| rest.len());
    // Between two texts of that length the server takes the even one.
    out.truncate(start);
    digits(out, Some(precision));
    if !is_number(&out[start..]) {
        out.truncate(start);
        digits(out, None);
    }
    while between_two(&out[start..], around) && precision < 17 {
        precision += 1;
        out.truncate(start);
        digits(out, Some(precision));
    }
    let (end, exponent) = cut(&out[start..]);
    if (-4..limit).contains(&exponent) {
        out.truncate(start);
        let behind = i32::try_from(precision).unwrap_or(0).saturating_sub(exponent);
        let behind = usize::try_from(behind).unwrap_or(0);
        write!(out, "{number:.behind$}").expect(TAKEN);
        if !is_number(&out[start..]) {
            out.truncate(start);
            write!(out, "{}", Plain(number, limit)).expect(TAKEN);
        }
    } else {
        out.truncate(start + end);
        write!(out, "e{exponent:+03}").expect(TAKEN);
    }
}

/// A number in the fewest digits for its width, without an exponent.
struct Plain(f64, i32);

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A number of 32 bits has the digits of that width.
        if self.1 == 6 { write!(f, "{}", self.0 as f32) } else { write!(f, "{}", self.0) }
    }
}

/// Whether a text is a number just as far from a neighbour. Rust takes such a one for the number, where
/// the number is even; the server does not. It happens to whole numbers only that are beyond their
/// precision, and so fit no power of 2 above the 128th that has few digits.
fn between_two(text: &str, around: [f64; 3]) -> bool {
    let whole =
        |number: f64| (number < 2f64.powi(127) && number.fract() == 0.0).then_some(number as u128);
    let Some([below, number, above]) = whole(around[0])
        .zip(whole(around[1]))
        .zip(whole(around[2]))
        .map(|((below, number), above)| [below, number, above])
    else {
        return false;
    };
    let Some(shown) = whole_number(text) else { return false };
    shown.checked_mul(2).is_some_and(|twice| twice == number + below || twice == number + above)
}

/// `-1.25e3` without its sign, when it is whole.
fn whole_number(text: &str) -> Option<u128> {
    let (mantissa, exponent) = text.trim_start_matches('-').split_once('e')?;
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = exponent.parse::<u32>().ok()?.checked_sub(u32::try_from(rest.len()).ok()?)?;
    let mut number: u128 = 0;
    for digit in first.bytes().chain(rest.bytes()) {
        number = number.checked_mul(10)?.checked_add(u128::from(digit.checked_sub(b'0')?))?;
    }
    number.checked_mul(10u128.checked_pow(zeros)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 prints them.
    #[test]
    fn as_the_server() {
        for (number, wanted) in [
            (4_216_143_872.0, "4.2161439e+09"),
            (-4_216_143_872.0, "-4.2161439e+09"),
            (2_882_798.3, "2.8827982e+06"),
            (-491_849.13, "-491849.12"),
            (47_021.813, "47021.812"),
            (1e6, "1e+06"),
            (999_999.0, "999999"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-0.0, "-0"),
            (f32::MAX, "3.4028235e+38"),
            (0.1, "0.1"),
        ] {
            let mut out = String::new();
            push_float32(&mut out, number);
            assert_eq!(out, wanted);
        }
        for (number, wanted) in [
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e300, "1e+300"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            push_float64(&mut out, number);
            assert_eq!(out, wanted);
        }
    }
}
