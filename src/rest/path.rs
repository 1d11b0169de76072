//! Paths and queries of requests, with what Jetty refuses in them: a path that two servers could
//! read in two ways is not read at all.

/// What is wrong with a path, in Jetty's words.
pub(super) type Wrong = &'static str;

const BAD: Wrong = "Bad Request";

/// The parts of a path: none for a slash at its end, percent signs decoded, path parameters
/// (`;name=value`) cut off.
pub(super) fn parts(path: &str) -> Result<Vec<String>, Wrong> {
    if !path.starts_with('/') {
        return Err(BAD);
    }
    let given: Vec<&str> = path.split('/').skip(1).collect();
    let last = given.len().saturating_sub(1);
    let mut parts = Vec::with_capacity(given.len());
    let mut depth = 0;
    for (at, part) in given.iter().enumerate() {
        let name = part.split(';').next().unwrap_or_default();
        if name.is_empty() {
            if at == last {
                break;
            }
            return Err("Ambiguous URI empty segment");
        }
        let decoded = decode(name)?;
        if name != decoded && matches!(decoded.as_str(), "." | "..") {
            return Err("Ambiguous URI path segment");
        }
        depth += match name {
            "." => 0,
            ".." => -1,
            _ => 1,
        };
        if depth < 0 {
            return Err(BAD);
        }
        parts.push(decoded);
    }
    Ok(parts)
}

fn decode(part: &str) -> Result<String, Wrong> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                if rest.first() == Some(&b'u') {
                    return Err("UTF-16 encoding");
                }
                let (hex, tail) = rest.split_at_checked(2).ok_or(BAD)?;
                let byte = hex_byte(hex).ok_or(BAD)?;
                match byte {
                    0 => return Err(BAD),
                    b'/' => return Err("Ambiguous URI path separator"),
                    b'%' => return Err("Ambiguous URI path encoding"),
                    b'\\' | 0x7f | 1..0x20 => return Err("Suspicious Path Character"),
                    _ => bytes.push(byte),
                }
                rest = tail;
            }
            b'\\' => return Err("Suspicious Path Character"),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f.. => {
                return Err("Illegal Path Character");
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| "Bad UTF-8 encoding")
}

fn hex_byte(hex: &[u8]) -> Option<u8> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match hex {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// The parameters of a query, in order. What is not well encoded is taken as it is written.
pub(super) fn query(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(key), plain(value))
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, rest.split_at_checked(2)) {
            (b'%', Some((hex, after))) if hex_byte(hex).is_some() => {
                bytes.extend(hex_byte(hex));
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name as it stands in the path of a `Location`.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b':' | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a JVM worker answers; `!` begins what it says of a path it refuses.
    #[test]
    fn as_jetty_reads_them() {
        for (path, wanted) in [
            ("/", ""),
            ("/connectors/", "connectors"),
            ("/connectors/a%20b/status", "connectors|a b|status"),
            ("/connectors/a+b", "connectors|a+b"),
            ("/connectors/%c3%a4%F0%9F%98%80", "connectors|ä😀"),
            ("/connectors;a=b", "connectors"),
            ("/connectors/x;y=1;z/status", "connectors|x|status"),
            ("/connectors/;a", "connectors"),
            ("/connectors/a%3bb%3f", "connectors|a;b?"),
            ("/connectors/.", "connectors|."),
            ("/connectors/../connectors", "connectors|..|connectors"),
            ("/connectors/x%2e", "connectors|x."),
            ("/connectors/a%2Fb", "!Ambiguous URI path separator"),
            ("/connectors//x", "!Ambiguous URI empty segment"),
            ("/connectors/x//", "!Ambiguous URI empty segment"),
            ("/connectors/;a/status", "!Ambiguous URI empty segment"),
            ("/connectors/%2e%2E", "!Ambiguous URI path segment"),
            ("/connectors/%2e", "!Ambiguous URI path segment"),
            ("/connectors/a%25b", "!Ambiguous URI path encoding"),
            ("/connectors/a%5cb", "!Suspicious Path Character"),
            ("/connectors/%7f", "!Suspicious Path Character"),
            ("/connectors/a%0Ab", "!Suspicious Path Character"),
            ("/connectors/a|b", "!Illegal Path Character"),
            ("/connectors/ä", "!Illegal Path Character"),
            ("/connectors/%ff", "!Bad UTF-8 encoding"),
            ("/connectors/%u0041", "!UTF-16 encoding"),
            ("/connectors/%zz", "!Bad Request"),
            ("/connectors/%", "!Bad Request"),
            ("/connectors/a%00", "!Bad Request"),
            ("/..", "!Bad Request"),
            ("*", "!Bad Request"),
        ] {
            let found = match parts(path) {
                Ok(parts) => parts.join("|"),
                Err(wrong) => format!("!{wrong}"),
            };
            assert_eq!(found, wanted, "{path}");
        }
    }

    #[test]
    fn queries() {
        let found = query("a=1&b&c=%41+x&&d=%zz&e=%ff&a=2");
        let found: Vec<_> = found.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(found.join("|"), "a=1|b=|c=A x|d=%zz|e=\u{fffd}|a=2");
    }
}
