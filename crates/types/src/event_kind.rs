//! Kinds of job events (spec 8.2): ten that the spec defines, and vendors' own.

use std::fmt;
use std::str::FromStr;

use crate::limits::MAX_EVENT_KIND_BYTES;

/// What vendor kinds begin with: `x-vendor.<vendor>.<name>`.
pub const VENDOR_PREFIX: &str = "x-vendor.";

/// Why a text is no event kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an event kind is one of the spec's ten or x-vendor.<vendor>.<name> in lower case, at most {MAX_EVENT_KIND_BYTES} characters"
)]
pub struct EventKindError;

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a job event is about.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
            /// A vendor's own kind, with its whole name.
            Vendor(Box<str>),
        }

        impl EventKind {
            /// The ten kinds of the spec.
            pub const SPEC: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Vendor(name) => name,
                }
            }
        }

        impl FromStr for EventKind {
            type Err = EventKindError;

            fn from_str(text: &str) -> Result<Self, EventKindError> {
                match text {
                    $($text => Ok(Self::$name),)*
                    vendor if is_vendor_name(vendor) => Ok(Self::Vendor(vendor.into())),
                    _ => Err(EventKindError),
                }
            }
        }
    };
}

event_kinds! {
    /// A line for people: `{level, message}`.
    Log = "log";
    /// An agent's reasoning: `{text}`.
    Thought = "thought";
    /// A tool is being called: `{tool, args, call_id}`.
    ToolCall = "tool_call";
    /// What a tool answered: `{call_id, result | error}`.
    ToolResult = "tool_result";
    /// The job's phase: `{phase, message?}`.
    Status = "status";
    /// A number: `{name, value, unit?, dimensions?}`.
    Metric = "metric";
    /// Something that was made: `{uri, content_type, byte_size?, sha256?}`.
    ArtifactRef = "artifact_ref";
    /// A part of the work is given to another agent.
    Delegate = "delegate";
    /// How far the work is: `{current, total?, units?, message?}`.
    Progress = "progress";
    /// A part of a streamed result (spec 8.4).
    ResultChunk = "result_chunk";
}

fn is_vendor_name(text: &str) -> bool {
    let segment = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
    };
    text.len() <= MAX_EVENT_KIND_BYTES
        && text.strip_prefix(VENDOR_PREFIX).is_some_and(|rest| rest.contains('.') && rest.split('.').all(segment))
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for EventKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_name() {
        for kind in EventKind::SPEC {
            assert_eq!(kind.as_str().parse::<EventKind>().as_ref(), Ok(kind));
        }
        assert_eq!("x-vendor.acme.heat-map_2".parse(), Ok(EventKind::Vendor("x-vendor.acme.heat-map_2".into())));
    }

    #[test]
    fn other_names_are_refused() {
        for text in
            ["", "LOG", "heat", "x-vendor.", "x-vendor.acme", "x-vendor.acme.", "x-vendor..a", "x-vendor.Acme.a"]
        {
            assert_eq!(text.parse::<EventKind>(), Err(EventKindError), "{text:?}");
        }
    }
}
