//! `session.welcome`: the session, and what this runtime offers (spec 6.2).

use std::fmt;

use moorline_types::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::{FeatureSet, Secret, SessionRef, de};

/// The session is open.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Welcome {
    /// Which program the runtime is.
    #[serde(deserialize_with = "de::object")]
    pub runtime: RuntimeInfo,
    /// The session. Always written, because one official client looks here and not in the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionRef>,
    /// What to present to come back (spec 6.3); absent if the session cannot be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_token: Option<Secret>,
    /// For how many seconds after a lost connection the session can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_window_sec: Option<u64>,
    /// How often either side should be heard, in seconds; absent unless heartbeats were agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_sec: Option<u64>,
    /// What the runtime offers.
    #[serde(default, deserialize_with = "or_none_offered")]
    pub capabilities: RuntimeCapabilities,
    /// When the session was opened.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
}

/// Which program a runtime is.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct RuntimeInfo {
    /// What it calls itself.
    #[serde(default, deserialize_with = "de::or_default")]
    pub name: String,
    /// Its version; empty if it did not say.
    #[serde(default, deserialize_with = "de::or_default")]
    pub version: String,
}

/// What a runtime offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct RuntimeCapabilities {
    /// Encodings of the envelope.
    #[serde(default, deserialize_with = "de::or_default")]
    pub encodings: Vec<String>,
    /// Features that the runtime will use. What both sides named is agreed on, whatever else is here.
    #[serde(default, deserialize_with = "de::or_default")]
    pub features: FeatureSet,
    /// The agents, in the order in which people should see them.
    #[serde(default, deserialize_with = "de::or_default")]
    pub agents: Vec<AgentEntry>,
}

fn or_none_offered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RuntimeCapabilities, D::Error> {
    Ok(de::maybe_object(deserializer)?.unwrap_or_default())
}

/// One agent and its versions (spec 7.5).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AgentEntry {
    /// The agent.
    pub name: String,
    /// Its versions. Written even if empty; two official clients refuse the frame without it.
    pub versions: Vec<String>,
    /// The version that the bare name means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl<'de> Deserialize<'de> for AgentEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Rich {
            name: String,
            #[serde(default, deserialize_with = "de::or_default")]
            versions: Vec<String>,
            #[serde(default)]
            default: Option<String>,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = AgentEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an agent's name")
            }

            // One official runtime lists bare names to clients without `agent_versions`.
            fn visit_str<E: Error>(self, name: &str) -> Result<AgentEntry, E> {
                Ok(AgentEntry { name: name.to_owned(), versions: Vec::new(), default: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<AgentEntry, A::Error> {
                let Rich { name, versions, default } = Rich::deserialize(MapAccessDeserializer::new(fields))?;
                Ok(AgentEntry { name, versions, default })
            }
        }

        deserializer.deserialize_any(Either)
    }
}
