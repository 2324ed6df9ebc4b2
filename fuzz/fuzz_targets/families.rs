//! See `moorline_fuzz::run_families`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| moorline_fuzz::run_families(bytes));
