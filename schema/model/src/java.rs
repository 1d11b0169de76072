//! The few habits of the JVM that reach what people store and write: the order in which a
//! `java.util.HashMap` is iterated, how a floating-point number is written, which texts are base64,
//! and what `java.util.regex.Pattern` knows beyond other engines.

mod maps;

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

pub use maps::{
    buckets, buckets_for, buckets_of_concurrent, buckets_of_copy, hash_map, in_hash_order,
    string_hash,
};

/// A pattern of `java.util.regex` for an engine that has no `\Q…\E`: what stands between the two
/// (`Pattern.quote` writes it) is taken literally. Without `\E` that goes to the end.
pub fn regex(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(r"\Q") {
        return pattern.into();
    }
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            for one in literal.chars() {
                if r"\.+*?()|[]{}^$#&-~".contains(one) {
                    out.push('\\');
                }
                out.push(one);
            }
            rest = after;
        } else {
            // A backslash and what it stands before belong together: `\\Q` is no quotation.
            let length = 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out.push_str(rest);
    out.into()
}

/// The text of a floating-point number, on the stack.
#[derive(Clone, Copy)]
pub struct FloatText {
    bytes: [u8; 32],
    len: usize,
}

/// `Double.toString`, as JDK 19 and later write it: the shortest decimal that reads back the same,
/// in the form `1.0E10` from ten million on and below a thousandth. (Older JDKs now and then write
/// more digits than that takes: 9.999999999999999E22 for 1.0E23.)
pub fn double_to_string(value: f64) -> FloatText {
    let finite = |value: f64| {
        let shortest = Scientific::new(format_args!("{value:e}"));
        // A decimal of one digit is written with two, and where the double is so coarse that
        // several pairs of digits stand for it, with the closest pair.
        if shortest.digits().len() == 1 && value < 1e-320 && value > 0.0 {
            let pair = Scientific::new(format_args!("{value:.1e}"));
            if pair.text.as_str().parse() == Ok(value) {
                return pair;
            }
        }
        shortest
    };
    java_text(value.is_nan(), value.is_infinite(), value.is_sign_negative(), || finite(value.abs()))
}

/// `Float.toString`: see [`double_to_string`].
pub fn float_to_string(value: f32) -> FloatText {
    let finite = |value: f32| {
        let shortest = Scientific::new(format_args!("{value:e}"));
        if shortest.digits().len() == 1 && value < 1e-43 && value > 0.0 {
            let pair = Scientific::new(format_args!("{value:.1e}"));
            if pair.text.as_str().parse() == Ok(value) {
                return pair;
            }
        }
        shortest
    };
    java_text(value.is_nan(), value.is_infinite(), value.is_sign_negative(), || finite(value.abs()))
}

impl FloatText {
    const EMPTY: FloatText = FloatText { bytes: [0; 32], len: 0 };

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only ASCII was written")
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl fmt::Write for FloatText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for FloatText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A positive number as Rust's `{:e}` writes it: `d`, `d.ddd`, then `e` and the exponent.
struct Scientific {
    text: FloatText,
    mantissa: usize,
    exponent: i32,
}

impl Scientific {
    fn new(format: fmt::Arguments<'_>) -> Self {
        let mut text = FloatText::EMPTY;
        text.write_fmt(format).expect("a number of 17 digits has room");
        let (mantissa, exponent) = text.as_str().split_once('e').expect("written with an exponent");
        let exponent = exponent.parse().expect("written as an integer");
        Self { mantissa: mantissa.len(), exponent, text }
    }

    /// The digits without the point. The mantissa is `d` or `d.ddd`, so they are `d` and the rest.
    fn digits(&self) -> Digits<'_> {
        let mantissa = &self.text.as_bytes()[..self.mantissa];
        Digits { first: &mantissa[..1], rest: mantissa.get(2..).unwrap_or(&[]) }
    }
}

struct Digits<'a> {
    first: &'a [u8],
    rest: &'a [u8],
}

impl Digits<'_> {
    fn len(&self) -> usize {
        1 + self.rest.len()
    }
}

fn java_text(
    nan: bool,
    infinite: bool,
    negative: bool,
    finite: impl FnOnce() -> Scientific,
) -> FloatText {
    let mut out = FloatText::EMPTY;
    if nan {
        out.push(b"NaN");
        return out;
    }
    if negative {
        out.push(b"-");
    }
    if infinite {
        out.push(b"Infinity");
        return out;
    }
    let number = finite();
    let Digits { first, rest } = number.digits();
    let or_zero = |digits: &[u8], out: &mut FloatText| {
        out.push(if digits.is_empty() { b"0" } else { digits });
    };
    match number.exponent {
        exponent @ 0..7 => {
            let whole = exponent as usize;
            let (digits, fraction) = rest.split_at(whole.min(rest.len()));
            out.push(first);
            out.push(digits);
            out.push(&b"000000"[..whole - digits.len()]);
            out.push(b".");
            or_zero(fraction, &mut out);
        }
        exponent @ -3..0 => {
            out.push(b"0.");
            out.push(&b"00"[..(-exponent - 1) as usize]);
            out.push(first);
            out.push(rest);
        }
        exponent => {
            out.push(first);
            out.push(b".");
            or_zero(rest, &mut out);
            write!(out, "E{exponent}").expect("an exponent has room");
        }
    }
    out
}

/// Decodes as `java.util.Base64` does, with its texts for what it refuses.
pub fn base64(text: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bytes = text.as_bytes();
    let digits = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
    let mut out = Vec::with_capacity(bytes.len());
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes.iter().take(digits) {
        let value = digit(*byte).ok_or_else(|| format!("Illegal base64 character {byte:x}"))?;
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            out.extend(bits.to_be_bytes().into_iter().skip(1));
            (bits, count) = (0, 0);
        }
    }
    let padding = bytes.get(digits..).unwrap_or_default();
    let wanted: &[u8] = match count {
        0 if padding.is_empty() => b"",
        2 => b"==",
        3 => b"=",
        1 if padding.is_empty() => {
            return Err("Last unit does not have enough valid bits".to_owned());
        }
        _ => return Err("Input byte array has wrong 4-byte ending unit".to_owned()),
    };
    if !padding.is_empty() && !padding.starts_with(wanted) {
        return Err("Input byte array has wrong 4-byte ending unit".to_owned());
    }
    if !padding.is_empty() && padding.len() > wanted.len() {
        let at = digits + wanted.len();
        return Err(format!("Input byte array has incorrect ending byte at {at}"));
    }
    match count {
        2 => out.extend((bits >> 4).to_be_bytes().last()),
        3 => out.extend((bits >> 2).to_be_bytes().into_iter().skip(2)),
        _ => {}
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_in_patterns() {
        for (java, ours) in [
            ("a.*b", "a.*b"),
            (r"\Qa.b\E.*", r"a\.b.*"),
            (r"x\Q(1) <y>", r"x\(1\) <y>"),
            (r"\\Qa\d", r"\\Qa\d"),
            (r"\Qö\E\", r"ö\"),
        ] {
            assert_eq!(regex(java), ours, "{java}");
        }
    }
}
