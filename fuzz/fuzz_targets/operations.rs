//! See `moorline_fuzz::run_operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| moorline_fuzz::run_operations(bytes));
