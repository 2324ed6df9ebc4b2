//! Gateway sessions over the simulated back end: real jobs, workers inside the process, and a journal in memory.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::backend::{
    Bench, FRESH, ada, backend_options, done, item, state, stream, value, wait_until, within, write,
};
use common::principal;
use moorline_backend::contract::{Command, Done, ServerHandle};
use moorline_backend::simulated::NAME;
use moorline_core::backend_session::{
    CloseReason, OverflowPolicy, Refused, Retention, SessionOptions, State, SubscriberKind,
};
use moorline_runtime::backend_sessions::{
    BackendOptions, OpenRequest, SessionError, SessionHandle, StreamItem, SubscribeFrom,
};
use moorline_types::{Json, Millis, Principal, Scope, Scopes, Timestamp, WorkerSeq};

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_used_watched_and_closed() {
    let bench = Bench::start(backend_options()).await;
    let request = OpenRequest { client_session_name: "line 1".into(), ..OpenRequest::default() };
    let session = bench.open_as(&ada(), request).await;
    let summary = session.summary();
    assert_eq!((summary.state, &*summary.client_session_name, &*summary.backend), (State::Ready, "line 1", NAME));
    let at = item(&session, "Set").await;
    let mut events = stream(&session, FRESH);
    done(&session, write(at, 7)).await;
    assert_eq!(value(&mut events).await.0, 7);
    assert_eq!(within(session.close()).await.unwrap(), (State::Closed(CloseReason::ClientClose), false));
    while within(events.next()).await.unwrap().is_some() {}
    let gone = bench.sessions.get(&ada(), &summary.id.to_string()).unwrap_err();
    assert!(matches!(gone, SessionError::NotFound { .. }), "{gone}");
    assert_eq!(bench.gateway.open_jobs(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_opened_is_refused_and_leaves_nothing() {
    let bench = Bench::start(BackendOptions { max_sessions: 1, ..backend_options() }).await;
    let options = |text: &str| Some(Json::parse(text).unwrap());
    for (request, expected) in [
        (OpenRequest { backend: Some("opcua".into()), ..OpenRequest::default() }, "there are: simulated"),
        (OpenRequest { tag: Some("team".parse().unwrap()), ..OpenRequest::default() }, "none of this identity's"),
        (OpenRequest { client_session_name: "a\nb".into(), ..OpenRequest::default() }, "printable"),
        (OpenRequest { options: options("[]"), ..OpenRequest::default() }, "must be an object"),
        (OpenRequest { options: options(r#"{"tick":1}"#), ..OpenRequest::default() }, "tick"),
        (OpenRequest { command_timeout: Some(Millis::ZERO), ..OpenRequest::default() }, "command_timeout"),
    ] {
        let error = within(bench.sessions.open(&ada(), request)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let watcher = principal("eve", Scope::Observe.into());
    let denied = within(bench.sessions.open(&watcher, OpenRequest::default())).await.unwrap_err();
    assert!(matches!(denied, SessionError::Denied { needs: Scope::Submit }), "{denied}");
    bench.open().await;
    assert_eq!(bench.sessions.list(&ada()).len(), 1, "the places of those that failed are free");
}

#[tokio::test(start_paused = true)]
async fn a_write_may_be_waited_for_and_whoever_asks_again_is_told_how_it_went() {
    let bench = Bench::start(backend_options()).await;
    let session = bench.open().await;
    let at = item(&session, "Set").await;
    let first = within(session.complete(Some("w"), None, write(at, 7))).await.unwrap();
    assert!(first.result.success && !first.repeated, "{first:?}");
    let [ended] = &first.completions[..] else { panic!("{first:?}") };
    assert!(ended.at == Some(at) && ended.statuses[0].success && ended.worker_seq > first.worker_seq, "{first:?}");
    let again = within(session.complete(Some("w"), None, write(at, 7))).await.unwrap();
    assert_eq!((again.repeated, &again.completions), (true, &first.completions));
    let suspended = within(session.complete(None, None, Command::Suspend(at))).await.unwrap();
    assert_eq!(suspended.completions.len(), 1);
    let begins_nothing = within(session.complete(None, None, Command::SessionState)).await.unwrap();
    assert_eq!(begins_nothing.completions, []);
    let hasty = within(session.invoke(None, None, write(at, 8))).await.unwrap();
    assert_eq!(hasty.completions, [], "nobody waits who has not said so");
    let nowhere = item(&session, "Nowhere").await;
    let commands = vec![write(at, 9), write(nowhere, 9), Command::SessionState];
    let several = within(session.complete(None, None, Command::Bulk { commands })).await.unwrap();
    let ended: Vec<_> = several.completions.iter().map(|ended| (ended.at, ended.statuses[0].success)).collect();
    assert_eq!(ended, [(Some(at), true), (Some(nowhere), false)]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_too_long_can_be_waited_for_again() {
    let bench = Bench::start(backend_options()).await;
    let options = r#"{"tick_ms":31536000000,"slow_write_ms":60000,"tags":{"Set":{"wave":"memory","value":0}}}"#;
    let request = OpenRequest { options: Some(Json::parse(options).unwrap()), ..OpenRequest::default() };
    let session = within(bench.sessions.open(&ada(), request)).await.unwrap();
    let at = item(&session, "Set").await;
    let brief = Some(Millis::from_secs(1));
    let late = within(session.complete(Some("w"), brief, write(at, 7))).await.unwrap_err();
    assert!(matches!(late, SessionError::CommandTimeout { .. }), "{late}");
    assert_eq!(session.summary().pending_commands, 0);
    let patient = Some(Millis::from_secs(120));
    let again = within(session.complete(Some("w"), patient, write(at, 7))).await.unwrap();
    assert!(again.repeated && again.completions.len() == 1, "{again:?}");
    let waiting = session.complete(Some("v"), patient, write(at, 8));
    let (ended, closed) = tokio::join!(within(waiting), within(session.close()));
    assert!(matches!(ended, Err(SessionError::SessionOver { .. })), "{ended:?}");
    closed.unwrap();
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_sessions_as_may_be_and_a_closed_one_makes_room() {
    let bench = Bench::start(BackendOptions { max_sessions: 1, ..backend_options() }).await;
    let session = bench.open().await;
    let refused = within(bench.sessions.open(&ada(), OpenRequest::default())).await.unwrap_err();
    assert!(matches!(refused, SessionError::SessionLimit { limit: 1 }), "{refused}");
    within(session.close()).await.unwrap();
    bench.open().await;
}

/// Somebody of the team.
fn tagged(name: &str, scopes: Scopes) -> Principal {
    let mut principal = principal(name, scopes);
    principal.grants.tags = ["team".parse().unwrap()].into();
    principal
}

#[tokio::test(start_paused = true)]
async fn a_session_is_its_owners_and_seen_by_its_tag() {
    let bench = Bench::start(backend_options()).await;
    let tag = Some("team".parse().unwrap());
    let marked = bench.open_as(&tagged("ada", Scopes::JOBS), OpenRequest { tag, ..OpenRequest::default() }).await;
    let untagged = bench.open_as(&tagged("ada", Scopes::JOBS), OpenRequest::default()).await;
    for (who, sees_marked, sees_untagged, controls) in [
        (principal("ada", Scopes::JOBS), true, true, true),
        (tagged("bob", Scopes::JOBS), true, false, false),
        (principal("eve", Scopes::JOBS), false, false, false),
        (principal("root", Scopes::ADMIN), true, true, true),
    ] {
        let id = |session: &SessionHandle| session.summary().id.to_string();
        let sees = |session: &SessionHandle| bench.sessions.get(&who, &id(session)).is_ok();
        assert_eq!((sees(&marked), sees(&untagged)), (sees_marked, sees_untagged), "{who:?}");
        let control = bench.sessions.control(&who, &id(&marked));
        assert_eq!(control.is_ok(), controls, "{who:?}");
        let expected = usize::from(sees_marked) + usize::from(sees_untagged);
        assert_eq!(bench.sessions.list(&who).len(), expected, "{who:?}");
        match control {
            Ok(_) => {}
            Err(SessionError::Denied { needs }) => assert!(sees_marked && needs == Scope::ControlAll),
            Err(error) => assert!(matches!(error, SessionError::NotFound { .. }) && !sees_marked, "{error}"),
        }
    }
}

/// Every set of scopes and every relation, against what is promised.
#[tokio::test(start_paused = true)]
async fn whoever_may_look_at_a_session_need_not_be_allowed_to_use_it() {
    let bench = Bench::start(backend_options()).await;
    let tag = Some("team".parse().unwrap());
    let session = bench.open_as(&tagged("ada", Scopes::JOBS), OpenRequest { tag, ..OpenRequest::default() }).await;
    let id = session.summary().id.to_string();
    for bits in 0..1_u32 << Scope::ALL.len() {
        let scopes: Scopes =
            Scope::ALL.into_iter().zip(0..).filter(|(_, bit)| bits & 1 << bit != 0).map(|(scope, _)| scope).collect();
        let has = |one_of: &[Scope]| one_of.iter().any(|scope| scopes.contains(*scope));
        let (observe, cancel) = (&[Scope::Observe, Scope::ObserveAll][..], &[Scope::Cancel, Scope::ControlAll][..]);
        for (who, looks, uses, is_owner) in [
            (principal("ada", scopes), observe, cancel, true),
            (tagged("tom", scopes), observe, &[Scope::ControlAll][..], false),
            (principal("eve", scopes), &[Scope::ObserveAll][..], &[Scope::ControlAll][..], false),
        ] {
            for (found, one_of) in [(bench.sessions.get(&who, &id), looks), (bench.sessions.control(&who, &id), uses)] {
                let case = format!("{} with {scopes:?}, of which one of {one_of:?} is needed", who.id);
                match found {
                    Ok(_) => assert!(has(one_of), "{case}"),
                    Err(SessionError::Denied { needs }) => {
                        assert!(!has(one_of) && needs == one_of[0] && (is_owner || has(looks) || has(uses)), "{case}");
                    }
                    Err(SessionError::NotFound { .. }) => {
                        assert!(!is_owner && !has(looks) && !has(uses), "{case}");
                    }
                    Err(other) => panic!("{case}: {other}"),
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_repeated_is_carried_out_once() {
    let bench = Bench::start(backend_options()).await;
    let session = bench.open().await;
    let register = || Command::Register { client: "test".into() };
    let both = tokio::join!(session.invoke(Some("r1"), None, register()), session.invoke(Some("r1"), None, register()));
    let (first, second) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(first.result.done, Done::Server(ServerHandle(1)));
    assert_eq!(second.result.done, first.result.done);
    let later = session.invoke(Some("r1"), None, register()).await.unwrap();
    assert!(later.repeated && later.result.done == first.result.done && later.worker_seq > first.worker_seq);
    for id in ["", "a\nb", &"x".repeat(200)] {
        let refused = session.invoke(Some(id), None, register()).await.unwrap_err();
        assert!(matches!(refused, SessionError::Invalid { .. }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_comes_back_gets_exactly_the_rest_or_a_gap() {
    let retention = Retention { events: 4, age: Millis::ZERO, bytes: usize::MAX };
    let bench = Bench::start(BackendOptions { retention, ..backend_options() }).await;
    let session = bench.open().await;
    let at = item(&session, "Set").await;
    let mut events = stream(&session, FRESH);
    let mut seqs = Vec::new();
    for number in 1..=2 {
        done(&session, write(at, number)).await;
        seqs.push(value(&mut events).await.1);
    }
    drop(events);
    let from = |after| SubscribeFrom { after, epoch: Some(bench.sessions.epoch()) };
    let mut again = stream(&session, from(seqs[0]));
    assert_eq!(value(&mut again).await, (2, seqs[1]), "what it had not seen, under its number");
    for number in 3..=5 {
        done(&session, write(at, number)).await;
        assert_eq!(value(&mut again).await.0, number);
    }
    let mut late = stream(&session, from(seqs[0]));
    let Some(StreamItem::Gap { gap, is_other_journal: false, .. }) = within(late.next()).await.unwrap() else {
        panic!()
    };
    assert_eq!(gap.requested_after, seqs[0]);
    assert!(value(&mut late).await.1 >= gap.oldest_available);
    let before = WorkerSeq::new(gap.oldest_available.get() - 1);
    let first = within(stream(&session, from(before)).next()).await.unwrap();
    assert!(matches!(first, Some(StreamItem::Event(_))), "from there on there is no gap: {first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_number_of_another_journal_is_a_gap() {
    let bench = Bench::start(backend_options()).await;
    let session = bench.open().await;
    let other = Some(moorline_types::Epoch::mint(Timestamp::from_unix_millis(5), [1; 10]));
    let mut events = stream(&session, SubscribeFrom { after: WorkerSeq::new(3), epoch: other });
    let first = within(events.next()).await.unwrap();
    assert!(matches!(first, Some(StreamItem::Gap { is_other_journal: true, .. })), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn constraints_decide_item_by_item() {
    let bench = Bench::start(backend_options()).await;
    let owner = bench.open().await;
    let mut reader = ada();
    reader.grants.constraints =
        serde_json::from_str(r#"{"lease":{"x-vendor.moorline.item-read":["set"],"x-vendor.moorline.item-write":[]}}"#)
            .unwrap();
    let (set, other) = (item(&owner, "Set").await, item(&owner, "Other").await);
    let session = bench.sessions.control(&reader, &owner.summary().id.to_string()).unwrap();
    let denied = session.invoke(None, None, write(set, 1)).await.unwrap_err();
    assert!(matches!(&denied, SessionError::ItemDenied { what: "write", item } if item == "Set"), "{denied}");
    let read = Command::Read { items: vec!["Other".into(), "Set".into()] };
    let invoked = within(session.invoke(None, None, read)).await.unwrap();
    let Done::Readings(readings) = invoked.result.done else { panic!() };
    let each: Vec<_> = readings.iter().map(|reading| (&*reading.item, reading.success)).collect();
    assert_eq!(each, [("Other", false), ("Set", true)]);
    let bulk = Command::Bulk { commands: vec![write(set, 1), Command::WorkerInfo] };
    let Done::Results(results) = within(session.invoke(None, None, bulk)).await.unwrap().result.done else { panic!() };
    assert_eq!(results.iter().map(|result| result.success).collect::<Vec<_>>(), [false, true]);
    let mut events = stream(&session, FRESH);
    for (at, number) in [(other, 1), (set, 2)] {
        done(&owner, write(at, number)).await;
    }
    assert_eq!(value(&mut events).await.0, 2, "what it may not read it is not told");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_needs_is_closed() {
    let bench = Bench::start(backend_options()).await;
    let (left, idle) = (bench.open().await, bench.open().await);
    drop(stream(&left, FRESH));
    let closed = |state: &State| matches!(state, State::Closed(_));
    assert_eq!(state(&left, closed).await, State::Closed(CloseReason::DetachGraceExpired));
    assert_eq!(idle.summary().state, State::Ready);
    assert_eq!(state(&idle, closed).await, State::Closed(CloseReason::LeaseExpired));
    assert_eq!((bench.sessions.list(&ada()).len(), bench.gateway.open_jobs()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_ends_its_session_and_no_other() {
    let bench = Bench::start(backend_options()).await;
    let (killed, other) = (bench.open().await, bench.open().await);
    let refused = killed.kill("  ").await.unwrap_err();
    assert!(matches!(refused, SessionError::Invalid { .. }), "{refused}");
    let ends = tokio::join!(killed.kill("stuck"), killed.close());
    assert_eq!(ends.0.unwrap(), State::Closed(CloseReason::Killed));
    assert!(ends.1.unwrap().1, "the close came second");
    done(&other, Command::WorkerInfo).await;
}

#[tokio::test(start_paused = true)]
async fn a_back_end_that_fails_is_a_fault_that_stays_until_it_is_closed() {
    let bench = Bench::start(BackendOptions { max_sessions: 1, ..backend_options() }).await;
    let options = r#"{"tick_ms":31536000000,"faults":[{"after_ms":200,"kind":"failure"}]}"#;
    let request = OpenRequest { options: Some(Json::parse(options).unwrap()), ..OpenRequest::default() };
    let session = within(bench.sessions.open(&ada(), request)).await.unwrap();
    let mut events = stream(&session, FRESH);
    let error = within(events.next()).await.unwrap_err();
    assert!(matches!(error, SessionError::Refused(Refused::Faulted { .. })), "{error}");
    assert!(matches!(session.summary().state, State::Faulted(_)));
    let refused = session.invoke(None, None, Command::WorkerInfo).await.unwrap_err();
    assert!(matches!(refused, SessionError::Refused(Refused::Faulted { .. })), "{refused}");
    within(session.close()).await.unwrap();
    bench.open().await;
}

#[tokio::test(start_paused = true)]
async fn a_close_that_takes_too_long_is_a_failure_and_frees_the_place() {
    let bench = Bench::start(BackendOptions { max_sessions: 1, ..backend_options() }).await;
    let options = r#"{"tick_ms":31536000000,"slow_close_ms":31536000000}"#;
    let request = OpenRequest { options: Some(Json::parse(options).unwrap()), ..OpenRequest::default() };
    let session = within(bench.sessions.open(&ada(), request)).await.unwrap();
    let refused = within(session.close()).await.unwrap_err();
    assert!(matches!(refused, SessionError::CloseFailed { after } if after == Millis::from_secs(10)), "{refused}");
    let gone = bench.sessions.get(&ada(), &session.summary().id.to_string()).unwrap_err();
    assert!(matches!(gone, SessionError::NotFound { .. }), "{gone}");
    assert_eq!(
        state(&session, |state| matches!(state, State::Closed(_))).await,
        State::Closed(CloseReason::ClientClose)
    );
    bench.open().await;
    assert_eq!(bench.gateway.open_jobs(), 1, "its worker was killed, which ended its job");
}

/// What has failed is seen by whoever looks later, whichever gateway runs then.
#[tokio::test(start_paused = true)]
async fn a_fault_is_seen_by_the_next_gateway_until_it_is_closed() {
    let mut options = backend_options();
    options.session = SessionOptions {
        overflow: OverflowPolicy::FailFast,
        multiple_subscribers: false,
        queue_capacity: 3,
        ..options.session
    };
    let bench = Bench::start(options.clone()).await;
    let failing = r#"{"tick_ms":31536000000,"faults":[{"after_ms":200,"kind":"failure"}]}"#;
    let request = OpenRequest { options: Some(Json::parse(failing).unwrap()), ..OpenRequest::default() };
    let failed = within(bench.sessions.open(&ada(), request)).await.unwrap();
    let overrun = bench.open().await;
    let at = item(&overrun, "Set").await;
    let slow = stream(&overrun, FRESH);
    for number in 1..=8 {
        // The last of them come when the session is over already.
        within(overrun.invoke(None, None, write(at, number))).await.map(drop).unwrap_or_default();
    }
    drop(slow);
    let is_faulted = |state: &State| matches!(state, State::Faulted(_));
    let mut faults = Vec::new();
    for session in [&failed, &overrun] {
        faults.push((session.summary().id.to_string(), state(session, is_faulted).await));
    }
    // Its job has ended in the meantime, which makes no other end of it.
    wait_until(|| bench.gateway.open_jobs() == 0).await;
    assert!(is_faulted(&overrun.summary().state), "{:?}", overrun.summary().state);

    let bench = bench.restart(options.clone()).await;
    for (id, fault) in &faults {
        let session = bench.sessions.control(&ada(), id).unwrap();
        assert_eq!(state(&session, is_faulted).await, *fault, "{id}");
        assert!(session.summary().adopted);
    }
    let full = within(bench.sessions.open(&ada(), OpenRequest::default())).await.unwrap_err();
    assert!(matches!(full, SessionError::SessionLimit { .. }), "they have their places: {full}");
    within(bench.sessions.control(&ada(), &faults[0].0).unwrap().close()).await.unwrap();

    let bench = bench.restart(options).await;
    assert!(bench.sessions.get(&ada(), &faults[0].0).is_err(), "what was closed is gone");
    assert!(bench.sessions.get(&ada(), &faults[1].0).is_ok());
    wait_until(|| bench.sessions.list(&ada()).is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_keep_up_is_disconnected() {
    let mut options = backend_options();
    options.session =
        SessionOptions { overflow: OverflowPolicy::DisconnectSubscriber, queue_capacity: 3, ..options.session };
    let bench = Bench::start(options).await;
    let session = bench.open().await;
    let at = item(&session, "Set").await;
    let (mut slow, mut healthy) = (stream(&session, FRESH), stream(&session, FRESH));
    for number in 1..=20 {
        done(&session, write(at, number)).await;
        assert_eq!(value(&mut healthy).await.0, number);
    }
    let end = within(async {
        loop {
            match slow.next().await {
                Ok(item) => assert!(item.is_some()),
                Err(error) => return error,
            }
        }
    })
    .await;
    assert!(matches!(end, SessionError::Overflow { capacity: 3, .. }), "{end}");
    assert_eq!((session.summary().state, session.summary().subscribers), (State::Ready, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_only_looks_on_sees_everything_and_changes_nothing() {
    let mut options = backend_options();
    let (overflow, queue_capacity) = (OverflowPolicy::FailFast, 3);
    options.session = SessionOptions { overflow, queue_capacity, multiple_subscribers: false, ..options.session };
    let bench = Bench::start(options).await;
    let session = bench.open().await;
    let at = item(&session, "Set").await;
    let mut onlooker = session.subscribe(SubscriberKind::Internal, FRESH).unwrap();
    done(&session, write(at, 1)).await;
    assert_eq!((value(&mut onlooker).await.0, session.summary().subscribers), (1, 0), "nobody else is there");
    let left_behind = session.subscribe(SubscriberKind::Internal, FRESH).unwrap();
    let mut subscriber = stream(&session, FRESH);
    assert_eq!(session.summary().subscribers, 1, "its place was not taken");
    for number in 2..=20 {
        done(&session, write(at, number)).await;
        assert_eq!((value(&mut onlooker).await.0, value(&mut subscriber).await.0), (number, number));
    }
    drop(left_behind);
    assert_eq!(session.summary().state, State::Ready, "an onlooker that does not keep up is its own loss");
    drop(subscriber);
    let closed = state(&session, |state| matches!(state, State::Closed(_))).await;
    assert_eq!(closed, State::Closed(CloseReason::DetachGraceExpired), "an onlooker keeps no session");
    while within(onlooker.next()).await.unwrap().is_some() {}
}

/// On several threads: whenever a stream begins while an event is on its way, behind the one before, it is told of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_begins_while_an_event_comes_is_told_of_it() {
    const EVENTS: i64 = 50;
    const AT_ONCE: usize = 1_000;
    let mut options = backend_options();
    options.session.max_subscribers = AT_ONCE + 1;
    let bench = Bench::start(options).await;
    let session = bench.open().await;
    let mut from_the_start = stream(&session, FRESH);
    let at = item(&session, "Set").await;
    for event in 1..=EVENTS {
        let (before, number) = value(&mut from_the_start).await;
        assert_eq!(before, event - 1);
        wait_until(|| session.summary().last_worker_seq >= number).await;
        let after = session.summary().last_worker_seq;
        let is_written = Arc::new(AtomicBool::new(false));
        let writing = async {
            within(session.complete(None, None, write(at, event))).await.unwrap();
            is_written.store(true, Ordering::Relaxed);
        };
        let (watched, is_over) = (session.clone(), Arc::clone(&is_written));
        let beginning = tokio::task::spawn_blocking(move || {
            let begin = || stream(&watched, SubscribeFrom { after, epoch: None });
            let mut streams = vec![begin()];
            while streams.len() < AT_ONCE && !is_over.load(Ordering::Relaxed) {
                streams.push(begin());
            }
            streams
        });
        let ((), begun) = tokio::join!(writing, within(beginning));
        for (n, mut stream) in begun.unwrap().into_iter().enumerate() {
            let told = tokio::time::timeout(Duration::from_secs(30), value(&mut stream)).await;
            let told = told.unwrap_or_else(|_| panic!("{event} is missing in stream {n} of those behind {after}"));
            assert_eq!(told.0, event, "in stream {n} of those behind {after}");
        }
    }
}
