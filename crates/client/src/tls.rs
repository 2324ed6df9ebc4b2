//! Whom to trust, and what to show.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{ClientCertificate, ConnectError};

/// Trust in the public roots and in those in `extra_pem`, and the certificate that is shown to whoever asks for one.
pub(crate) fn config(extra_pem: &[u8], shown: Option<&ClientCertificate>) -> Result<Arc<ClientConfig>, ConnectError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    add(&mut roots, extra_pem)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectError::Tls { source: Arc::new(source) })?
        .with_root_certificates(roots);
    let config = match shown {
        Some(ClientCertificate { certificate_pem, key_pem }) => {
            let chain = CertificateDer::pem_slice_iter(certificate_pem).collect::<Result<_, _>>().map_err(unusable)?;
            let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(unusable)?;
            config.with_client_auth_cert(chain, key).map_err(unusable)?
        }
        None => config.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn unusable(source: impl std::error::Error + Send + Sync + 'static) -> ConnectError {
    ConnectError::Certificate { source: Arc::new(source) }
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), ConnectError> {
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|source| ConnectError::Roots { source: Some(Arc::new(source)) })?;
        roots.add(certificate).map_err(|source| ConnectError::Roots { source: Some(Arc::new(source)) })?;
        found += 1;
    }
    if found == 0 && !pem.is_empty() {
        return Err(ConnectError::Roots { source: None });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_certificate_is_no_root() {
        assert!(config(b"", None).is_ok());
        for pem in [
            "/etc/ssl/ca.pem",
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        ] {
            assert!(matches!(config(pem.as_bytes(), None), Err(ConnectError::Roots { .. })), "{pem}");
        }
    }

    #[test]
    fn a_certificate_is_shown_with_its_own_key_only() {
        let issue = || rcgen::generate_simple_self_signed(vec!["ci".to_owned()]).unwrap();
        let (one, other) = (issue(), issue());
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        for (certificate, key, works) in [
            (certificate.as_str(), key.as_str(), true),
            (&certificate, &other.signing_key.serialize_pem(), false),
            (&key, &certificate, false),
            ("", &key, false),
            (&certificate, "", false),
        ] {
            let shown = ClientCertificate { certificate_pem: certificate.into(), key_pem: key.into() };
            let made = config(b"", Some(&shown));
            assert!(made.is_ok() == works && !format!("{shown:?}{made:?}").contains("PRIVATE"), "{certificate}");
            assert!(works || matches!(made, Err(ConnectError::Certificate { .. })), "{certificate}: {made:?}");
        }
    }
}
