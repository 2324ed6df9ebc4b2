//! Whether a server is the one that it is to be, and what to do about one that is not.
//!
//! The library asks the same when it connects, each time. It is asked before too, because only here the answer can say
//! which file to move where.

use std::path::{Path, PathBuf};

use opcua::core::comms::url::hostname_from_url;
use opcua::crypto::{CertificateStore, SecurityPolicy, X509};
use opcua::types::{EndpointDescription, StatusCode};

use crate::publish::publish;
use crate::settings::{Endpoint, Settings};

/// Why a server is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Distrusted {
    #[error("the server shows no certificate that can be read; choose another security_policy, or give the server one")]
    NoCertificate,
    #[error(
        "the server's certificate is not trusted. If it is the server's, move it to the trusted ones: `mv {} {}`",
        quoted(rejected),
        quoted(trusted)
    )]
    Unknown { rejected: PathBuf, trusted: PathBuf },
    #[error("{} is not the certificate that the server shows; remove it", trusted.display())]
    Changed { trusted: PathBuf },
    #[error("the server's certificate is not valid yet or not any more; give the server another one, or set the clock")]
    Time,
    #[error("the server's certificate is for other hosts than {host}; say one of those in url")]
    Host { host: String },
    #[error("the server's certificate is for another application than {application}; give the server another one")]
    Application { application: String },
    #[error(
        "the server's certificate has a key that is too short or too long for {policy}; give the server another one"
    )]
    Key { policy: SecurityPolicy },
    #[error("{} cannot be used for certificates: {reason}", pki_dir.display())]
    Directory { pki_dir: PathBuf, reason: String },
}

/// Whether the server's certificate is one that is trusted. One that nobody has seen is put among the rejected ones, or
/// among the trusted ones if the endpoint says so.
pub(crate) fn check(
    settings: &Settings,
    endpoint: &Endpoint,
    policy: SecurityPolicy,
    description: &EndpointDescription,
) -> Result<(), Distrusted> {
    if policy == SecurityPolicy::None {
        return Ok(());
    }
    let certificate = X509::from_byte_string(&description.server_certificate).map_err(|_| Distrusted::NoCertificate)?;
    let mut store = CertificateStore::new(&settings.pki_dir);
    store.set_trust_unknown_certs(endpoint.trust_unknown_certificates);
    let unusable = |reason| Distrusted::Directory { pki_dir: settings.pki_dir.clone(), reason };
    let name = CertificateStore::cert_file_name(&certificate);
    let (rejected, trusted) = (store.rejected_certs_dir().join(&name), store.trusted_certs_dir().join(&name));
    // The library would do it too, but others would see half of what it writes. Whoever trusts one moves it from the first
    // to the second, so they are looked at in this order.
    if !rejected.exists() && !trusted.exists() {
        let place = if endpoint.trust_unknown_certificates { &trusted } else { &rejected };
        let der = certificate.to_der().map_err(|_| Distrusted::NoCertificate)?;
        publish(place, &der).map_err(|error| unusable(error.to_string()))?;
    }
    let host = hostname_from_url(&endpoint.url).unwrap_or_default();
    let application = description.server.application_uri.to_string();
    let checked =
        store.validate_or_reject_application_instance_cert(&certificate, policy, Some(&host), Some(&application));
    checked.map_err(|error| match error.status() {
        _ if rejected.exists() => Distrusted::Unknown { rejected, trusted: store.trusted_certs_dir() },
        StatusCode::BadCertificateTimeInvalid => Distrusted::Time,
        StatusCode::BadCertificateHostNameInvalid => Distrusted::Host { host },
        StatusCode::BadCertificateUriInvalid => Distrusted::Application { application },
        StatusCode::BadSecurityChecksFailed => Distrusted::Key { policy },
        _ if trusted.exists() => Distrusted::Changed { trusted },
        code => unusable(code.to_string()),
    })
}

/// A path as a shell takes it: the names of certificates have blanks and brackets.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
