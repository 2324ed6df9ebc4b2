//! What is stored of a key: a JSON document per key.

use std::collections::BTreeSet;

use moorline_core::access::read_lease_cap;
use moorline_core::lease::GrantsError;
use moorline_types::{
    Constraints, Entropy, Grants, KeyId, Millis, Principal, PrincipalId, Quotas, Scopes, Tag, Timestamp,
};

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
    /// What its sessions and jobs are marked with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub tags: BTreeSet<Tag>,
    /// What its submissions may ask for.
    #[serde(skip_serializing_if = "Constraints::is_none", default)]
    pub constraints: Constraints,
    /// How much may be had with it.
    #[serde(skip_serializing_if = "Quotas::is_default", default)]
    pub quotas: Quotas,
    /// The hash of the key.
    pub sha256: KeyHash,
    /// How the key begins; absent in records of older gateways.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// The key that this one has replaced, and how long it is good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<PreviousKey>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the secret was replaced last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotated_at: Option<Timestamp>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
    /// When it let somebody in last, give or take the interval at which that is written down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used_at: Option<Timestamp>,
    /// Whether it is withdrawn and lets nobody in.
    pub disabled: bool,
    /// When it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<Timestamp>,
}

/// The secret that a rotation has replaced.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousKey {
    /// Its hash.
    pub sha256: KeyHash,
    /// Until when it is good.
    pub until: Timestamp,
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
    /// What is granted exceeds the bounds.
    #[error("these are more tags, patterns or namespaces than a key may have")]
    Bounds,
    /// A rate at which nothing is ever submitted.
    #[error("the quota submits_per_sec is 1 at least; a key without the scope submit submits nothing")]
    Quota,
    /// What a lease may name at most cannot be read.
    #[error("the most that a lease may name cannot be read: {0}")]
    LeaseCap(#[from] GrantsError),
}

/// Whether this can be granted: by a key, or by the configuration.
///
/// # Errors
/// What of it cannot.
pub(crate) fn check_grants(grants: &Grants) -> Result<(), KeyRecordError> {
    if !grants.is_bounded() {
        return Err(KeyRecordError::Bounds);
    }
    if grants.quotas.submits_per_sec == Some(0) {
        return Err(KeyRecordError::Quota);
    }
    if let Some(cap) = &grants.constraints.lease {
        read_lease_cap(cap)?;
    }
    Ok(())
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
        let Principal { id, grants } = principal;
        check_grants(&grants)?;
        let Grants { scopes, tags, constraints, quotas } = grants;
        Ok(Self {
            id: KeyId::mint(now, entropy),
            name: name.to_owned(),
            principal: id,
            scopes,
            tags,
            constraints,
            quotas,
            sha256: key.hash(),
            hint: Some(key.hint().to_owned()),
            previous: None,
            created_at: now,
            rotated_at: None,
            expires_at: None,
            last_used_at: None,
            disabled: false,
            revoked_at: None,
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

    /// What the key grants.
    pub fn grants(&self) -> Grants {
        let Self { scopes, tags, constraints, quotas, .. } = self;
        Grants { scopes: *scopes, tags: tags.clone(), constraints: constraints.clone(), quotas: *quotas }
    }

    /// The record with another secret. The one before is good for `overlap` longer, at most as long as the key itself.
    #[must_use]
    pub fn rotated(mut self, key: &ApiKey, now: Timestamp, overlap: Millis) -> Self {
        let until = now + overlap;
        let until = self.expires_at.map_or(until, |expires| expires.min(until));
        self.previous = Some(PreviousKey { sha256: self.sha256, until });
        self.sha256 = key.hash();
        self.hint = Some(key.hint().to_owned());
        self.rotated_at = Some(now);
        self
    }

    /// The record of a key that lets nobody in any more.
    #[must_use]
    pub fn revoked(mut self, now: Timestamp) -> Self {
        self.disabled = true;
        self.previous = None;
        self.revoked_at = self.revoked_at.or(Some(now));
        self
    }

    /// Whether the key is good at this moment.
    pub fn is_good(&self, now: Timestamp) -> bool {
        !self.disabled && self.expires_at.is_none_or(|expires| now < expires)
    }

    /// Whom the key authenticates.
    pub fn principal(&self) -> Principal {
        Principal { id: self.principal.clone(), grants: self.grants() }
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
            changed("networks", serde_json::json!(["10.0.0.0/8"])),
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
    fn the_record_of_an_older_gateway_reads_back_as_it_was() {
        let text = format!(
            r#"{{"id":"{}","name":"admin","principal":"admin","scopes":["jobs","admin"],"sha256":"{}","created_at":1778701333020,"disabled":false}}"#,
            admin().record.id,
            admin().record.sha256
        );
        let record = KeyRecord::from_json(text.as_bytes()).unwrap();
        assert_eq!((record.scopes, record.expires_at, record.tags.len()), (Scopes::ADMIN, None, 0));
        assert!(record.is_good(Timestamp::from_unix_millis(u64::MAX >> 20)));
    }

    #[test]
    fn grants_that_nothing_could_keep_to_are_refused() {
        let NewKey { key, record } = admin();
        let mut principal = record.principal();
        principal.grants.constraints = serde_json::from_str(r#"{"lease":{"fs.chown":["/"]}}"#).unwrap();
        let issued = KeyRecord::issue(&key, "x", principal, record.created_at, [1; 10]);
        assert!(matches!(issued, Err(KeyRecordError::LeaseCap(_))), "{issued:?}");
    }

    #[test]
    fn a_secret_that_was_replaced_is_not_good_for_longer_than_its_key() {
        let NewKey { key, record } = admin();
        let (now, hour) = (record.created_at, Millis::from_secs(3_600));
        let other = ApiKey::from_entropy([8; KEY_ENTROPY_BYTES]);
        let rotated = record.clone().rotated(&other, now, hour);
        assert_eq!(rotated.previous.as_ref().map(|previous| previous.until), Some(now + hour));
        assert!(rotated.sha256.matches(&other.hash()) && !rotated.sha256.matches(&key.hash()));
        let soon = KeyRecord { expires_at: Some(now + Millis::from_secs(5)), ..record };
        assert_eq!(
            soon.rotated(&other, now, hour).previous.map(|previous| previous.until),
            Some(now + Millis::from_secs(5))
        );
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
