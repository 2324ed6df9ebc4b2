//! Who is let in, who is adopted, and who is left alone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moorline_core::audit::{AuditDecision, AuditFilter};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::{Epoch, Millis, Timestamp, WorkerId};
use moorline_worker::Stream;
use moorline_worker::connect::{Dial, Ended, Identity, Stop, Worker};
use moorline_worker::link::AttachError;
use moorline_worker::message::GatewayEpoch;
use moorline_worker::peer;
use moorline_worker::process::{Process, ProcessIdentity};
use moorline_worker::secret::GatewaySecret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::manifest::{Entry, Manifest};
use super::{Crew, CrewOptions, DoorError, ProcessSpec, WorkerDoor};
use crate::audit::{Audit, AuditRetention};
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::pool::Pool;
use crate::registry::Registry;
use crate::tasks::{TaskKind, Tasks};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_000)
}

fn worker(n: u8) -> WorkerId {
    WorkerId::mint(now(), [n; 10])
}

fn secret() -> GatewaySecret {
    GatewaySecret::new([7; 32])
}

struct Bench {
    tasks: Tasks,
    pool: Arc<Pool>,
    door: WorkerDoor,
    store: Arc<dyn Store>,
    audit: Audit,
}

impl Bench {
    fn new() -> Self {
        let (tasks, clock) = (Tasks::default(), Clock::tokio(now()));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch::mint(now(), [0; 10]), TailLimits::default()));
        let audit = Audit::start(Arc::clone(&store), clock.clone(), &tasks);
        let credentials = Credentials::new(Arc::clone(&store), clock.clone(), None, None);
        let registry = Arc::new(Registry::default());
        let pool = Pool::new(registry, clock.clone(), |_, _| Ok(()), tasks.clone(), audit.clone(), credentials);
        let pool = Arc::new(pool);
        let door = WorkerDoor::new(Arc::clone(&pool), tasks.clone(), clock, GatewayEpoch::new(1), secret());
        Self { tasks, pool, door, store, audit }
    }

    fn crew(&self, reattach: bool) -> Crew {
        let options = CrewOptions { reattach, adoption_window: PATIENCE, orphan_lifetime: Duration::from_secs(86_400) };
        Crew::new(self.door.clone(), Clock::tokio(now()), self.tasks.clone(), Arc::clone(&self.store), options)
    }

    /// Runs a worker that proves itself with the key of `proves`. Returns its transports as it dials, and its end.
    fn run(&self, worker: WorkerId, proves: WorkerId) -> (mpsc::Receiver<DuplexStream>, mpsc::Receiver<Ended>) {
        let (dialled, transports) = mpsc::channel(1);
        let (said, ended) = mpsc::channel(1);
        let key = secret().worker_secret(proves).key();
        let identity = Identity { worker, key, orphan_lifetime: Duration::from_secs(86_400) };
        let at_work = Worker::new(identity, ChannelDial(dialled), []).unwrap();
        self.tasks.spawn(TaskKind::WorkerProcess, async move {
            let ended = at_work.run(Stop::default()).await;
            said.send(ended).await.unwrap_or_default();
        });
        (transports, ended)
    }
}

/// Dials into a channel.
struct ChannelDial(mpsc::Sender<DuplexStream>);

#[async_trait]
impl Dial for ChannelDial {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let (ours, theirs) = tokio::io::duplex(4_096);
        self.0.send(theirs).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(ours))
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_nobody_expects_any_more_is_told_to_end() {
    let bench = Bench::new();
    let (mut transports, mut ended) = bench.run(worker(1), worker(1));
    let refused = bench.door.attach(transports.recv().await.unwrap(), None).await;
    assert!(matches!(refused, Err(DoorError::NotExpected { .. })), "{refused:?}");
    assert!(matches!(ended.recv().await, Some(Ended::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_prove_itself_or_is_another_process_is_refused_and_left_alone() {
    let bench = Bench::new();
    bench.door.expect(worker(1));
    bench.door.record(worker(1), Some(4_711));
    let (mut transports, mut ended) = bench.run(worker(1), worker(2));
    let refused = bench.door.attach(transports.recv().await.unwrap(), Some(4_711)).await;
    // The gateway's own proof does not fit the wrong key, so the impostor is told nothing and says nothing more.
    assert!(matches!(refused, Err(DoorError::Attach(AttachError::Gone))), "{refused:?}");
    assert!(ended.try_recv().is_err(), "it is not told to end");

    let (mut transports, mut ended) = bench.run(worker(1), worker(1));
    let refused = bench.door.attach(transports.recv().await.unwrap(), Some(4_712)).await;
    let expected = matches!(refused, Err(DoorError::OtherProcess { peer: 4_712, started: 4_711, .. }));
    assert!(expected, "{refused:?}");
    assert!(ended.try_recv().is_err(), "it is not told to end");
    bench.door.attach(transports.recv().await.unwrap(), Some(4_711)).await.unwrap();
    tokio::time::timeout(PATIENCE, async {
        while bench.pool.workers() == 0 {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_let_in_only_when_it_is_on_record() {
    let bench = Bench::new();
    bench.door.expect(worker(1));
    let (mut transports, _ended) = bench.run(worker(1), worker(1));
    let refused = bench.door.attach(transports.recv().await.unwrap(), None).await;
    assert!(matches!(refused, Err(DoorError::NotRecorded { .. })), "{refused:?}");
    bench.door.record(worker(1), None);
    bench.door.attach(transports.recv().await.unwrap(), None).await.unwrap();
}

/// What a worker said in one handshake is worth nothing in another.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_replayed_is_refused() {
    let bench = Bench::new();
    bench.door.expect(worker(1));
    bench.door.record(worker(1), None);
    let (mut transports, _ended) = bench.run(worker(1), worker(1));
    let (mut near, mut far) = (transports.recv().await.unwrap(), tokio::io::duplex(4_096));
    let door = bench.door.clone();
    bench.tasks.spawn(TaskKind::WorkerLink, async move { door.attach(far.1, None).await.unwrap() });
    // Between the two, somebody listens.
    let mut heard = Vec::new();
    while bench.pool.workers() == 0 {
        let (mut said, mut answered) = ([0; 1_024], [0; 1_024]);
        tokio::select! {
            bytes = near.read(&mut said) => {
                let said = &said[..bytes.unwrap()];
                heard.extend_from_slice(said);
                far.0.write_all(said).await.unwrap();
            }
            bytes = far.0.read(&mut answered) => near.write_all(&answered[..bytes.unwrap()]).await.unwrap(),
            () = tokio::task::yield_now() => {}
        }
    }
    let (mut ours, theirs) = tokio::io::duplex(4_096);
    ours.write_all(&heard).await.unwrap();
    let refused = bench.door.attach(theirs, None).await;
    assert!(matches!(refused, Err(DoorError::Attach(AttachError::Unproven { .. }))), "{refused:?}");
}

/// Both are written down, with the reason, and a stranger that keeps coming does not fill the trail.
#[tokio::test]
async fn who_is_let_in_and_who_is_not_is_in_the_audit_trail() {
    let bench = Bench::new();
    let audit = &bench.audit;
    let entries = async |decision: AuditDecision, many: usize| {
        let filter = AuditFilter { decision: Some(decision), ..AuditFilter::default() };
        let found = async {
            loop {
                let entries = audit.page(&filter, None, 100).await.unwrap().entries;
                if entries.len() >= many {
                    return entries;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is written down")
    };
    bench.door.expect(worker(1));
    bench.door.record(worker(1), None);
    let (mut transports, _ended) = bench.run(worker(1), worker(1));
    bench.door.attach(transports.recv().await.unwrap(), None).await.unwrap();
    let allowed = entries(AuditDecision::Allowed, 1).await;
    assert_eq!(allowed[0].who, Some(worker(1).to_string()));
    let reason = allowed[0].reason.as_ref().unwrap();
    assert!(reason.contains("attachment 1 since the gateway's start 1"), "{reason}");

    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("worker.sock");
    bench.door.listen(&socket).unwrap();
    for _ in 0..30 {
        let mut stranger = tokio::net::UnixStream::connect(&socket).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        stranger.shutdown().await.unwrap();
        // Closed without an answer.
        let mut answer = Vec::new();
        drop(stranger.read_to_end(&mut answer).await);
    }
    let refused = entries(AuditDecision::Refused, 10).await;
    assert_eq!(refused.len(), 10, "ten show the pattern");
    assert!(refused[0].reason.as_ref().unwrap().contains("was not attached: "), "{refused:?}");

    let hour = AuditRetention { max_age: Some(Millis::from_secs(3_600)), ..AuditRetention::default() };
    audit.keep(now() + Millis::from_secs(86_400), hour).await.unwrap();
    assert!(audit.page(&AuditFilter::default(), None, 100).await.unwrap().entries.is_empty());
}

fn sleeper() -> (Child, ProcessIdentity) {
    let child = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let identity = Process::open(i32::try_from(child.id().unwrap()).unwrap()).unwrap().identity().clone();
    (child, identity)
}

fn entry(process: Option<ProcessIdentity>, user: u32) -> Entry {
    Entry {
        name: "sleeper@1".to_owned(),
        agents: Vec::new(),
        fingerprint: String::new(),
        socket: "/nowhere".into(),
        log: "/nowhere".into(),
        outbox: "/nowhere/outbox".into(),
        user,
        started: now(),
        process,
    }
}

/// Whatever the manifest says: a process that is not for certain the worker's is left alone, and the entry goes.
#[tokio::test]
async fn a_process_that_is_not_provably_a_worker_of_ours_is_never_touched() {
    let (mut stranger, identity) = sleeper();
    let reused =
        ProcessIdentity { start_ticks: identity.start_ticks + 1, inode: identity.inode + 1, ..identity.clone() };
    let rebooted = ProcessIdentity { boot_id: "an earlier boot".to_owned(), ..identity.clone() };
    let ours = peer::our_user();
    for reattach in [true, false] {
        let bench = Bench::new();
        let manifest = Manifest::new(Arc::clone(&bench.store));
        let entries = [
            entry(Some(reused.clone()), ours),
            entry(Some(rebooted.clone()), ours),
            entry(Some(identity.clone()), ours + 1),
            entry(None, ours),
        ];
        for (n, entry) in (1..).zip(&entries) {
            manifest.put(worker(n), entry).await.unwrap();
        }
        let crew = bench.crew(reattach);
        let survivors = crew.recover(&[]).await.unwrap();
        assert_eq!(survivors.logs().count(), 0, "nobody is adopted");
        crew.keep(Vec::new(), survivors);
        let forgotten = async {
            while !manifest.all().await.unwrap().is_empty() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(PATIENCE, forgotten).await.unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    }
}

#[tokio::test]
async fn a_worker_that_lives_is_awaited_or_ended_as_is_configured() {
    for reattach in [true, false] {
        let (mut child, identity) = sleeper();
        let bench = Bench::new();
        let manifest = Manifest::new(Arc::clone(&bench.store));
        manifest.put(worker(1), &entry(Some(identity), peer::our_user())).await.unwrap();
        let survivors = bench.crew(reattach).recover(&[]).await.unwrap();
        assert_eq!((survivors.logs().count(), bench.pool.awaited()), (usize::from(reattach), usize::from(reattach)));
        assert_eq!(manifest.all().await.unwrap().len(), usize::from(reattach));
        if reattach {
            assert!(child.try_wait().unwrap().is_none(), "it goes on");
        } else {
            tokio::time::timeout(PATIENCE, child.wait()).await.expect("it was ended").unwrap();
        }
    }
}

/// A gateway that stops before it has looked at a worker that it adopts ends it as it does any other, or leaves it alone.
#[tokio::test]
async fn a_gateway_that_stops_as_soon_as_it_has_started_ends_its_workers_or_leaves_them_as_it_is_told() {
    let spec = ProcessSpec {
        name: "sleeper@1".to_owned(),
        agents: Vec::new(),
        program: "sleep".into(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        logs: "/nowhere".into(),
        socket: "/nowhere".into(),
        orphan_lifetime: None,
        assignment: serde_json::Value::Null,
    };
    for ends in [true, false] {
        let (mut child, identity) = sleeper();
        let bench = Bench::new();
        let crew = bench.crew(true);
        let entry = Entry { fingerprint: crew.fingerprint(&spec), ..entry(Some(identity), peer::our_user()) };
        Manifest::new(Arc::clone(&bench.store)).put(worker(1), &entry).await.unwrap();
        let survivors = crew.recover(std::slice::from_ref(&spec)).await.unwrap();
        crew.keep(vec![spec.clone()], survivors);
        if ends {
            bench.pool.shut_down_workers(Millis::ZERO);
        }
        // Nothing of what keeps the worker has run yet.
        bench.tasks.stop().await;
        assert_eq!(child.try_wait().unwrap().is_some(), ends);
    }
}
