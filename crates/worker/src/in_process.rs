//! Agents inside the gateway's own process.
//!
//! The same host, the same handshake and the same link as for a worker process, over a pipe in memory. What such a
//! worker cannot do is outlive the gateway: its jobs end with the process.

use std::sync::Arc;

use moorline_types::WorkerId;

use crate::connect::{Contact, Identity, Session, SessionEnd, Stop, attach, leave};
use crate::host::{Host, HostError};
use crate::link::{AttachError, AttachParams, Candidate, accept};
use crate::message::GatewayEpoch;
use crate::random::{self, NoEntropy};
use crate::sdk::Agent;
use crate::secret::WorkerSecret;
use crate::tasks::{self, Task};

/// Bytes that the pipe holds in each direction: a frame of ordinary size and some.
const PIPE_BYTES: usize = 64 * 1024;

/// Agents that run in this process. Dropping it stops them; so does the end of its link.
#[derive(Debug)]
pub struct InProcessWorker {
    task: Task<()>,
}

/// Why agents could not be run in this process.
#[derive(Debug, thiserror::Error)]
pub enum InProcessError {
    /// The agents cannot be hosted together.
    #[error("these agents cannot be hosted together")]
    Host(#[source] HostError),
    /// The handshake failed.
    #[error("the handshake with an in-process worker failed")]
    Attach(#[source] AttachError),
    /// No secret could be made.
    #[error("no secret could be made for an in-process worker")]
    Entropy(#[source] NoEntropy),
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

async fn serve(session: Session, host: &Host) {
    let (contact, stop) = (Contact::default(), Stop::default());
    tokio::select! {
        biased;
        end = session.serve(host, &contact, &stop) => {
            if let SessionEnd::Lost(lost) = end {
                tracing::debug!(reason = %lost, "the link to an in-process worker has ended");
            }
        }
        _ = leave(host, &stop) => {}
    }
}

/// Starts agents in this process. The candidate is admitted like any other worker.
pub async fn in_process(
    worker: WorkerId,
    agents: impl IntoIterator<Item = Arc<dyn Agent>>,
    params: AttachParams,
) -> Result<(Candidate, InProcessWorker), InProcessError> {
    let host = Host::new(agents).map_err(InProcessError::Host)?;
    let key = WorkerSecret::new(random::draw().map_err(InProcessError::Entropy)?).key();
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let identity = Identity { worker, key: key.clone(), orphan_lifetime: std::time::Duration::ZERO };
    let task = tasks::spawn("in-process worker", async move {
        match attach(theirs, &identity, GatewayEpoch::default(), &host).await {
            Err(error) => tracing::debug!(%error, "an in-process worker was not attached"),
            Ok(session) => serve(session, &host).await,
        }
    });
    let candidate = accept(ours, |_| async { Some(key) }, params).await.map_err(InProcessError::Attach)?;
    Ok((candidate, InProcessWorker { task }))
}
