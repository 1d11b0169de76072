//! See `riverrun::fuzz::jaas`.
#![no_main]

#[path = "../memory.rs"]
mod memory;

libfuzzer_sys::fuzz_target!(|input: &[u8]| riverrun::fuzz::jaas(input));
