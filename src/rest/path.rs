//! Paths and queries of requests, with what Jetty refuses in them: a path that two servers could
//! read in two ways is not read at all.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

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
    let mut rest = part;
    while let Some(char) = rest.chars().next() {
        let tail = &rest[char.len_utf8()..];
        rest = match char {
            '%' if tail.starts_with('u') => return Err("UTF-16 encoding"),
            '%' => {
                let (escape, tail) = rest.split_at_checked(3).ok_or(BAD)?;
                // What is no escape stays as it is: three bytes.
                let mut decoded = percent_decode_str(escape);
                let (Some(byte), None) = (decoded.next(), decoded.next()) else { return Err(BAD) };
                match byte {
                    0 => return Err(BAD),
                    b'/' => return Err("Ambiguous URI path separator"),
                    b'%' => return Err("Ambiguous URI path encoding"),
                    b'\\' | 0x7f | 1..0x20 => return Err("Suspicious Path Character"),
                    _ => tail,
                }
            }
            '\\' => return Err("Suspicious Path Character"),
            '"' | '<' | '>' | '[' | ']' | '^' | '`' | '{' | '|' | '}' | '\u{7f}'.. => {
                return Err("Illegal Path Character");
            }
            _ => tail,
        };
    }
    let decoded = percent_decode_str(part).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| "Bad UTF-8 encoding")
}

/// The parameters of a query, in order. What is not well encoded is taken as it is written.
pub(super) fn query(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// All but what means nothing else anywhere in a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the JVM's workers write as it is in a `Location`, too.
const LOCATION: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A name as one part of the path of a request. A semicolon in it would begin parameters.
pub(crate) fn part(name: &str) -> String {
    utf8_percent_encode(name, RESERVED).to_string()
}

/// A name as it stands in the path of a `Location`.
pub(super) fn location(name: &str) -> String {
    utf8_percent_encode(name, LOCATION).to_string()
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
            ("/connectors/[b]", "!Illegal Path Character"),
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

    #[test]
    fn names_in_paths() {
        assert_eq!(part("a-b_c.1~"), "a-b_c.1~");
        assert_eq!(part("a/b;c \u{fc}%"), "a%2Fb%3Bc%20%C3%BC%25");
        assert_eq!(location("a/b;c:@ \u{fc}"), "a%2Fb;c:@%20%C3%BC");
        for name in ["a;b=c", "a b+c", "\u{1f600}?#&", "100"] {
            assert_eq!(parts(&format!("/{}", part(name))).as_deref(), Ok(&[name.to_owned()][..]));
        }
    }
}
