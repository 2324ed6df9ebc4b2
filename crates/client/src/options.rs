//! How to connect.

use std::fmt;
use std::time::Duration;

use moorline_types::limits::DEFAULT_MAX_FRAME_BYTES;
use moorline_wire::vendor::OnGap;
use moorline_wire::{Feature, FeatureSet, Name, Secret};

use crate::reconnect::ReconnectPolicy;

/// How long connecting may take by default, up to the welcome. Over a bad satellite link it takes three seconds.
const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answer to a call may take by default. A runtime answers after one commit; what takes longer than this
/// is not coming.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A certificate that says who connects, where the runtime asks for one.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its issuer, in PEM.
    pub certificate_pem: Vec<u8>,
    /// Its private key, in PEM.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// How to connect, and as whom.
#[derive(Clone)]
pub struct ConnectOptions {
    /// `ws://host:port/path` or `wss://host:port/path`.
    pub url: String,
    /// The bearer token. An empty one is not sent: a certificate may say who this is.
    pub token: Secret,
    /// A certificate that says who this is, for TLS.
    pub certificate: Option<ClientCertificate>,
    /// What this client calls itself.
    pub client_name: Name,
    /// Its version.
    pub client_version: Name,
    /// The features to offer. The default is all. Without that of gaps, no gap is told by the runtime, and nothing may
    /// be asked for that makes one.
    pub features: FeatureSet,
    /// Certificates in PEM that are trusted as roots besides the public ones.
    pub extra_roots_pem: Vec<u8>,
    /// How long connecting may take, up to the welcome.
    pub handshake_timeout: Duration,
    /// How long the answer to a call may take.
    pub call_timeout: Duration,
    /// Whether to offer heartbeats. Without them a runtime that has vanished is noticed when TCP gives up.
    pub heartbeat: bool,
    /// The largest frame that is read, in bytes.
    pub max_frame_bytes: usize,
    /// What is done when the connection is lost.
    pub reconnect: ReconnectPolicy,
    /// What is asked for if the runtime does not keep all that the session has missed. By default the resume is then
    /// refused, and a new session watches the same jobs; going on means that each job is told what is missing.
    pub on_gap: OnGap,
    /// Whether a submission without an idempotency key gets one, so that it is carried out once even if the connection
    /// is lost before its answer.
    pub automatic_keys: bool,
}

impl ConnectOptions {
    /// Connects to `url` with `token`, and with defaults for the rest.
    pub fn new(url: impl Into<String>, token: Secret) -> Self {
        Self {
            url: url.into(),
            token,
            certificate: None,
            client_name: own(env!("CARGO_PKG_NAME")),
            client_version: own(env!("CARGO_PKG_VERSION")),
            features: FeatureSet::all(),
            extra_roots_pem: Vec::new(),
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            call_timeout: DEFAULT_CALL_TIMEOUT,
            heartbeat: true,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            reconnect: ReconnectPolicy::default(),
            on_gap: OnGap::Refuse,
            automatic_keys: true,
        }
    }

    /// The features that the hello names.
    pub(crate) fn offered(&self) -> FeatureSet {
        if self.heartbeat { self.features } else { self.features.without(Feature::Heartbeat) }
    }
}

fn own(text: &'static str) -> Name {
    Name::cut(text).expect("the package's name and version are not empty")
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("url", &self.url)
            .field("token", &self.token)
            .field("certificate", &self.certificate)
            .field("client_name", &self.client_name)
            .field("client_version", &self.client_version)
            .field("features", &self.features)
            .field("extra_roots_pem", &self.extra_roots_pem.len())
            .field("handshake_timeout", &self.handshake_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("max_frame_bytes", &self.max_frame_bytes)
            .field("reconnect", &self.reconnect)
            .field("on_gap", &self.on_gap)
            .field("automatic_keys", &self.automatic_keys)
            .finish()
    }
}
