use std::fs;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use moorline_types::{Scope, Scopes};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::config::{DefaultScopes, JwtAlgorithm, JwtKeys};

mod published;

const NOW: u64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_unix_millis(NOW * 1000)
}

/// Somebody who issues tokens.
struct Issuer {
    pair: KeyPair,
    algorithm: &'static str,
    kid: &'static str,
}

impl Issuer {
    fn new(algorithm: &'static str, kid: &'static str) -> Self {
        let pair = match algorithm {
            "ES256" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            "ES384" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            _ => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        };
        Self { pair: pair.unwrap(), algorithm, kid }
    }

    fn pem(&self) -> String {
        self.pair.public_key_pem()
    }

    fn jwk(&self) -> Value {
        let raw = self.pair.der_bytes();
        let coordinate = |range: std::ops::Range<usize>| BASE64URL_NOPAD.encode(&raw[range]);
        match self.algorithm {
            "ES256" => {
                json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": coordinate(1..33), "y": coordinate(33..65) })
            }
            "ES384" => {
                json!({ "kty": "EC", "crv": "P-384", "kid": self.kid, "x": coordinate(1..49), "y": coordinate(49..97) })
            }
            _ => json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": coordinate(0..32), "use": "sig" }),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({ "alg": self.algorithm, "kid": self.kid, "typ": "JWT" }), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = self.pair.sign(signed.as_bytes()).unwrap();
        let signature = match self.algorithm {
            "ES256" => fixed(&signature, 32),
            "ES384" => fixed(&signature, 48),
            _ => signature,
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// The two numbers of an ECDSA signature in ASN.1, as a token has them (RFC 7518, 3.4).
fn fixed(asn1: &[u8], length: usize) -> Vec<u8> {
    let mut numbers = Vec::new();
    let mut rest = &asn1[2..];
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        numbers.extend(vec![0; length - number.len()]);
        numbers.extend(number);
        rest = after;
    }
    numbers
}

fn claims() -> Value {
    json!({ "iss": "https://issuer", "aud": "moorline", "sub": "ada", "exp": NOW + 60, "scope": "openid moorline:submit" })
}

/// Those of [`claims`], with this one in its place; without it if it is null.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn config(keys: JwtKeys) -> JwtConfig {
    use JwtAlgorithm::{Ed, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    JwtConfig {
        keys,
        issuer: "https://issuer".to_owned(),
        audience: "moorline".to_owned(),
        leeway: Duration::from_secs(5),
        algorithms: [Ed, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512].into(),
        principal_claim: "sub".to_owned(),
        principal_prefix: "jwt:".to_owned(),
        scope_claim: "scope".to_owned(),
        scope_prefix: "moorline:".to_owned(),
        default_scopes: DefaultScopes::Nothing,
        tags_claim: Some("groups".to_owned()),
    }
}

/// What trusts the keys of a file with this text.
fn trusting(text: &str) -> (TempDir, Jwt) {
    trusting_with(text, |config| config)
}

fn trusting_with(text: &str, change: impl Fn(JwtConfig) -> JwtConfig) -> (TempDir, Jwt) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("issuer.keys");
    fs::write(&path, text).unwrap();
    let jwt = Jwt::load(change(config(JwtKeys::File(path)))).unwrap();
    (dir, jwt)
}

async fn refused(jwt: &Jwt, token: &str) -> NotTrusted {
    jwt.authenticate(token, now()).await.unwrap_err()
}

#[tokio::test]
async fn a_token_of_each_kind_of_key_lets_its_subject_in() {
    for algorithm in ["ES256", "ES384", "EdDSA"] {
        let issuer = Issuer::new(algorithm, "one");
        for text in [issuer.pem(), json!({ "keys": [issuer.jwk()] }).to_string()] {
            let (_dir, jwt) = trusting(&text);
            let known = jwt.authenticate(&issuer.sign(&claims()), now()).await.unwrap();
            assert_eq!(known.principal.id.as_str(), "jwt:ada", "{algorithm}");
            assert_eq!(known.principal.grants.scopes, Scopes::from(Scope::Submit));
        }
    }
}

#[tokio::test]
async fn a_token_is_named_by_its_key_and_itself_in_a_form_that_a_terminal_bears() {
    let issuer = Issuer::new("EdDSA", "one");
    let (_dir, jwt) = trusting(&json!({ "keys": [issuer.jwk()] }).to_string());
    let long = "x".repeat(1_000);
    for (jti, expected) in [
        (Value::Null, "JWT of key one".to_owned()),
        (json!(7), "JWT of key one".to_owned()),
        (json!("4f1c-22"), "JWT 4f1c-22 of key one".to_owned()),
        (json!("a\n\u{1b}[2J b"), "JWT a??[2J?b of key one".to_owned()),
        (json!(long), format!("JWT {} of key one", &long[..64])),
    ] {
        let mut claims = claims();
        claims["jti"] = jti;
        let known = jwt.authenticate(&issuer.sign(&claims), now()).await.unwrap();
        assert_eq!(known.credential.to_string(), expected);
    }
}

/// Keys of each algorithm and a token with [`claims`] that is signed with it, by the algorithm's name. Of RSA they are from
/// a file: nothing here draws such keys, and the one of the file was thrown away.
fn of_each_algorithm() -> Vec<(&'static str, Value, String)> {
    let rsa: Value = serde_json::from_str(include_str!("tests/rsa.json")).unwrap();
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
        .map(|name| match rsa["tokens"][name].as_str() {
            Some(token) => (name, rsa["key"].clone(), token.to_owned()),
            None => {
                let issuer = Issuer::new(name, "one");
                (name, issuer.jwk(), issuer.sign(&claims()))
            }
        })
        .into()
}

#[tokio::test]
async fn every_algorithm_is_checked_by_its_own_rule_if_it_is_allowed_and_by_no_other() {
    let all = of_each_algorithm();
    let known = config(JwtKeys::File("unused".into())).algorithms;
    assert_eq!(all.len(), known.len(), "the table has every algorithm that there is");
    for (name, key, token) in &all {
        let algorithm = JwtAlgorithm::named(name).unwrap();
        let keys = json!({ "keys": [key] }).to_string();
        let (_dir, jwt) = trusting(&keys);
        assert_eq!(jwt.authenticate(token, now()).await.unwrap().principal.id.as_str(), "jwt:ada", "{name}");

        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        bytes[20] ^= 1;
        let broken = format!("{signed}.{}", BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(refused(&jwt, &broken).await, NotTrusted::Signature, "{name}");
        let (_, payload) = signed.split_once('.').unwrap();
        for (other, other_key, _) in &all {
            let header = BASE64URL_NOPAD.encode(json!({ "alg": other }).to_string().as_bytes());
            let expected = if other_key["kty"] == key["kty"] && other_key["crv"] == key["crv"] {
                NotTrusted::Signature
            } else {
                NotTrusted::Algorithm
            };
            assert_eq!(refused(&jwt, &format!("{header}.{payload}.{signature}")).await, expected, "{name} as {other}");
        }

        let others = trusting_with(&keys, |mut config| {
            config.algorithms.remove(&algorithm);
            config
        });
        assert_eq!(refused(&others.1, token).await, NotTrusted::Algorithm, "{name} is not allowed");
        let mut bound = key.clone();
        bound["alg"] = json!(if *name == "RS256" { "RS384" } else { "RS256" });
        let (_dir, jwt) = trusting(&json!({ "keys": [bound, Issuer::new("EdDSA", "two").jwk()] }).to_string());
        assert_eq!(refused(&jwt, token).await, NotTrusted::Algorithm, "{name} with a key of another one");
    }
}

/// The example of RFC 7515, A.2, whose key and signature are RSA.
#[tokio::test]
async fn a_signature_of_rsa_is_checked() {
    let token = concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjb",
        "KBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZES",
        "c6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    let key = json!({ "keys": [{ "kty": "RSA", "e": "AQAB", "n": concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs",
        "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV",
        "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    ) }] });
    let (_dir, jwt) = trusting(&key.to_string());
    // It is good and somebody else's, which is looked at after its signature.
    assert_eq!(refused(&jwt, token).await, NotTrusted::Issuer);
    let mut broken = token.to_owned();
    broken.replace_range(broken.len() - 10..broken.len() - 9, "A");
    assert_eq!(refused(&jwt, &broken).await, NotTrusted::Signature);
    let other = token.replacen("eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJQUzI1NiJ9", 1);
    assert_eq!(refused(&jwt, &other).await, NotTrusted::Signature, "PS256 is another algorithm");
}

#[tokio::test]
async fn a_token_is_refused_for_whatever_is_wrong_with_its_claims() {
    let issuer = Issuer::new("ES256", "one");
    let (_dir, jwt) = trusting(&issuer.pem());
    let many: Vec<String> = (0..20).map(|number| format!("team/{number}")).collect();
    for (name, value, expected) in [
        ("iss", Value::Null, NotTrusted::Issuer),
        ("iss", json!("https://issuer/"), NotTrusted::Issuer),
        ("iss", json!(["https://issuer"]), NotTrusted::Issuer),
        ("aud", Value::Null, NotTrusted::Audience),
        ("aud", json!("moorline2"), NotTrusted::Audience),
        ("aud", json!("other moorline"), NotTrusted::Audience),
        ("aud", json!(["other"]), NotTrusted::Audience),
        ("aud", json!(1), NotTrusted::Audience),
        ("exp", Value::Null, NotTrusted::NoExpiry),
        ("exp", json!(NOW - 5), NotTrusted::Expired),
        ("exp", json!(0), NotTrusted::Expired),
        ("exp", json!((NOW + 60).to_string()), NotTrusted::Malformed),
        ("exp", json!(-1), NotTrusted::Malformed),
        ("exp", json!(1e300), NotTrusted::Malformed),
        ("exp", json!(u64::MAX), NotTrusted::Malformed),
        ("nbf", json!(NOW + 6), NotTrusted::NotYet),
        ("nbf", json!((NOW - 60).to_string()), NotTrusted::Malformed),
        ("sub", Value::Null, NotTrusted::Principal),
        ("sub", json!(""), NotTrusted::Principal),
        ("sub", json!(7), NotTrusted::Principal),
        ("sub", json!("a b"), NotTrusted::Principal),
        ("sub", json!("x".repeat(300)), NotTrusted::Principal),
        ("scope", Value::Null, NotTrusted::NoScope),
        ("scope", json!("submit admin moorline:"), NotTrusted::NoScope),
        ("scope", json!("moorline:everything moorline:ADMIN"), NotTrusted::NoScope),
        ("scope", json!({ "moorline:admin": true }), NotTrusted::Malformed),
        ("scope", json!(["moorline:submit", 1]), NotTrusted::Malformed),
        ("groups", json!(many), NotTrusted::TooManyTags),
        ("groups", json!(true), NotTrusted::Malformed),
    ] {
        assert_eq!(refused(&jwt, &issuer.sign(&with(name, value.clone()))).await, expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_token_is_refused_for_whatever_is_wrong_with_its_header_or_form() {
    let issuer = Issuer::new("ES256", "one");
    let (_dir, jwt) = trusting(&issuer.pem());
    let good = issuer.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = |header: Value| issuer.sign_as(&header, &claims());
    let secret = |key: &[u8]| {
        let signed = unsigned(&json!({ "alg": "HS256" }), &claims());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
    };
    let other = Issuer::new("ES256", "one");
    let none = unsigned(&json!({ "alg": "none" }), &claims());
    for (what, token, expected) in [
        ("none", format!("{none}."), NotTrusted::Algorithm),
        ("none with a signature", format!("{none}.{signature}"), NotTrusted::Algorithm),
        ("None", header(json!({ "alg": "None" })), NotTrusted::Algorithm),
        ("the public key as secret", secret(issuer.pem().as_bytes()), NotTrusted::Algorithm),
        ("its bytes as secret", secret(issuer.pair.der_bytes()), NotTrusted::Algorithm),
        ("another curve's algorithm", header(json!({ "alg": "ES384" })), NotTrusted::Algorithm),
        ("another family's algorithm", header(json!({ "alg": "RS256" })), NotTrusted::Algorithm),
        ("no algorithm", header(json!({ "typ": "JWT" })), NotTrusted::Malformed),
        ("critical", header(json!({ "alg": "ES256", "crit": ["b64"], "b64": false })), NotTrusted::Critical),
        ("of another type", header(json!({ "alg": "ES256", "typ": "logout+jwt" })), NotTrusted::Type),
        (
            "a key of its own",
            other.sign_as(&json!({ "alg": "ES256", "jwk": other.jwk() }), &claims()),
            NotTrusted::Signature,
        ),
        ("somebody else's", other.sign(&claims()), NotTrusted::Signature),
        ("no signature", format!("{signed}."), NotTrusted::Signature),
        ("half a signature", format!("{signed}.{}", &signature[..44]), NotTrusted::Signature),
        ("zeros", format!("{signed}.{}", "A".repeat(86)), NotTrusted::Signature),
        (
            "other claims",
            format!("{}.{signature}", unsigned(&json!({ "alg": "ES256" }), &with("sub", json!("root")))),
            NotTrusted::Signature,
        ),
        ("padding", format!("{good}=="), NotTrusted::Malformed),
        ("nothing", "..".to_owned(), NotTrusted::Malformed),
        ("too long", issuer.sign(&with("more", json!("x".repeat(MAX_TOKEN_BYTES)))), NotTrusted::TooLong),
    ] {
        assert_eq!(refused(&jwt, &token).await, expected, "{what}");
    }
    assert!(jwt.authenticate(&good, now()).await.is_ok());
}

#[tokio::test]
async fn an_algorithm_that_is_not_allowed_is_refused_though_its_key_is_there() {
    let issuer = Issuer::new("ES256", "one");
    let only = |config| JwtConfig { algorithms: [JwtAlgorithm::Rs256].into(), ..config };
    let (_dir, jwt) = trusting_with(&issuer.pem(), only);
    assert_eq!(refused(&jwt, &issuer.sign(&claims())).await, NotTrusted::Algorithm);
}

#[tokio::test]
async fn a_key_is_used_only_for_what_it_says() {
    let issuer = Issuer::new("EdDSA", "one");
    for (field, value, expected) in [
        ("alg", json!("EdDSA"), None),
        ("key_ops", json!(["verify"]), None),
        ("use", json!("enc"), Some(NotTrusted::UnknownKey)),
        ("key_ops", json!(["encrypt"]), Some(NotTrusted::UnknownKey)),
        ("alg", json!("HS256"), Some(NotTrusted::UnknownKey)),
        ("alg", json!("ES256"), Some(NotTrusted::Algorithm)),
        ("kid", json!("two"), Some(NotTrusted::UnknownKey)),
        ("x", json!("AAAA"), Some(NotTrusted::UnknownKey)),
    ] {
        let mut jwk = issuer.jwk();
        jwk[field] = value.clone();
        let other = Issuer::new("ES384", "other");
        let (_dir, jwt) = trusting(&json!({ "keys": [jwk, other.jwk(), { "kty": "oct", "k": "AAAA" }] }).to_string());
        let answer = jwt.authenticate(&issuer.sign(&claims()), now()).await;
        assert_eq!(answer.err(), expected, "{field}: {value}");
    }
}

#[tokio::test]
async fn claims_say_who_it_is_and_what_may_be_done() {
    let issuer = Issuer::new("ES256", "one");
    let (_dir, jwt) = trusting(&issuer.pem());
    let mut claims = with("scope", json!(["moorline:jobs", "moorline:observe_all", "admin"]));
    claims["groups"] = json!(["team/a", "not a tag", "team/b"]);
    claims["aud"] = json!(["other", "moorline"]);
    claims["exp"] = json!(f64::from(u32::try_from(NOW).unwrap()) - 4.5);
    claims["nbf"] = json!(NOW + 4);
    let known = jwt.authenticate(&issuer.sign(&claims), now()).await.unwrap();
    assert_eq!(known.principal.grants.scopes, Scopes::JOBS.with(Scope::ObserveAll));
    let tags: Vec<String> = known.principal.grants.tags.iter().map(ToString::to_string).collect();
    assert_eq!(tags, ["team/a", "team/b"]);

    let jobs = |config| JwtConfig { default_scopes: DefaultScopes::Jobs, tags_claim: None, ..config };
    let (_dir, jwt) = trusting_with(&issuer.pem(), jobs);
    let known = jwt.authenticate(&issuer.sign(&with("scope", Value::Null)), now()).await.unwrap();
    assert_eq!((known.principal.grants.scopes, known.principal.grants.tags.len()), (Scopes::JOBS, 0));
}

#[test]
fn a_file_without_public_keys_is_refused_with_the_remedy() {
    let issuer = Issuer::new("ES256", "one");
    let many = json!({ "keys": vec![issuer.jwk(); 33] }).to_string();
    let weak = json!({ "keys": [{ "kty": "RSA", "n": BASE64URL_NOPAD.encode(&[255; 128]), "e": "AQAB" }] }).to_string();
    for (text, expected) in [
        ("", "neither a PEM file nor a JWK set"),
        ("hello", "neither a PEM file nor a JWK set"),
        ("{\"keys\":", "neither a PEM file nor a JWK set"),
        ("{\"keys\":[]}", "has no public key"),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "has no public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "has no public key"),
        ("-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----\n", "no valid PEM"),
        (&issuer.pair.serialize_pem(), "holds a private key"),
        (&many, "more than 32 keys"),
        (&weak, "has no public key"),
        (&" ".repeat(300_000), "is larger than"),
    ] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("issuer.keys");
        fs::write(&path, text).unwrap();
        let error = Jwt::load(config(JwtKeys::File(path))).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("auth.jwt.keys"), "{error}");
    }
}

#[tokio::test]
async fn a_file_is_read_anew_and_one_that_cannot_be_used_changes_nothing() {
    let (first, second) = (Issuer::new("ES256", "one"), Issuer::new("EdDSA", "two"));
    let (dir, jwt) = trusting(&first.pem());
    let path = dir.path().join("issuer.keys");
    fs::write(&path, second.pem()).unwrap();
    assert_eq!(jwt.reload(), Some(true));
    assert!(jwt.authenticate(&second.sign(&claims()), now()).await.is_ok());
    assert!(jwt.authenticate(&first.sign(&claims()), now()).await.is_err());
    fs::write(&path, "rubbish").unwrap();
    assert_eq!(jwt.reload(), Some(false));
    assert!(jwt.authenticate(&second.sign(&claims()), now()).await.is_ok());
}
