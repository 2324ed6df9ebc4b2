//! A program and everything that it starts.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdout};

use crate::process::{Process, ProcessError};

/// A process group whose leader is our child. Dropping it kills the group.
///
/// The group's number is the leader's process id, and stays taken until the leader is reaped. So the leader's end is
/// watched without reaping it, the group is killed, and only then is it reaped: a signal never hits a group that was
/// given the same number later.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    process: Process,
    id: Pid,
    reaped: bool,
}

impl Group {
    /// The group that `leader` was started as the first of.
    pub(super) fn lead_by(leader: Child) -> io::Result<Self> {
        let pid = leader.id().and_then(|id| i32::try_from(id).ok()).ok_or(io::ErrorKind::NotFound)?;
        let id = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        match Process::open(pid) {
            Ok(process) => Ok(Self { leader, process, id, reaped: false }),
            Err(error) => {
                signal(id, Signal::KILL);
                Err(io::Error::other(error))
            }
        }
    }

    pub(super) fn take_output(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        Some((self.leader.stdout.take()?, self.leader.stderr.take()?))
    }

    /// Returns when the leader has ended.
    pub(super) async fn exited(&self) -> io::Result<()> {
        self.process.exited().await.map_err(|error: ProcessError| io::Error::other(error))
    }

    /// Asks all of it to end.
    pub(super) fn terminate(&self) {
        if !self.reaped {
            signal(self.id, Signal::TERM);
        }
    }

    /// Ends all of it.
    pub(super) fn kill(&self) {
        if !self.reaped {
            signal(self.id, Signal::KILL);
        }
    }

    /// How the leader has ended. After this the group is not ours to signal.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.reaped = true;
        self.leader.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A group without members is what was wanted.
fn signal(id: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(id, signal) {
        tracing::trace!(%error, group = %id.as_raw_nonzero(), "a process group could not be signalled");
    }
}
