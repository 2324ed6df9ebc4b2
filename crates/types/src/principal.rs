//! Who is asking.

use std::fmt;
use std::str::FromStr;

use crate::id::IdError;
use crate::{Grants, Scopes, limits};

/// Names an authenticated identity: an API key's name, a token's subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct PrincipalId(Box<str>);

impl PrincipalId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrincipalId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let max = limits::MAX_PRINCIPAL_BYTES;
        if text.is_empty() || text.len() > max || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(IdError::Text { max });
        }
        Ok(Self(text.into()))
    }
}

impl<'de> serde::Deserialize<'de> for PrincipalId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An authenticated identity and what it may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// Who.
    pub id: PrincipalId,
    /// What it may do, and how much of it.
    pub grants: Grants,
}

impl Principal {
    /// An identity with these scopes, without tags or constraints, and with the usual quotas.
    pub fn new(id: PrincipalId, scopes: Scopes) -> Self {
        Self { id, grants: Grants { scopes, ..Grants::default() } }
    }
}
