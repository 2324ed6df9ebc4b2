//! Worker processes, launched for real. This program is both the test and, with the argument `worker`, the worker.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
#![expect(clippy::print_stdout, reason = "without the standard harness, the test's report is its own")]

mod support;

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::{Fence, Millis};
use moorline_worker::launch::{Assignment, AssignmentKind, LaunchError, LaunchSpec, Launched, launch};
use moorline_worker::link::{AttachParams, LinkEnd, WorkerLink, accept};
use moorline_worker::message::{FromWorker, GatewayEpoch, GoodbyeReason, ToWorker};
use moorline_worker::process::Signal;
use moorline_worker::sdk::{Agent, JobContext, Level, Outcome};
use moorline_worker::secret::WorkerSecret;
use moorline_worker::{EXIT_ORPHANED, EXIT_REFUSED, peer, worker_main};
use serde_json::json;
use support::{Journal, fn_agent, job, lines, start, worker};
use tokio::net::UnixListener;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("worker") => worker_main(|spec: &AssignmentKind| Ok::<_, Infallible>(agents(spec))),
        // What the standard harness would be asked by tools that list tests.
        Some("--list") => ExitCode::SUCCESS,
        Some(_) | None => checks(),
    }
}

/// What the worker hosts, in the words of this test.
fn agents(spec: &AssignmentKind) -> Vec<Arc<dyn Agent>> {
    let events = usize::try_from(spec.0["events"].as_u64().unwrap_or_default()).unwrap_or_default();
    let counting = move |job: JobContext| async move {
        for event in 0..events {
            job.log(Level::Info, format!("event {event}")).await?;
        }
        Ok(Outcome::of(&events)?)
    };
    let looking = |_| async move {
        let fds: Vec<_> = std::fs::read_dir("/proc/self/fd")?
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .map(|target| target.to_string_lossy().into_owned())
            .collect();
        let status = std::fs::read_to_string("/proc/self/status")?;
        let environment: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
        let session = rustix::process::getsid(None)?.as_raw_nonzero().get();
        Ok(Outcome::of(&json!({
            "fds": fds,
            "umask": status.lines().find_map(|line| line.strip_prefix("Umask:")).map(str::trim),
            "environment": environment,
            "is_session_leader": session.unsigned_abs() == std::process::id(),
            "cwd": std::env::current_dir()?,
        }))?)
    };
    vec![fn_agent("count@1", 4, counting), fn_agent("look@1", 1, looking)]
}

struct Gateway {
    dir: tempfile::TempDir,
    listener: UnixListener,
}

impl Gateway {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        Self { dir, listener }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spec(&self, events: usize, orphan_ms: u64) -> LaunchSpec {
        LaunchSpec {
            program: std::env::current_exe().unwrap(),
            args: vec!["worker".into()],
            env: vec![(OsString::from("GIVEN"), OsString::from("1"))],
            cwd: self.dir.path().to_owned(),
            log_path: self.path("log"),
            assignment: Assignment {
                socket: self.path("socket"),
                worker_id: worker(1),
                secret: secret(),
                orphan_lifetime_ms: Millis::new(orphan_ms),
                outbox: None,
                spec: AssignmentKind(json!({ "events": events })),
            },
        }
    }

    async fn attach(&self, epoch: u64, journal: &Journal) -> WorkerLink {
        let accepted = tokio::time::timeout(support::DEADLINE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("the worker did not come").unwrap();
        peer::check_same_user(&stream).unwrap();
        let params = AttachParams::new(GatewayEpoch::new(epoch));
        let candidate = accept(stream, |_| async { Some(secret().key()) }, params).await.unwrap();
        candidate.admit(Fence::new(epoch), journal.committed()).await.unwrap()
    }
}

fn secret() -> WorkerSecret {
    WorkerSecret::new([7; 32])
}

/// Takes reports until `enough`, acknowledging each.
async fn take(link: &mut WorkerLink, journal: &mut Journal, enough: impl Fn(&Journal) -> bool) {
    while !enough(journal) {
        match tokio::time::timeout(support::DEADLINE, link.receiver.recv()).await.unwrap().unwrap() {
            FromWorker::Report { job, seq, report, .. } => {
                journal.take(job, seq, report);
                link.sender.send(ToWorker::Ack { job, seq }).await.unwrap();
            }
            FromWorker::Started { .. } => {}
            FromWorker::Refused { reason, .. } => panic!("refused: {reason}"),
            FromWorker::Ask { ask, .. } => panic!("nothing was to be asked: {ask:?}"),
        }
    }
}

async fn end(mut launched: Launched) -> Option<i32> {
    let status = tokio::time::timeout(support::DEADLINE, launched.child.wait()).await;
    status.expect("the worker did not end").unwrap().code()
}

async fn what_cannot_be_launched_is_named_with_the_remedy() {
    let gateway = Gateway::new();
    let plain = gateway.path("plain");
    std::fs::write(&plain, "").unwrap();
    let spec = || gateway.spec(0, 0);
    for (spec, part) in [
        (LaunchSpec { program: "/no/such".into(), ..spec() }, "install it"),
        (LaunchSpec { program: plain, ..spec() }, "chmod +x"),
        (LaunchSpec { cwd: "/no/such/dir".into(), ..spec() }, "create it"),
        (LaunchSpec { log_path: "/no/such/dir/log".into(), ..spec() }, "create its directory"),
    ] {
        let error = launch(spec).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {source}").contains(part), "{error}: {source}");
    }
    let mut large = spec();
    large.assignment.spec = AssignmentKind(json!("x".repeat(300_000)));
    assert!(matches!(launch(large).await, Err(LaunchError::Assignment(_))));
}

async fn a_worker_inherits_only_what_it_is_given() {
    let gateway = Gateway::new();
    let held_open = std::fs::File::open("/dev/zero").unwrap();
    let launched = launch(gateway.spec(0, 0)).await.unwrap();
    let (mut link, mut journal) = (gateway.attach(1, &Journal::default()).await, Journal::default());
    link.sender.send(start(job(1), "look@1", "0")).await.unwrap();
    take(&mut link, &mut journal, |journal| journal.is_finished(job(1))).await;
    let said = lines(&journal.0[&job(1)]).concat();
    let said: serde_json::Value = serde_json::from_str(said.strip_prefix("result ").unwrap_or(&said)).unwrap();
    let fds = said["fds"].to_string();
    assert!(!fds.contains("/dev/zero") && !fds.contains("pipe:"), "{fds}");
    assert!(fds.contains("/dev/null") && fds.contains("/log"), "{fds}");
    assert_eq!((&said["umask"], &said["is_session_leader"]), (&"0077".into(), &true.into()));
    assert_eq!(said["cwd"], gateway.dir.path().to_str().unwrap());
    let environment = said["environment"].to_string();
    assert!(environment.contains("GIVEN") && !environment.contains("CARGO"), "{environment}");
    let mode = std::fs::metadata(gateway.path("log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let arguments = std::fs::read(Path::new("/proc").join(launched.identity.pid.to_string()).join("cmdline")).unwrap();
    let variables = std::fs::read(Path::new("/proc").join(launched.identity.pid.to_string()).join("environ")).unwrap();
    for seen in [arguments, variables] {
        assert!(!String::from_utf8_lossy(&seen).contains("0707"), "the secret can be read from outside");
    }
    drop(held_open);
    link.sender.send(ToWorker::Shutdown { grace: Millis::ZERO }).await.unwrap();
    assert!(matches!(link.receiver.recv().await, Err(LinkEnd::Goodbye(GoodbyeReason::Shutdown))));
    assert_eq!(end(launched).await, Some(0));
}

async fn a_job_goes_on_over_several_gateways() {
    const EVENTS: usize = 1_500;
    let gateway = Gateway::new();
    let launched = launch(gateway.spec(EVENTS, 0)).await.unwrap();
    let mut journal = Journal::default();
    for epoch in 1.. {
        let mut link = gateway.attach(epoch, &journal).await;
        if epoch == 1 {
            link.sender.send(start(job(1), "count@1", "0")).await.unwrap();
        }
        let more = usize::try_from(epoch).unwrap() * 400;
        let enough = |journal: &Journal| {
            journal.is_finished(job(1)) || journal.0.get(&job(1)).is_some_and(|reports| reports.len() >= more)
        };
        take(&mut link, &mut journal, enough).await;
        if journal.is_finished(job(1)) {
            break;
        }
    }
    assert_eq!(journal.0[&job(1)].len(), EVENTS + 1);
    assert!(launched.process.signal(Signal::Terminate).unwrap());
    assert_eq!(end(launched).await, Some(0));
}

async fn a_worker_without_a_gateway_ends_itself() {
    let gateway = Gateway::new();
    let launched = launch(gateway.spec(0, 2_000)).await.unwrap();
    drop(gateway.attach(1, &Journal::default()).await);
    let Gateway { dir, listener } = gateway;
    drop(listener);
    assert_eq!(end(launched).await, Some(i32::from(EXIT_ORPHANED)));
    drop(dir);
}

async fn a_worker_that_is_sent_away_ends_itself() {
    let gateway = Gateway::new();
    let launched = launch(gateway.spec(0, 0)).await.unwrap();
    let (stream, _) = gateway.listener.accept().await.unwrap();
    let params = AttachParams::new(GatewayEpoch::new(1));
    let candidate = accept(stream, |_| async { Some(secret().key()) }, params).await.unwrap();
    candidate.refuse("not in the manifest".to_owned(), true).await.unwrap();
    assert_eq!(end(launched).await, Some(i32::from(EXIT_REFUSED)));
    let log = std::fs::read_to_string(gateway.path("log")).unwrap();
    assert!(log.contains("not in the manifest"), "{log}");
}

async fn a_launched_process_is_found_by_its_identity_until_it_has_ended() {
    let gateway = Gateway::new();
    let launched = launch(gateway.spec(0, 0)).await.unwrap();
    let identity = launched.identity.clone();
    let stored = serde_json::to_string(&identity).unwrap();
    let found = serde_json::from_str::<moorline_worker::process::ProcessIdentity>(&stored).unwrap().find().unwrap();
    assert!(found.unwrap().signal(Signal::Kill).unwrap());
    tokio::time::timeout(support::DEADLINE, launched.process.exited()).await.unwrap().unwrap();
    assert_eq!(end(launched).await, None);
    assert!(identity.find().unwrap().is_none());
}

macro_rules! run {
    ($filter:expr, $runtime:expr, $($check:ident)*) => {{
        let mut passed = 0;
        $(if stringify!($check).contains($filter) {
            $runtime.block_on(async {
                tokio::time::timeout(3 * support::DEADLINE, $check()).await.expect("took too long");
            });
            println!("test {} ... ok", stringify!($check));
            passed += 1;
        })*
        passed
    }};
}

/// A failed check panics, which ends the program with a status of its own.
fn checks() -> ExitCode {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let passed = run!(&filter, runtime,
        what_cannot_be_launched_is_named_with_the_remedy
        a_worker_inherits_only_what_it_is_given
        a_job_goes_on_over_several_gateways
        a_worker_without_a_gateway_ends_itself
        a_worker_that_is_sent_away_ends_itself
        a_launched_process_is_found_by_its_identity_until_it_has_ended
    );
    runtime.shutdown_timeout(Duration::from_secs(1));
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n");
    ExitCode::SUCCESS
}
