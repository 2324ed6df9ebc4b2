//! The end of a connection, from every side.

use std::time::Duration;

use moorline_client::wire::payload::ListJobs;
use moorline_client::{CallError, Ended};
use serde_json::json;
use tokio::time::Instant;

use crate::peer::{connected, connected_in_memory, echo, soon, submitted, update};

/// How long a runtime has to confirm a close.
const PROMPT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn when_the_runtime_hangs_up_every_call_and_every_stream_is_told_at_once() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let serve = async {
        for _ in 0..3 {
            peer.next().await;
        }
        peer.close("maintenance").await;
        // The socket itself stays open: the close frame alone has to do.
        peer
    };
    let target = "job_2".parse().unwrap();
    let calls = async {
        tokio::join!(client.submit(echo()), client.list_jobs(ListJobs::default()), client.cancel(&target, None))
    };
    let told = soon("the end", async { tokio::join!(calls, job.next(), serve) }).await;
    let ((submit, list, cancel), stream, _peer) = told;
    for error in [submit.unwrap_err(), list.unwrap_err(), cancel.unwrap_err()] {
        assert!(matches!(error, CallError::Disconnected(_)));
        assert_eq!(error.to_string(), "the runtime closed the connection: maintenance");
    }
    assert!(matches!(stream, Some(Err(Ended::ByRuntime { reason: Some(reason) })) if reason == "maintenance"));
    assert!(job.next().await.is_none());
    assert!(matches!(client.submit(echo()).await, Err(CallError::Disconnected(Ended::ByRuntime { .. }))));
    assert!(matches!(job.cancel(None).await, Err(CallError::Disconnected(_))));
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_lost() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    peer.log("job_1", 1).await;
    assert!(!update(&mut job).await.is_terminal());
    drop(peer);
    let ended = soon("the end", client.ended()).await;
    assert!(matches!(ended, Ended::Lost | Ended::Transport { .. }), "{ended:?}");
    assert!(matches!(job.next().await, Some(Err(_))));
}

#[tokio::test]
async fn what_arrived_before_the_end_is_still_handed_out() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    peer.log("job_1", 1).await;
    peer.result("job_1", 2).await;
    peer.send("session.closed", &json!({"reason": "bye"})).await;
    let ended = soon("the end", client.ended()).await;
    assert_eq!(ended.to_string(), "the runtime closed the connection: bye");
    assert!(!update(&mut job).await.is_terminal());
    assert!(update(&mut job).await.is_terminal());
    assert!(job.next().await.is_none());
}

#[tokio::test]
async fn the_runtimes_last_words_are_the_reason() {
    let (client, mut peer) = connected().await;
    let error = json!({"code": "HEARTBEAT_LOST", "message": "HEARTBEAT_LOST: nothing heard", "retryable": true});
    peer.send("session.error", &error).await;
    drop(peer);
    let ended = soon("the end", client.ended()).await;
    assert_eq!(ended.to_string(), "the runtime closed the connection: nothing heard (HEARTBEAT_LOST)");
}

#[tokio::test]
async fn a_close_says_so_in_both_words_and_waits_for_the_runtime() {
    let (client, mut peer) = connected().await;
    let serve = async {
        for message_type in ["session.bye", "session.close"] {
            let close = peer.expect(message_type).await;
            assert_eq!(close["payload"]["reason"], "done");
        }
        peer.send("session.closed", &json!({})).await;
        assert!(peer.next().await.is_none());
    };
    let closed = async { tokio::join!(client.close(Some("done".parse().unwrap())), serve) };
    let (ended, ()) = soon("the close", closed).await;
    assert!(matches!(ended, Ended::ByClient), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_close_that_the_runtime_ignores_takes_a_second() {
    let (client, _peer) = connected_in_memory(None).await;
    let begin = Instant::now();
    assert!(matches!(client.close(None).await, Ended::ByClient));
    assert_eq!(begin.elapsed(), PROMPT);
}

#[tokio::test]
async fn the_socket_closes_with_the_last_client_and_not_before() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let other = client.clone();
    drop(client);
    submitted(&other, &mut peer, "job_2").await;
    drop(other);
    assert!(peer.next().await.is_none(), "nothing is said, the job goes on");
    assert!(matches!(soon("the end", job.next()).await, Some(Err(Ended::ByClient))));
}
