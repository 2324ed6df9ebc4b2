//! An upstream that issues credentials, and fails on demand; and a gateway that is given credentials by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use moorline_core::credential::{Answer, Capped};
use moorline_core::lease::budget::Budget;
use moorline_runtime::credentials::{Cap, Issued, NotIssued, Order, Provisioner, Provisioning, Value};
use moorline_runtime::{JobSummary, SessionHandle, SubmitRequest};
use moorline_store::{Collection, MemoryStore, Store as _};
use moorline_types::{CredentialId, Millis};

use super::{Bench, memory, options, pass};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    /// It is carried out and answered.
    #[default]
    None,
    /// It is not carried out, and the answer says that it could not be.
    Down,
    /// It is not carried out, and never will be.
    Refuses,
    /// It is carried out, and the answer says that it could not be.
    AnswerLost,
    /// It is carried out, and the answer never comes.
    Silent,
}

#[derive(Debug, Default)]
pub(crate) struct Upstream(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    on_issue: Fault,
    on_revoke: Fault,
    on_check: Fault,
    on_cap: Fault,
    /// By the name of the issue: its value.
    live: BTreeMap<CredentialId, String>,
    /// By the name of the issue: what may be spent with it, in dollars.
    budgets: BTreeMap<CredentialId, String>,
    /// Values in the order in which they were issued.
    issued: Vec<String>,
    /// The values in the place of which they came.
    replaced: Vec<String>,
    /// Whether it is another upstream than at first.
    is_another: bool,
}

impl Upstream {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn provisioning(self: &Arc<Self>, lifetime: Millis) -> Provisioning {
        Provisioning { provisioner: Arc::<Self>::clone(self), lifetime }
    }

    pub(crate) fn on_issue(&self, fault: Fault) {
        self.0.lock().unwrap().on_issue = fault;
    }

    pub(crate) fn on_revoke(&self, fault: Fault) {
        self.0.lock().unwrap().on_revoke = fault;
    }

    pub(crate) fn on_check(&self, fault: Fault) {
        self.0.lock().unwrap().on_check = fault;
    }

    pub(crate) fn on_cap(&self, fault: Fault) {
        self.0.lock().unwrap().on_cap = fault;
    }

    /// What may be spent with each value that opens it, in the order of the values.
    pub(crate) fn budgets(&self) -> Vec<(String, String)> {
        let state = self.0.lock().unwrap();
        let mut budgets: Vec<_> =
            state.live.iter().map(|(issue, value)| (value.clone(), state.budgets[issue].clone())).collect();
        budgets.sort();
        budgets
    }

    /// The values that open it.
    pub(crate) fn live(&self) -> Vec<String> {
        let mut live: Vec<_> = self.0.lock().unwrap().live.values().cloned().collect();
        live.sort();
        live
    }

    /// It is another upstream from here on.
    pub(crate) fn becomes_another(&self) {
        self.0.lock().unwrap().is_another = true;
    }

    /// The values that it was shown, because others came in their place.
    pub(crate) fn replaced(&self) -> Vec<String> {
        self.0.lock().unwrap().replaced.clone()
    }

    /// Every value that it has ever issued.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.0.lock().unwrap().issued.clone()
    }
}

fn dollars(budget: &Budget) -> String {
    budget.get("USD").map(|amount| amount.to_string()).unwrap_or_default()
}

async fn answer(fault: Fault) -> Result<(), String> {
    match fault {
        Fault::None | Fault::Refuses => Ok(()),
        Fault::Down | Fault::AnswerLost => Err("HTTP 503".to_owned()),
        Fault::Silent => {
            // not a wait: the time that such an upstream takes
            tokio::time::sleep(Duration::from_secs(30)).await;
            Err("no answer".to_owned())
        }
    }
}

#[async_trait]
impl Provisioner for Upstream {
    fn upstream(&self) -> &str {
        if self.0.lock().unwrap().is_another { "another" } else { "test" }
    }

    async fn issue(&self, order: Order<'_>) -> Result<Issued, NotIssued> {
        let (fault, value) = {
            let mut state = self.0.lock().unwrap();
            let value = format!("sk-{}", state.issued.len());
            state.replaced.extend(order.replaces.map(|value| value.expose().to_owned()));
            if !matches!(state.on_issue, Fault::Down | Fault::Refuses) {
                state.live.insert(order.issue, value.clone());
                state.budgets.insert(order.issue, dollars(&order.constraints.budget));
                state.issued.push(value.clone());
            }
            (state.on_issue, value)
        };
        if fault == Fault::Refuses {
            return Err(NotIssued::Refused("no such model".to_owned()));
        }
        answer(fault).await.map_err(NotIssued::Unavailable)?;
        Ok(Issued {
            value: Value::new(value),
            endpoint: "https://models.example.com/v1".to_owned(),
            profile: Some("openai".to_owned()),
            constraints: order.constraints.to_json(),
            good_until: order.constraints.good_until,
        })
    }

    async fn revoke(&self, issue: CredentialId) -> Answer {
        let (fault, found) = {
            let mut state = self.0.lock().unwrap();
            let found = if state.on_revoke == Fault::Down { None } else { state.live.remove(&issue) };
            (state.on_revoke, found)
        };
        match answer(fault).await {
            Err(error) => Answer::Failed(error),
            Ok(()) if found.is_some() => Answer::Revoked,
            Ok(()) => Answer::Absent,
        }
    }

    async fn cap(&self, cap: Cap<'_>) -> Capped {
        let fault = {
            let mut state = self.0.lock().unwrap();
            if !matches!(state.on_cap, Fault::Down | Fault::Refuses) {
                state.budgets.insert(cap.issue, dollars(cap.budget));
            }
            state.on_cap
        };
        if fault == Fault::Refuses {
            return Capped::Unable;
        }
        answer(fault).await.map_or_else(Capped::Failed, |()| Capped::Done)
    }

    async fn check(&self) -> Result<(), String> {
        let fault = self.0.lock().unwrap().on_check;
        answer(fault).await
    }
}

/// How long a credential is good at most.
const LIFETIME: Millis = Millis::from_secs(3_600);

/// A gateway whose upstream was found to be well.
pub(crate) async fn bench(store: Arc<MemoryStore>, upstream: &Arc<Upstream>) -> Bench {
    let bench = Bench::provisioned(store, options(), Some(upstream.provisioning(LIFETIME))).await;
    until("the upstream was looked at", || bench.gateway.credentials().is_offered()).await;
    bench
}

/// An upstream, a gateway that has credentials of it, and a session that has submitted this.
pub(crate) async fn submitted(request: SubmitRequest) -> (Arc<Upstream>, Bench, SessionHandle) {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    ada.submit(request).await.unwrap();
    (upstream, bench, ada)
}

pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            pass(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(7_200), waited).await.unwrap_or_else(|_| panic!("{what}"));
}

/// The values of the job's credentials that this session is shown.
pub(crate) fn values(session: &SessionHandle, job: &JobSummary) -> Vec<String> {
    session.credentials(job).into_iter().map(|(_, value)| value.expose().to_owned()).collect()
}

/// How many credentials the gateway has written down.
pub(crate) async fn documents(bench: &Bench) -> usize {
    bench.store.list(Collection::Credentials, None, 100).await.unwrap().len()
}
