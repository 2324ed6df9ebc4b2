//! From a lost connection to the next one.
//!
//! The session is resumed where that is possible. Where it is not, a new one subscribes to the same jobs, and every job
//! is told. Calls that have no answer are made again if that cannot do a thing twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::limits::HEARTBEAT_LOST_INTERVALS;
use moorline_wire::payload::Resume;
use moorline_wire::{ErrorCode, Feature, JobRef, ResumeConduct, SessionRef};
use tokio::time::{Instant, sleep};

use super::calls::{Call, Expects, Request};
use super::sequence::Sequence;
use super::{Again, Driver, Link, acks, heartbeat};
use crate::clock;
use crate::connect::{self, Opened, Returning, text};
use crate::error::{CallError, ConnectError, Ended, Refused};
use crate::state::{ConnectionState, Continuity};

/// How long a connection has to last to count as one that was of use, if nothing came over it.
const OF_USE_AFTER: Duration = Duration::from_secs(10);

/// For how long a refused resume is tried again with runtimes that refuse until they notice the loss, in heartbeat
/// intervals: that is how they notice.
const LATE_INTERVALS: u64 = HEARTBEAT_LOST_INTERVALS + 1;

/// The same in seconds, if the runtime named no interval: every official runtime's default.
const DEFAULT_INTERVAL_SEC: u64 = 30;

/// What to do after an attempt that failed.
enum Verdict {
    /// Try again, later.
    Later,
    /// The session is gone: begin a new one.
    Anew,
    /// There is no use in trying.
    Hopeless,
}

impl Driver {
    /// Finds another connection and goes on with the session, or with a new one.
    ///
    /// # Errors
    /// Why it is over for good.
    pub(super) async fn recover(&mut self, cause: Ended) -> Result<Link, Ended> {
        let lost_at = clock::instant();
        if matches!(self.again, Again::No) || !self.options.reconnect.allows(Duration::ZERO) {
            return Err(cause);
        }
        self.put_aside(&cause);
        tracing::info!(%cause, "the connection was lost");
        if self.was_of_use || lost_at - self.connected_at >= OF_USE_AFTER {
            self.backoff.reset();
        }
        let mut returning = self.returning();
        let mut attempt = 1;
        loop {
            let after = self.backoff.next(self.mint.jitter(), self.come_back.take());
            if !self.options.reconnect.allows(lost_at.elapsed() + after) {
                return Err(cause);
            }
            self.ends.state.send_replace(ConnectionState::Reconnecting { cause: cause.clone(), attempt, after });
            self.meanwhile(sleep(after)).await?;
            let error = match self.attempt(returning.as_ref()).await? {
                Ok(opened) => return Ok(self.go_on(opened, returning.is_some())),
                Err(error) => error,
            };
            tracing::debug!(%error, attempt, "there is no connection yet");
            if let ConnectError::Rejected(refused) = &error {
                self.come_back = refused.retry_after;
            }
            match self.judge(&error, returning.is_some(), lost_at) {
                Verdict::Later => {}
                Verdict::Anew => returning = None,
                Verdict::Hopeless => {
                    return Err(Ended::Unreachable { cause: Box::new(cause), source: Arc::new(error) });
                }
            }
            attempt += 1;
        }
    }

    /// Takes the calls off the lost connection: those that may be made again wait for the next one.
    fn put_aside(&mut self, cause: &Ended) {
        let unsent = self.outbox.abandon();
        for call in self.calls.take_all() {
            if call.may_be_repeated() || unsent.contains(&call.id) {
                self.calls.push(call);
            } else {
                self.fail(call, &CallError::ConnectionLost { cause: cause.clone(), maybe_accepted: true });
            }
        }
        self.calls.forget_abandoned();
    }

    /// Whether the session could be resumed on another connection.
    pub(super) fn can_resume(&self) -> bool {
        let sought = self.options.reconnect.allows(Duration::ZERO) && !matches!(self.again, Again::No);
        sought && self.closing.is_none() && self.returning().is_some()
    }

    /// What the session is resumed with; nothing if that would lose something.
    fn returning(&self) -> Option<Returning> {
        if self.conduct.resume == ResumeConduct::WithoutJobs {
            return None;
        }
        let resume_token = self.info.welcome.resume_token.clone()?;
        let last_event_seq = self.sequence.contiguous();
        let resume = Resume { session_id: self.info.session.clone(), resume_token, last_event_seq };
        Some(Returning { resume, epoch: self.epoch })
    }

    async fn attempt(&mut self, returning: Option<&Returning>) -> Result<Result<Opened, ConnectError>, Ended> {
        let options = Arc::clone(&self.options);
        let hello = connect::hello(&options, self.mint.message_id(), returning);
        let dial = match &self.again {
            Again::Dial(dial) => Some(Arc::clone(dial)),
            Again::Url | Again::No => None,
        };
        let connect = Box::pin(connect::connect(&options, dial.as_deref(), hello));
        self.meanwhile(connect).await
    }

    /// Waits for this, while queues are filled and the program may give up.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                Some(_) = self.ends.closes.recv() => return Err(Ended::ByClient),
                _ = &mut self.ends.held => return Err(Ended::ByClient),
                () = self.jobs.deliver(), if self.jobs.is_stalled() => {}
            }
        }
    }

    fn judge(&self, error: &ConnectError, resuming: bool, lost_at: Instant) -> Verdict {
        match error {
            ConnectError::Rejected(refused) if resuming => self.judge_refused_resume(refused, lost_at),
            ConnectError::Rejected(refused) if refused.retryable => Verdict::Later,
            ConnectError::Rejected(_)
            | ConnectError::Url { .. }
            | ConnectError::Scheme { .. }
            | ConnectError::Roots { .. }
            | ConnectError::Certificate { .. }
            | ConnectError::CertificateWithoutTls { .. }
            | ConnectError::Tls { .. } => Verdict::Hopeless,
            ConnectError::Unreachable { .. }
            | ConnectError::NotWebSocket { .. }
            | ConnectError::Upgrade { .. }
            | ConnectError::Timeout { .. }
            | ConnectError::Entropy
            | ConnectError::Unexpected { .. }
            | ConnectError::Unreadable(_)
            | ConnectError::Ended(_) => Verdict::Later,
        }
    }

    fn judge_refused_resume(&self, refused: &Refused, lost_at: Instant) -> Verdict {
        match refused.code.known() {
            Some(ErrorCode::ResumeWindowExpired | ErrorCode::PermissionDenied | ErrorCode::Unauthenticated) => {
                let interval = self.info.welcome.heartbeat_interval_sec.unwrap_or(DEFAULT_INTERVAL_SEC);
                let patience = Duration::from_secs(interval.saturating_mul(LATE_INTERVALS));
                let is_late = self.conduct.resume == ResumeConduct::Late && lost_at.elapsed() < patience;
                if is_late { Verdict::Later } else { Verdict::Anew }
            }
            _ if refused.retryable => Verdict::Later,
            _ => Verdict::Anew,
        }
    }

    /// Goes on over a new connection.
    fn go_on(&mut self, opened: Opened, resuming: bool) -> Link {
        let Opened { socket, info, extensions } = opened;
        let is_same = |before: &Option<SessionRef>| info.session.is_some() && info.session == *before;
        let continuity =
            if resuming && is_same(&self.info.session) { Continuity::Resumed } else { Continuity::NewSession };
        tracing::info!(?continuity, "connected again");
        let now = clock::instant();
        self.conduct = info.profile.conduct();
        self.heartbeat = heartbeat(now, &info);
        if continuity == Continuity::NewSession {
            self.sequence = Sequence::new(self.conduct.numbering);
            self.acks = acks(&info);
            self.epoch = None;
            self.resumed_after = None;
        }
        self.epoch = extensions.cursor.map_or(self.epoch, |cursor| Some(cursor.epoch));
        self.info = Arc::new(info);
        (self.connected_at, self.was_of_use, self.last_words) = (now, false, None);
        self.connections += 1;
        self.repeat_calls(continuity);
        self.ends.info.send_replace(Arc::clone(&self.info));
        self.ends.state.send_replace(ConnectionState::Connected { connection: self.connections, continuity });
        Link::new(socket)
    }

    /// Makes the calls again that have no answer, in their order, under new ids: some runtimes ignore an id that they
    /// have seen. A new session subscribes to the jobs of the lost one first, for a call may be about one of them.
    fn repeat_calls(&mut self, continuity: Continuity) {
        let mut waiting = self.calls.take_all();
        if continuity == Continuity::NewSession {
            waiting.retain(|call| !matches!(call.expects, Expects::Rejoined { .. } | Expects::Missed { .. }));
            self.rejoin_jobs(&subscribing(&waiting));
        }
        for call in waiting {
            let call = Call { id: self.mint.message_id(), is_repeated: true, ..call };
            let frame = self.framed(&call);
            self.outbox.push(text(&frame), Some(call.id.clone()));
            self.calls.push(call);
        }
    }

    fn rejoin_jobs(&mut self, being_subscribed: &[JobRef]) {
        let can_subscribe = self.info.features.contains(Feature::Subscribe);
        let whole = self.conduct.resume != ResumeConduct::WithoutJobs;
        for request in self.jobs.rejoin(whole) {
            let job = request.job.clone();
            if being_subscribed.contains(&job) {
                // The caller's own subscription is made again.
            } else if can_subscribe {
                self.ask(Request::subscribe(&request), Expects::Rejoined { job });
            } else {
                self.jobs.give_up(&job, &Ended::Lost);
            }
        }
    }
}

impl Driver {
    /// Something of the session is gone, and with it perhaps the end of a job, or the whole job. Each job is asked for
    /// again: one that is gone too ends, and of one whose end was missed the rest comes.
    pub(super) fn ask_for_missed_jobs(&mut self) {
        if !self.info.features.contains(Feature::Subscribe) {
            return;
        }
        for request in self.jobs.requests() {
            let job = request.job.clone();
            self.ask(Request::subscribe(&request), Expects::Missed { job });
        }
    }
}

/// Jobs that a caller is subscribing to.
fn subscribing(calls: &VecDeque<Call>) -> Vec<JobRef> {
    let jobs = calls.iter().filter_map(|call| match &call.expects {
        Expects::Subscribed { job, .. } => Some(job.clone()),
        Expects::Accepted { .. }
        | Expects::Rejoined { .. }
        | Expects::Missed { .. }
        | Expects::Cancelled { .. }
        | Expects::Jobs { .. }
        | Expects::GcReport { .. }
        | Expects::KeysReport { .. }
        | Expects::CredentialsReport { .. }
        | Expects::AuditPage { .. } => None,
    });
    jobs.collect()
}
