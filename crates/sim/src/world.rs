//! The gateway, its clients, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use moorline_runtime::workers::{Host, WorkerDoor, WorkerSpec, raise_generation, supervise};
use moorline_runtime::{Clock, Delivery, Gateway, RuntimeOptions, SessionHandle, SubmitRequest, Tasks};
use moorline_store::{MemoryStore, Store, StoreFault, TailLimits};
use moorline_types::{Epoch, EventSeq, JobId, Json, Millis, Offset, Principal, Scope, SessionId, StreamSeq, Timestamp};
use moorline_worker::sdk::Agent;

use crate::agent::{AGENT, End, Script, Scripted};

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
    /// The jobs whose cancellation a client was told to be certain.
    pub cancelled: Vec<JobId>,
}

/// Lets things happen, `steps` of them, as the seed decides, and then lets every job come to its end.
pub async fn run(seed: u64, steps: usize) -> World {
    let mut simulation = Simulation::new(seed).await;
    for _ in 0..steps {
        simulation.step().await;
    }
    simulation.finish().await
}

struct Simulation {
    rng: Rng,
    clock: Clock,
    gateway: Gateway,
    clients: Vec<SessionHandle>,
    faulty: bool,
    world: World,
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let clock = Clock::tokio(Timestamp::from_unix_millis(1_000_000));
        let store = Arc::new(MemoryStore::new(Epoch::mint(clock.now(), [1; 10]), TAIL));
        let gateway = start(&store, &clock).await;
        let world = World {
            store,
            seen: BTreeMap::new(),
            accepted: Vec::new(),
            repeatable: BTreeSet::new(),
            cancelled: Vec::new(),
        };
        Self { rng: Rng::with_seed(seed), clock, gateway, clients: Vec::new(), faulty: false, world }
    }

    async fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..8 => self.connect().await,
            8..10 => self.disconnect(),
            10..13 => self.come_back().await,
            13..26 => self.submit().await,
            26..34 => self.cancel().await,
            34..46 => self.subscribe().await,
            46..49 => self.unsubscribe().await,
            49..80 => self.read().await,
            80..94 => self.pass().await,
            94..98 => self.toggle_faults(),
            _ => self.kill().await,
        }
    }

    async fn connect(&mut self) {
        if self.clients.len() == MAX_CLIENTS {
            return;
        }
        let name = if self.rng.bool() { "ada" } else { "bob" };
        let principal = Principal { id: name.parse().expect("a valid name"), scopes: vec![Scope::Jobs] };
        if let Ok(session) = patiently(self.gateway.open_session(principal, "simulated".to_owned())).await {
            self.world.seen.insert(session.id(), Vec::new());
            self.clients.push(session);
        }
    }

    fn disconnect(&mut self) {
        if let Some(client) = self.some_client() {
            self.clients.swap_remove(client);
        }
    }

    /// A client loses its connection, and some of what it was sent with it, and resumes its session.
    async fn come_back(&mut self) {
        let Some(client) = self.some_client() else { return };
        let client = &mut self.clients[client];
        let seen = self.world.seen.entry(client.id()).or_default();
        let kept = self.rng.usize(0..=seen.len());
        if patiently(client.rewind(EventSeq::new(kept as u64))).await.is_ok() {
            seen.truncate(kept);
        }
    }

    async fn submit(&mut self) {
        let Some(client) = self.some_client() else { return };
        let ends = [End::Result, End::Result, End::Failure, End::Panic, End::Cancel, End::Never];
        // Now and then more than one stretch of history holds.
        let (events, delay_ms) = match self.rng.u32(0..12) {
            0 => (self.rng.u64(0..3_000), 0),
            _ => (self.rng.u64(0..40), self.rng.u64(0..50)),
        };
        let script = Script { events, delay_ms, end: ends[self.rng.usize(..ends.len())] };
        let request = SubmitRequest {
            agent: AGENT.parse().expect("a valid name"),
            input: Json::of(&script).expect("a script is JSON"),
            lease: Json::parse("{}").expect("an object is JSON"),
            max_runtime_sec: self.rng.bool().then(|| self.rng.u64(1..5)),
            trace_id: None,
        };
        if let Ok(job) = patiently(self.clients[client].submit(request)).await {
            self.world.accepted.push(job.job);
        }
    }

    async fn cancel(&mut self) {
        if let (Some(client), Some(job)) = (self.some_client(), self.some_job())
            && patiently(self.clients[client].cancel(&job.to_string(), None)).await.is_ok()
        {
            self.world.cancelled.push(job);
        }
    }

    async fn subscribe(&mut self) {
        if let (Some(client), Some(job)) = (self.some_client(), self.some_job()) {
            let history = self.rng.bool();
            let subscribed = patiently(self.clients[client].subscribe(&job.to_string(), history)).await;
            if subscribed.is_ok_and(|subscription| subscription.job.status.is_terminal()) {
                self.world.repeatable.insert((self.clients[client].id(), job));
            }
        }
    }

    async fn unsubscribe(&mut self) {
        if let (Some(client), Some(job)) = (self.some_client(), self.some_job()) {
            self.world.repeatable.insert((self.clients[client].id(), job));
            drop(patiently(self.clients[client].unsubscribe(&job.to_string())).await);
        }
    }

    /// A client reads what there is at the moment.
    async fn read(&mut self) {
        let Some(client) = self.some_client() else { return };
        let client = &mut self.clients[client];
        if patiently(client.prepare()).await.is_err() {
            return;
        }
        let read = tokio::time::timeout(Duration::from_millis(1), client.next()).await;
        if let Ok(Ok(deliveries)) = read {
            let seen = self.world.seen.entry(client.id()).or_default();
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

    /// The gateway dies without a word, and another one starts over what it left behind.
    async fn kill(&mut self) {
        self.clients.clear();
        // Its tasks go on, but with a store that nobody looks at any more.
        self.world.store = Arc::new(self.world.store.reopen(TAIL));
        self.world.store.faults().allow();
        self.faulty = false;
        self.gateway = start(&self.world.store, &self.clock).await;
    }

    async fn finish(mut self) -> World {
        self.world.store.faults().allow();
        for job in self.world.accepted.clone() {
            self.end(job).await;
        }
        let ended = async {
            while self.gateway.open_jobs() > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let patience = Duration::from_secs(24 * 3_600);
        drop(tokio::time::timeout(patience, ended).await);
        for client in &mut self.clients {
            let seen = self.world.seen.entry(client.id()).or_default();
            loop {
                client.prepare().await.expect("the store is whole again");
                match tokio::time::timeout(Duration::from_secs(1), client.next()).await {
                    Ok(deliveries) => seen.extend(deliveries.expect("the store is whole again").iter().map(seen_as)),
                    Err(_) => break,
                }
            }
        }
        self.world
    }

    /// Asks for the end of a job that has none.
    async fn end(&mut self, job: JobId) {
        let admin = Principal { id: "root".parse().expect("a valid name"), scopes: vec![Scope::Admin] };
        let session = self.gateway.open_session(admin, "simulated".to_owned()).await.expect("the store is whole again");
        self.world.seen.insert(session.id(), Vec::new());
        drop(session.cancel(&job.to_string(), None).await);
    }

    fn some_client(&mut self) -> Option<usize> {
        (!self.clients.is_empty()).then(|| self.rng.usize(..self.clients.len()))
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

fn seen_as(delivery: &Delivery) -> Seen {
    Seen {
        event_seq: delivery.event_seq.get(),
        job: delivery.job,
        seq: delivery.record.seq,
        offset: delivery.record.offset(),
    }
}

async fn start(store: &Arc<MemoryStore>, clock: &Clock) -> Gateway {
    let options = RuntimeOptions {
        cancel_grace: Millis::from_secs(3),
        max_pending: Millis::from_secs(60),
        default_max_runtime_sec: None,
        max_sessions_per_principal: 10_000,
        max_jobs_per_principal: 10_000,
        check_event: |_, _| Ok(()),
    };
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
    let generation = raise_generation(shared.as_ref()).await.expect("the store is whole at a start");
    let agent: Arc<dyn Agent> = Arc::new(Scripted);
    let tasks = Tasks::default();
    let gateway = Gateway::new(shared, clock.clone(), options, [(agent.describe().agent, true)], tasks.clone());
    gateway.recover().await.expect("the store is whole at a start");
    let door = WorkerDoor::new(Arc::clone(gateway.pool()), tasks.clone(), generation);
    let spec = WorkerSpec { name: "scripted".to_owned(), host: Host::InProcess(vec![agent]) };
    supervise(spec, door, clock.clone(), &tasks);
    gateway
}
