//! Credentials for upstreams that a job's agent may use (spec 9.8).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_types::Json;
use serde::{Deserialize, Serialize};

/// A credential of one job. Present it at its endpoint and nowhere else (spec 9.8.1); it is dead when the job is over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name within the job.
    pub id: String,
    /// How it is presented: `bearer`.
    pub scheme: String,
    /// What opens the endpoint. A secret: neither logged nor reported.
    pub value: String,
    /// Where it is valid.
    pub endpoint: String,
    /// Which API is spoken there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<String>,
    /// What the endpoint keeps its bearer to, in the words of a lease.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub constraints: Option<Json>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The credentials of one job at the moment. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<Mutex<Arc<[Credential]>>>);

impl Held {
    pub(crate) fn new(credentials: Vec<Credential>) -> Self {
        Self(Arc::new(Mutex::new(credentials.into())))
    }

    pub(crate) fn get(&self) -> Arc<[Credential]> {
        Arc::clone(&self.lock())
    }

    pub(crate) fn set(&self, credentials: Vec<Credential>) {
        *self.lock() = credentials.into();
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Credential]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_show_its_value() {
        let text = r#"{"id":"cred_1","scheme":"bearer","value":"sk-1","endpoint":"https://models.example.com/v1"}"#;
        let credential: Credential = serde_json::from_str(text).unwrap();
        assert_eq!(credential.value, "sk-1");
        assert!(!format!("{credential:?}").contains("sk-1"));
        assert_eq!(serde_json::to_string(&credential).unwrap(), text);
    }
}
