//! The sessions that are connected, and those that a client may come back to (spec 6.3).
//!
//! A session outlives its connection: when that ends, the session is *parked* here with nothing but positions in the
//! journal, for as long as the resume window lasts. A client that comes back presents the token of its last welcome,
//! beside its own authentication, and gets what followed the last number that it has seen: the same records under the
//! same numbers.
//!
//! - A token is 256 random bits, stored hashed, bound to session and principal, and rotated by every welcome. The one
//!   before stays good until the first frame on the new connection, so a client whose welcome was lost can try again.
//! - A resume while the old connection still looks alive fences that one off and waits for it to let go.
//! - An attempt that is refused changes nothing.
//!
//! Deliberately absent: sessions of an earlier run of the gateway. Their records are in the journal, their tokens are
//! not.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_core::Refusal;
use moorline_runtime::SessionHandle;
use moorline_runtime::mint::{self, NoEntropy};
use moorline_types::{EventSeq, Millis, Principal, PrincipalId, SessionId, Timestamp};
use moorline_wire::Secret;
use moorline_wire::payload::Resume;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What tokens begin with; the session's id without its own prefix and 64 hexadecimal digits follow.
const TOKEN_PREFIX: &str = "rt_";

/// How long a connection that is fenced off may take to let go of its session. It does nothing but notice; a busy
/// machine needs milliseconds.
const LET_GO: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Sessions {
    window: Millis,
    entries: Mutex<HashMap<SessionId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    principal: PrincipalId,
    current: TokenHash,
    /// The token before, until the client has shown that it has the current one.
    previous: Option<TokenHash>,
    place: Place,
}

/// Where a session is.
#[derive(Debug)]
enum Place {
    /// With a connection, which lets go of it when this is cancelled.
    Connected(CancellationToken),
    /// With a connection that is to let go of it, for another one.
    Requested(oneshot::Sender<SessionHandle>),
    /// With a client that is coming back.
    Claimed,
    /// Here.
    Parked { session: Box<SessionHandle>, since: Timestamp },
}

#[derive(Debug, Clone, Copy)]
struct TokenHash([u8; 32]);

/// A session that was given to a connection.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) session: SessionHandle,
    /// What resumes it later.
    pub(super) token: Secret,
    /// Cancelled when another connection takes the session over.
    pub(super) fence: CancellationToken,
}

impl TokenHash {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Sessions {
    pub(super) fn new(window: Millis) -> Self {
        Self { window, entries: Mutex::default() }
    }

    /// How long a session can be resumed after its connection has ended.
    pub(super) const fn window(&self) -> Millis {
        self.window
    }

    /// Takes note of a session that was opened.
    pub(super) fn open(&self, now: Timestamp, session: SessionHandle) -> Result<Attached, NoEntropy> {
        self.forget_expired(now);
        let token = new_token(session.id())?;
        let fence = CancellationToken::new();
        let entry = Entry {
            principal: session.principal().id.clone(),
            current: TokenHash::of(&token),
            previous: None,
            place: Place::Connected(fence.clone()),
        };
        self.lock().insert(session.id(), entry);
        Ok(Attached { session, token: Secret::new(token), fence })
    }

    /// Gives a session to a client that comes back.
    pub(super) async fn resume(
        &self,
        now: Timestamp,
        principal: &Principal,
        resume: &Resume,
    ) -> Result<Attached, Refusal> {
        self.forget_expired(now);
        let presented = resume.resume_token.expose();
        let id = session_of(presented).ok_or(Refusal::ResumeUnknown)?;
        if resume.session_id.as_ref().is_some_and(|named| named.known() != Some(id)) {
            return Err(Refusal::ResumeUnknown);
        }
        let hash = TokenHash::of(presented);
        let mut session = match self.claim(id, &principal.id, &hash)? {
            Claim::Parked(session, since) => Claimed { sessions: self, session: Some(session), since },
            Claim::Requested(coming) => {
                let session = handed_over(coming).await?;
                Claimed { sessions: self, session: Some(Box::new(session)), since: now }
            }
        };
        session.rewind(resume.last_event_seq).await?;
        session.attach(&hash)
    }

    /// Finds the session that the token resumes, and takes it or asks its connection for it.
    fn claim(&self, id: SessionId, principal: &PrincipalId, token: &TokenHash) -> Result<Claim, Refusal> {
        let mut entries = self.lock();
        let entry = entries.get_mut(&id).ok_or(Refusal::ResumeUnknown)?;
        let known = entry.current.matches(token) || entry.previous.as_ref().is_some_and(|hash| hash.matches(token));
        if !known || entry.principal != *principal {
            return Err(Refusal::ResumeUnknown);
        }
        match std::mem::replace(&mut entry.place, Place::Claimed) {
            Place::Parked { session, since } => return Ok(Claim::Parked(session, since)),
            Place::Claimed => return Err(Refusal::ResumeBusy),
            Place::Connected(fence) => fence.cancel(),
            // Whoever was first goes on; if it has given up, this one takes its turn.
            Place::Requested(first) if first.is_closed() => {}
            Place::Requested(first) => {
                entry.place = Place::Requested(first);
                return Err(Refusal::ResumeBusy);
            }
        }
        let (to, coming) = oneshot::channel();
        entry.place = Place::Requested(to);
        Ok(Claim::Requested(coming))
    }

    /// The client has sent a frame: it has its current token.
    pub(super) fn confirm(&self, id: SessionId) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.previous = None;
        }
    }

    /// A connection has ended and lets go of its session: to the one that takes it over, or to be resumed later.
    pub(super) fn park(&self, now: Timestamp, session: SessionHandle) {
        self.put_back(now, Box::new(session));
        self.forget_expired(now);
    }

    fn put_back(&self, since: Timestamp, session: Box<SessionHandle>) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&session.id()) else { return };
        let session = match std::mem::replace(&mut entry.place, Place::Claimed) {
            Place::Requested(to) => match to.send(*session) {
                Ok(()) => return,
                // The one that asked for it has given up.
                Err(session) => Box::new(session),
            },
            Place::Connected(_) | Place::Claimed | Place::Parked { .. } => session,
        };
        entry.place = Place::Parked { session, since };
    }

    /// Forgets the session of this principal that waits for its client for the longest. Answers whether there was one.
    pub(super) fn evict_longest_parked(&self, principal: &PrincipalId) -> bool {
        let mut entries = self.lock();
        let parked = entries.iter().filter(|(_, entry)| entry.principal == *principal);
        let since = |place: &Place| match place {
            Place::Parked { since, .. } => Some(*since),
            Place::Connected(_) | Place::Requested(_) | Place::Claimed => None,
        };
        let longest = parked.filter_map(|(id, entry)| Some((since(&entry.place)?, *id))).min();
        longest.is_some_and(|(_, id)| entries.remove(&id).is_some())
    }

    /// The session was closed for good.
    pub(super) fn close(&self, id: SessionId) {
        self.lock().remove(&id);
    }

    fn forget_expired(&self, now: Timestamp) {
        let window = self.window;
        self.lock().retain(|_, entry| match &entry.place {
            Place::Parked { since, .. } => *since + window > now,
            Place::Connected(_) | Place::Requested(_) | Place::Claimed => true,
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Claim {
    Parked(Box<SessionHandle>, Timestamp),
    Requested(oneshot::Receiver<SessionHandle>),
}

/// A session that is being resumed. Dropped before it is attached, it is parked again as it was.
struct Claimed<'a> {
    sessions: &'a Sessions,
    session: Option<Box<SessionHandle>>,
    since: Timestamp,
}

impl Claimed<'_> {
    async fn rewind(&mut self, asked: EventSeq) -> Result<(), Refusal> {
        let Some(session) = &mut self.session else { return Err(Refusal::ResumeUnknown) };
        let last = session.event_seq();
        if asked > last {
            return Err(Refusal::ResumeAhead { asked, last });
        }
        session.rewind(asked).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a session is not resumed");
            Refusal::StoreUnavailable { reason: "it cannot be read" }
        })
    }

    fn attach(mut self, presented: &TokenHash) -> Result<Attached, Refusal> {
        let id = self.session.as_ref().map(|session| session.id()).ok_or(Refusal::ResumeUnknown)?;
        let token =
            new_token(id).map_err(|_| Refusal::StoreUnavailable { reason: "the machine gives no randomness" })?;
        let fence = CancellationToken::new();
        let session = {
            let mut entries = self.sessions.lock();
            let entry = entries.get_mut(&id).ok_or(Refusal::ResumeUnknown)?;
            entry.previous = Some(*presented);
            entry.current = TokenHash::of(&token);
            entry.place = Place::Connected(fence.clone());
            self.session.take().ok_or(Refusal::ResumeUnknown)?
        };
        Ok(Attached { session: *session, token: Secret::new(token), fence })
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.sessions.put_back(self.since, session);
        }
    }
}

/// The session, once the connection that has it lets go.
async fn handed_over(mut coming: oneshot::Receiver<SessionHandle>) -> Result<SessionHandle, Refusal> {
    match tokio::time::timeout(LET_GO, &mut coming).await {
        Ok(session) => session.map_err(|_| Refusal::ResumeUnknown),
        Err(_) => {
            // It may have come in this very moment, and would be lost with the channel.
            coming.close();
            coming.try_recv().map_err(|_| Refusal::ResumeBusy)
        }
    }
}

fn new_token(session: SessionId) -> Result<String, NoEntropy> {
    let secret: [u8; 32] = mint::random()?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let id = session.to_string();
    let id = id.strip_prefix(SessionId::PREFIX).unwrap_or_default();
    Ok(format!("{TOKEN_PREFIX}{id}_{digits}"))
}

/// The session that a token is of, by its own word.
fn session_of(token: &str) -> Option<SessionId> {
    let (id, _secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    format!("{}{id}", SessionId::PREFIX).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_session_and_nothing_else_is_one() {
        let session = SessionId::mint(Timestamp::from_unix_millis(9), [4; 10]);
        let token = new_token(session).unwrap();
        assert_eq!(session_of(&token), Some(session));
        assert_ne!(token, new_token(session).unwrap());
        for other in ["", "rt_", "rt_x_y", "sess_x", &token[3..]] {
            assert_eq!(session_of(other), None, "{other}");
        }
    }
}
