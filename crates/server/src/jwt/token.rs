//! A token as it is written: header, claims and signature, each in base64url, with dots between them (RFC 7515, 7.1).

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::{MAX_TOKEN_BYTES, NotTrusted};
use crate::config::JwtAlgorithm;

/// The types that a token may say it is of, in lower case: a token as such, and an access token (RFC 9068). One that is
/// made for something else, such as a logout or the proof of a key, lets nobody in.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token whose signature has not been checked.
pub(super) struct Token<'a> {
    pub(super) algorithm: JwtAlgorithm,
    /// The name of the key, if it says one.
    pub(super) kid: Option<String>,
    /// What was signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    claims: &'a str,
}

/// Fields that are not here say nothing that is listened to.
#[derive(serde::Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, NotTrusted> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(NotTrusted::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(NotTrusted::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(NotTrusted::Malformed)?;
        let Header { alg, kid, typ, crit } =
            serde_json::from_slice(&decode(header)?).map_err(|_| NotTrusted::Malformed)?;
        if crit.is_some() {
            return Err(NotTrusted::Critical);
        }
        if typ.is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(NotTrusted::Type);
        }
        let algorithm = JwtAlgorithm::named(&alg).ok_or(NotTrusted::Algorithm)?;
        Ok(Self { algorithm, kid, signed: signed.as_bytes(), signature: decode(signature)?, claims })
    }

    /// What it says. To be asked for once the signature has been checked.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, NotTrusted> {
        serde_json::from_slice(&decode(self.claims)?).map_err(|_| NotTrusted::Malformed)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, NotTrusted> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| NotTrusted::Malformed)
}
