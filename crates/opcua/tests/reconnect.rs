//! What a lost connection and a lost server do to what is told.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::time::Duration;

use moorline_backend::contract::{
    Command, Done, Event, EventBody, LinkState, StatusCategory, SubscriptionState, Value,
};
use moorline_opcua_testkit::{Cut, Limits, Options, Proxy, Security, TestServer, tags};
use support::{AS_OPERATOR, PATIENCE, Session};

/// Counts that are followed on each side of a cut.
const COUNTS: i64 = 50;

/// How long the server keeps a session of which it hears nothing, where it is to end: longer than a busy machine stands
/// still.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Counts after a cut by which the client has connected again: a minute's, which is longer than it may take.
const MAX_COUNTS: i64 = 3_000;

async fn counting(options: Options) -> (TestServer, Proxy, Session) {
    counting_at(options, "").await
}

/// The same, with this in what the endpoint says.
async fn counting_at(options: Options, endpoint: &str) -> (TestServer, Proxy, Session) {
    let server = TestServer::start(options).await.unwrap();
    let proxy = Proxy::to(server.address()).await.unwrap();
    let url = format!("opc.tcp://{}/", proxy.address());
    let rates = "sampling_interval_ms = 0\nqueue_size = 10000\nkeep_alive_count = 10\nlifetime_count = 2000";
    let endpoint = format!("{rates}\n{endpoint}");
    let mut session = match options.security {
        Security::None => Session::open(&url, &endpoint).await,
        Security::Trusting | Security::Strict => Session::open_secured(&url, &endpoint).await,
    };
    session.set(tags::COUNTING, Value::Bool(true)).await;
    (server, proxy, session)
}

#[tokio::test]
async fn no_value_is_lost_and_none_comes_twice_whatever_becomes_of_the_connection() {
    let (_server, proxy, mut session) = counting(Options::default()).await;
    let at = session.advised(tags::COUNTER).await;
    let (first, _) = session.sample(at).await;
    let Value::Integer(mut last) = first.value else { panic!() };
    for cut in Cut::ALL {
        let opened = proxy.opened();
        proxy.cut(cut);
        // not a wait: it is how long the network is cut.
        tokio::time::sleep(Duration::from_millis(800)).await;
        proxy.heal();
        // What was told before the cut may have been waiting for us: there is to be another connection before the next cut.
        let mut counts = 0;
        while counts < COUNTS || proxy.opened() == opened {
            let event = session.until("a count", |event| event.at == Some(at) || is_gap(event)).await;
            let EventBody::DataChange(sample) = event.said else { panic!("{cut:?}: {event:?}") };
            assert_eq!(sample.value, Value::Integer(last + 1), "{cut:?}");
            (last, counts) = (last + 1, counts + 1);
            assert!(counts < MAX_COUNTS, "{cut:?} has cut nothing");
        }
    }
}

fn is_gap(event: &Event) -> bool {
    matches!(event.said, EventBody::BackendGap { .. })
}

#[tokio::test]
async fn a_server_that_was_started_again_is_a_gap_and_everything_is_made_anew() {
    let (mut server, _proxy, mut session) = counting(Options::default()).await;
    let at = session.advised("Int32").await;
    session.sample(at).await;
    session.done(Command::SubscribeAlarms { area: String::new() }).await;
    session.until("the first snapshot", |event| event.said == EventBody::AlarmSnapshotComplete).await;
    let written = session.write(Session::write_of(at, Value::Integer(1))).await;
    assert!(written.success);
    session.value(at, &Value::Integer(1)).await;
    server.start_again().await.unwrap();
    session.gap().await;
    session.value(at, &Value::Integer(-32)).await;
    session.until("the alarms anew", |event| event.said == EventBody::AlarmSnapshotComplete).await;
    let status = session.write(Session::write_of(at, Value::Integer(2))).await;
    assert!(status.success, "{status:?}");
    session.value(at, &Value::Integer(2)).await;
}

/// Cuts a client off for longer than the server keeps its session, and follows the counts after that. How many gaps were
/// told; a count that is missing without one is a failure.
async fn followed_into_another_session(security: Security, endpoint: &str) -> usize {
    let options = Options { session_timeout: SESSION_TIMEOUT, security, ..Options::default() };
    let (server, proxy, mut session) = counting_at(options, endpoint).await;
    let at = session.advised(tags::COUNTER).await;
    let (first, _) = session.sample(at).await;
    let Value::Integer(mut last) = first.value else { panic!() };
    let before = server.expired_sessions();
    proxy.cut(Cut::HalfOpen);
    let expired = async {
        // Both are to end: the client session's, and the gateway's own.
        while server.expired_sessions() < before + 2 {
            // not a wait: it is a pause between two looks.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, expired).await.expect("the server keeps the sessions");
    proxy.heal();
    let (mut counts, mut gaps, mut may_skip) = (0, 0, false);
    while counts < 3 * COUNTS {
        let event = session.until("a count", |event| event.at == Some(at) || is_gap(event)).await;
        let EventBody::DataChange(sample) = event.said else {
            (gaps, may_skip) = (gaps + 1, true);
            continue;
        };
        let Value::Integer(count) = sample.value else { panic!() };
        assert!(count == last + 1 || (may_skip && count > last), "{count} came after {last} without a word");
        (last, may_skip, counts) = (count, false, counts + 1);
    }
    let Done::Session(state) = session.done(Command::SessionState).await else { panic!() };
    let LinkState { name, subscriptions, gaps: told, problem } = state.servers[0].link.clone().unwrap();
    let [SubscriptionState { items: 1, last_sequence: 1.., .. }] = &subscriptions[..] else {
        panic!("{subscriptions:?}")
    };
    assert_eq!((name.is_empty(), told, &*problem), (false, gaps as u64, ""), "the state says the same");
    gaps
}

#[tokio::test]
async fn a_server_that_makes_something_else_of_an_item_after_it_was_started_again_is_told() {
    let (mut server, _proxy, mut session) = counting(Options::default()).await;
    let at = session.item_of(&tags::item("Int32"), false).await;
    let first = session.revision(at).await;
    let limits = Limits { queue_size: 7, sampling_interval: Duration::from_millis(70), ..Limits::default() };
    server.start_again_with(Options { limits, ..Options::default() }).await.unwrap();
    let is_it = |event: &Event| event.at == Some(at) && matches!(event.said, EventBody::ItemRevised(_));
    let EventBody::ItemRevised(told) = session.until("what it makes of it now", is_it).await.said else { panic!() };
    assert_eq!((told.requested, told.revised.publishing), (first.requested, first.revised.publishing));
    assert_eq!((told.revised.sampling, told.revised.queue_size), (Some(Duration::from_millis(70)), Some(7)));
    let Done::Session(state) = session.done(Command::SessionState).await else { panic!() };
    assert!(state.servers[0].items.iter().any(|item| item.revision == Some(told)), "{state:?}");
}

#[tokio::test]
async fn a_subscription_that_the_server_transfers_to_the_next_session_loses_nothing_and_doubles_nothing() {
    // A server does it for the same user.
    assert_eq!(followed_into_another_session(Security::None, AS_OPERATOR).await, 0);
}

#[tokio::test]
async fn in_an_encrypted_session_a_subscription_is_transferred_for_nobody_too_and_nothing_is_lost() {
    // Whose it is is said by the certificate, which signs.
    assert_eq!(followed_into_another_session(Security::Trusting, "").await, 0);
    assert_eq!(followed_into_another_session(Security::Trusting, AS_OPERATOR).await, 0);
}

#[tokio::test]
async fn a_subscription_that_the_server_does_not_transfer_is_made_anew_and_the_gap_is_told_once() {
    // It does not do it for nobody, without a signature.
    assert_eq!(followed_into_another_session(Security::None, "").await, 1);
}

#[tokio::test]
async fn a_read_waits_for_the_connection_and_is_refused_only_when_its_time_is_over() {
    let (_server, proxy, mut session) = counting_at(Options::default(), "request_timeout_ms = 30000").await;
    for cut in Cut::ALL {
        proxy.cut(cut);
        let heals = async {
            // not a wait: it is how long the network is cut.
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.heal();
        };
        let item = tags::item("Int32");
        let (reading, ()) = tokio::join!(session.read(&item), heals);
        assert_eq!(
            reading.sample.map(|sample| sample.value),
            Some(Value::Integer(-32)),
            "{cut:?}: {}",
            reading.message
        );
    }
    // One that is asked after the connection is back finds it, however long the client would have slept.
    for _ in 0..5 {
        proxy.cut(Cut::Reset);
        proxy.heal();
        assert!(session.read(&tags::item("Int32")).await.success);
    }
}

#[tokio::test]
async fn without_a_connection_commands_are_answered_and_what_was_wanted_is_done_later() {
    let (_server, proxy, mut session) = counting_at(Options::default(), "request_timeout_ms = 2000").await;
    let at = session.advised("Int32").await;
    session.sample(at).await;
    proxy.cut(Cut::Reset);
    let read = Command::Read { items: vec![tags::item("Int32")] };
    let refused = session.invoke(read.clone()).await;
    assert_eq!(refused.statuses[0].category, StatusCategory::CommunicationError, "{refused:?}");
    let status = session.write(Session::write_of(at, Value::Integer(1))).await;
    assert_eq!((status.success, status.category), (false, StatusCategory::CommunicationError));
    let later = session.item_of(&tags::item("Double"), false).await;
    let advised = session.done(Command::Advise { at: later, supervisory: false }).await;
    assert_eq!(advised, Done::Nothing, "what becomes of it is not known");
    assert!(session.invoke_as("pause", Command::Suspend(at)).await.success);
    proxy.heal();
    let is_it = |event: &Event| event.at == Some(later) && matches!(event.said, EventBody::ItemRevised(_));
    session.until("how it is told", is_it).await;
    assert_eq!(session.sample(later).await.0.value, Value::Double(0.25));
    assert!(session.complete("pause").await.success);
    let Done::Readings(readings) = session.done(read).await else { panic!() };
    let value = readings[0].sample.as_ref().map(|sample| &sample.value);
    assert_eq!(value, Some(&Value::Integer(-32)), "the write that was refused is not made later");
}

#[tokio::test]
async fn a_client_that_does_not_keep_up_slows_the_server_down_and_loses_nothing() {
    let options = Options { count_every: Duration::from_millis(2), ..Options::default() };
    let (_server, _proxy, mut session) = counting(options).await;
    let at = session.advised(tags::COUNTER).await;
    let (first, _) = session.sample(at).await;
    let Value::Integer(first) = first.value else { panic!() };
    // not a wait: it is how long nobody takes anything, longer than there is room for on our side.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for count in 1..3_000 {
        let event = session.until("a count", |event| event.at == Some(at) || is_gap(event)).await;
        let EventBody::DataChange(sample) = event.said else { panic!("{event:?}") };
        assert_eq!(sample.value, Value::Integer(first + count));
    }
}
