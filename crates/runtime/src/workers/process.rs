//! Watching a worker's process, whether it is our child or not, and ending it.

use std::time::Duration;

use moorline_core::job::Lost;
use moorline_types::WorkerId;
use moorline_worker::process::{Process, Signal};
use tokio::sync::watch;

use super::crew::Crew;
use super::manifest::Entry;

/// How long a worker has to leave after it was told to over its link, and then after a SIGTERM.
const LEAVE_GRACE: Duration = Duration::from_secs(3);

/// How long the process of a worker that is away has to end when the gateway stops and leaves workers alone. What is
/// on its way out needs milliseconds, also on a busy machine; what is away and stays costs the stop no more than this.
const ENDING_GRACE: Duration = Duration::from_millis(200);

/// What became of a worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is gone, with all that it had started.
    Gone,
    /// The gateway stops, and it goes on.
    LeftAlone,
}

/// Watches a worker until it is gone or the gateway stops. One that is away for longer than the adoption window is
/// ended: its jobs are told to be submitted again, and it must not go on with them.
pub(super) async fn watch(
    crew: &Crew,
    worker: WorkerId,
    entry: &Entry,
    process: &Process,
    mut attachment: watch::Receiver<bool>,
) -> Fate {
    let shared = &crew.0;
    let window = shared.options.adoption_window;
    let kill = shared.kills.watch(worker);
    let mut is_killed = false;
    let lost = loop {
        let is_away = !*attachment.borrow_and_update();
        tokio::select! {
            // In this order: what has ended is not left alone, also if the gateway stops in the same moment.
            biased;
            // Watched without reaping it, so that its session can still be told by its number.
            ended = process.exited() => {
                if let Err(error) = ended {
                    tracing::error!(%worker, %error, "the worker's end cannot be told from its process");
                    end(worker, process).await;
                }
                break Lost::Ended;
            }
            () = kill.cancelled(), if !is_killed => {
                is_killed = true;
                if let Err(error) = process.signal(Signal::Kill) {
                    tracing::error!(%worker, %error, "the worker cannot be killed");
                }
            }
            () = shared.tasks.stopping().cancelled() => {
                if shared.door.pool().is_ending_workers() {
                    see_off(worker, process).await;
                } else if !((is_away || is_killed) && is_ending(process).await) {
                    return Fate::LeftAlone;
                }
                break Lost::Ended;
            }
            // After the stop, which ends the links of those that are left alone: they are not away for it.
            changed = attachment.changed() => if changed.is_err() { break Lost::Ended },
            () = tokio::time::sleep(window), if is_away => {
                tracing::error!(%worker, ?window, "the worker did not come back; it is ended");
                end(worker, process).await;
                break Lost::Away;
            }
        }
    };
    shared.kills.forget(worker);
    kill_rest(worker, process);
    crew.bury(worker, entry, lost).await;
    Fate::Gone
}

/// Waits for a worker that was told to leave, and makes it if it does not.
async fn see_off(worker: WorkerId, process: &Process) {
    if tokio::time::timeout(LEAVE_GRACE, process.exited()).await.is_err() {
        tracing::warn!(%worker, "the worker has not left by itself");
        end(worker, process).await;
    }
}

/// Whether a worker whose link has ended is about to end too. One that was told to leave, or was killed, has a link that
/// ends before its process does, and it would be found as one that ended while no gateway was there.
async fn is_ending(process: &Process) -> bool {
    tokio::time::timeout(ENDING_GRACE, process.exited()).await.is_ok()
}

/// Ends a process and all that it has started.
pub(super) async fn end(worker: WorkerId, process: &Process) {
    for signal in [Signal::Terminate, Signal::Kill] {
        if let Err(error) = process.signal(signal) {
            tracing::error!(%worker, %error, "the worker cannot be signalled");
        }
        if tokio::time::timeout(LEAVE_GRACE, process.exited()).await.is_ok() {
            break;
        }
        tracing::warn!(%worker, ?signal, "the worker has not ended");
    }
    kill_rest(worker, process);
}

/// Kills what a worker that has ended has left running.
fn kill_rest(worker: WorkerId, process: &Process) {
    match process.kill_session() {
        Ok(0) => {}
        Ok(left) => tracing::warn!(%worker, left, "processes that the worker has left running were killed"),
        Err(error) => tracing::error!(%worker, %error, "what the worker has left running cannot be ended"),
    }
}
