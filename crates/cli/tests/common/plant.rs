//! A client of the session gateway with a simulated plant behind it, for tests in which gateways and workers are killed.

use std::time::Duration;

use moorline_gateway_proto::v1::command::Body;
use moorline_gateway_proto::v1::command_result::Value as Done;
use moorline_gateway_proto::v1::session_gateway_client::SessionGatewayClient;
use moorline_gateway_proto::v1::stream_events_response::Item;
use moorline_gateway_proto::v1::value::Kind;
use moorline_gateway_proto::v1::{self, SessionState, event};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::{Gateway, PATIENCE};

/// Leaves workers to the next start, and has none but those of sessions.
pub(crate) const LEAVE: &[&str] = &["--stop-workers=false", "--builtin-agents=none"];

/// Ends workers with the gateway, and has none but those of sessions.
pub(crate) const TIDY: &[&str] = &["--builtin-agents=none"];

#[derive(Clone)]
pub(crate) struct Key(MetadataValue<Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub(crate) type Api = SessionGatewayClient<InterceptedService<Channel, Key>>;

/// A new connection to the gateway.
pub(crate) async fn api(gateway: &Gateway) -> Api {
    let endpoint = std::fs::read_to_string(gateway.data_dir().join("gateway.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_str(&endpoint).unwrap();
    let url = endpoint["grpc"].as_str().unwrap().to_owned();
    let token = std::fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap();
    let key = Key(format!("Bearer {}", token.trim()).parse().unwrap());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    SessionGatewayClient::with_interceptor(channel, key)
}

/// Does something while the test goes on.
#[expect(clippy::disallowed_methods, reason = "a task of the test's own")]
pub(crate) fn meanwhile<T: Send + 'static>(
    does: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(does)
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not come")
}

/// Opens a session with a plant that counts once in so many milliseconds.
pub(crate) async fn open(api: &mut Api, tick_ms: u64) -> Result<v1::Session, Status> {
    let plant = format!(r#"{{"tick_ms":{tick_ms},"tags":{{"Count":{{"wave":"counter"}}}}}}"#);
    let request = v1::OpenSessionRequest { backend_options_json: plant, ..Default::default() };
    Ok(within(api.open_session(request)).await?.into_inner().session.unwrap())
}

pub(crate) async fn list(api: &mut Api) -> Vec<v1::Session> {
    within(api.list_sessions(v1::ListSessionsRequest::default())).await.unwrap().into_inner().sessions
}

/// Waits until the session is ready, and answers whether it became so; if not, there is none any more or it has faulted.
pub(crate) async fn is_ready(api: &mut Api, session: &str) -> bool {
    within(async {
        loop {
            let request = v1::GetSessionRequest { session_id: session.to_owned() };
            match api.get_session(request).await.map(|found| found.into_inner().session.unwrap().state()) {
                Ok(SessionState::Ready) => return true,
                Ok(SessionState::Closed | SessionState::Faulted) => return false,
                // not a wait: lets others work between two looks
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(status) => {
                    assert_eq!(status.code(), Code::NotFound, "{status}");
                    return false;
                }
            }
        }
    })
    .await
}

/// Asks for a command under a name until somebody says what came of it. None if the session is over.
pub(crate) async fn invoke(api: &mut Api, session: &str, id: &str, body: Body) -> Option<v1::InvokeResponse> {
    within(async {
        loop {
            let command = Some(v1::Command { body: Some(body.clone()) });
            let (session_id, command_id) = (session.to_owned(), id.to_owned());
            let request = v1::InvokeRequest { session_id, command_id, timeout: None, command, until_complete: false };
            match api.invoke(request).await {
                Ok(answer) => return Some(answer.into_inner()),
                Err(status) if status.code() == Code::Unavailable => {
                    // not a wait: lets others work between two looks
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(_) => return None,
            }
        }
    })
    .await
}

pub(crate) fn register() -> Body {
    Body::Register(v1::Register { client_name: "test".to_owned() })
}

/// How many client sessions there are in it.
pub(crate) async fn registered(api: &mut Api, session: &str) -> usize {
    let asked = invoke(api, session, "", Body::GetSessionState(v1::GetSessionState {})).await.unwrap();
    let Some(Done::SessionState(state)) = asked.result.unwrap().value else { panic!() };
    state.servers.len()
}

/// Has the count advised.
pub(crate) async fn advise(api: &mut Api, session: &str) {
    let registered = invoke(api, session, "", register()).await.unwrap().result.unwrap();
    let Some(Done::ServerHandle(server_handle)) = registered.value else { panic!() };
    let add = v1::AddItem { server_handle, item: "Count".to_owned(), ..Default::default() };
    let added = invoke(api, session, "", Body::AddItem(add)).await.unwrap().result.unwrap();
    let Some(Done::ItemHandle(item_handle)) = added.value else { panic!() };
    let advise = v1::Advise { server_handle, item_handle, supervisory: false };
    assert!(invoke(api, session, "", Body::Advise(advise)).await.unwrap().result.unwrap().success);
}

/// Ends a session, if there is one.
pub(crate) async fn close(api: &mut Api, session: &str) {
    let request = v1::CloseSessionRequest { session_id: session.to_owned() };
    if let Err(status) = within(api.close_session(request)).await {
        assert_eq!(status.code(), Code::NotFound, "{status}");
    }
}

pub(crate) async fn stream(
    api: &mut Api,
    session: &v1::Session,
    after: u64,
) -> Result<Streaming<v1::StreamEventsResponse>, Status> {
    let (session_id, epoch) = (session.session_id.clone(), session.epoch.clone());
    let request = v1::StreamEventsRequest { session_id, after_worker_sequence: after, epoch };
    within(api.stream_events(request)).await.map(tonic::Response::into_inner)
}

/// What a stream tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// A count, with its number.
    Count { count: i64, seq: u64 },
    /// What is missing.
    Gap { oldest: u64 },
}

/// The next count or gap; an error if the stream has ended.
pub(crate) async fn next(events: &mut Streaming<v1::StreamEventsResponse>) -> Result<Told, Status> {
    loop {
        let item = within(events.message()).await?.ok_or_else(|| Status::unavailable("the stream has ended"))?;
        match item.item.unwrap() {
            Item::ReplayGap(gap) => return Ok(Told::Gap { oldest: gap.oldest_available_sequence }),
            Item::Event(event) => {
                if let Some(event::Body::DataChange(change)) = event.body
                    && let Some(Kind::IntegerValue(count)) = change.sample.unwrap().value.unwrap().kind
                {
                    return Ok(Told::Count { count, seq: event.worker_sequence });
                }
            }
        }
    }
}
