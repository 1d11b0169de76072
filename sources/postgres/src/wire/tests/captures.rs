//! Bytes that a real server sent, in `testdata/wire/*.hex`, decoded and compared with `*.txt`.
//!
//! `examples/record.rs` makes the captures. Of a COPY it writes the expectation too: what the
//! server's own send functions give. That of pgoutput is our text, accepted with `REWRITE=1`; each
//! row in it must agree with what test_decoding says of the same change, in the capture's head.

use super::super::{
    copy,
    pgoutput::{Cell, Decoder, Message, OldKind, Prepared, Tuple},
};
use bytes::Bytes;
use std::{fmt::Write, fs, path::PathBuf};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/wire")
}

/// Name, comments and byte lines of each capture.
fn captures(copies: bool) -> Vec<(String, Vec<String>, Vec<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "hex")
            || name.starts_with("copy-") != copies
        {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let (comments, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        let bytes = lines
            .iter()
            .map(|line| {
                let hex = line.rsplit(' ').next().unwrap().as_bytes();
                hex.chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                    .collect()
            })
            .collect();
        found.push((name, comments.into_iter().map(str::to_owned).collect(), bytes));
    }
    found.sort();
    found
}

#[test]
fn pgoutput_decodes_to_what_the_server_meant() {
    let captures = captures(false);
    assert!(captures.len() >= 15, "only {} captures", captures.len());
    for (name, comments, messages) in captures {
        let mut decoder = Decoder::new();
        let mut text = String::new();
        for bytes in &messages {
            let message = decoder.decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            render(&mut text, &message);
        }
        compare(&name, &text);
        if !name.starts_with("streamed") {
            agree(&name, &text, &comments);
        }
    }
}

fn compare(name: &str, text: &str) {
    let path = directory().join(format!("{name}.txt"));
    if std::env::var_os("REWRITE").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{name}");
}

/// Every change must have its line of test_decoding, with the same table and the same values.
fn agree(name: &str, text: &str, comments: &[String]) {
    let theirs = comments.iter().filter_map(|line| {
        let line = line.strip_prefix("# test_decoding: table ")?;
        (!line.contains(": TRUNCATE:")).then_some(line)
    });
    let ours = text
        .lines()
        .filter(|line| ["insert ", "update ", "delete "].iter().any(|kind| line.starts_with(kind)));
    let (theirs, ours): (Vec<_>, Vec<_>) = (theirs.collect(), ours.collect());
    assert_eq!(theirs.len(), ours.len(), "{name}: number of changes");
    for (theirs, ours) in theirs.into_iter().zip(ours) {
        let (kind, _) = ours.split_once(' ').unwrap();
        assert!(theirs.contains(&format!(": {}:", kind.to_uppercase())), "{name}: {ours}");
        for value in ours.split('\u{1f}').skip(1).step_by(2) {
            // test_decoding writes bit strings with their prefix and booleans in full.
            let found = theirs.contains(value) || matches!(value, "t" | "f");
            assert!(found, "{name}: {value} of {ours} in {theirs}");
        }
        assert_eq!(
            ours.contains(" unchanged"),
            theirs.contains("unchanged-toast-datum"),
            "{name}: {ours}"
        );
    }
}

/// One line a message. Text values stand between unit separators, which no capture contains.
fn render(out: &mut String, message: &Message<'_>) {
    let xid = |xid: &Option<u32>| xid.map(|xid| format!(" xid {xid}")).unwrap_or_default();
    let prepared = |kind: &str, p: &Prepared<'_>| {
        format!("{kind} {} {} {} xid {} '{}'", p.lsn, p.end_lsn, p.time_us, p.xid, p.gid)
    };
    let line = match message {
        Message::Begin(m) => format!("begin {} {} xid {}", m.final_lsn, m.commit_time_us, m.xid),
        Message::Commit(m) => {
            format!("commit {} {} {}", m.commit_lsn, m.end_lsn, m.commit_time_us)
        }
        Message::Origin(m) => format!("origin {} '{}'", m.commit_lsn, m.name),
        Message::Relation(m) => {
            let mut line = format!(
                "relation {}{} {:?}.{:?} {:?}",
                m.id,
                xid(&m.xid),
                m.namespace,
                m.name,
                m.identity
            );
            assert_eq!(m.columns.iter().count(), m.columns.len());
            for column in m.columns.iter() {
                let key = if column.key { " key" } else { "" };
                let (name, oid, modifier) = (column.name, column.type_oid, column.type_modifier);
                write!(line, "\n  {name:?} {oid} {modifier}{key}").unwrap();
            }
            line
        }
        Message::Type(m) => format!("type {}{} {:?}.{:?}", m.oid, xid(&m.xid), m.namespace, m.name),
        Message::Insert(m) => {
            format!("insert {}{} new{}", m.relation, xid(&m.xid), cells(m.new))
        }
        Message::Update(m) => {
            let old = m.old.map(|old| format!("{}{}", kind(old.kind), cells(old.tuple)));
            let old = old.unwrap_or_default();
            format!("update {}{}{old} new{}", m.relation, xid(&m.xid), cells(m.new))
        }
        Message::Delete(m) => {
            let old = format!("{}{}", kind(m.old.kind), cells(m.old.tuple));
            format!("delete {}{}{old}", m.relation, xid(&m.xid))
        }
        Message::Truncate(m) => {
            let cascade = if m.cascade { " cascade" } else { "" };
            let restart = if m.restart_identity { " restart identity" } else { "" };
            let relations: Vec<_> = m.relations.collect();
            format!("truncate{} {relations:?}{cascade}{restart}", xid(&m.xid))
        }
        Message::Message(m) => format!(
            "message{} {} {} {:?} '{}'",
            xid(&m.xid),
            if m.transactional { "transactional" } else { "immediate" },
            m.lsn,
            m.prefix,
            m.content.escape_ascii()
        ),
        Message::StreamStart(m) => {
            let first = if m.first_segment { " first" } else { "" };
            format!("stream start xid {}{first}", m.xid)
        }
        Message::StreamStop => "stream stop".to_owned(),
        Message::StreamCommit(m) => {
            format!(
                "stream commit xid {} {} {} {}",
                m.xid, m.commit_lsn, m.end_lsn, m.commit_time_us
            )
        }
        Message::StreamAbort(m) => {
            format!("stream abort xid {} subxid {} {:?}", m.xid, m.subxid, m.position)
        }
        Message::BeginPrepare(m) => prepared("begin prepare", m),
        Message::Prepare(m) => prepared("prepare", m),
        Message::CommitPrepared(m) => prepared("commit prepared", m),
        Message::RollbackPrepared(m) => format!(
            "rollback prepared {} {} {} {} xid {} '{}'",
            m.prepare_end_lsn, m.end_lsn, m.prepare_time_us, m.time_us, m.xid, m.gid
        ),
        Message::StreamPrepare(m) => prepared("stream prepare", m),
    };
    out.push_str(&line);
    out.push('\n');
}

fn kind(kind: OldKind) -> &'static str {
    match kind {
        OldKind::Key => " key",
        OldKind::Full => " old",
    }
}

fn cells(tuple: Tuple<'_>) -> String {
    assert_eq!(tuple.count(), tuple.len());
    let mut line = String::new();
    for cell in tuple {
        match cell {
            Cell::Null => line.push_str(" null"),
            Cell::Unchanged => line.push_str(" unchanged"),
            Cell::Text(text) => {
                let text = std::str::from_utf8(text).unwrap();
                write!(line, " \u{1f}{text}\u{1f}").unwrap();
            }
            Cell::Binary(bytes) => {
                line.push_str(" 0x");
                bytes.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
            }
        }
    }
    line
}

/// Whatever the size of the chunks, the rows are those of the server's send functions.
#[test]
fn copies_decode_alike_in_chunks_of_any_size() {
    let captures = captures(true);
    assert_eq!(captures.len(), 2);
    for (name, _, chunks) in captures {
        let expected = fs::read_to_string(directory().join(format!("{name}.txt"))).unwrap();
        let whole = chunks.concat();
        assert_eq!(rows(&name, chunks.iter().map(Vec::as_slice)), expected, "{name} as it came");
        for size in [1, 2, 3, 7, 64, 1000, whole.len()] {
            assert_eq!(rows(&name, whole.chunks(size)), expected, "{name} by {size}");
        }
        // Cut short anywhere it is no complete COPY.
        for end in 0..whole.len() {
            let mut decoder = copy::Decoder::new();
            decoder.push(Bytes::copy_from_slice(&whole[..end]));
            while decoder.next_row().unwrap().is_some() {}
            assert!(decoder.finish().is_err(), "{name} cut at {end}");
        }
    }
}

fn rows<'a>(name: &str, chunks: impl Iterator<Item = &'a [u8]>) -> String {
    let mut decoder = copy::Decoder::new();
    let mut text = String::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(row) = decoder.next_row().unwrap_or_else(|error| panic!("{name}: {error}")) {
            let count = row.len();
            let cells: Vec<String> = row
                .fields()
                .map(|value| match value {
                    None => "null".to_owned(),
                    Some(value) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
                })
                .collect();
            assert_eq!(cells.len(), count);
            writeln!(text, "{}", cells.join("\t")).unwrap();
        }
    }
    decoder.finish().unwrap();
    text
}

#[test]
fn damaged_copies_are_errors() {
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let with = |rest: &[u8]| [header, rest].concat();
    for (bytes, text) in [
        (
            b"PGCOPY\n\xff\n\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
            "at byte 0: expected the signature PGCOPY, found 'PGCOPY\\n\\xff\\n\\x00\\x00'",
        ),
        (
            b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0".to_vec(),
            "at byte 11: expected no critical flags, found 0x10000",
        ),
        (
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\xff\xff\xff\xff".to_vec(),
            "at byte 11: expected the length of an extension, found -1",
        ),
        (with(b"\xff\xfe"), "at byte 19: expected a number of values, found -2"),
        (
            with(b"\0\x02\0\0\0\x01x\xff\xff\xff\xfe"),
            "at byte 26: expected a length or -1, found -2",
        ),
        (with(b"\xff\xffx"), "at byte 21: expected nothing after the trailer, found 1 bytes"),
    ] {
        let mut decoder = copy::Decoder::new();
        decoder.push(bytes.into());
        let error = decoder.next_row().unwrap_err().to_string();
        assert_eq!(error, format!("malformed binary COPY {text}"));
    }
    let mut decoder = copy::Decoder::new();
    decoder.push(with(b"").into());
    assert!(decoder.next_row().unwrap().is_none());
    let error = decoder.finish().unwrap_err().to_string();
    assert!(error.contains("at byte 19: expected the rest"), "{error}");
}
