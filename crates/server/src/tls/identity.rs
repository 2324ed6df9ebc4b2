//! The certificate that a client shows, and its key.

use std::fmt;
use std::path::Path;

use rustls::crypto::ring::default_provider;
use rustls::sign::CertifiedKey;

use super::{TlsError, check_key, read, read_chain, read_key, unusable};

/// A certificate and the key that it was made with, as their files have them.
#[derive(Clone)]
pub struct Identity {
    /// The certificate chain, in PEM.
    pub certificate_pem: Vec<u8>,
    /// Its private key, in PEM.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads a certificate chain and its key, and makes sure that they can be used.
    ///
    /// # Errors
    ///
    /// Which file is wrong, how, and what to do.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain, secret, provider) = (read_chain(cert)?, read_key(key)?, default_provider());
        check_key(key, &secret, &provider)?;
        CertifiedKey::from_der(chain, secret, &provider).map_err(|source| unusable(cert, key, source))?;
        Ok(Self { certificate_pem: read(cert)?, key_pem: read(key)? })
    }
}
