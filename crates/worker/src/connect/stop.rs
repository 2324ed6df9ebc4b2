//! Asking a worker to end.

use std::sync::{Arc, OnceLock};

use moorline_types::Millis;
use tokio_util::sync::CancellationToken;

use crate::message::GoodbyeReason;

/// Asks a worker to end, in order. Cheap to clone; the first request counts.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    request: Arc<OnceLock<(GoodbyeReason, Millis)>>,
    asked: CancellationToken,
    goodbye: CancellationToken,
}

impl Stop {
    /// Asks it to end, giving its jobs `grace`.
    pub fn request(&self, reason: GoodbyeReason, grace: Millis) {
        self.request.get_or_init(|| (reason, grace));
        self.asked.cancel();
    }

    /// Returns when it was asked.
    pub(super) async fn asked(&self) -> (GoodbyeReason, Millis) {
        self.asked.cancelled().await;
        self.request.get().copied().unwrap_or((GoodbyeReason::Shutdown, Millis::ZERO))
    }

    /// All is done: the link may say goodbye.
    pub(super) fn say_goodbye(&self) {
        self.goodbye.cancel();
    }

    /// Returns when the link may say goodbye.
    pub(crate) async fn goodbye(&self) -> GoodbyeReason {
        self.goodbye.cancelled().await;
        self.request.get().map_or(GoodbyeReason::Shutdown, |request| request.0)
    }
}
