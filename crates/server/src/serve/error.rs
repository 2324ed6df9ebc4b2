//! What keeps a gateway from starting.

use std::io;
use std::path::PathBuf;

use moorline_runtime::gateway::RecoverJobsError;
use moorline_runtime::mint::NoEntropy;
use moorline_runtime::workers::{GenerationError, OpenDoorError, RecoverExternalError, RecoverWorkersError};
use moorline_store_sqlite::OpenError;
use moorline_types::{AgentRefError, ResolvedAgent};

use crate::data_dir::DataDirError;
use crate::grpc::ListenGrpcError;
use crate::http::ListenError;
use crate::jwt::JwtError;
use crate::key_store::KeyStoreError;
use crate::otlp::OtlpError;
use crate::provision::ProvisionError;
use crate::tls::TlsError;
use crate::worker_listener::ListenForWorkersError;

/// What keeps a gateway from starting. The texts name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Tokens cannot be checked.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Spans cannot be exported.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The journal does not say which start this is.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// Credentials for upstreams cannot be issued.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The machine gives no randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The jobs of the last run cannot be read.
    #[error(transparent)]
    Recover(#[from] RecoverJobsError),
    /// The workers of the last run cannot be taken over.
    #[error(transparent)]
    Workers(#[from] RecoverWorkersError),
    /// The workers of other machines that were there in the last run cannot be awaited.
    #[error(transparent)]
    ExternalWorkers(#[from] RecoverExternalError),
    /// The address for workers of other machines cannot be listened on.
    #[error(transparent)]
    ListenForWorkers(#[from] ListenForWorkersError),
    /// The address of the session gateway cannot be listened on.
    #[error(transparent)]
    ListenGrpc(#[from] ListenGrpcError),
    /// Workers cannot attach.
    #[error(transparent)]
    WorkerDoor(#[from] OpenDoorError),
    /// An agent is configured that is shipped too.
    #[error(
        "agent {agent} is both in the configuration file and shipped; leave the shipped one out with --builtin-agents, or give yours another version"
    )]
    AgentTwice {
        /// The agent.
        agent: ResolvedAgent,
    },
    /// A shipped agent has no valid name.
    #[error("a shipped agent cannot be named")]
    AgentName(#[from] AgentRefError),
    /// A worker cannot be told what it hosts.
    #[error("the configuration of an agent cannot be handed to its worker")]
    Assignment(#[source] serde_json::Error),
    /// An agent gets no directory to write in.
    #[error("the directory {} cannot be made; check the data directory's permissions and free space", path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
