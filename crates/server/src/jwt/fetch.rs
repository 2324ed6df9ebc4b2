//! Asks an issuer for its keys: one request on a connection of its own. Redirections are not followed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{JwksUrl, KeySetError};
use crate::tls::{TlsError, read_chain};

/// How long an issuer may take to answer. A client whose token names a key that is not known waits for it, and has
/// itself a deadline of some ten seconds.
const FETCH_DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer. Ten keys with their certificates are a tenth of it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Why an issuer's keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("there was no answer within {} s", FETCH_DEADLINE.as_secs())]
    Late,
    #[error("it cannot be connected to: {0}")]
    Connect(#[from] io::Error),
    #[error("its name resolves to another machine, which is asked with TLS only")]
    Elsewhere,
    #[error("the request failed: {0}")]
    Request(#[from] hyper::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is broken or larger than {MAX_ANSWER_BYTES} bytes: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer {0}")]
    Keys(#[from] KeySetError),
}

/// Asks one address.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) url: JwksUrl,
    tls: Arc<ClientConfig>,
}

impl Fetcher {
    /// Trusts the authorities of this file, or those that browsers do.
    pub(super) fn new(url: JwksUrl, authority: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match authority {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                for certificate in read_chain(path)? {
                    roots.add(certificate).map_err(|source| unusable(path.to_owned(), source))?;
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| unusable(authority.unwrap_or(Path::new("")).to_owned(), source))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { url, tls: Arc::new(config) })
    }

    /// What the issuer answers.
    pub(super) async fn fetch(&self) -> Result<Bytes, FetchError> {
        tokio::time::timeout(FETCH_DEADLINE, self.ask()).await.unwrap_or(Err(FetchError::Late))
    }

    async fn ask(&self) -> Result<Bytes, FetchError> {
        let stream = TcpStream::connect((self.url.host(), self.url.port())).await?;
        if !self.url.is_encrypted() {
            if !stream.peer_addr()?.ip().to_canonical().is_loopback() {
                return Err(FetchError::Elsewhere);
            }
            return self.request(stream).await;
        }
        let name = ServerName::try_from(self.url.host().to_owned()).map_err(io::Error::other)?;
        self.request(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?).await
    }

    async fn request(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Bytes, FetchError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(self.url.path())
            .header(HOST, self.url.authority())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty())
            .map_err(|error| FetchError::Answer(error.into()))?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(FetchError::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES);
            Ok(body.collect().await.map_err(FetchError::Answer)?.to_bytes())
        };
        // The connection carries the request and ends with the answer, which decides.
        let connected = async {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the issuer's connection has ended");
            }
            std::future::pending().await
        };
        tokio::select! {
            answer = answer => answer,
            never = connected => never,
        }
    }
}

fn unusable(path: PathBuf, source: rustls::Error) -> TlsError {
    TlsError::UnusableCertificate { path, source }
}
