//! The secret itself, and its hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::base64url;

/// Random bytes of one key. What is guessed at a billion tries a second takes longer than there is time.
pub const KEY_ENTROPY_BYTES: usize = 32;

/// What every key begins with, so that scanners find a key that was published by mistake.
const PREFIX: &str = "mlk_";

/// Characters of the secret.
const SECRET_CHARS: usize = 43;

/// Bytes of the checksum behind the secret: one slip in four thousand million is not noticed.
const CHECKSUM_BYTES: usize = 4;

/// Characters of the secret that a list of keys shows, so that a key that was found somewhere can be told from others.
/// Of 256 random bits 232 are left.
const HINT_CHARS: usize = 4;

/// An API key: `mlk_`, 43 characters of secret and 6 of a checksum, by which a scanner tells a key from noise without
/// asking the gateway. Keys of older gateways have no checksum. Only [`Self::expose`] shows it.
#[derive(Clone)]
pub struct ApiKey(Box<str>);

/// The text is no API key. Says nothing about the text, because it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: one is {PREFIX} followed by 49 characters of A-Z a-z 0-9 - _")]
pub struct ApiKeyError;

/// The operating system gives no random bytes, without which no key can be made.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {reason}")]
pub struct EntropyError {
    /// What it says.
    reason: getrandom::Error,
}

impl ApiKey {
    /// Makes the key of these random bytes.
    pub fn from_entropy(entropy: [u8; KEY_ENTROPY_BYTES]) -> Self {
        let secret = base64url::encode(&entropy);
        Self(format!("{PREFIX}{secret}{}", checksum(&secret)).into())
    }

    /// Draws a new key.
    ///
    /// # Errors
    ///
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut entropy = [0; KEY_ENTROPY_BYTES];
        getrandom::fill(&mut entropy).map_err(|reason| EntropyError { reason })?;
        Ok(Self::from_entropy(entropy))
    }

    /// Reads a key as its owner has it.
    ///
    /// # Errors
    ///
    /// If the text does not have the form of a key.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let rest = text.strip_prefix(PREFIX).filter(|rest| rest.is_ascii()).ok_or(ApiKeyError)?;
        let (secret, sum) = rest.split_at_checked(SECRET_CHARS).ok_or(ApiKeyError)?;
        let fits = base64url::is_canonical(secret, KEY_ENTROPY_BYTES) && (sum.is_empty() || sum == checksum(secret));
        if fits { Ok(Self(text.into())) } else { Err(ApiKeyError) }
    }

    /// The key, for its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How it begins, for lists.
    pub fn hint(&self) -> &str {
        self.0.get(..PREFIX.len() + HINT_CHARS).unwrap_or_default()
    }

    /// What is stored of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

fn checksum(secret: &str) -> String {
    let digest: [u8; 32] = Sha256::new().chain_update(PREFIX).chain_update(secret).finalize().into();
    base64url::encode(digest.get(..CHECKSUM_BYTES).unwrap_or_default())
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

/// The SHA-256 of a key's text. Compared in constant time, and in no other way: it has no `Eq`.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Whether both are the hash of one key; takes the same time whatever the answer.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The bytes by which records are found.
    pub(super) fn index(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let byte = |pair: &[u8]| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        Some(Self(bytes?.try_into().ok()?))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A hash lets nobody in, but it tells whether a key that leaked elsewhere is one of ours.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash([redacted])")
    }
}

impl serde::Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a hash is 64 lower-case hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        let key = ApiKey::from_entropy([7; KEY_ENTROPY_BYTES]);
        let secret = key.expose();
        for text in [
            String::new(),
            PREFIX.to_owned(),
            secret[1..].to_owned(),
            secret[..secret.len() - 1].to_owned(),
            format!("{secret}A"),
            format!(" {secret}"),
            secret.replace(PREFIX, "MLK_"),
            format!("{}9", &secret[..secret.len() - 1]),
            secret.replacen(&secret[10..11], if &secret[10..11] == "A" { "B" } else { "A" }, 1),
            "mlk_é".repeat(10),
        ] {
            let error = ApiKey::parse(&text).unwrap_err();
            assert!(text.len() < 5 || !error.to_string().contains(&text), "{text:?}");
        }
    }

    #[test]
    fn a_key_reads_back_and_shows_itself_only_when_asked() {
        let key = ApiKey::generate().unwrap();
        let read = ApiKey::parse(key.expose()).unwrap();
        assert!(read.hash().matches(&key.hash()));
        assert_eq!(key.expose().len(), PREFIX.len() + SECRET_CHARS + 6);
        assert!(key.expose().starts_with(key.hint()) && key.hint().len() == 8);
        assert_eq!(format!("{key:?} {:?}", key.hash()), "ApiKey([redacted]) KeyHash([redacted])");
    }

    #[test]
    fn a_key_of_an_older_gateway_has_no_checksum_and_is_good() {
        let key = ApiKey::generate().unwrap();
        let older = &key.expose()[..PREFIX.len() + SECRET_CHARS];
        assert_eq!(ApiKey::parse(older).unwrap().expose(), older);
    }

    #[test]
    fn two_keys_are_different() {
        assert!(!ApiKey::generate().unwrap().hash().matches(&ApiKey::generate().unwrap().hash()));
    }

    #[test]
    fn a_hash_reads_back_from_its_text_only() {
        let hash = ApiKey::from_entropy([1; KEY_ENTROPY_BYTES]).hash();
        let text = hash.to_string();
        assert!(KeyHash::from_hex(&text).unwrap().matches(&hash));
        for bad in ["", "0", &text[1..], &text.replace(|c: char| c.is_ascii_digit(), "g"), &format!("{text}00")] {
            assert!(KeyHash::from_hex(bad).is_none(), "{bad:?}");
        }
        assert!(KeyHash::from_hex(&"A".repeat(64)).is_none());
    }
}
