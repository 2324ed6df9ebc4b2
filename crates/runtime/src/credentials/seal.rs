//! Seals values, so that a copy of the store opens nothing.
//!
//! A value is sealed for the issue that it is of: in the place of another one's it does not open.

use data_encoding::BASE64URL_NOPAD;
use moorline_types::CredentialId;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::provisioner::Value;
use crate::mint::{self, NoEntropy};

/// Why a value is not sealed. It is then not kept at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSealed {
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error("the value is too large to be sealed")]
    TooLarge,
}

/// The key by which values are sealed: a secret of the data directory, 32 bytes.
pub struct SealKey(LessSafeKey);

/// Why a sealed value does not open: another gateway has sealed it, or for another credential, or it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value was not sealed by this gateway for this credential")]
pub(super) struct NotOpened;

impl SealKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("the algorithm's keys have 32 bytes");
        Self(LessSafeKey::new(key))
    }

    pub(super) fn seal(&self, issue: CredentialId, value: &Value) -> Result<String, NotSealed> {
        // Drawn at random: a gateway seals some millions of values in its life, and 96 bits repeat after billions.
        let nonce: [u8; NONCE_LEN] = mint::random()?;
        let mut sealed = value.expose().as_bytes().to_vec();
        let aad = Aad::from(issue.to_bytes());
        let done = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
        done.map_err(|_| NotSealed::TooLarge)?;
        Ok(BASE64URL_NOPAD.encode(&[&nonce[..], &sealed[..]].concat()))
    }

    pub(super) fn open(&self, issue: CredentialId, sealed: &str) -> Result<Value, NotOpened> {
        let mut bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).map_err(|_| NotOpened)?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(NotOpened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOpened)?;
        let opened = self.0.open_in_place(nonce, Aad::from(issue.to_bytes()), sealed).map_err(|_| NotOpened)?;
        std::str::from_utf8(opened).map(Value::new).map_err(|_| NotOpened)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    #[test]
    fn a_value_opens_with_its_key_and_for_its_issue_only() {
        let [issue, other] = [1, 2].map(|n| CredentialId::mint(Timestamp::from_unix_millis(1), [n; 10]));
        let key = SealKey::new(&[7; 32]);
        let sealed = key.seal(issue, &Value::new("sk-virt-1")).unwrap();
        assert!(!sealed.contains("sk-virt"));
        assert_eq!(key.open(issue, &sealed).unwrap().expose(), "sk-virt-1");
        assert_ne!(key.seal(issue, &Value::new("sk-virt-1")).unwrap(), sealed, "two sealings look different");
        assert_eq!(key.open(other, &sealed), Err(NotOpened));
        assert_eq!(SealKey::new(&[8; 32]).open(issue, &sealed), Err(NotOpened));
        for damaged in ["", "AAAA", &sealed[1..], "%%%"] {
            assert_eq!(key.open(issue, damaged), Err(NotOpened), "{damaged:?}");
        }
    }
}
