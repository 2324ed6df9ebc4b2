//! The gateway's end of the link to one worker.
//!
//! ```text
//! accept(stream, lookup, params) -> Candidate      the worker has proven itself and said what it holds
//! Candidate::admit(fence, committed) -> WorkerLink the gateway takes it
//! Candidate::refuse(reason, terminate)             or does not
//! ```
//!
//! A link carries checked messages and its own heartbeats; it decides nothing. Silence ends a link, never a worker:
//! that a worker is dead is known only from its process. Two tasks serve a link, one for each direction, so that a
//! gateway that is slow to take reports in can still send acknowledgements. A link within this process needs none.

mod accept;
mod here;
mod pump;

use std::collections::VecDeque;
use std::time::Duration;

use moorline_types::Fence;
use tokio::sync::mpsc;

pub(crate) use accept::WorkerSide;
pub use accept::{AttachError, Candidate, accept};
pub(crate) use here::Here;

use crate::codec::FrameError;
use crate::limits::{
    HANDSHAKE_DEADLINE, HEARTBEAT_INTERVAL, HEARTBEAT_LOST_INTERVALS, MAX_GATEWAY_FRAME_BYTES, MAX_HELLO_FRAME_BYTES,
};
use crate::message::{FromWorker, GatewayEpoch, GoodbyeReason, Malformed, ToWorker, WorkerInfo};
use crate::tasks::Task;
use crate::version::VersionRange;

/// How a gateway attaches workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachParams {
    /// Which versions of the protocol it speaks.
    pub versions: VersionRange,
    /// Which life of the gateway this is.
    pub epoch: GatewayEpoch,
    /// How often either side is to be heard; three such intervals of silence end the link.
    pub heartbeat: Duration,
    /// How long a handshake may take as a whole.
    pub deadline: Duration,
}

impl AttachParams {
    /// The usual ones ([`crate::limits`]).
    pub const fn new(epoch: GatewayEpoch) -> Self {
        Self { versions: VersionRange::OURS, epoch, heartbeat: HEARTBEAT_INTERVAL, deadline: HANDSHAKE_DEADLINE }
    }
}

/// A worker that is attached. The link closes when its receiver, or the last of its senders, is dropped.
#[derive(Debug)]
pub struct WorkerLink {
    /// What the worker has said about itself.
    pub info: WorkerInfo,
    /// To the worker.
    pub sender: LinkSender,
    /// From the worker.
    pub receiver: LinkReceiver,
}

/// Sends to a worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LinkSender {
    fence: Fence,
    queue: mpsc::Sender<ToWorker>,
    /// The worker, if it is in this process.
    here: Option<Here>,
}

/// Receives from a worker.
#[derive(Debug)]
pub struct LinkReceiver {
    fence: Fence,
    queue: mpsc::Receiver<Result<Vec<FromWorker>, LinkEnd>>,
    /// The worker, if it is in this process; only its end comes through the queue then.
    here: Option<Here>,
    /// What has been received and not yet taken one by one.
    taken: VecDeque<FromWorker>,
    /// Carry it over a transport, one for each direction; none within a process.
    _pumps: Vec<Task<()>>,
}

/// A message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link is closed; the worker may come back with another.
    #[error("the link to the worker is closed")]
    Closed,
    /// The message does not fit into a frame and never will: end its job.
    #[error("the job's input and lease have {bytes} bytes, a worker takes at most {max}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
}

/// A message could not be handed to the link's task at once.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    /// As many messages wait as may; here is yours. Wait with [`LinkSender::send`], or close the link: a worker that
    /// does not read is as good as lost.
    #[error("as many messages wait for the worker as may")]
    Full(Box<ToWorker>),
    /// Waiting would not help.
    #[error(transparent)]
    Never(SendError),
}

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkEnd {
    /// The worker's end was closed without a word: it crashed, or will come back.
    #[error("the worker's end of the link was closed")]
    Closed,
    /// The worker leaves for good. Its process is about to end.
    #[error("the worker has said goodbye: {0}")]
    Goodbye(GoodbyeReason),
    /// Nothing was heard for too long.
    #[error("nothing was heard from the worker for {} ms", after.as_millis())]
    Silent {
        /// For how long.
        after: Duration,
    },
    /// The worker sent what the protocol does not allow.
    #[error("the worker sent a message that it should not have sent")]
    Malformed(#[source] Malformed),
    /// The transport failed.
    #[error("the link's transport failed")]
    Frame(#[source] FrameError),
}

impl LinkSender {
    /// Sends, waiting while as many messages wait as may.
    pub async fn send(&self, message: ToWorker) -> Result<(), SendError> {
        let Some(message) = self.hand_over(message)? else { return Ok(()) };
        check_length(&message)?;
        self.queue.send(message).await.map_err(|_| SendError::Closed)
    }

    /// Sends if that can be done at once.
    pub fn try_send(&self, message: ToWorker) -> Result<(), TrySendError> {
        let Some(message) = self.hand_over(message).map_err(TrySendError::Never)? else { return Ok(()) };
        check_length(&message).map_err(TrySendError::Never)?;
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message) => TrySendError::Full(Box::new(message)),
            mpsc::error::TrySendError::Closed(_) => TrySendError::Never(SendError::Closed),
        })
    }

    /// Hands the message to a worker in this process, which takes it in at once. One that is elsewhere is to be sent it:
    /// here it is.
    pub fn hand_over(&self, message: ToWorker) -> Result<Option<ToWorker>, SendError> {
        match &self.here {
            Some(here) => here.handle(message).map(|()| None),
            None => Ok(Some(message)),
        }
    }

    /// Returns when the link is closed.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Names the attachment.
    pub const fn fence(&self) -> Fence {
        self.fence
    }
}

impl LinkReceiver {
    /// The next message, or why there are no more. May be cancelled without loss.
    pub async fn recv(&mut self) -> Result<FromWorker, LinkEnd> {
        loop {
            if let Some(message) = self.taken.pop_front() {
                return Ok(message);
            }
            self.taken = self.receive().await?.into();
        }
    }

    /// The messages that have come, at least one, in order, or why there are no more. May be cancelled without loss.
    pub async fn recv_all(&mut self) -> Result<Vec<FromWorker>, LinkEnd> {
        if self.taken.is_empty() { self.receive().await } else { Ok(std::mem::take(&mut self.taken).into()) }
    }

    async fn receive(&mut self) -> Result<Vec<FromWorker>, LinkEnd> {
        let queued = async { self.queue.recv().await.unwrap_or(Err(LinkEnd::Closed)) };
        let Some(here) = &self.here else { return queued.await };
        tokio::select! {
            // All that it has said is before its end.
            biased;
            said = here.next() => said,
            end = queued => end,
        }
    }

    /// Names the attachment.
    pub const fn fence(&self) -> Fence {
        self.fence
    }
}

/// Refuses what no frame can carry, before it can break the link.
fn check_length(message: &ToWorker) -> Result<(), SendError> {
    let bytes = match message {
        ToWorker::Start(start) => start.input.get().len() + start.lease.get().len(),
        ToWorker::Cancel { reason, .. } => reason.len(),
        ToWorker::Command { command, .. } => command.json().get().len(),
        ToWorker::Answer { answer, .. } => answer.carried_bytes(),
        ToWorker::Kill { .. } | ToWorker::Ack { .. } | ToWorker::Shutdown { .. } => 0,
    };
    let max = MAX_GATEWAY_FRAME_BYTES - MAX_HELLO_FRAME_BYTES;
    if bytes > max { Err(SendError::TooLong { bytes, max }) } else { Ok(()) }
}

/// After how much silence a link with this heartbeat counts as lost.
pub(crate) fn lost_after(heartbeat: Duration) -> Duration {
    heartbeat.saturating_mul(HEARTBEAT_LOST_INTERVALS)
}
