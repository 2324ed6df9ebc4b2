//! Lists of what the door for clients lets in: host names, origins of web pages, names of certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use moorline_types::PrincipalId;

use super::kind::{Kind, Raw, quoted};
use crate::tls::CertName;

/// The text for an empty list.
const NONE: &str = "none";

/// The text for a list that has everything, which turns the check off.
const ANY: &str = "any";

/// What is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Everything: nothing is checked.
    Any,
    /// These, in lower case.
    Only(BTreeSet<String>),
}

impl Allowed {
    /// Whether this is let in. It must be in lower case.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// A list of host names, or of origins.
pub(super) enum Names {
    /// `gateway.example.com`.
    Hosts,
    /// `https://app.example.com`.
    Origins,
}

impl Names {
    /// The name in the form in which it is compared.
    fn read_one(&self, text: &str) -> Option<String> {
        let text = text.trim().to_ascii_lowercase();
        let is_host = |host: &str| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let fits = match self {
            Self::Hosts => is_host(&text),
            Self::Origins => {
                let (scheme, rest) = text.split_once("://")?;
                let (host, port) = match rest.rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
                    _ => (rest, None),
                };
                let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
                is_host(&scheme.replace('+', "-"))
                    && (is_host(host) || is_address)
                    && port.is_none_or(|port| port.parse::<u16>().is_ok())
            }
        };
        fits.then_some(text)
    }
}

impl Kind for Names {
    type Value = Allowed;
    const VALUE_NAME: &'static str = "NAMES";

    fn accepts(&self) -> String {
        let (what, example) = match self {
            Self::Hosts => ("host names without ports", "gateway.example.com"),
            Self::Origins => ("origins: scheme, host, and the port if it is not the scheme's", "https://example.com"),
        };
        format!(
            "an array of {what}, such as `{example}` (as a flag or variable: with commas between them, or {NONE:?}); \
             {ANY:?} turns the check off"
        )
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<Allowed> {
        let read = |names: &mut dyn Iterator<Item = &str>| names.map(|name| self.read_one(name)).collect::<Option<_>>();
        match raw {
            Raw::Text(text) if text == ANY => Some(Allowed::Any),
            Raw::Text(text) if text == NONE => Some(Allowed::Only(BTreeSet::new())),
            Raw::Text(text) => read(&mut text.split(',')).map(Allowed::Only),
            Raw::List(names) => read(&mut names.iter().map(String::as_str)).map(Allowed::Only),
            Raw::Switch(_) | Raw::Number(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    fn literal(&self, value: &Allowed) -> Option<String> {
        Some(match value {
            Allowed::Any => quoted(ANY),
            Allowed::Only(names) => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                format!("[{}]", names.join(", "))
            }
        })
    }
}

/// `CN:name=principal`, several times: whom a certificate with that name authenticates.
pub(super) struct CertPrincipals;

impl CertPrincipals {
    /// Every entry, if no name stands for two principals.
    fn entries<'a>(texts: impl Iterator<Item = &'a str>) -> Option<BTreeMap<CertName, PrincipalId>> {
        let mut principals = BTreeMap::new();
        for text in texts {
            let (name, principal) = text.trim().split_once('=')?;
            if principals.insert(name.parse().ok()?, principal.parse().ok()?).is_some() {
                return None;
            }
        }
        Some(principals)
    }
}

impl Kind for CertPrincipals {
    type Value = BTreeMap<CertName, PrincipalId>;
    const VALUE_NAME: &'static str = "NAME=PRINCIPAL";

    fn accepts(&self) -> String {
        format!(
            "an array of `name=principal`, each name once and with `CN:`, `DNS:`, `URI:` or `EMAIL:` before it (as a \
             flag or variable: with commas between them, or {NONE:?})"
        )
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<Self::Value> {
        match raw {
            Raw::Text(text) if text == NONE => Some(BTreeMap::new()),
            Raw::Text(text) => Self::entries(text.split(',')),
            Raw::List(texts) => Self::entries(texts.iter().map(String::as_str)),
            Raw::Switch(_) | Raw::Number(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    fn literal(&self, value: &Self::Value) -> Option<String> {
        let entries: Vec<String> =
            value.iter().map(|(name, principal)| quoted(&format!("{name}={principal}"))).collect();
        Some(format!("[{}]", entries.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &impl Kind, text: &str) -> Option<String> {
        kind.literal(&kind.read(&Raw::Text(text.to_owned()), Path::new("/"))?)
    }

    #[test]
    fn hosts_are_names_without_ports_and_compared_in_lower_case() {
        for (text, expected) in [
            ("none", Some("[]")),
            ("any", Some("\"any\"")),
            ("Gateway.Example.com, b", Some(r#"["b", "gateway.example.com"]"#)),
            ("a:80", None),
            ("http://a", None),
            ("*.example.com", None),
            ("a,,b", None),
            ("", None),
        ] {
            assert_eq!(read(&Names::Hosts, text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn origins_have_a_scheme_and_no_path() {
        for (text, expected) in [
            ("https://App.example.com:8443", Some(r#"["https://app.example.com:8443"]"#)),
            ("http://[::1]:3000,http://[::1]", Some(r#"["http://[::1]", "http://[::1]:3000"]"#)),
            ("chrome-extension://abcdef", Some(r#"["chrome-extension://abcdef"]"#)),
            ("app.example.com", None),
            ("https://app.example.com/", None),
            ("https://", None),
            ("https://a:b", None),
            ("null", None),
            ("*", None),
        ] {
            assert_eq!(read(&Names::Origins, text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_name_of_a_certificate_stands_for_one_principal() {
        for (text, expected) in [
            ("none", Some("[]")),
            ("CN:ci=build, URI:spiffe://x/y=uid=ada", Some(r#"["CN:ci=build", "URI:spiffe://x/y=uid=ada"]"#)),
            ("CN:ci=build,CN:ci=ada", None),
            ("ci=build", None),
            ("CN:ci", None),
            ("", None),
        ] {
            assert_eq!(read(&CertPrincipals, text).as_deref(), expected, "{text:?}");
        }
    }
}
