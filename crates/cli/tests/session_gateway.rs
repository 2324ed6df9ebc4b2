//! The session gateway as clients meet it: a real gateway, real workers, gRPC over a real socket, and `kill -9`.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::grpc::{Key, look_again, url, within};
use common::{Gateway, stderr, stdout, wait_for, workers_of};
use moorline_gateway_proto::ERROR_INFO_KEY;
use moorline_gateway_proto::v1::command::Body;
use moorline_gateway_proto::v1::command_result::Value as Done;
use moorline_gateway_proto::v1::session_gateway_client::SessionGatewayClient;
use moorline_gateway_proto::v1::stream_events_response::Item;
use moorline_gateway_proto::v1::value::Kind;
use moorline_gateway_proto::v1::{self, ErrorCode, ErrorInfo, SessionState, event};
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const CONFIG: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nmax_sessions = 2\n";

/// A plant whose counter moves so often that a lost value is a lost number.
const PLANT: &str = r#"{"tick_ms":20,"tags":{
    "Count":{"wave":"counter"},
    "Set":{"wave":"memory","value":1.5},
    "Hot":{"wave":"ramp","min":0,"max":100,"period_ms":400,"alarm_above":50}
}}"#;

type Api = SessionGatewayClient<InterceptedService<Channel, Key>>;

async fn channel(gateway: &Gateway) -> Channel {
    Channel::from_shared(url(gateway)).unwrap().connect().await.unwrap()
}

async fn api(gateway: &Gateway) -> Api {
    SessionGatewayClient::with_interceptor(channel(gateway).await, Key::admin(gateway))
}

async fn open(api: &mut Api) -> v1::Session {
    let request = v1::OpenSessionRequest { backend_options_json: PLANT.to_owned(), ..Default::default() };
    within(api.open_session(request)).await.unwrap().into_inner().session.unwrap()
}

async fn invoke(api: &mut Api, session: &str, id: &str, body: Body) -> v1::InvokeResponse {
    let command = Some(v1::Command { body: Some(body) });
    let (session_id, command_id) = (session.to_owned(), id.to_owned());
    let request = v1::InvokeRequest { session_id, command_id, timeout: None, command, until_complete: false };
    within(api.invoke(request)).await.unwrap().into_inner()
}

async fn done(api: &mut Api, session: &str, body: Body) -> Option<Done> {
    let result = invoke(api, session, "", body).await.result.unwrap();
    assert!(result.success, "{result:?}");
    assert_eq!(result.backend, "simulated", "nobody takes it for a real one");
    result.value
}

/// The process of the session's worker.
async fn worker_of(api: &mut Api, session: &str) -> u32 {
    let told = done(api, session, Body::GetWorkerInfo(v1::GetWorkerInfo {})).await;
    let Some(Done::WorkerInfo(worker)) = told else { panic!("{told:?}") };
    worker.pid
}

/// An advised item: its client session and its handle.
async fn item(api: &mut Api, session: &str, name: &str) -> (i32, i32) {
    let register = Body::Register(v1::Register { client_name: "test".to_owned() });
    let Some(Done::ServerHandle(server_handle)) = done(api, session, register).await else { panic!() };
    let add = v1::AddItem { server_handle, item: name.to_owned(), ..Default::default() };
    let Some(Done::ItemHandle(item_handle)) = done(api, session, Body::AddItem(add)).await else { panic!() };
    let advise = v1::Advise { server_handle, item_handle, supervisory: false };
    done(api, session, Body::Advise(advise)).await;
    (server_handle, item_handle)
}

async fn stream(api: &mut Api, session: &v1::Session, after: u64) -> Streaming<v1::StreamEventsResponse> {
    let (session_id, epoch) = (session.session_id.clone(), session.epoch.clone());
    let request = v1::StreamEventsRequest { session_id, after_worker_sequence: after, epoch };
    within(api.stream_events(request)).await.unwrap().into_inner()
}

/// The next counter that the stream tells, with its number.
async fn counted(events: &mut Streaming<v1::StreamEventsResponse>) -> (i64, u64) {
    loop {
        let item = within(events.message()).await.unwrap().expect("the stream has ended").item.unwrap();
        let Item::Event(event) = item else { panic!("a gap: {item:?}") };
        if let Some(event::Body::DataChange(change)) = event.body
            && let Some(Kind::IntegerValue(count)) = change.sample.unwrap().value.unwrap().kind
        {
            return (count, event.worker_sequence);
        }
    }
}

/// How a stream ends.
async fn last(events: &mut Streaming<v1::StreamEventsResponse>) -> Result<(), Status> {
    while events.message().await?.is_some() {}
    Ok(())
}

fn info(status: &Status) -> ErrorInfo {
    let bytes = status.metadata().get_bin(ERROR_INFO_KEY).unwrap().to_bytes().unwrap();
    ErrorInfo::decode(bytes).unwrap()
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_reason() {
    let gateway = Gateway::with(CONFIG, &[]);
    let mut stranger = SessionGatewayClient::with_interceptor(channel(&gateway).await, Key(None));
    let refused = stranger.list_sessions(v1::ListSessionsRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), info(&refused).code()), (Code::Unauthenticated, ErrorCode::Unauthenticated));
    let nobody = Key(Some("Bearer mlk_nobody".parse().unwrap()));
    let mut nobody = SessionGatewayClient::with_interceptor(channel(&gateway).await, nobody);
    let refused = nobody.list_sessions(v1::ListSessionsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let mut api = api(&gateway).await;
    let session_id = format!("session-{}", "0".repeat(32));
    let refused = api.get_session(v1::GetSessionRequest { session_id }).await.unwrap_err();
    assert_eq!((refused.code(), info(&refused).code()), (Code::NotFound, ErrorCode::SessionNotFound));
    for (request, word) in [
        (v1::OpenSessionRequest { backend: "opcua".into(), ..Default::default() }, "simulated"),
        (v1::OpenSessionRequest { backend_options_json: "{".into(), ..Default::default() }, "backend_options_json"),
        (v1::OpenSessionRequest { tag: "a b".into(), ..Default::default() }, "tag"),
        (v1::OpenSessionRequest { command_timeout: Some(Default::default()), ..Default::default() }, "command_timeout"),
    ] {
        let refused = within(api.open_session(request)).await.unwrap_err();
        assert_eq!((refused.code(), info(&refused).code()), (Code::InvalidArgument, ErrorCode::InvalidRequest));
        assert!(refused.message().contains(word), "{refused}");
    }
    let session = open(&mut api).await;
    let session_id = session.session_id.clone();
    let refused = api.invoke(v1::InvokeRequest { session_id, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let _first = stream(&mut api, &session, 0).await;
    let (session_id, epoch) = (session.session_id.clone(), session.epoch.clone());
    let second = v1::StreamEventsRequest { session_id, after_worker_sequence: 0, epoch };
    let refused = api.stream_events(second).await.unwrap_err();
    let expected = (Code::AlreadyExists, ErrorCode::EventSubscriberAlreadyActive);
    assert_eq!((refused.code(), info(&refused).code()), expected);
    let kill = v1::KillWorkerRequest { session_id: session.session_id, reason: " ".to_owned() };
    assert_eq!(api.kill_worker(kill).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_is_told_to_whoever_has_a_key() {
    let gateway = Gateway::with(CONFIG, &[]);
    let channel = channel(&gateway).await;
    let request = || HealthCheckRequest { service: "moorline.gateway.v1.SessionGateway".to_owned() };
    let mut stranger = HealthClient::with_interceptor(channel.clone(), Key(None));
    assert_eq!(stranger.check(request()).await.unwrap_err().code(), Code::Unauthenticated);
    let mut known = HealthClient::with_interceptor(channel, Key::admin(&gateway));
    within(async {
        // It is serving once no worker is awaited.
        while known.check(request()).await.unwrap().into_inner().status != 1 {
            look_again().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_outlives_its_gateway_and_its_stream_goes_on_without_a_gap() {
    let gateway = Gateway::with(CONFIG, &[]);
    let mut before = api(&gateway).await;
    let session = open(&mut before).await;
    let id = session.session_id.as_str();
    let (server_handle, item_handle) = item(&mut before, id, "Set").await;
    item(&mut before, id, "Count").await;
    let kept = Body::Register(v1::Register { client_name: "kept".to_owned() });
    let first = invoke(&mut before, id, "once", kept.clone()).await;
    let mut events = stream(&mut before, &session, 0).await;
    let mut seen = counted(&mut events).await;
    for _ in 0..20 {
        let next = counted(&mut events).await;
        assert_eq!(next.0, seen.0 + 1);
        seen = next;
    }
    let worker = worker_of(&mut before, id).await;
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, CONFIG, &[]);
    let mut after = api(&gateway).await;
    within(async {
        loop {
            let request = v1::GetSessionRequest { session_id: id.to_owned() };
            let found = after.get_session(request).await.unwrap().into_inner().session.unwrap();
            assert!(found.adopted && found.owner == session.owner, "{found:?}");
            if found.state() == SessionState::Ready {
                break;
            }
            assert_eq!(found.state(), SessionState::Reattaching);
            look_again().await;
        }
    })
    .await;
    assert_eq!(worker_of(&mut after, id).await, worker, "the same worker has it");
    let mut events = stream(&mut after, &session, seen.1).await;
    for _ in 0..100 {
        let next = counted(&mut events).await;
        assert_eq!(next.0, seen.0 + 1, "no value is lost and none comes twice");
        seen = next;
    }
    let again = invoke(&mut after, id, "once", kept).await;
    assert!(again.repeated && again.result == first.result, "it is not carried out again: {again:?}");
    let value = Some(v1::Value { kind: Some(Kind::DoubleValue(7.5)) });
    let write = v1::Write { server_handle, item_handle, value, ..Default::default() };
    done(&mut after, id, Body::Write(write)).await;
    let Some(Done::SessionState(state)) = done(&mut after, id, Body::GetSessionState(v1::GetSessionState {})).await
    else {
        panic!()
    };
    assert_eq!(state.servers.len(), 3, "handles and items are as they were");
    let close = v1::CloseSessionRequest { session_id: id.to_owned() };
    let closed = within(after.close_session(close)).await.unwrap().into_inner();
    assert_eq!(closed.final_state(), SessionState::Closed);
    let data_dir = gateway.data_dir();
    wait_for("the worker to leave", || !workers_of(&data_dir).contains(&worker));
}

/// Its sessions do not end by themselves, and the grace is for jobs that do.
#[tokio::test]
async fn a_gateway_that_ends_with_its_workers_closes_its_sessions_and_waits_for_none() {
    // Longer than a test waits for the end.
    let gateway = Gateway::with(CONFIG, &["--shutdown-grace=10m"]);
    let mut api = api(&gateway).await;
    let (streamed, idle) = (open(&mut api).await, open(&mut api).await);
    item(&mut api, &streamed.session_id, "Count").await;
    let mut events = stream(&mut api, &streamed, 0).await;
    counted(&mut events).await;
    let (home, status) = gateway.end(Signal::TERM);
    assert!(status.success(), "{status}");
    let end = within(last(&mut events)).await;
    assert_eq!(end.map_err(|status| status.code()), Ok(()), "the stream ends as its session does");
    let data = home.path().join("data");
    wait_for("the workers to leave", || workers_of(&data).is_empty());
    let gateway = Gateway::over(home, CONFIG, &[]);
    let left = told(&gateway, &["list"]);
    assert!(!left.contains(&streamed.session_id) && !left.contains(&idle.session_id), "{left}");
}

#[tokio::test]
async fn a_gateway_that_leaves_its_workers_tells_streams_to_come_back() {
    let gateway = Gateway::with(CONFIG, &["--stop-workers=false", "--shutdown-grace=10m"]);
    let mut before = api(&gateway).await;
    let session = open(&mut before).await;
    item(&mut before, &session.session_id, "Count").await;
    let mut events = stream(&mut before, &session, 0).await;
    let mut seen = counted(&mut events).await;
    let (home, status) = gateway.end(Signal::TERM);
    assert!(status.success(), "{status}");
    let told = within(last(&mut events)).await.expect_err("the session is not over");
    assert_eq!((told.code(), info(&told).code()), (Code::Unavailable, ErrorCode::Unavailable));
    let gateway = Gateway::over(home, CONFIG, &[]);
    let mut events = stream(&mut api(&gateway).await, &session, seen.1).await;
    for _ in 0..10 {
        let next = counted(&mut events).await;
        assert_eq!(next.0, seen.0 + 1, "the session has gone on");
        seen = next;
    }
}

#[tokio::test]
async fn a_worker_that_dies_is_a_fault_of_its_session_only() {
    let gateway = Gateway::with(CONFIG, &[]);
    let mut api = api(&gateway).await;
    let (dying, other) = (open(&mut api).await, open(&mut api).await);
    let full = within(api.open_session(v1::OpenSessionRequest::default())).await.unwrap_err();
    let expected = (Code::ResourceExhausted, ErrorCode::SessionLimitExceeded);
    assert_eq!((full.code(), info(&full).code()), expected);
    let mut events = stream(&mut api, &dying, 0).await;
    let worker = worker_of(&mut api, &dying.session_id).await;
    kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::KILL).unwrap();
    let fault = within(last(&mut events)).await.unwrap_err();
    assert_eq!((fault.code(), info(&fault).code()), (Code::FailedPrecondition, ErrorCode::WorkerFaulted));
    let request = v1::GetSessionRequest { session_id: dying.session_id.clone() };
    let found = api.get_session(request).await.unwrap().into_inner().session.unwrap();
    assert!(found.state() == SessionState::Faulted && !found.fault.is_empty(), "{found:?}");
    done(&mut api, &other.session_id, Body::GetWorkerInfo(v1::GetWorkerInfo {})).await;
    let close = v1::CloseSessionRequest { session_id: dying.session_id };
    assert_eq!(api.close_session(close).await.unwrap().into_inner().final_state(), SessionState::Closed);
    let reason = "it is stuck".to_owned();
    let kill = v1::KillWorkerRequest { session_id: other.session_id, reason };
    assert_eq!(within(api.kill_worker(kill)).await.unwrap().into_inner().final_state(), SessionState::Closed);
    open(&mut api).await;
}

#[tokio::test]
async fn alarms_are_told_from_those_that_are_active_on() {
    use v1::stream_alarms_response::Item as Told;

    let gateway = Gateway::with(CONFIG, &[]);
    let mut api = api(&gateway).await;
    let session = open(&mut api).await;
    let session_id = session.session_id.clone();
    let request = v1::StreamAlarmsRequest { session_id: session_id.clone() };
    let mut alarms = within(api.stream_alarms(request)).await.unwrap().into_inner();
    let mut has_snapshot = false;
    let raised = within(async {
        loop {
            match alarms.message().await.unwrap().unwrap().item.unwrap() {
                Told::SnapshotComplete(_) => has_snapshot = true,
                Told::ActiveAlarm(alarm) => assert!(!has_snapshot && alarm.active),
                Told::Transition(alarm) if alarm.active => return alarm,
                Told::Transition(alarm) => assert!(has_snapshot, "{alarm:?}"),
            }
        }
    })
    .await;
    assert!(has_snapshot && raised.item == "Hot");
    let request = v1::AcknowledgeAlarmRequest {
        session_id,
        command_id: String::new(),
        alarm_id: "Hot.Nothing".to_owned(),
        comment: "seen".to_owned(),
    };
    let answer = within(api.acknowledge_alarm(request)).await.unwrap().into_inner();
    assert!(!answer.result.unwrap().success, "there is no such alarm");
}

/// The lines of a command that succeeds.
fn told(gateway: &Gateway, args: &[&str]) -> String {
    let output = gateway.run(&[&["gateway"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output).trim().to_owned()
}

#[test]
fn the_command_line_opens_reads_writes_and_closes() {
    let gateway = Gateway::with(CONFIG, &[]);
    let id = told(&gateway, &["open", "--name", "line 1"]);
    let listed = told(&gateway, &["list"]);
    assert!(listed.lines().any(|row| row.trim().starts_with("ready") && row.contains(&id)), "{listed}");
    told(&gateway, &["write", &id, "Plant.Setpoint", "-7.5"]);
    assert_eq!(told(&gateway, &["read", &id, "Plant.Setpoint"]), "Plant.Setpoint -7.5 good", "it was waited for");
    for (args, code, reason) in [
        (&["read", &id, "Nowhere"][..], 5, ""),
        (&["write", &id, "Plant.Setpoint", "[1]"], 2, "an item has no [1]"),
        (&["write", &id, "Plant.Setpoint", "high"], 5, "was not written: the back end says configuration_error 5"),
        (&["write", &id, "Plant.Counter", "1"], 5, "was not written: the back end says security_error 3"),
        (&["write", &id, "Plant.Setpoint", "1", "--timeout", "0s"], 5, "timeout must be"),
        (&["close", "session-0"], 5, "there is no session session-0"),
        (&["open", "--backend", "opcua"], 5, "there are: simulated"),
    ] {
        let output = gateway.run(&[&["gateway"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{args:?}: {}", stderr(&output));
    }
    told(&gateway, &["close", &id]);
    assert_eq!(told(&gateway, &["list"]), "");
    let nothing = gateway.run(&["--url", "http://127.0.0.1:1", "--token", "mlk_x", "gateway", "list"]);
    assert_eq!(nothing.status.code(), Some(6), "{}", stderr(&nothing));
}
