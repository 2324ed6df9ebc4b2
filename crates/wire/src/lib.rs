//! ARCP v1.1 on the wire: bytes to messages and back.
//!
//! Both directions of every message are here, because the gateway and the client share them: the gateway decodes
//! [`ClientMessage`]s and encodes [`RuntimeMessage`]s, the client does the reverse.
//!
//! - [`message`] is the one table of the wire vocabulary, [`code`] of the error codes, [`feature`] of the features.
//! - [`payload`] holds what each message carries, one file per family.
//! - [`decode`] reads a frame, [`encode()`] writes one.
//! - [`vendor`] holds what the spec does not have: extensions of the envelope and messages of our own.
//! - [`profile`] holds what the official clients need that the spec does not say.
//! - [`event`] reads and checks the bodies of job events.
//!
//! Two attitudes meet in the payloads. What a *client* sends is checked: types, bounds and grammar, and an error names
//! the field. What a *runtime* sends is read leniently, because official runtimes leave out and respell fields
//!, and a client that refuses a frame helps nobody. A `null` where a field may be absent is read as
//! absent from either side, and never written.
//!
//! Deliberately absent: sockets, clocks, randomness, sessions, and what a message means. Ids are minted by the caller.

#![forbid(unsafe_code)]

#[macro_use]
mod word;
pub use word::{Received, Word};

mod amount;
pub use amount::{Amount, AmountError, Budget};

mod de;

mod id;
pub use id::{JobRef, MAX_ID_BYTES, SessionRef};

mod secret;
pub use secret::Secret;

mod status;
pub use status::{FinalStatus, JobStatus};

mod text;
pub use text::{Name, Reason, Text, TextError};

pub mod code;
pub use code::ErrorCode;

pub mod feature;
pub use feature::{Feature, FeatureSet};

mod lease;
pub use lease::{LeaseConstraints, LeaseRequest, Pattern, is_lease_namespace};

pub mod payload;

pub mod trace;

pub mod vendor;

mod runtime_profile;
pub use runtime_profile::{Farewell, Numbering, ResumeConduct, RuntimeConduct, RuntimeProfile};

pub mod message;
pub use message::{ClientMessage, Field, MessageType, RuntimeMessage, Sender};

pub mod profile;
pub use profile::Profile;

mod frame;
pub use frame::Frame;

pub mod decode;
pub use decode::{DecodeError, DecodeErrorKind, DecodeLimits, Problem, decode_client, decode_runtime};

pub mod encode;
pub use encode::{Encoded, EventFrame, EventFrames, PROTOCOL_VERSION, RecordType, encode, encode_into};

pub mod event;
pub use event::{BodyError, Event, validate_body};
