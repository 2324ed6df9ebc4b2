//! The keys with which tokens are signed, as they are published: PEM public keys, or a JWK set (RFC 7517).

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use serde_json::Value;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::NotTrusted;
use super::token::Token;
use crate::config::JwtAlgorithm;
use crate::tls::is_key;

/// Keys that one issuer may have. A token that names none is tried with each; issuers have two to ten.
const MAX_KEYS: usize = 32;

/// The least and the most bytes of the modulus of an RSA key: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Why there are no keys in a text.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is neither PEM nor JSON of the right form.
    #[error("is neither a PEM file nor a JWK set ({{\"keys\": [...]}})")]
    Form,
    /// It is broken PEM.
    #[error("is no valid PEM file: {0}")]
    Pem(pem::Error),
    /// It has a private key, which nobody but the issuer should have.
    #[error("holds a private key; give the public key instead, as of: openssl pkey -pubout")]
    Private,
    /// It has too many keys.
    #[error("has more than {MAX_KEYS} keys")]
    TooMany,
    /// It has no key that can be used.
    #[error("has no public key for signatures of RSA (from 2048 bits), P-256, P-384 or Ed25519")]
    NoKey,
}

/// Some keys of one issuer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    /// The only algorithm for which it is meant, if it says one.
    algorithm: Option<JwtAlgorithm>,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key of a set (RFC 7517 and 7518). Fields that do not concern a signature are passed over.
#[derive(serde::Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(serde::Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads what was published. Keys of a set that are for something else, or of a kind that is not supported, are
    /// passed over.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let keys = if is_json { Self::parse_jwks(text)? } else { Self::parse_pem(text)? };
        if keys.is_empty() {
            return Err(KeySetError::NoKey);
        }
        Ok(Self(keys))
    }

    fn parse_jwks(text: &[u8]) -> Result<Vec<Key>, KeySetError> {
        let Jwks { keys } = serde_json::from_slice(text).map_err(|_| KeySetError::Form)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let read = |key| Key::of_jwk(serde_json::from_value(key).ok()?);
        Ok(keys.into_iter().filter_map(read).collect())
    }

    fn parse_pem(text: &[u8]) -> Result<Vec<Key>, KeySetError> {
        let mut keys = Vec::new();
        let mut is_pem = false;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) = section.map_err(KeySetError::Pem)?;
            is_pem = true;
            if is_key(kind) {
                return Err(KeySetError::Private);
            }
            if kind == SectionKind::PublicKey {
                keys.extend(Key::of_der(&der));
            }
            if keys.len() > MAX_KEYS {
                return Err(KeySetError::TooMany);
            }
        }
        if is_pem { Ok(keys) } else { Err(KeySetError::Form) }
    }

    /// Whether one of these has signed the token.
    pub(super) fn check(&self, token: &Token<'_>) -> Result<(), NotTrusted> {
        let is_named = |key: &Key| token.kid.is_none() || key.kid.is_none() || key.kid == token.kid;
        let mut named = self.0.iter().filter(|key| is_named(key)).peekable();
        if named.peek().is_none() {
            return Err(NotTrusted::UnknownKey);
        }
        let mut fitting = named.filter(|key| key.fits(token.algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(NotTrusted::Algorithm);
        }
        if fitting.any(|key| key.has_signed(token)) { Ok(()) } else { Err(NotTrusted::Signature) }
    }
}

impl Key {
    fn of_jwk(jwk: Jwk) -> Option<Self> {
        let Jwk { kty, kid, alg, usage, key_ops, crv, n, e, x, y } = jwk;
        let is_for_signatures = usage.is_none_or(|usage| usage == "sig")
            && key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        // An algorithm that does not exist here makes a key that fits nothing.
        let algorithm = match alg {
            Some(name) => Some(JwtAlgorithm::named(&name)?),
            None => None,
        };
        let bytes = |text: Option<String>| BASE64URL_NOPAD.decode(text?.as_bytes()).ok();
        let material = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => Material::rsa(&bytes(n)?, &bytes(e)?)?,
            ("EC", Some("P-256")) => Material::P256(point(&bytes(x)?, &bytes(y)?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&bytes(x)?, &bytes(y)?, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        is_for_signatures.then_some(Self { kid, algorithm, material })
    }

    /// Reads a `SubjectPublicKeyInfo`.
    fn of_der(der: &[u8]) -> Option<Self> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let curve = curve.map(|curve| curve.to_id_string());
        let bits = info.subject_public_key.data.to_vec();
        let material = match (info.algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
            ("1.2.840.113549.1.1.1", _) => {
                let PublicKey::RSA(key) = info.parsed().ok()? else { return None };
                Material::rsa(key.modulus, key.exponent)?
            }
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) if bits.len() == 65 => Material::P256(bits),
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) if bits.len() == 97 => Material::P384(bits),
            ("1.3.101.112", None) if bits.len() == 32 => Material::Ed25519(bits),
            _ => return None,
        };
        rest.is_empty().then_some(Self { kid: None, algorithm: None, material })
    }

    /// Whether a token of this algorithm can be signed with this key.
    fn fits(&self, algorithm: JwtAlgorithm) -> bool {
        use JwtAlgorithm::{Ed, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let fits = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == Ed,
        };
        fits && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn has_signed(&self, token: &Token<'_>) -> bool {
        let Token { signed, signature, .. } = token;
        match (&self.material, token.algorithm) {
            (Material::Rsa { n, e }, algorithm) => rsa_parameters(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            (Material::P256(point), JwtAlgorithm::Es256) => is_ecdsa(&signature::ECDSA_P256_SHA256_FIXED, point, token),
            (Material::P384(point), JwtAlgorithm::Es384) => is_ecdsa(&signature::ECDSA_P384_SHA384_FIXED, point, token),
            (Material::Ed25519(key), JwtAlgorithm::Ed) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, signature).is_ok()
            }
            _ => false,
        }
    }
}

impl Material {
    fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        (RSA_BYTES.contains(&n.len()) && !e.is_empty()).then_some(Self::Rsa { n, e })
    }
}

/// A number without the zeros in front of it.
fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// A point of a curve, not compressed (SEC 1, 2.3.3).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

fn rsa_parameters(algorithm: JwtAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        JwtAlgorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        JwtAlgorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        JwtAlgorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        JwtAlgorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        JwtAlgorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        JwtAlgorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        JwtAlgorithm::Es256 | JwtAlgorithm::Es384 | JwtAlgorithm::Ed => None,
    }
}

fn is_ecdsa(algorithm: &'static EcdsaVerificationAlgorithm, point: &[u8], token: &Token<'_>) -> bool {
    UnparsedPublicKey::new(algorithm, point).verify(token.signed, &token.signature).is_ok()
}
