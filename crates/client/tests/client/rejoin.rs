//! A session that cannot be resumed, and the new one that takes its place.

use moorline_client::{Ended, Gap, GapCause, JobHandle, JobUpdate, SubscribeRequest};
use serde_json::{Value, json};

use crate::peer::{Peer, soon, submitted, update};
use crate::rig::{Rig, assert_resumes, options, resumable};

async fn said(job: &mut JobHandle) -> String {
    match update(job).await {
        JobUpdate::Event(event) => event.body.to::<Value>().unwrap()["message"].as_str().unwrap().to_owned(),
        JobUpdate::Gap(Gap { missing, cause: GapCause::NewSession }) => format!("{missing:?}"),
        other @ (JobUpdate::Gap(_)
        | JobUpdate::CancelRequested { .. }
        | JobUpdate::Unreadable(_)
        | JobUpdate::Result { .. }
        | JobUpdate::Error { .. }) => panic!("{other:?}"),
    }
}

async fn say(peer: &mut Peer, seq: u64, text: &str) {
    peer.event("job_1", seq, "log", &json!({"level": "info", "message": text})).await;
}

async fn subscribed(peer: &mut Peer) -> Value {
    let subscribe = peer.expect("job.subscribe").await;
    let payload = json!({"request_id": subscribe["id"], "job_id": subscribe["job_id"], "current_status": "running"});
    peer.send("job.subscribed", &payload).await;
    subscribe["payload"].clone()
}

/// A client that has seen `a` and `b` of a job, whose session is then gone for this reason.
async fn lost(code: &str) -> (moorline_client::Client, JobHandle, Peer) {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    say(&mut peer, 1, "a").await;
    say(&mut peer, 2, "b").await;
    assert_eq!((said(&mut job).await, said(&mut job).await), ("a".to_owned(), "b".to_owned()));
    drop(peer);
    assert_resumes(&rig.refused(code, false).await, Some(("rt_1", 2)));
    let peer = rig.welcomed("rt_9", None).await;
    (client, job, peer)
}

#[tokio::test(start_paused = true)]
async fn a_new_session_watches_the_same_jobs_and_nothing_is_seen_twice() {
    for code in ["RESUME_WINDOW_EXPIRED", "PERMISSION_DENIED", "UNAUTHENTICATED"] {
        let (_client, mut job, mut peer) = lost(code).await;
        assert_eq!(subscribed(&mut peer).await, json!({"job_id": "job_1", "history": true}));
        for (seq, text) in ["a", "b", "c"].iter().enumerate() {
            say(&mut peer, seq as u64 + 1, text).await;
        }
        assert_eq!(said(&mut job).await, "Nothing", "{code}");
        assert_eq!(said(&mut job).await, "c", "{code}");
        peer.result("job_1", 4).await;
        assert!(update(&mut job).await.is_terminal());
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_another_is_told_as_a_gap() {
    let (_client, mut job, mut peer) = lost("RESUME_WINDOW_EXPIRED").await;
    subscribed(&mut peer).await;
    for (seq, text) in ["b", "c", "d"].iter().enumerate() {
        say(&mut peer, seq as u64 + 1, text).await;
    }
    assert_eq!(said(&mut job).await, "Unknown");
    assert_eq!(said(&mut job).await, "d");

    let (_client, mut job, mut peer) = lost("RESUME_WINDOW_EXPIRED").await;
    subscribed(&mut peer).await;
    peer.result("job_1", 1).await;
    assert_eq!(said(&mut job).await, "Unknown", "the end came before what was seen");
    assert!(update(&mut job).await.is_terminal());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_runtime_does_not_know_any_more_ends_its_stream() {
    let (client, mut job, mut peer) = lost("RESUME_WINDOW_EXPIRED").await;
    let subscribe = peer.expect("job.subscribe").await;
    let error = json!({"code": "JOB_NOT_FOUND", "message": "no such job", "request_id": subscribe["id"]});
    peer.send("session.error", &error).await;
    let ended = soon("the end", job.next()).await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::JobUnavailable(_)), "{ended}");
    assert!(job.next().await.is_none());
    submitted(&client, &mut peer, "job_2").await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_watched_from_its_middle_is_watched_from_here_on() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let request = SubscribeRequest::live("job_1".parse().unwrap());
    let (job, _) = tokio::join!(client.subscribe(request), subscribed(&mut peer));
    let mut job = job.unwrap();
    say(&mut peer, 1, "a").await;
    drop(peer);
    rig.refused("RESUME_WINDOW_EXPIRED", false).await;
    let mut peer = rig.welcomed("rt_9", None).await;
    assert_eq!(subscribed(&mut peer).await, json!({"job_id": "job_1"}));
    say(&mut peer, 1, "c").await;
    for expected in ["a", "Unknown", "c"] {
        assert_eq!(said(&mut job).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_loss_before_the_new_session_has_caught_up_loses_nothing_either() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    say(&mut peer, 1, "a").await;
    say(&mut peer, 2, "b").await;
    drop(peer);
    rig.refused("RESUME_WINDOW_EXPIRED", false).await;
    let mut peer = rig.welcomed("rt_2", None).await;
    // The subscription is lost before its answer.
    peer.expect("job.subscribe").await;
    drop(peer);
    let mut peer = rig.welcomed("rt_3", Some(("rt_2", 0))).await;
    subscribed(&mut peer).await;
    say(&mut peer, 1, "a").await;
    drop(peer);
    let mut peer = rig.welcomed("rt_4", Some(("rt_3", 1))).await;
    say(&mut peer, 2, "b").await;
    say(&mut peer, 3, "c").await;
    for expected in ["a", "b", "Nothing", "c"] {
        assert_eq!(said(&mut job).await, expected);
    }
}

/// The token's form is that of a runtime whose resumed sessions do not hear of their jobs again.
#[tokio::test(start_paused = true)]
async fn a_runtime_whose_resume_loses_jobs_gets_a_new_session_at_once() {
    let (client, peer, mut rig) = Rig::connected(options()).await;
    drop(peer);
    let token = "rtk_01M7Z4EVJAYDK46YM5E7ZGM706";
    let mut peer = rig.next().await;
    peer.expect("session.hello").await;
    peer.send("session.welcome", &resumable(token)).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    say(&mut peer, 1, "a").await;
    assert_eq!(said(&mut job).await, "a");
    drop(peer);
    let mut peer = rig.welcomed(token, None).await;
    // There, history comes before its answer, and each subscription counts for itself.
    peer.expect("job.subscribe").await;
    say(&mut peer, 1, "a").await;
    say(&mut peer, 2, "b").await;
    peer.send("job.subscribed", &json!({"job_id": "job_1", "current_status": "running", "replayed": 2})).await;
    say(&mut peer, 1, "c").await;
    // Its history has no more than was sent while there was a session.
    for expected in ["Unknown", "b", "c"] {
        assert_eq!(said(&mut job).await, expected);
    }
    drop(peer);
    let mut peer = rig.welcomed(token, None).await;
    peer.expect("job.subscribe").await;
    peer.send("job.subscribed", &json!({"job_id": "job_1", "current_status": "success"})).await;
    let ended = soon("the end", job.next()).await.unwrap().unwrap_err();
    assert!(ended.to_string().contains("has not kept its result"), "{ended}");

    // There, no cancel is confirmed, but one that is refused is refused at once.
    let other = "job_2".parse().unwrap();
    let (cancelled, _) = tokio::join!(client.cancel(&other, None), peer.expect("job.cancel"));
    cancelled.unwrap();
    let serve = async {
        let cancel = peer.expect("job.cancel").await;
        let error = json!({"code": "JOB_NOT_FOUND", "message": "m", "request_id": cancel["id"]});
        peer.send("session.error", &error).await;
    };
    let (cancelled, ()) = tokio::join!(client.cancel(&other, None), serve);
    assert_eq!(crate::peer::refusal(cancelled), "JOB_NOT_FOUND");
}
