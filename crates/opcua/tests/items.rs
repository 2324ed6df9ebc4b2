//! Items of a real server: what they are told to be, read and written.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::time::Duration;

use moorline_backend::contract::{
    Command, Done, Event, EventBody, ItemAt, ItemRates, Quality, Revision, StatusCategory, UserHandle, Value, Write,
};
use moorline_backend::{OpenError, Opener as _};
use moorline_opcua_testkit::{Limits, Options, TestServer, tags};
use moorline_types::Timestamp;
use support::{Session, back_end, open, plain};

async fn server() -> TestServer {
    TestServer::start(Options::default()).await.unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test]
async fn every_type_is_read_told_written_and_read_back() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    for (tag, first, written) in [
        ("Boolean", Value::Bool(true), Value::Bool(false)),
        ("SByte", Value::Integer(-8), Value::Integer(-9)),
        ("Byte", Value::Integer(8), Value::Integer(255)),
        ("Int16", Value::Integer(-16), Value::Integer(-17)),
        ("UInt16", Value::Integer(16), Value::Integer(65_535)),
        ("Int32", Value::Integer(-32), Value::Integer(33)),
        ("UInt32", Value::Integer(32), Value::Integer(4_294_967_295)),
        ("Int64", Value::Integer(-64), Value::Integer(i64::MIN)),
        ("UInt64", Value::Integer(64), text("18446744073709551615")),
        ("Float", Value::Double(0.5), Value::Double(1.5)),
        ("Double", Value::Double(0.25), Value::Integer(3)),
        ("String", text("text"), text("other")),
        ("ByteString", text("AQID"), text("BAUG")),
        ("LocalizedText", text("words"), text("others")),
    ] {
        let item = tags::item(tag);
        let reading = session.read(&item).await;
        assert_eq!((reading.item.as_str(), reading.success), (item.as_str(), true), "{reading:?}");
        assert_eq!(reading.sample.unwrap().value, first, "{tag}");
        let at = session.advised(tag).await;
        let (sample, status) = session.sample(at).await;
        assert_eq!((sample.value, sample.quality, status.success), (first, Quality::GOOD, true), "{tag}");
        let status = session.write(Session::write_of(at, written.clone())).await;
        assert!(status.success, "{tag}: {status:?}");
        // A whole number that is written to a double is one.
        let read_back = if tag == "Double" { Value::Double(3.0) } else { written };
        session.value(at, &read_back).await;
        assert_eq!(session.read(&item).await.sample.unwrap().value, read_back, "{tag}");
    }
    assert_eq!(session.read(&tags::item(tags::ARRAY)).await.sample.unwrap().value, text("[1,2,3]"));
    session.close().await;
}

#[tokio::test]
async fn a_value_has_the_servers_two_times() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let at = session.advised("Int32").await;
    let (told, _) = session.sample(at).await;
    let read = session.read(&tags::item("Int32")).await.sample.unwrap();
    for sample in [told, read] {
        assert!(sample.source.is_some() && sample.server >= sample.source, "{sample:?}");
        assert!(sample.received.is_some() && sample.at == sample.source.unwrap(), "{sample:?}");
    }
    session.close().await;
}

#[tokio::test]
async fn a_name_may_be_a_path_a_uri_or_unknown() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let folder = format!("/0:{}", tags::FOLDER);
    let path = format!("{folder}/{}:Int32", tags::NAMESPACE_INDEX);
    for name in [path.clone(), format!("nsu={};s=Int32", tags::NAMESPACE)] {
        assert_eq!(session.read(&name).await.sample.unwrap().value, Value::Integer(-32), "{name}");
        let at = session.item_of(&name, false).await;
        session.done(Command::Advise { at, supervisory: false }).await;
        assert_eq!(session.sample(at).await.0.value, Value::Integer(-32), "{name}");
    }
    let relative = Command::AddItem {
        server: session.server,
        item: format!("{}:Int32", tags::NAMESPACE_INDEX),
        context: folder.clone(),
        buffered: false,
    };
    assert!(matches!(session.done(relative).await, Done::Item { name, .. } if name == path));
    for name in [tags::item("Nowhere"), format!("{folder}/2:Nowhere"), "nsu=urn:nowhere;s=Int32".to_owned()] {
        let at = session.item_of(&name, false).await;
        session.done(Command::Advise { at, supervisory: false }).await;
        let (sample, status) = session.sample(at).await;
        assert_eq!((sample.value, status.success), (Value::Null, false), "{name}");
        assert_eq!((status.category, sample.quality), (StatusCategory::ConfigurationError, Quality::BAD_CONFIGURATION));
        assert!(sample.raw >= 0x8000_0000, "the server's own code is there");
        let reading = session.read(&name).await;
        assert!(!reading.success && reading.message.contains("Bad"), "{reading:?}");
    }
    let nameless =
        Command::AddItem { server: session.server, item: "Speed".to_owned(), context: String::new(), buffered: false };
    assert!(session.invoke(nameless).await.message.contains("ns=2;s="));
}

#[tokio::test]
async fn what_is_no_value_of_the_items_type_never_reaches_the_server() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    for (tag, value) in [
        ("Int32", text("7")),
        ("Byte", Value::Integer(256)),
        ("Boolean", Value::Integer(1)),
        ("String", Value::Null),
        (tags::ARRAY, Value::Integer(1)),
    ] {
        let before = session.read(&tags::item(tag)).await.sample.unwrap().value;
        let at = session.advised(tag).await;
        let status = session.write(Session::write_of(at, value)).await;
        assert_eq!((status.success, status.category), (false, StatusCategory::ConfigurationError), "{tag}");
        assert_eq!(session.read(&tags::item(tag)).await.sample.unwrap().value, before, "{tag}");
    }
    let at = session.item_of(&tags::item("Int32"), false).await;
    let early = session.invoke(Command::Write(Session::write_of(at, Value::Integer(1)))).await;
    assert!(!early.success && early.message.contains("advise"), "{early:?}");
}

#[tokio::test]
async fn writes_are_complete_when_the_server_says_so_and_in_order_for_each_item() {
    let options = Options { slow_write: Duration::from_millis(300), ..Options::default() };
    let server = TestServer::start(options).await.unwrap();
    let mut session = Session::open(&server.url(), "").await;
    let slow = session.advised(tags::SLOW).await;
    let quick = session.advised("Int32").await;
    for value in 1..=3 {
        let write = Command::Write(Session::write_of(slow, Value::Integer(value)));
        assert!(session.invoke_as(&format!("slow {value}"), write).await.success, "it is taken in at once");
    }
    assert!(session.write(Session::write_of(quick, Value::Integer(5))).await.success);
    let mut completed = Vec::new();
    while completed.len() < 3 {
        let event = session.next().await;
        if let EventBody::WriteComplete { command } = event.said {
            assert_eq!((event.at, event.statuses[0].success), (Some(slow), true));
            completed.push(command.to_string());
        }
    }
    assert_eq!(completed, ["slow 1", "slow 2", "slow 3"]);
    assert_eq!(session.read(&tags::item(tags::SLOW)).await.sample.unwrap().value, Value::Integer(3));
}

#[tokio::test]
async fn what_may_not_be_written_completes_with_the_servers_word() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let at = session.advised(tags::REFUSED).await;
    let status = session.write(Session::write_of(at, Value::Integer(1))).await;
    assert_eq!((status.success, status.category), (false, StatusCategory::SecurityError), "{status:?}");
    assert_ne!(status.detail, 0);
    let time = Some(Timestamp::from_unix_millis(1_700_000_000_000));
    let at = session.advised("Int32").await;
    let timed = session.write(Write { source_time: time, ..Session::write_of(at, Value::Integer(4)) }).await;
    // A server need not take a time, and one that takes it need not keep it.
    let is_refused = timed.category == StatusCategory::ConfigurationError;
    assert!(timed.success || is_refused, "{timed:?}");
}

#[tokio::test]
async fn a_secured_write_takes_two_users_and_is_the_first_ones() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "insecure_passwords = true").await;
    let wrong = session.authenticate(tags::USER, "another").await;
    assert_eq!((wrong.success, wrong.statuses[0].category), (false, StatusCategory::SecurityError), "{wrong:?}");
    let Done::User(user) = session.authenticate(tags::USER, tags::PASSWORD).await.done else { panic!() };
    let at = session.advised(tags::SECURED).await;
    let plain = session.write(Session::write_of(at, Value::Integer(1))).await;
    assert_eq!((plain.success, plain.category), (false, StatusCategory::SecurityError));
    let secured = |user: UserHandle, verifier| Write {
        user,
        verifier: Some(verifier),
        ..Session::write_of(at, Value::Integer(2))
    };
    assert!(session.write(secured(user, user)).await.success);
    for (user, verifier) in [(UserHandle(0), user), (user, UserHandle(9)), (UserHandle(9), user)] {
        let refused = session.invoke(Command::Write(secured(user, verifier))).await;
        assert_eq!((refused.success, refused.statuses[0].category), (false, StatusCategory::SecurityError));
    }
    assert_eq!(session.read(&tags::item(tags::SECURED)).await.sample.unwrap().value, Value::Integer(2));
    session.close().await;
}

#[tokio::test]
async fn a_password_is_not_sent_where_everybody_can_read_it() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let refused = session.authenticate(tags::USER, tags::PASSWORD).await;
    assert!(!refused.success && refused.message.contains("insecure_passwords"), "{refused:?}");
    assert!(!refused.message.contains(tags::PASSWORD));
}

#[tokio::test]
async fn a_paused_item_says_nothing_until_it_is_not() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let at = session.advised("Int32").await;
    session.value(at, &Value::Integer(-32)).await;
    for (id, command) in [("pause", Command::Suspend(at)), ("go on", Command::Activate(at))] {
        assert!(session.invoke_as(id, command).await.success);
        assert!(session.complete(id).await.success, "{id}");
        if id == "pause" {
            session.write(Session::write_of(at, Value::Integer(1))).await;
            session.write(Session::write_of(at, Value::Integer(2))).await;
        }
    }
    assert_eq!(session.sample(at).await.0.value, Value::Integer(2), "what it was meanwhile was not told");
}

#[tokio::test]
async fn collected_changes_come_together_at_the_interval_that_the_server_gives() {
    let limits = Limits { publishing_interval: Duration::from_millis(150), ..Limits::default() };
    let options = Options { limits, count_every: Duration::from_millis(10), ..Options::default() };
    let server = TestServer::start(options).await.unwrap();
    let mut session = Session::open(&server.url(), "sampling_interval_ms = 0").await;
    let pace = |interval_ms| Command::SetBufferedUpdateInterval {
        server: moorline_backend::contract::ServerHandle(1),
        interval_ms,
    };
    assert_eq!(session.done(pace(1)).await, Done::Interval(150), "the server does not tell more often");
    assert_eq!(session.done(pace(201)).await, Done::Interval(300), "it is rounded up");
    let at = session.item_of(&tags::item(tags::COUNTER), true).await;
    session.done(Command::Advise { at, supervisory: false }).await;
    session.set(tags::COUNTING, Value::Bool(true)).await;
    let mut counted = Vec::new();
    while counted.len() < 100 {
        let event = session.until("collected changes", |event| event.at == Some(at)).await;
        let EventBody::BufferedDataChange(samples) = event.said else { panic!("{event:?}") };
        counted.extend(samples.into_iter().map(|sample| sample.value));
    }
    let Value::Integer(first) = counted[0] else { panic!() };
    let from_the_first: Vec<_> = (first..).map(Value::Integer).take(counted.len()).collect();
    assert_eq!(counted, from_the_first);
}

#[tokio::test]
async fn what_the_server_makes_of_an_item_is_answered_and_in_the_sessions_state() {
    let limits = Limits {
        publishing_interval: Duration::from_millis(150),
        sampling_interval: Duration::from_millis(100),
        queue_size: 10,
        keep_alive_count: 5,
        lifetime_count: 60,
    };
    let server = TestServer::start(Options { limits, ..Options::default() }).await.unwrap();
    let mut session = Session::open(&server.url(), "sampling_interval_ms = 5\nqueue_size = 500").await;
    let at = session.item_of(&tags::item("Int32"), false).await;
    let rates = |sampling, queue_size, publishing, keep_alive, lifetime| ItemRates {
        sampling: Some(Duration::from_millis(sampling)),
        queue_size: Some(queue_size),
        publishing: Some(Duration::from_millis(publishing)),
        keep_alive: Some(Duration::from_millis(keep_alive)),
        lifetime: Some(Duration::from_millis(lifetime)),
    };
    let expected = Revision { requested: rates(5, 500, 50, 500, 30_000), revised: rates(100, 10, 150, 750, 9_000) };
    assert_eq!(session.revision(at).await, expected);
    assert_eq!(session.revision(at).await, expected, "it is answered again");
    let supervisory = session.item_of(&tags::item("Double"), false).await;
    session.done(Command::Advise { at: supervisory, supervisory: true }).await;
    let Done::Session(state) = session.done(Command::SessionState).await else { panic!() };
    let told: Vec<_> = state.servers[0].items.iter().map(|item| item.revision).collect();
    assert_eq!(told, [Some(expected), Some(expected)]);
    let nowhere = session.item_of(&tags::item("Nowhere"), false).await;
    session.done(Command::UnAdvise(at)).await;
    let Done::Session(state) = session.done(Command::SessionState).await else { panic!() };
    assert_eq!((state.servers[0].items[0].revision, nowhere.item), (None, state.servers[0].items[2].item));
    session.close().await;
}

#[tokio::test]
async fn another_interval_of_collected_changes_is_told_of_each_of_their_items() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let at = session.item_of(&tags::item("Int32"), true).await;
    let publishing = |revision: Revision| revision.revised.publishing.unwrap().as_millis();
    assert_eq!(publishing(session.revision(at).await), 1_000);
    let pace = Command::SetBufferedUpdateInterval { server: session.server, interval_ms: 300 };
    assert_eq!(session.done(pace).await, Done::Interval(300));
    let is_it = |event: &Event| event.at == Some(at) && matches!(event.said, EventBody::ItemRevised(_));
    let EventBody::ItemRevised(told) = session.until("the interval", is_it).await.said else { panic!() };
    assert_eq!(publishing(told), 300);
}

#[tokio::test]
async fn a_queue_that_was_too_short_is_a_gap_of_its_item() {
    let limits = Limits { queue_size: 2, ..Limits::default() };
    let options = Options { limits, count_every: Duration::from_millis(5), ..Options::default() };
    let server = TestServer::start(options).await.unwrap();
    let mut session = Session::open(&server.url(), "sampling_interval_ms = 0").await;
    let at = session.advised(tags::COUNTER).await;
    session.set(tags::COUNTING, Value::Bool(true)).await;
    assert_eq!(session.gap().await.at, Some(at));
}

#[tokio::test]
async fn a_broken_sensor_is_told_by_quality_and_status() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let at = session.advised(tags::SENSOR).await;
    assert_eq!(session.sample(at).await.0.value, Value::Double(tags::SENSOR_VALUE));
    session.set(tags::SENSOR_FAILED, Value::Bool(true)).await;
    let (sample, status) = session.sample(at).await;
    assert!(!sample.quality.is_good() && !status.success, "{sample:?} {status:?}");
}

#[tokio::test]
async fn a_session_says_what_there_is_in_it() {
    let server = server().await;
    let mut session = Session::open(&server.url(), "").await;
    let first = session.advised("Int32").await;
    let second = session.item_of(&tags::item("Double"), true).await;
    session.done(Command::Advise { at: second, supervisory: true }).await;
    session.sample(first).await;
    let Done::Session(state) = session.done(Command::SessionState).await else { panic!() };
    let items: Vec<_> = state.servers[0]
        .items
        .iter()
        .map(|item| (item.name.as_str(), item.advised, item.supervisory, item.buffered))
        .collect();
    assert_eq!(items, [("ns=2;s=Int32", true, false, false), ("ns=2;s=Double", true, true, true)]);
    session.done(Command::RemoveItem(first)).await;
    for command in [Command::UnAdvise(first), Command::Unregister { server: first.server }] {
        let is_known = matches!(command, Command::Unregister { .. });
        assert_eq!(session.invoke(command).await.success, is_known);
    }
    let gone = ItemAt { server: first.server, item: second.item };
    assert!(!session.invoke(Command::Advise { at: gone, supervisory: false }).await.success);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let server = server().await;
    let url = server.url();
    let mut gone = TestServer::start(Options::default()).await.unwrap();
    let nowhere = gone.url();
    gone.crash().await;
    let home = tempfile::tempdir().unwrap();
    for (url, endpoint, options, word) in [
        (&nowhere, "", "{}", "opc.tcp"),
        (&url, "", r#"{"endpoint":"other"}"#, "test"),
        (&url, "user = \"operator\"\npassword_file = \"nowhere\"", "{}", "nowhere"),
    ] {
        let opened = open(home.path(), url, &plain(endpoint), options).await;
        let Err(error) = opened else { panic!("it is open: {endpoint}") };
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(matches!(error, OpenError::Options { .. }), options != "{}");
    }
    assert_eq!(back_end(home.path(), &url, "").info().name, "opcua");
}
