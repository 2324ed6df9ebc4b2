//! Submitting, in steps: what is asked for is checked, then prepared, and then a job is accepted.
//!
//! Only the first and the last step need the session. What is between them may take as long as an upstream does that is to
//! issue a credential, so a connection can go on with other things meanwhile. Nothing is durable before the last step; what
//! is dropped before leaves nothing.

use moorline_core::Refusal;
use moorline_core::access::{Action, Asked, Granted, Ruling, check_submission};
use moorline_core::credential::names_models;
use moorline_core::delegation::{Delegation, DelegationError, Wanted};
use moorline_core::record::{Accepted, Overflow, SubmitterBounds};
use moorline_types::{JobId, Principal, SessionId, Timestamp};

use super::{SessionHandle, SubmitParent, SubmitRequest, attached};
use crate::claims::FreeKey;
use crate::gateway::{Candidate, Gateway, JobSummary, Submission, no_entropy};
use crate::mint;
use crate::registry::SubmittedBelow;
use crate::ruled::Ruled;

/// A submission that its principal may make.
#[derive(Debug)]
pub struct Checked {
    gateway: Gateway,
    principal: Principal,
    session: SessionId,
    request: SubmitRequest,
    /// Whether the session can watch one more job.
    room: Result<(), Refusal>,
    ruling: Option<Ruling>,
}

/// What came of it, as far as the session is not needed.
#[derive(Debug)]
pub struct Prepared {
    outcome: Result<Outcome, Refusal>,
    overflow: Overflow,
    ruling: Option<Ruling>,
}

/// What has become of a submission.
#[derive(Debug)]
pub struct Finished {
    /// The job that it is accepted as, or why it is not.
    pub outcome: Result<JobSummary, Refusal>,
    /// The decision about it.
    pub ruling: Option<Ruling>,
}

#[derive(Debug)]
enum Outcome {
    /// A job that is to be accepted.
    New(Box<Candidate>),
    /// A job that there is.
    Known(JobSummary),
}

impl SessionHandle {
    /// Submits a job; the session sees it from its first record on. A submission that is repeated with its key is
    /// answered with the job that it was accepted as; a session that does not watch that job sees it from its first
    /// record on too.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit(&mut self, request: SubmitRequest) -> Result<JobSummary, Refusal> {
        let prepared = self.check_submission(request)?.prepare().await;
        self.finish_submission(prepared).await
    }

    /// The first step: whether the principal may submit this.
    ///
    /// # Errors
    /// Why not.
    pub fn check_submission(&self, request: SubmitRequest) -> Result<Checked, Refusal> {
        self.authorise(Action::Submit)?;
        let asked =
            Asked { agent: &request.agent.name, lease: &request.lease, max_runtime_sec: request.max_runtime_sec };
        let granted = check_submission(self.principal(), asked, self.gateway.options().unasked)?;
        // What follows without being asked for does not below another job: a child has what it asks of its parent.
        let request = match request.parent {
            Some(_) => request,
            None => {
                let Granted { lease, max_runtime_sec } = granted;
                SubmitRequest { lease, max_runtime_sec, ..request }
            }
        };
        Ok(Checked {
            gateway: self.gateway.clone(),
            principal: self.principal().clone(),
            session: self.id(),
            request,
            room: self.check_room(),
            ruling: self.ruled.take(),
        })
    }

    /// The last step: the job is accepted, if it is new.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn finish_submission(&mut self, prepared: Prepared) -> Result<JobSummary, Refusal> {
        let finished = self.finish_submissions(vec![prepared]).await.pop();
        let Finished { outcome, ruling } = finished.expect("one goes in, one comes out");
        self.ruled.restore(ruling);
        outcome
    }

    /// The last step of several submissions, in their order: the jobs that are new are accepted in one commit. No two may
    /// be of the same name.
    pub async fn finish_submissions(&mut self, prepared: Vec<Prepared>) -> Vec<Finished> {
        let (mut decided, mut entering) = (Vec::with_capacity(prepared.len()), Vec::new());
        for Prepared { outcome, overflow, ruling } in prepared {
            let outcome = match outcome {
                Ok(Outcome::New(candidate)) => match self.check_room_for(entering.len()) {
                    Ok(()) => {
                        entering.push((*candidate, overflow));
                        None
                    }
                    Err(refusal) => Some(Err(refusal)),
                },
                Ok(Outcome::Known(summary)) => {
                    Some(self.watch_from_start(summary.job, overflow).await.map(|()| summary))
                }
                Err(refusal) => Some(Err(refusal)),
            };
            decided.push((outcome, ruling));
        }
        let mut entered = self.enter_all(entering).await.into_iter();
        let finish =
            |(outcome, ruling): (Option<_>, _)| Some(Finished { outcome: outcome.or_else(|| entered.next())?, ruling });
        decided.into_iter().filter_map(finish).collect()
    }

    /// Has these jobs accepted; the session sees each from its first record on.
    async fn enter_all(&mut self, entering: Vec<(Candidate, Overflow)>) -> Vec<Result<JobSummary, Refusal>> {
        let (candidates, overflows): (Vec<_>, Vec<_>) = entering.into_iter().unzip();
        let session = &self.session;
        let mut overflow = overflows.iter().copied();
        let attach = |now: Timestamp, job: JobId, earlier: u64| {
            Some(session.record(now, earlier, &attached(job, overflow.next().unwrap_or_default())))
        };
        let entered = self.gateway.enter_all(candidates, attach).await;
        for (outcome, overflow) in entered.iter().zip(overflows) {
            if let Ok(summary) = outcome {
                self.session.handle_committed([&attached(summary.job, overflow)]);
            }
        }
        entered
    }

    /// The last decision is this one.
    pub fn restore_ruling(&self, ruling: Option<Ruling>) {
        self.ruled.restore(ruling);
    }
}

impl Prepared {
    /// Bytes of what was submitted.
    pub fn bytes(&self) -> usize {
        match &self.outcome {
            Ok(Outcome::New(candidate)) => candidate.bytes(),
            Ok(Outcome::Known(_)) | Err(_) => 0,
        }
    }
}

impl Checked {
    /// Whether the next step may have to wait for an upstream.
    pub fn waits(&self) -> bool {
        let SubmitRequest { lease, takes_credentials, parent, .. } = &self.request;
        self.gateway.credentials().is_configured() && (*takes_credentials || parent.is_some()) && names_models(lease)
    }

    /// Whether it is a new job whatever else is submitted, and nothing is waited for: then it may be accepted together
    /// with others.
    pub fn is_plain(&self) -> bool {
        !self.waits() && !self.is_named() && self.request.parent.is_none()
    }

    /// Whether it has a name by which it may be sent again: then it waits for others of that name.
    pub const fn is_named(&self) -> bool {
        self.request.idempotency.is_some()
    }

    /// The second step, beside the session.
    pub async fn prepare(mut self) -> Prepared {
        let (overflow, ruling) = (self.request.overflow, self.ruling.take());
        let ruled = Ruled::default();
        ruled.restore(ruling);
        let outcome = self.decide(&ruled).await;
        Prepared { outcome, overflow, ruling: ruled.take() }
    }

    async fn decide(self, ruled: &Ruled) -> Result<Outcome, Refusal> {
        let Self { gateway, principal, session, mut request, room, .. } = self;
        let key = match request.idempotency.take() {
            None => None,
            Some(idempotency) => match gateway.recognise(&principal.id, idempotency).await? {
                Submission::New(key) => key,
                Submission::Repeated(summary) => return Ok(Outcome::Known(summary)),
            },
        };
        room?;
        match request.parent.take() {
            None => candidate(&gateway, &principal, session, request, key).await,
            Some(parent) => {
                let below = below(gateway.now(), session, &parent, request, key)?;
                gateway.delegate(&principal, &parent.job, below, ruled).await.map(Outcome::Known)
            }
        }
    }
}

async fn candidate(
    gateway: &Gateway,
    principal: &Principal,
    session: SessionId,
    request: SubmitRequest,
    key: Option<FreeKey>,
) -> Result<Outcome, Refusal> {
    let agent = gateway.agents().inventory().resolve(&request.agent)?;
    let accepted = Accepted {
        tags: principal.grants.tags.clone(),
        max_runtime_sec: request.max_runtime_sec,
        expires_at: request.expires_at,
        bounds: SubmitterBounds::of(principal),
        ..Accepted::new(session, principal.id.clone(), &agent, request.input, request.lease)
    };
    let quotas = gateway.quotas_of(principal);
    let candidate = gateway.candidate(accepted, request.trace, quotas, key, request.takes_credentials).await?;
    Ok(Outcome::New(Box::new(candidate)))
}

/// What is submitted below a job.
fn below(
    now: Timestamp,
    session: SessionId,
    parent: &SubmitParent,
    request: SubmitRequest,
    key: Option<FreeKey>,
) -> Result<SubmittedBelow, Refusal> {
    let delegate_id = match &parent.delegate_id {
        Some(named) => named.clone(),
        None => mint::message_id(now).map_err(no_entropy)?.to_string(),
    };
    let SubmitRequest { agent, input, lease, max_runtime_sec, expires_at, takes_credentials, .. } = request;
    let wanted = Wanted::new(agent, input, lease);
    let wanted = wanted.map(|wanted| Wanted { max_runtime_sec, expires_at, ..wanted });
    let delegation = Delegation::new(delegate_id, wanted)
        .map_err(|problem| DelegationError::Malformed { problem }.into_refusal())?;
    Ok(SubmittedBelow { delegation, session, takes_credentials, key })
}
