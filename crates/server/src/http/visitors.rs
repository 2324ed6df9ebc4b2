//! Which requests are let in, by where they say they come from and go to.
//!
//! A browser carries out what any web page asks of it, also towards this machine and the network around it. It cannot be
//! kept from connecting, but it tells the page's origin, and the name under which the page reached us:
//!
//! - A request with an `Origin` is from a web page, and is served if the origin is configured. Programs send none.
//! - A request's `Host` is an IP address, `localhost`, a name of our certificate, or configured. Any other is a name that
//!   somebody has pointed at our address, so that a page of that name counts as ours (DNS rebinding).
//!
//! What a request says of itself is not repeated in an answer.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::config::Allowed;
use crate::tls::Certificates;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Visitors {
    pub(super) origins: Allowed,
    pub(super) hosts: Allowed,
    pub(super) certificates: Option<Arc<Certificates>>,
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// It does not say once to which host it goes.
    NoHost,
    /// It goes to a name that is not ours.
    ForeignHost,
    /// It comes from a web page that may not connect.
    ForeignOrigin,
}

impl Visitors {
    /// Lets a request in, or says why not.
    pub(super) fn judge(&self, request: &Parts) -> Result<(), TurnedAway> {
        if self.hosts != Allowed::Any {
            let host = host_of(request).ok_or(TurnedAway::NoHost)?;
            if !self.is_ours(&host) {
                return Err(TurnedAway::ForeignHost);
            }
        }
        let mut origins = request.headers.get_all(header::ORIGIN).iter();
        let is_allowed = |origin: &axum::http::HeaderValue| match origin.to_str() {
            Ok(origin) => self.origins.contains(&origin.to_ascii_lowercase()),
            Err(_) => false,
        };
        if self.origins == Allowed::Any || origins.all(is_allowed) { Ok(()) } else { Err(TurnedAway::ForeignOrigin) }
    }

    fn is_ours(&self, host: &str) -> bool {
        let is_address = || {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            host.parse::<Ipv4Addr>().is_ok() || bare.is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok())
        };
        let is_certified = || {
            let names = self.certificates.as_ref().map(|certificates| certificates.hosts()).unwrap_or_default();
            let beyond = host.split_once('.').map(|(_, rest)| rest);
            names.iter().any(|name| name == host || name.strip_prefix("*.").is_some_and(|rest| Some(rest) == beyond))
        };
        host == "localhost" || is_address() || self.hosts.contains(host) || is_certified()
    }
}

/// The host that a request is for, in lower case and without its port.
fn host_of(request: &Parts) -> Option<String> {
    let one = |name: HeaderName| {
        let mut values = request.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => one(header::HOST)?,
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

impl IntoResponse for TurnedAway {
    fn into_response(self) -> Response {
        match self {
            Self::NoHost => (StatusCode::BAD_REQUEST, "the request has to name its host, once\n"),
            Self::ForeignHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "the request is for another host; if clients reach this gateway under its name, add the name to \
                 http.allowed_hosts\n",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "web pages of this origin may not connect; if they should, add the origin to http.allowed_origins\n",
            ),
        }
        .into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn turned_away(allowed: &str, uri: &str, headers: &[(&str, &str)]) -> Option<TurnedAway> {
        let allow = |name: &str| Allowed::Only([name.to_owned()].into());
        let visitors = match allowed {
            "any" => Visitors { origins: Allowed::Any, hosts: Allowed::Any, certificates: None },
            host => Visitors { origins: allow(&format!("https://{host}")), hosts: allow(host), certificates: None },
        };
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        visitors.judge(&request.body(()).unwrap().into_parts().0).err()
    }

    #[test]
    fn a_request_to_a_name_that_is_not_ours_is_turned_away() {
        for (host, expected) in [
            ("evil.example", Some(TurnedAway::ForeignHost)),
            ("evil.example:7707", Some(TurnedAway::ForeignHost)),
            ("localhost.evil.example", Some(TurnedAway::ForeignHost)),
            ("127.0.0.1.evil.example", Some(TurnedAway::ForeignHost)),
            ("127.1", Some(TurnedAway::ForeignHost)),
            ("localhost@evil.example", Some(TurnedAway::ForeignHost)),
            ("", Some(TurnedAway::NoHost)),
            (":7707", Some(TurnedAway::NoHost)),
            ("127.0.0.1:7707", None),
            ("192.0.2.7", None),
            ("[::1]:7707", None),
            ("LOCALHOST:7707", None),
            ("Ours.example.", None),
        ] {
            assert_eq!(turned_away("ours.example", "/arcp", &[("host", host)]), expected, "{host:?}");
        }
        assert_eq!(turned_away("ours.example", "/arcp", &[]), Some(TurnedAway::NoHost));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(turned_away("ours.example", "/arcp", &twice), Some(TurnedAway::NoHost));
        let absolute = turned_away("ours.example", "http://evil.example/arcp", &[("host", "localhost")]);
        assert_eq!(absolute, Some(TurnedAway::ForeignHost), "the target wins over the header");
    }

    #[test]
    fn a_web_page_is_let_in_only_if_its_origin_is_configured() {
        for (origin, expected) in [
            (None, None),
            (Some("https://ours.example"), None),
            (Some("HTTPS://Ours.example"), None),
            (Some("https://evil.example"), Some(TurnedAway::ForeignOrigin)),
            (Some("https://ours.example.evil.example"), Some(TurnedAway::ForeignOrigin)),
            (Some("http://ours.example"), Some(TurnedAway::ForeignOrigin)),
            (Some("http://localhost"), Some(TurnedAway::ForeignOrigin)),
            (Some("null"), Some(TurnedAway::ForeignOrigin)),
            (Some(""), Some(TurnedAway::ForeignOrigin)),
        ] {
            let headers: Vec<_> = [("host", "localhost")].into_iter().chain(origin.map(|it| ("origin", it))).collect();
            assert_eq!(turned_away("ours.example", "/arcp", &headers), expected, "{origin:?}");
        }
        let both = [("host", "localhost"), ("origin", "https://ours.example"), ("origin", "https://evil.example")];
        assert_eq!(turned_away("ours.example", "/arcp", &both), Some(TurnedAway::ForeignOrigin));
    }

    #[test]
    fn the_checks_can_be_turned_off() {
        assert_eq!(turned_away("any", "/arcp", &[("host", "evil.example"), ("origin", "null")]), None);
    }
}
