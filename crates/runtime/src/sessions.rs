//! The sessions of this gateway: which connection has each, and which wait for their client (spec 6.3).
//!
//! A session outlives its connection and the gateway. What a client needs to come back is in the store: the session's
//! stream in the journal, and its [`ResumeState`] in a document. Here is only who has it at the moment. Resuming is
//! reading again, whether the connection broke, the session was parked for an hour, or the gateway was killed: there is
//! one path.
//!
//! - A token's rotation is written down before the welcome is sent. Killed between the two, the gateway finds the
//!   client with the token before, which is still good.
//! - A resume while the old connection still looks alive fences that one off and waits for it to let go.
//! - An attempt that is refused changes nothing.
//! - A session that was connected when the gateway was killed counts as parked from the next start on: nobody knows
//!   since when its client is gone, and a gateway that is away is not the client's fault.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use moorline_core::Refusal;
use moorline_core::backlog::Missed;
use moorline_core::quota::Quota;
use moorline_core::resume::{Floor, ResumeState, ResumeToken, TokenHash};
use moorline_store::{Collection, DocKey, Document, Expect, PutError, ReadError, Store};
use moorline_types::{Epoch, EventSeq, Millis, PrincipalId, SessionId, StreamId, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ended::Ended;
use crate::mint::{self, NoEntropy};
use crate::session::SessionHandle;
use crate::spans::SessionSpans;
use crate::stored::StoredBytes;
use crate::sync::lock;

/// What tokens begin with; the session's id without its own prefix and 64 hexadecimal digits follow.
const TOKEN_PREFIX: &str = "rt_";

/// How long a connection that is fenced off may take to let go of its session. It does nothing but notice and write
/// down where the session stands; a busy machine needs milliseconds.
const LET_GO: Duration = Duration::from_secs(5);

/// How often sessions whose window is over are looked for. They are refused in any case; this frees their memory.
const SWEEP_INTERVAL: Millis = Millis::from_secs(10);

/// Documents that are read at once at a start.
const PAGE: usize = 256;

/// Sessions whose records are measured at once at a start: some for each thread that reads the store, so that none of them
/// waits to be asked.
const MEASURED_AT_ONCE: usize = 16;

/// A client's wish to go on with a session.
#[derive(Debug, Clone)]
pub struct ResumeRequest {
    /// The session, if the client names it beside the token.
    pub session: Option<SessionId>,
    /// The token of its last welcome.
    pub token: ResumeToken,
    /// The last number that it has seen.
    pub last: EventSeq,
    /// The lineage that the number is from, if the client knows it.
    pub epoch: Option<Epoch>,
    /// Whether the client takes an explicit gap where not everything that it missed can be shown.
    pub accepts_gap: bool,
}

/// A session that was given to a connection.
#[derive(Debug)]
pub struct Attached {
    /// The session.
    pub session: SessionHandle,
    /// What resumes it later.
    pub token: ResumeToken,
    /// Cancelled when another connection takes the session over.
    pub fence: CancellationToken,
    /// What the client is told before anything else: its numbers are of a journal that was replaced.
    pub replaced: bool,
    /// What it is told then: what followed its number is not kept any longer.
    pub missed: Option<Missed>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    window: Millis,
    ended: Ended,
    stored: StoredBytes,
    told: SessionSpans,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<SessionId, Entry>,
    counts: HashMap<PrincipalId, u64>,
    /// When sessions whose window is over were looked for last.
    swept: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    principal: PrincipalId,
    /// Of its records in the journal.
    bytes: u64,
    place: Place,
    changed: Arc<Notify>,
    /// How often it was parked. Where a session stands is written down by whoever has it, before that.
    parkings: u64,
    /// Whether the store may have a floor of it.
    has_floor: bool,
    /// Raised while it was connected.
    floor: Option<Arc<Floor>>,
    /// Whether there is a floor, for whoever has the session: it asks with every page that it reads.
    raised: Arc<AtomicBool>,
}

/// A [`ResumeState`] as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StateText(Bytes);

/// The longest that is remembered of a session that is parked, in bytes. After a restart thousands come back at once, and each
/// would ask the store for it; three or four hundred bytes are usual, and a session that watches hundreds of jobs has more.
const REMEMBERED: usize = 1_024;

/// What a session that is over has left in the journal.
#[derive(Debug)]
struct Left {
    principal: PrincipalId,
    bytes: u64,
}

/// Where a session is.
#[derive(Debug)]
enum Place {
    /// With a connection, which lets go of it when this is cancelled.
    Connected(CancellationToken),
    /// With a client that is coming back.
    Claimed,
    /// Nowhere: in the store.
    Parked {
        since: Timestamp,
        /// Where it stands, if that is known without asking the store.
        state: Option<StateText>,
    },
}

/// A session that somebody has. Dropped, the session is parked.
#[derive(Debug)]
pub(crate) struct Presence {
    sessions: Arc<Sessions>,
    id: SessionId,
    /// Since when the session counts as parked, once this is dropped.
    since: Timestamp,
    /// Where it stands then, if that is known without asking the store.
    state: Option<StateText>,
    raised: Arc<AtomicBool>,
    /// How often it was parked before.
    parkings: u64,
}

impl Sessions {
    pub(crate) fn new(store: Arc<dyn Store>, window: Millis, stored: StoredBytes, told: SessionSpans) -> Self {
        let ended = Ended::new(Arc::clone(&store));
        Self { store, window, ended, stored, told, state: Mutex::default() }
    }

    pub(crate) const fn window(&self) -> Millis {
        self.window
    }

    /// Takes note of the sessions that an earlier run of the gateway has left behind.
    pub(crate) async fn recover(&self, now: Timestamp) -> Result<(), ReadError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(Collection::Sessions, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.key().to_owned());
            // In order, and so that some are read while others are taken in.
            let mut measured = stream::iter(page).map(|found| self.measure(found)).buffered(MEASURED_AT_ONCE);
            while let Some(measured) = measured.next().await {
                let Some((id, state, text, bytes)) = measured? else { continue };
                self.stored.of(state.principal()).add(bytes);
                if state.is_expired(now, self.window) {
                    self.delete(now, id, Left { principal: state.principal().clone(), bytes }).await;
                    continue;
                }
                let since = state.parked().unwrap_or(now);
                let place = Place::Parked { since, state: text.remembered() };
                lock(&self.state).insert(id, state.principal().clone(), place);
                self.note_bytes(id, bytes);
            }
        }
        self.recover_floors().await
    }

    /// What a document says of a session, and the bytes of its records; `None` if it says nothing.
    async fn measure(
        &self,
        (key, document): (DocKey, Document),
    ) -> Result<Option<(SessionId, ResumeState, StateText, u64)>, ReadError> {
        let id = key.key().parse::<SessionId>();
        let text = StateText(document.value);
        let (Ok(id), Ok(state)) = (id, text.read()) else {
            tracing::error!(session = key.key(), "what resumes the session does not decode; it is lost");
            return Ok(None);
        };
        Ok(Some((id, state, text, self.store.stream_bytes(StreamId::Session(id)).await?)))
    }

    /// Takes note of which sessions have a floor, so that nobody looks for one that is not there.
    async fn recover_floors(&self) -> Result<(), ReadError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(Collection::SessionFloors, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.key().to_owned());
            page.iter().filter_map(|(key, _)| key.key().parse().ok()).for_each(|id| self.note_floor(id));
        }
    }

    /// The store may have a floor of the session from here on.
    fn note_floor(&self, id: SessionId) {
        if let Some(entry) = lock(&self.state).entries.get_mut(&id) {
            entry.has_floor = true;
        }
    }

    /// Takes room for a session that begins. At the limit, the principal's session that waits for its client for the
    /// longest makes room for one that is here.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        now: Timestamp,
        id: SessionId,
        principal: &PrincipalId,
        limit: Option<u64>,
    ) -> Result<(Presence, CancellationToken), Refusal> {
        self.forget_expired(now).await;
        let fence = CancellationToken::new();
        let (evicted, raised) = {
            let mut state = lock(&self.state);
            let count = state.counts.get(principal).copied().unwrap_or_default();
            let evicted = match Quota::Sessions.take(count, 1, limit) {
                Ok(_) => None,
                Err(reached) => {
                    let longest = state.longest_parked(principal).ok_or(reached)?;
                    state.remove(longest).map(|left| (longest, left))
                }
            };
            let raised = state.insert(id, principal.clone(), Place::Connected(fence.clone()));
            (evicted, raised)
        };
        if let Some((evicted, left)) = evicted {
            self.delete(now, evicted, left).await;
        }
        Ok((Presence { sessions: Arc::clone(self), id, since: now, state: None, raised, parkings: 0 }, fence))
    }

    /// Takes the session that the token resumes from whoever has it.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        now: Timestamp,
        principal: &PrincipalId,
        request: &ResumeRequest,
    ) -> Result<(Presence, ResumeState), Refusal> {
        self.forget_expired(now).await;
        let id = session_of(request.token.expose()).ok_or(Refusal::ResumeUnknown)?;
        if request.session.is_some_and(|named| named != id) {
            return Err(Refusal::ResumeUnknown);
        }
        let token = TokenHash::of(&request.token);
        let admit = |state: &ResumeState| state.admit(principal, &token, now, self.window);
        let known = lock(&self.state).entries.get(&id).map(|entry| (entry.parkings, entry.place.state()));
        let (parkings, known) = known.unzip();
        let found = self.load(id, known.flatten()).await?;
        // Before anybody is disturbed.
        admit(&found)?;
        let presence = self.take(id).await?;
        // Whoever had it meanwhile has written down where it stands, and may have been given another token.
        let state = if parkings == Some(presence.parkings) {
            found
        } else {
            let state = self.load(id, presence.state.clone()).await?;
            admit(&state)?;
            state
        };
        Ok((presence, state))
    }

    /// Waits until the session is parked, and takes it.
    async fn take(self: &Arc<Self>, id: SessionId) -> Result<Presence, Refusal> {
        let let_go = async {
            loop {
                let changed = {
                    let mut state = lock(&self.state);
                    let entry = state.entries.get_mut(&id).ok_or(Refusal::ResumeUnknown)?;
                    match std::mem::replace(&mut entry.place, Place::Claimed) {
                        Place::Parked { since, state } => {
                            let (sessions, raised) = (Arc::clone(self), Arc::clone(&entry.raised));
                            return Ok(Presence { sessions, id, since, state, raised, parkings: entry.parkings });
                        }
                        Place::Claimed => return Err(Refusal::ResumeBusy),
                        Place::Connected(fence) => {
                            fence.cancel();
                            entry.place = Place::Connected(fence);
                        }
                    }
                    // Registered under the lock under which the session is parked.
                    let mut changed = Box::pin(Arc::clone(&entry.changed).notified_owned());
                    changed.as_mut().enable();
                    changed
                };
                changed.await;
            }
        };
        tokio::time::timeout(LET_GO, let_go).await.map_err(|_| Refusal::ResumeBusy)?
    }

    /// The session is with a connection from here on, until the token is cancelled.
    pub(crate) fn connect(&self, id: SessionId) -> Option<CancellationToken> {
        let fence = CancellationToken::new();
        let mut state = lock(&self.state);
        state.entries.get_mut(&id)?.place = Place::Connected(fence.clone());
        Some(fence)
    }

    /// The session is over for good.
    pub(crate) async fn close(&self, now: Timestamp, id: SessionId) {
        let left = lock(&self.state).remove(id);
        if let Some(left) = left {
            self.delete(now, id, left).await;
        }
    }

    /// Records of the session are in the journal, and counted as its principal's.
    pub(crate) fn note_bytes(&self, id: SessionId, bytes: u64) {
        if let Some(entry) = lock(&self.state).entries.get_mut(&id) {
            entry.bytes += bytes;
        }
    }

    /// Writes down where a session stands. What was to be written, and why it is not.
    pub(crate) async fn save(&self, id: SessionId, state: &mut ResumeState) -> (StateText, Result<(), PutError>) {
        loop {
            let text = StateText::of(state);
            match self.store.put(&key(id), text.0.clone(), Expect::Any).await {
                // A session that watches thousands of jobs goes without checkpoints.
                Err(PutError::TooLarge { .. }) if state.shrink() => {}
                put => return (text, put.map(drop)),
            }
        }
    }

    /// What is written down about a session, if it can still be resumed.
    pub(crate) async fn stored(&self, id: SessionId) -> Result<Option<ResumeState>, ReadError> {
        let document = self.store.get(&key(id)).await?;
        Ok(document.and_then(|document| serde_json::from_slice(&document.value).ok()))
    }

    /// From where on the session can be read, if not from its beginning.
    pub(crate) async fn floor(&self, id: SessionId) -> Result<Option<Floor>, ReadError> {
        // One that is not here is over, and may have had one.
        if lock(&self.state).entries.get(&id).is_some_and(|entry| !entry.has_floor) {
            return Ok(None);
        }
        let document = self.store.get(&floor_key(id)).await?;
        Ok(document.and_then(|document| serde_json::from_slice(&document.value).ok()))
    }

    /// From here on the session is read from this place on, also by the connection that has it.
    pub(crate) async fn raise_floor(&self, id: SessionId, floor: Floor) -> Result<(), PutError> {
        let value = serde_json::to_vec(&floor).unwrap_or_default();
        self.note_floor(id);
        self.store.put(&floor_key(id), Bytes::from(value), Expect::Any).await?;
        if let Some(entry) = lock(&self.state).entries.get_mut(&id) {
            entry.floor = Some(Arc::new(floor));
            // Nothing is removed before this, so whoever has read across what is gone sees it.
            entry.raised.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Every session that somebody has or can come back to.
    pub(crate) fn all(&self) -> Vec<SessionId> {
        lock(&self.state).entries.keys().copied().collect()
    }

    /// Where the session stands, as it is known or from the store.
    async fn load(&self, id: SessionId, known: Option<StateText>) -> Result<ResumeState, Refusal> {
        let text = match known {
            Some(text) => text,
            None => {
                let document = self.store.get(&key(id)).await.map_err(|error| {
                    tracing::warn!(%error, "a session's state is not read");
                    Refusal::StoreUnavailable { reason: "it cannot be read" }
                })?;
                StateText(document.ok_or(Refusal::ResumeUnknown)?.value)
            }
        };
        text.read().map_err(|error| {
            tracing::error!(session = %id, %error, "what resumes the session does not decode; it is lost");
            Refusal::ResumeUnknown
        })
    }

    async fn delete(&self, now: Timestamp, id: SessionId, Left { principal, bytes }: Left) {
        self.told.tell(now, id, &principal);
        let noted = self.ended.add_session(now, id, &principal, bytes).await;
        let deleted = async {
            self.store.delete(&floor_key(id), Expect::Any).await?;
            self.store.delete(&key(id), Expect::Any).await
        };
        if let Err(error) = noted.and(deleted.await) {
            tracing::warn!(session = %id, %error, "the state of a session that is over stays until the next start");
        }
    }

    async fn forget_expired(&self, now: Timestamp) {
        let expired = {
            let mut state = lock(&self.state);
            if state.swept.is_some_and(|swept| now < swept + SWEEP_INTERVAL) {
                return;
            }
            state.swept = Some(now);
            state.take_expired(now, self.window)
        };
        for (id, left) in expired {
            self.delete(now, id, left).await;
        }
    }
}

impl State {
    fn insert(&mut self, id: SessionId, principal: PrincipalId, place: Place) -> Arc<AtomicBool> {
        *self.counts.entry(principal.clone()).or_default() += 1;
        let raised = Arc::<AtomicBool>::default();
        let raising = Arc::clone(&raised);
        let changed = Arc::default();
        let entry =
            Entry { principal, bytes: 0, place, changed, parkings: 0, has_floor: false, floor: None, raised: raising };
        self.entries.insert(id, entry);
        raised
    }

    fn remove(&mut self, id: SessionId) -> Option<Left> {
        let entry = self.entries.remove(&id)?;
        // Whoever waits for it looks again and finds nothing.
        entry.changed.notify_waiters();
        if let hash_map::Entry::Occupied(mut count) = self.counts.entry(entry.principal.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(Left { principal: entry.principal, bytes: entry.bytes })
    }

    fn longest_parked(&self, principal: &PrincipalId) -> Option<SessionId> {
        let own = self.entries.iter().filter(|(_, entry)| entry.principal == *principal);
        own.filter_map(|(id, entry)| Some((entry.place.parked_since()?, *id))).min().map(|(_, id)| id)
    }

    fn take_expired(&mut self, now: Timestamp, window: Millis) -> Vec<(SessionId, Left)> {
        let over = |entry: &Entry| entry.place.parked_since().is_some_and(|since| since + window <= now);
        let expired: Vec<_> = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(id, _)| *id).collect();
        expired.into_iter().filter_map(|id| Some((id, self.remove(id)?))).collect()
    }
}

impl StateText {
    fn of(state: &ResumeState) -> Self {
        Self(Bytes::from(serde_json::to_vec(state).unwrap_or_default()))
    }

    fn read(&self) -> Result<ResumeState, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The same if it may be remembered while the store has it.
    pub(crate) fn remembered(self) -> Option<Self> {
        (self.0.len() <= REMEMBERED).then_some(self)
    }
}

impl Place {
    fn state(&self) -> Option<StateText> {
        match self {
            Self::Parked { state, .. } => state.clone(),
            Self::Connected(_) | Self::Claimed => None,
        }
    }

    const fn parked_since(&self) -> Option<Timestamp> {
        match self {
            Self::Parked { since, .. } => Some(*since),
            Self::Connected(_) | Self::Claimed => None,
        }
    }
}

impl Presence {
    /// The session.
    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    /// From where on the session can be read, if that has changed while it was connected.
    pub(crate) fn floor(&self) -> Option<Arc<Floor>> {
        if !self.raised.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.sessions.state).entries.get(&self.id)?.floor.clone()
    }

    /// The directory that the session is in.
    pub(crate) const fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The session is parked from this moment on, in this state; without one, in that which the store has.
    pub(crate) fn leave(mut self, now: Timestamp, state: Option<StateText>) {
        self.since = now;
        self.state = state;
    }

    /// What the store has is newer than what was known.
    pub(crate) fn forget_state(&mut self) {
        self.state = None;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = lock(&self.sessions.state);
        if let Some(entry) = state.entries.get_mut(&self.id) {
            entry.place = Place::Parked { since: self.since, state: self.state.take() };
            entry.parkings += 1;
            entry.changed.notify_waiters();
        }
    }
}

fn floor_key(id: SessionId) -> DocKey {
    DocKey::new(Collection::SessionFloors, id.to_string()).expect("a session's id is a valid key by its form")
}

fn key(id: SessionId) -> DocKey {
    DocKey::new(Collection::Sessions, id.to_string()).expect("a session's id is a valid key by its form")
}

/// A fresh token that resumes the session.
pub(crate) fn new_token(session: SessionId) -> Result<ResumeToken, NoEntropy> {
    let secret: [u8; 32] = mint::random()?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let id = session.to_string();
    let id = id.strip_prefix(SessionId::PREFIX).unwrap_or_default();
    Ok(ResumeToken::new(format!("{TOKEN_PREFIX}{id}_{digits}")))
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
        let text = token.expose();
        assert_eq!(session_of(text), Some(session));
        assert_ne!(token, new_token(session).unwrap());
        for other in ["", "rt_", "rt_x_y", "sess_x", &text[3..]] {
            assert_eq!(session_of(other), None, "{other}");
        }
    }
}
