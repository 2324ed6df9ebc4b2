//! A session outlives its connection: whoever comes back gets exactly what it missed.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Bench, Client, runtime_options};
use moorline_runtime::RuntimeOptions;
use moorline_types::Millis;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

struct Visit {
    client: Client,
    token: String,
}

/// A new session, with the token that resumes it.
async fn arrive(bench: &Bench) -> Visit {
    let mut client = bench.connect().await;
    client.send(&bench.hello()).await;
    welcomed(client).await
}

async fn welcomed(mut client: Client) -> Visit {
    let welcome = client.recv().await.unwrap();
    assert_eq!(welcome["type"], "session.welcome", "{welcome}");
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    let token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
    Visit { client, token }
}

fn resuming(hello: Value, session: Option<&str>, token: &str, last: i64) -> Value {
    let mut hello = hello;
    match session {
        Some(session) => {
            hello["payload"]["resume"] =
                json!({ "session_id": session, "resume_token": token, "last_event_seq": last });
        }
        None => {
            hello["payload"]["resume_token"] = json!(token);
            hello["payload"]["last_event_seq"] = json!(last);
        }
    }
    hello
}

/// Comes back with what it has seen.
async fn come_back(bench: &Bench, session: Option<&str>, token: &str, last: i64) -> Client {
    let mut client = bench.connect().await;
    client.send(&resuming(bench.hello(), session, token, last)).await;
    client
}

async fn assert_refused(mut client: Client, code: &str) -> Value {
    let error = client.recv().await.unwrap();
    assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("session.error"), &json!(code)), "{error}");
    error
}

async fn submit(client: &mut Client, events: u64, delay_ms: u64) -> Value {
    let input = json!({ "echo": { "events": events, "delay_ms": delay_ms } });
    client.say("msg_submit", "job.submit", json!({ "agent": "echo", "input": input })).await;
    client.recv_type("job.accepted").await["job_id"].clone()
}

/// The next `at_most` numbered frames, fewer if the job ends.
async fn numbered(client: &mut Client, at_most: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    while frames.len() < at_most {
        let frame = client.recv().await.unwrap();
        let ended = matches!(frame["type"].as_str(), Some("job.result" | "job.error"));
        if frame["event_seq"].is_u64() {
            frames.push(frame);
        }
        if ended {
            break;
        }
    }
    frames
}

/// The frames as they were sent first: without the mark that they are sent again.
fn unmarked(frames: &[Value]) -> Vec<Value> {
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        if let Some(extensions) = frame.as_object_mut().unwrap().remove("extensions") {
            assert_eq!(extensions, json!({ "x-vendor.moorline.replayed": true }));
        }
    }
    frames
}

fn seq(frame: &Value) -> i64 {
    frame["event_seq"].as_i64().unwrap()
}

/// The connection is dropped after every n-th frame, for every n; the stream is as if it had not been.
#[tokio::test]
async fn wherever_a_connection_drops_the_stream_goes_on_with_the_same_ids_and_numbers() {
    const EVENTS: usize = 60;
    let bench = Bench::start().await;
    for every in [1, 2, 3, 7, 20, EVENTS] {
        let Visit { mut client, mut token } = arrive(&bench).await;
        let session = client.session.clone().unwrap();
        let job = submit(&mut client, EVENTS as u64, 0).await;
        let mut seen: Vec<Value> = Vec::new();
        while seen.last().is_none_or(|frame| frame["type"] != "job.result") {
            seen.extend(numbered(&mut client, every).await);
            drop(client);
            let last = seen.last().map_or(0, seq);
            let named = (every % 2 == 0).then_some(session.as_str());
            let visit = welcomed(come_back(&bench, named, &token, last).await).await;
            assert_eq!(visit.client.session.as_deref(), Some(session.as_str()));
            assert_ne!(visit.token, token, "a welcome rotates the token");
            (client, token) = (visit.client, visit.token);
        }
        assert_eq!(
            seen.iter().map(seq).collect::<Vec<_>>(),
            (1..=seen.len() as i64).collect::<Vec<_>>(),
            "every {every}"
        );

        // The whole again, from nothing: the same frames to the letter.
        drop(client);
        let mut again = welcomed(come_back(&bench, None, &token, 0).await).await;
        let replayed = numbered(&mut again.client, usize::MAX).await;
        assert_eq!(unmarked(&replayed), unmarked(&seen), "every {every}, {job}");
    }
}

#[tokio::test]
async fn a_job_that_ends_while_nobody_is_there_is_seen_to_its_end() {
    let bench = Bench::start().await;
    let Visit { mut client, token } = arrive(&bench).await;
    submit(&mut client, 30, 5).await;
    let seen = numbered(&mut client, 3).await;
    drop(client);
    let waiting = async {
        while bench.gateway.open_jobs() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, waiting).await.unwrap();
    let mut back = welcomed(come_back(&bench, None, &token, seq(seen.last().unwrap())).await).await;
    let rest = numbered(&mut back.client, usize::MAX).await;
    assert_eq!(seq(&rest[0]), 4);
    assert_eq!(rest.last().unwrap()["type"], "job.result");
    assert_eq!(back.client.echo(json!(1)).await, json!(1), "the session does new work");
}

/// A connection that still looks alive is fenced off.
#[tokio::test]
async fn a_session_is_taken_over_from_a_connection_that_looks_alive() {
    let bench = Bench::start().await;
    let Visit { mut client, token } = arrive(&bench).await;
    submit(&mut client, 50, 10).await;
    let seen = numbered(&mut client, 5).await;
    let mut back = welcomed(come_back(&bench, None, &token, seq(&seen[4])).await).await;
    let closed = client.recv_type("session.closed").await;
    assert!(closed["payload"]["reason"].as_str().unwrap().contains("another connection"), "{closed}");
    let rest = numbered(&mut back.client, usize::MAX).await;
    assert_eq!(seq(&rest[0]), 6, "what the old connection was sent in vain is sent again");
    assert_eq!(rest.last().unwrap()["type"], "job.result");
}

/// A client whose welcome was lost tries again with the token that it has.
#[tokio::test]
async fn the_token_before_is_good_until_the_first_frame_with_the_new_one() {
    let bench = Bench::start().await;
    let Visit { client, token: first } = arrive(&bench).await;
    drop(client);
    let lost = welcomed(come_back(&bench, None, &first, 0).await).await;
    drop(lost.client);
    let mut second = welcomed(come_back(&bench, None, &first, 0).await).await;
    second.client.echo(json!(1)).await;
    assert_refused(come_back(&bench, None, &first, 0).await, "RESUME_WINDOW_EXPIRED").await;
    assert_refused(come_back(&bench, None, &lost.token, 0).await, "RESUME_WINDOW_EXPIRED").await;
    second.client.echo(json!(2)).await;
    drop(second.client);
    welcomed(come_back(&bench, None, &second.token, 0).await).await;
}

#[tokio::test]
async fn whoever_may_not_resume_changes_nothing() {
    let bench = Bench::start().await;
    let Visit { mut client, token } = arrive(&bench).await;
    let session = client.session.clone().unwrap();
    submit(&mut client, 3, 0).await;
    let seen = numbered(&mut client, usize::MAX).await;
    drop(client);

    let mut stranger = bench.connect().await;
    stranger.send(&resuming(bench.hello_of_another(), None, &token, 0)).await;
    assert_refused(stranger, "RESUME_WINDOW_EXPIRED").await;
    let mut nobody = bench.connect().await;
    nobody
        .send(&resuming(common::hello_with(&json!({ "scheme": "bearer", "token": "mlk_no" })), None, &token, 0))
        .await;
    assert_refused(nobody, "UNAUTHENTICATED").await;
    let wrong = format!("{}0", &token[..token.len() - 1]);
    let wrong = if wrong == token { format!("{}1", &token[..token.len() - 1]) } else { wrong };
    for (session, token, last) in
        [(None, wrong.as_str(), 0), (Some("sess_other"), token.as_str(), 0), (None, "rubbish", 0)]
    {
        assert_refused(come_back(&bench, session, token, last).await, "RESUME_WINDOW_EXPIRED").await;
    }
    let ahead = assert_refused(come_back(&bench, None, &token, 999).await, "RESUME_WINDOW_EXPIRED").await;
    assert_eq!(ahead["payload"]["details"]["last"], json!(seen.len()), "{ahead}");
    let mut bare = bench.connect().await;
    bare.send(&json!({ "arcp": "1.1", "id": "m", "type": "session.resume", "payload": { "resume_token": token } }))
        .await;
    assert_refused(bare, "UNAUTHENTICATED").await;

    let mut back = welcomed(come_back(&bench, Some(&session), &token, -1).await).await;
    assert_eq!(unmarked(&numbered(&mut back.client, usize::MAX).await), seen, "the owner is not harmed");
}

#[tokio::test]
async fn a_session_that_is_closed_or_waited_too_long_for_is_gone() {
    let options = RuntimeOptions { resume_window: Millis::new(50), ..runtime_options() };
    let bench = Bench::with_runtime(options).await;
    let Visit { mut client, token } = arrive(&bench).await;
    client.echo(json!(1)).await;
    client.say("msg_1", "session.close", json!({})).await;
    client.recv_type("session.closed").await;
    assert_refused(come_back(&bench, None, &token, 0).await, "RESUME_WINDOW_EXPIRED").await;

    let Visit { mut client, token } = arrive(&bench).await;
    client.send_raw(Message::Close(None)).await;
    while client.recv_message().await.is_some() {}
    // not a wait: the session waits for its client since before that was told that its connection ends, and the point is
    // the time that passes
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_refused(come_back(&bench, None, &token, 0).await, "RESUME_WINDOW_EXPIRED").await;
}

/// Jobs that go on when their session is closed remain resumable (spec 6.7).
#[tokio::test]
async fn a_session_that_is_closed_while_its_job_runs_can_be_resumed() {
    let bench = Bench::start().await;
    let Visit { mut client, token } = arrive(&bench).await;
    submit(&mut client, 20, 10).await;
    client.say("msg_1", "session.bye", json!({ "reason": "later" })).await;
    client.recv_type("session.closed").await;
    let mut back = welcomed(come_back(&bench, None, &token, 0).await).await;
    let seen = numbered(&mut back.client, usize::MAX).await;
    assert_eq!(seen.iter().map(seq).collect::<Vec<_>>(), (1..=seen.len() as i64).collect::<Vec<_>>());
    assert_eq!(seen.last().unwrap()["type"], "job.result");
}

/// Sessions that wait for clients that never come back do not keep new ones out.
#[tokio::test]
async fn a_parked_session_makes_room_for_a_connected_one() {
    let bench = Bench::start().await;
    let limit = bench.gateway.options().quotas.sessions.unwrap();
    let first = arrive(&bench).await;
    drop(first.client);
    for _ in 0..limit {
        drop(arrive(&bench).await.client);
    }
    assert_refused(come_back(&bench, None, &first.token, 0).await, "RESUME_WINDOW_EXPIRED").await;
}

fn with_extension(mut hello: Value, name: &str, value: Value) -> Value {
    hello["extensions"][name] = value;
    hello
}

fn wanting_gaps(mut hello: Value) -> Value {
    hello["payload"]["capabilities"]["features"].as_array_mut().unwrap().push(json!("x-vendor.moorline.gap"));
    hello
}

/// The gateway is killed; its sessions, tokens and numbers are there again.
#[tokio::test]
async fn a_session_outlives_the_gateway() {
    let bench = Bench::start().await;
    let Visit { mut client, token: first } = arrive(&bench).await;
    submit(&mut client, 2, 0).await;
    let mut seen = numbered(&mut client, usize::MAX).await;
    submit(&mut client, 1_000_000, 5).await;
    seen.extend(numbered(&mut client, 10).await);
    let session = client.session.clone().unwrap();
    drop(client);
    // This welcome gives a new token, and nothing is heard of the client after it.
    let lost = welcomed(come_back(&bench, None, &first, seq(&seen[4])).await).await;

    let bench = bench.restarted().await;
    assert_refused(
        come_back(&bench, Some("sess_01HF7YAT00000000000000000Z"), &first, 0).await,
        "RESUME_WINDOW_EXPIRED",
    )
    .await;
    for token in [&first, &lost.token] {
        let mut stranger = bench.connect().await;
        stranger.send(&resuming(bench.hello_of_another(), Some(&session), token, 0)).await;
        assert_refused(stranger, "RESUME_WINDOW_EXPIRED").await;
    }
    let last = seq(seen.last().unwrap());
    let mut back = welcomed(come_back(&bench, Some(&session), &first, last).await).await;
    assert_eq!(back.client.session.as_deref(), Some(session.as_str()));
    let rest = numbered(&mut back.client, usize::MAX).await;
    seen.extend(unmarked(&rest));
    assert_eq!(seen.iter().map(seq).collect::<Vec<_>>(), (1..=seen.len() as i64).collect::<Vec<_>>());

    // From nothing, and after another restart: the same frames to the letter.
    let bench = bench.restarted().await;
    let mut again = welcomed(come_back(&bench, None, &back.token, 0).await).await;
    let mut replayed = numbered(&mut again.client, 3).await;
    replayed.extend(numbered(&mut again.client, usize::MAX).await);
    assert_eq!(unmarked(&replayed), seen);
}

#[tokio::test]
async fn what_is_sent_again_is_marked_and_what_is_new_is_not() {
    let bench = Bench::start().await;
    let Visit { mut client, token } = arrive(&bench).await;
    submit(&mut client, 3, 0).await;
    let first = numbered(&mut client, usize::MAX).await;
    assert!(first.iter().all(|frame| frame.get("extensions").is_none()), "{first:?}");
    drop(client);
    let mut back = welcomed(come_back(&bench, None, &token, 2).await).await;
    let again = numbered(&mut back.client, usize::MAX).await;
    assert!(again.iter().all(|frame| frame["extensions"]["x-vendor.moorline.replayed"] == true), "{again:?}");
    submit(&mut back.client, 1, 0).await;
    let new = numbered(&mut back.client, usize::MAX).await;
    assert!(new.iter().all(|frame| frame.get("extensions").is_none()), "{new:?}");
}

/// The third form of the request: a message of its own (spec 6.3), on a connection that is authenticated.
#[tokio::test]
async fn a_session_is_resumed_by_a_message_after_the_welcome() {
    let bench = Bench::start().await;
    let Visit { mut client, token } = arrive(&bench).await;
    let session = client.session.clone();
    submit(&mut client, 3, 0).await;
    let seen = numbered(&mut client, usize::MAX).await;
    drop(client);

    let mut back = arrive(&bench).await.client;
    let unused = back.session.clone();
    back.say("msg_1", "session.resume", json!({ "resume_token": "rt_0", "last_event_seq": 1 })).await;
    let refused = back.recv_type("session.error").await;
    assert_eq!(refused["payload"]["code"], "RESUME_WINDOW_EXPIRED", "{refused}");
    assert_eq!(refused["session_id"].as_str(), unused.as_deref(), "the session that is open stays");
    drop(back);

    let mut back = arrive(&bench).await.client;
    back.say("msg_1", "session.resume", json!({ "resume_token": token, "last_event_seq": 1 })).await;
    let Visit { client: mut back, .. } = welcomed(back).await;
    assert_eq!(back.session, session);
    assert_eq!(unmarked(&numbered(&mut back, usize::MAX).await), seen[1..]);

    // Once something was asked for, the connection has its session for good.
    submit(&mut back, 1, 0).await;
    numbered(&mut back, usize::MAX).await;
    back.say("msg_2", "session.resume", json!({ "resume_token": token })).await;
    let refused = back.recv_type("session.error").await;
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{refused}");
}

/// A cursor names the journal that its number is from; a number of another journal is never taken for one of this.
#[tokio::test]
async fn a_number_of_another_journal_is_refused_unless_the_client_takes_a_gap() {
    const OTHER: &str = "01HF7YAT00000000000000000Z";
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    client.send(&bench.hello()).await;
    let welcome = client.recv().await.unwrap();
    let epoch = bench.gateway.epoch().to_string();
    let cursor = |number: u64| json!({ "epoch": epoch, "event_seq": number });
    assert_eq!(welcome["extensions"]["x-vendor.moorline.cursor"], cursor(0), "valid with nothing seen");
    let token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    submit(&mut client, 3, 0).await;
    let seen = numbered(&mut client, usize::MAX).await;
    drop(client);

    let hello = resuming(bench.hello(), None, &token, 4);
    let foreign = with_extension(hello.clone(), "x-vendor.moorline.resume", json!({ "epoch": OTHER }));
    let mut client = bench.connect().await;
    client.send(&foreign).await;
    let refused = assert_refused(client, "RESUME_WINDOW_EXPIRED").await;
    assert_eq!(refused["payload"]["details"], json!({ "asked_epoch": OTHER, "epoch": epoch }), "{refused}");

    // The same client without the feature is not told of gaps, so it cannot ask for one.
    let options = json!({ "epoch": OTHER, "on_gap": "continue" });
    let mut client = bench.connect().await;
    client.send(&with_extension(hello.clone(), "x-vendor.moorline.resume", options.clone())).await;
    assert_refused(client, "RESUME_WINDOW_EXPIRED").await;

    let mut client = bench.connect().await;
    client.send(&wanting_gaps(with_extension(hello, "x-vendor.moorline.resume", options))).await;
    let Visit { mut client, token } = welcomed(client).await;
    let gap = client.recv().await.unwrap();
    assert_eq!(gap["type"], "x-vendor.moorline.gap", "{gap}");
    assert_eq!(gap["payload"], json!({ "next": 5, "reason": "journal_replaced", "epoch": epoch }));
    assert!(gap.get("event_seq").is_none());
    drop(client);

    // A client that names the right one and has everything gets nothing.
    let hello = resuming(bench.hello(), None, &token, 4);
    let mut client = bench.connect().await;
    client.send(&with_extension(hello, "x-vendor.moorline.resume", json!({ "epoch": epoch }))).await;
    let welcome = client.recv().await.unwrap();
    assert_eq!(welcome["extensions"]["x-vendor.moorline.cursor"], cursor(seen.len() as u64), "{welcome}");
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    client.echo(json!(1)).await;
}
