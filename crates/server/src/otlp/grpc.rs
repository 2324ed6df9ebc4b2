//! OTLP over gRPC: one connection, which is made when there is something to send, and anew after it was lost.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::{HeaderMap, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Extensions, Request, Status};

use super::{NotTaken, PATIENCE};
use crate::outbound::{Outbound, OutboundError, USER_AGENT};

/// The name of the message that says when to try again, at the end of its type's address.
const RETRY_INFO: &str = "google.rpc.RetryInfo";

/// Calls the collector's service for traces.
#[derive(Debug)]
pub(super) struct OverGrpc {
    service: TraceServiceClient<Channel>,
    metadata: MetadataMap,
}

/// What a status says in detail, as far as it matters here (`google.rpc.Status`).
#[derive(Clone, PartialEq, prost::Message)]
struct Detailed {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

impl OverGrpc {
    pub(super) fn new(outbound: Outbound, headers: HeaderMap) -> Self {
        let origin = outbound.url.origin();
        let outbound = Arc::new(outbound.over_http2());
        let connector = tower::service_fn(move |_: Uri| {
            let outbound = Arc::clone(&outbound);
            async move { Ok::<_, OutboundError>(TokioIo::new(outbound.connect().await?)) }
        });
        // The connector encrypts by itself. The library would refuse an address with https, because it has no part in that.
        let channel = Endpoint::from_static("http://collector")
            .user_agent(USER_AGENT)
            .expect("a name and a version are a header's value")
            .origin(origin)
            .connect_timeout(PATIENCE.deadline)
            .connect_with_connector_lazy(connector);
        let service = TraceServiceClient::new(channel).max_decoding_message_size(PATIENCE.max_bytes);
        Self { service, metadata: MetadataMap::from_headers(headers) }
    }

    pub(super) async fn send(&self, batch: ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, NotTaken> {
        let request = Request::from_parts(self.metadata.clone(), Extensions::default(), batch);
        let mut service = self.service.clone();
        let answer = tokio::time::timeout(PATIENCE.deadline, service.export(request)).await;
        let answer = answer.map_err(|_| OutboundError::Late(PATIENCE.deadline))?;
        Ok(answer.map_err(|status| NotTaken::Call(Box::new(status)))?.into_inner())
    }
}

/// What may be told of a status: not its message, in which a peer may repeat what it was sent, a token say.
pub(super) fn told(status: &Status) -> String {
    let causes = std::iter::successors(status.source(), |cause| (**cause).source());
    causes.fold(format!("{:?}", status.code()), |told, cause| format!("{told}: {cause}"))
}

/// How long the peer asks to be left alone.
pub(super) fn retry_after(status: &Status) -> Option<Duration> {
    let details = Detailed::decode(status.details()).ok()?.details;
    let info = details.into_iter().find(|detail| detail.type_url.ends_with(RETRY_INFO))?;
    RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?.try_into().ok()
}

/// Whether the same batch may be taken later, by the specification of OTLP. A peer that has no room says so by telling
/// when it will have some.
pub(super) fn is_for_now(status: &Status) -> bool {
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => retry_after(status).is_some(),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking_for(seconds: i64) -> Status {
        let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
        let value = RetryInfo { retry_delay }.encode_to_vec();
        let other = prost_types::Any { type_url: "type.googleapis.com/google.rpc.Help".to_owned(), value: vec![255] };
        let info = prost_types::Any { type_url: format!("type.googleapis.com/{RETRY_INFO}"), value };
        let details = Detailed { details: vec![other, info] }.encode_to_vec();
        Status::with_details(Code::ResourceExhausted, "full", details.into())
    }

    #[test]
    fn a_peer_without_room_is_asked_again_if_it_says_when() {
        assert_eq!(retry_after(&asking_for(7)), Some(Duration::from_secs(7)));
        assert!(is_for_now(&asking_for(7)));
        for status in [Status::resource_exhausted("full"), asking_for(-1)] {
            assert_eq!((retry_after(&status), is_for_now(&status)), (None, false), "{status:?}");
        }
        let broken = Status::with_details(Code::Unavailable, "", vec![255].into());
        assert_eq!((retry_after(&broken), is_for_now(&broken)), (None, true));
        assert_eq!(told(&Status::unauthenticated("not mlk_1234")), "Unauthenticated");
        assert!(!is_for_now(&Status::unauthenticated("who?")) && !is_for_now(&Status::unimplemented("what?")));
    }
}
