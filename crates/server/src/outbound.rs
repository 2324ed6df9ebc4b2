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
use hyper::header::{self, HOST};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use moorline_worker::Stream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::{TlsError, read_chain};

mod url;

pub use url::{OutboundUrl, OutboundUrlError};

/// What the gateway calls itself.
pub(crate) const USER_AGENT: &str = concat!("moorline/", env!("CARGO_PKG_VERSION"));

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
        let (parts, body) = self.ask_with_head(request, body).await?.into_parts();
        Ok((parts.status, body))
    }

    /// The same for whoever wants to know what the answer's headers say.
    pub(crate) async fn ask_with_head(&self, request: Builder, body: Bytes) -> Result<Response<Bytes>, OutboundError> {
        let deadline = self.patience.deadline;
        let asked = tokio::time::timeout(deadline, self.connect_and_ask(request, body)).await;
        asked.unwrap_or(Err(OutboundError::Late(deadline)))
    }

    async fn connect_and_ask(&self, request: Builder, body: Bytes) -> Result<Response<Bytes>, OutboundError> {
        let request =
            request.header(HOST, self.url.authority()).header(header::USER_AGENT, USER_AGENT).body(Body::from(body))?;
        self.exchange(self.connect().await?, request).await
    }

    /// A connection, encrypted if the address says so. What is not encrypted ends on this machine, unless an operator
    /// vouches for the way.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Stream>, OutboundError> {
        let stream = TcpStream::connect((self.url.host(), self.url.port())).await?;
        if !self.url.is_encrypted() {
            if !self.url.is_vouched_for() && !stream.peer_addr()?.ip().to_canonical().is_loopback() {
                return Err(OutboundError::Elsewhere);
            }
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.url.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?))
    }

    /// The same for HTTP/2, which both ends of an encrypted connection agree on while it begins.
    #[must_use]
    pub(crate) fn over_http2(self) -> Self {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { tls: Arc::new(tls), ..self }
    }

    async fn exchange(
        &self,
        stream: Box<dyn Stream>,
        request: Request<Body>,
    ) -> Result<Response<Bytes>, OutboundError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let max_bytes = self.patience.max_bytes;
        let answer = async {
            let (parts, body) = Response::into_parts(sender.send_request(request).await?);
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|source| OutboundError::Answer { max_bytes, source })?;
            Ok(Response::from_parts(parts, body.to_bytes()))
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
