//! What a worker is told when it is started.

use std::io::{self, Read};
use std::path::PathBuf;

use moorline_types::{Millis, WorkerId};
use serde::{Deserialize, Serialize};

use crate::limits::MAX_ASSIGNMENT_BYTES;
use crate::secret::WorkerSecret;

/// See the module's documentation. Travels as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The gateway's socket.
    pub socket: PathBuf,
    /// Who the worker is.
    pub worker_id: WorkerId,
    /// How it proves that.
    pub secret: WorkerSecret,
    /// How long it lives without a gateway; zero for the usual.
    pub orphan_lifetime_ms: Millis,
    /// A directory of its own for reports that do not fit into memory while no gateway is there; without one its agents
    /// wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outbox: Option<PathBuf>,
    /// What it is to host.
    pub spec: AssignmentKind,
}

/// What a worker is to host, in the words of whoever wrote the worker's program. Opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssignmentKind(pub serde_json::Value);

/// Why an assignment cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// It is too large.
    #[error("an assignment has at most {MAX_ASSIGNMENT_BYTES} bytes: let it name a file instead")]
    TooLarge,
    /// It is not JSON of the right form.
    #[error("the assignment is not the JSON that a worker is given")]
    Json(#[source] serde_json::Error),
    /// It could not be read.
    #[error("the assignment could not be read from descriptor 3: a worker is started by the gateway, not by hand")]
    Read(#[source] io::Error),
}

impl Assignment {
    pub(super) fn encode(&self) -> Result<Vec<u8>, AssignmentError> {
        let bytes = serde_json::to_vec(self).map_err(AssignmentError::Json)?;
        if bytes.len() > MAX_ASSIGNMENT_BYTES { Err(AssignmentError::TooLarge) } else { Ok(bytes) }
    }

    /// Reads an assignment to the end of `source`.
    pub fn read(source: impl Read) -> Result<Self, AssignmentError> {
        let mut bytes = Vec::new();
        let bound = MAX_ASSIGNMENT_BYTES as u64 + 1;
        source.take(bound).read_to_end(&mut bytes).map_err(AssignmentError::Read)?;
        if bytes.len() > MAX_ASSIGNMENT_BYTES {
            return Err(AssignmentError::TooLarge);
        }
        serde_json::from_slice(&bytes).map_err(AssignmentError::Json)
    }
}
