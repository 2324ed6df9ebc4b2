//! The HTTP door: `/arcp` (WebSocket), `/healthz`, `/readyz`, `/metrics`.
//!
//! Everything is bounded before a byte is buffered: connections as a whole are counted before they are accepted, those
//! of one address before they are served, the TLS handshake and the request head have deadlines, and a frame's size
//! is known before its content is read. Requests that web pages make are told from those of programs. A peer that is over its bound is turned away; nobody else notices.

mod listener;
mod metrics;
mod routes;
mod visitors;

pub use listener::{HttpOptions, ListenError, Listener};
