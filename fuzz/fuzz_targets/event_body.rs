//! See `moorline_fuzz::event_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| moorline_fuzz::event_body(bytes));
