//! Base64 as Jackson reads it: blanks between groups of four, padding required, several padded
//! texts in a row, and no objection to bits that padding cuts off.

/// `None` when it is not base64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_matches(|char| char <= ' ').as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bytes = text.iter().copied().peekable();
    loop {
        while bytes.next_if(|byte| *byte <= b' ').is_some() {}
        let Some(first) = bytes.next() else { return Some(out) };
        let group = [first, bytes.next()?, bytes.next()?, bytes.next()?];
        let bits = |index: usize| sextet(group[index]);
        let start = bits(0)? << 18 | bits(1)? << 12;
        let (word, len) = match (group[2], group[3]) {
            (b'=', b'=') => (start, 1),
            (_, b'=') => (start | bits(2)? << 6, 2),
            _ => (start | bits(2)? << 6 | bits(3)?, 3),
        };
        out.extend_from_slice(&word.to_be_bytes()[1..=len]);
    }
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}
