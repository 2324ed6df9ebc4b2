//! What one principal can do to another's sessions and jobs over real WebSockets: nothing, and it learns nothing.
//!
//! The labels in the docs of the tests are those of the faults that implementations of the protocol have had: a letter
//! and a number each.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{Bench, Client, hello_with};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// An id that was never given, as long as one that was.
const UNKNOWN: &str = "job_01HF7YAT00000000000000000Z";
const KEYS: &str = "x-vendor.moorline.keys";

async fn ada(bench: &Bench) -> Client {
    bench.open(&bench.hello()).await.0
}

async fn eve(bench: &Bench) -> Client {
    bench.open(&bench.hello_of_another()).await.0
}

/// A job that goes on until it is cancelled.
async fn long_job(client: &mut Client) -> String {
    let input = json!({ "echo": { "events": 1, "delay_ms": 600_000 } });
    client.say("msg_submit", "job.submit", json!({ "agent": "echo", "input": input })).await;
    client.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned()
}

/// A job that is over.
async fn ended_job(client: &mut Client) -> String {
    client.say("msg_submit", "job.submit", json!({ "agent": "echo", "input": 1 })).await;
    let job = client.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned();
    client.recv_type("job.result").await;
    job
}

/// The next frame as it was sent, without what every frame has of its own, and with `id` as a name for itself.
async fn bytes(client: &mut Client, id: &str) -> String {
    let Some(Message::Text(text)) = client.recv_message().await else { panic!("no answer about {id}") };
    let frame: Value = serde_json::from_str(&text).unwrap();
    let own = ["id", "session_id", "timestamp"].iter().filter_map(|field| frame[*field].as_str());
    own.chain([id]).fold(text.to_string(), |text, value| text.replace(value, "…"))
}

async fn jobs(client: &mut Client) -> Vec<Value> {
    client.say("msg_list", "session.list_jobs", json!({})).await;
    client.recv_type("session.jobs").await["payload"]["jobs"].as_array().unwrap().clone()
}

fn resuming(mut hello: Value, session: Option<&str>, token: &str) -> Value {
    hello["payload"]["resume"] = json!({ "session_id": session, "resume_token": token, "last_event_seq": 0 });
    hello
}

async fn is_closed(client: &mut Client) -> bool {
    matches!(client.recv_message().await, Some(Message::Close(_)) | None)
}

/// Cancels the job, whose end is then the next that the session is shown.
async fn is_cancelled_by(canceller: &mut Client, job: &str) {
    canceller.say("msg_cancel", "job.cancel", json!({ "job_id": job })).await;
    let end = loop {
        let frame = canceller.recv().await.unwrap();
        if frame["event_seq"].is_u64() && frame["type"] != "job.event" {
            break frame;
        }
    };
    assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!("CANCELLED")), "{end}");
    assert_eq!(end["job_id"], job, "{end}");
}

/// A3, H2, TS-2, CS-3, PY-4, GO-8: the token alone is not enough, and trying takes nothing from its owner.
#[tokio::test]
async fn another_principal_with_the_right_token_resumes_nothing_and_the_owner_still_does() {
    let bench = Bench::start().await;
    let (mut owner, token) = bench.open(&bench.hello()).await;
    let session = owner.session.clone().unwrap();
    let job = ended_job(&mut owner).await;
    drop(owner);

    // As long as the right one, and of a session that there is not.
    let unknown = token.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    assert_ne!(unknown, token);
    for named in [None, Some(session.as_str())] {
        let mut answers = Vec::new();
        for token in [&token, &unknown] {
            let mut thief = bench.connect().await;
            thief.send(&resuming(bench.hello_of_another(), named, token)).await;
            answers.push(bytes(&mut thief, token).await);
            assert!(is_closed(&mut thief).await);
        }
        assert!(answers[0].contains("RESUME_WINDOW_EXPIRED"), "{}", answers[0]);
        assert_eq!(answers[0], answers[1], "a token of another's is answered like one that there is not");
    }
    let mut within = eve(&bench).await;
    within.say("msg_resume", "session.resume", json!({ "resume_token": token, "last_event_seq": 0 })).await;
    assert_eq!(within.recv().await.unwrap()["type"], "session.error", "nor within a session of one's own");

    let (mut back, _) = bench.open(&resuming(bench.hello(), Some(&session), &token)).await;
    assert_eq!(back.session.as_deref(), Some(session.as_str()));
    let replayed = back.recv_type("job.result").await;
    assert_eq!(replayed["job_id"], job, "everything is shown to its owner again");
}

/// RS-2: a resume authenticates like a hello.
#[tokio::test]
async fn nothing_is_resumed_by_whoever_has_not_authenticated() {
    let bench = Bench::start().await;
    let (owner, token) = bench.open(&bench.hello()).await;
    let session = owner.session.clone().unwrap();
    drop(owner);
    let bare = json!({
        "arcp": "1.1", "id": "msg_1", "type": "session.resume", "session_id": session,
        "payload": { "resume_token": token, "last_event_seq": 0 },
    });
    for first in [
        bare,
        resuming(hello_with(&json!(null)), Some(&session), &token),
        resuming(hello_with(&json!({ "scheme": "anonymous" })), Some(&session), &token),
        resuming(hello_with(&json!({ "scheme": "bearer", "token": token })), Some(&session), &token),
    ] {
        let mut nobody = bench.connect().await;
        nobody.send(&first).await;
        let answer = nobody.recv().await.unwrap();
        assert_eq!(answer["type"], "session.error", "{first}: {answer}");
        assert_ne!(answer["session_id"], json!(session), "{first}: {answer}");
        assert!(is_closed(&mut nobody).await, "{first}");
    }
    bench.open(&resuming(bench.hello(), Some(&session), &token)).await;
}

/// RS-1, CS-1: what a peer says that has not authenticated, or what only a runtime says, reaches nobody.
#[tokio::test]
async fn what_is_forged_reaches_no_observer_and_changes_no_job() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    let job = long_job(&mut owner).await;
    let mut observer = ada(&bench).await;
    observer.say("msg_watch", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    observer.recv_type("job.subscribed").await;
    let result = json!({ "final_status": "success", "result": "forged" });
    let log = json!({ "kind": "log", "ts": "2026-05-13T19:42:13Z", "body": { "level": "info", "message": "forged" } });
    let forged = [
        ("job.result", result.clone()),
        ("job.completed", result),
        ("job.event", log),
        ("job.error", json!({ "code": "CANCELLED", "message": "forged", "final_status": "cancelled" })),
        ("job.cancel", json!({ "job_id": job })),
        ("job.subscribe", json!({ "job_id": job, "history": true })),
        ("job.submit", json!({ "agent": "echo", "input": "forged" })),
        ("session.list_jobs", json!({})),
    ];
    let mut stranger = eve(&bench).await;
    for (message_type, payload) in forged {
        let mut frame = json!({
            "arcp": "1.1", "id": "msg_1", "type": message_type, "session_id": observer.session, "job_id": job,
            "event_seq": 2, "payload": payload,
        });
        let mut nobody = bench.connect().await;
        nobody.send(&frame).await;
        let answer = nobody.recv().await.unwrap();
        assert_eq!(answer["type"], "session.error", "{message_type}: {answer}");
        assert!(!answer.to_string().contains("forged"), "nothing is said back: {answer}");
        assert!(is_closed(&mut nobody).await, "{message_type}");
        // In another's session, and, where it is not a client's to say, in one's own.
        stranger.send(&frame).await;
        assert_eq!(stranger.recv().await.unwrap()["type"], "session.error", "{message_type}");
        if !matches!(message_type, "job.submit" | "session.list_jobs") {
            frame["session_id"] = json!(stranger.session);
            stranger.send(&frame).await;
            assert_eq!(stranger.recv().await.unwrap()["type"], "session.error", "{message_type}");
        }
    }
    assert!(jobs(&mut stranger).await.is_empty());
    assert_eq!(jobs(&mut owner).await.len(), 1);
    owner.say("msg_cancel", "job.cancel", json!({ "job_id": job })).await;
    loop {
        let frame = observer.recv().await.unwrap();
        assert!(!frame.to_string().contains("forged"), "{frame}");
        if frame["type"] == "job.error" {
            assert_eq!(frame["payload"]["code"], "CANCELLED", "{frame}");
            break;
        }
        assert_eq!(frame["type"], "job.event", "{frame}");
    }
}

/// TS-8: the answer tells nothing of a job that is another's, whatever is asked and however the job stands.
#[tokio::test]
async fn a_job_of_another_is_answered_byte_for_byte_like_one_that_never_was() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    let over = ended_job(&mut owner).await;
    let running = long_job(&mut owner).await;
    let mut stranger = eve(&bench).await;
    for (message_type, more) in [
        ("job.cancel", json!({})),
        ("job.cancel", json!({ "reason": "because" })),
        ("job.subscribe", json!({})),
        ("job.subscribe", json!({ "history": true })),
        ("job.subscribe", json!({ "history": true, "from_event_seq": 1 })),
    ] {
        let mut answers = Vec::new();
        for job in [UNKNOWN, &over, &running] {
            let mut payload = more.clone();
            payload["job_id"] = json!(job);
            stranger.say("msg_1", message_type, payload).await;
            answers.push(bytes(&mut stranger, job).await);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{message_type} {more}: {answers:#?}");
        assert!(answers[0].contains("JOB_NOT_FOUND"), "{message_type} {more}: {}", answers[0]);
    }
    for job in [UNKNOWN, &over, &running] {
        stranger.say("msg_1", "job.unsubscribe", json!({ "job_id": job })).await;
    }
    assert_eq!(stranger.echo(json!(1)).await, json!(1));
    is_cancelled_by(&mut owner, &running).await;
}

/// TS-8, RS-6: a job is its principal's, not its connection's or session's.
#[tokio::test]
async fn the_owner_cancels_and_watches_in_a_session_that_was_resumed_and_in_another() {
    let bench = Bench::start().await;
    let (mut first, token) = bench.open(&bench.hello()).await;
    let jobs = [long_job(&mut first).await, long_job(&mut first).await];
    drop(first);
    let (mut back, _) = bench.open(&resuming(bench.hello(), None, &token)).await;
    is_cancelled_by(&mut back, &jobs[0]).await;
    back.say("msg_close", "session.close", json!({})).await;
    back.recv_type("session.closed").await;
    let mut other = ada(&bench).await;
    other.say("msg_watch", "job.subscribe", json!({ "job_id": jobs[1], "history": true })).await;
    other.recv_type("job.subscribed").await;
    is_cancelled_by(&mut other, &jobs[1]).await;
}

/// PY-15, CS-15: nobody submits under a job of another's, or learns that it is there.
#[tokio::test]
async fn no_job_is_submitted_under_a_job_of_another() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    let parent = long_job(&mut owner).await;
    let mut stranger = eve(&bench).await;
    let mut answers = Vec::new();
    for job in [UNKNOWN, &parent] {
        let payload = json!({ "agent": "echo", "input": 1, "parent_job_id": job, "delegate_id": "del_1" });
        stranger.say("msg_1", "job.submit", payload).await;
        answers.push(bytes(&mut stranger, job).await);
    }
    assert!(answers[0].contains("session.error"), "{}", answers[0]);
    assert_eq!(answers[0], answers[1]);
    assert!(jobs(&mut stranger).await.is_empty());
    assert_eq!(jobs(&mut owner).await.len(), 1);
    is_cancelled_by(&mut owner, &parent).await;
}

/// JV-1, GO-11: who somebody is, its token says, and nothing that it says of itself.
#[tokio::test]
async fn nobody_is_somebody_by_saying_so() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    ended_job(&mut owner).await;
    for auth in [
        json!(null),
        json!({}),
        json!({ "scheme": "anonymous" }),
        json!({ "scheme": "none", "principal": "ada" }),
        json!({ "scheme": "bearer" }),
        json!({ "scheme": "bearer", "token": "" }),
        json!({ "scheme": "bearer", "token": "ada", "principal": "ada" }),
        json!({ "scheme": "bearer", "token": format!("mlk_{}", "A".repeat(49)) }),
    ] {
        let mut hello = hello_with(&auth);
        hello["payload"]["client"]["name"] = json!("ada");
        let mut nobody = bench.connect().await;
        nobody.send(&hello).await;
        let answer = nobody.recv().await.unwrap();
        assert_eq!(answer["type"], "session.error", "{auth}: {answer}");
        assert!(is_closed(&mut nobody).await, "{auth}");
    }
    let mut hello = bench.hello_of_another();
    hello["payload"]["client"] = json!({ "name": "ada", "version": "1", "principal": "ada" });
    hello["payload"]["auth"]["principal"] = json!("ada");
    hello["payload"]["principal"] = json!("ada");
    let (mut pretender, _) = bench.open(&hello).await;
    assert!(jobs(&mut pretender).await.is_empty());
}

/// CS-2: a connection is one principal's until it ends.
#[tokio::test]
async fn a_second_hello_changes_nobodys_identity() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    let job = ended_job(&mut owner).await;
    let mut client = eve(&bench).await;
    let session = client.session.clone();
    client.send(&bench.hello()).await;
    assert_eq!(client.recv().await.unwrap()["type"], "session.error");
    client.say("msg_1", "job.subscribe", json!({ "job_id": job })).await;
    let answer = client.recv().await.unwrap();
    assert_eq!(answer["payload"]["code"], "JOB_NOT_FOUND", "{answer}");
    assert_eq!(answer["session_id"], json!(session), "{answer}");
    assert!(jobs(&mut client).await.is_empty());
}

/// A key that another has used is free, whatever it was used for, and says nothing of it.
#[tokio::test]
async fn an_idempotency_key_is_its_principals_own() {
    let bench = Bench::start().await;
    let (mut owner, mut stranger) = (ada(&bench).await, eve(&bench).await);
    let mut made = Vec::new();
    for is_owner in [true, false, true] {
        let client = if is_owner { &mut owner } else { &mut stranger };
        let payload = json!({ "agent": "echo", "input": "hers", "idempotency_key": "order 17" });
        client.say("msg_1", "job.submit", payload).await;
        made.push(client.recv_type("job.accepted").await["job_id"].clone());
    }
    assert_ne!(made[0], made[1], "the same submission of another is another job");
    assert_eq!(made[0], made[2]);
    let payload = json!({ "agent": "echo", "input": "other", "idempotency_key": "order 18" });
    owner.say("msg_2", "job.submit", payload).await;
    owner.recv_type("job.accepted").await;
    let payload = json!({ "agent": "echo", "input": "mine", "idempotency_key": "order 18" });
    stranger.say("msg_2", "job.submit", payload).await;
    stranger.recv_type("job.accepted").await;
    assert_eq!((jobs(&mut owner).await.len(), jobs(&mut stranger).await.len()), (2, 2));
}

/// JV-15, RS-14: a list is a principal's, and so are its cursors.
#[tokio::test]
async fn a_cursor_of_another_is_answered_byte_for_byte_like_none_at_all() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    for _ in 0..2 {
        ended_job(&mut owner).await;
    }
    owner.say("msg_1", "session.list_jobs", json!({ "limit": 1 })).await;
    let cursor = owner.recv_type("session.jobs").await["payload"]["next_cursor"].as_str().unwrap().to_owned();
    let mut stranger = eve(&bench).await;
    assert!(jobs(&mut stranger).await.is_empty());
    let mut answers = Vec::new();
    for cursor in [cursor.as_str(), "garbled"] {
        stranger.say("msg_1", "session.list_jobs", json!({ "limit": 1, "cursor": cursor })).await;
        answers.push(bytes(&mut stranger, cursor).await);
    }
    assert!(answers[0].contains("session.error"), "{}", answers[0]);
    assert_eq!(answers[0], answers[1]);
}

/// A session is addressed by whoever is connected to it, and its id says nothing to others.
#[tokio::test]
async fn a_session_of_another_is_answered_byte_for_byte_like_one_that_never_was() {
    let bench = Bench::start().await;
    let mut owner = ada(&bench).await;
    let hers = owner.session.clone().unwrap();
    let unknown = "sess_01HF7YAT00000000000000000Z".to_owned();
    let mut stranger = eve(&bench).await;
    let own = stranger.session.clone();
    for (message_type, payload) in [
        ("session.ack", json!({ "last_processed_seq": 0 })),
        ("session.list_jobs", json!({})),
        ("job.submit", json!({ "agent": "echo" })),
        ("session.close", json!({})),
        ("session.bye", json!({ "reason": "x" })),
    ] {
        let mut answers = Vec::new();
        for session in [&hers, &unknown] {
            stranger.session = Some(session.clone());
            stranger.say("msg_1", message_type, payload.clone()).await;
            answers.push(bytes(&mut stranger, session).await);
        }
        assert!(answers[0].contains("session.error"), "{message_type}: {}", answers[0]);
        assert_eq!(answers[0], answers[1], "{message_type}");
    }
    stranger.session = own;
    assert!(jobs(&mut stranger).await.is_empty());
    assert_eq!(owner.echo(json!(1)).await, json!(1), "she has noticed nothing");
}

/// Makes a key and opens a session with it.
async fn with_key(bench: &Bench, admin: &mut Client, principal: &str, scopes: &[&str], tags: &[&str]) -> Client {
    let request = json!({
        "do": "create", "name": "test", "principal": principal, "grants": { "scopes": scopes, "tags": tags },
    });
    admin.say("msg_key", KEYS, request).await;
    let secret = admin.recv_type("x-vendor.moorline.keys_report").await["payload"]["secret"].clone();
    bench.open(&hello_with(&json!({ "scheme": "bearer", "token": secret }))).await.0
}

/// TS-8 and spec 14: what [`moorline_core::access`] decides is what a client is answered, for every action.
#[tokio::test]
async fn who_may_do_what_is_answered_so_at_the_wire() {
    const OK: &str = "";
    const DENIED: &str = "PERMISSION_DENIED";
    const NOT_FOUND: &str = "JOB_NOT_FOUND";
    let bench = Bench::start().await;
    let mut admin = bench.open(&bench.hello_of_an_administrator()).await.0;
    let mut owner = with_key(&bench, &mut admin, "zoe", &["submit", "observe", "cancel"], &["team"]).await;
    let job = ended_job(&mut owner).await;
    let all: &[&str] = &["submit", "observe", "cancel"];
    // In the order of: submit, list, observe, cancel, administer.
    for (principal, scopes, tags, expected) in [
        ("zoe", all, &[] as &[&str], [OK, OK, OK, OK, DENIED]),
        ("zoe", &["submit"], &[], [OK, DENIED, DENIED, DENIED, DENIED]),
        ("zoe", &["observe"], &[], [DENIED, OK, OK, DENIED, DENIED]),
        ("zoe", &["cancel"], &[], [DENIED, DENIED, DENIED, OK, DENIED]),
        ("tom", all, &["team"], [OK, OK, OK, DENIED, DENIED]),
        ("tom", &["submit", "cancel"], &["team"], [OK, DENIED, NOT_FOUND, NOT_FOUND, DENIED]),
        ("tom", all, &["other"], [OK, OK, NOT_FOUND, NOT_FOUND, DENIED]),
        ("dash", &["observe_all"], &[], [DENIED, OK, OK, DENIED, DENIED]),
        ("ops", &["control_all"], &[], [DENIED, DENIED, DENIED, OK, DENIED]),
        ("boss", &["administer"], &[], [DENIED, DENIED, NOT_FOUND, NOT_FOUND, OK]),
    ] {
        let mut client = with_key(&bench, &mut admin, principal, scopes, tags).await;
        for ((message_type, payload, answer), code) in [
            ("job.submit", json!({ "agent": "echo", "input": 1 }), "job.accepted"),
            ("session.list_jobs", json!({}), "session.jobs"),
            ("job.subscribe", json!({ "job_id": job, "history": true }), "job.subscribed"),
            // The job is over, so whoever may cancel it is told that.
            ("job.cancel", json!({ "job_id": job }), "ended already"),
            ("x-vendor.moorline.audit", json!({}), "x-vendor.moorline.audit_page"),
        ]
        .into_iter()
        .zip(expected)
        {
            let case = format!("{principal} {scopes:?} {tags:?} {message_type}");
            client.say("msg_case", message_type, payload).await;
            let frame = loop {
                let frame = client.recv().await.unwrap();
                if frame["payload"]["request_id"] == "msg_case" || frame["type"] == answer {
                    break frame;
                }
            };
            let told = if code.is_empty() { answer } else { code };
            assert!(frame.to_string().contains(told), "{case}: {told} in {frame}");
        }
    }
    let foreign = [UNKNOWN, &job];
    let mut stranger = with_key(&bench, &mut admin, "boss", &["administer"], &[]).await;
    let mut answers = Vec::new();
    for job in foreign {
        stranger.say("msg_1", "job.cancel", json!({ "job_id": job })).await;
        answers.push(bytes(&mut stranger, job).await);
    }
    assert_eq!(answers[0], answers[1], "administering shows nobody's jobs");
}
