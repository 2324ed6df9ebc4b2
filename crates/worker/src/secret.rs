//! The gateway's secret, the secret of one worker, and the key that is derived from it.
//!
//! ```text
//! gateway's secret ──HKDF(worker's id)──▶ worker's secret ──HKDF──▶ worker's key
//!   a file of the        handed to the worker        what both sides
//!   data directory       on a descriptor             prove that they know
//! ```
//!
//! A gateway that was started anew derives the secret of every worker that it has ever started from the worker's id,
//! so the store holds nothing that proves anything: who has a copy of it can neither pose as a worker nor as the
//! gateway.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use moorline_types::WorkerId;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a worker's secret.
pub const SECRET_BYTES: usize = 32;

/// Bytes of a worker's key.
pub const KEY_BYTES: usize = 32;

/// Separates this use of the secret from any other.
const KEY_INFO: &[u8] = b"moorline-worker-v1";

/// Separates the secrets of workers from anything else that is derived from the gateway's secret.
const WORKER_SECRET_INFO: &[u8] = b"moorline-worker-secret-v1";

/// Separates the secrets of enrolled workers from those of workers that the gateway starts.
const ENROLMENT_SECRET_INFO: &[u8] = b"moorline-enrolment-secret-v1";

/// Separates fingerprints from anything else that is derived from the gateway's secret.
const FINGERPRINT_INFO: &[u8] = b"moorline-fingerprint-v1";

/// Separates the key of credentials from anything else that is derived from the gateway's secret.
const CREDENTIAL_KEY_INFO: &[u8] = b"moorline-credential-key-v1";

/// What only the gateway knows, over all of its starts.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewaySecret([u8; SECRET_BYTES]);

/// What only the gateway that launched a worker and the worker itself know. It is handed over on a descriptor and
/// never stored: the gateway derives it again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerSecret([u8; SECRET_BYTES]);

/// What both sides prove that they know. Derived from the worker's secret.
#[derive(Clone)]
pub struct WorkerKey([u8; KEY_BYTES]);

/// A text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is {} hexadecimal digits", 2 * SECRET_BYTES)]
pub struct SecretError;

impl WorkerSecret {
    /// The secret of these random bytes.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub(crate) const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
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

impl GatewaySecret {
    /// The secret of these random bytes.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The secret of the worker with this id.
    pub fn worker_secret(&self, worker: WorkerId) -> WorkerSecret {
        WorkerSecret(self.derive(&[WORKER_SECRET_INFO, &worker.to_bytes()]))
    }

    /// The secret of the enrolled worker with this id ([`crate::enrolment`]).
    pub(crate) fn enrolment_secret(&self, worker: WorkerId) -> WorkerSecret {
        WorkerSecret(self.derive(&[ENROLMENT_SECRET_INFO, &worker.to_bytes()]))
    }

    /// What tells whether two texts are the same without telling anything about them, even to somebody who guesses:
    /// a configuration may hold secrets of few bits.
    pub fn fingerprint(&self, text: &[u8]) -> String {
        HEXLOWER.encode(&self.derive(&[FINGERPRINT_INFO, text]))
    }

    /// The key by which values of credentials are sealed in the store.
    pub fn credential_key(&self) -> [u8; SECRET_BYTES] {
        self.derive(&[CREDENTIAL_KEY_INFO])
    }

    /// The text form, for the file that holds it.
    pub fn to_text(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// The secret of a file's text.
    ///
    /// # Errors
    /// If the text is none of [`Self::to_text`].
    pub fn from_text(text: &str) -> Result<Self, SecretError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.trim_end().as_bytes()).map_err(|_| SecretError)?;
        bytes.try_into().map(Self).map_err(|_| SecretError)
    }

    /// The first part separates the use, and no use's label begins another's.
    fn derive(&self, info: &[&[u8]]) -> [u8; SECRET_BYTES] {
        let mut derived = [0; SECRET_BYTES];
        let expanded = Hkdf::<Sha256>::new(None, &self.0).expand_multi_info(info, &mut derived);
        debug_assert!(expanded.is_ok(), "HKDF-SHA256 expands to 32 bytes");
        derived
    }
}

impl WorkerKey {
    /// The bytes.
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

impl fmt::Debug for GatewaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewaySecret(..)")
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
    fn what_is_derived_from_the_gateways_secret_differs_by_use_and_by_worker() {
        let secret = GatewaySecret::new([0xa5; SECRET_BYTES]);
        let worker = |n: u8| WorkerId::from_bytes([n; 16]);
        assert_eq!(secret.worker_secret(worker(1)), secret.clone().worker_secret(worker(1)));
        assert_ne!(secret.worker_secret(worker(1)), secret.worker_secret(worker(2)));
        let other = GatewaySecret::new([0xa6; SECRET_BYTES]);
        assert_ne!(secret.worker_secret(worker(1)), other.worker_secret(worker(1)));
        assert_ne!(secret.fingerprint(b"a"), secret.fingerprint(b"b"));
        assert_ne!(secret.fingerprint(b"a"), other.fingerprint(b"a"));
        assert!(!format!("{secret:?}").contains("a5"));
        assert_eq!(GatewaySecret::from_text(&format!("{}\n", secret.to_text())), Ok(secret));
        assert_eq!(GatewaySecret::from_text("a5"), Err(SecretError));
    }

    #[test]
    fn the_key_is_hkdf_sha256_of_the_secret() {
        // Computed with an independent implementation: HKDF-SHA256(ikm = 32 x 0x01, no salt, info, 32).
        let key = WorkerSecret::new([1; SECRET_BYTES]).key();
        let hex = HEXLOWER.encode(key.as_bytes());
        assert_eq!(hex, "b2b16d0fb69f950fe40c9d77a36f55827c8eea8202c24aca83b4b4d926069a60");
    }
}
