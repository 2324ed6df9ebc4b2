//! The keys that let somebody in.

use std::collections::BTreeMap;

use moorline_core::Refusal;
use moorline_types::{KeyId, Principal, Timestamp};

use super::{ApiKey, KeyRecord};

/// The records of all keys, found by the hash of what is presented.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    records: BTreeMap<KeyId, KeyRecord>,
    /// The keys whose hash, or whose former hash, begins so.
    hashes: BTreeMap<u64, Vec<KeyId>>,
}

/// The key that was presented.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its record.
    pub record: &'a KeyRecord,
    /// Whether it is the secret that a rotation has replaced.
    pub is_previous: bool,
}

/// Why nobody is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotLetIn {
    /// It is no key of ours.
    Unknown,
    /// The key was withdrawn. Only its bearer is told.
    Revoked(KeyId),
    /// The key, or its secret that was replaced, was good until then. Only its bearer is told.
    Expired(KeyId, Timestamp),
}

impl NotLetIn {
    /// The key that was presented, if it is one of ours.
    pub const fn key(self) -> Option<KeyId> {
        match self {
            Self::Unknown => None,
            Self::Revoked(key) | Self::Expired(key, _) => Some(key),
        }
    }

    /// For the audit trail.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "the token is nobody's",
            Self::Revoked(_) => "the API key is revoked",
            Self::Expired(..) => "the API key, or its secret, has expired",
        }
    }
}

impl From<NotLetIn> for Refusal {
    fn from(not: NotLetIn) -> Self {
        match not {
            NotLetIn::Unknown => Self::Unauthenticated,
            NotLetIn::Revoked(key) => Self::KeyRevoked { key },
            NotLetIn::Expired(_, at) => Self::CredentialExpired { at },
        }
    }
}

impl KeyRing {
    /// The ring of these records.
    pub fn new(records: impl IntoIterator<Item = KeyRecord>) -> Self {
        let mut ring = Self::default();
        records.into_iter().for_each(|record| ring.put(record));
        ring
    }

    /// Adds a record, or replaces the one of the same key.
    pub fn put(&mut self, record: KeyRecord) {
        let id = record.id;
        if let Some(before) = self.records.get(&id) {
            for index in indexes(before) {
                if let Some(keys) = self.hashes.get_mut(&index) {
                    keys.retain(|key| *key != id);
                }
            }
            self.hashes.retain(|_, keys| !keys.is_empty());
        }
        for index in indexes(&record) {
            self.hashes.entry(index).or_default().push(id);
        }
        self.records.insert(id, record);
    }

    /// Which key a presented token is.
    ///
    /// How long it takes depends on the form of the token, which its sender knows, and on how many records share the
    /// first 64 bits of its hash, which nobody can choose without knowing a key.
    ///
    /// # Errors
    /// Why it lets nobody in. Whoever has no key learns nothing from it.
    pub fn find(&self, token: &str, now: Timestamp) -> Result<Presented<'_>, NotLetIn> {
        let hash = ApiKey::parse(token).map_err(|_| NotLetIn::Unknown)?.hash();
        let candidates = self.hashes.get(&hash.index()).ok_or(NotLetIn::Unknown)?;
        for record in candidates.iter().filter_map(|id| self.records.get(id)) {
            let previous = record.previous.as_ref().filter(|previous| previous.sha256.matches(&hash));
            let is_previous = previous.is_some();
            if !is_previous && !record.sha256.matches(&hash) {
                continue;
            }
            let over = |at: &Timestamp| *at <= now;
            let ends = previous.map(|previous| previous.until).into_iter().chain(record.expires_at).find(over);
            return match ends {
                _ if record.disabled => Err(NotLetIn::Revoked(record.id)),
                Some(at) => Err(NotLetIn::Expired(record.id, at)),
                None => Ok(Presented { record, is_previous }),
            };
        }
        Err(NotLetIn::Unknown)
    }

    /// Whom a presented token authenticates.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Option<Principal> {
        self.find(token, now).ok().map(|presented| presented.record.principal())
    }

    /// The record of a key.
    pub fn get(&self, id: KeyId) -> Option<&KeyRecord> {
        self.records.get(&id)
    }

    /// The records after this key, in the order in which they were made.
    pub fn after(&self, last: Option<KeyId>) -> impl Iterator<Item = &KeyRecord> {
        use std::ops::Bound;

        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.records.range((from, Bound::Unbounded)).map(|(_, record)| record)
    }

    /// How many keys there are, those that are over included.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no key at all: the first start.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

fn indexes(record: &KeyRecord) -> impl Iterator<Item = u64> {
    let previous = record.previous.as_ref().map(|previous| previous.sha256.index());
    std::iter::once(record.sha256.index()).chain(previous)
}

#[cfg(test)]
mod tests {
    use moorline_types::{Scopes, Timestamp};

    use super::*;
    use crate::keys::KEY_ENTROPY_BYTES;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000);

    fn issue(number: u8, name: &str) -> (ApiKey, KeyRecord) {
        let key = ApiKey::from_entropy([number; KEY_ENTROPY_BYTES]);
        let principal = Principal::new(name.parse().unwrap(), Scopes::JOBS);
        let record = KeyRecord::issue(&key, name, principal, Timestamp::from_unix_millis(0), [number; 10]).unwrap();
        (key, record)
    }

    #[test]
    fn nobody_is_let_in_without_a_key_of_the_ring() {
        let (key, record) = issue(1, "ada");
        let (stranger, _) = issue(2, "eve");
        let ring = KeyRing::new([record.clone()]);
        let lower = key.expose().to_lowercase();
        for token in ["", "mlk_", stranger.expose(), &lower, &record.sha256.to_string(), &"x".repeat(1 << 20)] {
            assert_eq!(ring.authenticate(token, NOW), None, "{:.50}", token);
        }
        assert_eq!(KeyRing::default().authenticate(key.expose(), NOW), None);
    }

    #[test]
    fn only_its_bearer_is_told_that_a_key_is_good_no_longer() {
        let (key, record) = issue(1, "ada");
        let (stranger, _) = issue(2, "eve");
        let id = record.id;
        for (record, expected) in [
            (KeyRecord { disabled: true, ..record.clone() }, NotLetIn::Revoked(id)),
            (KeyRecord { expires_at: Some(NOW), ..record.clone() }, NotLetIn::Expired(id, NOW)),
            (KeyRecord { disabled: true, expires_at: Some(NOW), ..record.clone() }, NotLetIn::Revoked(id)),
        ] {
            let ring = KeyRing::new([record]);
            assert_eq!(ring.find(key.expose(), NOW).unwrap_err(), expected);
            assert_eq!(ring.find(stranger.expose(), NOW).unwrap_err(), NotLetIn::Unknown);
            assert_eq!(ring.len(), 1);
        }
    }

    #[test]
    fn a_secret_that_was_replaced_is_good_for_the_overlap_and_then_no_longer() {
        let (key, record) = issue(1, "ada");
        let other = ApiKey::from_entropy([9; KEY_ENTROPY_BYTES]);
        let overlap = moorline_types::Millis::from_secs(60);
        let (id, mut ring) = (record.id, KeyRing::new([record.clone()]));
        ring.put(record.rotated(&other, NOW, overlap));
        assert!(ring.find(key.expose(), NOW).unwrap().is_previous);
        assert!(!ring.find(other.expose(), NOW).unwrap().is_previous);
        let end = NOW + overlap;
        assert_eq!(ring.find(key.expose(), end).unwrap_err(), NotLetIn::Expired(id, end));
        assert!(ring.find(other.expose(), end).is_ok());
        // Twice rotated: the first secret is none of ours any more.
        let twice = ring.get(ring.find(other.expose(), NOW).unwrap().record.id).unwrap().clone();
        ring.put(twice.rotated(&ApiKey::from_entropy([10; KEY_ENTROPY_BYTES]), NOW, overlap));
        assert_eq!(ring.find(key.expose(), NOW).unwrap_err(), NotLetIn::Unknown);
        assert_eq!(ring.len(), 1);
    }

    #[test]
    fn each_key_authenticates_its_own_principal() {
        let issued: Vec<_> =
            ["ada", "bob", "cyd"].into_iter().zip(1..).map(|(name, n)| (name, issue(n, name))).collect();
        let ring = KeyRing::new(issued.iter().map(|(_, (_, record))| record.clone()));
        for (name, (key, record)) in issued {
            assert_eq!(ring.authenticate(key.expose(), NOW).unwrap().id.as_str(), name);
            assert_eq!(ring.find(key.expose(), NOW).unwrap().record.id, record.id);
        }
    }

    #[test]
    fn records_that_share_an_index_are_told_apart_by_the_whole_hash() {
        let (key, record) = issue(1, "ada");
        let index = record.sha256.to_string()[..16].to_owned();
        let twin = serde_json::json!({ "hash": format!("{index}{}", "0".repeat(48)) });
        let sha256 = serde_json::from_value(twin["hash"].clone()).unwrap();
        let other = KeyRecord { sha256, principal: "eve".parse().unwrap(), id: issue(3, "eve").1.id, ..record.clone() };
        let ring = KeyRing::new([other, record]);
        assert_eq!(ring.authenticate(key.expose(), NOW).unwrap().id.as_str(), "ada");
    }
}
