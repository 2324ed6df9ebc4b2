//! A connection that is lost, at every place, and the session that goes on.

use std::time::Duration;

use moorline_client::wire::payload::{ListJobs, Submit};
use moorline_client::wire::vendor::{OnGap, Overflow};
use moorline_client::{
    CallError, ConnectOptions, ConnectionState, Continuity, Ended, Gap, GapCause, JobHandle, JobUpdate, Missing,
    ReconnectPolicy, SubmitRequest, SubscribeRequest,
};
use serde_json::json;
use tokio::time::Instant;

use crate::peer::{Peer, echo, seq, soon, submitted, update};
use crate::rig::{EPOCH, Rig, options};

/// Events of a job that is cut everywhere.
const EVENTS: u64 = 9;

async fn assert_sees(job: &mut JobHandle, numbers: impl IntoIterator<Item = u64>) {
    for expected in numbers {
        assert_eq!(seq(&update(job).await), expected);
    }
}

async fn send(peer: &mut Peer, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        peer.log("job_1", number).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_the_connection_is_cut_the_job_is_seen_once_and_whole() {
    for cut in 0..=EVENTS {
        let (client, mut peer, mut rig) = Rig::connected(options()).await;
        let mut job = submitted(&client, &mut peer, "job_1").await;
        send(&mut peer, 1..=cut).await;
        drop(peer);
        let mut peer = rig.welcomed("rt_2", Some(("rt_1", cut))).await;
        // A runtime may send again what was seen.
        send(&mut peer, cut.max(1)..=EVENTS).await;
        drop(peer);
        let mut peer = rig.welcomed("rt_3", Some(("rt_2", EVENTS))).await;
        peer.result("job_1", EVENTS + 1).await;
        assert_sees(&mut job, 1..=EVENTS).await;
        assert!(update(&mut job).await.is_terminal(), "cut after {cut}");
        assert!(job.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_breaks_off_anywhere_is_tried_again_with_the_same_token() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    send(&mut peer, 1..=2).await;
    drop(peer);
    drop(rig.next().await);
    let mut unanswered = rig.next().await;
    unanswered.expect("session.hello").await;
    drop(unanswered);
    let mut garbled = rig.next().await;
    garbled.expect("session.hello").await;
    garbled.send_text("{\"arcp\":\"1.1\",\"id\":").await;
    drop(garbled);
    let mut silent = rig.next().await;
    let begin = Instant::now();
    silent.expect("session.hello").await;
    assert!(silent.next().await.is_none(), "it is given up");
    assert!(begin.elapsed() >= Duration::from_secs(10));
    let hello = rig.refused("INTERNAL_ERROR", true).await;
    assert_eq!(hello["payload"]["resume_token"], "rt_1");
    let mut peer = rig.welcomed("rt_2", Some(("rt_1", 2))).await;
    peer.result("job_1", 3).await;
    assert_sees(&mut job, 1..=2).await;
    assert!(update(&mut job).await.is_terminal());
}

#[tokio::test(start_paused = true)]
async fn numbers_that_did_not_arrive_are_asked_for_again() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    send(&mut peer, [1, 2, 5]).await;
    let mut peer = rig.welcomed("rt_2", Some(("rt_1", 2))).await;
    send(&mut peer, 3..=6).await;
    assert_sees(&mut job, 1..=6).await;

    // Missing again: they are gone, and the program is told.
    send(&mut peer, [8]).await;
    let mut peer = rig.welcomed("rt_3", Some(("rt_2", 6))).await;
    send(&mut peer, [8, 9]).await;
    let JobUpdate::Gap(Gap { missing, cause }) = update(&mut job).await else { panic!("a gap") };
    assert_eq!((missing, cause), (numbers(7, 7), GapCause::Numbering));
    assert_sees(&mut job, 8..=9).await;
}

fn numbers(from: u64, to: u64) -> Missing {
    Missing::Numbers { from: moorline_types::EventSeq::new(from), to: moorline_types::EventSeq::new(to) }
}

#[tokio::test(start_paused = true)]
async fn a_loss_at_the_quiet_end_of_a_stream_is_noticed_by_the_runtimes_heartbeat() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    send(&mut peer, 1..=2).await;
    let ping = |head: u64| json!({"extensions": {"x-vendor.moorline.cursor": {"epoch": EPOCH, "event_seq": head}}});
    peer.send_with("session.ping", &ping(2), &json!({"nonce": "p_1"})).await;
    assert_eq!(peer.expect("session.pong").await["payload"]["ping_nonce"], "p_1");
    peer.send_with("session.ping", &ping(3), &json!({"nonce": "p_2"})).await;
    let mut peer = rig.next().await;
    let hello = peer.expect("session.hello").await;
    crate::rig::assert_resumes(&hello, Some(("rt_1", 2)));
    let resume = &hello["extensions"]["x-vendor.moorline.resume"];
    assert_eq!(resume, &json!({"epoch": EPOCH, "on_gap": "refuse"}), "the numbers are of this journal");
    peer.send("session.welcome", &crate::rig::resumable("rt_2")).await;
    send(&mut peer, [3]).await;
    assert_sees(&mut job, 1..=3).await;
}

/// What was left out at the end of a stream is told before the next number, and is no loss until then.
#[tokio::test(start_paused = true)]
async fn what_was_left_out_as_was_asked_for_is_no_loss() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let request =
        SubscribeRequest { overflow: Some(Overflow::Latest), ..SubscribeRequest::live("job_1".parse().unwrap()) };
    let serve = async {
        let subscribe = peer.expect("job.subscribe").await;
        assert_eq!(subscribe["extensions"]["x-vendor.moorline.subscribe"]["overflow"], "latest");
        peer.send("job.subscribed", &json!({"job_id": "job_1", "current_status": "running"})).await;
    };
    let (job, ()) = tokio::join!(client.subscribe(request), serve);
    let mut job = job.unwrap();
    let cursor = json!({"extensions": {"x-vendor.moorline.cursor": {"epoch": EPOCH, "event_seq": 3}}});
    peer.send_with("session.ping", &cursor, &json!({"nonce": "p_1"})).await;
    peer.expect("session.pong").await;
    let gap = json!({"from": 1, "to": 3, "next": 4, "reason": "superseded", "epoch": EPOCH});
    peer.send("x-vendor.moorline.gap", &gap).await;
    send(&mut peer, [4]).await;
    let JobUpdate::Gap(gap) = update(&mut job).await else { panic!("a gap") };
    assert_eq!(gap.missing, numbers(1, 3));
    assert_sees(&mut job, [4]).await;
    drop(peer);
    rig.welcomed("rt_2", Some(("rt_1", 4))).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_runtime_tells_of_cannot_be_overlooked() {
    let options = ConnectOptions { on_gap: OnGap::Continue, ..options() };
    let (client, mut peer, mut rig) = Rig::connected(options).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    send(&mut peer, [1]).await;
    drop(peer);
    let mut peer = rig.next().await;
    let hello = peer.expect("session.hello").await;
    assert_eq!(hello["extensions"]["x-vendor.moorline.resume"]["on_gap"], "continue");
    assert!(hello["payload"]["capabilities"]["features"].as_array().unwrap().contains(&json!("x-vendor.moorline.gap")));
    peer.send("session.welcome", &crate::rig::resumable("rt_2")).await;
    let gap = json!({"from": 2, "to": 9, "next": 10, "reason": "trimmed_by_age", "epoch": EPOCH});
    peer.send("x-vendor.moorline.gap", &gap).await;
    send(&mut peer, [10]).await;
    assert_sees(&mut job, [1]).await;
    let JobUpdate::Gap(gap) = update(&mut job).await else { panic!("a gap") };
    assert_eq!(gap.missing, numbers(2, 9));
    assert_eq!(gap.to_string(), "the runtime does not keep events for so long: events 2 to 9 are missing");
    assert_sees(&mut job, [10]).await;
    drop(peer);
    let peer = rig.welcomed("rt_3", Some(("rt_2", 10))).await;
    drop(peer);
}

/// What was removed may have been a job's end, or the whole job. Nobody waits for an end that does not come.
#[tokio::test(start_paused = true)]
async fn after_a_gap_each_job_is_asked_for_again() {
    let options = ConnectOptions { on_gap: OnGap::Continue, ..options() };
    let (client, mut peer, mut rig) = Rig::connected(options).await;
    let mut gone = submitted(&client, &mut peer, "job_1").await;
    send(&mut peer, [1]).await;
    let mut over = submitted(&client, &mut peer, "job_2").await;
    peer.log("job_2", 2).await;
    let mut running = submitted(&client, &mut peer, "job_3").await;
    assert_sees(&mut gone, [1]).await;
    assert_sees(&mut over, [2]).await;
    drop(peer);
    let mut peer = rig.welcomed("rt_2", Some(("rt_1", 2))).await;
    let gap = json!({"from": 3, "to": 9, "next": 10, "reason": "trimmed_by_operator", "epoch": EPOCH});
    peer.send("x-vendor.moorline.gap", &gap).await;
    for _ in 0..3 {
        let asked = peer.expect("job.subscribe").await;
        assert_eq!(asked["payload"]["history"], true, "{asked}");
        let id = asked["id"].clone();
        let job = asked["payload"]["job_id"].as_str().unwrap().to_owned();
        match job.as_str() {
            "job_1" => {
                let error = json!({"code": "JOB_NOT_FOUND", "message": "gone", "request_id": id});
                peer.send("session.error", &error).await;
            }
            "job_2" => {
                let answer = json!({"job_id": job, "current_status": "success", "replayed": true, "request_id": id});
                peer.send("job.subscribed", &answer).await;
                peer.log("job_2", 10).await;
                peer.log("job_2", 11).await;
                peer.result("job_2", 12).await;
            }
            _ => {
                let answer = json!({"job_id": job, "current_status": "running", "replayed": false, "request_id": id});
                peer.send("job.subscribed", &answer).await;
            }
        }
    }
    peer.log("job_3", 13).await;
    for job in [&mut gone, &mut over, &mut running] {
        let JobUpdate::Gap(gap) = update(job).await else { panic!("a gap") };
        assert_eq!(gap.to_string(), "the operator removed events: events 3 to 9 are missing");
    }
    let ended = soon("the end", gone.next()).await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::JobUnavailable(_)), "{ended}");
    let JobUpdate::Gap(Gap { cause, .. }) = update(&mut over).await else { panic!("a gap") };
    assert_eq!(cause, GapCause::ReadAgain);
    assert_sees(&mut over, [11]).await;
    assert!(update(&mut over).await.is_terminal());
    assert_sees(&mut running, [13]).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_no_harm_are_made_again_under_new_ids() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let other: moorline_client::wire::JobRef = "job_2".parse().unwrap();
    let third = SubscribeRequest::with_history("job_3".parse().unwrap());
    let calls = async {
        tokio::join!(client.list_jobs(ListJobs::default()), client.cancel(&other, None), client.subscribe(third))
    };
    let serve = async {
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.push(peer.next().await.unwrap());
        }
        drop(peer);
        let mut peer = rig.welcomed("rt_2", Some(("rt_1", 0))).await;
        for before in asked {
            let again = peer.next().await.unwrap();
            assert_eq!((&again["type"], &again["payload"]), (&before["type"], &before["payload"]));
            assert_ne!(again["id"], before["id"]);
        }
        peer.send("session.jobs", &json!({"jobs": []})).await;
        peer.send_with("job.cancelled", &json!({"job_id": "job_2"}), &json!({})).await;
        // What came for the subscription comes before its answer, which was lost.
        peer.log("job_3", 1).await;
        peer.send("job.subscribed", &json!({"job_id": "job_3", "current_status": "running"})).await;
        peer
    };
    let ((list, cancel, subscribe), _peer) = tokio::join!(calls, serve);
    assert!(list.unwrap().jobs.is_empty());
    cancel.unwrap();
    assert_sees(&mut subscribe.unwrap(), [1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_submission_is_made_again_only_with_a_key() {
    let (client, mut peer, mut rig) = Rig::connected(ConnectOptions { automatic_keys: true, ..options() }).await;
    let serve = async {
        let before = peer.expect("job.submit").await;
        let key = before["payload"]["idempotency_key"].as_str().unwrap().to_owned();
        drop(peer);
        let mut peer = rig.welcomed("rt_2", Some(("rt_1", 0))).await;
        let again = peer.expect("job.submit").await;
        assert_eq!(again["payload"]["idempotency_key"], json!(key));
        assert_ne!(again["id"], before["id"]);
        // The job is running: its events come before the answer is given again.
        send(&mut peer, 1..=3).await;
        peer.accepted(&again, "job_1").await;
        peer.result("job_1", 4).await;
        peer
    };
    let (job, _peer) = tokio::join!(client.submit(echo()), serve);
    let mut job = job.unwrap();
    assert_sees(&mut job, 1..=3).await;
    assert!(update(&mut job).await.is_terminal());

    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let serve = async {
        peer.expect("job.submit").await;
        drop(peer);
        rig.welcomed("rt_2", Some(("rt_1", 0))).await
    };
    let (job, mut peer) = tokio::join!(client.submit(echo()), serve);
    assert!(matches!(job, Err(CallError::ConnectionLost { maybe_accepted: true, .. })), "{job:?}");
    submitted(&client, &mut peer, "job_2").await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_made_while_there_is_no_connection_waits_for_one() {
    let (client, peer, mut rig) = Rig::connected(options()).await;
    drop(peer);
    let mut state = client.state();
    state.wait_for(|state| matches!(state, ConnectionState::Reconnecting { .. })).await.unwrap();
    let serve = async {
        let mut peer = rig.welcomed("rt_2", Some(("rt_1", 0))).await;
        peer.accept_job("job_1").await;
        peer
    };
    let (job, _peer) = tokio::join!(client.submit(echo()), serve);
    job.unwrap();
    let connected = state.wait_for(|state| matches!(state, ConnectionState::Connected { .. })).await.unwrap().clone();
    assert!(
        matches!(connected, ConnectionState::Connected { connection: 2, continuity: Continuity::Resumed }),
        "{connected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_over_ends_every_call_and_every_stream() {
    let policy = ReconnectPolicy::For(Duration::from_secs(5));
    let (client, mut peer, rig) = Rig::connected(ConnectOptions { reconnect: policy, ..options() }).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    // Nobody answers any more.
    drop(rig);
    drop(peer);
    let begin = Instant::now();
    let list = client.list_jobs(ListJobs::default()).await;
    assert!(matches!(list, Err(CallError::Disconnected(_))), "{list:?}");
    assert!(matches!(job.next().await, Some(Err(_))));
    assert!(matches!(client.ended().await, Ended::Lost | Ended::Transport { .. }));
    assert!((2..=5).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_shut_out_stops_trying() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    drop(peer);
    rig.refused("UNAUTHENTICATED", false).await;
    let hello = rig.refused("UNAUTHENTICATED", false).await;
    crate::rig::assert_resumes(&hello, None);
    let ended = soon("the end", job.next()).await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::Unreachable { .. }), "{ended}");
    assert!(ended.to_string().ends_with("the runtime refuses the session: no (UNAUTHENTICATED)"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_says_when_to_come_back_is_not_disturbed_before() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let extensions = json!({"extensions": {"x-vendor.moorline.retry": {"after_ms": 7_500}}});
    peer.send_with("session.closed", &extensions, &json!({"reason": "draining"})).await;
    let begin = Instant::now();
    // It may say so to one that comes back too early as well.
    let mut busy = rig.next().await;
    assert_eq!(begin.elapsed().as_millis(), 7_500);
    busy.expect("session.hello").await;
    let extensions = json!({"extensions": {"x-vendor.moorline.retry": {"after_ms": 2_500}}});
    let error = json!({"code": "INTERNAL_ERROR", "message": "busy", "retryable": true});
    busy.send_with("session.error", &extensions, &error).await;
    rig.welcomed("rt_2", Some(("rt_1", 0))).await;
    assert_eq!(begin.elapsed().as_millis(), 10_000);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_falls_silent_is_sought_anew() {
    let (client, peer, mut rig) = Rig::connected(options()).await;
    drop(peer);
    let mut silent = rig.next().await;
    silent.expect("session.hello").await;
    let mut welcome = crate::rig::resumable("rt_2");
    welcome["capabilities"]["features"] = json!(["heartbeat"]);
    welcome["heartbeat_interval_sec"] = 5.into();
    silent.send("session.welcome", &welcome).await;
    let begin = Instant::now();
    silent.expect("session.ping").await;
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    let mut peer = rig.welcomed("rt_3", Some(("rt_2", 0))).await;
    assert!(begin.elapsed() > Duration::from_secs(10));
    submitted(&client, &mut peer, "job_1").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_holds_seeks_nothing() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    drop(client);
    assert!(peer.next().await.is_none());
    rig.assert_over().await;

    let (client, peer, mut rig) = Rig::connected(options()).await;
    let mut state = client.state();
    drop(peer);
    state.wait_for(|state| matches!(state, ConnectionState::Reconnecting { .. })).await.unwrap();
    drop(client);
    rig.assert_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_closed_while_it_seeks_a_connection() {
    let (client, peer, _rig) = Rig::connected(options()).await;
    drop(peer);
    let mut state = client.state();
    state.wait_for(|state| matches!(state, ConnectionState::Reconnecting { .. })).await.unwrap();
    assert!(matches!(soon("the close", client.close(None)).await, Ended::ByClient));
}

#[tokio::test(start_paused = true)]
async fn a_program_takes_what_has_arrived_while_there_is_no_connection() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    // More than the queue holds, so that some wait outside of it.
    send(&mut peer, 1..=65).await;
    drop(peer);
    assert_sees(&mut job, 1..=65).await;
    rig.welcomed("rt_2", Some(("rt_1", 65))).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_program_chose_is_kept() {
    let (client, mut peer, _rig) = Rig::connected(ConnectOptions { automatic_keys: true, ..options() }).await;
    let submit = Submit { idempotency_key: Some("mine".parse().unwrap()), ..echo() };
    let serve = async {
        let submit = peer.expect("job.submit").await;
        assert_eq!(submit["payload"]["idempotency_key"], "mine");
        peer.accepted(&submit, "job_1").await;
    };
    let (job, ()) = tokio::join!(client.submit(SubmitRequest::from(submit)), serve);
    job.unwrap();
}
