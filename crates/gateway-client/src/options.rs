//! How to connect, and as whom.

use std::fmt;
use std::time::Duration;

/// How long connecting may take. Over a bad satellite link it takes three seconds.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call that is no command may take, outages included: opening a session waits for its worker, which has half
/// of this.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// For how long a stream seeks a connection: a session outlives its gateway by five minutes, and a gateway takes some
/// time to come back.
const DEFAULT_RECONNECT: Duration = Duration::from_secs(600);

/// The largest message that is read: as much as the gateway sends.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 << 20;

/// What is done when the connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectPolicy {
    /// Every call and every stream ends with the connection.
    Never,
    /// Streams seek another one for this long, and calls for as long as they have anyway.
    For(Duration),
    /// Streams seek another one without an end.
    Always,
}

impl ReconnectPolicy {
    /// How long is sought in all; `None` without an end.
    pub(crate) const fn patience(self) -> Option<Duration> {
        match self {
            Self::Never => Some(Duration::ZERO),
            Self::For(length) => Some(length),
            Self::Always => None,
        }
    }
}

/// A certificate that says who calls, where the gateway asks for one.
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
pub struct Options {
    /// `http://host:port`, or `https://host:port` for TLS.
    pub url: String,
    /// An API key of the gateway, or a token that it accepts. May be empty if there is a certificate.
    pub key: String,
    /// A certificate that says who calls, for TLS.
    pub certificate: Option<ClientCertificate>,
    /// Certificates in PEM that are trusted as roots besides the public ones.
    pub extra_roots_pem: Vec<u8>,
    /// The name in the gateway's certificate, if it is not that of the URL.
    pub tls_server_name: Option<String>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call that is no command may take, outages included. A command has as long as the session gives it.
    pub call_timeout: Duration,
    /// What is done when the connection is lost.
    pub reconnect: ReconnectPolicy,
    /// The largest message that is read, in bytes.
    pub max_message_bytes: usize,
}

impl Options {
    /// Connects to `url` with `key`, and with defaults for the rest.
    pub fn new(url: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: key.into(),
            certificate: None,
            extra_roots_pem: Vec::new(),
            tls_server_name: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            call_timeout: DEFAULT_CALL_TIMEOUT,
            reconnect: ReconnectPolicy::For(DEFAULT_RECONNECT),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("certificate", &self.certificate)
            .field("extra_roots_pem", &self.extra_roots_pem.len())
            .field("tls_server_name", &self.tls_server_name)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("reconnect", &self.reconnect)
            .field("max_message_bytes", &self.max_message_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_shown() {
        let certificate =
            Some(ClientCertificate { certificate_pem: b"mlk_secret".to_vec(), key_pem: b"mlk_secret".to_vec() });
        let shown = format!("{:?}", Options { certificate, ..Options::new("http://127.0.0.1:1", "mlk_secret") });
        let secret = format!("{:?}", b"mlk_secret");
        assert!(shown.contains("127.0.0.1") && !shown.contains("mlk_secret") && !shown.contains(&secret), "{shown}");
    }
}
