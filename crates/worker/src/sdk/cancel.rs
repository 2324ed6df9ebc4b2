//! That a job is to stop, and why.

use std::sync::{Arc, OnceLock};

use moorline_types::Millis;
use tokio_util::sync::CancellationToken;

/// A request to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Who wants the end.
    pub cause: CancelCause,
    /// Why, in the asker's words.
    pub reason: String,
    /// How long the job has.
    pub grace: Millis,
}

/// Who wants a job's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// The gateway: somebody has cancelled the job, or its time is over.
    Gateway,
    /// The worker is about to end.
    WorkerShutdown,
}

/// The first request counts; later ones change nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    token: CancellationToken,
    request: Arc<OnceLock<CancelRequest>>,
}

impl Cancel {
    pub(crate) fn request(&self, request: CancelRequest) {
        self.request.get_or_init(|| request);
        self.token.cancel();
    }

    pub(crate) fn requested(&self) -> Option<&CancelRequest> {
        self.request.get()
    }

    pub(crate) async fn wait(&self) {
        self.token.cancelled().await;
    }
}
