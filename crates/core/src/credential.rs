//! Credentials for upstreams that a job is given (spec 9.8): what is asked of an upstream, what becomes of it, and how it
//! is withdrawn.
//!
//! An upstream is outside of the journal, so two things that are to agree cannot be committed together. The rules that
//! keep it from having a credential that nobody withdraws:
//!
//! - Every *issue* has a name of its own, which the upstream is given with it and by which it can be withdrawn, whether
//!   or not its answer ever came ([`Custody::issue`]).
//! - What is to be asked is written down before it is asked: [`Stage::Intended`].
//! - It is [`Stage::Live`] from the commit that tells of it: the job's first record, or the one of a rotation. Whatever
//!   is intended and not told of is withdrawn.
//! - A document goes when the upstream has said that there is no such credential any more, and for no other reason.
//!   [`Revocations`] asks until it does.
//! - What a child is given is taken off its parent's credential before the child's works, and comes back when that is
//!   withdrawn: [`Caps`].
//!
//! A value is sealed before it is written down, and is nowhere once its credential is withdrawn. What a job's records
//! say of a credential is no secret.
//!
//! Deliberately absent: what an upstream is, and how it is asked.

use moorline_types::{COST_BUDGET, Capability, CredentialId, Json, Timestamp, Units};
use serde::{Deserialize, Serialize};

use crate::lease::budget::Budget;
use crate::lease::{Pattern, Terms};

mod caps;
mod custody;
mod revocations;

pub use caps::{Capped, Caps, Sharing, Standing, Wanted};
pub use custody::{Custody, Stage};
pub use revocations::{Answer, MAX_FAILING, Revocation, Revocations};

/// The only scheme that is issued (spec 9.8.1): the one that every client knows.
pub const BEARER: &str = "bearer";

/// A credential as a job's records tell of it: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// Its name within the job, which stays when its value is replaced.
    pub id: CredentialId,
    /// Under which name the upstream has it.
    pub issue: CredentialId,
    /// Where it is valid.
    pub endpoint: String,
    /// Which dialect the endpoint speaks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<String>,
    /// What the upstream keeps its bearer to, in the words of a lease (spec 9.8.3).
    pub constraints: Json,
    /// Until when it is good at the upstream.
    pub good_until: Timestamp,
}

/// What an upstream is asked to keep a credential's bearer to (spec 9.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    /// Models that may be used; never none.
    pub models: Vec<Pattern>,
    /// What may be spent; a currency that is not there is not bounded.
    pub budget: Budget,
    /// Until when.
    pub good_until: Timestamp,
}

/// Whether a lease names models, so that a credential would be good for something.
pub fn names_models(lease: &Json) -> bool {
    let named = |terms: Terms| terms.grants.patterns(&Capability::ModelUse).is_some_and(|models| !models.is_empty());
    Terms::read(lease).is_ok_and(named)
}

impl Constraints {
    /// Those of a job with this lease; `None` if it may use no model, so that there is nothing to be let in to. They end
    /// with the lease, or at `latest` if that is sooner.
    pub fn of(lease: &Json, expires_at: Option<Timestamp>, latest: Timestamp) -> Option<Self> {
        let Terms { grants, budget } = Terms::read(lease).ok()?;
        let models = grants.patterns(&Capability::ModelUse)?.to_vec();
        let good_until = expires_at.map_or(latest, |at| at.min(latest));
        (!models.is_empty()).then_some(Self { models, budget, good_until })
    }

    /// What may be spent in a currency; `None` if that is not bounded.
    pub fn budget_in(&self, currency: &str) -> Option<Units> {
        self.budget.iter().find(|(name, _)| *name == currency).map(|(_, amount)| amount)
    }

    /// The same in the words of a lease, as a client is shown them.
    pub fn to_json(&self) -> Json {
        let mut constraints = serde_json::Map::new();
        if !self.budget.is_empty() {
            constraints.insert(COST_BUDGET.to_owned(), self.budget.to_texts().into());
        }
        let models: Vec<_> = self.models.iter().map(Pattern::as_str).collect();
        constraints.insert(Capability::ModelUse.as_str().to_owned(), models.into());
        constraints.insert("expires_at".to_owned(), self.good_until.to_string().into());
        Json::of(&constraints).unwrap_or_else(|_| Json::null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn constraints(lease: &str, expires_at: Option<Timestamp>) -> Option<Constraints> {
        Constraints::of(&Json::parse(lease).unwrap(), expires_at, at(10_000))
    }

    #[test]
    fn only_a_lease_that_names_models_is_worth_a_credential() {
        for lease in ["{}", r#"{"cost.budget":["USD:5"]}"#, r#"{"model.use":[]}"#, r#"{"model.use":"all"}"#, "[]"] {
            assert_eq!(constraints(lease, None), None, "{lease}");
        }
        assert!(constraints(r#"{"model.use":["tier-fast/*"]}"#, None).is_some());
    }

    #[test]
    fn constraints_end_with_the_lease_and_not_later_than_any_credential() {
        let lease = r#"{"model.use":["a"]}"#;
        for (expires_at, good_until) in [(None, 10_000), (Some(9_000), 9_000), (Some(11_000), 10_000)] {
            assert_eq!(constraints(lease, expires_at.map(at)).unwrap().good_until, at(good_until));
        }
    }

    #[test]
    fn a_budget_is_the_sum_of_its_entries_and_absent_if_there_is_none() {
        let lease = r#"{"model.use":["a"],"cost.budget":["USD:1.50","EUR:9","USD:0.5"]}"#;
        let constraints = constraints(lease, None).unwrap();
        assert_eq!(constraints.budget_in("USD").unwrap().to_string(), "2");
        assert_eq!(constraints.budget_in("GBP"), None);
    }

    #[test]
    fn constraints_are_said_in_the_words_of_the_lease() {
        let lease = r#"{"model.use":["tier-fast/*"],"cost.budget":["USD:5.00"]}"#;
        let said: serde_json::Value = constraints(lease, Some(at(1_000))).unwrap().to_json().to().unwrap();
        let expected = serde_json::json!({
            "cost.budget": ["USD:5"], "model.use": ["tier-fast/*"], "expires_at": at(1_000).to_string(),
        });
        assert_eq!(said, expected);
    }
}
