//! Any bytes decode to the same rows and the same outcome, whatever the size of the chunks: the
//! first byte, or all at once.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use riverrun_source_postgres::wire::{DecodeError, copy::Decoder};

type Rows = Vec<Vec<Option<Vec<u8>>>>;

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Rows, Result<(), DecodeError>) {
    let mut decoder = Decoder::new();
    let mut rows = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_row() {
                Ok(Some(row)) => {
                    let count = row.len();
                    let row: Vec<_> = row.map(|value| value.map(<[u8]>::to_vec)).collect();
                    assert_eq!(row.len(), count);
                    rows.push(row);
                }
                Ok(None) => break,
                Err(error) => return (rows, Err(error)),
            }
        }
    }
    (rows, decoder.finish())
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let (whole, outcome) = decode(std::iter::once(bytes));
    let (pieces, outcome_of_pieces) = decode(bytes.chunks(usize::from(size.max(1))));
    assert_eq!(whole, pieces);
    assert_eq!(outcome.is_ok(), outcome_of_pieces.is_ok());
});
