//! Heartbeats, in paused time: it advances only when nothing else can happen.

use std::time::Duration;

use moorline_client::Ended;
use serde_json::json;
use tokio::time::Instant;

use crate::peer::{Peer, connected_in_memory, seq, submitted, update};

/// Reads frames until the client has hung up; how many pings there were.
async fn pings_until_the_end(peer: &mut Peer) -> usize {
    let mut pings = 0;
    while let Some(frame) = peer.next().await {
        pings += usize::from(frame["type"] == "session.ping");
    }
    pings
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_even_if_heartbeats_were_not_agreed_on() {
    let (_client, mut peer) = connected_in_memory(None).await;
    peer.send("session.ping", &json!({"nonce": "p_7"})).await;
    let pong = peer.expect("session.pong").await;
    assert_eq!(pong["payload"]["ping_nonce"], "p_7");
    assert_eq!(pong["session_id"], "sess_1");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_falls_silent_is_asked_once_and_then_given_up() {
    let (client, mut peer) = connected_in_memory(Some(5)).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let begin = Instant::now();
    let pings = pings_until_the_end(&mut peer).await;
    assert_eq!(pings, 1);
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert!(matches!(client.ended().await, Ended::HeartbeatLost { after } if after == Duration::from_secs(10)));
    assert!(matches!(job.next().await, Some(Err(Ended::HeartbeatLost { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_answers_is_kept() {
    let (client, mut peer) = connected_in_memory(Some(5)).await;
    let begin = Instant::now();
    for _ in 0..20 {
        let ping = peer.expect("session.ping").await;
        peer.send("session.pong", &json!({"ping_nonce": ping["payload"]["nonce"]})).await;
    }
    assert_eq!(begin.elapsed().as_secs(), 100);
    submitted(&client, &mut peer, "job_1").await;
}

/// Which of the two a client sees first, the time or what was said, is decided by chance.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_has_spoken_while_the_program_stood_still_is_not_given_up() {
    let (client, mut peer) = connected_in_memory(Some(5)).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    for seq in 1..=20 {
        peer.log("job_1", seq).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(self::seq(&update(&mut job).await), seq);
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_reader_is_slow_the_client_pings_and_gives_nobody_up() {
    let (client, mut peer) = connected_in_memory(Some(5)).await;
    let mut slow = submitted(&client, &mut peer, "job_1").await;
    // One more than the queue holds: from here on the socket is not read.
    for seq in 1..=65 {
        peer.log("job_1", seq).await;
    }
    let begin = Instant::now();
    for _ in 0..20 {
        peer.expect("session.ping").await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(95), "{:?}", begin.elapsed());
    for expected in 1..=65 {
        assert_eq!(seq(&update(&mut slow).await), expected);
    }
    peer.result("job_1", 66).await;
    assert!(update(&mut slow).await.is_terminal());
}
