//! Calls and their answers, as well as runtimes correlate them.

use std::time::Duration;

use moorline_client::wire::payload::{ListJobs, Submit};
use moorline_client::{CallError, Client, ConnectOptions, JobUpdate, SubmitRequest};
use moorline_types::Json;
use serde_json::json;

use crate::peer::{Peer, connect_with, connected, echo, refusal, soon, submitted, update, welcome};
use crate::rig::{self, Rig};

#[tokio::test]
async fn a_job_is_submitted_and_watched_to_its_end() {
    let (client, mut peer) = connected().await;
    let request = SubmitRequest {
        submit: Submit {
            max_runtime_sec: Some(5),
            ..Submit::new("echo@1".parse().unwrap(), Json::parse("[1]").unwrap())
        },
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap()),
        overflow: None,
    };
    let serve = async {
        let submit = peer.expect("job.submit").await;
        assert_eq!(submit["session_id"], "sess_1");
        assert_eq!(submit["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            submit["extensions"]["x-vendor.opentelemetry.tracecontext"],
            json!({ "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" })
        );
        assert_eq!(submit["payload"], json!({"agent": "echo@1", "input": [1], "max_runtime_sec": 5}));
        peer.accepted(&submit, "job_1").await;
    };
    let (job, ()) = tokio::join!(client.submit(request), serve);
    let mut job = job.unwrap();
    assert_eq!((job.id().as_str(), job.agent()), ("job_1", "echo@1"));
    peer.log("job_1", 1).await;
    peer.result("job_1", 2).await;
    assert!(matches!(update(&mut job).await, JobUpdate::Event(event) if &*event.kind == "log" && event.event.is_ok()));
    let JobUpdate::Result { result, .. } = update(&mut job).await else { panic!("the result was due") };
    assert_eq!(result.value().unwrap().get(), r#"{"of":"job_1"}"#);
    assert!(soon("the end", job.next()).await.is_none());
}

#[tokio::test]
async fn answers_that_name_their_request_may_come_in_any_order() {
    let (client, mut peer) = connected().await;
    let serve = async {
        let first = peer.expect("job.submit").await;
        let second = peer.expect("job.submit").await;
        peer.accepted(&second, "job_2").await;
        peer.accepted(&first, "job_1").await;
    };
    let (first, second, ()) = tokio::join!(client.submit(echo()), client.submit(echo()), serve);
    assert_eq!((first.unwrap().id().as_str(), second.unwrap().id().as_str()), ("job_1", "job_2"));
}

#[tokio::test]
async fn answers_that_name_no_request_come_in_order() {
    let (client, mut peer) = connected().await;
    let serve = async {
        for job in ["job_1", "job_2"] {
            peer.expect("job.submit").await;
            peer.send("job.accepted", &json!({"job_id": job})).await;
        }
        peer.expect("session.list_jobs").await;
        peer.send("session.jobs", &json!({"jobs": null})).await;
    };
    let list = client.list_jobs(ListJobs::default());
    let (first, second, list, ()) = tokio::join!(client.submit(echo()), client.submit(echo()), list, serve);
    assert_eq!((first.unwrap().id().as_str(), second.unwrap().id().as_str()), ("job_1", "job_2"));
    assert!(list.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_refusal_that_names_its_request_fails_that_call_only() {
    let (client, mut peer) = connected().await;
    let serve = async {
        let first = peer.expect("job.submit").await;
        let second = peer.expect("job.submit").await;
        let refusal = json!({"code": "AGENT_NOT_AVAILABLE", "message": "m", "retryable": false});
        let mut unrelated = refusal.clone();
        unrelated["request_id"] = "msg_of_somebody_else".into();
        peer.send("session.error", &unrelated).await;
        let mut named = refusal;
        named["request_id"] = first["id"].clone();
        peer.send("session.error", &named).await;
        peer.accepted(&second, "job_2").await;
    };
    let (first, second, ()) = tokio::join!(client.submit(echo()), client.submit(echo()), serve);
    assert_eq!(refusal(first), "AGENT_NOT_AVAILABLE");
    assert_eq!(second.unwrap().id().as_str(), "job_2");
}

#[tokio::test]
async fn a_refusal_that_names_nothing_fails_every_call_and_no_job() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let serve = async {
        peer.expect("job.submit").await;
        peer.expect("session.list_jobs").await;
        peer.send("session.error", &json!({"code": "TEAPOT", "message": "short and stout"})).await;
        peer.result("job_1", 1).await;
    };
    let list = client.list_jobs(ListJobs::default());
    let (submit, list, ()) = tokio::join!(client.submit(echo()), list, serve);
    assert_eq!((refusal(submit), refusal(list)), ("TEAPOT".to_owned(), "TEAPOT".to_owned()));
    assert!(update(&mut job).await.is_terminal(), "the accepted job goes on");
}

#[tokio::test]
async fn a_job_error_may_refuse_a_submission() {
    let error = json!({"final_status": "error", "code": "INVALID_REQUEST", "message": "m", "retryable": false});
    let (client, mut peer) = connected().await;
    let mut other = submitted(&client, &mut peer, "job_1").await;
    let serve = async {
        // With the request's own id and no job, and with a job that nobody knows.
        let submit = peer.expect("job.submit").await;
        peer.send_with("job.error", &json!({"id": submit["id"]}), &error).await;
        peer.expect("job.submit").await;
        peer.send_with("job.error", &json!({"job_id": "job_new"}), &error).await;
        peer.result("job_1", 1).await;
    };
    let calls = async { (client.submit(echo()).await, client.submit(echo()).await) };
    let ((first, second), ()) = tokio::join!(calls, serve);
    assert_eq!((refusal(first), refusal(second)), ("INVALID_REQUEST".to_owned(), "INVALID_REQUEST".to_owned()));
    assert!(matches!(update(&mut other).await, JobUpdate::Result { .. }));
}

#[tokio::test]
async fn a_cancel_is_confirmed_by_its_answer_or_by_the_jobs_end() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let serve = async {
        let cancel = peer.expect("job.cancel").await;
        assert_eq!((&cancel["job_id"], &cancel["payload"]["job_id"]), (&json!("job_1"), &json!("job_1")));
        assert_eq!(cancel["payload"]["reason"], "enough");
        peer.send_with("job.cancelled", &json!({"job_id": "job_1"}), &json!({"reason": "enough"})).await;
    };
    let (cancelled, ()) = tokio::join!(job.cancel(Some("enough".parse().unwrap())), serve);
    cancelled.unwrap();
    assert!(
        matches!(update(&mut job).await, JobUpdate::CancelRequested { reason: Some(reason) } if reason == "enough")
    );

    let serve = async {
        let cancel = peer.expect("job.cancel").await;
        assert_eq!(cancel["payload"]["reason"], "requested by the client", "some runtimes require one");
        let error = json!({"final_status": "cancelled", "code": "CANCELLED", "message": "m", "retryable": false});
        peer.send_with("job.error", &json!({"job_id": "job_1", "event_seq": 1}), &error).await;
    };
    let (cancelled, ()) = tokio::join!(client.cancel(job.id(), None), serve);
    cancelled.unwrap();
    assert!(matches!(update(&mut job).await, JobUpdate::Error { .. }));
}

#[tokio::test]
async fn a_refused_cancel_does_not_end_the_job() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let serve = async {
        peer.expect("job.cancel").await;
        let error = json!({"final_status": "error", "code": "PERMISSION_DENIED", "message": "m", "retryable": false});
        peer.send_with("job.error", &json!({"job_id": "job_1"}), &error).await;
        peer.result("job_1", 1).await;
    };
    let (cancelled, ()) = tokio::join!(job.cancel(None), serve);
    assert_eq!(refusal(cancelled), "PERMISSION_DENIED");
    assert!(matches!(update(&mut job).await, JobUpdate::Result { .. }));
}

#[tokio::test]
async fn a_job_that_ends_for_want_of_a_permission_ends_although_a_cancel_is_waiting() {
    let (client, mut peer) = connected().await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    let serve = async {
        peer.expect("job.cancel").await;
        let error = json!({"final_status": "error", "code": "PERMISSION_DENIED", "message": "m", "retryable": false});
        peer.send_with("job.error", &json!({"job_id": "job_1", "event_seq": 1}), &error).await;
    };
    let (cancelled, ()) = tokio::join!(job.cancel(None), serve);
    cancelled.unwrap();
    assert!(matches!(update(&mut job).await, JobUpdate::Error { .. }));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_fails_its_call() {
    let (client, mut peer) = connected().await;
    let serve = async {
        peer.expect("job.submit").await;
        peer.send("job.accepted", &json!({"job_id": 5})).await;
    };
    let (submit, ()) = tokio::join!(client.submit(echo()), serve);
    let error = submit.unwrap_err();
    let CallError::Unreadable(source) = &error else { panic!("{error}") };
    assert_eq!(source.to_string(), "payload.job_id: expected a string, found a whole number");
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_fails_its_call() {
    let (client, mut peer) = connected().await;
    let serve = async {
        let list = peer.expect("session.list_jobs").await;
        peer.accepted(&list, "job_1").await;
    };
    let (list, ()) = tokio::join!(client.list_jobs(ListJobs::default()), serve);
    assert_eq!(refusal(list), "INTERNAL_ERROR");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_sent() {
    let (client, mut peer) = connected().await;
    let input = Json::of(&"x".repeat(1024 * 1024)).unwrap();
    let error = client.submit(Submit::new("echo".parse().unwrap(), input)).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    submitted(&client, &mut peer, "job_1").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_not_taken_for_the_next_ones() {
    let options = ConnectOptions { call_timeout: Duration::from_secs(5), ..rig::options() };
    let (client, mut peer, _rig) = Rig::connected(options).await;
    let error = soon("giving up", client.submit(echo())).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    let serve = async {
        peer.expect("job.submit").await;
        peer.expect("job.submit").await;
        peer.send("job.accepted", &json!({"job_id": "job_late"})).await;
        peer.send("job.accepted", &json!({"job_id": "job_next"})).await;
    };
    let (next, ()) = tokio::join!(client.submit(echo()), serve);
    assert_eq!(next.unwrap().id().as_str(), "job_next");
}

#[tokio::test]
async fn a_page_of_jobs_is_listed() {
    let (client, mut peer) = connect_with(|mut peer| async move {
        peer.expect("session.hello").await;
        peer.send("session.welcome", &welcome(None)).await;
        peer
    })
    .await;
    let client = client.unwrap();
    let serve = async {
        let list = peer.expect("session.list_jobs").await;
        assert_eq!(list["payload"], json!({"limit": 2}));
        let entry = json!({"job_id": "job_1", "agent": "echo@1", "status": "running"});
        peer.send("session.jobs", &json!({"request_id": list["id"], "jobs": [entry], "next_cursor": "c"})).await;
    };
    let (page, ()) = tokio::join!(client.list_jobs(ListJobs { limit: Some(2), ..ListJobs::default() }), serve);
    let page = page.unwrap();
    assert_eq!((page.jobs[0].job_id.as_str(), page.next_cursor.as_deref()), ("job_1", Some("c")));
}

/// A client of a runtime that lists jobs.
async fn listing() -> (Client, Peer) {
    let (client, peer) = connect_with(|mut peer| async move {
        peer.expect("session.hello").await;
        peer.send("session.welcome", &welcome(None)).await;
        peer
    })
    .await;
    (client.unwrap(), peer)
}

#[tokio::test]
async fn pages_follow_one_another_until_the_runtime_names_no_further_one() {
    let (client, mut peer) = listing().await;
    let pages = [
        (json!({"limit": 1}), json!([{"job_id": "job_1", "agent": "a@1", "status": "running"}]), json!("c1")),
        (json!({"limit": 1, "cursor": "c1"}), json!([]), json!("c2")),
        (json!({"limit": 1, "cursor": "c2"}), json!([{"job_id": "job_2", "status": "success"}]), json!(null)),
    ];
    let serve = async {
        for (asked, jobs, next) in pages {
            let list = peer.expect("session.list_jobs").await;
            assert_eq!(list["payload"], asked);
            peer.send("session.jobs", &json!({"request_id": list["id"], "jobs": jobs, "next_cursor": next})).await;
        }
    };
    let read = async {
        let mut pages = client.job_pages(ListJobs { limit: Some(1), ..ListJobs::default() });
        let mut jobs = Vec::new();
        while let Some(page) = soon("a page", pages.next()).await {
            jobs.extend(page.unwrap().jobs.into_iter().map(|job| job.job_id.to_string()));
        }
        jobs
    };
    let (jobs, ()) = tokio::join!(read, serve);
    assert_eq!(jobs, ["job_1", "job_2"]);
}

#[tokio::test]
async fn a_runtime_whose_pages_go_round_in_a_circle_is_left_and_a_refused_page_is_asked_for_again() {
    let (client, mut peer) = listing().await;
    let serve = async {
        let list = peer.expect("session.list_jobs").await;
        let refused = json!({"code": "INTERNAL_ERROR", "message": "busy", "retryable": true, "request_id": list["id"]});
        peer.send("session.error", &refused).await;
        for _ in 0..2 {
            let list = peer.expect("session.list_jobs").await;
            peer.send("session.jobs", &json!({"request_id": list["id"], "jobs": [], "next_cursor": "c"})).await;
        }
    };
    let read = async {
        let mut pages = client.job_pages(ListJobs::default());
        let mut answers = Vec::new();
        while let Some(page) = soon("a page", pages.next()).await {
            answers.push(page.is_ok());
        }
        answers
    };
    let (answers, ()) = tokio::join!(read, serve);
    assert_eq!(answers, [false, true, true]);
}
