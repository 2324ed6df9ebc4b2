//! From an address to a session, and everything that can come between.

use std::sync::Arc;

use moorline_client::wire::Feature;
use moorline_client::{Client, ConnectError, ConnectOptions, Ended, Stage};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{Peer, accepted, connect_with, connected, listening, once, soon, welcome};

#[tokio::test]
async fn a_session_begins_with_a_hello_and_a_welcome() {
    let (client, _peer) = connect_with(|mut peer| async move {
        let hello = peer.expect("session.hello").await;
        let payload = &hello["payload"];
        assert_eq!(payload["client"]["name"], "moorline-client");
        assert_eq!(payload["auth"], json!({"scheme": "bearer", "token": "tok"}));
        assert_eq!(payload["capabilities"]["encodings"], json!(["json"]));
        let features = payload["capabilities"]["features"].as_array().unwrap();
        assert!(features.contains(&json!("heartbeat")) && features.contains(&json!("ack")));
        assert!(features.contains(&json!("x-vendor.moorline.gap")));
        assert_eq!(hello["extensions"], json!({"x-vendor.moorline.profile": "1"}));
        assert!(hello.get("session_id").is_none() && payload.get("resume_token").is_none());
        peer.send("session.welcome", &welcome(None)).await;
        peer
    })
    .await;
    let client = client.unwrap();
    assert_eq!(client.session_id().unwrap().as_str(), "sess_1");
    assert_eq!(client.welcome().capabilities.agents[0].name, "echo");
    assert!(client.features().contains(Feature::Subscribe));
    assert!(!client.features().contains(Feature::Progress), "the runtime did not name it");
}

#[tokio::test]
async fn a_refused_hello_says_why() {
    for (message_type, extra) in [("session.error", json!({})), ("job.error", json!({"final_status": "error"}))] {
        let (client, _peer) = connect_with(|mut peer| async move {
            peer.expect("session.hello").await;
            let mut payload = json!({"code": "UNAUTHENTICATED", "message": "who are you", "retryable": false});
            payload.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            peer.send(message_type, &payload).await;
            peer
        })
        .await;
        let error = client.unwrap_err();
        assert_eq!(error.to_string(), "the runtime refuses the session: who are you (UNAUTHENTICATED)");
        assert!(matches!(error, ConnectError::Rejected(refused) if !refused.retryable));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_welcome_is_reported() {
    for (answer, expected) in [
        (r#"{"arcp":"1.1","id":"a","type":"session.jobs"}"#, "answered session.hello with session.jobs"),
        ("hello there", "cannot be read"),
        (r#"{"arcp":"9","id":"a","type":"session.welcome"}"#, "cannot be read"),
    ] {
        let (client, _peer) = connect_with(|mut peer| async move {
            peer.expect("session.hello").await;
            peer.send_message(Message::binary(vec![1, 2, 3])).await;
            peer.send_text(answer).await;
            peer
        })
        .await;
        let error = client.unwrap_err().to_string();
        assert!(error.contains(expected), "{answer} gives {error}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_welcome_is_reported() {
    let (client, _peer) = connect_with(|mut peer| async move {
        peer.expect("session.hello").await;
        peer.close("try later").await;
        peer
    })
    .await;
    assert!(matches!(
        client,
        Err(ConnectError::Ended(Ended::ByRuntime { reason: Some(reason) })) if reason == "try later"
    ));
    let (listener, options) = listening().await;
    let serve = async {
        let mut peer = Peer::accept(accepted(&listener).await).await;
        peer.expect("session.hello").await;
    };
    let (client, ()) = soon("connecting", async { tokio::join!(Client::connect(options), serve) }).await;
    assert!(matches!(client, Err(ConnectError::Ended(_))), "{client:?}");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_says_nothing_is_given_up() {
    let options = once("ws://memory/arcp".to_owned());
    let (near, far) = tokio::io::duplex(16 * 1024);
    let (client, _peer) = tokio::join!(Client::connect_over(near, options.clone()), Peer::accept(far));
    assert!(matches!(client, Err(ConnectError::Timeout { stage: Stage::Welcome, .. })), "{client:?}");
    // Without so much as an answer to the upgrade.
    let (near, _far) = tokio::io::duplex(16 * 1024);
    let client = Client::connect_over(near, options).await;
    assert!(matches!(client, Err(ConnectError::Timeout { stage: Stage::Upgrade, .. })), "{client:?}");
}

#[tokio::test]
async fn a_web_server_that_is_no_runtime_is_named_as_such() {
    let (listener, options) = listening().await;
    let serve = async {
        let mut stream = accepted(&listener).await;
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream
    };
    let (client, _stream) = soon("connecting", async { tokio::join!(Client::connect(options), serve) }).await;
    assert!(matches!(client, Err(ConnectError::NotWebSocket { status: 404 })), "{client:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let (listener, options) = listening().await;
    drop(listener);
    let error = soon("connecting", Client::connect(options)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("is the runtime running there?"));
}

#[tokio::test]
async fn a_private_certificate_is_trusted_if_its_root_is_given() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, _) = listening().await;
    let url = format!("wss://localhost:{}/arcp", listener.local_addr().unwrap().port());

    let trusting = ConnectOptions {
        extra_roots_pem: certified.cert.pem().into_bytes(),
        ..ConnectOptions::new(url.clone(), "tok".into())
    };
    let serve = async {
        let stream = Box::pin(acceptor.accept(accepted(&listener).await)).await.unwrap();
        let mut peer = Peer::accept(stream).await;
        peer.expect("session.hello").await;
        peer.send("session.welcome", &welcome(None)).await;
        peer
    };
    let (client, _peer) = soon("connecting", Box::pin(async { tokio::join!(Client::connect(trusting), serve) })).await;
    client.unwrap();

    let serve = async { acceptor.accept(accepted(&listener).await).await };
    let wary = ConnectOptions::new(url, "tok".into());
    let (client, _failed) = soon("connecting", Box::pin(async { tokio::join!(Client::connect(wary), serve) })).await;
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("give its root certificate"));
}

#[tokio::test]
async fn a_session_works_over_a_socket() {
    let (client, mut peer) = connected().await;
    let mut job = crate::peer::submitted(&client, &mut peer, "job_1").await;
    peer.result("job_1", 1).await;
    assert!(crate::peer::update(&mut job).await.is_terminal());
}
