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

/// The phase of the status that tells of another value (spec 9.8.2).
pub const CREDENTIAL_ROTATED: &str = "credential_rotated";

/// The body of the status that tells of another value. The spec names no fields; id and value stand wherever one of the
/// official clients looks for them.
pub fn rotated(id: &str, value: Option<&Secret>) -> Json {
    #[derive(serde::Serialize)]
    struct Details<'a> {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<&'a Secret>,
    }

    #[derive(serde::Serialize)]
    struct Rotated<'a> {
        phase: &'static str,
        message: &'static str,
        #[serde(flatten)]
        spec: Details<'a>,
        credential_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        credential_value: Option<&'a Secret>,
        details: Details<'a>,
    }

    let body = Rotated {
        phase: CREDENTIAL_ROTATED,
        message: "credential rotated",
        spec: Details { id, value },
        credential_id: id,
        credential_value: value,
        details: Details { id, value },
    };
    Json::of(&body).unwrap_or_else(|_| Json::null())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four clients look in four places; without the value none of them is there.
    #[test]
    fn a_rotation_says_id_and_value_wherever_a_client_looks_or_the_id_only() {
        let body = |value: Option<&Secret>| rotated("cred_1", value).to::<serde_json::Value>().unwrap();
        let value = Secret::from("sk-2");
        let expected = serde_json::json!({
            "phase": "credential_rotated", "message": "credential rotated", "id": "cred_1", "value": "sk-2",
            "credential_id": "cred_1", "credential_value": "sk-2", "details": { "id": "cred_1", "value": "sk-2" },
        });
        assert_eq!(body(Some(&value)), expected);
        let expected = serde_json::json!({
            "phase": "credential_rotated", "message": "credential rotated", "id": "cred_1",
            "credential_id": "cred_1", "details": { "id": "cred_1" },
        });
        assert_eq!(body(None), expected);
    }
}
