//! Finding a server's endpoint, and making sessions with it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_backend::OpenError;
use opcua::client::transport::TcpConnector;
use opcua::client::{Client, ClientBuilder, IdentityToken, Session, SessionEventLoop};
use opcua::crypto::{CertificateStore, SecurityPolicy};
use opcua::types::{ByteString, EndpointDescription, MessageSecurityMode, StatusCode, UserTokenType};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::link::Outage;
use crate::lock::lock;
use crate::settings::{Endpoint, Identity, Settings};
use crate::trust::Distrusted;
use crate::{own, quality, trust};

/// How long a server may take to say which endpoints it has.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long after a failed attempt the next one begins, at first and at most.
const RETRY_INITIAL: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long after the server was looked at again the next look is, whoever asks for it. Each is a connection of its own.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A server whose endpoint was found.
pub(crate) struct Server {
    settings: Settings,
    /// How it is talked to.
    pub(crate) endpoint: Endpoint,
    /// The endpoint as the server has described it, when that was last to be trusted.
    description: Mutex<EndpointDescription>,
    /// The last look at a server that could not be reached any more.
    last_look: AsyncMutex<Option<(Instant, Look)>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.endpoint.url).finish_non_exhaustive()
    }
}

/// A session that is yet to be driven.
pub(crate) struct Undriven {
    pub(crate) session: Arc<Session>,
    pub(crate) events: SessionEventLoop<TcpConnector>,
    /// The certificate that the server is to have.
    pub(crate) certificate: ByteString,
}

/// What a server is that a session cannot connect to.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// What it was: it is something else that is wrong.
    Same,
    /// Another one, which is trusted: sessions are to be made anew.
    Other,
    /// Not to be talked to. This says why, and what to do about it.
    Wrong(Arc<str>),
    /// Not to be seen.
    Unseen,
}

/// Why there is no endpoint to talk to.
#[derive(Debug, thiserror::Error)]
enum NoEndpoint {
    #[error("{url} does not answer")]
    Silent { url: String },
    #[error("{url}: {code}")]
    Refused { url: String, code: StatusCode },
    #[error("{url} has no endpoint with {wanted}; it has {found}")]
    Unfit { url: String, wanted: String, found: String },
    #[error(transparent)]
    Distrusted(#[from] Distrusted),
}

impl Server {
    /// Asks the server for its endpoints and takes the one that is secured as it is to be.
    pub(crate) async fn find(settings: Settings, endpoint: Endpoint) -> Result<Self, OpenError> {
        let unavailable = |reason: String| OpenError::Unavailable { reason };
        if endpoint.is_secured() {
            let settings = settings.clone();
            let ensured = tokio::task::spawn_blocking(move || own::ensure(&settings)).await;
            ensured.map_err(|error| unavailable(error.to_string()))?.map_err(|error| unavailable(error.to_string()))?;
        }
        let description = discover(&settings, &endpoint, &client(&settings, &endpoint, "discovery")?).await;
        let description = description.map_err(|error| match error {
            NoEndpoint::Distrusted(_) => unavailable(format!("{error}. Then open the session again")),
            NoEndpoint::Silent { .. } | NoEndpoint::Refused { .. } | NoEndpoint::Unfit { .. } => {
                unavailable(error.to_string())
            }
        })?;
        Ok(Self { settings, endpoint, description: Mutex::new(description), last_look: AsyncMutex::default() })
    }

    /// Looks whether the server is another one than the one with this certificate, to which a session cannot connect. It is
    /// not looked at more often than is of use, whoever asks.
    pub(crate) async fn look_again(&self, certificate: &ByteString) -> Look {
        if !self.endpoint.is_secured() {
            return Look::Same;
        }
        let mut last = self.last_look.lock().await;
        if self.description().server_certificate != *certificate {
            return Look::Other;
        }
        let now = Instant::now();
        if let Some((at, look)) = &*last
            && now < *at + LOOK_AGAIN_AFTER
        {
            return look.clone();
        }
        let look = self.look(certificate).await;
        // What is true of the one before is not of the other one.
        *last = (!matches!(look, Look::Other)).then(|| (now, look.clone()));
        look
    }

    async fn look(&self, certificate: &ByteString) -> Look {
        let found = match client(&self.settings, &self.endpoint, "discovery") {
            Ok(client) => discover(&self.settings, &self.endpoint, &client).await,
            Err(error) => return Look::Wrong(error.to_string().into()),
        };
        match found {
            Ok(description) if description.server_certificate == *certificate => Look::Same,
            Ok(description) => {
                tracing::warn!("the server has another certificate, which is trusted");
                *lock(&self.description) = description;
                Look::Other
            }
            Err(NoEndpoint::Silent { .. } | NoEndpoint::Refused { .. }) => Look::Unseen,
            Err(error @ NoEndpoint::Unfit { .. }) => Look::Wrong(error.to_string().into()),
            Err(error @ NoEndpoint::Distrusted(_)) => {
                Look::Wrong(format!("{error}. The session then goes on by itself").into())
            }
        }
    }

    fn description(&self) -> EndpointDescription {
        lock(&self.description).clone()
    }

    /// Whether a session may have this identity.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), OpenError> {
        let is_readable = matches!(identity, Identity::Password { .. }) && self.sends_passwords_in_the_clear();
        if is_readable && !self.endpoint.insecure_passwords {
            let remedy = "choose a security_policy, or allow it with insecure_passwords = true";
            let reason = format!("the endpoint would send the password unencrypted; {remedy}");
            return Err(OpenError::Unavailable { reason });
        }
        token(identity).map(drop)
    }

    /// A session of this name and identity, which connects when it is driven.
    pub(crate) fn session(&self, name: &str, identity: &Identity) -> Result<Undriven, OpenError> {
        self.check(identity)?;
        let mut client = client(&self.settings, &self.endpoint, name)?;
        let description = self.description();
        let certificate = description.server_certificate.clone();
        let (session, events) = client
            .connect_to_endpoint_directly(description, token(identity)?)
            .map_err(|error| OpenError::Unavailable { reason: error.status().to_string() })?;
        Ok(Undriven { session, events, certificate })
    }

    /// Why the server has not let us in, for people, with what they can do about it.
    pub(crate) fn refusal(&self, identity: &Identity, code: StatusCode) -> String {
        match code {
            StatusCode::BadIdentityTokenRejected
            | StatusCode::BadIdentityTokenInvalid
            | StatusCode::BadUserAccessDenied
            | StatusCode::BadUserSignatureInvalid => match identity {
                Identity::Anonymous => format!(
                    "the server lets nobody in without a name: {code}; say user with a password, or user_certificate"
                ),
                Identity::Password { user, .. } => {
                    format!("the server does not let {user} in: {code}; check user and what its password is read from")
                }
                Identity::Certificate { certificate, .. } => format!(
                    "the server does not let {} in: {code}; let the server trust it as a user's certificate",
                    certificate.display()
                ),
            },
            StatusCode::BadSecurityPolicyRejected => {
                format!("the endpoint takes no users of this kind ({identity:?}): {code}; choose one that it takes")
            }
            // The server's own certificate was found to be good before anything was asked of it.
            code if quality::is_of_certificate(code) => {
                let own = CertificateStore::new(&self.settings.pki_dir).own_certificate_path();
                format!("the server does not trust our certificate: {code}; let the server trust {}", own.display())
            }
            code if quality::is_of_connection(code) => Outage::from(code).to_string(),
            code => format!("the server opens no session: {code}"),
        }
    }

    /// Whether what the endpoint wants of a password is the password itself.
    fn sends_passwords_in_the_clear(&self) -> bool {
        let description = self.description();
        let policies = description.user_identity_tokens.iter().flatten();
        let mut policies = policies.filter(|policy| policy.token_type == UserTokenType::UserName);
        policies.next().is_some_and(|policy| {
            let own = policy.security_policy_uri.as_ref();
            let uri = if own.is_empty() { description.security_policy_uri.as_ref() } else { own };
            SecurityPolicy::from_uri(uri) == SecurityPolicy::None
        }) && description.security_mode != MessageSecurityMode::SignAndEncrypt
    }
}

/// Asks a server for its endpoints, and takes the one that is secured as it is to be if the server is to be trusted.
async fn discover(
    settings: &Settings,
    endpoint: &Endpoint,
    client: &Client,
) -> Result<EndpointDescription, NoEndpoint> {
    let url = || endpoint.url.clone();
    let policy = endpoint.policy().unwrap_or(SecurityPolicy::None);
    let asked = client.get_server_endpoints_from_url(endpoint.url.as_str());
    let endpoints = tokio::time::timeout(DISCOVERY_TIMEOUT, asked)
        .await
        .map_err(|_| NoEndpoint::Silent { url: url() })?
        .map_err(|error| NoEndpoint::Refused { url: url(), code: error.status() })?;
    let mode = MessageSecurityMode::from(endpoint.security_mode);
    let mut description =
        Client::find_matching_endpoint(&endpoints, &endpoint.url, policy, mode).ok_or_else(|| NoEndpoint::Unfit {
            url: url(),
            wanted: format!("{} and {mode:?}", endpoint.security_policy),
            found: shown(&endpoints),
        })?;
    trust::check(settings, endpoint, policy, &description)?;
    // Servers say an address as they know themselves; the operator has said the one that is reached.
    description.endpoint_url = endpoint.url.as_str().into();
    name_policies_of_users(&mut description);
    Ok(description)
}

/// How endpoints are secured, for people: what security_policy and security_mode may be.
fn shown(endpoints: &[EndpointDescription]) -> String {
    let secured = |endpoint: &EndpointDescription| {
        format!("{} and {:?}", SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref()), endpoint.security_mode)
    };
    let ways: BTreeSet<String> = endpoints.iter().map(secured).collect();
    if ways.is_empty() { "none".to_owned() } else { ways.into_iter().collect::<Vec<_>>().join(", ") }
}

/// Names the policy of users with certificates that the endpoint leaves to itself (OPC UA Part 4, 7.42): the library would
/// sign nothing for them.
fn name_policies_of_users(description: &mut EndpointDescription) {
    for policy in description.user_identity_tokens.iter_mut().flatten() {
        if policy.token_type == UserTokenType::Certificate && policy.security_policy_uri.is_empty() {
            policy.security_policy_uri = description.security_policy_uri.clone();
        }
    }
}

/// What proves an identity.
fn token(identity: &Identity) -> Result<IdentityToken, OpenError> {
    let unavailable = |reason: String| OpenError::Unavailable { reason };
    Ok(match identity {
        Identity::Anonymous => IdentityToken::Anonymous,
        Identity::Password { user, password } => IdentityToken::new_user_name(user.as_str(), password.as_str()),
        Identity::Certificate { certificate, key } => {
            let certified = CertificateStore::read_cert(certificate).map_err(|_| {
                let path = certificate.display();
                unavailable(format!("user_certificate {path} cannot be read; it is a .der or a .pem file"))
            })?;
            let path = key.display();
            let private = CertificateStore::read_pkey(key).map_err(|_| {
                unavailable(format!("user_key {path} cannot be read; it is an RSA key in PEM without a passphrase"))
            })?;
            if !own::belongs(&private, &certified) {
                let certificate = certificate.display();
                return Err(unavailable(format!("user_key {path} is not the key of user_certificate {certificate}")));
            }
            IdentityToken::new_x509(certified, private)
        }
    })
}

fn client(settings: &Settings, endpoint: &Endpoint, name: &str) -> Result<Client, OpenError> {
    ClientBuilder::new()
        .application_name(settings.application_name.as_str())
        .application_uri(settings.application_uri.as_str())
        .product_uri("urn:moorline")
        .session_name(name)
        .pki_dir(&settings.pki_dir)
        // What there is was made sure of before: see `own`.
        .create_sample_keypair(false)
        .trust_server_certs(endpoint.trust_unknown_certificates)
        .session_timeout(endpoint.session_timeout_ms)
        .session_retry_limit(-1)
        .session_retry_initial(RETRY_INITIAL)
        .session_retry_max(RETRY_MAX)
        .request_timeout(endpoint.request_timeout())
        .keep_alive_interval(Duration::from_millis(endpoint.heartbeat_ms))
        // Subscriptions are made, published and made again by us: see `link`.
        .recreate_subscriptions(false)
        .client()
        .map_err(|errors| OpenError::Unavailable { reason: errors.join("; ") })
}

#[cfg(test)]
mod tests {
    use opcua::types::UserTokenPolicy;

    use super::*;

    fn endpoint(policy: SecurityPolicy, users: &[(UserTokenType, &str)]) -> EndpointDescription {
        let users = users.iter().map(|(token_type, policy)| UserTokenPolicy {
            token_type: *token_type,
            security_policy_uri: (*policy).into(),
            ..UserTokenPolicy::default()
        });
        EndpointDescription {
            security_policy_uri: policy.to_uri().into(),
            user_identity_tokens: Some(users.collect()),
            ..EndpointDescription::default()
        }
    }

    #[test]
    fn a_user_with_a_certificate_signs_by_the_endpoints_policy_where_none_is_named() {
        let own = SecurityPolicy::Basic256Sha256.to_uri();
        let other = SecurityPolicy::Aes256Sha256RsaPss.to_uri();
        for (kind, named, then) in [
            (UserTokenType::Certificate, "", own),
            (UserTokenType::Certificate, other, other),
            (UserTokenType::UserName, "", ""),
        ] {
            let mut description = endpoint(SecurityPolicy::Basic256Sha256, &[(kind, named)]);
            name_policies_of_users(&mut description);
            let policies = description.user_identity_tokens.unwrap();
            assert_eq!(policies[0].security_policy_uri.as_ref(), then, "{kind:?} {named}");
        }
    }

    #[test]
    fn the_ways_of_a_server_are_shown_each_once() {
        let plain = endpoint(SecurityPolicy::None, &[]);
        let secured = endpoint(SecurityPolicy::Basic256Sha256, &[]);
        let ways = shown(&[secured.clone(), plain, secured]);
        assert_eq!((ways.matches("Basic256Sha256").count(), ways.matches("None").count()), (1, 1), "{ways}");
        assert_eq!(shown(&[]), "none");
    }
}
