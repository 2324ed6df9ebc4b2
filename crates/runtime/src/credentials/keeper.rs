//! The task that withdraws credentials, tells the upstream what may be spent with others, and looks whether it could issue
//! more.

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use moorline_core::credential::{Answer, Capped, Custody, Wanted};
use moorline_store::Expect;
use moorline_types::{CredentialId, Millis, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Credentials, Provisioning, document};
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

/// How often the upstream is looked at: a client that connects is offered what is true within so long.
const LOOK_INTERVAL: Millis = Millis::from_secs(15);

/// What came of a request to the upstream.
enum Done {
    Answered(CredentialId, Answer),
    Capped(Wanted, Capped),
    Looked,
}

impl Credentials {
    /// Withdraws what is to be withdrawn, from now on until the gateway stops.
    pub(crate) fn start(&self, tasks: &Tasks) {
        let (keeper, stopping) = (self.clone(), tasks.stopping().clone());
        tasks.spawn(TaskKind::Credentials, async move { keeper.keep(&stopping).await });
    }

    async fn keep(&self, stopping: &CancellationToken) {
        let mut under_way = FuturesUnordered::<BoxFuture<'_, Done>>::new();
        // When the upstream is looked at next; not while that is under way.
        let mut look_at = self.0.provisioning.as_ref().map(|_| self.0.clock.now());
        loop {
            let now = self.0.clock.now();
            let is_doubted = std::mem::take(&mut lock(&self.0.state).is_doubted);
            if look_at.take_if(|at| *at <= now || is_doubted).is_some() {
                under_way.push(self.look().boxed());
            }
            while let Some(custody) = self.next(now) {
                under_way.push(self.revoke(custody).boxed());
            }
            while let Some(wanted) = self.next_cap(now) {
                under_way.push(self.cap(wanted).map(|(wanted, answer)| Done::Capped(wanted, answer)).boxed());
            }
            let due = {
                let state = lock(&self.0.state);
                [state.revocations.poll_timeout(), state.caps.poll_timeout()]
            };
            let due = due.into_iter().flatten().filter(|at| *at > now).chain(look_at).min();
            tokio::select! {
                Some(done) = under_way.next() => match done {
                    Done::Answered(issue, answer) => self.handle_answer(issue, answer).await,
                    Done::Capped(wanted, answer) => self.handle_capped(&wanted, answer),
                    Done::Looked => look_at = Some(self.0.clock.now() + LOOK_INTERVAL),
                },
                () = self.0.clock.sleep_until(due) => {}
                () = self.0.wake.notified() => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    fn next(&self, now: Timestamp) -> Option<Custody> {
        lock(&self.0.state).revocations.poll(now)
    }

    /// What the upstream is to be told next, once it was looked at: not before does it say what it is able to do.
    fn next_cap(&self, now: Timestamp) -> Option<Wanted> {
        let was_looked_at = *self.0.looked.borrow();
        was_looked_at.then(|| lock(&self.0.state).caps.poll(now))?
    }

    async fn revoke(&self, custody: Custody) -> Done {
        let answer = match &self.0.provisioning {
            Some(Provisioning { provisioner, .. }) if provisioner.upstream() == custody.upstream => {
                provisioner.revoke(custody.issue).await
            }
            Some(_) | None => Answer::Failed(format!("{} is not configured any more", custody.upstream)),
        };
        Done::Answered(custody.issue, answer)
    }

    async fn handle_answer(&self, issue: CredentialId, answer: Answer) {
        let now = self.0.clock.now();
        if let Answer::Failed(reason) = &answer {
            tracing::warn!(%issue, reason, "a credential is not withdrawn yet");
        }
        if !lock(&self.0.state).revocations.handle_answer(now, issue, answer) {
            return;
        }
        // Only then: a document that is gone is a credential that nobody withdraws.
        if let Err(error) = self.0.store.delete(&document(issue), Expect::Any).await {
            let failed = Answer::Failed(format!("it is withdrawn, which cannot be written down: {error}"));
            lock(&self.0.state).revocations.handle_answer(now, issue, failed);
            return;
        }
        tracing::info!(%issue, "a credential is withdrawn");
        self.forgotten(now, issue);
        self.0.withdrawn.send_modify(|many| *many += 1);
    }

    /// Nothing is left of the credential: what it could have spent may be spent by those above.
    fn forgotten(&self, now: Timestamp, issue: CredentialId) {
        let mut state = lock(&self.0.state);
        let custody = state.revocations.handle_forgotten(issue);
        custody.into_iter().for_each(|custody| state.reckon_above(now, &custody));
    }

    async fn look(&self) -> Done {
        let Some(Provisioning { provisioner, .. }) = &self.0.provisioning else { return Done::Looked };
        let trouble = provisioner.check().await.err();
        let before = std::mem::replace(&mut lock(&self.0.state).trouble, trouble.clone());
        match (&before, &trouble) {
            (_, Some(reason)) if before != trouble => {
                tracing::error!(upstream = provisioner.upstream(), reason, "no credentials are issued for now");
            }
            (Some(_), None) => tracing::info!(upstream = provisioner.upstream(), "credentials are issued"),
            (_, Some(_)) | (None, None) => {}
        }
        self.0.looked.send_replace(true);
        Done::Looked
    }
}
