//! What a client does differently with each official runtime: the one table.
//!
//! A runtime is told by its welcome: ours by an extension, the others by the form of their resume tokens. A runtime that
//! looks like none of them gets what the spec says. What is merely spelled differently is read by the payloads and needs
//! no row here.

use crate::payload::Welcome;
use crate::vendor::Extensions;

/// Which runtime the client talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeProfile {
    /// One that keeps to the spec, as far as is known.
    Spec,
    /// This one.
    Moorline,
    /// The official runtimes in TypeScript and C#, whose welcomes do not tell them apart.
    TypeScriptOrCSharp,
    /// The official runtime in Python.
    Python,
    /// The official runtime in Go.
    Go,
    /// The official runtime in Java.
    Java,
}

/// What a client does with a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeConduct {
    /// How a session is ended.
    pub farewell: Farewell,
    /// How the session's numbers come.
    pub numbering: Numbering,
    /// What a resume brings back.
    pub resume: ResumeConduct,
    /// Whether events are acknowledged if that was negotiated. Some runtimes forget what was acknowledged, also for
    /// those who subscribe to the job later.
    pub acknowledges: bool,
    /// Whether a cancel is confirmed. One runtime only answers a cancel that it refuses.
    pub confirms_cancels: bool,
}

/// How a session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// `session.close`.
    Close,
    /// `session.bye`.
    Bye,
    /// Both: a runtime that does not know the one answers it with an error that nobody waits for.
    Both,
    /// With the connection and without a word: the runtime ends the jobs of a session that is closed.
    Silent,
}

/// How the numbers of a session come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// One after the other.
    Dense,
    /// Each once, some a little late.
    Reordered,
    /// Each subscription counts for itself, so that numbers say nothing.
    PerSubscription,
}

/// What a resume brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeConduct {
    /// Everything.
    Whole,
    /// Everything, but not before the runtime has noticed that the old connection is gone.
    Late,
    /// Not what running jobs report afterwards. A new session that subscribes to them gets that.
    WithoutJobs,
}

impl RuntimeProfile {
    /// Tells a runtime by its welcome and by what stands beside that.
    pub fn of(welcome: &Welcome, extensions: &Extensions) -> Self {
        if extensions.cursor.is_some() || welcome.runtime.name == "moorline" {
            return Self::Moorline;
        }
        let token = welcome.resume_token.as_ref().map_or("", |token| token.expose());
        if token.strip_prefix("rtk_").is_some_and(is_ulid) {
            Self::Python
        } else if token.strip_prefix("rt_").is_some_and(|digits| digits.len() == 64 && is_hex(digits)) {
            Self::TypeScriptOrCSharp
        } else if is_ulid(token) {
            Self::Go
        } else if is_uuid(token) {
            Self::Java
        } else {
            Self::Spec
        }
    }

    /// What a client does with this runtime.
    pub const fn conduct(self) -> RuntimeConduct {
        let spec = RuntimeConduct {
            farewell: Farewell::Both,
            numbering: Numbering::Dense,
            resume: ResumeConduct::Whole,
            acknowledges: true,
            confirms_cancels: true,
        };
        match self {
            Self::Spec => spec,
            Self::Moorline => RuntimeConduct { farewell: Farewell::Close, ..spec },
            Self::TypeScriptOrCSharp => RuntimeConduct {
                farewell: Farewell::Bye,
                resume: ResumeConduct::WithoutJobs,
                acknowledges: false,
                ..spec
            },
            Self::Python => RuntimeConduct {
                farewell: Farewell::Bye,
                numbering: Numbering::PerSubscription,
                resume: ResumeConduct::WithoutJobs,
                acknowledges: false,
                confirms_cancels: false,
            },
            Self::Go => RuntimeConduct {
                farewell: Farewell::Close,
                numbering: Numbering::Reordered,
                resume: ResumeConduct::Late,
                acknowledges: false,
                ..spec
            },
            Self::Java => RuntimeConduct {
                farewell: Farewell::Silent,
                numbering: Numbering::Reordered,
                resume: ResumeConduct::Late,
                ..spec
            },
        }
    }
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| is_hex(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeLimits, decode_runtime};
    use crate::{Frame, RuntimeMessage};

    fn profile(payload: &str, extensions: &str) -> RuntimeProfile {
        let frame = format!(
            r#"{{"arcp":"1.1","id":"m","type":"session.welcome","session_id":"s","payload":{payload},"extensions":{extensions}}}"#
        );
        let frame = decode_runtime(frame.as_bytes(), DecodeLimits::default()).unwrap();
        let Frame { message: RuntimeMessage::Welcome(welcome), extensions, .. } = frame else { panic!("a welcome") };
        RuntimeProfile::of(&welcome, &extensions)
    }

    /// The forms of the tokens are what the official runtimes send.
    #[test]
    fn a_runtime_is_told_by_its_welcome() {
        let welcome = |token: &str| format!(r#"{{"runtime":{{"name":"r"}},"resume_token":"{token}"}}"#);
        let hex = "0f".repeat(32);
        for (token, expected) in [
            ("rtk_01M7Z4EVJAYDK46YM5E7ZGM706", RuntimeProfile::Python),
            (format!("rt_{hex}").as_str(), RuntimeProfile::TypeScriptOrCSharp),
            ("01M7Z4EVJAYDK46YM5E7ZGM706", RuntimeProfile::Go),
            ("3f2c8f0e-6d0f-4c8e-9d59-0a5f8d2b7c11", RuntimeProfile::Java),
            ("", RuntimeProfile::Spec),
            ("rt_", RuntimeProfile::Spec),
            (format!("rt_01M7Z4EVJAYDK46YM5E7ZGM706_{hex}").as_str(), RuntimeProfile::Spec),
            ("3f2c8f0e-6d0f", RuntimeProfile::Spec),
        ] {
            assert_eq!(profile(&welcome(token), "{}"), expected, "{token}");
        }
        assert_eq!(profile(r#"{"runtime":{}}"#, "{}"), RuntimeProfile::Spec);
        let cursor = r#"{"x-vendor.moorline.cursor":{"epoch":"01KRHDRWGW0M2GA1850M2GA185","event_seq":0}}"#;
        assert_eq!(profile(&welcome(""), cursor), RuntimeProfile::Moorline);
    }
}
