//! Workers of other machines.
//!
//! ```text
//!  enrolled ──attaches──▶ known ──link lost──▶ away ──attaches──▶ known …
//!     │                     │                   └──window──▶ its jobs end; it may still come back
//!     └──────revoked────────┴──▶ told to end itself, its jobs end, its agents are not listed any more
//! ```
//!
//! One is attached like a worker that the gateway has started, by the same handshake, and nothing behind the
//! [`Pool`](crate::pool::Pool) tells them apart. What differs is that nobody here can see its process: its end is told
//! by its absence alone, and it is ended by being told to.
//!
//! Who is enrolled is asked at each handshake, and every few seconds for those that are known, so that enrolling and
//! revoking need no restart. The key of a worker follows from its id, so one that was revoked can still be told so by
//! a gateway that has proven itself; nothing else happens for it.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::job::Lost;
use moorline_store::{ReadError, Store};
use moorline_types::{AgentPattern, ResolvedAgent, WorkerId};
use moorline_worker::Stream;
use moorline_worker::link::{Candidate, accept};
use tokio_util::sync::CancellationToken;

use super::door::DoorError;
use super::ledger::Ledger;
use super::{WorkerDoor, supervisor};
use crate::agents::{Agents, Offered};
use crate::pool::Whence;
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

/// How often it is looked whether those that are known are still enrolled: as often as a link is heard from, so that a
/// revoked worker is gone about as soon as a lost one.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What a worker was enrolled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// For people: what the operator calls it.
    pub name: String,
    /// Which agents it may offer.
    pub agents: Vec<AgentPattern>,
}

/// Where it is written which workers are enrolled.
pub trait Enrolments: Send + Sync + std::fmt::Debug {
    /// What the worker is enrolled for; `None` if it is not.
    ///
    /// # Errors
    /// If that cannot be told.
    fn find(&self, worker: WorkerId) -> Result<Option<Enrolment>, EnrolmentsError>;
}

/// It cannot be told who is enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentsError {
    /// It cannot be read.
    #[error("the enrolment in {} cannot be read", path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no enrolment.
    #[error("{} is damaged; revoke the worker and enrol it anew", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
    },
}

/// Why the workers of other machines that were there in the last run cannot be awaited.
#[derive(Debug, thiserror::Error)]
pub enum RecoverExternalError {
    /// What they have offered cannot be read.
    #[error("the workers of other machines cannot be read")]
    Read(#[from] ReadError),
    /// Whether one is enrolled cannot be told.
    #[error("the enrolment of a worker cannot be told")]
    Enrolments(#[from] EnrolmentsError),
}

/// See the module's documentation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ExternalWorkers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    door: WorkerDoor,
    agents: Arc<Agents>,
    enrolments: Arc<dyn Enrolments>,
    ledger: Ledger,
    tasks: Tasks,
    window: Duration,
    known: Mutex<HashMap<WorkerId, Known>>,
}

/// A worker that has been there while it was enrolled.
#[derive(Debug)]
struct Known {
    offers: Vec<Offered>,
    /// Cancelled when it is revoked.
    revoked: CancellationToken,
}

impl ExternalWorkers {
    /// Workers that attach at `door` if `enrolments` has them, and whose jobs end when they are away for `window`.
    pub fn new(
        door: WorkerDoor,
        agents: Arc<Agents>,
        enrolments: Arc<dyn Enrolments>,
        store: Arc<dyn Store>,
        tasks: Tasks,
        window: Duration,
    ) -> Self {
        let (ledger, known) = (Ledger::new(store), Mutex::default());
        Self(Arc::new(Shared { door, agents, enrolments, ledger, tasks, window, known }))
    }

    /// Awaits the workers of the last run that are still enrolled, and goes on looking whether they are. To be called
    /// before [`crate::Gateway::recover`].
    ///
    /// # Errors
    /// See [`RecoverExternalError`].
    pub async fn recover(&self) -> Result<(), RecoverExternalError> {
        for (worker, offers) in self.0.ledger.all().await? {
            if self.0.enrolments.find(worker)?.is_some() {
                self.know(worker, offers);
            } else {
                self.0.door.pool().found_gone(worker, Lost::Revoked);
                self.0.ledger.remove(worker).await;
            }
        }
        self.0.tasks.spawn(TaskKind::WorkerDoor, self.clone().check_enrolments());
        Ok(())
    }

    /// Leads a worker at the other end of `stream` through the handshake and lets it in, or does not.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub async fn attach(&self, stream: impl Stream, from: IpAddr) -> Result<(), DoorError> {
        let secret = self.0.door.secret();
        let key = |worker: WorkerId| std::future::ready(Some(secret.enrolment_token(worker).key()));
        let candidate = accept(stream, key, self.0.door.params()).await;
        let candidate = candidate.map_err(|source| DoorError::External { from, source })?;
        match self.judge(&candidate) {
            Ok((name, offers)) => self.admit(candidate, Whence { from, name }, offers).await,
            Err(refusal) => {
                let is_for_good = matches!(refusal, DoorError::Revoked { .. } | DoorError::NotAllowed { .. });
                candidate.refuse(refusal.to_string(), is_for_good).await.map_err(DoorError::Attach)?;
                Err(refusal)
            }
        }
    }

    /// Tells the operator that somebody was not let in, at a bounded rate.
    pub fn tell(&self, refusal: &DoorError, from: IpAddr) {
        self.0.door.tell(refusal, Some(from));
    }

    /// What the worker is called and may offer, or why it is refused.
    fn judge(&self, candidate: &Candidate) -> Result<(String, Vec<Offered>), DoorError> {
        let info = candidate.info();
        let worker = info.worker;
        let found = self.0.enrolments.find(worker).map_err(|source| DoorError::Enrolments { worker, source })?;
        let enrolment = found.ok_or(DoorError::Revoked { worker })?;
        let is_allowed = |agent: &ResolvedAgent| enrolment.agents.iter().any(|pattern| pattern.matches(&agent.name));
        if let Some(offer) = info.offers.iter().find(|offer| !is_allowed(&offer.agent)) {
            let (name, agent) = (enrolment.name, offer.agent.clone());
            return Err(DoorError::NotAllowed { worker, name, agent });
        }
        if self.0.door.pool().instance_of(worker).is_some_and(|instance| instance != info.instance) {
            return Err(DoorError::InUse { worker, name: enrolment.name });
        }
        Ok((enrolment.name, info.offers.iter().map(|offer| (offer.agent.clone(), offer.is_default)).collect()))
    }

    async fn admit(&self, candidate: Candidate, whence: Whence, offers: Vec<Offered>) -> Result<(), DoorError> {
        let worker = candidate.info().worker;
        let is_new = lock(&self.0.known).get(&worker).is_none_or(|known| known.offers != offers);
        // Written down before it is let in: the next start must know whoever was given a job.
        if is_new {
            let written = self.0.ledger.put(worker, &offers).await;
            written.map_err(|source| DoorError::NotWritten { worker, source })?;
            self.know(worker, offers);
        }
        self.0.door.admit(candidate, Some(whence)).await.map_err(DoorError::Attach)
    }

    /// Lists what the worker offers, and watches over its absence from here on.
    fn know(&self, worker: WorkerId, offers: Vec<Offered>) {
        self.0.agents.offer(worker, offers.clone());
        let mut known = lock(&self.0.known);
        if let Some(known) = known.get_mut(&worker) {
            known.offers = offers;
            return;
        }
        let agents = offers.iter().map(|(agent, _)| agent.clone());
        let attachment = self.0.door.pool().await_worker(worker, agents);
        let revoked = self.0.tasks.stopping().child_token();
        known.insert(worker, Known { offers, revoked: revoked.clone() });
        drop(known);
        let (door, window) = (self.0.door.clone(), self.0.window);
        let task = async move { supervisor::wait_for(worker, window, attachment, &door, &revoked).await };
        self.0.tasks.spawn(TaskKind::WorkerProcess, task);
    }

    async fn check_enrolments(self) {
        let stopping = self.0.tasks.stopping().clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            let known: Vec<_> = lock(&self.0.known).keys().copied().collect();
            for worker in known {
                match self.0.enrolments.find(worker) {
                    Ok(Some(_)) => {}
                    Ok(None) => self.revoke(worker).await,
                    Err(error) => tracing::error!(%worker, error = &error as &dyn std::error::Error, "not checked"),
                }
            }
        }
    }

    /// Ends the jobs of a worker that is not enrolled any more. It dials again, and is told then to end itself.
    async fn revoke(&self, worker: WorkerId) {
        let Some(known) = lock(&self.0.known).remove(&worker) else { return };
        tracing::warn!(%worker, "the worker was revoked");
        known.revoked.cancel();
        self.0.agents.withdraw(worker);
        self.0.door.pool().dismiss(worker, Lost::Revoked);
        self.0.ledger.remove(worker).await;
    }
}
