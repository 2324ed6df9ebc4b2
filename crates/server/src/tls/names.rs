//! The names that a certificate has.
//!
//! A name is read from a certificate only after its issuer was checked, and it says by its prefix where in the
//! certificate it stands: what an authority checks of a host name it need not check of a common name.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The longest name that is configured, in bytes: the longest host name, and a URI of a workload.
const MAX_NAME_BYTES: usize = 512;

/// A name in a certificate, as it is configured: `CN:ada`, `DNS:ci.example.com`, `URI:spiffe://example.com/ci`,
/// `EMAIL:ada@example.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertName(String);

/// It is no name of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate's name begins with CN:, DNS:, URI: or EMAIL:, and has at most {MAX_NAME_BYTES} bytes")]
pub struct CertNameError;

impl FromStr for CertName {
    type Err = CertNameError;

    fn from_str(text: &str) -> Result<Self, CertNameError> {
        let (kind, name) = text.split_once(':').ok_or(CertNameError)?;
        let is_name = !name.is_empty() && text.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
        match kind {
            "DNS" if is_name => Ok(Self::host(name)),
            "CN" | "URI" | "EMAIL" if is_name => Ok(Self(text.to_owned())),
            _ => Err(CertNameError),
        }
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CertName {
    /// Host names are the same in any case.
    fn host(name: &str) -> Self {
        Self(format!("DNS:{}", name.to_ascii_lowercase()))
    }
}

/// The SHA-256 of a certificate in hexadecimal, as `openssl x509 -fingerprint -sha256` prints it, without the colons.
pub fn fingerprint_of(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every name that a certificate has; none if it cannot be read.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<CertName> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let common = common.map(|name| CertName(format!("CN:{name}")));
    common.chain(alternatives(&certificate)).collect()
}

/// The host names for which a certificate stands, in lower case.
pub(super) fn hosts_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let names = names_of(certificate).into_iter();
    names.filter_map(|CertName(name)| Some(name.strip_prefix("DNS:")?.to_owned())).collect()
}

fn alternatives(certificate: &X509Certificate<'_>) -> Vec<CertName> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let read = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            Some(CertName::host(name))
        } else if let GeneralName::URI(name) = name {
            Some(CertName(format!("URI:{name}")))
        } else if let GeneralName::RFC822Name(name) = name {
            Some(CertName(format!("EMAIL:{name}")))
        } else {
            None
        }
    };
    names.value.general_names.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_name_says_where_in_the_certificate_it_stands() {
        for text in ["", "ada", "cn:ada", "CN:", "IP:127.0.0.1", "CN:a\nb", &format!("URI:{}", "x".repeat(600))] {
            assert_eq!(text.parse::<CertName>(), Err(CertNameError), "{text:?}");
        }
        let mut params = CertificateParams::new(vec!["CI.example.com".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Ada Lovelace");
        params.subject_alt_names.push(SanType::URI("spiffe://example.com/ci".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("ada@example.com".try_into().unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = names_of(certificate.der());
        for expected in
            ["CN:Ada Lovelace", "DNS:ci.example.com", "URI:spiffe://example.com/ci", "EMAIL:ada@example.com"]
        {
            assert!(names.contains(&expected.parse().unwrap()), "{expected} in {names:?}");
        }
        assert_eq!(hosts_of(certificate.der()), ["ci.example.com"]);
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(fingerprint_of(&CertificateDer::from(Vec::new())), of_nothing);
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        assert!(names_of(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])).is_empty());
    }
}
