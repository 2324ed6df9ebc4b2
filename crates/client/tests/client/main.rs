//! The client against a WebSocket server that plays a runtime, frame by frame.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod acks;
mod calls;
mod chaos;
mod connecting;
mod credentials;
mod ending;
mod liveness;
mod peer;
mod profiles;
mod reconnect;
mod rejoin;
mod rig;
mod streams;
