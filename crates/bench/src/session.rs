//! A session with a gateway over a [`WebSocket`], and the check of its numbers.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::frame::Envelope;
use crate::websocket::WebSocket;

/// Where a runtime listens, and the key for it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) token: String,
}

/// What lets a session be gone on with.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    session: String,
    token: String,
    seen: u64,
}

/// A session, and the numbers that it has seen.
#[derive(Debug)]
pub(crate) struct Session {
    socket: WebSocket,
    id: String,
    token: String,
    numbers: Numbers,
    sent: u64,
}

/// The numbers that a session has seen. They have to be dense.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    seen: u64,
    lost: u64,
    twice: u64,
}

/// How a session is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// The address of this machine from which to connect.
    pub(crate) from: Option<Ipv4Addr>,
    /// Whether heartbeats are agreed on.
    pub(crate) heartbeat: bool,
    /// How many bytes the system takes in that are not read; by default its own choice.
    pub(crate) receive_buffer: Option<u32>,
}

impl Session {
    /// Opens a session.
    pub(crate) async fn open(endpoint: &Endpoint, manner: Manner) -> Result<Self> {
        Self::greet(endpoint, manner, None).await
    }

    /// Goes on with a session.
    pub(crate) async fn resume(endpoint: &Endpoint, manner: Manner, parked: &Parked) -> Result<Self> {
        Self::greet(endpoint, manner, Some(parked)).await
    }

    async fn greet(endpoint: &Endpoint, manner: Manner, parked: Option<&Parked>) -> Result<Self> {
        let mut socket = WebSocket::open(endpoint.address, &endpoint.path, manner).await?;
        let mut features = vec!["subscribe", "progress", "result_chunk", "agent_versions"];
        if manner.heartbeat {
            features.push("heartbeat");
        }
        let mut payload = json!({
            "client": { "name": "moorline-bench", "version": env!("CARGO_PKG_VERSION") },
            "auth": { "scheme": "bearer", "token": endpoint.token },
            "capabilities": { "encodings": ["json"], "features": features },
        });
        if let Some(Parked { session, token, seen }) = parked {
            payload["resume"] = json!({ "session_id": session, "resume_token": token, "last_event_seq": seen });
        }
        let hello = json!({ "arcp": "1.1", "id": message_id(0), "type": "session.hello", "payload": payload });
        socket.send(&hello.to_string()).await?;
        let welcome = socket.read().await?.context("the connection ended before the welcome")?;
        let value: Value = serde_json::from_slice(socket.envelope(&welcome).0)?;
        if value["type"] != "session.welcome" {
            bail!("no welcome: {value}");
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, token) = (text(&value["session_id"]), text(&value["payload"]["resume_token"]));
        let seen = parked.map_or(0, |parked| parked.seen);
        Ok(Self { socket, id, token, numbers: Numbers { seen, ..Numbers::default() }, sent: 0 })
    }

    /// What the session is resumed with. Its connection ends.
    pub(crate) fn park(self) -> Parked {
        Parked { session: self.id, token: self.token, seen: self.numbers.seen }
    }

    /// The last number that was seen.
    pub(crate) const fn seen(&self) -> u64 {
        self.numbers.seen
    }

    /// Fails if a number was left out or came twice.
    pub(crate) fn check(&self) -> Result<()> {
        let Numbers { seen, lost, twice } = self.numbers;
        if (lost, twice) != (0, 0) {
            bail!("of the numbers up to {seen}, {lost} are missing and {twice} came twice");
        }
        Ok(())
    }

    /// Prepares for many events.
    pub(crate) fn enlarge(&mut self) {
        self.socket.enlarge();
    }

    /// Sends a message of the session.
    async fn say(&mut self, message_type: &str, payload: &Value) -> Result<()> {
        self.sent += 1;
        let frame = json!({
            "arcp": "1.1", "id": message_id(self.sent), "type": message_type, "session_id": self.id,
            "payload": payload,
        });
        self.socket.send(&frame.to_string()).await
    }

    /// Asks for a job, and waits for nothing.
    pub(crate) async fn ask(&mut self, agent: &str, input: &Value) -> Result<()> {
        self.say("job.submit", &json!({ "agent": agent, "input": input })).await
    }

    /// Submits a job, and answers its id when it is accepted.
    pub(crate) async fn submit(&mut self, agent: &str, input: &Value) -> Result<String> {
        self.ask(agent, input).await?;
        self.answer("job.accepted").await
    }

    /// Subscribes to a job, from its first event or from here on.
    pub(crate) async fn subscribe(&mut self, job: &str, history: bool) -> Result<()> {
        self.say("job.subscribe", &json!({ "job_id": job, "history": history })).await?;
        self.answer("job.subscribed").await.map(drop)
    }

    /// Subscribes to a job from its first event, and waits for nothing.
    pub(crate) async fn ask_for_history(&mut self, job: &str) -> Result<()> {
        self.say("job.subscribe", &json!({ "job_id": job, "history": true })).await
    }

    /// Waits for an answer and says which job it is about.
    async fn answer(&mut self, message_type: &str) -> Result<String> {
        loop {
            let envelope = self.next().await?.with_context(|| format!("the connection ended before {message_type}"))?;
            if envelope.message_type() == message_type.as_bytes() {
                return Ok(String::from_utf8_lossy(envelope.job()).into_owned());
            }
        }
    }

    /// The next message that is numbered: an event of a job, or its end.
    ///
    /// # Errors
    /// Also if the connection ends.
    pub(crate) async fn event(&mut self) -> Result<Envelope<'_>> {
        loop {
            let Some(at) = self.read().await? else { bail!("the connection ended") };
            if self.socket.envelope(&at).event_seq().is_some() {
                return Ok(self.socket.envelope(&at));
            }
        }
    }

    /// The next message; pings are answered and left out. None when the connection has ended.
    ///
    /// # Errors
    /// Also if the runtime refuses something: nothing that is asked for here may be refused.
    pub(crate) async fn next(&mut self) -> Result<Option<Envelope<'_>>> {
        let at = self.read().await?;
        Ok(at.map(|at| self.socket.envelope(&at)))
    }

    async fn read(&mut self) -> Result<Option<Range<usize>>> {
        loop {
            let Some(at) = self.socket.read().await? else { return Ok(None) };
            let envelope = self.socket.envelope(&at);
            if let Some(number) = envelope.event_seq() {
                self.numbers.note(number);
                return Ok(Some(at));
            }
            match envelope.message_type() {
                b"session.ping" => {
                    let ping: Value = serde_json::from_slice(envelope.0)?;
                    let nonce = &ping["payload"]["nonce"];
                    let at = &ping["payload"]["sent_at"];
                    self.say("session.pong", &json!({ "ping_nonce": nonce, "received_at": at })).await?;
                }
                b"session.error" => bail!("refused: {}", envelope.text()),
                _ => return Ok(Some(at)),
            }
        }
    }
}

/// An id for a message: some runtimes take nothing but a ULID.
fn message_id(number: u64) -> String {
    format!("01KRHDRWGW{number:016}")
}

impl Numbers {
    fn note(&mut self, number: u64) {
        match number.checked_sub(self.seen) {
            Some(0) | None => self.twice += 1,
            Some(ahead) => {
                self.lost += ahead - 1;
                self.seen = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_missing_or_come_twice_are_counted() {
        for (numbers, lost, twice) in [(&[1, 2, 3][..], 0, 0), (&[1, 3], 1, 0), (&[1, 2, 2, 3, 1], 0, 2), (&[5], 4, 0)]
        {
            let mut noted = Numbers::default();
            numbers.iter().for_each(|number| noted.note(*number));
            assert_eq!((noted.lost, noted.twice), (lost, twice), "{numbers:?}");
        }
    }
}
