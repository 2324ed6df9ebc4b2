//! Peer profiles: what each official SDK's client needs beyond the spec, or instead of it.
//!
//! The official SDKs disagree with the spec and with each other: about where a refused request is reported, about names
//! of fields, about which message says goodbye. The domain knows nothing of that. A connection picks a [`Profile`] from
//! its first frame ([`detect()`]) or from its key, and what goes out passes through the profile at the edge:
//! [`Profile::adapt`] for every message, [`Profile::refuse`] for a refused request, [`Profile::goodbye`] for the end.
//!
//! - The default is the spec. What every peer accepts is sent to every peer and is no quirk.
//! - [`Quirks`] is the one table. Whoever wants to know what a peer needs asks the table, never the profile's name.
//! - A profile changes frames only: never who may do what, and never how many numbered frames there are.
//!
//! Deliberately absent: the dialect of the Rust SDK 2.0.0, which shares neither handshake nor jobs with the spec. Its
//! first frame is recognised and refused in a form that it can read ([`refuse_session_open`]).

mod adapt;
mod detect;
mod dialect;
mod quirks;
mod refuse;

pub use detect::{Detected, detect};
pub use dialect::refuse_session_open;
pub use quirks::{Goodbye, Quirks, Telling};
pub use refuse::{Asked, Minted};

words! {
    /// Which client a connection's peer is.
    Profile {
        /// Any that keeps to the spec; ours.
        Spec = "spec";
        /// The TypeScript SDK.
        TypeScript = "typescript";
        /// The Python SDK.
        Python = "python";
        /// The Go SDK.
        Go = "go";
        /// The C# SDK.
        CSharp = "csharp";
        /// The Java SDK.
        Java = "java";
    }
}
