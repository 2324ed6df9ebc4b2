//! Frames, seen from outside.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod events;
mod golden;
mod hostile;
mod leniency;
mod mutation;
mod round_trip;
mod samples;
