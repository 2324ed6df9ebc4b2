//! What issues and withdraws credentials: an upstream, as the gateway asks it.

use std::fmt;

use async_trait::async_trait;
use moorline_core::credential::{Answer, Capped, Constraints};
use moorline_core::lease::budget::Budget;
use moorline_types::{CredentialId, JobId, PrincipalId, Timestamp};

/// The value of a credential: what opens the upstream. Shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Box<str>);

impl Value {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(redacted)")
    }
}

/// What is asked of an upstream.
#[derive(Debug)]
pub struct Order<'a> {
    /// The name under which the upstream is to have it, never used before.
    pub issue: CredentialId,
    /// For which job.
    pub job: JobId,
    /// Whose that is.
    pub principal: &'a PrincipalId,
    /// What its bearer is to be kept to. What was spent with the value that it comes in the place of, and with those before
    /// that, counts against the budget.
    pub constraints: &'a Constraints,
    /// The value that it comes in the place of.
    pub replaces: Option<&'a Value>,
}

/// What an upstream is told of a credential that it has issued.
#[derive(Debug)]
pub struct Cap<'a> {
    /// The name under which the upstream has it.
    pub issue: CredentialId,
    /// What opens the upstream.
    pub value: &'a Value,
    /// What may be spent in all, with it and with those that it has replaced; a currency that is not there is not bounded.
    pub budget: &'a Budget,
}

/// What an upstream has issued.
#[derive(Debug)]
pub struct Issued {
    /// What opens it.
    pub value: Value,
    /// Where it is valid.
    pub endpoint: String,
    /// Which dialect the endpoint speaks.
    pub profile: Option<String>,
    /// What its bearer is kept to, in the words of a lease.
    pub constraints: moorline_types::Json,
    /// Until when it is good.
    pub good_until: Timestamp,
}

/// Why an upstream has issued nothing. Neither text has anything that the upstream said in its own words, which may be
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotIssued {
    /// It never will for these constraints, and has not.
    #[error("{0}")]
    Refused(String),
    /// It could not, or nobody knows whether it did.
    #[error("{0}")]
    Unavailable(String),
}

/// An upstream. Its requests have deadlines of their own, of less than a minute.
#[async_trait]
pub trait Provisioner: fmt::Debug + Send + Sync {
    /// Which upstream it is: another text is another upstream, which knows nothing of what this one has issued.
    fn upstream(&self) -> &str;

    /// Has a credential issued.
    ///
    /// # Errors
    /// See [`NotIssued`].
    async fn issue(&self, order: Order<'_>) -> Result<Issued, NotIssued>;

    /// Withdraws what was issued under this name, whether or not that was ever confirmed.
    async fn revoke(&self, issue: CredentialId) -> Answer;

    /// Has the bearer of a credential kept to another budget from now on.
    async fn cap(&self, cap: Cap<'_>) -> Capped;

    /// Asks whether it could be done.
    ///
    /// # Errors
    /// Why not.
    async fn check(&self) -> Result<(), String>;
}
