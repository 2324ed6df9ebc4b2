//! The keys that let somebody in.

use std::collections::BTreeMap;

use moorline_types::Principal;

use super::{ApiKey, KeyRecord};

/// The records of all keys, found by the hash of what is presented.
///
/// A value: a change of the records makes another ring.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    records: BTreeMap<u64, Vec<KeyRecord>>,
}

impl KeyRing {
    /// The ring of these records.
    pub fn new(records: impl IntoIterator<Item = KeyRecord>) -> Self {
        let mut ring = Self::default();
        for record in records {
            ring.records.entry(record.sha256.index()).or_default().push(record);
        }
        ring
    }

    /// Whom a presented token authenticates, and with which key; `None` if it is no key, not ours, or disabled.
    ///
    /// Why is not said. How long it takes depends on the form of the token, which its sender knows, and on how many
    /// records share the first 64 bits of its hash, which nobody can choose without knowing a key.
    pub fn find(&self, token: &str) -> Option<&KeyRecord> {
        let hash = ApiKey::parse(token).ok()?.hash();
        let candidates = self.records.get(&hash.index())?;
        candidates.iter().find(|record| record.sha256.matches(&hash) && !record.disabled)
    }

    /// Whom a presented token authenticates.
    pub fn authenticate(&self, token: &str) -> Option<Principal> {
        self.find(token).map(KeyRecord::principal)
    }

    /// How many keys there are, disabled ones included.
    pub fn len(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    /// Whether there is no key at all: the first start.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::{Scopes, Timestamp};

    use super::*;
    use crate::keys::KEY_ENTROPY_BYTES;

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
            assert_eq!(ring.authenticate(token), None, "{:.50}", token);
        }
        assert_eq!(KeyRing::default().authenticate(key.expose()), None);
    }

    #[test]
    fn a_disabled_key_lets_nobody_in() {
        let (key, record) = issue(1, "ada");
        let ring = KeyRing::new([KeyRecord { disabled: true, ..record }]);
        assert_eq!((ring.authenticate(key.expose()), ring.len()), (None, 1));
    }

    #[test]
    fn each_key_authenticates_its_own_principal() {
        let issued: Vec<_> =
            ["ada", "bob", "cyd"].into_iter().zip(1..).map(|(name, n)| (name, issue(n, name))).collect();
        let ring = KeyRing::new(issued.iter().map(|(_, (_, record))| record.clone()));
        for (name, (key, record)) in issued {
            assert_eq!(ring.authenticate(key.expose()).unwrap().id.as_str(), name);
            assert_eq!(ring.find(key.expose()).unwrap().id, record.id);
        }
    }

    #[test]
    fn records_that_share_an_index_are_told_apart_by_the_whole_hash() {
        let (key, record) = issue(1, "ada");
        let index = record.sha256.to_string()[..16].to_owned();
        let twin = serde_json::json!({ "hash": format!("{index}{}", "0".repeat(48)) });
        let sha256 = serde_json::from_value(twin["hash"].clone()).unwrap();
        let other = KeyRecord { sha256, principal: "eve".parse().unwrap(), ..record.clone() };
        let ring = KeyRing::new([other, record]);
        assert_eq!(ring.authenticate(key.expose()).unwrap().id.as_str(), "ada");
    }
}
