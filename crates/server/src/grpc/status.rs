//! What is not done, as a gRPC status: the one table of codes.

use moorline_core::Refusal;
use moorline_core::backend_session::Refused;
use moorline_gateway_proto::ERROR_INFO_KEY;
use moorline_gateway_proto::v1::{ErrorCode, ErrorInfo};
use moorline_runtime::backend_sessions::SessionError;
use moorline_types::Millis;
use prost::Message as _;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::to_proto;

/// When it makes sense to ask again for what is away at the moment.
const SOON: Millis = Millis::new(500);

/// What is answered to a caller.
pub(super) fn status(session: &str, error: &SessionError) -> Status {
    let (code, error_code) = codes(error);
    let mut info = ErrorInfo { code: error_code.into(), session_id: session.to_owned(), ..ErrorInfo::default() };
    if let SessionError::Overflow { last_delivered, .. } = error {
        info.last_delivered_sequence = last_delivered.get();
    }
    info.outcome_unknown = matches!(error, SessionError::CommandTimeout { .. } | SessionError::SessionOver { .. });
    if code == Code::Unavailable {
        info.retry_after = Some(to_proto::duration(SOON));
    }
    with_info(code, error.to_string(), &info)
}

/// The request makes no sense.
pub(super) fn invalid(message: impl Into<String>) -> Status {
    let info = ErrorInfo { code: ErrorCode::InvalidRequest.into(), ..ErrorInfo::default() };
    with_info(Code::InvalidArgument, message.into(), &info)
}

/// The caller is nobody, or has to wait.
pub(super) fn unauthenticated(message: &str, wait: Option<Millis>) -> Status {
    let retry_after = wait.map(to_proto::duration);
    let info = ErrorInfo { code: ErrorCode::Unauthenticated.into(), retry_after, ..ErrorInfo::default() };
    with_info(Code::Unauthenticated, message.to_owned(), &info)
}

/// The gateway ends.
pub(super) fn going_away() -> Status {
    let retry_after = Some(to_proto::duration(SOON));
    let info = ErrorInfo { code: ErrorCode::Unavailable.into(), retry_after, ..ErrorInfo::default() };
    with_info(Code::Unavailable, "the gateway is shutting down; the session goes on".to_owned(), &info)
}

fn with_info(code: Code, message: String, info: &ErrorInfo) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(ERROR_INFO_KEY, MetadataValue::from_bytes(&info.encode_to_vec()));
    Status::with_metadata(code, message, metadata)
}

fn codes(error: &SessionError) -> (Code, ErrorCode) {
    match error {
        SessionError::NotFound { .. } => (Code::NotFound, ErrorCode::SessionNotFound),
        SessionError::Denied { .. } | SessionError::ItemDenied { .. } | SessionError::ForeignTag => {
            (Code::PermissionDenied, ErrorCode::PermissionDenied)
        }
        SessionError::Constraints(_) => (Code::PermissionDenied, ErrorCode::PermissionDenied),
        SessionError::SessionLimit { .. } => (Code::ResourceExhausted, ErrorCode::SessionLimitExceeded),
        SessionError::UnknownBackend { .. } | SessionError::Invalid { .. } => {
            (Code::InvalidArgument, ErrorCode::InvalidRequest)
        }
        SessionError::OpenFailed { .. } => (Code::Unavailable, ErrorCode::OpenFailed),
        SessionError::CloseFailed { .. } => (Code::Internal, ErrorCode::CloseFailed),
        SessionError::CommandTimeout { .. } => (Code::DeadlineExceeded, ErrorCode::CommandTimeout),
        SessionError::SessionOver { .. } => (Code::FailedPrecondition, ErrorCode::SessionNotReady),
        SessionError::Overflow { .. } => (Code::ResourceExhausted, ErrorCode::EventQueueOverflow),
        SessionError::Journal(_) => (Code::Unavailable, ErrorCode::Unavailable),
        SessionError::Gateway(Refusal::QuotaReached(_)) => (Code::ResourceExhausted, ErrorCode::SessionLimitExceeded),
        SessionError::Gateway(refusal) if is_passing(refusal) => (Code::Unavailable, ErrorCode::Unavailable),
        SessionError::Gateway(_) => (Code::FailedPrecondition, ErrorCode::OpenFailed),
        SessionError::Refused(refused) => match refused {
            Refused::NotReady { .. } => (Code::FailedPrecondition, ErrorCode::SessionNotReady),
            Refused::WorkerAway => (Code::Unavailable, ErrorCode::SessionNotReady),
            Refused::Faulted { .. } => (Code::FailedPrecondition, ErrorCode::WorkerFaulted),
            Refused::PendingCommandLimit { .. } => (Code::ResourceExhausted, ErrorCode::PendingCommandLimitReached),
            Refused::SubscriberAlreadyActive => (Code::AlreadyExists, ErrorCode::EventSubscriberAlreadyActive),
            Refused::SubscriberLimit { .. } => (Code::ResourceExhausted, ErrorCode::EventSubscriberLimitReached),
        },
    }
}

/// Whether the gateway may take it in a moment.
const fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Draining | Refusal::StoreUnavailable { .. })
}
