//! Virtual keys of a gateway for language models that speaks LiteLLM's management API.
//!
//! | what | how |
//! | --- | --- |
//! | issue | `GET /models`, then `POST /key/generate` with an alias, models, budget and duration |
//! | replace | `GET /key/info` for what was spent, then as above with the rest; `POST /key/update` has the prior key end soon |
//! | cap | `GET /key/info` for what was spent before the key, `POST /key/update` with the budget |
//! | withdraw | `POST /key/delete` by the alias; `GET /key/list` shows whether one that was not deleted is there |
//! | look | `GET /models` |
//!
//! - A key is known by its alias, the name of its issue. So it is withdrawn whether or not the answer that had its value
//!   ever came.
//! - Patterns of a lease are replaced by the models that there are: the upstream's own wildcards also match what is
//!   further down. A wildcard of the upstream's is passed on if the lease allows everything that it may mean.
//! - `max_budget` is a total over a key's life. What was spent with the keys that a key has replaced is taken off it, and
//!   kept in the key's metadata for the next time.
//! - The upstream counts dollars. A lease whose budget has none is refused rather than not bounded.
//! - The master key is in no log and no error. Neither is what the upstream says when it refuses, which may repeat it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use moorline_core::credential::{Answer, Capped, Constraints};
use moorline_core::lease::{Effort, Pattern, Target};
use moorline_runtime::Clock;
use moorline_runtime::credentials::{Cap, Issued, NotIssued, Order, Provisioner, Value};
use moorline_types::{Capability, CredentialId, Units};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::config::LiteLlmConfig;
use crate::outbound::{Outbound, OutboundUrl, Patience};
use crate::tls::TlsError;

/// What is waited for. A key is made in milliseconds; a thousand models are a quarter of the answer's bound.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(10), max_bytes: 1024 * 1024 };

/// The currency that the upstream counts in.
const CURRENCY: &str = "USD";

/// Where a key's metadata says what was spent with those that it has replaced.
const SPENT_BEFORE: &str = "moorline_spent_before";

/// How long a key is good that was replaced, should it not be possible to delete it.
const PRIOR_ENDS_IN: &str = "120s";

/// The longest master key, in bytes.
const MAX_KEY_BYTES: usize = 4096;

/// The upstream's master key, as a header has it.
#[derive(Clone)]
pub(super) struct Key(HeaderValue);

impl Key {
    /// `None` if the text is no key.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_key =
            !text.is_empty() && text.len() <= MAX_KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok().filter(|_| is_key)?;
        header.set_sensitive(true);
        Some(Self(header))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct LiteLlm {
    outbound: Outbound,
    base: String,
    key: Key,
    endpoint: String,
    profile: String,
    upstream: String,
    clock: Clock,
}

/// Why the upstream has not done what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    NoAnswer(String),
    #[error("it does not take the gateway's master key (HTTP {})", .0.as_u16())]
    Key(StatusCode),
    #[error("it refused with HTTP {}", .0.as_u16())]
    Refused(StatusCode),
    #[error("it answered with HTTP {}", .0.as_u16())]
    Status(StatusCode),
    #[error("its answer to {0} is none that is known")]
    Unreadable(&'static str),
}

#[derive(Serialize)]
struct Generate<'a> {
    key_alias: String,
    models: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_budget: Option<Box<RawValue>>,
    duration: String,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    moorline_job: String,
    moorline_principal: &'a str,
    /// [`SPENT_BEFORE`].
    #[serde(skip_serializing_if = "Option::is_none")]
    moorline_spent_before: Option<String>,
}

#[derive(Serialize)]
struct Update<'a> {
    key: &'a str,
    max_budget: Box<RawValue>,
}

#[derive(Deserialize)]
struct Generated {
    key: String,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

#[derive(Deserialize)]
struct Info {
    info: Spent,
}

#[derive(Deserialize)]
struct Spent {
    #[serde(default)]
    spend: Option<Box<RawValue>>,
    #[serde(default)]
    metadata: serde_json::Value,
}

#[derive(Deserialize)]
struct Deleted {
    #[serde(default)]
    deleted_keys: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Listed {
    keys: Vec<serde::de::IgnoredAny>,
}

impl LiteLlm {
    pub(super) fn new(config: &LiteLlmConfig, key: Key, clock: Clock) -> Result<Self, TlsError> {
        let LiteLlmConfig { url, authority, endpoint, profile, .. } = config;
        let endpoint = endpoint.as_ref().map_or_else(|| format!("{}/v1", url.base()), OutboundUrl::base);
        let outbound = Outbound::new(url.clone(), authority.as_deref(), PATIENCE)?;
        let (base, upstream) = (url.path().trim_end_matches('/').to_owned(), format!("litellm {url}"));
        Ok(Self { outbound, base, key, endpoint, profile: profile.clone(), upstream, clock })
    }

    async fn get<T: DeserializeOwned>(&self, what: &'static str, query: &str) -> Result<T, Failure> {
        let (status, answer) = self.ask(Method::GET, &format!("{what}{query}"), Bytes::new()).await?;
        read(what, status, &answer)
    }

    async fn post<T: DeserializeOwned>(&self, what: &'static str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|_| Failure::Unreadable(what))?;
        let (status, answer) = self.ask(Method::POST, what, body.into()).await?;
        read(what, status, &answer)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.key.0.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json");
        self.outbound.ask(request, body).await.map_err(|error| Failure::NoAnswer(error.to_string()))
    }

    async fn generate(&self, order: &Order<'_>) -> Result<Issued, NotIssued> {
        let Order { issue, job, principal, constraints, replaces } = *order;
        let budget = budget(constraints)?;
        let there_are: Models = self.get("/models", "").await?;
        let models = allowed(constraints, &there_are);
        if models.is_empty() {
            let reason = "the upstream has no model that model.use of the lease allows; name one that it has";
            return Err(NotIssued::Refused(reason.to_owned()));
        }
        let spent = match replaces {
            None => None,
            Some(prior) => Some(self.info(prior).await?.in_all()?),
        };
        let request = Generate {
            key_alias: issue.to_string(),
            models,
            max_budget: budget.map(|budget| max_budget(budget, spent.unwrap_or(Units::ZERO))).transpose()?,
            duration: format!("{}s", constraints.good_until.since(self.clock.now()).get() / 1_000),
            metadata: Metadata {
                moorline_job: job.to_string(),
                moorline_principal: principal.as_str(),
                moorline_spent_before: spent.map(|spent| spent.to_string()),
            },
        };
        let Generated { key } = self.post("/key/generate", &request).await?;
        if let Some(prior) = replaces {
            self.end_soon(prior).await;
        }
        Ok(Issued {
            value: Value::new(key),
            endpoint: self.endpoint.clone(),
            profile: Some(self.profile.clone()),
            constraints: constraints.to_json(),
            good_until: constraints.good_until,
        })
    }

    /// What is known of a key. It is named by its hash, so that its value is in no address.
    async fn info(&self, key: &Value) -> Result<Spent, Failure> {
        let Info { info } = self.get("/key/info", &format!("?key={}", hash(key))).await?;
        Ok(info)
    }

    async fn update(&self, Cap { value, budget, .. }: Cap<'_>) -> Result<(), Failure> {
        let Some(budget) = budget.get(CURRENCY) else { return Ok(()) };
        let before = self.info(value).await?.before()?;
        // By its value: of a key that is named by its hash some versions go on for a minute with what they have cached.
        let update = Update { key: value.expose(), max_budget: max_budget(budget, before)? };
        self.post::<serde::de::IgnoredAny>("/key/update", &update).await.map(drop)
    }

    async fn end_soon(&self, key: &Value) {
        let update = serde_json::json!({ "key": hash(key), "duration": PRIOR_ENDS_IN });
        if let Err(error) = self.post::<serde::de::IgnoredAny>("/key/update", &update).await {
            tracing::debug!(%error, "a key that was replaced is good until it is deleted");
        }
    }

    async fn delete(&self, issue: CredentialId) -> Result<Answer, Failure> {
        let alias = issue.to_string();
        match self.post::<Deleted>("/key/delete", &serde_json::json!({ "key_aliases": [alias] })).await {
            Ok(Deleted { deleted_keys }) if !deleted_keys.is_empty() => return Ok(Answer::Revoked),
            // Versions differ in how they say that there is no such key.
            Ok(_) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
        let Listed { keys } = self.get("/key/list", &format!("?key_alias={alias}")).await?;
        Ok(if keys.is_empty() {
            Answer::Absent
        } else {
            Answer::Failed("it lists the key and does not delete it".into())
        })
    }
}

impl Spent {
    /// What was spent with the keys that this one has replaced.
    fn before(&self) -> Result<Units, Failure> {
        match self.metadata.get(SPENT_BEFORE) {
            None => Ok(Units::ZERO),
            Some(spent) => {
                spent.as_str().and_then(|spent| Units::from_json_number(spent).ok()).ok_or(Self::unreadable())
            }
        }
    }

    /// What was spent with this one too.
    fn in_all(&self) -> Result<Units, Failure> {
        let before = self.before()?;
        let Some(spend) = self.spend.as_ref().filter(|spend| spend.get() != "null") else { return Ok(before) };
        // Sums of floats have more digits than are counted: what is beyond is a fraction of nothing.
        let spend: f64 = serde_json::from_str(spend.get()).map_err(|_| Self::unreadable())?;
        let spend = Units::from_json_number(&format!("{spend:.12}")).map_err(|_| Self::unreadable())?;
        Ok(before.plus(spend))
    }

    const fn unreadable() -> Failure {
        Failure::Unreadable("/key/info")
    }
}

/// What a key may spend of a budget of which so much was spent before it; a negative amount is none to the upstream.
fn max_budget(budget: Units, before: Units) -> Result<Box<RawValue>, Failure> {
    let rest = budget.minus(before).max(Units::ZERO);
    RawValue::from_string(rest.to_string()).map_err(|_| Failure::Unreadable("the budget"))
}

/// The upstream's bound on what is spent; `None` if the lease has none.
fn budget(constraints: &Constraints) -> Result<Option<Units>, NotIssued> {
    match constraints.budget_in(CURRENCY) {
        None if !constraints.budget.is_empty() => {
            let reason = format!("the upstream counts {CURRENCY} only; give cost.budget an amount of it");
            Err(NotIssued::Refused(reason))
        }
        budget => Ok(budget),
    }
}

/// The models that the lease allows, of those that there are.
fn allowed<'a>(constraints: &Constraints, models: &'a Models) -> Vec<&'a str> {
    let mut effort = Effort::default();
    let mut is_allowed = |model: &str| match everything_of(model) {
        Some(everything) => constraints.models.iter().any(|pattern| pattern.includes(&everything, &mut effort)),
        None => Target::new(&Capability::ModelUse, model)
            .is_ok_and(|target| constraints.models.iter().any(|pattern| pattern.matches(&target))),
    };
    models.data.iter().map(|model| model.id.as_str()).filter(|model| is_allowed(model)).collect()
}

/// What a wildcard of the upstream's may mean, as a pattern. `None` for a model's name.
fn everything_of(model: &str) -> Option<Pattern> {
    let above = model.strip_suffix('*')?;
    Pattern::new(&Capability::ModelUse, &format!("{above}**")).ok()
}

fn hash(key: &Value) -> String {
    HEXLOWER.encode(&Sha256::digest(key.expose().as_bytes()))
}

fn read<T: DeserializeOwned>(what: &'static str, status: StatusCode, answer: &[u8]) -> Result<T, Failure> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Key(status)),
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(Failure::Refused(status))
        }
        status if !status.is_success() => Err(Failure::Status(status)),
        _ => serde_json::from_slice(answer).map_err(|_| Failure::Unreadable(what)),
    }
}

impl From<Failure> for NotIssued {
    fn from(failure: Failure) -> Self {
        let text = failure.to_string();
        match failure {
            Failure::Refused(_) => Self::Refused(text),
            Failure::NoAnswer(_) | Failure::Key(_) | Failure::Status(_) | Failure::Unreadable(_) => {
                Self::Unavailable(text)
            }
        }
    }
}

#[async_trait]
impl Provisioner for LiteLlm {
    fn upstream(&self) -> &str {
        &self.upstream
    }

    async fn issue(&self, order: Order<'_>) -> Result<Issued, NotIssued> {
        self.generate(&order).await
    }

    async fn revoke(&self, issue: CredentialId) -> Answer {
        self.delete(issue).await.unwrap_or_else(|failure| Answer::Failed(failure.to_string()))
    }

    async fn cap(&self, cap: Cap<'_>) -> Capped {
        match self.update(cap).await {
            Ok(()) => Capped::Done,
            // A key that is not there opens nothing.
            Err(Failure::Refused(StatusCode::NOT_FOUND)) => Capped::Done,
            Err(failure) => Capped::Failed(failure.to_string()),
        }
    }

    async fn check(&self) -> Result<(), String> {
        self.get::<Models>("/models", "").await.map(drop).map_err(|failure| failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_master_key_is_not_taken_for_one() {
        for text in ["", "sk 1", "sk\n1", &"x".repeat(MAX_KEY_BYTES + 1)] {
            assert!(Key::new(text).is_none(), "{text:?}");
        }
        assert_eq!(format!("{:?}", Key::new("sk-master-5d1c").unwrap()), "Key(redacted)");
    }
}
