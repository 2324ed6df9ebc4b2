//! Our own certificate and its key, which workers share.
//!
//! They may all begin in one instant, and any of them may be killed. So the key is made first, unless there is one, and
//! the certificate then of the key that is there, whoever has made it: whatever was interrupted, the next worker goes on
//! with what there is. A certificate without its key was put there by somebody, and is not for us to replace.

use std::path::PathBuf;

use data_encoding::BASE64;
use opcua::crypto::{CertificateStore, KeySize as _, PrivateKey, X509, X509Data};
use opcua::types::ApplicationDescription;

use crate::publish::publish;
use crate::settings::Settings;

/// Bits of a key. Every security policy that there is takes it.
const KEY_BITS: u32 = 2_048;

/// How long a certificate is valid. Whoever replaces it has to have it trusted at every server again, by hand, so it lasts
/// about as long as the machines that it is for.
const VALID_DAYS: u32 = 20 * 365;

/// Characters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// Why we have no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnError {
    #[error(
        "{} has no key; put its key to {}, or remove it, and another one is made",
        certificate.display(),
        key.display()
    )]
    Keyless { certificate: PathBuf, key: PathBuf },
    #[error("{} cannot be read; it is a certificate in DER", certificate.display())]
    Certificate { certificate: PathBuf },
    #[error("{} cannot be read; it is an RSA key in PEM without a passphrase", key.display())]
    Key { key: PathBuf },
    #[error(
        "{} is not the key of {}; put the right one there, or remove both, and others are made",
        key.display(),
        certificate.display()
    )]
    Another { key: PathBuf, certificate: PathBuf },
    #[error("{} cannot be made: {reason}", path.display())]
    Make { path: PathBuf, reason: String },
}

/// Makes sure that there is a certificate of ours and its key. Takes as long as it takes to make a key.
///
/// # Errors
/// If they cannot be made, or what is there is no pair.
pub(crate) fn ensure(settings: &Settings) -> Result<(), OwnError> {
    let store = CertificateStore::new(&settings.pki_dir);
    let (certificate, key) = (store.own_certificate_path(), store.own_private_key_path());
    // The key comes first, so where there is a certificate its key is too, whoever is at it.
    let has_certificate = certificate.exists();
    if !key.exists() {
        if has_certificate {
            return Err(OwnError::Keyless { certificate, key });
        }
        tracing::info!(key = %key.display(), "a key is made");
        let made = PrivateKey::new(KEY_BITS).map_err(|error| error.to_string());
        made.and_then(|made| pem(&made))
            .and_then(|made| publish(&key, made.as_bytes()).map_err(|error| error.to_string()))
            .map_err(|reason| OwnError::Make { path: key.clone(), reason })?;
    }
    let private = CertificateStore::read_pkey(&key).map_err(|_| OwnError::Key { key: key.clone() })?;
    if !has_certificate {
        tracing::info!(certificate = %certificate.display(), "a certificate is made");
        let made = X509::from_pkey(&private, &described(settings));
        made.and_then(|made| made.to_der().map_err(|_| "it has no form in DER".to_owned()))
            .and_then(|made| publish(&certificate, &made).map_err(|error| error.to_string()))
            .map_err(|reason| OwnError::Make { path: certificate.clone(), reason })?;
    }
    let own = CertificateStore::read_cert(&certificate)
        .map_err(|_| OwnError::Certificate { certificate: certificate.clone() })?;
    if belongs(&private, &own) { Ok(()) } else { Err(OwnError::Another { key, certificate }) }
}

/// What the certificate says of us.
fn described(settings: &Settings) -> X509Data {
    let application = ApplicationDescription {
        application_uri: settings.application_uri.as_str().into(),
        application_name: settings.application_name.as_str().into(),
        ..ApplicationDescription::default()
    };
    X509Data { certificate_duration_days: VALID_DAYS, ..X509Data::from(application) }
}

/// A key as everybody reads it.
fn pem(key: &PrivateKey) -> Result<String, String> {
    let der = key.to_der().map_err(|error| error.to_string())?;
    let text = BASE64.encode(der.as_bytes());
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

/// Whether a key is a certificate's: what it signs is signed for the certificate.
pub(crate) fn belongs(key: &PrivateKey, certificate: &X509) -> bool {
    const SIGNED: &[u8] = b"moorline";

    let mut signature = vec![0; key.size()];
    let is_signed = key.sign_sha256(SIGNED, &mut signature).is_ok();
    let verified = certificate.public_key().and_then(|public| public.verify_sha256(SIGNED, &signature));
    is_signed && verified.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Workers that start at once.
    const WORKERS: usize = 8;

    fn settings() -> (tempfile::TempDir, Settings) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("opcua.toml");
        fs::write(&file, "[endpoints.a]\nurl = \"opc.tcp://plc:4840\"\n").unwrap();
        let settings = Settings::load(&file).unwrap();
        (home, settings)
    }

    /// What is below the directory of certificates: our certificate and our key.
    fn files(settings: &Settings) -> [PathBuf; 2] {
        ["own/cert.der", "private/private.pem"].map(|name| settings.pki_dir.join(name))
    }

    fn texts(settings: &Settings) -> [Vec<u8>; 2] {
        files(settings).map(|file| fs::read(file).unwrap())
    }

    #[test]
    fn of_many_workers_that_start_in_one_instant_all_have_one_certificate_and_its_key() {
        for round in 0..4 {
            let (_home, settings) = settings();
            let barrier = Barrier::new(WORKERS);
            let work = || {
                barrier.wait();
                ensure(&settings).unwrap();
                texts(&settings)
            };
            let seen: Vec<_> = thread::scope(|scope| {
                let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).collect()
            });
            assert!(seen.iter().all(|texts| *texts == seen[0]), "round {round}: they have different ones");
            let modes = files(&settings).map(|file| fs::metadata(file).unwrap().permissions().mode() & 0o777);
            assert_eq!(modes, [0o600, 0o600]);
        }
    }

    #[test]
    fn a_certificate_outlasts_the_machines_that_it_is_for() {
        let (_home, settings) = settings();
        ensure(&settings).unwrap();
        let own = CertificateStore::read_cert(&files(&settings)[0]).unwrap();
        let (from, until) = (own.not_before().unwrap(), own.not_after().unwrap());
        assert_eq!((until - from).num_days(), i64::from(VALID_DAYS));
    }

    #[test]
    fn a_worker_that_was_killed_between_the_key_and_the_certificate_is_gone_on_for() {
        let (_home, settings) = settings();
        ensure(&settings).unwrap();
        let [certificate, _] = files(&settings);
        let [_, key] = texts(&settings);
        fs::remove_file(certificate).unwrap();
        ensure(&settings).unwrap();
        assert_eq!(texts(&settings)[1], key);
    }

    #[test]
    fn what_the_operator_has_put_there_is_used_if_it_is_a_pair_and_never_replaced() {
        let (_home, ours) = settings();
        let (_other_home, others) = settings();
        ensure(&ours).unwrap();
        ensure(&others).unwrap();
        let [certificate, key] = files(&ours);
        let [another_certificate, another_key] = files(&others);
        fs::copy(&another_certificate, &certificate).unwrap();
        let refusal = ensure(&ours).unwrap_err().to_string();
        assert!(refusal.contains("is not the key of"), "{refusal}");
        fs::remove_file(&key).unwrap();
        let refusal = ensure(&ours).unwrap_err().to_string();
        assert!(refusal.contains("has no key") && !key.exists(), "{refusal}");
        fs::copy(&another_key, &key).unwrap();
        ensure(&ours).unwrap();
        assert_eq!(texts(&ours), texts(&others));
        fs::write(&key, "no key").unwrap();
        let refusal = ensure(&ours).unwrap_err().to_string();
        assert!(refusal.contains("private.pem") && refusal.contains("PEM"), "{refusal}");
    }
}
