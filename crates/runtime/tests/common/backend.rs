//! Gateway sessions over the simulated back end, with workers inside the process, and what tests do with them.

use std::sync::Arc;
use std::time::Duration;

use moorline_backend::BackendAgent;
use moorline_backend::contract::{Command, Done, EventBody, ItemAt, UserHandle, Value, Write};
use moorline_backend::simulated::{NAME, Simulated};
use moorline_core::backend_session::{OverflowPolicy, Retention, SessionOptions, State, SubscriberKind};
use moorline_runtime::backend_sessions::{
    BackendOptions, BackendSessions, EventStream, OpenRequest, SessionHandle, SessionWorkers, StreamItem, SubscribeFrom,
};
use moorline_runtime::workers::{WorkerDoor, raise_generation};
use moorline_runtime::{Clock, Gateway, Tasks};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::{Json, Millis, Principal, Scopes, Timestamp, WorkerSeq};
use moorline_worker::sdk::Agent;
use moorline_worker::secret::GatewaySecret;

use super::{memory, options, principal};

/// Virtual time: no delay.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3_600);

/// A plant whose tags do not move by themselves, so that virtual time can run as it likes.
pub(crate) const STILL: &str =
    r#"{"tick_ms":31536000000,"tags":{"Set":{"wave":"memory","value":0},"Other":{"wave":"memory","value":0}}}"#;

pub(crate) struct Bench {
    pub(crate) sessions: BackendSessions,
    pub(crate) gateway: Gateway,
    pub(crate) store: Arc<MemoryStore>,
}

pub(crate) fn backend_options() -> BackendOptions {
    BackendOptions {
        session: SessionOptions {
            startup_timeout: Millis::from_secs(30),
            command_timeout: Millis::from_secs(30),
            max_pending_commands: 128,
            lease: Millis::from_secs(1_800),
            sweep_interval: Millis::from_secs(30),
            detach_grace: Millis::from_secs(30),
            multiple_subscribers: true,
            max_subscribers: 8,
            overflow: OverflowPolicy::CatchUp,
            queue_capacity: 10_000,
        },
        max_sessions: 2,
        retention: Retention { events: 1_024, age: Millis::from_secs(300), bytes: 8 << 20 },
        shutdown_timeout: Millis::from_secs(10),
        backends: vec![NAME],
    }
}

impl Bench {
    pub(crate) async fn start(options: BackendOptions) -> Self {
        Self::over(memory(), options).await
    }

    pub(crate) async fn over(store: Arc<MemoryStore>, options: BackendOptions) -> Self {
        let (sessions, gateway) = sessions_over(store.clone(), options).await;
        Self { sessions, gateway, store }
    }

    /// The next gateway over the same journal.
    pub(crate) async fn restart(self, options: BackendOptions) -> Self {
        self.gateway.stop().await;
        Self::over(Arc::new(self.store.reopen(TailLimits::default())), options).await
    }

    pub(crate) async fn open(&self) -> SessionHandle {
        self.open_as(&ada(), OpenRequest::default()).await
    }

    pub(crate) async fn open_as(&self, principal: &Principal, request: OpenRequest) -> SessionHandle {
        let options = Some(Json::parse(STILL).unwrap());
        within(self.sessions.open(principal, OpenRequest { options, ..request })).await.unwrap()
    }
}

/// Gateway sessions over any store.
pub(crate) async fn sessions_over(
    store: Arc<dyn Store>,
    backend_options: BackendOptions,
) -> (BackendSessions, Gateway) {
    let clock = Clock::tokio(Timestamp::from_unix_millis(1_000_000));
    let tasks = Tasks::default();
    let generation = raise_generation(store.as_ref()).await.unwrap();
    let gateway = Gateway::new(store, clock.clone(), options(), [], tasks.clone());
    gateway.recover().await.unwrap();
    let pool = Arc::clone(gateway.pool());
    let door = WorkerDoor::new(pool, tasks.clone(), clock, generation, GatewaySecret::new([9; 32]));
    let agent = |agent: &moorline_types::ResolvedAgent| -> Arc<dyn Agent> {
        Arc::new(BackendAgent::new(agent.clone(), Simulated))
    };
    let workers = SessionWorkers::in_process(door, tasks, Arc::new(agent));
    let sessions = BackendSessions::new(gateway.clone(), workers, backend_options);
    sessions.recover().await.unwrap();
    (sessions, gateway)
}

pub(crate) fn ada() -> Principal {
    principal("ada", Scopes::JOBS)
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not come")
}

pub(crate) async fn done(session: &SessionHandle, command: Command) -> Done {
    let invoked = within(session.invoke(None, None, command)).await.unwrap();
    assert!(invoked.result.success, "{invoked:?}");
    invoked.result.done
}

/// An advised item.
pub(crate) async fn item(session: &SessionHandle, name: &str) -> ItemAt {
    let Done::Server(server) = done(session, Command::Register { client: "test".into() }).await else { panic!() };
    let add = Command::AddItem { server, item: name.into(), context: String::new(), buffered: false };
    let Done::Item { item, .. } = done(session, add).await else { panic!() };
    let at = ItemAt { server, item };
    done(session, Command::Advise { at, supervisory: false }).await;
    at
}

pub(crate) fn write(at: ItemAt, value: i64) -> Command {
    let value = Value::Integer(value);
    Command::Write(Write { at, value, user: UserHandle(0), verifier: None, source_time: None })
}

pub(crate) const FRESH: SubscribeFrom = SubscribeFrom { after: WorkerSeq::ZERO, epoch: None };

pub(crate) fn stream(session: &SessionHandle, from: SubscribeFrom) -> EventStream {
    session.subscribe(SubscriberKind::External, from).unwrap()
}

/// The next value that a stream tells, with its number.
pub(crate) async fn value(stream: &mut EventStream) -> (i64, WorkerSeq) {
    loop {
        let item = within(stream.next()).await.unwrap().expect("the stream has ended");
        let StreamItem::Event(event) = item else { panic!("a gap: {item:?}") };
        if let EventBody::DataChange(sample) = event.event.said {
            let Value::Integer(value) = sample.value else { panic!("{sample:?}") };
            return (value, event.worker_seq);
        }
    }
}

pub(crate) async fn state(session: &SessionHandle, wanted: impl Fn(&State) -> bool) -> State {
    wait_until(|| wanted(&session.summary().state)).await;
    session.summary().state
}

pub(crate) async fn wait_until(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            // not a wait: lets virtual time pass between two looks
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
