//! Credentials for upstreams (spec 9.8.1).

use moorline_types::Json;

use crate::Secret;

/// A credential that was handed out for one job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Credential {
    /// Names it.
    pub id: String,
    /// `bearer` is the only scheme of the spec.
    pub scheme: String,
    /// What opens the upstream.
    pub value: Secret,
    /// Where it is valid.
    pub endpoint: String,
    /// Which dialect the endpoint speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What it is limited to, in the words of a lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Json>,
}
