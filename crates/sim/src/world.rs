//! The gateway, its clients, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use moorline_core::Refusal;
use moorline_core::delegation::DelegationLimits;
use moorline_core::idempotency::{Fingerprint, Parameters};
use moorline_core::record::Overflow;
use moorline_core::resume::ResumeToken;
use moorline_runtime::credentials::{Credentials, SealKey};
use moorline_runtime::workers::{Host, WorkerDoor, WorkerSpec, raise_generation, supervise};
use moorline_runtime::{
    Attached, Clock, Delivery, Gateway, Idempotency, ResumeRequest, Retention, RuntimeOptions, SessionHandle,
    SubmitParent, SubmitRequest, SubscribeRequest, Tasks,
};
use moorline_store::{MemoryStore, Store, StoreFault, TailLimits};
use moorline_types::{
    Epoch, EventSeq, JobId, Json, Millis, Offset, Principal, PrincipalId, Quotas, Scopes, SessionId, StreamSeq,
    Timestamp,
};
use moorline_worker::sdk::Agent;

use crate::agent::{AGENT, BUDGET, End, Part, Script, Scripted, lease};
use crate::family;
use crate::upstream::{Conduct, Upstream};
use crate::worker::{Gate, RunningWorker, secret, worker};

/// A tail that holds little, so that readers are served from the store as often as from memory.
const TAIL: TailLimits = TailLimits { bytes: 64 * 1024, records: 64 };

/// Clients at once.
const MAX_CLIENTS: usize = 6;

/// One record as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The session's number for it.
    pub event_seq: u64,
    /// Its job.
    pub job: JobId,
    /// Its position in the job.
    pub seq: StreamSeq,
    /// Its position in the journal.
    pub offset: Offset,
}

/// What is left when everything has happened.
#[derive(Debug)]
pub struct World {
    /// The journal.
    pub store: Arc<MemoryStore>,
    /// What every session saw, in the order in which it saw it.
    pub seen: BTreeMap<SessionId, Vec<Seen>>,
    /// The jobs whose acceptance a client was told.
    pub accepted: Vec<JobId>,
    /// What a session may see more than once: it unsubscribed and may have come back, or asked for the history of a job
    /// that had ended.
    pub repeatable: BTreeSet<(SessionId, JobId)>,
    /// Pairs of jobs whose acceptance a client was told for one submission and its repetition; equal, if all is well.
    pub repeated: Vec<(JobId, JobId)>,
    /// The jobs whose cancellation a client was told to be certain.
    pub cancelled: Vec<JobId>,
    /// When the worker died. Only then may a job have lost its worker.
    pub deaths: Vec<Timestamp>,
    /// Who has issued the jobs' credentials.
    pub upstream: Upstream,
    /// How many credentials the last gateway has yet to withdraw when everything is over.
    pub not_withdrawn: usize,
}

/// Lets things happen, `steps` of them, as the seed decides, and then lets every job come to its end.
pub async fn run(seed: u64, steps: usize) -> World {
    let mut simulation = Simulation::new(seed).await;
    for _ in 0..steps {
        simulation.step().await;
    }
    simulation.finish().await
}

/// Whoever has a session, and may be without a connection.
struct Client {
    id: SessionId,
    principal: Principal,
    /// What its last welcome gave it.
    token: ResumeToken,
    connected: Option<SessionHandle>,
}

struct Simulation {
    rng: Rng,
    clock: Clock,
    gate: Gate,
    worker: RunningWorker,
    gateway: Gateway,
    clients: Vec<Client>,
    faulty: bool,
    /// Those with a key, in order.
    submissions: Vec<Submission>,
    world: World,
}

/// What was submitted with a key, and the job that it was accepted as, if a client was told.
struct Submission {
    principal: PrincipalId,
    request: SubmitRequest,
    job: Option<JobId>,
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let gate = Gate::default();
        let clock = Clock::tokio(Timestamp::from_unix_millis(1_000_000));
        let store = Arc::new(MemoryStore::new(Epoch::mint(clock.now(), [1; 10]), TAIL));
        let upstream = Upstream::new(clock.clone());
        let gateway = start(&store, &clock, &gate, &upstream).await;
        let worker = RunningWorker::start(gate.clone());
        let world = World {
            store,
            seen: BTreeMap::new(),
            accepted: Vec::new(),
            repeatable: BTreeSet::new(),
            repeated: Vec::new(),
            cancelled: Vec::new(),
            deaths: Vec::new(),
            upstream,
            not_withdrawn: 0,
        };
        Self {
            rng: Rng::with_seed(seed),
            clock,
            gate,
            worker,
            gateway,
            clients: Vec::new(),
            faulty: false,
            submissions: Vec::new(),
            world,
        }
    }

    async fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..8 => self.connect().await,
            8..10 => self.disconnect().await,
            10..13 => self.come_back().await,
            13..20 => self.submit(None).await,
            20..23 => self.submit_below().await,
            23..26 => self.repeat().await,
            26..34 => self.cancel().await,
            34..46 => self.subscribe().await,
            46..49 => self.unsubscribe().await,
            49..80 => self.read().await,
            80..92 => self.pass().await,
            92..94 => self.change_upstream(),
            94..97 => self.toggle_faults(),
            97..99 => self.kill().await,
            _ => self.kill_worker(),
        }
    }

    async fn connect(&mut self) {
        if self.clients.len() == MAX_CLIENTS {
            return;
        }
        let name = if self.rng.bool() { "ada" } else { "bob" };
        let principal = Principal::new(name.parse().expect("a valid name"), Scopes::JOBS);
        let opened = patiently(self.gateway.open_session(principal.clone(), "simulated".to_owned())).await;
        if let Ok(Attached { session, token, .. }) = opened {
            self.world.seen.insert(session.id(), Vec::new());
            self.clients.push(Client { id: session.id(), principal, token, connected: Some(session) });
        }
    }

    /// A client loses its connection, with or without the gateway's knowledge of where it stood, or goes for good.
    async fn disconnect(&mut self) {
        let Some(client) = self.some_client() else { return };
        let connected = self.clients[client].connected.take();
        match self.rng.u32(0..4) {
            0 => drop(self.clients.swap_remove(client)),
            1 => drop(connected),
            _ => {
                if let Some(session) = connected {
                    patiently(session.park()).await;
                }
            }
        }
    }

    /// A client that has lost its connection, and some of what it was sent with it, resumes its session.
    async fn come_back(&mut self) {
        let Some(client) = self.some_client() else { return };
        let client = &mut self.clients[client];
        if let Some(session) = client.connected.take() {
            patiently(session.park()).await;
        }
        let seen = self.world.seen.entry(client.id).or_default();
        let kept = self.rng.usize(0..=seen.len());
        let request = resume(client, kept);
        if self.rng.u32(0..8) == 0 {
            let stranger = Principal::new("mallory".parse().expect("a valid name"), Scopes::ADMIN);
            let taken = patiently(self.gateway.resume_session(stranger, request.clone())).await;
            assert!(taken.is_err(), "nobody else resumes a session");
        }
        if let Ok(attached) = patiently(self.gateway.resume_session(client.principal.clone(), request)).await {
            seen.truncate(kept);
            // The welcome may be lost with the connection; then the token before is still good.
            if self.rng.u32(0..4) > 0 {
                let mut session = attached.session;
                patiently(session.confirm()).await;
                client.token = attached.token;
                client.connected = Some(session);
            }
        }
    }

    /// What a job does that may have this many generations below it.
    fn script(&mut self, generations: u32) -> Script {
        let ends = [End::Result, End::Result, End::Failure, End::Panic, End::Cancel, End::Never];
        // Now and then more than one stretch of history holds.
        let (events, delay_ms) = match self.rng.u32(0..12) {
            0 => (self.rng.u64(0..3_000), 0),
            _ => (self.rng.u64(0..40), self.rng.u64(0..50)),
        };
        let price = if self.rng.bool() { self.rng.u64(1..60) } else { 0 };
        let children = if generations > 0 && self.rng.u32(0..3) == 0 { self.rng.u32(1..4) } else { 0 };
        let mut delegate = Vec::new();
        for _ in 0..children {
            let script = self.script(generations - 1);
            let (cents, greedy) = (self.rng.u64(0..70), self.rng.u32(0..8) == 0);
            delegate.push(Part { script, cents, greedy, detached: self.rng.u32(0..5) == 0 });
        }
        Script { events, delay_ms, price, delegate, end: ends[self.rng.usize(..ends.len())] }
    }

    async fn submit(&mut self, parent: Option<JobId>) {
        let Some(client) = self.some_connected() else { return };
        let script = self.script(if parent.is_some() { 0 } else { 2 });
        let keyed = self.rng.bool();
        let cents = if parent.is_some() { self.rng.u64(0..70) } else { BUDGET };
        let mut request = SubmitRequest {
            agent: AGENT.parse().expect("a valid name"),
            input: Json::of(&script).expect("a script is JSON"),
            lease: lease(cents, false),
            max_runtime_sec: self.rng.bool().then(|| self.rng.u64(1..5)),
            expires_at: (self.rng.u32(0..4) == 0).then(|| self.clock.now() + Millis::new(self.rng.u64(1..40_000))),
            trace: None,
            takes_credentials: self.rng.bool(),
            idempotency: None,
            overflow: Overflow::CatchUp,
            parent: parent.map(|job| SubmitParent { job: job.to_string(), delegate_id: None }),
        };
        if keyed {
            let parent = parent.map(|job| job.to_string());
            let fingerprint = Fingerprint::of(&Parameters {
                agent: AGENT,
                input: &request.input,
                lease_request: None,
                lease_constraints: None,
                max_runtime_sec: request.max_runtime_sec,
                parent_job_id: parent.as_deref(),
                delegate_id: None,
            });
            request.idempotency = Some(Idempotency { key: self.submissions.len().to_string(), fingerprint });
        }
        let session = self.session(client);
        let principal = session.principal().id.clone();
        let accepted = patiently(session.submit(request.clone())).await.ok();
        let job = accepted.as_ref().map(|summary| summary.job);
        self.world.accepted.extend(job);
        if let Some(over) = accepted.filter(|summary| parent.is_some() && summary.status.is_terminal()) {
            self.world.repeatable.insert((self.clients[client].id, over.job));
        }
        if keyed {
            self.submissions.push(Submission { principal, request, job });
        }
    }

    /// A client submits below some job, which may be over, or another's.
    async fn submit_below(&mut self) {
        if let Some(parent) = self.some_job() {
            self.submit(Some(parent)).await;
        }
    }

    /// The upstream is well from now on, or not.
    fn change_upstream(&mut self) {
        let mut conduct =
            || if self.rng.bool() { Conduct::Well } else { Conduct::ALL[self.rng.usize(..Conduct::ALL.len())] };
        let (on_issue, on_revoke) = (conduct(), conduct());
        self.world.upstream.conducts_itself(on_issue, on_revoke);
    }

    /// A client does not know whether its submission arrived, and sends it again; perhaps from another session.
    async fn repeat(&mut self) {
        let Some(client) = self.some_connected() else { return };
        let principal = &self.clients[client].principal.id;
        let own = |earlier: &Submission| earlier.principal == *principal;
        let own: Vec<_> = (0..self.submissions.len()).filter(|n| own(&self.submissions[*n])).collect();
        let late = own.len().saturating_sub(self.rng.usize(1..5));
        let Some(earlier) = own.get(late).copied() else { return };
        let request = self.submissions[earlier].request.clone();
        if let Ok(summary) = patiently(self.session(client).submit(request)).await {
            if summary.status.is_terminal() {
                self.world.repeatable.insert((self.clients[client].id, summary.job));
            }
            match self.submissions[earlier].job.replace(summary.job) {
                Some(first) => self.world.repeated.push((first, summary.job)),
                None => self.world.accepted.push(summary.job),
            }
        }
    }

    async fn cancel(&mut self) {
        if let (Some(client), Some(job)) = (self.some_connected(), self.some_job())
            && patiently(self.session(client).cancel(&job.to_string(), None)).await.is_ok()
        {
            self.world.cancelled.push(job);
        }
    }

    async fn subscribe(&mut self) {
        if let (Some(client), Some(job)) = (self.some_connected(), self.some_job()) {
            let history = self.rng.bool().then_some(EventSeq::ZERO);
            let request = SubscribeRequest { history, ..SubscribeRequest::default() };
            let subscribed = patiently(self.session(client).subscribe(&job.to_string(), request)).await;
            if subscribed.is_ok_and(|subscription| subscription.job.status.is_terminal()) {
                self.world.repeatable.insert((self.clients[client].id, job));
            }
        }
    }

    async fn unsubscribe(&mut self) {
        if let (Some(client), Some(job)) = (self.some_connected(), self.some_job()) {
            self.world.repeatable.insert((self.clients[client].id, job));
            drop(patiently(self.session(client).unsubscribe(&job.to_string())).await);
        }
    }

    /// A client reads what there is at the moment.
    async fn read(&mut self) {
        let Some(client) = self.some_connected() else { return };
        let client = self.session(client);
        if patiently(client.prepare()).await.is_err() {
            return;
        }
        let read = tokio::time::timeout(Duration::from_millis(1), client.next()).await;
        if let Ok(Ok(deliveries)) = read {
            let id = client.id();
            let seen = self.world.seen.entry(id).or_default();
            seen.extend(deliveries.iter().map(seen_as));
        }
    }

    async fn pass(&mut self) {
        let millis = match self.rng.u32(0..10) {
            0 => self.rng.u64(0..60_000),
            _ => self.rng.u64(0..200),
        };
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn toggle_faults(&mut self) {
        let faults = self.world.store.faults();
        if self.faulty {
            faults.allow();
        } else {
            let kinds = [StoreFault::Full, StoreFault::Io, StoreFault::ReadOnly];
            let kind = kinds[self.rng.usize(..kinds.len())];
            if self.rng.bool() { faults.refuse_appends(kind) } else { faults.refuse_writes(kind) }
        }
        self.faulty = !self.faulty;
    }

    /// The gateway dies without a word, or stops, and some time later another one starts over what it left behind. The
    /// worker goes on meanwhile.
    async fn kill(&mut self) {
        for client in &mut self.clients {
            client.connected = None;
        }
        self.gate.close();
        if self.rng.bool() {
            // In order for once: what is under way may still be committed, and its worker told.
            self.gateway.close();
            patiently(self.gateway.stop()).await;
        }
        // From here on the old gateway can commit nothing more, whatever its tasks still do.
        self.world.store = Arc::new(self.world.store.reopen(TAIL));
        // It may linger: whatever its workers tell it meanwhile, it must not claim to have.
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..100))).await;
        self.gateway.tasks().stopping().cancel();
        self.world.store.faults().allow();
        self.faulty = false;
        let down = self.rng.u64(0..2_000) * self.rng.u64(0..10);
        tokio::time::sleep(Duration::from_millis(down)).await;
        self.gateway = start(&self.world.store, &self.clock, &self.gate, &self.world.upstream).await;
    }

    /// The worker dies with all that it holds, and another one starts in its place.
    fn kill_worker(&mut self) {
        self.world.deaths.push(self.clock.now());
        self.worker = RunningWorker::start(self.gate.clone());
    }

    async fn finish(mut self) -> World {
        self.world.store.faults().allow();
        self.world.upstream.conducts_itself(Conduct::Well, Conduct::Well);
        // A job that ends may still have delegated something, which goes on if it is detached.
        let mut asked = BTreeSet::new();
        loop {
            let known = family::all(&self.world).await.into_keys();
            let more: Vec<_> = known.filter(|job| asked.insert(*job)).collect();
            if more.is_empty() {
                break;
            }
            for job in more {
                self.end(job).await;
            }
        }
        let ended = async {
            while self.gateway.open_jobs() > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let patience = Duration::from_secs(24 * 3_600);
        drop(tokio::time::timeout(patience, ended).await);
        // Requests of before arrive, and what they have brought about is undone.
        tokio::time::sleep(Duration::from_secs(1_800)).await;
        self.world.not_withdrawn = self.gateway.credentials().report().revocations.len();
        for client in &mut self.clients {
            let seen = self.world.seen.entry(client.id).or_default();
            let mut session = match client.connected.take() {
                Some(session) => session,
                None => {
                    let request = resume(client, seen.len());
                    match patiently(self.gateway.resume_session(client.principal.clone(), request)).await {
                        Ok(attached) => attached.session,
                        // Its window is over.
                        Err(refusal) => {
                            assert_eq!(refusal, Refusal::ResumeUnknown);
                            continue;
                        }
                    }
                }
            };
            loop {
                session.prepare().await.expect("the store is whole again");
                match tokio::time::timeout(Duration::from_secs(1), session.next()).await {
                    Ok(deliveries) => seen.extend(deliveries.expect("the store is whole again").iter().map(seen_as)),
                    Err(_) => break,
                }
            }
        }
        self.world
    }

    /// Asks for the end of a job that has none.
    async fn end(&mut self, job: JobId) {
        let admin = Principal::new("root".parse().expect("a valid name"), Scopes::ADMIN);
        let opened = self.gateway.open_session(admin, "simulated".to_owned()).await;
        let session = opened.expect("the store is whole again").session;
        self.world.seen.insert(session.id(), Vec::new());
        drop(session.cancel(&job.to_string(), None).await);
    }

    fn some_client(&mut self) -> Option<usize> {
        (!self.clients.is_empty()).then(|| self.rng.usize(..self.clients.len()))
    }

    fn some_connected(&mut self) -> Option<usize> {
        let connected: Vec<_> = (0..self.clients.len()).filter(|n| self.clients[*n].connected.is_some()).collect();
        (!connected.is_empty()).then(|| connected[self.rng.usize(..connected.len())])
    }

    fn session(&mut self, client: usize) -> &mut SessionHandle {
        self.clients[client].connected.as_mut().expect("a connected client was chosen")
    }

    /// A job, preferably a late one.
    fn some_job(&mut self) -> Option<JobId> {
        let jobs = &self.world.accepted;
        let from = if self.rng.bool() { jobs.len().saturating_sub(4) } else { 0 };
        (!jobs.is_empty()).then(|| jobs[self.rng.usize(from..jobs.len())])
    }
}

/// A request is answered, whatever happens; virtual time makes waiting for it free.
async fn patiently<T>(request: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3_600), request).await.expect("every request is answered")
}

/// What a client presents that has kept this many of the records that it was sent.
fn resume(client: &Client, kept: usize) -> ResumeRequest {
    ResumeRequest {
        session: Some(client.id),
        token: client.token.clone(),
        last: EventSeq::new(kept as u64),
        epoch: None,
        accepts_gap: false,
    }
}

fn seen_as(delivery: &Delivery) -> Seen {
    Seen {
        event_seq: delivery.event_seq.get(),
        job: delivery.job,
        seq: delivery.record.seq,
        offset: delivery.record.offset(),
    }
}

async fn start(store: &Arc<MemoryStore>, clock: &Clock, gate: &Gate, upstream: &Upstream) -> Gateway {
    let options = RuntimeOptions {
        cancel_grace: Millis::from_secs(3),
        max_pending: Millis::from_secs(60),
        unasked: moorline_core::access::Unasked::default(),
        quotas: Quotas { sessions: Some(10_000), jobs: Some(10_000), ..Quotas::default() },
        resume_window: Millis::from_secs(600),
        back_pressure_lag: 1_000,
        overflow: Overflow::CatchUp,
        retention: Retention::default(),
        audit_max_age: None,
        audit_max_bytes: None,
        tracing: moorline_core::trace::Participation::default(),
        delegation: DelegationLimits::DEFAULT,
        check_event: |_, _| Ok(()),
    };
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
    let generation = raise_generation(shared.as_ref()).await.expect("the store is whole at a start");
    let tasks = Tasks::default();
    let agents = [(Scripted.describe().agent, true)];
    let key = SealKey::new(&[6; 32]);
    let credentials = Credentials::new(Arc::clone(&shared), clock.clone(), Some(key), Some(upstream.provisioning()));
    let gateway = Gateway::with_credentials(shared, clock.clone(), options, agents, tasks.clone(), credentials);
    let door = WorkerDoor::new(Arc::clone(gateway.pool()), tasks.clone(), clock.clone(), generation, secret());
    let host = Host::Elsewhere { worker: worker(), window: Millis::from_secs(60) };
    supervise(WorkerSpec { name: "scripted".to_owned(), host }, door.clone(), clock.clone(), &tasks);
    gateway.recover().await.expect("the store is whole at a start");
    gate.open(door, tasks);
    gateway
}
