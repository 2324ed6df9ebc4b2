//! Submissions with an idempotency key (spec 7.2): which are new, and which are the same again.

use std::time::Duration;

use moorline_core::Refusal;
use moorline_core::idempotency::{Fate, Verdict, judge};
use moorline_store::ReadError;
use moorline_types::{JobId, PrincipalId, StreamId, StreamSeq};

use super::{Gateway, JobSummary, unavailable};
use crate::claims::{FreeKey, Idempotency, SWEEP_INTERVAL};
use crate::tasks::TaskKind;

/// How long one with the same key is waited for: longer than a store and an upstream take that are well.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// What a submission with a key is.
#[derive(Debug)]
pub(crate) enum Submission {
    /// The first with its key: the job is to be accepted under this claim. Without a key, every one is the first.
    New(Option<FreeKey>),
    /// The same as the one that this job was accepted for.
    Repeated(JobSummary),
}

impl Gateway {
    /// Waits until no other submission with the key is under way, and decides about this one.
    pub(crate) async fn recognise(
        &self,
        principal: &PrincipalId,
        idempotency: Idempotency,
    ) -> Result<Submission, Refusal> {
        let Idempotency { key, fingerprint } = idempotency;
        let turn = tokio::time::timeout(TURN_PATIENCE, self.0.claims.turn(principal, &key)).await;
        let turn = turn.map_err(|_| Refusal::StoreUnavailable { reason: "a submission with this key is under way" })?;
        let found = turn.read().await.map_err(unavailable)?;
        let (fate, summary) = match &found {
            Some((claim, _)) => self.fate(claim.job).await.map_err(unavailable)?,
            None => (Fate::NeverBegan, None),
        };
        match judge(self.now(), &fingerprint, found.as_ref().map(|(claim, _)| (claim, fate))) {
            Verdict::Claim => Ok(Submission::New(Some(turn.free(fingerprint, found.map(|(_, revision)| revision))))),
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Same(job) => {
                tracing::info!(%job, "a submission is repeated");
                summary.map(Submission::Repeated).ok_or(Refusal::KeyOfRemovedJob { job })
            }
        }
    }

    /// What became of a job that was to be accepted.
    async fn fate(&self, job: JobId) -> Result<(Fate, Option<JobSummary>), ReadError> {
        if let Some(summary) = self.summary(job).await? {
            return Ok((Fate::Known, Some(summary)));
        }
        let head = self.0.store.stream_head(StreamId::Job(job)).await?;
        Ok((if head == StreamSeq::ZERO { Fate::NeverBegan } else { Fate::Removed }, None))
    }

    /// Removes claims that are over, from time to time, until the gateway stops.
    pub(super) fn start_sweeping(&self) {
        let (claims, clock) = (self.0.claims.clone(), self.0.clock.clone());
        let stopping = self.0.tasks.stopping().clone();
        self.0.tasks.spawn(TaskKind::Sweep, async move {
            loop {
                let swept = async {
                    claims.sweep(clock.now()).await;
                    clock.sleep_until(Some(clock.now() + SWEEP_INTERVAL)).await;
                };
                tokio::select! {
                    () = swept => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }
}
