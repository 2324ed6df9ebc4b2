//! Who is it? Told by the first frame.
//!
//! A pure function of the frame's bytes, apart from decoding, because a frame that cannot be decoded has to be answered
//! too, in a form that its sender understands. It looks at what distinguishes the official clients: the form of the
//! envelope's id, a `timestamp`, and one field of the capabilities.

use std::borrow::Cow;

use moorline_types::MessageId;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Profile;

/// What a connection's first frame says about its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// It speaks the spec's dialect, like this client.
    Profile(Profile),
    /// It opens a session in the dialect of the Rust SDK 2.0.0.
    SessionOpen {
        /// What it calls its frame.
        id: Option<MessageId>,
    },
}

#[derive(Deserialize)]
struct FirstFrame<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    timestamp: Option<IgnoredAny>,
    extensions: Option<Marked>,
    payload: Option<Hello>,
}

#[derive(Deserialize)]
struct Marked {
    #[serde(rename = "x-vendor.moorline.profile")]
    profile: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Hello {
    capabilities: Option<Capabilities>,
}

#[derive(Deserialize)]
struct Capabilities {
    agents: Option<IgnoredAny>,
}

/// The profile of whoever sent this first frame. A frame that is not understood is the spec's.
pub fn detect(frame: &[u8]) -> Detected {
    let Ok(frame) = serde_json::from_slice::<FirstFrame<'_>>(frame) else {
        return Detected::Profile(Profile::Spec);
    };
    let id = frame.id.as_deref().unwrap_or_default();
    if frame.r#type.as_deref() == Some("session.open") {
        return Detected::SessionOpen { id: id.parse().ok() };
    }
    let lists_agents = || frame.payload.as_ref()?.capabilities.as_ref()?.agents.as_ref();
    Detected::Profile(if frame.extensions.is_some_and(|extensions| extensions.profile.is_some()) {
        Profile::Spec
    } else if frame.timestamp.is_some() {
        Profile::CSharp
    } else if is_uuid(id) {
        Profile::Go
    } else if id.strip_prefix("msg_").is_some_and(is_ulid) {
        Profile::TypeScript
    } else if !is_ulid(id) {
        Profile::Spec
    } else if lists_agents().is_some() {
        Profile::Python
    } else {
        Profile::Java
    })
}

/// 26 digits of Crockford's base 32 in upper case.
fn is_ulid(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    text.len() == 26 && text.bytes().all(digit)
}

/// The groups of a UUID, in either case.
fn is_uuid(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups = text.split('-').map(|group| (group.len(), group.bytes().all(|byte| byte.is_ascii_hexdigit())));
    groups.eq(GROUPS.map(|length| (length, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01KRHDRWGW040G2081040G2081";
    const UUID: &str = "0190b1f2-7c1e-7b3a-9a41-3f1c2d4e5f60";

    fn of(id: &str, more: &str, capabilities: &str) -> Detected {
        let payload = format!(r#"{{"client":{{"name":"c"}},"capabilities":{capabilities}}}"#);
        detect(format!(r#"{{"arcp":"1.1","id":"{id}","type":"session.hello"{more},"payload":{payload}}}"#).as_bytes())
    }

    #[test]
    fn each_official_client_is_known_by_its_first_frame() {
        let msg = format!("msg_{ULID}");
        let stamped = r#","timestamp":"2026-05-14T12:00:00.0000000+00:00""#;
        let marked = r#","extensions":{"x-vendor.moorline.profile":"1"}"#;
        for (id, more, capabilities, expected) in [
            (msg.as_str(), "", r#"{"features":["ack"],"encodings":["json"]}"#, Profile::TypeScript),
            (ULID, "", r#"{"encodings":["json"],"agents":[]}"#, Profile::Python),
            (UUID, "", "{}", Profile::Go),
            (&UUID.to_uppercase(), "", "{}", Profile::Go),
            (&msg, stamped, "{}", Profile::CSharp),
            (ULID, "", "{}", Profile::Java),
            (ULID, "", "null", Profile::Java),
            // Our marker counts for more than anything else, a timestamp for more than an id.
            (&msg, marked, "{}", Profile::Spec),
            (UUID, marked, r#"{"agents":[]}"#, Profile::Spec),
            (UUID, stamped, "{}", Profile::CSharp),
            // Forms that no official client uses.
            ("msg_1", "", "{}", Profile::Spec),
            (&ULID.to_lowercase(), "", "{}", Profile::Spec),
            ("0190b1f2-7c1e-7b3a-9a41", "", "{}", Profile::Spec),
            ("", "", r#"{"agents":[]}"#, Profile::Spec),
        ] {
            assert_eq!(of(id, more, capabilities), Detected::Profile(expected), "{id} {more} {capabilities}");
        }
    }

    #[test]
    fn the_other_dialect_is_known_by_its_first_message() {
        let frame =
            format!(r#"{{"arcp":"1.1","id":"msg_{ULID}","type":"session.open","timestamp":"x","payload":{{}}}}"#);
        assert_eq!(detect(frame.as_bytes()), Detected::SessionOpen { id: format!("msg_{ULID}").parse().ok() });
    }

    #[test]
    fn what_is_no_hello_at_all_is_the_specs() {
        for frame in ["", "[]", "null", "{}", r#"{"id":7}"#, r#"{"payload":"x"}"#, "\u{0}", "{{{{"] {
            assert_eq!(detect(frame.as_bytes()), Detected::Profile(Profile::Spec), "{frame:?}");
        }
        assert_eq!(detect(&[0xff, 0xfe]), Detected::Profile(Profile::Spec));
    }
}
