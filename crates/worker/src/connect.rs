//! The worker's end: finds the gateway, stays attached, comes back, and knows when to stop trying.
//!
//! A lost link costs nothing but time: jobs go on, and the next link begins with what is held. The worker ends when it
//! is asked to (a signal, the gateway), when a gateway that has proven itself sends it away for good, or when it has
//! not heard from one for its orphan lifetime; for a minute, if it holds no job. Handshakes that fail do not count as
//! having heard.

mod attach;
mod contact;
mod dial;
mod network;
mod session;
mod stop;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::{Millis, WorkerId};
use tokio::time::{sleep, timeout};

pub use attach::ConnectError;
pub(crate) use attach::attach;
pub(crate) use contact::Contact;
pub use dial::{Dial, UnixDial};
pub use network::{NetworkDial, NetworkDialError};
pub(crate) use session::{Session, SessionEnd};
pub use stop::Stop;

use crate::backoff::Backoff;
use crate::host::{Host, HostError};
use crate::limits::{FLUSH_GRACE, HANDSHAKE_DEADLINE, IDLE_ORPHAN_LIFETIME, SIGNAL_GRACE};
use crate::message::{GatewayEpoch, GoodbyeReason};
use crate::random;
use crate::sdk::Agent;
use crate::secret::WorkerKey;

/// How long a goodbye may take to be written.
const FAREWELL_GRACE: Duration = Duration::from_secs(1);

/// Who a worker is, and what ends it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who it is.
    pub worker: WorkerId,
    /// How it proves that.
    pub key: WorkerKey,
    /// How long it lives without a gateway.
    pub orphan_lifetime: Duration,
}

/// Why a worker has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Left(GoodbyeReason),
    /// A gateway that has proven itself does not want it.
    Refused {
        /// The gateway's reason.
        reason: String,
    },
    /// It heard from no gateway for too long.
    Orphaned,
}

/// A worker with its agents.
pub struct Worker<D> {
    identity: Identity,
    dial: D,
    host: Host,
    contact: Arc<Contact>,
    idle_lifetime: Duration,
}

impl<D: Dial> Worker<D> {
    /// A worker that is about to dial.
    pub fn new(
        identity: Identity,
        dial: D,
        agents: impl IntoIterator<Item = Arc<dyn Agent>>,
    ) -> Result<Self, HostError> {
        let host = Host::new(agents)?;
        Ok(Self { identity, dial, host, contact: Arc::default(), idle_lifetime: IDLE_ORPHAN_LIFETIME })
    }

    /// Goes on without a gateway for the whole of the orphan lifetime even without a job: a gateway starts another
    /// worker in the place of one of its own, but nobody does for one that was enrolled.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { idle_lifetime: self.identity.orphan_lifetime, ..self }
    }

    /// Keeps reports that do not fit into memory in this directory while no gateway is attached, and what is left of
    /// them at the end of the orphan lifetime ([`crate::leftover`]). Without this, agents wait.
    #[must_use]
    pub fn with_outbox(self, directory: PathBuf) -> Self {
        self.host.spill_to(directory);
        self
    }

    /// When a gateway was last heard.
    pub(crate) fn contact(&self) -> Arc<Contact> {
        self.contact.clone()
    }

    /// Works until it ends. `stop` asks it to.
    pub async fn run(self, stop: Stop) -> Ended {
        let ended = tokio::select! {
            biased;
            ended = self.stay_attached(&stop) => ended,
            reason = leave(&self.host, &stop) => Ended::Left(reason),
        };
        if ended == Ended::Orphaned {
            self.give_up().await;
        }
        ended
    }

    /// Nobody comes: ends the jobs, and leaves what they have said for whoever looks later.
    async fn give_up(&self) {
        self.host.close(SIGNAL_GRACE.into());
        if timeout(SIGNAL_GRACE, self.host.idle()).await.is_err() {
            tracing::warn!("some jobs have not ended within the grace");
        }
        self.host.leave_reports();
    }

    async fn stay_attached(&self, stop: &Stop) -> Ended {
        let mut backoff = Backoff::new(D::LONGEST_WAIT);
        let mut last_epoch = GatewayEpoch::default();
        let mut told = String::new();
        loop {
            match self.attach(last_epoch).await {
                Ok(session) => {
                    backoff = Backoff::new(D::LONGEST_WAIT);
                    told.clear();
                    last_epoch = session.epoch();
                    tracing::info!(fence = %session.fence(), "attached");
                    match session.serve(&self.host, &self.contact, stop).await {
                        SessionEnd::Left(reason) => return Ended::Left(reason),
                        SessionEnd::Lost(lost) => tracing::warn!(reason = %lost, "the link to the gateway is lost"),
                    }
                }
                Err(ConnectError::Refused { reason, terminate: true }) => return Ended::Refused { reason },
                Err(error) => tell(&mut told, &error),
            }
            let Some(left) = self.contact.left(self.lifetime()) else { return Ended::Orphaned };
            sleep(backoff.next(random_u32()).min(left)).await;
        }
    }

    /// How long to go on without a gateway. A worker without a job has nothing that another could not begin with.
    fn lifetime(&self) -> Duration {
        let lifetime = self.identity.orphan_lifetime;
        if self.host.is_empty() { lifetime.min(self.idle_lifetime) } else { lifetime }
    }

    async fn attach(&self, last_epoch: GatewayEpoch) -> Result<Session, ConnectError> {
        let attempt = async {
            let stream = self.dial.dial().await.map_err(ConnectError::Dial)?;
            attach(stream, &self.identity, last_epoch, &self.host).await
        };
        timeout(HANDSHAKE_DEADLINE, attempt).await.unwrap_or(Err(ConnectError::Deadline))
    }
}

/// Tells why the worker is not attached: once for each cause, since it tries again every second or more often.
fn tell(told: &mut String, error: &ConnectError) {
    let reason = Chain(error).to_string();
    if reason == *told {
        tracing::debug!(%reason, "still not attached");
    } else {
        tracing::warn!(%reason, "not attached; the worker goes on trying");
        *told = reason;
    }
}

/// Waits to be asked, then ends the jobs, lets their last reports be committed, and says goodbye.
pub(crate) async fn leave(host: &Host, stop: &Stop) -> GoodbyeReason {
    let (reason, grace) = stop.asked().await;
    tracing::info!(%reason, grace_ms = grace.get(), "leaving");
    host.close(grace);
    if timeout(grace.as_duration(), host.idle()).await.is_err() {
        tracing::warn!("some jobs have not ended within the grace");
    }
    if timeout(FLUSH_GRACE, host.settled()).await.is_err() {
        tracing::warn!("some reports are not acknowledged");
    }
    stop.say_goodbye();
    sleep(FAREWELL_GRACE).await;
    reason
}

impl<D> std::fmt::Debug for Worker<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("identity", &self.identity).field("host", &self.host).finish_non_exhaustive()
    }
}

/// The orphan lifetime of an assignment; the usual one if it says zero.
pub(crate) fn orphan_lifetime(assigned: Millis) -> Duration {
    if assigned == Millis::ZERO { crate::limits::DEFAULT_ORPHAN_LIFETIME } else { assigned.as_duration() }
}

/// An error with its causes on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Chance for the jitter; without any, the waits are only not spread.
fn random_u32() -> u32 {
    random::draw().map(u32::from_le_bytes).unwrap_or(crate::limits::RECONNECT_JITTER_PERCENT)
}
