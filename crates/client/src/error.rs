//! What can go wrong, by boundary: connecting, a call, the connection's end.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::{EventSeq, Json};
use moorline_wire::payload::{JobError, SessionError};
use moorline_wire::{DecodeError, ErrorCode, JobRef, MessageType, Received};

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// A part of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reaching the host.
    Connect,
    /// TLS and the WebSocket upgrade.
    Upgrade,
    /// From the hello to the welcome.
    Welcome,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "reaching the host",
            Self::Upgrade => "the WebSocket upgrade",
            Self::Welcome => "the welcome",
        })
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("{url:?} is not a URL such as ws://127.0.0.1:7777/arcp")]
    Url {
        /// The address as given.
        url: String,
    },
    /// The address has another scheme.
    #[error("{url:?} must begin with ws:// or wss://")]
    Scheme {
        /// The address as given.
        url: String,
    },
    /// The extra roots cannot be used.
    #[error("the extra root certificates cannot be used; give them in PEM, as -----BEGIN CERTIFICATE-----")]
    Roots {
        /// What is wrong with them; nothing if there is none in the text.
        #[source]
        source: Option<Source>,
    },
    /// The client's certificate or its key cannot be used.
    #[error("the client certificate cannot be used; give it and the key that it was made with, both in PEM")]
    Certificate {
        /// What is wrong.
        #[source]
        source: Source,
    },
    /// A certificate is to be shown where there is no TLS.
    #[error("a client certificate is shown over TLS only: {url:?} must begin with wss://")]
    CertificateWithoutTls {
        /// The address as given.
        url: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Entropy,
    /// The host cannot be reached.
    #[error("cannot reach {host}:{port}; is the runtime running there?")]
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error("no secure connection; if the runtime has a private certificate, give its root certificate")]
    Tls {
        /// Why.
        #[source]
        source: Source,
    },
    /// The host answered with HTTP and not with a WebSocket.
    #[error("the host answers with HTTP status {status}, not with a WebSocket; check the URL's path")]
    NotWebSocket {
        /// The status.
        status: u16,
    },
    /// The upgrade failed in another way.
    #[error("the WebSocket upgrade failed")]
    Upgrade {
        /// Why.
        #[source]
        source: Source,
    },
    /// It took too long.
    #[error("{stage} took longer than {after:?}")]
    Timeout {
        /// What did.
        stage: Stage,
        /// How long was waited for the whole.
        after: Duration,
    },
    /// The runtime refused the session.
    #[error("the runtime refuses the session: {0}")]
    Rejected(Refused),
    /// The runtime began with another message.
    #[error("the runtime answered session.hello with {found} and not with session.welcome")]
    Unexpected {
        /// What it sent.
        found: MessageType,
    },
    /// The runtime's answer cannot be read.
    #[error("the runtime's answer to session.hello cannot be read")]
    Unreadable(#[source] DecodeError),
    /// The connection ended before the welcome.
    #[error("the connection ended before the welcome: {0}")]
    Ended(Ended),
}

/// A runtime's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why, for programs.
    pub code: Received<ErrorCode>,
    /// Why, for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// What a program may want to know.
    pub details: Option<Json>,
    /// When to ask again, if the runtime said.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One official runtime puts the code in front of the message itself.
        let code = self.code.as_str();
        let message =
            self.message.strip_prefix(code).map_or(self.message.as_str(), |rest| rest.trim_start_matches(": "));
        if message.is_empty() { f.write_str(code) } else { write!(f, "{message} ({code})") }
    }
}

impl From<SessionError> for Refused {
    fn from(error: SessionError) -> Self {
        Self {
            code: error.code().clone(),
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
            details: error.details,
            retry_after: None,
        }
    }
}

impl From<JobError> for Refused {
    fn from(error: JobError) -> Self {
        Self {
            code: error.code().clone(),
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
            details: error.details,
            retry_after: None,
        }
    }
}

/// Why a call has no answer, or another than hoped for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The runtime refused.
    #[error("{0}")]
    Refused(Refused),
    /// The runtime's answer cannot be read.
    #[error("the runtime's answer cannot be read")]
    Unreadable(#[source] DecodeError),
    /// The request is larger than runtimes accept. It was not sent.
    #[error("the request has {bytes} bytes; at most {max_bytes} can be sent, so pass large input by reference")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max_bytes: usize,
    },
    /// There is an open handle of the job already, and a second would see the first one's history again.
    #[error("job {job} is being watched by this client already")]
    AlreadyWatched {
        /// The job.
        job: JobRef,
    },
    /// More jobs are open than one session may watch.
    #[error("{max} jobs are open, which is the limit; wait for one to end")]
    TooManyJobs {
        /// The limit.
        max: usize,
    },
    /// The runtime sent more history than can be held before it confirmed the subscription.
    #[error("job {job} has too long a history for this runtime's order of messages; subscribe without history")]
    HistoryTooLong {
        /// The job.
        job: JobRef,
    },
    /// No answer came in time. Whether the request was carried out is not known.
    #[error("no answer within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The connection was lost before the answer, and the request cannot be sent again: it has no idempotency key, so
    /// it might be carried out twice.
    #[error("the connection was lost before the answer ({cause}); the job may exist, `session.list_jobs` tells")]
    ConnectionLost {
        /// Why it was lost.
        cause: Ended,
        /// Whether the runtime may have accepted the request.
        maybe_accepted: bool,
    },
    /// The connection is over. Whether the request was carried out is not known.
    #[error("{0}")]
    Disconnected(Ended),
}

/// Why a connection is over.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Ended {
    /// This side closed it.
    #[error("the connection was closed by this client")]
    ByClient,
    /// The runtime closed it.
    #[error("the runtime closed the connection{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    ByRuntime {
        /// Why, if it said.
        reason: Option<String>,
    },
    /// Nothing was heard of the runtime.
    #[error("nothing was heard of the runtime for {after:?}")]
    HeartbeatLost {
        /// For how long.
        after: Duration,
    },
    /// The transport ended without a word.
    #[error("the connection was lost")]
    Lost,
    /// Messages of the session are missing, so it was resumed from where they are.
    #[error("messages {from} to {to} of the session did not arrive")]
    Incomplete {
        /// The first that is missing.
        from: EventSeq,
        /// The last.
        to: EventSeq,
    },
    /// The connection was lost, and there is no way back.
    #[error("{cause}; no other connection could be made: {source}")]
    Unreachable {
        /// Why it was lost.
        cause: Box<Ended>,
        /// Why there is no other.
        #[source]
        source: Arc<ConnectError>,
    },
    /// The runtime does not show this job any longer.
    #[error("the job cannot be watched any longer: {0}")]
    JobUnavailable(Refused),
    /// The transport failed.
    #[error("the connection failed: {source}")]
    Transport {
        /// How.
        #[source]
        source: Source,
    },
}
