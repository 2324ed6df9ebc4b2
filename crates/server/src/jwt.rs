//! Bearer tokens that somebody else has issued: JSON Web Tokens (RFC 7519), signed (RFC 7515).
//!
//! - A token is trusted if a configured key has signed it with an algorithm that is allowed and is the key's, if issuer
//!   and audience are the configured ones, and if now is between `nbf` and `exp`. Nothing in a token but the name of a
//!   key is looked at before its signature is checked.
//! - Only asymmetric algorithms exist here. `none` and those with a shared secret cannot be named, neither by a token
//!   nor by the configuration, so a public key is never taken for a secret.
//! - A token does not outlive its `exp`: a connection that was opened with it is closed then.
//! - What is wrong with a token is told to the audit trail, in words of ours, and not to its bearer.
//!
//! Deliberately absent: encrypted tokens, keys that a token brings along (`jwk`, `jku`, `x5u`), critical header fields,
//! and asking the issuer whether a token was withdrawn. Have tokens issued for minutes.

mod claims;
mod fetch;
mod key_set;
mod source;
mod token;

use moorline_types::Timestamp;

use crate::config::JwtConfig;
use crate::keys::{Authenticated, Credential, Standing, told};
use source::Source;
use token::Token;

pub use key_set::KeySetError;
pub use source::JwtError;

/// What the names of principals begin with that tokens authenticate, unless configured otherwise. No API key is made for
/// such a principal, so that whoever may issue tokens and whoever may make keys do not meet.
pub const PRINCIPAL_PREFIX: &str = "jwt:";

/// The longest token that is looked at, in bytes. One with a hundred groups has some 4 KiB, and a frame before
/// authentication at most 16.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTrusted {
    TooLong,
    Malformed,
    Critical,
    Type,
    Algorithm,
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    NoExpiry,
    Expired,
    NotYet,
    Principal,
    NoScope,
    TooManyTags,
}

impl NotTrusted {
    /// For the audit trail; says nothing of what is in the token.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token is malformed",
            Self::Critical => "the token's header has critical fields",
            Self::Type => "the token is of another type",
            Self::Algorithm => "the token's algorithm is not allowed",
            Self::UnknownKey => "the token's key is not known",
            Self::Signature => "the token's signature is wrong",
            Self::Issuer => "the token has another issuer",
            Self::Audience => "the token is for another audience",
            Self::NoExpiry => "the token has no expiry",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not good yet",
            Self::Principal => "the token has no usable principal",
            Self::NoScope => "the token has no scope",
            Self::TooManyTags => "the token has too many tags",
        }
    }
}

/// Who is trusted to issue tokens, and with which keys at the moment.
#[derive(Debug)]
pub struct Jwt {
    config: JwtConfig,
    source: Source,
}

impl Jwt {
    /// Trusts the configured issuer. Keys of a file are read now; those of an address once [`Self::watch`] runs.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn load(config: JwtConfig) -> Result<Self, JwtError> {
        let source = Source::load(&config.keys)?;
        Ok(Self { config, source })
    }

    /// Whether a text has the form of such a token, and not of an API key.
    pub(crate) fn is_one(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Whom a token authenticates, and for how long. Waits for keys that are being fetched if its key is not known.
    pub(crate) async fn authenticate(&self, text: &str, now: Timestamp) -> Result<Authenticated, NotTrusted> {
        let token = Token::parse(text)?;
        if !self.config.algorithms.contains(&token.algorithm) {
            return Err(NotTrusted::Algorithm);
        }
        self.check_signature(&token).await?;
        let claims = token.claims()?;
        let (principal, until) = claims::read(&claims, &self.config, now)?;
        let jti = claims.get("jti").and_then(serde_json::Value::as_str).map(told);
        let credential = Credential::Jwt { kid: token.kid.as_deref().map(told), jti };
        Ok(Authenticated { principal, standing: Standing::until(Some(until)), credential })
    }

    async fn check_signature(&self, token: &Token<'_>) -> Result<(), NotTrusted> {
        // Before the keys are looked at: keys that come in between are not missed.
        let coming = self.source.coming();
        match self.source.keys().check(token) {
            Err(NotTrusted::UnknownKey) if self.source.fetched(coming).await => self.source.keys().check(token),
            checked => checked,
        }
    }

    /// Reads the keys anew, and answers whether they could be used; `None` if that is told later, by the log. If they
    /// could not, the ones of before stay.
    pub fn reload(&self) -> Option<bool> {
        self.source.reload()
    }

    /// Reads the keys anew whenever that is due, and tells whether a file that has changed could be used. Never returns.
    pub async fn watch(&self, told: impl Fn(bool)) {
        self.source.watch(told).await;
    }
}

#[cfg(test)]
mod tests;
