//! The certificate and the key with which connections are encrypted, and whose certificates clients may show.
//!
//! [`Certificates`] can be loaded anew while the gateway runs: new handshakes use what was loaded last, and files that
//! cannot be used leave it as it is. The cryptography provider is named here and never taken from the process's default, whose absence would panic.
//! Deliberately absent: checking that the certificate is in date or fits a name. Only the client can judge either, and a
//! gateway that refuses to start because of a date is harder to repair than one whose clients say what is wrong. Lists of
//! revoked client certificates: an authority that issues for days rather than years does without.

mod certificates;
mod identity;
mod names;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

pub use certificates::Certificates;
pub use identity::Identity;
pub use names::{CertName, CertNameError, fingerprint_of, names_of};

/// The largest file with a certificate chain or a key. A chain of ten certificates is a fiftieth of it.
pub const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// What is spoken inside unless it is said: a WebSocket begins as HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Why connections cannot be encrypted with the files that were given.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not exist or cannot be read.
    #[error("cannot read {}: {source}; correct the option that names it, or make the file readable", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{} is larger than {MAX_PEM_BYTES} bytes and no PEM file; correct the option that names it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is broken.
    #[error("{} is no valid PEM file: {source}; write the certificate or key again", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There is no certificate in the file of the certificate.
    #[error("{} holds no certificate{}; the option for the certificate must name a file with a CERTIFICATE section", path.display(), holds(*holds_key, "a private key: are the two options swapped?"))]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Whether there is a key instead.
        holds_key: bool,
    },
    /// There is no key in the file of the key.
    #[error("{} holds no private key{}; the option for the key must name a file with a PRIVATE KEY section", path.display(), holds(*holds_certificate, "a certificate: are the two options swapped?"))]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Whether there is a certificate instead.
        holds_certificate: bool,
    },
    /// The key needs a passphrase.
    #[error("the private key in {} is encrypted; decrypt it with: openssl pkey -in {} -out key.pem", path.display(), path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that is not supported.
    #[error("the private key in {} cannot be used: {source}; make an ECDSA P-256, Ed25519 or RSA key of at least 2048 bits", path.display())]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error("the private key in {} does not belong to the first certificate in {}; give the key that it was made with", key.display(), cert.display())]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The certificate cannot be used.
    #[error("the certificate in {} cannot be used: {source}; have it issued again", path.display())]
    UnusableCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There is no certificate of an authority that clients' certificates could be checked with.
    #[error("the certificates in {} cannot check those of clients: {source}; the option must name the authority that issued them", path.display())]
    UnusableAuthority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// The files that encryption needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who issues clients' certificates, if they are asked for any.
    pub clients: Option<ClientCerts>,
}

/// Which certificates clients are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCerts {
    /// The file with the authority that has issued them.
    pub authority: PathBuf,
    /// Whether a connection without one is refused.
    pub is_required: bool,
}

fn holds(other: bool, what: &str) -> String {
    if other { format!(" but {what}") } else { String::new() }
}

/// What was loaded: how to encrypt, and for which names the certificate stands.
#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    hosts: Arc<[String]>,
}

/// Loads a certificate chain, its private key and whose certificates clients may show from PEM files.
///
/// # Errors
///
/// Which file is wrong, how, and what to do.
fn load(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let TlsFiles { cert, key, clients } = files;
    let chain = read_chain(cert)?;
    let secret = read_key(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    check_key(key, &secret, &provider)?;
    let verifier = match clients {
        Some(clients) => verifier(clients, &provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let unusable = |source| unusable(cert, key, source);
    let hosts = chain.first().map(names::hosts_of).unwrap_or_default();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Loaded { config: Arc::new(config), hosts: hosts.into() })
}

fn check_key(path: &Path, key: &PrivateKeyDer<'static>, provider: &CryptoProvider) -> Result<(), TlsError> {
    let usable = provider.key_provider.load_private_key(key.clone_key());
    usable.map(drop).map_err(|source| TlsError::UnusableKey { path: path.to_owned(), source })
}

/// Why a certificate cannot be used with its key.
fn unusable(cert: &Path, key: &Path, source: rustls::Error) -> TlsError {
    match source == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
        true => TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() },
        false => TlsError::UnusableCertificate { path: cert.to_owned(), source },
    }
}

fn verifier(clients: &ClientCerts, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = &clients.authority;
    let mut roots = RootCertStore::empty();
    for authority in read_chain(path)? {
        roots.add(authority).map_err(|source| TlsError::UnusableCertificate { path: path.clone(), source })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    let builder = if clients.is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|source| TlsError::UnusableAuthority { path: path.clone(), source })
}

pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let sections = read_sections(path)?;
    let holds_key = sections.iter().any(|(kind, _)| is_key(*kind));
    let chain: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned(), holds_key });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED)
        || text.windows(ENCRYPTED_LEGACY.len()).any(|window| window == ENCRYPTED_LEGACY)
    {
        return Err(TlsError::EncryptedKey { path: path.to_owned() });
    }
    let sections = parse(path, &text)?;
    let holds_certificate = sections.iter().any(|(kind, _)| *kind == SectionKind::Certificate);
    let key = sections.into_iter().find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    key.ok_or_else(|| TlsError::NoKey { path: path.to_owned(), holds_certificate })
}

/// How an encrypted key begins: PKCS #8.
const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// What stands in an encrypted key of the older formats.
const ENCRYPTED_LEGACY: &[u8] = b"Proc-Type: 4,ENCRYPTED";

pub(crate) fn is_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

fn read_sections(path: &Path) -> Result<Vec<(SectionKind, Vec<u8>)>, TlsError> {
    parse(path, &read(path)?)
}

fn parse(path: &Path, text: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, TlsError> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text).collect::<Result<_, _>>();
    sections.map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_PEM_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_PEM_BYTES {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
