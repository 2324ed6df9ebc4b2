//! See `moorline_fuzz::runtime_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| moorline_fuzz::runtime_frame(bytes));
