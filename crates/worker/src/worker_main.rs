//! The life of a worker process.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::connect::{Chain, Contact, Dial, Ended, Identity, Stop, UnixDial, Worker, orphan_lifetime};
use crate::handover;
use crate::launch::{Assignment, AssignmentError, AssignmentKind};
use crate::limits::SIGNAL_GRACE;
use crate::message::GoodbyeReason;
use crate::sdk::Agent;

/// Exit code: the worker ended in order.
pub const EXIT_OK: u8 = 0;
/// Exit code: there is no assignment to read. A worker is started by a gateway.
pub const EXIT_NO_ASSIGNMENT: u8 = 64;
/// Exit code: the process could not be set up.
pub const EXIT_SETUP: u8 = 70;
/// Exit code: the worker heard from no gateway for its orphan lifetime.
pub const EXIT_ORPHANED: u8 = 75;
/// Exit code: the gateway sent the worker away.
pub const EXIT_REFUSED: u8 = 77;
/// Exit code: what is to be hosted cannot be hosted.
pub const EXIT_AGENTS: u8 = 78;

/// How much later than the orphan lifetime the watchdog ends the process: time for the orderly way.
const WATCHDOG_SLACK: Duration = Duration::from_secs(30);

/// What is said of agents that a worker cannot have at once.
const NOT_TOGETHER: &str = "these agents cannot be hosted together";

/// How often the watchdog looks.
const WATCHDOG_PERIOD: Duration = Duration::from_secs(5);

/// The body of a worker program's `main`: reads the assignment, makes the agents it asks for, and works until the
/// worker ends. `SIGTERM` and `SIGINT` end it in order, `SIGHUP` does nothing. It logs to standard error, which the
/// gateway has pointed at the worker's log; `RUST_LOG` chooses what.
///
/// To be called first thing in `main`, before anything opens a descriptor or starts a thread.
pub fn worker_main<E: Error + 'static>(
    agents: impl FnOnce(&AssignmentKind) -> Result<Vec<Arc<dyn Agent>>, E>,
) -> ExitCode {
    let assignment = handover::take_assignment().map_err(AssignmentError::Read).and_then(Assignment::read);
    log_to_stderr();
    ExitCode::from(match assignment {
        Err(error) => fail(EXIT_NO_ASSIGNMENT, "there is no assignment", &error),
        Ok(assignment) => match agents(&assignment.spec) {
            Err(error) => fail(EXIT_AGENTS, "what the assignment asks for cannot be hosted", &error),
            Ok(agents) => work(assignment, agents),
        },
    })
}

/// The body of the `main` of a worker that no gateway has started: one that was enrolled, on another machine. It ends,
/// is signalled and logs like [`worker_main`]'s. Reports that do not fit into memory are kept in `outbox`.
pub fn external_worker_main<D: Dial + 'static>(
    identity: Identity,
    dial: D,
    agents: Vec<Arc<dyn Agent>>,
    outbox: PathBuf,
) -> ExitCode {
    log_to_stderr();
    let lifetime = identity.orphan_lifetime;
    ExitCode::from(match Worker::new(identity, dial, agents) {
        Ok(worker) => host(worker.patient().with_outbox(outbox), lifetime),
        Err(error) => fail(EXIT_AGENTS, NOT_TOGETHER, &error),
    })
}

/// Logs to standard error, unless the program has installed a subscriber of its own.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init()
        .unwrap_or_default();
}

fn work(assignment: Assignment, agents: Vec<Arc<dyn Agent>>) -> u8 {
    let lifetime = orphan_lifetime(assignment.orphan_lifetime_ms);
    let identity = Identity { worker: assignment.worker_id, key: assignment.secret.key(), orphan_lifetime: lifetime };
    match Worker::new(identity, UnixDial { path: assignment.socket }, agents) {
        Ok(worker) => match assignment.outbox {
            Some(directory) => host(worker.with_outbox(directory), lifetime),
            None => host(worker, lifetime),
        },
        Err(error) => fail(EXIT_AGENTS, NOT_TOGETHER, &error),
    }
}

fn host<D: Dial + 'static>(worker: Worker<D>, lifetime: Duration) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(EXIT_SETUP, "the runtime could not be started", &error),
    };
    if let Err(error) = watch(worker.contact(), lifetime) {
        return fail(EXIT_SETUP, "the watchdog could not be started", &error);
    }
    let ended = runtime.block_on(run(worker));
    // Blocking work of agents is not waited for.
    runtime.shutdown_background();
    match ended {
        Err(error) => fail(EXIT_SETUP, "signals cannot be received", &error),
        Ok(ended) => exit_code(&ended),
    }
}

async fn run<D: Dial>(worker: Worker<D>) -> std::io::Result<Ended> {
    let stop = Stop::default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let asked = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => continue,
            }
            stop.request(GoodbyeReason::Signal, SIGNAL_GRACE.into());
        }
    };
    tokio::select! {
        ended = worker.run(stop.clone()) => Ok(ended),
        () = asked => Ok(Ended::Left(GoodbyeReason::Signal)),
    }
}

fn exit_code(ended: &Ended) -> u8 {
    match ended {
        Ended::Left(reason) => {
            tracing::info!(%reason, "ended");
            EXIT_OK
        }
        Ended::Refused { reason } => {
            tracing::error!(%reason, "the gateway has sent this worker away");
            EXIT_REFUSED
        }
        Ended::Orphaned => {
            tracing::error!("no gateway was heard for too long");
            EXIT_ORPHANED
        }
    }
}

/// Ends the process when it has outlived its orphan lifetime without the runtime noticing: an agent that blocks every
/// thread must not keep a worker alive that nobody can reach.
fn watch(contact: Arc<Contact>, lifetime: Duration) -> std::io::Result<()> {
    let limit = lifetime.saturating_add(WATCHDOG_SLACK);
    let watchdog = move || {
        while contact.machine_age() < limit {
            std::thread::sleep(WATCHDOG_PERIOD);
        }
        tracing::error!("no gateway was heard for too long, and the agents hold up the orderly end");
        std::process::exit(i32::from(EXIT_ORPHANED));
    };
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(watchdog).map(|_| ())
}

fn fail(code: u8, what: &str, error: &(dyn Error + 'static)) -> u8 {
    tracing::error!(error = %Chain(error), "{what}");
    code
}
