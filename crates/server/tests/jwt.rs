//! Sessions that are opened with tokens of somebody else, over real WebSockets.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, Client, PATIENCE, hello_with};
use data_encoding::BASE64URL_NOPAD;
use moorline_runtime::Clock;
use moorline_server::config::{DefaultScopes, JwtAlgorithm, JwtConfig, JwtKeys};
use moorline_server::jwt::Jwt;
use moorline_types::Millis;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Issuer {
    pair: KeyPair,
    dir: TempDir,
}

impl Issuer {
    fn new() -> Self {
        let (pair, dir) = (KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), TempDir::new().unwrap());
        std::fs::write(dir.path().join("issuer.pem"), pair.public_key_pem()).unwrap();
        Self { pair, dir }
    }

    async fn bench(&self) -> Bench {
        let config = JwtConfig {
            keys: JwtKeys::File(self.dir.path().join("issuer.pem")),
            issuer: "https://issuer".to_owned(),
            audience: "moorline".to_owned(),
            leeway: Duration::ZERO,
            algorithms: [JwtAlgorithm::Ed].into(),
            principal_claim: "sub".to_owned(),
            principal_prefix: "jwt:".to_owned(),
            scope_claim: "scope".to_owned(),
            scope_prefix: String::new(),
            default_scopes: DefaultScopes::Nothing,
            tags_claim: None,
        };
        Bench::trusting(Arc::new(Jwt::load(config).unwrap())).await
    }

    /// A token of this subject, good for so many milliseconds from now.
    fn token(&self, subject: &str, scope: &str, millis: u32) -> String {
        let until = (Clock::system().now() + Millis::new(millis.into())).as_unix_millis();
        let exp: Value = serde_json::from_str(&format!("{}.{:03}", until / 1000, until % 1000)).unwrap();
        let claims = json!({ "iss": "https://issuer", "aud": "moorline", "sub": subject, "scope": scope, "exp": exp });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA" })), part(&claims));
        let signature = self.pair.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

const LONG: u32 = 600_000;

fn bearer(token: &str) -> Value {
    hello_with(&json!({ "scheme": "bearer", "token": token }))
}

/// The first answer to this hello.
async fn say(bench: &Bench, hello: &Value) -> (Client, Value) {
    let mut client = bench.connect().await;
    client.send(hello).await;
    let answer = client.recv().await.unwrap();
    client.session = answer["session_id"].as_str().map(str::to_owned);
    (client, answer)
}

fn resuming(token: &str, welcome: &Value) -> Value {
    let mut hello = bearer(token);
    hello["payload"]["resume"] = json!({
        "session_id": welcome["session_id"], "resume_token": welcome["payload"]["resume_token"], "last_event_seq": 0,
    });
    hello
}

#[tokio::test]
async fn a_token_opens_a_session_of_its_own_principal_with_its_scopes() {
    let issuer = Issuer::new();
    let bench = issuer.bench().await;
    let (mut ada, welcome) = say(&bench, &bearer(&issuer.token("ada", "jobs", LONG))).await;
    assert_eq!(welcome["type"], "session.welcome", "{welcome}");
    assert_eq!(ada.echo(json!("hello")).await, json!("hello"));
    ada.say("msg_list", "session.list_jobs", json!({})).await;
    let jobs = ada.recv_type("session.jobs").await;
    assert_eq!(jobs["payload"]["jobs"].as_array().map(Vec::len), Some(1), "{jobs}");

    // The API key's principal of the same name is somebody else, and keys are good beside tokens.
    let mut other = bench.client().await;
    other.say("msg_list", "session.list_jobs", json!({})).await;
    let jobs = other.recv_type("session.jobs").await;
    assert_eq!(jobs["payload"]["jobs"], json!([]), "{jobs}");

    let (mut watcher, _) = say(&bench, &bearer(&issuer.token("eve", "observe", LONG))).await;
    watcher.say("msg_1", "job.submit", json!({ "agent": "echo", "input": 1 })).await;
    assert_eq!(watcher.recv_type("session.error").await["payload"]["code"], "PERMISSION_DENIED");
}

/// Whoever has a token that is not trusted is told what a stranger is told.
#[tokio::test]
async fn a_refusal_does_not_say_what_is_wrong_with_a_token() {
    let issuer = Issuer::new();
    let bench = issuer.bench().await;
    let stranger = say(&bench, &bearer("mlk_nothing")).await.1["payload"].clone();
    let good = issuer.token("ada", "jobs", LONG);
    for token in [
        issuer.token("ada", "jobs", 0),
        issuer.token("ada", "", LONG),
        Issuer::new().token("ada", "jobs", LONG),
        good.replace('.', ".."),
        "a.b.c".to_owned(),
        format!("{good}A"),
        format!("a.b.{}", "c".repeat(9_000)),
    ] {
        let (mut client, refused) = say(&bench, &bearer(&token)).await;
        assert_eq!((&refused["type"], &refused["payload"]["code"]), (&json!("session.error"), &stranger["code"]));
        assert_eq!(refused["payload"]["message"], stranger["message"]);
        assert!(client.recv().await.is_none(), "the connection is closed");
    }

    // The audit trail says it, and has nothing of the token.
    let (mut admin, _) = say(&bench, &bench.hello_of_an_administrator()).await;
    let expected = [
        "the token is nobody's",
        "the token has expired",
        "the token has no scope",
        "the token's signature is wrong",
        "the token is malformed",
        "the token is too long",
    ];
    let found = async {
        loop {
            admin.say("msg_audit", "x-vendor.moorline.audit", json!({ "action": "authenticate" })).await;
            let page = admin.recv_type("x-vendor.moorline.audit_page").await.to_string();
            assert!(!page.contains(good.rsplit('.').next().unwrap()), "{page}");
            if expected.iter().all(|reason| page.contains(reason)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it is written down");
}

#[tokio::test]
async fn a_connection_ends_with_its_token_and_its_session_goes_on_with_a_fresh_one() {
    let issuer = Issuer::new();
    let bench = issuer.bench().await;
    let (mut client, welcome) = say(&bench, &bearer(&issuer.token("ada", "jobs", 4_000))).await;
    let error = client.recv_type("session.error").await;
    assert_eq!(error["payload"]["code"], "UNAUTHENTICATED", "{error}");
    let message = error["payload"]["message"].as_str().unwrap();
    assert!(message.contains("was good until") && message.contains("authenticate with another"), "{error}");
    assert!(client.recv().await.is_none(), "the connection is closed");

    let (_, refused) = say(&bench, &resuming(&issuer.token("eve", "jobs", LONG), &welcome)).await;
    assert_eq!(refused["type"], "session.error", "{refused}");
    let (mut client, resumed) = say(&bench, &resuming(&issuer.token("ada", "jobs", LONG), &welcome)).await;
    assert_eq!(resumed["type"], "session.welcome", "{resumed}");
    assert_eq!(resumed["session_id"], welcome["session_id"]);
    assert_eq!(client.echo(json!(1)).await, json!(1));
}
