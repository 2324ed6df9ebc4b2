//! `session.hello`: who the client is and what it can do (spec 6.1, 6.2).

use moorline_types::EventSeq;
use moorline_types::limits::MAX_FEATURES;
use serde::de::{Deserialize, Deserializer, Error};

use super::Resume;
use super::resume::seen;
use crate::{FeatureSet, Name, Secret, de};

/// Opens a session, or goes on with one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "HelloFields", into = "HelloFields")]
pub struct Hello {
    /// Which program this is.
    pub client: ClientInfo,
    /// Who is asking. Absent from a client that has nothing to show, which the runtime may refuse.
    pub auth: Option<Auth>,
    /// What the client can do; nothing beyond the core if it did not say.
    pub capabilities: ClientCapabilities,
    /// The session to go on with.
    pub resume: Option<Resume>,
}

/// Which program a client is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClientInfo {
    /// What it calls itself.
    pub name: Name,
    /// Its version. One official client may leave it out.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
}

/// How a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Auth {
    /// `bearer` is the only scheme of the spec.
    pub scheme: Name,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// What a client can do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClientCapabilities {
    /// Encodings of the envelope; `json` is the only one of the spec. Empty if the client did not say.
    #[serde(default, deserialize_with = "few_names")]
    pub encodings: Vec<Name>,
    /// Features that the client can use.
    #[serde(default, deserialize_with = "de::or_default")]
    pub features: FeatureSet,
}

impl Default for ClientCapabilities {
    fn default() -> Self {
        Self { encodings: Vec::new(), features: FeatureSet::NONE }
    }
}

fn few_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Name>, D::Error> {
    let names = Option::<Vec<Name>>::deserialize(deserializer)?.unwrap_or_default();
    if names.len() > MAX_FEATURES {
        return Err(D::Error::custom(format_args!("must have at most {MAX_FEATURES} entries")));
    }
    Ok(names)
}

/// The hello as it stands on the wire. A resume is written in both forms that runtimes read inside a hello.
#[derive(serde::Serialize, serde::Deserialize)]
struct HelloFields {
    #[serde(deserialize_with = "de::object")]
    client: ClientInfo,
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    capabilities: Option<ClientCapabilities>,
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    resume: Option<Resume>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resume_token: Option<Secret>,
    #[serde(default, deserialize_with = "maybe_seen", skip_serializing_if = "Option::is_none")]
    last_event_seq: Option<EventSeq>,
}

fn maybe_seen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EventSeq>, D::Error> {
    seen(deserializer).map(Some)
}

impl From<HelloFields> for Hello {
    fn from(fields: HelloFields) -> Self {
        let HelloFields { client, auth, capabilities, resume, resume_token, last_event_seq } = fields;
        let bare = resume_token.map(|resume_token| Resume {
            session_id: None,
            resume_token,
            last_event_seq: last_event_seq.unwrap_or_default(),
        });
        Self { client, auth, capabilities: capabilities.unwrap_or_default(), resume: resume.or(bare) }
    }
}

impl From<Hello> for HelloFields {
    fn from(hello: Hello) -> Self {
        let Hello { client, auth, capabilities, resume } = hello;
        Self {
            client,
            auth,
            capabilities: Some(capabilities),
            resume_token: resume.as_ref().map(|resume| resume.resume_token.clone()),
            last_event_seq: resume.as_ref().map(|resume| resume.last_event_seq),
            resume,
        }
    }
}
