//! What a job's stream brings, whatever the runtime sends.

use moorline_client::wire::Event;
use moorline_client::{CallError, Client, JobHandle, JobUpdate, Missing, SubscribeRequest};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{Peer, connected, connected_in_memory, echo, refusal, seq, soon, submitted, update};

/// More than a queue holds.
const MANY: u64 = 200;

/// More than is kept before a subscription is confirmed.
const TOO_MANY: u64 = 5_000;

async fn subscribed(client: &Client, peer: &mut Peer, job: &str, before: u64) -> Result<JobHandle, CallError> {
    let serve = async {
        let subscribe = peer.expect("job.subscribe").await;
        assert_eq!((&subscribe["job_id"], &subscribe["payload"]["job_id"]), (&json!(job), &json!(job)));
        for seq in 1..=before {
            peer.log(job, seq).await;
        }
        let payload = json!({"job_id": job, "current_status": "running", "agent": "echo@1", "replayed": before > 0});
        peer.send_with("job.subscribed", &json!({"job_id": job}), &payload).await;
    };
    let request = SubscribeRequest { history: before > 0, ..SubscribeRequest::live(job.parse().unwrap()) };
    tokio::join!(client.subscribe(request), serve).0
}

#[tokio::test]
async fn what_is_unknown_or_unreadable_disturbs_nobody() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    for garbage in ["", "{", "[]", "null", "\u{0}", r#"{"arcp":"1.1","id":"x","type":"job.teleport"}"#] {
        peer.send_text(garbage).await;
    }
    peer.send_text("[".repeat(100_000)).await;
    peer.send_message(Message::binary(vec![0; 10])).await;
    peer.send_message(Message::Ping(vec![1].into())).await;
    peer.send("x-vendor.acme.news", &json!({})).await;
    peer.send("session.pong", &json!({"ping_nonce": "nobody_asked"})).await;
    peer.send("job.submit", &json!({"agent": "echo"})).await;
    peer.log("job_of_nobody", 1).await;
    peer.event("job_1", 2, "x-vendor.acme.heat", &json!({"k": 1})).await;
    peer.event("job_1", 3, "telepathy", &json!({"k": 1})).await;
    peer.event("job_1", 4, "log", &json!({"level": 7})).await;
    for expected in ["x-vendor.acme.heat", "telepathy"] {
        let JobUpdate::Event(event) = update(&mut job).await else { panic!("an event was due") };
        assert_eq!(&*event.kind, expected);
        assert!(matches!(event.event, Ok(Event::Other { .. })));
    }
    let JobUpdate::Event(event) = update(&mut job).await else { panic!("an event was due") };
    assert_eq!(event.body.get(), r#"{"level":7}"#, "a body that has not its kind's shape is passed on as it is");
    assert!(event.event.is_err());
}

#[tokio::test]
async fn a_message_about_a_job_that_cannot_be_read_is_told_to_its_stream() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    peer.send_with("job.event", &json!({"job_id": "job_1", "event_seq": 1}), &json!({"kind": "log"})).await;
    peer.log("job_1", 2).await;
    peer.send_with("job.result", &json!({"job_id": "job_1", "event_seq": 3}), &json!({"result_size": -1})).await;
    let JobUpdate::Unreadable(error) = update(&mut job).await else { panic!("the event cannot be read") };
    assert_eq!(error.to_string(), "payload.ts: missing");
    assert_eq!(seq(&update(&mut job).await), 2, "the number of what could not be read was counted");
    let last = update(&mut job).await;
    assert!(matches!(last, JobUpdate::Unreadable(_)) && last.is_terminal());
    assert!(soon("the end", job.next()).await.is_none());
}

#[tokio::test]
async fn a_break_in_the_numbering_is_told_to_every_open_job() {
    let (client, mut peer) = connected().await;
    let mut first = submitted(&client, &mut peer, "job_1").await;
    let mut second = submitted(&client, &mut peer, "job_2").await;
    peer.log("job_1", 1).await;
    peer.log("job_1", 4).await;
    peer.log("job_2", 4).await;
    peer.log("job_2", 5).await;
    assert_eq!(seq(&update(&mut first).await), 1);
    let gap = |update: JobUpdate| {
        let JobUpdate::Gap(gap) = update else { panic!("{update:?} is no gap") };
        let Missing::Numbers { from, to } = gap.missing else { panic!("{gap}") };
        (from.get(), to.get())
    };
    assert_eq!(gap(update(&mut first).await), (2, 3));
    assert_eq!(seq(&update(&mut first).await), 4, "what came is not withheld");
    assert_eq!(gap(update(&mut second).await), (2, 3));
    assert_eq!(seq(&update(&mut second).await), 5, "a repetition is dropped");
}

#[tokio::test]
async fn a_slow_reader_loses_nothing_and_the_others_only_wait() {
    let (client, mut peer) = connected_in_memory(None).await;
    let mut slow = submitted(&client, &mut peer, "job_1").await;
    let mut quick = submitted(&client, &mut peer, "job_2").await;
    let flood = async {
        for seq in 1..=MANY {
            peer.log("job_1", seq).await;
        }
        peer.log("job_2", MANY + 1).await;
        peer
    };
    tokio::pin!(flood);
    // Nobody reads the slow job, so the flood cannot get through, nor the answer behind it.
    let submit = client.submit(echo());
    tokio::pin!(submit);
    tokio::select! {
        biased;
        _ = &mut submit => panic!("the answer is behind the flood"),
        _ = &mut flood => panic!("the flood is larger than all queues"),
        () = idle() => {}
    }
    let drain = async {
        for expected in 1..=MANY {
            assert_eq!(seq(&update(&mut slow).await), expected);
        }
        assert_eq!(seq(&update(&mut quick).await), MANY + 1);
    };
    let serve = async {
        let mut peer = flood.await;
        peer.accept_job("job_3").await;
    };
    let (job, (), ()) = soon("the flood", async { tokio::join!(submit, serve, drain) }).await;
    assert_eq!(job.unwrap().id().as_str(), "job_3");
}

/// Lets every other task run until none of them can go on.
async fn idle() {
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_reader_that_goes_away_holds_nobody_up() {
    let (client, mut peer) = connected_in_memory(None).await;
    let slow = submitted(&client, &mut peer, "job_1").await;
    let mut quick = submitted(&client, &mut peer, "job_2").await;
    let flood = async {
        for seq in 1..=MANY {
            peer.log("job_1", seq).await;
        }
        peer.log("job_2", MANY + 1).await;
    };
    let leave = async {
        idle().await;
        drop(slow);
        assert_eq!(seq(&update(&mut quick).await), MANY + 1);
    };
    soon("the flood", async { tokio::join!(flood, leave) }).await;
}

#[tokio::test]
async fn a_subscription_brings_what_came_before_its_confirmation_too() {
    let (client, mut peer) = connected().await;
    let mut job = subscribed(&client, &mut peer, "job_1", 3).await.unwrap();
    assert!(job.accepted().is_none());
    assert_eq!(job.agent(), "echo@1");
    peer.result("job_1", 4).await;
    for expected in 1..=3 {
        assert_eq!(seq(&update(&mut job).await), expected);
    }
    assert!(update(&mut job).await.is_terminal());
}

#[tokio::test]
async fn a_history_that_cannot_be_held_before_its_confirmation_fails_the_call_and_nothing_else() {
    let (client, mut peer) = connected().await;
    let error = subscribed(&client, &mut peer, "job_1", TOO_MANY).await.unwrap_err();
    assert!(matches!(error, CallError::HistoryTooLong { .. }), "{error}");
    peer.expect("job.unsubscribe").await;
    submitted(&client, &mut peer, "job_2").await;
}

#[tokio::test]
async fn a_refused_subscription_leaves_the_job_free_to_be_asked_for_again() {
    let (client, mut peer) = connected().await;
    let error = json!({"final_status": "error", "code": "JOB_NOT_FOUND", "message": "m", "retryable": false});
    for envelope in [json!({"job_id": "job_1"}), json!({"job_id": "job_1", "event_seq": 1})] {
        let serve = async {
            peer.expect("job.subscribe").await;
            peer.send_with("job.error", &envelope, &error).await;
        };
        let (job, ()) = tokio::join!(client.subscribe(SubscribeRequest::live("job_1".parse().unwrap())), serve);
        assert_eq!(refusal(job), "JOB_NOT_FOUND");
    }
    subscribed(&client, &mut peer, "job_1", 0).await.unwrap();
}

#[tokio::test]
async fn a_job_is_watched_once_and_given_up_with_its_handle() {
    let (client, mut peer) = connected().await;
    let job = subscribed(&client, &mut peer, "job_1", 0).await.unwrap();
    let again = client.subscribe(SubscribeRequest::live(job.id().clone())).await;
    assert!(matches!(again, Err(CallError::AlreadyWatched { .. })));
    drop(job);
    peer.log("job_1", 1).await;
    let unsubscribe: Value = peer.expect("job.unsubscribe").await;
    assert_eq!(unsubscribe["payload"]["job_id"], "job_1");
    subscribed(&client, &mut peer, "job_1", 0).await.unwrap();
}

#[tokio::test]
async fn a_submission_that_is_repeated_gives_the_same_job_another_handle() {
    let (client, mut peer) = connected().await;
    let mut first = submitted(&client, &mut peer, "job_1").await;
    let mut second = submitted(&client, &mut peer, "job_1").await;
    peer.log("job_1", 1).await;
    peer.result("job_1", 2).await;
    for job in [&mut first, &mut second] {
        assert_eq!(seq(&update(job).await), 1);
        assert!(update(job).await.is_terminal());
    }
}
