//! How long what somebody has authenticated with is good, also while a connection lasts.

use std::fmt;

use moorline_core::Refusal;
use moorline_runtime::Clock;
use moorline_types::{KeyId, Principal, Timestamp};
use tokio::sync::watch;

/// Somebody who has authenticated.
#[derive(Debug)]
pub struct Authenticated {
    /// Who, and what may be done.
    pub principal: Principal,
    /// For how long.
    pub standing: Standing,
    /// By what.
    pub credential: Credential,
}

/// By what somebody has shown who it is, as the audit trail names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// This API key.
    ApiKey(KeyId),
    /// A token of the configured issuer. Whose it is follows from its claims.
    Jwt,
    /// A client's certificate, whose names stand for the principal.
    Certificate,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(key) => write!(f, "API key {key}"),
            Self::Jwt => f.write_str("JWT"),
            Self::Certificate => f.write_str("certificate"),
        }
    }
}

/// Until when a credential is good. May change while it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Until this moment, or for good.
    Until(Option<Timestamp>),
    /// It was withdrawn: this key.
    Revoked(KeyId),
}

/// See [`Validity`]. Clones are the same.
#[derive(Debug, Clone)]
pub struct Standing(watch::Receiver<Validity>);

impl Standing {
    /// Of a credential that only time ends.
    pub fn until(at: Option<Timestamp>) -> Self {
        Self(watch::channel(Validity::Until(at)).1)
    }

    pub(crate) const fn watched(validity: watch::Receiver<Validity>) -> Self {
        Self(validity)
    }

    /// Waits until the credential is over, and answers what its bearer is told then.
    pub async fn over(mut self, clock: Clock) -> Refusal {
        loop {
            let until = match *self.0.borrow_and_update() {
                Validity::Revoked(key) => return Refusal::KeyRevoked { key },
                Validity::Until(until) => until,
            };
            let changed = async {
                if self.0.changed().await.is_err() {
                    // Nobody can change it any more.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = clock.sleep_until(until) => {
                    return until.map_or(Refusal::Unauthenticated, |at| Refusal::CredentialExpired { at });
                }
            }
        }
    }
}
