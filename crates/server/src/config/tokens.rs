//! Which tokens of others are trusted: kinds of values, and what must fit together.

use std::collections::BTreeSet;
use std::path::Path;

use super::high::{JwtConfig, JwtKeys};
use super::kind::{Choices, Kind, Raw, quoted};
use super::mistake::{Mistake, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::origin::Origin;
use super::words::JwtAlgorithm;
use crate::outbound::OutboundUrl;

/// The longest text of a [`Phrase`], in bytes: an issuer's address fits.
const MAX_PHRASE_BYTES: usize = 512;

/// A text without spaces or control characters: an issuer, the name of a claim.
pub(super) enum Phrase {
    /// Of at least one character.
    Some,
    /// As [`Self::Some`], and `none` for the empty text.
    OrNone,
}

impl Phrase {
    const NONE: &str = "none";
}

impl Kind for Phrase {
    type Value = String;
    const VALUE_NAME: &'static str = "TEXT";

    fn accepts(&self) -> String {
        let text = format!("a text of at most {MAX_PHRASE_BYTES} bytes without spaces");
        match self {
            Self::Some => text,
            Self::OrNone => format!("{text}, or {:?} for an empty one", Self::NONE),
        }
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<String> {
        let Raw::Text(text) = raw else { return None };
        if matches!(self, Self::OrNone) && text == Self::NONE {
            return Some(String::new());
        }
        let fits = !text.is_empty()
            && text.len() <= MAX_PHRASE_BYTES
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        fits.then(|| text.clone())
    }

    fn literal(&self, value: &String) -> Option<String> {
        Some(quoted(if value.is_empty() { Self::NONE } else { value }))
    }
}

/// Where an issuer publishes its keys.
pub(super) struct Address;

impl Kind for Address {
    type Value = OutboundUrl;
    const VALUE_NAME: &'static str = "URL";

    fn accepts(&self) -> String {
        "an https:// address, or an http:// address of this machine, without a user's name".to_owned()
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<OutboundUrl> {
        let Raw::Text(text) = raw else { return None };
        text.parse().ok()
    }

    fn literal(&self, value: &OutboundUrl) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// Algorithms of signatures, at least one. `none` is not a word for an empty list here: it is the name of an algorithm
/// that nobody may allow.
pub(super) struct Algorithms;

impl Kind for Algorithms {
    type Value = BTreeSet<JwtAlgorithm>;
    const VALUE_NAME: &'static str = "WORDS";

    fn accepts(&self) -> String {
        let words = self.words().join(", ");
        format!("an array of {words} (as a flag or variable: words with commas between them)")
    }

    fn read(&self, raw: &Raw, base: &Path) -> Option<Self::Value> {
        Choices::new().read(raw, base).filter(|algorithms: &Self::Value| !algorithms.is_empty())
    }

    fn literal(&self, value: &Self::Value) -> Option<String> {
        Choices::new().literal(value)
    }

    fn words(&self) -> Vec<&'static str> {
        Choices::<JwtAlgorithm>::new().words()
    }
}

/// Which tokens are trusted; the outer `None` if that is a mistake, or cannot be said for another one.
pub(super) fn jwt(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<Option<JwtConfig>> {
    let (file, url) = (found.jwt_keys.as_ref()?, found.jwks_url.as_ref()?);
    let (authority, leeway) = (found.jwks_ca.as_ref()?, found.jwt_leeway.as_ref()?);
    let (issuer, audience) = (found.jwt_issuer.as_ref()?, found.jwt_audience.as_ref()?);
    let mut wrong = |origin: &Origin, problem: fn(_, _) -> Problem, first: &str, second: &str| {
        let problem = problem(ConfigOption::find(first)?, ConfigOption::find(second)?);
        mistakes.push(Mistake { origin: origin.clone(), problem });
        None
    };
    let half = |given, missing| Problem::HalfJwt { given, missing };
    let (keys, source, origin) = match (&file.value, &url.value) {
        (Some(_), Some(_)) => {
            let both = |first, second| Problem::Both { first, second };
            return wrong(&url.origin, both, "auth.jwt.keys", "auth.jwt.jwks_url");
        }
        (Some(path), None) => (JwtKeys::File(path.clone()), "auth.jwt.keys", &file.origin),
        (None, Some(url_value)) => {
            let (url_value, authority) = (url_value.clone(), authority.value.clone());
            (JwtKeys::Address { url: url_value, authority }, "auth.jwt.jwks_url", &url.origin)
        }
        (None, None) => {
            let is_given = [
                ("auth.jwt.issuer", issuer.value.is_some(), &issuer.origin),
                ("auth.jwt.audience", audience.value.is_some(), &audience.origin),
                ("auth.jwt.jwks_ca", authority.value.is_some(), &authority.origin),
            ];
            return match is_given.into_iter().find(|(_, is_given, _)| *is_given) {
                Some((given, _, origin)) => wrong(origin, half, given, "auth.jwt.jwks_url"),
                None => Some(None),
            };
        }
    };
    if authority.value.is_some() && url.value.is_none() {
        return wrong(&authority.origin, half, "auth.jwt.jwks_ca", "auth.jwt.jwks_url");
    }
    let Some(issuer) = issuer.value.clone() else { return wrong(origin, half, source, "auth.jwt.issuer") };
    let Some(audience) = audience.value.clone() else { return wrong(origin, half, source, "auth.jwt.audience") };
    Some(Some(JwtConfig {
        keys,
        issuer,
        audience,
        leeway: leeway.value,
        algorithms: found.jwt_algorithms.as_ref()?.value.clone(),
        principal_claim: found.jwt_principal_claim.as_ref()?.value.clone(),
        principal_prefix: found.jwt_principal_prefix.as_ref()?.value.clone(),
        scope_claim: found.jwt_scope_claim.as_ref()?.value.clone(),
        scope_prefix: found.jwt_scope_prefix.as_ref()?.value.clone(),
        default_scopes: found.jwt_default_scopes.as_ref()?.value,
        tags_claim: found.jwt_tags_claim.as_ref()?.value.clone(),
    }))
}
