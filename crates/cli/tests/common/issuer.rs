//! Somebody who issues tokens (JWT), and publishes keys at an address of this machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64URL_NOPAD;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

use super::secrets::keep;

/// A moment that no test lives to see, in seconds since 1970.
const FAR: u64 = 4_000_000_000;

/// One key of the issuer.
pub(crate) struct Key {
    pair: KeyPair,
    kid: &'static str,
}

/// Where it publishes keys.
pub(crate) struct Publisher {
    url: String,
    answer: Arc<Mutex<String>>,
}

impl Key {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { pair: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), kid }
    }

    /// A token of this subject, with these scopes.
    pub(crate) fn token(&self, subject: &str, scope: &str) -> String {
        let claims = json!({ "iss": ISSUER, "aud": "moorline", "sub": subject, "scope": scope, "exp": FAR });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": self.kid })), part(&claims));
        let signature = self.pair.sign(signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
        keep("a JWT", &token);
        token
    }

    fn jwk(&self) -> Value {
        let x = BASE64URL_NOPAD.encode(self.pair.der_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x })
    }
}

/// How it calls itself.
const ISSUER: &str = "https://issuer.example";

impl Publisher {
    pub(crate) fn of(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let publisher = Self { url, answer: Arc::default() };
        publisher.publish(keys);
        let answer = Arc::clone(&publisher.answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                // One read is the whole request: it is small, and written at once.
                let asked = stream.read(&mut [0; 4096]);
                let body = answer.lock().unwrap().clone();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                asked.and_then(|_| stream.write_all(format!("{head}{body}").as_bytes())).unwrap_or_default();
            }
        });
        publisher
    }

    /// From here on these are its keys.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        *self.answer.lock().unwrap() = json!({ "keys": keys }).to_string();
    }

    /// What a gateway is started with to trust it.
    pub(crate) fn flags(&self) -> [String; 3] {
        [
            format!("--auth-jwt-jwks-url={}", self.url),
            format!("--auth-jwt-issuer={ISSUER}"),
            "--auth-jwt-audience=moorline".to_owned(),
        ]
    }
}
