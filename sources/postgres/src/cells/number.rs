//! Decimal numbers: the unscaled integer as Java's `BigInteger.toByteArray` writes it.

use num_bigint::BigInt;

use super::{BadValue, bad};

/// An unscaled number; most fit into 128 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unscaled {
    Small(i128),
    Large(BigInt),
}

/// A number and how many of its digits are after the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) unscaled: Unscaled,
    pub(crate) scale: i32,
}

/// 10 to the 38th is the greatest power of ten in an `i128`.
const SMALL_DIGITS: usize = 38;

/// Parses what the server prints for NUMERIC: digits, perhaps a point, never an exponent. Defaults
/// and placeholders may have one, which is accepted too.
pub(crate) fn parse(text: &str) -> Result<Decimal, BadValue> {
    const EXPECTED: &str = "a decimal number";
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let Ok(exponent) = exponent.parse::<i32>() else { return bad(EXPECTED) };
            (mantissa, exponent)
        }
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let count = whole.len() + fraction.len();
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if count == 0 || !all_digits || exponent.unsigned_abs() > 200_000 {
        return bad(EXPECTED);
    }
    let unscaled = if count <= SMALL_DIGITS {
        let digits = whole.bytes().chain(fraction.bytes());
        let number = digits.fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        Unscaled::Small(if negative { -number } else { number })
    } else {
        let sign = if negative { "-" } else { "" };
        match format!("{sign}{whole}{fraction}").parse() {
            Ok(number) => Unscaled::Large(number),
            Err(_) => return bad(EXPECTED),
        }
    };
    let Ok(scale) = i32::try_from(fraction.len()) else { return bad(EXPECTED) };
    Ok(Decimal { unscaled, scale: scale - exponent })
}

impl Decimal {
    /// The same number with another scale; digits that fall off are rounded half up.
    pub(crate) fn rescale(self, scale: i32) -> Decimal {
        let shift = scale - self.scale;
        let unscaled = match (self.unscaled, shift) {
            (unscaled, 0) => unscaled,
            (Unscaled::Small(0), _) => Unscaled::Small(0),
            (Unscaled::Small(number), 1..=37) => {
                match number.checked_mul(10i128.pow(shift as u32)) {
                    Some(number) => Unscaled::Small(number),
                    None => {
                        Unscaled::Large(BigInt::from(number) * BigInt::from(10).pow(shift as u32))
                    }
                }
            }
            (Unscaled::Small(number), -37..=-1) => {
                let power = 10i128.pow(shift.unsigned_abs());
                let (quotient, rest) = (number / power, number % power);
                let away = i128::from(rest.unsigned_abs() * 2 >= power.unsigned_abs());
                Unscaled::Small(quotient + away * number.signum())
            }
            (unscaled, shift) => {
                let number = unscaled.into_big();
                let power = BigInt::from(10).pow(shift.unsigned_abs());
                Unscaled::Large(if shift > 0 { number * power } else { half_up(&number, &power) })
            }
        };
        Decimal { unscaled, scale }
    }

    /// The same number with another scale; `None` when digits would fall off, as Java's `setScale`.
    pub(crate) fn exact(self, scale: i32) -> Option<Decimal> {
        let wider = self.scale.max(scale);
        let rescaled = self.clone().rescale(scale);
        (rescaled.clone().rescale(wider) == self.rescale(wider)).then_some(rescaled)
    }

    /// `BigDecimal.toPlainString`.
    pub(crate) fn to_plain(&self) -> String {
        let digits = match &self.unscaled {
            Unscaled::Small(number) => number.to_string(),
            Unscaled::Large(number) => number.to_string(),
        };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits.to_owned()),
            None => ("", digits),
        };
        match usize::try_from(self.scale) {
            Ok(0) => format!("{sign}{digits}"),
            Ok(scale) => {
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                format!("{sign}{whole}.{fraction}")
            }
            Err(_) if digits == "0" => digits,
            Err(_) => format!("{sign}{digits}{}", "0".repeat(self.scale.unsigned_abs() as usize)),
        }
    }

    /// Without trailing zeros after the point, and never with a negative scale, as Debezium makes a
    /// `VariableScaleDecimal`.
    pub(crate) fn stripped(mut self) -> Decimal {
        if self.scale < 0 {
            return self.rescale(0);
        }
        loop {
            if self.scale == 0 {
                return self;
            }
            let shorter = match &self.unscaled {
                Unscaled::Small(number) if number % 10 == 0 => Unscaled::Small(number / 10),
                Unscaled::Large(number) if number % 10 == BigInt::ZERO => {
                    Unscaled::Large(number / 10)
                }
                _ => return self,
            };
            self = Decimal { unscaled: shorter, scale: self.scale - 1 };
        }
    }
}

fn half_up(number: &BigInt, power: &BigInt) -> BigInt {
    let (quotient, rest) = (number / power, number % power);
    if rest.magnitude() * 2u32 >= *power.magnitude() {
        quotient + BigInt::from(if number.sign() == num_bigint::Sign::Minus { -1 } else { 1 })
    } else {
        quotient
    }
}

impl Unscaled {
    fn into_big(self) -> BigInt {
        match self {
            Unscaled::Small(number) => number.into(),
            Unscaled::Large(number) => number,
        }
    }

    /// Big-endian two's complement in the fewest bytes.
    pub(crate) fn write_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Unscaled::Small(number) => {
                let bytes = number.to_be_bytes();
                let sign = if *number < 0 { 0xff } else { 0 };
                let redundant = bytes
                    .windows(2)
                    .take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0)
                    .count();
                out.extend_from_slice(bytes.get(redundant..).unwrap_or(&bytes));
            }
            Unscaled::Large(number) => out.extend(number.to_signed_bytes_be()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    /// Values recorded from Debezium 3.7.
    #[test]
    fn bytes() {
        for (text, scale, wanted) in [
            ("-999.99", 2, "/nlh"),
            ("0.10", 2, "Cg=="),
            ("-1", 0, "/w=="),
            ("99999999999999999999999999999999999999", 0, "SztMqFqGxHoJiiI//////w=="),
            ("128", 0, "AIA="),
            ("-128", 0, "gA=="),
            ("12.5", 3, "MNQ="),
        ] {
            let mut out = Vec::new();
            parse(text).unwrap().rescale(scale).unscaled.write_bytes(&mut out);
            assert_eq!(STANDARD.encode(out), wanted, "{text}");
        }
    }

    #[test]
    fn stripping() {
        for (text, scale, wanted) in [
            ("100.500", 1, "A+0="),
            ("-123456789012345678901234567890.123456789", 9, "ox8WWp/qATpVIFzXUcZ+6w=="),
            ("1000000000000000000000000000000", 0, "DJ8snNBGdO3qQAAAAA=="),
            ("0.000", 0, "AA=="),
        ] {
            let decimal = parse(text).unwrap().stripped();
            let mut out = Vec::new();
            decimal.unscaled.write_bytes(&mut out);
            assert_eq!((decimal.scale, STANDARD.encode(out).as_str()), (scale, wanted), "{text}");
        }
        for text in ["", "-", "1.2.3", "NaN", "1e", "٣"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
