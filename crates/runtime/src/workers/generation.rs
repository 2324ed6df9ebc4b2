//! Which life of the gateway this is: a number in the store that every start raises.
//!
//! It makes fences unique over restarts, and lets a worker tell a gateway that was paused and overtaken from the one
//! that overtook it.

use bytes::Bytes;
use moorline_store::{Collection, DocKey, DocKeyError, Expect, PutError, ReadError, Store};
use moorline_worker::message::GatewayEpoch;

const KEY: &str = "generation";

/// Why the number cannot be raised.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The store cannot be read.
    #[error("the gateway's generation cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written, or another gateway has raised the number in the same moment.
    #[error("the gateway's generation cannot be raised")]
    Put(#[from] PutError),
    /// What is stored is not a number.
    #[error("the gateway's generation is damaged: restore the store from a backup")]
    NotANumber,
    /// The document cannot be named.
    #[error("the gateway's generation cannot be named")]
    Key(#[from] DocKeyError),
}

/// Raises the number, durably, and returns it.
///
/// # Errors
/// See [`GenerationError`].
pub async fn raise_generation(store: &dyn Store) -> Result<GatewayEpoch, GenerationError> {
    let key = DocKey::new(Collection::Meta, KEY)?;
    let (last, expect) = match store.get(&key).await? {
        None => (0, Expect::Absent),
        Some(document) => {
            let text = std::str::from_utf8(&document.value).map_err(|_| GenerationError::NotANumber)?;
            let last: u32 = text.parse().map_err(|_| GenerationError::NotANumber)?;
            (last, Expect::Revision(document.revision))
        }
    };
    let next = last.checked_add(1).ok_or(GenerationError::NotANumber)?;
    store.put(&key, Bytes::from(next.to_string()), expect).await?;
    Ok(GatewayEpoch::new(u64::from(next)))
}

#[cfg(test)]
mod tests {
    use moorline_store::MemoryStore;
    use moorline_types::{Epoch, Timestamp};

    use super::*;

    #[tokio::test]
    async fn every_start_has_a_higher_number() {
        let store = MemoryStore::new(
            Epoch::mint(Timestamp::from_unix_millis(1), [0; 10]),
            moorline_store::TailLimits::default(),
        );
        assert_eq!(raise_generation(&store).await.unwrap(), GatewayEpoch::new(1));
        assert_eq!(raise_generation(&store).await.unwrap(), GatewayEpoch::new(2));
    }

    #[tokio::test]
    async fn a_damaged_number_is_not_guessed_at() {
        let store = MemoryStore::new(
            Epoch::mint(Timestamp::from_unix_millis(1), [0; 10]),
            moorline_store::TailLimits::default(),
        );
        let key = DocKey::new(Collection::Meta, KEY).unwrap();
        store.put(&key, Bytes::from_static(b"many"), Expect::Any).await.unwrap();
        assert!(matches!(raise_generation(&store).await, Err(GenerationError::NotANumber)));
    }
}
