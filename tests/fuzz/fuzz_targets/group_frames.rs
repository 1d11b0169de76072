//! See `riverrun::fuzz::group_frames`.
#![no_main]

#[path = "../memory.rs"]
mod memory;

libfuzzer_sys::fuzz_target!(|input: &[u8]| riverrun::fuzz::group_frames(input));
