//! The bodies of job events (spec 8.2): reading them, and checking what agents report.
//!
//! - [`validate_body`] is for the gateway. What an agent reports has to have the spec's shape, because the clients that
//!   will read it are strict in different ways. Further fields are allowed.
//! - [`Event::parse`] is for clients. It reads the names that other runtimes use for the same fields, and passes on
//!   what it does not know.

use moorline_types::limits::MAX_JSON_DEPTH;
use moorline_types::{EventKind, Json};

use crate::decode::{FieldError, Problem, depth_exceeds};

mod alias;
mod assemble;
mod body;

pub(crate) use alias::with_aliases;
pub use assemble::{AssembleError, DEFAULT_MAX_RESULT_BYTES, ResultAssembler, ResultChunks};
pub use body::{
    ArtifactRef, ChunkEncoding, Delegate, Log, LogLevel, Metric, Progress, ResultChunk, Status, Thought, ToolCall,
    ToolOutcome, ToolResult,
};

/// How deeply a body may nest: the envelope and the payload are around it.
pub const MAX_BODY_DEPTH: usize = MAX_JSON_DEPTH - 2;

/// A body is not what its kind has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A field is absent, or not what it has to be.
    #[error("{path}: {problem}")]
    Field {
        /// Where it stands, from the body on: `body.call_id`.
        path: Box<str>,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Arrays and objects nest too deeply.
    #[error("body: nests arrays and objects more than {MAX_BODY_DEPTH} deep")]
    TooDeep,
}

impl From<FieldError> for BodyError {
    fn from(error: FieldError) -> Self {
        let FieldError { path, problem } = error;
        Self::Field { path: path.into(), problem }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident;)*) => {
        /// A job event with its body. The variants are named like the kinds.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($(#[$doc])* $variant(body::$variant),)*
            /// A vendor's kind, or one that is newer than this code.
            Other {
                /// The kind.
                kind: Box<str>,
                /// Its body.
                body: Json,
            },
        }

        impl Event {
            /// Reads the event that a runtime sent.
            ///
            /// # Errors
            /// The kind is one of the spec's and the body has not its shape under any name that runtimes use.
            pub fn parse(kind: &str, body: &Json) -> Result<Self, BodyError> {
                match kind.parse() {
                    $(Ok(EventKind::$variant) => {
                        let body = alias::with_spec_names(&EventKind::$variant, body.get())?;
                        Ok(Self::$variant(body::read(&body)?))
                    })*
                    Ok(EventKind::Vendor(_)) | Err(_) => Ok(Self::Other { kind: kind.into(), body: body.clone() }),
                }
            }
        }

        /// Whether `body` is what an event of this kind has to be (spec 8.2). Every event of every agent passes here,
        /// so nothing of a body is looked at twice: that it is JSON is known, and a vendor's only has to be an object.
        ///
        /// # Errors
        /// The first field that is not, with its path.
        pub fn validate_body(kind: &EventKind, body: &Json) -> Result<(), BodyError> {
            let body = body.get();
            if depth_exceeds(body, MAX_BODY_DEPTH) {
                return Err(BodyError::TooDeep);
            }
            match kind {
                $(EventKind::$variant => body::read::<body::checked::$variant>(body)?.check()?,)*
                EventKind::Vendor(_) => body::check_object(body)?,
            }
            Ok(())
        }
    };
}

events! {
    /// A line for people.
    Log;
    /// An agent's reasoning.
    Thought;
    /// A tool is being called.
    ToolCall;
    /// What a tool answered.
    ToolResult;
    /// The job's phase.
    Status;
    /// A number.
    Metric;
    /// Something that was made.
    ArtifactRef;
    /// A part of the work is given to another agent.
    Delegate;
    /// How far the work is.
    Progress;
    /// A part of a streamed result.
    ResultChunk;
}
