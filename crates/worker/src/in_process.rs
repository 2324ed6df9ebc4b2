//! Agents inside the gateway's own process.
//!
//! The same host as in a worker process, and the same [`WorkerLink`](crate::link::WorkerLink) at the gateway's end, but
//! nothing between them is bytes: what one side says is handed to the other as it is, at once. There is nobody to prove
//! anything to and nothing to listen for, so there is neither a handshake nor a heartbeat. What such a worker cannot do
//! is outlive the gateway: its jobs end with the process.

use std::sync::Arc;

use moorline_types::WorkerId;

use crate::connect::{Stop, leave};
use crate::host::{Host, HostError};
use crate::link::{Candidate, Here, LinkEnd, WorkerSide};
use crate::message::WorkerInfo;
use crate::sdk::Agent;
use crate::tasks::{self, Task};
use crate::version::VersionRange;

/// Agents that run in this process. Dropping it stops them; so does the end of its link.
#[derive(Debug)]
pub struct InProcessWorker {
    task: Task<()>,
}

impl InProcessWorker {
    /// Returns when the worker has ended, because its link has.
    pub async fn ended(&mut self) {
        self.task.join().await.unwrap_or_default();
    }

    /// Whether the worker has ended.
    pub fn is_ended(&self) -> bool {
        self.task.is_finished()
    }
}

/// Starts agents in this process, in the runtime that this is called in. The candidate is admitted like any other
/// worker.
///
/// # Errors
/// If the agents cannot be hosted together.
pub fn in_process(
    worker: WorkerId,
    agents: impl IntoIterator<Item = Arc<dyn Agent>>,
) -> Result<(Candidate, InProcessWorker), HostError> {
    let host = Arc::new(Host::new(agents)?);
    let stop = Stop::default();
    let info = WorkerInfo {
        worker,
        pid: std::process::id(),
        instance: host.instance(),
        sdk: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
        protocol: VersionRange::OURS.max,
        offers: host.offers(),
        held: host.held(),
    };
    let (candidate, admission) = Candidate::here(info, Here::new(&host, stop.clone()));
    let task = tasks::spawn("in-process worker", async move {
        // Without an admission there is nothing to run the agents for.
        if let Ok(side) = admission.await {
            serve(side, &host, &stop).await;
        }
    });
    Ok((candidate, InProcessWorker { task }))
}

/// Serves the worker until its link ends, or it is asked to leave. What is said goes by [`Here`].
async fn serve(side: WorkerSide, host: &Host, stop: &Stop) {
    let WorkerSide { mut incoming, outgoing } = side;
    let reason = tokio::select! {
        biased;
        // Nothing comes this way: the gateway has ended the link.
        _ = incoming.recv() => return,
        () = outgoing.closed() => return,
        reason = stop.goodbye() => reason,
        reason = leave(host, stop) => reason,
    };
    let end = LinkEnd::Goodbye(reason);
    tracing::debug!(reason = %end, "the link to an in-process worker has ended");
    outgoing.send(Err(end)).await.unwrap_or_default();
}
