//! What is beyond the replay window of a gateway session leaves the journal while the session lives, however long it does.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::backend::{
    Bench, FRESH, ada, backend_options, done, item, sessions_over, state, stream, wait_until, within,
};
use common::memory;
use moorline_backend::contract::{Command, EventBody, Value};
use moorline_core::backend_session::{Retention, State};
use moorline_runtime::backend_sessions::{
    BackendOptions, BackendSessions, EventStream, OpenRequest, SessionHandle, StreamItem, SubscribeFrom,
};
use moorline_store::{Collection, Store, StoreFault, TailLimits};
use moorline_store_sqlite::{Durability, SqliteOptions, SqliteStore};
use moorline_types::{Json, Millis, StreamId, StreamSeq, WorkerSeq};

/// A plant that counts once in two seconds.
const COUNTING: &str = r#"{"tick_ms":2000,"tags":{"Count":{"wave":"counter"},"Set":{"wave":"memory","value":0}}}"#;

const WINDOW: usize = 100;

fn small_window() -> BackendOptions {
    let retention = Retention { events: WINDOW, age: Millis::from_secs(300), bytes: 8 << 20 };
    BackendOptions { retention, ..backend_options() }
}

async fn open_counting(bench: &Bench) -> SessionHandle {
    open_in(&bench.sessions).await
}

async fn open_in(sessions: &BackendSessions) -> SessionHandle {
    let request = OpenRequest { options: Some(Json::parse(COUNTING).unwrap()), ..OpenRequest::default() };
    within(sessions.open(&ada(), request)).await.unwrap()
}

fn stream_of(session: &SessionHandle) -> StreamId {
    let job = session.summary().id.to_string().parse::<moorline_runtime::backend_sessions::GatewaySessionId>();
    StreamId::Job(job.unwrap().job())
}

async fn in_journal(store: &dyn Store, session: &SessionHandle) -> u64 {
    let bounds = store.stream_bounds(stream_of(session)).await.unwrap();
    bounds.head.get() + 1 - bounds.oldest.get()
}

/// The next count, or the gap before it.
async fn counted(events: &mut EventStream) -> Result<i64, (u64, u64)> {
    loop {
        match within(events.next()).await.unwrap().expect("the stream has ended") {
            StreamItem::Gap { gap, is_other_journal: false, .. } => {
                return Err((gap.requested_after.get(), gap.oldest_available.get()));
            }
            StreamItem::Gap { .. } => panic!("another journal"),
            StreamItem::Event(event) => {
                if let EventBody::DataChange(sample) = event.event.said {
                    let Value::Integer(count) = sample.value else { panic!("{sample:?}") };
                    return Ok(count);
                }
            }
        }
    }
}

/// Virtual time that goes on only when it is told to: threads of a real store have no virtual time.
struct Standing(#[expect(dead_code, reason = "held")] mpsc::Sender<()>);

impl Standing {
    fn still() -> Self {
        let (hold, held) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv().unwrap_or_default());
        Self(hold)
    }
}

/// Three days, and a journal on disk.
#[tokio::test(start_paused = true)]
async fn a_session_that_streams_for_days_keeps_a_journal_of_the_same_size() {
    const DAYS: u64 = 3;
    const STRIDE: u64 = 600;
    let _standing = Standing::still();
    let home = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        path: home.path().join("journal.db"),
        durability: Durability::Process,
        tail: TailLimits { records: 512, bytes: 1 << 20 },
        max_bytes: None,
        now: moorline_types::Timestamp::from_unix_millis(1),
        entropy: [3; 10],
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let (sessions, _gateway) = sessions_over(Arc::clone(&store), small_window()).await;
    let session = open_in(&sessions).await;
    item(&session, "Count").await;
    let mut events = stream(&session, FRESH);
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut last = counted(&mut events).await.unwrap();
    let (mut early, mut late, mut most) = (0, 0, 0);
    let strides = DAYS * 86_400 / STRIDE;
    for stride in 0..strides {
        tokio::time::advance(Duration::from_secs(STRIDE)).await;
        for _ in 0..STRIDE / 2 {
            let next = counted(&mut events).await;
            assert_eq!(next, Ok(last + 1), "every count once, whatever has gone");
            last += 1;
        }
        let used = store.used_bytes().await.unwrap();
        if stride < strides / 4 {
            early = early.max(used)
        } else {
            late = late.max(used)
        }
        most = most.max(in_journal(store.as_ref(), &session).await);
    }
    assert!(last > 100_000, "{last}");
    // What one stride adds, twice because a stride is looked at before the next sweep, and the window.
    assert!(most <= WINDOW as u64 + 2 * STRIDE, "{most} records are in the journal");
    // Four times as long would be four times as much, if nothing went. How full the pages are is decided by when a sweep meets
    // an append, and on a busy machine by a quarter.
    assert!(late <= early * 2, "it was {early} bytes, and is {late}");
}

#[tokio::test(start_paused = true)]
async fn what_was_let_go_is_a_gap_and_what_is_retained_is_not() {
    let store = memory();
    let bench = Bench::over(store.clone(), small_window()).await;
    let session = open_counting(&bench).await;
    item(&session, "Count").await;
    // not a wait: virtual time is to pass
    tokio::time::sleep(Duration::from_secs(600)).await;
    let summary = session.summary();
    let oldest = summary.oldest_worker_seq.get();
    let bounds = store.stream_bounds(stream_of(&session)).await.unwrap();
    assert!(bounds.oldest > StreamSeq::new(100), "{bounds:?}");
    let from = |after: u64| SubscribeFrom { after: WorkerSeq::new(after), epoch: Some(bench.sessions.epoch()) };
    for (after, has_gap) in [(1, true), (oldest - 2, true), (oldest - 1, false), (oldest, false)] {
        let first = within(stream(&session, from(after)).next()).await.unwrap();
        let is_gap = matches!(first, Some(StreamItem::Gap { .. }));
        assert_eq!(is_gap, has_gap, "after {after} of {oldest}: {first:?}");
    }
}

/// It is told where it missed something, and how much; nobody else is.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_too_far_behind_is_told_a_gap_in_its_place() {
    let mut options = small_window();
    options.session.queue_capacity = 50;
    let bench = Bench::start(options).await;
    let session = open_counting(&bench).await;
    item(&session, "Count").await;
    let (mut slow, mut healthy) = (stream(&session, FRESH), stream(&session, FRESH));
    let seen = counted(&mut slow).await.unwrap();
    assert_eq!(counted(&mut healthy).await, Ok(seen));
    for next in seen + 1..seen + 1_000 {
        assert_eq!(counted(&mut healthy).await, Ok(next));
    }
    // What it was given before it stood still is its own.
    let mut last = seen;
    let missed = loop {
        match counted(&mut slow).await {
            Ok(next) => {
                assert_eq!(next, last + 1);
                last = next;
            }
            Err(gap) => break gap,
        }
    };
    let next = counted(&mut slow).await.unwrap();
    let lost = u64::try_from(next - last - 1).unwrap();
    assert!(lost > 0 && missed.0 < missed.1, "{missed:?}");
    assert_eq!(missed.1 - missed.0 - 1, lost, "the gap is what it has missed, exactly");
    assert_eq!(counted(&mut slow).await, Ok(next + 1));
}

/// Commands whose answers are all that happens go too.
#[tokio::test(start_paused = true)]
async fn a_session_of_commands_only_keeps_no_answers_that_nobody_can_ask_for() {
    let store = memory();
    let bench = Bench::over(store.clone(), small_window()).await;
    let session = bench.open().await;
    for _ in 0..500 {
        done(&session, Command::WorkerInfo).await;
    }
    // not a wait: virtual time is to pass
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(in_journal(store.as_ref(), &session).await <= 2);
    done(&session, Command::WorkerInfo).await;
}

/// What cannot be written down stays, and goes later.
#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_lets_nothing_go_and_nothing_be_lost() {
    let store = memory();
    let bench = Bench::over(store.clone(), small_window()).await;
    let session = open_counting(&bench).await;
    item(&session, "Count").await;
    let mut events = stream(&session, FRESH);
    let first = counted(&mut events).await.unwrap();
    store.faults().refuse_trims(StoreFault::Io);
    for next in first + 1..first + 500 {
        assert_eq!(counted(&mut events).await, Ok(next));
    }
    assert!(in_journal(store.as_ref(), &session).await > 400);
    store.faults().allow();
    for next in first + 500..first + 1_000 {
        assert_eq!(counted(&mut events).await, Ok(next));
    }
    assert!(in_journal(store.as_ref(), &session).await < 300);
}

/// The next start makes the job again of what is left, and what stands for the rest goes with the job.
#[tokio::test(start_paused = true)]
async fn a_start_makes_a_shortened_job_again_and_its_end_is_its_own() {
    let store = memory();
    let bench = Bench::over(store.clone(), small_window()).await;
    let session = open_counting(&bench).await;
    item(&session, "Count").await;
    // not a wait: virtual time is to pass
    tokio::time::sleep(Duration::from_secs(600)).await;
    let stream = stream_of(&session);
    let left = store.stream_bounds(stream).await.unwrap();
    assert!(left.oldest > StreamSeq::FIRST);
    assert_eq!(prologues(store.as_ref()).await, 1);
    let id = session.summary().id.to_string();
    drop(session);
    // A worker inside the process that has ended does not come back.
    let bench = bench.restart(small_window()).await;
    wait_until(|| bench.gateway.open_jobs() == 0).await;
    let store = &bench.store;
    let faulted = bench.sessions.get(&ada(), &id).unwrap();
    state(&faulted, |state| matches!(state, State::Faulted(_))).await;
    assert!(faulted.summary().oldest_worker_seq > WorkerSeq::new(100), "what is gone is not replayed");
    let bounds = store.stream_bounds(stream).await.unwrap();
    assert!(bounds.oldest >= left.oldest && bounds.head > left.head, "{bounds:?}, before {left:?}");
    let last = store.read_stream(stream, bounds.head, moorline_store::ReadLimit::new(1, 1)).await.unwrap();
    assert!(last[0].kind.is_last(), "{last:?}");
}

async fn prologues(store: &dyn Store) -> usize {
    store.list(Collection::Prologues, None, 100).await.unwrap().len()
}
