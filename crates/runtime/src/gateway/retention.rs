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
use moorline_store::{PutError, ReadError, ReadLimit, WriteError};
use moorline_types::{JobId, Millis, Offset, SessionId, StreamId, StreamSeq};

use super::Gateway;
use crate::ended::EndedStream;
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

/// Why a step was not done. It is tried again in the next round.
#[derive(Debug, thiserror::Error)]
enum StepError {
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

    /// Removes everything that is to go by now.
    pub async fn retain(&self) {
        if let Some(max_age) = self.0.options.retention.max_age
            && let Err(error) = self.0.audit.trim(self.now(), max_age).await
        {
            tracing::warn!(%error, "old entries of the audit trail stay for now");
        }
        loop {
            match self.retain_step().await {
                Ok(0) => return,
                Ok(removed) => tracing::info!(removed, "jobs and sessions that are over are kept no longer"),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "what is over is kept for now");
                    return;
                }
            }
        }
    }

    /// Removes some of what is to go. Answers how many that were.
    async fn retain_step(&self) -> Result<usize, StepError> {
        let Retention { max_age, max_bytes } = self.0.options.retention;
        let now = self.now();
        let first = self.0.ended.first(STEP).await?;
        let old = |ended: &EndedStream| max_age.is_some_and(|age| ended.at + age <= now);
        let (due, reason) = if first.first().is_some_and(old) {
            (first.into_iter().take_while(old).collect::<Vec<_>>(), MissedReason::TrimmedByAge)
        } else {
            let full = match max_bytes {
                Some(max) => self.0.store.used_bytes().await? > max,
                None => false,
            };
            if !full {
                return Ok(0);
            }
            (first.into_iter().take(STEP_FOR_ROOM).collect(), MissedReason::TrimmedBySize)
        };
        let due = self.make_way(due, reason).await?;
        for ended in &due {
            let head = self.0.store.stream_head(ended.stream).await?;
            self.0.store.trim_stream(ended.stream, head.next()).await?;
            if let (StreamId::Job(job), Some(owner)) = (ended.stream, &ended.owner) {
                self.0.index.remove(job, owner).await;
            }
            self.0.ended.forget(ended).await;
        }
        Ok(due.len())
    }

    /// Sees to it that no session is read across what goes. Answers what can go: not what a session is about to be
    /// shown.
    async fn make_way(&self, due: Vec<EndedStream>, reason: MissedReason) -> Result<Vec<EndedStream>, StepError> {
        let mut jobs = BTreeSet::new();
        let mut through = Offset::ZERO;
        for ended in &due {
            if let StreamId::Job(job) = ended.stream {
                let head = self.0.store.stream_head(ended.stream).await?;
                let last = self.0.store.read_stream(ended.stream, head, ReadLimit::new(1, 1)).await?;
                through = through.max(last.first().map_or(Offset::ZERO, |record| record.offset()));
                jobs.insert(job);
            }
        }
        let mut awaited = BTreeSet::new();
        for session in self.0.sessions.all() {
            if let Some(last) = self.last_naming(session, &jobs).await? {
                awaited.extend(self.raise_floor(session, &jobs, through.max(last), reason).await?);
            }
        }
        let is_awaited = |ended: &EndedStream| matches!(ended.stream, StreamId::Job(job) if awaited.contains(&job));
        Ok(due.into_iter().filter(|ended| !is_awaited(ended)).collect())
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

    /// Gives the session a floor at this place, or a little after it. Answers which of the jobs it is still to be shown.
    async fn raise_floor(
        &self,
        session: SessionId,
        jobs: &BTreeSet<JobId>,
        through: Offset,
        reason: MissedReason,
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
        if awaited.is_empty() {
            self.0.sessions.raise_floor(session, Floor { view: view.clone(), reason }).await?;
        }
        Ok(awaited)
    }
}
