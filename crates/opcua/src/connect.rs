//! Finding a server's endpoint, and making sessions with it.

use std::sync::Arc;
use std::time::Duration;

use moorline_backend::OpenError;
use opcua::client::transport::TcpConnector;
use opcua::client::{Client, ClientBuilder, IdentityToken, Session, SessionEventLoop};
use opcua::crypto::SecurityPolicy;
use opcua::types::{EndpointDescription, MessageSecurityMode, StatusCode, UserTokenType};

use crate::settings::{Endpoint, Identity, SecurityMode, Settings};

/// How long a server may take to say which endpoints it has.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long after a failed attempt the next one begins, at first and at most.
const RETRY_INITIAL: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// A server whose endpoint was found.
pub(crate) struct Server {
    settings: Settings,
    /// How it is talked to.
    pub(crate) endpoint: Endpoint,
    description: EndpointDescription,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.endpoint.url).finish_non_exhaustive()
    }
}

/// A session that is yet to be driven.
pub(crate) type Undriven = (Arc<Session>, SessionEventLoop<TcpConnector>);

impl Server {
    /// Asks the server for its endpoints and takes the one that is secured as it is to be.
    pub(crate) async fn find(settings: Settings, endpoint: Endpoint) -> Result<Self, OpenError> {
        let unavailable = |reason: String| OpenError::Unavailable { reason };
        let policy = endpoint.policy().unwrap_or(SecurityPolicy::None);
        let client = client(&settings, &endpoint, "discovery")?;
        let asked = client.get_server_endpoints_from_url(endpoint.url.as_str());
        let endpoints = tokio::time::timeout(DISCOVERY_TIMEOUT, asked)
            .await
            .map_err(|_| unavailable(format!("{} does not answer", endpoint.url)))?
            .map_err(|error| unavailable(format!("{}: {}", endpoint.url, error.status())))?;
        let mode = MessageSecurityMode::from(endpoint.security_mode);
        let mut description =
            Client::find_matching_endpoint(&endpoints, &endpoint.url, policy, mode).ok_or_else(|| {
                unavailable(format!("{} has no endpoint with {} and {mode:?}", endpoint.url, endpoint.security_policy))
            })?;
        // Servers say an address as they know themselves; the operator has said the one that is reached.
        description.endpoint_url = endpoint.url.as_str().into();
        Ok(Self { settings, endpoint, description })
    }

    /// Whether a session may have this identity.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), OpenError> {
        let is_readable = matches!(identity, Identity::Password { .. }) && self.sends_passwords_in_the_clear();
        if is_readable && !self.endpoint.insecure_passwords {
            let remedy = "choose a security_policy, or allow it with insecure_passwords = true";
            let reason = format!("the endpoint would send the password unencrypted; {remedy}");
            return Err(OpenError::Unavailable { reason });
        }
        Ok(())
    }

    /// A session of this name and identity, which connects when it is driven.
    pub(crate) fn session(&self, name: &str, identity: &Identity) -> Result<Undriven, OpenError> {
        let unavailable = |reason: String| OpenError::Unavailable { reason };
        self.check(identity)?;
        let token = match identity {
            Identity::Anonymous => IdentityToken::Anonymous,
            Identity::Password { user, password } => IdentityToken::new_user_name(user.as_str(), password.as_str()),
            Identity::Certificate { certificate, key } => IdentityToken::new_x509_path(certificate, key)
                .map_err(|_| unavailable(format!("the certificate {} cannot be used", certificate.display())))?,
        };
        let mut client = client(&self.settings, &self.endpoint, name)?;
        client
            .connect_to_endpoint_directly(self.description.clone(), token)
            .map_err(|error| unavailable(error.status().to_string()))
    }

    /// Whether what the endpoint wants of a password is the password itself.
    fn sends_passwords_in_the_clear(&self) -> bool {
        let policies = self.description.user_identity_tokens.iter().flatten();
        let mut policies = policies.filter(|policy| policy.token_type == UserTokenType::UserName);
        policies.next().is_some_and(|policy| {
            let own = policy.security_policy_uri.as_ref();
            let uri = if own.is_empty() { self.description.security_policy_uri.as_ref() } else { own };
            SecurityPolicy::from_uri(uri) == SecurityPolicy::None
        }) && self.description.security_mode != MessageSecurityMode::SignAndEncrypt
    }
}

fn client(settings: &Settings, endpoint: &Endpoint, name: &str) -> Result<Client, OpenError> {
    ClientBuilder::new()
        .application_name(settings.application_name.as_str())
        .application_uri(settings.application_uri.as_str())
        .product_uri("urn:moorline")
        .session_name(name)
        .pki_dir(&settings.pki_dir)
        .create_sample_keypair(endpoint.security_mode != SecurityMode::None)
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

/// Why a session is not there, for people.
pub(crate) fn no_connection(code: StatusCode) -> String {
    format!("there is no connection to the server: {code}")
}
