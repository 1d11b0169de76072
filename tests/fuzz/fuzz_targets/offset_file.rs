//! See `riverrun::fuzz::offset_file`.
#![no_main]

#[path = "../memory.rs"]
mod memory;

libfuzzer_sys::fuzz_target!(|input: &[u8]| riverrun::fuzz::offset_file(input));
