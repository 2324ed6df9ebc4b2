//! Keeping each job's own credential to what its children leave it: [`moorline_core::credential::Caps`] at work.

use moorline_core::Refusal;
use moorline_core::credential::{Capped, Custody, Sharing, Standing, Wanted};
use moorline_types::{JobId, Timestamp};

use super::{Cap, Credentials, ISSUE_PATIENCE, Provisioning, State};
use crate::sync::lock;

impl State {
    /// What the credential of this job is to be kept to may be something else.
    pub(super) fn reckon(&mut self, now: Timestamp, job: JobId) {
        let Some(sharing) = self.sharings.get(&job) else { return };
        let held = self.held.get(&job).into_iter().flatten();
        let Some(current) = held.filter(|custody| custody.is_certain()).max_by_key(|custody| custody.issue) else {
            return;
        };
        let withdrawing = self.revocations.iter().map(|revocation| &revocation.custody);
        let budget = sharing.own(job, withdrawing);
        self.caps.handle_wanted(now, Wanted { job, issue: current.issue, budget });
    }

    /// The same of every job above that of this credential, which is to be withdrawn, or is.
    pub(super) fn reckon_above(&mut self, now: Timestamp, custody: &Custody) {
        custody.above.iter().for_each(|above| self.reckon(now, *above));
    }

    /// The job has no credential any more, or is about to have none.
    pub(super) fn forget(&mut self, job: JobId) {
        self.held.remove(&job);
        self.sharings.remove(&job);
        self.caps.handle_withdrawn(job);
    }
}

impl Credentials {
    /// The job shares its budget with its children in this way from now on.
    pub(crate) fn share(&self, job: JobId, sharing: Sharing) {
        let mut state = lock(&self.0.state);
        state.sharings.insert(job, sharing);
        state.reckon(self.0.clock.now(), job);
        drop(state);
        self.0.wake.notify_one();
    }

    /// Waits until the upstream lets nobody spend with the job's credential what its children were given.
    pub(super) async fn until_kept(&self, job: JobId) -> Result<(), Refusal> {
        let unavailable = |reason: String| Refusal::CredentialUnavailable { reason };
        let mut told = self.0.told.subscribe();
        lock(&self.0.state).caps.handle_awaited(self.0.clock.now(), job);
        self.0.wake.notify_one();
        let kept = async {
            loop {
                match lock(&self.0.state).caps.standing(job) {
                    Standing::Kept => return Ok(()),
                    Standing::Failed(reason) => return Err(unavailable(reason)),
                    Standing::Open => {}
                }
                if told.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        let late = || Err(unavailable("it was not told in time what the parent may spend".to_owned()));
        tokio::time::timeout(ISSUE_PATIENCE, kept).await.unwrap_or_else(|_| late())
    }

    /// A credential that was being replaced is what it will be: who waits for it to be kept to something looks again.
    pub(super) fn handle_replaced(&self, job: JobId) {
        lock(&self.0.state).caps.handle_replaced(job);
        self.0.told.send_modify(|many| *many += 1);
    }

    /// Tells the upstream what may be spent with a job's credential.
    pub(super) async fn cap(&self, wanted: Wanted) -> (Wanted, Capped) {
        let Wanted { job, issue, ref budget } = wanted;
        let held = |state: &State| state.held.get(&job)?.iter().find(|custody| custody.issue == issue).cloned();
        let custody = held(&lock(&self.0.state));
        let answer = match (&self.0.provisioning, custody) {
            // One that is withdrawn meanwhile allows nothing.
            (_, None) => Capped::Done,
            (Some(Provisioning { provisioner, .. }), Some(custody)) if provisioner.upstream() == custody.upstream => {
                match self.open(&custody) {
                    Some(value) => provisioner.cap(Cap { issue, value: &value, budget }).await,
                    None => Capped::Failed("its value cannot be opened".to_owned()),
                }
            }
            (_, Some(custody)) => Capped::Failed(format!("{} is not configured any more", custody.upstream)),
        };
        (wanted, answer)
    }

    /// Takes in what the upstream has answered to that.
    pub(super) fn handle_capped(&self, wanted: &Wanted, answer: Capped) {
        let Wanted { job, issue, .. } = wanted;
        match &answer {
            Capped::Failed(reason) => {
                tracing::warn!(%job, %issue, reason, "a credential allows too much or little yet")
            }
            Capped::Unable => tracing::debug!(%job, %issue, "a credential allows all of its job's budget"),
            Capped::Done => {}
        }
        lock(&self.0.state).caps.handle_answer(self.0.clock.now(), wanted, answer);
        self.0.told.send_modify(|many| *many += 1);
    }
}
