//! API keys over real WebSockets: made, listed, rotated, revoked and expired while the gateway runs.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::trail::wait_for;
use common::{Bench, Client, hello_with};
use serde_json::{Value, json};

const KEYS: &str = "x-vendor.moorline.keys";
const REPORT: &str = "x-vendor.moorline.keys_report";

fn bearer(secret: &Value) -> Value {
    hello_with(&json!({ "scheme": "bearer", "token": secret }))
}

async fn admin(bench: &Bench) -> Client {
    bench.open(&bench.hello_of_an_administrator()).await.0
}

/// What a key that is over is answered.
async fn refused(bench: &Bench, secret: &Value) -> Value {
    let mut client = bench.connect().await;
    client.send(&bearer(secret)).await;
    let answer = client.recv().await.unwrap();
    assert_eq!(answer["type"], "session.error", "{answer}");
    assert!(client.recv().await.is_none(), "the connection is closed");
    answer["payload"].clone()
}

async fn ask(client: &mut Client, request: Value) -> Value {
    client.say("msg_keys", KEYS, request).await;
    loop {
        let frame = client.recv().await.unwrap();
        if frame["type"] == REPORT || frame["type"] == "session.error" {
            assert_eq!(frame["payload"]["request_id"], "msg_keys", "{frame}");
            return frame["payload"].clone();
        }
    }
}

fn new_key(principal: &str, grants: Value) -> Value {
    json!({ "do": "create", "name": "test", "principal": principal, "grants": grants })
}

/// Makes a key and answers its id and secret.
async fn make(admin: &mut Client, request: Value) -> (Value, Value) {
    let report = ask(admin, request).await;
    assert!(report["secret"].as_str().is_some_and(|secret| secret.starts_with("mlk_")), "{report}");
    (report["keys"][0]["id"].clone(), report["secret"].clone())
}

#[tokio::test]
async fn whoever_cannot_administer_makes_and_sees_no_key() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    for request in [
        new_key("ada", json!({ "scopes": ["admin"] })),
        json!({ "do": "list" }),
        json!({ "do": "revoke", "key": "key_01KRHDRWGW0W3GE1R70W3GE1R7" }),
        json!({ "do": "rotate", "key": "key_01KRHDRWGW0W3GE1R70W3GE1R7" }),
    ] {
        let refused = ask(&mut client, request).await;
        assert_eq!(refused["code"], "PERMISSION_DENIED", "{refused}");
        assert_eq!(refused["details"], json!({ "scope": "administer" }), "{refused}");
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_changes_nothing() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    for (request, fragment) in [
        (json!({ "do": "destroy" }), "unknown variant"),
        (json!({ "do": "create", "name": "x", "principal": "a" }), "grants"),
        (new_key("a b", json!({ "scopes": ["jobs"] })), "payload"),
        (new_key("jwt:ada", json!({ "scopes": ["jobs"] })), "choose another name"),
        (new_key("a", json!({ "scopes": ["everything"] })), "scope"),
        (new_key("a", json!({ "scopes": ["jobs"], "read_only": true })), "read_only"),
        (new_key("a", json!({ "scopes": ["jobs"], "tags": ["a b"] })), "tag"),
        (new_key("a", json!({ "scopes": ["jobs"], "constraints": { "lease": { "fs.chown": ["/"] } } })), "fs.chown"),
        (new_key("a", json!({ "scopes": ["jobs"], "constraints": { "agents": ["*x"] } })), "pattern"),
        (new_key("a", json!({ "scopes": ["jobs"], "quotas": { "stored_bytes": -1 } })), "0 or more"),
        (new_key("a", json!({ "scopes": ["jobs"], "quotas": { "waiting": 1 } })), "waiting"),
        (new_key("a", json!({ "scopes": ["jobs"], "quotas": { "submits_per_sec": 0 } })), "quota"),
        (json!({ "do": "revoke", "key": "key_01KRHDRWGW0W3GE1R70W3GE1R7" }), "there is no API key"),
        (json!({ "do": "rotate", "key": "key_01KRHDRWGW0W3GE1R70W3GE1R7" }), "there is no API key"),
        (json!({ "do": "list", "cursor": "x" }), "cursor"),
    ] {
        let answer = ask(&mut admin, request.clone()).await;
        assert_eq!(answer["code"], "INVALID_REQUEST", "{request}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(fragment), "{request}: {answer}");
    }
    let listed = ask(&mut admin, json!({ "do": "list" })).await;
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(4), "{listed}");
}

#[tokio::test]
async fn a_key_is_made_works_at_once_and_survives_a_restart() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let grants = json!({ "scopes": ["submit", "observe", "cancel"], "tags": ["team/a"], "quotas": { "jobs": 7 } });
    let (id, secret) = make(&mut admin, new_key("zoe", grants.clone())).await;
    let (mut zoe, _) = bench.open(&bearer(&secret)).await;
    assert_eq!(zoe.echo(json!(1)).await, json!(1));
    let listed = ask(&mut admin, json!({ "do": "list" })).await;
    let text = listed.to_string();
    assert!(!text.contains(&secret.as_str().unwrap()[8..]), "a list shows no secret");
    let entry = listed["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert_eq!((&entry["principal"], &entry["grants"], &entry["revoked"]), (&json!("zoe"), &grants, &json!(false)));
    assert_eq!(entry["hint"], secret.as_str().unwrap()[..8]);
    assert!(entry["last_used_at"].is_string(), "{entry}");
    let again = bench.stored_keys().await;
    assert!(again.authenticate(secret.as_str().unwrap(), bench.gateway.now()).is_some());
}

#[tokio::test]
async fn a_revoked_key_disconnects_its_bearer_and_says_so_from_then_on() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let (id, secret) = make(&mut admin, new_key("zoe", json!({ "scopes": ["jobs"] }))).await;
    let (mut zoe, token) = bench.open(&bearer(&secret)).await;
    let (mut other, _) = bench.open(&bench.hello()).await;
    let report = ask(&mut admin, json!({ "do": "revoke", "key": id })).await;
    assert_eq!(report["keys"][0]["revoked"], true, "{report}");
    let told = zoe.recv_type("session.error").await;
    assert_eq!(told["payload"]["code"], "UNAUTHENTICATED", "{told}");
    assert_eq!(told["payload"]["details"], json!({ "key": id }));
    assert!(zoe.recv().await.is_none(), "the connection is closed");
    assert_eq!(other.echo(json!(2)).await, json!(2), "nobody else is disconnected");

    let answer = refused(&bench, &secret).await;
    assert_eq!((&answer["code"], &answer["details"]), (&json!("UNAUTHENTICATED"), &json!({ "key": id })));
    let mut hello = bearer(&secret);
    hello["payload"]["resume"] = json!({
        "session_id": zoe.session, "resume_token": token, "last_event_seq": 0,
    });
    let mut client = bench.connect().await;
    client.send(&hello).await;
    assert_eq!(client.recv().await.unwrap()["payload"]["code"], "UNAUTHENTICATED", "nor does it resume");
    let expected = json!([format!("API key {}", id.as_str().unwrap()), "the API key is revoked"]);
    let entries = wait_for(&mut admin, json!({ "action": "authenticate" }), 2).await;
    assert!(entries.iter().all(|entry| json!([entry["credential"], entry["reason"]]) == expected), "{entries:?}");
    assert!(bench.stored_keys().await.authenticate(secret.as_str().unwrap(), bench.gateway.now()).is_none());
}

#[tokio::test]
async fn a_session_of_a_revoked_key_is_resumed_with_another_key_of_its_principal() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let (id, secret) = make(&mut admin, new_key("zoe", json!({ "scopes": ["jobs"] }))).await;
    let (_, second) = make(&mut admin, new_key("zoe", json!({ "scopes": ["jobs"] }))).await;
    let (mut zoe, token) = bench.open(&bearer(&secret)).await;
    ask(&mut admin, json!({ "do": "revoke", "key": id })).await;
    zoe.recv_type("session.error").await;
    let mut hello = bearer(&second);
    hello["payload"]["resume"] = json!({
        "session_id": zoe.session, "resume_token": token, "last_event_seq": 0,
    });
    let (mut back, _) = bench.open(&hello).await;
    assert_eq!(back.session, zoe.session);
    assert_eq!(back.echo(json!(3)).await, json!(3));
}

#[tokio::test]
async fn a_resume_with_a_key_that_may_not_see_the_jobs_any_more_is_in_the_trail_with_its_ground() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let mut ada = bench.client().await;
    ada.say("msg_1", "job.submit", json!({ "agent": "echo", "input": 1 })).await;
    let job = ada.recv_type("job.accepted").await["job_id"].clone();
    let (_, wide) = make(&mut admin, new_key("zoe", json!({ "scopes": ["observe_all"] }))).await;
    let (id, narrow) = make(&mut admin, new_key("zoe", json!({ "scopes": ["jobs"] }))).await;
    let (mut zoe, token) = bench.open(&bearer(&wide)).await;
    zoe.say("msg_1", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    zoe.recv_type("job.subscribed").await;
    let mut hello = bearer(&narrow);
    hello["payload"]["resume"] = json!({ "session_id": zoe.session, "resume_token": token, "last_event_seq": 0 });
    drop(zoe);
    let mut client = bench.connect().await;
    client.send(&hello).await;
    client.recv_type("session.error").await;
    let refused = json!({ "action": "session_resume", "decision": "refused", "job": job });
    let entry = wait_for(&mut admin, refused, 1).await.remove(0);
    for (field, value) in [
        ("who", json!("zoe")),
        ("owner", json!("ada")),
        ("relation", json!("stranger")),
        ("scope", json!("observe_all")),
        ("credential", json!(format!("API key {}", id.as_str().unwrap()))),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry}");
    }
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_the_overlap_and_one_without() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let (id, first) = make(&mut admin, new_key("zoe", json!({ "scopes": ["jobs"] }))).await;
    let (mut zoe, _) = bench.open(&bearer(&first)).await;
    let (same, second) = make(&mut admin, json!({ "do": "rotate", "key": id })).await;
    assert_eq!(same, id);
    assert_ne!(second, first);
    assert_eq!(zoe.echo(json!(1)).await, json!(1), "who is connected stays so within the overlap");
    for secret in [&first, &second] {
        bench.open(&bearer(secret)).await;
    }
    let (_, third) = make(&mut admin, json!({ "do": "rotate", "key": id, "overlap_ms": 0 })).await;
    assert_eq!(zoe.recv_type("session.error").await["payload"]["code"], "UNAUTHENTICATED");
    assert_eq!(refused(&bench, &first).await["code"], "UNAUTHENTICATED");
    assert_eq!(refused(&bench, &second).await["code"], "UNAUTHENTICATED");
    bench.open(&bearer(&third)).await;
}

#[tokio::test]
async fn a_key_that_expires_lets_its_bearer_in_until_then() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let mut request = new_key("zoe", json!({ "scopes": ["jobs"] }));
    request["expires_in_ms"] = json!(0);
    let (id, secret) = make(&mut admin, request.clone()).await;
    let answer = refused(&bench, &secret).await;
    assert_eq!(answer["code"], "UNAUTHENTICATED");
    assert!(answer["details"]["expired_at"].is_string(), "{answer}");
    assert_eq!(ask(&mut admin, json!({ "do": "rotate", "key": id })).await["code"], "INVALID_REQUEST");
    request["expires_in_ms"] = json!(500);
    let (_, secret) = make(&mut admin, request).await;
    let mut client = bench.connect().await;
    client.send(&bearer(&secret)).await;
    let first = client.recv().await.unwrap();
    if first["type"] == "session.welcome" {
        let told = client.recv_type("session.error").await;
        assert_eq!(told["payload"]["code"], "UNAUTHENTICATED", "{told}");
        assert!(client.recv().await.is_none(), "the connection is closed");
    }
}

#[tokio::test]
async fn the_last_key_that_administers_stays() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let listed = ask(&mut admin, json!({ "do": "list" })).await;
    let own = listed["keys"].as_array().unwrap().iter().find(|key| key["principal"] == "root").unwrap()["id"].clone();
    let mut leaving = new_key("other", json!({ "scopes": ["administer"] }));
    leaving["expires_in_ms"] = json!(3_600_000);
    make(&mut admin, leaving).await;
    let refused = ask(&mut admin, json!({ "do": "revoke", "key": own })).await;
    assert_eq!(refused["code"], "INVALID_REQUEST", "{refused}");
    make(&mut admin, new_key("other", json!({ "scopes": ["administer"] }))).await;
    admin.say("msg_last", KEYS, json!({ "do": "revoke", "key": own })).await;
    admin.recv_type("session.error").await;
}

#[tokio::test]
async fn beyond_a_quota_the_answer_says_which_how_much_and_whether_to_try_again() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    for (quota, frees_itself) in [("jobs", true), ("queued", true), ("stored_bytes", false)] {
        let grants = json!({ "scopes": ["jobs"], "quotas": { quota: 0 } });
        let (_, secret) = make(&mut admin, new_key(&format!("zoe-{quota}"), grants)).await;
        let (mut zoe, _) = bench.open(&bearer(&secret)).await;
        zoe.say("msg_1", "job.submit", json!({ "agent": "echo", "input": 1 })).await;
        let refused = zoe.recv_type("session.error").await["payload"].take();
        assert_eq!(
            (&refused["code"], &refused["request_id"]),
            (&json!("INVALID_REQUEST"), &json!("msg_1")),
            "{refused}"
        );
        assert_eq!(refused["retryable"], frees_itself, "{refused}");
        let details = &refused["details"];
        assert_eq!((&details["quota"], &details["limit"]), (&json!(quota), &json!(0)), "{refused}");
        assert_eq!(details["used"].as_u64().unwrap() > 0, quota == "stored_bytes", "the session is stored: {refused}");
        zoe.say("msg_ping", "session.ping", json!({ "nonce": "n" })).await;
        zoe.recv_type("session.pong").await;
    }
    let grants = json!({ "scopes": ["jobs"], "quotas": { "sessions": 1 } });
    let (_, secret) = make(&mut admin, new_key("zoe", grants)).await;
    let (_zoe, _) = bench.open(&bearer(&secret)).await;
    let mut second = bench.connect().await;
    second.send(&bearer(&secret)).await;
    let refused = second.recv_type("session.error").await["payload"].take();
    assert_eq!(refused["details"], json!({ "quota": "sessions", "limit": 1, "used": 1 }), "{refused}");
    assert_eq!(refused["retryable"], false, "{refused}");
}

#[tokio::test]
async fn who_submits_too_fast_is_told_how_long_to_wait_and_stays_connected() {
    let bench = Bench::start().await;
    let mut admin = admin(&bench).await;
    let grants = json!({ "scopes": ["jobs"], "quotas": { "submits_per_sec": 1 } });
    let (_, secret) = make(&mut admin, new_key("zoe", grants)).await;
    let (mut zoe, _) = bench.open(&bearer(&secret)).await;
    // However slow the machine is, it does not take a second for each.
    for n in 0..50 {
        zoe.say(&format!("msg_{n}"), "job.submit", json!({ "agent": "echo", "input": n })).await;
    }
    let refused = zoe.recv_type("session.error").await["payload"].take();
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("INVALID_REQUEST"), &json!(true)), "{refused}");
    assert_eq!((&refused["details"]["limit"], &refused["details"]["used"]), (&json!(1), &json!(1)), "{refused}");
    assert!((1..=1_000).contains(&refused["details"]["retry_after_ms"].as_u64().unwrap()), "{refused}");
    zoe.say("msg_ping", "session.ping", json!({ "nonce": "n" })).await;
    zoe.recv_type("session.pong").await;
}
