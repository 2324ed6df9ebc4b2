//! Removing what is not kept for ever (DESIGN 4): jobs that are over, and sessions that nobody can come back to.
//!
//! What goes is whole: a job with its history, from the journal, the index and the list. A session that saw some of it
//! gets a *floor* first, from where on it can be read; whoever comes back to it from below is told exactly which numbers
//! are gone. Floors are durable before anything is removed, so a gateway that is killed in between starts again with
//! sessions that can be read and jobs that are removed a little later.

use std::collections::BTreeSet;
use std::sync::Arc;

use moorline_core::backlog::MissedReason;
use moorline_core::record::{Corrupt, Fact};
use moorline_core::resume::Floor;
use moorline_store::{AppendError, PutError, ReadError, ReadLimit, WriteError};
use moorline_types::{JobId, Millis, Offset, SessionId, StreamId, StreamSeq};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Gateway;
use crate::audit::AuditRetention;
use crate::ended::{EndedStream, Place};
use crate::prologue::Prologue;
use crate::tasks::TaskKind;
use crate::view::{ViewError, ViewReader};

/// How often what is to go is looked for. Nobody waits for it, and a round without work is one read.
const INTERVAL: Millis = Millis::from_secs(60);

/// Streams that go in one step because of their age. Every session that is still there is looked at once a step.
const STEP: usize = 64;

/// Streams that go in one step to make room. Fewer, so that not much more goes than has to.
const STEP_FOR_ROOM: usize = 8;

/// Records of a session's own stream that are read at once.
const PAGE: ReadLimit = ReadLimit::new(1024, 1024 * 1024);

/// For how long what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// After its end; without it, for ever.
    pub max_age: Option<Millis>,
    /// How large the journal may become before what ended first makes room; without it, as large as the disk.
    pub max_bytes: Option<u64>,
}

/// What one step has removed, or would.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) gone: Vec<EndedStream>,
    /// What stays: a session is about to be shown it.
    pub(super) awaited: Vec<EndedStream>,
    /// Where the next step goes on; absent if there is nothing left to go.
    pub(super) last: Option<Place>,
}

/// Whether sessions are given their floors, and for which reason, or only looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clearing {
    Raise(MissedReason),
    Look,
}

/// Lets one step be done after the other. Two at once would read sessions across what the other one removes.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Turns {
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It fails only if it is closed, which it never is.
        self.0.acquire().await.ok()
    }
}

/// Why a step was not done. It is tried again in the next round.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("the journal is damaged")]
    Corrupt(#[from] Corrupt),
    #[error("what a session sees cannot be read")]
    View(#[from] ViewError),
    #[error("a session's floor cannot be written down")]
    Put(#[from] PutError),
    #[error("records cannot be removed")]
    Write(#[from] WriteError),
    #[error("what stands in the place of records cannot be written down")]
    Append(#[from] AppendError),
}

impl Gateway {
    /// Removes what is not kept for ever, now and then.
    pub(super) fn start_retaining(&self) {
        let retention = self.0.options.retention;
        if retention == Retention::default() {
            return;
        }
        let gateway = self.clone();
        self.0.tasks.spawn(TaskKind::Sweep, async move {
            let stopping = gateway.0.tasks.stopping().clone();
            loop {
                tokio::select! {
                    () = gateway.retain() => {}
                    () = stopping.cancelled() => return,
                }
                let next = gateway.now() + INTERVAL;
                tokio::select! {
                    () = gateway.0.clock.sleep_until(Some(next)) => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }

    /// Removes everything that is to go by now. A round that fails is repeated: what it has removed is removed, and the
    /// rest is still noted as over.
    pub async fn retain(&self) {
        let max_age = self.0.options.audit_max_age.or(self.0.options.retention.max_age);
        let trail = AuditRetention { max_age, max_bytes: self.0.options.audit_max_bytes };
        if let Err(error) = self.0.audit.keep(self.now(), trail).await {
            tracing::warn!(%error, "old entries of the audit trail stay for now");
        }
        let mut after = None;
        loop {
            match self.remove_some(self.0.options.retention, None, after.as_ref()).await {
                Ok(Step { gone, last, .. }) => {
                    if !gone.is_empty() {
                        tracing::info!(removed = gone.len(), "jobs and sessions that are over are kept no longer");
                    }
                    let Some(last) = last else { return };
                    after = Some(last);
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "what is over is kept for now");
                    return;
                }
            }
        }
    }

    /// Removes some of what is to go, of what ended after `after`. `asked` is why, if not for the one of the two rules
    /// that it falls under.
    pub(super) async fn remove_some(
        &self,
        retention: Retention,
        asked: Option<MissedReason>,
        after: Option<&Place>,
    ) -> Result<Step, StepError> {
        let _turn = self.0.retaining.turn().await;
        let (due, reason) = self.due(retention, after).await?;
        let last = due.last().map(EndedStream::place);
        // Whoever is subscribing has written that down before this returns, and whoever comes later finds nothing.
        *self.0.going.write().await = jobs_of(&due);
        let removed = self.remove(due, asked.unwrap_or(reason)).await;
        self.0.going.write().await.clear();
        let (gone, awaited) = removed?;
        Ok(Step { gone, awaited, last })
    }

    /// Removes these, but for those that are awaited.
    async fn remove(
        &self,
        due: Vec<EndedStream>,
        reason: MissedReason,
    ) -> Result<(Vec<EndedStream>, Vec<EndedStream>), StepError> {
        let (gone, awaited) = self.make_way(due, Clearing::Raise(reason)).await?;
        for ended in &gone {
            if let StreamId::Job(job) = ended.stream {
                self.0.jobs.recent.forget(job);
            }
            let usage = self.usage(ended).await?;
            let bounds = self.0.store.stream_bounds(ended.stream).await?;
            self.0.store.trim_stream(ended.stream, bounds.head.next()).await?;
            if let (StreamId::Job(job), true) = (ended.stream, bounds.oldest > StreamSeq::FIRST) {
                Prologue::remove(self.0.store.as_ref(), job).await?;
            }
            if let (StreamId::Job(job), Some(owner)) = (ended.stream, &ended.owner) {
                self.0.index.remove(job, owner).await;
            }
            // What is still noted is removed, and given back, in another round.
            if let (true, Some(usage)) = (self.0.ended.forget(ended).await, usage) {
                self.give_back(usage);
            }
        }
        Ok((gone, awaited))
    }

    /// What goes in the next step, and why.
    async fn due(
        &self,
        retention: Retention,
        after: Option<&Place>,
    ) -> Result<(Vec<EndedStream>, MissedReason), StepError> {
        let mut first = self.0.ended.first(after, STEP).await?;
        let is_old = self.is_old(retention);
        let old = first.iter().take_while(|ended| is_old(ended)).count();
        if old > 0 {
            first.truncate(old);
            return Ok((first, MissedReason::TrimmedByAge));
        }
        let is_full = match retention.max_bytes {
            Some(max) => self.0.store.used_bytes().await? > max,
            None => false,
        };
        first.truncate(if is_full { STEP_FOR_ROOM } else { 0 });
        Ok((first, MissedReason::TrimmedBySize))
    }

    fn is_old(&self, retention: Retention) -> impl Fn(&EndedStream) -> bool {
        let now = self.now();
        move |ended| retention.max_age.is_some_and(|age| ended.at + age <= now)
    }

    /// What would go, of what ended after `after`, if the journal had `used` bytes. Answers how many it would have then,
    /// at the most.
    pub(super) async fn would_remove(
        &self,
        retention: Retention,
        after: Option<&Place>,
        mut used: u64,
    ) -> Result<(Step, u64), StepError> {
        let _turn = self.0.retaining.turn().await;
        let first = self.0.ended.first(after, STEP).await?;
        let mut last = first.last().map(EndedStream::place);
        let is_old = self.is_old(retention);
        let is_due = |ended: &EndedStream, used| is_old(ended) || retention.max_bytes.is_some_and(|max| used > max);
        if !first.first().is_some_and(|ended| is_due(ended, used)) {
            return Ok((Step::default(), used));
        }
        let (free, mut awaited) = self.make_way(first, Clearing::Look).await?;
        let mut gone = Vec::new();
        for ended in free {
            if !is_due(&ended, used) {
                // What ended later stays too, and is not waited for.
                awaited.retain(|waiting| waiting.at <= ended.at);
                last = None;
                break;
            }
            used = used.saturating_sub(self.0.store.stream_bytes(ended.stream).await?);
            gone.push(ended);
        }
        Ok((Step { gone, awaited, last }, used))
    }

    /// Sees to it that no session is read across what goes. Answers what can go, and what stays because a session is
    /// about to be shown it.
    async fn make_way(
        &self,
        due: Vec<EndedStream>,
        clearing: Clearing,
    ) -> Result<(Vec<EndedStream>, Vec<EndedStream>), StepError> {
        let jobs = jobs_of(&due);
        let mut through = Offset::ZERO;
        for ended in &due {
            if matches!(ended.stream, StreamId::Job(_)) {
                let head = self.0.store.stream_head(ended.stream).await?;
                let last = self.0.store.read_stream(ended.stream, head, ReadLimit::new(1, 1)).await?;
                through = through.max(last.first().map_or(Offset::ZERO, |record| record.offset()));
            }
        }
        let awaited = self.clear_for(&jobs, through, clearing).await?;
        let is_awaited = |ended: &EndedStream| matches!(ended.stream, StreamId::Job(job) if awaited.contains(&job));
        let (awaited, free) = due.into_iter().partition(is_awaited);
        Ok((free, awaited))
    }

    /// Sees to it that no session is read across what goes of these jobs up to here. Answers of which jobs nothing can go,
    /// because a session is about to be shown it.
    pub(super) async fn clear_for(
        &self,
        jobs: &BTreeSet<JobId>,
        through: Offset,
        clearing: Clearing,
    ) -> Result<BTreeSet<JobId>, StepError> {
        let mut awaited = BTreeSet::new();
        if !jobs.is_empty() {
            for session in self.0.sessions.all() {
                if let Some(last) = self.last_naming(session, jobs).await? {
                    awaited.extend(self.clear(session, jobs, through.max(last), clearing).await?);
                }
            }
        }
        Ok(awaited)
    }

    /// The last record of the session's stream that names any of these jobs.
    async fn last_naming(&self, session: SessionId, jobs: &BTreeSet<JobId>) -> Result<Option<Offset>, StepError> {
        let mut found = None;
        let mut next = StreamSeq::FIRST;
        loop {
            let page = self.0.store.read_stream(StreamId::Session(session), next, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            next = last.seq.next();
            for record in &page {
                let job = Fact::decode(record.get())?.job();
                if job.is_some_and(|job| jobs.contains(&job)) {
                    found = Some(record.offset());
                }
            }
        }
    }

    /// Gives the session a floor at this place, or a little after it. Answers which of the jobs it is still to be shown;
    /// then it gets none.
    async fn clear(
        &self,
        session: SessionId,
        jobs: &BTreeSet<JobId>,
        through: Offset,
        clearing: Clearing,
    ) -> Result<Vec<JobId>, StepError> {
        let Some(state) = self.0.sessions.stored(session).await? else { return Ok(Vec::new()) };
        let floor = self.0.sessions.floor(session).await?;
        let view = state.view_at(session, through, floor.as_ref());
        let mut reader = ViewReader::new(Arc::clone(&self.0.store), view);
        while reader.position() < through || reader.view().is_in_history() {
            if reader.read_now().await?.is_none() {
                break;
            }
        }
        let view = reader.view();
        let awaited: Vec<_> =
            view.awaited().iter().map(|awaited| awaited.job).filter(|job| jobs.contains(job)).collect();
        if let (Clearing::Raise(reason), true) = (clearing, awaited.is_empty()) {
            self.0.sessions.raise_floor(session, Floor { view: view.clone(), reason }).await?;
        }
        Ok(awaited)
    }
}

fn jobs_of(due: &[EndedStream]) -> BTreeSet<JobId> {
    let job = |ended: &EndedStream| match ended.stream {
        StreamId::Job(job) => Some(job),
        StreamId::Session(_) => None,
    };
    due.iter().filter_map(job).collect()
}
