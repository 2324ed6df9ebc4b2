//! Why a call has not done what it was to do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moorline_gateway_proto::ERROR_INFO_KEY;
use moorline_gateway_proto::v1::{self, ErrorCode, ErrorInfo};
use prost::Message as _;
use tonic::{Code, Status};

use crate::command::CommandId;

/// Why a call has not done what it was to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The gateway has refused: nothing was done.
    #[error("{0}")]
    Refused(Refused),
    /// The back end was asked and has not done it.
    #[error("{0}")]
    Failed(Failure),
    /// It may have been done, and may yet be.
    #[error("{cause}; whether it was carried out is not known{}", remedy(.command.as_ref()))]
    OutcomeUnknown {
        /// The command's name: asking again under it does not repeat it. None for what has no name.
        command: Option<CommandId>,
        /// Why there is no answer.
        cause: Lost,
    },
    /// There was no connection for as long as one was sought. Nothing was asked for, or only to look.
    #[error("{0}")]
    Unreachable(Lost),
    /// The gateway has answered, but not with what the call is answered with: it is of another version.
    #[error("the gateway's answer has no {missing}; it is of another version than this client")]
    Unreadable {
        /// What is not there.
        missing: &'static str,
    },
}

fn remedy(command: Option<&CommandId>) -> String {
    command.map_or_else(String::new, |command| format!("; ask again as command {command}, which does not repeat it"))
}

impl CallError {
    /// The gRPC code, if there was an answer or what stands for one.
    pub const fn code(&self) -> Code {
        match self {
            Self::Refused(refused) => refused.code,
            Self::Failed(_) => Code::FailedPrecondition,
            Self::OutcomeUnknown { cause, .. } | Self::Unreachable(cause) => cause.code(),
            Self::Unreadable { .. } => Code::Internal,
        }
    }

    /// What the gateway has said of its refusal.
    pub const fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::OutcomeUnknown { cause, .. } | Self::Unreachable(cause) => cause.refused(),
            Self::Failed(_) | Self::Unreadable { .. } => None,
        }
    }

    /// Why, as the API numbers it; [`ErrorCode::Unspecified`] if the gateway has not said.
    pub const fn reason(&self) -> ErrorCode {
        match self.refused() {
            Some(refused) => refused.reason,
            None => ErrorCode::Unspecified,
        }
    }
}

/// A refusal of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The gRPC code.
    pub code: Code,
    /// Why, for programs; [`ErrorCode::Unspecified`] if it was not the gateway that refused but something before it.
    pub reason: ErrorCode,
    /// Why, for people, and what to do about it.
    pub message: String,
    /// Which session it is about; empty if it is about none.
    pub session_id: String,
    /// Of a stream that did not keep up: the last number that was handed over for sending.
    pub last_delivered_sequence: Option<u64>,
    /// When it makes sense to ask again, if the gateway said.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.message.is_empty() { self.code.description() } else { &self.message })
    }
}

/// What the back end said when it did not do something.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// Why, for people.
    pub message: String,
    /// What the back end said of it.
    pub statuses: Vec<v1::Status>,
    /// The back end's own code, if it has one.
    pub hresult: i32,
}

impl Failure {
    /// Of something that the back end has taken in and has not done then.
    pub(crate) fn of_statuses(statuses: &[v1::Status]) -> Self {
        let failed = statuses.iter().filter(|status| !status.success);
        let failed = failed.map(|status| {
            let category = status.category().as_str_name().trim_start_matches("STATUS_CATEGORY_");
            format!("{} {}", category.to_ascii_lowercase(), status.detail)
        });
        let message = format!("the back end says {}", failed.collect::<Vec<_>>().join(", "));
        Self { message, statuses: statuses.to_vec(), hresult: 0 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.message.is_empty() { "the back end has not done it" } else { &self.message })
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// There is no connection.
    #[error("there is no connection to the gateway ({})", .0.message())]
    NotConnected(#[source] Arc<Status>),
    /// The connection was lost before the answer.
    #[error("the connection to the gateway was lost ({})", .0.message())]
    Disconnected(#[source] Arc<Status>),
    /// The gateway does not answer.
    #[error("no answer within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The gateway has answered that it does not know either, or it has refused to say so again.
    #[error("{0}")]
    Unanswered(Refused),
}

impl Lost {
    const fn code(&self) -> Code {
        match self {
            Self::NotConnected(_) | Self::Disconnected(_) => Code::Unavailable,
            Self::Timeout { .. } => Code::DeadlineExceeded,
            Self::Unanswered(refused) => refused.code,
        }
    }

    const fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Unanswered(refused) => Some(refused),
            Self::NotConnected(_) | Self::Disconnected(_) | Self::Timeout { .. } => None,
        }
    }
}

/// What a status says of the call that it ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The gateway has answered, and will not answer otherwise.
    Final(Refused),
    /// The gateway has answered that nothing was done, and that it may be in a while.
    Later(Refused),
    /// The gateway has answered that it may have been done.
    Unknown(Refused),
    /// The call did not get there.
    NotSent(Lost),
    /// It did, perhaps, and there is no answer.
    Lost(Lost),
}

impl From<Status> for Verdict {
    fn from(status: Status) -> Self {
        if is_not_sent(&status) {
            return Self::NotSent(Lost::NotConnected(Arc::new(status)));
        }
        let info = status.metadata().get_bin(ERROR_INFO_KEY).and_then(|info| info.to_bytes().ok());
        let info = info.and_then(|info| ErrorInfo::decode(info).ok());
        let is_gateways = info.is_some();
        let info = info.unwrap_or_default();
        let refused = Refused {
            code: status.code(),
            reason: info.code(),
            message: status.message().to_owned(),
            retry_after: info.retry_after.and_then(|length| length.try_into().ok()),
            last_delivered_sequence: Some(info.last_delivered_sequence).filter(|number| *number > 0),
            session_id: info.session_id,
        };
        match (refused.code, refused.reason) {
            _ if info.outcome_unknown => Self::Unknown(refused),
            (Code::Unavailable, ErrorCode::Unavailable | ErrorCode::SessionNotReady) => Self::Later(refused),
            // A gateway, or what is between, that has said nothing of its own: the connection's end has these codes.
            (Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled, _) if !is_gateways => {
                Self::Lost(Lost::Disconnected(Arc::new(status)))
            }
            _ => Self::Final(refused),
        }
    }
}

/// Whether the call has failed before it was on its way.
fn is_not_sent(status: &Status) -> bool {
    let first: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    std::iter::successors(first, |error| error.source()).any(|error| error.is::<tonic::ConnectError>())
}

#[cfg(test)]
mod tests {
    use tonic::metadata::{MetadataMap, MetadataValue};

    use super::*;

    fn status(code: Code, info: Option<ErrorInfo>) -> Status {
        let mut metadata = MetadataMap::new();
        if let Some(info) = info {
            metadata.insert_bin(ERROR_INFO_KEY, MetadataValue::from_bytes(&info.encode_to_vec()));
        }
        Status::with_metadata(code, "why", metadata)
    }

    fn info(code: ErrorCode) -> ErrorInfo {
        ErrorInfo { code: code.into(), ..Default::default() }
    }

    #[test]
    fn an_answer_of_the_gateway_is_told_from_a_lost_connection() {
        for (code, info, expected) in [
            (Code::Unavailable, None, "Lost"),
            (Code::Unknown, None, "Lost"),
            (Code::Internal, None, "Lost"),
            (Code::Cancelled, None, "Lost"),
            (Code::Unimplemented, None, "Final"),
            (Code::Unauthenticated, None, "Final"),
            (Code::Unavailable, Some(info(ErrorCode::Unavailable)), "Later"),
            (Code::Unavailable, Some(info(ErrorCode::SessionNotReady)), "Later"),
            (Code::Unavailable, Some(info(ErrorCode::OpenFailed)), "Final"),
            (Code::Internal, Some(info(ErrorCode::CloseFailed)), "Final"),
            (Code::NotFound, Some(info(ErrorCode::SessionNotFound)), "Final"),
            (
                Code::DeadlineExceeded,
                Some(ErrorInfo { outcome_unknown: true, ..info(ErrorCode::CommandTimeout) }),
                "Unknown",
            ),
        ] {
            let verdict = match Verdict::from(status(code, info.clone())) {
                Verdict::Final(_) => "Final",
                Verdict::Later(_) => "Later",
                Verdict::Unknown(_) => "Unknown",
                Verdict::NotSent(_) => "NotSent",
                Verdict::Lost(_) => "Lost",
            };
            assert_eq!(verdict, expected, "{code:?} {info:?}");
        }
    }

    #[test]
    fn what_did_not_reach_the_gateway_was_not_sent() {
        let error = tonic::ConnectError(Box::from("connection refused"));
        let status = Status::from_error(Box::new(error));
        assert!(matches!(Verdict::from(status), Verdict::NotSent(_)));
    }

    #[test]
    fn the_details_of_a_refusal_are_kept() {
        let info = ErrorInfo {
            code: ErrorCode::EventQueueOverflow.into(),
            session_id: "session-1".to_owned(),
            last_delivered_sequence: 7,
            retry_after: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            outcome_unknown: false,
        };
        let Verdict::Final(refused) = status(Code::ResourceExhausted, Some(info)).into() else { panic!() };
        assert_eq!((refused.session_id.as_str(), refused.last_delivered_sequence), ("session-1", Some(7)));
        assert_eq!(refused.retry_after, Some(Duration::from_millis(1_500)));
        let error = CallError::Refused(refused);
        assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorCode::EventQueueOverflow));
        assert_eq!(error.to_string(), "why");
    }
}
