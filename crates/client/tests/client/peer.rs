//! The other side: a WebSocket server whose every frame the test decides.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use moorline_client::wire::payload::Submit;
use moorline_client::{CallError, Client, ConnectError, ConnectOptions, JobHandle, JobUpdate, ReconnectPolicy};
use moorline_types::Json;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Nothing in these tests takes this long unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

/// Waits for what has to happen, and fails if it does not.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(HANGS, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen"),
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Peer {
    socket: WebSocketStream<Box<dyn Stream>>,
}

impl Peer {
    pub(crate) async fn accept(stream: impl Stream + 'static) -> Self {
        let stream: Box<dyn Stream> = Box::new(stream);
        Self { socket: soon("the upgrade", tokio_tungstenite::accept_async(stream)).await.unwrap() }
    }

    /// The next frame, which has to be of this type.
    pub(crate) async fn expect(&mut self, message_type: &str) -> Value {
        let frame = self.next().await.unwrap_or_else(|| panic!("{message_type} was due, not the end"));
        assert_eq!(frame["type"], message_type, "{frame}");
        assert_eq!(frame["arcp"], "1.1");
        frame
    }

    /// The next frame; `None` if the client has closed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match soon("a frame of the client", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        soon("the client's reading", self.socket.send(Message::text(text.into()))).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        soon("the client's reading", self.socket.send(message)).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message_type: &str, payload: &Value) {
        self.send_with(message_type, &json!({}), payload).await;
    }

    /// Sends a frame with further fields in its envelope.
    pub(crate) async fn send_with(&mut self, message_type: &str, envelope: &Value, payload: &Value) {
        let mut frame =
            json!({"arcp": "1.1", "id": "srv_1", "type": message_type, "session_id": "sess_1", "payload": payload});
        for (name, value) in envelope.as_object().unwrap() {
            frame[name] = value.clone();
        }
        self.send_text(frame.to_string()).await;
    }

    pub(crate) async fn event(&mut self, job: &str, seq: u64, kind: &str, body: &Value) {
        let payload = json!({"kind": kind, "ts": "2026-05-13T19:42:13Z", "body": body});
        self.send_with("job.event", &json!({"job_id": job, "event_seq": seq}), &payload).await;
    }

    /// Sends a record of `job_1` that says its number, if the client is still there.
    pub(crate) async fn try_event(&mut self, seq: u64) -> Result<(), Box<tokio_tungstenite::tungstenite::Error>> {
        let body = json!({"level": "info", "message": seq.to_string()});
        let payload = json!({"kind": "log", "ts": "2026-05-13T19:42:13Z", "body": body});
        let frame = json!({
            "arcp": "1.1", "id": "srv_1", "type": "job.event", "session_id": "sess_1", "job_id": "job_1",
            "event_seq": seq, "payload": payload,
        });
        Ok(soon("the client's reading", self.socket.send(Message::text(frame.to_string()))).await?)
    }

    pub(crate) async fn log(&mut self, job: &str, seq: u64) {
        self.event(job, seq, "log", &json!({"level": "info", "message": format!("{job} {seq}")})).await;
    }

    pub(crate) async fn result(&mut self, job: &str, seq: u64) {
        let payload = json!({"final_status": "success", "result": {"of": job}});
        self.send_with("job.result", &json!({"job_id": job, "event_seq": seq}), &payload).await;
    }

    /// Accepts the next submission as this job.
    pub(crate) async fn accept_job(&mut self, job: &str) {
        let submit = self.expect("job.submit").await;
        self.accepted(&submit, job).await;
    }

    pub(crate) async fn accepted(&mut self, submit: &Value, job: &str) {
        let payload = json!({"job_id": job, "agent": "echo@1", "lease": {}, "request_id": submit["id"]});
        self.send_with("job.accepted", &json!({"job_id": job}), &payload).await;
    }

    pub(crate) async fn close(&mut self, reason: &str) {
        let frame = CloseFrame { code: CloseCode::Away, reason: reason.to_owned().into() };
        self.send_message(Message::Close(Some(frame))).await;
    }
}

pub(crate) fn welcome(heartbeat: Option<u64>) -> Value {
    let mut welcome = json!({
        "runtime": {"name": "script", "version": "1"},
        "capabilities": {
            "features": ["heartbeat", "list_jobs", "subscribe"],
            "agents": [{"name": "echo", "versions": ["1"], "default": "1"}],
        },
    });
    if let Some(seconds) = heartbeat {
        welcome["heartbeat_interval_sec"] = seconds.into();
    }
    welcome
}

/// Options of a client that does not come back.
pub(crate) fn once(url: String) -> ConnectOptions {
    ConnectOptions {
        reconnect: ReconnectPolicy::Never,
        automatic_keys: false,
        ..ConnectOptions::new(url, "tok".into())
    }
}

/// A server that listens, and options to reach it.
pub(crate) async fn listening() -> (TcpListener, ConnectOptions) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    (listener, once(url))
}

pub(crate) async fn accepted(listener: &TcpListener) -> TcpStream {
    soon("a connection", listener.accept()).await.unwrap().0
}

/// What comes of connecting to a server that answers the hello like this.
pub(crate) async fn connect_with<F: Future<Output = Peer>>(
    answer: impl FnOnce(Peer) -> F,
) -> (Result<Client, ConnectError>, Peer) {
    let (listener, options) = listening().await;
    let serve = async { answer(Peer::accept(accepted(&listener).await).await).await };
    soon("connecting", async { tokio::join!(Client::connect(options), serve) }).await
}

async fn greet(mut peer: Peer, welcome: Value) -> Peer {
    peer.expect("session.hello").await;
    peer.send("session.welcome", &welcome).await;
    peer
}

/// A client with a session, over TCP.
pub(crate) async fn connected() -> (Client, Peer) {
    let (client, peer) = connect_with(|peer| greet(peer, welcome(None))).await;
    (client.unwrap(), peer)
}

/// A client with a session, over memory, so that paused time only advances when nothing else can happen.
pub(crate) async fn connected_in_memory(heartbeat: Option<u64>) -> (Client, Peer) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let options = once("ws://memory/arcp".to_owned());
    let serve = async { greet(Peer::accept(far).await, welcome(heartbeat)).await };
    let (client, peer) = tokio::join!(Client::connect_over(near, options), serve);
    (client.unwrap(), peer)
}

pub(crate) fn echo() -> Submit {
    Submit::new("echo".parse().unwrap(), Json::null())
}

pub(crate) async fn submitted(client: &Client, peer: &mut Peer, job: &str) -> JobHandle {
    let (handle, ()) = soon("a submission", async { tokio::join!(client.submit(echo()), peer.accept_job(job)) }).await;
    handle.unwrap()
}

pub(crate) async fn update(job: &mut JobHandle) -> JobUpdate {
    soon("an update", job.next()).await.unwrap().unwrap()
}

/// The number of an event.
pub(crate) fn seq(update: &JobUpdate) -> u64 {
    let JobUpdate::Event(event) = update else { panic!("{update:?} is no event") };
    event.seq.unwrap().get()
}

pub(crate) fn refusal(answer: Result<impl Sized, CallError>) -> String {
    match answer {
        Err(CallError::Refused(refused)) => refused.code.as_str().to_owned(),
        Err(other) => panic!("{other} is no refusal"),
        Ok(_) => panic!("it was not refused"),
    }
}
