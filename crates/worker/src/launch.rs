//! Starting a worker process that outlives the gateway.
//!
//! The process leads its own session, writes to a file, inherits a short list of variables and no descriptor but one:
//! a pipe that carries its [`Assignment`], which it reads to the end and closes. Nothing of the assignment is in its
//! arguments or its environment, where others could read it. It depends on no descriptor of the gateway, is not killed
//! when the gateway ends, and is not killed when [`Launched`] is dropped.

mod assignment;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub use assignment::{Assignment, AssignmentError, AssignmentKind};

use crate::process::{Process, ProcessError, ProcessIdentity};
use crate::program::{self, ProgramError};
use crate::{environment, handover};

/// How long a worker may take to read its assignment: it does so before anything else.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// The worker's program. A name without a slash is searched for in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables beside the inherited ones. Secrets do not belong here: they can be read from outside.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Where its output is appended. Created readable for its owner only.
    pub log_path: PathBuf,
    /// What it is to do.
    pub assignment: Assignment,
}

/// A worker that was started. Await [`Child::wait`] on `child`, so that it is reaped.
#[derive(Debug)]
pub struct Launched {
    /// Which process it is, to be stored at once.
    pub identity: ProcessIdentity,
    /// The process in hand.
    pub process: Process,
    /// The same as a child.
    pub child: Child,
}

/// Why no worker was started. Whatever was begun has been undone.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no such program.
    #[error("the worker's program cannot be started")]
    Program(#[source] ProgramError),
    /// The working directory is none.
    #[error("the worker's working directory {} is no directory that can be entered: create it", path.display())]
    Cwd {
        /// Where it should be.
        path: PathBuf,
    },
    /// The log cannot be written.
    #[error("the worker's log {} cannot be opened: create its directory and make it writable", path.display())]
    Log {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The assignment cannot be handed over.
    #[error("the worker's assignment cannot be written")]
    Assignment(#[source] AssignmentError),
    /// No pipe could be made.
    #[error("no pipe could be made for the worker's assignment")]
    Pipe(#[source] io::Error),
    /// The process could not be started.
    #[error("{} could not be started", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The process was started, but could not be identified; it was killed.
    #[error("the worker's process could not be identified")]
    Identity(#[source] ProcessError),
    /// The process was started, but had ended already.
    #[error("{} ended at once; its log {} says why", program.display(), log.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// The process did not read its assignment; it was killed.
    #[error("{} did not read its assignment from descriptor 3: is it a Moorline worker?", program.display())]
    Handover {
        /// The program.
        program: PathBuf,
        /// Why; absent if it took too long.
        #[source]
        source: Option<io::Error>,
    },
}

/// Starts a worker and hands its assignment over. Store the intent to start it before, and its identity after.
pub async fn launch(spec: LaunchSpec) -> Result<Launched, LaunchError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = program::find(spec.program.as_os_str(), &path, &spec.cwd).map_err(LaunchError::Program)?;
    if !spec.cwd.is_dir() {
        return Err(LaunchError::Cwd { path: spec.cwd });
    }
    let assignment = spec.assignment.encode().map_err(LaunchError::Assignment)?;
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| LaunchError::Pipe(error.into()))?;
    let mut child = {
        let mut command = command(&program, &spec)?;
        handover::detach(&mut command, theirs.as_fd());
        command.spawn().map_err(|source| LaunchError::Spawn { program: program.clone(), source })?
    };
    drop(theirs);
    let handed_over = hand_over(ours, &assignment).await;
    let process = identify(&mut child, &program, &spec.log_path).await?;
    if let Err(source) = handed_over {
        let ended = matches!(child.try_wait(), Ok(Some(_)));
        kill(&mut child).await;
        return Err(if ended {
            LaunchError::Ended { program, log: spec.log_path }
        } else {
            LaunchError::Handover { program, source }
        });
    }
    Ok(Launched { identity: process.identity().clone(), process, child })
}

fn command(program: &Path, spec: &LaunchSpec) -> Result<Command, LaunchError> {
    let failed = |source| LaunchError::Log { path: spec.log_path.clone(), source };
    let log = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&spec.log_path).map_err(failed)?;
    let mut command = Command::new(program);
    command
        .args(&spec.args)
        .env_clear()
        .envs(environment::inherited())
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&spec.cwd)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log);
    Ok(command)
}

async fn hand_over(pipe: std::os::fd::OwnedFd, assignment: &[u8]) -> Result<(), Option<io::Error>> {
    let write = async {
        rustix::io::ioctl_fionbio(&pipe, true).map_err(io::Error::from)?;
        pipe::Sender::from_owned_fd(pipe)?.write_all(assignment).await
    };
    timeout(HANDOVER_DEADLINE, write).await.map_err(|_| None)?.map_err(Some)
}

async fn identify(child: &mut Child, program: &Path, log: &Path) -> Result<Process, LaunchError> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid else {
        return Err(LaunchError::Ended { program: program.to_owned(), log: log.to_owned() });
    };
    match Process::open(pid) {
        Ok(process) => Ok(process),
        Err(error) => {
            kill(child).await;
            Err(LaunchError::Identity(error))
        }
    }
}

/// Ends and reaps a child of ours that is of no use.
async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "a worker that could not be launched could not be killed either");
    }
}
