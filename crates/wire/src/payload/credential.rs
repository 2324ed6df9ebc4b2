//! Credentials for upstreams (spec 9.8.1).

use std::borrow::Cow;

use moorline_types::{EventKind, Json};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{Secret, de};

/// The only scheme of the spec, and the only one that is known here.
pub const BEARER: &str = "bearer";

/// A credential that was handed out for one job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Credential {
    /// Names it.
    pub id: String,
    /// How it is shown: [`BEARER`].
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

/// Reads credentials. Those of a scheme that is not known are passed over, whatever they are made of.
pub(super) fn of_known_schemes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Credential>>, D::Error> {
    #[derive(Deserialize)]
    struct Unread(#[serde(deserialize_with = "de::json_object")] Json);

    #[derive(Deserialize)]
    struct Shown {
        scheme: String,
    }

    let Some(all) = Option::<Vec<Unread>>::deserialize(deserializer)? else { return Ok(None) };
    let mut known = Vec::new();
    for Unread(credential) in all {
        if credential.to::<Shown>().map_err(D::Error::custom)?.scheme == BEARER {
            known.push(credential.to().map_err(D::Error::custom)?);
        }
    }
    Ok(Some(known))
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

/// The body of an event of this kind as it can be shown and kept: without the value of a credential, should it tell of
/// another one. That body is then another than was given.
pub fn shown<'a>(kind: &str, body: &'a Json) -> Cow<'a, Json> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        phase: Option<Cow<'a, str>>,
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
        #[serde(borrow)]
        credential_id: Option<Cow<'a, str>>,
    }

    if kind != EventKind::Status.as_str() {
        return Cow::Borrowed(body);
    }
    match serde_json::from_str::<Named<'_>>(body.get()) {
        Ok(Named { phase: Some(phase), id, credential_id }) if phase == CREDENTIAL_ROTATED => {
            Cow::Owned(rotated(&id.or(credential_id).unwrap_or_default(), None))
        }
        Ok(_) => Cow::Borrowed(body),
        // What is no status of the usual shape may be anything.
        Err(_) if body.get().contains(CREDENTIAL_ROTATED) => Cow::Owned(rotated("", None)),
        Err(_) => Cow::Borrowed(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_another_value_is_shown_without_it_whoever_has_written_it() {
        let from_us = rotated("cred_1", Some(&Secret::from("sk-2")));
        for (body, expected) in [
            (from_us.get(), r#""id":"cred_1""#),
            (
                r#"{"phase":"credential_rotated","credential_id":"cred_1","credential_value":"sk-2"}"#,
                r#""id":"cred_1""#,
            ),
            (r#"{"phase":"credential_rotated","details":{"value":"sk-2"}}"#, r#""id":"""#),
            (r#"{"phase":"credential_rotated","id":7,"value":"sk-2"}"#, r#""id":"""#),
        ] {
            let body = Json::parse(body).unwrap();
            let shown = shown("status", &body);
            assert!(!shown.get().contains("sk-2") && shown.get().contains(expected), "{}", shown.get());
        }
        for (kind, body) in [("status", r#"{"phase":"running"}"#), ("status", "7"), ("log", from_us.get())] {
            let body = Json::parse(body).unwrap();
            assert!(matches!(shown(kind, &body), Cow::Borrowed(_)), "{kind} {}", body.get());
        }
    }

    #[test]
    fn a_credential_of_an_unknown_scheme_is_passed_over_and_one_of_a_known_scheme_has_to_be_whole() {
        #[derive(Debug, Deserialize)]
        struct Holder {
            #[serde(default, deserialize_with = "of_known_schemes")]
            credentials: Option<Vec<Credential>>,
        }

        let read = |credentials: &str| {
            let holder = serde_json::from_str::<Holder>(&format!(r#"{{"credentials":{credentials}}}"#));
            let all = holder.map_err(|error| error.to_string())?.credentials;
            Ok::<_, String>(all.map(|all| all.into_iter().map(|credential| credential.id).collect::<Vec<_>>()))
        };
        let bearer = r#"{"id":"cred_1","scheme":"bearer","value":"sk-1","endpoint":"https://models.example.com"}"#;
        let others = r#"{"scheme":"signed_url","url":["not a value"]},{"id":7,"scheme":"basic"}"#;
        assert_eq!(read("null"), Ok(None));
        assert_eq!(read("[]"), Ok(Some(Vec::new())));
        assert_eq!(read(&format!("[{others}]")), Ok(Some(Vec::new())));
        assert_eq!(read(&format!("[{others},{bearer}]")), Ok(Some(vec!["cred_1".to_owned()])));
        for (flawed, why) in [
            (r#"[{"scheme":"bearer"}]"#, "missing field `id`"),
            (r#"[{"id":"cred_1"}]"#, "missing field `scheme`"),
            (r#"[["bearer"]]"#, "object"),
            ("[null]", "missing field `scheme`"),
        ] {
            let error = read(flawed).expect_err(flawed);
            assert!(error.contains(why), "{flawed}: {error}");
        }
    }

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
