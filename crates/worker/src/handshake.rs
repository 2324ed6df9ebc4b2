//! The mutual proof at the start of a link, as pure functions of what was exchanged.
//!
//! Both sides prove that they know the worker's key without sending it: first the gateway (so that a worker never
//! tells a stranger what it holds), then the worker. Each proof covers both nonces, so it is worth nothing on another
//! link, and begins with its maker's label, so it cannot be sent back to its maker. It covers the gateway's epoch and
//! the versions of the protocol too: neither can be changed on the way.

use hmac::{Hmac, Mac};
use moorline_types::WorkerId;
use sha2::Sha256;

use crate::message::GatewayEpoch;
use crate::secret::WorkerKey;
use crate::version::{ProtocolVersion, VersionRange};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// Random bytes, fresh for each attempt.
pub type Nonce = [u8; NONCE_BYTES];

/// Who makes a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The gateway, in its challenge.
    Gateway,
    /// The worker, in its proof.
    Worker,
}

/// What both sides have said before either proves anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcript {
    /// Who the worker says it is.
    pub worker: WorkerId,
    /// The worker's nonce.
    pub worker_nonce: Nonce,
    /// The gateway's nonce.
    pub gateway_nonce: Nonce,
    /// The gateway's epoch.
    pub epoch: GatewayEpoch,
    /// What the worker speaks.
    pub offered: VersionRange,
    /// What the gateway chose.
    pub protocol: ProtocolVersion,
}

/// The other side does not know the key, or has not seen what we have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not fit: the other side does not have this worker's key")]
pub struct WrongProof;

impl Transcript {
    /// The proof of `side`.
    pub fn prove(&self, key: &WorkerKey, side: Side) -> Vec<u8> {
        self.mac(key, side).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
    }

    /// Whether `proof` is the proof of `side`. Takes the same time wherever they differ.
    pub fn verify(&self, key: &WorkerKey, side: Side, proof: &[u8]) -> Result<(), WrongProof> {
        self.mac(key, side).ok_or(WrongProof)?.verify_slice(proof).map_err(|_| WrongProof)
    }

    fn mac(&self, key: &WorkerKey, side: Side) -> Option<Hmac<Sha256>> {
        let label: &[u8; 8] = match side {
            Side::Gateway => b"gateway\0",
            Side::Worker => b"worker\0\0",
        };
        // HMAC takes keys of any length; there is no error to have.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_bytes()).ok()?;
        // Every part has a fixed length, so no two transcripts run into the same bytes.
        mac.update(label);
        mac.update(&self.worker.to_bytes());
        mac.update(&self.worker_nonce);
        mac.update(&self.gateway_nonce);
        mac.update(&self.epoch.get().to_be_bytes());
        for version in [self.offered.min, self.offered.max, self.protocol] {
            mac.update(&version.get().to_be_bytes());
        }
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;
    use crate::secret::WorkerSecret;

    fn key(byte: u8) -> WorkerKey {
        WorkerSecret::new([byte; 32]).key()
    }

    fn transcript() -> Transcript {
        Transcript {
            worker: WorkerId::mint(Timestamp::from_unix_millis(1), [1; 10]),
            worker_nonce: [2; NONCE_BYTES],
            gateway_nonce: [3; NONCE_BYTES],
            epoch: GatewayEpoch::new(4),
            offered: VersionRange::OURS,
            protocol: ProtocolVersion::V1,
        }
    }

    #[test]
    fn a_proof_with_another_key_does_not_fit() {
        for side in [Side::Gateway, Side::Worker] {
            let proof = transcript().prove(&key(1), side);
            assert_eq!(transcript().verify(&key(2), side, &proof), Err(WrongProof), "{side:?}");
        }
    }

    #[test]
    fn a_reflected_proof_does_not_fit() {
        let proof = transcript().prove(&key(1), Side::Gateway);
        assert_eq!(transcript().verify(&key(1), Side::Worker, &proof), Err(WrongProof));
    }

    #[test]
    fn a_proof_fits_no_transcript_that_differs_in_anything() {
        let original = transcript();
        let others = [
            Transcript { worker: WorkerId::mint(Timestamp::from_unix_millis(1), [9; 10]), ..original },
            Transcript { worker_nonce: [9; NONCE_BYTES], ..original },
            Transcript { gateway_nonce: [9; NONCE_BYTES], ..original },
            Transcript { epoch: GatewayEpoch::new(5), ..original },
            Transcript { offered: VersionRange { min: ProtocolVersion::V1, max: ProtocolVersion::new(9) }, ..original },
            Transcript { protocol: ProtocolVersion::new(2), ..original },
        ];
        for side in [Side::Gateway, Side::Worker] {
            let proof = original.prove(&key(1), side);
            for other in &others {
                assert_eq!(other.verify(&key(1), side, &proof), Err(WrongProof), "{other:?}");
            }
        }
    }

    #[test]
    fn a_proof_that_is_cut_or_empty_does_not_fit() {
        let proof = transcript().prove(&key(1), Side::Worker);
        for length in 0..proof.len() {
            assert_eq!(transcript().verify(&key(1), Side::Worker, &proof[..length]), Err(WrongProof), "{length}");
        }
    }

    #[test]
    fn the_proof_of_who_has_the_key_fits() {
        for side in [Side::Gateway, Side::Worker] {
            let proof = transcript().prove(&key(1), side);
            assert_eq!(transcript().verify(&key(1), side, &proof), Ok(()));
        }
    }
}
