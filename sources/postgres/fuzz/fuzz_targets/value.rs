//! Any bytes in place of a value, in binary form or as text, are a cell or an error: the first two bytes
//! choose the type and the modes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riverrun_source_postgres::fuzzing;

fuzz_target!(|input: &[u8]| {
    let Some(([high, low], field)) = input.split_first_chunk() else { return };
    fuzzing::value(usize::from(*high) << 8 | usize::from(*low), field);
});
