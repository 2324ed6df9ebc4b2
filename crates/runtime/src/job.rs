//! The task that drives one job: [`moorline_core::job::Job`] between its worker and the store.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::delegation::Delegation;
use moorline_core::job::{DeadlineReason, DelegationAsked, Effect, Job, Report, ReportError, Status, Until};
use moorline_core::span::{Moment, Question};
use moorline_store::{AppendError, Change, CommittedBatch, Store, StoreFault};
use moorline_types::{
    Batch, Capability, CredentialId, EventKind, Fence, JobId, StreamSeq, Timestamp, TraceId, Units, WorkerSeq, limits,
};
use moorline_worker::message::{self, Answer, Ask, AskId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::claims::FreeKey;
use crate::gateway::JobSummary;
use crate::intake::{Intake, Load};
use crate::job_index::{End, remaining};
use crate::jobs::{Jobs, entries_of_children};
use crate::pool::verdict;
use crate::registry::{JobHandle, JobInput, Place, Progress, SubmittedBelow};
use crate::spans::{Timed, Worth};
use crate::stored::Account;

mod credentials;

use credentials::{Done, JobCredentials, rotated};

/// Inputs, and reports in them, that are taken in before the store is asked again. They share one append, so a burst
/// costs one commit.
const INPUTS_PER_APPEND: usize = limits::MAX_BATCH_RECORDS;

/// A job's task, and what it needs.
#[derive(Debug)]
pub(crate) struct JobTask {
    jobs: Arc<Jobs>,
    job: Job,
    place: Place,
    credentials: JobCredentials,
    /// The room for children whose acceptance is decided and not committed, by delegation.
    rooms: BTreeMap<Box<str>, Place>,
    /// The keys that such children are to have.
    keys: BTreeMap<JobId, FreeKey>,
    /// Who has submitted children that wait for their credentials.
    submitted: BTreeMap<JobId, oneshot::Sender<Result<JobId, Refusal>>>,
    /// Who waits for another value of the job's credential.
    rotating: Vec<oneshot::Sender<Result<CredentialId, Refusal>>>,
    inbox: mpsc::Receiver<JobInput>,
    intake: Arc<Intake>,
    /// What was taken in of it and is not committed.
    taken: Load,
    progress: watch::Sender<Progress>,
    /// The append under way, if it may be told of.
    timed: Option<Timed>,
    /// Bytes of the job's committed records.
    stored: u64,
    /// Where its owner's are counted.
    account: Account,
}

type Append = Pin<Box<dyn Future<Output = Result<CommittedBatch, AppendError>> + Send>>;

/// Requests that are confirmed once the record with this number is committed.
type Confirmations = VecDeque<(StreamSeq, Confirmation)>;

/// A request that waits for its record, and who asked.
#[derive(Debug)]
enum Confirmation {
    /// To end the job.
    Cancel(oneshot::Sender<Result<(), Refusal>>),
    /// To make this child.
    Delegate(JobId, oneshot::Sender<Result<JobId, Refusal>>),
    /// To say what is left of the budget, which was this.
    Remaining(BTreeMap<Box<str>, Units>, oneshot::Sender<BTreeMap<Box<str>, Units>>),
    /// To give this credential another value.
    Rotate(CredentialId, oneshot::Sender<Result<CredentialId, Refusal>>),
}

impl Confirmation {
    fn confirm(self) {
        match self {
            Self::Cancel(to) => answer(to, Ok(())),
            Self::Delegate(child, to) => answer(to, Ok(child)),
            Self::Rotate(credential, to) => answer(to, Ok(credential)),
            // Whoever asked may have stopped waiting.
            Self::Remaining(left, to) => to.send(left).map_or((), drop),
        }
    }
}

impl JobTask {
    pub(crate) fn new(
        jobs: Arc<Jobs>,
        job: Job,
        place: Place,
        inbox: mpsc::Receiver<JobInput>,
        intake: Arc<Intake>,
        progress: watch::Sender<Progress>,
        stored: u64,
    ) -> Self {
        let (rooms, keys, taken) = (BTreeMap::new(), BTreeMap::new(), Load::default());
        let account = jobs.stored.of(job.owner());
        let credentials = JobCredentials::new(jobs.credentials.clone());
        let (timed, submitted, rotating) = (None, BTreeMap::new(), Vec::new());
        Self {
            jobs,
            job,
            place,
            credentials,
            rooms,
            keys,
            submitted,
            rotating,
            inbox,
            intake,
            taken,
            progress,
            timed,
            stored,
            account,
        }
    }

    /// Drives the job to its end.
    #[tracing::instrument(name = "job", skip_all, fields(job = %self.job.id(), trace_id = self.trace()))]
    pub(crate) async fn run(mut self) {
        let mut append: Option<Append> = None;
        let mut confirmations = Confirmations::new();
        let stopping = self.jobs.tasks.stopping().clone();
        let clock = self.jobs.clock.clone();
        let over = loop {
            if append.is_none() {
                let (parent, store, credentials) = (self.job.id(), &self.jobs.store, &self.credentials);
                let keys = &self.keys;
                append = self.job.poll_append().map(|batch| {
                    self.timed = Timed::begin(&self.job, &clock, &batch.records);
                    let mut changes = entries_of_children(&batch, parent, keys, clock.now());
                    changes.extend(credentials.changes(&batch));
                    start_append(store, batch, changes)
                });
            }
            self.release_committed();
            // Before anything is issued for a child.
            if let Some(sharing) = self.job.poll_sharing() {
                self.credentials.share(self.job.id(), sharing);
            }
            if self.perform_effects() {
                break true;
            }
            self.publish(&mut confirmations);
            let deadline = self.job.poll_timeout();
            tokio::select! {
                result = appended(&mut append) => {
                    append = None;
                    if !self.handle_appended(result) {
                        break false;
                    }
                }
                done = self.credentials.next() => self.handle_credentials(done, &mut confirmations),
                Some(input) = self.inbox.recv() => self.handle_inputs(input, &mut confirmations),
                () = clock.sleep_until(deadline.map(|deadline| deadline.at)) => {
                    if deadline.is_some_and(|deadline| deadline.why == DeadlineReason::LeaseExpiry) {
                        self.jobs.pool.record_expiry(self.job.id(), self.job.accepted());
                    }
                    self.job.handle_timeout(clock.now());
                }
                // The job stays open in the store, and the next start takes it up.
                () = stopping.cancelled() => break false,
            }
        };
        self.publish(&mut confirmations);
        self.finish(over);
    }

    /// The job's trace, for log lines.
    fn trace(&self) -> Option<&str> {
        self.job.accepted().trace_id.as_ref().map(TraceId::as_str)
    }

    fn handle_inputs(&mut self, first: JobInput, confirmations: &mut Confirmations) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(input) = next {
            taken += if let JobInput::Reports { reports, .. } = &input { reports.len() } else { 1 };
            self.handle_input(input, confirmations);
            next = if taken < INPUTS_PER_APPEND { self.inbox.try_recv().ok() } else { None };
        }
    }

    fn handle_input(&mut self, input: JobInput, confirmations: &mut Confirmations) {
        let now = self.jobs.clock.now();
        match input {
            JobInput::Attached { worker, fence } => self.job.handle_attached(now, worker, fence),
            JobInput::WorkerLost { worker, lost } => self.job.handle_worker_lost(now, worker, lost),
            JobInput::Abandon { message } => self.job.handle_abandoned(now, message),
            JobInput::Reports { fence, first, reports } => {
                self.taken += Load::of(&reports);
                let mut worker_seq = first;
                for report in reports {
                    if let Err(error) = self.handle_report(now, fence, worker_seq, report) {
                        tracing::warn!(%error, "a report was not taken in; its worker is dropped");
                        self.jobs.pool.drop_link(fence);
                        return;
                    }
                    worker_seq = worker_seq.next();
                }
            }
            JobInput::Ask { fence, id, after, ask: Ask::Authorize { capability, target } } => {
                let start = self.jobs.clock.moment();
                match self.job.handle_authorize(now, fence, after, &capability, &target) {
                    Ok(answer) => {
                        if let Err(denied) = &answer {
                            self.jobs.pool.record_denial(&self.job, &capability, &target, denied);
                        }
                        let answer = verdict(answer);
                        self.tell_question(id, &capability, start, &answer);
                        self.jobs.pool.answer(fence, self.job.id(), id, answer);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a question was not taken in; its worker is dropped");
                        self.jobs.pool.drop_link(fence);
                    }
                }
            }
            JobInput::Ask { fence, id, ask: Ask::Delegation { delegate_id, until }, .. } => {
                let until = match until {
                    message::Until::Begun => Until::Begun,
                    message::Until::Ended => Until::Ended,
                };
                let asked = DelegationAsked { ask: id.get(), delegate_id: delegate_id.into(), until };
                self.job.handle_delegation_asked(fence, asked);
            }
            JobInput::Rotate { name, rotated } => match self.job.handle_rotation_asked(name) {
                Ok(_) => self.rotating.push(rotated),
                Err(refusal) => answer(rotated, Err(refusal)),
            },
            JobInput::Remaining { told } => {
                let confirmation = Confirmation::Remaining(remaining(&self.job), told);
                confirmations.push_back((self.job.last_decided(), confirmation));
            }
            JobInput::CancelByParent => {
                let reason = Some("the job that delegated it is to end".to_owned());
                if let Err(refusal) = self.job.handle_cancel(now, None, reason) {
                    tracing::debug!(%refusal, "the parent's end comes after the job's own");
                }
            }
            JobInput::ChildEnded { ending } => self.job.handle_child_ended(now, *ending),
            JobInput::ChildMissing { child } => self.job.handle_child_missing(now, child),
            JobInput::FamilyRecovered => self.job.handle_family_recovered(now),
            JobInput::Shortened { bytes } => {
                self.stored = self.stored.saturating_sub(bytes);
                self.jobs.stored.remove(self.job.owner(), bytes);
            }
            JobInput::Cancel { by, reason, confirmed } => match self.job.handle_cancel(now, by, reason) {
                Ok(at) => confirmations.push_back((at, Confirmation::Cancel(confirmed))),
                Err(refusal) => answer(confirmed, Err(refusal)),
            },
            JobInput::Delegate { below, accepted } => match self.handle_submitted(now, *below) {
                Ok((child, Some(at))) => confirmations.push_back((at, Confirmation::Delegate(child, accepted))),
                Ok((child, None)) => drop(self.submitted.insert(child, accepted)),
                Err(refusal) => answer(accepted, Err(refusal)),
            },
        }
    }

    /// Takes a report in. A delegation is looked into first.
    fn handle_report(
        &mut self,
        now: Timestamp,
        fence: Fence,
        worker_seq: WorkerSeq,
        report: Report,
    ) -> Result<(), ReportError> {
        let Report::Event { kind: EventKind::Delegate, ts, body } = report else {
            return self.job.handle_report(now, fence, worker_seq, report);
        };
        let delegation = match Delegation::read(&body) {
            Ok(delegation) => delegation,
            Err(problem) => {
                let (kind, body) = Report::dropped(&EventKind::Delegate, &problem);
                return self.job.handle_report(now, fence, worker_seq, Report::Event { kind, ts, body });
            }
        };
        let (mut found, place) = self.jobs.look(self.job.accepted(), &delegation, false);
        // One that is told again was counted.
        if found.room.is_ok() && self.job.expects(worker_seq) {
            found.room = self.jobs.count_delegation(self.job.accepted());
        }
        let delegate_id = delegation.delegate_id.clone();
        let was_open = self.job.has_open_child(&delegate_id);
        let report = Report::Delegate { delegation: Box::new(delegation), found: Box::new(found) };
        self.job.handle_report(now, fence, worker_seq, report)?;
        if let (false, true, Some(place)) = (was_open, self.job.has_open_child(&delegate_id), place) {
            self.rooms.insert(delegate_id, place);
        }
        Ok(())
    }

    /// Takes in a submission below the job, as a delegation of its own.
    fn handle_submitted(
        &mut self,
        now: Timestamp,
        below: SubmittedBelow,
    ) -> Result<(JobId, Option<StreamSeq>), Refusal> {
        let SubmittedBelow { delegation, session, takes_credentials, key } = below;
        let (found, place) = self.jobs.look(self.job.accepted(), &delegation, takes_credentials);
        let delegate_id = delegation.delegate_id.clone();
        let made = self.job.handle_submitted(now, session, delegation, found)?;
        self.rooms.extend(place.map(|place| (delegate_id, place)));
        self.keys.extend(key.map(|key| (made.0, key)));
        Ok(made)
    }

    /// Takes in what came of the job's credentials.
    fn handle_credentials(&mut self, done: Done, confirmations: &mut Confirmations) {
        let now = self.jobs.clock.now();
        match done {
            Done::Issued { child, issued } => {
                let is_gone = self.submitted.get(&child).is_some_and(oneshot::Sender::is_closed);
                let issued = if is_gone { Err(nobody_waits()) } else { issued };
                let told = issued.as_ref().map(|pending| pending.as_ref().and_then(|one| one.provisioned()).cloned());
                // If there is no child, what is dropped is withdrawn.
                if let Some(at) = self.job.handle_child_issued(now, child, told.map_err(Clone::clone)) {
                    self.credentials.commit_of(child, issued.ok().flatten());
                    let submitted = self.submitted.remove(&child);
                    confirmations.extend(submitted.map(|to| (at, Confirmation::Delegate(child, to))));
                }
            }
            Done::Withdrawn => self.job.handle_revoked(now),
            Done::Replaced(pending) => match rotated(&pending) {
                Some(rotated) if self.job.handle_rotated(now, rotated) => {
                    self.credentials.commit(*pending);
                    let (at, credential) = (self.job.last_decided(), rotated.credential);
                    let asked = self.rotating.drain(..);
                    confirmations.extend(asked.map(|to| (at, Confirmation::Rotate(credential, to))));
                }
                // A job that is over takes none: what is dropped is withdrawn.
                Some(_) | None => {
                    let status = self.job.status();
                    self.rotating.drain(..).for_each(|to| answer(to, Err(Refusal::JobEnded { status })));
                }
            },
            Done::NotReplaced(refusal) => {
                self.job.handle_not_rotated(now);
                self.rotating.drain(..).for_each(|to| answer(to, Err(refusal.clone())));
            }
        }
    }

    /// Takes the store's answer in. Answers whether the job can go on.
    fn handle_appended(&mut self, result: Result<CommittedBatch, AppendError>) -> bool {
        let now = self.jobs.clock.now();
        match result {
            Ok(committed) => {
                let bytes = committed.body_bytes() as u64;
                self.stored += bytes;
                self.account.add(bytes);
                self.credentials.handle_committed(&committed);
                self.job.handle_committed(now);
                self.tell_spans(None);
            }
            Err(
                AppendError::Conflict { .. }
                | AppendError::Document { .. }
                | AppendError::TooLarge { .. }
                | AppendError::Closed,
            ) => {
                // Another writer owns the job, or the store is gone: nothing this task could decide counts any more.
                tracing::error!("the journal takes no more records of this job from this gateway");
                return false;
            }
            Err(AppendError::Store { kind, source }) => {
                tracing::error!(%kind, %source, "records were not appended and will be offered again");
                self.job.handle_refused(now);
                self.tell_spans(Some(kind));
            }
        }
        true
    }

    /// Tells of the append that the store has answered, with this fault if it refused, and of what is finished by it.
    fn tell_spans(&mut self, refused: Option<StoreFault>) {
        let spans = &self.jobs.spans;
        if let Some(timed) = self.timed.take() {
            let is_last = self.job.is_settled() && self.job.status().is_terminal();
            let worth = if is_last { Worth::Always } else { Worth::IfSlow };
            let refused = refused.map(|fault| fault.to_string());
            timed.end(&self.job, &self.jobs.clock, spans, worth, refused.as_deref());
        }
        self.job.take_spans().into_iter().for_each(|span| spans.tell(span));
    }

    /// Tells of a question of the agent that is answered.
    fn tell_question(&self, id: AskId, capability: &Capability, start: Moment, answer: &Answer) {
        let Some((trace, span)) = self.job.recorded_span() else { return };
        let denied = match answer {
            Answer::Verdict(Err(failure)) => Some(failure.code.to_string()),
            Answer::Verdict(Ok(())) | Answer::Delegation(_) => None,
        };
        let end = self.jobs.clock.moment();
        let question = Question { number: id.get(), capability, start, end, denied: denied.as_deref() };
        self.jobs.spans.tell(question.span(self.job.id(), trace, span));
    }

    /// Makes room for as many reports as are committed, or were dropped.
    fn release_committed(&mut self) {
        let (reports, bytes) = self.job.uncommitted();
        let done = self.taken.beyond(Load { reports, bytes });
        self.taken -= done;
        self.intake.release(done);
    }

    /// Performs what is due. Answers whether the job is over.
    fn perform_effects(&mut self) -> bool {
        let job = self.job.id();
        let mut over = false;
        while let Some(effect) = self.job.poll_effect() {
            match effect {
                Effect::Dispatch => self.jobs.pool.enqueue(&self.job),
                Effect::Acknowledge { fence, worker_seq } => self.jobs.pool.acknowledge(fence, job, worker_seq),
                Effect::Cancel { fence, reason, grace } => self.jobs.pool.cancel(fence, job, reason, grace),
                Effect::Kill { fence } => self.jobs.pool.kill(fence, job),
                Effect::Rotate { credential } => self.credentials.rotate(credential, job, self.job.accepted()),
                Effect::TellCredentials { fence } => self.jobs.pool.tell_credentials(fence, job),
                Effect::RevokePrior { credential, issue } => self.credentials.withdraw_prior(job, credential, issue),
                Effect::Revoke => self.credentials.withdraw_all(job),
                Effect::IssueChild { child, accepted } => self.credentials.issue(child, accepted),
                Effect::RefuseChild { child, delegate_id, error } => {
                    self.rooms.remove(&delegate_id);
                    self.keys.remove(&child);
                    if let Some(to) = self.submitted.remove(&child) {
                        answer(to, Err(error.into_refusal()));
                    }
                }
                Effect::StartChild { child, first, delegate_id } => {
                    let place = self.rooms.remove(&delegate_id);
                    self.keys.remove(&child);
                    // It was in this job's batch and is not this job's.
                    self.stored = self.stored.saturating_sub(first.body.len() as u64);
                    self.jobs.start_child(child, &first, place);
                }
                Effect::CancelChild { child } => self.jobs.tell(child, JobInput::CancelByParent),
                Effect::Answer { fence, ask, news } => self.jobs.answer(fence, job, AskId::new(ask), news),
                Effect::Release => over = true,
            }
        }
        over
    }

    /// Tells what is committed to those who wait for it.
    fn publish(&mut self, confirmations: &mut Confirmations) {
        let head = self.job.head();
        while confirmations.front().is_some_and(|(at, _)| *at <= head) {
            if let Some((_, confirmation)) = confirmations.pop_front() {
                confirmation.confirm();
            }
        }
        // The status is told only with the record that brought it about.
        let status = if self.job.is_settled() { self.job.status() } else { self.progress.borrow().status };
        if status != Status::Pending {
            self.place.leave_queue();
        }
        let now = Progress { status, ..Progress::of(&self.job) };
        self.progress.send_if_modified(|progress| std::mem::replace(progress, now) != now);
    }

    fn finish(self, over: bool) {
        let Self { jobs, job, place, inbox, stored, credentials, .. } = self;
        let id: JobId = job.id();
        credentials.finish(id, over);
        // A job that is not over stays known: what its worker reports meanwhile is for the next start.
        if over {
            if let Some(JobHandle { accepted, accepted_at, .. }) = jobs.registry.remove(id) {
                jobs.recent.note(JobSummary { job: id, accepted, accepted_at, status: job.status() });
            }
            jobs.pool.release(id);
            drop(place);
            if let Some(ending) = job.ending() {
                jobs.tell_parent(job.accepted(), ending);
            }
        }
        drop(inbox);
        if over {
            jobs.index.note_ended(jobs.clock.now(), id, job.accepted(), End::of(&job, stored));
            tracing::debug!(status = %job.status(), records = %job.head(), "the job is over");
        }
    }
}

/// The store's answer, once there is an append under way.
async fn appended(append: &mut Option<Append>) -> Result<CommittedBatch, AppendError> {
    match append {
        Some(append) => append.await,
        None => std::future::pending().await,
    }
}

fn start_append(store: &Arc<dyn Store>, batch: Batch, changes: Vec<Change>) -> Append {
    let store = Arc::clone(store);
    Box::pin(async move { store.append_with(batch, changes).await })
}

/// Whoever submitted a child is gone, and nobody was told of one.
fn nobody_waits() -> Refusal {
    Refusal::CredentialUnavailable { reason: "nobody waits for it any more".to_owned() }
}

fn answer<T>(to: oneshot::Sender<Result<T, Refusal>>, answer: Result<T, Refusal>) {
    // Whoever asked may have stopped waiting; the request stands.
    if to.send(answer).is_err() {
        tracing::debug!("nobody waits for the confirmation");
    }
}
