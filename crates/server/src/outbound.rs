//! Requests that the gateway itself makes over HTTP, each on a connection of its own. Redirections are not followed: whom
//! an operator trusts is the one that was named.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::{TlsError, read_chain};

mod url;

pub use url::{OutboundUrl, OutboundUrlError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    #[error("there was no answer within {} s", .0.as_secs())]
    Late(Duration),
    #[error("it cannot be connected to: {0}")]
    Connect(#[from] io::Error),
    #[error("its name resolves to another machine, which is asked with TLS only")]
    Elsewhere,
    #[error("the request cannot be written: {0}")]
    Unwritable(#[from] hyper::http::Error),
    #[error("the request failed: {0}")]
    Request(#[from] hyper::Error),
    #[error("the answer is broken or larger than {max_bytes} bytes: {source}")]
    Answer { max_bytes: usize, source: Box<dyn std::error::Error + Send + Sync> },
}

/// What is waited for, and how much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first packet to the last byte of the answer.
    pub(crate) deadline: Duration,
    /// The largest answer.
    pub(crate) max_bytes: usize,
}

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) url: OutboundUrl,
    tls: Arc<ClientConfig>,
    patience: Patience,
}

impl Outbound {
    /// Trusts the authorities of this file, or those that browsers do.
    pub(crate) fn new(url: OutboundUrl, authority: Option<&Path>, patience: Patience) -> Result<Self, TlsError> {
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
        Ok(Self { url, tls: Arc::new(config), patience })
    }

    /// Sends a request, whose target is a path, and reads the whole answer, whatever its status.
    pub(crate) async fn ask(&self, request: Builder, body: Bytes) -> Result<(StatusCode, Bytes), OutboundError> {
        let deadline = self.patience.deadline;
        let asked = tokio::time::timeout(deadline, self.connect_and_ask(request, body)).await;
        asked.unwrap_or(Err(OutboundError::Late(deadline)))
    }

    async fn connect_and_ask(&self, request: Builder, body: Bytes) -> Result<(StatusCode, Bytes), OutboundError> {
        let request = request
            .header(HOST, self.url.authority())
            .header(USER_AGENT, concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .body(Body::from(body))?;
        let stream = TcpStream::connect((self.url.host(), self.url.port())).await?;
        if !self.url.is_encrypted() {
            if !stream.peer_addr()?.ip().to_canonical().is_loopback() {
                return Err(OutboundError::Elsewhere);
            }
            return self.exchange(stream, request).await;
        }
        let name = ServerName::try_from(self.url.host().to_owned()).map_err(io::Error::other)?;
        self.exchange(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?, request).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Body>,
    ) -> Result<(StatusCode, Bytes), OutboundError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let max_bytes = self.patience.max_bytes;
        let answer = async {
            let (parts, body) = Response::into_parts(sender.send_request(request).await?);
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|source| OutboundError::Answer { max_bytes, source })?;
            Ok((parts.status, body.to_bytes()))
        };
        // The connection carries the request and ends with the answer, which decides.
        let connected = async {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection of ours has ended");
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
