//! An upstream that issues credentials: it outlives every gateway, fails as it is told, and remembers when it did what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use moorline_core::credential::{Answer, Capped};
use moorline_core::lease::budget::Budget;
use moorline_runtime::credentials::{Cap, Issued, NotIssued, Order, Provisioner, Provisioning, Value};
use moorline_runtime::{Clock, TaskKind, Tasks};
use moorline_types::{CredentialId, JobId, Millis, Timestamp, Units};

/// How long a credential is good: short enough that jobs outlive theirs and are given another value.
const LIFETIME: Millis = Millis::from_secs(20);

/// How long a request takes that is answered late, or carried out late: less than what a gateway takes for impossible.
const LATE: Duration = Duration::from_secs(25);

/// The same, as the clock counts.
const LATE_MILLIS: Millis = Millis::from_secs(LATE.as_secs());

/// Requests to withdraw that a gateway has under way at once.
const AT_ONCE: usize = 4;

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Conduct {
    /// They are carried out and answered.
    #[default]
    Well,
    /// They are not carried out, and the answer says that they could not be.
    Down,
    /// They are carried out, and the answer says that they could not be.
    AnswerLost,
    /// They are carried out, and the answer comes when it may not be waited for any more.
    Slow,
    /// They are carried out after the answer has said that they could not be.
    Overtaken,
}

impl Conduct {
    pub(crate) const ALL: [Self; 5] = [Self::Well, Self::Down, Self::AnswerLost, Self::Slow, Self::Overtaken];
}

/// A credential that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// For which job.
    pub job: JobId,
    /// When it was withdrawn, if it was.
    pub withdrawn: Option<Timestamp>,
}

/// What may be spent with a credential from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) issue: CredentialId,
    pub(crate) job: JobId,
    /// Nothing, once it is withdrawn.
    pub(crate) amount: Option<Units>,
}

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub struct Upstream {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    on_issue: Conduct,
    on_revoke: Conduct,
    given: BTreeMap<CredentialId, Given>,
    /// What was allowed, in the order in which it was.
    allowed: Vec<Allowed>,
    /// Requests to withdraw that were not answered well.
    troubled: Vec<Trouble>,
}

/// A request to withdraw that was not answered well, if it ever was.
#[derive(Debug)]
struct Trouble {
    issue: CredentialId,
    asked: Timestamp,
    answered: Timestamp,
}

impl Upstream {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    pub(crate) fn provisioning(&self) -> Provisioning {
        Provisioning { provisioner: Arc::new(self.clone()), lifetime: LIFETIME }
    }

    pub(crate) fn conducts_itself(&self, on_issue: Conduct, on_revoke: Conduct) {
        let mut state = self.state();
        (state.on_issue, state.on_revoke) = (on_issue, on_revoke);
    }

    /// Everything that it has ever issued, by name.
    pub fn given(&self) -> BTreeMap<CredentialId, Given> {
        self.state().given.clone()
    }

    /// What may be spent with which credential, from the first to the last.
    pub(crate) fn allowed(&self) -> Vec<Allowed> {
        self.state().allowed.clone()
    }

    /// Why a credential may be good yet at an end that has waited for its withdrawal since `from`: a request to withdraw it
    /// was not answered well before; or as many requests as a gateway has under way at once were slow, and it had to wait
    /// for its turn.
    pub(crate) fn explains(&self, issue: CredentialId, from: Timestamp, end: Timestamp) -> bool {
        let state = self.state();
        let mut asked = state.troubled.iter().filter(|trouble| trouble.asked <= end);
        let is_slow = |trouble: &&Trouble| trouble.answered > trouble.asked && trouble.answered >= from;
        let of_others = asked.clone().filter(is_slow).count();
        asked.any(|trouble| trouble.issue == issue) || of_others >= AT_ONCE
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a request out when it is due, and answers as it was decided when the request came.
    async fn request(
        &self,
        conduct: Conduct,
        carry_out: impl FnOnce(&mut State) + Send + 'static,
    ) -> Result<(), String> {
        let failed = || "HTTP 503".to_owned();
        match conduct {
            Conduct::Well => carry_out(&mut self.state()),
            Conduct::Down => return Err(failed()),
            Conduct::AnswerLost => {
                carry_out(&mut self.state());
                return Err(failed());
            }
            Conduct::Slow => {
                carry_out(&mut self.state());
                tokio::time::sleep(LATE).await;
            }
            Conduct::Overtaken => {
                // Whoever asked does not keep the request from arriving by going away.
                let server = self.clone();
                Tasks::default().spawn(TaskKind::Credentials, async move {
                    tokio::time::sleep(LATE).await;
                    carry_out(&mut server.state());
                });
                return Err(failed());
            }
        }
        Ok(())
    }
}

fn dollars(budget: &Budget) -> Option<Units> {
    budget.get("USD")
}

/// The server behind the trait: requests go on without whoever made them.
#[async_trait]
impl Provisioner for Upstream {
    fn upstream(&self) -> &str {
        "simulated"
    }

    async fn issue(&self, order: Order<'_>) -> Result<Issued, NotIssued> {
        let (issue, given) = (order.issue, Given { job: order.job, withdrawn: None });
        let conduct = self.state().on_issue;
        let (job, amount) = (order.job, dollars(&order.constraints.budget));
        let carry_out = move |state: &mut State| {
            state.given.entry(issue).or_insert(given);
            state.allowed.push(Allowed { issue, job, amount });
        };
        self.request(conduct, carry_out).await.map_err(NotIssued::Unavailable)?;
        Ok(Issued {
            value: Value::new(format!("sk-{issue}")),
            endpoint: "https://models.example.com/v1".to_owned(),
            profile: None,
            constraints: order.constraints.to_json(),
            good_until: order.constraints.good_until,
        })
    }

    async fn revoke(&self, issue: CredentialId) -> Answer {
        let conduct = self.state().on_revoke;
        let is_there = self.state().given.get(&issue).is_some_and(|given| given.withdrawn.is_none());
        let clock = self.clock.clone();
        let carry_out = move |state: &mut State| {
            if let Some(given) = state.given.get_mut(&issue) {
                given.withdrawn.get_or_insert(clock.now());
                state.allowed.push(Allowed { issue, job: given.job, amount: None });
            }
        };
        if conduct != Conduct::Well {
            let asked = self.clock.now();
            let answered = if conduct == Conduct::Slow { asked + LATE_MILLIS } else { asked };
            self.state().troubled.push(Trouble { issue, asked, answered });
        }
        let answered = self.request(conduct, carry_out).await;
        match answered {
            Err(error) => Answer::Failed(error),
            Ok(()) if is_there => Answer::Revoked,
            Ok(()) => Answer::Absent,
        }
    }

    async fn cap(&self, cap: Cap<'_>) -> Capped {
        let (issue, amount) = (cap.issue, dollars(cap.budget));
        // One that is carried out late is told again, but not before it can spoil what is checked here.
        let conduct = self.state().on_issue;
        let conduct = if conduct == Conduct::Overtaken { Conduct::Down } else { conduct };
        let carry_out = move |state: &mut State| {
            if let Some(given) = state.given.get(&issue).filter(|given| given.withdrawn.is_none()) {
                state.allowed.push(Allowed { issue, job: given.job, amount });
            }
        };
        self.request(conduct, carry_out).await.map_or_else(Capped::Failed, |()| Capped::Done)
    }

    async fn check(&self) -> Result<(), String> {
        if self.state().on_revoke == Conduct::Down { Err("HTTP 503".to_owned()) } else { Ok(()) }
    }
}
