//! Bytes into lines, and how far they reach, as FileStreamSource counts it.
//!
//! A line ends with `\n`, `\r` or `\r\n`; a `\r` at the end of what there is waits for the next byte.
//! A line without its end is not given out. Text is UTF-8, and what is none becomes U+FFFD, as many
//! as Java's decoder makes of it.
//!
//! The position counts Java's characters (UTF-16 code units) from the beginning of the file, line
//! ends included. Kafka's task counts them as well, but on its next start it skips as many **bytes**,
//! so a text that is not all ASCII is partly read again, from the middle of a line. Here characters
//! are skipped, so that a position means the same before and after a restart; for ASCII both agree.

/// The longest line, in bytes. Kafka's task reads a line into one Java array, which ends here too.
const LINE_BYTES_MAX: usize = 1 << 30;

/// Collects bytes and gives out lines.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Before this, all bytes are given out.
    start: usize,
    /// Between `start` and this there is no end of a line.
    searched: usize,
    /// Characters still to pass over.
    skip: u64,
    position: u64,
}

/// A line that grew past what can be held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    /// Passes over the first `position` characters.
    pub(crate) fn from(position: u64) -> Self {
        Self { skip: position, position, ..Self::default() }
    }

    /// After the last line that was given out.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if bytes.is_empty() {
            // Nothing comes just now.
            self.bytes.shrink_to_fit();
        }
        if self.bytes.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        if self.skip > 0 {
            let (passed, units) = pass(&self.bytes, self.skip);
            self.skip -= units;
            (self.start, self.searched) = (passed, passed);
        }
        Ok(())
    }

    /// The next line, with `decode`d text in `give`'s hands; `None` when its end is not there yet.
    pub(crate) fn next<T: for<'a> From<&'a str>>(&mut self) -> Option<T> {
        if self.skip > 0 {
            return None;
        }
        let open = &self.bytes[self.searched..];
        let found = open.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = found.map(|index| self.searched + index) else {
            self.searched = self.bytes.len();
            return None;
        };
        let after = match (self.bytes[end], self.bytes.get(end + 1)) {
            (b'\n', _) => end + 1,
            (_, Some(b'\n')) => end + 2,
            (_, Some(_)) => end + 1,
            (_, None) => {
                self.searched = end;
                return None;
            }
        };
        let line = &self.bytes[self.start..end];
        let (text, units) = match std::str::from_utf8(line) {
            Ok(text) if line.is_ascii() => (T::from(text), text.len()),
            Ok(text) => (T::from(text), text.chars().map(char::len_utf16).sum()),
            Err(_) => {
                let text = lossy(line);
                (T::from(&text), text.chars().map(char::len_utf16).sum())
            }
        };
        self.position += (units + after - end) as u64;
        (self.start, self.searched) = (after, after);
        Some(text)
    }
}

/// How many bytes hold the first `units` characters, and how many characters those are: fewer when
/// there are no more, or the last one is not whole.
fn pass(bytes: &[u8], units: u64) -> (usize, u64) {
    let (mut at, mut passed) = (0, 0);
    while passed < units && at < bytes.len() {
        let left = usize::try_from(units - passed).unwrap_or(usize::MAX);
        let plain = bytes[at..].iter().take(left).take_while(|byte| byte.is_ascii()).count();
        (at, passed) = (at + plain, passed + plain as u64);
        if plain == 0 {
            match character(&bytes[at..]) {
                Some((length, character)) => {
                    at += length;
                    // A position never lies within a pair of surrogates, unless a user wrote it.
                    passed = (passed + character.len_utf16() as u64).min(units);
                }
                None => break,
            }
        }
    }
    (at, passed)
}

/// Text with U+FFFD for what is not UTF-8.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        // A character that is cut off at the end of a line is one U+FFFD.
        let (length, next) = character(rest).unwrap_or((rest.len(), char::REPLACEMENT_CHARACTER));
        text.push(next);
        rest = &rest[length..];
    }
    text
}

/// The first character and its length in bytes; `None` when more bytes may make it whole.
///
/// Differs from Rust's own lossy decoding in one thing: an encoded surrogate (`ED A0..BF xx`) is one
/// U+FFFD for Java, three for Rust.
fn character(bytes: &[u8]) -> Option<(usize, char)> {
    let head = &bytes[..bytes.len().min(4)];
    let error = match std::str::from_utf8(head) {
        Ok(text) => return text.chars().next().map(|char| (char.len_utf8(), char)),
        Err(error) => error,
    };
    if let Some(first) = head.get(..error.valid_up_to()).filter(|valid| !valid.is_empty()) {
        let first = std::str::from_utf8(first).ok()?.chars().next()?;
        return Some((first.len_utf8(), first));
    }
    let continues = |byte: Option<&u8>| byte.is_none_or(|byte| byte & 0xC0 == 0x80);
    if head[0] == 0xED && head.get(1).is_none_or(|second| (0xA0..=0xBF).contains(second)) {
        return match (head.len(), continues(head.get(2))) {
            (1 | 2, _) => None,
            (_, true) => Some((3, char::REPLACEMENT_CHARACTER)),
            (_, false) => Some((2, char::REPLACEMENT_CHARACTER)),
        };
    }
    error.error_len().map(|length| (length, char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of `chunks`, and the position after each.
    fn read(from: u64, chunks: &[&[u8]]) -> Vec<(String, u64)> {
        let mut lines = Lines::from(from);
        let mut all = Vec::new();
        for chunk in chunks {
            lines.push(chunk).unwrap();
            while let Some(line) = lines.next() {
                all.push((line, lines.position()));
            }
        }
        all
    }

    fn is(lines: &[(&str, u64)]) -> Vec<(String, u64)> {
        lines.iter().map(|(line, position)| ((*line).to_owned(), *position)).collect()
    }

    #[test]
    fn ends_of_lines() {
        assert_eq!(read(0, &[b"a\nbc\r\n\rd\re"]), is(&[("a", 2), ("bc", 6), ("", 7), ("d", 9)]));
        // The end of a line is known only when the byte after `\r` is there.
        assert_eq!(read(0, &[b"a\r"]), []);
        assert_eq!(read(0, &[b"a\r", b"\nb\n"]), is(&[("a", 3), ("b", 5)]));
        assert_eq!(read(0, &[b"a\r", b"b\n"]), is(&[("a", 2), ("b", 4)]));
        assert_eq!(read(0, &[b"", b"no end"]), []);
    }

    /// Whatever the pieces are that the text comes in.
    #[test]
    fn pieces_do_not_matter() {
        let text = "plain\nGröße 日本\r\n𝄞 clef\r\r\nlast\n".as_bytes();
        let whole = read(0, &[text]);
        assert_eq!(whole[1], ("Größe 日本".to_owned(), 16));
        // A character outside the first plane counts twice.
        assert_eq!(whole[2], ("𝄞 clef".to_owned(), 24));
        for size in 1..text.len() {
            assert_eq!(read(0, &text.chunks(size).collect::<Vec<_>>()), whole, "pieces of {size}");
        }
    }

    /// From any position, the lines after it come as they would have without the break.
    #[test]
    fn resumes_after_any_line() {
        let text = "plain\nGröße 日本\r\n𝄞 clef\nlast\n".as_bytes();
        let whole = read(0, &[text]);
        for (index, (_, position)) in whole.iter().enumerate() {
            for size in [1, 3, text.len()] {
                let pieces: Vec<_> = text.chunks(size).collect();
                assert_eq!(read(*position, &pieces), whole[index + 1..], "from {position}");
            }
        }
        // A file that is shorter than the position is waited for.
        assert_eq!(read(8, &[b"1\n2\n3\n", b"4\n5\n"]), is(&[("5", 10)]));
    }

    /// As Java's UTF-8 decoder replaces: seen with `new String(bytes, UTF_8)`.
    #[test]
    fn what_is_not_utf8() {
        let cases: [(&[u8], usize); 9] = [
            (b"\xE4", 1),
            (b"\xE4\xB8", 1),
            (b"\xF0\x90\x80", 1),
            (b"\xC0\x80", 2),
            (b"\xE0\x80\x80", 3),
            (b"\xED\xA0\x80", 1),
            (b"\xED\xA0", 1),
            (b"\xF4\x90\x80\x80", 4),
            (b"\xFF\xFE", 2),
        ];
        for (bytes, count) in cases {
            let line = [bytes, b"\n"].concat();
            let replaced = "\u{FFFD}".repeat(count);
            assert_eq!(read(0, &[&line]), [(replaced, count as u64 + 1)], "{bytes:x?}");
            // Passing over it counts the same.
            let more = [&line, b"x\n".as_slice()].concat();
            assert_eq!(read(count as u64 + 1, &[&more])[0].0, "x", "{bytes:x?}");
        }
    }
}
