//! Decimals as Connect holds them: an unscaled integer in two's complement, big-endian, and a scale.

/// `new BigDecimal(new BigInteger(unscaled), scale).toString()`.
pub(crate) fn write(out: &mut Vec<u8>, unscaled: &[u8], scale: i32) {
    let mut small = itoa::Buffer::new();
    let large;
    let digits = match small_integer(unscaled) {
        Some(value) => small.format(value),
        None => {
            large = to_digits(unscaled);
            &large
        }
    };
    let digits = match digits.strip_prefix('-') {
        Some(digits) => {
            out.push(b'-');
            digits.as_bytes()
        }
        None => digits.as_bytes(),
    };
    let scale = i64::from(scale);
    let adjusted = digits.len() as i64 - 1 - scale;
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if scale > 0 && adjusted >= -6 {
        // Bounded by the number of digits, or by six zeros.
        let scale = scale as usize;
        if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
            out.extend_from_slice(digits);
        }
    } else {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        if adjusted != 0 {
            out.extend_from_slice(if adjusted > 0 { b"E+" } else { b"E" });
            out.extend_from_slice(itoa::Buffer::new().format(adjusted).as_bytes());
        }
    }
}

fn small_integer(bytes: &[u8]) -> Option<i128> {
    let fill = if is_negative(bytes) { 0xFF } else { 0 };
    let mut wide = [fill; 16];
    wide.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

fn is_negative(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|&byte| byte >= 0x80)
}

/// The largest power of ten in 32 bits: so many digits a step.
const CHUNK: u64 = 1_000_000_000;
const CHUNK_DIGITS: usize = 9;

/// An integer of any size in decimal.
fn to_digits(bytes: &[u8]) -> String {
    let negative = is_negative(bytes);
    let magnitude = if negative { negate(bytes) } else { bytes.to_vec() };
    let mut words: Vec<u32> = magnitude
        .rchunks(4)
        .rev()
        .map(|chunk| chunk.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)))
        .collect();
    let mut chunks = Vec::new();
    while words.iter().any(|&word| word != 0) {
        let mut remainder = 0;
        for word in &mut words {
            let wide = remainder << 32 | u64::from(*word);
            *word = (wide / CHUNK) as u32;
            remainder = wide % CHUNK;
        }
        chunks.push(remainder);
        let leading = words.iter().take_while(|&&word| word == 0).count();
        words.drain(..leading);
    }
    let mut text = String::from(if negative { "-" } else { "" });
    text.push_str(&chunks.pop().unwrap_or(0).to_string());
    for chunk in chunks.iter().rev() {
        text.push_str(&format!("{chunk:0CHUNK_DIGITS$}"));
    }
    text
}

/// Two's complement: all bits inverted, plus one.
fn negate(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    for byte in out.iter_mut().rev() {
        let (sum, carry) = byte.overflowing_add(1);
        *byte = sum;
        if !carry {
            break;
        }
    }
    out
}

/// A decimal number as written: `digits` times ten to the `-scale`.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) negative: bool,
    /// Each 0 to 9; at least one.
    pub(crate) digits: Vec<u8>,
    pub(crate) scale: i64,
}

impl Written {
    /// What `new BigDecimal(text)` accepts, but for digits of other scripts. An exponent too long
    /// for 64 bits saturates.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, saturating(exponent)?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix(['-', '+']) {
            Some(rest) => (mantissa.starts_with('-'), rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Option<Vec<u8>> = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
            .collect();
        let scale = (fraction.len() as i64).saturating_sub(exponent);
        digits.filter(|digits| !digits.is_empty()).map(|digits| Self { negative, digits, scale })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.iter().all(|&digit| digit == 0)
    }

    /// The unscaled integer in two's complement, as `BigInteger.toByteArray` has it.
    pub(crate) fn unscaled(&self) -> Vec<u8> {
        from_digits(&self.digits, self.negative)
    }

    /// The same number with another scale; `None` if that takes more digits than there are.
    pub(crate) fn rescale(mut self, scale: i32) -> Option<Self> {
        let missing = i64::from(scale).saturating_sub(self.scale);
        self.scale = scale.into();
        if self.is_zero() {
            return Some(self);
        }
        match usize::try_from(missing) {
            // Far more than any database's decimals; a few bytes must not fill the memory.
            Ok(zeros) if zeros > 100_000 => return None,
            Ok(zeros) => self.digits.extend(std::iter::repeat_n(0, zeros)),
            Err(_) => {
                let surplus = usize::try_from(missing.unsigned_abs()).ok()?;
                let kept = self.digits.len().checked_sub(surplus)?;
                if self.digits[kept..].iter().any(|&digit| digit != 0) {
                    return None;
                }
                self.digits.truncate(kept);
            }
        }
        Some(self)
    }

    /// The number, if it is whole and has 64 bits.
    pub(crate) fn whole(&self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let digits = &self.digits[self.digits.iter().take_while(|&&digit| digit == 0).count()..];
        let kept = i64::try_from(digits.len()).ok()?.checked_sub(self.scale)?;
        let kept = usize::try_from(kept).ok().filter(|kept| (1..=19).contains(kept))?;
        if digits.iter().skip(kept).any(|&digit| digit != 0) {
            return None;
        }
        let digits = digits.iter().copied().chain(std::iter::repeat(0)).take(kept);
        let value = digits.fold(0i128, |value, digit| value * 10 + i128::from(digit));
        i64::try_from(if self.negative { -value } else { value }).ok()
    }
}

/// The exponent, or the nearest number that has 64 bits.
fn saturating(exponent: &str) -> Option<i64> {
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX }))
}

/// The unscaled bytes for a schema of this scale. The JVM keeps a number's own scale and fails
/// with this message when the value is next written.
pub(crate) fn read(number: &str, scale: i32) -> Result<Vec<u8>, String> {
    let written = Written::parse(number).ok_or_else(|| format!("{number} is not a number"))?;
    let own = written.scale;
    let rescaled = written.rescale(scale).ok_or_else(|| {
        format!(
            "Decimal value has mismatching scale for given Decimal schema. Schema has scale \
             {scale}, value has scale {own}."
        )
    })?;
    Ok(rescaled.unscaled())
}

/// Two's complement of an integer given by its decimal digits, in as few bytes as hold it.
fn from_digits(digits: &[u8], negative: bool) -> Vec<u8> {
    // Little-endian words.
    let mut words: Vec<u32> = Vec::new();
    for chunk in digits.chunks(CHUNK_DIGITS) {
        let value = chunk.iter().fold(0u64, |value, &digit| value * 10 + u64::from(digit));
        let factor = 10u64.pow(chunk.len() as u32);
        let mut carry = value;
        for word in &mut words {
            let wide = u64::from(*word) * factor + carry;
            *word = wide as u32;
            carry = wide >> 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    let mut bytes = vec![0];
    bytes.extend(words.iter().rev().flat_map(|word| word.to_be_bytes()));
    if negative {
        bytes = negate(&bytes);
    }
    // A leading byte that only repeats the sign of the next is not needed.
    let spare = bytes
        .windows(2)
        .take_while(|pair| (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xFF && pair[1] >= 0x80))
        .count();
    bytes.drain(..spare);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], scale: i32) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes, scale);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_of_any_length_keep_their_digits() {
        let digits = "12345678901234567890123456789012345678901234567890";
        for number in ["0", "-1", "127", "128", "-128", "-129", "255", "256", digits] {
            assert_eq!(text(&read(number, 0).unwrap(), 0), number);
            let negated = format!("-{number}");
            if !number.starts_with('-') && number != "0" {
                assert_eq!(text(&read(&negated, 0).unwrap(), 0), negated);
            }
        }
        assert_eq!(read("128", 0).unwrap(), [0, 128]);
        assert_eq!(read("-128", 0).unwrap(), [128]);
        assert_eq!(read("0", 0).unwrap(), [0]);
        assert_eq!(read("1e2", 3).unwrap(), 100_000i32.to_be_bytes()[1..]);
        assert_eq!(read("1200e-2", 0).unwrap(), [12]);
        assert!(read("1.25", 1).unwrap_err().contains("value has scale 2"));
        assert!(read("1e999999999999", 1).is_err());
        assert_eq!(read("0e999999999999", 1).unwrap(), [0]);
    }

    #[test]
    fn whole_numbers_of_64_bits_are_found() {
        let whole = |text| Written::parse(text).unwrap().whole();
        assert_eq!(whole("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(whole("9223372036854775808"), None);
        assert_eq!(whole("00012.500e1"), Some(125));
        assert_eq!([whole("1.5"), whole("1e-400"), whole("1e400")], [None; 3]);
        assert_eq!(
            [whole("0e400"), whole("+1e18"), whole("7.")],
            [Some(0), Some(10i64.pow(18)), Some(7)]
        );
        assert_eq!(
            [".", "", "1e", "1e+", "1.2.3", "0x1", "--1"].map(Written::parse),
            [const { None }; 7]
        );
    }
}
