//! A gateway, and the sessions in it.

use std::fmt;
use std::time::Duration;

use moorline_gateway_proto::v1;

use crate::backoff::Backoff;
use crate::call::{Caller, Patience, Repeat};
use crate::connect::ConnectError;
use crate::done::without;
use crate::error::CallError;
use crate::options::Options;
use crate::session::Session;

/// What a session is opened with. Everything may be left as it is.
#[derive(Debug, Clone, Default)]
pub struct OpenSession {
    /// What the session is called, for people.
    pub name: String,
    /// Which back end; the configured default if it is empty.
    pub backend: String,
    /// Marks the session with one of the caller's own tags: who has it too may look at the session.
    pub tag: String,
    /// How long a command may take unless it says otherwise; the configured default unless it is given.
    pub command_timeout: Option<Duration>,
    /// How the back end is to be set up: a JSON object that it understands. Empty is none.
    pub backend_options_json: String,
}

impl OpenSession {
    /// A session with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A connection to a session gateway. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct GatewayClient {
    caller: Caller,
}

impl GatewayClient {
    /// Connects. Whether the key is known is found out by the first call.
    ///
    /// # Errors
    /// If the options make no sense, or nobody answers.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        Ok(Self { caller: Caller::connect(&options).await? })
    }

    /// Opens a session, and waits until its back end can be used.
    ///
    /// # Errors
    /// If the gateway refuses, or there is no answer. In the latter case the session may be there:
    /// [`CallError::OutcomeUnknown`], and [`Self::sessions`] tells.
    pub async fn open(&self, open: OpenSession) -> Result<Session, CallError> {
        let request = v1::OpenSessionRequest {
            backend: open.backend,
            client_session_name: open.name,
            tag: open.tag,
            command_timeout: open.command_timeout.and_then(length),
            backend_options_json: open.backend_options_json,
        };
        let patience = Patience::of(self.caller.call_timeout());
        let attempt = |mut api: crate::connect::Api| {
            let request = request.clone();
            async move { api.open_session(request).await }
        };
        let opened = self.caller.call(Repeat::Never, patience, Backoff::default(), attempt).await?;
        Ok(Session::new(self.caller.clone(), &opened.session.ok_or(without("session"))?))
    }

    /// A session that there is already.
    ///
    /// # Errors
    /// If there is none that the caller may know of, or there is no answer.
    pub async fn attach(&self, session_id: &str) -> Result<Session, CallError> {
        Ok(Session::new(self.caller.clone(), &about(&self.caller, session_id).await?))
    }

    /// The sessions that the caller may see, the oldest first: all, or those that are in one of these states.
    ///
    /// # Errors
    /// If the gateway refuses, or there is no answer.
    pub async fn sessions(&self, states: &[v1::SessionState]) -> Result<Vec<v1::Session>, CallError> {
        let states: Vec<i32> = states.iter().map(|state| i32::from(*state)).collect();
        let mut sessions = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListSessionsRequest { states: states.clone(), page_size: 0, page_token };
            let page = self.caller.look(|mut api| {
                let request = request.clone();
                async move { api.list_sessions(request).await }
            });
            let page = page.await?;
            sessions.extend(page.sessions);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(sessions);
            }
        }
    }
}

/// What there is to know of a session.
pub(crate) async fn about(caller: &Caller, session_id: &str) -> Result<v1::Session, CallError> {
    let found = caller.look(|mut api| {
        let request = v1::GetSessionRequest { session_id: session_id.to_owned() };
        async move { api.get_session(request).await }
    });
    found.await?.session.ok_or(without("session"))
}

/// A length of time as the API has it; none if it is longer than the API can say.
pub(crate) fn length(length: Duration) -> Option<prost_types::Duration> {
    length.try_into().ok()
}

impl fmt::Debug for GatewayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayClient").finish_non_exhaustive()
    }
}
