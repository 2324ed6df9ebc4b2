//! Which credentials for upstreams jobs are given: what must fit together.

use super::high::{CredentialsConfig, LiteLlmConfig, MasterKey, UpstreamConfig};
use super::mistake::{Mistake, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::origin::Origin;

const PROGRAM: &str = "credentials.program";
const URL: &str = "credentials.litellm_url";
const AUTHORITY: &str = "credentials.litellm_ca";
const KEY_FILE: &str = "credentials.litellm_key_file";
const KEY_VARIABLE: &str = "credentials.litellm_key_variable";
const ENDPOINT: &str = "credentials.endpoint";

/// Who issues credentials; the outer `None` if that is a mistake, or cannot be said for another one.
pub(super) fn credentials(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<Option<CredentialsConfig>> {
    let (program, url) = (found.credentials_program.as_ref()?, found.litellm_url.as_ref()?);
    let (authority, endpoint) = (found.litellm_ca.as_ref()?, found.credentials_endpoint.as_ref()?);
    let (file, variable) = (found.litellm_key_file.as_ref()?, found.litellm_key_variable.as_ref()?);
    let (profile, lifetime) =
        (found.credentials_profile.as_ref()?.value.clone(), found.credentials_lifetime.as_ref()?.value);
    let mut wrong = |origin: &Origin, problem: fn(_, _) -> Problem, first: &str, second: &str| {
        let problem = problem(ConfigOption::find(first)?, ConfigOption::find(second)?);
        mistakes.push(Mistake { origin: origin.clone(), problem });
        None
    };
    let both = |first, second| Problem::Both { first, second };
    let half = |given, missing| Problem::HalfCredentials { given, missing };
    let Some(address) = &url.value else {
        let is_given = [
            (AUTHORITY, authority.value.is_some(), &authority.origin),
            (KEY_FILE, file.value.is_some(), &file.origin),
            (KEY_VARIABLE, variable.value.is_some(), &variable.origin),
            (ENDPOINT, endpoint.value.is_some(), &endpoint.origin),
        ];
        if let Some((given, _, origin)) = is_given.into_iter().find(|(_, is_given, _)| *is_given) {
            return wrong(origin, half, given, URL);
        }
        let upstream = program.value.clone().map(UpstreamConfig::Program);
        return Some(upstream.map(|upstream| CredentialsConfig { upstream, lifetime }));
    };
    if program.value.is_some() {
        return wrong(&url.origin, both, PROGRAM, URL);
    }
    let key = match (&file.value, &variable.value) {
        (Some(_), Some(_)) => return wrong(&variable.origin, both, KEY_FILE, KEY_VARIABLE),
        (Some(path), None) => MasterKey::File(path.clone()),
        (None, Some(name)) => MasterKey::Variable(name.clone()),
        (None, None) => return wrong(&url.origin, half, URL, KEY_FILE),
    };
    let upstream = LiteLlmConfig {
        url: address.clone(),
        authority: authority.value.clone(),
        key,
        endpoint: endpoint.value.clone(),
        profile,
    };
    let upstream = UpstreamConfig::LiteLlm(Box::new(upstream));
    Some(Some(CredentialsConfig { upstream, lifetime }))
}
