//! What each official client is sent: golden frames per profile, and whether they are what that client needs.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod adapting;
mod frames;
mod golden;
mod needs;
