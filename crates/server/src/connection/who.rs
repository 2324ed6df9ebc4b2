//! Who somebody is, by a token, a certificate, or both: the same at every door.

use std::sync::Arc;

use moorline_core::Refusal;
use moorline_types::{KeyId, Principal};

use super::Service;
use super::service::Nobody;
use crate::keys::{Authenticated, Certified, Credential, Standing};

/// Why somebody is nobody.
#[derive(Debug)]
pub(crate) struct NotKnown {
    pub(crate) refusal: Refusal,
    /// What the audit trail says, and the client is not told.
    pub(crate) reason: &'static str,
    /// The API key that was presented and lets nobody in any more.
    pub(crate) over: Option<KeyId>,
}

/// Whom token and certificate authenticate, and by what.
///
/// A token says more than a certificate, namely what its bearer may do, but not another name: who has stolen one of the
/// two does not become the other's principal.
pub(crate) async fn who(
    service: &Service,
    token: Option<&str>,
    certified: Option<&Certified>,
) -> Result<(Authenticated, String), NotKnown> {
    let nobody = |reason| NotKnown { refusal: Refusal::Unauthenticated, reason, over: None };
    let Some(token) = token else {
        let Certified { principal, fingerprint } = certified.ok_or_else(|| nobody("no token"))?;
        let (standing, credential) = (Standing::until(None), Credential::Certificate(Arc::clone(fingerprint)));
        let shown = credential.to_string();
        return Ok((Authenticated { principal: Principal::clone(principal), standing, credential }, shown));
    };
    let authenticated = service.authenticate(token).await.map_err(|nobody_is| match nobody_is {
        Nobody::ApiKey(not) => NotKnown { reason: not.reason(), over: not.key(), refusal: not.into() },
        Nobody::Jwt(not) => nobody(not.reason()),
    })?;
    match certified {
        Some(certified) if certified.principal.id != authenticated.principal.id => {
            Err(nobody("the token is not that of the certificate's principal"))
        }
        certified => {
            let also = certified.map(|certified| Credential::Certificate(Arc::clone(&certified.fingerprint)));
            let also = also.map(|also| format!(" and {also}")).unwrap_or_default();
            let credential = format!("{}{also}", authenticated.credential);
            Ok((authenticated, credential))
        }
    }
}
