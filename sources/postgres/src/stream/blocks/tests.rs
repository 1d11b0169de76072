use std::{fs, path::PathBuf};

use super::{replay::Messages, *};
use crate::wire::pgoutput::{self, Decoder};

/// The lines of a capture (`src/wire/tests/captures.rs`): position and bytes of each message.
fn capture(name: &str) -> Vec<(Lsn, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/wire/{name}.hex"));
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    lines
        .map(|line| {
            let (lsn, hex) = line.split_once(' ').unwrap();
            (lsn.parse().unwrap(), hex.as_bytes().chunks(2).map(byte).collect())
        })
        .collect()
}

fn blocks(bytes_max: usize) -> Blocks {
    Blocks::new(&Limits { bytes_max, directory: std::env::temp_dir() }, 170_000)
}

/// What is left of the transaction that commits in these messages.
fn committed(blocks: &mut Blocks, messages: &[(Lsn, Vec<u8>)]) -> Vec<(Lsn, Vec<u8>)> {
    let mut decoder = Decoder::new();
    for (lsn, bytes) in messages {
        let message = decoder.decode(bytes).unwrap();
        assert!(blocks.take(&message, *lsn, bytes).unwrap(), "{message:?}");
    }
    let (commit, _, transaction) = blocks.committed.take().expect("a commit");
    let mut reading = Messages::new(transaction, commit.xid, Path::new(""));
    let mut left = Vec::new();
    while let Some((lsn, bytes)) = reading.next().unwrap() {
        left.push((lsn, bytes.to_vec()));
    }
    left
}

/// The server's own bytes: 260 rows, 260 that are rolled back to a savepoint, a delete.
#[test]
fn a_captured_transaction_has_what_was_not_rolled_back() {
    let messages = capture("streamed");
    for bytes_max in [0, 2_000, 1 << 20] {
        let mut blocks = blocks(bytes_max);
        let left = committed(&mut blocks, &messages);
        assert_eq!((blocks.held, blocks.open.len()), (0, 0), "nothing is kept on");
        let mut rows = Vec::new();
        let mut deleted = 0;
        for (_, bytes) in &left {
            match pgoutput::decode(bytes, true).unwrap() {
                Message::Insert(insert) => match insert.new.into_iter().next() {
                    Some(pgoutput::Cell::Text(id)) => {
                        rows.push(std::str::from_utf8(id).unwrap().parse::<u32>().unwrap());
                    }
                    cell => panic!("{cell:?}"),
                },
                Message::Delete(_) => deleted += 1,
                _ => {}
            }
        }
        assert_eq!(rows, (1..=260).collect::<Vec<_>>(), "with {bytes_max} bytes");
        assert_eq!(deleted, 1);
        assert!(left.iter().filter(|(lsn, _)| *lsn != Lsn::ZERO).is_sorted_by_key(|(lsn, _)| lsn));
    }
}

/// A message of a subtransaction as the server sends it, with `text` for content.
fn logical(xid: u32, text: &str) -> Vec<u8> {
    let mut bytes = vec![b'M'];
    bytes.extend(xid.to_be_bytes());
    bytes.push(1);
    bytes.extend(9u64.to_be_bytes());
    bytes.extend(b"p\0");
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn begins(xid: u32) -> Vec<u8> {
    [&b"S"[..], &xid.to_be_bytes(), &[1]].concat()
}

fn aborts(xid: u32, subxid: u32) -> Vec<u8> {
    [&b"A"[..], &xid.to_be_bytes(), &subxid.to_be_bytes()].concat()
}

fn commits(xid: u32) -> Vec<u8> {
    [&b"c"[..], &xid.to_be_bytes(), &[0; 25]].concat()
}

const STOP: &[u8] = b"E";

/// The contents that are left of a transaction of these messages.
fn left(bytes_max: usize, messages: &[Vec<u8>]) -> String {
    let messages: Vec<_> = messages.iter().map(|bytes| (Lsn(9), bytes.clone())).collect();
    let mut blocks = blocks(bytes_max);
    let left = committed(&mut blocks, &messages);
    assert_eq!(blocks.held, blocks.open.values().map(Transaction::held).sum::<usize>());
    let contents = left.iter().map(|(_, bytes)| match pgoutput::decode(bytes, true).unwrap() {
        Message::Message(message) => std::str::from_utf8(message.content).unwrap().to_owned(),
        message => panic!("{message:?}"),
    });
    contents.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_a_rollback_takes_back() {
    // Transaction 10 with savepoints 11 and, within it, 12; 12 writes before 11 does.
    let nested = |ends: &[Vec<u8>]| {
        let mut all = vec![begins(10), logical(10, "a"), logical(12, "b"), logical(11, "c")];
        all.push(STOP.to_vec());
        all.extend_from_slice(ends);
        all.extend([begins(10), logical(10, "d"), logical(13, "e"), STOP.to_vec(), commits(10)]);
        all
    };
    for bytes_max in [0, 1 << 20] {
        assert_eq!(left(bytes_max, &nested(&[])), "a b c d e");
        // The server names the child first or last.
        for ends in [[aborts(10, 12), aborts(10, 11)], [aborts(10, 11), aborts(10, 12)]] {
            assert_eq!(left(bytes_max, &nested(&ends)), "a d e");
        }
        // 12 alone is rolled back before 11 goes on.
        let alone = [
            begins(10),
            logical(11, "a"),
            logical(12, "b"),
            STOP.to_vec(),
            aborts(10, 12),
            begins(10),
            logical(11, "c"),
            STOP.to_vec(),
            commits(10),
        ];
        assert_eq!(left(bytes_max, &alone), "a c");
        // One that was never seen takes nothing with it.
        assert_eq!(left(bytes_max, &nested(&[aborts(10, 99)])), "a b c d e");
    }
}

#[test]
fn transactions_by_turns_and_one_that_is_rolled_back_whole() {
    let messages = [
        begins(10),
        logical(10, "a"),
        STOP.to_vec(),
        begins(20),
        logical(20, "x"),
        STOP.to_vec(),
        begins(10),
        logical(10, "b"),
        STOP.to_vec(),
        aborts(20, 20),
        commits(10),
    ];
    assert_eq!(left(0, &messages), "a b");
}

#[test]
fn numbers_of_subtransactions_begin_again() {
    let mut subtransactions = Subtransactions::default();
    for (subxid, place) in [(u32::MAX - 1, 0), (u32::MAX, 10), (3, 20), (4, 30)] {
        subtransactions.note(subxid, place);
    }
    assert_eq!(subtransactions.cut(3).unwrap(), Some(20));
    assert_eq!(subtransactions.cut(4).unwrap(), None);
    assert_eq!(subtransactions.last, Some(u32::MAX));
    assert_eq!(subtransactions.cut(u32::MAX - 1).unwrap(), Some(0));
    assert_eq!(subtransactions.last, None);
}

/// 32 transactions at once, 200 KB each: never more than the bound and one row.
#[test]
fn memory_is_bounded_over_all_transactions() {
    const BYTES_MAX: usize = 1 << 20;
    let mut blocks = blocks(BYTES_MAX);
    let row = "r".repeat(1_000);
    let mut most = 0;
    for round in 0..200 {
        for xid in 1..=32 {
            for bytes in [begins(xid), logical(xid, &row), STOP.to_vec()] {
                let in_block = blocks.receiving();
                let message = pgoutput::decode(&bytes, in_block).unwrap();
                blocks.take(&message, Lsn(round + 1), &bytes).unwrap();
                most = most.max(blocks.held);
            }
        }
    }
    assert!(most > BYTES_MAX / 2 && most <= BYTES_MAX + (64 << 10), "{most}");
    let message = pgoutput::decode(b"c\0\0\0\x07\0........................", false).unwrap();
    blocks.take(&message, Lsn(500), b"").unwrap();
    let (_, _, transaction) = blocks.committed.take().unwrap();
    let mut reading = Messages::new(transaction, 7, Path::new(""));
    let mut count = 0;
    while let Some((lsn, bytes)) = reading.next().unwrap() {
        count += 1;
        assert_eq!((lsn, bytes), (Lsn(count), &*logical(7, &row)));
    }
    assert_eq!(count, 200);
}

#[test]
fn a_full_disk_is_an_error_that_says_what_to_do() {
    let limits = Limits { bytes_max: 0, directory: "/nowhere/at/all".into() };
    let mut blocks = Blocks::new(&limits, 170_000);
    let mut take = |bytes: &[u8]| {
        let message = pgoutput::decode(bytes, blocks.receiving()).unwrap();
        blocks.take(&message, Lsn(1), bytes)
    };
    take(&begins(10)).unwrap();
    let error = take(&logical(10, "a")).unwrap_err().trace().to_string();
    assert!(error.contains("/nowhere/at/all") && error.contains("slot.stream.spill.directory"));
}
