//! The session gateway's gRPC API, `moorline.gateway.v1`, as Rust: messages, client and server.
//!
//! The one source is `proto/moorline/gateway/v1/gateway.proto`, which says what everything means. The Rust of it and
//! its descriptors are generated and checked in, so that building needs no protobuf compiler; a test makes them anew and
//! compares, and with `UPDATE_GOLDEN=1` writes them.
//!
//! **The API only grows.** Numbers and names of fields, methods and enum values stay as they are; the test that compares
//! the descriptors with `api.txt` shows every change of it as a line.
//!
//! Deliberately absent: what the messages mean to the gateway, which is the server's to translate at its edge.

/// Version 1.
pub mod v1 {
    #![allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        unreachable_pub,
        let_underscore_drop,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::wildcard_enum_match_arm,
        reason = "generated: its style is the generator's"
    )]
    include!("generated/moorline.gateway.v1.rs");

    /// The protobuf descriptors of the package and all that it imports, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
}

/// The metadata key of an [`v1::ErrorInfo`] beside a status.
pub const ERROR_INFO_KEY: &str = "moorline-error-bin";
