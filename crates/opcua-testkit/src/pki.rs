//! The certificates of a server, of its clients and of a user.

use std::io;
use std::path::{Path, PathBuf};

use opcua::crypto::{CertificateStore, SecurityPolicy, X509Data};
use opcua::types::MessageSecurityMode;
use tempfile::TempDir;

use crate::tags;

/// How the messages of secured endpoints are secured: each of these, in each of the [`MODES`].
pub(crate) const POLICIES: [SecurityPolicy; 3] =
    [SecurityPolicy::Basic256Sha256, SecurityPolicy::Aes128Sha256RsaOaep, SecurityPolicy::Aes256Sha256RsaPss];

/// What of it is used.
pub(crate) const MODES: [MessageSecurityMode; 2] = [MessageSecurityMode::Sign, MessageSecurityMode::SignAndEncrypt];

/// Bits of a key. The policies take no shorter ones.
const KEY_BITS: u32 = 2_048;

/// Days for which a certificate is valid. No test takes as long.
const VALID_DAYS: u32 = 2;

/// Certificates cannot be made or moved.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The library does not make one.
    #[error("{0}")]
    Make(String),
    /// A file cannot be read, written or moved.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The directory of a server's certificates. It is the server's alone, and goes away with it.
#[derive(Debug)]
pub struct Pki {
    directory: TempDir,
}

impl Pki {
    pub(crate) const fn new(directory: TempDir) -> Self {
        Self { directory }
    }

    /// Where they all are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory().join(path)
    }

    /// The server's certificate. There is one as soon as a secured server has started.
    pub fn certificate(&self) -> PathBuf {
        self.at("own/cert.der")
    }

    /// The certificate of [`tags::USER_WITH_CERTIFICATE`], likewise.
    pub fn user_certificate(&self) -> PathBuf {
        self.at("user/cert.der")
    }

    /// The key of that certificate.
    pub fn user_key(&self) -> PathBuf {
        self.at("user/key.pem")
    }

    /// Takes the server's certificate and its key away: it has others when it starts again.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn renew(&self) -> Result<(), PkiError> {
        for file in [self.certificate(), self.at("private/private.pem")] {
            std::fs::remove_file(&file).map_err(|source| PkiError::File { path: file, source })?;
        }
        Ok(())
    }

    /// Lets the server trust every client that it has refused so far.
    ///
    /// # Errors
    /// If the certificates cannot be moved.
    pub fn trust_rejected(&self) -> Result<(), PkiError> {
        move_all(&self.at("rejected"), &self.at("trusted"))
    }

    /// Makes the user's certificate and key, unless they are there.
    pub(crate) fn make_user(&self) -> Result<PathBuf, PkiError> {
        let certificate = self.user_certificate();
        if !certificate.exists() {
            make(tags::USER_WITH_CERTIFICATE, &certificate, &self.user_key())?;
        }
        Ok(certificate)
    }
}

/// Makes a certificate that is signed with its own key, for a user of this name.
///
/// # Errors
/// If it cannot be made or written.
pub fn make(name: &str, certificate: &Path, key: &Path) -> Result<(), PkiError> {
    let data = X509Data {
        key_size: KEY_BITS,
        common_name: name.to_owned(),
        organization: "Moorline".to_owned(),
        organizational_unit: "OPC UA test kit".to_owned(),
        country: "IE".to_owned(),
        state: "Dublin".to_owned(),
        alt_host_names: X509Data::alt_host_names(&format!("urn:{name}"), None, false, false, false),
        certificate_duration_days: VALID_DAYS,
    };
    CertificateStore::create_certificate_and_key(&data, true, certificate, key).map_err(PkiError::Make)?;
    // The library ends the lines of a key as only itself can read them.
    let failed = |source| PkiError::File { path: key.to_owned(), source };
    let text = std::fs::read_to_string(key).map_err(failed)?;
    std::fs::write(key, text.replace("\r\n", "\n").replace('\r', "\n")).map_err(failed)
}

/// Moves every file of a directory into another.
///
/// # Errors
/// If one cannot be moved.
pub fn move_all(from: &Path, to: &Path) -> Result<(), PkiError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PkiError::File { path, source }
    };
    for file in std::fs::read_dir(from).map_err(failed(from))? {
        let file = file.map_err(failed(from))?.path();
        if let Some(name) = file.file_name() {
            std::fs::rename(&file, to.join(name)).map_err(failed(&file))?;
        }
    }
    Ok(())
}
