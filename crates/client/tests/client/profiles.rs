//! What the official runtimes need, told by the form of their tokens.

use std::time::Duration;

use moorline_client::{Client, Ended};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::peer::{Peer, seq, submitted, update};
use crate::rig::{Rig, assert_resumes, options};

const GO: &str = "01KRHDRWGW0M2GA1850M2GA185";
const JAVA: &str = "3f2c8f0e-6d0f-4c8e-9d59-0a5f8d2b7c11";
const PYTHON: &str = "rtk_01KRHDRWGW0M2GA1850M2GA185";

/// A client of a runtime that mints tokens of this form.
async fn connected(token: &str) -> (Client, Peer, Rig) {
    Rig::connected_with(token, options()).await
}

#[tokio::test(start_paused = true)]
async fn a_session_is_ended_in_the_words_that_its_runtime_understands() {
    for (token, words) in [
        ("rt_1", &["session.bye", "session.close"][..]),
        (GO, &["session.close"]),
        (PYTHON, &["session.bye"]),
        // There, a session that is closed takes its jobs with it.
        (JAVA, &[]),
    ] {
        let (client, mut peer, _rig) = connected(token).await;
        let serve = async {
            for word in words {
                assert!(peer.expect(word).await["payload"]["reason"].is_string());
            }
            assert!(peer.next().await.is_none(), "{token}");
        };
        let (ended, ()) = tokio::join!(client.close(None), serve);
        assert!(matches!(ended, Ended::ByClient), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_has_not_noticed_the_loss_is_asked_again() {
    let (client, mut peer, mut rig) = connected(GO).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    peer.log("job_1", 1).await;
    assert_eq!(seq(&update(&mut job).await), 1);
    drop(peer);
    for code in ["RESUME_WINDOW_EXPIRED", "UNAUTHENTICATED", "RESUME_WINDOW_EXPIRED"] {
        assert_resumes(&rig.refused(code, false).await, Some((GO, 1)));
    }
    let mut peer = rig.welcomed(GO, Some((GO, 1))).await;
    peer.log("job_1", 2).await;
    assert_eq!(seq(&update(&mut job).await), 2);

    // But not for ever: after three of its heartbeats it is believed.
    drop(peer);
    let begin = Instant::now();
    let refused = loop {
        let hello: Value = rig.refused("RESUME_WINDOW_EXPIRED", false).await;
        if hello["payload"].get("resume").is_none() {
            break hello;
        }
    };
    assert_resumes(&refused, None);
    assert!(begin.elapsed() > Duration::from_secs(80), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_keep_its_order_is_not_thought_to_lose_anything() {
    let (client, mut peer, _rig) = connected(GO).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    for number in [2, 1, 4, 3, 3, 5] {
        peer.log("job_1", number).await;
    }
    for expected in [2, 1, 4, 3, 5] {
        assert_eq!(seq(&update(&mut job).await), expected, "as it came, and once");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_where_that_would_cost_others_their_history() {
    for (token, acknowledges) in [(GO, false), (PYTHON, false), ("rt_1", true)] {
        let (client, mut peer, _rig) = connected(token).await;
        let mut job = submitted(&client, &mut peer, "job_1").await;
        peer.log("job_1", 1).await;
        assert_eq!(seq(&update(&mut job).await), 1);
        let ack = tokio::time::timeout(Duration::from_secs(5), peer.next()).await;
        assert_eq!(ack.is_ok(), acknowledges, "{token}");
    }
}

/// Other runtimes have another name for the inline result, and say how a job ended in places of their own.
#[tokio::test(start_paused = true)]
async fn a_result_is_found_wherever_a_runtime_puts_it() {
    let (client, mut peer, _rig) = connected("rt_1").await;
    for (number, field) in (1..).zip(["result", "output", "value"]) {
        let mut job = submitted(&client, &mut peer, "job_1").await;
        let envelope = json!({"job_id": "job_1", "event_seq": number});
        peer.send_with("job.result", &envelope, &json!({field: {"n": number}})).await;
        let moorline_client::JobUpdate::Result { result, .. } = update(&mut job).await else { panic!("the result") };
        assert_eq!(result.value().unwrap().get(), format!("{{\"n\":{number}}}"));
    }
}
