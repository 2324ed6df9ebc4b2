//! From an address to a welcome.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use moorline_wire::payload::{Auth, ClientCapabilities, ClientInfo, Hello, Welcome};
use moorline_wire::{
    ClientMessage, DecodeLimits, FeatureSet, Frame, Name, RuntimeMessage, SessionRef, decode_runtime, encode,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, client_async_with_config,
};

use crate::error::{ConnectError, Ended, Refused, Stage};
use crate::mint::Mint;
use crate::options::ConnectOptions;
use crate::{clock, tls};

/// A session that has been opened, and the socket that it lives on.
pub(crate) struct Opened<S> {
    pub(crate) socket: WebSocketStream<S>,
    pub(crate) mint: Mint,
    pub(crate) welcome: Welcome,
    pub(crate) session: Option<SessionRef>,
    pub(crate) features: FeatureSet,
}

/// Connects to the options' address.
pub(crate) async fn connect(options: &ConnectOptions) -> Result<Opened<MaybeTlsStream<TcpStream>>, ConnectError> {
    let deadline = Deadline::of(options);
    let address = Address::parse(&options.url)?;
    let connector = match address.secure {
        true => Connector::Rustls(tls::config(&options.extra_roots_pem)?),
        false => Connector::Plain,
    };
    let Address { host, port, .. } = address;
    let unreachable = |source| ConnectError::Unreachable { host: host.clone(), port, source };
    let stream =
        deadline.bound(Stage::Connect, TcpStream::connect((host.as_str(), port))).await?.map_err(unreachable)?;
    // Frames are small and answers are waited for. A socket without the option works too, only later.
    stream.set_nodelay(true).map_err(|source| ConnectError::Unreachable { host: host.clone(), port, source })?;
    let upgrade = client_async_tls_with_config(options.url.as_str(), stream, Some(config(options)), Some(connector));
    let upgraded = deadline.bound(Stage::Upgrade, Box::pin(upgrade)).await?;
    let (socket, _response) = upgraded.map_err(upgrade_error)?;
    open(socket, options, deadline).await
}

/// Connects over a byte stream that exists already.
pub(crate) async fn connect_over<S>(stream: S, options: &ConnectOptions) -> Result<Opened<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Deadline::of(options);
    Address::parse(&options.url)?;
    let upgrade = client_async_with_config(options.url.as_str(), stream, Some(config(options)));
    let (socket, _response) = deadline.bound(Stage::Upgrade, Box::pin(upgrade)).await?.map_err(upgrade_error)?;
    open(socket, options, deadline).await
}

struct Address {
    host: String,
    port: u16,
    secure: bool,
}

impl Address {
    fn parse(url: &str) -> Result<Self, ConnectError> {
        let uri: Uri = url.parse().map_err(|_| ConnectError::Url { url: url.to_owned() })?;
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(ConnectError::Scheme { url: url.to_owned() }),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| ConnectError::Url { url: url.to_owned() })?;
        // An IPv6 address stands in brackets in a URL and without them in a socket address.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }), secure })
    }
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    fn of(options: &ConnectOptions) -> Self {
        let after = options.handshake_timeout;
        Self { at: clock::instant() + after, after }
    }

    async fn bound<T>(self, stage: Stage, step: impl Future<Output = T>) -> Result<T, ConnectError> {
        timeout_at(self.at, step).await.map_err(|_| ConnectError::Timeout { stage, after: self.after })
    }
}

fn config(options: &ConnectOptions) -> WebSocketConfig {
    let max = Some(options.max_frame_bytes);
    WebSocketConfig::default().max_message_size(max).max_frame_size(max)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is none of the named cases is reported as it is")]
fn upgrade_error(error: WsError) -> ConnectError {
    match error {
        WsError::Http(response) => ConnectError::NotWebSocket { status: response.status().as_u16() },
        WsError::Url(_) => ConnectError::Upgrade { source: Arc::new(error) },
        // A TLS handshake that fails arrives as an I/O error around rustls's own.
        WsError::Io(source) if source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            ConnectError::Tls { source: Arc::new(source) }
        }
        WsError::Tls(source) => ConnectError::Tls { source: Arc::new(source) },
        other => ConnectError::Upgrade { source: Arc::new(other) },
    }
}

async fn open<S>(
    mut socket: WebSocketStream<S>,
    options: &ConnectOptions,
    deadline: Deadline,
) -> Result<Opened<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut mint = Mint::new().ok_or(ConnectError::Entropy)?;
    let mut hello = Frame::new(mint.message_id(), ClientMessage::Hello(hello(options)));
    hello.extensions.profile = true;
    let greet = async {
        socket.send(text(&hello)).await.map_err(|error| ConnectError::Ended(transport(error)))?;
        first_answer(&mut socket, options.max_frame_bytes).await
    };
    let answer = deadline.bound(Stage::Welcome, greet).await??;
    let session = answer.session_id;
    let welcome = welcomed(answer.message)?;
    let features = options.offered().intersection(welcome.capabilities.features);
    let session = welcome.session_id.clone().or(session);
    Ok(Opened { socket, mint, welcome, session, features })
}

fn hello(options: &ConnectOptions) -> Hello {
    Hello {
        client: ClientInfo { name: options.client_name.clone(), version: Some(options.client_version.clone()) },
        auth: Name::cut("bearer").map(|scheme| Auth { scheme, token: Some(options.token.clone()) }),
        capabilities: ClientCapabilities {
            encodings: Name::cut("json").into_iter().collect(),
            features: options.offered(),
        },
        resume: None,
    }
}

async fn first_answer<S>(
    socket: &mut WebSocketStream<S>,
    max_bytes: usize,
) -> Result<Frame<RuntimeMessage>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let limits = DecodeLimits { max_bytes, ..DecodeLimits::default() };
                return decode_runtime(text.as_bytes(), limits).map_err(ConnectError::Unreadable);
            }
            Some(Ok(Message::Close(close))) => {
                let reason = close.map(|close| close.reason.to_string()).filter(|reason| !reason.is_empty());
                return Err(ConnectError::Ended(Ended::ByRuntime { reason }));
            }
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return Err(ConnectError::Ended(transport(error))),
            None => return Err(ConnectError::Ended(Ended::Lost)),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "everything but a welcome and a refusal is out of place")]
fn welcomed(answer: RuntimeMessage) -> Result<Welcome, ConnectError> {
    match answer {
        RuntimeMessage::Welcome(welcome) => Ok(*welcome),
        RuntimeMessage::SessionError(error) => Err(ConnectError::Rejected(Refused::from(error))),
        // One official runtime has no other frame for it.
        RuntimeMessage::JobError(error) => Err(ConnectError::Rejected(Refused::from(error))),
        other => Err(ConnectError::Unexpected { found: other.message_type() }),
    }
}

/// One frame as a WebSocket message.
pub(crate) fn text(frame: &Frame<ClientMessage>) -> Message {
    // What the encoder writes is UTF-8, so nothing is ever replaced.
    let bytes = encode(frame);
    Message::Text(Utf8Bytes::try_from(bytes).unwrap_or_default())
}

/// Why a connection is over, if its socket says this.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is no orderly end is reported as it is")]
pub(crate) fn transport(error: WsError) -> Ended {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => Ended::Lost,
        WsError::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            Ended::Lost
        }
        other => Ended::Transport { source: Arc::new(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_a_port_and_whether_it_is_secure() {
        for (url, host, port, secure) in [
            ("ws://127.0.0.1:7777/arcp", "127.0.0.1", 7777, false),
            ("ws://localhost", "localhost", 80, false),
            ("wss://example.com/arcp?x=1", "example.com", 443, true),
            ("ws://[::1]:9/", "::1", 9, false),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.secure), (host, port, secure), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_remedy() {
        for url in ["http://localhost/", "localhost:7777", "unix:///run/x", "/arcp"] {
            let error = Address::parse(url).err().unwrap();
            assert!(matches!(error, ConnectError::Scheme { .. } | ConnectError::Url { .. }), "{url}: {error}");
        }
        assert!(matches!(Address::parse("ws://:80/"), Err(ConnectError::Url { .. })));
    }
}
