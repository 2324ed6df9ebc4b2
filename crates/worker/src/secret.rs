//! The secret of one worker, and the key that is derived from it.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a worker's secret.
pub const SECRET_BYTES: usize = 32;

/// Bytes of a worker's key.
pub const KEY_BYTES: usize = 32;

/// Separates this use of the secret from any other.
const KEY_INFO: &[u8] = b"moorline-worker-v1";

/// What only the gateway that launched a worker and the worker itself know. It is handed over on a descriptor and
/// never stored: the gateway keeps the [`WorkerKey`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerSecret([u8; SECRET_BYTES]);

/// What both sides prove that they know. Derived from the secret; the gateway stores it beside the worker's row.
#[derive(Clone)]
pub struct WorkerKey([u8; KEY_BYTES]);

/// A text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker's secret is {} hexadecimal digits", 2 * SECRET_BYTES)]
pub struct SecretError;

impl WorkerSecret {
    /// The secret of these random bytes.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key that is derived from it.
    pub fn key(&self) -> WorkerKey {
        let mut key = [0; KEY_BYTES];
        let derived = Hkdf::<Sha256>::new(None, &self.0).expand(KEY_INFO, &mut key);
        // One hash length is always within what HKDF can expand to.
        debug_assert!(derived.is_ok(), "HKDF-SHA256 expands to 32 bytes");
        WorkerKey(key)
    }
}

impl WorkerKey {
    /// The key with these bytes, from where the gateway stored it.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored where nobody but the gateway reads.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl From<WorkerSecret> for String {
    fn from(secret: WorkerSecret) -> Self {
        HEXLOWER.encode(&secret.0)
    }
}

impl TryFrom<String> for WorkerSecret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| SecretError)?;
        bytes.try_into().map(Self).map_err(|_| SecretError)
    }
}

impl fmt::Debug for WorkerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerSecret(..)")
    }
}

impl fmt::Debug for WorkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_from_its_text_and_never_shows_itself() {
        let secret = WorkerSecret::new([0xa5; SECRET_BYTES]);
        let text = String::from(secret.clone());
        assert_eq!(WorkerSecret::try_from(text), Ok(secret.clone()));
        assert!(!format!("{secret:?} {:?}", secret.key()).contains("a5"));
        for bad in ["", "a5", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(WorkerSecret::try_from(bad.to_owned()), Err(SecretError), "{bad:?}");
        }
    }

    #[test]
    fn the_key_is_hkdf_sha256_of_the_secret() {
        // Computed with an independent implementation: HKDF-SHA256(ikm = 32 x 0x01, no salt, info, 32).
        let key = WorkerSecret::new([1; SECRET_BYTES]).key();
        let hex = HEXLOWER.encode(key.as_bytes());
        assert_eq!(hex, "b2b16d0fb69f950fe40c9d77a36f55827c8eea8202c24aca83b4b4d926069a60");
    }
}
