//! Alarms of a real server.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use moorline_backend::contract::{Alarm, Command, Event, EventBody, Value};
use moorline_opcua_testkit::{Options, TestServer, tags};
use support::Session;

fn of(event: &Event) -> Option<&Alarm> {
    if let EventBody::Alarm(alarm) = &event.said { Some(alarm) } else { None }
}

fn is_complete(event: &Event) -> bool {
    event.said == EventBody::AlarmSnapshotComplete
}

async fn state(session: &mut Session, what: &str, is_it: impl Fn(&Alarm) -> bool) -> Alarm {
    let event = session.until(what, |event| of(event).is_some_and(&is_it)).await;
    of(&event).unwrap().clone()
}

#[tokio::test]
async fn alarms_are_told_from_those_that_are_active_on_and_acknowledged() {
    let server = TestServer::start(Options::default()).await.unwrap();
    let mut session = Session::open(&server.url(), "").await;
    let [level, pressure] = tags::ALARMS;
    session.set(&tags::alarm_control(level), Value::Bool(true)).await;
    let unheard = session.invoke(Command::RefreshAlarms).await;
    assert!(!unheard.success && unheard.message.contains("subscribe"), "{unheard:?}");
    session.done(Command::SubscribeAlarms { area: String::new() }).await;
    let active = state(&mut session, "an active alarm", |alarm| alarm.active).await;
    assert!(active.snapshot && !active.acknowledged && active.severity > 0, "{active:?}");
    session.until("the end of the snapshot", is_complete).await;

    session.set(&tags::alarm_control(pressure), Value::Bool(true)).await;
    let raised = state(&mut session, "a transition", |alarm| alarm.alarm != active.alarm && alarm.active).await;
    assert!(!raised.snapshot && !raised.acknowledged, "{raised:?}");
    let comment = "seen".to_owned();
    session.done(Command::AcknowledgeAlarm { alarm: raised.alarm.clone(), comment: comment.clone() }).await;
    let acknowledged =
        state(&mut session, "the acknowledgement", |alarm| alarm.alarm == raised.alarm && alarm.acknowledged).await;
    assert_eq!((acknowledged.active, acknowledged.comment, acknowledged.raised_at), (true, comment, raised.raised_at));
    session.set(&tags::alarm_control(pressure), Value::Bool(false)).await;
    state(&mut session, "its end", |alarm| alarm.alarm == raised.alarm && !alarm.active).await;

    session.done(Command::RefreshAlarms).await;
    let again = state(&mut session, "the active one again", |alarm| alarm.snapshot).await;
    assert_eq!((again.alarm, again.active), (active.alarm, true));
    session.until("the end of the second snapshot", is_complete).await;
    let unknown = Command::AcknowledgeAlarm { alarm: "ns=2;s=nothing".to_owned(), comment: String::new() };
    assert!(!session.invoke(unknown).await.success);
    session.close().await;
}
