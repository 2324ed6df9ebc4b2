//! An HTTP server that keeps virtual keys as LiteLLM documents its management API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use data_encoding::HEXLOWER;
use moorline_server::config::{CredentialsConfig, LiteLlmConfig, MasterKey, UpstreamConfig};
use serde_json::{Value as AnyJson, json};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// What opens the management API.
pub(crate) const MASTER: &str = "sk-master-5d1c";

/// What happens to requests of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nothing but this answer, which repeats the master key as some versions do.
    Status(u16),
    /// It is carried out, and the answer is a gateway's in between.
    AnswerLost,
    /// Nothing but an answer that is no JSON.
    Rubbish,
    /// No answer at all.
    Silent,
}

/// See the module's documentation. It ends with the value.
pub(crate) struct Kit {
    url: String,
    state: Shared,
    /// The file with the master key.
    master: NamedTempFile,
    _serving: tokio::task::JoinSet<()>,
}

type Shared = Arc<Mutex<Keys>>;

struct Keys {
    models: Vec<String>,
    /// By alias: what was asked for, and the value.
    keys: BTreeMap<String, (AnyJson, String)>,
    spent: BTreeMap<String, f64>,
    faults: BTreeMap<String, Fault>,
    unknown: u16,
    minted: usize,
    asked: Vec<String>,
}

impl Kit {
    pub(crate) async fn start(models: &[&str]) -> Self {
        let state: Shared = Arc::new(Mutex::new(Keys {
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            keys: BTreeMap::new(),
            spent: BTreeMap::new(),
            faults: BTreeMap::new(),
            unknown: 404,
            minted: 0,
            asked: Vec::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, master: NamedTempFile::new().unwrap(), _serving: serving }
    }

    /// The configuration of a gateway whose credentials are these keys, by this master key.
    pub(crate) fn config(&self, master: &str) -> CredentialsConfig {
        std::fs::write(self.master.path(), format!("{master}\n")).unwrap();
        let upstream = LiteLlmConfig {
            url: self.url.parse().unwrap(),
            authority: None,
            key: MasterKey::File(self.master.path().to_owned()),
            endpoint: None,
            profile: "openai".to_owned(),
        };
        let upstream = UpstreamConfig::LiteLlm(Box::new(upstream));
        CredentialsConfig { upstream, lifetime: Duration::from_secs(3_600) }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.state.lock().unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        self.keys().faults.insert(path.to_owned(), fault);
    }

    /// With which status the deletion of an unknown alias is refused.
    pub(crate) fn deletes_unknown_with(&self, status: u16) {
        self.keys().unknown = status;
    }

    /// What the key with this alias was asked for with.
    pub(crate) fn key(&self, alias: &str) -> Option<AnyJson> {
        self.keys().keys.get(alias).map(|(key, _)| key.clone())
    }

    /// Whether this value opens the models.
    pub(crate) fn opens(&self, value: &str) -> bool {
        self.keys().keys.values().any(|(_, key)| key == value)
    }

    /// What may be spent with this value.
    pub(crate) fn max_budget(&self, value: &str) -> Option<AnyJson> {
        self.keys().keys.values().find(|(_, key)| key == value).map(|(key, _)| key["max_budget"].clone())
    }

    /// The aliases of all keys.
    pub(crate) fn aliases(&self) -> Vec<String> {
        self.keys().keys.keys().cloned().collect()
    }

    pub(crate) fn spend(&self, value: &str, spent: f64) {
        self.keys().spent.insert(hash(value), spent);
    }

    /// Every address that was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.keys().asked.clone()
    }
}

fn hash(value: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(value.as_bytes()))
}

async fn answer(State(state): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let fault = {
        let mut keys = state.lock().unwrap();
        keys.asked.push(uri.to_string());
        keys.faults.get(&path).copied().unwrap_or(Fault::None)
    };
    match fault {
        Fault::None | Fault::AnswerLost => {}
        Fault::Status(status) => return error(status, &format!("Received API Key = {MASTER}")),
        Fault::Rubbish => return "<html>".into_response(),
        Fault::Silent => return std::future::pending().await,
    }
    if headers.get("authorization").is_none_or(|header| header != &format!("Bearer {MASTER}")) {
        return error(401, "Authentication Error");
    }
    let body: AnyJson = serde_json::from_slice(&body).unwrap_or_default();
    let query: BTreeMap<_, _> = uri.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')).collect();
    let answer = state.lock().unwrap().answer(&method, &path, &query, &body);
    if fault == Fault::AnswerLost { error(502, "bad gateway") } else { answer }
}

fn error(status: u16, message: &str) -> Response {
    let body = json!({ "error": { "message": message, "type": "error", "code": status.to_string() } });
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

impl Keys {
    fn answer(&mut self, method: &Method, path: &str, query: &BTreeMap<&str, &str>, body: &AnyJson) -> Response {
        let answer = match (method.as_str(), path) {
            ("GET", "/models") => {
                let models: Vec<_> = self.models.iter().map(|id| json!({ "id": id, "object": "model" })).collect();
                json!({ "data": models, "object": "list" })
            }
            ("POST", "/key/generate") => {
                let alias = body["key_alias"].as_str().unwrap().to_owned();
                if self.keys.contains_key(&alias) {
                    return error(400, "Key with this alias already exists");
                }
                self.minted += 1;
                let value = format!("sk-virt-{}", self.minted);
                self.keys.insert(alias.clone(), (body.clone(), value.clone()));
                json!({ "key": value, "key_alias": alias, "token": hash(&value), "expires": null })
            }
            ("POST", "/key/delete") => {
                let aliases = body["key_aliases"].as_array().unwrap();
                let gone: Vec<_> =
                    aliases.iter().filter_map(|alias| self.keys.remove(alias.as_str().unwrap())).collect();
                if gone.is_empty() {
                    return error(self.unknown, "No keys found");
                }
                json!({ "deleted_keys": gone.iter().map(|(_, value)| hash(value)).collect::<Vec<_>>() })
            }
            ("GET", "/key/list") => {
                let found: Vec<_> =
                    self.keys.get(query["key_alias"]).map(|(_, value)| hash(value)).into_iter().collect();
                json!({ "total_count": found.len(), "keys": found, "current_page": 1, "total_pages": 1 })
            }
            ("GET", "/key/info") => {
                let Some((key, _)) = self.keys.values().find(|(_, value)| query["key"] == hash(value)) else {
                    return error(404, "Key not found in database");
                };
                let spent = self.spent.get(query["key"]).copied().unwrap_or(0.0);
                json!({ "key": query["key"], "info": { "spend": spent, "metadata": key["metadata"] } })
            }
            ("POST", "/key/update") => {
                let is_named = |value: &str| body["key"] == value || body["key"] == hash(value);
                let Some((key, _)) = self.keys.values_mut().find(|(_, value)| is_named(value)) else {
                    return error(404, "Key not found in database");
                };
                let changes = body.as_object().unwrap().iter().filter(|(name, _)| *name != "key");
                changes.for_each(|(name, value)| key[name] = value.clone());
                json!({ "key": body["key"] })
            }
            _ => return error(404, "Not Found"),
        };
        answer.to_string().into_response()
    }
}
