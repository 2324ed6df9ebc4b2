//! Addresses that the gateway itself asks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

/// An address that is asked with TLS, or is of this machine: what comes from it is trusted, and what goes there may be
/// secret. Another one is asked only if an operator vouches for the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundUrl {
    uri: Uri,
    is_vouched_for: bool,
}

/// A text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address begins with https://, or with http:// and is of this machine")]
pub struct OutboundUrlError;

impl OutboundUrl {
    /// Whether it is asked with TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Whether what is asked may be another machine and the connection is not encrypted.
    pub(super) const fn is_vouched_for(&self) -> bool {
        self.is_vouched_for
    }

    /// The address, also one of another machine without TLS: whoever uses that has to look at [`Self::is_exposed`].
    ///
    /// # Errors
    /// If it is no address.
    pub(crate) fn of_any_machine(text: &str) -> Result<Self, OutboundUrlError> {
        let url = Self { uri: text.parse().map_err(|_| OutboundUrlError)?, is_vouched_for: false };
        let is_known = matches!(url.uri.scheme_str(), Some("https" | "http"));
        // A name and password would be shown with the configuration.
        let fits = is_known && !url.host().is_empty() && !url.authority().contains('@');
        if fits { Ok(url) } else { Err(OutboundUrlError) }
    }

    /// Whether what is sent there could be read on its way.
    pub(crate) fn is_exposed(&self) -> bool {
        let is_here =
            || self.host() == "localhost" || self.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.is_encrypted() && !is_here()
    }

    /// The address, whose operator says that what is sent there in the clear is read by nobody else.
    #[must_use]
    pub(crate) fn vouched_for(self) -> Self {
        Self { is_vouched_for: true, ..self }
    }

    /// Scheme, host and port, without a path.
    pub(crate) fn origin(&self) -> Uri {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        let origin = Uri::builder().scheme(scheme).authority(self.authority()).path_and_query("/").build();
        origin.unwrap_or_else(|_| self.uri.clone())
    }

    /// The host's name or address, without brackets.
    pub(super) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Host and port, as a request says them.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The address without a slash at its end, for what is below it.
    pub(crate) fn base(&self) -> String {
        self.to_string().trim_end_matches('/').to_owned()
    }
}

impl FromStr for OutboundUrl {
    type Err = OutboundUrlError;

    fn from_str(text: &str) -> Result<Self, OutboundUrlError> {
        Self::of_any_machine(text).ok().filter(|url| !url.is_exposed()).ok_or(OutboundUrlError)
    }
}

impl fmt::Display for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
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

    #[test]
    fn an_address_that_is_vouched_for_may_be_of_any_machine_and_is_still_one() {
        for (text, is_exposed) in [
            ("http://collector.example.com:4318/v1/traces", Some(true)),
            ("http://10.0.0.7:4317", Some(true)),
            ("http://localhost:4317", Some(false)),
            ("https://collector.example.com", Some(false)),
            ("http://ada:secret@collector.example.com", None),
            ("ftp://collector.example.com", None),
            ("collector:4317", None),
        ] {
            let url = OutboundUrl::of_any_machine(text).ok();
            assert_eq!(url.as_ref().map(OutboundUrl::is_exposed), is_exposed, "{text:?}");
            assert!(url.is_none_or(|url| !url.is_vouched_for() && url.vouched_for().is_vouched_for()));
        }
        let url = OutboundUrl::of_any_machine("http://collector.example.com:4318/v1/traces").unwrap();
        assert_eq!(url.origin().to_string(), "http://collector.example.com:4318/");
    }
}
