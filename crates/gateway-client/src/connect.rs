//! The connection: where to, trusting whom, and with which key beside every call.

use std::time::Duration;

use moorline_gateway_proto::v1::session_gateway_client::SessionGatewayClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::options::{ClientCertificate, Options};

/// After how much silence the gateway is asked for a sign of life while a call is under way, and how long it has for
/// that. A gateway that has vanished with its machine is noticed by this alone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What begins a certificate in PEM.
const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none.
    #[error("{url:?} is not an address such as http://127.0.0.1:7709 or https://gateway.example.com:7709")]
    Url {
        /// The address as given.
        url: String,
    },
    /// The key cannot be sent.
    #[error("the key is empty or has characters that no key has")]
    Key,
    /// The extra roots cannot be used.
    #[error("the extra root certificates cannot be used; give them in PEM, as -----BEGIN CERTIFICATE-----")]
    Roots,
    /// A certificate is to be shown where there is no TLS.
    #[error("a client certificate is shown over TLS only: {url:?} must begin with https://")]
    CertificateWithoutTls {
        /// The address.
        url: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up for {url}")]
    Tls {
        /// The address.
        url: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
    /// The system gives no random numbers, which the names of commands are made of.
    #[error("the system gives no random numbers")]
    Entropy,
    /// Nobody answers.
    #[error("no session gateway answers at {url}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
}

/// What puts the key beside every call.
#[derive(Clone)]
pub(crate) struct Key(Option<MetadataValue<Ascii>>);

impl Key {
    fn new(key: &str, has_certificate: bool) -> Result<Self, ConnectError> {
        if key.trim().is_empty() {
            return if has_certificate { Ok(Self(None)) } else { Err(ConnectError::Key) };
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", key.trim()).parse().map_err(|_| ConnectError::Key)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// The API's calls, with the key.
pub(crate) type Api = SessionGatewayClient<InterceptedService<Channel, Key>>;

/// Connects. What is connected connects again by itself, at the next call.
pub(crate) async fn connect(options: &Options) -> Result<Api, ConnectError> {
    let key = Key::new(&options.key, options.certificate.is_some())?;
    let channel = endpoint(options)?.connect().await;
    let channel = channel.map_err(|source| ConnectError::Unreachable { url: options.url.clone(), source })?;
    let api = SessionGatewayClient::with_interceptor(channel, key);
    Ok(api.max_decoding_message_size(options.max_message_bytes))
}

fn endpoint(options: &Options) -> Result<Endpoint, ConnectError> {
    let url = options.url.clone();
    let Some((scheme @ ("http" | "https"), _)) = url.split_once("://") else { return Err(ConnectError::Url { url }) };
    let endpoint = Channel::from_shared(url.clone()).map_err(|_| ConnectError::Url { url: url.clone() })?;
    let endpoint = endpoint
        .connect_timeout(options.connect_timeout)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    if scheme == "http" {
        return match options.certificate {
            Some(_) => Err(ConnectError::CertificateWithoutTls { url }),
            None => Ok(endpoint),
        };
    }
    let mut tls = ClientTlsConfig::new().with_webpki_roots();
    if !options.extra_roots_pem.is_empty() {
        let is_pem = options.extra_roots_pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN);
        if !is_pem {
            return Err(ConnectError::Roots);
        }
        tls = tls.ca_certificate(Certificate::from_pem(&options.extra_roots_pem));
    }
    if let Some(ClientCertificate { certificate_pem, key_pem }) = &options.certificate {
        tls = tls.identity(Identity::from_pem(certificate_pem, key_pem));
    }
    if let Some(name) = &options.tls_server_name {
        tls = tls.domain_name(name);
    }
    endpoint.tls_config(tls).map_err(|source| ConnectError::Tls { url, source })
}

/// Calls for which there is nobody.
#[cfg(test)]
pub(crate) fn nowhere() -> Api {
    let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
    SessionGatewayClient::with_interceptor(channel, Key::new("mlk_test", false).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_used_is_refused_by_name() {
        let check = async |url: &str, key: &str, roots: &str| {
            let options = Options { extra_roots_pem: roots.as_bytes().to_vec(), ..Options::new(url, key) };
            connect(&options).await.map(drop).unwrap_err().to_string()
        };
        for (url, key, roots, word) in [
            ("", "k", "", "is not an address"),
            ("ws://127.0.0.1:1", "k", "", "is not an address"),
            ("http://", "k", "", "is not an address"),
            ("http://127.0.0.1:1", " ", "", "the key"),
            ("http://127.0.0.1:1", "a\nb", "", "the key"),
            ("https://127.0.0.1:1", "k", "ca.pem", "root certificates"),
            ("http://127.0.0.1:1", "k", "", "no session gateway answers at http://127.0.0.1:1"),
        ] {
            let error = check(url, key, roots).await;
            assert!(error.contains(word), "{url} {key:?} {roots}: {error}");
        }
        let certificate = Some(ClientCertificate { certificate_pem: Vec::new(), key_pem: Vec::new() });
        for (url, word) in [("http://127.0.0.1:1", "must begin with https://"), ("https://127.0.0.1:1", "TLS")] {
            let options = Options { certificate: certificate.clone(), ..Options::new(url, "") };
            let error = connect(&options).await.map(drop).unwrap_err().to_string();
            assert!(error.contains(word), "{url}: {error}");
        }
    }
}
