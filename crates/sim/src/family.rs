//! What must be true of jobs that belong together, of what they may do and spend, and of their credentials.
//!
//! Everything is reckoned from the journal's records and from what the upstream remembers, without the machines that have
//! decided it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use moorline_core::record::{Accepted, Cause, Fact, Reserved, Settled};
use moorline_store::{Collection, CommittedRecord, Store};
use moorline_types::{CredentialId, EventKind, JobId, Millis, Offset, StreamId, Timestamp, Units};
use serde::Deserialize;

use crate::check::{Violation, read_stream};
use crate::upstream::Allowed;
use crate::world::World;

/// How long a job's end waits for its credentials to be withdrawn: not longer, whatever the upstream does.
const PATIENCE: Millis = Millis::from_secs(5);

/// The records of jobs, by job.
pub(crate) type Families = BTreeMap<JobId, Vec<CommittedRecord>>;

/// Every job that a client was told of, and all that were delegated below those.
pub(crate) async fn all(world: &World) -> Families {
    let mut families = Families::new();
    let mut wanted = world.accepted.clone();
    while let Some(job) = wanted.pop() {
        if let Entry::Vacant(unread) = families.entry(job) {
            let records = unread.insert(read_stream(world, StreamId::Job(job)).await);
            wanted.extend(records.iter().filter_map(|record| delegated(&fact(record)).map(|(child, _)| child)));
        }
    }
    families
}

/// How much happened, so that tests can tell histories that do something from ones that do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Jobs that were delegated.
    pub children: usize,
    /// Of those, how many a client has submitted below a job.
    pub below: usize,
    /// Delegations of agents that were refused.
    pub refused: usize,
    /// Children that have given something back.
    pub returned: usize,
    /// Jobs that ended for their lease.
    pub expired: usize,
    /// Credentials that were issued.
    pub issued: usize,
    /// Values that were replaced.
    pub replaced: usize,
    /// Credentials that were good for longer than their job was told to go on, or that no job was told of.
    pub late: usize,
}

impl std::ops::AddAssign for Reached {
    fn add_assign(&mut self, other: Self) {
        let Self { children, below, refused, returned, expired, issued, replaced, late } = other;
        self.children += children;
        self.below += below;
        self.refused += refused;
        self.returned += returned;
        self.expired += expired;
        self.issued += issued;
        self.replaced += replaced;
        self.late += late;
    }
}

/// How much of what is checked here has happened.
pub async fn reached(world: &World) -> Reached {
    let families = all(world).await;
    let mut reached = Reached::default();
    let mut ends = BTreeMap::new();
    for (job, records) in &families {
        for record in records {
            let fact = fact(record);
            if let Fact::Delegated(delegated) = &fact {
                reached.children += 1;
                reached.below += usize::from(delegated.worker_seq.is_none());
            }
            reached.refused += usize::from(matches!(fact, Fact::DelegationRefused(_)));
            reached.returned += usize::from(matches!(fact, Fact::Settled(_)));
            reached.replaced += usize::from(matches!(fact, Fact::CredentialRotated(_)));
            if let Fact::Error(failure) = &fact {
                reached.expired += usize::from(failure.cause == Cause::LeaseExpired);
            }
            if record.kind.is_last() {
                ends.insert(*job, record.at);
            }
        }
    }
    for given in world.upstream.given().values() {
        reached.issued += 1;
        let end = ends.get(&given.job);
        reached.late += usize::from(end.is_none_or(|end| given.withdrawn.is_none_or(|withdrawn| withdrawn > *end)));
    }
    reached
}

/// Everything that is wrong with how they belong together.
pub(crate) async fn check(world: &World, families: &Families) -> Vec<Violation> {
    let accounts: BTreeMap<JobId, Account> =
        families.iter().filter_map(|(job, records)| Some((*job, Account::of(records)?))).collect();
    let mut violations = Vec::new();
    for (job, account) in &accounts {
        violations.extend(account.problems.iter().map(|problem| Violation::Budget(*job, problem.clone())));
        for (child, spent) in &account.settled {
            // A child that was held and never came to be gives everything back.
            let never_was = !accounts.contains_key(child) && !account.children.contains_key(child);
            let own = if never_was { Some(Units::ZERO) } else { accounts.get(child).map(Account::spent) };
            if own != Some(*spent) {
                let problem = format!("{child} has spent {own:?} and is told to have spent {spent}");
                violations.push(Violation::Budget(*job, problem));
            }
        }
        for (child, detached) in &account.children {
            let problems = match accounts.get(child) {
                Some(below) => check_child(account, below, *job, *detached),
                None => vec!["there is no such child".to_owned()],
            };
            violations.extend(problems.into_iter().map(|problem| Violation::Family(*job, *child, problem)));
        }
        if account.expired_before_its_end() {
            violations.push(Violation::Lease(*job));
        }
    }
    violations.extend(check_credentials(world, &accounts).await);
    violations.extend(check_allowed(world, &accounts));
    violations
}

/// The upstream has never let a job and those below it spend more than the job may.
fn check_allowed(world: &World, accounts: &BTreeMap<JobId, Account>) -> Vec<Violation> {
    let parent_of = |job: JobId| accounts.get(&job)?.accepted.parent.as_ref().map(|parent| parent.job);
    let mut live: BTreeMap<JobId, BTreeMap<CredentialId, Units>> = BTreeMap::new();
    let mut violations = Vec::new();
    for Allowed { issue, job, amount: allowed } in world.upstream.allowed() {
        let of_job = live.entry(job).or_default();
        match allowed {
            Some(amount) => drop(of_job.insert(issue, amount)),
            None => drop(of_job.remove(&issue)),
        }
        // Of several values of a job each counts what was spent with those before: not more than the largest is spent.
        let mut sums: BTreeMap<JobId, Units> = BTreeMap::new();
        for (job, issues) in &live {
            let Some(amount) = issues.values().max() else { continue };
            for above in std::iter::successors(Some(*job), |job| parent_of(*job)) {
                let sum = sums.entry(above).or_default();
                *sum = sum.plus(*amount);
            }
        }
        let too_much = |(above, sum): (JobId, Units)| {
            let account = accounts.get(&above).filter(|account| !account.issues.is_empty())?;
            let may = amount(cents(&account.accepted));
            let problem = format!("the upstream lets it and those below spend {sum} from {issue} of {job} on");
            (sum > may).then_some(Violation::Budget(above, problem))
        };
        violations.extend(sums.into_iter().filter_map(too_much));
    }
    violations
}

/// What one job has, gives and spends, as its records have it one after the other.
struct Account {
    accepted: Accepted,
    left: Units,
    own: Units,
    /// What children were given that have not ended.
    open: BTreeMap<JobId, Units>,
    /// What those have spent that have.
    settled: BTreeMap<JobId, Units>,
    /// Whether each is detached.
    children: BTreeMap<JobId, bool>,
    /// Children of whose end the job has told.
    ended: BTreeSet<JobId>,
    issues: Vec<CredentialId>,
    end: Option<(Timestamp, Offset, Option<Cause>)>,
    problems: Vec<String>,
}

impl Account {
    fn of(records: &[CommittedRecord]) -> Option<Self> {
        let Fact::Accepted(accepted) = fact(records.first()?) else { return None };
        let mut account = Self {
            left: amount(cents(&accepted)),
            own: Units::ZERO,
            open: BTreeMap::new(),
            settled: BTreeMap::new(),
            children: BTreeMap::new(),
            ended: BTreeSet::new(),
            issues: accepted.credentials.iter().map(|provisioned| provisioned.issue).collect(),
            end: None,
            problems: Vec::new(),
            accepted,
        };
        for record in records {
            account.take(record, fact(record));
        }
        Some(account)
    }

    fn take(&mut self, record: &CommittedRecord, fact: Fact) {
        if let Some((child, detached)) = delegated(&fact)
            && self.children.insert(child, detached).is_some()
        {
            self.problems.push(format!("{child} is delegated twice"));
        }
        let cause = if let Fact::Error(failure) = &fact { Some(failure.cause) } else { None };
        if record.kind.is_last() {
            self.end = Some((record.at, record.offset(), cause));
            let children = &self.children;
            let bound = |child: &&JobId| children.get(*child) == Some(&false);
            let left_over: Vec<_> =
                self.open.keys().filter(bound).map(|child| format!("{child} is not settled")).collect();
            self.problems.extend(left_over);
        }
        if let Some(cost) = cost(&fact) {
            self.own = self.own.plus(cost);
            self.left = self.left.minus(cost);
        }
        if let Fact::Reserved(Reserved { child, budget }) = &fact {
            let given = budget.get("USD").unwrap_or(Units::ZERO);
            self.left = self.left.minus(given);
            if self.left < Units::ZERO {
                self.problems.push(format!("{child} is given {given}, and {} is left", self.left.plus(given)));
            }
            if self.open.insert(*child, given).is_some() || self.settled.contains_key(child) {
                self.problems.push(format!("{child} is given something twice"));
            }
        } else if let Fact::Settled(Settled { child, spent }) = &fact {
            let spent = spent.get("USD").copied().unwrap_or(Units::ZERO);
            match self.open.remove(child) {
                Some(given) => self.left = self.left.plus(given).minus(spent),
                None => self.problems.push(format!("{child} gives back what it was not given")),
            }
            self.settled.insert(*child, spent);
        } else if let Fact::CredentialRotated(rotated) = &fact {
            self.issues.push(rotated.issue);
        } else if let Fact::ChildEnded(ended) = &fact
            && !self.ended.insert(ended.child)
        {
            self.problems.push(format!("{} ends twice", ended.child));
        }
    }

    /// What is not the parent's any more when this job has ended.
    fn spent(&self) -> Units {
        let below = self.settled.values().chain(self.open.values());
        below.fold(self.own, |sum, spent| sum.plus(*spent))
    }

    fn expired_before_its_end(&self) -> bool {
        let Some((at, _, Some(Cause::LeaseExpired))) = self.end else { return false };
        self.accepted.expires_at.is_none_or(|end| at < end)
    }
}

/// What is wrong with a child, by its parent.
fn check_child(above: &Account, below: &Account, parent: JobId, detached: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let link = below.accepted.parent.as_ref();
    if link.is_none_or(|link| link.job != parent || link.detached != detached) {
        problems.push(format!("it says that it is {link:?}"));
    }
    let (own, given) = (patterns(&above.accepted), patterns(&below.accepted));
    // Simulated leases have no wildcard in common that would be wider than another: a pattern is the parent's or is not.
    let more: Vec<_> = given.difference(&own).collect();
    if !more.is_empty() {
        problems.push(format!("it may do {more:?}"));
    }
    let (latest, end) = (above.accepted.expires_at, below.accepted.expires_at);
    if latest.is_some_and(|latest| end.is_none_or(|end| end > latest)) {
        problems.push(format!("its lease ends at {end:?}, and its parent's at {latest:?}"));
    }
    if let (Some((_, above, _)), Some((_, below, _))) = (&above.end, &below.end)
        && !detached
        && below > above
    {
        problems.push("it has ended after its parent".to_owned());
    }
    problems
}

async fn check_credentials(world: &World, accounts: &BTreeMap<JobId, Account>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let given = world.upstream.given();
    let mut named = BTreeSet::new();
    for (job, account) in accounts {
        for issue in &account.issues {
            let mut wrong = |problem: &str| violations.push(Violation::Credential(*job, format!("{issue} {problem}")));
            if !named.insert(*issue) {
                wrong("is given twice");
            }
            let Some(given) = given.get(issue).filter(|given| given.job == *job) else {
                wrong("was not issued for it");
                continue;
            };
            let Some((end, ..)) = account.end else { continue };
            let is_in_time = given.withdrawn.is_some_and(|withdrawn| withdrawn <= end);
            let since = Timestamp::from_unix_millis(end.as_unix_millis().saturating_sub(PATIENCE.get()));
            let is_explained = world.upstream.explains(*issue, since, end);
            if !is_in_time && !is_explained {
                wrong("is good when its end is told");
            }
        }
    }
    for (issue, given) in &given {
        if given.withdrawn.is_none() {
            violations.push(Violation::Credential(given.job, format!("{issue} is good when everything is over")));
        }
    }
    let documents = world.store.list(Collection::Credentials, None, 100).await.expect("the store is whole").len();
    if world.not_withdrawn + documents > 0 {
        violations.push(Violation::Withdrawals(world.not_withdrawn.max(documents)));
    }
    violations
}

/// Cents that the job may spend.
pub(crate) fn cents(accepted: &Accepted) -> u64 {
    let lease: BTreeMap<String, Vec<String>> = accepted.lease.to().unwrap_or_default();
    let entry = lease.get("cost.budget").and_then(|entries| entries.first());
    let amount = entry.and_then(|entry| entry.strip_prefix("USD:")).and_then(|amount| amount.split_once('.'));
    amount.and_then(|(whole, rest)| format!("{whole}{rest}").parse().ok()).unwrap_or(0)
}

fn amount(cents: u64) -> Units {
    Units::from_json_number(&format!("{cents}e-2")).expect("an amount")
}

/// What the job may do, each with its namespace.
fn patterns(accepted: &Accepted) -> BTreeSet<(String, String)> {
    let lease: BTreeMap<String, Vec<String>> = accepted.lease.to().unwrap_or_default();
    let grants = lease.into_iter().filter(|(namespace, _)| namespace != "cost.budget");
    grants
        .flat_map(|(namespace, patterns)| patterns.into_iter().map(move |pattern| (namespace.clone(), pattern)))
        .collect()
}

fn fact(record: &CommittedRecord) -> Fact {
    Fact::decode(record.get()).expect("the records decode")
}

fn delegated(fact: &Fact) -> Option<(JobId, bool)> {
    if let Fact::Delegated(delegated) = fact { Some((delegated.child, delegated.detached)) } else { None }
}

/// What the agent has said that something has cost.
fn cost(fact: &Fact) -> Option<Units> {
    #[derive(Deserialize)]
    struct Cost<'a> {
        #[serde(borrow)]
        value: &'a serde_json::value::RawValue,
    }
    let Fact::Event(event) = fact else { return None };
    let is_cost = event.kind == EventKind::Metric && event.worker_seq.is_some();
    let cost: Cost<'_> = is_cost.then(|| serde_json::from_str(event.body.get()).ok())??;
    Units::from_json_number(cost.value.get()).ok()
}
