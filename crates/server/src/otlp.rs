//! Exports spans to a collector of OpenTelemetry: OTLP over HTTP, in protobuf.
//!
//! - Nobody waits for the collector. Spans wait in a queue of the runtime; what finds no room there is dropped, and how
//!   many were is told in the log.
//! - A batch that a collector does not take at the moment (no connection, 429, 502, 503, 504) is sent again until it
//!   does, later and later. One that it refuses is dropped: it would be refused again.
//! - At the end of the process what is left is sent, for `FLUSH` at most.
//!
//! The messages are those of `opentelemetry-proto`; the SDK of OpenTelemetry is not used, because it draws ids and reads
//! clocks itself, and a job's span has to be the same one after a restart.

mod encode;
mod headers;

use std::time::Duration;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request, StatusCode};
use moorline_core::span::Span;
use moorline_runtime::FinishedSpans;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::OtlpConfig;
use crate::outbound::{Outbound, OutboundError, Patience};
use crate::tls::TlsError;

pub use headers::HeadersError;

/// The most spans in one request, as the SDKs of OpenTelemetry have it: some hundred kilobytes.
const MAX_BATCH: usize = 512;

/// How long a span waits for others to go with it.
const LINGER: Duration = Duration::from_secs(1);

/// What is waited for: a collector only puts the request into a queue of its own, and its answer is a number.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(10), max_bytes: 64 * 1024 };

/// How long to wait before a batch is sent again for the first time. It doubles with each further time.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait before a batch is sent again.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// How long the end of the process waits for what is left: a stop is to be over in some seconds, whatever a collector
/// does.
const FLUSH: Duration = Duration::from_secs(3);

/// Why spans cannot be exported, as is found at the start.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The authority of the collector's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file with headers cannot be used.
    #[error(transparent)]
    Headers(#[from] HeadersError),
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the collector answers {0}")]
    Status(StatusCode),
}

impl NotTaken {
    /// Whether the same batch may be taken later.
    fn is_for_now(&self) -> bool {
        match self {
            Self::Outbound(error) => !matches!(error, OutboundError::Elsewhere | OutboundError::Unwritable(_)),
            Self::Status(status) => matches!(
                *status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }
}

/// Sends batches to one collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    outbound: Outbound,
    headers: HeaderMap,
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
        let headers = config.headers_file.as_deref().map(headers::read).transpose()?.unwrap_or_default();
        let outbound = Outbound::new(config.endpoint.clone(), config.authority.as_deref(), PATIENCE)?;
        tracing::info!(collector = %config.endpoint, "spans are exported");
        Ok(Self { outbound, headers, resource: encode::resource(&config.service_name), is_failing: false })
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
                    sleep(wait).await;
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
        let mut request = Request::post(self.outbound.url.path()).header(CONTENT_TYPE, "application/x-protobuf");
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        let body = Bytes::from(encode::request(&self.resource, batch));
        let (status, answer) = self.outbound.ask(request, body).await?;
        if !status.is_success() {
            return Err(NotTaken::Status(status));
        }
        let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
        if let Some(partial) = partial.filter(|partial| partial.rejected_spans > 0) {
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
