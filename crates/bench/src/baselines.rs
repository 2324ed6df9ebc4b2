//! What a gateway is compared with, measured in the same run by the same load generator.

pub(crate) mod grpc;
pub(crate) mod nats;
pub(crate) mod python;
pub(crate) mod websocket;
