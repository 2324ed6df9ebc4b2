//! Everybody comes back at once, after a restart or an orderly stop.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Bench, Client, PATIENCE, with_sessions};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// How long many clients together may take on a machine that does other things too.
const LONG: Duration = Duration::from_secs(120);

async fn submit(client: &mut Client, events: u64, delay_ms: u64) -> String {
    let input = json!({ "echo": { "events": events, "delay_ms": delay_ms } });
    client.say("msg_submit", "job.submit", json!({ "agent": "echo", "input": input })).await;
    client.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned()
}

async fn read_to_result(client: &mut Client) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let frame: Value = client.recv().await.unwrap();
        numbers.extend(frame["event_seq"].as_u64());
        if frame["type"] == "job.result" {
            return numbers;
        }
    }
}

#[tokio::test]
async fn a_gateway_that_goes_away_tells_each_client_another_moment() {
    let bench = Bench::start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(bench.client().await);
    }
    let goodbyes = join_all(clients.iter_mut().map(|client| client.recv_type("session.closed")));
    let (goodbyes, ()) = tokio::join!(goodbyes, bench.service.close_connections(PATIENCE));
    let mut moments = BTreeSet::new();
    for goodbye in &goodbyes {
        let after = goodbye["extensions"]["x-vendor.moorline.retry"]["after_ms"].as_u64().unwrap();
        assert!((500..1_000).contains(&after), "{goodbye}");
        let reason = goodbye["payload"]["reason"].as_str().unwrap();
        assert!(reason.ends_with(&format!("come back in {after} ms")), "{reason}");
        moments.insert(after);
    }
    assert!(moments.len() > 5, "{moments:?}");
}

#[tokio::test]
async fn many_sessions_are_resumed_at_once_while_a_job_streams() {
    // More than are resumed at once, and fewer than one address may have connections.
    const SESSIONS: usize = 90;
    const EVENTS: u64 = 20;
    let options = with_sessions(2 * SESSIONS);
    let bench = Bench::with_agents(options, Vec::new()).await;
    let mut tokens = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = bench.connect().await;
        client.send(&bench.hello()).await;
        let welcome = client.recv().await.unwrap();
        client.session = welcome["session_id"].as_str().map(str::to_owned);
        submit(&mut client, EVENTS, 0).await;
        read_to_result(&mut client).await;
        tokens.push(welcome["payload"]["resume_token"].as_str().unwrap().to_owned());
    }

    let bench = bench.restarted().await;
    let mut streaming = bench.client().await;
    submit(&mut streaming, 200, 5).await;
    let come_back = |(n, token): (usize, String)| {
        let bench = &bench;
        async move {
            // Some have seen nothing, some everything but the end.
            let seen = n as u64 % (EVENTS + 1);
            let mut hello = bench.hello();
            hello["payload"]["resume"] = json!({ "resume_token": token, "last_event_seq": seen });
            let mut client = bench.connect().await;
            client.send(&hello).await;
            let welcome = client.recv().await.unwrap();
            assert_eq!(welcome["type"], "session.welcome", "{welcome}");
            assert_eq!(read_to_result(&mut client).await, (seen + 1..=EVENTS + 1).collect::<Vec<_>>());
        }
    };
    let everybody = join_all(tokens.into_iter().enumerate().map(come_back));
    let both = async { tokio::join!(everybody, read_to_result(&mut streaming)) };
    let (_, streamed) = tokio::time::timeout(LONG, both).await.expect("everybody is served");
    assert_eq!(streamed, (1..=201).collect::<Vec<_>>());
}
