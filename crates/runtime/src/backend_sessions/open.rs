//! Opening, closing and killing a session.

use moorline_backend::SessionInput;
use moorline_core::access::{Action, Relation, authorise};
use moorline_core::backend_session::{CloseReason, State};
use moorline_core::record::Accepted;
use moorline_store::PutError;
use moorline_types::{Json, Millis, Principal, Tag};

use super::drive::Worker;
use super::options::secret_in;
use super::shared::Session;
use super::{BackendSessions, SessionError, SessionHandle, id};
use crate::mint;
use crate::registry::JobHandle;
use crate::sync::lock;

/// The longest name of a session, in bytes: it is for people and begins every correlation id.
const MAX_NAME_BYTES: usize = 128;

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct OpenRequest {
    /// Which back end; the first of those that are configured if it is absent.
    pub backend: Option<String>,
    /// What the client calls it.
    pub client_session_name: String,
    /// Who may look at it.
    pub tag: Option<Tag>,
    /// How long a command may take unless it says otherwise.
    pub command_timeout: Option<Millis>,
    /// How the back end is set up: an object.
    pub options: Option<Json>,
}

/// A place for a session that is being opened. Given back when it is dropped.
struct Place<'a>(&'a BackendSessions);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.slots).opening -= 1;
    }
}

/// A session that is not ready yet. Dropped before it is, because its client has gone, it is ended.
struct Opening<'a> {
    handle: &'a SessionHandle,
    is_ready: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.is_ready {
            self.handle.session.tell(|inner| inner.machine.handle_kill());
            // Its driver ends with it, and removes what is kept of it.
            self.handle.sessions.free(self.handle.session.about.job);
        }
    }
}

impl BackendSessions {
    /// Opens a session: takes a place, starts a worker, and waits until its back end can be used.
    ///
    /// # Errors
    /// Why there is no session. Its place is free again then, and its worker ended.
    pub async fn open(&self, principal: &Principal, request: OpenRequest) -> Result<SessionHandle, SessionError> {
        authorise(principal, Action::Submit, Relation::Owner)
            .map_err(|denial| SessionError::Denied { needs: denial.needs })?;
        let backend = self.backend(request.backend.as_deref())?;
        let accepted_input = input(principal, &request)?;
        let place = self.take_place()?;
        let gateway = &self.0.gateway;
        let no_name = |_| SessionError::OpenFailed { reason: "the operating system gives no randomness".to_owned() };
        let worker = mint::worker_id(gateway.now()).map_err(no_name)?;
        let agent = id::agent_of(backend, worker);
        let agent = agent.ok_or_else(|| SessionError::OpenFailed { reason: format!("{backend} names no agent") })?;
        let session = mint::session_id(gateway.now()).map_err(no_name)?;
        let no_lease = |_| SessionError::OpenFailed { reason: "no lease".to_owned() };
        let lease = Json::of(&serde_json::Map::new()).map_err(no_lease)?;
        let tags = request.tag.into_iter().collect();
        let accepted = Accepted::new(session, principal.id.clone(), &agent, accepted_input, lease);
        let accepted = Accepted { tags, ..accepted };
        let job = gateway.accept_unwatched(accepted, gateway.quotas_of(principal)).await?.job;
        let failed = || SessionError::OpenFailed { reason: "its job ended at once".to_owned() };
        let job_handle = gateway.open_job(job).ok_or_else(failed)?;
        let JobHandle { accepted, accepted_at, .. } = job_handle;
        let session = Session::open(gateway.now(), job, &accepted, accepted_at, worker, &self.0.options);
        lock(&self.0.slots).sessions.insert(job, session.clone());
        drop(place);
        self.drive(session.clone(), Worker::Hired(self.0.workers.hire(worker, &agent)));
        let handle = SessionHandle { sessions: self.clone(), session, principal: principal.clone() };
        let mut opening = Opening { handle: &handle, is_ready: false };
        let unkept = |error: PutError| SessionError::OpenFailed { reason: format!("it cannot be noted: {error}") };
        self.0.kept.put(job).await.map_err(unkept)?;
        wait_until_ready(&handle).await?;
        opening.is_ready = true;
        self.metrics().sessions_opened.inc();
        drop(opening);
        Ok(handle)
    }

    fn backend(&self, asked: Option<&str>) -> Result<&'static str, SessionError> {
        let known = &self.0.options.backends;
        let found = match asked {
            None => known.first(),
            Some(asked) => known.iter().find(|known| **known == asked),
        };
        let unknown = || {
            let backend = asked.unwrap_or_default().chars().take(MAX_NAME_BYTES).collect();
            SessionError::UnknownBackend { backend, known: known.clone() }
        };
        found.copied().ok_or_else(unknown)
    }

    fn take_place(&self) -> Result<Place<'_>, SessionError> {
        let mut slots = lock(&self.0.slots);
        let limit = self.0.options.max_sessions;
        if slots.sessions.len() + slots.opening >= limit {
            return Err(SessionError::SessionLimit { limit });
        }
        slots.opening += 1;
        drop(slots);
        Ok(Place(self))
    }
}

/// The job's input, checked.
fn input(principal: &Principal, request: &OpenRequest) -> Result<Json, SessionError> {
    let invalid = |reason: String| SessionError::Invalid { reason };
    let OpenRequest { client_session_name: name, tag, command_timeout, options, .. } = request;
    if name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
        return Err(invalid(format!("client_session_name must have at most {MAX_NAME_BYTES} printable bytes")));
    }
    if tag.as_ref().is_some_and(|tag| !principal.grants.tags.contains(tag)) {
        return Err(SessionError::ForeignTag);
    }
    if command_timeout.is_some_and(|timeout| timeout == Millis::ZERO) {
        return Err(invalid("command_timeout must be more than nothing".to_owned()));
    }
    let options = options.as_ref().map(Json::to::<serde_json::Value>).transpose();
    let options = options.map_err(|error| invalid(format!("backend_options_json: {error}")))?;
    if options.as_ref().is_some_and(|options| !options.is_object()) {
        return Err(invalid("backend_options_json must be an object".to_owned()));
    }
    if let Some(field) = options.as_ref().and_then(secret_in) {
        let field: String = field.chars().take(MAX_NAME_BYTES).collect();
        return Err(invalid(format!(
            "backend_options_json is kept in the journal as it is, so nothing secret may be in it, as there is in {field}; \
             passwords belong into the operator's configuration of the back end, or into AuthenticateUser"
        )));
    }
    let client_session_name = name.clone();
    let input = SessionInput { client_session_name, command_timeout_ms: command_timeout.map(Millis::get), options };
    Json::of(&input).map_err(|error| invalid(error.to_string()))
}

async fn wait_until_ready(handle: &SessionHandle) -> Result<(), SessionError> {
    let mut state = handle.session.state.subscribe();
    let settled = |state: &State| !matches!(state, State::StartingWorker | State::Handshaking);
    let reason = match state.wait_for(settled).await.as_deref() {
        Ok(State::Ready | State::Reattaching) => return Ok(()),
        Ok(State::Faulted(fault)) => fault.message.clone(),
        Ok(State::Closing(CloseReason::OpenFailed) | State::Closed(CloseReason::OpenFailed)) => {
            let patience = handle.session.lock().machine.options().startup_timeout;
            format!("its back end could not be used within {} ms", patience.get())
        }
        Ok(State::StartingWorker | State::Handshaking | State::Closing(_) | State::Closed(_)) | Err(_) => {
            "it was closed meanwhile".to_owned()
        }
    };
    Err(SessionError::OpenFailed { reason })
}

impl SessionHandle {
    /// Closes the session in order and waits until it is. Answers where it stands then, and whether somebody else had
    /// begun to close it.
    ///
    /// # Errors
    /// If its worker did not close its back end in time. It is killed then, and the session is gone all the same.
    pub async fn close(&self) -> Result<(State, bool), SessionError> {
        let by = self.principal.id.clone();
        let closing = self.session.tell(|inner| {
            inner.closed_by.get_or_insert(by);
            inner.machine.handle_close(CloseReason::ClientClose)
        });
        Ok((self.wait_for_end().await?, closing.already))
    }

    /// Ends the session's worker at once, and the session with it.
    ///
    /// # Errors
    /// If the end does not come.
    pub async fn kill(&self, reason: &str) -> Result<State, SessionError> {
        if reason.trim().is_empty() {
            return Err(SessionError::Invalid { reason: "reason must say why the worker is killed".to_owned() });
        }
        let by = self.principal.id.clone();
        tracing::warn!(session = %self.summary().id, %by, "a session's worker is killed on demand");
        self.session.tell(|inner| {
            inner.closed_by.get_or_insert(by);
            inner.machine.handle_kill()
        });
        self.wait_for_end().await
    }

    async fn wait_for_end(&self) -> Result<State, SessionError> {
        let patience = self.sessions.0.options.shutdown_timeout;
        let mut state = self.session.state.subscribe();
        let over = |state: &State| matches!(state, State::Closed(_));
        let clock = self.sessions.0.gateway.clock();
        let deadline = self.sessions.0.gateway.now() + patience;
        let end = tokio::select! {
            end = state.wait_for(over) => end.ok().map(|state| state.clone()),
            () = clock.sleep_until(Some(deadline)) => None,
        };
        self.sessions.remove(self.session.about.job).await;
        let Some(end) = end else {
            self.session.tell(|inner| inner.machine.handle_kill());
            return Err(SessionError::CloseFailed { after: patience });
        };
        Ok(end)
    }
}
