//! Starting the tasks of jobs: of those that are accepted, of those that are delegated, and of those of the last run.
//!
//! What a parent and its children tell each other goes through here too. A child tells its parent of its end; whether
//! that was heard is known by the parent's records only, so it is told again at a start.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::delegation::{Delegation, Found};
use moorline_core::job::{ChildEnding, Job, JobLimits, News};
use moorline_core::record::{Accepted, Fact, Output};
use moorline_store::{Change, ReadError, ReadLimit, Store};
use moorline_types::{Batch, Fence, JobId, Quotas, Record, RecordKind, StreamId, Timestamp};
use moorline_worker::message::AskId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::claims::FreeKey;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::gateway::JobSummary;
use crate::intake::Intake;
use crate::job::JobTask;
use crate::job_index::JobIndex;
use crate::open_jobs::OpenJobs;
use crate::pool::{self, Pool};
use crate::recent::RecentJobs;
use crate::registry::{JOB_INBOX, JobHandle, JobInput, Place, Progress, Registry};
use crate::spans::Spans;
use crate::stored::StoredBytes;
use crate::tasks::{TaskKind, Tasks};

/// See the module's documentation. What the tasks of all jobs have in common.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) agents: Arc<Agents>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) recent: RecentJobs,
    pub(crate) pool: Arc<Pool>,
    pub(crate) index: JobIndex,
    pub(crate) credentials: Credentials,
    pub(crate) limits: JobLimits,
    /// How much one principal may have, unless its own quotas say otherwise.
    pub(crate) quotas: Quotas,
    pub(crate) stored: StoredBytes,
    pub(crate) spans: Spans,
    pub(crate) tasks: Tasks,
    pub(crate) draining: CancellationToken,
}

impl Jobs {
    /// Gives a job that is in the journal, with so many bytes, its task.
    pub(crate) fn start(self: &Arc<Self>, job: Job, place: Place, stored: u64) -> JobSummary {
        let (inbox, inputs) = mpsc::channel(JOB_INBOX);
        let progress = Progress::of(&job);
        let (progress, watching) = watch::channel(progress);
        let accepted = Arc::new(job.accepted().clone());
        let (id, accepted_at, status) = (job.id(), job.accepted_at(), job.status());
        let intake = Arc::new(Intake::default());
        let handle = JobHandle {
            accepted: Arc::clone(&accepted),
            accepted_at,
            inbox,
            intake: Arc::clone(&intake),
            progress: watching,
            ended: None,
        };
        self.registry.insert(id, handle);
        self.index.note_begun(id, Arc::clone(&accepted));
        let task = JobTask::new(Arc::clone(self), job, place, inputs, intake, progress, stored);
        self.tasks.spawn(TaskKind::Job, task.run());
        JobSummary { job: id, accepted, accepted_at, status }
    }

    /// Gives a child whose first record was committed a moment ago its task.
    pub(crate) fn start_child(self: &Arc<Self>, child: JobId, first: &Record, place: Option<Place>) {
        let job = match Job::begin(self.clock.now(), child, first, self.limits) {
            Ok(job) => job,
            Err(error) => return tracing::error!(job = %child, %error, "a child cannot be started"),
        };
        // The room was taken when the delegation was decided. If not, the child is there all the same.
        let place = place.unwrap_or_else(|| self.registry.reserve_again(job.owner()));
        tracing::debug!(job = %child, agent = %job.accepted().agent, "a job is delegated");
        self.start(job, place, first.body.len() as u64);
    }

    /// What is known of the world for a delegation of this job, and the room that is kept for its child. `takes_credentials`
    /// is whether a client that submits it takes them; a child of a job that has some has some of its own.
    pub(crate) fn look(
        &self,
        parent: &Accepted,
        delegation: &Delegation,
        takes_credentials: bool,
    ) -> (Found, Option<Place>) {
        let inventory = self.agents.inventory();
        let agent = match &delegation.wanted {
            Ok(wanted) => inventory.resolve(&wanted.agent),
            // It is refused for what it says, whatever is said here.
            Err(_) => Err(Refusal::Draining),
        };
        let quotas = self.quotas_of(parent);
        let room = if self.draining.is_cancelled() {
            Err(Refusal::Draining)
        } else {
            // What the delegation itself takes is counted when it is committed: here it is asked whether anything is left.
            let stored = self.stored.of(&parent.principal).take(1, quotas.stored_bytes);
            stored.and_then(|_| self.registry.reserve(&parent.principal, quotas)).map_err(Refusal::from)
        };
        let (room, place) = room.map_or_else(|refusal| (Err(refusal), None), |place| (Ok(()), Some(place)));
        let credentials = self.credentials.is_configured() && (takes_credentials || !parent.credentials.is_empty());
        (Found { agent, room, credentials }, place)
    }

    /// Counts an agent's delegation as a submission of the job's owner. One that is refused for another reason counts too:
    /// unlike a client's, it is a record.
    pub(crate) fn count_delegation(&self, parent: &Accepted) -> Result<(), Refusal> {
        match self.quotas_of(parent).submits_per_sec {
            Some(per_sec) => Ok(self.registry.count_submit(self.clock.now(), &parent.principal, per_sec)?),
            None => Ok(()),
        }
    }

    /// How much the owner of the job may have.
    fn quotas_of(&self, job: &Accepted) -> Quotas {
        job.bounds.as_ref().map_or(self.quotas, |bounds| bounds.quotas.or(self.quotas))
    }

    /// Tells a job something. If its inbox is full that waits for room, and its teller does not.
    pub(crate) fn tell(&self, job: JobId, input: JobInput) {
        let Some(handle) = self.registry.get(job) else { return };
        if let Err(mpsc::error::TrySendError::Full(input)) = handle.inbox.try_send(input) {
            self.tasks.spawn(TaskKind::Job, async move {
                if handle.inbox.send(input).await.is_err() {
                    tracing::debug!(%job, "the job was over before it could be told");
                }
            });
        }
    }

    /// Answers a worker what became of a delegation. The result of a child is read first; if the link is gone by then, the
    /// worker asks again.
    pub(crate) fn answer(self: &Arc<Self>, fence: Fence, job: JobId, ask: AskId, news: News) {
        let News::Ended { child, failure: None, .. } = news else {
            return self.pool.answer(fence, job, ask, pool::news(news, None));
        };
        let jobs = Arc::clone(self);
        self.tasks.spawn(TaskKind::Job, async move {
            let result = jobs.result_of(child).await.unwrap_or_else(|error| {
                tracing::error!(job = %child, %error, "the result of a child cannot be read");
                None
            });
            jobs.pool.answer(fence, job, ask, pool::news(news, result));
        });
    }

    /// The result of a job that has ended well.
    async fn result_of(&self, job: JobId) -> Result<Option<Output>, ReadError> {
        let stream = StreamId::Job(job);
        let head = self.store.stream_head(stream).await?;
        let last = self.store.read_stream(stream, head, ReadLimit::new(1, 1)).await?;
        Ok(match last.first().map(|record| Fact::decode(record.get())) {
            Some(Ok(Fact::Result(success))) => Some(success.output),
            _ => None,
        })
    }

    /// Tells a job's parent that the job has ended, if it has one that is open.
    pub(crate) fn tell_parent(&self, accepted: &Accepted, ending: ChildEnding) {
        if let Some(parent) = &accepted.parent {
            self.tell(parent.job, JobInput::ChildEnded { ending: Box::new(ending) });
        }
    }
}

/// What is to be noted of the children that begin with this batch of a parent, in one commit with it: a start finds them,
/// and the keys of those that have one are taken.
pub(crate) fn entries_of_children(
    batch: &Batch,
    parent: JobId,
    keys: &BTreeMap<JobId, FreeKey>,
    now: Timestamp,
) -> Vec<Change> {
    let born = batch.records.iter().filter(|record| record.kind == RecordKind::JobAccepted);
    let mut changes = Vec::new();
    for record in born {
        if let (StreamId::Job(child), Ok(Fact::Accepted(accepted))) = (record.stream, Fact::decode(record))
            && child != parent
        {
            changes.push(OpenJobs::entry(child, &accepted.principal));
            changes.extend(keys.get(&child).map(|key| key.claim_of_child(now, child)));
        }
    }
    changes
}
