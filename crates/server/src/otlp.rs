//! Exports spans to a collector of OpenTelemetry: OTLP over HTTP or gRPC, in protobuf.
//!
//! - Nobody waits for the collector. Spans wait in a queue of the runtime; what finds no room there is dropped, and how
//!   many were is told in the log.
//! - A batch that a collector does not take at the moment (no connection, 429, 502, 503, 504, or what gRPC has for
//!   that) is sent again until it does, later and later, and not before the collector wants it. One that it refuses is
//!   dropped: it would be refused again.
//! - At the end of the process what is left is sent, for `FLUSH` at most.
//!
//! The messages are those of `opentelemetry-proto`; the SDK of OpenTelemetry is not used, because it draws ids and reads
//! clocks itself, and a job's span has to be the same one after a restart.

mod encode;
mod grpc;
mod headers;
mod http;

use std::time::Duration;

use hyper::StatusCode;
use moorline_core::span::Span;
use moorline_runtime::FinishedSpans;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{OtlpConfig, OtlpProtocol};
use crate::outbound::{Outbound, OutboundError, Patience};
use crate::tls::TlsError;
use grpc::OverGrpc;
pub use headers::HeadersError;
use http::OverHttp;

/// The most spans in one request, as the SDKs of OpenTelemetry have it: some hundred kilobytes.
const MAX_BATCH: usize = 512;

/// How long a span waits for others to go with it.
const LINGER: Duration = Duration::from_secs(1);

/// What is waited for: a collector only puts the request into a queue of its own, and its answer is a number.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(10), max_bytes: 64 * 1024 };

/// How long to wait before a batch is sent again for the first time. It doubles with each further time.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait before a batch is sent again of which the collector has not said when it wants it.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The longest wait that a collector may ask for: one that is maintained is back by then, and one that asks for a day has
/// a wrong clock.
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// How long the end of the process waits for what is left: a stop is to be over in some seconds, whatever a collector
/// does.
const FLUSH: Duration = Duration::from_secs(3);

/// Why spans cannot be exported, as is found at the start.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The authority of the collector's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The headers cannot be used.
    #[error(transparent)]
    Headers(#[from] HeadersError),
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the collector answers {status}")]
    Status { status: StatusCode, after: Option<Duration> },
    #[error("the collector answers {}", grpc::told(.0))]
    Call(Box<tonic::Status>),
}

impl NotTaken {
    /// Whether the same batch may be taken later.
    fn is_for_now(&self) -> bool {
        match self {
            Self::Outbound(error) => !matches!(error, OutboundError::Elsewhere | OutboundError::Unwritable(_)),
            Self::Call(status) => grpc::is_for_now(status),
            Self::Status { status, .. } => matches!(
                *status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }

    /// How long the collector wants to be left alone.
    fn after(&self) -> Option<Duration> {
        match self {
            Self::Outbound(_) => None,
            Self::Status { after, .. } => *after,
            Self::Call(status) => grpc::retry_after(status),
        }
    }
}

/// The way to a collector.
#[derive(Debug)]
enum Way {
    Http(Box<OverHttp>),
    Grpc(Box<OverGrpc>),
}

/// Sends batches to one collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    way: Way,
    resource: Resource,
    /// Whether the last batch was not taken, so that it is told once.
    is_failing: bool,
}

impl Exporter {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// See [`OtlpError`].
    pub(crate) fn load(config: &OtlpConfig) -> Result<Self, OtlpError> {
        let headers = config.headers.as_ref().map(headers::load).transpose()?.unwrap_or_default();
        let outbound = Outbound::new(config.endpoint.clone(), config.authority.as_deref(), PATIENCE)?;
        let way = match config.protocol {
            OtlpProtocol::HttpProtobuf => Way::Http(Box::new(OverHttp { outbound, headers })),
            OtlpProtocol::Grpc => Way::Grpc(Box::new(OverGrpc::new(outbound, headers))),
        };
        tracing::info!(collector = %config.endpoint, "spans are exported");
        if config.endpoint.is_exposed() {
            tracing::warn!(
                collector = %config.endpoint,
                "spans, and the headers that go with them, are sent in the clear to another machine"
            );
        }
        let resource = encode::resource(&config.service_name, &config.resource_attributes);
        Ok(Self { way, resource, is_failing: false })
    }

    /// Exports spans until there will be none, or for a last moment from when `stopping` is cancelled.
    pub(crate) async fn run(mut self, mut finished: FinishedSpans, stopping: CancellationToken) {
        let mut batch = Vec::new();
        let exported = async {
            loop {
                if finished.take(&mut batch, MAX_BATCH).await == 0 {
                    return;
                }
                let fill = async {
                    while let room @ 1.. = MAX_BATCH - batch.len() {
                        if finished.take(&mut batch, room).await == 0 {
                            return;
                        }
                    }
                };
                // What has come by then goes.
                drop(timeout(LINGER, fill).await);
                self.export(&batch).await;
                batch.clear();
                tell_dropped(finished.take_dropped());
            }
        };
        tokio::select! {
            () = exported => return,
            () = stopping.cancelled() => {}
        }
        finished.close();
        let left = async {
            while !batch.is_empty() || finished.take(&mut batch, MAX_BATCH).await > 0 {
                if let Err(error) = self.send(&batch).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the last spans are not taken");
                    return;
                }
                batch.clear();
            }
        };
        if timeout(FLUSH, left).await.is_err() {
            tracing::warn!("the collector does not take the last spans in time");
        }
        tell_dropped(finished.take_dropped());
    }

    /// Sends a batch until it is taken or refused.
    async fn export(&mut self, batch: &[Span]) {
        let mut wait = FIRST_RETRY;
        loop {
            match self.send(batch).await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("the collector takes spans again");
                    }
                    return;
                }
                Err(error) if error.is_for_now() => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the collector does not take spans; they are sent again later");
                    }
                    let asked = error.after().map_or(Duration::ZERO, |asked| asked.min(LONGEST_RETRY));
                    sleep(wait.max(asked)).await;
                    wait = (wait * 2).min(LAST_RETRY);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, spans = batch.len(), "the collector refuses spans; look at otlp.endpoint");
                    return;
                }
            }
        }
    }

    async fn send(&self, batch: &[Span]) -> Result<(), NotTaken> {
        let request = encode::request(&self.resource, batch);
        let answer = match &self.way {
            Way::Http(http) => http.send(&request).await?,
            Way::Grpc(grpc) => grpc.send(request).await?,
        };
        if let Some(partial) = answer.partial_success.filter(|partial| partial.rejected_spans > 0) {
            tracing::warn!(spans = partial.rejected_spans, "the collector has left spans out");
        }
        Ok(())
    }
}

fn tell_dropped(spans: u64) {
    if spans > 0 {
        tracing::warn!(spans, "spans were dropped, because the collector takes them too slowly");
    }
}
