//! Where the wire and the domain meet: messages become requests, answers and records become messages.
//!
//! Nothing else in the gateway names both. A change of the protocol is a change here and in `moorline-wire`.

mod delegation;
pub(crate) mod from_wire;
pub(crate) mod to_wire;
