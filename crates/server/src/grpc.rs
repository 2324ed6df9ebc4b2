//! The session gateway's door: gRPC, `moorline.gateway.v1`.
//!
//! Every call is authenticated before it is looked at, health and reflection too: one place, in front of all services.
//! What a call asks for is translated (`from_proto`), done by [`moorline_runtime::backend_sessions`], and translated
//! back (`to_proto`); what is not done becomes a status in one place (`status`).
//!
//! HTTP/2 is served on the gateway's own connections, with its limits, its TLS and its tasks, so that a stop ends them all
//! within a bound: streams are told first that they end, then connections are asked to, then they are dropped. A peer
//! that is silent is asked for a sign of life, so that a client that is gone does not keep a session alive for ever.
//!
//! Deliberately absent: gRPC-Web, and compression.

mod auth;
mod from_proto;
mod health;
mod listener;
mod service;
mod status;
mod streams;
mod to_proto;

pub use listener::{GrpcListener, GrpcOptions, ListenGrpcError};
