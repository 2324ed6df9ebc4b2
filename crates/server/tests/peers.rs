//! Clients of every official SDK, as far as their frames distinguish them, over a real socket.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{Bench, Client};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const ULID: &str = "01KRHDRWGW040G2081040G2081";
const UUID: &str = "0190b1f2-7c1e-7b3a-9a41-3f1c2d4e5f60";

/// A client that says hello as this SDK does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sdk {
    Spec,
    TypeScript,
    Python,
    Go,
    CSharp,
    Java,
}

impl Sdk {
    const ALL: [Self; 6] = [Self::Spec, Self::TypeScript, Self::Python, Self::Go, Self::CSharp, Self::Java];

    fn disguise(self, mut hello: Value) -> Value {
        hello["id"] = match self {
            Self::Spec => "hello-1".into(),
            Self::TypeScript | Self::CSharp => format!("msg_{ULID}").into(),
            Self::Python | Self::Java => ULID.into(),
            Self::Go => UUID.into(),
        };
        if self == Self::CSharp {
            hello["timestamp"] = "2026-05-14T12:00:00.0000000+00:00".into();
        }
        if self == Self::Python {
            hello["payload"]["capabilities"]["agents"] = json!([]);
        }
        hello
    }

    async fn client(self, bench: &Bench) -> Client {
        let mut client = bench.connect().await;
        client.send(&self.disguise(bench.hello())).await;
        let welcome = client.recv().await.unwrap();
        assert_eq!(welcome["type"], "session.welcome", "{self:?}: {welcome}");
        client.session = welcome["session_id"].as_str().map(str::to_owned);
        client
    }
}

#[tokio::test]
async fn each_client_learns_that_its_hello_is_refused() {
    let bench = Bench::start().await;
    for sdk in Sdk::ALL {
        let mut hello = sdk.disguise(bench.hello());
        hello["payload"]["auth"]["token"] = "wrong".into();
        let mut client = bench.connect().await;
        client.send(&hello).await;
        let first = client.recv().await.unwrap();
        assert_eq!(first["type"], "session.error", "{sdk:?}: {first}");
        assert_eq!(first["payload"]["code"], "UNAUTHENTICATED", "{sdk:?}: {first}");
        assert!(first["session_id"].as_str().unwrap().starts_with("sess_"), "{sdk:?}: {first}");
        if sdk == Sdk::Java {
            let second = client.recv().await.unwrap();
            assert_eq!((&second["type"], &second["id"]), (&json!("job.error"), &json!(ULID)), "{second}");
            assert_eq!(second["job_id"], Value::Null, "{second}");
            assert_eq!(second["payload"]["code"], "UNAUTHENTICATED", "{second}");
        }
        assert!(matches!(client.recv_message().await, Some(Message::Close(_)) | None), "{sdk:?}: still open");
    }
}

#[tokio::test]
async fn each_client_learns_that_its_submission_is_refused_and_goes_on() {
    let bench = Bench::start().await;
    for sdk in Sdk::ALL {
        let mut client = sdk.client(&bench).await;
        for submission in [json!({ "agent": "nobody" }), json!({ "agent": 7 })] {
            client.say("m-submit", "job.submit", submission).await;
            let answer = client.recv().await.unwrap();
            assert_eq!(answer["payload"]["request_id"], "m-submit", "{sdk:?}: {answer}");
            let (kind, job) = (answer["type"].as_str().unwrap(), answer["job_id"].as_str());
            match sdk {
                Sdk::TypeScript => assert!(kind == "job.error" && job.unwrap().starts_with("job_"), "{answer}"),
                Sdk::Java => assert!(kind == "job.error" && job.is_none() && answer["id"] == "m-submit", "{answer}"),
                _ => assert!(kind == "session.error" && job.is_none(), "{sdk:?}: {answer}"),
            }
            assert_eq!(answer["event_seq"], Value::Null, "{sdk:?}: {answer}");
        }
        assert_eq!(client.echo(json!(sdk as u8)).await, json!(sdk as u8), "{sdk:?}");
    }
}

#[tokio::test]
async fn a_refused_cancellation_does_not_end_what_else_the_client_does() {
    let bench = Bench::start().await;
    for sdk in Sdk::ALL {
        let mut client = sdk.client(&bench).await;
        client.say("m-cancel", "job.cancel", json!({ "job_id": "job_x", "reason": "r" })).await;
        client.say("m-ping", "session.ping", json!({ "nonce": "n" })).await;
        let first = client.recv().await.unwrap();
        match sdk {
            Sdk::TypeScript | Sdk::Python | Sdk::CSharp => {
                assert_eq!(first["type"], "session.pong", "{sdk:?}: {first}")
            }
            Sdk::Spec | Sdk::Go => {
                assert_eq!(first["type"], "session.error", "{first}");
                assert_eq!(first["payload"]["request_id"], "m-cancel", "{first}");
                assert_eq!(first["payload"]["job_id"], "job_x", "{first}");
            }
            Sdk::Java => {
                assert_eq!((&first["type"], &first["id"]), (&json!("job.error"), &json!("m-cancel")), "{first}");
                assert_eq!(first["job_id"], Value::Null, "{first}");
            }
        }
    }
}

#[tokio::test]
async fn each_client_finds_the_result_where_it_looks() {
    let bench = Bench::start().await;
    for sdk in Sdk::ALL {
        let mut client = sdk.client(&bench).await;
        client.say("m-submit", "job.submit", json!({ "agent": "echo", "input": [1.0] })).await;
        let accepted = client.recv_type("job.accepted").await;
        assert_eq!(accepted["payload"]["request_id"], "m-submit", "{sdk:?}");
        let result = client.recv_type("job.result").await;
        assert_eq!(result["payload"]["result"], json!([1.0]), "{sdk:?}: {result}");
        let output = if sdk == Sdk::Go { json!([1.0]) } else { Value::Null };
        assert_eq!(result["payload"]["output"], output, "{sdk:?}: {result}");
        assert!(result["payload"]["completed_at"].is_string(), "{sdk:?}: {result}");
    }
}

#[tokio::test]
async fn each_client_is_told_goodbye_in_its_own_word() {
    let bench = Bench::start().await;
    let mut clients = Vec::new();
    for sdk in Sdk::ALL {
        clients.push((sdk, sdk.client(&bench).await));
    }
    let closing = tokio::spawn(async move { bench.service.close_connections(common::PATIENCE).await });
    for (sdk, mut client) in clients {
        let goodbye = client.recv().await.unwrap();
        let expected = if sdk == Sdk::Python { "session.bye" } else { "session.closed" };
        assert_eq!(goodbye["type"], expected, "{sdk:?}: {goodbye}");
        assert!(goodbye["payload"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{sdk:?}: {goodbye}");
    }
    closing.await.unwrap();
}

#[tokio::test]
async fn the_dialect_of_session_open_is_refused_in_a_form_that_it_can_read() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    let open = json!({
        "arcp": "1.1", "id": format!("msg_{ULID}"), "type": "session.open", "timestamp": "2026-05-14T12:00:00.123456789Z",
        "payload": { "auth": { "scheme": "bearer", "token": "t" }, "client": { "kind": "k", "version": "1" }, "capabilities": {} },
    });
    client.send(&open).await;
    let rejected = client.recv().await.unwrap();
    assert_eq!(rejected["type"], "session.rejected", "{rejected}");
    assert_eq!(rejected["correlation_id"], open["id"], "{rejected}");
    assert!(rejected["id"].as_str().unwrap().starts_with("msg_"), "{rejected}");
    assert!(rejected["timestamp"].is_string() && rejected["session_id"].is_null(), "{rejected}");
    assert_eq!(rejected["payload"]["code"], "UNIMPLEMENTED", "{rejected}");
    assert!(rejected["payload"]["message"].as_str().unwrap().contains("session.hello"), "{rejected}");
    let error = client.recv().await.unwrap();
    assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("session.error"), &json!("INVALID_REQUEST")));
    assert!(matches!(client.recv_message().await, Some(Message::Close(_)) | None), "still open");
}

#[tokio::test]
async fn a_message_of_an_unknown_type_is_refused_unless_it_may_be_ignored() {
    let bench = Bench::start().await;
    for sdk in Sdk::ALL {
        let mut client = sdk.client(&bench).await;
        for message_type in ["x-vendor.acme.teleport", "job.dance", "session.dance"] {
            for optional in [true, false] {
                let frame = json!({
                    "arcp": "1.1", "id": "m-unknown", "type": message_type, "session_id": client.session,
                    "payload": { "any": null }, "extensions": { "optional": optional, "x-vendor.acme.note": 1 },
                });
                client.send(&frame).await;
                client.say("m-ping", "session.ping", json!({ "nonce": "n" })).await;
                if !optional {
                    let error = client.recv().await.unwrap();
                    let expected = if sdk == Sdk::Java { "job.error" } else { "session.error" };
                    assert_eq!(error["type"], expected, "{sdk:?}: {error}");
                    assert_eq!(error["payload"]["code"], "INVALID_REQUEST", "{sdk:?}: {error}");
                    assert_eq!(error["payload"]["details"]["type"], message_type, "{sdk:?}: {error}");
                    assert_eq!(error["payload"]["request_id"], "m-unknown", "{sdk:?}: {error}");
                }
                let pong = client.recv().await.unwrap();
                assert_eq!(pong["type"], "session.pong", "{sdk:?}: {pong}");
            }
        }
    }
}

#[tokio::test]
async fn an_extension_of_ours_that_cannot_be_read_is_refused_by_its_path() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let frame = json!({
        "arcp": "1.1", "id": "m-1", "type": "job.subscribe", "session_id": client.session,
        "payload": { "job_id": "job_x" }, "extensions": { "x-vendor.moorline.subscribe": { "overflow": "shrug" } },
    });
    client.send(&frame).await;
    let error = client.recv().await.unwrap();
    assert_eq!(error["payload"]["code"], "INVALID_REQUEST", "{error}");
    assert_eq!(error["payload"]["details"]["field"], "extensions.x-vendor.moorline.subscribe.overflow", "{error}");
}

#[tokio::test]
async fn a_configured_peer_counts_for_more_than_the_first_frame_and_less_than_our_own_mark() {
    let bench = Bench::start().await;
    let marked = json!({ "x-vendor.moorline.profile": "1" });
    for (id, extensions, expected) in [
        ("hello-1".to_owned(), Value::Null, "session.bye"),
        (format!("msg_{ULID}"), Value::Null, "session.bye"),
        ("hello-1".to_owned(), marked, "session.closed"),
    ] {
        let mut hello = bench.hello_of_a_configured_peer();
        (hello["id"], hello["extensions"]) = (json!(id), extensions);
        let mut first = bench.connect().await;
        first.send(&hello).await;
        let welcome = first.recv_type("session.welcome").await;
        let mut second = bench.connect().await;
        hello["payload"]["resume"] = json!({
            "session_id": welcome["session_id"], "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
        second.send(&hello).await;
        second.recv_type("session.welcome").await;
        let goodbye = first.recv().await.unwrap();
        assert_eq!(goodbye["type"], expected, "{id}: {goodbye}");
    }
}
