//! From an address to a welcome.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use moorline_types::{Epoch, MessageId};
use moorline_wire::payload::{Auth, ClientCapabilities, ClientInfo, Hello, Resume, Welcome};
use moorline_wire::vendor::{Extensions, ResumeOptions, Retry};
use moorline_wire::{ClientMessage, DecodeLimits, Frame, Name, RuntimeMessage, RuntimeProfile, decode_runtime, encode};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::error::{ConnectError, Ended, Refused, Stage};
use crate::options::ConnectOptions;
use crate::state::SessionInfo;
use crate::transport::{ByteStream, Dial, Tcp};
use crate::{clock, tls};

/// What a connection runs over.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<Box<dyn ByteStream>>>;

/// A session that has been opened or resumed, and the socket that it lives on.
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    pub(crate) info: SessionInfo,
    pub(crate) extensions: Extensions,
}

/// What a client that comes back presents.
#[derive(Debug, Clone)]
pub(crate) struct Returning {
    pub(crate) resume: Resume,
    pub(crate) epoch: Option<Epoch>,
}

/// Connects to the options' address and says hello.
pub(crate) async fn connect(
    options: &ConnectOptions,
    dial: Option<&dyn Dial>,
    hello: Frame<ClientMessage>,
) -> Result<Opened, ConnectError> {
    let deadline = Deadline::of(options);
    let Address { host, port, .. } = address(options)?;
    let tcp = Tcp { host: host.clone(), port };
    let dialed = deadline.bound(Stage::Connect, dial.unwrap_or(&tcp).dial()).await?;
    let stream = dialed.map_err(|source| ConnectError::Unreachable { host, port, source })?;
    over(stream, options, hello, deadline).await
}

/// Says hello over a byte stream that exists already.
pub(crate) async fn connect_over(
    stream: Box<dyn ByteStream>,
    options: &ConnectOptions,
    hello: Frame<ClientMessage>,
) -> Result<Opened, ConnectError> {
    over(stream, options, hello, Deadline::of(options)).await
}

async fn over(
    stream: Box<dyn ByteStream>,
    options: &ConnectOptions,
    hello: Frame<ClientMessage>,
    deadline: Deadline,
) -> Result<Opened, ConnectError> {
    let connector = match address(options)?.secure {
        true => Connector::Rustls(tls::config(&options.extra_roots_pem, options.certificate.as_ref())?),
        false => Connector::Plain,
    };
    let upgrade = client_async_tls_with_config(options.url.as_str(), stream, Some(config(options)), Some(connector));
    let upgraded = deadline.bound(Stage::Upgrade, Box::pin(upgrade)).await?;
    let (socket, _response) = upgraded.map_err(upgrade_error)?;
    open(socket, options, hello, deadline).await
}

/// Where the options lead, if they can be followed there.
fn address(options: &ConnectOptions) -> Result<Address, ConnectError> {
    let address = Address::parse(&options.url)?;
    if options.certificate.is_some() && !address.secure {
        return Err(ConnectError::CertificateWithoutTls { url: options.url.clone() });
    }
    Ok(address)
}

/// Where a URL leads.
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    secure: bool,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectError> {
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

async fn open(
    mut socket: Socket,
    options: &ConnectOptions,
    hello: Frame<ClientMessage>,
    deadline: Deadline,
) -> Result<Opened, ConnectError> {
    let greet = async {
        socket.send(text(&hello)).await.map_err(|error| ConnectError::Ended(transport(error)))?;
        first_answer(&mut socket, options.max_frame_bytes).await
    };
    let Frame { session_id, extensions, message, .. } = deadline.bound(Stage::Welcome, greet).await??;
    let welcome = welcomed(message, extensions.retry)?;
    let features = options.offered().intersection(welcome.capabilities.features);
    let profile = RuntimeProfile::of(&welcome, &extensions);
    let session = welcome.session_id.clone().or(session_id);
    Ok(Opened { socket, info: SessionInfo { welcome, session, features, profile }, extensions })
}

/// The first message of a connection.
pub(crate) fn hello(options: &ConnectOptions, id: MessageId, returning: Option<&Returning>) -> Frame<ClientMessage> {
    let hello = Hello {
        client: ClientInfo { name: options.client_name.clone(), version: Some(options.client_version.clone()) },
        auth: Name::cut("bearer")
            .filter(|_| !options.token.expose().is_empty())
            .map(|scheme| Auth { scheme, token: Some(options.token.clone()) }),
        capabilities: ClientCapabilities {
            encodings: Name::cut("json").into_iter().collect(),
            features: options.offered(),
        },
        resume: returning.map(|returning| returning.resume.clone()),
    };
    let resume = returning.map(|returning| ResumeOptions { epoch: returning.epoch, on_gap: Some(options.on_gap) });
    Frame {
        extensions: Extensions { profile: true, resume, ..Extensions::NONE },
        ..Frame::new(id, ClientMessage::Hello(hello))
    }
}

async fn first_answer(socket: &mut Socket, max_bytes: usize) -> Result<Frame<RuntimeMessage>, ConnectError> {
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
fn welcomed(answer: RuntimeMessage, retry: Option<Retry>) -> Result<Welcome, ConnectError> {
    let rejected = |refused| Err(ConnectError::Rejected(Refused { retry_after: retry.map(wait), ..refused }));
    match answer {
        RuntimeMessage::Welcome(welcome) => Ok(*welcome),
        RuntimeMessage::SessionError(error) => rejected(Refused::from(error)),
        // One official runtime has no other frame for it.
        RuntimeMessage::JobError(error) => rejected(Refused::from(error)),
        other => Err(ConnectError::Unexpected { found: other.message_type() }),
    }
}

/// How long to wait before coming back.
pub(crate) const fn wait(retry: Retry) -> Duration {
    Duration::from_millis(retry.after_ms)
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
