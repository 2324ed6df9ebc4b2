//! Requests that wait for an upstream, beside everything else that the connection does.
//!
//! A client that waits for a credential is answered pings, sees its jobs, and may ask for other things. What it asks for
//! and is answered later is bounded, and gone without a trace when the connection is: whatever was issued is withdrawn.
//!
//! A client that takes acceptances in the order of its submissions gets them so: its next submission begins when the one
//! before is answered.

use std::collections::VecDeque;

use futures_util::future::BoxFuture;
use moorline_core::Refusal;
use moorline_core::audit::AuditAction;
use moorline_runtime::session::{Checked, Prepared};
use moorline_runtime::{Gateway, JobSummary};
use moorline_types::{CredentialId, MessageId, TraceRef};
use moorline_wire::JobRef;
use moorline_wire::payload::Submit;
use moorline_wire::profile::{Asked, Profile};
use moorline_wire::vendor::Extensions;

use super::Driver;
use super::audit::Deed;
use crate::front::{from_wire, to_wire};

/// Requests of one connection that may wait. Each holds what was submitted, of at most a frame; a client that has so many
/// credentials issued at once is not waited for by anybody.
const MAX_SLOW: usize = 16;

/// Who is to be answered.
#[derive(Debug)]
pub(super) struct Request {
    /// The request.
    pub(super) id: MessageId,
    /// The same, as refusals name it.
    pub(super) asked: Asked,
    /// What it is in the audit trail.
    pub(super) deed: Option<Deed>,
}

/// What came of it.
pub(super) enum Outcome {
    /// A submission is ready to be accepted, or is not.
    Submission(Box<Prepared>),
    /// A credential of this job has another value, or not.
    Rotation(JobRef, Result<CredentialId, Refusal>),
}

/// What is over.
pub(super) struct Done {
    pub(super) request: Request,
    pub(super) outcome: Outcome,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Slow {
    under_way: Vec<BoxFuture<'static, Done>>,
    /// Submissions that begin one after the other.
    waiting: VecDeque<(Request, Checked)>,
}

impl Slow {
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Takes a submission in: it begins at once, or when those before it are answered.
    pub(super) fn submit(&mut self, request: Request, checked: Checked, in_order: bool) -> Result<(), Refusal> {
        self.check_room()?;
        if in_order && !self.is_empty() {
            self.waiting.push_back((request, checked));
        } else {
            self.begin(request, checked);
        }
        Ok(())
    }

    fn begin(&mut self, request: Request, checked: Checked) {
        let prepare = async { Done { request, outcome: Outcome::Submission(Box::new(checked.prepare().await)) } };
        self.under_way.push(Box::pin(prepare));
    }

    /// Has another value issued for a credential.
    pub(super) fn rotate(
        &mut self,
        request: Request,
        gateway: Gateway,
        job: JobRef,
        name: Option<CredentialId>,
    ) -> Result<(), Refusal> {
        self.check_room()?;
        self.under_way.push(Box::pin(async move {
            let rotated = gateway.rotate_credential(job.as_str(), name).await;
            Done { request, outcome: Outcome::Rotation(job, rotated) }
        }));
        Ok(())
    }

    /// What is over first. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Done {
        if self.under_way.is_empty() {
            return std::future::pending().await;
        }
        let (done, at, _) = futures_util::future::select_all(self.under_way.iter_mut()).await;
        drop(self.under_way.swap_remove(at));
        if self.under_way.is_empty()
            && let Some((request, checked)) = self.waiting.pop_front()
        {
            self.begin(request, checked);
        }
        done
    }

    fn check_room(&self) -> Result<(), Refusal> {
        if self.under_way.len() + self.waiting.len() < MAX_SLOW {
            return Ok(());
        }
        let reason = format!("{MAX_SLOW} requests of this connection wait already");
        Err(Refusal::CredentialUnavailable { reason })
    }
}

impl Driver<'_> {
    /// Takes a submission in, and answers it at once if no upstream is in its way.
    pub(super) async fn submit(
        &mut self,
        request: Request,
        submit: Submit,
        trace: Option<TraceRef>,
        extensions: &Extensions,
    ) -> Result<(), Refusal> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let checked = session.check_submission(from_wire::submit(submit, trace, extensions, self.features)?)?;
        let in_order = self.profile.unwrap_or(Profile::Spec).quirks().answers_in_order;
        // One of the same name may be among those that wait.
        if checked.waits() || !self.slow.is_empty() && (in_order || checked.is_named()) {
            return self.slow.submit(request, checked, in_order);
        }
        if !checked.is_plain() {
            self.accept_all().await;
            let prepared = checked.prepare().await;
            return self.finish_submission(&request.id, prepared).await;
        }
        let prepared = checked.prepare().await;
        self.accept_later(request, prepared).await;
        Ok(())
    }

    /// Goes on with a request for which the upstream has answered.
    pub(super) async fn handle_slow(&mut self, done: Done) {
        let Done { request: Request { id, asked, deed }, outcome } = done;
        let answered = match outcome {
            Outcome::Submission(prepared) => self.finish_submission(&id, *prepared).await,
            Outcome::Rotation(job, Ok(rotated)) => self.tell_rotated(&id, &job, rotated).await,
            Outcome::Rotation(_, Err(refusal)) => Err(refusal),
        };
        if let Err(refusal) = answered {
            self.tell_refused(deed, &refusal, &asked);
        }
    }

    async fn finish_submission(&mut self, id: &MessageId, prepared: Prepared) -> Result<(), Refusal> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let job = session.finish_submission(prepared).await?;
        self.tell_accepted(id, &job);
        Ok(())
    }

    pub(super) fn tell_accepted(&mut self, id: &MessageId, job: &JobSummary) {
        let deed = Deed { action: AuditAction::Submit, job: Some(job.job), trace_id: job.accepted.trace_id };
        self.note_done(deed);
        self.traces.insert(job.job, job.accepted.trace_id);
        let credentials = self.credentials(job);
        self.push(Some(job.job), to_wire::accepted(job, credentials, id, self.features));
        self.has_begun = true;
    }

    /// A credential has another value: the trail has it before whoever asked.
    async fn tell_rotated(&mut self, id: &MessageId, job: &JobRef, rotated: CredentialId) -> Result<(), Refusal> {
        let deed = Deed { job: job.known(), ..Deed::of_none(AuditAction::Credentials) };
        self.record_rotation(deed, rotated).await?;
        let report = self.service.gateway().credentials().report();
        self.push(None, to_wire::credentials_report(report, Some(rotated), id));
        Ok(())
    }
}
