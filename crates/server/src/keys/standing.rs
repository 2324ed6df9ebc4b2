//! How long what somebody has authenticated with is good, also while a connection lasts.

use std::fmt;
use std::sync::Arc;

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

/// Whom a client's certificate authenticates, and which certificate that is.
#[derive(Debug, Clone)]
pub struct Certified {
    /// Who.
    pub principal: Arc<Principal>,
    /// The SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: Arc<str>,
}

/// The longest name of a token's that is told, in characters: an identifier is a UUID or a hash, and what is longer is
/// told by its beginning.
const MAX_TOLD_CHARS: usize = 64;

/// What a token says its name is, as it can be told to a terminal: bounded, and printable whatever its issuer has written.
pub fn told(name: &str) -> String {
    let printable = |character: char| if character.is_ascii_graphic() { character } else { '?' };
    name.chars().take(MAX_TOLD_CHARS).map(printable).collect()
}

/// By what somebody has shown who it is, as the audit trail names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// This API key.
    ApiKey(KeyId),
    /// A token of the configured issuer. Whose it is follows from its claims.
    Jwt {
        /// The name of the key that has signed it, if it says one ([`told`]).
        kid: Option<String>,
        /// Its own name, if it says one ([`told`]).
        jti: Option<String>,
    },
    /// A client's certificate with this fingerprint, whose names stand for the principal.
    Certificate(Arc<str>),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(key) => write!(f, "API key {key}"),
            Self::Jwt { kid, jti } => {
                f.write_str("JWT")?;
                jti.iter().try_for_each(|jti| write!(f, " {jti}"))?;
                kid.iter().try_for_each(|kid| write!(f, " of key {kid}"))
            }
            Self::Certificate(fingerprint) => write!(f, "certificate sha256:{fingerprint}"),
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
