//! Taking in what a worker has left behind ([`moorline_worker::leftover`]), as if it said it over a link.

use moorline_types::{Fence, WorkerId, WorkerSeq};
use moorline_worker::leftover::Leftover;
use moorline_worker::message::FromWorker;

use super::{Pool, report};
use crate::intake::Load;
use crate::registry::JobInput;
use crate::sync::lock;

impl Pool {
    /// Hands the reports to their jobs, and waits until they are committed. Answers whether they are: if not, the
    /// gateway stops, and the next start does it again.
    pub(crate) async fn take_in(&self, worker: WorkerId, fence: Fence, leftovers: Vec<Leftover>) -> bool {
        let jobs: Vec<_> = leftovers.iter().map(Leftover::job).collect();
        {
            let mut state = lock(&self.state);
            state.placement.handle_attached(worker, fence, [], &jobs);
            self.perform(state);
        }
        for leftover in leftovers {
            tokio::select! {
                () = self.take_in_job(fence, leftover) => {}
                () = self.tasks.stopping().cancelled() => return false,
            }
        }
        true
    }

    async fn take_in_job(&self, fence: Fence, mut leftover: Leftover) {
        let job = leftover.job();
        let Some(mut handle) = self.registry.get(job) else { return };
        let mut last = WorkerSeq::ZERO;
        while let Some(message) = leftover.next_report() {
            let FromWorker::Report { seq, at, report, .. } = message else { continue };
            last = seq;
            let reports = vec![report::taken(self.check_event, at, report)];
            while !handle.intake.admit(Load::of(&reports)) {
                // Something of it is being committed. An error is the end of the job's task: it is over.
                if handle.progress.changed().await.is_err() {
                    return;
                }
            }
            if handle.inbox.send(JobInput::Reports { fence, first: seq, reports }).await.is_err() {
                return;
            }
        }
        tracing::info!(%job, through = %last, "what the job's worker has left is taken in");
        // An error is the end of the job's task: it is over.
        drop(handle.progress.wait_for(|progress| progress.acknowledged >= last).await);
    }
}
