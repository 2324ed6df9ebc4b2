//! Addresses that the gateway itself asks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

/// An address that is asked with TLS, or is of this machine: what comes from it is trusted, and what goes there may be
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundUrl(Uri);

/// A text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address begins with https://, or with http:// and is of this machine")]
pub struct OutboundUrlError;

impl OutboundUrl {
    /// Whether it is asked with TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host's name or address, without brackets.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Host and port, as a request says them.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map(|authority| authority.as_str()).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The address without a slash at its end, for what is below it.
    pub(crate) fn base(&self) -> String {
        self.to_string().trim_end_matches('/').to_owned()
    }
}

impl FromStr for OutboundUrl {
    type Err = OutboundUrlError;

    fn from_str(text: &str) -> Result<Self, OutboundUrlError> {
        let url = Self(text.parse().map_err(|_| OutboundUrlError)?);
        let is_here =
            || url.host() == "localhost" || url.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_trusted = match url.0.scheme_str() {
            Some("https") => true,
            Some("http") => is_here(),
            _ => false,
        };
        // A name and password would be shown with the configuration.
        let fits = is_trusted && !url.host().is_empty() && !url.authority().contains('@');
        if fits { Ok(url) } else { Err(OutboundUrlError) }
    }
}

impl fmt::Display for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_with_tls_or_is_of_this_machine() {
        for (text, fits) in [
            ("https://issuer.example.com/.well-known/jwks.json", true),
            ("https://issuer.example.com:8443/keys?kind=sig", true),
            ("http://127.0.0.1:9000/keys", true),
            ("http://[::1]:9000/keys", true),
            ("http://localhost/keys", true),
            ("http://issuer.example.com/keys", false),
            ("http://localhost.example.com/keys", false),
            ("http://127.0.0.1.example.com/keys", false),
            ("https://ada:secret@issuer.example.com/keys", false),
            ("ftp://issuer.example.com/keys", false),
            ("issuer.example.com", false),
            ("/keys", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<OutboundUrl>().is_ok(), fits, "{text:?}");
        }
    }
}
