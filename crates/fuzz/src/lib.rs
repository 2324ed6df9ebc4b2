//! What is fuzzed. Each target is a function of bytes that panics when something does not hold.
//!
//! The same functions are run by libFuzzer (`fuzz/` at the root, outside of the workspace), and by this crate's tests
//! with the corpus and a number of seeded mutations of it. Bytes that libFuzzer has found go into the corpus, and are
//! run by everybody from then on.
//!
//! No other crate depends on this one.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "whatever is not as expected is a finding")]

mod bytes;
pub mod families;
mod frames;
mod journal;
pub mod operations;

pub use frames::{client_frame, event_body, runtime_frame};

/// Something to be fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the file in `fuzz/fuzz_targets/` and of the folder in `fuzz/corpus/`.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 5] = [
    Target { name: "client_frame", run: client_frame },
    Target { name: "runtime_frame", run: runtime_frame },
    Target { name: "event_body", run: event_body },
    Target { name: "operations", run: run_operations },
    Target { name: "families", run: run_families },
];

/// Any sequence of operations on jobs and sessions.
pub fn run_operations(bytes: &[u8]) {
    operations::run(bytes);
}

/// Any sequence of operations on jobs that delegate to each other.
pub fn run_families(bytes: &[u8]) {
    families::run(bytes);
}
