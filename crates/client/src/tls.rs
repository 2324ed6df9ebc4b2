//! Whom to trust.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::ConnectError;

/// Trust in the public roots and in those in `extra_pem`.
pub(crate) fn config(extra_pem: &[u8]) -> Result<Arc<ClientConfig>, ConnectError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    add(&mut roots, extra_pem)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectError::Tls { source: Arc::new(source) })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
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
        assert!(config(b"").is_ok());
        for pem in [
            "/etc/ssl/ca.pem",
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        ] {
            assert!(matches!(config(pem.as_bytes()), Err(ConnectError::Roots { .. })), "{pem}");
        }
    }
}
