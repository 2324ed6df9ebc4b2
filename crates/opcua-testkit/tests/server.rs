//! The server, as the client of `async-opcua` sees it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a failed expectation is a failed test")]

mod common;

use std::time::Duration;

use common::{Client, Told, next, next_event, next_value};
use moorline_opcua_testkit::{Limits, Options, Tally, TestServer, tags};
use opcua::client::IdentityToken;
use opcua::types::{
    ByteString, CallMethodRequest, LocalizedText, MethodId, NodeId, ObjectTypeId, StatusCode, UAString, Variant,
};

async fn server() -> TestServer {
    TestServer::start(Options { slow_write: Duration::from_millis(300), ..Options::default() }).await.unwrap()
}

/// Another value of the same type.
fn other(value: &Variant) -> Variant {
    match value {
        Variant::Boolean(value) => (!value).into(),
        Variant::SByte(value) => (value + 1).into(),
        Variant::Byte(value) => (value + 1).into(),
        Variant::Int16(value) => (value + 1).into(),
        Variant::UInt16(value) => (value + 1).into(),
        Variant::Int32(value) => (value + 1).into(),
        Variant::UInt32(value) => (value + 1).into(),
        Variant::Int64(value) => (value + 1).into(),
        Variant::UInt64(value) => (value + 1).into(),
        Variant::Float(value) => (value + 1.0).into(),
        Variant::Double(value) => (value + 1.0).into(),
        Variant::String(_) => UAString::from("other").into(),
        Variant::DateTime(_) => opcua::types::DateTime::ymd(2027, 3, 4).into(),
        Variant::Guid(_) => opcua::types::Guid::from_bytes([9; 16]).into(),
        Variant::ByteString(_) => ByteString::from(vec![4_u8, 5]).into(),
        Variant::LocalizedText(_) => LocalizedText::from("other words").into(),
        other => panic!("no tag is {other:?}"),
    }
}

#[tokio::test]
async fn every_scalar_is_read_and_written_and_takes_no_other_type() {
    let server = server().await;
    let client = Client::anonymous(&server.url()).await;
    for (name, value) in tags::scalars() {
        assert_eq!(client.value(name).await, value, "{name}");
        let other = other(&value);
        assert_eq!(client.write(name, other.clone()).await, StatusCode::Good, "{name}");
        assert_eq!(client.value(name).await, other, "{name}");
        let wrong = if name == "String" { Variant::Int32(1) } else { UAString::from("1").into() };
        assert_eq!(client.write(name, wrong).await, StatusCode::BadTypeMismatch, "{name}");
        assert_eq!(client.write(name, vec![1_i32]).await, StatusCode::BadTypeMismatch, "{name}");
        assert_eq!(client.value(name).await, other, "{name}");
    }
    assert_eq!(client.write(tags::ARRAY, vec![4_i32, 5]).await, StatusCode::Good);
    assert_eq!(client.value(tags::ARRAY).await, Variant::from(vec![4_i32, 5]));
    assert_eq!(client.write(tags::ARRAY, 4_i32).await, StatusCode::BadTypeMismatch);
    assert_eq!(client.read("Weather").await.status(), StatusCode::BadNodeIdUnknown);
}

#[tokio::test]
async fn what_refuses_what_is_slow_and_what_is_secured_are_so() {
    let server = server().await;
    let client = Client::anonymous(&server.url()).await;
    assert_eq!(client.write(tags::REFUSED, 1_i32).await, StatusCode::BadUserAccessDenied);
    assert_eq!(client.write(tags::SECURED, 1_i32).await, StatusCode::BadUserAccessDenied);
    assert_eq!(client.write(tags::SLOW, 1_i32).await, StatusCode::Good);
    assert_eq!(client.value(tags::SLOW).await, Variant::Int32(1));

    let identity = IdentityToken::UserName(tags::USER.to_owned(), tags::PASSWORD.to_owned().into());
    let operator = Client::connect(&server.url(), identity).await;
    assert_eq!(operator.write(tags::SECURED, 2_i32).await, StatusCode::Good);
    assert_eq!(client.value(tags::SECURED).await, Variant::Int32(2));
}

#[tokio::test]
async fn a_sensor_goes_bad_and_good_again_and_whoever_watches_is_told() {
    let server = server().await;
    let client = Client::anonymous(&server.url()).await;
    let (subscription, mut told) = client.subscribe().await;
    client.watch(subscription, tags::SENSOR, 10).await;
    assert!(next_value(&mut told).await.status().is_good());
    assert_eq!(client.write(tags::SENSOR_FAILED, true).await, StatusCode::Good);
    assert_eq!(next_value(&mut told).await.status(), StatusCode::BadSensorFailure);
    assert_eq!(client.read(tags::SENSOR).await.status(), StatusCode::BadSensorFailure);
    assert_eq!(client.write(tags::SENSOR_FAILED, false).await, StatusCode::Good);
    assert!(next_value(&mut told).await.status().is_good());
}

#[tokio::test]
async fn the_counter_counts_while_it_is_told_to_and_nothing_is_lost_or_doubled() {
    let server = server().await;
    let client = Client::anonymous(&server.url()).await;
    let (subscription, mut told) = client.subscribe().await;
    client.watch(subscription, tags::COUNTER, 1000).await;
    let mut tally = Tally::default();
    let mut last = 0;
    for round in 1..=2 {
        assert_eq!(client.write(tags::COUNTING, true).await, StatusCode::Good);
        while tally.highest() < Some(20 * round) {
            let Some(Variant::Int64(value)) = next_value(&mut told).await.value else { panic!("not a count") };
            tally.saw(value);
        }
        assert_eq!(client.write(tags::COUNTING, false).await, StatusCode::Good);
        let Variant::Int64(stopped) = client.value(tags::COUNTER).await else { panic!("not a count") };
        assert!(stopped >= last, "it went back from {last} to {stopped}");
        last = stopped;
    }
    // The last count may be on its way while the counter is stopped.
    let Variant::Int64(last) = client.value(tags::COUNTER).await else { panic!("not a count") };
    while tally.highest() < Some(last) {
        let Some(Variant::Int64(value)) = next_value(&mut told).await.value else { panic!("not a count") };
        tally.saw(value);
    }
    assert!(tally.counts(0, last).is_exact(), "{:?}", tally.counts(0, last));
}

#[tokio::test]
async fn limits_show_in_what_becomes_of_requests_and_an_overflow_is_marked() {
    let limits = Limits { publishing_interval: Duration::from_millis(500), queue_size: 3, ..Limits::default() };
    let server = TestServer::start(Options { limits, ..Options::default() }).await.unwrap();
    let client = Client::anonymous(&server.url()).await;
    let (subscription, mut told) = client.subscribe().await;
    let interval = client.session.subscription_state().lock().get(subscription).unwrap().publishing_interval();
    assert_eq!(interval, Duration::from_millis(500));
    assert_eq!(client.watch(subscription, tags::COUNTER, 1000).await, 3);
    assert_eq!(client.write(tags::COUNTING, true).await, StatusCode::Good);
    while !next_value(&mut told).await.status().overflow() {}
}

#[tokio::test]
async fn alarms_are_told_refreshed_and_acknowledged() {
    let server = server().await;
    let client = Client::anonymous(&server.url()).await;
    let (subscription, mut told) = client.subscribe().await;
    let fields = ["EventType", "EventId", "ConditionName", "ActiveState/Id", "AckedState/Id", "Retain", "Comment"];
    client.watch_alarms(subscription, &fields).await;
    assert_eq!(client.write(&tags::alarm_control("Level"), true).await, StatusCode::Good);
    let raised = next_event(&mut told).await;
    let level = NodeId::new(tags::NAMESPACE_INDEX, "Level.Condition");
    assert_eq!(raised[0], level.clone().into());
    assert_eq!(raised[1], NodeId::from(ObjectTypeId::OffNormalAlarmType).into());
    assert_eq!(raised[3..7], [UAString::from("Level").into(), true.into(), false.into(), true.into()]);

    let call = |object: NodeId, method: MethodId, arguments: Vec<Variant>| {
        let call: CallMethodRequest = (object, NodeId::from(method), Some(arguments)).into();
        client.session.call_one(call)
    };
    let refresh = |subscription: u32| {
        let (of, method) = (NodeId::from(ObjectTypeId::ConditionType), MethodId::ConditionType_ConditionRefresh);
        call(of, method, vec![subscription.into()])
    };
    assert_eq!(refresh(subscription).await.unwrap().status_code, StatusCode::Good);
    let types =
        [ObjectTypeId::RefreshStartEventType, ObjectTypeId::OffNormalAlarmType, ObjectTypeId::RefreshEndEventType];
    for expected in types {
        assert_eq!(next_event(&mut told).await[1], NodeId::from(expected).into());
    }
    assert_eq!(refresh(subscription + 1).await.unwrap().status_code, StatusCode::BadSubscriptionIdInvalid);

    let acknowledge = |event: Variant| {
        let method = MethodId::AcknowledgeableConditionType_Acknowledge;
        call(level.clone(), method, vec![event, LocalizedText::from("seen").into()])
    };
    assert_eq!(acknowledge(raised[2].clone()).await.unwrap().status_code, StatusCode::Good);
    let acknowledged = next_event(&mut told).await;
    assert_eq!(acknowledged[4..8], [true.into(), true.into(), true.into(), LocalizedText::from("seen").into()]);
    let again = acknowledge(raised[2].clone()).await.unwrap().status_code;
    assert_eq!(again, StatusCode::BadEventIdUnknown);

    assert_eq!(client.write(&tags::alarm_control("Level"), false).await, StatusCode::Good);
    assert_eq!(next_event(&mut told).await[4..7], [false.into(), true.into(), false.into()]);
    assert_eq!(refresh(subscription).await.unwrap().status_code, StatusCode::Good);
    for expected in [ObjectTypeId::RefreshStartEventType, ObjectTypeId::RefreshEndEventType] {
        assert_eq!(next_event(&mut told).await[1], NodeId::from(expected).into());
    }
}

#[tokio::test]
async fn a_server_that_crashed_is_there_again_at_the_same_place_and_knows_nothing() {
    let mut server = server().await;
    let url = server.url();
    let client = Client::anonymous(&url).await;
    assert_eq!(client.write("Int32", 5_i32).await, StatusCode::Good);
    drop(client);
    server.crash().await;
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_err(), "somebody listens");
    server.start_again().await.unwrap();
    assert_eq!(server.url(), url);
    let client = Client::anonymous(&url).await;
    assert_eq!(client.value("Int32").await, Variant::Int32(-32));
    // Nothing is left of what was there.
    let (subscription, mut told) = client.subscribe().await;
    client.watch(subscription, "Int32", 1).await;
    assert!(matches!(next(&mut told).await, Told::Value(node, _) if node == tags::node("Int32")));
}
