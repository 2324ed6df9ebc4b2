//! API keys in the store: loaded at the start, with one made at the first, and looked after while the gateway runs.
//!
//! - A change is made at an administrator's word over any door, is written down first, and holds at once: whoever is
//!   connected with a key that is revoked, expires, or was replaced and is past its overlap, is disconnected.
//! - The last key that can administer for good is not revoked: nobody could make another.
//! - A key that is over stays on the list, so that its bearer can be told why and its use can be traced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use moorline_core::Refusal;
use moorline_core::access::{Action, Relation, authorise};
use moorline_core::audit::AuditEntry;
use moorline_runtime::Audit;
use moorline_runtime::mint::{self, NoEntropy};
use moorline_store::{Change, Collection, DocKey, DocKeyError, Expect, PutError, ReadError, Store};
use moorline_types::{KeyId, Millis, Principal, Scope, Timestamp};
use tokio::sync::watch;

use crate::jwt;
use crate::keys::{
    ApiKey, Authenticated, Credential, EntropyError, KeyRecord, KeyRecordError, KeyRing, NotLetIn, Presented, Standing,
    Validity, create_admin,
};

/// Keys that are read at once.
const PAGE: usize = 256;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The store cannot be read.
    #[error("the API keys cannot be read")]
    Read(#[from] ReadError),
    /// A document is no key's record.
    #[error("the API key {key} in the store cannot be used")]
    Record {
        /// The document's key.
        key: String,
        /// Why not.
        #[source]
        source: KeyRecordError,
    },
    /// The first key cannot be made.
    #[error("the administrator's API key cannot be made")]
    Make(#[from] KeyRecordError),
    /// The machine gives no randomness for a key.
    #[error("the administrator's API key cannot be drawn")]
    Draw(#[from] EntropyError),
    /// The machine gives no randomness for an id.
    #[error("the administrator's API key cannot be named")]
    Entropy(#[from] NoEntropy),
    /// The first key cannot be stored.
    #[error("the administrator's API key cannot be stored")]
    Store(#[from] PutError),
    /// The first key cannot be stored under its name.
    #[error("the administrator's API key cannot be filed")]
    Key(#[from] DocKeyError),
}

/// Every key, and the secret of the administrator's if this start has made it.
///
/// # Errors
/// See [`KeyStoreError`]. A record that does not decode keeps the gateway from starting: it may be one that disables a
/// key.
pub(crate) async fn load_keys(store: &dyn Store, now: Timestamp) -> Result<(KeyRing, Option<ApiKey>), KeyStoreError> {
    let records = read_all(store).await?;
    if !records.is_empty() {
        return Ok((KeyRing::new(records), None));
    }
    let new = create_admin(ApiKey::generate()?, now, mint::random()?)?;
    let key = DocKey::new(Collection::ApiKeys, new.record.id.to_string())?;
    store.put(&key, Bytes::from(new.record.to_json()?), Expect::Absent).await?;
    Ok((KeyRing::new([new.record]), Some(new.key)))
}

async fn read_all(store: &dyn Store) -> Result<Vec<KeyRecord>, KeyStoreError> {
    let mut records = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list(Collection::ApiKeys, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(records) };
        after = Some(last.key().to_owned());
        for (key, document) in &page {
            let record = KeyRecord::from_json(&document.value)
                .map_err(|source| KeyStoreError::Record { key: key.key().to_owned(), source })?;
            records.push(record);
        }
    }
}

/// Keys that there may be. A page of a list has a fraction of them, and all of them are in memory.
pub(crate) const MAX_KEYS: usize = 10_000;

/// Keys in one page of a list. With sixteen tags and some patterns an entry has a few kilobytes.
const MAX_LISTED: usize = 100;

/// How long the secret that a rotation replaces is good, unless the administrator says otherwise: long enough to carry
/// the new one to where it is used.
pub(crate) const DEFAULT_OVERLAP: Millis = Millis::from_secs(60 * 60);

/// How often the last use of a key is written down: often enough to find keys that nobody uses, and one commit a minute
/// for each key at the most.
const NOTE_USE_EVERY: Millis = Millis::from_secs(60);

/// What an administrator wants to be done.
#[derive(Debug)]
pub(crate) enum KeysRequest {
    Create { name: String, principal: Box<Principal>, expires_in: Option<Millis> },
    List { after: Option<KeyId> },
    Revoke { key: KeyId },
    Rotate { key: KeyId, overlap: Millis },
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct KeysAnswer {
    pub(crate) keys: Vec<KeyRecord>,
    /// The only moment at which it exists next to its record.
    pub(crate) secret: Option<ApiKey>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<KeyId>,
}

/// Where it is told what was done with keys: in the audit trail, in one commit with the change itself.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) trail: &'a Audit,
    /// Who does it, from where, and on what ground.
    pub(crate) entry: AuditEntry,
}

impl Told<'_> {
    fn entry(self, what: &str, record: Option<&KeyRecord>) -> AuditEntry {
        AuditEntry {
            object: record.map(|record| record.id.to_string()),
            owner: record.map(|record| record.principal.to_string()),
            reason: Some(what.to_owned()),
            ..self.entry
        }
    }
}

/// The keys of a running gateway. A change is written down before it holds, and from then on it holds for connections
/// that there are already.
#[derive(Debug)]
pub struct Keys {
    store: Arc<dyn Store>,
    state: Mutex<State>,
    /// Held while a record is written, so that no two changes are made to one.
    writing: tokio::sync::Mutex<()>,
    /// What the names of principals begin with that are not for keys.
    reserved: Vec<String>,
}

#[derive(Debug)]
struct State {
    ring: KeyRing,
    /// For whoever is connected with a key; made when somebody connects.
    standings: HashMap<KeyId, Standings>,
}

/// How long the secrets of one key are good.
#[derive(Debug)]
struct Standings {
    current: watch::Sender<Validity>,
    previous: Option<watch::Sender<Validity>>,
}

impl Keys {
    /// The keys of this ring, which are in this store.
    pub fn new(store: Arc<dyn Store>, ring: KeyRing) -> Self {
        let state = Mutex::new(State { ring, standings: HashMap::new() });
        let reserved = vec![jwt::PRINCIPAL_PREFIX.to_owned()];
        Self { store, state, writing: tokio::sync::Mutex::default(), reserved }
    }

    /// The same, and no key is made for principals whose names begin so: they are those of trusted tokens.
    #[must_use]
    pub fn reserving(mut self, prefix: Option<String>) -> Self {
        self.reserved.extend(prefix);
        self
    }

    /// Whom a bearer token authenticates, and for how long.
    ///
    /// # Errors
    /// Why it lets nobody in. Whoever has no key is not told which keys there are or were.
    pub(crate) async fn authenticate(&self, token: &str, now: Timestamp) -> Result<Authenticated, NotLetIn> {
        let (authenticated, due) = self.check(token, now)?;
        if let Some(record) = due {
            self.note_use(record.id, now).await;
        }
        Ok(authenticated)
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<(Authenticated, Option<KeyRecord>), NotLetIn> {
        let mut state = lock(&self.state);
        let State { ring, standings } = &mut *state;
        let Presented { record, is_previous } = ring.find(token, now)?;
        let standings = standings.entry(record.id).or_insert_with(|| Standings::of(record));
        let watched = match &standings.previous {
            Some(previous) if is_previous => previous,
            _ => &standings.current,
        };
        let standing = Standing::watched(watched.subscribe());
        let due = record.last_used_at.is_none_or(|last| last + NOTE_USE_EVERY <= now);
        let (principal, credential) = (record.principal(), Credential::ApiKey(record.id));
        Ok((Authenticated { principal, standing, credential }, due.then(|| record.clone())))
    }

    async fn note_use(&self, key: KeyId, now: Timestamp) {
        let Ok(_writing) = self.writing.try_lock() else { return };
        let Some(record) = lock(&self.state).ring.get(key).cloned() else { return };
        let record = KeyRecord { last_used_at: Some(now), ..record };
        if let Err(refusal) = self.write(record).await {
            tracing::debug!(%key, %refusal, "the last use of an API key is not written down");
        }
    }

    /// Does what an administrator wants.
    ///
    /// # Errors
    /// If the principal is none, the request cannot be met, or the store cannot be written; then nothing has changed.
    pub(crate) async fn perform(
        &self,
        by: &Principal,
        now: Timestamp,
        request: KeysRequest,
        told: Told<'_>,
    ) -> Result<KeysAnswer, Refusal> {
        authorise(by, Action::Administer, Relation::Owner)?;
        if let KeysRequest::List { after } = request {
            // One look is one entry, however many pages it has.
            if after.is_none() {
                told.trail.record(told.entry("listed", None)).await?;
            }
            return Ok(self.list(after));
        }
        let _writing = self.writing.lock().await;
        match request {
            KeysRequest::Create { name, principal, expires_in } => {
                self.create(by, now, &name, *principal, expires_in, told).await
            }
            KeysRequest::Rotate { key, overlap } => self.rotate(by, now, key, overlap, told).await,
            KeysRequest::Revoke { key } => self.revoke(by, now, key, told).await,
            KeysRequest::List { after } => Ok(self.list(after)),
        }
    }

    fn list(&self, after: Option<KeyId>) -> KeysAnswer {
        let state = lock(&self.state);
        let mut keys: Vec<_> = state.ring.after(after).take(MAX_LISTED + 1).cloned().collect();
        let more = keys.len() > MAX_LISTED;
        keys.truncate(MAX_LISTED);
        let next = keys.last().map(|last| last.id).filter(|_| more);
        KeysAnswer { keys, secret: None, next }
    }

    async fn create(
        &self,
        by: &Principal,
        now: Timestamp,
        name: &str,
        principal: Principal,
        expires_in: Option<Millis>,
        told: Told<'_>,
    ) -> Result<KeysAnswer, Refusal> {
        if lock(&self.state).ring.len() >= MAX_KEYS {
            return Err(Refusal::TooManyKeys { limit: MAX_KEYS });
        }
        if let Some(prefix) = self.reserved.iter().find(|prefix| principal.id.as_str().starts_with(prefix.as_str())) {
            let reason = format!(
                "principals whose names begin with {prefix:?} are those of tokens (auth.jwt.principal_prefix); choose \
                 another name"
            );
            return Err(Refusal::KeyRefused { reason });
        }
        let secret = draw()?;
        let entropy = mint::random().map_err(|error| undrawn(&error))?;
        let record = KeyRecord::issue(&secret, name, principal, now, entropy)
            .map_err(|error| Refusal::KeyRefused { reason: error.to_string() })?;
        let record = KeyRecord { expires_at: expires_in.map(|length| now + length), ..record };
        self.change(record.clone(), "made", told).await?;
        tracing::info!(key = %record.id, principal = %record.principal, by = %by.id, "an API key is made");
        Ok(KeysAnswer { keys: vec![record], secret: Some(secret), next: None })
    }

    async fn rotate(
        &self,
        by: &Principal,
        now: Timestamp,
        key: KeyId,
        overlap: Millis,
        told: Told<'_>,
    ) -> Result<KeysAnswer, Refusal> {
        let record = self.known(key)?;
        if !record.is_good(now) {
            return Err(Refusal::KeyOver { key });
        }
        let secret = draw()?;
        let record = record.rotated(&secret, now, overlap);
        self.change(record.clone(), "rotated", told).await?;
        if let Some(standings) = lock(&self.state).standings.get_mut(&key) {
            standings.rotate(&record);
        }
        tracing::info!(%key, by = %by.id, "an API key has another secret");
        Ok(KeysAnswer { keys: vec![record], secret: Some(secret), next: None })
    }

    async fn revoke(&self, by: &Principal, now: Timestamp, key: KeyId, told: Told<'_>) -> Result<KeysAnswer, Refusal> {
        let record = self.known(key)?;
        if !self.leaves_an_administrator(key, now) {
            return Err(Refusal::LastAdministrator);
        }
        let record = record.revoked(now);
        self.change(record.clone(), "revoked", told).await?;
        if let Some(standings) = lock(&self.state).standings.remove(&key) {
            standings.revoke(key);
        }
        tracing::info!(%key, by = %by.id, "an API key is revoked");
        Ok(KeysAnswer { keys: vec![record], secret: None, next: None })
    }

    fn known(&self, key: KeyId) -> Result<KeyRecord, Refusal> {
        lock(&self.state).ring.get(key).cloned().ok_or(Refusal::KeyUnknown { key })
    }

    /// Whether some key is left that can administer, and does not end by itself, or none could before.
    fn leaves_an_administrator(&self, without: KeyId, now: Timestamp) -> bool {
        let state = lock(&self.state);
        let lasts = |record: &KeyRecord| {
            record.is_good(now) && record.expires_at.is_none() && record.scopes.contains(Scope::Administer)
        };
        state.ring.get(without).is_none_or(|record| !lasts(record))
            || state.ring.after(None).any(|record| record.id != without && lasts(record))
    }

    /// Changes a key at an administrator's word: the record and what the audit trail says of it are one commit, and hold
    /// from then on.
    async fn change(&self, record: KeyRecord, what: &str, told: Told<'_>) -> Result<(), Refusal> {
        let (key, value) = document(&record)?;
        let trail = told.trail;
        trail.commit(told.entry(what, Some(&record)), Change::put(key, value, Expect::Any)).await?;
        lock(&self.state).ring.put(record);
        Ok(())
    }

    /// Writes down what is no change of an administrator's.
    async fn write(&self, record: KeyRecord) -> Result<(), Refusal> {
        let (key, value) = document(&record)?;
        self.store.put(&key, value, Expect::Any).await.map_err(|error| unwritten(&record, &error))?;
        lock(&self.state).ring.put(record);
        Ok(())
    }
}

/// A key's record as it is stored.
fn document(record: &KeyRecord) -> Result<(DocKey, Bytes), Refusal> {
    let key = DocKey::new(Collection::ApiKeys, record.id.to_string()).map_err(|error| unwritten(record, &error))?;
    let value = record.to_json().map_err(|error| unwritten(record, &error))?;
    Ok((key, Bytes::from(value)))
}

fn unwritten(record: &KeyRecord, error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::warn!(error, key = %record.id, "an API key is not written");
    Refusal::StoreUnavailable { reason: "the API key cannot be written" }
}

impl Standings {
    fn of(record: &KeyRecord) -> Self {
        let until = |at| watch::channel(Validity::Until(at)).0;
        let previous = record.previous.as_ref().map(|previous| until(Some(previous.until)));
        Self { current: until(record.expires_at), previous }
    }

    /// Whoever is connected with the secret before the last is disconnected; with the last, when its overlap is over.
    fn rotate(&mut self, record: &KeyRecord) {
        let former = std::mem::replace(self, Self::of(record));
        let Some(until) = record.previous.as_ref().map(|previous| previous.until) else { return };
        if let Some(before) = former.previous {
            before.send_replace(Validity::Until(record.rotated_at));
        }
        former.current.send_replace(Validity::Until(Some(until)));
        self.previous = Some(former.current);
    }

    fn revoke(self, key: KeyId) {
        for sender in self.previous.into_iter().chain([self.current]) {
            sender.send_replace(Validity::Revoked(key));
        }
    }
}

fn draw() -> Result<ApiKey, Refusal> {
    ApiKey::generate().map_err(|error| undrawn(&error))
}

fn undrawn(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "no API key can be drawn");
    Refusal::StoreUnavailable { reason: "the machine gives no randomness" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use moorline_store::MemoryStore;
    use moorline_types::Epoch;

    use super::*;

    fn store() -> MemoryStore {
        MemoryStore::new(Epoch::mint(Timestamp::from_unix_millis(1), [0; 10]), moorline_store::TailLimits::default())
    }

    #[tokio::test]
    async fn the_first_start_makes_a_key_and_the_second_knows_it() {
        let (store, now) = (store(), Timestamp::from_unix_millis(5));
        let (ring, made) = load_keys(&store, now).await.unwrap();
        let made = made.unwrap();
        assert!(ring.authenticate(made.expose(), now).is_some());
        let (again, none) = load_keys(&store, now).await.unwrap();
        assert!(none.is_none());
        assert!(again.authenticate(made.expose(), now).is_some());
    }

    #[tokio::test]
    async fn a_record_that_does_not_decode_is_not_passed_over() {
        let store = store();
        let key = DocKey::new(Collection::ApiKeys, "key_x").unwrap();
        store.put(&key, Bytes::from_static(b"{}"), Expect::Any).await.unwrap();
        let error = load_keys(&store, Timestamp::from_unix_millis(5)).await.unwrap_err();
        assert!(error.to_string().contains("key_x"), "{error}");
    }
}
