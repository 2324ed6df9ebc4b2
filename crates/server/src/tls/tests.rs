use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

struct Issued {
    cert: String,
    key: String,
}

fn issue() -> Issued {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Issued { cert: cert.pem(), key: key.serialize_pem() }
}

/// Files with these contents, for as long as the directory is there.
fn written(cert: &str, key: &str) -> (TempDir, PathBuf, PathBuf) {
    let dir = TempDir::new().unwrap();
    let (cert_path, key_path) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert_path, cert).unwrap();
    fs::write(&key_path, key).unwrap();
    (dir, cert_path, key_path)
}

/// Loads files with these contents.
fn load_texts(cert: &str, key: &str) -> Result<Arc<ServerConfig>, TlsError> {
    let (_dir, cert, key) = written(cert, key);
    load_files(&cert, &key)
}

fn load_files(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    load(&TlsFiles { cert: cert.to_owned(), key: key.to_owned(), clients: None }).map(|loaded| loaded.config)
}

#[test]
fn what_cannot_be_used_is_refused_with_the_file_and_the_remedy() {
    let (ours, other) = (issue(), issue());
    let broken = ours.cert.replace("-----END", "----");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let rubbish_cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let rubbish_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let not_base64 = "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n";
    for (what, cert, key, expected) in [
        (
            "empty certificate",
            "",
            ours.key.as_str(),
            "cert.pem holds no certificate; the option for the certificate must",
        ),
        ("empty key", &ours.cert, "", "key.pem holds no private key; the option for the key must"),
        ("swapped", &ours.key, &ours.cert, "cert.pem holds no certificate but a private key: are the two"),
        ("twice the certificate", &ours.cert, &ours.cert, "key.pem holds no private key but a certificate"),
        ("another key", &ours.cert, &other.key, "does not belong to the first certificate"),
        ("broken certificate", &broken, &ours.key, "cert.pem is no valid PEM file"),
        ("no base 64", not_base64, &ours.key, "cert.pem is no valid PEM file"),
        ("encrypted key", &ours.cert, encrypted, "openssl pkey -in"),
        ("encrypted older key", &ours.cert, legacy, "openssl pkey -in"),
        ("rubbish certificate", rubbish_cert, &ours.key, "certificate in"),
        ("rubbish key", &ours.cert, rubbish_key, "key.pem cannot be used"),
        ("not PEM", "hello", &ours.key, "cert.pem holds no certificate"),
    ] {
        let error = load_texts(cert, key).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_file_that_is_missing_or_too_large_is_named() {
    let dir = TempDir::new().unwrap();
    let large = dir.path().join("large.pem");
    fs::write(&large, vec![b'x'; usize::try_from(MAX_PEM_BYTES).unwrap() + 1]).unwrap();
    let missing = load_files(&dir.path().join("nothing.pem"), &large).unwrap_err();
    assert!(matches!(&missing, TlsError::Read { path, .. } if path.ends_with("nothing.pem")), "{missing}");
    let too_large = load_files(&large, &large).unwrap_err();
    assert!(matches!(&too_large, TlsError::TooLarge { path } if *path == large), "{too_large}");
}

#[test]
fn no_error_repeats_the_key() {
    let (ours, other) = (issue(), issue());
    let secret = other.key.lines().nth(1).unwrap();
    for error in [load_texts(&ours.cert, &other.key).unwrap_err(), load_texts(&other.key, &other.key).unwrap_err()] {
        assert!(!format!("{error} {error:?}").contains(secret));
    }
}

#[test]
fn a_certificate_with_its_key_is_loaded() {
    let ours = issue();
    let config = load_texts(&ours.cert, &ours.key).unwrap();
    assert_eq!(config.alpn_protocols, [ALPN]);
    let chain_before_key = format!("{}{}", ours.cert, ours.key);
    assert!(load_texts(&chain_before_key, &chain_before_key).is_ok(), "one file may hold both");
}
