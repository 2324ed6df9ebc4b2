//! Requests of a session's client, carried out one by one in the order in which they came, and answered.

use moorline_core::Refusal;
use moorline_core::access::Action;
use moorline_core::audit::AuditAction;
use moorline_runtime::JobSummary;
use moorline_types::{MessageId, TraceId, TraceRef};
use moorline_wire::payload::{Cancel, Cancelled, Credential, ListJobs, SessionError, Subscribe, Unsubscribe};
use moorline_wire::profile::Asked;
use moorline_wire::vendor::{AuditQuery, Credentials, Extensions, Gc, Keys};
use moorline_wire::{ClientMessage, ErrorCode, Feature, Frame, JobRef, MessageType, RuntimeMessage};

use super::Driver;
use super::audit::Deed;
use super::slow::Request;
use crate::front::{from_wire, to_wire};
use crate::key_store::Told;

impl Driver<'_> {
    /// Carries a request out, and answers it.
    pub(super) async fn perform(&mut self, frame: Frame<ClientMessage>) {
        let asked = from_wire::asked(&frame);
        let Frame { id, job_id, trace_id, trace_parent, extensions, message, .. } = frame;
        let deed = Deed::of(&message, job_id.as_ref(), trace_id);
        let answered = match message {
            ClientMessage::Submit(submit) => {
                let trace = trace_parent.map(TraceRef::Parent).or(trace_id.map(TraceRef::Id));
                let request = Request { id, asked: asked.clone(), deed };
                self.submit(request, *submit, trace, &extensions).await
            }
            ClientMessage::Cancel(cancel) => self.cancel(&id, &cancel, job_id.as_ref(), trace_id).await,
            ClientMessage::Subscribe(subscribe) => self.subscribe(&id, &subscribe, &extensions).await,
            ClientMessage::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe).await,
            ClientMessage::Ack(ack) => match &mut self.session {
                Some(session) => session.acknowledge(ack.last_processed_seq),
                None => Ok(()),
            },
            ClientMessage::ListJobs(request) => self.list_jobs(&id, request).await,
            ClientMessage::Gc(request) => self.collect(&id, request).await,
            ClientMessage::Audit(query) => self.audit(&id, query).await,
            ClientMessage::Keys(request) => self.look_after_keys(&id, *request).await,
            ClientMessage::Credentials(what) => {
                let request = Request { id, asked: asked.clone(), deed };
                self.look_after_credentials(request, what).await
            }
            ClientMessage::Hello(_)
            | ClientMessage::Resume(_)
            | ClientMessage::Close(_)
            | ClientMessage::Bye(_)
            | ClientMessage::Ping(_)
            | ClientMessage::Pong(_) => Ok(()),
        };
        if let Err(refusal) = answered {
            self.accept_all().await;
            self.tell_refused(deed, &refusal, &asked);
        }
    }

    pub(super) fn tell_refused(&mut self, deed: Option<Deed>, refusal: &Refusal, asked: &Asked) {
        if let Some(deed) = deed {
            self.note_refused(deed, refusal);
        }
        // A refusal may repeat what it was asked for, and a secret may be in the wrong field.
        tracing::debug!(code = %to_wire::code(refusal), "a request is refused");
        self.refuse(refusal, asked);
    }

    /// The credentials of a job that this client is shown: the submitter's, if both sides have agreed on that.
    pub(super) fn credentials(&self, job: &JobSummary) -> Option<Vec<Credential>> {
        let session = self.session.as_ref().filter(|_| self.features.contains(Feature::ProvisionedCredentials))?;
        let credentials: Vec<_> = session.credentials(job).into_iter().map(to_wire::credential).collect();
        (!credentials.is_empty()).then_some(credentials)
    }

    async fn list_jobs(&mut self, id: &MessageId, request: ListJobs) -> Result<(), Refusal> {
        let Some(session) = &self.session else { return Ok(()) };
        let is_first = request.cursor.is_none();
        let page = session.list_jobs(&from_wire::list_jobs(request)).await?;
        if is_first {
            self.note_done(Deed::of_none(AuditAction::List));
        }
        self.push(None, to_wire::jobs(page, id));
        Ok(())
    }

    async fn look_after_keys(&mut self, id: &MessageId, request: Keys) -> Result<(), Refusal> {
        let Some(session) = &self.session else { return Ok(()) };
        session.authorise(Action::Administer)?;
        let (now, request) = (self.service.gateway().now(), from_wire::keys(request)?);
        let told = Told { trail: self.service.gateway().audit(), entry: self.done(Deed::of_none(AuditAction::Keys)) };
        let answer = self.service.keys().perform(session.principal(), now, request, told).await?;
        self.push(None, to_wire::keys_report(answer, id));
        Ok(())
    }

    async fn look_after_credentials(&mut self, request: Request, what: Credentials) -> Result<(), Refusal> {
        let Some(session) = &self.session else { return Ok(()) };
        session.authorise(Action::Administer)?;
        let gateway = self.service.gateway();
        let credentials = gateway.credentials().clone();
        match what {
            Credentials::List {} => {}
            Credentials::Retry {} => {
                credentials.hurry();
            }
            Credentials::Rotate { job_id, name } => return self.slow.rotate(request, gateway.clone(), job_id, name),
        }
        self.record_done(Deed::of_none(AuditAction::Credentials)).await?;
        self.push(None, to_wire::credentials_report(credentials.report(), None, &request.id));
        Ok(())
    }

    async fn collect(&mut self, id: &MessageId, request: Gc) -> Result<(), Refusal> {
        let Some(session) = &self.session else { return Ok(()) };
        let (dry_run, is_first) = (request.dry_run, request.cursor.is_none());
        let step = session.collect(from_wire::gc(request)).await?;
        if is_first || !dry_run {
            self.record_removal(&step, dry_run).await?;
        }
        self.push(None, to_wire::gc_report(step, dry_run, id));
        Ok(())
    }

    async fn audit(&mut self, id: &MessageId, query: AuditQuery) -> Result<(), Refusal> {
        let Some(session) = &self.session else { return Ok(()) };
        let is_first = query.cursor.is_none();
        let gateway = self.service.gateway();
        let (filter, cursor, limit) = from_wire::audit(query, gateway.now());
        let page = session.audit_page(&filter, cursor.as_deref(), limit).await?;
        // Who follows the trail would otherwise see himself look.
        if is_first {
            self.record_done(Deed::of_none(AuditAction::Audit)).await?;
        }
        self.push(None, to_wire::audit_page(page, id));
        Ok(())
    }

    async fn cancel(
        &mut self,
        id: &MessageId,
        cancel: &Cancel,
        envelope: Option<&JobRef>,
        trace_id: Option<TraceId>,
    ) -> Result<(), Refusal> {
        let Some(session) = &self.session else { return Ok(()) };
        let target = match cancel.target(envelope) {
            Ok(target) => target,
            Err(error) => {
                let refused = SessionError::new(ErrorCode::InvalidRequest, &error.to_string());
                let message_type = Some(MessageType::Cancel);
                self.tell(&refused, &Asked { id: Some(id.clone()), message_type, ..Asked::default() });
                return Ok(());
            }
        };
        let reason = cancel.reason.as_ref().map(ToString::to_string);
        let job = session.cancel(target.as_str(), reason.clone()).await?;
        self.record_done(Deed { action: AuditAction::Cancel, job: Some(job), trace_id }).await?;
        let cancelled = Cancelled { job_id: Some(job.into()), reason, request_id: Some(id.clone()) };
        self.push(Some(job), RuntimeMessage::Cancelled(cancelled));
        Ok(())
    }

    async fn subscribe(
        &mut self,
        id: &MessageId,
        subscribe: &Subscribe,
        extensions: &Extensions,
    ) -> Result<(), Refusal> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let default = self.service.gateway().options().overflow;
        let request = from_wire::subscribe(subscribe, extensions, self.features, default)?;
        let subscription = session.subscribe(subscribe.job_id.as_str(), request).await?;
        let job = subscription.job.job;
        let deed =
            Deed { action: AuditAction::Subscribe, job: Some(job), trace_id: subscription.job.accepted.trace_id };
        let (ruling, submitted_here) = (session.take_ruling(), subscription.job.accepted.session == session.id());
        if let Some(ruling) = ruling.clone().filter(|_| !submitted_here) {
            self.watched.insert(job, ruling);
        }
        self.note_ruled(deed, ruling);
        let is_new = self.traces.insert(job, subscription.job.accepted.trace_id).is_none();
        let credentials = self.credentials(&subscription.job);
        self.push(Some(job), to_wire::subscribed(&subscription, credentials, id));
        if is_new && subscription.job.status.is_terminal() && !subscription.replayed {
            // Nothing follows, so nothing would remove it.
            self.traces.remove(&job);
            self.watched.remove(&job);
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Result<(), Refusal> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.unsubscribe(unsubscribe.job_id.as_str()).await?;
        if let Some(job) = unsubscribe.job_id.known() {
            self.traces.remove(&job);
            self.watched.remove(&job);
        }
        Ok(())
    }
}
