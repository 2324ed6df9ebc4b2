//! A gateway over the reference store, with agents in its own process.

#![allow(dead_code, reason = "not every test needs all of the bench")]

pub(crate) mod backend;
pub(crate) mod upstream;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moorline_core::Refusal;
use moorline_core::delegation::DelegationLimits;
use moorline_core::quota::Quota;
use moorline_core::record::{Fact, Overflow};
use moorline_runtime::credentials::{Credentials, Provisioning, SealKey};
use moorline_runtime::workers::{Host, WorkerDoor, WorkerSpec, raise_generation, supervise};
use moorline_runtime::{
    Clock, Delivery, Gateway, Retention, RuntimeOptions, SessionHandle, SubmitRequest, SubscribeRequest, Tasks,
};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::{Epoch, EventSeq, JobId, Json, Millis, Principal, Quotas, RecordKind, Scopes, Timestamp};
use moorline_worker::sdk::{Agent, AgentDescription, Delegation, Failure, JobContext, Level, Outcome, Output};
use moorline_worker::secret::GatewaySecret;

/// How long a test waits for what must come. Time is virtual, so this is no delay.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Jobs that one agent runs at once.
pub(crate) const CAPACITY: u32 = 64;

pub(crate) struct Bench {
    pub(crate) gateway: Gateway,
    pub(crate) store: Arc<MemoryStore>,
}

pub(crate) fn options() -> RuntimeOptions {
    RuntimeOptions {
        cancel_grace: Millis::from_secs(30),
        max_pending: Millis::from_secs(300),
        unasked: moorline_core::access::Unasked::default(),
        quotas: Quotas { sessions: Some(1_000), jobs: Some(100), ..Quotas::default() },
        resume_window: Millis::from_secs(600),
        back_pressure_lag: 1_000,
        overflow: Overflow::CatchUp,
        retention: Retention::default(),
        audit_max_age: None,
        audit_max_bytes: None,
        tracing: moorline_core::trace::Participation::default(),
        delegation: DelegationLimits::DEFAULT,
        check_event: |_, _| Ok(()),
    }
}

/// The usual options, but for what each principal may have.
pub(crate) fn with_quotas(quotas: Quotas) -> RuntimeOptions {
    RuntimeOptions { quotas: quotas.or(options().quotas), ..options() }
}

/// The quota that the refusal is about, how much there may be, and how much there is.
pub(crate) fn reached(refusal: &Refusal) -> (Quota, u64, u64) {
    let Refusal::QuotaReached(reached) = refusal else { panic!("no quota is reached: {refusal}") };
    (reached.quota, reached.limit, reached.used)
}

pub(crate) fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Epoch::mint(Timestamp::from_unix_millis(1), [7; 10]), TailLimits::default()))
}

fn secret() -> GatewaySecret {
    GatewaySecret::new([9; 32])
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::over(memory(), options()).await
    }

    /// A gateway over what another one left behind.
    pub(crate) async fn over(store: Arc<MemoryStore>, options: RuntimeOptions) -> Self {
        Self::provisioned(store, options, None).await
    }

    /// The same, whose jobs are given credentials.
    pub(crate) async fn provisioned(
        store: Arc<MemoryStore>,
        options: RuntimeOptions,
        provisioning: Option<Provisioning>,
    ) -> Self {
        let agents: [Arc<dyn Agent>; 6] = [
            Arc::new(Counter),
            Arc::new(Stubborn),
            Arc::new(Panicking),
            Arc::new(Patient),
            Arc::new(Planner),
            Arc::new(Holder),
        ];
        let agents = agents.to_vec();
        let clock = Clock::tokio(Timestamp::from_unix_millis(1_000_000));
        clock.take_up(store.as_ref()).await.unwrap();
        let tasks = Tasks::default();
        let names = agents.iter().map(|agent| (agent.describe().agent, true)).collect::<Vec<_>>();
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let generation = raise_generation(shared.as_ref()).await.unwrap();
        let key = SealKey::new(&[5; 32]);
        let credentials = Credentials::new(Arc::clone(&shared), clock.clone(), Some(key), provisioning);
        let gateway = Gateway::with_credentials(shared, clock.clone(), options, names, tasks.clone(), credentials);
        gateway.recover().await.unwrap();
        let door = WorkerDoor::new(Arc::clone(gateway.pool()), tasks.clone(), clock.clone(), generation, secret());
        let spec = WorkerSpec { name: "agents".to_owned(), host: Host::InProcess(agents) };
        supervise(spec, door, clock, &tasks);
        Self { gateway, store }
    }

    pub(crate) async fn session(&self, name: &str) -> SessionHandle {
        self.gateway.open_session(principal(name, Scopes::JOBS), "test".to_owned()).await.unwrap().session
    }

    /// Ends the gateway as an orderly shutdown does.
    pub(crate) async fn stop(self) {
        self.gateway.drain(self.gateway.now()).await;
        self.gateway.pool().shut_down_workers(Millis::from_secs(1));
        self.gateway.stop().await;
    }
}

pub(crate) fn principal(name: &str, scope: Scopes) -> Principal {
    Principal::new(name.parse().unwrap(), scope)
}

/// All that there is of a job.
pub(crate) fn with_history() -> SubscribeRequest {
    SubscribeRequest { history: Some(EventSeq::ZERO), ..SubscribeRequest::default() }
}

pub(crate) fn request(agent: &str, input: &str) -> SubmitRequest {
    SubmitRequest {
        agent: agent.parse().unwrap(),
        input: Json::parse(input).unwrap(),
        lease: Json::parse("{}").unwrap(),
        max_runtime_sec: None,
        expires_at: None,
        trace: None,
        takes_credentials: false,
        idempotency: None,
        overflow: Overflow::CatchUp,
        parent: None,
    }
}

/// Lets virtual time pass.
pub(crate) async fn pass(length: Duration) {
    // not a wait: what happens at which time is what the test is about
    tokio::time::sleep(length).await;
}

/// Waits until every job has ended and nothing of it is left to do.
pub(crate) async fn all_over(gateway: &Gateway) {
    let over = async {
        while gateway.open_jobs() > 0 {
            pass(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, over).await.expect("every job comes to its end");
    // What is noted of the last of them is written together with others.
    pass(Duration::from_millis(10)).await;
}

/// What the session sees next, at least one record.
pub(crate) async fn see(session: &mut SessionHandle) -> Vec<Delivery> {
    let seen = async {
        loop {
            session.prepare().await.unwrap();
            let deliveries = session.next().await.unwrap();
            if !deliveries.is_empty() {
                return deliveries;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the session sees something")
}

/// Everything that the session sees up to and with the end of the job.
pub(crate) async fn see_to_end(session: &mut SessionHandle, job: JobId) -> Vec<Delivery> {
    let mut seen = Vec::new();
    loop {
        seen.extend(see(session).await);
        let ended = |delivery: &Delivery| {
            delivery.job == job && matches!(delivery.record.kind, RecordKind::JobResult | RecordKind::JobError)
        };
        if seen.iter().any(ended) {
            return seen;
        }
    }
}

pub(crate) fn fact(delivery: &Delivery) -> Fact {
    Fact::decode(delivery.record.get()).unwrap()
}

/// The numbers are 1, 2, 3… without a hole.
pub(crate) fn assert_dense(seen: &[Delivery]) {
    let numbers: Vec<_> = seen.iter().map(|delivery| delivery.event_seq.get()).collect();
    assert_eq!(numbers, (1..=seen.len() as u64).collect::<Vec<_>>());
}

/// The texts of the log events, in order.
pub(crate) fn logs(seen: &[Delivery]) -> Vec<String> {
    seen.iter()
        .filter_map(|delivery| match fact(delivery) {
            Fact::Event(event) => event.body.to::<serde_json::Value>().unwrap()["message"].as_str().map(str::to_owned),
            _ => None,
        })
        .collect()
}

fn describe(agent: &str) -> AgentDescription {
    AgentDescription {
        agent: agent.parse().unwrap(),
        description: "for tests".to_owned(),
        capacity: CAPACITY,
        is_default: true,
    }
}

/// Logs the numbers from 1 to its input, and returns their sum.
struct Counter;

#[async_trait]
impl Agent for Counter {
    fn describe(&self) -> AgentDescription {
        describe("counter@1.0.0")
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let to: u64 = job.input().map_err(|error| error.into_failure())?;
        for n in 1..=to {
            job.log(Level::Info, n.to_string()).await.map_err(|_| Failure::cancelled())?;
        }
        Outcome::of(&(1..=to).sum::<u64>()).map_err(|error| Failure::internal(&error))
    }
}

/// Waits for ever, whatever it is told.
struct Stubborn;

#[async_trait]
impl Agent for Stubborn {
    fn describe(&self) -> AgentDescription {
        describe("stubborn@1.0.0")
    }

    async fn run(&self, _job: JobContext) -> Result<Outcome, Failure> {
        std::future::pending().await
    }
}

/// Waits until it is cancelled.
struct Patient;

#[async_trait]
impl Agent for Patient {
    fn describe(&self) -> AgentDescription {
        describe("patient@1.0.0")
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        job.status("waiting", None).await.map_err(|_| Failure::cancelled())?;
        job.cancelled().await;
        Err(Failure::cancelled())
    }
}

/// Delegates what its input says, and returns what became of each; with `leave` it does not wait for any.
struct Planner;

#[derive(serde::Deserialize)]
struct Plan {
    #[serde(default)]
    leave: bool,
    jobs: Vec<Part>,
}

#[derive(serde::Deserialize)]
struct Part {
    agent: String,
    #[serde(default = "Json::null")]
    input: Json,
    lease: Option<Json>,
    #[serde(default)]
    detached: Option<bool>,
}

#[async_trait]
impl Agent for Planner {
    fn describe(&self) -> AgentDescription {
        describe("planner@1.0.0")
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let plan: Plan = job.input().map_err(|error| error.into_failure())?;
        let mut delegated = Vec::new();
        for Part { agent, input, lease, detached } in plan.jobs {
            let delegation = Delegation::new(agent.parse()?, input);
            delegated.push(job.delegate(Delegation { lease_request: lease, detached, ..delegation }).await?);
        }
        let mut told = Vec::new();
        for delegated in &delegated {
            told.push(match (delegated.begun().await, plan.leave) {
                (Err(error), _) => error.to_string(),
                (Ok(_), true) => "begun".to_owned(),
                (Ok(_), false) => match delegated.ended().await?.outcome {
                    Ok(Output::Inline(json)) => json.get().to_owned(),
                    Ok(Output::Streamed { result_id, .. }) => result_id,
                    Err(failure) => failure.code.to_string(),
                },
            });
        }
        Ok(Outcome::of(&told)?)
    }
}

/// Logs the value of its credential whenever that is another one, until it is cancelled.
struct Holder;

#[async_trait]
impl Agent for Holder {
    fn describe(&self) -> AgentDescription {
        describe("holder@1.0.0")
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let mut held = None;
        loop {
            let value = job.credentials().first().map(|credential| credential.value.clone());
            if value != held {
                job.log(Level::Info, value.clone().unwrap_or_default()).await.map_err(|_| Failure::cancelled())?;
                held = value;
            }
            tokio::select! {
                _ = job.cancelled() => return Err(Failure::cancelled()),
                () = pass(Duration::from_secs(1)) => {}
            }
        }
    }
}

/// Panics.
struct Panicking;

#[async_trait]
impl Agent for Panicking {
    fn describe(&self) -> AgentDescription {
        describe("panicking@1.0.0")
    }

    async fn run(&self, _job: JobContext) -> Result<Outcome, Failure> {
        panic!("a secret that clients must not see")
    }
}
