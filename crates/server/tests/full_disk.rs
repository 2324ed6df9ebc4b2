//! A journal that may not grow: what is over makes room, what runs goes on, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, runtime_options};
use moorline_agents::Echo;
use moorline_core::Refusal;
use moorline_core::record::Overflow;
use moorline_runtime::workers::{Host, WorkerDoor, WorkerSpec, raise_generation, supervise};
use moorline_runtime::{Clock, Gateway, GcRequest, ResumeRequest, RuntimeOptions, SessionHandle, SubmitRequest, Tasks};
use moorline_store::Store;
use moorline_store_sqlite::{SqliteOptions, SqliteStore};
use moorline_types::{EventSeq, Json, Millis, Principal, RecordKind, Scopes};
use moorline_worker::sdk::Agent;
use moorline_worker::secret::GatewaySecret;

/// How large the file may become: some dozen jobs.
const LIMIT: u64 = 1024 * 1024;

/// What one job is given, and gives back.
const INPUT_BYTES: usize = 20_000;

async fn store(directory: &tempfile::TempDir) -> Arc<SqliteStore> {
    let path = directory.path().join("journal.db");
    let options = SqliteOptions { max_bytes: Some(LIMIT), ..SqliteOptions::new(path, Clock::system().now(), [7; 10]) };
    Arc::new(SqliteStore::open(options).await.unwrap())
}

async fn gateway(store: &Arc<SqliteStore>) -> Gateway {
    let (clock, tasks) = (Clock::system(), Tasks::default());
    let agents: Vec<Arc<dyn Agent>> = vec![Arc::new(Echo::new("echo@1.0.0".parse().unwrap()))];
    let names: Vec<_> = agents.iter().map(|agent| (agent.describe().agent, true)).collect();
    let shared: Arc<dyn Store> = Arc::<SqliteStore>::clone(store);
    let generation = raise_generation(shared.as_ref()).await.unwrap();
    let options = RuntimeOptions { resume_window: Millis::from_secs(86_400), ..runtime_options() };
    let gateway = Gateway::new(shared, clock.clone(), options, names, tasks.clone());
    gateway.recover().await.unwrap();
    let secret = GatewaySecret::new([9; 32]);
    let door = WorkerDoor::new(Arc::clone(gateway.pool()), tasks.clone(), clock.clone(), generation, secret);
    supervise(WorkerSpec { name: "agents".to_owned(), host: Host::InProcess(agents) }, door, clock, &tasks);
    gateway
}

fn principal(name: &str, scope: Scopes) -> Principal {
    Principal::new(name.parse().unwrap(), scope)
}

fn request(input: &serde_json::Value) -> SubmitRequest {
    SubmitRequest {
        agent: "echo".parse().unwrap(),
        input: Json::of(input).unwrap(),
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

/// Until a job ends, or what the session has not seen of it is gone: the last number.
async fn see_an_end(session: &mut SessionHandle) -> EventSeq {
    loop {
        session.prepare().await.unwrap();
        let seen = session.next().await.unwrap();
        if let Some(end) = seen.iter().find(|delivery| delivery.record.kind == RecordKind::JobResult) {
            return end.event_seq;
        }
        if let Some(missed) = session.take_missed() {
            return missed.to;
        }
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Runs jobs until the disk takes no more; how many were accepted, and whether the end of the last one was not seen.
async fn fill(gateway: &Gateway, session: &mut SessionHandle) -> (u64, bool) {
    let input = serde_json::json!("x".repeat(INPUT_BYTES));
    for accepted in 0.. {
        if let Err(refusal) = session.submit(request(&input)).await {
            assert_eq!(refusal, Refusal::StoreUnavailable { reason: "its disk is full" });
            return (accepted, false);
        }
        // The result may be what does not fit.
        while tokio::time::timeout(Duration::from_secs(1), see_an_end(session)).await.is_err() {
            if !gateway.is_ready().await {
                return (accepted + 1, true);
            }
        }
    }
    unreachable!("the disk has a limit")
}

/// Removes everything that is over.
async fn collect(admin: &SessionHandle) -> u64 {
    let (mut jobs, mut cursor) = (0, None);
    loop {
        let request = GcRequest { older_than: Some(Millis::ZERO), cursor, ..GcRequest::default() };
        let step = admin.collect(request).await.unwrap();
        jobs += step.jobs;
        cursor = step.next_cursor;
        if cursor.is_none() {
            return jobs;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_makes_room_on_a_full_disk_and_work_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    let gateway = gateway(&store).await;
    let admin = gateway.open_session(principal("root", Scopes::ADMIN), "test".to_owned()).await.unwrap().session;
    let opened = gateway.open_session(principal("ada", Scopes::JOBS), "test".to_owned()).await.unwrap();
    let (mut session, token) = (opened.session, opened.token);
    let (accepted, is_unseen) = soon("the disk is full", fill(&gateway, &mut session)).await;
    assert!(accepted > 10, "{accepted}");

    let removed = collect(&admin).await;
    assert!(removed >= accepted - 1, "{removed} of {accepted}");
    assert!(store.used_bytes().await.unwrap() < LIMIT / 2);
    if is_unseen {
        // What could not be written is offered again.
        soon("the end that was refused", see_an_end(&mut session)).await;
    }
    for n in 0..10 {
        let before = session.event_seq();
        session.submit(request(&serde_json::json!(n))).await.unwrap();
        let end = soon("an end", see_an_end(&mut session)).await;
        assert_eq!(end, before.next(), "nothing is left out and nothing numbered twice");
    }
    assert_eq!(session.event_seq().get(), accepted + 10);
    session.park().await;
    let request = ResumeRequest { session: None, token, last: EventSeq::ZERO, epoch: None, accepts_gap: true };
    let back = gateway.resume_session(principal("ada", Scopes::JOBS), request).await.unwrap();
    let missed = back.missed.unwrap();
    assert_eq!(missed.from.get(), 1);
    assert!((accepted - 1..=accepted).contains(&missed.to.get()), "what is gone is told: {missed:?}");
}
