//! What is stored of a key: a JSON document per key.

use moorline_types::{Entropy, KeyId, Principal, PrincipalId, Scopes, Timestamp};

use super::{ApiKey, KeyHash};

/// The longest name of a key, in bytes: it is shown in one column of a table.
pub const MAX_KEY_NAME_BYTES: usize = 128;

/// The principal of the key that the first start makes.
const ADMIN: &str = "admin";

/// What is stored of a key. Its document has exactly these fields: one that a newer version has added may restrict the
/// key, and to pass over a restriction would be to grant what was not granted.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Names the key.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// Whom it authenticates.
    pub principal: PrincipalId,
    /// What that principal may do with it.
    pub scopes: Scopes,
    /// The hash of the key.
    pub sha256: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it is withdrawn and lets nobody in.
    pub disabled: bool,
}

/// A key that was just made: the only moment at which the secret exists next to its record.
#[derive(Debug)]
pub struct NewKey {
    /// The secret, to be shown once.
    pub key: ApiKey,
    /// What is stored.
    pub record: KeyRecord,
}

/// Why a document is no key's record.
#[derive(Debug, thiserror::Error)]
pub enum KeyRecordError {
    /// It is not what a record looks like.
    #[error("not the record of an API key (was it written by a newer version?): {source}")]
    Document {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The name is empty or too long, or holds control characters.
    #[error("a key's name is 1 to {MAX_KEY_NAME_BYTES} bytes without control characters")]
    Name,
}

impl KeyRecord {
    /// Makes the record of a key.
    ///
    /// # Errors
    ///
    /// If the name is not one.
    pub fn issue(
        key: &ApiKey,
        name: &str,
        principal: Principal,
        now: Timestamp,
        entropy: Entropy,
    ) -> Result<Self, KeyRecordError> {
        if name.is_empty() || name.len() > MAX_KEY_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(KeyRecordError::Name);
        }
        Ok(Self {
            id: KeyId::mint(now, entropy),
            name: name.to_owned(),
            principal: principal.id,
            scopes: principal.grants.scopes,
            sha256: key.hash(),
            created_at: now,
            disabled: false,
        })
    }

    /// The document.
    ///
    /// # Errors
    ///
    /// Never for a record that was issued or read.
    pub fn to_json(&self) -> Result<Vec<u8>, KeyRecordError> {
        serde_json::to_vec(self).map_err(|source| KeyRecordError::Document { source })
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// If it is no record of this version.
    pub fn from_json(document: &[u8]) -> Result<Self, KeyRecordError> {
        serde_json::from_slice(document).map_err(|source| KeyRecordError::Document { source })
    }

    /// Whom the key authenticates.
    pub fn principal(&self) -> Principal {
        Principal::new(self.principal.clone(), self.scopes)
    }
}

/// Makes the record of the key with which a new gateway is administered.
///
/// # Errors
///
/// Never in practice: the names are fixed and valid.
pub fn create_admin(key: ApiKey, now: Timestamp, entropy: Entropy) -> Result<NewKey, KeyRecordError> {
    let id = ADMIN.parse().map_err(|_| KeyRecordError::Name)?;
    let principal = Principal::new(id, Scopes::ADMIN);
    let record = KeyRecord::issue(&key, ADMIN, principal, now, entropy)?;
    Ok(NewKey { key, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KEY_ENTROPY_BYTES;

    fn admin() -> NewKey {
        let now = Timestamp::from_unix_millis(1_778_701_333_020);
        create_admin(ApiKey::from_entropy([7; KEY_ENTROPY_BYTES]), now, [1; 10]).unwrap()
    }

    #[test]
    fn a_document_that_is_no_record_is_refused() {
        let valid: serde_json::Value = serde_json::from_slice(&admin().record.to_json().unwrap()).unwrap();
        let changed = |field: &str, value: serde_json::Value| {
            let mut document = valid.clone();
            document[field] = value;
            document
        };
        let mut short = valid.clone();
        short.as_object_mut().unwrap().remove("disabled");
        for document in [
            short,
            changed("constraints", serde_json::json!(["read only"])),
            changed("sha256", serde_json::json!("00")),
            changed("id", serde_json::json!("job_01HF7YAT00000000000000000")),
            changed("scopes", serde_json::json!(["everything"])),
            changed("principal", serde_json::json!("")),
        ] {
            assert!(KeyRecord::from_json(document.to_string().as_bytes()).is_err(), "{document}");
        }
        assert!(KeyRecord::from_json(b"").is_err());
    }

    #[test]
    fn a_record_reads_back_and_does_not_hold_the_key() {
        let NewKey { key, record } = admin();
        let document = record.to_json().unwrap();
        let read = KeyRecord::from_json(&document).unwrap();
        assert_eq!(read.to_json().unwrap(), document);
        assert!(read.sha256.matches(&key.hash()));
        assert!(!String::from_utf8(document).unwrap().contains(&key.expose()[4..]));
    }

    #[test]
    fn a_name_that_spoils_a_table_is_refused() {
        let NewKey { key, record } = admin();
        for name in ["", "a\nb", &"x".repeat(MAX_KEY_NAME_BYTES + 1)] {
            let issued = KeyRecord::issue(&key, name, record.principal(), record.created_at, [1; 10]);
            assert!(issued.is_err(), "{name:?}");
        }
    }
}
