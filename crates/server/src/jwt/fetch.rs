//! Asks an issuer for its keys.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::ACCEPT;
use hyper::{Request, StatusCode};

use super::KeySetError;
use crate::outbound::{Outbound, OutboundError, OutboundUrl, Patience};
use crate::tls::TlsError;

/// What is waited for. A client whose token names a key that is not known waits as well, and has itself a deadline of some
/// ten seconds; ten keys with their certificates are a tenth of the answer's bound.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(5), max_bytes: 256 * 1024 };

/// Why an issuer's keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer {0}")]
    Keys(#[from] KeySetError),
}

/// Asks one address.
#[derive(Debug)]
pub(super) struct Fetcher(Outbound);

impl Fetcher {
    /// Trusts the authorities of this file, or those that browsers do.
    pub(super) fn new(url: OutboundUrl, authority: Option<&Path>) -> Result<Self, TlsError> {
        Outbound::new(url, authority, PATIENCE).map(Self)
    }

    /// Where the keys are published.
    pub(super) const fn url(&self) -> &OutboundUrl {
        &self.0.url
    }

    /// What the issuer answers.
    pub(super) async fn fetch(&self) -> Result<Bytes, FetchError> {
        let request = Request::get(self.url().path()).header(ACCEPT, "application/jwk-set+json, application/json");
        match self.0.ask(request, Bytes::new()).await? {
            (StatusCode::OK, keys) => Ok(keys),
            (status, _) => Err(FetchError::Status(status)),
        }
    }
}
