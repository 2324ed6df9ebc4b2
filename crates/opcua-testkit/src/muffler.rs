//! A server that answers whatever it is asked, and tells nothing of what is subscribed.
//!
//! What stands between a client and a server here swallows the client's requests to publish, so that the server has
//! nothing to answer with. The numbers of the messages that follow are made to fit, so that neither end notices. It reads
//! messages, so it is for endpoints without security only.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opcua::types::ObjectId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::tasks::Task;
use crate::way;

/// The largest part of a message that is carried, in bytes: larger than any that a client sends.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// What each part of a message begins with: three letters of its kind, one that says whether more parts follow, and its size.
const HEADER_BYTES: usize = 8;

/// Where the sequence number is in a part that is not about the channel itself: after the header, the channel and the token.
const SEQUENCE_AT: usize = 16;

/// Where the message's type is: after that number and the request's.
const TYPE_AT: usize = 24;

/// What a message's type begins with that is a number in the namespace of OPC UA itself.
const OWN_TYPE: [u8; 2] = [1, 0];

/// How long nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Until so many requests are swallowed.
    Requests(usize),
    /// Until the connection is made anew.
    Connection,
    /// Until a subscription is made.
    Subscription,
    /// For ever.
    Forever,
}

/// A way to a server on which requests to publish are lost. It ends when it is dropped.
#[derive(Debug)]
pub struct Muffler {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _accepting: Task,
}

#[derive(Debug, Default)]
struct State {
    silence: Option<Silence>,
    /// How many connections there were, and how many when the silence began.
    opened: usize,
    silent: usize,
    swallowed: usize,
}

impl Muffler {
    /// A way to a server, from a free port of this machine. Nothing is lost on it yet.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let carried = move |client| carry(client, server, Arc::clone(&shared));
        let (address, accepting) = way::listen(Ipv4Addr::LOCALHOST, carried).await?;
        Ok(Self { address, state, _accepting: accepting })
    }

    /// Where clients connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to swallow requests. Those that the server has already are answered.
    pub fn muffle(&self, silence: Silence) {
        let mut state = lock(&self.state);
        state.silent = state.opened;
        state.silence = Some(silence);
    }

    /// How many connections have been made.
    pub fn opened(&self) -> usize {
        lock(&self.state).opened
    }

    /// How many requests were swallowed.
    pub fn swallowed(&self) -> usize {
        lock(&self.state).swallowed
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Whether this message of this connection is swallowed.
    fn swallows(&mut self, connection: usize, message: Option<ObjectId>) -> bool {
        let Some(silence) = self.silence else { return false };
        let is_over = match silence {
            Silence::Requests(left) => left == 0,
            Silence::Connection => connection > self.silent,
            Silence::Subscription => message == Some(ObjectId::CreateSubscriptionRequest_Encoding_DefaultBinary),
            Silence::Forever => false,
        };
        if is_over {
            self.silence = None;
        }
        if is_over || message != Some(ObjectId::PublishRequest_Encoding_DefaultBinary) {
            return false;
        }
        if let Some(Silence::Requests(left)) = &mut self.silence {
            *left -= 1;
        }
        self.swallowed += 1;
        true
    }
}

/// Carries one connection until either end closes it, or says what no client says.
async fn carry(client: TcpStream, server: SocketAddr, state: Arc<Mutex<State>>) {
    let Ok(server) = way::connect(&client, server).await else { return };
    let connection = {
        let mut state = lock(&state);
        state.opened += 1;
        state.opened
    };
    let (mut from_server, to_server) = server.into_split();
    let (from_client, mut to_client) = client.into_split();
    tokio::select! {
        _ = copy(&mut from_server, &mut to_client) => {}
        _ = forward(from_client, to_server, connection, &state) => {}
    }
}

async fn forward(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    connection: usize,
    state: &Mutex<State>,
) -> io::Result<()> {
    let mut swallowed = 0;
    loop {
        let mut chunk = vec![0; HEADER_BYTES];
        client.read_exact(&mut chunk).await?;
        let size = number(&chunk, 4).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| (HEADER_BYTES..=MAX_CHUNK_BYTES).contains(size));
        chunk.resize(size.ok_or(io::ErrorKind::InvalidData)?, 0);
        client.read_exact(&mut chunk[HEADER_BYTES..]).await?;
        if lock(state).swallows(connection, message(&chunk)) {
            swallowed += 1;
            continue;
        }
        if let Some(at) = sequence_at(&chunk)
            && let Some(sequence) = number(&chunk, at)
        {
            chunk[at..at + 4].copy_from_slice(&sequence.wrapping_sub(swallowed).to_le_bytes());
        }
        server.write_all(&chunk).await?;
    }
}

/// What is asked for, if it is of OPC UA itself.
fn message(chunk: &[u8]) -> Option<ObjectId> {
    let name = chunk.starts_with(b"MSG").then(|| chunk.get(TYPE_AT..TYPE_AT + 4))??;
    let id = name.strip_prefix(&OWN_TYPE)?.try_into().ok()?;
    ObjectId::try_from(u32::from(u16::from_le_bytes(id))).ok()
}

/// Where the sequence number of a part is, if it has one.
fn sequence_at(chunk: &[u8]) -> Option<usize> {
    match chunk.get(..3)? {
        b"MSG" | b"CLO" => Some(SEQUENCE_AT),
        b"OPN" => {
            // After the channel come three strings: the policy, a certificate, and the mark of another.
            let strings = 0..3;
            strings.into_iter().try_fold(HEADER_BYTES + 4, |at, _| {
                // An absent one has the length -1.
                let length = number(chunk, at)?.cast_signed().max(0);
                Some(at + 4 + usize::try_from(length).ok()?)
            })
        }
        _ => None,
    }
}

fn number(chunk: &[u8], at: usize) -> Option<u32> {
    chunk.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISH: Option<ObjectId> = Some(ObjectId::PublishRequest_Encoding_DefaultBinary);
    const CREATE: Option<ObjectId> = Some(ObjectId::CreateSubscriptionRequest_Encoding_DefaultBinary);
    const READ: Option<ObjectId> = Some(ObjectId::ReadRequest_Encoding_DefaultBinary);

    /// What of these is swallowed, each a connection and a message, when one connection was there before.
    fn swallowed(silence: Silence, messages: &[(usize, Option<ObjectId>)]) -> Vec<bool> {
        let mut state = State { silence: Some(silence), opened: 1, silent: 1, swallowed: 0 };
        messages.iter().map(|(connection, message)| state.swallows(*connection, *message)).collect()
    }

    #[test]
    fn requests_to_publish_are_swallowed_for_as_long_as_it_is_silent() {
        let publishes = [(1, PUBLISH), (1, READ), (1, PUBLISH), (1, PUBLISH)];
        assert_eq!(swallowed(Silence::Requests(2), &publishes), [true, false, true, false]);
        assert_eq!(swallowed(Silence::Forever, &publishes), [true, false, true, true]);
        let anew = [(1, PUBLISH), (2, READ), (1, PUBLISH), (2, PUBLISH)];
        assert_eq!(swallowed(Silence::Connection, &anew), [true, false, false, false]);
        let made = [(1, PUBLISH), (2, PUBLISH), (2, CREATE), (2, PUBLISH)];
        assert_eq!(swallowed(Silence::Subscription, &made), [true, true, false, false]);
    }

    #[test]
    fn a_message_is_known_by_its_type_and_its_number_is_found() {
        let mut chunk = b"MSGF".to_vec();
        chunk.extend([0; 20]);
        chunk.extend([1, 0, 0x3A, 0x03, 9, 9]);
        assert_eq!((message(&chunk), sequence_at(&chunk)), (PUBLISH, Some(16)));
        let mut open = b"OPNF".to_vec();
        open.extend([0; 8]);
        open.extend([2, 0, 0, 0, 7, 7, 255, 255, 255, 255, 255, 255, 255, 255, 5, 0, 0, 0]);
        let at = sequence_at(&open);
        assert_eq!((message(&open), at.and_then(|at| number(&open, at))), (None, Some(5)));
        for broken in [&b"MSG"[..], b"OPNF", b"HELF"] {
            assert_eq!(message(broken), None);
        }
    }
}
