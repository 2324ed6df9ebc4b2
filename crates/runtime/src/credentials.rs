//! Credentials for upstreams at work: [`moorline_core::credential`] between the store and a [`Provisioner`].
//!
//! - What is intended is in the store before the upstream is asked; what is live got there with the record that tells of
//!   it. Whatever else is there is withdrawn, at once or at the next start.
//! - Values are in memory and in the store as they were sealed, and are opened for whoever is to be shown one.
//! - One task asks the upstream to withdraw, again and again, tells it what the credentials of jobs that have delegated
//!   may spend, and looks whether it could issue.
//!
//! | a gateway dies | what the next start finds | what it does |
//! | --- | --- | --- |
//! | before the upstream is asked | intended, no job | withdraws; the upstream has none, and that is final after a while |
//! | before its answer is taken in | intended, no job | withdraws |
//! | before the job's first record is committed | intended, no job | withdraws |
//! | before a child's first record is committed | intended, no child, which its parent holds | withdraws; another is issued for that child |
//! | while the job runs | live, an open job | keeps it, and tells the upstream anew what may be spent with it |
//! | while a value is replaced | intended beside live | withdraws what is intended; the job has another one issued |
//! | before the prior value is withdrawn | two live ones | withdraws the older |
//! | after the job's end was told | live, a job that is over | withdraws |

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use moorline_core::Refusal;
use moorline_core::credential::{
    BEARER, Caps, Constraints, Custody, MAX_FAILING, Provisioned, Revocation, Revocations, Sharing, Stage,
};
use moorline_core::lease::Terms;
use moorline_core::record::Accepted;
use moorline_store::{Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{CredentialId, JobId, Millis, PrincipalId, Timestamp};
use moorline_worker::credential::Credential;
use tokio::sync::{Notify, Semaphore, watch};

use crate::clock::Clock;
use crate::gateway::{no_entropy, put_reason};
use crate::mint;
use crate::sync::lock;

mod caps;
mod keeper;
mod pending;
mod provisioner;
mod seal;

pub(crate) use pending::Pending;
pub use provisioner::{Cap, Issued, NotIssued, Order, Provisioner, Value};
pub use seal::SealKey;

/// The longest that a provisioner is waited for, whatever it says of itself: its own deadlines are shorter. So long a
/// submission waits for its turn too.
pub(crate) const ISSUE_PATIENCE: Duration = Duration::from_secs(60);

/// Submissions and delegations that wait for a credential, of all sessions and jobs. Each has its submission in memory, of
/// at most a frame; an upstream that takes a second for each is through with so many in a quarter of a minute.
const MAX_PENDING: usize = 256;

/// Credentials that are issued at once. A program as upstream is a process for each.
const MAX_AT_ONCE: usize = 16;

/// Documents that are read at once.
const PAGE: usize = 256;

/// Where credentials come from.
#[derive(Debug)]
pub struct Provisioning {
    /// The upstream.
    pub provisioner: Arc<dyn Provisioner>,
    /// How long a credential is good at most. One that a job still needs is replaced before.
    pub lifetime: Millis,
}

/// What an operator sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsReport {
    /// The upstream, if one is configured.
    pub upstream: Option<String>,
    /// Whether clients are offered credentials at the moment.
    pub is_offered: bool,
    /// Why not, if an upstream is configured.
    pub trouble: Option<String>,
    /// Credentials that jobs have.
    pub live: usize,
    /// Credentials that are to be withdrawn and are not yet.
    pub revocations: Vec<Revocation>,
}

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub struct Credentials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    key: Option<SealKey>,
    provisioning: Option<Provisioning>,
    state: Mutex<State>,
    /// Something is to be withdrawn, or the upstream is to be looked at.
    wake: Notify,
    /// Counts what was withdrawn, for those who wait for it.
    withdrawn: watch::Sender<u64>,
    /// Counts what the upstream was told of what may be spent, likewise.
    told: watch::Sender<u64>,
    /// Whether the upstream has been looked at.
    looked: watch::Sender<bool>,
    /// Room for what waits for a credential.
    pending: Semaphore,
    /// Whose turn it is at the upstream.
    turns: Semaphore,
}

#[derive(Debug)]
struct State {
    /// Everything that upstreams have or may have for jobs, and that is not to be withdrawn.
    held: HashMap<JobId, Vec<Custody>>,
    /// By issue, what records that are being committed tell of. A session may read such a record before its job's task
    /// learns that it is committed.
    announced: HashMap<CredentialId, Custody>,
    revocations: Revocations,
    /// How jobs share their budgets with their children, as far as those were given any.
    sharings: HashMap<JobId, Sharing>,
    caps: Caps,
    /// Why the upstream could not issue or withdraw when it was looked at last.
    trouble: Option<String>,
    /// It has failed since.
    is_doubted: bool,
}

impl State {
    /// The credential is to be withdrawn.
    fn handle_wanted(&mut self, now: Timestamp, custody: Custody) {
        self.revocations.handle_wanted(now, custody.clone());
        self.reckon_above(now, &custody);
    }
}

impl Credentials {
    /// Credentials of this store, sealed with this key. Without a provisioner none are issued, and without a key none is
    /// shown; what earlier gateways have issued is withdrawn as soon as their upstream is configured again.
    pub fn new(store: Arc<dyn Store>, clock: Clock, key: Option<SealKey>, provisioning: Option<Provisioning>) -> Self {
        let trouble = Some("it was not asked yet".to_owned());
        let state = Mutex::new(State {
            held: HashMap::new(),
            announced: HashMap::new(),
            revocations: Revocations::default(),
            sharings: HashMap::new(),
            caps: Caps::default(),
            trouble,
            is_doubted: false,
        });
        let (wake, looked) = (Notify::new(), watch::Sender::new(false));
        let (withdrawn, told) = (watch::Sender::new(0), watch::Sender::new(0));
        let (pending, turns) = (Semaphore::new(MAX_PENDING), Semaphore::new(MAX_AT_ONCE));
        let shared = Shared { store, clock, key, provisioning, state, wake, withdrawn, told, looked, pending, turns };
        Self(Arc::new(shared))
    }

    /// Whether there is an upstream.
    pub(crate) fn is_configured(&self) -> bool {
        self.0.provisioning.is_some()
    }

    /// Whether credentials are issued at the moment: an upstream is configured, answers, and withdraws what it has issued
    /// (spec 14).
    pub fn is_offered(&self) -> bool {
        self.0.provisioning.is_some() && self.trouble().is_none()
    }

    fn trouble(&self) -> Option<String> {
        let state = lock(&self.0.state);
        let failing = state.revocations.failing();
        match &state.trouble {
            Some(trouble) => Some(trouble.clone()),
            None if failing > MAX_FAILING => Some(format!("{failing} credentials cannot be withdrawn from it")),
            None => None,
        }
    }

    /// What an operator sees.
    pub fn report(&self) -> CredentialsReport {
        let (provisioning, trouble) = (self.0.provisioning.as_ref(), self.trouble());
        let state = lock(&self.0.state);
        CredentialsReport {
            upstream: provisioning.map(|provisioning| provisioning.provisioner.upstream().to_owned()),
            is_offered: provisioning.is_some() && trouble.is_none(),
            trouble: trouble.filter(|_| provisioning.is_some()),
            live: state.held.values().flatten().filter(|custody| custody.is_certain()).count(),
            revocations: state.revocations.iter().cloned().collect(),
        }
    }

    /// Has the upstream asked at once for everything that is to be withdrawn. Answers how much that is.
    pub fn hurry(&self) -> usize {
        let many = lock(&self.0.state).revocations.handle_hurry(self.0.clock.now());
        self.0.wake.notify_one();
        many
    }

    /// Has a credential issued for a job that is to be accepted; `None` if its lease is not worth one.
    pub(crate) async fn issue_for(&self, job: JobId, accepted: &Accepted) -> Result<Option<Pending>, Refusal> {
        if self.constraints(self.0.clock.now(), accepted).is_none() {
            return Ok(None);
        }
        if let Some(reason) = self.trouble() {
            return Err(Refusal::CredentialUnavailable { reason });
        }
        let crowded = || Refusal::CredentialUnavailable { reason: "too many are being issued".to_owned() };
        let _room = self.0.pending.try_acquire().map_err(|_| crowded())?;
        let turn = tokio::time::timeout(ISSUE_PATIENCE, self.0.turns.acquire()).await;
        let _turn = turn.map_err(|_| crowded())?;
        let now = self.0.clock.now();
        let Some(constraints) = self.constraints(now, accepted) else { return Ok(None) };
        let issue = mint::credential_id(now).map_err(no_entropy)?;
        self.issue(now, (issue, issue), job, accepted, constraints).await.map(Some)
    }

    /// The same for a child that is to be accepted, when its parent's credential is kept to what the child leaves it. One
    /// that the last gateway has left waiting finds this one's upstream looked at.
    pub(crate) async fn issue_for_child(&self, child: JobId, accepted: &Accepted) -> Result<Option<Pending>, Refusal> {
        if self.is_configured() {
            let mut looked = self.0.looked.subscribe();
            // An upstream that does not say how it is, is in trouble, which is told below.
            drop(tokio::time::timeout(ISSUE_PATIENCE, looked.wait_for(|looked| *looked)).await);
            if let Some(parent) = &accepted.parent {
                self.until_kept(parent.job).await?;
            }
        }
        self.issue_for(child, accepted).await
    }

    /// Has another value issued for a job's credential.
    pub(crate) async fn replace(
        &self,
        credential: CredentialId,
        job: JobId,
        accepted: &Accepted,
    ) -> Result<Pending, Refusal> {
        let now = self.0.clock.now();
        let Some(mut constraints) = self.constraints(now, accepted) else {
            return Err(Refusal::CredentialUnavailable { reason: "no upstream is configured".to_owned() });
        };
        // The order of a credential's issues is that of their names, also of two of the same millisecond.
        let after =
            self.current(job, credential).map_or(now, |prior| now.max(prior.issue.minted_at() + Millis::new(1)));
        let issue = mint::credential_id(after).map_err(no_entropy)?;
        {
            let caps = &mut lock(&self.0.state).caps;
            // What its children have now, it has not; what they get while it is made, it is told of when the job has it.
            constraints.budget = caps.budget(job).cloned().unwrap_or(constraints.budget);
            caps.handle_replacing(job);
        }
        let issued = self.issue(now, (credential, issue), job, accepted, constraints).await;
        issued.inspect_err(|refusal| {
            tracing::warn!(%job, %credential, %refusal, "a credential is not replaced yet");
            self.handle_replaced(job);
        })
    }

    fn constraints(&self, now: Timestamp, accepted: &Accepted) -> Option<Constraints> {
        let latest = now + self.0.provisioning.as_ref()?.lifetime;
        Constraints::of(&accepted.lease, accepted.expires_at, latest)
    }

    async fn issue(
        &self,
        now: Timestamp,
        (credential, issue): (CredentialId, CredentialId),
        job: JobId,
        accepted: &Accepted,
        constraints: Constraints,
    ) -> Result<Pending, Refusal> {
        let principal = &accepted.principal;
        let unavailable = |reason: &str| Refusal::CredentialUnavailable { reason: reason.to_owned() };
        let (Some(Provisioning { provisioner, .. }), Some(key)) = (&self.0.provisioning, &self.0.key) else {
            return Err(unavailable("no upstream is configured"));
        };
        let custody = Custody {
            issue,
            credential,
            job,
            principal: principal.clone(),
            upstream: provisioner.upstream().to_owned(),
            since: now,
            stage: Stage::Intended,
            above: self.above(accepted),
            share: Terms::read(&accepted.lease).unwrap_or_default().budget,
        };
        let intended = Bytes::from(custody.encode());
        let put = self.0.store.put(&document(issue), intended, Expect::Absent).await;
        put.map_err(|error| Refusal::StoreUnavailable { reason: put_reason(&error) })?;
        // A value is nobody's business but its own upstream's: another one may be configured since.
        let prior = self.current(job, credential).filter(|prior| prior.upstream == provisioner.upstream());
        let replaces = prior.and_then(|prior| self.open(&prior));
        // From here on the upstream may have it: whatever happens to this future, it is withdrawn.
        let pending = Pending::intended(self.clone(), custody);
        let order = Order { issue, job, principal, constraints: &constraints, replaces: replaces.as_ref() };
        let issued = tokio::time::timeout(ISSUE_PATIENCE, provisioner.issue(order)).await;
        let issued = issued.unwrap_or_else(|_| Err(NotIssued::Unavailable("it did not answer in time".to_owned())));
        match issued {
            Ok(Issued { value, endpoint, profile, constraints, good_until }) => {
                let sealed = key.seal(issue, &value).map_err(|error| {
                    tracing::error!(%error, "a credential cannot be kept");
                    unavailable("its value cannot be sealed")
                })?;
                let id = credential;
                Ok(pending.issued(Provisioned { id, issue, endpoint, profile, constraints, good_until }, sealed))
            }
            Err(NotIssued::Refused(reason)) => {
                pending.forget().await;
                Err(Refusal::CredentialRefused { reason })
            }
            Err(NotIssued::Unavailable(reason)) => {
                tracing::warn!(%job, %issue, reason, "no credential was issued");
                lock(&self.0.state).is_doubted = true;
                Err(Refusal::CredentialUnavailable { reason })
            }
        }
    }

    /// The jobs above that have credentials too, the parent first.
    fn above(&self, accepted: &Accepted) -> Vec<JobId> {
        let Some(parent) = &accepted.parent else { return Vec::new() };
        let state = lock(&self.0.state);
        let held = state.held.get(&parent.job).and_then(|of_parent| of_parent.first());
        held.map(|custody| [parent.job].into_iter().chain(custody.above.iter().copied()).collect()).unwrap_or_default()
    }

    /// The job's credentials as its submitter is shown them: with the present value of each. Nobody else is shown any.
    pub(crate) fn for_submitter(
        &self,
        principal: &PrincipalId,
        job: JobId,
        provisioned: &[Provisioned],
    ) -> Vec<(Provisioned, Value)> {
        let shown = provisioned.iter().filter_map(|provisioned| {
            let custody = self.current(job, provisioned.id).filter(|custody| custody.principal == *principal)?;
            Some((provisioned.clone(), self.open(&custody)?))
        });
        shown.collect()
    }

    /// The same as the job's agent is given them.
    pub(crate) fn for_agent(&self, job: JobId, provisioned: &[Provisioned]) -> Vec<Credential> {
        let given = provisioned.iter().filter_map(|provisioned| {
            let value = self.open(&self.current(job, provisioned.id)?)?;
            Some(Credential {
                id: provisioned.id.to_string(),
                scheme: BEARER.to_owned(),
                value: value.expose().to_owned(),
                endpoint: provisioned.endpoint.clone(),
                profile: provisioned.profile.clone(),
                constraints: Some(provisioned.constraints.clone()),
            })
        });
        given.collect()
    }

    /// The value of one issue of which a committed record tells, if it is the job's at the moment and this is its submitter.
    pub(crate) fn value_of(&self, principal: &PrincipalId, job: JobId, issue: CredentialId) -> Option<Value> {
        let state = lock(&self.0.state);
        let held = state.held.get(&job).into_iter().flatten().find(|custody| custody.issue == issue);
        let custody = held.or_else(|| state.announced.get(&issue).filter(|custody| custody.job == job))?.clone();
        drop(state);
        (custody.principal == *principal).then(|| self.open(&custody))?
    }

    fn current(&self, job: JobId, credential: CredentialId) -> Option<Custody> {
        let state = lock(&self.0.state);
        let held = state.held.get(&job).into_iter().flatten();
        let newest = held
            .filter(|custody| custody.credential == credential && custody.is_certain())
            .max_by_key(|custody| custody.issue);
        // The first record of a child may be read before its parent's task learns that it is committed.
        newest.or_else(|| state.announced.get(&credential).filter(|custody| custody.job == job)).cloned()
    }

    fn open(&self, custody: &Custody) -> Option<Value> {
        let Stage::Live { sealed } = &custody.stage else { return None };
        let opened = self.0.key.as_ref()?.open(custody.issue, sealed);
        opened.map_err(|error| tracing::error!(issue = %custody.issue, %error, "a credential is not shown")).ok()
    }

    /// Withdraws everything that the job has, and waits until that is done.
    pub(crate) async fn withdraw_all(&self, job: JobId) {
        self.withdraw(job, |_| true);
        let mut withdrawn = self.0.withdrawn.subscribe();
        while lock(&self.0.state).revocations.is_pending(job) {
            if withdrawn.changed().await.is_err() {
                return;
            }
        }
    }

    /// Withdraws everything that the job has, which nobody waits for.
    pub(crate) fn withdraw_later(&self, job: JobId) {
        self.withdraw(job, |_| true);
    }

    /// Withdraws what the job's credential was before this issue.
    pub(crate) fn withdraw_prior(&self, job: JobId, credential: CredentialId, issue: CredentialId) {
        self.withdraw(job, |custody| custody.credential == credential && custody.issue < issue);
    }

    fn withdraw(&self, job: JobId, what: impl Fn(&Custody) -> bool) {
        let now = self.0.clock.now();
        let mut state = lock(&self.0.state);
        if let Some(of_job) = state.held.get_mut(&job) {
            let wanted: Vec<_> = of_job.extract_if(.., |custody| what(custody)).collect();
            if of_job.is_empty() {
                state.forget(job);
            }
            wanted.into_iter().for_each(|custody| state.handle_wanted(now, custody));
        }
        drop(state);
        self.0.wake.notify_one();
    }

    fn hold(&self, custody: Custody) {
        let (now, job) = (self.0.clock.now(), custody.job);
        let mut state = lock(&self.0.state);
        state.held.entry(job).or_default().push(custody);
        state.reckon(now, job);
        drop(state);
        self.0.wake.notify_one();
    }

    /// Reads what earlier gateways have left. To be called before jobs are taken up.
    pub(crate) async fn recover(&self) -> Result<(), ReadError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.0.store.list(Collection::Credentials, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.key().to_owned());
            for (key, found) in &page {
                match Custody::decode(&found.value) {
                    Ok(custody) => self.hold(custody),
                    Err(error) => {
                        tracing::error!(%key, %error, "nobody knows which credential this is; withdraw it by hand")
                    }
                }
            }
        }
    }

    /// Withdraws what is not a job's that goes on. To be called when jobs were taken up.
    pub(crate) fn settle(&self, is_open: impl Fn(JobId) -> bool) {
        let jobs: Vec<_> = lock(&self.0.state).held.keys().copied().collect();
        for job in jobs {
            if is_open(job) {
                let current: Vec<_> = self.live_of(job);
                self.withdraw(job, |custody| {
                    let is_current = current.contains(&custody.issue);
                    !(custody.is_certain() && is_current)
                });
            } else {
                self.withdraw(job, |_| true);
            }
        }
    }

    /// The present issue of each of the job's credentials.
    fn live_of(&self, job: JobId) -> Vec<CredentialId> {
        let state = lock(&self.0.state);
        let mut newest = BTreeMap::new();
        for custody in state.held.get(&job).into_iter().flatten().filter(|custody| custody.is_certain()) {
            let issue = newest.entry(custody.credential).or_insert(custody.issue);
            *issue = custody.issue.max(*issue);
        }
        newest.into_values().collect()
    }
}

fn document(issue: CredentialId) -> DocKey {
    DocKey::new(Collection::Credentials, issue.to_string()).expect("a credential's id is a valid key by its form")
}
