//! A client that comes back, over connections in memory that the test serves one by one. In paused time nothing is
//! waited for, however long it takes.

use std::sync::Arc;

use moorline_client::{ByteStream, Client, ConnectOptions, Dial, Dialing};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::peer::{Peer, soon, welcome};

/// Bytes that a connection holds in each direction.
const PIPE: usize = 64 * 1024;

/// Connections that may wait for the test.
const CONNECTIONS: usize = 16;

struct Line {
    peers: mpsc::Sender<tokio::io::DuplexStream>,
}

impl Dial for Line {
    fn dial(&self) -> Dialing<'_> {
        Box::pin(async {
            let (near, far) = tokio::io::duplex(PIPE);
            self.peers.send(far).await.map_err(|_| std::io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(near) as Box<dyn ByteStream>)
        })
    }
}

/// The runtime's end of the line.
pub(crate) struct Rig {
    peers: mpsc::Receiver<tokio::io::DuplexStream>,
}

pub(crate) fn options() -> ConnectOptions {
    ConnectOptions { automatic_keys: false, ..ConnectOptions::new("ws://memory/arcp", "tok".into()) }
}

/// A welcome that can be resumed.
pub(crate) fn resumable(token: &str) -> Value {
    let mut welcome = welcome(None);
    welcome["resume_token"] = token.into();
    welcome["capabilities"]["features"] = json!(["ack", "list_jobs", "subscribe", "x-vendor.moorline.gap"]);
    welcome
}

pub(crate) const EPOCH: &str = "01KRHDRWGW0M2GA1850M2GA185";

impl Rig {
    /// A client with a session, and the connection that it is on.
    pub(crate) async fn connected(options: ConnectOptions) -> (Client, Peer, Self) {
        Self::connected_with("rt_1", options).await
    }

    /// The same with a runtime that mints tokens like this one.
    pub(crate) async fn connected_with(token: &str, options: ConnectOptions) -> (Client, Peer, Self) {
        let (peers, dialed) = mpsc::channel(CONNECTIONS);
        let mut rig = Self { peers: dialed };
        let (client, peer) =
            tokio::join!(Client::connect_with(Arc::new(Line { peers }), options), rig.welcomed(token, None));
        (client.unwrap(), peer, rig)
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> Peer {
        Peer::accept(soon("another connection", self.peers.recv()).await.unwrap()).await
    }

    /// The next connection, with its hello checked and answered.
    pub(crate) async fn welcomed(&mut self, token: &str, resume: Option<(&str, u64)>) -> Peer {
        let mut peer = self.next().await;
        let hello = peer.expect("session.hello").await;
        assert_resumes(&hello, resume);
        peer.send("session.welcome", &resumable(token)).await;
        peer
    }

    /// There is no further connection.
    pub(crate) async fn assert_over(&mut self) {
        assert!(soon("the end", self.peers.recv()).await.is_none(), "another connection was made");
    }

    /// The next connection, refused.
    pub(crate) async fn refused(&mut self, code: &str, retryable: bool) -> Value {
        let mut peer = self.next().await;
        let hello = peer.expect("session.hello").await;
        peer.send("session.error", &json!({"code": code, "message": "no", "retryable": retryable})).await;
        assert!(peer.next().await.is_none(), "a client that is refused hangs up");
        hello
    }
}

/// Whether a hello presents this token and number, in both forms that runtimes read.
pub(crate) fn assert_resumes(hello: &Value, resume: Option<(&str, u64)>) {
    let payload = &hello["payload"];
    let Some((token, seen)) = resume else {
        assert!(payload.get("resume").is_none() && payload.get("resume_token").is_none(), "{hello}");
        return;
    };
    let form = json!({"session_id": "sess_1", "resume_token": token, "last_event_seq": seen});
    assert_eq!(payload["resume"], form);
    assert_eq!((&payload["resume_token"], &payload["last_event_seq"]), (&json!(token), &json!(seen)));
    assert_eq!(hello["extensions"]["x-vendor.moorline.profile"], "1");
}
