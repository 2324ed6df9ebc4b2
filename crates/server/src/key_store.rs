//! API keys in the store: loaded at the start, with one made at the first.

use bytes::Bytes;
use moorline_runtime::mint::{self, NoEntropy};
use moorline_store::{Collection, DocKey, DocKeyError, Expect, PutError, ReadError, Store};
use moorline_types::Timestamp;

use crate::keys::{ApiKey, EntropyError, KeyRecord, KeyRecordError, KeyRing, create_admin};

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
        assert!(ring.authenticate(made.expose()).is_some());
        let (again, none) = load_keys(&store, now).await.unwrap();
        assert!(none.is_none());
        assert!(again.authenticate(made.expose()).is_some());
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
