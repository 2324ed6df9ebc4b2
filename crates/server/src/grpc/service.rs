//! The nine calls.

use std::sync::Arc;
use std::time::Duration;

use moorline_backend::contract::{Command, Done};
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_core::backend_session::SubscriberKind;
use moorline_gateway_proto::v1::session_gateway_server::SessionGateway;
use moorline_gateway_proto::v1::{self, SessionState};
use moorline_runtime::backend_sessions::{
    BackendSessions, EventStream, OpenRequest, SessionError, SessionHandle, SubscribeFrom,
};
use moorline_types::{Millis, Principal, WorkerSeq};
use tonic::{Request, Response, Status};

use super::status::{invalid, status};
use super::streams::{self, Bounds, Streamed};
use super::{from_proto, to_proto};
use crate::connection::Service;
use crate::keys::Standing;

/// Sessions in one page of a list unless the caller says.
const DEFAULT_PAGE: usize = 100;

/// Sessions in one page of a list. Each takes half a kilobyte.
const MAX_PAGE: usize = 1_000;

/// What this gateway can do in a session.
const CAPABILITIES: [&str; 7] =
    ["unary-invoke", "bulk-invoke", "stream-events", "replay-gap", "alarms", "reattach", "until-complete"];

/// The metadata with which a client says how long it waits.
const DEADLINE: &str = "grpc-timeout";

type Answer<T> = Result<Response<T>, Status>;

/// See the module's documentation.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) sessions: BackendSessions,
    pub(super) service: Arc<Service>,
}

impl Calls {
    fn look(&self, who: &Principal, id: &str) -> Result<SessionHandle, Status> {
        self.sessions.get(who, id).map_err(|error| self.refuse(who, AuditAction::Subscribe, id, &error))
    }

    fn control(&self, who: &Principal, id: &str, action: AuditAction) -> Result<SessionHandle, Status> {
        self.sessions.control(who, id).map_err(|error| self.refuse(who, action, id, &error))
    }

    fn refuse(&self, who: &Principal, action: AuditAction, id: &str, error: &SessionError) -> Status {
        let answer = status(id, error);
        self.note(who, AuditEntry::refused(self.service.gateway().now(), action, &error.to_string()), id);
        answer
    }

    fn allow(&self, who: &Principal, action: AuditAction, id: &str) {
        self.note(who, AuditEntry::allowed(self.service.gateway().now(), action), id);
    }

    fn note(&self, who: &Principal, entry: AuditEntry, id: &str) {
        let object = Some(id.chars().take(64).collect());
        self.service.gateway().audit().note(AuditEntry { who: Some(who.id.to_string()), object, ..entry });
    }

    fn session(&self, handle: &SessionHandle) -> v1::Session {
        to_proto::session(handle.summary(), self.sessions.epoch())
    }

    fn subscribe(
        &self,
        who: &Principal,
        id: &str,
        kind: SubscriberKind,
        from: SubscribeFrom,
    ) -> Result<(SessionHandle, EventStream), Status> {
        let handle = self.look(who, id)?;
        let events = handle.subscribe(kind, from);
        let events = events.map_err(|error| self.refuse(who, AuditAction::Subscribe, id, &error))?;
        self.allow(who, AuditAction::Subscribe, id);
        Ok((handle, events))
    }
}

impl Calls {
    /// What ends a stream that is asked for here.
    fn bounds<T>(&self, request: &Request<T>) -> Bounds {
        let clock = self.service.gateway().clock().clone();
        let standing = request.extensions().get::<Standing>().cloned();
        let over = async move {
            match standing {
                Some(standing) => drop(standing.over(clock).await),
                None => std::future::pending().await,
            }
        };
        Bounds { closing: self.service.closing().clone(), over: Box::pin(over) }
    }
}

/// Who calls, as was found before the call came here.
fn caller<T>(request: &Request<T>) -> Result<Principal, Status> {
    let who = request.extensions().get::<Principal>().cloned();
    who.ok_or_else(|| Status::internal("the caller is not known"))
}

/// How long the client waits: digits and a unit.
fn deadline<T>(request: &Request<T>) -> Option<Millis> {
    let text = request.metadata().get(DEADLINE)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let length = match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(Millis::from(length))
}

#[tonic::async_trait]
impl SessionGateway for Calls {
    async fn open_session(&self, request: Request<v1::OpenSessionRequest>) -> Answer<v1::OpenSessionResponse> {
        let who = caller(&request)?;
        let asked = request.into_inner();
        let tag = from_proto::text(asked.tag).map(|tag| tag.parse()).transpose();
        let request = OpenRequest {
            backend: from_proto::text(asked.backend),
            client_session_name: asked.client_session_name,
            tag: tag.map_err(|error| invalid(format!("tag: {error}")))?,
            command_timeout: from_proto::length("command_timeout", asked.command_timeout).map_err(|status| *status)?,
            options: from_proto::object("backend_options_json", &asked.backend_options_json)
                .map_err(|status| *status)?,
        };
        let opened = self.sessions.open(&who, request).await;
        let handle = opened.map_err(|error| self.refuse(&who, AuditAction::SessionOpen, "", &error))?;
        let session = self.session(&handle);
        self.allow(&who, AuditAction::SessionOpen, &session.session_id);
        let capabilities = CAPABILITIES.map(str::to_owned).to_vec();
        Ok(Response::new(v1::OpenSessionResponse { session: Some(session), capabilities }))
    }

    async fn get_session(&self, request: Request<v1::GetSessionRequest>) -> Answer<v1::GetSessionResponse> {
        let who = caller(&request)?;
        let handle = self.look(&who, &request.into_inner().session_id)?;
        Ok(Response::new(v1::GetSessionResponse { session: Some(self.session(&handle)) }))
    }

    async fn list_sessions(&self, request: Request<v1::ListSessionsRequest>) -> Answer<v1::ListSessionsResponse> {
        let who = caller(&request)?;
        let asked = request.into_inner();
        let size = match usize::try_from(asked.page_size).unwrap_or(MAX_PAGE) {
            0 => DEFAULT_PAGE,
            size => size.min(MAX_PAGE),
        };
        let states: Vec<SessionState> = asked.states().collect();
        if states.contains(&SessionState::Unspecified) {
            return Err(invalid("states must be states of a session"));
        }
        let epoch = self.sessions.epoch();
        let all = self.sessions.list(&who).into_iter().map(|summary| to_proto::session(summary, epoch));
        let wanted = all.filter(|session| states.is_empty() || states.contains(&session.state()));
        let mut sessions: Vec<_> =
            wanted.filter(|session| session.session_id > asked.page_token).take(size + 1).collect();
        let has_more = sessions.len() > size;
        sessions.truncate(size);
        let last = sessions.last().filter(|_| has_more).map(|session| session.session_id.clone());
        Ok(Response::new(v1::ListSessionsResponse { sessions, next_page_token: last.unwrap_or_default() }))
    }

    async fn invoke(&self, request: Request<v1::InvokeRequest>) -> Answer<v1::InvokeResponse> {
        let (who, deadline) = (caller(&request)?, deadline(&request));
        let asked = request.into_inner();
        let timeout = from_proto::length("timeout", asked.timeout).map_err(|status| *status)?;
        let timeout = [timeout, deadline].into_iter().flatten().min();
        let command = from_proto::command(asked.command).map_err(|status| *status)?;
        let handle = self.control(&who, &asked.session_id, AuditAction::Invoke)?;
        let id = from_proto::text(asked.command_id);
        let invoked = match asked.until_complete {
            true => handle.complete(id.as_deref(), timeout, command).await,
            false => handle.invoke(id.as_deref(), timeout, command).await,
        };
        let invoked = invoked.map_err(|error| status(&asked.session_id, &error))?;
        Ok(Response::new(to_proto::invoked(invoked)))
    }

    type StreamEventsStream = Streamed<v1::StreamEventsResponse>;

    async fn stream_events(&self, request: Request<v1::StreamEventsRequest>) -> Answer<Self::StreamEventsStream> {
        let (who, bounds) = (caller(&request)?, self.bounds(&request));
        let asked = request.into_inner();
        let epoch = from_proto::text(asked.epoch).map(|epoch| epoch.parse()).transpose();
        let epoch = epoch.map_err(|error| invalid(format!("epoch: {error}")))?;
        let from = SubscribeFrom { after: WorkerSeq::new(asked.after_worker_sequence), epoch };
        let (_, events) = self.subscribe(&who, &asked.session_id, SubscriberKind::External, from)?;
        Ok(Response::new(streams::events(events, asked.session_id, bounds)))
    }

    async fn close_session(&self, request: Request<v1::CloseSessionRequest>) -> Answer<v1::CloseSessionResponse> {
        let who = caller(&request)?;
        let id = request.into_inner().session_id;
        let handle = self.control(&who, &id, AuditAction::Cancel)?;
        self.allow(&who, AuditAction::Cancel, &id);
        let (state, already_closing) = handle.close().await.map_err(|error| status(&id, &error))?;
        let final_state = to_proto::state(&state).into();
        Ok(Response::new(v1::CloseSessionResponse { session_id: id, final_state, already_closing }))
    }

    async fn kill_worker(&self, request: Request<v1::KillWorkerRequest>) -> Answer<v1::KillWorkerResponse> {
        let who = caller(&request)?;
        let v1::KillWorkerRequest { session_id, reason } = request.into_inner();
        let handle = self.control(&who, &session_id, AuditAction::Cancel)?;
        let now = self.service.gateway().now();
        let reason_noted = Some(reason.chars().take(256).collect());
        self.note(
            &who,
            AuditEntry { reason: reason_noted, ..AuditEntry::allowed(now, AuditAction::Cancel) },
            &session_id,
        );
        let state = handle.kill(&reason).await.map_err(|error| status(&session_id, &error))?;
        Ok(Response::new(v1::KillWorkerResponse { session_id, final_state: to_proto::state(&state).into() }))
    }

    type StreamAlarmsStream = Streamed<v1::StreamAlarmsResponse>;

    async fn stream_alarms(&self, request: Request<v1::StreamAlarmsRequest>) -> Answer<Self::StreamAlarmsStream> {
        let (who, bounds) = (caller(&request)?, self.bounds(&request));
        let id = request.into_inner().session_id;
        // It has the back end say what is active, which changes what the session does. It takes no subscriber's place,
        // and keeps no session alive.
        let control = self.control(&who, &id, AuditAction::Subscribe)?;
        let from = SubscribeFrom { after: WorkerSeq::ZERO, epoch: None };
        let (_, events) = self.subscribe(&who, &id, SubscriberKind::Internal, from)?;
        let is_told = matches!(
            control.invoke(None, None, Command::SessionState).await.map_err(|error| status(&id, &error))?.result.done,
            Done::Session(state) if state.alarms
        );
        let command = if is_told { Command::RefreshAlarms } else { Command::SubscribeAlarms { area: String::new() } };
        let subscribed = control.invoke(None, None, command).await.map_err(|error| status(&id, &error))?;
        if !subscribed.result.success {
            return Err(Status::failed_precondition(subscribed.result.message));
        }
        Ok(Response::new(streams::alarms(events, id, bounds)))
    }

    async fn acknowledge_alarm(
        &self,
        request: Request<v1::AcknowledgeAlarmRequest>,
    ) -> Answer<v1::AcknowledgeAlarmResponse> {
        let (who, deadline) = (caller(&request)?, deadline(&request));
        let asked = request.into_inner();
        let handle = self.control(&who, &asked.session_id, AuditAction::Invoke)?;
        let command = Command::AcknowledgeAlarm { alarm: asked.alarm_id, comment: asked.comment };
        let id = from_proto::text(asked.command_id);
        let invoked = handle.invoke(id.as_deref(), deadline, command).await;
        let invoked = invoked.map_err(|error| status(&asked.session_id, &error))?;
        let result = to_proto::result(invoked.result, &invoked.backend);
        Ok(Response::new(v1::AcknowledgeAlarmResponse { result: Some(result) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        for (text, expected) in [
            ("500m", Some(500)),
            ("2S", Some(2_000)),
            ("1M", Some(60_000)),
            ("1H", Some(3_600_000)),
            ("5000u", Some(5)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("-1S", None),
            ("123456789S", None),
        ] {
            let mut request = Request::new(());
            if let Ok(value) = text.parse() {
                request.metadata_mut().insert(DEADLINE, value);
            }
            assert_eq!(deadline(&request), expected.map(Millis::new), "{text:?}");
        }
    }
}
