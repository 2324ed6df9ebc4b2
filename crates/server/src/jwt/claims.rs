//! From what a token says to whom it authenticates, and until when.
//!
//! A claim that is there and of another type than its standard says refuses the token: to pass over an `nbf` that cannot
//! be read would be to trust a token too early.

use std::collections::BTreeSet;
use std::time::Duration;

use moorline_types::limits::MAX_TAGS;
use moorline_types::{Grants, Millis, Principal, Scopes, Tag, Timestamp};
use serde_json::{Map, Value};

use super::NotTrusted;
use crate::config::{DefaultScopes, JwtConfig};

/// The last second that is a moment: the end of the year 9999.
const MAX_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// Whom claims authenticate, and until when.
pub(super) fn read(
    claims: &Map<String, Value>,
    config: &JwtConfig,
    now: Timestamp,
) -> Result<(Principal, Timestamp), NotTrusted> {
    let leeway = Millis::from(config.leeway);
    if claims.get("iss").and_then(Value::as_str) != Some(&config.issuer) {
        return Err(NotTrusted::Issuer);
    }
    if !words(claims.get("aud"), |text| vec![text]).ok_or(NotTrusted::Audience)?.contains(&config.audience.as_str()) {
        return Err(NotTrusted::Audience);
    }
    let until = moment(claims, "exp")?.ok_or(NotTrusted::NoExpiry)? + leeway;
    if until <= now {
        return Err(NotTrusted::Expired);
    }
    if moment(claims, "nbf")?.is_some_and(|from| from > now + leeway) {
        return Err(NotTrusted::NotYet);
    }
    let id = claims.get(&config.principal_claim).and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.and_then(|id| format!("{}{id}", config.principal_prefix).parse().ok()).ok_or(NotTrusted::Principal)?;
    let grants = Grants { scopes: scopes(claims, config)?, tags: tags(claims, config)?, ..Grants::default() };
    Ok((Principal { id, grants }, until))
}

/// The scopes that are ours. Others are for somebody else.
fn scopes(claims: &Map<String, Value>, config: &JwtConfig) -> Result<Scopes, NotTrusted> {
    let said = words(claims.get(&config.scope_claim), spaced).ok_or(NotTrusted::Malformed)?;
    let ours = said.into_iter().filter_map(|word| word.strip_prefix(config.scope_prefix.as_str())?.parse().ok());
    let scopes = ours.fold(Scopes::NONE, Scopes::union);
    match (scopes.is_empty(), config.default_scopes) {
        (false, _) => Ok(scopes),
        (true, DefaultScopes::Jobs) => Ok(Scopes::JOBS),
        (true, DefaultScopes::Nothing) => Err(NotTrusted::NoScope),
    }
}

/// The words that can be tags. Which of too many should count is not ours to choose.
fn tags(claims: &Map<String, Value>, config: &JwtConfig) -> Result<BTreeSet<Tag>, NotTrusted> {
    let Some(claim) = &config.tags_claim else { return Ok(BTreeSet::new()) };
    let said = words(claims.get(claim), spaced).ok_or(NotTrusted::Malformed)?;
    let tags: BTreeSet<Tag> = said.into_iter().filter_map(|word| word.parse().ok()).collect();
    if tags.len() > MAX_TAGS { Err(NotTrusted::TooManyTags) } else { Ok(tags) }
}

fn spaced(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

/// The texts of a claim that is an array of them, or one text that `split` takes apart; none if it is absent.
fn words<'a>(claim: Option<&'a Value>, split: impl Fn(&'a str) -> Vec<&'a str>) -> Option<Vec<&'a str>> {
    match claim {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Some(split(text)),
        Some(Value::Array(texts)) => texts.iter().map(Value::as_str).collect(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => None,
    }
}

/// A claim that is a number of seconds since 1970, perhaps with a fraction.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, NotTrusted> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let fraction = || Duration::try_from_secs_f64(claim.as_f64()?).ok();
    let since = claim.as_u64().map(Duration::from_secs).or_else(fraction).filter(|since| *since <= MAX_SECOND);
    let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok()).ok_or(NotTrusted::Malformed)?;
    Ok(Some(Timestamp::from_unix_millis(millis)))
}
