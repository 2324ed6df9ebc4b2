//! What the process's exit code says.

use std::process::ExitCode;

use moorline_client::wire::FinalStatus;
use moorline_client::{CallError, ConnectError, Ended};
use moorline_server::StartError;
use moorline_server::config::Mistakes;
use moorline_server::data_dir::DataDirError;

/// The exit codes. They are part of the interface: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done; a job that was followed succeeded.
    Success = 0,
    /// The job that was followed ended with an error.
    JobError = 1,
    /// The command line makes no sense. (Also what the argument parser exits with.)
    Usage = 2,
    /// The job that was followed was cancelled.
    JobCancelled = 3,
    /// The job that was followed ran for too long.
    JobTimedOut = 4,
    /// The gateway refused the request.
    Refused = 5,
    /// No gateway could be reached, or the connection was lost for good.
    Unreachable = 6,
    /// The gateway cannot listen on its address.
    Unavailable = 69,
    /// Something that should not happen did.
    Internal = 70,
    /// The data directory cannot be used.
    DataDir = 73,
    /// Another gateway has the data directory.
    Locked = 75,
    /// The configuration is wrong.
    Config = 78,
    /// Interrupted before the end: by a signal, in a demo by the second one, or because nobody reads the output.
    Interrupted = 130,
}

/// For `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done; a job that was followed succeeded
    1  the job ended with an error
    2  the command line makes no sense
    3  the job was cancelled
    4  the job ran for too long
    5  the gateway refused the request
    6  no gateway could be reached, or the connection was lost for good
   69  the gateway cannot listen on its address
   70  something that should not happen did
   73  the data directory cannot be used
   75  another gateway has the data directory
   78  the configuration is wrong
  130  interrupted before the end: by Ctrl-C (a demo: the second one), or as nobody reads the output";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What an error that ends a command is to a script.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if let Some(Stop(exit)) = error.downcast_ref() {
            return *exit;
        }
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Internal)
    }

    fn of_cause(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if error.downcast_ref::<Mistakes>().is_some() {
            return Some(Self::Config);
        }
        if let Some(error) = error.downcast_ref::<StartError>() {
            return Some(Self::of_start(error));
        }
        match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Rejected(_)) => return Some(Self::Refused),
            Some(ConnectError::Certificate { .. } | ConnectError::CertificateWithoutTls { .. }) => {
                return Some(Self::Usage);
            }
            Some(_) => return Some(Self::Unreachable),
            None => {}
        }
        match error.downcast_ref::<CallError>() {
            Some(CallError::Refused(_)) => return Some(Self::Refused),
            Some(_) => return Some(Self::Unreachable),
            None => {}
        }
        if let Some(exit) = Self::of_session(error) {
            return Some(exit);
        }
        match error.downcast_ref::<Ended>()? {
            Ended::JobUnavailable(_) => Some(Self::Refused),
            Ended::ByClient
            | Ended::ByRuntime { .. }
            | Ended::HeartbeatLost { .. }
            | Ended::Lost
            | Ended::Incomplete { .. }
            | Ended::Unreachable { .. }
            | Ended::Transport { .. } => Some(Self::Unreachable),
        }
    }

    /// Of what concerns gateway sessions.
    fn of_session(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        use moorline_gateway_client::{CallError, ConnectError, Lost};

        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return Some(match error {
                ConnectError::Unreachable { .. } => Self::Unreachable,
                ConnectError::Entropy => Self::Internal,
                ConnectError::Url { .. } | ConnectError::Key | ConnectError::Roots | ConnectError::Tls { .. } | _ => {
                    Self::Usage
                }
            });
        }
        Some(match error.downcast_ref::<CallError>()? {
            CallError::Refused(_)
            | CallError::Failed(_)
            | CallError::OutcomeUnknown { cause: Lost::Unanswered(_), .. } => Self::Refused,
            CallError::Unreachable(_) | CallError::OutcomeUnknown { .. } => Self::Unreachable,
            CallError::Unreadable { .. } | _ => Self::Internal,
        })
    }

    const fn of_start(error: &StartError) -> Self {
        match error {
            StartError::DataDir(DataDirError::InUse { .. }) => Self::Locked,
            StartError::DataDir(_) | StartError::Store(_) | StartError::Scratch { .. } => Self::DataDir,
            StartError::Listen(_) | StartError::ListenForWorkers(_) | StartError::ListenGrpc(_) => Self::Unavailable,
            StartError::Tls(_)
            | StartError::Jwt(_)
            | StartError::Provision(_)
            | StartError::Otlp(_)
            | StartError::AgentTwice { .. } => Self::Config,
            StartError::Generation(_)
            | StartError::Keys(_)
            | StartError::Entropy(_)
            | StartError::Recover(_)
            | StartError::Workers(_)
            | StartError::ExternalWorkers(_)
            | StartError::WorkerDoor(_)
            | StartError::AgentName(_)
            | StartError::Assignment(_) => Self::Internal,
        }
    }
}

/// How a job ended, to a script.
pub(crate) const fn exit_of(status: Option<FinalStatus>) -> Exit {
    match status {
        Some(FinalStatus::Success) => Exit::Success,
        Some(FinalStatus::Cancelled) => Exit::JobCancelled,
        Some(FinalStatus::TimedOut) => Exit::JobTimedOut,
        Some(FinalStatus::Error) | None => Exit::JobError,
    }
}

/// Says which exit code an error has, as a context of it that adds no words.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("")]
pub(crate) struct Stop(pub(crate) Exit);
