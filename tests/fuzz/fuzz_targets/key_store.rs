//! See `riverrun::fuzz::key_store`.
#![no_main]

#[path = "../memory.rs"]
mod memory;

libfuzzer_sys::fuzz_target!(|input: &[u8]| riverrun::fuzz::key_store(input));
