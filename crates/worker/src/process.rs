//! Processes that are known for certain (Linux).
//!
//! A process id names whoever has it at the moment. What is stored about a worker's process is therefore its identity:
//! the boot it belongs to and the inode of its pidfd, which the kernel gives out once per boot; on kernels without
//! such inodes (before 6.9) its start time has to do, which tells apart only processes more than 10 ms apart. A signal
//! goes through the pidfd and so to that process or to none.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which process, for as long as the machine runs. To be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: i32,
    /// Which boot of the machine.
    pub boot_id: String,
    /// The inode of its pidfd.
    pub inode: u64,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// A process that we have in hand.
#[derive(Debug)]
pub struct Process {
    identity: ProcessIdentity,
    pidfd: OwnedFd,
}

/// What can be sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: end in order.
    Terminate,
    /// `SIGKILL`: end.
    Kill,
}

/// Why a process could not be looked at. Says nothing about whether it lives.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The number is no process id.
    #[error("{pid} is no process id")]
    Pid {
        /// The number.
        pid: i32,
    },
    /// The kernel gave no handle.
    #[error("process {pid} could not be opened")]
    Open {
        /// Which.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What identifies it could not be read.
    #[error("the identity of process {pid} could not be read from {from}")]
    Identity {
        /// Which.
        pid: i32,
        /// Where it stands.
        from: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be signalled.
    #[error("process {pid} could not be signalled")]
    Signal {
        /// Which.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be watched.
    #[error("process {pid} could not be watched")]
    Watch {
        /// Which.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ProcessIdentity {
    /// The process, if it is still there; `None` if it is gone, and also if its id belongs to another by now.
    pub fn find(&self) -> Result<Option<Process>, ProcessError> {
        if boot_id(self.pid)? != self.boot_id {
            return Ok(None);
        }
        match Process::open(self.pid) {
            Ok(process) if process.identity == *self => Ok(Some(process)),
            Ok(_) => Ok(None),
            Err(ProcessError::Open { source, .. }) if is(&source, Errno::SRCH) => Ok(None),
            // It went away between opening and reading.
            Err(ProcessError::Identity { source, .. }) if is(&source, Errno::NOENT) || is(&source, Errno::SRCH) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Process {
    /// The process that has this id at the moment. For a child that has not been waited for.
    pub fn open(pid: i32) -> Result<Self, ProcessError> {
        let raw = Pid::from_raw(pid).ok_or(ProcessError::Pid { pid })?;
        // Non-blocking, so that the runtime can watch it.
        let pidfd =
            pidfd_open(raw, PidfdFlags::NONBLOCK).map_err(|error| ProcessError::Open { pid, source: error.into() })?;
        let inode = rustix::fs::fstat(&pidfd)
            .map_err(|error| ProcessError::Identity { pid, from: "its pidfd", source: error.into() })?
            .st_ino;
        let identity =
            ProcessIdentity { pid, boot_id: boot_id(pid)?, inode, start_ticks: stat_field(pid, START_TIME)? };
        Ok(Self { identity, pidfd })
    }

    /// Which process it is.
    pub const fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Sends it a signal. `false` if it is gone.
    pub fn signal(&self, signal: Signal) -> Result<bool, ProcessError> {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(ProcessError::Signal { pid: self.identity.pid, source: error.into() }),
        }
    }

    /// Returns when it has ended, whether it is our child or not. A child is not reaped by this.
    pub async fn exited(&self) -> Result<(), ProcessError> {
        let watch = |source| ProcessError::Watch { pid: self.identity.pid, source };
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, for the sake of types that close their descriptor early; a borrowed \
                      descriptor stays open"
        )]
        let pidfd = AsyncFd::with_interest(self.pidfd.as_fd(), Interest::READABLE).map_err(watch)?;
        pidfd.readable().await.map_err(watch)?.retain_ready();
        Ok(())
    }

    /// Kills whatever is left in the session that this process leads, itself excepted, and returns how many that were.
    ///
    /// A worker that was killed had no time to end its programs, and they would go on with work that its jobs' clients
    /// are told to submit again. Only for a process that was started as the leader of a session. A session's number is
    /// given to no other while anything is left in it, and if its leader's number belongs to another process by now,
    /// nothing was left and nothing is touched. What has made a session of its own is not found.
    pub fn kill_session(&self) -> Result<usize, ProcessError> {
        if self.number_was_given_away()? {
            return Ok(0);
        }
        let failed = |source| ProcessError::Identity { pid: self.identity.pid, from: "/proc", source };
        let mut killed = HashSet::new();
        loop {
            let before = killed.len();
            for entry in std::fs::read_dir("/proc").map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
                if !killed.contains(&pid) && self.kill_if_in_session(pid)? {
                    killed.insert(pid);
                }
            }
            // Somebody may have been started behind our back during a pass that killed its parent, never after.
            if killed.len() == before {
                return Ok(before);
            }
        }
    }

    /// Whether another process has this one's number by now.
    fn number_was_given_away(&self) -> Result<bool, ProcessError> {
        let Some(raw) = Pid::from_raw(self.identity.pid) else { return Ok(false) };
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(_) => Ok(Process::open(self.identity.pid).is_ok_and(|process| process.identity != self.identity)),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(ProcessError::Open { pid: self.identity.pid, source: error.into() }),
        }
    }

    fn kill_if_in_session(&self, pid: i32) -> Result<bool, ProcessError> {
        let Some(raw) = Pid::from_raw(pid).filter(|_| pid != self.identity.pid) else { return Ok(false) };
        // Opened before it is looked at: if the number changes hands in between, the signal reaches nobody.
        let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { return Ok(false) };
        // From /proc and not by getsid: for a process of another pid namespace that is 0, which rustix takes for a fault.
        if !stat_field::<i32>(pid, SESSION).is_ok_and(|session| session == self.identity.pid) {
            return Ok(false);
        }
        match pidfd_send_signal(&pidfd, rustix::process::Signal::KILL) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(ProcessError::Signal { pid, source: error.into() }),
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn boot_id(pid: i32) -> Result<String, ProcessError> {
    let from = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(from).map_err(|source| ProcessError::Identity { pid, from, source })?;
    Ok(text.trim().to_owned())
}

/// The number of the session's leader among the fields of `/proc/PID/stat`, counted as in proc(5).
const SESSION: usize = 6;
/// The start time, in clock ticks since boot.
const START_TIME: usize = 22;

/// A field of `/proc/PID/stat` after the second, which is the name, in parentheses, and may hold anything.
fn stat_field<T: FromStr>(pid: i32, field: usize) -> Result<T, ProcessError> {
    let from = "/proc/PID/stat";
    let failed = |source| ProcessError::Identity { pid, from, source };
    let stat = std::fs::read(format!("/proc/{pid}/stat")).map_err(failed)?;
    let stat = String::from_utf8_lossy(&stat);
    let after_name = stat.rsplit_once(')').map(|(_, fields)| fields);
    let value = after_name.and_then(|fields| fields.split_ascii_whitespace().nth(field - 3)?.parse().ok());
    value.ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

    use super::*;

    fn sleeper() -> tokio::process::Child {
        tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap()
    }

    fn pid_of(child: &tokio::process::Child) -> i32 {
        i32::try_from(child.id().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_identity_that_differs_in_anything_finds_nobody() {
        let child = sleeper();
        let identity = Process::open(pid_of(&child)).unwrap().identity().clone();
        assert!(identity.find().unwrap().is_some());
        for other in [
            ProcessIdentity { boot_id: "another".to_owned(), ..identity.clone() },
            ProcessIdentity { inode: identity.inode + 1, ..identity.clone() },
            ProcessIdentity { start_ticks: identity.start_ticks + 1, ..identity.clone() },
        ] {
            assert!(other.find().unwrap().is_none(), "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_was_reaped_is_gone_and_cannot_be_signalled() {
        let mut child = sleeper();
        let process = Process::open(pid_of(&child)).unwrap();
        assert!(process.signal(Signal::Kill).unwrap());
        process.exited().await.unwrap();
        child.wait().await.unwrap();
        assert!(!process.signal(Signal::Terminate).unwrap());
        assert!(process.identity().find().unwrap().is_none());
    }

    #[tokio::test]
    async fn what_a_killed_leader_leaves_in_its_session_is_killed_and_nobody_else() {
        let mut outsider = sleeper();
        let mut command = tokio::process::Command::new("setsid");
        command.args(["sh", "-c", "sleep 600 & sh -c 'sleep 600 & wait' & echo started; wait"]);
        let mut leader = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(leader.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
        let process = Process::open(pid_of(&leader)).unwrap();
        process.signal(Signal::Kill).unwrap();
        process.exited().await.unwrap();
        let killed = process.kill_session().unwrap();
        assert!((2..=3).contains(&killed), "the second sleeper may not have been started yet: {killed}");
        assert!(outsider.try_wait().unwrap().is_none(), "another session is left alone");
        // All that held the output is gone.
        let mut rest = Vec::new();
        leader.stdout.take().unwrap().read_to_end(&mut rest).await.unwrap();
        leader.wait().await.unwrap();
        assert!(process.identity().find().unwrap().is_none());
    }

    #[test]
    fn what_is_no_process_id_is_refused() {
        for pid in [0, i32::MAX] {
            assert!(Process::open(pid).is_err(), "{pid}");
        }
    }
}
